package tlscore

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"sync/atomic"
	"time"
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
	// SmallFirstRecords makes records of application data fit a packet, with at most 1,400
	// bytes, for the first 64 KiB of it, and again after none was written for a second, or
	// the connection has hibernated or moved: their receiver can use each as soon as its
	// packet is there. Afterwards they are long, which costs less. It asks Time with each
	// Write. SealInPlace makes the records that it is asked for.
	SmallFirstRecords bool
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
	clone.SmallFirstRecords = c.SmallFirstRecords
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
