package record

import (
	"bytes"
	"crypto/fips140"
	"encoding/binary"
	"math"
	"testing"
	"unsafe"

	"pgregory.net/rapid"
)

var algorithms = []AEAD{AES128GCM, AES256GCM, ChaCha20Poly1305}

// newTest returns a protection under a fixed key; two of them are the two ends of one direction.
func newTest(t testing.TB, a AEAD) *Protection {
	t.Helper()
	if fips140.Enforced() && !NullCrypto {
		t.Skip("strict FIPS 140 mode allows none of the ciphers")
	}
	key, iv := bytes.Repeat([]byte{0x5a}, a.KeyLen()), []byte("twelve bytes")
	p, err := New(a, key, iv)
	if err != nil {
		t.Fatal(err)
	}
	clear(key) // New has copied both
	clear(iv)
	return &p
}

// sealInner protects any inner plaintext, right or wrong, without moving p.
func sealInner(p *Protection, inner []byte) []byte {
	n := len(inner) + TagLen
	record := []byte{23, 3, 3, byte(n >> 8), byte(n)}
	return p.aead.Seal(record, p.nonce[:], inner, record)
}

func forEach(t *testing.T, f func(t *testing.T, a AEAD)) {
	for _, a := range algorithms {
		t.Run(a.String(), func(t *testing.T) { f(t, a) })
	}
}

func needsCrypto(t *testing.T) {
	if NullCrypto {
		t.Skip("the null cipher accepts any tag")
	}
}

func TestNewRefuses(t *testing.T) {
	for _, test := range []struct {
		why     string
		a       AEAD
		key, iv int
	}{
		{"short key", AES128GCM, 15, 12},
		{"key of the wrong algorithm", AES256GCM, 16, 12},
		{"short iv", ChaCha20Poly1305, 32, 11},
		{"long iv", AES128GCM, 16, 13},
		{"unknown algorithm", AEAD(4), 0, 12},
	} {
		if p, err := New(test.a, make([]byte, test.key), make([]byte, test.iv)); err == nil || p.Keyed() {
			t.Errorf("%s: accepted", test.why)
		}
	}
	for _, a := range algorithms {
		if p, err := New(a, make([]byte, a.KeyLen()), make([]byte, IVLen)); fips140.Enforced() && !NullCrypto && (err == nil || p.Keyed()) {
			t.Errorf("%v: accepted in strict FIPS 140 mode", a)
		}
	}
	if !NullCrypto {
		if _, err := newCipher(AES128GCM, make([]byte, 5)); err == nil {
			t.Error("AES took a key of five bytes")
		}
	}
}

// TestRoundTrip seals records of any size behind each other into one buffer, and opens them in place.
func TestRoundTrip(t *testing.T) {
	forEach(t, func(t *testing.T, a AEAD) {
		rapid.Check(t, func(rt *rapid.T) {
			w, r := newTest(t, a), newTest(t, a)
			size := rapid.OneOf(rapid.IntRange(0, 200), rapid.IntRange(MaxPlaintext-20, MaxPlaintext))
			sizes := rapid.SliceOfN(size, 1, 5).Draw(rt, "sizes")
			types := rapid.SliceOfN(rapid.IntRange(1, 255), len(sizes), len(sizes)).Draw(rt, "types")
			buf := make([]byte, 0, rapid.IntRange(0, 3*MaxPlaintext).Draw(rt, "capacity"))
			var contents [][]byte
			for i, n := range sizes {
				content := make([]byte, n)
				for j := range content {
					content[j] = byte(j * (i + 1))
				}
				contents = append(contents, content)
				before := len(buf)
				buf = w.Seal(buf, ContentType(types[i]), content)
				if len(buf) != before+n+Overhead {
					rt.Fatalf("sealed to %d bytes, want %d", len(buf)-before, n+Overhead)
				}
			}
			for i, want := range contents {
				h := ParseHeader(buf)
				if h != (Header{TypeApplicationData, VersionTLS12, len(want) + 1 + TagLen}) {
					rt.Fatalf("header %+v", h)
				}
				got, content, err := r.Open(buf[:HeaderLen+h.Length])
				if err != nil || got != ContentType(types[i]) || !bytes.Equal(content, want) {
					rt.Fatalf("record %d: type %v, %d bytes, error %v", i, got, len(content), err)
				}
				buf = buf[HeaderLen+h.Length:]
			}
			if len(buf) != 0 || r.Seq() != w.Seq() || r.Seq() != uint64(len(sizes)) {
				rt.Fatalf("%d bytes left, seq %d and %d", len(buf), r.Seq(), w.Seq())
			}
		})
	})
}

