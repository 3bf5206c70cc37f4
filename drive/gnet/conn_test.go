package tlsgnet

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/panjf2000/gnet/v2"
	"github.com/panjf2000/gnet/v2/pkg/logging"

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

// start runs a server and connects to it.
func start(t *testing.T, user *app, opts Options) *tls.Conn {
	t.Helper()
	return dial(t, serve(t, newServer(t, user, opts), user), drivertest.Name)
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

// What the handler leaves is there the next time, in front of what has come.
func TestReading(t *testing.T) {
	failures := make(chan string, 10)
	check := func(what string, got, want any) {
		if fmt.Sprint(got) != fmt.Sprint(want) {
			failures <- fmt.Sprintf("%s: %v, expected %v", what, got, want)
		}
	}
	user := &app{traffic: func(c gnet.Conn) gnet.Action {
		if c.InboundBuffered() < 10 {
			if _, err := c.Peek(10); err != io.ErrShortBuffer {
				check("Peek of too much", err, io.ErrShortBuffer)
			}
			if _, err := c.Next(10); err != io.ErrShortBuffer {
				check("Next of too much", err, io.ErrShortBuffer)
			}
			return gnet.None
		}
		p, _ := c.Peek(2)
		check("Peek", string(p), "01")
		n, _ := c.Discard(1)
		check("Discard", n, 1)
		p, _ = c.Next(3)
		check("Next", string(p), "123")
		var b [2]byte
		c.Read(b[:])
		check("Read", string(b[:]), "45")
		check("InboundBuffered", c.InboundBuffered(), 4)
		var all bytes.Buffer
		m, err := c.WriteTo(&all)
		check("WriteTo", fmt.Sprint(all.String(), m, err), fmt.Sprint("6789", 4, error(nil)))
		_, err = c.Read(b[:])
		check("Read of nothing", err, io.ErrShortBuffer)
		n, _ = c.Discard(-1)
		check("Discard of nothing", n, 0)
		_, err = c.SendTo(nil, nil)
		check("SendTo", err != nil, true)
		c.Writev([][]byte{[]byte("do"), nil, []byte("ne")})
		c.ReadFrom(strings.NewReader("!"))
		return gnet.None
	}}
	c := start(t, user, Options{})
	for _, b := range "0123456789" {
		send(t, c, string(b))
	}
	expect(t, c, "done!")
	send(t, c, "0123456789")
	expect(t, c, "done!")
	select {
	case text := <-failures:
		t.Error(text)
	default:
	}
}

// A client and a server of ours, and each with crypto/tls.
func TestBothRoles(t *testing.T) {
	server := &app{}
	addr := serve(t, newServer(t, server, Options{}), server)
	std, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{tlstest.Certificate(tlstest.Leaf{})}, Time: tlstest.Clock, NextProtos: []string{"echo"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer std.Close()
	go func() {
		for {
			c, err := std.Accept()
			if err != nil {
				return
			}
			go func() {
				io.Copy(c, c)
				c.Close()
			}()
		}
	}()
	for _, addr := range []string{addr, std.Addr().String()} {
		var got bytes.Buffer
		opened, done, closed := make(chan tls.ConnectionState, 1), make(chan string, 1), make(chan error, 1)
		sent := strings.Repeat("all that is sent comes back; ", 10_000)
		user := &app{
			open: func(c gnet.Conn) ([]byte, gnet.Action) {
				opened <- State(c)
				return []byte(sent), gnet.None
			},
			traffic: func(c gnet.Conn) gnet.Action {
				c.WriteTo(&got)
				if got.Len() < len(sent) {
					return gnet.None
				}
				done <- fmt.Sprintf("%v %v", c.Context(), got.String() == sent)
				return gnet.Close
			},
			close: func(_ gnet.Conn, err error) gnet.Action {
				closed <- err
				return gnet.None
			},
		}
		h, err := NewClient(user, Options{})
		if err != nil {
			t.Fatal(err)
		}
		client, err := gnet.NewClient(h, gnet.WithLogLevel(logging.FatalLevel))
		if err != nil {
			t.Fatal(err)
		}
		if err := client.Start(); err != nil {
			t.Fatal(err)
		}
		cfg := drivertest.ClientConfig(drivertest.Name)
		cfg.NextProtos = []string{"echo"}
		if _, err := client.DialContext("tcp", addr, Dial{Config: cfg, Context: "mine"}); err != nil {
			t.Fatal(err)
		}
		if state := wait(t, opened); state.Version != tls.VersionTLS13 || !state.HandshakeComplete || len(state.PeerCertificates) != 1 {
			t.Errorf("%+v", state)
		} else if addr != std.Addr().String() && state.NegotiatedProtocol != "" {
			t.Errorf("ALPN %q", state.NegotiatedProtocol)
		} else if addr == std.Addr().String() && state.NegotiatedProtocol != "echo" {
			t.Errorf("ALPN %q", state.NegotiatedProtocol)
		}
		if text := wait(t, done); text != "mine true" {
			t.Error(text)
		}
		if err := wait(t, closed); err != nil {
			t.Error(err)
		}
		client.Stop()
	}
}

// A client without a config, and configs that cannot work.
func TestSetup(t *testing.T) {
	if _, err := NewServer(&app{}, Options{}); err == nil {
		t.Error("a server without a config")
	}
	if _, err := NewServer(&app{}, Options{Config: &tlscore.Config{}}); err == nil {
		t.Error("a server without a certificate")
	}
	if _, err := NewClient(&app{}, Options{Config: &tlscore.Config{}}); err == nil {
		t.Error("a client without a name")
	}
	failed := make(chan error, 1)
	h, err := NewClient(&app{}, Options{OnFailure: func(_ net.Addr, err error) { failed <- err }})
	if err != nil {
		t.Fatal(err)
	}
	client, err := gnet.NewClient(h, gnet.WithLogLevel(logging.FatalLevel))
	if err != nil {
		t.Fatal(err)
	}
	client.Start()
	defer client.Stop()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client.Dial("tcp", l.Addr().String())
	if err := wait(t, failed); !errors.Is(err, errNoConfig) {
		t.Error(err)
	}
}

// Everything that can be lifted out of the machine runs on workers, also when there is
// none free at first.
func TestTasks(t *testing.T) {
	var refused, ran atomic.Int64
	submit := func(task func()) error {
		if refused.Add(1)%2 == 1 {
			return errors.New("no worker is free")
		}
		go func() {
			ran.Add(1)
			task()
		}()
		return nil
	}
	cfg := drivertest.ServerConfig()
	cfg.Tasks = tlscore.AllTasks
	c := start(t, &app{}, Options{Config: cfg, Submit: submit})
	send(t, c, "hello")
	expect(t, c, "hello")
	if ran.Load() < 2 {
		t.Errorf("%d tasks", ran.Load())
	}
}

// The pool of gnet, and clients that leave while it works for them.
func TestTasksOfGnet(t *testing.T) {
	cfg := drivertest.ServerConfig()
	cfg.Tasks = tlscore.AllTasks
	user := &app{}
	h := newServer(t, user, Options{Config: cfg})
	addr := serve(t, h, user)
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

// The client's certificate is in the connection state.
func TestClientCertificate(t *testing.T) {
	names := make(chan string, 1)
	user := &app{open: func(c gnet.Conn) ([]byte, gnet.Action) {
		names <- State(c).PeerCertificates[0].Subject.CommonName
		return []byte("welcome"), gnet.None
	}}
	addr := serve(t, newServer(t, user, Options{}), user)
	cfg := drivertest.StdClientConfig(drivertest.MutualName)
	cfg.Certificates = []tls.Certificate{tlstest.ClientCertificate(tlstest.ECDSAP256)}
	c, err := tls.Dial("tcp", addr, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	expect(t, c, "welcome")
	if name := wait(t, names); name != "client" {
		t.Error(name)
	}
}

// Who does not finish the handshake is told so, whoever has a turn or waits for one; who is
// idle is told the end.
func TestDeadlines(t *testing.T) {
	failed, closed := make(chan error, 10), make(chan error, 1)
	user := &app{close: func(_ gnet.Conn, err error) gnet.Action { closed <- err; return gnet.None }}
	addr := serve(t, newServer(t, user, Options{
		Limits:    drive.Limits{HandshakeTimeout: time.Second, IdleTimeout: 100 * time.Millisecond, MaxHandshakes: 1},
		OnFailure: func(_ net.Addr, err error) { failed <- err },
	}), user)
	wait(t, failed) // of the call that found out that the server runs
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
	}
	for range silent {
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

// A client that does not read makes the server stop decrypting; nothing is lost when it
// reads again.
func TestBackPressure(t *testing.T) {
	const highWater, chunk = 64 << 10, 1000
	var most atomic.Int64
	user := &app{traffic: func(c gnet.Conn) gnet.Action {
		most.Store(max(most.Load(), int64(c.OutboundBuffered())))
		p, _ := c.Next(-1)
		for range 20 { // an answer that is longer than the question
			c.Write(p)
		}
		return gnet.None
	}}
	c := start(t, user, Options{HighWater: highWater, MaxInbound: 64 << 20})
	const rounds = 2000
	var group sync.WaitGroup
	group.Go(func() {
		for range rounds {
			if _, err := c.Write(bytes.Repeat([]byte("x"), chunk)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	// Nothing is read until the kernel's buffers are full, and the mark is near.
	if !drivertest.Settles(func() bool { return most.Load() > highWater/2 }) {
		t.Error("there was no pressure")
	}
	if n, err := io.Copy(io.Discard, io.LimitReader(c, 20*rounds*chunk)); err != nil || n != 20*rounds*chunk {
		t.Errorf("%d bytes, %v", n, err)
	}
	group.Wait()
	// A question is begun below the mark, and its answer is 20 records.
	if limit := int64(highWater); most.Load() > limit {
		t.Errorf("%d bytes waited to be sent when a question was handled, with a mark of %d", most.Load(), limit)
	}
}

// A handler that leaves everything, and a client that asks on and on without reading, are
// stopped at the cap.
func TestMaxInbound(t *testing.T) {
	for name, traffic := range map[string]func(gnet.Conn) gnet.Action{
		"plaintext": func(gnet.Conn) gnet.Action { return gnet.None },
		"ciphertext": func(c gnet.Conn) gnet.Action {
			p, _ := c.Next(-1)
			for range 100 {
				c.Write(p)
			}
			return gnet.None
		},
	} {
		t.Run(name, func(t *testing.T) {
			closed := make(chan error, 1)
			user := &app{traffic: traffic, close: func(_ gnet.Conn, err error) gnet.Action {
				closed <- err
				return gnet.None
			}}
			c := start(t, user, Options{MaxInbound: 100_000, HighWater: 100_000})
			go func() {
				for err := error(nil); err == nil; {
					_, err = c.Write(make([]byte, 10_000))
				}
			}()
			if err := wait(t, closed); err == nil || !strings.Contains(err.Error(), "100000 bytes") {
				t.Error(err)
			}
		})
	}
}

// AsyncWrite from many goroutines, in order for each of them; Wake; what is called when the
// connection is over.
func TestAsync(t *testing.T) {
	conns := make(chan gnet.Conn, 1)
	var woken atomic.Int64
	user := &app{
		open:    func(c gnet.Conn) ([]byte, gnet.Action) { conns <- c; return nil, gnet.None },
		traffic: func(gnet.Conn) gnet.Action { woken.Add(1); return gnet.None },
	}
	c := start(t, user, Options{})
	server := wait(t, conns)
	const writers, each = 8, 200
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for i := range each {
				line := fmt.Appendf(nil, "%d %03d\n", w, i)
				half := len(line) / 2
				var err error
				if i%2 == 0 {
					err = server.AsyncWrite(line, nil)
				} else {
					err = server.AsyncWritev([][]byte{line[:half], line[half:]}, func(gnet.Conn, error) error { return nil })
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	next := make([]int, writers)
	for range writers * each {
		var w, i int
		line := make([]byte, len("0 000\n"))
		if _, err := io.ReadFull(c, line); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Sscanf(string(line), "%d %d\n", &w, &i); err != nil || i != next[w] {
			t.Fatalf("%q after %d, %v", line, next[w], err)
		}
		next[w]++
	}
	group.Wait()
	done := make(chan error, 1)
	server.Wake(func(gnet.Conn, error) error { done <- nil; return nil })
	wait(t, done)
	if woken.Load() != 1 {
		t.Errorf("woken %d times", woken.Load())
	}
	server.CloseWithCallback(func(gnet.Conn, error) error { done <- nil; return nil })
	wait(t, done)
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Error(err)
	}
	server.AsyncWrite([]byte("late"), func(_ gnet.Conn, err error) error { done <- err; return nil })
	if err := wait(t, done); !errors.Is(err, net.ErrClosed) {
		t.Errorf("AsyncWrite after the end: %v", err)
	}
	server.Wake(func(_ gnet.Conn, err error) error { done <- err; return nil })
	if err := wait(t, done); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Wake after the end: %v", err)
	}
}

// The handler ends the connection at any place, and each time the client reads what was
// written and a clean end.
func TestClose(t *testing.T) {
	bye := []byte("bye")
	for name, user := range map[string]*app{
		"OnOpen": {open: func(gnet.Conn) ([]byte, gnet.Action) { return bye, gnet.Close }},
		"OnTraffic": {traffic: func(c gnet.Conn) gnet.Action {
			c.Write(bye)
			return gnet.Close
		}},
		"Close": {traffic: func(c gnet.Conn) gnet.Action {
			c.Write(bye)
			c.Close()
			return gnet.None
		}},
		"EventLoop": {traffic: func(c gnet.Conn) gnet.Action {
			c.Write(bye)
			c.EventLoop().Close(c)
			if _, err := c.Write(bye); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Write after the end: %v", err)
			}
			return gnet.None
		}},
		"CloseWrite": {traffic: func(c gnet.Conn) gnet.Action {
			c.Write(bye)
			if err := c.(*Conn).CloseWrite(); err != nil {
				t.Error(err)
			}
			if _, err := c.Write(bye); !errors.Is(err, tlscore.ErrWriteClosed) {
				t.Errorf("Write after CloseWrite: %v", err)
			}
			return gnet.None
		}},
	} {
		t.Run(name, func(t *testing.T) {
			closed := make(chan error, 1)
			user.close = func(_ gnet.Conn, err error) gnet.Action { closed <- err; return gnet.None }
			c := start(t, user, Options{})
			send(t, c, "hello")
			if got, err := io.ReadAll(c); err != nil || string(got) != "bye" {
				t.Errorf("%q, %v", got, err)
			}
			c.Close()
			if err := wait(t, closed); err != nil {
				t.Error(err)
			}
		})
	}
}

// A client that closes without close_notify is told apart.
func TestTruncation(t *testing.T) {
	closed := make(chan error, 1)
	user := &app{close: func(_ gnet.Conn, err error) gnet.Action { closed <- err; return gnet.None }}
	c := start(t, user, Options{})
	send(t, c, "hello")
	expect(t, c, "hello")
	c.NetConn().Close()
	if err := wait(t, closed); err != io.ErrUnexpectedEOF {
		t.Error(err)
	}
}

// ending goes on after the client's close_notify.
type ending struct{ app }

func (*ending) OnEnd(c gnet.Conn) gnet.Action {
	c.Write([]byte("the answer"))
	return gnet.Close
}

func TestOnEnd(t *testing.T) {
	user := &ending{app{traffic: func(gnet.Conn) gnet.Action { return gnet.None }}}
	h, err := NewServer(user, Options{Config: drivertest.ServerConfig()})
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, serve(t, h, &user.app), drivertest.Name)
	send(t, c, "the question")
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(c); err != nil || string(got) != "the answer" {
		t.Errorf("%q, %v", got, err)
	}
}

// Connections beyond the limit are closed; handshakes beyond theirs wait for their turn.
func TestLimits(t *testing.T) {
	user := &app{}
	h := newServer(t, user, Options{Limits: drive.Limits{MaxConnections: 2, MaxHandshakes: 1}})
	addr := serve(t, h, user)
	var hold [2]net.Conn
	for i := range hold {
		var err error
		if hold[i], err = net.Dial("tcp", addr); err != nil {
			t.Fatal(err)
		}
		defer hold[i].Close()
		// Each has its own loop, so the second is made when the first has the turn.
		if !drivertest.Settles(func() bool { return h.turns.taken(1, i) }) {
			t.Fatal("no connection")
		}
	}
	third, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	third.SetDeadline(time.Now().Add(patience))
	if n, err := third.Read(make([]byte, 1)); err == nil {
		t.Errorf("the third connection reads %d bytes", n)
	}
	third.Close()
	// The second handshake begins when the first connection has gone.
	second := tls.Client(hold[1], drivertest.StdClientConfig(drivertest.Name))
	var gone atomic.Bool
	go func() {
		time.Sleep(20 * time.Millisecond)
		gone.Store(true)
		hold[0].Close()
	}()
	second.SetDeadline(time.Now().Add(patience))
	if err := second.Handshake(); err != nil {
		t.Error(err)
	}
	if !gone.Load() {
		t.Error("two handshakes ran")
	}
}

// taken reports whether so many have a turn, and so many wait for one.
func (t *turns) taken(running, waiting int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.running == running && len(t.waiting) == waiting
}

// An engine that is stopped ends its connections with close_notify, and Shutdown stops it.
func TestShutdown(t *testing.T) {
	user := &app{traffic: func(c gnet.Conn) gnet.Action {
		c.Write([]byte("down"))
		return gnet.Shutdown
	}}
	c := start(t, user, Options{})
	send(t, c, "hello")
	if got, err := io.ReadAll(c); err != nil || string(got) != "down" {
		t.Errorf("%q, %v", got, err)
	}
}
