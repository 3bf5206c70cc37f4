package tlscore

import (
	"bytes"
	"crypto/tls"
	"slices"

	"tlscore.example/tlscore/internal/wire"
)

// The client until the server has chosen a version, and what its handlers in both
// versions have in common. RFC 8446, Sections 4.1.2 and 4.2.

// clientHelloRules is the client as a table until the server has chosen a version.
var clientHelloRules = ruleTable{
	StateClientStart: {
		{inputStart, clientStart, oneOf(StateMakeKeyShare)},
	},
	StateMakeKeyShare: {
		{inputTask, clientSharesMade, oneOf(StateWaitServerHello)},
	},
	StateWaitServerHello: {
		{inputServerHello, clientServerHello, oneOf(StateAgreeKey, StateWaitCertificate, StateWaitNewSessionTicket, StateWaitServerChangeCipherSpec)},
		{inputHelloRetryRequest, clientHelloRetryRequest, oneOf(StateMakeKeyShare, StateWaitServerHelloRetry)},
		{inputChangeCipherSpec, dropChangeCipherSpec, oneOf(StateWaitServerHello)},
	},
}

// clientHandshake is what a client keeps until the handshake is over.
type clientHandshake struct {
	handshake
	hello    wire.ClientHello // as it was sent last
	helloRaw []byte           // the first one, until the hash is known
	shares   []*keyShare
	retry    *retryRequest
	offer    *offer // the session that it wants to resume, until the server has decided

	request   *credentialRequest // the server's, if it wants a certificate
	earlyOpen bool               // early data was offered, and is neither ended nor refused
	refused   []byte             // early data, of EventEarlyRejected, until the caller has had it

	// Of TLS 1.2.
	session12      *resumed                 // the session that it wants to resume, until the server has decided
	credential     *credential              // that answers the request
	scheme         *scheme                  // that it signs with
	statusExpected bool                     // the server may send a CertificateStatus
	ticketExpected bool                     // the server will send a NewSessionTicket
	ticket         *wire.NewSessionTicket12 // that it has sent
	rawChain       [][]byte                 // the server's
	heldBack       []byte                   // a ServerKeyExchange, until the chain is verified
	serverShare    []byte                   // the server's, for the group
}

// wipe clears the secrets.
func (c *clientHandshake) wipe() {
	c.handshake.wipe()
	c.dropOffer()
	c.dropSession12()
}

// retryRequest is what a HelloRetryRequest has fixed.
type retryRequest struct {
	suite *cipherSuite
	group tls.CurveID // 0: it only brought a cookie
}

// clientStart begins the ClientHello.
func clientStart(m *Machine, _ []byte) (State, error) {
	c := m.client
	session, err := m.takeSession()
	if err != nil {
		return 0, err
	}
	if session != nil && session.Version == tls.VersionTLS12 {
		c.session12 = m.d.offer12(session)
	} else {
		c.offer = newOffer(session, m.d)
	}
	if err := c.newHello(m.cfg, m.d); err != nil {
		return 0, err
	}
	c.clientRandom = c.hello.Random
	return m.await(StateMakeKeyShare, m.newSharesTask(m.d.keyShares...))
}

// clientSharesMade sends the ClientHello, now that it has its key shares.
func clientSharesMade(m *Machine, _ []byte) (State, error) {
	c := m.client
	t, err := m.result()
	if err != nil {
		return 0, err
	}
	c.setShares(t.shares)
	if err := m.bind(); err != nil {
		return 0, err
	}
	c.fit12()
	// The middleboxes are told that a handshake is resumed: before its first
	// protected record, or its second ClientHello, the client sends a
	// change_cipher_spec. RFC 8446, Appendix D.4.
	m.out.owe(!m.cfg.NoMiddleboxCompat && m.d.speaks(tls.VersionTLS13))
	c.helloRaw = bytes.Clone(m.emit(c.hello.Append(m.flight())))
	m.out.setVersion(recordVersionInitial)
	if c.hello.Has(wire.ExtEarlyData) {
		return StateWaitServerHello, m.openEarly()
	}
	m.flushAnd(func(s *sender) { s.version = recordVersion })
	return StateWaitServerHello, nil
}

// clientServerHello takes the server's choice of a version, and of the rest by the
// rules of that version.
func clientServerHello(m *Machine, msg []byte) (State, error) {
	var hello wire.ServerHello
	if err := hello.Parse(msg[wire.HeaderLen:]); err != nil {
		return 0, malformed(err)
	}
	version, err := m.client.serverVersion(&hello, m.d)
	if err != nil {
		return 0, err
	}
	if version == tls.VersionTLS12 {
		return clientServerHello12(m, msg, &hello)
	}
	return clientServerHello13(m, msg, &hello)
}

// newHello fills in the ClientHello.
func (c *clientHandshake) newHello(cfg *Config, d *derived) error {
	c.hello = wire.ClientHello{
		LegacyVersion:           wire.VersionTLS12,
		CompressionMethods:      []byte{0},
		ServerName:              []byte(d.serverName),
		SupportedGroups:         convert[wire.NamedGroup](d.groups),
		SignatureAlgorithms:     convert[wire.SignatureScheme](d.algorithms),
		SignatureAlgorithmsCert: convert[wire.SignatureScheme](d.algorithmsCert),
		CertificateAuthorities:  d.clientAuthorities,
		RecordSizeLimit:         cfg.RecordSizeLimit,
		ALPN:                    d.alpn,
		SupportedVersions:       convert[wire.Version](d.versions),
		ECPointFormats:          pointFormats,
		PSKModes:                []byte{pskDHE},
		TicketRequest: wire.TicketRequest{
			NewSessionCount: cfg.TicketRequest.New,
			ResumptionCount: cfg.TicketRequest.Resumed,
		},
	}
	for _, s := range d.suites {
		c.hello.CipherSuites = append(c.hello.CipherSuites, s.id)
	}
	if cfg.FallbackSCSV {
		c.hello.CipherSuites = append(c.hello.CipherSuites, wire.TLS_FALLBACK_SCSV)
	}
	if err := c.randomFields(cfg, d); err != nil {
		return err
	}
	c.hello.Extensions = c.extensions(cfg, d)
	return c.arrange(cfg)
}

