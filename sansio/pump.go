package sansio

import "iter"

// A Pump feeds one machine. It holds the input that the machine did not take
// yet and presents it again, joined with what came.
//
//	p := sansio.NewPump(m)
//	p.Feed(bytes)
//	for ev := range p.Events() {
//		…
//	}
//	send(m.Output())
//
// The output stays with the machine: between events, in the loop's body, and
// after it, the caller may use every method of the machine but Step and EOF.
type Pump[E Event] struct {
	m      Machine[E]
	buf    []byte // buf[off:] was not taken yet
	off    int
	eof    bool
	budget budget
	err    error
}

// NewPump returns a pump for m, which must not have been given input.
func NewPump[E Event](m Machine[E]) *Pump[E] {
	return &Pump[E]{m: m}
}

// Feed adds b to the input. It keeps a copy: b stays the caller's. Feed after
// EOF panics.
//
// What the last event points to stays alive; it ends with the next step that
// [Pump.Events] takes.
func (p *Pump[E]) Feed(b []byte) {
	if p.eof {
		panic("sansio: Feed after EOF")
	}
	p.buf = append(p.buf, b...)
}

// EOF says that nothing follows what was fed. Events then finds the end.
func (p *Pump[E]) EOF() {
	p.eof = true
	p.m.EOF()
}

// Events pulls events until the machine stops. The stop is the last event
// yielded: a request for more input or for an answer, or the end.
//
// The body of the loop may answer: what that causes comes with the next turn,
// or, when the answer is given at a stop, with the next Events. It may break:
// nothing more is taken from the input than the events that were yielded, and
// the next Events goes on from there. It may feed more input. What an event
// points to lives until the next turn.
//
// A machine that breaks the contract ends the loop; [Pump.Err] says why.
func (p *Pump[E]) Events() iter.Seq[E] {
	return func(yield func(E) bool) {
		p.budget.refill()
		for p.err == nil {
			ev := p.step()
			if p.err != nil || !yield(ev) || ev.Stop() {
				return
			}
		}
	}
}

// step calls the machine once, with all there is.
func (p *Pump[E]) step() E {
	p.compact()
	in := p.buf[p.off:len(p.buf):len(p.buf)]
	ev, n := p.m.Step(in)
	if p.err = checkStep(ev, n, len(in)); p.err != nil {
		return ev
	}
	p.off += n
	p.err = p.budget.spend(n, ev.Stop())
	return ev
}

// compact drops the input that was taken when that is the larger part: each
// byte is moved less than once on average. With nothing left the memory goes
// too, since the last event may still point to it and Step(nil) does not end
// that.
func (p *Pump[E]) compact() {
	switch left := len(p.buf) - p.off; {
	case left == 0:
		p.buf, p.off = nil, 0
	case p.off >= left:
		copy(p.buf, p.buf[p.off:])
		p.buf, p.off = p.buf[:left], 0
	}
}

// Rest returns the input that the machine did not take, in place. It is valid
// until the next call of Feed or Events. Behind a terminal stop it is what the
// machine left to its caller.
func (p *Pump[E]) Rest() []byte { return p.buf[p.off:] }

// Err returns the [Violation] that ended the pump, or nil.
func (p *Pump[E]) Err() error { return p.err }
