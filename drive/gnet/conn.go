package tlsgnet

import (
	"crypto/tls"
	"io"
	"net"
	"sync"
	"time"

	"github.com/panjf2000/gnet/v2"
	"github.com/panjf2000/gnet/v2/pkg/errors"

	"tlscore.example/tlscore"
)

// Conn is a [gnet.Conn] whose application data is protected by TLS: what is read from it
// and written to it is plaintext. What is about the socket (Fd, SetNoDelay, …) is about
// the transport's.
type Conn struct {
	gnet.Conn // the transport

	h    *Handler
	loop *loop
	tls  *tlscore.Machine
	in   tlscore.Inbound // ciphertext that waits
	held tlscore.Inbound // plaintext that the handler has left
	// plain is what the handler can read: what it has left, and the data of the current
	// event.
	plain []byte
	ctx   any

	phase   phase
	depth   int           // how many of our calls are on the stack: memory in use below stays
	refused error         // why Choose has refused the client
	task    *tlscore.Task // that no worker could be had for
	active  time.Duration // when something moved last
	until   time.Duration // when the phase has to be over; 0 for never
	unsent  int           // what gnet held back at the last sweep
	dropped int64         // bytes while draining
	ending  bool          // the transport takes no more after this call
	stop    bool          // the handler wants the engine to end
	stalled bool          // it waits for room in the output, or for a worker
	asked   bool          // it is in its loop's list for that
	place   int           // in its loop's list

	mu     sync.Mutex
	posted []posted // from other goroutines
}

var _ gnet.Conn = (*Conn)(nil)

// phase says how far a connection has come.
type phase uint8

const (
	phaseWaiting   phase = iota // for its turn
	phaseHandshake              //
	phaseOpen                   // the handler has it
	phaseFlushing               // over for the handler; what is left is sent
	phaseDraining               // all is sent, and a FIN: what comes is dropped
	phaseClosed                 //
)

// live reports whether the machine still takes input.
func (p phase) live() bool { return p < phaseFlushing }

// ConnectionState tells what was negotiated.
func (c *Conn) ConnectionState() tls.ConnectionState { return c.tls.ConnectionState() }

// Machine returns the connection's machine, for what has no counterpart in gnet:
// exporters, RequestClientCertificate, KeyUpdate. What is queued by that goes out with
// [Conn.Flush] or the next event. Its Step, Done, Write and Release are the driver's.
func (c *Conn) Machine() *tlscore.Machine { return c.tls }

// State returns the connection state of a connection that the wrapped handler was given.
func State(c gnet.Conn) tls.ConnectionState {
	if c, ok := c.(*Conn); ok {
		return c.ConnectionState()
	}
	return tls.ConnectionState{}
}

// CloseWrite sends close_notify: nothing can be written any more, and reading goes on. The
// peer may answer by closing.
func (c *Conn) CloseWrite() error {
	if c.phase != phaseOpen {
		return net.ErrClosed
	}
	c.enter()
	defer c.leave()
	c.tls.CloseWrite()
	c.flush()
	return nil
}

// Context returns what SetContext has set.
func (c *Conn) Context() any { return c.ctx }

// SetContext sets what Context returns.
func (c *Conn) SetContext(ctx any) { c.ctx = ctx }

// EventLoop returns the event loop. Its Close closes a connection of gnet at once; for an
// end with close_notify, call the connection's.
func (c *Conn) EventLoop() gnet.EventLoop { return eventLoop{c.loop.EventLoop} }

// eventLoop is an event loop that can close our connections.
type eventLoop struct{ gnet.EventLoop }

func (el eventLoop) Close(conn gnet.Conn) error {
	c, ok := conn.(*Conn)
	if !ok {
		return el.EventLoop.Close(conn)
	}
	c.enter()
	defer c.leave()
	c.do(gnet.Close)
	return nil
}

// InboundBuffered returns how many bytes of plaintext can be read.
func (c *Conn) InboundBuffered() int { return len(c.plain) }

// Peek returns the next n bytes without consuming them, all if n is not positive; if there
// are not so many, io.ErrShortBuffer. They are valid until the handler returns.
func (c *Conn) Peek(n int) ([]byte, error) {
	if n > len(c.plain) {
		return nil, io.ErrShortBuffer
	}
	if n <= 0 {
		n = len(c.plain)
	}
	return c.plain[:n:n], nil
}

// Next is Peek, and consumes what it returns.
func (c *Conn) Next(n int) ([]byte, error) {
	p, err := c.Peek(n)
	c.plain = c.plain[len(p):]
	return p, err
}

// Discard consumes n bytes, all if n is not positive or there are fewer.
func (c *Conn) Discard(n int) (int, error) {
	if n <= 0 || n > len(c.plain) {
		n = len(c.plain)
	}
	c.plain = c.plain[n:]
	return n, nil
}

// Read consumes up to len(p) bytes. Without any it returns io.ErrShortBuffer, as gnet does.
func (c *Conn) Read(p []byte) (int, error) {
	n := copy(p, c.plain)
	c.plain = c.plain[n:]
	if n == 0 && len(p) > 0 {
		return 0, io.ErrShortBuffer
	}
	return n, nil
}

