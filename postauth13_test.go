package tlscore

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"slices"
	"sync"
	"testing"

	"tlscore.example/tlscore/internal/record"
	"tlscore.example/tlscore/internal/tlstest"
	"tlscore.example/tlscore/internal/wire"
)

// postServerAt brings a server that has asked its client into a state, and goes on from
// there.
func postServerAt(s State, do func(*rig), change ...func(*Config)) scenario {
	return scenario{name: "server", state: s, run: func(t *testing.T) *rig {
		r := newPostServer(t, change...).ask()
		if s != StateConnected {
			r.bring(s)
		}
		do(r)
		r.run()
		return r
	}}
}

// postClientAt is a connected client, which its server asks.
func postClientAt(do func(*rig), change ...func(*Config)) scenario {
	return scenario{name: "client", state: StateConnected, run: func(t *testing.T) *rig {
		r := newPostClient(t, change...).bring(StateConnected)
		do(r)
		r.run()
		return r
	}}
}

// What a server refuses in an answer behind the handshake.
//
// "All of the client's messages for a given response MUST appear consecutively on the
// wire with no intervening messages of other types."
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.6.2)
func TestPostAuthErrors(t *testing.T) {
	certificate := func(hook func(*wire.Certificate)) scenario {
		return postServerAt(StateConnected, func(r *rig) {
			r.p.OnCertificate = hook
			r.p.Send(r.p.CertificateMessage())
		})
	}
	fails(t, ReasonCertificateContext, AlertIllegalParameter,
		certificate(func(m *wire.Certificate) { m.RequestContext = nil }),
		certificate(func(m *wire.Certificate) { m.RequestContext = append(m.RequestContext, 0) }),
		certificate(func(m *wire.Certificate) {
			m.RequestContext = bytes.Clone(m.RequestContext)
			m.RequestContext[31] ^= 1
		}))
	fails(t, ReasonUnsolicitedExtension, AlertUnsupportedExtension,
		certificate(func(m *wire.Certificate) { m.Entries[0].Extensions = []wire.Extension{{Type: 0x1a1a, Data: []byte{}}} }))
	fails(t, ReasonUnknownAuthority, AlertUnknownCA,
		postServerAt(StateConnected, shows(tlstest.Leaf{UnknownCA: true, ExtKeyUsage: clientUse})))
	fails(t, ReasonCertificateUsage, AlertUnsupportedCertificate, postServerAt(StateConnected, shows(tlstest.Leaf{})))
	fails(t, ReasonBadSignature, AlertDecryptError, postServerAt(StateWaitPostCertificateVerify, func(r *rig) {
		r.p.OnCertificateVerify = func(m *wire.CertificateVerify) { m.Signature[5] ^= 1 }
		r.p.Send(r.p.CertificateVerify())
	}))
	fails(t, ReasonBadFinished, AlertDecryptError, postServerAt(StateWaitPostFinished,
		badFinished(func(m *wire.Finished) { m.VerifyData[31] ^= 1 })))
	fails(t, ReasonVerificationRejected, AlertBadCertificate,
		postServerAt(StateWaitPostFinished, func(r *rig) { r.p.Send(r.p.Finished()) }, func(c *Config) {
			c.VerifyConnection = func(cs tls.ConnectionState) error {
				if len(cs.PeerCertificates) == 0 {
					return nil // in the handshake
				}
				return errTest
			}
		}),
		postServerAt(StateConnected, func(r *rig) { r.p.Send(r.p.CertificateMessage()) }, func(c *Config) {
			c.VerifyPeerCertificate = func([][]byte, [][]*x509.Certificate) error { return errTest }
		}))
	fails(t, ReasonUnexpectedMessage, AlertUnexpectedMessage,
		postServerAt(StateConnected, func(r *rig) { r.p.Send(certificateVerifyOf(r.p)) }),
		postServerAt(StateConnected, func(r *rig) { r.p.Send(r.p.Finished()) }),
		postServerAt(StateWaitPostCertificateVerify, withKeyUpdate),
		postServerAt(StateWaitPostCertificateVerify, func(r *rig) { r.p.Send(r.p.CertificateMessage()) }),
		postServerAt(StateWaitPostCertificateVerify, func(r *rig) { r.p.Send(r.p.Finished()) }),
		postServerAt(StateWaitPostFinished, withKeyUpdate),
		// The answer to a request comes once.
		postServerAt(StateConnected, func(r *rig) {
			r.answer()
			r.wantState(StateConnected)
			r.p.Send(r.p.CertificateMessage())
		}),
		// A client that has offered nothing, and one that was not asked.
		serverAt(StateConnected, func(r *rig) { r.p.Send(r.p.CertificateMessage()) }),
		serverAt(StateConnected, func(r *rig) { r.p.Send(r.p.CertificateMessage()) }, requestAtMost))
	fails(t, ReasonUnexpectedRecord, AlertUnexpectedMessage,
		postServerAt(StateWaitPostCertificateVerify, withData),
		postServerAt(StateWaitPostFinished, withData),
		postServerAt(StateWaitPostFinished, withoutData))
	fails(t, ReasonInterleavedHandshake, AlertUnexpectedMessage,
		postServerAt(StateConnected, interleaved((*tlstest.Peer).CertificateMessage, withData)))
}

