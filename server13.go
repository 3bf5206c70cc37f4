package tlscore

import (
	"bytes"
	"crypto/tls"
	"slices"

	"tlscore.example/tlscore/internal/record"
	"tlscore.example/tlscore/internal/schedule"
	"tlscore.example/tlscore/internal/wire"
)

// serverRules13 is the server of TLS 1.3 as a table, from when it has chosen that
// version. RFC 8446, Appendix A.2.
var serverRules13 = ruleTable{
	StateWaitClientHelloRetry: {
		{inputClientHello, serverSecondClientHello, oneOf(StateOpenTicket, StateChooseCertificate)},
		{inputChangeCipherSpec, dropChangeCipherSpec, oneOf(StateWaitClientHelloRetry)},
	},
	StateOpenTicket: {
		{inputTask, serverTicketOpened, oneOf(StateOpenTicket, StateDecideEarlyData, StateChooseCertificate, StateAgreeKey)},
	},
	StateDecideEarlyData: {
		{inputTask, serverEarlyDataDecided, oneOf(StateAgreeKey)},
	},
	StateChooseCertificate: {
		{inputTask, serverCertificateChosen, oneOf(StateAgreeKey)},
	},
	StateAgreeKey: {
		{inputTask, serverKeyAgreed, oneOf(StateSign, StateWaitEndOfEarlyData, StateWaitClientFinished)},
	},
	StateSign: {
		{inputTask, serverSigned, oneOf(StateWaitClientCertificate, StateWaitClientFinished)},
	},
	StateWaitClientCertificate: {
		{inputCertificate, serverClientCertificate, oneOf(StateVerifyChain, StateWaitClientFinished)},
		{inputChangeCipherSpec, dropChangeCipherSpec, oneOf(StateWaitClientCertificate)},
	},
	StateVerifyChain: {
		{inputTask, serverChainVerified, oneOf(StateWaitClientCertificateVerify)},
	},
	StateWaitClientCertificateVerify: {
		{inputCertificateVerify, serverCertificateVerify, oneOf(StateWaitClientFinished)},
		{inputChangeCipherSpec, dropChangeCipherSpec, oneOf(StateWaitClientCertificateVerify)},
	},
	StateWaitEndOfEarlyData: {
		{inputApplicationData, receiveEarlyData, oneOf(StateWaitEndOfEarlyData)},
		{inputEndOfEarlyData, serverEndOfEarlyData, oneOf(StateWaitClientFinished)},
		{inputChangeCipherSpec, dropChangeCipherSpec, oneOf(StateWaitEndOfEarlyData)},
	},
	StateWaitClientFinished: {
		{inputFinished, serverFinished, oneOf(StateConnected)},
		{inputChangeCipherSpec, dropChangeCipherSpec, oneOf(StateWaitClientFinished)},
	},
	StateConnected: {
		{inputApplicationData, receiveData, oneOf(StateConnected)},
		{inputKeyUpdate, receiveKeyUpdate, oneOf(StateConnected)},
		{inputRequestCertificate, serverRequestCertificate, oneOf(StateConnected)},
		{inputCertificate, serverPostCertificate, oneOf(StatePostVerifyChain, StateWaitPostFinished)},
	},
	StatePostVerifyChain: {
		{inputTask, serverPostChainVerified, oneOf(StateWaitPostCertificateVerify)},
	},
	StateWaitPostCertificateVerify: {
		{inputCertificateVerify, serverPostCertificateVerify, oneOf(StateWaitPostFinished)},
	},
	StateWaitPostFinished: {
		{inputFinished, serverPostFinished, oneOf(StateConnected)},
	},
}

