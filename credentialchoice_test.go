package tlscore

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tlscore.example/tlscore/internal/tlstest"
	"tlscore.example/tlscore/internal/wire"
)

// credentialsOf makes credentials that a config would have.
func credentialsOf(t interface{ Fatal(...any) }, leaves ...tlstest.Leaf) (list []*credential) {
	for _, leaf := range leaves {
		cert := tlstest.Certificate(leaf)
		c, err := newConfiguredCredential(&cert)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, c)
	}
	return list
}

func allSchemes() []tls.SignatureScheme {
	list, _ := configuredSchemes(nil, []uint16{tls12, tls13})
	return list
}

func TestChooseCredential(t *testing.T) {
	ec := tlstest.Leaf{Key: tlstest.ECDSAP256}
	ec384 := tlstest.Leaf{Key: tlstest.ECDSAP384}
	ed := tlstest.Leaf{Key: tlstest.Ed25519}
	rsa := tlstest.Leaf{Key: tlstest.RSA2048}
	named := tlstest.Leaf{Names: []string{"example.com", "*.example.org"}}
	unknown := tlstest.Leaf{UnknownCA: true}
	through := tlstest.Leaf{Intermediate: true}
	rootName := tlstest.RootCertificate().RawSubject

	for _, test := range []struct {
		name   string
		have   []tlstest.Leaf
		q      credentialRequest
		want   int // index; -1 for none
		scheme tls.SignatureScheme
		reason Reason
	}{
		{name: "the first of several", have: []tlstest.Leaf{rsa, ec}, scheme: tls.PSSWithSHA256},
		{name: "our own order of schemes", have: []tlstest.Leaf{rsa}, q: credentialRequest{schemes: []tls.SignatureScheme{tls.PSSWithSHA512, tls.PSSWithSHA256}}, scheme: tls.PSSWithSHA512},
		{name: "by scheme", have: []tlstest.Leaf{ec, ed, rsa}, q: credentialRequest{schemes: anyPSS}, want: 2, scheme: tls.PSSWithSHA256},
		{name: "by curve in TLS 1.3", have: []tlstest.Leaf{ec384, ec}, q: credentialRequest{schemes: anyECDSA[:1]}, want: 1, scheme: tls.ECDSAWithP256AndSHA256},
		{name: "by name", have: []tlstest.Leaf{ec, rsa, named}, q: credentialRequest{serverName: "www.example.org"}, want: 2, scheme: tls.ECDSAWithP256AndSHA256},
		{name: "an unknown name", have: []tlstest.Leaf{ec, named}, q: credentialRequest{serverName: "example.net"}, scheme: tls.ECDSAWithP256AndSHA256},
		{name: "a name that cannot sign", have: []tlstest.Leaf{rsa, named}, q: credentialRequest{serverName: "example.com", schemes: anyPSS}, scheme: tls.PSSWithSHA256},
		{name: "by issuer", have: []tlstest.Leaf{unknown, ec}, q: credentialRequest{authorities: [][]byte{{0x30, 0}, rootName}}, want: 1, scheme: tls.ECDSAWithP256AndSHA256},
		{name: "by an issuer further up", have: []tlstest.Leaf{unknown, through}, q: credentialRequest{authorities: [][]byte{rootName}}, want: 1, scheme: tls.ECDSAWithP256AndSHA256},
		{name: "no such issuer, at a server", have: []tlstest.Leaf{unknown, ec}, q: credentialRequest{authorities: [][]byte{{0x30, 0}}}, scheme: tls.ECDSAWithP256AndSHA256},
		{name: "no such issuer, at a client", have: []tlstest.Leaf{unknown, ec}, q: credentialRequest{authorities: [][]byte{{0x30, 0}}, authoritiesRequire: true}, want: -1, reason: ReasonNoCommonSignatureScheme},
		{name: "the name before the issuer", have: []tlstest.Leaf{ec, {Names: []string{"example.com"}, UnknownCA: true}}, q: credentialRequest{serverName: "example.com", authorities: [][]byte{rootName}}, want: 1, scheme: tls.ECDSAWithP256AndSHA256},
		{name: "a chain that cannot be verified is better than none", have: []tlstest.Leaf{ec}, q: credentialRequest{schemesCert: []wire.SignatureScheme{wire.RSAPKCS1SHA256}}, scheme: tls.ECDSAWithP256AndSHA256},
		{name: "no scheme", have: []tlstest.Leaf{ec, rsa}, q: credentialRequest{schemes: []tls.SignatureScheme{tls.Ed25519}}, want: -1, reason: ReasonNoCommonSignatureScheme},
		{name: "PKCS #1 in TLS 1.3", have: []tlstest.Leaf{rsa}, q: credentialRequest{schemes: anyPKCS1}, want: -1, reason: ReasonNoCommonSignatureScheme},
		{name: "no signature_algorithms", have: []tlstest.Leaf{rsa}, q: credentialRequest{version: tls12, rsa: true, schemes: []tls.SignatureScheme{}}, want: -1, reason: ReasonNoCommonSignatureScheme},
		{name: "no certificate", want: -1, reason: ReasonNoCertificate},

		{name: "TLS 1.2, ECDSA suites", have: []tlstest.Leaf{rsa, ec}, q: credentialRequest{version: tls12, ecdsa: true}, want: 1, scheme: tls.ECDSAWithP256AndSHA256},
		{name: "TLS 1.2, RSA suites", have: []tlstest.Leaf{ec, rsa}, q: credentialRequest{version: tls12, rsa: true}, want: 1, scheme: tls.PSSWithSHA256},
		{name: "TLS 1.2, Ed25519 goes with ECDSA suites", have: []tlstest.Leaf{rsa, ed}, q: credentialRequest{version: tls12, ecdsa: true}, want: 1, scheme: tls.Ed25519},
		{name: "TLS 1.2, PKCS #1", have: []tlstest.Leaf{ec, rsa}, q: credentialRequest{version: tls12, ecdsa: true, rsa: true, schemes: anyPKCS1}, want: 1, scheme: tls.PKCS1WithSHA256},
		{name: "TLS 1.2, any curve with any hash", have: []tlstest.Leaf{ec384}, q: credentialRequest{version: tls12, ecdsa: true, schemes: anyECDSA[:1]}, scheme: tls.ECDSAWithP256AndSHA256},
		{name: "TLS 1.2, a curve that the client knows", have: []tlstest.Leaf{ec384, ec}, q: credentialRequest{version: tls12, ecdsa: true, curves: []tls.CurveID{tls.X25519, tls.CurveP256}}, want: 1, scheme: tls.ECDSAWithP256AndSHA256},
		{name: "TLS 1.2, no curve that the client knows", have: []tlstest.Leaf{ec384}, q: credentialRequest{version: tls12, ecdsa: true, curves: []tls.CurveID{tls.X25519}}, want: -1, reason: ReasonNoCommonSignatureScheme},
		{name: "TLS 1.2, no suite", have: []tlstest.Leaf{ec}, q: credentialRequest{version: tls12, rsa: true}, want: -1, reason: ReasonNoCommonCipherSuite},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.q.schemes == nil {
				test.q.schemes = allSchemes()
			}
			if test.q.version == 0 {
				test.q.version = tls13
			}
			have := credentialsOf(t, test.have...)
			got, s, err := test.q.choose(have)
			if test.want < 0 {
				if got != nil || s != nil || reasonOf(err) != test.reason {
					t.Errorf("%v, %v, %v", got, s, err)
				}
				return
			}
			if err != nil || got != have[test.want] || s.id != test.scheme {
				t.Errorf("credential %d with %v: %v", slices.Index(have, got), s, err)
			}
		})
	}
}

