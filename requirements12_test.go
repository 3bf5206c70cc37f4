package tlscore

import (
	"bytes"
	"crypto/tls"
	"slices"
	"testing"

	"tlscore.example/tlscore/internal/record"
	"tlscore.example/tlscore/internal/tlstest"
	"tlscore.example/tlscore/internal/wire"
)

// One test per requirement of TLS 1.2, in the order of the handshake, and besides
// them what an attacker would try.

// build is one that the peer builds.
type build = func(*tlstest.Peer) []byte

// flight12 are the messages of a server, and where a client waits for them; those of
// a client. A nil message is change_cipher_spec.
type flight12 []struct {
	state State
	build build
}

var (
	serverFlight12 = flight12{
		{StateWaitServerHello, (*tlstest.Peer).ServerHello},
		{StateWaitCertificate, (*tlstest.Peer).CertificateMessage},
		{StateWaitServerKeyExchange, (*tlstest.Peer).ServerKeyExchange},
		{StateWaitRequestOrHelloDone, (*tlstest.Peer).ServerHelloDone},
		{StateWaitServerChangeCipherSpec, nil},
		{StateWaitServerFinished, (*tlstest.Peer).Finished},
	}
	clientFlight12 = flight12{
		{StateWaitClientHello, (*tlstest.Peer).ClientHello},
		{StateWaitClientKeyExchange, (*tlstest.Peer).ClientKeyExchange},
		{StateWaitClientChangeCipherSpec, nil},
		{StateWaitClientFinished, (*tlstest.Peer).Finished},
	}
)

// Messages left out, as in the SMACK attacks: each message of a flight in turn, and
// each but the last.
//
// "The handshake protocol messages are presented below in the order they MUST be
// sent; sending handshake messages in an unexpected order results in a fatal error."
// (https://www.rfc-editor.org/rfc/rfc5246#section-7.4)
func TestSkippedMessages12(t *testing.T) {
	skip := func(flight flight12, at func(State, func(*rig), ...func(*Config)) scenario) {
		for i, from := range flight {
			for _, to := range flight[i+1:] {
				if to.build != nil {
					fails(t, ReasonUnexpectedMessage, AlertUnexpectedMessage, at(from.state, func(r *rig) { r.p.Send(to.build(r.p)) }))
				}
			}
		}
	}
	skip(serverFlight12, clientAt12)
	skip(clientFlight12, serverAt12)
	// A client that was not asked for a certificate.
	fails(t, ReasonUnexpectedMessage, AlertUnexpectedMessage,
		serverAt12(StateWaitClientKeyExchange, func(r *rig) { r.p.Send(r.p.CertificateMessage()) }),
		serverAt12(StateWaitClientKeyExchange, func(r *rig) { r.p.Send(tlstest.Message(wire.TypeCertificateVerify, 4, 3, 0, 0)) }))
}

// The same message twice.
func TestRepeatedMessages12(t *testing.T) {
	for i, step := range serverFlight12[:3] {
		s := clientAt12(step.state, func(r *rig) {
			msg := step.build(r.p)
			r.p.Send(msg, msg)
		})
		s.state = serverFlight12[i+1].state
		if i == 0 { // nothing that follows a hello is taken before its version is known
			s.state = StateWaitCertificate
		}
		fails(t, ReasonUnexpectedMessage, AlertUnexpectedMessage, s)
	}
	exchange := serverAt12(StateWaitClientKeyExchange, func(r *rig) {
		msg := r.p.ClientKeyExchange()
		r.p.Send(msg, msg)
	})
	exchange.state = StateWaitClientChangeCipherSpec
	fails(t, ReasonUnexpectedMessage, AlertUnexpectedMessage, exchange)
}

// A change_cipher_spec before its time, which is how CVE-2014-0224 got both ends to
// keys that the attacker knew; and one after it.
//
// "The ChangeCipherSpec message is sent during the handshake after the security
// parameters have been agreed upon, but before the verifying Finished message is
// sent." (https://www.rfc-editor.org/rfc/rfc5246#section-7.1)
//
// "If a TLS implementation receives an unexpected record type, it MUST send an
// unexpected_message alert." (https://www.rfc-editor.org/rfc/rfc5246#section-6)
func TestEarlyChangeCipherSpec(t *testing.T) {
	plain := func(r *rig) { r.p.SendPlain(record.TypeChangeCipherSpec, []byte{1}) }
	for _, s := range []State{
		StateWaitCertificate, StateWaitCertificateStatus, StateWaitServerKeyExchange, StateWaitRequestOrHelloDone, StateWaitServerHelloDone,
		StateWaitServerFinished, StateConnected,
	} {
		fails(t, ReasonUnexpectedRecord, AlertUnexpectedMessage, clientAt12(s, plain))
	}
	for _, s := range []State{StateWaitClientHello, StateWaitClientKeyExchange, StateWaitClientFinished, StateConnected} {
		fails(t, ReasonUnexpectedRecord, AlertUnexpectedMessage, serverAt12(s, plain))
	}
	// In front of a ServerHello it may be that of TLS 1.3, which means nothing, until
	// the ServerHello says otherwise.
	fails(t, ReasonUnexpectedRecord, AlertUnexpectedMessage, clientAt12(StateWaitServerHello, func(r *rig) {
		plain(r)
		r.p.Send(r.p.ServerHello())
	}))
}

// "The message consists of a single byte of value 1."
// (https://www.rfc-editor.org/rfc/rfc5246#section-7.1)
func TestChangeCipherSpecContent(t *testing.T) {
	for _, content := range [][]byte{{0}, {2}, {1, 1}, {}} {
		send := func(r *rig) { r.p.SendPlain(record.TypeChangeCipherSpec, content) }
		fails(t, ReasonBadChangeCipherSpec, AlertUnexpectedMessage,
			clientAt12(StateWaitServerChangeCipherSpec, send), serverAt12(StateWaitClientChangeCipherSpec, send))
	}
}

// A change_cipher_spec inside a handshake message: the rest of it would be under
// other keys than its beginning.
func TestChangeCipherSpecInsideMessage(t *testing.T) {
	for n := 1; n < 16; n += 2 {
		send := func(r *rig) {
			r.p.SendRecord(record.TypeHandshake, r.p.Finished()[:n])
			r.p.SendCCS()
		}
		reason := ReasonInterleavedHandshake
		if n > wire.HeaderLen { // the type is refused first
			reason = ReasonUnexpectedMessage
		}
		fails(t, reason, AlertUnexpectedMessage,
			clientAt12(StateWaitServerChangeCipherSpec, send), serverAt12(StateWaitClientChangeCipherSpec, send))
	}
	// And one that is complete, in front of it.
	send := func(r *rig) {
		r.p.SendRecord(record.TypeHandshake, r.p.Finished())
		r.p.SendCCS()
	}
	fails(t, ReasonUnexpectedMessage, AlertUnexpectedMessage,
		clientAt12(StateWaitServerChangeCipherSpec, send), serverAt12(StateWaitClientChangeCipherSpec, send))
}

