package tlscore

import (
	"bytes"
	"crypto/tls"
	"slices"

	"tlscore.example/tlscore/internal/record"
	"tlscore.example/tlscore/internal/wire"
)

// clientRules13 is the client of TLS 1.3 as a table, from when the server has chosen
// that version. RFC 8446, Appendix A.1.
var clientRules13 = ruleTable{
	StateMakeKeyShare: {
		{inputTask, clientRetryShares, oneOf(StateWaitServerHelloRetry)},
	},
	// "If a client receives a second HelloRetryRequest in the same connection
	// (i.e., where the ClientHello was itself in response to a
	// HelloRetryRequest), it MUST abort the handshake with an
	// "unexpected_message" alert."
	// https://www.rfc-editor.org/rfc/rfc8446#section-4.1.4
	StateWaitServerHelloRetry: {
		{inputServerHello, clientServerHello, oneOf(StateAgreeKey)},
		{inputChangeCipherSpec, dropChangeCipherSpec, oneOf(StateWaitServerHelloRetry)},
	},
	StateAgreeKey: {
		{inputTask, clientKeyAgreed, oneOf(StateWaitEncryptedExtensions)},
	},
	StateWaitEncryptedExtensions: {
		{inputEncryptedExtensions, clientEncryptedExtensions, oneOf(StateWaitCertificateOrRequest, StateWaitServerFinished)},
		{inputChangeCipherSpec, dropChangeCipherSpec, oneOf(StateWaitEncryptedExtensions)},
	},
	StateWaitCertificateOrRequest: {
		{inputCertificateRequest, clientCertificateRequest, oneOf(StateWaitCertificate)},
		{inputCertificate, clientCertificate, oneOf(StateVerifyChain)},
		{inputChangeCipherSpec, dropChangeCipherSpec, oneOf(StateWaitCertificateOrRequest)},
	},
	StateWaitCertificate: {
		{inputCertificate, clientCertificate, oneOf(StateVerifyChain)},
		{inputChangeCipherSpec, dropChangeCipherSpec, oneOf(StateWaitCertificate)},
	},
	StateVerifyChain: {
		{inputTask, clientChainVerified, oneOf(StateWaitCertificateVerify)},
	},
	StateWaitCertificateVerify: {
		{inputCertificateVerify, clientCertificateVerify, oneOf(StateWaitServerFinished)},
		{inputChangeCipherSpec, dropChangeCipherSpec, oneOf(StateWaitCertificateVerify)},
	},
	StateWaitServerFinished: {
		{inputFinished, clientFinished, oneOf(StateChooseCertificate, StateConnected)},
		{inputChangeCipherSpec, dropChangeCipherSpec, oneOf(StateWaitServerFinished)},
	},
	StateChooseCertificate: {
		{inputTask, clientCertificateChosen, oneOf(StateSign, StateConnected)},
	},
	StateSign: {
		{inputTask, clientSigned, oneOf(StateConnected)},
	},
	StateConnected: {
		{inputApplicationData, receiveData, oneOf(StateConnected)},
		{inputKeyUpdate, receiveKeyUpdate, oneOf(StateConnected)},
		{inputNewSessionTicket, clientNewSessionTicket, oneOf(StateConnected)},
		{inputCertificateRequest, clientPostRequest, oneOf(StatePostChooseCertificate)},
	},
	StatePostChooseCertificate: {
		{inputTask, clientPostChosen, oneOf(StatePostSign, StateConnected)},
	},
	StatePostSign: {
		{inputTask, clientPostSigned, oneOf(StateConnected)},
	},
}

// checkServerHello judges what a ServerHello and a HelloRetryRequest have in
// common, and returns the cipher suite.
func (c *clientHandshake) checkServerHello(hello *wire.ServerHello, d *derived) (*cipherSuite, error) {
	// "A client which receives a legacy_session_id_echo field that does not match
	// what it sent in the ClientHello MUST abort the handshake with an
	// "illegal_parameter" alert."
	// https://www.rfc-editor.org/rfc/rfc8446#section-4.1.3
	if !bytes.Equal(hello.SessionID, c.hello.SessionID) {
		return nil, violation(ReasonSessionIDMismatch)
	}
	// "A client which receives a cipher suite that was not offered MUST abort the
	// handshake with an "illegal_parameter" alert."
	// https://www.rfc-editor.org/rfc/rfc8446#section-4.1.3
	suite := findSuite(d.suites, tls.VersionTLS13, hello.CipherSuite)
	if suite == nil {
		return nil, violationf(ReasonCipherSuiteNotOffered, "%s", hello.CipherSuite)
	}
	// "legacy_compression_method: A single byte which MUST have the value 0."
	// https://www.rfc-editor.org/rfc/rfc8446#section-4.1.3
	if hello.CompressionMethod != 0 {
		return nil, violation(ReasonCompression)
	}
	return suite, c.checkSolicited(hello.Extensions)
}

