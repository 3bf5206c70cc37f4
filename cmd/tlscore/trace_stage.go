package main

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"time"

	"tlscore.example/tlscore"
)

// stage is where a scenario is played: two actors and the wire between them.
type stage struct {
	*picture
	client, server *actor
}

// actor is one end of the wire: a machine and a simple application, or just a
// peer that sends bytes.
type actor struct {
	at      side
	picture *picture
	machine *tlscore.Machine
	in      tlscore.Inbound
	state   tlscore.State
	pending []byte // to be sent by a peer without machine

	// onEvent is the application.
	onEvent func(tlscore.Event)
	// touch changes what goes on the wire, if it is set.
	touch func(rec []byte)
}

func newStage(p *picture) *stage {
	return &stage{
		picture: p,
		client:  &actor{at: left, picture: p},
		server:  &actor{at: right, picture: p},
	}
}

// The world of a scenario does not change from run to run.
var (
	traceTime = time.Date(2026, time.July, 1, 12, 0, 0, 0, time.UTC)
	traceName = "server.example"
)

// seeded returns a random source that always says the same.
func seeded(seed byte) *rand.ChaCha8 { return rand.NewChaCha8([32]byte{seed}) }

// traceCertificate makes a certificate: Ed25519, since the signatures of that are the
// same each time.
func traceCertificate(name string, notAfter time.Time) (tls.Certificate, error) {
	key := ed25519.NewKeyFromSeed([]byte("a fixed seed is no secret at all"))
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: name},
		DNSNames:              []string{name},
		NotBefore:             traceTime.AddDate(-1, 0, 0),
		NotAfter:              notAfter,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(seeded(9), template, template, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// config has what is common to both ends.
func (a *actor) config(seed byte) *tlscore.Config {
	return &tlscore.Config{
		Rand:             seeded(seed),
		Time:             func() time.Time { return traceTime },
		CurvePreferences: []tls.CurveID{tls.X25519},
		CipherSuites:     []uint16{tls.TLS_AES_128_GCM_SHA256},
		Trace:            a.trace,
	}
}

// clientConfig is a client's that trusts the server.
func (s *stage) clientConfig() *tlscore.Config {
	cert := must(traceCertificate(traceName, traceTime.AddDate(1, 0, 0)))
	cfg := s.client.config(1)
	cfg.ServerName = traceName
	cfg.RootCAs = x509.NewCertPool()
	cfg.RootCAs.AddCert(must(x509.ParseCertificate(cert.Certificate[0])))
	return cfg
}

func (s *stage) serverConfig() *tlscore.Config {
	cfg := s.server.config(2)
	cfg.Certificates = []tls.Certificate{must(traceCertificate(traceName, traceTime.AddDate(1, 0, 0)))}
	return cfg
}

// must is for what cannot fail, since it does not depend on any input.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// use puts a machine on the stage.
func (a *actor) use(m *tlscore.Machine, err error) {
	a.machine = must(m, err)
	a.state = m.State()
}

// begin draws who stands where.
func (s *stage) begin(client, server string) {
	s.heading(client, "wire", server)
	s.line(s.client.where(), dim, "", plain, s.server.where(), dim)
}

func (a *actor) where() string {
	if a.machine == nil {
		return "(no machine, only bytes)"
	}
	return "state " + a.state.String()
}

func (a *actor) say(color, format string, args ...any) {
	a.picture.say(a.at, color, fmt.Sprintf(format, args...))
}

// trace draws a handshake message or an alert.
func (a *actor) trace(msg tlscore.TraceMessage) {
	arrow, color := "<-", plain
	if msg.Sent {
		arrow = "->"
	}
	if msg.Alert {
		color = yellow
		if tlscore.Alert(msg.Body[1]) != tlscore.AlertCloseNotify {
			color = red
		}
	}
	a.say(color, "%s %s", arrow, messageText(msg))
}

// call draws a call of the application and makes it.
func (a *actor) call(text string, do func()) {
	a.say(bold, "! %s", text)
	do()
	a.noteState()
}

// noteState draws the state if it has changed.
func (a *actor) noteState() {
	if now := a.machine.State(); now != a.state {
		a.state = now
		a.say(dim, "  state %s", now)
	}
}

// step lets a machine work on chunk until it stops.
func (a *actor) step(chunk []byte) {
	in := a.in.Join(chunk)
	for {
		ev, n := a.machine.Step(in)
		in = in[n:]
		a.draw(ev)
		if a.onEvent != nil {
			a.onEvent(ev)
		}
		if ev.Stop() {
			break
		}
	}
	a.in.Keep(in)
}

// draw draws an event, together with the state if it has changed.
func (a *actor) draw(ev tlscore.Event) {
	if ev.Kind == tlscore.EventNone {
		a.noteState()
		return
	}
	text, color := ev.Kind.String(), cyan
	if ev.Kind == tlscore.EventData {
		text = fmt.Sprintf("Data %q", ev.Data)
	}
	if ev.Early {
		text = "Early " + text
	}
	if ev.Truncated {
		text, color = text+" truncated", red
	}
	if ev.Kind == tlscore.EventFailed {
		color = red
	}
	now := a.machine.State()
	changed := now != a.state
	state := ", state " + now.String()
	if a.state = now; changed && len(text+state) <= maxEvent {
		text += state
	}
	a.say(color, " * %s", text)
	if changed && !strings.HasSuffix(text, state) {
		a.say(color, "   state %s", now)
	}
	if changed && now == tlscore.StateFailed {
		a.postMortem()
	}
}

// maxEvent is how long an event with its state may be in one line of the right column.
const maxEvent = 34

// postMortem draws what a failed machine holds.
func (a *actor) postMortem() {
	for _, line := range wrap("Err() = "+a.machine.Err().Error(), sideWidth-3) {
		a.say(red, "   %s", line)
	}
	out := a.machine.Output()
	if len(out) == 0 {
		a.say(red, "   Output() is empty")
		return
	}
	a.say(red, "   Output() = %s", shortHex(out))
}

// shortHex shows few bytes as they are, and counts many.
func shortHex(b []byte) string {
	if len(b) <= 7 {
		return hexBytes(b)
	}
	return fmt.Sprintf("%d bytes", len(b))
}

// run carries bytes to and fro until nobody has anything to send. The bound is
// there because a picture has to end.
func (s *stage) run() {
	for range 16 {
		moved := s.carry(s.client, s.server)
		moved = s.carry(s.server, s.client) || moved
		if !moved {
			return
		}
	}
}

// start makes a client speak first.
func (s *stage) start() { s.client.step(nil) }

// carry takes what one actor has sent to the other.
func (s *stage) carry(from, to *actor) bool {
	out := from.take()
	if len(out) == 0 {
		return false
	}
	s.records(from, out)
	if to.machine != nil {
		to.step(out)
	} else {
		to.look(out)
	}
	return true
}

// take empties the output.
func (a *actor) take() []byte {
	if a.machine == nil {
		out := a.pending
		a.pending = nil
		return out
	}
	out := append([]byte(nil), a.machine.Output()...)
	a.machine.Sent(len(out))
	return out
}

// records draws each record on the wire.
func (s *stage) records(from *actor, out []byte) {
	for len(out) > 0 {
		size := recordSize(out)
		if from.touch != nil {
			from.touch(out[:size])
		}
		color := green
		if out[0] == recordAlert {
			color = red
		}
		s.arrow(from.at, color, recordLabel(out[:size]))
		out = out[size:]
	}
}

// The content types of records. RFC 8446, Section 5.1.
const (
	recordChangeCipherSpec = 20
	recordAlert            = 21
	recordHandshake        = 22
	recordApplicationData  = 23
)

// recordSize returns the length of the record at the front of b, or of b when
// that is no record.
func recordSize(b []byte) int {
	if len(b) < 5 || b[0] < recordChangeCipherSpec || b[0] > recordApplicationData {
		return len(b)
	}
	return min(len(b), 5+int(b[3])<<8+int(b[4]))
}

// recordLabel names a record.
func recordLabel(rec []byte) string {
	names := map[byte]string{
		recordChangeCipherSpec: "ccs",
		recordAlert:            "alert",
		recordHandshake:        "handshake",
		recordApplicationData:  "protected",
	}
	name, ok := names[rec[0]]
	switch {
	case !ok:
		return fmt.Sprintf("%q", rec)
	case len(rec) <= 7:
		return name + " " + hexBytes(rec)
	}
	return fmt.Sprintf("%s, %d bytes", name, len(rec)-5)
}

// look is what a peer without machine sees: alerts in the clear.
func (a *actor) look(b []byte) {
	for len(b) > 0 {
		size := recordSize(b)
		if b[0] == recordAlert && size == 7 {
			alert := tlscore.Alert(b[6])
			a.say(red, "<- alert %s (%d)", alert, uint8(alert))
		}
		b = b[size:]
	}
}
