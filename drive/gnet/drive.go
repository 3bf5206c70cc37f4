package tlsgnet

import (
	goerrors "errors"
	"fmt"
	"io"
	"time"

	"github.com/panjf2000/gnet/v2"
	"github.com/panjf2000/gnet/v2/pkg/errors"
	"golang.org/x/sys/unix"

	"tlscore.example/tlscore"
	"tlscore.example/tlscore/drive"
)

// This file is the driver: it carries bytes between the transport, the machine and the
// handler, and ends connections. All of it runs in the connection's event loop.

// enter says that memory of the connection is in use until leave is called. gnet may end a
// connection inside of any write to it, and the handler may look at its plaintext after that.
func (c *Conn) enter() { c.depth++ }

func (c *Conn) leave() {
	if c.depth--; c.depth > 0 {
		return
	}
	if c.phase.live() {
		c.hold()
		return
	}
	c.in.Release()
	c.held.Release()
	c.plain, c.task = nil, nil
	if c.phase > phaseFlushing {
		c.tls.Release()
	}
}

// hold keeps the plaintext that the handler has left, since the memory that it is in is the
// transport's, or moves it to the front.
func (c *Conn) hold() {
	if len(c.plain) != c.held.Len() {
		c.held.Keep(c.plain)
	}
	c.plain = c.held.Bytes()
}

// action is what gnet has to do behind an event.
func (c *Conn) action() gnet.Action {
	if c.stop {
		return gnet.Shutdown
	}
	return gnet.None
}

// fatal is action for what was posted to the loop.
func (c *Conn) fatal() error {
	if c.stop {
		return errors.ErrEngineShutdown
	}
	return nil
}

// open begins the connection, or has it wait for its turn.
func (c *Conn) open() gnet.Action {
	c.enter()
	defer c.leave()
	c.loop.add(c)
	c.active = c.loop.now()
	if limit := c.h.limits.HandshakeTimeout; limit > 0 {
		c.until = c.active + limit
	}
	if c.h.turns.take(c) {
		c.phase = phaseHandshake
		c.step(nil)
	}
	return c.action()
}

// begin is called when it is the connection's turn.
func (c *Conn) begin() error {
	c.enter()
	if c.phase == phaseWaiting {
		c.phase = phaseHandshake
		c.step(nil)
	} else {
		c.h.turns.give() // it is over, and has left the queue in this moment
	}
	c.leave()
	return c.fatal()
}

// received is called with what has come.
func (c *Conn) received(chunk []byte) gnet.Action {
	c.enter()
	defer c.leave()
	c.active = c.loop.now()
	switch {
	case c.phase.live():
		c.step(chunk)
	default:
		if c.dropped += int64(len(chunk)); c.dropped > c.h.linger.Bytes {
			return gnet.Close
		}
	}
	return c.action()
}

// full reports whether too much waits to be sent for anything more to be decrypted.
func (c *Conn) full() bool {
	return !c.ending && c.Conn.OutboundBuffered() > c.h.opts.HighWater
}

// step lets the machine work on what has come and what was left, and the handler on what
// comes out.
func (c *Conn) step(chunk []byte) {
	in := c.in.Join(chunk)
	for c.phase.live() && c.phase != phaseWaiting && !c.full() {
		ev, n := c.tls.Step(in)
		in = in[n:]
		c.handle(ev)
		if ev.Stop() {
			break
		}
	}
	if !c.phase.live() {
		return // what is left is nobody's
	}
	c.in.Keep(in)
	c.flush()
	if c.in.Len()+len(c.plain) > c.h.opts.MaxInbound {
		c.reject(fmt.Errorf("tlsgnet: more than %d bytes are received and not consumed", c.h.opts.MaxInbound))
		return
	}
	if c.full() {
		c.loop.stall(c)
	}
}

// movable reports whether a stalled connection can get on.
func (c *Conn) movable() bool {
	if c.phase == phaseFlushing {
		return c.Conn.OutboundBuffered() == 0
	}
	return c.Conn.OutboundBuffered() <= c.h.opts.HighWater/2
}

// resume goes on with a connection that was stalled.
func (c *Conn) resume() error {
	c.enter()
	switch {
	case c.phase == phaseFlushing:
		c.finish()
	case c.phase.live():
		c.submit()
		c.step(nil)
	}
	c.leave()
	return c.fatal()
}

// handle is told what happened.
func (c *Conn) handle(ev tlscore.Event) {
	switch ev.Kind {
	case tlscore.EventClientHello:
		c.refused = drive.Answer(c.tls, c.h.opts.Choose)
	case tlscore.EventTask:
		c.task = c.tls.Task()
		c.submit()
	case tlscore.EventHandshakeDone:
		c.established()
	case tlscore.EventData:
		c.plain = c.held.Join(ev.Data)
		if c.phase == phaseOpen { // else it is early data, which is a replay until then
			c.do(c.h.user.OnTraffic(c))
		}
		if c.phase.live() {
			c.held.Keep(c.plain)
			c.plain = c.held.Bytes()
		}
	case tlscore.EventClosed:
		c.peerClosed(ev.Truncated)
	case tlscore.EventFailed:
		c.failed()
	}
}

// established gives the connection to the handler.
func (c *Conn) established() {
	c.phase = phaseOpen
	c.until = 0
	c.h.turns.give()
	c.flush()
	if c.phase != phaseOpen {
		return
	}
	out, action := c.h.user.OnOpen(c)
	c.write(out)
	c.do(action)
	if c.phase == phaseOpen && len(c.plain) > 0 {
		c.do(c.h.user.OnTraffic(c))
	}
	if c.phase.live() {
		c.hold()
	}
}

