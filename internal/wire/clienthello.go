package wire

import "golang.org/x/crypto/cryptobyte"

// A KeyShare is a public key, or what stands for it, in a group.
//
//	NamedGroup group
//	opaque     key_exchange<1..2^16-1>
//
// RFC 8446, Section 4.2.8.
type KeyShare struct {
	Group NamedGroup
	Data  []byte
}

// readKeyShare reads a KeyShareEntry off the front of s.
func readKeyShare(s *cryptobyte.String, out *KeyShare) bool {
	return s.ReadUint16((*uint16)(&out.Group)) && read16(s, &out.Data, 1)
}

func writeKeyShare(w *writer, k KeyShare) {
	w.u16(uint16(k.Group))
	w.vec16(k.Data)
}

// A PSKIdentity is the label of a pre-shared key, such as a ticket.
//
//	opaque identity<1..2^16-1>
//	uint32 obfuscated_ticket_age
//
// RFC 8446, Section 4.2.11.
type PSKIdentity struct {
	Identity            []byte
	ObfuscatedTicketAge uint32
}

// A ClientHello says what a client can do.
//
//	ProtocolVersion legacy_version
//	Random          random
//	opaque          legacy_session_id<0..32>
//	CipherSuite     cipher_suites<2..2^16-2>
//	opaque          legacy_compression_methods<1..2^8-1>
//	Extension       extensions<7..2^16-1>
//
// A client that only knows older versions may leave the extensions empty, or
// their whole block away; the lower bound of 7 holds for whoever sends
// supported_versions, which is at least as long.
// RFC 8446, Section 4.1.2. RFC 9846, Section 4.2.2.
type ClientHello struct {
	LegacyVersion      Version
	Random             [32]byte
	SessionID          []byte
	CipherSuites       []CipherSuite
	CompressionMethods []byte
	NoExtensions       bool // the block itself is absent, as an older client may have it
	Extensions         []Extension

	ServerName              []byte // the host_name
	SupportedGroups         []NamedGroup
	SignatureAlgorithms     []SignatureScheme
	SignatureAlgorithmsCert []SignatureScheme
	ALPN                    [][]byte
	SupportedVersions       []Version
	KeyShares               []KeyShare // may be present and empty: see Has
	Cookie                  []byte
	PSKModes                []byte
	PSKIdentities           []PSKIdentity
	PSKBinders              [][]byte // as many as PSKIdentities
	ECPointFormats          []byte
	RenegotiationInfo       []byte // renegotiated_connection
	SessionTicket           []byte // may be present and empty: see Has
	RecordSizeLimit         uint16
	CertificateAuthorities  [][]byte // DER of distinguished names
	TicketRequest           TicketRequest
	Padding                 int // how many bytes; Append encodes zeros, RFC 7685, Section 3

	// BindersLen is how many bytes at the end of the message the list of
	// binders takes, its length included: what binders are made over is the
	// message without these. Parse sets it, zero without a pre_shared_key;
	// Append does not read it. See also BindersSize.
	// RFC 8446, Section 4.2.11.2.
	BindersLen int
}

// A TicketRequest says how many tickets a client would like to get: after a
// full handshake, and after a resumption.
//
//	uint8 new_session_count
//	uint8 resumption_count
//
// RFC 9149, Section 3.
type TicketRequest struct {
	NewSessionCount uint8
	ResumptionCount uint8
}

// read reads a ClientTicketRequest that fills p.
func (r *TicketRequest) read(p []byte) bool {
	s := cryptobyte.String(p)
	return s.ReadUint8(&r.NewSessionCount) && s.ReadUint8(&r.ResumptionCount) && s.Empty()
}

// BindersSize returns how many bytes a list of binders takes at the end of a
// ClientHello, its length included: what Parse of it will say in BindersLen.
// RFC 8446, Section 4.2.11.2.
func BindersSize(binders [][]byte) int {
	n := 2
	for _, b := range binders {
		n += 1 + len(b)
	}
	return n
}

