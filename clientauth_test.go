package tlscore

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"sync"
	"testing"

	"tlscore.example/tlscore/internal/record"
	"tlscore.example/tlscore/internal/tlstest"
	"tlscore.example/tlscore/internal/wire"
)

// Authentication of clients, in the handshake and after it.

var clientCertificateOf = sync.OnceValue(func() tls.Certificate { return tlstest.ClientCertificate(tlstest.ECDSAP256) })

// requireClient makes a server refuse clients that it cannot verify.
func requireClient(c *Config) {
	c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, tlstest.Roots()
}

// withCertificate gives a client one.
func withCertificate(c *Config) { c.Certificates = []tls.Certificate{clientCertificateOf()} }

// offerPostAuth makes a client of the peer offer post_handshake_auth.
func offerPostAuth(p *tlstest.Peer) {
	p.OnClientHello = func(m *wire.ClientHello) {
		m.Extensions = append(m.Extensions, wire.Extension{Type: wire.ExtPostHandshakeAuth})
	}
}

// The paths of connections whose clients authenticate.
var (
	authServerPath = []pathStep{
		{StateWaitClientCertificate, func(r *rig) { r.send(r.p.ClientHello()) }},
		{StateWaitClientCertificateVerify, func(r *rig) { r.send(r.p.CertificateMessage()) }},
		{StateWaitClientFinished, func(r *rig) { r.send(r.p.CertificateVerify()) }},
		{StateConnected, func(r *rig) { r.send(r.p.Finished()) }},
	}
	postServerPath = append(slices.Clone(serverPath),
		pathStep{StateWaitPostCertificateVerify, func(r *rig) { r.send(r.p.CertificateMessage()) }},
		pathStep{StateWaitPostFinished, func(r *rig) { r.send(r.p.CertificateVerify()) }},
	)
)

// newAuthServer is a server that wants a client's certificate, and a peer that has
// one.
func newAuthServer(t *testing.T, change ...func(*Config)) *rig {
	t.Helper()
	r := newServerRig(t, append([]func(*Config){requireClient}, change...)...)
	r.p.Certificate, r.path = clientCertificateOf(), authServerPath
	return r
}

// newPostServer is a server whose peer authenticates after the handshake.
func newPostServer(t *testing.T, change ...func(*Config)) *rig {
	t.Helper()
	r := newServerRig(t, append([]func(*Config){func(c *Config) { c.ClientCAs = tlstest.Roots() }}, change...)...)
	offerPostAuth(r.p)
	r.p.Certificate, r.path = clientCertificateOf(), postServerPath
	return r
}

// ask asks the client of a connection that it completes for its certificate.
func (r *rig) ask() *rig {
	r.Helper()
	if r.m.State() != StateConnected {
		r.bring(StateConnected)
	}
	if err := r.m.RequestClientCertificate(); err != nil {
		r.Fatal(err)
	}
	r.step(nil)
	return r
}

// newPostClient is a client with a certificate that offers to authenticate after the
// handshake.
func newPostClient(t *testing.T, change ...func(*Config)) *rig {
	t.Helper()
	return newClientRig(t, append([]func(*Config){withCertificate, func(c *Config) { c.PostHandshakeAuth = true }}, change...)...)
}

// askedClient is such a client, connected, which its server has asked once.
func askedClient(t *testing.T, change ...func(*Config)) *rig {
	t.Helper()
	r := newPostClient(t, change...).bring(StateConnected)
	r.request()
	return r
}

// request makes the server of a connected client ask for a certificate.
func (r *rig) request() Event {
	r.Helper()
	r.p.RequestContext = append([]byte("request "), byte(len(r.p.Got)))
	return r.send(r.p.CertificateRequest())
}

// finishedClient is a client that the server has asked in the handshake, and that has
// the server's Finished, with a kind of task lifted out.
func finishedClient(t *testing.T, kind TaskKind) *rig {
	t.Helper()
	r := newClientRig(t, withCertificate, func(c *Config) { c.Tasks = Tasks(kind) }).bring(StateWaitCertificate)
	return r.tryBring(StateConnected)
}

