package fuzz

import (
	"slices"
	"testing"

	"tlscore.example/tlscore"
)

// converse lets a machine talk to a puppet, and returns the parts that it was
// given.
func converse(s *session, p *puppet) (parts [][]byte) {
	p.account = s.account
	size := 0
	for len(parts) < 400 && size < maxInput {
		p.follow(s)
		next := p.next()
		if next == nil || p.unreadable {
			break
		}
		parts = append(parts, next.bytes)
		size += len(next.bytes)
		s.feed(next.bytes)
		if next.misaligned {
			s.checkMisaligned()
		}
		s.app.behindPart()
	}
	return parts
}

// follow reads what the machine has sent since.
func (p *puppet) follow(s *session) {
	s.t.Helper()
	p.receive(s.out[p.read:])
	p.read = len(s.out)
	if p.unreadable && !p.astray {
		s.t.Fatal("the peer cannot read what the machine has sent")
	}
}

// checkMisaligned checks that a machine has failed, or come to another end, that
// was given bytes behind a message which changes keys.
//
//	"Handshake messages MUST NOT span key changes."
//
// https://www.rfc-editor.org/rfc/rfc8446#section-5.1
func (s *session) checkMisaligned() {
	s.t.Helper()
	if len(s.pending) == 0 && !s.ended && s.m.State() != tlscore.StateWaitAccept {
		s.t.Fatalf("handshake bytes behind a change of keys were taken; the state is %s", s.m.State())
	}
}

// mislead gives a machine what a puppet says, then all of it again in other
// manners.
func mislead(t *testing.T, set *setup, script []instruction, p *puppet) *session {
	want := newSession(t, set, script, manner{name: "in a conversation"})
	if want == nil {
		return nil
	}
	parts := converse(want, p)
	want.conclude()
	p.follow(want)
	want.checkHeard(p)
	again(t, want, parts)
	return want
}

// checkHeard checks that the peer could read the alert of a failure.
func (s *session) checkHeard(p *puppet) {
	alert, due := tlscore.AlertOf(s.failure)
	closed := slices.ContainsFunc(p.got, func(a sentAlert) bool { return a.alert == tlscore.AlertCloseNotify })
	if !due || closed || p.astray || p.unreadable || s.failure == tlscore.ErrReleased {
		return
	}
	if n := len(p.got); n == 0 || p.got[n-1].alert != alert || fatal(p.got) != 1 {
		s.t.Fatalf("the connection failed with %v; the peer read the alerts %v", s.failure, p.got)
	}
}

func fuzzMisled(f *testing.F, r role) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, config, script, peer, post, pool []byte) {
		if len(pool) > maxInput/8 {
			return
		}
		set := misledSetup(r, config)
		mislead(t, set, parseScript(script), newPuppet(set, parseChoices(peer, post), pool))
	})
}

// misledSetup is newSetup, where one bit makes an acceptor of a server.
func misledSetup(r role, config []byte) *setup {
	const asAcceptor = 8
	if r == roleServer && len(config) > 0 && config[0]&asAcceptor != 0 {
		r = roleAcceptor
	}
	return newSetup(r, config)
}

func FuzzServerMisled(f *testing.F) { fuzzMisled(f, roleServer) }

func FuzzClientMisled(f *testing.F) { fuzzMisled(f, roleClient) }
