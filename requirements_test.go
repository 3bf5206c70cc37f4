package tlscore

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"slices"
	"strconv"
	"testing"

	"tlscore.example/tlscore/internal/record"
	"tlscore.example/tlscore/internal/tlstest"
	"tlscore.example/tlscore/internal/wire"
)

// One test per requirement to abort, in the order of RFC 8446, and besides them
// what an attacker would try.

// fails checks that each scenario ends in that failure, with that alert.
func fails(t *testing.T, reason Reason, alert Alert, scenarios ...scenario) {
	t.Helper()
	for _, s := range scenarios {
		t.Run(s.name+"/"+s.state.String(), func(t *testing.T) {
			r := s.run(t)
			r.wantAlert(reason, alert)
			checkError(t, r.m.Err(), reason, s.state)
		})
	}
}

// Messages left out, as in the SMACK attacks: each message of the server in
// turn, and each but the last; and a Finished in place of anything.
//
// "Protocol messages MUST be sent in the order defined in Section 4.4.1 and
// shown in the diagrams in Section 2. A peer which receives a handshake message
// in an unexpected order MUST abort the handshake with an "unexpected_message"
// alert." (https://www.rfc-editor.org/rfc/rfc8446#section-4)
func TestSkippedMessages(t *testing.T) {
	flight := []struct {
		state State
		build func(*tlstest.Peer) []byte
	}{
		{StateWaitServerHello, (*tlstest.Peer).ServerHello},
		{StateWaitEncryptedExtensions, (*tlstest.Peer).EncryptedExtensions},
		{StateWaitCertificateOrRequest, (*tlstest.Peer).CertificateMessage},
		{StateWaitCertificateVerify, (*tlstest.Peer).CertificateVerify},
		{StateWaitServerFinished, (*tlstest.Peer).Finished},
	}
	for i, from := range flight {
		for _, to := range flight[i+1:] {
			fails(t, ReasonUnexpectedMessage, AlertUnexpectedMessage,
				clientAt(from.state, func(r *rig) { r.p.Send(to.build(r.p)) }))
		}
	}
	fails(t, ReasonUnexpectedMessage, AlertUnexpectedMessage,
		serverAt(StateWaitClientHello, func(r *rig) { r.p.Send(r.p.Finished()) }),
		serverAt(StateWaitClientHelloRetry, func(r *rig) { r.p.Send(r.p.Finished()) }),
		// A client that was not asked for a certificate.
		serverAt(StateWaitClientFinished, func(r *rig) { r.p.Send(r.p.CertificateMessage()) }))
}

// The same message twice, in one record or in two.
func TestRepeatedMessages(t *testing.T) {
	for _, test := range []struct {
		state, failsIn State
		build          func(*tlstest.Peer) []byte
	}{
		{StateWaitEncryptedExtensions, StateWaitCertificateOrRequest, (*tlstest.Peer).EncryptedExtensions},
		{StateWaitCertificateOrRequest, StateWaitCertificate, (*tlstest.Peer).CertificateRequest},
		{StateWaitCertificateOrRequest, StateWaitCertificateVerify, (*tlstest.Peer).CertificateMessage},
		{StateWaitCertificateVerify, StateWaitServerFinished, (*tlstest.Peer).CertificateVerify},
	} {
		s := clientAt(test.state, func(r *rig) {
			msg := test.build(r.p)
			r.p.Send(msg, msg)
		})
		s.state = test.failsIn
		fails(t, ReasonUnexpectedMessage, AlertUnexpectedMessage, s)
	}
}

// Application data before the end of the handshake, which EarlyCCS and its kin
// would have let through.
func TestEarlyApplicationData(t *testing.T) {
	for _, s := range []State{
		StateWaitEncryptedExtensions, StateWaitCertificateOrRequest, StateWaitCertificate,
		StateWaitCertificateVerify, StateWaitServerFinished,
	} {
		fails(t, ReasonUnexpectedRecord, AlertUnexpectedMessage, clientAt(s, withData))
	}
	fails(t, ReasonUnexpectedRecord, AlertUnexpectedMessage, serverAt(StateWaitClientFinished, withData))
}

// "If there is no overlap between the received "supported_groups" and the groups
// supported by the server, then the server MUST abort the handshake with a
// "handshake_failure" or an "insufficient_security" alert."
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.1.1)
func TestNoCommonGroup(t *testing.T) {
	fails(t, ReasonNoCommonGroup, AlertHandshakeFailure,
		refusedHello(func(m *wire.ClientHello) {}, func(c *Config) { c.CurvePreferences = []tls.CurveID{tls.CurveP521} })...)
}

// "If the server is unable to negotiate a supported set of parameters (i.e.,
// there is no overlap between the client and server parameters), it MUST abort
// the handshake with either a "handshake_failure" or "insufficient_security"
// fatal alert" (https://www.rfc-editor.org/rfc/rfc8446#section-4.1.1)
func TestNoCommonParameters(t *testing.T) {
	fails(t, ReasonNoCommonCipherSuite, AlertHandshakeFailure,
		refusedHello(func(*wire.ClientHello) {}, func(c *Config) { c.CipherSuites = []uint16{tls.TLS_CHACHA20_POLY1305_SHA256} })...)
	fails(t, ReasonNoCommonSignatureScheme, AlertHandshakeFailure,
		refusedHello(func(*wire.ClientHello) {}, func(c *Config) { c.SignatureSchemes = []tls.SignatureScheme{tls.Ed25519} })...)
}

// "Because TLS 1.3 forbids renegotiation, if a server has negotiated TLS 1.3 and
// receives a ClientHello at any other time, it MUST terminate the connection with
// an "unexpected_message" alert."
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.1.2)
func TestRenegotiation(t *testing.T) {
	hello := func(r *rig) { r.p.SendRecord(record.TypeHandshake, r.p.ClientHello()) }
	fails(t, ReasonUnexpectedMessage, AlertUnexpectedMessage,
		serverAt(StateWaitClientFinished, hello), serverAt(StateConnected, hello))
	fails(t, ReasonUnexpectedMessage, AlertUnexpectedMessage,
		clientAt(StateConnected, func(r *rig) {
			r.p.SendRecord(record.TypeHandshake, tlstest.Message(wire.TypeHelloRequest))
		}))
}

// "If a TLS 1.3 ClientHello is received with any other value in this field, the
// server MUST abort the handshake with an "illegal_parameter" alert."
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.1.2)
func TestClientCompression(t *testing.T) {
	for _, methods := range [][]byte{{1}, {0, 1}, {1, 0}, {0, 0}} {
		fails(t, ReasonCompression, AlertIllegalParameter,
			refusedHello(func(m *wire.ClientHello) { m.CompressionMethods = methods })...)
	}
}

// "A server which receives a legacy_version value not equal to 0x0303 MUST abort
// the handshake with a "protocol_version" alert." RFC 9846, Section 4.2.2.
func TestClientLegacyVersion(t *testing.T) {
	for _, v := range []wire.Version{0, wire.VersionSSL30, wire.VersionTLS10, wire.VersionTLS11, wire.VersionTLS13, 0x0404} {
		fails(t, ReasonUnsupportedVersion, AlertProtocolVersion,
			refusedHello(func(m *wire.ClientHello) { m.LegacyVersion = v })...)
	}
}

// "A client which receives a TLS 1.3 Server Hello with a legacy_version value not
// equal to 0x0303 MUST abort the handshake with a "protocol_version" alert."
// RFC 9846, Section 4.2.3.
func TestServerLegacyVersion(t *testing.T) {
	for _, v := range []wire.Version{0, wire.VersionSSL30, wire.VersionTLS10, wire.VersionTLS13} {
		fails(t, ReasonLegacyVersion, AlertProtocolVersion,
			badServerHello(func(m *wire.ServerHello) { m.LegacyVersion = v }),
			badRetry(func(m *wire.ServerHello) { m.LegacyVersion = v }))
	}
}

// "A client which receives a legacy_session_id_echo field that does not match
// what it sent in the ClientHello MUST abort the handshake with an
// "illegal_parameter" alert."
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.1.3)
func TestSessionIDEcho(t *testing.T) {
	for _, id := range [][]byte{nil, make([]byte, 32), make([]byte, 8)} {
		fails(t, ReasonSessionIDMismatch, AlertIllegalParameter,
			badServerHello(func(m *wire.ServerHello) { m.SessionID = id }))
	}
	s := clientAt(StateWaitServerHello, func(r *rig) {
		r.p.OnServerHello = func(m *wire.ServerHello) { m.SessionID = make([]byte, 32) }
		r.p.Send(r.p.ServerHello())
	}, func(c *Config) { c.NoMiddleboxCompat = true })
	fails(t, ReasonSessionIDMismatch, AlertIllegalParameter, s)
}

// "A client which receives a cipher suite that was not offered MUST abort the
// handshake with an "illegal_parameter" alert."
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.1.3)
func TestCipherSuiteNotOffered(t *testing.T) {
	only128 := func(c *Config) { c.CipherSuites = []uint16{tls.TLS_AES_128_GCM_SHA256} }
	s := clientAt(StateWaitServerHello, func(r *rig) {
		r.p.Suite = wire.TLS_AES_256_GCM_SHA384
		r.p.Send(r.p.ServerHello())
	}, only128)
	fails(t, ReasonCipherSuiteNotOffered, AlertIllegalParameter, s)
}

// "TLS 1.3 clients receiving a ServerHello indicating TLS 1.2 or below MUST check
// that the last 8 bytes are not equal to either of these values. […] If a match
// is found, the client MUST abort the handshake with an "illegal_parameter"
// alert." (https://www.rfc-editor.org/rfc/rfc8446#section-4.1.3)
func TestDowngrade(t *testing.T) {
	for mark := range byte(2) {
		fails(t, ReasonDowngrade, AlertIllegalParameter,
			badServerHello(downgraded(mark)),
			badServerHello(func(m *wire.ServerHello) {
				downgraded(mark)(m)
				m.NoExtensions, m.LegacyVersion = true, wire.VersionTLS11
			}))
	}
	// In a ServerHello of TLS 1.3 they mean nothing.
	r := newClientRig(t).bring(StateWaitServerHello)
	r.p.OnServerHello = func(m *wire.ServerHello) { copy(m.Random[24:], "DOWNGRD\x01") }
	r.send(r.p.ServerHello())
	r.wantState(StateWaitEncryptedExtensions)
	r.wantConnected()
}

