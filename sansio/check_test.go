package sansio_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tlscore.example/tlscore/sansio"
)

// echo is an application that answers each data frame.
func echo(m *toy) func(toyEvent) {
	return func(ev toyEvent) {
		switch ev.Kind {
		case toyHello:
			_ = m.Answer(true)
		case toyData:
			m.Write("> " + string(ev.Data))
		case toyClosed:
			m.Bye()
		}
	}
}

func toyCase(in []byte, wrap func(*toy) sansio.Machine[toyEvent]) sansio.Case[toyEvent] {
	return sansio.Case[toyEvent]{
		New: func() (sansio.Machine[toyEvent], func(toyEvent)) {
			m := newToyServer()
			return wrap(m), echo(m)
		},
		Describe: describeToy,
		Input:    in,
		Seed:     1,
	}
}

func asIs(m *toy) sansio.Machine[toyEvent] { return m }

// A recorder stands in for the testing.T of a test that shall fail.
type recorder struct{ failure string }

func (*recorder) Helper() {}
func (r *recorder) Fatalf(format string, args ...any) {
	if r.failure == "" {
		r.failure = fmt.Sprintf(format, args...)
	}
}

var goodInput = wire("hello", "one", "two", "three", "four", "")

// checkInputs bring out all that is wrong: a clean end, a cut in the middle of
// a unit, a failure with more behind it, an end with more behind it, silence.
var checkInputs = [][]byte{
	goodInput,
	goodInput[:20],
	append(wire("hello", "one"), 0xFF, 1, 2, 3),
	append(wire("hello", "one", ""), 1, 2, 3),
	nil,
}

func TestCheckPasses(t *testing.T) {
	for _, in := range checkInputs {
		sansio.Check(t, toyCase(in, asIs))
	}
}

func TestCheckPassesAnyInput(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := wire(rapid.SliceOf(rapid.StringMatching(`[a-z]{0,9}`)).Draw(t, "frames")...)
		in = append(in, rapid.SliceOf(rapid.Byte()).Draw(t, "tail")...)
		c := toyCase(in, asIs)
		c.Seed = rapid.Uint64().Draw(t, "seed")
		c.Cuts = rapid.IntRange(1, 4).Draw(t, "cuts")
		sansio.Check(t, c)
	})
}

// An answer that is still owed when the input ends.
func TestCheckOwed(t *testing.T) {
	c := sansio.Case[toyEvent]{
		New: func() (sansio.Machine[toyEvent], func(toyEvent)) {
			m := newToyServer()
			m.ask = true
			return m, nil
		},
		Describe: describeToy,
		Input:    goodInput,
		Owed:     true,
	}
	sansio.Check(t, c)
	c.Owed = false
	var r recorder
	sansio.Check(&r, c)
	if !strings.Contains(r.failure, "rule 8") {
		t.Fatalf("failure %q", r.failure)
	}
}

func TestCheckFinds(t *testing.T) {
	for _, tt := range broken {
		t.Run(tt.name, func(t *testing.T) {
			want := fmt.Sprintf("rule %d:", tt.rule)
			var got []string
			for _, in := range checkInputs {
				var r recorder
				sansio.Check(&r, toyCase(in, tt.new))
				if r.failure == "" {
					continue
				}
				if strings.Contains(r.failure, want) {
					t.Log(r.failure)
					return
				}
				got = append(got, r.failure)
			}
			t.Fatalf("failures %q, want %s", got, want)
		})
	}
}

func TestCheckTerminalThatDoesNotStop(t *testing.T) {
	var r recorder
	sansio.Check(&r, sansio.Case[halfEnd]{
		New:      func() (sansio.Machine[halfEnd], func(halfEnd)) { return &halfEnded{}, nil },
		Describe: func(halfEnd) string { return "" },
	})
	if !strings.Contains(r.failure, "rule 1:") {
		t.Fatalf("failure %q", r.failure)
	}
}

// A hoard is a machine that decides by what Step is given at once.
type hoard struct {
	toy
	step func(in []byte) (toyEvent, int)
}

func (m *hoard) Step(in []byte) (toyEvent, int) { return m.step(in) }

// Runs that differ in number, output or rest only.
func TestCheckComparesAll(t *testing.T) {
	for _, tt := range []struct {
		name string
		step func(m *hoard, in []byte) (toyEvent, int)
		want string
	}{
		{"an event for each piece", func(_ *hoard, in []byte) (toyEvent, int) {
			if len(in) > 0 {
				return toyEvent{Kind: toyData}, len(in)
			}
			return toyEvent{}, 0
		}, "in one piece there is none"},
		{"an event for two bytes at once", func(_ *hoard, in []byte) (toyEvent, int) {
			if len(in) > 1 {
				return toyEvent{Kind: toyData}, len(in)
			}
			return toyEvent{}, len(in)
		}, "is missing"},
		{"output for each piece", func(m *hoard, in []byte) (toyEvent, int) {
			if len(in) > 0 {
				m.send("x")
			}
			return toyEvent{}, len(in)
		}, "the output is"},
		{"leaves single bytes", func(_ *hoard, in []byte) (toyEvent, int) {
			if len(in) > 3 {
				return toyEvent{}, len(in)
			}
			return toyEvent{}, 0
		}, "are left"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var r recorder
			sansio.Check(&r, sansio.Case[toyEvent]{
				New: func() (sansio.Machine[toyEvent], func(toyEvent)) {
					m := &hoard{}
					m.step = func(in []byte) (toyEvent, int) { return tt.step(m, in) }
					return m, nil
				},
				Describe: describeToy,
				Input:    []byte("abcdef"),
				Owed:     true,
			})
			if !strings.Contains(r.failure, tt.want) {
				t.Fatalf("failure %q, want %q", r.failure, tt.want)
			}
		})
	}
}
