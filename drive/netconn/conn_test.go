package netconn

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"tlscore.example/tlscore"
)

func TestPairs(t *testing.T) {
	for _, p := range pairs {
		t.Run(p.name, func(t *testing.T) {
			c, s := connect(t, p.client, p.server)
			for _, end := range []conn{c, s} {
				cs := end.ConnectionState()
				if !cs.HandshakeComplete || cs.Version != p.version || cs.CipherSuite == 0 {
					t.Errorf("ConnectionState: %+v", cs)
				}
			}
			send(t, c, "ping")
			wantText(t, s, "ping")
			send(t, s, "pong")
			wantText(t, c, "pong")

			// Half-close: what comes after it in the other direction arrives.
			noError(t, "CloseWrite", c.CloseWrite())
			if _, err := s.Read(make([]byte, 1)); err != io.EOF {
				t.Fatalf("Read after close_notify: %v", err)
			}
			if _, err := c.Write([]byte("x")); err == nil {
				t.Fatal("Write after CloseWrite succeeded")
			}
			send(t, s, "after")
			wantText(t, c, "after")
			noError(t, "CloseWrite", s.CloseWrite())
			if _, err := c.Read(make([]byte, 1)); err != io.EOF {
				t.Fatalf("Read after close_notify: %v", err)
			}
			noError(t, "Close", c.Close())
			noError(t, "Close", s.Close())
		})
	}
}

// The handshake runs with the first Read and Write.
func TestLazyHandshake(t *testing.T) {
	for _, p := range pairs {
		t.Run(p.name, func(t *testing.T) {
			a, b := tcpPair(t)
			c, s := p.client(a), p.server(b)
			defer c.Close()
			defer s.Close()
			done := async(func() error {
				_, err := io.Copy(s, s)
				return errors.Join(err, s.CloseWrite())
			})
			send(t, c, "echo")
			noError(t, "CloseWrite", c.CloseWrite())
			wantText(t, c, "echo")
			if _, err := c.Read(make([]byte, 1)); err != io.EOF {
				t.Fatalf("Read: %v", err)
			}
			noError(t, "echo", <-done)
		})
	}
}

// Both sides write and read a lot at the same time, each in its own goroutine.
func TestFullDuplex(t *testing.T) {
	const size = 3 << 20
	for _, p := range pairs {
		t.Run(p.name, func(t *testing.T) {
			c, s := connect(t, p.client, p.server)
			var all sync.WaitGroup
			for _, end := range []conn{c, s} {
				all.Go(func() {
					if _, err := io.CopyBuffer(struct{ io.Writer }{end}, &pattern{end: size}, make([]byte, 100_000)); err != nil {
						t.Errorf("write: %v", err)
					}
					if err := end.CloseWrite(); err != nil {
						t.Errorf("CloseWrite: %v", err)
					}
				})
				all.Go(func() {
					if err := (&pattern{end: size}).check(end); err != nil {
						t.Errorf("read: %v", err)
					}
				})
			}
			all.Wait()
		})
	}
}

func TestTrickle(t *testing.T) {
	slow := func(make func(net.Conn) conn) func(net.Conn) conn {
		return func(c net.Conn) conn { return make(trickle{c}) }
	}
	for _, p := range pairs {
		t.Run(p.name, func(t *testing.T) {
			c, s := connect(t, slow(p.client), slow(p.server))
			send(t, c, "byte by byte")
			wantText(t, s, "byte by byte")
			send(t, s, "and back")
			wantText(t, c, "and back")
		})
	}
}

// A Read with a small buffer leaves the rest to the next; one with a large
// buffer takes what has arrived in many records.
func TestReadSizes(t *testing.T) {
	c, s := connectOurs(t)
	for _, text := range []string{"one ", "two ", "three"} {
		send(t, c, text)
	}
	noError(t, "CloseWrite", c.CloseWrite())
	if n, err := s.Read(nil); n != 0 || err != nil {
		t.Fatalf("empty Read: %d, %v", n, err)
	}
	first := make([]byte, 2)
	if n, err := s.Read(first); n != 2 || err != nil {
		t.Fatalf("small Read: %d, %v", n, err)
	}
	rest, err := io.ReadAll(s)
	if got := string(first) + string(rest); got != "one two three" || err != nil {
		t.Fatalf("%q, %v", got, err)
	}
	if n, err := s.Read(make([]byte, 10)); n != 0 || err != io.EOF {
		t.Fatalf("Read at the end: %d, %v", n, err)
	}
}

