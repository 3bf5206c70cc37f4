package sansio_test

import "tlscore.example/tlscore/sansio"

// Machines that break the contract, one rule each, made from the server of the
// toy protocol.
var broken = []struct {
	name string
	rule int // as Check reports it
	new  func(*toy) sansio.Machine[toyEvent]
	pump bool // a Pump sees it too
	pair int  // the rule that a Pair reports; 0 if a single run cannot tell
}{
	{"takes too much", 1, func(m *toy) sansio.Machine[toyEvent] { return &tooMuch{m} }, true, 1},
	{"takes less than nothing", 1, func(m *toy) sansio.Machine[toyEvent] { return &negative{m} }, true, 1},
	{"keeps a slice", 2, func(m *toy) sansio.Machine[toyEvent] { return &keeper{toy: m} }, false, 0},
	{"writes to a slice it kept", 5, func(m *toy) sansio.Machine[toyEvent] { return &keeper{toy: m, write: true} }, false, 5},
	{"merges units", 2, func(m *toy) sansio.Machine[toyEvent] { return &merger{m} }, false, 0},
	{"loses units", 2, func(m *toy) sansio.Machine[toyEvent] { return &loser{m} }, false, 0},
	{"answers by fragment", 2, func(m *toy) sansio.Machine[toyEvent] { return &chatty{toy: m} }, false, 0},
	{"touches what it does not take", 5, func(m *toy) sansio.Machine[toyEvent] { return &toucher{m} }, false, 5},
	{"loops", 9, func(m *toy) sansio.Machine[toyEvent] { return &looper{m} }, true, 9},
	{"changes output in place", 7, func(m *toy) sansio.Machine[toyEvent] { return &rewriter{m} }, false, 7},
	{"reorders output", 7, func(m *toy) sansio.Machine[toyEvent] { return &reorderer{m} }, false, 7},
	{"forgets output when it ends", 7, func(m *toy) sansio.Machine[toyEvent] { return &forgetful{m} }, false, 7},
	{"stop does not repeat", 3, func(m *toy) sansio.Machine[toyEvent] { return &restless{toy: m} }, false, 0},
	{"stop takes later", 3, func(m *toy) sansio.Machine[toyEvent] { return &hesitant{toy: m} }, false, 0},
	{"stop adds output", 3, func(m *toy) sansio.Machine[toyEvent] { return &nagger{m} }, false, 0},
	{"end takes", 4, func(m *toy) sansio.Machine[toyEvent] { return &greedy{m} }, false, 4},
	{"end does not last", 4, func(m *toy) sansio.Machine[toyEvent] { return &undead{toy: m} }, false, 4},
	{"ignores EOF", 8, func(m *toy) sansio.Machine[toyEvent] { return &deaf{m} }, false, 0},
}

type tooMuch struct{ *toy }

func (m *tooMuch) Step(in []byte) (toyEvent, int) {
	ev, n := m.toy.Step(in)
	return ev, n + 1 + len(in)
}

type negative struct{ *toy }

func (m *negative) Step(in []byte) (toyEvent, int) {
	ev, _ := m.toy.Step(in)
	return ev, -1
}

// A keeper reads, or writes, in a later Step what it was given in an earlier.
type keeper struct {
	*toy
	kept  []byte
	write bool
}

func (m *keeper) Step(in []byte) (toyEvent, int) {
	ev, n := m.toy.Step(in)
	if m.write && len(m.kept) > 0 {
		m.kept[0]++
	}
	if ev.Terminal() && !m.write {
		ev.Data = m.kept
	} else if n > 0 {
		m.kept = in[:n]
	}
	return ev, n
}

// A merger makes one event of all data frames that are there.
type merger struct{ *toy }