// https://www.rfc-editor.org/rfc/rfc8446#section-5.2
// "If the decryption fails, the receiver MUST terminate the connection
// with a "bad_record_mac" alert."
func TestOpenBitFlips(t *testing.T) {
	needsCrypto(t)
	forEach(t, func(t *testing.T, a AEAD) {
		w, r := newTest(t, a), newTest(t, a)
		record := w.Seal(nil, TypeHandshake, []byte("finished"))
		for bit := range 8 * len(record) {
			flipped := bytes.Clone(record)
			flipped[bit/8] ^= 1 << (bit % 8)
			if _, content, err := r.Open(flipped); err != ErrBadMAC || content != nil {
				t.Fatalf("bit %d flipped: error %v, content %q", bit, err, content)
			}
		}
		if r.Seq() != 0 {
			t.Errorf("seq %d after failures, want 0", r.Seq())
		}
		if _, _, err := r.Open(record); err != nil {
			t.Errorf("the untouched record: %v", err)
		}
	})
}

func TestOpenTruncated(t *testing.T) {
	w, r := newTest(t, AES128GCM), newTest(t, AES128GCM)
	record := w.Seal(nil, TypeHandshake, []byte("finished"))
	for n := range len(record) {
		if NullCrypto && n >= HeaderLen+TagLen {
			break // it is a record of its own
		}
		if _, _, err := r.Open(bytes.Clone(record[:n])); err != ErrBadMAC {
			t.Errorf("%d bytes: error %v", n, err)
		}
	}
	if _, _, err := r.Open(nil); err != ErrBadMAC {
		t.Errorf("nil: error %v", err)
	}
}

func TestOpenOutOfOrder(t *testing.T) {
	needsCrypto(t)
	w, r := newTest(t, ChaCha20Poly1305), newTest(t, ChaCha20Poly1305)
	first := w.Seal(nil, TypeApplicationData, []byte("first"))
	second := w.Seal(nil, TypeApplicationData, []byte("second"))
	if _, _, err := r.Open(bytes.Clone(second)); err != ErrBadMAC {
		t.Errorf("skipped a record: %v", err)
	}
	if _, _, err := r.Open(bytes.Clone(first)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Open(first); err != ErrBadMAC {
		t.Errorf("replayed a record: %v", err)
	}
	if _, _, err := r.Open(second); err != nil {
		t.Error(err)
	}
}

// TestNonce computes the nonce byte by byte. RFC 8446, Section 5.3.
func TestNonce(t *testing.T) {
	p := newTest(t, AES128GCM)
	for _, seq := range []uint64{0, 1, 255, 256, 1<<32 + 5, 1 << 63, math.MaxUint64} {
		p.goTo(seq)
		var want [IVLen]byte
		binary.BigEndian.PutUint64(want[IVLen-8:], seq)
		for i := range want {
			want[i] ^= "twelve bytes"[i]
		}
		if got := p.nonce[:]; !bytes.Equal(got, want[:]) {
			t.Errorf("seq %#x: nonce %x, want %x", seq, got, want)
		}
	}
}

func TestOpenPadding(t *testing.T) {
	for _, content := range []string{"", "x", "12345678", "ends in zeros\x00\x00\x00", "\x00\x00\x00\x00\x00\x00\x00\x00\x00"} {
		for _, padding := range []int{0, 1, 6, 7, 8, 9, 15, 16, 17, 63, 1000, MaxInner - 1 - len(content)} {
			p := newTest(t, AES128GCM)
			inner := append([]byte(content), byte(TypeApplicationData))
			inner = append(inner, make([]byte, padding)...)
			got, gotContent, err := p.Open(sealInner(p, inner))
			if err != nil || got != TypeApplicationData || string(gotContent) != content {
				t.Errorf("%q and %d zeros: %v, %q, %v", content, padding, got, gotContent, err)
			}
		}
	}
}

func TestTrimZeros(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOf(rapid.SampledFrom([]byte{0, 0, 0, 1, 255})).Draw(t, "b")
		b = append(b, make([]byte, rapid.IntRange(0, 40).Draw(t, "zeros"))...)
		if got, want := trimZeros(b), bytes.TrimRight(b, "\x00"); !bytes.Equal(got, want) {
			t.Fatalf("got %x, want %x", got, want)
		}
	})
}

