package tlscore

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"tlscore.example/tlscore/internal/record"
	"tlscore.example/tlscore/internal/tlstest"
	"tlscore.example/tlscore/internal/wire"
)

// longestRecord returns the longest fragment in a stream of records.
func longestRecord(b []byte) (longest, count int) {
	for len(b) > 0 {
		h := record.ParseHeader(b)
		longest, count = max(longest, h.Length), count+1
		b = b[record.HeaderLen+h.Length:]
	}
	return longest, count
}

// Both sides keep to the record_size_limit of the other, and what they send is what
// SealedLen has said.
func TestRecordSizeLimit(t *testing.T) {
	for _, test := range []struct{ version, client, server uint16 }{
		{tls.VersionTLS13, 64, 0}, {tls.VersionTLS13, 512, 1000}, {tls.VersionTLS13, 16385, 64}, {tls.VersionTLS13, 100, 16385},
		{tls.VersionTLS12, 64, 0}, {tls.VersionTLS12, 512, 1000}, {tls.VersionTLS12, 16385, 64}, {tls.VersionTLS12, 100, 16385},
	} {
		clientConfig, serverConfig := testClientConfig(), testServerConfig()
		for _, c := range []*Config{clientConfig, serverConfig} {
			c.MinVersion, c.MaxVersion = test.version, test.version
		}
		clientConfig.RecordSizeLimit, serverConfig.RecordSizeLimit = test.client, test.server
		client, server := connectPair(t, clientConfig, serverConfig)
		for _, way := range []struct {
			from, to *Machine
			limit    uint16
		}{{client, server, test.server}, {server, client, test.client}} {
			limit := int(way.limit)
			if limit == 0 {
				limit = record.MaxInner
			}
			content, longestFragment := limit-1, limit+record.TagLen // with its type
			if test.version == tls.VersionTLS12 {                    // where the limit is about content alone
				content = min(limit, record.MaxPlaintext)
				longestFragment = content + record.MaxOverhead - record.HeaderLen
			}
			data := bytes.Repeat([]byte("data"), 5000)
			want := way.from.SealedLen(len(data))
			if n, err := way.from.Write(data); n != len(data) || err != nil {
				t.Fatalf("%d, %v", n, err)
			}
			out := bytes.Clone(way.from.Output())
			way.from.Sent(len(out))
			longest, count := longestRecord(out)
			if longest > longestFragment || count != (len(data)+content-1)/content || len(out) != want {
				t.Errorf("limit %d: %d records, one of %d bytes; %d bytes in all, said %d", limit, count, longest, len(out), want)
			}
			var got []byte
			for {
				ev, n := way.to.Step(out)
				out = out[n:]
				got = append(got, ev.Data...)
				if ev.Stop() {
					break
				}
			}
			if !bytes.Equal(got, data) {
				t.Errorf("limit %d: %d bytes of %d came (%v)", limit, len(got), len(data), way.to.Err())
			}
		}
	}
}

// The server's flight keeps to the limit too, and a client whose server does not
// answer keeps none.
func TestRecordSizeLimitOfFlight(t *testing.T) {
	r := newServerRig(t)
	r.p.OnClientHello = func(m *wire.ClientHello) {
		m.RecordSizeLimit = 64
		m.Extensions = append(m.Extensions, tlstest.Extensions(wire.ExtRecordSizeLimit)...)
	}
	r.bring(StateWaitClientFinished)
	for _, item := range r.p.Got {
		if item.Epoch == tlstest.Handshake && len(item.Record) > record.HeaderLen+64+record.TagLen {
			t.Errorf("%v in a record of %d bytes", item, len(item.Record))
		}
	}
	r = newClientRig(t, func(c *Config) { c.RecordSizeLimit = 64 }).bring(StateConnected)
	r.p.SendRecord(record.TypeApplicationData, make([]byte, 1000))
	r.run()
	r.wantState(StateConnected)
}

// What is longer than the limit that was announced is refused in TLS 1.2 as well, where
// the limit is that of the content. RFC 8449, Section 4.
func TestRecordSizeLimitBroken12(t *testing.T) {
	rigs := map[string]*rig{"client": newClientRig12(t), "server": newServerRig12(t)}
	limited := func(c *Config) { c.RecordSizeLimit = 100 }
	rigs["client with a limit"], rigs["server with a limit"] = newClientRig12(t, limited), newServerRig12(t, limited)
	for name, r := range rigs {
		t.Run(name, func(t *testing.T) {
			r.T = t
			extension := tlstest.Extensions(wire.ExtRecordSizeLimit)
			r.p.OnClientHello = func(m *wire.ClientHello) {
				m.RecordSizeLimit, m.Extensions = 16384, append(m.Extensions, extension...)
			}
			limit := record.MaxPlaintext
			if r.m.cfg.RecordSizeLimit != 0 {
				limit = 100
				r.p.OnServerHello = func(m *wire.ServerHello) {
					m.RecordSizeLimit, m.Extensions = 16384, append(m.Extensions, extension...)
				}
			}
			r.bring(StateConnected)
			r.p.SendRecord(record.TypeApplicationData, make([]byte, limit))
			r.run()
			r.wantState(StateConnected)
			if limit < record.MaxPlaintext { // beyond which TestRecordLengths12 goes
				r.p.SendRecord(record.TypeApplicationData, make([]byte, limit+1))
				r.run()
				r.wantAlert(ReasonRecordOverflow, AlertRecordOverflow)
			}
		})
	}
}

