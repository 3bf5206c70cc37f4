package tlscore

import (
	"bytes"
	"crypto/tls"
	"encoding/hex"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// fullSession is a session in which every field is set, and certificates repeat.
func fullSession() *Session {
	leaf, middle, root, other := []byte("leaf"), []byte("middle"), []byte("root"), []byte("other root")
	return &Session{
		Version:          tls.VersionTLS13,
		CipherSuite:      tls.TLS_AES_128_GCM_SHA256,
		Secret:           bytes.Repeat([]byte{0xa5}, 32),
		IsServer:         true,
		CreatedAt:        time.UnixMilli(1700000000123).UTC(),
		AuthenticatedAt:  time.UnixMilli(1699999999456).UTC(),
		Lifetime:         7200,
		AgeAdd:           0xfedcba98,
		Ticket:           []byte("ticket"),
		SessionID:        []byte("id"),
		MaxEarlyData:     16384,
		ALPN:             "h2",
		ServerName:       "example.com",
		CurveID:          tls.X25519,
		ConfigID:         [32]byte{1, 2, 3},
		PeerCertificates: [][]byte{leaf, middle},
		VerifiedChains:   [][][]byte{{leaf, middle, root}, {leaf, other}},
		OCSPResponse:     []byte("good"),
		SCTs:             [][]byte{[]byte("log 1"), []byte("log 2")},
		AppData:          []byte("application"),
	}
}

func TestSessionFormat(t *testing.T) {
	const want = "01" + "01" + "0304" + "1301" + "001d" + // format, IsServer, Version, CipherSuite, CurveID
		"0000018bcfe5687b" + "0000018bcfe565e0" + // CreatedAt, AuthenticatedAt
		"00001c20" + "fedcba98" + "00004000" + // Lifetime, AgeAdd, MaxEarlyData
		"0102030000000000000000000000000000000000000000000000000000000000" +
		"20" + "a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5" +
		"02" + "6964" + "02" + "6832" + "0b" + "6578616d706c652e636f6d" + // id, ALPN, ServerName
		"000006" + "7469636b6574" + "00000b" + "6170706c69636174696f6e" + "000004" + "676f6f64" + // Ticket, AppData, OCSP
		"02" + "000005" + "6c6f672031" + "000005" + "6c6f672032" + // SCTs
		"04" + "000004" + "6c656166" + "000006" + "6d6964646c65" + "000004" + "726f6f74" + "00000a" + "6f7468657220726f6f74" +
		"02" + "0001" + "02" + "03" + "000102" + "02" + "0003" // indices: the peer's, two chains
	got, err := fullSession().MarshalBinary()
	if err != nil || hex.EncodeToString(got) != want {
		t.Errorf("%v\n%x, want\n%s", err, got, want)
	}
	if cap(got) > len(got)+64 {
		t.Errorf("%d bytes were allocated for %d", cap(got), len(got))
	}
	room := append(make([]byte, 0, 1024), "before"...)
	if got, err := fullSession().AppendBinary(room); err != nil || string(got[:6]) != "before" ||
		hex.EncodeToString(got[6:]) != want || &got[0] != &room[0] {
		t.Errorf("appended: %x, %v", got, err)
	}
}

func TestSessionReadsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSession(t)
		b, err := s.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		given := bytes.Clone(b)
		got, err := ParseSession(b)
		if err != nil || !reflect.DeepEqual(got, s) {
			t.Fatalf("%+v\nbecame\n%+v, %v", s, got, err)
		}
		clear(b) // the caller's
		again, err := got.MarshalBinary()
		if err != nil || !bytes.Equal(again, given) {
			t.Fatalf("%x\nwas written again as\n%x, %v", given, again, err)
		}
	})
}

func drawSession(t *rapid.T) *Session {
	blob := func(name string, min, max int) []byte {
		b := rapid.SliceOfN(rapid.Byte(), min, max).Draw(t, name)
		if len(b) == 0 {
			return nil
		}
		return b
	}
	instant := func(name string) time.Time {
		return time.UnixMilli(rapid.Int64Range(0, 253402300799999).Draw(t, name)).UTC()
	}
	s := &Session{
		Version:              rapid.SampledFrom([]uint16{tls.VersionTLS12, tls.VersionTLS13}).Draw(t, "version"),
		CipherSuite:          rapid.Uint16().Draw(t, "suite"),
		Secret:               blob("secret", 48, 48),
		IsServer:             rapid.Bool().Draw(t, "server"),
		ExtendedMasterSecret: rapid.Bool().Draw(t, "extended"),
		CreatedAt:            instant("created"),
		AuthenticatedAt:      instant("authenticated"),
		Lifetime:             rapid.Uint32Range(0, MaxSessionLifetime).Draw(t, "lifetime"),
		AgeAdd:               rapid.Uint32().Draw(t, "age add"),
		Ticket:               blob("ticket", 0, 300),
		SessionID:            blob("id", 0, 32),
		MaxEarlyData:         rapid.Uint32().Draw(t, "early data"),
		ALPN:                 string(blob("alpn", 0, 255)),
		ServerName:           string(blob("name", 0, 255)),
		CurveID:              tls.CurveID(rapid.Uint16().Draw(t, "curve")),
		OCSPResponse:         blob("ocsp", 0, 300),
		AppData:              blob("app data", 0, 300),
	}
	if s.Version == tls.VersionTLS13 {
		s.ExtendedMasterSecret = false
		s.Secret = s.Secret[:rapid.SampledFrom([]int{32, 48}).Draw(t, "hash")]
	}
	copy(s.ConfigID[:], blob("config", 32, 32))
	for range rapid.IntRange(0, 3).Draw(t, "scts") {
		s.SCTs = append(s.SCTs, blob("sct", 1, 40))
	}
	// Few different certificates, so that they repeat.
	certificates := rapid.SliceOfN(rapid.SampledFrom([][]byte{{1}, {2, 2}, {3}, {4, 4, 4}}), 1, 4)
	if rapid.Bool().Draw(t, "peer") {
		s.PeerCertificates = certificates.Draw(t, "peer certificates")
	}
	for range rapid.IntRange(0, 3).Draw(t, "chains") {
		s.VerifiedChains = append(s.VerifiedChains, certificates.Draw(t, "chain"))
	}
	return s
}

