package wire

import (
	"bytes"

	"golang.org/x/crypto/cryptobyte"
)

// HelloRetryRequestRandom is the random of a ServerHello that is a
// HelloRetryRequest: the SHA-256 of "HelloRetryRequest".
// RFC 8446, Section 4.1.3.
var HelloRetryRequestRandom = [32]byte{
	0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
	0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
}

// IsHelloRetryRequest reports whether the body of a ServerHello is that of a
// HelloRetryRequest. It looks at the random only.
// RFC 8446, Section 4.1.3.
func IsHelloRetryRequest(body []byte) bool {
	return len(body) >= 2+32 && bytes.Equal(body[2:2+32], HelloRetryRequestRandom[:])
}

// A ServerHello is the server's choice, or a HelloRetryRequest, which has the
// same syntax and a fixed random.
//
//	ProtocolVersion legacy_version
//	Random          random
//	opaque          legacy_session_id_echo<0..32>
//	CipherSuite     cipher_suite
//	uint8           legacy_compression_method
//	Extension       extensions<6..2^16-1>
//
// One without supported_versions is of an older version. It may have no
// extensions, or not even their block; the lower bound of 6 holds for whoever
// sends supported_versions, which is that long.
// RFC 8446, Sections 4.1.3 and 4.1.4.
type ServerHello struct {
	LegacyVersion     Version
	Random            [32]byte
	SessionID         []byte
	CipherSuite       CipherSuite
	CompressionMethod uint8
	NoExtensions      bool // the block itself is absent, as an older server may have it
	Extensions        []Extension

	SupportedVersion Version    // zero when absent
	KeyShare         KeyShare   // a ServerHello's
	SelectedGroup    NamedGroup // a HelloRetryRequest's key_share
	Cookie           []byte     // a HelloRetryRequest's
	SelectedIdentity uint16     // may be zero: see Has(ExtPreSharedKey)

	// Only TLS 1.2 has these here. It has as well server_name, status_request,
	// extended_master_secret and session_ticket, which are empty: see Has.
	ALPN              []byte
	ECPointFormats    []byte
	RenegotiationInfo []byte   // renegotiated_connection
	SCTs              [][]byte // signed_certificate_timestamp
	RecordSizeLimit   uint16
}

// IsHelloRetryRequest reports whether the message is a HelloRetryRequest.
// RFC 8446, Section 4.1.3.
func (m *ServerHello) IsHelloRetryRequest() bool { return m.Random == HelloRetryRequestRandom }

// Has reports whether the message has an extension.
// RFC 8446, Section 4.2.
func (m *ServerHello) Has(t ExtensionType) bool { return has(m.Extensions, t) }

// Extension returns the raw data of an extension, and whether there is one.
// RFC 8446, Section 4.2.
func (m *ServerHello) Extension(t ExtensionType) ([]byte, bool) { return find(m.Extensions, t) }

// kind tells the three forms apart, by the random and the extensions.
func (m *ServerHello) kind() MessageKind {
	switch {
	case m.IsHelloRetryRequest():
		return KindHelloRetryRequest
	case m.Has(ExtSupportedVersions):
		return KindServerHello
	}
	return KindServerHello12
}

// Parse reads a ServerHello's body. What it stores aliases body.
// RFC 8446, Section 4.1.3.
func (m *ServerHello) Parse(body []byte) error {
	*m = ServerHello{Extensions: m.Extensions[:0], SCTs: m.SCTs[:0]}
	in := KindServerHello
	if IsHelloRetryRequest(body) {
		in = KindHelloRetryRequest
	}
	s := cryptobyte.String(body)
	if !s.ReadUint16((*uint16)(&m.LegacyVersion)) {
		return malformed(in, "legacy_version")
	}
	if !s.CopyBytes(m.Random[:]) {
		return malformed(in, "random")
	}
	if !read8(&s, &m.SessionID, 0) || len(m.SessionID) > 32 {
		return malformed(in, "legacy_session_id_echo")
	}
	if !s.ReadUint16((*uint16)(&m.CipherSuite)) {
		return malformed(in, "cipher_suite")
	}
	if !s.ReadUint8(&m.CompressionMethod) {
		return malformed(in, "legacy_compression_method")
	}
	if s.Empty() {
		m.NoExtensions = true
		return nil
	}
	if err := readBlock(&m.Extensions, &s, in); err != nil {
		return err
	}
	if !s.Empty() {
		return malformed(in, "extensions")
	}
	in = m.kind()
	if err := checkPlacement(m.Extensions, in); err != nil {
		return err
	}
	for i := range m.Extensions {
		x := &m.Extensions[i]
		if !m.readExtension(x.Type, x.Data, in) {
			return extensionError(Malformed, in, x.Type)
		}
	}
	return nil
}

