package tlscore

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"slices"
	"time"
)

// The settings of a config that resumption depends on, and the digest of those that a
// session is bound to.

// checkResumption refuses settings of resumption that contradict each other, and
// computes what follows from them.
func (c *Config) checkResumption(d *derived) error {
	sources := 0
	for _, set := range []bool{c.TicketKeys != nil, c.SealTicket != nil, c.SessionStore != nil} {
		if set {
			sources++
		}
	}
	switch {
	case c.TicketKeys != nil && c.TicketKeys.set.Load() == nil:
		return errors.New("TicketKeys has no keys: it comes from one of its constructors")
	case sources > 1:
		return errors.New("only one of TicketKeys, SealTicket and SessionStore can be set")
	case (c.SealTicket == nil) != (c.OpenTicket == nil):
		return errors.New("SealTicket and OpenTicket belong together")
	case c.TicketCount > maxTicketCount:
		return fmt.Errorf("TicketCount is %d, and at most %d", c.TicketCount, maxTicketCount)
	case c.TicketLifetime != 0 && c.TicketLifetime < time.Second:
		return fmt.Errorf("TicketLifetime is %v, and at least a second", c.TicketLifetime)
	case c.TicketLifetime > MaxSessionLifetime*time.Second:
		return fmt.Errorf("TicketLifetime is %v, and at most seven days", c.TicketLifetime)
	case c.MaxEarlyData > 0 && c.SessionTicketsDisabled:
		return errors.New("MaxEarlyData needs tickets, which SessionTicketsDisabled forbids")
	case c.MaxEarlyData > 0 && c.ReplayGuard == nil && c.AcceptEarlyData == nil:
		return errors.New("MaxEarlyData needs a ReplayGuard, or AcceptEarlyData")
	}
	d.ticketLifetime = uint32(c.TicketLifetime / time.Second)
	if c.TicketLifetime == 0 {
		d.ticketLifetime = MaxSessionLifetime
	}
	d.clientID, d.serverID = c.sessionSettings(false), c.sessionSettings(true)
	// The name is there for whoever looks into a cache; the digest has it, too.
	d.cacheKey = c.ServerName + " " + fmt.Sprintf("%x", d.clientID)
	if d.ticketKeys = c.TicketKeys; sources > 0 {
		return nil
	}
	var err error
	d.ticketKeys, err = NewRandomTicketKeys(DefaultTicketKeyPeriod)
	return err
}

// sessionSettings digests the settings under which a session of that role is made: what
// decides which peer is accepted, and for what. Under others it is not resumed. What
// callbacks do cannot be seen, only that they are there; VerifyConnection is asked
// on resumption, too.
func (c *Config) sessionSettings(server bool) (id [sha256.Size]byte) {
	h := sha256.New()
	version := func(v, otherwise uint16) uint16 {
		if v == 0 {
			return otherwise
		}
		return v
	}
	digestText(h, "tlscore session settings 2")
	digestBools(h, server, c.VerifyPeerCertificate != nil, c.VerifyConnection != nil)
	digestNumbers(h, version(c.MinVersion, tls.VersionTLS12), version(c.MaxVersion, tls.VersionTLS13))
	digestNumbers(h, uint16(len(c.NextProtos)))
	for _, proto := range c.NextProtos {
		digestText(h, proto)
	}
	for _, schemes := range [][]tls.SignatureScheme{c.SignatureSchemes, c.SignatureSchemesCert} {
		digestNumbers(h, uint16(len(schemes)))
		digestNumbers(h, convert[uint16](schemes)...)
	}
	if server {
		digestNumbers(h, uint16(c.ClientAuth))
		digestPool(h, c.ClientCAs)
		return [sha256.Size]byte(h.Sum(nil))
	}
	digestText(h, c.ServerName)
	digestBools(h, c.InsecureSkipVerify, c.GetClientCertificate != nil)
	digestBools(h, c.OCSPStapling, c.VerifyOCSPResponse != nil, c.SignedCertificateTimestamps)
	digestPool(h, c.RootCAs)
	// The server takes a client that resumes for the one that it knows.
	for i := range c.Certificates {
		digestText(h, string(c.Certificates[i].Certificate[0]))
	}
	return [sha256.Size]byte(h.Sum(nil))
}

func digestText(h hash.Hash, s string) {
	h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(s))))
	h.Write([]byte(s))
}

func digestNumbers(h hash.Hash, list ...uint16) {
	for _, v := range list {
		h.Write(binary.BigEndian.AppendUint16(nil, v))
	}
}

func digestBools(h hash.Hash, list ...bool) {
	for _, v := range list {
		b := byte(0)
		if v {
			b = 1
		}
		h.Write([]byte{b})
	}
}

// digestPool adds the names of authorities, in any order. A pool shows no more of
// them, but a chain is checked against the pool itself before it is trusted again, see
// trusted.
func digestPool(h hash.Hash, pool *x509.CertPool) {
	digestBools(h, pool != nil)
	if pool == nil {
		return
	}
	var names []string
	//lint:ignore SA1019 nothing else shows what a pool has
	for _, name := range pool.Subjects() {
		names = append(names, string(name))
	}
	slices.Sort(names)
	digestNumbers(h, uint16(len(names)))
	for _, name := range names {
		digestText(h, name)
	}
}

// resumes reports whether a client with this config resumes sessions.
func (c *Config) resumes() bool { return c.SessionCache != nil && !c.SessionTicketsDisabled }
