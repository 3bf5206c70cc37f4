// Package tlscore is TLS without the I/O: a [Machine] is one connection of TLS 1.3
// or TLS 1.2 as a state machine, which takes the bytes that arrived and gives back
// events and the bytes to send. It never touches a socket, starts a goroutine or
// sleeps; whoever owns the sockets drives it.
//
//	m, err := tlscore.NewServer(cfg) // or NewClient, or NewAcceptor
//	…
//	ev, n := m.Step(in) // consume a prefix of in, return the next event
//	m.Output()          // the bytes to send, until m.Sent(k)
//	m.Write(p)          // seal application data into the output
//
// A failed connection is the same Machine in [StateFailed]: its output still
// holds all that was queued, the alert last. There is no other place for it to
// be, and no way to lose it but not to send the output.
//
// docs/contract.md tells the order of calls and who owns which slice, and
// docs/security.md what a peer can and cannot cause.
package tlscore

import (
	"crypto/tls"
	"errors"
	"fmt"
	"sync"

	"tlscore.example/tlscore/internal/record"
)

// Machine is one TLS connection. It is made by [NewClient], [NewServer] or
// [NewAcceptor]; the zero value is of no use.
//
// Its methods fall into two halves, and one goroutine may be in each half at a
// time if a lock was installed with SetLocker; without one, all calls come from
// one goroutine at a time.
//
// Hibernate, Snapshot and ExportTrafficSecrets belong to both: no other call may be in
// progress.
//
// The receiving half is Step, EOF, the answers (Accept, Reject, Done),
// RequestClientCertificate, SendTicket, the getters State, Err, Task, ClientHello,
// RawClientHello, ConnectionState, TicketData and EarlyDataAccepted, and the exporters
// (ExportKeyingMaterial, ExportEarlyKeyingMaterial, ChannelBinding).
//
// The sending half is Write, WriteBuffers, WriteEarly, AppendSealed, AppendSealedBuffers,
// SealInPlace, RecordLen, SealedLen, KeyUpdate, CloseWrite, SentAlert, Output, AppendOutput and Sent.
//
// SetLocker comes before everything else, Release after it.
type Machine struct {
	cfg *Config  // nil in an acceptor until Accept
	d   *derived // what follows from cfg

	client *clientHandshake // while that is what this machine does
	server *serverHandshake
	hello  *receivedHello // a server's, until it answers
	task   *Task          // that is being done

	*live            // nil while it hibernates
	dormant *dormant // nil but then

	err error

	rules     ruleSet // which table holds
	state     State
	queue     [5]EventKind // events that are due, oldest first
	queued    uint8        // how many of them
	sent      bool         // the next event has Queued set
	truncated bool         // the transport ended without close_notify
	busy      bool         // a handler runs, and so may a callback of the application
}

// NewClient returns a client that will connect with cfg. The first Step, which
// may be without input, queues its ClientHello. The error says what is wrong
// with cfg.
func NewClient(cfg *Config) (*Machine, error) {
	d, err := deriveFor(cfg)
	if err != nil {
		return nil, err
	}
	if cfg.ServerName == "" && !cfg.InsecureSkipVerify {
		return nil, errors.New("tlscore: config: a client needs ServerName, or InsecureSkipVerify")
	}
	m := newMachine(rulesClientHello, StateClientStart, &d.environment)
	m.configure(cfg, d)
	m.client = new(clientHandshake)
	return m, nil
}

// NewServer returns a server that will accept a connection with cfg. The error
// says what is wrong with cfg.
func NewServer(cfg *Config) (*Machine, error) {
	d, err := deriveForServer(cfg)
	if err != nil {
		return nil, err
	}
	m := newServer(&d.environment)
	m.configure(cfg, d)
	return m, nil
}

// NewAcceptor returns a server that does not know its config yet: it shows the
// ClientHello with [EventClientHello] and waits for Accept or Reject. The limits
// hold until Accept, which brings those of its config. An error says what is
// wrong with them.
func NewAcceptor(limits Limits) (*Machine, error) {
	limits, err := limits.check()
	if err == nil {
		err = new(Config).checkPlatform(nil)
	}
	if err != nil {
		return nil, fmt.Errorf("tlscore: acceptor: %w", err)
	}
	return newServer(&environment{limits: limits}), nil
}

