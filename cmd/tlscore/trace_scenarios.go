package main

import (
	"crypto/tls"
	"crypto/x509"
	"time"

	"tlscore.example/tlscore"
)

// scenarios are the stories, the most important ones first.
var scenarios = []scenario{
	{"handshake", "a connection from ClientHello to close_notify", playHandshake},
	{"tls12", "the same in TLS 1.2: a round trip more, and most of it in the clear", playTLS12},
	{"resumption", "the second connection needs no certificate: the ticket says who is who", playResumption},
	{"early-data", "a client that resumes does not wait for the server", playEarlyData},
	{"client-auth", "the server wants to know who the client is", playClientAuth},
	{"post-handshake-auth", "the server wants to know later, when it matters", playPostHandshakeAuth},
	{"version-mismatch", "a client that has only TLS 1.2 is refused, and the alert is not lost", playVersionMismatch},
	{"acceptor", "the ClientHello is shown first, then the server decides", playAcceptor},
	{"acceptor-reject", "the application refuses a ClientHello with an alert of its choice", playAcceptorReject},
	{"hello-retry", "the server asks for another key share", playHelloRetry},
	{"bad-certificate", "the client does not accept an expired certificate", playBadCertificate},
	{"bad-record", "one bit changes on the wire", playBadRecord},
	{"key-update", "a change of keys in both directions", playKeyUpdate},
	{"half-close", "each direction closes by itself", playHalfClose},
	{"truncation", "the transport ends without close_notify", playTruncation},
	{"cancel", "the client gives up inside the handshake", playCancel},
	{"plain-http", "a client that does not speak TLS", playPlainHTTP},
}

// connect puts a usual client and a usual server on the stage.
func (s *stage) connect() {
	s.client.use(tlscore.NewClient(s.clientConfig()))
	s.server.use(tlscore.NewServer(s.serverConfig()))
	s.begin("client", "server")
}

// write is a call of Write.
func (a *actor) write(text string) {
	a.call("Write("+quote(text)+")", func() { a.machine.Write([]byte(text)) })
}

func (a *actor) closeWrite() { a.call("CloseWrite()", a.machine.CloseWrite) }

func quote(s string) string { return `"` + s + `"` }

// establish plays a handshake without drawing it.
func (s *stage) establish() {
	s.unseen(func() { s.meet(s.clientConfig(), s.serverConfig()) })
	s.begin("client", "server")
}

// meet plays a handshake.
func (s *stage) meet(client, server *tlscore.Config) {
	s.client.use(tlscore.NewClient(client))
	s.server.use(tlscore.NewServer(server))
	s.begin("client", "server")
	s.start()
	s.run()
}

// unseen plays without drawing.
func (s *stage) unseen(play func()) {
	text := s.text.String()
	play()
	s.text.Reset()
	s.text.WriteString(text)
}

func playHandshake(s *stage) {
	s.connect()
	s.start()
	s.run()
	s.client.write("ping")
	s.run()
	s.server.write("pong")
	s.run()
	s.client.closeWrite()
	s.run()
	s.server.closeWrite()
	s.run()
}

func playTLS12(s *stage) {
	client := s.clientConfig()
	client.MaxVersion = tls.VersionTLS12
	client.CipherSuites = nil
	server := s.serverConfig()
	server.CipherSuites = nil
	s.meet(client, server)
	s.client.write("ping")
	s.run()
	s.client.closeWrite()
	s.run()
	s.server.closeWrite()
	s.run()
}

// resumable are configs of a client that has been here before: that is played unseen.
func (s *stage) resumable() (client, server *tlscore.Config) {
	client, server = s.clientConfig(), s.serverConfig()
	client.SessionCache = tlscore.NewLRUSessionCache(0, 0)
	client.EarlyData = true
	server.MaxEarlyData = 1000
	server.AcceptEarlyData = func(tlscore.EarlyDataInfo) bool { return true } // no replays on this stage
	s.unseen(func() { s.meet(client, server) })
	return client, server
}

func playResumption(s *stage) {
	client, server := s.resumable()
	client = client.Clone()
	client.EarlyData = false
	s.meet(client, server)
	s.client.say(plain, "   DidResume %v", s.client.machine.ConnectionState().DidResume)
}

