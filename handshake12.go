package tlscore

import (
	"crypto/tls"

	"tlscore.example/tlscore/internal/record"
	"tlscore.example/tlscore/internal/schedule"
	"tlscore.example/tlscore/internal/wire"
)

// What the handlers of both roles in TLS 1.2 work with besides. RFC 5246, Sections 6.3
// and 7.4.9; RFC 7627.

// handshake12 is what both roles keep besides of a handshake of TLS 1.2.
type handshake12 struct {
	serverRandom [schedule.RandomLen]byte

	extended bool // the master secret is bound to the handshake. RFC 7627.
	master   *schedule.MasterSecret
	// The keys of both directions, from when they are derived until their
	// change_cipher_spec.
	ownKey, peerKey record.Protection

	// messages are those of the transcript, for as long as a client may have to
	// sign them: the hash that it signs with is known late.
	messages     []byte
	keepMessages bool

	sessionID []byte // the server's; empty when it keeps no session under an id
}

// wipe clears the secrets.
func (h *handshake12) wipe() {
	if h.master != nil {
		h.master.Wipe()
	}
	h.ownKey.Wipe()
	h.peerKey.Wipe()
	h.messages = nil
}

// speak12 goes on with the rules of TLS 1.2.
func (m *Machine) speak12() *handshake12 {
	m.speak(tls.VersionTLS12)
	m.out.owe(false) // the change_cipher_spec of TLS 1.2 is another one
	h := new(handshake12)
	m.handshakeState().tls12 = h
	return h
}

// dropMessages forgets the messages, which nobody will sign any more.
func (h *handshake12) dropMessages() { h.messages, h.keepMessages = nil, false }

// takeMessages returns the messages so far, which are to be signed, and forgets them.
func (h *handshake12) takeMessages() []byte {
	messages := h.messages
	h.dropMessages()
	return messages
}

// deriveMaster12 derives the master secret from the shared secret. The transcript
// ends with ClientKeyExchange.
//
//	"If both the ClientHello and ServerHello contain the extension, the
//	new session uses the extended master secret computation."
//
// https://www.rfc-editor.org/rfc/rfc7627#section-5.2
func (h *handshake) deriveMaster12(shared []byte) {
	t := h.tls12
	if t.extended {
		t.master = schedule.NewExtendedMasterSecret(h.suite.hash, shared, h.hash())
	} else {
		t.master = schedule.NewMasterSecret(h.suite.hash, shared, &h.clientRandom, &t.serverRandom)
	}
}

// deriveKeys12 derives the keys of both directions from the master secret, and
// keeps what keying material is exported from. RFC 5246, Section 6.3.
func (m *Machine) deriveKeys12() error {
	h := m.handshakeState()
	t, aead := h.tls12, h.suite.aead
	block := t.master.KeyBlock(&h.clientRandom, &t.serverRandom, aead.KeyLen(), aead.IV12Len())
	defer block.Wipe()
	clientKey, err := record.New12(aead, block.ClientKey(), block.ClientIV())
	if err != nil {
		return failure(ReasonKeyGeneration, err)
	}
	serverKey, err := record.New12(aead, block.ServerKey(), block.ServerIV())
	if err != nil {
		clientKey.Wipe()
		return failure(ReasonKeyGeneration, err)
	}
	if m.client != nil {
		t.ownKey, t.peerKey = clientKey, serverKey
	} else {
		t.ownKey, t.peerKey = serverKey, clientKey
	}
	exporter := t.master.Exporter(&h.clientRandom, &t.serverRandom)
	m.conn.extra().exporter12, m.conn.extendedMasterSecret = &exporter, t.extended
	return m.logSecret(keyLogClientRandom, t.master.Bytes())
}

// takeChangeCipherSpec changes to the peer's keys. It is the change_cipher_spec of
// the protocol, which its rules allow in one place only.
//
//	"Reception of this message causes the receiver to instruct the record
//	layer to immediately copy the read pending state into the read current
//	state."
//
// https://www.rfc-editor.org/rfc/rfc5246#section-7.1
func (m *Machine) takeChangeCipherSpec(fragment []byte) error {
	// "The message consists of a single byte of value 1."
	// https://www.rfc-editor.org/rfc/rfc5246#section-7.1
	if fragment[0] != 1 {
		return violation(ReasonBadChangeCipherSpec)
	}
	t := m.handshakeState().tls12
	key := t.peerKey
	t.peerKey = record.Protection{}
	return m.in.setKey(key)
}

