package tlscore

import (
	"bytes"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"tlscore.example/tlscore/internal/tlstest"
	"tlscore.example/tlscore/internal/wire"
)

func TestConfigErrors(t *testing.T) {
	leaf := localhost()
	for name, test := range map[string]struct {
		change func(*Config)
		text   string // in the error
	}{
		"MinVersion":                 {func(c *Config) { c.MinVersion = tls.VersionTLS11 }, "TLS 1.1"},
		"versions reversed":          {func(c *Config) { c.MaxVersion = tls.VersionTLS12 }, "MinVersion is above MaxVersion"},
		"no suite for the version":   {func(c *Config) { c.CipherSuites = []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256} }, "no version"},
		"no group for the version":   {func(c *Config) { only12(c); c.CurvePreferences = []tls.CurveID{tls.X25519MLKEM768} }, "no version"},
		"MaxVersion":                 {func(c *Config) { c.MaxVersion = tls.VersionTLS10 }, "TLS 1.0"},
		"unknown suite":              {func(c *Config) { c.CipherSuites = []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA} }, "TLS_RSA_WITH_AES_128_CBC_SHA"},
		"no suites":                  {func(c *Config) { c.CipherSuites = []uint16{} }, "CipherSuites is empty"},
		"suite twice":                {func(c *Config) { c.CipherSuites = []uint16{0x1301, 0x1302, 0x1301} }, "CipherSuites"},
		"unknown group":              {func(c *Config) { c.CurvePreferences = []tls.CurveID{30} }, "group"},
		"no groups":                  {func(c *Config) { c.CurvePreferences = []tls.CurveID{} }, "CurvePreferences is empty"},
		"group twice":                {func(c *Config) { c.CurvePreferences = []tls.CurveID{tls.X25519, tls.X25519} }, "CurvePreferences"},
		"share without group":        {func(c *Config) { onlyP256(c); c.KeyShares = []tls.CurveID{tls.X25519} }, "KeyShares"},
		"share twice":                {func(c *Config) { c.KeyShares = []tls.CurveID{tls.X25519, tls.X25519} }, "KeyShares"},
		"unknown scheme":             {func(c *Config) { c.SignatureSchemes = []tls.SignatureScheme{tls.PKCS1WithSHA256} }, "signature scheme"},
		"no schemes":                 {func(c *Config) { c.SignatureSchemes = []tls.SignatureScheme{} }, "SignatureSchemes is empty"},
		"scheme twice":               {func(c *Config) { c.SignatureSchemes = []tls.SignatureScheme{tls.Ed25519, tls.Ed25519} }, "SignatureSchemes"},
		"no certificate schemes":     {func(c *Config) { c.SignatureSchemesCert = []tls.SignatureScheme{} }, "SignatureSchemesCert is empty"},
		"certificate scheme twice":   {func(c *Config) { c.SignatureSchemesCert = []tls.SignatureScheme{tls.Ed25519, tls.Ed25519} }, "SignatureSchemesCert has"},
		"unknown certificate scheme": {func(c *Config) { c.SignatureSchemesCert = []tls.SignatureScheme{tls.PKCS1WithSHA1} }, "SignatureSchemesCert: signature scheme"},
		"unknown ClientAuth":         {func(c *Config) { c.ClientAuth = 5 }, "ClientAuth is 5"},
		"negative ClientAuth":        {func(c *Config) { c.ClientAuth = -1 }, "ClientAuth is -1"},
		"empty authority":            {func(c *Config) { c.CertificateAuthorities = [][]byte{{1}, {}} }, "CertificateAuthorities: name 1"},
		"long authorities":           {func(c *Config) { c.CertificateAuthorities = [][]byte{make([]byte, 20<<10), make([]byte, 4<<10)} }, "CertificateAuthorities is too long"},
		"empty protocol":             {func(c *Config) { c.NextProtos = []string{"h2", ""} }, "application protocol"},
		"long protocol":              {func(c *Config) { c.NextProtos = []string{strings.Repeat("p", 256)} }, "application protocol"},
		"many protocols":             {func(c *Config) { c.NextProtos = manyProtocols() }, "NextProtos is too long"},
		"protocol twice":             {func(c *Config) { c.NextProtos = []string{"h2", "h2"} }, "NextProtos"},
		"protocol twice, no SNI":     {func(c *Config) { c.NextProtos, c.ServerName = []string{"h2", "h2"}, "127.0.0.1" }, "NextProtos"},
		"name with a space":          {func(c *Config) { c.ServerName = "local host" }, "host name"},
		"name with an empty label":   {func(c *Config) { c.ServerName = "a..b" }, "host name"},
		"name with two dots":         {func(c *Config) { c.ServerName = "a.." }, "host name"},
		"long label":                 {func(c *Config) { c.ServerName = strings.Repeat("a", 64) + ".com" }, "host name"},
		"long name":                  {func(c *Config) { c.ServerName = strings.Repeat("a.", 128) + "a" }, "host name"},
		"name in Unicode":            {func(c *Config) { c.ServerName = "bücher.example" }, "host name"},
		"limit":                      {func(c *Config) { c.Limits.HandshakeMessage = -1 }, "negative"},
		"small output":               {func(c *Config) { c.Limits.Output = 29 }, "Limits.Output"},
		"one record per key":         {func(c *Config) { c.Limits.KeyRecords = 1 }, "Limits.KeyRecords"},
		"empty chain":                {func(c *Config) { c.Certificates = []tls.Certificate{{}} }, "chain is empty"},
		"no key":                     {func(c *Config) { c.Certificates = []tls.Certificate{{Certificate: leaf.Certificate}} }, "cannot sign"},
		"no DER": {func(c *Config) {
			c.Certificates = []tls.Certificate{{Certificate: [][]byte{{1}}, PrivateKey: leaf.PrivateKey}}
		}, "certificate 0"},
		"another key": {func(c *Config) {
			c.Certificates = []tls.Certificate{leaf, {Certificate: leaf.Certificate, PrivateKey: ed25519.NewKeyFromSeed(make([]byte, 32))}}
		}, "certificate 1: the private key does not belong"},
		"long chain": {func(c *Config) {
			c.Certificates = []tls.Certificate{{Certificate: [][]byte{leaf.Certificate[0], make([]byte, 1<<24)}, PrivateKey: leaf.PrivateKey}}
		}, "too long"},
	} {
		cfg := testClientConfig()
		test.change(cfg)
		if m, err := NewClient(cfg); err == nil || m != nil || !strings.Contains(err.Error(), test.text) || !strings.HasPrefix(err.Error(), "tlscore: config: ") {
			t.Errorf("%s: client: %v", name, err)
		}
		if _, err := NewServer(cfg); err == nil {
			t.Errorf("%s: no error for a server", name)
		}
	}
	for _, cfg := range []*Config{nil, {}} {
		if _, err := NewClient(cfg); err == nil {
			t.Errorf("client with %v", cfg)
		}
		if _, err := NewServer(cfg); err == nil {
			t.Errorf("server with %v", cfg)
		}
	}
}