func playEarlyData(s *stage) {
	client, server := s.resumable()
	s.client.onEvent = func(ev tlscore.Event) {
		if ev.Kind == tlscore.EventEarlyWritable {
			s.client.call(`WriteEarly("a question")`, func() { s.client.machine.WriteEarly([]byte("a question")) })
		}
	}
	s.server.onEvent = func(ev tlscore.Event) {
		if ev.Early {
			s.server.write("the answer")
		}
	}
	s.meet(client, server)
}

// clientIdentity makes a client's certificate, which is its own authority.
func clientIdentity() (tls.Certificate, *x509.CertPool) {
	cert := must(traceCertificate("alice", traceTime.AddDate(1, 0, 0)))
	pool := x509.NewCertPool()
	pool.AddCert(must(x509.ParseCertificate(cert.Certificate[0])))
	return cert, pool
}

func playClientAuth(s *stage) {
	client, server := s.clientConfig(), s.serverConfig()
	cert, pool := clientIdentity()
	client.Certificates = []tls.Certificate{cert}
	server.ClientAuth, server.ClientCAs = tls.RequireAndVerifyClientCert, pool
	s.meet(client, server)
	s.server.whoIsThere()
}

func playPostHandshakeAuth(s *stage) {
	client, server := s.clientConfig(), s.serverConfig()
	cert, pool := clientIdentity()
	client.Certificates = []tls.Certificate{cert}
	client.PostHandshakeAuth = true
	server.ClientCAs = pool
	s.unseen(func() { s.meet(client, server) })
	s.begin("client", "server")
	s.client.write("a secret, please")
	s.run()
	s.server.call("RequestClientCertificate()", func() { s.server.machine.RequestClientCertificate() })
	s.server.step(nil)
	s.run()
	s.server.whoIsThere()
	s.server.write("here it is")
	s.run()
}

// whoIsThere draws whom a server knows.
func (a *actor) whoIsThere() {
	state := a.machine.ConnectionState()
	for _, cert := range state.PeerCertificates {
		a.say(plain, "   %v, verified: %v", cert.Subject, len(state.VerifiedChains) > 0)
	}
}

func playHelloRetry(s *stage) {
	cfg := s.clientConfig()
	cfg.KeyShares = cfg.CurvePreferences[:0] // none: let the server choose
	s.client.use(tlscore.NewClient(cfg))
	s.server.use(tlscore.NewServer(s.serverConfig()))
	s.begin("client, no key share", "server")
	s.start()
	s.run()
}

// oldClientHello is what a client sends that knows TLS 1.2 and nothing newer.
func oldClientHello() []byte {
	body := []byte{3, 3} // client_version: TLS 1.2
	for i := range byte(32) {
		body = append(body, i) // random
	}
	body = append(body, 0)                        // no session_id
	body = append(body, 0, 2, 0xc0, 0x2f)         // ECDHE_RSA_WITH_AES_128_GCM_SHA256
	body = append(body, 1, 0)                     // no compression
	body = append(body, 0, 8)                     // extensions:
	body = append(body, 0, 10, 0, 4, 0, 2, 0, 29) // supported_groups: x25519
	n := byte(len(body))
	return append([]byte{recordHandshake, 3, 1, 0, n + 4, 1, 0, 0, n}, body...)
}

func playVersionMismatch(s *stage) {
	s.server.use(tlscore.NewServer(s.serverConfig()))
	s.begin("client, TLS 1.2 only", "NewServer(cfg)")
	s.sendOldHello()
	s.text.WriteByte('\n')

	s.server = &actor{at: right, picture: s.picture}
	s.server.use(tlscore.NewAcceptor(tlscore.Limits{}))
	s.begin("client, TLS 1.2 only", "NewAcceptor(limits)")
	s.server.onEvent = s.accept(s.serverConfig())
	s.sendOldHello()
}

func (s *stage) sendOldHello() {
	s.client.pending = oldClientHello()
	s.client.say(plain, "-> ClientHello, TLS 1.2")
	s.run()
}

