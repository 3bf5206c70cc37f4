package wire

import "golang.org/x/crypto/cryptobyte"

// EncryptedExtensions are the server's answers that need no certificate.
//
//	Extension extensions<0..2^16-1>
//
// RFC 8446, Section 4.3.1.
type EncryptedExtensions struct {
	Extensions []Extension

	ALPN            []byte // the protocol chosen
	ServerNameAck   bool   // server_name is there
	SupportedGroups []NamedGroup
	RecordSizeLimit uint16
	ExpectedTickets uint8 // ticket_request's expected_count; may be zero: see Has
}

// Has reports whether the message has an extension.
// RFC 8446, Section 4.2.
func (m *EncryptedExtensions) Has(t ExtensionType) bool { return has(m.Extensions, t) }

// Extension returns the raw data of an extension, and whether there is one.
// RFC 8446, Section 4.2.
func (m *EncryptedExtensions) Extension(t ExtensionType) ([]byte, bool) {
	return find(m.Extensions, t)
}

// Parse reads the body of EncryptedExtensions. What it stores aliases body.
// RFC 8446, Section 4.3.1.
func (m *EncryptedExtensions) Parse(body []byte) error {
	*m = EncryptedExtensions{Extensions: m.Extensions[:0], SupportedGroups: m.SupportedGroups[:0]}
	const in = KindEncryptedExtensions
	s := cryptobyte.String(body)
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
	return nil
}

func (m *EncryptedExtensions) readExtension(t ExtensionType, p []byte) bool {
	switch t {
	case ExtServerName:
		m.ServerNameAck = true
		return len(p) == 0
	case ExtSupportedGroups:
		return readNumbers16(&m.SupportedGroups, p)
	case ExtALPN:
		return readOneALPN(&m.ALPN, p)
	case ExtRecordSizeLimit:
		return readNumber(&m.RecordSizeLimit, p)
	case ExtTicketRequest:
		s := cryptobyte.String(p)
		return s.ReadUint8(&m.ExpectedTickets) && s.Empty()
	case ExtEarlyData:
		return len(p) == 0
	}
	return true
}

// Append writes the message, with its header, behind b. ServerNameAck is not
// read: it is there when server_name is in Extensions.
// RFC 8446, Section 4.3.1.
func (m *EncryptedExtensions) Append(b []byte) []byte {
	w := writer{b: b}
	message := w.openMessage(TypeEncryptedExtensions)
	block := w.open16()
	for i := range m.Extensions {
		x := &m.Extensions[i]
		w.u16(uint16(x.Type))
		data := w.open16()
		switch {
		case x.Data != nil:
			w.bytesOf(x.Data)
		case x.Type == ExtSupportedGroups:
			writeNumbers16(&w, m.SupportedGroups)
		case x.Type == ExtALPN:
			writeALPN(&w, m.ALPN)
		case x.Type == ExtRecordSizeLimit:
			w.u16(m.RecordSizeLimit)
		case x.Type == ExtTicketRequest:
			w.u8(m.ExpectedTickets)
		}
		w.close16(data)
	}
	w.close16(block)
	w.close24(message)
	return w.bytes()
}

// A CertificateRequest asks a client for a certificate.
//
//	opaque    certificate_request_context<0..2^8-1>
//	Extension extensions<0..2^16-1>
//
// RFC 8446, Section 4.3.2. RFC 9846, Section 4.4.2.
type CertificateRequest struct {
	RequestContext []byte
	Extensions     []Extension

	SignatureAlgorithms     []SignatureScheme
	SignatureAlgorithmsCert []SignatureScheme
	CertificateAuthorities  [][]byte // DER of distinguished names
}

// Has reports whether the message has an extension.
// RFC 8446, Section 4.2.
func (m *CertificateRequest) Has(t ExtensionType) bool { return has(m.Extensions, t) }

// Extension returns the raw data of an extension, and whether there is one.
// RFC 8446, Section 4.2.
func (m *CertificateRequest) Extension(t ExtensionType) ([]byte, bool) {
	return find(m.Extensions, t)
}

// Parse reads the body of a CertificateRequest. What it stores aliases body.
// RFC 8446, Section 4.3.2.
func (m *CertificateRequest) Parse(body []byte) error {
	*m = CertificateRequest{
		Extensions:              m.Extensions[:0],
		SignatureAlgorithms:     m.SignatureAlgorithms[:0],
		SignatureAlgorithmsCert: m.SignatureAlgorithmsCert[:0],
		CertificateAuthorities:  m.CertificateAuthorities[:0],
	}
	const in = KindCertificateRequest
	s := cryptobyte.String(body)
	if !read8(&s, &m.RequestContext, 0) {
		return malformed(in, "certificate_request_context")
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
	return nil
}

func (m *CertificateRequest) readExtension(t ExtensionType, p []byte) bool {
	switch t {
	case ExtSignatureAlgorithms:
		return readNumbers16(&m.SignatureAlgorithms, p)
	case ExtSignatureAlgorithmsCert:
		return readNumbers16(&m.SignatureAlgorithmsCert, p)
	case ExtCertificateAuthorities:
		return readList16(&m.CertificateAuthorities, p)
	case ExtOIDFilters:
		return checkOIDFilters(p)
	case ExtStatusRequest, ExtSignedCertificateTimestamp:
		return len(p) == 0
	}
	return true
}

// checkOIDFilters checks an OIDFilterExtension.
//
//	opaque certificate_extension_oid<1..2^8-1>
//	opaque certificate_extension_values<0..2^16-1>
//	OIDFilter filters<0..2^16-1>
//
// RFC 8446, Section 4.2.5.
func checkOIDFilters(p []byte) bool {
	s := cryptobyte.String(p)
	var filters cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&filters) || !s.Empty() {
		return false
	}
	for !filters.Empty() {
		var oid, values []byte
		if !read8(&filters, &oid, 1) || !read16(&filters, &values, 0) {
			return false
		}
	}
	return true
}

// Append writes the message, with its header, behind b.
// RFC 8446, Section 4.3.2.
func (m *CertificateRequest) Append(b []byte) []byte {
	w := writer{b: b}
	message := w.openMessage(TypeCertificateRequest)
	w.vec8(m.RequestContext)
	block := w.open16()
	for i := range m.Extensions {
		x := &m.Extensions[i]
		w.u16(uint16(x.Type))
		data := w.open16()
		switch {
		case x.Data != nil:
			w.bytesOf(x.Data)
		case x.Type == ExtSignatureAlgorithms:
			writeNumbers16(&w, m.SignatureAlgorithms)
		case x.Type == ExtSignatureAlgorithmsCert:
			writeNumbers16(&w, m.SignatureAlgorithmsCert)
		case x.Type == ExtCertificateAuthorities:
			writeList16(&w, m.CertificateAuthorities)
		}
		w.close16(data)
	}
	w.close16(block)
	w.close24(message)
	return w.bytes()
}
