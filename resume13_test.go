package tlscore

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"testing"
	"time"

	"tlscore.example/tlscore/internal/record"
	"tlscore.example/tlscore/internal/tlstest"
	"tlscore.example/tlscore/internal/wire"
)

// Resumption in TLS 1.3, with the scripted peer.

// The paths of connections that resume.
var (
	resumedClientPath = []pathStep{
		{StateWaitServerHello, func(r *rig) { r.step(nil) }},
		{StateWaitEncryptedExtensions, func(r *rig) { r.p.PSK = &r.p.PSKs[0]; r.send(r.p.ServerHello()) }},
		{StateWaitServerFinished, func(r *rig) { r.send(r.p.EncryptedExtensions()) }},
		{StateConnected, func(r *rig) { r.send(r.p.Finished()) }},
	}
	earlyServerPath = []pathStep{
		{StateWaitEndOfEarlyData, func(r *rig) { r.send(r.p.ClientHello()) }},
		{StateWaitClientFinished, func(r *rig) { r.send(r.p.EndOfEarlyData()) }},
		{StateConnected, func(r *rig) { r.send(r.p.Finished()) }},
	}
)

// ticketsAllow is how much early data the tickets of these tests allow.
const ticketsAllow = 1000

// sendTicket sends a ticket of the scripted server.
func (r *rig) sendTicket(change ...func(*wire.NewSessionTicket)) {
	r.Helper()
	r.p.OnNewSessionTicket = func(t *wire.NewSessionTicket) {
		t.MaxEarlyData, t.Extensions = ticketsAllow, []wire.Extension{{Type: wire.ExtEarlyData}}
		for _, f := range change {
			f(t)
		}
	}
	r.p.SendRecord(record.TypeHandshake, r.p.NewSessionTicket())
	r.run()
}

// resumeClient returns the next client of the config of a client that is connected, with a
// server that has the tickets of the one before.
func (r *rig) resumeClient(change ...func(*Config)) *rig {
	r.Helper()
	cfg := r.m.cfg
	if len(change) > 0 {
		cfg = cfg.Clone()
	}
	for _, f := range change {
		f(cfg)
	}
	next := clientRigOf(r.T, cfg)
	next.p.PSKs, next.p.Suite, next.path = slices.Clone(r.p.Tickets), r.p.Suite, resumedClientPath
	return next
}

func cached(c *Config) { c.SessionCache = NewLRUSessionCache(0, 0) }

// newFullClient returns a client that has had a full handshake, and has a ticket.
func newFullClient(t *testing.T, change ...func(*Config)) *rig {
	t.Helper()
	r := newClientRig(t, append([]func(*Config){cached}, change...)...).bring(StateConnected)
	r.sendTicket()
	return r
}

// newResumedClient returns a client that has a ticket of its server.
func newResumedClient(t *testing.T, change ...func(*Config)) *rig {
	t.Helper()
	return newFullClient(t, change...).resumeClient()
}

// wantTickets makes a scripted client say that it can use tickets.
func wantTickets(p *tlstest.Peer) {
	p.OnClientHello = func(hello *wire.ClientHello) {
		if !hello.Has(wire.ExtPSKKeyExchangeModes) {
			hello.PSKModes = []byte{pskDHE}
			hello.Extensions = append(hello.Extensions, wire.Extension{Type: wire.ExtPSKKeyExchangeModes})
		}
	}
}

// newFullServer returns a server that has had a full handshake, and has sent its tickets.
func newFullServer(t *testing.T, change ...func(*Config)) *rig {
	t.Helper()
	r := newServerRig(t, change...)
	wantTickets(r.p)
	r.bring(StateConnected)
	if len(r.p.Tickets) == 0 {
		t.Fatal("the server has sent no tickets")
	}
	return r
}

// resumeServer returns the next server of the config, with a client that offers the tickets
// of the one before.
func (r *rig) resumeServer(change ...func(*Config)) *rig {
	r.Helper()
	cfg := r.m.cfg
	if len(change) > 0 {
		cfg = cfg.Clone()
		cfg.TicketKeys = r.m.d.ticketKeys
	}
	for _, f := range change {
		f(cfg)
	}
	next := serverRigOf(r.T, cfg)
	next.p.PSKs, next.p.Suite = slices.Clone(r.p.Tickets[:1]), r.p.Suite
	return next
}

