package tlscore

import (
	"bytes"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"time"

	"tlscore.example/tlscore/internal/wire"
)

// What the peer authenticates with, judged: its certificate chain, and the signature
// that proves that the key is its own. RFC 8446, Sections 4.4.2.4 and 4.4.3; RFC 5246,
// Sections 7.4.2, 7.4.3 and 7.4.8.

// maxRSABits bounds the RSA keys in a peer's chain, any of them, since a
// verification with a large one is a way to burn our CPU.
const maxRSABits = 8192

// parseChain parses the certificates that the peer sent, leaf first. The chain is there
// also when its leaf cannot have signed a handshake of that version.
func (d *derived) parseChain(version uint16, raw [][]byte) ([]*x509.Certificate, error) {
	chain := make([]*x509.Certificate, len(raw))
	for i, der := range raw {
		cert, err := d.peers.parse(der)
		if err != nil {
			return nil, &ProtocolError{Reason: ReasonBadCertificate, Err: err}
		}
		if key, ok := cert.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() > maxRSABits {
			return nil, violationf(ReasonUnsupportedCertificate, "RSA key of %d bits", key.N.BitLen())
		}
		chain[i] = cert
	}
	return chain, checkLeaf(version, chain[0])
}

// checkLeaf refuses end-entity certificates whose key cannot have signed a
// handshake of that version.
func checkLeaf(version uint16, leaf *x509.Certificate) error {
	usable := slices.ContainsFunc(schemes, func(s scheme) bool { return s.usable(version, leaf.PublicKey) })
	if !usable {
		return violationf(ReasonUnsupportedCertificate, "%s", leaf.PublicKeyAlgorithm)
	}
	// "The certificate MUST allow the key to be used for signing (i.e., the
	// digitalSignature bit MUST be set if the Key Usage extension is present)"
	// https://www.rfc-editor.org/rfc/rfc8446#section-4.4.2.2
	if !maySign(leaf) {
		return violationf(ReasonCertificateUsage, "the key may not be used for signatures")
	}
	return nil
}

// maySign reports whether the key usage of a certificate, if it has any, allows
// signatures. RFC 5280, Section 4.2.1.3.
func maySign(cert *x509.Certificate) bool {
	return cert.KeyUsage&x509.KeyUsageDigitalSignature != 0 || !hasKeyUsage(cert)
}

// hasKeyUsage reports whether the certificate has the extension: one without any
// bit cannot be told from none by the field.
func hasKeyUsage(cert *x509.Certificate) bool {
	for i := range cert.Extensions {
		if slices.Equal([]int(cert.Extensions[i].Id), oidKeyUsage) {
			return true
		}
	}
	return false
}

// oidKeyUsage is id-ce-keyUsage. RFC 5280, Section 4.2.1.3.
var oidKeyUsage = []int{2, 5, 29, 15}

// verifyParams is all that the verification of a chain depends on. Nothing in it
// belongs to a machine.
type verifyParams struct {
	chain   []*x509.Certificate // as the peer sent it, leaf first
	options x509.VerifyOptions
	// schemes may have signed the certificates of the chain.
	schemes []tls.SignatureScheme
}

// awaitVerdict has the certificate chain of the peer judged, by the time that it is now.
func (m *Machine) awaitVerdict(s State, chain []*x509.Certificate, raw [][]byte) (State, error) {
	now, err := m.now()
	if err != nil {
		return 0, err
	}
	return m.await(s, m.newVerifyTask(chain, raw, now))
}

// takeVerdict takes the chains up to a root that were found in the peer's.
func (m *Machine) takeVerdict() error {
	t, err := m.result()
	if err == nil {
		m.conn.learn().chains = t.verified
		m.d.peers.remember(t.verified)
	}
	return err
}

// newVerifyTask judges the certificate chain of the peer.
func (m *Machine) newVerifyTask(chain []*x509.Certificate, raw [][]byte, now time.Time) *Task {
	cfg, d, ocsp := m.cfg, m.d, m.conn.learn().ocsp
	client := m.client != nil
	options, verify := cfg.verifyOptions(chain, client)
	options.CurrentTime = now
	t := m.newTask(TaskVerifyChain, func(t *Task) error {
		if verify {
			verified, err := verifyChain(verifyParams{t.chain, *t.options, d.schemesCert})
			if err != nil {
				return err
			}
			t.verified = verified
		}
		if judge := cfg.VerifyOCSPResponse; client && judge != nil {
			if err := call(ReasonCertificateStatus, func() error { return judge(ocsp, t.verified) }); err != nil {
				return err
			}
		}
		if ask := cfg.VerifyPeerCertificate; ask != nil {
			return call(ReasonVerificationRejected, func() error { return ask(raw, t.verified) })
		}
		return nil
	})
	t.chain, t.options = chain, &options
	return t
}

