package tlscore

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"tlscore.example/tlscore/internal/wire"
)

// What one end authenticates with: a certificate chain with its key, and what is sent
// along with it. RFC 8446, Section 4.4.2; RFC 5246, Section 7.4.2.

// credential is a certificate chain with its key, checked and parsed.
type credential struct {
	cert   *tls.Certificate
	leaf   *x509.Certificate
	signer crypto.Signer
	// What follows belongs to a config, and is empty in one that the application has
	// chosen: the facts that the choice among several needs, and the Certificate message of
	// TLS 1.3 without attachments.
	chain   []chainFacts
	encoded []byte
}

// chainFacts is what is known about a certificate of a chain.
type chainFacts struct {
	issuer []byte              // its distinguished name in DER
	scheme tls.SignatureScheme // that it is signed with; 0 for what signs itself
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
	// "The certificate MUST allow the key to be used for signing (i.e., the
	// digitalSignature bit MUST be set if the Key Usage extension is present)"
	// https://www.rfc-editor.org/rfc/rfc8446#section-4.4.2.2
	if !maySign(leaf) {
		return nil, errors.New("the key usage of the certificate forbids signatures")
	}
	total := 0
	for _, der := range cert.Certificate {
		total += len(der) + 5 // a length of 3 bytes, empty extensions
	}
	if total > maxCertificateList {
		return nil, errors.New("the chain is too long for a Certificate message")
	}
	a := attachments{cert.OCSPStaple, cert.SignedCertificateTimestamps}
	if err := a.check(); err != nil {
		return nil, err
	}
	return &credential{cert: cert, leaf: leaf, signer: signer}, nil
}

// maxCertificateList is the longest certificate_list, less the extensions of its
// first entry. RFC 8446, Section 4.4.2.
const maxCertificateList = 1<<24 - 1 - 4 - 1<<16

// newConfiguredCredential is newCredential for one of several, among which the
// handshake chooses. What cannot be parsed behind the leaf has no facts; whether
// it is of use is the peer's to judge.
func newConfiguredCredential(cert *tls.Certificate) (*credential, error) {
	c, err := newCredential(cert)
	if err != nil {
		return nil, err
	}
	c.chain = make([]chainFacts, 0, len(cert.Certificate))
	for i, der := range cert.Certificate {
		parsed := c.leaf
		if i > 0 {
			if parsed, err = x509.ParseCertificate(der); err != nil {
				continue
			}
		}
		facts := chainFacts{issuer: parsed.RawIssuer, scheme: certificateScheme(parsed)}
		if bytes.Equal(parsed.RawSubject, parsed.RawIssuer) {
			facts.scheme = 0
		}
		c.chain = append(c.chain, facts)
	}
	msg := c.message()
	c.encoded = msg.Append(nil)
	return c, nil
}

// chosenCredential is newCredential for one that the application has chosen: when it
// cannot be used, that is the application's failure.
func chosenCredential(cert *tls.Certificate) (c *credential, err error) {
	err = call(ReasonCallbackFailed, func() (err error) {
		c, err = newCredential(cert)
		return err
	})
	return c, err
}

// issuedByAny reports whether a certificate of the chain is issued by one of the
// authorities.
func (c *credential) issuedByAny(authorities [][]byte) bool {
	return slices.ContainsFunc(c.chain, func(f chainFacts) bool {
		return slices.ContainsFunc(authorities, func(name []byte) bool { return bytes.Equal(name, f.issuer) })
	})
}

// signedWithAny reports whether the chain can be verified with those schemes.
//
//	"Certificates that are self-signed or certificates that are expected to be
//	trust anchors are not validated as part of the chain and therefore MAY be
//	signed with any algorithm."
//
// https://www.rfc-editor.org/rfc/rfc8446#section-4.4.2.2
func (c *credential) signedWithAny(schemes []wire.SignatureScheme) bool {
	return !slices.ContainsFunc(c.chain, func(f chainFacts) bool {
		return f.scheme != 0 && !slices.Contains(schemes, wire.SignatureScheme(f.scheme))
	})
}

// attachments are what goes along with the end-entity certificate.
type attachments struct {
	ocsp []byte   // an OCSP response in DER; nil for none
	scts [][]byte // signed certificate timestamps
}

// attach returns those of the attachments that the peer wants. The OCSP response
// is that of the certificate, or comes from the application.
func (c *credential) attach(cfg *Config, ocsp, scts bool) (a attachments, err error) {
	if scts {
		a.scts = c.cert.SignedCertificateTimestamps
	}
	if !ocsp {
		return a, nil
	}
	if a.ocsp = c.cert.OCSPStaple; len(a.ocsp) > 0 || cfg.GetOCSPResponse == nil {
		return a, nil
	}
	err = call(ReasonCallbackFailed, func() (err error) {
		if a.ocsp, err = cfg.GetOCSPResponse(c.cert); err != nil {
			return err
		}
		return a.check()
	})
	return a, err
}

// maxTimestamps is the longest extension of signed certificate timestamps, so that a
// ServerHello of TLS 1.2 has room for all its others.
const maxTimestamps = 1<<16 - 1 - 512

// check refuses what does not fit the extensions of a CertificateEntry, two of
// them with a type and a length each, or those of a ServerHello of TLS 1.2.
func (a *attachments) check() error {
	timestamps := 2
	for _, sct := range a.scts {
		if len(sct) == 0 {
			return errors.New("a signed certificate timestamp is empty")
		}
		timestamps += 2 + len(sct)
	}
	if timestamps > maxTimestamps || 4+4+len(a.ocsp)+4+timestamps > 1<<16-1 {
		return errors.New("the OCSP response and the signed certificate timestamps are too long")
	}
	return nil
}

// message returns the Certificate message of TLS 1.3, without attachments.
func (c *credential) message() (msg wire.Certificate) {
	msg.Entries = make([]wire.CertificateEntry, len(c.cert.Certificate))
	for i, der := range c.cert.Certificate {
		msg.Entries[i].Data = der
	}
	return msg
}

// appendMessage appends the Certificate message of TLS 1.3 with the attachments.
func (c *credential) appendMessage(b []byte, with *attachments) []byte {
	if c.encoded != nil && len(with.ocsp) == 0 && len(with.scts) == 0 {
		return append(b, c.encoded...)
	}
	msg := c.message()
	with.addTo(&msg)
	return msg.Append(b)
}

// addTo puts the attachments into a Certificate message of TLS 1.3.
func (a *attachments) addTo(msg *wire.Certificate) {
	// "the body of the "status_request" extension from the server MUST be a
	// CertificateStatus structure as defined in [RFC6066]"
	// https://www.rfc-editor.org/rfc/rfc8446#section-4.4.2.1
	leaf := &msg.Entries[0]
	leaf.OCSPResponse, leaf.SCTs = a.ocsp, a.scts
	if len(a.ocsp) > 0 {
		leaf.Extensions = append(leaf.Extensions, wire.Extension{Type: wire.ExtStatusRequest})
	}
	if len(a.scts) > 0 {
		leaf.Extensions = append(leaf.Extensions, wire.Extension{Type: wire.ExtSignedCertificateTimestamp})
	}
}

// message12 returns the Certificate message of TLS 1.2, where an OCSP response
// is a message of its own.
func (c *credential) message12() *wire.Certificate12 {
	return &wire.Certificate12{Certificates: c.cert.Certificate}
}