// readExtension reads the data of one extension. Those that are not here are
// kept raw.
//
//	ProtocolVersion selected_version    supported_versions
//	KeyShareEntry   server_share        key_share in a ServerHello
//	NamedGroup      selected_group      key_share in a HelloRetryRequest
//	uint16          selected_identity   pre_shared_key
//	opaque          cookie<1..2^16-1>
//
// RFC 8446, Section 4.2.
func (m *ServerHello) readExtension(t ExtensionType, p []byte, in MessageKind) bool {
	switch t {
	case ExtSupportedVersions:
		return readNumber(&m.SupportedVersion, p)
	case ExtKeyShare:
		if in == KindHelloRetryRequest {
			return readNumber(&m.SelectedGroup, p)
		}
		s := cryptobyte.String(p)
		return readKeyShare(&s, &m.KeyShare) && s.Empty()
	case ExtPreSharedKey:
		return readNumber(&m.SelectedIdentity, p)
	case ExtCookie:
		return readWhole16(&m.Cookie, p, 1)
	case ExtALPN:
		return readOneALPN(&m.ALPN, p)
	case ExtECPointFormats:
		return readWhole8(&m.ECPointFormats, p, 1)
	case ExtRenegotiationInfo:
		return readWhole8(&m.RenegotiationInfo, p, 0)
	case ExtSignedCertificateTimestamp:
		return readList16(&m.SCTs, p)
	case ExtRecordSizeLimit:
		return readNumber(&m.RecordSizeLimit, p)
	case ExtServerName, ExtStatusRequest, ExtExtendedMasterSecret, ExtSessionTicket:
		return len(p) == 0
	}
	return true
}

// Append writes the message, with its header, behind b.
// RFC 8446, Section 4.1.3.
func (m *ServerHello) Append(b []byte) []byte {
	w := writer{b: b}
	message := w.openMessage(TypeServerHello)
	w.u16(uint16(m.LegacyVersion))
	w.bytesOf(m.Random[:])
	w.vec8(m.SessionID)
	w.u16(uint16(m.CipherSuite))
	w.u8(m.CompressionMethod)
	if !m.NoExtensions {
		block := w.open16()
		for i := range m.Extensions {
			x := &m.Extensions[i]
			w.u16(uint16(x.Type))
			data := w.open16()
			if x.Data != nil {
				w.bytesOf(x.Data)
			} else {
				m.writeExtension(&w, x.Type)
			}
			w.close16(data)
		}
		w.close16(block)
	}
	w.close24(message)
	return w.bytes()
}

func (m *ServerHello) writeExtension(w *writer, t ExtensionType) {
	switch t {
	case ExtSupportedVersions:
		w.u16(uint16(m.SupportedVersion))
	case ExtKeyShare:
		if m.IsHelloRetryRequest() {
			w.u16(uint16(m.SelectedGroup))
		} else {
			writeKeyShare(w, m.KeyShare)
		}
	case ExtPreSharedKey:
		w.u16(m.SelectedIdentity)
	case ExtCookie:
		w.vec16(m.Cookie)
	case ExtALPN:
		writeALPN(w, m.ALPN)
	case ExtECPointFormats:
		w.vec8(m.ECPointFormats)
	case ExtRenegotiationInfo:
		w.vec8(m.RenegotiationInfo)
	case ExtSignedCertificateTimestamp:
		writeList16(w, m.SCTs)
	case ExtRecordSizeLimit:
		w.u16(m.RecordSizeLimit)
	}
}
