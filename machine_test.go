package tlscore

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"tlscore.example/tlscore/internal/record"
	"tlscore.example/tlscore/internal/tlstest"
	"tlscore.example/tlscore/internal/wire"
)

// bothRoles runs a test on a connected client and on a connected server.
func bothRoles(t *testing.T, f func(*rig), change ...func(*Config)) {
	t.Helper()
	for name, newRig := range map[string]func(*testing.T, ...func(*Config)) *rig{"client": newClientRig, "server": newServerRig} {
		t.Run(name, func(t *testing.T) { f(newRig(t, change...).bring(StateConnected)) })
	}
}

// received returns the application data that the peer has got, and how many
// KeyUpdates among it.
func (r *rig) received() (data []byte, updates int) {
	for _, item := range r.p.Got {
		switch {
		case item.Type == record.TypeApplicationData:
			data = append(data, item.Body...)
		case item.Type == record.TypeHandshake && wire.HandshakeType(item.Body[0]) == wire.TypeKeyUpdate:
			updates++
		}
	}
	return data, updates
}

func pattern13(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7 / 13)
	}
	return b
}

// Write takes what fits, and SealedLen says how much room AppendSealed needs.
func TestWrite(t *testing.T) {
	for _, keyRecords := range []uint64{0, 2, 3, 7} {
		bothRoles(t, func(r *rig) {
			sent := pattern13(100000)
			for rest := sent; len(rest) > 0; {
				n, err := r.m.Write(rest)
				if err != nil || len(r.m.Output()) > 64<<10+100*(record.Overhead+wire.HeaderLen+1) {
					t.Fatalf("%d, %v, %d bytes of output", n, err, len(r.m.Output()))
				}
				if more, err := r.m.Write(rest[n:]); n < len(rest) && more > 0 || err != nil {
					t.Fatalf("%d more, %v", more, err)
				}
				rest = rest[n:]
				r.read()
			}
			for _, n := range []int{0, 1, 1 << 14, 1<<14 + 1, 50000} {
				r.m.Write([]byte("pending"))
				data := pattern13(n)
				size := r.m.SealedLen(n)
				dst, taken, err := r.m.AppendSealed(make([]byte, 3, size+3), data)
				if err != nil || taken != n || len(dst) != cap(dst) || len(r.m.Output()) > 0 {
					t.Fatalf("AppendSealed of %d: %d, %v, %d of %d bytes", n, taken, err, len(dst), cap(dst))
				}
				r.p.Receive(dst[3:])
				sent = append(append(sent, "pending"...), data...)
			}
			if got, updates := r.received(); !bytes.Equal(got, sent) || (updates > 0) != (keyRecords > 0) || r.p.Err != nil {
				t.Errorf("received %d bytes of %d, %d KeyUpdates, %v", len(got), len(sent), updates, r.p.Err)
			}
			r.wantConnected()
		}, func(c *Config) { c.Limits.KeyRecords = keyRecords })
	}
}

// A dst that is too small, at every size.
func TestAppendSealedShort(t *testing.T) {
	bothRoles(t, func(r *rig) {
		var sent, moved []byte
		for room := range 200 {
			r.m.Write([]byte("queued"))
			sent = append(sent, "queued"...)
			for len(r.m.Output()) > 0 {
				before := len(r.m.Output())
				dst, n, err := r.m.AppendSealed(make([]byte, 0, room+1), []byte("data"))
				if err != nil || len(dst) > room+1 || n > 0 && len(r.m.Output()) > 0 {
					t.Fatalf("%d bytes, %d, %v", len(dst), n, err)
				}
				if len(r.m.Output()) == before {
					t.Fatal("nothing moved")
				}
				sent = append(sent, "data"[:n]...)
				moved = append(moved, dst...)
			}
		}
		r.p.Receive(moved)
		if got, _ := r.received(); !bytes.Equal(got, sent) || r.p.Err != nil {
			t.Errorf("received %d bytes of %d: %v", len(got), len(sent), r.p.Err)
		}
	}, func(c *Config) { c.Limits.KeyRecords = 4 })
}

