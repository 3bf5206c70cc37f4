//go:build !tlscore_nullcrypto

package record

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"

	"golang.org/x/crypto/chacha20poly1305"
)

// NullCrypto is true in a build whose records are not protected at all.
const NullCrypto = false

// newCipher builds the AEAD. The key has the length that a asks for. The standard library refuses what its FIPS 140
// mode does not allow; its error is returned as it is.
func newCipher(a AEAD, key []byte) (cipher.AEAD, error) {
	switch a {
	case AES128GCM, AES256GCM:
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, err
		}
		return cipher.NewGCM(block)
	case ChaCha20Poly1305:
		return chacha20poly1305.New(key)
	}
	return nil, errors.New("record: unknown AEAD")
}
