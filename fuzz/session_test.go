package fuzz

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"tlscore.example/tlscore"
	"tlscore.example/tlscore/internal/record"
	"tlscore.example/tlscore/internal/wire"
)

// A manner is how a session presents the input and fetches the output. None of
// it may change what the machine does.
type manner struct {
	name   string
	piece  int    // the longest piece that is presented; 0 is no limit
	seed   uint64 // of the lengths of pieces; 0 makes all of them as long as piece
	lazy   bool   // the output is fetched late, and in parts
	blind  bool   // the output is not looked at before it is fetched
	poison bool   // input is overwritten when its life is over
}

// A session is one machine, its application, and the checks of everything that
// the machine promises.
type session struct {
	t       *testing.T
	set     *setup
	cfg     *tlscore.Config
	m       *tlscore.Machine
	app     *application
	how     manner
	rng     *rand.Rand
	account *accountant

	pending []byte // what was given and not taken
	fed     []byte // all that was given
	loan    []byte // what the machine was lent last, with the canary
	given   []byte // what was in it
	taken   int    // how much of it the machine took
	dead    []byte // what it was lent before

	shown     []byte // what Output returned last, in place
	shownCopy []byte
	out       []byte // all that was fetched

	events   []string
	writes   []string // the results of the application's calls
	cutShort bool     // one of them did not take all that it was given
	answered bool     // a KeyUpdate was, and no application data was sent since
	told     []sentAlert

	offersEarly bool   // a client may write early data
	early       []byte // what it wrote of it
	earlyTaken  int    // how much of it came to a server
	earlyEnded  bool

	traced     int  // calls of Config.Trace
	panicked   bool // it will not be told more
	budget     int  // events that may still come without input
	stop       tlscore.Event
	ended      bool // a terminal stop was seen
	eof        bool
	released   bool
	configured bool
	failure    error       // of the machine, at the end
	raw        [][2][]byte // slices that must not change, with copies
}

// newSession makes the machine; nil when the setup is refused.
func newSession(t *testing.T, set *setup, script []instruction, how manner) *session {
	s := &session{t: t, set: set, how: how, account: newAccountant(t), configured: set.role != roleAcceptor}
	s.rng = rand.New(rand.NewPCG(how.seed, 9))
	s.cfg = set.config(s.account, s.trace)
	if s.m = set.machine(t, s.cfg); s.m == nil {
		return nil
	}
	if set.locked {
		s.m.SetLocker(&busyLock{t: t})
	}
	s.app = &application{session: s, script: script}
	s.budget = slack
	s.pull()
	return s
}

// slack is how many events may come without input.
const slack = 8

func (s *session) trace(msg tlscore.TraceMessage) {
	if msg.Alert && msg.Sent {
		s.told = append(s.told, sentAlert{level: msg.Body[0], alert: tlscore.Alert(msg.Body[1])})
	}
	if !msg.Alert && len(msg.Body) < wire.HeaderLen {
		s.t.Fatalf("a message of %d bytes is told", len(msg.Body))
	}
	if s.traced++; s.set.tracePanics && s.traced > int(s.set.seed) {
		if s.panicked {
			s.t.Fatal("Config.Trace is called again after it panicked")
		}
		s.panicked = true
		panic("Config.Trace panics")
	}
}

// feed presents input, in the session's manner, and pulls events.
func (s *session) feed(b []byte) {
	if s.eof {
		return
	}
	s.fed = append(s.fed, b...)
	for len(b) > 0 {
		n := s.pieceLen(len(b))
		s.pending = append(s.pending, b[:n]...)
		b = b[n:]
		s.budget += n
		s.pull()
	}
}

// pieceLen chooses how much of n bytes comes next. Small pieces grow with what
// waits already, so that the work stays linear.
func (s *session) pieceLen(n int) int {
	if s.how.piece == 0 {
		return n
	}
	size := s.how.piece
	if s.how.seed != 0 {
		size = 1 + s.rng.IntN(size)
	}
	return min(n, max(size, len(s.pending)/8))
}