// "If the version chosen by the server is not supported by the client (or is not
// acceptable), the client MUST abort the handshake with a "protocol_version"
// alert." (https://www.rfc-editor.org/rfc/rfc8446#appendix-D.1)
func TestOldServer(t *testing.T) {
	fails(t, ReasonUnsupportedVersion, AlertProtocolVersion,
		badServerHello(func(m *wire.ServerHello) { m.Extensions = nil }),
		badServerHello(func(m *wire.ServerHello) { m.NoExtensions = true }),
		badServerHello(func(m *wire.ServerHello) {
			m.LegacyVersion, m.CipherSuite, m.Extensions = wire.VersionTLS11, wire.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, nil
		}))
}

// "If the "supported_versions" extension is absent and the server only supports
// versions greater than ClientHello.legacy_version, the server MUST abort the
// handshake with a "protocol_version" alert."
// (https://www.rfc-editor.org/rfc/rfc8446#appendix-D.2)
func TestOldClient(t *testing.T) {
	for _, v := range []wire.Version{wire.VersionSSL30, wire.VersionTLS10, wire.VersionTLS12} {
		fails(t, ReasonUnsupportedVersion, AlertProtocolVersion, refusedHello(func(m *wire.ClientHello) {
			m.LegacyVersion = v
			m.Extensions = slices.DeleteFunc(m.Extensions, func(x wire.Extension) bool { return x.Type == wire.ExtSupportedVersions })
		})...)
	}
}

// "Clients MUST abort the handshake with an "illegal_parameter" alert if the
// HelloRetryRequest would not result in any change in the ClientHello."
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.1.4)
//
// "the client MUST verify that (1) the selected_group field corresponds to a
// group which was provided in the "supported_groups" extension in the original
// ClientHello and (2) the selected_group field does not correspond to a group
// which was provided in the "key_share" extension in the original ClientHello. If
// either of these checks fails, then the client MUST abort the handshake with an
// "illegal_parameter" alert."
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.2.8)
func TestHelloRetryRequestGroup(t *testing.T) {
	fails(t, ReasonUselessHelloRetryRequest, AlertIllegalParameter,
		badRetry(func(m *wire.ServerHello) { m.Extensions = m.Extensions[:1] }))
	for _, g := range []wire.NamedGroup{wire.GroupX25519, wire.GroupX25519MLKEM768} {
		fails(t, ReasonUselessHelloRetryRequest, AlertIllegalParameter,
			badRetry(func(m *wire.ServerHello) { m.SelectedGroup = g }),
			badRetry(func(m *wire.ServerHello) { // a cookie does not help
				m.SelectedGroup, m.Cookie = g, []byte("cookie")
				m.Extensions = append(m.Extensions, wire.Extension{Type: wire.ExtCookie})
			}))
	}
	for _, g := range []wire.NamedGroup{0, wire.GroupX448, wire.GroupFFDHE2048, 0x0a0a} {
		fails(t, ReasonGroupNotOffered, AlertIllegalParameter,
			badRetry(func(m *wire.ServerHello) { m.SelectedGroup = g }))
	}
}

// "If a client receives a second HelloRetryRequest in the same connection (i.e.,
// where the ClientHello was itself in response to a HelloRetryRequest), it MUST
// abort the handshake with an "unexpected_message" alert."
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.1.4)
func TestSecondHelloRetryRequest(t *testing.T) {
	fails(t, ReasonUnexpectedMessage, AlertUnexpectedMessage, clientAt(StateWaitServerHelloRetry, func(r *rig) {
		r.p.Group = wire.GroupP384
		r.p.Send(r.p.HelloRetryRequest())
	}))
}

// "Upon receiving the ServerHello, clients MUST check that the cipher suite
// supplied in the ServerHello is the same as that in the HelloRetryRequest and
// otherwise abort the handshake with an "illegal_parameter" alert."
//
// "The value of selected_version in the HelloRetryRequest "supported_versions"
// extension MUST be retained in the ServerHello, and a client MUST abort the
// handshake with an "illegal_parameter" alert if the value changes."
//
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.1.4)
func TestServerHelloAfterRetry(t *testing.T) {
	after := func(hook func(*wire.ServerHello)) scenario {
		return clientAt(StateWaitServerHelloRetry, func(r *rig) {
			r.p.OnServerHello = hook
			r.p.Send(r.p.ServerHello())
		})
	}
	fails(t, ReasonCipherSuiteChanged, AlertIllegalParameter,
		after(func(m *wire.ServerHello) { m.CipherSuite = wire.TLS_AES_256_GCM_SHA384 }),
		after(func(m *wire.ServerHello) { m.CipherSuite = wire.TLS_CHACHA20_POLY1305_SHA256 }))
	fails(t, ReasonVersionNotOffered, AlertIllegalParameter,
		after(func(m *wire.ServerHello) { m.SupportedVersion = wire.VersionTLS12 }),
		after(func(m *wire.ServerHello) { m.Extensions = nil }))
	// "the client MUST verify that the selected NamedGroup in the ServerHello is
	// the same as that in the HelloRetryRequest. If this check fails, the client
	// MUST abort the handshake with an "illegal_parameter" alert."
	// (https://www.rfc-editor.org/rfc/rfc8446#section-4.2.8)
	fails(t, ReasonGroupNotOffered, AlertIllegalParameter,
		after(func(m *wire.ServerHello) { m.KeyShare.Group = wire.GroupX25519 }),
		after(func(m *wire.ServerHello) { m.KeyShare.Group = wire.GroupP384 }))
	fails(t, ReasonMissingExtension, AlertMissingExtension,
		after(func(m *wire.ServerHello) { m.Extensions = m.Extensions[:1] }))
}

// What a second ClientHello may not change.
//
// "In that case, the client MUST send the same ClientHello without modification,
// except as follows" (https://www.rfc-editor.org/rfc/rfc8446#section-4.1.2)
func TestChangedClientHello(t *testing.T) {
	for name, change := range map[string]func(*wire.ClientHello){
		"random":         func(m *wire.ClientHello) { m.Random[31] ^= 1 },
		"session id":     func(m *wire.ClientHello) { m.SessionID = nil },
		"cipher suites":  func(m *wire.ClientHello) { m.CipherSuites = append(m.CipherSuites, 0x1302) },
		"server name":    func(m *wire.ClientHello) { m.ServerName = []byte("example.com") },
		"no server name": without(wire.ExtServerName),
		"groups":         func(m *wire.ClientHello) { m.SupportedGroups = m.SupportedGroups[:1] },
		"schemes":        func(m *wire.ClientHello) { m.SignatureAlgorithms = m.SignatureAlgorithms[1:] },
		"order":          func(m *wire.ClientHello) { slices.Reverse(m.Extensions) },
		"another extension": func(m *wire.ClientHello) {
			m.Extensions = append(m.Extensions, wire.Extension{Type: 0x1234, Data: []byte{}})
		},
		"early data": func(m *wire.ClientHello) {
			m.Extensions = append(m.Extensions, wire.Extension{Type: wire.ExtEarlyData})
		},
		"ALPN that appeared": offerALPN("h2"),
		"supported versions": func(m *wire.ClientHello) { m.SupportedVersions = append(m.SupportedVersions, wire.VersionTLS12) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newServerRig(t).bring(StateWaitClientHelloRetry)
			r.p.Shares = nil
			r.p.OnClientHello = change
			r.send(r.p.ClientHello())
			r.wantAlert(ReasonClientHelloChanged, AlertIllegalParameter)
		})
	}
	// What it may change: a cookie that nobody has given, and padding.
	r := newServerRig(t).bring(StateWaitClientHelloRetry)
	r.p.Shares, r.p.Cookie = nil, []byte("cookie")
	r.p.OnClientHello = func(m *wire.ClientHello) {
		m.Extensions = append(m.Extensions, wire.Extension{Type: wire.ExtPadding, Data: make([]byte, 100)})
	}
	r.send(r.p.ClientHello())
	r.wantState(StateWaitClientFinished)
	r.wantConnected()
}

// "Upon receiving such an extension, an endpoint MUST abort the handshake with an
// "unsupported_extension" alert."
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.2)
func TestUnsolicitedExtension(t *testing.T) {
	for _, x := range []wire.Extension{
		{Type: wire.ExtALPN, Data: []byte{0, 3, 2, 'h', '2'}},
		{Type: wire.ExtRecordSizeLimit, Data: []byte{1, 0}},
		{Type: wire.ExtEarlyData, Data: []byte{}},
		{Type: 0x1a1a, Data: []byte{}},
	} {
		fails(t, ReasonUnsolicitedExtension, AlertUnsupportedExtension, badEncryptedExtensions(x))
	}
	extra := func(m *wire.ServerHello) {
		m.Extensions = append(m.Extensions, wire.Extension{Type: 0x1a1a, Data: []byte{}})
	}
	fails(t, ReasonUnsolicitedExtension, AlertUnsupportedExtension, badServerHello(extra), badRetry(extra))
	for _, x := range []wire.Extension{
		{Type: wire.ExtStatusRequest, Data: []byte{1, 0, 0, 1, 9}},
		{Type: wire.ExtSignedCertificateTimestamp, Data: []byte{0, 3, 0, 1, 9}},
		{Type: 0x1a1a, Data: []byte{}},
	} {
		fails(t, ReasonUnsolicitedExtension, AlertUnsupportedExtension, clientAt(StateWaitCertificateOrRequest, func(r *rig) {
			r.p.OnCertificate = func(m *wire.Certificate) { m.Entries[0].Extensions = []wire.Extension{x} }
			r.p.Send(r.p.CertificateMessage())
		}))
	}
	// The cookie is the exception, in a HelloRetryRequest and only there.
	fails(t, ReasonMisplacedExtension, AlertIllegalParameter, badServerHello(func(m *wire.ServerHello) {
		m.Extensions = append(m.Extensions, wire.Extension{Type: wire.ExtCookie, Data: []byte{0, 1, 1}})
	}))
}

