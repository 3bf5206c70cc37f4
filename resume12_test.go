package tlscore

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"tlscore.example/tlscore/internal/record"
	"tlscore.example/tlscore/internal/tlstest"
	"tlscore.example/tlscore/internal/wire"
)

// Resumption and client certificates in TLS 1.2, between two machines and with
// crypto/tls.

// resumable are configs that resume in TLS 1.2, by session id if there is a store, else
// by ticket.
func resumable(stateful bool, change ...func(client, server *Config)) (client, server *Config) {
	return configs12(append([]func(client, server *Config){func(client, server *Config) {
		cached(client)
		client.NextProtos, server.NextProtos = []string{"a", "b"}, []string{"b", "a"}
		server.TicketData = func(cs tls.ConnectionState) []byte { return []byte("data of " + cs.ServerName) }
		if stateful {
			server.SessionStore = NewSessionStore(10)
		}
	}}, change...)...)
}

// The longest timestamps that a certificate can have go into a ServerHello with all that
// can stand beside them.
func TestLongTimestamps12(t *testing.T) {
	clientConfig, serverConfig := resumable(false, func(client, server *Config) {
		server.Certificates[0].SignedCertificateTimestamps = [][]byte{make([]byte, maxTimestamps-2-2)}
		server.Certificates[0].OCSPStaple = make([]byte, 100)
		client.OCSPStapling, client.SignedCertificateTimestamps = true, true
		client.RecordSizeLimit, server.RecordSizeLimit = 1000, 1000
		client.NextProtos = []string{strings.Repeat("a", 255)}
		server.NextProtos = client.NextProtos
	})
	client, server := newPair(t, clientConfig, serverConfig)
	talk(t, client, server, whole)
	scts := client.ConnectionState().SignedCertificateTimestamps
	if client.State() != StateConnected || len(scts) != 1 || len(scts[0]) != maxTimestamps-4 {
		t.Errorf("%v, %v: %d timestamps", client.State(), client.Err(), len(scts))
	}
}

// Who has seen a session id of TLS 1.2 cannot have the session taken out of the store by
// offering it to TLS 1.3 as a ticket.
func TestSessionIDAsTicket(t *testing.T) {
	clientConfig, serverConfig := resumable(true, func(_, server *Config) { server.MaxVersion = tls.VersionTLS13 })
	connectSides(t, clientConfig, serverConfig, whole)
	kept := clientConfig.SessionCache.Take(machineOf(t, false, clientConfig).d.cacheKey)
	session, err := ParseSession(kept)
	if err != nil || len(session.SessionID) != storedIDLen {
		t.Fatalf("%v, %v", session, err)
	}
	clientConfig.SessionCache.Put(machineOf(t, false, clientConfig).d.cacheKey, kept)

	thief := serverRigOf(t, serverConfig)
	thief.p.OnClientHello = func(m *wire.ClientHello) {
		m.PSKModes = []byte{pskDHE}
		m.PSKIdentities, m.PSKBinders = []wire.PSKIdentity{{Identity: session.SessionID}}, [][]byte{make([]byte, 32)}
		m.Extensions = append(m.Extensions, tlstest.Extensions(wire.ExtPSKKeyExchangeModes, wire.ExtPreSharedKey)...)
	}
	thief.bring(StateConnected)
	c, _ := connectSides(t, clientConfig, serverConfig, whole)
	if !c.m.ConnectionState().DidResume {
		t.Error("the session is gone")
	}
}

// newTicketClient12 is a client whose server has announced a ticket.
func newTicketClient12(t *testing.T, change ...func(*Config)) *rig {
	t.Helper()
	r := newClientRig12(t, append([]func(*Config){cached}, change...)...)
	r.p.AskTicket = true
	r.path = slices.Concat(clientPath12[:4], []pathStep{
		{StateWaitNewSessionTicket, clientPath12[4].do},
		{StateWaitServerChangeCipherSpec, func(r *rig) { r.send(r.p.NewSessionTicket()) }},
	}, clientPath12[5:])
	return r
}

