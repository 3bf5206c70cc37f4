package netconn

import (
	"net"
	"time"
)

// SetDeadline sets both deadlines of the transport.
//
// Deadlines may be set at any time. One that passes fails the calls that wait,
// with an error whose Timeout method returns true, and breaks nothing: move it
// and go on. Once the connection has failed or is closed they have no effect.
func (c *Conn) SetDeadline(t time.Time) error {
	defer c.resume(t)
	return c.setDeadline(t, c.transport.SetDeadline, true, true)
}

// SetReadDeadline sets the deadline of Read and of the receiving in a handshake.
func (c *Conn) SetReadDeadline(t time.Time) error {
	return c.setDeadline(t, c.transport.SetReadDeadline, true, false)
}

// SetWriteDeadline sets the deadline of Write and of the sending in a handshake.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	defer c.resume(t)
	return c.setDeadline(t, c.transport.SetWriteDeadline, false, true)
}

func (c *Conn) setDeadline(t time.Time, set func(time.Time) error, reading, writing bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.shut.Load() {
		return net.ErrClosed
	}
	if c.flushed != nil {
		return nil // they bound how the connection ends
	}
	if reading {
		c.readBy = t
		c.wakeWaiter()
	}
	if writing {
		c.writeBy = t
		c.timed.Store(!t.IsZero())
	}
	return set(t)
}

// writeExpired reports whether the write deadline has passed already.
func (c *Conn) writeExpired() bool {
	if !c.timed.Load() {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.writeBy.IsZero() && time.Until(c.writeBy) <= 0
}

// resume sends what an earlier write deadline has kept back, now that there is
// a new one.
func (c *Conn) resume(t time.Time) {
	if c.stalled.Load() && (t.IsZero() || time.Until(t) > 0) {
		c.flushLater()
	}
}

// boundWrites sets the write deadline, unless the connection ends already.
func (c *Conn) boundWrites(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flushed == nil {
		c.transport.SetWriteDeadline(time.Now().Add(d))
	}
}

// past is a deadline that makes everything return at once.
var past = time.Unix(1, 0)

// interrupt makes what waits for the transport return. The caller holds mu. A
// transport without deadlines has to be closed for that.
func (c *Conn) interrupt() {
	if err := c.transport.SetDeadline(past); err != nil {
		c.transport.Close()
	}
}
