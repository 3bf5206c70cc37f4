package fuzz

import (
	"bytes"
	"errors"
	"fmt"

	"tlscore.example/tlscore"
	"tlscore.example/tlscore/internal/record"
)

// An instruction makes the application do something at a fixed point: at the
// event with a number, or when the machine has stopped behind a part of the
// input. So it comes at the same point however the input was cut.
type instruction struct {
	when, what, with byte
}

// behindPart marks a when that counts parts of the input, not events.
const behindPart = 0x80

const maxInstructions = 32

// parseScript reads instructions of three bytes.
func parseScript(b []byte) (script []instruction) {
	for len(b) >= 3 && len(script) < maxInstructions {
		script = append(script, instruction{b[0], b[1], b[2]})
		b = b[3:]
	}
	return script
}

// What an application can do. Numbers that are higher begin again.
const (
	doNothing = iota
	doWrite
	doEcho
	doAppendSealed
	doKeyUpdate
	doCloseWrite
	doReject
	doAccept
	doLook
	doAppendOutput
	doEOF
	doRelease
	doRequest
	doTicket
	doExport
	doWriteEarly
	doExportEarly
	numActions
)

// always is the number that a part of the script is given for every event: the
// last event number means each of them.
const always = 0x7f

// An application is the user of a machine.
type application struct {
	*session
	script []instruction
	seen   int // events
	tasks  int
	parts  int
}

func (a *application) onEvent(ev tlscore.Event) {
	switch ev.Kind {
	case tlscore.EventClientHello:
		a.onClientHello()
	case tlscore.EventTask:
		a.onTask()
	}
	for _, i := range a.script {
		if i.when == always || int(i.when) == a.seen {
			a.do(i, ev)
		}
	}
	a.seen++
}

// onClientHello answers as the setup says.
func (a *application) onClientHello() {
	a.keepRaw()
	a.checkHello()
	switch choice := a.set.accept; {
	case choice == 1: // not now
	case choice == 2:
		a.reject(tlscore.AlertUnrecognizedName)
	case choice == 3:
		if err := a.m.Accept(nil); err == nil || a.m.State() != tlscore.StateWaitAccept {
			a.t.Fatalf("Accept without a config: %v, state %s", err, a.m.State())
		}
		fallthrough
	default:
		a.accept()
	}
}

// onTask does the task that was lifted out, or refuses it.
func (a *application) onTask() {
	task := a.m.Task()
	if task == nil {
		a.t.Fatal("EventTask without a task")
	}
	a.budget += slack
	a.tasks++
	if a.set.callbacks&tasksFail != 0 && a.tasks > int(a.set.seed)%8 {
		task.Fail(errRefused)
	}
	if err := a.m.Done(task); !errors.Is(err, tlscore.ErrTask) && a.set.callbacks&tasksFail == 0 {
		a.t.Fatalf("Done of a task without an answer: %v", err)
	}
	if a.set.resuming&resumingByHand != 0 {
		a.answer(task)
	}
	task.Run() // unless it was answered
	if a.m.Task() == task {
		if err := a.m.Done(task); err != nil {
			a.t.Fatalf("Done: %v", err)
		}
	}
	if err := a.m.Done(task); !errors.Is(err, tlscore.ErrNotWaiting) && !errors.Is(err, tlscore.ErrFailed) {
		a.t.Fatalf("Done of a task that was taken: %v", err)
	}
	a.outputLen()
}

// answer answers a task by hand, if the application can.
func (a *application) answer(task *tlscore.Task) {
	switch task.Kind() {
	case tlscore.TaskOpenTicket:
		if len(task.Ticket()) == 0 {
			a.t.Fatal("there is no ticket to be opened")
		}
		var session []byte
		if a.set.prepared != nil {
			session = a.set.prepared.sealed
		}
		task.SetSession(session)
	case tlscore.TaskDecideEarlyData:
		if info := task.EarlyData(); len(info.TicketData) == 0 {
			a.t.Fatalf("the ticket's data is missing: %+v", info)
		}
		task.SetEarlyData(true)
	case tlscore.TaskChooseCertificate:
		task.SetCertificate(&a.set.certificates[0])
	case tlscore.TaskVerifyChain:
		task.SetVerified(nil)
	}
}

// behindPart runs what is due when the machine has taken a part of the input.
func (a *application) behindPart() {
	for _, i := range a.script {
		if int(i.when) == behindPart|a.parts {
			a.do(i, tlscore.Event{})
			a.pull()
		}
	}
	a.parts = min(a.parts+1, behindPart-1)
}

