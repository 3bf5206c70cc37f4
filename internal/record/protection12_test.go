package record

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/fips140"
	"encoding/binary"
	"math"
	"testing"

	"golang.org/x/crypto/chacha20poly1305"
	"pgregory.net/rapid"
)

// newTest12 is newTest for TLS 1.2.
func newTest12(t testing.TB, a AEAD) *Protection {
	t.Helper()
	if fips140.Enforced() && !NullCrypto {
		t.Skip("strict FIPS 140 mode allows none of the ciphers")
	}
	key, iv := bytes.Repeat([]byte{0x5a}, a.KeyLen()), []byte("twelve bytes")[:a.IV12Len()]
	p, err := New12(a, key, iv)
	if err != nil {
		t.Fatal(err)
	}
	clear(key)
	clear(iv)
	return &p
}

// seal12Model builds a record of TLS 1.2 a second time, from the RFCs and the bare cipher, under the key of newTest12.
// The explicit nonce is the caller's choice. RFC 5246, Section 6.2.3.3; RFC 5288, Section 3; RFC 7905, Section 2.
func seal12Model(t testing.TB, a AEAD, seq, explicit uint64, typ byte, content []byte) []byte {
	t.Helper()
	key := bytes.Repeat([]byte{0x5a}, a.KeyLen())
	var aead cipher.AEAD
	var err error
	var nonce, fragment []byte
	if a == ChaCha20Poly1305 {
		aead, err = chacha20poly1305.New(key)
		nonce = binary.BigEndian.AppendUint64(make([]byte, 4), seq)
		for i := range nonce {
			nonce[i] ^= "twelve bytes"[i]
		}
	} else {
		block, _ := aes.NewCipher(key)
		aead, err = cipher.NewGCM(block)
		nonce = binary.BigEndian.AppendUint64([]byte("twel"), explicit)
		fragment = nonce[4:]
	}
	if err != nil {
		t.Fatal(err)
	}
	data := binary.BigEndian.AppendUint64(nil, seq)
	data = append(data, typ, 3, 3, byte(len(content)>>8), byte(len(content)))
	fragment = aead.Seal(bytes.Clone(fragment), nonce, content, data)
	return append([]byte{typ, 3, 3, byte(len(fragment) >> 8), byte(len(fragment))}, fragment...)
}

func TestNew12Refuses(t *testing.T) {
	for _, test := range []struct {
		why     string
		a       AEAD
		key, iv int
	}{
		{"short key", AES128GCM, 15, 4},
		{"key of the wrong algorithm", AES256GCM, 16, 4},
		{"iv of TLS 1.3", AES128GCM, 16, 12},
		{"short salt", AES256GCM, 32, 3},
		{"salt instead of an iv", ChaCha20Poly1305, 32, 4},
		{"unknown algorithm", AEAD(4), 0, 0},
	} {
		if p, err := New12(test.a, make([]byte, test.key), make([]byte, test.iv)); err == nil || p.Keyed() {
			t.Errorf("%s: accepted", test.why)
		}
	}
}

// TestRecords12 compares whole records, byte for byte, and opens what it compared.
func TestRecords12(t *testing.T) {
	needsCrypto(t)
	forEach(t, func(t *testing.T, a AEAD) {
		for _, seq := range []uint64{0, 1, 255, 256, 1<<32 + 5, 1 << 63} {
			for _, n := range []int{0, 1, 15, 16, 17, 1000, MaxPlaintext} {
				w, r := newTest12(t, a), newTest12(t, a)
				w.goTo(seq)
				r.goTo(seq)
				w.limit = math.MaxUint64
				content := bytes.Repeat([]byte{0xc0}, n)
				want := seal12Model(t, a, seq, seq, byte(TypeHandshake), content)
				record := w.Seal([]byte("before"), TypeHandshake, content)[6:]
				if !bytes.Equal(record, want) {
					t.Fatalf("seq %d, %d bytes:\n got %x\nwant %x", seq, n, record, want)
				}
				if typ, got, err := r.Open(record); err != nil || typ != TypeHandshake || !bytes.Equal(got, content) {
					t.Fatalf("seq %d, %d bytes: type %v, %d bytes, error %v", seq, n, typ, len(got), err)
				}
				if w.Seq() != seq+1 || r.Seq() != seq+1 {
					t.Fatalf("seq %d and %d behind %d", w.Seq(), r.Seq(), seq)
				}
			}
		}
	})
}

