package tlscore

import (
	"crypto/sha256"
	"sync"
	"time"
)

// ReplayGuard is a server's memory of the early data that it has accepted, against
// those who send it a second time. An implementation must be safe for concurrent use.
// Servers that accept each other's tickets must share one, or else early data can be
// replayed once to each of them. RFC 8446, Section 8.
type ReplayGuard interface {
	// Fresh records id, and reports whether it was not recorded before: then early
	// data is accepted. Asking and recording must be one atomic step. The machine
	// gives a binder that it has verified as id, and the time up to which a ClientHello
	// with it can pass as recent; behind that, the id may be forgotten. The same id
	// comes with the same time always. False, or an error, means that the early data
	// is rejected and the handshake goes on without: so must everything that is in
	// doubt. An implementation copies id if it keeps it.
	Fresh(id []byte, now, expires time.Time) (bool, error)
}

// What the freshness of early data depends on.
const (
	// ticketAgeTolerance is by how much a ClientHello may come earlier or later than
	// the age of its ticket says.
	//
	//	"For clients on the Internet, this
	//	implies windows on the order of ten seconds to account for errors in
	//	clocks and variations in measurements"
	//
	// RFC 8446, Section 8.3. The estimate of the round trip is part of it.
	ticketAgeTolerance = 10 * time.Second

	// DefaultReplayWindow is for how long one ClientHello can pass as recent.
	DefaultReplayWindow = 2 * ticketAgeTolerance

	defaultReplayIDs = 128 << 10
)

// obfuscatedAge is what a client says about the age of the ticket of s.
//
//	"The "obfuscated_ticket_age" field of each PskIdentity contains an
//	obfuscated version of the ticket age formed by taking the age in
//	milliseconds and adding the "ticket_age_add" value that was included
//	with the ticket (see Section 4.6.1), modulo 2^32."
//
// RFC 8446, Section 4.2.11.1.
func obfuscatedAge(s *Session, now time.Time) uint32 {
	return uint32(now.Sub(s.CreatedAt).Milliseconds()) + s.AgeAdd
}

// earlyDataExpires judges the age that a client has given for the ticket of s. It
// returns when a ClientHello that says so stops being recent, which depends on the
// ClientHello alone, and whether it is recent now and its ticket within its lifetime.
//
//	"The server can determine
//	the expected_arrival_time of the ClientHello as:
//
//	expected_arrival_time = adjusted_creation_time + clients_ticket_age
//
//	When a new ClientHello is received, the expected_arrival_time is then
//	compared against the current server wall clock time and if they
//	differ by more than a certain amount, 0-RTT is rejected, though the
//	1-RTT handshake can be allowed to complete."
//
// RFC 8446, Section 8.3.
func earlyDataExpires(s *Session, obfuscated uint32, now time.Time) (expires time.Time, recent bool) {
	age := obfuscated - s.AgeAdd // modulo 2^32
	arrival := s.CreatedAt.Add(time.Duration(age) * (time.Second / 1000))
	expires = arrival.Add(ticketAgeTolerance)
	early := now.Before(arrival.Add(-ticketAgeTolerance))
	return expires, !early && now.Before(expires) && now.Before(s.Expires())
}

// ReplayWindow is a [ReplayGuard] in the memory of one process. It is exact, in both
// directions: it never takes an id for fresh twice, however the clock is set, and
// takes no id for recorded that was not. What it cannot tell it does not take for
// fresh: when it is full, when an id expires too late to be remembered for so long, and
// for one window from the first call on, since what was accepted before a restart is
// forgotten.
//
//	"When implementations are freshly started, they SHOULD reject 0-RTT as
//	long as any portion of their recording window overlaps the startup
//	time."
//
// RFC 8446, Section 8.2.
type ReplayWindow struct {
	window time.Duration
	max    int

	mu sync.Mutex
	// Ids are recorded in current. When it is one window old it becomes previous. By the
	// time that current is as old again, all of previous has expired.
	current, previous replayGeneration
	// Every id that was forgotten, or was recorded before the start, expired at
	// forgotten or before.
	forgotten time.Time
	started   bool
}

type replayGeneration struct {
	start time.Time
	last  time.Time // when the last of its ids expires
	ids   map[[sha256.Size]byte]struct{}
}

// NewReplayWindow makes a ReplayWindow that remembers ids for as long as window, at
// most max at a time. Zero or less means the default: 20 seconds, which is what
// machines need, and 131072 ids, at some 80 bytes each. An id is in memory for two windows
// at most.
func NewReplayWindow(window time.Duration, max int) *ReplayWindow {
	if window <= 0 {
		window = DefaultReplayWindow
	}
	if max <= 0 {
		max = defaultReplayIDs
	}
	return &ReplayWindow{window: window, max: max}
}

// Fresh implements ReplayGuard. Its error is always nil.
func (w *ReplayWindow) Fresh(id []byte, now, expires time.Time) (bool, error) {
	key := sha256.Sum256(id)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.turn(now)
	if !now.Before(expires) || expires.After(now.Add(w.window)) || !expires.After(w.forgotten) {
		return false, nil
	}
	if w.current.has(key) || w.previous.has(key) {
		return false, nil
	}
	if len(w.current.ids)+len(w.previous.ids) >= w.max {
		return false, nil
	}
	w.current.add(key, expires)
	return true, nil
}

// turn begins a new generation when the current one is one window old, and forgets
// the previous one when all of it has expired. Both happen when somebody asks: the
// clock may have gone on for any time.
func (w *ReplayWindow) turn(now time.Time) {
	if !w.started {
		w.started = true
		w.current.start = now
		w.forgotten = now.Add(w.window)
		return
	}
	if !now.Before(w.current.start.Add(w.window)) {
		w.forget(&w.previous)
		w.previous, w.current = w.current, replayGeneration{start: now}
	}
	if !now.Before(w.previous.last) {
		w.forget(&w.previous)
	}
}

// forget drops the ids of g. Its maps are not used again, so that their memory goes
// back.
func (w *ReplayWindow) forget(g *replayGeneration) {
	if g.last.After(w.forgotten) {
		w.forgotten = g.last
	}
	*g = replayGeneration{}
}

func (g *replayGeneration) has(key [sha256.Size]byte) bool {
	_, ok := g.ids[key]
	return ok
}

func (g *replayGeneration) add(key [sha256.Size]byte, expires time.Time) {
	if g.ids == nil {
		g.ids = make(map[[sha256.Size]byte]struct{})
	}
	g.ids[key] = struct{}{}
	if expires.After(g.last) {
		g.last = expires
	}
}
