package fuzz

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/cryptotest"

	"tlscore.example/tlscore"
	"tlscore.example/tlscore/internal/tlstest"
)

// A reader takes a fuzz input apart. Behind its end there are zeros, and zero
// always chooses what is ordinary.
type reader []byte

func (r *reader) next() byte {
	if len(*r) == 0 {
		return 0
	}
	b := (*r)[0]
	*r = (*r)[1:]
	return b
}

// pick returns the element of list that the next byte chooses.
func pick[T any](r *reader, list []T) T { return list[int(r.next())%len(list)] }

// The choices of a config. The first of each list is the ordinary one. Most
// avoid ML-KEM and RSA, which would be most of the time.
var (
	suiteChoices = [][]uint16{
		nil,
		{tls.TLS_AES_128_GCM_SHA256},
		{tls.TLS_AES_256_GCM_SHA384},
		{tls.TLS_CHACHA20_POLY1305_SHA256},
		{tls.TLS_CHACHA20_POLY1305_SHA256, tls.TLS_AES_128_GCM_SHA256},
		{tls.TLS_AES_256_GCM_SHA384, tls.TLS_CHACHA20_POLY1305_SHA256, tls.TLS_AES_128_GCM_SHA256},
		{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256},
		{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384},
		{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_AES_128_GCM_SHA256},
	}
	groupChoices = [][]tls.CurveID{
		{tls.X25519, tls.CurveP256},
		{tls.X25519},
		{tls.CurveP256},
		{tls.CurveP256, tls.X25519},
		{tls.CurveP384, tls.CurveP521},
		{tls.X25519MLKEM768, tls.X25519},
		{tls.SecP256r1MLKEM768, tls.CurveP256},
		{tls.SecP384r1MLKEM1024},
		nil,
	}
	alpnChoices = [][]string{
		nil,
		{"h2", "http/1.1"},
		{"http/1.1"},
		{"x"},
		{"h2"},
	}
	certificateChoices = [][]tlstest.Leaf{
		{{Key: tlstest.Ed25519}},
		{{Key: tlstest.ECDSAP256}},
		{{Key: tlstest.ECDSAP256, Names: []string{"other.example"}}, {Key: tlstest.Ed25519, Intermediate: true}},
		{{Key: tlstest.ECDSAP384}, {Key: tlstest.ECDSAP521}},
		{{Key: tlstest.Ed25519, UnknownCA: true}},
		{{Key: tlstest.RSA2048}},
	}
	limitChoices = []tlscore.Limits{
		{},
		{Output: 30, KeyRecords: 2},
		{Output: 100, KeyRecords: 3},
		{Output: 20000, KeyRecords: 7},
		{ClientHello: 200, HandshakeMessage: 200},
		{ClientHello: 2000, HandshakeMessage: 600},
		{SkippedEarlyData: 100},
		{ClientHello: 1},
	}
	nameChoices = []string{"localhost", "other.example", "127.0.0.1", "localhost.", ""}
)

var errRefused = errors.New("refused by the application")

// certificates are made once: the same Leaf gives the same bytes.
var certificates = func() (list [][]tls.Certificate) {
	for _, leaves := range certificateChoices {
		var chains []tls.Certificate
		for _, leaf := range leaves {
			chains = append(chains, tlstest.Certificate(leaf))
		}
		list = append(list, chains)
	}
	return list
}()

var roots = sync.OnceValue(tlstest.Roots)

// A setup is what the first part of an input chooses: how a machine is made.
// From one setup any number of machines can be made that behave the same.
type setup struct {
	role   role
	seed   byte
	limits tlscore.Limits
	accept byte // what an acceptor answers to the ClientHello
	locked bool // a lock is installed

	versions     [2]uint16
	tasks        tlscore.TaskSet
	suites       []uint16
	groups       []tls.CurveID
	shares       []tls.CurveID
	alpn         []string
	certificates []tls.Certificate
	serverName   string
	noCompat     bool
	callbacks    byte // which callbacks there are, and what they do
	randomLimit  int  // the random source fails behind so many bytes; 0 never
	nullRandom   bool // it gives zeros
	tracePanics  bool // Config.Trace panics; seed says at which call
	more         byte // what else there is
	session      byte // what was before, see sessionThere
	resuming     byte // how that goes on
	prepared     *prepared
}

type role int

const (
	roleServer role = iota
	roleClient
	roleAcceptor
)

func newSetup(r role, input []byte) *setup {
	in := reader(input)
	s := &setup{role: r}
	flags := in.next()
	s.noCompat = flags&1 != 0
	s.locked = flags&2 != 0
	s.nullRandom = flags&4 != 0
	s.tracePanics = flags&16 != 0
	if flags&32 != 0 {
		s.versions[1] = tls.VersionTLS12
	}
	if flags&64 != 0 {
		s.versions[0] = tls.VersionTLS13
	}
	if flags&128 != 0 {
		s.tasks = tlscore.AllTasks
	}
	s.suites = pick(&in, suiteChoices)
	s.groups = pick(&in, groupChoices)
	s.shares = s.chooseShares(in.next())
	s.alpn = pick(&in, alpnChoices)
	s.limits = pick(&in, limitChoices)
	s.certificates = pick(&in, certificates)
	s.serverName = pick(&in, nameChoices)
	s.callbacks = in.next()
	s.randomLimit = int(in.next())
	s.accept = in.next()
	s.seed = in.next()
	s.more = in.next()
	s.session = in.next()
	s.resuming = in.next()
	s.prepared = s.newPrepared()
	return s
}

