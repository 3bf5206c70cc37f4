package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"strings"
	"sync"
	"time"

	"tlscore.example/tlscore"
)

// certificates finds a server's config, and in it the certificate, for a name.
type certificates struct {
	base  *tlscore.Config // with the default certificate
	bySNI bool            // make a certificate for each name that clients ask for

	mu     sync.Mutex
	byName map[string]*tlscore.Config
	order  []string // the names in byName, oldest first
}

// maxNames bounds the certificates that are kept: names are the clients' to
// choose.
const maxNames = 256

// forHello returns the config for a client of an acceptor.
func (c *certificates) forHello(hello *tlscore.ClientHello) *tlscore.Config {
	name := strings.ToLower(hello.ServerName)
	if !c.bySNI || name == "" || name == "localhost" || !isHostName(name) {
		return c.base
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if cfg := c.byName[name]; cfg != nil {
		return cfg
	}
	cert, err := selfSigned(name)
	if err != nil {
		return c.base // the client may still like the default certificate
	}
	cfg := c.base.Clone()
	cfg.Certificates = []tls.Certificate{*cert}
	c.remember(name, cfg)
	return cfg
}

func (c *certificates) remember(name string, cfg *tlscore.Config) {
	if c.byName == nil {
		c.byName = make(map[string]*tlscore.Config)
	}
	if len(c.order) == maxNames {
		delete(c.byName, c.order[0])
		c.order = append(c.order[:0], c.order[1:]...)
	}
	c.byName[name] = cfg
	c.order = append(c.order, name)
}

// isHostName reports whether a certificate can be made for name: letters, digits
// and hyphens in labels of at most 63 bytes.
func isHostName(name string) bool {
	if len(name) == 0 || len(name) > 253 || net.ParseIP(name) != nil {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if len(label) == 0 || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, b := range []byte(label) {
			if !(b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '-') {
				return false
			}
		}
	}
	return true
}

// selfSigned makes a certificate of its own for names and IP addresses.
func selfSigned(names ...string) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{Organization: []string{"tlscore self-signed"}},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(90 * 24 * time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	if len(names[0]) <= 64 { // the most that a CommonName holds
		template.Subject.CommonName = names[0]
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// serverCertificate loads the certificate from files, or makes one when there
// are none.
func serverCertificate(certFile, keyFile string) (*tls.Certificate, error) {
	cert, err := readKeyPair(certFile, keyFile)
	if cert == nil && err == nil {
		cert, err = selfSigned("localhost", "127.0.0.1", "::1")
	}
	return cert, err
}