// serverHello13 answers the first ClientHello of a client that is to speak TLS 1.3.
func serverHello13(m *Machine) (State, error) {
	s, hello := m.server, &m.hello.ClientHello
	if err := checkClientHello(hello); err != nil {
		return 0, err
	}
	m.speak(tls.VersionTLS13)
	share, err := s.negotiate(m.d, hello)
	if err != nil {
		return 0, err
	}
	if err := m.takeOffers(hello); err != nil {
		return 0, err
	}
	s.transcript = schedule.NewTranscript(s.suite.hash)
	s.hashHello(m.hello.message, hello)
	s.resumption = !m.cfg.SessionTicketsDisabled && bytes.IndexByte(hello.PSKModes, pskDHE) >= 0
	if hello.Has(wire.ExtTicketRequest) {
		request := hello.TicketRequest
		s.ticketRequest = &request
	}
	// A client asks for middlebox compatibility mode by its session id: a
	// change_cipher_spec follows our first message. RFC 8446, Appendix D.4.
	s.sessionID = bytes.Clone(hello.SessionID)
	m.out.owe(len(s.sessionID) > 0)
	m.in.skipEarly = hello.Has(wire.ExtEarlyData)
	s.postAuth = hello.Has(wire.ExtPostHandshakeAuth)
	m.conn.cipherSuite = uint16(s.suite.id)
	m.conn.curve = s.group
	if share == nil {
		m.sendHelloRetryRequest()
		return StateWaitClientHelloRetry, nil
	}
	return m.answerHello(share)
}

// checkClientHello judges what does not depend on the config.
func checkClientHello(hello *wire.ClientHello) error {
	// "A server which receives a legacy_version value not equal to 0x0303 MUST
	// abort the handshake with a "protocol_version" alert."
	// RFC 9846, Section 4.2.2.
	if hello.LegacyVersion != wire.VersionTLS12 {
		return violationf(ReasonUnsupportedVersion, "legacy_version is %s", hello.LegacyVersion)
	}
	// "For every TLS 1.3 ClientHello, this vector MUST contain exactly one byte,
	// set to zero, which corresponds to the "null" compression method in prior
	// versions of TLS. If a TLS 1.3 ClientHello is received with any other value
	// in this field, the server MUST abort the handshake with an
	// "illegal_parameter" alert."
	// https://www.rfc-editor.org/rfc/rfc8446#section-4.1.2
	if !bytes.Equal(hello.CompressionMethods, []byte{0}) {
		return violation(ReasonCompression)
	}
	if err := checkMandatory(hello); err != nil {
		return err
	}
	if err := checkServerName(hello); err != nil {
		return err
	}
	return checkKeyShares(hello)
}

// checkMandatory looks for the extensions that must be there.
//
//	"If not containing a "pre_shared_key" extension, it MUST contain both a
//	"signature_algorithms" extension and a "supported_groups" extension."
//
//	"If containing a "supported_groups" extension, it MUST also contain a
//	"key_share" extension, and vice versa."
//
//	"Servers receiving a ClientHello which does not conform to these
//	requirements MUST abort the handshake with a "missing_extension" alert."
//
// https://www.rfc-editor.org/rfc/rfc8446#section-9.2
//
// This server always exchanges keys, so the key share is needed with pre_shared_key, too.
func checkMandatory(hello *wire.ClientHello) error {
	for _, t := range []wire.ExtensionType{wire.ExtSignatureAlgorithms, wire.ExtSupportedGroups, wire.ExtKeyShare} {
		if t == wire.ExtSignatureAlgorithms && hello.Has(wire.ExtPreSharedKey) {
			continue
		}
		if !hello.Has(t) {
			return violationf(ReasonMissingExtension, "%s in ClientHello", t)
		}
	}
	// "If clients offer "pre_shared_key" without a "psk_key_exchange_modes"
	// extension, servers MUST abort the handshake."
	// https://www.rfc-editor.org/rfc/rfc8446#section-4.2.9
	if hello.Has(wire.ExtPreSharedKey) && !hello.Has(wire.ExtPSKKeyExchangeModes) {
		return violationf(ReasonMissingExtension, "%s in ClientHello", wire.ExtPSKKeyExchangeModes)
	}
	return nil
}

