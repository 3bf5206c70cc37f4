package fuzz

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"testing"
	"testing/cryptotest"
	"time"

	"tlscore.example/tlscore"
	"tlscore.example/tlscore/internal/record"
	"tlscore.example/tlscore/internal/tlstest"
	"tlscore.example/tlscore/internal/wire"
)

// A wireConn is the net.Conn of a crypto/tls connection whose peer is a function:
// when crypto/tls wants to read, more is asked for bytes, and may look at what
// was written. So crypto/tls runs without goroutines, and without waiting.
type wireConn struct {
	in      []byte
	written []byte
	more    func() []byte // nil, or no bytes, is the end
}

func (c *wireConn) Read(b []byte) (int, error) {
	if len(c.in) == 0 && c.more != nil {
		c.in = c.more()
	}
	if len(c.in) == 0 {
		return 0, io.EOF
	}
	n := copy(b, c.in)
	c.in = c.in[n:]
	return n, nil
}

func (c *wireConn) Write(b []byte) (int, error) {
	c.written = append(c.written, b...)
	return len(b), nil
}

func (c *wireConn) Close() error                     { return nil }
func (c *wireConn) LocalAddr() net.Addr              { return nil }
func (c *wireConn) RemoteAddr() net.Addr             { return nil }
func (c *wireConn) SetDeadline(time.Time) error      { return nil }
func (c *wireConn) SetReadDeadline(time.Time) error  { return nil }
func (c *wireConn) SetWriteDeadline(time.Time) error { return nil }

// An outcome is how far one of the two implementations went with a hello, as
// its plaintext output shows.
type outcome struct {
	accepted bool // a ServerHello was sent, or taken
	retried  bool // a HelloRetryRequest was sent, or answered
	refused  bool // an alert was sent
	alert    tlscore.Alert
	suite    wire.CipherSuite
	group    wire.NamedGroup
	session  []byte
	protocol string
	name     string
	again    string // what is new in a client's second ClientHello
	err      error
}

func (o outcome) String() string {
	switch {
	case o.refused:
		return fmt.Sprintf("refused with %s (%v)", o.alert, o.err)
	case o.accepted:
		return fmt.Sprintf("accepted: %s, %s, retried %v, protocol %q, name %q", o.suite, o.group, o.retried, o.protocol, o.name)
	}
	return fmt.Sprintf("waits for more (%v), retried %v %s", o.err, o.retried, o.again)
}

// readPlaintext returns the handshake messages and alerts in front of the first
// protected record.
func readPlaintext(out []byte) (handshake []byte, alerts []tlscore.Alert) {
	for len(out) >= record.HeaderLen {
		h := record.ParseHeader(out)
		fragment := out[record.HeaderLen : record.HeaderLen+h.Length]
		out = out[record.HeaderLen+h.Length:]
		switch h.Type {
		case record.TypeHandshake:
			handshake = append(handshake, fragment...)
		case record.TypeAlert:
			alerts = append(alerts, tlscore.Alert(fragment[1]))
		case record.TypeApplicationData:
			return handshake, alerts
		}
	}
	return handshake, alerts
}

// read fills in what the plaintext output shows.
func (o *outcome) read(t *testing.T, out []byte) {
	t.Helper()
	handshake, alerts := readPlaintext(out)
	for _, a := range alerts {
		if a != tlscore.AlertCloseNotify {
			o.refused, o.alert = true, a
		}
	}
	hellos := 0
	for b := handshake; len(b) > 0; {
		typ, length, _ := wire.Header(b)
		msg := b[:wire.HeaderLen+length]
		b = b[len(msg):]
		switch typ {
		case wire.TypeServerHello:
			o.readServerHello(msg)
		case wire.TypeClientHello:
			if hellos++; hellos == 2 {
				o.retried = true
				o.again = describeSecond(t, msg)
			}
		}
	}
}

