package tlscore

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// Session is what one end keeps of a connection to resume it later: the client
// in its [SessionCache], the server inside the ticket or in its [SessionStore].
//
// It holds a secret: whoever has it can impersonate either end to the other, so
// what AppendBinary writes must not leave the process unencrypted. RFC 8446,
// Sections 2.2 and 4.6.1; RFC 5246, Section 7.3; RFC 5077.
type Session struct {
	// Version is tls.VersionTLS13 or tls.VersionTLS12.
	Version uint16
	// CipherSuite is that of the original connection. TLS 1.3 resumes with any
	// suite of the same hash, TLS 1.2 with this suite only.
	CipherSuite uint16
	// Secret is the PSK of the ticket in TLS 1.3, 32 or 48 bytes, or the master
	// secret in TLS 1.2, 48 bytes.
	Secret []byte
	// IsServer says which end kept the session. One never serves the other.
	IsServer bool
	// ExtendedMasterSecret says that a TLS 1.2 master secret is bound to its
	// handshake. RFC 7627.
	ExtendedMasterSecret bool

	// CreatedAt is when the server issued the ticket or the client received it,
	// to the millisecond.
	CreatedAt time.Time
	// AuthenticatedAt is when the full handshake took place that the session goes
	// back to, to the millisecond. It stays when a resumed connection issues
	// tickets of its own, so that renewal cannot put off authentication for ever.
	AuthenticatedAt time.Time
	// Lifetime is for how many seconds behind CreatedAt the session can be used,
	// at most 604800 (seven days).
	Lifetime uint32
	// AgeAdd is the ticket_age_add of TLS 1.3.
	AgeAdd uint32
	// Ticket is what a client presents to the server, at most 65535 bytes. A
	// server keeps none.
	Ticket []byte
	// SessionID is the session identifier of TLS 1.2, at most 32 bytes.
	SessionID []byte
	// MaxEarlyData is how many bytes of early data the ticket allows; 0 forbids
	// it. It is max_early_data_size.
	MaxEarlyData uint32

	// ALPN is the application protocol, "" for none. Early data is for this one
	// only.
	ALPN string
	// ServerName is the server_name of the original connection, "" for none.
	ServerName string
	// CurveID is the group of its key exchange, 0 for none.
	CurveID tls.CurveID
	// ConfigID identifies the settings under which the peer was authenticated.
	// A session is of no use under others.
	ConfigID [32]byte

	// PeerCertificates are the certificates that the peer sent, in DER, the leaf
	// first; nil if it sent none.
	PeerCertificates [][]byte
	// VerifiedChains are the chains that were built from them, in DER.
	VerifiedChains [][][]byte
	// OCSPResponse is the server's stapled OCSP response, nil for none.
	OCSPResponse []byte
	// SCTs are the server's signed certificate timestamps.
	SCTs [][]byte

	// AppData is what the application put into the ticket, at most 32 KiB. It is
	// as confidential as the rest of the session.
	AppData []byte
}

// What a session may hold. Bytes, unless the comment says otherwise.
const (
	// MaxSessionLifetime is the longest Lifetime, in seconds.
	//
	//	"Servers MUST NOT use any value greater than
	//	604800 seconds (7 days)."
	//
	// RFC 8446, Section 4.6.1.
	MaxSessionLifetime = 604800

	maxSession             = 256 << 10 // a whole session as AppendBinary writes it
	maxSessionAppData      = 32 << 10
	maxSessionCertificates = 255 // different certificates
	maxSessionChains       = 16  // verified chains
	maxSessionChain        = 32  // certificates of a verified chain, or sent by the peer
	maxSessionSCTs         = 64  // timestamps
)

// sessionFormat is the first byte of a session. It changes with the format, so
// that what another release has kept is refused and not misread.
const sessionFormat = 1

// The bits of the flags byte.
const (
	sessionIsServer = 1 << iota
	sessionExtendedMasterSecret
	sessionFlags = 1<<iota - 1
)

var (
	errSessionFormat = errors.New("tlscore: this is not a session of this release")
	errSessionSyntax = errors.New("tlscore: malformed session")
)