func (s *session) endInput() {
	if s.eof {
		return
	}
	s.eof = true
	s.m.EOF()
	s.budget += slack
	s.pull()
}

// pull takes events up to the stop, and asks for that once more.
func (s *session) pull() {
	for {
		ev := s.step(s.pending)
		s.note(ev)
		if ev.Stop() {
			break
		}
		s.app.onEvent(ev)
		if !s.how.lazy {
			s.fetch(-1)
		}
	}
	if !s.how.lazy || s.rng.IntN(3) == 0 {
		s.stopRepeats()
		s.fetch(s.fetchLen())
	}
}

// fetchLen chooses how much of the output is fetched at a stop.
func (s *session) fetchLen() int {
	if s.how.lazy {
		return s.rng.IntN(200)
	}
	return -1
}

// step calls Step once and checks all that can be seen of one call.
func (s *session) step(in []byte) tlscore.Event {
	if len(in) > 0 {
		s.lend(in)
		in = s.loan[:len(in)]
	}
	before := s.outputLen()
	ev, n := s.m.Step(in)
	if n < 0 || n > len(in) {
		s.t.Fatalf("Step took %d of %d bytes", n, len(in))
	}
	if len(in) > 0 {
		s.taken = n
	}
	s.checkLoan()
	s.checkEvent(ev, n)
	s.checkAnswer(ev, s.outputLen() != before)
	if s.outputLen() != before && !ev.Queued {
		s.t.Fatalf("Step queued %d bytes and %s does not say so", s.outputLen()-before, ev)
	}
	s.pending = s.pending[n:]
	if n == 0 && !ev.Stop() {
		if s.budget--; s.budget < 0 {
			s.t.Fatalf("the machine returns events without end; the last is %s", ev)
		}
	}
	return ev
}

// canary stands behind the input, where the machine may not write.
var canary = bytes.Repeat([]byte{0xca}, 24)

const poison = 0xdb

// lend makes the memory that the machine gets for one Step.
func (s *session) lend(in []byte) {
	if s.how.poison {
		s.dead = s.loan
		for i := range s.dead {
			s.dead[i] = poison
		}
	}
	s.loan = append(append(make([]byte, 0, len(in)+len(canary)), in...), canary...)
	s.given = append(append(s.given[:0], in...), canary...)
	s.taken = 0
}

// checkLoan checks the bytes behind those that were taken, and those whose life
// is over.
func (s *session) checkLoan() {
	if s.loan != nil && !bytes.Equal(s.loan[s.taken:], s.given[s.taken:]) {
		s.t.Fatalf("bytes behind the %d that were taken have changed: %x became %x", s.taken, s.given[s.taken:], s.loan[s.taken:])
	}
	if !allAre(s.dead, poison) {
		s.t.Fatal("the machine wrote into the input of an earlier Step")
	}
}

// allAre reports whether all bytes of b are the same, this one.
func allAre(b []byte, value byte) bool { return bytes.Count(b, []byte{value}) == len(b) }

// checkEvent checks that an event says what it may say in this state.
func (s *session) checkEvent(ev tlscore.Event, n int) {
	s.checkEarly(ev)
	if (len(ev.Data) > 0) != (ev.Kind == tlscore.EventData) && ev.Kind != tlscore.EventEarlyRejected {
		s.t.Fatalf("%s has %d bytes of data", ev, len(ev.Data))
	}
	if ev.Terminal() != (ev.Kind == tlscore.EventClosed || ev.Kind == tlscore.EventFailed) || ev.Terminal() && !ev.Stop() {
		s.t.Fatalf("%s: Terminal is %v, Stop is %v", ev, ev.Terminal(), ev.Stop())
	}
	if s.ended && (!ev.Terminal() || n > 0) {
		s.t.Fatalf("behind the end came %s, and %d bytes were taken", ev, n)
	}
	state := s.m.State()
	failed := state == tlscore.StateFailed || state == tlscore.StateReleased
	if (ev.Kind == tlscore.EventFailed) != failed || (s.m.Err() != nil) != failed {
		s.t.Fatalf("%s in state %s with the error %v", ev, state, s.m.Err())
	}
	if ev.Kind == tlscore.EventClosed && state != tlscore.StateClosed {
		s.t.Fatalf("%s in state %s", ev, state)
	}
	waits := state == tlscore.StateWaitAccept || s.m.Task() != nil
	if ev.Kind == tlscore.EventWait != waits && ev.Stop() {
		s.t.Fatalf("%s in state %s", ev, state)
	}
	cs := s.m.ConnectionState()
	if ev.Kind == tlscore.EventHandshakeDone && (!cs.HandshakeComplete || cs.Version != 0x0304 && cs.Version != 0x0303 || cs.CipherSuite == 0 || cs.CurveID == 0) {
		s.t.Fatalf("the handshake is done: %+v", cs)
	}
}