func requestAtMost(c *Config) { c.ClientCAs = tlstest.Roots() }

// What a client refuses behind the handshake.
//
// "A client that receives a CertificateRequest message without having sent the
// "post_handshake_auth" extension MUST send an "unexpected_message" fatal alert."
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.6.2)
func TestPostRequestErrors(t *testing.T) {
	request := func(r *rig) { r.p.Send(r.p.CertificateRequest()) }
	fails(t, ReasonUnexpectedMessage, AlertUnexpectedMessage, clientAt(StateConnected, request), clientAt(StateConnected, request, withCertificate))
	fails(t, ReasonMissingExtension, AlertMissingExtension, postClientAt(func(r *rig) {
		r.p.OnCertificateRequest = func(m *wire.CertificateRequest) { m.Extensions = nil }
		request(r)
	}))
	fails(t, ReasonMisplacedExtension, AlertIllegalParameter, postClientAt(func(r *rig) {
		r.p.OnCertificateRequest = func(m *wire.CertificateRequest) {
			m.Extensions = append(m.Extensions, wire.Extension{Type: wire.ExtPostHandshakeAuth, Data: []byte{}})
		}
		request(r)
	}))
	fails(t, ReasonMalformedMessage, AlertDecodeError, postClientAt(func(r *rig) {
		r.p.Send(tlstest.Message(wire.TypeCertificateRequest, 0, 0))
	}))
}

// A client answers a bounded number of requests in a row, and holds a bounded number
// of answers that nobody reads.
func TestPostRequestFlood(t *testing.T) {
	r := newPostClient(t).bring(StateConnected)
	for range 3 * maxCertificateRequests {
		r.request()
		r.p.SendRecord(record.TypeApplicationData, []byte("data"))
		r.run()
	}
	r.wantState(StateConnected)
	// The output is not read, and data comes in between.
	unread := func(n int) {
		for range n {
			r.p.Send(r.p.CertificateRequest())
			r.p.SendRecord(record.TypeApplicationData, []byte("data"))
		}
		for b := r.p.Take(); ; {
			ev, n := r.m.Step(b)
			if b = b[n:]; ev.Stop() {
				return
			}
		}
	}
	unread(maxCertificateRequests)
	r.wantState(StateConnected)
	out := bytes.Clone(r.m.Output())
	r.m.Sent(len(out) - 1)
	unread(1)
	if reasonOf(r.m.Err()) != ReasonTooManyCertificateRequests {
		t.Errorf("state %v, %v", r.m.State(), r.m.Err())
	}

	// All answers were read, and what comes behind them was not.
	r = newPostClient(t).bring(StateConnected)
	for range 3 {
		unread(maxCertificateRequests)
		if _, err := r.m.Write([]byte("behind")); err != nil {
			t.Fatal(err)
		}
		r.p.Receive(r.m.AppendOutput(make([]byte, 0, len(r.m.Output())-record.Overhead-len("behind"))))
		if r.m.out.unreadAnswers() != 0 || len(r.m.Output()) == 0 {
			t.Fatalf("%d answers are left", r.m.out.unreadAnswers())
		}
	}
	r.read()
	r.wantConnected()
}

