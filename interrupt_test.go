package tlscore

import (
	"testing"

	"tlscore.example/tlscore/internal/record"
	"tlscore.example/tlscore/internal/tlstest"
	"tlscore.example/tlscore/internal/wire"
)

// interruption is a lock that lets the other half in at one moment: when it is given back for
// the nth time.
type interruption struct {
	left int
	do   func()
	on   bool
}

func (i *interruption) Lock() {}

func (i *interruption) Unlock() {
	if i.on {
		return
	}
	if i.left--; i.left == -1 {
		i.on = true
		i.do()
		i.on = false
	}
}

// TestInterrupted lets the sending half come between any two steps of the receiving one. Whatever
// it does there, the peer can read all that is sent, and the alerts of a handshake that is
// canceled are under keys that the peer reads with at that point.
func TestInterrupted(t *testing.T) {
	resume := func(r *rig) {
		r.p.PSK = &r.p.PSKs[0]
		r.p.Send(r.p.ServerHello())
		r.p.Send(r.p.EncryptedExtensions())
		r.p.Send(r.p.Finished())
		r.run()
	}
	finish := func(r *rig) {
		if r.tryBring(StateConnected); r.m.State() == StateConnected {
			r.p.SendRecord(record.TypeApplicationData, []byte("data"))
			r.run()
		}
	}
	for name, test := range map[string]struct {
		lead  func(t *testing.T) *rig
		run   func(*rig)
		plain bool // alerts may be in the clear
	}{
		"early data accepted": {func(t *testing.T) *rig { return newEarlyClient(t).bring(StateWaitServerHello) }, resume, false},
		"early data refused": {func(t *testing.T) *rig {
			r := newEarlyClient(t).bring(StateWaitServerHello)
			r.p.EarlyData = false
			return r
		}, resume, false},
		"early data and a retry": {func(t *testing.T) *rig {
			r := newEarlyClient(t).bring(StateWaitServerHello)
			r.p.Group, r.p.EarlyData = wire.GroupP256, false
			return r
		}, func(r *rig) {
			r.send(r.p.HelloRetryRequest())
			if r.m.State() == StateWaitServerHelloRetry {
				resume(r)
			}
		}, true},
		"client": {func(t *testing.T) *rig { return newClientRig(t) }, finish, true},
		"client with a certificate": {func(t *testing.T) *rig {
			return newClientRig(t, withCertificate).bring(StateWaitCertificate)
		}, finish, false},
		"server":                {func(t *testing.T) *rig { return newServerRig(t) }, finish, true},
		"server and ticket":     {func(t *testing.T) *rig { return newResumedServer(t) }, finish, true},
		"server and early data": {func(t *testing.T) *rig { return newEarlyServer(t) }, finish, true},
		"client that is asked": {func(t *testing.T) *rig { return newPostClient(t).bring(StateConnected) }, func(r *rig) {
			r.request()
			r.request()
		}, false},
		"server that asks": {func(t *testing.T) *rig { return newPostServer(t).bring(StateConnected) }, func(r *rig) {
			if r.m.RequestClientCertificate() == nil {
				r.step(nil)
				if r.p.Message(wire.TypeCertificateRequest) != nil {
					r.answer()
				}
			}
		}, false},
		"KeyUpdate": {func(t *testing.T) *rig { return newClientRig(t).bring(StateConnected) }, func(r *rig) {
			for range 3 {
				r.send(r.p.KeyUpdate(1))
			}
		}, false},
	} {
		for how, act := range map[string]func(*Machine){
			"CloseWrite": (*Machine).CloseWrite,
			"Write":      func(m *Machine) { m.Write([]byte("in between")) },
			"WriteEarly": func(m *Machine) { m.WriteEarly([]byte("in between")) },
			"KeyUpdate": func(m *Machine) {
				m.Write([]byte("before"))
				m.KeyUpdate(true)
				m.Write([]byte("behind"))
			},
		} {
			t.Run(name+"/"+how, func(t *testing.T) {
				for n := 0; ; n++ {
					r := test.lead(t)
					lock := &interruption{left: n}
					lock.do = func() { act(r.m) }
					r.m.SetLocker(lock)
					test.run(r)
					if lock.left >= 0 {
						return
					}
					if how != "CloseWrite" {
						if r.m.State() != StateConnected {
							t.Fatalf("%d: %v, %v", n, r.m.State(), r.m.Err())
						}
						continue
					}
					if last := r.p.Last(); last.Type == record.TypeAlert && last.Epoch == tlstest.Plaintext && !test.plain {
						t.Errorf("%d: %v", n, last)
					}
				}
			})
		}
	}
}
