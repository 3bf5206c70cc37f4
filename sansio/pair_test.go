package sansio_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tlscore.example/tlscore/sansio"
)

// A talk is a pair of toys with what they said.
type talk struct {
	*sansio.Pair[toyEvent, toyEvent]
	client, server *toy
	log            []string
}

// newTalk makes a client that says each line and then goodbye, and a server
// that echoes.
func newTalk(seed uint64, lines ...string) *talk {
	k := &talk{client: newToyClient(), server: newToyServer()}
	k.Pair = sansio.NewPair(seed, k.client, k.server)
	answer := echo(k.server)
	k.OnA = func(ev toyEvent) {
		k.log = append(k.log, "client: "+ev.String())
		if ev.Kind == toyReady {
			for _, l := range lines {
				k.client.Write(l)
			}
			k.client.Bye()
		}
		if ev.Terminal() {
			k.CloseA()
		}
	}
	k.OnB = func(ev toyEvent) {
		k.log = append(k.log, "server: "+ev.String())
		answer(ev)
		if ev.Terminal() {
			k.CloseB()
		}
	}
	return k
}

// of returns what one end was told.
func (k *talk) of(who string) (evs []string) {
	for _, l := range k.log {
		if s, ok := strings.CutPrefix(l, who+": "); ok {
			evs = append(evs, s)
		}
	}
	return evs
}

// On lossless links, every seed gives each end the same events.
func TestPairBlindToSchedule(t *testing.T) {
	straight := newTalk(0, "one", "two", "three")
	straight.Choose = sansio.InOrder
	if err := straight.Run(1000); err != nil {
		t.Fatal(err)
	}
	if n := len(straight.log); n != 3+4+4 {
		t.Fatalf("%d events: %q", n, straight.log)
	}
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		k := newTalk(seed, "one", "two", "three")
		k.AB = sansio.NewLink(seed, drawShape(t))
		k.BA = sansio.NewLink(seed+1, drawShape(t))
		k.ShortWrites = rapid.Bool().Draw(t, "short writes")
		if err := k.Run(100_000); err != nil {
			t.Fatal(err)
		}
		for _, who := range []string{"client", "server"} {
			if got, want := k.of(who), straight.of(who); !slices.Equal(got, want) {
				t.Fatalf("%s: %q, want %q", who, got, want)
			}
		}
		if m, err := k.Step(); m != sansio.MoveNone || err != nil {
			t.Fatalf("not at rest: %v, %v", m, err)
		}
		if len(k.RestA())+len(k.RestB()) != 0 {
			t.Fatalf("left over %x, %x", k.RestA(), k.RestB())
		}
	})
}

// The same seed gives the same run, damage included, and no damage makes a
// sound machine break the contract, or a pair go on for ever.
func TestPairDeterministic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		ab, ba := drawDamage(t, drawShape(t)), drawDamage(t, drawShape(t))
		short := rapid.Bool().Draw(t, "short writes")
		run := func() []string {
			k := newTalk(seed, "one", "two", "three")
			k.AB, k.BA = sansio.NewLink(seed, ab), sansio.NewLink(seed+1, ba)
			k.ShortWrites = short
			k.AB.Tap = func(d sansio.Delivery) { k.log = append(k.log, fmt.Sprintf("AB %v", d)) }
			k.BA.Tap = func(d sansio.Delivery) { k.log = append(k.log, fmt.Sprintf("BA %v", d)) }
			for range 100_000 {
				m, err := k.Step()
				if err != nil {
					t.Fatal(err)
				}
				k.log = append(k.log, m.String())
				if m == sansio.MoveNone {
					return k.log
				}
			}
			t.Fatal("no rest")
			return nil
		}
		if a, b := run(), run(); !slices.Equal(a, b) {
			t.Fatalf("%q\n%q", a, b)
		}
	})
}

// A schedule can be drawn too, and shrinks.
func TestPairChoose(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := newTalk(0, "one")
		k.Choose = func(possible []sansio.Move) int {
			return rapid.IntRange(0, len(possible)-1).Draw(t, "move")
		}
		if err := k.Run(1000); err != nil {
			t.Fatal(err)
		}
		if got := k.of("client"); got[len(got)-1] != `closed ""` {
			t.Fatalf("%q", got)
		}
	})
}