// A chain that the peer can verify goes before one that it cannot.
func TestChooseVerifiableChain(t *testing.T) {
	have := credentialsOf(t, tlstest.Leaf{}, tlstest.Leaf{})
	have[1].chain = []chainFacts{{scheme: tls.PKCS1WithSHA256}, {scheme: 0}}
	q := credentialRequest{version: tls13, schemes: allSchemes(), schemesCert: []wire.SignatureScheme{wire.RSAPKCS1SHA256}}
	if got, _, err := q.choose(have); got != have[1] {
		t.Errorf("chose %v: %v", got, err)
	}
	have[1].chain = append(have[1].chain, chainFacts{scheme: unknownScheme})
	if got, _, err := q.choose(have); got != have[0] {
		t.Errorf("chose %v: %v", got, err)
	}
}

// Whatever is asked for, what is chosen can sign, nothing that ranks higher was
// passed over, and nothing is chosen only if nothing can sign.
func TestChoiceIsBest(t *testing.T) {
	leaves := []tlstest.Leaf{
		{}, {Key: tlstest.ECDSAP384}, {Key: tlstest.ECDSAP521}, {Key: tlstest.Ed25519}, {Key: tlstest.RSA2048},
		{Names: []string{"a.test"}}, {Key: tlstest.RSA2048, Names: []string{"a.test"}, UnknownCA: true}, {Intermediate: true},
	}
	pool := credentialsOf(t, leaves...)
	rapid.Check(t, func(t *rapid.T) {
		have := rapid.SliceOfN(rapid.SampledFrom(pool), 1, 4).Draw(t, "have")
		q := credentialRequest{
			version:            rapid.SampledFrom([]uint16{tls12, tls13}).Draw(t, "version"),
			schemes:            rapid.SliceOfN(rapid.SampledFrom(allSchemes()), 0, 3).Draw(t, "schemes"),
			serverName:         rapid.SampledFrom([]string{"", "localhost", "a.test", "b.test"}).Draw(t, "name"),
			authoritiesRequire: rapid.Bool().Draw(t, "require"),
			ecdsa:              rapid.Bool().Draw(t, "ecdsa"),
			rsa:                rapid.Bool().Draw(t, "rsa"),
			curves:             rapid.SliceOfN(rapid.SampledFrom([]tls.CurveID{tls.CurveP256, tls.CurveP384}), 0, 2).Draw(t, "curves"),
		}
		if rapid.Bool().Draw(t, "authorities") {
			q.authorities = [][]byte{tlstest.RootCertificate().RawSubject}
		}
		got, s, err := q.choose(have)
		can := func(c *credential) bool {
			return q.scheme(c) != nil && (!q.authoritiesRequire || q.authorities == nil || c.issuedByAny(q.authorities))
		}
		if got == nil {
			if reasonOf(err) == reasonNone || slices.ContainsFunc(have, can) {
				t.Fatalf("none chosen: %v", err)
			}
			return
		}
		if !can(got) || !s.usable(q.version, got.leaf.PublicKey) || !slices.Contains(q.schemes, s.id) {
			t.Fatalf("chose %v with %v", got.leaf.Subject, s.id)
		}
		rank := func(c *credential) int { return q.rank(c, q.authorities == nil || c.issuedByAny(q.authorities)) }
		for _, other := range have {
			if can(other) && rank(other) > rank(got) {
				t.Fatalf("passed over %v", other.leaf.Subject)
			}
		}
	})
}