// describeSecond tells what a HelloRetryRequest asked a client for.
func describeSecond(t *testing.T, msg []byte) string {
	t.Helper()
	var hello wire.ClientHello
	if err := hello.Parse(msg[wire.HeaderLen:]); err != nil {
		t.Fatalf("the second ClientHello: %v", err)
	}
	text := fmt.Sprintf("cookie %x, shares", hello.Cookie)
	for _, k := range hello.KeyShares {
		text += fmt.Sprintf(" %s (%d)", k.Group, len(k.Data))
	}
	return text
}

func (o *outcome) readServerHello(msg []byte) {
	var hello wire.ServerHello
	if err := hello.Parse(msg[wire.HeaderLen:]); err != nil {
		o.accepted, o.err = true, err // a session id that is too long comes back
		return
	}
	o.suite, o.session = hello.CipherSuite, hello.SessionID
	if hello.IsHelloRetryRequest() {
		o.retried, o.group = true, hello.SelectedGroup
		return
	}
	o.accepted, o.group = true, hello.KeyShare.Group
}

// A difference is an input on which the two went different ways.
type difference struct {
	ours, theirs outcome
	first        *wire.ClientHello // of a client, nil when it does not parse
	second       *wire.ClientHello // the same, if there was one
	server       *wire.ServerHello // of a server, nil when it does not parse
	secondServer *wire.ServerHello // the same

	broken  bool          // our codec does not take one of the hellos
	groups  []tls.CurveID // of the server
	alpn    []string
	schemes []wire.SignatureScheme // for its certificate
}

// reason returns why we refused, if the peer was at fault.
func (d *difference) reason() tlscore.Reason {
	var p *tlscore.ProtocolError
	if errors.As(d.ours.err, &p) {
		return p.Reason
	}
	return 0
}

// detail returns what the error adds to the reason.
func (d *difference) detail() string {
	var p *tlscore.ProtocolError
	if errors.As(d.ours.err, &p) {
		return p.Detail
	}
	return ""
}

// weRefuse reports whether only we refused, for one of these reasons.
func (d *difference) weRefuse(reasons ...tlscore.Reason) bool {
	return d.ours.refused && !d.theirs.refused && slices.Contains(reasons, d.reason())
}

// theyRefuse reports whether only crypto/tls refused, with this alert.
func (d *difference) theyRefuse(a tlscore.Alert) bool {
	return !d.ours.refused && d.theirs.refused && d.theirs.alert == a
}

// A listedReason is a difference that is meant.
type listedReason struct {
	text    string
	applies func(*difference) bool
}

// excuse returns the listed reason for a difference, or nil.
func excuse(list []listedReason, d *difference) *listedReason {
	for i := range list {
		if list[i].applies(d) {
			return &list[i]
		}
	}
	return nil
}

// differ reports whether two outcomes are different.
func differ(a, b outcome) bool {
	if a.refused || b.refused {
		return a.refused != b.refused || a.alert != b.alert
	}
	if a.accepted != b.accepted || a.retried != b.retried || a.suite != b.suite || a.group != b.group || !bytes.Equal(a.session, b.session) || a.again != b.again {
		return true
	}
	// Before a ServerHello, only one of them tells.
	return a.accepted && (a.protocol != b.protocol || a.name != b.name)
}

// judge fails the test when the two differ without a listed reason. It returns
// the reason, for those who count.
func judge(t *testing.T, list []listedReason, d *difference) *listedReason {
	t.Helper()
	if !differ(d.ours, d.theirs) {
		return nil
	}
	r := excuse(list, d)
	if r == nil {
		t.Fatalf("no reason is listed for this difference:\nwe have %s,\ncrypto/tls has %s\nfirst %+v\nsecond %+v\nserver %+v\nconfig %v %q",
			d.ours, d.theirs, d.first, d.second, d.server, d.groups, d.alpn)
	}
	return r
}

// The server.

// differentialCertificates are those of the servers that are compared, one each:
// with several, the choice among them would be one more difference.
var differentialCertificates = [][]tls.Certificate{certificates[0], certificates[1], certificates[5]}

// differentialSchemes are those that their keys can sign with.
var differentialSchemes = [][]wire.SignatureScheme{{0x0807}, {0x0403}, {0x0804, 0x0805, 0x0806}}