func newServer(env *environment) *Machine {
	m := newMachine(rulesServerHello, StateWaitClientHello, env)
	m.server = new(serverHandshake)
	m.hello = new(receivedHello)
	return m
}

func newMachine(rules ruleSet, start State, env *environment) *Machine {
	return &Machine{rules: rules, state: start, live: newLive(env)}
}

func newLive(env *environment) *live {
	return &live{
		in:  receiver{first: true},
		out: sender{env: env, version: recordVersion, maxContent: record.MaxPlaintext},
	}
}

// configure gives the machine its config. The receiving half holds no buffer
// when it does.
func (m *Machine) configure(cfg *Config, d *derived) {
	m.cfg, m.d = cfg, d
	m.out.lock()
	defer m.out.unlock()
	m.out.env = &d.environment
}

// env is what holds of the config, or of the limits of an acceptor. Only the receiving half
// changes it.
func (m *Machine) env() *environment { return m.out.env }

func deriveFor(cfg *Config) (*derived, error) {
	if cfg == nil {
		return nil, errors.New("tlscore: config: there is none")
	}
	return cfg.derive()
}

func deriveForServer(cfg *Config) (*derived, error) {
	d, err := deriveFor(cfg)
	if err == nil && len(d.certs) == 0 && cfg.GetCertificate == nil {
		err = errors.New("tlscore: config: a server needs Certificates or GetCertificate")
	}
	return d, err
}

// SetLocker installs a lock that allows one goroutine in the receiving half and
// another one in the sending half at the same time. It is held for short times
// only: while records are sealed or moved. It comes before any other call.
func (m *Machine) SetLocker(l sync.Locker) { m.out.extra().mu = l }

// Step consumes a prefix of in and returns the next event; n says how long the
// prefix was. Records are decrypted in place, bytes behind the prefix are not
// touched, and nothing of in is kept: present what is left again, joined with
// what comes next. Step takes whole records only.
//
// Call it until it returns a stop ([Event.Stop]), also without input: Step(nil)
// starts a client, and fetches what an answer has caused. Nothing is decrypted
// before its event is asked for, so whoever stops calling applies back-pressure.
//
// Step never blocks and never panics, whatever it is given.
func (m *Machine) Step(in []byte) (ev Event, n int) {
	if m.busy || m.sleepsOn(in) { // called from inside a callback: the Step around it goes on
		return Event{Kind: EventNone}, 0
	}
	m.wake() // a failure is the next event
	m.adoptFound()
	if m.client != nil && m.queued == 0 {
		m.dropRefused()
	}
	if m.queued == 0 {
		if n = m.takeData13(in); m.in.data != nil {
			return m.event(EventData), n
		}
	}
	for {
		if kind, ok := m.nextEvent(); ok {
			ev = m.event(kind)
			m.in.save(m.env().allocator)
			return ev, n
		}
		if m.state == StateClientStart {
			m.step(inputStart, nil)
			continue
		}
		if m.takeMessage() {
			continue
		}
		taken, more := m.takeRecord(in[n:])
		n += taken
		if !more {
			m.in.save(m.env().allocator)
			return m.event(EventNone), n
		}
	}
}

// nextEvent takes the event that is due, or the stop that holds.
func (m *Machine) nextEvent() (EventKind, bool) {
	if m.queued > 0 {
		kind := m.queue[0]
		if m.queued--; m.queued > 0 {
			copy(m.queue[:], m.queue[1:])
		}
		return kind, true
	}
	switch {
	case m.state >= StateFailed:
		return EventFailed, true
	case m.state == StateClosed:
		return EventClosed, true
	case m.state.waiting():
		return EventWait, true
	}
	return EventNone, false
}

