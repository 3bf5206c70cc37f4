package tlscore

import (
	"bytes"
	"crypto/tls"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"tlscore.example/tlscore/internal/record"
	"tlscore.example/tlscore/internal/tlstest"
	"tlscore.example/tlscore/internal/wire"
)

// Early data, with the scripted peer.

// newEarlyClient returns a client that has a ticket of its server and offers early data,
// which the server will take.
func newEarlyClient(t *testing.T, change ...func(*Config)) *rig {
	t.Helper()
	r := newResumedClient(t, append([]func(*Config){func(c *Config) { c.EarlyData = true }}, change...)...)
	r.p.EarlyData = true
	return r
}

// writeEarly writes early data, all of it.
func (r *rig) writeEarly(data string) {
	r.Helper()
	if n, err := r.m.WriteEarly([]byte(data)); n != len(data) || err != nil {
		r.Fatalf("WriteEarly: %d, %v", n, err)
	}
}

// serverHello sends the ServerHello of a peer that resumes.
func (r *rig) serverHello() {
	r.Helper()
	r.p.PSK = &r.p.PSKs[0]
	r.send(r.p.ServerHello())
}

// items describes what the peer has received.
func (r *rig) items() (list []string) {
	for _, item := range r.p.Got {
		list = append(list, item.String())
	}
	return list
}

// Early data that is accepted, from the ClientHello to its end.
//
// "If the server sent an "early_data" extension in EncryptedExtensions, the client MUST send
// an EndOfEarlyData message after receiving the server Finished."
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.5)
func TestEarlyData(t *testing.T) {
	for _, plain := range []bool{false, true} {
		r := newEarlyClient(t, func(c *Config) { c.NoMiddleboxCompat = plain }).bring(StateWaitServerHello)
		if !slices.Equal(r.events, []EventKind{EventEarlyWritable, EventNone}) {
			t.Fatalf("events %v", r.events)
		}
		if n, err := r.m.Write([]byte("x")); n != 0 || err != ErrNotReady {
			t.Errorf("Write: %d, %v", n, err)
		}
		r.writeEarly("one")
		r.serverHello()
		r.writeEarly("two")
		r.send(r.p.EncryptedExtensions())
		r.wantState(StateWaitServerFinished)
		if !r.m.EarlyDataAccepted() {
			t.Error("not accepted")
		}
		r.writeEarly("three")
		r.send(r.p.Finished())
		if n, err := r.m.WriteEarly([]byte("x")); n != 0 || err != ErrNoEarlyData {
			t.Errorf("WriteEarly when connected: %d, %v", n, err)
		}
		want := []string{
			"client_hello, plaintext", "change_cipher_spec, plaintext",
			"application_data, early keys", "application_data, early keys", "application_data, early keys",
			"end_of_early_data, early keys", "finished, handshake keys",
		}
		if plain {
			want = slices.Delete(want, 1, 2)
		}
		if got := r.items(); !slices.Equal(got, want) {
			t.Errorf("sent %q", got)
		}
		r.wantConnected()
		if slices.Contains(r.events, EventEarlyRejected) || !r.m.EarlyDataAccepted() {
			t.Error("rejected")
		}
	}
}

// Early data that is refused is given back, once, and gone afterwards: when the session is not
// resumed, when it is resumed without, and with a HelloRetryRequest.
//
// "A client MUST NOT include the "early_data" extension in its followup ClientHello."
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.2.10)
func TestEarlyDataRefused(t *testing.T) {
	for name, refuse := range map[string]func(*rig){
		"EncryptedExtensions": func(r *rig) { r.serverHello(); r.p.Send(r.p.EncryptedExtensions()) },
		"ServerHello":         func(r *rig) { r.path = clientPath; r.p.Send(r.p.ServerHello()) },
		"HelloRetryRequest":   func(r *rig) { r.p.Group = wire.GroupP256; r.p.Send(r.p.HelloRetryRequest()) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newEarlyClient(t).bring(StateWaitServerHello)
			r.p.EarlyData = false
			r.writeEarly("not ")
			r.writeEarly("wanted")
			refuse(r)
			b := r.p.Take()
			ev, n := r.m.Step(b)
			if ev.Kind != EventEarlyRejected || string(ev.Data) != "not wanted" || ev.Early {
				t.Fatalf("%v with %q", ev, ev.Data)
			}
			if n, err := r.m.WriteEarly([]byte("x")); n != 0 || err != ErrNoEarlyData {
				t.Errorf("WriteEarly: %d, %v", n, err)
			}
			if string(ev.Data) != "not wanted" {
				t.Error("the data was gone before the next Step")
			}
			r.step(b[n:])
			if !bytes.Equal(ev.Data, make([]byte, len(ev.Data))) {
				t.Errorf("afterwards it is still there: %q", ev.Data)
			}
			if name == "HelloRetryRequest" {
				if r.p.Hello.Has(wire.ExtEarlyData) || !r.p.Hello.Has(wire.ExtPreSharedKey) {
					t.Error("the second ClientHello")
				}
				r.p.PSK = &r.p.PSKs[0]
				r.send(r.p.ServerHello())
			}
			r.wantConnected()
			if slices.Contains(r.items(), "end_of_early_data, early keys") || r.m.EarlyDataAccepted() {
				t.Error("ended what was refused")
			}
			rejected := 0
			for _, kind := range append(r.events, EventEarlyRejected) {
				if kind == EventEarlyRejected {
					rejected++
				}
			}
			if rejected != 1 {
				t.Errorf("rejected %d times", rejected)
			}
		})
	}
}

