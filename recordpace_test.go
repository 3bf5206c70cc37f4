package tlscore

import (
	"bytes"
	"crypto/tls"
	"testing"
	"time"

	"tlscore.example/tlscore/internal/record"
	"tlscore.example/tlscore/internal/tlstest"
)

// recordLens are the lengths of the records in b, headers included.
func recordLens(b []byte) (lens []int) {
	for len(b) > 0 {
		n := record.HeaderLen + record.ParseHeader(b).Length
		lens, b = append(lens, n), b[n:]
	}
	return lens
}

// Records are small until 64 KiB were sent, and again after a pause; SealedLen has room for
// them all.
func TestSmallFirstRecords(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		now := tlstest.Clock()
		clientConfig, serverConfig := testClientConfig(), testServerConfig()
		clientConfig.MinVersion, clientConfig.MaxVersion = version, version
		serverConfig.MinVersion = version
		clientConfig.Time = func() time.Time { return now }
		clientConfig.SmallFirstRecords = true
		clientConfig.Limits.Output = 1 << 20
		client, server := connectPair(t, clientConfig, serverConfig)
		data := bytes.Repeat([]byte("data"), 50<<10)
		send := func(n int) (small, long int) {
			room := client.SealedLen(n)
			out, k, err := client.AppendSealed(make([]byte, 0, room), data[:n])
			if k != n || err != nil {
				t.Fatalf("%d of %d bytes into a room of %d: %v", k, n, room, err)
			}
			for _, l := range recordLens(out) {
				if l <= smallRecord {
					small++
				} else {
					long++
				}
			}
			var got []byte
			for in := out; ; {
				ev, k := server.Step(in)
				in, got = in[k:], append(got, ev.Data...)
				if ev.Stop() {
					break
				}
			}
			if !bytes.Equal(got, data[:n]) {
				t.Fatalf("%d bytes of %d have arrived, or others", len(got), n)
			}
			return small, long
		}
		if small, long := send(60 << 10); small < 44 || long > 0 {
			t.Errorf("%s: the first 60 KiB are in %d small and %d long records", tls.VersionName(version), small, long)
		}
		if small, long := send(100 << 10); small < 3 || small > 5 || long < 6 {
			t.Errorf("%s: the next 100 KiB are in %d small and %d long records", tls.VersionName(version), small, long)
		}
		now = now.Add(burstPause - 1)
		if small, long := send(32 << 10); small > 0 || long != 2 {
			t.Errorf("%s: after less than a pause, 32 KiB are in %d small and %d long records", tls.VersionName(version), small, long)
		}
		now = now.Add(burstPause)
		if small, long := send(200 << 10); small < 48 || small > 50 || long < 8 || long > 9 {
			t.Errorf("%s: after a pause, 200 KiB are in %d small and %d long records", tls.VersionName(version), small, long)
		}
		now = now.Add(burstPause)
		client.Write(data)
		if lens := recordLens(client.Output()); len(lens) < 50 || lens[0] > smallRecord || lens[len(lens)-2] < record.MaxPlaintext {
			t.Errorf("%s: Write has made records of %d", tls.VersionName(version), lens)
		}
	}
}

// Without the setting, nobody asks for the time when something is written.
func TestLongFirstRecords(t *testing.T) {
	client, _ := connectPair(t, testClientConfig(), testServerConfig())
	client.Write(make([]byte, 40<<10))
	if lens := recordLens(client.Output()); len(lens) != 3 {
		t.Errorf("40 KiB in records of %d", lens)
	}
}

// A clock that panics ends the connection, with its alert.
func TestSmallFirstRecordsWithoutTime(t *testing.T) {
	broken := false
	cfg := testClientConfig()
	cfg.SmallFirstRecords = true
	cfg.Time = func() time.Time {
		if broken {
			panic("no time")
		}
		return tlstest.Clock()
	}
	client, server := connectPair(t, cfg, testServerConfig())
	broken = true
	n, err := client.Write([]byte("data"))
	if n != 0 || reasonOf(err) != ReasonCallbackPanicked {
		t.Errorf("%d, %v", n, err)
	}
	stepAll(server, client.AppendOutput(make([]byte, 0, 1000)))
	if alert, ok := server.Err().(*RemoteAlert); !ok || alert.Alert != AlertInternalError {
		t.Errorf("the peer was told %v", server.Err())
	}
	if client.Step(nil); client.State() != StateFailed || reasonOf(client.Err()) != ReasonCallbackPanicked {
		t.Errorf("%v, %v", client.State(), client.Err())
	}
}