// https://www.rfc-editor.org/rfc/rfc5288#section-3
// "It is chosen
// by the sender and is carried in each TLS record"
func TestExplicitNonceIsTheSenders(t *testing.T) {
	needsCrypto(t)
	for _, a := range []AEAD{AES128GCM, AES256GCM} {
		r := newTest12(t, a)
		for seq, explicit := range []uint64{math.MaxUint64, 7, 0x0102030405060708} {
			record := seal12Model(t, a, uint64(seq), explicit, 23, []byte("content"))
			if _, got, err := r.Open(record); err != nil || string(got) != "content" {
				t.Errorf("%v, explicit nonce %#x: %q, %v", a, explicit, got, err)
			}
		}
	}
}

// https://www.rfc-editor.org/rfc/rfc5288#section-3
// "Each value of the nonce_explicit MUST be distinct for each distinct
// invocation of the GCM encrypt function for any fixed key."
func TestExplicitNoncesDiffer(t *testing.T) {
	p := newTest12(t, AES128GCM)
	seen := make(map[string]bool)
	for range 1000 {
		seen[string(p.Seal(nil, TypeAlert, []byte{1, 0})[HeaderLen:][:explicitLenGCM])] = true
	}
	if len(seen) != 1000 {
		t.Errorf("%d nonces for 1000 records", len(seen))
	}
}

func TestRoundTrip12(t *testing.T) {
	forEach(t, func(t *testing.T, a AEAD) {
		rapid.Check(t, func(rt *rapid.T) {
			w, r := newTest12(t, a), newTest12(t, a)
			size := rapid.OneOf(rapid.IntRange(0, 200), rapid.IntRange(MaxPlaintext-20, MaxPlaintext))
			sizes := rapid.SliceOfN(size, 1, 5).Draw(rt, "sizes")
			buf := make([]byte, 0, rapid.IntRange(0, 3*MaxPlaintext).Draw(rt, "capacity"))
			for i, n := range sizes {
				before := len(buf)
				buf = w.Seal(buf, ContentType(20+i), bytes.Repeat([]byte{byte(i)}, n))
				if len(buf) != before+n+w.Overhead() {
					rt.Fatalf("sealed to %d bytes, want %d", len(buf)-before, n+w.Overhead())
				}
			}
			for i, n := range sizes {
				h := ParseHeader(buf)
				if h != (Header{ContentType(20 + i), VersionTLS12, n + w.Overhead() - HeaderLen}) || h.Length > MaxCiphertext12 {
					rt.Fatalf("header %+v", h)
				}
				typ, content, err := r.Open(buf[:HeaderLen+h.Length])
				if err != nil || typ != h.Type || !bytes.Equal(content, bytes.Repeat([]byte{byte(i)}, n)) {
					rt.Fatalf("record %d: type %v, %d bytes, error %v", i, typ, len(content), err)
				}
				buf = buf[HeaderLen+h.Length:]
			}
			if len(buf) != 0 || r.Seq() != w.Seq() || r.Seq() != uint64(len(sizes)) {
				rt.Fatalf("%d bytes left, seq %d and %d", len(buf), r.Seq(), w.Seq())
			}
		})
	})
}

// https://www.rfc-editor.org/rfc/rfc5246#section-6.2.3.3
// "If the decryption fails, a fatal bad_record_mac alert MUST be
// generated."
func TestOpen12BitFlips(t *testing.T) {
	needsCrypto(t)
	forEach(t, func(t *testing.T, a AEAD) {
		w, r := newTest12(t, a), newTest12(t, a)
		record := w.Seal(nil, TypeHandshake, []byte("finished"))
		size := len(record)
		record = append(record, make([]byte, math.MaxUint16)...)
		for bit := range 8 * size {
			flipped := bytes.Clone(record)
			flipped[bit/8] ^= 1 << (bit % 8)
			// A flipped length moves the end of the record.
			flipped = flipped[:HeaderLen+ParseHeader(flipped).Length]
			if _, content, err := r.Open(flipped); err != ErrBadMAC || content != nil {
				t.Fatalf("bit %d flipped: error %v, content %q", bit, err, content)
			}
		}
		if r.Seq() != 0 {
			t.Errorf("seq %d after failures, want 0", r.Seq())
		}
		if _, _, err := r.Open(record[:size]); err != nil {
			t.Errorf("the untouched record: %v", err)
		}
	})
}