// Has reports whether the message has an extension.
// RFC 8446, Section 4.2.
func (m *ClientHello) Has(t ExtensionType) bool { return has(m.Extensions, t) }

// Extension returns the raw data of an extension, and whether there is one.
// RFC 8446, Section 4.2.
func (m *ClientHello) Extension(t ExtensionType) ([]byte, bool) { return find(m.Extensions, t) }

func (m *ClientHello) reset() {
	*m = ClientHello{
		CipherSuites:            m.CipherSuites[:0],
		Extensions:              m.Extensions[:0],
		SupportedGroups:         m.SupportedGroups[:0],
		SignatureAlgorithms:     m.SignatureAlgorithms[:0],
		SignatureAlgorithmsCert: m.SignatureAlgorithmsCert[:0],
		ALPN:                    m.ALPN[:0],
		SupportedVersions:       m.SupportedVersions[:0],
		KeyShares:               m.KeyShares[:0],
		PSKIdentities:           m.PSKIdentities[:0],
		PSKBinders:              m.PSKBinders[:0],
		CertificateAuthorities:  m.CertificateAuthorities[:0],
	}
}

// Parse reads a ClientHello's body. What it stores aliases body.
// RFC 8446, Section 4.1.2.
func (m *ClientHello) Parse(body []byte) error {
	m.reset()
	const in = KindClientHello
	s := cryptobyte.String(body)
	if !s.ReadUint16((*uint16)(&m.LegacyVersion)) {
		return malformed(in, "legacy_version")
	}
	if !s.CopyBytes(m.Random[:]) {
		return malformed(in, "random")
	}
	if !read8(&s, &m.SessionID, 0) || len(m.SessionID) > 32 {
		return malformed(in, "legacy_session_id")
	}
	var suites []byte
	if !read16(&s, &suites, 2) || !readNumbers(&m.CipherSuites, suites) {
		return malformed(in, "cipher_suites")
	}
	if !read8(&s, &m.CompressionMethods, 1) {
		return malformed(in, "legacy_compression_methods")
	}
	// "The presence of extensions can be detected by determining whether there
	// are bytes following the compression_methods field at the end of the
	// ClientHello." (https://www.rfc-editor.org/rfc/rfc8446#section-4.1.2)
	if s.Empty() {
		m.NoExtensions = true
		return nil
	}
	if err := readExtensions(&m.Extensions, &s, in); err != nil {
		return err
	}
	if !s.Empty() {
		return malformed(in, "extensions")
	}
	for i := range m.Extensions {
		x := &m.Extensions[i]
		if !m.readExtension(x.Type, x.Data) {
			return extensionError(Malformed, in, x.Type)
		}
	}
	return m.checkPSK()
}

// checkPSK checks what the syntax of pre_shared_key does not say.
func (m *ClientHello) checkPSK() error {
	if m.BindersLen == 0 {
		return nil
	}
	// "The "pre_shared_key" extension MUST be the last extension in the
	// ClientHello (this facilitates implementation as described below)."
	// (https://www.rfc-editor.org/rfc/rfc8446#section-4.2.11)
	if m.Extensions[len(m.Extensions)-1].Type != ExtPreSharedKey {
		return extensionError(Inconsistent, KindClientHello, ExtPreSharedKey)
	}
	// "A series of HMAC values, one for each value in the identities list and
	// in the same order" (https://www.rfc-editor.org/rfc/rfc8446#section-4.2.11)
	if len(m.PSKBinders) != len(m.PSKIdentities) {
		return &Error{Kind: Inconsistent, Message: KindClientHello,
			Extension: ExtPreSharedKey, HasExtension: true, Field: "binders"}
	}
	return nil
}

