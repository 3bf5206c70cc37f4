// Package record frames and protects TLS records: the five-byte header, the AEAD under one key, the sequence number
// and the limit on how long a key may be used. It knows no handshake, no state and no alerts; which alert an error
// stands for is written at the error. Records are those of TLS 1.3 and, with the AEAD ciphers, of TLS 1.2. RFC 8446,
// Section 5; RFC 5246, Section 6.2.3.3.
//
// One Protection is one direction under one key. A key change is a new Protection, and so a new sequence number.
//
// Built with the tag tlscore_nullcrypto, the package seals with a cipher that does nothing, which lets a fuzzer get
// past the authentication tag. NullCrypto tells which of the two was built.
package record