// clientHelloRetryRequest takes the server's wish for a second ClientHello.
func clientHelloRetryRequest(m *Machine, msg []byte) (State, error) {
	c := m.client
	var retry wire.ServerHello
	if err := retry.Parse(msg[wire.HeaderLen:]); err != nil {
		return 0, malformed(err)
	}
	suite, err := m.checkHelloRetryRequest(&retry)
	if err != nil {
		return 0, err
	}
	m.speak(tls.VersionTLS13)
	c.retry = &retryRequest{suite: suite, group: tls.CurveID(retry.SelectedGroup)}
	m.conn.retried = true
	m.refuseEarly(record.Protection{})
	c.retryOffer(suite, msg)
	c.hashHello(suite)
	c.transcript.HelloRetry()
	c.transcript.Write(msg)
	if retry.Has(wire.ExtCookie) {
		// "the client MUST copy the contents of the extension received in the
		// HelloRetryRequest into a "cookie" extension in the new ClientHello."
		// https://www.rfc-editor.org/rfc/rfc8446#section-4.2.2
		c.hello.Cookie = bytes.Clone(retry.Cookie)
		c.hello.Extensions = append(c.hello.Extensions, wire.Extension{Type: wire.ExtCookie})
	}
	if c.retry.group == 0 {
		return m.sendSecondHello()
	}
	return m.await(StateMakeKeyShare, m.newSharesTask(c.retry.group))
}

// checkHelloRetryRequest judges a HelloRetryRequest, and returns the cipher suite.
func (m *Machine) checkHelloRetryRequest(retry *wire.ServerHello) (*cipherSuite, error) {
	c := m.client
	// "The server's extensions MUST contain "supported_versions"."
	// https://www.rfc-editor.org/rfc/rfc8446#section-4.1.4
	if !retry.Has(wire.ExtSupportedVersions) {
		return nil, violationf(ReasonMissingExtension, "%s in HelloRetryRequest", wire.ExtSupportedVersions)
	}
	if _, err := c.serverVersion(retry, m.d); err != nil {
		return nil, err
	}
	suite, err := c.checkServerHello(retry, m.d)
	if err != nil {
		return nil, err
	}
	if err := m.in.aligned(); err != nil {
		return nil, err
	}
	return suite, c.checkRetry(retry, m.d)
}

// checkRetry judges what only a HelloRetryRequest has.
func (c *clientHandshake) checkRetry(retry *wire.ServerHello, d *derived) error {
	if !retry.Has(wire.ExtKeyShare) {
		// "Clients MUST abort the handshake with an "illegal_parameter" alert if
		// the HelloRetryRequest would not result in any change in the
		// ClientHello."
		// https://www.rfc-editor.org/rfc/rfc8446#section-4.1.4
		if !retry.Has(wire.ExtCookie) {
			return violation(ReasonUselessHelloRetryRequest)
		}
		return nil
	}
	// "the client MUST verify that (1) the selected_group field corresponds to a
	// group which was provided in the "supported_groups" extension in the
	// original ClientHello and (2) the selected_group field does not correspond
	// to a group which was provided in the "key_share" extension in the original
	// ClientHello."
	// https://www.rfc-editor.org/rfc/rfc8446#section-4.2.8
	id := tls.CurveID(retry.SelectedGroup)
	if !slices.Contains(d.groups, id) {
		return violationf(ReasonGroupNotOffered, "%s", retry.SelectedGroup)
	}
	if c.share(id) != nil {
		return violationf(ReasonUselessHelloRetryRequest, "%s has a share already", retry.SelectedGroup)
	}
	return nil
}

// clientRetryShares puts the key share that the server wants into the ClientHello.
func clientRetryShares(m *Machine, _ []byte) (State, error) {
	t, err := m.result()
	if err != nil {
		return 0, err
	}
	m.client.setShares(t.shares)
	return m.sendSecondHello()
}

// sendSecondHello sends the ClientHello that answers a HelloRetryRequest.
func (m *Machine) sendSecondHello() (State, error) {
	c := m.client
	if err := m.bind(); err != nil {
		return 0, err
	}
	// A cookie may be so long that no ClientHello can hold it.
	if _, ok := c.hello.TryAppend(nil); !ok {
		return 0, violationf(ReasonMessageTooLarge, "%s of %d bytes", wire.ExtCookie, len(c.hello.Cookie))
	}
	m.out.sendOwedCompatCCS()
	m.emit(c.hello.Append(m.flight()))
	return StateWaitServerHelloRetry, nil
}

