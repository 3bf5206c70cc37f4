package tlscore

import (
	"bytes"
	"slices"
	"testing"

	"tlscore.example/tlscore/internal/tlstest"
	"tlscore.example/tlscore/internal/wire"
)

// reservedIn returns the reserved values of a ClientHello, a list each.
func reservedIn(hello *wire.ClientHello) (counts map[string]int) {
	counts = make(map[string]int)
	for _, v := range hello.CipherSuites {
		counts["suite"] += grease01(uint16(v))
	}
	for _, v := range hello.SupportedGroups {
		counts["group"] += grease01(uint16(v))
	}
	for _, v := range hello.SupportedVersions {
		counts["version"] += grease01(uint16(v))
	}
	for _, v := range hello.SignatureAlgorithms {
		counts["scheme"] += grease01(uint16(v))
	}
	for _, k := range hello.KeyShares {
		counts["share"] += grease01(uint16(k.Group))
	}
	for _, x := range hello.Extensions {
		counts["extension"] += grease01(uint16(x.Type))
	}
	return counts
}

func grease01(v uint16) int {
	if wire.IsGREASE(v) {
		return 1
	}
	return 0
}

// A client with GREASE offers reserved values everywhere, keeps them in a second
// ClientHello but for the key share, and connects.
func TestGREASE(t *testing.T) {
	with := func(c *Config) { c.GREASE, c.ShuffleExtensions = true, true }
	r := newClientRig(t, with).bring(StateWaitServerHello)
	counts := reservedIn(&r.p.Hello)
	for _, list := range []string{"suite", "group", "version", "scheme", "share"} {
		if counts[list] != 1 {
			t.Errorf("%d reserved values in %s", counts[list], list)
		}
	}
	if counts["extension"] != 2 {
		t.Errorf("%d reserved extensions", counts["extension"])
	}
	first := slices.Clone(r.p.Hello.Extensions)
	r.p.Group = wire.GroupP256
	r.send(r.p.HelloRetryRequest())
	r.wantState(StateWaitServerHelloRetry)
	second := r.p.Hello
	if counts := reservedIn(&second); counts["share"] != 0 || counts["extension"] != 2 || counts["group"] != 1 {
		t.Errorf("after the retry: %v", counts)
	}
	if !slices.EqualFunc(first, second.Extensions, func(a, b wire.Extension) bool { return a.Type == b.Type }) {
		t.Error("the order of extensions has changed")
	}
	newClientRig(t, with).wantConnected()
}

// "Clients MUST reject GREASE values when negotiated by the server."
// (https://www.rfc-editor.org/rfc/rfc8701#section-3.1)
func TestGREASENegotiated(t *testing.T) {
	with := func(c *Config) { c.GREASE = true }
	extension := func(r *rig) wire.Extension {
		for _, x := range r.p.Hello.Extensions {
			if wire.IsGREASE(uint16(x.Type)) {
				return wire.Extension{Type: x.Type, Data: []byte{}}
			}
		}
		r.Fatal("no reserved extension")
		return wire.Extension{}
	}
	for _, test := range []struct {
		name   string
		state  State
		send   func(*rig)
		reason Reason
		alert  Alert
	}{
		{"cipher suite", StateWaitServerHello, func(r *rig) {
			r.p.OnServerHello = func(m *wire.ServerHello) { m.CipherSuite = r.p.Hello.CipherSuites[0] }
			r.p.Send(r.p.ServerHello())
		}, ReasonCipherSuiteNotOffered, AlertIllegalParameter},
		{"version", StateWaitServerHello, func(r *rig) {
			r.p.OnServerHello = func(m *wire.ServerHello) { m.SupportedVersion = r.p.Hello.SupportedVersions[0] }
			r.p.Send(r.p.ServerHello())
		}, ReasonVersionNotOffered, AlertIllegalParameter},
		{"group", StateWaitServerHello, func(r *rig) {
			r.p.OnServerHello = func(m *wire.ServerHello) { m.KeyShare = r.p.Hello.KeyShares[0] }
			r.p.Send(r.p.ServerHello())
		}, ReasonGroupNotOffered, AlertIllegalParameter},
		{"retry group", StateWaitServerHello, func(r *rig) {
			r.p.OnHelloRetryRequest = func(m *wire.ServerHello) { m.SelectedGroup = r.p.Hello.SupportedGroups[0] }
			r.p.Send(r.p.HelloRetryRequest())
		}, ReasonGroupNotOffered, AlertIllegalParameter},
		{"extension in ServerHello", StateWaitServerHello, func(r *rig) {
			r.p.OnServerHello = func(m *wire.ServerHello) { m.Extensions = append(m.Extensions, extension(r)) }
			r.p.Send(r.p.ServerHello())
		}, ReasonUnsolicitedExtension, AlertUnsupportedExtension},
		{"extension in EncryptedExtensions", StateWaitEncryptedExtensions, func(r *rig) {
			r.p.OnEncryptedExtensions = func(m *wire.EncryptedExtensions) { m.Extensions = append(m.Extensions, extension(r)) }
			r.p.Send(r.p.EncryptedExtensions())
		}, ReasonUnsolicitedExtension, AlertUnsupportedExtension},
		{"extension in Certificate", StateWaitCertificateOrRequest, func(r *rig) {
			r.p.OnCertificate = func(m *wire.Certificate) {
				m.Entries[0].Extensions = append(m.Entries[0].Extensions, extension(r))
			}
			r.p.Send(r.p.CertificateMessage())
		}, ReasonUnsolicitedExtension, AlertUnsupportedExtension},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newClientRig(t, with).bring(test.state)
			test.send(r)
			r.run()
			r.wantAlert(test.reason, test.alert)
		})
	}
}

// Two of many clients send their extensions in different orders.
func TestShuffleExtensions(t *testing.T) {
	orders := make(map[string]bool)
	for range 20 {
		r := newClientRig(t, func(c *Config) { c.ShuffleExtensions = true }).bring(StateWaitServerHello)
		order := ""
		for _, x := range r.p.Hello.Extensions {
			order += x.Type.String() + " "
		}
		orders[order] = true
	}
	if len(orders) < 2 {
		t.Errorf("%d orders of twenty", len(orders))
	}
}

// A random source that ends inside any draw of a greasing client fails it.
func TestGREASERandomSource(t *testing.T) {
	fails := 0
	for n := range 400 {
		m, err := NewClient(&Config{
			Time: tlstest.Clock, ServerName: "localhost", GREASE: true, ShuffleExtensions: true,
			Rand: bytes.NewReader(bytes.Repeat([]byte{1}, n)),
		})
		if err != nil {
			t.Fatal(err)
		}
		if m.Step(nil); m.State() == StateFailed {
			fails++
			if reasonOf(m.Err()) != ReasonRandomSource {
				t.Fatalf("after %d bytes: %v", n, m.Err())
			}
		}
	}
	if fails < 100 {
		t.Errorf("only %d lengths were too short", fails)
	}
}
