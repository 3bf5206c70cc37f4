package uring

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"tlscore.example/tlscore"
	"tlscore.example/tlscore/drive"
	"tlscore.example/tlscore/drive/uring/internal/ring"
)

// Conn is a connection of a [Server]. But for Post, its methods are for the server's
// goroutine: for the handler's methods, and for what was posted.
type Conn struct {
	ctx any
	l   *server
	id  int
	fd  int
	tls *tlscore.Machine
	in  tlscore.Inbound // what was left over

	filling []byte // the slot that what is written goes to, nil if there is none
	sending []byte // the slot that the kernel sends from
	offset  int    // how much of it is sent

	phase     phase
	ops       int    // operations that have not completed
	receiving bool   // a receive is among them
	canceling bool   // and a cancellation
	touched   bool   // it is in the list of those who have something to submit
	full      bool   // a Write took less than it was given
	fin       bool   // the peer's FIN has come
	opened    bool   // OnOpen was called
	ended     bool   // OnEnd was called
	canceled  bool   // its operations were, to be closed
	plain     string // is sent in the clear, in place of the alert
	early     []byte // early data that came before the handshake was complete
	refused   error  // why Choose has refused the client
	active    time.Time
	until     time.Time // when the phase has to be over; zero for never
	dropped   int64     // bytes while draining
}

// phase says how far a connection has come.
type phase uint8

const (
	phaseWaiting   phase = iota // for its turn
	phaseHandshake              //
	phaseOpen                   // the handler has it
	phaseFlushing               // over for the handler; what is left is sent
	phaseDraining               // all is sent, and a FIN: what comes is dropped
	phaseClosing                // operations are cancelled, then the descriptor is closed
	phaseClosed                 // the close was submitted
)

// flushTimeout bounds the sending of what is left.
func (l *server) flushTimeout() time.Duration { return drive.FlushTimeout }

// touch has settle called, once for all that happens until then.
func (c *Conn) touch() {
	if !c.touched {
		c.touched = true
		c.l.touched = append(c.l.touched, c)
	}
}

// begin begins the handshake.
func (c *Conn) begin() {
	c.phase = phaseHandshake
	c.l.handshakes++
	c.touch()
}

// ConnectionState tells what was negotiated.
func (c *Conn) ConnectionState() tls.ConnectionState { return c.tls.ConnectionState() }

// Machine returns the connection's machine, for exporters, RequestClientCertificate and
// KeyUpdate. Its Step, Done, Write, Output and Release are the driver's.
func (c *Conn) Machine() *tlscore.Machine { return c.tls }

// Context returns what SetContext has set.
func (c *Conn) Context() any { return c.ctx }

// SetContext sets what Context returns.
func (c *Conn) SetContext(ctx any) { c.ctx = ctx }

// RemoteAddr returns the address of the peer, nil if it is not known any more.
func (c *Conn) RemoteAddr() net.Addr {
	addr, err := unix.Getpeername(c.fd)
	if err != nil {
		return nil
	}
	return tcpAddr(addr)
}

// LocalAddr returns the own address.
func (c *Conn) LocalAddr() net.Addr {
	addr, err := unix.Getsockname(c.fd)
	if err != nil {
		return nil
	}
	return tcpAddr(addr)
}

func tcpAddr(addr unix.Sockaddr) net.Addr {
	switch a := addr.(type) {
	case *unix.SockaddrInet4:
		return &net.TCPAddr{IP: slices.Clone(a.Addr[:]), Port: a.Port}
	case *unix.SockaddrInet6:
		return &net.TCPAddr{IP: slices.Clone(a.Addr[:]), Port: a.Port}
	}
	return nil
}

// Post has f called in the server's goroutine with the connection, if it is still open
// then. It may be called from any goroutine, and reports whether the server still runs.
func (c *Conn) Post(f func(*Conn)) bool {
	return c.l.post(func() {
		if c.phase == phaseOpen {
			f(c)
		}
	})
}

// Write seals p and sends it. When there is not room for all of it, n says how much was
// taken: go on with p[n:] in OnWritable. The error is that of the machine, or net.ErrClosed
// when the connection is over.
func (c *Conn) Write(p []byte) (n int, err error) {
	if c.phase != phaseOpen {
		return 0, net.ErrClosed
	}
	if len(p) == 0 {
		return 0, nil
	}
	if err := c.takeSlot(); err != nil {
		return 0, err
	}
	c.filling, n, err = c.tls.AppendSealed(c.filling, p)
	c.touch()
	if _, failure := tlscore.AlertOf(err); failure {
		c.end(err)
	}
	c.full = err == nil && n < len(p)
	return n, err
}

// CloseWrite sends close_notify. Reading goes on; the peer may answer by closing.
func (c *Conn) CloseWrite() {
	if c.phase == phaseOpen {
		c.tls.CloseWrite()
		c.touch()
	}
}

// Close ends the connection with close_notify, behind what was written. The handler's
// OnClose is called before it returns.
func (c *Conn) Close() {
	if c.phase == phaseOpen {
		c.tls.CloseWrite()
		c.end(nil)
	}
}

