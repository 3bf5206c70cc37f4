package netconn

import (
	"io"
	"net"
	"time"

	"tlscore.example/tlscore"
	"tlscore.example/tlscore/drive"
)

// Linger says how a connection is closed: see [drive.Linger]. All of it happens in the
// background. A connection that is closed without a failure over a transport that has
// no CloseWrite method is not waited for.
type Linger = drive.Linger

// closePatience is how long Close waits until everything is sent. When the peer does
// not read, it is done in the background.
const closePatience = 200 * time.Millisecond

// SetLinger changes how c is closed. It has to come before any other call but
// those to SetLinger.
func (c *Conn) SetLinger(l Linger) { c.linger = l }

// lastWords say how a connection ends.
type lastWords struct {
	notify bool   // queue close_notify
	late   bool   // queue general_error: the handshake took too long
	linger bool   // something was said that has to arrive
	plain  string // to be sent last, in the clear
}

// Close closes the connection: it sends what a Write was interrupted in, if any,
// and close_notify, then closes the transport as [Linger] says. All that is
// bounded, by 5 seconds for the sending and by the limits of Linger after it; the
// bytes are usually sent when Close returns, but it waits for a peer that does
// not read only a moment, the rest happens in the background.
//
// The peer reads io.EOF then, also behind a Write that was cut short: close_notify
// says that nothing more comes, not that all is there. Who has given up a Write, and
// talks to a peer that takes the end of the connection for the end of a message,
// closes NetConn first, so that the peer reads io.ErrUnexpectedEOF.
//
// Calls that wait in another goroutine return net.ErrClosed, as do all that come
// later, a second Close among them.
func (c *Conn) Close() error {
	c.mu.Lock()
	if c.shut.Swap(true) {
		c.mu.Unlock()
		return net.ErrClosed
	}
	begun := c.started.Load()
	kept := c.cause != nil // the transport, by plainHTTP
	flushed := c.endLocked(net.ErrClosed, lastWords{
		notify: begun && !kept,
		linger: begun && (kept || canCloseWrite(c.transport)),
	})
	c.mu.Unlock()

	patience := time.NewTimer(closePatience)
	defer patience.Stop()
	select {
	case <-flushed:
	case <-patience.C:
	}
	return nil
}

// end ends the connection, once: everything returns cause from now on, calls
// that wait do so too, and the transport is closed. What is returned is closed
// itself when the output is sent, or will not be.
func (c *Conn) end(cause error, last lastWords) <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.endLocked(cause, last)
}

func (c *Conn) endLocked(cause error, last lastWords) <-chan struct{} {
	if c.flushed != nil {
		return c.flushed
	}
	c.because(cause)
	c.flushed = make(chan struct{})
	c.giveTurn()
	if c.idle != nil {
		c.idle.Stop()
	}
	c.interrupt()
	c.wakeWaiter()
	go c.finish(last)
	return c.flushed
}

// finish sends what is left, closes the transport and hands back all memory. It
// needs both halves of the machine, one after the other; whoever was in them is
// on the way out. Should a callback of the application keep one, then at least
// the transport is closed in time.
func (c *Conn) finish(last lastWords) {
	linger := c.linger.WithDefaults()
	limit := time.AfterFunc(drive.FlushTimeout+max(0, linger.Timeout), func() { c.transport.Close() })
	defer limit.Stop()
	if c.closed != nil {
		defer c.closed()
	}

	sent := c.sayLast(last)
	if sent && last.linger && linger.Timeout > 0 && !c.readEnded.Load() {
		closeWrite(c.transport)
		close(c.flushed)
		c.drain(linger)
		c.transport.Close()
	} else {
		c.transport.Close()
		close(c.flushed)
	}
	c.recv.Lock()
	defer c.recv.Unlock()
	c.send.Lock()
	defer c.send.Unlock()
	c.in.release()
	clear(c.held)
	c.data, c.held, c.early, c.task = nil, nil, nil, nil
	c.unsent.discard(len(c.unsent.bytes()))
	if c.machine != nil {
		c.steps.Lock()
		defer c.steps.Unlock()
		c.machine.Release()
	}
}

// sayLast sends the rest of the output and what comes after it.
func (c *Conn) sayLast(last lastWords) (sent bool) {
	if last.late && c.machine != nil {
		c.steps.Lock()
		c.machine.Reject(tlscore.AlertGeneralError)
		c.steps.Unlock()
	}
	c.send.Lock()
	defer c.send.Unlock()
	// Whoever wrote has left, so none of them can get hold of this deadline.
	if c.transport.SetWriteDeadline(time.Now().Add(drive.FlushTimeout)) != nil {
		return false
	}
	if c.machine != nil {
		if last.notify {
			c.machine.CloseWrite()
		}
		c.flush()
		if len(c.unsent.bytes()) > 0 || len(c.machine.Output()) > 0 {
			return false
		}
	}
	if last.plain == "" {
		return true
	}
	_, err := io.WriteString(c.transport, last.plain)
	return err == nil
}

// drain reads and drops what the peer still sends, until it closes.
func (c *Conn) drain(l Linger) {
	c.awaitReaders()
	if c.transport.SetReadDeadline(time.Now().Add(l.Timeout)) != nil {
		return
	}
	var in inbox
	defer in.release()
	for left := l.Bytes; left > 0; {
		if in.readFrom(c.transport) != nil {
			return
		}
		n := len(in.bytes())
		in.consume(n)
		left -= int64(n)
	}
}

// awaitReaders waits until those who were reading have left, so that none of
// them can get hold of another deadline. There will be no new ones.
func (c *Conn) awaitReaders() {
	c.recv.Lock()
	defer c.recv.Unlock()
	c.in.release()
	c.data = nil
}

// closeWriter is what a transport has that can end its writing direction alone:
// *net.TCPConn, *net.UnixConn, and connections made of them.
type closeWriter interface{ CloseWrite() error }

func canCloseWrite(conn net.Conn) bool {
	_, ok := conn.(closeWriter)
	return ok
}

func closeWrite(conn net.Conn) {
	if half, ok := conn.(closeWriter); ok {
		half.CloseWrite()
	}
}
