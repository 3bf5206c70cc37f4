package tlscore

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/crypto/chacha20poly1305"

	"tlscore.example/tlscore/internal/record"
	"tlscore.example/tlscore/internal/tlstest"
)

var testSnapshotKey = &[SnapshotKeyLen]byte{1, 2, 3}

// establishedSetups are connections of every kind that a snapshot has to carry.
var establishedSetups = func() (list []struct {
	name           string
	client, server *Config
}) {
	add := func(name string, client, server *Config) {
		list = append(list, struct {
			name           string
			client, server *Config
		}{name, client, server})
	}
	for _, id := range []uint16{tls.TLS_AES_128_GCM_SHA256, tls.TLS_AES_256_GCM_SHA384, tls.TLS_CHACHA20_POLY1305_SHA256} {
		client := testClientConfig()
		client.CipherSuites = []uint16{id}
		add(tls.CipherSuiteName(id), client, testServerConfig())
	}
	for _, id := range []uint16{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	} {
		client, server := configs12()
		client.CipherSuites = []uint16{id}
		add(tls.CipherSuiteName(id), client, server)
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		client, server := testClientConfig(), testServerConfig()
		client.MinVersion, client.MaxVersion = version, version
		server.MinVersion = version
		client.NextProtos, server.NextProtos = []string{"one", "two"}, []string{"two"}
		client.Certificates = []tls.Certificate{tlstest.ClientCertificate(tlstest.ECDSAP256)}
		client.PostHandshakeAuth = true
		client.RecordSizeLimit, server.RecordSizeLimit = 1000, 2000
		server.ClientAuth, server.ClientCAs = tls.RequireAndVerifyClientCert, tlstest.Roots()
		server.GetOCSPResponse = nil
		add("everything in "+tls.VersionName(version), client, server)
	}
	return list
}()

// halves are what is carried of a machine, without the keys, which hold scratch memory.
func halves(m *Machine) (in receiver, out sender, conn negotiated, keys string) {
	in, out, conn = m.in, m.out, m.conn
	for _, k := range []*record.Protection{&in.key, &out.key} {
		if !k.Keyed() {
			keys += " none"
			continue
		}
		keys += fmt.Sprint(" ", k.Seq(), " ", k.Limit(), " ", k.Remaining())
	}
	in.key, out.key = record.Protection{}, record.Protection{}
	out.env = nil // of another derived config
	in.partial, in.data, out.out = nil, nil, nil
	in.opened, in.changeCipherSpecs = false, 0 // nothing asks for them behind the handshake
	if out.more != nil && *out.more == (senderExtra{}) {
		out.more = nil
	}
	if conn.more != nil {
		more := *conn.more
		if conn.more = &more; reflect.DeepEqual(more, negotiatedExtra{}) {
			conn.more = nil
		}
	}
	return in, out, conn, keys
}

// sameState checks that two machines are in the same state, all of it.
func sameState(t *testing.T, got, want *Machine) {
	t.Helper()
	in1, out1, conn1, keys1 := halves(got)
	in2, out2, conn2, keys2 := halves(want)
	if p1, p2 := conn1.post(), conn2.post(); p1 != nil && p2 != nil {
		if !bytes.Equal(p1.handshake.Sum(nil), p2.handshake.Sum(nil)) {
			t.Error("the transcript differs")
		}
		conn1.more.post, conn2.more.post = nil, nil
	}
	if t1, t2 := conn1.tickets(), conn2.tickets(); t1 != nil && t2 != nil {
		if !t1.authenticated.Equal(t2.authenticated) {
			t.Error("the time of the authentication differs")
		}
		t1.authenticated = t2.authenticated
	}
	for _, x := range []struct {
		name      string
		got, want any
	}{
		{"receiver", in1, in2}, {"sender", out1, out2}, {"negotiated", conn1, conn2}, {"keys", keys1, keys2},
		{"output", string(got.out.output()), string(want.out.output())},
		{"partial message", string(got.in.rest()), string(want.in.rest())},
		{"state", got.state, want.state}, {"rules", got.rules, want.rules},
		{"truncated", got.truncated, want.truncated}, {"sent", got.sent, want.sent},
	} {
		if reflect.DeepEqual(x.got, x.want) {
			continue
		}
		g, w := reflect.ValueOf(x.got), reflect.ValueOf(x.want)
		if g.Kind() != reflect.Struct {
			t.Errorf("%s: %v, expected %v", x.name, g, w)
			continue
		}
		for i := range g.NumField() {
			if a, b := fmt.Sprintf("%v", g.Field(i)), fmt.Sprintf("%v", w.Field(i)); a != b {
				t.Errorf("%s: %s is %.200s, expected %.200s", x.name, g.Type().Field(i).Name, a, b)
			}
		}
	}
}