// event completes an event.
func (m *Machine) event(kind EventKind) Event {
	ev := Event{Kind: kind, Queued: m.sent}
	m.sent = false
	switch kind {
	case EventData:
		ev.Data, m.in.data = m.in.data, nil
		ev.Early = m.state == StateWaitEndOfEarlyData
	case EventEarlyRejected:
		ev.Data = m.client.refused
	case EventClosed:
		ev.Truncated = m.truncated
	}
	return ev
}

// push makes an event due.
func (m *Machine) push(kind EventKind) {
	m.queue[m.queued] = kind
	m.queued++
}

// unpush takes back an event if it is the last that is due. What answers come without
// a Step between them make due stays within the queue that way.
func (m *Machine) unpush(kind EventKind) {
	if m.queued > 0 && m.queue[m.queued-1] == kind {
		m.queued--
	}
}

// EOF says that the transport has ended: nothing follows what Step is still to
// be given. It takes effect in the Step that finds no whole record any more. In
// the handshake the connection fails then, without an alert; later
// [EventClosed] comes, marked as truncated, and writing still works.
func (m *Machine) EOF() {
	m.wake()
	m.in.eof = true
}

// Accept answers [EventClientHello]: the connection goes on with cfg. When it
// returns, the server's flight is in the output, or the alert if the connection
// has failed: State tells. An error is misuse, or says what is wrong with cfg,
// and changes nothing.
func (m *Machine) Accept(cfg *Config) error {
	if err := m.answerable(); err != nil {
		return err
	}
	if m.state != StateWaitAccept {
		return ErrNotWaiting
	}
	d, err := deriveForServer(cfg)
	if err != nil {
		return err
	}
	m.configure(cfg, d)
	m.tell(TraceMessage{Body: m.hello.message})
	m.step(inputAccept, nil)
	return nil
}

// Reject ends the connection with an alert of the application's choice, in any
// live state: it answers [EventClientHello], and serves deadlines and
// authorisation. When it returns, the state is [StateFailed] and the alert is in
// the output, last, unless close_notify was sent before. An error is misuse and
// changes nothing: the connection has ended already, a callback of it is running,
// or the alert is a closure alert, for which there is CloseWrite.
func (m *Machine) Reject(a Alert) error {
	if err := m.answerable(); err != nil {
		return err
	}
	if a.closure() {
		return ErrNoErrorAlert
	}
	m.fail(&LocalError{Reason: ReasonRejected, Alert: a, Detail: a.String()})
	return nil
}

// answerable returns the error of an answer that comes too late.
func (m *Machine) answerable() error {
	if m.busy {
		return ErrBusy
	}
	if err := m.wake(); err != nil {
		return err
	}
	m.adoptFound()
	switch {
	case m.state == StateReleased:
		return ErrReleased
	case m.state == StateMoved:
		return ErrMoved
	case !m.state.live():
		return ErrFailed
	}
	return nil
}

// State returns where the connection stands.
func (m *Machine) State() State { return m.state }

// Err returns why the connection has failed: a [*ProtocolError], a
// [*RemoteAlert] or a [*LocalError], or nil while it has not.
func (m *Machine) Err() error { return m.err }

// ConnectionState returns what was negotiated so far. The certificates of a peer
// are there even when they did not verify. TLSUnique is never set, see ChannelBinding.
// ExportKeyingMaterial of the result panics: crypto/tls keeps exporters to its own
// connections, so it is a method of the machine here.
func (m *Machine) ConnectionState() tls.ConnectionState {
	if m.dormant != nil {
		return m.dormantState()
	}
	return m.conn.state()
}

// TicketData returns what Config.TicketData had put into the ticket that was resumed:
// nil in a full handshake, and for a client. It must not be changed.
func (m *Machine) TicketData() []byte {
	m.wake()
	return m.conn.ticketData()
}

// Write seals application data into the output, as far as its bound allows:
// n < len(p) without an error means that the output is full, so send and go on
// with p[n:]. It returns [ErrNotReady] before [EventWritable], [ErrWriteClosed]
// after CloseWrite, and the error of a connection that has failed; then nothing
// was queued but what n says.
//
// p may not overlap the output; it may be the data of an event.
func (m *Machine) Write(p []byte) (n int, err error) {
	m.wake() // a failure is what write returns, too
	m.out.lock()
	defer m.out.unlock()
	return m.out.write(source{p: p})
}