func manyProtocols() (list []string) {
	for i := range 200 {
		list = append(list, strings.Repeat("p", 200)+string(rune('0'+i/10))+string(rune('0'+i%10)))
	}
	return list
}

// What a ClientHello says follows from the config.
func TestClientHelloFromConfig(t *testing.T) {
	hello := func(change ...func(*Config)) *wire.ClientHello {
		t.Helper()
		return &newClientRig(t, change...).bring(StateWaitServerHello).p.Hello
	}
	shares := func(m *wire.ClientHello) (list []tls.CurveID) { return shareGroups(m.KeyShares) }

	m := hello()
	if want := []tls.CurveID{tls.X25519MLKEM768, tls.X25519}; !reflect.DeepEqual(shares(m), want) {
		t.Errorf("key shares %v", shares(m))
	}
	if len(m.SessionID) != 32 || string(m.ServerName) != "localhost" || m.Has(wire.ExtALPN) || m.LegacyVersion != 0x0303 {
		t.Errorf("%+v", m)
	}
	// X25519 alone and in the hybrid are one key.
	if hybrid := m.KeyShares[0].Data; !bytes.Equal(hybrid[len(hybrid)-32:], m.KeyShares[1].Data) {
		t.Error("two X25519 keys")
	}
	if m = hello(onlyP256); !reflect.DeepEqual(shares(m), []tls.CurveID{tls.CurveP256}) {
		t.Errorf("key shares %v", shares(m))
	}
	for _, test := range []struct{ groups, want []tls.CurveID }{
		{[]tls.CurveID{tls.CurveP384, tls.CurveP256}, []tls.CurveID{tls.CurveP384}},
		{[]tls.CurveID{MLKEM1024, tls.X25519MLKEM768}, []tls.CurveID{MLKEM1024}},
		{[]tls.CurveID{tls.X25519, tls.CurveP256, MLKEM1024}, []tls.CurveID{tls.X25519, MLKEM1024}},
		{[]tls.CurveID{tls.SecP256r1MLKEM768, tls.X25519MLKEM768, tls.CurveP256}, []tls.CurveID{tls.SecP256r1MLKEM768, tls.CurveP256}},
	} {
		if m = hello(func(c *Config) { c.CurvePreferences = test.groups }); !reflect.DeepEqual(shares(m), test.want) {
			t.Errorf("key shares %v of %v", shares(m), test.groups)
		}
	}
	m = hello(func(c *Config) { c.KeyShares = []tls.CurveID{} })
	if len(m.KeyShares) != 0 || !m.Has(wire.ExtKeyShare) {
		t.Errorf("key shares %v", shares(m))
	}
	m = hello(func(c *Config) { c.KeyShares = []tls.CurveID{tls.CurveP384, tls.SecP384r1MLKEM1024} })
	if !reflect.DeepEqual(shares(m), []tls.CurveID{tls.CurveP384, tls.SecP384r1MLKEM1024}) {
		t.Errorf("key shares %v", shares(m))
	}
	if m.Has(wire.ExtSignatureAlgorithmsCert) || m.Has(wire.ExtCertificateAuthorities) {
		t.Errorf("%+v", m)
	}
	m = hello(func(c *Config) {
		c.SignatureSchemesCert = []tls.SignatureScheme{tls.PKCS1WithSHA256, tls.Ed25519}
		c.CertificateAuthorities = [][]byte{[]byte("one"), []byte("two")}
	})
	if !reflect.DeepEqual(m.SignatureAlgorithmsCert, []wire.SignatureScheme{0x0401, 0x0807}) || len(m.CertificateAuthorities) != 2 || string(m.CertificateAuthorities[1]) != "two" {
		t.Errorf("%+v", m)
	}
	if m = hello(func(c *Config) { c.NoMiddleboxCompat = true }); len(m.SessionID) != 0 {
		t.Errorf("session id of %d bytes", len(m.SessionID))
	}
	m = hello(func(c *Config) { c.NextProtos = []string{"h2", "http/1.1"} })
	if !reflect.DeepEqual(texts(m.ALPN), []string{"h2", "http/1.1"}) {
		t.Errorf("ALPN %q", m.ALPN)
	}
	for name, sent := range map[string]string{
		"example.com.": "example.com", "a_b-c.example": "a_b-c.example",
		"127.0.0.1": "", "::1": "", "[2001:db8::1]": "", "fe80::1%eth0": "",
	} {
		m := hello(func(c *Config) { c.ServerName = name })
		if string(m.ServerName) != sent || m.Has(wire.ExtServerName) != (sent != "") {
			t.Errorf("%s: server_name %q", name, m.ServerName)
		}
	}
}