func (s *setup) chooseShares(choice byte) []tls.CurveID {
	switch n := len(s.groups); {
	case choice == 1:
		return []tls.CurveID{}
	case choice == 2 && n > 0:
		return s.groups[n-1:]
	case choice == 3 && n > 0:
		return s.groups
	}
	return nil
}

// What the bits of callbacks mean.
const (
	callGetCertificate = 1 << iota
	callVerifyPeer
	callVerifyConnection
	callRefuses
	callPanics
	skipVerify
	noCertificates
	tasksFail // where they are lifted
)

// What the bits of more mean.
const (
	moreAsks     = 1 << iota // a server asks for a certificate; a client offers to show one later
	moreRequires             // and requires one
	moreSessions             // stateful ones; a client has a cache
	moreStaples              // OCSP responses and timestamps
	moreLimit                // record_size_limit, and padding
	moreGREASE
	moreEarly // data
)

// addMore puts in what else there is.
func (s *setup) addMore(cfg *tlscore.Config) {
	if s.more&moreAsks != 0 {
		cfg.ClientAuth, cfg.ClientCAs, cfg.PostHandshakeAuth = tls.RequestClientCert, roots(), true
	}
	if s.more&moreRequires != 0 {
		cfg.ClientAuth, cfg.ClientCAs = tls.RequireAndVerifyClientCert, roots()
	}
	if s.more&moreSessions != 0 {
		cfg.SessionStore, cfg.SessionCache = tlscore.NewSessionStore(4), tlscore.NewLRUSessionCache(4, 2)
	}
	if s.more&moreStaples != 0 {
		cfg.OCSPStapling, cfg.SignedCertificateTimestamps = true, true
		cfg.GetOCSPResponse = func(*tls.Certificate) ([]byte, error) { return []byte("response"), s.answer() }
	}
	if s.more&moreLimit != 0 {
		cfg.RecordSizeLimit, cfg.RecordPadding = 200, 10
	}
	if s.more&moreGREASE != 0 {
		cfg.GREASE, cfg.ShuffleExtensions = true, true
	}
	if s.more&moreEarly != 0 {
		cfg.EarlyData, cfg.MaxEarlyData = true, 500
		cfg.AcceptEarlyData = func(tlscore.EarlyDataInfo) bool { return true }
	}
}

// config builds a Config of its own, which tells trace what is sent and received.
func (s *setup) config(a tlscore.Allocator, trace func(tlscore.TraceMessage)) *tlscore.Config {
	cfg := &tlscore.Config{
		Rand:               s.random(),
		Time:               tlstest.Clock,
		RootCAs:            roots(),
		ServerName:         s.serverName,
		InsecureSkipVerify: s.callbacks&skipVerify != 0 || s.serverName == "",
		NextProtos:         s.alpn,
		MinVersion:         s.versions[0],
		MaxVersion:         s.versions[1],
		Tasks:              s.tasks,
		CipherSuites:       s.suites,
		CurvePreferences:   s.groups,
		KeyShares:          s.shares,
		NoMiddleboxCompat:  s.noCompat,
		Limits:             s.limits,
		Allocator:          a,
		Trace:              trace,
	}
	s.addMore(cfg)
	s.addSession(cfg)
	if s.callbacks&callGetCertificate != 0 {
		cfg.GetCertificate = s.getCertificate
	}
	if s.callbacks&noCertificates == 0 || cfg.GetCertificate == nil {
		cfg.Certificates = s.certificates
	}
	if s.callbacks&callVerifyPeer != 0 {
		cfg.VerifyPeerCertificate = func([][]byte, [][]*x509.Certificate) error { return s.answer() }
	}
	if s.callbacks&callVerifyConnection != 0 {
		cfg.VerifyConnection = func(tls.ConnectionState) error { return s.answer() }
	}
	return cfg
}

// answer is what a callback says.
func (s *setup) answer() error {
	switch {
	case s.callbacks&callPanics != 0:
		panic("a callback of the application panics")
	case s.callbacks&callRefuses != 0:
		return errRefused
	}
	return nil
}

func (s *setup) getCertificate(info *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if err := s.answer(); err != nil {
		return nil, err
	}
	if info.ServerName == "other.example" {
		return nil, nil
	}
	return &s.certificates[len(s.certificates)-1], nil
}

// random returns a new random source, the same each time.
func (s *setup) random() io.Reader {
	if s.nullRandom {
		return zeros{}
	}
	source := io.Reader(rand.NewChaCha8([32]byte{s.seed, 1}))
	if s.randomLimit != 0 {
		source = io.LimitReader(source, int64(s.randomLimit))
	}
	return source
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// machine makes a machine. With t it draws the same random bytes each time also
// where these do not come from the Config: ML-KEM and ECDSA. It is nil when the
// config is refused.
func (s *setup) machine(t *testing.T, cfg *tlscore.Config) *tlscore.Machine {
	if t != nil {
		cryptotest.SetGlobalRandom(t, uint64(s.seed))
	}
	var m *tlscore.Machine
	var err error
	switch s.role {
	case roleServer:
		m, err = tlscore.NewServer(cfg)
	case roleClient:
		m, err = tlscore.NewClient(cfg)
	case roleAcceptor:
		m, err = tlscore.NewAcceptor(s.limits)
	}
	if err != nil {
		return nil
	}
	return m
}