func TestOpen12Truncated(t *testing.T) {
	forEach(t, func(t *testing.T, a AEAD) {
		w, r := newTest12(t, a), newTest12(t, a)
		record := w.Seal(nil, TypeHandshake, []byte("finished"))
		for n := range len(record) {
			if NullCrypto && n >= r.Overhead() {
				break // it is a record of its own
			}
			if _, _, err := r.Open(bytes.Clone(record[:n])); err != ErrBadMAC {
				t.Errorf("%d bytes: error %v", n, err)
			}
		}
	})
}

func TestOpen12OutOfOrder(t *testing.T) {
	needsCrypto(t)
	forEach(t, func(t *testing.T, a AEAD) {
		w, r := newTest12(t, a), newTest12(t, a)
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
	})
}

// TestVersionsDoNotMix opens the records of one version as those of the other, under the same key.
func TestVersionsDoNotMix(t *testing.T) {
	needsCrypto(t)
	key, iv := make([]byte, 32), make([]byte, IVLen)
	newTest(t, ChaCha20Poly1305) // skips where it is not allowed
	old, err := New12(ChaCha20Poly1305, key, iv)
	if err != nil {
		t.Fatal(err)
	}
	current, err := New(ChaCha20Poly1305, key, iv)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := current.Open(old.Seal(nil, TypeApplicationData, []byte("old"))); err != ErrBadMAC {
		t.Errorf("TLS 1.2 as TLS 1.3: %v", err)
	}
	if _, _, err := old.Open(current.Seal(nil, TypeApplicationData, []byte("current"))); err != ErrBadMAC {
		t.Errorf("TLS 1.3 as TLS 1.2: %v", err)
	}
}

// TestOpen12Zeros checks that zeros are content in TLS 1.2, and that a record may be empty.
func TestOpen12Zeros(t *testing.T) {
	forEach(t, func(t *testing.T, a AEAD) {
		w, r := newTest12(t, a), newTest12(t, a)
		for _, n := range []int{0, 1, 8, 9, MaxPlaintext} {
			typ, content, err := r.Open(w.Seal(nil, TypeApplicationData, make([]byte, n)))
			if err != nil || typ != TypeApplicationData || len(content) != n {
				t.Errorf("%d zeros: %v, %d bytes, %v", n, typ, len(content), err)
			}
		}
	})
}

// overflowing returns a record of TLS 1.2 with n bytes of content, which Seal would refuse.
func overflowing(t *testing.T, a AEAD, n int) []byte {
	t.Helper()
	if !NullCrypto {
		return seal12Model(t, a, 0, 0, 23, make([]byte, n))
	}
	return make([]byte, n+newTest12(t, a).Overhead())
}

// https://www.rfc-editor.org/rfc/rfc5246#section-6.2.1
// "The
// length MUST NOT exceed 2^14."
func TestOpen12Overflow(t *testing.T) {
	forEach(t, func(t *testing.T, a AEAD) {
		for _, test := range []struct {
			n    int
			want error
		}{
			{MaxPlaintext, nil},
			{MaxPlaintext + 1, ErrInnerOverflow},
			{MaxCiphertext12 + HeaderLen - newTest12(t, a).Overhead(), ErrInnerOverflow},
		} {
			r := newTest12(t, a)
			if _, _, err := r.Open(overflowing(t, a, test.n)); err != test.want {
				t.Errorf("%d bytes: error %v, want %v", test.n, err, test.want)
			}
		}
	})
}

