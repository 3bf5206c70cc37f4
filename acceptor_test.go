package tlscore

import (
	"bytes"
	"crypto/tls"
	"errors"
	"slices"
	"testing"

	"tlscore.example/tlscore/internal/record"
	"tlscore.example/tlscore/internal/tlstest"
	"tlscore.example/tlscore/internal/wire"
)

// An acceptor shows what the client wants, also what this package does not know.
func TestAcceptorShowsClientHello(t *testing.T) {
	r := newAcceptorRig(t)
	r.p.OnClientHello = func(m *wire.ClientHello) {
		offerALPN("h2", "http/1.1")(m)
		m.CipherSuites = append(m.CipherSuites, 0x2a2a)
		m.SignatureAlgorithmsCert = []wire.SignatureScheme{wire.RSAPKCS1SHA256}
		m.ECPointFormats = []byte{0}
		m.PSKModes = []byte{1}
		m.CertificateAuthorities = [][]byte{{0x30, 0}, {0x30, 1, 2}}
		m.Extensions = append(m.Extensions, tlstest.Extensions(
			wire.ExtSignatureAlgorithmsCert, wire.ExtECPointFormats, wire.ExtPSKKeyExchangeModes, wire.ExtEarlyData, wire.ExtCertificateAuthorities)...)
		m.Extensions = append(m.Extensions, wire.Extension{Type: 0x3a3a, Data: []byte{}})
		addPSK(m)
	}
	if r.m.ClientHello() != nil {
		t.Error("a ClientHello before there is one")
	}
	r.bring(StateWaitAccept)
	if !slices.Equal(r.events, []EventKind{EventClientHello, EventWait}) {
		t.Errorf("events %v", r.events)
	}
	got := r.m.ClientHello()
	sent := &r.p.Hello
	switch {
	case got.LegacyVersion != 0x0303, got.Random != sent.Random, !bytes.Equal(got.SessionID, sent.SessionID):
		t.Errorf("wrong version, random or session id: %+v", got)
	case !slices.Equal(got.CipherSuites, []uint16{0x1301, 0x2a2a}), !bytes.Equal(got.CompressionMethods, []byte{0}):
		t.Errorf("wrong suites or compression: %+v", got)
	case got.ServerName != "localhost", !slices.Equal(got.ALPN, []string{"h2", "http/1.1"}):
		t.Errorf("wrong names: %+v", got)
	case !slices.Equal(got.SupportedVersions, []uint16{0x0304}), !slices.Equal(got.SupportedGroups, []tls.CurveID{29, 23}):
		t.Errorf("wrong versions or groups: %+v", got)
	case !slices.Equal(got.KeyShares, []tls.CurveID{29}), len(got.SignatureSchemes) != 5, !slices.Equal(got.SignatureSchemesCert, []tls.SignatureScheme{0x0401}):
		t.Errorf("wrong shares or schemes: %+v", got)
	case !bytes.Equal(got.PSKModes, []byte{1}), !bytes.Equal(got.ECPointFormats, []byte{0}), !got.EarlyData, !got.PreSharedKey:
		t.Errorf("wrong modes: %+v", got)
	case !slices.EqualFunc(got.CertificateAuthorities, sent.CertificateAuthorities, bytes.Equal):
		t.Errorf("wrong authorities: %x", got.CertificateAuthorities)
	case !slices.Equal(got.Extensions, []uint16{0, 10, 13, 43, 51, 16, 50, 11, 45, 42, 47, 0x3a3a, 41}):
		t.Errorf("wrong extensions: %v", got.Extensions)
	}
	// It is a copy.
	got.CipherSuites[0], got.SessionID[0], got.ALPN[0], got.CertificateAuthorities[0][0] = 0, 0, "", 0
	if again := r.m.ClientHello(); again.CipherSuites[0] != 0x1301 || again.CertificateAuthorities[0][0] != 0x30 || again.SessionID[0] == 0 || again.ALPN[0] != "h2" {
		t.Error("the result was no copy")
	}
	r.accept(func(c *Config) { c.NextProtos = []string{"http/1.1"} })
	r.wantState(StateWaitClientFinished)
	if r.m.ClientHello() != nil {
		t.Error("the ClientHello is still there")
	}
	r.wantConnected()
	if state := r.m.ConnectionState(); state.NegotiatedProtocol != "http/1.1" || state.ServerName != "localhost" || state.Version != tls.VersionTLS13 {
		t.Errorf("connection state %+v", state)
	}
}