// https://www.rfc-editor.org/rfc/rfc8446#section-5.4
// "If a receiving implementation does not
// find a non-zero octet in the cleartext, it MUST terminate the
// connection with an "unexpected_message" alert."
func TestOpenNoContentType(t *testing.T) {
	for _, n := range []int{0, 1, 7, 8, 9, 100, MaxInner} {
		p := newTest(t, AES256GCM)
		if _, _, err := p.Open(sealInner(p, make([]byte, n))); err != ErrNoContentType || p.Seq() != 0 {
			t.Errorf("%d zeros: error %v, seq %d", n, err, p.Seq())
		}
	}
}

// https://www.rfc-editor.org/rfc/rfc8446#section-5.4
// "the full encoded TLSInnerPlaintext MUST NOT exceed 2^14
// + 1 octets."
func TestOpenInnerOverflow(t *testing.T) {
	for _, test := range []struct {
		n    int
		want error
	}{
		{MaxInner, nil},
		{MaxInner + 1, ErrInnerOverflow},
		{MaxCiphertext - TagLen, ErrInnerOverflow},
		{math.MaxUint16 - TagLen, ErrInnerOverflow},
	} {
		for _, padded := range []bool{false, true} {
			p := newTest(t, AES128GCM)
			inner := make([]byte, test.n)
			inner[0] = byte(TypeApplicationData)
			if !padded {
				inner[test.n-1] = byte(TypeApplicationData)
			}
			if _, _, err := p.Open(sealInner(p, inner)); err != test.want {
				t.Errorf("%d bytes, padded %v: error %v, want %v", test.n, padded, err, test.want)
			}
		}
	}
}

// TestOpenInPlace checks where the content is, and that nothing around the record changes.
func TestOpenInPlace(t *testing.T) {
	forEach(t, func(t *testing.T, a AEAD) {
		w, r := newTest(t, a), newTest(t, a)
		buf := w.Seal([]byte("before"), TypeAlert, []byte{1, 0})
		end := len(buf)
		buf = append(buf, "behind"...)
		header := bytes.Clone(buf[6:11])
		_, content, err := r.Open(buf[6:end])
		if err != nil {
			t.Fatal(err)
		}
		if &content[0] != &buf[6+HeaderLen] {
			t.Error("the content is not where the record was")
		}
		if string(buf[:6]) != "before" || string(buf[end:]) != "behind" || !bytes.Equal(buf[6:11], header) {
			t.Errorf("bytes outside the body changed: %q", buf)
		}
	})
}

// TestSealInPlace checks that room is used, and that content and everything outside the record stay.
func TestSealInPlace(t *testing.T) {
	forEach(t, func(t *testing.T, a AEAD) {
		p := newTest(t, a)
		content := []byte("content")
		room := bytes.Repeat([]byte{0xee}, 6+len(content)+Overhead+6)
		copy(room, "before")
		got := p.Seal(room[:6], TypeApplicationData, content)
		if &got[0] != &room[0] || len(got) != 6+len(content)+Overhead {
			t.Error("the room was not used")
		}
		if string(room[:6]) != "before" || !bytes.Equal(room[len(got):], bytes.Repeat([]byte{0xee}, 6)) {
			t.Errorf("bytes outside the record changed: %x", room)
		}
		if string(content) != "content" {
			t.Errorf("the content changed: %q", content)
		}
	})
}

// https://www.rfc-editor.org/rfc/rfc8446#section-5.3
// "If a TLS implementation would need to wrap a sequence number, it MUST
// either rekey (Section 4.6.3) or terminate the connection."
func TestSequenceNeverWraps(t *testing.T) {
	w, r := newTest(t, ChaCha20Poly1305), newTest(t, ChaCha20Poly1305)
	w.goTo(math.MaxUint64 - 1)
	r.goTo(math.MaxUint64 - 1)
	if w.Remaining() != 1 {
		t.Fatalf("%d records remain, want 1", w.Remaining())
	}
	if _, _, err := r.Open(w.Seal(nil, TypeApplicationData, nil)); err != nil {
		t.Fatal(err)
	}
	if w.Remaining() != 0 {
		t.Errorf("%d records remain, want 0", w.Remaining())
	}
	mustPanic(t, "seal at the end of the sequence", func() { w.Seal(nil, TypeApplicationData, nil) })
	if _, _, err := r.Open(sealInner(r, []byte{23})); err != ErrSequence || r.Seq() != math.MaxUint64 {
		t.Errorf("error %v, seq %d", err, r.Seq())
	}
}

