package tlscore

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	_ "crypto/sha256" // the hashes of the schemes
	_ "crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"slices"
)

// scheme says how a signature scheme signs. RFC 8446, Section 4.2.3.
type scheme struct {
	id    tls.SignatureScheme
	key   x509.PublicKeyAlgorithm
	hash  crypto.Hash    // zero for Ed25519, which signs the message itself
	curve elliptic.Curve // of ECDSA, whose schemes bind it in TLS 1.3
}

// schemes are those that may sign a TLS 1.3 handshake.
var schemes = []scheme{
	{tls.ECDSAWithP256AndSHA256, x509.ECDSA, crypto.SHA256, elliptic.P256()},
	{tls.ECDSAWithP384AndSHA384, x509.ECDSA, crypto.SHA384, elliptic.P384()},
	{tls.ECDSAWithP521AndSHA512, x509.ECDSA, crypto.SHA512, elliptic.P521()},
	{tls.Ed25519, x509.Ed25519, 0, nil},
	{tls.PSSWithSHA256, x509.RSA, crypto.SHA256, nil},
	{tls.PSSWithSHA384, x509.RSA, crypto.SHA384, nil},
	{tls.PSSWithSHA512, x509.RSA, crypto.SHA512, nil},
}

// supportedSchemes are the schemes of CertificateVerify, in the default order of
// preference.
var supportedSchemes = []tls.SignatureScheme{
	tls.ECDSAWithP256AndSHA256,
	tls.ECDSAWithP384AndSHA384,
	tls.ECDSAWithP521AndSHA512,
	tls.Ed25519,
	tls.PSSWithSHA256,
	tls.PSSWithSHA384,
	tls.PSSWithSHA512,
}

// chainOnlySchemes are accepted in certificates but never in CertificateVerify.
//
//	"These values refer solely to signatures which appear in certificates
//	(see Section 4.4.2.2) and are not defined for use in signed TLS handshake
//	messages"
//
// https://www.rfc-editor.org/rfc/rfc8446#section-4.2.3
var chainOnlySchemes = []tls.SignatureScheme{
	tls.PKCS1WithSHA256,
	tls.PKCS1WithSHA384,
	tls.PKCS1WithSHA512,
}

func schemeInfo(id tls.SignatureScheme) *scheme {
	for i := range schemes {
		if schemes[i].id == id {
			return &schemes[i]
		}
	}
	return nil
}

// findScheme returns the scheme if the list has it, or nil.
func findScheme(list []tls.SignatureScheme, id tls.SignatureScheme) *scheme {
	if !slices.Contains(list, id) {
		return nil
	}
	return schemeInfo(id)
}

// suits reports whether a key can sign, or have signed, with the scheme.
func (s *scheme) suits(public crypto.PublicKey) bool {
	switch public := public.(type) {
	case *ecdsa.PublicKey:
		return s.key == x509.ECDSA && s.curve == public.Curve
	case *rsa.PublicKey:
		// The encoded message of PSS has to fit the modulus with a salt as long
		// as the hash. RFC 8017, Section 9.1.1.
		return s.key == x509.RSA && public.Size() >= 2*s.hash.Size()+2
	case ed25519.PublicKey:
		return s.key == x509.Ed25519
	}
	return false
}

// The contexts that tell whose signature it is. RFC 8446, Section 4.4.3.
const (
	serverSignatureContext = "TLS 1.3, server CertificateVerify"
	clientSignatureContext = "TLS 1.3, client CertificateVerify"
)

// signedContent is what CertificateVerify signs: 64 spaces, the context, a zero
// and the transcript hash. RFC 8446, Section 4.4.3.
func signedContent(context string, transcript []byte) []byte {
	content := make([]byte, 64, 64+len(context)+1+len(transcript))
	for i := range content {
		content[i] = ' '
	}
	content = append(content, context...)
	content = append(content, 0)
	return append(content, transcript...)
}

// digest returns what the primitive of the scheme signs.
func (s *scheme) digest(content []byte) []byte {
	if s.hash == 0 {
		return content
	}
	h := s.hash.New()
	h.Write(content)
	return h.Sum(nil)
}

func (s *scheme) options() crypto.SignerOpts {
	if s.key == x509.RSA {
		return &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: s.hash}
	}
	return s.hash
}

// sign signs content.
func (s *scheme) sign(key crypto.Signer, random io.Reader, content []byte) ([]byte, error) {
	return key.Sign(random, s.digest(content), s.options())
}

var errSignature = errors.New("tlscore: invalid signature")

// verify checks a signature of content. The key suits the scheme.
func (s *scheme) verify(public crypto.PublicKey, content, signature []byte) error {
	digest := s.digest(content)
	switch public := public.(type) {
	case *ecdsa.PublicKey:
		if ecdsa.VerifyASN1(public, digest, signature) {
			return nil
		}
	case *rsa.PublicKey:
		return rsa.VerifyPSS(public, s.hash, digest, signature, s.options().(*rsa.PSSOptions))
	case ed25519.PublicKey:
		if ed25519.Verify(public, digest, signature) {
			return nil
		}
	}
	return errSignature
}

// chooseScheme returns the first scheme that the credential can sign with, or
// nil.
func chooseScheme(common []tls.SignatureScheme, c *credential) *scheme {
	for _, id := range common {
		if s := schemeInfo(id); s.suits(c.leaf.PublicKey) && c.allows(id) {
			return s
		}
	}
	return nil
}