// extensions lists what the ClientHello has from the start; reserved values, cookie and
// pre_shared_key come later.
func (c *clientHandshake) extensions(cfg *Config, d *derived) []wire.Extension {
	tls12, tls13 := d.speaks(tls.VersionTLS12), d.speaks(tls.VersionTLS13)
	return present([]conditional{
		{wire.ExtServerName, d.serverName != ""},
		{wire.ExtSupportedGroups, true},
		{wire.ExtSignatureAlgorithms, true},
		{wire.ExtSignatureAlgorithmsCert, d.algorithmsCert != nil},
		{wire.ExtCertificateAuthorities, len(d.clientAuthorities) > 0},
		{wire.ExtPostHandshakeAuth, cfg.PostHandshakeAuth},
		{wire.ExtALPN, len(d.alpn) > 0},
		{wire.ExtECPointFormats, tls12},
		{wire.ExtExtendedMasterSecret, tls12},
		{wire.ExtRenegotiationInfo, tls12},
		{wire.ExtSessionTicket, tls12 && cfg.resumes()},
		{wire.ExtSupportedVersions, tls13},
		{wire.ExtKeyShare, tls13},
		{wire.ExtStatusRequest, cfg.OCSPStapling},
		{wire.ExtSignedCertificateTimestamp, cfg.SignedCertificateTimestamps},
		{wire.ExtRecordSizeLimit, cfg.RecordSizeLimit != 0},
		{wire.ExtPSKKeyExchangeModes, cfg.resumes() && tls13},
		{wire.ExtTicketRequest, cfg.resumes() && tls13 && cfg.TicketRequest != TicketRequest{}},
		{wire.ExtEarlyData, c.offersEarly(cfg, d)},
	})
}

// randomFields draws random and legacy_session_id, or takes the session id of TLS 1.2.
func (c *clientHandshake) randomFields(cfg *Config, d *derived) error {
	if err := cfg.random(c.hello.Random[:]); err != nil {
		return err
	}
	if c.session12 != nil {
		c.hello.SessionTicket = c.session12.Ticket
		if c.hello.SessionID = c.session12.SessionID; len(c.hello.SessionID) > 0 {
			return nil
		}
	} else if cfg.NoMiddleboxCompat || !d.speaks(tls.VersionTLS13) {
		return nil
	}
	c.hello.SessionID = make([]byte, 32)
	return cfg.random(c.hello.SessionID)
}

// setShares puts key shares into the ClientHello, in the first one with one of a
// reserved group if such a group is offered.
func (c *clientHandshake) setShares(shares []*keyShare) {
	c.shares, c.hello.KeyShares = shares, nil
	for _, k := range shares {
		c.hello.KeyShares = append(c.hello.KeyShares, wire.KeyShare{Group: wire.NamedGroup(k.id), Data: k.public})
	}
	if len(c.hello.SupportedGroups) > 0 && wire.IsGREASE(uint16(c.hello.SupportedGroups[0])) && c.retry == nil {
		reserved := wire.KeyShare{Group: c.hello.SupportedGroups[0], Data: []byte{0}}
		c.hello.KeyShares = slices.Insert(c.hello.KeyShares, 0, reserved)
	}
}

// share returns our key for the group, or nil.
func (c *clientHandshake) share(id tls.CurveID) *keyShare {
	for _, k := range c.shares {
		if k.id == id {
			return k
		}
	}
	return nil
}

// hashHello begins the transcript with the first ClientHello.
func (c *clientHandshake) hashHello(suite *cipherSuite) {
	c.startTranscript(suite, c.helloRaw)
	c.helloRaw = nil
}

// checkSolicited refuses extensions that we did not ask for.
//
//	"Implementations MUST NOT send extension responses if the remote endpoint
//	did not send the corresponding extension requests, with the exception of
//	the "cookie" extension in the HelloRetryRequest. Upon receiving such an
//	extension, an endpoint MUST abort the handshake with an
//	"unsupported_extension" alert."
//
// https://www.rfc-editor.org/rfc/rfc8446#section-4.2
func (c *clientHandshake) checkSolicited(list []wire.Extension) error {
	for i := range list {
		// "Clients MUST reject GREASE values when negotiated by the server."
		// https://www.rfc-editor.org/rfc/rfc8701#section-3.1
		if t := list[i].Type; t != wire.ExtCookie && !c.hello.Has(t) || wire.IsGREASE(uint16(t)) {
			return violationf(ReasonUnsolicitedExtension, "%s", t)
		}
	}
	return nil
}

// takeProtocol takes the application protocol that the server chose, if it did.
func (m *Machine) takeProtocol(chosen bool, protocol []byte) error {
	if chosen {
		if !slices.Contains(m.cfg.NextProtos, string(protocol)) {
			return violationf(ReasonApplicationProtocolNotOffered, "%q", protocol)
		}
		m.conn.setNames(string(protocol), m.conn.serverName())
	}
	m.conn.mutual = true
	return nil
}
