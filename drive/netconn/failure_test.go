package netconn

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"tlscore.example/tlscore"
	"tlscore.example/tlscore/internal/tlstest"
)

// A record with a fatal alert in the clear.
func alertRecord(a tlscore.Alert) string {
	return string([]byte{0x15, 0x03, 0x03, 0x00, 0x02, 0x02, byte(a)})
}

// The records of user_canceled and close_notify in the clear.
const canceled = "\x15\x03\x03\x00\x02\x01\x5a\x15\x03\x03\x00\x02\x01\x00"

// servers are the ways to a server.
var servers = []struct {
	name   string
	server func(net.Conn) conn
}{{"direct", ourServer}, {"acceptor", ourAcceptor}}

// The founding case: a client with an older version reads why it is refused,
// every time.
func TestVersionMismatch(t *testing.T) {
	for _, way := range servers {
		t.Run(way.name, func(t *testing.T) {
			for range 200 {
				a, b := tcpPair(t)
				s := way.server(b)
				done := async(s.Handshake)
				cfg := stdClientConfig()
				cfg.MinVersion, cfg.MaxVersion = tls.VersionTLS11, tls.VersionTLS11
				err := tls.Client(a, cfg).Handshake()
				if err == nil || err.Error() != "remote error: tls: protocol version not supported" {
					t.Fatalf("client: %v", err)
				}
				var protocol *tlscore.ProtocolError
				if err := <-done; !errors.As(err, &protocol) || protocol.Reason.Alert() != tlscore.AlertProtocolVersion {
					t.Fatalf("server: %v", err)
				}
				a.Close()
				s.Close()
			}
		})
	}
}

// A client that is still sending when it is refused reads its alert too, whether
// or not the server calls Close.
func TestRefusedWhileSending(t *testing.T) {
	unread := make([]byte, 4<<20)
	for _, way := range servers {
		t.Run(way.name, func(t *testing.T) {
			for i := range 200 {
				a, b := tcpPair(t)
				s := way.server(b)
				done := async(func() error {
					err := s.Handshake()
					if i%2 == 0 {
						s.Close()
					}
					return err
				})
				// A handshake record with a message that may not come first.
				a.Write([]byte("\x16\x03\x01\x00\x04\x14\x00\x00\x00"))
				size := len(unread)
				if i%10 != 0 {
					size = 100_000
				}
				if _, err := a.Write(unread[:size]); err != nil {
					t.Fatalf("write %d: %v", i, err)
				}
				got, err := io.ReadAll(a)
				if string(got) != alertRecord(tlscore.AlertUnexpectedMessage) || err != nil {
					t.Fatalf("try %d: read %x, %v", i, got, err)
				}
				a.Close()
				if err := <-done; err == nil {
					t.Fatal("the handshake succeeded")
				}
				s.Close()
			}
		})
	}
}

// A failure after the handshake, found by Read, with more input behind it.
func TestFailureLater(t *testing.T) {
	for range 50 {
		a, b := tcpPair(t)
		std := tls.Client(a, stdClientConfig())
		s := Server(b, serverConfig())
		done := async(s.Handshake)
		noError(t, "client", std.Handshake())
		noError(t, "server", <-done)

		reads := async(func() error { _, err := s.Read(make([]byte, 10)); return err })
		a.Write(append([]byte("\x17\x03\x03\x00\x20"), make([]byte, 500_000)...))
		if _, err := std.Read(make([]byte, 1)); err == nil || err.Error() != "remote error: tls: bad record MAC" {
			t.Fatalf("client: %v", err)
		}
		a.Close()
		err := <-reads
		var protocol *tlscore.ProtocolError
		if !errors.As(err, &protocol) || protocol.Reason != tlscore.ReasonBadRecordMAC {
			t.Fatalf("server: %v", err)
		}
		for range 2 {
			_, again := s.Read(make([]byte, 10))
			want(t, "Read", again, err)
			_, again = s.Write([]byte("x"))
			want(t, "Write", again, err)
		}
		noError(t, "SetDeadline", s.SetDeadline(time.Time{}))
		noError(t, "Close", s.Close())
	}
}