// Early data is offered with a session that allows it, and only then.
func TestEarlyDataOffered(t *testing.T) {
	for name, test := range map[string]struct {
		first, second func(*Config)
		ticket        func(*wire.NewSessionTicket)
		offered       bool
	}{
		"yes":            {offered: true},
		"not wanted":     {second: func(c *Config) { c.EarlyData = false }},
		"not allowed":    {ticket: func(m *wire.NewSessionTicket) { m.Extensions = nil }},
		"none allowed":   {ticket: func(m *wire.NewSessionTicket) { m.MaxEarlyData = 0 }},
		"suite missing":  {second: func(c *Config) { c.CipherSuites = []uint16{tls.TLS_CHACHA20_POLY1305_SHA256} }},
		"suite reversed": {second: func(c *Config) { c.CipherSuites = []uint16{0x1303, 0x1301} }, offered: true},
	} {
		t.Run(name, func(t *testing.T) {
			full := newClientRig(t, cached, func(c *Config) { c.EarlyData = true }).bring(StateConnected)
			full.sendTicket(func(m *wire.NewSessionTicket) {
				if test.ticket != nil {
					test.ticket(m)
				}
			})
			r := full.resumeClient(func(c *Config) {
				if test.second != nil {
					test.second(c)
				}
			}).bring(StateWaitServerHello)
			offered := slices.Contains(r.events, EventEarlyWritable)
			if offered != test.offered || r.p.Hello.Has(wire.ExtEarlyData) != offered || !r.p.Hello.Has(wire.ExtPreSharedKey) {
				t.Errorf("offered: %v, events %v", r.p.Hello.Has(wire.ExtEarlyData), r.events)
			}
			if _, err := r.m.WriteEarly([]byte("x")); (err == nil) != offered {
				t.Errorf("WriteEarly: %v", err)
			}
		})
	}
}

// As much as the session and the limits allow.
func TestEarlyDataLimits(t *testing.T) {
	for limit, most := range map[int]int{0: ticketsAllow, 10: 10, 5000: ticketsAllow} {
		r := newEarlyClient(t, func(c *Config) { c.Limits.EarlyData = limit }).bring(StateWaitServerHello)
		n, err := r.m.WriteEarly(make([]byte, most-3))
		if n != most-3 || err != nil {
			t.Errorf("%d of %d, %v", n, most-3, err)
		}
		n, err = r.m.WriteEarly(make([]byte, 100))
		if n != 3 || err != nil {
			t.Errorf("the rest: %d, %v", n, err)
		}
		if n, err = r.m.WriteEarly([]byte("x")); n != 0 || err != nil {
			t.Errorf("behind it: %d, %v", n, err)
		}
	}
	// The output is full, and then is not.
	r := newEarlyClient(t, func(c *Config) { c.Limits.Output = 100 }).bring(StateWaitServerHello)
	n, err := r.m.WriteEarly(make([]byte, 500))
	if n != 100-record.Overhead || err != nil || len(r.m.Output()) != 100 {
		t.Errorf("%d, %v, %d bytes of output", n, err, len(r.m.Output()))
	}
	if n, err := r.m.WriteEarly([]byte("x")); n != 0 || err != nil {
		t.Errorf("into a full output: %d, %v", n, err)
	}
	r.m.Sent(100)
	if n, err := r.m.WriteEarly([]byte("x")); n != 1 || err != nil {
		t.Errorf("into an empty output: %d, %v", n, err)
	}
	// The records of the key are used up, but for what has to follow.
	r = newEarlyClient(t).bring(StateWaitServerHello)
	r.m.out.key.SetLimit(5)
	for i := range 5 {
		if n, err := r.m.WriteEarly([]byte("x")); n != b2i(i < 3) || err != nil {
			t.Errorf("record %d: %d, %v", i, n, err)
		}
	}
	r.wantConnected()
}