func TestParseSessionIsStrict(t *testing.T) {
	whole, err := fullSession().MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		if s, err := ParseSession(whole[:n]); err == nil || s != nil {
			t.Errorf("the first %d of %d bytes are a session", n, len(whole))
		}
	}
	if _, err := ParseSession(append(bytes.Clone(whole), 0)); err == nil {
		t.Error("a byte more is accepted")
	}
	for _, at := range []int{0, 1, 2, 8, 16} { // format, flags, version, times
		changed := bytes.Clone(whole)
		changed[at] ^= 0x80
		if _, err := ParseSession(changed); err == nil {
			t.Errorf("byte %d can be changed", at)
		}
	}
	// The tail: 4 certificates, then 02 0001 02 03 000102 02 0003.
	tail := bytes.LastIndex(whole, []byte{2, 0, 1, 2, 3, 0, 1, 2, 2, 0, 3})
	for name, indices := range map[string][]byte{
		"a certificate that is not there": {2, 0, 1, 2, 3, 0, 1, 2, 2, 0, 4},
		"an unused certificate":           {2, 0, 1, 2, 3, 0, 1, 2, 2, 0, 2},
		"another order":                   {2, 1, 0, 2, 3, 0, 1, 2, 2, 0, 3},
		"an empty chain":                  {2, 0, 1, 3, 3, 0, 1, 2, 2, 0, 3, 0},
		"many chains":                     append([]byte{2, 0, 1, 17, 2, 2, 3}, bytes.Repeat([]byte{1, 0}, 16)...),
		"a long chain":                    append([]byte{2, 0, 1, 1, 33, 2, 3}, make([]byte, 31)...),
		"many peer certificates":          append(append([]byte{33, 0, 1}, make([]byte, 31)...), 2, 3, 0, 1, 2, 2, 0, 3),
	} {
		if _, err := ParseSession(append(bytes.Clone(whole[:tail]), indices...)); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	twice := bytes.Replace(whole, []byte("root\x00\x00\x0aother root"), []byte("root\x00\x00\x04root"), 1)
	if _, err := ParseSession(twice); err == nil || len(twice) == len(whole) {
		t.Error("a certificate may stand twice")
	}
	huge := fullSession()
	huge.OCSPResponse = make([]byte, maxSession-len(whole)+len(huge.OCSPResponse))
	b, err := huge.MarshalBinary()
	if _, perr := ParseSession(b); err != nil || perr != nil || len(b) != maxSession {
		t.Errorf("the largest session: %d bytes, %v, %v", len(b), err, perr)
	}
	if _, err := ParseSession(append(b, 0)); err != errSessionSyntax {
		t.Errorf("larger than the largest session: %v", err)
	}
}