// A failure that is found while a Write is stuck: the alert comes behind the
// data of that Write, once the peer reads.
func TestFailureWhileWriting(t *testing.T) {
	a, b := tcpPair(t)
	std := tls.Client(a, stdClientConfig())
	s := Server(b, serverConfig())
	defer s.Close()
	done := async(s.Handshake)
	noError(t, "client", std.Handshake())
	noError(t, "server", <-done)
	stuck := async(func() error {
		for {
			if _, err := s.Write(make([]byte, 1<<20)); err != nil {
				return err
			}
		}
	})
	time.Sleep(50 * time.Millisecond)
	reads := async(func() error { _, err := s.Read(make([]byte, 10)); return err })
	a.Write(append([]byte("\x17\x03\x03\x00\x20"), make([]byte, 32)...))
	_, err := io.Copy(io.Discard, std)
	if err == nil || err.Error() != "remote error: tls: bad record MAC" {
		t.Fatalf("client: %v", err)
	}
	a.Close()
	var protocol *tlscore.ProtocolError
	for _, ch := range []<-chan error{reads, stuck} {
		if err := <-ch; !errors.As(err, &protocol) {
			t.Fatalf("server: %v", err)
		}
	}
}

// What is not TLS gets its alert, literally.
func TestNotTLS(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		alert    tlscore.Alert
	}{
		{"SSLv2", "\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10", tlscore.AlertProtocolVersion},
		{"garbage", "hello, is this a shell?\r\n", tlscore.AlertUnexpectedMessage},
		{"SSH", "SSH-2.0-OpenSSH_9.2\r\n", tlscore.AlertUnexpectedMessage},
		{"future version", "\x16\x04\x00\x00\x10", tlscore.AlertProtocolVersion},
		{"HTTP/2", "PRI * HTTP/2.0\r\n\r\n", tlscore.AlertUnexpectedMessage},
	} {
		for _, way := range servers {
			t.Run(tt.name+" "+way.name, func(t *testing.T) {
				a, b := tcpPair(t)
				s := way.server(b)
				defer s.Close()
				done := async(s.Handshake)
				io.WriteString(a, tt.in)
				got, err := io.ReadAll(a)
				a.Close()
				var protocol *tlscore.ProtocolError
				if cause := <-done; !errors.As(cause, &protocol) || !protocol.NotTLS() || string(protocol.Header[:]) != tt.in[:5] {
					t.Fatalf("server: %v", cause)
				}
				if string(got) != alertRecord(tt.alert) || err != nil {
					t.Fatalf("read %x, %v", got, err)
				}
			})
		}
	}
}

// The client's failures reach the server too, and the error says what is wrong.
func TestClientFailures(t *testing.T) {
	unknown := stdServerConfig()
	unknown.Certificates = []tls.Certificate{tlstest.Certificate(tlstest.Leaf{UnknownCA: true})}
	a, b := tcpPair(t)
	c := Client(a, clientConfig())
	defer c.Close()
	done := async(func() error {
		s := tls.Server(b, unknown)
		defer s.Close()
		if err := s.Handshake(); err != nil {
			return err
		}
		_, err := s.Read(make([]byte, 1))
		return err
	})
	err := c.Handshake()
	var protocol *tlscore.ProtocolError
	if !errors.As(err, &protocol) || protocol.Reason != tlscore.ReasonUnknownAuthority {
		t.Fatalf("client: %v", err)
	}
	if err := <-done; err == nil || !strings.Contains(err.Error(), "unknown certificate authority") {
		t.Fatalf("server: %v", err)
	}
	if len(c.ConnectionState().PeerCertificates) == 0 {
		t.Error("the certificate that did not verify is not shown")
	}
}

// An alert of the peer is the error, in both directions.
func TestRemoteAlert(t *testing.T) {
	c, s := connectOurs(t)
	s.recv.Lock()
	noError(t, "Reject", s.machine.Reject(tlscore.AlertAccessDenied))
	err := s.failed()
	s.recv.Unlock()
	var local *tlscore.LocalError
	if !errors.As(err, &local) {
		t.Fatalf("server: %v", err)
	}
	_, err = c.Read(make([]byte, 1))
	var remote *tlscore.RemoteAlert
	if !errors.As(err, &remote) || remote.Alert != tlscore.AlertAccessDenied {
		t.Fatalf("client: %v", err)
	}
	_, err = c.Write([]byte("x"))
	if !errors.As(err, &remote) {
		t.Fatalf("client's Write: %v", err)
	}
}

