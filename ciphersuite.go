package tlscore

import (
	"crypto/tls"

	"tlscore.example/tlscore/internal/record"
	"tlscore.example/tlscore/internal/schedule"
	"tlscore.example/tlscore/internal/wire"
)

// cipherSuite is a cipher suite: the AEAD of the records and the hash of the key
// schedule, and in TLS 1.2, where the key exchange is always ECDHE, with what key
// the server signs. RFC 8446, Appendix B.4; RFC 5289, Section 3.2; RFC 7905,
// Section 2.
type cipherSuite struct {
	id      wire.CipherSuite
	version uint16
	aead    record.AEAD
	hash    schedule.Hash
	rsa     bool // of TLS 1.2: RSA signs, else ECDSA or Ed25519
}

// cipherSuites are those that are supported, in the default order of preference.
var cipherSuites = []*cipherSuite{
	{wire.TLS_AES_128_GCM_SHA256, tls.VersionTLS13, record.AES128GCM, schedule.SHA256, false},
	{wire.TLS_AES_256_GCM_SHA384, tls.VersionTLS13, record.AES256GCM, schedule.SHA384, false},
	{wire.TLS_CHACHA20_POLY1305_SHA256, tls.VersionTLS13, record.ChaCha20Poly1305, schedule.SHA256, false},

	{wire.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.VersionTLS12, record.AES128GCM, schedule.SHA256, false},
	{wire.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.VersionTLS12, record.AES128GCM, schedule.SHA256, true},
	{wire.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.VersionTLS12, record.AES256GCM, schedule.SHA384, false},
	{wire.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, tls.VersionTLS12, record.AES256GCM, schedule.SHA384, true},
	{wire.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.VersionTLS12, record.ChaCha20Poly1305, schedule.SHA256, false},
	{wire.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, tls.VersionTLS12, record.ChaCha20Poly1305, schedule.SHA256, true},
}

// suiteByID returns the suite, or nil when it is not supported.
func suiteByID(id wire.CipherSuite) *cipherSuite {
	for _, s := range cipherSuites {
		if s.id == id {
			return s
		}
	}
	return nil
}

// findSuite returns the suite if the list has it for that version, or nil.
func findSuite(list []*cipherSuite, version uint16, id wire.CipherSuite) *cipherSuite {
	for _, s := range list {
		if s.id == id && s.version == version {
			return s
		}
	}
	return nil
}

// tls12 reports whether the suite is one of TLS 1.2.
func (s *cipherSuite) tls12() bool { return s.version == tls.VersionTLS12 }

// protection returns the record protection of TLS 1.3 under the traffic keys of
// secret. RFC 8446, Section 7.3.
func (s *cipherSuite) protection(secret *schedule.TrafficSecret) (record.Protection, error) {
	var key [32]byte
	var iv [record.IVLen]byte
	defer clear(key[:])
	defer clear(iv[:])
	secret.Key(key[:s.aead.KeyLen()])
	secret.IV(iv[:])
	return record.New(s.aead, key[:s.aead.KeyLen()], iv[:])
}