// clientServerHello13 takes the choice of a server that speaks TLS 1.3.
func clientServerHello13(m *Machine, msg []byte, hello *wire.ServerHello) (State, error) {
	c := m.client
	suite, err := c.checkServerHello(hello, m.d)
	if err != nil {
		return 0, err
	}
	if err := m.takeSelection(hello, suite); err != nil {
		return 0, err
	}
	share, err := c.chosenShare(hello, suite)
	if err != nil {
		return 0, err
	}
	if err := m.in.aligned(); err != nil {
		return 0, err
	}
	m.speak(tls.VersionTLS13)
	if c.retry == nil {
		c.hashHello(suite)
	}
	c.transcript.Write(msg)
	m.conn.cipherSuite = uint16(suite.id)
	m.conn.curve = share.id
	m.conn.setNames(m.conn.protocol(), m.cfg.ServerName)
	return m.await(StateAgreeKey, m.newAgreeTask(share, hello.KeyShare.Data))
}

// chosenShare returns our key for the group that the server chose, after the
// checks against the HelloRetryRequest.
func (c *clientHandshake) chosenShare(hello *wire.ServerHello, suite *cipherSuite) (*keyShare, error) {
	// "Upon receiving the ServerHello, clients MUST check that the cipher suite
	// supplied in the ServerHello is the same as that in the HelloRetryRequest
	// and otherwise abort the handshake with an "illegal_parameter" alert."
	// https://www.rfc-editor.org/rfc/rfc8446#section-4.1.4
	if c.retry != nil && suite != c.retry.suite {
		return nil, violationf(ReasonCipherSuiteChanged, "%s", suite.id)
	}
	if !hello.Has(wire.ExtKeyShare) {
		return nil, violationf(ReasonMissingExtension, "%s in ServerHello", wire.ExtKeyShare)
	}
	// "If using (EC)DHE key establishment, servers offer exactly one
	// KeyShareEntry in the ServerHello. This value MUST be in the same group as
	// the KeyShareEntry value offered by the client that the server has selected
	// for the negotiated key exchange."
	// https://www.rfc-editor.org/rfc/rfc8446#section-4.2.8
	//
	// After a HelloRetryRequest the only share is the one that it asked for.
	share := c.share(tls.CurveID(hello.KeyShare.Group))
	if share == nil {
		return nil, violationf(ReasonGroupNotOffered, "%s", hello.KeyShare.Group)
	}
	return share, nil
}

// clientKeyAgreed changes to handshake keys.
func clientKeyAgreed(m *Machine, _ []byte) (State, error) {
	c := m.client
	t, err := m.result()
	if err != nil {
		return 0, err
	}
	defer clear(t.shared)
	c.deriveHandshakeSecrets(t.shared)
	if err := m.logHandshakeSecrets(); err != nil {
		return 0, err
	}
	if err := m.in.install(c.suite, &c.serverSecret); err != nil {
		return 0, err
	}
	if !c.earlyOpen {
		if err := m.changeSendingKey(c.suite, &c.clientSecret); err != nil {
			return 0, err
		}
	}
	c.shares = nil
	return StateWaitEncryptedExtensions, nil
}

// clientEncryptedExtensions takes the server's answers.
func clientEncryptedExtensions(m *Machine, msg []byte) (State, error) {
	c := m.client
	var ee wire.EncryptedExtensions
	if err := ee.Parse(msg[wire.HeaderLen:]); err != nil {
		return 0, malformed(err)
	}
	if err := m.missEarlyAnswer(&ee); err != nil {
		return 0, err
	}
	if err := c.checkSolicited(ee.Extensions); err != nil {
		return 0, err
	}
	if err := m.takeProtocol(ee.Has(wire.ExtALPN), ee.ALPN); err != nil {
		return 0, err
	}
	if err := m.agreeRecordSize(ee.Has(wire.ExtRecordSizeLimit), ee.RecordSizeLimit); err != nil {
		return 0, err
	}
	if err := m.takeEarlyAnswer(&ee); err != nil {
		return 0, err
	}
	c.transcript.Write(msg)
	if c.resumed != nil {
		return StateWaitServerFinished, nil
	}
	return StateWaitCertificateOrRequest, nil
}

// clientCertificateRequest notes what certificate the server wants.
func clientCertificateRequest(m *Machine, msg []byte) (State, error) {
	c := m.client
	q, err := m.d.clientRequest13(msg)
	if err != nil {
		return 0, err
	}
	// "This field SHALL be zero length unless used for the post-handshake
	// authentication exchanges described in Section 4.6.2."
	// https://www.rfc-editor.org/rfc/rfc8446#section-4.3.2
	if len(q.context) != 0 {
		return 0, violation(ReasonCertificateContext)
	}
	c.request = q
	c.transcript.Write(msg)
	return StateWaitCertificate, nil
}

