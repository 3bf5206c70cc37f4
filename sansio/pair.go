package sansio

import (
	"errors"
	"fmt"
	"math/rand/v2"
)

// A Move is one thing that can happen between two machines.
type Move int

// The moves, in the order in which [Pair.Choose] is offered them.
const (
	MoveNone     Move = iota // nothing can happen: the pair is at rest
	MovePullA                // one Step of A
	MovePullB                // one Step of B
	MoveSendA                // output of A goes on the wire
	MoveSendB                // output of B goes on the wire
	MoveCloseA               // A's output is through; its direction ends
	MoveCloseB               // B's output is through; its direction ends
	MoveDeliverA             // a piece, or EOF, arrives at A
	MoveDeliverB             // a piece, or EOF, arrives at B
	MoveTick                 // time passes on both links
)

var moveNames = [...]string{
	"none", "pull A", "pull B", "send A", "send B", "close A", "close B", "deliver A", "deliver B", "tick",
}

func (m Move) String() string {
	if m < 0 || int(m) >= len(moveNames) {
		return fmt.Sprintf("Move(%d)", int(m))
	}
	return moveNames[m]
}

// ErrLimit is returned by [Pair.Run] when the machines are not at rest after
// as many moves as it was allowed.
var ErrLimit = errors.New("sansio: the pair is not at rest within the limit")

// A Pair lets two machines talk over two links. One move at a time happens,
// chosen by the seed, so that input gathers or arrives piecemeal, output waits,
// and both ends overlap, in every way that real drivers produce and many more.
//
// It checks the contract at every call. Each Step is lent a new copy of the
// input; when the life of that copy is over it is overwritten, so a machine or
// an application that kept a slice of it reads 0xDB. Bytes behind the taken
// prefix and output that was not sent are compared with what they were.
//
// Step, EOF, Output and Sent of both machines belong to the pair. All other
// methods may be called by the callbacks, and between moves.
//
// The exported fields are set before the first move.
type Pair[A, B Event] struct {
	// AB carries what A sends to B, and BA what B sends to A. They are perfect
	// pipes unless replaced.
	AB, BA *Link
	// OnA and OnB, if not nil, get the events of the machines in order: all that
	// are not stops, and the terminal stop, once. Stops that only pause are not
	// told, since their number depends on how the bytes arrive. A callback may
	// answer by calling methods of either machine.
	OnA func(A)
	OnB func(B)
	// ShortWrites sends a part of the output at a time, of random size, as a full
	// socket buffer does. Otherwise each send takes all there is.
	ShortWrites bool
	// Choose, if not nil, picks the next move in place of the seed: it returns an
	// index into the moves that are possible now. The slice is valid during the
	// call.
	Choose func(possible []Move) int

	a     end[A]
	b     end[B]
	rng   *rand.Rand
	moves []Move // possible now, reused
	err   error
}

// InOrder is a [Pair.Choose] that always takes the first possible move: pull
// all events, send all output, deliver. It makes transcripts that read well.
func InOrder([]Move) int { return 0 }

// NewPair connects two machines that were not given input yet.
func NewPair[A, B Event](seed uint64, a Machine[A], b Machine[B]) *Pair[A, B] {
	return &Pair[A, B]{
		AB:  NewLink(seed, Faults{}),
		BA:  NewLink(seed, Faults{}),
		a:   end[A]{guard: newGuard(a), ready: true},
		b:   end[B]{guard: newGuard(b), ready: true},
		rng: rand.New(rand.NewPCG(seed, 3)),
	}
}

// CloseA ends A's direction of the transport once its output is sent, whatever
// state A is in. B gets EOF behind the bytes. The other direction stays open.
func (p *Pair[A, B]) CloseA() { p.a.closing = true }

// CloseB is CloseA for the other end.
func (p *Pair[A, B]) CloseB() { p.b.closing = true }

// RestA returns a copy of the bytes that arrived at A and that it has not
// taken.
func (p *Pair[A, B]) RestA() []byte { return append([]byte(nil), p.a.in...) }

// RestB is RestA for the other end.
func (p *Pair[A, B]) RestB() []byte { return append([]byte(nil), p.b.in...) }

// Run makes moves until the pair is at rest: nothing in flight, nothing to
// send, and both machines at a stop. It returns nil then, [ErrLimit] after
// limit moves, or an error that wraps a [Violation] and names the machine.
//
// It may be called again after the machines were answered or written to.
func (p *Pair[A, B]) Run(limit int) error {
	p.answered()
	for range limit {
		if m, err := p.Step(); err != nil || m == MoveNone {
			return err
		}
	}
	return ErrLimit
}