// "If an implementation receives an extension which it recognizes and which is
// not specified for the message in which it appears, it MUST abort the handshake
// with an "illegal_parameter" alert."
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.2)
//
// "The client MUST check EncryptedExtensions for the presence of any forbidden
// extensions and if any are found MUST abort the handshake with an
// "illegal_parameter" alert."
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.3.1)
func TestMisplacedExtension(t *testing.T) {
	for _, x := range []wire.ExtensionType{
		wire.ExtSupportedVersions, wire.ExtKeyShare, wire.ExtPreSharedKey, wire.ExtCookie,
		wire.ExtSignatureAlgorithms, wire.ExtPSKKeyExchangeModes, wire.ExtPadding, wire.ExtStatusRequest,
	} {
		fails(t, ReasonMisplacedExtension, AlertIllegalParameter, badEncryptedExtensions(wire.Extension{Type: x, Data: []byte{}}))
	}
	for _, x := range []wire.ExtensionType{wire.ExtServerName, wire.ExtALPN, wire.ExtSupportedGroups, wire.ExtEarlyData} {
		misplaced := func(m *wire.ServerHello) {
			m.Extensions = append(m.Extensions, wire.Extension{Type: x, Data: []byte{}})
		}
		fails(t, ReasonMisplacedExtension, AlertIllegalParameter, badServerHello(misplaced), badRetry(misplaced))
	}
	certificate := func(x wire.ExtensionType) scenario {
		return clientAt(StateWaitCertificateOrRequest, func(r *rig) {
			r.p.OnCertificate = func(m *wire.Certificate) { m.Entries[0].Extensions = []wire.Extension{{Type: x, Data: []byte{}}} }
			r.p.Send(r.p.CertificateMessage())
		})
	}
	request := func(x wire.ExtensionType) scenario {
		return clientAt(StateWaitCertificateOrRequest, func(r *rig) {
			r.p.OnCertificateRequest = func(m *wire.CertificateRequest) {
				m.Extensions = append(m.Extensions, wire.Extension{Type: x, Data: []byte{}})
			}
			r.p.Send(r.p.CertificateRequest())
		})
	}
	fails(t, ReasonMisplacedExtension, AlertIllegalParameter, certificate(wire.ExtServerName), request(wire.ExtALPN))
}

// "There MUST NOT be more than one extension of the same type in a given
// extension block." (https://www.rfc-editor.org/rfc/rfc8446#section-4.2)
func TestDuplicateExtension(t *testing.T) {
	twice := func(m *wire.ClientHello) {
		for range 2 {
			m.Extensions = append(m.Extensions, wire.Extension{Type: 0x1a1a, Data: []byte{}})
		}
	}
	fails(t, ReasonDuplicateExtension, AlertIllegalParameter, malformedHello(twice)...)
	fails(t, ReasonDuplicateExtension, AlertIllegalParameter,
		clientAt(StateWaitCertificateOrRequest, func(r *rig) {
			r.p.OnCertificateRequest = func(m *wire.CertificateRequest) { m.Extensions = append(m.Extensions, m.Extensions[0]) }
			r.p.Send(r.p.CertificateRequest())
		}),
		badRetry(func(m *wire.ServerHello) { m.Extensions = append(m.Extensions, m.Extensions[1]) }))
}

// "When processing an extension, receivers MUST abort the handshake with a
// "decode_error" alert if there is data left over after parsing the structure."
// RFC 9846, Section 4.3.
func TestTrailingData(t *testing.T) {
	for _, x := range []wire.ExtensionType{
		wire.ExtServerName, wire.ExtSupportedGroups, wire.ExtSignatureAlgorithms, wire.ExtSupportedVersions, wire.ExtKeyShare,
	} {
		fails(t, ReasonMalformedMessage, AlertDecodeError, malformedHello(func(m *wire.ClientHello) {
			var parsed wire.ClientHello // to have the data of its extensions
			if err := parsed.Parse(m.Append(nil)[wire.HeaderLen:]); err != nil {
				t.Fatal(err)
			}
			for i := range m.Extensions {
				if m.Extensions[i].Type == x {
					m.Extensions[i].Data = append(parsed.Extensions[i].Data, 0)
				}
			}
		})...)
	}
	fails(t, ReasonMalformedMessage, AlertDecodeError,
		badEncryptedExtensions(wire.Extension{Type: wire.ExtServerName, Data: []byte{0}}),
		badServerHello(func(m *wire.ServerHello) { m.Extensions[0].Data = []byte{3, 4, 0} }),
		badRetry(func(m *wire.ServerHello) { m.Extensions[1].Data = []byte{0, 23, 0} }))
}

// "If the "supported_versions" extension in the ServerHello contains a version
// not offered by the client or contains a version prior to TLS 1.3, the client
// MUST abort the handshake with an "illegal_parameter" alert."
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.2.1)
func TestVersionNotOffered(t *testing.T) {
	for _, v := range []wire.Version{0, wire.VersionSSL30, wire.VersionTLS12, 0x0305, 0x7f1c} {
		choose := func(m *wire.ServerHello) { m.SupportedVersion = v }
		fails(t, ReasonVersionNotOffered, AlertIllegalParameter, badServerHello(choose), badRetry(choose))
	}
}

// "When sending the new ClientHello, the client MUST copy the contents of the
// extension received in the HelloRetryRequest into a "cookie" extension in the new
// ClientHello."
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.2.2)
func TestCookie(t *testing.T) {
	for _, size := range []int{1, 100, 60000} {
		for _, withGroup := range []bool{false, true} {
			r := newClientRig(t).bring(StateWaitServerHello)
			r.p.Cookie = bytes.Repeat([]byte{7}, size)
			first := r.p.Hello
			if withGroup {
				r.p.Group = wire.GroupP384
			} else {
				r.p.OnHelloRetryRequest = func(m *wire.ServerHello) {
					m.Extensions = tlstest.Extensions(wire.ExtSupportedVersions, wire.ExtCookie)
				}
			}
			r.send(r.p.HelloRetryRequest())
			r.wantState(StateWaitServerHelloRetry)
			second := r.p.Hello
			if !bytes.Equal(second.Cookie, r.p.Cookie) {
				t.Fatalf("cookie of %d bytes came back as %d", size, len(second.Cookie))
			}
			// A cookie and a share are all that may change.
			if err := checkUnchanged(&first, &second); err != nil {
				t.Error(err)
			}
			if withGroup != (len(second.KeyShares) == 1) {
				t.Errorf("second ClientHello with %d key shares", len(second.KeyShares))
			}
			r.wantConnected()
		}
	}
	// An empty one is a syntax error, and one of 65 KB fits no ClientHello.
	fails(t, ReasonMalformedMessage, AlertDecodeError, badRetry(func(m *wire.ServerHello) {
		m.Extensions = append(m.Extensions, wire.Extension{Type: wire.ExtCookie, Data: []byte{0, 0}})
	}))
	fails(t, ReasonMessageTooLarge, AlertIllegalParameter, hugeCookie())
}

// "If a server is authenticating via a certificate and the client has not sent a
// "signature_algorithms" extension, then the server MUST abort the handshake with
// a "missing_extension" alert"
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.2.3)
//
// "Servers receiving a ClientHello which does not conform to these requirements
// MUST abort the handshake with a "missing_extension" alert."
// (https://www.rfc-editor.org/rfc/rfc8446#section-9.2)
func TestMissingExtension(t *testing.T) {
	for _, x := range []wire.ExtensionType{wire.ExtSignatureAlgorithms, wire.ExtSupportedGroups, wire.ExtKeyShare} {
		fails(t, ReasonMissingExtension, AlertMissingExtension, refusedHello(without(x))...)
	}
}

// Two shares of one group, and one of a group that is not listed.
//
// "Servers MAY check for violations of these rules and abort the handshake with
// an "illegal_parameter" alert if one is violated."
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.2.8)
func TestKeyShareList(t *testing.T) {
	fails(t, ReasonDuplicateKeyShare, AlertIllegalParameter, refusedHello(func(m *wire.ClientHello) {
		m.SupportedGroups = append(m.SupportedGroups, 0x2a2a)
		noise := wire.KeyShare{Group: 0x2a2a, Data: []byte{0}}
		m.KeyShares = append(m.KeyShares, noise, noise)
	})...)
	fails(t, ReasonUnlistedKeyShare, AlertIllegalParameter, refusedHello(func(m *wire.ClientHello) {
		m.KeyShares = append(m.KeyShares, wire.KeyShare{Group: 0x2a2a, Data: []byte{0}})
	})...)
	// Unknown groups are passed over.
	r := newServerRig(t)
	r.p.OnClientHello = func(m *wire.ClientHello) {
		m.SupportedGroups = append([]wire.NamedGroup{0x2a2a}, m.SupportedGroups...)
		m.KeyShares = append([]wire.KeyShare{{Group: 0x2a2a, Data: []byte{0}}}, m.KeyShares...)
		m.CipherSuites = append([]wire.CipherSuite{0x2a2a}, m.CipherSuites...)
		m.SupportedVersions = append([]wire.Version{0x2a2a}, m.SupportedVersions...)
		m.SignatureAlgorithms = append([]wire.SignatureScheme{0x2a2a}, m.SignatureAlgorithms...)
		m.Extensions = append([]wire.Extension{{Type: 0x2a2a, Data: []byte{1, 2, 3}}}, m.Extensions...)
	}
	r.wantConnected()
}

