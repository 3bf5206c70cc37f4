package record

import (
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"math"
	"slices"
)

// What can be wrong with a protected record. Open returns these values themselves, never wrapped.
var (
	// ErrBadMAC means that the record does not authenticate, or is too short to hold a tag: bad_record_mac.
	// RFC 8446, Section 5.2.
	ErrBadMAC = errors.New("record: authentication failed")

	// ErrInnerOverflow means that content, type and padding together exceed MaxInner bytes: record_overflow.
	// RFC 8446, Section 5.4.
	ErrInnerOverflow = errors.New("record: inner plaintext too long")

	// ErrNoContentType means that the plaintext is all zeros, or empty: unexpected_message. RFC 8446, Section 5.4.
	ErrNoContentType = errors.New("record: no content type")

	// ErrSequence means that the sequence number is used up, as no key change came, or that the key was wiped. RFC 8446, Section 5.3.
	ErrSequence = errors.New("record: sequence number exhausted")
)

// Protection protects one direction under one key, in the form of TLS 1.3. It must not be copied, and has one user at
// a time. RFC 8446, Section 5.2.
type Protection struct {
	aead  cipher.AEAD
	seq   uint64
	limit uint64
	max   uint64 // the algorithm's own limit, which limit never exceeds
	iv    [IVLen]byte
	nonce [IVLen]byte // of the record at hand; it lives here because a local one would be allocated per record
}

// New returns the protection by algorithm a under key and iv, which it copies. It fails when their lengths are not the
// algorithm's, and when the standard library does not allow the algorithm, as in its strict FIPS 140 mode.
// RFC 8446, Section 5.3.
func New(a AEAD, key, iv []byte) (*Protection, error) {
	if len(key) != a.KeyLen() {
		return nil, errors.New("record: wrong key length for " + a.String())
	}
	if len(iv) != IVLen {
		return nil, errors.New("record: wrong iv length for " + a.String())
	}
	aead, err := newCipher(a, key)
	if err != nil {
		return nil, err
	}
	// https://www.rfc-editor.org/rfc/rfc8446#section-5.3
	// "the first record transmitted under a particular traffic key
	// MUST use sequence number 0."
	p := &Protection{aead: aead, seq: 0, limit: a.Limit(), max: a.Limit()}
	copy(p.iv[:], iv)
	return p, nil
}

// nextNonce computes the nonce of the record with the current sequence number. RFC 8446, Section 5.3.
func (p *Protection) nextNonce() []byte {
	copy(p.nonce[:4], p.iv[:4])
	binary.BigEndian.PutUint64(p.nonce[4:], binary.BigEndian.Uint64(p.iv[4:])^p.seq)
	return p.nonce[:]
}

// Open removes the protection of one whole record, header included. It decrypts in place: content is a part of record,
// and shares its life. On an error the bytes behind the header are lost, and the sequence number stays.
//
// The caller has judged the header: that the type is application_data, and that the length is the record's and within
// MaxCiphertext. Open itself is safe with any bytes. RFC 8446, Section 5.2.
func (p *Protection) Open(record []byte) (t ContentType, content []byte, err error) {
	if len(record) < HeaderLen+TagLen {
		return 0, nil, ErrBadMAC
	}
	// https://www.rfc-editor.org/rfc/rfc8446#section-5.3
	// "If a TLS implementation would need to wrap a sequence number, it MUST
	// either rekey (Section 4.6.3) or terminate the connection."
	if p.seq == math.MaxUint64 {
		return 0, nil, ErrSequence
	}
	header, body := record[:HeaderLen], record[HeaderLen:]
	inner, err := p.aead.Open(body[:0], p.nextNonce(), body, header)
	// https://www.rfc-editor.org/rfc/rfc8446#section-5.2
	// "If the decryption fails, the receiver MUST terminate the connection
	// with a "bad_record_mac" alert."
	if err != nil {
		return 0, nil, ErrBadMAC
	}
	// https://www.rfc-editor.org/rfc/rfc8446#section-5.4
	// "the full encoded TLSInnerPlaintext MUST NOT exceed 2^14
	// + 1 octets."
	if len(inner) > MaxInner {
		return 0, nil, ErrInnerOverflow
	}
	inner = trimZeros(inner)
	// https://www.rfc-editor.org/rfc/rfc8446#section-5.4
	// "If a receiving implementation does not
	// find a non-zero octet in the cleartext, it MUST terminate the
	// connection with an "unexpected_message" alert."
	if len(inner) == 0 {
		return 0, nil, ErrNoContentType
	}
	p.seq++
	last := len(inner) - 1
	return ContentType(inner[last]), inner[:last], nil
}

// trimZeros cuts the zeros at the end of b, eight at a time, since a record may be 16 KiB of them.
// RFC 8446, Section 5.4.
func trimZeros(b []byte) []byte {
	for len(b) >= 8 && binary.NativeEndian.Uint64(b[len(b)-8:]) == 0 {
		b = b[:len(b)-8]
	}
	for len(b) > 0 && b[len(b)-1] == 0 {
		b = b[:len(b)-1]
	}
	return b
}

// Seal appends one whole protected record to b, Overhead bytes longer than content and without padding. It allocates
// only when b has no room for it. Content must not overlap the room behind b's length.
//
// The caller has cut content to at most MaxPlaintext bytes, and asked Remaining; Seal panics when it has not.
// RFC 8446, Section 5.2.
func (p *Protection) Seal(b []byte, t ContentType, content []byte) []byte {
	if len(content) > MaxPlaintext {
		panic("record: content longer than a record")
	}
	// https://www.rfc-editor.org/rfc/rfc9846#section-5.5
	// "Implementations MUST
	// either close the connection or
	// do a key update"
	if p.Remaining() == 0 {
		panic("record: key used beyond its limit")
	}
	start := len(b)
	b = slices.Grow(b, len(content)+Overhead)
	b = AppendHeader(b, TypeApplicationData, VersionTLS12, len(content)+1+TagLen)
	body := len(b)
	b = append(b, content...)
	b = append(b, byte(t))
	inner := b[body:]
	p.aead.Seal(inner[:0], p.nextNonce(), inner, b[start:body])
	p.seq++
	return b[:len(b)+TagLen]
}

// SetLimit lowers the number of records that may be sealed under this key to n, counted from the first one. The
// algorithm's own limit stays above it. RFC 8446, Section 5.5.
func (p *Protection) SetLimit(n uint64) {
	p.limit = min(n, p.max)
}

// Remaining is how many more records may be sealed under this key. The key has to change while some are left, as the
// KeyUpdate is itself a record under the old key, and so is an alert. RFC 8446, Section 5.5.
func (p *Protection) Remaining() uint64 {
	if p.seq >= p.limit {
		return 0
	}
	return p.limit - p.seq
}

// Seq is the sequence number of the next record, which is the number of records so far. RFC 8446, Section 5.3.
func (p *Protection) Seq() uint64 {
	return p.seq
}

// Wipe clears the iv and lets go of the cipher. A wiped Protection is at its end: Remaining is 0, and Open returns
// ErrSequence. The key itself cannot be overwritten: the standard library's cipher holds it in expanded form, without a
// way to clear it, until the garbage collector reuses that memory.
func (p *Protection) Wipe() {
	*p = Protection{seq: math.MaxUint64}
}
