package netconn

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"tlscore.example/tlscore/drive"
)

// tooLate is the record of general_error in the clear.
const tooLate = "\x15\x03\x03\x00\x02\x02\x75"

// accept accepts one connection, in the background.
func accept(l *Listener) <-chan *Conn {
	ch := make(chan *Conn, 1)
	go func() {
		if c, err := l.Accept(); err == nil {
			ch <- c.(*Conn)
		}
		close(ch)
	}()
	return ch
}

// soonOf waits for a connection.
func soonOf(t *testing.T, ch <-chan *Conn) *Conn {
	t.Helper()
	select {
	case c := <-ch:
		if c == nil {
			t.Fatal("Accept failed")
		}
		return c
	case <-time.After(patience):
		t.Fatal("no connection")
		return nil
	}
}

// dialTo makes a client's connection to a listener.
func dialTo(t *testing.T, l net.Listener) *Conn {
	t.Helper()
	conn, err := net.Dial("tcp", l.Addr().String())
	noError(t, "Dial", err)
	c := Client(conn, clientConfig())
	t.Cleanup(func() { c.Close() })
	return c
}

// Accept waits while there are too many connections, until one is closed, fails, or the
// listener is closed.
func TestMaxConnections(t *testing.T) {
	l := NewListener(listen(t), serverConfig())
	l.Limits.MaxConnections = 1
	dialTo(t, l)
	first := soonOf(t, accept(l))
	dialTo(t, l)
	second := accept(l)
	select {
	case <-second:
		t.Fatal("a second connection")
	case <-time.After(30 * time.Millisecond):
	}
	first.Close()
	failing := soonOf(t, second)
	third := accept(l)
	conn, err := net.Dial("tcp", l.Addr().String())
	noError(t, "Dial", err)
	defer conn.Close()
	failing.SetReadDeadline(past)
	want(t, "Handshake", failing.Handshake(), os.ErrDeadlineExceeded) // which does not end it
	select {
	case <-third:
		t.Fatal("a third connection")
	case <-time.After(30 * time.Millisecond):
	}
	failing.cancel(errors.New("a failure"))
	defer soonOf(t, third).Close()
	last := accept(l)
	l.Close()
	if c := <-last; c != nil {
		t.Error("a connection of a closed listener")
	}
	_, err = l.Accept()
	want(t, "Accept", err, net.ErrClosed)
}

// Handshakes beyond the limit wait for their turn; a wait ends with the context, a deadline,
// Close, and the time for the handshake.
func TestMaxHandshakes(t *testing.T) {
	l := NewListener(listen(t), serverConfig())
	l.Limits = drive.Limits{MaxHandshakes: 1, HandshakeTimeout: -1}
	defer l.Close()
	next := func() (client, server *Conn) {
		client = dialTo(t, l)
		server = soonOf(t, accept(l))
		t.Cleanup(func() { server.Close() })
		return client, server
	}
	holder, holding := next()
	held := async(holding.Handshake)
	for !holding.hasTurn() {
		time.Sleep(time.Millisecond)
	}
	_, waiting := next()
	waiting.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	want(t, "Handshake", waiting.Handshake(), os.ErrDeadlineExceeded)
	waiting.SetReadDeadline(time.Time{})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	want(t, "HandshakeContext", waiting.HandshakeContext(ctx), context.DeadlineExceeded)

	_, closing := next()
	closed := async(closing.Handshake)
	time.Sleep(10 * time.Millisecond)
	closing.Close()
	want(t, "Handshake", <-closed, net.ErrClosed)

	impatient, late := next()
	late.limits.HandshakeTimeout = 20 * time.Millisecond
	want(t, "Handshake", late.Handshake(), ErrHandshakeTimeout)
	got, err := io.ReadAll(impatient.NetConn())
	if err != nil || string(got) != tooLate {
		t.Errorf("% x, %v", got, err)
	}

	client, server := next()
	shaken := async(client.Handshake)
	served := async(server.Handshake)
	time.Sleep(20 * time.Millisecond)
	if server.hasTurn() {
		t.Error("two handshakes run")
	}
	noError(t, "Handshake", holder.Handshake())
	noError(t, "Handshake", <-held)
	noError(t, "Handshake", <-shaken)
	noError(t, "Handshake", <-served)

	// One that fails gives its turn back.
	conn, failing := next()
	io.WriteString(conn.NetConn(), "no TLS at all")
	if failing.Handshake() == nil {
		t.Error("a handshake without TLS")
	}
	client, server = next()
	shaken = async(client.Handshake)
	noError(t, "Handshake", server.Handshake())
	noError(t, "Handshake", <-shaken)
}

// A connection on which nothing moves is closed, and one on which something does is not.
func TestIdleTimeout(t *testing.T) {
	l := NewListener(listen(t), serverConfig())
	l.Limits.IdleTimeout = 600 * time.Millisecond
	defer l.Close()
	client := dialTo(t, l)
	server := soonOf(t, accept(l))
	defer server.Close()
	failed := async(func() error {
		_, err := io.Copy(io.Discard, server)
		return err
	})
	for range 8 { // twice the time, in small steps
		_, err := client.Write([]byte("x"))
		noError(t, "Write", err)
		time.Sleep(150 * time.Millisecond)
	}
	select {
	case err := <-failed:
		t.Fatalf("%v, although something moved", err)
	default:
	}
	_, err := client.Read(make([]byte, 1))
	want(t, "Read", err, io.EOF) // a close_notify
	err = <-failed
	want(t, "Read", err, drive.ErrIdleTimeout)
	wantTimeout(t, "Read", err)
	_, err = server.Write([]byte("x"))
	want(t, "Write", err, drive.ErrIdleTimeout)
}
