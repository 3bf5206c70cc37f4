package sansio

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
)

// TB is what [Check] needs of a *testing.T or a *rapid.T.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
}

// A Case is a machine and an input for [Check].
type Case[E Event] struct {
	// New returns a new machine, the same each time: what it draws at random must
	// come from a fixed seed. The function beside it is the application, or nil.
	// It gets every event that is not a stop, and the terminal stop once, and may
	// answer by calling the machine's methods other than those of [Machine]. What
	// it does must follow from the events alone, and be small enough to be
	// accepted whole: output is sent now and then, in parts.
	New func() (Machine[E], func(E))
	// Describe tells everything about an event that must not depend on how the
	// input was cut, its data included. It is called while the event is alive.
	Describe func(E) string
	// Input is all that the machine is given, before EOF.
	Input []byte
	// Owed says that the machine waits for an answer when the input ends, and so
	// need not come to an end by EOF.
	Owed bool
	// Seed chooses the random cuts.
	Seed uint64
	// Cuts is how many random ways of cutting are tried. 0 means 8.
	Cuts int
}

// Check tests one machine with one input against the contract. The machine is
// run with the input in one piece, byte by byte, cut at random, and with EOF
// said in advance. All runs must give the same events and the same output and
// leave the same bytes. During the runs each call is checked as a [Pair] does,
// stops are asked to repeat, and a terminal stop is offered more input.
//
// Inputs that end in the middle of a unit, that end in failure, and that go on
// behind the end are as useful as good ones.
func Check[E Event](t TB, c Case[E]) {
	t.Helper()
	if err := c.check(); err != nil {
		t.Fatalf("%v", err)
	}
}

func (c *Case[E]) check() error {
	want, err := c.plain()
	if err != nil {
		return fmt.Errorf("in one piece: %w", err)
	}
	for _, v := range c.variants() {
		got, err := c.strict(v)
		if err == nil {
			err = got.differ(want)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", v.name, err)
		}
	}
	return nil
}

// A variant is a way of presenting the input.
type variant struct {
	name     string
	maxPiece int    // pieces have 1 to so many bytes; 0 leaves the input whole
	eofFirst bool   // EOF before the first Step, instead of behind the last
	seed     uint64 // of pieces and of sends
}

func (c *Case[E]) variants() []variant {
	vs := []variant{
		{name: "in one piece, poisoned"},
		{name: "in one piece, EOF first", eofFirst: true},
		{name: "byte by byte", maxPiece: 1},
	}
	cuts := c.Cuts
	if cuts == 0 {
		cuts = 8
	}
	rng := rand.New(rand.NewPCG(c.Seed, 4))
	for range cuts {
		v := variant{maxPiece: 1 + rng.IntN(max(len(c.Input), 1)), seed: rng.Uint64()}
		v.name = fmt.Sprintf("cut at random (pieces up to %d, seed %d)", v.maxPiece, v.seed)
		vs = append(vs, v)
	}
	return vs
}

// A trace is what a run gave.
type trace struct {
	events []string
	output []byte
	rest   int // bytes not taken
}

func (got *trace) differ(want *trace) error {
	for i, ev := range got.events {
		if i >= len(want.events) {
			return violation(ruleUnits, "event %d is %s; in one piece there is none", i, ev)
		}
		if ev != want.events[i] {
			return violation(ruleUnits, "event %d is %s; in one piece it is %s", i, ev, want.events[i])
		}
	}
	if n := len(got.events); n < len(want.events) {
		return violation(ruleUnits, "event %d is missing; in one piece it is %s", n, want.events[n])
	}
	if !bytes.Equal(got.output, want.output) {
		return violation(ruleUnits, "the output is %x; in one piece it is %x", got.output, want.output)
	}
	if got.rest != want.rest {
		return violation(ruleUnits, "%d bytes are left; in one piece %d", got.rest, want.rest)
	}
	return nil
}

