package tlscore

import (
	"bytes"
	"crypto/tls"
	"slices"
	"time"

	"tlscore.example/tlscore/internal/schedule"
	"tlscore.example/tlscore/internal/wire"
)

// Resumption in TLS 1.2: by a ticket, RFC 5077, or by the id of a session that the
// server keeps, RFC 5246, Section 7.3. Only sessions with an extended master secret
// are kept, offered and accepted; others are not bound to their handshake.
//
//	"The client SHOULD NOT offer an abbreviated handshake to resume a session
//	that does not use an extended master secret. Instead, it SHOULD offer a
//	full handshake."
//
//	"If neither the original session nor the new ClientHello uses the
//	extension, the server SHOULD abort the handshake."
//
// https://www.rfc-editor.org/rfc/rfc7627#section-5.3

// The client's part.

// offer12 returns the session if it can be offered, or nil. It is wiped then.
//
//	"If the session_id field is not empty (implying a session resumption
//	request), this vector MUST include at least the cipher_suite from that
//	session."
//
// https://www.rfc-editor.org/rfc/rfc5246#section-7.4.1.2
func (d *derived) offer12(r *resumed) *resumed {
	suite := findSuite(d.suites, tls.VersionTLS12, wire.CipherSuite(r.CipherSuite))
	if suite == nil || !r.ExtendedMasterSecret || len(r.Ticket) == 0 && len(r.SessionID) == 0 {
		r.Wipe()
		return nil
	}
	return r
}

// fit12 takes a session out of the ClientHello whose ticket makes it too long.
func (c *clientHandshake) fit12() {
	if c.session12 == nil {
		return
	}
	if _, ok := c.hello.TryAppend(nil); !ok {
		c.hello.SessionTicket = nil
		c.dropSession12()
	}
}

// dropSession12 forgets the session that is not resumed.
func (c *clientHandshake) dropSession12() {
	if c.session12 != nil {
		c.session12.Wipe()
		c.session12 = nil
	}
}

// resumes12 reports whether the server resumes the session that was offered: it
// echoes the session id then.
//
//	"In order to distinguish between the two cases, the client can generate and
//	send a session ID in the ClientHello": RFC 5077, Section 3.4, in short.
func (c *clientHandshake) resumes12(hello *wire.ServerHello) bool {
	return c.session12 != nil && bytes.Equal(hello.SessionID, c.hello.SessionID)
}

// check12 judges a ServerHello that resumes the session.
func (r *resumed) check12(hello *wire.ServerHello) error {
	// "If a session is resumed, it must be resumed using the same cipher suite it
	// was originally negotiated with."
	// https://www.rfc-editor.org/rfc/rfc5246#section-7.4.1.3
	if uint16(hello.CipherSuite) != r.CipherSuite {
		return violationf(ReasonCipherSuiteChanged, "%s", hello.CipherSuite)
	}
	// "If the original session used the extension but the new ServerHello does not
	// contain the extension, the client MUST abort the handshake."
	// https://www.rfc-editor.org/rfc/rfc7627#section-5.3
	if !hello.Has(wire.ExtExtendedMasterSecret) {
		return violationf(ReasonNoExtendedMasterSecret, "a resumed session")
	}
	return nil
}

// resumeClient12 goes on with the server's Finished, now that a session is resumed.
func (m *Machine) resumeClient12() (State, error) {
	c := m.client
	c.resumed, c.session12 = c.session12, nil
	if err := m.resume12(); err != nil {
		return 0, err
	}
	return c.awaitServer12(), nil
}

// clientNewSessionTicket12 notes the ticket. It counts when the server's Finished is
// verified.
func clientNewSessionTicket12(m *Machine, msg []byte) (State, error) {
	c := m.client
	c.ticket = new(wire.NewSessionTicket12)
	if err := c.ticket.Parse(bytes.Clone(msg[wire.HeaderLen:])); err != nil {
		return 0, malformed(err)
	}
	c.note(msg)
	return StateWaitServerChangeCipherSpec, nil
}