// walkAuthentication leads through everything that authentication adds to the
// tables.
func walkAuthentication(t *testing.T, edges map[edge]bool) {
	finishWalk(newAuthServer(t), edges, 0)
	none := newAuthServer(t, func(c *Config) { c.ClientAuth = tls.RequestClientCert })
	none.p.Certificate = tls.Certificate{}
	none.path = []pathStep{
		{StateWaitClientCertificate, authServerPath[0].do},
		{StateWaitClientFinished, authServerPath[1].do},
		{StateConnected, authServerPath[3].do},
	}
	finishWalk(none, edges, 0)
	finishWalk(newClientRig(t, withCertificate), edges, StateWaitCertificate)

	for _, cert := range []tls.Certificate{clientCertificateOf(), {}} {
		server := newPostServer(t)
		watch(server.m, edges)
		server.p.Certificate = cert
		server.ask()
		server.answer()
		server.wantState(StateConnected)

		client := newPostClient(t, func(c *Config) {
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
		})
		watch(client.m, edges)
		client.bring(StateConnected).request()
		client.wantState(StateConnected)
	}
}

// answer makes the peer answer a request behind the handshake.
func (r *rig) answer() {
	r.Helper()
	for _, build := range r.answers() {
		r.send(build(r.p))
	}
}

func (r *rig) answers() []func(*tlstest.Peer) []byte {
	if len(r.p.Certificate.Certificate) == 0 {
		return []func(*tlstest.Peer) []byte{(*tlstest.Peer).CertificateMessage, (*tlstest.Peer).Finished}
	}
	return []func(*tlstest.Peer) []byte{(*tlstest.Peer).CertificateMessage, (*tlstest.Peer).CertificateVerify, (*tlstest.Peer).Finished}
}

// authServerAt brings a server that wants a certificate into a state and goes on from
// there.
func authServerAt(s State, do func(*rig), change ...func(*Config)) scenario {
	return scenario{name: "server", state: s, run: func(t *testing.T) *rig {
		r := newAuthServer(t, change...).bring(s)
		do(r)
		r.run()
		return r
	}}
}

// shows sends the chain of a certificate.
func shows(leaf tlstest.Leaf) func(*rig) {
	return func(r *rig) {
		r.p.Certificate = tlstest.Certificate(leaf)
		r.p.Send(r.p.CertificateMessage())
	}
}

func showsNone(r *rig) {
	r.p.Certificate = tls.Certificate{}
	r.p.Send(r.p.CertificateMessage())
}

