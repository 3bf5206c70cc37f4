package wire

import "fmt"

// name returns the name of v, or typ and v in hexadecimal when it has none.
func name[T ~uint8 | ~uint16](names map[T]string, v T, typ string, digits int) string {
	if s, ok := names[v]; ok {
		return s
	}
	return fmt.Sprintf("%s(%#0*x)", typ, digits, uint16(v))
}

// IsGREASE reports whether v is one of the values that are reserved to keep
// peers tolerant of unknown ones: 0x0a0a, 0x1a1a, up to 0xfafa.
// RFC 8701, Section 2.
func IsGREASE(v uint16) bool {
	return v&0x0f0f == 0x0a0a && v>>8 == v&0xff
}

// A HandshakeType is the first byte of a handshake message.
// RFC 8446, Section 4.
type HandshakeType uint8

// Handshake types, those of TLS 1.2 included. RFC 8446, Section 4. RFC 5246, Section 7.4.
const (
	TypeHelloRequest        HandshakeType = 0
	TypeClientHello         HandshakeType = 1
	TypeServerHello         HandshakeType = 2
	TypeNewSessionTicket    HandshakeType = 4
	TypeEndOfEarlyData      HandshakeType = 5
	TypeEncryptedExtensions HandshakeType = 8
	TypeCertificate         HandshakeType = 11
	TypeServerKeyExchange   HandshakeType = 12
	TypeCertificateRequest  HandshakeType = 13
	TypeServerHelloDone     HandshakeType = 14
	TypeCertificateVerify   HandshakeType = 15
	TypeClientKeyExchange   HandshakeType = 16
	TypeFinished            HandshakeType = 20
	TypeCertificateStatus   HandshakeType = 22
	TypeKeyUpdate           HandshakeType = 24
	TypeMessageHash         HandshakeType = 254
)

var handshakeTypeNames = map[HandshakeType]string{
	TypeHelloRequest:        "hello_request",
	TypeClientHello:         "client_hello",
	TypeServerHello:         "server_hello",
	TypeNewSessionTicket:    "new_session_ticket",
	TypeEndOfEarlyData:      "end_of_early_data",
	TypeEncryptedExtensions: "encrypted_extensions",
	TypeCertificate:         "certificate",
	TypeServerKeyExchange:   "server_key_exchange",
	TypeCertificateRequest:  "certificate_request",
	TypeServerHelloDone:     "server_hello_done",
	TypeCertificateVerify:   "certificate_verify",
	TypeClientKeyExchange:   "client_key_exchange",
	TypeFinished:            "finished",
	TypeCertificateStatus:   "certificate_status",
	TypeKeyUpdate:           "key_update",
	TypeMessageHash:         "message_hash",
}

func (t HandshakeType) String() string { return name(handshakeTypeNames, t, "HandshakeType", 2) }

// An ExtensionType says what an extension is. Unknown values survive.
// RFC 8446, Section 4.2.
type ExtensionType uint16

// Extension types. RFC 8446, Section 4.2. RFC 9846, Section 4.3.
const (
	ExtServerName                 ExtensionType = 0
	ExtMaxFragmentLength          ExtensionType = 1
	ExtStatusRequest              ExtensionType = 5
	ExtSupportedGroups            ExtensionType = 10
	ExtECPointFormats             ExtensionType = 11
	ExtSignatureAlgorithms        ExtensionType = 13
	ExtUseSRTP                    ExtensionType = 14
	ExtHeartbeat                  ExtensionType = 15
	ExtALPN                       ExtensionType = 16
	ExtSignedCertificateTimestamp ExtensionType = 18
	ExtClientCertificateType      ExtensionType = 19
	ExtServerCertificateType      ExtensionType = 20
	ExtPadding                    ExtensionType = 21
	ExtExtendedMasterSecret       ExtensionType = 23
	ExtCompressCertificate        ExtensionType = 27
	ExtRecordSizeLimit            ExtensionType = 28
	ExtDelegatedCredential        ExtensionType = 34
	ExtSessionTicket              ExtensionType = 35
	ExtSupportedEKTCiphers        ExtensionType = 39
	ExtPreSharedKey               ExtensionType = 41
	ExtEarlyData                  ExtensionType = 42
	ExtSupportedVersions          ExtensionType = 43
	ExtCookie                     ExtensionType = 44
	ExtPSKKeyExchangeModes        ExtensionType = 45
	ExtCertificateAuthorities     ExtensionType = 47
	ExtOIDFilters                 ExtensionType = 48
	ExtPostHandshakeAuth          ExtensionType = 49
	ExtSignatureAlgorithmsCert    ExtensionType = 50
	ExtKeyShare                   ExtensionType = 51
	ExtTransparencyInfo           ExtensionType = 52
	ExtExternalIDHash             ExtensionType = 55
	ExtExternalSessionID          ExtensionType = 56
	ExtQUICTransportParameters    ExtensionType = 57
	ExtTicketRequest              ExtensionType = 58
	ExtECHOuterExtensions         ExtensionType = 0xfd00
	ExtEncryptedClientHello       ExtensionType = 0xfe0d
	ExtRenegotiationInfo          ExtensionType = 0xff01
)

