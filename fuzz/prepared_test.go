package fuzz

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"tlscore.example/tlscore"
	"tlscore.example/tlscore/internal/tlstest"
)

// A prepared is a session from before, which the machine can resume, and what a
// puppet knows of it.
type prepared struct {
	version uint16
	suite   *suite
	secret  []byte
	early   bool
	age     time.Duration
	ageAdd  uint32
	ticket  []byte // nil when it is stored under id
	id      []byte
	sealed  []byte // of a server, as its tickets and its store have it
}

// What the bits of setup.session mean.
const (
	sessionThere   = 1 << iota // there is one
	session12                  // of TLS 1.2
	sessionEarly               // which allows early data, as the config does
	sessionStored              // kept under an id, not in a ticket
	sessionOld                 // and of which half of its life is over
	sessionForeign             // and which belongs to other settings
	// The two bits above choose its cipher suite.
)

// What the bits of setup.resuming mean.
const (
	resumingGuarded  = 1 << iota // a ReplayGuard decides about early data
	resumingRejects              // AcceptEarlyData says no
	resumingByHand               // tasks are answered by hand
	resumingTickets              // a server sends five tickets, a client asks for three and one
	resumingDisabled             // Config.SessionTicketsDisabled
)

var (
	preparedID   = bytes.Repeat([]byte{0x1d}, 32)
	ticketKeys   = sync.OnceValue(func() *tlscore.TicketKeys { return must(tlscore.NewTicketKeys([32]byte{1}, [32]byte{2})) })
	clientTicket = []byte("a ticket that the server can open")
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// newPrepared makes what the setup says of a session; nil when there is none.
func (s *setup) newPrepared() *prepared {
	if s.session&sessionThere == 0 {
		return nil
	}
	p := &prepared{version: tls.VersionTLS13, early: s.session&sessionEarly != 0, age: 10 * time.Second, ageAdd: 0x01020304}
	choice := int(s.session>>6) % 3
	p.suite = suites[choice]
	size := p.suite.hash.Size()
	if s.session&session12 != 0 {
		p.version, p.suite, size = tls.VersionTLS12, suites12[2*choice], 48
	}
	p.secret = bytes.Repeat([]byte{0x5e, 0xc7}, size/2)
	if s.session&sessionOld != 0 {
		p.age = 5 * 24 * time.Hour
	}
	if s.session&sessionStored != 0 {
		p.id = preparedID
	}
	if s.role == roleClient {
		if p.id == nil || p.version == tls.VersionTLS13 {
			p.ticket = clientTicket
		}
		return p
	}
	template := s.serverTemplate()
	if template == nil {
		return nil
	}
	p.complete(template, s)
	p.sealed = must(template.MarshalBinary())
	if p.id == nil {
		p.ticket = must(ticketKeys().Seal(nil, p.sealed, tlstest.Now, zeros{}))
	}
	return p
}

// complete fills in a session that has the identity of the settings, and the
// certificates.
func (p *prepared) complete(out *tlscore.Session, s *setup) {
	out.Version, out.CipherSuite = p.version, uint16(p.suite.id)
	out.Secret, out.ExtendedMasterSecret = bytes.Clone(p.secret), p.version == tls.VersionTLS12
	out.CreatedAt = tlstest.Now.Add(-p.age)
	out.AuthenticatedAt = out.CreatedAt
	out.Lifetime, out.AgeAdd, out.CurveID = tlscore.MaxSessionLifetime, p.ageAdd, tls.X25519
	out.AppData, out.ServerName, out.ALPN, out.MaxEarlyData = nil, "localhost", "", 0
	if out.IsServer {
		out.AppData = []byte("the application's")
	} else {
		out.ServerName = s.serverName
	}
	if p.early && p.version == tls.VersionTLS13 {
		out.MaxEarlyData = 500
	}
	if len(s.alpn) > 0 {
		out.ALPN = s.alpn[0]
	}
	if s.session&sessionForeign != 0 {
		out.ConfigID[0] ^= 1
	}
}

// templates are sessions of servers, by what settings they belong to: each takes
// a handshake.
var templates sync.Map

// serverTemplate returns a session that a server with this setup has made, nil
// when it makes none.
func (s *setup) serverTemplate() *tlscore.Session {
	key := fmt.Sprint(s.versions, s.alpn, s.callbacks&(callVerifyPeer|callVerifyConnection), s.more&(moreAsks|moreRequires))
	b, ok := templates.Load(key)
	if !ok {
		b, _ = templates.LoadOrStore(key, s.learn())
	}
	if len(b.([]byte)) == 0 {
		return nil
	}
	return must(tlscore.ParseSession(b.([]byte)))
}

// learn makes a session by a handshake with a server whose settings are those of
// the setup as far as a session is bound to them.
func (s *setup) learn() (session []byte) {
	plain := setup{role: roleServer, versions: s.versions, alpn: s.alpn, groups: groupChoices[0], certificates: certificates[0],
		serverName: "localhost", callbacks: s.callbacks & (callVerifyPeer | callVerifyConnection), more: s.more & (moreAsks | moreRequires)}
	cfg := plain.config(nil, nil)
	cfg.SealTicket = func(b []byte) ([]byte, error) {
		session = bytes.Clone(b)
		return []byte("ticket"), nil
	}
	cfg.OpenTicket = func([]byte) ([]byte, error) { return nil, nil }
	own := plain.config(nil, nil)
	own.ClientAuth, own.InsecureSkipVerify, own.SessionCache = tls.NoClientCert, true, tlscore.NewLRUSessionCache(1, 1)
	own.Certificates = []tls.Certificate{tlstest.Certificate(tlstest.Leaf{Key: tlstest.Ed25519, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})}
	server, err1 := tlscore.NewServer(cfg)
	client, err2 := tlscore.NewClient(own)
	if errors.Join(err1, err2) != nil {
		return nil
	}
	ends := [2]*tlscore.Machine{client, server}
	var in [2][]byte
	for range 10 {
		for i, m := range ends {
			for {
				ev, n := m.Step(in[i])
				in[i] = in[i][n:]
				if ev.Stop() {
					break
				}
			}
			in[1-i] = m.AppendOutput(append(make([]byte, 0, len(in[1-i])+1<<16), in[1-i]...))
		}
	}
	return session
}

// addSession puts the session, and what belongs to it, into a config.
func (s *setup) addSession(cfg *tlscore.Config) {
	p := s.prepared
	if p == nil {
		return
	}
	cfg.SessionStore, cfg.TicketKeys = nil, ticketKeys()
	if p.id != nil {
		cfg.SessionStore, cfg.TicketKeys = &primedStore{tlscore.NewSessionStore(4), p.id, p.sealed, false}, nil
	}
	cfg.SessionCache = &primedCache{tlscore.NewLRUSessionCache(4, 2), s, false}
	if s.resuming&resumingTickets != 0 {
		cfg.TicketCount, cfg.TicketRequest = 5, tlscore.TicketRequest{New: 3, Resumed: 1}
	}
	if p.early {
		cfg.EarlyData, cfg.MaxEarlyData = true, 500
		cfg.AcceptEarlyData = func(tlscore.EarlyDataInfo) bool {
			return s.answer() == nil && s.resuming&resumingRejects == 0
		}
	}
	if s.resuming&resumingGuarded != 0 {
		guard := tlscore.NewReplayWindow(time.Minute, 4)
		_ = must(guard.Fresh(nil, tlstest.Now.Add(-time.Hour), tlstest.Now)) // it is there for long
		cfg.AcceptEarlyData, cfg.ReplayGuard = nil, guard
	}
	if s.resuming&resumingDisabled != 0 {
		cfg.SessionTicketsDisabled, cfg.MaxEarlyData = true, 0
	}
}

// A primedStore is a store that has a session already, under an id of which the
// machine says itself what belongs in front of it.
type primedStore struct {
	tlscore.SessionStore
	id, session []byte
	taken       bool
}

func (s *primedStore) Take(id []byte, now time.Time) []byte {
	if b := s.Get(id, now); b != nil && bytes.HasSuffix(id, s.id) {
		s.taken = true
		return b
	}
	return s.SessionStore.Take(id, now)
}

func (s *primedStore) Get(id []byte, now time.Time) []byte {
	if !s.taken && bytes.HasSuffix(id, s.id) {
		return bytes.Clone(s.session)
	}
	return s.SessionStore.Get(id, now)
}

// A primedCache is a cache that has a session already, for whatever it is asked.
// The key ends with what the session is bound to.
type primedCache struct {
	tlscore.SessionCache
	set   *setup
	taken bool
}

func (c *primedCache) Take(key string) []byte {
	if c.taken {
		return c.SessionCache.Take(key)
	}
	c.taken = true
	_, digest, _ := strings.Cut(key, " ")
	session := &tlscore.Session{ConfigID: [32]byte(must(hex.DecodeString(digest)))}
	chain := knownChain()
	session.PeerCertificates, session.VerifiedChains = chain[:1], [][][]byte{chain}
	c.set.prepared.complete(session, c.set)
	if p := c.set.prepared; p.ticket != nil {
		session.Ticket = bytes.Clone(p.ticket)
	} else {
		session.SessionID = bytes.Clone(p.id)
	}
	return must(session.MarshalBinary())
}

// knownChain is a chain of the server's that was verified, in DER.
var knownChain = sync.OnceValue(func() (chain [][]byte) {
	leaf := must(x509.ParseCertificate(certificates[0][0].Certificate[0]))
	for _, cert := range must(leaf.Verify(x509.VerifyOptions{Roots: roots(), CurrentTime: tlstest.Now}))[0] {
		chain = append(chain, cert.Raw)
	}
	return chain
})
