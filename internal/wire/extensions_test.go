package wire

import (
	"fmt"
	"strings"
	"testing"
)

// The table of RFC 9846, Section 4.3, in its notation; then the rows that only
// RFC 8446 has; then extensions that TLS 1.3 only has in a ClientHello. SH12
// is a ServerHello of TLS 1.2.
const wantTable = `
server_name                            CH EE CR SH12
status_request                         CH CR CT SH12
supported_groups                       CH EE SH12
signature_algorithms                   CH CR
use_srtp                               CH EE SH12
heartbeat                              CH EE SH12
application_layer_protocol_negotiation CH EE SH12
client_certificate_type                CH EE SH12
server_certificate_type                CH EE SH12
padding                                CH
compress_certificate                   CH CR
record_size_limit                      CH EE SH12
delegated_credential                   CH CR CT
supported_ekt_ciphers                  CH EE SH12
pre_shared_key                         CH SH
early_data                             CH EE NST
supported_versions                     CH SH HRR
cookie                                 CH HRR
psk_key_exchange_modes                 CH
certificate_authorities                CH CR
oid_filters                            CR
post_handshake_auth                    CH
signature_algorithms_cert              CH CR
key_share                              CH SH HRR
transparency_info                      CH CR CT SH12
external_id_hash                       CH EE SH12
external_session_id                    CH EE SH12
quic_transport_parameters              CH EE
ticket_request                         CH EE
ech_outer_extensions                   CH
encrypted_client_hello                 CH HRR EE

max_fragment_length                    CH EE SH12
signed_certificate_timestamp           CH CR CT SH12

ec_point_formats                       CH SH12
extended_master_secret                 CH SH12
session_ticket                         CH SH12
renegotiation_info                     CH SH12
`

var columns = map[MessageKind]string{
	KindClientHello: "CH", KindServerHello: "SH", KindServerHello12: "SH12", KindHelloRetryRequest: "HRR",
	KindEncryptedExtensions: "EE", KindCertificate: "CT", KindCertificateRequest: "CR", KindNewSessionTicket: "NST",
}

// "If an implementation receives an extension which it recognizes and which is
// not specified for the message in which it appears, it MUST abort the
// handshake with an "illegal_parameter" alert."
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.2)
func TestExtensionTable(t *testing.T) {
	types := map[string]ExtensionType{}
	for typ, name := range extensionTypeNames {
		types[name] = typ
	}
	rows := 0
	for line := range strings.Lines(strings.TrimSpace(wantTable)) {
		cells := strings.Fields(line)
		if len(cells) == 0 {
			continue
		}
		typ, ok := types[cells[0]]
		if !ok {
			t.Fatalf("%s has no type", cells[0])
		}
		rows++
		for k, column := range columns {
			allowed := false
			for _, c := range cells[1:] {
				allowed = allowed || c == column
			}
			body := bodyWith(k, ext(typ, validData(k, typ)))
			if k == KindServerHello && typ != ExtSupportedVersions {
				body = bodyWith(k, versionsSH, ext(typ, validData(k, typ)))
			}
			if k == KindServerHello12 && typ == ExtSupportedVersions {
				continue // then it is none
			}
			err := newMessage(k).Parse(body)
			why := fmt.Sprintf("%v in %s", typ, column)
			if allowed {
				if err != nil {
					t.Errorf("%s: %v", why, err)
				}
				continue
			}
			e := wantError(t, why, err, MisplacedExtension, k)
			if !e.HasExtension || e.Extension != typ {
				t.Errorf("%s: error is %v", why, e)
			}
		}
	}
	if rows != len(extensionTable) || rows != len(extensionTypeNames) {
		t.Errorf("%d rows here, %d in the table, %d names", rows, len(extensionTable), len(extensionTypeNames))
	}
}

// Unknown extensions are kept, wherever they stand.
func TestUnknownExtensions(t *testing.T) {
	for k := range columns {
		for _, typ := range []ExtensionType{2, 22, 63, 64, 0x0a0a, 0xffff} {
			extensions := [][]byte{ext(typ, unhex("0102"))}
			if k == KindServerHello {
				extensions = append(extensions, versionsSH)
			}
			if err := newMessage(k).Parse(bodyWith(k, extensions...)); err != nil {
				t.Errorf("%v in %v: %v", typ, k, err)
			}
		}
	}
}

