// Package wire turns TLS handshake messages into structs and back.
//
// It knows syntax only: no state, no configuration, no alerts. Each message is
// a struct with two methods. Parse reads the message's body, which is the
// message without its 4-byte header, and rejects what is left over. Append
// writes the whole message, header included.
//
// # Ownership
//
// Every []byte that Parse stores aliases the body: it lives as long as the
// body does, and changes with it. Parse clips the capacity of such slices, so
// that appending to one copies it. Parse first resets the receiver, but keeps
// the capacity of the slices that hold lists; whoever keeps a struct and uses
// it again reads further messages without allocating. After an error the
// receiver holds whatever was read up to there, and is good for another Parse.
//
// The lists are bigger in memory than on the wire: an empty extension is 4
// bytes in a message and 32 in Extensions. How long a message may be is for
// the caller to bound.
//
// # Extensions
//
// A message that has extensions lists all of them in Extensions, in the order
// in which they stand, and has typed fields for those that this package knows.
// A typed field is zero when its extension is absent; where zero is also a
// legal value, Has tells the two apart.
//
// Append writes the entries of Extensions in their order. An entry whose Data
// is not nil is written as it is; one whose Data is nil is encoded from its
// typed field, and is empty when it has none. So a parsed message is written
// back byte for byte, and a new one lists types and fills in fields. After a
// change to a typed field of a parsed message, set the Data of its entry to nil.
//
// Append does not judge what it is given: a list that is shorter than its
// minimum is written as it is. What is longer than its length field can say
// is a broken invariant of the caller, and panics.
package wire

import (
	"slices"

	"golang.org/x/crypto/cryptobyte"
)

// HeaderLen is the length of a handshake header: type and 24-bit length.
// RFC 8446, Section 4.
const HeaderLen = 4

// Header reads a handshake header: the message's type and the length of its
// body. It reports false when b is shorter than HeaderLen.
// RFC 8446, Section 4.
func Header(b []byte) (typ HandshakeType, length int, ok bool) {
	if len(b) < HeaderLen {
		return 0, 0, false
	}
	return HandshakeType(b[0]), int(b[1])<<16 | int(b[2])<<8 | int(b[3]), true
}

// AppendHeader begins a handshake message. Its length is patched in by
// CloseHeader, which is to be given the mark.
// RFC 8446, Section 4.
func AppendHeader(b []byte, t HandshakeType) (_ []byte, mark int) {
	w := writer{b: b}
	mark = w.openMessage(t)
	return w.b, mark
}

// CloseHeader ends the message that AppendHeader began.
// RFC 8446, Section 4.
func CloseHeader(b []byte, mark int) []byte {
	w := writer{b: b}
	w.close24(mark)
	return w.bytes()
}

// writer appends the presentation language to a slice. Lengths are patched in
// afterwards: open returns a mark, close writes the length of what came since.
// RFC 8446, Section 3.4.
type writer struct {
	b        []byte
	overflow bool // something was longer than its length field can say
}

func (w *writer) u8(v uint8)       { w.b = append(w.b, v) }
func (w *writer) u16(v uint16)     { w.b = append(w.b, byte(v>>8), byte(v)) }
func (w *writer) u32(v uint32)     { w.b = append(w.b, byte(v>>24), byte(v>>16), byte(v>>8), byte(v)) }
func (w *writer) bytesOf(p []byte) { w.b = append(w.b, p...) }

func (w *writer) zeros(n int) {
	for range n {
		w.u8(0)
	}
}

func (w *writer) open8() (mark int) {
	w.b = append(w.b, 0)
	return len(w.b)
}

func (w *writer) close8(mark int) {
	n := len(w.b) - mark
	w.overflow = w.overflow || n > 1<<8-1
	w.b[mark-1] = byte(n)
}

func (w *writer) open16() (mark int) {
	w.b = append(w.b, 0, 0)
	return len(w.b)
}

func (w *writer) close16(mark int) {
	n := len(w.b) - mark
	w.overflow = w.overflow || n > 1<<16-1
	w.b[mark-2], w.b[mark-1] = byte(n>>8), byte(n)
}

func (w *writer) open24() (mark int) {
	w.b = append(w.b, 0, 0, 0)
	return len(w.b)
}

