package schedule

import (
	"crypto/sha256"
	"crypto/sha512"
	"hash"
	"strconv"
)

// MaxSize is the length of the longest hash in bytes.
const MaxSize = sha512.Size384

const maxBlockSize = sha512.BlockSize

// Hash is the hash algorithm of a cipher suite. The zero value is none. RFC 8446, Section 7.1.
type Hash uint8

const (
	SHA256 Hash = iota + 1
	SHA384
)

func (h Hash) String() string {
	switch h {
	case SHA256:
		return "SHA-256"
	case SHA384:
		return "SHA-384"
	}
	return "Hash(" + strconv.Itoa(int(h)) + ")"
}

// Size is the length of the hash in bytes, the RFC's Hash.length; 0 for an unknown algorithm. RFC 8446, Section 7.1.
func (h Hash) Size() int {
	switch h {
	case SHA256:
		return sha256.Size
	case SHA384:
		return sha512.Size384
	}
	return 0
}

// New returns the hash in its initial state. RFC 8446, Section 7.1.
func (h Hash) New() hash.Hash {
	switch h {
	case SHA256:
		return sha256.New()
	case SHA384:
		return sha512.New384()
	}
	panic("schedule: unknown hash")
}

// sum puts the hash of data at the start of out, without allocating.
func (h Hash) sum(out *[MaxSize]byte, data []byte) {
	switch h {
	case SHA256:
		*(*[sha256.Size]byte)(out[:]) = sha256.Sum256(data)
	case SHA384:
		*out = sha512.Sum384(data)
	default:
		panic("schedule: unknown hash")
	}
}

// blockSize is the block size of the hash function, which HMAC builds on. RFC 5869, Section 2.1.
func (h Hash) blockSize() int {
	if h == SHA256 {
		return sha256.BlockSize
	}
	return sha512.BlockSize
}
