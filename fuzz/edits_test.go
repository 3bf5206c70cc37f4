package fuzz

import (
	"bytes"
	"encoding/binary"
	"slices"

	"tlscore.example/tlscore/internal/record"
	"tlscore.example/tlscore/internal/wire"
)

// A piece is an item on its way into a record.
type piece struct {
	t       record.ContentType
	content []byte
	key     *record.Protection
	changes bool // it is a message behind which the keys change
	altered bool // it may no longer be what it was
	tls12   bool

	fragment int // the longest record, 0 for the longest there is
	padding  int
	outer    byte // the type on the outside, 0 for the right one
	version  uint16
	corrupt  byte
	raw      []byte // stands before the record
}

// emitCompat sends the change_cipher_spec of middlebox compatibility mode.
func (p *puppet) emitCompat() {
	if p.flags&puppetNoCompat == 0 {
		p.emitPlain(record.TypeChangeCipherSpec, []byte{1})
	}
}

// emitPlain is emit without protection.
func (p *puppet) emitPlain(t record.ContentType, content []byte) {
	key := p.seal
	p.seal = nil
	p.emit(t, content)
	p.seal = key
}

// emit sends an item, altered as the edits say.
func (p *puppet) emit(t record.ContentType, content []byte) {
	item := p.items
	p.items++
	this := &piece{t: t, content: content, key: p.seal, changes: p.changesKeys(t, content), tls12: p.tls12}
	if t == record.TypeHandshake && p.seal != nil {
		p.confide(content)
	}
	copies, hold, swap := 1, false, false
	var after []*piece
	for _, e := range p.edits {
		if int(e.item) != item {
			continue
		}
		if p.phase < phaseConnected && (this.changes || p.seal == nil || p.early) {
			p.astray = true
		}
		invented := &piece{t: record.ContentType(20 + e.a%4), content: p.pool, key: p.seal, tls12: p.tls12}
		switch e.op &^ editFixLength % numEdits {
		case editDrop:
			copies = 0
		case editRepeat:
			copies += 1 + int(e.a)%3
		case editBefore:
			p.send(invented)
		case editAfter:
			after = append(after, invented)
		case editHold:
			hold = true
		case editSwap:
			swap = true
		default:
			this.alter(e, p.pool)
		}
	}
	if this.altered && p.group&pastBindAlways != 0 && !p.server && p.phase == phaseHello {
		this.content = p.bind(this.content)
	}
	if p.deferred != nil {
		after = append(after, p.deferred)
		p.deferred = nil
	}
	switch {
	case copies == 0:
	case swap:
		p.deferred = this
	case hold:
		p.hold(this)
	default:
		for range copies {
			p.send(this)
		}
	}
	for _, x := range after {
		p.send(x)
	}
}

// confide tells the allocator of the machine what is secret: samples of a
// protected message, unless they can be anything.
func (p *puppet) confide(content []byte) {
	if p.account == nil {
		return
	}
	// With null crypto, the machine's own Certificate stands in its output, and may
	// be the same.
	if record.NullCrypto && len(content) > 0 && wire.HandshakeType(content[0]) == wire.TypeCertificate {
		return
	}
	for ; len(content) >= 16; content = content[min(64, len(content)):] {
		if sample := content[:16]; !allAre(sample, sample[0]) && !bytes.Contains(p.pool, sample) {
			p.account.secrets = append(p.account.secrets, sample)
		}
	}
}

// changesKeys reports whether the sender's keys change behind a message.
func (p *puppet) changesKeys(t record.ContentType, content []byte) bool {
	if t != record.TypeHandshake || len(content) == 0 {
		return false
	}
	if p.tls12 { // where change_cipher_spec does; but nothing is left behind these
		return wire.HandshakeType(content[0]) == wire.TypeFinished || wire.HandshakeType(content[0]) == wire.TypeServerHelloDone
	}
	switch wire.HandshakeType(content[0]) {
	case wire.TypeClientHello, wire.TypeServerHello, wire.TypeFinished, wire.TypeKeyUpdate, wire.TypeEndOfEarlyData:
		return true
	}
	return false
}

