package tlscore

import (
	"bytes"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"tlscore.example/tlscore/internal/record"
	"tlscore.example/tlscore/internal/tlstest"
	"tlscore.example/tlscore/internal/wire"
)

// Records of a connection that is complete have a short way past the rules, which a Trace closes:
// both lead to the same events, the same output and the same end, whatever comes.
func TestShortWay(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		kinds := rapid.SliceOfN(rapid.IntRange(0, 13), 1, 12).Draw(rt, "records")
		lens := rapid.SliceOfN(rapid.IntRange(0, 300), len(kinds), len(kinds)).Draw(rt, "lengths")
		client := rapid.Bool().Draw(rt, "client")
		split := rapid.IntRange(1, 400).Draw(rt, "split")
		var told [2]string
		for i, trace := range []func(TraceMessage){nil, func(TraceMessage) {}} {
			setTrace := func(c *Config) { c.Trace = trace }
			r := newServerRig(t, setTrace)
			if client {
				r = newClientRig(t, setTrace)
			}
			r.bring(StateConnected)
			r.m.Sent(len(r.m.Output()))
			var stream []byte
			for j, kind := range kinds {
				send(r.p, kind, lens[j])
				stream = append(stream, r.p.Take()...)
			}
			told[i] = steps(r.m, stream, split)
		}
		if told[0] != told[1] {
			rt.Errorf("the short way:\n%s\nby the rules:\n%s", told[0], told[1])
		}
	})
}

// send has a peer send a record of some kind: application data most of the time.
func send(p *tlstest.Peer, kind, n int) {
	data := bytes.Repeat([]byte{'d'}, n)
	switch kind {
	default:
		p.SendRecord(record.TypeApplicationData, data)
	case 5: // with padding
		p.SendSealed(append(append(data, byte(record.TypeApplicationData)), make([]byte, 20)...))
	case 6: // without a type
		p.SendSealed(make([]byte, n))
	case 7:
		p.SendAlert(1, byte(AlertUserCanceled))
	case 8:
		p.SendAlert(1, byte(AlertCloseNotify))
	case 9: // the key is another one
		p.SendRaw(append(record.AppendHeader(nil, record.TypeApplicationData, uint16(wire.VersionTLS12), n+17), make([]byte, n+17)...))
	case 10: // longer than records may be
		p.SendRaw([]byte{byte(record.TypeApplicationData), 3, 3, (record.MaxCiphertext + 1) >> 8, (record.MaxCiphertext + 1) & 0xff})
	case 11:
		p.SendCCS()
	case 12: // the beginning of a message
		p.SendRecord(record.TypeHandshake, []byte{byte(wire.TypeKeyUpdate), 0, 0})
	case 13:
		p.Send(p.KeyUpdate(uint8(n % 3)))
	}
}

// steps gives b to a machine in pieces, and tells all that it does.
func steps(m *Machine, b []byte, split int) string {
	var out bytes.Buffer
	var in []byte
	for len(b) > 0 {
		n := min(split, len(b))
		in, b = append(in, b[:n]...), b[n:]
		for {
			ev, n := m.Step(in)
			in = in[n:]
			fmt.Fprintf(&out, "%v %q %v %v, %d taken\n", ev.Kind, ev.Data, ev.Queued, ev.Truncated, n)
			if ev.Stop() {
				break
			}
		}
	}
	fmt.Fprintf(&out, "%v, %v, output %d", m.State(), m.Err(), len(m.Output()))
	return out.String()
}
