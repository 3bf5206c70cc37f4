package tlstest

import (
	"bytes"
	"crypto/tls"
	"net"
	"testing"

	"tlscore.example/tlscore/internal/record"
	"tlscore.example/tlscore/internal/wire"
)

// connect12 runs a handshake of TLS 1.2 between two peers: an abbreviated one, if
// the server has a session to resume, and else a full one, with a client
// certificate if the client has one.
func connect12(t *testing.T, client, server *Peer) {
	t.Helper()
	client.Send(client.ClientHello())
	deliver(t, client, server)
	server.Send(server.ServerHello())
	finish := func(p *Peer) {
		if p == server && server.AskTicket && server.Hello.Has(wire.ExtSessionTicket) {
			p.Send(p.NewSessionTicket())
		}
		p.SendCCS()
		p.Send(p.Finished())
	}
	if server.Resume != nil {
		finish(server)
		deliver(t, server, client)
		finish(client)
		deliver(t, client, server)
		return
	}
	server.Send(server.CertificateMessage(), server.CertificateStatus([]byte("response")))
	server.SendPieces(server.ServerKeyExchange(), 11)
	ask := client.Certificate.Certificate != nil
	if ask {
		server.Send(server.CertificateRequest())
	}
	server.Send(server.ServerHelloDone())
	deliver(t, server, client)
	if ask {
		client.Send(client.CertificateMessage())
	}
	client.Send(client.ClientKeyExchange())
	if ask {
		client.Send(client.CertificateVerify())
	}
	finish(client)
	deliver(t, client, server)
	finish(server)
	deliver(t, server, client)
}

// talk sends data both ways.
func talk(t *testing.T, client, server *Peer) {
	t.Helper()
	for _, way := range [][2]*Peer{{client, server}, {server, client}} {
		way[0].SendLong(record.TypeApplicationData, []byte("by hand"))
		way[0].SendRecord(record.TypeApplicationData, []byte("data"))
		deliver(t, way[0], way[1])
		if last := way[1].Last(); string(last.Body) != "data" || last.Epoch != Application || !bytes.Equal(way[1].Got[len(way[1].Got)-2].Body, []byte("by hand")) {
			t.Fatalf("received %v %q", last, last.Body)
		}
	}
}

// suites12 are the suites of TLS 1.2, and keys that fit.
var suites12 = map[wire.CipherSuite]KeyKind{
	wire.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256:       ECDSAP256,
	wire.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384:       ECDSAP384,
	wire.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: Ed25519,
	wire.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256:         RSA2048,
	wire.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384:         RSA2048,
	wire.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256:   RSA2048,
}

func schemeOf(key KeyKind) tls.SignatureScheme {
	return []tls.SignatureScheme{
		tls.ECDSAWithP256AndSHA256, tls.ECDSAWithP384AndSHA384, tls.ECDSAWithP521AndSHA512, tls.Ed25519, tls.PKCS1WithSHA256,
	}[key]
}

func TestPeersConnect12(t *testing.T) {
	for suite, key := range suites12 {
		for _, group := range []wire.NamedGroup{wire.GroupX25519, wire.GroupP256, wire.GroupP384, wire.GroupP521} {
			for _, ems := range []bool{false, true} {
				client, server := NewPeer12(false), NewPeer12(true)
				client.Suite, server.Suite = suite, suite
				client.Group, server.Group = group, group
				client.EMS = ems
				server.Certificate, server.Scheme = Certificate(Leaf{Key: key}), schemeOf(key)
				if group == wire.GroupX25519 {
					client.Certificate, client.Scheme = ClientCertificate(key), schemeOf(key)
				}
				connect12(t, client, server)
				talk(t, client, server)
			}
		}
	}
}

func TestPeersResume12(t *testing.T) {
	for _, ticket := range []bool{false, true} {
		for _, ems := range []bool{false, true} {
			client, server := NewPeer12(false), NewPeer12(true)
			client.EMS = ems
			client.AskTicket, server.AskTicket = ticket, ticket
			if !ticket {
				server.SessionID = []byte("session id of the server")
			}
			connect12(t, client, server)
			if len(client.Sessions) != 1 || len(server.Sessions) != 1 {
				t.Fatalf("ticket %v: %d sessions", ticket, len(client.Sessions))
			}
			again, resumed := NewPeer12(false), NewPeer12(true)
			again.EMS = ems
			again.AskTicket, resumed.AskTicket = ticket, ticket
			again.Resume, resumed.Resume = &client.Sessions[0], &server.Sessions[0]
			connect12(t, again, resumed)
			talk(t, again, resumed)
			if !again.Resumed || (len(again.Sessions) == 1) != ticket {
				t.Fatalf("ticket %v: resumed %v, %d new sessions", ticket, again.Resumed, len(again.Sessions))
			}
		}
	}
}

