package tlstest

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"tlscore.example/tlscore/internal/record"
	"tlscore.example/tlscore/internal/wire"
)

// deliver gives one peer what the other has sent.
func deliver(t *testing.T, from, to *Peer) {
	t.Helper()
	to.Receive(from.Take())
	if to.Err != nil {
		t.Fatalf("%v; received: %v", to.Err, to.Got)
	}
}

// tickets runs a handshake and returns the PSK of its ticket, as both ends have it.
func tickets(t *testing.T, suite wire.CipherSuite) (client, server PSK) {
	t.Helper()
	c, s := NewPeer(false), NewPeer(true)
	c.Suite, s.Suite = suite, suite
	connect(t, c, s, false)
	s.Send(s.NewSessionTicket())
	deliver(t, s, c)
	if len(c.Tickets) != 1 || !bytes.Equal(c.Tickets[0].Key, s.Tickets[0].Key) {
		t.Fatalf("the client has %d tickets", len(c.Tickets))
	}
	return c.Tickets[0], s.Tickets[0]
}

func TestPeersResume(t *testing.T) {
	for _, suite := range []wire.CipherSuite{wire.TLS_AES_128_GCM_SHA256, wire.TLS_AES_256_GCM_SHA384} {
		for _, early := range []string{"none", "taken", "refused", "retry"} {
			t.Run(suite.String()+"/"+early, func(t *testing.T) { testResume(t, suite, early) })
		}
	}
}

func testResume(t *testing.T, suite wire.CipherSuite, early string) {
	client, server := NewPeer(false), NewPeer(true)
	client.Suite, server.Suite = suite, suite
	mine, theirs := tickets(t, suite)
	client.PSKs, server.PSKs = []PSK{mine}, []PSK{theirs}
	client.EarlyData = early != "none"
	server.EarlyData = early == "taken"
	client.Send(client.ClientHello())
	deliver(t, client, server)
	if early == "retry" {
		server.Send(server.HelloRetryRequest())
		deliver(t, server, client)
		if client.Epoch() != Plaintext {
			t.Fatal("early data goes on behind HelloRetryRequest")
		}
		client.Send(client.ClientHello())
		deliver(t, client, server)
	}
	if len(server.Hello.PSKIdentities) != 1 {
		t.Fatalf("%d identities", len(server.Hello.PSKIdentities))
	}
	server.PSK = &server.PSKs[0]
	server.Send(server.ServerHello())
	if early == "taken" || early == "refused" {
		client.SendRecord(record.TypeApplicationData, []byte("early"))
	}
	deliver(t, client, server)
	server.Send(server.EncryptedExtensions())
	server.Send(server.Finished())
	deliver(t, server, client)
	if early == "taken" {
		if last := server.Last(); last.Epoch != Early || string(last.Body) != "early" {
			t.Fatalf("received %v", last)
		}
		if client.Epoch() != Early {
			t.Fatal("the client has changed its keys without EndOfEarlyData")
		}
		client.Send(client.EndOfEarlyData())
	}
	client.Send(client.Finished())
	client.SendRecord(record.TypeApplicationData, []byte("late"))
	deliver(t, client, server)
	if last := server.Last(); last.Epoch != Application || string(last.Body) != "late" {
		t.Fatalf("received %v", last)
	}
}

func TestPeerSeesAWrongBinder(t *testing.T) {
	client, server := NewPeer(false), NewPeer(true)
	mine, theirs := tickets(t, client.Suite)
	client.PSKs, server.PSKs = []PSK{mine}, []PSK{theirs}
	client.OnBinders = func(b [][]byte) { b[0][5] ^= 1 }
	client.Send(client.ClientHello())
	if server.Receive(client.Take()); server.Err == nil {
		t.Error("the wrong binder was not seen")
	}
}