// "Application data MUST NOT be sent prior to the completion of the first handshake"
// (https://www.rfc-editor.org/rfc/rfc5246#section-7.3)
func TestEarlyApplicationData12(t *testing.T) {
	for _, step := range serverFlight12[1:] {
		fails(t, ReasonUnexpectedRecord, AlertUnexpectedMessage, clientAt12(step.state, withData))
	}
	for _, step := range clientFlight12 {
		fails(t, ReasonUnexpectedRecord, AlertUnexpectedMessage, serverAt12(step.state, withData))
	}
}

// "Recipients of Finished messages MUST verify that the contents are correct."
// (https://www.rfc-editor.org/rfc/rfc5246#section-7.4.9)
func TestBadFinished12(t *testing.T) {
	both := func(do func(*rig)) []scenario {
		return []scenario{clientAt12(StateWaitServerFinished, do), serverAt12(StateWaitClientFinished, do)}
	}
	for i := range 12 {
		fails(t, ReasonBadFinished, AlertDecryptError, both(badFinished(func(m *wire.Finished) { m.VerifyData[i] ^= 1 << (i % 8) }))...)
	}
	fails(t, ReasonBadFinished, AlertDecryptError, both(badFinished(func(m *wire.Finished) { m.VerifyData = m.VerifyData[:11] }))...)
	fails(t, ReasonBadFinished, AlertDecryptError, both(badFinished(func(m *wire.Finished) { m.VerifyData = append(m.VerifyData, 0) }))...)
	fails(t, ReasonBadFinished, AlertDecryptError, both(badFinished(func(m *wire.Finished) { m.VerifyData = nil }))...)
	// That of the other end, by the label and by the transcript.
	fails(t, ReasonBadFinished, AlertDecryptError, clientAt12(StateWaitServerFinished, func(r *rig) {
		r.p.SendRecord(record.TypeHandshake, tlstest.Message(wire.TypeFinished, r.p.Message(wire.TypeFinished)...))
	}))
	fails(t, ReasonBadFinished, AlertDecryptError, both(badFinished(func(m *wire.Finished) { clear(m.VerifyData) }))...)
	// What is behind it in its record would be application data's.
	fails(t, ReasonKeyChangeAlignment, AlertUnexpectedMessage, both(func(r *rig) {
		r.p.SendRecord(record.TypeHandshake, append(r.p.Finished(), 0))
	})...)
}

// RFC 5246 does not say what to do with bytes behind ServerHelloDone in its record.
// The server waits there, so they belong to nothing.
func TestBehindServerHelloDone(t *testing.T) {
	fails(t, ReasonKeyChangeAlignment, AlertUnexpectedMessage, clientAt12(StateWaitRequestOrHelloDone, func(r *rig) {
		r.p.Send(slices.Concat(r.p.ServerHelloDone(), r.p.HelloRequest()))
	}))
}

// "If the version chosen by the server is not supported by the client (or not
// acceptable), the client MUST send a "protocol_version" alert message and close the
// connection." (https://www.rfc-editor.org/rfc/rfc5246#appendix-E.1)
func TestOldServer12(t *testing.T) {
	for _, v := range []wire.Version{0, wire.VersionSSL30, wire.VersionTLS10, wire.VersionTLS11, wire.VersionTLS13, 0x0305} {
		fails(t, ReasonUnsupportedVersion, AlertProtocolVersion,
			badServerHello12(func(m *wire.ServerHello) { m.LegacyVersion = v }),
			badServerHello12(func(m *wire.ServerHello) { m.LegacyVersion = v }, onlyTLS12))
	}
}

func onlyTLS12(c *Config) { c.MaxVersion = tls.VersionTLS12 }

// "TLS 1.3 clients receiving a ServerHello indicating TLS 1.2 or below MUST check
// that the last 8 bytes are not equal to either of these values. TLS 1.2 clients
// SHOULD also check that the last 8 bytes are not equal to the second value if the
// ServerHello indicates TLS 1.1 or below. If a match is found, the client MUST abort
// the handshake with an "illegal_parameter" alert."
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.1.3)
func TestDowngrade12(t *testing.T) {
	for mark := range byte(2) {
		fails(t, ReasonDowngrade, AlertIllegalParameter,
			badServerHello12(func(m *wire.ServerHello) { copy(m.Random[24:], "DOWNGRD"); m.Random[31] = mark }))
	}
	fails(t, ReasonDowngrade, AlertIllegalParameter,
		badServerHello12(func(m *wire.ServerHello) { m.LegacyVersion = wire.VersionTLS11; copy(m.Random[24:], "DOWNGRD\x00") }, onlyTLS12))
	// A client of TLS 1.2 alone is not downgraded to TLS 1.2, and a value that is
	// nearly the same is none.
	for _, random := range []string{"DOWNGRD\x01", "DOWNGRD\x02", "DOWNGRE\x01"} {
		change := []func(*Config){onlyTLS12}
		if random != "DOWNGRD\x01" {
			change = nil
		}
		r := newClientRig12(t, change...).bring(StateWaitServerHello)
		r.p.OnServerHello = func(m *wire.ServerHello) { copy(m.Random[24:], random) }
		r.send(r.p.ServerHello())
		r.wantConnected()
	}
	// What our server says.
	for version, want := range map[uint16]bool{tls.VersionTLS13: true, tls.VersionTLS12: false} {
		r := newServerRig12(t, func(c *Config) { c.MaxVersion = version }).bring(StateWaitClientKeyExchange)
		var hello wire.ServerHello
		if err := hello.Parse(r.p.Message(wire.TypeServerHello)); err != nil || bytes.Equal(hello.Random[24:], []byte("DOWNGRD\x01")) != want {
			t.Errorf("a server of %#x has the random %x (%v)", version, hello.Random, err)
		}
	}
}

// "If a client receives an extension type in ServerHello that it did not request in
// the associated ClientHello, it MUST abort the handshake with an
// unsupported_extension fatal alert."
// (https://www.rfc-editor.org/rfc/rfc5246#section-7.4.1.4)
func TestUnsolicitedExtension12(t *testing.T) {
	for _, x := range []wire.Extension{
		{Type: wire.ExtALPN, Data: []byte{0, 3, 2, 'h', '2'}},
		{Type: wire.ExtSessionTicket, Data: []byte{}},
		{Type: wire.ExtSignedCertificateTimestamp, Data: []byte{0, 3, 0, 1, 9}},
		{Type: wire.ExtRecordSizeLimit, Data: []byte{1, 0}},
		{Type: wire.ExtMaxFragmentLength, Data: []byte{1}},
		{Type: wire.ExtHeartbeat, Data: []byte{1}},
		{Type: 0x1a1a, Data: []byte{}},
	} {
		fails(t, ReasonUnsolicitedExtension, AlertUnsupportedExtension,
			badServerHello12(func(m *wire.ServerHello) { m.Extensions = append(m.Extensions, x) }))
	}
	fails(t, ReasonUnsolicitedExtension, AlertUnsupportedExtension,
		badServerHello12(announce(wire.ExtStatusRequest), func(c *Config) { c.OCSPStapling = false }))
	// "There MUST NOT be more than one extension of the same type."
	// (https://www.rfc-editor.org/rfc/rfc5246#section-7.4.1.4)
	fails(t, ReasonDuplicateExtension, AlertIllegalParameter,
		badServerHello12(announce(wire.ExtExtendedMasterSecret)),
		badClientHello12(func(m *wire.ClientHello) {
			m.Extensions = append(m.Extensions, tlstest.Extensions(wire.ExtExtendedMasterSecret)...)
		}))
	// Those of TLS 1.3.
	fails(t, ReasonMisplacedExtension, AlertIllegalParameter,
		badServerHello12(func(m *wire.ServerHello) {
			m.Extensions = append(m.Extensions, wire.Extension{Type: wire.ExtKeyShare, Data: []byte{0, 29, 0, 1, 9}})
		}))
}