// A client answers under the keys that are in force when it has its signature,
// whatever the sending half has done meanwhile: the Finished has the base key of that
// moment.
func TestPostAuthAndKeyUpdates(t *testing.T) {
	for _, kind := range []TaskKind{TaskChooseCertificate, TaskSign} {
		r := newPostClient(t, func(c *Config) { c.Tasks = Tasks(kind) }).bring(StateConnected)
		for i := range 4 {
			r.data = nil
			r.request()
			task := r.m.Task()
			if task == nil || !r.m.State().task() {
				t.Fatalf("state %v, %v", r.m.State(), r.m.Err())
			}
			for range i {
				if _, err := r.m.Write([]byte("meanwhile")); err != nil {
					t.Fatal(err)
				}
				if err := r.m.KeyUpdate(i == 2); err != nil {
					t.Fatal(err)
				}
			}
			before := len(r.p.Got)
			r.done()
			r.wantState(StateConnected)
			r.read()
			wantAnswer(t, r.p.Got[before:], true)
			if _, err := r.m.Write([]byte("behind")); err != nil {
				t.Fatal(err)
			}
			if r.read(); string(r.p.Last().Body) != "behind" {
				t.Errorf("last is %v", r.p.Last())
			}
			r.p.SendRecord(record.TypeApplicationData, []byte("data"))
			r.p.Send(r.p.KeyUpdate(0))
			r.run()
		}
	}
}

// wantAnswer checks that an answer came, whole and with nothing in between.
func wantAnswer(t *testing.T, items []tlstest.Item, certificate bool) {
	t.Helper()
	want := []wire.HandshakeType{wire.TypeCertificate, wire.TypeCertificateVerify, wire.TypeFinished}
	if !certificate {
		want = []wire.HandshakeType{wire.TypeCertificate, wire.TypeFinished}
	}
	at := slices.IndexFunc(items, func(i tlstest.Item) bool {
		return i.Type == record.TypeHandshake && wire.HandshakeType(i.Body[0]) == wire.TypeCertificate
	})
	if at < 0 || len(items) < at+len(want) {
		t.Fatalf("no answer among %v", items)
	}
	for i, typ := range want {
		if item := items[at+i]; item.Type != record.TypeHandshake || wire.HandshakeType(item.Body[0]) != typ || item.Epoch != tlstest.Application {
			t.Errorf("%v in place of %v", item, typ)
		}
	}
}

// An answer is under one key, even when keys are good for less.
func TestPostAuthAndKeyLimit(t *testing.T) {
	for _, limit := range []uint64{2, 3, 4, 5} {
		long := clientCertificateOf()
		long.Certificate = append(slices.Clone(long.Certificate), make([]byte, 40000))
		r := newPostClient(t, func(c *Config) {
			c.Limits.KeyRecords = limit
			c.Certificates = []tls.Certificate{long}
		}).bring(StateConnected)
		for i := range 5 {
			for range i {
				if _, err := r.m.Write([]byte("data")); err != nil {
					t.Fatal(err)
				}
			}
			r.read()
			before := len(r.p.Got)
			r.request()
			r.wantState(StateConnected)
			wantAnswer(t, r.p.Got[before:], true)
			if r.m.out.key.Remaining() < reserved {
				t.Errorf("limit %d: no record is left for an alert", limit)
			}
		}
		r.wantConnected()
	}
}