// What a server refuses in a client's answer.
//
// "If the client does not send any certificates (i.e., it sends an empty
// Certificate message), the server MAY at its discretion either continue the
// handshake without client authentication or abort the handshake with a
// "certificate_required" alert."
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.4.2.4)
//
// "Extensions in the Certificate message from the client MUST correspond to
// extensions in the CertificateRequest message from the server."
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.4.2)
//
// "the signature algorithm MUST be compatible with the key in the sender's
// end-entity certificate."
//
// "If the verification fails, the receiver MUST terminate the handshake with a
// "decrypt_error" alert."
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.4.3)
func TestClientAuthErrors(t *testing.T) {
	certificate := func(hook func(*wire.Certificate)) scenario {
		return authServerAt(StateWaitClientCertificate, func(r *rig) {
			r.p.OnCertificate = hook
			r.p.Send(r.p.CertificateMessage())
		})
	}
	verify := func(hook func(*wire.CertificateVerify), change ...func(*Config)) scenario {
		return authServerAt(StateWaitClientCertificateVerify, func(r *rig) {
			r.p.OnCertificateVerify = hook
			r.p.Send(r.p.CertificateVerify())
		}, change...)
	}
	requireAny := func(c *Config) { c.ClientAuth = tls.RequireAnyClientCert }
	fails(t, ReasonCertificateRequired, AlertCertificateRequired,
		authServerAt(StateWaitClientCertificate, showsNone), authServerAt(StateWaitClientCertificate, showsNone, requireAny))
	fails(t, ReasonCertificateContext, AlertIllegalParameter,
		certificate(func(m *wire.Certificate) { m.RequestContext = []byte{0} }))
	fails(t, ReasonUnsolicitedExtension, AlertUnsupportedExtension,
		certificate(func(m *wire.Certificate) {
			m.Entries[0].OCSPResponse, m.Entries[0].Extensions = []byte{1}, tlstest.Extensions(wire.ExtStatusRequest)
		}),
		certificate(func(m *wire.Certificate) { m.Entries[0].Extensions = []wire.Extension{{Type: 0x1a1a, Data: []byte{}}} }))
	fails(t, ReasonMalformedMessage, AlertDecodeError, authServerAt(StateWaitClientCertificate, func(r *rig) {
		r.p.Send(tlstest.Message(wire.TypeCertificate, 0, 0, 0, 1))
	}))
	fails(t, ReasonBadCertificate, AlertBadCertificate, certificate(func(m *wire.Certificate) { m.Entries[0].Data = []byte{1} }))
	fails(t, ReasonUnknownAuthority, AlertUnknownCA,
		authServerAt(StateWaitClientCertificate, shows(tlstest.Leaf{UnknownCA: true, ExtKeyUsage: clientUse})))
	fails(t, ReasonCertificateExpired, AlertCertificateExpired,
		authServerAt(StateWaitClientCertificate, shows(tlstest.Leaf{NotAfter: tlstest.Now.AddDate(0, 0, -1), ExtKeyUsage: clientUse})))
	fails(t, ReasonCertificateUsage, AlertUnsupportedCertificate,
		authServerAt(StateWaitClientCertificate, shows(tlstest.Leaf{})),
		authServerAt(StateWaitClientCertificate, shows(tlstest.Leaf{KeyUsage: x509.KeyUsageKeyAgreement, ExtKeyUsage: clientUse}), requireAny))
	fails(t, ReasonVerificationRejected, AlertBadCertificate,
		authServerAt(StateWaitClientCertificate, func(r *rig) { r.p.Send(r.p.CertificateMessage()) }, func(c *Config) {
			c.VerifyPeerCertificate = func([][]byte, [][]*x509.Certificate) error { return errTest }
		}),
		authServerAt(StateWaitClientFinished, func(r *rig) { r.p.Send(r.p.Finished()) }, func(c *Config) {
			c.VerifyConnection = func(cs tls.ConnectionState) error {
				if len(cs.PeerCertificates) != 1 || len(cs.VerifiedChains) != 1 {
					return nil
				}
				return errTest
			}
		}))
	fails(t, ReasonBadSignature, AlertDecryptError,
		verify(func(m *wire.CertificateVerify) { m.Signature[len(m.Signature)-1] ^= 1 }),
		verify(func(m *wire.CertificateVerify) { m.Signature = nil }),
		authServerAt(StateWaitClientCertificateVerify, func(r *rig) {
			r.p.Hash([]byte{1}) // another transcript
			r.p.SendRecord(record.TypeHandshake, r.p.CertificateVerify())
		}),
		authServerAt(StateWaitClientCertificateVerify, signAsServer))
	fails(t, ReasonSignatureScheme, AlertIllegalParameter,
		verify(func(m *wire.CertificateVerify) { m.Algorithm = wire.ECDSAP384SHA384 }),
		verify(func(m *wire.CertificateVerify) { m.Algorithm = wire.RSAPSSRSAESHA256 }),
		verify(func(m *wire.CertificateVerify) { m.Algorithm = wire.RSAPKCS1SHA256 }),
		verify(nil, onlyEd25519))
	fails(t, ReasonUnexpectedMessage, AlertUnexpectedMessage,
		authServerAt(StateWaitClientCertificate, func(r *rig) { r.p.Send(r.p.Finished()) }),
		authServerAt(StateWaitClientCertificate, func(r *rig) { r.p.Send(certificateVerifyOf(r.p)) }),
		authServerAt(StateWaitClientCertificateVerify, func(r *rig) { r.p.Send(r.p.Finished()) }),
		authServerAt(StateWaitClientFinished, func(r *rig) { r.p.Send(r.p.CertificateVerify()) }))
	fails(t, ReasonBadFinished, AlertDecryptError,
		authServerAt(StateWaitClientFinished, badFinished(func(m *wire.Finished) { m.VerifyData[0] ^= 1 })),
		authServerAt(StateWaitClientFinished, badFinished(func(m *wire.Finished) { m.VerifyData = m.VerifyData[1:] })))
}

