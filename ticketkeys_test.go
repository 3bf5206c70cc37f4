package tlscore

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var ticketTime = time.Unix(1700000000, 0)

func seeded(seed byte) io.Reader { return rand.NewChaCha8([32]byte{seed}) }

func mustTicketKeys(t testing.TB) func(k *TicketKeys, err error) *TicketKeys {
	return func(k *TicketKeys, err error) *TicketKeys {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
}

func mustSeal(t testing.TB, k *TicketKeys, text string, now time.Time) []byte {
	t.Helper()
	ticket, err := k.Seal(nil, []byte(text), now, seeded(1))
	if err != nil {
		t.Fatal(err)
	}
	return ticket
}

func opens(k *TicketKeys, ticket []byte, text string, now time.Time) bool {
	got, ok := k.Open([]byte("dst"), ticket, now)
	if ok != (string(got) == "dst"+text) || !ok && string(got) != "dst" {
		panic(fmt.Sprintf("Open gave %q, %v", got, ok))
	}
	return ok
}

// TestTicketFormat pins the format: servers of different releases share keys. The
// values were computed with Python's hmac and cryptography modules.
func TestTicketFormat(t *testing.T) {
	fixed := mustTicketKeys(t)(NewTicketKeys([32]byte{1}))
	shared := mustTicketKeys(t)(NewSharedTicketKeys(bytes.Repeat([]byte{7}, 32), time.Hour))
	for _, test := range []struct {
		keys *TicketKeys
		want string
	}{
		{fixed, "d341925f1ee30ee2e2258eb8fc7b26ec7477656c7665206279746573" + "2048a79d28039b4113b1256fab72a0190517c4e5da1762"},
		{shared, "cef970d104426c760efadfaf7e15298d7477656c7665206279746573" + "5a55bd47e28518583c177662a9243056a2b27998a09dcc"},
	} {
		got, err := test.keys.Seal([]byte("dst"), []byte("session"), ticketTime, bytes.NewReader([]byte("twelve bytes")))
		if err != nil || hex.EncodeToString(got[3:]) != test.want || string(got[:3]) != "dst" {
			t.Errorf("%v\n%x, want\n%s", err, got[3:], test.want)
		}
		if !opens(test.keys, got[3:], "session", ticketTime) {
			t.Error("does not open")
		}
	}
}

func TestTicketsAreAuthenticated(t *testing.T) {
	keys := mustTicketKeys(t)(NewTicketKeys([32]byte{1}, [32]byte{2}))
	ticket := mustSeal(t, keys, "session", ticketTime)
	for n := range ticket {
		if opens(keys, ticket[:n], "session", ticketTime) {
			t.Errorf("the first %d of %d bytes open", n, len(ticket))
		}
		changed := bytes.Clone(ticket)
		changed[n] ^= 1
		if opens(keys, changed, "session", ticketTime) {
			t.Errorf("byte %d can be changed", n)
		}
	}
	if opens(keys, append(bytes.Clone(ticket), 0), "session", ticketTime) {
		t.Error("a byte more is accepted")
	}
	// The name of another key that is accepted does not help.
	second := mustSeal(t, mustTicketKeys(t)(NewTicketKeys([32]byte{2})), "session", ticketTime)
	if opens(keys, append(bytes.Clone(second[:16]), ticket[16:]...), "session", ticketTime) || !opens(keys, second, "session", ticketTime) {
		t.Error("names can be exchanged")
	}
	if opens(keys, make([]byte, 1<<16), "session", ticketTime) || opens(keys, nil, "session", ticketTime) {
		t.Error("what is no ticket opens")
	}
}

func TestTicketLengths(t *testing.T) {
	keys := mustTicketKeys(t)(NewTicketKeys([32]byte{1}))
	for _, n := range []int{0, 1, maxTicket - ticketOverhead} {
		text := strings.Repeat("x", n)
		if ticket := mustSeal(t, keys, text, ticketTime); len(ticket) != n+44 || !opens(keys, ticket, text, ticketTime) {
			t.Errorf("%d bytes make a ticket of %d", n, len(ticket))
		}
	}
	if b, err := keys.Seal([]byte("dst"), make([]byte, maxTicket-ticketOverhead+1), ticketTime, seeded(1)); err == nil || string(b) != "dst" {
		t.Errorf("a ticket that is too long: %v", err)
	}
}

func TestTicketKeysRotate(t *testing.T) {
	a, b, c := [32]byte{1}, [32]byte{2}, [32]byte{3}
	keys := mustTicketKeys(t)(NewTicketKeys(a))
	first := mustSeal(t, keys, "first", ticketTime)
	if err := keys.Rotate(b, a); err != nil {
		t.Fatal(err)
	}
	second := mustSeal(t, keys, "second", ticketTime)
	if !opens(keys, first, "first", ticketTime) || !opens(keys, second, "second", ticketTime.Add(1000*time.Hour)) {
		t.Error("a key of the list does not open")
	}
	if opens(mustTicketKeys(t)(NewTicketKeys(a)), second, "second", ticketTime) {
		t.Error("not the first key of the list seals")
	}
	if err := keys.Rotate(c, b); err != nil || opens(keys, first, "first", ticketTime) || !opens(keys, second, "second", ticketTime) {
		t.Errorf("after the second rotation: %v", err)
	}
	for _, bad := range [][][32]byte{{}, {{}}, {a, {}}, {a, b, a}, make([][32]byte, 65)} {
		if err := keys.Rotate(bad...); err == nil || !opens(keys, second, "second", ticketTime) {
			t.Errorf("%d keys: %v", len(bad), err)
		}
		if k, err := NewTicketKeys(bad...); err == nil {
			t.Errorf("%v made of %d keys", k, len(bad))
		}
	}
	shared := mustTicketKeys(t)(NewSharedTicketKeys(make([]byte, 32), time.Hour))
	mustSeal(t, shared, "derived", ticketTime)
	secret := shared.secret
	if err := shared.Rotate(b); err != nil || !opens(shared, second, "second", ticketTime) || shared.Lifetime() != 0 {
		t.Errorf("derived keys are not replaced: %v", err)
	}
	if shared.secret != nil || !bytes.Equal(secret, make([]byte, 32)) {
		t.Error("the secret of replaced keys is kept")
	}
}

// TestSharedTicketKeys: two servers agree without talking, for seven periods and
// with clocks that differ by one.
func TestSharedTicketKeys(t *testing.T) {
	secret := bytes.Repeat([]byte{7}, 48)
	one := mustTicketKeys(t)(NewSharedTicketKeys(secret, time.Hour))
	start := time.Unix(1700002800, 0).Truncate(time.Hour)
	ticket := mustSeal(t, one, "session", start.Add(59*time.Minute))
	for _, test := range []struct {
		at   time.Duration // from the start of the period
		want bool
	}{
		{0, true}, {-time.Hour, true}, {-time.Hour - 1, false}, {-24 * time.Hour, false},
		{time.Hour, true}, {8*time.Hour - 1, true}, {8 * time.Hour, false}, {10000 * time.Hour, false},
	} {
		other := mustTicketKeys(t)(NewSharedTicketKeys(bytes.Repeat([]byte{7}, 48), time.Hour))
		for _, k := range []*TicketKeys{other, other, one} {
			if got := opens(k, ticket, "session", start.Add(test.at)); got != test.want {
				t.Errorf("%v: opens: %v", test.at, got)
			}
		}
	}
	if one.Lifetime() != 7*time.Hour {
		t.Errorf("lifetime %v", one.Lifetime())
	}
	for name, other := range map[string]*TicketKeys{
		"secret": mustTicketKeys(t)(NewSharedTicketKeys(bytes.Repeat([]byte{8}, 48), time.Hour)),
		"period": mustTicketKeys(t)(NewSharedTicketKeys(bytes.Repeat([]byte{7}, 48), 2*time.Hour)),
	} {
		if opens(other, ticket, "session", start) {
			t.Errorf("opens with another %s", name)
		}
	}
	given := bytes.Repeat([]byte{7}, 48)
	copied := mustTicketKeys(t)(NewSharedTicketKeys(given, time.Hour))
	clear(given)
	if !opens(copied, ticket, "session", start) {
		t.Error("the secret was not copied")
	}
	for _, period := range []time.Duration{0, -time.Hour, time.Second, time.Hour + time.Millisecond} {
		if _, err := NewSharedTicketKeys(secret, period); err == nil {
			t.Errorf("a period of %v", period)
		}
	}
	if _, err := NewSharedTicketKeys(secret[:31], time.Hour); err == nil {
		t.Error("a short secret")
	}
}

// TestRandomTicketKeys compares the keys of one process with a model: the key that
// the first ticket of a period made opens while it is one of the last seven, or the
// next, and was not dropped.
func TestRandomTicketKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keys, err := NewRandomTicketKeys(time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		type made struct {
			ticket     []byte
			generation int // of the key
		}
		var tickets []made
		alive := map[int64]int{} // epochs and the generations of their keys
		generations := 0
		epoch := int64(100)
		random := seeded(3)
		turn := func() {
			maps.DeleteFunc(alive, func(e int64, _ int) bool { return e > epoch+1 || e < epoch-7 })
		}
		t.Repeat(map[string]func(*rapid.T){
			"clock": func(t *rapid.T) { epoch += rapid.Int64Range(-3, 9).Draw(t, "periods") },
			"seal": func(t *rapid.T) {
				turn()
				if _, ok := alive[epoch]; !ok {
					generations++
					alive[epoch] = generations
				}
				now := time.Unix(epoch*60+rapid.Int64Range(0, 59).Draw(t, "second"), 0)
				ticket, err := keys.Seal(nil, []byte("session"), now, random)
				if err != nil {
					t.Fatal(err)
				}
				tickets = append(tickets, made{ticket, alive[epoch]})
			},
			"open": func(t *rapid.T) {
				if len(tickets) == 0 {
					return
				}
				turn()
				ticket := rapid.SampledFrom(tickets).Draw(t, "ticket")
				want := false
				for _, generation := range alive {
					want = want || generation == ticket.generation
				}
				if got := opens(keys, ticket.ticket, "session", time.Unix(epoch*60, 0)); got != want {
					t.Fatalf("opens: %v, want %v", got, want)
				}
			},
			"": func(t *rapid.T) {
				if n := len(keys.set.Load().keys); n > ticketPastEpochs+2 {
					t.Fatalf("%d keys are kept", n)
				}
			},
		})
	})
}

