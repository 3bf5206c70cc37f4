package tlscore_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"tlscore.example/tlscore"
)

// The law of tasks: lifted out of Step or done inside it, a task is the same; and
// what comes back late, refused, twice or to nobody does no harm.
func lawTasks(tt *testing.T, t *rapid.T) {
	s := drawScript(t)
	lifted := s
	lifted.tasks = [2]tlscore.TaskSet{
		tlscore.TaskSet(rapid.Byte().Draw(t, "client's tasks")) & tlscore.AllTasks,
		tlscore.TaskSet(rapid.Byte().Draw(t, "server's tasks")) & tlscore.AllTasks,
	}
	if rapid.Bool().Draw(t, "all") {
		lifted.tasks = [2]tlscore.TaskSet{tlscore.AllTasks, tlscore.AllTasks}
	}
	if rapid.Bool().Draw(t, "the same") {
		s.tasks = [2]tlscore.TaskSet{}
		client, server := s.record(tt, t)
		liftedClient, liftedServer := lifted.record(tt, t)
		if !bytes.Equal(client, liftedClient) || !bytes.Equal(server, liftedServer) {
			t.Fatalf("with tasks %v lifted the connection is another one", lifted.tasks)
		}
		return
	}
	misuseTask(tt, t, lifted.setup)
}

var errLaw = errors.New("the law's own error")

// misuseTask handles one of the tasks of a handshake in an unusual way, and the
// others as it should.
func misuseTask(tt *testing.T, t *rapid.T, s setup) {
	client, server := newPair(tt, t, s)
	client.manual, server.manual = true, true
	how := rapid.SampledFrom([]string{
		"fail", "alert", "wrong kind", "unanswered", "twice", "foreign", "rejected", "lost", "released",
	}).Draw(t, "how")
	nth := rapid.IntRange(0, 7).Draw(t, "which")
	var victim *party
	for range 40 {
		for _, p := range []*party{client, server} {
			p.pull()
			for p.m.Task() != nil {
				if nth--; nth == -1 {
					victim = p
					if misuse(t, p, how); p.m.State() == tlscore.StateFailed || p.m.State() == tlscore.StateReleased {
						break
					}
				} else {
					p.done()
				}
				p.pull()
			}
			p.take(-1)
		}
	}
	if victim == nil { // there were fewer
		wantConnected(t, client, server)
		return
	}
	switch how {
	case "unanswered", "twice", "foreign":
		wantConnected(t, client, server)
	case "fail", "alert", "wrong kind", "rejected":
		other := victim.peer
		if victim == client && victim.deaf() {
			return
		}
		var remote *tlscore.RemoteAlert
		if alert, sends := tlscore.AlertOf(victim.m.Err()); !sends || !errors.As(other.m.Err(), &remote) || remote.Alert != alert {
			t.Fatalf("the task failed with %v, and the peer says %v in %s", victim.m.Err(), other.m.Err(), other.m.State())
		}
	}
}

func wantConnected(t *rapid.T, parties ...*party) {
	t.Helper()
	for _, p := range parties {
		if p.m.State() != tlscore.StateConnected {
			t.Fatalf("state %s, %v", p.m.State(), p.m.Err())
		}
	}
}