// askedClient12 is a client with a certificate whose server asks for one, with a kind of
// task lifted out.
func askedClient12(t *testing.T, kind TaskKind) *rig {
	t.Helper()
	r := newClientRig12(t, withCertificate, func(c *Config) { c.Tasks = Tasks(kind) }).bring(StateWaitServerHelloDone)
	return r.tryBring(StateWaitServerChangeCipherSpec)
}

var authServerPath12 = []pathStep{
	{StateWaitClientCertificate, func(r *rig) { r.send(r.p.ClientHello()) }},
	{StateWaitClientKeyExchange, func(r *rig) { r.send(r.p.CertificateMessage()) }},
	{StateWaitClientCertificateVerify, func(r *rig) { r.send(r.p.ClientKeyExchange()) }},
	{StateWaitClientChangeCipherSpec, func(r *rig) { r.send(r.p.CertificateVerify()) }},
	{StateWaitClientFinished, func(r *rig) { r.p.SendCCS(); r.run() }},
	{StateConnected, func(r *rig) { r.send(r.p.Finished()) }},
}

// newAuthServer12 is a server that wants a client's certificate, and a peer that has one.
func newAuthServer12(t *testing.T, change ...func(*Config)) *rig {
	t.Helper()
	r := newServerRig12(t, append([]func(*Config){requireClient}, change...)...)
	r.p.Certificate, r.path = clientCertificateOf(), authServerPath12
	return r
}

// newResumedServer12 is a server whose client offers a ticket of it.
func newResumedServer12(t *testing.T, change ...func(*Config)) *rig {
	t.Helper()
	full := newServerRig12(t)
	full.p.AskTicket = true
	full.bring(StateConnected)
	if len(full.p.Sessions) == 0 {
		t.Fatal("the server has sent no ticket")
	}
	keys := full.m.d.ticketKeys
	r := newServerRig12(t, append([]func(*Config){func(c *Config) { c.TicketKeys = keys }}, change...)...)
	r.p.Resume, r.p.AskTicket = &full.p.Sessions[0], true
	r.path = []pathStep{
		{StateWaitClientChangeCipherSpec, func(r *rig) { r.send(r.p.ClientHello()) }},
		{StateWaitClientFinished, func(r *rig) { r.p.SendCCS(); r.run() }},
		{StateConnected, func(r *rig) { r.send(r.p.Finished()) }},
	}
	return r
}

// walkPairs12 leads pairs of machines through what resumption and authentication add to
// the tables.
func walkPairs12(t *testing.T, edges map[edge]bool) {
	meet := func(clientConfig, serverConfig *Config) {
		client, server := newPair(t, clientConfig, serverConfig)
		watch(client, edges)
		watch(server, edges)
		talk(t, client, server, whole)
		if client.State() != StateConnected || server.State() != StateConnected {
			t.Errorf("%v and %v: %v, %v", client.State(), server.State(), client.Err(), server.Err())
		}
	}
	for _, stateful := range []bool{false, true} {
		for _, authenticates := range []bool{false, true} {
			now := tlstest.Now
			clientConfig, serverConfig := resumable(stateful, func(client, server *Config) {
				client.Time = func() time.Time { return now }
				server.Time = client.Time
				server.ClientAuth = tls.RequestClientCert
				if authenticates {
					withCertificate(client)
				}
			})
			meet(clientConfig, serverConfig)
			meet(clientConfig, serverConfig)
			now = now.Add(100 * time.Hour) // the ticket is renewed
			meet(clientConfig, serverConfig)
			_, stranger := resumable(stateful)
			meet(clientConfig, stranger)
		}
	}
}

