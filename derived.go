package tlscore

import (
	"crypto/fips140"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"tlscore.example/tlscore/internal/record"
	"tlscore.example/tlscore/internal/wire"
)

// What follows from a config: it is judged once, when the first machine uses it, and
// says then what is wrong with it.

// derived is what is computed once from a Config.
type derived struct {
	versions  []uint16       // best first
	suites    []*cipherSuite // of those versions
	groups    []tls.CurveID
	keyShares []tls.CurveID
	schemes   []tls.SignatureScheme // of handshake signatures, in any version
	// schemesCert may sign certificates.
	schemesCert []tls.SignatureScheme
	// algorithms and algorithmsCert are what is sent to say so, see offeredSchemes.
	algorithms, algorithmsCert []tls.SignatureScheme
	alpn                       [][]byte
	serverName                 string // normalised for server_name; "" for an address
	environment
	certs []*credential
	// authorities are what a server names in CertificateRequest, a client in its
	// ClientHello.
	authorities       [][]byte
	clientAuthorities [][]byte

	clientID, serverID [32]byte    // Session.ConfigID in each role
	cacheKey           string      // of a client's SessionCache
	ticketKeys         *TicketKeys // nil when tickets are sealed or stored by the application
	ticketLifetime     uint32      // in seconds
	peers              certificateCache
	names              nameCache
}

// derive checks c and computes what follows from it, once.
func (c *Config) derive() (*derived, error) {
	if d := c.derived.Load(); d != nil {
		return d, nil
	}
	d := new(derived)
	for _, check := range []func(*derived) error{
		c.checkPlatform, c.checkRecords, c.deriveVersions, c.deriveSuites, c.deriveGroups,
		c.dropVersions, c.deriveSchemes, c.deriveNames, c.deriveEnvironment, c.deriveCertificates, c.deriveClientAuth,
		c.checkResumption,
	} {
		if err := check(d); err != nil {
			return nil, fmt.Errorf("tlscore: config: %w", err)
		}
	}
	c.derived.CompareAndSwap(nil, d)
	return c.derived.Load(), nil
}

// checkPlatform refuses what would panic later: under fips140=only the public
// GCM, X25519 and ChaCha20-Poly1305 of the standard library do.
func (c *Config) checkPlatform(*derived) error {
	if fips140.Enforced() {
		return errors.New("TLS needs GCM, X25519 and ChaCha20-Poly1305 of the standard library, which GODEBUG=fips140=only forbids")
	}
	return nil
}

func (c *Config) checkRecords(*derived) error {
	switch {
	case c.RecordSizeLimit != 0 && (c.RecordSizeLimit < minRecordSizeLimit || c.RecordSizeLimit > record.MaxInner):
		return fmt.Errorf("RecordSizeLimit is %d, not between %d and %d", c.RecordSizeLimit, minRecordSizeLimit, record.MaxInner)
	case c.RecordPadding < 0 || c.RecordPadding > record.MaxPlaintext:
		return fmt.Errorf("RecordPadding is %d, not between 0 and %d", c.RecordPadding, record.MaxPlaintext)
	case c.RecordPadding > 0 && c.Limits.withDefaults().Output < c.RecordPadding+record.Overhead:
		return errors.New("Limits.Output leaves no room for a record with RecordPadding")
	case c.VerifyOCSPResponse != nil && !c.OCSPStapling:
		return errors.New("VerifyOCSPResponse needs OCSPStapling")
	}
	return nil
}

func (c *Config) deriveVersions(d *derived) error {
	low, high := c.MinVersion, c.MaxVersion
	if low == 0 {
		low = tls.VersionTLS12
	}
	if high == 0 {
		high = tls.VersionTLS13
	}
	for _, bound := range []struct {
		field   string
		version uint16
	}{{"MinVersion", low}, {"MaxVersion", high}} {
		if bound.version != tls.VersionTLS12 && bound.version != tls.VersionTLS13 {
			return fmt.Errorf("%s is %s, and only TLS 1.2 and TLS 1.3 are supported", bound.field, tls.VersionName(bound.version))
		}
	}
	if low > high {
		return errors.New("MinVersion is above MaxVersion")
	}
	for v := high; v >= low; v-- {
		d.versions = append(d.versions, v)
	}
	return nil
}

