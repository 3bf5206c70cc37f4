//go:build tlscore_nullcrypto

package record

import (
	"crypto/cipher"
	"errors"
)

// NullCrypto is true in a build whose records are not protected at all.
const NullCrypto = true

// newCipher returns the null cipher, whatever the algorithm and the key.
func newCipher(a AEAD, _ []byte) (cipher.AEAD, error) {
	if a.KeyLen() == 0 {
		return nil, errors.New("record: unknown AEAD")
	}
	return nullCipher{}, nil
}

// nullCipher leaves the plaintext as it is and appends a tag of zeros. On the way back the tag has to be there, but may
// be anything, so that a record which a fuzzer changed anywhere still reaches the code behind the AEAD.
type nullCipher struct{}

func (nullCipher) NonceSize() int { return IVLen }
func (nullCipher) Overhead() int  { return TagLen }

func (nullCipher) Seal(dst, _, plaintext, _ []byte) []byte {
	dst = append(dst, plaintext...)
	return append(dst, make([]byte, TagLen)...)
}

func (nullCipher) Open(dst, _, ciphertext, _ []byte) ([]byte, error) {
	if len(ciphertext) < TagLen {
		return nil, errors.New("record: no room for a tag")
	}
	return append(dst, ciphertext[:len(ciphertext)-TagLen]...), nil
}