// A Clone has every field but what was derived.
func TestConfigClone(t *testing.T) {
	cfg := &Config{}
	v := reflect.ValueOf(cfg).Elem()
	for i := range v.NumField() {
		f := v.Field(i)
		if !f.CanSet() {
			continue
		}
		switch f.Kind() {
		case reflect.Bool:
			f.SetBool(true)
		case reflect.String:
			f.SetString("localhost")
		case reflect.Uint8, reflect.Uint16, reflect.Uint32:
			f.SetUint(uint64(AllTasks))
		case reflect.Slice:
			f.Set(reflect.MakeSlice(f.Type(), 0, 1))
		case reflect.Func:
			f.Set(reflect.MakeFunc(f.Type(), nil))
		case reflect.Pointer:
			f.Set(reflect.New(f.Type().Elem()))
		case reflect.Int, reflect.Int64:
			f.SetInt(1)
		}
	}
	cfg.Rand, cfg.Allocator, cfg.KeyLogWriter = bytes.NewReader(nil), pooled{}, new(bytes.Buffer)
	cfg.Limits.Output = 1000
	cfg.SessionCache, cfg.SessionStore, cfg.ReplayGuard = NewLRUSessionCache(0, 0), NewSessionStore(0), NewReplayWindow(0, 0)
	cfg.TicketRequest.New = 1
	clone := reflect.ValueOf(cfg.Clone()).Elem()
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if name == "derived" {
			continue
		}
		if v.Field(i).IsZero() || clone.Field(i).IsZero() {
			t.Errorf("%s was not copied", name)
		}
	}
	used := testClientConfig()
	if _, err := NewClient(used); err != nil {
		t.Fatal(err)
	}
	other := used.Clone()
	other.ServerName = "example.com"
	if m, err := NewClient(other); err != nil || m.d.serverName != "example.com" {
		t.Errorf("%v, %v", m.d.serverName, err)
	}
	if used.derived.Load() == nil || used.derived.Load() == other.derived.Load() {
		t.Error("what was derived is shared")
	}
}

