package netconn

import (
	"errors"
	"io"
)

// maxHeld bounds the data that waits to be read while a client authenticates.
const maxHeld = 64 << 10

// errHeld is what RequestClientCertificate returns to give up waiting.
var errHeld = errors.New("netconn: the client sends data instead of its certificate")

// RequestClientCertificate asks the client for a certificate, after the handshake, and
// waits for its answer: see [tlscore.Machine.RequestClientCertificate], whose errors it
// returns. ConnectionState has the certificates then, or none when the client has none
// and need not. What does not verify ends the connection.
//
// It is for the goroutine that reads, and waits for a Read in another one. Application
// data that comes before the answer, at most 64 KiB, is what the next Read returns. The
// read deadline bounds the waiting; when it has passed, or too much data came, the answer
// is taken by a later Read.
func (c *Conn) RequestClientCertificate() error {
	if err := c.Handshake(); err != nil {
		return err
	}
	c.recv.Lock()
	defer c.recv.Unlock()
	if err := c.over(); err != nil {
		return err
	}
	c.steps.Lock()
	err := c.machine.RequestClientCertificate()
	c.steps.Unlock()
	if err != nil {
		return err
	}
	c.held = append(append([]byte(nil), c.data...), c.held...)
	c.data = nil
	defer c.in.idle()
	c.flushLater()
	return c.awaitCertificate()
}

// awaitCertificate steps until the client has answered.
func (c *Conn) awaitCertificate() error {
	c.asking = true
	defer func() { c.asking = false }()
	for {
		err := c.nextData(true)
		c.held = append(c.held, c.data...)
		c.data = nil
		switch {
		case err != nil:
			return noEOF(err)
		case !c.asking:
			return nil
		case len(c.held) > maxHeld:
			return errHeld
		}
	}
}

// noEOF is for who does not read.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