// "In addition, it MUST verify that the following values are the same as those associated
// with the selected PSK:" version, suite and application protocol: a client holds the server
// to it. (https://www.rfc-editor.org/rfc/rfc8446#section-4.2.10)
func TestEarlyDataMismatch(t *testing.T) {
	r := newEarlyClient(t, func(c *Config) { c.NextProtos = []string{"h2"} }).bring(StateWaitServerHello)
	r.serverHello()
	r.p.OnEncryptedExtensions = func(ee *wire.EncryptedExtensions) {
		ee.ALPN, ee.Extensions = []byte("h2"), append(ee.Extensions, wire.Extension{Type: wire.ExtALPN})
	}
	r.send(r.p.EncryptedExtensions())
	r.wantAlert(ReasonEarlyDataMismatch, AlertIllegalParameter)

	r = newEarlyClient(t).bring(StateWaitServerHello)
	r.p.Suite = wire.TLS_CHACHA20_POLY1305_SHA256
	r.p.EarlyData = false // it reads nothing under early keys
	r.serverHello()
	r.p.EarlyData = true
	r.p.Send(r.p.EncryptedExtensions())
	r.m.Step(r.p.Take())
	if reasonOf(r.m.Err()) != ReasonEarlyDataMismatch {
		t.Errorf("other suite: %v", r.m.Err())
	}

	r = newEarlyClient(t).bring(StateWaitServerHello)
	r.send(r.p.ServerHello())
	r.send(r.p.EncryptedExtensions())
	r.wantAlert(ReasonEarlyDataMismatch, AlertIllegalParameter)

	// Without the offer it is an extension that nobody has asked for: without one at all, and
	// behind a HelloRetryRequest.
	r = newResumedClient(t).bring(StateWaitServerHello)
	r.serverHello()
	r.p.EarlyData = true
	r.send(r.p.EncryptedExtensions())
	r.wantAlert(ReasonUnsolicitedExtension, AlertUnsupportedExtension)
	r = newEarlyClient(t).bring(StateWaitServerHello)
	r.p.EarlyData, r.p.Group = false, wire.GroupP256
	r.send(r.p.HelloRetryRequest())
	r.serverHello()
	r.p.EarlyData = true
	r.send(r.p.EncryptedExtensions())
	r.wantAlert(ReasonUnsolicitedExtension, AlertUnsupportedExtension)
}

// "A client that attempts to send 0-RTT data MUST fail a connection if it receives a
// ServerHello with TLS 1.2 or older." (https://www.rfc-editor.org/rfc/rfc8446#appendix-D.3)
func TestEarlyDataOldServer(t *testing.T) {
	for _, early := range []bool{false, true} {
		r := newResumedClient(t, func(c *Config) {
			c.EarlyData, c.MinVersion = early, tls.VersionTLS12
		}).bring(StateWaitServerHello)
		r.p.OnServerHello = func(m *wire.ServerHello) {
			m.Extensions = nil
			m.CipherSuite = wire.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
			m.SessionID = nil
		}
		r.p.SendRecord(record.TypeHandshake, r.p.ServerHello())
		r.run()
		if !early { // it speaks TLS 1.2, and the session is no obstacle
			r.wantState(StateWaitCertificate)
			continue
		}
		r.wantAlert(ReasonUnsupportedVersion, AlertProtocolVersion)
		if last := r.p.Last(); last.Epoch != tlstest.Plaintext {
			t.Errorf("sent %v", last)
		}
	}
}

// Alerts of a client go out under keys that the server has: those of early data while that is
// open, then those of the handshake.
func TestAlertsAroundEarlyData(t *testing.T) {
	for name, test := range map[string]struct {
		lead func(*rig)
		want tlstest.Epoch
	}{
		"ServerHello": {func(r *rig) { r.serverHello() }, tlstest.Early},
		"accepted":    {func(r *rig) { r.serverHello(); r.send(r.p.EncryptedExtensions()) }, tlstest.Early},
		"refused":     {func(r *rig) { r.p.EarlyData = false; r.serverHello(); r.send(r.p.EncryptedExtensions()) }, tlstest.Handshake},
		"refused, with more that was not asked for": {func(r *rig) {
			r.p.EarlyData = false
			r.serverHello()
			r.p.OnEncryptedExtensions = func(ee *wire.EncryptedExtensions) {
				ee.ALPN = []byte("h2")
				ee.Extensions = append(ee.Extensions, wire.Extension{Type: wire.ExtALPN})
			}
			r.send(r.p.EncryptedExtensions())
			r.wantAlert(ReasonUnsolicitedExtension, AlertUnsupportedExtension)
		}, tlstest.Handshake},
		"not resumed":      {func(r *rig) { r.p.EarlyData = false; r.send(r.p.ServerHello()) }, tlstest.Handshake},
		"retry":            {func(r *rig) { r.p.Group = wire.GroupP256; r.send(r.p.HelloRetryRequest()) }, tlstest.Plaintext},
		"server's failure": {func(r *rig) { r.serverHello(); r.send(tlstest.Message(wire.TypeFinished)) }, tlstest.Early},
	} {
		r := newEarlyClient(t).bring(StateWaitServerHello)
		test.lead(r)
		r.m.Reject(AlertAccessDenied)
		r.read()
		if last := r.p.Last(); last.Type != record.TypeAlert || last.Epoch != test.want {
			t.Errorf("%s: %v", name, last)
		}
		if n, err := r.m.WriteEarly([]byte("x")); n != 0 || err != r.m.Err() {
			t.Errorf("%s: WriteEarly: %d, %v", name, n, err)
		}
	}
	// CloseWrite cancels, under the same keys.
	r := newEarlyClient(t).bring(StateWaitServerHello)
	r.writeEarly("early")
	r.serverHello()
	r.m.CloseWrite()
	if n, err := r.m.WriteEarly([]byte("x")); n != 0 || err != ErrWriteClosed {
		t.Errorf("WriteEarly: %d, %v", n, err)
	}
	r.read()
	if got := r.items(); !slices.Equal(got[len(got)-2:], []string{"alert 015a, early keys", "alert 0100, early keys"}) {
		t.Errorf("sent %q", got)
	}
	r.step(nil)
	r.wantFailed(ReasonCanceled)
}

