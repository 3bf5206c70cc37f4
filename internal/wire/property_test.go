package wire

import (
	"bytes"
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// show prints a message with its lists, in which nil and empty look the same.
func show(m message) string { return fmt.Sprintf("%+v", m) }

func drawBytes(t *rapid.T, label string, min, max int) []byte {
	return rapid.SliceOfN(rapid.Byte(), min, max).Draw(t, label)
}

func drawNumbers[T ~uint16](t *rapid.T, label string) []T {
	number := rapid.Custom(func(t *rapid.T) T { return T(rapid.Uint16().Draw(t, "number")) })
	return rapid.SliceOfN(number, 1, 5).Draw(t, label)
}

func drawList(t *rapid.T, label string, min, max int) [][]byte {
	return rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), min, max), 1, 4).Draw(t, label)
}

// drawExtensions draws some of these types in any order, and unknown ones.
func drawExtensions(t *rapid.T, types ...ExtensionType) (list []Extension) {
	types = rapid.Permutation(types).Draw(t, "types")
	for _, typ := range types[:rapid.IntRange(0, len(types)).Draw(t, "how many")] {
		list = append(list, Extension{Type: typ})
	}
	for i := range rapid.IntRange(0, 40).Draw(t, "unknown") {
		x := Extension{Type: ExtensionType(0x1000 + i), Data: drawBytes(t, "data", 0, 3)}
		at := rapid.IntRange(0, len(list)).Draw(t, "at")
		list = append(list[:at], append([]Extension{x}, list[at:]...)...)
	}
	return list
}

func drawRandom(t *rapid.T) (random [32]byte) {
	copy(random[:], drawBytes(t, "random", 32, 32))
	return random
}

func drawClientHello(t *rapid.T) *ClientHello {
	m := &ClientHello{
		LegacyVersion:      Version(rapid.Uint16().Draw(t, "version")),
		Random:             drawRandom(t),
		SessionID:          drawBytes(t, "session id", 0, 32),
		CipherSuites:       drawNumbers[CipherSuite](t, "suites"),
		CompressionMethods: drawBytes(t, "compression", 1, 3),
		NoExtensions:       rapid.IntRange(0, 9).Draw(t, "no extensions") == 0,
	}
	if m.NoExtensions {
		return m
	}
	m.Extensions = drawExtensions(t, ExtServerName, ExtSupportedGroups, ExtSignatureAlgorithms,
		ExtSignatureAlgorithmsCert, ExtALPN, ExtSupportedVersions, ExtKeyShare, ExtCookie, ExtPSKKeyExchangeModes,
		ExtECPointFormats, ExtRenegotiationInfo, ExtStatusRequest, ExtEarlyData, ExtExtendedMasterSecret,
		ExtSessionTicket, ExtRecordSizeLimit, ExtCertificateAuthorities, ExtTicketRequest, ExtPadding,
		ExtSignedCertificateTimestamp, ExtPostHandshakeAuth)
	for _, x := range m.Extensions {
		switch x.Type {
		case ExtServerName:
			m.ServerName = drawBytes(t, "server name", 1, 9)
		case ExtSupportedGroups:
			m.SupportedGroups = drawNumbers[NamedGroup](t, "groups")
		case ExtSignatureAlgorithms:
			m.SignatureAlgorithms = drawNumbers[SignatureScheme](t, "schemes")
		case ExtSignatureAlgorithmsCert:
			m.SignatureAlgorithmsCert = drawNumbers[SignatureScheme](t, "schemes of certificates")
		case ExtALPN:
			m.ALPN = drawList(t, "protocols", 1, 5)
		case ExtSupportedVersions:
			m.SupportedVersions = drawNumbers[Version](t, "versions")
		case ExtKeyShare:
			for range rapid.IntRange(0, 3).Draw(t, "shares") {
				m.KeyShares = append(m.KeyShares, KeyShare{
					NamedGroup(rapid.Uint16().Draw(t, "group")), drawBytes(t, "share", 1, 9)})
			}
		case ExtCookie:
			m.Cookie = drawBytes(t, "cookie", 1, 9)
		case ExtPSKKeyExchangeModes:
			m.PSKModes = drawBytes(t, "modes", 1, 3)
		case ExtECPointFormats:
			m.ECPointFormats = drawBytes(t, "formats", 1, 3)
		case ExtRenegotiationInfo:
			m.RenegotiationInfo = drawBytes(t, "renegotiation", 0, 12)
		case ExtSessionTicket:
			m.SessionTicket = drawBytes(t, "ticket", 0, 9)
		case ExtRecordSizeLimit:
			m.RecordSizeLimit = rapid.Uint16().Draw(t, "record size limit")
		case ExtCertificateAuthorities:
			m.CertificateAuthorities = drawList(t, "authorities", 1, 9)
		case ExtTicketRequest:
			m.TicketRequest = TicketRequest{rapid.Byte().Draw(t, "new"), rapid.Byte().Draw(t, "resumed")}
		case ExtPadding:
			m.Padding = rapid.IntRange(0, 600).Draw(t, "padding")
		}
	}
	if rapid.Bool().Draw(t, "psk") {
		m.Extensions = append(m.Extensions, Extension{Type: ExtPreSharedKey})
		for range rapid.IntRange(1, 3).Draw(t, "identities") {
			m.PSKIdentities = append(m.PSKIdentities, PSKIdentity{
				drawBytes(t, "identity", 1, 9), rapid.Uint32().Draw(t, "age")})
			m.PSKBinders = append(m.PSKBinders, drawBytes(t, "binder", 32, 48))
		}
		m.BindersLen = BindersSize(m.PSKBinders)
	}
	return m
}

