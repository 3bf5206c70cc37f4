package tlscore

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"io"
	"math"
	"slices"
	"testing"
	"time"

	"tlscore.example/tlscore/internal/record"
	"tlscore.example/tlscore/internal/tlstest"
	"tlscore.example/tlscore/internal/wire"
)

// scenario is a way to fail for a reason: it returns a machine that has failed,
// in the state that it failed in.
type scenario struct {
	name  string
	state State
	run   func(*testing.T) *rig
	// under is the epoch of the alert where the state does not tell: a server
	// that fails inside its own flight.
	under tlstest.Epoch
}

// clientAt brings a client into a state and goes on from there.
func clientAt(s State, do func(*rig), change ...func(*Config)) scenario {
	return scenario{name: "client", state: s, run: func(t *testing.T) *rig {
		r := newClientRig(t, change...).bring(s)
		do(r)
		r.run()
		return r
	}}
}

// serverAt is clientAt for a server.
func serverAt(s State, do func(*rig), change ...func(*Config)) scenario {
	return scenario{name: "server", state: s, run: func(t *testing.T) *rig {
		r := newServerRig(t, change...).bring(s)
		do(r)
		r.run()
		return r
	}}
}

// clientAt12 is clientAt for a client whose server speaks TLS 1.2.
func clientAt12(s State, do func(*rig), change ...func(*Config)) scenario {
	return scenario{name: "client12", state: s, run: func(t *testing.T) *rig {
		r := newClientRig12(t, change...).bring(s)
		do(r)
		r.run()
		return r
	}}
}

// serverAt12 is clientAt12 for a server.
func serverAt12(s State, do func(*rig), change ...func(*Config)) scenario {
	return scenario{name: "server12", state: s, run: func(t *testing.T) *rig {
		r := newServerRig12(t, change...).bring(s)
		do(r)
		r.run()
		return r
	}}
}

// badServerHello12 is a ServerHello of TLS 1.2 that a client refuses.
func badServerHello12(hook func(*wire.ServerHello), change ...func(*Config)) scenario {
	return clientAt12(StateWaitServerHello, func(r *rig) {
		r.p.OnServerHello = hook
		r.p.Send(r.p.ServerHello())
	}, change...)
}

// badClientHello12 is a ClientHello of TLS 1.2 that a server refuses.
func badClientHello12(hook func(*wire.ClientHello), change ...func(*Config)) scenario {
	return serverAt12(StateWaitClientHello, func(r *rig) {
		r.p.OnClientHello = hook
		r.p.Send(r.p.ClientHello())
	}, change...)
}

// acceptorAt is clientAt for an acceptor.
func acceptorAt(s State, do func(*rig), change ...func(*Config)) scenario {
	return scenario{name: "acceptor", state: s, run: func(t *testing.T) *rig {
		r := newAcceptorRig(t)
		if s == StateWaitAccept {
			r.bring(s)
		}
		do(r)
		r.run()
		r.accept(change...)
		return r
	}}
}

// accept answers an acceptor that waits.
func (r *rig) accept(change ...func(*Config)) {
	if r.m.State() != StateWaitAccept {
		return
	}
	cfg := testServerConfig()
	for _, f := range change {
		f(cfg)
	}
	if err := r.m.Accept(cfg); err != nil {
		r.Fatal(err)
	}
	r.step(nil)
}

// onHello is a ClientHello that is refused: by a server, and by an acceptor when
// it parses it (at StateWaitClientHello) or answers it (at StateWaitAccept).
func onHello(acceptorFailsIn State, prepare func(*tlstest.Peer), change ...func(*Config)) []scenario {
	send := func(r *rig) {
		prepare(r.p)
		r.p.Send(r.p.ClientHello())
	}
	acceptor := acceptorAt(StateWaitClientHello, send, change...)
	acceptor.state = acceptorFailsIn
	return []scenario{serverAt(StateWaitClientHello, send, change...), acceptor}
}

// refusedHello is onHello for what a hook does to the ClientHello.
func refusedHello(hook func(*wire.ClientHello), change ...func(*Config)) []scenario {
	return onHello(StateWaitAccept, func(p *tlstest.Peer) { p.OnClientHello = hook }, change...)
}

// malformedHello is refusedHello for one that an acceptor does not show.
func malformedHello(hook func(*wire.ClientHello)) []scenario {
	return onHello(StateWaitClientHello, func(p *tlstest.Peer) { p.OnClientHello = hook })
}

// badServerHello is a ServerHello that a client refuses.
func badServerHello(hook func(*wire.ServerHello)) scenario {
	return clientAt(StateWaitServerHello, func(r *rig) {
		r.p.OnServerHello = hook
		r.p.Send(r.p.ServerHello())
	})
}

// badRetry is a HelloRetryRequest that a client refuses.
func badRetry(hook func(*wire.ServerHello)) scenario {
	return clientAt(StateWaitServerHello, func(r *rig) {
		r.p.Group = wire.GroupP256
		r.p.OnHelloRetryRequest = hook
		r.p.Send(r.p.HelloRetryRequest())
	})
}

// badCertificate is a chain that a client refuses.
func badCertificate(leaf tlstest.Leaf, change ...func(*Config)) scenario {
	return clientAt(StateWaitCertificateOrRequest, func(r *rig) {
		r.p.Certificate = tlstest.Certificate(leaf)
		r.p.Send(r.p.CertificateMessage())
	}, change...)
}

// everywhere does the same in the states of all epochs, as client and as server.
func everywhere(do func(*rig), change ...func(*Config)) []scenario {
	return []scenario{
		clientAt(StateWaitServerHello, do, change...),
		clientAt(StateWaitEncryptedExtensions, do, change...),
		clientAt(StateConnected, do, change...),
		serverAt(StateWaitClientHello, do, change...),
		acceptorAt(StateWaitClientHello, do, change...),
		serverAt(StateWaitClientFinished, do, change...),
		serverAt(StateConnected, do, change...),
	}
}

// connectedRoles does the same to a connected client and a connected server.
func connectedRoles(do func(*rig)) []scenario {
	return []scenario{clientAt(StateConnected, do), serverAt(StateConnected, do)}
}

// keyed does the same wherever records are protected.
func keyed(do func(*rig)) []scenario {
	return []scenario{
		clientAt(StateWaitEncryptedExtensions, do),
		clientAt(StateWaitServerFinished, do),
		clientAt(StateConnected, do),
		serverAt(StateWaitClientFinished, do),
		serverAt(StateConnected, do),
	}
}

func raw(b string) func(*rig) { return func(r *rig) { r.p.SendRaw([]byte(b)) } }

// first is what makes no sense as the first bytes of a peer.
func first(b string) []scenario {
	return []scenario{
		clientAt(StateWaitServerHello, raw(b)),
		serverAt(StateWaitClientHello, raw(b)),
		acceptorAt(StateWaitClientHello, raw(b)),
	}
}

func repeat(n int, do func(*rig)) func(*rig) {
	return func(r *rig) {
		for range n {
			do(r)
		}
	}
}

// behind sends a message with a byte behind it in the same record.
func behind(build func(*tlstest.Peer) []byte) func(*rig) {
	return func(r *rig) {
		msg := build(r.p)
		r.p.Hash(msg)
		r.p.SendRecord(record.TypeHandshake, append(msg, 1))
	}
}