// countingConn counts the calls that reach the transport.
type countingConn struct {
	net.Conn
	mu            sync.Mutex
	reads, writes int
}

func (c *countingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	c.reads++
	c.mu.Unlock()
	return n, err
}

func (c *countingConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	c.writes++
	c.mu.Unlock()
	return c.Conn.Write(p)
}

// Many records go out in one call, and come in with few.
func TestFewCalls(t *testing.T) {
	a, b := tcpPair(t)
	ca, cb := &countingConn{Conn: a}, &countingConn{Conn: b}
	c, s := Client(ca, clientConfig()), Server(cb, serverConfig())
	defer c.Close()
	defer s.Close()
	done := async(s.Handshake)
	noError(t, "client", c.Handshake())
	noError(t, "server", <-done)
	if ca.writes != 2 || cb.writes != 1 {
		t.Errorf("%d and %d writes in the handshake, want 2 and 1", ca.writes, cb.writes)
	}
	ca.writes, cb.reads = 0, 0
	data := make([]byte, 60<<10) // four records, less than Limits.Output
	if n, err := c.Write(data); n != len(data) || err != nil {
		t.Fatalf("Write: %d, %v", n, err)
	}
	if ca.writes != 1 {
		t.Errorf("%d writes for 60 KiB", ca.writes)
	}
	if _, err := io.ReadFull(s, data); err != nil {
		t.Fatal(err)
	}
	if cb.reads > 10 {
		t.Errorf("%d reads for 60 KiB", cb.reads)
	}
}

// A connection that nobody reads from holds no read buffer; a blocked Read holds
// a small one, whatever came before.
func TestIdleMemory(t *testing.T) {
	c, s := connectOurs(t)
	if s.in.block != nil {
		t.Error("a buffer is held after the handshake")
	}
	data := make([]byte, 200<<10)
	done := async(func() error { _, err := c.Write(data); return err })
	if _, err := io.ReadFull(s, data); err != nil {
		t.Fatal(err)
	}
	noError(t, "Write", <-done)
	if s.in.block != nil {
		t.Error("a buffer is held with nothing in it")
	}
	s.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	_, err := s.Read(data)
	wantTimeout(t, "Read", err)
	if s.in.block != nil {
		t.Error("a buffer is held after a timeout")
	}
}

func TestTruncation(t *testing.T) {
	for _, p := range pairs[:2] {
		t.Run(p.name, func(t *testing.T) {
			a, b := tcpPair(t)
			c, s := p.client(a), p.server(b)
			defer s.Close()
			done := async(s.Handshake)
			noError(t, "client", c.Handshake())
			noError(t, "server", <-done)
			send(t, c, "cut")
			a.(*net.TCPConn).CloseWrite()
			wantText(t, s, "cut")
			for range 2 {
				_, err := s.Read(make([]byte, 1))
				want(t, "Read", err, io.ErrUnexpectedEOF)
			}
			// It does not forbid an answer.
			send(t, s, "still here")
			wantText(t, c, "still here")
		})
	}
}

func TestTruncatedHandshake(t *testing.T) {
	a, b := tcpPair(t)
	s := Server(b, serverConfig())
	defer s.Close()
	a.Write([]byte{22, 3, 1, 0, 100})
	a.Close()
	err := s.Handshake()
	var local *tlscore.LocalError
	if !errors.As(err, &local) || local.Reason != tlscore.ReasonTransportClosed {
		t.Fatalf("Handshake: %v", err)
	}
	_, again := s.Write([]byte("x"))
	want(t, "Write", again, err)
}

func TestAfterClose(t *testing.T) {
	c, s := connectOurs(t)
	noError(t, "Close", c.Close())
	_, err := c.Read(make([]byte, 1))
	want(t, "Read", err, net.ErrClosed)
	_, err = c.Write([]byte("x"))
	want(t, "Write", err, net.ErrClosed)
	want(t, "Handshake", c.Handshake(), net.ErrClosed)
	want(t, "CloseWrite", c.CloseWrite(), net.ErrClosed)
	want(t, "SetDeadline", c.SetDeadline(time.Time{}), net.ErrClosed)
	want(t, "Close", c.Close(), net.ErrClosed)
	if !c.ConnectionState().HandshakeComplete {
		t.Error("ConnectionState is gone")
	}
	if _, err := s.Read(make([]byte, 1)); err != io.EOF {
		t.Fatalf("the peer reads %v", err)
	}
}

