package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// message is what every message of this package is.
type message interface {
	Parse(body []byte) error
	Append(b []byte) []byte
}

// newMessage returns an empty struct for each kind.
func newMessage(k MessageKind) message {
	switch k {
	case KindClientHello:
		return new(ClientHello)
	case KindServerHello, KindServerHello12, KindHelloRetryRequest:
		return new(ServerHello)
	case KindEncryptedExtensions:
		return new(EncryptedExtensions)
	case KindCertificate:
		return new(Certificate)
	case KindCertificateRequest:
		return new(CertificateRequest)
	case KindNewSessionTicket:
		return new(NewSessionTicket)
	case KindCertificateVerify:
		return new(CertificateVerify)
	case KindFinished:
		return new(Finished)
	case KindKeyUpdate:
		return new(KeyUpdate)
	case KindEndOfEarlyData:
		return new(EndOfEarlyData)
	case KindHelloRequest:
		return new(HelloRequest)
	case KindCertificate12:
		return new(Certificate12)
	case KindCertificateStatus:
		return new(CertificateStatus)
	case KindServerKeyExchange:
		return new(ServerKeyExchange)
	case KindCertificateRequest12:
		return new(CertificateRequest12)
	case KindServerHelloDone:
		return new(ServerHelloDone)
	case KindClientKeyExchange:
		return new(ClientKeyExchange)
	case KindNewSessionTicket12:
		return new(NewSessionTicket12)
	}
	panic("no such message")
}

func allKinds() (kinds []MessageKind) {
	for k := range MessageKind(len(messageKindNames)) {
		if k == 0 {
			continue
		}
		kinds = append(kinds, k)
	}
	return kinds
}

// unhex reads hexadecimal, with spaces where they please.
func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		panic(err)
	}
	return b
}

// Vectors with a length before them.
func vec8(parts ...[]byte) []byte {
	p := bytes.Join(parts, nil)
	return append([]byte{byte(len(p))}, p...)
}

func vec16(parts ...[]byte) []byte {
	p := bytes.Join(parts, nil)
	return append([]byte{byte(len(p) >> 8), byte(len(p))}, p...)
}

func vec24(parts ...[]byte) []byte {
	p := bytes.Join(parts, nil)
	return append([]byte{byte(len(p) >> 16), byte(len(p) >> 8), byte(len(p))}, p...)
}

func ext(t ExtensionType, data []byte) []byte {
	return append([]byte{byte(t >> 8), byte(t)}, vec16(data)...)
}

func cat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func repeat(c byte, n int) []byte { return bytes.Repeat([]byte{c}, n) }

// helloStart is a ClientHello up to its extensions, serverStart a ServerHello.
func helloStart() []byte {
	return cat(unhex("0303"), repeat(0x11, 32), vec8(unhex("a1a2")), vec16(unhex("1301 0a0a")), vec8(unhex("00")))
}

func serverStart(random []byte) []byte {
	return cat(unhex("0303"), random, vec8(unhex("a1a2")), unhex("1301 00"))
}

// bodyWith builds the smallest body of a message that holds these extensions.
func bodyWith(k MessageKind, extensions ...[]byte) []byte {
	block := vec16(extensions...)
	switch k {
	case KindClientHello:
		return cat(helloStart(), block)
	case KindServerHello, KindServerHello12:
		return cat(serverStart(repeat(0x22, 32)), block)
	case KindHelloRetryRequest:
		return cat(serverStart(HelloRetryRequestRandom[:]), block)
	case KindEncryptedExtensions:
		return block
	case KindCertificate:
		return cat(vec8(), vec24(vec24(unhex("c0")), block))
	case KindCertificateRequest:
		return cat(vec8(unhex("77")), block)
	case KindNewSessionTicket:
		return cat(unhex("00000001 00000002"), vec8(unhex("00")), vec16(unhex("aa")), block)
	}
	panic("a message without extensions")
}

var (
	versionsSH = ext(ExtSupportedVersions, unhex("0304"))
	pskCH      = cat(vec16(vec16(unhex("1d")), unhex("00000007")), vec16(vec8(repeat(0xbb, 32))))
)