// "The single cipher suite selected by the server from the list in
// ClientHello.cipher_suites."
//
// "The single compression algorithm selected by the server from the list in
// ClientHello.compression_methods."
//
// (https://www.rfc-editor.org/rfc/rfc5246#section-7.4.1.3)
func TestServerHello12(t *testing.T) {
	for _, suite := range []wire.CipherSuite{
		0, wire.TLS_AES_128_GCM_SHA256, wire.TLS_EMPTY_RENEGOTIATION_INFO_SCSV, wire.TLS_FALLBACK_SCSV,
		0x009c, // TLS_RSA_WITH_AES_128_GCM_SHA256
		0xc013, // TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA
	} {
		fails(t, ReasonCipherSuiteNotOffered, AlertIllegalParameter, badServerHello12(func(m *wire.ServerHello) { m.CipherSuite = suite }))
	}
	fails(t, ReasonCipherSuiteNotOffered, AlertIllegalParameter,
		badServerHello12(func(m *wire.ServerHello) { m.CipherSuite = wire.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 }, func(c *Config) {
			c.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
		}))
	for _, method := range []byte{1, 64, 255} {
		fails(t, ReasonCompression, AlertIllegalParameter, badServerHello12(func(m *wire.ServerHello) { m.CompressionMethod = method }))
	}
	// An id that only helps past middleboxes stands for no session.
	fails(t, ReasonSessionIDMismatch, AlertIllegalParameter, clientAt12(StateWaitServerHello, func(r *rig) {
		r.p.OnServerHello = func(m *wire.ServerHello) { m.SessionID = r.p.Hello.SessionID }
		r.p.Send(r.p.ServerHello())
	}))
	// Without any extension, even without their block.
	for _, hook := range []func(*wire.ServerHello){
		func(m *wire.ServerHello) { m.Extensions = nil },
		func(m *wire.ServerHello) { m.Extensions, m.NoExtensions = nil, true },
		func(m *wire.ServerHello) { m.SessionID = []byte("a session that the server keeps") },
	} {
		r := newClientRig12(t).bring(StateWaitServerHello)
		r.p.OnServerHello = hook
		r.send(r.p.ServerHello())
		r.wantConnected()
	}
	// After a HelloRetryRequest there is no way back to TLS 1.2.
	fails(t, ReasonVersionNotOffered, AlertIllegalParameter, clientAt(StateWaitServerHelloRetry, func(r *rig) {
		r.p.OnServerHello = func(m *wire.ServerHello) {
			m.CipherSuite, m.Extensions = wire.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, nil
		}
		r.p.Send(r.p.ServerHello())
	}, bothVersions))
}

// "The client MUST then verify that the length of the "renegotiated_connection"
// field is zero, and if it is not, MUST abort the handshake (by sending a fatal
// handshake_failure alert)."
// (https://www.rfc-editor.org/rfc/rfc5746#section-3.4)
//
// "The server MUST then verify that the length of the "renegotiated_connection"
// field is zero, and if it is not, MUST abort the handshake."
// (https://www.rfc-editor.org/rfc/rfc5746#section-3.6)
func TestRenegotiationInfo(t *testing.T) {
	for _, info := range [][]byte{{0}, make([]byte, 12), make([]byte, 24)} {
		fails(t, ReasonRenegotiationInfo, AlertHandshakeFailure,
			badServerHello12(func(m *wire.ServerHello) { m.RenegotiationInfo = info }),
			badClientHello12(func(m *wire.ClientHello) { m.RenegotiationInfo = info }))
	}
	// "If the secure_renegotiation flag is set to TRUE, the server MUST include an
	// empty "renegotiation_info" extension in the ServerHello message."
	// (https://www.rfc-editor.org/rfc/rfc5746#section-3.6)
	for how, hook := range map[string]func(*wire.ClientHello){
		"extension": func(*wire.ClientHello) {},
		"SCSV": func(m *wire.ClientHello) {
			without(wire.ExtRenegotiationInfo)(m)
			withSuite(wire.TLS_EMPTY_RENEGOTIATION_INFO_SCSV)(m)
		},
		"none": without(wire.ExtRenegotiationInfo),
	} {
		r := newServerRig12(t)
		r.p.OnClientHello = hook
		r.send(r.p.ClientHello())
		var hello wire.ServerHello
		if err := hello.Parse(r.p.Message(wire.TypeServerHello)); err != nil {
			t.Fatal(err)
		}
		if hello.Has(wire.ExtRenegotiationInfo) != (how != "none") || len(hello.RenegotiationInfo) > 0 {
			t.Errorf("%s: the server answers with %v, %x", how, hello.Has(wire.ExtRenegotiationInfo), hello.RenegotiationInfo)
		}
		r.wantConnected()
	}
	// What our client says.
	r := newClientRig12(t).bring(StateWaitServerHello)
	if !r.p.Hello.Has(wire.ExtRenegotiationInfo) || len(r.p.Hello.RenegotiationInfo) > 0 {
		t.Error("no empty renegotiation_info in the ClientHello")
	}
}

// "no_renegotiation … Sent by the client in response to a hello request or by the
// server in response to a client hello after initial handshaking." It is fatal here.
// (https://www.rfc-editor.org/rfc/rfc5246#section-7.2.2)
func TestRenegotiation12(t *testing.T) {
	fails(t, ReasonRenegotiation, AlertNoRenegotiation,
		clientAt12(StateConnected, func(r *rig) { r.p.Send(r.p.HelloRequest()) }),
		serverAt12(StateConnected, func(r *rig) { r.p.Send(r.p.ClientHello()) }))
	// Inside a handshake.
	for _, step := range serverFlight12[:5] {
		fails(t, ReasonUnexpectedMessage, AlertUnexpectedMessage, clientAt12(step.state, func(r *rig) { r.p.Send(r.p.HelloRequest()) }))
	}
	fails(t, ReasonMalformedMessage, AlertDecodeError,
		clientAt12(StateConnected, func(r *rig) { r.p.Send(tlstest.Message(wire.TypeHelloRequest, 0)) }))
}

