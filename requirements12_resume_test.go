package tlscore

import (
	"crypto/tls"
	"crypto/x509"
	"slices"
	"testing"

	"tlscore.example/tlscore/internal/record"
	"tlscore.example/tlscore/internal/tlstest"
	"tlscore.example/tlscore/internal/wire"
)

// What TLS 1.2 requires where a session is resumed, and where a client shows a
// certificate.

// rigAt makes scenarios of a kind of rig.
func rigAt(newRig func(*testing.T, ...func(*Config)) *rig, change ...func(*Config)) func(State, func(*rig)) scenario {
	return func(s State, do func(*rig)) scenario {
		return scenario{name: "rig", state: s, run: func(t *testing.T) *rig {
			r := newRig(t, change...).bring(s)
			do(r)
			r.run()
			return r
		}}
	}
}

func sendsBuilt(build build) func(*rig) { return func(r *rig) { r.p.Send(build(r.p)) } }

// "If the original session used the extension but the new ServerHello does not
// contain the extension, the client MUST abort the handshake."
// (https://www.rfc-editor.org/rfc/rfc7627#section-5.3)
//
// "If a session is resumed, it must be resumed using the same cipher suite it was
// originally negotiated with."
// (https://www.rfc-editor.org/rfc/rfc5246#section-7.4.1.3)
func TestResumedServerHello12(t *testing.T) {
	bad := func(hook func(*wire.ServerHello)) scenario {
		return rigAt(newResumedClient12)(StateWaitServerHello, func(r *rig) {
			r.p.OnServerHello = hook
			r.p.Send(r.p.ServerHello())
		})
	}
	fails(t, ReasonNoExtendedMasterSecret, AlertHandshakeFailure, bad(withoutExtendedMaster))
	for _, suite := range []wire.CipherSuite{wire.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, wire.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256} {
		fails(t, ReasonCipherSuiteChanged, AlertIllegalParameter, bad(func(m *wire.ServerHello) { m.CipherSuite = suite }))
	}
	fails(t, ReasonCipherSuiteNotOffered, AlertIllegalParameter, bad(func(m *wire.ServerHello) { m.CipherSuite = 0x009c }))
	fails(t, ReasonCompression, AlertIllegalParameter, bad(func(m *wire.ServerHello) { m.CompressionMethod = 1 }))
	fails(t, ReasonRenegotiationInfo, AlertHandshakeFailure, bad(func(m *wire.ServerHello) { m.RenegotiationInfo = make([]byte, 12) }))
	fails(t, ReasonUnsolicitedExtension, AlertUnsupportedExtension, bad(announce(0x1a1a)))
	// Another id stands for another session: the handshake is a full one.
	for _, change := range []func([]byte) []byte{
		func(id []byte) []byte { id[0] ^= 1; return id },
		func(id []byte) []byte { return id[:len(id)-1] },
		func([]byte) []byte { return nil },
	} {
		r := newResumedClient12(t).bring(StateWaitServerHello)
		r.p.Resume = nil
		r.p.OnServerHello = func(m *wire.ServerHello) { m.SessionID = change(slices.Clone(r.p.Hello.SessionID)) }
		r.send(r.p.ServerHello())
		r.wantState(StateWaitCertificate)
		r.path = clientPath12
		r.wantConnected()
		if r.m.ConnectionState().DidResume {
			t.Error("resumed")
		}
	}
}

