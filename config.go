package tlscore

import (
	"crypto/fips140"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"tlscore.example/tlscore/internal/record"
	"tlscore.example/tlscore/internal/wire"
)

// Config says how connections are made. It is used by pointer, by any number of
// connections at a time, and must not be changed after its first use; to make a
// variant, change what Clone returns.
//
// The names and types are those of crypto/tls wherever it has them.
//
// Callbacks are called inside Step and the answers, or where the [Task] runs that they
// belong to, and for different connections at the same time. They must not call the
// machine. The error of one ends its connection, with the alert that is named here
// unless it wraps an [AlertError]; so does a panic.
type Config struct {
	// Rand is where randomness comes from; nil means crypto/rand. It must be
	// safe for concurrent use when connections are. A signature and an ML-KEM
	// encapsulation draw from crypto/rand whatever Rand is.
	Rand io.Reader
	// Time returns the current time; nil means time.Now. It is asked to judge
	// certificates and sessions, and when a session is made.
	Time func() time.Time

	// Certificates are the certificate chains to authenticate with, in order of
	// preference: a server uses the first that suits the client best, and a
	// client, when it is asked for one, the first that the server says it accepts,
	// or none.
	Certificates []tls.Certificate
	// GetCertificate chooses a server's certificate. It is asked first when
	// Certificates is empty or the client named a server; when it returns nil,
	// Certificates is used. Its error ends the handshake with internal_error. Conn and
	// Context of the info are nil.
	GetCertificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)

	// GetClientCertificate chooses a client's certificate, when the server asks for
	// one; Certificates is not used then. When it returns one that is empty, or
	// nil, the client has none. Its error ends the connection with internal_error.
	// Context of the info is nil.
	GetClientCertificate func(*tls.CertificateRequestInfo) (*tls.Certificate, error)

	// GetOCSPResponse, if set, is asked for the OCSP response, in DER, that goes
	// along with a certificate, when the peer wants one and the certificate has no
	// OCSPStaple; nil means that there is none. It must not block: responses are
	// fetched ahead. Its error ends the connection with internal_error. RFC 6066,
	// Section 8; RFC 8446, Section 4.4.2.1.
	GetOCSPResponse func(*tls.Certificate) ([]byte, error)

	// RootCAs are the authorities that a client trusts; nil means the system's.
	RootCAs *x509.CertPool
	// ServerName is the name, or IP address, that the server's certificate must
	// be for. A client sends it in server_name unless it is an address. A client
	// without one is an error unless InsecureSkipVerify is set.
	ServerName string
	// InsecureSkipVerify makes a client accept any certificate chain. The
	// server's signature is verified all the same.
	InsecureSkipVerify bool
	// ClientAuth says whether a server asks clients for a certificate, and what it
	// does with it. The default is to ask for none. Unless the chain is verified
	// ([tls.VerifyClientCertIfGiven], [tls.RequireAndVerifyClientCert]), a
	// certificate proves nothing but that the client has its key. It holds for
	// [Machine.RequestClientCertificate] too, where [tls.NoClientCert] means
	// [tls.VerifyClientCertIfGiven] if ClientCAs is set, else
	// [tls.RequestClientCert].
	ClientAuth tls.ClientAuthType
	// ClientCAs are the authorities that a server trusts to certify clients, whose
	// certificates must allow client authentication. It must be set when ClientAuth
	// verifies chains: the authorities of the system vouch for the names of servers,
	// and not for who may be a client.
	ClientCAs *x509.CertPool
	// CertificateAuthorities are the names of authorities, each a distinguished
	// name in DER, that the peer is told to choose its certificate by: a client's
	// stand in its ClientHello, a server's in its CertificateRequest. For a server,
	// nil means the subjects of ClientCAs, unless they are more than 24 KiB, and an
	// empty list, not nil, that it names none. They are a hint to the peer and
	// decide nothing here. RFC 8446, Section 4.2.4.
	CertificateAuthorities [][]byte
	// PostHandshakeAuth makes a client offer to authenticate after the handshake
	// too, in TLS 1.3: whenever the server asks it then, it does. This keeps the
	// hash of the handshake for as long as the connection lives. RFC 8446,
	// Section 4.2.6.
	PostHandshakeAuth bool

	// VerifyPeerCertificate, if set, is asked after the peer's chain was verified,
	// with the chains, or without them where none are verified; not when a session is
	// resumed. Its error ends the connection with bad_certificate. It is part of
	// [TaskVerifyChain].
	VerifyPeerCertificate func(rawCerts [][]byte, verifiedChains [][]*x509.Certificate) error
	// VerifyConnection, if set, is asked when the peer's Finished is verified,
	// before the handshake completes, resumed or not, and by a server again when a client has
	// authenticated after the handshake, or has declined to. Its error ends the
	// connection with bad_certificate. ExportKeyingMaterial of the state that it gets
	// panics.
	VerifyConnection func(tls.ConnectionState) error

	// NextProtos are the application protocols, in order of preference. A server
	// with some refuses a client with others. RFC 7301.
	NextProtos []string

	// MinVersion and MaxVersion bound the TLS version: tls.VersionTLS12 or
	// tls.VersionTLS13; 0 means TLS 1.2 and TLS 1.3 in this order. A version in
	// between which CipherSuites, CurvePreferences or SignatureSchemes has nothing
	// for is not spoken.
	MinVersion, MaxVersion uint16
	// CipherSuites are the cipher suites of both versions, in order of
	// preference; nil means all that are supported. A server follows its own
	// order.
	CipherSuites []uint16
	// CurvePreferences are the key exchange groups, in order of preference; nil
	// means all that are supported but [MLKEM1024]. Those with a KEM are for TLS 1.3
	// only. There a server prefers, among the groups that both
	// have, one for which the client sent a key share over one that needs a
	// HelloRetryRequest, unless only the latter is post-quantum.
	CurvePreferences []tls.CurveID
	// KeyShares are the groups of CurvePreferences for which a client sends a
	// share in its first ClientHello; nil means the first post-quantum one and the
	// first other one, as far as CurvePreferences has them: X25519MLKEM768 and X25519
	// by default. An empty one, not nil, asks the server to choose with a
	// HelloRetryRequest.
	KeyShares []tls.CurveID
	// SignatureSchemes are the schemes of the peer's handshake signature that are
	// accepted, and those that this side signs with, in order of preference; nil means
	// all that are supported. A certificate with SupportedSignatureAlgorithms signs
	// with those instead, in their order.
	SignatureSchemes []tls.SignatureScheme
	// SignatureSchemesCert are the schemes that may have signed the certificates of
	// a verified chain, its root aside; an ECDSA scheme stands for its hash with any
	// curve. nil means SignatureSchemes and those of PKCS #1 v1.5 with SHA-256, 384
	// and 512. The peer is told, in signature_algorithms_cert unless
	// signature_algorithms says the same. RFC 8446, Section 4.2.3.
	SignatureSchemesCert []tls.SignatureScheme

	// RequireExtendedMasterSecret refuses peers that do not bind the secret of a
	// TLS 1.2 connection to its handshake; TLS 1.3 always does. Without it, what
	// such a connection exports does not identify it. RFC 7627, Section 5.4.
	RequireExtendedMasterSecret bool
	// FallbackSCSV makes a client say that it offers less than it could, since an
	// attempt with its best version has failed: a server that can do better
	// refuses. It is for those who lower MaxVersion on their own. RFC 7507.
	FallbackSCSV bool

	// OCSPStapling makes a client ask for an OCSP response with the server's
	// certificate; ConnectionState has it then. RFC 6066, Section 8.
	OCSPStapling bool
	// VerifyOCSPResponse, if set together with OCSPStapling, judges the OCSP
	// response, nil when there is none, of the chain that was verified. Its error
	// ends the handshake with bad_certificate_status_response, unless it wraps an
	// [AlertError]. It is part of [TaskVerifyChain].
	VerifyOCSPResponse func(response []byte, verifiedChains [][]*x509.Certificate) error
	// SignedCertificateTimestamps makes a client ask for the timestamps of
	// certificate transparency; ConnectionState has them then. RFC 6962.
	SignedCertificateTimestamps bool

	// RecordSizeLimit is the longest content of a protected record that this side
	// accepts, in bytes, the content type of TLS 1.3 and padding included: 64 to
	// 16385, or 0 for the protocol's own limit. A client asks for it when it is not 0.
	// A server that is asked answers, and both keep to what the other wants.
	// RFC 8449.
	RecordSizeLimit uint16
	// RecordPadding pads protected records of TLS 1.3 so that their plaintext is a
	// multiple of so many bytes, which hides lengths; 0 and 1 pad nothing, the most
	// is 16384. RFC 8446, Section 5.4.
	RecordPadding int
	// GREASE makes a client offer reserved values beside real ones, so that servers
	// stay tolerant of what they do not know. RFC 8701.
	GREASE bool
	// ShuffleExtensions makes a client send its extensions in a random order.
	ShuffleExtensions bool

	// SessionTicketsDisabled turns resumption off, in both versions and both roles.
	SessionTicketsDisabled bool
	// SessionCache is where a client keeps sessions to resume them; nil means that it
	// resumes none. A session is resumed under the same settings only: server name,
	// application protocols, authorities and what else decides which peer is accepted.
	// VerifyPeerCertificate is not asked then, since there is no new certificate;
	// VerifyConnection is. The certificates must not have expired, and a root of theirs
	// must still be among RootCAs.
	SessionCache SessionCache
	// SessionStore is where a server keeps sessions; nil means in the tickets.
	SessionStore SessionStore
	// TicketKeys seal a server's tickets; nil means keys that are made for this Config,
	// and not for its clones: tickets of one are not opened by another.
	TicketKeys *TicketKeys
	// SealTicket and OpenTicket replace TicketKeys. SealTicket must encrypt and
	// authenticate the session, and OpenTicket must return what it was given, or nil
	// without an error when the ticket is not one of its own: then the handshake is a full
	// one. An error ends the handshake. What they are given must not be kept, and what
	// OpenTicket returns is cleared.
	SealTicket func(session []byte) (ticket []byte, err error)
	OpenTicket func(ticket []byte) (session []byte, err error)
	// TicketCount is how many tickets a server sends after a full handshake of TLS 1.3,
	// unless the client says how many it wants: 0 means 2, a negative number none,
	// and the most is 16. After a resumption it sends one. RFC 8446, Section 4.6.1.
	TicketCount int
	// TicketLifetime is for how long a server's tickets can be used, in whole seconds; 0
	// means seven days, which is the longest. However often a session is renewed, it ends
	// seven days after the full handshake.
	TicketLifetime time.Duration
	// TicketRequest is how many tickets a client asks for. RFC 9149.
	TicketRequest TicketRequest
	// TicketData returns what a server puts into a ticket for itself, at most 32 KiB:
	// [Machine.TicketData] returns it when the ticket was resumed. It is asked for each
	// ticket.
	TicketData func(tls.ConnectionState) []byte

	// EarlyData makes a client offer early data when it resumes a session that allows it:
	// [EventEarlyWritable] says that it did. Early data can be replayed by anyone who
	// records it. RFC 8446, Section 2.3.
	EarlyData bool
	// MaxEarlyData makes a server accept up to so many bytes of early data from a client
	// that resumes, if there is no sign of a replay. It needs a ReplayGuard or
	// AcceptEarlyData. RFC 8446, Section 8.
	MaxEarlyData uint32
	// AcceptEarlyData decides whether a server accepts early data; nil means that it
	// does if ReplayGuard says that it is no replay.
	AcceptEarlyData func(EarlyDataInfo) bool
	// ReplayGuard remembers the early data that was accepted.
	ReplayGuard ReplayGuard

	// NoMiddleboxCompat makes a client leave out the session id and the
	// change_cipher_spec that help it past middleboxes. RFC 8446, Appendix D.4.
	NoMiddleboxCompat bool

	// Tasks are the kinds of tasks that are lifted out of the machine, see [Task].
	// All others are done inside Step and the answers.
	Tasks TaskSet

	// Limits bounds what the peer can cause.
	Limits Limits
	// Allocator is where the buffers of connections come from; nil means a
	// shared pool.
	Allocator Allocator
	// KeyLogWriter, if set, is given the secrets of the connections, one line per
	// secret in the NSS key log format, which Wireshark reads: whoever has them can
	// read all. It is for debugging. Lines come whole, one Write each, never two at a
	// time, however many configs share the writer.
	KeyLogWriter io.Writer
	// Trace, if set, is told each handshake message and alert that is sent or
	// received. It is for looking, not for deciding: it must not call the
	// machine. It is called from Step and from the answers, and from Write,
	// KeyUpdate and CloseWrite when they send such a message.
	Trace func(TraceMessage)

	derived atomic.Pointer[derived]
}

