package tlscore

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	_ "crypto/sha512" // so that crypto.Hash has it
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"slices"

	"tlscore.example/tlscore/internal/wire"
)

// Signature schemes: which are offered, what each signs, and with what key. RFC 8446,
// Sections 4.2.3 and 4.4.3.

// scheme says how a signature scheme signs. RFC 8446, Section 4.2.3.
type scheme struct {
	id    tls.SignatureScheme
	key   x509.PublicKeyAlgorithm
	hash  crypto.Hash    // zero for Ed25519, which signs the message itself
	curve elliptic.Curve // of ECDSA, whose schemes bind it in TLS 1.3
	pkcs1 bool           // RSASSA-PKCS1-v1_5, which signs no TLS 1.3 handshake
}

// schemes are those that may sign a handshake, in the default order of
// preference. Nothing here uses SHA-1 or MD5: RFC 9155, Section 2.
var schemes = []scheme{
	{tls.ECDSAWithP256AndSHA256, x509.ECDSA, crypto.SHA256, elliptic.P256(), false},
	{tls.PSSWithSHA256, x509.RSA, crypto.SHA256, nil, false},
	{tls.PKCS1WithSHA256, x509.RSA, crypto.SHA256, nil, true},
	{tls.ECDSAWithP384AndSHA384, x509.ECDSA, crypto.SHA384, elliptic.P384(), false},
	{tls.PSSWithSHA384, x509.RSA, crypto.SHA384, nil, false},
	{tls.PKCS1WithSHA384, x509.RSA, crypto.SHA384, nil, true},
	{tls.ECDSAWithP521AndSHA512, x509.ECDSA, crypto.SHA512, elliptic.P521(), false},
	{tls.PSSWithSHA512, x509.RSA, crypto.SHA512, nil, false},
	{tls.PKCS1WithSHA512, x509.RSA, crypto.SHA512, nil, true},
	{tls.Ed25519, x509.Ed25519, 0, nil, false},
}

// chainOnlySchemes are accepted in certificates whatever the handshake is signed
// with.
//
//	"These values refer solely to signatures which appear in certificates
//	(see Section 4.4.2.2) and are not defined for use in signed TLS handshake
//	messages, although they MAY appear in "signature_algorithms" and
//	"signature_algorithms_cert" for backward compatibility with TLS 1.2."
//
// https://www.rfc-editor.org/rfc/rfc8446#section-4.2.3
var chainOnlySchemes = []tls.SignatureScheme{
	tls.PKCS1WithSHA256,
	tls.PKCS1WithSHA384,
	tls.PKCS1WithSHA512,
}

// schemeInfo returns the scheme, or nil when it is not supported.
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

// signs reports whether the scheme may sign a handshake of a version.
func (s *scheme) signs(version uint16) bool {
	return !s.pkcs1 || version == tls.VersionTLS12
}

// usable reports whether a key can sign, or have signed, a handshake of a
// version with the scheme.
func (s *scheme) usable(version uint16, public crypto.PublicKey) bool {
	if !s.signs(version) {
		return false
	}
	switch public := public.(type) {
	case *ecdsa.PublicKey:
		return s.key == x509.ECDSA && s.suitsCurve(version, public.Curve)
	case *rsa.PublicKey:
		return s.key == x509.RSA && public.Size() >= s.minModulus()
	case ed25519.PublicKey:
		return s.key == x509.Ed25519
	}
	return false
}

// suitsCurve reports whether a key on the curve can sign with the scheme.
//
//	"ECDSA signature schemes align with TLS 1.2's ECDSA hash/signature pairs.
//	However, the old semantics did not constrain the signing curve. If TLS 1.2
//	is negotiated, implementations MUST be prepared to accept a signature that
//	uses any curve that they advertised in the "supported_groups" extension."
//
// https://www.rfc-editor.org/rfc/rfc8446#section-4.2.3
func (s *scheme) suitsCurve(version uint16, curve elliptic.Curve) bool {
	if version == tls.VersionTLS12 {
		return curveID(curve) != 0
	}
	return s.curve == curve
}

