package tlscore

import (
	"bytes"
	"crypto/tls"
	"testing"
)

// Resumption between a machine and crypto/tls, with the tickets that each of them makes.

// A client of crypto/tls resumes what our server has given it: in every suite, behind a
// HelloRetryRequest, and out of a store.
func TestStdClientResumes(t *testing.T) {
	for name, change := range map[string]func(*Config, *tls.Config){
		"SHA-256": func(c *Config, _ *tls.Config) { c.CipherSuites = []uint16{tls.TLS_AES_128_GCM_SHA256} },
		"SHA-384": func(c *Config, _ *tls.Config) { c.CipherSuites = []uint16{tls.TLS_AES_256_GCM_SHA384} },
		"ChaCha":  func(c *Config, _ *tls.Config) { c.CipherSuites = []uint16{tls.TLS_CHACHA20_POLY1305_SHA256} },
		"retry":   func(c *Config, _ *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.CurveP384} },
		"store":   func(c *Config, _ *tls.Config) { c.SessionStore = NewSessionStore(0) },
		"ALPN": func(c *Config, std *tls.Config) {
			c.NextProtos, std.NextProtos = []string{"h2"}, []string{"h2"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := testServerConfig()
			client := stdClient(func(c *tls.Config) {
				c.ClientSessionCache = tls.NewLRUClientSessionCache(0)
				change(cfg, c)
			})
			for i := range 4 {
				server, err := NewServer(cfg)
				if err != nil {
					t.Fatal(err)
				}
				conn, detach, err := withStd(server, client)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := conn.Write([]byte("ping")); err != nil {
					t.Fatal(err)
				}
				if _, err := conn.Read(make([]byte, 4)); err != nil {
					t.Fatal(err)
				}
				detach()
				ours, theirs := server.ConnectionState(), conn.ConnectionState()
				if ours.DidResume != (i > 0) || theirs.DidResume != (i > 0) || ours.NegotiatedProtocol != theirs.NegotiatedProtocol {
					t.Errorf("connection %d: resumed %v, theirs %v; %v", i, ours.DidResume, theirs.DidResume, server.Err())
				}
			}
		})
	}
}

// Our client resumes what a server of crypto/tls has given it.
func TestStdServerResumes(t *testing.T) {
	for name, change := range map[string]func(*Config, *tls.Config){
		"SHA-256": func(c *Config, _ *tls.Config) { c.CipherSuites = []uint16{tls.TLS_AES_128_GCM_SHA256} },
		"SHA-384": func(c *Config, _ *tls.Config) { c.CipherSuites = []uint16{tls.TLS_AES_256_GCM_SHA384} },
		"ChaCha":  func(c *Config, _ *tls.Config) { c.CipherSuites = []uint16{tls.TLS_CHACHA20_POLY1305_SHA256} },
		"retry":   func(_ *Config, std *tls.Config) { std.CurvePreferences = []tls.CurveID{tls.CurveP384} },
		"GREASE": func(c *Config, _ *tls.Config) {
			c.GREASE, c.ShuffleExtensions, c.TicketRequest = true, true, TicketRequest{New: 1, Resumed: 1}
		},
		"early data that it does not know": func(c *Config, _ *tls.Config) { c.EarlyData = true },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := testClientConfig()
			cached(cfg)
			server := stdServer(func(c *tls.Config) { change(cfg, c) })
			for i := range 4 {
				client, err := NewClient(cfg)
				if err != nil {
					t.Fatal(err)
				}
				conn, detach, err := withStd(client, server)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := conn.Write([]byte("ping")); err != nil {
					t.Fatal(err)
				}
				if _, err := conn.Read(make([]byte, 4)); err != nil {
					t.Fatal(err)
				}
				detach()
				ours, theirs := client.ConnectionState(), conn.ConnectionState()
				if ours.DidResume != (i > 0) || theirs.DidResume != (i > 0) {
					t.Errorf("connection %d: resumed %v, theirs %v; %v", i, ours.DidResume, theirs.DidResume, client.Err())
				}
				if len(ours.PeerCertificates) == 0 || !bytes.Equal(ours.PeerCertificates[0].Raw, localhost().Certificate[0]) {
					t.Errorf("connection %d: the server's certificate is missing", i)
				}
			}
		})
	}
}