// A client that has closed its direction does not answer, and does not fail.
func TestPostAuthClosed(t *testing.T) {
	r := askedClient(t, func(c *Config) { c.Tasks = Tasks(TaskSign) })
	r.m.CloseWrite()
	r.read()
	before := len(r.p.Got)
	r.done()
	r.wantState(StateConnected)
	if r.read(); len(r.p.Got) != before || r.m.conn.post().exchange != nil {
		t.Errorf("%v behind close_notify", r.p.Got[before:])
	}
	r.p.SendRecord(record.TypeApplicationData, []byte("data"))
	if r.run(); string(r.data) != "data" {
		t.Errorf("received %q", r.data)
	}

	server := newPostServer(t).bring(StateConnected)
	server.m.CloseWrite()
	if err := server.m.RequestClientCertificate(); err != ErrWriteClosed {
		t.Errorf("after CloseWrite: %v", err)
	}
	// The client's end while its answer is awaited.
	server = newPostServer(t).ask()
	server.p.SendAlert(1, byte(AlertCloseNotify))
	server.run()
	server.wantState(StateClosed)
	if server.m.conn.post() != nil {
		t.Error("the transcript is left")
	}
	if err := server.m.RequestClientCertificate(); err != ErrNotConnected {
		t.Errorf("of a client that has ended: %v", err)
	}
}

// A server asks as often as it likes; data, and new keys in both directions, may come
// before the answer; and what the connection knows of the client is what it has shown
// last.
//
// "Note: Because client authentication could involve prompting the user, servers MUST be
// prepared for some delay, including receiving an arbitrary number of other messages
// between sending the CertificateRequest and receiving a response."
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.6.2)
//
// "The certificate_request_context MUST be unique within the scope of this connection"
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.3.2)
func TestRequestClientCertificate(t *testing.T) {
	connections := map[string]func(*testing.T) *rig{
		"full": func(t *testing.T) *rig { return newPostServer(t).bring(StateConnected) },
		"after a HelloRetryRequest": func(t *testing.T) *rig {
			r := newPostServer(t).bring(StateWaitClientHelloRetry)
			r.p.Shares = nil
			return r.bring(StateConnected)
		},
		"resumed": func(t *testing.T) *rig {
			full := newFullServer(t, func(c *Config) { c.ClientCAs = tlstest.Roots() })
			r := full.resumeServer()
			r.p.OnClientHello = func(m *wire.ClientHello) {
				m.Extensions = slices.Insert(m.Extensions, 0, wire.Extension{Type: wire.ExtPostHandshakeAuth})
			}
			r.p.Certificate = clientCertificateOf()
			if r.bring(StateConnected); !r.m.ConnectionState().DidResume {
				t.Fatal("not resumed")
			}
			return r
		},
	}
	for name, connect := range connections {
		t.Run(name, func(t *testing.T) {
			r := connect(t)
			contexts := make(map[string]bool)
			for i := range 4 {
				shown := r.m.ConnectionState().PeerCertificates
				r.events = nil
				r.ask()
				if len(r.p.RequestContext) != postContextLen || contexts[string(r.p.RequestContext)] {
					t.Errorf("context %x", r.p.RequestContext)
				}
				contexts[string(r.p.RequestContext)] = true
				if err := r.m.RequestClientCertificate(); err != ErrAuthenticating || len(r.m.Output()) > 0 {
					t.Errorf("asked twice: %v", err)
				}
				r.data = nil
				for range i {
					r.p.SendRecord(record.TypeApplicationData, []byte("data"))
					r.p.Send(r.p.KeyUpdate(1))
					if _, err := r.m.Write([]byte("data")); err != nil {
						t.Fatal(err)
					}
					if err := r.m.KeyUpdate(false); err != nil {
						t.Fatal(err)
					}
				}
				r.run()
				r.wantState(StateConnected)
				if i == 2 {
					r.p.Certificate = tls.Certificate{}
				} else {
					r.p.Certificate = clientCertificateOf()
				}
				answers := r.answers()
				for _, build := range answers[:len(answers)-1] {
					r.send(build(r.p))
				}
				if !slices.Equal(r.m.ConnectionState().PeerCertificates, shown) {
					t.Error("ConnectionState tells what is not proved yet")
				}
				r.send(r.p.Finished())
				r.wantState(StateConnected)
				if r.events[len(r.events)-2] != EventClientCertificate {
					t.Errorf("events %v", r.events)
				}
				cs := r.m.ConnectionState()
				if want := len(r.p.Certificate.Certificate); len(cs.PeerCertificates) != want || len(cs.VerifiedChains) != want {
					t.Errorf("%d certificates, %d chains", len(cs.PeerCertificates), len(cs.VerifiedChains))
				}
			}
			r.path = serverPath
			r.wantConnected()
		})
	}
}

