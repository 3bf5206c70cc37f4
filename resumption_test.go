package tlscore

import (
	"bytes"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"tlscore.example/tlscore/internal/tlstest"
)

func TestResumptionConfigErrors(t *testing.T) {
	for text, change := range map[string]func(*Config){
		"only one of TicketKeys": func(c *Config) {
			c.TicketKeys, _ = NewRandomTicketKeys(time.Hour)
			c.SessionStore = NewSessionStore(0)
		},
		"has no keys":     func(c *Config) { c.TicketKeys = new(TicketKeys) },
		"TicketKeys has":  func(c *Config) { c.TicketKeys, _ = NewTicketKeys() },
		"belong together": func(c *Config) { c.SealTicket = sameTicket },
		"OpenTicket":      func(c *Config) { c.OpenTicket = sameTicket },
		"TicketCount":     func(c *Config) { c.TicketCount = 17 },
		"at least":        func(c *Config) { c.TicketLifetime = time.Second - 1 },
		"-1h0m0s":         func(c *Config) { c.TicketLifetime = -time.Hour },
		"at most seven":   func(c *Config) { c.TicketLifetime = 7*24*time.Hour + 1 },
		"needs tickets": func(c *Config) {
			c.MaxEarlyData, c.ReplayGuard, c.SessionTicketsDisabled = 1, NewReplayWindow(0, 0), true
		},
		"needs a ReplayGuard": func(c *Config) { c.MaxEarlyData = 1 },
	} {
		cfg := testServerConfig()
		change(cfg)
		if _, err := NewServer(cfg); err == nil || !strings.Contains(err.Error(), text) || !strings.HasPrefix(err.Error(), "tlscore: config: ") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// sameTicket is a SealTicket and an OpenTicket that protects nothing.
func sameTicket(b []byte) ([]byte, error) { return slices.Clone(b), nil }

// machineOf returns a machine with a config, as a handler of that role sees it.
func machineOf(t *testing.T, server bool, cfg *Config) *Machine {
	t.Helper()
	m, err := NewClient(cfg)
	if server {
		m, err = NewServer(cfg)
	}
	if err != nil {
		t.Fatal(err)
	}
	m.conn.version, m.conn.cipherSuite = tls.VersionTLS13, tls.TLS_AES_128_GCM_SHA256
	m.conn.setNames("", "localhost")
	return m
}

// sessionOf returns a session that m may resume.
func sessionOf(m *Machine, server bool) *Session {
	s := m.newSession(server, tlstest.Clock(), tlstest.Clock())
	s.Secret, s.Lifetime, s.Ticket = bytes.Repeat([]byte{7}, 32), MaxSessionLifetime, []byte("ticket")
	return s
}

// A session is bound to the settings under which its peer was accepted: every one that
// matters changes the digest, and no other does.
func TestSessionSettings(t *testing.T) {
	base := testClientConfig()
	base.NextProtos = []string{"h2", "http/1.1"}
	id := func(server bool, change func(*Config)) [32]byte {
		cfg := base.Clone()
		change(cfg)
		return cfg.sessionSettings(server)
	}
	none := func(*Config) {}
	if id(false, none) == id(true, none) {
		t.Error("a client and a server have the same")
	}
	for name, test := range map[string]struct {
		change         func(*Config)
		client, server bool // whether it matters
	}{
		"server name":    {func(c *Config) { c.ServerName = "example.com" }, true, false},
		"skip verify":    {func(c *Config) { c.InsecureSkipVerify = true }, true, false},
		"system roots":   {func(c *Config) { c.RootCAs = nil }, true, false},
		"no roots":       {func(c *Config) { c.RootCAs = x509.NewCertPool() }, true, false},
		"protocols":      {func(c *Config) { c.NextProtos = []string{"h2"} }, true, true},
		"their order":    {func(c *Config) { c.NextProtos = []string{"http/1.1", "h2"} }, true, true},
		"their bounds":   {func(c *Config) { c.NextProtos = []string{"h2h", "ttp/1.1"} }, true, true},
		"MinVersion":     {func(c *Config) { c.MinVersion = tls.VersionTLS12 }, true, true},
		"client's chain": {func(c *Config) { c.Certificates = []tls.Certificate{localhost()} }, true, false},
		"client's callback": {func(c *Config) {
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return nil, nil }
		}, true, false},
		"ClientAuth": {func(c *Config) { c.ClientAuth = tls.RequireAnyClientCert }, false, true},
		"ClientCAs":  {func(c *Config) { c.ClientCAs = tlstest.Roots() }, false, true},
		"stapling":   {func(c *Config) { c.OCSPStapling = true }, true, false},
		"timestamps": {func(c *Config) { c.SignedCertificateTimestamps = true }, true, false},
		"VerifyConnection": {func(c *Config) {
			c.VerifyConnection = func(tls.ConnectionState) error { return nil }
		}, true, true},
		"VerifyPeerCertificate": {func(c *Config) {
			c.VerifyPeerCertificate = func([][]byte, [][]*x509.Certificate) error { return nil }
		}, true, true},
		"schemes":                   {func(c *Config) { c.SignatureSchemes = []tls.SignatureScheme{tls.Ed25519} }, true, true},
		"schemes of chains":         {func(c *Config) { c.SignatureSchemesCert = []tls.SignatureScheme{tls.Ed25519} }, true, true},
		"MaxVersion by its default": {func(c *Config) { c.MaxVersion = tls.VersionTLS13 }, false, false},
		"suites":                    {func(c *Config) { c.CipherSuites = []uint16{tls.TLS_AES_128_GCM_SHA256} }, false, false},
		"limits":                    {func(c *Config) { c.Limits.Output = 1 << 20 }, false, false},
	} {
		if changed := id(false, test.change) != id(false, none); changed != test.client {
			t.Errorf("%s: changed for a client: %v", name, changed)
		}
		if changed := id(true, test.change) != id(true, none); changed != test.server {
			t.Errorf("%s: changed for a server: %v", name, changed)
		}
	}
}

// The three ways in which a server keeps a session, and what each makes of a ticket that is
// not its own.
func TestSealTicket(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"keys of the Config": func(*Config) {},
		"store":              func(c *Config) { c.SessionStore = NewSessionStore(0) },
		"application": func(c *Config) {
			c.SealTicket = sameTicket
			c.OpenTicket = func(b []byte) ([]byte, error) {
				if len(b) < 100 {
					return nil, nil
				}
				return slices.Clone(b), nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := testServerConfig()
			change(cfg)
			m := machineOf(t, true, cfg)
			s := sessionOf(m, true)
			s.AppData = []byte("of the application")
			ticket, err := m.sealTicket(s, tlstest.Clock())
			if err != nil || len(ticket) == 0 {
				t.Fatalf("ticket of %d bytes, %v", len(ticket), err)
			}
			if s.Secret != nil {
				t.Error("the session was not wiped")
			}
			open := func(ticket []byte) *resumed {
				m.task = m.newOpenTicketTask(ticket)
				m.task.Run()
				r, err := m.openedSession()
				if err != nil {
					t.Error(err)
				}
				return r
			}
			if r := open([]byte("of another server")); r != nil {
				t.Error("opened what is no ticket")
			}
			r := open(ticket)
			if r == nil || string(r.AppData) != "of the application" || !bytes.Equal(r.Secret, bytes.Repeat([]byte{7}, 32)) {
				t.Fatalf("opened %v", r)
			}
			if again := open(ticket); (again == nil) != (cfg.SessionStore != nil) {
				t.Errorf("opened a second time: %v", again != nil)
			}
		})
	}
}