// "For the curves secp256r1, secp384r1, and secp521r1, peers MUST validate each
// other's public value Q by ensuring that the point is a valid point on the
// elliptic curve." (https://www.rfc-editor.org/rfc/rfc8446#section-4.2.8.2)
//
// "Implementations MUST check whether the computed Diffie-Hellman shared secret
// is the all-zero value and abort if so"
// (https://www.rfc-editor.org/rfc/rfc8446#section-7.4.2)
//
// "Peers which receive a message which is syntactically correct but semantically
// invalid (e.g., a DHE share of p - 1, or an invalid enum) MUST terminate the
// connection with an "illegal_parameter" alert."
// (https://www.rfc-editor.org/rfc/rfc8446#section-6)
func TestBadKeyShares(t *testing.T) {
	for _, g := range []struct {
		group      wire.NamedGroup
		point, kem int // where in a client's share they begin, -1 if it has none
		ciphertext int // where in a server's
	}{
		{wire.GroupX25519, 0, -1, -1},
		{wire.GroupP256, 0, -1, -1},
		{wire.GroupP384, 0, -1, -1},
		{wire.GroupP521, 0, -1, -1},
		{wire.GroupX25519MLKEM768, 1184, 0, 0},
		{wire.GroupSecP256r1MLKEM768, 0, 65, 65},
		{wire.GroupSecP384r1MLKEM1024, 0, 97, 97},
	} {
		spoilers := map[string]func(share []byte, server bool) []byte{
			"short":   func(b []byte, _ bool) []byte { return b[:len(b)-1] },
			"long":    func(b []byte, _ bool) []byte { return append(b, 0) },
			"one":     func(b []byte, _ bool) []byte { return b[:1] },
			"doubled": func(b []byte, _ bool) []byte { return append(b, b...) },
		}
		x25519 := g.group == wire.GroupX25519 || g.group == wire.GroupX25519MLKEM768
		at := func(b []byte, server bool) []byte {
			if server && g.kem == 0 { // the ciphertext is shorter than the key
				return b[len(b)-32:]
			}
			return b[g.point:]
		}
		if x25519 {
			spoilers["zero point"] = func(b []byte, server bool) []byte { clear(at(b, server)[:32]); return b }
			spoilers["point of order two"] = func(b []byte, server bool) []byte {
				copy(at(b, server), append([]byte{1}, make([]byte, 31)...))
				return b
			}
		} else {
			spoilers["off the curve"] = func(b []byte, server bool) []byte { at(b, server)[10] ^= 1; return b }
			spoilers["infinity"] = func(b []byte, server bool) []byte { at(b, server)[0] = 0; return b }
			spoilers["compressed"] = func(b []byte, server bool) []byte { at(b, server)[0] = 2; return b }
			spoilers["hybrid form"] = func(b []byte, server bool) []byte { at(b, server)[0] = 6; return b }
		}
		if g.kem >= 0 {
			// A coefficient of 4095, above the modulus of 3329. The ciphertext of
			// a server has no such form: any bytes of the right length decapsulate.
			spoilers["non-canonical key"] = func(b []byte, server bool) []byte {
				if server {
					return b[:len(b)-2]
				}
				copy(b[g.kem:], []byte{0xff, 0xff, 0xff})
				return b
			}
		}
		for name, spoil := range spoilers {
			t.Run(g.group.String()+"/"+name, func(t *testing.T) {
				r := newServerRig(t)
				r.p.Group = g.group
				r.p.OnClientHello = func(m *wire.ClientHello) { m.KeyShares[0].Data = spoil(m.KeyShares[0].Data, false) }
				r.send(r.p.ClientHello())
				r.wantAlert(ReasonBadKeyShare, AlertIllegalParameter)

				// The same in the second ClientHello.
				r = newServerRig(t, func(c *Config) { c.CurvePreferences = []tls.CurveID{tls.CurveID(g.group)} })
				r.p.Group, r.p.Shares = g.group, []wire.NamedGroup{}
				r.send(r.p.ClientHello())
				r.p.OnClientHello = func(m *wire.ClientHello) { m.KeyShares[0].Data = spoil(m.KeyShares[0].Data, false) }
				r.send(r.p.ClientHello())
				r.wantAlert(ReasonBadKeyShare, AlertIllegalParameter)

				r = newClientRig(t, func(c *Config) { c.KeyShares = []tls.CurveID{tls.CurveID(g.group)} })
				r.p.Group = g.group
				r.bring(StateWaitServerHello)
				r.p.OnServerHello = func(m *wire.ServerHello) { m.KeyShare.Data = spoil(m.KeyShare.Data, true) }
				r.send(r.p.ServerHello())
				r.wantAlert(ReasonBadKeyShare, AlertIllegalParameter)
			})
		}
	}
}

// All groups and suites do connect, with and without another round trip.
func TestGroupsAndSuites(t *testing.T) {
	for _, id := range supportedGroups {
		for _, retry := range []bool{false, true} {
			for _, suite := range suitesOf(tls.VersionTLS13) {
				r := newServerRig(t, func(c *Config) { c.CurvePreferences = supportedGroups })
				r.p.Group, r.p.Suite = wire.NamedGroup(id), suite.id
				if retry {
					r.bring(StateWaitClientHelloRetry)
				}
				r.wantConnected()

				r = newClientRig(t, func(c *Config) {
					c.CurvePreferences = supportedGroups
					if c.KeyShares = []tls.CurveID{id}; retry {
						c.KeyShares = []tls.CurveID{}
					}
				})
				r.p.Group, r.p.Suite = wire.NamedGroup(id), suite.id
				r.bring(StateWaitServerHello)
				if retry {
					r.send(r.p.HelloRetryRequest())
				}
				r.wantConnected()
			}
		}
	}
}

// "If clients offer "pre_shared_key" without a "psk_key_exchange_modes"
// extension, servers MUST abort the handshake."
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.2.9)
//
// "Servers MUST check that it is the last extension and otherwise fail the
// handshake with an "illegal_parameter" alert."
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.2.11)
func TestPreSharedKey(t *testing.T) {
	fails(t, ReasonMissingExtension, AlertMissingExtension, refusedHello(addPSK)...)
	fails(t, ReasonBadPreSharedKey, AlertIllegalParameter, malformedHello(func(m *wire.ClientHello) {
		addPSK(m)
		m.Extensions = append(m.Extensions, wire.Extension{Type: wire.ExtPadding, Data: []byte{}})
	})...)
	// One that is in order is passed over.
	r := newServerRig(t)
	r.p.OnClientHello = func(m *wire.ClientHello) {
		m.PSKModes = []byte{1}
		m.Extensions = append(m.Extensions, wire.Extension{Type: wire.ExtPSKKeyExchangeModes})
		addPSK(m)
	}
	r.wantConnected()
}

// Early data that is not accepted.
//
// "The server then ignores early data by skipping all records with an external
// content type of "application_data" (indicating that they are encrypted), up to
// the configured max_early_data_size."
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.2.10)
func TestSkippedEarlyData(t *testing.T) {
	for _, s := range []State{StateWaitClientFinished, StateWaitClientHelloRetry} {
		t.Run(s.String(), func(t *testing.T) {
			start := func() *rig {
				r := newServerRig(t)
				addEarlyData(r.p)
				return r.bring(s)
			}
			r := start()
			sendEarlyData(r.p, defaultSkippedEarlyData)
			r.p.SendCCS()
			r.run()
			r.wantState(s)
			r.p.OnClientHello, r.p.Shares = nil, nil // the second one is without
			r.wantConnected()

			r = start()
			sendEarlyData(r.p, defaultSkippedEarlyData)
			r.run()
			r.wantState(s)
			sendEarlyData(r.p, 1)
			r.run()
			r.wantAlert(ReasonTooMuchEarlyData, AlertUnexpectedMessage)

			// In small records with change_cipher_spec between.
			r = start()
			for range 30 {
				sendEarlyData(r.p, 100)
				r.p.SendCCS()
			}
			r.run()
			r.wantState(s)
			r.p.OnClientHello, r.p.Shares = nil, nil
			r.wantConnected()
		})
	}
	// Records without content count too.
	r := newServerRig(t)
	addEarlyData(r.p)
	r.bring(StateWaitClientFinished)
	for range defaultSkippedEarlyData + 1 {
		r.p.SendPlain(record.TypeApplicationData, nil)
	}
	r.run()
	r.wantAlert(ReasonTooMuchEarlyData, AlertUnexpectedMessage)
	// Once a record was opened, the next one that cannot be is an error.
	r = newServerRig(t)
	addEarlyData(r.p)
	r.bring(StateWaitClientFinished)
	sendEarlyData(r.p, 100)
	r.p.SendRecord(record.TypeHandshake, r.p.Finished()[:3])
	sendEarlyData(r.p, 100)
	r.run()
	r.wantAlert(ReasonBadRecordMAC, AlertBadRecordMAC)
	// After the second ClientHello there is none.
	r = newServerRig(t)
	addEarlyData(r.p)
	r.bring(StateWaitClientHelloRetry)
	r.p.OnClientHello, r.p.Shares = nil, nil
	r.send(r.p.ClientHello())
	sendEarlyData(r.p, 100)
	r.run()
	r.wantAlert(ReasonBadRecordMAC, AlertBadRecordMAC)
	// And who has not announced it may send none.
	fails(t, ReasonUnexpectedRecord, AlertUnexpectedMessage,
		serverAt(StateWaitClientHelloRetry, func(r *rig) { sendEarlyData(r.p, 100) }))
	fails(t, ReasonBadRecordMAC, AlertBadRecordMAC,
		serverAt(StateWaitClientFinished, func(r *rig) { sendEarlyData(r.p, 100) }))
}

// A client without a certificate answers a CertificateRequest with an empty
// message.
//
// "The "signature_algorithms" extension MUST be specified, and other extensions
// may optionally be included if defined for this message. Clients MUST ignore
// unrecognized extensions."
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.3.2)
//
// "If the server requests client authentication but no suitable certificate is
// available, the client MUST send a Certificate message containing no
// certificates (i.e., with the "certificate_list" field having length 0)."
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.4.2)
func TestCertificateRequest(t *testing.T) {
	r := newClientRig(t).bring(StateWaitCertificateOrRequest)
	r.p.OnCertificateRequest = func(m *wire.CertificateRequest) {
		m.Extensions = append(m.Extensions, wire.Extension{Type: 0x1a1a, Data: []byte{1}})
	}
	r.send(r.p.CertificateRequest())
	r.wantConnected()
	var cert wire.Certificate
	if err := cert.Parse(r.p.Message(wire.TypeCertificate)); err != nil || len(cert.Entries) != 0 || len(cert.RequestContext) != 0 {
		t.Errorf("Certificate %+v, %v", cert, err)
	}
	if r.p.Message(wire.TypeCertificateVerify) != nil {
		t.Error("CertificateVerify without a certificate")
	}
	if m := newClientRig(t); true {
		m.wantConnected()
		if m.p.Message(wire.TypeCertificate) != nil {
			t.Error("Certificate that nobody has asked for")
		}
	}
}

// "If the server supplies an empty Certificate message, the client MUST abort the
// handshake with a "decode_error" alert."
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.4.2.4)
func TestEmptyCertificate(t *testing.T) {
	fails(t, ReasonEmptyCertificate, AlertDecodeError, clientAt(StateWaitCertificateOrRequest, func(r *rig) {
		r.p.Certificate = tls.Certificate{}
		r.p.Send(r.p.CertificateMessage())
	}))
	fails(t, ReasonMalformedMessage, AlertDecodeError, clientAt(StateWaitCertificateOrRequest, func(r *rig) {
		r.p.Certificate = tls.Certificate{Certificate: [][]byte{{}}}
		r.p.Send(r.p.CertificateMessage())
	}))
}

