// Package drive has what the drivers beneath it agree on: how long a peer gets, how
// many there may be at a time, and how a connection ends so that the peer learns why.
// It does no I/O itself; docs/drivers.md tells how to write a driver.
package drive

import (
	"os"
	"time"
)

// Limits are what a server grants its peers. The zero value is fit for use.
type Limits struct {
	// HandshakeTimeout is how long a handshake may take, from the first call or
	// from when the connection was accepted, the wait for its turn included. Who
	// takes longer is told general_error (117). Zero means DefaultHandshakeTimeout,
	// less means no bound.
	HandshakeTimeout time.Duration
	// IdleTimeout is how long an established connection may neither send nor take
	// anything. It is then closed, with close_notify. Zero means no bound.
	IdleTimeout time.Duration
	// MaxConnections is how many connections there may be at a time. Those beyond are
	// left in the listener's queue until one ends; a driver that cannot do that says
	// what it does. Zero means no bound.
	MaxConnections int
	// MaxHandshakes is how many of them may be in their handshake at a time, where the
	// processor time goes. Those beyond wait for their turn, unread. Zero means no bound.
	MaxHandshakes int
}

// DefaultHandshakeTimeout is how long a handshake may take unless Limits says otherwise.
const DefaultHandshakeTimeout = 10 * time.Second

// WithDefaults returns l with its defaults in place: what means no bound is zero.
func (l Limits) WithDefaults() Limits {
	if l.HandshakeTimeout == 0 {
		l.HandshakeTimeout = DefaultHandshakeTimeout
	}
	l.HandshakeTimeout = max(0, l.HandshakeTimeout)
	l.IdleTimeout = max(0, l.IdleTimeout)
	l.MaxConnections = max(0, l.MaxConnections)
	l.MaxHandshakes = max(0, l.MaxHandshakes)
	return l
}

// Linger says how a connection is closed. Bytes that arrive after a close, or
// were not read before it, make a kernel answer with a reset, and a reset can
// destroy what the peer has not read yet: our alert. So the writing direction of
// the transport is shut down first, then what still comes is read and dropped,
// until the peer closes or a limit is reached, and only then the transport is
// closed.
//
// It is done when this side has sent an alert or a close_notify to a peer that
// may still be sending. After the peer's own end, or when the transport is
// broken, there is nothing to wait for.
type Linger struct {
	// Timeout is how long the peer gets. Zero means DefaultLingerTimeout; when
	// it is negative, the transport is closed as soon as everything is sent.
	Timeout time.Duration
	// Bytes is how much of its data is dropped. Zero means DefaultLingerBytes.
	Bytes int64
}

// The defaults of [Linger]: time for a few round trips, and more bytes than
// kernels usually have in flight.
const (
	DefaultLingerTimeout = 2 * time.Second
	DefaultLingerBytes   = 16 << 20
)

// WithDefaults returns l with its defaults in place.
func (l Linger) WithDefaults() Linger {
	if l.Timeout == 0 {
		l.Timeout = DefaultLingerTimeout
	}
	if l.Bytes == 0 {
		l.Bytes = DefaultLingerBytes
	}
	return l
}

// FlushTimeout bounds the sending of an alert or a close_notify, with what was
// queued before it, to a peer that does not read. crypto/tls gives as much.
const FlushTimeout = 5 * time.Second

// ErrHandshakeTimeout is the error of a connection whose handshake took longer than
// Limits allow, and ErrIdleTimeout that of one which was idle for longer. Both are an
// os.ErrDeadlineExceeded, and a net.Error whose Timeout method returns true.
var (
	ErrHandshakeTimeout error = timeoutError("the handshake took too long")
	ErrIdleTimeout      error = timeoutError("the connection was idle for too long")
)

type timeoutError string

func (e timeoutError) Error() string { return string(e) }
func (timeoutError) Unwrap() error   { return os.ErrDeadlineExceeded }
func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return true }
