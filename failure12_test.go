package tlscore

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"errors"
	"io"
	"slices"
	"testing"

	"tlscore.example/tlscore/internal/tlstest"
	"tlscore.example/tlscore/internal/wire"
)

// What goes wrong in resumption and in the authentication of clients in TLS 1.2, and what
// of our own goes wrong anywhere in it.

// newResumedClient12 is a client that offers a session, and a peer that has it.
func newResumedClient12(t *testing.T, change ...func(*Config)) *rig {
	t.Helper()
	full := newTicketClient12(t).bring(StateConnected)
	cfg := full.m.cfg.Clone()
	for _, f := range change {
		f(cfg)
	}
	r := clientRigOf(t, cfg)
	r.p = tlstest.NewPeer12(true)
	r.p.Resume = &full.p.Sessions[0]
	r.path = []pathStep{
		{StateWaitServerHello, func(r *rig) { r.step(nil) }},
		{StateWaitServerChangeCipherSpec, func(r *rig) { r.send(r.p.ServerHello()) }},
		{StateWaitServerFinished, func(r *rig) { r.p.SendCCS(); r.run() }},
		{StateConnected, func(r *rig) { r.send(r.p.Finished()) }},
	}
	return r
}

// A ServerHello that resumes a session, and does not fit it.
//
// "If a session is resumed, it must be resumed using the same cipher suite it was
// originally negotiated with." (https://www.rfc-editor.org/rfc/rfc5246#section-7.4.1.3)
//
// "If the original session used the extension but the new ServerHello does not
// contain the extension, the client MUST abort the handshake."
// (https://www.rfc-editor.org/rfc/rfc7627#section-5.3)
func TestResumptionUnfit12(t *testing.T) {
	for name, test := range map[string]struct {
		hook   func(*wire.ServerHello)
		reason Reason
		alert  Alert
	}{
		"suite": {func(m *wire.ServerHello) { m.CipherSuite = wire.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 }, ReasonCipherSuiteChanged, AlertIllegalParameter},
		"no EMS": {func(m *wire.ServerHello) {
			m.Extensions = slices.DeleteFunc(m.Extensions, func(x wire.Extension) bool { return x.Type == wire.ExtExtendedMasterSecret })
		}, ReasonNoExtendedMasterSecret, AlertHandshakeFailure},
	} {
		t.Run(name, func(t *testing.T) {
			r := newResumedClient12(t).bring(StateWaitServerHello)
			r.p.OnServerHello = test.hook
			r.send(r.p.ServerHello())
			r.wantAlert(test.reason, test.alert)
		})
	}
	newResumedClient12(t).wantConnected()
}

// A client that offers a session without the extended master secret that the session has.
//
// "If the original session used the "extended_master_secret" extension but the new
// ClientHello does not contain it, the server MUST abort the abbreviated handshake."
// (https://www.rfc-editor.org/rfc/rfc7627#section-5.3)
func TestResumptionWithoutEMS12(t *testing.T) {
	r := newResumedServer12(t)
	r.p.EMS = false
	r.send(r.p.ClientHello())
	r.wantAlert(ReasonNoExtendedMasterSecret, AlertHandshakeFailure)
}

// A connection without the extended master secret works, but leaves no session behind, and
// exports nothing.
func TestNoSessionWithoutEMS12(t *testing.T) {
	for name, r := range map[string]*rig{"client": newTicketClient12(t), "server": newServerRig12(t)} {
		t.Run(name, func(t *testing.T) {
			r.p.EMS, r.p.AskTicket = false, true
			r.wantConnected()
			if slices.Contains(r.events, EventSessionTicket) || !r.client && len(r.p.Sessions) > 0 {
				t.Errorf("a session is left: events %v, %d sessions", r.events, len(r.p.Sessions))
			}
			if r.client {
				if kept := r.m.cfg.SessionCache.Take(r.m.d.cacheKey); kept != nil {
					t.Errorf("%d bytes in the cache", len(kept))
				}
			}
			if _, err := r.m.ExportKeyingMaterial("EXPERIMENTAL test", nil, 32); !errors.Is(err, ErrNoExtendedMasterSecret) {
				t.Errorf("exported: %v", err)
			}
		})
	}
}

