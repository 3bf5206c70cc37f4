package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"tlscore.example/tlscore"
	"tlscore.example/tlscore/drive"
)

const serveIntro = `usage: tlscore serve [flags]

Answer HTTPS requests: / says what was negotiated, /bytes/N answers N bytes,
/private says who the client is by its certificate. Without -cert and -key it makes
itself a self-signed certificate for localhost. On Linux one goroutine with epoll
drives all connections, elsewhere there is a goroutine for each. A line on stderr tells
of each connection that fails, and why.

`

// server is what all connections of a server have in common.
type server struct {
	certs    *certificates
	private  bool // clients are asked for a certificate when they want /private
	acceptor bool
	verbose  bool
	std      stdio
	limits   timeLimits
	logMu    sync.Mutex
}

// timeLimits says how long a client may take.
type timeLimits struct {
	handshake time.Duration // from the first byte to the end of the handshake
	idle      time.Duration // to send a request, or to take more of a response
	linger    time.Duration // to close, when everything is sent
}

var defaultTimeLimits = timeLimits{handshake: 10 * time.Second, idle: time.Minute, linger: 2 * time.Second}

// lingerBytes bounds what is read and dropped from a client that is still
// sending to a connection that has ended: more than kernels usually have in flight,
// or what was sent to it last would often be lost.
const lingerBytes = drive.DefaultLingerBytes

// runServe is "tlscore serve".
func runServe(args []string, std stdio) error {
	fs := newFlags("serve", serveIntro)
	var options serveOptions
	options.add(fs)
	s := &server{std: std, limits: defaultTimeLimits}
	addr := fs.String("addr", "127.0.0.1:8443", "the `address` to listen on; port 0 means any that is free")
	fs.BoolVar(&s.acceptor, "acceptor", false, "show each ClientHello first, and choose the certificate by its server name")
	fs.BoolVar(&s.verbose, "v", false, "tell of each connection, not only of those that fail")
	fs.DurationVar(&s.limits.handshake, "handshake-timeout", s.limits.handshake, "how long a handshake may take")
	fs.DurationVar(&s.limits.idle, "idle-timeout", s.limits.idle, "how long a client may send no request, or take nothing of a response")
	if _, err := fs.parse(args, 0, std); err != nil {
		return err
	}
	if s.limits.handshake <= 0 || s.limits.idle <= 0 {
		return usagef("a timeout has to be longer than nothing")
	}
	if err := s.configure(&options); err != nil {
		return err
	}
	return s.listenAndServe(*addr)
}

// listenAndServe serves until SIGINT or SIGTERM.
func (s *server) listenAndServe(addr string) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	defer ln.Close()
	s.announce(ln.Addr())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal does not wait
	return s.serve(ctx, ln.(*net.TCPListener))
}

func (s *server) announce(addr net.Addr) {
	host, port, _ := net.SplitHostPort(addr.String())
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	url := "https://" + net.JoinHostPort(host, port) + "/"
	how := "made directly"
	if s.acceptor {
		how = "made through the acceptor"
	}
	fmt.Fprintf(s.std.out, "listening on %s, connections are %s\ntry: curl -k %s\n", addr, how, url)
}

// newMachine makes the server's side of one connection.
func (s *server) newMachine() (*tlscore.Machine, error) {
	if s.acceptor {
		return tlscore.NewAcceptor(s.certs.base.Limits)
	}
	return tlscore.NewServer(s.certs.base)
}

func (s *server) configure(options *serveOptions) error {
	cfg, err := options.config()
	s.certs = &certificates{base: cfg, bySNI: options.cert == ""}
	s.private = options.postHandshake
	return err
}

// connection is what the pages ask about: a machine, or what drives one.
type connection interface {
	ConnectionState() tls.ConnectionState
	EarlyDataAccepted() bool
	ChannelBinding() ([]byte, error)
}

// page is what "/" answers: what was negotiated.
func (s *server) page(m connection) string {
	c := m.ConnectionState()
	how, binding := "directly from a config", "none"
	if s.acceptor {
		how = "through the acceptor"
	}
	if b, err := m.ChannelBinding(); err == nil {
		binding = fmt.Sprintf("%x", b)
	}
	return "This is tlscore: TLS without the I/O.\n\n" +
		"version            " + tls.VersionName(c.Version) + "\n" +
		"cipher suite       " + tls.CipherSuiteName(c.CipherSuite) + "\n" +
		"key exchange       " + c.CurveID.String() + "\n" +
		"HelloRetryRequest  " + yesNo(c.HelloRetryRequest) + "\n" +
		"resumed            " + yesNo(c.DidResume) + "\n" +
		"early data         " + yesNo(m.EarlyDataAccepted()) + "\n" +
		"ALPN               " + orNone(c.NegotiatedProtocol) + "\n" +
		"server name        " + orNone(c.ServerName) + "\n" +
		"client             " + orNone(who(c)) + "\n" +
		"channel binding    " + binding + "\n" +
		"made               " + how + "\n"
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// who says who the peer is by its certificate, or nothing when it has none.
func who(c tls.ConnectionState) string {
	switch {
	case len(c.PeerCertificates) == 0:
		return ""
	case len(c.VerifiedChains) == 0:
		return c.PeerCertificates[0].Subject.String() + ", or so it says: not verified"
	}
	return c.PeerCertificates[0].Subject.String() + ", verified"
}

// logf writes a line to stderr.
func (s *server) logf(format string, args ...any) {
	s.logMu.Lock()
	defer s.logMu.Unlock()
	io.WriteString(s.std.err, time.Now().Format("15:04:05.000 ")+printable(fmt.Sprintf(format, args...))+"\n")
}

// logFailure tells why a connection failed.
func (s *server) logFailure(peer string, err error) {
	what := "no alert was sent"
	if plainAnswer(err) != "" {
		what = "answered in plain HTTP instead of an alert"
	} else if a, ok := tlscore.AlertOf(err); ok {
		what = fmt.Sprintf("sent the alert %s (%d)", a, uint8(a))
	}
	s.logf("%s failed: %v; %s", peer, err, what)
}

// logDone tells of a connection that is over.
func (s *server) logDone(peer string, text string) {
	if s.verbose {
		s.logf("%s %s", peer, text)
	}
}

// logHandshake tells of a handshake that is complete.
func (s *server) logHandshake(peer string, c tls.ConnectionState) {
	resumed := ""
	if c.DidResume {
		resumed = ", resumed"
	}
	s.logDone(peer, fmt.Sprintf("speaks %s, %s, %s, server name %q, ALPN %q%s",
		tls.VersionName(c.Version), tls.CipherSuiteName(c.CipherSuite), c.CurveID, c.ServerName, c.NegotiatedProtocol, resumed))
}