// accept is the application of an acceptor that accepts.
func (s *stage) accept(cfg *tlscore.Config) func(tlscore.Event) {
	return func(ev tlscore.Event) {
		if ev.Kind == tlscore.EventClientHello {
			s.server.call("Accept(cfg)", func() { s.server.machine.Accept(cfg) })
			s.server.failedInAnswer()
		}
	}
}

// failedInAnswer draws what an answer of the application has left behind.
func (a *actor) failedInAnswer() {
	if a.machine.State() == tlscore.StateFailed {
		a.postMortem()
	}
}

func playAcceptor(s *stage) {
	s.client.use(tlscore.NewClient(s.clientConfig()))
	s.server.use(tlscore.NewAcceptor(tlscore.Limits{}))
	s.begin("client", "NewAcceptor(limits)")
	s.server.onEvent = func(ev tlscore.Event) {
		if ev.Kind == tlscore.EventClientHello {
			s.showHello()
		}
		s.accept(s.serverConfig())(ev)
	}
	s.start()
	s.run()
}

// showHello draws some of what an acceptor shows.
func (s *stage) showHello() {
	hello := s.server.machine.ClientHello()
	s.server.say(plain, "   ServerName %q", hello.ServerName)
	s.server.say(plain, "   KeyShares %v", hello.KeyShares)
}

func playAcceptorReject(s *stage) {
	s.client.use(tlscore.NewClient(s.clientConfig()))
	s.server.use(tlscore.NewAcceptor(tlscore.Limits{}))
	s.begin("client", "NewAcceptor(limits)")
	s.server.onEvent = func(ev tlscore.Event) {
		if ev.Kind != tlscore.EventClientHello {
			return
		}
		s.showHello()
		s.server.call("Reject(unrecognized_name)", func() {
			s.server.machine.Reject(tlscore.AlertUnrecognizedName)
		})
		s.server.failedInAnswer()
	}
	s.start()
	s.run()
}

func playBadCertificate(s *stage) {
	cfg := s.clientConfig()
	late := traceTime.AddDate(2, 0, 0)
	cfg.Time = func() time.Time { return late }
	s.client.use(tlscore.NewClient(cfg))
	s.server.use(tlscore.NewServer(s.serverConfig()))
	s.begin("client, two years later", "server")
	s.start()
	s.run()
}

func playBadRecord(s *stage) {
	s.establish()
	s.client.touch = func(rec []byte) { rec[len(rec)-1] ^= 1 }
	s.client.write("ping")
	s.line("", plain, center("(its last bit is flipped)"), dim, "", plain)
	s.run()
}

func playKeyUpdate(s *stage) {
	s.establish()
	s.client.call("KeyUpdate(request)", func() { s.client.machine.KeyUpdate(true) })
	s.client.write("under the new key")
	s.run()
	s.server.write("so is this")
	s.run()
}

func playHalfClose(s *stage) {
	s.establish()
	s.client.write("a question")
	s.client.closeWrite()
	s.run()
	s.server.write("the answer")
	s.server.closeWrite()
	s.run()
}

func playTruncation(s *stage) {
	s.establish()
	s.client.write("half a mess")
	s.carry(s.client, s.server)
	s.line("", plain, "(the connection is cut) ──X", red, "", plain)
	s.server.call("EOF()", s.server.machine.EOF)
	s.server.step(nil)
}

func playCancel(s *stage) {
	s.connect()
	s.start()
	s.carry(s.client, s.server)
	s.client.closeWrite()
	s.client.step(nil)
	s.carry(s.client, s.server)
}

func playPlainHTTP(s *stage) {
	s.server.use(tlscore.NewServer(s.serverConfig()))
	s.begin("client, HTTP without TLS", "server")
	s.client.pending = []byte("GET / HTTP/1.1\r\n\r\n")
	s.carry(s.client, s.server)
	m := s.server.machine
	s.server.call("Sent(len(Output())): no alert", func() { m.Sent(len(m.Output())) })
	s.server.machine = nil
	s.server.pending = []byte("HTTP/1.0 400 Bad Request\r\n…")
	s.run()
}
