package uring

import (
	"context"
	"encoding/binary"
	"net"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"tlscore.example/tlscore/drive/uring/internal/ring"
)

// ErrUnavailable is returned, wrapped with the reason, where there is no io_uring, or the
// kernel is older than Linux 6.0.
var ErrUnavailable = ring.ErrUnavailable

const (
	submissions = 1024
	completions = 8192
)

// op is what a completion is about: the low byte of its user data. The rest is the number
// of the connection.
type op uint8

const (
	opAccept op = iota
	opCancelAccept
	opPost
	opRecv
	opSend
	opCancel
	opClose
)

func (o op) of(id int) uint64 { return uint64(id)<<8 | uint64(o) }

// server is a Server that serves.
type server struct {
	*Server
	ring     *ring.Ring
	buffers  *ring.Buffers
	slots    slots
	listener int
	now      time.Time
	swept    time.Time

	conns []*Conn // by number; nil where free
	free  []int   // numbers
	count int     // of connections

	accepting bool
	canceling bool  // the accept is being cancelled
	starved   bool  // no descriptor or memory was left for the last accept
	parked    []int // descriptors of connections beyond the limit, which came while accept was cancelled

	handshakes int     // that run
	waiting    []*Conn // for their turn, in order of arrival
	touched    []*Conn // that have something to submit
	settled    []*Conn // the list that touched was before: none, its memory is touched's next
	stopping   bool
	stopBy     time.Time

	workers workers
	mu      sync.Mutex
	posted  []func() // from other goroutines
	event   int      // an eventfd, which says so
	eventIn []byte   // what is read of it
	closed  bool     // nothing can be posted any more
}

// Serve serves the connections of ln, which it closes, until ctx ends. Then open connections
// are ended with close_notify, and it returns nil when they are, or Linger and the sending
// have had their time. It needs the calling goroutine, which it locks to its thread.
func (s *Server) Serve(ctx context.Context, ln *net.TCPListener) error {
	defer ln.Close()
	if err := s.check(); err != nil {
		return err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	l := &server{Server: s.withDefaults(), event: -1, now: time.Now()}
	defer l.release()
	if err := l.setUp(ln); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { l.post(l.stop) })
	defer stop()
	return l.run()
}

func (l *server) setUp(ln *net.TCPListener) (err error) {
	if l.ring, err = ring.New(submissions, completions); err != nil {
		return err
	}
	if l.buffers, err = l.ring.NewBuffers(0, l.Buffers, l.BufferSize); err != nil {
		return err
	}
	l.slots = slots{size: l.SlotSize, keep: l.Slots}
	if l.eventIn, err = ring.Memory(os.Getpagesize()); err != nil {
		return err
	}
	if l.event, err = unix.Eventfd(0, unix.EFD_CLOEXEC); err != nil {
		return os.NewSyscallError("eventfd", err)
	}
	file, err := ln.File()
	if err != nil {
		return err
	}
	defer file.Close()
	ln.Close()
	// An operation on a descriptor that does not block fails instead of waiting.
	if l.listener, err = unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 3); err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	if err := unix.SetNonblock(l.listener, false); err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	l.workers.max = l.Workers
	return l.awaitPosts()
}

// release ends what setUp has made. All operations have completed.
func (l *server) release() {
	l.mu.Lock()
	l.closed = true
	if l.event >= 0 {
		unix.Close(l.event)
	}
	l.mu.Unlock()
	if l.listener > 0 {
		unix.Close(l.listener)
	}
	if l.ring != nil {
		l.ring.Close()
	}
	if l.buffers != nil {
		l.buffers.Free()
	}
	l.slots.free()
	if l.eventIn != nil {
		unix.Munmap(l.eventIn)
	}
}

// run is the loop.
func (l *server) run() error {
	for {
		if err := l.settle(); err != nil {
			return err
		}
		if l.stopping && l.count == 0 && !l.accepting {
			return l.drainRing()
		}
		if err := l.ring.Submit(sweepEvery); err != nil {
			return err
		}
		l.now = time.Now()
		// No more than there can be at once: what follows gets its turn, too.
		for range completions {
			c, ok := l.ring.Next()
			if !ok {
				break
			}
			if err := l.complete(c); err != nil {
				return err
			}
		}
		if l.now.Sub(l.swept) >= sweepEvery {
			l.swept = l.now
			l.sweep()
		}
	}
}

// settle submits what the connections that something happened to want to have done.
func (l *server) settle() error {
	for len(l.touched) > 0 {
		touched := l.touched
		l.touched, l.settled = l.settled, nil
		for i, c := range touched {
			touched[i] = nil
			c.touched = false
			if err := c.settle(); err != nil {
				return err
			}
		}
		l.settled = touched[:0]
	}
	return l.accept()
}

// complete is told what became of an operation.
func (l *server) complete(c ring.Completion) error {
	o := op(c.UserData)
	switch o {
	case opAccept:
		l.accepted(c)
		return nil
	case opCancelAccept:
		l.canceling = false
		return nil
	case opPost:
		l.runPosted()
		return l.awaitPosts()
	}
	conn := l.conns[c.UserData>>8]
	if !c.More {
		conn.ops--
	}
	switch o {
	case opRecv:
		conn.received(c)
	case opSend:
		conn.sent(c)
	case opCancel:
		conn.canceling = false
	case opClose:
		l.forget(conn)
		return nil
	}
	conn.touch()
	return nil
}

// accept keeps the accept going while there may be more connections, and no longer.
func (l *server) accept() error {
	wanted := !l.stopping && !l.starved && !l.atLimit() && len(l.parked) == 0
	var err error
	switch {
	case wanted && !l.accepting:
		l.accepting = true
		err = l.ring.Accept(l.listener, uint64(opAccept))
	case !wanted && l.accepting && !l.canceling:
		l.canceling = true
		err = l.ring.Cancel(uint64(opAccept), uint64(opCancelAccept))
	}
	return err
}