// A resumption has no other messages than its own: with a certificate left out, and
// back in, the keys would be those of somebody else.
func TestResumedFlight12(t *testing.T) {
	at := rigAt(newResumedClient12)
	for _, build := range []build{
		(*tlstest.Peer).ServerHello, (*tlstest.Peer).CertificateMessage, (*tlstest.Peer).ServerKeyExchange,
		(*tlstest.Peer).CertificateRequest, (*tlstest.Peer).ServerHelloDone, (*tlstest.Peer).Finished, (*tlstest.Peer).NewSessionTicket,
	} {
		fails(t, ReasonUnexpectedMessage, AlertUnexpectedMessage, at(StateWaitServerChangeCipherSpec, sendsBuilt(build)))
	}
	fails(t, ReasonUnexpectedRecord, AlertUnexpectedMessage,
		at(StateWaitServerChangeCipherSpec, withData), at(StateWaitServerFinished, withData))
	fails(t, ReasonBadFinished, AlertDecryptError,
		at(StateWaitServerFinished, badFinished(func(m *wire.Finished) { m.VerifyData[3] ^= 1 })),
		at(StateWaitServerFinished, badFinished(func(m *wire.Finished) { m.VerifyData = nil })))
	// Keys of another master secret. The peer cannot read the alert.
	r := newResumedClient12(t)
	other := *r.p.Resume
	other.Master = make([]byte, 48)
	r.p.Resume = &other
	r.bring(StateWaitServerFinished)
	r.p.Send(r.p.Finished())
	if ev, _ := r.m.Step(r.p.Take()); ev.Kind != EventFailed || reasonOf(r.m.Err()) != ReasonBadRecordMAC {
		t.Errorf("%v, %v", ev, r.m.Err())
	}
	// With a new ticket.
	r = newResumedClient12(t)
	r.p.AskTicket = true
	r.bring(StateWaitServerHello)
	r.send(r.p.ServerHello())
	r.wantState(StateWaitNewSessionTicket)
	fails(t, ReasonUnexpectedRecord, AlertUnexpectedMessage, rigAt(newTicketClient12)(StateWaitNewSessionTicket, sendCCS))
	r.send(r.p.NewSessionTicket())
	r.wantState(StateWaitServerChangeCipherSpec)
	r.path = r.path[1:]
	r.wantConnected()
	if cs := r.m.ConnectionState(); !cs.DidResume || len(cs.PeerCertificates) != 1 || len(r.p.Sessions) != 1 {
		t.Errorf("resumed %v, %d certificates, %d tickets", cs.DidResume, len(cs.PeerCertificates), len(r.p.Sessions))
	}
}

// "If the original session used the "extended_master_secret" extension but the new
// ClientHello does not contain it, the server MUST abort the abbreviated handshake."
// (https://www.rfc-editor.org/rfc/rfc7627#section-5.3)
func TestResumedClientHello12(t *testing.T) {
	fails(t, ReasonNoExtendedMasterSecret, AlertHandshakeFailure, rigAt(newResumedServer12)(StateWaitClientHello, func(r *rig) {
		r.p.EMS = false
		r.p.Send(r.p.ClientHello())
	}))
	// What is no ticket of ours, or no longer, leads to a full handshake.
	for name, prepare := range map[string]func(*rig) *rig{
		"tampered": func(r *rig) *rig {
			r.p.Resume.Ticket = slices.Clone(r.p.Resume.Ticket)
			r.p.Resume.Ticket[30] ^= 1
			return r
		},
		"cut":  func(r *rig) *rig { r.p.Resume.Ticket = r.p.Resume.Ticket[:40]; return r },
		"long": func(r *rig) *rig { r.p.Resume.Ticket = append(slices.Clone(r.p.Resume.Ticket), 0); return r },
		"another suite": func(r *rig) *rig {
			r.p.Suite = wire.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
			return r
		},
	} {
		r := prepare(newResumedServer12(t))
		r.send(r.p.ClientHello())
		if r.m.State() != StateWaitClientKeyExchange || r.p.Resumed {
			t.Errorf("%s: state %v, %v", name, r.m.State(), r.m.Err())
		}
	}
	// A session without a client's certificate, where one is required.
	r := newResumedServer12(t, requireClient)
	r.send(r.p.ClientHello())
	r.wantState(StateWaitClientCertificate)
}

// The client's flight of a resumption, with messages left out and put in.
func TestResumedServerFlight12(t *testing.T) {
	at := rigAt(newResumedServer12)
	for _, build := range []build{
		(*tlstest.Peer).ClientHello, (*tlstest.Peer).ClientKeyExchange, (*tlstest.Peer).CertificateMessage, (*tlstest.Peer).Finished,
	} {
		fails(t, ReasonUnexpectedMessage, AlertUnexpectedMessage, resumedServer(at(StateWaitClientChangeCipherSpec, sendsBuilt(build))))
	}
	fails(t, ReasonUnexpectedRecord, AlertUnexpectedMessage,
		resumedServer(at(StateWaitClientChangeCipherSpec, withData)), resumedServer(at(StateWaitClientFinished, withData)))
	fails(t, ReasonBadFinished, AlertDecryptError,
		resumedServer(at(StateWaitClientFinished, badFinished(func(m *wire.Finished) { m.VerifyData[11] ^= 0x80 }))))
	r := newResumedServer12(t)
	r.wantConnected()
	if len(r.p.Message(wire.TypeCertificate)) > 0 || !r.m.ConnectionState().DidResume {
		t.Error("not resumed")
	}
}

