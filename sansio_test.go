package tlscore_test

// The ten laws of docs/contract.md as properties over whole connections. Each
// is a rapid property under go test, and a fuzz target through rapid.MakeFuzz.

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/cryptotest"

	"pgregory.net/rapid"

	"tlscore.example/tlscore"
	"tlscore.example/tlscore/internal/record"
	"tlscore.example/tlscore/internal/tlstest"
	"tlscore.example/tlscore/internal/wire"
	"tlscore.example/tlscore/sansio"
)

// property is a law: tt is the test that the randomness of the standard library
// is seeded through.
type property func(tt *testing.T, t *rapid.T)

func check(tt *testing.T, p property) {
	tt.Helper()
	rapid.Check(tt, func(t *rapid.T) { p(tt, t) })
}

func fuzz(f *testing.F, p property) {
	f.Add([]byte{})
	// Enough to draw whole connections from.
	for who := range byte(4) {
		data := make([]byte, 8<<10)
		newSeeded(0, who).Read(data)
		f.Add(data)
	}
	f.Fuzz(func(tt *testing.T, data []byte) {
		rapid.MakeFuzz(func(t *rapid.T) { p(tt, t) })(tt, data)
	})
}

func TestLaw2Deterministic(t *testing.T) { check(t, lawDeterministic) }
func TestLaw3Fragmentation(t *testing.T) { check(t, lawFragmentation) }
func TestLaw4Total(t *testing.T)         { check(t, lawTotal) }
func TestLaw5Failure(t *testing.T)       { check(t, lawFailure) }
func TestLaw5Reject(t *testing.T)        { check(t, lawReject) }
func TestLaw6NothingLost(t *testing.T)   { check(t, lawNothingLost) }
func TestLaw7BackPressure(t *testing.T)  { check(t, lawBackPressure) }
func TestLaw7KeyUpdate(t *testing.T)     { check(t, lawKeyUpdate) }
func TestLaw8Directions(t *testing.T)    { check(t, lawDirections) }
func TestLaw9KeyChange(t *testing.T)     { check(t, lawKeyChange) }
func TestLaw10Ownership(t *testing.T)    { check(t, lawOwnership) }
func TestLawTasks(t *testing.T)          { check(t, lawTasks) }
func TestLawAsleep(t *testing.T)         { check(t, lawAsleep) }
func TestLawMoved(t *testing.T)          { check(t, lawMoved) }

func FuzzLaw2Deterministic(f *testing.F) { fuzz(f, lawDeterministic) }
func FuzzLaw3Fragmentation(f *testing.F) { fuzz(f, lawFragmentation) }
func FuzzLaw4Total(f *testing.F)         { fuzz(f, lawTotal) }
func FuzzLaw5Failure(f *testing.F)       { fuzz(f, lawFailure) }
func FuzzLaw5Reject(f *testing.F)        { fuzz(f, lawReject) }
func FuzzLaw6NothingLost(f *testing.F)   { fuzz(f, lawNothingLost) }
func FuzzLaw7BackPressure(f *testing.F)  { fuzz(f, lawBackPressure) }
func FuzzLaw7KeyUpdate(f *testing.F)     { fuzz(f, lawKeyUpdate) }
func FuzzLaw8Directions(f *testing.F)    { fuzz(f, lawDirections) }
func FuzzLaw9KeyChange(f *testing.F)     { fuzz(f, lawKeyChange) }
func FuzzLaw10Ownership(f *testing.F)    { fuzz(f, lawOwnership) }
func FuzzLawTasks(f *testing.F)          { fuzz(f, lawTasks) }
func FuzzLawAsleep(f *testing.F)         { fuzz(f, lawAsleep) }
func FuzzLawMoved(f *testing.F)          { fuzz(f, lawMoved) }

// setup is a random pair of configs. It is drawn once and makes machines as
// often as wanted, always the same ones.
type setup struct {
	seed       uint64
	key        tlstest.KeyKind
	chain      bool // through an intermediate
	acceptor   bool
	version    uint16    // that both agree on
	best       [2]uint16 // version of the client and of the server
	suites     []uint16  // of TLS 1.3
	suites12   []uint16  // that go with the key
	tasks      [2]tlscore.TaskSet
	groups     []tls.CurveID
	shares     []tls.CurveID
	clientALPN []string
	serverALPN []string
	plain      bool // no middlebox compatibility mode
	small      bool // small first records
	keyRecords uint64
	output     int

	// Whether the server wants a certificate of the client's, and which key that one
	// has, or noKey; and whether the client can be asked after the handshake, too.
	auth      tls.ClientAuthType
	clientKey tlstest.KeyKind
	post      bool

	// The session that the client resumes, nil for none, and what follows from it.
	session []byte
	keys    *tlscore.TicketKeys
	early   bool // it comes with early data,
	accept  bool // which the server accepts, if it can
}

// noKey stands for a client without a certificate.
const noKey = tlstest.NumKeyKinds

// memory is a SessionCache with what is put into it last, and that once.
type memory struct{ session []byte }

func (m *memory) Put(_ string, session []byte) { m.session = session }

func (m *memory) Take(string) (session []byte) {
	session, m.session = m.session, nil
	return session
}

var (
	allSuites   = []uint16{tls.TLS_AES_128_GCM_SHA256, tls.TLS_AES_256_GCM_SHA384, tls.TLS_CHACHA20_POLY1305_SHA256}
	ecdsaSuites = []uint16{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	}
	rsaSuites = []uint16{
		tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	}
	allGroups = []tls.CurveID{
		tls.X25519, tls.X25519MLKEM768, tls.CurveP256, tls.CurveP384, tls.CurveP521,
		tls.SecP256r1MLKEM768, tls.SecP384r1MLKEM1024,
	}
)

// drawSetup draws configs that agree on something.
func drawSetup(t *rapid.T) setup {
	s := setup{
		seed:       rapid.Uint64().Draw(t, "seed"),
		key:        tlstest.KeyKind(rapid.IntRange(0, int(tlstest.NumKeyKinds)-1).Draw(t, "key")),
		chain:      rapid.Bool().Draw(t, "chain"),
		acceptor:   rapid.Bool().Draw(t, "acceptor"),
		suites:     rapid.SliceOfNDistinct(rapid.SampledFrom(allSuites), 1, 3, rapid.ID).Draw(t, "suites"),
		plain:      rapid.Bool().Draw(t, "plain"),
		keyRecords: rapid.SampledFrom([]uint64{0, 2, 3, 5}).Draw(t, "key records"),
		output:     rapid.SampledFrom([]int{0, 30, 100, 20000}).Draw(t, "output"),
		tasks:      [2]tlscore.TaskSet{drawTasks(t), drawTasks(t)},
	}
	const v12, v13 = tls.VersionTLS12, tls.VersionTLS13
	s.best = rapid.SampledFrom([][2]uint16{{v13, v13}, {v13, v13}, {v12, v13}, {v13, v12}, {v12, v12}}).Draw(t, "versions")
	s.version = min(s.best[0], s.best[1])
	suites12 := ecdsaSuites
	if s.key == tlstest.RSA2048 {
		suites12 = rsaSuites
	}
	s.suites12 = rapid.SliceOfNDistinct(rapid.SampledFrom(suites12), 1, 3, rapid.ID).Draw(t, "suites of TLS 1.2")
	if rapid.Bool().Draw(t, "all groups") {
		s.groups = allGroups
	} else {
		s.groups = rapid.SliceOfNDistinct(rapid.SampledFrom(allGroups), 1, 3, rapid.ID).Draw(t, "groups")
	}
	if s.version == v12 {
		s.groups = s.groups12()
		s.keyRecords = 0 // there is no KeyUpdate: the connection would end
	}
	// Shares for some of the groups, or for none, which asks for a
	// HelloRetryRequest.
	s.shares = []tls.CurveID{}
	for _, g := range s.groups[:min(2, len(s.groups))] {
		if rapid.Bool().Draw(t, "share") {
			s.shares = append(s.shares, g)
		}
	}
	if rapid.Bool().Draw(t, "alpn") {
		s.clientALPN, s.serverALPN = []string{"x", "h2"}, []string{"h2"}
	}
	s.small = rapid.Bool().Draw(t, "small first records")
	s.drawClient(t)
	if rapid.Bool().Draw(t, "resume") {
		s.early = s.version == v13 && rapid.Bool().Draw(t, "early data")
		s.accept = s.early && rapid.Bool().Draw(t, "accept")
		s.meet(t)
	}
	return s
}

// drawClient draws how the client is authenticated: not at all, as a rule.
func (s *setup) drawClient(t *rapid.T) {
	s.auth, s.clientKey = tls.NoClientCert, noKey
	s.post = rapid.Bool().Draw(t, "after the handshake")
	if rapid.Bool().Draw(t, "authenticated") {
		s.auth = tls.ClientAuthType(rapid.IntRange(1, int(tls.RequireAndVerifyClientCert)).Draw(t, "client auth"))
	}
	required := s.auth == tls.RequireAnyClientCert || s.auth == tls.RequireAndVerifyClientCert
	if required || rapid.Bool().Draw(t, "client certificate") {
		// In TLS 1.2 the server's groups bound the curve of an ECDSA key.
		kinds := []tlstest.KeyKind{tlstest.Ed25519, tlstest.RSA2048, tlstest.ECDSAP256, tlstest.ECDSAP384, tlstest.ECDSAP521}
		if s.tls12() {
			kinds = kinds[:2]
		}
		s.clientKey = rapid.SampledFrom(kinds).Draw(t, "client key")
	}
}

// unauthenticated is the setup without client certificates in the handshake.
func (s setup) unauthenticated() setup {
	s.auth = tls.NoClientCert
	return s
}

// groups12 are the groups with one that TLS 1.2 has: it knows no hybrids, and the
// key of the certificate has to be on one of them.
func (s setup) groups12() []tls.CurveID {
	need := tls.X25519
	if s.key <= tlstest.ECDSAP521 {
		need = []tls.CurveID{tls.CurveP256, tls.CurveP384, tls.CurveP521}[s.key]
	}
	if slices.Contains(s.groups, need) {
		return s.groups
	}
	return append(slices.Clone(s.groups), need)
}

