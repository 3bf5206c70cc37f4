package tlscore_test

import (
	"crypto/tls"
	"fmt"

	"tlscore.example/tlscore"
	"tlscore.example/tlscore/internal/tlstest"
)

// socket is what an event loop has of a connection. Nothing of it blocks.
type socket interface {
	Write(p []byte) (n int) // what the kernel has room for, 0 if it has none
	ShutdownWrite()         // a FIN behind the last byte
	Close()
}

// driver drives one connection of an echo server.
type driver struct {
	tls   *tlscore.Machine
	in    tlscore.Inbound
	sock  socket
	owed  []byte // of the echo: what Write did not take yet
	phase phase
}

// phase says how far the end of a connection has come.
type phase int

const (
	serving  phase = iota
	flushing       // nothing is added to the output: close_notify or the alert is its last
	draining       // all is sent, and a FIN: what comes is dropped until the peer's
	closed
)

// readable is called with what has arrived, in memory that may be overwritten.
func (d *driver) readable(chunk []byte) {
	if d.phase != serving {
		return // dropped; a loop bounds how much, and for how long
	}
	in := d.in.Join(chunk)
	for d.phase == serving && len(d.owed) == 0 { // else the output is full: stop reading
		ev, n := d.tls.Step(in)
		in = in[n:]
		switch ev.Kind {
		case tlscore.EventData:
			d.echo(ev.Data)
		case tlscore.EventClosed:
			d.tls.CloseWrite()
			d.phase = flushing
		case tlscore.EventFailed: // the alert is in the output, like everything before it
			d.phase = flushing
		}
		if ev.Stop() {
			break
		}
	}
	d.in.Keep(in)
	d.flush()
}

// echo answers. What the output has no room for waits, and nothing is read meanwhile.
func (d *driver) echo(p []byte) {
	n, err := d.tls.Write(p) // an error is the next event, too
	if d.owed = append([]byte(nil), p[n:]...); err != nil {
		d.owed = nil
	}
}

// writable is called when the kernel has room again, if flush has left something.
func (d *driver) writable() {
	d.flush()
	if owed := d.owed; d.phase == serving && len(owed) > 0 {
		d.echo(owed)
		d.readable(nil) // go on with what was left
	}
}

// flush sends what the kernel has room for, whatever it is. When that was all, and the
// last, the peer is told; but the socket is not closed while the peer may still send, since
// that would reset the connection, and with it destroy what the peer has not read.
func (d *driver) flush() {
	if d.phase <= flushing {
		d.tls.Sent(d.sock.Write(d.tls.Output()))
	}
	if d.phase == flushing && len(d.tls.Output()) == 0 {
		d.sock.ShutdownWrite()
		d.phase = draining
		d.in.Release()
		d.tls.Release()
	}
}

// ended is called at the peer's FIN.
func (d *driver) ended() {
	if d.phase == draining {
		d.close()
		return
	}
	d.tls.EOF() // in the handshake a failure, later EventClosed, and the answer still goes out
	d.readable(nil)
}

// expired is called when a deadline has passed: of the handshake or of an idle connection,
// then of the flushing and the draining.
func (d *driver) expired() {
	switch {
	case d.phase != serving:
		d.close()
		return
	case d.tls.State() < tlscore.StateConnected:
		d.tls.Reject(tlscore.AlertGeneralError)
	default:
		d.tls.CloseWrite()
	}
	d.phase = flushing
	d.flush()
}

func (d *driver) close() {
	d.phase = closed
	d.sock.Close()
	d.in.Release()
	d.tls.Release()
}

// narrow is a socket whose kernel takes a few bytes at a time.
type narrow struct{ sent []byte }

func (s *narrow) Write(p []byte) int {
	n := min(len(p), 3)
	s.sent = append(s.sent, p[:n]...)
	return n
}

func (s *narrow) ShutdownWrite() { fmt.Printf("sent % x, then a FIN\n", s.sent) }
func (s *narrow) Close()         { fmt.Println("closed") }

// A driver in a page. Clients that are refused learn why, however little their kernel takes
// at a time: one although it goes on sending, one that says nothing at all.
func Example_driver() {
	cfg := &tlscore.Config{
		Certificates: []tls.Certificate{tlstest.Certificate(tlstest.Leaf{})},
		MinVersion:   tls.VersionTLS13,
	}
	serve := func(happens func(*driver)) {
		server, err := tlscore.NewServer(cfg)
		if err != nil {
			fmt.Println(err)
			return
		}
		d := &driver{tls: server, sock: new(narrow)}
		happens(d)
		for d.phase == flushing {
			d.writable()
		}
		d.readable([]byte("more of it")) // dropped
		d.ended()
	}
	serve(func(d *driver) { d.readable(clientHelloOfTLS12("example.org")) })
	serve(func(d *driver) { d.expired() })
	// Output:
	// sent 15 03 03 00 02 02 46, then a FIN
	// closed
	// sent 15 03 03 00 02 02 75, then a FIN
	// closed
}
