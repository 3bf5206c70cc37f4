package fuzz

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"tlscore.example/tlscore/internal/wire"
)

// A codec is a handshake message, as a pointer to its struct M.
type codec[M any] interface {
	*M
	Parse(body []byte) error
	Append(b []byte) []byte
}

// fuzzCodec is the target of one message. What parses is written back byte for
// byte, and reads the same again, also into a struct that was used before.
// retype, if there is one, makes a parsed message be written from its typed
// fields.
func fuzzCodec[M any, P codec[M]](f *testing.F, typ wire.HandshakeType, retype func(*M)) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) > 1<<17 {
			return
		}
		given := bytes.Clone(body)
		var m M
		err := P(&m).Parse(body)
		if !bytes.Equal(body, given) {
			t.Fatalf("Parse changed what it was given: %x became %x", given, body)
		}
		if err != nil {
			var problem *wire.Error
			if !errors.As(err, &problem) || problem.Error() == "" {
				t.Fatalf("Parse failed with %T: %v", err, err)
			}
			return
		}
		raw := P(&m).Append([]byte("prefix"))
		if want := append([]byte("prefix"), message(byte(typ), body)...); !bytes.Equal(raw, want) {
			t.Fatalf("%x\nwas written as\n%x", want, raw)
		}
		again := m
		if err := P(&again).Parse(raw[len("prefix")+wire.HeaderLen:]); err != nil || !same(m, again) {
			t.Fatalf("parsed twice, %+v became %+v, %v", m, again, err)
		}
		if retype == nil {
			return
		}
		retype(&again)
		var typed M
		if err := P(&typed).Parse(P(&again).Append(nil)[wire.HeaderLen:]); err != nil {
			t.Fatalf("written from its fields, %+v does not parse: %v", m, err)
		}
		clearRaw(&m)
		clearRaw(&typed)
		if !same(m, typed) {
			t.Fatalf("written from its fields, %+v became %+v", m, typed)
		}
	})
}

// same compares messages, in which a list without elements may be nil.
func same[M any](a, b M) bool { return sameValue(reflect.ValueOf(a), reflect.ValueOf(b)) }

func sameValue(a, b reflect.Value) bool {
	switch a.Kind() {
	case reflect.Slice:
		if a.Len() != b.Len() {
			return false
		}
		for i := range a.Len() {
			if !sameValue(a.Index(i), b.Index(i)) {
				return false
			}
		}
		return true
	case reflect.Struct:
		for i := range a.NumField() {
			if !sameValue(a.Field(i), b.Field(i)) {
				return false
			}
		}
		return true
	}
	return a.Equal(b)
}

// clearRaw empties what a typed message may write in another way: the raw data
// of extensions, and what depends on their length.
func clearRaw(m any) {
	v := reflect.ValueOf(m).Elem()
	clearExtensions(v)
	if n := v.FieldByName("BindersLen"); n.IsValid() {
		n.SetInt(0)
	}
}

func clearExtensions(v reflect.Value) {
	list := v.FieldByName("Extensions")
	for i := range list.Len() {
		list.Index(i).FieldByName("Data").SetZero()
	}
}

// untype makes the extensions of these types be written from typed fields.
func untype(list []wire.Extension, types ...wire.ExtensionType) {
	for i := range list {
		for _, t := range types {
			if list[i].Type == t {
				list[i].Data = nil
			}
		}
	}
}

func FuzzClientHello(f *testing.F) {
	fuzzCodec(f, wire.TypeClientHello, func(m *wire.ClientHello) {
		untype(m.Extensions, wire.ExtSupportedGroups, wire.ExtSignatureAlgorithms, wire.ExtSignatureAlgorithmsCert,
			wire.ExtALPN, wire.ExtSupportedVersions, wire.ExtKeyShare, wire.ExtCookie, wire.ExtPSKKeyExchangeModes,
			wire.ExtPreSharedKey, wire.ExtECPointFormats, wire.ExtRenegotiationInfo, wire.ExtEarlyData,
			wire.ExtExtendedMasterSecret, wire.ExtPostHandshakeAuth, wire.ExtSessionTicket, wire.ExtRecordSizeLimit,
			wire.ExtCertificateAuthorities, wire.ExtTicketRequest, wire.ExtPadding, wire.ExtSignedCertificateTimestamp)
		if len(m.ServerName) > 0 {
			untype(m.Extensions, wire.ExtServerName)
		}
	})
}

