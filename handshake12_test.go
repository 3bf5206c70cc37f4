package tlscore

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"testing"

	"tlscore.example/tlscore/internal/tlstest"
)

// TLS 1.2 between two machines, and between a machine and crypto/tls. What a
// misbehaving peer does is elsewhere.

// combination is what a handshake of TLS 1.2 can be made of.
type combination struct {
	suite *cipherSuite
	key   tlstest.KeyKind
	group tls.CurveID
}

func (c combination) String() string {
	return fmt.Sprintf("%s key %d %s", c.suite.id, c.key, c.group)
}

func (c combination) restrict(cfg *Config) {
	cfg.CipherSuites = []uint16{uint16(c.suite.id)}
	cfg.CurvePreferences = []tls.CurveID{c.group}
	// The curve of the certificate has to be one that is offered.
	if c.key <= tlstest.ECDSAP521 {
		curve := []tls.CurveID{tls.CurveP256, tls.CurveP384, tls.CurveP521}[c.key]
		if curve != c.group {
			cfg.CurvePreferences = append(cfg.CurvePreferences, curve)
		}
	}
}

// combinations12 are all of them.
func combinations12() (all []combination) {
	for _, suite := range suitesOf(tls.VersionTLS12) {
		for key := range tlstest.NumKeyKinds {
			if suite.rsa != (key == tlstest.RSA2048) {
				continue
			}
			for _, group := range []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521} {
				all = append(all, combination{suite, key, group})
			}
		}
	}
	return all
}

// wantState checks what was negotiated.
func (c combination) wantState(t *testing.T, who string, cs tls.ConnectionState) {
	t.Helper()
	if cs.Version != tls.VersionTLS12 || !cs.HandshakeComplete || cs.DidResume ||
		cs.CipherSuite != uint16(c.suite.id) || cs.CurveID != c.group || cs.ServerName != "localhost" ||
		cs.NegotiatedProtocol != "b" {
		t.Errorf("%v: the %s has %+v", c, who, cs)
	}
	//lint:ignore SA1019 there are still those who look at it
	if !cs.NegotiatedProtocolIsMutual {
		t.Errorf("%v: the %s has no mutual protocol", c, who)
	}
}

func TestHandshake12Machines(t *testing.T) {
	for _, c := range combinations12() {
		clientConfig, serverConfig := configs12(func(client, server *Config) {
			c.restrict(client)
			c.restrict(server)
			server.Certificates = []tls.Certificate{tlstest.Certificate(tlstest.Leaf{Key: c.key})}
			client.NextProtos, server.NextProtos = []string{"a", "b"}, []string{"b", "c"}
		})
		for _, size := range []int{1 << 20, 1} {
			client, server := newPair(t, clientConfig, serverConfig)
			cs, ss := talk(t, client, server, size)
			for _, e := range []*side{cs, ss} {
				if want := []EventKind{EventWritable, EventHandshakeDone}; !slices.Equal(e.events, want) || e.m.State() != StateConnected {
					t.Fatalf("%v: events %v, state %v, error %v", c, e.events, e.m.State(), e.m.Err())
				}
			}
			c.wantState(t, "client", client.ConnectionState())
			c.wantState(t, "server", server.ConnectionState())
			if cs := client.ConnectionState(); len(cs.VerifiedChains) != 1 || len(cs.PeerCertificates) != 1 {
				t.Errorf("%v: the client has %d chains, %d certificates", c, len(cs.VerifiedChains), len(cs.PeerCertificates))
			}
			testTalk12(t, client, server, size)
		}
	}
}