// The extended master secret, or not: both ends agree, and both keys are right.
//
// "If the client and server agree on this extension and a full handshake takes place,
// both client and server MUST use the extended master secret derivation algorithm, as
// defined in Section 4." (https://www.rfc-editor.org/rfc/rfc7627#section-5.1)
func TestExtendedMasterSecret(t *testing.T) {
	for _, peer := range []bool{false, true} {
		for _, newRig := range []func(*testing.T, ...func(*Config)) *rig{newClientRig12, newServerRig12} {
			r := newRig(t)
			r.p.EMS = peer
			r.wantConnected()
		}
	}
	// "In all handshakes, a client implementing this document MUST send the
	// "extended_master_secret" extension in its ClientHello."
	// (https://www.rfc-editor.org/rfc/rfc7627#section-5.1)
	if r := newClientRig12(t).bring(StateWaitServerHello); !r.p.Hello.Has(wire.ExtExtendedMasterSecret) {
		t.Error("the client does not offer it")
	}
	// "If a server implementing this document receives the "extended_master_secret"
	// extension, it MUST include the extension in its ServerHello message."
	// (https://www.rfc-editor.org/rfc/rfc7627#section-5.1)
	r := newServerRig12(t).bring(StateWaitClientKeyExchange)
	var hello wire.ServerHello
	if err := hello.Parse(r.p.Message(wire.TypeServerHello)); err != nil || !hello.Has(wire.ExtExtendedMasterSecret) {
		t.Errorf("the server does not answer it: %v", err)
	}
	fails(t, ReasonNoExtendedMasterSecret, AlertHandshakeFailure,
		badServerHello12(withoutExtendedMaster, requireExtendedMaster),
		badClientHello12(without(wire.ExtExtendedMasterSecret), requireExtendedMaster))
	// One that is not empty.
	data := wire.Extension{Type: wire.ExtExtendedMasterSecret, Data: []byte{0}}
	fails(t, ReasonMalformedMessage, AlertDecodeError,
		badServerHello12(func(m *wire.ServerHello) { withoutExtendedMaster(m); m.Extensions = append(m.Extensions, data) }),
		badClientHello12(func(m *wire.ClientHello) {
			without(wire.ExtExtendedMasterSecret)(m)
			m.Extensions = append(m.Extensions, data)
		}))
}

// A client that offers less than it could is refused by a server that can do better.
// RFC 7507, Section 3.
func TestFallback12(t *testing.T) {
	scsv := withSuite(wire.TLS_FALLBACK_SCSV)
	fails(t, ReasonInappropriateFallback, AlertInappropriateFallback, badClientHello12(scsv),
		badClientHello12(func(m *wire.ClientHello) {
			scsv(m)
			m.SupportedVersions = []wire.Version{wire.VersionTLS12, wire.VersionTLS11}
			m.Extensions = append(m.Extensions, tlstest.Extensions(wire.ExtSupportedVersions)...)
		}),
		badClientHello12(func(m *wire.ClientHello) { scsv(m); m.LegacyVersion = wire.VersionTLS11 }),
		badClientHello12(func(m *wire.ClientHello) { scsv(m); m.LegacyVersion = wire.VersionTLS11 }, onlyTLS12))
	r := newServerRig12(t, onlyTLS12)
	r.p.OnClientHello = scsv
	r.wantConnected()
}

// "This vector MUST contain, and all implementations MUST support,
// CompressionMethod.null." (https://www.rfc-editor.org/rfc/rfc5246#section-7.4.1.2)
func TestCompression12(t *testing.T) {
	for _, methods := range [][]byte{{1}, {64, 1}} {
		fails(t, ReasonCompression, AlertIllegalParameter, badClientHello12(func(m *wire.ClientHello) { m.CompressionMethods = methods }))
	}
	r := newServerRig12(t)
	r.p.OnClientHello = func(m *wire.ClientHello) { m.CompressionMethods = []byte{1, 0} }
	r.wantConnected()
}

// Versions that a client of TLS 1.2 may say it has.
//
// "If a TLS server receives a ClientHello containing a version number greater than
// the highest version supported by the server, it MUST reply according to the highest
// version supported by the server."
//
// "If server supports (or is willing to use) only versions greater than
// client_version, it MUST send a "protocol_version" alert message and close the
// connection." (https://www.rfc-editor.org/rfc/rfc5246#appendix-E.1)
func TestClientVersion12(t *testing.T) {
	for _, v := range []wire.Version{wire.VersionTLS12, wire.VersionTLS13, 0x0305, 0x7f12, 0xffff} {
		r := newServerRig12(t)
		r.p.OnClientHello = func(m *wire.ClientHello) { m.LegacyVersion = v }
		r.wantConnected()
		if version := r.m.ConnectionState().Version; version != tls.VersionTLS12 {
			t.Errorf("%s: version %#x", v, version)
		}
	}
	for _, v := range []wire.Version{0, wire.VersionSSL30, wire.VersionTLS10, wire.VersionTLS11} {
		fails(t, ReasonUnsupportedVersion, AlertProtocolVersion, badClientHello12(func(m *wire.ClientHello) { m.LegacyVersion = v }))
	}
	only13 := func(c *Config) { c.MinVersion = tls.VersionTLS13 }
	fails(t, ReasonUnsupportedVersion, AlertProtocolVersion, badClientHello12(func(*wire.ClientHello) {}, only13))
	// "servers MUST NOT use the ClientHello.legacy_version value for version
	// negotiation" (https://www.rfc-editor.org/rfc/rfc8446#section-4.2.1)
	offer := func(versions ...wire.Version) func(*wire.ClientHello) {
		return func(m *wire.ClientHello) {
			m.SupportedVersions = versions
			m.Extensions = append(m.Extensions, tlstest.Extensions(wire.ExtSupportedVersions)...)
		}
	}
	r := newServerRig12(t)
	r.p.OnClientHello = offer(0x1a1a, wire.VersionTLS12)
	r.wantConnected()
	fails(t, ReasonUnsupportedVersion, AlertProtocolVersion,
		badClientHello12(offer(wire.VersionTLS11)), badClientHello12(offer(wire.VersionTLS13, 0x1a1a), onlyTLS12))
}

