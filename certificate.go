package tlscore

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"tlscore.example/tlscore/internal/wire"
)

// credential is a certificate chain with its key, checked and parsed.
type credential struct {
	cert   *tls.Certificate
	leaf   *x509.Certificate
	signer crypto.Signer
}

// newCredential checks that a certificate can be used at all.
func newCredential(cert *tls.Certificate) (*credential, error) {
	if len(cert.Certificate) == 0 {
		return nil, errors.New("the chain is empty")
	}
	signer, ok := cert.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a private key of type %T cannot sign", cert.PrivateKey)
	}
	leaf := cert.Leaf
	if leaf == nil {
		var err error
		if leaf, err = x509.ParseCertificate(cert.Certificate[0]); err != nil {
			return nil, err
		}
	}
	type publicKey interface{ Equal(crypto.PublicKey) bool }
	if public, ok := leaf.PublicKey.(publicKey); !ok || !public.Equal(signer.Public()) {
		return nil, errors.New("the private key does not belong to the certificate")
	}
	total := 0
	for _, der := range cert.Certificate {
		total += len(der) + 5 // a length of 3 bytes, empty extensions
	}
	if total > maxCertificateList {
		return nil, errors.New("the chain is too long for a Certificate message")
	}
	return &credential{cert: cert, leaf: leaf, signer: signer}, nil
}

// maxCertificateList is the longest certificate_list. RFC 8446, Section 4.4.2.
const maxCertificateList = 1<<24 - 1 - 4

// allows reports whether the application lets the key sign with the scheme.
func (c *credential) allows(id tls.SignatureScheme) bool {
	allowed := c.cert.SupportedSignatureAlgorithms
	return allowed == nil || slices.Contains(allowed, id)
}

// message returns the Certificate message of the chain.
func (c *credential) message() *wire.Certificate {
	msg := new(wire.Certificate)
	for _, der := range c.cert.Certificate {
		msg.Entries = append(msg.Entries, wire.CertificateEntry{Data: der})
	}
	return msg
}

// maxRSABits bounds the RSA keys in a peer's chain, any of them, since a
// verification with a large one is a way to burn our CPU.
const maxRSABits = 8192

// parseChain parses the certificates that the peer sent, leaf first.
func parseChain(raw [][]byte) ([]*x509.Certificate, error) {
	chain := make([]*x509.Certificate, len(raw))
	for i, der := range raw {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, &ProtocolError{Reason: ReasonBadCertificate, Err: err}
		}
		if key, ok := cert.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() > maxRSABits {
			return nil, violationf(ReasonUnsupportedCertificate, "RSA key of %d bits", key.N.BitLen())
		}
		chain[i] = cert
	}
	return chain, nil
}

// checkLeafKey refuses keys that no signature scheme of TLS 1.3 suits.
func checkLeafKey(leaf *x509.Certificate) error {
	for i := range schemes {
		if schemes[i].suits(leaf.PublicKey) {
			return nil
		}
	}
	return violationf(ReasonUnsupportedCertificate, "%s", leaf.PublicKeyAlgorithm)
}

// signedWithMD5 reports whether a certificate depends on MD5. That of a root, which
// signs itself, is not validated.
func signedWithMD5(cert *x509.Certificate) bool {
	return cert.SignatureAlgorithm == x509.MD5WithRSA && !bytes.Equal(cert.RawSubject, cert.RawIssuer)
}

// certificateReason finds the reason that an error of x509 stands for.
func certificateReason(err error, chain []*x509.Certificate) Reason {
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	var hostname x509.HostnameError
	switch {
	case errors.As(err, &unknown):
		// "Any endpoint receiving any certificate which it would need to validate
		// using any signature algorithm using an MD5 hash MUST abort the handshake
		// with a "bad_certificate" alert."
		// https://www.rfc-editor.org/rfc/rfc8446#section-4.4.2.4
		if slices.ContainsFunc(chain, signedWithMD5) {
			return ReasonBadCertificate
		}
		return ReasonUnknownAuthority
	case errors.As(err, &hostname):
		return ReasonNameMismatch
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return ReasonCertificateExpired
	}
	return ReasonBadCertificate
}