func FuzzServerHello(f *testing.F) {
	fuzzCodec(f, wire.TypeServerHello, func(m *wire.ServerHello) {
		untype(m.Extensions, wire.ExtSupportedVersions, wire.ExtKeyShare, wire.ExtCookie, wire.ExtPreSharedKey,
			wire.ExtALPN, wire.ExtECPointFormats, wire.ExtRenegotiationInfo, wire.ExtSignedCertificateTimestamp,
			wire.ExtRecordSizeLimit, wire.ExtServerName, wire.ExtStatusRequest, wire.ExtExtendedMasterSecret,
			wire.ExtSessionTicket)
	})
}

func FuzzEncryptedExtensions(f *testing.F) {
	fuzzCodec(f, wire.TypeEncryptedExtensions, func(m *wire.EncryptedExtensions) {
		untype(m.Extensions, wire.ExtServerName, wire.ExtALPN, wire.ExtSupportedGroups, wire.ExtEarlyData,
			wire.ExtRecordSizeLimit, wire.ExtTicketRequest)
	})
}

func FuzzCertificateRequest(f *testing.F) {
	fuzzCodec(f, wire.TypeCertificateRequest, func(m *wire.CertificateRequest) {
		untype(m.Extensions, wire.ExtSignatureAlgorithms, wire.ExtSignatureAlgorithmsCert, wire.ExtCertificateAuthorities)
	})
}

func FuzzCertificate(f *testing.F) {
	fuzzCodec[wire.Certificate](f, wire.TypeCertificate, nil)
}

func FuzzCertificateVerify(f *testing.F) {
	fuzzCodec[wire.CertificateVerify](f, wire.TypeCertificateVerify, nil)
}

func FuzzFinished(f *testing.F) {
	fuzzCodec[wire.Finished](f, wire.TypeFinished, nil)
}

func FuzzNewSessionTicket(f *testing.F) {
	fuzzCodec(f, wire.TypeNewSessionTicket, func(m *wire.NewSessionTicket) {
		untype(m.Extensions, wire.ExtEarlyData)
	})
}

func FuzzKeyUpdate(f *testing.F) {
	fuzzCodec[wire.KeyUpdate](f, wire.TypeKeyUpdate, nil)
}

func FuzzHelloRequest(f *testing.F) {
	fuzzCodec[wire.HelloRequest](f, wire.TypeHelloRequest, nil)
}

func FuzzCertificate12(f *testing.F) {
	fuzzCodec[wire.Certificate12](f, wire.TypeCertificate, nil)
}

func FuzzCertificateStatus(f *testing.F) {
	fuzzCodec[wire.CertificateStatus](f, wire.TypeCertificateStatus, nil)
}

func FuzzServerKeyExchange(f *testing.F) {
	fuzzCodec[wire.ServerKeyExchange](f, wire.TypeServerKeyExchange, nil)
}

func FuzzCertificateRequest12(f *testing.F) {
	fuzzCodec[wire.CertificateRequest12](f, wire.TypeCertificateRequest, nil)
}

func FuzzServerHelloDone(f *testing.F) {
	fuzzCodec[wire.ServerHelloDone](f, wire.TypeServerHelloDone, nil)
}

func FuzzClientKeyExchange(f *testing.F) {
	fuzzCodec[wire.ClientKeyExchange](f, wire.TypeClientKeyExchange, nil)
}

func FuzzNewSessionTicket12(f *testing.F) {
	fuzzCodec[wire.NewSessionTicket12](f, wire.TypeNewSessionTicket, nil)
}

func FuzzEndOfEarlyData(f *testing.F) {
	fuzzCodec[wire.EndOfEarlyData](f, wire.TypeEndOfEarlyData, nil)
}