// The rigs and the peer of TLS 1.2 go all the way.
func TestPaths12(t *testing.T) {
	newTicketClient12(t).wantConnected()
	newAuthServer12(t).wantConnected()
	// A ticket is renewed when half of its life is over.
	for age, tickets := range map[time.Duration]int{0: 0, 83 * time.Hour: 0, 84 * time.Hour: 1} {
		r := newResumedServer12(t, func(c *Config) { c.Time = func() time.Time { return tlstest.Now.Add(age) } })
		r.wantConnected()
		if !r.m.ConnectionState().DidResume || !r.p.Resumed || len(r.p.Sessions) != tickets {
			t.Errorf("after %v: resumed %v and %v, %d tickets", age, r.m.ConnectionState().DidResume, r.p.Resumed, len(r.p.Sessions))
		}
	}
}

func TestResume12(t *testing.T) {
	for _, stateful := range []bool{false, true} {
		for _, suite := range suitesOf(tls.VersionTLS12) {
			clientConfig, serverConfig := resumable(stateful, func(client, server *Config) {
				client.CipherSuites = []uint16{uint16(suite.id)}
				key := tlstest.ECDSAP256
				if suite.rsa {
					key = tlstest.RSA2048
				}
				server.Certificates = []tls.Certificate{tlstest.Certificate(tlstest.Leaf{Key: key})}
			})
			for i, size := range []int{1 << 20, 1, 7, 1 << 20} {
				c, s := connectSides(t, clientConfig, serverConfig, size)
				resumed := i > 0
				want := []EventKind{EventWritable, EventHandshakeDone, EventSessionTicket}
				if resumed {
					want = want[:2] // the session is the same
				}
				if !slices.Equal(c.events, want) || !slices.Equal(s.events, want[:2]) {
					t.Fatalf("%s, connection %d: events %v and %v", suite.id, i, c.events, s.events)
				}
				ccs, scs := c.m.ConnectionState(), s.m.ConnectionState()
				for _, cs := range []tls.ConnectionState{ccs, scs} {
					if cs.DidResume != resumed || cs.CipherSuite != uint16(suite.id) || cs.CurveID != tls.X25519 || cs.Version != tls.VersionTLS12 ||
						cs.NegotiatedProtocol != "b" || cs.ServerName != "localhost" {
						t.Errorf("%s, connection %d: %+v", suite.id, i, cs)
					}
				}
				if len(ccs.PeerCertificates) != 1 || len(ccs.VerifiedChains) != 1 {
					t.Errorf("%s, connection %d: %d certificates, %d chains", suite.id, i, len(ccs.PeerCertificates), len(ccs.VerifiedChains))
				}
				if data := s.m.TicketData(); resumed && string(data) != "data of localhost" || !resumed && data != nil {
					t.Errorf("ticket data %q", data)
				}
				ours, err := c.m.ExportKeyingMaterial("EXPERIMENTAL test", nil, 32)
				theirs, err2 := s.m.ExportKeyingMaterial("EXPERIMENTAL test", nil, 32)
				if err != nil || err2 != nil || !bytes.Equal(ours, theirs) {
					t.Errorf("exported %x and %x: %v, %v", ours, theirs, err, err2)
				}
				testTalk12(t, c.m, s.m, size)
			}
		}
	}
}

