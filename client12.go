package tlscore

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"slices"

	"tlscore.example/tlscore/internal/record"
	"tlscore.example/tlscore/internal/wire"
)

// clientRules12 is the client of TLS 1.2 as a table, from when the server has chosen
// that version. RFC 5246, Section 7.3; RFC 5077, Section 3.1.
var clientRules12 = ruleTable{
	StateWaitCertificate: {
		{inputCertificate, clientCertificate12, oneOf(StateWaitCertificateStatus, StateVerifyChain)},
	},
	StateWaitCertificateStatus: {
		{inputCertificateStatus, clientCertificateStatus, oneOf(StateVerifyChain)},
		{inputServerKeyExchange, clientNoCertificateStatus, oneOf(StateVerifyChain)},
	},
	StateVerifyChain: {
		{inputTask, clientChainVerified12, oneOf(StateWaitServerKeyExchange, StateWaitRequestOrHelloDone)},
	},
	StateWaitServerKeyExchange: {
		{inputServerKeyExchange, clientServerKeyExchange, oneOf(StateWaitRequestOrHelloDone)},
	},
	StateWaitRequestOrHelloDone: {
		{inputCertificateRequest, clientCertificateRequest12, oneOf(StateWaitServerHelloDone)},
		{inputServerHelloDone, clientServerHelloDone, oneOf(StateAgreeKey)},
	},
	StateWaitServerHelloDone: {
		{inputServerHelloDone, clientServerHelloDone, oneOf(StateChooseCertificate)},
	},
	StateChooseCertificate: {
		{inputTask, clientCertificateChosen12, oneOf(StateAgreeKey)},
	},
	StateAgreeKey: {
		{inputTask, clientKeyAgreed12, oneOf(StateSign, StateWaitNewSessionTicket, StateWaitServerChangeCipherSpec)},
	},
	StateSign: {
		{inputTask, clientSigned12, oneOf(StateWaitNewSessionTicket, StateWaitServerChangeCipherSpec)},
	},
	// "This message MUST be sent if the server included a SessionTicket extension
	// in the ServerHello. This message MUST NOT be sent if the server did not
	// include a SessionTicket extension in the ServerHello."
	// https://www.rfc-editor.org/rfc/rfc5077#section-3.3
	StateWaitNewSessionTicket: {
		{inputNewSessionTicket, clientNewSessionTicket12, oneOf(StateWaitServerChangeCipherSpec)},
	},
	// "It is a fatal error if a Finished message is not preceded by a
	// ChangeCipherSpec message at the appropriate point in the handshake."
	// https://www.rfc-editor.org/rfc/rfc5246#section-7.4.9
	StateWaitServerChangeCipherSpec: {
		{inputChangeCipherSpec, clientChangeCipherSpec, oneOf(StateWaitServerFinished)},
	},
	StateWaitServerFinished: {
		{inputFinished, clientFinished12, oneOf(StateConnected)},
	},
	StateConnected: {
		{inputApplicationData, receiveData, oneOf(StateConnected)},
		{inputHelloRequest, refuseRenegotiation, 0},
	},
}

// checkBefore12 judges what has come and gone before the server chose TLS 1.2.
func (m *Machine) checkBefore12(hello *wire.ServerHello) error {
	// A change_cipher_spec that was dropped as that of TLS 1.3 came before its time in
	// TLS 1.2.
	//
	// "If a TLS implementation receives an unexpected record type, it MUST send
	// an unexpected_message alert."
	// https://www.rfc-editor.org/rfc/rfc5246#section-6
	if m.in.changeCipherSpecs > 0 {
		return violation(ReasonUnexpectedRecord)
	}
	// A client that has sent early data has to fail when the server chooses an older
	// version, which cannot have understood it.
	//
	//	"A client that attempts to send 0-RTT data MUST fail a connection if it
	//	receives a ServerHello with TLS 1.2 or older."
	//
	// https://www.rfc-editor.org/rfc/rfc8446#appendix-D.3
	if m.client.earlyOpen {
		m.refuseEarly(record.Protection{}) // the alert goes out in the clear, which such a server can read
		return violationf(ReasonUnsupportedVersion, "%s with early data", hello.LegacyVersion)
	}
	return nil
}