// checkAnswer checks that of many requests for a KeyUpdate one is answered.
func (s *session) checkAnswer(ev tlscore.Event, grew bool) {
	if ev.Kind != tlscore.EventKeyUpdate || !grew {
		return
	}
	if s.answered {
		s.t.Fatal("a KeyUpdate is answered, and no application data was sent since the last answer")
	}
	s.answered = true
}

// checkEarly checks that early data comes within its bounds, and comes back whole.
func (s *session) checkEarly(ev tlscore.Event) {
	switch {
	case ev.Kind == tlscore.EventEarlyWritable:
		s.offersEarly = true
	case ev.Kind == tlscore.EventEarlyRejected && len(ev.Data) > 0 && !bytes.Equal(ev.Data, s.early):
		s.t.Fatalf("early data %x was written, %x was given back", s.early, ev.Data)
	case ev.Kind == tlscore.EventEarlyDataEnd:
		s.earlyEnded = true
	}
	if !ev.Early {
		return
	}
	s.earlyTaken += len(ev.Data)
	if ev.Kind != tlscore.EventData || s.earlyEnded || !s.m.EarlyDataAccepted() || s.earlyTaken > int(s.cfg.MaxEarlyData) {
		s.t.Fatalf("%s, after %d bytes of early data", ev, s.earlyTaken-len(ev.Data))
	}
}

// note writes down an event that does not depend on how the input came.
func (s *session) note(ev tlscore.Event) {
	s.stop = ev
	if ev.Stop() && !ev.Terminal() || s.ended {
		return
	}
	s.ended = ev.Terminal()
	text := fmt.Sprintf("%s in %s", ev.Kind, s.m.State())
	if ev.Truncated {
		text += ", truncated"
	}
	if ev.Kind == tlscore.EventHandshakeDone {
		cs := s.m.ConnectionState()
		text += " of " + tls.VersionName(cs.Version)
		if cs.DidResume {
			text += ", resumed"
		}
		if s.m.EarlyDataAccepted() {
			text += ", early data accepted"
		}
	}
	if ev.Early {
		text = "Early" + text
	}
	if ev.Kind == tlscore.EventData || ev.Kind == tlscore.EventEarlyRejected {
		text += fmt.Sprintf(": %x", ev.Data)
	}
	if err := s.m.Err(); err != nil {
		text += ": " + err.Error()
	}
	s.events = append(s.events, text)
}

// stopRepeats asks for the stop again, with what is left and without input.
func (s *session) stopRepeats() {
	before := s.outputLen()
	for _, in := range [][]byte{s.pending, nil} {
		ev, n := s.m.Step(bytes.Clone(in))
		if n != 0 || ev.Kind != s.stop.Kind || ev.Truncated != s.stop.Truncated || ev.Queued {
			s.t.Fatalf("the stop %s does not repeat: %s, %d bytes taken", s.stop, ev, n)
		}
	}
	if s.outputLen() != before {
		s.t.Fatalf("the stop %s adds output each time", s.stop)
	}
}

