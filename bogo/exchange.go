package main

import (
	"bytes"
	"errors"
	"fmt"

	"tlscore.example/tlscore"
)

// alertDecompressionFailure is what the runner wants from -send-alert. No
// version that is spoken here sends it otherwise. RFC 5246, Section 7.2.
const alertDecompressionFailure tlscore.Alert = 30

var (
	errUnclean  = errors.New("the transport ended without close_notify: Unexpected SSL_shutdown result: -1 != 1")
	errLateData = errors.New("application data behind our close_notify")
	errDone     = errors.New("the handshake was completed, and should not have been")
)

// exchange does what the runner wants a connection to do: a handshake, then some
// application data in each direction, then an end.
func (c *conn) exchange(retry *options) error {
	if err := c.handshake(); err != nil {
		return err
	}
	if err := c.expectations(); err != nil {
		return err
	}
	if c.o.sendAlert {
		return c.m.Reject(alertDecompressionFailure)
	}
	if err := c.speak(); err != nil {
		return err
	}
	if err := c.shutDown(); err != nil {
		return err
	}
	return c.lateExpectations()
}

// handshake drives the machine until it says that the handshake is done.
func (c *conn) handshake() error {
	for !c.done {
		if ev, err := c.next(); err != nil {
			return err
		} else if ev.Kind == tlscore.EventClosed {
			return fmt.Errorf("%w: %s in the handshake", errContract, ev)
		}
	}
	if c.o.handshakeNeverDone {
		return errDone
	}
	return nil
}

// speak writes what the shim has to write first, then gives back what it reads,
// each byte inverted.
func (c *conn) speak() error {
	if c.o.writeDifferentRecordSizes {
		return c.writeSizes()
	}
	if c.o.shimWritesFirst {
		for range c.o.repeatShimInitialWrite {
			if err := c.write([]byte(c.o.shimInitialWrite)); err != nil {
				return err
			}
		}
	}
	if c.o.shimShutsDown {
		return nil
	}
	return c.echo()
}

// writeSizes writes pieces around the limits of records.
func (c *conn) writeSizes() error {
	for _, size := range []int{0, 1, 255, 256, 257, 16383, 16384, 16385, 32767, 32768, 32769} {
		if err := c.write(bytes.Repeat([]byte{0x42}, size)); err != nil {
			return err
		}
	}
	return nil
}

// echo reads until the peer ends.
func (c *conn) echo() error {
	for !c.ended {
		if c.o.keyUpdateBeforeRead && len(c.data) == 0 {
			if err := c.updateKey(); err != nil {
				return err
			}
		}
		for len(c.data) == 0 && !c.ended {
			if _, err := c.next(); err != nil {
				return err
			}
		}
		if err := c.answer(); err != nil {
			return err
		}
	}
	return nil
}

// answer gives back the data that has come.
func (c *conn) answer() error {
	size := 512
	if c.o.readSize > 0 {
		size = c.o.readSize
	}
	for len(c.data) > 0 {
		piece := c.data[:min(size, len(c.data))]
		c.data = c.data[len(piece):]
		if c.o.keyUpdate {
			if err := c.updateKey(); err != nil {
				return err
			}
		}
		for i := range piece {
			piece[i] ^= 0xff
		}
		if err := c.write(piece); err != nil {
			return err
		}
	}
	return nil
}

func (c *conn) updateKey() error {
	err := c.m.KeyUpdate(false)
	c.flush()
	return err
}

// shutDown ends the connection: silently, or with close_notify when the runner
// checks for it.
func (c *conn) shutDown() error {
	if !c.o.checkCloseNotify {
		return nil
	}
	if c.truncated {
		return errUnclean
	}
	c.closedWrite = true
	c.m.CloseWrite()
	c.flush()
	for !c.ended {
		if _, err := c.next(); err != nil {
			return err
		}
		if len(c.data) > 0 {
			return errLateData
		}
	}
	if c.truncated {
		return errUnclean
	}
	return nil
}
