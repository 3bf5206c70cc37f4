package schedule

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// TestTranscript compares a running transcript with a hash over everything, at every message.
func TestTranscript(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := drawHash(t)
		transcript := NewTranscript(h)
		var all []byte
		for _, msg := range rapid.SliceOf(rapid.SliceOf(rapid.Byte())).Draw(t, "messages") {
			transcript.Write(msg)
			all = append(all, msg...)
			got := transcript.Sum([]byte("before"))
			if want := append([]byte("before"), hashOf(h, string(all))...); !bytes.Equal(got, want) {
				t.Fatalf("got %x, want %x", got, want)
			}
		}
	})
}

// https://www.rfc-editor.org/rfc/rfc8446#section-4.4.1
// "when the server responds to a
// ClientHello with a HelloRetryRequest, the value of ClientHello1 is
// replaced with a special synthetic handshake message of handshake type
// "message_hash" containing Hash(ClientHello1)."
func TestTranscriptHelloRetry(t *testing.T) {
	forEach(t, func(t *testing.T, h Hash) {
		transcript := NewTranscript(h)
		transcript.Write([]byte("Client"))
		transcript.Write([]byte("Hello1"))
		transcript.Sum(nil)
		transcript.HelloRetry()
		synthetic := append([]byte{254, 0, 0, byte(h.Size())}, hashOf(h, "ClientHello1")...)
		if got := transcript.Sum(nil); !bytes.Equal(got, hashOf(h, string(synthetic))) {
			t.Errorf("after the synthetic message: %x", got)
		}
		transcript.Write([]byte("HelloRetryRequest"))
		if got := transcript.Sum(nil); !bytes.Equal(got, hashOf(h, string(synthetic)+"HelloRetryRequest")) {
			t.Errorf("after the HelloRetryRequest: %x", got)
		}
	})
}

// A clone goes on from where it was made, and neither of the two sees what the other is given.
func TestTranscriptClone(t *testing.T) {
	forEach(t, func(t *testing.T, h Hash) {
		transcript := NewTranscript(h)
		transcript.Write([]byte("handshake "))
		one, two := transcript.Clone(), transcript.Clone()
		one.Write([]byte("one"))
		two.Write([]byte("two"))
		for want, got := range map[string]*Transcript{"handshake ": transcript, "handshake one": one, "handshake two": two} {
			if !bytes.Equal(got.Sum(nil), hashOf(h, want)) {
				t.Errorf("%q: %x", want, got.Sum(nil))
			}
		}
	})
}