// Without a policy for the handshake, an answer is verified if there is something to
// verify it against, and else it is up to the application.
func TestPostAuthPolicy(t *testing.T) {
	for _, test := range []struct {
		name   string
		auth   tls.ClientAuthType
		cas    *x509.CertPool
		leaf   *tlstest.Leaf
		chains int
		alert  Alert
	}{
		{"verified", tls.NoClientCert, tlstest.Roots(), &tlstest.Leaf{ExtKeyUsage: clientUse}, 1, 0},
		{"not verified", tls.NoClientCert, nil, &tlstest.Leaf{UnknownCA: true}, 0, 0},
		{"none", tls.NoClientCert, tlstest.Roots(), nil, 0, 0},
		{"not to be verified", tls.RequestClientCert, tlstest.Roots(), &tlstest.Leaf{UnknownCA: true}, 0, 0},
		{"required", tls.RequireAnyClientCert, nil, nil, 0, AlertCertificateRequired},
		{"required and verified", tls.RequireAndVerifyClientCert, tlstest.Roots(), nil, 0, AlertCertificateRequired},
		{"unknown", tls.NoClientCert, tlstest.Roots(), &tlstest.Leaf{UnknownCA: true, ExtKeyUsage: clientUse}, 0, AlertUnknownCA},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newPostServer(t, func(c *Config) { c.ClientAuth, c.ClientCAs = test.auth, test.cas })
			if test.auth != tls.NoClientCert {
				r.path = authServerPath
			}
			r.bring(StateConnected)
			r.p.Certificate = tls.Certificate{}
			if test.leaf != nil {
				r.p.Certificate = tlstest.Certificate(*test.leaf)
			}
			r.ask()
			if test.alert != 0 {
				r.send(r.p.CertificateMessage())
				alert, _ := r.m.SentAlert()
				if r.m.State() != StateFailed || alert != test.alert {
					t.Errorf("state %v, %v", r.m.State(), r.m.Err())
				}
				return
			}
			r.answer()
			r.wantState(StateConnected)
			cs := r.m.ConnectionState()
			if len(cs.VerifiedChains) != test.chains || (len(cs.PeerCertificates) > 0) != (test.leaf != nil) {
				t.Errorf("%d certificates, %d chains", len(cs.PeerCertificates), len(cs.VerifiedChains))
			}
		})
	}
}

// Only a client that offers it makes either side keep the transcript.
func TestPostAuthOffered(t *testing.T) {
	if r := newClientRig(t, withCertificate).bring(StateConnected); r.m.conn.post() != nil || r.p.Hello.Has(wire.ExtPostHandshakeAuth) {
		t.Error("a client that does not offer it")
	}
	if r := newPostClient(t).bring(StateConnected); r.m.conn.post() == nil || !r.p.Hello.Has(wire.ExtPostHandshakeAuth) {
		t.Error("a client that offers it")
	}
	r := newServerRig(t).bring(StateConnected)
	if err := r.m.RequestClientCertificate(); err != ErrNoPostHandshakeAuth || r.m.conn.post() != nil {
		t.Errorf("of a client that has not offered it: %v", err)
	}
	acceptor := newAcceptorRig(t)
	offerPostAuth(acceptor.p)
	if acceptor.bring(StateWaitAccept); !acceptor.m.ClientHello().PostHandshakeAuth {
		t.Error("the acceptor does not show it")
	}
}

// A request that cannot be made is a failure of this side.
func TestRequestClientCertificateRandom(t *testing.T) {
	fail := false
	r := newPostServer(t, withRand(func(b []byte) (int, error) {
		if fail {
			return 0, errTest
		}
		return rand.Read(b)
	})).bring(StateConnected)
	fail = true
	if err := r.m.RequestClientCertificate(); err != nil {
		t.Errorf("RequestClientCertificate: %v", err)
	}
	r.wantAlert(ReasonRandomSource, AlertInternalError)
	checkWiped(t, r.m)
}

