package netconn

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"
)

// counting counts the calls of a transport.
type counting struct {
	net.Conn
	reads, writes atomic.Int64
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.reads.Add(1)
	return n, err
}

func (c *counting) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

func (c *counting) CloseWrite() error { return c.Conn.(closeWriter).CloseWrite() }

// countingPair connects a client over a transport that counts, and a server.
func countingPair(t *testing.T) (c *Conn, calls *counting, s conn) {
	t.Helper()
	a, b := tcpPair(t)
	calls = &counting{Conn: a}
	c = Client(calls, clientConfig())
	s = ourServer(b)
	done := async(s.Handshake)
	noError(t, "Handshake", c.Handshake())
	noError(t, "Handshake", <-done)
	t.Cleanup(func() {
		c.Close()
		s.Close()
	})
	return c, calls, s
}

// A Write of up to 128 KiB is one call of the transport's.
func TestWriteCalls(t *testing.T) {
	c, calls, s := countingPair(t)
	go io.Copy(io.Discard, s)
	for _, tt := range []struct {
		size  int
		calls int64
	}{
		{1, 1}, {100, 1}, {16 << 10, 1}, {64 << 10, 1}, {128 << 10, 1}, {1 << 20, 8},
	} {
		before := calls.writes.Load()
		n, err := c.Write(make([]byte, tt.size))
		noError(t, "Write", err)
		if got := calls.writes.Load() - before; n != tt.size || got != tt.calls {
			t.Errorf("%d bytes of %d in %d calls, expected %d", n, tt.size, got, tt.calls)
		}
	}
}

// What has arrived is read in few calls: 512 KiB in 64 of 16 KiB at most, although they are
// 32 records.
func TestReadCalls(t *testing.T) {
	c, calls, s := countingPair(t)
	const size = 512 << 10
	before := calls.reads.Load()
	go s.Write(make([]byte, size))
	n, err := io.Copy(io.Discard, io.LimitReader(c, size))
	noError(t, "Read", err)
	if got := calls.reads.Load() - before; n != size || got > 64 {
		t.Errorf("%d bytes in %d calls", n, got)
	}
}

// io.Copy in both directions, each over both methods.
func TestCopy(t *testing.T) {
	text := bytes.Repeat([]byte("what goes in comes out; "), 40_000)
	a, s := connect(t, ourClient, ourServer)
	b, e := connect(t, ourClient, ourServer)
	back := async(func() error { // s to b: WriteTo and then ReadFrom of an interface, or both
		_, err := io.Copy(b, s)
		b.CloseWrite()
		return err
	})
	sent := async(func() error {
		n, err := io.Copy(a, iotest.HalfReader(bytes.NewReader(text)))
		if n != int64(len(text)) {
			return errors.New("not all is copied")
		}
		a.CloseWrite()
		return err
	})
	var got bytes.Buffer
	n, err := io.Copy(&got, e)
	noError(t, "Copy", err)
	noError(t, "Copy", <-sent)
	noError(t, "Copy", <-back)
	if n != int64(len(text)) || !bytes.Equal(got.Bytes(), text) {
		t.Errorf("%d bytes of %d", n, len(text))
	}
}

// What a slow source has is sent at once.
func TestReadFromIsPrompt(t *testing.T) {
	c, s := connect(t, ourClient, ourServer)
	r, w := io.Pipe()
	done := async(func() error {
		_, err := io.Copy(c, r)
		return err
	})
	for _, b := range []byte("one by one") {
		w.Write([]byte{b})
		got := make([]byte, 1)
		if _, err := io.ReadFull(s, got); err != nil || got[0] != b {
			t.Fatalf("%q, %v", got, err)
		}
	}
	broken := errors.New("the source is broken")
	w.CloseWithError(broken)
	want(t, "ReadFrom", <-done, broken)
}

// badWriter takes a few bytes.
type badWriter struct {
	n   int
	err error
}

func (w *badWriter) Write(p []byte) (int, error) {
	n := min(w.n, len(p))
	w.n -= n
	return n, w.err
}

// What a writer does not take is there for the next Read.
func TestWriteToKeepsTheRest(t *testing.T) {
	c, s := connect(t, ourClient, ourServer)
	_, err := s.Write([]byte("0123456789"))
	noError(t, "Write", err)
	full := errors.New("full")
	n, err := c.(*Conn).WriteTo(&badWriter{3, full})
	if want(t, "WriteTo", err, full); n != 3 {
		t.Errorf("%d bytes", n)
	}
	n, err = c.(*Conn).WriteTo(&badWriter{2, nil})
	if want(t, "WriteTo", err, io.ErrShortWrite); n != 2 {
		t.Errorf("%d bytes", n)
	}
	c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	var rest bytes.Buffer
	n, err = c.(*Conn).WriteTo(&rest)
	if want(t, "WriteTo", err, os.ErrDeadlineExceeded); rest.String() != "56789" || n != 5 {
		t.Errorf("%q", rest.String())
	}
	c.SetReadDeadline(time.Time{})
	s.Close()
	n, err = c.(*Conn).WriteTo(&rest)
	if noError(t, "WriteTo", err); n != 0 {
		t.Errorf("%d bytes", n)
	}
}

// stuck is a writer that waits.
type stuck struct{ entered, leave chan struct{} }

func (w *stuck) Write(p []byte) (int, error) {
	close(w.entered)
	<-w.leave
	return len(p), nil
}

// A writer that waits holds up neither a Write nor Close.
func TestWriteToStuck(t *testing.T) {
	c, s := connect(t, ourClient, ourServer)
	_, err := s.Write([]byte("hello"))
	noError(t, "Write", err)
	w := &stuck{make(chan struct{}), make(chan struct{})}
	done := async(func() error {
		_, err := c.(*Conn).WriteTo(w)
		return err
	})
	<-w.entered
	_, err = c.Write([]byte("x"))
	noError(t, "Write", err)
	began := time.Now()
	noError(t, "Close", c.Close())
	if d := time.Since(began); d > soon {
		t.Errorf("Close took %s", d)
	}
	close(w.leave)
	want(t, "WriteTo", <-done, net.ErrClosed)
}
