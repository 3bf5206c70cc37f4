package wire

import "golang.org/x/crypto/cryptobyte"

// A HelloRequest asks a client to negotiate anew. It is empty, and no part of
// the transcript.
// RFC 5246, Section 7.4.1.1.
type HelloRequest struct{}

// Parse reads a HelloRequest's body, of which there is none.
// RFC 5246, Section 7.4.1.1.
func (m *HelloRequest) Parse(body []byte) error {
	return parseEmpty(body, KindHelloRequest)
}

// Append writes the message, with its header, behind b.
// RFC 5246, Section 7.4.1.1.
func (m *HelloRequest) Append(b []byte) []byte { return appendEmpty(b, TypeHelloRequest) }

// A ServerHelloDone ends the server's first flight. It is empty.
// RFC 5246, Section 7.4.5.
type ServerHelloDone struct{}

// Parse reads a ServerHelloDone's body, of which there is none.
// RFC 5246, Section 7.4.5.
func (m *ServerHelloDone) Parse(body []byte) error {
	return parseEmpty(body, KindServerHelloDone)
}

// Append writes the message, with its header, behind b.
// RFC 5246, Section 7.4.5.
func (m *ServerHelloDone) Append(b []byte) []byte { return appendEmpty(b, TypeServerHelloDone) }

// A NewSessionTicket12 is a session for later, in the form of TLS 1.2.
//
//	uint32 ticket_lifetime_hint
//	opaque ticket<0..2^16-1>
//
// RFC 5077, Section 3.3.
type NewSessionTicket12 struct {
	LifetimeHint uint32 // in seconds; zero says nothing
	Ticket       []byte // empty when the server has none after all
}

// Parse reads a NewSessionTicket's body. What it stores aliases body.
// RFC 5077, Section 3.3.
func (m *NewSessionTicket12) Parse(body []byte) error {
	*m = NewSessionTicket12{}
	const in = KindNewSessionTicket12
	s := cryptobyte.String(body)
	if !s.ReadUint32(&m.LifetimeHint) {
		return malformed(in, "ticket_lifetime_hint")
	}
	if !read16(&s, &m.Ticket, 0) || !s.Empty() {
		return malformed(in, "ticket")
	}
	return nil
}

// Append writes the message, with its header, behind b.
// RFC 5077, Section 3.3.
func (m *NewSessionTicket12) Append(b []byte) []byte {
	w := writer{b: b}
	message := w.openMessage(TypeNewSessionTicket)
	w.u32(m.LifetimeHint)
	w.vec16(m.Ticket)
	w.close24(message)
	return w.bytes()
}

// parseEmpty reads the body of a message that has none.
func parseEmpty(body []byte, in MessageKind) error {
	if len(body) != 0 {
		return malformed(in, "")
	}
	return nil
}

func appendEmpty(b []byte, t HandshakeType) []byte {
	w := writer{b: b}
	w.close24(w.openMessage(t))
	return w.bytes()
}