// Signatures of clients that do not verify, or are of a scheme that was not asked for.
//
// "The hash and signature algorithms used in the signature MUST be one of those
// present in the supported_signature_algorithms field of the CertificateRequest
// message. In addition, the hash and signature algorithms MUST be compatible with
// the key in the client's end-entity certificate."
// (https://www.rfc-editor.org/rfc/rfc5246#section-7.4.8)
func TestClientSignature12(t *testing.T) {
	for name, test := range map[string]struct {
		hook   func(*wire.CertificateVerify)
		reason Reason
		alert  Alert
	}{
		"wrong":         {func(m *wire.CertificateVerify) { m.Signature[len(m.Signature)-1] ^= 1 }, ReasonBadSignature, AlertDecryptError},
		"empty":         {func(m *wire.CertificateVerify) { m.Signature = nil }, ReasonBadSignature, AlertDecryptError},
		"SHA-1":         {func(m *wire.CertificateVerify) { m.Algorithm = 0x0203 }, ReasonSignatureScheme, AlertIllegalParameter},
		"another key":   {func(m *wire.CertificateVerify) { m.Algorithm = wire.RSAPSSRSAESHA256 }, ReasonSignatureScheme, AlertIllegalParameter},
		"another curve": {func(m *wire.CertificateVerify) { m.Algorithm = wire.ECDSAP384SHA384 }, ReasonBadSignature, AlertDecryptError},
	} {
		t.Run(name, func(t *testing.T) {
			r := newAuthServer12(t).bring(StateWaitClientCertificateVerify)
			r.p.OnCertificateVerify = test.hook
			r.send(r.p.CertificateVerify())
			r.wantAlert(test.reason, test.alert)
		})
	}
}

// Certificates of clients that are refused.
func TestClientCertificate12(t *testing.T) {
	for name, test := range map[string]struct {
		leaf   tlstest.Leaf
		reason Reason
	}{
		"for servers":  {tlstest.Leaf{}, ReasonCertificateUsage},
		"unknown":      {tlstest.Leaf{UnknownCA: true}, ReasonUnknownAuthority},
		"not to sign":  {tlstest.Leaf{Key: tlstest.RSA2048, KeyUsage: 1 << 2}, ReasonCertificateUsage},
		"not a leaf":   {tlstest.Leaf{}, ReasonBadCertificate},
		"long expired": {tlstest.Leaf{NotBefore: tlstest.Now.AddDate(-2, 0, 0), NotAfter: tlstest.Now.AddDate(-1, 0, 0)}, ReasonCertificateExpired},
	} {
		t.Run(name, func(t *testing.T) {
			r := newAuthServer12(t).bring(StateWaitClientCertificate)
			r.p.Certificate = tlstest.Certificate(test.leaf)
			if test.reason == ReasonBadCertificate {
				r.p.Certificate.Certificate = [][]byte{{1}}
			}
			r.send(r.p.CertificateMessage())
			r.wantFailed(test.reason)
		})
	}
}

// ClientHellos of TLS 1.2 that are refused for what is not of TLS 1.2 alone.
//
// "This vector MUST contain, and all implementations MUST support,
// CompressionMethod.null." (https://www.rfc-editor.org/rfc/rfc5246#section-7.4.1.2)
func TestClientHelloUnfit12(t *testing.T) {
	for name, test := range map[string]struct {
		hook   func(*wire.ClientHello)
		reason Reason
	}{
		"compression": {func(m *wire.ClientHello) { m.CompressionMethods = []byte{1} }, ReasonCompression},
		"name":        {func(m *wire.ClientHello) { m.ServerName = []byte("a b") }, ReasonBadServerName},
		"record size": {func(m *wire.ClientHello) {
			m.RecordSizeLimit = 63
			m.Extensions = append(m.Extensions, wire.Extension{Type: wire.ExtRecordSizeLimit})
		}, ReasonBadRecordSizeLimit},
		"suites": {func(m *wire.ClientHello) { m.CipherSuites = []wire.CipherSuite{0x002f, wire.TLS_AES_128_GCM_SHA256} }, ReasonNoCommonCipherSuite},
		"groups": {func(m *wire.ClientHello) {
			m.SupportedGroups = []wire.NamedGroup{wire.NamedGroup(tls.X25519MLKEM768)}
		}, ReasonNoCommonGroup},
		"no groups": {without(wire.ExtSupportedGroups), ReasonNoCommonGroup},
		"schemes":   {func(m *wire.ClientHello) { m.SignatureAlgorithms = []wire.SignatureScheme{0x0203} }, ReasonNoCommonSignatureScheme},
	} {
		t.Run(name, func(t *testing.T) {
			r := newServerRig12(t)
			r.p.OnClientHello = test.hook
			r.send(r.p.ClientHello())
			r.wantFailed(test.reason)
		})
	}
	// More compression methods than null are no harm in TLS 1.2.
	r := newServerRig12(t)
	r.p.OnClientHello = func(m *wire.ClientHello) { m.CompressionMethods = []byte{1, 0} }
	r.wantConnected()
}