// clientServerHello12 takes the choice of a server that speaks TLS 1.2.
func clientServerHello12(m *Machine, msg []byte, hello *wire.ServerHello) (State, error) {
	c := m.client
	if err := m.checkBefore12(hello); err != nil {
		return 0, err
	}
	resumes := c.resumes12(hello)
	suite, err := c.checkServerHello12(hello, m.d, resumes)
	if err != nil {
		return 0, err
	}
	c.dropOffer()
	if err := m.checkExtendedMaster(hello.Has(wire.ExtExtendedMasterSecret)); err != nil {
		return 0, err
	}
	t := m.speak12()
	if err := m.takeProtocol(hello.Has(wire.ExtALPN), hello.ALPN); err != nil {
		return 0, err
	}
	if err := m.agreeRecordSize(hello.Has(wire.ExtRecordSizeLimit), hello.RecordSizeLimit); err != nil {
		return 0, err
	}
	t.serverRandom = hello.Random
	t.extended = hello.Has(wire.ExtExtendedMasterSecret)
	t.sessionID = bytes.Clone(hello.SessionID)
	t.keepMessages = !resumes // until it is known that the server wants no certificate
	c.hashHello(suite)
	c.note(msg)
	c.statusExpected = hello.Has(wire.ExtStatusRequest)
	c.ticketExpected = hello.Has(wire.ExtSessionTicket)
	m.conn.cipherSuite = uint16(suite.id)
	m.conn.setNames(m.conn.protocol(), m.cfg.ServerName)
	if resumes {
		return m.resumeClient12()
	}
	c.dropSession12()
	m.keepStaples(nil, hello.SCTs)
	return StateWaitCertificate, nil
}

// checkServerHello12 judges a ServerHello of TLS 1.2, and returns the cipher suite.
func (c *clientHandshake) checkServerHello12(hello *wire.ServerHello, d *derived, resumes bool) (*cipherSuite, error) {
	// The session id of a client that offers no session of TLS 1.2 is there for
	// middleboxes only.
	if !resumes && len(hello.SessionID) > 0 && bytes.Equal(hello.SessionID, c.hello.SessionID) {
		return nil, violationf(ReasonSessionIDMismatch, "the server resumes a session that was not offered")
	}
	// "The single cipher suite selected by the server from the list in
	// ClientHello.cipher_suites."
	// https://www.rfc-editor.org/rfc/rfc5246#section-7.4.1.3
	suite := findSuite(d.suites, tls.VersionTLS12, hello.CipherSuite)
	if suite == nil {
		return nil, violationf(ReasonCipherSuiteNotOffered, "%s", hello.CipherSuite)
	}
	if resumes {
		if err := c.session12.check12(hello); err != nil {
			return nil, err
		}
	}
	// "The single compression algorithm selected by the server from the list in
	// ClientHello.compression_methods."
	// https://www.rfc-editor.org/rfc/rfc5246#section-7.4.1.3
	if hello.CompressionMethod != 0 {
		return nil, violation(ReasonCompression)
	}
	// "Note that only extensions offered by the client can appear in the server's
	// list."
	// https://www.rfc-editor.org/rfc/rfc5246#section-7.4.1.3
	if err := c.checkSolicited(hello.Extensions); err != nil {
		return nil, err
	}
	// "The Supported Point Formats Extension, when used, MUST contain the value 0
	// (uncompressed) as one of the items in the list of point formats."
	// https://www.rfc-editor.org/rfc/rfc8422#section-5.2
	if hello.Has(wire.ExtECPointFormats) && !bytes.Contains(hello.ECPointFormats, pointFormats) {
		return nil, violation(ReasonPointFormats)
	}
	return suite, checkRenegotiation(hello.RenegotiationInfo)
}

// clientCertificate12 takes the server's certificate chain.
func clientCertificate12(m *Machine, msg []byte) (State, error) {
	c := m.client
	var cert wire.Certificate12
	if err := cert.Parse(msg[wire.HeaderLen:]); err != nil {
		return 0, malformed(err)
	}
	if len(cert.Certificates) == 0 {
		return 0, violation(ReasonEmptyCertificate)
	}
	c.rawChain = cloneAll(cert.Certificates) // x509 keeps what it parses
	chain, err := m.d.parseChain(tls.VersionTLS12, c.rawChain)
	m.conn.learn().certificates = chain
	if err != nil {
		return 0, err
	}
	if err := c.checkLeafSuits(m.d, chain[0]); err != nil {
		return 0, err
	}
	c.note(msg)
	if c.statusExpected {
		return StateWaitCertificateStatus, nil
	}
	return m.verifyServer12()
}