// WriteTo writes all plaintext that is there to w.
func (c *Conn) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(c.plain)
	c.plain = c.plain[max(0, min(n, len(c.plain))):]
	return int64(n), err
}

// Write sends p. It takes all of it, unless the connection is over: what the socket has
// no room for is kept by gnet.
func (c *Conn) Write(p []byte) (n int, err error) {
	c.enter()
	defer c.leave()
	for c.phase == phaseOpen {
		if c.loop.room == nil {
			c.loop.room = make([]byte, 0, sealRoom)
		}
		sealed, k, err := c.tls.AppendSealed(c.loop.room, p[n:])
		if n += k; len(sealed) > 0 {
			c.Conn.Write(sealed)
		}
		if _, failure := tlscore.AlertOf(err); failure {
			c.end(err)
		}
		if err != nil || n == len(p) {
			return n, err
		}
	}
	return n, net.ErrClosed
}

// Writev is Write for several pieces, which share records.
func (c *Conn) Writev(pieces [][]byte) (n int, err error) {
	c.enter()
	defer c.leave()
	for _, p := range pieces {
		k, err := c.write(p)
		n += k
		if err != nil {
			return n, err
		}
	}
	c.flush()
	return n, nil
}

// write seals p into the machine's output, and makes room there while that is full.
func (c *Conn) write(p []byte) (n int, err error) {
	for c.phase == phaseOpen {
		k, err := c.tls.Write(p[n:])
		n += k
		if _, failure := tlscore.AlertOf(err); failure {
			c.end(err)
		}
		if err != nil || n == len(p) {
			return n, err
		}
		c.flush()
	}
	return n, net.ErrClosed
}

// ReadFrom writes all that r has.
func (c *Conn) ReadFrom(r io.Reader) (n int64, err error) {
	c.enter()
	defer c.leave()
	for buf := make([]byte, 32<<10); ; {
		k, err := r.Read(buf)
		if k > 0 {
			k, failed := c.write(buf[:k])
			n += int64(k)
			if failed != nil {
				return n, failed
			}
			c.flush()
		}
		switch {
		case err == io.EOF:
			return n, nil
		case err != nil:
			return n, err
		}
	}
}

// Flush has the socket take what it can of what gnet has kept.
func (c *Conn) Flush() error {
	if c.phase != phaseOpen {
		return net.ErrClosed
	}
	c.enter()
	defer c.leave()
	c.flush()
	if c.phase != phaseOpen {
		return net.ErrClosed
	}
	return c.Conn.Flush()
}

// SendTo is for UDP: it is not supported.
func (c *Conn) SendTo([]byte, net.Addr) (int, error) { return 0, errors.ErrUnsupportedOp }

// AsyncWrite is Write from any goroutine. p must not be changed until callback is called,
// which is in the event loop, when p was sealed and handed on; its own error is passed over.
func (c *Conn) AsyncWrite(p []byte, callback gnet.AsyncCallback) error {
	return c.async(callback, func() error {
		_, err := c.Write(p)
		return err
	})
}

// AsyncWritev is AsyncWrite for several pieces.
func (c *Conn) AsyncWritev(pieces [][]byte, callback gnet.AsyncCallback) error {
	return c.async(callback, func() error {
		_, err := c.Writev(pieces)
		return err
	})
}

// Wake has the handler's OnTraffic called, although nothing has come.
func (c *Conn) Wake(callback gnet.AsyncCallback) error {
	return c.async(callback, func() error {
		if c.phase != phaseOpen {
			return net.ErrClosed
		}
		c.do(c.h.user.OnTraffic(c))
		return nil
	})
}

// Close ends the connection with close_notify. It may be called from any goroutine, and
// does not wait for that.
func (c *Conn) Close() error { return c.CloseWithCallback(nil) }

// CloseWithCallback is Close, and calls callback in the event loop when the connection is
// over for the handler.
func (c *Conn) CloseWithCallback(callback gnet.AsyncCallback) error {
	return c.async(callback, func() error {
		c.do(gnet.Close)
		return nil
	})
}

// posted is what is to be done in the event loop.
type posted struct {
	do       func() error
	callback gnet.AsyncCallback
}

// async runs do in the event loop, and callback behind it, in the order of the calls: what
// is posted to gnet's loops can overtake, so it is queued here.
func (c *Conn) async(callback gnet.AsyncCallback, do func() error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.posted) == 0 {
		if err := c.loop.post(c.runPosted); err != nil {
			return err
		}
	}
	c.posted = append(c.posted, posted{do, callback})
	return nil
}

func (c *Conn) runPosted() error {
	c.mu.Lock()
	all := c.posted
	c.posted = nil
	c.mu.Unlock()
	c.enter()
	for _, p := range all {
		err := p.do()
		if p.callback != nil {
			p.callback(c, err)
		}
	}
	c.leave()
	return c.fatal()
}