// A client's certificate, inside the handshake and behind it.
func TestPeersAuthenticateClients(t *testing.T) {
	for _, spoil := range []string{"", "signature", "Finished", "empty"} {
		for _, late := range []bool{false, true} {
			client, server := NewPeer(false), NewPeer(true)
			if spoil != "empty" {
				client.Certificate = ClientCertificate(ECDSAP256)
			}
			request := func() []byte { return server.CertificateRequest() }
			answer := func() {
				switch spoil {
				case "signature":
					client.OnCertificateVerify = func(m *wire.CertificateVerify) { m.Signature[9] ^= 1 }
				case "Finished":
					client.OnFinished = func(m *wire.Finished) { m.VerifyData[9] ^= 1 }
				}
				client.Send(client.CertificateMessage())
				if spoil != "empty" {
					client.Send(client.CertificateVerify())
				}
				client.Send(client.Finished())
			}
			if late {
				connect(t, client, server, false)
				server.RequestContext = []byte("context")
				server.Send(request())
				server.Send(server.KeyUpdate(0)) // no part of it
				deliver(t, server, client)
				answer()
			} else {
				client.Send(client.ClientHello())
				deliver(t, client, server)
				server.Send(server.ServerHello())
				server.Send(server.EncryptedExtensions(), request(), server.CertificateMessage())
				server.Send(server.CertificateVerify())
				server.Send(server.Finished())
				deliver(t, server, client)
				answer()
			}
			client.SendRecord(record.TypeApplicationData, []byte("data"))
			server.Receive(client.Take())
			if wrong := spoil == "signature" || spoil == "Finished"; (server.Err != nil) != wrong {
				t.Errorf("%q wrong, behind the handshake %v: %v", spoil, late, server.Err)
			} else if !wrong && string(server.Last().Body) != "data" {
				t.Errorf("%q: received %v", spoil, server.Last())
			}
		}
	}
}

// standard is a connection of crypto/tls whose other end is a peer.
type standard struct {
	*testing.T
	p    *Peer
	pipe net.Conn
	done chan error
}

// meet starts crypto/tls, which does its handshake and then echoes one read.
func meet(t *testing.T, p *Peer, conn func(net.Conn) *tls.Conn) *standard {
	mine, theirs := net.Pipe()
	deadline := time.Now().Add(time.Minute)
	mine.SetDeadline(deadline)
	theirs.SetDeadline(deadline)
	s := &standard{t, p, mine, make(chan error, 1)}
	t.Cleanup(func() { mine.Close() })
	go func() {
		c := conn(theirs)
		defer theirs.Close()
		b := make([]byte, 100)
		n, err := c.Read(b)
		if err == nil {
			_, err = c.Write(b[:n])
		}
		s.done <- err
	}()
	return s
}

// send writes what the peer has sent.
func (s *standard) send() {
	s.Helper()
	if _, err := s.pipe.Write(s.p.Take()); err != nil {
		s.Fatal(err)
	}
}

// until reads records until one of them ends an item that is enough.
func (s *standard) until(enough func(Item) bool) Item {
	s.Helper()
	for {
		b := make([]byte, record.HeaderLen)
		_, err := io.ReadFull(s.pipe, b)
		if err == nil {
			b = append(b, make([]byte, record.ParseHeader(b).Length)...)
			_, err = io.ReadFull(s.pipe, b[record.HeaderLen:])
		}
		if err != nil {
			s.Fatalf("%v; received %v", err, s.p.Got)
		}
		for _, item := range s.p.Receive(b) {
			if item.Type == record.TypeAlert {
				s.Fatal(item)
			}
			if enough(item) {
				return item
			}
		}
		if s.p.Err != nil {
			s.Fatalf("%v; received %v", s.p.Err, s.p.Got)
		}
	}
}

func (s *standard) untilMessage(t wire.HandshakeType) {
	s.Helper()
	s.until(func(i Item) bool { return i.Type == record.TypeHandshake && wire.HandshakeType(i.Body[0]) == t })
}

// echo exchanges data and ends.
func (s *standard) echo() {
	s.Helper()
	s.p.SendRecord(record.TypeApplicationData, []byte("echo"))
	s.send()
	s.wantEcho()
}

func (s *standard) wantEcho() {
	s.Helper()
	item := s.until(func(i Item) bool { return i.Type == record.TypeApplicationData && len(i.Body) > 0 })
	if string(item.Body) != "echo" || item.Epoch != Application {
		s.Fatalf("received %v %q", item, item.Body)
	}
	if err := <-s.done; err != nil {
		s.Fatal(err)
	}
}

