package tlstest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"sync"
	"time"
)

// Now is the time at which the certificates of this package are valid.
var Now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// Clock always tells Now: a Config.Time.
func Clock() time.Time { return Now }

// KeyKind is a kind of leaf key.
type KeyKind int

// The kinds of leaf keys.
const (
	ECDSAP256 KeyKind = iota
	ECDSAP384
	ECDSAP521
	Ed25519
	RSA2048
	NumKeyKinds
)

// Leaf says what a certificate is to be. The zero value of a field is what a
// good server certificate for localhost has.
type Leaf struct {
	Key                 KeyKind
	Names               []string // default: localhost
	NotBefore, NotAfter time.Time
	KeyUsage            x509.KeyUsage      // default: digitalSignature
	NoKeyUsage          bool               // without the extension
	ExtKeyUsage         []x509.ExtKeyUsage // default: server authentication
	UnknownCA           bool               // signed by a CA that Roots does not have
	Intermediate        bool               // signed through an intermediate, which is in the chain
}

// fixedKey returns the same key every time, so that transcripts can be compared.
func fixedKey(kind KeyKind) crypto.Signer {
	scalar := func(curve elliptic.Curve, size int) crypto.Signer {
		b := make([]byte, size)
		for i := range b[1:] {
			b[1+i] = byte(i*7 + 1)
		}
		key, err := ecdsa.ParseRawPrivateKey(curve, b)
		if err != nil {
			panic(err)
		}
		return key
	}
	switch kind {
	case ECDSAP256:
		return scalar(elliptic.P256(), 32)
	case ECDSAP384:
		return scalar(elliptic.P384(), 48)
	case ECDSAP521:
		return scalar(elliptic.P521(), 66)
	case Ed25519:
		return ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	}
	block, _ := pem.Decode([]byte(rsaKey))
	key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	if err != nil {
		panic(err)
	}
	return key
}

// authority is a CA with a key whose signatures are deterministic.
type authority struct {
	cert *x509.Certificate
	key  ed25519.PrivateKey
}

func newAuthority(name string, seed byte, parent *authority) *authority {
	a := &authority{key: ed25519.NewKeyFromSeed(append(make([]byte, 31), seed))}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(int64(seed)),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             Now.AddDate(-5, 0, 0),
		NotAfter:              Now.AddDate(5, 0, 0),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	if parent == nil {
		parent = &authority{cert: template, key: a.key}
	}
	a.cert = parent.sign(template, a.key.Public())
	return a
}

func (a *authority) sign(template *x509.Certificate, public crypto.PublicKey) *x509.Certificate {
	der, err := x509.CreateCertificate(nil, template, a.cert, public, a.key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return cert
}

var (
	root         = sync.OnceValue(func() *authority { return newAuthority("tlstest root", 1, nil) })
	unknown      = sync.OnceValue(func() *authority { return newAuthority("tlstest unknown root", 2, nil) })
	intermediate = sync.OnceValue(func() *authority { return newAuthority("tlstest intermediate", 3, root()) })
)

// Roots returns the CA that the certificates of this package are signed by.
func Roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(root().cert)
	return pool
}

// RootCertificate returns that CA's certificate.
func RootCertificate() *x509.Certificate { return root().cert }