// "If the client cannot construct an acceptable chain using the provided
// certificates and decides to abort the handshake, then it MUST abort the
// handshake with an appropriate certificate-related alert"
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.4.2.3)
func TestCertificateChains(t *testing.T) {
	garbage := func(change func(*wire.Certificate)) scenario {
		return clientAt(StateWaitCertificateOrRequest, func(r *rig) {
			r.p.OnCertificate = change
			r.p.Send(r.p.CertificateMessage())
		})
	}
	fails(t, ReasonBadCertificate, AlertBadCertificate,
		garbage(func(m *wire.Certificate) { m.Entries[0].Data = []byte("no DER") }),
		garbage(func(m *wire.Certificate) {
			m.Entries[0].Data = append(m.Entries[0].Data[:0:0], m.Entries[0].Data[:100]...)
		}),
		garbage(func(m *wire.Certificate) {
			m.Entries[0].Data = append(m.Entries[0].Data[:len(m.Entries[0].Data):len(m.Entries[0].Data)], 0)
		}),
		garbage(func(m *wire.Certificate) {
			m.Entries = append(m.Entries, wire.CertificateEntry{Data: []byte("no DER")})
		}))
	fails(t, ReasonCertificateUsage, AlertUnsupportedCertificate,
		badCertificate(tlstest.Leaf{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}}))
	fails(t, ReasonUnknownAuthority, AlertUnknownCA,
		badCertificate(tlstest.Leaf{UnknownCA: true}),
		garbage(func(m *wire.Certificate) { // its signature is wrong
			m.Entries[0].Data = bytes.Clone(m.Entries[0].Data)
			m.Entries[0].Data[len(m.Entries[0].Data)-1] ^= 1
		}),
		clientAt(StateWaitCertificateOrRequest, func(r *rig) { // the intermediate is missing
			r.p.Certificate = tlstest.Certificate(tlstest.Leaf{Intermediate: true})
			r.p.Certificate.Certificate = r.p.Certificate.Certificate[:1]
			r.p.Send(r.p.CertificateMessage())
		}))
	fails(t, ReasonCertificateExpired, AlertCertificateExpired,
		badCertificate(tlstest.Leaf{NotAfter: tlstest.Now.Add(-1e9)}),
		badCertificate(tlstest.Leaf{NotBefore: tlstest.Now.Add(1e9)}))
	fails(t, ReasonNameMismatch, AlertBadCertificate,
		badCertificate(tlstest.Leaf{Names: []string{"localhost.example.com"}}),
		badCertificate(tlstest.Leaf{}, func(c *Config) { c.ServerName = "127.0.0.1" }))

	// What did not verify is there to be looked at.
	r := badCertificate(tlstest.Leaf{UnknownCA: true}).run(t)
	if state := r.m.ConnectionState(); len(state.PeerCertificates) != 1 || state.VerifiedChains != nil {
		t.Errorf("connection state %+v", state)
	}
}

// "Any endpoint receiving any certificate which it would need to validate using
// any signature algorithm using an MD5 hash MUST abort the handshake with a
// "bad_certificate" alert."
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.4.2.4)
func TestMD5Certificate(t *testing.T) {
	fails(t, ReasonBadCertificate, AlertBadCertificate, clientAt(StateWaitCertificateOrRequest, func(r *rig) {
		r.p.Certificate = tlstest.MD5Certificate()
		r.p.Send(r.p.CertificateMessage())
	}))
}

// A chain is verified from what the server sends, and with InsecureSkipVerify it
// is not; but the signature of the handshake is.
func TestAcceptedCertificates(t *testing.T) {
	for kind, scheme := range []tls.SignatureScheme{
		tlstest.ECDSAP256: tls.ECDSAWithP256AndSHA256,
		tlstest.ECDSAP384: tls.ECDSAWithP384AndSHA384,
		tlstest.ECDSAP521: tls.ECDSAWithP521AndSHA512,
		tlstest.Ed25519:   tls.Ed25519,
		tlstest.RSA2048:   tls.PSSWithSHA256,
	} {
		r := newClientRig(t)
		r.p.Certificate = tlstest.Certificate(tlstest.Leaf{Key: tlstest.KeyKind(kind), Intermediate: true})
		r.p.Scheme = scheme
		r.wantConnected()
		if chains := r.m.ConnectionState().VerifiedChains; len(chains) != 1 || len(chains[0]) != 3 {
			t.Errorf("%v: verified chains %v", scheme, chains)
		}
	}
	insecure := func(c *Config) { c.InsecureSkipVerify, c.ServerName = true, "" }
	r := newClientRig(t, insecure)
	r.p.Certificate = tlstest.Certificate(tlstest.Leaf{UnknownCA: true, Names: []string{"example.com"}})
	r.wantConnected()
	fails(t, ReasonBadSignature, AlertDecryptError, clientAt(StateWaitCertificateVerify, func(r *rig) {
		r.p.OnCertificateVerify = func(m *wire.CertificateVerify) { m.Signature[9] ^= 1 }
		r.p.Send(r.p.CertificateVerify())
	}, insecure))
}

// "If the CertificateVerify message is sent by a server, the signature algorithm
// MUST be one offered in the client's "signature_algorithms" extension unless no
// valid certificate chain can be produced without unsupported algorithms"
//
// "In addition, the signature algorithm MUST be compatible with the key in the
// sender's end-entity certificate."
//
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.4.3)
func TestSignatureScheme(t *testing.T) {
	scheme := func(kind tlstest.KeyKind, id tls.SignatureScheme, change ...func(*Config)) scenario {
		return scenario{name: id.String(), state: StateWaitCertificateVerify, run: func(t *testing.T) *rig {
			r := newClientRig(t, change...)
			r.p.Certificate = tlstest.Certificate(tlstest.Leaf{Key: kind})
			r.bring(StateWaitCertificateVerify)
			r.p.Scheme = id
			if kind == tlstest.Ed25519 && id != tls.Ed25519 || kind != tlstest.Ed25519 && id == tls.Ed25519 {
				r.p.Scheme = tls.Ed25519 // what the key can sign with at all
				if kind != tlstest.Ed25519 {
					r.p.Scheme = tls.ECDSAWithP256AndSHA256
				}
				r.p.OnCertificateVerify = func(m *wire.CertificateVerify) { m.Algorithm = wire.SignatureScheme(id) }
			}
			r.send(r.p.CertificateVerify())
			return r
		}}
	}
	fails(t, ReasonSignatureScheme, AlertIllegalParameter,
		scheme(tlstest.RSA2048, tls.PKCS1WithSHA256),
		scheme(tlstest.RSA2048, tls.PKCS1WithSHA512),
		scheme(tlstest.RSA2048, tls.PKCS1WithSHA1),
		scheme(tlstest.RSA2048, 0x0809), // rsa_pss_pss_sha256, for another kind of key
		scheme(tlstest.RSA2048, tls.ECDSAWithP256AndSHA256),
		scheme(tlstest.ECDSAP256, tls.ECDSAWithP384AndSHA384), // another curve
		scheme(tlstest.ECDSAP384, tls.ECDSAWithP256AndSHA256),
		scheme(tlstest.ECDSAP521, tls.ECDSAWithP384AndSHA384),
		scheme(tlstest.ECDSAP256, tls.ECDSAWithSHA1),
		scheme(tlstest.ECDSAP256, tls.Ed25519),
		scheme(tlstest.Ed25519, tls.ECDSAWithP256AndSHA256),
		scheme(tlstest.ECDSAP256, 0x0a0a),
		scheme(tlstest.ECDSAP256, tls.ECDSAWithP256AndSHA256, func(c *Config) { // not offered
			c.SignatureSchemes = []tls.SignatureScheme{tls.Ed25519, tls.ECDSAWithP384AndSHA384}
		}),
	)
}

// "If the verification fails, the receiver MUST terminate the handshake with a
// "decrypt_error" alert." (https://www.rfc-editor.org/rfc/rfc8446#section-4.4.3)
func TestBadSignature(t *testing.T) {
	for kind, scheme := range []tls.SignatureScheme{
		tlstest.ECDSAP256: tls.ECDSAWithP256AndSHA256,
		tlstest.ECDSAP384: tls.ECDSAWithP384AndSHA384,
		tlstest.ECDSAP521: tls.ECDSAWithP521AndSHA512,
		tlstest.Ed25519:   tls.Ed25519,
		tlstest.RSA2048:   tls.PSSWithSHA384,
	} {
		for _, spoil := range []func(*tlstest.Peer){
			func(p *tlstest.Peer) {
				p.OnCertificateVerify = func(m *wire.CertificateVerify) { m.Signature[len(m.Signature)-1] ^= 1 }
			},
			func(p *tlstest.Peer) {
				p.OnCertificateVerify = func(m *wire.CertificateVerify) { m.Signature = m.Signature[:len(m.Signature)-1] }
			},
			func(p *tlstest.Peer) { p.OnCertificateVerify = func(m *wire.CertificateVerify) { m.Signature = nil } },
			func(p *tlstest.Peer) { p.Hash([]byte{0}) }, // of another transcript
		} {
			r := newClientRig(t)
			r.p.Certificate = tlstest.Certificate(tlstest.Leaf{Key: tlstest.KeyKind(kind)})
			r.p.Scheme = scheme
			r.bring(StateWaitCertificateVerify)
			spoil(r.p)
			r.send(r.p.CertificateVerify())
			r.wantAlert(ReasonBadSignature, AlertDecryptError)
		}
	}
}

// "Recipients of Finished messages MUST verify that the contents are correct and
// if incorrect MUST terminate the connection with a "decrypt_error" alert."
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.4.4)
func TestBadFinished(t *testing.T) {
	hooks := []func(*wire.Finished){
		func(m *wire.Finished) { m.VerifyData = nil },
		func(m *wire.Finished) { m.VerifyData = m.VerifyData[:16] },
		func(m *wire.Finished) { m.VerifyData = m.VerifyData[1:] },
		func(m *wire.Finished) { m.VerifyData = append(m.VerifyData, 0) },
		func(m *wire.Finished) { clear(m.VerifyData) },
	}
	for bit := range 32 * 8 {
		if bit%29 == 0 {
			hooks = append(hooks, func(m *wire.Finished) { m.VerifyData[bit/8] ^= 1 << (bit % 8) })
		}
	}
	for _, hook := range hooks {
		fails(t, ReasonBadFinished, AlertDecryptError,
			clientAt(StateWaitServerFinished, badFinished(hook)),
			serverAt(StateWaitClientFinished, badFinished(hook)))
	}
}

// "Servers MUST NOT send this message, and clients receiving it MUST terminate
// the connection with an "unexpected_message" alert."
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.5)
func TestEndOfEarlyDataToClient(t *testing.T) {
	eoed := func(r *rig) { r.p.Send(tlstest.Message(wire.TypeEndOfEarlyData)) }
	fails(t, ReasonUnexpectedMessage, AlertUnexpectedMessage,
		clientAt(StateWaitServerFinished, eoed), clientAt(StateConnected, eoed))
}