// Step makes one move and returns it. MoveNone means that both machines were
// asked again and that nothing can happen until the application does
// something. An error repeats.
func (p *Pair[A, B]) Step() (Move, error) {
	ms := p.possible()
	if p.judge(); p.err != nil {
		return MoveNone, p.err
	}
	m := MoveNone
	if len(ms) > 0 {
		m = ms[p.choose(ms)]
		p.do(m)
	} else {
		m = p.ask()
	}
	p.judge()
	return m, p.err
}

// possible lists the moves that are possible now.
func (p *Pair[A, B]) possible() []Move {
	p.moves = p.moves[:0]
	add := func(m Move, ok bool) {
		if ok {
			p.moves = append(p.moves, m)
		}
	}
	add(MovePullA, p.a.ready)
	add(MovePullB, p.b.ready)
	add(MoveSendA, p.a.canSend())
	add(MoveSendB, p.b.canSend())
	add(MoveCloseA, p.a.canClose())
	add(MoveCloseB, p.b.canClose())
	add(MoveDeliverA, p.BA.Due())
	add(MoveDeliverB, p.AB.Due())
	add(MoveTick, p.BA.late() || p.AB.late())
	return p.moves
}

func (p *Pair[A, B]) choose(ms []Move) int {
	if p.Choose != nil {
		return p.Choose(ms)
	}
	return p.rng.IntN(len(ms))
}

func (p *Pair[A, B]) do(m Move) {
	switch m {
	case MovePullA:
		p.pullA()
	case MovePullB:
		p.pullB()
	case MoveSendA:
		p.AB.Send(p.a.send(p.sendSize(len(p.a.output()))))
	case MoveSendB:
		p.BA.Send(p.b.send(p.sendSize(len(p.b.output()))))
	case MoveCloseA:
		p.a.closed = true
		p.AB.Close()
	case MoveCloseB:
		p.b.closed = true
		p.BA.Close()
	case MoveDeliverA:
		p.a.receive(p.BA)
	case MoveDeliverB:
		p.b.receive(p.AB)
	case MoveTick:
		p.AB.Tick()
		p.BA.Tick()
	}
}

func (p *Pair[A, B]) pullA() (progress bool) {
	ev, tell, progress := p.a.pull()
	if tell && p.OnA != nil {
		p.OnA(ev)
		p.answered()
	}
	return progress
}

func (p *Pair[A, B]) pullB() (progress bool) {
	ev, tell, progress := p.b.pull()
	if tell && p.OnB != nil {
		p.OnB(ev)
		p.answered()
	}
	return progress
}

// answered makes both machines be asked again: the application may have called
// either.
func (p *Pair[A, B]) answered() { p.a.ready, p.b.ready = true, true }

// ask steps the machines when nothing else can happen: the application may
// have answered since they stopped.
func (p *Pair[A, B]) ask() Move {
	p.a.budget.refill()
	p.b.budget.refill()
	switch {
	case p.pullA():
		return MovePullA
	case p.pullB():
		return MovePullB
	}
	return MoveNone
}

func (p *Pair[A, B]) sendSize(have int) int {
	if p.ShortWrites && have > 0 {
		return 1 + p.rng.IntN(have)
	}
	return have
}

// judge keeps the first violation.
func (p *Pair[A, B]) judge() {
	switch {
	case p.err != nil:
	case p.a.err != nil:
		p.err = fmt.Errorf("machine A: %w", p.a.err)
	case p.b.err != nil:
		p.err = fmt.Errorf("machine B: %w", p.b.err)
	}
}

// An end is one machine of a pair.
type end[E Event] struct {
	guard[E]
	ready   bool // Step may have something to say
	told    bool // the terminal stop went to the application
	closing bool // close the direction once the output is sent
	closed  bool
}

// pull steps once. It reports whether the event is for the application, and
// whether anything happened at all.
func (e *end[E]) pull() (ev E, tell, progress bool) {
	before := len(e.output())
	ev, n := e.step()
	if e.err != nil {
		return ev, false, true
	}
	e.ready = !ev.Stop()
	tell = !ev.Stop() || ev.Terminal() && !e.told
	e.told = ev.Terminal()
	return ev, tell, tell || n > 0 || len(e.output()) > before
}

func (e *end[E]) canSend() bool  { return !e.closed && len(e.output()) > 0 }
func (e *end[E]) canClose() bool { return e.closing && !e.closed && len(e.output()) == 0 }

func (e *end[E]) receive(l *Link) {
	d, ok := l.Receive()
	switch {
	case !ok:
	case d.EOF:
		e.eof()
		e.ready = true
	default:
		e.feed(d.Data)
		e.ready = true
	}
}

// late reports whether the next piece comes only after more ticks.
func (l *Link) late() bool { return l.InFlight() && !l.Due() }