// pauses reports whether something is due behind the current part.
func (a *application) pauses() bool {
	for _, i := range a.script {
		if int(i.when) == behindPart|a.parts && i.what%numActions != doNothing {
			return true
		}
	}
	return false
}

// result notes what a call returned, for the comparison.
func (a *application) result(format string, args ...any) {
	a.writes = append(a.writes, fmt.Sprintf(format, args...))
}

func (a *application) do(i instruction, ev tlscore.Event) {
	if a.released {
		a.doReleased()
		return
	}
	a.budget += slack
	if !a.how.lazy {
		a.fetch(-1) // so that the bound on the output cuts no write short
	}
	switch i.what % numActions {
	case doWrite:
		a.write(payload(i.with))
	case doEcho:
		a.write(ev.Data)
	case doAppendSealed:
		a.appendSealed(payload(i.with), 64*int(i.with))
	case doKeyUpdate:
		a.result("KeyUpdate: %v", a.m.KeyUpdate(i.with&1 != 0))
	case doCloseWrite:
		a.m.CloseWrite()
		a.result("CloseWrite")
	case doReject:
		a.reject(tlscore.Alert(i.with))
	case doAccept:
		a.accept()
	case doLook:
		a.look()
	case doAppendOutput:
		a.appendOutput(int(i.with))
	case doEOF:
		if i.when&behindPart != 0 {
			a.eof = true
			a.m.EOF()
		}
	case doRelease:
		a.fetch(-1)
		a.release()
	case doRequest:
		a.result("RequestClientCertificate: %v", a.m.RequestClientCertificate())
	case doTicket:
		a.result("SendTicket: %v", a.m.SendTicket())
	case doExport:
		secret, err := a.m.ExportKeyingMaterial("EXPORTER-fuzz", []byte{i.with}, 20)
		a.result("ExportKeyingMaterial: %x, %v", secret, err)
	case doWriteEarly:
		a.writeEarly(payload(i.with))
	case doExportEarly:
		secret, err := a.m.ExportEarlyKeyingMaterial("EXPORTER-fuzz", []byte{i.with}, 20)
		a.result("ExportEarlyKeyingMaterial: %x, %v", secret, err)
	}
	a.outputLen()
}

// doReleased makes every call that a released machine has to refuse.
func (a *application) doReleased() {
	_, err1 := a.m.Write([]byte("x"))
	_, _, err2 := a.m.AppendSealed(nil, []byte("x"))
	for _, err := range []error{err1, err2, a.m.KeyUpdate(false), a.m.Accept(a.cfg), a.m.Reject(40)} {
		if !errors.Is(err, tlscore.ErrReleased) {
			a.t.Fatalf("a released connection says %v", err)
		}
	}
	a.m.CloseWrite()
	a.m.EOF()
	a.m.Release()
	if len(a.m.Output()) != 0 {
		a.t.Fatal("a released connection has output")
	}
}

// applicationText is what the application writes, again and again; nobody else
// does.
const applicationText = "said by the application; "

// payload is what the application writes.
func payload(size byte) []byte {
	n := int(size)
	if n >= 128 {
		n = (n - 127) * 300
	}
	return bytes.Repeat([]byte(applicationText), 1+n/len(applicationText))[:n]
}

func (a *application) write(p []byte) {
	before := a.outputLen()
	n, err := a.m.Write(p)
	after := a.outputLen()
	limit := a.set.limits.Output
	if limit == 0 {
		limit = 64 << 10
	}
	const keyUpdateLen = record.Overhead + 5 + 10 // it may be padded
	switch {
	case n < 0 || n > len(p):
		a.t.Fatalf("Write took %d of %d bytes", n, len(p))
	case err != nil && n == 0 && after != before && !errors.Is(err, tlscore.ErrReleased):
		if _, ok := tlscore.AlertOf(err); !ok {
			a.t.Fatalf("Write says %v and queued %d bytes", err, after-before)
		}
	case n > 0 && after > limit+keyUpdateLen:
		a.t.Fatalf("Write filled the output to %d bytes, the bound is %d", after, limit)
	case n > 0 && after-before < n+record.HeaderLen+record.TagLen:
		a.t.Fatalf("Write took %d bytes and queued %d", n, after-before)
	}
	a.cutShort = a.cutShort || err == nil && n < len(p)
	a.answered = a.answered && n == 0
	a.result("Write: %d of %d, %v", n, len(p), err)
}