// "Clients MUST ignore unrecognized extensions."
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.6.1)
func TestNewSessionTicket(t *testing.T) {
	r := newClientRig(t).bring(StateConnected)
	ticket := wire.NewSessionTicket{Ticket: []byte("ticket"), Extensions: []wire.Extension{{Type: 0x1a1a, Data: []byte{9}}}}
	for range maxSessionTickets {
		r.send(ticket.Append(nil))
	}
	r.wantState(StateConnected)
	withData(r) // begins a new count
	for range maxSessionTickets {
		r.p.Send(ticket.Append(nil))
	}
	r.run()
	r.wantConnected()
	// Each strict prefix of one is malformed.
	whole := r.p.NewSessionTicket()[wire.HeaderLen:]
	for n := range whole {
		fails(t, ReasonMalformedMessage, AlertDecodeError, clientAt(StateConnected, func(r *rig) {
			r.p.Send(tlstest.Message(wire.TypeNewSessionTicket, whole[:n]...))
		}))
	}
	// A server takes none.
	fails(t, ReasonUnexpectedMessage, AlertUnexpectedMessage, serverAt(StateConnected, withTicket))
}

// "A client that receives a CertificateRequest message without having sent the
// "post_handshake_auth" extension MUST send an "unexpected_message" fatal alert."
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.6.2)
func TestPostHandshakeAuthentication(t *testing.T) {
	fails(t, ReasonUnexpectedMessage, AlertUnexpectedMessage,
		clientAt(StateConnected, func(r *rig) { r.p.Send(r.p.CertificateRequest()) }))
}

// "Implementations that receive a KeyUpdate message prior to receiving a Finished
// message MUST terminate the connection with an "unexpected_message" alert."
//
// "If an implementation receives any other value, it MUST terminate the
// connection with an "illegal_parameter" alert."
//
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.6.3)
func TestKeyUpdateErrors(t *testing.T) {
	fails(t, ReasonUnexpectedMessage, AlertUnexpectedMessage,
		clientAt(StateWaitServerFinished, withKeyUpdate), serverAt(StateWaitClientFinished, withKeyUpdate))
	for _, request := range []byte{2, 128, 255} {
		fails(t, ReasonBadKeyUpdate, AlertIllegalParameter,
			connectedRoles(func(r *rig) { r.p.Send(r.p.KeyUpdate(request)) })...)
	}
}

// A flood of KeyUpdates: 32 pass, and with data between any number.
func TestKeyUpdateFlood(t *testing.T) {
	for _, newRig := range []func(*testing.T, ...func(*Config)) *rig{newClientRig, newServerRig} {
		for request := range byte(2) {
			r := newRig(t).bring(StateConnected)
			for range 3 {
				for range maxKeyUpdates {
					r.send(r.p.KeyUpdate(request))
				}
				withData(r)
				r.run()
			}
			r.wantState(StateConnected)
			// The first request was answered, the others await application data.
			answers := 0
			for _, item := range r.p.Got {
				if item.Type == record.TypeHandshake && wire.HandshakeType(item.Body[0]) == wire.TypeKeyUpdate {
					answers++
				}
			}
			if answers != int(request) {
				t.Errorf("%d answers to %d requests", answers, request*maxKeyUpdates)
			}
			r.wantConnected()
			for range maxKeyUpdates {
				r.send(r.p.KeyUpdate(request))
			}
			r.wantState(StateConnected)
			r.send(r.p.KeyUpdate(request))
			r.wantAlert(ReasonTooManyKeyUpdates, AlertUnexpectedMessage)
		}
	}
}

// "An implementation which receives any other change_cipher_spec value or which
// receives a protected change_cipher_spec record MUST abort the handshake with an
// "unexpected_message" alert."
//
// "If an implementation detects a change_cipher_spec record received before the
// first ClientHello message or after the peer's Finished message, it MUST be
// treated as an unexpected record type"
//
// (https://www.rfc-editor.org/rfc/rfc8446#section-5)
func TestChangeCipherSpec(t *testing.T) {
	states := []scenario{
		clientAt(StateWaitServerHello, nothing), clientAt(StateWaitServerHelloRetry, nothing),
		clientAt(StateWaitEncryptedExtensions, nothing), clientAt(StateWaitCertificateOrRequest, nothing),
		clientAt(StateWaitCertificate, nothing), clientAt(StateWaitCertificateVerify, nothing),
		clientAt(StateWaitServerFinished, nothing),
		serverAt(StateWaitClientHelloRetry, nothing), serverAt(StateWaitClientFinished, nothing),
	}
	for _, s := range states {
		r := s.run(t)
		for range maxChangeCipherSpecs {
			r.p.SendCCS()
		}
		r.run()
		r.wantState(s.state)
		r.p.Shares = nil
		r.wantConnected()
		for _, b := range []string{
			"\x14\x03\x03\x00\x01\x00", "\x14\x03\x03\x00\x01\x02", "\x14\x03\x03\x00\x02\x01\x01", "\x14\x03\x03\x00\x00",
			"\x14\x03\x03\x40\x01", "\x14\x03\x03\x00\x03",
		} {
			r := s.run(t)
			r.step([]byte(b))
			r.wantAlert(ReasonBadChangeCipherSpec, AlertUnexpectedMessage)
		}
	}
	fails(t, ReasonUnexpectedRecord, AlertUnexpectedMessage,
		serverAt(StateWaitClientHello, sendCCS), acceptorAt(StateWaitClientHello, sendCCS),
		serverAt(StateConnected, sendCCS), clientAt(StateConnected, sendCCS))
	fails(t, ReasonUnexpectedRecord, AlertUnexpectedMessage,
		keyed(func(r *rig) { r.p.SendRecord(record.TypeChangeCipherSpec, []byte{1}) })...)
}

// "If a TLS implementation receives an unexpected record type, it MUST terminate
// the connection with an "unexpected_message" alert."
// (https://www.rfc-editor.org/rfc/rfc8446#section-5)
func TestRecordTypes(t *testing.T) {
	for _, typ := range []record.ContentType{1, 19, 24, 25, 128, 255} {
		fails(t, ReasonUnexpectedRecord, AlertUnexpectedMessage, keyed(func(r *rig) { r.p.SendPlain(typ, []byte{1}) })...)
		fails(t, ReasonUnexpectedRecord, AlertUnexpectedMessage, keyed(func(r *rig) { r.p.SendRecord(typ, []byte{1}) })...)
	}
	// In the clear where records are protected.
	fails(t, ReasonUnexpectedRecord, AlertUnexpectedMessage, keyed(func(r *rig) {
		r.p.SendPlain(record.TypeHandshake, r.p.Finished())
	})...)
}

// An alert in the clear is taken only by a server that does not know yet whether
// the client has keys.
func TestPlaintextAlert(t *testing.T) {
	alert := func(r *rig) { r.p.SendPlain(record.TypeAlert, []byte{2, byte(AlertDecodeError)}) }
	fails(t, ReasonUnexpectedRecord, AlertUnexpectedMessage,
		clientAt(StateWaitEncryptedExtensions, alert), clientAt(StateWaitServerFinished, alert),
		clientAt(StateConnected, alert), serverAt(StateConnected, alert))
	r := newServerRig(t).bring(StateWaitClientFinished)
	alert(r)
	r.run()
	r.wantRemoteAlert(AlertDecodeError)
	// Not any more behind a protected record.
	fails(t, ReasonUnexpectedRecord, AlertUnexpectedMessage, serverAt(StateWaitClientFinished, func(r *rig) {
		r.p.SendRecord(record.TypeHandshake, r.p.Finished()[:9])
		alert(r)
	}))
}

// "Handshake messages MUST NOT be interleaved with other record types. That is,
// if a handshake message is split over two or more records, there MUST NOT be any
// other records between them."
// (https://www.rfc-editor.org/rfc/rfc8446#section-5.1)
func TestInterleavedRecords(t *testing.T) {
	for name, between := range map[string]func(*rig){
		"CCS": sendCCS, "user_canceled": sendUserCanceled,
	} {
		t.Run(name, func(t *testing.T) {
			for n := 1; n < 8; n++ {
				r := newServerRig(t)
				hello := r.p.ClientHello()
				r.p.SendRecord(record.TypeHandshake, hello[:n])
				between(r)
				r.p.SendRecord(record.TypeHandshake, hello[n:])
				r.run()
				r.wantAlert(ReasonInterleavedHandshake, AlertUnexpectedMessage)
			}
		})
	}
	fails(t, ReasonInterleavedHandshake, AlertUnexpectedMessage,
		connectedRoles(interleaved(func(p *tlstest.Peer) []byte { return p.KeyUpdate(0) }, withData))...)
}

// "Implementations MUST verify that all messages immediately preceding a key
// change align with a record boundary; if not, then they MUST terminate the
// connection with an "unexpected_message" alert."
// (https://www.rfc-editor.org/rfc/rfc8446#section-5.1)
func TestKeyChangeAlignment(t *testing.T) {
	for _, test := range []struct {
		name     string
		scenario func(do func(*rig)) scenario
		build    func(*tlstest.Peer) []byte
	}{
		{"ServerHello", at(clientAt, StateWaitServerHello), (*tlstest.Peer).ServerHello},
		{"HelloRetryRequest", at(clientAt, StateWaitServerHello), func(p *tlstest.Peer) []byte {
			p.Group = wire.GroupP521
			return p.HelloRetryRequest()
		}},
		{"ServerHello after retry", at(clientAt, StateWaitServerHelloRetry), (*tlstest.Peer).ServerHello},
		{"server Finished", at(clientAt, StateWaitServerFinished), (*tlstest.Peer).Finished},
		{"KeyUpdate to client", at(clientAt, StateConnected), func(p *tlstest.Peer) []byte { return p.KeyUpdate(0) }},
		{"ClientHello", at(serverAt, StateWaitClientHello), (*tlstest.Peer).ClientHello},
		{"ClientHello to acceptor", at(acceptorAt, StateWaitClientHello), (*tlstest.Peer).ClientHello},
		{"second ClientHello", at(serverAt, StateWaitClientHelloRetry), clientHelloOf},
		{"client Finished", at(serverAt, StateWaitClientFinished), (*tlstest.Peer).Finished},
		{"KeyUpdate to server", at(serverAt, StateConnected), func(p *tlstest.Peer) []byte { return p.KeyUpdate(1) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, tail := range [][]byte{
				{8},                             // the first byte of a message
				{8, 0, 0},                       // part of its header
				{8, 0, 0, 2, 0},                 // and part of its body
				{8, 0, 0, 2, 0, 0},              // the whole of one
				{0, 0, 0, 0},                    // an unknown one
				tlstest.Message(24, 0),          // another KeyUpdate
				make([]byte, 4000),              // many
				bytes.Repeat([]byte{255}, 4000), // nonsense
			} {
				// In the same record.
				fails(t, ReasonKeyChangeAlignment, AlertUnexpectedMessage, test.scenario(func(r *rig) {
					msg := test.build(r.p)
					r.p.SendRecord(record.TypeHandshake, append(msg, tail...))
				}))
				// In the last record of several.
				fails(t, ReasonKeyChangeAlignment, AlertUnexpectedMessage, test.scenario(func(r *rig) {
					msg := test.build(r.p)
					r.p.SendRecord(record.TypeHandshake, msg[:3])
					r.p.SendRecord(record.TypeHandshake, append(msg[3:], tail...))
				}))
			}
		})
	}
}

