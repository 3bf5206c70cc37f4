package tlscore

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// "adding the "ticket_age_add" value that was included with the ticket (see
// Section 4.6.1), modulo 2^32" (https://www.rfc-editor.org/rfc/rfc8446#section-4.2.11.1)
func TestObfuscatedAge(t *testing.T) {
	for _, test := range []struct {
		age  time.Duration
		add  uint32
		want uint32
	}{
		{0, 0, 0},
		{1500 * time.Millisecond, 0, 1500},
		{1500*time.Millisecond + 999*time.Microsecond, 7, 1507},
		{10 * time.Second, math.MaxUint32 - 9999, 0},
		{7 * 24 * time.Hour, math.MaxUint32, 604800000 - 1},
	} {
		s := &Session{CreatedAt: ticketTime, AgeAdd: test.add}
		if got := obfuscatedAge(s, ticketTime.Add(test.age)); got != test.want {
			t.Errorf("%v + %d: %d", test.age, test.add, got)
		}
	}
}

// "When a new ClientHello is received, the expected_arrival_time is then compared
// against the current server wall clock time and if they differ by more than a
// certain amount, 0-RTT is rejected"
// (https://www.rfc-editor.org/rfc/rfc8446#section-8.3)
func TestEarlyDataExpires(t *testing.T) {
	const second = time.Second
	for _, test := range []struct {
		age, late time.Duration // what the client says, and by how much it comes later
		want      bool
	}{
		{0, 0, true},
		{0, 10*second - 1, true},
		{0, 10 * second, false},
		{time.Hour, 0, true},
		{time.Hour, 10*second - 1, true},
		{time.Hour, 10 * second, false},
		{time.Hour, 24 * time.Hour, false},
		{time.Hour, -10 * second, true},
		{time.Hour, -10*second - 1, false},
		{2*time.Hour - 1*second, 0, true},
		{2 * time.Hour, -1, true},
		{2 * time.Hour, 0, false}, // the ticket's lifetime is over
		{49 * 24 * time.Hour, 0, false},
	} {
		for _, add := range []uint32{0, 0xfffffff0} {
			server := &Session{CreatedAt: ticketTime, AuthenticatedAt: ticketTime, AgeAdd: add, Lifetime: 7200}
			client := &Session{CreatedAt: ticketTime.Add(time.Minute), AgeAdd: add} // another clock
			obfuscated := obfuscatedAge(client, client.CreatedAt.Add(test.age))
			expires, recent := earlyDataExpires(server, obfuscated, ticketTime.Add(test.age+test.late))
			if recent != test.want || !expires.Equal(ticketTime.Add(test.age+10*second)) {
				t.Errorf("age %v, %v later: recent: %v, until %v", test.age, test.late, recent, expires.Sub(ticketTime))
			}
		}
	}
}

// TestReplayWindow asks for ids at any time, with clocks that jump, and remembers
// every answer: no id is fresh twice, and a window that is neither full nor new nor
// led astray by the clock takes every new id.
func TestReplayWindow(t *testing.T) {
	const window = 20 * time.Second
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.SampledFrom([]int{2, 5, 1000}).Draw(t, "max")
		jumps := rapid.Bool().Draw(t, "the clock jumps")
		w := NewReplayWindow(window, size)
		now := ticketTime
		if ok, err := w.Fresh([]byte("first"), now, now.Add(window)); ok || err != nil {
			t.Fatalf("fresh just after the start: %v", err)
		}
		type asked struct{ at, expires time.Time }
		seen := map[string]asked{}
		fresh := map[string]bool{}
		seconds := func(t *rapid.T, min, max int) time.Duration {
			return time.Duration(rapid.IntRange(min*1000, max*1000).Draw(t, "milliseconds")) * time.Millisecond
		}
		ask := func(t *rapid.T, id string, expires time.Time) {
			_, known := seen[id]
			got, err := w.Fresh([]byte(id), now, expires)
			if err != nil {
				t.Fatal(err)
			}
			remembered := 0
			for other := range fresh {
				if seen[other].at.After(now.Add(-2 * window)) {
					remembered++
				}
			}
			switch {
			case got && fresh[id]:
				t.Fatalf("%s is fresh twice", id)
			case got && (!now.Before(expires) || expires.After(now.Add(window))):
				t.Fatalf("%s is fresh outside of the window", id)
			case got && !expires.After(ticketTime.Add(window)):
				t.Fatalf("%s is fresh, and could have been sent before the start", id)
			case !got && !known && !jumps && remembered < size && expires.After(now) &&
				!expires.After(now.Add(window)) && expires.After(ticketTime.Add(window)):
				t.Fatalf("%s is not fresh, with %d remembered", id, remembered)
			}
			if got {
				fresh[id] = true
				seen[id] = asked{now, expires}
			} else if !known {
				seen[id] = asked{now, expires}
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"clock": func(t *rapid.T) { now = now.Add(seconds(t, 0, 15)) },
			"jump": func(t *rapid.T) {
				if jumps {
					now = now.Add(seconds(t, -100, 100))
				}
			},
			"new": func(t *rapid.T) { ask(t, fmt.Sprint("id ", len(seen)), now.Add(seconds(t, -1, 21))) },
			"again": func(t *rapid.T) {
				if len(seen) > 0 {
					id := fmt.Sprint("id ", rapid.IntRange(0, len(seen)-1).Draw(t, "id"))
					ask(t, id, seen[id].expires)
				}
			},
			"": func(t *rapid.T) {
				if n := len(w.current.ids) + len(w.previous.ids); n > size {
					t.Fatalf("%d ids of at most %d", n, size)
				}
			},
		})
	})
}