// testTalk12 sends data both ways, then closes both directions one after the other.
func testTalk12(t *testing.T, client, server *Machine, size int) {
	t.Helper()
	up, down := pattern13(40000), pattern13(17)
	write := func(m *Machine, data []byte) {
		if n, err := m.Write(data); n != len(data) || err != nil {
			t.Fatalf("wrote %d of %d: %v", n, len(data), err)
		}
	}
	write(client, up)
	write(server, down)
	client.CloseWrite()
	cs, ss := talk(t, client, server, size)
	if !bytes.Equal(ss.data, up) || !bytes.Equal(cs.data, down) || server.State() != StateClosed || client.State() != StateConnected {
		t.Fatalf("%d and %d bytes, %v and %v", len(ss.data), len(cs.data), client.State(), server.State())
	}
	// The direction that is still open.
	write(server, down)
	server.CloseWrite()
	cs, _ = talk(t, client, server, size)
	if !bytes.Equal(cs.data, down) || client.State() != StateClosed || client.Err() != nil || server.Err() != nil {
		t.Fatalf("%d bytes, %v: %v, %v", len(cs.data), client.State(), client.Err(), server.Err())
	}
}

func TestHandshake12Standard(t *testing.T) {
	for _, c := range combinations12() {
		clientConfig, serverConfig := configs12(func(client, server *Config) {
			c.restrict(client)
			c.restrict(server)
			server.Certificates = []tls.Certificate{tlstest.Certificate(tlstest.Leaf{Key: c.key})}
			client.NextProtos, server.NextProtos = []string{"a", "b"}, []string{"b", "c"}
		})
		standard := &tls.Config{
			Time:             tlstest.Clock,
			RootCAs:          clientConfig.RootCAs,
			ServerName:       "localhost",
			Certificates:     serverConfig.Certificates,
			MaxVersion:       tls.VersionTLS12,
			CipherSuites:     clientConfig.CipherSuites,
			CurvePreferences: clientConfig.CurvePreferences,
			NextProtos:       []string{"b"},
		}
		piece := 1 + len(c.String())%3*700
		t.Run(c.String(), func(t *testing.T) {
			client, server := newPair(t, clientConfig, serverConfig)
			theirs, err := runStandard(t, server, func(conn net.Conn) *tls.Conn { return tls.Client(conn, standard) }, piece)
			if err != nil {
				t.Errorf("the server with their client: %v", err)
			}
			c.wantState(t, "server", server.ConnectionState())
			c.wantState(t, "client of crypto/tls", theirs)

			c := c
			theirs, err = runStandard(t, client, func(conn net.Conn) *tls.Conn { return tls.Server(conn, standard) }, piece)
			if err != nil {
				t.Errorf("the client with their server: %v", err)
			}
			c.group = theirs.CurveID // their preference is not that of their list
			c.wantState(t, "client", client.ConnectionState())
			c.wantState(t, "server of crypto/tls", theirs)
		})
	}
}

// Both sides speak both versions, or one of them.
func TestVersions(t *testing.T) {
	const v12, v13 = tls.VersionTLS12, tls.VersionTLS13
	for _, tt := range []struct {
		clientMin, clientMax, serverMin, serverMax uint16
		want                                       uint16 // 0: the server refuses
	}{
		{0, 0, 0, 0, v13},
		{v12, v13, v13, v13, v13},
		{v12, v13, v12, v12, v12},
		{v12, v12, v12, v13, v12},
		{v13, v13, v12, v13, v13},
		{v12, v12, v12, v12, v12},
		{v12, v12, v13, v13, 0},
		{v13, v13, v12, v12, 0},
	} {
		clientConfig, serverConfig := testClientConfig(), testServerConfig()
		clientConfig.MinVersion, clientConfig.MaxVersion = tt.clientMin, tt.clientMax
		serverConfig.MinVersion, serverConfig.MaxVersion = tt.serverMin, tt.serverMax
		client, server := newPair(t, clientConfig, serverConfig)
		talk(t, client, server, whole)
		if tt.want == 0 {
			wantReason(t, server, ReasonUnsupportedVersion)
			continue
		}
		if client.State() != StateConnected || server.State() != StateConnected ||
			client.ConnectionState().Version != tt.want || server.ConnectionState().Version != tt.want {
			t.Errorf("%+v: %v and %v, %v and %v", tt, client.State(), server.State(), client.Err(), server.Err())
		}

		standard := &tls.Config{
			Time: tlstest.Clock, RootCAs: clientConfig.RootCAs, ServerName: "localhost",
			MinVersion: tt.clientMin, MaxVersion: tt.clientMax,
		}
		client, server = newPair(t, clientConfig, serverConfig)
		cs, err := runStandard(t, server, func(conn net.Conn) *tls.Conn { return tls.Client(conn, standard) }, 100)
		if err != nil || cs.Version != tt.want || server.ConnectionState().Version != tt.want {
			t.Errorf("%+v, their client: %v, %#x", tt, err, cs.Version)
		}
		standard = &tls.Config{
			Time: tlstest.Clock, Certificates: serverConfig.Certificates,
			MinVersion: tt.serverMin, MaxVersion: tt.serverMax, SessionTicketsDisabled: true,
		}
		cs, err = runStandard(t, client, func(conn net.Conn) *tls.Conn { return tls.Server(conn, standard) }, 100)
		if err != nil || cs.Version != tt.want || client.ConnectionState().Version != tt.want {
			t.Errorf("%+v, their server: %v, %#x", tt, err, cs.Version)
		}
	}
}