func (m *merger) Step(in []byte) (toyEvent, int) {
	ev, n := m.toy.Step(in)
	for ev.Kind == toyData && n < len(in) && in[n] != 0 {
		next, k := m.toy.Step(in[n:])
		if next.Kind != toyData {
			break
		}
		ev.Data = append(append([]byte(nil), ev.Data...), next.Data...)
		n += k
	}
	return ev, n
}

// A loser drops a unit that comes together with the next.
type loser struct{ *toy }

func (m *loser) Step(in []byte) (toyEvent, int) {
	ev, n := m.toy.Step(in)
	if ev.Kind == toyData && n == len(in) {
		return toyEvent{}, n
	}
	return ev, n
}

// A chatty machine sends something each time its input grows.
type chatty struct {
	*toy
	had int
}

func (m *chatty) Step(in []byte) (toyEvent, int) {
	if len(in) > m.had && m.state != toyEnd {
		m.send("got it")
	}
	ev, n := m.toy.Step(in)
	m.had = len(in) - n
	return ev, n
}

type toucher struct{ *toy }

func (m *toucher) Step(in []byte) (toyEvent, int) {
	ev, n := m.toy.Step(in)
	if n > 0 && n < len(in) {
		in[len(in)-1] ^= 1
	}
	return ev, n
}

type looper struct{ *toy }

func (m *looper) Step(in []byte) (toyEvent, int) {
	ev, n := m.toy.Step(in)
	if ev.Kind == toyNone || ev.Terminal() {
		ev.Kind = toyReady
	}
	return ev, n
}

type rewriter struct{ *toy }

func (m *rewriter) Step(in []byte) (toyEvent, int) {
	if len(m.out) > 0 {
		m.out[0] ^= 1
	}
	return m.toy.Step(in)
}

type reorderer struct{ *toy }

func (m *reorderer) Step(in []byte) (toyEvent, int) {
	ev, n := m.toy.Step(in)
	if ev.Kind == toyData {
		m.out = append([]byte{2, 'u', 'p'}, m.out...)
	}
	return ev, n
}

// A forgetful machine is the founding case: its last word is lost.
type forgetful struct{ *toy }

func (m *forgetful) Step(in []byte) (toyEvent, int) {
	ev, n := m.toy.Step(in)
	if ev.Terminal() {
		m.out = nil
	}
	return ev, n
}

type restless struct {
	*toy
	odd bool
}

func (m *restless) Step(in []byte) (toyEvent, int) {
	ev, n := m.toy.Step(in)
	if m.odd = !m.odd; m.odd && ev.Kind == toyNone {
		ev.Kind = toyWait
	}
	return ev, n
}

type hesitant struct {
	*toy
	odd bool
}

func (m *hesitant) Step(in []byte) (toyEvent, int) {
	if m.odd = !m.odd; m.odd && m.state != toyEnd && !m.eof {
		return toyEvent{}, 0
	}
	return m.toy.Step(in)
}

type nagger struct{ *toy }

func (m *nagger) Step(in []byte) (toyEvent, int) {
	ev, n := m.toy.Step(in)
	if ev.Kind == toyNone {
		m.send("well?")
	}
	return ev, n
}

type greedy struct{ *toy }

func (m *greedy) Step(in []byte) (toyEvent, int) {
	if m.state == toyEnd && len(in) > 0 {
		return m.end, len(in)
	}
	return m.toy.Step(in)
}

type undead struct {
	*toy
	ended bool
}

func (m *undead) Step(in []byte) (toyEvent, int) {
	if m.ended && len(in) > 0 {
		return toyEvent{}, 0
	}
	ev, n := m.toy.Step(in)
	m.ended = ev.Terminal()
	return ev, n
}

type deaf struct{ *toy }

func (m *deaf) EOF() {}

// A halfEnd event is terminal and does not say Stop.
type halfEnd struct{}

func (halfEnd) Stop() bool     { return false }
func (halfEnd) Terminal() bool { return true }

type halfEnded struct{ toy }

func (*halfEnded) Step([]byte) (halfEnd, int) { return halfEnd{}, 0 }
