package wire

import "golang.org/x/crypto/cryptobyte"

// A Certificate12 is a chain, in the form of TLS 1.2. The sender's certificate
// is the first; a client that has none sends an empty list.
//
//	opaque    ASN.1Cert<1..2^24-1>
//	ASN.1Cert certificate_list<0..2^24-1>
//
// RFC 5246, Section 7.4.2.
type Certificate12 struct {
	Certificates [][]byte // DER
}

// Parse reads a Certificate's body. What it stores aliases body.
// RFC 5246, Section 7.4.2.
func (m *Certificate12) Parse(body []byte) error {
	*m = Certificate12{Certificates: m.Certificates[:0]}
	const in = KindCertificate12
	s := cryptobyte.String(body)
	var list cryptobyte.String
	if !s.ReadUint24LengthPrefixed(&list) || !s.Empty() {
		return malformed(in, "certificate_list")
	}
	for !list.Empty() {
		var der []byte
		if !read24(&list, &der, 1) {
			return malformed(in, "ASN.1Cert")
		}
		m.Certificates = append(m.Certificates, der)
	}
	return nil
}

// Append writes the message, with its header, behind b.
// RFC 5246, Section 7.4.2.
func (m *Certificate12) Append(b []byte) []byte {
	w := writer{b: b}
	message := w.openMessage(TypeCertificate)
	list := w.open24()
	for _, der := range m.Certificates {
		w.vec24(der)
	}
	w.close24(list)
	w.close24(message)
	return w.bytes()
}

// A CertificateStatus is what an OCSP responder says about the server's
// certificate. TLS 1.3 has it inside a CertificateEntry.
//
//	CertificateStatusType status_type
//	select (status_type) { case ocsp: opaque OCSPResponse<1..2^24-1> }
//
// RFC 6066, Section 8.
type CertificateStatus struct {
	OCSPResponse []byte // DER
}

// Parse reads a CertificateStatus's body. What it stores aliases body.
// RFC 6066, Section 8.
func (m *CertificateStatus) Parse(body []byte) error {
	*m = CertificateStatus{}
	const in = KindCertificateStatus
	if len(body) == 0 || body[0] != statusTypeOCSP {
		return malformed(in, "status_type")
	}
	if !readCertificateStatus(&m.OCSPResponse, body) {
		return malformed(in, "response")
	}
	return nil
}

// Append writes the message, with its header, behind b.
// RFC 6066, Section 8.
func (m *CertificateStatus) Append(b []byte) []byte {
	w := writer{b: b}
	message := w.openMessage(TypeCertificateStatus)
	w.u8(statusTypeOCSP)
	w.vec24(m.OCSPResponse)
	w.close24(message)
	return w.bytes()
}

// A CertificateRequest12 asks a client for a certificate, in the form of TLS 1.2.
//
//	ClientCertificateType     certificate_types<1..2^8-1>
//	SignatureAndHashAlgorithm supported_signature_algorithms<2..2^16-2>
//	DistinguishedName         certificate_authorities<0..2^16-1>
//	opaque                    DistinguishedName<1..2^16-1>
//
// RFC 5246, Section 7.4.4.
type CertificateRequest12 struct {
	CertificateTypes       []ClientCertificateType
	SignatureAlgorithms    []SignatureScheme
	CertificateAuthorities [][]byte // DER of distinguished names; none means any
}

// Parse reads a CertificateRequest's body. What it stores aliases body.
// RFC 5246, Section 7.4.4.
func (m *CertificateRequest12) Parse(body []byte) error {
	*m = CertificateRequest12{
		CertificateTypes:       m.CertificateTypes[:0],
		SignatureAlgorithms:    m.SignatureAlgorithms[:0],
		CertificateAuthorities: m.CertificateAuthorities[:0],
	}
	const in = KindCertificateRequest12
	s := cryptobyte.String(body)
	var types, schemes []byte
	if !read8(&s, &types, 1) {
		return malformed(in, "certificate_types")
	}
	for _, t := range types {
		m.CertificateTypes = append(m.CertificateTypes, ClientCertificateType(t))
	}
	if !read16(&s, &schemes, 2) || !readNumbers(&m.SignatureAlgorithms, schemes) {
		return malformed(in, "supported_signature_algorithms")
	}
	var names cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&names) || !s.Empty() {
		return malformed(in, "certificate_authorities")
	}
	for !names.Empty() {
		var name []byte
		if !read16(&names, &name, 1) {
			return malformed(in, "DistinguishedName")
		}
		m.CertificateAuthorities = append(m.CertificateAuthorities, name)
	}
	return nil
}

// Append writes the message, with its header, behind b.
// RFC 5246, Section 7.4.4.
func (m *CertificateRequest12) Append(b []byte) []byte {
	w := writer{b: b}
	message := w.openMessage(TypeCertificateRequest)
	types := w.open8()
	for _, t := range m.CertificateTypes {
		w.u8(uint8(t))
	}
	w.close8(types)
	writeNumbers16(&w, m.SignatureAlgorithms)
	writeList16(&w, m.CertificateAuthorities)
	w.close24(message)
	return w.bytes()
}
