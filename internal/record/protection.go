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
	// ErrBadMAC means that the record does not authenticate, or is too short to hold a nonce and a tag: bad_record_mac.
	// RFC 8446, Section 5.2; RFC 5246, Section 6.2.3.3.
	ErrBadMAC = errors.New("record: authentication failed")

	// ErrInnerOverflow means that content, type and padding together exceed MaxInner bytes, or content MaxPlaintext in
	// TLS 1.2, or what SetMaxInner says: record_overflow. RFC 8446, Section 5.4; RFC 5246, Section 6.2.1.
	ErrInnerOverflow = errors.New("record: inner plaintext too long")

	// ErrNoContentType means that the plaintext is all zeros, or empty: unexpected_message. RFC 8446, Section 5.4.
	ErrNoContentType = errors.New("record: no content type")

	// ErrSequence means that the sequence number is used up, as no key change came, or that the key was wiped.
	// RFC 8446, Section 5.3; RFC 5246, Section 6.1.
	ErrSequence = errors.New("record: sequence number exhausted")
)

// Protection protects one direction under one key, in the form of TLS 1.3 or that of TLS 1.2. The zero value has no
// key. It has one user at a time, and is moved, not copied: who has passed it on does not use it any more, since two
// that seal with the same sequence number give the key away. RFC 8446, Section 5.2; RFC 5246, Section 6.2.3.3.
type Protection struct {
	aead  cipher.AEAD // in TLS 1.2 an *aead12
	seq   uint64
	limit uint64
	// nonce is that of the next record. It lives here because a local one would be allocated per record, and there is
	// no iv besides, since the one becomes the other with the sequence number. Connections are counted in millions.
	nonce    [IVLen]byte
	a        AEAD
	form     form
	maxInner uint16
}

// form is how records look.
type form uint8

const (
	form13         form = iota
	form12              // of TLS 1.2, with a nonce that both sides know
	form12Explicit      // of TLS 1.2, where every record carries a part of its nonce
)

// aead12 is the cipher in TLS 1.2, with the memory of the additional data: sequence number, type, version, length.
type aead12 struct {
	cipher.AEAD
	data [8 + HeaderLen]byte
}

// New returns the protection of TLS 1.3 by algorithm a under key and iv, which it copies. It fails when their lengths
// are not the algorithm's, and when the standard library does not allow the algorithm, as in its strict FIPS 140 mode.
// RFC 8446, Section 5.3.
func New(a AEAD, key, iv []byte) (Protection, error) {
	return newProtection(Protection{a: a}, key, iv, IVLen)
}

// New12 is New for TLS 1.2, where the iv is a.IV12Len() bytes of the key block. RFC 5288, Section 3; RFC 7905,
// Section 2.
func New12(a AEAD, key, iv []byte) (Protection, error) {
	p := Protection{a: a, form: form12}
	if a.IV12Len() == saltLenGCM {
		p.form = form12Explicit
	}
	p, err := newProtection(p, key, iv, a.IV12Len())
	if err == nil {
		p.aead = &aead12{AEAD: p.aead}
	}
	return p, err
}

func newProtection(p Protection, key, iv []byte, ivLen int) (Protection, error) {
	if len(key) != p.a.KeyLen() {
		return Protection{}, errors.New("record: wrong key length for " + p.a.String())
	}
	if len(iv) != ivLen {
		return Protection{}, errors.New("record: wrong iv length for " + p.a.String())
	}
	aead, err := newCipher(p.a, key)
	if err != nil {
		return Protection{}, err
	}
	// https://www.rfc-editor.org/rfc/rfc8446#section-5.3
	// "the first record transmitted under a particular traffic key
	// MUST use sequence number 0."
	p.aead, p.seq, p.limit = aead, 0, p.a.Limit()
	p.SetMaxInner(MaxInner)
	copy(p.nonce[:], iv)
	return p, nil
}

// Keyed reports whether there is a key, which Wipe ends.
func (p *Protection) Keyed() bool { return p.aead != nil }

// Pads reports whether records can be padded: in TLS 1.3. RFC 8446, Section 5.4.
func (p *Protection) Pads() bool { return p.form == form13 }

// Overhead is how many bytes longer a sealed record is than its content, when it has no padding. RFC 8446, Section 5.2;
// RFC 5246, Section 6.2.3.3.
func (p *Protection) Overhead() int {
	switch p.form {
	case form12Explicit:
		return HeaderLen + explicitLenGCM + TagLen
	case form12:
		return HeaderLen + TagLen
	}
	return Overhead
}

// goTo changes the sequence number, and with it the nonce, which is the iv with the sequence number exclusive-ored into
// its end. RFC 8446, Section 5.3; RFC 7905, Section 2.
//
// Where a part of the nonce is explicit, the iv has zeros in its place, and the part becomes the sequence number itself.
// RFC 5288, Section 3.
func (p *Protection) goTo(seq uint64) {
	counter := p.nonce[IVLen-8:]
	binary.BigEndian.PutUint64(counter, binary.BigEndian.Uint64(counter)^p.seq^seq)
	p.seq = seq
}