// TestSetMaxInner holds records against the limit of RFC 8449, Section 4: with content type and padding in TLS 1.3,
// content alone in TLS 1.2.
func TestSetMaxInner(t *testing.T) {
	forEach(t, func(t *testing.T, a AEAD) {
		for _, test := range []struct {
			set, content, pad int // pad is -1 in TLS 1.2
			want              error
		}{
			{64, 63, 0, nil},
			{64, 64, 0, ErrInnerOverflow},
			{64, 0, 63, nil},
			{64, 0, 64, ErrInnerOverflow},
			{64, 40, 23, nil},
			{64, 40, 24, ErrInnerOverflow},
			{MaxInner, MaxPlaintext, 0, nil},
			{math.MaxInt, MaxPlaintext, 0, nil},
			{MaxPlaintext, MaxPlaintext, 0, ErrInnerOverflow},
			{0, 0, 0, ErrInnerOverflow},
			{math.MinInt, 0, 0, ErrInnerOverflow},
			{64, 64, -1, nil},
			{64, 65, -1, ErrInnerOverflow},
			{math.MaxInt, MaxPlaintext, -1, nil},
			{MaxPlaintext - 1, MaxPlaintext, -1, ErrInnerOverflow},
			{-1, 0, -1, nil},
			{-1, 1, -1, ErrInnerOverflow},
		} {
			w, r := newTest(t, a), newTest(t, a)
			if test.pad < 0 {
				w, r = newTest12(t, a), newTest12(t, a)
			}
			r.SetMaxInner(test.set)
			record := w.SealPadded(nil, TypeApplicationData, make([]byte, test.content), max(0, test.pad))
			if _, content, err := r.Open(record); err != test.want || len(content) != test.content && err == nil {
				t.Errorf("%+v: %d bytes, error %v", test, len(content), err)
			}
		}
		// No value lets in more than the version does.
		r := newTest12(t, a)
		r.SetMaxInner(math.MaxUint16 + 10)
		if _, _, err := r.Open(overflowing(t, a, MaxPlaintext+1)); err != ErrInnerOverflow {
			t.Errorf("over the version's limit: %v", err)
		}
	})
}

func TestOverhead(t *testing.T) {
	for a, want := range map[AEAD]int{AES128GCM: 29, AES256GCM: 29, ChaCha20Poly1305: 21} {
		p, current := newTest12(t, a), newTest(t, a)
		if p.Overhead() != want || want > MaxOverhead || Overhead > MaxOverhead {
			t.Errorf("%v adds %d bytes in TLS 1.2, want %d", a, p.Overhead(), want)
		}
		if current.Overhead() != Overhead || Overhead != 22 {
			t.Errorf("%v adds %d bytes in TLS 1.3, want 22", a, current.Overhead())
		}
		p.Wipe()
		if p.Overhead() != want {
			t.Errorf("%v adds %d bytes when wiped, want %d", a, p.Overhead(), want)
		}
	}
	if MaxOverhead != 29 {
		t.Errorf("MaxOverhead is %d", MaxOverhead)
	}
	for a, want := range map[AEAD]int{AES128GCM: 4, AES256GCM: 4, ChaCha20Poly1305: 12, 0: 0, 4: 0} {
		if a.IV12Len() != want {
			t.Errorf("%v: iv of %d bytes, want %d", a, a.IV12Len(), want)
		}
	}
}

// TestInPlace12 checks where the bytes go, and that nothing around them changes.
func TestInPlace12(t *testing.T) {
	forEach(t, func(t *testing.T, a AEAD) {
		w, r := newTest12(t, a), newTest12(t, a)
		content := []byte("content")
		room := bytes.Repeat([]byte{0xee}, 6+len(content)+w.Overhead()+6)
		copy(room, "before")
		got := w.Seal(room[:6], TypeApplicationData, content)
		if &got[0] != &room[0] || len(got) != 6+len(content)+w.Overhead() || string(content) != "content" {
			t.Error("the room was not used, or the content changed")
		}
		start := 6 + w.Overhead() - TagLen
		_, opened, err := r.Open(got[6:])
		if err != nil || string(opened) != "content" {
			t.Fatal(string(opened), err)
		}
		if &opened[0] != &room[start] {
			t.Error("the content is not where the record was")
		}
		if string(room[:6]) != "before" || !bytes.Equal(room[len(got):], bytes.Repeat([]byte{0xee}, 6)) {
			t.Errorf("bytes outside the record changed: %x", room)
		}
		if !bytes.Equal(room[6:11], []byte{23, 3, 3, 0, byte(len(content) + w.Overhead() - HeaderLen)}) {
			t.Errorf("header %x", room[6:11])
		}
	})
}

