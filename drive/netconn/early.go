package netconn

import (
	"context"
	"errors"
)

// errLateEarly is what HandshakeEarly returns when it comes too late.
var errLateEarly = errors.New("netconn: HandshakeEarly after the handshake was begun")

// HandshakeEarly is HandshakeContext of a client that sends p first: as early data, if
// its Config.EarlyData is set and a session is resumed that allows it. What does not fit,
// or is not accepted, goes out right behind the handshake, so p arrives once and in order,
// before what any Write sends. accepted says whether the server took it, or some of it,
// as early data.
//
// Early data can be recorded and sent again by others. A server may process it twice, and
// even when it is not accepted here it may have been on another server. So p must be
// something that may happen more than once, a GET for example. It must fit whichever of
// NextProtos the server chooses, too. RFC 8446, Sections 4.2.10 and 8.
//
// It has to be the first call that runs the handshake. After a deadline, Handshake goes on
// with it.
func (c *Conn) HandshakeEarly(ctx context.Context, p []byte) (accepted bool, err error) {
	if err := c.prepareEarly(p); err != nil {
		return false, err
	}
	if err := c.HandshakeContext(ctx); err != nil {
		return false, err
	}
	return c.EarlyDataAccepted(), nil
}

func (c *Conn) prepareEarly(p []byte) error {
	c.recv.Lock()
	defer c.recv.Unlock()
	if c.server || c.started.Load() || len(c.early) > 0 {
		return errLateEarly
	}
	c.early = append([]byte(nil), p...)
	return nil
}

// EarlyDataAccepted reports whether the server has accepted early data. It runs the
// handshake if need be.
func (c *Conn) EarlyDataAccepted() bool {
	if c.Handshake() != nil {
		return false
	}
	c.steps.Lock()
	defer c.steps.Unlock()
	return c.machine.EarlyDataAccepted()
}

// writeEarly seals as much of what is to be sent first as the session allows.
func (c *Conn) writeEarly() error {
	c.send.Lock()
	defer c.send.Unlock()
	for len(c.early) > 0 {
		n, err := c.machine.WriteEarly(c.early)
		c.early = c.early[n:]
		if n == 0 || err != nil {
			return nil // the rest goes behind the handshake; a failure is the next event
		}
		if err := c.flush(); err != nil {
			return c.transportError(err)
		}
	}
	return nil
}

// writeRest sends what was to be sent first and was not, or was not accepted.
func (c *Conn) writeRest() error {
	c.send.Lock()
	defer c.send.Unlock()
	for len(c.early) > 0 {
		n, refused := c.machine.Write(c.early)
		c.early = c.early[n:]
		if err := c.flush(); err != nil {
			return c.transportError(err)
		}
		if refused != nil {
			return c.writeRefused(refused)
		}
	}
	c.early = nil
	return nil
}