// situations are what a connection may be in the middle of.
var situations = []struct {
	name  string
	bring func(t *testing.T, client, server *Machine)
}{
	{"at rest", func(*testing.T, *Machine, *Machine) {}},
	{"output", func(t *testing.T, client, server *Machine) {
		client.Write([]byte("pending of the client"))
		server.Write([]byte("pending of the server"))
		server.Output()
		server.Sent(3)
	}},
	{"after data", func(t *testing.T, client, server *Machine) {
		for range 5 {
			client.Write([]byte("some"))
			server.Write([]byte("more"))
			talk(t, client, server, whole)
		}
	}},
	{"keys changed", func(t *testing.T, client, server *Machine) {
		client.Write([]byte("some"))
		client.KeyUpdate(true) // not in TLS 1.2
		talk(t, client, server, whole)
		server.Write([]byte("more"))
		server.KeyUpdate(true)
	}},
	{"half closed", func(t *testing.T, client, server *Machine) {
		client.CloseWrite()
		talk(t, client, server, whole)
	}},
	{"closed", func(t *testing.T, client, server *Machine) {
		client.CloseWrite()
		server.CloseWrite()
		talk(t, client, server, whole)
	}},
	{"truncated", func(t *testing.T, client, server *Machine) {
		client.EOF()
		server.EOF()
		talk(t, client, server, whole)
	}},
}

// What is restored is what was, in every field.
func TestSnapshotIsComplete(t *testing.T) {
	for _, setup := range establishedSetups {
		for _, situation := range situations {
			t.Run(setup.name+"/"+situation.name, func(t *testing.T) {
				client, server := connectPair(t, setup.client, setup.server)
				situation.bring(t, client, server)
				for _, m := range []*Machine{client, server} {
					plain, err := m.appendSnapshot([]byte("left"))
					if err != nil {
						t.Fatal(err)
					}
					restored, leftover, err := restoreSnapshot(m.cfg, m.d, plain)
					if err != nil || string(leftover) != "left" {
						t.Fatalf("%q, %v", leftover, err)
					}
					sameState(t, restored, m)
					again, err := restored.appendSnapshot([]byte("left"))
					if err != nil || !bytes.Equal(again, plain) {
						t.Errorf("a second snapshot differs: %v", err)
					}
				}
			})
		}
	}
}

// move moves a connection through a snapshot.
func move(t *testing.T, m *Machine, leftover []byte) (*Machine, []byte) {
	t.Helper()
	cfg := m.cfg
	snapshot, err := m.Snapshot(testSnapshotKey, leftover)
	if err != nil {
		t.Fatal(err)
	}
	checkMoved(t, m)
	next, left, err := Restore(cfg, testSnapshotKey, snapshot)
	if err != nil {
		t.Fatal(err)
	}
	return next, left
}

// checkMoved says what a machine is like whose connection goes on elsewhere.
func checkMoved(t *testing.T, m *Machine) {
	t.Helper()
	for range 2 {
		if ev, n := m.Step([]byte("some input")); ev.Kind != EventFailed || n != 0 || m.State() != StateMoved || m.Err() != ErrMoved {
			t.Errorf("%v, %d, %v, %v", ev, n, m.State(), m.Err())
		}
	}
	_, err := m.Write([]byte("x"))
	dst, _, sealErr := m.AppendSealed(make([]byte, 0, 100), []byte("x"))
	_, snapErr := m.Snapshot(testSnapshotKey, nil)
	_, exportErr := m.ExportTrafficSecrets()
	for _, err := range []error{err, sealErr, m.KeyUpdate(true), m.Reject(AlertAccessDenied), m.Accept(m.cfg), snapErr, exportErr, m.Hibernate(), m.SendTicket()} {
		if !errors.Is(err, ErrMoved) {
			t.Errorf("a moved machine: %v", err)
		}
	}
	m.CloseWrite()
	m.EOF()
	if len(dst) > 0 || len(m.Output()) > 0 || m.in.key.Keyed() || m.out.key.Keyed() || m.conn.exports || m.conn.exporter12() != nil || m.conn.tickets() != nil {
		t.Error("a moved machine has something left")
	}
}