// A failure clears what was kept of early data, and so does its end.
func TestEarlyDataCleared(t *testing.T) {
	for name, end := range map[string]func(*rig){
		"failure":  func(r *rig) { r.m.Reject(AlertAccessDenied) },
		"close":    func(r *rig) { r.m.CloseWrite() },
		"release":  func(r *rig) { r.m.Release() },
		"accepted": func(r *rig) { r.bring(StateConnected) },
	} {
		r := newEarlyClient(t, func(c *Config) { c.Allocator = plainAllocator{} }).bring(StateWaitServerHello)
		r.m.WriteEarly(bytes.Repeat([]byte("x"), 600)) // moved once, from its first memory
		kept := r.m.out.early().kept
		r.serverHello()
		end(r)
		if r.m.out.early() != nil || bytes.IndexByte(kept, 'x') >= 0 {
			t.Errorf("%s: it is still there", name)
		}
	}
}

type plainAllocator struct{}

func (plainAllocator) Get(n int) []byte { return make([]byte, n) }
func (plainAllocator) Put([]byte)       {}

// One goroutine writes early data while another one hears that it is accepted, or refused,
// and of the tickets behind it: what was taken arrives, or is given back.
func TestEarlyDataTwoHalves(t *testing.T) {
	for _, accept := range []bool{true, false} {
		clientConfig, serverConfig := testClientConfig(), testServerConfig()
		cached(clientConfig)
		clientConfig.EarlyData = true
		takesEarly(serverConfig)
		serverConfig.AcceptEarlyData = func(EarlyDataInfo) bool { return accept }
		full, fullServer := newPair(t, clientConfig, serverConfig)
		talk(t, full, fullServer, whole)

		client, server := newPair(t, clientConfig, serverConfig)
		client.SetLocker(new(sync.Mutex))
		if ev, _ := client.Step(nil); ev.Kind != EventEarlyWritable {
			t.Fatal(ev)
		}
		var taken []byte
		started, done := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			for i := range 1000 {
				n, err := client.WriteEarly([]byte{byte(i)})
				taken = append(taken, []byte{byte(i)}[:n]...)
				if i == 10 {
					close(started)
				}
				if err == ErrNoEarlyData {
					return
				} else if err != nil {
					t.Errorf("WriteEarly: %v", err)
					return
				}
			}
		}()
		<-started
		var early, back []byte
		drain := func(m *Machine, b []byte) {
			for {
				ev, n := m.Step(b)
				b = b[n:]
				if ev.Early {
					early = append(early, ev.Data...)
				}
				if ev.Kind == EventEarlyRejected {
					back = bytes.Clone(ev.Data)
				}
				if ev.Stop() {
					return
				}
			}
		}
		for range 3 {
			drain(server, client.AppendOutput(make([]byte, 0, 1<<17)))
			drain(client, server.AppendOutput(make([]byte, 0, 1<<17)))
		}
		<-done
		drain(server, client.AppendOutput(make([]byte, 0, 1<<17)))
		if client.State() != StateConnected || server.State() != StateConnected || client.EarlyDataAccepted() != accept {
			t.Fatalf("%v, %v", client.Err(), server.Err())
		}
		if got := append(early, back...); !bytes.Equal(got, taken) || accept == (len(back) > 0) {
			t.Errorf("accepted %v: %d bytes were taken, %d arrived, %d came back", accept, len(taken), len(early), len(back))
		}
	}
}