// https://www.rfc-editor.org/rfc/rfc9846#section-5.5
// "Implementations MUST
// either close the connection or
// do a key update"
func TestLimits(t *testing.T) {
	limits := map[AEAD]uint64{AES128GCM: 23726566, AES256GCM: 23726566, ChaCha20Poly1305: math.MaxUint64, 0: 0}
	for a, want := range limits {
		if a.Limit() != want {
			t.Errorf("%v: limit %d, want %d", a, a.Limit(), want)
		}
	}
	if math.Floor(math.Exp2(24.5)) != limitGCM {
		t.Errorf("2^24.5 is %f", math.Exp2(24.5))
	}
	forEach(t, func(t *testing.T, a AEAD) {
		p := newTest(t, a)
		if p.Remaining() != a.Limit() {
			t.Errorf("%d records remain at first, want %d", p.Remaining(), a.Limit())
		}
		p.SetLimit(3)
		for want := uint64(3); want > 0; want-- {
			if p.Remaining() != want {
				t.Errorf("%d records remain, want %d", p.Remaining(), want)
			}
			p.Seal(nil, TypeApplicationData, nil)
		}
		if p.Remaining() != 0 {
			t.Errorf("%d records remain, want 0", p.Remaining())
		}
		mustPanic(t, "seal at the limit", func() { p.Seal(nil, TypeApplicationData, nil) })
		p.SetLimit(2) // below what was sealed already
		if p.Remaining() != 0 {
			t.Errorf("%d records remain, want 0", p.Remaining())
		}
		p.SetLimit(math.MaxUint64)
		if p.Remaining() != a.Limit()-3 {
			t.Errorf("%d records remain, want the algorithm's %d", p.Remaining(), a.Limit()-3)
		}
	})
}

// https://www.rfc-editor.org/rfc/rfc9846#section-5.5
// "Receiving implementations SHOULD NOT enforce
// these limits, as future analyses may result in updated values."
func TestOpenIgnoresLimit(t *testing.T) {
	w, r := newTest(t, AES128GCM), newTest(t, AES128GCM)
	r.SetLimit(0)
	if _, _, err := r.Open(w.Seal(nil, TypeApplicationData, nil)); err != nil {
		t.Error(err)
	}
}

func TestWipe(t *testing.T) {
	p := newTest(t, AES128GCM)
	record := p.Seal(nil, TypeApplicationData, nil)
	p.Wipe()
	if p.nonce != [IVLen]byte{} || p.aead != nil {
		t.Error("something is left")
	}
	if p.Remaining() != 0 {
		t.Errorf("%d records remain, want 0", p.Remaining())
	}
	p.SetLimit(10)
	if p.Remaining() != 0 {
		t.Errorf("%d records remain after SetLimit, want 0", p.Remaining())
	}
	if _, _, err := p.Open(record); err != ErrSequence {
		t.Errorf("open: %v", err)
	}
	p.Wipe() // twice is fine
}

func TestAllocations(t *testing.T) {
	content := make([]byte, 1000)
	forEach(t, func(t *testing.T, a AEAD) {
		w, r := newTest(t, a), newTest(t, a)
		buf := make([]byte, 0, len(content)+Overhead)
		n := testing.AllocsPerRun(100, func() {
			if _, _, err := r.Open(w.Seal(buf, TypeApplicationData, content)); err != nil {
				t.Fatal(err)
			}
		})
		if n != 0 {
			t.Errorf("%v allocations per record, want 0", n)
		}
	})
}

// TestSize pins what a direction of an idle connection holds besides its cipher.
func TestSize(t *testing.T) {
	if size := unsafe.Sizeof(Protection{}); size > 48 {
		t.Errorf("a Protection takes %d bytes", size)
	}
}
