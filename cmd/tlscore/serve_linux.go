package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"tlscore.example/tlscore"
)

// This is an event loop with TLS in it: one goroutine, level-triggered epoll,
// any number of connections. Copy it, and put your protocol in the place of
// httpConn. What TLS needs of a loop is little:
//
//   - bytes that were read go through Inbound.Join to Machine.Step, what Step
//     leaves goes to Inbound.Keep;
//   - Machine.Output is written as far as the socket takes it, and Machine.Sent
//     says how far that was;
//   - a failed machine has output too, the alert: a connection is closed when
//     its output is sent, not when its state is StateFailed.
//
// The rest is what every loop needs: it never blocks, never spins, and never
// waits for a peer without a deadline.

// loop drives all connections of a server.
type loop struct {
	*server
	epoll    int
	listener int
	paused   bool // accepting is, since no file descriptor is left
	starved  bool // the last accept failed, and it was told
	stopping bool
	conns    map[int]*conn
	now      time.Time
	scratch  [64 << 10]byte // what is read goes here first, for all connections
}

const (
	tick        = 100 * time.Millisecond // how often deadlines are looked at
	acceptBurst = 64                     // connections accepted before others get a turn
)

// conn is one connection. An idle one holds no buffer.
type conn struct {
	fd   int
	peer string
	tls  *tlscore.Machine
	in   tlscore.Inbound // a partial record, or what back-pressure left
	http httpConn
	// plain is sent instead of the machine's output to who does not speak TLS.
	plain []byte

	phase    phase
	early    bool   // something came before the handshake was complete
	hungry   bool   // the machine has seen all that is in in, and needs more
	deaf     bool   // nothing more will be received: close_notify, EOF, failure
	interest uint32 // what epoll watches for
	deadline time.Time
	drained  int // bytes dropped in phaseDrain
}

// phase says how far the end of a connection has come.
type phase uint8

const (
	phaseOpen  phase = iota
	phaseFlush       // nothing new: the output is sent, close_notify or alert last
	phaseDrain       // the write side is shut down: what comes is dropped until EOF
	phaseClosed
)

// serve runs the loop until ctx is done.
func (s *server) serve(ctx context.Context, ln *net.TCPListener) error {
	file, err := ln.File() // a duplicate that belongs to us
	if err != nil {
		return err
	}
	defer file.Close()
	ln.Close()
	l := &loop{server: s, listener: int(file.Fd()), conns: make(map[int]*conn), now: time.Now()}
	if err := syscall.SetNonblock(l.listener, true); err != nil {
		return os.NewSyscallError("setnonblock", err)
	}
	if l.epoll, err = syscall.EpollCreate1(syscall.EPOLL_CLOEXEC); err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	defer syscall.Close(l.epoll)
	if err := l.control(syscall.EPOLL_CTL_ADD, l.listener, syscall.EPOLLIN); err != nil {
		return err
	}
	return l.run(ctx)
}

func (l *loop) run(ctx context.Context) error {
	var events [256]syscall.EpollEvent
	var swept time.Time
	for {
		n, err := syscall.EpollWait(l.epoll, events[:], int(tick/time.Millisecond))
		if err != nil && err != syscall.EINTR {
			return os.NewSyscallError("epoll_wait", err)
		}
		l.now = time.Now()
		for i := range max(n, 0) {
			if fd := int(events[i].Fd); fd == l.listener {
				l.accept()
			} else if c := l.conns[fd]; c != nil {
				// c may be younger than the event, if another connection with
				// this number ended in this round. All calls below put up with
				// a socket that is not ready after all.
				l.ready(c)
			}
		}
		if l.now.Sub(swept) >= tick {
			swept = l.now
			l.sweep()
		}
		if ctx.Err() != nil && !l.stopping {
			l.stop()
		}
		if l.stopping && len(l.conns) == 0 {
			return nil
		}
	}
}