// TraceMessage is what Config.Trace is told.
type TraceMessage struct {
	// Sent is true for what this side sends, false for what it received.
	Sent bool
	// Alert is true when Body is an alert, two bytes; otherwise Body is a
	// handshake message with its header.
	Alert bool
	// Body must not be changed, nor kept after the call.
	Body []byte
}

// derived is what is computed once from a Config.
type derived struct {
	versions  []uint16       // best first
	suites    []*cipherSuite // of those versions
	groups    []tls.CurveID
	keyShares []tls.CurveID
	schemes   []tls.SignatureScheme // of handshake signatures, in any version
	// schemesCert may sign certificates.
	schemesCert []tls.SignatureScheme
	// algorithms and algorithmsCert are what is sent to say so, see offeredSchemes.
	algorithms, algorithmsCert []tls.SignatureScheme
	alpn                       [][]byte
	serverName                 string // normalised for server_name; "" for an address
	limits                     Limits
	certs                      []*credential
	// authorities are what a server names in CertificateRequest, a client in its
	// ClientHello.
	authorities       [][]byte
	clientAuthorities [][]byte

	clientID, serverID [32]byte    // Session.ConfigID in each role
	cacheKey           string      // of a client's SessionCache
	ticketKeys         *TicketKeys // nil when tickets are sealed or stored by the application
	ticketLifetime     uint32      // in seconds
}

