package netconn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"tlscore.example/tlscore"
	"tlscore.example/tlscore/drive"
)

// ErrHandshakeTimeout is returned when a handshake has taken longer than its
// Listener allows: [drive.ErrHandshakeTimeout].
var ErrHandshakeTimeout = drive.ErrHandshakeTimeout

// Handshake runs the handshake, or waits for the one that runs; when it was run,
// it returns how that went. Read, Write and ConnectionState call it.
//
// Its error is that of the machine, or of the transport. Except for a deadline
// that passed, it is final: then the alert has been sent, and the transport is
// being closed.
//
// There is one exception. When a client sends a request in plain HTTP, which
// could not read an alert, none is sent, and the transport stays open until
// Close. The error has, for errors.As, a [tls.RecordHeaderError] whose Conn
// reads the request from its first byte and can be answered on, besides the
// [*tlscore.ProtocolError]. A [Listener] sends the answer itself.
func (c *Conn) Handshake() error { return c.HandshakeContext(context.Background()) }

// HandshakeContext is Handshake with a context. When ctx ends before the
// handshake does, the error is that of ctx, the peer is told (user_canceled), and
// the connection is over. After the handshake, ctx has no effect.
func (c *Conn) HandshakeContext(ctx context.Context) error {
	if err := c.over(); err != nil || c.complete.Load() {
		return err
	}
	if ctx.Done() != nil {
		stop := context.AfterFunc(ctx, func() { c.cancel(ctx.Err()) })
		defer stop()
	}
	c.recv.Lock()
	defer c.recv.Unlock()
	if err := c.over(); err != nil || c.complete.Load() {
		return err
	}
	if err := ctx.Err(); err != nil {
		c.cancel(err)
		return err
	}
	defer c.limitHandshake()()
	if err := c.takeTurn(); err != nil {
		return err
	}
	c.started.Store(true)
	defer c.in.idle()
	return c.handshake()
}

// limitHandshake starts the clock of the handshake; the function that it returns
// stops it. A handshake that is resumed has no more time for that.
func (c *Conn) limitHandshake() (stop func()) {
	if c.limits.HandshakeTimeout <= 0 {
		return func() {}
	}
	if c.giveUp.IsZero() {
		c.giveUp = time.Now().Add(c.limits.HandshakeTimeout)
	}
	timer := time.AfterFunc(time.Until(c.giveUp), func() { c.cancel(ErrHandshakeTimeout) })
	return func() { timer.Stop() }
}

// cancel ends a handshake that is neither complete nor failed.
func (c *Conn) cancel(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.complete.Load() || c.cause != nil {
		return
	}
	begun, late := c.started.Load(), cause == ErrHandshakeTimeout
	c.endLocked(cause, lastWords{notify: begun && !late, late: late, linger: begun || late})
}

// handshake goes on with the handshake where it was.
func (c *Conn) handshake() error {
	if c.setup != nil {
		return c.refuseAll()
	}
	for !c.established {
		ev := c.step()
		var err error
		switch ev.Kind {
		case tlscore.EventNone:
			err = c.exchange()
		case tlscore.EventClientHello:
			c.answer()
		case tlscore.EventEarlyWritable:
			err = c.writeEarly()
		case tlscore.EventEarlyRejected:
			c.early = append(append([]byte(nil), ev.Data...), c.early...)
		case tlscore.EventData: // early data
			c.held = append(c.held, ev.Data...)
		case tlscore.EventHandshakeDone:
			c.established = true
		case tlscore.EventTask:
			c.startTask()
		case tlscore.EventWait:
			if err = c.flushFlight(); err == nil { // the peer need not wait, too
				err = c.awaitTask()
			}
		case tlscore.EventFailed:
			err = c.failed()
		case tlscore.EventClosed:
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
	}
	if err := c.flushFlight(); err != nil {
		return err
	}
	if err := c.writeRest(); err != nil {
		return err
	}
	return c.succeed()
}

// exchange sends what is due, then waits for the peer.
func (c *Conn) exchange() error {
	if err := c.flushFlight(); err != nil {
		return err
	}
	return c.transportError(c.receive())
}

func (c *Conn) flushFlight() error {
	c.send.Lock()
	defer c.send.Unlock()
	return c.transportError(c.flush())
}

// transportError makes an error of the transport final, unless it is a deadline.
func (c *Conn) transportError(err error) error {
	if err == nil || isTimeout(err) {
		return err
	}
	c.end(err, lastWords{})
	return c.over()
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// succeed makes the end of the handshake known, unless it was canceled in this
// moment.
func (c *Conn) succeed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause == nil {
		c.complete.Store(true)
		c.giveTurn()
		c.watchIdle()
	}
	return c.cause
}

// failed ends the connection whose machine has failed: the alert is sent when it
// returns.
func (c *Conn) failed() error {
	c.steps.Lock()
	err := c.machine.Err()
	c.steps.Unlock()
	var protocol *tlscore.ProtocolError
	if errors.As(err, &protocol) && c.server && protocol.PlainHTTP() {
		return c.plainHTTP(protocol)
	}
	if c.refused != nil {
		err = fmt.Errorf("%w: %w", err, c.refused)
	}
	_, told := tlscore.AlertOf(err)
	<-c.end(err, lastWords{linger: told})
	return c.over()
}

// refuseAll ends the connection of a config that cannot be used.
func (c *Conn) refuseAll() error {
	if c.machine != nil {
		c.steps.Lock()
		c.machine.Reject(tlscore.AlertInternalError)
		c.steps.Unlock()
	}
	<-c.end(c.setup, lastWords{linger: c.machine != nil})
	return c.over()
}