// A server takes early data: an event for each record, and its end.
func TestServerEarlyData(t *testing.T) {
	var asked []EarlyDataInfo
	r := newEarlyServer(t, func(c *Config) {
		c.TicketData = func(tls.ConnectionState) []byte { return []byte("note") }
		c.AcceptEarlyData = func(info EarlyDataInfo) bool { asked = append(asked, info); return true }
	})
	r.p.Send(r.p.ClientHello())
	r.p.SendCCS()
	r.p.SendRecord(record.TypeApplicationData, []byte("one"))
	r.p.SendRecord(record.TypeApplicationData, nil)
	r.p.SendRecord(record.TypeApplicationData, []byte("two"))
	b := r.p.Take()
	var log []string
	for {
		ev, n := r.m.Step(b)
		if b = b[n:]; ev.Stop() {
			break
		}
		log = append(log, ev.String()+" "+string(ev.Data))
	}
	if want := []string{"Writable queued ", "EarlyData(3) one", "EarlyData(3) two"}; !slices.Equal(log, want) {
		t.Errorf("events %q", log)
	}
	if !r.m.EarlyDataAccepted() || len(asked) != 1 || asked[0].ServerName != "localhost" || string(asked[0].TicketData) != "note" || asked[0].Fresh {
		t.Errorf("asked %+v", asked)
	}
	r.read()
	r.wantState(StateWaitEndOfEarlyData)
	// Data in the other direction does not wait for it.
	if n, err := r.m.Write([]byte("0.5-RTT")); n != 7 || err != nil {
		t.Fatalf("Write: %d, %v", n, err)
	}
	r.read()
	if last := r.p.Last(); string(last.Body) != "0.5-RTT" || last.Epoch != tlstest.Application {
		t.Errorf("sent %v", last)
	}
	r.events = nil
	r.send(r.p.EndOfEarlyData())
	if !slices.Equal(r.events, []EventKind{EventEarlyDataEnd, EventNone}) {
		t.Errorf("events %v", r.events)
	}
	r.wantConnected()
}

// What a server does not accept, it skips, and goes on with the handshake.
func TestServerRefusesEarlyData(t *testing.T) {
	now := tlstest.Now
	for name, test := range map[string]struct {
		config     func(*Config) // of the second connection
		peer       func(*tlstest.Peer)
		later      time.Duration // the server's clock, but not the client's
		notResumed bool
		retry      bool
	}{
		"not any more": {config: func(c *Config) { c.MaxEarlyData = 0 }},
		"less by now":  {config: func(c *Config) { c.MaxEarlyData = ticketsAllow - 1 }},
		"application":  {config: func(c *Config) { c.AcceptEarlyData = func(EarlyDataInfo) bool { return false } }},
		"guard": {config: func(c *Config) {
			c.AcceptEarlyData, c.ReplayGuard = nil, guard{false, nil}
		}},
		"guard fails": {config: func(c *Config) {
			c.AcceptEarlyData, c.ReplayGuard = nil, guard{true, errors.New("away")}
		}},
		"other suite": {config: func(c *Config) { c.CipherSuites = []uint16{tls.TLS_CHACHA20_POLY1305_SHA256} },
			peer: func(p *tlstest.Peer) {
				p.OnClientHello = func(m *wire.ClientHello) {
					m.CipherSuites = []wire.CipherSuite{wire.TLS_AES_128_GCM_SHA256, wire.TLS_CHACHA20_POLY1305_SHA256}
				}
			}},
		"other protocol": {peer: func(p *tlstest.Peer) {
			p.OnClientHello = func(m *wire.ClientHello) {
				m.ALPN = [][]byte{[]byte("h2")}
				m.Extensions = slices.Insert(m.Extensions, 0, wire.Extension{Type: wire.ExtALPN})
			}
		}},
		// "In order to accept early data, the server MUST have accepted a PSK cipher suite and
		// selected the first key offered in the client's "pre_shared_key" extension."
		// (https://www.rfc-editor.org/rfc/rfc8446#section-4.2.10)
		"second identity": {peer: func(p *tlstest.Peer) { p.PSKs = []tlstest.PSK{unknownPSK(1), p.PSKs[0]} }},
		"unknown":         {peer: func(p *tlstest.Peer) { p.PSKs[0] = unknownPSK(1) }, notResumed: true},
		"retry":           {retry: true},
		// "For PSKs provisioned via NewSessionTicket, a server MUST validate that the ticket
		// age for the selected PSK identity (computed by subtracting ticket_age_add from
		// PskIdentity.obfuscated_ticket_age modulo 2^32) is within a small tolerance of the
		// time since the ticket was issued (see Section 8)."
		// (https://www.rfc-editor.org/rfc/rfc8446#section-4.2.10)
		"old":   {later: ticketAgeTolerance},
		"young": {later: -ticketAgeTolerance - time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			now = tlstest.Now
			full := newFullServer(t, takesEarly, func(c *Config) {
				c.Time = func() time.Time { return now }
				c.NextProtos = []string{"h2"}
			})
			r := full.resumeServer(func(c *Config) {
				if test.config != nil {
					test.config(c)
				}
			})
			r.p.EarlyData = true
			if test.peer != nil {
				test.peer(r.p)
			}
			now = now.Add(test.later)
			if test.retry {
				r.bring(StateWaitClientHelloRetry)
				sendEarlyData(r.p, 500)
				r.run()
				r.p.Shares = nil
				r.send(r.p.ClientHello())
			} else {
				r.p.Send(r.p.ClientHello())
				r.p.SendCCS()
				r.p.SendRecord(record.TypeApplicationData, make([]byte, 500))
				r.run()
			}
			r.wantState(StateWaitClientFinished)
			if r.m.EarlyDataAccepted() || len(r.data) > 0 {
				t.Error("accepted")
			}
			if r.m.ConnectionState().DidResume == test.notResumed {
				t.Errorf("resumed: %v", !test.notResumed)
			}
			r.wantConnected()
		})
	}
	// Within the tolerance it is accepted.
	for _, later := range []time.Duration{ticketAgeTolerance - time.Millisecond, -ticketAgeTolerance} {
		now = tlstest.Now
		r := newEarlyServer(t, func(c *Config) { c.Time = func() time.Time { return now } })
		now = now.Add(later)
		r.wantConnected()
		if !r.m.EarlyDataAccepted() {
			t.Errorf("%v off: not accepted", later)
		}
	}
}