// Certificate makes a certificate. The same Leaf gives the same bytes.
func Certificate(leaf Leaf) tls.Certificate {
	if leaf.Names == nil {
		leaf.Names = []string{"localhost"}
	}
	if leaf.NotBefore.IsZero() {
		leaf.NotBefore = Now.AddDate(-1, 0, 0)
	}
	if leaf.NotAfter.IsZero() {
		leaf.NotAfter = Now.AddDate(1, 0, 0)
	}
	if leaf.ExtKeyUsage == nil {
		leaf.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	if leaf.KeyUsage == 0 && !leaf.NoKeyUsage {
		leaf.KeyUsage = x509.KeyUsageDigitalSignature
	}
	signer := root()
	var chain [][]byte
	switch {
	case leaf.UnknownCA:
		signer = unknown()
	case leaf.Intermediate:
		signer = intermediate()
		chain = [][]byte{signer.cert.Raw}
	}
	key := fixedKey(leaf.Key)
	cert := signer.sign(&x509.Certificate{
		SerialNumber: big.NewInt(100 + int64(leaf.Key)),
		Subject:      pkix.Name{CommonName: leaf.Names[0]},
		DNSNames:     leaf.Names,
		NotBefore:    leaf.NotBefore,
		NotAfter:     leaf.NotAfter,
		KeyUsage:     leaf.KeyUsage,
		ExtKeyUsage:  leaf.ExtKeyUsage,
	}, key.Public())
	return tls.Certificate{Certificate: append([][]byte{cert.Raw}, chain...), PrivateKey: key, Leaf: cert}
}

// ClientCertificate makes a certificate for a client, named "client" and signed
// by the CA of Roots.
func ClientCertificate(key KeyKind) tls.Certificate {
	return Certificate(Leaf{Key: key, Names: []string{"client"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
}

// rsaKey is a key for tests and for nothing else.
const rsaKey = `-----BEGIN RSA PRIVATE KEY-----
MIIEpQIBAAKCAQEAnW5dwOUGrT2d6sJxPPaSQqfHnSjsd00S1IOyIlHu/QEsW0GM
n/SWtX0/rPyxk9m81Mrxg5poAbTELe9BhhPhJpBFTEcvZLMK9tibg//xlkzeE84D
ypLEPrWw2pmZskdKpCHkACaZCvhvlR3cwf3nJsnHQ0aqFHe5AhLErg/Nzyg7ke0B
14CMsm0e7iUo0DlmHu+JkKNFtsa10Owpn9cdemBE8iJxqUrEV1khYr9l4a6Umk5q
Jm7j9iKE6Vn9hnKHUU69Fr78fi62+FMuJgThT65LoTTejcD9ws2bv6c4xtvN+ms9
T+ctyETcrr1wPWgmVAA/CnWYBk8w7pWFFV2KjQIDAQABAoIBAA90Au3pTUN6FeMy
XO0wAuFaGMT7fGKlhSCpILYvtrbNA66de5FD7/s2pSZ003WA3QFCPny9jlIEjXE4
2ASyNNqVNMgtAKDw1jWuw20slWk8eFwXT9X1nB/Ps+FxTF3sk44S6Y9+Om2SP1my
ybWdF7B+A/o9mHpT2iwy7W1sjbY0xF4DCgd35V/J3B009x32UXEnfS1BY/ENaKsc
q/zntl12V1B84aDq3+iWzwZIwyOToTzjZOOANgwfzaEaFvbCscEu+XUvuoVB7f4b
BNj4CiaEzW2qPWwpMr8Yij3WcEa8sRQSxbzDanRaopBzzyXcHA/5bWUgSWry9JPm
7F5p4EECgYEAzvSaj1ogvdpSlZtF8CqsAZBmmjEZ8/a415yi/dfSynR/oIlWLU9D
ESyl1SBX7jt5BdNpK1JxW/OPPMYUr8PjZ034s9H3+6J63PGaoRBFipw0MyiGKDQ9
BTvhCiETQ7FAMIY/pt6LsxYndlqFySsYDW1c7lU4p3Wj2w9Mc0VtdnECgYEAwr1C
2JVBDYiVlfnO2kvMNnShmDuUQUweMelrEn0YXsFm/5YJbU78pNJ8jjxIxMxDIpgS
V4FK8z5kko7Otm0iG0hFfu99WtW3JQm+rm74zDFju6a8/sKg8fL+0jsu6e9TmALh
YL0ATPsOHywhEKkLnQ5fnA6rbaF81Yok9wRWe90CgYEAvbN3DZn20zARbTNEO25R
9qkPc504hekM7A6XVQmFHbEF3/ijdqrl9hMv+xlHoIcBWza7e0t5v2iVTobfJXHw
u5u8MdBweEcqSeZo7+RDalfefVpTBv1DRc3qbOd+ihkqlpAoPmRWN5VCHPnDEnAe
/wfVHF4frVhnFwCB+lOUj/ECgYEAvZMvGtaZgIpBTMHmG96EC1MY6LC/T53BG0en
A1WiPsQ593/g53doPS/nLzQChwpuJKQz3tmv1AIeOAors62j8Tk25i5QMvgwFS9a
YEcJjwZZl5jnDX783Ox4IsKYlgV0tFvBecIkI8yW38O+4JAgDSGr86jYO55kfyC/
gXTImEUCgYEAtSStxx8eNiLpt5EMaG8TRLKZOFBivWoRHeR9W688Do066e1Rfa2s
+WhXwZ7HKTOtz6Sn2g2FxdYmym1D6fIIA1SzzXgPaWjJ13sTpyQFH5HNy+8SvXP1
ROc4tr3rAI8qyJiewrxomcfsCx+Ew+QBVOVVj60AGKMRqdO3Sf5zHXY=
-----END RSA PRIVATE KEY-----
`