// A session is not resumed when one of the sides has changed its mind, and the
// handshake is a full one.
func TestNotResumed12(t *testing.T) {
	later := func(c *Config, d time.Duration) {
		c.Time = func() time.Time { return tlstest.Now.Add(d) }
	}
	for name, change := range map[string]func(client, server *Config){
		"another suite": func(client, _ *Config) {
			client.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}
		},
		"server: no suite":    func(_, server *Config) { server.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384} },
		"another server name": func(client, _ *Config) { client.ServerName = "127.0.0.1"; client.InsecureSkipVerify = true },
		"other protocols":     func(_, server *Config) { server.NextProtos = []string{"a"} },
		"other keys":          func(_, server *Config) { server.TicketKeys, server.SessionStore = nil, nil },
		"client: expired":     func(client, _ *Config) { later(client, 8*24*time.Hour) },
		"server: expired":     func(_, server *Config) { later(server, 8*24*time.Hour) },
		"client: disabled":    func(client, _ *Config) { client.SessionTicketsDisabled = true },
		"server: disabled":    func(_, server *Config) { server.SessionTicketsDisabled = true },
		"TLS 1.3":             func(client, server *Config) { client.MaxVersion, server.MaxVersion = 0, 0 },
	} {
		for _, stateful := range []bool{false, true} {
			clientConfig, serverConfig := resumable(stateful, func(_, server *Config) {
				if !stateful {
					server.TicketKeys, _ = NewRandomTicketKeys(time.Hour)
				}
			})
			connectSides(t, clientConfig, serverConfig, whole)
			clientConfig, serverConfig = clientConfig.Clone(), serverConfig.Clone()
			change(clientConfig, serverConfig)
			c, s := connectSides(t, clientConfig, serverConfig, whole)
			if c.m.ConnectionState().DidResume || s.m.ConnectionState().DidResume {
				t.Errorf("%s (stateful %v): resumed", name, stateful)
			}
			if want := serverConfig.MaxVersion; want != 0 && c.m.ConnectionState().Version != want {
				t.Errorf("%s: version %#x", name, c.m.ConnectionState().Version)
			}
		}
	}
}

// A client of both versions resumes what it has, in whatever version that is.
func TestResumeEitherVersion(t *testing.T) {
	clientConfig, serverConfig := resumable(false)
	clientConfig.MaxVersion = 0
	for i := range 3 {
		c, _ := connectSides(t, clientConfig, serverConfig, whole)
		if cs := c.m.ConnectionState(); cs.DidResume != (i > 0) || cs.Version != tls.VersionTLS12 {
			t.Errorf("connection %d: resumed %v, version %#x", i, cs.DidResume, cs.Version)
		}
	}
	// The server has learned TLS 1.3.
	better := serverConfig.Clone()
	better.MaxVersion = 0
	for i := range 3 {
		c, _ := connectSides(t, clientConfig, better, whole)
		if cs := c.m.ConnectionState(); cs.DidResume != (i > 0) || cs.Version != tls.VersionTLS13 {
			t.Errorf("connection %d of TLS 1.3: resumed %v, version %#x", i, cs.DidResume, cs.Version)
		}
	}
}

// The time of the full handshake stays with a session, however often it is renewed.
func TestRenewal12(t *testing.T) {
	clientConfig, serverConfig := resumable(false)
	now := tlstest.Now
	for _, c := range []*Config{clientConfig, serverConfig} {
		c.Time = func() time.Time { return now }
	}
	for i, want := range []bool{false, true, true, false} {
		c, _ := connectSides(t, clientConfig, serverConfig, whole)
		if got := c.m.ConnectionState().DidResume; got != want {
			t.Errorf("connection %d: resumed %v", i, got)
		}
		now = now.Add(60 * time.Hour)
	}
}

// A session that failed is not offered again: it was taken out of the cache.
func TestFailureForgets12(t *testing.T) {
	clientConfig, serverConfig := resumable(false)
	connectSides(t, clientConfig, serverConfig, whole)
	client, server := newPair(t, clientConfig, serverConfig)
	client.Step(nil)
	server.Reject(AlertInternalError)
	talk(t, client, server, whole)
	if client.State() != StateFailed {
		t.Fatalf("state %v", client.State())
	}
	c, _ := connectSides(t, clientConfig, serverConfig, whole)
	if c.m.ConnectionState().DidResume {
		t.Error("resumed")
	}
}

