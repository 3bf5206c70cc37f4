package sansio

import (
	"bytes"
	"math/rand/v2"
)

// Faults says what a [Link] does to the bytes in transit. The zero value is
// the perfect pipe: each Send arrives at once, whole, and by itself.
//
// The first three change only how the bytes arrive, as any network does. The
// others damage the stream, as an attacker or a broken path does.
type Faults struct {
	// Split cuts what is sent into pieces of 1 to Split bytes, of random size.
	// 1 is byte by byte, 0 leaves each Send whole.
	Split int
	// Coalesce joins up to so many further pieces to a delivery, a random number
	// of those that are due.
	Coalesce int
	// Delay lets each piece arrive 0 to Delay ticks, at random, after the piece in
	// front of it, or after it was sent if that comes later.
	Delay int

	// Truncate ends the stream after TruncateAt of the bytes sent: what is sent
	// behind them is lost, and the receiver sees EOF.
	Truncate   bool
	TruncateAt int
	// Flips changes single bytes.
	Flips []Flip
	// FlipOneIn flips a random bit in one of so many bytes on average. 0 is
	// never.
	FlipOneIn int
	// DropOneIn loses one of so many pieces on average. 0 is never.
	DropOneIn int
	// DuplicateOneIn sends one of so many pieces twice on average. 0 is never.
	DuplicateOneIn int
}

// A Flip damages one byte.
type Flip struct {
	At   int  // its offset in the stream as it was sent
	Mask byte // the bits that change
}

// Lossless reports whether the bytes arrive as they were sent, however they
// are cut and delayed.
func (f Faults) Lossless() bool {
	return !f.Truncate && len(f.Flips) == 0 &&
		f.FlipOneIn <= 0 && f.DropOneIn <= 0 && f.DuplicateOneIn <= 0
}

// A Delivery is what arrives at the end of a link in one piece.
type Delivery struct {
	Tick int    // when it arrived, in ticks of the link
	At   int    // how many bytes arrived before it
	Data []byte // never empty, unless EOF
	EOF  bool   // nothing follows; there is no Data
}

// A Link is one direction of a wire in memory. What goes in by Send comes out
// by Receive, in order, in other pieces, later, and damaged as [Faults] says.
//
// It is deterministic: the same seed, faults and calls give the same
// deliveries. Time is virtual and counts calls of Tick.
type Link struct {
	// Tap, if not nil, sees each delivery before the receiver does. The data is
	// valid during the call and must not be changed.
	Tap func(Delivery)

	faults Faults
	shape  *rand.Rand // cutting and delay
	noise  *rand.Rand // damage
	queue  []piece
	now    int  // ticks
	sent   int  // bytes sent, before any damage
	out    int  // bytes received
	cut    bool // Truncate has struck
	closed bool // by Close
}

// A piece travels by itself.
type piece struct {
	data []byte
	eof  bool
	due  int // the tick from which on it can be received
}

// NewLink returns a link whose every choice follows from seed.
func NewLink(seed uint64, f Faults) *Link {
	l := &Link{
		faults: f,
		shape:  rand.New(rand.NewPCG(seed, 1)),
		noise:  rand.New(rand.NewPCG(seed, 2)),
	}
	l.truncate()
	return l
}

// Send puts p on the wire. It keeps a copy: p stays the caller's. Send after
// Close panics; behind a truncation p is lost, as the sender cannot know.
func (l *Link) Send(p []byte) {
	if l.closed {
		panic("sansio: Send on a closed link")
	}
	if l.cut {
		return
	}
	if l.faults.Truncate {
		p = p[:min(len(p), l.faults.TruncateAt-l.sent)]
	}
	for data := l.damage(p); len(data) > 0; {
		n := l.pieceSize(len(data))
		l.post(data[:n:n])
		data = data[n:]
	}
	l.sent += len(p)
	l.truncate()
}

// Close ends the stream behind what was sent. Closing again changes nothing.
func (l *Link) Close() {
	if !l.closed && !l.cut {
		l.push(piece{eof: true})
	}
	l.closed = true
}

// Tick lets one unit of time pass.
func (l *Link) Tick() { l.now++ }

// Due reports whether Receive has something now.
func (l *Link) Due() bool { return len(l.queue) > 0 && l.queue[0].due <= l.now }

// InFlight reports whether something was sent, or the stream closed, that was
// not received yet. It need not be due.
func (l *Link) InFlight() bool { return len(l.queue) > 0 }

// Receive takes the next delivery off the wire, if one is due. The data is the
// caller's. EOF comes by itself, once, behind all bytes.
func (l *Link) Receive() (d Delivery, ok bool) {
	if !l.Due() {
		return Delivery{}, false
	}
	d = Delivery{Tick: l.now, At: l.out}
	if l.queue[0].eof {
		d.EOF = true
		l.queue = nil
	} else {
		d.Data = l.join()
	}
	l.out += len(d.Data)
	if l.Tap != nil {
		l.Tap(d)
	}
	return d, true
}

// join takes the first piece and a random number of those behind it.
func (l *Link) join() []byte {
	data := l.pop()
	if l.faults.Coalesce <= 0 {
		return data
	}
	for range l.shape.IntN(l.faults.Coalesce + 1) {
		if !l.Due() || l.queue[0].eof {
			break
		}
		data = append(data, l.pop()...)
	}
	return data
}

func (l *Link) pop() []byte {
	data := l.queue[0].data
	l.queue[0] = piece{}
	l.queue = l.queue[1:]
	return data
}

// truncate ends the stream when as much was sent as shall arrive.
func (l *Link) truncate() {
	if l.faults.Truncate && !l.cut && l.sent >= l.faults.TruncateAt {
		l.cut = true
		l.push(piece{eof: true})
	}
}

// damage returns a copy of p, the next bytes of the stream, with its flips.
func (l *Link) damage(p []byte) []byte {
	data := bytes.Clone(p)
	for _, f := range l.faults.Flips {
		if i := f.At - l.sent; i >= 0 && i < len(data) {
			data[i] ^= f.Mask
		}
	}
	if l.faults.FlipOneIn > 0 {
		for i := range data {
			if l.noise.IntN(l.faults.FlipOneIn) == 0 {
				data[i] ^= 1 << l.noise.IntN(8)
			}
		}
	}
	return data
}

func (l *Link) pieceSize(have int) int {
	if l.faults.Split <= 0 {
		return have
	}
	return 1 + l.shape.IntN(min(l.faults.Split, have))
}

// post sends one piece: once, twice, or not at all.
func (l *Link) post(data []byte) {
	if l.chance(l.faults.DropOneIn) {
		return
	}
	l.push(piece{data: data})
	if l.chance(l.faults.DuplicateOneIn) {
		l.push(piece{data: bytes.Clone(data)})
	}
}

func (l *Link) chance(oneIn int) bool {
	return oneIn > 0 && l.noise.IntN(oneIn) == 0
}

// push queues p, which never overtakes the piece in front of it.
func (l *Link) push(p piece) {
	p.due = l.now
	if n := len(l.queue); n > 0 {
		p.due = max(p.due, l.queue[n-1].due)
	}
	if l.faults.Delay > 0 {
		p.due += l.shape.IntN(l.faults.Delay + 1)
	}
	l.queue = append(l.queue, p)
}
