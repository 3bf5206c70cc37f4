package fuzz

import (
	"bytes"
	"testing"

	"tlscore.example/tlscore/internal/record"
)

// An accountant is an allocator that checks how it is used: every slice comes
// back once, at its full capacity, without plaintext in it, and nobody writes
// into it afterwards.
type accountant struct {
	t       *testing.T
	secrets [][]byte // what was protected on its way here

	lent map[*byte]int // capacity by first byte
	held int           // bytes that are lent
	peak int
	back [][]byte // some of what came back
}

func newAccountant(t *testing.T) *accountant {
	return &accountant{t: t, lent: make(map[*byte]int)}
}

// What memory is filled with before it is lent and after it came back, since
// nobody may count on zeros.
const (
	dirty = 0xd1
	freed = 0xfe
)

func (a *accountant) Get(n int) []byte {
	if n <= 0 {
		a.t.Fatalf("%d bytes of memory were asked for", n)
	}
	b := bytes.Repeat([]byte{dirty}, n+n%3)
	a.lent[&b[0]] = len(b)
	a.held += len(b)
	a.peak = max(a.peak, a.held)
	return b[:n]
}

func (a *accountant) Put(b []byte) {
	if len(b) == 0 {
		a.t.Fatal("empty memory was handed back")
	}
	size, ok := a.lent[&b[0]]
	switch {
	case !ok:
		a.t.Fatal("memory was handed back that is not lent: twice, or a part of it")
	case len(b) != size:
		a.t.Fatalf("%d of %d bytes of memory were handed back", len(b), size)
	}
	a.checkClean(b)
	delete(a.lent, &b[0])
	a.held -= size
	for i := range b {
		b[i] = freed
	}
	if len(a.back) < 64 {
		a.back = append(a.back, b)
	}
}

// checkClean looks for plaintext: what the peer sent under protection, and what
// the application writes.
func (a *accountant) checkClean(b []byte) {
	for _, secret := range a.secrets {
		if bytes.Contains(b, secret) {
			a.t.Fatalf("memory was handed back with a protected message in it: %x", b)
		}
	}
	// With null crypto, what is written stands in the output.
	if !record.NullCrypto && bytes.Contains(b, []byte(applicationText)) {
		a.t.Fatalf("memory was handed back with application data in it: %x", b)
	}
}

// settle checks that all of the memory came back.
func (a *accountant) settle() {
	a.t.Helper()
	if a.held != 0 {
		a.t.Errorf("%d bytes of memory were not handed back", a.held)
	}
	for _, b := range a.back {
		if !allAre(b, freed) {
			a.t.Error("memory was written to after it was handed back")
		}
	}
}

// A busyLock is a lock that knows its holder is the only one: whoever waits for
// it here waits for himself.
type busyLock struct {
	t    *testing.T
	held bool
}

func (l *busyLock) Lock() {
	if l.held {
		l.t.Fatal("the machine takes the lock twice")
	}
	l.held = true
}

func (l *busyLock) Unlock() {
	if !l.held {
		l.t.Fatal("the machine gives the lock back twice")
	}
	l.held = false
}
