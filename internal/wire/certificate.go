package wire

import "golang.org/x/crypto/cryptobyte"

// statusTypeOCSP is the one CertificateStatusType that is defined.
// RFC 6066, Section 8.
const statusTypeOCSP = 1

// A CertificateEntry is a certificate with what is known about it.
//
//	opaque    cert_data<1..2^24-1>
//	Extension extensions<0..2^16-1>
//
// RFC 8446, Section 4.4.2.
type CertificateEntry struct {
	Data       []byte
	Extensions []Extension

	OCSPResponse []byte   // status_request
	SCTs         [][]byte // signed_certificate_timestamp
}

// Has reports whether the entry has an extension.
// RFC 8446, Section 4.2.
func (e *CertificateEntry) Has(t ExtensionType) bool { return has(e.Extensions, t) }

// Extension returns the raw data of an extension, and whether there is one.
// RFC 8446, Section 4.2.
func (e *CertificateEntry) Extension(t ExtensionType) ([]byte, bool) { return find(e.Extensions, t) }

// A Certificate is a chain, in the form of TLS 1.3.
//
//	opaque           certificate_request_context<0..2^8-1>
//	CertificateEntry certificate_list<0..2^24-1>
//
// RFC 8446, Section 4.4.2.
type Certificate struct {
	RequestContext []byte
	Entries        []CertificateEntry
}

// Parse reads a Certificate's body. What it stores aliases body.
// RFC 8446, Section 4.4.2.
func (m *Certificate) Parse(body []byte) error {
	*m = Certificate{Entries: m.Entries[:0]}
	const in = KindCertificate
	s := cryptobyte.String(body)
	if !read8(&s, &m.RequestContext, 0) {
		return malformed(in, "certificate_request_context")
	}
	var list cryptobyte.String
	if !s.ReadUint24LengthPrefixed(&list) || !s.Empty() {
		return malformed(in, "certificate_list")
	}
	for !list.Empty() {
		if err := grow(&m.Entries).read(&list); err != nil {
			return err
		}
	}
	return nil
}

// read reads an entry off the front of s.
func (e *CertificateEntry) read(s *cryptobyte.String) error {
	*e = CertificateEntry{Extensions: e.Extensions[:0], SCTs: e.SCTs[:0]}
	const in = KindCertificate
	if !read24(s, &e.Data, 1) {
		return malformed(in, "cert_data")
	}
	if err := readExtensions(&e.Extensions, s, in); err != nil {
		return err
	}
	for i := range e.Extensions {
		x := &e.Extensions[i]
		if !e.readExtension(x.Type, x.Data) {
			return extensionError(Malformed, in, x.Type)
		}
	}
	return nil
}

func (e *CertificateEntry) readExtension(t ExtensionType, p []byte) bool {
	switch t {
	case ExtStatusRequest:
		return readCertificateStatus(&e.OCSPResponse, p)
	case ExtSignedCertificateTimestamp:
		return readList16(&e.SCTs, p)
	}
	return true
}

// readCertificateStatus reads a CertificateStatus, which can only be OCSP's.
//
//	CertificateStatusType status_type
//	select (status_type) { case ocsp: opaque OCSPResponse<1..2^24-1> }
//
// RFC 8446, Section 4.4.2.1. RFC 6066, Section 8.
func readCertificateStatus(out *[]byte, p []byte) bool {
	s := cryptobyte.String(p)
	var typ uint8
	return s.ReadUint8(&typ) && typ == statusTypeOCSP && read24(&s, out, 1) && s.Empty()
}

// Append writes the message, with its header, behind b.
// RFC 8446, Section 4.4.2.
func (m *Certificate) Append(b []byte) []byte {
	w := writer{b: b}
	message := w.openMessage(TypeCertificate)
	w.vec8(m.RequestContext)
	list := w.open24()
	for i := range m.Entries {
		m.Entries[i].write(&w)
	}
	w.close24(list)
	w.close24(message)
	return w.bytes()
}

func (e *CertificateEntry) write(w *writer) {
	w.vec24(e.Data)
	block := w.open16()
	for i := range e.Extensions {
		x := &e.Extensions[i]
		w.u16(uint16(x.Type))
		data := w.open16()
		switch {
		case x.Data != nil:
			w.bytesOf(x.Data)
		case x.Type == ExtStatusRequest:
			w.u8(statusTypeOCSP)
			w.vec24(e.OCSPResponse)
		case x.Type == ExtSignedCertificateTimestamp:
			writeList16(w, e.SCTs)
		}
		w.close16(data)
	}
	w.close16(block)
}

// A CertificateVerify proves that the sender has the key of its certificate.
//
//	SignatureScheme algorithm
//	opaque          signature<0..2^16-1>
//
// TLS 1.2 has the same syntax: a SignatureAndHashAlgorithm takes the place of
// the scheme.
// RFC 8446, Section 4.4.3. RFC 5246, Section 7.4.8.
type CertificateVerify struct {
	Algorithm SignatureScheme
	Signature []byte
}

// Parse reads a CertificateVerify's body. What it stores aliases body.
// RFC 8446, Section 4.4.3.
func (m *CertificateVerify) Parse(body []byte) error {
	*m = CertificateVerify{}
	const in = KindCertificateVerify
	s := cryptobyte.String(body)
	if !s.ReadUint16((*uint16)(&m.Algorithm)) {
		return malformed(in, "algorithm")
	}
	if !read16(&s, &m.Signature, 0) || !s.Empty() {
		return malformed(in, "signature")
	}
	return nil
}

// Append writes the message, with its header, behind b.
// RFC 8446, Section 4.4.3.
func (m *CertificateVerify) Append(b []byte) []byte {
	w := writer{b: b}
	message := w.openMessage(TypeCertificateVerify)
	w.u16(uint16(m.Algorithm))
	w.vec16(m.Signature)
	w.close24(message)
	return w.bytes()
}

// A Finished authenticates the handshake.
//
//	opaque verify_data[Hash.length]
//
// The codec knows no hash: any length is taken, and the caller compares. In
// TLS 1.2 it is 12 bytes.
// RFC 8446, Section 4.4.4. RFC 5246, Section 7.4.9.
type Finished struct {
	VerifyData []byte
}

// Parse reads a Finished's body. What it stores aliases body. It cannot fail.
// RFC 8446, Section 4.4.4.
func (m *Finished) Parse(body []byte) error {
	m.VerifyData = opaque(body)
	return nil
}

// Append writes the message, with its header, behind b.
// RFC 8446, Section 4.4.4.
func (m *Finished) Append(b []byte) []byte {
	w := writer{b: b}
	message := w.openMessage(TypeFinished)
	w.bytesOf(m.VerifyData)
	w.close24(message)
	return w.bytes()
}

// An EndOfEarlyData says that no early data follows. It is empty.
// RFC 8446, Section 4.5.
type EndOfEarlyData struct{}

// Parse reads an EndOfEarlyData's body, of which there is none.
// RFC 8446, Section 4.5.
func (m *EndOfEarlyData) Parse(body []byte) error {
	return parseEmpty(body, KindEndOfEarlyData)
}

// Append writes the message, with its header, behind b.
// RFC 8446, Section 4.5.
func (m *EndOfEarlyData) Append(b []byte) []byte { return appendEmpty(b, TypeEndOfEarlyData) }
