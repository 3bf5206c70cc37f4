// Package netconn is TLS as a [net.Conn]: it drives a [tlscore.Machine] over a
// connection, in either role, the way crypto/tls does. net/http works over it,
// as a server through [Listener] and as a client through [Dialer].
//
// # What a connection does
//
// The handshake runs with the first Read or Write, or when asked for. What is
// wrong with a config is the error of the handshake, as in crypto/tls; a server
// with such a config still tells its peer, with internal_error.
//
// Read and Write do not wait for each other. The receiving half of the machine
// is used under one mutex, the sending half under another. What receiving has to
// send after the handshake, the answer to a KeyUpdate, is sent by a goroutine of
// its own, at most two at a time, each of which lives until its bytes are
// written: a Read never waits for the peer to read, so that two peers which both
// write do not stop each other.
//
// Nothing is decrypted before a Read has room for it, and nothing is read while
// bytes are left that were not decrypted, so whoever stops reading applies
// back-pressure. A connection holds a read buffer only while a Read is blocked
// (2 KiB, more while data streams in) and while a record is partly there or
// partly delivered.
//
// # How a connection ends
//
// When a connection fails, whoever is at fault, the output of the machine, whose
// last record is the alert, is sent before the failing call returns. Then the
// transport is closed in a way that lets the alert arrive: see [Linger]. That
// needs no Close, which is due all the same.
//
// Errors are those of the machine: [*tlscore.ProtocolError],
// [*tlscore.RemoteAlert], [*tlscore.LocalError]. Errors of the transport and of
// its deadlines come as they are. A deadline ends nothing: the handshake, a Read
// and a Write can each go on after it where they were.
package netconn

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"tlscore.example/tlscore"
	"tlscore.example/tlscore/drive"
)

// errEarlyCloseWrite is what CloseWrite returns before the handshake is complete.
var errEarlyCloseWrite = errors.New("netconn: CloseWrite before the handshake is complete")

// Conn is a TLS connection over another connection. Its methods may be called
// from any goroutine at any time.
type Conn struct {
	transport net.Conn
	machine   *tlscore.Machine // nil if none could be made
	setup     error            // why the handshake cannot be done at all
	choose    ChooseConfig     // of an acceptor
	server    bool
	settings

	// recv is held by whoever is in the receiving half of the machine.
	recv        sync.Mutex
	in          inbox
	data        []byte // what is left of the current event; points into in
	refused     error  // what ChooseConfig returned, if that ended the handshake
	giveUp      time.Time
	established bool          // the handshake is over, its last flight may be unsent
	held        []byte        // application data that came before anybody could read it
	early       []byte        // of a client: what is to be sent first, and was not yet
	asking      bool          // until the client's certificate is there
	task        *tlscore.Task // that runs on a goroutine
	taskDone    chan struct{} // closed at its end

	// steps is held for each call of the machine's receiving half, so that one can
	// ask about the connection while a Read waits. It is the innermost but for seal.
	steps sync.Mutex

	// send is held by whoever is in the sending half of the machine. It comes
	// after recv, and before mu.
	send sync.Mutex
	// seal is the machine's own lock between its halves.
	seal sync.Mutex

	// mu guards how the connection ends, and the deadlines, which are the
	// caller's until it does.
	mu      sync.Mutex
	cause   error         // what everything returns once the connection is over
	flushed chan struct{} // made when it ends; closed when the last bytes are sent
	waiter  chan struct{} // wakes who waits for a task; nil while nobody does
	readBy  time.Time     // the read deadline
	writeBy time.Time     // the write deadline

	unsent outgoing // sealed and not sent; guarded by send

	turn   bool        // it is one of the handshakes that MaxHandshakes counts; guarded by mu
	idle   *time.Timer // of IdleTimeout; guarded by mu
	active atomic.Int64

	complete  atomic.Bool // the handshake succeeded
	started   atomic.Bool // the handshake was begun
	shut      atomic.Bool // Close was called
	ended     atomic.Bool // cause is set
	readEnded atomic.Bool // the peer has closed its direction
	flushing  atomic.Bool // a flushLater waits for its turn
	stalled   atomic.Bool // the last write to the transport failed
	timed     atomic.Bool // there is a write deadline
}

// settings are what a Listener or a Dialer gives to its connections.
type settings struct {
	linger      Linger
	limits      drive.Limits  // with its defaults; those of connections belong to the Listener
	turns       chan struct{} // has a token for each handshake that may run besides; nil for any number
	closed      func()        // is called when the transport is closed; may be nil
	answersHTTP bool          // with a 400
}

// Client returns the client's end of a TLS connection over conn. What is wrong
// with cfg is returned by the handshake.
func Client(conn net.Conn, cfg *tlscore.Config) *Conn {
	m, err := tlscore.NewClient(cfg)
	return newConn(conn, m, err)
}

// Server returns the server's end of a TLS connection over conn. What is wrong
// with cfg is returned by the handshake; the client is told internal_error.
func Server(conn net.Conn, cfg *tlscore.Config) *Conn {
	m, err := tlscore.NewServer(cfg)
	c := newConn(conn, m, err)
	c.beServer()
	return c
}

