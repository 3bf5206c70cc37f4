package record

import (
	"math"
	"strconv"
)

// Sizes that all AEADs share, and what they add to a record. RFC 8446, Sections 5.2 and 5.3; RFC 5288, Section 3.
const (
	IVLen  = 12 // of the nonce, and in TLS 1.3 of the iv; see AEAD.IV12Len for TLS 1.2
	TagLen = 16

	// Overhead is how many bytes longer a sealed record of TLS 1.3 is than its content, when it has no padding: header,
	// inner content type, tag.
	Overhead = HeaderLen + 1 + TagLen

	// MaxOverhead bounds Protection.Overhead, whatever the version and the algorithm: it is that of AES-GCM in TLS 1.2,
	// which is header, explicit nonce, tag.
	MaxOverhead = HeaderLen + explicitLenGCM + TagLen
)

// The nonce of AES-GCM in TLS 1.2 has two parts. RFC 5288, Section 3.
//
//	struct {
//	    opaque salt[4];
//	    opaque nonce_explicit[8];
//	} GCMNonce;
const (
	saltLenGCM     = 4
	explicitLenGCM = 8
)

// AEAD names an AEAD algorithm. The zero value is none. RFC 8446, Section B.4.
type AEAD uint8

const (
	AES128GCM AEAD = iota + 1
	AES256GCM
	ChaCha20Poly1305
)

func (a AEAD) String() string {
	switch a {
	case AES128GCM:
		return "AES-128-GCM"
	case AES256GCM:
		return "AES-256-GCM"
	case ChaCha20Poly1305:
		return "ChaCha20-Poly1305"
	}
	return "AEAD(" + strconv.Itoa(int(a)) + ")"
}

// KeyLen is the length of the key in bytes, 0 for an unknown algorithm. RFC 8446, Section 7.3.
func (a AEAD) KeyLen() int {
	switch a {
	case AES128GCM:
		return 16
	case AES256GCM, ChaCha20Poly1305:
		return 32
	}
	return 0
}

// IV12Len is the length in bytes of the part of the nonce that TLS 1.2 takes from the key block, its fixed_iv_length; 0
// for an unknown algorithm. RFC 5288, Section 3; RFC 7905, Section 2.
func (a AEAD) IV12Len() int {
	switch a {
	case AES128GCM, AES256GCM:
		return saltLenGCM
	case ChaCha20Poly1305:
		return IVLen
	}
	return 0
}

// limitGCM is 2^24.5 rounded down.
const limitGCM = 23726566

// Limit is the number of records that may be sealed under one key. An unknown algorithm may seal none. The limits are
// those of TLS 1.3; its analysis is about the algorithm, and so TLS 1.2, which names none, keeps them as well.
// RFC 8446, Section 5.5, made mandatory by RFC 9846, Section 5.5.
func (a AEAD) Limit() uint64 {
	switch a {
	// https://www.rfc-editor.org/rfc/rfc8446#section-5.5
	// "For AES-GCM, up to 2^24.5 full-size records (about 24 million) may be
	// encrypted on a given connection while keeping a safety margin of
	// approximately 2^-57 for Authenticated Encryption (AE) security."
	case AES128GCM, AES256GCM:
		return limitGCM
	// https://www.rfc-editor.org/rfc/rfc8446#section-5.5
	// "For ChaCha20/Poly1305, the record sequence number would wrap before the
	// safety limit is reached."
	case ChaCha20Poly1305:
		return math.MaxUint64
	}
	return 0
}
