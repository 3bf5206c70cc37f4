package main

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"golang.org/x/crypto/cryptobyte"

	"tlscore.example/tlscore"
)

// What the callbacks of the application refuse with. The runner looks for these
// texts too.
var (
	errVerification = errors.New("the runner told us to refuse this peer")
	errCertificate  = errors.New("the runner told us to have no certificate")
	errStaple       = errors.New("the runner told us to refuse this OCSP response")
	errTimestamps   = errors.New("bad list of timestamps")
	errIssuer       = errors.New("no credential is of an issuer that the peer names")
)

// config turns options into the configuration of a machine.
func (c *conn) config() (*tlscore.Config, error) {
	o := c.o
	cfg := &tlscore.Config{
		ServerName:                  o.hostName,
		InsecureSkipVerify:          true,
		Trace:                       c.trace,
		KeyLogWriter:                &c.log,
		OCSPStapling:                o.enableOCSPStapling,
		SignedCertificateTimestamps: o.enableSCTs,
		FallbackSCSV:                o.fallbackSCSV,
		GREASE:                      o.enableGREASE,
		ShuffleExtensions:           o.permuteExtensions,
	}
	cfg.Limits.HandshakeMessage = o.maxCertList
	cfg.Limits.SkippedEarlyData = skippedEarlyData
	c.setVerification(cfg)
	for _, set := range []func(*options, *tlscore.Config) error{
		setVersions, setSuites, setProtocols, setGroups, setSchemes, setPreset, setTasks, setAuthorities,
	} {
		if err := set(o, cfg); err != nil {
			return nil, err
		}
	}
	if err := c.setResumption(cfg); err != nil {
		return nil, err
	}
	return cfg, c.setCertificates(cfg)
}

// setVerification installs the callbacks that judge the peer. What they refuse
// with depends on the options at that time: a retry has its own.
func (c *conn) setVerification(cfg *tlscore.Config) {
	if c.o.server && (c.o.verifyPeer || c.o.requireClientCert) {
		cfg.ClientAuth = tls.RequestClientCert
		if c.o.requireClientCert {
			cfg.ClientAuth = tls.RequireAnyClientCert
		}
	}
	cfg.VerifyPeerCertificate = func([][]byte, [][]*x509.Certificate) error { return c.judge() }
	if c.o.reverifyOnResume {
		cfg.VerifyConnection = func(cs tls.ConnectionState) error {
			if cs.DidResume {
				return c.judge()
			}
			return nil
		}
	}
	if c.o.useOCSPCallback && c.o.enableOCSPStapling && !c.o.server {
		cfg.VerifyOCSPResponse = func([]byte, [][]*x509.Certificate) error {
			if c.o.failOCSPCallback {
				return errStaple
			}
			return nil
		}
	}
}

// judge refuses the peer when -verify-fail says so, and when that counts: without
// one of the other two flags BoringSSL only notes it. The alerts are those that
// BoringSSL's two kinds of callbacks send.
func (c *conn) judge() error {
	o := c.o
	if !o.verifyFail || !o.verifyPeer && !o.requireClientCert {
		return nil
	}
	alert := tlscore.AlertHandshakeFailure
	if o.customVerify {
		alert = tlscore.AlertCertificateUnknown
	}
	return &tlscore.AlertError{Alert: alert, Err: errVerification}
}

// setAuthorities names those that -use-client-ca-list wants to see.
func setAuthorities(o *options, cfg *tlscore.Config) (err error) {
	if o.useClientCAList != nil {
		cfg.CertificateAuthorities, err = nameList(*o.useClientCAList)
	}
	return err
}

// skippedEarlyData is how much early data the runner wants a server to pass over.
const skippedEarlyData = 16 << 10

// setTasks lifts out everything or nothing.
func setTasks(o *options, cfg *tlscore.Config) error {
	switch o.tasks {
	case "all":
		cfg.Tasks = tlscore.AllTasks
	case "none":
	case "":
		if o.async {
			cfg.Tasks = tlscore.AllTasks
		}
	default:
		return fmt.Errorf("no set of tasks is called %q", o.tasks)
	}
	return nil
}

