package fuzz

import (
	"bytes"
	"crypto/ecdh"
	"crypto/tls"
	"slices"
	"strings"

	"tlscore.example/tlscore"
	"tlscore.example/tlscore/internal/wire"
)

// The reasons for which the two implementations may differ, each with the rule
// that speaks for us, or says that both are allowed. TestListedReasons fails for
// one that no seed needs any more.

// codecReasons are those of a message that does not get past our codec.
var codecReasons = []tlscore.Reason{
	tlscore.ReasonMalformedMessage, tlscore.ReasonDuplicateExtension,
	tlscore.ReasonMisplacedExtension, tlscore.ReasonBadPreSharedKey,
}

// malformedIn reports whether our codec, and only it, refused this extension.
func malformedIn(t wire.ExtensionType) func(*difference) bool {
	return func(d *difference) bool {
		return d.weRefuse(tlscore.ReasonMalformedMessage) && strings.Contains(d.detail(), t.String())
	}
}

// missing reports whether we, and only we, refused for lack of this extension.
func missing(t wire.ExtensionType) func(*difference) bool {
	return func(d *difference) bool {
		return d.weRefuse(tlscore.ReasonMissingExtension) && strings.Contains(d.detail(), t.String())
	}
}

// refusedFor reports whether we, and only we, refused for this reason.
func refusedFor(r tlscore.Reason) func(*difference) bool {
	return func(d *difference) bool { return d.weRefuse(r) }
}

// hello returns the ClientHello that was judged last.
func (d *difference) hello() *wire.ClientHello {
	if d.second != nil && (d.ours.retried || d.theirs.retried) {
		return d.second
	}
	return d.first
}

