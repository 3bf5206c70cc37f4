package tlscore

import (
	"bytes"
	"crypto/tls"
	"slices"

	"tlscore.example/tlscore/internal/record"
	"tlscore.example/tlscore/internal/wire"
)

// ClientHello is what a client wants, as an acceptor shows it. Values that this
// package does not know are there too, GREASE included (RFC 8701). What was
// absent is nil. RFC 8446, Section 4.1.2.
type ClientHello struct {
	LegacyVersion      uint16   // legacy_version, 0x0303 for TLS 1.2 and 1.3
	Random             [32]byte // random
	SessionID          []byte   // legacy_session_id
	CipherSuites       []uint16 // cipher_suites, in the client's order
	CompressionMethods []byte   // legacy_compression_methods
	// Extensions are the types of all extensions in the order in which they
	// stand; those that are listed twice are an error before it comes to this.
	Extensions []uint16

	ServerName           string                // server_name
	ALPN                 []string              // application_layer_protocol_negotiation
	SupportedVersions    []uint16              // supported_versions
	SupportedGroups      []tls.CurveID         // supported_groups
	KeyShares            []tls.CurveID         // key_share: the groups that have one
	SignatureSchemes     []tls.SignatureScheme // signature_algorithms
	SignatureSchemesCert []tls.SignatureScheme // signature_algorithms_cert
	// CertificateAuthorities are the names in certificate_authorities, in DER.
	CertificateAuthorities [][]byte
	PSKModes               []uint8 // psk_key_exchange_modes
	ECPointFormats         []uint8 // ec_point_formats
	EarlyData              bool    // whether there is early_data
	PreSharedKey           bool    // whether there is pre_shared_key
	PostHandshakeAuth      bool    // whether there is post_handshake_auth
}

// receivedHello keeps a ClientHello until the server answers it. Its memory is
// never used again.
type receivedHello struct {
	records []byte // all up to it as they came, headers included
	message []byte // once it is complete
	parsed  bool
	wire.ClientHello
}

// ClientHello shows the first ClientHello that a server has received, from the
// event on and until its flight is queued. It stays when the connection fails
// before that. It is nil at other times, and when the message could not be
// parsed. The result is a copy.
func (m *Machine) ClientHello() *ClientHello {
	if m.hello == nil || !m.hello.parsed {
		return nil
	}
	return m.hello.public()
}

// RawClientHello returns the ClientHello as it came, in two forms, for as long
// as the parsed form can be seen and in any case until a server answers: the
// handshake message with its header, nil until it is complete; and all records
// that were taken, complete or not, which are to be passed on, together with what
// Step left over, by whoever passes the connection through. Both are in memory
// that is never used for anything else; they must not be changed.
func (m *Machine) RawClientHello() (message, records []byte) {
	if m.hello == nil {
		return nil, nil
	}
	return m.hello.message, m.hello.records
}

// complete notes that msg is the whole message.
func (h *receivedHello) complete(msg []byte) {
	if len(h.records) == record.HeaderLen+len(msg) {
		h.message = h.records[record.HeaderLen:]
		return
	}
	h.message = slices.Clone(msg)
}

// certificateSchemes returns what the client accepts inside certificates.
//
//	"If no "signature_algorithms_cert" extension is present, then the
//	"signature_algorithms" extension also applies to signatures appearing in
//	certificates."
//
// https://www.rfc-editor.org/rfc/rfc8446#section-4.2.3
func (h *receivedHello) certificateSchemes() []wire.SignatureScheme {
	if h.Has(wire.ExtSignatureAlgorithmsCert) {
		return h.SignatureAlgorithmsCert
	}
	return h.SignatureAlgorithms
}

// wantsOCSP reports whether the client asks for an OCSP response. What it wants of
// the responder is passed over: RFC 6066, Section 8, leaves that to the server.
func (h *receivedHello) wantsOCSP() bool {
	const statusTypeOCSP = 1
	data, _ := h.Extension(wire.ExtStatusRequest)
	return len(data) > 0 && data[0] == statusTypeOCSP
}

func (h *receivedHello) public() *ClientHello {
	return &ClientHello{
		LegacyVersion:          uint16(h.LegacyVersion),
		Random:                 h.Random,
		SessionID:              slices.Clone(h.SessionID),
		CipherSuites:           convert[uint16](h.CipherSuites),
		CompressionMethods:     slices.Clone(h.CompressionMethods),
		Extensions:             extensionTypes(h.Extensions),
		ServerName:             string(h.ServerName),
		ALPN:                   texts(h.ALPN),
		SupportedVersions:      convert[uint16](h.SupportedVersions),
		SupportedGroups:        convert[tls.CurveID](h.SupportedGroups),
		KeyShares:              shareGroups(h.KeyShares),
		SignatureSchemes:       convert[tls.SignatureScheme](h.SignatureAlgorithms),
		SignatureSchemesCert:   convert[tls.SignatureScheme](h.SignatureAlgorithmsCert),
		CertificateAuthorities: cloneAll(h.CertificateAuthorities),
		PSKModes:               slices.Clone(h.PSKModes),
		ECPointFormats:         slices.Clone(h.ECPointFormats),
		EarlyData:              h.Has(wire.ExtEarlyData),
		PreSharedKey:           h.Has(wire.ExtPreSharedKey),
		PostHandshakeAuth:      h.Has(wire.ExtPostHandshakeAuth),
	}
}

// info is the form that the callbacks of crypto/tls know.
func (h *receivedHello) info() *tls.ClientHelloInfo {
	return &tls.ClientHelloInfo{
		CipherSuites:      convert[uint16](h.CipherSuites),
		ServerName:        string(h.ServerName),
		SupportedCurves:   convert[tls.CurveID](h.SupportedGroups),
		SupportedPoints:   slices.Clone(h.ECPointFormats),
		SignatureSchemes:  convert[tls.SignatureScheme](h.SignatureAlgorithms),
		SupportedProtos:   texts(h.ALPN),
		SupportedVersions: h.versions(),
		Extensions:        extensionTypes(h.Extensions),
	}
}

// versions returns what supported_versions lists, or without it what
// legacy_version stands for, as crypto/tls tells it.
func (h *receivedHello) versions() (list []uint16) {
	if h.Has(wire.ExtSupportedVersions) {
		return convert[uint16](h.SupportedVersions)
	}
	for v := min(uint16(h.LegacyVersion), tls.VersionTLS12); v >= tls.VersionTLS10; v-- {
		list = append(list, v)
	}
	return list
}

// convert changes the type of a list's elements.
func convert[To, From ~uint16](list []From) []To {
	if list == nil {
		return nil
	}
	out := make([]To, len(list))
	for i, v := range list {
		out[i] = To(v)
	}
	return out
}

func extensionTypes(list []wire.Extension) []uint16 {
	out := make([]uint16, len(list))
	for i := range list {
		out[i] = uint16(list[i].Type)
	}
	return out
}

func shareGroups(list []wire.KeyShare) []tls.CurveID {
	out := make([]tls.CurveID, len(list))
	for i := range list {
		out[i] = tls.CurveID(list[i].Group)
	}
	return out
}

func texts(list [][]byte) []string {
	if list == nil {
		return nil
	}
	out := make([]string, len(list))
	for i, b := range list {
		out[i] = string(b)
	}
	return out
}

// cloneAll copies a list of byte strings; without any it is nil.
func cloneAll(list [][]byte) (out [][]byte) {
	for _, b := range list {
		out = append(out, bytes.Clone(b))
	}
	return out
}