// dropVersions leaves out the versions that cannot be spoken with what the config
// has, and then what only they could have used.
func (c *Config) dropVersions(d *derived) error {
	usable := func(v uint16) bool {
		return slices.ContainsFunc(d.suites, func(s *cipherSuite) bool { return s.version == v }) &&
			slices.ContainsFunc(d.groups, func(g tls.CurveID) bool { return groupSuits(v, g) }) &&
			(len(c.SignatureSchemes) == 0 || slices.ContainsFunc(c.SignatureSchemes, func(id tls.SignatureScheme) bool {
				s := schemeInfo(id)
				return s == nil || s.signs(v) // what is wrong with them is found later
			}))
	}
	d.versions = slices.DeleteFunc(d.versions, func(v uint16) bool { return !usable(v) })
	if len(d.versions) == 0 {
		return errors.New("no version that is allowed has a cipher suite, a group and a signature scheme")
	}
	d.suites = slices.DeleteFunc(d.suites, func(s *cipherSuite) bool { return !d.speaks(s.version) })
	if !d.speaks(tls.VersionTLS13) {
		d.groups = slices.DeleteFunc(slices.Clone(d.groups), isPostQuantum)
		d.keyShares = nil
	}
	return nil
}

// speaks reports whether a version may be spoken.
func (d *derived) speaks(version uint16) bool { return slices.Contains(d.versions, version) }

func (c *Config) deriveSuites(d *derived) error {
	if c.CipherSuites == nil {
		d.suites = slices.Clone(cipherSuites)
		return nil
	}
	for _, id := range c.CipherSuites {
		s := suiteByID(wire.CipherSuite(id))
		if s == nil {
			return fmt.Errorf("cipher suite %s is not supported", tls.CipherSuiteName(id))
		}
		d.suites = append(d.suites, s)
	}
	if len(d.suites) == 0 {
		return errors.New("CipherSuites is empty")
	}
	return firstDuplicate("CipherSuites", c.CipherSuites)
}

func (c *Config) deriveGroups(d *derived) error {
	d.groups = c.CurvePreferences
	if d.groups == nil {
		d.groups = defaultGroups
	}
	if len(d.groups) == 0 {
		return errors.New("CurvePreferences is empty")
	}
	for _, g := range d.groups {
		if !slices.Contains(supportedGroups, g) {
			return fmt.Errorf("group %s is not supported", g)
		}
	}
	if err := firstDuplicate("CurvePreferences", d.groups); err != nil {
		return err
	}
	d.keyShares = c.KeyShares
	if d.keyShares == nil {
		d.keyShares = firstOfEachKind(d.groups)
	}
	for _, g := range d.keyShares {
		if !slices.Contains(d.groups, g) {
			return fmt.Errorf("group %s is in KeyShares but not in CurvePreferences", g)
		}
	}
	return firstDuplicate("KeyShares", d.keyShares)
}

// firstOfEachKind returns the first post-quantum group and the first other one, as
// far as the list has them, in its order: a server that has only one kind need not
// ask again.
func firstOfEachKind(groups []tls.CurveID) []tls.CurveID {
	first := groups[0]
	for _, g := range groups[1:] {
		if isPostQuantum(g) != isPostQuantum(first) {
			return []tls.CurveID{first, g}
		}
	}
	return groups[:1:1]
}

func (c *Config) deriveSchemes(d *derived) (err error) {
	if d.schemes, err = configuredSchemes(c.SignatureSchemes, d.versions); err != nil {
		return err
	}
	if d.schemesCert, err = configuredSchemesCert(c.SignatureSchemesCert, d.schemes); err != nil {
		return err
	}
	d.algorithms, d.algorithmsCert = offeredSchemes(d.schemes, d.schemesCert, d.speaks(tls.VersionTLS12))
	return nil
}

// maxAuthorities bounds the names of authorities, with their lengths, so that
// they fit a ClientHello beside everything else.
const maxAuthorities = 24 << 10