func setVersions(o *options, cfg *tlscore.Config) error {
	low, high := max(o.minVersion, tls.VersionTLS12), uint16(tls.VersionTLS13)
	if o.maxVersion != 0 {
		high = min(high, o.maxVersion)
	}
	if o.noTLS12 {
		low = max(low, tls.VersionTLS13)
	}
	if o.noTLS13 {
		high = min(high, tls.VersionTLS12)
	}
	if low > high {
		return unsupported("versions below TLS 1.2, and none at all")
	}
	cfg.MinVersion, cfg.MaxVersion = low, high
	return nil
}

func setGroups(o *options, cfg *tlscore.Config) error {
	cfg.CurvePreferences, cfg.KeyShares = o.curves, o.keyShares
	return nil
}

// supportedSchemes are those of the machine. What else the runner knows is SHA-1,
// ML-DSA, and PKCS #1 v1.5 in TLS 1.3.
var supportedSchemes = []tls.SignatureScheme{
	tls.ECDSAWithP256AndSHA256, tls.ECDSAWithP384AndSHA384, tls.ECDSAWithP521AndSHA512, tls.Ed25519,
	tls.PSSWithSHA256, tls.PSSWithSHA384, tls.PSSWithSHA512,
	tls.PKCS1WithSHA256, tls.PKCS1WithSHA384, tls.PKCS1WithSHA512,
}

func setSchemes(o *options, cfg *tlscore.Config) error {
	lists := [][]tls.SignatureScheme{o.verifyPrefs, o.expectPeerVerifyPrefs, o.identity.signingPrefs}
	for _, cred := range o.credentials {
		lists = append(lists, cred.signingPrefs)
	}
	for _, list := range lists {
		for _, scheme := range list {
			if !slices.Contains(supportedSchemes, scheme) {
				return unsupported("signature scheme %v", scheme)
			}
		}
	}
	cfg.SignatureSchemes = o.verifyPrefs
	return nil
}

// supportedSuites are those of the machine.
var supportedSuites = []uint16{
	tls.TLS_AES_128_GCM_SHA256,
	tls.TLS_AES_256_GCM_SHA384,
	tls.TLS_CHACHA20_POLY1305_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// setSuites understands the cipher strings that have an AEAD suite in them.
func setSuites(o *options, _ *tlscore.Config) error {
	if o.cipher != "" {
		return unsupported("cipher string %q", o.cipher)
	}
	return nil
}

// setProtocols turns what BoringSSL's callback would select into the list that
// makes the machine select it.
func setProtocols(o *options, cfg *tlscore.Config) error {
	if !o.server {
		var err error
		cfg.NextProtos, err = protocolList(o.advertiseALPN)
		return err
	}
	switch {
	case o.declineALPN:
	case o.rejectALPN:
		cfg.NextProtos = []string{"no client offers this"}
	case o.selectALPN != "":
		cfg.NextProtos = []string{o.selectALPN}
	}
	return nil
}

// protocolList reads a ProtocolNameList without its outer length. RFC 7301,
// Section 3.1.
func protocolList(list string) (protos []string, err error) {
	for len(list) > 0 {
		n := int(list[0])
		if n+1 > len(list) {
			return nil, fmt.Errorf("bad protocol list %q", list)
		}
		protos = append(protos, list[1:1+n])
		list = list[1+n:]
	}
	return protos, nil
}

// setCertificates loads the credentials: the new ones in their order, then the
// default one.
func (c *conn) setCertificates(cfg *tlscore.Config) error {
	list := c.o.credentials
	if c.o.identity.certFile != "" {
		list = append(list[:len(list):len(list)], c.o.identity)
	}
	for i := range list {
		cert, err := c.loadCertificate(&list[i])
		if err != nil {
			return err
		}
		number := i
		if i == len(c.o.credentials) {
			number = -1
		}
		cert.PrivateKey = c.noting(cert.PrivateKey, number)
		cfg.Certificates = append(cfg.Certificates, cert)
	}
	c.setCertificateCallbacks(cfg)
	return nil
}

func (c *conn) setCertificateCallbacks(cfg *tlscore.Config) {
	switch {
	case c.o.server && c.o.failCertCallback:
		cfg.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, errCertificate }
	case !c.o.server && (c.o.failCertCallback || c.o.expectClientCAList != nil || c.o.matchesIssuers()):
		cfg.GetClientCertificate = c.clientCertificate
	}
	if c.o.server && c.o.useOCSPCallback {
		cfg.GetOCSPResponse = c.staple
	}
}

