package tlscore

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"slices"

	"tlscore.example/tlscore/internal/wire"
)

// What the authentication of clients has in common: in the handshake of both
// versions, and after it.

// The client's part.

// clientRequest13 is what a CertificateRequest of TLS 1.3 asks a client for. It holds
// nothing of the message. oid_filters are about extensions that a client recognizes, and
// this one recognizes none: who chooses the certificate may.
func (d *derived) clientRequest13(msg []byte) (*credentialRequest, error) {
	var req wire.CertificateRequest
	if err := req.Parse(msg[wire.HeaderLen:]); err != nil {
		return nil, malformed(err)
	}
	// "The "signature_algorithms" extension MUST be specified"
	// https://www.rfc-editor.org/rfc/rfc8446#section-4.3.2
	if !req.Has(wire.ExtSignatureAlgorithms) {
		return nil, violationf(ReasonMissingExtension, "%s in CertificateRequest", wire.ExtSignatureAlgorithms)
	}
	q := &credentialRequest{
		version: tls.VersionTLS13,
		context: bytes.Clone(req.RequestContext),
		schemes: commonSchemes(d.schemes, req.SignatureAlgorithms),
		theirs:  req.SignatureAlgorithms,
		offered: convert[tls.SignatureScheme](req.SignatureAlgorithms),
		// "If no "signature_algorithms_cert" extension is present, then the
		// "signature_algorithms" extension also applies to signatures appearing
		// in certificates."
		// https://www.rfc-editor.org/rfc/rfc8446#section-4.2.3
		schemesCert: req.SignatureAlgorithms,
		authorities: cloneAll(req.CertificateAuthorities),
	}
	if req.Has(wire.ExtSignatureAlgorithmsCert) {
		q.schemesCert = req.SignatureAlgorithmsCert
	}
	return q, nil
}

// clientRequest12 is what a CertificateRequest of TLS 1.2 asks a client for. It
// holds nothing of the message.
//
//	"The end-entity certificate provided by the client MUST contain a key that
//	is compatible with certificate_types. If the key is a signature key, it MUST
//	be usable with some hash/signature algorithm pair in
//	supported_signature_algorithms."
//
// https://www.rfc-editor.org/rfc/rfc5246#section-7.4.4
func (d *derived) clientRequest12(req *wire.CertificateRequest12) *credentialRequest {
	q := &credentialRequest{
		version:     tls.VersionTLS12,
		schemes:     commonSchemes(d.schemes, req.SignatureAlgorithms),
		theirs:      slices.Clone(req.SignatureAlgorithms),
		schemesCert: slices.Clone(req.SignatureAlgorithms),
		authorities: cloneAll(req.CertificateAuthorities),
		ecdsa:       slices.Contains(req.CertificateTypes, wire.CertTypeECDSASign),
		rsa:         slices.Contains(req.CertificateTypes, wire.CertTypeRSASign),
	}
	for _, id := range req.SignatureAlgorithms {
		if s := schemeInfo(tls.SignatureScheme(id)); s != nil && (s.key == x509.RSA && q.rsa || s.key != x509.RSA && q.ecdsa) {
			q.offered = append(q.offered, s.id)
		}
	}
	return q
}

// info is the form of a client's request that the callbacks of crypto/tls know.
func (q *credentialRequest) info() *tls.CertificateRequestInfo {
	return &tls.CertificateRequestInfo{
		AcceptableCAs:    cloneAll(q.authorities),
		SignatureSchemes: slices.Clone(q.offered),
		Version:          q.version,
	}
}

// newClientCertificateTask asks the application for a client's certificate.
func (m *Machine) newClientCertificateTask(info *tls.CertificateRequestInfo) *Task {
	ask := m.cfg.GetClientCertificate
	t := m.newTask(TaskChooseCertificate, func(t *Task) error {
		if ask == nil {
			t.configured = true
			return nil
		}
		return call(ReasonCallbackFailed, func() (err error) {
			t.certificate, err = ask(info)
			return err
		})
	})
	t.request = info
	return t
}

// clientCredential finds what a client authenticates with, now that the
// application had its say, or nothing.
//
//	"If the server requests client authentication but no suitable certificate
//	is available, the client MUST send a Certificate message containing no
//	certificates"
//
// https://www.rfc-editor.org/rfc/rfc8446#section-4.4.2
//
// What the application has chosen is shown whoever has issued it, and is its
// failure when it cannot be used.
func (m *Machine) clientCredential(t *Task, q *credentialRequest) (*credential, *scheme, error) {
	if t.configured {
		q.authoritiesRequire = true
		c, s, err := q.choose(m.d.certs)
		if err != nil {
			return nil, nil, nil
		}
		return c, s, nil
	}
	if t.certificate == nil || len(t.certificate.Certificate) == 0 {
		return nil, nil, nil
	}
	c, err := chosenCredential(t.certificate)
	if err != nil {
		return nil, nil, err
	}
	q.authorities = nil
	return q.choose([]*credential{c})
}