// Failures that are found in a Write.
func TestFailureInWrite(t *testing.T) {
	cfg := serverConfig()
	armed := false
	cfg.Limits.KeyRecords = 3
	cfg.Trace = func(msg tlscore.TraceMessage) {
		if armed {
			panic("oh") // in the KeyUpdate that the third Write needs
		}
	}
	c, s := connect(t, ourClient, func(c net.Conn) *Conn { return Server(c, cfg) })
	armed = true
	for range 5 {
		send(t, s, "x")
	}
	_, err := s.Read(make([]byte, 1))
	var local *tlscore.LocalError
	if !errors.As(err, &local) || local.Reason != tlscore.ReasonCallbackPanicked {
		t.Fatalf("Read: %v", err)
	}
	wantText(t, c, "xxxxx")
	var remote *tlscore.RemoteAlert
	if _, err := c.Read(make([]byte, 1)); !errors.As(err, &remote) || remote.Alert != tlscore.AlertInternalError {
		t.Fatalf("client: %v", err)
	}

	// What the machine returns when it fails in a Write ends the connection.
	_, s = connectOurs(t)
	reads := async(func() error { _, err := s.Read(make([]byte, 1)); return err })
	failure := &tlscore.LocalError{Reason: tlscore.ReasonKeysExhausted, Alert: tlscore.AlertInternalError}
	want(t, "writeRefused", s.writeRefused(failure), failure)
	want(t, "Read", <-reads, failure)
}

func TestChooseConfig(t *testing.T) {
	reason := errors.New("not in the book")
	var none *tlscore.Config
	for _, tt := range []struct {
		name   string
		choose ChooseConfig
		alert  tlscore.Alert
		cause  error
		text   string
	}{
		{name: "reject", alert: tlscore.AlertUnrecognizedName, cause: reason, text: "unrecognized_name: not in the book",
			choose: func(*tlscore.ClientHello) (*tlscore.Config, error) {
				return nil, &RejectError{Alert: tlscore.AlertUnrecognizedName, Err: reason}
			}},
		{name: "standard alert", alert: tlscore.AlertAccessDenied, cause: tls.AlertError(49),
			choose: func(*tlscore.ClientHello) (*tlscore.Config, error) { return nil, tls.AlertError(49) }},
		{name: "plain error", alert: tlscore.AlertInternalError, cause: reason,
			choose: func(*tlscore.ClientHello) (*tlscore.Config, error) { return nil, reason }},
		{name: "no config", alert: tlscore.AlertInternalError, text: "config",
			choose: func(*tlscore.ClientHello) (*tlscore.Config, error) { return none, nil }},
		{name: "panic", alert: tlscore.AlertInternalError, text: "panicked: oh",
			choose: func(*tlscore.ClientHello) (*tlscore.Config, error) { panic("oh") }},
		{name: "closure alert", alert: tlscore.AlertInternalError, text: "refused with close_notify",
			choose: func(*tlscore.ClientHello) (*tlscore.Config, error) {
				return nil, &RejectError{Alert: tlscore.AlertCloseNotify}
			}},
		{name: "none", choose: nil, alert: tlscore.AlertInternalError, text: "ChooseConfig"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := tcpPair(t)
			s := Acceptor(b, tlscore.Limits{}, tt.choose)
			defer s.Close()
			done := async(s.Handshake)
			err := Client(a, clientConfig()).Handshake()
			var remote *tlscore.RemoteAlert
			if !errors.As(err, &remote) || remote.Alert != tt.alert {
				t.Fatalf("client: %v", err)
			}
			err = <-done
			if err == nil || tt.cause != nil && !errors.Is(err, tt.cause) {
				t.Fatalf("server: %v", err)
			}
			contains(t, err.Error(), tt.text)
			var local *tlscore.LocalError
			if tt.choose != nil && (!errors.As(err, &local) || local.Alert != tt.alert) {
				t.Fatalf("server: %v is no LocalError", err)
			}
		})
	}
}

