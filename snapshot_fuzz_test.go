package tlscore

import (
	"testing"
)

// FuzzRestoreState gives the reader of a snapshot what was under its seal: garbage, and real
// ones that were cut or changed. It is refused, or becomes a machine that takes any input and
// any call.
func FuzzRestoreState(f *testing.F) {
	configs := make([]*Config, len(establishedSetups))
	for i, setup := range establishedSetups {
		configs[i] = setup.server
		client, server := connectPair(f, setup.client, setup.server)
		client.Write([]byte("some"))
		server.Write([]byte("more"))
		for _, m := range []*Machine{client, server} {
			plain, err := m.appendSnapshot([]byte("left"))
			if err != nil {
				f.Fatal(err)
			}
			f.Add(uint8(i), plain)
			f.Add(uint8(i), plain[:len(plain)/2])
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, plain []byte) {
		cfg := configs[int(which)%len(configs)]
		d, err := cfg.derive()
		if err != nil {
			t.Fatal(err)
		}
		m, leftover, err := restoreSnapshot(cfg, d, plain)
		if err != nil {
			if m != nil || leftover != nil {
				t.Errorf("an error with a machine: %v", err)
			}
			return
		}
		again, err := m.appendSnapshot(leftover)
		if err != nil {
			t.Fatal(err)
		}
		if next, _, err := restoreSnapshot(cfg, d, again); err != nil || next.State() != m.State() {
			t.Errorf("what was restored cannot be kept again: %v", err)
		}
		m.ConnectionState()
		m.ExportKeyingMaterial("label", nil, 10)
		m.SendTicket()
		m.RequestClientCertificate()
		m.Write([]byte("data"))
		m.KeyUpdate(true)
		for in := append(leftover, 23, 3, 3, 0, 20, 1, 2, 3); ; {
			ev, n := m.Step(in)
			if in = in[n:]; ev.Stop() {
				break
			}
		}
		m.Sent(len(m.Output()))
		m.Hibernate()
		m.CloseWrite()
		m.EOF()
		m.Step(nil)
		m.Release()
	})
}

// FuzzRestore gives Restore what is no snapshot.
func FuzzRestore(f *testing.F) {
	cfg := testClientConfig()
	client, _ := connectPair(f, cfg, testServerConfig())
	snapshot, err := client.Snapshot(testSnapshotKey, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(snapshot[:40])
	f.Add([]byte{})
	f.Add([]byte{snapshotVersion})
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, leftover, err := Restore(cfg, testSnapshotKey, b); err == nil || m != nil || leftover != nil {
			t.Errorf("%v, %q, %v", m, leftover, err)
		}
	})
}
