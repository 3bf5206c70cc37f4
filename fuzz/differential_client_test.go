package fuzz

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/cryptotest"

	"tlscore.example/tlscore"
	"tlscore.example/tlscore/internal/record"
	"tlscore.example/tlscore/internal/tlstest"
	"tlscore.example/tlscore/internal/wire"
)

// placeholder is a session id for which that of the client is put in.
var placeholder = bytes.Repeat([]byte{0x5e}, 32)

// clientPair gives a ServerHello or HelloRetryRequest, and a second one where
// the first is the latter, to both clients.
func clientPair(t *testing.T, config, first, second []byte) *difference {
	in := reader(config)
	groups := pick(&in, differentialGroups)
	size := int(in.next()) * 16
	if size == 0 {
		size = record.MaxPlaintext
	}
	d := &difference{server: parseServerHello(first), secondServer: parseServerHello(second), groups: groups}
	d.broken = d.server == nil || d.secondServer == nil && len(second) > 0
	given := [][]byte{first, second}

	cryptotest.SetGlobalRandom(t, 1)
	m, err := tlscore.NewClient(&tlscore.Config{
		Rand: rand.NewChaCha8([32]byte{1}), Time: tlstest.Clock, RootCAs: roots(), ServerName: "localhost",
		CurvePreferences: groups, KeyShares: sharesOfStd(groups), MinVersion: tls.VersionTLS13,
	})
	if err != nil {
		t.Fatal(err)
	}
	stepAll(m, nil)
	for _, body := range given {
		state := m.State()
		if state != tlscore.StateWaitServerHello && state != tlscore.StateWaitServerHelloRetry {
			break
		}
		stepAll(m, answer(m.Output(), body, size))
	}
	d.ours.err = m.Err()
	d.ours.accepted = m.State() == tlscore.StateWaitEncryptedExtensions
	d.ours.read(t, m.Output())
	cs := m.ConnectionState()
	d.ours.suite, d.ours.group = wire.CipherSuite(cs.CipherSuite), wire.NamedGroup(cs.CurveID)

	conn := new(wireConn)
	waited := 0 // how often the client waited for an answer
	conn.more = func() []byte {
		if hellos, _ := readPlaintext(conn.written); waited == 2 || messages(hellos) != waited+1 {
			waited = 3
			return nil
		}
		waited++
		return answer(conn.written, given[waited-1], size)
	}
	client := tls.Client(conn, &tls.Config{
		Time: tlstest.Clock, RootCAs: roots(), ServerName: "localhost", CurvePreferences: groups, MinVersion: tls.VersionTLS13,
	})
	d.theirs.err = client.Handshake()
	d.theirs.read(t, conn.written)
	d.theirs.accepted = !d.theirs.refused && waited == 3
	ts := client.ConnectionState()
	d.theirs.suite, d.theirs.group = wire.CipherSuite(ts.CipherSuite), wire.NamedGroup(ts.CurveID)
	if !d.ours.accepted || !d.theirs.accepted {
		// Before that, they note these at different times.
		d.ours.suite, d.theirs.suite, d.ours.group, d.theirs.group = 0, 0, 0, 0
	}
	return d
}

// sharesOfStd are the groups for which crypto/tls sends a share: the first, and
// with a hybrid its classical half.
func sharesOfStd(groups []tls.CurveID) []tls.CurveID {
	shares := groups[:1:1]
	half := map[tls.CurveID]tls.CurveID{
		tls.X25519MLKEM768: tls.X25519, tls.SecP256r1MLKEM768: tls.CurveP256, tls.SecP384r1MLKEM1024: tls.CurveP384,
	}[groups[0]]
	for _, g := range groups {
		if g == half {
			shares = append(shares, g)
		}
	}
	return shares
}

// messages counts handshake messages.
func messages(b []byte) (n int) {
	for ; len(b) > 0; n++ {
		_, length, _ := wire.Header(b)
		b = b[wire.HeaderLen+length:]
	}
	return n
}