var extensionTypeNames = map[ExtensionType]string{
	ExtServerName:                 "server_name",
	ExtMaxFragmentLength:          "max_fragment_length",
	ExtStatusRequest:              "status_request",
	ExtSupportedGroups:            "supported_groups",
	ExtECPointFormats:             "ec_point_formats",
	ExtSignatureAlgorithms:        "signature_algorithms",
	ExtUseSRTP:                    "use_srtp",
	ExtHeartbeat:                  "heartbeat",
	ExtALPN:                       "application_layer_protocol_negotiation",
	ExtSignedCertificateTimestamp: "signed_certificate_timestamp",
	ExtClientCertificateType:      "client_certificate_type",
	ExtServerCertificateType:      "server_certificate_type",
	ExtPadding:                    "padding",
	ExtExtendedMasterSecret:       "extended_master_secret",
	ExtCompressCertificate:        "compress_certificate",
	ExtRecordSizeLimit:            "record_size_limit",
	ExtDelegatedCredential:        "delegated_credential",
	ExtSessionTicket:              "session_ticket",
	ExtSupportedEKTCiphers:        "supported_ekt_ciphers",
	ExtPreSharedKey:               "pre_shared_key",
	ExtEarlyData:                  "early_data",
	ExtSupportedVersions:          "supported_versions",
	ExtCookie:                     "cookie",
	ExtPSKKeyExchangeModes:        "psk_key_exchange_modes",
	ExtCertificateAuthorities:     "certificate_authorities",
	ExtOIDFilters:                 "oid_filters",
	ExtPostHandshakeAuth:          "post_handshake_auth",
	ExtSignatureAlgorithmsCert:    "signature_algorithms_cert",
	ExtKeyShare:                   "key_share",
	ExtTransparencyInfo:           "transparency_info",
	ExtExternalIDHash:             "external_id_hash",
	ExtExternalSessionID:          "external_session_id",
	ExtQUICTransportParameters:    "quic_transport_parameters",
	ExtTicketRequest:              "ticket_request",
	ExtECHOuterExtensions:         "ech_outer_extensions",
	ExtEncryptedClientHello:       "encrypted_client_hello",
	ExtRenegotiationInfo:          "renegotiation_info",
}

func (t ExtensionType) String() string { return name(extensionTypeNames, t, "ExtensionType", 4) }

// A Version is a protocol version. Unknown values survive.
// RFC 8446, Section 4.1.2.
type Version uint16

// Protocol versions. RFC 8446, Section 4.2.1.
const (
	VersionSSL30 Version = 0x0300
	VersionTLS10 Version = 0x0301
	VersionTLS11 Version = 0x0302
	VersionTLS12 Version = 0x0303
	VersionTLS13 Version = 0x0304
)

var versionNames = map[Version]string{
	VersionSSL30: "SSL 3.0",
	VersionTLS10: "TLS 1.0",
	VersionTLS11: "TLS 1.1",
	VersionTLS12: "TLS 1.2",
	VersionTLS13: "TLS 1.3",
}

