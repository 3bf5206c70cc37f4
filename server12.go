package tlscore

import (
	"bytes"
	"crypto/tls"
	"slices"

	"tlscore.example/tlscore/internal/wire"
)

// serverRules12 is the server of TLS 1.2 as a table, from when it has chosen that
// version. RFC 5246, Section 7.3; RFC 5077, Section 3.1.
var serverRules12 = ruleTable{
	StateOpenTicket: {
		{inputTask, serverTicketOpened12, oneOf(StateChooseCertificate, StateWaitClientChangeCipherSpec)},
	},
	StateChooseCertificate: {
		{inputTask, serverCertificateChosen12, oneOf(StateMakeKeyShare)},
	},
	StateMakeKeyShare: {
		{inputTask, serverKeyMade12, oneOf(StateSign)},
	},
	StateSign: {
		{inputTask, serverSigned12, oneOf(StateWaitClientCertificate, StateWaitClientKeyExchange)},
	},
	StateWaitClientCertificate: {
		{inputCertificate, serverClientCertificate12, oneOf(StateVerifyChain, StateWaitClientKeyExchange)},
	},
	StateVerifyChain: {
		{inputTask, serverChainVerified12, oneOf(StateWaitClientKeyExchange)},
	},
	StateWaitClientKeyExchange: {
		{inputClientKeyExchange, serverClientKeyExchange, oneOf(StateAgreeKey)},
	},
	StateAgreeKey: {
		{inputTask, serverKeyAgreed12, oneOf(StateWaitClientCertificateVerify, StateWaitClientChangeCipherSpec)},
	},
	StateWaitClientCertificateVerify: {
		{inputCertificateVerify, serverCertificateVerify12, oneOf(StateWaitClientChangeCipherSpec)},
	},
	// "It is a fatal error if a Finished message is not preceded by a
	// ChangeCipherSpec message at the appropriate point in the handshake."
	// https://www.rfc-editor.org/rfc/rfc5246#section-7.4.9
	StateWaitClientChangeCipherSpec: {
		{inputChangeCipherSpec, serverChangeCipherSpec, oneOf(StateWaitClientFinished)},
	},
	StateWaitClientFinished: {
		{inputFinished, serverFinished12, oneOf(StateConnected)},
	},
	StateConnected: {
		{inputApplicationData, receiveData, oneOf(StateConnected)},
		{inputClientHello, refuseRenegotiation, 0},
	},
}

// serverHello12 answers the ClientHello of a client that is to speak TLS 1.2.
func serverHello12(m *Machine) (State, error) {
	s, hello := m.server, &m.hello.ClientHello
	if err := checkClientHello12(hello); err != nil {
		return 0, err
	}
	if err := m.checkExtendedMaster(hello.Has(wire.ExtExtendedMasterSecret)); err != nil {
		return 0, err
	}
	t := m.speak12()
	t.extended = hello.Has(wire.ExtExtendedMasterSecret)
	if err := s.negotiate12(m.d, hello); err != nil {
		return 0, err
	}
	if err := m.takeOffers(hello); err != nil {
		return 0, err
	}
	if candidate := m.candidate12(hello); candidate != nil {
		return m.await(StateOpenTicket, m.newOpenTicketTask(candidate))
	}
	return m.chooseCertificate12()
}

// chooseCertificate12 begins a full handshake.
func (m *Machine) chooseCertificate12() (State, error) {
	m.conn.curve = m.server.group
	return m.await(StateChooseCertificate, m.newCertificateTask())
}

// checkClientHello12 judges what does not depend on the config.
func checkClientHello12(hello *wire.ClientHello) error {
	// "This vector MUST contain, and all implementations MUST support,
	// CompressionMethod.null."
	// https://www.rfc-editor.org/rfc/rfc5246#section-7.4.1.2
	if !bytes.Contains(hello.CompressionMethods, []byte{0}) {
		return violation(ReasonCompression)
	}
	if err := checkServerName(hello); err != nil {
		return err
	}
	// "If the client sends the extension and the extension does not contain the
	// uncompressed point format, and the client has used the Supported Groups
	// extension to indicate support for any of the curves defined in this
	// specification, then the server MUST abort the handshake and return an
	// illegal_parameter alert."
	// https://www.rfc-editor.org/rfc/rfc8422#section-5.1.2
	//
	// Without such a curve the handshake could not go on either.
	if hello.Has(wire.ExtECPointFormats) && !bytes.Contains(hello.ECPointFormats, pointFormats) {
		return violation(ReasonPointFormats)
	}
	return checkRenegotiation(hello.RenegotiationInfo)
}