// A conversation in which both ends move again and again, in the middle of records.
func TestSnapshotMidStream(t *testing.T) {
	for _, setup := range establishedSetups {
		t.Run(setup.name, func(t *testing.T) {
			client, server := connectPair(t, setup.client, setup.server)
			ends := [2]*Machine{client, server}
			var in [2][]byte
			for round := range 20 {
				for i := range ends {
					from, to := i, 1-i
					text := strings.Repeat(fmt.Sprintf("round %d of %d; ", round, i), 200)
					if n, err := ends[from].Write([]byte(text)); n != len(text) || err != nil {
						t.Fatalf("Write: %d, %v", n, err)
					}
					if round%5 == 4 {
						ends[from].KeyUpdate(true)
					}
					// A part of the output goes out, then both move.
					out := ends[from].Output()
					part := out[:len(out)*round/20]
					in[to] = append(in[to], part...)
					ends[from].Sent(len(part))
					var got []byte
					got, in[to] = drainData(ends[to], in[to])
					for j := range ends {
						ends[j], in[j] = move(t, ends[j], in[j])
					}
					in[to] = append(in[to], ends[from].Output()...)
					ends[from].Sent(1 << 20)
					rest, left := drainData(ends[to], in[to])
					in[to] = left
					if got = append(got, rest...); string(got) != text {
						t.Fatalf("round %d of %d: %d bytes of %d, %v", round, i, len(got), len(text), ends[to].Err())
					}
				}
			}
			a, err1 := ends[0].ExportKeyingMaterial("label", nil, 32)
			b, err2 := ends[1].ExportKeyingMaterial("label", nil, 32)
			if err1 != nil || err2 != nil || !bytes.Equal(a, b) {
				t.Errorf("exporters: %v, %v", err1, err2)
			}
			ends[0].CloseWrite()
			ends[1].CloseWrite()
			talk(t, ends[0], ends[1], whole)
			if ends[0].State() != StateClosed || ends[1].State() != StateClosed {
				t.Errorf("%v, %v", ends[0].State(), ends[1].State())
			}
		})
	}
}

// drainData steps to the next stop and returns the data, and what is left.
func drainData(m *Machine, in []byte) (data, rest []byte) {
	for {
		ev, n := m.Step(in)
		in = in[n:]
		data = append(data, ev.Data...)
		if ev.Stop() {
			return data, bytes.Clone(in)
		}
	}
}