// The peer's request for a KeyUpdate is answered before the next data, also when
// that goes past the output.
func TestKeyUpdateOwed(t *testing.T) {
	bothRoles(t, func(r *rig) {
		for range 3 {
			r.send(r.p.KeyUpdate(1))
		}
		if _, updates := r.received(); updates != 1 {
			t.Errorf("%d answers at once", updates)
		}
		// No room for the KeyUpdate: nothing is sealed.
		if dst, n, err := r.m.AppendSealed(make([]byte, 0, (record.Overhead+wire.HeaderLen+1)-1), []byte("d")); len(dst) != 0 || n != 0 || err != nil {
			t.Errorf("%d bytes, %d, %v", len(dst), n, err)
		}
		dst, n, err := r.m.AppendSealed(make([]byte, 0, r.m.SealedLen(4)), []byte("data"))
		if n != 4 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		r.p.Receive(dst)
		if data, updates := r.received(); string(data) != "data" || updates != 2 {
			t.Errorf("received %q, %d KeyUpdates", data, updates)
		}
		r.wantConnected()
	})
}

// KeyUpdates of our own: the request goes out once until it is answered.
func TestKeyUpdateCall(t *testing.T) {
	bothRoles(t, func(r *rig) {
		requests := func() (list []byte) {
			for _, item := range r.p.Got {
				if item.Type == record.TypeHandshake && wire.HandshakeType(item.Body[0]) == wire.TypeKeyUpdate {
					list = append(list, item.Body[wire.HeaderLen])
				}
			}
			return list
		}
		update := func(request bool) {
			t.Helper()
			if n, err := r.m.Write([]byte("x")); n != 1 || err != nil {
				t.Fatal(n, err)
			}
			// The second call finds a key that was not used.
			for range 2 {
				if err := r.m.KeyUpdate(request); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, request := range []bool{false, true, true} {
			update(request)
		}
		r.read()
		r.send(r.p.KeyUpdate(0))
		update(true)
		r.read()
		if want := []byte{0, 1, 0, 1}; !bytes.Equal(requests(), want) {
			t.Errorf("requests %v, want %v", requests(), want)
		}
		// A request that would lead past the last epoch is not answered.
		r.m.out.extra().epoch = maxEpoch
		r.send(r.p.KeyUpdate(1))
		r.wantState(StateConnected)
		if len(requests()) != 4 {
			t.Errorf("requests %v", requests())
		}
		r.wantConnected()
	})
}

// A failure that is found while writing is returned, tells the peer at once, and
// is the state at the next step.
func TestFailureWhileWriting(t *testing.T) {
	for name, write := range map[string]func(*Machine) error{
		"Write": func(m *Machine) error { _, err := m.Write(make([]byte, 40000)); return err },
		"AppendSealed": func(m *Machine) error {
			for { // what could be sealed is taken; the next call finds the failure
				if _, n, err := m.AppendSealed(make([]byte, 0, 50000), make([]byte, 40000)); n == 0 || err != nil {
					return err
				}
			}
		},
		"KeyUpdate": func(m *Machine) error {
			m.Write([]byte("x"))
			return m.KeyUpdate(false)
		},
	} {
		t.Run(name, func(t *testing.T) {
			bothRoles(t, func(r *rig) {
				r.m.out.extra().epoch = maxEpoch
				err := write(r.m)
				if reasonOf(err) != ReasonKeysExhausted || r.m.State() != StateConnected {
					t.Fatalf("%v in state %v", err, r.m.State())
				}
				if again := write(r.m); again != err {
					t.Errorf("again: %v", again)
				}
				if name != "AppendSealed" { // what it has sealed is not here
					if r.read(); r.p.Last().Type != record.TypeAlert {
						t.Errorf("last is %v", r.p.Last())
					}
				}
				if ev, _ := r.m.Step(nil); ev.Kind != EventFailed || r.m.Err() != err {
					t.Errorf("%v, %v", ev, r.m.Err())
				}
				if err := r.m.Reject(AlertAccessDenied); err != ErrFailed {
					t.Error(err)
				}
			}, func(c *Config) { c.Limits.KeyRecords = 2 })
		})
	}
}

// One goroutine reads while another one writes, under a lock.
func TestTwoHalves(t *testing.T) {
	client, server := newPair(t, testClientConfig(), testServerConfig())
	client.SetLocker(new(sync.Mutex))
	server.SetLocker(new(sync.Mutex))
	talk(t, client, server, whole)
	toClient, toServer := make(chan []byte, 4), make(chan []byte, 4)
	const total = 200000
	sent := pattern13(total)
	var wait sync.WaitGroup
	send := func(m *Machine, wire chan<- []byte) {
		defer wait.Done()
		defer close(wire)
		for rest := sent; ; {
			n, err := m.Write(rest[:min(len(rest), 5000)])
			if err != nil {
				t.Error(err)
				return
			}
			if rest = rest[n:]; len(rest) == 0 {
				m.CloseWrite()
			} else if err := m.KeyUpdate(len(rest)%3 == 0); err != nil {
				t.Error(err)
				return
			}
			for len(m.Output()) > 0 {
				wire <- m.AppendOutput(make([]byte, 0, 7000))
			}
			if len(rest) == 0 {
				return
			}
		}
	}
	receive := func(m *Machine, wire <-chan []byte) {
		defer wait.Done()
		var in Inbound
		var got []byte
		for chunk := range wire {
			b := in.Join(chunk)
			for {
				ev, n := m.Step(b)
				b = b[n:]
				got = append(got, ev.Data...)
				if ev.Stop() {
					break
				}
			}
			in.Keep(b)
		}
		if !bytes.Equal(got, sent) || m.State() != StateClosed {
			t.Errorf("received %d bytes of %d, state %v, %v", len(got), total, m.State(), m.Err())
		}
	}
	wait.Add(4)
	go send(client, toServer)
	go send(server, toClient)
	go receive(client, toClient)
	go receive(server, toServer)
	wait.Wait()
}

// Tasks may be handed back one after the other, without a Step between them, however
// many a peer makes due by offering sessions. Step then tells of none.
func TestTasksWithoutStep(t *testing.T) {
	r := newServerRig(t, func(c *Config) { c.Tasks = AllTasks })
	r.p.OnClientHello = func(m *wire.ClientHello) {
		m.PSKModes = []byte{pskDHE}
		m.Extensions = append(m.Extensions, tlstest.Extensions(wire.ExtPSKKeyExchangeModes, wire.ExtPreSharedKey)...)
		for range maxIdentities {
			m.PSKIdentities = append(m.PSKIdentities, wire.PSKIdentity{Identity: make([]byte, 40)})
			m.PSKBinders = append(m.PSKBinders, make([]byte, 32))
		}
	}
	r.send(r.p.ClientHello())
	var kinds []TaskKind
	for task := r.m.Task(); task != nil; task = r.m.Task() {
		kinds = append(kinds, task.Kind())
		task.Run()
		if err := r.m.Done(task); err != nil {
			t.Fatal(err)
		}
	}
	want := []TaskKind{
		TaskOpenTicket, TaskOpenTicket, TaskOpenTicket, TaskOpenTicket,
		TaskChooseCertificate, TaskKeyExchange, TaskSign,
	}
	if !slices.Equal(kinds, want) {
		t.Errorf("tasks %v", kinds)
	}
	if ev, _ := r.m.Step(nil); ev.Kind != EventWritable || !ev.Queued {
		t.Errorf("%v", ev)
	}
	r.step(nil)
	r.send(r.p.Finished())
	r.wantState(StateConnected)
}

// CloseWrite inside the handshake cancels it: user_canceled, then close_notify.
func TestCancel(t *testing.T) {
	for _, s := range []State{
		StateClientStart, StateWaitServerHello, StateWaitServerHelloRetry, StateWaitEncryptedExtensions,
		StateWaitCertificateOrRequest, StateWaitCertificate, StateWaitCertificateVerify, StateWaitServerFinished,
	} {
		r := newClientRig(t).bring(s)
		r.m.CloseWrite()
		r.m.CloseWrite()
		if _, err := r.m.Write([]byte("data")); err != ErrWriteClosed {
			t.Errorf("%v: Write: %v", s, err)
		}
		if r.m.State() != s {
			t.Errorf("%v: now in %v", s, r.m.State())
		}
		if err := r.m.Reject(AlertAccessDenied); err != ErrFailed {
			t.Errorf("%v: Reject: %v", s, err)
		}
		r.wantFailed(ReasonCanceled)
		checkCanceled(t, r.p.Alerts())
		if last := r.p.Last(); last.Epoch != r.epochOf(s) {
			t.Errorf("%v: %v", s, last)
		}
	}
	// A server that has sent its Finished closes its direction, and goes on.
	r := newServerRig(t).bring(StateWaitClientFinished)
	r.m.CloseWrite()
	r.send(r.p.Finished())
	r.wantState(StateConnected)
	withData(r)
	r.run()
	if string(r.data) != "data" || !slices.Equal(r.p.Alerts(), [][2]byte{{1, 0}}) {
		t.Errorf("received %q, alerts %v", r.data, r.p.Alerts())
	}
}

// Release ends a machine in any state, more than once.
func TestRelease(t *testing.T) {
	for _, r := range []*rig{
		newClientRig(t), newClientRig(t).bring(StateWaitServerFinished), newClientRig(t).bring(StateConnected),
		newServerRig(t), newServerRig(t).bring(StateWaitClientFinished), newServerRig(t).bring(StateFailed),
		newAcceptorRig(t).bring(StateWaitAccept),
	} {
		before := r.m.Err()
		r.m.Write([]byte("data"))
		for range 2 {
			r.m.Release()
			if r.m.State() != StateReleased || len(r.m.Output()) > 0 {
				t.Errorf("state %v, %d bytes of output", r.m.State(), len(r.m.Output()))
			}
			checkWiped(t, r.m)
		}
		if err := r.m.Err(); before == nil && err != ErrReleased || before != nil && err != before {
			t.Errorf("%v behind %v", err, before)
		}
		for _, err := range []error{r.m.Accept(testServerConfig()), r.m.Reject(AlertAccessDenied), r.m.KeyUpdate(true)} {
			if err != ErrReleased {
				t.Error(err)
			}
		}
		r.m.CloseWrite()
		r.m.EOF()
		if ev, n := r.m.Step([]byte("input")); ev.Kind != EventFailed || n != 0 || len(r.m.Output()) > 0 || r.m.SealedLen(1) == 0 {
			t.Errorf("%v, %d", ev, n)
		}
	}
}

// Trace is told all handshake messages and alerts, of both directions.
func TestTrace(t *testing.T) {
	type note struct {
		sent, alert bool
		what        string
	}
	trace := func(list *[]note) func(*Config) {
		return func(c *Config) {
			c.Trace = func(m TraceMessage) {
				what := wire.HandshakeType(m.Body[0]).String()
				if m.Alert {
					what = Alert(m.Body[1]).String()
				}
				*list = append(*list, note{m.Sent, m.Alert, what})
			}
		}
	}
	var got []note
	r := newClientRig(t, trace(&got))
	r.wantConnected()
	r.send(r.p.KeyUpdate(1))
	r.m.CloseWrite()
	r.p.SendAlert(1, 0)
	r.run()
	want := []note{
		{true, false, "client_hello"}, {false, false, "server_hello"}, {false, false, "encrypted_extensions"},
		{false, false, "certificate"}, {false, false, "certificate_verify"}, {false, false, "finished"},
		{true, false, "finished"}, {false, false, "key_update"}, {true, false, "key_update"},
		{true, true, "close_notify"}, {false, true, "close_notify"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("client: %v", got)
	}
	got = nil
	r = newServerRig(t, trace(&got))
	r.bring(StateWaitClientFinished)
	r.send(tlstest.Message(wire.TypeKeyUpdate, 0)) // refused by its type, before it is a message
	want = []note{
		{false, false, "client_hello"}, {true, false, "server_hello"}, {true, false, "encrypted_extensions"},
		{true, false, "certificate"}, {true, false, "certificate_verify"}, {true, false, "finished"},
		{true, true, "unexpected_message"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("server: %v", got)
	}
}

// A Trace that panics fails the connection, at the same message however the
// input is cut.
func TestTracePanics(t *testing.T) {
	for _, whole := range []bool{false, true} {
		for panicAt, failsIn := range map[wire.HandshakeType]State{
			wire.TypeServerHello:         StateWaitServerHello,
			wire.TypeEncryptedExtensions: StateWaitEncryptedExtensions,
			wire.TypeFinished:            StateWaitServerFinished,
		} {
			r := newClientRig(t, panicOn(panicAt)).bring(StateWaitServerHello)
			r.p.Send(r.p.ServerHello())
			for _, build := range []func() []byte{r.p.EncryptedExtensions, r.p.CertificateMessage, r.p.CertificateVerify, r.p.Finished} {
				r.p.Send(build())
			}
			b := r.p.Take()
			if whole {
				r.m.Step(b)
				r.step(nil)
			} else {
				for len(b) > 0 {
					size := record.HeaderLen + record.ParseHeader(b).Length
					r.m.Step(b[:size])
					b = b[size:]
				}
			}
			if r.m.State() != StateFailed || reasonOf(r.m.Err()) != ReasonCallbackPanicked {
				t.Fatalf("%v, %v", r.m.State(), r.m.Err())
			}
			checkError(t, r.m.Err(), ReasonCallbackPanicked, failsIn)
		}
	}
	// In the sending half.
	bothRoles(t, func(r *rig) {
		r.m.Write([]byte("x"))
		r.m.KeyUpdate(false)
		r.step(nil)
		r.wantFailed(ReasonCallbackPanicked)
	}, func(c *Config) {
		c.Trace = func(m TraceMessage) {
			if m.Sent && wire.HandshakeType(m.Body[0]) == wire.TypeKeyUpdate {
				panic("Trace")
			}
		}
	})
	// After the peer's alert none is sent, whatever Trace does.
	r := newServerRig(t, func(c *Config) {
		c.Trace = func(m TraceMessage) {
			if m.Alert {
				panic("Trace")
			}
		}
	}).bring(StateConnected)
	r.p.SendAlert(2, 40)
	r.run()
	r.wantRemoteAlert(AlertHandshakeFailure)
}

// A signer whose Public panics in the handshake: it is not asked there.
func TestSignerPublicPanics(t *testing.T) {
	signer := &publicPanics{Signer: localhost().PrivateKey.(crypto.Signer)}
	r := newServerRig(t, func(c *Config) {
		cert := localhost()
		cert.PrivateKey = signer
		c.Certificates = []tls.Certificate{cert}
	})
	signer.armed = true
	r.wantConnected()
	// As the application's answer it is a failure of the application.
	fails(t, ReasonCallbackPanicked, AlertInternalError, anyHello(withGetCertificate(func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		cert := localhost()
		cert.PrivateKey = signer
		return &cert, nil
	}))...)
}

type publicPanics struct {
	crypto.Signer
	armed bool
}

func (s *publicPanics) Public() crypto.PublicKey {
	if s.armed {
		panic("Public")
	}
	return s.Signer.Public()
}

// Every value has a name, and what has none says its number.
func TestStrings(t *testing.T) {
	for s := stateNone; s < numStates; s++ {
		if s.String() == "" || strings.HasPrefix(s.String(), "State(") {
			t.Errorf("State(%d) has no name", s)
		}
	}
	for k := EventNone; k <= EventKeyUpdate; k++ {
		if k.String() == "" || strings.HasPrefix(k.String(), "EventKind(") {
			t.Errorf("EventKind(%d) has no name", k)
		}
	}
	for r := reasonNone + 1; r < numReasons; r++ {
		info := r.info()
		if info.name == "" || info.text == "" || info.ref == "" || r.Text() != info.text || r.Reference() != info.ref || r.String() != info.name {
			t.Errorf("Reason(%d): %+v", r, info)
		}
		if _, known := alertNames[r.Alert()]; !known || r.SendsAlert() == info.silent || r.Alert().closure() && r.SendsAlert() {
			t.Errorf("%v: alert %v", r, r.Alert())
		}
	}
	for in := inputNone; in < numInputs; in++ {
		if in.String() == "" {
			t.Errorf("input %d has no name", in)
		}
	}
	for _, test := range []struct {
		got  fmt.Stringer
		want string
	}{
		{numStates, fmt.Sprintf("State(%d)", numStates)}, {EventKind(200), "EventKind(200)"}, {numReasons, fmt.Sprintf("Reason(%d)", numReasons)},
		{Alert(200), "alert(200)"}, {AlertProtocolVersion, "protocol_version"},
		{Event{Kind: EventData, Data: make([]byte, 3), Queued: true}, "Data(3) queued"},
		{Event{Kind: EventClosed, Truncated: true}, "Closed truncated"},
	} {
		if got := test.got.String(); got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
	if numReasons.Text() != "unknown reason" || numReasons.Reference() != "" || numReasons.SendsAlert() || numReasons.Local() {
		t.Error("a reason that there is not")
	}
	for kind := EventNone; kind <= EventKeyUpdate; kind++ {
		ev := Event{Kind: kind}
		if ev.Stop() != (kind <= EventFailed) || ev.Terminal() != (kind == EventClosed || kind == EventFailed) {
			t.Errorf("%v: stop %v, terminal %v", ev, ev.Stop(), ev.Terminal())
		}
	}
}

func TestErrors(t *testing.T) {
	for _, test := range []struct {
		err   error
		text  string
		alert Alert
		sends bool
	}{
		{&ProtocolError{Reason: ReasonBadKeyShare, State: StateWaitServerHello, Detail: "1 byte", Err: io.EOF},
			"tlscore: peer: key share is not valid for its group: 1 byte (in state WaitServerHello): EOF", AlertIllegalParameter, true},
		{&LocalError{Reason: ReasonRejected, State: StateWaitAccept, Alert: AlertUnrecognizedName},
			"tlscore: local: rejected by the application (in state WaitAccept)", AlertUnrecognizedName, true},
		{&LocalError{Reason: ReasonTransportClosed, State: StateWaitServerHello},
			"tlscore: local: the transport ended inside the handshake (in state WaitServerHello)", 0, false},
		{&RemoteAlert{Alert: AlertProtocolVersion, State: StateWaitServerHello},
			"tlscore: the peer sent the alert protocol_version (70) in state WaitServerHello", 0, false},
		{fmt.Errorf("wrapped: %w", &ProtocolError{Reason: ReasonBadFinished}),
			"wrapped: tlscore: peer: Finished does not verify (in state None)", AlertDecryptError, true},
		{io.EOF, "EOF", 0, false},
	} {
		alert, sends := AlertOf(test.err)
		if test.err.Error() != test.text || alert != test.alert || sends != test.sends {
			t.Errorf("%q, %v, %v; want %q, %v, %v", test.err, alert, sends, test.text, test.alert, test.sends)
		}
	}
	if !errors.Is(&ProtocolError{Err: io.EOF}, io.EOF) || !errors.Is(&LocalError{Err: io.EOF}, io.EOF) {
		t.Error("the cause cannot be seen")
	}
	if (&ProtocolError{Reason: ReasonBadFinished}).NotTLS() {
		t.Error("a wrong Finished is TLS")
	}
	// The application's error can be found in ours.
	s := anyHello(withGetCertificate(func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, errTest }))
	if r := s[0].run(t); !errors.Is(r.m.Err(), errTest) {
		t.Error(r.m.Err())
	}
}

// What was negotiated.
func TestConnectionState(t *testing.T) {
	r := newClientRig(t, func(c *Config) { c.NextProtos = []string{"h2", "http/1.1"} })
	r.p.Suite = wire.TLS_CHACHA20_POLY1305_SHA256
	r.p.OnEncryptedExtensions = func(m *wire.EncryptedExtensions) {
		m.Extensions, m.ALPN = tlstest.Extensions(wire.ExtALPN, wire.ExtServerName), []byte("http/1.1")
	}
	if r.m.ConnectionState().HandshakeComplete {
		t.Error("complete before it began")
	}
	r.bring(StateWaitServerHelloRetry).wantConnected()
	state := r.m.ConnectionState()
	if state.Version != tls.VersionTLS13 || state.CipherSuite != tls.TLS_CHACHA20_POLY1305_SHA256 || state.CurveID != tls.CurveP256 ||
		!state.HandshakeComplete || !state.HelloRetryRequest || state.NegotiatedProtocol != "http/1.1" || state.ServerName != "localhost" ||
		len(state.PeerCertificates) != 1 || len(state.VerifiedChains) != 1 {
		t.Errorf("%+v", state)
	}
}