// Expires returns the time from which on the session must not be used: the end
// of its lifetime, or seven days behind the full handshake that it goes back to,
// whichever comes first.
//
//	"Clients MUST NOT cache
//	tickets for longer than 7 days, regardless of the ticket_lifetime,
//	and MAY delete tickets earlier based on local policy."
//
// RFC 8446, Section 4.6.1.
func (s *Session) Expires() time.Time {
	end := s.CreatedAt.Add(time.Duration(s.Lifetime) * time.Second)
	if last := s.AuthenticatedAt.Add(MaxSessionLifetime * time.Second); last.Before(end) {
		return last
	}
	return end
}

// Wipe clears the secret, in place, and lets go of everything else. The slice
// behind Secret must therefore not be shared.
func (s *Session) Wipe() {
	clear(s.Secret)
	*s = Session{}
}

// MarshalBinary is AppendBinary into new memory. It implements
// encoding.BinaryMarshaler.
func (s *Session) MarshalBinary() ([]byte, error) { return s.AppendBinary(nil) }

// AppendBinary appends s to b in the form that ParseSession reads. It fails, and
// appends nothing, when s is not complete or goes beyond a limit; such a
// session cannot be resumed. The result holds the secret: clear it after use. It
// implements encoding.BinaryAppender.
func (s *Session) AppendBinary(b []byte) ([]byte, error) {
	if err := s.check(); err != nil {
		return b, err
	}
	var table certificateTable
	peer := table.indices(s.PeerCertificates)
	chains := make([][]byte, len(s.VerifiedChains))
	for i, chain := range s.VerifiedChains {
		chains[i] = table.indices(chain)
	}
	if len(table) > maxSessionCertificates {
		return b, fmt.Errorf("tlscore: session with %d certificates", len(table))
	}
	n := s.encodedLen(table, peer, chains)
	if n > maxSession {
		return b, fmt.Errorf("tlscore: session of %d bytes", n)
	}
	// One allocation at most, so that no copy of the secret is left behind.
	out := slices.Grow(b, n)

	out = append(out, sessionFormat, s.flags())
	out = binary.BigEndian.AppendUint16(out, s.Version)
	out = binary.BigEndian.AppendUint16(out, s.CipherSuite)
	out = binary.BigEndian.AppendUint16(out, uint16(s.CurveID))
	out = binary.BigEndian.AppendUint64(out, uint64(s.CreatedAt.UnixMilli()))
	out = binary.BigEndian.AppendUint64(out, uint64(s.AuthenticatedAt.UnixMilli()))
	out = binary.BigEndian.AppendUint32(out, s.Lifetime)
	out = binary.BigEndian.AppendUint32(out, s.AgeAdd)
	out = binary.BigEndian.AppendUint32(out, s.MaxEarlyData)
	out = append(out, s.ConfigID[:]...)
	out = append8(out, s.Secret)
	out = append8(out, s.SessionID)
	out = append8(out, []byte(s.ALPN))
	out = append8(out, []byte(s.ServerName))
	out = append24(out, s.Ticket)
	out = append24(out, s.AppData)
	out = append24(out, s.OCSPResponse)
	out = append(out, byte(len(s.SCTs)))
	for _, sct := range s.SCTs {
		out = append24(out, sct)
	}
	out = append(out, byte(len(table)))
	for _, der := range table {
		out = append24(out, der)
	}
	out = append8(out, peer)
	out = append(out, byte(len(chains)))
	for _, chain := range chains {
		out = append8(out, chain)
	}
	return out, nil
}

func (s *Session) flags() (flags byte) {
	if s.IsServer {
		flags |= sessionIsServer
	}
	if s.ExtendedMasterSecret {
		flags |= sessionExtendedMasterSecret
	}
	return flags
}

// encodedLen is the length of what AppendBinary writes.
func (s *Session) encodedLen(table certificateTable, peer []byte, chains [][]byte) int {
	const fixed = 2 + 3*2 + 2*8 + 3*4 + 32
	n := fixed + 4*1 + len(s.Secret) + len(s.SessionID) + len(s.ALPN) + len(s.ServerName)
	n += 3*3 + len(s.Ticket) + len(s.AppData) + len(s.OCSPResponse)
	n += 4 + len(peer) // the numbers of timestamps, certificates and chains, and the peer's
	for _, list := range [][][]byte{s.SCTs, table} {
		for _, b := range list {
			n += 3 + len(b)
		}
	}
	for _, chain := range chains {
		n += 1 + len(chain)
	}
	return n
}