// Messages that cannot be parsed, wherever one may come.
func TestMalformed12(t *testing.T) {
	client := func(s State) func(*testing.T) *rig {
		return func(t *testing.T) *rig { return newClientRig12(t).bring(s) }
	}
	for _, test := range []struct {
		make func(*testing.T) *rig
		t    wire.HandshakeType
		body []byte
	}{
		{client(StateWaitCertificate), wire.TypeCertificate, []byte{0, 0, 1, 0}},
		{client(StateWaitCertificateStatus), wire.TypeCertificateStatus, []byte{2}},
		{client(StateWaitServerKeyExchange), wire.TypeServerKeyExchange, []byte{1}},
		{client(StateWaitRequestOrHelloDone), wire.TypeCertificateRequest, []byte{0}},
		{client(StateWaitServerHelloDone), wire.TypeServerHelloDone, []byte{0}},
		{func(t *testing.T) *rig { return newTicketClient12(t).bring(StateWaitNewSessionTicket) }, wire.TypeNewSessionTicket, []byte{0}},
		{func(t *testing.T) *rig { return newAuthServer12(t).bring(StateWaitClientCertificate) }, wire.TypeCertificate, []byte{1}},
		{func(t *testing.T) *rig { return newServerRig12(t).bring(StateWaitClientKeyExchange) }, wire.TypeClientKeyExchange, []byte{0}},
		{func(t *testing.T) *rig { return newAuthServer12(t).bring(StateWaitClientCertificateVerify) }, wire.TypeCertificateVerify, []byte{4}},
		{client(StateConnected), wire.TypeHelloRequest, []byte{0}},
	} {
		t.Run(test.t.String(), func(t *testing.T) {
			r := test.make(t)
			r.send(append([]byte{byte(test.t), 0, 0, byte(len(test.body))}, test.body...))
			r.wantAlert(ReasonMalformedMessage, AlertDecodeError)
		})
	}
}

// limitedReader is a random source that ends.
type limitedReader struct{ left int }

func (r *limitedReader) Read(b []byte) (int, error) {
	n := min(len(b), r.left)
	r.left -= n
	if n == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	return n, nil
}

// brokenSigner is a key that cannot sign.
type brokenSigner struct{ crypto.Signer }

func (brokenSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("the card is out")
}

