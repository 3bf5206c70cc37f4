package tlscore

import (
	"encoding/binary"
	"slices"

	"tlscore.example/tlscore/internal/wire"
)

// grease are the reserved values that a client sends so that servers stay tolerant
// of what they do not know; the server must not choose any of them. RFC 8701.
type grease struct {
	suite       wire.CipherSuite
	group       wire.NamedGroup
	version     wire.Version
	scheme      wire.SignatureScheme
	first, last wire.ExtensionType
}

// draw chooses the values.
func (g *grease) draw(cfg *Config) error {
	var b [6]byte
	if err := cfg.random(b[:]); err != nil {
		return err
	}
	// 0x0a0a, 0x1a1a and so on up to 0xfafa.
	value := func(i int) uint16 { return 0x0a0a + uint16(b[i]&15)*0x1010 }
	g.suite, g.group = wire.CipherSuite(value(0)), wire.NamedGroup(value(1))
	g.version, g.scheme = wire.Version(value(2)), wire.SignatureScheme(value(3))
	g.first, g.last = wire.ExtensionType(value(4)), wire.ExtensionType(value(5))
	if g.last == g.first {
		g.last ^= 0x1010
	}
	return nil
}

// apply puts the values into a ClientHello.
//
//	"A client MAY select one or more GREASE extension values and advertise
//	them as extensions with varying length and contents."
//
// https://www.rfc-editor.org/rfc/rfc8701#section-3.1
func (g *grease) apply(hello *wire.ClientHello) {
	hello.CipherSuites = slices.Insert(hello.CipherSuites, 0, g.suite)
	hello.SupportedGroups = slices.Insert(hello.SupportedGroups, 0, g.group)
	hello.SignatureAlgorithms = append(hello.SignatureAlgorithms, g.scheme)
	if len(hello.SupportedVersions) > 0 {
		hello.SupportedVersions = slices.Insert(hello.SupportedVersions, 0, g.version)
	}
	hello.Extensions = slices.Insert(hello.Extensions, 0, wire.Extension{Type: g.first, Data: []byte{}})
	hello.Extensions = append(hello.Extensions, wire.Extension{Type: g.last, Data: []byte{0}})
}

// arrange gives the extensions their order, and adds reserved values, as the config
// wants it. pre_shared_key comes behind them later.
func (c *clientHandshake) arrange(cfg *Config) error {
	if cfg.ShuffleExtensions {
		if err := shuffle(cfg, c.hello.Extensions); err != nil {
			return err
		}
	}
	if !cfg.GREASE {
		return nil
	}
	var g grease
	if err := g.draw(cfg); err != nil {
		return err
	}
	g.apply(&c.hello)
	return nil
}

// shuffle puts extensions into a random order, so that no one comes to depend on
// any. pre_shared_key, which has to be last, is not among them yet.
//
//	"When multiple extensions of different types are present, the
//	extensions MAY appear in any order, with the exception of
//	"pre_shared_key" (Section 4.2.11) which MUST be the last extension in
//	the ClientHello"
//
// https://www.rfc-editor.org/rfc/rfc8446#section-4.2
func shuffle(cfg *Config, list []wire.Extension) error {
	draws := make([]byte, 4*len(list))
	if err := cfg.random(draws); err != nil {
		return err
	}
	for i := len(list) - 1; i > 0; i-- {
		// The bias of a remainder of 32 bits is of no matter here.
		j := int(binary.BigEndian.Uint32(draws[4*i:]) % uint32(i+1))
		list[i], list[j] = list[j], list[i]
	}
	return nil
}