// readExtension reads the data of one extension. Those that are not here are
// kept raw, among them what only other libraries answer: "This does not apply
// if the receiver does not implement or is configured to ignore an extension."
// RFC 9846, Section 4.3.
func (m *ClientHello) readExtension(t ExtensionType, p []byte) bool {
	switch t {
	case ExtServerName:
		return readServerName(&m.ServerName, p)
	case ExtStatusRequest:
		return checkStatusRequest(p)
	case ExtSupportedGroups:
		return readNumbers16(&m.SupportedGroups, p)
	case ExtECPointFormats:
		return readWhole8(&m.ECPointFormats, p, 1)
	case ExtSignatureAlgorithms:
		return readNumbers16(&m.SignatureAlgorithms, p)
	case ExtSignatureAlgorithmsCert:
		return readNumbers16(&m.SignatureAlgorithmsCert, p)
	case ExtALPN:
		return readALPN(&m.ALPN, p)
	case ExtPadding:
		m.Padding = len(p)
	case ExtRecordSizeLimit:
		return readNumber(&m.RecordSizeLimit, p)
	case ExtSessionTicket:
		m.SessionTicket = p
	case ExtPreSharedKey:
		return m.readPSK(p)
	case ExtSupportedVersions:
		var list []byte
		return readWhole8(&list, p, 2) && readNumbers(&m.SupportedVersions, list)
	case ExtCookie:
		return readWhole16(&m.Cookie, p, 1)
	case ExtPSKKeyExchangeModes:
		return readWhole8(&m.PSKModes, p, 1)
	case ExtCertificateAuthorities:
		return readList16(&m.CertificateAuthorities, p)
	case ExtTicketRequest:
		return m.TicketRequest.read(p)
	case ExtKeyShare:
		return m.readKeyShares(p)
	case ExtRenegotiationInfo:
		return readWhole8(&m.RenegotiationInfo, p, 0)
	case ExtSignedCertificateTimestamp, ExtExtendedMasterSecret, ExtEarlyData, ExtPostHandshakeAuth:
		return len(p) == 0
	}
	return true
}

// readKeyShares reads a KeyShareClientHello.
//
//	KeyShareEntry client_shares<0..2^16-1>
//
// RFC 8446, Section 4.2.8.
func (m *ClientHello) readKeyShares(p []byte) bool {
	s := cryptobyte.String(p)
	var list cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&list) || !s.Empty() {
		return false
	}
	for !list.Empty() {
		var k KeyShare
		if !readKeyShare(&list, &k) {
			return false
		}
		m.KeyShares = append(m.KeyShares, k)
	}
	return true
}

// readPSK reads OfferedPsks.
//
//	PskIdentity    identities<7..2^16-1>
//	PskBinderEntry binders<33..2^16-1>      // opaque PskBinderEntry<32..255>
//
// RFC 8446, Section 4.2.11.
func (m *ClientHello) readPSK(p []byte) bool {
	s := cryptobyte.String(p)
	var identities, binders cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&identities) || identities.Empty() {
		return false
	}
	m.BindersLen = len(s)
	if !s.ReadUint16LengthPrefixed(&binders) || !s.Empty() || binders.Empty() {
		return false
	}
	for !identities.Empty() {
		var id PSKIdentity
		if !read16(&identities, &id.Identity, 1) || !identities.ReadUint32(&id.ObfuscatedTicketAge) {
			return false
		}
		m.PSKIdentities = append(m.PSKIdentities, id)
	}
	for !binders.Empty() {
		var b []byte
		if !read8(&binders, &b, 32) {
			return false
		}
		m.PSKBinders = append(m.PSKBinders, b)
	}
	return true
}

// Append writes the message, with its header, behind b. It panics when a
// vector is longer than its length field can say, see TryAppend.
// RFC 8446, Section 4.1.2.
func (m *ClientHello) Append(b []byte) []byte {
	w := writer{b: b}
	m.write(&w)
	return w.bytes()
}

// TryAppend is Append, but returns b as it was and false when the message does
// not fit its length fields. A peer can cause that: the ticket and the cookie
// that a client sends back may each be nearly as long as all extensions
// together may be.
// RFC 8446, Section 4.1.2.
func (m *ClientHello) TryAppend(b []byte) ([]byte, bool) {
	w := writer{b: b}
	m.write(&w)
	if w.overflow {
		return b, false
	}
	return w.b, true
}

