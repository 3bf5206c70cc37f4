package schedule

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"encoding/hex"
	"testing"

	"pgregory.net/rapid"
)

var hashes = []Hash{SHA256, SHA384}

func drawHash(t *rapid.T) Hash { return rapid.SampledFrom(hashes).Draw(t, "hash") }

func drawBytes(t *rapid.T, name string, minLen, maxLen int) []byte {
	return rapid.SliceOfN(rapid.Byte(), minLen, maxLen).Draw(t, name)
}

// TestMAC compares both ways to compute an HMAC with crypto/hmac.
func TestMAC(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := drawHash(t)
		key := drawBytes(t, "key", 14, 2*h.blockSize())
		parts := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 300), 0, 4).Draw(t, "parts")
		want := hmac.New(h.New, key)
		for _, part := range parts {
			want.Write(part)
		}
		for _, way := range []struct {
			name string
			mac  func(Hash, *[MaxSize]byte, []byte, ...[]byte)
		}{{"mac", mac}, {"macStack", macStack}, {"macStandard", macStandard}} {
			var got [MaxSize]byte
			way.mac(h, &got, key, parts...)
			if !bytes.Equal(got[:h.Size()], want.Sum(nil)) {
				t.Fatalf("%s: got %x, want %x", way.name, got[:h.Size()], want.Sum(nil))
			}
		}
	})
}

func TestExtract(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := drawHash(t)
		salt, ikm := drawBytes(t, "salt", h.Size(), h.Size()), drawBytes(t, "ikm", 14, 2000)
		want, err := hkdf.Extract(h.New, ikm, salt)
		if err != nil {
			t.Fatal(err)
		}
		got := extract(h, salt, ikm)
		if !bytes.Equal(got.Bytes(), want) || got.Hash() != h {
			t.Fatalf("got %x, want %x", got.Bytes(), want)
		}
	})
}

func TestExpand(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := drawHash(t)
		prk := drawBytes(t, "prk", h.Size(), h.Size())
		info := drawBytes(t, "info", 0, 600)
		n := rapid.OneOf(rapid.IntRange(0, 100), rapid.Just(255*h.Size())).Draw(t, "n")
		want, err := hkdf.Expand(h.New, prk, string(info), n)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, n)
		expand(h, prk, info, got)
		if !bytes.Equal(got, want) {
			t.Fatalf("got %x, want %x", got, want)
		}
	})
}

// model is HKDF-Expand-Label over crypto/hkdf.
func model(t testing.TB, h Hash, secret []byte, label string, context []byte, n int) []byte {
	t.Helper()
	info := []byte{byte(n >> 8), byte(n), byte(6 + len(label))}
	info = append(info, "tls13 "+label...)
	info = append(info, byte(len(context)))
	info = append(info, context...)
	out, err := hkdf.Expand(h.New, secret, string(info), n)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestExpandLabel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := drawHash(rt)
		secret := drawBytes(rt, "secret", h.Size(), h.Size())
		label := string(drawBytes(rt, "label", 1, 249))
		context := drawBytes(rt, "context", 0, 255)
		got := make([]byte, rapid.IntRange(0, 300).Draw(rt, "n"))
		ExpandLabel(h, secret, label, context, got)
		if want := model(t, h, secret, label, context, len(got)); !bytes.Equal(got, want) {
			rt.Fatalf("got %x, want %x", got, want)
		}
	})
}

// TestExpandLabelKnownAnswers takes the values of RFC 9001, Section A.5.
func TestExpandLabelKnownAnswers(t *testing.T) {
	secret := unhex(t, "9ac312a7f877468ebe69422748ad00a15443f18203a07d6060f688f30f21632b")
	for label, want := range map[string]string{
		"quic key": "c6d98ff3441c3fe1b2182094f69caa2ed4b716b65488960a7a984979fb23e1c8",
		"quic iv":  "e0459b3474bdd0e44a41c144",
		"quic hp":  "25a282b9e82f06f21f488917a4fc8f1b73573685608597d0efcb076b0ab7a7a4",
		"quic ku":  "1223504755036d556342ee9361d253421a826c9ecdf3c7148684b36b714881f9",
	} {
		got := make([]byte, len(want)/2)
		ExpandLabel(SHA256, secret, label, nil, got)
		if hex.EncodeToString(got) != want {
			t.Errorf("%s: got %x, want %s", label, got, want)
		}
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// mustPanic runs f, which breaks an invariant that is the caller's to keep.
func mustPanic(t *testing.T, why string, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s: no panic", why)
		}
	}()
	f()
}

func TestBrokenInvariantsPanic(t *testing.T) {
	secret, out := make([]byte, 32), make([]byte, 32)
	early := NewEarlySecret(SHA256, nil)
	traffic := early.ClientEarlyTraffic(secret)
	mustPanic(t, "empty label", func() { ExpandLabel(SHA256, secret, "", nil, out) })
	mustPanic(t, "long label", func() { ExpandLabel(SHA256, secret, string(make([]byte, 250)), nil, out) })
	mustPanic(t, "long context", func() { ExpandLabel(SHA256, secret, "key", make([]byte, 256), out) })
	mustPanic(t, "long output", func() { ExpandLabel(SHA256, secret, "key", nil, make([]byte, 255*32+1)) })
	mustPanic(t, "no transcript hash", func() { early.ClientEarlyTraffic(nil) })
	mustPanic(t, "transcript of another hash", func() { traffic.Finished(nil, make([]byte, 48)) })
	mustPanic(t, "unknown hash", func() { Hash(0).New() })
	mustPanic(t, "unknown hash", func() { Hash(3).sum(new([MaxSize]byte), nil) })
}
