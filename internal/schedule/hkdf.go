package schedule

import (
	"crypto/fips140"
	"crypto/hmac"
	"crypto/subtle"
	"encoding/binary"
	"slices"
)

// HMAC and HKDF. The inputs of the key schedule are short, so that each HMAC fits two calls of the one-shot hash over a
// stack array, where crypto/hkdf allocates a hash state and a buffer at every step. Under FIPS 140 it is the standard
// library's HMAC instead, since only that one is inside the validated module.

// stackRoom takes a block of key and every message of the key schedules but an unusually long PSK, and an unusually
// long context of an exporter.
const stackRoom = maxBlockSize + 256

// mac puts HMAC(key, message) at the start of out; message comes in parts, which may overlap out.
// RFC 5869, Section 2.1.
func mac(h Hash, out *[MaxSize]byte, key []byte, message ...[]byte) {
	if fips140.Enabled() {
		macStandard(h, out, key, message...)
		return
	}
	macStack(h, out, key, message...)
}

// macStandard is HMAC by the standard library. It copies what it is given, so that a caller's arrays stay on the stack.
func macStandard(h Hash, out *[MaxSize]byte, key []byte, message ...[]byte) {
	k, m := slices.Clone(key), slices.Concat(message...)
	keyed := hmac.New(h.New, k)
	keyed.Write(m)
	copy(out[:], keyed.Sum(nil))
	clear(k)
	clear(m)
}

// macStack is HMAC without allocation. RFC 5869, Section 2.1.
func macStack(h Hash, out *[MaxSize]byte, key []byte, message ...[]byte) {
	var block [maxBlockSize]byte
	if len(key) > h.blockSize() {
		// A shared secret of P-521 is longer than a block of SHA-256, and the key becomes its hash. RFC 2104, Section 2.
		h.sum((*[MaxSize]byte)(block[:]), key)
	} else {
		copy(block[:], key)
	}
	n := h.blockSize()
	for _, part := range message {
		n += len(part)
	}
	var room [stackRoom]byte
	in := room[:0]
	if n > len(room) {
		in = make([]byte, 0, n)
	}

	// H(K XOR opad, H(K XOR ipad, text)). RFC 2104, Section 2.
	in = in[:h.blockSize()]
	subtle.XORBytes(in, block[:len(in)], ipad[:])
	for _, part := range message {
		in = append(in, part...)
	}
	h.sum(out, in)
	clear(in)
	in = in[:h.blockSize()]
	subtle.XORBytes(in, block[:len(in)], opad[:])
	in = append(in, out[:h.Size()]...)
	h.sum(out, in)
	clear(in)
	clear(block[:])
}

var ipad, opad = pad(0x36), pad(0x5c)

func pad(b byte) (block [maxBlockSize]byte) {
	for i := range block {
		block[i] = b
	}
	return block
}

// extract is HKDF-Extract. RFC 5869, Section 2.2.
func extract(h Hash, salt, ikm []byte) (s Secret) {
	mac(h, &s.b, salt, ikm)
	s.hash = h
	return s
}

// expand is HKDF-Expand, filling out. RFC 5869, Section 2.3.
func expand(h Hash, prk, info, out []byte) {
	if len(out) > 255*h.Size() {
		panic("schedule: more output than HKDF can give")
	}
	var block [MaxSize]byte
	var last []byte
	for counter := byte(1); len(out) > 0; counter++ {
		mac(h, &block, prk, last, info, []byte{counter})
		last = block[:h.Size()]
		out = out[copy(out, last):]
	}
	clear(block[:])
}

const labelPrefix = "tls13 "

// ExpandLabel is HKDF-Expand-Label, filling out. The label has at most 249 bytes, the context 255, and out 255 times the
// hash; the caller has checked that where they are not its own. RFC 8446, Section 7.1.
//
//	struct {
//	    uint16 length = Length;
//	    opaque label<7..255> = "tls13 " + Label;
//	    opaque context<0..255> = Context;
//	} HkdfLabel;
func ExpandLabel(h Hash, secret []byte, label string, context []byte, out []byte) {
	if len(label) == 0 || len(labelPrefix)+len(label) > 255 || len(context) > 255 {
		panic("schedule: label or context out of range")
	}
	var room [2 + 1 + 255 + 1 + 255]byte
	info := binary.BigEndian.AppendUint16(room[:0], uint16(len(out)))
	info = append(info, byte(len(labelPrefix)+len(label)))
	info = append(info, labelPrefix...)
	info = append(info, label...)
	info = append(info, byte(len(context)))
	info = append(info, context...)
	expand(h, secret, info, out)
}