// resumedServer names a scenario; its alert goes out under keys.
func resumedServer(s scenario) scenario {
	s.name = "resumed server"
	return s
}

// badVerify is a CertificateVerify that a server refuses.
func badVerify(prepare func(*tlstest.Peer), hook func(*wire.CertificateVerify)) scenario {
	return rigAt(newAuthServer12)(StateWaitClientCertificateVerify, func(r *rig) {
		prepare(r.p)
		r.p.OnCertificateVerify = hook
		r.p.Send(r.p.CertificateVerify())
	})
}

// "The hash and signature algorithms used in the signature MUST be one of those
// present in the supported_signature_algorithms field of the CertificateRequest
// message. In addition, the hash and signature algorithms MUST be compatible with the
// key in the client's end-entity certificate."
// (https://www.rfc-editor.org/rfc/rfc5246#section-7.4.8)
func TestCertificateVerify12(t *testing.T) {
	nothing := func(*tlstest.Peer) {}
	for _, i := range []int{0, 4, 20, 50} {
		fails(t, ReasonBadSignature, AlertDecryptError, badVerify(nothing, func(m *wire.CertificateVerify) { m.Signature[i] ^= 4 }))
	}
	fails(t, ReasonBadSignature, AlertDecryptError,
		badVerify(nothing, func(m *wire.CertificateVerify) { m.Signature = nil }),
		badVerify(nothing, func(m *wire.CertificateVerify) { m.Signature = append(m.Signature, 0) }),
		// Over another transcript, and in the form of TLS 1.3.
		badVerify(func(p *tlstest.Peer) { p.Hash(tlstest.Message(wire.TypeHelloRequest+1, 1)) }, nil))
	for _, scheme := range []wire.SignatureScheme{0, wire.ECDSASHA1, wire.RSAPKCS1SHA1, 0x0101, wire.Ed448, wire.RSAPSSPSSSHA256} {
		fails(t, ReasonSignatureScheme, AlertIllegalParameter, badVerify(nothing, func(m *wire.CertificateVerify) { m.Algorithm = scheme }))
	}
	for _, scheme := range []wire.SignatureScheme{wire.RSAPSSRSAESHA256, wire.RSAPKCS1SHA256, wire.Ed25519} {
		fails(t, ReasonSignatureScheme, AlertIllegalParameter, badVerify(nothing, func(m *wire.CertificateVerify) { m.Algorithm = scheme }))
	}
	fails(t, ReasonMalformedMessage, AlertDecodeError, rigAt(newAuthServer12)(StateWaitClientCertificateVerify, func(r *rig) {
		r.p.Send(tlstest.Message(wire.TypeCertificateVerify, 4, 3, 0))
	}))
}