// encryptedExtensions are those that the server has sent.
func (r *rig) encryptedExtensions() *wire.EncryptedExtensions {
	r.Helper()
	ee := new(wire.EncryptedExtensions)
	if err := ee.Parse(r.p.Message(wire.TypeEncryptedExtensions)); err != nil {
		r.Fatal(err)
	}
	return ee
}

func newResumedServer(t *testing.T, change ...func(*Config)) *rig {
	t.Helper()
	return newFullServer(t, change...).resumeServer()
}

// yes is a Config.AcceptEarlyData.
func yes(EarlyDataInfo) bool { return true }

func takesEarly(c *Config) { c.MaxEarlyData, c.AcceptEarlyData = ticketsAllow, yes }

// newEarlyServer returns a server whose client offers early data that will be accepted.
func newEarlyServer(t *testing.T, change ...func(*Config)) *rig {
	t.Helper()
	r := newFullServer(t, append([]func(*Config){takesEarly}, change...)...).resumeServer()
	r.p.EarlyData, r.path = true, earlyServerPath
	return r
}

// The walks of the servers.

func walkResumedServer(t *testing.T, edges map[edge]bool) {
	finishWalk(newResumedServer(t), edges, 0)
}

func walkResumedRetry(t *testing.T, edges map[edge]bool) {
	finishWalk(newResumedServer(t), edges, StateWaitClientHelloRetry)
}

func walkResumedAcceptor(t *testing.T, edges map[edge]bool) {
	full := newFullServer(t)
	r := newAcceptorRig(t)
	watch(r.m, edges)
	r.p.PSKs = full.p.Tickets
	r.send(r.p.ClientHello())
	if err := r.m.Accept(full.m.cfg); err != nil {
		t.Fatal(err)
	}
	r.wantState(StateWaitClientFinished)
}

func walkEarlyServer(t *testing.T, edges map[edge]bool) {
	r := newEarlyServer(t)
	watch(r.m, edges)
	r.bring(StateWaitEndOfEarlyData)
	r.p.SendRecord(record.TypeApplicationData, []byte("early"))
	r.p.SendCCS()
	r.run()
	r.wantState(StateWaitEndOfEarlyData)
	r.wantConnected()
}

func walkUnknownTickets(t *testing.T, edges map[edge]bool) {
	r := newResumedServer(t)
	watch(r.m, edges)
	r.p.PSKs = []tlstest.PSK{unknownPSK(1), unknownPSK(2)}
	r.bring(StateConnected)
	if r.m.ConnectionState().DidResume {
		t.Error("resumed what is unknown")
	}
}

func unknownPSK(n byte) tlstest.PSK {
	return tlstest.PSK{Identity: []byte{n}, Key: make([]byte, 32), Suite: wire.TLS_AES_128_GCM_SHA256}
}

