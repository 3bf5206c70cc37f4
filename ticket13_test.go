package tlscore

import (
	"crypto/tls"
	"errors"
	"slices"
	"testing"
	"time"

	"tlscore.example/tlscore/internal/record"
	"tlscore.example/tlscore/internal/tlstest"
	"tlscore.example/tlscore/internal/wire"
)

// The tickets that a server of TLS 1.3 sends.

// How many tickets there are.
func TestTicketCount(t *testing.T) {
	request := func(full, resumed uint8) func(*wire.ClientHello) {
		return func(m *wire.ClientHello) {
			m.TicketRequest = wire.TicketRequest{NewSessionCount: full, ResumptionCount: resumed}
			last := len(m.Extensions) - 1
			m.Extensions = slices.Insert(m.Extensions, last, wire.Extension{Type: wire.ExtTicketRequest})
		}
	}
	for name, test := range map[string]struct {
		count         int
		hello         func(*wire.ClientHello)
		full, resumed int
		asked         bool
	}{
		"default":      {0, nil, 2, 1, false},
		"five":         {5, nil, 5, 1, false},
		"none":         {-1, nil, 0, 0, false},
		"asked":        {5, request(3, 4), 3, 4, true},
		"asked a lot":  {0, request(200, 100), 16, 16, true},
		"asked none":   {0, request(0, 0), 0, 0, true},
		"asked, never": {-1, request(3, 4), 0, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			keys, err := NewRandomTicketKeys(time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			hook := func(p *tlstest.Peer) {
				wantTickets(p)
				modes := p.OnClientHello
				p.OnClientHello = func(m *wire.ClientHello) {
					if modes(m); test.hello != nil {
						test.hello(m)
					}
				}
			}
			wants := func(r *rig, want int) {
				t.Helper()
				r.bring(StateConnected)
				if len(r.p.Tickets) != want {
					t.Errorf("%d tickets, want %d", len(r.p.Tickets), want)
				}
				var ee wire.EncryptedExtensions
				if err := ee.Parse(r.p.Message(wire.TypeEncryptedExtensions)); err != nil || ee.Has(wire.ExtTicketRequest) != test.asked || int(ee.ExpectedTickets) != want*b2i(test.asked) {
					t.Errorf("announces %d, %v", ee.ExpectedTickets, err)
				}
			}
			with := func(c *Config) { c.TicketKeys, c.TicketCount = keys, test.count }
			r := newServerRig(t, with)
			hook(r.p)
			wants(r, test.full)
			full := newFullServer(t, func(c *Config) { c.TicketKeys = keys })
			next := full.resumeServer(with)
			hook(next.p)
			wants(next, test.resumed)
			if !next.m.ConnectionState().DidResume {
				t.Error("not resumed")
			}
		})
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// A client says how many tickets it wants, and has none of a server that it did not ask.
func TestTicketRequest(t *testing.T) {
	r := newClientRig(t, cached, func(c *Config) { c.TicketRequest = TicketRequest{New: 3, Resumed: 1} }).bring(StateWaitServerHello)
	if hello := &r.p.Hello; !hello.Has(wire.ExtTicketRequest) || hello.TicketRequest != (wire.TicketRequest{NewSessionCount: 3, ResumptionCount: 1}) {
		t.Errorf("asks for %v", hello.TicketRequest)
	}
	hint := func(ee *wire.EncryptedExtensions) {
		ee.ExpectedTickets, ee.Extensions = 3, append(ee.Extensions, wire.Extension{Type: wire.ExtTicketRequest})
	}
	r.p.OnEncryptedExtensions = hint
	r.wantConnected()
	r = newClientRig(t, cached).bring(StateWaitEncryptedExtensions)
	r.p.OnEncryptedExtensions = hint
	r.send(r.p.EncryptedExtensions())
	r.wantAlert(ReasonUnsolicitedExtension, AlertUnsupportedExtension)
}

// The tickets of a server have what they must have.
func TestServerTickets(t *testing.T) {
	r := newServerRig(t, func(c *Config) { c.TicketCount, c.TicketLifetime = 4, 90*time.Minute })
	wantTickets(r.p)
	r.bring(StateConnected)
	for range 2 {
		if err := r.m.SendTicket(); err != nil {
			t.Fatal(err)
		}
	}
	r.read()
	ages, nonces, tickets := map[uint32]bool{}, map[string]bool{}, map[string]bool{}
	for _, item := range r.p.Got {
		if item.Type != record.TypeHandshake || wire.HandshakeType(item.Body[0]) != wire.TypeNewSessionTicket {
			continue
		}
		var m wire.NewSessionTicket
		if err := m.Parse(item.Body[wire.HeaderLen:]); err != nil {
			t.Fatal(err)
		}
		ages[m.AgeAdd], nonces[string(m.Nonce)], tickets[string(m.Ticket)] = true, true, true
		if m.Lifetime != 90*60 || m.Has(wire.ExtEarlyData) {
			t.Errorf("lifetime %d, early data %v", m.Lifetime, m.Has(wire.ExtEarlyData))
		}
	}
	if len(ages) != 6 || len(nonces) != 6 || len(tickets) != 6 {
		t.Errorf("of 6 tickets: %d ages, %d nonces, %d tickets", len(ages), len(nonces), len(tickets))
	}
	for _, ticket := range r.p.Tickets {
		next := r.resumeServer()
		next.p.PSKs = []tlstest.PSK{ticket}
		next.wantConnected()
		if !next.m.ConnectionState().DidResume {
			t.Error("a ticket does not resume")
		}
	}
}

// No ticket is sent to a client that cannot use it, nor into a closed direction; and one is
// sent later by SendTicket alone where none comes by itself.
func TestSendTicket(t *testing.T) {
	r := newServerRig(t).bring(StateConnected)
	if err := r.m.SendTicket(); err != ErrNoTickets || len(r.m.Output()) > 0 {
		t.Errorf("to a client that cannot use it: %v", err)
	}
	r = newServerRig(t, func(c *Config) { c.TicketCount = -1 })
	wantTickets(r.p)
	r.bring(StateConnected)
	if err := r.m.SendTicket(); err != nil {
		t.Fatal(err)
	}
	if r.read(); len(r.p.Tickets) != 1 {
		t.Errorf("%d tickets", len(r.p.Tickets))
	}
	r.m.CloseWrite()
	if err := r.m.SendTicket(); err != ErrWriteClosed {
		t.Errorf("after CloseWrite: %v", err)
	}
	// CloseWrite between our Finished and the client's.
	r = newServerRig(t)
	wantTickets(r.p)
	r.bring(StateWaitClientFinished)
	r.m.CloseWrite()
	r.bring(StateConnected)
	if len(r.p.Tickets) > 0 {
		t.Error("tickets behind close_notify")
	}
	// A failure of the application's is one of the connection.
	fail := false
	r = newFullServer(t, func(c *Config) {
		c.OpenTicket = sameTicket
		c.SealTicket = func(b []byte) ([]byte, error) {
			if fail {
				return nil, errors.New("no")
			}
			return sameTicket(b)
		}
	})
	fail = true
	if err := r.m.SendTicket(); err != nil {
		t.Errorf("SendTicket: %v", err)
	}
	r.wantAlert(ReasonCallbackFailed, AlertInternalError)
	if err := r.m.SendTicket(); err != ErrFailed {
		t.Errorf("after the failure: %v", err)
	}
	// The handshake is not complete then either.
	r = newServerRig(t, func(c *Config) {
		c.TicketData = func(tls.ConnectionState) []byte { panic("no") }
	})
	wantTickets(r.p)
	r.tryBring(StateConnected)
	r.wantAlert(ReasonCallbackPanicked, AlertInternalError)
	if r.m.ConnectionState().HandshakeComplete || slices.Contains(r.events, EventHandshakeDone) {
		t.Error("the handshake is complete, though it failed")
	}
}

// Tickets keep to the number of records that a key is good for, and one that is longer
// than that has a key of its own.
func TestTicketsAndKeyLimit(t *testing.T) {
	r := newServerRig(t, func(c *Config) {
		c.Limits.KeyRecords, c.TicketCount = 2, 3
		c.SealTicket, c.OpenTicket = func(b []byte) ([]byte, error) { return make([]byte, 10), nil }, sameTicket
	})
	wantTickets(r.p)
	r.bring(StateConnected)
	if len(r.p.Tickets) != 3 {
		t.Errorf("%d tickets", len(r.p.Tickets))
	}
	r.wantConnected()
	long := newServerRig(t, func(c *Config) {
		c.Limits.KeyRecords = 2
		c.SealTicket, c.OpenTicket = func(b []byte) ([]byte, error) { return make([]byte, 20000), nil }, sameTicket
	})
	wantTickets(long.p)
	long.wantConnected()
	if len(long.p.Tickets) != 2 {
		t.Errorf("%d tickets of two records under keys for two", len(long.p.Tickets))
	}
	long = newServerRig(t, func(c *Config) {
		c.Limits.KeyRecords = 3
		c.SealTicket, c.OpenTicket = func(b []byte) ([]byte, error) { return make([]byte, 20000), nil }, sameTicket
	})
	wantTickets(long.p)
	long.wantConnected()
	if len(long.p.Tickets) != 2 {
		t.Errorf("%d tickets of two records under a key for three", len(long.p.Tickets))
	}
}

// The random source fails at each of the draws for a ticket.
func TestTicketRandomness(t *testing.T) {
	for n := range 3 {
		source := &shortSource{left: 1 << 20}
		r := newServerRig(t, func(c *Config) { c.Rand = source })
		wantTickets(r.p)
		r.bring(StateWaitClientFinished)
		source.left = []int{3, 4, 4 + 32}[n] // ticket_age_add, the ticket key, the nonce
		r.send(r.p.Finished())
		r.wantAlert(ReasonRandomSource, AlertInternalError)
	}
}

// shortSource gives so many bytes.
type shortSource struct{ left int }

func (s *shortSource) Read(b []byte) (int, error) {
	if len(b) > s.left {
		return 0, errors.New("no more")
	}
	s.left -= len(b)
	for i := range b {
		b[i] = byte(s.left + i)
	}
	return len(b), nil
}
