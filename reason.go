package tlscore

import "fmt"

// Reason says which rule a failure is about. Each belongs to one alert, one
// text and one section of a specification; docs/errors.md is printed from the
// same table.
type Reason uint8

// The reasons for which the peer is to blame ([*ProtocolError]). What each means,
// its alert and its section are in docs/errors.md, which is printed from the table
// below; Text, Alert and Reference tell the same.
const (
	reasonNone Reason = iota

	// Records.

	ReasonNotTLS
	ReasonSSLv2
	ReasonRecordVersion
	ReasonRecordVersionChanged
	ReasonRecordOverflow
	ReasonBadRecordMAC
	ReasonUnexpectedRecord
	ReasonEmptyRecord
	ReasonNoContentType
	ReasonBadChangeCipherSpec
	ReasonBadAlert
	ReasonInterleavedHandshake
	ReasonKeyChangeAlignment
	ReasonTooManyWarnings
	ReasonTooManyEmptyRecords
	ReasonTooManyChangeCipherSpecs
	ReasonTooManyKeyUpdates
	ReasonTooManySessionTickets
	ReasonTooManyCertificateRequests
	ReasonTooMuchEarlyData

	// Handshake messages.

	ReasonUnexpectedMessage
	ReasonClientHelloTooLarge
	ReasonMessageTooLarge
	ReasonMalformedMessage
	ReasonDuplicateExtension
	ReasonMisplacedExtension
	ReasonUnsolicitedExtension
	ReasonMissingExtension

	// Negotiation.

	ReasonUnsupportedVersion
	ReasonLegacyVersion
	ReasonVersionNotOffered
	ReasonInappropriateFallback
	ReasonDowngrade
	ReasonCompression
	ReasonSessionIDMismatch
	ReasonNoCommonCipherSuite
	ReasonCipherSuiteNotOffered
	ReasonCipherSuiteChanged
	ReasonNoCommonGroup
	ReasonGroupNotOffered
	ReasonDuplicateKeyShare
	ReasonUnlistedKeyShare
	ReasonMissingKeyShare
	ReasonBadKeyShare
	ReasonUselessHelloRetryRequest
	ReasonClientHelloChanged
	ReasonBadPreSharedKey
	ReasonPreSharedKeyNotOffered
	ReasonBadBinder
	ReasonEarlyDataMismatch
	ReasonPointFormats
	ReasonNoExtendedMasterSecret
	ReasonRenegotiationInfo
	ReasonBadServerName
	ReasonBadRecordSizeLimit
	ReasonNoApplicationProtocol
	ReasonApplicationProtocolNotOffered

	// Authentication.

	ReasonNoCommonSignatureScheme
	ReasonCertificateContext
	ReasonEmptyCertificate
	ReasonCertificateRequired
	ReasonNoClientCertificate
	ReasonBadCertificate
	ReasonUnsupportedCertificate
	ReasonCertificateUsage
	ReasonCertificateSuite
	ReasonCertificateExpired
	ReasonUnknownAuthority
	ReasonNameMismatch
	ReasonSignatureScheme
	ReasonBadSignature
	ReasonBadFinished

	// After the handshake.

	ReasonRenegotiation
	ReasonBadKeyUpdate
)

// The reasons for which this side is to blame ([*LocalError]); see above.
const (
	// ReasonRejected is the application's own refusal: the alert is the one
	// given to [Machine.Reject].
	ReasonRejected Reason = iota + ReasonBadKeyUpdate + 1
	ReasonVerificationRejected
	ReasonCertificateStatus
	ReasonNoCertificate
	ReasonSystemRoots
	ReasonCallbackFailed
	ReasonCallbackPanicked
	ReasonRandomSource
	ReasonSigningFailed
	ReasonKeyGeneration
	ReasonKeysExhausted
	ReasonTransportClosed
	ReasonCanceled
	numReasons
)

// reasonInfo is a row of the table of reasons.
type reasonInfo struct {
	name   string
	alert  Alert
	silent bool // no alert is sent
	text   string
	ref    string
}