// Clone returns a copy of c that may be changed. What its fields point to is
// shared.
func (c *Config) Clone() *Config {
	clone := new(Config)
	clone.Rand = c.Rand
	clone.Time = c.Time
	clone.Certificates = c.Certificates
	clone.GetCertificate = c.GetCertificate
	clone.GetClientCertificate = c.GetClientCertificate
	clone.GetOCSPResponse = c.GetOCSPResponse
	clone.RootCAs = c.RootCAs
	clone.ServerName = c.ServerName
	clone.InsecureSkipVerify = c.InsecureSkipVerify
	clone.ClientAuth = c.ClientAuth
	clone.ClientCAs = c.ClientCAs
	clone.CertificateAuthorities = c.CertificateAuthorities
	clone.PostHandshakeAuth = c.PostHandshakeAuth
	clone.VerifyPeerCertificate = c.VerifyPeerCertificate
	clone.VerifyConnection = c.VerifyConnection
	clone.NextProtos = c.NextProtos
	clone.MinVersion = c.MinVersion
	clone.MaxVersion = c.MaxVersion
	clone.CipherSuites = c.CipherSuites
	clone.CurvePreferences = c.CurvePreferences
	clone.KeyShares = c.KeyShares
	clone.SignatureSchemes = c.SignatureSchemes
	clone.SignatureSchemesCert = c.SignatureSchemesCert
	clone.RequireExtendedMasterSecret = c.RequireExtendedMasterSecret
	clone.FallbackSCSV = c.FallbackSCSV
	clone.NoMiddleboxCompat = c.NoMiddleboxCompat
	clone.Tasks = c.Tasks
	clone.Limits = c.Limits
	clone.Allocator = c.Allocator
	clone.Trace = c.Trace
	clone.OCSPStapling = c.OCSPStapling
	clone.VerifyOCSPResponse = c.VerifyOCSPResponse
	clone.SignedCertificateTimestamps = c.SignedCertificateTimestamps
	clone.RecordSizeLimit = c.RecordSizeLimit
	clone.RecordPadding = c.RecordPadding
	clone.GREASE = c.GREASE
	clone.ShuffleExtensions = c.ShuffleExtensions
	clone.KeyLogWriter = c.KeyLogWriter
	clone.SessionTicketsDisabled = c.SessionTicketsDisabled
	clone.SessionCache = c.SessionCache
	clone.SessionStore = c.SessionStore
	clone.TicketKeys = c.TicketKeys
	clone.SealTicket = c.SealTicket
	clone.OpenTicket = c.OpenTicket
	clone.TicketCount = c.TicketCount
	clone.TicketLifetime = c.TicketLifetime
	clone.TicketRequest = c.TicketRequest
	clone.TicketData = c.TicketData
	clone.EarlyData = c.EarlyData
	clone.MaxEarlyData = c.MaxEarlyData
	clone.AcceptEarlyData = c.AcceptEarlyData
	clone.ReplayGuard = c.ReplayGuard
	return clone
}