// The application answers long after the question, outside of any callback.
func TestPairAnswerLater(t *testing.T) {
	for seed := range uint64(20) {
		k := newTalk(seed, "one")
		k.server.ask = true
		k.OnB = nil
		if err := k.Run(100); err != nil {
			t.Fatal(err)
		}
		if len(k.log) > 0 {
			t.Fatalf("went on without an answer: %q", k.log)
		}
		if err := k.server.Answer(true); err != nil {
			t.Fatal(err)
		}
		if err := k.Run(1000); err != nil {
			t.Fatal(err)
		}
		if got := k.of("client"); !slices.Equal(got, []string{`ready "welcome"`}) {
			t.Fatalf("%q", got)
		}
	}
}

// The same move by move: a pair at rest asks both machines again.
func TestPairStepAsksAgain(t *testing.T) {
	rest := func(k *talk) (moves []sansio.Move) {
		t.Helper()
		for range 100 {
			m, err := k.Step()
			if err != nil {
				t.Fatal(err)
			}
			if m == sansio.MoveNone {
				return moves
			}
			moves = append(moves, m)
		}
		t.Fatal("no rest")
		return nil
	}
	for _, swap := range []bool{false, true} {
		k := newTalk(1)
		k.server.ask = true
		k.OnB = nil
		want := sansio.MovePullB
		if swap {
			k.Pair = sansio.NewPair(1, k.server, k.client)
			k.CloseA()
			want = sansio.MovePullA
		} else {
			k.CloseB()
		}
		rest(k)
		if err := k.server.Answer(true); err != nil {
			t.Fatal(err)
		}
		// The way back is closed: the answer cannot be sent.
		if got := rest(k); len(got) == 0 || got[0] != want {
			t.Fatalf("moves %v, want %v first", got, want)
		}
	}
}

// Half-close: EOF comes behind the bytes, and the other direction stays open.
func TestPairHalfClose(t *testing.T) {
	for seed := range uint64(50) {
		k := newTalk(seed)
		k.AB = sansio.NewLink(seed, sansio.Faults{Split: 2, Delay: 2})
		k.ShortWrites = true
		k.OnA = func(ev toyEvent) {
			k.log = append(k.log, "client: "+ev.String())
			if ev.Kind == toyReady {
				k.CloseA()
				k.client.Write("last words") // still in front of the end
			}
		}
		k.OnB = func(ev toyEvent) { k.log = append(k.log, "server: "+ev.String()) }
		if err := k.Run(10_000); err != nil {
			t.Fatal(err)
		}
		want := []string{`hello "hello"`, `ready ""`, `data "last words"`, `failed "cut off"`}
		if got := k.of("server"); !slices.Equal(got, want) {
			t.Fatalf("seed %d: %q", seed, got)
		}
		want = []string{`ready "welcome"`, `failed "peer's error: cut off"`}
		if got := k.of("client"); !slices.Equal(got, want) {
			t.Fatalf("seed %d: %q", seed, got)
		}
	}
}

// Output behind the end of a direction stays where it is; input behind a
// terminal stop is the caller's.
func TestPairRest(t *testing.T) {
	k := newTalk(1)
	k.OnA = func(ev toyEvent) {
		if ev.Kind == toyReady {
			k.client.Bye()
			k.client.Write("more")
			k.CloseA()
		}
	}
	if err := k.Run(1000); err != nil {
		t.Fatal(err)
	}
	if want := wire("more"); !bytes.Equal(k.RestB(), want) {
		t.Fatalf("left over %q, want %q", k.RestB(), want)
	}
	k.client.Write("too late")
	if err := k.Run(1000); err != nil {
		t.Fatal(err)
	}
	if want := wire("too late"); !bytes.Equal(k.client.Output(), want) {
		t.Fatalf("output %q, want %q", k.client.Output(), want)
	}
	if len(k.RestA()) != 0 {
		t.Fatalf("the client left %q", k.RestA())
	}
}

