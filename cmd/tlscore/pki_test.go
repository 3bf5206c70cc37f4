package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/crypto/ocsp"
)

// testPKI has files with certificates that all peers can read: an authority, and what it
// has issued.
type testPKI struct {
	ca                         string
	pool                       *x509.CertPool
	ecdsa, rsa                 identity // servers for localhost and 127.0.0.1
	client, rsaClient          identity // alice and bob
	strangerCA                 string
	stranger                   identity // a client of another authority
	ecdsaStaple, revokedStaple string   // OCSP responses about ecdsa
}

// identity is a certificate with its key.
type identity struct{ cert, key string }

// std reads it for crypto/tls.
func (i identity) std() tls.Certificate { return must(tls.LoadX509KeyPair(i.cert, i.key)) }

// pki makes all of it once.
var pki = sync.OnceValue(func() *testPKI {
	authority, stranger := newAuthority("authority"), newAuthority("stranger")
	p := &testPKI{
		ca:         authority.file,
		pool:       x509.NewCertPool(),
		ecdsa:      authority.issue("localhost", newECDSAKey()),
		rsa:        authority.issue("rsa-localhost", must(rsa.GenerateKey(rand.Reader, 2048))),
		client:     authority.issue("alice", newECDSAKey()),
		rsaClient:  authority.issue("bob", must(rsa.GenerateKey(rand.Reader, 2048))),
		strangerCA: stranger.file,
		stranger:   stranger.issue("mallory", newECDSAKey()),
	}
	p.pool.AddCert(authority.cert)
	p.ecdsaStaple = authority.staple("good.ocsp", p.ecdsa, ocsp.Good)
	p.revokedStaple = authority.staple("revoked.ocsp", p.ecdsa, ocsp.Revoked)
	return p
})

type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
	file string
}

func newECDSAKey() crypto.Signer { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }

// template is what certificates have in common.
func template(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber:          must(rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))),
		Subject:               pkix.Name{Organization: []string{"tlscore tests"}, CommonName: name},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		BasicConstraintsValid: true,
	}
}

func newAuthority(name string) *authority {
	key := newECDSAKey()
	t := template(name)
	t.IsCA = true
	t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	der := must(x509.CreateCertificate(rand.Reader, t, t, key.Public(), key))
	return &authority{must(x509.ParseCertificate(der)), key, testFile(name+".pem", pemBlock("CERTIFICATE", der))}
}

// issue makes a certificate that servers for localhost, and clients, can use.
func (a *authority) issue(name string, key crypto.Signer) identity {
	t := template(name)
	t.KeyUsage = x509.KeyUsageDigitalSignature
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	t.DNSNames = []string{"localhost"}
	t.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	der := must(x509.CreateCertificate(rand.Reader, t, a.cert, key.Public(), a.key))
	chain := append(pemBlock("CERTIFICATE", der), pemBlock("CERTIFICATE", a.cert.Raw)...)
	return identity{
		testFile(name+".cert", chain),
		testFile(name+".key", pemBlock("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(key)))),
	}
}

// staple makes an OCSP response.
func (a *authority) staple(name string, about identity, status int) string {
	return testFile(name, must(ocsp.CreateResponse(a.cert, a.cert, ocsp.Response{
		Status:       status,
		SerialNumber: must(x509.ParseCertificate(about.std().Certificate[0])).SerialNumber,
		ThisUpdate:   time.Now().Add(-time.Minute),
		NextUpdate:   time.Now().Add(time.Hour),
		RevokedAt:    time.Now().Add(-time.Hour),
	}, a.key)))
}

func pemBlock(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// testFile writes a file that lives as long as the tests.
func testFile(name string, content []byte) string {
	path := filepath.Join(filepath.Dir(binary), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		panic(err)
	}
	return path
}