// The halves of a client, and of a server that asks it again and again, run at the
// same time, while both change keys.
func TestPostAuthTwoHalves(t *testing.T) {
	clientConfig, serverConfig := testClientConfig(), testServerConfig()
	withCertificate(clientConfig)
	clientConfig.PostHandshakeAuth = true
	clientConfig.Limits.KeyRecords = 5
	serverConfig.ClientCAs = tlstest.Roots()
	client, server := newPair(t, clientConfig, serverConfig)
	client.SetLocker(new(sync.Mutex))
	server.SetLocker(new(sync.Mutex))
	talk(t, client, server, whole)
	const requests = 30
	toClient, toServer := make(chan []byte, 4), make(chan []byte, 4)
	var ended sync.WaitGroup
	done := make(chan struct{})
	flush := func(m *Machine, wire chan<- []byte) {
		for len(m.Output()) > 0 {
			wire <- m.AppendOutput(make([]byte, 0, 7000))
		}
	}
	send := func(m *Machine, wire chan<- []byte) {
		defer ended.Done()
		defer close(wire)
		for i := 0; ; i++ {
			select {
			case <-done:
				m.CloseWrite()
				flush(m, wire)
				return
			default:
			}
			if _, err := m.Write(make([]byte, 1+i%50)); err != nil {
				t.Error(err)
				return
			}
			if i%3 == 0 {
				if err := m.KeyUpdate(i%2 == 0); err != nil {
					t.Error(err)
					return
				}
			}
			flush(m, wire)
		}
	}
	receive := func(m *Machine, wire <-chan []byte, react func(EventKind)) {
		defer ended.Done()
		var in Inbound
		for chunk := range wire {
			b := in.Join(chunk)
			for {
				ev, n := m.Step(b)
				b = b[n:]
				react(ev.Kind)
				if ev.Stop() {
					break
				}
			}
			in.Keep(b)
		}
		if m.State() != StateClosed {
			t.Errorf("state %v, %v", m.State(), m.Err())
		}
	}
	answers := 0
	stop := sync.OnceFunc(func() { close(done) })
	ended.Add(4)
	go send(client, toServer)
	go send(server, toClient)
	go func() {
		defer stop()
		receive(client, toClient, func(kind EventKind) {
			if client.State() == StateFailed {
				stop()
			}
		})
	}()
	go func() {
		defer stop()
		asked := false
		receive(server, toServer, func(kind EventKind) {
			switch {
			case server.State() == StateFailed:
				stop()
			case kind == EventClientCertificate:
				asked = false
				if answers++; answers == requests {
					stop()
				}
			case !asked && answers < requests && server.State() == StateConnected:
				if asked = true; server.RequestClientCertificate() != nil {
					t.Error("a request is refused")
					stop()
				}
			}
		})
	}()
	ended.Wait()
	if answers != requests {
		t.Errorf("%d answers to %d requests: %v, %v", answers, requests, client.Err(), server.Err())
	}
}

// When no key is left for a request, or for an answer, the connection ends, and the
// alert that says so has a record left.
func TestPostAuthKeysExhausted(t *testing.T) {
	exhaust := func(r *rig) {
		if _, err := r.m.Write([]byte("data")); err != nil {
			r.Fatal(err)
		}
		r.read()
		r.m.out.extra().epoch = maxEpoch
	}
	limit := func(c *Config) { c.Limits.KeyRecords = 2 }
	server := newPostServer(t, limit).bring(StateConnected)
	exhaust(server)
	if err := server.m.RequestClientCertificate(); err != nil {
		t.Errorf("RequestClientCertificate: %v", err)
	}
	server.wantAlert(ReasonKeysExhausted, AlertInternalError)
	checkWiped(t, server.m)

	client := newPostClient(t, limit).bring(StateConnected)
	exhaust(client)
	client.request()
	client.wantAlert(ReasonKeysExhausted, AlertInternalError)
	checkWiped(t, client.m)
}