// check says what is wrong with s, in the same way when it is written and when it
// was read.
func (s *Session) check() error {
	for _, c := range []struct {
		wrong bool
		what  string
	}{
		{s.Version != tls.VersionTLS13 && s.Version != tls.VersionTLS12, "version"},
		{!s.secretFits(), "secret"},
		{s.Version == tls.VersionTLS13 && s.ExtendedMasterSecret, "extended master secret"},
		{!storable(s.CreatedAt), "creation time"},
		{!storable(s.AuthenticatedAt), "authentication time"},
		{s.Lifetime > MaxSessionLifetime, "lifetime"},
		{len(s.SessionID) > 32, "session id"},
		{len(s.ALPN) > 255, "application protocol"},
		{len(s.ServerName) > 255, "server name"},
		{len(s.Ticket) > 1<<16-1, "ticket"},
		{len(s.AppData) > maxSessionAppData, "application data"},
		{len(s.OCSPResponse) > maxSession, "OCSP response"},
		{!bounded(s.SCTs, maxSessionSCTs), "signed certificate timestamps"},
		{!bounded(s.PeerCertificates, maxSessionChain), "peer certificates"},
		{!s.chainsFit(), "verified chains"},
	} {
		if c.wrong {
			return fmt.Errorf("tlscore: session with an unusable %s", c.what)
		}
	}
	return nil
}

// secretFits reports whether the secret has a length that its version can have:
// that of SHA-256 or SHA-384, or of a master secret. RFC 8446, Section 4.6.1, and
// RFC 5246, Section 8.1.
func (s *Session) secretFits() bool {
	return len(s.Secret) == 48 || len(s.Secret) == 32 && s.Version == tls.VersionTLS13
}

func (s *Session) chainsFit() bool {
	for _, chain := range s.VerifiedChains {
		if len(chain) == 0 || !bounded(chain, maxSessionChain) {
			return false
		}
	}
	return len(s.VerifiedChains) <= maxSessionChains
}

// bounded reports whether list has at most n elements, none of them empty.
func bounded(list [][]byte, n int) bool {
	for _, b := range list {
		if len(b) == 0 || len(b) > maxSession {
			return false
		}
	}
	return len(list) <= n
}

// storable reports whether t lies between 1970 and the year 9999.
func storable(t time.Time) bool {
	const last = 253402300799999
	return !t.Before(time.UnixMilli(0)) && !t.After(time.UnixMilli(last))
}

// ParseSession reads what AppendBinary has written, and nothing else: it fails on
// another format, on bytes that are missing or left over, and on what goes beyond
// a limit. The result shares no memory with b.
func ParseSession(b []byte) (*Session, error) {
	if len(b) == 0 || b[0] != sessionFormat {
		return nil, errSessionFormat
	}
	if len(b) > maxSession {
		return nil, errSessionSyntax
	}
	// One copy for everything. The fields are parts of it, and the secret stands
	// in it once.
	in := cryptobyte.String(slices.Clone(b))
	s := new(Session)
	if !s.parse(in) {
		clear(in)
		return nil, errSessionSyntax
	}
	return s, nil
}

func (s *Session) parse(in cryptobyte.String) bool {
	var format, flags uint8
	var curve uint16
	var created, authenticated uint64
	var id []byte
	if !in.ReadUint8(&format) || !in.ReadUint8(&flags) || flags&^sessionFlags != 0 ||
		!in.ReadUint16(&s.Version) || !in.ReadUint16(&s.CipherSuite) || !in.ReadUint16(&curve) ||
		!in.ReadUint64(&created) || !in.ReadUint64(&authenticated) || created > 1<<62 || authenticated > 1<<62 ||
		!in.ReadUint32(&s.Lifetime) || !in.ReadUint32(&s.AgeAdd) || !in.ReadUint32(&s.MaxEarlyData) ||
		!in.ReadBytes(&id, len(s.ConfigID)) {
		return false
	}
	s.IsServer = flags&sessionIsServer != 0
	s.ExtendedMasterSecret = flags&sessionExtendedMasterSecret != 0
	s.CurveID = tls.CurveID(curve)
	s.CreatedAt = time.UnixMilli(int64(created)).UTC()
	s.AuthenticatedAt = time.UnixMilli(int64(authenticated)).UTC()
	s.ConfigID = [32]byte(id)

	var alpn, name []byte
	if !read8(&in, &s.Secret) || !read8(&in, &s.SessionID) || !read8(&in, &alpn) || !read8(&in, &name) ||
		!read24(&in, &s.Ticket) || !read24(&in, &s.AppData) || !read24(&in, &s.OCSPResponse) ||
		!readList(&in, &s.SCTs) {
		return false
	}
	s.ALPN, s.ServerName = string(alpn), string(name)
	return s.parseCertificates(&in) && in.Empty() && s.check() == nil
}