func TestCloseWriteTooEarly(t *testing.T) {
	a, _ := tcpPair(t)
	c := Client(a, clientConfig())
	defer c.Close()
	want(t, "CloseWrite", c.CloseWrite(), errEarlyCloseWrite)
	if c.NetConn() != a || c.LocalAddr() != a.LocalAddr() || c.RemoteAddr() != a.RemoteAddr() {
		t.Error("addresses are not those of the transport")
	}
}

// KeyUpdates that ask for an answer come from both sides while both stream.
func TestKeyUpdateWhileStreaming(t *testing.T) {
	c, s := connectOurs(t)
	const chunk, chunks = 20_000, 100
	var all sync.WaitGroup
	for _, end := range []*Conn{c, s} {
		all.Go(func() {
			data := &pattern{end: chunk * chunks}
			buf := make([]byte, chunk)
			for range chunks {
				io.ReadFull(data, buf)
				end.send.Lock()
				err := end.machine.KeyUpdate(true)
				end.send.Unlock()
				if err != nil {
					t.Errorf("KeyUpdate: %v", err)
				}
				if _, err := end.Write(buf); err != nil {
					t.Errorf("Write: %v", err)
					return
				}
			}
			if err := end.CloseWrite(); err != nil {
				t.Errorf("CloseWrite: %v", err)
			}
		})
		all.Go(func() {
			if err := (&pattern{end: chunk * chunks}).check(end); err != nil {
				t.Errorf("read: %v", err)
			}
		})
	}
	all.Wait()
}

// The answer to a KeyUpdate goes out although nobody writes, and a peer that does
// not read it does not stop reading here.
func TestKeyUpdateAnswer(t *testing.T) {
	c, s := connectOurs(t)
	update := func() {
		t.Helper()
		c.send.Lock()
		defer c.send.Unlock()
		noError(t, "KeyUpdate", c.machine.KeyUpdate(true))
		noError(t, "flush", c.flush())
	}
	update()
	send(t, c, "x")
	wantText(t, s, "x")
	if n, err := c.transport.Read(make([]byte, 100)); err != nil || n == 0 {
		t.Fatalf("no answer: %d, %v", n, err)
	}

	// Now the server's Write is stuck, and its answer behind it.
	stuck := async(func() error {
		for {
			if _, err := s.Write(make([]byte, 1<<20)); err != nil {
				return err
			}
		}
	})
	time.Sleep(50 * time.Millisecond)
	for range 10 {
		update()
		send(t, c, "still read")
		wantText(t, s, "still read")
	}
	within(t, soon, "Close", s.Close)
	want(t, "Write", <-stuck, net.ErrClosed)
}

// Read, Write, deadlines and Close from everywhere at once.
func TestConcurrentUse(t *testing.T) {
	for i := range 20 {
		c, s := connectOurs(t)
		var all sync.WaitGroup
		for _, end := range []*Conn{c, s} {
			for range 2 {
				all.Go(func() {
					buf := make([]byte, 1000)
					for {
						if _, err := end.Read(buf); err != nil {
							return
						}
					}
				})
				all.Go(func() {
					buf := make([]byte, 30_000)
					for {
						if _, err := end.Write(buf); err != nil {
							return
						}
						end.ConnectionState()
						end.SetReadDeadline(time.Now().Add(time.Minute))
					}
				})
			}
		}
		time.Sleep(time.Duration(i) * time.Millisecond)
		all.Go(func() { s.Close() })
		all.Go(func() { c.Close() })
		within(t, patience, "everything", func() error { all.Wait(); return nil })
	}
}

func TestInbox(t *testing.T) {
	var in inbox
	source := &pattern{end: 300_000}
	expected := &pattern{end: 300_000}
	check := make([]byte, 300_000)
	for step := 0; ; step++ {
		err := in.readFrom(source)
		if err == io.EOF {
			break
		}
		noError(t, "readFrom", err)
		// Leave some bytes behind, up to a record's worth.
		left := min(len(in.bytes()), step*997%16_640)
		n := len(in.bytes()) - left
		io.ReadFull(expected, check[:n])
		if string(in.bytes()[:n]) != string(check[:n]) {
			t.Fatalf("wrong data in step %d", step)
		}
		in.consume(n)
	}
	n, _ := io.ReadFull(expected, check)
	if string(in.bytes()) != string(check[:n]) {
		t.Fatal("wrong data at the end")
	}
	in.consume(n)
	in.idle()
	if in.block != nil {
		t.Error("memory is held")
	}
	if err := in.readFrom(nothing{}); err != io.ErrNoProgress {
		t.Errorf("a reader without bytes: %v", err)
	}
	in.release()
}

type nothing struct{}

func (nothing) Read([]byte) (int, error) { return 0, nil }