// Reject ends the connection with an alert. It returns the error of
// [tlscore.Machine.Reject]; then nothing has changed.
func (c *Conn) Reject(a tlscore.Alert) error {
	if c.phase != phaseOpen {
		return net.ErrClosed
	}
	err := c.tls.Reject(a)
	if err == nil {
		c.end(c.tls.Err())
	}
	return err
}

// settle submits what the connection needs.
func (c *Conn) settle() error {
	if c.phase < phaseClosing {
		if err := c.flush(); err != nil {
			return err
		}
	}
	if c.filling != nil && len(c.filling) == 0 {
		c.l.slots.give(c.filling)
		c.filling = nil
	}
	if c.phase == phaseFlushing && c.allSent() {
		c.finish()
	}
	if c.phase >= phaseClosing {
		return c.close()
	}
	return c.listen()
}

// flush moves the output to a slot and sends the next one. Then there is room for the
// handler, and for what was left of the input.
func (c *Conn) flush() error {
	for {
		if err := c.fill(); err != nil {
			c.lost(err)
			return nil
		}
		if c.sending == nil && len(c.filling) > 0 {
			c.sending, c.filling, c.offset = c.filling, nil, 0
			if err := c.send(); err != nil {
				return err
			}
		}
		if !c.full || len(c.filling) > 0 {
			return nil // it goes on when a slot is sent
		}
		c.full = false
		c.l.Handler.OnWritable(c)
		if c.phase == phaseOpen && !c.full {
			c.step(nil)
		}
	}
}

// fill moves the machine's output to the slot that is filled.
func (c *Conn) fill() error {
	if len(c.tls.Output()) == 0 && c.plain == "" {
		return nil
	}
	if err := c.takeSlot(); err != nil {
		return err
	}
	c.filling = append(c.tls.AppendOutput(c.filling), c.plain...)
	c.plain = ""
	return nil
}

// takeSlot makes sure that there is a slot to fill.
func (c *Conn) takeSlot() (err error) {
	if c.filling == nil {
		c.filling, err = c.l.slots.take()
	}
	return err
}

func (c *Conn) send() error {
	c.ops++
	return c.l.ring.Send(c.fd, opSend.of(c.id), c.sending[c.offset:])
}

// sent is told that the kernel has taken something of the slot that is sent.
func (c *Conn) sent(done ring.Completion) {
	if err := done.Err(); err != nil {
		c.giveSending()
		c.lost(os.NewSyscallError("send", err))
		return
	}
	c.active = c.l.now
	c.offset += int(done.Res)
	if c.offset < len(c.sending) && c.phase < phaseClosing {
		if c.send() != nil {
			c.lost(io.ErrShortWrite)
		}
		return
	}
	c.giveSending()
}

func (c *Conn) giveSending() {
	c.l.slots.give(c.sending)
	c.sending = nil
}

func (c *Conn) allSent() bool {
	return c.sending == nil && len(c.filling) == 0 && len(c.tls.Output()) == 0 && c.plain == ""
}

// listen keeps the receive going while it is of use, and no longer. Behind the peer's
// close_notify it tells when the transport ends.
func (c *Conn) listen() error {
	wanted := !c.fin && !c.full && c.phase != phaseWaiting && c.phase != phaseFlushing
	switch {
	case wanted && !c.receiving:
		c.receiving = true
		c.ops++
		return c.l.ring.Recv(c.fd, opRecv.of(c.id), c.l.buffers)
	case c.receiving && c.full && !c.canceling:
		c.canceling = true
		c.ops++
		return c.l.ring.Cancel(opRecv.of(c.id), opCancel.of(c.id))
	}
	return nil
}

// received is told what has come.
func (c *Conn) received(done ring.Completion) {
	c.receiving = c.receiving && done.More
	err := done.Err()
	switch {
	case done.Buffer >= 0:
		c.take(c.l.buffers.Bytes(done.Buffer, int(done.Res)))
		c.l.buffers.Give(done.Buffer)
	case err == nil:
		c.finished()
	case err == unix.ENOBUFS || err == unix.ECANCELED || err == unix.EINTR:
		// listen goes on, if it is wanted: by then the buffers were given back.
	default:
		c.lost(os.NewSyscallError("recv", err))
	}
}

func (c *Conn) take(chunk []byte) {
	c.active = c.l.now
	switch {
	case c.phase < phaseFlushing && !c.ended:
		c.step(chunk)
	default:
		if c.dropped += int64(len(chunk)); c.dropped > c.l.Linger.Bytes {
			c.shut()
		}
	}
}

// finished is told of the peer's FIN.
func (c *Conn) finished() {
	c.fin = true
	switch {
	case c.phase < phaseFlushing:
		c.tls.EOF()
		c.step(nil)
	case c.phase == phaseDraining:
		c.shut()
	}
}

// step lets the machine work on what has come and what was left, and the handler on what
// comes out, until the output is full.
func (c *Conn) step(chunk []byte) {
	in := c.in.Join(chunk)
	for c.phase < phaseFlushing && !c.full {
		ev, n := c.tls.Step(in)
		in = in[n:]
		c.handle(ev)
		if ev.Stop() {
			break
		}
	}
	if c.phase < phaseFlushing {
		c.in.Keep(in)
	} else {
		c.in.Release()
	}
	c.touch()
}

