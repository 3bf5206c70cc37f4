package tlscore

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestLRUSessionCache compares the cache with a list, the entry that was used last
// at its end.
func TestLRUSessionCache(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		servers, perServer := rapid.IntRange(1, 4).Draw(t, "servers"), rapid.IntRange(1, 3).Draw(t, "per server")
		cache := NewLRUSessionCache(servers, perServer)
		type entry struct {
			key      string
			sessions [][]byte
		}
		var model []entry
		var dropped [][]byte
		key := rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f"})
		touch := func(key string) int {
			i := slices.IndexFunc(model, func(e entry) bool { return e.key == key })
			if i < 0 {
				return -1
			}
			e := model[i]
			model = append(slices.Delete(model, i, i+1), e)
			return len(model) - 1
		}
		count := 0
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				count++
				key, session := key.Draw(t, "key"), fmt.Appendf(nil, "session %d", count)
				cache.Put(key, session)
				i := touch(key)
				if i < 0 {
					if len(model) == servers {
						dropped = append(dropped, model[0].sessions...)
						model = slices.Delete(model, 0, 1)
					}
					model = append(model, entry{key: key})
					i = len(model) - 1
				}
				e := &model[i]
				if len(e.sessions) == perServer {
					dropped = append(dropped, e.sessions[0])
					e.sessions = slices.Clone(e.sessions[1:])
				}
				e.sessions = append(e.sessions, session)
			},
			"take": func(t *rapid.T) {
				key := key.Draw(t, "key")
				got := cache.Take(key)
				i := touch(key)
				if i < 0 {
					if got != nil {
						t.Fatalf("%q for nothing", got)
					}
					return
				}
				e := &model[i]
				last := len(e.sessions) - 1
				if !bytes.Equal(got, e.sessions[last]) || &got[0] != &e.sessions[last][0] {
					t.Fatalf("%q, not the newest: %q", got, e.sessions[last])
				}
				if e.sessions = e.sessions[:last]; last == 0 {
					model = slices.Delete(model, i, i+1)
				}
			},
			"": func(t *rapid.T) {
				for _, session := range dropped {
					if !bytes.Equal(session, make([]byte, len(session))) {
						t.Fatalf("%q was dropped and is not cleared", session)
					}
				}
				for _, e := range model {
					for _, session := range e.sessions {
						if !bytes.HasPrefix(session, []byte("session ")) {
							t.Fatalf("%q is kept and was cleared", session)
						}
					}
				}
				c := cache.(*lruSessionCache)
				if len(c.entries) != len(model) || c.order.Len() != len(model) {
					t.Fatalf("%d and %d entries, not %d", len(c.entries), c.order.Len(), len(model))
				}
			},
		})
	})
}

func TestSessionCacheDefaults(t *testing.T) {
	cache := NewLRUSessionCache(0, -1)
	for i := range 300 {
		for j := range 6 {
			cache.Put(fmt.Sprint(i), []byte{byte(j + 1)})
		}
	}
	kept := 0
	for i := range 300 {
		n := 0
		for session := cache.Take(fmt.Sprint(i)); session != nil; session = cache.Take(fmt.Sprint(i)) {
			n++
		}
		if n != 0 && n != 4 {
			t.Errorf("%d sessions for server %d", n, i)
		}
		kept += n
	}
	if kept != 256*4 {
		t.Errorf("%d sessions", kept)
	}
	big := bytes.Repeat([]byte{1}, maxSession+1)
	cache.Put("big", big)
	cache.Put("empty", nil)
	if cache.Take("big") != nil || cache.Take("empty") != nil || !bytes.Equal(big, make([]byte, len(big))) {
		t.Error("keeps what is too big, or empty, or has not cleared it")
	}
	cache.Put("largest", big[1:])
	if cache.Take("largest") == nil {
		t.Error("does not keep the largest session")
	}
}