// onlyEd25519 makes a server sign with Ed25519, and accept nothing else.
func onlyEd25519(c *Config) {
	c.SignatureSchemes = []tls.SignatureScheme{tls.Ed25519}
	c.Certificates = []tls.Certificate{tlstest.Certificate(tlstest.Leaf{Key: tlstest.Ed25519})}
}

// signAsServer sends the signature that a server would have made: the contexts keep
// the two apart.
func signAsServer(r *rig) {
	leaf := clientCertificateOf()
	s := schemeInfo(tls.ECDSAWithP256AndSHA256)
	signature, err := s.sign(leaf.PrivateKey.(crypto.Signer), rand.Reader, new(Machine).signedContent(serverSignatureContext, r.p.TranscriptHash()))
	if err != nil {
		r.Fatal(err)
	}
	r.p.Send((&wire.CertificateVerify{Algorithm: wire.ECDSAP256SHA256, Signature: signature}).Append(nil))
}

// What a server asks for follows from its config.
//
// "The "signature_algorithms" extension MUST be specified"
//
// "Servers which are authenticating with a PSK MUST NOT send the
// CertificateRequest message in the main handshake"
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.3.2)
func TestCertificateRequestFromConfig(t *testing.T) {
	request := func(r *rig) *wire.CertificateRequest {
		t.Helper()
		r.bring(r.path[0].to)
		var m wire.CertificateRequest
		body := r.p.Message(wire.TypeCertificateRequest)
		if body == nil {
			return nil
		}
		if err := m.Parse(body); err != nil || len(m.RequestContext) != 0 || !m.Has(wire.ExtSignatureAlgorithms) {
			t.Fatalf("%+v, %v", m, err)
		}
		return &m
	}
	m := request(newAuthServer(t))
	subject := tlstest.RootCertificate().RawSubject
	if len(m.CertificateAuthorities) != 1 || !bytes.Equal(m.CertificateAuthorities[0], subject) || m.Has(wire.ExtSignatureAlgorithmsCert) || len(m.Extensions) != 2 {
		t.Errorf("%+v", m)
	}
	for _, id := range []wire.SignatureScheme{wire.ECDSAP256SHA256, wire.RSAPSSRSAESHA256, wire.Ed25519} {
		if !slices.Contains(m.SignatureAlgorithms, id) {
			t.Errorf("no %s among %v", id, m.SignatureAlgorithms)
		}
	}
	m = request(newAuthServer(t, func(c *Config) {
		c.CertificateAuthorities = [][]byte{}
		onlyEd25519(c)
		c.SignatureSchemesCert = []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256}
	}))
	if m.Has(wire.ExtCertificateAuthorities) || len(m.SignatureAlgorithms) != 1 || len(m.SignatureAlgorithmsCert) != 1 {
		t.Errorf("%+v", m)
	}
	for _, auth := range []tls.ClientAuthType{tls.RequestClientCert, tls.RequireAnyClientCert, tls.VerifyClientCertIfGiven} {
		if request(newAuthServer(t, func(c *Config) { c.ClientAuth = auth })) == nil {
			t.Errorf("%v asks for nothing", auth)
		}
	}
	if request(newServerRig(t)) != nil {
		t.Error("a server asks though it should not")
	}
	if request(newResumedServer(t)) != nil {
		t.Error("a server asks though it has resumed")
	}
}