// additionalData computes the additional data of TLS 1.2 for a record with this header and n bytes of content.
// RFC 5246, Section 6.2.3.3.
func (p *Protection) additionalData(header []byte, n int) []byte {
	// https://www.rfc-editor.org/rfc/rfc5246#section-6.2.3.3
	// "additional_data = seq_num + TLSCompressed.type +
	// TLSCompressed.version + TLSCompressed.length;"
	data := &p.aead.(*aead12).data
	binary.BigEndian.PutUint64(data[:8], p.seq)
	copy(data[8:11], header)
	binary.BigEndian.PutUint16(data[11:], uint16(n))
	return data[:]
}

// Open removes the protection of one whole record, header included. It decrypts in place: content is a part of record,
// and shares its life. On an error the bytes behind the header are lost, and the sequence number stays.
//
// The caller has judged the header: that the length is the record's, and within MaxCiphertext, or MaxCiphertext12 in
// TLS 1.2; that the type is application_data in TLS 1.3, and in TLS 1.2, where Open returns it, one that may come; and
// that the version is right in TLS 1.2. Open itself is safe with any bytes. RFC 8446, Section 5.2; RFC 5246,
// Section 6.2.3.3.
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
	if p.form != form13 {
		return p.open12(record)
	}
	header, body := record[:HeaderLen], record[HeaderLen:]
	inner, err := p.aead.Open(body[:0], p.nonce[:], body, header)
	// https://www.rfc-editor.org/rfc/rfc8446#section-5.2
	// "If the decryption fails, the receiver MUST terminate the connection
	// with a "bad_record_mac" alert."
	if err != nil {
		return 0, nil, ErrBadMAC
	}
	// https://www.rfc-editor.org/rfc/rfc8446#section-5.4
	// "the full encoded TLSInnerPlaintext MUST NOT exceed 2^14
	// + 1 octets."
	if len(inner) > int(p.maxInner) {
		return 0, nil, ErrInnerOverflow
	}
	if n := len(inner); n > 0 && inner[n-1] == 0 { // padding, which is rare
		inner = trimZeros(inner)
	}
	// https://www.rfc-editor.org/rfc/rfc8446#section-5.4
	// "If a receiving implementation does not
	// find a non-zero octet in the cleartext, it MUST terminate the
	// connection with an "unexpected_message" alert."
	if len(inner) == 0 {
		return 0, nil, ErrNoContentType
	}
	p.goTo(p.seq + 1)
	last := len(inner) - 1
	return ContentType(inner[last]), inner[:last], nil
}

