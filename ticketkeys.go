package tlscore

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// TicketKeys seals what a server has to remember into the tickets that it gives
// to clients, and opens what they bring back. A key seals for a while, and opens
// for longer. It is safe for concurrent use, by any number of Configs.
//
// Whoever has a key can read and forge every ticket under it, and so the
// traffic of TLS 1.2 sessions, the early data of TLS 1.3, and the connections
// that were resumed without a key exchange. Forward secrecy of these therefore
// begins only when the key is gone from every server's memory:
//
//   - [NewRandomTicketKeys] makes keys that exist nowhere else, and drops them.
//   - [NewTicketKeys] takes what the caller made, and Rotate replaces it.
//   - [NewSharedTicketKeys] derives all of them, past ones too, from one secret:
//     it is for fleets, and the secret has to be replaced now and then.
//
// A dropped key is left to the garbage collector, since the standard library's
// ciphers cannot be cleared.
type TicketKeys struct {
	set atomic.Pointer[ticketKeySet]

	mu     sync.Mutex // for changing set, and for secret
	secret []byte     // from which keys are derived, or nil
}

// A ticketKeySet is what can be used at one time. It is never changed.
type ticketKeySet struct {
	period int64 // seconds for which a key seals; 0 when keys change by Rotate only
	epoch  int64 // the number of the period that the set is for
	keys   []*ticketKey
}

type ticketKey struct {
	name   [ticketNameLen]byte
	epoch  int64 // in which it seals
	aead   cipher.AEAD
	sealed atomic.Uint64 // tickets
}

const (
	// DefaultTicketKeyPeriod is for how long a key seals when the Config names no
	// keys.
	DefaultTicketKeyPeriod = 24 * time.Hour

	// ticketPastEpochs is for how many periods a key opens behind the one in which
	// it seals. With the default it is as long as a ticket may live.
	ticketPastEpochs = 7
	// minTicketKeyPeriod leaves room for clocks that differ, since no more than
	// one period ahead is accepted.
	minTicketKeyPeriod = time.Minute
	minTicketSecret    = 32 // bytes
	maxTicketKeys      = 64 // in one list
	// maxTicketSeals bounds the tickets under one key in this process, since each
	// has a random nonce of 96 bits. NIST SP 800-38D, Section 8.3.
	maxTicketSeals = 1 << 32

	// A ticket is the name of the key, the nonce, and what the AEAD made of the
	// plaintext. The name is authenticated, too.
	ticketNameLen  = 16
	ticketNonceLen = 12
	ticketTagLen   = 16
	ticketOverhead = ticketNameLen + ticketNonceLen + ticketTagLen
	maxTicket      = 1<<16 - 1 // opaque ticket<1..2^16-1>. RFC 8446, Section 4.6.1.
)

var errNoTicketKey = errors.New("tlscore: there is no ticket key")

// NewTicketKeys makes TicketKeys of a list of keys: the first seals, all open.
// The keys must be random, and no two may be the same. There are at most 64.
func NewTicketKeys(keys ...[32]byte) (*TicketKeys, error) {
	k := new(TicketKeys)
	return k, k.Rotate(keys...)
}

// NewSharedTicketKeys makes TicketKeys whose keys are derived from secret and
// from the time: all servers with the same secret and period accept each other's
// tickets, and do not have to talk to each other. Each period has its own key,
// which seals; the keys of the seven periods before and, as clocks differ, of the
// one after it open. So a ticket can be opened for at least seven periods. With a
// period of 24 hours that is as long as a ticket may live.
//
// secret must be random, have at least 32 bytes, and be used for nothing else; it
// is copied. period is counted in whole seconds from 1970 on, and is at least a
// minute.
func NewSharedTicketKeys(secret []byte, period time.Duration) (*TicketKeys, error) {
	if len(secret) < minTicketSecret {
		return nil, fmt.Errorf("tlscore: a secret of %d bytes for tickets, not at least %d", len(secret), minTicketSecret)
	}
	k, err := NewRandomTicketKeys(period)
	if err != nil {
		return nil, err
	}
	k.secret = slices.Clone(secret)
	return k, nil
}