// What a client shows is what the server accepts, or nothing.
//
// "If the "certificate_authorities" extension in the CertificateRequest message was
// present, at least one of the certificates in the certificate chain SHOULD be issued
// by one of the listed CAs."
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.4.2.3)
//
// "If sent by a client, the signature algorithm used in the signature MUST be one of
// those present in the supported_signature_algorithms field of the
// "signature_algorithms" extension in the CertificateRequest message."
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.4.3)
func TestClientCertificateChoice(t *testing.T) {
	foreign := tlstest.Certificate(tlstest.Leaf{UnknownCA: true, ExtKeyUsage: clientUse})
	rsa, ed := tlstest.ClientCertificate(tlstest.RSA2048), tlstest.ClientCertificate(tlstest.Ed25519)
	ec := clientCertificateOf()
	onlySHA384 := rsa
	onlySHA384.SupportedSignatureAlgorithms = []tls.SignatureScheme{tls.PSSWithSHA384}
	pss := []wire.SignatureScheme{wire.RSAPSSRSAESHA256}
	any := []wire.SignatureScheme{wire.Ed25519, wire.ECDSAP256SHA256, wire.RSAPSSRSAESHA256}
	roots := [][]byte{tlstest.RootCertificate().RawSubject}
	for _, test := range []struct {
		name        string
		have        []tls.Certificate
		schemes     []wire.SignatureScheme
		authorities [][]byte
		want        int // -1: none
		scheme      wire.SignatureScheme
	}{
		{"the first", []tls.Certificate{foreign, ec}, any, nil, 0, wire.ECDSAP256SHA256},
		{"by issuer", []tls.Certificate{foreign, ec}, any, roots, 1, wire.ECDSAP256SHA256},
		{"by scheme", []tls.Certificate{ec, ed, rsa}, pss, roots, 2, wire.RSAPSSRSAESHA256},
		{"Ed25519", []tls.Certificate{ed}, any, nil, 0, wire.Ed25519},
		{"no scheme", []tls.Certificate{ec, ed}, pss, nil, -1, 0},
		{"no scheme of the key's", []tls.Certificate{onlySHA384}, pss, nil, -1, 0},
		{"no issuer", []tls.Certificate{foreign}, any, roots, -1, 0},
		{"PKCS #1", []tls.Certificate{rsa}, []wire.SignatureScheme{wire.RSAPKCS1SHA256}, nil, -1, 0},
		{"nothing to choose from", nil, any, nil, -1, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			ask := func(m *wire.CertificateRequest) {
				m.SignatureAlgorithms, m.CertificateAuthorities = test.schemes, test.authorities
				if test.authorities != nil {
					m.Extensions = append(m.Extensions, tlstest.Extensions(wire.ExtCertificateAuthorities)...)
				}
			}
			check := func(r *rig, context []byte) {
				t.Helper()
				var cert wire.Certificate
				if err := cert.Parse(r.p.Message(wire.TypeCertificate)); err != nil || !bytes.Equal(cert.RequestContext, context) {
					t.Fatalf("%+v, %v", cert, err)
				}
				if test.want < 0 {
					if len(cert.Entries) != 0 || r.p.Message(wire.TypeCertificateVerify) != nil {
						t.Errorf("%d certificates", len(cert.Entries))
					}
					return
				}
				var verify wire.CertificateVerify
				if err := verify.Parse(r.p.Message(wire.TypeCertificateVerify)); err != nil || verify.Algorithm != test.scheme {
					t.Errorf("signed with %s, %v", verify.Algorithm, err)
				}
				if !bytes.Equal(cert.Entries[0].Data, test.have[test.want].Certificate[0]) || len(cert.Entries[0].Extensions) != 0 {
					t.Error("another certificate")
				}
			}
			have := func(c *Config) { c.Certificates = test.have }
			r := newClientRig(t, have)
			r.p.OnCertificateRequest = ask
			r.bring(StateWaitCertificate).wantConnected()
			check(r, nil)
			r = newPostClient(t, have)
			r.p.OnCertificateRequest = ask
			r.bring(StateConnected).request()
			check(r, r.p.RequestContext)
			r.wantState(StateConnected)
		})
	}
}