// "When sent, it MUST immediately follow the client key exchange message."
// (https://www.rfc-editor.org/rfc/rfc5246#section-7.4.8)
//
// A certificate without it proves nothing, and one that is shown too late, or twice,
// is none.
func TestClientCertificateFlight12(t *testing.T) {
	at := rigAt(newAuthServer12)
	fails(t, ReasonUnexpectedMessage, AlertUnexpectedMessage,
		at(StateWaitClientCertificate, sendsBuilt((*tlstest.Peer).ClientKeyExchange)),
		at(StateWaitClientCertificate, sendsBuilt((*tlstest.Peer).CertificateVerify)),
		at(StateWaitClientCertificate, sendsBuilt((*tlstest.Peer).Finished)),
		at(StateWaitClientKeyExchange, sendsBuilt((*tlstest.Peer).CertificateMessage)),
		at(StateWaitClientKeyExchange, sendsBuilt((*tlstest.Peer).CertificateVerify)),
		at(StateWaitClientCertificateVerify, sendsBuilt((*tlstest.Peer).CertificateMessage)),
		at(StateWaitClientCertificateVerify, sendsBuilt((*tlstest.Peer).ClientKeyExchange)),
		at(StateWaitClientCertificateVerify, sendsBuilt((*tlstest.Peer).Finished)),
		at(StateWaitClientChangeCipherSpec, sendsBuilt((*tlstest.Peer).CertificateVerify)))
	plain := func(r *rig) { r.p.SendPlain(record.TypeChangeCipherSpec, []byte{1}) }
	for _, s := range []State{StateWaitClientCertificate, StateWaitClientKeyExchange, StateWaitClientCertificateVerify} {
		fails(t, ReasonUnexpectedRecord, AlertUnexpectedMessage, at(s, plain))
	}
	// "If the client does not send any certificates, the server MAY at its discretion
	// either continue the handshake without client authentication, or respond with a
	// fatal handshake_failure alert."
	// (https://www.rfc-editor.org/rfc/rfc5246#section-7.4.6)
	empty := func(r *rig) {
		r.p.Certificate = tls.Certificate{}
		r.p.Send(r.p.CertificateMessage())
	}
	fails(t, ReasonNoClientCertificate, AlertHandshakeFailure, at(StateWaitClientCertificate, empty))
	r := newAuthServer12(t, func(c *Config) { c.ClientAuth = tls.VerifyClientCertIfGiven }).bring(StateWaitClientCertificate)
	empty(r)
	r.run()
	r.wantState(StateWaitClientKeyExchange)
	r.send(r.p.ClientKeyExchange())
	r.wantState(StateWaitClientChangeCipherSpec)
	r.p.Certificate = clientCertificateOf()
	r.send(r.p.CertificateVerify())
	r.wantAlert(ReasonUnexpectedMessage, AlertUnexpectedMessage)
	// What is wrong with a chain.
	for _, test := range []struct {
		leaf   tlstest.Leaf
		reason Reason
		alert  Alert
	}{
		{tlstest.Leaf{UnknownCA: true, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, ReasonUnknownAuthority, AlertUnknownCA},
		{tlstest.Leaf{}, ReasonCertificateUsage, AlertUnsupportedCertificate}, // a server's
		{tlstest.Leaf{NotAfter: tlstest.Now.AddDate(0, 0, -1), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}},
			ReasonCertificateExpired, AlertCertificateExpired},
	} {
		fails(t, test.reason, test.alert, at(StateWaitClientCertificate, sendChain12(test.leaf)))
	}
}

// Both roles with certificates of every kind; what the client signs, the peer verifies.
func TestClientCertificates12(t *testing.T) {
	schemes := map[tlstest.KeyKind]tls.SignatureScheme{
		tlstest.ECDSAP256: tls.ECDSAWithP256AndSHA256, tlstest.ECDSAP384: tls.ECDSAWithP384AndSHA384,
		tlstest.ECDSAP521: tls.ECDSAWithP521AndSHA512, tlstest.Ed25519: tls.Ed25519, tlstest.RSA2048: tls.PKCS1WithSHA512,
	}
	for key, scheme := range schemes {
		cert := tlstest.ClientCertificate(key)
		r := newAuthServer12(t)
		r.p.Certificate, r.p.Scheme = cert, scheme
		r.wantConnected()
		if got := r.m.ConnectionState().PeerCertificates; len(got) != 1 || !got[0].Equal(cert.Leaf) {
			t.Errorf("key %d: %d certificates", key, len(got))
		}
		r = newClientRig12(t, func(c *Config) { c.Certificates = []tls.Certificate{cert} })
		r.p.OnCertificateRequest12 = func(m *wire.CertificateRequest12) {
			m.SignatureAlgorithms = []wire.SignatureScheme{wire.SignatureScheme(scheme)}
		}
		r.bring(StateWaitServerHelloDone)
		r.send(r.p.ServerHelloDone())
		if r.p.Message(wire.TypeCertificateVerify) == nil {
			t.Errorf("key %d: no CertificateVerify", key)
		}
		r.wantConnected()
	}
	// One that the server cannot use is not shown.
	for name, hook := range map[string]func(*wire.CertificateRequest12){
		"types": func(m *wire.CertificateRequest12) {
			m.CertificateTypes = []wire.ClientCertificateType{wire.CertTypeRSASign}
		},
		"schemes": func(m *wire.CertificateRequest12) {
			m.SignatureAlgorithms = []wire.SignatureScheme{wire.Ed25519, wire.RSAPSSRSAESHA256}
		},
		"issuers": func(m *wire.CertificateRequest12) { m.CertificateAuthorities = [][]byte{[]byte("0\x00")} },
	} {
		r := newClientRig12(t, withCertificate)
		r.p.OnCertificateRequest12 = hook
		r.bring(StateWaitServerHelloDone)
		r.send(r.p.ServerHelloDone())
		var cert wire.Certificate12
		if err := cert.Parse(r.p.Message(wire.TypeCertificate)); err != nil || len(cert.Certificates) != 0 {
			t.Errorf("%s: %d certificates, %v", name, len(cert.Certificates), err)
		}
		r.wantConnected()
	}
}