// serverReasons are the differences between our server and that of crypto/tls.
var serverReasons = []listedReason{
	{"we refuse a legacy_version other than TLS 1.2; RFC 9846, Section 4.2.2, makes that a MUST", func(d *difference) bool {
		return d.weRefuse(tlscore.ReasonUnsupportedVersion) && strings.HasPrefix(d.detail(), "legacy_version")
	}},
	{"we want signature_algorithms; RFC 8446, Section 9.2", missing(wire.ExtSignatureAlgorithms)},
	{"we want supported_groups; RFC 8446, Section 9.2", func(d *difference) bool {
		// crypto/tls finds no common group then.
		return d.reason() == tlscore.ReasonMissingExtension && strings.Contains(d.detail(), wire.ExtSupportedGroups.String()) &&
			d.theirs.refused && d.theirs.alert == tlscore.AlertHandshakeFailure
	}},
	{"we want key_share, if only an empty one; RFC 8446, Section 9.2", missing(wire.ExtKeyShare)},
	{"we want psk_key_exchange_modes with pre_shared_key; RFC 8446, Section 4.2.9", missing(wire.ExtPSKKeyExchangeModes)},
	{"we refuse two shares of one group, as a server MAY; RFC 8446, Section 4.2.8", refusedFor(tlscore.ReasonDuplicateKeyShare)},
	{"we refuse a share of a group that is not listed, as a server MAY; RFC 8446, Section 4.2.8", refusedFor(tlscore.ReasonUnlistedKeyShare)},
	{"we refuse a server_name with bytes that no host name has; RFC 6066, Section 3", refusedFor(tlscore.ReasonBadServerName)},
	{"we compare all extensions of the two ClientHellos, crypto/tls those that it knows; RFC 8446, Section 4.1.2", refusedFor(tlscore.ReasonClientHelloChanged)},
	{"we refuse extensions that are not for a ClientHello; RFC 8446, Section 4.2", refusedFor(tlscore.ReasonMisplacedExtension)},
	{"we want as many binders as identities; RFC 8446, Section 4.2.11", refusedFor(tlscore.ReasonBadPreSharedKey)},
	{"we want binders of 32 bytes or more; RFC 8446, Section 4.2.11", malformedIn(wire.ExtPreSharedKey)},
	{"we parse server_name of other types, once each; RFC 6066, Section 3", malformedIn(wire.ExtServerName)},
	{"we parse the responders of status_request; RFC 6066, Section 8", malformedIn(wire.ExtStatusRequest)},
	{"we parse record_size_limit; RFC 8449, Section 4", malformedIn(wire.ExtRecordSizeLimit)},
	{"we parse ticket_request; RFC 9149, Section 3", malformedIn(wire.ExtTicketRequest)},
	{"we parse certificate_authorities; RFC 8446, Section 4.2.4", malformedIn(wire.ExtCertificateAuthorities)},
	{"we parse post_handshake_auth; RFC 8446, Section 4.2.6", malformedIn(wire.ExtPostHandshakeAuth)},
	{"we want a mode in psk_key_exchange_modes; RFC 8446, Section 4.2.9", malformedIn(wire.ExtPSKKeyExchangeModes)},
	{"we refuse a session id over 32 bytes; RFC 8446, Section 4.1.2", func(d *difference) bool {
		return d.weRefuse(tlscore.ReasonMalformedMessage) && strings.HasSuffix(d.detail(), "legacy_session_id")
	}},
	{"we choose protocol and signature scheme before a HelloRetryRequest, crypto/tls after it", func(d *difference) bool {
		return d.weRefuse(tlscore.ReasonNoApplicationProtocol, tlscore.ReasonNoCommonSignatureScheme) && d.theirs.retried
	}},
	{"crypto/tls lets a client with http/1.1 only pass where it has h2 only", func(d *difference) bool {
		return d.weRefuse(tlscore.ReasonNoApplicationProtocol) && d.theirs.accepted &&
			slices.Contains(d.alpn, "h2") && !slices.Contains(d.alpn, "http/1.1")
	}},
	{"crypto/tls does not pass over early data; RFC 8446, Section 4.2.10, lets a server do that", func(d *difference) bool {
		return d.theyRefuse(tlscore.AlertUnsupportedExtension) && d.hello().Has(wire.ExtEarlyData)
	}},
	{"crypto/tls refuses quic_transport_parameters outside QUIC; RFC 9001, Section 8.2, makes that a MUST of those who implement it", func(d *difference) bool {
		return d.theyRefuse(tlscore.AlertUnsupportedExtension) && d.hello().Has(wire.ExtQUICTransportParameters)
	}},
	{"crypto/tls judges renegotiation_info in TLS 1.3, where it has no meaning", func(d *difference) bool {
		return d.theyRefuse(tlscore.AlertHandshakeFailure) && len(d.hello().RenegotiationInfo) > 0
	}},
	{"crypto/tls refuses an empty name of an unknown type", func(d *difference) bool {
		return d.theyRefuse(tlscore.AlertDecodeError) && d.hello().Has(wire.ExtServerName)
	}},
	{"crypto/tls does not let a second ClientHello add a cookie that was not asked for, or drop one", func(d *difference) bool {
		return d.theyRefuse(tlscore.AlertIllegalParameter) && d.second != nil && d.first.Has(wire.ExtCookie) != d.second.Has(wire.ExtCookie)
	}},
	{"crypto/tls parses encrypted_client_hello, which we ignore: RFC 9849 is not for us", func(d *difference) bool {
		return d.theirs.refused && !d.ours.refused && d.hello().Has(wire.ExtEncryptedClientHello)
	}},
	{"the cipher suite is chosen in our order; crypto/tls looks at the processor and at the client's order", func(d *difference) bool {
		theirs := d.theirs
		theirs.suite = d.ours.suite
		return d.ours.suite != d.theirs.suite && !differ(d.ours, theirs) && slices.Contains(d.first.CipherSuites, d.theirs.suite)
	}},
	{"our codec is stricter, and comes before what crypto/tls refuses the hello for", func(d *difference) bool {
		return d.ours.refused && d.theirs.refused && slices.Contains(codecReasons, d.reason()) && d.theirs.alert != tlscore.AlertDecodeError
	}},
	{"an extension given twice is illegal_parameter, by the sense of RFC 8446, Section 6.2", func(d *difference) bool {
		return d.ours.refused && d.theirs.refused && d.theirs.alert == tlscore.AlertDecodeError &&
			slices.Contains([]tlscore.Reason{tlscore.ReasonDuplicateExtension, tlscore.ReasonMisplacedExtension, tlscore.ReasonBadPreSharedKey}, d.reason())
	}},
	{"the hello has two faults, and which is found first is nobody's business", func(d *difference) bool {
		return d.ours.refused && d.theirs.refused && !slices.Contains(codecReasons, d.reason()) && d.hasFault(d.theirs.alert)
	}},
}