// outputLen returns how long the output is, and checks that what was seen of it
// before is still in place.
func (s *session) outputLen() int {
	if s.how.blind {
		return s.m.SealedLen(0)
	}
	if s.shown != nil && !bytes.Equal(s.shown, s.shownCopy) {
		s.t.Fatal("the output was changed in place before it was sent")
	}
	out := s.m.Output()
	if !bytes.HasPrefix(out, s.shownCopy) {
		s.t.Fatalf("the output does not begin with what it held before: %x, before it was %x", out, s.shownCopy)
	}
	s.shown = out
	s.shownCopy = append(s.shownCopy[:0], out...)
	return len(out)
}

// fetch moves n bytes of output away, or all of it.
func (s *session) fetch(n int) {
	size := s.outputLen()
	if n < 0 || n > size {
		n = size
	}
	s.out = append(s.out, s.m.Output()[:n]...)
	s.m.Sent(n)
	s.sentAway(n)
}

// sentAway notes that the first n bytes of the output are gone.
func (s *session) sentAway(n int) {
	if s.how.blind {
		return
	}
	s.shown = nil
	s.shownCopy = append([]byte(nil), s.shownCopy[n:]...)
	s.outputLen()
}

// boundOnMemory is more than a machine may ever hold: what limits allow, twice
// since buffers double, and once more while they are moved.
func (s *session) boundOnMemory() int {
	l := s.set.limits
	in := max(l.ClientHello, l.HandshakeMessage, 128<<10)
	return 3*(in+record.MaxPlaintext) + 4*(max(l.Output, 64<<10)+32<<10)
}

// finish ends the session and checks its end: the failure that stays, the output
// as a whole, and the memory.
func (s *session) finish() {
	s.t.Helper()
	s.stopRepeats()
	if s.ended {
		s.behindEnd()
	}
	s.fetch(-1)
	s.checkHello()
	for _, r := range s.raw {
		if !bytes.Equal(r[0], r[1]) {
			s.t.Fatal("the raw ClientHello has changed")
		}
	}
	if s.account.peak > s.boundOnMemory() {
		s.t.Errorf("the machine held %d bytes", s.account.peak)
	}
	if !s.released {
		checkOutput(s.t, s.out, s.ending())
	}
	s.failure = s.m.Err()
	s.release()
	s.account.settle()
	if ev, n := s.m.Step([]byte{1, 2, 3}); ev.Kind != tlscore.EventFailed || n != 0 {
		s.t.Errorf("a released machine says %s and takes %d bytes", ev, n)
	}
}

func (s *session) ending() ending {
	e := ending{role: s.set.role, err: s.m.Err(), told: s.told, toldAll: s.configured && !s.panicked}
	e.padding, e.early = s.cfg.RecordPadding, s.offersEarly
	cs := s.m.ConnectionState()
	e.tls12 = cs.Version == 0x0303
	if e.tls12 && cs.CipherSuite != 0xcca8 && cs.CipherSuite != 0xcca9 {
		e.explicit = 8
	}
	return e
}

func (s *session) release() {
	s.released = true
	s.m.Release()
	if s.m.State() != tlscore.StateReleased || len(s.m.Output()) != 0 {
		s.t.Errorf("after Release the state is %s, with %d bytes of output", s.m.State(), len(s.m.Output()))
	}
	s.shown, s.shownCopy = nil, nil
}

// behindEnd checks that a machine at its end stays there.
func (s *session) behindEnd() {
	s.t.Helper()
	before, err, state := s.outputLen(), s.m.Err(), s.m.State()
	garbage := []byte("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00 and more")
	if ev := s.step(append(s.pending, garbage...)); ev.Kind != s.stop.Kind || ev.Queued {
		s.t.Fatalf("behind the end, %s became %s", s.stop, ev)
	}
	s.m.EOF()
	if state == tlscore.StateFailed {
		s.callsFail()
	}
	s.stopRepeats()
	if s.m.State() != state || !errors.Is(s.m.Err(), err) || s.outputLen() != before {
		s.t.Fatalf("behind the end, %s with %v became %s with %v, and %d bytes of output became %d",
			state, err, s.m.State(), s.m.Err(), before, s.outputLen())
	}
}