// control tells epoll what to watch for at a file descriptor. EPOLLERR and
// EPOLLHUP are always watched; they make read or write fail, and that is where
// they are noticed. The FIN of a peer makes it readable: EPOLLRDHUP adds nothing.
func (l *loop) control(op, fd int, interest uint32) error {
	err := syscall.EpollCtl(l.epoll, op, fd, &syscall.EpollEvent{Events: interest, Fd: int32(fd)})
	return os.NewSyscallError("epoll_ctl", err)
}

// accept takes the connections that wait.
func (l *loop) accept() {
	for range acceptBurst {
		fd, addr, err := syscall.Accept4(l.listener, syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
		switch err {
		case nil:
			l.starved = false
			l.open(fd, addr)
		case syscall.EAGAIN:
			return
		case syscall.EINTR, syscall.ECONNABORTED:
			// That one is gone, the next may be fine.
		default:
			// No file descriptors (EMFILE, ENFILE) or no memory. The listener stays
			// readable, so watching it would spin: the next sweep watches again.
			if !l.starved {
				l.logf("cannot accept: %v; trying again until it works", err)
			}
			l.starved = true
			l.control(syscall.EPOLL_CTL_DEL, l.listener, 0)
			l.paused = true
			return
		}
	}
}

// open begins a connection.
func (l *loop) open(fd int, addr syscall.Sockaddr) {
	// A record is written when it is ready: there is nothing to wait for.
	syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
	m, err := l.newMachine()
	if err == nil {
		err = l.control(syscall.EPOLL_CTL_ADD, fd, syscall.EPOLLIN)
	}
	if err != nil {
		l.logf("cannot serve a connection: %v", err)
		syscall.Close(fd)
		return
	}
	c := &conn{fd: fd, peer: peerName(addr), tls: m, hungry: true, interest: syscall.EPOLLIN}
	c.http.page = func() string { return l.page(m) }
	c.http.client = func() (string, bool) { return l.client(m) }
	c.deadline = l.now.Add(l.limits.handshake)
	l.conns[fd] = c
}

// client says who the client is. When it has not shown a certificate yet and can be asked
// for one, it is: the answer comes as an event.
func (l *loop) client(m *tlscore.Machine) (name string, asked bool) {
	name = who(m.ConnectionState())
	if name == "" && l.private {
		asked = m.RequestClientCertificate() == nil // else it has not offered that, or speaks TLS 1.2
	}
	return name, asked
}

// ready serves a connection that can be read or written, one step of each kind,
// so that the others get their turn.
func (l *loop) ready(c *conn) {
	var chunk []byte
	switch {
	case c.phase == phaseDrain:
		l.drain(c)
		return
	case c.interest&syscall.EPOLLIN != 0:
		n, err := syscall.Read(c.fd, l.scratch[:])
		switch {
		case n > 0:
			chunk = l.scratch[:n]
		case err == nil: // the peer's FIN: half of a connection may be left
			c.deaf = true
			c.tls.EOF()
		case err != syscall.EAGAIN && err != syscall.EINTR:
			l.lost(c, err)
			return
		}
	}
	if c.phase == phaseOpen {
		l.step(c, chunk)
	}
	l.flush(c)
}

// step lets the machine work on what was read and what was left, and the
// application on what comes out. It stops when the output is full: then the rest
// waits, the socket is not read, and TCP tells the peer to wait.
func (l *loop) step(c *conn, chunk []byte) {
	in := c.in.Join(chunk)
	c.hungry = false
	for l.respond(c); !c.http.busy() && c.phase == phaseOpen; l.respond(c) {
		ev, n := c.tls.Step(in)
		in = in[n:]
		l.handle(c, ev)
		if ev.Stop() {
			c.hungry = true
			l.respond(c)
			break
		}
	}
	c.in.Keep(in)
}

// handle is told what happened.
func (l *loop) handle(c *conn, ev tlscore.Event) {
	switch ev.Kind {
	case tlscore.EventClientHello: // of an acceptor
		if err := c.tls.Accept(l.certs.forHello(c.tls.ClientHello())); err != nil {
			l.logf("%s cannot be accepted: %v", c.peer, err)
			c.tls.Reject(tlscore.AlertInternalError)
		}
	case tlscore.EventHandshakeDone:
		l.extend(c)
		l.logHandshake(c.peer, c.tls.ConnectionState())
	case tlscore.EventData:
		c.early = c.early || ev.Early
		c.http.receive(ev.Data) // copies: Data lives until the next Step
	case tlscore.EventClientCertificate: // we have asked for it
		c.http.identified(who(c.tls.ConnectionState()))
	case tlscore.EventClosed:
		c.deaf = true
		c.http.end() // the answer is still owed, and can be sent
	case tlscore.EventFailed:
		c.deaf = true
		l.failed(c)
	}
}

// failed is told once that a connection has failed. The alert is in the output.
func (l *loop) failed(c *conn) {
	err := c.tls.Err()
	l.logFailure(c.peer, err)
	if text := plainAnswer(err); text != "" {
		c.plain = []byte(text)
		c.tls.Sent(len(c.tls.Output())) // the alert would be noise to this client
	}
	l.end(c)
}

// respond writes of the response what the machine takes. Then, if there was room
// for all, it closes this direction if no further response can come. What is asked in
// early data is answered at once: that may be a replay, but all that this server does is
// to GET.
func (l *loop) respond(c *conn) {
	if c.phase != phaseOpen || c.tls.State() < tlscore.StateConnected && !c.early {
		return
	}
	for p := c.http.next(); len(p) > 0; p = c.http.next() {
		n, err := c.tls.Write(p)
		c.http.wrote(n)
		if err != nil { // found while sending; the alert is in the output
			l.logFailure(c.peer, err)
			l.end(c)
			return
		}
		if n < len(p) {
			return // the output is full
		}
		if !c.http.busy() {
			l.extend(c) // for the next request
		}
	}
	if c.http.done() && c.tls.State() >= tlscore.StateConnected {
		c.tls.CloseWrite()
		l.end(c)
	}
}

// extend grants a connection time for its next step.
func (l *loop) extend(c *conn) {
	if !l.stopping {
		c.deadline = l.now.Add(l.limits.idle)
	}
}

// end begins the end of a connection: the output will be sent, nothing is added.
func (l *loop) end(c *conn) {
	c.phase = phaseFlush
	l.extend(c)
}

// output is what is to be sent.
func (c *conn) output() []byte {
	if c.plain != nil {
		return c.plain
	}
	return c.tls.Output()
}

// flush sends what the socket takes, and prepares for what comes next.
func (l *loop) flush(c *conn) {
	if out := c.output(); len(out) > 0 {
		n, err := syscall.Write(c.fd, out)
		if err != nil && err != syscall.EAGAIN && err != syscall.EINTR {
			l.lost(c, err)
			return
		}
		l.sent(c, max(n, 0))
	}
	// Now there may be room. The output is filled here, and not only when the
	// socket can be written: as long as a response is not over there is output,
	// so EPOLLOUT will come.
	l.respond(c)
	if c.phase == phaseFlush && len(c.output()) == 0 {
		l.shutdown(c)
		return
	}
	l.watch(c)
}

// sent accounts for n bytes that the socket took.
func (l *loop) sent(c *conn, n int) {
	if c.plain != nil {
		c.plain = c.plain[n:]
	} else {
		c.tls.Sent(n)
	}
	if n > 0 && (c.http.busy() || c.phase == phaseFlush) {
		l.extend(c) // slow, but alive
	}
}

// watch asks epoll for what the connection waits for: to be written to only
// while there is something to write, to be read from only while that makes sense.
// What is left of earlier input comes first, or whoever asks faster than it is
// answered would fill the memory. There is output meanwhile, so EPOLLOUT will come.
func (l *loop) watch(c *conn) {
	var interest uint32
	if len(c.output()) > 0 {
		interest |= syscall.EPOLLOUT
	}
	if c.phase == phaseDrain || c.phase == phaseOpen && !c.deaf && c.hungry && !c.http.busy() {
		interest |= syscall.EPOLLIN
	}
	if interest == c.interest {
		return
	}
	c.interest = interest
	if err := l.control(syscall.EPOLL_CTL_MOD, c.fd, interest); err != nil {
		l.lost(c, err)
	}
}

// shutdown sends a FIN behind the last byte, and lingers. A socket that is closed
// while something unread is in it, or still comes, answers with a reset, and a
// reset can overtake the alert and destroy it. So the rest is read first, for a
// bounded time and up to a bounded size.
func (l *loop) shutdown(c *conn) {
	if err := syscall.Shutdown(c.fd, syscall.SHUT_WR); err != nil {
		l.close(c)
		return
	}
	c.phase = phaseDrain
	c.deadline = l.now.Add(l.limits.linger)
	c.in.Release()
	c.tls.Release() // nothing more is needed of it
	l.watch(c)
}

// drain reads and drops until the peer closes.
func (l *loop) drain(c *conn) {
	n, err := syscall.Read(c.fd, l.scratch[:])
	if err == syscall.EAGAIN || err == syscall.EINTR {
		return
	}
	if c.drained += max(n, 0); n <= 0 || c.drained > lingerBytes {
		l.close(c)
	}
}

// sweep looks at the deadlines. With a hundred thousand connections one would
// keep them in a heap or a timing wheel.
func (l *loop) sweep() {
	if l.paused && !l.stopping {
		l.paused = l.control(syscall.EPOLL_CTL_ADD, l.listener, syscall.EPOLLIN) != nil
	}
	for _, c := range l.conns {
		if l.now.After(c.deadline) {
			l.expired(c)
		}
	}
}

// expired ends a connection that has taken too long.
func (l *loop) expired(c *conn) {
	switch {
	case c.phase == phaseDrain:
		l.close(c)
	case c.phase == phaseFlush || len(c.output()) > 0 && c.http.busy():
		l.lost(c, fmt.Errorf("the client takes nothing of what is sent"))
	case c.tls.State() < tlscore.StateConnected:
		c.tls.Reject(tlscore.AlertGeneralError)
		l.logf("%s failed: no handshake within %s; sent the alert general_error (117)", c.peer, l.limits.handshake)
		l.end(c)
		l.flush(c)
	default: // idle
		c.tls.CloseWrite()
		l.end(c)
		l.flush(c)
	}
}

// stop begins the end of the loop: responses are completed, then all is closed.
func (l *loop) stop() {
	l.stopping = true
	if !l.paused {
		l.control(syscall.EPOLL_CTL_DEL, l.listener, 0)
	}
	for _, c := range l.conns {
		if c.phase == phaseDrain {
			continue // it has no longer than that anyway
		}
		c.deadline = l.now.Add(l.limits.linger)
		if c.phase == phaseFlush {
			continue
		}
		if c.http.stop(); !c.http.busy() {
			c.tls.CloseWrite()
			l.end(c)
		}
		l.flush(c)
	}
}

// lost ends a connection whose transport is broken.
func (l *loop) lost(c *conn, err error) {
	l.logf("%s lost: %v", c.peer, err)
	l.close(c)
}

// close forgets a connection. Closing the socket takes it out of epoll.
func (l *loop) close(c *conn) {
	c.phase = phaseClosed
	delete(l.conns, c.fd)
	syscall.Close(c.fd)
	c.in.Release()
	c.tls.Release()
	l.logDone(c.peer, "closed")
}

// peerName is for logs.
func peerName(addr syscall.Sockaddr) string {
	switch a := addr.(type) {
	case *syscall.SockaddrInet4:
		return (&net.TCPAddr{IP: a.Addr[:], Port: a.Port}).String()
	case *syscall.SockaddrInet6:
		return (&net.TCPAddr{IP: a.Addr[:], Port: a.Port}).String()
	}
	return "unknown peer"
}