// A client resumes: no certificate, what is known about the server is what was, and the next
// connection resumes with the next ticket.
func TestClientResumes(t *testing.T) {
	for _, suite := range suitesOf(tls.VersionTLS13) {
		for _, retry := range []bool{false, true} {
			t.Run(suite.id.String(), func(t *testing.T) {
				first := newClientRig(t, cached, func(c *Config) { c.NextProtos = []string{"h2"} })
				first.p.Suite = suite.id
				protocol := func(ee *wire.EncryptedExtensions) {
					ee.ALPN, ee.Extensions = []byte("h2"), append(ee.Extensions, wire.Extension{Type: wire.ExtALPN})
				}
				first.p.OnEncryptedExtensions = protocol
				first.bring(StateConnected)
				full := first.m.ConnectionState()
				for range 3 {
					first.sendTicket()
					next := first.resumeClient()
					next.p.OnEncryptedExtensions = protocol
					next.bring(StateWaitServerHello)
					if retry {
						next.p.Group = wire.GroupP256
						next.send(next.p.HelloRetryRequest())
					}
					hello := next.p.Hello
					if len(hello.PSKIdentities) != 1 || hello.Extensions[len(hello.Extensions)-1].Type != wire.ExtPreSharedKey {
						t.Fatalf("offers %d sessions", len(hello.PSKIdentities))
					}
					if retry {
						next.p.PSK = &next.p.PSKs[len(next.p.PSKs)-1]
						next.send(next.p.ServerHello())
					}
					next.wantConnected()
					state := next.m.ConnectionState()
					if !state.DidResume || full.DidResume {
						t.Errorf("DidResume: %v, then %v", full.DidResume, state.DidResume)
					}
					if !slices.EqualFunc(state.PeerCertificates, full.PeerCertificates, (*x509.Certificate).Equal) ||
						len(state.VerifiedChains) != len(full.VerifiedChains) || state.NegotiatedProtocol != "h2" ||
						state.ServerName != "localhost" || !state.HandshakeComplete {
						t.Errorf("the state of the resumed connection: %+v", state)
					}
					first = next
				}
			})
		}
	}
}

// The age of the ticket is that of the second ClientHello in the second ClientHello.
func TestTicketAge(t *testing.T) {
	now := tlstest.Now
	r := newFullClient(t, func(c *Config) { c.Time = func() time.Time { return now } })
	now = now.Add(90 * time.Second)
	r = r.resumeClient().bring(StateWaitServerHello)
	age := func() uint32 { return r.p.Hello.PSKIdentities[0].ObfuscatedTicketAge - 0x01020304 }
	if age() != 90000 {
		t.Errorf("age %d ms", age())
	}
	now = now.Add(time.Second)
	r.p.Group = wire.GroupP256
	r.send(r.p.HelloRetryRequest())
	if age() != 91000 {
		t.Errorf("after the retry: age %d ms", age())
	}
}

// The age is never told to be above what it is, on clocks finer than the session's.
func TestTicketAgeRounded(t *testing.T) {
	for _, fine := range []time.Duration{1, time.Millisecond / 2, time.Millisecond - 1} {
		for _, age := range []time.Duration{0, 1, time.Millisecond - 1, 2*time.Millisecond - 1} {
			now := tlstest.Now.Add(fine)
			r := newFullClient(t, func(c *Config) { c.Time = func() time.Time { return now } })
			now = tlstest.Now.Add(fine + age)
			next := r.resumeClient().bring(StateWaitServerHello)
			told := time.Duration(next.p.Hello.PSKIdentities[0].ObfuscatedTicketAge-0x01020304) * time.Millisecond
			if told > age || told < age-2*time.Millisecond {
				t.Errorf("%v behind %v: told %v", age, fine, told)
			}
		}
	}
}

// A ticket is offered once, then there is a full handshake.
func TestTicketSingleUse(t *testing.T) {
	full := newFullClient(t)
	full.resumeClient().bring(StateWaitServerHello)
	again := full.resumeClient().bring(StateWaitServerHello)
	if again.p.Hello.Has(wire.ExtPreSharedKey) {
		t.Error("a ticket is offered twice")
	}
	again.path = clientPath
	again.wantConnected()
}

// What the server does not select is not resumed: the handshake is a full one.
func TestClientNotResumed(t *testing.T) {
	r := newResumedClient(t)
	r.path = clientPath
	r.wantConnected()
	if r.m.ConnectionState().DidResume {
		t.Error("DidResume")
	}
	// The same behind a HelloRetryRequest, with a suite of another hash: the ticket is of no use.
	r = newResumedClient(t)
	r.path = clientPath
	r.bring(StateWaitServerHello)
	r.p.Suite, r.p.Group = wire.TLS_AES_256_GCM_SHA384, wire.GroupP256
	r.send(r.p.HelloRetryRequest())
	if r.p.Hello.Has(wire.ExtPreSharedKey) || len(r.p.Hello.PSKIdentities) > 0 {
		t.Error("offers a ticket of another hash")
	}
	r.wantConnected()
}

