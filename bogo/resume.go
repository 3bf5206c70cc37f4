package main

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"tlscore.example/tlscore"
)

// session is what the connections of one test share: what a client and a server
// keep to resume, and a clock, which stands still until -resumption-delay moves it.
type session struct {
	cache clientCache
	store countingStore
	keys  *tlscore.TicketKeys
	now   time.Time
}

func newSession() (*session, error) {
	keys, err := tlscore.NewRandomTicketKeys(24 * time.Hour)
	return &session{
		now:   time.Now().Truncate(time.Millisecond), // as ages of tickets are counted
		keys:  keys,
		cache: clientCache{SessionCache: tlscore.NewLRUSessionCache(0, 0)},
		store: countingStore{SessionStore: tlscore.NewSessionStore(0)},
	}, err
}

// clientCache is a cache that counts, and remembers the last session.
type clientCache struct {
	tlscore.SessionCache
	puts int
	last *tlscore.Session
}

func (c *clientCache) Put(key string, session []byte) {
	c.puts++
	if s, err := tlscore.ParseSession(session); err == nil {
		c.last = s
	}
	c.SessionCache.Put(key, session)
}

// countingStore is a store that counts.
type countingStore struct {
	tlscore.SessionStore
	puts int
}

func (s *countingStore) Put(id, session []byte, now, expires time.Time) {
	s.puts++
	s.SessionStore.Put(id, session, now, expires)
}

const (
	// maxEarlyData is what BoringSSL's servers accept.
	maxEarlyData = 14336
	// largestEarlyData is more than any test writes.
	largestEarlyData = 1 << 20
)

func (c *conn) setResumption(cfg *tlscore.Config) error {
	o, s := c.o, c.s
	cfg.Time = func() time.Time { return s.now }
	cfg.SessionTicketsDisabled = o.noTicket
	if !o.server {
		cfg.SessionCache = &s.cache
		cfg.EarlyData = o.enableEarlyData
		cfg.Limits.EarlyData = largestEarlyData
		return nil
	}
	cfg.TicketKeys = s.keys
	if o.enableEarlyData {
		cfg.MaxEarlyData = maxEarlyData
		cfg.AcceptEarlyData = func(tlscore.EarlyDataInfo) bool { return true }
	}
	if o.useTicketCallback {
		return c.setTicketCallbacks(cfg)
	}
	return nil
}

// setTicketCallbacks seals tickets like the machine, but in the application.
func (c *conn) setTicketCallbacks(cfg *tlscore.Config) error {
	if c.o.renewTicket {
		return unsupported("-renew-ticket")
	}
	cfg.TicketKeys = nil
	cfg.SealTicket = func(session []byte) ([]byte, error) {
		if c.o.skipTicket {
			return nil, nil
		}
		return c.s.keys.Seal(nil, session, cfg.Time(), rand.Reader)
	}
	cfg.OpenTicket = func(ticket []byte) ([]byte, error) {
		session, _ := c.s.keys.Open(nil, ticket, cfg.Time())
		return session, nil
	}
	return nil
}

// keyLog collects what Config.KeyLogWriter gets.
type keyLog struct{ strings.Builder }

// trafficSecrets returns the first secrets of application data of TLS 1.3.
func (l *keyLog) trafficSecrets(server bool) (read, write []byte, err error) {
	if read, err = l.secret("SERVER_TRAFFIC_SECRET_0"); err != nil {
		return nil, nil, err
	}
	if write, err = l.secret("CLIENT_TRAFFIC_SECRET_0"); err != nil {
		return nil, nil, err
	}
	if server {
		read, write = write, read
	}
	return read, write, nil
}

func (l *keyLog) secret(label string) ([]byte, error) {
	for line := range strings.Lines(l.String()) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == label {
			return hex.DecodeString(fields[2])
		}
	}
	return nil, fmt.Errorf("no %s in the key log", label)
}