// https://www.rfc-editor.org/rfc/rfc5246#section-6.1
// "Sequence numbers do not wrap."
func TestSequenceNeverWraps12(t *testing.T) {
	w, r := newTest12(t, ChaCha20Poly1305), newTest12(t, ChaCha20Poly1305)
	w.goTo(math.MaxUint64 - 1)
	r.goTo(math.MaxUint64 - 1)
	if _, _, err := r.Open(w.Seal(nil, TypeApplicationData, nil)); err != nil {
		t.Fatal(err)
	}
	if w.Remaining() != 0 {
		t.Errorf("%d records remain, want 0", w.Remaining())
	}
	mustPanic(t, "seal at the end of the sequence", func() { w.Seal(nil, TypeApplicationData, nil) })
	if _, _, err := r.Open(make([]byte, 100)); err != ErrSequence || r.Seq() != math.MaxUint64 {
		t.Errorf("error %v, seq %d", err, r.Seq())
	}
}

func TestLimits12(t *testing.T) {
	forEach(t, func(t *testing.T, a AEAD) {
		p := newTest12(t, a)
		if p.Remaining() != a.Limit() {
			t.Errorf("%d records remain at first, want %d", p.Remaining(), a.Limit())
		}
		p.SetLimit(1)
		p.Seal(nil, TypeAlert, []byte{1, 0})
		mustPanic(t, "seal at the limit", func() { p.Seal(nil, TypeAlert, []byte{1, 0}) })
		if p.Remaining() != 0 {
			t.Errorf("%d records remain, want 0", p.Remaining())
		}
	})
}

func TestWipe12(t *testing.T) {
	p := newTest12(t, AES128GCM)
	record := p.Seal(nil, TypeApplicationData, nil)
	p.Wipe()
	if *p != (Protection{seq: math.MaxUint64, form: form12Explicit}) {
		t.Error("something is left")
	}
	if _, _, err := p.Open(record); err != ErrSequence || p.Remaining() != 0 {
		t.Errorf("open: %v; %d records remain", err, p.Remaining())
	}
}

func TestSealPadded(t *testing.T) {
	forEach(t, func(t *testing.T, a AEAD) {
		rapid.Check(t, func(rt *rapid.T) {
			w, r := newTest(t, a), newTest(t, a)
			size := rapid.OneOf(rapid.IntRange(0, 40), rapid.IntRange(0, MaxPlaintext))
			content := bytes.Repeat([]byte{0xc0}, size.Draw(rt, "content"))
			pad := min(size.Draw(rt, "pad"), MaxPlaintext-len(content))
			room := bytes.Repeat([]byte{0xee}, len(content)+pad+Overhead+3)
			record := w.SealPadded(room[:0], TypeHandshake, content, pad)
			if want := len(content) + pad + Overhead; len(record) != want || ParseHeader(record).Length != want-HeaderLen {
				rt.Fatalf("%d bytes, header %+v, want %d", len(record), ParseHeader(record), want)
			}
			if &record[0] != &room[0] || !bytes.Equal(room[len(record):], []byte{0xee, 0xee, 0xee}) {
				rt.Fatal("not in its room")
			}
			inner, err := r.aead.Open(nil, r.nonce[:], record[HeaderLen:], record[:HeaderLen])
			want := append(append(bytes.Clone(content), byte(TypeHandshake)), make([]byte, pad)...)
			if err != nil || !bytes.Equal(inner, want) {
				rt.Fatalf("inner plaintext of %d bytes, error %v", len(inner), err)
			}
			if typ, got, err := r.Open(record); err != nil || typ != TypeHandshake || !bytes.Equal(got, content) {
				rt.Fatalf("type %v, %d bytes, error %v", typ, len(got), err)
			}
		})
	})
}