// checkKeyShares judges the list of key shares as such.
//
//	"Clients MUST NOT offer multiple KeyShareEntry values for the same group.
//	Clients MUST NOT offer any KeyShareEntry values for groups not listed in
//	the client's "supported_groups" extension. Servers MAY check for
//	violations of these rules and abort the handshake with an
//	"illegal_parameter" alert if one is violated."
//
// https://www.rfc-editor.org/rfc/rfc8446#section-4.2.8
func checkKeyShares(hello *wire.ClientHello) error {
	shares, groups := hello.KeyShares, hello.SupportedGroups
	listed := func(g wire.NamedGroup) bool { return slices.Contains(groups, g) }
	shared := func(i int) bool {
		return slices.ContainsFunc(shares[:i], func(s wire.KeyShare) bool { return s.Group == shares[i].Group })
	}
	// Both lists are the client's to make long: sets keep this linear then.
	if max(len(shares), len(groups)) > 16 {
		listed, shared = manyKeyShares(shares, groups)
	}
	for i := range shares {
		switch g := shares[i].Group; {
		case shared(i):
			return violationf(ReasonDuplicateKeyShare, "%s", g)
		case !listed(g):
			return violationf(ReasonUnlistedKeyShare, "%s", g)
		}
	}
	return nil
}

// manyKeyShares returns what checkKeyShares asks about each share, in their order. The sets are
// not for the stack, where every handshake would have them.
//
//go:noinline
func manyKeyShares(shares []wire.KeyShare, groups []wire.NamedGroup) (listed func(wire.NamedGroup) bool, shared func(i int) bool) {
	var all, seen groupSet
	for _, g := range groups {
		all.add(g)
	}
	return func(g wire.NamedGroup) bool { return !all.add(g) }, func(i int) bool { return !seen.add(shares[i].Group) }
}

// groupSet is a set of groups.
type groupSet [1 << 16 / 64]uint64

// add adds a group, and reports whether it is new.
func (s *groupSet) add(g wire.NamedGroup) bool {
	word, bit := &s[g/64], uint64(1)<<(g%64)
	added := *word&bit == 0
	*word |= bit
	return added
}

// negotiate chooses the parameters. It returns the client's key share for the
// chosen group, or nil when there is none yet.
func (s *serverHandshake) negotiate(d *derived, hello *wire.ClientHello) (*wire.KeyShare, error) {
	for _, suite := range d.suites {
		if !suite.tls12() && slices.Contains(hello.CipherSuites, suite.id) {
			s.suite = suite
			break
		}
	}
	// "If the server is unable to negotiate a supported set of parameters (i.e.,
	// there is no overlap between the client and server parameters), it MUST
	// abort the handshake with either a "handshake_failure" or
	// "insufficient_security" fatal alert"
	// https://www.rfc-editor.org/rfc/rfc8446#section-4.1.1
	if s.suite == nil {
		return nil, violation(ReasonNoCommonCipherSuite)
	}
	return s.chooseGroup(d, hello)
}

// chooseGroup prefers post-quantum groups to others, then groups with a share to
// those that need another round trip, then our own order.
func (s *serverHandshake) chooseGroup(d *derived, hello *wire.ClientHello) (*wire.KeyShare, error) {
	var chosen *wire.KeyShare
	best := -1
	for _, id := range d.groups {
		if !slices.Contains(hello.SupportedGroups, wire.NamedGroup(id)) {
			continue
		}
		share := findShare(hello.KeyShares, id)
		rank := 0
		if isPostQuantum(id) {
			rank += 2
		}
		if share != nil {
			rank++
		}
		if rank > best {
			best, chosen, s.group = rank, share, id
		}
	}
	if best < 0 {
		return nil, violation(ReasonNoCommonGroup)
	}
	return chosen, nil
}

func findShare(list []wire.KeyShare, id tls.CurveID) *wire.KeyShare {
	for i := range list {
		if list[i].Group == wire.NamedGroup(id) {
			return &list[i]
		}
	}
	return nil
}

// agreeKey goes on with the key exchange, now that it is known that the client can be
// served.
func (m *Machine) agreeKey() (State, error) {
	s := m.server
	return m.await(StateAgreeKey, m.newRespondTask(s.group, s.share))
}

