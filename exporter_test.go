package tlscore

import (
	"bytes"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tlscore.example/tlscore/internal/tlstest"
)

// withStd connects m, a client or a server, with an end of crypto/tls over a socket,
// and returns that end when its handshake is complete. It goes on to drive m, which
// must not be touched before detach was called: that ends the driving, and the socket.
func withStd(m *Machine, std func(net.Conn) *tls.Conn) (conn *tls.Conn, detach func(), err error) {
	ours, theirs, err := sockets()
	if err != nil {
		return nil, nil, err
	}
	conn = std(theirs)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		drive(m, ours)
	}()
	return conn, func() { ours.Close(); <-stopped }, conn.Handshake()
}

// sockets returns two ends of one connection. It has buffers, which a net.Pipe lacks: both
// ends may write at the same time.
func sockets() (a, b net.Conn, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	if a, err = net.Dial("tcp", l.Addr().String()); err != nil {
		return nil, nil, err
	}
	if b, err = l.Accept(); err != nil {
		return nil, nil, err
	}
	for _, c := range []net.Conn{a, b} {
		c.SetDeadline(time.Now().Add(time.Minute)) // should one wait for the other for ever
	}
	return a, b, nil
}

// drive runs a machine over a connection until either ends. It echoes data.
func drive(m *Machine, conn net.Conn) {
	var in Inbound
	buf := make([]byte, 1<<15)
	var chunk []byte
	for {
		rest := in.Join(chunk)
		var stop Event
		for {
			ev, n := m.Step(rest)
			rest = rest[n:]
			if ev.Kind == EventData {
				m.Write(ev.Data)
			}
			if stop = ev; ev.Stop() {
				break
			}
		}
		in.Keep(rest)
		if out := m.Output(); len(out) > 0 {
			n, err := conn.Write(out)
			m.Sent(n)
			if err != nil {
				return
			}
		}
		if stop.Terminal() {
			conn.Close()
			return
		}
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		chunk = buf[:n]
	}
}

// stdClient returns a client of crypto/tls that trusts the test's authority.
func stdClient(change ...func(*tls.Config)) func(net.Conn) *tls.Conn {
	cfg := &tls.Config{RootCAs: tlstest.Roots(), ServerName: "localhost", Time: tlstest.Clock}
	for _, f := range change {
		f(cfg)
	}
	return func(c net.Conn) *tls.Conn { return tls.Client(c, cfg) }
}

// stdServer returns a server of crypto/tls for localhost.
func stdServer(change ...func(*tls.Config)) func(net.Conn) *tls.Conn {
	cfg := &tls.Config{Certificates: []tls.Certificate{localhost()}, Time: tlstest.Clock}
	for _, f := range change {
		f(cfg)
	}
	return func(c net.Conn) *tls.Conn { return tls.Server(c, cfg) }
}

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