func TestSealPaddedPanics(t *testing.T) {
	p, old := newTest(t, AES128GCM), newTest12(t, AES128GCM)
	mustPanic(t, "negative padding", func() { p.SealPadded(nil, TypeAlert, nil, -1) })
	mustPanic(t, "long padding", func() { p.SealPadded(nil, TypeAlert, []byte{1}, MaxPlaintext) })
	mustPanic(t, "very long padding", func() { p.SealPadded(nil, TypeAlert, []byte{1}, math.MaxInt) })
	mustPanic(t, "padding in TLS 1.2", func() { old.SealPadded(nil, TypeAlert, nil, 1) })
	mustPanic(t, "long content in TLS 1.2", func() { old.Seal(nil, TypeAlert, make([]byte, MaxPlaintext+1)) })
	if p.Seq() != 0 || old.Seq() != 0 {
		t.Errorf("seq %d and %d after refusals, want 0", p.Seq(), old.Seq())
	}
}

func TestAllocations12(t *testing.T) {
	content := make([]byte, 1000)
	forEach(t, func(t *testing.T, a AEAD) {
		buf := make([]byte, 0, len(content)+MaxOverhead+50)
		w, r := newTest12(t, a), newTest12(t, a)
		padded, opener := newTest(t, a), newTest(t, a)
		n := testing.AllocsPerRun(100, func() {
			if _, _, err := r.Open(w.Seal(buf, TypeApplicationData, content)); err != nil {
				t.Fatal(err)
			}
			if _, _, err := opener.Open(padded.SealPadded(buf, TypeApplicationData, content, 50)); err != nil {
				t.Fatal(err)
			}
		})
		if n != 0 {
			t.Errorf("%v allocations per record, want 0", n)
		}
	})
}

// In place comes out what SealPadded makes of a copy, in both versions.
func TestSealWhereItIs(t *testing.T) {
	for _, a := range []AEAD{AES128GCM, AES256GCM, ChaCha20Poly1305} {
		for _, tls12 := range []bool{false, true} {
			for _, pad := range []int{0, 1, 100} {
				if tls12 && pad > 0 {
					continue
				}
				create := func() *Protection {
					key := make([]byte, a.KeyLen())
					p, err := New(a, key, make([]byte, IVLen))
					if tls12 {
						p, err = New12(a, key, make([]byte, a.IV12Len()))
					}
					if err != nil {
						t.Fatal(err)
					}
					return &p
				}
				copying, inPlace := create(), create()
				for n := range 3 {
					content := bytes.Repeat([]byte{byte(n + 1)}, n*500)
					want := copying.SealPadded(nil, TypeApplicationData, content, pad)
					buf := make([]byte, inPlace.Headroom()+len(content), len(want)+1)
					copy(buf[inPlace.Headroom():], content)
					got := inPlace.SealInPlace(buf, TypeApplicationData, len(content), pad)
					if !bytes.Equal(got, want) || &got[0] != &buf[0] {
						t.Errorf("%s, TLS 1.2 %v, %d bytes, %d of padding: % x, expected % x", a, tls12, len(content), pad, got, want)
					}
				}
				if copying.Seq() != inPlace.Seq() {
					t.Error("the sequence numbers differ")
				}
			}
		}
	}
	p, err := New12(AES128GCM, make([]byte, 16), make([]byte, 4))
	if err != nil {
		t.Fatal(err)
	}
	for why, broken := range map[string]func(){
		"padding in TLS 1.2": func() { p.SealInPlace(make([]byte, 100), TypeApplicationData, 1, 1) },
		"too long":           func() { p.SealInPlace(make([]byte, 20000), TypeApplicationData, MaxPlaintext+1, 0) },
		"a key that is used up": func() {
			p.SetLimit(0)
			p.SealInPlace(make([]byte, 100), TypeApplicationData, 1, 0)
		},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s does not panic", why)
				}
			}()
			broken()
		}()
	}
}