// verifyOptions says whether the chain of a peer is verified, and how: that of a
// server against RootCAs and the name, that of a client against ClientCAs.
func (c *Config) verifyOptions(chain []*x509.Certificate, client bool) (options x509.VerifyOptions, verify bool) {
	options = x509.VerifyOptions{
		Roots:         c.RootCAs,
		Intermediates: x509.NewCertPool(),
		DNSName:       c.ServerName,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	verify = !c.InsecureSkipVerify
	if !client {
		options.Roots, options.DNSName = c.ClientCAs, ""
		options.KeyUsages = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		verify = c.clientAuth() >= tls.VerifyClientCertIfGiven
	}
	for _, cert := range chain[1:] {
		options.Intermediates.AddCert(cert)
	}
	return options, verify
}

// verifyChain verifies a chain with crypto/x509, and returns the ways to build it
// up to a root.
func verifyChain(p verifyParams) ([][]*x509.Certificate, error) {
	chains, err := p.chain[0].Verify(p.options)
	var noRoots x509.SystemRootsError
	if errors.As(err, &noRoots) {
		return nil, failure(ReasonSystemRoots, err) // not the peer's fault
	}
	if err != nil {
		return nil, &ProtocolError{Reason: certificateReason(err, p.chain), Err: err}
	}
	// "If the client cannot construct an acceptable chain using the provided
	// certificates and decides to abort the handshake, then it MUST abort the
	// handshake with an appropriate certificate-related alert (by default,
	// "unsupported_certificate"; see Section 6.2 for more information)."
	// https://www.rfc-editor.org/rfc/rfc8446#section-4.4.2.2
	chains = slices.DeleteFunc(chains, func(chain []*x509.Certificate) bool { return !signedAsOffered(chain, p.schemes) })
	if len(chains) == 0 {
		return nil, violationf(ReasonUnsupportedCertificate, "signed with a scheme that was not offered")
	}
	return chains, nil
}

// signedAsOffered reports whether the certificates of a verified chain are signed
// with such schemes, its root aside.
func signedAsOffered(chain []*x509.Certificate, schemes []tls.SignatureScheme) bool {
	for _, cert := range chain[:len(chain)-1] {
		if !slices.Contains(schemes, certificateScheme(cert)) {
			return false
		}
	}
	return true
}

// certificateReason finds the reason that an error of x509 stands for.
func certificateReason(err error, chain []*x509.Certificate) Reason {
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	var hostname x509.HostnameError
	var critical x509.UnhandledCriticalExtension
	switch {
	case errors.As(err, &unknown):
		// "Any endpoint receiving any certificate which it would need to validate
		// using any signature algorithm using an MD5 hash MUST abort the handshake
		// with a "bad_certificate" alert. SHA-1 is deprecated, and it is
		// RECOMMENDED that any endpoint receiving any certificate which it would
		// need to validate using any signature algorithm using a SHA-1 hash abort
		// the handshake with a "bad_certificate" alert."
		// https://www.rfc-editor.org/rfc/rfc8446#section-4.4.2.4
		if slices.ContainsFunc(chain, signedWithWeakHash) {
			return ReasonBadCertificate
		}
		return ReasonUnknownAuthority
	case errors.As(err, &hostname):
		return ReasonNameMismatch
	case errors.As(err, &critical):
		return ReasonUnsupportedCertificate
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return ReasonCertificateExpired
	case errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		return ReasonCertificateUsage
	}
	return ReasonBadCertificate
}

// signedWithWeakHash reports whether a certificate depends on MD5 or SHA-1. That
// of a root, which signs itself, is not validated.
func signedWithWeakHash(cert *x509.Certificate) bool {
	switch cert.SignatureAlgorithm {
	case x509.MD5WithRSA, x509.SHA1WithRSA, x509.ECDSAWithSHA1, x509.DSAWithSHA1:
		return !bytes.Equal(cert.RawSubject, cert.RawIssuer)
	}
	return false
}

// keepStaples keeps what the server has said about its certificate.
func (m *Machine) keepStaples(ocsp []byte, scts [][]byte) {
	p := m.conn.learn()
	p.ocsp = slices.Clone(ocsp)
	for _, sct := range scts {
		p.scts = append(p.scts, slices.Clone(sct))
	}
}

// verifyConnection asks the application whether it wants this connection.
func (m *Machine) verifyConnection() error {
	verify := m.cfg.VerifyConnection
	if verify == nil {
		return nil
	}
	return call(ReasonVerificationRejected, func() error { return verify(m.conn.state()) })
}

// checkSignature checks that the key of the peer's certificate has signed the
// content of a handshake of that version, with a scheme that we offered.
func (d *derived) checkSignature(version uint16, leaf *x509.Certificate, id wire.SignatureScheme, content, signature []byte) error {
	// "If the CertificateVerify message is sent by a server, the signature
	// algorithm MUST be one offered in the client's "signature_algorithms"
	// extension unless no valid certificate chain can be produced without
	// unsupported algorithms"
	// https://www.rfc-editor.org/rfc/rfc8446#section-4.4.3
	s := findScheme(d.schemes, tls.SignatureScheme(id))
	if s == nil || !s.usable(version, leaf.PublicKey) {
		return violationf(ReasonSignatureScheme, "%s", id)
	}
	// "If the verification fails, the receiver MUST terminate the handshake with
	// a "decrypt_error" alert."
	// https://www.rfc-editor.org/rfc/rfc8446#section-4.4.3
	if err := s.verify(leaf.PublicKey, content, signature); err != nil {
		return &ProtocolError{Reason: ReasonBadSignature, Err: err}
	}
	return nil
}

// checkCertificateVerify checks that the peer has the key of its certificate: that it
// has signed content with it.
func (m *Machine) checkCertificateVerify(msg []byte, leaf *x509.Certificate, content []byte) error {
	var verify wire.CertificateVerify
	if err := verify.Parse(msg[wire.HeaderLen:]); err != nil {
		return malformed(err)
	}
	return m.d.checkSignature(m.conn.version, leaf, verify.Algorithm, content, verify.Signature)
}