func drawServerHello(t *rapid.T, k MessageKind) *ServerHello {
	m := &ServerHello{
		LegacyVersion:     Version(rapid.Uint16().Draw(t, "version")),
		Random:            drawRandom(t),
		SessionID:         drawBytes(t, "session id", 0, 32),
		CipherSuite:       CipherSuite(rapid.Uint16().Draw(t, "suite")),
		CompressionMethod: rapid.Byte().Draw(t, "compression"),
	}
	switch k {
	case KindServerHello:
		m.Extensions = drawExtensions(t, ExtKeyShare, ExtPreSharedKey)
		m.Extensions = append(m.Extensions, Extension{Type: ExtSupportedVersions})
	case KindHelloRetryRequest:
		m.Random = HelloRetryRequestRandom
		m.Extensions = drawExtensions(t, ExtKeyShare, ExtCookie, ExtSupportedVersions)
	case KindServerHello12:
		if m.NoExtensions = rapid.IntRange(0, 9).Draw(t, "no extensions") == 0; m.NoExtensions {
			return m
		}
		m.Extensions = drawExtensions(t, ExtALPN, ExtECPointFormats, ExtRenegotiationInfo,
			ExtSignedCertificateTimestamp, ExtServerName, ExtExtendedMasterSecret, ExtSessionTicket, ExtStatusRequest,
			ExtRecordSizeLimit)
	}
	for _, x := range m.Extensions {
		switch x.Type {
		case ExtSupportedVersions:
			m.SupportedVersion = Version(rapid.Uint16().Draw(t, "selected version"))
		case ExtKeyShare:
			group := NamedGroup(rapid.Uint16().Draw(t, "group"))
			if k == KindHelloRetryRequest {
				m.SelectedGroup = group
			} else {
				m.KeyShare = KeyShare{group, drawBytes(t, "share", 1, 9)}
			}
		case ExtPreSharedKey:
			m.SelectedIdentity = rapid.Uint16().Draw(t, "identity")
		case ExtCookie:
			m.Cookie = drawBytes(t, "cookie", 1, 9)
		case ExtALPN:
			m.ALPN = drawBytes(t, "protocol", 1, 9)
		case ExtECPointFormats:
			m.ECPointFormats = drawBytes(t, "formats", 1, 3)
		case ExtRenegotiationInfo:
			m.RenegotiationInfo = drawBytes(t, "renegotiation", 0, 24)
		case ExtSignedCertificateTimestamp:
			m.SCTs = drawList(t, "scts", 1, 9)
		case ExtRecordSizeLimit:
			m.RecordSizeLimit = rapid.Uint16().Draw(t, "record size limit")
		}
	}
	return m
}

