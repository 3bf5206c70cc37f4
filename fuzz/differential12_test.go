package fuzz

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/cryptotest"

	"tlscore.example/tlscore"
	"tlscore.example/tlscore/internal/record"
	"tlscore.example/tlscore/internal/tlstest"
	"tlscore.example/tlscore/internal/wire"
)

// The hellos of TLS 1.2, given to crypto/tls and to us. Which alert a refusal has is
// not compared, as there are too many ways to look for faults in another order; but
// what one of the two accepts, and as what, is.

// A verdict is what one of the two makes of a hello.
type verdict struct {
	accepted bool
	err      error
	// What an accepting server says.
	suite    wire.CipherSuite
	group    wire.NamedGroup
	extended bool // extended_master_secret
	secure   bool // renegotiation_info
	protocol string
}

// A difference12 is a hello on which the two differ.
type difference12 struct {
	ours, theirs verdict
	client       *wire.ClientHello // nil when it does not parse
	server       *wire.ServerHello
	alpn         []string
}

// reason returns why we refused, if the peer was at fault.
func (d *difference12) reason() tlscore.Reason {
	return (&difference{ours: outcome{err: d.ours.err}}).reason()
}

// weRefuse reports whether only we refused, for one of these reasons.
func (d *difference12) weRefuse(reasons ...tlscore.Reason) bool {
	return d.theirs.accepted && !d.ours.accepted && slices.Contains(reasons, d.reason())
}

// theyRefuse reports whether only crypto/tls refused.
func (d *difference12) theyRefuse() bool { return d.ours.accepted && !d.theirs.accepted }

// differ reports whether there is a difference.
func (d *difference12) differ() bool {
	ours, theirs := d.ours, d.theirs
	ours.err, theirs.err = nil, nil
	return ours.accepted != theirs.accepted || ours.accepted && ours != theirs
}

// A listedReason12 is a difference that is meant.
type listedReason12 struct {
	text    string
	applies func(*difference12) bool
}

// judge12 fails the test when the two differ without a listed reason. It returns the
// text of the reason.
func judge12(t *testing.T, list []listedReason12, d *difference12) string {
	t.Helper()
	if !d.differ() {
		return ""
	}
	for _, r := range list {
		if r.applies(d) {
			return r.text
		}
	}
	t.Fatalf("no reason is listed for this difference:\nwe have %+v,\ncrypto/tls has %+v\nclient %+v\nserver %+v\nprotocols %q", d.ours, d.theirs, d.client, d.server, d.alpn)
	return ""
}

var groups12 = [][]tls.CurveID{
	{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521},
	{tls.X25519, tls.CurveP256},
	{tls.CurveP256, tls.CurveP384},
}