// interleaved sends the start of a message, then something else.
func interleaved(build func(*tlstest.Peer) []byte, then func(*rig)) func(*rig) {
	return func(r *rig) {
		r.p.SendRecord(record.TypeHandshake, build(r.p)[:2])
		then(r)
	}
}

func sendCCS(r *rig)          { r.p.SendCCS() }
func sendUserCanceled(r *rig) { r.p.SendAlert(1, byte(AlertUserCanceled)) }
func withData(r *rig)         { r.p.SendRecord(record.TypeApplicationData, []byte("data")) }
func withoutData(r *rig)      { r.p.SendRecord(record.TypeApplicationData, nil) }
func withKeyUpdate(r *rig)    { r.p.Send(r.p.KeyUpdate(0)) }
func withTicket(r *rig)       { r.p.Send(r.p.NewSessionTicket()) }
func withGarbage(r *rig)      { r.p.SendPlain(record.TypeApplicationData, make([]byte, 40)) }
func plainKeyUpdate(r *rig) {
	r.p.SendRecord(record.TypeHandshake, tlstest.Message(wire.TypeHelloRequest))
}
func eof(r *rig)     { r.m.EOF() }
func cancel(r *rig)  { r.m.CloseWrite() }
func exhaust(r *rig) { r.m.in.key.Restore(math.MaxUint64, 0); withData(r) }
func nothing(*rig)   {}
func addEarlyData(p *tlstest.Peer) {
	p.OnClientHello = func(m *wire.ClientHello) {
		m.Extensions = append(m.Extensions, wire.Extension{Type: wire.ExtEarlyData})
	}
}

// The applications that fail.

var errTest = errors.New("error of the test")

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

func withRand(f readerFunc) func(*Config) { return func(c *Config) { c.Rand = f } }

func failingReader([]byte) (int, error)   { return 0, errTest }
func shortReader([]byte) (int, error)     { return 0, io.EOF }
func panickingReader([]byte) (int, error) { panic("Rand") }
func zeroReader(b []byte) (int, error)    { clear(b); return len(b), nil }

// testSigner is the key of the test certificate, with a Sign of the test.
type testSigner struct {
	crypto.Signer
	sign func() ([]byte, error)
}

func (s testSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return s.sign() }

func withSigner(sign func() ([]byte, error)) func(*Config) {
	return func(c *Config) {
		cert := localhost()
		cert.PrivateKey = testSigner{cert.PrivateKey.(crypto.Signer), sign}
		c.Certificates = []tls.Certificate{cert}
	}
}

func withGetCertificate(f func(*tls.ClientHelloInfo) (*tls.Certificate, error)) func(*Config) {
	return func(c *Config) { c.Certificates, c.GetCertificate = nil, f }
}

func withConnectionCheck(f func(tls.ConnectionState) error) func(*Config) {
	return func(c *Config) { c.VerifyConnection = f }
}

func onlyP256(c *Config) { c.CurvePreferences = []tls.CurveID{tls.CurveP256} }

// inFlight marks a server that fails inside its flight, when it has told the
// client the ServerHello.
func inFlight(list []scenario) []scenario {
	for i := range list {
		list[i].under = tlstest.Handshake
	}
	return list
}

// anyHello is onHello with a correct ClientHello: what fails is the server.
func anyHello(change ...func(*Config)) []scenario {
	return onHello(StateWaitAccept, func(*tlstest.Peer) {}, change...)
}

// reasonTest says what a reason sends, as it stands on the wire, and how it comes
// about.
type reasonTest struct {
	alert     string // level and description; empty when nothing is sent
	scenarios []scenario
}

