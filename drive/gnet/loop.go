package tlsgnet

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/panjf2000/gnet/v2"
	"github.com/panjf2000/gnet/v2/pkg/errors"
)

// What event loops do by the clock. gnet tells nobody when a buffer has drained or time has
// passed, so timers post to the loops.

const (
	sweepEvery = 50 * time.Millisecond // how often deadlines are looked at

	// How often a loop asks its stalled connections: more seldom while none of them gets
	// on.
	pollFirst = time.Millisecond
	pollLast  = 32 * time.Millisecond
)

// loop is what is known of an event loop. Only its own goroutine uses it.
type loop struct {
	gnet.EventLoop
	h       *Handler
	conns   []*Conn // all of them; each knows its place
	stalled []*Conn // those that wait for room, or for a worker, and some that did
	polling bool    // a poll is due
	every   time.Duration
	room    []byte // what Write seals into; gnet copies what the socket does not take
}

// sealRoom is how much is sealed for one call of gnet: application data of 128 KiB in records of
// any size that is usual.
const sealRoom = 128<<10 + 4<<10

func (h *Handler) loopOf(el gnet.EventLoop) *loop {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.loops[el]
	if l == nil {
		l = &loop{EventLoop: el, h: h, every: pollFirst}
		h.loops[el] = l
	}
	return l
}

// post runs f in the loop. It fails when the engine ends.
func (l *loop) post(f func() error) error {
	if l.h.stopped.Load() {
		return errors.ErrEngineInShutdown
	}
	return l.Execute(context.Background(), gnet.RunnableFunc(func(context.Context) error { return f() }))
}

func (l *loop) add(c *Conn) {
	c.place = len(l.conns)
	l.conns = append(l.conns, c)
}

func (l *loop) remove(c *Conn) {
	last := len(l.conns) - 1
	l.conns[c.place] = l.conns[last]
	l.conns[c.place].place = c.place
	l.conns[last] = nil
	l.conns = l.conns[:last]
	c.stalled = false
}

// sweep has each loop look at its deadlines. It is called by the timer.
func (h *Handler) sweep() {
	h.clock.Store(time.Now().UnixNano())
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range h.loops {
		l.post(l.sweep)
	}
	if h.timer != nil {
		h.timer.Reset(sweepEvery)
	}
}

// now is the time, as exact as it has to be.
func (l *loop) now() time.Duration { return time.Duration(l.h.clock.Load()) }

func (l *loop) sweep() error {
	now := l.now()
	for i := len(l.conns) - 1; i >= 0; i-- { // who is removed is replaced by one that was seen
		if i >= len(l.conns) {
			continue // others have gone with it
		}
		if err := l.conns[i].check(now); err != nil {
			return err
		}
	}
	return nil
}

// stall has a connection asked again soon.
func (l *loop) stall(c *Conn) {
	c.stalled = true
	if !c.asked {
		c.asked = true
		l.stalled = append(l.stalled, c)
		l.every = pollFirst
	}
	l.pollLater()
}

func (l *loop) pollLater() {
	if !l.polling && len(l.stalled) > 0 {
		l.polling = true
		time.AfterFunc(l.every, func() { l.post(l.poll) })
	}
}

// poll lets the stalled connections that can get on do so.
func (l *loop) poll() error {
	l.polling = false
	l.every = min(2*l.every, pollLast)
	asked := l.stalled
	l.stalled = nil
	for _, c := range asked {
		c.asked = false
		switch {
		case !c.stalled: // it is over
		case !c.movable():
			c.asked = true
			l.stalled = append(l.stalled, c)
		default:
			l.every = pollFirst
			c.stalled = false
			if err := c.resume(); err != nil {
				return err
			}
		}
	}
	l.pollLater()
	return nil
}

// turns are the handshakes that may run at the same time, on all loops together.
type turns struct {
	max     int // none if zero
	mu      sync.Mutex
	running int
	waiting []*Conn // in order of arrival
}

// take takes a turn for c, or a place in the queue for one.
func (t *turns) take(c *Conn) bool {
	if t.max == 0 {
		return true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.running < t.max {
		t.running++
		return true
	}
	t.waiting = append(t.waiting, c)
	return false
}

// leave takes c out of the queue.
func (t *turns) leave(c *Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.Index(t.waiting, c); i >= 0 {
		t.waiting = slices.Delete(t.waiting, i, i+1)
	}
}

// give gives a turn back, to the next in the queue if there is one.
func (t *turns) give() {
	if t.max == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.waiting) == 0 {
		t.running--
		return
	}
	next := t.waiting[0]
	t.waiting = slices.Delete(t.waiting, 0, 1)
	next.loop.post(next.begin) // an engine that has ended needs no turns
}