// derive checks c and computes what follows from it, once.
func (c *Config) derive() (*derived, error) {
	if d := c.derived.Load(); d != nil {
		return d, nil
	}
	d := new(derived)
	for _, check := range []func(*derived) error{
		c.checkPlatform, c.checkRecords, c.deriveVersions, c.deriveSuites, c.deriveGroups,
		c.dropVersions, c.deriveSchemes, c.deriveNames, c.deriveLimits, c.deriveCertificates, c.deriveClientAuth,
		c.checkResumption,
	} {
		if err := check(d); err != nil {
			return nil, fmt.Errorf("tlscore: config: %w", err)
		}
	}
	c.derived.CompareAndSwap(nil, d)
	return c.derived.Load(), nil
}

// checkPlatform refuses what would panic later: under fips140=only the public
// GCM, X25519 and ChaCha20-Poly1305 of the standard library do.
func (c *Config) checkPlatform(*derived) error {
	if fips140.Enforced() {
		return errors.New("TLS needs GCM, X25519 and ChaCha20-Poly1305 of the standard library, which GODEBUG=fips140=only forbids")
	}
	return nil
}

func (c *Config) checkRecords(*derived) error {
	switch {
	case c.RecordSizeLimit != 0 && (c.RecordSizeLimit < minRecordSizeLimit || c.RecordSizeLimit > record.MaxInner):
		return fmt.Errorf("RecordSizeLimit is %d, not between %d and %d", c.RecordSizeLimit, minRecordSizeLimit, record.MaxInner)
	case c.RecordPadding < 0 || c.RecordPadding > record.MaxPlaintext:
		return fmt.Errorf("RecordPadding is %d, not between 0 and %d", c.RecordPadding, record.MaxPlaintext)
	case c.RecordPadding > 0 && c.Limits.withDefaults().Output < c.RecordPadding+record.Overhead:
		return errors.New("Limits.Output leaves no room for a record with RecordPadding")
	case c.VerifyOCSPResponse != nil && !c.OCSPStapling:
		return errors.New("VerifyOCSPResponse needs OCSPStapling")
	}
	return nil
}

