package fuzz

import (
	"bytes"
	"crypto/tls"
	"slices"
	"time"

	"tlscore.example/tlscore/internal/record"
	"tlscore.example/tlscore/internal/schedule"
	"tlscore.example/tlscore/internal/wire"
)

// puppetPast is what a puppet has for a session from before.
type puppetPast struct {
	past     *prepared // nil if there is none
	selected bool      // it is resumed
	early    bool      // a client sends early data under its key
	accepted bool      // the server takes that
	// openEarly is the key of the machine's early data.
	openEarly *record.Protection
}

// What the upper bits of choices.group say about a session that is resumed; the
// two bits below are for the group.
const (
	pastOtherKey   = 4 << iota // the puppet has another key
	pastOthers                 // a client offers others before; a server selects one that was not offered, or in TLS 1.2 another suite
	pastWrongAge               // a client tells one; a server shows a certificate nevertheless
	pastEarlyEnd               // a client ends early data when that is wrong, and does not when it has to; a server accepts it without asking
	pastBindAlways             // a client makes its binders when the hello is altered already
	pastMoreEarly              // a client sends more early data behind its second hello, and behind the server's Finished
)

// resumes reports whether the puppet wants to resume a session of the version.
func (p *puppet) resumes(version uint16) bool {
	return p.past != nil && p.past.version == version && p.flags&puppetPSK != 0
}

// secret is that of the session, as far as the puppet knows it.
func (p *puppet) secret() []byte {
	b := bytes.Clone(p.past.secret)
	if p.group&pastOtherKey != 0 {
		b[0] ^= 1
	}
	return b
}

// psk is what the key schedule begins with.
func (p *puppet) psk() []byte {
	if p.selected {
		return p.secret()
	}
	return nil
}

// earlyKey is that of early data behind a ClientHello.
func (p *puppet) earlyKey(hello []byte) *record.Protection {
	transcript := schedule.NewTranscript(p.past.suite.hash)
	transcript.Write(hello)
	early := schedule.NewEarlySecret(p.past.suite.hash, p.secret())
	secret := early.ClientEarlyTraffic(transcript.Sum(nil))
	return p.past.suite.protection(&secret)
}

// unseal opens a record of the machine: under the key of early data until a
// handshake message comes under it, or it does not fit any more.
func (p *puppet) unseal(rec []byte) (t record.ContentType, content []byte, ok bool) {
	if p.openEarly != nil {
		t, content, err := p.openEarly.Open(bytes.Clone(rec))
		if err != nil || t == record.TypeHandshake {
			p.openEarly = nil
		}
		if err == nil {
			return t, content, true
		}
	}
	if p.open == nil {
		return 0, nil, false
	}
	t, content, err := p.open.Open(rec)
	return t, content, err == nil
}

// The client.

// offerPast adds the session to the ClientHello, with binders that are none yet.
func (p *puppet) offerPast() {
	h, offer := &p.hello, p.past
	identity, age := offer.ticket, uint32(offer.age/time.Millisecond)
	if identity == nil {
		identity = offer.id
	}
	if p.group&pastWrongAge != 0 {
		age += 1 << 20
	}
	h.PSKModes = []byte{1}
	if p.group&pastOthers != 0 {
		h.PSKIdentities = append(h.PSKIdentities, wire.PSKIdentity{Identity: []byte("ticket"), ObfuscatedTicketAge: 1})
	}
	h.PSKIdentities = append(h.PSKIdentities, wire.PSKIdentity{Identity: identity, ObfuscatedTicketAge: age + offer.ageAdd})
	for range h.PSKIdentities {
		h.PSKBinders = append(h.PSKBinders, make([]byte, offer.suite.hash.Size()))
	}
	h.Extensions = append(h.Extensions, wire.Extension{Type: wire.ExtPSKKeyExchangeModes}, wire.Extension{Type: wire.ExtPreSharedKey})
}

// bind puts the right binders at the end of a ClientHello.
func (p *puppet) bind(msg []byte) []byte {
	size := wire.BindersSize(p.hello.PSKBinders)
	if !p.resumes(tls.VersionTLS13) || len(p.hello.PSKBinders) == 0 || len(msg) < size {
		return msg
	}
	msg = msg[:len(msg)-size]
	hash := p.past.suite.hash
	transcript := schedule.NewTranscript(hash)
	if p.transcript != nil && p.suite.hash == hash {
		transcript = p.transcript.Clone()
	}
	transcript.Write(msg)
	early := schedule.NewEarlySecret(hash, p.secret())
	key := early.BinderKey(false)
	for i := range p.hello.PSKBinders {
		p.hello.PSKBinders[i] = key.Binder(nil, transcript.Sum(nil))
	}
	return p.hello.AppendBinders(slices.Clip(msg))
}

