package tlscore

import (
	"bytes"
	"crypto/tls"
	"errors"
	"slices"
	"sync"
	"testing"

	"tlscore.example/tlscore/internal/record"
	"tlscore.example/tlscore/internal/tlstest"
	"tlscore.example/tlscore/internal/wire"
)

// What the tests of this package share: a machine with a scripted peer at its
// other end.

// rig is a machine and its peer.
type rig struct {
	*testing.T
	m *Machine
	p *tlstest.Peer

	client bool       // the machine is one
	path   []pathStep // of a handshake that is not the usual one
	events []EventKind
	data   []byte
	closed Event // the EventClosed, if any
}

func testClientConfig() *Config {
	return &Config{Time: tlstest.Clock, RootCAs: tlstest.Roots(), ServerName: "localhost", MinVersion: tls.VersionTLS13}
}

func testServerConfig() *Config {
	return &Config{Time: tlstest.Clock, Certificates: []tls.Certificate{localhost()}, MinVersion: tls.VersionTLS13}
}

var localhost = sync.OnceValue(func() tls.Certificate { return tlstest.Certificate(tlstest.Leaf{}) })

// suitesOf returns the cipher suites of a version.
func suitesOf(version uint16) (list []*cipherSuite) {
	for _, s := range cipherSuites {
		if s.version == version {
			list = append(list, s)
		}
	}
	return list
}

// newClientRig returns a client whose config was changed.
func newClientRig(t *testing.T, change ...func(*Config)) *rig {
	t.Helper()
	cfg := testClientConfig()
	for _, f := range change {
		f(cfg)
	}
	return clientRigOf(t, cfg)
}

func clientRigOf(t *testing.T, cfg *Config) *rig {
	t.Helper()
	m, err := NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &rig{T: t, m: m, p: tlstest.NewPeer(true), client: true, path: clientPath}
}

// newServerRig returns a server whose config was changed.
func newServerRig(t *testing.T, change ...func(*Config)) *rig {
	t.Helper()
	cfg := testServerConfig()
	for _, f := range change {
		f(cfg)
	}
	return serverRigOf(t, cfg)
}

func serverRigOf(t *testing.T, cfg *Config) *rig {
	t.Helper()
	m, err := NewServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &rig{T: t, m: m, p: tlstest.NewPeer(false), path: serverPath}
}

// newClientRig12 returns a client that speaks both versions, with a peer that speaks
// TLS 1.2 alone.
func newClientRig12(t *testing.T, change ...func(*Config)) *rig {
	t.Helper()
	r := newClientRig(t, append([]func(*Config){bothVersions, withStapling}, change...)...)
	r.p, r.path = tlstest.NewPeer12(true), clientPath12
	return r
}

// newServerRig12 is newClientRig12 for a server.
func newServerRig12(t *testing.T, change ...func(*Config)) *rig {
	t.Helper()
	r := newServerRig(t, append([]func(*Config){bothVersions}, change...)...)
	r.p, r.path = tlstest.NewPeer12(false), serverPath12
	return r
}

func withStapling(c *Config) { c.OCSPStapling = true }

func bothVersions(c *Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS13 }