func (l *server) atLimit() bool {
	return l.Limits.MaxConnections > 0 && l.count >= l.Limits.MaxConnections
}

// accepted is told of a connection, or of the end of the accept.
func (l *server) accepted(c ring.Completion) {
	l.accepting = l.accepting && c.More
	switch err := c.Err(); err {
	case nil:
		if l.stopping {
			unix.Close(int(c.Res))
		} else if l.atLimit() {
			l.parked = append(l.parked, int(c.Res))
		} else {
			l.open(int(c.Res))
		}
	case unix.ECANCELED, unix.ECONNABORTED, unix.EINTR, unix.EPROTO:
	default:
		// No descriptor (EMFILE, ENFILE) or no memory: the next sweep tries again.
		l.starved = true
	}
}

// open begins a connection.
func (l *server) open(fd int) {
	m, err := l.newMachine()
	if err != nil { // it was checked, so this is a fault of the platform
		unix.Close(fd)
		return
	}
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	id := len(l.conns)
	if n := len(l.free); n > 0 {
		id, l.free = l.free[n-1], l.free[:n-1]
	} else {
		l.conns = append(l.conns, nil)
	}
	c := &Conn{l: l, id: id, fd: fd, tls: m, active: l.now}
	l.conns[id] = c
	l.count++
	if l.Limits.HandshakeTimeout > 0 {
		c.until = l.now.Add(l.Limits.HandshakeTimeout)
	}
	if l.Limits.MaxHandshakes > 0 && l.handshakes >= l.Limits.MaxHandshakes {
		l.waiting = append(l.waiting, c)
		return
	}
	c.begin()
}

// forget frees the number of a connection that is closed, all of its operations having
// completed.
func (l *server) forget(c *Conn) {
	l.conns[c.id] = nil
	l.free = append(l.free, c.id)
	l.count--
	if len(l.parked) > 0 && !l.stopping {
		fd := l.parked[0]
		l.parked = l.parked[1:]
		l.open(fd)
	}
}

// handshakeOver gives a turn to the next in line.
func (l *server) handshakeOver() {
	l.handshakes--
	if len(l.waiting) > 0 {
		next := l.waiting[0]
		l.waiting = l.waiting[1:]
		next.begin()
	}
}

// sweep looks at the deadlines.
func (l *server) sweep() {
	l.starved = false
	for _, c := range l.conns {
		if c != nil {
			c.check()
		}
	}
}

// stop begins the end.
func (l *server) stop() {
	l.stopping = true
	l.stopBy = l.now.Add(l.flushTimeout() + max(0, l.Linger.Timeout))
	for _, fd := range l.parked {
		unix.Close(fd)
	}
	l.parked = nil
	for _, c := range l.conns {
		if c != nil && c.phase < phaseFlushing {
			c.tls.CloseWrite()
			c.end(ErrServerClosed)
		}
	}
}

// drainRing ends the read of what is posted, the last operation.
func (l *server) drainRing() error {
	if err := l.ring.Cancel(uint64(opPost), uint64(opCancelAccept)); err != nil {
		return err
	}
	for range 100 { // it takes one round
		if err := l.ring.Submit(sweepEvery); err != nil {
			return err
		}
		for c, ok := l.ring.Next(); ok; c, ok = l.ring.Next() {
			if op(c.UserData) == opPost {
				return nil
			}
		}
	}
	return nil
}

// post has f called in the server's goroutine, after what was posted before. It reports
// whether the server still runs.
func (l *server) post(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	if l.posted = append(l.posted, f); len(l.posted) == 1 {
		var one [8]byte
		binary.NativeEndian.PutUint64(one[:], 1)
		unix.Write(l.event, one[:])
	}
	return true
}

func (l *server) awaitPosts() error {
	return l.ring.Read(l.event, uint64(opPost), l.eventIn[:8])
}

func (l *server) runPosted() {
	l.mu.Lock()
	posted := l.posted
	l.posted = nil
	l.mu.Unlock()
	for _, f := range posted {
		f()
	}
}

// workers run tasks, a few at a time.
type workers struct {
	max     int
	running int
	waiting []func()
}

// run runs work on a goroutine, when there is one free. The server's goroutine calls it,
// and done when work has ended.
func (w *workers) run(work func()) {
	if w.running >= w.max {
		w.waiting = append(w.waiting, work)
		return
	}
	w.running++
	go work()
}

func (w *workers) done() {
	w.running--
	if len(w.waiting) > 0 {
		next := w.waiting[0]
		w.waiting = w.waiting[1:]
		w.run(next)
	}
}

// slots are pieces of memory that the kernel sends from, outside of Go's heap. There are as
// many as are needed, at most two for a connection: were their number limited, clients that
// do not read could keep them from all others.
type slots struct {
	size, keep int
	unused     [][]byte
}

// take takes a slot, empty.
func (s *slots) take() ([]byte, error) {
	if n := len(s.unused); n > 0 {
		b := s.unused[n-1]
		s.unused = s.unused[:n-1]
		return b[:0], nil
	}
	b, err := ring.Memory(s.size)
	if err != nil {
		return nil, err
	}
	return b[:0], nil
}

// give takes a slot back.
func (s *slots) give(b []byte) {
	if len(s.unused) < s.keep {
		s.unused = append(s.unused, b)
		return
	}
	unix.Munmap(b[:cap(b)])
}

// free unmaps those that are not in use.
func (s *slots) free() {
	for _, b := range s.unused {
		unix.Munmap(b[:cap(b)])
	}
	s.unused = nil
}
