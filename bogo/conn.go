package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"tlscore.example/tlscore"
)

// conn drives one machine over one connection to the runner.
type conn struct {
	o        *options
	s        *session
	resuming bool

	transport net.Conn
	m         *tlscore.Machine
	cfg       *tlscore.Config
	chunk     chunker
	arrived   []byte // read from the transport, not yet given to the machine
	inbound   tlscore.Inbound
	in        []byte // what the machine is working on
	broken    bool   // the transport takes nothing any more
	stalled   bool   // the transport takes nothing for now

	puts, stored int // sessions in the cache and in the store before this connection
	log          keyLog

	observed
}

// connect makes a connection as the options say.
func connect(o, retry *options, s *session, resuming bool) error {
	c := &conn{o: o, s: s, resuming: resuming, puts: s.cache.puts, stored: s.store.puts}
	c.signedBy = -1 // as BoringSSL calls it when the default credential has signed, or none
	var err error
	if c.chunk, err = newChunker(o.chunking, o.shimID); err != nil {
		return err
	}
	if c.cfg, err = c.config(); err != nil {
		return err
	}
	if err := c.newMachine(); err != nil {
		return err
	}
	if err := c.dial(); err != nil {
		return err
	}
	defer c.close()
	err = c.run(retry)
	if broken := c.checkEnd(); broken != nil {
		return broken
	}
	return err
}

// newMachine makes the machine. A server's shows its ClientHello first when the
// test looks at it, and in half of the other tests.
func (c *conn) newMachine() (err error) {
	switch {
	case !c.o.server:
		c.m, err = tlscore.NewClient(c.cfg)
	case c.o.looksAtHello() || c.o.shimID%2 == 0:
		c.m, err = tlscore.NewAcceptor(c.cfg.Limits)
	default:
		c.m, err = tlscore.NewServer(c.cfg)
	}
	return err
}

// dial connects to the runner and tells it who calls. The address is the literal
// one, since a host need not have the name of the address that the runner
// listens on.
func (c *conn) dial() (err error) {
	host := "127.0.0.1"
	if c.o.ipv6 {
		host = "::1"
	}
	c.transport, err = net.Dial("tcp", net.JoinHostPort(host, strconv.Itoa(c.o.port)))
	if err != nil {
		return err
	}
	_, err = c.transport.Write(binary.LittleEndian.AppendUint64(nil, c.o.shimID))
	return err
}

// lingering bounds how long close waits for the runner to end.
const lingering = 10 * time.Second

// close sends what is left and the end, then waits for the runner's, so that
// nothing that is on its way is lost.
func (c *conn) close() {
	c.stalled = false
	c.flush()
	c.m.Release()
	if half, ok := c.transport.(*net.TCPConn); ok {
		half.CloseWrite()
	}
	c.transport.SetReadDeadline(time.Now().Add(lingering))
	buf := make([]byte, 4096)
	for {
		if _, err := c.transport.Read(buf); err != nil {
			break
		}
	}
	c.transport.Close()
}

// flush sends what the machine has to send. That the runner takes nothing any
// more is no failure by itself: what it has sent before tells.
func (c *conn) flush() {
	for !c.stalled {
		out := c.m.Output()
		if len(out) == 0 {
			return
		}
		if !c.broken {
			_, err := c.transport.Write(out)
			c.broken = err != nil
		}
		c.m.Sent(len(out))
	}
}

// next returns the next event that the application has to deal with. What the
// machine wants is done on the way: input, output, answers. An error is that of
// the connection.
func (c *conn) next() (tlscore.Event, error) {
	for {
		ev, n := c.m.Step(c.in)
		if n < 0 || n > len(c.in) {
			return ev, fmt.Errorf("%w: Step took %d of %d bytes", errContract, n, len(c.in))
		}
		c.in = c.in[n:]
		c.flush()
		switch ev.Kind {
		case tlscore.EventNone:
			c.inbound.Keep(c.in)
			c.in = nil
			c.in = c.inbound.Join(c.read())
		case tlscore.EventClientHello:
			if err := c.answerHello(); err != nil {
				return ev, err
			}
		case tlscore.EventFailed:
			return ev, c.m.Err()
		case tlscore.EventTask:
			if err := c.work(); err != nil {
				return ev, err
			}
		case tlscore.EventWait:
			return ev, fmt.Errorf("%w: waits in state %s", errContract, c.m.State())
		default:
			return ev, c.observe(ev)
		}
	}
}

// work does the task that was lifted out of the machine, on another goroutine,
// while the machine is asked again and says that it waits.
func (c *conn) work() error {
	task := c.m.Task()
	if task == nil {
		return fmt.Errorf("%w: no task behind its event", errContract)
	}
	ran := make(chan struct{})
	go func() {
		defer close(ran)
		task.Run()
	}()
	ev, n := c.m.Step(c.in)
	<-ran
	if ev.Kind != tlscore.EventWait || n != 0 {
		return fmt.Errorf("%w: %s, which takes %d bytes, while a task is out", errContract, ev, n)
	}
	return c.m.Done(task)
}

// read returns the next chunk of input. At the end of the transport there is
// none, and the machine is told so.
func (c *conn) read() []byte {
	if len(c.arrived) == 0 {
		if c.stalled && !c.done { // the handshake needs what is stuck
			c.stalled = false
			c.flush()
		}
		buf := make([]byte, 32<<10)
		n, err := c.transport.Read(buf)
		if err != nil {
			c.m.EOF()
		}
		c.arrived = buf[:n]
	}
	if len(c.arrived) == 0 {
		return nil
	}
	n := c.chunk(len(c.arrived))
	chunk := c.arrived[:n:n]
	c.arrived = c.arrived[n:]
	return chunk
}

// write sends application data, all of it: as early data while that is open and
// has room.
func (c *conn) write(p []byte) error {
	for {
		write := c.m.Write
		if c.earlyWritable {
			write = c.m.WriteEarly
		}
		n, err := write(p)
		c.flush()
		if err != nil {
			if failed := c.m.Err(); failed != nil {
				return failed
			}
			return err
		}
		if p = p[n:]; len(p) == 0 {
			return nil
		}
		if n == 0 && c.earlyWritable {
			if _, err := c.next(); err != nil {
				return err
			}
		}
	}
}

// errContract is wrapped by what says that the machine did not keep its word.
var errContract = errors.New("broken contract")

// checkEnd checks what holds however a connection ends: the stop repeats and takes
// nothing, and of a failure that the peer is to be told of the alert has been queued,
// and nothing behind it.
func (c *conn) checkEnd() error {
	if ev, n := c.m.Step([]byte{0}); (c.m.Err() != nil) != (ev.Kind == tlscore.EventFailed) || ev.Terminal() && n != 0 {
		return fmt.Errorf("%w: %s, which takes %d bytes, behind the end: %v", errContract, ev, n, c.m.Err())
	}
	err := c.m.Err()
	if err == nil {
		return nil
	}
	queued := len(c.m.Output())
	if n, refused := c.m.Write([]byte{0}); n != 0 || refused == nil || len(c.m.Output()) != queued {
		return fmt.Errorf("%w: a write of %d bytes, %v, into a connection that has failed", errContract, n, refused)
	}
	if c.closedWrite {
		return nil
	}
	want, due := tlscore.AlertOf(err)
	got, sent := c.m.SentAlert()
	if due != sent || want != got {
		return fmt.Errorf("%w: failed with %v and sent the alert %v (%t)", errContract, err, got, sent)
	}
	return nil
}