// What a server has to find in a ClientHello, and what it may do without.
func TestClientHello12(t *testing.T) {
	fails(t, ReasonNoCommonCipherSuite, AlertHandshakeFailure,
		badClientHello12(func(m *wire.ClientHello) { m.CipherSuites = []wire.CipherSuite{0x009c, 0xc013} }),
		// Those of TLS 1.3 are none in TLS 1.2.
		badClientHello12(func(m *wire.ClientHello) { m.CipherSuites = []wire.CipherSuite{wire.TLS_AES_128_GCM_SHA256} }),
		badClientHello12(func(m *wire.ClientHello) { m.CipherSuites = []wire.CipherSuite{wire.TLS_EMPTY_RENEGOTIATION_INFO_SCSV} }))
	// Those that need another kind of key than the server has.
	rsa := serverAt12(StateWaitClientHello, func(r *rig) {
		r.p.Suite = wire.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
		r.p.Send(r.p.ClientHello())
	})
	fails(t, ReasonNoCommonCipherSuite, AlertHandshakeFailure, rsa)
	for _, groups := range [][]wire.NamedGroup{{wire.GroupX448}, {wire.GroupX25519MLKEM768}, {wire.GroupFFDHE2048, 0x1a1a}} {
		fails(t, ReasonNoCommonGroup, AlertHandshakeFailure, badClientHello12(func(m *wire.ClientHello) { m.SupportedGroups = groups }))
	}
	// "If the client sends the extension and the extension does not contain the
	// uncompressed point format, and the client has used the Supported Groups
	// extension to indicate support for any of the curves defined in this
	// specification, then the server MUST abort the handshake and return an
	// illegal_parameter alert."
	// (https://www.rfc-editor.org/rfc/rfc8422#section-5.1.2)
	for _, formats := range [][]byte{{1}, {1, 2}} {
		fails(t, ReasonPointFormats, AlertIllegalParameter, badClientHello12(func(m *wire.ClientHello) { m.ECPointFormats = formats }))
	}
	// "A server MUST accept ClientHello messages both with and without the extensions
	// field, and (as for all other messages) it MUST check that the amount of data in
	// the message precisely matches one of these formats; if not, then it MUST send a
	// fatal "decode_error" alert."
	// (https://www.rfc-editor.org/rfc/rfc5246#section-7.4.1.2)
	fails(t, ReasonMalformedMessage, AlertDecodeError, serverAt12(StateWaitClientHello, func(r *rig) {
		hello := append(r.p.ClientHello(), 0)
		hello[3]++
		r.p.Send(hello)
	}))
	// Without extensions there is no group in common, and SHA-1 is refused.
	r := newServerRig12(t)
	r.p.OnClientHello = func(m *wire.ClientHello) { m.Extensions, m.NoExtensions = nil, true }
	r.send(r.p.ClientHello())
	r.wantAlert(ReasonNoCommonGroup, AlertHandshakeFailure)
	for _, x := range []wire.ExtensionType{wire.ExtECPointFormats, wire.ExtRenegotiationInfo, wire.ExtServerName} {
		r := newServerRig12(t)
		r.p.OnClientHello = without(x)
		r.wantConnected()
	}
}

// "If a TLS implementation receives an unexpected record type" aside, what is wrong
// with a certificate is the same in both versions.
//
// "The end entity certificate's public key (and associated restrictions) MUST be
// compatible with the selected key exchange algorithm."
// (https://www.rfc-editor.org/rfc/rfc5246#section-7.4.2)
func TestCertificate12(t *testing.T) {
	at := func(hook func(*wire.Certificate12)) scenario {
		return clientAt12(StateWaitCertificate, func(r *rig) {
			r.p.OnCertificate12 = hook
			r.p.Send(r.p.CertificateMessage())
		})
	}
	fails(t, ReasonEmptyCertificate, AlertDecodeError, at(func(m *wire.Certificate12) { m.Certificates = nil }))
	fails(t, ReasonMalformedMessage, AlertDecodeError, at(func(m *wire.Certificate12) { m.Certificates = append(m.Certificates, nil) }))
	fails(t, ReasonBadCertificate, AlertBadCertificate, at(func(m *wire.Certificate12) { m.Certificates[0] = []byte("no certificate") }))
	fails(t, ReasonUnknownAuthority, AlertUnknownCA, clientAt12(StateWaitCertificate, sendChain12(tlstest.Leaf{UnknownCA: true})))
	fails(t, ReasonCertificateSuite, AlertIllegalParameter, clientAt12(StateWaitCertificate, sendChain12(tlstest.Leaf{Key: tlstest.RSA2048})))
	rsa := clientAt12(StateWaitServerHello, func(r *rig) {
		r.p.Suite = wire.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
		r.p.Send(r.p.ServerHello(), r.p.CertificateMessage())
	})
	rsa.state = StateWaitCertificate
	fails(t, ReasonCertificateSuite, AlertIllegalParameter, rsa)
	// "The public key MUST use a curve and point format supported by the client, as
	// described in [TLSECC]." (https://www.rfc-editor.org/rfc/rfc5246#section-7.4.2)
	fails(t, ReasonUnsupportedCertificate, AlertUnsupportedCertificate,
		clientAt12(StateWaitCertificate, sendChain12(tlstest.Leaf{Key: tlstest.ECDSAP384}), func(c *Config) {
			c.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP256}
		}))
	// The form of TLS 1.3.
	fails(t, ReasonMalformedMessage, AlertDecodeError, clientAt12(StateWaitCertificate, func(r *rig) {
		cert := wire.Certificate{Entries: []wire.CertificateEntry{{Data: r.p.Certificate.Certificate[0]}}}
		r.p.Send(cert.Append(nil))
	}))
}

// A CertificateStatus where none was announced, and one that says nothing.
// RFC 6066, Section 8.
func TestCertificateStatus(t *testing.T) {
	fails(t, ReasonUnexpectedMessage, AlertUnexpectedMessage,
		clientAt12(StateWaitServerKeyExchange, func(r *rig) { r.p.Send(r.p.CertificateStatus([]byte("response"))) }))
	for _, body := range [][]byte{{}, {1}, {1, 0, 0, 0}, {2, 0, 0, 1, 9}, {1, 0, 0, 1, 9, 9}} {
		fails(t, ReasonMalformedMessage, AlertDecodeError,
			clientAt12(StateWaitCertificateStatus, func(r *rig) { r.p.Send(tlstest.Message(wire.TypeCertificateStatus, body...)) }))
	}
	r := newClientRig12(t).bring(StateWaitCertificateStatus)
	r.send(r.p.CertificateStatus([]byte("response")))
	r.wantConnected()
	if got := r.m.ConnectionState().OCSPResponse; string(got) != "response" {
		t.Errorf("OCSPResponse is %q", got)
	}
}

// badExchange is a ServerKeyExchange that a client refuses.
func badExchange(prepare func(*tlstest.Peer), change ...func(*Config)) scenario {
	return clientAt12(StateWaitServerKeyExchange, func(r *rig) {
		prepare(r.p)
		r.p.Send(r.p.ServerKeyExchange())
	}, change...)
}

