package fuzz

import (
	"bytes"
	"crypto/tls"
	"maps"
	"slices"
	"testing"
	"time"

	"tlscore.example/tlscore"
)

// FuzzParseSession reads sessions. What parses is written back byte for byte,
// within the limits that its documentation names, and no part of it can be left
// out.
func FuzzParseSession(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		given := bytes.Clone(b)
		s, err := tlscore.ParseSession(b)
		if !bytes.Equal(b, given) {
			t.Fatalf("ParseSession changed what it was given: %x became %x", given, b)
		}
		if err != nil {
			if s != nil {
				t.Fatalf("%+v with %v", s, err)
			}
			return
		}
		if len(s.Ticket) > 1<<16-1 || len(s.SessionID) > 32 || s.Lifetime > tlscore.MaxSessionLifetime || len(s.Secret) < 32 {
			t.Fatalf("beyond a limit: %+v", s)
		}
		if s.Expires().After(s.CreatedAt.Add(7*24*time.Hour)) || s.Expires().After(s.AuthenticatedAt.Add(7*24*time.Hour)) {
			t.Fatalf("expires %v: %+v", s.Expires(), s)
		}
		again, err := s.AppendBinary([]byte("prefix"))
		if err != nil || !bytes.Equal(again, append([]byte("prefix"), given...)) {
			t.Fatalf("%x\nwas written as\n%x, %v", given, again, err)
		}
		for _, n := range []int{0, 1, len(b) / 2, len(b) - 1} {
			if s, err := tlscore.ParseSession(b[:n]); err == nil {
				t.Fatalf("the first %d of %d bytes are %+v", n, len(b), s)
			}
		}
		s.Wipe()
		if !bytes.Equal(b, given) {
			t.Fatal("Wipe reached into what was parsed")
		}
	})
}

// FuzzTicketKeys opens tickets with fixed and with derived keys. None that was
// not sealed opens, and what is sealed opens until it is changed.
func FuzzTicketKeys(f *testing.F) {
	addSeeds(f)
	at := time.UnixMilli(1700000000123)
	fixed, err := tlscore.NewTicketKeys([32]byte{1}, [32]byte{2})
	if err != nil {
		f.Fatal(err)
	}
	shared, err := tlscore.NewSharedTicketKeys(make([]byte, 32), time.Hour)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, ticket []byte) {
		for _, keys := range []*tlscore.TicketKeys{fixed, shared} {
			given := bytes.Clone(ticket)
			if got, ok := keys.Open([]byte("dst"), ticket, at); ok || !ok && string(got) != "dst" {
				t.Fatalf("Open gave %q, %v", got, ok)
			}
			if !bytes.Equal(ticket, given) {
				t.Fatal("Open changed the ticket")
			}
			sealed, err := keys.Seal(nil, ticket, at, zeros{})
			if len(ticket) > 1<<16-1-44 {
				if err == nil {
					t.Fatalf("a ticket of %d bytes", len(sealed))
				}
				continue
			}
			if got, ok := keys.Open(nil, sealed, at); err != nil || !ok || !bytes.Equal(got, ticket) {
				t.Fatalf("Open gave %x, %v; Seal %v", got, ok, err)
			}
			sealed[len(ticket)%len(sealed)] ^= 1
			if got, ok := keys.Open(nil, sealed, at); ok || len(got) != 0 {
				t.Fatalf("a changed ticket opens: %x", got)
			}
		}
	})
}

// sampleSessions are what a client and a server keep, of both versions.
func sampleSessions() map[string]*tlscore.Session {
	chain := certificates[2][1].Certificate
	at := time.UnixMilli(1700000000123)
	return map[string]*tlscore.Session{
		"client13": {
			Version: tls.VersionTLS13, CipherSuite: tls.TLS_AES_128_GCM_SHA256, Secret: bytes.Repeat([]byte{1}, 32),
			CreatedAt: at, AuthenticatedAt: at, Lifetime: 7200, AgeAdd: 0x12345678, Ticket: bytes.Repeat([]byte{2}, 64),
			MaxEarlyData: 16384, ALPN: "h2", ServerName: "localhost", CurveID: tls.X25519MLKEM768, ConfigID: [32]byte{3},
			PeerCertificates: chain, VerifiedChains: [][][]byte{chain, append(chain[:len(chain):len(chain)], []byte{9})},
			OCSPResponse: []byte{4, 5}, SCTs: [][]byte{{6}, {7, 8}},
		},
		"server13": {
			Version: tls.VersionTLS13, CipherSuite: tls.TLS_AES_256_GCM_SHA384, Secret: bytes.Repeat([]byte{1}, 48), IsServer: true,
			CreatedAt: at, AuthenticatedAt: at.Add(-time.Hour), Lifetime: tlscore.MaxSessionLifetime, AppData: []byte("application"),
		},
		"client12": {
			Version: tls.VersionTLS12, CipherSuite: tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, Secret: bytes.Repeat([]byte{1}, 48),
			CreatedAt: at, AuthenticatedAt: at, Lifetime: 300, SessionID: bytes.Repeat([]byte{2}, 32), ExtendedMasterSecret: true,
			PeerCertificates: chain[:1], ServerName: "localhost",
		},
	}
}

func sessionSeeds() (list []seed) {
	sessions := sampleSessions()
	for _, name := range slices.Sorted(maps.Keys(sessions)) {
		b, err := sessions[name].MarshalBinary()
		if err != nil {
			panic(err)
		}
		list = append(list, seed{name, [][]byte{b}})
	}
	return list
}

// ticketSeeds are names of the keys with too little behind them, and a session.
func ticketSeeds() (list []seed) {
	fixed, err := tlscore.NewTicketKeys([32]byte{1})
	if err != nil {
		panic(err)
	}
	ticket, err := fixed.Seal(nil, nil, time.Time{}, zeros{})
	if err != nil {
		panic(err)
	}
	session := sessionSeeds()[0].args[0]
	forged := append(ticket[:28:28], make([]byte, 40)...)
	return []seed{{"name", [][]byte{ticket[:16]}}, {"short", [][]byte{ticket[:43]}}, {"forged", [][]byte{forged}}, {"session", [][]byte{session}}}
}
