package tlscore

import (
	"bytes"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tlscore.example/tlscore/internal/tlstest"
)

// Both ends export the same keying material, and crypto/tls does so too.
func TestExportKeyingMaterial(t *testing.T) {
	var log bytes.Buffer
	server, err := NewServer(&Config{Time: tlstest.Clock, Certificates: []tls.Certificate{localhost()}, KeyLogWriter: &log})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.ExportKeyingMaterial("label", nil, 32); err != ErrNoExporter {
		t.Errorf("before the handshake: %v", err)
	}
	var theirs bytes.Buffer
	conn, detach, err := withStd(server, stdClient(func(c *tls.Config) { c.KeyLogWriter = &theirs }))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	conn.Read(make([]byte, 4)) // the server has its handshake behind it
	detach()
	state := conn.ConnectionState()
	for _, test := range []struct {
		label   string
		context []byte
		n       int
	}{
		{"EXPERIMENTAL-label", nil, 32},
		{"EXPERIMENTAL-label", []byte{}, 32},
		{"EXPERIMENTAL-label", []byte("context"), 100},
		{"EXPORTER-Channel-Binding", []byte{}, 32},
	} {
		want, err := state.ExportKeyingMaterial(test.label, test.context, test.n)
		if err != nil {
			t.Fatal(err)
		}
		got, err := server.ExportKeyingMaterial(test.label, test.context, test.n)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%q: %x (%v), want %x", test.label, got, err, want)
		}
	}
	binding, err := server.ChannelBinding()
	if want, _ := state.ExportKeyingMaterial("EXPORTER-Channel-Binding", []byte{}, 32); err != nil || !bytes.Equal(binding, want) {
		t.Errorf("channel binding %x (%v), want %x", binding, err, want)
	}
	if _, err := server.ExportKeyingMaterial("label", nil, 1<<20); err == nil {
		t.Error("a megabyte of keying material")
	}
	if _, err := server.ExportEarlyKeyingMaterial("label", nil, 32); err != ErrNoExporter {
		t.Errorf("without early data: %v", err)
	}
	checkKeyLog(t, log.String(), theirs.String())
	server.Reject(AlertAccessDenied)
	if _, err := server.ExportKeyingMaterial("label", nil, 32); err != ErrNoExporter {
		t.Errorf("after a failure: %v", err)
	}
}

// A client exports what a server of crypto/tls does.
func TestExportFromClient(t *testing.T) {
	client, err := NewClient(testClientConfig())
	if err != nil {
		t.Fatal(err)
	}
	conn, detach, err := withStd(client, stdServer())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	conn.Read(make([]byte, 4)) // the echo
	detach()
	state := conn.ConnectionState()
	want, err := state.ExportKeyingMaterial("label", []byte("context"), 48)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := client.ExportKeyingMaterial("label", []byte("context"), 48); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%x (%v), want %x", got, err, want)
	}
}

// checkKeyLog compares our log with that of crypto/tls, which has no exporter secret.
func checkKeyLog(t *testing.T, ours, theirs string) {
	t.Helper()
	for line := range strings.Lines(theirs) {
		if !strings.Contains(ours, line) {
			t.Errorf("the key log lacks %q", line)
		}
	}
	labels := ""
	for line := range strings.Lines(ours) {
		fields := strings.Fields(line)
		if len(fields) != 3 {
			t.Fatalf("line %q", line)
		}
		if random, err := hex.DecodeString(fields[1]); err != nil || len(random) != 32 {
			t.Errorf("client random %q", fields[1])
		}
		labels += fields[0] + " "
	}
	want := "CLIENT_HANDSHAKE_TRAFFIC_SECRET SERVER_HANDSHAKE_TRAFFIC_SECRET " +
		"CLIENT_TRAFFIC_SECRET_0 SERVER_TRAFFIC_SECRET_0 EXPORTER_SECRET "
	if labels != want {
		t.Errorf("the key log has %q", labels)
	}
}

// overlapWriter counts the writes that begin while another one goes on.
type overlapWriter struct{ inside, overlaps atomic.Int32 }

func (w *overlapWriter) Write(b []byte) (int, error) {
	if w.inside.Add(1) > 1 {
		w.overlaps.Add(1)
	}
	time.Sleep(time.Millisecond)
	w.inside.Add(-1)
	return len(b), nil
}

// Two lines are never written at a time, also by configs that share a writer.
func TestKeyLogShared(t *testing.T) {
	log := new(overlapWriter)
	cfg := testClientConfig()
	cfg.KeyLogWriter = log
	var wait sync.WaitGroup
	for _, cfg := range []*Config{cfg, cfg.Clone()} {
		m := machineOf(t, false, cfg)
		wait.Go(func() {
			for range 20 {
				if err := m.logSecret(keyLogExporter, make([]byte, 32)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	if n := log.overlaps.Load(); n > 0 {
		t.Errorf("%d lines were written while another one was", n)
	}
}

// A client's log and exporter agree with its server's.
func TestExportersAgree(t *testing.T) {
	var clientLog, serverLog bytes.Buffer
	clientConfig, serverConfig := costClientConfig(), costServerConfig()
	clientConfig.KeyLogWriter, serverConfig.KeyLogWriter = &clientLog, &serverLog
	client, server := connectPair(t, clientConfig, serverConfig)
	a, err := client.ChannelBinding()
	if err != nil {
		t.Fatal(err)
	}
	b, err := server.ChannelBinding()
	if err != nil || !bytes.Equal(a, b) || len(a) != 32 {
		t.Errorf("%x, %x (%v)", a, b, err)
	}
	if clientLog.String() != serverLog.String() || clientLog.Len() == 0 {
		t.Errorf("the logs differ:\n%s\n%s", &clientLog, &serverLog)
	}
	client.Release()
	if _, err := client.ExportKeyingMaterial("label", nil, 32); err != ErrNoExporter {
		t.Errorf("after Release: %v", err)
	}
}

type failingWriter struct{ after int }

func (w *failingWriter) Write(p []byte) (int, error) {
	if w.after--; w.after < 0 {
		return 0, errors.New("disk full")
	}
	return len(p), nil
}

// A key log that cannot be written fails the connection, at whichever line.
func TestKeyLogFails(t *testing.T) {
	for lines := range 5 {
		r := newClientRig(t, func(c *Config) { c.KeyLogWriter = &failingWriter{after: lines} })
		r.tryBring(StateConnected)
		r.wantAlert(ReasonCallbackFailed, AlertInternalError)
		r = newServerRig(t, func(c *Config) { c.KeyLogWriter = &failingWriter{after: lines} })
		r.tryBring(StateConnected)
		r.wantAlert(ReasonCallbackFailed, AlertInternalError)
	}
}
