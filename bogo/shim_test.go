package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tlscore.example/tlscore/internal/tlstest"
)

// The shim without the runner: its peer is crypto/tls, which does what the runner
// would.

// A shimRun is a shim that runs in this process.
type shimRun struct {
	*testing.T
	listener net.Listener
	done     chan struct{}
	code     int
	stderr   strings.Builder
}

// patience bounds what a test waits for.
const patience = time.Minute

const shimID uint64 = 0x0102030405060708

func startShim(t *testing.T, args ...string) *shimRun {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	listener.(*net.TCPListener).SetDeadline(time.Now().Add(patience))
	s := &shimRun{T: t, listener: listener, done: make(chan struct{})}
	port := listener.Addr().(*net.TCPAddr).Port
	args = append([]string{"-port", strconv.Itoa(port), "-shim-id", strconv.FormatUint(shimID, 10)}, args...)
	t.Cleanup(func() {
		select {
		case <-s.done:
			if t.Failed() {
				t.Logf("stderr: %s", &s.stderr)
			}
		default: // it still writes there
		}
	})
	go func() {
		defer close(s.done)
		s.code = run(args, io.Discard, &s.stderr)
	}()
	return s
}

// accept takes the next connection of the shim, which says first whose it is.
func (s *shimRun) accept() net.Conn {
	s.Helper()
	conn, err := s.listener.Accept()
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	var id [8]byte
	if _, err := io.ReadFull(conn, id[:]); err != nil || binary.LittleEndian.Uint64(id[:]) != shimID {
		s.Fatalf("the shim calls itself %x, %v", id, err)
	}
	return conn
}

func (s *shimRun) want(code int, stderr string) {
	s.Helper()
	select {
	case <-s.done:
	case <-time.After(patience):
		s.Fatal("the shim does not end")
	}
	if s.code != code || !strings.Contains(s.stderr.String(), stderr) {
		s.Errorf("exit code %d, want %d, with %q on stderr: %q", s.code, code, stderr, &s.stderr)
	}
}

// certificateFiles writes a certificate of a server where the runner would.
func certificateFiles(t *testing.T) (cert tls.Certificate, flags []string) {
	t.Helper()
	cert = tlstest.Certificate(tlstest.Leaf{})
	dir := t.TempDir()
	write := func(name, kind string, ders ...[]byte) string {
		var text []byte
		for _, der := range ders {
			text = append(text, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})...)
		}
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	chain, keyFile := write("chain.pem", "CERTIFICATE", cert.Certificate...), write("key.pem", "PRIVATE KEY", key)
	return cert, []string{"-cert-file", chain, "-key-file", keyFile}
}

// The shim inverts what it reads, in either role and version, in each mode, and
// resumes.
func TestShim(t *testing.T) {
	cert, files := certificateFiles(t)
	for _, mode := range modes {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			for _, server := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/server=%t", mode.name, tls.VersionName(version), server), func(t *testing.T) {
					args := append(slices.Clone(mode.flags), "-resume-count", "1", "-expect-version", strconv.Itoa(int(version)), "-check-close-notify")
					if server {
						args = append(append(args, "-server"), files...)
					} else {
						args = append(args, "-on-resume-expect-ticket-renewal") // by crypto/tls in TLS 1.2
					}
					s := startShim(t, args...)
					cfg := &tls.Config{
						Certificates:       []tls.Certificate{cert},
						InsecureSkipVerify: true,
						ServerName:         "localhost",
						ClientSessionCache: tls.NewLRUClientSessionCache(1),
						MaxVersion:         version,
					}
					for i := range 2 {
						end := tls.Server
						if server {
							end = tls.Client
						}
						conn := end(s.accept(), cfg)
						echo(t, conn)
						if resumed := conn.ConnectionState().DidResume; resumed != (i == 1) {
							t.Errorf("connection %d: resumed %t", i+1, resumed)
						}
					}
					s.want(0, "")
				})
			}
		}
	}
}

// echo sends more than one record, checks the answer, and ends the connection.
func echo(t *testing.T, conn *tls.Conn) {
	t.Helper()
	sent := make([]byte, 20000)
	for i := range sent {
		sent[i] = byte(i)
	}
	if _, err := conn.Write(sent); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(conn, got); err != nil {
		t.Fatal(err)
	}
	for i := range got {
		got[i] ^= 0xff
	}
	if !bytes.Equal(got, sent) {
		t.Fatal("the answer is not what was sent, inverted")
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(got); n != 0 || err != io.EOF {
		t.Errorf("behind the end: %d bytes, %v", n, err)
	}
	conn.Close()
}

// What goes wrong has its token on stderr, and its alert at the peer.
func TestShimFailures(t *testing.T) {
	t.Run("reason", func(t *testing.T) {
		s := startShim(t)
		conn := s.accept()
		if _, err := io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		conn.(*net.TCPConn).CloseWrite()
		s.want(exitFailed, ":NotTLS:")
	})
	t.Run("alert", func(t *testing.T) {
		s := startShim(t, "-advertise-alpn", "\x02h2")
		conn := tls.Server(s.accept(), &tls.Config{Certificates: []tls.Certificate{tlstest.Certificate(tlstest.Leaf{})}, NextProtos: []string{"h3"}})
		if conn.Handshake() == nil {
			t.Error("a handshake without a common protocol")
		}
		conn.NetConn().Close()
		s.want(exitFailed, ":alert 120:")
	})
	t.Run("refusal", func(t *testing.T) {
		s := startShim(t, "-verify-peer", "-verify-fail", "-use-custom-verify-callback")
		conn := tls.Server(s.accept(), &tls.Config{Certificates: []tls.Certificate{tlstest.Certificate(tlstest.Leaf{})}})
		if err := conn.Handshake(); err == nil || !strings.Contains(err.Error(), "unknown certificate") {
			t.Errorf("the peer was told %v", err)
		}
		conn.NetConn().Close()
		s.want(exitFailed, ":VerificationRejected:")
	})
	t.Run("expectation", func(t *testing.T) {
		s := startShim(t, "-expect-alpn", "h2")
		conn := tls.Server(s.accept(), &tls.Config{Certificates: []tls.Certificate{tlstest.Certificate(tlstest.Leaf{})}})
		conn.Handshake()
		conn.NetConn().Close()
		s.want(exitFailed, "protocol")
	})
	t.Run("unclean end", func(t *testing.T) {
		s := startShim(t, "-check-close-notify")
		conn := tls.Server(s.accept(), &tls.Config{Certificates: []tls.Certificate{tlstest.Certificate(tlstest.Leaf{})}})
		if err := conn.Handshake(); err != nil {
			t.Fatal(err)
		}
		conn.NetConn().(*net.TCPConn).CloseWrite()
		s.want(exitFailed, errUnclean.Error())
	})
}