// What cannot be sealed is no ticket, and no failure; what cannot be drawn is one.
func TestSealTicketFails(t *testing.T) {
	m := machineOf(t, true, testServerConfig())
	long := sessionOf(m, true)
	long.OCSPResponse = make([]byte, 1<<16)
	if ticket, err := m.sealTicket(long, tlstest.Clock()); ticket != nil || err != nil {
		t.Errorf("of 64 KiB: %d bytes, %v", len(ticket), err)
	}
	incomplete := sessionOf(m, true)
	incomplete.Secret = nil
	if ticket, err := m.sealTicket(incomplete, tlstest.Clock()); ticket != nil || err != nil {
		t.Errorf("without a secret: %d bytes, %v", len(ticket), err)
	}
	for name, change := range map[string]func(*Config){
		"keys":  func(*Config) {},
		"store": func(c *Config) { c.SessionStore = NewSessionStore(0) },
	} {
		cfg := testServerConfig()
		cfg.Rand = bytes.NewReader(nil)
		change(cfg)
		m := machineOf(t, true, cfg)
		if _, err := m.sealTicket(sessionOf(m, true), tlstest.Clock()); reasonOf(err) != ReasonRandomSource {
			t.Errorf("%s without randomness: %v", name, err)
		}
	}
	cfg := testServerConfig()
	cfg.SealTicket = func([]byte) ([]byte, error) { return nil, errors.New("no") }
	cfg.OpenTicket = func([]byte) ([]byte, error) { panic("no") }
	m = machineOf(t, true, cfg)
	if _, err := m.sealTicket(sessionOf(m, true), tlstest.Clock()); reasonOf(err) != ReasonCallbackFailed {
		t.Errorf("SealTicket fails: %v", err)
	}
	m.task = m.newOpenTicketTask([]byte("ticket"))
	m.task.Run()
	if _, err := m.openedSession(); reasonOf(err) != ReasonCallbackPanicked {
		t.Errorf("OpenTicket panics: %v", err)
	}
}