func TestResume12Standard(t *testing.T) {
	clientConfig, serverConfig := resumable(false)
	standardClient := &tls.Config{
		Time: tlstest.Clock, RootCAs: tlstest.Roots(), ServerName: "localhost", MaxVersion: tls.VersionTLS12,
		ClientSessionCache: tls.NewLRUClientSessionCache(10), NextProtos: []string{"b"},
	}
	standardServer := &tls.Config{Time: tlstest.Clock, Certificates: serverConfig.Certificates, MaxVersion: tls.VersionTLS12, NextProtos: []string{"b"}}
	for i := range 4 {
		client, server := newPair(t, clientConfig, serverConfig)
		cs, err := runStandard(t, server, func(conn net.Conn) *tls.Conn { return tls.Client(conn, standardClient) }, 100)
		if err != nil || cs.DidResume != (i > 0) || server.ConnectionState().DidResume != (i > 0) {
			t.Errorf("their client, connection %d: %v, resumed %v and %v", i, err, cs.DidResume, server.ConnectionState().DidResume)
		}
		cs, err = runStandard(t, client, func(conn net.Conn) *tls.Conn { return tls.Server(conn, standardServer) }, 100)
		if err != nil || cs.DidResume != (i > 0) || client.ConnectionState().DidResume != (i > 0) {
			t.Errorf("their server, connection %d: %v, resumed %v and %v", i, err, cs.DidResume, client.ConnectionState().DidResume)
		}
	}
}

// A ticket with which a ClientHello would be too long is not offered.
func TestLongTicket12(t *testing.T) {
	for _, n := range []int{1000, 1<<16 - 1} {
		clientConfig, serverConfig := resumable(false, func(_, server *Config) {
			var kept []byte
			server.SealTicket = func(b []byte) ([]byte, error) {
				kept = bytes.Clone(b)
				return make([]byte, n), nil
			}
			server.OpenTicket = func([]byte) ([]byte, error) { return bytes.Clone(kept), nil }
		})
		connectSides(t, clientConfig, serverConfig, whole)
		c, _ := connectSides(t, clientConfig, serverConfig, whole)
		if got := c.m.ConnectionState().DidResume; got != (n == 1000) {
			t.Errorf("a ticket of %d bytes: resumed %v", n, got)
		}
	}
}

func TestClientAuth12(t *testing.T) {
	roots := tlstest.Roots()
	for auth := tls.NoClientCert; auth <= tls.RequireAndVerifyClientCert; auth++ {
		for key := tlstest.KeyKind(-1); key < tlstest.NumKeyKinds; key++ {
			clientConfig, serverConfig := configs12(func(client, server *Config) {
				server.ClientAuth, server.ClientCAs = auth, roots
				if key >= 0 {
					client.Certificates = []tls.Certificate{tlstest.ClientCertificate(key)}
				}
				cached(client)
			})
			client, server := newPair(t, clientConfig, serverConfig)
			talk(t, client, server, whole)
			if key < 0 && serverConfig.requiresClientCert() {
				wantReason(t, server, ReasonNoClientCertificate)
				continue
			}
			for i := range 2 {
				c, s := connectSides(t, clientConfig, serverConfig, 1+i<<20)
				cs := s.m.ConnectionState()
				shown, verified := key >= 0 && auth != tls.NoClientCert, key >= 0 && auth >= tls.VerifyClientCertIfGiven
				if (len(cs.PeerCertificates) > 0) != shown || (len(cs.VerifiedChains) > 0) != verified || !cs.DidResume {
					t.Errorf("%v, key %d: %d certificates, %d chains, resumed %v", auth, key, len(cs.PeerCertificates), len(cs.VerifiedChains), cs.DidResume)
				}
				testTalk12(t, c.m, s.m, 1<<20)
			}
			standard := &tls.Config{
				Time: tlstest.Clock, Certificates: serverConfig.Certificates, MaxVersion: tls.VersionTLS12, ClientAuth: auth, ClientCAs: roots,
			}
			client, server = newPair(t, clientConfig, serverConfig)
			cs, err := runStandard(t, client, func(conn net.Conn) *tls.Conn { return tls.Server(conn, standard) }, 1000)
			if err != nil || (len(cs.PeerCertificates) > 0) != (key >= 0 && auth != tls.NoClientCert) {
				t.Errorf("%v, key %d, their server: %v, %d certificates", auth, key, err, len(cs.PeerCertificates))
			}
			standard = &tls.Config{
				Time: tlstest.Clock, Certificates: clientConfig.Certificates, MaxVersion: tls.VersionTLS12, RootCAs: roots, ServerName: "localhost",
			}
			_, err = runStandard(t, server, func(conn net.Conn) *tls.Conn { return tls.Client(conn, standard) }, 1000)
			if cs := server.ConnectionState(); err != nil || (len(cs.PeerCertificates) > 0) != (key >= 0 && auth != tls.NoClientCert) {
				t.Errorf("%v, key %d, their client: %v, %d certificates", auth, key, err, len(cs.PeerCertificates))
			}
		}
	}
}

