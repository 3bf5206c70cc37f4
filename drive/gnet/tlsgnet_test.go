package tlsgnet

import (
	"crypto/tls"
	"io"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/panjf2000/gnet/v2"
	"github.com/panjf2000/gnet/v2/pkg/logging"

	"tlscore.example/tlscore/drive/internal/drivertest"
)

func TestMain(m *testing.M) { drivertest.Main(m) }

const patience = drivertest.Patience

// app is a handler of gnet made of functions.
type app struct {
	gnet.BuiltinEventEngine
	booted  chan gnet.Engine
	addr    net.Addr // set before booted
	open    func(gnet.Conn) ([]byte, gnet.Action)
	traffic func(gnet.Conn) gnet.Action
	close   func(gnet.Conn, error) gnet.Action
}

func (a *app) OnBoot(eng gnet.Engine) gnet.Action {
	if a.booted != nil {
		a.addr = addrOf(eng)
		a.booted <- eng
	}
	return gnet.None
}

func (a *app) OnOpen(c gnet.Conn) ([]byte, gnet.Action) {
	if a.open == nil {
		return nil, gnet.None
	}
	return a.open(c)
}

func (a *app) OnTraffic(c gnet.Conn) gnet.Action {
	if a.traffic == nil {
		return echo(c)
	}
	return a.traffic(c)
}

func (a *app) OnClose(c gnet.Conn, err error) gnet.Action {
	if a.close == nil {
		return gnet.None
	}
	return a.close(c, err)
}

func echo(c gnet.Conn) gnet.Action {
	p, _ := c.Next(-1)
	c.Write(p)
	return gnet.None
}

// serve runs a server until the test ends, and returns its address.
func serve(t *testing.T, h *Handler, user *app, options ...gnet.Option) string {
	t.Helper()
	user.booted = make(chan gnet.Engine, 1)
	done := make(chan error, 1)
	options = append([]gnet.Option{gnet.WithNumEventLoop(2), gnet.WithLogLevel(logging.FatalLevel)}, options...)
	go func() { done <- gnet.Run(h, "tcp://127.0.0.1:0", options...) }()
	select {
	case err := <-done:
		t.Fatal(err)
	case eng := <-user.booted:
		t.Cleanup(func() {
			eng.Stop(t.Context())
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
	if user.addr == nil {
		t.Fatal("no address")
	}
	addr := user.addr.String()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.(*net.TCPConn).CloseWrite()
			io.Copy(io.Discard, conn) // until the server has forgotten this one
			conn.Close()
			return addr
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// addrOf returns the address that an engine listens on, or nil. gnet tells it by the file
// descriptor only, and in OnBoot only: later its end may be under way.
func addrOf(eng gnet.Engine) net.Addr {
	fd, err := eng.Dup()
	if err != nil {
		return nil
	}
	f := os.NewFile(uintptr(fd), "listener")
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		return nil
	}
	defer l.Close()
	return l.Addr()
}

// newServer makes a server's handler, which goes by drivertest.Choose unless opts say
// otherwise.
func newServer(t *testing.T, user *app, opts Options) *Handler {
	t.Helper()
	if opts.Config == nil && opts.Choose == nil {
		opts.Choose = drivertest.Choose
	}
	h, err := NewServer(user, opts)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// A client that is refused reads its alert, also when it was still sending.
func TestRefusals(t *testing.T) {
	user := &app{}
	addr := serve(t, newServer(t, user, Options{}), user)
	drivertest.Refusals(t, addr, drivertest.Scale().Refusals)
	drivertest.PlainHTTP(t, addr)
}

// Thousands of clients that stall, trickle, half-close, reset and pipeline: no goroutine
// for each, and nothing is left of them.
func TestEchoLoad(t *testing.T) {
	user := &app{}
	h := newServer(t, user, Options{})
	addr := serve(t, h, user)
	small := drivertest.Size{Connections: 32, Duration: time.Second / 2}
	drivertest.Echo(t, addr, drivertest.EchoLoad{Size: small}) // what is made once
	before := drivertest.Heap()
	goroutines := runtime.NumGoroutine()
	size := drivertest.Scale()
	drivertest.Echo(t, addr, drivertest.EchoLoad{Size: size, AtPeak: func() {
		if n := h.connections.Load(); n < int64(size.Connections) {
			t.Errorf("%d connections", n)
		}
		if n := runtime.NumGoroutine(); n > goroutines+20 {
			t.Errorf("%d goroutines, %d before", n, goroutines)
		}
		t.Logf("%d bytes of heap for each connection at the peak", (drivertest.Heap()-before)/int64(size.Connections))
	}})
	drivertest.SettlesAt(t, before, 2<<20)
	if n := h.connections.Load(); n != 0 {
		t.Errorf("%d connections are left", n)
	}
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