// callsFail checks that a failed machine refuses every call.
func (s *session) callsFail() {
	s.t.Helper()
	n, err := s.m.Write([]byte("late"))
	dst, m, err2 := s.m.AppendSealed(make([]byte, 0, 4), []byte("late"))
	if n != 0 || err == nil || m != 0 || err2 == nil || len(dst) != 0 {
		s.t.Fatalf("a failed connection takes %d and %d bytes, with the errors %v and %v", n, m, err, err2)
	}
	if s.m.KeyUpdate(true) == nil {
		s.t.Fatal("a failed connection updates its key")
	}
	if err := s.m.Accept(s.cfg); !errors.Is(err, tlscore.ErrFailed) {
		s.t.Fatalf("Accept of a failed connection says %v", err)
	}
	if err := s.m.Reject(tlscore.AlertAccessDenied); !errors.Is(err, tlscore.ErrFailed) {
		s.t.Fatalf("Reject of a failed connection says %v", err)
	}
	s.m.CloseWrite()
}

// checkHello checks what an acceptor or a server shows of the ClientHello.
func (s *session) checkHello() {
	s.t.Helper()
	if s.set.role == roleClient || s.released {
		return
	}
	message, records := s.m.RawClientHello()
	if !bytes.HasPrefix(s.fed, records) {
		s.t.Fatalf("the raw ClientHello is not what was given: %x", records)
	}
	if limit := s.set.limits.ClientHello; limit != 0 && len(records) > limit {
		s.t.Fatalf("%d bytes of the ClientHello were kept, the limit is %d", len(records), limit)
	}
	shown := s.m.ClientHello()
	if shown != nil && message == nil {
		s.t.Fatal("a ClientHello is shown, but not in raw form")
	}
	if message == nil {
		return
	}
	if joined := joinRecords(records); !bytes.HasPrefix(joined, message) {
		s.t.Fatalf("the ClientHello %x is not what its records hold: %x", message, joined)
	}
	var hello wire.ClientHello
	err := hello.Parse(message[wire.HeaderLen:])
	if (err == nil) != (shown != nil) {
		s.t.Fatalf("a ClientHello that parses with %v is shown as %+v", err, shown)
	}
	if shown != nil && (shown.Random != hello.Random || shown.ServerName != string(hello.ServerName) || len(shown.Extensions) != len(hello.Extensions)) {
		s.t.Fatalf("the ClientHello %+v is shown as %+v", hello, shown)
	}
}

// joinRecords returns the content of whole records.
func joinRecords(b []byte) (content []byte) {
	for len(b) >= record.HeaderLen {
		h := record.ParseHeader(b)
		content = append(content, b[record.HeaderLen:record.HeaderLen+h.Length]...)
		b = b[record.HeaderLen+h.Length:]
	}
	return content
}

// keepRaw remembers the raw ClientHello, which may never change.
func (s *session) keepRaw() {
	message, records := s.m.RawClientHello()
	s.raw = append(s.raw, [2][]byte{message, bytes.Clone(message)}, [2][]byte{records, bytes.Clone(records)})
}

// compare checks that two sessions of one machine, with the same input and the
// same application, did the same.
func compare(t *testing.T, want, got *session) {
	t.Helper()
	if got.how.lazy && (want.cutShort || got.cutShort) {
		return // when there is room in the output depends on when it is sent
	}
	a, b := want.how.name, got.how.name
	for i := range max(len(want.events), len(got.events)) {
		if i >= len(want.events) || i >= len(got.events) || want.events[i] != got.events[i] {
			t.Fatalf("events differ:\n%s: %q\n%s: %q", a, want.events[min(i, len(want.events)):], b, got.events[min(i, len(got.events)):])
		}
	}
	if !slices.Equal(want.writes, got.writes) {
		t.Fatalf("the application's calls differ:\n%s: %q\n%s: %q", a, want.writes, b, got.writes)
	}
	if !bytes.Equal(want.out, got.out) {
		t.Fatalf("the output differs:\n%s: %x\n%s: %x", a, want.out, b, got.out)
	}
	if !bytes.Equal(want.pending, got.pending) {
		t.Fatalf("what is left differs:\n%s: %x\n%s: %x", a, want.pending, b, got.pending)
	}
}