func newConn(conn net.Conn, m *tlscore.Machine, err error) *Conn {
	c := &Conn{transport: conn, machine: m, setup: err}
	if m != nil {
		m.SetLocker(&c.seal)
	}
	return c
}

// beServer makes c a server's. One that cannot work gets a machine that can at
// least say so.
func (c *Conn) beServer() {
	c.server = true
	if c.machine != nil {
		return
	}
	if m, err := tlscore.NewAcceptor(tlscore.Limits{}); err == nil {
		m.SetLocker(&c.seal)
		c.machine = m
	}
}

// Read reads application data, after the handshake, which it runs if need be. It
// fills p from whatever has arrived already and waits only for the first byte.
//
// Early data, which a server gets if its config accepts it, is what Read returns first,
// and not before the handshake is complete: then it is no replay any more.
//
// It returns io.EOF after the peer's close_notify, io.ErrUnexpectedEOF when the
// transport ended without one, net.ErrClosed after Close, and the error of a
// connection that has failed. After a deadline it can be called again.
func (c *Conn) Read(p []byte) (int, error) {
	if err := c.Handshake(); err != nil {
		return 0, err
	}
	if len(p) == 0 {
		return 0, nil
	}
	c.recv.Lock()
	defer c.recv.Unlock()
	if err := c.over(); err != nil {
		return 0, err
	}
	n, err := c.fillFrom(p)
	if len(c.data) == 0 {
		c.in.idle()
	}
	return n, err
}

// fillFrom copies application data to p. It waits for the first byte only.
func (c *Conn) fillFrom(p []byte) (n int, err error) {
	for n < len(p) {
		if len(c.data) == 0 {
			c.data, c.held = c.held, nil
		}
		if len(c.data) == 0 {
			err := c.nextData(n == 0)
			switch {
			case err != nil && n == 0:
				return 0, err
			case err != nil || len(c.data) == 0:
				// The end repeats itself in the next Read.
				return n, nil
			}
		}
		k := copy(p[n:], c.data)
		c.data = c.data[k:]
		n += k
	}
	return n, nil
}

// nextData steps to the next application data, to a certificate that was asked for, or to
// an end. It waits for input
// only if told to; if not, it may find neither.
func (c *Conn) nextData(wait bool) error {
	for {
		ev := c.step()
		if ev.Queued && ev.Kind != tlscore.EventFailed {
			c.flushLater()
		}
		switch {
		case ev.Kind == tlscore.EventData:
			c.data = ev.Data
			return nil
		case ev.Kind == tlscore.EventClosed:
			c.readEnded.Store(true)
			if ev.Truncated {
				return io.ErrUnexpectedEOF
			}
			return io.EOF
		case ev.Kind == tlscore.EventFailed:
			return c.failed()
		case ev.Kind == tlscore.EventClientCertificate && c.asking:
			c.asking = false
			return nil
		case ev.Kind == tlscore.EventTask:
			c.startTask()
		case ev.Kind == tlscore.EventWait && wait:
			if err := c.awaitTask(); err != nil {
				return err
			}
		case !ev.Stop():
			// A KeyUpdate or a ticket came: nothing that the caller has to know.
		case !wait:
			return nil
		default:
			if err := c.receive(); err != nil {
				return err
			}
		}
	}
}

// step returns the next event of what has arrived.
func (c *Conn) step() tlscore.Event {
	c.steps.Lock()
	defer c.steps.Unlock()
	ev, n := c.machine.Step(c.in.bytes())
	c.in.consume(n)
	return ev
}

// receive waits for more from the transport, and tells the machine of its end.
func (c *Conn) receive() error {
	err := c.in.readFrom(c.transport)
	if err == nil {
		c.stamp()
		return nil
	}
	if over := c.over(); over != nil {
		return over
	}
	if err == io.EOF {
		c.readEnded.Store(true)
		c.steps.Lock()
		defer c.steps.Unlock()
		c.machine.EOF()
		return nil
	}
	return err
}

// Write sends p as application data, after the handshake, which it runs if need
// be. Up to 128 KiB go out in one call of the transport's Write.
//
// When the write deadline cuts it short, n says how much of p was taken: sealed,
// and sent or kept to be sent. What is kept goes out, without anything lost or
// torn, before whatever is written next, or by itself when the deadline is
// moved. So Write can be called again with p[n:]; with n == len(p) and an error
// everything was taken, but not all of it has left. A Write without bytes sends
// what was kept.
func (c *Conn) Write(p []byte) (n int, err error) {
	if err := c.Handshake(); err != nil {
		return 0, err
	}
	c.send.Lock()
	defer c.send.Unlock()
	if c.stalled.Load() || len(p) == 0 {
		if err := c.flush(); err != nil {
			return 0, err
		}
	}
	for n < len(p) {
		if err := c.over(); err != nil {
			return n, err
		}
		if c.writeExpired() {
			return n, os.ErrDeadlineExceeded // what is sealed has to be sent
		}
		k, refused := c.sealNext(p[n:])
		n += k
		if err := c.flush(); err != nil {
			return n, err
		}
		if refused != nil {
			return n, c.writeRefused(refused)
		}
	}
	return n, nil
}

