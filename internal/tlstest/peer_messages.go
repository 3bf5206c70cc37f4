package tlstest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"errors"
	"slices"
	"strings"

	"tlscore.example/tlscore/internal/wire"
)

// The messages of the peer, correct ones but for what its hooks do. Building a
// message does not send it.

// ClientHello builds a ClientHello: the first one, or one that answers a
// HelloRetryRequest. Shares says for which groups it has a key share, nil means
// Group.
func (p *Peer) ClientHello() []byte {
	if p.tls12() {
		return p.clientHello12()
	}
	shares := p.Shares
	if shares == nil {
		shares = []wire.NamedGroup{p.Group}
	}
	groups := []wire.NamedGroup{p.Group}
	for _, g := range []wire.NamedGroup{wire.GroupX25519, wire.GroupP256} {
		if !slices.Contains(groups, g) {
			groups = append(groups, g)
		}
	}
	if p.Hello.SupportedGroups != nil { // the second one repeats the first
		groups = p.Hello.SupportedGroups
	}
	p.Hello = wire.ClientHello{
		LegacyVersion:      wire.VersionTLS12,
		Random:             p.random,
		SessionID:          p.SessionID,
		CipherSuites:       []wire.CipherSuite{p.Suite},
		CompressionMethods: []byte{0},
		ServerName:         []byte(p.ServerName),
		SupportedGroups:    groups,
		SignatureAlgorithms: []wire.SignatureScheme{
			wire.ECDSAP256SHA256, wire.RSAPSSRSAESHA256, wire.Ed25519, wire.ECDSAP384SHA384, wire.ECDSAP521SHA512,
		},
		SupportedVersions: []wire.Version{wire.VersionTLS13},
		Cookie:            p.Cookie,
	}
	for _, g := range shares {
		p.Hello.KeyShares = append(p.Hello.KeyShares, wire.KeyShare{Group: g, Data: p.key(g).public()})
	}
	types := []wire.ExtensionType{
		wire.ExtServerName, wire.ExtSupportedGroups, wire.ExtSignatureAlgorithms, wire.ExtSupportedVersions, wire.ExtKeyShare,
	}
	if p.ServerName == "" {
		types = types[1:]
	}
	if p.Cookie != nil {
		types = append(types, wire.ExtCookie)
	}
	if p.EarlyData {
		types = append(types, wire.ExtEarlyData)
	}
	types = append(types, p.offerPSKs()...)
	p.Hello.Extensions = Extensions(types...)
	if p.OnClientHello != nil {
		p.OnClientHello(&p.Hello)
	}
	return p.bind(p.Hello.Append(nil))
}

// ServerHello builds the answer to the ClientHello that was received last, and
// with it the shared secret. Without a share for Group it makes one up.
func (p *Peer) ServerHello() []byte {
	if p.tls12() {
		return p.serverHello12()
	}
	hello := wire.ServerHello{
		LegacyVersion:    wire.VersionTLS12,
		Random:           p.random,
		SessionID:        p.Hello.SessionID,
		CipherSuite:      p.Suite,
		SupportedVersion: wire.VersionTLS13,
		KeyShare:         wire.KeyShare{Group: p.Group},
		Extensions:       Extensions(wire.ExtSupportedVersions, wire.ExtKeyShare),
	}
	var client []byte
	for _, k := range p.Hello.KeyShares {
		if k.Group == p.Group {
			client = k.Data
		}
	}
	hello.KeyShare.Data, p.shared = p.key(p.Group).server(client)
	if p.PSK != nil {
		hello.Extensions = append(hello.Extensions, Extensions(wire.ExtPreSharedKey)...)
		hello.SelectedIdentity = p.identity(p.PSK)
	}
	if p.OnServerHello != nil {
		p.OnServerHello(&hello)
	}
	if !hello.Has(wire.ExtKeyShare) {
		p.shared = nil
	}
	return hello.Append(nil)
}

// HelloRetryRequest builds one that asks for a share of Group, with Cookie if
// there is one.
func (p *Peer) HelloRetryRequest() []byte {
	hello := wire.ServerHello{
		LegacyVersion:    wire.VersionTLS12,
		Random:           wire.HelloRetryRequestRandom,
		SessionID:        p.Hello.SessionID,
		CipherSuite:      p.Suite,
		SupportedVersion: wire.VersionTLS13,
		SelectedGroup:    p.Group,
		Cookie:           p.Cookie,
		Extensions:       Extensions(wire.ExtSupportedVersions, wire.ExtKeyShare),
	}
	if p.Cookie != nil {
		hello.Extensions = append(hello.Extensions, Extensions(wire.ExtCookie)...)
	}
	if p.OnHelloRetryRequest != nil {
		p.OnHelloRetryRequest(&hello)
	}
	return hello.Append(nil)
}

// EncryptedExtensions builds empty ones, or with early_data alone.
func (p *Peer) EncryptedExtensions() []byte {
	var ee wire.EncryptedExtensions
	if p.EarlyData {
		ee.Extensions = Extensions(wire.ExtEarlyData)
	}
	if p.OnEncryptedExtensions != nil {
		p.OnEncryptedExtensions(&ee)
	}
	return ee.Append(nil)
}

// CertificateRequest builds a request for a client certificate.
func (p *Peer) CertificateRequest() []byte {
	if p.tls12() {
		return p.certificateRequest12()
	}
	req := wire.CertificateRequest{
		RequestContext:      p.RequestContext,
		SignatureAlgorithms: []wire.SignatureScheme{wire.ECDSAP256SHA256},
		Extensions:          Extensions(wire.ExtSignatureAlgorithms),
	}
	if p.OnCertificateRequest != nil {
		p.OnCertificateRequest(&req)
	}
	p.RequestContext = req.RequestContext
	return req.Append(nil)
}

