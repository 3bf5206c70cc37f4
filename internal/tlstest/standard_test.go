package tlstest

import (
	"bytes"
	"crypto/fips140"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"tlscore.example/tlscore/internal/record"
	"tlscore.example/tlscore/internal/schedule"
	"tlscore.example/tlscore/internal/wire"
)

// wiretap writes down what both ends of a connection of crypto/tls send, in order.
type wiretap struct {
	mu    sync.Mutex
	sent  []tapped
	bytes [2][]byte // by side, what is not yet a whole record
}

type tapped struct {
	client bool
	record []byte
}

type tappedConn struct {
	net.Conn
	tap    *wiretap
	client bool
}

func (c *tappedConn) Write(p []byte) (int, error) {
	c.tap.write(c.client, p)
	return c.Conn.Write(p)
}

func (w *wiretap) write(client bool, p []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	side := 0
	if client {
		side = 1
	}
	rest := append(w.bytes[side], p...)
	for len(rest) >= record.HeaderLen {
		size := record.HeaderLen + record.ParseHeader(rest).Length
		if len(rest) < size {
			break
		}
		w.sent = append(w.sent, tapped{client, bytes.Clone(rest[:size])})
		rest = rest[size:]
	}
	w.bytes[side] = rest
}

// standardConn is one finished connection between two ends of crypto/tls.
type standardConn struct {
	*wiretap
	data   []byte // what the client wrote, and the server echoed
	random []byte // the client's
	master []byte
	state  tls.ConnectionState
}