// sendHelloRetryRequest asks for a share of the chosen group.
func (m *Machine) sendHelloRetryRequest() {
	s := m.server
	m.conn.retried = true
	s.transcript.HelloRetry()
	retry := &wire.ServerHello{
		LegacyVersion:    wire.VersionTLS12,
		Random:           wire.HelloRetryRequestRandom,
		SessionID:        s.sessionID,
		CipherSuite:      s.suite.id,
		SupportedVersion: wire.VersionTLS13,
		SelectedGroup:    wire.NamedGroup(s.group),
		Extensions: []wire.Extension{
			{Type: wire.ExtSupportedVersions},
			{Type: wire.ExtKeyShare},
		},
	}
	m.emit(retry.Append(m.flight()))
	m.flushAnd((*sender).queueCompatCCS)
}

// serverSecondClientHello takes the answer to our HelloRetryRequest.
func serverSecondClientHello(m *Machine, msg []byte) (State, error) {
	if err := m.in.aligned(); err != nil {
		return 0, err
	}
	var second wire.ClientHello
	if err := second.Parse(msg[wire.HeaderLen:]); err != nil {
		return 0, malformed(err)
	}
	if err := checkClientHello(&second); err != nil {
		return 0, err
	}
	if err := checkUnchanged(&m.hello.ClientHello, &second); err != nil {
		return 0, err
	}
	if len(second.KeyShares) != 1 || tls.CurveID(second.KeyShares[0].Group) != m.server.group {
		return 0, violation(ReasonMissingKeyShare)
	}
	m.in.skipEarly = false
	m.server.hashHello(msg, &second)
	return m.answerHello(&second.KeyShares[0])
}

// checkUnchanged refuses a second ClientHello that differs from the first.
//
//	"In that case, the client MUST send the same ClientHello without
//	modification, except as follows:" key_share, early_data, cookie,
//	pre_shared_key and padding.
//
// https://www.rfc-editor.org/rfc/rfc8446#section-4.1.2
func checkUnchanged(first, second *wire.ClientHello) error {
	// "Removing the "early_data" extension (Section 4.2.10) if one was present.
	// Early data is not permitted after a HelloRetryRequest."
	if second.Has(wire.ExtEarlyData) {
		return violationf(ReasonClientHelloChanged, "%s", wire.ExtEarlyData)
	}
	// "Updating the "pre_shared_key" extension if present", that is.
	if second.Has(wire.ExtPreSharedKey) && !first.Has(wire.ExtPreSharedKey) {
		return violationf(ReasonClientHelloChanged, "%s", wire.ExtPreSharedKey)
	}
	same := first.LegacyVersion == second.LegacyVersion &&
		first.Random == second.Random &&
		bytes.Equal(first.SessionID, second.SessionID) &&
		slices.Equal(first.CipherSuites, second.CipherSuites) &&
		bytes.Equal(first.CompressionMethods, second.CompressionMethods)
	if !same {
		return violation(ReasonClientHelloChanged)
	}
	// What remains of the two lists has to be equal, in the same order.
	a, b := first.Extensions, second.Extensions
	for {
		a, b = skipChangeable(a), skipChangeable(b)
		switch {
		case len(a) == 0 && len(b) == 0:
			return nil
		case len(a) == 0:
			return violationf(ReasonClientHelloChanged, "%s", b[0].Type)
		case len(b) == 0 || a[0].Type != b[0].Type || !bytes.Equal(a[0].Data, b[0].Data):
			return violationf(ReasonClientHelloChanged, "%s", a[0].Type)
		}
		a, b = a[1:], b[1:]
	}
}

// skipChangeable skips extensions that a second ClientHello may change.
func skipChangeable(list []wire.Extension) []wire.Extension {
	for len(list) > 0 {
		switch list[0].Type {
		case wire.ExtKeyShare, wire.ExtEarlyData, wire.ExtCookie, wire.ExtPreSharedKey, wire.ExtPadding:
			list = list[1:]
		default:
			return list
		}
	}
	return list
}