// unhintedLifetime is for how long a client keeps a session whose lifetime the server
// leaves open, in seconds: the 24 hours of RFC 5246, Appendix F.1.4.
const unhintedLifetime = 24 * 60 * 60

// keepSession12 keeps the session of a client, under the ticket or the id that the server
// has given it, and reports whether there is one. A server that announces a ticket keeps
// no session, also when the ticket is empty then. A session that was resumed and got no new
// ticket is kept as it was: it can be resumed again.
//
//	"The client MUST NOT treat the ticket as valid until it has verified the
//	server's Finished message."
//
// https://www.rfc-editor.org/rfc/rfc5077#section-3.3
func (m *Machine) keepSession12() (kept bool, err error) {
	c, t := m.client, m.client.tls12
	if !m.cfg.resumes() || !t.extended {
		return false, nil
	}
	ticketed := c.ticket != nil && len(c.ticket.Ticket) > 0
	if c.resumed != nil && !ticketed {
		_, err := m.keepSession(c.resumed.Session)
		return false, err
	}
	if !ticketed && (c.ticketExpected || len(t.sessionID) == 0) {
		return false, nil
	}
	now, err := m.now()
	if err != nil {
		return false, err
	}
	s := m.newSession12(false, now)
	s.Lifetime = unhintedLifetime
	if ticketed {
		s.Ticket = c.ticket.Ticket
		if hint := c.ticket.LifetimeHint; hint != 0 {
			s.Lifetime = min(hint, MaxSessionLifetime)
		}
	} else {
		s.SessionID = t.sessionID
	}
	return m.keepSession(s)
}

// The server's part.

// candidate12 is what a client of TLS 1.2 offers to resume, a ticket or a session id,
// whichever we give out; nil for nothing.
func (m *Machine) candidate12(hello *wire.ClientHello) []byte {
	candidate := hello.SessionTicket
	if m.cfg.SessionStore != nil {
		candidate = hello.SessionID
	}
	if m.cfg.SessionTicketsDisabled || len(candidate) == 0 {
		return nil
	}
	return candidate
}

// serverTicketOpened12 resumes the session that was found, or goes on with a full
// handshake.
func serverTicketOpened12(m *Machine, _ []byte) (State, error) {
	s := m.server
	r, err := m.openedSession()
	if err != nil {
		return 0, err
	}
	if r == nil {
		return m.chooseCertificate12()
	}
	// "If the original session used the "extended_master_secret" extension but the
	// new ClientHello does not contain it, the server MUST abort the abbreviated
	// handshake."
	// https://www.rfc-editor.org/rfc/rfc7627#section-5.3
	if r.ExtendedMasterSecret && !s.tls12.extended {
		r.Wipe()
		return 0, violationf(ReasonNoExtendedMasterSecret, "a session that is to be resumed")
	}
	suite := findSuite(m.d.commonSuites12(&m.hello.ClientHello), tls.VersionTLS12, wire.CipherSuite(r.CipherSuite))
	if suite == nil || !r.ExtendedMasterSecret {
		r.Wipe()
		return m.chooseCertificate12()
	}
	s.resumed = r
	s.startTranscript(suite, m.hello.message)
	return m.resumeServer12()
}

// resumeServer12 sends all of the server's flight, since a session is resumed.
func (m *Machine) resumeServer12() (State, error) {
	s := m.server
	// "If a match is found and the server is willing to establish the new
	// connection using the specified session state, the server will respond with
	// the same value as was supplied by the client."
	// https://www.rfc-editor.org/rfc/rfc5246#section-7.4.1.3
	s.tls12.sessionID = bytes.Clone(m.hello.SessionID)
	if err := m.sendServerHello12(new(attachments)); err != nil {
		return 0, err
	}
	if err := m.resume12(); err != nil {
		return 0, err
	}
	if err := m.sendTicket12(); err != nil {
		return 0, err
	}
	m.sendFinished12()
	m.hello = nil
	return StateWaitClientChangeCipherSpec, nil
}

