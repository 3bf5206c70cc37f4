package tlscore

import (
	"crypto/tls"
	"slices"
	"sync"
	"testing"

	"tlscore.example/tlscore/internal/tlstest"
	"tlscore.example/tlscore/internal/wire"
)

// Authentication of clients, in the handshake and after it.

var clientCertificateOf = sync.OnceValue(func() tls.Certificate { return tlstest.ClientCertificate(tlstest.ECDSAP256) })

// requireClient makes a server refuse clients that it cannot verify.
func requireClient(c *Config) {
	c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, tlstest.Roots()
}

// withCertificate gives a client one.
func withCertificate(c *Config) { c.Certificates = []tls.Certificate{clientCertificateOf()} }

// offerPostAuth makes a client of the peer offer post_handshake_auth.
func offerPostAuth(p *tlstest.Peer) {
	p.OnClientHello = func(m *wire.ClientHello) {
		m.Extensions = append(m.Extensions, wire.Extension{Type: wire.ExtPostHandshakeAuth})
	}
}

// The paths of connections whose clients authenticate.
var (
	authServerPath = []pathStep{
		{StateWaitClientCertificate, func(r *rig) { r.send(r.p.ClientHello()) }},
		{StateWaitClientCertificateVerify, func(r *rig) { r.send(r.p.CertificateMessage()) }},
		{StateWaitClientFinished, func(r *rig) { r.send(r.p.CertificateVerify()) }},
		{StateConnected, func(r *rig) { r.send(r.p.Finished()) }},
	}
	postServerPath = append(slices.Clone(serverPath),
		pathStep{StateWaitPostCertificateVerify, func(r *rig) { r.send(r.p.CertificateMessage()) }},
		pathStep{StateWaitPostFinished, func(r *rig) { r.send(r.p.CertificateVerify()) }},
	)
)

// newAuthServer is a server that wants a client's certificate, and a peer that has
// one.
func newAuthServer(t *testing.T, change ...func(*Config)) *rig {
	t.Helper()
	r := newServerRig(t, append([]func(*Config){requireClient}, change...)...)
	r.p.Certificate, r.path = clientCertificateOf(), authServerPath
	return r
}

// newPostServer is a server whose peer authenticates after the handshake.
func newPostServer(t *testing.T, change ...func(*Config)) *rig {
	t.Helper()
	r := newServerRig(t, append([]func(*Config){func(c *Config) { c.ClientCAs = tlstest.Roots() }}, change...)...)
	offerPostAuth(r.p)
	r.p.Certificate, r.path = clientCertificateOf(), postServerPath
	return r
}

// ask asks the client of a connection that it completes for its certificate.
func (r *rig) ask() *rig {
	r.Helper()
	if r.m.State() != StateConnected {
		r.bring(StateConnected)
	}
	if err := r.m.RequestClientCertificate(); err != nil {
		r.Fatal(err)
	}
	r.step(nil)
	return r
}

// newPostClient is a client with a certificate that offers to authenticate after the
// handshake.
func newPostClient(t *testing.T, change ...func(*Config)) *rig {
	t.Helper()
	return newClientRig(t, append([]func(*Config){withCertificate, func(c *Config) { c.PostHandshakeAuth = true }}, change...)...)
}

// askedClient is such a client, connected, which its server has asked once.
func askedClient(t *testing.T, change ...func(*Config)) *rig {
	t.Helper()
	r := newPostClient(t, change...).bring(StateConnected)
	r.request()
	return r
}

// request makes the server of a connected client ask for a certificate.
func (r *rig) request() Event {
	r.Helper()
	r.p.RequestContext = append([]byte("request "), byte(len(r.p.Got)))
	return r.send(r.p.CertificateRequest())
}

// finishedClient is a client that the server has asked in the handshake, and that has
// the server's Finished, with a kind of task lifted out.
func finishedClient(t *testing.T, kind TaskKind) *rig {
	t.Helper()
	r := newClientRig(t, withCertificate, func(c *Config) { c.Tasks = Tasks(kind) }).bring(StateWaitCertificate)
	return r.tryBring(StateConnected)
}

// walkAuthentication leads through everything that authentication adds to the
// tables.
func walkAuthentication(t *testing.T, edges map[edge]bool) {
	finishWalk(newAuthServer(t), edges, 0)
	none := newAuthServer(t, func(c *Config) { c.ClientAuth = tls.RequestClientCert })
	none.p.Certificate = tls.Certificate{}
	none.path = []pathStep{
		{StateWaitClientCertificate, authServerPath[0].do},
		{StateWaitClientFinished, authServerPath[1].do},
		{StateConnected, authServerPath[3].do},
	}
	finishWalk(none, edges, 0)
	finishWalk(newClientRig(t, withCertificate), edges, StateWaitCertificate)

	for _, cert := range []tls.Certificate{clientCertificateOf(), {}} {
		server := newPostServer(t)
		watch(server.m, edges)
		server.p.Certificate = cert
		server.ask()
		server.answer()
		server.wantState(StateConnected)

		client := newPostClient(t, func(c *Config) {
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
		})
		watch(client.m, edges)
		client.bring(StateConnected).request()
		client.wantState(StateConnected)
	}
}

// answer makes the peer answer a request behind the handshake.
func (r *rig) answer() {
	r.Helper()
	for _, build := range r.answers() {
		r.send(build(r.p))
	}
}

func (r *rig) answers() []func(*tlstest.Peer) []byte {
	if len(r.p.Certificate.Certificate) == 0 {
		return []func(*tlstest.Peer) []byte{(*tlstest.Peer).CertificateMessage, (*tlstest.Peer).Finished}
	}
	return []func(*tlstest.Peer) []byte{(*tlstest.Peer).CertificateMessage, (*tlstest.Peer).CertificateVerify, (*tlstest.Peer).Finished}
}