// at fixes the state of a kind of scenario.
func at(kind func(State, func(*rig), ...func(*Config)) scenario, s State) func(func(*rig)) scenario {
	return func(do func(*rig)) scenario { return kind(s, do) }
}

// Half of a message under the old key, half under the new one: the first half is
// what stands behind the message that changes it.
func TestMessageAcrossKeyChange(t *testing.T) {
	r := newClientRig(t).bring(StateWaitServerHello)
	hello, ee := r.p.ServerHello(), r.p.EncryptedExtensions()
	r.p.Hash(hello)
	r.p.SendRecord(record.TypeHandshake, append(slices.Clone(hello), ee[:2]...))
	r.p.Advance(hello)
	r.p.SendRecord(record.TypeHandshake, ee[2:])
	ev, n := r.step(r.p.Take())
	r.wantAlert(ReasonKeyChangeAlignment, AlertUnexpectedMessage)
	if ev.Kind != EventFailed || n != record.HeaderLen+len(hello)+2 {
		t.Errorf("%v after %d bytes", ev, n)
	}
}

// "Implementations MUST NOT send zero-length fragments of Handshake types, even
// if those fragments contain padding."
// (https://www.rfc-editor.org/rfc/rfc8446#section-5.1)
//
// "if such a message is received, the receiving implementation MUST terminate the
// connection with an "unexpected_message" alert."
// (https://www.rfc-editor.org/rfc/rfc8446#section-5.4)
func TestZeroLengthFragments(t *testing.T) {
	empty := func(r *rig) { r.p.SendRecord(record.TypeHandshake, nil) }
	fails(t, ReasonEmptyRecord, AlertUnexpectedMessage, everywhere(empty)...)
	fails(t, ReasonEmptyRecord, AlertUnexpectedMessage,
		everywhere(func(r *rig) { r.p.SendRecord(record.TypeAlert, nil) })...)
	fails(t, ReasonEmptyRecord, AlertUnexpectedMessage,
		keyed(func(r *rig) { r.p.SendSealed(append([]byte{22}, make([]byte, 100)...)) })...)
	// Between two fragments, too.
	fails(t, ReasonEmptyRecord, AlertUnexpectedMessage, serverAt(StateWaitClientHello, func(r *rig) {
		r.p.SendRecord(record.TypeHandshake, r.p.ClientHello()[:9])
		empty(r)
	}))
}

// "Alert messages (Section 6) MUST NOT be fragmented across records, and multiple
// alert messages MUST NOT be coalesced into a single TLSPlaintext record. In
// other words, a record with an Alert type MUST contain exactly one message."
// (https://www.rfc-editor.org/rfc/rfc8446#section-5.1)
func TestAlertRecords(t *testing.T) {
	for _, body := range [][]byte{{1}, {2}, {1, 0, 1}, {1, 0, 1, 0}, {2, 40, 0, 0, 0}} {
		fails(t, ReasonBadAlert, AlertDecodeError, everywhere(func(r *rig) { r.p.SendRecord(record.TypeAlert, body) })...)
	}
}

// "The length MUST NOT exceed 2^14 bytes. An endpoint that receives a record that
// exceeds this length MUST terminate the connection with a "record_overflow"
// alert." (https://www.rfc-editor.org/rfc/rfc8446#section-5.1)
//
// "The length MUST NOT exceed 2^14 + 256 bytes. An endpoint that receives a record
// that exceeds this length MUST terminate the connection with a "record_overflow"
// alert." (https://www.rfc-editor.org/rfc/rfc8446#section-5.2)
//
// "the full encoded TLSInnerPlaintext MUST NOT exceed 2^14 + 1 octets."
// (https://www.rfc-editor.org/rfc/rfc8446#section-5.4)
func TestRecordLengths(t *testing.T) {
	fails(t, ReasonRecordOverflow, AlertRecordOverflow, slices.Concat(
		first("\x16\x03\x01\x40\x01"), first("\x16\x03\x01\xff\xff"), first("\x15\x03\x01\x40\x01"),
		keyed(raw("\x17\x03\x03\x41\x01")), keyed(raw("\x17\x03\x03\xff\xff")),
		// A plaintext one too long by one, of content or of padding.
		keyed(func(r *rig) { r.p.SendSealed(append(bytes.Repeat([]byte{1}, 1<<14+1), 23)) }),
		keyed(func(r *rig) { r.p.SendSealed(append([]byte{1, 23}, make([]byte, 1<<14)...)) }),
		keyed(func(r *rig) { r.p.SendSealed(make([]byte, 1<<14+256-16)) }),
	)...)
	// As long as it may be: a header alone is no error, and the rest is.
	fails(t, ReasonBadRecordMAC, AlertBadRecordMAC,
		keyed(func(r *rig) { r.p.SendPlain(record.TypeApplicationData, make([]byte, 1<<14+256)) })...)
	for _, newRig := range []func(*testing.T, ...func(*Config)) *rig{newClientRig, newServerRig} {
		r := newRig(t).bring(StateConnected)
		r.step([]byte("\x17\x03\x03\x41\x00"))
		r.wantState(StateConnected)
		full := bytes.Repeat([]byte{5}, 1<<14)
		r.p.SendSealed(append(full, 23))
		r.run()
		if !bytes.Equal(r.data, full) {
			t.Errorf("received %d bytes", len(r.data))
		}
		r.data = nil
		r.p.SendSealed(append([]byte{5, 23}, make([]byte, 1<<14-1)...))
		r.run()
		if !bytes.Equal(r.data, []byte{5}) {
			t.Errorf("received %d bytes", len(r.data))
		}
		r.wantConnected()
	}
}

// "If the decryption fails, the receiver MUST terminate the connection with a
// "bad_record_mac" alert." (https://www.rfc-editor.org/rfc/rfc8446#section-5.2)
func TestBadMAC(t *testing.T) {
	for _, at := range []int{5, 6, 12, -1, -16} {
		fails(t, ReasonBadRecordMAC, AlertBadRecordMAC, keyed(func(r *rig) {
			r.p.SendRecord(record.TypeHandshake, r.p.Finished())
			b := r.p.Take()
			b[(at+len(b))%len(b)] ^= 1
			r.p.SendRaw(b)
		})...)
	}
	for n := range record.TagLen + 1 {
		fails(t, ReasonBadRecordMAC, AlertBadRecordMAC,
			keyed(func(r *rig) { r.p.SendPlain(record.TypeApplicationData, make([]byte, n)) })...)
	}
	// A record twice, and one left out.
	fails(t, ReasonBadRecordMAC, AlertBadRecordMAC, connectedRoles(func(r *rig) {
		withData(r)
		b := r.p.Take()
		r.p.SendRaw(append(b, b...))
	})...)
	fails(t, ReasonBadRecordMAC, AlertBadRecordMAC, connectedRoles(func(r *rig) {
		withData(r)
		r.p.Take()
		withData(r)
	})...)
}

// "If a receiving implementation does not find a non-zero octet in the cleartext,
// it MUST terminate the connection with an "unexpected_message" alert."
// (https://www.rfc-editor.org/rfc/rfc8446#section-5.4)
func TestOnlyPadding(t *testing.T) {
	for _, n := range []int{0, 1, 7, 8, 9, 1 << 14, 1<<14 + 1} {
		fails(t, ReasonNoContentType, AlertUnexpectedMessage, keyed(func(r *rig) { r.p.SendSealed(make([]byte, n)) })...)
	}
}

// Padding is accepted everywhere, and is not data.
func TestPadding(t *testing.T) {
	r := newServerRig(t).bring(StateWaitClientFinished)
	fin := r.p.Finished()
	r.p.Hash(fin)
	r.p.SendSealed(append(append(slices.Clone(fin), byte(record.TypeHandshake)), make([]byte, 1000)...))
	r.p.Advance(fin)
	r.run()
	r.wantState(StateConnected)
	for n := range 40 {
		r.data = nil
		r.p.SendSealed(append([]byte{0, 1, 0, 23}, make([]byte, n)...))
		r.run()
		if !bytes.Equal(r.data, []byte{0, 1, 0}) {
			t.Fatalf("received %x with %d bytes of padding", r.data, n)
		}
	}
	r.p.SendSealed(append([]byte{1, 0, 21}, make([]byte, 30)...))
	if ev := r.run(); ev.Kind != EventClosed || ev.Truncated {
		t.Errorf("padded close_notify: %v", ev)
	}
}

// Floods of what carries nothing: as many as are dropped, and one more.
func TestFloods(t *testing.T) {
	for _, newRig := range []func(*testing.T, ...func(*Config)) *rig{newClientRig, newServerRig} {
		r := newRig(t).bring(StateConnected)
		for range 3 {
			repeat(maxEmptyRecords, withoutData)(r)
			repeat(maxWarnings, sendUserCanceled)(r)
			withData(r)
		}
		r.run()
		r.wantState(StateConnected)
		r.wantConnected()
	}
	fails(t, ReasonTooManyWarnings, AlertUnexpectedMessage, everywhere(repeat(maxWarnings+1, sendUserCanceled))...)
	fails(t, ReasonTooManyEmptyRecords, AlertUnexpectedMessage, connectedRoles(repeat(maxEmptyRecords+1, withoutData))...)
	// Warnings before the version is known, then a handshake.
	r := newServerRig(t)
	repeat(maxWarnings, func(r *rig) { r.p.SendAlert(1, byte(AlertUnrecognizedName)) })(r)
	r.wantConnected()
	r = newClientRig(t).bring(StateWaitServerHello)
	repeat(maxWarnings, func(r *rig) { r.p.SendAlert(1, byte(AlertUnrecognizedName)) })(r)
	r.wantConnected()
}