// Without sources of its own, a config uses those of the standard library.
func TestDefaultSources(t *testing.T) {
	client, server := newPair(t, &Config{InsecureSkipVerify: true}, &Config{Certificates: testServerConfig().Certificates})
	talk(t, client, server, whole)
	if client.State() != StateConnected || server.State() != StateConnected {
		t.Errorf("%v, %v", client.Err(), server.Err())
	}
	// The certificates of the tests are valid around a fixed day.
	verified := newClientRig(t, func(c *Config) { c.Time = nil })
	verified.tryBring(StateWaitCertificateVerify)
	now := defaultTime()
	valid := now.After(tlstest.Now.AddDate(-1, 0, 0)) && now.Before(tlstest.Now.AddDate(1, 0, 0))
	if valid != (verified.m.State() == StateWaitCertificateVerify) {
		t.Errorf("%v at %v", verified.m.Err(), now)
	}
}

// Which certificate a server takes.
func TestChooseCertificate(t *testing.T) {
	p256 := tlstest.Certificate(tlstest.Leaf{Names: []string{"p256.example"}})
	ed := tlstest.Certificate(tlstest.Leaf{Key: tlstest.Ed25519, Names: []string{"ed.example"}})
	rsa := tlstest.Certificate(tlstest.Leaf{Key: tlstest.RSA2048, Names: []string{"rsa.example", "ed.example"}})
	picky := rsa
	picky.SupportedSignatureAlgorithms = []tls.SignatureScheme{tls.PSSWithSHA512}
	// Config.SignatureSchemes has not what this key may sign with.
	wide := rsa
	wide.SupportedSignatureAlgorithms = []tls.SignatureScheme{tls.PSSWithSHA384}
	for name, test := range map[string]struct {
		certs      []tls.Certificate
		serverName string
		accepts    []wire.SignatureScheme
		get        func(*tls.ClientHelloInfo) (*tls.Certificate, error)
		want       *tls.Certificate
	}{
		"by name":                     {[]tls.Certificate{p256, ed, rsa}, "rsa.example", nil, nil, &rsa},
		"first by name":               {[]tls.Certificate{p256, ed, rsa}, "ed.example", nil, nil, &ed},
		"no such name":                {[]tls.Certificate{p256, ed, rsa}, "other.example", nil, nil, &p256},
		"no name":                     {[]tls.Certificate{ed, rsa}, "", nil, nil, &ed},
		"by scheme":                   {[]tls.Certificate{p256, ed, rsa}, "", []wire.SignatureScheme{wire.RSAPSSRSAESHA256}, nil, &rsa},
		"by name and scheme":          {[]tls.Certificate{p256, ed, rsa}, "ed.example", []wire.SignatureScheme{wire.RSAPSSRSAESHA256}, nil, &rsa},
		"scheme before name":          {[]tls.Certificate{p256, rsa}, "p256.example", []wire.SignatureScheme{wire.RSAPSSRSAESHA256}, nil, &rsa},
		"restricted key":              {[]tls.Certificate{picky, ed}, "", []wire.SignatureScheme{wire.RSAPSSRSAESHA256, wire.Ed25519}, nil, &ed},
		"a key's own schemes":         {[]tls.Certificate{wide, ed}, "", []wire.SignatureScheme{wire.RSAPSSRSAESHA384, wire.Ed25519}, nil, &wide},
		"asked first":                 {[]tls.Certificate{p256}, "p256.example", nil, func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &ed, nil }, &ed},
		"asked, does not know":        {[]tls.Certificate{p256}, "p256.example", nil, func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil }, &p256},
		"not asked without a name":    {[]tls.Certificate{p256}, "", nil, func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &ed, nil }, &p256},
		"asked for want of any other": {nil, "", nil, func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &ed, nil }, &ed},
	} {
		t.Run(name, func(t *testing.T) {
			r := newServerRig(t, func(c *Config) {
				c.Certificates, c.GetCertificate = test.certs, test.get
				c.SignatureSchemes = []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256, tls.Ed25519, tls.PSSWithSHA256}
			})
			r.p.ServerName = test.serverName
			r.p.OnClientHello = func(m *wire.ClientHello) {
				if test.accepts != nil {
					m.SignatureAlgorithms = test.accepts
				}
			}
			r.wantConnected()
			var got wire.Certificate
			if err := got.Parse(r.p.Message(wire.TypeCertificate)); err != nil || !bytes.Equal(got.Entries[0].Data, test.want.Certificate[0]) {
				t.Errorf("another certificate was sent: %v", err)
			}
			var ee wire.EncryptedExtensions
			if err := ee.Parse(r.p.Message(wire.TypeEncryptedExtensions)); err != nil || ee.ServerNameAck != (test.serverName != "") {
				t.Errorf("EncryptedExtensions %+v, %v", ee, err)
			}
		})
	}
	fails(t, ReasonNoCommonSignatureScheme, AlertHandshakeFailure, refusedHello(func(m *wire.ClientHello) {
		m.SignatureAlgorithms = []wire.SignatureScheme{wire.RSAPSSRSAESHA256}
	}, func(c *Config) { c.Certificates = []tls.Certificate{picky, ed} })...)
}

