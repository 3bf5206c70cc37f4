package netconn

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"tlscore.example/tlscore"
	"tlscore.example/tlscore/internal/tlstest"
)

// authConfigs are configs of both ends with a client that has a certificate.
func authConfigs() (client, server *tlscore.Config) {
	client, server = clientConfig(), serverConfig()
	client.Certificates = []tls.Certificate{tlstest.Certificate(tlstest.Leaf{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})}
	client.PostHandshakeAuth = true
	server.ClientCAs = tlstest.Roots()
	return client, server
}

func leafOf(c conn) *x509.Certificate {
	if certs := c.ConnectionState().PeerCertificates; len(certs) > 0 {
		return certs[0]
	}
	return nil
}

func TestClientCertificate(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			client, server := authConfigs()
			client.MaxVersion = version
			server.ClientAuth = tls.RequireAndVerifyClientCert
			c, s := connect(t, func(c net.Conn) *Conn { return Client(c, client) }, func(c net.Conn) *Conn { return Server(c, server) })
			if leaf := leafOf(s); leaf == nil || len(s.ConnectionState().VerifiedChains) == 0 {
				t.Errorf("the server has %v", leaf)
			}
			send(t, c, "x")
			wantText(t, s, "x")
		})
	}
}

// The server asks while the client sends: nothing is lost, in either order.
func TestRequestClientCertificate(t *testing.T) {
	for _, tasks := range []tlscore.TaskSet{0, tlscore.AllTasks} {
		client, server := authConfigs()
		client.Tasks, server.Tasks = tasks, tasks
		c, s := connect(t, func(c net.Conn) *Conn { return Client(c, client) }, func(c net.Conn) *Conn { return Server(c, server) })
		if leafOf(s) != nil {
			t.Fatal("there is a certificate before it was asked for")
		}
		text := strings.Repeat("0123456789", 4000)
		send(t, c, text)
		wantText(t, s, text[:5]) // the rest of its record is there, too
		answer := async(func() error {
			got := make([]byte, 5)
			_, err := io.ReadFull(c, got) // which is where the client authenticates
			if err == nil && string(got) != "hello" {
				err = errors.New(string(got))
			}
			return err
		})
		noError(t, "RequestClientCertificate", s.RequestClientCertificate())
		if leafOf(s) == nil {
			t.Fatal("the client is unknown")
		}
		wantText(t, s, text[5:])
		send(t, s, "hello")
		noError(t, "client", <-answer)
		send(t, c, "and on")
		wantText(t, s, "and on")
	}
}

// A client that does not answer: the deadline passes, and its answer is taken later.
func TestRequestClientCertificateLate(t *testing.T) {
	client, server := authConfigs()
	c, s := connect(t, func(c net.Conn) *Conn { return Client(c, client) }, func(c net.Conn) *Conn { return Server(c, server) })
	s.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	wantTimeout(t, "RequestClientCertificate", s.RequestClientCertificate())
	want(t, "again", s.RequestClientCertificate(), tlscore.ErrAuthenticating)
	s.SetReadDeadline(time.Time{})
	answer := async(func() error { _, err := c.Read(make([]byte, 1)); return err })
	for end := time.Now().Add(patience); leafOf(s) == nil; {
		if time.Now().After(end) {
			t.Fatal("the answer was not taken")
		}
		send(t, c, "data") // before the answer or behind it
		wantText(t, s, "data")
	}
	send(t, s, "x")
	noError(t, "client", <-answer)
}

// A client that sends data instead, without end.
func TestRequestClientCertificateHeld(t *testing.T) {
	client, server := authConfigs()
	c, s := connect(t, func(c net.Conn) *Conn { return Client(c, client) }, func(c net.Conn) *Conn { return Server(c, server) })
	const size = 200 << 10
	sent := async(func() error { _, err := io.Copy(struct{ io.Writer }{c}, &pattern{end: size}); return err })
	want(t, "RequestClientCertificate", s.RequestClientCertificate(), errHeld)
	noError(t, "all of it", (&pattern{end: size}).check(io.LimitReader(s, size)))
	noError(t, "client", <-sent)
}

// Those who cannot be asked.
func TestRequestClientCertificateMisuse(t *testing.T) {
	c, s := connectOurs(t)
	want(t, "not offered", s.RequestClientCertificate(), tlscore.ErrNoPostHandshakeAuth)
	want(t, "a client", c.RequestClientCertificate(), tlscore.ErrNoPostHandshakeAuth)
	c.Close()
	want(t, "closed", c.RequestClientCertificate(), net.ErrClosed)
}

// What goes along with a certificate is in the state of the client, in the next connection
// too.
func TestConnectionStateOfServer(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			client, server := clientConfig(), serverConfig()
			client.MaxVersion = version
			client.OCSPStapling, client.SignedCertificateTimestamps = true, true
			client.SessionCache = tlscore.NewLRUSessionCache(0, 0)
			server.Certificates[0].OCSPStaple = []byte("not parsed here")
			server.Certificates[0].SignedCertificateTimestamps = [][]byte{[]byte("one"), []byte("two")}
			ours := func(c net.Conn) conn { return Client(c, client) }
			for i := range 2 {
				c, s := connect(t, ours, func(c net.Conn) conn { return Server(c, server) })
				send(t, s, "x")
				wantText(t, c, "x")
				cs := c.ConnectionState()
				if cs.DidResume != (i > 0) || cs.Version != version || cs.ServerName != "localhost" || !cs.HandshakeComplete {
					t.Errorf("connection %d: %+v", i, cs)
				}
				if string(cs.OCSPResponse) != "not parsed here" || len(cs.SignedCertificateTimestamps) != 2 || len(cs.VerifiedChains) == 0 {
					t.Errorf("connection %d: %q, %q", i, cs.OCSPResponse, cs.SignedCertificateTimestamps)
				}
			}
			// crypto/tls asks for both, always.
			c, _ := connect(t, stdClient, func(c net.Conn) conn { return Server(c, server) })
			if cs := c.ConnectionState(); string(cs.OCSPResponse) != "not parsed here" || len(cs.SignedCertificateTimestamps) != 2 {
				t.Errorf("crypto/tls: %q, %q", cs.OCSPResponse, cs.SignedCertificateTimestamps)
			}
		})
	}
}