// GetClientCertificate decides alone.
func TestGetClientCertificate(t *testing.T) {
	foreign := tlstest.Certificate(tlstest.Leaf{UnknownCA: true, ExtKeyUsage: clientUse})
	rsa := tlstest.ClientCertificate(tlstest.RSA2048)
	var asked *tls.CertificateRequestInfo
	answers := func(cert *tls.Certificate, err error) func(*Config) {
		return func(c *Config) {
			withCertificate(c)
			c.GetClientCertificate = func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
				asked = info
				return cert, err
			}
		}
	}
	roots := [][]byte{tlstest.RootCertificate().RawSubject}
	connect := func(change func(*Config), post bool) *rig {
		t.Helper()
		r := newPostClient(t, change)
		r.p.OnCertificateRequest = func(m *wire.CertificateRequest) {
			m.CertificateAuthorities = roots
			m.Extensions = append(m.Extensions, tlstest.Extensions(wire.ExtCertificateAuthorities)...)
		}
		if post {
			r.bring(StateConnected).request()
			return r
		}
		return r.bring(StateWaitCertificate).tryBring(StateConnected)
	}
	for _, post := range []bool{false, true} {
		// One that the server did not name the issuer of is shown all the same.
		for want, cert := range []*tls.Certificate{nil, {}, &foreign} {
			asked = nil
			r := connect(answers(cert, nil), post)
			r.wantState(StateConnected)
			var shown wire.Certificate
			if err := shown.Parse(r.p.Message(wire.TypeCertificate)); err != nil || len(shown.Entries) != want/2 {
				t.Errorf("%d: %d certificates, %v", want, len(shown.Entries), err)
			}
			if asked == nil || asked.Version != tls.VersionTLS13 || !reflect.DeepEqual(asked.AcceptableCAs, roots) ||
				!slices.Equal(asked.SignatureSchemes, []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256}) {
				t.Errorf("asked with %+v", asked)
			}
		}
		for _, test := range []struct {
			change func(*Config)
			reason Reason
			alert  Alert
		}{
			{answers(nil, errTest), ReasonCallbackFailed, AlertInternalError},
			{answers(nil, &AlertError{Alert: AlertUserCanceled}), ReasonCallbackFailed, AlertInternalError},
			{answers(&tls.Certificate{Certificate: [][]byte{{1}}}, nil), ReasonCallbackFailed, AlertInternalError},
			{answers(&rsa, nil), ReasonNoCommonSignatureScheme, AlertHandshakeFailure},
			{func(c *Config) {
				c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { panic("GetClientCertificate") }
			}, ReasonCallbackPanicked, AlertInternalError},
			{func(c *Config) { c.Certificates = []tls.Certificate{brokenKey()} }, ReasonSigningFailed, AlertInternalError},
		} {
			r := connect(test.change, post)
			r.wantAlert(test.reason, test.alert)
			checkWiped(t, r.m)
			want := tlstest.Handshake
			if post {
				want = tlstest.Application
			}
			if r.p.Last().Epoch != want {
				t.Errorf("%v: alert under %v", test.reason, r.p.Last().Epoch)
			}
		}
	}
}

// brokenKey returns a client's certificate whose key does not sign.
func brokenKey() tls.Certificate {
	cert := clientCertificateOf()
	cert.PrivateKey = failingSigner{cert.PrivateKey.(crypto.Signer)}
	return cert
}

type failingSigner struct{ crypto.Signer }

func (failingSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return nil, errTest }

