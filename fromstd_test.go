package tlscore

//lint:file-ignore SA1019 deprecated fields of a tls.Config are carried over as well

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"reflect"
	"slices"
	"testing"

	"tlscore.example/tlscore/internal/tlstest"
)

// stdFields says what becomes of every exported field of tls.Config.
var stdFields = map[string]string{
	"Rand": "carried", "Time": "carried", "Certificates": "carried", "GetCertificate": "carried",
	"GetClientCertificate": "carried", "VerifyPeerCertificate": "carried", "VerifyConnection": "carried",
	"RootCAs": "carried", "NextProtos": "carried", "ServerName": "carried", "ClientAuth": "carried",
	"ClientCAs": "carried", "InsecureSkipVerify": "carried", "KeyLogWriter": "carried", "SessionTicketsDisabled": "carried",

	"CipherSuites": "converted", "CurvePreferences": "converted", "MinVersion": "converted", "MaxVersion": "converted",
	"SessionTicketKey": "converted", "DynamicRecordSizingDisabled": "converted",

	"NameToCertificate": "refused", "GetConfigForClient": "refused", "ClientSessionCache": "refused",
	"UnwrapSession": "refused", "WrapSession": "refused", "Renegotiation": "refused",
	"EncryptedClientHelloConfigList": "refused", "EncryptedClientHelloRejectionVerify": "refused",
	"GetEncryptedClientHelloKeys": "refused", "EncryptedClientHelloKeys": "refused",

	"PreferServerCipherSuites": "without meaning",
}

// setField gives a field of tls.Config a value that is not its zero value.
func setField(t *testing.T, f reflect.Value, name string) {
	t.Helper()
	switch f.Kind() {
	case reflect.Bool:
		f.SetBool(true)
	case reflect.String:
		f.SetString("localhost")
	case reflect.Int:
		f.SetInt(1)
	case reflect.Uint16:
		f.SetUint(tls.VersionTLS13)
	case reflect.Array:
		f.Index(0).SetUint(1)
	case reflect.Func:
		f.Set(reflect.MakeFunc(f.Type(), nil))
	case reflect.Slice:
		f.Set(reflect.MakeSlice(f.Type(), 1, 1))
	case reflect.Map:
		f.Set(reflect.ValueOf(map[string]*tls.Certificate{"a": nil}))
	case reflect.Pointer:
		f.Set(reflect.ValueOf(x509.NewCertPool()))
	case reflect.Interface:
		switch name {
		case "Rand":
			f.Set(reflect.ValueOf(bytes.NewReader(nil)))
		case "KeyLogWriter":
			f.Set(reflect.ValueOf(new(bytes.Buffer)))
		case "ClientSessionCache":
			f.Set(reflect.ValueOf(tls.NewLRUClientSessionCache(1)))
		}
	}
	if f.IsZero() {
		t.Fatalf("no value for %s", name)
	}
}

// Every field of crypto/tls's Config, those of versions to come too, is carried
// over as it is, or named when it cannot be.
func TestFromStdKnowsEveryField(t *testing.T) {
	typ := reflect.TypeFor[tls.Config]()
	for i := range typ.NumField() {
		name := typ.Field(i).Name
		if !typ.Field(i).IsExported() {
			continue
		}
		std := new(tls.Config)
		field := reflect.ValueOf(std).Elem().Field(i)
		setField(t, field, name)
		cfg, err := FromStd(std)
		switch fate := stdFields[name]; fate {
		case "carried":
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			got := reflect.ValueOf(cfg).Elem().FieldByName(name)
			same := got.Kind() == reflect.Func && got.Pointer() == field.Pointer() || got.Kind() != reflect.Func && reflect.DeepEqual(got.Interface(), field.Interface())
			if !same {
				t.Errorf("%s was not carried over", name)
			}
		case "refused":
			var unsupported *UnsupportedConfigError
			if cfg != nil || !errors.As(err, &unsupported) || !slices.Equal(unsupported.Fields, []string{name}) {
				t.Errorf("%s: %v, %v", name, cfg, err)
			}
		case "converted", "without meaning":
			if err != nil && name != "CurvePreferences" {
				t.Errorf("%s: %v", name, err)
			}
		default:
			t.Errorf("what becomes of %s?", name)
		}
	}
	// What has the same name has to be carried over.
	ours := reflect.TypeFor[Config]()
	for i := range ours.NumField() {
		name := ours.Field(i).Name
		if f, ok := typ.FieldByName(name); ok && f.IsExported() && stdFields[name] != "carried" && stdFields[name] != "converted" {
			t.Errorf("%s is %s, and both have it", name, stdFields[name])
		}
	}
}

