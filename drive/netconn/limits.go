package netconn

import (
	"time"

	"tlscore.example/tlscore/drive"
)

// What a Listener grants its connections: turns for handshakes, and time to be idle.

// takeTurn waits until this handshake may run, if only so many may at a time. It keeps its
// turn over deadlines, until it is complete or the connection ends. The caller holds recv.
func (c *Conn) takeTurn() error {
	if c.turns == nil || c.hasTurn() {
		return nil
	}
	if err := c.waitFor(c.turns); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turn = true
	if c.flushed != nil { // it has ended in this moment
		c.giveTurn()
	}
	return c.cause
}

func (c *Conn) hasTurn() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.turn
}

// giveTurn gives the turn to another. The caller holds mu.
func (c *Conn) giveTurn() {
	if c.turn {
		c.turn = false
		c.turns <- struct{}{}
	}
}

// stamp notes that something was received or sent.
func (c *Conn) stamp() {
	if c.limits.IdleTimeout > 0 {
		c.active.Store(time.Now().UnixNano())
	}
}

// watchIdle begins to watch for a connection that is idle for too long: a timer that looks
// when it may be, instead of one that is moved whenever it is not. The caller holds mu.
func (c *Conn) watchIdle() {
	if c.limits.IdleTimeout > 0 {
		c.stamp()
		c.idle = time.AfterFunc(c.limits.IdleTimeout, c.checkIdle)
	}
}

func (c *Conn) checkIdle() {
	rest := c.limits.IdleTimeout - time.Since(time.Unix(0, c.active.Load()))
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.flushed != nil:
	case rest > 0:
		c.idle.Reset(rest)
	default:
		c.endLocked(drive.ErrIdleTimeout, lastWords{notify: true, linger: canCloseWrite(c.transport)})
	}
}