// serverPair12 runs a ClientHello against both servers.
func serverPair12(t *testing.T, config, body []byte) *difference12 {
	in := reader(config)
	kind := int(in.next()) % len(differentialCertificates)
	cert := differentialCertificates[kind]
	suite := uint16(wire.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256)
	if kind == 2 {
		suite = uint16(wire.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256)
	}
	groups, alpn := pick(&in, groups12), pick(&in, alpnChoices)
	records := frame(body, record.MaxPlaintext)
	d := &difference12{client: parseHello(records), alpn: alpn}

	cryptotest.SetGlobalRandom(t, 1)
	m, err := tlscore.NewServer(&tlscore.Config{
		Time: tlstest.Clock, MaxVersion: tls.VersionTLS12, Certificates: cert, CurvePreferences: groups, NextProtos: alpn,
		CipherSuites: []uint16{suite}, SessionTicketsDisabled: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	stepAll(m, records)
	d.ours.read(t, m.Output())
	d.ours.err = m.Err()

	conn := &wireConn{in: records}
	d.theirs.err = tls.Server(conn, &tls.Config{
		Time: tlstest.Clock, MaxVersion: tls.VersionTLS12, Certificates: cert, CurvePreferences: groups, NextProtos: alpn,
		CipherSuites: []uint16{suite}, SessionTicketsDisabled: true,
	}).Handshake()
	d.theirs.read(t, conn.written)
	return d
}

// read fills in what a server says.
func (v *verdict) read(t *testing.T, out []byte) {
	t.Helper()
	handshake, _ := readPlaintext(out)
	for b := handshake; len(b) > 0; {
		typ, length, _ := wire.Header(b)
		msg := b[wire.HeaderLen : wire.HeaderLen+length]
		b = b[wire.HeaderLen+length:]
		switch typ {
		case wire.TypeServerHello:
			var hello wire.ServerHello
			if err := hello.Parse(msg); err != nil {
				t.Fatal(err)
			}
			v.suite, v.protocol = hello.CipherSuite, string(hello.ALPN)
			v.extended, v.secure = hello.Has(wire.ExtExtendedMasterSecret), hello.Has(wire.ExtRenegotiationInfo)
		case wire.TypeServerKeyExchange:
			var exchange wire.ServerKeyExchange
			if err := exchange.Parse(msg); err != nil {
				t.Fatal(err)
			}
			v.group = exchange.Group
		case wire.TypeServerHelloDone:
			v.accepted = true
		}
	}
}

var serverReasons12 = []listedReason12{
	{"we refuse a server_name with bytes that no host name has; RFC 6066, Section 3", func(d *difference12) bool {
		return d.weRefuse(tlscore.ReasonBadServerName)
	}},
	{"our codec is stricter: it parses what crypto/tls passes over", func(d *difference12) bool {
		return d.weRefuse(codecReasons...)
	}},
	{"a key on a curve that the client does not list is not used; RFC 5246, Section 7.4.2", func(d *difference12) bool {
		return d.weRefuse(tlscore.ReasonNoCommonSignatureScheme, tlscore.ReasonNoCommonCipherSuite)
	}},
	{"among the groups in common our order counts; crypto/tls takes the client's", func(d *difference12) bool {
		theirs := d.theirs
		theirs.group, theirs.err = d.ours.group, d.ours.err
		return d.ours == theirs && slices.Contains(d.client.SupportedGroups, d.ours.group) && slices.Contains(d.client.SupportedGroups, d.theirs.group)
	}},
	{"crypto/tls parses encrypted_client_hello, which we ignore: RFC 9849 is not for us", func(d *difference12) bool {
		return d.theyRefuse() && d.client.Has(wire.ExtEncryptedClientHello)
	}},
	{"crypto/tls refuses an empty name of an unknown type", func(d *difference12) bool {
		return d.theyRefuse() && d.client.Has(wire.ExtServerName) && len(d.client.ServerName) == 0
	}},
	{"crypto/tls refuses a status_request of an unknown type", func(d *difference12) bool {
		status, _ := d.client.Extension(wire.ExtStatusRequest)
		return d.theyRefuse() && len(status) > 0 && status[0] != 1
	}},
}

func FuzzDifferentialServer12(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, config, hello []byte) {
		if len(hello) == 0 || len(hello) > maxHello {
			return
		}
		judge12(t, serverReasons12, serverPair12(t, config, hello))
	})
}

