package tlscore

import (
	"crypto/tls"
	"errors"
	"testing"
	"time"

	"tlscore.example/tlscore/internal/tlstest"
)

// A callback that calls the machine is told that it is busy, wherever it is called from.
func TestCallbackCallsMachine(t *testing.T) {
	var r *rig
	depth, calls := 0, 0
	callback := func() {
		if r == nil || depth > 3 {
			return
		}
		depth++
		defer func() { depth-- }()
		calls++
		state := r.m.State()
		if ev, n := r.m.Step([]byte("GET / HTTP/1.1")); ev.Kind != EventNone || n != 0 {
			t.Errorf("Step in %v: %v", state, ev)
		}
		r.m.Release()
		for name, err := range map[string]error{
			"SendTicket":               r.m.SendTicket(),
			"RequestClientCertificate": r.m.RequestClientCertificate(),
			"Reject":                   r.m.Reject(AlertAccessDenied),
			"Accept":                   r.m.Accept(r.m.cfg),
			"Done":                     r.m.Done(r.m.Task()),
		} {
			if !errors.Is(err, ErrBusy) {
				t.Errorf("%s in %v: %v", name, state, err)
			}
		}
		if r.m.State() != state {
			t.Errorf("state %v became %v", state, r.m.State())
		}
	}
	full := newFullServer(t, func(c *Config) {
		c.Time = func() time.Time { callback(); return tlstest.Clock() }
		c.TicketData = func(tls.ConnectionState) []byte { callback(); return nil }
		c.SealTicket = func(b []byte) ([]byte, error) { callback(); return sameTicket(b) }
		c.OpenTicket = func(b []byte) ([]byte, error) { callback(); return sameTicket(b) }
		c.AcceptEarlyData = func(EarlyDataInfo) bool { callback(); return true }
		c.MaxEarlyData = ticketsAllow
		c.VerifyConnection = func(tls.ConnectionState) error { callback(); return nil }
		c.Trace = func(TraceMessage) { callback() }
	})
	r = full.resumeServer()
	r.p.EarlyData, r.path = true, earlyServerPath
	r.wantConnected()
	before := calls
	if err := r.m.SendTicket(); err != nil {
		t.Fatal(err)
	}
	r.read()
	if before < 5 || calls < before+3 {
		t.Errorf("%d callbacks, then %d", before, calls-before)
	}
	r.wantConnected()
	if before = calls; r.m.Reject(AlertAccessDenied) != nil || calls != before+1 {
		t.Errorf("Reject: %d callbacks", calls-before)
	}
}