func (v Version) String() string { return name(versionNames, v, "Version", 4) }

// A CipherSuite names the record protection and the hash, before TLS 1.3 also
// the key exchange and the authentication. Unknown values survive.
// RFC 8446, Appendix B.4.
type CipherSuite uint16

// Cipher suites: those of TLS 1.3, the ECDHE and AEAD ones of TLS 1.2, and the
// two values that signal something else. RFC 8446, Appendix B.4.
const (
	TLS_AES_128_GCM_SHA256       CipherSuite = 0x1301
	TLS_AES_256_GCM_SHA384       CipherSuite = 0x1302
	TLS_CHACHA20_POLY1305_SHA256 CipherSuite = 0x1303
	TLS_AES_128_CCM_SHA256       CipherSuite = 0x1304
	TLS_AES_128_CCM_8_SHA256     CipherSuite = 0x1305

	TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256       CipherSuite = 0xc02b
	TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384       CipherSuite = 0xc02c
	TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256         CipherSuite = 0xc02f
	TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384         CipherSuite = 0xc030
	TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256   CipherSuite = 0xcca8
	TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 CipherSuite = 0xcca9

	TLS_EMPTY_RENEGOTIATION_INFO_SCSV CipherSuite = 0x00ff
	TLS_FALLBACK_SCSV                 CipherSuite = 0x5600
)

var cipherSuiteNames = map[CipherSuite]string{
	TLS_AES_128_GCM_SHA256:       "TLS_AES_128_GCM_SHA256",
	TLS_AES_256_GCM_SHA384:       "TLS_AES_256_GCM_SHA384",
	TLS_CHACHA20_POLY1305_SHA256: "TLS_CHACHA20_POLY1305_SHA256",
	TLS_AES_128_CCM_SHA256:       "TLS_AES_128_CCM_SHA256",
	TLS_AES_128_CCM_8_SHA256:     "TLS_AES_128_CCM_8_SHA256",

	TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256:       "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
	TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384:       "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
	TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256:         "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
	TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384:         "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
	TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256:   "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
	TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",

	TLS_EMPTY_RENEGOTIATION_INFO_SCSV: "TLS_EMPTY_RENEGOTIATION_INFO_SCSV",
	TLS_FALLBACK_SCSV:                 "TLS_FALLBACK_SCSV",
}

func (c CipherSuite) String() string { return name(cipherSuiteNames, c, "CipherSuite", 4) }

// A NamedGroup is a group, curve or KEM for the key exchange. Unknown values survive.
// RFC 8446, Section 4.2.7.
type NamedGroup uint16

// Named groups. RFC 8446, Section 4.2.7.
const (
	GroupP256               NamedGroup = 0x0017
	GroupP384               NamedGroup = 0x0018
	GroupP521               NamedGroup = 0x0019
	GroupX25519             NamedGroup = 0x001d
	GroupX448               NamedGroup = 0x001e
	GroupFFDHE2048          NamedGroup = 0x0100
	GroupFFDHE3072          NamedGroup = 0x0101
	GroupFFDHE4096          NamedGroup = 0x0102
	GroupFFDHE6144          NamedGroup = 0x0103
	GroupFFDHE8192          NamedGroup = 0x0104
	GroupMLKEM512           NamedGroup = 0x0200
	GroupMLKEM768           NamedGroup = 0x0201
	GroupMLKEM1024          NamedGroup = 0x0202
	GroupSecP256r1MLKEM768  NamedGroup = 0x11eb
	GroupX25519MLKEM768     NamedGroup = 0x11ec
	GroupSecP384r1MLKEM1024 NamedGroup = 0x11ed
)

