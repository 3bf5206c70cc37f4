package tlscore

import (
	"bytes"
	"container/list"
	"slices"
	"sync"
	"time"
)

// SessionCache is where clients keep sessions, as bytes, between connections. An
// implementation must be safe for concurrent use, bounded, and as careful with the
// bytes as with a private key: they hold secrets.
//
// The machine makes the key, from the server's name, the application protocols and
// the settings that a session is bound to, and it judges what it takes: whether
// the session has expired is not the cache's concern.
type SessionCache interface {
	// Put adds a session for key. Several may be kept, as a server issues several
	// tickets. The cache owns session from then on. It may keep nothing.
	Put(key string, session []byte)
	// Take removes a session for key, the newest first, and returns it; nil
	// if there is none. The caller owns it. Taking must be atomic: no two callers
	// get the same.
	//
	//	"Clients SHOULD NOT reuse a ticket for multiple connections."
	//
	// RFC 8446, Appendix C.4. A session of TLS 1.2 is put back after use.
	Take(key string) []byte
}

// The defaults of NewLRUSessionCache and NewSessionStore.
const (
	defaultCacheServers   = 256
	defaultCacheSessions  = 4 // for each server
	defaultStoredSessions = 16 << 10
)

// NewLRUSessionCache makes a SessionCache in memory. It keeps sessions for at most
// so many servers, and drops the one that was not used for the longest time; for
// each server it keeps so many sessions, and drops the oldest. Zero or less means the
// default: 256 servers, and 4 sessions for each. A session of more than 256 KiB is
// not kept. Sessions that are dropped are cleared.
func NewLRUSessionCache(servers, perServer int) SessionCache {
	if servers <= 0 {
		servers = defaultCacheServers
	}
	if perServer <= 0 {
		perServer = defaultCacheSessions
	}
	return &lruSessionCache{servers: servers, perServer: perServer, entries: make(map[string]*list.Element)}
}

type lruSessionCache struct {
	servers, perServer int

	mu      sync.Mutex
	entries map[string]*list.Element
	order   list.List // of *cacheEntry, the one that was used last in front
}

// A cacheEntry has what is kept for one key: never nothing, the newest last.
type cacheEntry struct {
	key      string
	sessions [][]byte
}

// Put implements SessionCache.
func (c *lruSessionCache) Put(key string, session []byte) {
	if len(session) == 0 || len(session) > maxSession {
		clear(session)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	element := c.entries[key]
	if element == nil {
		if len(c.entries) >= c.servers {
			c.evict()
		}
		element = c.order.PushFront(&cacheEntry{key: key})
		c.entries[key] = element
	}
	c.order.MoveToFront(element)
	entry := element.Value.(*cacheEntry)
	if len(entry.sessions) >= c.perServer {
		clear(entry.sessions[0])
		entry.sessions = slices.Delete(entry.sessions, 0, 1)
	}
	entry.sessions = append(entry.sessions, session)
}

// evict drops what was not used for the longest time.
func (c *lruSessionCache) evict() {
	entry := c.order.Remove(c.order.Back()).(*cacheEntry)
	delete(c.entries, entry.key)
	for _, session := range entry.sessions {
		clear(session)
	}
}

// Take implements SessionCache.
func (c *lruSessionCache) Take(key string) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	element := c.entries[key]
	if element == nil {
		return nil
	}
	entry := element.Value.(*cacheEntry)
	last := len(entry.sessions) - 1
	session := entry.sessions[last]
	entry.sessions[last] = nil
	entry.sessions = entry.sessions[:last]
	if last == 0 {
		c.order.Remove(element)
		delete(c.entries, key)
		return session
	}
	c.order.MoveToFront(element)
	return session
}

// SessionStore is where a server keeps sessions, as bytes, when it does not put
// them into the tickets: a ticket is then an identifier only. Taking a session makes
// its ticket good for one use, and gives forward secrecy to what was resumed with it.
// RFC 8446, Section 8.1.
//
// An implementation must be safe for concurrent use, bounded, and as careful with the
// bytes as with a private key. One that is shared between servers can answer from
// any of them; what it cannot find or reach means a full handshake.
type SessionStore interface {
	// Put keeps session under id until expires. The store copies id, and owns session
	// from then on. It may keep nothing.
	Put(id, session []byte, now, expires time.Time)
	// Take removes the session under id and returns it, nil if there is none or it
	// has expired. The caller owns it. Taking must be atomic: no two callers get the
	// same. It also serves to forget a session.
	Take(id []byte, now time.Time) []byte
	// Get returns a copy of the session under id, which stays: a session of TLS 1.2
	// may be resumed any number of times. Otherwise it is like Take.
	Get(id []byte, now time.Time) []byte
}

// NewSessionStore makes a SessionStore in memory, of at most max sessions; zero or
// less means 16384. When it is full the oldest is dropped. A session of more than 256
// KiB, or under an id of more than 255 bytes, is not kept. Sessions that are dropped
// are cleared: an expired one at the latest when the sessions that are older are gone
// and another one is put or asked for.
func NewSessionStore(max int) SessionStore {
	if max <= 0 {
		max = defaultStoredSessions
	}
	return &sessionStore{max: max, entries: make(map[string]*list.Element)}
}

type sessionStore struct {
	max int

	mu      sync.Mutex
	entries map[string]*list.Element
	order   list.List // of *storedSession, the oldest in front
}

type storedSession struct {
	id      string
	session []byte
	expires time.Time
}

// maxStoredID bounds the ids of a sessionStore.
const maxStoredID = 255

// Put implements SessionStore.
func (s *sessionStore) Put(id, session []byte, now, expires time.Time) {
	if len(session) == 0 || len(session) > maxSession || len(id) > maxStoredID || !now.Before(expires) {
		clear(session)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(now)
	s.drop(s.entries[string(id)])
	if len(s.entries) >= s.max {
		s.drop(s.order.Front())
	}
	stored := &storedSession{string(id), session, expires}
	s.entries[stored.id] = s.order.PushBack(stored)
}

// Take implements SessionStore.
func (s *sessionStore) Take(id []byte, now time.Time) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(now)
	element := s.live(id, now)
	if element == nil {
		return nil
	}
	return s.remove(element).session
}

// Get implements SessionStore.
func (s *sessionStore) Get(id []byte, now time.Time) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(now)
	element := s.live(id, now)
	if element == nil {
		return nil
	}
	return bytes.Clone(element.Value.(*storedSession).session)
}

// live returns the entry of id, and drops it if it has expired.
func (s *sessionStore) live(id []byte, now time.Time) *list.Element {
	element := s.entries[string(id)]
	if element == nil || now.Before(element.Value.(*storedSession).expires) {
		return element
	}
	s.drop(element)
	return nil
}

// expire drops the oldest sessions as far as they have expired. Lifetimes are mostly
// the same, so that these are nearly all that have.
func (s *sessionStore) expire(now time.Time) {
	for front := s.order.Front(); front != nil; front = s.order.Front() {
		if now.Before(front.Value.(*storedSession).expires) {
			return
		}
		s.drop(front)
	}
}

// drop removes an entry, if there is one, and clears the session.
func (s *sessionStore) drop(element *list.Element) {
	if element != nil {
		clear(s.remove(element).session)
	}
}

func (s *sessionStore) remove(element *list.Element) *storedSession {
	stored := s.order.Remove(element).(*storedSession)
	delete(s.entries, stored.id)
	return stored
}
