package tlstest

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
)

// CertificateFor makes a certificate for localhost, signed by the CA of Roots,
// for a key of any kind that crypto/x509 can name: one that no peer should
// accept, perhaps, and that signs nothing.
func CertificateFor(public crypto.PublicKey) tls.Certificate {
	cert := root().sign(&x509.Certificate{
		SerialNumber: big.NewInt(1000),
		Subject:      pkix.Name{CommonName: "localhost"},
		DNSNames:     []string{"localhost"},
		NotBefore:    Now.AddDate(-1, 0, 0),
		NotAfter:     Now.AddDate(1, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, public)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, Leaf: cert}
}