// curveID returns the group that stands for a curve, or 0 when it is none that
// is supported.
func curveID(curve elliptic.Curve) tls.CurveID {
	switch curve {
	case elliptic.P256():
		return tls.CurveP256
	case elliptic.P384():
		return tls.CurveP384
	case elliptic.P521():
		return tls.CurveP521
	}
	return 0
}

// minModulus is the size of the smallest RSA modulus, in bytes, that the encoded
// message fits: for PSS with a salt as long as the hash, RFC 8017, Section
// 9.1.1; for PKCS #1 v1.5 with 11 bytes of padding and 19 that name one of the
// three hashes, Section 9.2.
func (s *scheme) minModulus() int {
	if s.pkcs1 {
		return 11 + 19 + s.hash.Size()
	}
	return 2*s.hash.Size() + 2
}

// configuredSchemes judges Config.SignatureSchemes, where nil means all, for the
// versions that the config allows.
func configuredSchemes(list []tls.SignatureScheme, versions []uint16) ([]tls.SignatureScheme, error) {
	inUse := func(s *scheme) bool { return slices.ContainsFunc(versions, s.signs) }
	if list == nil {
		for i := range schemes {
			if inUse(&schemes[i]) {
				list = append(list, schemes[i].id)
			}
		}
		return list, nil
	}
	if len(list) == 0 {
		return nil, errors.New("SignatureSchemes is empty")
	}
	for _, id := range list {
		s := schemeInfo(id)
		if s == nil {
			return nil, fmt.Errorf("signature scheme %s is not supported", id)
		}
		if !inUse(s) {
			return nil, fmt.Errorf("signature scheme %s signs no handshake of TLS 1.3", id)
		}
	}
	return list, firstDuplicate("SignatureSchemes", list)
}

// configuredSchemesCert judges Config.SignatureSchemesCert, where nil means those
// of the handshake and those of PKCS #1.
func configuredSchemesCert(list, handshake []tls.SignatureScheme) ([]tls.SignatureScheme, error) {
	if list == nil {
		return union(handshake, chainOnlySchemes), nil
	}
	if len(list) == 0 {
		return nil, errors.New("SignatureSchemesCert is empty")
	}
	for _, id := range list {
		if schemeInfo(id) == nil {
			return nil, fmt.Errorf("SignatureSchemesCert: signature scheme %s is not supported", id)
		}
	}
	return list, firstDuplicate("SignatureSchemesCert", list)
}

// union returns a with what only b has behind it.
func union(a, b []tls.SignatureScheme) []tls.SignatureScheme {
	all := slices.Clone(a)
	for _, id := range b {
		if !slices.Contains(all, id) {
			all = append(all, id)
		}
	}
	return all
}

// offeredSchemes returns what a side puts into signature_algorithms and into
// signature_algorithms_cert; without the latter, which is then nil, the former
// is for certificates too. handshake has what may sign the handshake,
// certificates what may sign certificates.
//
// In TLS 1.3 one list is enough, since what signs certificates only cannot be
// mistaken; in TLS 1.2 each scheme of signature_algorithms may sign the
// handshake. RFC 8446, Section 4.2.3.
func offeredSchemes(handshake, certificates []tls.SignatureScheme, tls12 bool) (algorithms, algorithmsCert []tls.SignatureScheme) {
	onlyOneMeaning := func(id tls.SignatureScheme) bool {
		return slices.Contains(handshake, id) || !tls12 && slices.Contains(chainOnlySchemes, id)
	}
	both := union(handshake, certificates)
	ambiguous := slices.ContainsFunc(both, func(id tls.SignatureScheme) bool { return !onlyOneMeaning(id) })
	if len(both) == len(certificates) && !ambiguous {
		return both, nil
	}
	return handshake, certificates
}

// commonSchemes returns those of our schemes that the peer accepts, in our
// order, once for all certificates: its list can be long.
func commonSchemes(ours []tls.SignatureScheme, theirs []wire.SignatureScheme) (common []tls.SignatureScheme) {
	for _, id := range ours {
		if slices.Contains(theirs, wire.SignatureScheme(id)) {
			if common == nil {
				common = make([]tls.SignatureScheme, 0, len(ours))
			}
			common = append(common, id)
		}
	}
	return common
}