func (a *application) writeEarly(p []byte) {
	before := a.outputLen()
	n, err := a.m.WriteEarly(p)
	after := a.outputLen()
	switch {
	case n < 0 || n > len(p) || n > 0 && err != nil:
		a.t.Fatalf("WriteEarly took %d of %d bytes, with %v", n, len(p), err)
	case n == 0 && after != before:
		a.t.Fatalf("WriteEarly says %v and queued %d bytes", err, after-before)
	case n > 0 && after-before < n+record.HeaderLen+record.TagLen:
		a.t.Fatalf("WriteEarly took %d bytes and queued %d", n, after-before)
	}
	a.early = append(a.early, p[:n]...)
	a.cutShort = a.cutShort || err == nil && n < len(p)
	a.result("WriteEarly: %d of %d, %v", n, len(p), err)
}

func (a *application) appendSealed(p []byte, room int) {
	waiting := a.outputLen()
	want := a.m.SealedLen(len(p))
	dst := append(make([]byte, 0, room+3), "pre"...)
	got, n, err := a.m.AppendSealed(dst, p)
	if !bytes.HasPrefix(got, []byte("pre")) || cap(got) != cap(dst) || &got[0] != &dst[0] {
		a.t.Fatal("AppendSealed did not append in place")
	}
	if err != nil && len(got) > 3 {
		a.t.Fatalf("AppendSealed says %v and moved %d bytes", err, len(got)-3)
	}
	moved := min(waiting, len(got)-3)
	a.out = append(a.out, got[3:]...)
	a.sentAway(moved)
	if err == nil && n < len(p) && room >= want {
		// Only a key that is used up may end it, and then the next call says so.
		if again, _, err := a.m.AppendSealed(make([]byte, 0, room), p[n:]); err == nil || len(again) > 0 {
			a.t.Fatalf("AppendSealed took %d of %d bytes; it asked for room for %d and had %d", n, len(p), want, room)
		}
	} else if n > 0 && len(a.m.Output()) > 0 {
		a.t.Fatal("AppendSealed sealed data in front of what waits in the output")
	}
	a.cutShort = a.cutShort || err == nil && n < len(p)
	a.answered = a.answered && n == 0
	a.result("AppendSealed: %d, %v", n, err)
}

func (a *application) appendOutput(room int) {
	a.outputLen()
	got := a.m.AppendOutput(make([]byte, 0, room))
	if cap(got) != room {
		a.t.Fatal("AppendOutput grew what it was given")
	}
	a.out = append(a.out, got...)
	a.sentAway(len(got))
}

// reject ends the connection.
func (a *application) reject(alert tlscore.Alert) {
	state, before := a.m.State(), a.outputLen()
	err := a.m.Reject(alert)
	a.result("Reject: %v", err)
	switch {
	case err != nil && !errors.Is(err, tlscore.ErrFailed) && (a.m.State() != state || a.outputLen() != before):
		a.t.Fatalf("Reject says %v, but %s became %s", err, state, a.m.State())
	case err == nil && a.m.State() != tlscore.StateFailed:
		a.t.Fatalf("after Reject the state is %s", a.m.State())
	}
}

// accept answers an acceptor.
func (a *application) accept() {
	state, before := a.m.State(), a.outputLen()
	err := a.m.Accept(a.cfg)
	a.result("Accept: %v", err)
	if (err == nil) != (state == tlscore.StateWaitAccept && a.m.State() != state) && !errors.Is(err, tlscore.ErrFailed) {
		a.t.Fatalf("Accept says %v, and %s became %s", err, state, a.m.State())
	}
	if err == nil {
		a.configured = true
		if a.outputLen() == before && a.m.Task() == nil {
			a.t.Fatal("Accept queued nothing")
		}
	}
}

// look calls what only looks.
func (a *application) look() {
	a.checkHello()
	if cs := a.m.ConnectionState(); len(a.m.TicketData()) > 0 && !cs.DidResume || a.m.EarlyDataAccepted() && !cs.DidResume {
		a.t.Fatalf("a connection that is not resumed has the ticket's data %q, or early data", a.m.TicketData())
	}
	if binding, err := a.m.ChannelBinding(); (err == nil) != (len(binding) == 32) {
		a.t.Fatalf("the channel binding is %x, with %v", binding, err)
	}
	_ = a.m.State().String()
	if a.m.SealedLen(0) != a.outputLen() {
		a.t.Fatalf("SealedLen(0) is %d, the output %d", a.m.SealedLen(0), a.outputLen())
	}
}