// What is wrong has to be seen.
func TestPeer12SeesWhatIsWrong(t *testing.T) {
	flip := func(b []byte) { b[len(b)/2] ^= 1 }
	for name, spoil := range map[string]func(client, server *Peer){
		"ServerKeyExchange": func(_, server *Peer) {
			server.OnServerKeyExchange = func(m *wire.ServerKeyExchange) { flip(m.Signature) }
		},
		"CertificateVerify": func(client, _ *Peer) {
			client.OnCertificateVerify = func(m *wire.CertificateVerify) { flip(m.Signature) }
		},
		"client's Finished": func(client, _ *Peer) {
			client.OnFinished = func(m *wire.Finished) { flip(m.VerifyData) }
		},
		"server's Finished": func(_, server *Peer) {
			server.OnFinished = func(m *wire.Finished) { flip(m.VerifyData) }
		},
		"point": func(client, _ *Peer) {
			client.OnClientKeyExchange = func(m *wire.ClientKeyExchange) { flip(m.Point) }
		},
	} {
		client, server := NewPeer12(false), NewPeer12(true)
		client.Certificate = ClientCertificate(ECDSAP256)
		spoil(client, server)
		client.Send(client.ClientHello())
		server.Receive(client.Take())
		server.Send(server.ServerHello(), server.CertificateMessage())
		server.Send(server.ServerKeyExchange(), server.CertificateRequest(), server.ServerHelloDone())
		client.Receive(server.Take())
		client.Send(client.CertificateMessage(), client.ClientKeyExchange())
		client.Send(client.CertificateVerify())
		client.SendCCS()
		client.Send(client.Finished())
		server.Receive(client.Take())
		server.SendCCS()
		server.Send(server.Finished())
		client.Receive(server.Take())
		if client.Err == nil && server.Err == nil {
			t.Errorf("wrong %s was not seen", name)
		}
	}
}

// A client, its ticket and its certificate, against crypto/tls.
func TestPeer12ClientMeetsTheStandardLibrary(t *testing.T) {
	for suite, key := range suites12 {
		cfg := standardServer()
		cfg.MaxVersion = tls.VersionTLS12
		cfg.Certificates = []tls.Certificate{Certificate(Leaf{Key: key})}
		server := func(c net.Conn) *tls.Conn { return tls.Server(c, cfg) }
		p := NewPeer12(false)
		p.Suite, p.AskTicket = suite, true
		p.Certificate = ClientCertificate(ECDSAP256)
		s := meet(t, p, server)
		p.Send(p.ClientHello())
		s.send()
		s.untilMessage(wire.TypeServerHelloDone)
		p.Send(p.CertificateMessage(), p.ClientKeyExchange())
		p.Send(p.CertificateVerify())
		p.SendCCS()
		p.Send(p.Finished())
		s.send()
		s.untilMessage(wire.TypeFinished)
		s.echo()

		again := NewPeer12(false)
		again.Suite, again.Resume = suite, &p.Sessions[0]
		s = meet(t, again, server)
		again.Send(again.ClientHello())
		s.send()
		s.untilMessage(wire.TypeFinished)
		if !again.Resumed {
			t.Fatalf("not resumed: %v", again.Got)
		}
		again.SendCCS()
		again.Send(again.Finished())
		s.echo()
	}
}

// A server that gives a ticket, and then takes it, against crypto/tls.
func TestPeer12ServerMeetsTheStandardLibrary(t *testing.T) {
	for suite, key := range suites12 {
		cfg := &tls.Config{
			Time: Clock, RootCAs: Roots(), ServerName: "localhost", CurvePreferences: []tls.CurveID{tls.X25519},
			Certificates: []tls.Certificate{ClientCertificate(ECDSAP256)}, ClientSessionCache: tls.NewLRUClientSessionCache(1),
		}
		client := func(c net.Conn) *tls.Conn { return tls.Client(c, cfg) }
		p := NewPeer12(true)
		p.Suite, p.Certificate, p.Scheme, p.AskTicket = suite, Certificate(Leaf{Key: key}), schemeOf(key), true
		s := meet(t, p, client)
		s.untilMessage(wire.TypeClientHello)
		p.Send(p.ServerHello(), p.CertificateMessage(), p.ServerKeyExchange())
		p.Send(p.CertificateRequest(), p.ServerHelloDone())
		s.send()
		s.untilMessage(wire.TypeFinished)
		p.Send(p.NewSessionTicket())
		p.SendCCS()
		p.Send(p.Finished())
		s.send()
		s.echo()

		again := NewPeer12(true)
		again.Suite, again.Resume = suite, &p.Sessions[0]
		cfg.VerifyConnection = wantResumed
		s = meet(t, again, client)
		s.untilMessage(wire.TypeClientHello)
		if !bytes.Equal(again.Hello.SessionTicket, p.Sessions[0].Ticket) {
			t.Fatal("the client does not offer the ticket")
		}
		again.Send(again.ServerHello())
		again.SendCCS()
		again.Send(again.Finished())
		s.send()
		s.untilMessage(wire.TypeFinished)
		s.echo()
	}
}
