package tlscore

import (
	"crypto/x509"
	"sync"
	"sync/atomic"
)

// certificateCache has certificates of peers, parsed, by their bytes: clients meet the same
// servers again and again, and whoever resumes a session has its certificates to parse. What is
// in it was verified once, so that nobody can fill it with certificates that cost nothing; it
// is verified again each time all the same.
//
// Reading takes no lock. Certificates are shared, and nobody changes them.
type certificateCache struct {
	known atomic.Pointer[map[string]*x509.Certificate] // never changed once it is here
	mu    sync.Mutex                                   // of who makes the next one
}

const (
	maxCachedCertificates = 128     // then it begins anew
	maxCachedCertificate  = 8 << 10 // bytes of one
)

// parse parses a certificate, or finds it.
func (c *certificateCache) parse(der []byte) (*x509.Certificate, error) {
	if known := c.known.Load(); known != nil {
		if cert := (*known)[string(der)]; cert != nil {
			return cert, nil
		}
	}
	return x509.ParseCertificate(der)
}

// remember keeps the certificates of chains that were verified.
func (c *certificateCache) remember(chains [][]*x509.Certificate) {
	for _, chain := range chains {
		for _, cert := range chain {
			if len(cert.Raw) <= maxCachedCertificate && !c.has(cert) {
				c.add(cert)
			}
		}
	}
}

func (c *certificateCache) has(cert *x509.Certificate) bool {
	known := c.known.Load()
	return known != nil && (*known)[string(cert.Raw)] != nil
}

func (c *certificateCache) add(cert *x509.Certificate) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := make(map[string]*x509.Certificate)
	if known := c.known.Load(); known != nil && len(*known) < maxCachedCertificates {
		for der, cert := range *known {
			next[der] = cert
		}
	}
	next[string(cert.Raw)] = cert
	c.known.Store(&next)
}