// plain runs the machine as the simplest driver does: one buffer, which is
// never overwritten.
func (c *Case[E]) plain() (*trace, error) {
	m, app := c.New()
	tr := &trace{}
	in := bytes.Clone(c.Input)
	var b budget
	for _, eof := range []bool{false, true} {
		if eof {
			m.EOF()
		}
		b.refill()
		for {
			ev, n := m.Step(in)
			if err := checkStep(ev, n, len(in)); err != nil {
				return nil, err
			}
			if err := b.spend(n, ev.Stop()); err != nil {
				return nil, err
			}
			in = in[n:]
			c.note(tr, ev, app)
			tr.output = append(tr.output, m.Output()...)
			m.Sent(len(m.Output()))
			if ev.Terminal() {
				tr.rest = len(in)
				return tr, nil
			}
			if ev.Stop() {
				break
			}
		}
	}
	tr.rest = len(in)
	if !c.Owed {
		return nil, violation(ruleEOF, "the machine comes to no end after EOF")
	}
	return tr, nil
}

// note records an event that does not depend on how the input was cut.
func (c *Case[E]) note(tr *trace, ev E, app func(E)) {
	if ev.Stop() && !ev.Terminal() {
		return
	}
	tr.events = append(tr.events, c.Describe(ev))
	if app != nil {
		app(ev)
	}
}

// A run is a machine under test with the input presented in one way.
type run[E Event] struct {
	guard[E]
	c    *Case[E]
	app  func(E)
	tr   trace
	rng  *rand.Rand
	done bool // the terminal stop was noted
}

// strict runs the machine with all checks.
func (c *Case[E]) strict(v variant) (*trace, error) {
	m, app := c.New()
	r := &run[E]{guard: newGuard(m), c: c, app: app, rng: rand.New(rand.NewPCG(v.seed, 5))}
	if v.eofFirst {
		r.feed(c.Input)
		r.eof()
	} else {
		r.pull() // without input, as a driver starts a client
		r.present(v)
		r.eof()
	}
	r.pull()
	r.tr.rest = len(r.in)
	r.behindEnd()
	r.sendAll()
	return &r.tr, r.err
}

// present feeds the input piece by piece.
func (r *run[E]) present(v variant) {
	for in := r.c.Input; len(in) > 0; {
		n := len(in)
		if v.maxPiece > 0 {
			n = 1 + r.rng.IntN(min(v.maxPiece, n))
		}
		r.feed(in[:n])
		in = in[n:]
		r.pull()
	}
}

// pull steps to the stop, and asks once more.
func (r *run[E]) pull() {
	for r.err == nil {
		ev, _ := r.step()
		if r.err != nil {
			return
		}
		if !r.done {
			r.c.note(&r.tr, ev, r.app)
			r.done = ev.Terminal()
		}
		if ev.Stop() {
			r.again(r.c.Describe(ev), ruleRepeat)
			return
		}
		r.sendSome()
	}
}

// again checks that the stop that was just seen repeats and adds nothing.
func (r *run[E]) again(want string, rule int) {
	out := len(r.output())
	ev, n := r.step()
	switch {
	case r.err != nil:
	case n > 0:
		r.fail(violation(rule, "after the stop %s, Step took %d bytes more", want, n))
	case !ev.Stop() || r.c.Describe(ev) != want:
		r.fail(violation(rule, "the stop %s does not repeat: then came %s", want, r.c.Describe(ev)))
	case len(r.output()) != out:
		r.fail(violation(rule, "the stop %s adds output each time", want))
	}
}

// behindEnd offers input to a machine at its end, and a second EOF.
func (r *run[E]) behindEnd() {
	if !r.done || r.err != nil {
		return
	}
	end := r.tr.events[len(r.tr.events)-1]
	r.eof()
	r.feed(slices.Concat(r.c.Input, []byte{0}))
	r.again(end, ruleTerminal)
	r.sendAll()
	r.again(end, ruleTerminal)
}

// sendSome sends a random part of the output.
func (r *run[E]) sendSome() {
	k := r.rng.IntN(len(r.output()) + 1)
	r.tr.output = append(r.tr.output, r.send(k)...)
}

// sendAll sends what is left of it.
func (r *run[E]) sendAll() {
	r.tr.output = append(r.tr.output, r.send(len(r.output()))...)
}