// alter changes one piece.
func (x *piece) alter(e edit, pool []byte) {
	x.altered = true
	x.content = slices.Clone(x.content)
	at := 0
	if n := len(x.content); n > 0 {
		at = int(e.a) % n
		if n > 256 {
			at = (int(e.a)<<8 | int(e.b)) % n
		}
	}
	switch e.op &^ editFixLength % numEdits {
	case editFlip:
		if len(x.content) > 0 {
			x.content[at] ^= max(e.b, 1)
		}
	case editSet:
		if len(x.content) > 0 {
			x.content[at] = e.b
		}
	case editTruncate:
		x.content = x.content[:at]
	case editInsert:
		x.content = slices.Insert(x.content, at, pool[:min(len(pool), 1+int(e.b))]...)
	case editDelete:
		x.content = slices.Delete(x.content, at, min(len(x.content), at+1+int(e.b)))
	case editReplace:
		x.content = slices.Clone(pool)
		if e.a != 0 {
			x.content = message(e.a, pool)
		}
	case editFragment:
		x.fragment = 1 + int(e.a)
	case editPad:
		x.padding = int(e.a)<<6 | int(e.b)
	case editType:
		x.t = record.ContentType(e.a)
	case editOuterType:
		x.outer = e.a
	case editVersion:
		x.version = uint16(e.a)<<8 | uint16(e.b)
	case editCorrupt:
		x.corrupt = max(e.b, 1)
	case editRaw:
		x.raw = pool
	case editNumber: // two bytes at once: a length, an identifier
		if at+2 <= len(x.content) {
			binary.BigEndian.PutUint16(x.content[at:], binary.BigEndian.Uint16(x.content[at:])+uint16(int8(e.b)))
		}
	}
	if e.op&editFixLength != 0 && len(x.content) >= wire.HeaderLen {
		n := len(x.content) - wire.HeaderLen
		x.content[1], x.content[2], x.content[3] = byte(n>>16), byte(n>>8), byte(n)
	}
}

// hold keeps a piece back, to share the record of the next one.
func (p *puppet) hold(x *piece) {
	p.flushHeld()
	p.note(x)
	p.held = x
}

// flushHeld sends what was kept back by itself.
func (p *puppet) flushHeld() {
	if x := p.held; x != nil {
		p.held = nil
		p.enqueue(x, false)
	}
}

// note takes a piece into the transcript.
func (p *puppet) note(x *piece) {
	if x.t != record.TypeHandshake || p.phase >= phaseConnected {
		return
	}
	if p.transcript == nil {
		p.helloRaw = append(p.helloRaw, x.content...)
		return
	}
	p.transcript.Write(x.content)
}

// send puts a piece into records.
func (p *puppet) send(x *piece) {
	p.note(x)
	if h := p.held; h != nil && h.t == x.t {
		joined := *h
		joined.content = append(bytes.Clone(h.content), x.content...)
		p.held = nil
		p.enqueue(&joined, h.changes && !h.altered && len(x.content) > 0)
		return
	}
	p.flushHeld()
	p.enqueue(x, false)
}

// enqueue queues the records of a piece.
func (p *puppet) enqueue(x *piece, misaligned bool) {
	if len(x.raw) > 0 {
		p.queue = append(p.queue, part{bytes: x.raw})
	}
	limit := record.MaxPlaintext
	if x.fragment > 0 {
		limit = x.fragment
	}
	for content := x.content; ; {
		n := min(limit, len(content))
		p.queue = append(p.queue, part{bytes: x.record(content[:n])})
		if content = content[n:]; len(content) == 0 {
			break
		}
	}
	p.queue[len(p.queue)-1].misaligned = misaligned
}

// record builds one record.
func (x *piece) record(content []byte) (rec []byte) {
	switch {
	case x.key == nil:
		rec = record.AppendPlaintext(nil, x.t, 0x0303, content)
	case x.tls12: // which has no padding
		rec = x.key.Seal(nil, x.t, content)
	default:
		rec = sealPadded(x.key, x.t, content, x.padding)
	}
	if x.outer != 0 {
		rec[0] = x.outer
	}
	if x.version != 0 {
		binary.BigEndian.PutUint16(rec[1:], x.version)
	}
	if x.corrupt != 0 {
		rec[len(rec)-1] ^= x.corrupt
	}
	return rec
}

// sealPadded seals a record with padding: zeros behind the content type. With
// null crypto it may be longer than a record is allowed to be.
func sealPadded(key *record.Protection, t record.ContentType, content []byte, padding int) []byte {
	if padding == 0 {
		return key.Seal(nil, t, content)
	}
	inner := append(bytes.Clone(content), byte(t))
	inner = append(inner, make([]byte, padding)...)
	if record.NullCrypto {
		inner = inner[:min(len(inner), record.MaxCiphertext-record.TagLen)]
		rec := record.AppendHeader(nil, record.TypeApplicationData, 0x0303, len(inner)+record.TagLen)
		return append(append(rec, inner...), make([]byte, record.TagLen)...)
	}
	inner = inner[:min(len(inner), record.MaxInner)]
	last := len(inner) - 1
	return key.Seal(nil, record.ContentType(inner[last]), inner[:last])
}