// hasFault reports whether one of the hellos has, besides what we refused, a fault
// that crypto/tls answers with this alert.
func (d *difference) hasFault(a tlscore.Alert) bool {
	return d.broken || d.faultIn(d.first, a) || d.second != nil && d.faultIn(d.second, a)
}

func (d *difference) faultIn(h *wire.ClientHello, a tlscore.Alert) bool {
	overlap := func(n int, has func(int) bool) bool {
		for i := range n {
			if has(i) {
				return true
			}
		}
		return false
	}
	if h.Has(wire.ExtEncryptedClientHello) {
		return true // what can be wrong with that is not looked into here
	}
	switch a {
	case tlscore.AlertUnsupportedExtension:
		return h.Has(wire.ExtEarlyData) || h.Has(wire.ExtQUICTransportParameters)
	case tlscore.AlertMissingExtension:
		return !h.Has(wire.ExtSignatureAlgorithms)
	case tlscore.AlertProtocolVersion:
		return !slices.Contains(h.SupportedVersions, wire.VersionTLS13)
	case tlscore.AlertHandshakeFailure:
		return len(h.RenegotiationInfo) > 0 ||
			!overlap(len(h.SignatureAlgorithms), func(i int) bool { return slices.Contains(d.schemes, h.SignatureAlgorithms[i]) }) ||
			!overlap(len(suites), func(i int) bool { return slices.Contains(h.CipherSuites, suites[i].id) }) ||
			!overlap(len(d.groups), func(i int) bool { return slices.Contains(h.SupportedGroups, wire.NamedGroup(d.groups[i])) })
	case tlscore.AlertNoApplicationProtocol:
		return len(h.ALPN) > 0 && len(d.alpn) > 0 &&
			!overlap(len(h.ALPN), func(i int) bool { return slices.Contains(d.alpn, string(h.ALPN[i])) })
	case tlscore.AlertDecodeError:
		return h.Has(wire.ExtServerName)
	case tlscore.AlertIllegalParameter:
		return !bytes.Equal(h.CompressionMethods, []byte{0}) || h == d.second || d.badShare(h)
	}
	return false
}

// badShare reports whether a share is none of its group, as far as that can be
// told without much ado.
func (d *difference) badShare(h *wire.ClientHello) bool {
	hybrids := []tls.CurveID{tls.X25519MLKEM768, tls.SecP256r1MLKEM768, tls.SecP384r1MLKEM1024}
	return slices.ContainsFunc(h.KeyShares, func(k wire.KeyShare) bool {
		curve := curves[k.Group]
		if curve == nil {
			return slices.Contains(hybrids, tls.CurveID(k.Group))
		}
		public, err := curve.NewPublicKey(k.Data)
		if err == nil && curve == ecdh.X25519() {
			_, err = lowOrder.ECDH(public)
		}
		return err != nil
	})
}

// lowOrder is a key that finds the points of low order on Curve25519.
var lowOrder = func() *ecdh.PrivateKey {
	key, err := ecdh.X25519().NewPrivateKey(bytes.Repeat([]byte{8}, 32))
	if err != nil {
		panic(err)
	}
	return key
}()