// "There MUST NOT be more than one extension of the same type in a given
// extension block." (https://www.rfc-editor.org/rfc/rfc8446#section-4.2)
func TestDuplicateExtensions(t *testing.T) {
	for k := range columns {
		for _, others := range []int{0, 1, 30, 31, 100, 16000} {
			for _, typ := range []ExtensionType{0, 0x5a5a, 0xffff} {
				list := [][]byte{ext(typ, nil)}
				for i := range others {
					list = append(list, ext(ExtensionType(i+1000), nil))
				}
				list = append(list, ext(typ, nil))
				why := fmt.Sprintf("%v: two of %v and %d others", k, typ, others)
				in := k
				if k == KindServerHello12 {
					in = KindServerHello // it is not known yet
				}
				e := wantError(t, why, newMessage(k).Parse(bodyWith(k, list...)), DuplicateExtension, in)
				if e.Extension != typ {
					t.Errorf("%s: error is %v", why, e)
				}
			}
		}
	}
}

// Two entries of a chain may have the same extensions.
func TestExtensionsOfTwoEntries(t *testing.T) {
	entry := cat(vec24(unhex("c0")), vec16(ext(ExtStatusRequest, validData(KindCertificate, ExtStatusRequest))))
	var m Certificate
	if err := m.Parse(cat(vec8(), vec24(entry, entry))); err != nil || len(m.Entries) != 2 {
		t.Errorf("%d entries, %v", len(m.Entries), err)
	}
}

func TestManyExtensions(t *testing.T) {
	var list [][]byte
	for i := range 16000 {
		list = append(list, ext(ExtensionType(i+1000), nil))
	}
	var m ClientHello
	if err := m.Parse(bodyWith(KindClientHello, list...)); err != nil || len(m.Extensions) != len(list) {
		t.Errorf("%d extensions, %v", len(m.Extensions), err)
	}
}

// "The "pre_shared_key" extension MUST be the last extension in the
// ClientHello (this facilitates implementation as described below)."
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.2.11)
func TestPSKMustBeLast(t *testing.T) {
	psk, other := ext(ExtPreSharedKey, pskCH), ext(0x0a0a, nil)
	var m ClientHello
	wantError(t, "behind", m.Parse(bodyWith(KindClientHello, psk, other)), Inconsistent, KindClientHello)
	if err := m.Parse(bodyWith(KindClientHello, other, psk)); err != nil {
		t.Error(err)
	}
	var sh ServerHello
	if err := sh.Parse(bodyWith(KindServerHello, ext(ExtPreSharedKey, unhex("0203")), versionsSH)); err != nil {
		t.Error(err)
	}
	if sh.SelectedIdentity != 0x0203 {
		t.Errorf("SelectedIdentity = %#x", sh.SelectedIdentity)
	}
}

// "A series of HMAC values, one for each value in the identities list and in
// the same order" (https://www.rfc-editor.org/rfc/rfc8446#section-4.2.11)
func TestPSKBinderCount(t *testing.T) {
	identity := cat(vec16(unhex("1d")), unhex("00000007"))
	binder := vec8(repeat(0xbb, 32))
	for identities := 1; identities < 4; identities++ {
		for binders := 1; binders < 4; binders++ {
			list := vec16(repeatPart(binder, binders))
			body := bodyWith(KindClientHello, ext(ExtPreSharedKey, cat(vec16(repeatPart(identity, identities)), list)))
			var m ClientHello
			err := m.Parse(body)
			if identities != binders {
				wantError(t, "unequal", err, Inconsistent, KindClientHello)
				continue
			}
			if err != nil || m.BindersLen != len(list) || m.BindersLen != BindersSize(m.PSKBinders) {
				t.Errorf("%d binders take %d bytes: %v", binders, m.BindersLen, err)
			}
			if got := body[len(body)-m.BindersLen:]; string(got) != string(list) {
				t.Errorf("binders are %x", got)
			}
		}
	}
}

func repeatPart(p []byte, n int) (all []byte) {
	for range n {
		all = append(all, p...)
	}
	return all
}