// "If the client has offered the "signature_algorithms" extension, the signature
// algorithm and hash algorithm MUST be a pair listed in that extension. … In
// addition, the hash and signature algorithms MUST be compatible with the key in the
// server's end-entity certificate."
// (https://www.rfc-editor.org/rfc/rfc5246#section-7.4.3)
func TestServerKeyExchangeSignature(t *testing.T) {
	sign := func(hook func(*wire.ServerKeyExchange)) scenario {
		return badExchange(func(p *tlstest.Peer) { p.OnServerKeyExchange = hook })
	}
	for _, i := range []int{0, 5, 20, 60} {
		fails(t, ReasonBadSignature, AlertDecryptError, sign(func(m *wire.ServerKeyExchange) { m.Signature[i] ^= 1 }))
	}
	fails(t, ReasonBadSignature, AlertDecryptError,
		sign(func(m *wire.ServerKeyExchange) { m.Signature = nil }),
		sign(func(m *wire.ServerKeyExchange) { m.Signature = append(m.Signature, 0) }),
		// Of other parameters: another key of the same curve.
		sign(func(m *wire.ServerKeyExchange) { m.Point = slices.Clone(m.Point); m.Point[3] ^= 1 }))
	// Of another connection: the randoms differ.
	fails(t, ReasonBadSignature, AlertDecryptError, clientAt12(StateWaitServerKeyExchange, func(r *rig) {
		r.p.Hello.Random[0] ^= 1
		r.p.Send(r.p.ServerKeyExchange())
	}))
	for _, scheme := range []wire.SignatureScheme{
		wire.ECDSASHA1, wire.RSAPKCS1SHA1, wire.Ed448, 0, 0x0101, 0x0802, wire.RSAPSSPSSSHA256,
	} {
		fails(t, ReasonSignatureScheme, AlertIllegalParameter, sign(func(m *wire.ServerKeyExchange) { m.Algorithm = scheme }))
	}
	// Offered, but not of this key.
	for _, scheme := range []wire.SignatureScheme{wire.RSAPSSRSAESHA256, wire.RSAPKCS1SHA256, wire.Ed25519} {
		fails(t, ReasonSignatureScheme, AlertIllegalParameter, sign(func(m *wire.ServerKeyExchange) { m.Algorithm = scheme }))
	}
	// The hash of an ECDSA signature does not depend on the curve in TLS 1.2.
	// RFC 8446, Section 4.2.3.
	r := newClientRig12(t).bring(StateWaitServerKeyExchange)
	r.p.Scheme = tls.ECDSAWithP384AndSHA384
	r.send(r.p.ServerKeyExchange())
	r.wantConnected()
}

// The groups that a server of TLS 1.2 may choose, and the points in them.
//
// "With the NIST curves, each party MUST validate the public key sent by its peer in
// the ClientKeyExchange and ServerKeyExchange messages."
//
// "With X25519 and X448, a receiving party MUST check whether the computed premaster
// secret is the all-zero value and abort the handshake if so, as described in Section
// 6 of [RFC7748]."
//
// (https://www.rfc-editor.org/rfc/rfc8422#section-5.11)
func TestKeyExchangePoints(t *testing.T) {
	for _, g := range []wire.NamedGroup{0, wire.GroupX448, wire.GroupFFDHE2048, wire.GroupX25519MLKEM768, 0x1a1a} {
		fails(t, ReasonGroupNotOffered, AlertIllegalParameter,
			badExchange(func(p *tlstest.Peer) { p.OnECDHParams = func(m *wire.ServerKeyExchange) { m.Group = g } }))
	}
	fails(t, ReasonGroupNotOffered, AlertIllegalParameter,
		badExchange(func(p *tlstest.Peer) { p.Group = wire.GroupP384 }, func(c *Config) {
			c.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP256}
		}))
	for _, group := range []wire.NamedGroup{wire.GroupX25519, wire.GroupP256, wire.GroupP384, wire.GroupP521} {
		for name, spoil := range badPoints(group) {
			t.Run(group.String()+"/"+name, func(t *testing.T) {
				r := newClientRig12(t).bring(StateWaitServerKeyExchange)
				r.p.Group = group
				r.p.OnECDHParams = func(m *wire.ServerKeyExchange) { m.Point = spoil(m.Point) }
				r.send(r.p.ServerKeyExchange())
				r.send(r.p.ServerHelloDone())
				r.wantAlert(ReasonBadKeyShare, AlertIllegalParameter)

				r = newServerRig12(t)
				r.p.Group = group
				r.p.OnClientHello = func(m *wire.ClientHello) { m.SupportedGroups = []wire.NamedGroup{group, wire.GroupP256} }
				if group != wire.GroupP256 {
					r = newServerRig12(t, func(c *Config) { c.CurvePreferences = []tls.CurveID{tls.CurveID(group)} })
					r.p.Group = group
				} else {
					r = newServerRig12(t, onlyP256)
					r.p.Group = group
				}
				r.bring(StateWaitClientKeyExchange)
				r.p.OnClientKeyExchange = func(m *wire.ClientKeyExchange) { m.Point = spoil(m.Point) }
				r.send(r.p.ClientKeyExchange())
				r.wantAlert(ReasonBadKeyShare, AlertIllegalParameter)
			})
		}
	}
	for _, body := range [][]byte{{}, {0}, {3, 4, 5}, {1, 4, 4}} {
		fails(t, ReasonMalformedMessage, AlertDecodeError,
			serverAt12(StateWaitClientKeyExchange, func(r *rig) { r.p.Send(tlstest.Message(wire.TypeClientKeyExchange, body...)) }))
	}
	// explicit_prime, explicit_char2, and those without a signature.
	for _, body := range [][]byte{{}, {1, 0, 29, 1, 4, 4, 3, 0, 0}, {2, 0, 29, 1, 4, 4, 3, 0, 0}, {3, 0, 29}, {3, 0, 29, 0, 4, 3, 0, 0}, {3, 0, 29, 1, 4}} {
		fails(t, ReasonMalformedMessage, AlertDecodeError,
			clientAt12(StateWaitServerKeyExchange, func(r *rig) { r.p.Send(tlstest.Message(wire.TypeServerKeyExchange, body...)) }))
	}
}

// badPoints are what can be wrong with a point.
func badPoints(g wire.NamedGroup) map[string]func([]byte) []byte {
	list := map[string]func([]byte) []byte{
		"short":  func(p []byte) []byte { return p[:len(p)-1] },
		"long":   func(p []byte) []byte { return append(slices.Clone(p), 0) },
		"a byte": func([]byte) []byte { return []byte{0} },
		"zeros":  func(p []byte) []byte { return make([]byte, len(p)) },
	}
	if g == wire.GroupX25519 {
		list["of order 1"] = func(p []byte) []byte { return append([]byte{1}, make([]byte, len(p)-1)...) }
		return list
	}
	list["off the curve"] = func(p []byte) []byte { p = slices.Clone(p); p[len(p)-1] ^= 1; return p }
	list["compressed"] = func(p []byte) []byte { return append([]byte{2 + p[len(p)-1]&1}, p[1:1+len(p)/2]...) }
	list["hybrid"] = func(p []byte) []byte { p = slices.Clone(p); p[0] = 6 + p[len(p)-1]&1; return p }
	list["out of range"] = func(p []byte) []byte {
		return append([]byte{4}, bytes.Repeat([]byte{0xff}, len(p)-1)...)
	}
	return list
}