// What is absent is nil.
func TestAcceptorShowsOldClientHello(t *testing.T) {
	r := newAcceptorRig(t)
	r.p.OnClientHello = func(m *wire.ClientHello) { m.NoExtensions, m.Extensions = true, nil }
	r.bring(StateWaitAccept)
	got := r.m.ClientHello()
	if got.ALPN != nil || got.SupportedVersions != nil || got.SupportedGroups != nil || got.ServerName != "" || len(got.Extensions) != 0 {
		t.Errorf("%+v", got)
	}
}

// The raw ClientHello: the message, and the records as they came. Both stay when
// it could not be parsed, when it was refused, and until the server answers.
func TestRawClientHello(t *testing.T) {
	for _, size := range []int{1, 50, 1 << 14} {
		for _, end := range []string{"accept", "reject", "refuse"} {
			r := newAcceptorRig(t)
			hello := r.p.ClientHello()
			r.p.SendPieces(hello, size)
			sent := r.p.Take()
			given := bytes.Clone(sent)
			r.step(given)
			clear(given) // the caller's memory is the caller's
			check := func() {
				t.Helper()
				message, records := r.m.RawClientHello()
				if !bytes.Equal(message, hello) || !bytes.Equal(records, sent) {
					t.Fatalf("%s, records of %d: message of %d bytes, records of %d", end, size, len(message), len(records))
				}
			}
			check()
			message, records := r.m.RawClientHello()
			switch end {
			case "accept":
				r.accept()
				if m, rec := r.m.RawClientHello(); m != nil || rec != nil {
					t.Error("still there behind the answer")
				}
			case "reject":
				if err := r.m.Reject(AlertAccessDenied); err != nil {
					t.Fatal(err)
				}
				check()
			case "refuse":
				r.accept(func(c *Config) { c.CurvePreferences = []tls.CurveID{tls.CurveP521} })
				r.wantFailed(ReasonNoCommonGroup)
				check()
			}
			r.m.Release()
			if !bytes.Equal(message, hello) || !bytes.Equal(records, sent) {
				t.Error("the memory was used again")
			}
			if m, rec := r.m.RawClientHello(); m != nil || rec != nil {
				t.Error("still there after Release")
			}
		}
	}
	// Half of one, and one that cannot be parsed.
	r := newAcceptorRig(t)
	r.p.SendRecord(record.TypeHandshake, r.p.ClientHello()[:100])
	b := r.p.Take()
	r.step(bytes.Clone(b))
	if message, records := r.m.RawClientHello(); message != nil || !bytes.Equal(records, b) {
		t.Errorf("message of %d bytes, records of %d", len(message), len(records))
	}
	r = newAcceptorRig(t)
	bad := tlstest.Message(wire.TypeClientHello, 3, 3)
	r.send(bad)
	r.wantFailed(ReasonMalformedMessage)
	if message, _ := r.m.RawClientHello(); !bytes.Equal(message, bad) || r.m.ClientHello() != nil {
		t.Errorf("message %x, ClientHello %v", message, r.m.ClientHello())
	}
	// A client has none.
	if message, records := newClientRig(t).m.RawClientHello(); message != nil || records != nil || newClientRig(t).m.ClientHello() != nil {
		t.Error("a client shows a ClientHello")
	}
}

