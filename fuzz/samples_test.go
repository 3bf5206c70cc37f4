package fuzz

import (
	"bytes"

	"tlscore.example/tlscore/internal/wire"
)

// sampleMessages are messages with everything in them that the codec knows.
func sampleMessages() []handshakeMessage {
	ext := func(types ...wire.ExtensionType) (list []wire.Extension) {
		for _, t := range types {
			list = append(list, wire.Extension{Type: t})
		}
		return append(list, wire.Extension{Type: 0x1234, Data: []byte("unknown")})
	}
	schemes := []wire.SignatureScheme{0x0403, 0x0804, 0x0807, 0xfefe}
	share := wire.KeyShare{Group: 29, Data: bytes.Repeat([]byte{9}, 32)}
	random := [32]byte{1, 2, 3}

	hello := &wire.ClientHello{
		LegacyVersion: wire.VersionTLS12, Random: random, SessionID: []byte("session"),
		CipherSuites: []wire.CipherSuite{0x1301, 0x1303, 0x0a0a}, CompressionMethods: []byte{0},
		ServerName: []byte("localhost"), SupportedGroups: []wire.NamedGroup{29, 23}, SignatureAlgorithms: schemes,
		SignatureAlgorithmsCert: schemes, ALPN: [][]byte{[]byte("h2")}, SupportedVersions: []wire.Version{0x0304},
		KeyShares: []wire.KeyShare{share}, Cookie: []byte("cookie"), PSKModes: []byte{1},
		PSKIdentities: []wire.PSKIdentity{{Identity: []byte("ticket"), ObfuscatedTicketAge: 7}},
		PSKBinders:    [][]byte{make([]byte, 32)}, ECPointFormats: []byte{0}, RenegotiationInfo: []byte{},
		SessionTicket: []byte("ticket"), RecordSizeLimit: 0x4000, CertificateAuthorities: [][]byte{[]byte("x")},
		TicketRequest: wire.TicketRequest{NewSessionCount: 2, ResumptionCount: 1}, Padding: 3,
		Extensions: append(ext(wire.ExtServerName, wire.ExtSupportedGroups, wire.ExtSignatureAlgorithms,
			wire.ExtSignatureAlgorithmsCert, wire.ExtALPN, wire.ExtSupportedVersions, wire.ExtKeyShare, wire.ExtCookie,
			wire.ExtPSKKeyExchangeModes, wire.ExtECPointFormats, wire.ExtRenegotiationInfo, wire.ExtStatusRequest,
			wire.ExtEarlyData, wire.ExtExtendedMasterSecret, wire.ExtSessionTicket, wire.ExtPostHandshakeAuth),
			wire.Extension{Type: wire.ExtCertificateAuthorities}, wire.Extension{Type: wire.ExtRecordSizeLimit},
			wire.Extension{Type: wire.ExtTicketRequest}, wire.Extension{Type: wire.ExtPadding},
			wire.Extension{Type: wire.ExtPreSharedKey}),
	}
	old := &wire.ClientHello{LegacyVersion: wire.VersionTLS12, CipherSuites: []wire.CipherSuite{1}, CompressionMethods: []byte{0}, NoExtensions: true}
	server := &wire.ServerHello{
		LegacyVersion: wire.VersionTLS12, Random: random, SessionID: []byte("session"), CipherSuite: 0x1301,
		SupportedVersion: wire.VersionTLS13, KeyShare: share,
		Extensions: ext(wire.ExtSupportedVersions, wire.ExtKeyShare, wire.ExtPreSharedKey),
	}
	retry := &wire.ServerHello{
		LegacyVersion: wire.VersionTLS12, Random: wire.HelloRetryRequestRandom, CipherSuite: 0x1301,
		SupportedVersion: wire.VersionTLS13, SelectedGroup: 23, Cookie: []byte("cookie"),
		Extensions: ext(wire.ExtSupportedVersions, wire.ExtKeyShare, wire.ExtCookie),
	}
	server12 := &wire.ServerHello{
		LegacyVersion: wire.VersionTLS12, Random: random, CipherSuite: 0xc02f, ALPN: []byte("h2"), ECPointFormats: []byte{0},
		SCTs: [][]byte{[]byte("sct")}, RecordSizeLimit: 0x4000,
		Extensions: ext(wire.ExtRecordSizeLimit, wire.ExtRenegotiationInfo, wire.ExtALPN, wire.ExtECPointFormats, wire.ExtExtendedMasterSecret,
			wire.ExtSessionTicket, wire.ExtStatusRequest, wire.ExtServerName, wire.ExtSignedCertificateTimestamp),
	}
	server10 := &wire.ServerHello{LegacyVersion: wire.VersionTLS10, CipherSuite: 0x2f, NoExtensions: true}
	encrypted := &wire.EncryptedExtensions{
		ALPN: []byte("h2"), SupportedGroups: []wire.NamedGroup{29},
		RecordSizeLimit: 0x4001, ExpectedTickets: 2,
		Extensions: ext(wire.ExtServerName, wire.ExtALPN, wire.ExtSupportedGroups, wire.ExtEarlyData,
			wire.ExtRecordSizeLimit, wire.ExtTicketRequest),
	}
	request := &wire.CertificateRequest{
		RequestContext: []byte("context"), SignatureAlgorithms: schemes, SignatureAlgorithmsCert: schemes,
		CertificateAuthorities: [][]byte{[]byte("name")},
		Extensions: append(ext(wire.ExtSignatureAlgorithms, wire.ExtSignatureAlgorithmsCert, wire.ExtCertificateAuthorities,
			wire.ExtStatusRequest, wire.ExtSignedCertificateTimestamp),
			wire.Extension{Type: wire.ExtOIDFilters, Data: []byte{0, 6, 2, 'o', 'i', 0, 1, 'v'}}),
	}
	chain := &wire.Certificate{RequestContext: []byte{}, Entries: []wire.CertificateEntry{
		{Data: []byte("leaf"), OCSPResponse: []byte("ocsp"), SCTs: [][]byte{[]byte("sct")},
			Extensions: ext(wire.ExtStatusRequest, wire.ExtSignedCertificateTimestamp)},
		{Data: []byte("intermediate")},
	}}
	real := new(wire.Certificate)
	for _, der := range certificates[2][1].Certificate {
		real.Entries = append(real.Entries, wire.CertificateEntry{Data: der})
	}
	ticket := &wire.NewSessionTicket{Lifetime: 7200, AgeAdd: 5, Nonce: []byte{1}, Ticket: []byte("ticket"), MaxEarlyData: 16384, Extensions: ext(wire.ExtEarlyData)}
	var list []handshakeMessage
	for _, m := range []interface{ Append([]byte) []byte }{
		hello, old, server, retry, server12, server10, encrypted, &wire.EncryptedExtensions{}, request, chain, real, &wire.Certificate{},
		&wire.CertificateVerify{Algorithm: 0x0807, Signature: bytes.Repeat([]byte{5}, 64)}, &wire.Finished{VerifyData: make([]byte, 32)},
		ticket, &wire.KeyUpdate{Request: 1}, &wire.KeyUpdate{Request: 2}, &wire.EndOfEarlyData{},
	} {
		list = append(list, m.Append(nil))
	}
	return list
}

