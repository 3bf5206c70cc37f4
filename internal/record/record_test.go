package record

import (
	"bytes"
	"testing"
)

func TestHeader(t *testing.T) {
	b := AppendHeader([]byte("before"), TypeHandshake, 0x0301, 0x1234)
	if want := []byte("before\x16\x03\x01\x12\x34"); !bytes.Equal(b, want) {
		t.Fatalf("got %x, want %x", b, want)
	}
	want := Header{Type: TypeHandshake, Version: 0x0301, Length: 0x1234}
	if got := ParseHeader(append(b[6:], "behind"...)); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	// The largest value of the field reads as it is, and is the caller's to judge.
	if got := ParseHeader([]byte{0, 0, 0, 0xff, 0xff}); got.Length != 65535 {
		t.Errorf("length %d, want 65535", got.Length)
	}
}

func TestAppendPlaintext(t *testing.T) {
	b := AppendPlaintext(nil, TypeAlert, VersionTLS12, []byte{2, 40})
	if want := []byte{21, 3, 3, 0, 2, 2, 40}; !bytes.Equal(b, want) {
		t.Errorf("got %x, want %x", b, want)
	}
	if n := len(AppendPlaintext(nil, TypeHandshake, VersionTLS12, make([]byte, MaxPlaintext))); n != HeaderLen+MaxPlaintext {
		t.Errorf("%d bytes, want %d", n, HeaderLen+MaxPlaintext)
	}
}

func TestStrings(t *testing.T) {
	for _, test := range []struct{ got, want string }{
		{TypeChangeCipherSpec.String(), "change_cipher_spec"},
		{TypeAlert.String(), "alert"},
		{TypeHandshake.String(), "handshake"},
		{TypeApplicationData.String(), "application_data"},
		{ContentType(24).String(), "ContentType(24)"},
		{AES128GCM.String(), "AES-128-GCM"},
		{AES256GCM.String(), "AES-256-GCM"},
		{ChaCha20Poly1305.String(), "ChaCha20-Poly1305"},
		{AEAD(0).String(), "AEAD(0)"},
	} {
		if test.got != test.want {
			t.Errorf("got %q, want %q", test.got, test.want)
		}
	}
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
	long := make([]byte, MaxPlaintext+1)
	p := newTest(t, AES128GCM)
	mustPanic(t, "negative length", func() { AppendHeader(nil, TypeAlert, VersionTLS12, -1) })
	mustPanic(t, "length over the limit", func() { AppendHeader(nil, TypeAlert, VersionTLS12, MaxCiphertext+1) })
	mustPanic(t, "long fragment", func() { AppendPlaintext(nil, TypeAlert, VersionTLS12, long) })
	mustPanic(t, "long content", func() { p.Seal(nil, TypeApplicationData, long) })
	if p.Seq() != 0 {
		t.Errorf("seq %d after refusals, want 0", p.Seq())
	}
}