// What is not TLS is decided on the five header bytes, and the error has them.
func TestNotTLS(t *testing.T) {
	for text, reason := range map[string]Reason{
		"GET / HTTP/1.1\r\n\r\n":               ReasonNotTLS,
		"SSH-2.0-OpenSSH\r\n":                  ReasonNotTLS,
		"\x00\x00\x00\x00\x00":                 ReasonNotTLS,
		"\x18\x03\x01\x00\x05":                 ReasonNotTLS,
		"\x16\x02\x00\x00\x05":                 ReasonRecordVersion,
		"\x16\xfe\xfd\x00\x00":                 ReasonRecordVersion, // DTLS
		"\x80\x2e\x01\x00\x02\x00\x15\x00\x00": ReasonSSLv2,
		"\x80\x2e\x01\x03\x01":                 ReasonSSLv2,
		"\x80\x2e\x04\x03\x01":                 ReasonNotTLS,
	} {
		for _, r := range []*rig{newServerRig(t), newAcceptorRig(t)} {
			for n := range 5 {
				if ev, taken := r.step([]byte(text[:n])); ev.Kind != EventNone || taken != 0 {
					t.Fatalf("%q: %v on %d bytes", text, ev, n)
				}
			}
			ev, taken := r.step([]byte(text[:5]))
			if ev.Kind != EventFailed || !ev.Queued || taken != 0 {
				t.Fatalf("%q: %v, %d bytes taken", text, ev, taken)
			}
			r.wantFailed(reason)
			var protocol *ProtocolError
			if !errors.As(r.m.Err(), &protocol) || string(protocol.Header[:]) != text[:5] || !protocol.NotTLS() {
				t.Errorf("%q: %+v", text, protocol)
			}
		}
	}
	// The version of the first record does not matter but for its first byte,
	// and that of later ones not at all.
	r := newServerRig(t)
	r.p.SendPieces(r.p.ClientHello(), 60)
	b := r.p.Take()
	b[2], b[65+1], b[65+2] = 0xff, 0xff, 0xff
	r.step(b)
	r.wantConnected()
}

// Answers that are owed, and answers that nobody waits for.
func TestAcceptorAnswers(t *testing.T) {
	r := newAcceptorRig(t).bring(StateWaitAccept)
	for _, cfg := range []*Config{nil, {}, {Certificates: []tls.Certificate{{}}}, {MinVersion: tls.VersionTLS12}} {
		if err := r.m.Accept(cfg); err == nil || r.m.State() != StateWaitAccept || r.m.Err() != nil {
			t.Errorf("Accept(%v): %v in state %v", cfg, err, r.m.State())
		}
	}
	for range 3 {
		if ev, n := r.step([]byte("\x16\x03\x03\x00\x01\x00")); ev.Kind != EventWait || n != 0 {
			t.Errorf("%v, %d bytes taken", ev, n)
		}
	}
	if err := r.m.Accept(testServerConfig()); err != nil {
		t.Fatal(err)
	}
	if len(r.m.Output()) == 0 || r.m.State() != StateWaitClientFinished {
		t.Errorf("%d bytes of output in state %v", len(r.m.Output()), r.m.State())
	}
	if ev, _ := r.m.Step(nil); ev.Kind != EventWritable || !ev.Queued {
		t.Errorf("behind Accept: %v", ev)
	}
	if err := r.m.Accept(testServerConfig()); err != ErrNotWaiting {
		t.Errorf("second Accept: %v", err)
	}
	r.read()
	r.wantConnected()

	// A rejection is worked off at once, with the alert of choice.
	r = newAcceptorRig(t).bring(StateWaitAccept)
	if err := r.m.Reject(AlertUnrecognizedName); err != nil {
		t.Fatal(err)
	}
	if got := r.m.Output(); !bytes.Equal(got, []byte("\x15\x03\x03\x00\x02\x02\x70")) {
		t.Errorf("output %x", got)
	}
	if err := r.m.Accept(testServerConfig()); err != ErrFailed {
		t.Errorf("Accept behind Reject: %v", err)
	}
	var local *LocalError
	if !errors.As(r.m.Err(), &local) || local.Alert != AlertUnrecognizedName || local.Reason != ReasonRejected {
		t.Errorf("%+v", r.m.Err())
	}

	// A transport that ends while an answer is owed: the answer still goes out.
	r = newAcceptorRig(t).bring(StateWaitAccept)
	r.m.EOF()
	if ev, _ := r.step(nil); ev.Kind != EventWait {
		t.Errorf("EOF while waiting: %v", ev)
	}
	if err := r.m.Accept(testServerConfig()); err != nil {
		t.Fatal(err)
	}
	r.step(nil)
	r.wantFailed(ReasonTransportClosed)
	if r.p.Message(wire.TypeServerHello) == nil {
		t.Error("no ServerHello")
	}
}