var namedGroupNames = map[NamedGroup]string{
	GroupP256:               "secp256r1",
	GroupP384:               "secp384r1",
	GroupP521:               "secp521r1",
	GroupX25519:             "x25519",
	GroupX448:               "x448",
	GroupFFDHE2048:          "ffdhe2048",
	GroupFFDHE3072:          "ffdhe3072",
	GroupFFDHE4096:          "ffdhe4096",
	GroupFFDHE6144:          "ffdhe6144",
	GroupFFDHE8192:          "ffdhe8192",
	GroupMLKEM512:           "MLKEM512",
	GroupMLKEM768:           "MLKEM768",
	GroupMLKEM1024:          "MLKEM1024",
	GroupSecP256r1MLKEM768:  "SecP256r1MLKEM768",
	GroupX25519MLKEM768:     "X25519MLKEM768",
	GroupSecP384r1MLKEM1024: "SecP384r1MLKEM1024",
}

func (g NamedGroup) String() string { return name(namedGroupNames, g, "NamedGroup", 4) }

// A SignatureScheme is a signature algorithm with its hash. Unknown values survive.
// RFC 8446, Section 4.2.3.
type SignatureScheme uint16

// Signature schemes. RFC 8446, Section 4.2.3.
const (
	RSAPKCS1SHA1   SignatureScheme = 0x0201
	RSAPKCS1SHA256 SignatureScheme = 0x0401
	RSAPKCS1SHA384 SignatureScheme = 0x0501
	RSAPKCS1SHA512 SignatureScheme = 0x0601

	ECDSASHA1       SignatureScheme = 0x0203
	ECDSAP256SHA256 SignatureScheme = 0x0403
	ECDSAP384SHA384 SignatureScheme = 0x0503
	ECDSAP521SHA512 SignatureScheme = 0x0603

	RSAPSSRSAESHA256 SignatureScheme = 0x0804
	RSAPSSRSAESHA384 SignatureScheme = 0x0805
	RSAPSSRSAESHA512 SignatureScheme = 0x0806

	Ed25519 SignatureScheme = 0x0807
	Ed448   SignatureScheme = 0x0808

	RSAPSSPSSSHA256 SignatureScheme = 0x0809
	RSAPSSPSSSHA384 SignatureScheme = 0x080a
	RSAPSSPSSSHA512 SignatureScheme = 0x080b
)

var signatureSchemeNames = map[SignatureScheme]string{
	RSAPKCS1SHA1:     "rsa_pkcs1_sha1",
	RSAPKCS1SHA256:   "rsa_pkcs1_sha256",
	RSAPKCS1SHA384:   "rsa_pkcs1_sha384",
	RSAPKCS1SHA512:   "rsa_pkcs1_sha512",
	ECDSASHA1:        "ecdsa_sha1",
	ECDSAP256SHA256:  "ecdsa_secp256r1_sha256",
	ECDSAP384SHA384:  "ecdsa_secp384r1_sha384",
	ECDSAP521SHA512:  "ecdsa_secp521r1_sha512",
	RSAPSSRSAESHA256: "rsa_pss_rsae_sha256",
	RSAPSSRSAESHA384: "rsa_pss_rsae_sha384",
	RSAPSSRSAESHA512: "rsa_pss_rsae_sha512",
	Ed25519:          "ed25519",
	Ed448:            "ed448",
	RSAPSSPSSSHA256:  "rsa_pss_pss_sha256",
	RSAPSSPSSSHA384:  "rsa_pss_pss_sha384",
	RSAPSSPSSSHA512:  "rsa_pss_pss_sha512",
}

func (s SignatureScheme) String() string { return name(signatureSchemeNames, s, "SignatureScheme", 4) }

// A ClientCertificateType is a kind of certificate that a server of TLS 1.2
// asks for. Unknown values survive.
// RFC 5246, Section 7.4.4.
type ClientCertificateType uint8

// Client certificate types: those that go with signature_algorithms; the
// others are of a key exchange that is none of ours.
// RFC 5246, Section 7.4.4. RFC 8422, Section 5.5.
const (
	CertTypeRSASign   ClientCertificateType = 1
	CertTypeECDSASign ClientCertificateType = 64 // Ed25519 and Ed448 too
)

var clientCertificateTypeNames = map[ClientCertificateType]string{
	CertTypeRSASign:   "rsa_sign",
	CertTypeECDSASign: "ecdsa_sign",
}

func (t ClientCertificateType) String() string {
	return name(clientCertificateTypeNames, t, "ClientCertificateType", 2)
}