// guard is a ReplayGuard with one answer.
type guard struct {
	fresh bool
	err   error
}

func (g guard) Fresh([]byte, time.Time, time.Time) (bool, error) { return g.fresh, g.err }

// The same ClientHello, with the same early data, is accepted once.
func TestReplay(t *testing.T) {
	now := tlstest.Now
	window := NewReplayWindow(0, 0)
	window.Fresh([]byte("start"), now.Add(-time.Hour), now)
	full := newFullServer(t, func(c *Config) {
		c.Time = func() time.Time { return now }
		c.MaxEarlyData, c.ReplayGuard = ticketsAllow, window
	})
	r := full.resumeServer()
	r.p.EarlyData = true
	r.p.Send(r.p.ClientHello())
	r.p.SendRecord(record.TypeApplicationData, []byte("pay"))
	recorded := r.p.Take()
	for i := range 3 {
		m := serverRigOf(t, full.m.cfg).m
		got := ""
		for b := bytes.Clone(recorded); ; {
			ev, n := m.Step(b)
			b = b[n:]
			got += string(ev.Data)
			if ev.Stop() {
				break
			}
		}
		if want := "pay"[:3*b2i(i == 0)]; got != want || m.EarlyDataAccepted() != (i == 0) || m.Err() != nil {
			t.Errorf("time %d: got %q, accepted %v, %v", i, got, m.EarlyDataAccepted(), m.Err())
		}
		now = now.Add(6 * time.Second)
	}
}

// "A server receiving more than max_early_data_size bytes of 0-RTT data SHOULD terminate the
// connection with an "unexpected_message" alert."
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.6.1)
func TestTooMuchEarlyData(t *testing.T) {
	r := newEarlyServer(t).bring(StateWaitEndOfEarlyData)
	r.p.SendRecord(record.TypeApplicationData, make([]byte, ticketsAllow))
	r.p.SendSealed(append([]byte{byte(record.TypeApplicationData)}, make([]byte, 100)...)) // padding does not count
	r.run()
	r.wantState(StateWaitEndOfEarlyData)
	r.p.SendRecord(record.TypeApplicationData, []byte("x"))
	r.run()
	r.wantAlert(ReasonTooMuchEarlyData, AlertUnexpectedMessage)
	if len(r.data) != ticketsAllow {
		t.Errorf("%d bytes", len(r.data))
	}
	// Records that bring nothing.
	r = newEarlyServer(t).bring(StateWaitEndOfEarlyData)
	for range maxEmptyRecords + 1 {
		r.p.SendRecord(record.TypeApplicationData, nil)
	}
	r.run()
	r.wantAlert(ReasonTooManyEmptyRecords, AlertUnexpectedMessage)
	// What our tickets allow is skipped, too, when it is not accepted.
	r = newFullServer(t, takesEarly, func(c *Config) { c.MaxEarlyData = 100 << 10 }).resumeServer()
	r.p.PSKs[0] = unknownPSK(1)
	r.p.EarlyData = true
	r.bring(StateWaitClientFinished)
	for range 8 {
		r.p.SendPlain(record.TypeApplicationData, make([]byte, 16<<10))
	}
	r.run()
	r.wantState(StateWaitClientFinished)
	r.p.SendPlain(record.TypeApplicationData, make([]byte, 5<<10))
	r.run()
	r.wantAlert(ReasonTooMuchEarlyData, AlertUnexpectedMessage)
}

// The server's record_size_limit does not hold for early data, which was cut before the client
// could know of it. It does behind it.
func TestEarlyDataRecordSize(t *testing.T) {
	r := newEarlyServer(t, func(c *Config) { c.RecordSizeLimit = 100 })
	r.p.OnClientHello = func(m *wire.ClientHello) {
		m.RecordSizeLimit = record.MaxInner
		m.Extensions = slices.Insert(m.Extensions, 0, wire.Extension{Type: wire.ExtRecordSizeLimit})
	}
	r.bring(StateWaitEndOfEarlyData)
	r.p.SendRecord(record.TypeApplicationData, make([]byte, 500))
	r.run()
	r.wantState(StateWaitEndOfEarlyData)
	if len(r.data) != 500 {
		t.Errorf("%d bytes of early data", len(r.data))
	}
	r.wantConnected()
	r.p.SendRecord(record.TypeApplicationData, make([]byte, 100))
	r.run()
	r.wantAlert(ReasonRecordOverflow, AlertRecordOverflow)
}