// An endpoint must not send more than the limit that it was given, and limits
// below 64 are illegal; a client must refuse one above what the version allows.
// RFC 8449, Section 4.
func TestRecordSizeLimitBroken(t *testing.T) {
	answer := func(limit uint16) func(*wire.EncryptedExtensions) {
		return func(m *wire.EncryptedExtensions) {
			m.RecordSizeLimit = limit
			m.Extensions = append(m.Extensions, tlstest.Extensions(wire.ExtRecordSizeLimit)...)
		}
	}
	r := newClientRig(t, func(c *Config) { c.RecordSizeLimit = 100 })
	r.p.OnEncryptedExtensions = answer(16385)
	r.bring(StateWaitCertificateOrRequest)
	r.p.SendRecord(record.TypeHandshake, make([]byte, 100))
	r.run()
	r.wantAlert(ReasonRecordOverflow, AlertRecordOverflow)

	for _, limit := range []uint16{0, 63, 16386, 65535} {
		r := newClientRig(t, func(c *Config) { c.RecordSizeLimit = 100 }).bring(StateWaitEncryptedExtensions)
		r.p.OnEncryptedExtensions = answer(limit)
		r.send(r.p.EncryptedExtensions())
		r.wantAlert(ReasonBadRecordSizeLimit, AlertIllegalParameter)
	}
	r = newClientRig(t).bring(StateWaitEncryptedExtensions)
	r.p.OnEncryptedExtensions = answer(100)
	r.send(r.p.EncryptedExtensions())
	r.wantAlert(ReasonUnsolicitedExtension, AlertUnsupportedExtension)
}

// Padded records have a plaintext that is a multiple of the block, as far as a
// record allows, in whichever way they are sent.
func TestRecordPadding(t *testing.T) {
	for _, block := range []int{3, 4096} {
		clientConfig := costClientConfig()
		clientConfig.RecordPadding = block
		client, server := connectPair(t, clientConfig, costServerConfig())
		rapid.Check(t, func(t *rapid.T) {
			data := make([]byte, rapid.IntRange(1, 40000).Draw(t, "length"))
			want := client.SealedLen(len(data))
			var out []byte
			if rapid.Bool().Draw(t, "appended") {
				var n int
				out, n, _ = client.AppendSealed(make([]byte, 0, want), data)
				if n != len(data) {
					t.Fatalf("%d of %d bytes in %d", n, len(data), want)
				}
			} else if n, err := client.Write(data); n == len(data) && err == nil {
				out = client.AppendOutput(make([]byte, 0, want))
			}
			if len(out) != want || len(client.Output()) > 0 {
				t.Fatalf("%d bytes sealed to %d, said %d", len(data), len(out), want)
			}
			for b := out; len(b) > 0; {
				h := record.ParseHeader(b)
				if inner := h.Length - record.TagLen; inner%block != 0 && inner != record.MaxInner {
					t.Fatalf("a plaintext of %d bytes", inner)
				}
				b = b[record.HeaderLen+h.Length:]
			}
			got := 0
			for in := slices.Clone(out); ; {
				ev, n := server.Step(in)
				in, got = in[n:], got+len(ev.Data)
				if ev.Stop() {
					break
				}
			}
			if got != len(data) {
				t.Fatalf("%d bytes of %d came", got, len(data))
			}
		})
	}
}

// Whatever room there is, a padded record that is put there fits.
func TestPaddingFits(t *testing.T) {
	clientConfig := costClientConfig()
	clientConfig.RecordPadding = 64
	client, _ := connectPair(t, clientConfig, costServerConfig())
	for room := range 400 {
		out, n, err := client.AppendSealed(make([]byte, 0, room), make([]byte, 300))
		if err != nil || len(out) > room || n > 0 != (room >= 64+record.Overhead-1) {
			t.Fatalf("room of %d: %d bytes, took %d (%v)", room, len(out), n, err)
		}
	}
}

func TestRecordConfig(t *testing.T) {
	for i, change := range []func(*Config){
		func(c *Config) { c.RecordSizeLimit = 63 },
		func(c *Config) { c.RecordSizeLimit = 16386 },
		func(c *Config) { c.RecordPadding = -1 },
		func(c *Config) { c.RecordPadding = 16385 },
		func(c *Config) { c.RecordPadding, c.Limits.Output = 200, 100 },
		func(c *Config) {
			c.VerifyOCSPResponse = func([]byte, [][]*x509.Certificate) error { return nil }
		},
	} {
		cfg := testClientConfig()
		change(cfg)
		if _, err := NewClient(cfg); err == nil {
			t.Error(fmt.Sprint("accepted config ", i))
		}
	}
}