var reasonTests = map[Reason]reasonTest{
	// Records.

	ReasonNotTLS:        {"020a", first("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")},
	ReasonSSLv2:         {"0246", first("\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10")},
	ReasonRecordVersion: {"0246", slices.Concat(first("\x16\x02\x00\x00\x05hello"), first("\x15\x04\x00\x00\x02\x02\x28"))},
	ReasonRecordVersionChanged: {"0246", []scenario{
		clientAt12(StateWaitCertificate, raw("\x16\x03\x01\x00\x04")), clientAt12(StateConnected, raw("\x17\x03\x04\x00\x20")),
		serverAt12(StateWaitClientKeyExchange, raw("\x16\x03\x02\x00\x04")), serverAt12(StateConnected, raw("\x15\x02\x03\x00\x1a")),
	}},
	ReasonRecordOverflow: {"0216", slices.Concat(
		first("\x16\x03\x01\x40\x01"), first("\x15\x03\x03\xff\xff"),
		keyed(raw("\x17\x03\x03\x41\x01")),
		keyed(func(r *rig) { r.p.SendSealed(append(make([]byte, record.MaxInner), 23)) }),
	)},
	ReasonBadRecordMAC: {"0214", slices.Concat(keyed(withGarbage), keyed(raw("\x17\x03\x03\x00\x00")), keyed(raw("\x17\x03\x03\x00\x10................")))},
	ReasonUnexpectedRecord: {"020a", slices.Concat(
		first("\x17\x03\x03\x00\x05"),
		keyed(raw("\x16\x03\x03\x00\x04")), keyed(raw("\x18\x03\x03\x00\x04")),
		keyed(func(r *rig) { r.p.SendRecord(record.TypeChangeCipherSpec, []byte{1}) }),
		[]scenario{
			serverAt(StateWaitClientHello, sendCCS), serverAt(StateConnected, sendCCS), clientAt(StateConnected, sendCCS),
			serverAt(StateWaitClientFinished, withData), clientAt(StateWaitServerFinished, withData),
		},
	)},
	ReasonEmptyRecord: {"020a", slices.Concat(
		first("\x16\x03\x01\x00\x00"), first("\x15\x03\x03\x00\x00"),
		keyed(func(r *rig) { r.p.SendRecord(record.TypeHandshake, nil) }),
		keyed(func(r *rig) { r.p.SendRecord(record.TypeAlert, nil) }),
		keyed(func(r *rig) { r.p.SendSealed([]byte{22, 0, 0, 0, 0}) }),
	)},
	ReasonNoContentType: {"020a", slices.Concat(
		keyed(func(r *rig) { r.p.SendSealed(make([]byte, 20)) }),
		keyed(func(r *rig) { r.p.SendSealed(make([]byte, record.MaxInner)) }),
		keyed(func(r *rig) { r.p.SendSealed(nil) }),
	)},
	ReasonBadChangeCipherSpec: {"020a", slices.Concat(
		first("\x14\x03\x03\x00\x02\x01\x01"), first("\x14\x03\x03\x00\x00"),
		keyed(raw("\x14\x03\x03\x00\x02\x01\x01")),
		[]scenario{
			clientAt(StateWaitServerHello, raw("\x14\x03\x03\x00\x01\x02")),
			clientAt(StateWaitServerFinished, raw("\x14\x03\x03\x00\x01\x00")),
			serverAt(StateWaitClientHelloRetry, raw("\x14\x03\x03\x00\x01\x02")),
			serverAt(StateWaitClientFinished, raw("\x14\x03\x03\x00\x01\x02")),
		},
	)},
	ReasonBadAlert: {"0232", slices.Concat(
		first("\x15\x03\x03\x00\x01\x02"),
		everywhere(func(r *rig) { r.p.SendRecord(record.TypeAlert, []byte{1, 0, 1, 0}) }),
	)},
	ReasonInterleavedHandshake: {"020a", slices.Concat(
		[]scenario{
			clientAt(StateWaitServerHello, interleaved((*tlstest.Peer).ServerHello, sendCCS)),
			clientAt(StateWaitServerHello, interleaved((*tlstest.Peer).ServerHello, sendUserCanceled)),
			serverAt(StateWaitClientHello, interleaved((*tlstest.Peer).ClientHello, sendCCS)),
			serverAt(StateWaitClientHello, interleaved((*tlstest.Peer).ClientHello, sendUserCanceled)),
			acceptorAt(StateWaitClientHello, interleaved((*tlstest.Peer).ClientHello, sendCCS)),
			serverAt(StateWaitClientFinished, interleaved((*tlstest.Peer).Finished, sendCCS)),
		},
		keyed(interleaved((*tlstest.Peer).Finished, withData)),
		keyed(interleaved((*tlstest.Peer).Finished, withoutData)),
		keyed(interleaved((*tlstest.Peer).Finished, sendUserCanceled)),
	)},
	ReasonKeyChangeAlignment: {"020a", slices.Concat(
		connectedRoles(behind(func(p *tlstest.Peer) []byte { return p.KeyUpdate(1) })),
		[]scenario{
			clientAt(StateWaitServerHello, behind((*tlstest.Peer).ServerHello)),
			clientAt(StateWaitServerHello, behind(func(p *tlstest.Peer) []byte {
				p.Group = wire.GroupP256
				return p.HelloRetryRequest()
			})),
			clientAt(StateWaitServerHelloRetry, behind((*tlstest.Peer).ServerHello)),
			clientAt(StateWaitServerFinished, behind((*tlstest.Peer).Finished)),
			serverAt(StateWaitClientHello, behind((*tlstest.Peer).ClientHello)),
			acceptorAt(StateWaitClientHello, behind((*tlstest.Peer).ClientHello)),
			serverAt(StateWaitClientHelloRetry, behind(clientHelloOf)),
			serverAt(StateWaitClientFinished, behind((*tlstest.Peer).Finished)),
		},
	)},
	ReasonTooManyWarnings: {"020a", slices.Concat(
		everywhere(repeat(maxWarnings+1, sendUserCanceled)),
		[]scenario{
			clientAt(StateWaitServerHello, repeat(maxWarnings+1, func(r *rig) { r.p.SendAlert(1, 112) })),
			serverAt(StateWaitClientHello, repeat(maxWarnings+1, func(r *rig) { r.p.SendAlert(1, 112) })),
		},
	)},
	ReasonTooManyEmptyRecords: {"020a", connectedRoles(repeat(maxEmptyRecords+1, withoutData))},
	ReasonTooManyChangeCipherSpecs: {"020a", []scenario{
		clientAt(StateWaitServerHello, repeat(maxChangeCipherSpecs+1, sendCCS)),
		clientAt(StateWaitServerFinished, repeat(maxChangeCipherSpecs+1, sendCCS)),
		serverAt(StateWaitClientHelloRetry, repeat(maxChangeCipherSpecs+1, sendCCS)),
		serverAt(StateWaitClientFinished, repeat(maxChangeCipherSpecs+1, sendCCS)),
	}},
	ReasonTooManyKeyUpdates:     {"020a", connectedRoles(repeat(maxKeyUpdates+1, withKeyUpdate))},
	ReasonTooManySessionTickets: {"020a", []scenario{clientAt(StateConnected, repeat(maxSessionTickets+1, withTicket))}},
	ReasonTooMuchEarlyData: {"020a", []scenario{
		earlyData(StateWaitClientFinished, defaultSkippedEarlyData+1),
		earlyData(StateWaitClientHelloRetry, defaultSkippedEarlyData+1),
	}},

	// Handshake messages.

	ReasonUnexpectedMessage: {"020a", slices.Concat(
		everywhere(plainKeyUpdate),
		[]scenario{acceptorAt(StateWaitClientHello, func(r *rig) { r.p.Send(r.p.Finished()) })},
	)},
	ReasonClientHelloTooLarge: {"022f", []scenario{
		serverAt(StateWaitClientHello, raw("\x16\x03\x01\x00\x04\x01\x01\x00\x00")),
		acceptorAt(StateWaitClientHello, raw("\x16\x03\x01\x00\x04\x01\x01\x00\x00")),
		serverAt(StateWaitClientHelloRetry, raw("\x16\x03\x03\x00\x04\x01\x01\x00\x00")),
		serverAt(StateWaitClientHello, raw("\x16\x03\x01\x00\x04\x01\x00\x00\x10\x16\x03\x01\x3f\xff"), func(c *Config) { c.Limits.ClientHello = 16 << 10 }),
	}},
	ReasonMessageTooLarge: {"022f", []scenario{
		clientAt(StateWaitServerHello, raw("\x16\x03\x03\x00\x04\x02\x02\x00\x00")),
		clientAt(StateWaitCertificateOrRequest, func(r *rig) { r.p.SendRecord(record.TypeHandshake, []byte{11, 2, 0, 0}) }),
		serverAt(StateWaitClientFinished, func(r *rig) { r.p.SendRecord(record.TypeHandshake, []byte{20, 2, 0, 0}) }),
		hugeCookie(),
	}},
	ReasonMalformedMessage: {"0232", []scenario{
		serverAt(StateWaitClientHello, raw("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03")),
		acceptorAt(StateWaitClientHello, raw("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03")),
		serverAt(StateWaitClientHelloRetry, raw("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03")),
		clientAt(StateWaitServerHello, raw("\x16\x03\x03\x00\x04\x02\x00\x00\x00")),
		clientAt(StateWaitServerHello, func(r *rig) {
			r.p.Send(tlstest.Message(wire.TypeServerHello, append([]byte{3, 3}, wire.HelloRetryRequestRandom[:]...)...))
		}),
		clientAt(StateWaitEncryptedExtensions, func(r *rig) { r.p.Send(tlstest.Message(wire.TypeEncryptedExtensions)) }),
		clientAt(StateWaitCertificateOrRequest, func(r *rig) { r.p.Send(tlstest.Message(wire.TypeCertificateRequest)) }),
		clientAt(StateWaitCertificateOrRequest, func(r *rig) { r.p.Send(tlstest.Message(wire.TypeCertificate)) }),
		clientAt(StateWaitCertificateVerify, func(r *rig) { r.p.Send(tlstest.Message(wire.TypeCertificateVerify, 4, 3, 0)) }),
		clientAt(StateConnected, func(r *rig) { r.p.Send(tlstest.Message(wire.TypeNewSessionTicket, 1, 2, 3)) }),
		clientAt(StateConnected, func(r *rig) { r.p.Send(tlstest.Message(wire.TypeKeyUpdate)) }),
		serverAt(StateConnected, func(r *rig) { r.p.Send(tlstest.Message(wire.TypeKeyUpdate, 0, 0)) }),
	}},
	ReasonDuplicateExtension: {"022f", slices.Concat(
		malformedHello(func(m *wire.ClientHello) { m.Extensions = append(m.Extensions, m.Extensions[0]) }),
		[]scenario{
			badServerHello(func(m *wire.ServerHello) { m.Extensions = append(m.Extensions, m.Extensions[0]) }),
			badEncryptedExtensions(wire.Extension{Type: wire.ExtServerName}, wire.Extension{Type: wire.ExtServerName}),
		},
	)},
	ReasonMisplacedExtension: {"022f", slices.Concat(
		malformedHello(func(m *wire.ClientHello) {
			m.Extensions = append(m.Extensions, wire.Extension{Type: wire.ExtOIDFilters, Data: []byte{0, 0}})
		}),
		[]scenario{
			badServerHello(func(m *wire.ServerHello) {
				m.Extensions = append(m.Extensions, wire.Extension{Type: wire.ExtServerName})
			}),
			badEncryptedExtensions(wire.Extension{Type: wire.ExtKeyShare, Data: []byte{0, 29, 0, 1, 1}}),
		},
	)},
	ReasonUnsolicitedExtension: {"026e", []scenario{
		badServerHello(func(m *wire.ServerHello) {
			m.Extensions = append(m.Extensions, wire.Extension{Type: wire.ExtPreSharedKey})
		}),
		badRetry(func(m *wire.ServerHello) {
			m.Extensions = append(m.Extensions, wire.Extension{Type: 0xabcd, Data: []byte{}})
		}),
		badEncryptedExtensions(wire.Extension{Type: wire.ExtALPN, Data: []byte{0, 3, 2, 'h', '2'}}),
		clientAt(StateWaitCertificateOrRequest, func(r *rig) {
			r.p.OnCertificate = func(m *wire.Certificate) {
				m.Entries[0].Extensions = []wire.Extension{{Type: wire.ExtStatusRequest, Data: []byte{1, 0, 0, 1, 9}}}
			}
			r.p.Send(r.p.CertificateMessage())
		}),
	}},
	ReasonMissingExtension: {"026d", slices.Concat(
		refusedHello(without(wire.ExtKeyShare)), refusedHello(without(wire.ExtSupportedGroups)), refusedHello(without(wire.ExtSignatureAlgorithms)),
		refusedHello(func(m *wire.ClientHello) { addPSK(m) }),
		[]scenario{
			badServerHello(func(m *wire.ServerHello) { m.Extensions = m.Extensions[:1] }),
			clientAt(StateWaitCertificateOrRequest, func(r *rig) {
				r.p.OnCertificateRequest = func(m *wire.CertificateRequest) { m.Extensions = nil }
				r.p.Send(r.p.CertificateRequest())
			}),
		},
	)},

	// Negotiation.

	ReasonUnsupportedVersion: {"0246", slices.Concat(
		refusedHello(func(m *wire.ClientHello) { m.SupportedVersions = []wire.Version{wire.VersionTLS12} }),
		refusedHello(without(wire.ExtSupportedVersions)),
		refusedHello(func(m *wire.ClientHello) { m.NoExtensions = true }),
		refusedHello(func(m *wire.ClientHello) { m.LegacyVersion = wire.VersionTLS13 }),
		[]scenario{badServerHello(func(m *wire.ServerHello) { m.Extensions = nil })},
	)},
	ReasonLegacyVersion: {"0246", []scenario{
		badServerHello(func(m *wire.ServerHello) { m.LegacyVersion = wire.VersionTLS13 }),
		badServerHello(func(m *wire.ServerHello) { m.LegacyVersion = wire.VersionSSL30 }),
		badRetry(func(m *wire.ServerHello) { m.LegacyVersion = wire.VersionTLS10 }),
	}},
	ReasonVersionNotOffered: {"022f", []scenario{
		badServerHello(func(m *wire.ServerHello) { m.SupportedVersion = wire.VersionTLS12 }),
		badServerHello(func(m *wire.ServerHello) { m.SupportedVersion = 0x7f1c }),
		badRetry(func(m *wire.ServerHello) { m.SupportedVersion = 0x0305 }),
	}},
	ReasonInappropriateFallback: {"0256", []scenario{badClientHello12(withSuite(wire.TLS_FALLBACK_SCSV))}},
	ReasonDowngrade: {"022f", []scenario{
		badServerHello(downgraded(1)), badServerHello(downgraded(0)),
	}},
	ReasonCompression: {"022f", slices.Concat(
		refusedHello(func(m *wire.ClientHello) { m.CompressionMethods = []byte{1, 0} }),
		[]scenario{
			badServerHello(func(m *wire.ServerHello) { m.CompressionMethod = 1 }),
			badRetry(func(m *wire.ServerHello) { m.CompressionMethod = 1 }),
		},
	)},
	ReasonSessionIDMismatch: {"022f", []scenario{
		badServerHello(func(m *wire.ServerHello) { m.SessionID = nil }),
		badRetry(func(m *wire.ServerHello) { m.SessionID = m.SessionID[:31] }),
	}},
	ReasonNoCommonCipherSuite: {"0228", refusedHello(func(m *wire.ClientHello) {
		m.CipherSuites = []wire.CipherSuite{wire.TLS_AES_128_CCM_SHA256, wire.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}
	})},
	ReasonCipherSuiteNotOffered: {"022f", []scenario{
		badServerHello(func(m *wire.ServerHello) { m.CipherSuite = wire.TLS_AES_128_CCM_SHA256 }),
		badRetry(func(m *wire.ServerHello) { m.CipherSuite = wire.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 }),
	}},
	ReasonCipherSuiteChanged: {"022f", []scenario{clientAt(StateWaitServerHelloRetry, func(r *rig) {
		r.p.OnServerHello = func(m *wire.ServerHello) { m.CipherSuite = wire.TLS_AES_256_GCM_SHA384 }
		r.p.Send(r.p.ServerHello())
	})}},
	ReasonNoCommonGroup: {"0228", refusedHello(func(m *wire.ClientHello) {
		m.SupportedGroups, m.KeyShares = []wire.NamedGroup{wire.GroupX448, wire.GroupFFDHE2048}, nil
	})},
	ReasonGroupNotOffered: {"022f", []scenario{
		badServerHello(func(m *wire.ServerHello) { m.KeyShare.Group = wire.GroupP256 }),
		badRetry(func(m *wire.ServerHello) { m.SelectedGroup = wire.GroupX448 }),
		clientAt(StateWaitServerHelloRetry, func(r *rig) {
			r.p.OnServerHello = func(m *wire.ServerHello) { m.KeyShare.Group = wire.GroupX25519 }
			r.p.Send(r.p.ServerHello())
		}),
	}},
	ReasonDuplicateKeyShare: {"022f", refusedHello(func(m *wire.ClientHello) {
		m.KeyShares = append(m.KeyShares, m.KeyShares[0])
	})},
	ReasonUnlistedKeyShare: {"022f", refusedHello(func(m *wire.ClientHello) {
		m.KeyShares = append(m.KeyShares, wire.KeyShare{Group: wire.GroupP521, Data: []byte{4}})
	})},
	ReasonMissingKeyShare: {"022f", []scenario{
		serverAt(StateWaitClientHelloRetry, func(r *rig) {
			r.p.Shares = []wire.NamedGroup{wire.GroupP256}
			r.p.Send(r.p.ClientHello())
		}),
		serverAt(StateWaitClientHelloRetry, func(r *rig) {
			r.p.Shares = []wire.NamedGroup{wire.GroupX25519, wire.GroupP256}
			r.p.Send(r.p.ClientHello())
		}),
	}},
	ReasonBadKeyShare: {"022f", slices.Concat(
		refusedHello(func(m *wire.ClientHello) { m.KeyShares[0].Data = make([]byte, 32) }),
		refusedHello(func(m *wire.ClientHello) { m.KeyShares[0].Data = m.KeyShares[0].Data[1:] }),
		[]scenario{
			badServerHello(func(m *wire.ServerHello) { m.KeyShare.Data = make([]byte, 32) }),
			badServerHello(func(m *wire.ServerHello) { m.KeyShare.Data = append(m.KeyShare.Data, 0) }),
		},
	)},
	ReasonUselessHelloRetryRequest: {"022f", []scenario{
		badRetry(func(m *wire.ServerHello) { m.Extensions = m.Extensions[:1] }),
		badRetry(func(m *wire.ServerHello) { m.SelectedGroup = wire.GroupX25519 }),
	}},
	ReasonClientHelloChanged: {"022f", []scenario{serverAt(StateWaitClientHelloRetry, func(r *rig) {
		r.p.Shares = nil
		r.p.OnClientHello = func(m *wire.ClientHello) { m.Random[0] ^= 1 }
		r.p.Send(r.p.ClientHello())
	})}},
	ReasonBadPreSharedKey: {"022f", slices.Concat(
		malformedHello(func(m *wire.ClientHello) {
			addPSK(m)
			slices.Reverse(m.Extensions)
		}),
		malformedHello(func(m *wire.ClientHello) {
			addPSK(m)
			m.PSKBinders = append(m.PSKBinders, make([]byte, 32))
		}),
	)},
	ReasonPreSharedKeyNotOffered: {"022f", []scenario{
		{name: "client", state: StateWaitServerHello, run: func(t *testing.T) *rig {
			r := newResumedClient(t).bring(StateWaitServerHello)
			r.p.OnServerHello = func(m *wire.ServerHello) { m.SelectedIdentity = 1 }
			r.serverHello()
			return r
		}},
	}},
	ReasonBadBinder: {"0233", []scenario{
		{name: "server", state: StateWaitClientHello, run: func(t *testing.T) *rig {
			r := newResumedServer(t)
			r.p.OnBinders = func(b [][]byte) { b[0][31] ^= 1 }
			r.send(r.p.ClientHello())
			return r
		}},
	}},
	ReasonEarlyDataMismatch: {"022f", []scenario{
		{name: "client", state: StateWaitEncryptedExtensions, run: func(t *testing.T) *rig {
			r := newEarlyClient(t).bring(StateWaitServerHello)
			r.send(r.p.ServerHello())
			r.send(r.p.EncryptedExtensions())
			return r
		}},
	}},
	ReasonPointFormats: {"022f", []scenario{
		badClientHello12(func(m *wire.ClientHello) { m.ECPointFormats = []byte{1, 2} }),
		badServerHello12(func(m *wire.ServerHello) { m.ECPointFormats = []byte{1} }),
	}},
	ReasonNoExtendedMasterSecret: {"0228", []scenario{
		badClientHello12(without(wire.ExtExtendedMasterSecret), requireExtendedMaster),
		badServerHello12(withoutExtendedMaster, requireExtendedMaster),
	}},
	ReasonRenegotiationInfo: {"0228", []scenario{
		badClientHello12(func(m *wire.ClientHello) { m.RenegotiationInfo = make([]byte, 12) }),
		badServerHello12(func(m *wire.ServerHello) { m.RenegotiationInfo = []byte{0} }),
	}},
	ReasonBadServerName: {"022f", slices.Concat(
		onHello(StateWaitAccept, func(p *tlstest.Peer) { p.ServerName = "local host" }),
		onHello(StateWaitAccept, func(p *tlstest.Peer) { p.ServerName = "localhost." }),
	)},
	ReasonBadRecordSizeLimit: {"022f", append(
		refusedHello(func(m *wire.ClientHello) {
			m.RecordSizeLimit = 63
			m.Extensions = append(m.Extensions, tlstest.Extensions(wire.ExtRecordSizeLimit)...)
		}),
		clientAt(StateWaitEncryptedExtensions, func(r *rig) {
			r.p.OnEncryptedExtensions = func(m *wire.EncryptedExtensions) {
				m.RecordSizeLimit = 63
				m.Extensions = append(m.Extensions, tlstest.Extensions(wire.ExtRecordSizeLimit)...)
			}
			r.p.Send(r.p.EncryptedExtensions())
		}, func(c *Config) { c.RecordSizeLimit = 100 }),
	)},
	ReasonNoApplicationProtocol: {"0278", refusedHello(offerALPN("h3", "h2c"), func(c *Config) { c.NextProtos = []string{"h2"} })},
	ReasonApplicationProtocolNotOffered: {"022f", []scenario{clientAt(StateWaitEncryptedExtensions, func(r *rig) {
		r.p.OnEncryptedExtensions = func(m *wire.EncryptedExtensions) {
			m.Extensions, m.ALPN = tlstest.Extensions(wire.ExtALPN), []byte("h3")
		}
		r.p.Send(r.p.EncryptedExtensions())
	}, func(c *Config) { c.NextProtos = []string{"h2", "http/1.1"} })}},

	// Authentication.

	ReasonNoCommonSignatureScheme: {"0228", refusedHello(func(m *wire.ClientHello) {
		m.SignatureAlgorithms = []wire.SignatureScheme{wire.Ed448, wire.RSAPSSRSAESHA256, wire.RSAPKCS1SHA256}
	})},
	ReasonCertificateContext: {"022f", []scenario{
		clientAt(StateWaitCertificateOrRequest, func(r *rig) {
			r.p.OnCertificate = func(m *wire.Certificate) { m.RequestContext = []byte{1} }
			r.p.Send(r.p.CertificateMessage())
		}),
		clientAt(StateWaitCertificateOrRequest, func(r *rig) {
			r.p.OnCertificateRequest = func(m *wire.CertificateRequest) { m.RequestContext = []byte{1} }
			r.p.Send(r.p.CertificateRequest())
		}),
	}},
	ReasonTooManyCertificateRequests: {"020a", []scenario{
		{name: "client", state: StateConnected, run: func(t *testing.T) *rig {
			r := newPostClient(t).bring(StateConnected)
			for range maxCertificateRequests + 1 {
				r.p.Send(r.p.CertificateRequest())
			}
			r.run()
			return r
		}},
	}},
	ReasonNoClientCertificate: {"0228", []scenario{{name: "server12", state: StateWaitClientCertificate, run: func(t *testing.T) *rig {
		r := newAuthServer12(t).bring(StateWaitClientCertificate)
		r.p.Certificate = tls.Certificate{}
		r.send(r.p.CertificateMessage())
		return r
	}}}},
	ReasonCertificateRequired: {"0274", []scenario{
		{name: "server", state: StateWaitClientCertificate, run: func(t *testing.T) *rig {
			r := newAuthServer(t).bring(StateWaitClientCertificate)
			r.p.Certificate = tls.Certificate{}
			r.send(r.p.CertificateMessage())
			return r
		}},
	}},
	ReasonEmptyCertificate: {"0232", []scenario{clientAt(StateWaitCertificateOrRequest, func(r *rig) {
		r.p.OnCertificate = func(m *wire.Certificate) { m.Entries = nil }
		r.p.Send(r.p.CertificateMessage())
	})}},
	ReasonBadCertificate: {"022a", []scenario{
		clientAt(StateWaitCertificateOrRequest, func(r *rig) {
			r.p.OnCertificate = func(m *wire.Certificate) { m.Entries[0].Data = []byte("no DER") }
			r.p.Send(r.p.CertificateMessage())
		}),
	}},
	ReasonUnsupportedCertificate: {"022b", []scenario{
		unsupportedKey(publicKey(ecdsa.GenerateKey(elliptic.P224(), rand.Reader))),
		clientAt(StateWaitCertificateOrRequest, func(r *rig) {
			// A key of an algorithm that crypto/x509 does not know: the
			// identifier of elliptic curve keys, with another last number.
			der := bytes.Clone(localhost().Certificate[0])
			ecPublicKey := []byte{0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01}
			der[bytes.Index(der, ecPublicKey)+6] = 0x7f
			r.p.OnCertificate = func(m *wire.Certificate) { m.Entries[0].Data = der }
			r.p.Send(r.p.CertificateMessage())
		}),
	}},
	ReasonCertificateUsage: {"022b", []scenario{
		badCertificate(tlstest.Leaf{KeyUsage: x509.KeyUsageKeyAgreement}),
		badCertificate(tlstest.Leaf{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}),
		badCertificate(tlstest.Leaf{Key: tlstest.RSA2048, KeyUsage: x509.KeyUsageKeyEncipherment}),
	}},
	ReasonCertificateSuite: {"022f", []scenario{
		clientAt12(StateWaitCertificate, sendChain12(tlstest.Leaf{Key: tlstest.RSA2048})),
	}},
	ReasonCertificateExpired: {"022d", []scenario{
		badCertificate(tlstest.Leaf{NotBefore: tlstest.Now.AddDate(-2, 0, 0), NotAfter: tlstest.Now.AddDate(-1, 0, 0)}),
		badCertificate(tlstest.Leaf{NotBefore: tlstest.Now.AddDate(1, 0, 0), NotAfter: tlstest.Now.AddDate(2, 0, 0)}),
	}},
	ReasonUnknownAuthority: {"0230", []scenario{badCertificate(tlstest.Leaf{UnknownCA: true})}},
	ReasonNameMismatch:     {"022a", []scenario{badCertificate(tlstest.Leaf{Names: []string{"example.com"}})}},
	ReasonSignatureScheme: {"022f", []scenario{
		badSignature(func(m *wire.CertificateVerify) { m.Algorithm = wire.RSAPKCS1SHA256 }),
		badSignature(func(m *wire.CertificateVerify) { m.Algorithm = wire.ECDSAP384SHA384 }),
	}},
	ReasonBadSignature: {"0233", []scenario{
		badSignature(func(m *wire.CertificateVerify) { m.Signature[10] ^= 1 }),
		badSignature(func(m *wire.CertificateVerify) { m.Signature = nil }),
	}},
	ReasonBadFinished: {"0233", []scenario{
		clientAt(StateWaitServerFinished, badFinished(func(m *wire.Finished) { m.VerifyData[31] ^= 1 })),
		serverAt(StateWaitClientFinished, badFinished(func(m *wire.Finished) { m.VerifyData[0] ^= 0x80 })),
		serverAt(StateWaitClientFinished, badFinished(func(m *wire.Finished) { m.VerifyData = m.VerifyData[:31] })),
		serverAt(StateWaitClientFinished, badFinished(func(m *wire.Finished) { m.VerifyData = nil })),
		clientAt(StateWaitServerFinished, badFinished(func(m *wire.Finished) { m.VerifyData = append(m.VerifyData, 0) })),
	}},

	// After the handshake.

	ReasonRenegotiation: {"0264", []scenario{
		clientAt12(StateConnected, func(r *rig) { r.p.Send(r.p.HelloRequest()) }),
		serverAt12(StateConnected, func(r *rig) { r.p.Send(r.p.ClientHello()) }),
	}},
	ReasonBadKeyUpdate: {"022f", connectedRoles(func(r *rig) { r.p.Send(r.p.KeyUpdate(2)) })},

	// This side.

	ReasonRejected: {"0231", slices.Concat(
		[]scenario{
			clientAt(StateClientStart, reject(AlertAccessDenied)),
			acceptorAt(StateWaitAccept, reject(AlertAccessDenied)),
			serverAt(StateWaitClientHelloRetry, reject(AlertAccessDenied)),
		},
		everywhere(reject(AlertAccessDenied)),
	)},
	ReasonVerificationRejected: {"022a", []scenario{
		clientAt(StateWaitCertificateOrRequest, func(r *rig) { r.p.Send(r.p.CertificateMessage()) }, func(c *Config) {
			c.VerifyPeerCertificate = func([][]byte, [][]*x509.Certificate) error { return errTest }
		}),
		clientAt(StateWaitServerFinished, func(r *rig) { r.p.Send(r.p.Finished()) }, withConnectionCheck(rejectConnection)),
		serverAt(StateWaitClientFinished, func(r *rig) { r.p.Send(r.p.Finished()) }, withConnectionCheck(rejectConnection)),
	}},
	ReasonCertificateStatus: {"0271", []scenario{
		clientAt(StateWaitCertificateOrRequest, func(r *rig) { r.p.Send(r.p.CertificateMessage()) }, func(c *Config) {
			c.OCSPStapling = true
			c.VerifyOCSPResponse = func([]byte, [][]*x509.Certificate) error { return errTest }
		}),
	}},
	ReasonNoCertificate: {"0270", anyHello(withGetCertificate(func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil }))},
	ReasonSystemRoots:   {"0250", []scenario{withoutSystemRoots()}},
	ReasonCallbackFailed: {"0250", slices.Concat(
		anyHello(withGetCertificate(func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, errTest })),
		anyHello(withGetCertificate(func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return new(tls.Certificate), nil })),
		inFlight(onHello(StateWaitAccept, wantAttachments, func(c *Config) {
			c.GetOCSPResponse = func(*tls.Certificate) ([]byte, error) { return nil, errTest }
		})),
	)},
	ReasonCallbackPanicked: {"0250", slices.Concat(
		anyHello(withGetCertificate(func(*tls.ClientHelloInfo) (*tls.Certificate, error) { panic("GetCertificate") })),
		anyHello(withRand(panickingReader)),
		inFlight(anyHello(withSigner(func() ([]byte, error) { panic("Sign") }))),
		[]scenario{
			clientAt(StateClientStart, nothing, withRand(panickingReader)),
			clientAt(StateWaitCertificateOrRequest, func(r *rig) { r.p.Send(r.p.CertificateMessage()) }, func(c *Config) {
				c.VerifyPeerCertificate = func([][]byte, [][]*x509.Certificate) error { panic("VerifyPeerCertificate") }
			}),
			clientAt(StateWaitServerFinished, func(r *rig) { r.p.Send(r.p.Finished()) }, withConnectionCheck(panicConnection)),
			serverAt(StateWaitClientFinished, func(r *rig) { r.p.Send(r.p.Finished()) }, withConnectionCheck(panicConnection)),
			clientAt(StateWaitCertificateOrRequest, func(r *rig) { r.p.Send(r.p.CertificateMessage()) }, func(c *Config) {
				c.Time = func() time.Time { panic("Time") }
			}),
			clientAt(StateWaitEncryptedExtensions, func(r *rig) { r.p.Send(r.p.EncryptedExtensions()) }, panicOn(wire.TypeEncryptedExtensions)),
			serverAt(StateWaitClientFinished, func(r *rig) { r.p.Send(r.p.Finished()) }, panicOn(wire.TypeFinished)),
		},
	)},
	ReasonRandomSource: {"0250", slices.Concat(
		anyHello(withRand(failingReader)), anyHello(withRand(shortReader)),
		[]scenario{
			clientAt(StateClientStart, nothing, withRand(failingReader)),
			clientAt(StateClientStart, nothing, withRand(shortReader)),
		},
	)},
	ReasonSigningFailed: {"0250", slices.Concat(
		inFlight(anyHello(withSigner(func() ([]byte, error) { return nil, errTest }))),
		inFlight(anyHello(withSigner(func() ([]byte, error) { return make([]byte, 1<<16), nil }))),
	)},
	ReasonKeyGeneration: {"0250", slices.Concat(
		onHello(StateWaitAccept, func(p *tlstest.Peer) { p.Group = wire.GroupP256 }, onlyP256, withRand(zeroReader)),
		[]scenario{clientAt(StateClientStart, nothing, onlyP256, withRand(zeroReader))},
	)},
	ReasonKeysExhausted: {"0250", slices.Concat(
		connectedRoles(exhaust),
		connectedRoles(func(r *rig) {
			r.m.out.extra().epoch = maxEpoch
			r.m.Write([]byte("x"))
			if err := r.m.KeyUpdate(false); reasonOf(err) != ReasonKeysExhausted {
				r.Errorf("KeyUpdate returned %v", err)
			}
		}),
	)},
	ReasonTransportClosed: {"", []scenario{
		clientAt(StateWaitServerHello, eof), clientAt(StateWaitServerFinished, eof),
		serverAt(StateWaitClientHello, eof), acceptorAt(StateWaitClientHello, eof), serverAt(StateWaitClientFinished, eof),
	}},
	ReasonCanceled: {"", []scenario{
		clientAt(StateClientStart, cancel), clientAt(StateWaitServerHello, cancel), clientAt(StateWaitServerFinished, cancel),
		serverAt(StateWaitClientHello, cancel), acceptorAt(StateWaitClientHello, cancel), acceptorAt(StateWaitAccept, cancel),
		serverAt(StateWaitClientHelloRetry, cancel),
	}},
}

