package tlscore

import (
	"bytes"
	"crypto/tls"
	"flag"
	"reflect"
	"runtime"
	"testing"
	"unsafe"
)

// A machine that slept is what it was, in every field, whatever wakes it.
func TestHibernateKeepsEverything(t *testing.T) {
	for _, setup := range establishedSetups {
		for _, situation := range situations {
			if situation.name == "output" || situation.name == "keys changed" {
				continue
			}
			t.Run(setup.name+"/"+situation.name, func(t *testing.T) {
				client, server := connectPair(t, setup.client, setup.server)
				situation.bring(t, client, server)
				for _, m := range []*Machine{client, server} {
					plain, err := m.appendSnapshot(nil)
					if err != nil {
						t.Fatal(err)
					}
					twin, _, err := restoreSnapshot(m.cfg, m.d, plain)
					if err != nil {
						t.Fatal(err)
					}
					state := m.ConnectionState()
					if err := m.Hibernate(); err != nil {
						t.Fatal(err)
					}
					if err := m.Hibernate(); err != nil || m.dormant == nil {
						t.Errorf("a second time: %v", err)
					}
					if got := m.ConnectionState(); !reflect.DeepEqual(got, state) || m.dormant == nil {
						t.Errorf("asleep: %+v, expected %+v", got, state)
					}
					if len(m.Output()) > 0 || m.Err() != nil {
						t.Errorf("asleep: % x, %v", m.Output(), m.Err())
					}
					if err := m.wake(); err != nil {
						t.Fatal(err)
					}
					sameState(t, m, twin)
				}
			})
		}
	}
}

// What wakes a machine, and what does not.
func TestWaking(t *testing.T) {
	for name, call := range map[string]func(*Machine){
		"Step":                 func(m *Machine) { m.Step([]byte{23}) },
		"Write":                func(m *Machine) { m.Write([]byte("x")) },
		"AppendSealed":         func(m *Machine) { m.AppendSealed(make([]byte, 0, 100), []byte("x")) },
		"SealedLen":            func(m *Machine) { m.SealedLen(1) },
		"KeyUpdate":            func(m *Machine) { m.KeyUpdate(false) },
		"CloseWrite":           func(m *Machine) { m.CloseWrite() },
		"EOF":                  func(m *Machine) { m.EOF() },
		"Reject":               func(m *Machine) { m.Reject(AlertAccessDenied) },
		"SendTicket":           func(m *Machine) { m.SendTicket() },
		"TicketData":           func(m *Machine) { m.TicketData() },
		"EarlyDataAccepted":    func(m *Machine) { m.EarlyDataAccepted() },
		"WriteEarly":           func(m *Machine) { m.WriteEarly(nil) },
		"ExportKeyingMaterial": func(m *Machine) { m.ExportKeyingMaterial("label", nil, 1) },
		"ExportEarly":          func(m *Machine) { m.ExportEarlyKeyingMaterial("label", nil, 1) },
		"ChannelBinding":       func(m *Machine) { m.ChannelBinding() },
		"RequestClient":        func(m *Machine) { m.RequestClientCertificate() },
		"Accept":               func(m *Machine) { m.Accept(m.cfg) },
		"Done":                 func(m *Machine) { m.Done(nil) },
		"Snapshot":             func(m *Machine) { m.Snapshot(testSnapshotKey, nil) },
		"ExportTrafficSecrets": func(m *Machine) { m.ExportTrafficSecrets() },
		"Release":              func(m *Machine) { m.Release() },
	} {
		_, server := connectPair(t, testClientConfig(), testServerConfig())
		if err := server.Hibernate(); err != nil {
			t.Fatal(err)
		}
		state := server.dormant.state
		if call(server); server.dormant != nil {
			t.Errorf("%s does not wake", name)
		}
		if bytes.Count(state, []byte{0}) != len(state) {
			t.Errorf("%s leaves the secrets behind", name)
		}
	}
	client, server := connectPair(t, testClientConfig(), testServerConfig())
	server.Hibernate()
	server.State()
	server.Err()
	server.Output()
	server.Sent(1)
	server.AppendOutput(nil)
	server.SentAlert()
	server.ConnectionState()
	server.ClientHello()
	server.RawClientHello()
	server.Task()
	if ev, n := server.Step(nil); ev.Kind != EventNone || n != 0 || server.dormant == nil {
		t.Errorf("%v, awake %v", ev, server.dormant == nil)
	}
	client.Write([]byte("hello"))
	if _, s := talk(t, client, server, whole); string(s.data) != "hello" {
		t.Errorf("%q, %v", s.data, server.Err())
	}
}

// hibernated is how many bytes of heap a server's connection needs at most that hibernates:
// TLS 1.3, AES-128-GCM, no certificate of the client, no authentication after the handshake.
const hibernated = 400

var connections = flag.Int("connections", 2000, "how many connections TestHibernatedSize holds; ten million take 4 GB")

// A connection that hibernates holds a few hundred bytes, however many there are.
func TestHibernatedSize(t *testing.T) {
	size := heapPerMachine(t, *connections, func(m *Machine) {
		if err := m.Hibernate(); err != nil {
			t.Fatal(err)
		}
	})
	t.Logf("%d connections, %d bytes each", *connections, size)
	if size > hibernated {
		t.Errorf("%d bytes for a connection that hibernates, more than %d", size, hibernated)
	}
	if size := unsafe.Sizeof(dormant{}); size > 48 {
		t.Errorf("dormant is %d bytes", size)
	}
}

// heapPerMachine returns the bytes of heap that an established server's connection holds,
// after prepare, measured over n of them. They are twins of one, since n handshakes would
// take long.
func heapPerMachine(t testing.TB, n int, prepare func(*Machine)) int {
	t.Helper()
	client := costClientConfig()
	client.CipherSuites = []uint16{tls.TLS_AES_128_GCM_SHA256}
	_, server := connectPair(t, client, costServerConfig())
	plain, err := server.appendSnapshot(nil)
	if err != nil {
		t.Fatal(err)
	}
	machines := make([]*Machine, n)
	before := heapInUse()
	for i := range machines {
		m, _, err := restoreSnapshot(server.cfg, server.d, plain)
		if err != nil {
			t.Fatal(err)
		}
		prepare(m)
		machines[i] = m
	}
	after := heapInUse()
	runtime.KeepAlive(machines)
	return int(after-before) / n
}

func heapInUse() uint64 {
	for range 3 { // pools let go of what they hold by and by
		runtime.GC()
	}
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// BenchmarkHibernate tells what sleeping and waking cost.
func BenchmarkHibernate(b *testing.B) {
	client := costClientConfig()
	client.CipherSuites = []uint16{tls.TLS_AES_128_GCM_SHA256}
	_, server := connectPair(b, client, costServerConfig())
	b.ReportAllocs()
	for b.Loop() {
		if err := server.Hibernate(); err != nil {
			b.Fatal(err)
		}
		if err := server.wake(); err != nil {
			b.Fatal(err)
		}
	}
}