func drawEncryptedExtensions(t *rapid.T) *EncryptedExtensions {
	m := &EncryptedExtensions{
		Extensions: drawExtensions(t, ExtServerName, ExtALPN, ExtSupportedGroups, ExtEarlyData,
			ExtRecordSizeLimit, ExtTicketRequest),
	}
	m.ServerNameAck = m.Has(ExtServerName)
	if m.Has(ExtALPN) {
		m.ALPN = drawBytes(t, "protocol", 1, 9)
	}
	if m.Has(ExtSupportedGroups) {
		m.SupportedGroups = drawNumbers[NamedGroup](t, "groups")
	}
	if m.Has(ExtRecordSizeLimit) {
		m.RecordSizeLimit = rapid.Uint16().Draw(t, "record size limit")
	}
	if m.Has(ExtTicketRequest) {
		m.ExpectedTickets = rapid.Byte().Draw(t, "tickets")
	}
	return m
}

func drawCertificateRequest(t *rapid.T) *CertificateRequest {
	m := &CertificateRequest{
		RequestContext: drawBytes(t, "context", 0, 9),
		Extensions: drawExtensions(t, ExtSignatureAlgorithms, ExtSignatureAlgorithmsCert,
			ExtCertificateAuthorities, ExtStatusRequest, ExtSignedCertificateTimestamp),
	}
	if m.Has(ExtSignatureAlgorithms) {
		m.SignatureAlgorithms = drawNumbers[SignatureScheme](t, "schemes")
	}
	if m.Has(ExtSignatureAlgorithmsCert) {
		m.SignatureAlgorithmsCert = drawNumbers[SignatureScheme](t, "schemes of certificates")
	}
	if m.Has(ExtCertificateAuthorities) {
		m.CertificateAuthorities = drawList(t, "authorities", 1, 9)
	}
	return m
}

func drawCertificate(t *rapid.T) *Certificate {
	m := &Certificate{RequestContext: drawBytes(t, "context", 0, 9)}
	for range rapid.IntRange(0, 4).Draw(t, "entries") {
		e := CertificateEntry{
			Data:       drawBytes(t, "certificate", 1, 40),
			Extensions: drawExtensions(t, ExtStatusRequest, ExtSignedCertificateTimestamp),
		}
		if e.Has(ExtStatusRequest) {
			e.OCSPResponse = drawBytes(t, "response", 1, 9)
		}
		if e.Has(ExtSignedCertificateTimestamp) {
			e.SCTs = drawList(t, "scts", 1, 9)
		}
		m.Entries = append(m.Entries, e)
	}
	return m
}

func drawNewSessionTicket(t *rapid.T) *NewSessionTicket {
	m := &NewSessionTicket{
		Lifetime:   rapid.Uint32().Draw(t, "lifetime"),
		AgeAdd:     rapid.Uint32().Draw(t, "age add"),
		Nonce:      drawBytes(t, "nonce", 0, 9),
		Ticket:     drawBytes(t, "ticket", 1, 40),
		Extensions: drawExtensions(t, ExtEarlyData),
	}
	if m.Has(ExtEarlyData) {
		m.MaxEarlyData = rapid.Uint32().Draw(t, "early data")
	}
	return m
}

// draw12 draws a message that only TLS 1.2 has, or has in this form.
func draw12(t *rapid.T, k MessageKind) message {
	switch k {
	case KindHelloRequest:
		return &HelloRequest{}
	case KindServerHelloDone:
		return &ServerHelloDone{}
	case KindCertificate12:
		m := &Certificate12{}
		if rapid.Bool().Draw(t, "has one") {
			m.Certificates = drawList(t, "certificates", 1, 40)
		}
		return m
	case KindCertificateStatus:
		return &CertificateStatus{drawBytes(t, "response", 1, 40)}
	case KindServerKeyExchange:
		m := &ServerKeyExchange{
			Group:     NamedGroup(rapid.Uint16().Draw(t, "group")),
			Point:     drawBytes(t, "point", 1, 255),
			Algorithm: SignatureScheme(rapid.Uint16().Draw(t, "scheme")),
			Signature: drawBytes(t, "signature", 0, 99),
		}
		m.Params = m.AppendParams(nil)
		return m
	case KindCertificateRequest12:
		m := &CertificateRequest12{SignatureAlgorithms: drawNumbers[SignatureScheme](t, "schemes")}
		for _, b := range drawBytes(t, "types", 1, 9) {
			m.CertificateTypes = append(m.CertificateTypes, ClientCertificateType(b))
		}
		if rapid.Bool().Draw(t, "names authorities") {
			m.CertificateAuthorities = drawList(t, "authorities", 1, 9)
		}
		return m
	case KindClientKeyExchange:
		return &ClientKeyExchange{drawBytes(t, "point", 1, 255)}
	case KindNewSessionTicket12:
		return &NewSessionTicket12{rapid.Uint32().Draw(t, "lifetime"), drawBytes(t, "ticket", 0, 40)}
	}
	return nil
}