// deriveClientAuth judges how clients are authenticated, and finds the names of
// authorities.
func (c *Config) deriveClientAuth(d *derived) error {
	if c.ClientAuth < tls.NoClientCert || c.ClientAuth > tls.RequireAndVerifyClientCert {
		return fmt.Errorf("ClientAuth is %d", c.ClientAuth)
	}
	if c.ClientAuth >= tls.VerifyClientCertIfGiven && c.ClientCAs == nil {
		return errors.New("ClientAuth verifies clients, and ClientCAs is nil")
	}
	for i, name := range c.CertificateAuthorities {
		// RFC 8446, Section 4.2.4: opaque DistinguishedName<1..2^16-1>.
		if len(name) == 0 {
			return fmt.Errorf("CertificateAuthorities: name %d is empty", i)
		}
	}
	if nameListLen(c.CertificateAuthorities) > maxAuthorities {
		return errors.New("CertificateAuthorities is too long")
	}
	d.clientAuthorities, d.authorities = c.CertificateAuthorities, c.CertificateAuthorities
	if c.CertificateAuthorities == nil && c.ClientCAs != nil {
		// Those of the system are not among them, and are not named.
		//lint:ignore SA1019 nothing else shows what a pool has
		d.authorities = c.ClientCAs.Subjects()
	}
	if nameListLen(d.authorities) > maxAuthorities {
		d.authorities = nil
	}
	return nil
}

// nameListLen is the length of a list of names on the wire.
func nameListLen(list [][]byte) (n int) {
	for _, name := range list {
		n += 2 + len(name)
	}
	return n
}

func (c *Config) deriveNames(d *derived) error {
	total := 0
	for _, proto := range c.NextProtos {
		// RFC 7301, Section 3.1: opaque ProtocolName<1..2^8-1>.
		if len(proto) == 0 || len(proto) > 255 {
			return fmt.Errorf("application protocol of %d bytes", len(proto))
		}
		total += 1 + len(proto)
		d.alpn = append(d.alpn, []byte(proto))
	}
	if total > 1<<15 {
		return errors.New("NextProtos is too long")
	}
	if c.ServerName == "" || isAddress(c.ServerName) {
		return firstDuplicate("NextProtos", c.NextProtos)
	}
	name := strings.TrimSuffix(c.ServerName, ".")
	if !isHostName(name) {
		return fmt.Errorf("ServerName %q is not a host name", c.ServerName)
	}
	d.serverName = name
	return firstDuplicate("NextProtos", c.NextProtos)
}

// isAddress reports whether name is an IP address, with or without brackets.
//
//	"Literal IPv4 and IPv6 addresses are not permitted in "HostName"."
//
// RFC 6066, Section 3.
func isAddress(name string) bool {
	name = strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
	_, err := netip.ParseAddr(name)
	return err == nil
}

// isHostName reports whether name can stand in server_name: ASCII letters,
// digits, hyphens and underscores in labels of at most 63 bytes, without a dot
// at the end. RFC 6066, Section 3, leaves internationalised names to A-labels.
func isHostName(name string) bool {
	if len(name) == 0 || len(name) > 255 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if len(label) == 0 || len(label) > 63 {
			return false
		}
		for i := range len(label) {
			if strings.IndexByte(hostNameBytes, label[i]) < 0 {
				return false
			}
		}
	}
	return true
}

const hostNameBytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"

func (c *Config) deriveEnvironment(d *derived) error {
	limits, err := c.Limits.check()
	d.environment = environment{
		limits: limits, allocator: c.Allocator, trace: c.Trace, now: c.now,
		padding: c.RecordPadding, smallFirst: c.SmallFirstRecords,
	}
	return err
}

func (c *Config) deriveCertificates(d *derived) error {
	for i := range c.Certificates {
		cred, err := newConfiguredCredential(&c.Certificates[i])
		if err != nil {
			return fmt.Errorf("certificate %d: %w", i, err)
		}
		d.certs = append(d.certs, cred)
	}
	return nil
}

// firstDuplicate returns an error when a value stands twice in list.
func firstDuplicate[T comparable](field string, list []T) error {
	for i, v := range list {
		if slices.Contains(list[:i], v) {
			return fmt.Errorf("%s has %v twice", field, v)
		}
	}
	return nil
}
