package sansio_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"tlscore.example/tlscore/sansio"
)

// wantViolation fails unless err is a violation of the rule.
func wantViolation(t *testing.T, err error, rule int) {
	t.Helper()
	var v *sansio.Violation
	if !errors.As(err, &v) {
		t.Fatalf("error %v, want a violation of rule %d", err, rule)
	}
	if v.Rule != rule {
		t.Fatalf("rule %d broken (%s), want rule %d", v.Rule, v.Text, rule)
	}
}

// Rule 2: the pump joins what was left with what came, so the events are those
// of the whole input, pauses aside, and only whole units were taken.
func TestPumpJoins(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		frames := rapid.SliceOf(rapid.StringMatching(`[a-z]{1,20}`)).Draw(t, "frames")
		in := wire(append([]string{"hello"}, frames...)...)
		tail := rapid.SampledFrom([]string{"", "\x05abc"}).Draw(t, "tail")
		in = append(in, tail...)

		p := sansio.NewPump(newToyServer())
		var got []string
		for rest := in; ; {
			for ev := range p.Events() {
				switch {
				case ev.Kind == toyData:
					got = append(got, string(ev.Data))
				case ev.Terminal():
					t.Fatalf("ended: %v", ev)
				}
				if rapid.IntRange(0, 3).Draw(t, "pause") == 0 {
					break
				}
			}
			if len(rest) == 0 {
				break
			}
			n := rapid.IntRange(1, len(rest)).Draw(t, "n")
			piece := bytes.Clone(rest[:n])
			p.Feed(piece)
			clear(piece) // it is ours again
			rest = rest[n:]
		}
		for ev := range p.Events() {
			if ev.Kind == toyData {
				got = append(got, string(ev.Data))
			}
		}
		if !slices.Equal(got, frames) {
			t.Fatalf("got %q, want %q", got, frames)
		}
		if string(p.Rest()) != tail {
			t.Fatalf("left over %q, want %q", p.Rest(), tail)
		}
		if p.Err() != nil {
			t.Fatal(p.Err())
		}
	})
}

// Rule 6: Feed and Step(nil) do not end the life of what an event points to.
func TestPumpKeepsEventAlive(t *testing.T) {
	p := sansio.NewPump(newToyServer())
	p.Feed(wire("hello", "data"))
	var held []byte
	for ev := range p.Events() {
		if ev.Kind == toyData {
			held = ev.Data
		}
	}
	for range p.Events() { // steps without input: all was taken
	}
	p.Feed(bytes.Repeat([]byte{1}, 100))
	if string(held) != "data" {
		t.Fatalf("the data became %q", held)
	}
}

func TestPumpTerminal(t *testing.T) {
	m := newToyServer()
	p := sansio.NewPump(m)
	p.Feed([]byte{64, 1, 2, 3})
	for range 2 { // rule 4: it repeats
		var got []toyEvent
		for ev := range p.Events() {
			got = append(got, ev)
		}
		if len(got) != 1 || got[0].Kind != toyFailed {
			t.Fatalf("events %v", got)
		}
	}
	if len(p.Rest()) != 4 {
		t.Fatalf("left over %d bytes", len(p.Rest()))
	}
	if want := wire("error: too long"); !bytes.Equal(m.Output(), want) {
		t.Fatalf("output %q, want %q", m.Output(), want)
	}
}

func TestPumpFeedAfterEOF(t *testing.T) {
	p := sansio.NewPump(newToyServer())
	p.EOF()
	defer func() {
		if recover() == nil {
			t.Fatal("no panic")
		}
	}()
	p.Feed(nil)
}

// Input of any length is held in memory of about the size of what is left.
func TestPumpWorkIsLinear(t *testing.T) {
	p := sansio.NewPump(newToyServer())
	p.Feed(wire("hello"))
	frame := wire("0123456789")
	n := 0
	for range 20_000 {
		p.Feed(frame)
		for ev := range p.Events() {
			if ev.Kind == toyData {
				n++
			}
		}
	}
	p.Feed(bytes.Repeat(frame, 20_000))
	for ev := range p.Events() {
		if ev.Kind == toyData {
			n++
		}
	}
	if n != 40_000 {
		t.Fatalf("%d frames", n)
	}
}

func TestPumpViolations(t *testing.T) {
	for _, tt := range broken {
		if !tt.pump {
			continue
		}
		t.Run(tt.name, func(t *testing.T) {
			p := sansio.NewPump(tt.new(newToyServer()))
			p.Feed(wire("hello", "one", "two", ""))
			n := 0
			for range p.Events() {
				if n++; n > 1000 {
					t.Fatal("the loop does not end")
				}
			}
			wantViolation(t, p.Err(), tt.rule)
			for ev := range p.Events() {
				t.Fatalf("event %v after a violation", ev)
			}
		})
	}
}

// Rule 9: events that were earned by taking bytes are no loop.
func TestPumpManyEventsFromOneUnit(t *testing.T) {
	for _, tt := range []struct {
		taken, events int
		ok            bool
	}{
		{1000, 1000, true},
		{1000, 1000 + sansio.Slack, true},
		{1000, 1001 + sansio.Slack, false},
	} {
		p := sansio.NewPump(&burst{events: tt.events})
		p.Feed(make([]byte, tt.taken))
		for range p.Events() {
		}
		if ok := p.Err() == nil; ok != tt.ok {
			t.Errorf("%d bytes, %d events: %v", tt.taken, tt.events, p.Err())
		}
	}
}

// A burst takes all it gets at once and then returns so many events.
type burst struct {
	toy
	events int
}

func (m *burst) Step(in []byte) (toyEvent, int) {
	if len(in) > 0 {
		return toyEvent{Kind: toyReady}, len(in)
	}
	if m.events--; m.events >= 0 {
		return toyEvent{Kind: toyReady}, 0
	}
	return toyEvent{}, 0
}