// A client resumes with another suite of the same hash.
func TestResumeWithOtherSuite(t *testing.T) {
	r := newResumedClient(t)
	r.bring(StateWaitServerHello)
	r.p.Suite = wire.TLS_CHACHA20_POLY1305_SHA256
	r.wantConnected()
	server := newResumedServer(t, func(c *Config) {
		c.CipherSuites = []uint16{tls.TLS_CHACHA20_POLY1305_SHA256, tls.TLS_AES_128_GCM_SHA256, tls.TLS_AES_256_GCM_SHA384}
	})
	server.p.Suite = wire.TLS_CHACHA20_POLY1305_SHA256
	server.wantConnected()
	if !server.m.ConnectionState().DidResume {
		t.Error("the server does not resume with the other suite")
	}
}

// A client does not offer what its cipher suites rule out.
//
// "Any ticket MUST only be resumed with a cipher suite that has the same KDF hash algorithm
// as that used to establish the original connection."
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.6.1)
func TestSessionOfOtherHash(t *testing.T) {
	r := newFullClient(t).resumeClient(func(c *Config) { c.CipherSuites = []uint16{tls.TLS_AES_256_GCM_SHA384} })
	r.bring(StateWaitServerHello)
	if r.p.Hello.Has(wire.ExtPreSharedKey) {
		t.Error("offers a ticket of SHA-256 for a suite of SHA-384 alone")
	}
	s := newResumedServer(t)
	s.p.Suite = wire.TLS_AES_256_GCM_SHA384
	s.wantConnected()
	if s.m.ConnectionState().DidResume {
		t.Error("a server resumes with another hash")
	}
}

// "Clients MUST verify that the server's selected_identity is within the range supplied by
// the client, that the server selected a cipher suite indicating a Hash associated with the
// PSK, and that a server "key_share" extension is present if required by the ClientHello
// "psk_key_exchange_modes" extension. If these values are not consistent, the client MUST
// abort the handshake with an "illegal_parameter" alert."
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.2.11)
func TestSelectedIdentity(t *testing.T) {
	for name, change := range map[string]func(*rig){
		"out of range": func(r *rig) { r.p.OnServerHello = func(h *wire.ServerHello) { h.SelectedIdentity = 1 } },
		"other hash":   func(r *rig) { r.p.Suite = wire.TLS_AES_256_GCM_SHA384 },
		"no key share": func(r *rig) {
			r.p.OnServerHello = func(h *wire.ServerHello) {
				h.Extensions = tlstest.Extensions(wire.ExtSupportedVersions, wire.ExtPreSharedKey)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newResumedClient(t).bring(StateWaitServerHello)
			change(r)
			r.p.PSK = &r.p.PSKs[0]
			r.send(r.p.ServerHello())
			r.wantAlert(ReasonPreSharedKeyNotOffered, AlertIllegalParameter)
		})
	}
	// Nothing was offered.
	r := newClientRig(t, cached).bring(StateWaitServerHello)
	r.p.PSK = &tlstest.PSK{Key: make([]byte, 32), Suite: r.p.Suite}
	r.send(r.p.ServerHello())
	r.wantAlert(ReasonUnsolicitedExtension, AlertUnsupportedExtension)
}

// A server that resumes shows no certificate and asks for none.
func TestNoCertificateOnResumption(t *testing.T) {
	for _, build := range []func(*tlstest.Peer) []byte{(*tlstest.Peer).CertificateMessage, (*tlstest.Peer).CertificateRequest} {
		r := newResumedClient(t).bring(StateWaitServerFinished)
		r.send(build(r.p))
		r.wantAlert(ReasonUnexpectedMessage, AlertUnexpectedMessage)
	}
}