// validData is data of an extension that its syntax in a message allows.
func validData(k MessageKind, t ExtensionType) []byte {
	scheme := vec16(unhex("0403"))
	switch t {
	case ExtServerName:
		if k == KindClientHello {
			return vec16([]byte{0}, vec16([]byte("example.com")))
		}
	case ExtStatusRequest:
		switch k {
		case KindClientHello:
			return unhex("01 0000 0000")
		case KindCertificate:
			return cat(unhex("01"), vec24(unhex("0c")))
		}
	case ExtSupportedGroups:
		return vec16(unhex("001d 0a0a"))
	case ExtSignatureAlgorithms, ExtSignatureAlgorithmsCert:
		return scheme
	case ExtALPN:
		return vec16(vec8([]byte("h2")))
	case ExtSignedCertificateTimestamp:
		if k == KindCertificate || k == KindServerHello12 {
			return vec16(vec16(unhex("5c")))
		}
	case ExtRecordSizeLimit:
		return unhex("4001")
	case ExtPadding:
		return unhex("000000")
	case ExtSessionTicket:
		if k == KindClientHello {
			return unhex("7172")
		}
	case ExtTicketRequest:
		if k == KindClientHello {
			return unhex("0201")
		}
		return unhex("02")
	case ExtPreSharedKey:
		if k == KindClientHello {
			return pskCH
		}
		return unhex("0001")
	case ExtEarlyData:
		if k == KindNewSessionTicket {
			return unhex("00004000")
		}
	case ExtSupportedVersions:
		if k == KindClientHello {
			return vec8(unhex("0304"))
		}
		return unhex("0304")
	case ExtCookie:
		return vec16(unhex("c0"))
	case ExtPSKKeyExchangeModes, ExtECPointFormats:
		return vec8(unhex("01"))
	case ExtCertificateAuthorities:
		return vec16(vec16(unhex("30")))
	case ExtOIDFilters:
		return vec16(vec8(unhex("55")), vec16(unhex("01")))
	case ExtKeyShare:
		share := cat(unhex("001d"), vec16(unhex("dd")))
		switch k {
		case KindClientHello:
			return vec16(share)
		case KindHelloRetryRequest:
			return unhex("0017")
		}
		return share
	case ExtRenegotiationInfo:
		return vec8()
	}
	return nil
}

// fullBody is a body with every known extension that the message may hold, and
// an unknown one.
func fullBody(k MessageKind) []byte {
	switch k {
	case KindCertificateVerify:
		return cat(unhex("0403"), vec16(unhex("5151")))
	case KindFinished:
		return repeat(0xf1, 32)
	case KindKeyUpdate:
		return unhex("01")
	case KindEndOfEarlyData, KindHelloRequest, KindServerHelloDone:
		return nil
	case KindCertificate12:
		return vec24(vec24(unhex("c0c1")), vec24(unhex("c2")))
	case KindCertificateStatus:
		return cat(unhex("01"), vec24(unhex("0c")))
	case KindServerKeyExchange:
		return cat(unhex("03 001d"), vec8(repeat(0xdd, 32)), unhex("0403"), vec16(unhex("5151")))
	case KindCertificateRequest12:
		return cat(vec8(unhex("01 40 7f")), vec16(unhex("0403 0804")), vec16(vec16(unhex("30")), vec16(unhex("3100"))))
	case KindClientKeyExchange:
		return vec8(repeat(0xdd, 32))
	case KindNewSessionTicket12:
		return cat(unhex("00001c20"), vec16(unhex("7171")))
	}
	all := [][]byte{ext(0x3a3a, unhex("07"))}
	var last []byte
	for _, row := range extensionTable {
		switch x := ext(row.Type, validData(k, row.Type)); {
		case !row.In.has(k):
		case row.Type == ExtPreSharedKey:
			last = x
		default:
			all = append(all, x)
		}
	}
	return bodyWith(k, append(all, last)...)
}

// wantError fails unless err is an *Error of this kind, about this message.
func wantError(t *testing.T, why string, err error, kind ErrorKind, in MessageKind) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("%s: got %v, want %v", why, err, kind)
	}
	if e.Kind != kind || e.Message != in {
		t.Fatalf("%s: got %v, want %v in %v", why, e, kind, in)
	}
	return e
}

func TestFullBodies(t *testing.T) {
	for _, k := range allKinds() {
		m, body := newMessage(k), fullBody(k)
		if err := m.Parse(body); err != nil {
			t.Errorf("%v: %v", k, err)
			continue
		}
		out := m.Append([]byte("before"))
		if got := bytes.TrimPrefix(out, []byte("before")); !bytes.Equal(got[HeaderLen:], body) {
			t.Errorf("%v: written back as\n%x, was\n%x", k, got[HeaderLen:], body)
		}
	}
}

