package wire

import (
	"fmt"
	"testing"
)

// Each vector of an extension at its bounds and behind them.
func TestExtensionBounds(t *testing.T) {
	const (
		ok  = true
		bad = false
	)
	const ch, sh, hrr, ee, ct, cr, nst, sh12 = KindClientHello, KindServerHello, KindHelloRetryRequest,
		KindEncryptedExtensions, KindCertificate, KindCertificateRequest, KindNewSessionTicket, KindServerHello12
	host := func(s string) []byte { return cat([]byte{0}, vec16([]byte(s))) }
	identity := func(n int) []byte { return cat(vec16(repeat(1, n)), unhex("00000000")) }
	binder := func(n int) []byte { return vec8(repeat(2, n)) }
	share := cat(unhex("001d"), vec16(unhex("dd")))
	for i, c := range []struct {
		in   MessageKind
		typ  ExtensionType
		data []byte
		ok   bool
	}{
		// RFC 6066, Section 3.
		{ch, ExtServerName, nil, bad},
		{ch, ExtServerName, vec16(), bad},
		{ch, ExtServerName, vec16(host("")), bad},
		{ch, ExtServerName, vec16(host("a")), ok},
		{ch, ExtServerName, vec16(host("a"), host("b")), bad},
		{ch, ExtServerName, vec16(host("a"), unhex("01"), vec16(unhex("07"))), ok},
		{ch, ExtServerName, vec16(unhex("ff"), vec16()), ok},
		{ch, ExtServerName, vec16(unhex("ff"), vec16(), unhex("ff"), vec16()), bad},
		{ch, ExtServerName, vec16(unhex("40"), vec16(), unhex("80"), vec16()), ok},
		{ch, ExtServerName, vec16(host("a"), unhex("01")), bad},
		{ee, ExtServerName, nil, ok},
		{ee, ExtServerName, vec16(host("a")), bad},
		{sh12, ExtServerName, unhex("00"), bad},

		// RFC 6066, Section 8.
		{ch, ExtStatusRequest, nil, bad},
		{ch, ExtStatusRequest, unhex("01"), bad},
		{ch, ExtStatusRequest, unhex("01 0000"), bad},
		{ch, ExtStatusRequest, unhex("01 0000 0000"), ok},
		{ch, ExtStatusRequest, unhex("01 0002 0000 0000"), bad},
		{ch, ExtStatusRequest, unhex("01 0003 0001aa 0002bbbb"), ok},
		{ch, ExtStatusRequest, unhex("01 0003 0002aa 0000"), bad},
		{ch, ExtStatusRequest, unhex("02 ff"), ok},
		{cr, ExtStatusRequest, nil, ok},
		{cr, ExtStatusRequest, unhex("01 0000 0000"), bad},
		{ct, ExtStatusRequest, nil, bad},
		{ct, ExtStatusRequest, unhex("01 000000"), bad},
		{ct, ExtStatusRequest, unhex("01 000001 aa"), ok},
		{ct, ExtStatusRequest, unhex("02 000001 aa"), bad},
		{sh12, ExtStatusRequest, unhex("01 0000 0000"), bad},

		{ch, ExtSupportedGroups, vec16(), bad},
		{ch, ExtSupportedGroups, vec16(unhex("00")), bad},
		{ch, ExtSupportedGroups, vec16(unhex("001d 00")), bad},
		{ch, ExtSupportedGroups, vec16(unhex("001d")), ok},
		{ch, ExtSupportedGroups, vec16(repeat(7, 65000)), ok},
		{ee, ExtSupportedGroups, vec16(), bad},
		{ee, ExtSupportedGroups, vec16(unhex("001d")), ok},

		{ch, ExtECPointFormats, vec8(), bad},
		{ch, ExtECPointFormats, vec8(repeat(0, 255)), ok},
		{sh12, ExtECPointFormats, vec8(), bad},

		{ch, ExtSignatureAlgorithms, vec16(), bad},
		{ch, ExtSignatureAlgorithms, vec16(unhex("0403 04")), bad},
		{ch, ExtSignatureAlgorithmsCert, vec16(), bad},
		{ch, ExtSignatureAlgorithmsCert, vec16(unhex("0403 04")), bad},
		{cr, ExtSignatureAlgorithms, vec16(), bad},
		{cr, ExtSignatureAlgorithmsCert, vec16(unhex("04")), bad},

		// RFC 7301, Section 3.1.
		{ch, ExtALPN, vec16(), bad},
		{ch, ExtALPN, vec16(vec8()), bad},
		{ch, ExtALPN, vec16(vec8(unhex("61")), vec8()), bad},
		{ch, ExtALPN, vec16(vec8(unhex("61"))), ok},
		{ch, ExtALPN, vec16(vec8(repeat('a', 255)), vec8(unhex("61"))), ok},
		{ee, ExtALPN, vec16(), bad},
		{ee, ExtALPN, vec16(vec8()), bad},
		{ee, ExtALPN, vec16(vec8(repeat('a', 255))), ok},
		{ee, ExtALPN, vec16(vec8(unhex("61")), vec8(unhex("62"))), bad},
		{sh12, ExtALPN, vec16(vec8(unhex("61")), vec8(unhex("62"))), bad},

		{ch, ExtSignedCertificateTimestamp, vec16(), bad},
		{cr, ExtSignedCertificateTimestamp, nil, ok},
		{cr, ExtSignedCertificateTimestamp, vec16(), bad},
		{ct, ExtSignedCertificateTimestamp, vec16(), bad},
		{ct, ExtSignedCertificateTimestamp, vec16(vec16()), bad},
		{ct, ExtSignedCertificateTimestamp, vec16(vec16(unhex("5c")), vec16(unhex("5d"))), ok},
		{sh12, ExtSignedCertificateTimestamp, vec16(vec16()), bad},

		// RFC 8449, Section 4.
		{ch, ExtRecordSizeLimit, unhex("40"), bad},
		{ch, ExtRecordSizeLimit, unhex("0000"), ok}, // for the caller to judge
		{ee, ExtRecordSizeLimit, unhex("400100"), bad},
		{sh12, ExtRecordSizeLimit, nil, bad},

		// RFC 9149, Section 3.
		{ch, ExtTicketRequest, unhex("02"), bad},
		{ch, ExtTicketRequest, unhex("0000"), ok},
		{ch, ExtTicketRequest, unhex("020100"), bad},
		{ee, ExtTicketRequest, nil, bad},
		{ee, ExtTicketRequest, unhex("00"), ok},
		{ee, ExtTicketRequest, unhex("0201"), bad},

		{ch, ExtPadding, nil, ok},
		{ch, ExtPadding, repeat(0, 65000), ok},

		{ch, ExtExtendedMasterSecret, unhex("00"), bad},
		{sh12, ExtExtendedMasterSecret, unhex("00"), bad},
		{ch, ExtSessionTicket, repeat(9, 1000), ok},
		{ch, ExtSessionTicket, nil, ok},
		{sh12, ExtSessionTicket, nil, ok},
		{sh12, ExtSessionTicket, unhex("00"), bad},

		{ch, ExtPreSharedKey, cat(vec16(), vec16(binder(32))), bad},
		{ch, ExtPreSharedKey, cat(vec16(identity(1)), vec16()), bad},
		{ch, ExtPreSharedKey, cat(vec16(identity(0)), vec16(binder(32))), bad},
		{ch, ExtPreSharedKey, cat(vec16(identity(1)), vec16(binder(31))), bad},
		{ch, ExtPreSharedKey, cat(vec16(identity(1)), vec16(binder(32))), ok},
		{ch, ExtPreSharedKey, cat(vec16(identity(60000)), vec16(binder(255))), ok},
		{ch, ExtPreSharedKey, cat(vec16(vec16(unhex("01")), unhex("000000")), vec16(binder(32))), bad},
		{ch, ExtPreSharedKey, vec16(identity(1)), bad},
		{sh, ExtPreSharedKey, unhex("00"), bad},
		{sh, ExtPreSharedKey, unhex("000000"), bad},

		{ch, ExtEarlyData, unhex("00"), bad},
		{ee, ExtEarlyData, unhex("00"), bad},
		{ee, ExtEarlyData, nil, ok},
		{nst, ExtEarlyData, nil, bad},
		{nst, ExtEarlyData, unhex("000000"), bad},
		{nst, ExtEarlyData, unhex("0000000000"), bad},

		{ch, ExtSupportedVersions, vec8(), bad},
		{ch, ExtSupportedVersions, vec8(unhex("03")), bad},
		{ch, ExtSupportedVersions, vec8(unhex("0304 03")), bad},
		{ch, ExtSupportedVersions, vec8(repeat(3, 254)), ok},
		{ch, ExtSupportedVersions, vec8(repeat(3, 255)), bad},
		{sh, ExtSupportedVersions, unhex("03"), bad},
		{hrr, ExtSupportedVersions, unhex("030400"), bad},

		{ch, ExtCookie, vec16(), bad},
		{ch, ExtCookie, vec16(repeat(1, 65000)), ok},
		{hrr, ExtCookie, vec16(), bad},
		{hrr, ExtCookie, vec16(unhex("01")), ok},

		{ch, ExtPSKKeyExchangeModes, vec8(), bad},
		{ch, ExtPSKKeyExchangeModes, vec8(repeat(1, 255)), ok},

		{ch, ExtCertificateAuthorities, vec16(), bad},
		{ch, ExtCertificateAuthorities, vec16(vec16()), bad},
		{ch, ExtCertificateAuthorities, vec16(vec16(unhex("30")), vec16(unhex("31"))), ok},
		{cr, ExtCertificateAuthorities, vec16(), bad},
		{cr, ExtCertificateAuthorities, vec16(vec16()), bad},

		{cr, ExtOIDFilters, vec16(), ok},
		{cr, ExtOIDFilters, vec16(vec8(), vec16()), bad},
		{cr, ExtOIDFilters, vec16(vec8(unhex("55")), vec16()), ok},
		{cr, ExtOIDFilters, vec16(vec8(unhex("55"))), bad},

		{ch, ExtPostHandshakeAuth, unhex("00"), bad},

		{ch, ExtKeyShare, vec16(), ok},
		{ch, ExtKeyShare, vec16(unhex("001d"), vec16()), bad},
		{ch, ExtKeyShare, vec16(unhex("001d")), bad},
		{ch, ExtKeyShare, vec16(share, share), ok}, // for the caller to judge
		{ch, ExtKeyShare, vec16(unhex("6a6a"), vec16(repeat(1, 65000))), ok},
		{sh, ExtKeyShare, cat(unhex("001d"), vec16()), bad},
		{sh, ExtKeyShare, unhex("001d"), bad},
		{sh, ExtKeyShare, cat(share, share), bad},
		{hrr, ExtKeyShare, share, bad},

		{ch, ExtRenegotiationInfo, nil, bad},
		{ch, ExtRenegotiationInfo, vec8(), ok},
		{sh12, ExtRenegotiationInfo, vec8(repeat(1, 255)), ok},
		{sh12, ExtRenegotiationInfo, unhex("02 00"), bad},
	} {
		extensions := [][]byte{ext(c.typ, c.data)}
		if c.in == sh && c.typ != ExtSupportedVersions {
			extensions = append(extensions, versionsSH)
		}
		err := newMessage(c.in).Parse(bodyWith(c.in, extensions...))
		why := fmt.Sprintf("case %d, %v, %v, %.20x", i, c.in, c.typ, c.data)
		if c.ok {
			if err != nil {
				t.Errorf("%s: %v", why, err)
			}
			continue
		}
		if e := wantError(t, why, err, Malformed, c.in); e.Extension != c.typ {
			t.Errorf("%s: error is %v", why, e)
		}
	}
}