// VerifyConnection is asked on resumption, and VerifyPeerCertificate is not.
func TestVerifyOnResumption(t *testing.T) {
	var states []tls.ConnectionState
	certificates := 0
	refuse := false
	r := newResumedClient(t, func(c *Config) {
		c.VerifyConnection = func(cs tls.ConnectionState) error {
			states = append(states, cs)
			if refuse {
				return errors.New("no")
			}
			return nil
		}
		c.VerifyPeerCertificate = func([][]byte, [][]*x509.Certificate) error { certificates++; return nil }
	})
	r.wantConnected()
	if len(states) != 2 || !states[1].DidResume || len(states[1].PeerCertificates) == 0 || certificates != 1 {
		t.Errorf("asked %d times about connections, %d times about certificates", len(states), certificates)
	}
	r.sendTicket()
	refuse = true
	r = r.resumeClient()
	r.tryBring(StateConnected)
	r.wantAlert(ReasonVerificationRejected, AlertBadCertificate)
}

// What a client does with a ticket.
func TestClientTickets(t *testing.T) {
	now := tlstest.Now
	for name, test := range map[string]struct {
		ticket  func(*wire.NewSessionTicket)
		later   time.Duration
		offered bool
	}{
		"good":            {nil, time.Hour, true},
		"lifetime over":   {nil, 2 * time.Hour, false},
		"unknown content": {func(m *wire.NewSessionTicket) { m.Extensions = tlstest.Extensions(0xfafa) }, 0, true},
		// "The value of zero indicates that the ticket should be discarded immediately."
		// (https://www.rfc-editor.org/rfc/rfc8446#section-4.6.1)
		"no lifetime": {func(m *wire.NewSessionTicket) { m.Lifetime = 0 }, 0, false},
		// "Clients MUST NOT cache tickets for longer than 7 days, regardless of the
		// ticket_lifetime, and MAY delete tickets earlier based on local policy."
		// (https://www.rfc-editor.org/rfc/rfc8446#section-4.6.1)
		"six days":   {func(m *wire.NewSessionTicket) { m.Lifetime = 1 << 31 }, 6 * 24 * time.Hour, true},
		"seven days": {func(m *wire.NewSessionTicket) { m.Lifetime = 1 << 31 }, 7 * 24 * time.Hour, false},
		// It cannot stand in a ClientHello with all the rest.
		"too long": {func(m *wire.NewSessionTicket) { m.Ticket = make([]byte, 1<<16-1) }, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			now = tlstest.Now
			r := newClientRig(t, cached, func(c *Config) {
				c.Time = func() time.Time { return now }
				c.EarlyData = true
			}).bring(StateConnected)
			if test.ticket == nil {
				r.sendTicket()
			} else {
				r.sendTicket(test.ticket)
			}
			kept := slices.Contains(r.events, EventSessionTicket)
			if want := name != "no lifetime"; kept != want {
				t.Errorf("EventSessionTicket: %v", kept)
			}
			now = now.Add(test.later)
			next := r.resumeClient().bring(StateWaitServerHello)
			if next.p.Hello.Has(wire.ExtPreSharedKey) != test.offered {
				t.Fatalf("offered: %v", !test.offered)
			}
			if !test.offered {
				if next.p.Hello.Has(wire.ExtEarlyData) || slices.Contains(next.events, EventEarlyWritable) {
					t.Error("offers early data without a session")
				}
				next.path = clientPath
			}
			if next.p.Hello.Has(wire.ExtEarlyData) {
				return // see TestEarlyDataRefused
			}
			next.wantConnected()
		})
	}
}

// A client without a cache asks for no tickets, and keeps no secret for them.
func TestNoCache(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"no cache": func(*Config) {},
		"disabled": func(c *Config) { cached(c); c.SessionTicketsDisabled = true },
	} {
		r := newClientRig(t, change).bring(StateConnected)
		if r.p.Hello.Has(wire.ExtPSKKeyExchangeModes) || r.p.Hello.Has(wire.ExtTicketRequest) {
			t.Errorf("%s: asks for tickets", name)
		}
		r.sendTicket()
		r.wantState(StateConnected)
		if r.m.conn.tickets() != nil || slices.Contains(r.events, EventSessionTicket) {
			t.Errorf("%s: keeps a ticket", name)
		}
	}
}

