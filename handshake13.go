package tlscore

import "tlscore.example/tlscore/internal/schedule"

// What both roles share in TLS 1.3: the secrets, the keys, and the end of the
// handshake. RFC 8446, Sections 4.4.4 and 7.

// deriveHandshakeSecrets runs the key schedule up to the handshake traffic
// secrets; the transcript ends with ServerHello. RFC 8446, Section 7.1.
func (h *handshake) deriveHandshakeSecrets(shared []byte) {
	if h.resumed == nil {
		h.secret = schedule.NewHandshakeSecret(h.suite.hash, shared)
	} else {
		h.secret = h.early.Handshake(shared)
		h.early.Wipe()
	}
	hash := h.hash()
	h.clientSecret = h.secret.ClientTraffic(hash)
	h.serverSecret = h.secret.ServerTraffic(hash)
}

// changeSendingKey flushes, then makes what follows be sealed with keys derived
// from secret.
func (m *Machine) changeSendingKey(suite *cipherSuite, secret *schedule.TrafficSecret) error {
	key, err := suite.protection(secret)
	if err != nil {
		return failure(ReasonKeyGeneration, err)
	}
	if !m.flushAnd(func(s *sender) { s.dropEarly(); s.replaceKey(key) }) {
		key.Wipe()
	}
	return nil
}

// startSending flushes our Finished, then lets application data be written.
func (m *Machine) startSending(suite *cipherSuite, secret *schedule.TrafficSecret) error {
	key, err := suite.protection(secret)
	if err != nil {
		return failure(ReasonKeyGeneration, err)
	}
	if !m.flushAnd(func(s *sender) { s.start(suite, secret, key) }) {
		key.Wipe()
	}
	m.push(EventWritable)
	return nil
}

// connected ends what the peer has to do in a handshake. There is no way into
// StateConnected but through it, and what has to be true there is checked by it: the
// peer's Finished against the transcript as it was before that message.
func (m *Machine) connected(h *handshake, base *schedule.TrafficSecret, msg, transcript []byte) error {
	if err := checkFinished(msg, base.Finished(h.mac[:0], transcript)); err != nil {
		return err
	}
	if err := m.in.install(h.suite, &h.peerSecret); err != nil {
		return err
	}
	m.keep(receivingSecret, &h.peerSecret.Secret)
	return nil
}