// AppendSealed appends to dst what is in the output, then application data
// sealed straight into dst, as far as the capacity of dst allows: dst never
// grows. n says how much of p was taken, and is short when dst is full, or when a
// key is used up, which the next call returns as its error. Errors are those of
// Write; then nothing is moved either, and AppendOutput gets what is left to send.
//
// dst and p may not overlap. What was appended has to be sent before anything
// that leaves the machine later.
func (m *Machine) AppendSealed(dst, p []byte) (_ []byte, n int, err error) {
	m.wake()
	m.out.lock()
	dst, n, err = m.out.appendSealed(dst, source{p: p})
	m.out.unlock()
	return dst, n, err
}

// WriteBuffers is Write for application data in several pieces, which share records: what
// leaves the machine is what Write of all of them in one piece would have made. n counts all
// bytes that were taken.
func (m *Machine) WriteBuffers(pieces [][]byte) (n int, err error) {
	m.wake()
	m.out.lock()
	defer m.out.unlock()
	return m.out.write(source{rest: pieces})
}

// AppendSealedBuffers is AppendSealed for application data in several pieces, which share
// records.
func (m *Machine) AppendSealedBuffers(dst []byte, pieces [][]byte) (_ []byte, n int, err error) {
	m.wake()
	m.out.lock()
	defer m.out.unlock()
	return m.out.appendSealed(dst, source{rest: pieces})
}

// What the caller of SealInPlace leaves free around the content.
const (
	// RecordHeadroom is how many bytes in front of it, whatever was negotiated.
	RecordHeadroom = record.HeaderLen + 8
	// RecordTailroom is how many bytes of capacity behind it, without Config.RecordPadding.
	RecordTailroom = 1 + 16
)

// SealInPlace makes one record of the n bytes behind the first RecordHeadroom bytes of buf,
// in place: nothing is copied. buf has RecordTailroom bytes of capacity more behind them, or
// with Config.RecordPadding as many as that takes. What it returns, a part of buf, has to be
// sent before anything that leaves the machine later.
// Ciphers are a little faster with content that begins at a multiple of 16.
//
// n is at least 1 and at most RecordLen. Errors are those of Write, [ErrNoRoom], and
// [ErrOutputPending] while there is output, which may be a KeyUpdate that has just fallen due;
// then buf is as it was.
func (m *Machine) SealInPlace(buf []byte, n int) ([]byte, error) {
	m.wake()
	m.out.lock()
	rec, err := m.out.sealInPlace(buf, n)
	m.out.unlock()
	return rec, err
}

// RecordLen is how many bytes of application data go into a record at most: 16,384, or fewer
// if the peer has asked for that. It is settled from EventWritable on. RFC 8446, Section 5.1;
// RFC 8449.
func (m *Machine) RecordLen() int {
	m.wake()
	m.out.lock()
	defer m.out.unlock()
	return int(m.out.maxContent)
}

// SealedLen returns how much room AppendSealed needs to take n bytes of
// application data and all of the output as it is now.
func (m *Machine) SealedLen(n int) int {
	m.wake()
	m.out.lock()
	defer m.out.unlock()
	return m.out.pending() + m.out.sealedLen(n)
}

// KeyUpdate changes the key of the sending direction, and with request asks the
// peer to change its own. While an earlier request is not answered, a further
// one is not sent, and a key that nothing was sealed under yet is not changed. The
// machine updates keys by itself before they are used up; this is for those who
// want it sooner. Errors are those of Write, and [ErrVersion] in TLS 1.2.
// RFC 8446, Section 4.6.3.
func (m *Machine) KeyUpdate(request bool) error {
	m.wake()
	m.out.lock()
	defer m.out.unlock()
	return m.out.requestKeyUpdate(request)
}