// negotiate12 chooses the parameters that do not depend on the certificate.
func (s *serverHandshake) negotiate12(d *derived, hello *wire.ClientHello) error {
	if len(d.commonSuites12(hello)) == 0 {
		return violation(ReasonNoCommonCipherSuite)
	}
	for _, id := range d.groups {
		if groupSuits(tls.VersionTLS12, id) && slices.Contains(hello.SupportedGroups, wire.NamedGroup(id)) {
			s.group = id
			break
		}
	}
	if s.group == 0 {
		return violation(ReasonNoCommonGroup)
	}
	return nil
}

// commonSuites12 returns the cipher suites that both sides have, in our order.
func (d *derived) commonSuites12(hello *wire.ClientHello) (common []*cipherSuite) {
	for _, suite := range d.suites {
		if suite.tls12() && slices.Contains(hello.CipherSuites, suite.id) {
			common = append(common, suite)
		}
	}
	return common
}

// serverCertificateChosen12 chooses the cipher suite, which depends on the kind of
// the certificate's key, and makes a key for the key exchange.
func serverCertificateChosen12(m *Machine, _ []byte) (State, error) {
	s := m.server
	t, err := m.result()
	if err != nil {
		return 0, err
	}
	suite, err := s.useCertificate12(m.d, t.certificate, m.hello)
	if err != nil {
		return 0, err
	}
	m.conn.cipherSuite = uint16(suite.id)
	s.tls12.keepMessages = m.cfg.ClientAuth != tls.NoClientCert
	s.startTranscript(suite, m.hello.message)
	return m.await(StateMakeKeyShare, m.newSharesTask(s.group))
}

// useCertificate12 is useCertificate, with what TLS 1.2 asks of a certificate. It
// returns the cipher suite that goes with it.
func (s *serverHandshake) useCertificate12(d *derived, chosen *tls.Certificate, hello *receivedHello) (*cipherSuite, error) {
	suites := d.commonSuites12(&hello.ClientHello)
	request := credentialRequest{
		version:     tls.VersionTLS12,
		schemes:     commonSchemes(d.schemes, hello.SignatureAlgorithms),
		theirs:      hello.SignatureAlgorithms,
		schemesCert: hello.certificateSchemes(),
		serverName:  string(hello.ServerName),
		ecdsa:       slices.ContainsFunc(suites, func(s *cipherSuite) bool { return !s.rsa }),
		rsa:         slices.ContainsFunc(suites, func(s *cipherSuite) bool { return s.rsa }),
		curves:      convert[tls.CurveID](hello.SupportedGroups),
	}
	if err := s.choose(&request, d, chosen); err != nil {
		return nil, err
	}
	rsa := s.credential.signsRSA()
	return suites[slices.IndexFunc(suites, func(s *cipherSuite) bool { return s.rsa == rsa })], nil
}

// serverKeyMade12 begins the server's flight, up to what has to be signed.
func serverKeyMade12(m *Machine, _ []byte) (State, error) {
	s := m.server
	t, err := m.result()
	if err != nil {
		return 0, err
	}
	s.key = t.shares[0]
	with, err := s.credential.attach(m.cfg, m.hello.wantsOCSP(), m.hello.Has(wire.ExtSignedCertificateTimestamp))
	if err != nil {
		return 0, err
	}
	if err := m.newSessionID12(); err != nil {
		return 0, err
	}
	if err := m.sendServerHello12(&with); err != nil {
		return 0, err
	}
	m.emit(s.credential.message12().Append(m.flight()))
	if len(with.ocsp) > 0 {
		m.emit((&wire.CertificateStatus{OCSPResponse: with.ocsp}).Append(m.flight()))
	}
	content := s.signedParams(s.keyExchange().AppendParams(nil))
	return m.await(StateSign, m.newSignTask(s.credential, s.scheme, content))
}