// clientReasons are the differences between our client and that of crypto/tls.
var clientReasons = []listedReason{
	{"an extension that is not for this message is illegal_parameter; RFC 8446, Section 4.2", func(d *difference) bool {
		// crypto/tls passes over most, and calls those of TLS 1.2 unsupported_extension.
		return d.reason() == tlscore.ReasonMisplacedExtension
	}},
	{"an extension that was not asked for is unsupported_extension; RFC 8446, Section 4.2", func(d *difference) bool {
		return d.reason() == tlscore.ReasonUnsolicitedExtension
	}},
	{"an extension given twice is illegal_parameter, by the sense of RFC 8446, Section 6.2", func(d *difference) bool {
		return d.reason() == tlscore.ReasonDuplicateExtension && d.theirs.refused
	}},
	{"a compression method is illegal_parameter, since it is well-formed; RFC 8446, Section 6.2", func(d *difference) bool {
		return d.reason() == tlscore.ReasonCompression && d.theirs.alert == tlscore.AlertDecodeError
	}},
	{"a ServerHello without key_share gets missing_extension; RFC 8446, Section 6.2", func(d *difference) bool {
		return d.reason() == tlscore.ReasonMissingExtension && d.theirs.alert == tlscore.AlertIllegalParameter
	}},
	{"a legacy_version other than TLS 1.2 gets protocol_version; RFC 9846, Section 4.2.2", func(d *difference) bool {
		return d.reason() == tlscore.ReasonLegacyVersion && d.theirs.alert == tlscore.AlertIllegalParameter
	}},
	{"a version in supported_versions that was not offered is illegal_parameter; RFC 8446, Section 4.2.1", func(d *difference) bool {
		return d.reason() == tlscore.ReasonVersionNotOffered &&
			(d.theirs.alert == tlscore.AlertProtocolVersion || d.theirs.alert == tlscore.AlertMissingExtension)
	}},
	{"a mark of a downgrade is illegal_parameter; RFC 8446, Section 4.1.3; crypto/tls looks at the version first", func(d *difference) bool {
		return d.reason() == tlscore.ReasonDowngrade && d.theirs.alert == tlscore.AlertProtocolVersion
	}},
	{"our codec comes before any other check", func(d *difference) bool {
		return d.reason() == tlscore.ReasonMalformedMessage && d.theirs.refused
	}},
	{"the hello has two faults, and which is found first is nobody's business", func(d *difference) bool {
		return d.ours.refused && d.theirs.refused && !slices.Contains(codecReasons, d.reason()) &&
			(d.broken || serverFault(d.server, d.theirs.alert) || d.secondServer != nil && serverFault(d.secondServer, d.theirs.alert))
	}},
}

// serverFault reports whether a ServerHello that our codec takes may have a fault
// that crypto/tls answers with this alert.
func serverFault(h *wire.ServerHello, a tlscore.Alert) bool {
	switch a {
	case tlscore.AlertDecodeError:
		return h.CompressionMethod != 0
	case tlscore.AlertProtocolVersion:
		return h.SupportedVersion != wire.VersionTLS13
	case tlscore.AlertMissingExtension:
		return h.SupportedVersion == 0
	case tlscore.AlertUnexpectedMessage:
		return h.IsHelloRetryRequest()
	case tlscore.AlertUnsupportedExtension:
		return len(h.Extensions) > 2
	case tlscore.AlertIllegalParameter:
		return h.LegacyVersion != wire.VersionTLS12 || !bytes.Equal(h.SessionID, placeholder) || findSuite(h.CipherSuite) == nil ||
			!h.Has(wire.ExtKeyShare) || h.IsHelloRetryRequest() || h.KeyShare.Group != wire.NamedGroup(tls.X25519) || len(h.KeyShare.Data) != 32
	}
	return false
}