// parseCertificates reads the table of certificates and the lists of indices into
// it. There is one way to write them: no certificate twice, none unused, in the
// order of their first use.
func (s *Session) parseCertificates(in *cryptobyte.String) bool {
	var table certificateTable
	var peer []byte
	var chains uint8
	if !readList(in, (*[][]byte)(&table)) || table.repeats() || !read8(in, &peer) || !in.ReadUint8(&chains) ||
		len(peer) > maxSessionChain || chains > maxSessionChains {
		return false
	}
	used := 0
	var ok bool
	if s.PeerCertificates, ok = table.look(peer, &used); !ok {
		return false
	}
	for range chains {
		var indices []byte
		if !read8(in, &indices) || len(indices) > maxSessionChain {
			return false
		}
		chain, ok := table.look(indices, &used)
		if !ok {
			return false
		}
		s.VerifiedChains = append(s.VerifiedChains, chain)
	}
	return used == len(table)
}

// A certificateTable has each certificate of a session once: a verified chain is
// mostly what the peer sent, and a root.
type certificateTable [][]byte

// indices adds to the table what is new in chain, and returns where its
// certificates stand. When the table outgrows a byte the result means nothing,
// and the caller sees it by the table's length.
func (t *certificateTable) indices(chain [][]byte) []byte {
	out := make([]byte, len(chain))
	for i, der := range chain {
		at := slices.IndexFunc(*t, func(other []byte) bool { return bytes.Equal(der, other) })
		if at < 0 {
			at = len(*t)
			*t = append(*t, der)
		}
		out[i] = byte(at)
	}
	return out
}

// look returns the certificates at indices. used is how many of the table were
// seen so far; the next new one must be the first of those that were not.
func (t certificateTable) look(indices []byte, used *int) (chain [][]byte, ok bool) {
	for _, i := range indices {
		if int(i) > *used || int(i) >= len(t) {
			return nil, false
		}
		if int(i) == *used {
			*used++
		}
		chain = append(chain, t[i])
	}
	return chain, true
}

// repeats reports whether a certificate stands twice in the table.
func (t certificateTable) repeats() bool {
	for i := range t {
		for _, other := range t[:i] {
			if bytes.Equal(t[i], other) {
				return true
			}
		}
	}
	return false
}

// append8 appends what with its length in one byte, append24 in three.
func append8(b, what []byte) []byte { return append(append(b, byte(len(what))), what...) }

func append24(b, what []byte) []byte {
	n := len(what)
	return append(append(b, byte(n>>16), byte(n>>8), byte(n)), what...)
}

// read8 reads what append8 has written. What is empty becomes nil; appending to
// the rest does not reach into what lies behind it.
func read8(in *cryptobyte.String, out *[]byte) bool {
	var s cryptobyte.String
	ok := in.ReadUint8LengthPrefixed(&s)
	*out = part(s)
	return ok
}

func read24(in *cryptobyte.String, out *[]byte) bool {
	var s cryptobyte.String
	ok := in.ReadUint24LengthPrefixed(&s)
	*out = part(s)
	return ok
}

// readList reads elements with a length of three bytes, their number before them.
func readList(in *cryptobyte.String, out *[][]byte) bool {
	var n uint8
	if !in.ReadUint8(&n) {
		return false
	}
	for range n {
		var b []byte
		if !read24(in, &b) || len(b) == 0 {
			return false
		}
		*out = append(*out, b)
	}
	return true
}

func part(s cryptobyte.String) []byte {
	if len(s) == 0 {
		return nil
	}
	return slices.Clip([]byte(s))
}