// answer makes records of a ServerHello's body, with the session id of the client
// that has sent hello where the placeholder stands.
func answer(hello, body []byte, size int) (out []byte) {
	if len(body) == 0 {
		return nil
	}
	var client wire.ClientHello
	hellos, _ := readPlaintext(hello)
	if _, length, _ := wire.Header(hellos); client.Parse(hellos[wire.HeaderLen:wire.HeaderLen+length]) != nil {
		return nil
	}
	const at = 2 + 32 + 1
	if body = bytes.Clone(body); len(body) > at && bytes.HasPrefix(body[at:], placeholder) {
		copy(body[at:], client.SessionID)
	}
	for msg := message(byte(wire.TypeServerHello), body); len(msg) > 0; {
		n := min(size, len(msg))
		out = record.AppendPlaintext(out, record.TypeHandshake, 0x0303, msg[:n])
		msg = msg[n:]
	}
	return out
}

func parseServerHello(body []byte) *wire.ServerHello {
	hello := new(wire.ServerHello)
	if len(body) == 0 || hello.Parse(body) != nil {
		return nil
	}
	return hello
}

func FuzzDifferentialClient(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, config, first, second []byte) {
		if len(first) > maxHello || len(second) > maxHello || len(first) == 0 {
			return
		}
		judge(t, clientReasons, clientPair(t, config, first, second))
	})
}

// serverHelloChanges are ways to alter a ServerHello or a HelloRetryRequest.
var serverHelloChanges = map[string]func(*wire.ServerHello){
	"tls1.2-alone":      func(h *wire.ServerHello) { h.Extensions = nil },
	"tls1.2-downgraded": func(h *wire.ServerHello) { h.Extensions = nil; copy(h.Random[24:], "DOWNGRD\x01") },
	"tls1.1-downgraded": func(h *wire.ServerHello) { h.Extensions = nil; copy(h.Random[24:], "DOWNGRD\x00") },
	"plain":             func(h *wire.ServerHello) {},
	"legacy-version":    func(h *wire.ServerHello) { h.LegacyVersion = 0x0304 },
	"tls1.2":            func(h *wire.ServerHello) { h.Extensions = h.Extensions[1:] },
	"tls1.2-downgrade":  func(h *wire.ServerHello) { h.Extensions = h.Extensions[1:]; copy(h.Random[24:], "DOWNGRD\x01") },
	"downgrade":         func(h *wire.ServerHello) { copy(h.Random[24:], "DOWNGRD\x01") },
	"selected-1.2":      func(h *wire.ServerHello) { h.SupportedVersion = wire.VersionTLS12 },
	"selected-none":     func(h *wire.ServerHello) { h.SupportedVersion = 0 },
	"no-extensions":     func(h *wire.ServerHello) { h.NoExtensions = true },
	"session":           func(h *wire.ServerHello) { h.SessionID = []byte("other") },
	"long-session":      func(h *wire.ServerHello) { h.SessionID = make([]byte, 33) },
	"suite":             func(h *wire.ServerHello) { h.CipherSuite = 0xc02f },
	"other-suite":       func(h *wire.ServerHello) { h.CipherSuite = wire.TLS_CHACHA20_POLY1305_SHA256 },
	"compression":       func(h *wire.ServerHello) { h.CompressionMethod = 1 },
	"no-share":          func(h *wire.ServerHello) { h.Extensions = h.Extensions[:1] },
	"share-unlisted":    func(h *wire.ServerHello) { h.KeyShare.Group, h.SelectedGroup = 0x7777, 0x7777 },
	"share-p256": func(h *wire.ServerHello) {
		h.KeyShare = wire.KeyShare{Group: 23, Data: p256Point}
		h.SelectedGroup = 23
	},
	"share-p384": func(h *wire.ServerHello) { h.SelectedGroup = wire.NamedGroup(tls.CurveP384) },
	"share-hybrid": func(h *wire.ServerHello) {
		h.KeyShare = wire.KeyShare{Group: 0x11ec, Data: bytes.Repeat([]byte{9}, 1120)}
		h.SelectedGroup = 0x11ec
	},
	"share-short":    func(h *wire.ServerHello) { h.KeyShare.Data = h.KeyShare.Data[:31] },
	"share-null":     func(h *wire.ServerHello) { h.KeyShare.Data = make([]byte, 32) },
	"share-empty":    func(h *wire.ServerHello) { h.KeyShare.Data = nil },
	"share-as-group": func(h *wire.ServerHello) { h.Extensions[1].Data = []byte{0, 29} },
	"group-as-share": func(h *wire.ServerHello) { h.Extensions[1].Data = []byte{0, 29, 0, 1, 1} },
	"group-null":     func(h *wire.ServerHello) { h.SelectedGroup = 0 },
	"x25519":         func(h *wire.ServerHello) { h.SelectedGroup = 29 },
	"cookie":         addServer(wire.ExtCookie, "\x00\x06cookie"),
	"cookie-empty":   addServer(wire.ExtCookie, "\x00\x00"),
	"cookie-only": func(h *wire.ServerHello) {
		h.Extensions[1] = wire.Extension{Type: wire.ExtCookie, Data: []byte("\x00\x01c")}
	},
	"unknown":             addServer(0x7777, "x"),
	"name":                addServer(wire.ExtServerName, ""),
	"protocol":            addServer(wire.ExtALPN, "\x00\x03\x02h2"),
	"psk":                 addServer(wire.ExtPreSharedKey, "\x00\x00"),
	"psk-long":            addServer(wire.ExtPreSharedKey, "\x00\x00\x00"),
	"status":              addServer(wire.ExtStatusRequest, ""),
	"ticket":              addServer(wire.ExtSessionTicket, ""),
	"renegotiation":       addServer(wire.ExtRenegotiationInfo, "\x00"),
	"master-secret":       addServer(wire.ExtExtendedMasterSecret, ""),
	"timestamps":          addServer(wire.ExtSignedCertificateTimestamp, "\x00\x03\x00\x01x"),
	"points":              addServer(wire.ExtECPointFormats, "\x01\x00"),
	"ech":                 addServer(wire.ExtEncryptedClientHello, "12345678"),
	"groups":              addServer(wire.ExtSupportedGroups, "\x00\x02\x00\x1d"),
	"early-data":          addServer(wire.ExtEarlyData, ""),
	"signature-algorithm": addServer(wire.ExtSignatureAlgorithms, "\x00\x02\x04\x03"),
	"twice":               func(h *wire.ServerHello) { h.Extensions = append(h.Extensions, h.Extensions[0]) },
	"version-long":        func(h *wire.ServerHello) { h.Extensions[0].Data = []byte{3, 4, 0} },
	"grease":              addServer(0x0a0a, ""),
}