// TestSessionStore compares the store with a list, the oldest first.
func TestSessionStore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 5).Draw(t, "max")
		store := NewSessionStore(size)
		now := ticketTime
		type entry struct {
			id      string
			session []byte
			expires time.Time
		}
		var model []entry
		expire := func() {
			for len(model) > 0 && !now.Before(model[0].expires) {
				model = model[1:]
			}
		}
		find := func(id string) (int, []byte) {
			expire()
			i := slices.IndexFunc(model, func(e entry) bool { return e.id == id })
			if i < 0 {
				return -1, nil
			}
			e := model[i]
			if !now.Before(e.expires) {
				model = slices.Delete(slices.Clone(model), i, i+1)
				return -1, nil
			}
			return i, e.session
		}
		id := rapid.SampledFrom([]string{"", "a", "b", "c", "d", "e", "f", "g"})
		count := 0
		t.Repeat(map[string]func(*rapid.T){
			"clock": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(-2, 8).Draw(t, "seconds")) * time.Second)
			},
			"put": func(t *rapid.T) {
				count++
				id, session := id.Draw(t, "id"), fmt.Appendf(nil, "session %d", count)
				expires := now.Add(time.Duration(rapid.IntRange(-1, 20).Draw(t, "lifetime")) * time.Second)
				given := []byte(id)
				store.Put(given, bytes.Clone(session), now, expires)
				clear(given)
				if !now.Before(expires) {
					return
				}
				expire()
				model = slices.DeleteFunc(slices.Clone(model), func(e entry) bool { return e.id == id })
				if len(model) == size {
					model = model[1:]
				}
				model = append(model, entry{id, session, expires})
			},
			"take": func(t *rapid.T) {
				id := id.Draw(t, "id")
				got := store.Take([]byte(id), now)
				i, want := find(id)
				if !bytes.Equal(got, want) || (got == nil) != (want == nil) {
					t.Fatalf("%q, want %q", got, want)
				}
				if i >= 0 {
					model = slices.Delete(slices.Clone(model), i, i+1)
				}
			},
			"get": func(t *rapid.T) {
				id := id.Draw(t, "id")
				got := store.Get([]byte(id), now)
				if _, want := find(id); !bytes.Equal(got, want) || (got == nil) != (want == nil) {
					t.Fatalf("%q, want %q", got, want)
				}
				clear(got) // a copy
			},
			"": func(t *rapid.T) {
				s := store.(*sessionStore)
				if len(s.entries) != s.order.Len() || len(s.entries) > size {
					t.Fatalf("%d and %d entries of at most %d", len(s.entries), s.order.Len(), size)
				}
			},
		})
	})
}

func TestSessionStoreClears(t *testing.T) {
	later, zeros := ticketTime.Add(time.Minute), make([]byte, 7)
	for name, drop := range map[string]func(s SessionStore){
		"it is full":          func(s SessionStore) { s.Put([]byte("other"), []byte("another"), ticketTime, later) },
		"the id is new again": func(s SessionStore) { s.Put([]byte("id"), []byte("another"), ticketTime, later) },
		"another is put":      func(s SessionStore) { s.Put([]byte("other"), []byte("another"), later, later.Add(1)) },
		"it is asked for":     func(s SessionStore) { s.Get([]byte("id"), later) },
		"it is to be taken":   func(s SessionStore) { s.Take([]byte("id"), later) },
		"another is asked":    func(s SessionStore) { s.Take([]byte("other"), later) },
	} {
		store, session := NewSessionStore(1), []byte("session")
		store.Put([]byte("id"), session, ticketTime, later)
		if string(session) != "session" {
			t.Fatal("cleared at once")
		}
		if drop(store); !bytes.Equal(session, zeros) {
			t.Errorf("not cleared when %s", name)
		}
	}
	store := NewSessionStore(0)
	for name, put := range map[string]struct {
		id, session []byte
		expires     time.Time
	}{
		"an expired session":   {nil, []byte("session"), ticketTime},
		"a long id":            {make([]byte, 256), []byte("session"), later},
		"a session too large":  {nil, bytes.Repeat([]byte{1}, maxSession+1), later},
		"an empty session":     {nil, nil, later},
		"an empty session too": {nil, []byte{}, later},
	} {
		store.Put(put.id, put.session, ticketTime, put.expires)
		if store.Get(put.id, ticketTime.Add(-time.Hour)) != nil || !bytes.Equal(put.session, make([]byte, len(put.session))) {
			t.Errorf("%s is kept", name)
		}
	}
	for i := range defaultStoredSessions + 10 {
		store.Put(fmt.Append(nil, i), []byte("session"), ticketTime, later)
	}
	if n := len(store.(*sessionStore).entries); n != 16384 {
		t.Errorf("%d sessions by default", n)
	}
}

// TestSessionsConcurrently is for the race detector, and counts: what is put is taken
// once.
func TestSessionsConcurrently(t *testing.T) {
	cache, store := NewLRUSessionCache(8, 1000), NewSessionStore(10000)
	const workers, each = 4, 200
	var taken [workers]int
	var all sync.WaitGroup
	for worker := range workers {
		all.Go(func() {
			for i := range each {
				id := fmt.Appendf(nil, "%d %d", worker, i)
				cache.Put(fmt.Sprint(i%8), bytes.Clone(id))
				store.Put(id, bytes.Clone(id), ticketTime, ticketTime.Add(time.Hour))
				other := fmt.Appendf(nil, "%d %d", (worker+1)%workers, i)
				store.Get(other, ticketTime)
				for _, got := range [][]byte{cache.Take(fmt.Sprint((i + worker) % 8)), store.Take(other, ticketTime)} {
					if got != nil {
						taken[worker]++
					}
				}
			}
		})
	}
	all.Wait()
	total := 0
	for _, n := range taken {
		total += n
	}
	for i := range 8 {
		for cache.Take(fmt.Sprint(i)) != nil {
			total++
		}
	}
	total += len(store.(*sessionStore).entries)
	if total != 2*workers*each {
		t.Errorf("%d sessions came back of %d", total, 2*workers*each)
	}
}

func BenchmarkSessionStore(b *testing.B) {
	store, id, session := NewSessionStore(1000), make([]byte, 32), make([]byte, 100)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		id[0], id[1] = byte(i), byte(i>>8)
		store.Put(id, session, ticketTime, ticketTime.Add(time.Hour))
		store.Take(id, ticketTime)
	}
}
