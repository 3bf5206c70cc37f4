package wire

import "golang.org/x/crypto/cryptobyte"

// A NewSessionTicket is a pre-shared key for later.
//
//	uint32    ticket_lifetime
//	uint32    ticket_age_add
//	opaque    ticket_nonce<0..255>
//	opaque    ticket<1..2^16-1>
//	Extension extensions<0..2^16-1>
//
// RFC 8446, Section 4.6.1.
type NewSessionTicket struct {
	Lifetime   uint32 // in seconds
	AgeAdd     uint32
	Nonce      []byte
	Ticket     []byte
	Extensions []Extension

	MaxEarlyData uint32 // early_data; may be zero: see Has(ExtEarlyData)
}

// Has reports whether the message has an extension.
// RFC 8446, Section 4.2.
func (m *NewSessionTicket) Has(t ExtensionType) bool { return has(m.Extensions, t) }

// Extension returns the raw data of an extension, and whether there is one.
// RFC 8446, Section 4.2.
func (m *NewSessionTicket) Extension(t ExtensionType) ([]byte, bool) { return find(m.Extensions, t) }

// Parse reads a NewSessionTicket's body. What it stores aliases body.
// RFC 8446, Section 4.6.1.
func (m *NewSessionTicket) Parse(body []byte) error {
	*m = NewSessionTicket{Extensions: m.Extensions[:0]}
	const in = KindNewSessionTicket
	s := cryptobyte.String(body)
	if !s.ReadUint32(&m.Lifetime) {
		return malformed(in, "ticket_lifetime")
	}
	if !s.ReadUint32(&m.AgeAdd) {
		return malformed(in, "ticket_age_add")
	}
	if !read8(&s, &m.Nonce, 0) {
		return malformed(in, "ticket_nonce")
	}
	if !read16(&s, &m.Ticket, 1) {
		return malformed(in, "ticket")
	}
	if err := readExtensions(&m.Extensions, &s, in); err != nil {
		return err
	}
	if !s.Empty() {
		return malformed(in, "extensions")
	}
	if p, ok := m.Extension(ExtEarlyData); ok {
		x := cryptobyte.String(p)
		if !x.ReadUint32(&m.MaxEarlyData) || !x.Empty() {
			return extensionError(Malformed, in, ExtEarlyData)
		}
	}
	return nil
}

// Append writes the message, with its header, behind b.
// RFC 8446, Section 4.6.1.
func (m *NewSessionTicket) Append(b []byte) []byte {
	w := writer{b: b}
	message := w.openMessage(TypeNewSessionTicket)
	w.u32(m.Lifetime)
	w.u32(m.AgeAdd)
	w.vec8(m.Nonce)
	w.vec16(m.Ticket)
	block := w.open16()
	for i := range m.Extensions {
		x := &m.Extensions[i]
		w.u16(uint16(x.Type))
		data := w.open16()
		switch {
		case x.Data != nil:
			w.bytesOf(x.Data)
		case x.Type == ExtEarlyData:
			w.u32(m.MaxEarlyData)
		}
		w.close16(data)
	}
	w.close16(block)
	w.close24(message)
	return w.bytes()
}

// The values of a KeyUpdate that are defined. RFC 8446, Section 4.6.3.
const (
	UpdateNotRequested = 0
	UpdateRequested    = 1
)

// A KeyUpdate says that the sender changes its keys.
//
//	KeyUpdateRequest request_update
//
// RFC 8446, Section 4.6.3.
type KeyUpdate struct {
	Request uint8 // any value survives, the caller judges
}

// Parse reads a KeyUpdate's body.
// RFC 8446, Section 4.6.3.
func (m *KeyUpdate) Parse(body []byte) error {
	*m = KeyUpdate{}
	if len(body) != 1 {
		return malformed(KindKeyUpdate, "request_update")
	}
	m.Request = body[0]
	return nil
}

// Append writes the message, with its header, behind b.
// RFC 8446, Section 4.6.3.
func (m *KeyUpdate) Append(b []byte) []byte {
	w := writer{b: b}
	message := w.openMessage(TypeKeyUpdate)
	w.u8(m.Request)
	w.close24(message)
	return w.bytes()
}