// verifyServer12 verifies the server's chain, when all is there that belongs to it.
func (m *Machine) verifyServer12() (State, error) {
	return m.awaitVerdict(StateVerifyChain, m.conn.peer.certificates, m.client.rawChain)
}

// checkLeafSuits judges whether the server's certificate goes with what it chose.
func (c *clientHandshake) checkLeafSuits(d *derived, leaf *x509.Certificate) error {
	// "The end entity certificate's public key (and associated restrictions) MUST
	// be compatible with the selected key exchange algorithm."
	// https://www.rfc-editor.org/rfc/rfc5246#section-7.4.2
	if _, rsa := leaf.PublicKey.(*rsa.PublicKey); rsa != c.suite.rsa {
		return violationf(ReasonCertificateSuite, "a key of %s with %s", leaf.PublicKeyAlgorithm, c.suite.id)
	}
	// "The public key MUST use a curve and point format supported by the client,
	// as described in [TLSECC]."
	// https://www.rfc-editor.org/rfc/rfc5246#section-7.4.2
	if key, ok := leaf.PublicKey.(*ecdsa.PublicKey); ok && !slices.Contains(d.groups, curveID(key.Curve)) {
		return violationf(ReasonUnsupportedCertificate, "a key on %s", key.Curve.Params().Name)
	}
	return nil
}

// clientChainVerified12 notes that the server's chain is good.
func clientChainVerified12(m *Machine, _ []byte) (State, error) {
	if err := m.takeVerdict(); err != nil {
		return 0, err
	}
	if c := m.client; c.heldBack != nil {
		return clientServerKeyExchange(m, c.heldBack)
	}
	return StateWaitServerKeyExchange, nil
}

// clientCertificateStatus takes what an OCSP responder says about the server's
// certificate. RFC 6066, Section 8.
func clientCertificateStatus(m *Machine, msg []byte) (State, error) {
	var status wire.CertificateStatus
	if err := status.Parse(msg[wire.HeaderLen:]); err != nil {
		return 0, malformed(err)
	}
	m.keepStaples(status.OCSPResponse, nil)
	m.client.note(msg)
	return m.verifyServer12()
}

// clientNoCertificateStatus goes on with a server that has announced a
// CertificateStatus and does not send one. Its ServerKeyExchange is for when the chain
// is verified.
//
//	"Note that a server MAY also choose not to send a "CertificateStatus"
//	message, even if has received a "status_request" extension in the client
//	hello message and has sent a "status_request" extension in the server
//	hello message."
//
// https://www.rfc-editor.org/rfc/rfc6066#section-8
func clientNoCertificateStatus(m *Machine, msg []byte) (State, error) {
	m.client.heldBack = bytes.Clone(msg)
	return m.verifyServer12()
}

// clientServerKeyExchange takes the server's key share and checks that it has the
// certificate's key.
func clientServerKeyExchange(m *Machine, msg []byte) (State, error) {
	c := m.client
	var exchange wire.ServerKeyExchange
	if err := exchange.Parse(msg[wire.HeaderLen:]); err != nil {
		return 0, malformed(err)
	}
	// The curve is one of those that the client's extension lists, of which the
	// hybrids are for TLS 1.3 only. RFC 8422, Sections 5.1 and 5.4.
	group := tls.CurveID(exchange.Group)
	if !slices.Contains(m.d.groups, group) || !groupSuits(tls.VersionTLS12, group) {
		return 0, violationf(ReasonGroupNotOffered, "%s", exchange.Group)
	}
	// "If the client has offered the "signature_algorithms" extension, the
	// signature algorithm and hash algorithm MUST be a pair listed in that
	// extension. […] In addition, the hash and signature algorithms MUST be
	// compatible with the key in the server's end-entity certificate."
	// https://www.rfc-editor.org/rfc/rfc5246#section-7.4.3
	leaf, content := m.conn.peer.certificates[0], c.signedParams(exchange.Params)
	if err := m.d.checkSignature(tls.VersionTLS12, leaf, exchange.Algorithm, content, exchange.Signature); err != nil {
		return 0, err
	}
	c.group, c.serverShare = group, bytes.Clone(exchange.Point)
	m.conn.curve = group
	c.note(msg)
	return StateWaitRequestOrHelloDone, nil
}