// addServer adds an extension with any data.
func addServer(t wire.ExtensionType, data string) func(*wire.ServerHello) {
	return func(h *wire.ServerHello) {
		h.Extensions = append(h.Extensions, wire.Extension{Type: t, Data: []byte(data)})
	}
}

func plainServerHello() *wire.ServerHello {
	return &wire.ServerHello{
		LegacyVersion: wire.VersionTLS12, Random: [32]byte{1, 2, 3}, SessionID: placeholder, CipherSuite: wire.TLS_AES_128_GCM_SHA256,
		SupportedVersion: wire.VersionTLS13, KeyShare: wire.KeyShare{Group: 29, Data: bytes.Repeat([]byte{9}, 32)},
		Extensions: []wire.Extension{{Type: wire.ExtSupportedVersions}, {Type: wire.ExtKeyShare}},
	}
}

func plainRetry() *wire.ServerHello {
	h := plainServerHello()
	h.Random, h.SelectedGroup = wire.HelloRetryRequestRandom, 23
	return h
}

func differentialClientSeeds() (list []seed) {
	body := func(h *wire.ServerHello) []byte { return h.Append(nil)[wire.HeaderLen:] }
	for name, change := range serverHelloChanges {
		for config := range byte(len(differentialGroups)) {
			hello := plainServerHello()
			change(hello)
			list = append(list, seed{fmt.Sprint(name, "-", config), [][]byte{{config}, body(hello), nil}})
		}
		retry, second := plainRetry(), plainServerHello()
		change(retry)
		second.KeyShare = wire.KeyShare{Group: 23, Data: p256Point}
		list = append(list,
			seed{"retry-" + name, [][]byte{{2}, body(retry), body(second)}},
			seed{"retry-twice-" + name, [][]byte{{4, 2}, body(plainRetry()), body(retry)}})
		second = plainServerHello()
		second.KeyShare = wire.KeyShare{Group: 23, Data: p256Point}
		change(second)
		list = append(list, seed{"behind-retry-" + name, [][]byte{{2}, body(plainRetry()), body(second)}})
	}
	return list
}