// group12 is the first group that TLS 1.2 has.
func (s setup) group12() tls.CurveID {
	for _, g := range s.groups {
		if g == tls.X25519 || g >= tls.CurveP256 && g <= tls.CurveP521 {
			return g
		}
	}
	return 0
}

// tls13 is the setup with TLS 1.3 on both sides.
func (s setup) tls13() setup {
	s.version = tls.VersionTLS13
	s.best = [2]uint16{tls.VersionTLS13, tls.VersionTLS13}
	return s
}

func (s setup) tls12() bool { return s.version == tls.VersionTLS12 }

// drawTasks draws which tasks are lifted out of Step: none of them, as a rule.
func drawTasks(t *rapid.T) tlscore.TaskSet {
	if rapid.IntRange(0, 2).Draw(t, "lifted") > 0 {
		return 0
	}
	return tlscore.TaskSet(rapid.Byte().Draw(t, "tasks")) & tlscore.AllTasks
}

// meet makes the connection that the client has its session from.
func (s *setup) meet(t *rapid.T) {
	t.Helper()
	var err error
	if s.keys, err = tlscore.NewTicketKeys([32]byte{1}); err != nil {
		t.Fatal(err)
	}
	cache, first := new(memory), *s
	first.tasks = [2]tlscore.TaskSet{}
	cfg := first.clientConfig()
	cfg.SessionCache = cache
	client, err := tlscore.NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	server := first.server(t)
	pair := sansio.NewPair(s.seed, client, server)
	pair.OnB = func(ev tlscore.Event) {
		if ev.Kind == tlscore.EventClientHello {
			server.Accept(first.serverConfig())
		}
		if ev.Kind == tlscore.EventHandshakeDone {
			server.CloseWrite()
		}
	}
	pair.OnA = func(ev tlscore.Event) {
		if ev.Kind == tlscore.EventClosed {
			client.CloseWrite()
		}
	}
	if err := pair.Run(1 << 20); err != nil || cache.session == nil {
		t.Fatalf("the connection before: %v, %d bytes of session; %v, %v", err, len(cache.session), client.Err(), server.Err())
	}
	s.session = cache.session
}

// seeded is a random source whose bytes follow from a seed.
type seeded struct{ *rand.ChaCha8 }

func newSeeded(seed uint64, who byte) io.Reader {
	var key [32]byte
	key[0] = who
	for i := range 8 {
		key[1+i] = byte(seed >> (8 * i))
	}
	return seeded{rand.NewChaCha8(key)}
}

func (s setup) clientConfig() *tlscore.Config {
	cfg := &tlscore.Config{
		Rand:              newSeeded(s.seed, 'c'),
		Time:              tlstest.Clock,
		RootCAs:           roots,
		ServerName:        "localhost",
		MaxVersion:        s.best[0],
		CipherSuites:      slices.Concat(s.suites, s.suites12),
		Tasks:             s.tasks[0],
		CurvePreferences:  s.groups,
		KeyShares:         s.shares,
		NextProtos:        s.clientALPN,
		NoMiddleboxCompat: s.plain,
		SmallFirstRecords: s.small,
		Limits:            tlscore.Limits{KeyRecords: s.keyRecords, Output: s.output},
		SessionCache:      &memory{slices.Clone(s.session)},
		EarlyData:         s.early,
		PostHandshakeAuth: s.post,
	}
	if s.clientKey != noKey {
		cfg.Certificates = []tls.Certificate{clientCertificate(s.clientKey)}
	}
	return cfg
}

func (s setup) serverConfig() *tlscore.Config {
	cfg := &tlscore.Config{
		Rand:              newSeeded(s.seed, 's'),
		Time:              tlstest.Clock,
		Certificates:      []tls.Certificate{certificate(s.key, s.chain)},
		MaxVersion:        s.best[1],
		CipherSuites:      slices.Concat(s.suites, s.suites12),
		Tasks:             s.tasks[1],
		CurvePreferences:  s.groups,
		NextProtos:        s.serverALPN,
		SmallFirstRecords: s.small,
		Limits:            tlscore.Limits{KeyRecords: s.keyRecords, Output: s.output},
		TicketKeys:        s.keys,
		ClientAuth:        s.auth,
		ClientCAs:         roots,
	}
	if s.early {
		cfg.MaxEarlyData = 1000
		cfg.AcceptEarlyData = func(tlscore.EarlyDataInfo) bool { return s.accept }
	}
	return cfg
}

var (
	roots        = tlstest.Roots()
	certificates = map[[2]int]tls.Certificate{}
)

// schemes are what the keys sign with.
var schemes = map[tlstest.KeyKind]tls.SignatureScheme{
	tlstest.ECDSAP256: tls.ECDSAWithP256AndSHA256,
	tlstest.ECDSAP384: tls.ECDSAWithP384AndSHA384,
	tlstest.ECDSAP521: tls.ECDSAWithP521AndSHA512,
	tlstest.Ed25519:   tls.Ed25519,
	tlstest.RSA2048:   tls.PSSWithSHA256,
}

func certificate(key tlstest.KeyKind, chain bool) tls.Certificate {
	index := [2]int{int(key), 0}
	if chain {
		index[1] = 1
	}
	if _, ok := certificates[index]; !ok {
		certificates[index] = tlstest.Certificate(tlstest.Leaf{Key: key, Intermediate: chain})
	}
	return certificates[index]
}

var clientCertificates = map[tlstest.KeyKind]tls.Certificate{}

func clientCertificate(key tlstest.KeyKind) tls.Certificate {
	if _, ok := clientCertificates[key]; !ok {
		clientCertificates[key] = tlstest.ClientCertificate(key)
	}
	return clientCertificates[key]
}

func (s setup) client(t *rapid.T) *tlscore.Machine {
	m, err := tlscore.NewClient(s.clientConfig())
	if err != nil {
		t.Fatalf("NewClient: %v", err)
	}
	return m
}

// server makes a server; an acceptor accepts by itself, when the event comes.
func (s setup) server(t *rapid.T) *tlscore.Machine {
	m, err := tlscore.NewServer(s.serverConfig())
	if s.acceptor {
		m, err = tlscore.NewAcceptor(tlscore.Limits{})
	}
	if err != nil {
		t.Fatalf("NewServer: %v", err)
	}
	return m
}

// party is one end of a connection in a test: a machine, and what its
// application has done and seen. It plays the driver too, and poisons memory
// when its life ends.
type party struct {
	t      *rapid.T
	m      *tlscore.Machine
	s      setup
	rest   []byte // what came and was not taken, poisoned copies apart
	last   []byte // the slice that was given to Step last
	wrote  []byte // what Write took
	got    []byte // what events brought
	log    []string
	events []tlscore.EventKind
	ended  bool          // EOF was called
	manual bool          // tasks are left to the test
	task   *tlscore.Task // an old one
	peer   *party
	sent   []byte // all that left the machine
	// A client's early data, and whether it can still be written; a server's.
	wroteEarly, gotEarly []byte
	earlyOpen            bool
	server               bool
	onData               func(*party, []byte)
}

// newPair makes a client and a server, with everything seeded.
func newPair(tt *testing.T, t *rapid.T, s setup) (client, server *party) {
	cryptotest.SetGlobalRandom(tt, s.seed)
	client = &party{t: t, m: s.client(t), s: s}
	server = &party{t: t, m: s.server(t), s: s, server: true}
	client.peer, server.peer = server, client
	return client, server
}

// step calls Step once, with the rest, and notes what it did.
func (p *party) step() tlscore.Event {
	p.t.Helper()
	// A part that holds one record at least; the rest is presented later.
	in := slices.Clone(p.rest[:min(len(p.rest), 17000)])
	if len(in) > 0 {
		poison(p.last)
		p.last = in
	}
	before := slices.Clone(in)
	ev, n := p.m.Step(in)
	if n < 0 || n > len(in) {
		p.t.Fatalf("Step took %d of %d bytes", n, len(in))
	}
	if !bytes.Equal(in[n:], before[n:]) {
		p.t.Fatalf("Step changed bytes behind the prefix that it took")
	}
	p.rest = p.rest[n:]
	if ev.Kind == tlscore.EventData {
		if len(ev.Data) == 0 {
			p.t.Fatalf("EventData without data")
		}
		if ev.Early {
			p.gotEarly = append(p.gotEarly, ev.Data...)
		} else {
			p.got = append(p.got, ev.Data...)
		}
	}
	p.noteEarly(ev)
	if !ev.Stop() {
		p.events = append(p.events, ev.Kind)
		p.log = append(p.log, fmt.Sprintf("%s %x", ev.Kind, ev.Data))
	}
	return ev
}

// noteEarly writes early data when it may begin, and takes it back when it is rejected.
func (p *party) noteEarly(ev tlscore.Event) {
	switch ev.Kind {
	case tlscore.EventEarlyWritable:
		p.earlyOpen = true
		data := pattern(300, 3)
		n, err := p.m.WriteEarly(data)
		if err != nil {
			p.t.Fatalf("WriteEarly: %v", err)
		}
		p.wroteEarly = append(p.wroteEarly[:len(p.wroteEarly):len(p.wroteEarly)], data[:n]...)
	case tlscore.EventEarlyRejected:
		p.earlyOpen = false
		if !bytes.Equal(ev.Data, p.wroteEarly) {
			p.t.Fatalf("%d bytes of early data were written, and %d given back", len(p.wroteEarly), len(ev.Data))
		}
	case tlscore.EventHandshakeDone:
		p.earlyOpen = false
	}
}

// deaf reports whether p is a client whose server cannot read what it sends now: it does
// not accept the early data, and p does not know it yet.
func (p *party) deaf() bool { return p.earlyOpen && !p.peer.m.EarlyDataAccepted() }