func TestTicketKeysWithoutRandomness(t *testing.T) {
	failure := errors.New("no randomness")
	fixed := mustTicketKeys(t)(NewTicketKeys([32]byte{1}))
	random := mustTicketKeys(t)(NewRandomTicketKeys(time.Hour))
	for _, test := range []struct {
		missing string
		keys    *TicketKeys
		source  io.Reader
	}{
		{"nonce", fixed, io.MultiReader(strings.NewReader("eleven byte"), errorReader{failure})},
		{"key", random, io.MultiReader(bytes.NewReader(make([]byte, 31)), errorReader{failure})},
		{"nonce behind a key", random, io.MultiReader(bytes.NewReader(make([]byte, 32)), errorReader{failure})},
	} {
		if b, err := test.keys.Seal([]byte("dst"), []byte("session"), ticketTime, test.source); !errors.Is(err, failure) || string(b) != "dst" {
			t.Errorf("%s: %q, %v", test.missing, b, err)
		}
	}
}

type errorReader struct{ err error }

func (r errorReader) Read([]byte) (int, error) { return 0, r.err }

func TestTicketKeyIsUsedUp(t *testing.T) {
	keys := mustTicketKeys(t)(NewTicketKeys([32]byte{1}, [32]byte{2}))
	keys.set.Load().keys[0].sealed.Store(maxTicketSeals - 1)
	last := mustSeal(t, keys, "last", ticketTime)
	for range 3 {
		if b, err := keys.Seal([]byte("dst"), nil, ticketTime, seeded(1)); err == nil || string(b) != "dst" {
			t.Fatalf("ticket 2^32+1: %x", b)
		}
	}
	if !opens(keys, last, "last", ticketTime) {
		t.Error("a used up key does not open")
	}
	if err := keys.Rotate([32]byte{3}); err != nil {
		t.Fatal(err)
	}
	mustSeal(t, keys, "again", ticketTime)
}