// Callbacks of the config that panic are failures like others.
func TestPanickingCallbacks(t *testing.T) {
	cfg := serverConfig()
	cfg.Certificates = nil
	cfg.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { panic("oh") }
	a, b := tcpPair(t)
	s := Server(b, cfg)
	defer s.Close()
	done := async(s.Handshake)
	err := tls.Client(a, stdClientConfig()).Handshake()
	if err == nil || err.Error() != "remote error: tls: internal error" {
		t.Fatalf("client: %v", err)
	}
	var local *tlscore.LocalError
	if err := <-done; !errors.As(err, &local) || local.Reason != tlscore.ReasonCallbackPanicked {
		t.Fatalf("server: %v", err)
	}
}

// A config that cannot work: everything returns what is wrong, and a server's
// client is told.
func TestBadConfig(t *testing.T) {
	a, b := tcpPair(t)
	s := Server(b, &tlscore.Config{})
	defer s.Close()
	done := async(s.Handshake)
	err := tls.Client(a, stdClientConfig()).Handshake()
	if err == nil || err.Error() != "remote error: tls: internal error" {
		t.Fatalf("client: %v", err)
	}
	err = <-done
	contains(t, err.Error(), "needs Certificates")
	_, again := s.Read(make([]byte, 1))
	want(t, "Read", again, err)

	a, _ = tcpPair(t)
	c := Client(a, nil)
	_, err = c.Write([]byte("x"))
	contains(t, err.Error(), "there is none")
	if c.ConnectionState().HandshakeComplete {
		t.Error("complete")
	}
	noError(t, "Close", c.Close())
	if s := Client(a, nil); s.Close() != nil {
		t.Error("Close without a handshake")
	}
}

func TestHandshakeContext(t *testing.T) {
	a, b := tcpPair(t)
	c := Client(a, clientConfig())
	defer c.Close()
	ctx, cancel := context.WithCancel(context.Background())
	done := async(func() error { return c.HandshakeContext(ctx) })
	waits := async(c.Handshake) // for the same handshake
	hello := make([]byte, 5)
	io.ReadFull(b, hello)
	cancel()
	err := within(t, patience, "HandshakeContext", func() error { return <-done })
	want(t, "HandshakeContext", err, context.Canceled)
	want(t, "Handshake", <-waits, context.Canceled)
	_, err = c.Read(make([]byte, 1))
	want(t, "Read", err, context.Canceled)
	rest, _ := io.ReadAll(b)
	if !bytes.HasSuffix(rest, []byte(canceled)) {
		t.Errorf("the peer was not told: %x", rest[max(0, len(rest)-20):])
	}

	// One that is over before it begins.
	a, _ = tcpPair(t)
	c = Client(a, clientConfig())
	defer c.Close()
	want(t, "HandshakeContext", c.HandshakeContext(ctx), context.Canceled)
	want(t, "Handshake", c.Handshake(), context.Canceled)

	// After the handshake it has no effect.
	c, _ = connectOurs(t)
	noError(t, "HandshakeContext", c.HandshakeContext(ctx))
	ctx, cancel = context.WithCancel(context.Background())
	noError(t, "HandshakeContext", c.HandshakeContext(ctx))
	cancel()
	send(t, c, "fine")
}

func TestTransportError(t *testing.T) {
	a, b := tcpPair(t)
	s := Server(b, serverConfig())
	defer s.Close()
	b.Close()
	err := s.Handshake()
	var op *net.OpError
	if !errors.As(err, &op) {
		t.Fatalf("Handshake: %v", err)
	}
	want(t, "Handshake", s.Handshake(), err)

	c, s := connectOurs(t)
	c.transport.(*net.TCPConn).SetLinger(0)
	c.transport.Close() // a reset
	_, err = s.Read(make([]byte, 1))
	if !errors.As(err, &op) {
		t.Fatalf("Read: %v", err)
	}
	time.Sleep(10 * time.Millisecond)
	_, err = s.Write([]byte("x"))
	if !errors.As(err, &op) {
		t.Fatalf("Write: %v", err)
	}
	a.Close()
}