// What a callback is told of the client.
func TestClientHelloInfo(t *testing.T) {
	var info *tls.ClientHelloInfo
	r := newServerRig(t, withGetCertificate(func(i *tls.ClientHelloInfo) (*tls.Certificate, error) {
		info = i
		cert := localhost()
		return &cert, nil
	}))
	r.p.OnClientHello = offerALPN("h2")
	r.wantConnected()
	if info.ServerName != "localhost" || !reflect.DeepEqual(info.SupportedProtos, []string{"h2"}) || !reflect.DeepEqual(info.CipherSuites, []uint16{0x1301}) ||
		!reflect.DeepEqual(info.SupportedVersions, []uint16{0x0304}) || len(info.SignatureSchemes) != 5 || len(info.Extensions) != 6 {
		t.Errorf("%+v", info)
	}
}

// The group that a server takes: post-quantum before anything, then one with a
// share, then its own order.
func TestChooseGroup(t *testing.T) {
	for _, test := range []struct {
		ours, theirs, shares []tls.CurveID
		want                 tls.CurveID
		retry                bool
	}{
		{supportedGroups, []tls.CurveID{tls.X25519, tls.CurveP256}, []tls.CurveID{tls.CurveP256}, tls.CurveP256, false},
		{supportedGroups, []tls.CurveID{tls.CurveP256, tls.X25519}, nil, tls.X25519, true},
		{supportedGroups, []tls.CurveID{tls.X25519, tls.X25519MLKEM768}, []tls.CurveID{tls.X25519}, tls.X25519MLKEM768, true},
		{supportedGroups, []tls.CurveID{tls.X25519MLKEM768, tls.SecP256r1MLKEM768}, []tls.CurveID{tls.SecP256r1MLKEM768}, tls.SecP256r1MLKEM768, false},
		{[]tls.CurveID{tls.CurveP521, tls.X25519}, []tls.CurveID{tls.X25519, tls.CurveP521}, []tls.CurveID{tls.X25519, tls.CurveP521}, tls.CurveP521, false},
	} {
		client, server := newPair(t,
			&Config{InsecureSkipVerify: true, CurvePreferences: test.theirs, KeyShares: append([]tls.CurveID{}, test.shares...)},
			&Config{Certificates: []tls.Certificate{localhost()}, CurvePreferences: test.ours})
		talk(t, client, server, whole)
		for _, m := range []*Machine{client, server} {
			if state := m.ConnectionState(); m.State() != StateConnected || state.CurveID != test.want || state.HelloRetryRequest != test.retry {
				t.Errorf("%+v: %v, retry %v: %v", test, state.CurveID, state.HelloRetryRequest, m.Err())
			}
		}
	}
}