// Every suite, with every group and either of the secrets, in both roles.
func TestSuites12(t *testing.T) {
	for _, suite := range []wire.CipherSuite{
		wire.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, wire.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
		wire.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, wire.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		wire.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, wire.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	} {
		cert, scheme := localhost(), tls.ECDSAWithP256AndSHA256
		if slices.Contains([]wire.CipherSuite{0xc02f, 0xc030, 0xcca8}, suite) {
			cert, scheme = tlstest.Certificate(tlstest.Leaf{Key: tlstest.RSA2048}), tls.PKCS1WithSHA256
		}
		for _, group := range []wire.NamedGroup{wire.GroupX25519, wire.GroupP256, wire.GroupP384, wire.GroupP521} {
			client := newClientRig12(t)
			client.p.Suite, client.p.Group, client.p.Certificate, client.p.Scheme = suite, group, cert, scheme
			client.wantConnected()
			server := newServerRig12(t, func(c *Config) {
				c.Certificates = []tls.Certificate{cert}
				c.CurvePreferences = []tls.CurveID{tls.CurveID(group)}
			})
			server.p.Suite, server.p.Group = suite, group
			server.wantConnected()
			for _, cs := range []tls.ConnectionState{client.m.ConnectionState(), server.m.ConnectionState()} {
				if cs.CipherSuite != uint16(suite) || cs.CurveID != tls.CurveID(group) || cs.Version != tls.VersionTLS12 {
					t.Errorf("%s, %s: %#x, %s, %#x", suite, group, cs.CipherSuite, cs.CurveID, cs.Version)
				}
			}
		}
	}
}

// "This document describes TLS Version 1.2, which uses the version { 3, 3 }."
// (https://www.rfc-editor.org/rfc/rfc5246#section-6.2.1)
func TestRecordVersion12(t *testing.T) {
	for _, v := range []string{"\x03\x01", "\x03\x02", "\x03\x04", "\x02\x03", "\x03\x00"} {
		for _, typ := range []string{"\x16", "\x15", "\x14", "\x17"} {
			header := raw(typ + v + "\x00\x01")
			fails(t, ReasonRecordVersionChanged, AlertProtocolVersion,
				clientAt12(StateWaitCertificate, header), clientAt12(StateWaitServerFinished, header), clientAt12(StateConnected, header),
				serverAt12(StateWaitClientKeyExchange, header), serverAt12(StateConnected, header))
		}
	}
}

// "The length MUST NOT exceed 2^14."
//
// "The length MUST NOT exceed 2^14 + 2048."
//
// (https://www.rfc-editor.org/rfc/rfc5246#section-6.2)
func TestRecordLengths12(t *testing.T) {
	connected := func(do func(*rig)) []scenario {
		return []scenario{clientAt12(StateConnected, do), serverAt12(StateConnected, do)}
	}
	fails(t, ReasonRecordOverflow, AlertRecordOverflow,
		clientAt12(StateWaitCertificate, raw("\x16\x03\x03\x40\x01")), serverAt12(StateWaitClientKeyExchange, raw("\x16\x03\x03\xff\xff")))
	fails(t, ReasonRecordOverflow, AlertRecordOverflow, connected(raw("\x17\x03\x03\x48\x01"))...)
	for _, n := range []int{1<<14 + 1, 1<<14 + 256, 1<<14 + 2048 - 24} {
		fails(t, ReasonRecordOverflow, AlertRecordOverflow, connected(func(r *rig) { r.p.SendLong(record.TypeApplicationData, make([]byte, n)) })...)
	}
	fails(t, ReasonRecordOverflow, AlertRecordOverflow,
		connected(func(r *rig) { r.p.SendLong(record.TypeHandshake, make([]byte, 1<<14+1)) })...)
	for _, newRig := range []func(*testing.T, ...func(*Config)) *rig{newClientRig12, newServerRig12} {
		r := newRig(t).bring(StateConnected)
		r.p.SendLong(record.TypeApplicationData, make([]byte, 1<<14))
		r.run()
		if len(r.data) != 1<<14 {
			t.Errorf("%d bytes arrived (%v)", len(r.data), r.m.Err())
		}
	}
	// Too short for a nonce and a tag.
	for n := range byte(24) {
		fails(t, ReasonBadRecordMAC, AlertBadRecordMAC,
			connected(func(r *rig) { r.p.SendPlain(record.TypeApplicationData, make([]byte, n)) })...)
	}
}

// "If the decryption fails, a fatal bad_record_mac alert MUST be generated."
// (https://www.rfc-editor.org/rfc/rfc5246#section-6.2.3.3)
func TestBadMAC12(t *testing.T) {
	both := func(s1, s2 State, do func(*rig)) []scenario {
		return []scenario{clientAt12(s1, do), serverAt12(s2, do)}
	}
	tamper := func(change func([]byte) []byte) func(*rig) {
		return func(r *rig) {
			withData(r)
			r.p.SendRaw(change(r.p.Take()))
		}
	}
	// A bit of the nonce, of the text, of the tag; and of the type, which is
	// authenticated, as the length is.
	for _, i := range []int{0, 5, 12, 13, 16, 17, 32} {
		fails(t, ReasonBadRecordMAC, AlertBadRecordMAC, both(StateConnected, StateConnected, tamper(func(b []byte) []byte {
			b[i] ^= 1
			return b
		}))...)
	}
	fails(t, ReasonBadRecordMAC, AlertBadRecordMAC, both(StateConnected, StateConnected, tamper(func(b []byte) []byte {
		b[4]--
		return b[:len(b)-1]
	}))...)
	// Once more, and out of order.
	fails(t, ReasonBadRecordMAC, AlertBadRecordMAC, both(StateConnected, StateConnected, tamper(func(b []byte) []byte { return append(b, b...) }))...)
	fails(t, ReasonBadRecordMAC, AlertBadRecordMAC, both(StateConnected, StateConnected, func(r *rig) {
		withData(r)
		first := r.p.Take()
		withData(r)
		r.p.SendRaw(append(r.p.Take(), first...))
	})...)
	// The machine's own record, back to it.
	fails(t, ReasonBadRecordMAC, AlertBadRecordMAC, both(StateConnected, StateConnected, func(r *rig) {
		r.m.Write([]byte("data"))
		out := bytes.Clone(r.m.Output())
		r.read()
		r.p.SendRaw(out)
	})...)
	// Finished in the clear, behind change_cipher_spec.
	fails(t, ReasonBadRecordMAC, AlertBadRecordMAC, both(StateWaitServerFinished, StateWaitClientFinished, func(r *rig) {
		r.p.SendPlain(record.TypeHandshake, r.p.Finished())
	})...)
}