// NewRandomTicketKeys makes TicketKeys with a new random key for each period,
// which seals in it and opens for seven periods more. The keys exist in
// this process only: after a restart, and on any other server, the tickets mean a
// full handshake. period is as in [NewSharedTicketKeys].
func NewRandomTicketKeys(period time.Duration) (*TicketKeys, error) {
	if period < minTicketKeyPeriod || period%time.Second != 0 {
		return nil, fmt.Errorf("tlscore: a period of %v for ticket keys", period)
	}
	k := new(TicketKeys)
	k.set.Store(&ticketKeySet{period: int64(period / time.Second), epoch: math.MinInt64})
	return k, nil
}

// Rotate replaces all keys by those given, as NewTicketKeys takes them. Keep the
// previous ones in the list for as long as their tickets shall be accepted. What
// was made by another constructor has fixed keys from then on.
func (k *TicketKeys) Rotate(keys ...[32]byte) error {
	if len(keys) == 0 || len(keys) > maxTicketKeys {
		return fmt.Errorf("tlscore: %d ticket keys", len(keys))
	}
	if err := firstDuplicateKey(keys); err != nil {
		return err
	}
	set := new(ticketKeySet)
	for i := range keys {
		key, err := newTicketKey(keys[i][:], 0)
		if err != nil {
			return err
		}
		set.keys = append(set.keys, key)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.secret)
	k.secret = nil
	k.set.Store(set)
	return nil
}

// firstDuplicateKey returns an error, which shows no key, when one stands twice or
// was left zero.
func firstDuplicateKey(keys [][32]byte) error {
	for i := range keys {
		if keys[i] == [32]byte{} {
			return fmt.Errorf("tlscore: ticket key %d is zero", i)
		}
		if slices.Contains(keys[:i], keys[i]) {
			return fmt.Errorf("tlscore: ticket key %d stands twice", i)
		}
	}
	return nil
}

// Lifetime is for how long a ticket can be opened at least, or 0 when that depends
// on when Rotate is called.
func (k *TicketKeys) Lifetime() time.Duration {
	return time.Duration(k.set.Load().period) * ticketPastEpochs * time.Second
}

// Seal appends a ticket to dst that holds plaintext. dst and plaintext must not
// overlap. random gives the nonce, and the key if this is the first ticket of the
// period under random keys. It fails, and appends nothing, when random does, when
// the ticket would be longer than 65535 bytes, and when the key has sealed 2^32
// tickets.
func (k *TicketKeys) Seal(dst, plaintext []byte, now time.Time, random io.Reader) ([]byte, error) {
	if len(plaintext) > maxTicket-ticketOverhead {
		return dst, fmt.Errorf("tlscore: a ticket for %d bytes", len(plaintext))
	}
	key, err := k.sealing(now, random)
	if err != nil {
		return dst, err
	}
	if key.sealed.Add(1) > maxTicketSeals {
		key.sealed.Store(maxTicketSeals)
		return dst, errors.New("tlscore: the ticket key has sealed too many tickets")
	}
	out := slices.Grow(dst, ticketOverhead+len(plaintext))
	out = append(out, key.name[:]...)
	nonce := out[len(out) : len(out)+ticketNonceLen]
	if _, err := io.ReadFull(random, nonce); err != nil {
		return dst, fmt.Errorf("tlscore: a nonce for a ticket: %w", err)
	}
	return key.aead.Seal(out[:len(out)+ticketNonceLen], nonce, plaintext, key.name[:]), nil
}

