package tlscore

import (
	"crypto/tls"
	"fmt"
	"strings"
	"testing"

	"tlscore.example/tlscore/internal/tlstest"
	"tlscore.example/tlscore/internal/wire"
)

// policy is what happens when the two sides do not agree, or agree on little:
// the rows of docs/negotiation.md, each of which is run.
type policy struct {
	about, when, then string
	reason            Reason // reasonNone: the connection is made
	run               func(*testing.T) *rig
	check             func(*rig) bool // of a connection that is made
}

// serverMeets is a server that a client says hello to.
func serverMeets(prepare func(*tlstest.Peer), change ...func(*Config)) func(*testing.T) *rig {
	return func(t *testing.T) *rig {
		r := newServerRig(t, change...)
		prepare(r.p)
		return r
	}
}

func helloHook(hook func(*wire.ClientHello)) func(*tlstest.Peer) {
	return func(p *tlstest.Peer) { p.OnClientHello = hook }
}

func asksFor(name string) func(*tlstest.Peer) { return func(p *tlstest.Peer) { p.ServerName = name } }

func withCertificates(leaves ...tlstest.Leaf) func(*Config) {
	return func(c *Config) {
		c.Certificates = nil
		for _, leaf := range leaves {
			c.Certificates = append(c.Certificates, tlstest.Certificate(leaf))
		}
	}
}

func sameHello(*tlstest.Peer) {}

func withProtocols(names ...string) func(*Config) { return func(c *Config) { c.NextProtos = names } }

var policies = []policy{
	{about: "server name", when: "no certificate is for the name that a client asks for",
		then: "the server shows the first of Certificates that can sign for the client, and the client judges it",
		run:  serverMeets(asksFor("unknown.example"))},
	{about: "server name", when: "GetCertificate returns nil and there are Certificates",
		then: "the choice among Certificates stands",
		run: serverMeets(asksFor("unknown.example"), func(c *Config) {
			c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil }
		})},
	{about: "server name", when: "GetCertificate returns nil and there are no Certificates",
		then: "the server has nothing to show", reason: ReasonNoCertificate,
		run: serverMeets(asksFor("unknown.example"), withGetCertificate(func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil }))},
	{about: "server name", when: "the client sends none",
		then: "the server shows the first of Certificates that can sign for the client",
		run:  serverMeets(helloHook(without(wire.ExtServerName)))},

	{about: "application protocol", when: "both have some, and none in common",
		then: "the server refuses", reason: ReasonNoApplicationProtocol,
		run: serverMeets(helloHook(offerALPN("h3")), withProtocols("h2", "http/1.1"))},
	{about: "application protocol", when: "the server has none",
		then:  "the connection is made without one",
		run:   serverMeets(helloHook(offerALPN("h3"))),
		check: func(r *rig) bool { return r.m.ConnectionState().NegotiatedProtocol == "" }},
	{about: "application protocol", when: "the client offers none",
		then:  "the connection is made without one",
		run:   serverMeets(sameHello, withProtocols("h2")),
		check: func(r *rig) bool { return r.m.ConnectionState().NegotiatedProtocol == "" }},
	{about: "application protocol", when: "there are several in common",
		then:  "the server's order decides",
		run:   serverMeets(helloHook(offerALPN("http/1.1", "h2")), withProtocols("h2", "http/1.1")),
		check: func(r *rig) bool { return r.m.ConnectionState().NegotiatedProtocol == "h2" }},
	{about: "application protocol", when: "the server of a client chooses none",
		then:  "the connection is made without one",
		run:   func(t *testing.T) *rig { return newClientRig(t, withProtocols("h2")) },
		check: func(r *rig) bool { return r.m.ConnectionState().NegotiatedProtocol == "" }},

	{about: "version", when: "there is none in common", then: "the server refuses", reason: ReasonUnsupportedVersion,
		run: serverMeets(helloHook(func(m *wire.ClientHello) { m.SupportedVersions = []wire.Version{wire.VersionTLS11, wire.VersionTLS10} }))},
	{about: "cipher suite", when: "there is none in common", then: "the server refuses", reason: ReasonNoCommonCipherSuite,
		run: serverMeets(helloHook(func(m *wire.ClientHello) { m.CipherSuites = []wire.CipherSuite{wire.TLS_AES_128_CCM_SHA256} }))},
	{about: "group", when: "there is none in common", then: "the server refuses", reason: ReasonNoCommonGroup,
		run: serverMeets(sameHello, func(c *Config) { c.CurvePreferences = []tls.CurveID{tls.CurveP521} })},
	{about: "group", when: "the client has it, but sent no share for it", then: "the server asks for one with a HelloRetryRequest",
		run: func(t *testing.T) *rig {
			r := newServerRig(t)
			r.p.Shares = []wire.NamedGroup{}
			r.send(r.p.ClientHello())
			r.wantState(StateWaitClientHelloRetry)
			r.p.Shares = nil
			return r
		},
		check: func(r *rig) bool { return r.m.ConnectionState().HelloRetryRequest }},
	{about: "signature", when: "no certificate can sign with a scheme that the client accepts", then: "the server refuses", reason: ReasonNoCommonSignatureScheme,
		run: serverMeets(helloHook(func(m *wire.ClientHello) { m.SignatureAlgorithms = []wire.SignatureScheme{wire.RSAPSSRSAESHA256} }))},
	{about: "signature", when: "only a certificate for another name can", then: "the server shows that one",
		run: serverMeets(helloHook(func(m *wire.ClientHello) { m.SignatureAlgorithms = []wire.SignatureScheme{wire.RSAPSSRSAESHA256} }),
			withCertificates(tlstest.Leaf{}, tlstest.Leaf{Key: tlstest.RSA2048, Names: []string{"other.example"}}))},
	{about: "signature", when: "the chain is signed with what the client does not list", then: "the server shows it all the same, if it has no better, and the client judges it",
		run: serverMeets(func(p *tlstest.Peer) {
			p.OnClientHello = func(m *wire.ClientHello) {
				m.SignatureAlgorithmsCert = []wire.SignatureScheme{wire.RSAPKCS1SHA256}
				m.Extensions = append(m.Extensions, wire.Extension{Type: wire.ExtSignatureAlgorithmsCert})
			}
		})},
}

func TestNegotiation(t *testing.T) {
	for _, p := range policies {
		t.Run(p.about+", "+p.when, func(t *testing.T) {
			r := p.run(t)
			if p.reason != reasonNone {
				r.send(r.p.ClientHello())
				r.wantFailed(p.reason)
				return
			}
			r.wantConnected()
			if p.check != nil && !p.check(r) {
				t.Errorf("%+v", r.m.ConnectionState())
			}
		})
	}
}

func negotiationDoc() string {
	var b strings.Builder
	b.WriteString("# When the two sides do not agree\n\n")
	b.WriteString("<!-- Printed from the policies in negotiation_test.go, which run: go test -run TestDocs -update . -->\n\n")
	b.WriteString("| about | when | then | alert |\n|---|---|---|---|\n")
	for _, p := range policies {
		alert := "none"
		if p.reason != reasonNone {
			alert = fmt.Sprintf("%s, `Reason%s`", alertCell(p.reason), p.reason)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", p.about, p.when, p.then, alert)
	}
	return b.String()
}
