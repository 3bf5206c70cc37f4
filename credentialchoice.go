package tlscore

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/tls"
	"slices"

	"tlscore.example/tlscore/internal/wire"
)

// Which of several certificates suits the peer. RFC 8446, Sections 4.4.2.2 and 4.4.2.3;
// RFC 5246, Sections 7.4.2 and 7.4.6.

// credentialRequest says what the peer asks of a certificate, and what the
// handshake needs. RFC 8446, Sections 4.4.2.2 and 4.4.2.3; RFC 5246, Sections
// 7.4.2 and 7.4.6.
type credentialRequest struct {
	version uint16
	// context is the certificate_request_context of a server of TLS 1.3.
	context []byte
	// schemes are those that both sides have, in the order in which they are to
	// be used.
	schemes []tls.SignatureScheme
	// theirs are all that the peer has: a certificate with a list of its own signs with
	// the schemes of that list.
	theirs []wire.SignatureScheme
	// offered are all schemes that a server accepts of a client, for the callback.
	offered []tls.SignatureScheme
	// schemesCert are those that the peer accepts inside certificates; nil means
	// that it did not say.
	schemesCert []wire.SignatureScheme
	// serverName is the name that a client asks for, if any.
	serverName string
	// authorities are the names of the authorities that the peer accepts, in
	// DER; without any it accepts all. A server may pass over them, a client may
	// not.
	authorities        [][]byte
	authoritiesRequire bool

	// The rest is of TLS 1.2: whether a cipher suite, or the certificate_types
	// of a CertificateRequest, lets such a key sign, and the curves that an
	// ECDSA key may be on; nil means any.
	ecdsa, rsa bool
	curves     []tls.CurveID
}

// choose returns the credential that suits best, and the scheme to sign with:
// the first among equals. When none can be used, the error says why.
//
// A server shows one for the name that was asked for rather than another, then
// one whose chain the peer can verify ("All certificates provided by the server
// MUST be signed by a signature algorithm advertised by the client if it is able
// to provide such a chain"), then one from an authority that the peer names.
// https://www.rfc-editor.org/rfc/rfc8446#section-4.4.2.2
//
// A client judges the chain alike: refusing to show what the server may well be
// able to verify would gain nothing.
func (q *credentialRequest) choose(candidates []*credential) (*credential, *scheme, error) {
	if len(candidates) == 0 {
		return nil, nil, failure(ReasonNoCertificate, nil)
	}
	if len(candidates) == 1 && !q.authoritiesRequire { // there is nothing to compare
		if s := q.scheme(candidates[0]); s != nil {
			return candidates[0], s, nil
		}
		return nil, nil, q.refusal(candidates)
	}
	var chosen *credential
	var signsWith *scheme
	best := -1
	for _, c := range candidates {
		s := q.scheme(c)
		if s == nil {
			continue
		}
		issued := len(q.authorities) == 0 || c.issuedByAny(q.authorities)
		if !issued && q.authoritiesRequire {
			continue
		}
		if rank := q.rank(c, issued); rank > best {
			best, chosen, signsWith = rank, c, s
		}
	}
	if chosen == nil {
		return nil, nil, q.refusal(candidates)
	}
	return chosen, signsWith, nil
}

// rank counts what speaks for a credential that can sign, the name most.
func (q *credentialRequest) rank(c *credential, issued bool) (rank int) {
	if q.serverName == "" || c.leaf.VerifyHostname(q.serverName) == nil {
		rank += 4
	}
	if q.schemesCert == nil || c.signedWithAny(q.schemesCert) {
		rank += 2
	}
	if issued {
		rank++
	}
	return rank
}

// refusal says why no credential can be used.
func (q *credentialRequest) refusal(candidates []*credential) error {
	if q.version == tls.VersionTLS12 && !slices.ContainsFunc(candidates, q.suitsKind) {
		return violationf(ReasonNoCommonCipherSuite, "none of those in common suits a certificate")
	}
	return violation(ReasonNoCommonSignatureScheme)
}

// scheme returns the first scheme that the credential can sign with, or nil.
func (q *credentialRequest) scheme(c *credential) *scheme {
	if !q.suitsKind(c) || !q.suitsCurve(c) {
		return nil
	}
	common := q.schemes
	if own := c.cert.SupportedSignatureAlgorithms; own != nil {
		common = commonSchemes(own, q.theirs)
	}
	for _, id := range common {
		if s := schemeInfo(id); s != nil && s.usable(q.version, c.leaf.PublicKey) {
			return s
		}
	}
	return nil
}

// suitsKind reports whether the cipher suites, or certificate_types, of TLS 1.2
// let the key sign.
func (q *credentialRequest) suitsKind(c *credential) bool {
	if q.version != tls.VersionTLS12 {
		return true
	}
	if c.signsRSA() {
		return q.rsa
	}
	return q.ecdsa
}

// suitsCurve reports whether the peer knows the curve of an ECDSA key, which
// supported_groups tells in TLS 1.2. RFC 8422, Section 5.1.
func (q *credentialRequest) suitsCurve(c *credential) bool {
	key, ok := c.leaf.PublicKey.(*ecdsa.PublicKey)
	if !ok || q.version != tls.VersionTLS12 || q.curves == nil {
		return true
	}
	return slices.Contains(q.curves, curveID(key.Curve))
}

// signsRSA reports whether the key of the credential goes with the RSA cipher
// suites of TLS 1.2; other keys go with those of ECDSA. RFC 8422, Section 5.10.
func (c *credential) signsRSA() bool {
	_, ok := c.leaf.PublicKey.(*rsa.PublicKey)
	return ok
}