// The acceptor's limits hold until Accept, and those of the config afterwards.
func TestAcceptorLimits(t *testing.T) {
	if _, err := NewAcceptor(Limits{ClientHello: -1}); err == nil {
		t.Error("a negative limit")
	}
	m, err := NewAcceptor(Limits{ClientHello: 150})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{T: t, m: m, p: tlstest.NewPeer(false)}
	r.send(r.p.ClientHello())
	r.wantFailed(ReasonClientHelloTooLarge)

	r = newAcceptorRig(t).bring(StateWaitAccept)
	r.accept(func(c *Config) { c.Limits.Output = 100 })
	r.wantConnected()
	if n, err := r.m.Write(make([]byte, 1000)); n != 100-record.Overhead || err != nil {
		t.Errorf("Write: %d, %v", n, err)
	}
}

// Two machines from end to end: the founding case in both of its forms, and
// other failures that need no misbehaving peer. The one fails for a reason, the
// other reports the alert.
func TestFailuresBetweenMachines(t *testing.T) {
	expired := tlstest.Certificate(tlstest.Leaf{NotAfter: tlstest.Now.AddDate(0, 0, -1)})
	unknown := tlstest.Certificate(tlstest.Leaf{UnknownCA: true})
	for _, test := range []struct {
		reason         Reason
		client, server func(*Config)
	}{
		{reason: ReasonUnsupportedVersion, client: only12},
		{reason: ReasonUnsupportedVersion, server: only12},
		{reason: ReasonNoCommonCipherSuite,
			client: func(c *Config) { c.CipherSuites = []uint16{tls.TLS_AES_128_GCM_SHA256} },
			server: func(c *Config) { c.CipherSuites = []uint16{tls.TLS_AES_256_GCM_SHA384} }},
		{reason: ReasonNoCommonGroup, client: onlyP256, server: func(c *Config) { c.CurvePreferences = []tls.CurveID{tls.X25519} }},
		{reason: ReasonNoCommonSignatureScheme, client: func(c *Config) { c.SignatureSchemes = []tls.SignatureScheme{tls.Ed25519} }},
		{reason: ReasonNoApplicationProtocol,
			client: func(c *Config) { c.NextProtos = []string{"h2"} },
			server: func(c *Config) { c.NextProtos = []string{"http/1.1"} }},
		{reason: ReasonCertificateExpired, server: func(c *Config) { c.Certificates = []tls.Certificate{expired} }},
		{reason: ReasonUnknownAuthority, server: func(c *Config) { c.Certificates = []tls.Certificate{unknown} }},
		{reason: ReasonNameMismatch, client: func(c *Config) { c.ServerName = "example.com" }},
		{reason: ReasonVerificationRejected, client: withConnectionCheck(rejectConnection)},
		{reason: ReasonVerificationRejected, server: withConnectionCheck(rejectConnection)},
		{reason: ReasonNoCertificate, server: withGetCertificate(func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil })},
		{reason: ReasonCallbackFailed, server: withGetCertificate(func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, errTest })},
		{reason: ReasonCallbackPanicked, client: withConnectionCheck(panicConnection)},
		{reason: ReasonRandomSource, server: withRand(failingReader)},
		{reason: ReasonSigningFailed, server: withSigner(func() ([]byte, error) { return nil, errTest })},
		{reason: ReasonBadSignature, server: withSigner(func() ([]byte, error) { return []byte("signature"), nil })},
	} {
		for _, acceptor := range []bool{false, true} {
			t.Run(test.reason.String(), func(t *testing.T) {
				clientConfig, serverConfig := testClientConfig(), testServerConfig()
				if test.client != nil {
					test.client(clientConfig)
				}
				if test.server != nil {
					test.server(serverConfig)
				}
				client, server := newPair(t, clientConfig, serverConfig)
				if acceptor {
					server = newAcceptorRig(t).m
				}
				talk(t, client, server, whole)
				if acceptor {
					if err := server.Accept(serverConfig); err != nil {
						t.Fatal(err)
					}
					talk(t, client, server, whole)
				}
				failed, told := client, server
				if reasonOf(client.Err()) == reasonNone {
					failed, told = server, client
				}
				var remote *RemoteAlert
				if reasonOf(failed.Err()) != test.reason || !errors.As(told.Err(), &remote) || remote.Alert != test.reason.Alert() {
					t.Errorf("client: %v\nserver: %v\nwant %v and its alert %v", client.Err(), server.Err(), test.reason, test.reason.Alert())
				}
			})
		}
	}
}
