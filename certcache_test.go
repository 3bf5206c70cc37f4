package tlscore

import (
	"crypto/tls"
	"crypto/x509"
	"sync"
	"testing"

	"tlscore.example/tlscore/internal/tlstest"
)

// A certificate that verified is parsed once for all connections with a config, and in each
// of them verified again.
func TestCertificateCache(t *testing.T) {
	clientConfig, serverConfig := testClientConfig(), testServerConfig()
	connectPair(t, clientConfig, serverConfig)
	second, _ := connectPair(t, clientConfig, serverConfig)
	b := second.ConnectionState()
	third, _ := connectPair(t, clientConfig, serverConfig)
	c := third.ConnectionState()
	if b.PeerCertificates[0] != c.PeerCertificates[0] {
		t.Error("a certificate is parsed again")
	}
	if len(b.VerifiedChains) != 1 || len(c.VerifiedChains) != 1 {
		t.Error("a certificate from the cache is not verified")
	}
	// Under a config with other authorities it does not verify, although it is known.
	clientConfig = clientConfig.Clone()
	clientConfig.RootCAs = x509.NewCertPool()
	client, server := newPair(t, clientConfig, serverConfig)
	client.d.peers.remember(c.VerifiedChains)
	talk(t, client, server, whole)
	if client.State() != StateFailed || reasonOf(client.Err()) != ReasonUnknownAuthority {
		t.Errorf("%v, %v", client.State(), client.Err())
	}
}

// What does not verify is not kept: an attacker could fill the memory with it, or drive
// others out.
func TestCertificateCacheKeepsWhatVerified(t *testing.T) {
	serverConfig := testServerConfig()
	serverConfig.Certificates = []tls.Certificate{tlstest.Certificate(tlstest.Leaf{UnknownCA: true})}
	client, server := newPair(t, testClientConfig(), serverConfig)
	talk(t, client, server, whole)
	if client.State() != StateFailed {
		t.Fatal(client.State())
	}
	if known := client.d.peers.known.Load(); known != nil {
		t.Errorf("%d certificates are kept", len(*known))
	}
	cfg := testClientConfig()
	cfg.InsecureSkipVerify = true
	client, server = newPair(t, cfg, serverConfig)
	talk(t, client, server, whole)
	if known := client.d.peers.known.Load(); client.State() != StateConnected || known != nil {
		t.Errorf("%v, %v", client.State(), known)
	}
}

// The cache is bounded, in number and in size, and may be used by many.
func TestCertificateCacheBounds(t *testing.T) {
	var c certificateCache
	der := tlstest.Certificate(tlstest.Leaf{}).Certificate[0]
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for worker := range 4 {
		group.Go(func() {
			for i := range 3 * maxCachedCertificates {
				other := *cert
				other.Raw = append([]byte{byte(worker), byte(i), byte(i >> 8)}, der...)
				c.remember([][]*x509.Certificate{{&other}})
				if _, err := c.parse(der); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if n := len(*c.known.Load()); n > maxCachedCertificates {
		t.Errorf("%d certificates", n)
	}
	large := *cert
	large.Raw = make([]byte, maxCachedCertificate+1)
	if c.remember([][]*x509.Certificate{{&large}}); c.has(&large) {
		t.Error("a large certificate is kept")
	}
	c.remember([][]*x509.Certificate{{cert}})
	if again, err := c.parse(der); again != cert || err != nil {
		t.Errorf("not found: %v", err)
	}
	if _, err := c.parse([]byte("no certificate")); err == nil {
		t.Error("garbage is parsed")
	}
}
