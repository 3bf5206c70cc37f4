package tlscore

import (
	"bytes"
	"crypto/tls"
	"slices"

	"tlscore.example/tlscore/internal/wire"
)

// What the two sides do to agree on a version. RFC 8446, Sections 4.1.3, 4.2.1 and
// Appendix D; RFC 7507.

// speak goes on with the rules of a version of TLS, which both sides have agreed on.
func (m *Machine) speak(version uint16) {
	m.conn.version = version
	switch {
	case m.client != nil && version == tls.VersionTLS12:
		m.rules = rulesClient12
	case m.client != nil:
		m.rules = rulesClient13
	case version == tls.VersionTLS12:
		m.rules = rulesServer12
	default:
		m.rules = rulesServer13
	}
}

// tls12 reports whether TLS 1.2 was agreed on.
func (m *Machine) tls12() bool { return m.conn.version == tls.VersionTLS12 }

// chooseVersion is the server's choice.
//
//	"If this extension is not present, servers which are compliant with this
//	specification and which also support TLS 1.2 MUST negotiate TLS 1.2 or
//	prior as specified in [RFC5246], even if ClientHello.legacy_version is
//	0x0304 or later."
//
//	"If this extension is present in the ClientHello, servers MUST NOT use the
//	ClientHello.legacy_version value for version negotiation and MUST use only
//	the "supported_versions" extension to determine client preferences."
//
// https://www.rfc-editor.org/rfc/rfc8446#section-4.2.1
func (d *derived) chooseVersion(hello *wire.ClientHello) (uint16, error) {
	if err := d.checkFallback(hello); err != nil {
		return 0, err
	}
	if !hello.Has(wire.ExtSupportedVersions) {
		if hello.LegacyVersion < wire.VersionTLS12 || !d.speaks(tls.VersionTLS12) {
			return 0, violationf(ReasonUnsupportedVersion, "the client offers at most %s", hello.LegacyVersion)
		}
		return tls.VersionTLS12, nil
	}
	for _, v := range d.versions {
		if slices.Contains(hello.SupportedVersions, wire.Version(v)) {
			return v, nil
		}
	}
	return 0, violationf(ReasonUnsupportedVersion, "the client offers %v", hello.SupportedVersions)
}

// checkFallback refuses clients that offer less than they could, since an earlier
// attempt failed, when that attempt need not have failed.
//
// A server that finds TLS_FALLBACK_SCSV and supports a higher version than the
// highest that the client offers has to answer with inappropriate_fallback.
// RFC 7507, Section 3.
func (d *derived) checkFallback(hello *wire.ClientHello) error {
	if !slices.Contains(hello.CipherSuites, wire.TLS_FALLBACK_SCSV) {
		return nil
	}
	highest := hello.LegacyVersion
	if hello.Has(wire.ExtSupportedVersions) {
		highest = 0
		for _, v := range hello.SupportedVersions {
			if v <= wire.VersionTLS13 { // others are unknown, or GREASE
				highest = max(highest, v)
			}
		}
	}
	if highest < wire.Version(d.versions[0]) {
		return violationf(ReasonInappropriateFallback, "the client offers at most %s", highest)
	}
	return nil
}

// serverVersion returns the version that a server chose, if it may.
func (c *clientHandshake) serverVersion(hello *wire.ServerHello, d *derived) (uint16, error) {
	if !hello.Has(wire.ExtSupportedVersions) {
		return tls.VersionTLS12, c.checkLegacyVersion(hello, d)
	}
	// "If the "supported_versions" extension in the ServerHello contains a
	// version not offered by the client or contains a version prior to TLS 1.3,
	// the client MUST abort the handshake with an "illegal_parameter" alert."
	// https://www.rfc-editor.org/rfc/rfc8446#section-4.2.1
	if hello.SupportedVersion != wire.VersionTLS13 || !d.speaks(tls.VersionTLS13) {
		return 0, violationf(ReasonVersionNotOffered, "%s", hello.SupportedVersion)
	}
	// "A client which receives a TLS 1.3 Server Hello with a legacy_version value
	// not equal to 0x0303 MUST abort the handshake with a "protocol_version"
	// alert."
	// RFC 9846, Section 4.2.3.
	if hello.LegacyVersion != wire.VersionTLS12 {
		return 0, violationf(ReasonLegacyVersion, "%s", hello.LegacyVersion)
	}
	return tls.VersionTLS13, nil
}

// checkLegacyVersion judges a ServerHello of TLS 1.2 or older.
func (c *clientHandshake) checkLegacyVersion(hello *wire.ServerHello, d *derived) error {
	// "The value of selected_version in the HelloRetryRequest
	// "supported_versions" extension MUST be retained in the ServerHello, and a
	// client MUST abort the handshake with an "illegal_parameter" alert if the
	// value changes."
	// https://www.rfc-editor.org/rfc/rfc8446#section-4.1.4
	if c.retry != nil {
		return violationf(ReasonVersionNotOffered, "%s after a HelloRetryRequest", hello.LegacyVersion)
	}
	// "TLS 1.3 clients receiving a ServerHello indicating TLS 1.2 or below
	// MUST check that the last 8 bytes are not equal to either of these
	// values. TLS 1.2 clients SHOULD also check that the last 8 bytes are
	// not equal to the second value if the ServerHello indicates TLS 1.1 or
	// below. If a match is found, the client MUST abort the handshake with
	// an "illegal_parameter" alert."
	// https://www.rfc-editor.org/rfc/rfc8446#section-4.1.3
	tail, old := hello.Random[24:], hello.LegacyVersion < wire.VersionTLS12
	if d.speaks(tls.VersionTLS13) && bytes.Equal(tail, downgradeTLS12) ||
		(d.speaks(tls.VersionTLS13) || old) && bytes.Equal(tail, downgradeTLS11) {
		return violation(ReasonDowngrade)
	}
	// "If the version chosen by the server is not supported by the client
	// (or not acceptable), the client MUST send a "protocol_version" alert
	// message and close the connection."
	// https://www.rfc-editor.org/rfc/rfc5246#appendix-E.1
	if hello.LegacyVersion != wire.VersionTLS12 || !d.speaks(tls.VersionTLS12) {
		return violationf(ReasonUnsupportedVersion, "the server chose %s", hello.LegacyVersion)
	}
	return nil
}

// The ends of a server's random that say that it could do better than the
// version it chose. RFC 8446, Section 4.1.3.
var (
	downgradeTLS12 = []byte("DOWNGRD\x01")
	downgradeTLS11 = []byte("DOWNGRD\x00")
)