// serverCertificateChosen goes on with the certificate, if it suits the client.
func serverCertificateChosen(m *Machine, _ []byte) (State, error) {
	s := m.server
	t, err := m.result()
	if err != nil {
		return 0, err
	}
	if err := s.useCertificate(m.d, t.certificate, m.hello); err != nil {
		return 0, err
	}
	return m.agreeKey()
}

// useCertificate finds the certificate that suits the client, and the scheme to
// sign with.
func (s *serverHandshake) useCertificate(d *derived, chosen *tls.Certificate, hello *receivedHello) error {
	return s.choose(&credentialRequest{
		version:     tls.VersionTLS13,
		schemes:     commonSchemes(d.schemes, hello.SignatureAlgorithms),
		theirs:      hello.SignatureAlgorithms,
		schemesCert: hello.certificateSchemes(),
		serverName:  string(hello.ServerName),
		authorities: hello.CertificateAuthorities,
	}, d, chosen)
}

// serverKeyAgreed begins the server's flight, up to what has to be signed.
func serverKeyAgreed(m *Machine, _ []byte) (State, error) {
	s := m.server
	t, err := m.result()
	if err != nil {
		return 0, err
	}
	defer clear(t.shared)
	if err := m.sendServerHello(t.public, t.shared); err != nil {
		return 0, err
	}
	s.tickets = s.ticketCount(m.cfg)
	m.emit(m.encryptedExtensions().Append(m.flight()))
	if s.resumed != nil {
		return m.endServerFlight()
	}
	if m.cfg.ClientAuth != tls.NoClientCert {
		m.emit(m.d.certificateRequest(nil).Append(m.flight()))
	}
	with, err := s.credential.attach(m.cfg, m.hello.wantsOCSP(), m.hello.Has(wire.ExtSignedCertificateTimestamp))
	if err != nil {
		return 0, err
	}
	m.emit(s.credential.appendMessage(m.flight(), &with))
	content := m.signedContent(serverSignatureContext, s.hash())
	return m.await(StateSign, m.newSignTask(s.credential, s.scheme, content))
}

// sendServerHello sends ServerHello and changes to handshake keys.
func (m *Machine) sendServerHello(own, shared []byte) error {
	s := m.server
	hello := &wire.ServerHello{
		LegacyVersion:    wire.VersionTLS12,
		SessionID:        s.sessionID,
		CipherSuite:      s.suite.id,
		SupportedVersion: wire.VersionTLS13,
		KeyShare:         wire.KeyShare{Group: wire.NamedGroup(s.group), Data: own},
		Extensions: []wire.Extension{
			{Type: wire.ExtSupportedVersions},
			{Type: wire.ExtKeyShare},
		},
	}
	if s.resumed != nil {
		hello.SelectedIdentity = uint16(s.offered.at())
		hello.Extensions = append(hello.Extensions, wire.Extension{Type: wire.ExtPreSharedKey})
	}
	if err := m.cfg.random(hello.Random[:]); err != nil {
		return err
	}
	m.emit(hello.Append(m.flight()))
	s.deriveHandshakeSecrets(shared)
	if err := m.logHandshakeSecrets(); err != nil {
		return err
	}
	if err := m.installClientKey(); err != nil {
		return err
	}
	return m.changeSendingKey(s.suite, &s.serverSecret)
}

// installClientKey opens what the client sends next: early data, or its handshake messages.
func (m *Machine) installClientKey() error {
	s := m.server
	if !m.conn.earlyAccepted {
		return m.in.install(s.suite, &s.clientSecret)
	}
	if err := m.in.install(s.suite, &s.earlySecret); err != nil {
		return err
	}
	m.in.key.SetMaxInner(record.MaxInner) // the client did not know of a lower limit
	return nil
}

