package wire

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
)

// A vector is a whole message that others made.
type vector struct {
	kind MessageKind
	raw  []byte
}

// readVectors returns the messages of a file in testdata, in their order.
func readVectors(t testing.TB, file string) (list []vector) {
	t.Helper()
	text, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]MessageKind{}
	for _, k := range allKinds() {
		kinds[k.String()] = k
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		line = strings.TrimSpace(line)
		at := strings.LastIndex(line, " ")
		k, ok := kinds[line[:at]]
		if !ok {
			t.Fatalf("%s: no message is called %q", file, line[:at])
		}
		list = append(list, vector{k, unhex(line[at+1:])})
	}
	return list
}

// vectors returns the messages of RFC 8448, and those of a handshake of TLS
// 1.2, by kind.
func vectors(t testing.TB) map[MessageKind][][]byte {
	t.Helper()
	found := map[MessageKind][][]byte{}
	for _, v := range append(readVectors(t, "rfc8448.txt"), readVectors(t, "tls12.txt")...) {
		found[v.kind] = append(found[v.kind], v.raw)
	}
	return found
}

// The messages of RFC 8448 and of a handshake of TLS 1.2 are read, and written
// back byte for byte, by one struct per kind.
func TestVectors(t *testing.T) {
	all := vectors(t)
	for _, k := range allKinds() {
		if len(all[k]) == 0 && k != KindKeyUpdate && k != KindHelloRequest {
			t.Errorf("there should be a %v", k)
		}
		m := newMessage(k)
		for _, raw := range all[k] {
			_, n, ok := Header(raw)
			if !ok || n != len(raw)-HeaderLen {
				t.Fatalf("header of %x", raw)
			}
			if err := m.Parse(raw[HeaderLen:]); err != nil {
				t.Errorf("%v: %v", k, err)
			}
			if out := m.Append(nil); !bytes.Equal(out, raw) {
				t.Errorf("%v: written back as\n%x, was\n%x", k, out, raw)
			}
		}
	}
}

// What the typed fields say about RFC 8448's first hello, and encoding it from
// these fields alone.
func TestRFC8448Fields(t *testing.T) {
	all := vectors(t)
	raw := all[KindClientHello][0]
	var m ClientHello
	if err := m.Parse(raw[HeaderLen:]); err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(string(m.ServerName), m.CipherSuites, m.SupportedVersions, m.SupportedGroups[:2],
		m.SignatureAlgorithms[:2], m.KeyShares[0].Group, len(m.KeyShares[0].Data), m.PSKModes, len(m.SessionID))
	want := "server[TLS_AES_128_GCM_SHA256 TLS_CHACHA20_POLY1305_SHA256 TLS_AES_256_GCM_SHA384] [TLS 1.3]" +
		" [x25519 secp256r1] [ecdsa_secp256r1_sha256 ecdsa_secp384r1_sha384] x25519 32 [1] 0"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for _, k := range []MessageKind{KindClientHello, KindServerHello, KindHelloRetryRequest} {
		for _, raw := range all[k] {
			m := newMessage(k)
			if err := m.Parse(raw[HeaderLen:]); err != nil {
				t.Fatal(err)
			}
			forget(m)
			if out := m.Append(nil); !bytes.Equal(out, raw) {
				t.Errorf("%v from its fields:\n%x, was\n%x", k, out, raw)
			}
		}
	}
}

// forget drops the raw data of all extensions.
func forget(m message) {
	drop := func(list []Extension) {
		for i := range list {
			list[i].Data = nil
		}
	}
	switch m := m.(type) {
	case *ClientHello:
		drop(m.Extensions)
	case *ServerHello:
		drop(m.Extensions)
	case *EncryptedExtensions:
		drop(m.Extensions)
	case *CertificateRequest:
		drop(m.Extensions)
	case *NewSessionTicket:
		drop(m.Extensions)
	case *Certificate:
		for i := range m.Entries {
			drop(m.Entries[i].Extensions)
		}
	}
}
