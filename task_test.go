package tlscore

import (
	"bytes"
	"crypto/x509"
	"errors"
	"runtime"
	"sync"
	"testing"

	"tlscore.example/tlscore/internal/tlstest"
)

// verifying returns a client that waits for the verification of a chain that nobody should
// trust, with a callback in it.
func verifying(t *testing.T, callback func() error) (*rig, *Task) {
	t.Helper()
	r := newClientRig(t, func(c *Config) {
		c.Tasks, c.InsecureSkipVerify = Tasks(TaskVerifyChain), true
		c.VerifyPeerCertificate = func([][]byte, [][]*x509.Certificate) error { return callback() }
	})
	r.p.Certificate = tlstest.Certificate(tlstest.Leaf{UnknownCA: true})
	r.tryBring(StateWaitCertificateVerify)
	if r.m.Task() == nil {
		t.Fatal(r.m.State(), r.m.Err())
	}
	return r, r.m.Task()
}

// A task that runs still has no result, and is not taken for one that has succeeded.
func TestTaskHandedBackWhileItRuns(t *testing.T) {
	begun, judged := make(chan bool), make(chan error)
	r, task := verifying(t, func() error { begun <- true; return <-judged })
	var running sync.WaitGroup
	running.Go(task.Run)
	<-begun
	if err := r.m.Done(task); err != ErrTask {
		t.Errorf("Done: %v", err)
	}
	r.wantState(StateVerifyChain)
	judged <- errors.New("not trusted")
	running.Wait()
	if err := r.m.Done(task); err != nil {
		t.Errorf("Done: %v", err)
	}
	r.wantAlert(ReasonVerificationRejected, AlertBadCertificate)
}

// A callback that ends its goroutine has not returned, and so has not agreed.
func TestTaskGoexit(t *testing.T) {
	r, task := verifying(t, func() error { runtime.Goexit(); return nil })
	var running sync.WaitGroup
	running.Go(task.Run)
	running.Wait()
	if err := r.m.Done(task); err != nil {
		t.Errorf("Done: %v", err)
	}
	r.wantAlert(ReasonCallbackPanicked, AlertInternalError)
}

// A task whose machine has failed or was released keeps no secret: whether that comes before its
// result, behind it, or while it runs elsewhere.
func TestTaskAbandoned(t *testing.T) {
	ends := map[string]func(*Machine){
		"failed":   func(m *Machine) { m.Reject(AlertAccessDenied) },
		"canceled": func(m *Machine) { m.CloseWrite(); m.Step(nil) },
		"released": (*Machine).Release,
	}
	session := bytes.Repeat([]byte{7}, 100)
	for name, end := range ends {
		for _, kind := range []TaskKind{TaskKeyExchange, TaskOpenTicket} {
			out := func() (*Machine, *Task) {
				r := newFullServer(t).resumeServer(func(c *Config) { c.Tasks = Tasks(kind) })
				r.send(r.p.ClientHello())
				return r.m, r.m.Task()
			}
			wiped := func(when string, task *Task) {
				t.Helper()
				secret := append(task.shared, task.session...)
				if len(secret) == 0 || !bytes.Equal(secret, make([]byte, len(secret))) {
					t.Errorf("%v of a machine that was %s %s: %x", kind, name, when, secret)
				}
			}
			m, task := out()
			task.Run()
			end(m)
			wiped("behind Run", task)

			m, task = out()
			end(m)
			task.Run()
			wiped("before Run", task)
			if m.Done(task) == nil {
				t.Error("taken")
			}

			m, task = out()
			var running sync.WaitGroup
			running.Go(task.Run)
			end(m)
			running.Wait()
			wiped("while it ran", task)

			if kind == TaskOpenTicket {
				m, task = out()
				end(m)
				task.SetSession(session)
				wiped("before SetSession", task)
			}
		}
	}
	if session[0] != 7 {
		t.Error("the application's slice was cleared")
	}
}