// Transports without a CloseWrite method, and without deadlines.
func TestPipe(t *testing.T) {
	a, b := net.Pipe()
	c, s := Client(a, clientConfig()), Server(b, serverConfig())
	done := async(s.Handshake)
	noError(t, "client", c.Handshake())
	noError(t, "server", <-done)
	got := async(func() error { wantText(t, s, "through a pipe"); _, err := s.Read(make([]byte, 1)); return err })
	send(t, c, "through a pipe")
	noError(t, "Close", c.Close())
	want(t, "Read", <-got, io.EOF)
	noError(t, "Close", s.Close())

	a, b = net.Pipe()
	defer b.Close()
	c = Client(noDeadlines{a}, clientConfig())
	stuck := async(c.Handshake)
	time.Sleep(10 * time.Millisecond)
	noError(t, "Close", within(t, soon, "Close", c.Close))
	want(t, "Handshake", <-stuck, net.ErrClosed)
}

type noDeadlines struct{ net.Conn }

func (noDeadlines) SetDeadline(time.Time) error      { return os.ErrNoDeadline }
func (noDeadlines) SetReadDeadline(time.Time) error  { return os.ErrNoDeadline }
func (noDeadlines) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }

// A peer that sends without end, or keeps its connection open, is left in the end.
func TestLingerEnds(t *testing.T) {
	for _, tt := range []struct {
		name   string
		linger Linger
	}{
		{"time", Linger{Timeout: 50 * time.Millisecond}},
		{"bytes", Linger{Bytes: 1000}},
		{"none", Linger{Timeout: -1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := tcpPair(t)
			s := Server(b, serverConfig())
			s.SetLinger(tt.linger)
			done := async(s.Handshake)
			_, err := a.Write([]byte("this is not what was expected"))
			noError(t, "write", err)
			if <-done == nil {
				t.Fatal("the handshake succeeded")
			}
			for range 2000 {
				if _, err = a.Write(make([]byte, 1000)); err != nil {
					return
				}
				time.Sleep(time.Millisecond)
			}
			t.Error("the transport was not closed")
		})
	}
}

// Close sends what is there before it closes, also when the peer is still
// sending: the peer gets all of it and not a reset.
func TestCloseWithUnreadInput(t *testing.T) {
	for range 50 {
		c, s := connect(t, stdClient, func(c net.Conn) *Conn { return Server(c, serverConfig()) })
		sends := async(func() error { _, err := c.Write(make([]byte, 1<<20)); return err })
		send(t, s, "go away")
		noError(t, "Close", s.Close())
		noError(t, "the peer's Write", <-sends)
		got, err := io.ReadAll(c)
		if string(got) != "go away" || err != nil {
			t.Fatalf("%q, %v", got, err)
		}
		c.Close()
	}
}

// Close during a handshake tells the peer, and does not wait for the handshake.
func TestCloseInHandshake(t *testing.T) {
	a, b := tcpPair(t)
	c := Client(a, clientConfig())
	done := async(c.Handshake)
	io.ReadFull(b, make([]byte, 5))
	noError(t, "Close", within(t, soon, "Close", c.Close))
	want(t, "Handshake", <-done, net.ErrClosed)
	rest, err := io.ReadAll(b)
	noError(t, "ReadAll", err)
	if !bytes.HasSuffix(rest, []byte(canceled)) {
		t.Errorf("the peer was not told: %x", rest[max(0, len(rest)-20):])
	}
}

// Close while a callback keeps the handshake busy, and with a peer that does not
// read.
func TestCloseDoesNotWait(t *testing.T) {
	a, b := tcpPair(t)
	release := make(chan struct{})
	s := Acceptor(b, tlscore.Limits{}, func(*tlscore.ClientHello) (*tlscore.Config, error) {
		<-release
		return serverConfig(), nil
	})
	s.SetLinger(Linger{Timeout: -1})
	done := async(s.Handshake)
	go Client(a, clientConfig()).Handshake()
	time.Sleep(20 * time.Millisecond)
	noError(t, "Close", within(t, soon, "Close", s.Close))
	close(release)
	want(t, "Handshake", <-done, net.ErrClosed)

	c, s := connectOurs(t)
	s.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
	for {
		if _, err := s.Write(make([]byte, 1<<20)); err != nil {
			wantTimeout(t, "Write", err)
			break
		}
	}
	noError(t, "Close", within(t, soon, "Close", s.Close))
	// What had been taken comes, whole, once the peer reads.
	if _, err := io.Copy(io.Discard, c); err != nil {
		t.Fatalf("Read: %v", err)
	}
}
