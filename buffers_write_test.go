package tlscore

import (
	"bytes"
	"fmt"
	"testing"
)

// twins are two machines in the same state.
func twins(t *testing.T, m *Machine) (a, b *Machine) {
	t.Helper()
	plain, err := m.appendSnapshot(nil)
	if err != nil {
		t.Fatal(err)
	}
	var out [2]*Machine
	for i := range out {
		if out[i], _, err = restoreSnapshot(m.cfg, m.d, plain); err != nil {
			t.Fatal(err)
		}
	}
	return out[0], out[1]
}

// cuts are ways to cut data into pieces.
func cuts(data []byte) [][][]byte {
	var small [][]byte
	for p := data; len(p) > 0; {
		n := min(len(p), 1+len(p)%700)
		small = append(small, p[:n], nil)
		p = p[n:]
	}
	half := len(data) / 2
	return [][][]byte{{data}, {nil, data[:half], {}, data[half:]}, small}
}

// Pieces share records: what comes out is what Write and AppendSealed make of them in one.
func TestBuffersShareRecords(t *testing.T) {
	for _, setup := range establishedSetups {
		for _, size := range []int{0, 1, 1000, 16384, 16385, 40_000, 200_000} {
			t.Run(fmt.Sprint(setup.name, "/", size), func(t *testing.T) {
				client, _ := connectPair(t, setup.client, setup.server)
				data := bytes.Repeat([]byte("0123456789"), size/10+1)[:size]
				for _, pieces := range cuts(data) {
					a, b := twins(t, client)
					n1, err1 := a.Write(data)
					n2, err2 := b.WriteBuffers(pieces)
					if n1 != n2 || err1 != err2 || !bytes.Equal(a.Output(), b.Output()) {
						t.Fatalf("%d pieces: %d and %d, %v and %v", len(pieces), n1, n2, err1, err2)
					}
					a, b = twins(t, client)
					room := 2 + a.SealedLen(size)
					out1, n1, err1 := a.AppendSealed(make([]byte, 2, room), data)
					out2, n2, err2 := b.AppendSealedBuffers(make([]byte, 2, room), pieces)
					if n1 != n2 || err1 != err2 || !bytes.Equal(out1, out2) || cap(out2) != room {
						t.Fatalf("%d pieces: %d and %d, %v and %v", len(pieces), n1, n2, err1, err2)
					}
				}
			})
		}
	}
}

// What is sealed in place is what AppendSealed makes of a copy.
func TestSealInPlace(t *testing.T) {
	padding := testClientConfig()
	padding.RecordPadding = 100
	setups := append(establishedSetups[:len(establishedSetups):len(establishedSetups)], establishedSetups[0])
	setups[len(setups)-1].client = padding
	for i, setup := range setups {
		t.Run(fmt.Sprint(i, setup.name), func(t *testing.T) {
			client, _ := connectPair(t, setup.client, setup.server)
			for _, n := range []int{1, 99, 100, client.RecordLen()} {
				a, b := twins(t, client)
				content := bytes.Repeat([]byte("c"), n)
				want, _, err := a.AppendSealed(make([]byte, 0, a.SealedLen(n)), content)
				if err != nil {
					t.Fatal(err)
				}
				buf := make([]byte, RecordHeadroom+n, RecordHeadroom+n+RecordTailroom+100)
				copy(buf[RecordHeadroom:], content)
				got, err := b.SealInPlace(buf, n)
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("%d bytes: %v, %d bytes of record, expected %d", n, err, len(got), len(want))
				}
			}
		})
	}
}

// What it refuses, it leaves as it was.
func TestSealInPlaceRefuses(t *testing.T) {
	client, server := newPair(t, testClientConfig(), testServerConfig())
	buf := bytes.Repeat([]byte("b"), 20_000)
	before := bytes.Clone(buf)
	refuse := func(why string, b []byte, n int, want error) {
		t.Helper()
		out, err := client.SealInPlace(b, n)
		if err != want || out != nil || !bytes.Equal(buf, before) {
			t.Errorf("%s: %v, expected %v", why, err, want)
		}
	}
	refuse("too soon", buf, 10, ErrNotReady)
	talk(t, client, server, whole)
	refuse("nothing", buf, 0, ErrNoRoom)
	refuse("less than nothing", buf, -1, ErrNoRoom)
	refuse("too long", buf, 16385, ErrNoRoom)
	refuse("no headroom", buf[:RecordHeadroom+9], 10, ErrNoRoom)
	refuse("no tailroom", buf[:RecordHeadroom+10:RecordHeadroom+10+RecordTailroom-1], 10, ErrNoRoom)
	refuse("no memory", nil, 10, ErrNoRoom)
	client.Write([]byte("first"))
	refuse("output", buf, 10, ErrOutputPending)
	talk(t, client, server, whole)
	server.KeyUpdate(true)
	talk(t, client, server, whole)
	server.Write([]byte("x"))
	server.KeyUpdate(true)
	talk(t, client, server, whole) // a second request waits for application data
	refuse("a KeyUpdate is due", buf, 10, ErrOutputPending)
	talk(t, client, server, whole)
	if _, err := client.SealInPlace(buf, 10); err != nil {
		t.Errorf("behind the KeyUpdate: %v", err)
	}
	client.CloseWrite()
	if _, err := client.SealInPlace(buf, 10); err != ErrWriteClosed {
		t.Error(err)
	}
}

// Neither costs an allocation.
func TestWriteAllocations(t *testing.T) {
	for _, setup := range establishedSetups[:6] {
		client, server := connectPair(t, setup.client, setup.server)
		buf := make([]byte, RecordHeadroom+1000, RecordHeadroom+1000+RecordTailroom)
		pieces := [][]byte{make([]byte, 10), make([]byte, 500), make([]byte, 20_000)}
		wire := make([]byte, 0, 1<<16)
		for name, f := range map[string]func() []byte{
			"SealInPlace": func() []byte {
				rec, err := client.SealInPlace(buf, 1000)
				if err != nil {
					t.Fatal(err)
				}
				return rec
			},
			"AppendSealedBuffers": func() []byte {
				out, _, err := client.AppendSealedBuffers(wire[:0], pieces)
				if err != nil {
					t.Fatal(err)
				}
				return out
			},
			"WriteBuffers": func() []byte {
				if _, err := client.WriteBuffers(pieces); err != nil {
					t.Fatal(err)
				}
				return client.AppendOutput(wire[:0])
			},
		} {
			if n := testing.AllocsPerRun(100, func() {
				for in := f(); len(in) > 0; {
					ev, k := server.Step(in)
					if in = in[k:]; ev.Kind != EventData {
						t.Fatal(ev, server.Err())
					}
				}
			}); n > 0 {
				t.Errorf("%s, %s: %v allocations", setup.name, name, n)
			}
		}
	}
}
