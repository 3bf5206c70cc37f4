package tlscore

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"tlscore.example/tlscore/internal/tlstest"
)

// What the tests of this package share when crypto/tls is at the other end of a machine.

// withStd connects m, a client or a server, with an end of crypto/tls over a socket,
// and returns that end when its handshake is complete. It goes on to drive m, which
// must not be touched before detach was called: that ends the driving, and the socket.
func withStd(m *Machine, std func(net.Conn) *tls.Conn) (conn *tls.Conn, detach func(), err error) {
	ours, theirs, err := sockets()
	if err != nil {
		return nil, nil, err
	}
	conn = std(theirs)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		drive(m, ours)
	}()
	return conn, func() { ours.Close(); <-stopped }, conn.Handshake()
}

// sockets returns two ends of one connection. It has buffers, which a net.Pipe lacks: both
// ends may write at the same time.
func sockets() (a, b net.Conn, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	if a, err = net.Dial("tcp", l.Addr().String()); err != nil {
		return nil, nil, err
	}
	if b, err = l.Accept(); err != nil {
		return nil, nil, err
	}
	for _, c := range []net.Conn{a, b} {
		c.SetDeadline(time.Now().Add(time.Minute)) // should one wait for the other for ever
	}
	return a, b, nil
}

// drive runs a machine over a connection until either ends. It echoes data.
func drive(m *Machine, conn net.Conn) {
	var in Inbound
	buf := make([]byte, 1<<15)
	var chunk []byte
	for {
		rest := in.Join(chunk)
		var stop Event
		for {
			ev, n := m.Step(rest)
			rest = rest[n:]
			if ev.Kind == EventData {
				m.Write(ev.Data)
			}
			if stop = ev; ev.Stop() {
				break
			}
		}
		in.Keep(rest)
		if out := m.Output(); len(out) > 0 {
			n, err := conn.Write(out)
			m.Sent(n)
			if err != nil {
				return
			}
		}
		if stop.Terminal() {
			conn.Close()
			return
		}
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		chunk = buf[:n]
	}
}

// stdClient returns a client of crypto/tls that trusts the test's authority.
func stdClient(change ...func(*tls.Config)) func(net.Conn) *tls.Conn {
	cfg := &tls.Config{RootCAs: tlstest.Roots(), ServerName: "localhost", Time: tlstest.Clock}
	for _, f := range change {
		f(cfg)
	}
	return func(c net.Conn) *tls.Conn { return tls.Client(c, cfg) }
}

// stdServer returns a server of crypto/tls for localhost.
func stdServer(change ...func(*tls.Config)) func(net.Conn) *tls.Conn {
	cfg := &tls.Config{Certificates: []tls.Certificate{localhost()}, Time: tlstest.Clock}
	for _, f := range change {
		f(cfg)
	}
	return func(c net.Conn) *tls.Conn { return tls.Server(c, cfg) }
}

// driveEcho runs a machine over a connection until it has echoed, or got back, n bytes.
func driveEcho(m *Machine, conn io.ReadWriter, piece int, send []byte) (got []byte, err error) {
	var in []byte
	buf := make([]byte, piece)
	flush := func() error {
		out := bytes.Clone(m.Output())
		m.Sent(len(out))
		if len(out) == 0 { // for which a pipe would wait
			return nil
		}
		_, err := conn.Write(out)
		return err
	}
	for {
		ev, n := m.Step(in)
		in = in[n:]
		switch ev.Kind {
		case EventFailed:
			flush()
			return got, m.Err()
		case EventHandshakeDone:
			if _, err := m.Write(send); err != nil {
				return got, err
			}
		case EventData:
			got = append(got, ev.Data...)
			if len(got) >= len(send) {
				m.CloseWrite()
			}
		case EventClosed:
			return got, flush()
		case EventNone:
			if err := flush(); err != nil {
				return got, err
			}
			n, err := conn.Read(buf)
			if err != nil {
				m.EOF()
			}
			in = append(in, buf[:n]...)
		}
	}
}

// runStandard drives a machine against crypto/tls, both sending the same data, and
// returns what the latter knows about the connection.
func runStandard(t *testing.T, m *Machine, standard func(net.Conn) *tls.Conn, piece int) (cs tls.ConnectionState, err error) {
	t.Helper()
	near, far := net.Pipe()
	near.SetDeadline(time.Now().Add(time.Minute)) // should one wait for the other for ever
	conn := standard(far)
	data := pattern13(3000)
	var exported []byte
	result := make(chan error, 1)
	go func() {
		result <- func() (err error) {
			defer far.Close()
			if err := conn.Handshake(); err != nil {
				return err
			}
			cs = conn.ConnectionState()
			if exported, err = cs.ExportKeyingMaterial("EXPERIMENTAL test", []byte("context"), 48); err != nil {
				return err
			}
			got := make([]byte, len(data))
			if _, err := io.ReadFull(conn, got); err != nil {
				return err
			}
			if !bytes.Equal(got, data) {
				return fmt.Errorf("crypto/tls got other data")
			}
			if _, err := conn.Write(data); err != nil {
				return err
			}
			if n, err := conn.Read(got); err != io.EOF {
				return fmt.Errorf("%d bytes, %v instead of the end", n, err)
			}
			return conn.Close()
		}()
	}()
	got, err := driveEcho(m, near, piece, data)
	near.Close()
	if theirs := <-result; theirs != nil && err == nil {
		err = theirs
	}
	if err == nil && !bytes.Equal(got, data) {
		err = fmt.Errorf("%d bytes of %d", len(got), len(data))
	}
	if err != nil {
		return cs, err
	}
	if ours, err := m.ExportKeyingMaterial("EXPERIMENTAL test", []byte("context"), 48); err != nil || !bytes.Equal(ours, exported) {
		return cs, fmt.Errorf("exported %x, not %x: %v", ours, exported, err)
	}
	return cs, err
}
