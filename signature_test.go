package tlscore

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"math/big"
	"slices"
	"strings"
	"testing"

	"tlscore.example/tlscore/internal/tlstest"
)

const tls12, tls13 = tls.VersionTLS12, tls.VersionTLS13

var (
	anyECDSA = []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256, tls.ECDSAWithP384AndSHA384, tls.ECDSAWithP521AndSHA512}
	anyPSS   = []tls.SignatureScheme{tls.PSSWithSHA256, tls.PSSWithSHA384, tls.PSSWithSHA512}
	anyPKCS1 = []tls.SignatureScheme{tls.PKCS1WithSHA256, tls.PKCS1WithSHA384, tls.PKCS1WithSHA512}
)

// rsaPublic is a key of that many bytes, good for its size only.
func rsaPublic(size int) *rsa.PublicKey {
	return &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), uint(8*size-1)), E: 65537}
}

// "ECDSA signature schemes align with TLS 1.2's ECDSA hash/signature pairs.
// However, the old semantics did not constrain the signing curve."
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.2.3)
func TestUsableSchemes(t *testing.T) {
	leafKey := func(kind tlstest.KeyKind) crypto.PublicKey {
		return tlstest.Certificate(tlstest.Leaf{Key: kind}).Leaf.PublicKey
	}
	p224 := publicKey(ecdsa.GenerateKey(elliptic.P224(), rand.Reader))
	for _, test := range []struct {
		name       string
		key        crypto.PublicKey
		in12, in13 []tls.SignatureScheme
	}{
		{"P-256", leafKey(tlstest.ECDSAP256), anyECDSA, anyECDSA[:1]},
		{"P-384", leafKey(tlstest.ECDSAP384), anyECDSA, anyECDSA[1:2]},
		{"P-521", leafKey(tlstest.ECDSAP521), anyECDSA, anyECDSA[2:]},
		{"P-224", p224, nil, nil},
		{"Ed25519", leafKey(tlstest.Ed25519), []tls.SignatureScheme{tls.Ed25519}, []tls.SignatureScheme{tls.Ed25519}},
		{"RSA", leafKey(tlstest.RSA2048), append(slices.Clone(anyPSS), anyPKCS1...), anyPSS},
		{"RSA that all fit", rsaPublic(2*64 + 2), append(slices.Clone(anyPSS), anyPKCS1...), anyPSS},
		{"RSA of 129 bytes", rsaPublic(129), append(slices.Clone(anyPSS[:2]), anyPKCS1...), anyPSS[:2]},
		{"RSA of 62 bytes", rsaPublic(62), anyPKCS1[:1], nil},
		{"RSA of 61 bytes", rsaPublic(61), nil, nil},
		{"nothing", nil, nil, nil},
	} {
		for version, want := range map[uint16][]tls.SignatureScheme{tls12: test.in12, tls13: test.in13} {
			for i := range schemes {
				s := &schemes[i]
				if got := s.usable(version, test.key); got != slices.Contains(want, s.id) {
					t.Errorf("%s, %s, %s: usable is %v", test.name, tls.VersionName(version), s.id, got)
				}
			}
		}
	}
}

// Every scheme signs, in each version in which it may, what only it verifies.
func TestSignAndVerify(t *testing.T) {
	content := []byte("the messages so far")
	for kind := range tlstest.NumKeyKinds {
		cert := tlstest.Certificate(tlstest.Leaf{Key: kind})
		for i := range schemes {
			s := &schemes[i]
			if !s.usable(tls12, cert.Leaf.PublicKey) {
				continue
			}
			signature, err := s.sign(cert.PrivateKey.(crypto.Signer), rand.Reader, content)
			if err != nil {
				t.Fatalf("%s: %v", s.id, err)
			}
			for j := range schemes {
				other := &schemes[j]
				if !other.usable(tls12, cert.Leaf.PublicKey) {
					continue
				}
				if err := other.verify(cert.Leaf.PublicKey, content, signature); (err == nil) != (i == j) {
					t.Errorf("signed with %s, verified with %s: %v", s.id, other.id, err)
				}
			}
			if s.verify(cert.Leaf.PublicKey, content[1:], signature) == nil || s.verify(cert.Leaf.PublicKey, content, signature[1:]) == nil {
				t.Errorf("%s verifies something else", s.id)
			}
		}
	}
}

func TestConfiguredSchemes(t *testing.T) {
	only13, both, only12 := []uint16{tls13}, []uint16{tls12, tls13}, []uint16{tls12}
	for _, test := range []struct {
		list     []tls.SignatureScheme
		versions []uint16
		want     []tls.SignatureScheme
		err      string
	}{
		{nil, both, []tls.SignatureScheme{0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0603, 0x0806, 0x0601, 0x0807}, ""},
		{nil, only12, []tls.SignatureScheme{0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0603, 0x0806, 0x0601, 0x0807}, ""},
		{nil, only13, []tls.SignatureScheme{0x0403, 0x0804, 0x0503, 0x0805, 0x0603, 0x0806, 0x0807}, ""},
		{anyPKCS1, both, anyPKCS1, ""},
		{anyPKCS1, only13, nil, "signs no handshake of TLS 1.3"},
		{[]tls.SignatureScheme{}, both, nil, "is empty"},
		{[]tls.SignatureScheme{tls.Ed25519, tls.PSSWithSHA256, tls.Ed25519}, both, nil, "twice"},
		{[]tls.SignatureScheme{tls.PKCS1WithSHA1}, both, nil, "not supported"},
		{[]tls.SignatureScheme{tls.ECDSAWithSHA1}, only12, nil, "not supported"},
		{[]tls.SignatureScheme{0x0808}, both, nil, "not supported"},
	} {
		got, err := configuredSchemes(test.list, test.versions)
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("%v in %v: error %v", test.list, test.versions, err)
			}
			continue
		}
		if err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%v in %v: %v, %v", test.list, test.versions, got, err)
		}
	}
}

// A scheme that is for certificates only never stands in a list from which a
// TLS 1.2 peer could sign the handshake.
func TestOfferedSchemes(t *testing.T) {
	all, _ := configuredSchemes(nil, []uint16{tls12, tls13})
	in13, _ := configuredSchemes(nil, []uint16{tls13})
	ed := []tls.SignatureScheme{tls.Ed25519}
	for _, test := range []struct {
		name                    string
		handshake, certificates []tls.SignatureScheme
		tls12                   bool
		algorithms, cert        []tls.SignatureScheme
	}{
		{"all, both versions", all, defaultCert(all), true, all, nil},
		{"all, TLS 1.3", in13, defaultCert(in13), false, append(slices.Clone(in13), anyPKCS1...), nil},
		{"one, TLS 1.3", ed, defaultCert(ed), false, append(slices.Clone(ed), anyPKCS1...), nil},
		{"one, both versions", ed, defaultCert(ed), true, ed, append(slices.Clone(ed), anyPKCS1...)},
		{"fewer for certificates", in13, ed, false, in13, ed},
		{"others for certificates", ed, anyPSS, false, ed, anyPSS},
		{"the same", ed, ed, true, ed, nil},
	} {
		algorithms, cert := offeredSchemes(test.handshake, test.certificates, test.tls12)
		if !slices.Equal(algorithms, test.algorithms) || !slices.Equal(cert, test.cert) {
			t.Errorf("%s: %v, %v", test.name, algorithms, cert)
		}
	}
}

func defaultCert(handshake []tls.SignatureScheme) []tls.SignatureScheme {
	list, _ := configuredSchemesCert(nil, handshake)
	return list
}