// do does what the handler wants.
func (c *Conn) do(action gnet.Action) {
	if action == gnet.Shutdown {
		c.stop = true
	}
	if action != gnet.None && c.phase == phaseOpen {
		c.tls.CloseWrite()
		c.end(nil)
	}
}

// peerClosed is told that the peer has ended its direction.
func (c *Conn) peerClosed(truncated bool) {
	switch {
	case truncated || c.phase != phaseOpen:
		c.tls.CloseWrite()
		c.end(io.ErrUnexpectedEOF)
	case c.h.ended != nil && !c.ending:
		c.do(c.h.ended.OnEnd(c))
	default:
		c.do(gnet.Close)
	}
}

// failed ends a connection whose machine has failed. The alert is in its output.
func (c *Conn) failed() {
	err := c.tls.Err()
	var protocol *tlscore.ProtocolError
	if !c.h.client && goerrors.As(err, &protocol) && protocol.PlainHTTP() {
		c.tls.Sent(len(c.tls.Output())) // the client could not read it
		c.Conn.Write([]byte(drive.PlainHTTPAnswer))
	}
	if c.refused != nil {
		err = fmt.Errorf("%w: %w", err, c.refused)
	}
	c.end(err)
}

// reject ends a connection for a reason of this side's.
func (c *Conn) reject(err error) {
	c.tls.Reject(tlscore.AlertGeneralError)
	c.end(err)
}

// end ends the connection for the handler; the rest is ours. What is in the output goes
// out, and nothing is added to it.
func (c *Conn) end(err error) {
	was := c.phase
	c.phase = phaseFlushing
	c.until = c.loop.now() + drive.FlushTimeout
	c.flush()
	switch was {
	case phaseWaiting:
		c.h.turns.leave(c) // if it is not in the queue any more, begin gives the turn back
	case phaseHandshake:
		c.h.turns.give()
	}
	if was == phaseOpen {
		if c.h.user.OnClose(c, err) == gnet.Shutdown {
			c.stop = true
		}
	} else {
		c.h.failure(c.RemoteAddr(), err)
	}
	if c.phase == phaseFlushing {
		c.finish()
	}
}

// flush hands the output to gnet, which takes all of it, or closes the connection.
func (c *Conn) flush() {
	if out := c.tls.Output(); len(out) > 0 && c.phase <= phaseFlushing {
		c.Conn.Write(out)
		c.tls.Sent(len(out))
	}
}

// finish goes on with an end when everything is sent: a FIN, and then whatever comes is
// dropped, since a close while something unread is there, or still comes, is answered with
// a reset, which can destroy what the peer has not read yet.
func (c *Conn) finish() {
	switch {
	case c.ending:
		return
	case c.Conn.OutboundBuffered() > 0:
		c.loop.stall(c)
		return
	case c.h.linger.Timeout < 0 || unix.Shutdown(c.Fd(), unix.SHUT_WR) != nil:
		c.Conn.Close()
	}
	c.phase = phaseDraining
	c.until = c.loop.now() + max(0, c.h.linger.Timeout)
}

// transportClosed is told that gnet closes the connection: at the peer's FIN, when it is
// broken, or since we wanted it. What is written now goes out if the kernel takes it.
func (c *Conn) transportClosed(err error) gnet.Action {
	c.enter()
	defer c.leave()
	c.ending = true
	switch {
	case !c.phase.live():
	case goerrors.Is(err, io.EOF) && c.phase != phaseWaiting:
		c.tls.EOF()
		c.step(nil) // to the end
	case err == nil: // the engine ends
		c.tls.CloseWrite()
		c.end(errors.ErrEngineInShutdown)
	}
	if c.phase.live() {
		c.end(err)
	}
	c.phase = phaseClosed
	c.loop.remove(c)
	c.h.connections.Add(-1)
	return c.action()
}

// check looks at the deadlines.
func (c *Conn) check(now time.Duration) error {
	c.enter()
	unsent := c.Conn.OutboundBuffered()
	if unsent != c.unsent {
		c.unsent, c.active = unsent, now
	}
	idle := c.h.limits.IdleTimeout
	switch {
	case c.phase == phaseOpen && idle > 0 && now-c.active > idle:
		c.tls.CloseWrite()
		c.end(drive.ErrIdleTimeout)
	case c.until == 0 || now < c.until:
	case c.phase.live():
		c.reject(drive.ErrHandshakeTimeout)
	default:
		c.loop.EventLoop.Close(c.Conn)
	}
	c.leave()
	return c.fatal()
}

// submit has a worker run the task that the machine waits for. If there is none free, it is
// tried again soon.
func (c *Conn) submit() {
	task := c.task
	if task == nil {
		return
	}
	if c.h.opts.Submit(func() {
		task.Run() // it never touches the machine
		c.loop.post(func() error { return c.taskDone(task) })
	}) != nil {
		c.loop.stall(c)
		return
	}
	c.task = nil
}

// taskDone hands a task back.
func (c *Conn) taskDone(task *tlscore.Task) error {
	c.enter()
	if c.phase.live() && c.tls.Done(task) == nil { // else the connection has ended meanwhile
		c.step(nil)
	}
	c.leave()
	return c.fatal()
}