// A task that chooses a client's certificate can be answered by hand.
func TestClientCertificateByHand(t *testing.T) {
	for _, cert := range []*tls.Certificate{nil, new(clientCertificateOf())} {
		r := finishedClient(t, TaskChooseCertificate)
		task := r.m.Task()
		if task.CertificateRequest() == nil || task.ClientHello() != nil {
			t.Fatal("no request")
		}
		task.SetCertificate(cert)
		if err := r.m.Done(task); err != nil {
			t.Fatal(err)
		}
		r.step(nil)
		r.wantConnected()
		if shown := r.p.Message(wire.TypeCertificateVerify) != nil; shown != (cert != nil) {
			t.Errorf("shown: %v", shown)
		}
	}
}

// authOutcome is how a connection between a client with a certificate, or without,
// and a server that may ask for it ends: with so many certificates and chains, or
// with an alert of the server.
type authOutcome struct {
	peers, chains int
	alert         Alert
}

func (o authOutcome) String() string {
	if o.alert != 0 {
		return o.alert.String()
	}
	return fmt.Sprintf("%d certificates, %d chains", o.peers, o.chains)
}

// authTable has the outcomes by the server's policy and what the client has.
var authTable = map[tls.ClientAuthType][4]authOutcome{
	//                             given, none, of an unknown authority, expired
	tls.NoClientCert:               {{}, {}, {}, {}},
	tls.RequestClientCert:          {{peers: 1}, {}, {peers: 1}, {peers: 1}},
	tls.RequireAnyClientCert:       {{peers: 1}, {alert: AlertCertificateRequired}, {peers: 1}, {peers: 1}},
	tls.VerifyClientCertIfGiven:    {{peers: 1, chains: 1}, {}, {alert: AlertUnknownCA}, {alert: AlertCertificateExpired}},
	tls.RequireAndVerifyClientCert: {{peers: 1, chains: 1}, {alert: AlertCertificateRequired}, {alert: AlertUnknownCA}, {alert: AlertCertificateExpired}},
}

func eachAuth(t *testing.T, f func(t *testing.T, auth tls.ClientAuthType, get func(*tls.CertificateRequestInfo) (*tls.Certificate, error), want authOutcome)) {
	certs := [4]tls.Certificate{
		clientCertificateOf(),
		{},
		tlstest.Certificate(tlstest.Leaf{UnknownCA: true, ExtKeyUsage: clientUse}),
		tlstest.Certificate(tlstest.Leaf{NotAfter: tlstest.Now.AddDate(0, 0, -1), ExtKeyUsage: clientUse}),
	}
	for auth, outcomes := range authTable {
		for i := range certs {
			t.Run(fmt.Sprintf("%v/%d", auth, i), func(t *testing.T) {
				f(t, auth, func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &certs[i], nil }, outcomes[i])
			})
		}
	}
}

func outcomeOf(state tls.ConnectionState, alert Alert) authOutcome {
	if alert != 0 {
		return authOutcome{alert: alert}
	}
	return authOutcome{peers: len(state.PeerCertificates), chains: len(state.VerifiedChains)}
}

// Our client and our server, in the handshake and after it.
func TestClientAuth(t *testing.T) {
	eachAuth(t, func(t *testing.T, auth tls.ClientAuthType, get func(*tls.CertificateRequestInfo) (*tls.Certificate, error), want authOutcome) {
		client, server := testClientConfig(), testServerConfig()
		client.GetClientCertificate, client.PostHandshakeAuth = get, true
		server.ClientAuth, server.ClientCAs = auth, tlstest.Roots()
		c, s := newPair(t, client, server)
		talk(t, c, s, whole)
		alert, _ := s.SentAlert()
		if got := outcomeOf(s.ConnectionState(), alert); got != want {
			t.Errorf("in the handshake: %v, want %v", got, want)
		}
		if s.State() == StateFailed {
			return
		}
		// After it, the same again; without a policy a chain is verified if there is one.
		again := want
		if auth == tls.NoClientCert {
			cert, _ := get(nil)
			again = authTable[tls.VerifyClientCertIfGiven][certificateKind(cert)]
		}
		for range 2 {
			if err := s.RequestClientCertificate(); err != nil {
				t.Fatal(err)
			}
			_, side := talk(t, c, s, whole)
			alert, _ = s.SentAlert()
			if got := outcomeOf(s.ConnectionState(), alert); got != again {
				t.Errorf("after the handshake: %v, want %v", got, again)
			}
			if s.State() == StateFailed {
				return
			}
			if !slices.Equal(side.events, []EventKind{EventClientCertificate}) {
				t.Errorf("events %v", side.events)
			}
		}
	})
}