// "Specifically, if the server fails to decrypt a 0-RTT record following an accepted
// "early_data" extension, it MUST terminate the connection with a "bad_record_mac" alert as
// per Section 5.2." (https://www.rfc-editor.org/rfc/rfc8446#section-4.2.10)
func TestBadEarlyRecord(t *testing.T) {
	r := newEarlyServer(t).bring(StateWaitEndOfEarlyData)
	sendEarlyData(r.p, 100)
	r.run()
	r.wantAlert(ReasonBadRecordMAC, AlertBadRecordMAC)
	r = newEarlyServer(t).bring(StateWaitEndOfEarlyData)
	r.p.SendRecord(record.TypeApplicationData, []byte("early"))
	r.run()
	r.p.SendPlain(record.TypeAlert, []byte{2, 40}) // once a record was opened, the clear is over
	r.run()
	r.wantAlert(ReasonUnexpectedRecord, AlertUnexpectedMessage)
	r = newEarlyServer(t).bring(StateWaitClientFinished)
	r.p.SendPlain(record.TypeAlert, []byte{2, 40})
	r.run()
	r.wantAlert(ReasonUnexpectedRecord, AlertUnexpectedMessage)
}

// EndOfEarlyData is empty, ends its record, and changes keys there.
func TestEndOfEarlyData(t *testing.T) {
	r := newEarlyServer(t).bring(StateWaitEndOfEarlyData)
	r.p.Send(tlstest.Message(wire.TypeEndOfEarlyData, 0))
	r.run()
	r.wantAlert(ReasonMalformedMessage, AlertDecodeError)
	r = newEarlyServer(t).bring(StateWaitEndOfEarlyData)
	r.p.SendRecord(record.TypeHandshake, append(r.p.EndOfEarlyData(), r.p.Finished()[:5]...))
	r.run()
	r.wantAlert(ReasonKeyChangeAlignment, AlertUnexpectedMessage)
	// Early data inside of it.
	r = newEarlyServer(t).bring(StateWaitEndOfEarlyData)
	r.p.SendRecord(record.TypeHandshake, r.p.EndOfEarlyData()[:2])
	r.p.SendRecord(record.TypeApplicationData, []byte("early"))
	r.run()
	r.wantAlert(ReasonInterleavedHandshake, AlertUnexpectedMessage)
	// The keys of early data are gone behind it.
	r = newEarlyServer(t).bring(StateWaitEndOfEarlyData)
	r.p.SendRecord(record.TypeHandshake, r.p.EndOfEarlyData())
	r.p.SendRecord(record.TypeApplicationData, []byte("early"))
	r.run()
	r.wantAlert(ReasonBadRecordMAC, AlertBadRecordMAC)
}

// A client without early data sends no EndOfEarlyData, and one that is refused neither.
//
// "If the server does not send an "early_data" extension in EncryptedExtensions, then the
// client MUST NOT send an EndOfEarlyData message."
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.5)
func TestUnexpectedEndOfEarlyData(t *testing.T) {
	r := newResumedServer(t).bring(StateWaitClientFinished)
	r.send(r.p.EndOfEarlyData())
	r.wantAlert(ReasonUnexpectedMessage, AlertUnexpectedMessage)
}

// The decision about early data, and the ticket, by hand.
func TestTasksByHand(t *testing.T) {
	for _, accept := range []bool{false, true} {
		r := newEarlyServer(t, func(c *Config) { c.Tasks = Tasks(TaskDecideEarlyData, TaskOpenTicket) })
		r.send(r.p.ClientHello())
		open := r.m.Task()
		if open.Kind() != TaskOpenTicket || !bytes.Equal(open.Ticket(), r.p.PSKs[0].Identity) {
			t.Fatalf("task %v", open.Kind())
		}
		session, err := r.m.cfg.openTicket(open.Ticket(), r.m.d.ticketKeys, tls.VersionTLS13)
		if err != nil {
			t.Fatal(err)
		}
		open.SetSession(session)
		if err := r.m.Done(open); err != nil {
			t.Fatal(err)
		}
		decide := r.m.Task()
		if decide.Kind() != TaskDecideEarlyData || decide.EarlyData().ServerName != "localhost" {
			t.Fatalf("task %v", decide.Kind())
		}
		decide.SetEarlyData(accept)
		if err := r.m.Done(decide); err != nil {
			t.Fatal(err)
		}
		r.step(nil)
		if r.m.EarlyDataAccepted() != accept {
			t.Errorf("accepted: %v", !accept)
		}
		if !accept {
			r.path = serverPath
		}
		r.wantConnected()
	}
	// Not one of ours, and not to be found out.
	r := newResumedServer(t, func(c *Config) { c.Tasks = Tasks(TaskOpenTicket) })
	r.send(r.p.ClientHello())
	r.m.Task().SetSession(nil)
	r.m.Done(r.m.Task())
	r.step(nil)
	r.wantConnected()
	r = newResumedServer(t, func(c *Config) { c.Tasks = Tasks(TaskOpenTicket) })
	r.send(r.p.ClientHello())
	r.m.Task().Fail(errors.New("no"))
	r.m.Done(r.m.Task())
	r.wantAlert(ReasonCallbackFailed, AlertInternalError)
}