// unsupportedKey is a certificate, otherwise good, with a key that cannot sign.
func unsupportedKey(public crypto.PublicKey) scenario {
	return clientAt(StateWaitCertificateOrRequest, func(r *rig) {
		r.p.Certificate = tlstest.CertificateFor(public)
		r.p.Send(r.p.CertificateMessage())
	})
}

func publicKey(key interface{ Public() crypto.PublicKey }, err error) crypto.PublicKey {
	if err != nil {
		panic(err)
	}
	return key.Public()
}

// panicOn is a Trace that does so when a message of that type is received.
func panicOn(t wire.HandshakeType) func(*Config) {
	return func(c *Config) {
		c.Trace = func(msg TraceMessage) {
			if !msg.Sent && !msg.Alert && wire.HandshakeType(msg.Body[0]) == t {
				panic("Trace")
			}
		}
	}
}

func rejectConnection(tls.ConnectionState) error { return errTest }
func panicConnection(tls.ConnectionState) error  { panic("VerifyConnection") }

func reject(a Alert) func(*rig) {
	return func(r *rig) {
		if err := r.m.Reject(a); err != nil {
			r.Error(err)
		}
	}
}

// earlyData sends that much of it to a server that does not take it.
func earlyData(s State, n int) scenario {
	return scenario{name: "server", state: s, run: func(t *testing.T) *rig {
		r := newServerRig(t)
		addEarlyData(r.p)
		r.bring(s)
		sendEarlyData(r.p, n)
		r.run()
		return r
	}}
}

