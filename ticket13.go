package tlscore

import (
	"bytes"
	"encoding/binary"
	"slices"
	"time"

	"tlscore.example/tlscore/internal/schedule"
	"tlscore.example/tlscore/internal/wire"
)

// The tickets of TLS 1.3, which a server sends behind the handshake. RFC 8446, Section
// 4.6.1.

// TicketRequest says how many tickets a client would like to get from a server of TLS
// 1.3. The zero value means that it does not say. RFC 9149.
type TicketRequest struct {
	New     uint8 // after a full handshake
	Resumed uint8 // after a resumption
}

const (
	// defaultTicketCount is how many tickets a full handshake of TLS 1.3 brings when
	// Config.TicketCount is 0. A resumed one brings one, which replaces the one used.
	defaultTicketCount = 2
	// maxTicketCount bounds the tickets of one handshake, whatever is asked for.
	maxTicketCount = 16
)

// ticketing is what a connection of TLS 1.3 keeps for its tickets: a server for those
// it may still send, a client for those that may still come. RFC 8446, Section 4.6.1.
type ticketing struct {
	secret        schedule.ResumptionSecret
	authenticated time.Time // when the full handshake took place that they go back to
	issued        uint32    // how many were made
}

// startTicketing keeps what tickets are made from; the transcript ends with the client's Finished.
func (m *Machine) startTicketing(main *schedule.MainSecret) error {
	h := m.handshakeState()
	t := new(ticketing)
	if h.resumed != nil {
		t.authenticated = h.resumed.AuthenticatedAt
	} else {
		var err error
		if t.authenticated, err = m.now(); err != nil {
			return err
		}
	}
	t.secret = main.Resumption(h.hash())
	m.conn.extra().tickets = t
	return nil
}

// endTicketing clears what tickets are made from.
func (m *Machine) endTicketing() {
	if t := m.conn.tickets(); t != nil {
		t.secret.Wipe()
		m.conn.more.tickets = nil
	}
}

// The server's part.

// SendTicket sends one more ticket to a client of TLS 1.3 after the handshake: after
// post-handshake authentication, say, so that the ticket knows about it. When it returns, the
// ticket is in the output, or the connection has failed: State tells. An error is misuse,
// or the connection has no tickets, and changes nothing. RFC 8446, Section 4.6.1.
func (m *Machine) SendTicket() error {
	if err := m.answerable(); err != nil {
		return err
	}
	if m.state != StateConnected || m.conn.tickets() == nil || m.rules != rulesServer13 {
		return ErrNoTickets
	}
	if err := m.out.writable(); err != nil {
		return err
	}
	m.busy = true
	sent, err := m.sendTickets(1)
	m.busy = false
	if err != nil {
		m.fail(err)
		return nil
	}
	if sent == 0 {
		return ErrNoTickets
	}
	return nil
}

// ticketCount is how many tickets follow the handshake of a client that says so much about
// it. One that has asked gets no more than it wants. RFC 9149, Section 3.
func (s *serverHandshake) ticketCount(cfg *Config) int {
	if !s.resumption || cfg.TicketCount < 0 {
		return 0
	}
	request := s.ticketRequest
	switch {
	case request != nil && s.resumed != nil:
		return min(int(request.ResumptionCount), maxTicketCount)
	case request != nil:
		return min(int(request.NewSessionCount), maxTicketCount)
	case s.resumed != nil:
		return 1
	case cfg.TicketCount == 0:
		return defaultTicketCount
	}
	return cfg.TicketCount
}

// sendTickets sends n tickets in one flight, and returns how many there were: one that cannot
// be made is left out.
func (m *Machine) sendTickets(n int) (sent int, err error) {
	if n == 0 || m.out.writable() != nil {
		return 0, nil
	}
	now, err := m.now()
	if err != nil {
		return 0, err
	}
	for range n {
		ticket, err := m.newTicket(now)
		if err != nil {
			return sent, err
		}
		if ticket == nil {
			break
		}
		raw := ticket.Append(nil)
		queued, err := m.out.appendPostHandshake(raw)
		if err != nil || !queued {
			return sent, err
		}
		m.sent = true
		sent++
	}
	return sent, nil
}