func TestSessionLimits(t *testing.T) {
	repeat := func(n int) (list [][]byte) { return slices.Repeat([][]byte{{1}}, n) }
	different := func(from, n int) (list [][]byte) {
		for i := range n {
			list = append(list, []byte{byte(from >> 8), byte(from), byte(i)})
		}
		return list
	}
	for name, change := range map[string]func(*Session){
		"version":                              func(s *Session) { s.Version = tls.VersionTLS11 },
		"secret":                               func(s *Session) { s.Secret = s.Secret[:31] },
		"secret for TLS 1.2":                   func(s *Session) { s.Version = tls.VersionTLS12 },
		"no secret":                            func(s *Session) { s.Secret = nil },
		"extended master secret":               func(s *Session) { s.ExtendedMasterSecret = true },
		"no creation time":                     func(s *Session) { s.CreatedAt = time.Time{} },
		"no authentication time":               func(s *Session) { s.AuthenticatedAt = time.Time{} },
		"creation time, far":                   func(s *Session) { s.CreatedAt = time.Unix(math.MaxInt64/2, 0) },
		"lifetime":                             func(s *Session) { s.Lifetime = MaxSessionLifetime + 1 },
		"session id":                           func(s *Session) { s.SessionID = make([]byte, 33) },
		"application protocol":                 func(s *Session) { s.ALPN = strings.Repeat("p", 256) },
		"server name":                          func(s *Session) { s.ServerName = strings.Repeat("n", 256) },
		"ticket":                               func(s *Session) { s.Ticket = make([]byte, 1<<16) },
		"application data":                     func(s *Session) { s.AppData = make([]byte, maxSessionAppData+1) },
		"OCSP response":                        func(s *Session) { s.OCSPResponse = make([]byte, maxSession+1) },
		"signed certificate timestamps":        func(s *Session) { s.SCTs = repeat(maxSessionSCTs + 1) },
		"signed certificate timestamps, empty": func(s *Session) { s.SCTs = [][]byte{{}} },
		"peer certificates":                    func(s *Session) { s.PeerCertificates = repeat(maxSessionChain + 1) },
		"peer certificates, empty":             func(s *Session) { s.PeerCertificates = [][]byte{nil} },
		"peer certificates, large":             func(s *Session) { s.PeerCertificates = [][]byte{make([]byte, 1<<24)} },
		"verified chains":                      func(s *Session) { s.VerifiedChains = make([][][]byte, 1) },
		"verified chains, long":                func(s *Session) { s.VerifiedChains = [][][]byte{repeat(maxSessionChain + 1)} },
		"verified chains, many": func(s *Session) {
			s.VerifiedChains = slices.Repeat([][][]byte{{{1}}}, maxSessionChains+1)
		},
		"256 certificates": func(s *Session) {
			s.VerifiedChains = nil
			for i := range 8 {
				s.VerifiedChains = append(s.VerifiedChains, different(i, 32))
			}
		},
		"bytes": func(s *Session) { s.OCSPResponse = make([]byte, maxSession-64) },
	} {
		s := fullSession()
		change(s)
		what, _, _ := strings.Cut(name, ",")
		what = strings.TrimPrefix(strings.TrimSuffix(what, " for TLS 1.2"), "no ")
		what = strings.TrimPrefix(what, "256 ")
		b, err := s.AppendBinary([]byte("before"))
		if err == nil || !strings.Contains(err.Error(), what) || string(b) != "before" {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	largest := fullSession()
	largest.Lifetime = MaxSessionLifetime
	largest.SessionID, largest.Ticket = make([]byte, 32), make([]byte, 1<<16-1)
	largest.ALPN, largest.ServerName = strings.Repeat("p", 255), strings.Repeat("n", 255)
	largest.AppData = make([]byte, maxSessionAppData)
	largest.SCTs, largest.PeerCertificates = different(0, maxSessionSCTs), different(0, 30)
	largest.VerifiedChains = slices.Repeat([][][]byte{{{1}}}, 9)
	for i := range 7 {
		largest.VerifiedChains = append(largest.VerifiedChains, different(i+1, 32))
	} // 30, 1, and 7 * 32 = 224: together the limit of 255
	b, err := largest.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ParseSession(b); err != nil || !reflect.DeepEqual(got, largest) {
		t.Errorf("the largest of everything: %v", err)
	}
}

// "Clients MUST NOT cache tickets for longer than 7 days, regardless of the
// ticket_lifetime" (https://www.rfc-editor.org/rfc/rfc8446#section-4.6.1)
func TestSessionExpires(t *testing.T) {
	at := time.UnixMilli(1700000000000)
	for _, test := range []struct {
		lifetime uint32
		age      time.Duration // of the authentication, when the ticket is made
		want     time.Duration // from then on
	}{
		{0, 0, 0},
		{7200, 0, 2 * time.Hour},
		{MaxSessionLifetime, 0, 7 * 24 * time.Hour},
		{MaxSessionLifetime, 24 * time.Hour, 6 * 24 * time.Hour},
		{7200, 7*24*time.Hour - time.Second, time.Second},
		{7200, 8 * 24 * time.Hour, -24 * time.Hour},
	} {
		s := &Session{CreatedAt: at, AuthenticatedAt: at.Add(-test.age), Lifetime: test.lifetime}
		if got := s.Expires(); !got.Equal(at.Add(test.want)) {
			t.Errorf("lifetime %d, authenticated %v before: expires %v behind", test.lifetime, test.age, got.Sub(at))
		}
	}
}

func TestSessionWipe(t *testing.T) {
	s := fullSession()
	secret := s.Secret
	s.Wipe()
	if !reflect.DeepEqual(s, new(Session)) || !bytes.Equal(secret, make([]byte, 32)) {
		t.Errorf("%+v, secret %x", s, secret)
	}
}

func TestSessionAllocations(t *testing.T) {
	s := fullSession()
	b, err := s.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	room := make([]byte, 0, len(b))
	if got := testing.AllocsPerRun(100, func() { s.AppendBinary(room) }); got > 7 {
		t.Errorf("AppendBinary allocates %v times", got)
	}
	if got := testing.AllocsPerRun(100, func() { ParseSession(b) }); got > 20 {
		t.Errorf("ParseSession allocates %v times", got)
	}
}