func runStandard12(t *testing.T, suite uint16) *standardConn {
	t.Helper()
	c := &standardConn{wiretap: new(wiretap), data: make([]byte, 50_000)}
	for i := range c.data {
		c.data[i] = byte(i * i >> 3)
	}
	var keyLog strings.Builder
	a, b := net.Pipe()
	client := tls.Client(&tappedConn{a, c.wiretap, true}, &tls.Config{
		MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{suite},
		RootCAs: Roots(), ServerName: "localhost", Time: Clock, KeyLogWriter: &keyLog,
	})
	server := tls.Server(&tappedConn{b, c.wiretap, false}, &tls.Config{
		MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{suite},
		Certificates: []tls.Certificate{Certificate(Leaf{})}, Time: Clock,
	})
	done := make(chan error, 1)
	go func() {
		_, err := io.CopyN(server, server, int64(len(c.data)))
		done <- err
	}()
	go client.Write(c.data)
	if got, err := io.ReadAll(io.LimitReader(client, int64(len(c.data)))); err != nil || !bytes.Equal(got, c.data) {
		t.Fatalf("%d bytes came back, error %v", len(got), err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	c.state = client.ConnectionState()
	if _, err := fmt.Sscanf(keyLog.String(), "CLIENT_RANDOM %x %x\n", &c.random, &c.master); err != nil {
		t.Fatal(keyLog.String(), err)
	}
	a.Close()
	b.Close()
	return c
}

// TestStandard12 opens every record that two ends of crypto/tls exchanged, seals it again, and checks both Finished and
// the exported material. The master secret comes from their key log.
func TestStandard12(t *testing.T) {
	if record.NullCrypto || fips140.Enforced() {
		t.Skip("the ciphers of crypto/tls are not to be had")
	}
	for _, test := range []struct {
		id   uint16
		aead record.AEAD
		hash schedule.Hash
	}{
		{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, record.AES128GCM, schedule.SHA256},
		{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, record.AES256GCM, schedule.SHA384},
		{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, record.ChaCha20Poly1305, schedule.SHA256},
	} {
		t.Run(tls.CipherSuiteName(test.id), func(t *testing.T) {
			c := runStandard12(t, test.id)
			master, ok := schedule.ResumeMasterSecret(test.hash, c.master, true)
			if !ok {
				t.Fatalf("key log: %x", c.master)
			}
			replay12(t, c, master, test.aead)
		})
	}
}

func replay12(t *testing.T, c *standardConn, master *schedule.MasterSecret, aead record.AEAD) {
	t.Helper()
	transcript := schedule.NewTranscript(master.Hash())
	client := [schedule.RandomLen]byte(c.random)
	var server [schedule.RandomLen]byte
	var open, seal [2]*record.Protection
	var data [2][]byte
	finished := 0
	for i, sent := range c.sent {
		side := 0
		if sent.client {
			side = 1
		}
		h := record.ParseHeader(sent.record)
		content := sent.record[record.HeaderLen:]
		if open[side] != nil {
			original := bytes.Clone(sent.record)
			var typ record.ContentType
			var err error
			if typ, content, err = open[side].Open(sent.record); err != nil || typ != h.Type {
				t.Fatalf("record %d, client %v: %v, %v", i, sent.client, typ, err)
			}
			if again := seal[side].Seal(nil, typ, content); !bytes.Equal(again, original) {
				t.Fatalf("record %d, client %v: sealed again it is\n%x, not\n%x", i, sent.client, again, original)
			}
		}
		switch h.Type {
		case record.TypeChangeCipherSpec:
			k := master.KeyBlock(&client, &server, aead.KeyLen(), aead.IV12Len())
			key, iv := k.ServerKey(), k.ServerIV()
			if sent.client {
				key, iv = k.ClientKey(), k.ClientIV()
			}
			for _, p := range []**record.Protection{&open[side], &seal[side]} {
				protection, err := record.New12(aead, key, iv)
				if err != nil {
					t.Fatal(err)
				}
				*p = &protection
			}
		case record.TypeHandshake:
			if wire.HandshakeType(content[0]) == wire.TypeServerHello && open[side] == nil {
				copy(server[:], content[wire.HeaderLen+2:])
			}
			if open[side] != nil {
				finished++
				want := master.ServerFinished(nil, transcript.Sum(nil))
				if sent.client {
					want = master.ClientFinished(nil, transcript.Sum(nil))
				}
				if want = Message(wire.TypeFinished, want...); !bytes.Equal(content, want) {
					t.Errorf("record %d, client %v: Finished %x, want %x", i, sent.client, content, want)
				}
			}
			transcript.Write(content)
		case record.TypeApplicationData:
			data[side] = append(data[side], content...)
		}
	}
	if finished != 2 || !bytes.Equal(data[0], c.data) || !bytes.Equal(data[1], c.data) {
		t.Errorf("%d Finished, %d and %d bytes of data", finished, len(data[0]), len(data[1]))
	}
	exporter := master.Exporter(&client, &server)
	compareExports(t, &c.state, exporter.Export)
}

func compareExports(t *testing.T, state *tls.ConnectionState, export func(string, []byte, int) ([]byte, error)) {
	t.Helper()
	for _, context := range [][]byte{nil, {}, []byte("context"), make([]byte, 1000)} {
		for _, n := range []int{1, 32, 100, 1000} {
			want, err := state.ExportKeyingMaterial("EXPORTER-test", context, n)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := export("EXPORTER-test", context, n); err != nil || !bytes.Equal(got, want) {
				t.Errorf("context %q: exported %x, want %x; error %v", context, got, want, err)
			}
		}
	}
}

// TestStandardExporter13 compares exported material of TLS 1.3, as a Peer and a server of crypto/tls compute it.
func TestStandardExporter13(t *testing.T) {
	if record.NullCrypto || fips140.Enforced() {
		t.Skip("the ciphers of crypto/tls are not to be had")
	}
	for _, suite := range []wire.CipherSuite{wire.TLS_AES_128_GCM_SHA256, wire.TLS_AES_256_GCM_SHA384} {
		peer := NewPeer(false)
		peer.Suite = suite
		a, b := net.Pipe()
		defer a.Close()
		server := tls.Server(b, &tls.Config{
			MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{Certificate(Leaf{})}, Time: Clock,
			SessionTicketsDisabled: true,
		})
		done := make(chan error, 1)
		go func() { done <- server.Handshake() }()
		send := func(messages ...[]byte) {
			t.Helper()
			peer.Send(messages...)
			if _, err := a.Write(peer.Take()); err != nil {
				t.Fatal(err)
			}
		}
		send(peer.ClientHello())
		for peer.Message(wire.TypeFinished) == nil {
			b := make([]byte, record.HeaderLen)
			if _, err := io.ReadFull(a, b); err != nil {
				t.Fatal(err)
			}
			b = append(b, make([]byte, record.ParseHeader(b).Length)...)
			if _, err := io.ReadFull(a, b[record.HeaderLen:]); err != nil {
				t.Fatal(err)
			}
			if peer.Receive(b); peer.Err != nil {
				t.Fatal(peer.Err)
			}
		}
		main := peer.handshake.Main()
		exporter := main.Exporter(peer.TranscriptHash())
		send(peer.Finished())
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		state := server.ConnectionState()
		if state.CipherSuite != uint16(suite) {
			t.Fatalf("negotiated %s", tls.CipherSuiteName(state.CipherSuite))
		}
		compareExports(t, &state, exporter.Export)
	}
}