// The secret that tickets come from goes with the connection.
func TestTicketSecretWiped(t *testing.T) {
	for name, end := range map[string]func(*rig){
		"failure":      func(r *rig) { r.m.Reject(AlertAccessDenied) },
		"close_notify": func(r *rig) { r.p.SendAlert(1, 0); r.run() },
		"release":      func(r *rig) { r.m.Release() },
		"truncation":   func(r *rig) { r.m.EOF(); r.step(nil) },
	} {
		for _, r := range []*rig{newFullClient(t), newFullServer(t)} {
			secret := r.m.conn.tickets()
			if secret == nil || bytes.Count(secret.secret.Bytes(), []byte{0}) == 32 {
				t.Fatalf("%s: no secret", name)
			}
			end(r)
			if r.m.conn.tickets() != nil || bytes.Count(secret.secret.Bytes(), []byte{0}) != 32 {
				t.Errorf("%s: the secret stays", name)
			}
		}
	}
}

// A cache that panics ends the connection, not the program.
func TestCachePanics(t *testing.T) {
	r := newClientRig(t, func(c *Config) { c.SessionCache = panicCache{take: true} })
	r.step(nil)
	r.wantAlert(ReasonCallbackPanicked, AlertInternalError)
	r = newClientRig(t, func(c *Config) { c.SessionCache = panicCache{} }).bring(StateConnected)
	r.sendTicket()
	r.wantAlert(ReasonCallbackPanicked, AlertInternalError)
}

type panicCache struct{ take bool }

func (panicCache) Put(string, []byte) { panic("put") }

func (c panicCache) Take(string) []byte {
	if c.take {
		panic("take")
	}
	return nil
}

// A server resumes, also behind a HelloRetryRequest, in each way to keep sessions.
func TestServerResumes(t *testing.T) {
	store := NewSessionStore(0)
	for name, change := range map[string]func(*Config){
		"keys":        func(*Config) {},
		"store":       func(c *Config) { c.SessionStore = store },
		"application": func(c *Config) { c.SealTicket, c.OpenTicket = sameTicket, sameTicket },
	} {
		for _, retry := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				first := newFullServer(t, change, func(c *Config) {
					c.TicketData = func(cs tls.ConnectionState) []byte { return []byte("for " + cs.ServerName) }
				})
				if first.m.TicketData() != nil {
					t.Error("TicketData in a full handshake")
				}
				if len(first.p.Tickets) != defaultTicketCount {
					t.Errorf("%d tickets", len(first.p.Tickets))
				}
				for range 3 {
					next := first.resumeServer()
					if retry {
						next.bring(StateWaitClientHelloRetry)
						next.p.Shares = nil
					}
					next.wantConnected()
					state := next.m.ConnectionState()
					if !state.DidResume || state.ServerName != "localhost" || string(next.m.TicketData()) != "for localhost" {
						t.Errorf("resumed: %v, for %q, %q", state.DidResume, state.ServerName, next.m.TicketData())
					}
					if next.p.Message(wire.TypeCertificate) != nil || next.p.Message(wire.TypeCertificateVerify) != nil {
						t.Error("the server has shown a certificate")
					}
					// "When resuming a session, the server MUST NOT include a
					// server_name extension in the server hello." RFC 6066, Section 3.
					if ee := next.encryptedExtensions(); ee.Has(wire.ExtServerName) {
						t.Error("server_name in a resumption")
					}
					if ee := first.encryptedExtensions(); ee.Has(wire.ExtServerName) == first.m.conn.resumed {
						t.Error("server_name is not answered in a full handshake")
					}
					if len(next.p.Tickets) != 1 {
						t.Errorf("%d tickets after a resumption", len(next.p.Tickets))
					}
					first = next
				}
			})
		}
	}
}