func TestFromStdConverts(t *testing.T) {
	in13 := []uint16{tls.TLS_AES_128_GCM_SHA256, tls.TLS_AES_256_GCM_SHA384, tls.TLS_CHACHA20_POLY1305_SHA256}
	for _, test := range []struct {
		name  string
		std   *tls.Config
		check func(*Config) bool
	}{
		{"the zero config", &tls.Config{}, func(c *Config) bool {
			return c.CipherSuites == nil && c.CurvePreferences == nil && c.MinVersion == 0 && c.MaxVersion == 0 && c.OCSPStapling && c.SignedCertificateTimestamps && c.TicketKeys == nil
		}},
		{"old versions", &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS12}, func(c *Config) bool {
			return c.MinVersion == 0 && c.MaxVersion == tls.VersionTLS12
		}},
		{"only TLS 1.3", &tls.Config{MinVersion: tls.VersionTLS13}, func(c *Config) bool { return c.MinVersion == tls.VersionTLS13 }},
		{"no cipher suite of TLS 1.2", &tls.Config{CipherSuites: []uint16{}}, func(c *Config) bool { return slices.Equal(c.CipherSuites, in13) }},
		{"weak cipher suites", &tls.Config{CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_RC4_128_SHA}}, func(c *Config) bool {
			return slices.Equal(c.CipherSuites, in13)
		}},
		{"a cipher suite of TLS 1.3 twice", &tls.Config{CipherSuites: []uint16{tls.TLS_AES_256_GCM_SHA384}}, func(c *Config) bool { return slices.Equal(c.CipherSuites, in13) }},
		{"groups", &tls.Config{CurvePreferences: []tls.CurveID{tls.CurveP384, 0x0100, tls.X25519, tls.X25519}}, func(c *Config) bool {
			return slices.Equal(c.CurvePreferences, []tls.CurveID{tls.CurveP384, tls.X25519})
		}},
		{"no groups", &tls.Config{CurvePreferences: []tls.CurveID{}}, func(c *Config) bool { return c.CurvePreferences == nil }},
		{"record sizes as they are by default", &tls.Config{}, func(c *Config) bool { return c.SmallFirstRecords }},
		{"long records", &tls.Config{DynamicRecordSizingDisabled: true}, func(c *Config) bool { return !c.SmallFirstRecords }},
		{"a key for tickets", &tls.Config{SessionTicketKey: [32]byte{7}}, func(c *Config) bool { return c.TicketKeys != nil }},
	} {
		cfg, err := FromStd(test.std)
		if err != nil || !test.check(cfg) {
			t.Errorf("%s: %+v, %v", test.name, cfg, err)
		}
	}
	if cfg, err := FromStd(nil); err != nil || cfg == nil {
		t.Errorf("nil: %v, %v", cfg, err)
	}
}

// All that is lost is named at once, in the order of tls.Config.
func TestFromStdNamesAll(t *testing.T) {
	std := &tls.Config{
		ClientAuth:       tls.RequireAndVerifyClientCert,
		MaxVersion:       tls.VersionTLS11,
		CurvePreferences: []tls.CurveID{0x0100},
		Renegotiation:    tls.RenegotiateFreelyAsClient,
		WrapSession:      func(tls.ConnectionState, *tls.SessionState) ([]byte, error) { return nil, nil },
	}
	cfg, err := FromStd(std)
	var unsupported *UnsupportedConfigError
	if !errors.As(err, &unsupported) || cfg != nil {
		t.Fatalf("%v, %v", cfg, err)
	}
	if want := []string{"ClientCAs", "WrapSession", "MaxVersion", "CurvePreferences", "Renegotiation"}; !slices.Equal(unsupported.Fields, want) {
		t.Errorf("%q, want %q", unsupported.Fields, want)
	}
	if got := err.Error(); got != "tlscore: a config of crypto/tls has what cannot be honoured: ClientCAs, WrapSession, MaxVersion, CurvePreferences, Renegotiation" {
		t.Errorf("text %q", got)
	}
}

// What BuildNameToCertificate makes says nothing new; another map does.
func TestFromStdNames(t *testing.T) {
	std := &tls.Config{Certificates: []tls.Certificate{localhost(), tlstest.Certificate(tlstest.Leaf{Names: []string{"example.com"}})}}
	std.BuildNameToCertificate()
	if len(std.NameToCertificate) != 2 {
		t.Fatalf("%d names", len(std.NameToCertificate))
	}
	if _, err := FromStd(std); err != nil {
		t.Error(err)
	}
	other := tlstest.Certificate(tlstest.Leaf{Names: []string{"example.net"}})
	std.NameToCertificate["example.net"] = &other
	if _, err := FromStd(std); err == nil {
		t.Error("a certificate is lost")
	}
}

// A connection between two configs that came from crypto/tls.
func TestFromStdConnects(t *testing.T) {
	std := &tls.Config{
		Time: tlstest.Clock, Certificates: []tls.Certificate{localhost()}, RootCAs: tlstest.Roots(),
		ServerName: "localhost", NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS13,
	}
	client, err := FromStd(std)
	if err != nil {
		t.Fatal(err)
	}
	server, err := FromStd(std)
	if err != nil {
		t.Fatal(err)
	}
	c, s := newPair(t, client, server)
	talk(t, c, s, whole)
	for _, m := range []*Machine{c, s} {
		if state := m.ConnectionState(); m.State() != StateConnected || state.NegotiatedProtocol != "h2" {
			t.Errorf("%v: %+v", m.Err(), state)
		}
	}
}