// certificateKind tells which of eachAuth's certificates it is.
func certificateKind(cert *tls.Certificate) int {
	switch {
	case len(cert.Certificate) == 0:
		return 1
	case cert.Leaf.NotAfter.Before(tlstest.Now):
		return 3
	case !bytes.Equal(cert.Leaf.RawIssuer, tlstest.RootCertificate().RawSubject):
		return 2
	}
	return 0
}

// Our server and a client of crypto/tls.
func TestClientAuthStdClient(t *testing.T) {
	eachAuth(t, func(t *testing.T, auth tls.ClientAuthType, get func(*tls.CertificateRequestInfo) (*tls.Certificate, error), want authOutcome) {
		cfg := testServerConfig()
		cfg.ClientAuth, cfg.ClientCAs = auth, tlstest.Roots()
		server, err := NewServer(cfg)
		if err != nil {
			t.Fatal(err)
		}
		conn, detach, err := withStd(server, stdClient(func(c *tls.Config) { c.GetClientCertificate = get }))
		if err != nil {
			t.Fatal(err)
		}
		go conn.Write([]byte("ping")) // while an alert comes
		_, err = conn.Read(make([]byte, 4))
		detach()
		alert, _ := server.SentAlert()
		if got := outcomeOf(server.ConnectionState(), alert); got != want || (err != nil) != (want.alert != 0) {
			t.Errorf("%v, want %v; the client has read: %v", got, want, err)
		}
	})
}

// Our client and a server of crypto/tls.
func TestClientAuthStdServer(t *testing.T) {
	eachAuth(t, func(t *testing.T, auth tls.ClientAuthType, get func(*tls.CertificateRequestInfo) (*tls.Certificate, error), want authOutcome) {
		cfg := testClientConfig()
		cfg.GetClientCertificate = get
		client, err := NewClient(cfg)
		if err != nil {
			t.Fatal(err)
		}
		conn, detach, err := withStd(client, stdServer(func(c *tls.Config) { c.ClientAuth, c.ClientCAs = auth, tlstest.Roots() }))
		if err != nil {
			io.Copy(io.Discard, conn.NetConn()) // until the client has the alert, and ends
		}
		detach()
		var remote *RemoteAlert
		var alert Alert
		if errors.As(client.Err(), &remote) {
			alert = remote.Alert
		}
		if got := outcomeOf(conn.ConnectionState(), alert); got != want || (err != nil) != (want.alert != 0) {
			t.Errorf("%v, want %v; the server: %v", got, want, err)
		}
	})
}

// Every kind of key authenticates a client.
func TestClientKeys(t *testing.T) {
	for kind := range tlstest.NumKeyKinds {
		client, server := testClientConfig(), testServerConfig()
		client.Certificates, client.PostHandshakeAuth = []tls.Certificate{tlstest.ClientCertificate(kind)}, true
		requireClient(server)
		c, s := newPair(t, client, server)
		talk(t, c, s, 1)
		if err := s.RequestClientCertificate(); err != nil {
			t.Fatalf("%d: %v (%v, %v)", kind, err, c.Err(), s.Err())
		}
		if _, side := talk(t, c, s, 1); !slices.Equal(side.events, []EventKind{EventClientCertificate}) {
			t.Errorf("%d: events %v, %v, %v", kind, side.events, c.Err(), s.Err())
		}
	}
}