// sendEarlyData sends records with n bytes behind their headers.
func sendEarlyData(p *tlstest.Peer, n int) {
	for n > 0 {
		size := min(n, 1<<14)
		p.SendPlain(record.TypeApplicationData, bytes.Repeat([]byte{0x5a}, size))
		n -= size
	}
}

// hugeCookie is a cookie that no ClientHello can hold.
func hugeCookie() scenario {
	return clientAt(StateWaitServerHello, func(r *rig) {
		r.p.OnHelloRetryRequest = func(m *wire.ServerHello) {
			m.Cookie = make([]byte, 1<<16-1-2-6-4-2)
			m.Extensions = tlstest.Extensions(wire.ExtSupportedVersions, wire.ExtCookie)
		}
		r.p.Send(r.p.HelloRetryRequest())
	})
}

func badEncryptedExtensions(list ...wire.Extension) scenario {
	return clientAt(StateWaitEncryptedExtensions, func(r *rig) {
		r.p.OnEncryptedExtensions = func(m *wire.EncryptedExtensions) { m.Extensions = list }
		r.p.Send(r.p.EncryptedExtensions())
	})
}

func badSignature(hook func(*wire.CertificateVerify)) scenario {
	return clientAt(StateWaitCertificateVerify, func(r *rig) {
		r.p.OnCertificateVerify = hook
		r.p.Send(r.p.CertificateVerify())
	})
}