// Tickets and authentication after the handshake work for a connection that has moved.
func TestSnapshotThenTicketAndAuthentication(t *testing.T) {
	client, server := testClientConfig(), testServerConfig()
	client.Certificates = []tls.Certificate{tlstest.ClientCertificate(tlstest.ECDSAP256)}
	client.PostHandshakeAuth = true
	client.SessionCache = NewLRUSessionCache(0, 0)
	server.ClientCAs, server.ClientAuth = tlstest.Roots(), tls.VerifyClientCertIfGiven
	server.TicketCount = -1
	c, s := connectPair(t, client, server)
	c, _ = move(t, c, nil)
	s, _ = move(t, s, nil)
	if err := s.RequestClientCertificate(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Snapshot(testSnapshotKey, nil); err != ErrNotQuiet {
		t.Errorf("a snapshot while the client is asked: %v", err)
	}
	if err := s.Hibernate(); err != ErrNotQuiet {
		t.Errorf("hibernation while the client is asked: %v", err)
	}
	talk(t, c, s, whole)
	if len(s.ConnectionState().PeerCertificates) == 0 {
		t.Errorf("no certificate: %v, %v", c.Err(), s.Err())
	}
	s, _ = move(t, s, nil)
	if len(s.ConnectionState().VerifiedChains) == 0 {
		t.Error("no chain")
	}
}

// Whoever is not at rest is not moved, and goes on as if nothing had been asked.
func TestNotQuiet(t *testing.T) {
	client, server := newPair(t, testClientConfig(), testServerConfig())
	refuse := func(m *Machine, want error) {
		t.Helper()
		_, err := m.Snapshot(testSnapshotKey, nil)
		_, secretsErr := m.ExportTrafficSecrets()
		for _, err := range []error{err, secretsErr, m.Hibernate()} {
			if !errors.Is(err, want) {
				t.Errorf("in state %v: %v", m.State(), err)
			}
		}
	}
	refuse(client, ErrNotQuiet)
	refuse(server, ErrNotQuiet)
	talk(t, client, server, whole)
	client.Write([]byte("x"))
	if _, err := client.ExportTrafficSecrets(); err != ErrNotQuiet {
		t.Errorf("with output: %v", err)
	}
	if err := client.Hibernate(); err != ErrNotQuiet {
		t.Errorf("with output: %v", err)
	}
	talk(t, client, server, whole)
	server.Reject(AlertAccessDenied)
	refuse(server, ErrNotQuiet)
	client.Release()
	refuse(client, ErrReleased)
}

// Snapshots that are garbage, cut short, changed, of another key, for another config.
func TestRestoreRefuses(t *testing.T) {
	c, s := testClientConfig(), testServerConfig()
	client, _ := connectPair(t, c, s)
	snapshot, err := client.Snapshot(testSnapshotKey, []byte("left"))
	if err != nil {
		t.Fatal(err)
	}
	refuse := func(why string, cfg *Config, key *[SnapshotKeyLen]byte, b []byte, want error) {
		t.Helper()
		m, left, err := Restore(cfg, key, b)
		if m != nil || left != nil || err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: %v, %q, %v", why, m, left, err)
		}
	}
	for n := range snapshot {
		refuse("cut short", c, testSnapshotKey, snapshot[:n], errSnapshot)
		changed := bytes.Clone(snapshot)
		changed[n] ^= 1
		refuse("changed", c, testSnapshotKey, changed, errSnapshot)
	}
	refuse("longer", c, testSnapshotKey, append(bytes.Clone(snapshot), 0), errSnapshot)
	refuse("another key", c, &[SnapshotKeyLen]byte{9}, snapshot, errSnapshot)
	refuse("too long", c, testSnapshotKey, make([]byte, maxSnapshot+1), errSnapshot)
	refuse("no config", nil, testSnapshotKey, snapshot, nil)
	other := testClientConfig12()
	refuse("another version", other, testSnapshotKey, snapshot, errStateConfig)
	// The state itself, without the seal: each strict prefix, and anything behind it.
	client, _ = connectPair(t, c, s)
	plain, err := client.appendSnapshot(nil)
	if err != nil {
		t.Fatal(err)
	}
	for n := range plain {
		if m, _, err := restoreSnapshot(c, client.d, plain[:n]); err == nil {
			t.Fatalf("a prefix of %d bytes is restored: %v", n, m.State())
		}
	}
	if _, _, err := restoreSnapshot(c, client.d, append(bytes.Clone(plain), 0)); err == nil {
		t.Error("a longer one is restored")
	}
}

// A random source that is exhausted leaves the machine as it was.
func TestSnapshotRandom(t *testing.T) {
	client, server := connectPair(t, testClientConfig(), testServerConfig())
	cfg := *client.cfg.Clone()
	cfg.Rand = strings.NewReader("")
	client.cfg = &cfg
	if _, err := client.Snapshot(testSnapshotKey, nil); err == nil {
		t.Fatal("a snapshot without randomness")
	}
	client.Write([]byte("hello"))
	if _, s := talk(t, client, server, whole); string(s.data) != "hello" {
		t.Errorf("%q, %v", s.data, client.Err())
	}
}