func wantReason(t *testing.T, m *Machine, want Reason) {
	t.Helper()
	if err, ok := m.Err().(*ProtocolError); !ok || err.Reason != want {
		t.Errorf("the error is %v, not %v", m.Err(), want)
	}
}

// A client that lowers its version and says so is refused by a server that can do
// better, and by no other. RFC 7507, Section 3.
func TestFallbackSCSV(t *testing.T) {
	for _, tt := range []struct {
		client, server uint16 // the best version of each
		refused        bool
	}{
		{tls.VersionTLS12, tls.VersionTLS13, true},
		{tls.VersionTLS12, tls.VersionTLS12, false},
		{tls.VersionTLS13, tls.VersionTLS13, false},
		{tls.VersionTLS13, tls.VersionTLS12, false},
	} {
		clientConfig, serverConfig := configs12(func(client, server *Config) {
			client.MaxVersion, server.MaxVersion = tt.client, tt.server
			client.FallbackSCSV = true
		})
		client, server := newPair(t, clientConfig, serverConfig)
		talk(t, client, server, whole)
		if !tt.refused {
			if client.State() != StateConnected || server.State() != StateConnected {
				t.Errorf("%+v: %v, %v", tt, client.Err(), server.Err())
			}
			continue
		}
		wantReason(t, server, ReasonInappropriateFallback)
		if err, ok := client.Err().(*RemoteAlert); !ok || err.Alert != AlertInappropriateFallback {
			t.Errorf("%+v: the client has %v", tt, client.Err())
		}
		standard := &tls.Config{Time: tlstest.Clock, Certificates: serverConfig.Certificates}
		client, _ = newPair(t, clientConfig, serverConfig)
		if _, err := runStandard(t, client, func(conn net.Conn) *tls.Conn { return tls.Server(conn, standard) }, 100); err == nil {
			t.Error("crypto/tls accepts the fallback")
		}
		if err, ok := client.Err().(*RemoteAlert); !ok || err.Alert != AlertInappropriateFallback {
			t.Errorf("crypto/tls: the client has %v", client.Err())
		}
	}
}

// The server finds a cipher suite that suits its certificate, and the other way
// round.
func TestSuiteAndCertificate12(t *testing.T) {
	ecdsa, rsa := tlstest.Certificate(tlstest.Leaf{}), tlstest.Certificate(tlstest.Leaf{Key: tlstest.RSA2048})
	for _, tt := range []struct {
		certs []tls.Certificate
		suite []uint16
		want  uint16 // 0: no cipher suite in common
	}{
		{[]tls.Certificate{ecdsa}, nil, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
		{[]tls.Certificate{rsa}, nil, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256},
		{[]tls.Certificate{rsa, ecdsa}, nil, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256},
		{[]tls.Certificate{rsa, ecdsa}, []uint16{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256},
		{[]tls.Certificate{rsa}, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}, 0},
		{[]tls.Certificate{ecdsa}, []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}, 0},
	} {
		clientConfig, serverConfig := configs12(func(client, server *Config) {
			server.Certificates = tt.certs
			client.CipherSuites = tt.suite
		})
		client, server := newPair(t, clientConfig, serverConfig)
		talk(t, client, server, whole)
		if tt.want == 0 {
			wantReason(t, server, ReasonNoCommonCipherSuite)
		} else if got := client.ConnectionState().CipherSuite; got != tt.want || client.State() != StateConnected {
			t.Errorf("%d certificates, %v: %s, %v", len(tt.certs), tt.suite, tls.CipherSuiteName(got), client.Err())
		}
	}
}

