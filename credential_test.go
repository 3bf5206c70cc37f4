package tlscore

import (
	"bytes"
	"crypto/tls"
	"errors"
	"slices"
	"testing"

	"tlscore.example/tlscore/internal/tlstest"
	"tlscore.example/tlscore/internal/wire"
)

// wantAttachments makes the client ask for what goes along with a certificate.
func wantAttachments(p *tlstest.Peer) {
	p.OnClientHello = func(m *wire.ClientHello) {
		m.Extensions = append(m.Extensions, tlstest.Extensions(wire.ExtStatusRequest, wire.ExtSignedCertificateTimestamp)...)
	}
}

// sentCertificate runs a server against a client that was prepared, and returns
// the Certificate that it sends.
func sentCertificate(t *testing.T, prepare func(*tlstest.Peer), change func(*Config)) *wire.Certificate {
	t.Helper()
	var msg wire.Certificate
	r := newServerRig(t, change, func(c *Config) {
		c.Trace = func(m TraceMessage) {
			if m.Sent && !m.Alert && wire.HandshakeType(m.Body[0]) == wire.TypeCertificate {
				if err := msg.Parse(bytes.Clone(m.Body[wire.HeaderLen:])); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
	prepare(r.p)
	r.wantConnected()
	if len(msg.Entries) == 0 {
		t.Fatal("no certificate was sent")
	}
	return &msg
}

// "the body of the "status_request" extension from the server MUST be a
// CertificateStatus structure as defined in [RFC6066]"
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.4.2.1)
func TestAttachments(t *testing.T) {
	with := func(ocsp []byte, scts ...[]byte) func(*Config) {
		return func(c *Config) {
			cert := tlstest.Certificate(tlstest.Leaf{Intermediate: true})
			cert.OCSPStaple, cert.SignedCertificateTimestamps = ocsp, scts
			c.Certificates = []tls.Certificate{cert}
		}
	}
	ask := func(ocsp []byte) func(*Config) {
		return func(c *Config) { c.GetOCSPResponse = func(*tls.Certificate) ([]byte, error) { return ocsp, nil } }
	}
	both := func(first, second func(*Config)) func(*Config) {
		return func(c *Config) { first(c); second(c) }
	}
	otherStatus := func(p *tlstest.Peer) {
		p.OnClientHello = func(m *wire.ClientHello) {
			m.Extensions = append(m.Extensions, wire.Extension{Type: wire.ExtStatusRequest, Data: []byte{2, 0, 0, 0, 0}})
		}
	}
	none := func(*tlstest.Peer) {}
	for _, test := range []struct {
		name    string
		prepare func(*tlstest.Peer)
		change  func(*Config)
		ocsp    string
		scts    [][]byte
	}{
		{"asked for", wantAttachments, with([]byte("ocsp"), []byte("a"), []byte("b")), "ocsp", [][]byte{[]byte("a"), []byte("b")}},
		{"not asked for", none, with([]byte("ocsp"), []byte("a")), "", nil},
		{"not there", wantAttachments, with(nil), "", nil},
		{"another kind of status", otherStatus, with([]byte("ocsp"), []byte("a")), "", nil},
		{"from the application", wantAttachments, both(with(nil), ask([]byte("fresh"))), "fresh", nil},
		{"not from the application", wantAttachments, both(with([]byte("ocsp")), ask([]byte("fresh"))), "ocsp", nil},
		{"the application has none", wantAttachments, both(with(nil), ask(nil)), "", nil},
		{"not asked for, the application has one", none, both(with(nil), ask([]byte("fresh"))), "", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			msg := sentCertificate(t, test.prepare, test.change)
			leaf := &msg.Entries[0]
			if string(leaf.OCSPResponse) != test.ocsp || leaf.Has(wire.ExtStatusRequest) != (test.ocsp != "") {
				t.Errorf("OCSP response %q", leaf.OCSPResponse)
			}
			if !slices.EqualFunc(leaf.SCTs, test.scts, bytes.Equal) || leaf.Has(wire.ExtSignedCertificateTimestamp) != (len(test.scts) > 0) {
				t.Errorf("timestamps %q", leaf.SCTs)
			}
			for _, other := range msg.Entries[1:] {
				if len(other.Extensions) > 0 {
					t.Error("extensions behind the leaf")
				}
			}
		})
	}
}

// What fits is sent, and one byte more is refused when it is known.
func TestAttachmentsFit(t *testing.T) {
	const longest = 1<<16 - 1 - 4 - 4 - 4 - 2 - 2 - 3
	for _, test := range []struct {
		ocsp int
		scts [][]byte
		good bool
	}{
		{longest, [][]byte{[]byte("sct")}, true},
		{longest + 1, [][]byte{[]byte("sct")}, false},
		{10, [][]byte{{}}, false},
		{10, [][]byte{make([]byte, 1<<16)}, false},
		{0, [][]byte{make([]byte, maxTimestamps-2-2)}, true},
		{0, [][]byte{make([]byte, maxTimestamps-2-2+1)}, false},
	} {
		cert := localhost()
		cert.OCSPStaple, cert.SignedCertificateTimestamps = make([]byte, test.ocsp), test.scts
		c, err := newCredential(&cert)
		if (err == nil) != test.good {
			t.Errorf("%d bytes of OCSP, %d timestamps: %v", test.ocsp, len(test.scts), err)
		}
		if err == nil {
			var back wire.Certificate
			a, _ := c.attach(&Config{}, true, true)
			msg := c.message()
			a.addTo(&msg)
			if err := back.Parse(msg.Append(nil)[wire.HeaderLen:]); err != nil || len(back.Entries[0].OCSPResponse) != test.ocsp {
				t.Errorf("%d bytes of OCSP came back as %d: %v", test.ocsp, len(back.Entries[0].OCSPResponse), err)
			}
		}
	}
	cert := localhost()
	c, err := newCredential(&cert)
	if err != nil {
		t.Fatal(err)
	}
	cfg := &Config{GetOCSPResponse: func(*tls.Certificate) ([]byte, error) { return make([]byte, 1<<16), nil }}
	if _, err := c.attach(cfg, true, true); reasonOf(err) != ReasonCallbackFailed {
		t.Errorf("a callback returned too much: %v", err)
	}
	if got := c.message12().Certificates; !slices.EqualFunc(got, cert.Certificate, bytes.Equal) {
		t.Errorf("TLS 1.2 sends %d certificates", len(got))
	}
}

// Each way in which a certificate of our own is of no use is told by its config.
func TestUselessCertificates(t *testing.T) {
	good := tlstest.Certificate(tlstest.Leaf{})
	other := tlstest.Certificate(tlstest.Leaf{Key: tlstest.ECDSAP384})
	for name, cert := range map[string]tls.Certificate{
		"empty":         {PrivateKey: good.PrivateKey},
		"no DER":        {Certificate: [][]byte{[]byte("no DER")}, PrivateKey: good.PrivateKey},
		"no key":        {Certificate: good.Certificate},
		"another key":   {Certificate: good.Certificate, PrivateKey: other.PrivateKey},
		"too long":      {Certificate: [][]byte{good.Certificate[0], make([]byte, 1<<24)}, PrivateKey: good.PrivateKey},
		"not for signs": tlstest.Certificate(tlstest.Leaf{Key: tlstest.RSA2048, KeyUsage: 1 << 2}),
	} {
		if _, err := NewServer(&Config{Certificates: []tls.Certificate{cert}}); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	// Whether what is behind the leaf can be parsed is the peer's affair.
	good.Certificate = append(slices.Clone(good.Certificate), []byte("no DER"))
	if _, err := NewServer(&Config{Certificates: []tls.Certificate{good}}); err != nil {
		t.Error(err)
	}
}

// "The end-entity certificate provided by the client MUST contain a key that is
// compatible with certificate_types."
// (https://www.rfc-editor.org/rfc/rfc5246#section-7.4.4)
func TestCertificateTypes(t *testing.T) {
	have := credentialsOf(t, tlstest.Leaf{}, tlstest.Leaf{Key: tlstest.Ed25519}, tlstest.Leaf{Key: tlstest.RSA2048})
	d := &derived{schemes: allSchemes(), certs: have}
	for _, test := range []struct {
		types   []wire.ClientCertificateType
		want    *credential
		offered int
	}{
		{[]wire.ClientCertificateType{wire.CertTypeRSASign}, have[2], 2},
		{[]wire.ClientCertificateType{wire.CertTypeECDSASign}, have[0], 2},
		{[]wire.ClientCertificateType{2, 3, 65, wire.CertTypeRSASign, wire.CertTypeECDSASign}, have[0], 4},
		{[]wire.ClientCertificateType{2, 66}, nil, 0},
	} {
		q := d.clientRequest12(&wire.CertificateRequest12{CertificateTypes: test.types, SignatureAlgorithms: []wire.SignatureScheme{
			wire.ECDSASHA1, wire.RSAPKCS1SHA256, wire.RSAPSSRSAESHA256, wire.Ed25519, wire.ECDSAP256SHA256,
		}})
		if got, _, err := q.choose(d.certs); got != test.want || (got == nil) != (err != nil) {
			t.Errorf("%v: %v, %v", test.types, got, err)
		}
		if len(q.offered) != test.offered {
			t.Errorf("%v: the application is told %v", test.types, q.offered)
		}
	}
}

// What a request holds survives its message, and what the application is told
// is its own.
func TestClientRequestOwnsItsLists(t *testing.T) {
	body := (&wire.CertificateRequest12{
		CertificateTypes:       []wire.ClientCertificateType{wire.CertTypeECDSASign},
		SignatureAlgorithms:    []wire.SignatureScheme{wire.Ed25519},
		CertificateAuthorities: [][]byte{[]byte("name")},
	}).Append(nil)
	var req wire.CertificateRequest12
	if err := req.Parse(body[wire.HeaderLen:]); err != nil {
		t.Fatal(err)
	}
	q := (&derived{schemes: allSchemes()}).clientRequest12(&req)
	clear(body)
	clear(req.SignatureAlgorithms)
	info := q.info()
	if info.Version != tls12 || len(info.AcceptableCAs) != 1 || !slices.Equal(info.SignatureSchemes, []tls.SignatureScheme{tls.Ed25519}) {
		t.Errorf("the application is told %+v", info)
	}
	clear(info.AcceptableCAs[0])
	clear(info.SignatureSchemes)
	if !slices.Equal(q.schemesCert, []wire.SignatureScheme{wire.Ed25519}) || !slices.Equal(q.schemes, []tls.SignatureScheme{tls.Ed25519}) ||
		!slices.Equal(q.offered, []tls.SignatureScheme{tls.Ed25519}) || string(q.authorities[0]) != "name" {
		t.Errorf("%+v", q)
	}
}

// A panic of the application while it looks for an OCSP response is its failure.
func TestOCSPCallbackPanics(t *testing.T) {
	cert := localhost()
	c, err := newCredential(&cert)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.attach(&Config{GetOCSPResponse: func(*tls.Certificate) ([]byte, error) { panic("GetOCSPResponse") }}, true, false)
	var local *LocalError
	if !errors.As(err, &local) || local.Reason != ReasonCallbackPanicked {
		t.Errorf("%v", err)
	}
}