// pull steps to the next stop and lets the application react.
func (p *party) pull() tlscore.Event {
	p.t.Helper()
	for i := 0; ; i++ {
		if i > 100000 {
			p.t.Fatalf("Step does not stop")
		}
		ev := p.step()
		if ev.Kind == tlscore.EventClientHello {
			p.accept()
		}
		if ev.Kind == tlscore.EventData && p.onData != nil && !ev.Early {
			p.onData(p, ev.Data)
		}
		if ev.Kind == tlscore.EventWait && p.m.Task() != nil && !p.manual {
			p.done()
			continue
		}
		if ev.Stop() {
			return ev
		}
	}
}

// done does the task that is out.
func (p *party) done() {
	p.t.Helper()
	task := p.m.Task()
	task.Run()
	if err := p.m.Done(task); err != nil {
		p.t.Fatalf("Done: %v", err)
	}
}

func (p *party) accept() {
	p.t.Helper()
	if err := p.m.Accept(p.s.serverConfig()); err != nil {
		p.t.Fatalf("Accept: %v", err)
	}
}

// take moves up to n bytes of output to the peer; n < 0 means all.
func (p *party) take(n int) int {
	out := p.m.Output()
	if n < 0 || n > len(out) {
		n = len(out)
	}
	p.sent = append(p.sent, out[:n]...)
	p.peer.rest = append(p.peer.rest, out[:n]...)
	p.m.Sent(n)
	return n
}

// write writes all of data, with whole output to the peer whenever it is full.
func (p *party) write(data []byte) error {
	for len(data) > 0 {
		n, err := p.m.Write(data)
		p.wrote = append(p.wrote, data[:n]...)
		data = data[n:]
		if err != nil {
			return err
		}
		if n == 0 && p.take(-1) == 0 {
			p.t.Fatalf("Write takes nothing though the output is empty")
		}
	}
	return nil
}

func (p *party) eof() {
	p.ended = true
	p.m.EOF()
}

// converse moves everything back and forth until nothing moves.
func converse(a, b *party) {
	for i := 0; ; i++ {
		if i > 10000 {
			a.t.Fatalf("the conversation does not end")
		}
		a.pull()
		b.pull()
		if a.take(-1)+b.take(-1) == 0 {
			return
		}
	}
}

// connect completes the handshake.
func connect(tt *testing.T, t *rapid.T, s setup) (client, server *party) {
	t.Helper()
	client, server = newPair(tt, t, s)
	converse(client, server)
	for _, p := range []*party{client, server} {
		if p.m.State() != tlscore.StateConnected {
			t.Fatalf("handshake: state %s, %v", p.m.State(), p.m.Err())
		}
		if p.m.ConnectionState().DidResume != (s.session != nil) {
			t.Fatalf("resumed: %v", s.session == nil)
		}
	}
	cs := server.m.ConnectionState()
	shows := s.auth != tls.NoClientCert && s.clientKey != noKey
	if len(cs.PeerCertificates) > 0 != shows || len(cs.VerifiedChains) > 0 != (shows && s.auth >= tls.VerifyClientCertIfGiven) {
		t.Fatalf("%d certificates of the client, %d chains", len(cs.PeerCertificates), len(cs.VerifiedChains))
	}
	if accepted := server.m.EarlyDataAccepted(); accepted && !bytes.Equal(server.gotEarly, client.wroteEarly) ||
		!accepted && len(server.gotEarly) > 0 || accepted != client.m.EarlyDataAccepted() {
		t.Fatalf("early data: accepted %v, %d bytes written, %d received", accepted, len(client.wroteEarly), len(server.gotEarly))
	}
	return client, server
}

func poison(b []byte) {
	for i := range b {
		b[i] = 0xdb
	}
}

// pattern returns n bytes that tell where they are.
func pattern(n int, salt byte) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i) ^ byte(i>>8) ^ salt
	}
	return b
}

// payload draws application data, some of it over several records.
func payload(t *rapid.T, label string) []byte {
	n := rapid.OneOf(rapid.IntRange(1, 200), rapid.SampledFrom([]int{16384, 16385, 40000})).Draw(t, label)
	return pattern(n, byte(n))
}

// faults says what goes wrong on the way to one side.
type faults struct {
	flip, cut int // byte to change, byte to end behind; -1 for none
	mask      byte
}

func drawFaults(t *rapid.T, length int) faults {
	f := faults{flip: -1, cut: -1}
	switch rapid.IntRange(0, 2).Draw(t, "fault") {
	case 1:
		f.flip = rapid.IntRange(0, length-1).Draw(t, "flip")
		f.mask = byte(rapid.IntRange(1, 255).Draw(t, "mask"))
	case 2:
		f.cut = rapid.IntRange(0, length-1).Draw(t, "cut")
	}
	return f
}

func (f faults) apply(stream []byte) []byte {
	stream = slices.Clone(stream)
	if f.flip >= 0 {
		stream[f.flip] ^= f.mask
	}
	if f.cut >= 0 {
		stream = stream[:f.cut]
	}
	return stream
}

// script is what two applications do to each other: it makes a connection with
// traffic in both directions, with the same calls at the same events each time.
type script struct {
	setup
	request, response []byte
	update            bool // the client asks for KeyUpdates
}

func drawScript(t *rapid.T) script {
	s := script{
		setup:    drawSetup(t),
		request:  payload(t, "request"),
		response: payload(t, "response"),
		update:   rapid.Bool().Draw(t, "update"),
	}
	s.output = 0 // no Write is cut short
	return s
}

// clientApp and serverApp return what the application does at an event. They
// are used with any driver, so they call nothing but what an application calls.
func (s script) clientApp(m *tlscore.Machine) func(tlscore.Event) {
	received := 0
	return func(ev tlscore.Event) {
		switch ev.Kind {
		case tlscore.EventTask:
			doTask(m)
		case tlscore.EventEarlyWritable:
			m.WriteEarly(s.request[:min(300, len(s.request))])
		case tlscore.EventHandshakeDone:
			m.Write(s.request)
			if s.update {
				m.KeyUpdate(true)
				m.Write(s.request[:1])
			}
		case tlscore.EventData:
			if received += len(ev.Data); received == len(s.response) {
				m.CloseWrite()
			}
		}
	}
}

func doTask(m *tlscore.Machine) {
	task := m.Task()
	task.Run()
	m.Done(task)
}

func (s script) serverApp(m *tlscore.Machine) func(tlscore.Event) {
	answered := false
	return func(ev tlscore.Event) {
		switch ev.Kind {
		case tlscore.EventTask:
			doTask(m)
		case tlscore.EventClientHello:
			m.Accept(s.serverConfig())
		case tlscore.EventHandshakeDone:
			m.RequestClientCertificate() // if it can be asked
		case tlscore.EventData:
			if !answered && !ev.Early {
				answered = true
				m.Write(s.response)
			}
		case tlscore.EventClosed:
			m.CloseWrite()
		}
	}
}

// record plays the script over perfect wires and returns what each side sent.
func (s script) record(tt *testing.T, t *rapid.T) (fromClient, fromServer []byte) {
	cryptotest.SetGlobalRandom(tt, s.seed)
	client, server := s.client(t), s.server(t)
	pair := sansio.NewPair(s.seed, client, server)
	pair.AB.Tap = func(d sansio.Delivery) { fromClient = append(fromClient, d.Data...) }
	pair.BA.Tap = func(d sansio.Delivery) { fromServer = append(fromServer, d.Data...) }
	pair.OnA, pair.OnB = s.clientApp(client), s.serverApp(server)
	if err := pair.Run(1 << 20); err != nil {
		t.Fatalf("recording: %v", err)
	}
	return fromClient, fromServer
}

// describe leaves out Queued, which tells when output was queued between two
// calls and so depends on how the calls are cut.
func describe(ev tlscore.Event) string {
	return fmt.Sprintf("%s truncated=%v early=%v %x", ev.Kind, ev.Truncated, ev.Early, ev.Data)
}

// Law 2: the same config, random bytes, clock, input and answers give the same
// events and the same output, byte for byte.
func lawDeterministic(tt *testing.T, t *rapid.T) {
	s := drawScript(t)
	fromClient, fromServer := s.record(tt, t)
	fault := drawFaults(t, len(fromClient))
	stream := fault.apply(fromClient)
	run := func() string {
		var log strings.Builder
		cryptotest.SetGlobalRandom(tt, s.seed)
		m := s.server(t)
		app := s.serverApp(m)
		pump := sansio.NewPump(m)
		pump.Feed(stream)
		if fault.cut >= 0 {
			pump.EOF()
		}
		for ev := range pump.Events() {
			fmt.Fprintln(&log, ev, describe(ev))
			app(ev)
		}
		fmt.Fprintf(&log, "%x %v %s", m.Output(), m.Err(), m.State())
		return log.String()
	}
	if first, second := run(), run(); first != second {
		t.Fatalf("two runs differ:\n%s\n%s", first, second)
	}
	againC, againS := s.record(tt, t)
	if !bytes.Equal(fromClient, againC) || !bytes.Equal(fromServer, againS) {
		t.Fatalf("two connections differ")
	}
}

// Law 3: whole, byte by byte, split anywhere or coalesced, the events with their
// payload and the output are the same.
func lawFragmentation(tt *testing.T, t *rapid.T) {
	s := drawScript(t)
	// Byte by byte is quadratic in a record, for the checker.
	s.request, s.response = s.request[:min(300, len(s.request))], s.response[:min(300, len(s.response))]
	fromClient, fromServer := s.record(tt, t)
	onServer := rapid.Bool().Draw(t, "on the server")
	stream := fromServer
	if onServer {
		stream = fromClient
	}
	stream = drawFaults(t, len(stream)).apply(stream)
	sansio.Check(t, sansio.Case[tlscore.Event]{
		New: func() (sansio.Machine[tlscore.Event], func(tlscore.Event)) {
			cryptotest.SetGlobalRandom(tt, s.seed)
			if onServer {
				m := s.server(t)
				return m, s.serverApp(m)
			}
			m := s.client(t)
			return m, s.clientApp(m)
		},
		Describe: describe,
		Input:    stream,
		Seed:     s.seed,
		Cuts:     3,
	})
}

