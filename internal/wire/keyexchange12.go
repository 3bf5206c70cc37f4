package wire

import "golang.org/x/crypto/cryptobyte"

// curveTypeNamedCurve is the one ECCurveType that is not deprecated.
// RFC 8422, Section 5.4.
const curveTypeNamedCurve = 3

// A ServerKeyExchange is the server's signed share of an ECDHE key exchange.
// Whether a group is one that has a point, and the point on it, is for the
// caller to check.
//
//	ECCurveType curve_type
//	select (curve_type) { case named_curve: NamedCurve namedcurve }
//	opaque      point<1..2^8-1>
//
//	SignatureAndHashAlgorithm algorithm
//	opaque                    signature<0..2^16-1>
//
// RFC 8422, Section 5.4. RFC 5246, Sections 4.7 and 7.4.3.
type ServerKeyExchange struct {
	// Params are the ServerECDHParams, Group and Point, as they stand in the
	// message: what the signature is made over, behind the two randoms. Parse
	// sets it; Append does not read it. See also AppendParams.
	Params []byte

	Group     NamedGroup
	Point     []byte
	Algorithm SignatureScheme
	Signature []byte
}

// Parse reads a ServerKeyExchange's body. What it stores aliases body. A curve
// that is not named has a syntax of its own, and is malformed here.
// RFC 8422, Section 5.4.
func (m *ServerKeyExchange) Parse(body []byte) error {
	*m = ServerKeyExchange{}
	const in = KindServerKeyExchange
	s := cryptobyte.String(body)
	var curveType uint8
	if !s.ReadUint8(&curveType) || curveType != curveTypeNamedCurve {
		return malformed(in, "curve_type")
	}
	if !s.ReadUint16((*uint16)(&m.Group)) {
		return malformed(in, "namedcurve")
	}
	if !read8(&s, &m.Point, 1) {
		return malformed(in, "point")
	}
	m.Params = opaque(cryptobyte.String(body[:len(body)-len(s)]))
	if !s.ReadUint16((*uint16)(&m.Algorithm)) {
		return malformed(in, "algorithm")
	}
	if !read16(&s, &m.Signature, 0) || !s.Empty() {
		return malformed(in, "signature")
	}
	return nil
}

// AppendParams writes the ServerECDHParams, from Group and Point, behind b.
// They are signed behind the client's random and the server's.
// RFC 8422, Section 5.4.
func (m *ServerKeyExchange) AppendParams(b []byte) []byte {
	w := writer{b: b}
	m.writeParams(&w)
	return w.bytes()
}

func (m *ServerKeyExchange) writeParams(w *writer) {
	w.u8(curveTypeNamedCurve)
	w.u16(uint16(m.Group))
	w.vec8(m.Point)
}

// Append writes the message, with its header, behind b.
// RFC 8422, Section 5.4.
func (m *ServerKeyExchange) Append(b []byte) []byte {
	w := writer{b: b}
	message := w.openMessage(TypeServerKeyExchange)
	m.writeParams(&w)
	w.u16(uint16(m.Algorithm))
	w.vec16(m.Signature)
	w.close24(message)
	return w.bytes()
}

// A ClientKeyExchange is the client's share of an ECDHE key exchange.
//
//	opaque point<1..2^8-1>
//
// RFC 8422, Section 5.7.
type ClientKeyExchange struct {
	Point []byte // ecdh_Yc
}

// Parse reads a ClientKeyExchange's body. What it stores aliases body.
// RFC 8422, Section 5.7.
func (m *ClientKeyExchange) Parse(body []byte) error {
	*m = ClientKeyExchange{}
	if !readWhole8(&m.Point, body, 1) {
		return malformed(KindClientKeyExchange, "ecdh_Yc")
	}
	return nil
}

// Append writes the message, with its header, behind b.
// RFC 8422, Section 5.7.
func (m *ClientKeyExchange) Append(b []byte) []byte {
	w := writer{b: b}
	message := w.openMessage(TypeClientKeyExchange)
	w.vec8(m.Point)
	w.close24(message)
	return w.bytes()
}