var differentialGroups = [][]tls.CurveID{
	{tls.X25519MLKEM768, tls.SecP256r1MLKEM768, tls.SecP384r1MLKEM1024, tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521},
	{tls.X25519},
	{tls.X25519, tls.CurveP256},
	{tls.CurveP256, tls.CurveP384},
	{tls.X25519MLKEM768, tls.X25519},
}

// serverPair runs the hellos of one client against both servers.
func serverPair(t *testing.T, config, first, second []byte) *difference {
	in := reader(config)
	kind := int(in.next()) % len(differentialCertificates)
	cert := differentialCertificates[kind]
	groups := pick(&in, differentialGroups)
	alpn := pick(&in, alpnChoices)
	size := int(in.next()) * 16
	if size == 0 {
		size = record.MaxPlaintext
	}
	first, second = frame(first, size), frame(second, size)

	cryptotest.SetGlobalRandom(t, 1)
	m, err := tlscore.NewServer(&tlscore.Config{
		Time: tlstest.Clock, MinVersion: tls.VersionTLS13, Certificates: cert, CurvePreferences: groups, NextProtos: alpn,
	})
	if err != nil {
		t.Fatal(err)
	}
	d := &difference{first: parseHello(first), second: parseHello(second), groups: groups, alpn: alpn, schemes: differentialSchemes[kind]}
	d.broken = d.first == nil || d.second == nil && len(second) > 0
	d.ours = ourServer(t, m, first, second)

	conn := &wireConn{in: first}
	conn.more = func() []byte {
		given := second
		second = nil
		if hello, _ := readPlaintext(conn.written); len(hello) == 0 || !wire.IsHelloRetryRequest(hello[wire.HeaderLen:]) {
			return nil
		}
		return given
	}
	server := tls.Server(conn, &tls.Config{
		Time: tlstest.Clock, Certificates: cert, CurvePreferences: groups, NextProtos: alpn,
		MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true,
	})
	d.theirs.err = server.Handshake()
	d.theirs.read(t, conn.written)
	cs := server.ConnectionState()
	d.theirs.protocol, d.theirs.name = cs.NegotiatedProtocol, cs.ServerName
	return d
}

func ourServer(t *testing.T, m *tlscore.Machine, first, second []byte) (o outcome) {
	t.Helper()
	rest := stepAll(m, first)
	if m.State() == tlscore.StateWaitClientHelloRetry {
		stepAll(m, append(rest, second...))
	}
	o.err = m.Err()
	o.read(t, m.Output())
	cs := m.ConnectionState()
	o.protocol, o.name = cs.NegotiatedProtocol, cs.ServerName
	return o
}

// stepAll gives a machine all of b, and returns what it leaves.
func stepAll(m *tlscore.Machine, b []byte) (rest []byte) {
	rest = bytes.Clone(b)
	for {
		ev, n := m.Step(rest)
		rest = rest[n:]
		if ev.Stop() {
			return rest
		}
	}
}

// frame makes a ClientHello of a body, in records of at most size bytes. No body
// makes no records.
func frame(body []byte, size int) (out []byte) {
	if len(body) == 0 {
		return nil
	}
	for msg := message(byte(wire.TypeClientHello), body); len(msg) > 0; {
		n := min(size, len(msg))
		out = record.AppendPlaintext(out, record.TypeHandshake, 0x0303, msg[:n])
		msg = msg[n:]
	}
	return out
}

func parseHello(records []byte) *wire.ClientHello {
	if len(records) == 0 {
		return nil
	}
	hello := new(wire.ClientHello)
	if hello.Parse(joinRecords(records)[wire.HeaderLen:]) != nil {
		return nil
	}
	return hello
}

// maxHello is what both implementations take.
const maxHello = 40000

func FuzzDifferentialServer(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, config, first, second []byte) {
		if len(first) > maxHello || len(second) > maxHello || len(first) == 0 {
			return
		}
		judge(t, serverReasons, serverPair(t, config, first, second))
	})
}