// message returns the Certificate of TLS 1.3 that answers the request: that of the
// credential, or without one an empty one.
//
//	"If this message is in response to a CertificateRequest, the value of
//	certificate_request_context in that message."
//
// https://www.rfc-editor.org/rfc/rfc8446#section-4.4.2
func (q *credentialRequest) message(c *credential) *wire.Certificate {
	msg := new(wire.Certificate)
	if c != nil {
		*msg = c.message()
	}
	msg.RequestContext = q.context
	return msg
}

// The server's part.

// clientAuth says what a server does about the certificate of a client. Without a
// policy for the handshake there is one still for what Machine.RequestClientCertificate
// asks for: a chain is verified if there is something to verify it against.
func (c *Config) clientAuth() tls.ClientAuthType {
	switch {
	case c.ClientAuth != tls.NoClientCert:
		return c.ClientAuth
	case c.ClientCAs != nil:
		return tls.VerifyClientCertIfGiven
	}
	return tls.RequestClientCert
}

// requiresClientCert reports whether a client without a certificate is refused.
func (c *Config) requiresClientCert() bool {
	return c.ClientAuth == tls.RequireAnyClientCert || c.ClientAuth == tls.RequireAndVerifyClientCert
}

// certificateRequest asks a client for a certificate. RFC 8446, Section 4.3.2.
func (d *derived) certificateRequest(context []byte) *wire.CertificateRequest {
	return &wire.CertificateRequest{
		RequestContext:          context,
		SignatureAlgorithms:     convert[wire.SignatureScheme](d.algorithms),
		SignatureAlgorithmsCert: convert[wire.SignatureScheme](d.algorithmsCert),
		CertificateAuthorities:  d.authorities,
		Extensions: present([]conditional{
			{wire.ExtSignatureAlgorithms, true},
			{wire.ExtSignatureAlgorithmsCert, d.algorithmsCert != nil},
			{wire.ExtCertificateAuthorities, len(d.authorities) > 0},
		}),
	}
}

// certificateRequest12 asks a client for a certificate. RFC 5246, Section 7.4.4;
// RFC 8422, Section 5.5.
func (d *derived) certificateRequest12() *wire.CertificateRequest12 {
	return &wire.CertificateRequest12{
		CertificateTypes:       []wire.ClientCertificateType{wire.CertTypeECDSASign, wire.CertTypeRSASign},
		SignatureAlgorithms:    convert[wire.SignatureScheme](d.algorithms),
		CertificateAuthorities: d.authorities,
	}
}

// clientChain takes the certificates that a client answers a request with, which
// may be none.
func (m *Machine) clientChain(msg, context []byte) (chain []*x509.Certificate, raw [][]byte, err error) {
	var cert wire.Certificate
	if err := cert.Parse(msg[wire.HeaderLen:]); err != nil {
		return nil, nil, malformed(err)
	}
	// "If this message is in response to a CertificateRequest, the value of
	// certificate_request_context in that message."
	// https://www.rfc-editor.org/rfc/rfc8446#section-4.4.2
	if !bytes.Equal(cert.RequestContext, context) {
		return nil, nil, violation(ReasonCertificateContext)
	}
	if len(cert.Entries) == 0 {
		return nil, nil, m.checkNoClientCert()
	}
	for i := range cert.Entries {
		// "Extensions in the Certificate message from the client MUST correspond to
		// extensions in the CertificateRequest message from the server."
		// https://www.rfc-editor.org/rfc/rfc8446#section-4.4.2
		//
		// Our requests have none that a certificate could answer.
		if list := cert.Entries[i].Extensions; len(list) > 0 {
			return nil, nil, violationf(ReasonUnsolicitedExtension, "%s", list[0].Type)
		}
		raw = append(raw, bytes.Clone(cert.Entries[i].Data)) // x509 keeps what it parses
	}
	chain, err = m.d.parseChain(tls.VersionTLS13, raw)
	return chain, raw, err
}

// checkNoClientCert judges a client that shows no certificate.
//
//	"If the client does not send any certificates (i.e., it sends an empty
//	Certificate message), the server MAY at its discretion either continue
//	the handshake without client authentication or abort the handshake with a
//	"certificate_required" alert."
//
// https://www.rfc-editor.org/rfc/rfc8446#section-4.4.2.4
//
//	"If the client does not send any certificates, the server MAY at its
//	discretion either continue the handshake without client authentication, or
//	respond with a fatal handshake_failure alert."
//
// https://www.rfc-editor.org/rfc/rfc5246#section-7.4.6
func (m *Machine) checkNoClientCert() error {
	switch {
	case !m.cfg.requiresClientCert():
		return nil
	case m.tls12():
		return violation(ReasonNoClientCertificate)
	}
	return violation(ReasonCertificateRequired)
}