// CertificateMessage builds the Certificate: an empty one, if the peer has none.
func (p *Peer) CertificateMessage() []byte {
	if p.tls12() {
		return p.certificate12()
	}
	var cert wire.Certificate
	if !p.server {
		cert.RequestContext = p.RequestContext
	}
	for _, der := range p.Certificate.Certificate {
		cert.Entries = append(cert.Entries, wire.CertificateEntry{Data: der})
	}
	if p.OnCertificate != nil {
		p.OnCertificate(&cert)
	}
	return cert.Append(nil)
}

// signedContent is what a server or a client signs. RFC 8446, Section 4.4.3. In
// TLS 1.2 it is what a client signs: all messages. RFC 5246, Section 7.4.8.
func (p *Peer) signedContent(server bool) []byte {
	if p.tls12() {
		return p.transcript
	}
	who := "client"
	if server {
		who = "server"
	}
	content := strings.Repeat(" ", 64) + "TLS 1.3, " + who + " CertificateVerify\x00"
	return append([]byte(content), p.TranscriptHash()...)
}

// CertificateVerify signs the transcript.
func (p *Peer) CertificateVerify() []byte {
	verify := wire.CertificateVerify{
		Algorithm: wire.SignatureScheme(p.Scheme),
		Signature: p.sign(p.Scheme, p.signedContent(p.server)),
	}
	if p.OnCertificateVerify != nil {
		p.OnCertificateVerify(&verify)
	}
	return verify.Append(nil)
}

func (p *Peer) sign(scheme tls.SignatureScheme, content []byte) []byte {
	signer := p.Certificate.PrivateKey.(crypto.Signer)
	hash, pss := hashOf(scheme)
	var opts crypto.SignerOpts = hash
	if pss {
		opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}
	}
	signature, err := signer.Sign(rand.Reader, digest(hash, content), opts)
	if err != nil {
		panic(err)
	}
	return signature
}

// hashOf returns the hash of a scheme, zero for Ed25519, and whether it is RSA-PSS.
func hashOf(scheme tls.SignatureScheme) (hash crypto.Hash, pss bool) {
	switch scheme {
	case tls.PSSWithSHA256, tls.PSSWithSHA384, tls.PSSWithSHA512:
		return crypto.SHA256 + crypto.Hash(scheme-tls.PSSWithSHA256), true
	case tls.ECDSAWithP384AndSHA384, tls.PKCS1WithSHA384:
		return crypto.SHA384, false
	case tls.ECDSAWithP521AndSHA512, tls.PKCS1WithSHA512:
		return crypto.SHA512, false
	case tls.Ed25519:
		return 0, false
	}
	return crypto.SHA256, false
}

func digest(hash crypto.Hash, content []byte) []byte {
	if hash == 0 {
		return content
	}
	h := hash.New()
	h.Write(content)
	return h.Sum(nil)
}

// checkSignature checks the CertificateVerify of the other end.
func (p *Peer) checkSignature(body []byte) error {
	var verify wire.CertificateVerify
	if err := verify.Parse(body); err != nil {
		return err
	}
	return p.verify(verify.Algorithm, p.signedContent(!p.server), verify.Signature)
}

// verify checks a signature of the other end.
func (p *Peer) verify(scheme wire.SignatureScheme, content, signature []byte) error {
	if p.leaf == nil {
		return errors.New("no certificate before it")
	}
	hash, pss := hashOf(tls.SignatureScheme(scheme))
	sum := digest(hash, content)
	ok := false
	switch key := p.leaf.PublicKey.(type) {
	case *ecdsa.PublicKey:
		ok = ecdsa.VerifyASN1(key, sum, signature)
	case ed25519.PublicKey:
		ok = ed25519.Verify(key, sum, signature)
	case *rsa.PublicKey:
		if pss {
			ok = rsa.VerifyPSS(key, hash, sum, signature, &rsa.PSSOptions{SaltLength: hash.Size()}) == nil
		} else if p.tls12() {
			ok = rsa.VerifyPKCS1v15(key, hash, sum, signature) == nil
		}
	}
	if !ok {
		return errors.New("wrong signature")
	}
	return nil
}

// Finished builds the Finished over the transcript as it is. Before there are
// keys it is all zeros.
func (p *Peer) Finished() []byte {
	if p.tls12() {
		return p.finished12()
	}
	base := p.clientSecret[Handshake]
	switch {
	case p.answer != nil:
		base = p.sending.secret
	case p.server:
		base = p.serverSecret[Handshake]
	}
	fin := wire.Finished{VerifyData: make([]byte, 32)}
	if p.handshake != nil {
		fin.VerifyData = base.Finished(nil, p.TranscriptHash())
	}
	if p.OnFinished != nil {
		p.OnFinished(&fin)
	}
	return fin.Append(nil)
}

// KeyUpdate builds a KeyUpdate.
func (p *Peer) KeyUpdate(request byte) []byte {
	return (&wire.KeyUpdate{Request: request}).Append(nil)
}

// Message builds a message of any type with any body.
func Message(t wire.HandshakeType, body ...byte) []byte {
	msg, mark := wire.AppendHeader(nil, t)
	return wire.CloseHeader(append(msg, body...), mark)
}

// Extensions lists extensions that are encoded from their typed fields.
func Extensions(types ...wire.ExtensionType) (list []wire.Extension) {
	for _, t := range types {
		list = append(list, wire.Extension{Type: t})
	}
	return list
}
