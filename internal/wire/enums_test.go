package wire

import (
	"bytes"
	"fmt"
	"testing"
)

func TestStrings(t *testing.T) {
	for _, c := range []struct {
		v    fmt.Stringer
		want string
	}{
		{TypeClientHello, "client_hello"},
		{HandshakeType(7), "HandshakeType(0x07)"},
		{ExtALPN, "application_layer_protocol_negotiation"},
		{ExtensionType(0x0a0a), "ExtensionType(0x0a0a)"},
		{VersionTLS13, "TLS 1.3"},
		{Version(0x7f1c), "Version(0x7f1c)"},
		{TLS_AES_128_GCM_SHA256, "TLS_AES_128_GCM_SHA256"},
		{CipherSuite(0x1234), "CipherSuite(0x1234)"},
		{GroupX25519MLKEM768, "X25519MLKEM768"},
		{GroupP256, "secp256r1"},
		{NamedGroup(1), "NamedGroup(0x0001)"},
		{RSAPSSRSAESHA256, "rsa_pss_rsae_sha256"},
		{RSAPKCS1SHA1, "rsa_pkcs1_sha1"},
		{ECDSASHA1, "ecdsa_sha1"},
		{SignatureScheme(0), "SignatureScheme(0x0000)"},
		{GroupMLKEM512, "MLKEM512"},
		{GroupMLKEM768, "MLKEM768"},
		{GroupMLKEM1024, "MLKEM1024"},
		{TypeServerKeyExchange, "server_key_exchange"},
		{TLS_FALLBACK_SCSV, "TLS_FALLBACK_SCSV"},
		{CertTypeECDSASign, "ecdsa_sign"},
		{ClientCertificateType(2), "ClientCertificateType(0x02)"},
		{KindNewSessionTicket12, "NewSessionTicket (TLS 1.2)"},
		{Malformed, "malformed"},
		{DuplicateExtension, "duplicate extension"},
		{MisplacedExtension, "misplaced extension"},
		{Inconsistent, "inconsistent"},
		{ErrorKind(0), "ErrorKind(0)"},
		{KindHelloRetryRequest, "HelloRetryRequest"},
		{MessageKind(0), "MessageKind(0)"},
		{MessageKind(99), "MessageKind(99)"},
	} {
		if got := c.v.String(); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}

func TestErrorText(t *testing.T) {
	for _, c := range []struct {
		err  Error
		want string
	}{
		{Error{Kind: Malformed, Message: KindClientHello, Field: "cipher_suites"},
			"wire: ClientHello: malformed (cipher_suites)"},
		{Error{Kind: MisplacedExtension, Message: KindServerHello, Extension: ExtCookie, HasExtension: true},
			"wire: ServerHello: misplaced extension cookie"},
		{Error{Kind: Inconsistent, Message: KindClientHello, Extension: ExtPreSharedKey, HasExtension: true, Field: "binders"},
			"wire: ClientHello: inconsistent pre_shared_key (binders)"},
	} {
		if got := c.err.Error(); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}

func TestIsGREASE(t *testing.T) {
	n := 0
	for v := range 1 << 16 {
		if IsGREASE(uint16(v)) {
			if want := 0x0a0a + n*0x1010; v != want {
				t.Errorf("got %#04x, want %#04x", v, want)
			}
			n++
		}
	}
	if n != 16 {
		t.Errorf("%d values, want 16", n)
	}
}

// Has and Extension tell absent, empty and unknown extensions apart.
func TestHas(t *testing.T) {
	for _, k := range allKinds()[:KindNewSessionTicket] {
		m := newMessage(k)
		extensions := [][]byte{ext(0x1234, nil), ext(0x1235, unhex("07"))}
		if k == KindServerHello {
			extensions = append(extensions, versionsSH)
		}
		if err := m.Parse(bodyWith(k, extensions...)); err != nil {
			t.Fatal(err)
		}
		h, ok := m.(interface {
			Has(ExtensionType) bool
			Extension(ExtensionType) ([]byte, bool)
		})
		if c, is := m.(*Certificate); is {
			h, ok = &c.Entries[0], true
		}
		if !ok {
			t.Fatalf("%v has no Has", k)
		}
		if !h.Has(0x1234) || h.Has(0x1236) {
			t.Errorf("%v: Has", k)
		}
		if p, ok := h.Extension(0x1234); p == nil || len(p) != 0 || !ok {
			t.Errorf("%v: empty extension is %v, %v", k, p, ok)
		}
		if p, ok := h.Extension(0x1235); !bytes.Equal(p, []byte{7}) || !ok {
			t.Errorf("%v: extension is %v, %v", k, p, ok)
		}
		if p, ok := h.Extension(0x1236); p != nil || ok {
			t.Errorf("%v: absent extension is %v, %v", k, p, ok)
		}
	}
}

// A slice that Parse stored does not grow into the message.
func TestAliasesAreClipped(t *testing.T) {
	body := fullBody(KindClientHello)
	before := bytes.Clone(body)
	var m ClientHello
	if err := m.Parse(body); err != nil {
		t.Fatal(err)
	}
	for _, p := range [][]byte{m.SessionID, m.ServerName, m.ALPN[0], m.Extensions[0].Data, m.KeyShares[0].Data} {
		_ = append(p, 0xee)
	}
	if !bytes.Equal(body, before) {
		t.Error("appending to a field changed the message")
	}
	var f Finished
	if err := f.Parse(body[:4]); err != nil {
		t.Fatal(err)
	}
	if _ = append(f.VerifyData, 0xee); !bytes.Equal(body, before) {
		t.Error("appending to verify_data changed what follows")
	}
}

// A hello that does not fit is refused by TryAppend, at exactly the limit.
func TestTryAppend(t *testing.T) {
	const room = 1<<16 - 1 - 4 - 2 // of an extension block, for a cookie
	m := ClientHello{Extensions: []Extension{{Type: ExtCookie}}, Cookie: make([]byte, room)}
	before := []byte("before")
	b, ok := m.TryAppend(before)
	if !ok || !bytes.Equal(b, m.Append(before)) {
		t.Error("a cookie that fits")
	}
	m.Cookie = make([]byte, room+1)
	if b, ok := m.TryAppend(before); ok || !bytes.Equal(b, before) {
		t.Errorf("a cookie that does not fit: %v, %d bytes", ok, len(b))
	}
	mustPanic(t, func() { m.Append(nil) })
}

func TestAppendPanics(t *testing.T) {
	mustPanic(t, func() { (&ClientHello{SessionID: make([]byte, 256)}).Append(nil) })
	mustPanic(t, func() { (&CertificateVerify{Signature: make([]byte, 1<<16)}).Append(nil) })
	mustPanic(t, func() { (&Certificate{Entries: []CertificateEntry{{Data: make([]byte, 1<<24)}}}).Append(nil) })
	mustPanic(t, func() { (&Certificate12{Certificates: [][]byte{make([]byte, 1<<24)}}).Append(nil) })
	mustPanic(t, func() { (&ServerKeyExchange{Point: make([]byte, 256)}).Append(nil) })
	mustPanic(t, func() { (&ServerKeyExchange{Point: make([]byte, 256)}).AppendParams(nil) })
	mustPanic(t, func() { (&ClientKeyExchange{Point: make([]byte, 256)}).Append(nil) })
	mustPanic(t, func() { (&CertificateRequest12{CertificateTypes: make([]ClientCertificateType, 256)}).Append(nil) })
	mustPanic(t, func() { (&NewSessionTicket12{Ticket: make([]byte, 1<<16)}).Append(nil) })
	mustPanic(t, func() { (&ClientHello{PSKBinders: [][]byte{make([]byte, 256)}}).AppendBinders(nil) })
	mustPanic(t, func() { (&Finished{VerifyData: make([]byte, 1<<24)}).Append(nil) })
}

func mustPanic(t *testing.T, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	f()
}