// clientPair12 gives a ServerHello to both clients.
func clientPair12(t *testing.T, config, body []byte) *difference12 {
	in := reader(config)
	alpn := pick(&in, alpnChoices)
	version := pick(&in, []uint16{tls.VersionTLS13, tls.VersionTLS12})
	d := &difference12{server: parseServerHello(body), alpn: alpn}
	suites := []uint16{
		tls.TLS_AES_128_GCM_SHA256, uint16(wire.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256), uint16(wire.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
	}
	groups := []tls.CurveID{tls.X25519, tls.CurveP256}

	cryptotest.SetGlobalRandom(t, 1)
	m, err := tlscore.NewClient(&tlscore.Config{
		Rand: rand.NewChaCha8([32]byte{1}), Time: tlstest.Clock, RootCAs: roots(), ServerName: "localhost", MaxVersion: version,
		CurvePreferences: groups, KeyShares: groups[:1], CipherSuites: suites, NextProtos: alpn, SignedCertificateTimestamps: true, OCSPStapling: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	stepAll(m, nil)
	stepAll(m, answer(m.Output(), body, record.MaxPlaintext))
	d.ours.err, d.ours.accepted = m.Err(), m.State() == tlscore.StateWaitCertificate

	conn := new(wireConn)
	waited := 0
	conn.more = func() []byte {
		if waited++; waited > 1 {
			return nil
		}
		return answer(conn.written, body, record.MaxPlaintext)
	}
	client := tls.Client(conn, &tls.Config{
		Time: tlstest.Clock, RootCAs: roots(), ServerName: "localhost", MaxVersion: version, CurvePreferences: groups, CipherSuites: suites[1:],
		NextProtos: alpn,
	})
	d.theirs.err = client.Handshake()
	hellos, alerts := readPlaintext(conn.written)
	d.theirs.accepted = len(alerts) == 0 && waited > 1 && messages(hellos) == 1
	if len(conn.written) > 0 && d.server != nil && d.server.Has(wire.ExtSupportedVersions) {
		// As TLS 1.3 these are compared elsewhere.
		d.ours, d.theirs = verdict{}, verdict{}
	}
	return d
}

var clientReasons12 = []listedReason12{
	{"our codec is stricter: it parses what crypto/tls passes over", func(d *difference12) bool {
		return d.weRefuse(codecReasons...)
	}},
	{"an extension that was not asked for is refused; RFC 5246, Section 7.4.1.4", func(d *difference12) bool {
		return d.weRefuse(tlscore.ReasonUnsolicitedExtension)
	}},
	{"crypto/tls sends a session id for middleboxes in TLS 1.2 too, and does not take it back", func(d *difference12) bool {
		return d.theyRefuse() && bytes.Equal(d.server.SessionID, placeholder)
	}},
}

func FuzzDifferentialClient12(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, config, hello []byte) {
		if len(hello) == 0 || len(hello) > maxHello {
			return
		}
		judge12(t, clientReasons12, clientPair12(t, config, hello))
	})
}

// plainHello12 is a ClientHello that every server of TLS 1.2 takes.
func plainHello12() *wire.ClientHello {
	h := plainHello()
	h.CipherSuites = []wire.CipherSuite{wire.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, wire.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}
	h.ECPointFormats = []byte{0}
	h.Extensions = []wire.Extension{{Type: wire.ExtServerName}, {Type: wire.ExtSupportedGroups}, {Type: wire.ExtSignatureAlgorithms},
		{Type: wire.ExtALPN}, {Type: wire.ExtECPointFormats}, {Type: wire.ExtExtendedMasterSecret}, {Type: wire.ExtRenegotiationInfo}}
	return h
}

// helloChanges12 are those of helloChanges, and some for TLS 1.2.
func helloChanges12() map[string]func(*wire.ClientHello) {
	list := map[string]func(*wire.ClientHello){
		"no-master-secret": func(h *wire.ClientHello) { without(h, wire.ExtExtendedMasterSecret) },
		"no-renegotiation": func(h *wire.ClientHello) { without(h, wire.ExtRenegotiationInfo) },
		"scsv": func(h *wire.ClientHello) {
			without(h, wire.ExtRenegotiationInfo)
			h.CipherSuites = append(h.CipherSuites, 0x00ff)
		},
		"no-points":         func(h *wire.ClientHello) { without(h, wire.ExtECPointFormats) },
		"points-compressed": func(h *wire.ClientHello) { h.ECPointFormats = []byte{1, 2} },
		"points-all":        func(h *wire.ClientHello) { h.ECPointFormats = []byte{2, 1, 0} },
		"tls1.1":            func(h *wire.ClientHello) { h.LegacyVersion = wire.VersionTLS11 },
		"tls1.1-fallback": func(h *wire.ClientHello) {
			h.LegacyVersion = wire.VersionTLS11
			h.CipherSuites = append(h.CipherSuites, 0x5600)
		},
		"version-high":         func(h *wire.ClientHello) { h.LegacyVersion = 0x7f00 },
		"versions-1.2":         func(h *wire.ClientHello) { with(h, wire.ExtSupportedVersions, "\x02\x03\x03") },
		"versions-1.3-and-1.2": func(h *wire.ClientHello) { with(h, wire.ExtSupportedVersions, "\x04\x03\x04\x03\x03") },
		"versions-1.3":         func(h *wire.ClientHello) { with(h, wire.ExtSupportedVersions, "\x02\x03\x04") },
		"group-p384-first":     func(h *wire.ClientHello) { h.SupportedGroups = []wire.NamedGroup{24, 23, 29} },
		"group-x25519":         func(h *wire.ClientHello) { h.SupportedGroups = []wire.NamedGroup{29} },
		"group-hybrid":         func(h *wire.ClientHello) { h.SupportedGroups = []wire.NamedGroup{0x11ec} },
		"suite-rsa":            func(h *wire.ClientHello) { h.CipherSuites = h.CipherSuites[1:] },
		"suite-13":             func(h *wire.ClientHello) { h.CipherSuites = []wire.CipherSuite{wire.TLS_AES_128_GCM_SHA256} },
		"scheme-sha1":          func(h *wire.ClientHello) { h.SignatureAlgorithms = []wire.SignatureScheme{0x0203, 0x0201} },
		"scheme-pkcs1":         func(h *wire.ClientHello) { h.SignatureAlgorithms = []wire.SignatureScheme{0x0401} },
		"scheme-p384":          func(h *wire.ClientHello) { h.SignatureAlgorithms = []wire.SignatureScheme{0x0503} },
		"ticket":               func(h *wire.ClientHello) { with(h, wire.ExtSessionTicket, "ticket") },
	}
	for name, change := range helloChanges {
		if h := plainHello12(); len(name) > 4 && name[:4] == "psk-" || name == "psk" {
			continue
		} else if func() (panics bool) { defer func() { panics = recover() != nil }(); change(h); return false }() {
			continue // it changes a key share or a version, which are not there
		}
		if list[name] == nil {
			list[name] = change
		}
	}
	return list
}

func differentialServer12Seeds() (list []seed) {
	for name, change := range helloChanges12() {
		for _, config := range [][]byte{nil, {1}, {2, 1, 1}, {1, 2, 2}} {
			h := plainHello12()
			change(h)
			list = append(list, seed{fmt.Sprintf("%s-%x", name, config), [][]byte{config, h.Append(nil)[wire.HeaderLen:]}})
		}
	}
	for name, records := range capturedHellos() {
		list = append(list, seed{"captured-" + name, [][]byte{{1}, joinRecords(records)[wire.HeaderLen:]}})
	}
	return list
}

// plainServerHello12 is a ServerHello that every client of TLS 1.2 takes.
func plainServerHello12() *wire.ServerHello {
	return &wire.ServerHello{
		LegacyVersion: wire.VersionTLS12, Random: [32]byte{1, 2, 3}, CipherSuite: wire.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
		ECPointFormats: []byte{0},
		Extensions:     []wire.Extension{{Type: wire.ExtRenegotiationInfo}, {Type: wire.ExtExtendedMasterSecret}},
	}
}

var serverHelloChanges12 = map[string]func(*wire.ServerHello){
	"plain":             func(*wire.ServerHello) {},
	"no-extensions":     func(h *wire.ServerHello) { h.Extensions = nil },
	"no-block":          func(h *wire.ServerHello) { h.Extensions, h.NoExtensions = nil, true },
	"points":            addServer(wire.ExtECPointFormats, "\x01\x00"),
	"points-compressed": addServer(wire.ExtECPointFormats, "\x01\x01"),
	"points-empty":      addServer(wire.ExtECPointFormats, "\x00"),
	"renegotiation":     func(h *wire.ServerHello) { h.RenegotiationInfo = make([]byte, 12) },
	"master-long":       func(h *wire.ServerHello) { h.Extensions[1].Data = []byte{0} },
	"session":           func(h *wire.ServerHello) { h.SessionID = []byte("a session of the server") },
	"session-echo":      func(h *wire.ServerHello) { h.SessionID = placeholder },
	"compression":       func(h *wire.ServerHello) { h.CompressionMethod = 1 },
	"suite-other":       func(h *wire.ServerHello) { h.CipherSuite = wire.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 },
	"suite-unoffered":   func(h *wire.ServerHello) { h.CipherSuite = wire.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 },
	"suite-13":          func(h *wire.ServerHello) { h.CipherSuite = wire.TLS_AES_128_GCM_SHA256 },
	"suite-null":        func(h *wire.ServerHello) { h.CipherSuite = 0 },
	"tls1.1":            func(h *wire.ServerHello) { h.LegacyVersion = wire.VersionTLS11 },
	"tls1.3-legacy":     func(h *wire.ServerHello) { h.LegacyVersion = wire.VersionTLS13 },
	"downgrade-1.2":     func(h *wire.ServerHello) { copy(h.Random[24:], "DOWNGRD\x01") },
	"downgrade-1.1":     func(h *wire.ServerHello) { copy(h.Random[24:], "DOWNGRD\x00") },
	"protocol":          addServer(wire.ExtALPN, "\x00\x03\x02h2"),
	"protocol-empty":    addServer(wire.ExtALPN, "\x00\x01\x00"),
	"protocol-two":      addServer(wire.ExtALPN, "\x00\x06\x02h2\x02h3"),
	"ticket":            addServer(wire.ExtSessionTicket, ""),
	"ticket-long":       addServer(wire.ExtSessionTicket, "t"),
	"status":            addServer(wire.ExtStatusRequest, ""),
	"status-long":       addServer(wire.ExtStatusRequest, "\x01"),
	"timestamps":        addServer(wire.ExtSignedCertificateTimestamp, "\x00\x03\x00\x01x"),
	"timestamps-empty":  addServer(wire.ExtSignedCertificateTimestamp, "\x00\x00"),
	"name":              addServer(wire.ExtServerName, ""),
	"name-long":         addServer(wire.ExtServerName, "x"),
	"share":             addServer(wire.ExtKeyShare, "\x00\x1d\x00\x01x"),
	"groups":            addServer(wire.ExtSupportedGroups, "\x00\x02\x00\x1d"),
	"unknown":           addServer(0x7777, "x"),
	"heartbeat":         addServer(wire.ExtHeartbeat, "\x01"),
	"twice":             addServer(wire.ExtExtendedMasterSecret, ""),
	"trailing": func(h *wire.ServerHello) {
		h.Extensions = append(h.Extensions, wire.Extension{Type: wire.ExtEarlyData, Data: bytes.Repeat([]byte{1}, 9)})
	},
}

func differentialClient12Seeds() (list []seed) {
	for name, change := range serverHelloChanges12 {
		for _, config := range [][]byte{nil, {1}, {0, 1}, {1, 1}} {
			h := plainServerHello12()
			change(h)
			list = append(list, seed{fmt.Sprintf("%s-%x", name, config), [][]byte{config, h.Append(nil)[wire.HeaderLen:]}})
		}
	}
	return list
}