// KeyUpdate does not exist, and when a key is used up writing ends with an error
// that says so, after the bytes that Write took.
func TestKeysExhausted12(t *testing.T) {
	clientConfig, serverConfig := configs12(func(client, server *Config) { client.Limits.KeyRecords = 5 })
	for _, appendTo := range []bool{false, true} {
		client, server := newPair(t, clientConfig, serverConfig)
		talk(t, client, server, whole)
		if err := client.KeyUpdate(true); err != ErrVersion {
			t.Errorf("KeyUpdate: %v", err)
		}
		var sent, moved []byte
		var err error
		for range 10 {
			n, data := 0, []byte("data")
			if appendTo {
				moved, n, err = client.AppendSealed(slices.Grow(moved, client.SealedLen(len(data))), data)
			} else {
				n, err = client.Write(data)
			}
			sent = append(sent, data[:n]...)
			if err != nil {
				break
			}
		}
		// Finished and the alert are records too.
		if local, ok := err.(*LocalError); !ok || local.Reason != ReasonKeysExhausted || len(sent) != 3*4 {
			t.Errorf("%d bytes, then %v", len(sent), err)
		}
		if client.Step(nil); client.State() != StateFailed || client.Err() != err {
			t.Errorf("%v, %v", client.State(), client.Err())
		}
		ss := &side{m: server, in: moved}
		ss.take(&side{m: client}, 1<<20)
		if alert, ok := server.Err().(*RemoteAlert); !ok || alert.Alert != AlertInternalError || !bytes.Equal(ss.data, sent) {
			t.Errorf("the server got %q of %q: %v", ss.data, sent, server.Err())
		}
	}
}

// The key log has the master secret under the client's random, on both sides.
func TestKeyLog12(t *testing.T) {
	var ours, theirs bytes.Buffer
	clientConfig, serverConfig := configs12(func(client, server *Config) {
		client.KeyLogWriter, server.KeyLogWriter = &ours, &theirs
	})
	client, server := newPair(t, clientConfig, serverConfig)
	talk(t, client, server, whole)
	line := ours.String()
	if line != theirs.String() || len(line) != len("CLIENT_RANDOM ")+64+1+96+1 || line[:14] != "CLIENT_RANDOM " {
		t.Errorf("%q and %q", line, theirs.String())
	}
}

// A client that has sent early data does not go back to TLS 1.2. RFC 8446, Appendix D.3.
func TestEarlyDataAndVersion(t *testing.T) {
	clientConfig, serverConfig := testClientConfig(), testServerConfig()
	for _, c := range []*Config{clientConfig, serverConfig} {
		c.MinVersion = tls.VersionTLS12
	}
	cached(clientConfig)
	clientConfig.EarlyData = true
	takesEarly(serverConfig)
	client, server := newPair(t, clientConfig, serverConfig)
	talk(t, client, server, whole)
	older := serverConfig.Clone()
	older.MaxVersion = tls.VersionTLS12
	client, server = newPair(t, clientConfig, older)
	c, _ := talk(t, client, server, whole)
	if !slices.Contains(c.events, EventEarlyWritable) {
		t.Fatalf("no early data: events %v, %v", c.events, client.Err())
	}
	wantReason(t, client, ReasonUnsupportedVersion)
}
