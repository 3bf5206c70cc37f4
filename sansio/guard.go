package sansio

import "bytes"

// poison is what a slice holds when its life is over.
const poison = 0xDB

func poisonAll(b []byte) {
	if len(b) == 0 {
		return
	}
	b[0] = poison
	for n := 1; n < len(b); n *= 2 {
		copy(b[n:], b[:n])
	}
}

// A guard stands between a driver and a machine. It lends the machine a new
// copy of the input for each Step, poisons that copy when its life is over,
// and checks at every call what the contract says about it. The first
// violation stays in err; nothing is called from then on.
type guard[E Event] struct {
	m      Machine[E]
	in     []byte // what the machine has not taken: the original
	loan   []byte // the copy that the last Step with input was given
	taken  int    // how much of loan the machine took
	out    []byte // what Output returned last, nil behind Sent
	seen   []byte // what was in it, without what was sent since
	ended  bool   // a terminal stop was seen
	budget budget
	err    error
}

func newGuard[E Event](m Machine[E]) guard[E] {
	g := guard[E]{m: m}
	g.budget.refill()
	return g
}

func (g *guard[E]) fail(err error) {
	if g.err == nil {
		g.err = err
	}
}

// feed adds to the input.
func (g *guard[E]) feed(b []byte) {
	g.in = append(g.in, b...)
	g.budget.refill()
}

func (g *guard[E]) eof() {
	if g.err != nil {
		return
	}
	g.m.EOF()
	g.budget.refill()
	g.check()
}

// step calls Step with all the input there is.
func (g *guard[E]) step() (ev E, n int) {
	if g.check(); g.err != nil {
		return ev, 0
	}
	if len(g.in) == 0 {
		ev, n = g.stepNil()
	} else {
		poisonAll(g.loan)
		g.loan = append(make([]byte, 0, len(g.in)), g.in...)
		g.taken = 0
		ev, n = g.m.Step(g.loan[:len(g.in):len(g.in)])
	}
	if err := g.judge(ev, n); err != nil {
		g.fail(err)
		return ev, 0
	}
	if len(g.in) > 0 {
		g.taken = n
	}
	g.in = g.in[n:]
	g.check()
	return ev, n
}

// stepNil calls Step without input. To the machine the bytes that it took
// before are gone; to the application, what the last event points to is not.
func (g *guard[E]) stepNil() (E, int) {
	alive := bytes.Clone(g.loan)
	poisonAll(g.loan)
	ev, n := g.m.Step(nil)
	for _, b := range g.loan {
		if b != poison {
			g.fail(violation(ruleInput, "Step(nil) changed the input of an earlier Step"))
			break
		}
	}
	copy(g.loan, alive)
	return ev, n
}

// judge checks what Step returned.
func (g *guard[E]) judge(ev E, n int) error {
	if err := checkStep(ev, n, len(g.in)); err != nil {
		return err
	}
	if g.ended && n > 0 {
		return violation(ruleTerminal, "Step took %d bytes behind a terminal stop", n)
	}
	if g.ended && !ev.Terminal() {
		return violation(ruleTerminal, "a terminal stop did not repeat")
	}
	g.ended = ev.Terminal()
	return g.budget.spend(n, ev.Stop())
}

// check looks at what the machine may not touch.
func (g *guard[E]) check() {
	// All of the loan that was not taken is at the front of the input, since
	// the input only grows behind.
	if rest := g.loan[g.taken:]; !bytes.HasPrefix(g.in, rest) {
		g.fail(violation(ruleInput, "bytes behind the taken prefix were changed"))
	}
	g.output()
}

// output returns the machine's output, having compared it with what was seen
// of it before.
func (g *guard[E]) output() []byte {
	if g.err != nil {
		return nil
	}
	if g.out != nil && !bytes.Equal(g.out, g.seen) {
		g.fail(violation(ruleOutput, "output was changed in place before Sent"))
		return nil
	}
	out := g.m.Output()
	if !bytes.HasPrefix(out, g.seen) {
		g.fail(violation(ruleOutput, "Output does not begin with what it held before"))
		return nil
	}
	g.out = out
	g.seen = append(g.seen, out[len(g.seen):]...)
	return out
}

// send moves the first k bytes of the output away and returns a copy of them.
func (g *guard[E]) send(k int) []byte {
	out := g.output()
	if g.err != nil {
		return nil
	}
	p := bytes.Clone(out[:k])
	g.m.Sent(k)
	g.out = nil
	g.seen = append([]byte(nil), g.seen[k:]...)
	g.output()
	return p
}
