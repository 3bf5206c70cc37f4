package netconn

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"tlscore.example/tlscore"
	"tlscore.example/tlscore/drive"
	"tlscore.example/tlscore/drive/internal/drivertest"
	"tlscore.example/tlscore/internal/tlstest"
)

// patience bounds what a test waits for that has to come. It is long: a machine may be busy
// with other things, and only what hangs waits for so long.
const patience = time.Minute

// soon bounds what does not wait for a peer: it is less than Close would take if it did.
const soon = drive.FlushTimeout * 3 / 4

// TestMain checks that all tests together leave no goroutine behind.
func TestMain(m *testing.M) { drivertest.Main(m) }

var serverCertificate = sync.OnceValue(func() tls.Certificate { return tlstest.Certificate(tlstest.Leaf{}) })

func serverConfig() *tlscore.Config {
	return &tlscore.Config{Certificates: []tls.Certificate{serverCertificate()}, Time: tlstest.Clock}
}

func clientConfig() *tlscore.Config {
	return &tlscore.Config{ServerName: "localhost", RootCAs: tlstest.Roots(), Time: tlstest.Clock}
}

func stdServerConfig() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{serverCertificate()}, Time: tlstest.Clock}
}

func stdClientConfig() *tls.Config {
	return &tls.Config{ServerName: "localhost", RootCAs: tlstest.Roots(), Time: tlstest.Clock}
}

// conn is what both implementations offer.
type conn interface {
	net.Conn
	Handshake() error
	CloseWrite() error
	ConnectionState() tls.ConnectionState
}

// pairs are the combinations of implementations that have to work together.
var pairs = []struct {
	name           string
	client, server func(net.Conn) conn
	version        uint16
}{
	{"ours", ourClient, ourServer, tls.VersionTLS13},
	{"std client", stdClient, ourServer, tls.VersionTLS13},
	{"std server", ourClient, stdServer, tls.VersionTLS13},
	{"acceptor", ourClient, ourAcceptor, tls.VersionTLS13},
	{"ours, TLS 1.2", ourClient12, ourServer, tls.VersionTLS12},
	{"std client, TLS 1.2", stdClient12, ourServer, tls.VersionTLS12},
	{"std server, TLS 1.2", ourClient12, stdServer, tls.VersionTLS12},
	{"acceptor, TLS 1.2", ourClient12, ourAcceptor, tls.VersionTLS12},
}

func ourClient12(c net.Conn) conn {
	cfg := clientConfig()
	cfg.MaxVersion = tls.VersionTLS12
	return Client(c, cfg)
}

func stdClient12(c net.Conn) conn {
	cfg := stdClientConfig()
	cfg.MaxVersion = tls.VersionTLS12
	return tls.Client(c, cfg)
}

func ourClient(c net.Conn) conn { return Client(c, clientConfig()) }
func ourServer(c net.Conn) conn { return Server(c, serverConfig()) }
func stdClient(c net.Conn) conn { return tls.Client(c, stdClientConfig()) }
func stdServer(c net.Conn) conn { return tls.Server(c, stdServerConfig()) }
func ourAcceptor(c net.Conn) conn {
	return Acceptor(c, tlscore.Limits{}, func(hello *tlscore.ClientHello) (*tlscore.Config, error) {
		if hello.ServerName != "localhost" {
			return nil, errors.New("who?")
		}
		return serverConfig(), nil
	})
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// tcpPair returns both ends of a TCP connection, the dialed one first.
func tcpPair(t testing.TB) (client, server net.Conn) {
	t.Helper()
	l := listen(t)
	defer l.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		c, _ := l.Accept()
		accepted <- c
	}()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server = <-accepted
	if server == nil {
		t.Fatal("no connection was accepted")
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	for _, c := range []net.Conn{client, server} {
		c.SetDeadline(time.Now().Add(2 * patience)) // not before what waits for them
	}
	return client, server
}

// connect runs the handshake on both ends of a TCP connection.
func connect[C, S conn](t testing.TB, client func(net.Conn) C, server func(net.Conn) S) (C, S) {
	t.Helper()
	a, b := tcpPair(t)
	c, s := client(a), server(b)
	t.Cleanup(func() { c.Close(); s.Close() })
	done := async(s.Handshake)
	if err := c.Handshake(); err != nil {
		t.Fatalf("client: %v", err)
	}
	if err := <-done; err != nil {
		t.Fatalf("server: %v", err)
	}
	return c, s
}

func connectOurs(t testing.TB) (client, server *Conn) {
	t.Helper()
	return connect(t,
		func(c net.Conn) *Conn { return Client(c, clientConfig()) },
		func(c net.Conn) *Conn { return Server(c, serverConfig()) })
}

// async runs f in a goroutine.
func async(f func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	return done
}

// within returns what f returns, if it returns in time.
func within(t testing.TB, d time.Duration, what string, f func() error) error {
	t.Helper()
	select {
	case err := <-async(f):
		return err
	case <-time.After(d):
		t.Fatalf("%s: still not done after %v", what, d)
		return nil
	}
}

func want(t testing.TB, what string, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Fatalf("%s: %v, want %v", what, err, target)
	}
}

func noError(t testing.TB, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func wantTimeout(t testing.TB, what string, err error) {
	t.Helper()
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Fatalf("%s: %v, want a timeout", what, err)
	}
}

// wantText reads exactly text.
func wantText(t testing.TB, r io.Reader, text string) {
	t.Helper()
	got := make([]byte, len(text))
	if _, err := io.ReadFull(r, got); err != nil || string(got) != text {
		t.Fatalf("read %q, %v, want %q", got, err, text)
	}
}

func send(t testing.TB, w io.Writer, text string) {
	t.Helper()
	if n, err := io.WriteString(w, text); err != nil || n != len(text) {
		t.Fatalf("Write: %d, %v", n, err)
	}
}

// pattern is data whose every byte tells where it belongs.
type pattern struct{ at, end int }

func (p *pattern) Read(b []byte) (int, error) {
	if p.at == p.end {
		return 0, io.EOF
	}
	n := min(len(b), p.end-p.at)
	for i := range b[:n] {
		b[i] = byte((p.at + i) ^ (p.at+i)>>8)
	}
	p.at += n
	return n, nil
}

// check reads r to its end and compares.
func (p *pattern) check(r io.Reader) error {
	got, expected := make([]byte, 32<<10), make([]byte, 32<<10)
	for {
		n, err := r.Read(got)
		k, _ := io.ReadFull(p, expected[:n])
		if k != n || string(got[:n]) != string(expected[:n]) {
			return fmt.Errorf("wrong data before offset %d", p.at)
		}
		if err == io.EOF && p.at == p.end {
			return nil
		}
		if err != nil {
			return fmt.Errorf("at offset %d of %d: %w", p.at, p.end, err)
		}
	}
}

// trickle is a connection that sends and receives one byte at a time.
type trickle struct{ net.Conn }

func (c trickle) Read(p []byte) (int, error) { return c.Conn.Read(p[:min(1, len(p))]) }

func (c trickle) Write(p []byte) (n int, err error) {
	for i := range p {
		if _, err := c.Conn.Write(p[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(p), nil
}

func contains(t testing.TB, text, part string) {
	t.Helper()
	if !strings.Contains(text, part) {
		t.Fatalf("%q does not say %q", text, part)
	}
}
