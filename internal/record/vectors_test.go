//go:build !tlscore_nullcrypto

package record

import (
	"bytes"
	"encoding/hex"
	"testing"
)

// TestKnownAnswers checks the cipher that newCipher builds. Records as a whole are checked by the traces of RFC 8448.
func TestKnownAnswers(t *testing.T) {
	gcmPlaintext := "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
	gcmAAD := "feedfacedeadbeeffeedfacedeadbeefabaddad2"
	for _, test := range []struct {
		from                               string
		a                                  AEAD
		key, nonce, aad, plaintext, sealed string
	}{
		{
			"McGrew and Viega, The Galois/Counter Mode of Operation, test case 4", AES128GCM,
			"feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888", gcmAAD, gcmPlaintext,
			"42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091" +
				"5bc94fbc3221a5db94fae95ae7121a47",
		},
		{
			"McGrew and Viega, The Galois/Counter Mode of Operation, test case 16", AES256GCM,
			"feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888", gcmAAD, gcmPlaintext,
			"522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662" +
				"76fc6ece0f4e1768cddf8853bb2d551b",
		},
		{
			"RFC 9001, Section A.5", ChaCha20Poly1305,
			"c6d98ff3441c3fe1b2182094f69caa2ed4b716b65488960a7a984979fb23e1c8", "e0459b3474bdd0e46d417eb0", "4200bff4", "01",
			"655e5cd55c41f69080575d7999c25a5bfb",
		},
	} {
		newTest(t, test.a) // skips where it is not allowed
		aead, err := newCipher(test.a, unhex(t, test.key))
		if err != nil {
			t.Fatal(err)
		}
		sealed := aead.Seal(nil, unhex(t, test.nonce), unhex(t, test.plaintext), unhex(t, test.aad))
		if !bytes.Equal(sealed, unhex(t, test.sealed)) {
			t.Errorf("%s:\n got %x\nwant %s", test.from, sealed, test.sealed)
		}
	}
}

// TestNonceKnownAnswer takes RFC 9001, Section A.5, since QUIC forms its nonces as TLS does.
func TestNonceKnownAnswer(t *testing.T) {
	newTest(t, ChaCha20Poly1305) // skips where it is not allowed
	p, err := New(ChaCha20Poly1305, make([]byte, 32), unhex(t, "e0459b3474bdd0e44a41c144"))
	if err != nil {
		t.Fatal(err)
	}
	p.goTo(654360564)
	if got := hex.EncodeToString(p.nonce[:]); got != "e0459b3474bdd0e46d417eb0" {
		t.Errorf("nonce %s", got)
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