// Law 4: no input and no order of calls panics, loops, or makes the machine hold
// more than its bound.
func lawTotal(tt *testing.T, t *rapid.T) {
	s := drawSetup(t)
	client, server := newPair(tt, t, s)
	if rapid.Bool().Draw(t, "connected") {
		converse(client, server)
	}
	parties := []*party{client, server}
	client.manual = rapid.Bool().Draw(t, "tasks by hand")
	server.manual = client.manual
	pick := func(t *rapid.T) *party { return rapid.SampledFrom(parties).Draw(t, "party") }
	actions := map[string]func(*rapid.T){
		"carry": func(t *rapid.T) { pick(t).take(rapid.IntRange(-1, 50).Draw(t, "n")) },
		"all":   func(t *rapid.T) { client.take(-1); server.take(-1) },
		"step":  func(t *rapid.T) { pick(t).step() },
		"pull":  func(t *rapid.T) { pick(t).pull() },
		"talk":  func(t *rapid.T) { converse(client, server) },
		"write": func(t *rapid.T) {
			p := pick(t)
			data := payload(t, "data")
			n, err := p.m.Write(data)
			if n > 0 {
				p.wrote = append(p.wrote, data[:n]...)
			}
			checkWriteError(t, p, err)
		},
		"write pieces": func(t *rapid.T) {
			p := pick(t)
			data := payload(t, "data")
			cut := rapid.IntRange(0, len(data)).Draw(t, "cut")
			n, err := p.m.WriteBuffers([][]byte{data[:cut], nil, data[cut:]})
			p.wrote = append(p.wrote, data[:n]...)
			checkWriteError(t, p, err)
		},
		"in place": func(t *rapid.T) {
			p := pick(t)
			n := rapid.IntRange(0, 1000).Draw(t, "n")
			buf := append(make([]byte, tlscore.RecordHeadroom), pattern(n, 5)...)
			rec, err := p.m.SealInPlace(slices.Grow(buf, tlscore.RecordTailroom), n)
			switch {
			case err == nil:
				p.peer.rest = append(p.peer.rest, rec...)
				p.wrote = append(p.wrote, pattern(n, 5)...)
			case errors.Is(err, tlscore.ErrOutputPending):
				if len(p.m.Output()) == 0 {
					t.Fatalf("%v, and there is none", err)
				}
			case !errors.Is(err, tlscore.ErrNoRoom):
				checkWriteError(t, p, err)
			case n > 0 && n <= p.m.RecordLen():
				t.Fatalf("%d bytes: %v", n, err)
			}
		},
		"early": func(t *rapid.T) {
			p := pick(t)
			data := payload(t, "data")
			n, err := p.m.WriteEarly(data)
			p.wroteEarly = append(p.wroteEarly[:len(p.wroteEarly):len(p.wroteEarly)], data[:n]...)
			if n > 0 && !p.earlyOpen {
				p.step() // an answer has opened it, and the event is due
			}
			if n > 0 && !p.earlyOpen || err != nil && p.earlyOpen && p.m.Err() == nil && !errors.Is(err, tlscore.ErrWriteClosed) && p.m.State() != tlscore.StateReleased {
				t.Fatalf("WriteEarly: %d, %v", n, err)
			}
		},
		"ticket": func(t *rapid.T) {
			p := pick(t)
			before := len(p.m.Output())
			if err := p.m.SendTicket(); err != nil && len(p.m.Output()) != before {
				t.Fatalf("SendTicket: %v, and %d bytes of output", err, len(p.m.Output())-before)
			}
			p.take(-1)
		},
		"certificate": func(t *rapid.T) {
			p := pick(t)
			before, state := len(p.m.Output()), p.m.State()
			err := p.m.RequestClientCertificate()
			if grown := len(p.m.Output()) > before; grown != (err == nil) && p.m.Err() == nil {
				t.Fatalf("RequestClientCertificate: %v, and %d bytes of output", err, len(p.m.Output())-before)
			}
			if err == nil && (p == client || !s.post || s.tls12() || state != tlscore.StateConnected) {
				t.Fatalf("RequestClientCertificate in state %s", state)
			}
			p.take(-1)
		},
		"seal": func(t *rapid.T) {
			p := pick(t)
			data := payload(t, "data")
			dst := make([]byte, 3, rapid.IntRange(3, 40000).Draw(t, "cap"))
			out, n, err := p.m.AppendSealed(dst, data)
			if cap(out) != cap(dst) {
				t.Fatalf("AppendSealed grew its destination")
			}
			p.peer.rest = append(p.peer.rest, out[3:]...)
			p.wrote = append(p.wrote, data[:n]...)
			checkWriteError(t, p, err)
		},
		"append": func(t *rapid.T) {
			p := pick(t)
			dst := p.m.AppendOutput(make([]byte, 0, rapid.IntRange(0, 3000).Draw(t, "cap")))
			p.peer.rest = append(p.peer.rest, dst...)
		},
		"sent": func(t *rapid.T) { pick(t).m.Sent(rapid.IntRange(-3, 3).Draw(t, "n")) },
		"update": func(t *rapid.T) {
			p := pick(t)
			before := len(p.m.Output())
			request := rapid.Bool().Draw(t, "request")
			for range rapid.SampledFrom([]int{1, 2, 1000}).Draw(t, "times") {
				checkWriteError(t, p, p.m.KeyUpdate(request))
			}
			if grown := len(p.m.Output()) - before; grown > 100 {
				t.Fatalf("KeyUpdate alone has queued %d bytes", grown)
			}
		},
		"close": func(t *rapid.T) { pick(t).m.CloseWrite() },
		"eof":   func(t *rapid.T) { pick(t).eof() },
		"accept": func(t *rapid.T) {
			p := pick(t)
			waiting := p.m.State() == tlscore.StateWaitAccept
			err := p.m.Accept(s.serverConfig())
			if (err == nil) != waiting && !errors.Is(err, tlscore.ErrFailed) {
				t.Fatalf("Accept while waiting %v: %v", waiting, err)
			}
		},
		"reject": func(t *rapid.T) {
			p := pick(t)
			if rapid.IntRange(0, 9).Draw(t, "really") == 0 {
				p.m.Reject(tlscore.Alert(rapid.Byte().Draw(t, "alert")))
			}
		},
		"garbage": func(t *rapid.T) {
			p := pick(t)
			p.rest = append(p.rest, rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(t, "garbage")...)
		},
		"record": func(t *rapid.T) {
			p := pick(t)
			typ := record.ContentType(rapid.IntRange(19, 25).Draw(t, "type"))
			p.rest = record.AppendPlaintext(p.rest, typ, 0x0303, rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "fragment"))
		},
		"flip": func(t *rapid.T) {
			if p := pick(t); len(p.rest) > 0 {
				p.rest = slices.Clone(p.rest)
				p.rest[rapid.IntRange(0, len(p.rest)-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
			}
		},
		"task": func(t *rapid.T) {
			p := pick(t)
			task := p.m.Task()
			if old := rapid.IntRange(0, 9).Draw(t, "old") == 0; task == nil || old && task != p.task {
				checkNotWaiting(t, p.m.Done(p.task), p.m)
				return
			}
			if rapid.Bool().Draw(t, "run") {
				task.Run()
			} else {
				answerAnyhow(t, task)
			}
			if p.task = task; rapid.IntRange(0, 3).Draw(t, "late") > 0 {
				// A CloseWrite in between has canceled the handshake.
				if err := p.m.Done(task); err != nil && !errors.Is(err, tlscore.ErrFailed) {
					t.Fatalf("Done: %v", err)
				}
			}
		},
		"hibernate": func(t *rapid.T) {
			p := pick(t)
			state, pending := p.m.State(), len(p.m.Output())
			err := p.m.Hibernate()
			if quiet := state == tlscore.StateConnected || state == tlscore.StateClosed; err == nil && (!quiet || pending > 0) {
				t.Fatalf("hibernation in state %s with %d bytes of output", state, pending)
			}
			checkNotQuiet(t, err)
		},
		"move": func(t *rapid.T) { p := pick(t); p.move(t, s) },
		"look": func(t *rapid.T) {
			p := pick(t)
			_, _, _ = p.m.ClientHello(), p.m.ConnectionState(), p.m.SealedLen(100)
			p.m.RawClientHello()
		},
		"release": func(t *rapid.T) {
			if rapid.IntRange(0, 9).Draw(t, "really") == 0 {
				pick(t).m.Release()
			}
		},
	}
	invariant := func(t *rapid.T) {
		for _, p := range parties {
			// One Output bound of data, one flight, and some small messages.
			if n := len(p.m.Output()); n > 200<<10 {
				t.Fatalf("%d bytes of output", n)
			}
			if p.m.State() == tlscore.StateFailed && p.m.Err() == nil {
				t.Fatalf("failed without an error")
			}
			if !bytes.HasPrefix(p.peer.wrote, p.got) || !bytes.HasPrefix(p.peer.wroteEarly, p.gotEarly) {
				t.Fatalf("data arrived that was not written")
			}
		}
	}
	actions[""] = invariant
	t.Repeat(actions)
}

// A connection that hibernates now and then does what one does that never sleeps: the same
// events, with the same data, and the same output, byte for byte.
func lawAsleep(tt *testing.T, t *rapid.T) {
	interrupted(tt, t, func(t *rapid.T, p *party, _ setup) { checkNotQuiet(t, p.m.Hibernate()) })
}

// A connection that moves now and then does what one does that stays.
func lawMoved(tt *testing.T, t *rapid.T) {
	interrupted(tt, t, func(t *rapid.T, p *party, s setup) { p.move(t, s) })
}

// interrupted compares a conversation with one in which something happens to the machines
// between its steps that must not be noticed.
func interrupted(tt *testing.T, t *rapid.T, interrupt func(*rapid.T, *party, setup)) {
	s := drawSetup(t)
	s.post, s.tasks = false, [2]tlscore.TaskSet{}
	s.small = false // it begins with small records again
	type step struct {
		server, update, request, closes bool
		data                            []byte
		moved                           int
		before                          [2]bool
	}
	steps := make([]step, rapid.IntRange(1, 12).Draw(t, "steps"))
	for i := range steps {
		steps[i] = step{
			server: rapid.Bool().Draw(t, "server"), data: payload(t, "data"),
			update: rapid.IntRange(0, 3).Draw(t, "update") == 0, request: rapid.Bool().Draw(t, "request"),
			closes: rapid.IntRange(0, 9).Draw(t, "closes") == 0, moved: rapid.IntRange(-1, 100).Draw(t, "moved"),
			before: [2]bool{rapid.Bool().Draw(t, "client is interrupted"), rapid.Bool().Draw(t, "server is interrupted")},
		}
	}
	run := func(disturbed bool) (logs [2][]string, sent [2][]byte) {
		client, server := connect(tt, t, s)
		parties := [2]*party{client, server}
		for _, p := range parties {
			p.log, p.sent = nil, nil
		}
		for _, step := range steps {
			for i, p := range parties {
				if disturbed && step.before[i] {
					interrupt(t, p, s)
				}
			}
			p := client
			if step.server {
				p = server
			}
			n, err := p.m.Write(step.data)
			p.wrote = append(p.wrote, step.data[:n]...)
			checkWriteError(t, p, err)
			if step.update {
				checkWriteError(t, p, p.m.KeyUpdate(step.request))
			}
			if step.closes {
				p.m.CloseWrite()
			}
			p.take(step.moved)
			p.peer.pull()
		}
		converse(client, server)
		for i, p := range parties {
			logs[i], sent[i] = p.log, p.sent
		}
		return logs, sent
	}
	logs, sent := run(false)
	otherLogs, otherSent := run(true)
	for i, name := range []string{"client", "server"} {
		if !slices.Equal(logs[i], otherLogs[i]) {
			t.Fatalf("the events of the %s differ:\n%q\n%q", name, logs[i], otherLogs[i])
		}
		if !bytes.Equal(sent[i], otherSent[i]) {
			t.Fatalf("the output of the %s differs", name)
		}
	}
}

// checkNotQuiet says how Hibernate, Snapshot and ExportTrafficSecrets may refuse.
func checkNotQuiet(t *rapid.T, err error) {
	t.Helper()
	if err != nil && !errors.Is(err, tlscore.ErrNotQuiet) && !errors.Is(err, tlscore.ErrReleased) {
		t.Fatalf("%v", err)
	}
}

// move has the connection go on in another machine, as if it were in another process.
func (p *party) move(t *rapid.T, s setup) {
	t.Helper()
	var key [tlscore.SnapshotKeyLen]byte
	output := slices.Clone(p.m.Output())
	snapshot, err := p.m.Snapshot(&key, p.rest)
	if err != nil {
		checkNotQuiet(t, err)
		return
	}
	if p.m.State() != tlscore.StateMoved || len(p.m.Output()) > 0 {
		t.Fatalf("a moved machine is in state %s, with %d bytes of output", p.m.State(), len(p.m.Output()))
	}
	cfg := s.clientConfig()
	if p.server {
		cfg = s.serverConfig()
	}
	m, leftover, err := tlscore.Restore(cfg, &key, snapshot)
	if err != nil {
		t.Fatalf("Restore: %v", err)
	}
	if !bytes.Equal(leftover, p.rest) || !bytes.Equal(m.Output(), output) {
		t.Fatalf("%d bytes of input and %d of output become %d and %d", len(p.rest), len(output), len(leftover), len(m.Output()))
	}
	p.m, p.rest = m, leftover
}

// checkWriteError says that a write may fail only in ways that are documented.
func checkWriteError(t *rapid.T, p *party, err error) {
	t.Helper()
	switch {
	case err == nil, errors.Is(err, tlscore.ErrNotReady), errors.Is(err, tlscore.ErrWriteClosed), errors.Is(err, tlscore.ErrReleased):
	case errors.Is(err, tlscore.ErrVersion) && p.m.ConnectionState().Version == tls.VersionTLS12:
	case p.m.Err() == nil || err.Error() != p.m.Err().Error():
		t.Fatalf("write: %v, but the connection says %v", err, p.m.Err())
	}
}

// checkFailed says what every failed machine is like.
func checkFailed(t *rapid.T, p *party) {
	t.Helper()
	if p.m.State() != tlscore.StateFailed {
		t.Fatalf("state %s", p.m.State())
	}
	first := p.m.Err()
	output := slices.Clone(p.m.Output())
	for range 2 {
		ev, n := p.m.Step(pattern(64, 1))
		if ev.Kind != tlscore.EventFailed || n != 0 {
			t.Fatalf("a failed machine took %d bytes: %v", n, ev)
		}
	}
	p.m.EOF()
	p.m.Step(nil)
	if n, err := p.m.Write([]byte("x")); n != 0 || err == nil {
		t.Fatalf("a failed machine takes writes: %d, %v", n, err)
	}
	if _, n, err := p.m.AppendSealed(make([]byte, 0), []byte("x")); n != 0 || err == nil {
		t.Fatalf("a failed machine seals: %d, %v", n, err)
	}
	if p.m.KeyUpdate(true) == nil {
		t.Fatalf("a failed machine updates its keys")
	}
	p.m.CloseWrite()
	if err := p.m.Reject(tlscore.AlertAccessDenied); !errors.Is(err, tlscore.ErrFailed) {
		t.Fatalf("Reject of a failed machine: %v", err)
	}
	if err := p.m.Accept(p.s.serverConfig()); !errors.Is(err, tlscore.ErrFailed) {
		t.Fatalf("Accept of a failed machine: %v", err)
	}
	if p.m.Err() != first {
		t.Fatalf("the error changed from %v to %v", first, p.m.Err())
	}
	if !bytes.Equal(p.m.Output(), output) {
		t.Fatalf("the output of a failed machine changed")
	}
}

// plaintextAlert returns the record of an alert that is not protected.
func plaintextAlert(a tlscore.Alert) []byte { return []byte{21, 3, 3, 0, 2, 2, byte(a)} }

// lastRecord returns the last record of a stream of whole records.
func lastRecord(t *rapid.T, stream []byte) []byte {
	t.Helper()
	var last []byte
	for len(stream) > 0 {
		if len(stream) < record.HeaderLen {
			t.Fatalf("the output ends inside a record")
		}
		size := record.HeaderLen + record.ParseHeader(stream).Length
		if size > len(stream) {
			t.Fatalf("the output ends inside a record")
		}
		last, stream = stream[:size], stream[size:]
	}
	return last
}

// Law 5: what goes wrong on the wire ends in Failed, or in a truncated end; the
// output ends in one alert, and the peer can read it.
func lawFailure(tt *testing.T, t *rapid.T) {
	s := drawScript(t)
	fromClient, fromServer := s.record(tt, t)
	onServer := rapid.Bool().Draw(t, "on the server")
	clean := fromServer
	if onServer {
		clean = fromClient
	}
	flip := faults{
		flip: rapid.IntRange(0, len(clean)-1).Draw(t, "flip"),
		mask: byte(rapid.IntRange(1, 255).Draw(t, "mask")),
		cut:  -1,
	}
	cryptotest.SetGlobalRandom(tt, s.seed)
	client, server := s.client(t), s.server(t)
	pair := sansio.NewPair(s.seed, client, server)
	victim, witness, link := client, server, &pair.BA
	if onServer {
		victim, witness, link = server, client, &pair.AB
	}
	*link = sansio.NewLink(s.seed, sansio.Faults{Flips: []sansio.Flip{{At: flip.flip, Mask: flip.mask}}})
	clientApp, serverApp := s.clientApp(client), s.serverApp(server)
	pair.OnA = func(ev tlscore.Event) { clientApp(ev) }
	pair.OnB = func(ev tlscore.Event) { serverApp(ev) }
	if err := pair.Run(1 << 20); err != nil {
		t.Fatalf("run: %v", err)
	}
	at, plaintext := locate(clean, flip.flip, s.tls12())
	if victim.State() != tlscore.StateFailed {
		// A change of what carries no meaning is no failure: the version of a
		// record, or the level of an alert. One that makes a record longer
		// leaves the machine waiting for the rest.
		return
	}
	checkFailed(t, &party{t: t, m: victim, s: s.setup})
	alert, sent := tlscore.AlertOf(victim.Err())
	var remote *tlscore.RemoteAlert
	switch {
	case !sent:
		// The peer failed first, or the flip made an alert of something.
	case !onServer && s.early && !server.EarlyDataAccepted():
		// The client may not have known yet that its early data is not read.
	case errors.As(witness.Err(), &remote):
		if remote.Alert != alert {
			t.Fatalf("sent %s, received %s", alert, remote.Alert)
		}
	case plaintext:
		// Both sides have different transcripts now, and so different keys.
		if witness.State() != tlscore.StateFailed {
			t.Fatalf("flip at %d in record %d: the peer is in %s, and we failed with %v", flip.flip, at, witness.State(), victim.Err())
		}
	default:
		// Unless the peer stopped reading before, it has the alert.
		if witness.State() != tlscore.StateClosed {
			t.Fatalf("flip at %d: the peer is in %s (%v), and we failed with %v", flip.flip, witness.State(), witness.Err(), victim.Err())
		}
	}
}

// locate says which record of a stream has the byte, and whether in the clear.
func locate(stream []byte, at int, tls12 bool) (index int, plaintext bool) {
	changed := false // the keys of TLS 1.2
	for index = 0; ; index++ {
		h := record.ParseHeader(stream)
		size := record.HeaderLen + h.Length
		if at < size {
			return index, h.Type != record.TypeApplicationData && !changed
		}
		changed = changed || tls12 && h.Type == record.TypeChangeCipherSpec
		at -= size
		stream = stream[size:]
	}
}

// Law 5, for our own refusals: Reject works in every live state, and the alert
// is what the peer reads last.
func lawReject(tt *testing.T, t *rapid.T) {
	s := drawSetup(t)
	s.output = 0
	client, server := newPair(tt, t, s)
	rejecter, witness := client, server
	if rapid.Bool().Draw(t, "server") {
		rejecter, witness = server, client
	}
	steps := rapid.IntRange(0, 8).Draw(t, "steps")
	for range steps {
		for _, p := range []*party{client, server} {
			for {
				ev := p.step()
				if ev.Kind == tlscore.EventClientHello && rapid.Bool().Draw(t, "accept") {
					p.accept()
				}
				if ev.Kind == tlscore.EventWait && p.m.Task() != nil && rapid.Bool().Draw(t, "task") {
					p.done()
					continue
				}
				// Events may still be due when the application has had enough.
				if ev.Stop() || rapid.IntRange(0, 5).Draw(t, "pause") == 0 {
					break
				}
			}
		}
		if rapid.Bool().Draw(t, "write") {
			if rejecter.m.State() == tlscore.StateConnected {
				rejecter.write(payload(t, "data"))
			}
		}
		client.take(-1)
		server.take(-1)
	}
	if rejecter.m.State() == tlscore.StateConnected && rapid.IntRange(0, 3).Draw(t, "closed before") == 0 {
		rejectClosed(t, rejecter)
		return
	}
	alert := tlscore.Alert(rapid.Byte().Draw(t, "alert"))
	err := rejecter.m.Reject(alert)
	if alert == tlscore.AlertCloseNotify || alert == tlscore.AlertUserCanceled {
		if !errors.Is(err, tlscore.ErrNoErrorAlert) || rejecter.m.State() == tlscore.StateFailed {
			t.Fatalf("Reject(%s): %v", alert, err)
		}
		return
	}
	if err != nil {
		t.Fatalf("Reject: %v", err)
	}
	checkFailed(t, rejecter)
	var local *tlscore.LocalError
	if !errors.As(rejecter.m.Err(), &local) || local.Alert != alert {
		t.Fatalf("Err: %v", rejecter.m.Err())
	}
	if len(lastRecord(t, rejecter.m.Output())) == 0 {
		t.Fatalf("no alert in the output")
	}
	deaf := rejecter.deaf()
	rejecter.take(-1)
	for range 10 {
		if ev := witness.pull(); ev.Kind == tlscore.EventWait && witness.m.State() == tlscore.StateWaitAccept {
			witness.accept()
		}
		rejecter.rest = nil
		witness.take(-1)
	}
	if !bytes.HasSuffix(rejecter.sent, plaintextAlert(alert)) && witness.m.State() == tlscore.StateWaitClientHello {
		t.Fatalf("no alert in the clear")
	}
	if deaf && !server.m.EarlyDataAccepted() {
		return
	}
	var remote *tlscore.RemoteAlert
	if !errors.As(witness.m.Err(), &remote) || remote.Alert != alert {
		t.Fatalf("rejected with %s, the peer says %v in state %s", alert, witness.m.Err(), witness.m.State())
	}
	if !bytes.Equal(witness.got, rejecter.wrote) {
		t.Fatalf("data written before the failure was lost")
	}
}

// rejectClosed rejects behind our own close_notify, where nothing may follow.
func rejectClosed(t *rapid.T, p *party) {
	t.Helper()
	p.m.CloseWrite()
	before := slices.Clone(p.m.Output())
	if err := p.m.Reject(tlscore.AlertAccessDenied); err != nil {
		t.Fatalf("Reject: %v", err)
	}
	if !bytes.Equal(p.m.Output(), before) {
		t.Fatalf("an alert behind our close_notify")
	}
	checkFailed(t, p)
}

// Law 6: what Write took arrives, whole and in order, whatever happens behind
// it: a close, a rejection, a KeyUpdate, short sends.
func lawNothingLost(tt *testing.T, t *rapid.T) {
	s := drawSetup(t)
	client, server := connect(tt, t, s)
	parties := []*party{client, server}
	inARow := map[*party]int{} // KeyUpdates without application data
	t.Repeat(map[string]func(*rapid.T){
		"write": func(t *rapid.T) {
			p := rapid.SampledFrom(parties).Draw(t, "party")
			data := payload(t, "data")
			n, err := p.m.Write(data)
			if err != nil {
				t.Fatalf("Write: %v", err)
			}
			if n == 0 && len(p.m.Output()) == 0 {
				t.Fatalf("Write takes nothing though the output is empty")
			}
			if n > 0 {
				inARow[p] = 0
			}
			p.wrote = append(p.wrote, data[:n]...)
		},
		"update": func(t *rapid.T) {
			p := rapid.SampledFrom(parties).Draw(t, "party")
			// Its answers to the peer's count as well.
			if inARow[p]++; inARow[p] > 10 {
				return
			}
			err := p.m.KeyUpdate(rapid.Bool().Draw(t, "request"))
			if (err == tlscore.ErrVersion) != s.tls12() || err != nil && err != tlscore.ErrVersion {
				t.Fatalf("KeyUpdate: %v", err)
			}
		},
		"move": func(t *rapid.T) {
			p := rapid.SampledFrom(parties).Draw(t, "party")
			p.take(rapid.IntRange(0, 30000).Draw(t, "n"))
			p.peer.pull()
		},
		"": func(t *rapid.T) {
			for _, p := range parties {
				if !bytes.HasPrefix(p.peer.wrote, p.got) {
					t.Fatalf("what arrives is not what was written")
				}
				if p.m.Err() != nil {
					t.Fatalf("failed: %v", p.m.Err())
				}
			}
		},
	})
	end := rapid.SampledFrom([]string{"close", "reject", "nothing"}).Draw(t, "end")
	switch end {
	case "close":
		client.m.CloseWrite()
	case "reject":
		client.m.Reject(tlscore.AlertAccessDenied)
	}
	client.take(-1)
	server.pull()
	if !bytes.Equal(server.got, client.wrote) {
		t.Fatalf("%d of %d bytes arrived before the %s", len(server.got), len(client.wrote), end)
	}
}

// Law 7: nothing is decrypted before it is asked for, and Write stops at its
// bound.
func lawBackPressure(tt *testing.T, t *rapid.T) {
	s := drawSetup(t)
	client, server := connect(tt, t, s)
	limit := s.output
	if limit == 0 {
		limit = 64 << 10
	}
	// Nobody takes the output: it stays within its bound, KeyUpdates apart.
	for range rapid.IntRange(1, 20).Draw(t, "writes") {
		data := payload(t, "data")
		n, err := client.m.Write(data)
		if err != nil {
			t.Fatalf("Write: %v", err)
		}
		client.wrote = append(client.wrote, data[:n]...)
		const updates = 27 * 20 // at most, with keys of two records
		if out := len(client.m.Output()); out > limit+updates && s.keyRecords == 0 {
			t.Fatalf("%d bytes of output over a bound of %d", out, limit)
		}
	}
	client.take(-1)
	// One event at a time: what is behind it stays as it is on the wire.
	for len(server.got) < len(client.wrote) {
		before := len(server.got)
		ev := server.step()
		if ev.Kind == tlscore.EventNone {
			t.Fatalf("%d of %d bytes arrived", len(server.got), len(client.wrote))
		}
		if len(server.got)-before > record.MaxPlaintext {
			t.Fatalf("an event of %d bytes", len(server.got)-before)
		}
	}
	if !bytes.Equal(server.got, client.wrote) {
		t.Fatalf("what arrived is not what was written")
	}
}

// Law 7: the first request for a KeyUpdate is answered at once, further ones
// when there is application data, and 33 in a row fail.
func lawKeyUpdate(tt *testing.T, t *rapid.T) {
	s := drawSetup(t).tls13()
	s.keyRecords, s.output = 0, 0
	s.shares = s.groups[:1]
	cryptotest.SetGlobalRandom(tt, s.seed)
	p, peer := s.meetPeer(t, rapid.Bool().Draw(t, "a server"))
	leadUpTo(t, p, peer, "update")
	requests := rapid.IntRange(1, 40).Draw(t, "requests")
	for i := range requests {
		peer.Send(peer.KeyUpdate(1))
		p.rest = append(p.rest, peer.Take()...)
		p.pull()
		if i == 32 {
			checkFailed(t, p)
			var protocol *tlscore.ProtocolError
			if !errors.As(p.m.Err(), &protocol) || protocol.Reason != tlscore.ReasonTooManyKeyUpdates {
				t.Fatalf("Err: %v", p.m.Err())
			}
			return
		}
		if p.m.Err() != nil {
			t.Fatalf("request %d: %v", i, p.m.Err())
		}
		answers := keyUpdates(t, p, peer)
		if want := i == 0; len(answers) == 1 != want {
			t.Fatalf("request %d: %d answers", i, len(answers))
		}
	}
	// A request that is still open is answered in front of the next data, once.
	data := pattern(rapid.IntRange(1, 200).Draw(t, "data"), 7)
	if n, err := p.m.Write(data); n != len(data) || err != nil {
		t.Fatalf("Write: %d, %v", n, err)
	}
	answers := keyUpdates(t, p, peer)
	if want := requests > 1; len(answers) == 1 != want {
		t.Fatalf("%d requests, and %d answers in front of the data", requests, len(answers))
	}
	if last := peer.Last(); last.Type != record.TypeApplicationData || !bytes.Equal(last.Body, data) {
		t.Fatalf("the peer read %v behind the answer", last)
	}
	// The data of the peer comes behind all its updates, and ends the row.
	peer.SendRecord(record.TypeApplicationData, data)
	peer.Send(peer.KeyUpdate(0))
	p.rest = append(p.rest, peer.Take()...)
	p.pull()
	if !bytes.Equal(p.got, data) || p.m.Err() != nil {
		t.Fatalf("data behind %d KeyUpdates is lost: %v", requests, p.m.Err())
	}
}

// keyUpdates gives the machine's output to the peer, and returns the KeyUpdates
// that were in it.
func keyUpdates(t *rapid.T, p *party, peer *tlstest.Peer) (answers []tlstest.Item) {
	t.Helper()
	out := p.m.Output()
	for _, item := range peer.Receive(out) {
		if item.Type == record.TypeHandshake && wire.HandshakeType(item.Body[0]) == wire.TypeKeyUpdate {
			answers = append(answers, item)
		}
	}
	p.m.Sent(len(out))
	if peer.Err != nil {
		t.Fatalf("the peer: %v", peer.Err)
	}
	return answers
}

// Law 8: each direction closes by itself, truncation is told apart from an end,
// and CloseWrite inside the handshake cancels it.
func lawDirections(tt *testing.T, t *rapid.T) {
	s := drawSetup(t)
	s.output = 0
	switch rapid.SampledFrom([]string{"connected", "cancel", "lose"}).Draw(t, "when") {
	case "cancel":
		lawCancel(tt, t, s)
		return
	case "lose":
		lawLostTransport(tt, t, s)
		return
	}
	client, server := connect(tt, t, s)
	closer, other := client, server
	if rapid.Bool().Draw(t, "server closes") {
		closer, other = server, client
	}
	closer.write(payload(t, "last words"))
	clean := rapid.Bool().Draw(t, "clean")
	if clean {
		closer.m.CloseWrite()
		closer.m.CloseWrite() // once more changes nothing
	}
	closer.take(-1)
	if !clean {
		other.rest = other.rest[:rapid.IntRange(0, len(other.rest)).Draw(t, "cut")]
	}
	if rapid.Bool().Draw(t, "early EOF") || !clean {
		other.eof()
	}
	ev := other.pull()
	if ev.Kind != tlscore.EventClosed || ev.Truncated == clean {
		t.Fatalf("clean %v: %v (%v)", clean, ev, other.m.Err())
	}
	if clean && !bytes.Equal(other.got, closer.wrote) {
		t.Fatalf("data before the close is lost")
	}
	if again, n := other.m.Step(pattern(40, 9)); again.Kind != tlscore.EventClosed || n != 0 || again.Truncated != ev.Truncated {
		t.Fatalf("the stop does not repeat: %v %d", again, n)
	}
	if clean {
		if _, err := closer.m.Write([]byte("x")); !errors.Is(err, tlscore.ErrWriteClosed) {
			t.Fatalf("Write after CloseWrite: %v", err)
		}
	}
	// The other direction goes on.
	answer := payload(t, "answer")
	if err := other.write(answer); err != nil {
		t.Fatalf("Write after the peer's close: %v", err)
	}
	other.m.CloseWrite()
	other.take(-1)
	if ev := closer.pull(); ev.Kind != tlscore.EventClosed || ev.Truncated {
		t.Fatalf("%v (%v)", ev, closer.m.Err())
	}
	if !bytes.Equal(closer.got, answer) {
		t.Fatalf("the answer is lost")
	}
}

// lawCancel closes inside the handshake.
func lawCancel(tt *testing.T, t *rapid.T, s setup) {
	client, server := newPair(tt, t, s)
	canceler, other := client, server
	if rapid.Bool().Draw(t, "server cancels") {
		canceler, other = server, client
	}
	for range rapid.IntRange(0, 3).Draw(t, "flights") {
		client.pull()
		client.take(-1)
		server.pull()
		if rapid.Bool().Draw(t, "server's flight") {
			server.take(-1)
		}
	}
	writable := slices.Contains(canceler.events, tlscore.EventWritable)
	state := canceler.m.State()
	canceler.m.CloseWrite()
	ev := canceler.pull()
	if writable {
		// Its own flight is complete: this is an ordinary close.
		if canceler.m.Err() != nil {
			t.Fatalf("CloseWrite behind the Finished: %v", canceler.m.Err())
		}
	} else {
		var local *tlscore.LocalError
		if ev.Kind != tlscore.EventFailed || !errors.As(canceler.m.Err(), &local) || local.Reason != tlscore.ReasonCanceled {
			t.Fatalf("CloseWrite inside the handshake: %v, %v", ev, canceler.m.Err())
		}
		checkFailed(t, canceler)
	}
	open := canceler.earlyOpen
	if !open && s.sendsPlaintext(state, canceler == client) && !bytes.HasSuffix(canceler.m.Output(), []byte{21, 3, 3, 0, 2, 1, 90, 21, 3, 3, 0, 2, 1, 0}) {
		t.Fatalf("output %x in state %s", canceler.m.Output(), state)
	}
	canceler.take(-1)
	converse(client, server)
	if writable || open && !server.m.EarlyDataAccepted() {
		return
	}
	if s.tls12() && other.m.State() == tlscore.StateClosed {
		return // who sends the first Finished can be canceled when its peer is not
	}
	var remote *tlscore.RemoteAlert
	if !errors.As(other.m.Err(), &remote) || remote.Alert != tlscore.AlertCloseNotify {
		t.Fatalf("the peer of a canceled handshake: %v in %s", other.m.Err(), other.m.State())
	}
	if len(other.m.Output()) > 0 {
		t.Fatalf("an alert in answer to close_notify")
	}
}

// plaintextStates are those in which what is sent is not protected.
var plaintextStates = map[tlscore.State]bool{
	tlscore.StateClientStart:          true,
	tlscore.StateWaitServerHello:      true,
	tlscore.StateWaitServerHelloRetry: true,
	tlscore.StateWaitClientHello:      true,
	tlscore.StateWaitAccept:           true,
	tlscore.StateWaitClientHelloRetry: true,
}

// sendsPlaintext reports whether what is sent in a state is not protected; of the
// states of tasks it says nothing.
func (s setup) sendsPlaintext(state tlscore.State, client bool) bool {
	switch {
	case plaintextStates[state]:
		return true
	case !s.tls12() || state < tlscore.StateClientStart || state >= tlscore.StateConnected:
		return false
	}
	if s.session != nil { // the server's Finished comes first
		return client || state < tlscore.StateWaitClientChangeCipherSpec
	}
	return !client || state < tlscore.StateWaitNewSessionTicket
}

// lawLostTransport ends the transport inside the handshake: a failure, and
// nobody to tell.
func lawLostTransport(tt *testing.T, t *rapid.T, s setup) {
	client, server := newPair(tt, t, s)
	loser := client
	for range rapid.IntRange(0, 2).Draw(t, "flights") {
		client.pull()
		client.take(-1)
		server.pull()
		server.take(-1)
	}
	if rapid.Bool().Draw(t, "server loses") {
		loser = server
	}
	if len(loser.rest) > 0 {
		loser.rest = loser.rest[:rapid.IntRange(0, min(len(loser.rest)-1, 100)).Draw(t, "cut")]
	}
	if loser.m.State() == tlscore.StateConnected {
		return
	}
	loser.pull()
	loser.take(-1)
	loser.eof()
	loser.pull()
	var local *tlscore.LocalError
	if !errors.As(loser.m.Err(), &local) || local.Reason != tlscore.ReasonTransportClosed {
		t.Fatalf("EOF inside the handshake: %v", loser.m.Err())
	}
	out := loser.m.Output()
	if len(out) > 0 && record.ParseHeader(out).Type == record.TypeAlert {
		t.Fatalf("an alert to nobody: %x", out)
	}
	checkFailed(t, loser)
}

// Law 9: bytes behind a message that changes keys, in its own record, fail.
func lawKeyChange(tt *testing.T, t *rapid.T) {
	tail := rapid.SliceOfN(rapid.Byte(), 1, 20).Draw(t, "tail")
	if rapid.Bool().Draw(t, "a whole message") {
		tail = []byte{byte(rapid.IntRange(0, 25).Draw(t, "type")), 0, 0, 0}
	}
	s := drawSetup(t)
	s.early = false // the scripted peer would not read an alert there
	cryptotest.SetGlobalRandom(tt, s.seed)
	if s.tls12() {
		lawKeyChange12(t, s, tail)
		return
	}
	before := rapid.SampledFrom([]string{"hello", "retry", "finished", "update"}).Draw(t, "message")
	s.shares = s.groups[:1]
	if before == "retry" {
		s.shares = []tls.CurveID{}
	}
	p, peer := s.meetPeer(t, rapid.Bool().Draw(t, "a server"))
	message := leadUpTo(t, p, peer, before)
	if message == nil {
		return // this role receives no such message
	}
	aligned := rapid.IntRange(0, 9).Draw(t, "aligned") == 0
	if aligned {
		tail = nil
	}
	state := p.m.State()
	peer.SendRecord(record.TypeHandshake, append(message, tail...))
	p.rest = append(p.rest, peer.Take()...)
	p.pull()
	if aligned {
		if p.m.Err() != nil {
			t.Fatalf("%s on a record boundary in %s: %v", before, state, p.m.Err())
		}
		return
	}
	var protocol *tlscore.ProtocolError
	if !errors.As(p.m.Err(), &protocol) || protocol.Reason != tlscore.ReasonKeyChangeAlignment {
		t.Fatalf("%d bytes behind %s in %s: %v", len(tail), before, state, p.m.Err())
	}
	checkFailed(t, p)
	peer.Receive(p.m.Output())
	if alerts := peer.Alerts(); len(alerts) != 1 || alerts[0] != [2]byte{2, byte(tlscore.AlertUnexpectedMessage)} {
		t.Fatalf("the peer read the alerts %v (%v)", alerts, peer.Err)
	}
}

// lawKeyChange12 is law 9 in TLS 1.2, where keys change with change_cipher_spec: it
// comes between messages, in its place only, and nothing is left in front of it. And
// no bytes are behind the Finished, or where the peer has to wait for us.
func lawKeyChange12(t *rapid.T, s setup, tail []byte) {
	p, peer := s.meetPeer(t, rapid.Bool().Draw(t, "a server"))
	place := rapid.SampledFrom([]string{"in front", "early", "twice", "done", "finished"}).Draw(t, "place")
	steps := p.lead12(t, peer)
	last := len(steps) - 1 // Finished; in front of it is change_cipher_spec
	upTo := map[string]int{
		"in front": last - 1, "early": rapid.IntRange(1, last-2).Draw(t, "step"), "twice": last, "done": last - 2, "finished": last,
	}[place]
	for _, step := range steps[:upTo] {
		step(nil)
	}
	state := p.m.State()
	reasons := []tlscore.Reason{tlscore.ReasonUnexpectedRecord}
	switch place {
	case "in front":
		peer.SendRecord(record.TypeHandshake, tail)
		peer.SendRecord(record.TypeChangeCipherSpec, []byte{1})
		reasons = []tlscore.Reason{tlscore.ReasonInterleavedHandshake, tlscore.ReasonUnexpectedMessage, tlscore.ReasonMessageTooLarge}
	case "early":
		peer.SendRecord(record.TypeChangeCipherSpec, []byte{1})
	case "twice":
		peer.SendPlain(record.TypeChangeCipherSpec, []byte{1})
	case "done", "finished":
		if place == "done" && p.m.State() == tlscore.StateWaitClientKeyExchange {
			return // the client's share is followed by more of its flight
		}
		steps[upTo](tail)
		reasons = []tlscore.Reason{tlscore.ReasonKeyChangeAlignment}
	}
	p.rest = append(p.rest, peer.Take()...)
	p.pull()
	var protocol *tlscore.ProtocolError
	if !errors.As(p.m.Err(), &protocol) || !slices.Contains(reasons, protocol.Reason) {
		t.Fatalf("%s, %x in %s: %v", place, tail, state, p.m.Err())
	}
	checkFailed(t, p)
	peer.Receive(p.m.Output())
	if alerts := peer.Alerts(); len(alerts) != 1 || alerts[0][0] != 2 {
		t.Fatalf("the peer read the alerts %v (%v)", alerts, peer.Err)
	}
}

// lead12 returns the steps of the peer through a handshake of TLS 1.2. Each may have
// a tail behind its message; the next to last is change_cipher_spec.
func (p *party) lead12(t *rapid.T, peer *tlstest.Peer) []func(tail []byte) {
	exchange := func() {
		p.rest = append(p.rest, peer.Take()...)
		p.pull()
		out := p.m.Output()
		peer.Receive(out)
		p.m.Sent(len(out))
		if peer.Err != nil {
			t.Fatalf("the peer: %v", peer.Err)
		}
	}
	send := func(build func() []byte) func([]byte) {
		return func(tail []byte) {
			msg := build()
			if tail != nil {
				peer.SendRecord(record.TypeHandshake, append(msg, tail...))
				return
			}
			peer.Send(msg)
			exchange()
		}
	}
	ccs := func([]byte) { peer.SendCCS(); exchange() }
	exchange()
	if p.m.State() == tlscore.StateWaitServerHello {
		return []func([]byte){
			send(peer.ServerHello), send(peer.CertificateMessage), send(peer.ServerKeyExchange), send(peer.ServerHelloDone), ccs, send(peer.Finished),
		}
	}
	return []func([]byte){send(peer.ClientHello), send(peer.ClientKeyExchange), ccs, send(peer.Finished)}
}

// meetPeer makes a machine whose other end is a scripted peer.
func (s setup) meetPeer(t *rapid.T, server bool) (*party, *tlstest.Peer) {
	s = s.unauthenticated()
	p := &party{t: t, s: s}
	p.m = s.client(t)
	if server {
		p.m = s.server(t)
	}
	peer := tlstest.NewPeer(!server)
	peer.Suite = wire.CipherSuite(s.suites[0])
	peer.Group = wire.NamedGroup(s.groups[0])
	if s.tls12() {
		peer = tlstest.NewPeer12(!server)
		peer.Suite, peer.Group = wire.CipherSuite(s.suites12[0]), wire.NamedGroup(s.group12())
		if !server {
			peer.Certificate, peer.Scheme = certificate(s.key, s.chain), schemes[s.key]
		}
		peer.OnClientHello = func(m *wire.ClientHello) {
			m.SupportedGroups = []wire.NamedGroup{wire.GroupX25519, wire.GroupP256, wire.GroupP384, wire.GroupP521}
		}
	}
	p.pull()
	return p, peer
}

// leadUpTo plays the handshake up to the message, which it returns unsent.
func leadUpTo(t *rapid.T, p *party, peer *tlstest.Peer, message string) []byte {
	t.Helper()
	exchange := func() {
		p.rest = append(p.rest, peer.Take()...)
		p.pull()
		out := p.m.Output()
		peer.Receive(out)
		p.m.Sent(len(out))
		if peer.Err != nil || p.m.Err() != nil {
			t.Fatalf("the handshake fails: %v, %v", peer.Err, p.m.Err())
		}
	}
	exchange()
	if p.m.State() == tlscore.StateWaitServerHello {
		switch message {
		case "hello":
			return peer.ServerHello()
		case "retry":
			peer.Cookie = []byte("cookie")
			return peer.HelloRetryRequest()
		}
		peer.Send(peer.ServerHello())
		peer.Send(peer.EncryptedExtensions())
		peer.Send(peer.CertificateMessage())
		peer.Send(peer.CertificateVerify())
		exchange()
	} else {
		switch message {
		case "hello":
			return peer.ClientHello()
		case "retry":
			return nil
		}
		peer.Send(peer.ClientHello())
		exchange()
	}
	if message == "finished" {
		return peer.Finished()
	}
	peer.Send(peer.Finished())
	exchange()
	return peer.KeyUpdate(byte(rapid.IntRange(0, 1).Draw(t, "request")))
}

// ledger is an allocator that knows what it lent, and poisons what comes back.
type ledger struct {
	t    *rapid.T
	lent map[*byte]int
	most int
	now  int
}

func newLedger(t *rapid.T) *ledger { return &ledger{t: t, lent: map[*byte]int{}} }

func (l *ledger) Get(n int) []byte {
	b := make([]byte, n, n+n/7)
	poison(b[:cap(b)])
	l.lent[&b[0]] = cap(b)
	l.now += cap(b)
	l.most = max(l.most, l.now)
	return b
}

func (l *ledger) Put(b []byte) {
	b = b[:cap(b)]
	size, ok := l.lent[&b[0]]
	if !ok || size != len(b) {
		l.t.Fatalf("memory was put back that was not lent, or not whole")
	}
	delete(l.lent, &b[0])
	l.now -= size
	poison(b)
}

// Law 10: an event's data lives until the next input, whatever is sent
// meanwhile; idle machines and released ones hold no memory; all three ways to
// get output give the same bytes.
func lawOwnership(tt *testing.T, t *rapid.T) {
	s := drawSetup(t)
	s.output = 0
	run := func(how string) (bytesSent []byte) {
		cryptotest.SetGlobalRandom(tt, s.seed)
		memory := newLedger(t)
		clientConfig, serverConfig := s.clientConfig(), s.serverConfig()
		clientConfig.Allocator, serverConfig.Allocator = memory, memory
		c, err := tlscore.NewClient(clientConfig)
		if err != nil {
			t.Fatal(err)
		}
		m, err := tlscore.NewServer(serverConfig)
		if err != nil {
			t.Fatal(err)
		}
		client, server := &party{t: t, m: c, s: s}, &party{t: t, m: m, s: s}
		client.peer, server.peer = server, client
		converse(client, server)
		if memory.now != 0 {
			t.Fatalf("%d bytes are held by two idle machines", memory.now)
		}
		// An echo writes the event's data itself.
		echoes := 0
		server.onData = func(p *party, data []byte) {
			echoes++
			before := slices.Clone(data)
			var n int
			var err error
			switch how {
			case "write":
				n, err = p.m.Write(data)
			case "seal":
				dst := make([]byte, 0, p.m.SealedLen(len(data)))
				dst, n, err = p.m.AppendSealed(dst, data)
				if len(dst) != cap(dst) {
					t.Fatalf("SealedLen says %d, and it is %d", cap(dst), len(dst))
				}
				bytesSent = append(bytesSent, dst...)
				p.peer.rest = append(p.peer.rest, dst...)
			case "append":
				n, err = p.m.Write(data)
				for {
					dst := p.m.AppendOutput(make([]byte, 0, 1000))
					if len(dst) == 0 {
						break
					}
					bytesSent = append(bytesSent, dst...)
					p.peer.rest = append(p.peer.rest, dst...)
				}
			}
			if err != nil || n != len(data) {
				t.Fatalf("%s: %d of %d bytes, %v", how, n, len(data), err)
			}
			if !bytes.Equal(data, before) {
				t.Fatalf("%s changed the event's data", how)
			}
			if how == "write" {
				out := p.m.Output()
				view := slices.Clone(out)
				p.m.KeyUpdate(false)
				if !bytes.Equal(out, view) {
					t.Fatalf("the output moved before it was sent")
				}
				bytesSent = append(bytesSent, view...)
				p.take(len(view))
				bytesSent = append(bytesSent, p.m.Output()...)
				p.take(-1)
			} else {
				p.m.KeyUpdate(false)
				bytesSent = append(bytesSent, p.m.Output()...)
				p.take(-1)
			}
		}
		data := pattern(20000, 5)
		client.write(data)
		client.take(-1)
		server.pull()
		client.pull()
		if echoes == 0 || !bytes.Equal(client.got, data) {
			t.Fatalf("%s: the echo is not what was written", how)
		}
		if memory.now != 0 {
			t.Fatalf("%d bytes are held by two idle machines", memory.now)
		}
		// What Output has shown stays, though the memory behind it is outgrown.
		client.m.Write(data[:100])
		view := client.m.Output()
		before := slices.Clone(view)
		client.m.Write(data)
		if !bytes.Equal(view, before) {
			t.Fatalf("the output moved before it was sent")
		}
		client.take(len(view))
		// Release hands back what an abandoned machine holds.
		client.m.Write(data)
		server.m.Write(data)
		client.m.Release()
		server.m.Release()
		if memory.now != 0 {
			t.Fatalf("%d bytes are held by released machines", memory.now)
		}
		if ev, n := client.m.Step(pattern(9, 9)); ev.Kind != tlscore.EventFailed || n != 0 {
			t.Fatalf("a released machine: %v %d", ev, n)
		}
		return bytesSent
	}
	write, seal, moved := run("write"), run("seal"), run("append")
	if !bytes.Equal(write, seal) || !bytes.Equal(write, moved) {
		t.Fatalf("Write, AppendSealed and AppendOutput give different bytes")
	}
}