// An OCSP response and timestamps come with the certificate, to a client that asks.
func TestStaples12(t *testing.T) {
	for _, asks := range []bool{false, true} {
		var judged []byte
		clientConfig, serverConfig := resumable(false, func(client, server *Config) {
			server.Certificates[0].OCSPStaple = []byte("response")
			server.Certificates[0].SignedCertificateTimestamps = [][]byte{[]byte("one"), []byte("two")}
			client.OCSPStapling, client.SignedCertificateTimestamps = asks, asks
		})
		if asks {
			clientConfig.VerifyOCSPResponse = func(response []byte, _ [][]*x509.Certificate) error {
				judged = bytes.Clone(response)
				return nil
			}
		}
		for range 2 {
			c, _ := connectSides(t, clientConfig, serverConfig, whole)
			cs := c.m.ConnectionState()
			if (string(cs.OCSPResponse) == "response") != asks || (len(cs.SignedCertificateTimestamps) == 2) != asks || (string(judged) == "response") != asks {
				t.Errorf("asked %v: %q, %q, judged %q, resumed %v", asks, cs.OCSPResponse, cs.SignedCertificateTimestamps, judged, cs.DidResume)
			}
		}
	}
}

// The secrets of a handshake of TLS 1.2 are cleared where they stand, however it ends; what
// keying material is exported from, when the connection fails or is released.
func TestSecretsWiped12(t *testing.T) {
	rigs := map[string]func() *rig{
		"client":          func() *rig { return newClientRig12(t).bring(StateWaitServerChangeCipherSpec) },
		"server":          func() *rig { return newServerRig12(t).bring(StateWaitClientChangeCipherSpec) },
		"resuming client": func() *rig { return newResumedClient12(t).bring(StateWaitServerChangeCipherSpec) },
		"resuming server": func() *rig { return newResumedServer12(t).bring(StateWaitClientChangeCipherSpec) },
	}
	ends := map[string]func(*rig){
		"complete": func(r *rig) { r.bring(StateConnected) },
		"rejected": func(r *rig) { r.m.Reject(AlertAccessDenied) },
		"released": func(r *rig) { r.m.Release() },
		"lost":     func(r *rig) { r.m.EOF(); r.run() },
	}
	for name, start := range rigs {
		for how, end := range ends {
			r := start()
			h := r.m.handshakeState()
			secrets := map[string][]byte{"master secret": h.tls12.master.Bytes()}
			if h.resumed != nil {
				secrets["session"] = h.resumed.Secret
			}
			keys := []*record.Protection{&h.tls12.ownKey, &h.tls12.peerKey}
			exporter := r.m.conn.exporter12()
			end(r)
			for what, secret := range secrets {
				if len(secret) == 0 || len(bytes.Trim(secret, "\x00")) > 0 {
					t.Errorf("%s, %s: the %s is left", name, how, what)
				}
			}
			_, err := exporter.Export("label", nil, 10)
			if complete := how == "complete"; complete != (err == nil) || complete != (r.m.conn.exporter12() != nil) {
				t.Errorf("%s, %s: the exporter says %v", name, how, err)
			}
			for _, key := range keys {
				if how != "complete" && key.Remaining() > 0 {
					t.Errorf("%s, %s: a key is left", name, how)
				}
			}
		}
	}
}