// keyExchange is the ServerKeyExchange without its signature.
func (s *serverHandshake) keyExchange() *wire.ServerKeyExchange {
	return &wire.ServerKeyExchange{Group: wire.NamedGroup(s.group), Point: s.key.public}
}

// sendServerHello12 sends ServerHello.
func (m *Machine) sendServerHello12(with *attachments) error {
	s := m.server
	hello := &wire.ServerHello{
		LegacyVersion:   wire.VersionTLS12,
		SessionID:       s.tls12.sessionID,
		CipherSuite:     s.suite.id,
		ALPN:            s.protocol,
		ECPointFormats:  pointFormats,
		SCTs:            with.scts,
		RecordSizeLimit: s.recordSizeLimit,
	}
	if err := m.cfg.random(hello.Random[:]); err != nil {
		return err
	}
	// "If negotiating TLS 1.2, TLS 1.3 servers MUST set the last 8 bytes of
	// their Random value to the bytes: 44 4F 57 4E 47 52 44 01"
	// https://www.rfc-editor.org/rfc/rfc8446#section-4.1.3
	if m.d.speaks(tls.VersionTLS13) {
		copy(hello.Random[24:], downgradeTLS12)
	}
	s.tls12.serverRandom = hello.Random
	var err error
	if s.announced, err = m.announcesTicket12(); err != nil {
		return err
	}
	hello.Extensions = m.helloExtensions12(with)
	m.emit(hello.Append(m.flight()))
	return nil
}

// helloExtensions12 lists the extensions of ServerHello.
func (m *Machine) helloExtensions12(with *attachments) []wire.Extension {
	s := m.server
	return present([]conditional{
		// "In this event, the server SHALL include an extension of type
		// "server_name" in the (extended) server hello." But "When resuming a
		// session, the server MUST NOT include a server_name extension in the server
		// hello." RFC 6066, Section 3.
		{wire.ExtServerName, m.conn.serverName() != "" && s.resumed == nil},
		// "If the secure_renegotiation flag is set to TRUE, the server MUST
		// include an empty "renegotiation_info" extension in the ServerHello
		// message."
		// https://www.rfc-editor.org/rfc/rfc5746#section-3.6
		{wire.ExtRenegotiationInfo, m.hello.Has(wire.ExtRenegotiationInfo) ||
			slices.Contains(m.hello.CipherSuites, wire.TLS_EMPTY_RENEGOTIATION_INFO_SCSV)},
		// "If a server implementing this document receives the
		// "extended_master_secret" extension, it MUST include the extension in
		// its ServerHello message."
		// https://www.rfc-editor.org/rfc/rfc7627#section-5.2
		{wire.ExtExtendedMasterSecret, s.tls12.extended},
		// "A server that selects an ECC cipher suite in response to a ClientHello
		// message including a Supported Point Formats Extension appends this
		// extension (along with others) to its ServerHello message"
		// https://www.rfc-editor.org/rfc/rfc8422#section-5.2
		{wire.ExtECPointFormats, m.hello.Has(wire.ExtECPointFormats)},
		{wire.ExtALPN, s.protocol != nil},
		{wire.ExtSessionTicket, s.announced},
		{wire.ExtStatusRequest, len(with.ocsp) > 0},
		{wire.ExtSignedCertificateTimestamp, len(with.scts) > 0},
		{wire.ExtRecordSizeLimit, s.recordSizeLimit != 0},
	})
}

// serverSigned12 ends the server's flight.
func serverSigned12(m *Machine, _ []byte) (State, error) {
	s := m.server
	signed, err := m.takeSignature()
	if err != nil {
		return 0, err
	}
	exchange := s.keyExchange()
	exchange.Algorithm, exchange.Signature = signed.Algorithm, signed.Signature
	m.emit(exchange.Append(m.flight()))
	asks := m.cfg.ClientAuth != tls.NoClientCert
	if asks {
		m.emit(m.d.certificateRequest12().Append(m.flight()))
	}
	m.emit((&wire.ServerHelloDone{}).Append(m.flight()))
	m.hello = nil
	if asks {
		return StateWaitClientCertificate, nil
	}
	return StateWaitClientKeyExchange, nil
}