// misuse handles the task that is out in an unusual way.
func misuse(t *rapid.T, p *party, how string) {
	t.Helper()
	m, task, state := p.m, p.m.Task(), p.m.State()
	done := func(task *tlscore.Task, want error) {
		t.Helper()
		if err := m.Done(task); !errors.Is(err, want) || (want == nil && err != nil) {
			t.Fatalf("%s: Done returns %v, want %v", how, err, want)
		}
	}
	switch how {
	case "fail", "alert", "wrong kind":
		want := errLaw
		switch how {
		case "fail":
			task.Fail(errLaw)
		case "alert":
			task.Fail(&tlscore.AlertError{Alert: tlscore.AlertInsufficientSecurity, Err: errLaw})
		default:
			want = tlscore.ErrTask
			if task.Kind() == tlscore.TaskDecideEarlyData {
				task.SetSignature(nil)
			} else {
				task.SetEarlyData(true)
			}
		}
		task.Run() // the first answer counts
		done(task, nil)
		checkFailed(t, p)
		var local *tlscore.LocalError
		if err := m.Err(); !errors.Is(err, want) || !errors.As(err, &local) || local.State != state {
			t.Fatalf("%s in %s: %v", how, state, err)
		}
		if alert, _ := tlscore.AlertOf(m.Err()); how == "alert" && alert != tlscore.AlertInsufficientSecurity {
			t.Fatalf("the alert of the error became %s", alert)
		}
	case "unanswered":
		done(task, tlscore.ErrTask)
		if m.Task() != task || m.State() != state {
			t.Fatalf("a task without an answer was taken")
		}
		p.done()
	case "twice":
		p.done()
		done(task, tlscore.ErrNotWaiting)
		task.Run()
		done(task, tlscore.ErrNotWaiting)
	case "foreign":
		done(nil, tlscore.ErrNotWaiting)
		done(new(tlscore.Task), tlscore.ErrNotWaiting)
		if other := p.peer.m.Task(); other != nil {
			done(other, tlscore.ErrNotWaiting)
		}
		p.done()
	case "rejected", "lost":
		if how == "rejected" {
			if err := m.Reject(tlscore.AlertAccessDenied); err != nil {
				t.Fatalf("Reject in %s: %v", state, err)
			}
		} else {
			p.eof()
			p.step()
			for m.Task() != nil { // the end is found when bytes are wanted again
				p.done()
				p.pull()
			}
			if m.State() == tlscore.StateClosed { // the rest of the handshake was there
				done(task, tlscore.ErrNotWaiting)
				return
			}
		}
		checkFailed(t, p)
		task.Run()
		done(task, tlscore.ErrFailed)
		checkFailed(t, p)
	case "released":
		m.Release()
		task.Run()
		done(task, tlscore.ErrReleased)
		if len(m.Output()) > 0 || m.State() != tlscore.StateReleased {
			t.Fatalf("a released machine is in %s with %d bytes of output", m.State(), len(m.Output()))
		}
	}
}

// answerAnyhow answers a task by hand, most often with nonsense.
func answerAnyhow(t *rapid.T, task *tlscore.Task) {
	switch rapid.IntRange(0, 6).Draw(t, "answer") {
	case 0:
		task.Fail(errLaw)
	case 1:
		task.SetCertificate(nil)
	case 2:
		task.SetCertificate(&tls.Certificate{Certificate: [][]byte{[]byte("none")}})
	case 3:
		task.SetSignature(rapid.SliceOfN(rapid.Byte(), 0, 80).Draw(t, "signature"))
	case 4:
		task.SetVerified([][]*x509.Certificate{slices.Clone(task.PeerCertificates())})
	case 5:
		task.SetSession(rapid.SliceOfN(rapid.Byte(), 0, 80).Draw(t, "session"))
	case 6:
		task.SetEarlyData(rapid.Bool().Draw(t, "accept"))
	}
	// To look at it changes nothing.
	_, _, _, _ = task.ClientHello(), task.CertificateRequest(), task.SignatureScheme(), task.Signer()
	_, _, _, _ = task.Message(), task.VerifyOptions(), task.Ticket(), task.EarlyData()
}

// checkNotWaiting says what Done returns when no task is out.
func checkNotWaiting(t *rapid.T, err error, m *tlscore.Machine) {
	t.Helper()
	want := tlscore.ErrNotWaiting
	switch m.State() {
	case tlscore.StateFailed:
		want = tlscore.ErrFailed
	case tlscore.StateReleased:
		want = tlscore.ErrReleased
	}
	if err != want {
		t.Fatalf("Done of an old task in %s: %v", m.State(), err)
	}
}