// A client offers a session only as long as it would accept the server anew, and takes it
// out of the cache either way.
func TestTakeSession(t *testing.T) {
	leaf := tlstest.Certificate(tlstest.Leaf{})
	parsed, err := x509.ParseCertificate(leaf.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	chains, err := parsed.Verify(x509.VerifyOptions{Roots: tlstest.Roots(), CurrentTime: tlstest.Clock(), DNSName: "localhost", Intermediates: intermediates(leaf)})
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		session func(*Session)
		config  func(*Config) // of the one that takes it, after the session was made
		want    bool
	}{
		"good":                 {want: true},
		"expired":              {session: func(s *Session) { s.Lifetime = 0 }},
		"not renewed for ever": {session: func(s *Session) { s.AuthenticatedAt = s.AuthenticatedAt.Add(-7 * 24 * time.Hour) }},
		"of a server":          {session: func(s *Session) { s.IsServer = true }},
		"other name":           {session: func(s *Session) { s.ServerName = "example.com" }},
		"other settings":       {session: func(s *Session) { s.ConfigID[0]++ }},
		"no chain":             {session: func(s *Session) { s.VerifiedChains = nil }},
		"no DER":               {session: func(s *Session) { s.PeerCertificates[0] = []byte{1} }},
		"chain without DER":    {session: func(s *Session) { s.VerifiedChains[0][0] = []byte{1} }},
		"other roots":          {config: func(c *Config) { c.RootCAs = sameSubjects(t) }},
		"certificate expired": {
			session: func(s *Session) { s.CreatedAt, s.AuthenticatedAt = parsed.NotAfter, parsed.NotAfter },
			config:  func(c *Config) { c.Time = func() time.Time { return parsed.NotAfter.Add(time.Second) } },
		},
		"disabled": {config: func(c *Config) { c.SessionTicketsDisabled = true }},
		"no cache": {config: func(c *Config) { c.SessionCache = nil }},
	} {
		t.Run(name, func(t *testing.T) {
			cache := NewLRUSessionCache(0, 0)
			cfg := testClientConfig()
			cfg.SessionCache = cache
			if test.config != nil {
				test.config(cfg)
			}
			m := machineOf(t, false, cfg)
			m.conn.setPeer(peer{certificates: chains[0][:1], chains: chains})
			s := sessionOf(m, false)
			if test.session != nil {
				test.session(s)
			}
			b, err := s.AppendBinary(nil)
			if err != nil {
				t.Fatal(err)
			}
			cache.Put(m.d.cacheKey, b)
			r, err := m.takeSession()
			if err != nil || (r != nil) != test.want {
				t.Fatalf("took %v, %v", r != nil, err)
			}
			if again, _ := m.takeSession(); again != nil {
				t.Error("took it twice")
			}
			if r != nil && (len(r.certificates) != 1 || len(r.chains) != len(chains)) {
				t.Error("the certificates are missing")
			}
		})
	}
}

// sameSubjects returns authorities that have the names of those of the tests, and other keys.
func sameSubjects(t *testing.T) *x509.CertPool {
	t.Helper()
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{9}, ed25519.SeedSize))
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "tlstest root"},
		NotBefore:             tlstest.Now.AddDate(-1, 0, 0),
		NotAfter:              tlstest.Now.AddDate(1, 0, 0),
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(nil, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	cfg, other := testClientConfig(), testClientConfig()
	other.RootCAs = pool
	if cfg.sessionSettings(false) != other.sessionSettings(false) {
		t.Fatal("the subjects differ")
	}
	return pool
}

func intermediates(cert tls.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, der := range cert.Certificate[1:] {
		if c, err := x509.ParseCertificate(der); err == nil {
			pool.AddCert(c)
		}
	}
	return pool
}