func TestLimitsDefaults(t *testing.T) {
	got, err := Limits{}.check()
	if want := (Limits{ClientHello: 64 << 10, HandshakeMessage: 128 << 10, Output: 64 << 10, SkippedEarlyData: 32 << 10, EarlyData: 16 << 10}); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	if l, err := (Limits{Output: 30, KeyRecords: math.MaxUint64}).check(); err != nil || l.Output != 30 {
		t.Errorf("%+v, %v", l, err)
	}
}

// The names that a server tells are those of its authorities, unless it has
// others to tell, or too many.
func TestAuthorityNames(t *testing.T) {
	subject := tlstest.RootCertificate().RawSubject
	many := x509.NewCertPool()
	for i := range 2 {
		cert := *tlstest.RootCertificate()
		cert.Raw = append([]byte{byte(i)}, cert.Raw...)
		cert.RawSubject = make([]byte, 20<<10)
		many.AddCert(&cert)
	}
	for name, test := range map[string]struct {
		cfg  *Config
		want [][]byte
	}{
		"none":               {&Config{}, nil},
		"subjects":           {&Config{ClientCAs: tlstest.Roots()}, [][]byte{subject}},
		"others":             {&Config{ClientCAs: tlstest.Roots(), CertificateAuthorities: [][]byte{{1}}}, [][]byte{{1}}},
		"told none":          {&Config{ClientCAs: tlstest.Roots(), CertificateAuthorities: [][]byte{}}, [][]byte{}},
		"too many subjects":  {&Config{ClientCAs: many}, nil},
		"others without CAs": {&Config{CertificateAuthorities: [][]byte{{1}, {2}}}, [][]byte{{1}, {2}}},
	} {
		d, err := test.cfg.derive()
		if err != nil || !reflect.DeepEqual(d.authorities, test.want) {
			t.Errorf("%s: %x, %v", name, d.authorities, err)
		}
	}
}

// A client names the authorities that it trusts, if it is told to, in both of its
// ClientHellos. RFC 8446, Section 4.2.4.
func TestClientNamesAuthorities(t *testing.T) {
	names := [][]byte{{0x30, 0}, {0x30, 1, 2}}
	for _, s := range []State{StateWaitServerHello, StateWaitServerHelloRetry} {
		r := newClientRig(t, func(c *Config) { c.CertificateAuthorities = names }).bring(s)
		if got := r.p.Hello.CertificateAuthorities; !slices.EqualFunc(got, names, bytes.Equal) {
			t.Errorf("in %v: %x", s, got)
		}
		r.wantConnected()
	}
}

func only12(c *Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12 }

// A version that suites, groups or schemes leave out is not spoken, and what is only for
// it is not offered.
func TestVersionsOfConfig(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Config)
		want   []uint16
	}{
		"default":     {func(*Config) {}, []uint16{tls.VersionTLS13, tls.VersionTLS12}},
		"TLS 1.3":     {func(c *Config) { c.MinVersion = tls.VersionTLS13 }, []uint16{tls.VersionTLS13}},
		"TLS 1.2":     {func(c *Config) { c.MaxVersion = tls.VersionTLS12 }, []uint16{tls.VersionTLS12}},
		"suites 1.3":  {func(c *Config) { c.CipherSuites = []uint16{tls.TLS_AES_128_GCM_SHA256} }, []uint16{tls.VersionTLS13}},
		"suites 1.2":  {func(c *Config) { c.CipherSuites = []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256} }, []uint16{tls.VersionTLS12}},
		"groups 1.3":  {func(c *Config) { c.CurvePreferences = []tls.CurveID{tls.X25519MLKEM768} }, []uint16{tls.VersionTLS13}},
		"schemes 1.2": {func(c *Config) { c.SignatureSchemes = []tls.SignatureScheme{tls.PKCS1WithSHA256} }, []uint16{tls.VersionTLS12}},
	} {
		cfg := testClientConfig()
		cfg.MinVersion = 0
		test.change(cfg)
		d, err := cfg.derive()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !reflect.DeepEqual(d.versions, test.want) {
			t.Errorf("%s: versions %x, want %x", name, d.versions, test.want)
		}
		for _, s := range d.suites {
			if !d.speaks(s.version) {
				t.Errorf("%s: has %s", name, s.id)
			}
		}
		if !d.speaks(tls.VersionTLS13) && (len(d.keyShares) > 0 || slices.ContainsFunc(d.groups, isPostQuantum)) {
			t.Errorf("%s: groups %v, shares %v", name, d.groups, d.keyShares)
		}
	}
}
