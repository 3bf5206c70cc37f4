package tlscore

import (
	"crypto/tls"
	"crypto/x509"
	"sync/atomic"
	"time"

	"tlscore.example/tlscore/internal/schedule"
)

// What a connection consists of, in memory. A server may hold very many that wait, so what all
// of them need for as long as they live is in one piece and tightly packed; what only some
// need, or only at times, hangs off pointers. TestIdleSize knows the sizes.

// live is what a machine that does not hibernate has besides its handshake.
type live struct {
	in   receiver
	out  sender
	conn negotiated
}

// environment is what the two directions need of a config.
type environment struct {
	limits     Limits
	allocator  Allocator
	trace      func(TraceMessage)
	now        func() time.Time
	padding    int // what the plaintext of a record is padded to a multiple of
	smallFirst bool
}

// negotiated is what ConnectionState tells, and what is kept beside it.
type negotiated struct {
	names string           // the application protocol and the server's name, one behind the other
	peer  *peer            // nil while nothing is known about it
	more  *negotiatedExtra // nil while there is nothing

	version, cipherSuite uint16
	curve                tls.CurveID
	protocolLen          uint8 // of names

	complete, resumed, retried bool
	mutual                     bool // the application protocol, if there is one, was agreed on
	extendedMasterSecret       bool // of TLS 1.2
	earlyAccepted              bool
	exports                    bool // the exporter secret of TLS 1.3 is kept
}

// negotiatedExtra is what not every connection has.
type negotiatedExtra struct {
	exporter12    *schedule.Exporter12
	earlyExporter *schedule.ExporterSecret
	tickets       *ticketing
	ticketData    []byte    // of the ticket that was resumed
	post          *postAuth // of a client that may be authenticated after the handshake
}

// peer is what a connection knows about its peer. It stays as it is while the connection
// hibernates.
type peer struct {
	certificates []*x509.Certificate
	chains       [][]*x509.Certificate
	ocsp         []byte
	scts         [][]byte
}

// nameCache has names that connections of a server have lately had, for others to share: most
// ask for the same few.
type nameCache [16]atomic.Pointer[string]

// share returns the protocol with the name behind it.
func (c *nameCache) share(protocol, serverName []byte) string {
	var room [2 * 255]byte
	both := append(append(room[:0], protocol...), serverName...)
	place := &c[len(both)%len(c)]
	if known := place.Load(); known != nil && *known == string(both) {
		return *known
	}
	names := string(both)
	place.Store(&names)
	return names
}

// extra returns what not every connection has, to put something there.
func (c *negotiated) extra() *negotiatedExtra {
	if c.more == nil {
		c.more = new(negotiatedExtra)
	}
	return c.more
}

// learn returns what is known about the peer, to add to it.
func (c *negotiated) learn() *peer {
	if c.peer == nil {
		c.peer = new(peer)
	}
	return c.peer
}

// setPeer keeps what is known about the peer, if that is anything.
func (c *negotiated) setPeer(p peer) {
	if p.certificates != nil || p.chains != nil || p.ocsp != nil || p.scts != nil {
		c.peer = &p
	}
}

func (c *negotiated) protocol() string   { return c.names[:c.protocolLen] }
func (c *negotiated) serverName() string { return c.names[c.protocolLen:] }

// setNames sets the application protocol, of at most 255 bytes, and the server's name.
func (c *negotiated) setNames(protocol, serverName string) {
	c.names, c.protocolLen = protocol+serverName, uint8(len(protocol))
}

func (c *negotiated) ticketData() []byte {
	if c.more == nil {
		return nil
	}
	return c.more.ticketData
}

func (c *negotiated) tickets() *ticketing {
	if c.more == nil {
		return nil
	}
	return c.more.tickets
}

func (c *negotiated) post() *postAuth {
	if c.more == nil {
		return nil
	}
	return c.more.post
}

func (c *negotiated) earlyExporter() *schedule.ExporterSecret {
	if c.more == nil {
		return nil
	}
	return c.more.earlyExporter
}

// exporter12 is that of TLS 1.2, nil if there is none.
func (c *negotiated) exporter12() *schedule.Exporter12 {
	if c.more == nil {
		return nil
	}
	return c.more.exporter12
}

// state returns what ConnectionState tells.
func (c *negotiated) state() tls.ConnectionState {
	s := tls.ConnectionState{
		Version:            c.version,
		CipherSuite:        c.cipherSuite,
		CurveID:            c.curve,
		NegotiatedProtocol: c.protocol(),
		ServerName:         c.serverName(),
		HandshakeComplete:  c.complete,
		DidResume:          c.resumed,
		HelloRetryRequest:  c.retried,
	}
	//lint:ignore SA1019 crypto/tls sets it, too
	s.NegotiatedProtocolIsMutual = c.mutual
	if p := c.peer; p != nil {
		s.PeerCertificates, s.VerifiedChains = p.certificates, p.chains
		s.OCSPResponse, s.SignedCertificateTimestamps = p.ocsp, p.scts
	}
	return s
}

// vault has the secrets that a connection of TLS 1.3 keeps behind its handshake: no longer than
// its hash makes them. Each belongs to whoever uses it.
type vault interface {
	at(keptSecret) []byte
	hash() schedule.Hash
}

type keptSecret int

const (
	receivingSecret keptSecret = iota // of the application phase, for KeyUpdate
	sendingSecret
	exporterSecret
	keptSecrets
)

type (
	vault256 [keptSecrets][32]byte
	vault384 [keptSecrets][48]byte
)

func (v *vault256) at(s keptSecret) []byte { return v[s][:] }
func (v *vault384) at(s keptSecret) []byte { return v[s][:] }
func (*vault256) hash() schedule.Hash      { return schedule.SHA256 }
func (*vault384) hash() schedule.Hash      { return schedule.SHA384 }

func newVault(h schedule.Hash) vault {
	if h == schedule.SHA384 {
		return new(vault384)
	}
	return new(vault256)
}

// keep keeps a secret of the application phase. Only the receiving half does, in the handshake.
func (m *Machine) keep(which keptSecret, secret *schedule.Secret) {
	m.out.lock()
	defer m.out.unlock()
	m.out.keep(which, secret)
}

func (s *sender) keep(which keptSecret, secret *schedule.Secret) {
	if s.kept == nil {
		s.kept = newVault(secret.Hash())
	}
	copy(s.kept.at(which), secret.Bytes())
}

// secret returns a copy of a secret that is kept, which has to be wiped.
func (s *sender) secret(which keptSecret) (secret schedule.TrafficSecret) {
	// It fails for a wrong length alone.
	secret.Secret, _ = schedule.RestoreSecret(s.kept.hash(), s.kept.at(which))
	return secret
}

// forget clears a secret.
func (s *sender) forget(which keptSecret) {
	if s.kept != nil {
		clear(s.kept.at(which))
	}
}