func (c *Config) deriveVersions(d *derived) error {
	low, high := c.MinVersion, c.MaxVersion
	if low == 0 {
		low = tls.VersionTLS12
	}
	if high == 0 {
		high = tls.VersionTLS13
	}
	for _, bound := range []struct {
		field   string
		version uint16
	}{{"MinVersion", low}, {"MaxVersion", high}} {
		if bound.version != tls.VersionTLS12 && bound.version != tls.VersionTLS13 {
			return fmt.Errorf("%s is %s, and only TLS 1.2 and TLS 1.3 are supported", bound.field, tls.VersionName(bound.version))
		}
	}
	if low > high {
		return errors.New("MinVersion is above MaxVersion")
	}
	for v := high; v >= low; v-- {
		d.versions = append(d.versions, v)
	}
	return nil
}

// dropVersions leaves out the versions that cannot be spoken with what the config
// has, and then what only they could have used.
func (c *Config) dropVersions(d *derived) error {
	usable := func(v uint16) bool {
		return slices.ContainsFunc(d.suites, func(s *cipherSuite) bool { return s.version == v }) &&
			slices.ContainsFunc(d.groups, func(g tls.CurveID) bool { return groupSuits(v, g) }) &&
			(len(c.SignatureSchemes) == 0 || slices.ContainsFunc(c.SignatureSchemes, func(id tls.SignatureScheme) bool {
				s := schemeInfo(id)
				return s == nil || s.signs(v) // what is wrong with them is found later
			}))
	}
	d.versions = slices.DeleteFunc(d.versions, func(v uint16) bool { return !usable(v) })
	if len(d.versions) == 0 {
		return errors.New("no version that is allowed has a cipher suite, a group and a signature scheme")
	}
	d.suites = slices.DeleteFunc(d.suites, func(s *cipherSuite) bool { return !d.speaks(s.version) })
	if !d.speaks(tls.VersionTLS13) {
		d.groups = slices.DeleteFunc(slices.Clone(d.groups), isPostQuantum)
		d.keyShares = nil
	}
	return nil
}