// writeRefused returns the error of a Write that the machine refused. A failure
// that it found in doing so ends the connection; its alert was flushed.
func (c *Conn) writeRefused(err error) error {
	if _, failure := tlscore.AlertOf(err); failure {
		c.end(err, lastWords{linger: true})
	}
	if over := c.over(); over != nil {
		return over
	}
	return err
}

// flush sends the output, in one call unless the transport cuts it short. The
// caller holds send. What could not be sent is kept.
func (c *Conn) flush() error {
	for {
		out := c.unsent.bytes()
		sealed := len(out) > 0
		if !sealed {
			out = c.machine.Output()
		}
		if len(out) == 0 {
			c.stalled.Store(false)
			return nil
		}
		n, err := c.transport.Write(out)
		n = min(max(n, 0), len(out))
		if sealed {
			c.unsent.discard(n)
		} else {
			c.machine.Sent(n)
		}
		if n > 0 {
			c.stamp()
		}
		if n == 0 && err == nil {
			err = io.ErrShortWrite
		}
		switch {
		case err != nil:
			c.stalled.Store(true)
			if over := c.over(); over != nil {
				return over
			}
			return err
		case sealed && n == len(out) && !c.stalled.Load():
			return nil // what was in the output went first, and a flushLater waits if there is more
		}
	}
}

// flushLater sends the output without waiting for it. A goroutine waits instead,
// until the bytes are written, the write deadline passes, or the connection
// ends: a Read that had to wait here would stop reading, and if the peer does
// the same, both stop for good.
func (c *Conn) flushLater() {
	if c.flushing.Swap(true) {
		return // that one has not looked at the output yet
	}
	go func() {
		c.send.Lock()
		defer c.send.Unlock()
		c.flushing.Store(false)
		c.flush() // an error is found again by the next Write
	}()
}

// CloseWrite sends close_notify: the peer reads io.EOF, while Read goes on here.
// The transport's own writing direction stays open. It waits for a Write that is
// under way, then at most 5 seconds, which become the write deadline. Before the
// handshake is complete it is an error.
func (c *Conn) CloseWrite() error {
	if err := c.over(); err != nil {
		return err
	}
	if !c.complete.Load() {
		return errEarlyCloseWrite
	}
	c.send.Lock()
	defer c.send.Unlock()
	c.machine.CloseWrite()
	c.boundWrites(drive.FlushTimeout)
	return c.flush()
}

// ConnectionState tells what was negotiated: whether a session was resumed, the
// peer's certificates, its OCSP response and timestamps among it. It runs the
// handshake if need be, as Read does, and waits for one that runs:
// [net/http.Server] asks before it reads for the first time. When the handshake
// fails, it tells how far that came: the certificates of a peer that did not verify,
// for example. A callback of the config, which is part of the handshake, must not call
// it.
//
// The exporters of the result do not work; see [Conn.ExportKeyingMaterial].
func (c *Conn) ConnectionState() tls.ConnectionState {
	_ = c.Handshake() // the next Read or Write returns it too
	if c.machine == nil {
		return tls.ConnectionState{}
	}
	c.steps.Lock()
	defer c.steps.Unlock()
	return c.machine.ConnectionState()
}

// ExportKeyingMaterial is [tlscore.Machine.ExportKeyingMaterial] of the connection.
// It runs the handshake if need be, as Read does, and works until the connection
// ends.
func (c *Conn) ExportKeyingMaterial(label string, context []byte, n int) ([]byte, error) {
	if err := c.Handshake(); err != nil {
		return nil, err
	}
	c.steps.Lock()
	defer c.steps.Unlock()
	return c.machine.ExportKeyingMaterial(label, context, n)
}

// ChannelBinding is [tlscore.Machine.ChannelBinding] of the connection. It is like
// ExportKeyingMaterial otherwise.
func (c *Conn) ChannelBinding() ([]byte, error) {
	if err := c.Handshake(); err != nil {
		return nil, err
	}
	c.steps.Lock()
	defer c.steps.Unlock()
	return c.machine.ChannelBinding()
}

// NetConn returns the connection that c is over. Reading from it, writing to it
// or setting its deadlines breaks c.
func (c *Conn) NetConn() net.Conn { return c.transport }

// LocalAddr returns the local address of the transport.
func (c *Conn) LocalAddr() net.Addr { return c.transport.LocalAddr() }

// RemoteAddr returns the remote address of the transport.
func (c *Conn) RemoteAddr() net.Addr { return c.transport.RemoteAddr() }

// over returns what every call returns when the connection is over, else nil.
func (c *Conn) over() error {
	if c.shut.Load() {
		return net.ErrClosed
	}
	if !c.ended.Load() { // every call asks, so that is no reason to lock
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cause
}

// because notes why the connection is over, if it is not over already. The caller holds mu.
func (c *Conn) because(cause error) {
	if c.cause == nil {
		c.cause = cause
		c.ended.Store(true)
	}
}