// What a server does not resume, it serves in a full handshake.
func TestServerNotResumed(t *testing.T) {
	now := tlstest.Now
	for name, test := range map[string]struct {
		config func(*Config)
		peer   func(*tlstest.Peer)
		later  time.Duration
	}{
		"other settings": {config: func(c *Config) { c.ClientAuth = tls.RequestClientCert }},
		"other keys":     {config: func(c *Config) { c.TicketKeys = nil }},
		"disabled":       {config: func(c *Config) { c.SessionTicketsDisabled = true }},
		"expired":        {later: MaxSessionLifetime * time.Second},
		"other name":     {peer: func(p *tlstest.Peer) { p.ServerName = "example.com" }},
		"no name":        {peer: func(p *tlstest.Peer) { p.ServerName = "" }},
		"unknown":        {peer: func(p *tlstest.Peer) { p.PSKs[0] = unknownPSK(1) }},
		"behind too many": {peer: func(p *tlstest.Peer) {
			p.PSKs = []tlstest.PSK{unknownPSK(1), unknownPSK(2), unknownPSK(3), unknownPSK(4), p.PSKs[0]}
		}},
		// "Servers MUST NOT select a key exchange mode that is not listed by the client."
		// (https://www.rfc-editor.org/rfc/rfc8446#section-4.2.9)
		"psk_ke only": {peer: func(p *tlstest.Peer) {
			p.OnClientHello = func(m *wire.ClientHello) { m.PSKModes = []byte{0} }
		}},
	} {
		t.Run(name, func(t *testing.T) {
			now = tlstest.Now
			full := newFullServer(t, func(c *Config) { c.Time = func() time.Time { return now } })
			r := full.resumeServer(func(c *Config) {
				if test.config != nil {
					test.config(c)
				}
			})
			if test.peer != nil {
				test.peer(r.p)
			}
			now = now.Add(test.later)
			if r.m.cfg.ClientAuth != tls.NoClientCert {
				r.path = authServerPath
			}
			r.tryBring(r.path[0].to).wantState(r.path[0].to)
			if r.m.ConnectionState().DidResume || r.p.Message(wire.TypeCertificate) == nil {
				t.Error("resumed")
			}
		})
	}
	// The last of four is tried.
	r := newResumedServer(t)
	r.p.PSKs = []tlstest.PSK{unknownPSK(1), unknownPSK(2), unknownPSK(3), r.p.PSKs[0]}
	r.wantConnected()
	if !r.m.ConnectionState().DidResume || r.p.PSK != &r.p.PSKs[3] {
		t.Error("the fourth identity was not resumed")
	}
}

// However often a session is renewed, it ends with what the full handshake has proved.
func TestRenewalEnds(t *testing.T) {
	now := tlstest.Now
	r := newFullServer(t, func(c *Config) { c.Time = func() time.Time { return now } })
	for range 6 {
		now = now.Add(24 * time.Hour)
		r = r.resumeServer()
		r.wantConnected()
		if !r.m.ConnectionState().DidResume || len(r.p.Tickets) != 1 {
			t.Fatalf("at %v: %d tickets", now, len(r.p.Tickets))
		}
	}
	var last wire.NewSessionTicket
	if err := last.Parse(r.p.Message(wire.TypeNewSessionTicket)); err != nil || last.Lifetime != 24*3600 {
		t.Errorf("the last ticket lives for %d seconds, %v", last.Lifetime, err)
	}
	now = now.Add(24*time.Hour - 500*time.Millisecond)
	r = r.resumeServer()
	r.wantConnected()
	if !r.m.ConnectionState().DidResume || len(r.p.Tickets) != 0 {
		t.Errorf("half a second before the end: %d tickets", len(r.p.Tickets))
	}
	if err := r.m.SendTicket(); err != ErrNoTickets {
		t.Errorf("SendTicket: %v", err)
	}
}

