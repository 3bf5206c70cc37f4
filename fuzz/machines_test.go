package fuzz

import (
	"testing"

	"tlscore.example/tlscore/internal/record"
)

// maxInput keeps single runs short.
const maxInput = 1 << 17

// manners are the ways in which an input is presented again.
func manners(seed uint64) []manner {
	return []manner{
		{name: "as few pieces as possible", blind: true, poison: true},
		{name: "byte by byte", piece: 1, poison: true},
		{name: "cut at random, sent late", piece: 1500, seed: seed | 1, lazy: true, poison: true},
	}
}

// run gives the parts of an input to a machine: each by itself at first, then in
// every other manner. It returns the first session, nil if there was none.
func run(t *testing.T, set *setup, script []instruction, parts [][]byte) *session {
	want := newSession(t, set, script, manner{name: "part by part"})
	if want == nil {
		return nil
	}
	for _, part := range parts {
		want.feed(part)
		want.app.behindPart()
	}
	want.conclude()
	again(t, want, parts)
	return want
}

// again runs the same input in every other manner, and compares.
func again(t *testing.T, want *session, parts [][]byte) {
	for _, how := range manners(uint64(want.set.seed) << 1) {
		got := newSession(t, want.set, want.app.script, how)
		got.account.secrets = want.account.secrets
		var joined []byte
		for _, part := range parts {
			joined = append(joined, part...)
			if got.app.pauses() {
				got.feed(joined)
				joined = joined[:0]
			}
			got.app.behindPart()
		}
		got.feed(joined)
		got.conclude()
		compare(t, want, got)
	}
}

// conclude ends the input, and the session with it.
func (s *session) conclude() {
	s.endInput()
	s.finish()
}

// splitRecords cuts a stream behind each record; what is none is the last part.
func splitRecords(b []byte) (parts [][]byte) {
	for len(b) >= record.HeaderLen {
		size := record.HeaderLen + record.ParseHeader(b).Length
		if size > len(b) {
			break
		}
		parts = append(parts, b[:size])
		b = b[size:]
	}
	if len(b) > 0 {
		parts = append(parts, b)
	}
	return parts
}

// fuzzMachine is a target that gives a machine the bytes of a peer as they are.
func fuzzMachine(f *testing.F, r role) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, config, script, peer []byte) {
		if len(peer) > maxInput {
			return
		}
		run(t, newSetup(r, config), parseScript(script), splitRecords(peer))
	})
}

func FuzzServer(f *testing.F) { fuzzMachine(f, roleServer) }

func FuzzClient(f *testing.F) { fuzzMachine(f, roleClient) }

func FuzzAcceptor(f *testing.F) { fuzzMachine(f, roleAcceptor) }