// clientCertificate is the Config.GetClientCertificate of a client whose test is
// about what the callback is told.
func (c *conn) clientCertificate(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
	c.authorities = info.AcceptableCAs
	if c.o.failCertCallback {
		return nil, errCertificate
	}
	certs := c.issuedBy(info.AcceptableCAs)
	if len(certs) == 0 && c.o.matchesIssuers() {
		return nil, &tlscore.AlertError{Alert: tlscore.AlertHandshakeFailure, Err: errIssuer}
	}
	anyIssuer := *info
	anyIssuer.AcceptableCAs = nil
	for i := range certs {
		if anyIssuer.SupportsCertificate(&certs[i]) == nil {
			return &certs[i], nil
		}
	}
	return nil, nil
}

// matchesIssuers reports whether a credential is only to be used when the peer
// names its issuer.
func (o *options) matchesIssuers() bool {
	return slices.ContainsFunc(o.credentials, func(c credential) bool { return c.mustMatchIssuer })
}

// issuedBy returns the certificates that may be used with a peer that names these
// authorities.
func (c *conn) issuedBy(authorities [][]byte) (certs []tls.Certificate) {
	for i, cert := range c.cfg.Certificates {
		if i >= len(c.o.credentials) || !c.o.credentials[i].mustMatchIssuer || issued(cert.Certificate, authorities) {
			certs = append(certs, cert)
		}
	}
	return certs
}

// issued reports whether one of the authorities has issued a certificate of the
// chain.
func issued(chain, authorities [][]byte) bool {
	return slices.ContainsFunc(chain, func(der []byte) bool {
		cert, err := x509.ParseCertificate(der)
		return err == nil && slices.ContainsFunc(authorities, func(name []byte) bool { return bytes.Equal(name, cert.RawIssuer) })
	})
}

// staple is the Config.GetOCSPResponse of a server.
func (c *conn) staple(*tls.Certificate) ([]byte, error) {
	switch {
	case c.o.failOCSPCallback:
		return nil, errStaple
	case c.o.declineOCSPCallback:
		return nil, nil
	}
	return c.o.identity.ocspResponse, nil
}

func (c *conn) loadCertificate(cred *credential) (cert tls.Certificate, err error) {
	if cert.Certificate, err = readChain(cred.certFile); err != nil {
		return cert, err
	}
	if cert.PrivateKey, err = readKey(cred.keyFile); err != nil {
		return cert, err
	}
	if cert.SignedCertificateTimestamps, err = timestampList(cred.scts); err != nil {
		return cert, err
	}
	if cert.SupportedSignatureAlgorithms = cred.signingPrefs; cred.signingPrefs == nil && c.o.verifyPrefs != nil {
		// What is accepted of the peer, -verify-prefs, is another matter.
		cert.SupportedSignatureAlgorithms = supportedSchemes
	}
	if !c.o.useOCSPCallback {
		cert.OCSPStaple = cred.ocspResponse
	}
	return cert, nil
}

// timestampList reads a SignedCertificateTimestampList. RFC 6962, Section 3.3.
func timestampList(list []byte) (timestamps [][]byte, err error) {
	if len(list) == 0 {
		return nil, nil
	}
	outer := cryptobyte.String(list)
	var inner, one cryptobyte.String
	if !outer.ReadUint16LengthPrefixed(&inner) || !outer.Empty() || inner.Empty() {
		return nil, errTimestamps
	}
	for !inner.Empty() {
		if !inner.ReadUint16LengthPrefixed(&one) || one.Empty() {
			return nil, errTimestamps
		}
		timestamps = append(timestamps, one)
	}
	return timestamps, nil
}

// readChain reads the certificates of a PEM file.
func readChain(name string) (chain [][]byte, err error) {
	rest, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return chain, nil
		}
		if block.Type == "CERTIFICATE" {
			chain = append(chain, block.Bytes)
		}
	}
}

func readKey(name string) (crypto.PrivateKey, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s: no PEM", name)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, unsupported("%v", err) // ML-DSA
	}
	return key, nil
}

// notingSigner tells which credential has signed.
type notingSigner struct {
	crypto.Signer
	signed func()
}

func (s *notingSigner) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	s.signed()
	return s.Signer.Sign(rand, digest, opts)
}

func (c *conn) noting(key crypto.PrivateKey, number int) crypto.PrivateKey {
	signer, ok := key.(crypto.Signer)
	if !ok {
		return key
	}
	return &notingSigner{signer, func() { c.signedBy = number }}
}