// "Prior to accepting PSK key establishment, the server MUST validate the corresponding
// binder value (see Section 4.2.11.2 below). If this value is not present or does not
// validate, the server MUST abort the handshake."
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.2.11)
func TestBadBinder(t *testing.T) {
	for name, change := range map[string]func(*tlstest.Peer){
		"first byte": func(p *tlstest.Peer) { p.OnBinders = func(b [][]byte) { b[0][0] ^= 1 } },
		"last byte":  func(p *tlstest.Peer) { p.OnBinders = func(b [][]byte) { b[0][31] ^= 1 } },
		"too long":   func(p *tlstest.Peer) { p.OnBinders = func(b [][]byte) { b[0][31] ^= 128 } },
		"other key":  func(p *tlstest.Peer) { p.PSKs[0].Key = make([]byte, 32) },
		"external":   func(p *tlstest.Peer) { p.PSKs[0].External = true },
		"of another identity": func(p *tlstest.Peer) {
			p.PSKs = []tlstest.PSK{unknownPSK(1), p.PSKs[0]}
			p.OnBinders = func(b [][]byte) { b[1] = slices.Clone(b[0]) }
		},
	} {
		for _, retry := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				r := newResumedServer(t)
				if retry {
					r.bring(StateWaitClientHelloRetry)
					r.p.Shares = nil
				}
				change(r.p)
				r.send(r.p.ClientHello())
				r.wantAlert(ReasonBadBinder, AlertDecryptError)
			})
		}
	}
	// That of an identity that is not selected is nobody's business.
	r := newResumedServer(t)
	r.p.PSKs = []tlstest.PSK{unknownPSK(1), r.p.PSKs[0]}
	r.p.OnBinders = func(b [][]byte) { b[0][0] ^= 1 }
	r.wantConnected()
}

// What the first ClientHello has offered counts no longer when the second one drops it:
// "optionally removing any PSKs which are incompatible with the server's indicated cipher
// suite." (https://www.rfc-editor.org/rfc/rfc8446#section-4.1.2)
func TestPreSharedKeysDropped(t *testing.T) {
	r := newResumedServer(t)
	r.bring(StateWaitClientHelloRetry)
	r.p.Shares, r.p.PSKs = nil, nil
	wantTickets(r.p) // psk_key_exchange_modes stays
	r.wantConnected()
	if r.m.ConnectionState().DidResume || r.p.Message(wire.TypeCertificate) == nil {
		t.Error("resumed with what the second ClientHello does not offer")
	}
}

// A session that only the second ClientHello offers is a change that it may not make.
//
// "Updating the "pre_shared_key" extension if present"
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.1.2)
func TestPreSharedKeysAdded(t *testing.T) {
	r := newResumedServer(t)
	late := r.p.PSKs
	r.p.PSKs = nil
	wantTickets(r.p)
	r.bring(StateWaitClientHelloRetry)
	r.p.Shares, r.p.PSKs = nil, late
	r.send(r.p.ClientHello())
	r.wantAlert(ReasonClientHelloChanged, AlertIllegalParameter)
}

// A binder is bound to all of the ClientHello before it, and to the first one.
func TestBinderCoversHello(t *testing.T) {
	r := newResumedServer(t)
	hello := r.p.ClientHello()
	hello[wire.HeaderLen+2+5] ^= 1 // of the random
	r.send(hello)
	r.wantAlert(ReasonBadBinder, AlertDecryptError)
}

// "Servers MUST check that it is the last extension and otherwise fail the handshake with an
// "illegal_parameter" alert." (https://www.rfc-editor.org/rfc/rfc8446#section-4.2.11)
func TestPreSharedKeyLast(t *testing.T) {
	r := newResumedServer(t)
	r.p.OnClientHello = func(m *wire.ClientHello) {
		m.Extensions = append(m.Extensions, wire.Extension{Type: 0xfafa, Data: []byte{}})
	}
	r.send(r.p.ClientHello())
	r.wantAlert(ReasonBadPreSharedKey, AlertIllegalParameter)
}

// With pre_shared_key a client may leave out signature_algorithms, until a certificate is
// needed.
//
// "If a server is authenticating via a certificate and the client has not sent a
// "signature_algorithms" extension, then the server MUST abort the handshake with a
// "missing_extension" alert (see Section 9.2)."
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.2.3)
func TestNoSignatureAlgorithms(t *testing.T) {
	without := func(m *wire.ClientHello) {
		m.Extensions = slices.DeleteFunc(m.Extensions, func(x wire.Extension) bool { return x.Type == wire.ExtSignatureAlgorithms })
	}
	r := newResumedServer(t)
	r.p.OnClientHello = without
	r.wantConnected()
	r = newResumedServer(t)
	r.p.PSKs[0] = unknownPSK(1)
	r.p.OnClientHello = without
	r.send(r.p.ClientHello())
	r.wantAlert(ReasonMissingExtension, AlertMissingExtension)
}