// "When implementations are freshly started, they SHOULD reject 0-RTT as long as any
// portion of their recording window overlaps the startup time."
// (https://www.rfc-editor.org/rfc/rfc8446#section-8.2)
func TestReplayWindowStart(t *testing.T) {
	w := NewReplayWindow(0, 0)
	for i, test := range []struct {
		now, expires time.Duration // from the start
		want         bool
	}{
		{0, 10 * time.Second, false},
		{5 * time.Second, 15 * time.Second, false},
		{10 * time.Second, 20 * time.Second, false}, // may have been accepted before the start
		{10*time.Second + 1, 20*time.Second + 1, true},
		{20 * time.Second, 20*time.Second + 2, true},
		{20 * time.Second, 40*time.Second + 1, false}, // would be forgotten before
		{20 * time.Second, 40 * time.Second, true},
	} {
		if got, _ := w.Fresh([]byte{byte(i)}, ticketTime.Add(test.now), ticketTime.Add(test.expires)); got != test.want {
			t.Errorf("%v, expires %v: %v", test.now, test.expires, got)
		}
	}
}

// TestReplayWindowFull: a flood costs early data, not memory, and it passes.
func TestReplayWindowFull(t *testing.T) {
	w := NewReplayWindow(0, 0)
	now := ticketTime
	w.Fresh(nil, now, now)
	now = now.Add(time.Minute)
	fresh := 0
	for i := range 132000 {
		if ok, _ := w.Fresh(fmt.Append(nil, i), now, now.Add(10*time.Second)); ok {
			fresh++
		}
	}
	if fresh != 131072 {
		t.Errorf("%d ids", fresh)
	}
	if ok, _ := w.Fresh([]byte("next"), now.Add(19*time.Second), now.Add(30*time.Second)); ok {
		t.Error("fresh while there is no room")
	}
	now = now.Add(20 * time.Second)
	if ok, _ := w.Fresh([]byte("next"), now, now.Add(10*time.Second)); !ok {
		t.Error("not fresh when the others have expired")
	}
	if n := len(w.current.ids) + len(w.previous.ids); n != 1 {
		t.Errorf("%d ids are kept", n)
	}
}

// TestReplayWindowConcurrently is for the race detector, and counts: each id is fresh
// for one of those who ask.
func TestReplayWindowConcurrently(t *testing.T) {
	w := NewReplayWindow(0, 0)
	w.Fresh(nil, ticketTime, ticketTime)
	var fresh [500]atomic.Int32
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := range fresh {
				now := ticketTime.Add(time.Minute + time.Duration(i)*time.Second/10)
				if ok, _ := w.Fresh(fmt.Append(nil, i), now, now.Add(10*time.Second)); ok {
					fresh[i].Add(1)
				}
			}
		})
	}
	all.Wait()
	for i := range fresh {
		if n := fresh[i].Load(); n != 1 {
			t.Errorf("id %d was fresh %d times", i, n)
		}
	}
}

func BenchmarkReplayWindow(b *testing.B) {
	w := NewReplayWindow(0, 0)
	w.Fresh(nil, ticketTime, ticketTime)
	id := make([]byte, 32)
	now := ticketTime.Add(time.Minute)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		id[0], id[1], id[2] = byte(i), byte(i>>8), byte(i>>16)
		now = now.Add(time.Millisecond)
		w.Fresh(id, now, now.Add(10*time.Second))
	}
}
