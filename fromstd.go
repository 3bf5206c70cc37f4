package tlscore

//lint:file-ignore SA1019 deprecated fields of a tls.Config are carried over as well

import (
	"crypto/tls"
	"slices"
	"strings"

	"tlscore.example/tlscore/internal/wire"
)

// UnsupportedConfigError says what [FromStd] cannot carry over. It is returned
// instead of a Config, so that nothing is lost unseen: who can do without these
// settings clears them in a clone and calls again.
type UnsupportedConfigError struct {
	// Fields are the names of the fields of tls.Config, in the order in which they
	// stand there.
	Fields []string
}

// Error implements error.
func (e *UnsupportedConfigError) Error() string {
	return "tlscore: a config of crypto/tls has what cannot be honoured: " + strings.Join(e.Fields, ", ")
}

// FromStd makes a Config of one for crypto/tls, for either role. What its fields
// point to is shared. nil is the zero config. When a setting cannot be honoured
// the error is an [*UnsupportedConfigError] that names them all, and there is no
// Config.
//
// It sees the exported fields only. Keys that were set by SetSessionTicketKeys are
// not carried over: set them again, in this package's way. What differs besides:
//
//   - GetConfigForClient is what an acceptor is for: see [NewAcceptor].
//   - CipherSuites and CurvePreferences are orders of preference here. What this
//     package does not have is left out of them. TLS 1.3 keeps all its cipher
//     suites, as in crypto/tls, which cannot choose among them.
//   - SessionTicketKey becomes [Config.TicketKeys]. Tickets have a form of their own:
//     servers that use crypto/tls do not open them.
//   - MinVersion below TLS 1.2 means TLS 1.2.
//   - ClientCAs must be set if ClientAuth verifies chains, where crypto/tls would
//     trust the authorities of the system.
//   - In what the callbacks are given, Conn and Context are nil, and
//     ExportKeyingMaterial panics: there is a method of the same name in Machine.
//   - PreferServerCipherSuites has no meaning here: a server follows its own order.
//   - Without DynamicRecordSizingDisabled it is SmallFirstRecords, which does the same
//     by other numbers.
//
// The Config asks for OCSP responses and certificate timestamps, as crypto/tls does.
func FromStd(std *tls.Config) (*Config, error) {
	if std == nil {
		std = new(tls.Config)
	}
	if fields := unsupportedFields(std); len(fields) > 0 {
		return nil, &UnsupportedConfigError{fields}
	}
	c := &Config{
		Rand:                        std.Rand,
		Time:                        std.Time,
		Certificates:                std.Certificates,
		GetCertificate:              std.GetCertificate,
		GetClientCertificate:        std.GetClientCertificate,
		VerifyPeerCertificate:       std.VerifyPeerCertificate,
		VerifyConnection:            std.VerifyConnection,
		RootCAs:                     std.RootCAs,
		NextProtos:                  std.NextProtos,
		ServerName:                  std.ServerName,
		ClientAuth:                  std.ClientAuth,
		ClientCAs:                   std.ClientCAs,
		InsecureSkipVerify:          std.InsecureSkipVerify,
		CipherSuites:                suitesFromStd(std.CipherSuites),
		CurvePreferences:            groupsFromStd(std.CurvePreferences),
		OCSPStapling:                true,
		SignedCertificateTimestamps: true,
		KeyLogWriter:                std.KeyLogWriter,
		SessionTicketsDisabled:      std.SessionTicketsDisabled,
		SmallFirstRecords:           !std.DynamicRecordSizingDisabled,
	}
	if std.SessionTicketKey != [32]byte{} {
		keys, err := NewTicketKeys(std.SessionTicketKey)
		if err != nil {
			return nil, err
		}
		c.TicketKeys = keys
	}
	if std.MinVersion > tls.VersionTLS12 {
		c.MinVersion = std.MinVersion
	}
	c.MaxVersion = std.MaxVersion
	return c, nil
}

// unsupportedFields lists the settings that cannot be honoured, in the order of
// tls.Config.
func unsupportedFields(std *tls.Config) (fields []string) {
	for _, x := range []struct {
		name string
		lost bool
	}{
		{"NameToCertificate", !impliedNames(std)},
		{"GetConfigForClient", std.GetConfigForClient != nil},
		{"ClientCAs", std.ClientAuth >= tls.VerifyClientCertIfGiven && std.ClientCAs == nil},
		{"ClientSessionCache", std.ClientSessionCache != nil},
		{"UnwrapSession", std.UnwrapSession != nil},
		{"WrapSession", std.WrapSession != nil},
		{"MaxVersion", std.MaxVersion != 0 && std.MaxVersion < tls.VersionTLS12},
		{"CurvePreferences", len(std.CurvePreferences) > 0 && len(groupsFromStd(std.CurvePreferences)) == 0},
		{"Renegotiation", std.Renegotiation != tls.RenegotiateNever},
		{"EncryptedClientHelloConfigList", len(std.EncryptedClientHelloConfigList) > 0},
		{"EncryptedClientHelloRejectionVerify", std.EncryptedClientHelloRejectionVerify != nil},
		{"GetEncryptedClientHelloKeys", std.GetEncryptedClientHelloKeys != nil},
		{"EncryptedClientHelloKeys", len(std.EncryptedClientHelloKeys) > 0},
	} {
		if x.lost {
			fields = append(fields, x.name)
		}
	}
	return fields
}

// impliedNames reports whether NameToCertificate chooses among Certificates only,
// as what BuildNameToCertificate makes does: a server chooses by name anyway.
func impliedNames(std *tls.Config) bool {
	for _, cert := range std.NameToCertificate {
		own := func(c tls.Certificate) bool {
			return cert != nil && len(cert.Certificate) > 0 && len(c.Certificate) > 0 && &c.Certificate[0] == &cert.Certificate[0]
		}
		if !slices.ContainsFunc(std.Certificates, own) {
			return false
		}
	}
	return true
}

// suitesFromStd keeps what this package has, and puts the cipher suites of TLS 1.3
// first.
func suitesFromStd(std []uint16) []uint16 {
	if std == nil {
		return nil
	}
	suites := make([]uint16, 0, len(std)+3)
	for _, s := range cipherSuites {
		if isTLS13Suite(s.id) {
			suites = append(suites, uint16(s.id))
		}
	}
	for _, id := range std {
		if suiteByID(wire.CipherSuite(id)) != nil && !slices.Contains(suites, id) {
			suites = append(suites, id)
		}
	}
	return suites
}

// isTLS13Suite reports whether a cipher suite is one of TLS 1.3, which are 0x1301
// and following. RFC 8446, Appendix B.4.
func isTLS13Suite(id wire.CipherSuite) bool { return id>>8 == 0x13 }

// groupsFromStd keeps what this package has. Without any, crypto/tls uses its
// defaults.
func groupsFromStd(std []tls.CurveID) (groups []tls.CurveID) {
	for _, g := range std {
		if slices.Contains(supportedGroups, g) && !slices.Contains(groups, g) {
			groups = append(groups, g)
		}
	}
	return groups
}
