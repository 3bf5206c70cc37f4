package tlstest

import (
	"bytes"
	"crypto/x509"
	"testing"
)

func TestCertificatesVerify(t *testing.T) {
	for kind := range NumKeyKinds {
		for _, through := range []bool{false, true} {
			cert := Certificate(Leaf{Key: kind, Intermediate: through})
			again := Certificate(Leaf{Key: kind, Intermediate: through})
			if !bytes.Equal(cert.Certificate[0], again.Certificate[0]) {
				t.Errorf("kind %d: not the same bytes", kind)
			}
			pool := x509.NewCertPool()
			for _, der := range cert.Certificate[1:] {
				c, err := x509.ParseCertificate(der)
				if err != nil {
					t.Fatal(err)
				}
				pool.AddCert(c)
			}
			_, err := cert.Leaf.Verify(x509.VerifyOptions{Roots: Roots(), Intermediates: pool, DNSName: "localhost", CurrentTime: Now})
			if err != nil {
				t.Errorf("kind %d through %v: %v", kind, through, err)
			}
		}
	}
	if _, err := Certificate(Leaf{UnknownCA: true}).Leaf.Verify(x509.VerifyOptions{Roots: Roots(), CurrentTime: Now}); err == nil {
		t.Error("a certificate of an unknown CA verifies")
	}
}