// reasons is the one table of what can go wrong. Alerts are the RFC's wherever
// it names one.
var reasons = [numReasons]reasonInfo{
	ReasonNotTLS:                     {name: "NotTLS", alert: AlertUnexpectedMessage, text: "the first bytes are not TLS", ref: "RFC 8446, Section 5"},
	ReasonSSLv2:                      {name: "SSLv2", alert: AlertProtocolVersion, text: "the first bytes are an SSL 2.0 ClientHello", ref: "RFC 8446, Appendix D.5"},
	ReasonRecordVersion:              {name: "RecordVersion", alert: AlertProtocolVersion, text: "the first record is of no known TLS version", ref: "RFC 8446, Section 5.1"},
	ReasonRecordVersionChanged:       {name: "RecordVersionChanged", alert: AlertProtocolVersion, text: "record of another version than the one agreed on", ref: "RFC 5246, Section 6.2.1"},
	ReasonRecordOverflow:             {name: "RecordOverflow", alert: AlertRecordOverflow, text: "record too long", ref: "RFC 8446, Sections 5.1 and 5.2"},
	ReasonBadRecordMAC:               {name: "BadRecordMAC", alert: AlertBadRecordMAC, text: "record cannot be deprotected", ref: "RFC 8446, Section 5.2"},
	ReasonUnexpectedRecord:           {name: "UnexpectedRecord", alert: AlertUnexpectedMessage, text: "record of a type that is not allowed here", ref: "RFC 8446, Section 5"},
	ReasonEmptyRecord:                {name: "EmptyRecord", alert: AlertUnexpectedMessage, text: "handshake or alert record without content", ref: "RFC 8446, Sections 5.1 and 5.4"},
	ReasonNoContentType:              {name: "NoContentType", alert: AlertUnexpectedMessage, text: "protected record that is all padding", ref: "RFC 8446, Section 5.4"},
	ReasonBadChangeCipherSpec:        {name: "BadChangeCipherSpec", alert: AlertUnexpectedMessage, text: "change_cipher_spec other than the single byte 1", ref: "RFC 8446, Section 5"},
	ReasonBadAlert:                   {name: "BadAlert", alert: AlertDecodeError, text: "alert record that does not hold exactly one alert", ref: "RFC 8446, Section 5.1"},
	ReasonInterleavedHandshake:       {name: "InterleavedHandshake", alert: AlertUnexpectedMessage, text: "another record inside a fragmented handshake message", ref: "RFC 8446, Section 5.1"},
	ReasonKeyChangeAlignment:         {name: "KeyChangeAlignment", alert: AlertUnexpectedMessage, text: "handshake bytes behind a message that changes keys", ref: "RFC 8446, Section 5.1"},
	ReasonTooManyWarnings:            {name: "TooManyWarnings", alert: AlertUnexpectedMessage, text: "too many warnings in a row", ref: "limit of this library"},
	ReasonTooManyEmptyRecords:        {name: "TooManyEmptyRecords", alert: AlertUnexpectedMessage, text: "too many empty records in a row", ref: "limit of this library"},
	ReasonTooManyChangeCipherSpecs:   {name: "TooManyChangeCipherSpecs", alert: AlertUnexpectedMessage, text: "too many change_cipher_spec records", ref: "limit of this library"},
	ReasonTooManyKeyUpdates:          {name: "TooManyKeyUpdates", alert: AlertUnexpectedMessage, text: "too many KeyUpdates without application data", ref: "limit of this library"},
	ReasonTooManySessionTickets:      {name: "TooManySessionTickets", alert: AlertUnexpectedMessage, text: "too many NewSessionTickets without application data", ref: "limit of this library"},
	ReasonTooManyCertificateRequests: {name: "TooManyCertificateRequests", alert: AlertUnexpectedMessage, text: "too many CertificateRequests without application data, or with answers that are not read", ref: "limit of this library"},
	ReasonTooMuchEarlyData:           {name: "TooMuchEarlyData", alert: AlertUnexpectedMessage, text: "more early data than is accepted or passed over", ref: "RFC 8446, Section 4.2.10"},

	ReasonUnexpectedMessage:    {name: "UnexpectedMessage", alert: AlertUnexpectedMessage, text: "message that is not allowed here", ref: "RFC 8446, Section 4"},
	ReasonClientHelloTooLarge:  {name: "ClientHelloTooLarge", alert: AlertIllegalParameter, text: "ClientHello over the limit", ref: "limit of this library"},
	ReasonMessageTooLarge:      {name: "MessageTooLarge", alert: AlertIllegalParameter, text: "handshake message over the limit", ref: "limit of this library"},
	ReasonMalformedMessage:     {name: "MalformedMessage", alert: AlertDecodeError, text: "message cannot be parsed", ref: "RFC 8446, Section 6"},
	ReasonDuplicateExtension:   {name: "DuplicateExtension", alert: AlertIllegalParameter, text: "extension given twice", ref: "RFC 8446, Section 4.2"},
	ReasonMisplacedExtension:   {name: "MisplacedExtension", alert: AlertIllegalParameter, text: "extension in a message where it may not stand", ref: "RFC 8446, Section 4.2"},
	ReasonUnsolicitedExtension: {name: "UnsolicitedExtension", alert: AlertUnsupportedExtension, text: "extension that was not asked for", ref: "RFC 8446, Section 4.2"},
	ReasonMissingExtension:     {name: "MissingExtension", alert: AlertMissingExtension, text: "mandatory extension is missing", ref: "RFC 8446, Section 9.2"},

	ReasonUnsupportedVersion:            {name: "UnsupportedVersion", alert: AlertProtocolVersion, text: "no TLS version in common", ref: "RFC 8446, Section 4.2.1"},
	ReasonLegacyVersion:                 {name: "LegacyVersion", alert: AlertProtocolVersion, text: "ServerHello.legacy_version is not TLS 1.2", ref: "RFC 9846, Section 4.2.3"},
	ReasonVersionNotOffered:             {name: "VersionNotOffered", alert: AlertIllegalParameter, text: "the server chose a version that was not offered", ref: "RFC 8446, Section 4.2.1"},
	ReasonInappropriateFallback:         {name: "InappropriateFallback", alert: AlertInappropriateFallback, text: "the client falls back to an older version without need", ref: "RFC 7507, Section 3"},
	ReasonDowngrade:                     {name: "Downgrade", alert: AlertIllegalParameter, text: "the server's random says that the connection was downgraded", ref: "RFC 8446, Section 4.1.3"},
	ReasonCompression:                   {name: "Compression", alert: AlertIllegalParameter, text: "compression methods other than null", ref: "RFC 8446, Sections 4.1.2 and 4.1.3"},
	ReasonSessionIDMismatch:             {name: "SessionIDMismatch", alert: AlertIllegalParameter, text: "legacy_session_id_echo is not what was sent", ref: "RFC 8446, Section 4.1.3"},
	ReasonNoCommonCipherSuite:           {name: "NoCommonCipherSuite", alert: AlertHandshakeFailure, text: "no cipher suite in common", ref: "RFC 8446, Section 4.1.1"},
	ReasonCipherSuiteNotOffered:         {name: "CipherSuiteNotOffered", alert: AlertIllegalParameter, text: "the server chose a cipher suite that was not offered", ref: "RFC 8446, Section 4.1.3"},
	ReasonCipherSuiteChanged:            {name: "CipherSuiteChanged", alert: AlertIllegalParameter, text: "the cipher suite is not that of the HelloRetryRequest, or of the session that is resumed", ref: "RFC 8446, Section 4.1.4; RFC 5246, Section 7.4.1.3"},
	ReasonNoCommonGroup:                 {name: "NoCommonGroup", alert: AlertHandshakeFailure, text: "no key exchange group in common", ref: "RFC 8446, Section 4.1.1"},
	ReasonGroupNotOffered:               {name: "GroupNotOffered", alert: AlertIllegalParameter, text: "the server chose a group that was not offered", ref: "RFC 8446, Section 4.2.8"},
	ReasonDuplicateKeyShare:             {name: "DuplicateKeyShare", alert: AlertIllegalParameter, text: "two key shares of one group", ref: "RFC 8446, Section 4.2.8"},
	ReasonUnlistedKeyShare:              {name: "UnlistedKeyShare", alert: AlertIllegalParameter, text: "key share of a group that supported_groups does not list", ref: "RFC 8446, Section 4.2.8"},
	ReasonMissingKeyShare:               {name: "MissingKeyShare", alert: AlertIllegalParameter, text: "the second ClientHello has not the key share asked for", ref: "RFC 8446, Section 4.1.2"},
	ReasonBadKeyShare:                   {name: "BadKeyShare", alert: AlertIllegalParameter, text: "key share is not valid for its group", ref: "RFC 8446, Section 4.2.8"},
	ReasonUselessHelloRetryRequest:      {name: "UselessHelloRetryRequest", alert: AlertIllegalParameter, text: "HelloRetryRequest that changes nothing", ref: "RFC 8446, Section 4.1.4"},
	ReasonClientHelloChanged:            {name: "ClientHelloChanged", alert: AlertIllegalParameter, text: "the second ClientHello differs from the first where it may not", ref: "RFC 8446, Section 4.1.2"},
	ReasonBadPreSharedKey:               {name: "BadPreSharedKey", alert: AlertIllegalParameter, text: "pre_shared_key is not the last extension, or lacks binders", ref: "RFC 8446, Section 4.2.11"},
	ReasonPreSharedKeyNotOffered:        {name: "PreSharedKeyNotOffered", alert: AlertIllegalParameter, text: "the server chose a pre-shared key that was not offered or does not suit", ref: "RFC 8446, Section 4.2.11"},
	ReasonBadBinder:                     {name: "BadBinder", alert: AlertDecryptError, text: "the binder of a pre-shared key does not verify", ref: "RFC 8446, Section 4.2.11"},
	ReasonEarlyDataMismatch:             {name: "EarlyDataMismatch", alert: AlertIllegalParameter, text: "the server accepted early data with other parameters than those of the session", ref: "RFC 8446, Section 4.2.10"},
	ReasonPointFormats:                  {name: "PointFormats", alert: AlertIllegalParameter, text: "ec_point_formats without uncompressed", ref: "RFC 8422, Sections 5.1.2 and 5.2"},
	ReasonNoExtendedMasterSecret:        {name: "NoExtendedMasterSecret", alert: AlertHandshakeFailure, text: "TLS 1.2 without extended_master_secret, which is required", ref: "RFC 7627, Section 5.2"},
	ReasonRenegotiationInfo:             {name: "RenegotiationInfo", alert: AlertHandshakeFailure, text: "renegotiation_info is not that of a first handshake", ref: "RFC 5746, Sections 3.4 and 3.6"},
	ReasonBadServerName:                 {name: "BadServerName", alert: AlertIllegalParameter, text: "server_name is not a host name", ref: "RFC 6066, Section 3"},
	ReasonBadRecordSizeLimit:            {name: "BadRecordSizeLimit", alert: AlertIllegalParameter, text: "record_size_limit below 64 or above what the version allows", ref: "RFC 8449, Section 4"},
	ReasonNoApplicationProtocol:         {name: "NoApplicationProtocol", alert: AlertNoApplicationProtocol, text: "no application protocol in common", ref: "RFC 7301, Section 3.2"},
	ReasonApplicationProtocolNotOffered: {name: "ApplicationProtocolNotOffered", alert: AlertIllegalParameter, text: "the server chose an application protocol that was not offered", ref: "RFC 7301, Section 3.1"},

	ReasonNoCommonSignatureScheme: {name: "NoCommonSignatureScheme", alert: AlertHandshakeFailure, text: "no signature scheme that suits the certificate", ref: "RFC 8446, Section 4.4.2.2"},
	ReasonCertificateContext:      {name: "CertificateContext", alert: AlertIllegalParameter, text: "certificate_request_context is not empty, or not that of the request", ref: "RFC 8446, Sections 4.3.2 and 4.4.2"},
	ReasonEmptyCertificate:        {name: "EmptyCertificate", alert: AlertDecodeError, text: "the server sent no certificate", ref: "RFC 8446, Section 4.4.2.4"},
	ReasonCertificateRequired:     {name: "CertificateRequired", alert: AlertCertificateRequired, text: "the client sent no certificate", ref: "RFC 8446, Section 4.4.2.4"},
	ReasonNoClientCertificate:     {name: "NoClientCertificate", alert: AlertHandshakeFailure, text: "the client of TLS 1.2 has no certificate, and one is required", ref: "RFC 5246, Section 7.4.6"},
	ReasonBadCertificate:          {name: "BadCertificate", alert: AlertBadCertificate, text: "certificate is not valid", ref: "RFC 8446, Section 4.4.2.4"},
	ReasonUnsupportedCertificate:  {name: "UnsupportedCertificate", alert: AlertUnsupportedCertificate, text: "certificate has a key or a signature of an unsupported kind", ref: "RFC 8446, Sections 4.4.2.2 and 4.4.2.4"},
	ReasonCertificateUsage:        {name: "CertificateUsage", alert: AlertUnsupportedCertificate, text: "certificate is for another use", ref: "RFC 8446, Section 4.4.2.2"},
	ReasonCertificateSuite:        {name: "CertificateSuite", alert: AlertIllegalParameter, text: "certificate with a key of another kind than the cipher suite needs", ref: "RFC 5246, Section 7.4.2"},
	ReasonCertificateExpired:      {name: "CertificateExpired", alert: AlertCertificateExpired, text: "certificate has expired or is not yet valid", ref: "RFC 8446, Section 4.4.2.4"},
	ReasonUnknownAuthority:        {name: "UnknownAuthority", alert: AlertUnknownCA, text: "certificate is signed by an unknown authority", ref: "RFC 8446, Section 4.4.2.4"},
	ReasonNameMismatch:            {name: "NameMismatch", alert: AlertBadCertificate, text: "certificate is for another name", ref: "RFC 8446, Section 4.4.2.4"},
	ReasonSignatureScheme:         {name: "SignatureScheme", alert: AlertIllegalParameter, text: "signature of a scheme that was not offered or does not suit the key", ref: "RFC 8446, Section 4.4.3"},
	ReasonBadSignature:            {name: "BadSignature", alert: AlertDecryptError, text: "handshake signature does not verify", ref: "RFC 8446, Section 4.4.3"},
	ReasonBadFinished:             {name: "BadFinished", alert: AlertDecryptError, text: "Finished does not verify", ref: "RFC 8446, Section 4.4.4"},

	ReasonRenegotiation: {name: "Renegotiation", alert: AlertNoRenegotiation, text: "renegotiation is not supported", ref: "RFC 5246, Sections 7.2.2 and 7.4.1.1"},
	ReasonBadKeyUpdate:  {name: "BadKeyUpdate", alert: AlertIllegalParameter, text: "KeyUpdate with an unknown request", ref: "RFC 8446, Section 4.6.3"},

	ReasonRejected:             {name: "Rejected", alert: AlertAccessDenied, text: "rejected by the application", ref: "RFC 8446, Section 6.2"},
	ReasonVerificationRejected: {name: "VerificationRejected", alert: AlertBadCertificate, text: "the application refused the peer", ref: "RFC 8446, Section 6.2"},
	ReasonCertificateStatus:    {name: "CertificateStatus", alert: AlertBadCertificateStatusResponse, text: "the application refused the OCSP response", ref: "RFC 6066, Section 8"},
	ReasonNoCertificate:        {name: "NoCertificate", alert: AlertUnrecognizedName, text: "no certificate for this client", ref: "RFC 6066, Section 3"},
	ReasonSystemRoots:          {name: "SystemRoots", alert: AlertInternalError, text: "the authorities that the system trusts are not to be had", ref: "RFC 8446, Section 6.2"},
	ReasonCallbackFailed:       {name: "CallbackFailed", alert: AlertInternalError, text: "a callback of the application failed", ref: "RFC 8446, Section 6.2"},
	ReasonCallbackPanicked:     {name: "CallbackPanicked", alert: AlertInternalError, text: "a callback of the application panicked", ref: "RFC 8446, Section 6.2"},
	ReasonRandomSource:         {name: "RandomSource", alert: AlertInternalError, text: "the random source failed", ref: "RFC 8446, Section 6.2"},
	ReasonSigningFailed:        {name: "SigningFailed", alert: AlertInternalError, text: "the private key could not sign", ref: "RFC 8446, Section 6.2"},
	ReasonKeyGeneration:        {name: "KeyGeneration", alert: AlertInternalError, text: "no key could be made", ref: "RFC 8446, Section 6.2"},
	ReasonKeysExhausted:        {name: "KeysExhausted", alert: AlertInternalError, text: "the keys of this connection are used up", ref: "RFC 9846, Section 4.7.3"},
	ReasonTransportClosed:      {name: "TransportClosed", silent: true, text: "the transport ended inside the handshake", ref: "RFC 8446, Section 6.1"},
	ReasonCanceled:             {name: "Canceled", silent: true, text: "the handshake was canceled by CloseWrite, which sent user_canceled and close_notify", ref: "RFC 9846, Section 6.1"},
}

// info returns the row of r, or that of no reason when there is none.
func (r Reason) info() reasonInfo {
	if r < numReasons {
		return reasons[r]
	}
	return reasonInfo{}
}

// String returns the name of the constant without its prefix.
func (r Reason) String() string {
	if name := r.info().name; name != "" {
		return name
	}
	return fmt.Sprintf("Reason(%d)", uint8(r))
}

// Alert returns the alert that a failure for this reason sends. For
// [ReasonRejected] it is the default, which [Machine.Reject] overrides.
func (r Reason) Alert() Alert { return r.info().alert }

// SendsAlert reports whether a failure for this reason sends an alert at all.
func (r Reason) SendsAlert() bool { return r.info().name != "" && !r.info().silent }

// Text says in a few words what went wrong.
func (r Reason) Text() string {
	if text := r.info().text; text != "" {
		return text
	}
	return "unknown reason"
}

// Reference names the specification and section that the rule comes from.
func (r Reason) Reference() string { return r.info().ref }

// Local reports whether the reason is this side's own ([*LocalError]) rather
// than the peer's ([*ProtocolError]).
func (r Reason) Local() bool { return r >= ReasonRejected && r < numReasons }