// What fails on our own side ends the handshake, with an alert that the peer reads.
func TestOwnFailures12(t *testing.T) {
	no := errors.New("no")
	panics := func(tls.ConnectionState) []byte { panic("no") }
	refuses := func(tls.ConnectionState) error { return no }
	for name, test := range map[string]struct {
		client bool // it is the client that fails
		change func(*Config)
		reason Reason
	}{
		"client: VerifyConnection": {true, func(c *Config) { c.VerifyConnection = refuses }, ReasonVerificationRejected},
		"server: VerifyConnection": {false, func(c *Config) { c.VerifyConnection = refuses }, ReasonVerificationRejected},
		"client: certificate": {true, func(c *Config) {
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return nil, no }
		}, ReasonCallbackFailed},
		"client: signature": {true, func(c *Config) {
			c.Certificates[0].PrivateKey = brokenSigner{c.Certificates[0].PrivateKey.(crypto.Signer)}
		}, ReasonSigningFailed},
		"server: signature": {false, func(c *Config) {
			c.Certificates[0].PrivateKey = brokenSigner{c.Certificates[0].PrivateKey.(crypto.Signer)}
		}, ReasonSigningFailed},
		"server: certificate": {false, func(c *Config) {
			c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, no }
		}, ReasonCallbackFailed},
		"server: OCSP":        {false, func(c *Config) { c.GetOCSPResponse = func(*tls.Certificate) ([]byte, error) { return nil, no } }, ReasonCallbackFailed},
		"server: SealTicket":  {false, func(c *Config) { sealing(c, no) }, ReasonCallbackFailed},
		"server: TicketData":  {false, func(c *Config) { c.TicketData = panics }, ReasonCallbackPanicked},
		"server: stored data": {false, func(c *Config) { c.TicketData, c.SessionStore = panics, NewSessionStore(1) }, ReasonCallbackPanicked},
		"client: key log":     {true, func(c *Config) { c.KeyLogWriter = brokenWriter{} }, ReasonCallbackFailed},
		"server: key log":     {false, func(c *Config) { c.KeyLogWriter = brokenWriter{} }, ReasonCallbackFailed},
		"client: random":      {true, func(c *Config) { c.Rand = &limitedReader{32 + 20} }, ReasonRandomSource},
		"server: key":         {false, func(c *Config) { c.Rand = &limitedReader{20} }, ReasonRandomSource},
		"server: random":      {false, func(c *Config) { c.Rand = &limitedReader{32 + 20} }, ReasonRandomSource},
		"server: id":          {false, func(c *Config) { c.Rand, c.SessionStore = &limitedReader{32 + 20}, NewSessionStore(1) }, ReasonRandomSource},
	} {
		t.Run(name, func(t *testing.T) {
			clientConfig, serverConfig := resumable(false, func(client, server *Config) {
				server.ClientAuth, server.ClientCAs = tls.RequestClientCert, tlstest.Roots()
				client.OCSPStapling = true
				withCertificate(client)
				if test.client {
					test.change(client)
				} else {
					test.change(server)
				}
			})
			client, server := newPair(t, clientConfig, serverConfig)
			talk(t, client, server, whole)
			failed, told := server, client
			if test.client {
				failed, told = client, server
			}
			alert, _ := AlertOf(failed.Err())
			if reasonOf(failed.Err()) != test.reason {
				t.Fatalf("%v, want %v", failed.Err(), test.reason)
			}
			if remote, ok := told.Err().(*RemoteAlert); !ok || remote.Alert != alert {
				t.Errorf("the other side: %v, want the alert %v", told.Err(), alert)
			}
			if h := failed.handshakeState(); h != nil || failed.conn.exporter12() != nil {
				t.Error("secrets are left")
			}
		})
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("disk full") }

// sealing makes SealTicket fail.
func sealing(c *Config, err error) {
	c.SealTicket = func([]byte) ([]byte, error) { return nil, err }
	c.OpenTicket = func([]byte) ([]byte, error) { return nil, nil }
}

// What is too old to give out a ticket for gets an empty one, and no session is stored.
func TestOldSession12(t *testing.T) {
	m, err := NewServer(testServerConfig12())
	if err != nil {
		t.Fatal(err)
	}
	s := &Session{CreatedAt: tlstest.Now, AuthenticatedAt: tlstest.Now.AddDate(0, 0, -8)}
	if s.limitLifetime(m.d.ticketLifetime, tlstest.Now) || s.Lifetime != 0 {
		t.Errorf("a lifetime of %d", s.Lifetime)
	}
}

// The flight of a server that fails while it signs comes out whole, the alert last.
func TestFlightBeforeFailure12(t *testing.T) {
	r := newServerRig12(t, func(c *Config) { c.Tasks = Tasks(TaskSign) })
	r.send(r.p.ClientHello())
	r.wantState(StateSign)
	r.m.Task().Fail(errors.New("no"))
	if err := r.m.Done(r.m.Task()); err != nil {
		t.Fatal(err)
	}
	r.wantAlert(ReasonSigningFailed, AlertInternalError)
	if r.p.Message(wire.TypeServerHello) == nil || !bytes.Contains(r.p.Message(wire.TypeCertificate), r.m.cfg.Certificates[0].Certificate[0]) {
		t.Error("what was before the signature is missing")
	}
}