// speaks reports whether a version may be spoken.
func (d *derived) speaks(version uint16) bool { return slices.Contains(d.versions, version) }

// groupSuits reports whether a version has the group: TLS 1.2 has no hybrids.
func groupSuits(version uint16, id tls.CurveID) bool {
	return version == tls.VersionTLS13 || !isPostQuantum(id)
}

func (c *Config) deriveSuites(d *derived) error {
	if c.CipherSuites == nil {
		d.suites = slices.Clone(cipherSuites)
		return nil
	}
	for _, id := range c.CipherSuites {
		s := suiteByID(wire.CipherSuite(id))
		if s == nil {
			return fmt.Errorf("cipher suite %s is not supported", tls.CipherSuiteName(id))
		}
		d.suites = append(d.suites, s)
	}
	if len(d.suites) == 0 {
		return errors.New("CipherSuites is empty")
	}
	return firstDuplicate("CipherSuites", c.CipherSuites)
}

func (c *Config) deriveGroups(d *derived) error {
	d.groups = c.CurvePreferences
	if d.groups == nil {
		d.groups = defaultGroups
	}
	if len(d.groups) == 0 {
		return errors.New("CurvePreferences is empty")
	}
	for _, g := range d.groups {
		if !slices.Contains(supportedGroups, g) {
			return fmt.Errorf("group %s is not supported", g)
		}
	}
	if err := firstDuplicate("CurvePreferences", d.groups); err != nil {
		return err
	}
	d.keyShares = c.KeyShares
	if d.keyShares == nil {
		d.keyShares = firstOfEachKind(d.groups)
	}
	for _, g := range d.keyShares {
		if !slices.Contains(d.groups, g) {
			return fmt.Errorf("group %s is in KeyShares but not in CurvePreferences", g)
		}
	}
	return firstDuplicate("KeyShares", d.keyShares)
}

// firstOfEachKind returns the first post-quantum group and the first other one, as
// far as the list has them, in its order: a server that has only one kind need not
// ask again.
func firstOfEachKind(groups []tls.CurveID) []tls.CurveID {
	first := groups[0]
	for _, g := range groups[1:] {
		if isPostQuantum(g) != isPostQuantum(first) {
			return []tls.CurveID{first, g}
		}
	}
	return groups[:1:1]
}

func (c *Config) deriveSchemes(d *derived) (err error) {
	if d.schemes, err = configuredSchemes(c.SignatureSchemes, d.versions); err != nil {
		return err
	}
	if d.schemesCert, err = configuredSchemesCert(c.SignatureSchemesCert, d.schemes); err != nil {
		return err
	}
	d.algorithms, d.algorithmsCert = offeredSchemes(d.schemes, d.schemesCert, d.speaks(tls.VersionTLS12))
	return nil
}

// maxAuthorities bounds the names of authorities, with their lengths, so that
// they fit a ClientHello beside everything else.
const maxAuthorities = 24 << 10