// TestTicketKeysConcurrently is for the race detector: periods change and keys are
// replaced while others seal and open.
func TestTicketKeysConcurrently(t *testing.T) {
	for name, keys := range map[string]*TicketKeys{
		"random": mustTicketKeys(t)(NewRandomTicketKeys(time.Minute)),
		"shared": mustTicketKeys(t)(NewSharedTicketKeys(make([]byte, 32), time.Minute)),
		"fixed":  mustTicketKeys(t)(NewTicketKeys([32]byte{1})),
	} {
		var all sync.WaitGroup
		for worker := range 4 {
			all.Go(func() {
				random := seeded(byte(worker))
				for i := range 200 {
					now := ticketTime.Add(time.Duration(i/20) * time.Minute)
					ticket, err := keys.Seal(nil, []byte(name), now, random)
					if err != nil {
						t.Error(err)
						return
					}
					got, ok := keys.Open(nil, ticket, now)
					if ok && string(got) != name || !ok && name == "shared" {
						t.Errorf("%s: %q, %v", name, got, ok)
					}
					if name == "fixed" && i%50 == 0 {
						keys.Rotate([32]byte{byte(i + 1)}, [32]byte{1})
					}
				}
			})
		}
		all.Wait()
	}
}

func TestTicketAllocations(t *testing.T) {
	for name, keys := range map[string]*TicketKeys{
		"random": mustTicketKeys(t)(NewRandomTicketKeys(time.Hour)),
		"fixed":  mustTicketKeys(t)(NewTicketKeys([32]byte{1})),
	} {
		text, room, random := make([]byte, 100), make([]byte, 0, 200), seeded(1)
		ticket, err := keys.Seal(nil, text, ticketTime, random)
		if err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(100, func() { keys.Seal(room, text, ticketTime, random) }); n != 0 {
			t.Errorf("%s: Seal allocates %v times", name, n)
		}
		if n := testing.AllocsPerRun(100, func() { keys.Open(room, ticket, ticketTime) }); n != 0 {
			t.Errorf("%s: Open allocates %v times", name, n)
		}
	}
}

func BenchmarkTicketSeal(b *testing.B) {
	keys := mustTicketKeys(b)(NewSharedTicketKeys(make([]byte, 32), time.Hour))
	text, room, random := make([]byte, 200), make([]byte, 0, 300), seeded(1)
	b.ReportAllocs()
	for b.Loop() {
		keys.Seal(room, text, ticketTime, random)
	}
}

func BenchmarkTicketOpen(b *testing.B) {
	keys := mustTicketKeys(b)(NewSharedTicketKeys(make([]byte, 32), time.Hour))
	ticket := mustSeal(b, keys, strings.Repeat("x", 200), ticketTime)
	room := make([]byte, 0, 300)
	b.ReportAllocs()
	for b.Loop() {
		keys.Open(room, ticket, ticketTime)
	}
}

// BenchmarkTicketKeyPeriod is what the first call of a period costs more.
func BenchmarkTicketKeyPeriod(b *testing.B) {
	keys := mustTicketKeys(b)(NewSharedTicketKeys(make([]byte, 32), time.Hour))
	now := ticketTime
	for b.Loop() {
		now = now.Add(time.Hour)
		keys.at(now)
	}
}
