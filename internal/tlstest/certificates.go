package tlstest

import (
	"bytes"
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

// MD5Certificate makes a certificate for localhost that says that the CA of Roots
// has signed it with RSA and MD5.
func MD5Certificate() tls.Certificate {
	key := fixedKey(RSA2048)
	issuer := &x509.Certificate{RawSubject: root().cert.RawSubject, PublicKey: key.Public()}
	der, err := x509.CreateCertificate(nil, &x509.Certificate{
		SerialNumber:       big.NewInt(1001),
		Subject:            pkix.Name{CommonName: "localhost"},
		DNSNames:           []string{"localhost"},
		NotBefore:          Now.AddDate(-1, 0, 0),
		NotAfter:           Now.AddDate(1, 0, 0),
		KeyUsage:           x509.KeyUsageDigitalSignature,
		ExtKeyUsage:        []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		SignatureAlgorithm: x509.SHA256WithRSA,
	}, issuer, fixedKey(ECDSAP256).Public(), key)
	if err != nil {
		panic(err)
	}
	// crypto/x509 does not sign with MD5: the identifiers differ in their last byte.
	pkcs1 := []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1}
	der = bytes.ReplaceAll(der, append(pkcs1, 11), append(pkcs1, 4))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: fixedKey(ECDSAP256)}
}