// sendEarly sends early data, if there is to be any. Without a session it looks
// like some, and is in the clear.
func (p *puppet) sendEarly() {
	if p.flags&puppetEarlyData == 0 || p.early && p.group&pastMoreEarly == 0 {
		return
	}
	if !p.early && p.resumes(tls.VersionTLS13) && len(p.helloRaw) > 0 {
		p.emitCompat()
		p.early = true
		p.seal = p.earlyKey(p.helloRaw)
	}
	p.emit(record.TypeApplicationData, append(bytes.Repeat([]byte{0xed}, 40), p.pool...))
}

// takeEncryptedExtensions sees whether early data is accepted.
func (p *puppet) takeEncryptedExtensions(msg []byte) {
	var m wire.EncryptedExtensions
	p.accepted = m.Parse(bytes.Clone(msg[wire.HeaderLen:])) == nil && m.Has(wire.ExtEarlyData)
}

// endEarly ends early data, and goes on with the keys of the handshake.
func (p *puppet) endEarly() {
	if !p.early {
		return
	}
	if p.group&pastMoreEarly != 0 {
		p.emit(record.TypeApplicationData, bytes.Repeat([]byte{0xee}, 20))
	}
	if p.accepted != (p.group&pastEarlyEnd != 0) {
		p.emit(record.TypeHandshake, new(wire.EndOfEarlyData).Append(nil))
	}
	p.early = false
	p.seal = p.suite.protection(&p.sending)
}

// offerPast12 adds the session to a ClientHello of TLS 1.2: by its ticket, or by
// its id. Without a session what is offered is invented.
func (p *puppet) offerPast12() {
	h := &p.hello
	h.SessionID = make([]byte, 32)
	h.SessionTicket = slices.Clone(p.pool[:min(len(p.pool), 1000)])
	if p.resumes(tls.VersionTLS12) {
		h.SessionTicket = p.past.ticket
		if p.past.id != nil {
			h.SessionID = p.past.id
		}
	}
	h.Extensions = append(h.Extensions, wire.Extension{Type: wire.ExtSessionTicket})
}

// resume12 takes the keys from the session. Whoever has another key reads nothing.
func (p *puppet) resume12() {
	p.selected = true
	p.astray = p.astray || p.group&pastOtherKey != 0
	p.master, _ = schedule.ResumeMasterSecret(p.suite.hash, p.secret(), true)
}

// The server.

// expectEarly takes the key of the early data behind a ClientHello, if there is to
// be any: the right one, whatever the puppet says of its own.
func (p *puppet) expectEarly(msg []byte) {
	if p.past != nil && p.hello.Has(wire.ExtEarlyData) {
		group := p.group
		p.group &^= pastOtherKey
		p.openEarly = p.earlyKey(msg)
		p.group = group
	}
}

// takeOffer decides whether the session of a ClientHello is resumed.
func (p *puppet) takeOffer() {
	p.selected = p.resumes(tls.VersionTLS13) && len(p.hello.PSKIdentities) > 0
	p.astray = p.astray || p.selected && p.group&pastOtherKey != 0
}

// answerOffer selects the session in the ServerHello.
func (p *puppet) answerOffer(hello *wire.ServerHello) {
	if !p.selected {
		return
	}
	hello.Extensions = append(hello.Extensions, wire.Extension{Type: wire.ExtPreSharedKey})
	if p.group&pastOthers != 0 {
		hello.SelectedIdentity = 1
	}
}

// acceptsEarly reports whether the EncryptedExtensions accept early data.
func (p *puppet) acceptsEarly() bool {
	if p.flags&puppetEarlyData == 0 {
		return false
	}
	return p.selected && p.hello.Has(wire.ExtEarlyData) && !p.retried || p.group&pastEarlyEnd != 0
}

// certifies reports whether the server shows a certificate.
func (p *puppet) certifies() bool { return !p.selected || p.group&pastWrongAge != 0 }

// answerOffer12 resumes a session of TLS 1.2 that the client offers, and reports
// whether it does.
func (p *puppet) answerOffer12(msg []byte) bool {
	if !p.resumes(tls.VersionTLS12) || len(p.hello.SessionID) == 0 {
		return false
	}
	p.suite = p.past.suite
	if p.group&pastOthers != 0 {
		p.suite = suites12[int(p.suites)%len(suites12)]
	}
	p.transcript = schedule.NewTranscript(p.suite.hash)
	p.transcript.Write(msg)
	p.selected = true
	p.sendServerHello12()
	p.resume12()
	p.finish12()
	return true
}

// sendTicket12 sends the ticket that ServerHello has announced, behind which the
// keys change.
func (p *puppet) sendTicket12() {
	if p.server && p.announced {
		ticket := wire.NewSessionTicket12{LifetimeHint: 60, Ticket: []byte("ticket")}
		p.emit(record.TypeHandshake, ticket.Append(nil))
		p.flushHeld()
	}
}