// CloseWrite ends the sending direction with close_notify; receiving goes on.
// Before [EventWritable] is due it cancels the handshake, with user_canceled
// before the close_notify, and the next Step returns [EventFailed]. It may be
// called in any state, and more than once.
func (m *Machine) CloseWrite() {
	m.wake()
	m.out.lock()
	defer m.out.unlock()
	m.out.closeWrite()
}

// SentAlert returns the error alert that this side has queued, if it has. That is
// the alert of Err, unless close_notify was sent before, or the peer or the
// transport ended the connection.
func (m *Machine) SentAlert() (a Alert, ok bool) {
	if m.dormant != nil {
		return 0, false
	}
	m.out.lock()
	defer m.out.unlock()
	return m.out.alert, m.out.alert != 0
}

// Output returns the bytes waiting to be sent, oldest first. They stay in place
// and unchanged, whatever is queued meanwhile, until Sent, AppendOutput,
// AppendSealed or Release.
func (m *Machine) Output() []byte {
	if m.dormant != nil {
		return nil
	}
	m.out.lock()
	defer m.out.unlock()
	return m.out.output()
}

// Sent says that the first n bytes of Output are sent; more than there is means
// all of it.
func (m *Machine) Sent(n int) {
	if m.dormant != nil {
		return
	}
	m.out.lock()
	defer m.out.unlock()
	m.out.discard(n)
}

// AppendOutput moves bytes waiting to be sent to dst, as far as its capacity
// allows: dst never grows. Bytes that Output has shown are no longer there.
func (m *Machine) AppendOutput(dst []byte) []byte {
	if m.dormant != nil {
		return dst
	}
	m.out.lock()
	defer m.out.unlock()
	return m.out.appendOutput(dst)
}

// Release hands back all memory of a machine that is not needed any more,
// plaintext cleared. Unsent output is gone. The machine is in [StateReleased] afterwards.
// Inside a callback of the machine it does nothing.
func (m *Machine) Release() {
	if m.busy {
		return
	}
	m.dropDormant()
	m.out.lock()
	m.out.dismiss(ErrReleased)
	m.out.unlock()
	m.endReceiving()
	m.endHandshake()
	m.wipeExporters()
	m.abandonTask()
	m.hello = nil
	m.queued, m.sent = 0, false
	if m.err == nil {
		m.err = ErrReleased
	}
	m.state = StateReleased
}

// adoptFound makes a failure that was found while sending the state.
func (m *Machine) adoptFound() {
	// Without the extra there is no lock and no failure, but for these two.
	if m.out.more != nil || m.out.closed || m.out.tracePanicked {
		m.adoptFailure()
	}
}

func (m *Machine) adoptFailure() {
	m.out.lock()
	found := m.out.failure()
	m.out.unlock()
	if found != nil && m.state.live() {
		m.fail(found)
	}
}

// fail ends the connection: the state is StateFailed, what was emitted so far
// and then the alert of err are in the output, and secrets and keys are cleared.
//
//	"Servers and clients MUST forget the secret values and keys established in
//	failed connections"
//
// https://www.rfc-editor.org/rfc/rfc8446#section-6
func (m *Machine) fail(err error) {
	m.err = inState(err, m.state)
	m.flush()
	m.busy = true // Config.Trace is told the alert
	m.out.lock()
	if m.out.abort(m.err) {
		m.sent = true
	}
	m.out.unlock()
	m.busy = false
	if m.state.handshaking() {
		m.conn.complete = false
	}
	m.state = StateFailed
	m.abandonTask()
	m.queued = 0
	m.endReceiving()
	m.endHandshake()
	m.wipeExporters()
}

// inState notes the state in an error.
func inState(err error, s State) error {
	var noted *State
	switch err := err.(type) {
	case *ProtocolError:
		noted = &err.State
	case *RemoteAlert:
		noted = &err.State
	case *LocalError:
		noted = &err.State
	}
	// An error that was found while sending has its state, and a writer may be
	// reading it.
	if noted != nil && *noted == stateNone {
		*noted = s
	}
	return err
}