// sendFinished12 ends our flight: change_cipher_spec, which changes our keys, and
// Finished.
//
//	"Immediately after sending this message, the sender MUST instruct the
//	record layer to make the write pending state the write active state."
//
// https://www.rfc-editor.org/rfc/rfc5246#section-7.1
func (m *Machine) sendFinished12() {
	h := m.handshakeState()
	key := h.tls12.ownKey
	h.tls12.ownKey = record.Protection{}
	if !m.flushAnd(func(s *sender) { s.changeCipherSpec(key) }) {
		key.Wipe()
	}
	finished := h.tls12.master.ServerFinished
	if m.client != nil {
		finished = h.tls12.master.ClientFinished
	}
	m.emit((&wire.Finished{VerifyData: finished(nil, h.hash())}).Append(m.flight()))
}

// checkFinished12 checks the peer's Finished against the transcript as it was before
// that message. Every way into StateConnected leads through it.
func (m *Machine) checkFinished12(msg []byte) error {
	h := m.handshakeState()
	// What follows is application data, in records of its own.
	if err := m.in.aligned(); err != nil {
		return err
	}
	expected := h.tls12.master.ClientFinished
	if m.client != nil {
		expected = h.tls12.master.ServerFinished
	}
	// "Recipients of Finished messages MUST verify that the contents are
	// correct."
	// https://www.rfc-editor.org/rfc/rfc5246#section-7.4.9
	if err := checkFinished(msg, expected(nil, h.hash())); err != nil {
		return err
	}
	h.note(msg)
	return nil
}

// connected12 ends the handshake, when both Finished are sent and verified.
//
//	"Once a side has sent its Finished message and received and validated the
//	Finished message from its peer, it may begin to send and receive
//	application data over the connection."
//
// https://www.rfc-editor.org/rfc/rfc5246#section-7.4.9
func (m *Machine) connected12() (State, error) {
	suite := m.handshakeState().suite
	m.flushAnd(func(s *sender) { s.start12(suite) })
	m.push(EventWritable)
	m.handshakeDone()
	return StateConnected, nil
}

// signedParams is what ServerKeyExchange signs: both randoms and the parameters.
// RFC 8422, Section 5.4.
func (h *handshake) signedParams(params []byte) []byte {
	content := make([]byte, 0, 2*schedule.RandomLen+len(params))
	content = append(content, h.clientRandom[:]...)
	content = append(content, h.tls12.serverRandom[:]...)
	return append(content, params...)
}

// checkRenegotiation judges a renegotiation_info of the peer, if there is one. We
// never renegotiate, so it is that of a first handshake.
//
//	"The client MUST then verify that the length of the
//	"renegotiated_connection" field is zero, and if it is not, MUST abort the
//	handshake (by sending a fatal handshake_failure alert)."
//
// https://www.rfc-editor.org/rfc/rfc5746#section-3.4
//
//	"The server MUST then verify that the length of the
//	"renegotiated_connection" field is zero, and if it is not, MUST abort the
//	handshake."
//
// https://www.rfc-editor.org/rfc/rfc5746#section-3.6
func checkRenegotiation(renegotiated []byte) error {
	if len(renegotiated) != 0 {
		return violation(ReasonRenegotiationInfo)
	}
	return nil
}

// checkExtendedMaster refuses peers without extended_master_secret if that is
// required.
//
//	"If the server receives a ClientHello without the extension, it SHOULD
//	abort the handshake if it does not wish to interoperate with legacy
//	clients."
//
//	"If a client receives a ServerHello without the extension, it SHOULD
//	abort the handshake if it does not wish to interoperate with legacy
//	servers."
//
// https://www.rfc-editor.org/rfc/rfc7627#section-5.2
func (m *Machine) checkExtendedMaster(extended bool) error {
	if !extended && m.cfg.RequireExtendedMasterSecret {
		return violation(ReasonNoExtendedMasterSecret)
	}
	return nil
}

// pointFormats is ec_point_formats: uncompressed, the only one there is. RFC 8422,
// Section 5.1.2.
var pointFormats = []byte{0}

// refuseRenegotiation is the rule for what would begin another handshake: a
// HelloRequest, or a ClientHello. Renegotiation is not supported, and is refused
// with the alert that the RFC has for it, but fatally.
//
//	"no_renegotiation
//	Sent by the client in response to a hello request or by the
//	server in response to a client hello after initial handshaking."
//
// https://www.rfc-editor.org/rfc/rfc5246#section-7.2.2
func refuseRenegotiation(_ *Machine, msg []byte) (State, error) {
	if wire.HandshakeType(msg[0]) == wire.TypeHelloRequest {
		var request wire.HelloRequest
		if err := request.Parse(msg[wire.HeaderLen:]); err != nil {
			return 0, malformed(err)
		}
	}
	return 0, violation(ReasonRenegotiation)
}