// newSessionID12 chooses the id under which the session will be stored.
func (m *Machine) newSessionID12() error {
	t := m.server.tls12
	if m.cfg.SessionStore == nil || m.cfg.SessionTicketsDisabled || !t.extended {
		return nil
	}
	t.sessionID = make([]byte, storedIDLen)
	return m.cfg.random(t.sessionID)
}

// storeSession12 stores the session of a full handshake under its id, if it has one.
func (m *Machine) storeSession12() error {
	id := m.server.tls12.sessionID
	if len(id) == 0 {
		return nil
	}
	s, now, err := m.newServerSession12()
	if s == nil || err != nil {
		return err
	}
	defer s.Wipe()
	b, err := s.AppendBinary(nil)
	if err != nil { // it goes beyond a limit, and so cannot be resumed
		return nil
	}
	return m.storeSession(id, b, now, s.Expires())
}

// announcesTicket12 reports whether the client is to get a ticket. A server that keeps
// the sessions itself gives out ids instead. A session that is resumed keeps the ticket
// that it has until half of its life is over, since a client may take a new ticket for
// the end of the old one, and with it lose the session that it knows.
func (m *Machine) announcesTicket12() (bool, error) {
	s := m.server
	if !m.hello.Has(wire.ExtSessionTicket) || m.cfg.SessionStore != nil || m.cfg.SessionTicketsDisabled || !s.tls12.extended {
		return false, nil
	}
	if s.resumed == nil {
		return true, nil
	}
	now, err := m.now()
	age := now.Sub(s.resumed.CreatedAt)
	return age >= time.Duration(s.resumed.Lifetime)*time.Second/2, err
}

// sendTicket12 sends the ticket that ServerHello has announced, if it has; an empty one
// when there can be none after all. RFC 5077, Section 3.3.
func (m *Machine) sendTicket12() error {
	if !m.server.announced {
		return nil
	}
	msg := new(wire.NewSessionTicket12)
	s, now, err := m.newServerSession12()
	if err != nil {
		return err
	}
	if s != nil {
		msg.LifetimeHint = s.Lifetime
		if msg.Ticket, err = m.sealTicket(s, now); err != nil {
			return err
		}
	}
	m.emit(msg.Append(m.flight()))
	return nil
}

// newServerSession12 returns the session of the connection for the server to keep, or nil
// when it is too old.
func (m *Machine) newServerSession12() (s *Session, now time.Time, err error) {
	if now, err = m.now(); err != nil {
		return nil, now, err
	}
	s = m.newSession12(true, now)
	if !s.limitLifetime(m.d.ticketLifetime, now) {
		s.Wipe()
		return nil, now, nil
	}
	if err := m.askTicketData(s); err != nil {
		s.Wipe()
		return nil, now, err
	}
	return s, now, nil
}

// Of both.

// resume12 takes the keys from the session that is resumed.
func (m *Machine) resume12() error {
	h := m.handshakeState()
	r := h.resumed
	master, ok := schedule.ResumeMasterSecret(h.suite.hash, r.Secret, r.ExtendedMasterSecret)
	if !ok {
		return failure(ReasonKeyGeneration, errSessionSyntax)
	}
	h.tls12.master = master
	m.resume(r)
	m.conn.cipherSuite, m.conn.curve = r.CipherSuite, r.CurveID
	return m.deriveKeys12()
}

// newSession12 is newSession with the secret, which all resumptions of TLS 1.2 share.
func (m *Machine) newSession12(server bool, now time.Time) *Session {
	h := m.handshakeState()
	authenticated := now
	if h.resumed != nil {
		authenticated = h.resumed.AuthenticatedAt
	}
	s := m.newSession(server, now, authenticated)
	s.Secret = slices.Clone(h.tls12.master.Bytes())
	s.ExtendedMasterSecret = h.tls12.extended
	return s
}
