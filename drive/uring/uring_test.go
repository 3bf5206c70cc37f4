//go:build linux

package uring

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"runtime"
	"testing"
	"time"

	"tlscore.example/tlscore/drive/internal/drivertest"
)

func TestMain(m *testing.M) { drivertest.Main(m) }

const patience = drivertest.Patience

// app is a handler made of functions.
type app struct {
	BaseHandler
	open     func(*Conn)
	data     func(*Conn, []byte)
	writable func(*Conn)
	end      func(*Conn, bool)
	close    func(*Conn, error)
}

func (a *app) OnOpen(c *Conn) {
	if a.open != nil {
		a.open(c)
	}
}

func (a *app) OnData(c *Conn, p []byte) {
	if a.data != nil {
		a.data(c, p)
	} else {
		write(c, p)
	}
}

func (a *app) OnWritable(c *Conn) {
	if a.writable != nil {
		a.writable(c)
	} else {
		write(c, nil)
	}
}

func (a *app) OnEnd(c *Conn, truncated bool) {
	if a.end != nil {
		a.end(c, truncated)
	} else if c.Context() == nil {
		c.Close()
	}
}

func (a *app) OnClose(c *Conn, err error) {
	if a.close != nil {
		a.close(c, err)
	}
}

// write writes p behind what is owed, which is the connection's context.
func write(c *Conn, p []byte) {
	owed, _ := c.Context().([]byte)
	if owed == nil {
		n, _ := c.Write(p)
		p = p[n:]
	}
	owed = append(owed, p...)
	if len(p) == 0 && len(owed) > 0 {
		n, _ := c.Write(owed)
		owed = owed[n:]
	}
	if len(owed) == 0 {
		c.SetContext(nil)
		return
	}
	c.SetContext(owed)
}

// serve runs a server until the test ends, and returns its address.
func serve(t *testing.T, s *Server) string {
	t.Helper()
	addr, stop := serveUntil(t, s)
	t.Cleanup(stop)
	return addr
}

// serveUntil runs a server until stop is called.
func serveUntil(t *testing.T, s *Server) (addr string, stop func()) {
	t.Helper()
	if s.Config == nil && s.Choose == nil {
		s.Choose = drivertest.Choose
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l.(*net.TCPListener)) }()
	stopped := false
	stop = func() {
		t.Helper()
		if cancel(); stopped {
			return
		}
		stopped = true
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(patience):
			t.Error("the server does not end")
		}
	}
	// A server that cannot start says so at once.
	select {
	case err := <-done:
		cancel()
		stopped = true
		if errors.Is(err, ErrUnavailable) {
			t.Skip(err)
		}
		t.Fatal(err)
	case <-time.After(20 * time.Millisecond):
	}
	return l.Addr().String(), stop
}

// A client that is refused reads its alert, also when it was still sending.
func TestRefusals(t *testing.T) {
	addr := serve(t, &Server{Handler: &app{}})
	drivertest.Refusals(t, addr, drivertest.Scale().Refusals)
	drivertest.PlainHTTP(t, addr)
}

// Thousands of clients that stall, trickle, half-close, reset and pipeline: no goroutine
// for each, and nothing is left of them.
func TestEchoLoad(t *testing.T) {
	addr := serve(t, &Server{Handler: &app{}})
	small := drivertest.Size{Connections: 32, Duration: time.Second / 2}
	drivertest.Echo(t, addr, drivertest.EchoLoad{Size: small, FIN: true}) // what is made once
	before := drivertest.Heap()
	goroutines := runtime.NumGoroutine()
	size := drivertest.Scale()
	drivertest.Echo(t, addr, drivertest.EchoLoad{Size: size, FIN: true, AtPeak: func() {
		if n := runtime.NumGoroutine(); n > goroutines+20 {
			t.Errorf("%d goroutines, %d before", n, goroutines)
		}
		t.Logf("%d bytes of heap for each connection at the peak", (drivertest.Heap()-before)/int64(size.Connections))
	}})
	drivertest.SettlesAt(t, before, 2<<20)
}

// dial connects as a client of crypto/tls.
func dial(t *testing.T, addr, name string) *tls.Conn {
	t.Helper()
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", addr, drivertest.StdClientConfig(name))
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { conn.Close() })
	return conn
}