// "Implementations MUST NOT send zero-length fragments of Handshake, Alert, or
// ChangeCipherSpec content types." (https://www.rfc-editor.org/rfc/rfc5246#section-6.2.1)
func TestZeroLengthFragments12(t *testing.T) {
	for _, typ := range []record.ContentType{record.TypeHandshake, record.TypeAlert} {
		send := func(r *rig) { r.p.SendRecord(typ, nil) }
		fails(t, ReasonEmptyRecord, AlertUnexpectedMessage,
			clientAt12(StateWaitCertificate, send), clientAt12(StateWaitServerFinished, send), clientAt12(StateConnected, send),
			serverAt12(StateWaitClientKeyExchange, send), serverAt12(StateConnected, send))
	}
	// "Zero-length fragments of Application data MAY be sent as they are potentially
	// useful as a traffic analysis countermeasure."
	// (https://www.rfc-editor.org/rfc/rfc5246#section-6.2.1)
	r := newClientRig12(t).bring(StateConnected)
	for range 4 {
		r.p.SendRecord(record.TypeApplicationData, nil)
	}
	withData(r)
	if r.run(); string(r.data) != "data" {
		t.Errorf("received %q (%v)", r.data, r.m.Err())
	}
}

// A record of another type inside a handshake message.
func TestInterleavedRecords12(t *testing.T) {
	part := func(then func(*rig)) func(*rig) {
		return func(r *rig) {
			r.p.SendRecord(record.TypeHandshake, []byte{byte(wire.TypeHelloRequest), 0, 0})
			then(r)
		}
	}
	fails(t, ReasonInterleavedHandshake, AlertUnexpectedMessage,
		clientAt12(StateConnected, part(withData)), serverAt12(StateConnected, part(withData)),
		clientAt12(StateWaitCertificate, part(sendUserCanceled)), serverAt12(StateWaitClientKeyExchange, part(sendUserCanceled)))
}

// Warnings are let through, a few of them, and close_notify ends.
func TestAlerts12(t *testing.T) {
	for _, newRig := range []func(*testing.T, ...func(*Config)) *rig{newClientRig12, newServerRig12} {
		r := newRig(t).bring(StateConnected)
		for range maxWarnings {
			r.p.SendAlert(1, byte(AlertUnrecognizedName))
		}
		r.run()
		r.wantState(StateConnected)
		r.p.SendAlert(1, byte(AlertUnrecognizedName))
		r.run()
		r.wantAlert(ReasonTooManyWarnings, AlertUnexpectedMessage)

		r = newRig(t).bring(StateConnected)
		withData(r)
		r.p.SendAlert(1, byte(AlertCloseNotify))
		r.run()
		if r.wantState(StateClosed); r.closed.Truncated || string(r.data) != "data" {
			t.Errorf("closed: %v, %q", r.closed, r.data)
		}
		if n, err := r.m.Write([]byte("more")); n != 4 || err != nil {
			t.Errorf("Write behind the peer's close: %d, %v", n, err)
		}
		r.m.CloseWrite()
		items := r.read()
		if last := items[len(items)-1]; string(items[0].Body) != "more" || last.Epoch != tlstest.Application || !bytes.Equal(last.Body, []byte{1, 0}) {
			t.Errorf("sent %v", items)
		}
		r = newRig(t).bring(StateConnected)
		if err := r.m.KeyUpdate(false); err != ErrVersion {
			t.Errorf("KeyUpdate: %v", err)
		}
	}
	for _, body := range [][]byte{{1}, {1, 0, 0}} {
		send := func(r *rig) { r.p.SendRecord(record.TypeAlert, body) }
		fails(t, ReasonBadAlert, AlertDecodeError, clientAt12(StateConnected, send), serverAt12(StateConnected, send))
	}
}

// Bytes behind a message that has an end.
func TestTrailingData12(t *testing.T) {
	longer := func(build build) func(*rig) {
		return func(r *rig) {
			msg := append(build(r.p), 0)
			n := len(msg) - wire.HeaderLen
			msg[2], msg[3] = byte(n>>8), byte(n)
			r.p.Send(msg)
		}
	}
	for _, step := range serverFlight12[:4] {
		fails(t, ReasonMalformedMessage, AlertDecodeError, clientAt12(step.state, longer(step.build)))
	}
	fails(t, ReasonMalformedMessage, AlertDecodeError,
		clientAt12(StateWaitRequestOrHelloDone, longer((*tlstest.Peer).CertificateRequest)),
		serverAt12(StateWaitClientHello, longer((*tlstest.Peer).ClientHello)),
		serverAt12(StateWaitClientKeyExchange, longer((*tlstest.Peer).ClientKeyExchange)))
}

// "If no suitable certificate is available, the client MUST send a certificate
// message containing no certificates."
// (https://www.rfc-editor.org/rfc/rfc5246#section-7.4.6)
func TestCertificateRequest12(t *testing.T) {
	r := newClientRig12(t).bring(StateWaitServerHelloDone)
	r.send(r.p.ServerHelloDone())
	var cert wire.Certificate12
	if body := r.p.Message(wire.TypeCertificate); body == nil || cert.Parse(body) != nil || len(cert.Certificates) != 0 {
		t.Errorf("the client has sent the Certificate %x", body)
	}
	if r.p.Message(wire.TypeCertificateVerify) != nil {
		t.Error("the client has signed without a certificate")
	}
	r.wantConnected()
	for _, body := range [][]byte{{}, {0, 0, 2, 4, 3, 0, 0}, {1, 64, 0, 0, 0, 0}, {1, 64, 0, 3, 4, 3, 4, 0, 0}, {1, 64, 0, 2, 4, 3}, {1, 64, 0, 2, 4, 3, 0, 2, 0, 0}} {
		fails(t, ReasonMalformedMessage, AlertDecodeError,
			clientAt12(StateWaitRequestOrHelloDone, func(r *rig) { r.p.Send(tlstest.Message(wire.TypeCertificateRequest, body...)) }))
	}
}

// Messages in pieces of a byte, and all in one record.
func TestFragments12(t *testing.T) {
	r := newClientRig12(t).bring(StateWaitServerHello)
	r.p.Send(r.p.ServerHello(), r.p.CertificateMessage(), r.p.ServerKeyExchange())
	r.p.Send(r.p.ServerHelloDone())
	r.run()
	r.wantState(StateWaitServerChangeCipherSpec)
	r.wantConnected()
	r = newClientRig12(t).bring(StateWaitServerHello)
	r.p.SendPieces(r.p.ServerHello(), 1)
	r.p.SendPieces(r.p.CertificateMessage(), 50)
	r.p.SendPieces(r.p.ServerKeyExchange(), 3)
	r.p.SendPieces(r.p.ServerHelloDone(), 1)
	r.run()
	r.p.SendCCS()
	r.p.SendPieces(r.p.Finished(), 5)
	r.run()
	r.wantConnected()
	r = newServerRig12(t)
	r.p.SendPieces(r.p.ClientHello(), 9)
	r.run()
	r.p.SendPieces(r.p.ClientKeyExchange(), 2)
	r.p.SendCCS()
	r.p.SendPieces(r.p.Finished(), 1)
	r.run()
	r.wantConnected()
}