// Both sides export the same from early data, the client at once.
func TestEarlyExporter(t *testing.T) {
	keys, err := NewRandomTicketKeys(time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	clientConfig, serverConfig := testClientConfig(), testServerConfig()
	cached(clientConfig)
	takesEarly(serverConfig)
	clientConfig.EarlyData, serverConfig.TicketKeys = true, keys
	for i := range 3 {
		client, server := newPair(t, clientConfig, serverConfig)
		client.Step(nil)
		early, err := client.ExportEarlyKeyingMaterial("label", nil, 32)
		if (err == nil) != (i > 0) {
			t.Fatalf("connection %d: %v", i, err)
		}
		if i == 2 { // the server goes on without
			server.cfg = serverConfig.Clone()
			server.cfg.AcceptEarlyData = func(EarlyDataInfo) bool { return false }
		}
		if i > 0 {
			client.WriteEarly([]byte("early"))
		}
		talk(t, client, server, whole)
		if client.State() != StateConnected || client.EarlyDataAccepted() != (i == 1) || server.EarlyDataAccepted() != (i == 1) {
			t.Fatalf("connection %d: %v, accepted %v", i, client.Err(), client.EarlyDataAccepted())
		}
		ours, err1 := client.ExportEarlyKeyingMaterial("label", nil, 32)
		theirs, err2 := server.ExportEarlyKeyingMaterial("label", nil, 32)
		if i == 1 && (!bytes.Equal(ours, early) || !bytes.Equal(theirs, early)) || (err1 == nil) != (i == 1) || (err2 == nil) != (i == 1) {
			t.Errorf("connection %d: %x, %x and %x; %v, %v", i, early, ours, theirs, err1, err2)
		}
	}
}

// The connection of RFC 8448, Section 4: our server accepts the binder of its ClientHello, and
// opens its early data and its end. The server's own flight has other extensions in another
// order in the trace, so that from there on nothing can be compared; internal/tlstest has the
// whole key schedule of it.
func TestRFC8448EarlyData(t *testing.T) {
	traces, err := tlstest.RFC8448()
	if err != nil {
		t.Fatal(err)
	}
	trace := traces[slices.IndexFunc(traces, func(trace tlstest.Trace) bool { return trace.Section == 4 })]
	value := func(nth int, action, name string) []byte {
		t.Helper()
		for i := range trace.Steps {
			if step := &trace.Steps[i]; step.Client && step.Action == action {
				if nth--; nth < 0 {
					return step.Value(name).Bytes
				}
			}
		}
		t.Fatalf("no step %q", action)
		return nil
	}
	record := func(nth int, action string) []byte { return bytes.Clone(value(nth, action, "complete record")) }
	var hello wire.ClientHello
	if err := hello.Parse(value(0, "send handshake record", "payload")[wire.HeaderLen:]); err != nil {
		t.Fatal(err)
	}
	var server *rig
	server = newServerRig(t, takesEarly, func(c *Config) {
		c.SealTicket = sameTicket
		c.OpenTicket = func(ticket []byte) ([]byte, error) {
			if !bytes.Equal(ticket, hello.PSKIdentities[0].Identity) {
				return nil, nil
			}
			s := Session{
				Version: tls.VersionTLS13, CipherSuite: tls.TLS_AES_128_GCM_SHA256, IsServer: true,
				Secret:    bytes.Clone(value(0, `extract secret "early"`, "IKM")),
				CreatedAt: tlstest.Now, AuthenticatedAt: tlstest.Now, Lifetime: 30,
				AgeAdd:       hello.PSKIdentities[0].ObfuscatedTicketAge, // it comes at once
				MaxEarlyData: ticketsAllow, ServerName: "server", ConfigID: server.m.d.serverID,
			}
			return s.MarshalBinary()
		}
	})
	take := func(b []byte) (data []byte) { // not by way of the scripted peer, which has no part in this
		for {
			ev, n := server.m.Step(b)
			if b = b[n:]; ev.Stop() {
				return data
			}
			data = append(data, ev.Data...)
		}
	}
	take(record(0, "send handshake record"))
	server.wantState(StateWaitEndOfEarlyData)
	exporter := server.m.conn.earlyExporter()
	if want := value(0, `derive secret "tls13 e exp master"`, "expanded"); !bytes.Equal(exporter.Bytes(), want) {
		t.Errorf("the early exporter's secret is %x, want %x", exporter.Bytes(), want)
	}
	data := take(record(0, "send application_data record"))
	if want := value(0, "send application_data record", "payload"); !bytes.Equal(data, want) {
		t.Errorf("early data %x, want %x", data, want)
	}
	take(record(1, "send handshake record"))
	server.wantState(StateWaitClientFinished)
}
