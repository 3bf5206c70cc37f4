package main

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"tlscore.example/tlscore"
)

// session is what the connections of one test share.
type session struct {
}

var errVerification = errors.New("the runner told us to refuse this peer")
var errCertificate = errors.New("the runner told us to have no certificate")

// config turns options into the configuration of a machine.
func (c *conn) config() (*tlscore.Config, error) {
	o := c.o
	cfg := &tlscore.Config{
		ServerName:         o.hostName,
		InsecureSkipVerify: true,
		SignatureSchemes:   o.verifyPrefs,
		Trace:              c.trace,
	}
	cfg.Limits.HandshakeMessage = o.maxCertList
	cfg.Limits.SkippedEarlyData = skippedEarlyData
	if o.verifyFail && o.verifies() {
		cfg.VerifyPeerCertificate = func([][]byte, [][]*x509.Certificate) error { return errVerification }
	}
	if o.failCertCallback {
		cfg.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, errCertificate }
	}
	for _, set := range []func(*options, *tlscore.Config) error{setVersions, setSuites, setProtocols, setGroups, setTasks} {
		if err := set(o, cfg); err != nil {
			return nil, err
		}
	}
	return cfg, c.setCertificates(cfg)
}

// skippedEarlyData is how much early data the runner wants a server to pass over.
const skippedEarlyData = 16 << 10

// verifies reports whether a refusal of the peer's certificate ends the
// connection. Otherwise BoringSSL only notes it.
func (o *options) verifies() bool { return o.verifyPeer || o.requireClientCert }

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
	low, high := max(o.minVersion, tls.VersionTLS13), uint16(tls.VersionTLS13)
	if o.maxVersion != 0 {
		high = min(high, o.maxVersion)
	}
	if o.noTLS13 {
		high = min(high, tls.VersionTLS12)
	}
	if low > high {
		return unsupported("versions below TLS 1.3, and none at all")
	}
	cfg.MinVersion, cfg.MaxVersion = low, high
	return nil
}

// mlkem1024 is ML-KEM without a curve beside it, which the machine does not have.
const mlkem1024 tls.CurveID = 0x0202

func setGroups(o *options, cfg *tlscore.Config) error {
	for _, list := range [][]tls.CurveID{o.curves, o.keyShares} {
		if slices.Contains(list, mlkem1024) {
			return unsupported("group MLKEM1024")
		}
	}
	cfg.CurvePreferences, cfg.KeyShares = o.curves, o.keyShares
	return nil
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
		cert, err := loadCertificate(&list[i])
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
	return nil
}

func loadCertificate(cred *credential) (tls.Certificate, error) {
	chain, err := readChain(cred.certFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := readKey(cred.keyFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{
		Certificate:                  chain,
		PrivateKey:                   key,
		SupportedSignatureAlgorithms: cred.signingPrefs,
	}, nil
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