// sampleMessages12 are messages that only TLS 1.2 has, or has in this form, by
// the target that they are for: their type alone does not tell the form.
func sampleMessages12() map[string][]handshakeMessage {
	chain := &wire.Certificate12{Certificates: certificates[2][1].Certificate}
	share := &wire.ServerKeyExchange{Group: 29, Point: bytes.Repeat([]byte{9}, 32), Algorithm: 0x0403, Signature: []byte("signature")}
	request := &wire.CertificateRequest12{
		CertificateTypes:       []wire.ClientCertificateType{wire.CertTypeECDSASign, wire.CertTypeRSASign, 0xfe},
		SignatureAlgorithms:    []wire.SignatureScheme{0x0403, 0x0804, 0xfefe},
		CertificateAuthorities: [][]byte{[]byte("a name"), []byte("another")},
	}
	list := map[string][]handshakeMessage{}
	for target, messages := range map[string][]interface{ Append([]byte) []byte }{
		"FuzzHelloRequest":         {&wire.HelloRequest{}},
		"FuzzCertificate12":        {chain, &wire.Certificate12{}},
		"FuzzCertificateStatus":    {&wire.CertificateStatus{OCSPResponse: []byte("response")}},
		"FuzzServerKeyExchange":    {share, &wire.ServerKeyExchange{Group: 23, Point: []byte{4}}},
		"FuzzCertificateRequest12": {request},
		"FuzzServerHelloDone":      {&wire.ServerHelloDone{}},
		"FuzzClientKeyExchange":    {&wire.ClientKeyExchange{Point: bytes.Repeat([]byte{9}, 32)}},
		"FuzzNewSessionTicket12":   {&wire.NewSessionTicket12{LifetimeHint: 7200, Ticket: []byte("ticket")}, &wire.NewSessionTicket12{}},
	} {
		for _, m := range messages {
			list[target] = append(list[target], m.Append(nil))
		}
	}
	return list
}