func badFinished(hook func(*wire.Finished)) func(*rig) {
	return func(r *rig) {
		r.p.OnFinished = hook
		r.p.Send(r.p.Finished())
	}
}

func without(t wire.ExtensionType) func(*wire.ClientHello) {
	return func(m *wire.ClientHello) {
		m.Extensions = slices.DeleteFunc(m.Extensions, func(x wire.Extension) bool { return x.Type == t })
	}
}

func addPSK(m *wire.ClientHello) {
	m.PSKIdentities = []wire.PSKIdentity{{Identity: []byte("ticket")}}
	m.PSKBinders = [][]byte{make([]byte, 32)}
	m.Extensions = append(m.Extensions, wire.Extension{Type: wire.ExtPreSharedKey})
}

func offerALPN(names ...string) func(*wire.ClientHello) {
	return func(m *wire.ClientHello) {
		for _, name := range names {
			m.ALPN = append(m.ALPN, []byte(name))
		}
		m.Extensions = append(m.Extensions, wire.Extension{Type: wire.ExtALPN})
	}
}

// withSuite is a hook that adds a cipher suite.
func withSuite(c wire.CipherSuite) func(*wire.ClientHello) {
	return func(m *wire.ClientHello) { m.CipherSuites = append(m.CipherSuites, c) }
}