func draw(t *rapid.T, k MessageKind) message {
	switch k {
	case KindClientHello:
		return drawClientHello(t)
	case KindEncryptedExtensions:
		return drawEncryptedExtensions(t)
	case KindCertificate:
		return drawCertificate(t)
	case KindCertificateRequest:
		return drawCertificateRequest(t)
	case KindNewSessionTicket:
		return drawNewSessionTicket(t)
	case KindCertificateVerify:
		return &CertificateVerify{SignatureScheme(rapid.Uint16().Draw(t, "scheme")), drawBytes(t, "signature", 0, 99)}
	case KindFinished:
		return &Finished{drawBytes(t, "verify data", 0, 64)}
	case KindKeyUpdate:
		return &KeyUpdate{rapid.Byte().Draw(t, "request")}
	case KindEndOfEarlyData:
		return &EndOfEarlyData{}
	}
	if m := draw12(t, k); m != nil {
		return m
	}
	return drawServerHello(t, k)
}

// A random struct, written and read, is the same struct; written again, the
// same bytes. The struct that reads is used again and again.
func TestAppendThenParse(t *testing.T) {
	for _, k := range allKinds() {
		t.Run(k.String(), func(t *testing.T) {
			m := newMessage(k)
			rapid.Check(t, func(t *rapid.T) {
				want := draw(t, k)
				raw := want.Append(nil)
				if err := m.Parse(raw[HeaderLen:]); err != nil {
					t.Fatalf("%v\n%s\n%x", err, show(want), raw)
				}
				if again := m.Append(nil); !bytes.Equal(again, raw) {
					t.Fatalf("%x, was\n%x", again, raw)
				}
				same := newMessage(k)
				if err := same.Parse(raw[HeaderLen:]); err != nil || show(same) != show(m) {
					t.Fatalf("used again: %s\nfresh: %s\n%v", show(m), show(same), err)
				}
				forget(want)
				forget(same)
				if show(same) != show(want) {
					t.Fatalf("got  %s\nwant %s", show(same), show(want))
				}
			})
		})
	}
}

// What is read is written back byte for byte, whatever it was, and reading
// does not depend on what the struct held before.
func FuzzParse(f *testing.F) {
	for _, k := range allKinds() {
		f.Add(uint8(k-1), fullBody(k))
	}
	for k, list := range vectors(f) {
		for _, raw := range list {
			f.Add(uint8(k-1), raw[HeaderLen:])
		}
	}
	f.Fuzz(func(t *testing.T, n uint8, body []byte) {
		k := MessageKind(n%uint8(len(messageKindNames)-1)) + 1
		fresh, used := newMessage(k), newMessage(k)
		if err := used.Parse(fullBody(k)); err != nil {
			t.Fatal(err)
		}
		err := fresh.Parse(body)
		if again := used.Parse(body); fmt.Sprint(err) != fmt.Sprint(again) || show(fresh) != show(used) {
			t.Fatalf("%v: %s\n%v: %s", err, show(fresh), again, show(used))
		}
		if err != nil {
			return
		}
		raw := fresh.Append(nil)
		if _, n, ok := Header(raw); !ok || n != len(body) || !bytes.Equal(raw[HeaderLen:], body) {
			t.Fatalf("written back as %x", raw)
		}
	})
}