// differentialServerSeeds are the captured hellos, and hellos for each listed
// reason.
func differentialServerSeeds() (list []seed) {
	add := func(name string, config []byte, hellos ...*wire.ClientHello) {
		args := [][]byte{config, nil, nil}
		for i, h := range hellos {
			args[1+i] = h.Append(nil)[wire.HeaderLen:]
		}
		list = append(list, seed{name, args})
	}
	for name, records := range capturedHellos() {
		body := joinRecords(records)[wire.HeaderLen:]
		list = append(list, seed{"captured-" + name, [][]byte{{1}, body, nil}})
		list = append(list, seed{"captured-fragments-" + name, [][]byte{{0, 1, 1, 3}, body, body}})
	}
	only := plainHello()
	only.ALPN = [][]byte{[]byte("http/1.1")}
	add("http1-only", []byte{0, 1, 4}, only)
	for name, change := range helloChanges {
		h := plainHello()
		change(h)
		add(name, nil, h)
		add(name+"-other", []byte{1, 3, 1, 20}, h)
		second := plainHello()
		change(second)
		second.KeyShares = []wire.KeyShare{{Group: wire.NamedGroup(tls.CurveP256), Data: p256Point}}
		add(name+"-twice", []byte{0, 3}, h, second)
		add(name+"-second", []byte{0, 3}, plainHello(), second)
	}
	return list
}

// p256Point is a share for P-256: its generator.
var p256Point = []byte("\x04\x6b\x17\xd1\xf2\xe1\x2c\x42\x47\xf8\xbc\xe6\xe5\x63\xa4\x40\xf2\x77\x03\x7d\x81\x2d\xeb\x33\xa0\xf4\xa1\x39\x45\xd8\x98\xc2\x96" +
	"\x4f\xe3\x42\xe2\xfe\x1a\x7f\x9b\x8e\xe7\xeb\x4a\x7c\x0f\x9e\x16\x2b\xce\x33\x57\x6b\x31\x5e\xce\xcb\xb6\x40\x68\x37\xbf\x51\xf5")

// plainHello is a ClientHello that every server takes.
func plainHello() *wire.ClientHello {
	return &wire.ClientHello{
		LegacyVersion:       wire.VersionTLS12,
		SessionID:           bytes.Repeat([]byte{0x5e}, 32),
		CipherSuites:        []wire.CipherSuite{wire.TLS_AES_128_GCM_SHA256, wire.TLS_AES_256_GCM_SHA384, wire.TLS_CHACHA20_POLY1305_SHA256},
		CompressionMethods:  []byte{0},
		ServerName:          []byte("localhost"),
		SupportedGroups:     []wire.NamedGroup{wire.NamedGroup(tls.X25519), wire.NamedGroup(tls.CurveP256)},
		SignatureAlgorithms: []wire.SignatureScheme{0x0807, 0x0403, 0x0804},
		ALPN:                [][]byte{[]byte("h2")},
		SupportedVersions:   []wire.Version{wire.VersionTLS13},
		KeyShares:           []wire.KeyShare{{Group: wire.NamedGroup(tls.X25519), Data: bytes.Repeat([]byte{9}, 32)}},
		Extensions: []wire.Extension{{Type: wire.ExtServerName}, {Type: wire.ExtSupportedGroups}, {Type: wire.ExtSignatureAlgorithms},
			{Type: wire.ExtALPN}, {Type: wire.ExtSupportedVersions}, {Type: wire.ExtKeyShare}},
	}
}

// without removes an extension.
func without(h *wire.ClientHello, t wire.ExtensionType) {
	h.Extensions = slices.DeleteFunc(h.Extensions, func(x wire.Extension) bool { return x.Type == t })
}

// with adds an extension in front, with any data, instead of one that is there.
func with(h *wire.ClientHello, t wire.ExtensionType, data string) {
	without(h, t)
	h.Extensions = slices.Insert(h.Extensions, 0, wire.Extension{Type: t, Data: []byte(data)})
}