func newAcceptorRig(t *testing.T) *rig {
	t.Helper()
	m, err := NewAcceptor(Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return &rig{T: t, m: m, p: tlstest.NewPeer(false), path: serverPath}
}

// step gives b to the machine until it stops, returns the stop and how many
// bytes were consumed, and lets the peer read the output.
func (r *rig) step(b []byte) (stop Event, n int) {
	r.Helper()
	for {
		ev, k := r.m.Step(b[n:])
		n += k
		r.events = append(r.events, ev.Kind)
		r.data = append(r.data, ev.Data...)
		if ev.Kind == EventClosed {
			r.closed = ev
		}
		if ev.Stop() {
			r.read()
			return ev, n
		}
	}
}

// read gives the machine's output to the peer.
func (r *rig) read() []tlstest.Item {
	r.Helper()
	out := bytes.Clone(r.m.Output())
	r.m.Sent(len(out))
	items := r.p.Receive(out)
	if r.p.Err != nil {
		r.Fatalf("the peer refuses what the machine sent: %v (state %v, error %v)", r.p.Err, r.m.State(), r.m.Err())
	}
	return items
}

// run gives the machine what the peer has sent.
func (r *rig) run() Event {
	r.Helper()
	ev, _ := r.step(r.p.Take())
	return ev
}

// send sends messages of the peer in one record, and runs.
func (r *rig) send(messages ...[]byte) Event {
	r.Helper()
	r.p.Send(messages...)
	return r.run()
}

// path has the states of a role in the order of a handshake, and what the peer
// does to get from each to the next.
type pathStep struct {
	to State
	do func(*rig)
}

var clientPath = []pathStep{
	{StateWaitServerHello, func(r *rig) { r.step(nil) }},
	{StateWaitEncryptedExtensions, func(r *rig) { r.send(r.p.ServerHello()) }},
	{StateWaitCertificateOrRequest, func(r *rig) { r.send(r.p.EncryptedExtensions()) }},
	{StateWaitCertificateVerify, func(r *rig) { r.send(r.p.CertificateMessage()) }},
	{StateWaitServerFinished, func(r *rig) { r.send(r.p.CertificateVerify()) }},
	{StateConnected, func(r *rig) { r.send(r.p.Finished()) }},
}

var serverPath = []pathStep{
	{StateWaitClientFinished, func(r *rig) { r.send(r.p.ClientHello()) }},
	{StateConnected, func(r *rig) { r.send(r.p.Finished()) }},
}

var clientPath12 = []pathStep{
	{StateWaitServerHello, func(r *rig) { r.step(nil) }},
	{StateWaitCertificate, func(r *rig) { r.send(r.p.ServerHello()) }},
	{StateWaitServerKeyExchange, func(r *rig) { r.send(r.p.CertificateMessage()) }},
	{StateWaitRequestOrHelloDone, func(r *rig) { r.send(r.p.ServerKeyExchange()) }},
	{StateWaitServerChangeCipherSpec, func(r *rig) { r.send(r.p.ServerHelloDone()) }},
	{StateWaitServerFinished, func(r *rig) { r.p.SendCCS(); r.run() }},
	{StateConnected, func(r *rig) { r.send(r.p.Finished()) }},
}

var serverPath12 = []pathStep{
	{StateWaitClientKeyExchange, func(r *rig) { r.send(r.p.ClientHello()) }},
	{StateWaitClientChangeCipherSpec, func(r *rig) { r.send(r.p.ClientKeyExchange()) }},
	{StateWaitClientFinished, func(r *rig) { r.p.SendCCS(); r.run() }},
	{StateConnected, func(r *rig) { r.send(r.p.Finished()) }},
}

// tls12 reports whether the peer speaks TLS 1.2.
func (r *rig) tls12() bool { return r.p.Version == wire.VersionTLS12 }

// bring brings the machine of the rig into a state, by way of those before it.
func (r *rig) bring(s State) *rig {
	r.Helper()
	r.tryBring(s)
	if r.m.State() != s {
		r.Fatalf("in state %v instead of %v: %v", r.m.State(), s, r.m.Err())
	}
	return r
}

// tryBring is bring for handshakes that may fail on the way.
func (r *rig) tryBring(s State) *rig {
	r.Helper()
	path := r.path
	if r.tls12() && r.detour12(s) {
		return r
	}
	switch s {
	case StateClientStart, StateWaitClientHello:
		return r
	case StateWaitServerHelloRetry:
		r.bring(StateWaitServerHello)
		r.p.Group = wire.GroupP256
		r.send(r.p.HelloRetryRequest())
		return r
	case StateWaitCertificate:
		if r.tls12() {
			break
		}
		r.bring(StateWaitCertificateOrRequest)
		r.send(r.p.CertificateRequest())
		return r
	case StateWaitAccept:
		r.send(r.p.ClientHello())
		return r
	case StateWaitClientHelloRetry:
		r.p.Shares = []wire.NamedGroup{}
		r.send(r.p.ClientHello())
		return r
	case StateClosed:
		r.bring(StateConnected)
		r.p.SendAlert(1, 0)
		r.run()
		return r
	case StateFailed:
		r.bring(StateConnected)
		if err := r.m.Reject(AlertAccessDenied); err != nil {
			r.Fatal(err)
		}
		r.read()
		return r
	case StateMoved:
		r.bring(StateConnected)
		if _, err := r.m.ExportTrafficSecrets(); err != nil {
			r.Fatal(err)
		}
		return r
	case StateReleased:
		r.bring(StateConnected)
		r.m.Release()
		return r
	}
	now := r.m.State()
	switch now { // the detours lead back to the path
	case StateWaitServerHelloRetry:
		now = StateWaitServerHello
	case StateWaitCertificate:
		if !r.tls12() {
			now = StateWaitCertificateOrRequest
		}
	case StateWaitCertificateStatus:
		now = StateWaitServerKeyExchange
	case StateWaitServerHelloDone:
		now = StateWaitRequestOrHelloDone
	}
	from := slices.IndexFunc(path, func(step pathStep) bool { return step.to == now })
	for _, step := range path[from+1:] {
		if r.m.State() == StateFailed {
			return r
		}
		if step.do(r); step.to == s {
			return r
		}
	}
	return r
}

// detour12 leads to the states of TLS 1.2 that are not on the path.
func (r *rig) detour12(s State) bool {
	r.Helper()
	switch s {
	case StateWaitCertificateStatus:
		r.p.OnServerHello = announce(wire.ExtStatusRequest)
		r.bring(StateWaitCertificate)
		r.send(r.p.CertificateMessage())
	case StateWaitServerHelloDone:
		r.bring(StateWaitRequestOrHelloDone)
		r.send(r.p.CertificateRequest())
	default:
		return false
	}
	return true
}

// announce is a hook that adds an empty extension.
func announce(t wire.ExtensionType) func(*wire.ServerHello) {
	return func(m *wire.ServerHello) { m.Extensions = append(m.Extensions, tlstest.Extensions(t)...) }
}

// reasonOf returns the reason of a failure, or reasonNone.
func reasonOf(err error) Reason {
	var protocol *ProtocolError
	if errors.As(err, &protocol) {
		return protocol.Reason
	}
	var local *LocalError
	if errors.As(err, &local) {
		return local.Reason
	}
	return reasonNone
}

// wantState checks that the machine lives, in that state.
func (r *rig) wantState(s State) {
	r.Helper()
	if r.m.State() != s || r.m.Err() != nil {
		r.Fatalf("state %v (%v), want %v", r.m.State(), r.m.Err(), s)
	}
}

// wantFailed checks that the machine has failed for that reason, and that the
// peer has read exactly one fatal alert, the one of the reason, last.
func (r *rig) wantFailed(reason Reason) {
	r.Helper()
	r.read()
	if r.m.State() != StateFailed || reasonOf(r.m.Err()) != reason {
		r.Fatalf("state %v, error %v; want failure for %v", r.m.State(), r.m.Err(), reason)
	}
	alert, sends := AlertOf(r.m.Err())
	fatal := 0
	for _, a := range r.p.Alerts() {
		if a[0] == alertLevelFatal {
			fatal++
		}
	}
	if !sends {
		if fatal > 0 {
			r.Fatalf("%v sent the alerts %v", reason, r.p.Alerts())
		}
		return
	}
	last := r.p.Last()
	if fatal != 1 || last.Type != record.TypeAlert || !bytes.Equal(last.Body, []byte{alertLevelFatal, byte(alert)}) {
		r.Fatalf("%v: received alerts %v, last %v; want one %v", reason, r.p.Alerts(), last, alert)
	}
}

// wantAlert is wantFailed that names the alert too, as the RFC does.
func (r *rig) wantAlert(reason Reason, alert Alert) {
	r.Helper()
	r.wantFailed(reason)
	if last := r.p.Last(); last.Body[1] != byte(alert) {
		r.Fatalf("%v sent %v, want %v", reason, Alert(last.Body[1]), alert)
	}
}

// wantRemoteAlert checks that the machine has failed by the peer's alert and has
// sent none.
func (r *rig) wantRemoteAlert(alert Alert) {
	r.Helper()
	r.read()
	var remote *RemoteAlert
	if r.m.State() != StateFailed || !errors.As(r.m.Err(), &remote) || remote.Alert != alert {
		r.Fatalf("state %v, error %v; want the peer's %v", r.m.State(), r.m.Err(), alert)
	}
	if len(r.p.Alerts()) > 0 {
		r.Fatalf("answered an alert with %v", r.p.Alerts())
	}
}

// wantConnected checks that the handshake completes from here, with data in both
// directions.
func (r *rig) wantConnected() {
	r.Helper()
	r.bring(StateConnected)
	r.data = nil
	r.p.SendRecord(record.TypeApplicationData, []byte("ping"))
	r.run()
	if n, err := r.m.Write([]byte("pong")); n != 4 || err != nil {
		r.Fatalf("Write: %d, %v", n, err)
	}
	r.read()
	if string(r.data) != "ping" || string(r.p.Last().Body) != "pong" || r.p.Last().Epoch != tlstest.Application {
		r.Fatalf("machine got %q, peer %q", r.data, r.p.Last().Body)
	}
}