// The contexts that tell whose signature it is. RFC 8446, Section 4.4.3.
const (
	serverSignatureContext = "TLS 1.3, server CertificateVerify"
	clientSignatureContext = "TLS 1.3, client CertificateVerify"
)

// signedContent is what CertificateVerify of TLS 1.3 signs: 64 spaces, the
// context, a zero and the transcript hash. In TLS 1.2 the content is the
// messages, or the parameters, themselves. RFC 8446, Section 4.4.3.
func (m *Machine) signedContent(context string, transcript []byte) []byte {
	var content []byte
	if h := m.handshakeState(); h != nil {
		content = h.signed[:0]
	}
	content = append(content, signedPadding...)
	content = append(content, context...)
	content = append(content, 0)
	return append(content, transcript...)
}

// signedPadding is 64 spaces.
const signedPadding = "                                                                "

// digest returns what the primitive of the scheme signs.
func (s *scheme) digest(content []byte) []byte {
	switch s.hash {
	case 0:
		return content
	case crypto.SHA256:
		sum := sha256.Sum256(content)
		return sum[:]
	}
	h := s.hash.New()
	h.Write(content)
	return h.Sum(nil)
}

func (s *scheme) options() crypto.SignerOpts {
	if s.key == x509.RSA && !s.pkcs1 {
		return &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: s.hash}
	}
	return s.hash
}

// sign signs content.
func (s *scheme) sign(key crypto.Signer, random io.Reader, content []byte) ([]byte, error) {
	return key.Sign(random, s.digest(content), s.options())
}

var errSignature = errors.New("tlscore: invalid signature")

// verify checks a signature of content. The key is one that is usable with the
// scheme.
func (s *scheme) verify(public crypto.PublicKey, content, signature []byte) error {
	digest := s.digest(content)
	switch public := public.(type) {
	case *ecdsa.PublicKey:
		if ecdsa.VerifyASN1(public, digest, signature) {
			return nil
		}
	case *rsa.PublicKey:
		if pss, ok := s.options().(*rsa.PSSOptions); ok {
			return rsa.VerifyPSS(public, s.hash, digest, signature, pss)
		}
		return rsa.VerifyPKCS1v15(public, s.hash, digest, signature)
	case ed25519.PublicKey:
		if ed25519.Verify(public, digest, signature) {
			return nil
		}
	}
	return errSignature
}

// certificateSignatures maps what crypto/x509 calls a certificate's signature to
// the schemes. The curve of an issuer's ECDSA key is not looked at.
var certificateSignatures = map[x509.SignatureAlgorithm]tls.SignatureScheme{
	x509.SHA1WithRSA:      tls.PKCS1WithSHA1,
	x509.SHA256WithRSA:    tls.PKCS1WithSHA256,
	x509.SHA384WithRSA:    tls.PKCS1WithSHA384,
	x509.SHA512WithRSA:    tls.PKCS1WithSHA512,
	x509.SHA256WithRSAPSS: tls.PSSWithSHA256,
	x509.SHA384WithRSAPSS: tls.PSSWithSHA384,
	x509.SHA512WithRSAPSS: tls.PSSWithSHA512,
	x509.ECDSAWithSHA1:    tls.ECDSAWithSHA1,
	x509.ECDSAWithSHA256:  tls.ECDSAWithP256AndSHA256,
	x509.ECDSAWithSHA384:  tls.ECDSAWithP384AndSHA384,
	x509.ECDSAWithSHA512:  tls.ECDSAWithP521AndSHA512,
	x509.PureEd25519:      tls.Ed25519,
}

// unknownScheme stands for signatures that no scheme stands for. It is of the
// private range, and nobody offers it.
const unknownScheme tls.SignatureScheme = 0xffff

// certificateScheme returns the scheme that a certificate is signed with.
func certificateScheme(cert *x509.Certificate) tls.SignatureScheme {
	if s, ok := certificateSignatures[cert.SignatureAlgorithm]; ok {
		return s
	}
	return unknownScheme
}