func requireExtendedMaster(c *Config) { c.RequireExtendedMasterSecret = true }

func withoutExtendedMaster(m *wire.ServerHello) {
	m.Extensions = slices.DeleteFunc(m.Extensions, func(x wire.Extension) bool { return x.Type == wire.ExtExtendedMasterSecret })
}

// sendChain12 sends a chain of another kind.
func sendChain12(leaf tlstest.Leaf) func(*rig) {
	return func(r *rig) {
		r.p.Certificate = tlstest.Certificate(leaf)
		r.p.Send(r.p.CertificateMessage())
	}
}

// downgraded is the ServerHello of an older version with the mark of a server
// that can do better.
func downgraded(mark byte) func(*wire.ServerHello) {
	return func(m *wire.ServerHello) {
		m.Extensions = nil
		copy(m.Random[24:], append([]byte("DOWNGRD"), mark))
	}
}

// epochOf returns the epoch that the machine sends in, in a state.
func (r *rig) epochOf(s State) tlstest.Epoch {
	switch {
	case r.tls12() && s != StateConnected:
		if r.client && s >= StateWaitNewSessionTicket && s <= StateWaitServerFinished {
			return tlstest.Application
		}
	case s >= StateConnected, s >= StateWaitClientCertificate && s <= StateWaitClientFinished:
		return tlstest.Application
	case r.client && s >= StateWaitEncryptedExtensions && s <= StateWaitServerFinished:
		return tlstest.Handshake
	}
	return tlstest.Plaintext
}