func wantResumed(cs tls.ConnectionState) error {
	if !cs.DidResume {
		return errors.New("not resumed")
	}
	return nil
}

func standardServer() *tls.Config {
	return &tls.Config{
		Time: Clock, Certificates: []tls.Certificate{localhost()}, ClientCAs: Roots(), ClientAuth: tls.RequireAndVerifyClientCert,
	}
}

// A client with a certificate, and then with a ticket, against crypto/tls.
func TestPeerClientMeetsTheStandardLibrary(t *testing.T) {
	cfg := standardServer()
	server := func(c net.Conn) *tls.Conn { return tls.Server(c, cfg) }
	p := NewPeer(false)
	p.Certificate = ClientCertificate(ECDSAP256)
	p.OnClientHello = func(m *wire.ClientHello) { // or else there are no tickets
		m.PSKModes = []byte{1}
		m.Extensions = append(m.Extensions, Extensions(wire.ExtPSKKeyExchangeModes)...)
	}
	s := meet(t, p, server)
	p.Send(p.ClientHello())
	s.send()
	s.untilMessage(wire.TypeFinished)
	if p.Message(wire.TypeCertificateRequest) == nil {
		t.Fatal("no CertificateRequest")
	}
	p.Send(p.CertificateMessage())
	p.Send(p.CertificateVerify())
	p.Send(p.Finished())
	s.send()
	s.untilMessage(wire.TypeNewSessionTicket)
	s.echo()

	again := NewPeer(false)
	again.PSKs = p.Tickets[:1]
	cfg.VerifyConnection = wantResumed
	s = meet(t, again, server)
	again.Send(again.ClientHello())
	s.send()
	s.untilMessage(wire.TypeFinished)
	if again.PSK == nil || again.Message(wire.TypeCertificate) != nil {
		t.Fatalf("not resumed: %v", again.Got)
	}
	again.Send(again.Finished())
	again.SendRecord(record.TypeApplicationData, []byte("echo"))
	go s.pipe.Write(again.Take()) // the server writes tickets first
	s.wantEcho()
}

// A server that gives a ticket, and then takes it, against crypto/tls.
func TestPeerServerMeetsTheStandardLibrary(t *testing.T) {
	cert := ClientCertificate(Ed25519)
	cfg := &tls.Config{
		Time: Clock, RootCAs: Roots(), ServerName: "localhost", MinVersion: tls.VersionTLS13,
		CurvePreferences:   []tls.CurveID{tls.X25519},
		ClientSessionCache: tls.NewLRUClientSessionCache(1),
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &cert, nil
		},
	}
	client := func(c net.Conn) *tls.Conn { return tls.Client(c, cfg) }
	p := NewPeer(true)
	p.OnCertificateRequest = func(m *wire.CertificateRequest) { m.SignatureAlgorithms = []wire.SignatureScheme{wire.Ed25519} }
	s := meet(t, p, client)
	s.untilMessage(wire.TypeClientHello)
	p.Send(p.ServerHello())
	p.Send(p.EncryptedExtensions(), p.CertificateRequest(), p.CertificateMessage())
	p.Send(p.CertificateVerify())
	p.Send(p.Finished())
	s.send()
	s.untilMessage(wire.TypeFinished)
	if leaf := p.leaf; leaf == nil || !bytes.Equal(leaf.Raw, cert.Certificate[0]) {
		t.Fatal("no certificate of the client")
	}
	p.Send(p.NewSessionTicket())
	s.echo()

	again := NewPeer(true)
	again.PSKs = p.Tickets
	cfg.VerifyConnection = wantResumed
	s = meet(t, again, client)
	s.untilMessage(wire.TypeClientHello)
	if len(again.Hello.PSKIdentities) != 1 || !bytes.Equal(again.Hello.PSKIdentities[0].Identity, p.Tickets[0].Identity) {
		t.Fatal("the client does not offer the ticket")
	}
	again.PSK = &again.PSKs[0]
	again.Send(again.ServerHello())
	again.Send(again.EncryptedExtensions())
	again.Send(again.Finished())
	s.send()
	s.untilMessage(wire.TypeFinished)
	s.echo()
}