// clientCertificate verifies the server's certificate chain.
func clientCertificate(m *Machine, msg []byte) (State, error) {
	c := m.client
	var cert wire.Certificate
	if err := cert.Parse(msg[wire.HeaderLen:]); err != nil {
		return 0, malformed(err)
	}
	// "Otherwise (in the case of server authentication), this field SHALL be zero
	// length."
	// https://www.rfc-editor.org/rfc/rfc8446#section-4.4.2
	if len(cert.RequestContext) != 0 {
		return 0, violation(ReasonCertificateContext)
	}
	// "If the server supplies an empty Certificate message, the client MUST abort
	// the handshake with a "decode_error" alert."
	// https://www.rfc-editor.org/rfc/rfc8446#section-4.4.2.4
	if len(cert.Entries) == 0 {
		return 0, violation(ReasonEmptyCertificate)
	}
	raw := make([][]byte, len(cert.Entries))
	for i := range cert.Entries {
		if err := c.checkSolicited(cert.Entries[i].Extensions); err != nil {
			return 0, err
		}
		raw[i] = bytes.Clone(cert.Entries[i].Data) // x509 keeps what it parses
	}
	chain, err := m.d.parseChain(tls.VersionTLS13, raw)
	m.conn.learn().certificates = chain
	if err != nil {
		return 0, err
	}
	m.keepStaples(cert.Entries[0].OCSPResponse, cert.Entries[0].SCTs)
	c.transcript.Write(msg)
	return m.awaitVerdict(StateVerifyChain, chain, raw)
}

// clientChainVerified notes that the server's chain is good.
func clientChainVerified(m *Machine, _ []byte) (State, error) {
	return StateWaitCertificateVerify, m.takeVerdict()
}

// clientCertificateVerify checks that the server has the certificate's key.
func clientCertificateVerify(m *Machine, msg []byte) (State, error) {
	c := m.client
	leaf := m.conn.peer.certificates[0]
	if err := m.checkCertificateVerify(msg, leaf, m.signedContent(serverSignatureContext, c.hash())); err != nil {
		return 0, err
	}
	c.transcript.Write(msg)
	return StateWaitServerFinished, nil
}

// clientFinished checks the server's Finished. What is left is the client's
// flight.
func clientFinished(m *Machine, msg []byte) (State, error) {
	c := m.client
	beforeFinished := c.hash()
	c.transcript.Write(msg)
	c.main = c.secret.Main()
	hash := c.hash()
	c.ownSecret = c.main.ClientTraffic(hash)
	c.peerSecret = c.main.ServerTraffic(hash)
	if err := m.startExporting(&c.main, &c.ownSecret, &c.peerSecret, hash); err != nil {
		return 0, err
	}

	if err := m.connected(&c.handshake, &c.serverSecret, msg, beforeFinished); err != nil {
		return 0, err
	}
	if err := m.verifyConnection(); err != nil {
		return 0, err
	}
	if err := m.endEarly(); err != nil {
		return 0, err
	}
	if c.request != nil {
		return m.await(StateChooseCertificate, m.newClientCertificateTask(c.request.info()))
	}
	return m.finishClient()
}

// clientCertificateChosen answers the server's request, if only with no
// certificate.
func clientCertificateChosen(m *Machine, _ []byte) (State, error) {
	c := m.client
	t, err := m.result()
	if err != nil {
		return 0, err
	}
	cred, scheme, err := m.clientCredential(t, c.request)
	if err != nil {
		return 0, err
	}
	m.emit(c.request.message(cred).Append(m.flight()))
	if cred == nil {
		return m.finishClient()
	}
	return m.await(StateSign, m.newSignTask(cred, scheme, m.signedContent(clientSignatureContext, c.hash())))
}

// clientSigned proves that the certificate is the client's.
func clientSigned(m *Machine, _ []byte) (State, error) {
	verify, err := m.takeSignature()
	if err != nil {
		return 0, err
	}
	m.emit(verify.Append(m.flight()))
	return m.finishClient()
}

// finishClient ends the client's flight and the handshake.
func (m *Machine) finishClient() (State, error) {
	c := m.client
	m.emit((&wire.Finished{VerifyData: c.clientSecret.Finished(c.mac[:0], c.hash())}).Append(m.flight()))
	if err := m.startSending(c.suite, &c.ownSecret); err != nil {
		return 0, err
	}
	m.keepForPostAuth(c.hello.Has(wire.ExtPostHandshakeAuth))
	if m.cfg.resumes() {
		if err := m.startTicketing(&c.main); err != nil {
			return 0, err
		}
	}
	m.handshakeDone()
	return StateConnected, nil
}