// Each vector of a message at its bounds and behind them.
func TestFieldBounds(t *testing.T) {
	start := cat(unhex("0303"), repeat(1, 32))
	suites, null := vec16(unhex("1301")), vec8(unhex("00"))
	ticket := unhex("00000001 00000002")
	params := cat(unhex("03 0017"), vec8(unhex("04")))
	signature := cat(unhex("0403"), vec16(unhex("5151")))
	schemes := vec16(unhex("0403"))
	for _, c := range []struct {
		in    MessageKind
		field string // that is wrong, or "" when none is
		body  []byte
	}{
		{KindClientHello, "legacy_version", unhex("03")},
		{KindClientHello, "random", start[:33]},
		{KindClientHello, "", cat(start, vec8(), suites, null)},
		{KindClientHello, "", cat(start, vec8(), suites, null, vec16())},
		{KindClientHello, "", cat(start, vec8(repeat(1, 32)), suites, null)},
		{KindClientHello, "legacy_session_id", cat(start, vec8(repeat(1, 33)), suites, null)},
		{KindClientHello, "cipher_suites", cat(start, vec8(), vec16(), null)},
		{KindClientHello, "cipher_suites", cat(start, vec8(), vec16(unhex("13")), null)},
		{KindClientHello, "cipher_suites", cat(start, vec8(), vec16(unhex("1301 13")), null)},
		{KindClientHello, "", cat(start, vec8(), vec16(repeat(1, 65534)), null)},
		{KindClientHello, "cipher_suites", cat(start, vec8(), vec16(repeat(1, 65535)), null)},
		{KindClientHello, "legacy_compression_methods", cat(start, vec8(), suites, vec8())},
		{KindClientHello, "", cat(start, vec8(), suites, vec8(repeat(1, 255)))},
		{KindClientHello, "extensions", cat(start, vec8(), suites, null, unhex("00"))},
		{KindClientHello, "extensions", cat(start, vec8(), suites, null, vec16(unhex("000a00")))},
		{KindClientHello, "extensions", cat(start, vec8(), suites, null, vec16(unhex("000a0001")))},
		{KindClientHello, "extensions", cat(start, vec8(), suites, null, vec16(), unhex("00"))},

		{KindServerHello, "legacy_version", unhex("03")},
		{KindServerHello, "random", start[:33]},
		{KindServerHello, "legacy_session_id_echo", cat(start, vec8(repeat(1, 33)), unhex("130100"))},
		{KindServerHello, "", cat(start, vec8(repeat(1, 32)), unhex("130100"))},
		{KindServerHello, "", cat(start, vec8(), unhex("130100"), vec16())},
		{KindServerHello, "cipher_suite", cat(start, vec8(), unhex("13"))},
		{KindServerHello, "legacy_compression_method", cat(start, vec8(), unhex("1301"))},
		{KindServerHello, "extensions", cat(start, vec8(), unhex("130100"), unhex("00"))},
		{KindServerHello, "extensions", cat(start, vec8(), unhex("130100"), vec16(), unhex("00"))},
		{KindHelloRetryRequest, "extensions", cat(serverStart(HelloRetryRequestRandom[:]), unhex("00"))},

		{KindEncryptedExtensions, "", vec16()},
		{KindEncryptedExtensions, "extensions", nil},

		{KindCertificate, "", cat(vec8(), vec24())},
		{KindCertificate, "", cat(vec8(repeat(1, 255)), vec24())},
		{KindCertificate, "certificate_request_context", nil},
		{KindCertificate, "certificate_list", vec8()},
		{KindCertificate, "cert_data", cat(vec8(), vec24(vec24(), vec16()))},
		{KindCertificate, "extensions", cat(vec8(), vec24(vec24(unhex("c0"))))},
		{KindCertificate, "", cat(vec8(), vec24(vec24(repeat(1, 70000)), vec16()))},

		// "Correct the lower bound on CertificateRequest.extensions to be 0
		// bytes." (https://www.rfc-editor.org/rfc/rfc9846#section-1.2)
		{KindCertificateRequest, "", cat(vec8(), vec16())},
		{KindCertificateRequest, "certificate_request_context", nil},
		{KindCertificateRequest, "extensions", vec8()},

		{KindCertificateVerify, "algorithm", unhex("04")},
		{KindCertificateVerify, "signature", unhex("0403")},
		{KindCertificateVerify, "", cat(unhex("0403"), vec16())},
		{KindCertificateVerify, "", cat(unhex("0403"), vec16(repeat(1, 65535)))},

		{KindFinished, "", nil},
		{KindFinished, "", repeat(1, 100)},

		{KindNewSessionTicket, "ticket_lifetime", ticket[:3]},
		{KindNewSessionTicket, "ticket_age_add", ticket[:7]},
		{KindNewSessionTicket, "ticket_nonce", ticket},
		{KindNewSessionTicket, "ticket", cat(ticket, vec8(), vec16(), vec16())},
		{KindNewSessionTicket, "", cat(ticket, vec8(repeat(1, 255)), vec16(unhex("01")), vec16())},
		{KindNewSessionTicket, "", cat(ticket, vec8(), vec16(repeat(1, 65535)), vec16())},

		{KindKeyUpdate, "request_update", nil},
		{KindKeyUpdate, "request_update", unhex("0000")},
		{KindKeyUpdate, "", unhex("ff")},

		{KindHelloRequest, "", nil},
		{KindServerHelloDone, "", nil},

		{KindCertificate12, "certificate_list", nil},
		{KindCertificate12, "", vec24()},
		{KindCertificate12, "certificate_list", cat(vec24(), unhex("00"))},
		{KindCertificate12, "ASN.1Cert", vec24(vec24())},
		{KindCertificate12, "ASN.1Cert", vec24(unhex("0000"))},
		{KindCertificate12, "ASN.1Cert", vec24(unhex("000002 c0"))},
		{KindCertificate12, "", vec24(vec24(repeat(1, 70000)), vec24(unhex("c0")))},

		{KindCertificateStatus, "status_type", nil},
		{KindCertificateStatus, "status_type", cat(unhex("02"), vec24(unhex("0c")))}, // ocsp_multi
		{KindCertificateStatus, "response", unhex("01")},
		{KindCertificateStatus, "response", cat(unhex("01"), vec24())},
		{KindCertificateStatus, "response", cat(unhex("01"), vec24(unhex("0c")), unhex("00"))},
		{KindCertificateStatus, "", cat(unhex("01"), vec24(repeat(1, 70000)))},

		{KindServerKeyExchange, "curve_type", nil},
		{KindServerKeyExchange, "curve_type", cat(unhex("01"), params[1:], signature)}, // explicit_prime
		{KindServerKeyExchange, "curve_type", cat(unhex("02"), params[1:], signature)}, // explicit_char2
		{KindServerKeyExchange, "namedcurve", unhex("03 00")},
		{KindServerKeyExchange, "point", params[:3]},
		{KindServerKeyExchange, "point", cat(params[:3], vec8(), signature)},
		{KindServerKeyExchange, "algorithm", params},
		{KindServerKeyExchange, "algorithm", cat(params, unhex("04"))},
		{KindServerKeyExchange, "signature", cat(params, unhex("0403"))},
		{KindServerKeyExchange, "", cat(params[:3], vec8(repeat(4, 255)), unhex("0403"), vec16(repeat(1, 65535)))},
		{KindServerKeyExchange, "", cat(params, unhex("0403"), vec16())},

		{KindCertificateRequest12, "certificate_types", nil},
		{KindCertificateRequest12, "certificate_types", cat(vec8(), schemes, vec16())},
		{KindCertificateRequest12, "", cat(vec8(repeat(1, 255)), schemes, vec16())},
		{KindCertificateRequest12, "supported_signature_algorithms", vec8(unhex("01"))},
		{KindCertificateRequest12, "supported_signature_algorithms", cat(vec8(unhex("01")), vec16(), vec16())},
		{KindCertificateRequest12, "supported_signature_algorithms", cat(vec8(unhex("01")), vec16(unhex("0403 04")), vec16())},
		{KindCertificateRequest12, "", cat(vec8(unhex("01")), vec16(repeat(1, 65534)), vec16())},
		{KindCertificateRequest12, "certificate_authorities", cat(vec8(unhex("01")), schemes)},
		{KindCertificateRequest12, "certificate_authorities", cat(vec8(unhex("01")), schemes, vec16(), unhex("00"))},
		{KindCertificateRequest12, "DistinguishedName", cat(vec8(unhex("01")), schemes, vec16(vec16()))},
		{KindCertificateRequest12, "DistinguishedName", cat(vec8(unhex("01")), schemes, vec16(unhex("0002 30")))},
		{KindCertificateRequest12, "", cat(vec8(unhex("01")), schemes, vec16(vec16(repeat(1, 65533))))},

		{KindClientKeyExchange, "ecdh_Yc", nil},
		{KindClientKeyExchange, "ecdh_Yc", vec8()},
		{KindClientKeyExchange, "ecdh_Yc", cat(vec8(unhex("04")), unhex("00"))},
		{KindClientKeyExchange, "", vec8(repeat(4, 255))},

		{KindNewSessionTicket12, "ticket_lifetime_hint", unhex("000000")},
		{KindNewSessionTicket12, "ticket", unhex("00000000")},
		{KindNewSessionTicket12, "", cat(unhex("00000000"), vec16())},
		{KindNewSessionTicket12, "", cat(unhex("ffffffff"), vec16(repeat(1, 65535)))},
	} {
		err := newMessage(c.in).Parse(c.body)
		why := fmt.Sprintf("%v, %s, %.60x", c.in, c.field, c.body)
		if c.field == "" {
			if err != nil {
				t.Errorf("%s: %v", why, err)
			}
			continue
		}
		if e := wantError(t, why, err, Malformed, c.in); e.Field != c.field || e.HasExtension {
			t.Errorf("%s: error is %v", why, e)
		}
	}
	for _, k := range []MessageKind{KindEndOfEarlyData, KindHelloRequest, KindServerHelloDone} {
		wantError(t, "not empty", newMessage(k).Parse([]byte{0}), Malformed, k)
	}
}