// handle is told what happened.
func (c *Conn) handle(ev tlscore.Event) {
	switch ev.Kind {
	case tlscore.EventClientHello:
		c.refused = drive.Answer(c.tls, c.l.Choose)
	case tlscore.EventTask:
		c.startTask()
	case tlscore.EventHandshakeDone:
		c.established()
	case tlscore.EventData:
		if c.phase != phaseOpen { // it is early data, which is a replay until then
			c.early = append(c.early, ev.Data...)
			return
		}
		c.l.Handler.OnData(c, ev.Data)
	case tlscore.EventClosed:
		if !c.ended {
			c.ended = true
			c.l.Handler.OnEnd(c, ev.Truncated)
		}
	case tlscore.EventFailed:
		c.failed()
	}
}

// established gives the connection to the handler.
func (c *Conn) established() {
	c.phase, c.opened, c.until = phaseOpen, true, time.Time{}
	c.l.handshakeOver()
	c.l.Handler.OnOpen(c)
	if early := c.early; len(early) > 0 && c.phase == phaseOpen {
		c.early = nil
		c.l.Handler.OnData(c, early)
	}
}

// startTask has a worker run the task that the machine waits for.
func (c *Conn) startTask() {
	task, l := c.tls.Task(), c.l
	l.workers.run(func() {
		task.Run() // it never touches the machine
		l.post(func() {
			l.workers.done()
			if c.phase < phaseFlushing && c.tls.Done(task) == nil { // else it has ended meanwhile
				c.step(nil)
			}
		})
	})
}

// failed ends a connection whose machine has failed. The alert is in its output.
func (c *Conn) failed() {
	err := c.tls.Err()
	var protocol *tlscore.ProtocolError
	if errors.As(err, &protocol) && protocol.PlainHTTP() {
		c.tls.Sent(len(c.tls.Output())) // the client could not read it
		c.plain = drive.PlainHTTPAnswer
	}
	if c.refused != nil {
		err = fmt.Errorf("%w: %w", err, c.refused)
	}
	c.end(err)
}

// end ends the connection for the handler; the rest is ours. What is in the output goes
// out, and nothing is added to it.
func (c *Conn) end(err error) {
	was := c.phase
	if was >= phaseFlushing {
		return
	}
	c.phase = phaseFlushing
	c.until = c.l.now.Add(c.l.flushTimeout())
	c.full = false
	c.touch()
	switch was {
	case phaseWaiting:
		c.l.waiting = slices.DeleteFunc(c.l.waiting, func(other *Conn) bool { return other == c })
	case phaseHandshake:
		c.l.handshakeOver()
	}
	switch {
	case c.opened:
		c.l.Handler.OnClose(c, err)
	case c.l.OnFailure != nil:
		c.l.OnFailure(c.RemoteAddr(), err)
	}
}

// finish is called when all is sent: a FIN follows. A close while something unread is
// there, or still comes, is answered with a reset, which can destroy what the peer has not
// read; so what comes is dropped for a while.
func (c *Conn) finish() {
	if c.fin || c.l.Linger.Timeout < 0 || unix.Shutdown(c.fd, unix.SHUT_WR) != nil {
		c.shut()
		return
	}
	c.phase = phaseDraining
	c.until = c.l.now.Add(c.l.Linger.Timeout)
	c.release()
}

// lost ends a connection whose transport is broken.
func (c *Conn) lost(err error) {
	c.end(err)
	c.shut()
}

// shut begins the close.
func (c *Conn) shut() {
	if c.phase < phaseClosing {
		c.phase = phaseClosing
		c.touch()
	}
}

// release hands back what only an open connection needs.
func (c *Conn) release() {
	c.in.Release()
	c.early = nil
	c.tls.Release()
}

// close cancels what is under way, and closes the descriptor when nothing is.
func (c *Conn) close() error {
	switch {
	case c.phase == phaseClosed:
		return nil
	case c.ops > 0:
		if c.canceled {
			return nil
		}
		c.canceled = true
		c.ops++
		return c.l.ring.CancelFD(c.fd, opCancel.of(c.id))
	}
	c.phase = phaseClosed
	c.release()
	if c.filling != nil {
		c.l.slots.give(c.filling)
		c.filling = nil
	}
	c.ops++
	return c.l.ring.CloseFD(c.fd, opClose.of(c.id))
}

// check looks at the deadlines.
func (c *Conn) check() {
	now, idle := c.l.now, c.l.Limits.IdleTimeout
	switch {
	case c.phase == phaseOpen && idle > 0 && now.Sub(c.active) > idle:
		c.tls.CloseWrite()
		c.end(drive.ErrIdleTimeout)
	case c.l.stopping && now.After(c.l.stopBy):
		c.shut()
	case c.until.IsZero() || now.Before(c.until):
	case c.phase < phaseFlushing:
		c.tls.Reject(tlscore.AlertGeneralError)
		c.end(drive.ErrHandshakeTimeout)
	default:
		c.shut()
	}
}