// open12 is the rest of Open in TLS 1.2. RFC 5246, Section 6.2.3.3.
func (p *Protection) open12(record []byte) (t ContentType, content []byte, err error) {
	n := len(record) - p.Overhead()
	if n < 0 {
		return 0, nil, ErrBadMAC
	}
	body := record[HeaderLen:]
	// https://www.rfc-editor.org/rfc/rfc5288#section-3
	// "It is chosen
	// by the sender and is carried in each TLS record"
	if p.form == form12Explicit { // what is overwritten here is overwritten again by the next record
		body = body[copy(p.nonce[saltLenGCM:], body):]
	}
	content, err = p.aead.Open(body[:0], p.nonce[:], body, p.additionalData(record, n))
	// https://www.rfc-editor.org/rfc/rfc5246#section-6.2.3.3
	// "If the decryption fails, a fatal bad_record_mac alert MUST be
	// generated."
	if err != nil {
		return 0, nil, ErrBadMAC
	}
	// https://www.rfc-editor.org/rfc/rfc5246#section-6.2.1
	// "The
	// length MUST NOT exceed 2^14."
	if len(content) > int(p.maxInner) {
		return 0, nil, ErrInnerOverflow
	}
	p.goTo(p.seq + 1)
	return ContentType(record[0]), content, nil
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

// Seal appends one whole protected record to b, p.Overhead() bytes longer than content and without padding. It allocates
// only when b has no room for it. Content must not overlap the room behind b's length.
//
// The caller has cut content to at most MaxPlaintext bytes, and asked Remaining; Seal panics when it has not.
// RFC 8446, Section 5.2; RFC 5246, Section 6.2.3.3.
func (p *Protection) Seal(b []byte, t ContentType, content []byte) []byte {
	return p.SealPadded(b, t, content, 0)
}

// SealPadded is Seal with pad bytes of padding, which make the record longer by as much. The caller has bounded content
// and padding together by MaxPlaintext bytes. TLS 1.2 has no padding: there pad is 0. RFC 8446, Section 5.4.
func (p *Protection) SealPadded(b []byte, t ContentType, content []byte, pad int) []byte {
	if pad < 0 || pad > MaxPlaintext-len(content) {
		panic("record: content and padding longer than a record")
	}
	// https://www.rfc-editor.org/rfc/rfc9846#section-5.5
	// "Implementations MUST
	// either close the connection or
	// do a key update"
	if p.Remaining() == 0 {
		panic("record: key used beyond its limit")
	}
	if p.form != form13 {
		if pad != 0 {
			panic("record: padding in TLS 1.2")
		}
		return p.seal12(b, t, content)
	}
	size := len(content) + pad + Overhead
	if cap(b)-len(b) < size {
		b = slices.Grow(b, size)
	}
	rec := b[len(b) : len(b)+size]
	AppendHeader(rec[:0], TypeApplicationData, VersionTLS12, size-HeaderLen)
	inner := rec[HeaderLen : size-TagLen]
	copy(inner, content)
	inner[len(content)] = byte(t)
	clear(inner[len(content)+1:])
	p.aead.Seal(inner[:0], p.nonce[:], inner, rec[:HeaderLen])
	p.goTo(p.seq + 1)
	return b[:len(b)+size]
}

// Headroom is how many bytes stand in front of the content in a record: the header, and in TLS 1.2 with AES-GCM a part of
// the nonce.
func (p *Protection) Headroom() int {
	if p.form == form12Explicit {
		return HeaderLen + explicitLenGCM
	}
	return HeaderLen
}

// SealInPlace is SealPadded for content that stands where it does in the record: the n bytes behind the first
// p.Headroom() of buf. The capacity of buf has room for the whole record, which is returned and begins where buf does.
// Nothing is copied.
func (p *Protection) SealInPlace(buf []byte, t ContentType, n, pad int) []byte {
	if n < 0 || pad < 0 || pad > MaxPlaintext-n || p.form != form13 && pad != 0 {
		panic("record: content and padding longer than a record")
	}
	if p.Remaining() == 0 {
		panic("record: key used beyond its limit")
	}
	at := p.Headroom()
	size := n + pad + p.Overhead()
	buf = buf[:size]
	if p.form != form13 {
		AppendHeader(buf[:0], t, VersionTLS12, size-HeaderLen)
		copy(buf[HeaderLen:at], p.nonce[saltLenGCM:]) // if there is room for it, it has to be there
		p.aead.Seal(buf[at:at], p.nonce[:], buf[at:at+n], p.additionalData(buf, n))
	} else {
		AppendHeader(buf[:0], TypeApplicationData, VersionTLS12, size-HeaderLen)
		inner := buf[at : at+n+1+pad]
		inner[n] = byte(t)
		clear(inner[n+1:])
		p.aead.Seal(inner[:0], p.nonce[:], inner, buf[:HeaderLen])
	}
	p.goTo(p.seq + 1)
	return buf
}

// seal12 is the rest of Seal in TLS 1.2. RFC 5246, Section 6.2.3.3.
func (p *Protection) seal12(b []byte, t ContentType, content []byte) []byte {
	start := len(b)
	b = slices.Grow(b, len(content)+p.Overhead())
	b = AppendHeader(b, t, VersionTLS12, len(content)+p.Overhead()-HeaderLen)
	// https://www.rfc-editor.org/rfc/rfc5288#section-3
	// "Each value of the nonce_explicit MUST be distinct for each distinct
	// invocation of the GCM encrypt function for any fixed key."
	// The sequence number is.
	if p.form == form12Explicit {
		b = append(b, p.nonce[saltLenGCM:]...)
	}
	b = p.aead.Seal(b, p.nonce[:], content, p.additionalData(b[start:], len(content)))
	p.goTo(p.seq + 1)
	return b
}

// SetMaxInner lowers the length that Open accepts to n bytes: of content, type and padding together in TLS 1.3, and of
// content in TLS 1.2. What is longer is ErrInnerOverflow. The version's own limit stays above it, and a negative n is 0.
// RFC 8449, Section 4.
func (p *Protection) SetMaxInner(n int) {
	most := MaxInner
	if p.form != form13 {
		most = MaxPlaintext
	}
	p.maxInner = uint16(max(0, min(n, most)))
}

// SetLimit lowers the number of records that may be sealed under this key to n, counted from the first one. The
// algorithm's own limit stays above it. RFC 8446, Section 5.5.
func (p *Protection) SetLimit(n uint64) {
	p.limit = min(n, p.a.Limit())
}

// Remaining is how many more records may be sealed under this key. The key has to change while some are left, as the
// KeyUpdate is itself a record under the old key, and so is an alert. TLS 1.2 without renegotiation has no way to change
// it: there the connection has to end. RFC 8446, Section 5.5; RFC 5246, Section 6.1.
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

// Wipe clears the nonce and lets go of the cipher. A wiped Protection is at its end: Remaining is 0, and Open returns
// ErrSequence. The key itself cannot be overwritten: the standard library's cipher holds it in expanded form, without a
// way to clear it, until the garbage collector reuses that memory.
func (p *Protection) Wipe() {
	*p = Protection{seq: math.MaxUint64, form: p.form}
}

// Restore goes on where another Protection under the same key was: seq is the sequence number of the next record, limit
// what that one's Limit was. Two that seal under one key with the same sequence number give the key away, so the other
// one must be at its end. RFC 8446, Section 5.3.
func (p *Protection) Restore(seq, limit uint64) {
	p.goTo(seq)
	p.SetLimit(limit)
}

// Limit is the number of records that may be sealed under this key. RFC 8446, Section 5.5.
func (p *Protection) Limit() uint64 { return p.limit }
