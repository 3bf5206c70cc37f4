//go:build linux

package uring

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tlscore.example/tlscore"
	"tlscore.example/tlscore/drive"
	"tlscore.example/tlscore/drive/internal/drivertest"
	"tlscore.example/tlscore/internal/tlstest"
)

// wait waits for what has to come.
func wait[T any](t *testing.T, ch <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(patience):
		t.Fatal("nothing came")
	}
	return v
}

func send(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

func expect(t *testing.T, c net.Conn, text string) {
	t.Helper()
	got := make([]byte, len(text))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != text {
		t.Fatalf("%q, %v, expected %q", got, err, text)
	}
}

// What a handler can ask its connection.
func TestConn(t *testing.T) {
	facts := make(chan string, 1)
	closed := make(chan error, 1)
	addr := serve(t, &Server{Handler: &app{
		open: func(c *Conn) {
			c.SetContext("mine")
			state := c.ConnectionState()
			secret, err := c.Machine().ExportKeyingMaterial("label", nil, 4)
			facts <- fmt.Sprint(state.PeerCertificates[0].Subject.CommonName, " ", state.ServerName, " ",
				c.LocalAddr(), " ", c.RemoteAddr(), " ", c.Context(), " ", len(secret), err)
			c.Write([]byte("welcome"))
		},
		close: func(_ *Conn, err error) { closed <- err },
	}})
	cfg := drivertest.StdClientConfig(drivertest.MutualName)
	cfg.Certificates = []tls.Certificate{tlstest.ClientCertificate(tlstest.ECDSAP256)}
	c, err := tls.Dial("tcp", addr, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	expect(t, c, "welcome")
	want := fmt.Sprint("client mutual.test ", addr, " ", c.LocalAddr(), " mine 4 <nil>")
	if got := wait(t, facts); got != want {
		t.Errorf("%q, expected %q", got, want)
	}
	c.NetConn().Close() // without close_notify; the handler does not close, for it has a context
	select {
	case err := <-closed:
		t.Errorf("closed: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
}

// Servers that cannot work say so.
func TestSetup(t *testing.T) {
	for _, s := range []*Server{
		{},
		{Handler: &app{}},
		{Handler: &app{}, Config: &tlscore.Config{}},
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Serve(context.Background(), l.(*net.TCPListener)); err == nil {
			t.Errorf("%+v serves", s)
		}
	}
}

// Everything that can be lifted out of the machine runs on workers; clients that leave
// meanwhile do no harm.
func TestTasks(t *testing.T) {
	cfg := drivertest.ServerConfig()
	cfg.Tasks = tlscore.AllTasks
	addr := serve(t, &Server{Handler: &app{}, Config: cfg, Workers: 1})
	var group sync.WaitGroup
	for i := range 40 {
		group.Go(func() {
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			c := tls.Client(conn, drivertest.StdClientConfig(drivertest.Name))
			if i%2 == 0 {
				c.SetDeadline(time.Now().Add(time.Duration(i) * 100 * time.Microsecond))
				c.Handshake()
				return
			}
			c.SetDeadline(time.Now().Add(patience))
			io.WriteString(c, "hello")
			if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
}

// Who does not finish the handshake is told so, whoever has a turn or waits for one; who is
// idle is told the end.
func TestDeadlines(t *testing.T) {
	failed, closed := make(chan error, 10), make(chan error, 1)
	addr := serve(t, &Server{
		Handler:   &app{close: func(_ *Conn, err error) { closed <- err }},
		Limits:    drive.Limits{HandshakeTimeout: time.Second, IdleTimeout: 100 * time.Millisecond, MaxHandshakes: 1},
		OnFailure: func(_ net.Addr, err error) { failed <- err },
	})
	var silent [2]net.Conn
	for i := range silent {
		var err error
		if silent[i], err = net.Dial("tcp", addr); err != nil {
			t.Fatal(err)
		}
		defer silent[i].Close()
	}
	for _, conn := range silent {
		conn.SetDeadline(time.Now().Add(patience))
		if got, err := io.ReadAll(conn); err != nil || !bytes.Equal(got, []byte{21, 3, 3, 0, 2, 2, byte(tlscore.AlertGeneralError)}) {
			t.Errorf("% x, %v", got, err)
		}
		if err := wait(t, failed); !errors.Is(err, drive.ErrHandshakeTimeout) {
			t.Error(err)
		}
	}
	c := dial(t, addr, drivertest.Name)
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Error(err)
	}
	if err := wait(t, closed); !errors.Is(err, drive.ErrIdleTimeout) {
		t.Error(err)
	}
}

// A client that does not read is not read either, once its slots are full. Nothing is lost
// when it reads again, and others are served meanwhile.
func TestBackPressure(t *testing.T) {
	var taken atomic.Int64
	addr := serve(t, &Server{Slots: 1, Buffers: 2, Handler: &app{data: func(c *Conn, p []byte) {
		taken.Add(int64(len(p)))
		write(c, p)
	}}})
	const total = 64 << 20
	stalled := dial(t, addr, drivertest.Name)
	wrote := make(chan error, 1)
	go func() {
		chunk := make([]byte, 1<<20)
		var err error
		for n := 0; n < total && err == nil; n += len(chunk) {
			_, err = stalled.Write(chunk)
		}
		wrote <- err
	}()
	var before int64
	for settled := 0; settled < 10; settled++ {
		time.Sleep(20 * time.Millisecond)
		if now := taken.Load(); now != before || now == 0 {
			before, settled = now, 0
		}
	}
	if before >= total/2 {
		t.Errorf("%d bytes were taken from a client that does not read", before)
	}
	for range 3 {
		c := dial(t, addr, drivertest.Name)
		send(t, c, "hello")
		expect(t, c, "hello")
	}
	if n, err := io.Copy(io.Discard, io.LimitReader(stalled, total)); err != nil || n != total {
		t.Errorf("%d bytes, %v", n, err)
	}
	if err := wait(t, wrote); err != nil {
		t.Error(err)
	}
}

// More connections that send at the same time than there are buffers.
func TestBuffersRunOut(t *testing.T) {
	addr := serve(t, &Server{Handler: &app{}, Buffers: 1, BufferSize: 100, SlotSize: 1})
	var group sync.WaitGroup
	for i := range 20 {
		group.Go(func() {
			c, err := tls.Dial("tcp", addr, drivertest.StdClientConfig(drivertest.Name))
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(patience))
			text := bytes.Repeat([]byte{byte(i)}, 50_000)
			go c.Write(text)
			got := make([]byte, len(text))
			if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, text) {
				t.Error(err)
			}
		})
	}
	group.Wait()
}

// The handler ends the connection in each of its methods, and each time the client reads
// what was written and the right end.
func TestClose(t *testing.T) {
	bye := []byte("bye")
	closing := func(c *Conn) {
		c.Write(bye)
		c.Close()
		if _, err := c.Write(bye); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Write after the end: %v", err)
		}
		c.Close()
		c.CloseWrite()
	}
	for name, tt := range map[string]struct {
		app app
		err string // of the client
		end string // what OnClose is told
	}{
		"OnOpen": {app: app{open: closing}},
		"OnData": {app: app{data: func(c *Conn, _ []byte) { closing(c) }}},
		"OnEnd":  {app: app{data: func(*Conn, []byte) {}, end: func(c *Conn, truncated bool) { closing(c) }}},
		"Post": {app: app{data: func(c *Conn, _ []byte) {
			go c.Post(closing)
		}}},
		"CloseWrite": {app: app{data: func(c *Conn, _ []byte) {
			c.Write(bye)
			c.CloseWrite()
			if _, err := c.Write(bye); !errors.Is(err, tlscore.ErrWriteClosed) {
				t.Errorf("Write after CloseWrite: %v", err)
			}
		}}},
		"Reject": {app: app{data: func(c *Conn, _ []byte) {
			c.Write(bye)
			if err := c.Reject(tlscore.AlertCloseNotify); err == nil {
				t.Error("close_notify rejects")
			}
			if err := c.Reject(tlscore.AlertAccessDenied); err != nil {
				t.Error(err)
			}
			if err := c.Reject(tlscore.AlertAccessDenied); !errors.Is(err, net.ErrClosed) {
				t.Error(err)
			}
		}}, err: "remote error: tls: access denied", end: "access_denied"},
	} {
		t.Run(name, func(t *testing.T) {
			closed := make(chan error, 1)
			handler := tt.app
			handler.close = func(_ *Conn, err error) { closed <- err }
			c := dial(t, serve(t, &Server{Handler: &handler}), drivertest.Name)
			send(t, c, "hello")
			if name == "OnEnd" {
				c.CloseWrite()
			}
			got, err := io.ReadAll(c)
			if string(got) != "bye" || fmt.Sprint(err) != tt.err && (err != nil || tt.err != "") {
				t.Errorf("%q, %v", got, err)
			}
			c.Close()
			if err := wait(t, closed); err == nil != (tt.end == "") || err != nil && !bytes.Contains([]byte(err.Error()), []byte(tt.end)) {
				t.Errorf("closed: %v", err)
			}
		})
	}
}

// The handler writes in OnWritable more than there is room for, again and again, and closes
// in the middle of it.
func TestCloseWhileFull(t *testing.T) {
	const total = 5 << 20
	wrote := 0
	closed := make(chan error, 1)
	more := func(c *Conn) {
		for wrote < total {
			n, err := c.Write(make([]byte, min(1<<20, total-wrote)))
			if wrote += n; n == 0 || err != nil {
				return
			}
		}
		c.Close()
	}
	addr := serve(t, &Server{Handler: &app{
		data:     func(c *Conn, _ []byte) { more(c) },
		writable: more,
		close:    func(_ *Conn, err error) { closed <- err },
	}})
	c := dial(t, addr, drivertest.Name)
	send(t, c, "hello")
	if n, err := io.Copy(io.Discard, c); err != nil || n != total {
		t.Errorf("%d bytes, %v", n, err)
	}
	if err := wait(t, closed); err != nil {
		t.Error(err)
	}
}

// The two ends that a client's direction can have are told apart, and the answer comes in
// both.
func TestHalfClose(t *testing.T) {
	for _, fin := range []bool{false, true} {
		got := make(chan bool, 1)
		addr := serve(t, &Server{Handler: &app{end: func(c *Conn, truncated bool) {
			got <- truncated
			c.Write([]byte("the answer"))
			c.Close()
		}, data: func(*Conn, []byte) {}}})
		c := dial(t, addr, drivertest.Name)
		send(t, c, "the question")
		if fin {
			c.NetConn().(*net.TCPConn).CloseWrite()
		} else {
			c.CloseWrite()
		}
		if text, err := io.ReadAll(c); err != nil || string(text) != "the answer" {
			t.Errorf("%q, %v", text, err)
		}
		if truncated := wait(t, got); truncated != fin {
			t.Errorf("truncated: %v, FIN: %v", truncated, fin)
		}
	}
}

// Resets at every phase.
func TestResets(t *testing.T) {
	addr := serve(t, &Server{Handler: &app{}})
	for i := range 60 {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		tcp := conn.(*net.TCPConn)
		c := tls.Client(conn, drivertest.StdClientConfig(drivertest.Name))
		c.SetDeadline(time.Now().Add(patience))
		switch i % 4 {
		case 1:
			conn.Write([]byte{22, 3, 1, 0, 200, 1})
		case 2:
			c.SetDeadline(time.Now().Add(time.Duration(i) * 20 * time.Microsecond))
			c.Handshake()
		case 3:
			if err := c.Handshake(); err != nil {
				t.Fatal(err)
			}
			go c.Write(make([]byte, 1<<20))
			io.ReadFull(c, make([]byte, i*1000))
		}
		tcp.SetLinger(0)
		tcp.Close()
	}
	c := dial(t, addr, drivertest.Name)
	send(t, c, "hello")
	expect(t, c, "hello")
}

// Connections beyond the limit are not accepted until one ends; handshakes beyond theirs
// wait for their turn.
func TestLimits(t *testing.T) {
	addr := serve(t, &Server{Handler: &app{}, Limits: drive.Limits{MaxConnections: 2, MaxHandshakes: 1}})
	first := dial(t, addr, drivertest.Name)
	second := dial(t, addr, drivertest.Name)
	third := make(chan error, 1)
	go func() {
		c, err := tls.Dial("tcp", addr, drivertest.StdClientConfig(drivertest.Name))
		if err == nil {
			c.Close()
		}
		third <- err
	}()
	select {
	case err := <-third:
		t.Errorf("the third connection was served: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	first.Close()
	if err := wait(t, third); err != nil {
		t.Error(err)
	}
	second.Close()
	silent, err := net.Dial("tcp", addr) // takes the turn
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		time.Sleep(50 * time.Millisecond)
		silent.Close()
	}()
	began := time.Now()
	dial(t, addr, drivertest.Name)
	if d := time.Since(began); d < 25*time.Millisecond {
		t.Errorf("two handshakes ran: the second took %s", d)
	}
}

// A server that is stopped ends its connections with close_notify, those in their handshake
// with user_canceled, and does not wait for ever for those who do not read.
func TestStop(t *testing.T) {
	closed := make(chan error, 10)
	addr, stop := serveUntil(t, &Server{
		Handler: &app{close: func(_ *Conn, err error) { closed <- err }},
		Linger:  drive.Linger{Timeout: 50 * time.Millisecond},
	})
	c := dial(t, addr, drivertest.Name)
	silent, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	send(t, c, "hello")
	expect(t, c, "hello")
	ended := make(chan struct{})
	go func() {
		stop()
		close(ended)
	}()
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Error(err)
	}
	if err := wait(t, closed); err != ErrServerClosed {
		t.Error(err)
	}
	silent.SetDeadline(time.Now().Add(patience))
	if got, err := io.ReadAll(silent); err != nil || !bytes.Equal(got, []byte{21, 3, 3, 0, 2, 1, 90, 21, 3, 3, 0, 2, 1, 0}) {
		t.Errorf("% x, %v", got, err)
	}
	wait(t, ended)
}

// Posts from many goroutines, and after the end.
func TestPost(t *testing.T) {
	conns := make(chan *Conn, 1)
	addr, stop := serveUntil(t, &Server{Handler: &app{open: func(c *Conn) { conns <- c }}})
	c := dial(t, addr, drivertest.Name)
	server := wait(t, conns)
	const n = 100
	var group sync.WaitGroup
	for range n {
		group.Go(func() {
			if !server.Post(func(c *Conn) { write(c, []byte("x")) }) {
				t.Error("the server does not run")
			}
		})
	}
	expect(t, c, string(bytes.Repeat([]byte("x"), n)))
	group.Wait()
	stop()
	if server.Post(func(*Conn) { t.Error("called after the end") }) {
		t.Error("the server still runs")
	}
}