// clientCertificateRequest12 notes that the server wants a certificate.
func clientCertificateRequest12(m *Machine, msg []byte) (State, error) {
	var request wire.CertificateRequest12
	if err := request.Parse(msg[wire.HeaderLen:]); err != nil {
		return 0, malformed(err)
	}
	m.client.request = m.d.clientRequest12(&request)
	m.client.note(msg)
	return StateWaitServerHelloDone, nil
}

// clientServerHelloDone goes on with the key exchange: the server waits.
func clientServerHelloDone(m *Machine, msg []byte) (State, error) {
	c := m.client
	var done wire.ServerHelloDone
	if err := done.Parse(msg[wire.HeaderLen:]); err != nil {
		return 0, malformed(err)
	}
	if err := m.in.aligned(); err != nil {
		return 0, err
	}
	c.note(msg)
	if c.request != nil {
		return m.await(StateChooseCertificate, m.newClientCertificateTask(c.request.info()))
	}
	c.tls12.dropMessages()
	return m.agreeKey12()
}

// agreeKey12 does the client's part of the key exchange.
func (m *Machine) agreeKey12() (State, error) {
	c := m.client
	return m.await(StateAgreeKey, m.newRespondTask(c.group, c.serverShare))
}

// clientCertificateChosen12 notes what the client authenticates with, if with
// anything.
func clientCertificateChosen12(m *Machine, _ []byte) (State, error) {
	c := m.client
	t, err := m.result()
	if err != nil {
		return 0, err
	}
	if c.credential, c.scheme, err = m.clientCredential(t, c.request); err != nil {
		return 0, err
	}
	if c.credential == nil {
		c.tls12.dropMessages()
	}
	return m.agreeKey12()
}

// clientKeyAgreed12 begins the client's flight, up to what has to be signed.
func clientKeyAgreed12(m *Machine, _ []byte) (State, error) {
	c := m.client
	t, err := m.result()
	if err != nil {
		return 0, err
	}
	defer clear(t.shared)
	// "If no suitable certificate is available, the client MUST send a
	// certificate message containing no certificates."
	// https://www.rfc-editor.org/rfc/rfc5246#section-7.4.6
	switch {
	case c.credential != nil:
		m.emit(c.credential.message12().Append(m.flight()))
	case c.request != nil:
		m.emit((&wire.Certificate12{}).Append(m.flight()))
	}
	m.emit((&wire.ClientKeyExchange{Point: t.public}).Append(m.flight()))
	c.deriveMaster12(t.shared)
	if err := m.deriveKeys12(); err != nil {
		return 0, err
	}
	if c.credential == nil {
		return m.finishClient12()
	}
	return m.await(StateSign, m.newSignTask(c.credential, c.scheme, c.tls12.takeMessages()))
}

// clientSigned12 proves that the certificate is the client's.
func clientSigned12(m *Machine, _ []byte) (State, error) {
	verify, err := m.takeSignature()
	if err != nil {
		return 0, err
	}
	m.emit(verify.Append(m.flight()))
	return m.finishClient12()
}

// finishClient12 ends the client's flight.
func (m *Machine) finishClient12() (State, error) {
	m.sendFinished12()
	return m.client.awaitServer12(), nil
}

// awaitServer12 is where a client waits for the last flight of the server.
func (c *clientHandshake) awaitServer12() State {
	if c.ticketExpected {
		return StateWaitNewSessionTicket
	}
	return StateWaitServerChangeCipherSpec
}

// clientChangeCipherSpec changes to the server's keys.
func clientChangeCipherSpec(m *Machine, fragment []byte) (State, error) {
	return StateWaitServerFinished, m.takeChangeCipherSpec(fragment)
}

// clientFinished12 checks the server's Finished and ends the handshake; in one that
// resumes a session, the client's Finished is still to be sent.
func clientFinished12(m *Machine, msg []byte) (State, error) {
	if err := m.checkFinished12(msg); err != nil {
		return 0, err
	}
	if err := m.verifyConnection(); err != nil {
		return 0, err
	}
	if m.client.resumed != nil {
		m.sendFinished12()
	}
	kept, err := m.keepSession12()
	if err != nil {
		return 0, err
	}
	next, err := m.connected12()
	if kept {
		m.push(EventSessionTicket)
	}
	return next, err
}
