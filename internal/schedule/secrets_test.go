package schedule

import (
	"bytes"
	"crypto/fips140"
	"crypto/hkdf"
	"crypto/hmac"
	"testing"
)

func forEach(t *testing.T, f func(t *testing.T, h Hash)) {
	for _, h := range hashes {
		t.Run(h.String(), func(t *testing.T) { f(t, h) })
	}
}

func hashOf(h Hash, s string) []byte {
	w := h.New()
	w.Write([]byte(s))
	return w.Sum(nil)
}

// TestSchedule computes the whole diagram of RFC 8446, Section 7.1, a second time over crypto/hkdf. With SHA-256 the
// traces of RFC 8448 check it as well; there are none with SHA-384.
func TestSchedule(t *testing.T) {
	forEach(t, func(t *testing.T, h Hash) {
		zeros := make([]byte, h.Size())
		psk, shared := []byte("a PSK of no particular length"), bytes.Repeat([]byte{7}, 64)
		hello, server, finished, end := hashOf(h, "ch"), hashOf(h, "ch..sh"), hashOf(h, "ch..sf"), hashOf(h, "ch..cf")
		extracted := func(salt, ikm []byte) []byte {
			out, err := hkdf.Extract(h.New, ikm, salt)
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
		derived := func(secret []byte, label string, context []byte) []byte {
			return model(t, h, secret, label, context, h.Size())
		}
		check := func(name string, got *Secret, want []byte) {
			t.Helper()
			if !bytes.Equal(got.Bytes(), want) || got.Hash() != h {
				t.Errorf("%s: got %x, want %x", name, got.Bytes(), want)
			}
		}

		early := NewEarlySecret(h, psk)
		wantEarly := extracted(zeros, psk)
		check("early", &early.Secret, wantEarly)
		external, resumption := early.BinderKey(true), early.BinderKey(false)
		check("ext binder", &external.Secret, derived(wantEarly, "ext binder", hashOf(h, "")))
		check("res binder", &resumption.Secret, derived(wantEarly, "res binder", hashOf(h, "")))
		earlyTraffic, earlyExporter := early.ClientEarlyTraffic(hello), early.EarlyExporter(hello)
		check("c e traffic", &earlyTraffic.Secret, derived(wantEarly, "c e traffic", hello))
		check("e exp master", &earlyExporter.Secret, derived(wantEarly, "e exp master", hello))

		handshake := early.Handshake(shared)
		wantHandshake := extracted(derived(wantEarly, "derived", hashOf(h, "")), shared)
		check("handshake", &handshake.Secret, wantHandshake)
		client, serverTraffic := handshake.ClientTraffic(server), handshake.ServerTraffic(server)
		check("c hs traffic", &client.Secret, derived(wantHandshake, "c hs traffic", server))
		check("s hs traffic", &serverTraffic.Secret, derived(wantHandshake, "s hs traffic", server))

		main := handshake.Main()
		wantMain := extracted(derived(wantHandshake, "derived", hashOf(h, "")), zeros)
		check("main", &main.Secret, wantMain)
		client, serverTraffic = main.ClientTraffic(finished), main.ServerTraffic(finished)
		check("c ap traffic", &client.Secret, derived(wantMain, "c ap traffic", finished))
		check("s ap traffic", &serverTraffic.Secret, derived(wantMain, "s ap traffic", finished))
		exporter, resume := main.Exporter(finished), main.Resumption(end)
		check("exp master", &exporter.Secret, derived(wantMain, "exp master", finished))
		check("res master", &resume.Secret, derived(wantMain, "res master", end))
		ticket := resume.PSK([]byte("nonce"))
		check("PSK", &ticket, derived(resume.Bytes(), "resumption", []byte("nonce")))

		next := client.Next()
		check("traffic upd", &next.Secret, derived(client.Bytes(), "traffic upd", nil))
		key, iv := make([]byte, 32), make([]byte, 12)
		client.Key(key)
		client.IV(iv)
		if !bytes.Equal(key, model(t, h, client.Bytes(), "key", nil, 32)) {
			t.Errorf("key: %x", key)
		}
		if !bytes.Equal(iv, model(t, h, client.Bytes(), "iv", nil, 12)) {
			t.Errorf("iv: %x", iv)
		}
		client.Key(key[:16])
		if !bytes.Equal(key[:16], model(t, h, client.Bytes(), "key", nil, 16)) {
			t.Errorf("short key: %x", key)
		}

		verify := hmac.New(h.New, derived(client.Bytes(), "finished", nil))
		verify.Write(end)
		if got := client.Finished([]byte("before"), end); !bytes.Equal(got, verify.Sum([]byte("before"))) {
			t.Errorf("verify_data: %x", got)
		}
		binder := hmac.New(h.New, derived(external.Bytes(), "finished", nil))
		binder.Write(hello)
		if got := external.Binder(nil, hello); !bytes.Equal(got, binder.Sum(nil)) {
			t.Errorf("binder: %x", got)
		}
	})
}

// https://www.rfc-editor.org/rfc/rfc8446#section-7.1
// "If a given secret is not available, then the 0-value consisting of a
// string of Hash.length bytes set to zeros is used."
func TestAbsentSecrets(t *testing.T) {
	forEach(t, func(t *testing.T, h Hash) {
		zeros := make([]byte, h.Size())
		absent, present := NewEarlySecret(h, nil), NewEarlySecret(h, zeros)
		if absent != present {
			t.Error("no PSK is not the same as zeros")
		}
		if absent.Handshake(nil) != present.Handshake(zeros) {
			t.Error("no shared secret is not the same as zeros")
		}
		shared := []byte("a shared secret")
		if NewHandshakeSecret(h, shared) != present.Handshake(shared) {
			t.Error("the way without a PSK leads elsewhere")
		}
	})
}

func TestWipe(t *testing.T) {
	forEach(t, func(t *testing.T, h Hash) {
		early := NewEarlySecret(h, nil)
		handshake := early.Handshake(nil)
		main := handshake.Main()
		traffic := main.ClientTraffic(hashOf(h, ""))
		kept := traffic
		for _, s := range []*Secret{&early.Secret, &handshake.Secret, &main.Secret, &traffic.Secret} {
			if s.b == [MaxSize]byte{} {
				t.Error("zero before Wipe")
			}
			s.Wipe()
			if s.b != [MaxSize]byte{} {
				t.Error("not zero after Wipe")
			}
		}
		if kept.b == [MaxSize]byte{} {
			t.Error("a copy was wiped along")
		}
	})
}

func TestHash(t *testing.T) {
	for _, test := range []struct {
		h    Hash
		size int
		name string
	}{{SHA256, 32, "SHA-256"}, {SHA384, 48, "SHA-384"}, {0, 0, "Hash(0)"}, {3, 0, "Hash(3)"}} {
		if test.h.Size() != test.size || test.h.String() != test.name {
			t.Errorf("%v has size %d, want %s and %d", test.h, test.h.Size(), test.name, test.size)
		}
	}
	for _, h := range hashes {
		if h.New().Size() != h.Size() || h.New().BlockSize() != h.blockSize() {
			t.Errorf("%v: sizes differ from the standard library's", h)
		}
	}
}

func TestAllocations(t *testing.T) {
	if fips140.Enabled() {
		t.Skip("the standard library's HMAC allocates")
	}
	forEach(t, func(t *testing.T, h Hash) {
		handshake := NewHandshakeSecret(h, make([]byte, 64))
		transcript := NewTranscript(h)
		sum := make([]byte, 0, MaxSize)
		key := make([]byte, 32)
		pin := func(want float64, what string, f func()) {
			t.Helper()
			if got := testing.AllocsPerRun(100, f); got != want {
				t.Errorf("%s: %v allocations, want %v", what, got, want)
			}
		}
		pin(0, "traffic secret, keys, Finished, next", func() {
			traffic := handshake.ClientTraffic(transcript.Sum(sum))
			traffic.Key(key)
			traffic.IV(key[:12])
			traffic.Finished(sum, transcript.Sum(sum))
			traffic = traffic.Next()
			traffic.Wipe()
		})
		var main MainSecret
		pin(0, "main secret", func() { main = handshake.Main() })
		main.Wipe()
		pin(0, "transcript on the caller's stack", func() {
			var room [MaxSize]byte
			transcript.Write(key)
			if len(transcript.Sum(room[:0])) != h.Size() {
				t.Fail()
			}
		})
	})
}

func BenchmarkTrafficKeys(b *testing.B) {
	handshake := NewHandshakeSecret(SHA256, make([]byte, 32))
	transcript, key, iv := make([]byte, 32), make([]byte, 16), make([]byte, 12)
	b.ReportAllocs()
	for b.Loop() {
		traffic := handshake.ClientTraffic(transcript)
		traffic.Key(key)
		traffic.IV(iv)
	}
}

// BenchmarkTrafficKeysStandard is what the same costs with crypto/hkdf.
func BenchmarkTrafficKeysStandard(b *testing.B) {
	secret, transcript := make([]byte, 32), make([]byte, 32)
	b.ReportAllocs()
	for b.Loop() {
		traffic := model(b, SHA256, secret, "c hs traffic", transcript, 32)
		model(b, SHA256, traffic, "key", nil, 16)
		model(b, SHA256, traffic, "iv", nil, 12)
	}
}
