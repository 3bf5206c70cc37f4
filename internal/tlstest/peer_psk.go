package tlstest

import (
	"crypto/hmac"
	"errors"
	"fmt"
	"slices"

	"tlscore.example/tlscore/internal/schedule"
	"tlscore.example/tlscore/internal/wire"
)

// What the peer knows about pre-shared keys, tickets and early data.

// PSK is a pre-shared key.
type PSK struct {
	Identity []byte // a ticket
	Age      uint32 // what the hello says, which is obfuscated
	Key      []byte
	Suite    wire.CipherSuite // whose hash it belongs to
	External bool             // no ticket's
}

func (k *PSK) early() *schedule.EarlySecret {
	early := schedule.NewEarlySecret(suiteOf(k.Suite).hash, k.Key)
	return &early
}

// binder is the binder of a ClientHello that is cut in front of its binders.
// RFC 8446, Section 4.2.11.2.
func (k *PSK) binder(transcript, truncated []byte) []byte {
	key := k.early().BinderKey(k.External)
	return key.Binder(nil, hashMessages(suiteOf(k.Suite).hash, transcript, truncated))
}

// offerPSKs puts the PSKs into the hello, with binders of zeros, and returns the
// extensions that are theirs.
func (p *Peer) offerPSKs() []wire.ExtensionType {
	if len(p.PSKs) == 0 {
		return nil
	}
	p.Hello.PSKModes = []byte{1} // psk_dhe_ke
	for _, k := range p.PSKs {
		p.Hello.PSKIdentities = append(p.Hello.PSKIdentities, wire.PSKIdentity{Identity: k.Identity, ObfuscatedTicketAge: k.Age})
		p.Hello.PSKBinders = append(p.Hello.PSKBinders, make([]byte, suiteOf(k.Suite).hash.Size()))
	}
	return []wire.ExtensionType{wire.ExtPSKKeyExchangeModes, wire.ExtPreSharedKey}
}

// bind puts the binders of the PSKs into a ClientHello that ends with
// pre_shared_key, unless a hook has encoded that.
func (p *Peer) bind(msg []byte) []byte {
	m := &p.Hello
	last := len(m.Extensions) - 1
	if last < 0 || m.Extensions[last].Type != wire.ExtPreSharedKey || m.Extensions[last].Data != nil {
		return msg
	}
	truncated := msg[:len(msg)-wire.BindersSize(m.PSKBinders)]
	for i := range min(len(m.PSKBinders), len(p.PSKs)) {
		m.PSKBinders[i] = p.PSKs[i].binder(p.transcript, truncated)
	}
	if p.OnBinders != nil {
		p.OnBinders(m.PSKBinders)
	}
	return m.AppendBinders(truncated)
}

// checkBinders checks the binders of the PSKs that the server knows; the
// transcript ends with the message.
func (p *Peer) checkBinders(msg []byte) error {
	if !p.server || p.Hello.BindersLen == 0 {
		return nil
	}
	before := p.transcript[:len(p.transcript)-len(msg)]
	for i, id := range p.Hello.PSKIdentities {
		for _, k := range p.PSKs {
			if !slices.Equal(k.Identity, id.Identity) {
				continue
			}
			if !hmac.Equal(p.Hello.PSKBinders[i], k.binder(before, msg[:len(msg)-p.Hello.BindersLen])) {
				return fmt.Errorf("wrong binder %d", i)
			}
		}
	}
	return nil
}

// identity is the place of a PSK among those of the ClientHello, or the first.
func (p *Peer) identity(k *PSK) uint16 {
	i := slices.IndexFunc(p.Hello.PSKIdentities, func(id wire.PSKIdentity) bool {
		return slices.Equal(id.Identity, k.Identity)
	})
	return uint16(max(i, 0))
}

// deriveEarly derives the client's early traffic secret.
func (p *Peer) deriveEarly(k *PSK) {
	p.clientSecret[Early] = k.early().ClientEarlyTraffic(hashMessages(suiteOf(k.Suite).hash, p.hello))
}

// deriveResumption derives what the PSKs of tickets come from; the transcript
// ends with the client's Finished.
func (p *Peer) deriveResumption() {
	secret := p.main.Resumption(hashMessages(p.suite().hash, p.transcript))
	p.resumption = &secret
}

// EndOfEarlyData builds the message that ends early data.
func (p *Peer) EndOfEarlyData() []byte { return new(wire.EndOfEarlyData).Append(nil) }

// NewSessionTicket builds a ticket, which is added to Tickets when the handshake
// is complete. Before, it opens nothing.
func (p *Peer) NewSessionTicket() []byte {
	if p.tls12() {
		return p.newSessionTicket12()
	}
	n := byte(len(p.Tickets) + 1)
	ticket := wire.NewSessionTicket{Lifetime: 7200, AgeAdd: 0x01020304, Nonce: []byte{n}, Ticket: append([]byte("ticket "), '0'+n)}
	if p.OnNewSessionTicket != nil {
		p.OnNewSessionTicket(&ticket)
	}
	p.keepTicket(&ticket)
	return ticket.Append(nil)
}

func (p *Peer) handleTicket(body []byte) {
	var ticket wire.NewSessionTicket
	if err := ticket.Parse(slices.Clone(body)); err != nil {
		p.fail2(wire.TypeNewSessionTicket, err)
		return
	}
	if p.resumption == nil {
		p.fail(errors.New("NewSessionTicket inside the handshake"))
		return
	}
	p.keepTicket(&ticket)
}

// keepTicket adds a ticket to Tickets, as old as it is when it comes.
func (p *Peer) keepTicket(t *wire.NewSessionTicket) {
	if p.resumption == nil {
		return
	}
	key := p.resumption.PSK(t.Nonce)
	p.Tickets = append(p.Tickets, PSK{
		Identity: t.Ticket, Age: t.AgeAdd, Key: slices.Clone(key.Bytes()), Suite: p.Suite,
	})
}