// newTicket makes a ticket, or nil when there can be none.
func (m *Machine) newTicket(now time.Time) (*wire.NewSessionTicket, error) {
	t := m.conn.tickets()
	s := m.newSession(true, now, t.authenticated)
	// "Servers MUST NOT use any value greater than 604800 seconds (7 days)."
	// https://www.rfc-editor.org/rfc/rfc8446#section-4.6.1
	//
	// Nor does a ticket outlive what the full handshake has proved.
	if !s.limitLifetime(m.d.ticketLifetime, now) {
		return nil, nil
	}
	// "The server MUST generate a fresh value for each ticket it sends."
	// https://www.rfc-editor.org/rfc/rfc8446#section-4.6.1
	var ageAdd [4]byte
	if err := m.cfg.random(ageAdd[:]); err != nil {
		return nil, err
	}
	s.AgeAdd = binary.BigEndian.Uint32(ageAdd[:])
	// "A per-ticket value that is unique across all tickets issued on this
	// connection."
	// https://www.rfc-editor.org/rfc/rfc8446#section-4.6.1
	nonce := binary.BigEndian.AppendUint32(nil, t.issued)
	t.issued++
	s.Secret = t.psk(nonce)
	s.MaxEarlyData = m.cfg.MaxEarlyData
	msg := &wire.NewSessionTicket{Lifetime: s.Lifetime, AgeAdd: s.AgeAdd, Nonce: nonce, MaxEarlyData: s.MaxEarlyData}
	if s.MaxEarlyData > 0 {
		msg.Extensions = []wire.Extension{{Type: wire.ExtEarlyData}}
	}
	if err := m.askTicketData(s); err != nil {
		s.Wipe()
		return nil, err
	}
	var err error
	if msg.Ticket, err = m.sealTicket(s, now); err != nil || len(msg.Ticket) == 0 {
		return nil, err
	}
	return msg, nil
}

// psk returns the pre-shared key of the ticket with this nonce.
func (t *ticketing) psk(nonce []byte) []byte {
	psk := t.secret.PSK(nonce)
	defer psk.Wipe()
	return bytes.Clone(psk.Bytes())
}

// askTicketData asks the application what it wants to find in the ticket.
func (m *Machine) askTicketData(s *Session) error {
	ask := m.cfg.TicketData
	if ask == nil {
		return nil
	}
	return call(ReasonCallbackFailed, func() error {
		s.AppData = slices.Clone(ask(m.conn.state()))
		return nil
	})
}

// The client's part.

// clientNewSessionTicket keeps what the server gives for resumption. Without a cache it is
// checked and dropped.
//
//	"[…] clients ignore NewSessionTicket if they do not support resumption"
//
// RFC 9846, Section 1.2.
func clientNewSessionTicket(m *Machine, msg []byte) (State, error) {
	var ticket wire.NewSessionTicket
	if err := ticket.Parse(msg[wire.HeaderLen:]); err != nil {
		return 0, malformed(err)
	}
	if m.in.tickets++; m.in.tickets > maxSessionTickets {
		return 0, violation(ReasonTooManySessionTickets)
	}
	// "The value of zero indicates that the ticket should be discarded
	// immediately."
	// https://www.rfc-editor.org/rfc/rfc8446#section-4.6.1
	t := m.conn.tickets()
	if t == nil || ticket.Lifetime == 0 {
		return StateConnected, nil
	}
	now, err := m.now()
	if err != nil {
		return 0, err
	}
	s := m.newSession(false, now, t.authenticated)
	// A session keeps milliseconds. Rounded up, the age that is told is never above the
	// server's own, which is what some servers take a replay by.
	const millisecond = time.Second / 1000
	s.CreatedAt = now.Add(millisecond - 1).Truncate(millisecond)
	// "Clients MUST NOT cache tickets for longer than 7 days, regardless of the
	// ticket_lifetime, and MAY delete tickets earlier based on local policy."
	// https://www.rfc-editor.org/rfc/rfc8446#section-4.6.1
	s.Lifetime = min(ticket.Lifetime, MaxSessionLifetime)
	s.AgeAdd = ticket.AgeAdd
	s.Ticket = ticket.Ticket
	s.MaxEarlyData = ticket.MaxEarlyData
	s.Secret = t.psk(ticket.Nonce)
	kept, err := m.keepSession(s)
	if err != nil {
		return 0, err
	}
	if kept {
		m.push(EventSessionTicket)
	}
	return StateConnected, nil
}