// "The certificate MUST allow the key to be used for signing (i.e., the
// digitalSignature bit MUST be set if the Key Usage extension is present)"
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.4.2.2)
func TestKeyUsage(t *testing.T) {
	for _, test := range []struct {
		leaf tlstest.Leaf
		good bool
	}{
		{tlstest.Leaf{}, true},
		{tlstest.Leaf{NoKeyUsage: true}, true},
		{tlstest.Leaf{KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyAgreement}, true},
		{tlstest.Leaf{KeyUsage: x509.KeyUsageKeyAgreement}, false},
		{tlstest.Leaf{KeyUsage: x509.KeyUsageContentCommitment}, false},
		{tlstest.Leaf{Key: tlstest.RSA2048, KeyUsage: x509.KeyUsageKeyEncipherment}, false},
	} {
		cert := tlstest.Certificate(test.leaf)
		if _, err := newCredential(&cert); (err == nil) != test.good || err != nil && !strings.Contains(err.Error(), "key usage") {
			t.Errorf("%+v as our own: %v", test.leaf, err)
		}
		for _, version := range []uint16{tls12, tls13} {
			err := checkLeaf(version, cert.Leaf)
			if test.good && err != nil || !test.good && reasonOf(err) != ReasonCertificateUsage {
				t.Errorf("%+v as the peer's in %s: %v", test.leaf, tls.VersionName(version), err)
			}
		}
	}
	// The extension without any bit is not the same as no extension.
	for id, want := range map[int]bool{15: false, 19: true} {
		cert := &x509.Certificate{Extensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, id}, Value: []byte{3, 1, 0}}}}
		if maySign(cert) != want {
			t.Errorf("2.5.29.%d: may sign is %v", id, !want)
		}
	}
}
