package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"tlscore.example/tlscore"
)

// alertDecompressionFailure is what the runner wants from -send-alert. No
// version that is spoken here sends it otherwise. RFC 5246, Section 7.2.
const alertDecompressionFailure tlscore.Alert = 30

var (
	errUnclean       = errors.New("the transport ended without close_notify: Unexpected SSL_shutdown result: -1 != 1")
	errLateData      = errors.New("application data behind our close_notify")
	errDone          = errors.New("the handshake was completed, and should not have been")
	errEarlyRejected = errors.New("the early data was rejected")
	errNotRejected   = errors.New("the early data was not rejected, and should have been")
)

// run does what the runner wants a connection to do. What follows when the early
// data of a client is rejected has options of its own.
func (c *conn) run(retry *options) error {
	rejection := c.resuming && !c.o.server && c.o.expectRejectEarlyData
	err := c.exchange()
	switch {
	case rejection && err == nil:
		return errNotRejected
	case rejection && errors.Is(err, errEarlyRejected):
		c.o, c.offeredEarly = retry, false
		return c.exchange()
	}
	return err
}

// exchange does a handshake, then some application data in each direction, then
// an end.
func (c *conn) exchange() error {
	if err := c.handshake(); err != nil {
		return err
	}
	if c.o.sendAlert {
		return c.m.Reject(alertDecompressionFailure)
	}
	for _, do := range []func() error{c.export, c.speak, c.expectTLS13Session, c.shutDown, c.expectLog} {
		if err := do(); err != nil {
			return err
		}
	}
	return nil
}

// handshake drives the machine until application data can be written: in most
// cases until the handshake is done.
func (c *conn) handshake() error {
	for !c.done && !c.early() {
		if ev, err := c.next(); err != nil {
			return err
		} else if ev.Kind == tlscore.EventClosed {
			return fmt.Errorf("%w: %s in the handshake", errContract, ev)
		}
	}
	return nil
}

// export writes what -export-keying-material and -export-traffic-secrets ask for.
func (c *conn) export() error {
	if n := c.o.exportKeyingMaterial; n > 0 {
		var context []byte
		if c.o.useExportContext {
			context = []byte(c.o.exportContext)
		}
		material, err := c.m.ExportKeyingMaterial(c.o.exportLabel, context, n)
		if err != nil {
			return err
		}
		if err := c.write(material); err != nil {
			return err
		}
	}
	if !c.o.exportTrafficSecrets {
		return nil
	}
	read, write, err := c.log.trafficSecrets(c.o.server)
	if err != nil {
		return err
	}
	secrets := binary.LittleEndian.AppendUint16(nil, uint16(len(read)))
	return c.write(append(append(secrets, read...), write...))
}

// speak writes what the shim has to write first, then gives back what it reads,
// each byte inverted.
func (c *conn) speak() error {
	if c.o.writeDifferentRecordSizes {
		return c.writeSizes()
	}
	if c.o.readWithUnfinishedWrite {
		if err := c.writeAndStall([]byte(c.o.shimInitialWrite)); err != nil {
			return err
		}
	} else if c.o.shimWritesFirst {
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

// writeAndStall writes data of which only the first byte leaves, until something has
// been read.
func (c *conn) writeAndStall(p []byte) error {
	c.flush()
	c.stalled = true
	if err := c.write(p); err != nil {
		return err
	}
	if out := c.m.Output(); len(out) > 0 && !c.broken {
		_, err := c.transport.Write(out[:1])
		c.broken = err != nil
		c.m.Sent(1)
	}
	return nil
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
		c.stalled = false
		c.flush()
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
