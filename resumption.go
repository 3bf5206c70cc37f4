package tlscore

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"slices"
	"time"
)

// What resumption in both versions has in common: which session may be resumed, and
// where sessions are kept: a client's in its cache, a server's in a ticket or a store.
// RFC 8446, Section 4.6.1; RFC 5077; psk13.go and resume12.go have the handshakes.

// resumed is a session that is to be resumed, with the peer's certificates parsed.
type resumed struct {
	*Session
	certificates []*x509.Certificate
	chains       [][]*x509.Certificate
}

// newSession returns what is to be kept of this connection, but for the secret and what
// belongs to one ticket. authenticated is when its peer was authenticated in a full
// handshake.
func (m *Machine) newSession(server bool, now, authenticated time.Time) *Session {
	cs := m.conn.state()
	s := &Session{
		Version:         cs.Version,
		CipherSuite:     cs.CipherSuite,
		IsServer:        server,
		CreatedAt:       now,
		AuthenticatedAt: authenticated,
		ALPN:            cs.NegotiatedProtocol,
		ServerName:      cs.ServerName,
		CurveID:         cs.CurveID,
		ConfigID:        m.sessionID(server),
		OCSPResponse:    cs.OCSPResponse,
		SCTs:            cs.SignedCertificateTimestamps,
	}
	s.PeerCertificates = encodeChain(cs.PeerCertificates)
	for _, chain := range cs.VerifiedChains {
		s.VerifiedChains = append(s.VerifiedChains, encodeChain(chain))
	}
	return s
}

// limitLifetime sets the lifetime of a session that a server gives out, and reports whether
// there is any left.
func (s *Session) limitLifetime(lifetime uint32, now time.Time) bool {
	s.Lifetime = lifetime
	left := s.Expires().Sub(now)
	s.Lifetime = uint32(min(max(left, 0)/time.Second, time.Duration(lifetime)))
	return s.Lifetime > 0
}

// sessionID is the Session.ConfigID of the config in that role.
func (m *Machine) sessionID(server bool) [sha256.Size]byte {
	if server {
		return m.d.serverID
	}
	return m.d.clientID
}

func encodeChain(chain []*x509.Certificate) (list [][]byte) {
	for _, cert := range chain {
		list = append(list, cert.Raw)
	}
	return list
}

// usable judges a session before it is offered or accepted: whether this end has kept it,
// under the same settings and for the same name, and whether what it says about the peer
// still holds. It returns nil when it is of no use. The session is wiped then.
func (m *Machine) usable(s *Session, server bool, name string, now time.Time) *resumed {
	r := &resumed{Session: s}
	switch {
	case s.IsServer != server, s.ConfigID != m.sessionID(server), s.ServerName != name,
		!now.Before(s.Expires()), !r.parse(&m.d.peers), !m.trusted(r, server, now):
		s.Wipe()
		return nil
	}
	m.d.peers.remember(r.chains)
	return r
}

// parse parses the certificates of the session.
func (r *resumed) parse(peers *certificateCache) bool {
	chain := func(list [][]byte) (out []*x509.Certificate, ok bool) {
		for _, der := range list {
			cert, err := peers.parse(der)
			if err != nil {
				return nil, false
			}
			out = append(out, cert)
		}
		return out, true
	}
	var ok bool
	if r.certificates, ok = chain(r.PeerCertificates); !ok {
		return false
	}
	for _, list := range r.VerifiedChains {
		c, ok := chain(list)
		if !ok {
			return false
		}
		r.chains = append(r.chains, c)
	}
	return true
}

// trusted reports whether the peer of a session would still be accepted: by a chain in which
// nothing has expired, and whose root is among the authorities, wherever one is needed.
func (m *Machine) trusted(r *resumed, server bool, now time.Time) bool {
	roots, verified := m.cfg.RootCAs, !m.cfg.InsecureSkipVerify
	if server {
		roots = m.cfg.ClientCAs
		switch auth := m.cfg.ClientAuth; {
		case len(r.certificates) == 0:
			return auth <= tls.RequestClientCert || auth == tls.VerifyClientCertIfGiven
		case auth == tls.NoClientCert: // it came after the handshake, and nobody has asked for it now
			return false
		default:
			verified = auth >= tls.VerifyClientCertIfGiven
		}
	}
	return !verified || slices.ContainsFunc(r.chains, func(chain []*x509.Certificate) bool {
		return chainHolds(chain, roots, now)
	})
}