// encryptedExtensions returns the answers that need no certificate.
func (m *Machine) encryptedExtensions() *wire.EncryptedExtensions {
	s := m.server
	ee := &wire.EncryptedExtensions{ALPN: s.protocol, RecordSizeLimit: s.recordSizeLimit}
	tellsTickets := s.ticketRequest != nil && s.resumption
	if tellsTickets {
		ee.ExpectedTickets = uint8(s.tickets)
	}
	ee.Extensions = present([]conditional{
		// "In this event, the server SHALL include an extension of type
		// "server_name" in the (extended) server hello." And: "When resuming a
		// session, the server MUST NOT include a server_name extension in the
		// server hello." RFC 6066, Section 3.
		{wire.ExtServerName, m.conn.serverName() != "" && s.resumed == nil},
		{wire.ExtALPN, s.protocol != nil},
		{wire.ExtRecordSizeLimit, s.recordSizeLimit != 0},
		{wire.ExtTicketRequest, tellsTickets},
		{wire.ExtEarlyData, m.conn.earlyAccepted},
	})
	return ee
}

// serverSigned ends the server's flight.
func serverSigned(m *Machine, _ []byte) (State, error) {
	verify, err := m.takeSignature()
	if err != nil {
		return 0, err
	}
	m.emit(verify.Append(m.flight()))
	return m.endServerFlight()
}

// endServerFlight sends Finished. From then on application data may be written.
func (m *Machine) endServerFlight() (State, error) {
	s := m.server
	m.emit((&wire.Finished{VerifyData: s.serverSecret.Finished(s.mac[:0], s.hash())}).Append(m.flight()))

	s.main = s.secret.Main()
	if !s.resumption { // else it is needed once more, for the tickets
		defer s.main.Wipe()
	}
	hash := s.hash()
	own := s.main.ServerTraffic(hash)
	defer own.Wipe()
	s.peerSecret = s.main.ClientTraffic(hash)
	if err := m.startSending(s.suite, &own); err != nil {
		return 0, err
	}
	// Only now would the client read the alert of a failure: it has our Finished.
	if err := m.startExporting(&s.main, &s.peerSecret, &own, hash); err != nil {
		return 0, err
	}
	// However long the client takes from here on, nothing is held of what it has offered.
	m.hello, s.offered, s.share = nil, nil, nil
	switch {
	case m.conn.earlyAccepted:
		return StateWaitEndOfEarlyData, nil
	case m.cfg.ClientAuth != tls.NoClientCert && s.resumed == nil:
		return StateWaitClientCertificate, nil
	}
	return StateWaitClientFinished, nil
}

// serverClientCertificate takes the client's certificate chain, if it shows one.
func serverClientCertificate(m *Machine, msg []byte) (State, error) {
	chain, raw, err := m.clientChain(msg, nil)
	m.conn.learn().certificates = chain
	if err != nil {
		return 0, err
	}
	m.server.transcript.Write(msg)
	if chain == nil {
		return StateWaitClientFinished, nil
	}
	return m.awaitVerdict(StateVerifyChain, chain, raw)
}

// serverChainVerified notes that the client's chain is good.
func serverChainVerified(m *Machine, _ []byte) (State, error) {
	return StateWaitClientCertificateVerify, m.takeVerdict()
}

// serverCertificateVerify checks that the client has the certificate's key.
func serverCertificateVerify(m *Machine, msg []byte) (State, error) {
	s := m.server
	leaf := m.conn.peer.certificates[0]
	if err := m.checkCertificateVerify(msg, leaf, m.signedContent(clientSignatureContext, s.hash())); err != nil {
		return 0, err
	}
	s.transcript.Write(msg)
	return StateWaitClientFinished, nil
}

// serverFinished checks the client's Finished and ends the handshake.
func serverFinished(m *Machine, msg []byte) (State, error) {
	s := m.server
	if err := m.connected(&s.handshake, &s.clientSecret, msg, s.hash()); err != nil {
		return 0, err
	}
	if err := m.verifyConnection(); err != nil {
		return 0, err
	}
	s.transcript.Write(msg)
	m.keepForPostAuth(s.postAuth)
	if s.resumption {
		if err := m.startTicketing(&s.main); err != nil {
			return 0, err
		}
	}
	tickets := s.tickets
	m.handshakeDone()
	_, err := m.sendTickets(tickets)
	return StateConnected, err
}