// deriveClientAuth judges how clients are authenticated, and finds the names of
// authorities.
func (c *Config) deriveClientAuth(d *derived) error {
	if c.ClientAuth < tls.NoClientCert || c.ClientAuth > tls.RequireAndVerifyClientCert {
		return fmt.Errorf("ClientAuth is %d", c.ClientAuth)
	}
	if c.ClientAuth >= tls.VerifyClientCertIfGiven && c.ClientCAs == nil {
		return errors.New("ClientAuth verifies clients, and ClientCAs is nil")
	}
	for i, name := range c.CertificateAuthorities {
		// RFC 8446, Section 4.2.4: opaque DistinguishedName<1..2^16-1>.
		if len(name) == 0 {
			return fmt.Errorf("CertificateAuthorities: name %d is empty", i)
		}
	}
	if nameListLen(c.CertificateAuthorities) > maxAuthorities {
		return errors.New("CertificateAuthorities is too long")
	}
	d.clientAuthorities, d.authorities = c.CertificateAuthorities, c.CertificateAuthorities
	if c.CertificateAuthorities == nil && c.ClientCAs != nil {
		// Those of the system are not among them, and are not named.
		//lint:ignore SA1019 nothing else shows what a pool has
		d.authorities = c.ClientCAs.Subjects()
	}
	if nameListLen(d.authorities) > maxAuthorities {
		d.authorities = nil
	}
	return nil
}

// nameListLen is the length of a list of names on the wire.
func nameListLen(list [][]byte) (n int) {
	for _, name := range list {
		n += 2 + len(name)
	}
	return n
}

func (c *Config) deriveNames(d *derived) error {
	total := 0
	for _, proto := range c.NextProtos {
		// RFC 7301, Section 3.1: opaque ProtocolName<1..2^8-1>.
		if len(proto) == 0 || len(proto) > 255 {
			return fmt.Errorf("application protocol of %d bytes", len(proto))
		}
		total += 1 + len(proto)
		d.alpn = append(d.alpn, []byte(proto))
	}
	if total > 1<<15 {
		return errors.New("NextProtos is too long")
	}
	if c.ServerName == "" || isAddress(c.ServerName) {
		return firstDuplicate("NextProtos", c.NextProtos)
	}
	name := strings.TrimSuffix(c.ServerName, ".")
	if !isHostName(name) {
		return fmt.Errorf("ServerName %q is not a host name", c.ServerName)
	}
	d.serverName = name
	return firstDuplicate("NextProtos", c.NextProtos)
}

func (c *Config) deriveLimits(d *derived) error {
	limits, err := c.Limits.check()
	d.limits = limits
	return err
}

func (c *Config) deriveCertificates(d *derived) error {
	for i := range c.Certificates {
		cred, err := newConfiguredCredential(&c.Certificates[i])
		if err != nil {
			return fmt.Errorf("certificate %d: %w", i, err)
		}
		d.certs = append(d.certs, cred)
	}
	return nil
}

// randomSource returns where the randomness of c comes from.
func (c *Config) randomSource() io.Reader {
	if c.Rand != nil {
		return c.Rand
	}
	return defaultRandom
}

// random fills b from the random source of c.
func (c *Config) random(b []byte) error {
	return call(ReasonRandomSource, func() error {
		_, err := io.ReadFull(c.randomSource(), b)
		return err
	})
}

// now returns the time of c.
func (c *Config) now() time.Time {
	if c.Time != nil {
		return c.Time()
	}
	return defaultTime()
}

// firstDuplicate returns an error when a value stands twice in list.
func firstDuplicate[T comparable](field string, list []T) error {
	for i, v := range list {
		if slices.Contains(list[:i], v) {
			return fmt.Errorf("%s has %v twice", field, v)
		}
	}
	return nil
}

// isAddress reports whether name is an IP address, with or without brackets.
//
//	"Literal IPv4 and IPv6 addresses are not permitted in "HostName"."
//
// RFC 6066, Section 3.
func isAddress(name string) bool {
	name = strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
	_, err := netip.ParseAddr(name)
	return err == nil
}

// isHostName reports whether name can stand in server_name: ASCII letters,
// digits, hyphens and underscores in labels of at most 63 bytes, without a dot
// at the end. RFC 6066, Section 3, leaves internationalised names to A-labels.
func isHostName(name string) bool {
	if len(name) == 0 || len(name) > 255 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if len(label) == 0 || len(label) > 63 {
			return false
		}
		for i := range len(label) {
			if strings.IndexByte(hostNameBytes, label[i]) < 0 {
				return false
			}
		}
	}
	return true
}

const hostNameBytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