// chainHolds reports whether a chain that was verified once still holds.
func chainHolds(chain []*x509.Certificate, roots *x509.CertPool, now time.Time) bool {
	for _, cert := range chain {
		if now.Before(cert.NotBefore) || now.After(cert.NotAfter) {
			return false
		}
	}
	_, err := chain[len(chain)-1].Verify(x509.VerifyOptions{
		Roots:       roots,
		CurrentTime: now,
		KeyUsages:   []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	return err == nil
}

// resume tells in ConnectionState that a session was resumed, and what it knows about
// the peer.
func (m *Machine) resume(r *resumed) {
	m.conn.resumed = true
	m.conn.setPeer(peer{r.certificates, r.chains, r.OCSPResponse, r.SCTs})
	if len(r.AppData) > 0 {
		m.conn.extra().ticketData = r.AppData
	}
}

// takeSession takes a session that a client may resume out of its cache, or nil. Whether
// its version and cipher suite are offered is up to the caller.
func (m *Machine) takeSession() (*resumed, error) {
	if !m.cfg.resumes() {
		return nil, nil
	}
	var kept []byte
	if err := call(ReasonCallbackFailed, func() error {
		kept = m.cfg.SessionCache.Take(m.d.cacheKey)
		return nil
	}); err != nil {
		return nil, err
	}
	if kept == nil {
		return nil, nil
	}
	defer clear(kept)
	s, err := ParseSession(kept)
	if err != nil { // of another release
		return nil, nil
	}
	now, err := m.now()
	if err != nil {
		s.Wipe()
		return nil, err
	}
	return m.usable(s, false, m.cfg.ServerName, now), nil
}

// keepSession puts a client's session into its cache, and reports whether it could be. The
// session is wiped.
func (m *Machine) keepSession(s *Session) (kept bool, err error) {
	defer s.Wipe()
	b, err := s.AppendBinary(nil)
	if err != nil { // it goes beyond a limit, and so cannot be resumed
		return false, nil
	}
	return true, call(ReasonCallbackFailed, func() error {
		m.cfg.SessionCache.Put(m.d.cacheKey, b)
		return nil
	})
}

// storedIDLen is the length of the tickets of a [SessionStore], and of session ids of TLS 1.2.
const storedIDLen = 32

// storedID is what such a ticket or session id is to the store. The version is a part of it:
// a session id of TLS 1.2 goes over the wire in the clear, and whoever has seen one must not
// have it taken out of the store by offering it as a ticket of TLS 1.3.
func storedID(version uint16, id []byte) []byte { return append([]byte{byte(version)}, id...) }

// sealTicket returns the ticket for a server's session, or nil when there can be none: it
// would be too long. The session is wiped.
func (m *Machine) sealTicket(s *Session, now time.Time) (ticket []byte, err error) {
	defer s.Wipe()
	b, err := s.AppendBinary(nil)
	if err != nil {
		return nil, nil
	}
	if m.cfg.SessionStore != nil {
		ticket = make([]byte, storedIDLen)
		if err := m.cfg.random(ticket); err != nil {
			clear(b)
			return nil, err
		}
		return ticket, m.storeSession(ticket, b, now, s.Expires())
	}
	defer clear(b)
	if seal := m.cfg.SealTicket; seal != nil {
		err = call(ReasonCallbackFailed, func() (err error) {
			ticket, err = seal(b)
			return err
		})
	} else {
		random := &configRandom{cfg: m.cfg}
		// What it refuses but for this is too long, or comes from a key that is used up.
		if ticket, err = m.d.ticketKeys.Seal(nil, b, now, random); err != nil {
			return nil, random.err
		}
	}
	if err != nil || len(ticket) > maxTicket {
		return nil, err
	}
	return ticket, nil
}

// storeSession puts a session into the store, which owns it then.
func (m *Machine) storeSession(id, b []byte, now, expires time.Time) error {
	return call(ReasonCallbackFailed, func() error {
		m.cfg.SessionStore.Put(storedID(m.conn.version, id), b, now, expires)
		return nil
	})
}

// configRandom is the random source of a config as a reader, which notes its failure.
type configRandom struct {
	cfg *Config
	err error
}

func (r *configRandom) Read(b []byte) (int, error) {
	if r.err = r.cfg.random(b); r.err != nil {
		return 0, r.err
	}
	return len(b), nil
}

// newOpenTicketTask finds the session that a ticket, or a session id, stands for.
func (m *Machine) newOpenTicketTask(ticket []byte) *Task {
	cfg, keys, version := m.cfg, m.d.ticketKeys, m.conn.version
	t := m.newTask(TaskOpenTicket, func(t *Task) error {
		return call(ReasonCallbackFailed, func() (err error) {
			t.session, err = cfg.openTicket(t.content, keys, version)
			return err
		})
	})
	t.content = m.owned(t.kind, ticket)
	return t
}

// openTicket returns what a ticket has in it, or nil when it is not ours. In a store, a
// session of TLS 1.3 is there for one use.
func (c *Config) openTicket(ticket []byte, keys *TicketKeys, version uint16) ([]byte, error) {
	switch {
	case c.OpenTicket != nil:
		return c.OpenTicket(ticket)
	case c.SessionStore != nil && version == tls.VersionTLS13:
		return c.SessionStore.Take(storedID(version, ticket), c.now()), nil
	case c.SessionStore != nil:
		return c.SessionStore.Get(storedID(version, ticket), c.now()), nil
	}
	session, _ := keys.Open(nil, ticket, c.now())
	return session, nil
}

// openedSession returns what a server may resume of what TaskOpenTicket has found, or nil.
func (m *Machine) openedSession() (*resumed, error) {
	t, err := m.result()
	if err != nil {
		return nil, err
	}
	defer clear(t.session)
	s, err := ParseSession(t.session)
	if err != nil { // not ours, or of another release
		return nil, nil
	}
	now, err := m.now()
	if err != nil {
		s.Wipe()
		return nil, err
	}
	if s.Version != m.conn.version {
		s.Wipe()
		return nil, nil
	}
	return m.usable(s, true, m.conn.serverName(), now), nil
}
