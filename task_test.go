package tlscore

import (
	"bytes"
	"sync"
	"testing"
)

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