// "All the alerts listed in Section 6.2 MUST be sent with AlertLevel=fatal and
// MUST be treated as error alerts when received regardless of the AlertLevel in
// the message. Unknown Alert types MUST be treated as error alerts."
// (https://www.rfc-editor.org/rfc/rfc8446#section-6)
func TestErrorAlerts(t *testing.T) {
	for _, newRig := range []func(*testing.T, ...func(*Config)) *rig{newClientRig, newServerRig} {
		for a := range 256 {
			if a == int(AlertCloseNotify) || a == int(AlertUserCanceled) {
				continue
			}
			for _, level := range []byte{0, 1, 2, 255} {
				if a%16 != 0 && level != 1 {
					continue
				}
				r := newRig(t).bring(StateConnected)
				r.p.SendAlert(level, byte(a))
				r.run()
				r.wantRemoteAlert(Alert(a))
				checkWiped(t, r.m)
				checkFinal(t, r)
				if testing.Short() {
					break
				}
			}
			if testing.Short() && a > 20 {
				break
			}
		}
	}
}

// A close_notify inside the handshake ends it, without an answer.
func TestCloseNotifyInHandshake(t *testing.T) {
	for _, s := range everywhere(func(r *rig) { r.p.SendAlert(1, 0) }) {
		r := s.run(t)
		if s.state == StateConnected {
			r.wantState(StateClosed)
			continue
		}
		r.wantRemoteAlert(AlertCloseNotify)
		checkFinal(t, r)
	}
}

// "Any data received after a closure alert has been received MUST be ignored."
//
// "Each party MUST send a "close_notify" alert before closing its write side of
// the connection, unless it has already sent some error alert. This does not have
// any effect on its read side of the connection."
//
// (https://www.rfc-editor.org/rfc/rfc8446#section-6.1)
func TestClose(t *testing.T) {
	for _, newRig := range []func(*testing.T, ...func(*Config)) *rig{newClientRig, newServerRig} {
		r := newRig(t).bring(StateConnected)
		r.p.SendAlert(1, 0)
		closeNotify := len(r.p.Take())
		r = newRig(t).bring(StateConnected)
		r.p.SendAlert(1, 0)
		withData(r)
		r.p.SendRaw([]byte("anything"))
		ev, n := r.step(r.p.Take())
		if ev.Kind != EventClosed || ev.Truncated || n != closeNotify {
			t.Errorf("%v after %d bytes, want Closed after %d", ev, n, closeNotify)
		}
		r.m.EOF()
		if ev, _ := r.step(nil); ev.Kind != EventClosed || ev.Truncated {
			t.Errorf("after EOF: %v", ev)
		}
		if n, err := r.m.Write([]byte("still here")); n != 10 || err != nil {
			t.Errorf("Write: %d, %v", n, err)
		}
		r.read()
		if got := string(r.p.Last().Body); got != "still here" {
			t.Errorf("the peer got %q", got)
		}
		r.m.CloseWrite()
		r.m.CloseWrite()
		r.read()
		if alerts := r.p.Alerts(); !slices.Equal(alerts, [][2]byte{{1, 0}}) {
			t.Errorf("alerts %v", alerts)
		}
		if _, err := r.m.Write([]byte("more")); err != ErrWriteClosed {
			t.Errorf("Write: %v", err)
		}
		if r.m.Err() != nil {
			t.Error(r.m.Err())
		}

		// The other way round: reading goes on behind our close_notify, a failure
		// adds no alert to it, and requests for KeyUpdates are not answered.
		r = newRig(t).bring(StateConnected)
		r.m.CloseWrite()
		withData(r)
		r.p.Send(r.p.KeyUpdate(1))
		withData(r)
		r.run()
		r.wantState(StateConnected)
		if string(r.data) != "datadata" {
			t.Errorf("received %q", r.data)
		}
		withGarbage(r)
		r.run()
		if r.m.State() != StateFailed || reasonOf(r.m.Err()) != ReasonBadRecordMAC {
			t.Errorf("%v, %v", r.m.State(), r.m.Err())
		}
		if alerts := r.p.Alerts(); !slices.Equal(alerts, [][2]byte{{1, 0}}) || r.p.Last().Type != record.TypeAlert {
			t.Errorf("alerts %v, last %v", alerts, r.p.Last())
		}
	}
}

// A transport that ends without close_notify is told apart, and does not keep
// this side from writing.
func TestTruncation(t *testing.T) {
	for _, newRig := range []func(*testing.T, ...func(*Config)) *rig{newClientRig, newServerRig} {
		for _, tail := range []string{"", "\x17", "\x17\x03\x03\x00\x20half a record"} {
			r := newRig(t).bring(StateConnected)
			withData(r)
			r.p.SendRaw([]byte(tail))
			b := r.p.Take()
			r.m.EOF()
			ev, n := r.step(b)
			if ev.Kind != EventClosed || !ev.Truncated || n != len(b)-len(tail) || string(r.data) != "data" {
				t.Errorf("%v, %d of %d bytes, data %q", ev, n, len(b), r.data)
			}
			if n, err := r.m.Write([]byte("data")); n != 4 || err != nil {
				t.Errorf("Write: %d, %v", n, err)
			}
		}
	}
}

// "Peers which receive a message which cannot be parsed according to the syntax
// (e.g., have a length extending beyond the message boundary or contain an
// out-of-range length) MUST terminate the connection with a "decode_error" alert."
// (https://www.rfc-editor.org/rfc/rfc8446#section-6)
func TestTruncatedClientHello(t *testing.T) {
	whole := tlstest.NewPeer(false).ClientHello()[wire.HeaderLen:]
	for n := range whole {
		r := newServerRig(t)
		r.p.SendRecord(record.TypeHandshake, tlstest.Message(wire.TypeClientHello, whole[:n]...))
		r.run()
		// Without its block of extensions it is a hello of an older version.
		if r.m.State() == StateFailed && reasonOf(r.m.Err()) == ReasonUnsupportedVersion && n == 2+32+33+4+2 {
			continue
		}
		r.wantAlert(ReasonMalformedMessage, AlertDecodeError)
	}
}

// A ClientHello in records of one byte, of two, … and in one, given whole and
// byte by byte.
func TestFragmentedClientHello(t *testing.T) {
	for _, size := range []int{1, 2, 3, 4, 5, 100, 1 << 14} {
		for _, bytewise := range []bool{false, true} {
			r := newServerRig(t)
			r.p.SendPieces(r.p.ClientHello(), size)
			b := r.p.Take()
			if bytewise {
				for kept := []byte(nil); len(b) > 0; b = b[1:] {
					kept = append(kept, b[0])
					_, n := r.step(kept)
					kept = kept[n:]
				}
			} else {
				r.step(b)
			}
			r.wantConnected()
		}
	}
}

// The limits on messages, to the byte.
func TestClientHelloLimit(t *testing.T) {
	// padded sends a ClientHello whose records are size bytes together.
	padded := func(p *tlstest.Peer, size int) {
		records := 1
		for {
			body := size - records*record.HeaderLen
			if (body+record.MaxPlaintext-1)/record.MaxPlaintext <= records {
				break
			}
			records++
		}
		p.OnClientHello = nil
		plain := len(p.ClientHello())
		// The header of the extension, and what is missing.
		pad := size - records*record.HeaderLen - plain - 4
		p.OnClientHello = func(m *wire.ClientHello) {
			m.Extensions = append(m.Extensions, wire.Extension{Type: wire.ExtPadding, Data: make([]byte, pad)})
		}
		p.Send(p.ClientHello())
	}
	for _, limit := range []int{0, 1000, 20000, 40000} {
		set := func(c *Config) { c.Limits.ClientHello = limit }
		max := limit
		if max == 0 {
			max = 64 << 10
		}
		for _, over := range []int{-1, 0, 1} {
			t.Run(strconv.Itoa(max+over), func(t *testing.T) {
				r := newServerRig(t, set)
				padded(r.p, max+over)
				if got := len(r.p.Take()); got != max+over {
					t.Fatalf("the ClientHello is %d bytes", got)
				}
				r = newServerRig(t, set)
				padded(r.p, max+over)
				r.run()
				if over > 0 {
					r.wantAlert(ReasonClientHelloTooLarge, AlertIllegalParameter)
					return
				}
				r.wantState(StateWaitClientFinished)
				r.wantConnected()
			})
		}
	}
	// Records of one byte reach the limit with a sixth of it.
	r := newServerRig(t, func(c *Config) { c.Limits.ClientHello = 600 })
	r.p.SendPieces(r.p.ClientHello(), 1)
	r.run()
	r.wantAlert(ReasonClientHelloTooLarge, AlertIllegalParameter)
}

func TestHandshakeMessageLimit(t *testing.T) {
	for _, over := range []int{-1, 0, 1} {
		r := newClientRig(t).bring(StateWaitCertificateOrRequest)
		var cert wire.Certificate
		for _, der := range r.p.Certificate.Certificate {
			cert.Entries = append(cert.Entries, wire.CertificateEntry{Data: der})
		}
		// A further certificate that is in the way of nothing: the leaf again,
		// many times, and an extension that makes up the length.
		for {
			entry := wire.CertificateEntry{Data: cert.Entries[0].Data}
			if len(cert.Append(nil))+len(entry.Data)+5 > defaultHandshakeMessage-1000 {
				break
			}
			cert.Entries = append(cert.Entries, entry)
		}
		missing := defaultHandshakeMessage + over - len(cert.Append(nil)) - 5
		cert.Entries = append(cert.Entries, wire.CertificateEntry{Data: make([]byte, missing)})
		msg := cert.Append(nil)
		if len(msg) != defaultHandshakeMessage+over {
			t.Fatalf("message of %d bytes", len(msg))
		}
		r.send(msg)
		if over > 0 {
			r.wantAlert(ReasonMessageTooLarge, AlertIllegalParameter)
		} else {
			r.wantAlert(ReasonBadCertificate, AlertBadCertificate) // the last one is no DER
		}
	}
}

// RSA keys that are too small for a scheme, and too large to be taken seriously.
func TestRSAKeySizes(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	r := newClientRig(t)
	r.p.Certificate = tlstest.CertificateFor(small.Public())
	r.bring(StateWaitCertificateVerify)
	verify := wire.CertificateVerify{Algorithm: wire.RSAPSSRSAESHA512, Signature: make([]byte, 128)}
	r.send(verify.Append(nil))
	r.wantAlert(ReasonSignatureScheme, AlertIllegalParameter)

	large := &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(3), maxRSABits), E: 65537}
	large.N.SetBit(large.N, 0, 1)
	fails(t, ReasonUnsupportedCertificate, AlertUnsupportedCertificate, unsupportedKey(large))
}