// A body that ends early is malformed, wherever it ends. Only a hello may end
// in front of its extensions.
func TestStrictPrefixes(t *testing.T) {
	for _, k := range allKinds() {
		if k == KindFinished {
			continue // any length is one
		}
		body := fullBody(k)
		for n := range len(body) {
			m := newMessage(k)
			err := m.Parse(body[:n])
			switch h := m.(type) {
			case *ClientHello:
				if n == len(helloStart()) {
					if err != nil || !h.NoExtensions || len(h.Extensions) != 0 {
						t.Errorf("%v without extensions: %v", k, err)
					}
					continue
				}
			case *ServerHello:
				if n == len(serverStart(make([]byte, 32))) {
					if err != nil || !h.NoExtensions || len(h.Extensions) != 0 {
						t.Errorf("%v without extensions: %v", k, err)
					}
					continue
				}
			}
			var e *Error
			if !errors.As(err, &e) || e.Kind != Malformed {
				t.Fatalf("%v: the first %d of %d bytes: %v", k, n, len(body), err)
			}
		}
	}
}

// The same with the lengths around the cut corrected, so that each extension's
// own syntax has to notice.
func TestStrictPrefixesOfExtensions(t *testing.T) {
	for _, k := range allKinds()[:KindNewSessionTicket] {
		for _, row := range extensionTable {
			data := validData(k, row.Type)
			if !row.In.has(k) || !checked(k, row.Type) || row.Type == ExtSupportedVersions && k == KindServerHello {
				continue
			}
			for n := range len(data) {
				x := ext(row.Type, data[:n])
				body := bodyWith(k, x)
				if k == KindServerHello {
					body = bodyWith(k, versionsSH, x)
				}
				why := fmt.Sprintf("%v: the first %d bytes of %v", k, n, row.Type)
				e := wantError(t, why, newMessage(k).Parse(body), Malformed, k)
				if !e.HasExtension || e.Extension != row.Type {
					t.Errorf("%s: error is %v", why, e)
				}
			}
		}
	}
}

func TestTrailingByte(t *testing.T) {
	for _, k := range allKinds() {
		if k == KindFinished {
			continue
		}
		m := newMessage(k)
		err := m.Parse(append(fullBody(k), 0))
		var e *Error
		if !errors.As(err, &e) || e.Kind != Malformed {
			t.Errorf("%v with a byte left over: %v", k, err)
		}
	}
	for _, k := range allKinds()[:KindNewSessionTicket] {
		for _, row := range extensionTable {
			if !row.In.has(k) || !checked(k, row.Type) {
				continue
			}
			x := ext(row.Type, append(validData(k, row.Type), 0))
			body := bodyWith(k, x)
			if k == KindServerHello && row.Type != ExtSupportedVersions {
				body = bodyWith(k, versionsSH, x)
			}
			wantError(t, fmt.Sprintf("%v with a byte left over", row.Type), newMessage(k).Parse(body), Malformed, k)
		}
	}
}

// checked reports whether an extension's syntax is looked at in a message.
func checked(k MessageKind, t ExtensionType) bool {
	switch t {
	case ExtMaxFragmentLength, ExtUseSRTP, ExtHeartbeat, ExtClientCertificateType, ExtServerCertificateType,
		ExtCompressCertificate, ExtDelegatedCredential, ExtSupportedEKTCiphers, ExtTransparencyInfo,
		ExtExternalIDHash, ExtExternalSessionID, ExtQUICTransportParameters,
		ExtECHOuterExtensions, ExtEncryptedClientHello:
		return false
	case ExtPadding:
		return false // any length is one
	case ExtSessionTicket:
		return k != KindClientHello // there it is the ticket, of any length
	case ExtServerName:
		return k != KindCertificateRequest
	case ExtSupportedGroups:
		return k != KindServerHello12 // tolerated, and to be ignored
	}
	return true
}

func TestHeader(t *testing.T) {
	for n := range HeaderLen {
		if _, _, ok := Header(make([]byte, n)); ok {
			t.Errorf("a header of %d bytes", n)
		}
	}
	if typ, n, ok := Header(unhex("0b 010203 ff")); typ != TypeCertificate || n != 0x010203 || !ok {
		t.Errorf("got %v, %#x, %v", typ, n, ok)
	}
	b, mark := AppendHeader([]byte{9}, TypeFinished)
	b = CloseHeader(append(b, 1, 2, 3), mark)
	if want := unhex("09 14 000003 010203"); !bytes.Equal(b, want) {
		t.Errorf("got %x, want %x", b, want)
	}
}

func TestIsHelloRetryRequest(t *testing.T) {
	body := bodyWith(KindHelloRetryRequest)
	if !IsHelloRetryRequest(body) || IsHelloRetryRequest(body[:33]) || IsHelloRetryRequest(bodyWith(KindServerHello)) {
		t.Error("a HelloRetryRequest is known by its random")
	}
}