// The keys that are given away open what the peer sends, and seal what it accepts, by the
// standard library alone.
func TestExportTrafficSecrets(t *testing.T) {
	for _, setup := range establishedSetups[:6] {
		t.Run(setup.name, func(t *testing.T) {
			client, server := connectPair(t, setup.client, setup.server)
			for range 3 { // so that the sequence numbers are not 0
				client.Write([]byte("some"))
				server.Write([]byte("more"))
				talk(t, client, server, whole)
			}
			secrets, err := server.ExportTrafficSecrets()
			if err != nil {
				t.Fatal(err)
			}
			checkMoved(t, server)
			state := client.ConnectionState()
			if secrets.Version != state.Version || secrets.CipherSuite != state.CipherSuite {
				t.Errorf("%+v", secrets)
			}
			client.Write([]byte("to the kernel"))
			plain, err := openIndependently(secrets, client.Output())
			if err != nil || !bytes.HasPrefix(plain, []byte("to the kernel")) {
				t.Errorf("%q, %v", plain, err)
			}
			client.Sent(1 << 20)
			if ev, _ := client.Step(sealIndependently(t, secrets, "from the kernel")); string(ev.Data) != "from the kernel" {
				t.Errorf("%v, %v", ev, client.Err())
			}
			if (secrets.Send.Secret != nil) != (secrets.Version == tls.VersionTLS13) {
				t.Error("a traffic secret in the wrong version")
			}
		})
	}
	client, server := connectPair(t, testClientConfig(), testServerConfig())
	client.CloseWrite()
	talk(t, client, server, whole)
	secrets, err := server.ExportTrafficSecrets()
	if err != nil || secrets.Receive != nil || secrets.Send == nil {
		t.Errorf("of a half closed connection: %+v, %v", secrets, err)
	}
}

// aeadOf returns the AEAD of a suite.
func aeadOf(suite uint16, key []byte) cipher.AEAD {
	if strings.Contains(tls.CipherSuiteName(suite), "CHACHA20") {
		a, _ := chacha20poly1305.New(key)
		return a
	}
	block, _ := aes.NewCipher(key)
	a, _ := cipher.NewGCM(block)
	return a
}

// nonceOf returns the nonce of a record, and the bytes of it that the record carries.
func nonceOf(s *TrafficSecrets, k *TrafficKeys) (nonce, explicit []byte) {
	var seq [8]byte
	binary.BigEndian.PutUint64(seq[:], k.Sequence)
	nonce = bytes.Clone(k.IV)
	if s.Version == tls.VersionTLS12 && strings.Contains(tls.CipherSuiteName(s.CipherSuite), "GCM") {
		copy(nonce[4:], seq[:])
		return nonce, seq[:]
	}
	for i := range seq {
		nonce[4+i] ^= seq[i]
	}
	return nonce, nil
}

func openIndependently(s *TrafficSecrets, rec []byte) ([]byte, error) {
	nonce, explicit := nonceOf(s, s.Receive)
	body := rec[5+len(explicit):]
	ad := rec[:5]
	if s.Version == tls.VersionTLS12 {
		ad = binary.BigEndian.AppendUint64(nil, s.Receive.Sequence)
		ad = append(ad, rec[:3]...)
		ad = binary.BigEndian.AppendUint16(ad, uint16(len(body)-16))
	}
	return aeadOf(s.CipherSuite, s.Receive.Key).Open(nil, nonce, body, ad)
}

func sealIndependently(t *testing.T, s *TrafficSecrets, text string) []byte {
	nonce, explicit := nonceOf(s, s.Send)
	inner := []byte(text)
	if s.Version == tls.VersionTLS13 {
		inner = append(inner, 23)
	}
	rec := []byte{23, 3, 3}
	rec = binary.BigEndian.AppendUint16(rec, uint16(len(explicit)+len(inner)+16))
	ad := bytes.Clone(rec)
	if s.Version == tls.VersionTLS12 {
		ad = binary.BigEndian.AppendUint64(nil, s.Send.Sequence)
		ad = append(ad, 23, 3, 3)
		ad = binary.BigEndian.AppendUint16(ad, uint16(len(inner)))
	}
	rec = append(rec, explicit...)
	return aeadOf(s.CipherSuite, s.Send.Key).Seal(rec, nonce, inner, ad)
}