func TestEveryReason(t *testing.T) {
	for reason := reasonNone + 1; reason < numReasons; reason++ {
		test, ok := reasonTests[reason]
		if !ok || len(test.scenarios) == 0 {
			t.Errorf("no scenario for %v", reason)
		}
		for _, s := range test.scenarios {
			t.Run(reason.String()+"/"+s.name+"/"+s.state.String(), func(t *testing.T) {
				r := s.run(t)
				r.wantFailed(reason)
				checkError(t, r.m.Err(), reason, s.state)
				checkWiped(t, r.m)
				if test.alert == "" {
					if reason == ReasonCanceled {
						checkCanceled(t, r.p.Alerts())
					}
				} else {
					under := max(s.under, r.epochOf(s.state))
					checkAlert(t, r, test.alert, under)
					readBack(t, r)
				}
				checkFinal(t, r)
			})
		}
	}
}

// checkError checks the type of an error, and that it says where it happened.
func checkError(t *testing.T, err error, reason Reason, state State) {
	t.Helper()
	var got State
	switch err := err.(type) {
	case *ProtocolError:
		got = err.State
		if reason.Local() {
			t.Errorf("%T for a failure of this side", err)
		}
	case *LocalError:
		got = err.State
		if !reason.Local() {
			t.Errorf("%T for a failure of the peer", err)
		}
	default:
		t.Fatalf("error of type %T", err)
	}
	if got != state && !got.task() { // a task that the input led to
		t.Errorf("failed in %v, want %v: %v", got, state, err)
	}
	if _, ok := AlertOf(err); ok != reason.SendsAlert() {
		t.Errorf("AlertOf(%v) is %v", err, ok)
	}
}

// checkAlert checks the last record byte for byte.
func checkAlert(t *testing.T, r *rig, want string, under tlstest.Epoch) {
	t.Helper()
	body, err := hex.DecodeString(want)
	if err != nil {
		t.Fatal(err)
	}
	last := r.p.Last()
	if last.Epoch != under || !bytes.Equal(last.Body, body) {
		t.Errorf("last is %v, want %x under %v", last, body, under)
	}
	if under == tlstest.Plaintext {
		if want := append([]byte{0x15, 3, 3, 0, 2}, body...); !bytes.Equal(last.Record, want) {
			t.Errorf("last record is %x, want %x", last.Record, want)
		}
		return
	}
	if r.tls12() {
		// A part of the nonce, two bytes of alert, and the tag.
		if header := []byte{0x15, 3, 3, 0, 8 + 2 + 16}; !bytes.HasPrefix(last.Record, header) || len(last.Record) != 5+26 {
			t.Errorf("last record is %x, want header %x", last.Record, header)
		}
		return
	}
	// Two bytes of alert, one of content type, and the tag.
	if header := []byte{0x17, 3, 3, 0, 2 + 1 + 16}; !bytes.HasPrefix(last.Record, header) || len(last.Record) != 5+19 {
		t.Errorf("last record is %x, want header %x", last.Record, header)
	}
}

// checkCanceled checks what CloseWrite sends inside the handshake.
func checkCanceled(t *testing.T, alerts [][2]byte) {
	t.Helper()
	if want := [][2]byte{{1, 90}, {1, 0}}; !slices.Equal(alerts, want) {
		t.Errorf("sent the alerts %v, want %v", alerts, want)
	}
}

// readBack gives the alert to a machine of the other role, in a state in which
// it can read it and with the key that opens it.
func readBack(t *testing.T, r *rig) {
	t.Helper()
	var other *rig
	last := r.p.Last()
	switch {
	case r.tls12() && last.Epoch == tlstest.Application && r.client:
		other = newServerRig12(t).bring(StateConnected)
	case r.tls12() && last.Epoch == tlstest.Application:
		other = newClientRig12(t).bring(StateConnected)
	case r.client:
		other = newServerRig(t)
	default:
		other = newClientRig(t).bring(StateWaitServerHello)
	}
	if last.Key != nil {
		other.m.in.key = *last.Key
	}
	switch {
	case last.Epoch == tlstest.Application:
		other.m.state = StateConnected
	case last.Epoch == tlstest.Handshake && r.client:
		other.m.state = StateWaitClientFinished
	case last.Epoch == tlstest.Handshake:
		other.m.state = StateWaitEncryptedExtensions
	}
	state := other.m.state
	other.step(bytes.Clone(last.Record))
	var remote *RemoteAlert
	if !errors.As(other.m.Err(), &remote) || byte(remote.Alert) != last.Body[1] || remote.State != state {
		t.Errorf("the other machine reports %v, want the alert %v in %v", other.m.Err(), Alert(last.Body[1]), state)
	}
	if alerts := other.p.Alerts(); len(alerts) > 0 {
		t.Errorf("the other machine has answered with %v", alerts)
	}
}

// checkWiped checks that a machine has no secrets any more.
func checkWiped(t *testing.T, m *Machine) {
	t.Helper()
	if m.in.key.Keyed() || m.out.key.Keyed() {
		t.Error("a key is left")
	}
	if m.client != nil || m.server != nil {
		t.Error("the handshake is left")
	}
	for which := range keptSecrets {
		if kept := m.out.kept; kept != nil && len(bytes.Trim(kept.at(which), "\x00")) > 0 {
			t.Errorf("secret %d is left", which)
		}
	}
	if m.conn.post() != nil {
		t.Error("what authentication after the handshake needs is left")
	}
	if m.conn.tickets() != nil || m.out.early() != nil {
		t.Error("what tickets and early data need is left")
	}
	if m.in.partial != nil || m.in.data != nil {
		t.Error("received bytes are left")
	}
}

// checkFinal checks that nothing gets a failed machine to do anything.
func checkFinal(t *testing.T, r *rig) {
	t.Helper()
	m, err := r.m, r.m.Err()
	for range 2 {
		if n, got := m.Write([]byte("data")); n != 0 || got != err {
			t.Errorf("Write: %d, %v", n, got)
		}
		if dst, n, got := m.AppendSealed(make([]byte, 0, 100), []byte("data")); len(dst) != 0 || n != 0 || got != err {
			t.Errorf("AppendSealed: %d bytes, %d, %v", len(dst), n, got)
		}
		if got := m.KeyUpdate(true); got != err {
			t.Errorf("KeyUpdate: %v", got)
		}
		if got := m.Reject(AlertAccessDenied); got != ErrFailed {
			t.Errorf("Reject: %v", got)
		}
		if got := m.Accept(testServerConfig()); got != ErrFailed {
			t.Errorf("Accept: %v", got)
		}
		m.CloseWrite()
		for _, in := range []string{"", "\x15\x03\x03\x00\x02\x02\x28", "anything"} {
			if ev, n := m.Step([]byte(in)); ev.Kind != EventFailed || ev.Queued || n != 0 {
				t.Errorf("Step: %v, %d", ev, n)
			}
		}
		m.EOF()
	}
	if m.Err() != err || m.State() != StateFailed {
		t.Errorf("now in state %v: %v", m.State(), m.Err())
	}
	if out := m.Output(); len(out) > 0 {
		t.Errorf("%x was added to the output", out)
	}
}
