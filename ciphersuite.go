package tlscore

import (
	"tlscore.example/tlscore/internal/record"
	"tlscore.example/tlscore/internal/schedule"
	"tlscore.example/tlscore/internal/wire"
)

// cipherSuite is a cipher suite of TLS 1.3: the AEAD of the records and the hash
// of the key schedule. RFC 8446, Appendix B.4.
type cipherSuite struct {
	id   wire.CipherSuite
	aead record.AEAD
	hash schedule.Hash
}

// cipherSuites are those that are supported, in the default order of preference.
var cipherSuites = []*cipherSuite{
	{wire.TLS_AES_128_GCM_SHA256, record.AES128GCM, schedule.SHA256},
	{wire.TLS_AES_256_GCM_SHA384, record.AES256GCM, schedule.SHA384},
	{wire.TLS_CHACHA20_POLY1305_SHA256, record.ChaCha20Poly1305, schedule.SHA256},
}

// suiteByID returns the suite, or nil when it is not supported.
func suiteByID(id wire.CipherSuite) *cipherSuite {
	return findSuite(cipherSuites, id)
}

func findSuite(list []*cipherSuite, id wire.CipherSuite) *cipherSuite {
	for _, s := range list {
		if s.id == id {
			return s
		}
	}
	return nil
}

// protection returns the record protection under the traffic keys of secret.
// RFC 8446, Section 7.3.
func (s *cipherSuite) protection(secret *schedule.TrafficSecret) (*record.Protection, error) {
	var key [32]byte
	var iv [record.IVLen]byte
	defer clear(key[:])
	defer clear(iv[:])
	secret.Key(key[:s.aead.KeyLen()])
	secret.IV(iv[:])
	return record.New(s.aead, key[:s.aead.KeyLen()], iv[:])
}