func (m *ClientHello) write(w *writer) {
	message := w.openMessage(TypeClientHello)
	w.u16(uint16(m.LegacyVersion))
	w.bytesOf(m.Random[:])
	w.vec8(m.SessionID)
	suites := w.open16()
	writeNumbers(w, m.CipherSuites)
	w.close16(suites)
	w.vec8(m.CompressionMethods)
	if !m.NoExtensions {
		block := w.open16()
		for i := range m.Extensions {
			x := &m.Extensions[i]
			w.u16(uint16(x.Type))
			data := w.open16()
			if x.Data != nil {
				w.bytesOf(x.Data)
			} else {
				m.writeExtension(w, x.Type)
			}
			w.close16(data)
		}
		w.close16(block)
	}
	w.close24(message)
}

// writeExtension encodes the typed field of an extension. A status_request has
// none; it is written as a request for OCSP that names nothing in particular.
func (m *ClientHello) writeExtension(w *writer, t ExtensionType) {
	switch t {
	case ExtServerName:
		list := w.open16()
		w.u8(0) // host_name
		w.vec16(m.ServerName)
		w.close16(list)
	case ExtStatusRequest:
		w.u8(statusTypeOCSP)
		w.vec16(nil)
		w.vec16(nil)
	case ExtSupportedGroups:
		writeNumbers16(w, m.SupportedGroups)
	case ExtECPointFormats:
		w.vec8(m.ECPointFormats)
	case ExtSignatureAlgorithms:
		writeNumbers16(w, m.SignatureAlgorithms)
	case ExtSignatureAlgorithmsCert:
		writeNumbers16(w, m.SignatureAlgorithmsCert)
	case ExtALPN:
		writeALPN(w, m.ALPN...)
	case ExtPadding:
		w.zeros(m.Padding)
	case ExtRecordSizeLimit:
		w.u16(m.RecordSizeLimit)
	case ExtSessionTicket:
		w.bytesOf(m.SessionTicket)
	case ExtPreSharedKey:
		m.writePSK(w)
	case ExtSupportedVersions:
		list := w.open8()
		writeNumbers(w, m.SupportedVersions)
		w.close8(list)
	case ExtCookie:
		w.vec16(m.Cookie)
	case ExtPSKKeyExchangeModes:
		w.vec8(m.PSKModes)
	case ExtCertificateAuthorities:
		writeList16(w, m.CertificateAuthorities)
	case ExtTicketRequest:
		w.u8(m.TicketRequest.NewSessionCount)
		w.u8(m.TicketRequest.ResumptionCount)
	case ExtKeyShare:
		list := w.open16()
		for _, k := range m.KeyShares {
			writeKeyShare(w, k)
		}
		w.close16(list)
	case ExtRenegotiationInfo:
		w.vec8(m.RenegotiationInfo)
	}
}

// AppendBinders writes the list of binders alone behind b, its length included,
// as it ends the message: with other values for binders of the same lengths,
//
//	raw = m.AppendBinders(raw[:len(raw)-BindersSize(m.PSKBinders)])
//
// replaces those of a message that Append wrote.
// RFC 8446, Section 4.2.11.2.
func (m *ClientHello) AppendBinders(b []byte) []byte {
	w := writer{b: b}
	m.writeBinders(&w)
	return w.bytes()
}

func (m *ClientHello) writePSK(w *writer) {
	identities := w.open16()
	for _, id := range m.PSKIdentities {
		w.vec16(id.Identity)
		w.u32(id.ObfuscatedTicketAge)
	}
	w.close16(identities)
	m.writeBinders(w)
}

func (m *ClientHello) writeBinders(w *writer) {
	binders := w.open16()
	for _, b := range m.PSKBinders {
		w.vec8(b)
	}
	w.close16(binders)
}
