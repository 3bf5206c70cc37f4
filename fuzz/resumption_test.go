package fuzz

import (
	"bytes"
	"crypto/tls"
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
	for name, s := range sampleSessions() {
		b, err := s.MarshalBinary()
		if err != nil {
			panic(err)
		}
		list = append(list, seed{name, [][]byte{b}})
	}
	return list
}