func (w *writer) close24(mark int) {
	n := len(w.b) - mark
	w.overflow = w.overflow || n > 1<<24-1
	w.b[mark-3], w.b[mark-2], w.b[mark-1] = byte(n>>16), byte(n>>8), byte(n)
}

func (w *writer) openMessage(t HandshakeType) (mark int) {
	w.u8(uint8(t))
	return w.open24()
}

func (w *writer) vec8(p []byte) {
	mark := w.open8()
	w.bytesOf(p)
	w.close8(mark)
}

func (w *writer) vec16(p []byte) {
	mark := w.open16()
	w.bytesOf(p)
	w.close16(mark)
}

func (w *writer) vec24(p []byte) {
	mark := w.open24()
	w.bytesOf(p)
	w.close24(mark)
}

// bytes returns what was written.
func (w *writer) bytes() []byte {
	if w.overflow {
		panic("wire: a vector is longer than its length field can say")
	}
	return w.b
}

// writeNumbers writes numbers of 16 bits, without a length.
func writeNumbers[T ~uint16](w *writer, list []T) {
	for _, v := range list {
		w.u16(uint16(v))
	}
}

// writeList16 writes opaque vectors, each with a length of 16 bits, and before
// them all a length of 16 bits.
func writeList16(w *writer, list [][]byte) {
	mark := w.open16()
	for _, p := range list {
		w.vec16(p)
	}
	w.close16(mark)
}

// opaque is s as a slice that cannot grow into what follows it.
func opaque(s cryptobyte.String) []byte {
	return s[:len(s):len(s)]
}

// The read functions take a vector off the front of s, and report false when
// it is truncated or shorter than min.

func read8(s *cryptobyte.String, out *[]byte, min int) bool {
	var v cryptobyte.String
	if !s.ReadUint8LengthPrefixed(&v) || len(v) < min {
		return false
	}
	*out = opaque(v)
	return true
}

func read16(s *cryptobyte.String, out *[]byte, min int) bool {
	var v cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&v) || len(v) < min {
		return false
	}
	*out = opaque(v)
	return true
}

func read24(s *cryptobyte.String, out *[]byte, min int) bool {
	var v cryptobyte.String
	if !s.ReadUint24LengthPrefixed(&v) || len(v) < min {
		return false
	}
	*out = opaque(v)
	return true
}

// readNumber reads a number of 16 bits that fills p.
func readNumber[T ~uint16](out *T, p []byte) bool {
	if len(p) != 2 {
		return false
	}
	*out = T(p[0])<<8 | T(p[1])
	return true
}

// readNumbers reads a list of numbers of 16 bits, at least one, that fills p.
func readNumbers[T ~uint16](out *[]T, p []byte) bool {
	if len(p) == 0 || len(p)%2 != 0 {
		return false
	}
	*out = slices.Grow(*out, len(p)/2)
	for ; len(p) > 0; p = p[2:] {
		*out = append(*out, T(p[0])<<8|T(p[1]))
	}
	return true
}

// readNumbers16 reads a list as readNumbers does, with a length of 16 bits
// before it, that fills p.
func readNumbers16[T ~uint16](out *[]T, p []byte) bool {
	s := cryptobyte.String(p)
	var list []byte
	return read16(&s, &list, 2) && s.Empty() && readNumbers(out, list)
}

// readList16 reads opaque vectors, at least one and none of them empty, each
// with a length of 16 bits and before them all a length of 16 bits, that fill p.
func readList16(out *[][]byte, p []byte) bool {
	s := cryptobyte.String(p)
	var list cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&list) || !s.Empty() || list.Empty() {
		return false
	}
	for !list.Empty() {
		var v []byte
		if !read16(&list, &v, 1) {
			return false
		}
		*out = append(*out, v)
	}
	return true
}

// grow makes list longer by one and returns the new last element, which holds
// whatever stood there before, so that its slices can be used again.
func grow[T any](list *[]T) *T {
	s := *list
	if n := len(s); n < cap(s) {
		s = s[:n+1]
	} else {
		var zero T
		s = append(s, zero)
	}
	*list = s
	return &s[len(s)-1]
}

// writeNumbers16 writes numbers of 16 bits, with a length of 16 bits before them.
func writeNumbers16[T ~uint16](w *writer, list []T) {
	mark := w.open16()
	writeNumbers(w, list)
	w.close16(mark)
}