// Rule 6 from the application's side: what it keeps turns into poison, but not
// before the next Step that is given input.
func TestPairPoisonsWhatTheApplicationKept(t *testing.T) {
	k := newTalk(1, "one", "two")
	k.Choose = sansio.InOrder
	var kept []byte
	k.OnB = func(ev toyEvent) {
		if ev.Kind == toyHello {
			kept = ev.Data
		}
		if ev.Kind == toyReady { // came by Step(nil)
			if string(kept) != "hello" {
				t.Errorf("dead too early: %q", kept)
			}
		}
	}
	if err := k.Run(1000); err != nil {
		t.Fatal(err)
	}
	if want := bytes.Repeat([]byte{0xDB}, len("hello")); !bytes.Equal(kept, want) {
		t.Fatalf("kept %q, want poison", kept)
	}
}

func TestPairFinds(t *testing.T) {
	for _, tt := range broken {
		if tt.pair == 0 {
			continue
		}
		t.Run(tt.name, func(t *testing.T) {
			for seed := range uint64(100) {
				client, server := newToyClient(), newToyServer()
				p := sansio.NewPair(seed, client, tt.new(server))
				p.OnA = func(ev toyEvent) {
					if ev.Kind == toyReady {
						client.Write("one")
						client.Write("two")
						client.Bye()
						client.Write("more")
					}
				}
				p.OnB = echo(server)
				p.ShortWrites = true
				if err := p.Run(10_000); err != nil {
					wantViolation(t, err, tt.pair)
					if !strings.Contains(err.Error(), "machine B") {
						t.Fatalf("error %q", err)
					}
					if _, again := p.Step(); again != err {
						t.Fatalf("then %v", again)
					}
					return
				}
			}
			t.Fatal("not found")
		})
	}
}

// Rule 5 from the machine's side: what it kept turned into poison.
func TestPairPoisonsWhatTheMachineKept(t *testing.T) {
	client, server := newToyClient(), newToyServer()
	p := sansio.NewPair(1, client, sansio.Machine[toyEvent](&keeper{toy: server}))
	var last toyEvent
	p.OnB = func(ev toyEvent) { last = ev }
	p.OnA = func(ev toyEvent) {
		if ev.Kind == toyReady {
			client.Write("secret")
			client.Bye()
		}
	}
	p.AB = sansio.NewLink(1, sansio.Faults{Split: 3})
	if err := p.Run(1000); err != nil {
		t.Fatal(err)
	}
	if want := bytes.Repeat([]byte{0xDB}, len(last.Data)); len(want) == 0 || !bytes.Equal(last.Data, want) {
		t.Fatalf("the machine read %q, want poison", last.Data)
	}
}

// A violation of the other end is told by its name.
func TestPairNamesA(t *testing.T) {
	p := sansio.NewPair(1, &halfEnded{}, newToyServer())
	err := p.Run(100)
	wantViolation(t, err, 1)
	if !strings.Contains(err.Error(), "machine A") {
		t.Fatalf("error %q", err)
	}
}

// Output that changes while nothing is called is found as well.
func TestPairOutputChangedBetweenMoves(t *testing.T) {
	client := newToyClient()
	p := sansio.NewPair(1, client, newToyServer())
	for len(client.Output()) == 0 {
		if _, err := p.Step(); err != nil {
			t.Fatal(err)
		}
	}
	client.out[0] ^= 1
	_, err := p.Step()
	wantViolation(t, err, 7)
}

func TestPairLimit(t *testing.T) {
	k := newTalk(1)
	k.OnA = func(ev toyEvent) {
		if ev.Kind != toyFailed {
			k.client.Write("ping")
		}
	}
	if err := k.Run(500); !errors.Is(err, sansio.ErrLimit) {
		t.Fatal(err)
	}
}

func TestMoveString(t *testing.T) {
	for m, want := range map[sansio.Move]string{
		sansio.MoveNone: "none", sansio.MovePullA: "pull A", sansio.MoveTick: "tick", 99: "Move(99)", -1: "Move(-1)",
	} {
		if got := m.String(); got != want {
			t.Errorf("%d: %q, want %q", m, got, want)
		}
	}
}