// helloChanges are ways to alter a ClientHello, which servers may judge in
// different ways.
var helloChanges = map[string]func(*wire.ClientHello){
	"plain":                  func(h *wire.ClientHello) {},
	"legacy-version":         func(h *wire.ClientHello) { h.LegacyVersion = 0x0304 },
	"tls1.2":                 func(h *wire.ClientHello) { without(h, wire.ExtSupportedVersions) },
	"tls1.1-only":            func(h *wire.ClientHello) { h.SupportedVersions[0] = wire.VersionTLS11 },
	"no-extensions":          func(h *wire.ClientHello) { h.NoExtensions = true },
	"no-groups":              func(h *wire.ClientHello) { without(h, wire.ExtSupportedGroups) },
	"no-shares":              func(h *wire.ClientHello) { without(h, wire.ExtKeyShare) },
	"empty-shares":           func(h *wire.ClientHello) { h.KeyShares = nil },
	"no-groups-nor-shares":   func(h *wire.ClientHello) { without(h, wire.ExtSupportedGroups); without(h, wire.ExtKeyShare) },
	"no-schemes":             func(h *wire.ClientHello) { without(h, wire.ExtSignatureAlgorithms) },
	"no-common-scheme":       func(h *wire.ClientHello) { h.SignatureAlgorithms = []wire.SignatureScheme{0x0201} },
	"no-common-suite":        func(h *wire.ClientHello) { h.CipherSuites = []wire.CipherSuite{0xc02f} },
	"no-common-group":        func(h *wire.ClientHello) { h.SupportedGroups = []wire.NamedGroup{0xfefe}; h.KeyShares = nil },
	"no-common-protocol":     func(h *wire.ClientHello) { h.ALPN = [][]byte{[]byte("smtp")} },
	"suites-reversed":        func(h *wire.ClientHello) { slices.Reverse(h.CipherSuites) },
	"no-suites":              func(h *wire.ClientHello) { h.CipherSuites = nil },
	"compression":            func(h *wire.ClientHello) { h.CompressionMethods = []byte{1, 0} },
	"no-compression":         func(h *wire.ClientHello) { h.CompressionMethods = nil },
	"long-session":           func(h *wire.ClientHello) { h.SessionID = make([]byte, 40) },
	"no-session":             func(h *wire.ClientHello) { h.SessionID = nil },
	"repeated-share":         func(h *wire.ClientHello) { h.KeyShares = append(h.KeyShares, h.KeyShares[0]) },
	"unlisted-share":         func(h *wire.ClientHello) { h.SupportedGroups = h.SupportedGroups[1:] },
	"short-share":            func(h *wire.ClientHello) { h.KeyShares[0].Data = h.KeyShares[0].Data[1:] },
	"null-share":             func(h *wire.ClientHello) { h.KeyShares[0].Data = make([]byte, 32) },
	"empty-share":            func(h *wire.ClientHello) { h.KeyShares[0].Data = nil },
	"early-data":             func(h *wire.ClientHello) { with(h, wire.ExtEarlyData, "") },
	"long-early-data":        func(h *wire.ClientHello) { with(h, wire.ExtEarlyData, "x") },
	"cookie":                 func(h *wire.ClientHello) { with(h, wire.ExtCookie, "\x00\x01c") },
	"empty-cookie":           func(h *wire.ClientHello) { with(h, wire.ExtCookie, "\x00\x00") },
	"name-with-dot":          func(h *wire.ClientHello) { h.ServerName = []byte("localhost.") },
	"name-with-space":        func(h *wire.ClientHello) { h.ServerName = []byte("local host") },
	"name-empty":             func(h *wire.ClientHello) { h.ServerName = nil },
	"name-of-other-type":     func(h *wire.ClientHello) { with(h, wire.ExtServerName, "\x00\x04\x01\x00\x01x") },
	"name-of-other-types":    func(h *wire.ClientHello) { with(h, wire.ExtServerName, "\x00\x08\x01\x00\x01x\x01\x00\x01y") },
	"name-of-type-1-empty":   func(h *wire.ClientHello) { with(h, wire.ExtServerName, "\x00\x03\x01\x00\x00") },
	"name-list-empty":        func(h *wire.ClientHello) { with(h, wire.ExtServerName, "\x00\x00") },
	"name-address":           func(h *wire.ClientHello) { h.ServerName = []byte("127.0.0.1") },
	"name-other":             func(h *wire.ClientHello) { h.ServerName = []byte("other.example") },
	"renegotiation":          func(h *wire.ClientHello) { with(h, wire.ExtRenegotiationInfo, "\x01x") },
	"renegotiation-empty":    func(h *wire.ClientHello) { with(h, wire.ExtRenegotiationInfo, "\x00") },
	"quic":                   func(h *wire.ClientHello) { with(h, wire.ExtQUICTransportParameters, "q") },
	"status":                 func(h *wire.ClientHello) { with(h, wire.ExtStatusRequest, "\x01\x00\x00\x00\x00") },
	"status-responder-empty": func(h *wire.ClientHello) { with(h, wire.ExtStatusRequest, "\x01\x00\x02\x00\x00\x00\x00") },
	"status-other":           func(h *wire.ClientHello) { with(h, wire.ExtStatusRequest, "\x02junk") },
	"points-empty":           func(h *wire.ClientHello) { with(h, wire.ExtECPointFormats, "\x00") },
	"master-secret-long":     func(h *wire.ClientHello) { with(h, wire.ExtExtendedMasterSecret, "x") },
	"timestamp-long":         func(h *wire.ClientHello) { with(h, wire.ExtSignedCertificateTimestamp, "x") },
	"record-size":            func(h *wire.ClientHello) { with(h, wire.ExtRecordSizeLimit, "x") },
	"ticket-request":         func(h *wire.ClientHello) { with(h, wire.ExtTicketRequest, "\x02") },
	"authorities":            func(h *wire.ClientHello) { with(h, wire.ExtCertificateAuthorities, "\x00\x00") },
	"post-auth-long":         func(h *wire.ClientHello) { with(h, wire.ExtPostHandshakeAuth, "x") },
	"oid-filters":            func(h *wire.ClientHello) { with(h, wire.ExtOIDFilters, "\x00\x00") },
	"psk-modes-empty":        func(h *wire.ClientHello) { with(h, wire.ExtPSKKeyExchangeModes, "\x00") },
	"fallback-scsv":          func(h *wire.ClientHello) { h.CipherSuites = append(h.CipherSuites, 0x5600) },
	"ech":                    func(h *wire.ClientHello) { with(h, wire.ExtEncryptedClientHello, "junk") },
	"ech-inner":              func(h *wire.ClientHello) { with(h, wire.ExtEncryptedClientHello, "\x01") },
	"ech-empty":              func(h *wire.ClientHello) { with(h, wire.ExtEncryptedClientHello, "") },
	"unknown":                func(h *wire.ClientHello) { with(h, 0x7777, "unknown") },
	"twice":                  func(h *wire.ClientHello) { with(h, 0x7777, ""); h.Extensions = append(h.Extensions, h.Extensions[0]) },
	"psk":                    func(h *wire.ClientHello) { addPSK(h, 1, 32, true) },
	"psk-without-modes":      func(h *wire.ClientHello) { addPSK(h, 1, 32, false) },
	"psk-short-binder":       func(h *wire.ClientHello) { addPSK(h, 1, 31, true) },
	"psk-two-binders":        func(h *wire.ClientHello) { addPSK(h, 2, 32, true) },
	"psk-not-last": func(h *wire.ClientHello) {
		addPSK(h, 1, 32, true)
		h.Extensions = append(h.Extensions, wire.Extension{Type: 0x7777, Data: []byte{}})
	},
	"two-shares": func(h *wire.ClientHello) {
		h.KeyShares = append(h.KeyShares, wire.KeyShare{Group: wire.NamedGroup(tls.CurveP256), Data: p256Point})
	},
	"other-random": func(h *wire.ClientHello) { h.Random[3] = 7 },
}

// addPSK offers a key with some binders.
func addPSK(h *wire.ClientHello, binders, size int, modes bool) {
	if modes {
		with(h, wire.ExtPSKKeyExchangeModes, "\x01\x01")
	}
	h.PSKIdentities = []wire.PSKIdentity{{Identity: []byte("ticket")}}
	for range binders {
		h.PSKBinders = append(h.PSKBinders, make([]byte, size))
	}
	h.Extensions = append(h.Extensions, wire.Extension{Type: wire.ExtPreSharedKey})
}