// serverClientCertificate12 takes the client's certificate chain, if it shows one.
func serverClientCertificate12(m *Machine, msg []byte) (State, error) {
	s := m.server
	var cert wire.Certificate12
	if err := cert.Parse(msg[wire.HeaderLen:]); err != nil {
		return 0, malformed(err)
	}
	if len(cert.Certificates) == 0 {
		if err := m.checkNoClientCert(); err != nil {
			return 0, err
		}
		s.note(msg)
		s.tls12.dropMessages()
		return StateWaitClientKeyExchange, nil
	}
	raw := cloneAll(cert.Certificates) // x509 keeps what it parses
	chain, err := m.d.parseChain(tls.VersionTLS12, raw)
	m.conn.learn().certificates = chain
	if err != nil {
		return 0, err
	}
	s.note(msg)
	return m.awaitVerdict(StateVerifyChain, chain, raw)
}

// serverChainVerified12 notes that the client's chain is good.
func serverChainVerified12(m *Machine, _ []byte) (State, error) {
	return StateWaitClientKeyExchange, m.takeVerdict()
}

// serverClientKeyExchange goes on with the key exchange, now that the client's
// share is there.
func serverClientKeyExchange(m *Machine, msg []byte) (State, error) {
	s := m.server
	var exchange wire.ClientKeyExchange
	if err := exchange.Parse(msg[wire.HeaderLen:]); err != nil {
		return 0, malformed(err)
	}
	s.note(msg)
	return m.await(StateAgreeKey, m.newAgreeTask(s.key, exchange.Point))
}

// serverKeyAgreed12 derives the keys, which the client's change_cipher_spec lets be
// used.
func serverKeyAgreed12(m *Machine, _ []byte) (State, error) {
	s := m.server
	t, err := m.result()
	if err != nil {
		return 0, err
	}
	defer clear(t.shared)
	s.deriveMaster12(t.shared)
	if err := m.deriveKeys12(); err != nil {
		return 0, err
	}
	s.key = nil
	if m.conn.peer != nil && m.conn.peer.certificates != nil {
		return StateWaitClientCertificateVerify, nil
	}
	return StateWaitClientChangeCipherSpec, nil
}

// serverCertificateVerify12 checks that the client has the certificate's key: it signs
// all messages so far.
//
//	"The hash and signature algorithms used in the signature MUST be one of those
//	present in the supported_signature_algorithms field of the
//	CertificateRequest message. In addition, the hash and signature algorithms
//	MUST be compatible with the key in the client's end-entity certificate."
//
// https://www.rfc-editor.org/rfc/rfc5246#section-7.4.8
func serverCertificateVerify12(m *Machine, msg []byte) (State, error) {
	leaf, messages := m.conn.peer.certificates[0], m.server.tls12.takeMessages()
	if err := m.checkCertificateVerify(msg, leaf, messages); err != nil {
		return 0, err
	}
	m.server.note(msg)
	return StateWaitClientChangeCipherSpec, nil
}

// serverChangeCipherSpec changes to the client's keys.
func serverChangeCipherSpec(m *Machine, fragment []byte) (State, error) {
	return StateWaitClientFinished, m.takeChangeCipherSpec(fragment)
}

// serverFinished12 checks the client's Finished, answers it with the server's unless
// a session is resumed, and ends the handshake.
//
//	"In the case of a full handshake, the server MUST verify the client's
//	Finished message before sending the ticket."
//
// https://www.rfc-editor.org/rfc/rfc5077#section-3.3
func serverFinished12(m *Machine, msg []byte) (State, error) {
	if err := m.checkFinished12(msg); err != nil {
		return 0, err
	}
	if err := m.verifyConnection(); err != nil {
		return 0, err
	}
	if m.server.resumed == nil {
		if err := m.storeSession12(); err != nil {
			return 0, err
		}
		if err := m.sendTicket12(); err != nil {
			return 0, err
		}
		m.sendFinished12()
	}
	return m.connected12()
}