// Open appends to dst what was sealed into ticket, and reports whether it is a
// ticket under one of the keys that are accepted now. If not, dst comes back as it
// was: a ticket of another server, an expired, a forged and a malformed one all
// look the same, and mean a full handshake. dst and ticket must not overlap; ticket
// is not changed.
//
// The name in a ticket says to everybody which key it is under, so finding the key
// takes no care to hide it; authentication is in constant time.
func (k *TicketKeys) Open(dst, ticket []byte, now time.Time) (plaintext []byte, ok bool) {
	if len(ticket) < ticketOverhead || len(ticket) > maxTicket {
		return dst, false
	}
	name, nonce, sealed := ticket[:ticketNameLen], ticket[ticketNameLen:][:ticketNonceLen], ticket[ticketNameLen+ticketNonceLen:]
	for _, key := range k.at(now).keys {
		if string(key.name[:]) != string(name) {
			continue
		}
		out, err := key.aead.Open(dst, nonce, sealed, name)
		if err != nil {
			return dst, false
		}
		return out, true
	}
	return dst, false
}

// at returns what can be used now. Without a lock, but for the first call of a
// period.
func (k *TicketKeys) at(now time.Time) *ticketKeySet {
	set := k.set.Load()
	if set.period == 0 || set.epoch == now.Unix()/set.period {
		return set
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.turn(now)
}

// turn makes the set that can be used now, if it is not there already, and drops
// the keys that are not in it. The caller holds the lock.
func (k *TicketKeys) turn(now time.Time) *ticketKeySet {
	set := k.set.Load()
	if set.period == 0 || set.epoch == now.Unix()/set.period {
		return set
	}
	next := &ticketKeySet{period: set.period, epoch: now.Unix() / set.period}
	for epoch := next.epoch + 1; epoch >= next.epoch-ticketPastEpochs; epoch-- {
		key := set.of(epoch)
		if key == nil && k.secret != nil {
			key = deriveTicketKey(k.secret, set.period, epoch)
		}
		if key != nil {
			next.keys = append(next.keys, key)
		}
	}
	k.set.Store(next)
	return next
}

// of returns the key of an epoch.
func (s *ticketKeySet) of(epoch int64) *ticketKey {
	for _, key := range s.keys {
		if key.epoch == epoch {
			return key
		}
	}
	return nil
}

// sealing returns the key that seals now.
func (k *TicketKeys) sealing(now time.Time, random io.Reader) (*ticketKey, error) {
	set := k.at(now)
	if set.period == 0 {
		return set.keys[0], nil
	}
	if key := set.of(set.epoch); key != nil {
		return key, nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	set = k.turn(now)
	if set.period == 0 { // rotated meanwhile
		return set.keys[0], nil
	}
	if key := set.of(set.epoch); key != nil {
		return key, nil
	}
	if k.secret != nil {
		return nil, errNoTicketKey
	}
	var secret [32]byte
	defer clear(secret[:])
	if _, err := io.ReadFull(random, secret[:]); err != nil {
		return nil, fmt.Errorf("tlscore: a ticket key: %w", err)
	}
	key, err := newTicketKey(secret[:], set.epoch)
	if err != nil {
		return nil, err
	}
	next := &ticketKeySet{period: set.period, epoch: set.epoch, keys: append([]*ticketKey{key}, set.keys...)}
	k.set.Store(next)
	return key, nil
}

// deriveTicketKey returns the key of one period, or nil when that cannot be.
func deriveTicketKey(secret []byte, period, epoch int64) *ticketKey {
	info := []byte("tlscore ticket period ")
	info = binary.BigEndian.AppendUint64(info, uint64(period))
	info = binary.BigEndian.AppendUint64(info, uint64(epoch))
	derived, err := hkdf.Key(sha256.New, secret, nil, string(info), 32)
	if err != nil {
		return nil
	}
	defer clear(derived)
	key, err := newTicketKey(derived, epoch)
	if err != nil {
		return nil
	}
	return key
}

// newTicketKey expands 32 bytes into a name and a key, so that the name tells
// nothing about the key and needs no agreement.
func newTicketKey(secret []byte, epoch int64) (*ticketKey, error) {
	expanded, err := hkdf.Key(sha256.New, secret, nil, "tlscore ticket key", ticketNameLen+32)
	if err != nil {
		return nil, err
	}
	defer clear(expanded)
	block, err := aes.NewCipher(expanded[ticketNameLen:])
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	return &ticketKey{name: [ticketNameLen]byte(expanded), epoch: epoch, aead: aead}, nil
}
