package tlscore

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"tlscore.example/tlscore/internal/wire"
)

// TaskKind says what a [Task] does.
type TaskKind uint8

// The kinds of tasks: what may block, because it asks something outside of the
// machine, or burns CPU, because it is public-key cryptography.
const (
	// TaskChooseCertificate finds the certificate to authenticate with, by
	// Config.GetCertificate or Config.GetClientCertificate if they are set.
	TaskChooseCertificate TaskKind = iota + 1
	// TaskSign signs the handshake with the private key of that certificate.
	TaskSign
	// TaskVerifyChain verifies the peer's certificate chain, and then asks
	// Config.VerifyPeerCertificate.
	TaskVerifyChain
	// TaskKeyExchange makes an ephemeral key, or computes the shared secret, or
	// both.
	TaskKeyExchange
	// TaskOpenTicket finds the session that a ticket, or a session id, stands for.
	TaskOpenTicket
	// TaskDecideEarlyData decides whether early data is accepted: whether it is
	// no replay, and whether the application wants it.
	TaskDecideEarlyData

	numTaskKinds
)

var taskNames = [numTaskKinds]string{
	TaskChooseCertificate: "ChooseCertificate",
	TaskSign:              "Sign",
	TaskVerifyChain:       "VerifyChain",
	TaskKeyExchange:       "KeyExchange",
	TaskOpenTicket:        "OpenTicket",
	TaskDecideEarlyData:   "DecideEarlyData",
}

// String returns the name of the kind without its prefix.
func (k TaskKind) String() string {
	if k > 0 && k < numTaskKinds {
		return taskNames[k]
	}
	return fmt.Sprintf("TaskKind(%d)", uint8(k))
}

// TaskSet is a set of kinds of tasks.
type TaskSet uint8

// AllTasks has every kind.
const AllTasks TaskSet = 1<<numTaskKinds - 1<<TaskChooseCertificate

// Tasks returns the set of the given kinds.
func Tasks(kinds ...TaskKind) (set TaskSet) {
	for _, k := range kinds {
		set |= 1 << k
	}
	return set
}

// Has reports whether the set has a kind.
func (s TaskSet) Has(k TaskKind) bool { return s&(1<<k) != 0 }

// Task is a piece of a handshake that was lifted out of the machine, since
// Config.Tasks has its kind: [EventTask] says that it is there, [Machine.Task]
// returns it, and the machine waits until [Machine.Done] hands it back. In between
// it is Run, on any goroutine, or answered by hand with Fail or the Set method
// of its kind.
//
// A task owns copies of what it needs and never touches the machine, so a machine
// may fail or be released meanwhile; a task that nobody waits for any more is
// dropped, and what is secret in its result cleared. The
// methods of one task are not safe for concurrent use.
type Task struct {
	kind TaskKind
	run  func(*Task) error
	done bool
	err  error
	fate atomic.Uint32 // see abandon

	// What is asked.
	cfg     *Config
	hello   *tls.ClientHelloInfo
	request *tls.CertificateRequestInfo
	groups  []tls.CurveID // of the shares to be made
	group   *group        // of the share to be answered
	own     *keyShare
	scheme  *scheme
	signer  crypto.Signer
	content []byte // to be signed, or a ticket, or the peer's share
	chain   []*x509.Certificate
	options *x509.VerifyOptions // of TaskVerifyChain
	early   *EarlyDataInfo      // of TaskDecideEarlyData

	// What is answered.
	certificate *tls.Certificate
	configured  bool // Config.Certificates is to be chosen from
	signature   []byte
	verified    [][]*x509.Certificate
	shares      []*keyShare
	public      []byte // our key share
	shared      []byte // the shared secret, wiped by who takes it
	session     []byte // as in Session.AppendBinary; nil for none
	accept      bool
}

// EarlyDataInfo is what Config.AcceptEarlyData is told about a client that wants
// to send early data. RFC 8446, Section 8.
type EarlyDataInfo struct {
	// ServerName and Protocol are what was negotiated, and so those of the session.
	ServerName, Protocol string
	// TicketData is the application data of the ticket.
	TicketData []byte
	// Fresh says whether Config.ReplayGuard has seen the ClientHello for the
	// first time; false without a guard.
	Fresh bool
}

// Kind says what the task is to do.
func (t *Task) Kind() TaskKind { return t.kind }

// Run does what the machine would have done by itself. It may block, and it may be
// called on any goroutine, once, before [Machine.Done]. It does not panic: a panic
// of a callback becomes the failure of the connection.
func (t *Task) Run() {
	if t.done {
		return
	}
	t.done = true
	defer t.settle()
	returned := false
	defer func() {
		if r := recover(); r != nil {
			t.err = failure(ReasonCallbackPanicked, fmt.Errorf("panic: %v", r))
		} else if !returned {
			t.err = failure(ReasonCallbackPanicked, errNoReturn)
		}
	}()
	t.err = t.run(t)
	returned = true
}

// errNoReturn is what a task fails with when a callback ends its goroutine.
var errNoReturn = errors.New("a callback has not returned")

// answer notes an answer by hand. The first answer counts.
func (t *Task) answer(kind TaskKind, set func()) {
	if t.done {
		return
	}
	t.done = true
	defer t.settle()
	if t.kind != kind {
		t.err = failure(t.failureReason(), ErrTask)
		return
	}
	set()
}

// Fail answers that the task cannot be done, or that the peer is refused: the
// connection fails with the alert that a callback's error in its place would
// have had, or that of an [AlertError] that err wraps.
func (t *Task) Fail(err error) {
	if err == nil {
		err = ErrTask
	}
	t.answer(t.kind, func() { t.err = failure(t.failureReason(), err) })
}

// failureReason is the reason of a failure that the application decides.
func (t *Task) failureReason() Reason {
	switch t.kind {
	case TaskSign:
		return ReasonSigningFailed
	case TaskVerifyChain:
		return ReasonVerificationRejected
	case TaskKeyExchange:
		return ReasonKeyGeneration
	}
	return ReasonCallbackFailed
}

// ClientHello is what a server's [TaskChooseCertificate] is about: what the client
// wants. It is nil for a client, which see CertificateRequest.
func (t *Task) ClientHello() *tls.ClientHelloInfo { return t.hello }

// CertificateRequest is what a client's [TaskChooseCertificate] is about: what the
// server accepts. It is nil for a server.
func (t *Task) CertificateRequest() *tls.CertificateRequestInfo { return t.request }

// SetCertificate answers [TaskChooseCertificate]. A nil certificate means for a
// server that Config.Certificates decides, for a client that it has none.
func (t *Task) SetCertificate(cert *tls.Certificate) {
	t.answer(TaskChooseCertificate, func() { t.certificate = cert })
}

// SignatureScheme is the scheme that [TaskSign] signs with.
func (t *Task) SignatureScheme() tls.SignatureScheme {
	if t.scheme == nil {
		return 0
	}
	return t.scheme.id
}

// Signer is the private key that [TaskSign] signs with.
func (t *Task) Signer() crypto.Signer { return t.signer }

// Message is what [TaskSign] signs: the message, not its hash. It must not be changed.
func (t *Task) Message() []byte { return t.contentOf(TaskSign) }

// SetSignature answers [TaskSign].
func (t *Task) SetSignature(signature []byte) {
	t.answer(TaskSign, func() { t.signature = slices.Clone(signature) })
}

// PeerCertificates is the chain that [TaskVerifyChain] verifies, leaf first. It
// must not be changed.
func (t *Task) PeerCertificates() []*x509.Certificate { return t.chain }

// VerifyOptions is how [TaskVerifyChain] would verify it: with the time of Config.Time, and
// whether the Config asks for it or not.
func (t *Task) VerifyOptions() x509.VerifyOptions {
	if t.options == nil {
		return x509.VerifyOptions{}
	}
	return *t.options
}

// SetVerified answers [TaskVerifyChain]: the chain is good. The chains become those
// of ConnectionState; Config.VerifyPeerCertificate is not asked. Without chains, none can
// be checked again later, and the session is not resumed, but under InsecureSkipVerify.
func (t *Task) SetVerified(chains [][]*x509.Certificate) {
	t.answer(TaskVerifyChain, func() { t.verified = chains })
}

// Ticket is what [TaskOpenTicket] opens: a ticket, or a session id of TLS 1.2. It must
// not be changed.
func (t *Task) Ticket() []byte { return t.contentOf(TaskOpenTicket) }

func (t *Task) contentOf(kind TaskKind) []byte {
	if t.kind != kind {
		return nil
	}
	return t.content
}

// SetSession answers [TaskOpenTicket] with what was sealed into the ticket, or nil
// when it is not one of ours: then the handshake is a full one.
func (t *Task) SetSession(session []byte) {
	t.answer(TaskOpenTicket, func() { t.session = slices.Clone(session) })
}

// EarlyData is what [TaskDecideEarlyData] decides about.
func (t *Task) EarlyData() EarlyDataInfo {
	if t.early == nil {
		return EarlyDataInfo{}
	}
	return *t.early
}

// SetEarlyData answers [TaskDecideEarlyData].
func (t *Task) SetEarlyData(accept bool) {
	t.answer(TaskDecideEarlyData, func() { t.accept = accept })
}

// wipe clears what is secret in a task that nobody waits for.
func (t *Task) wipe() {
	clear(t.shared)
	clear(t.session)
}

// What can become of a task first.
const (
	taskSettled   = 1 + iota // it has its result
	taskAbandoned            // nobody waits for the result
)

// settle notes that the task has its result, and clears it if nobody waits for it any more.
func (t *Task) settle() {
	if !t.fate.CompareAndSwap(0, taskSettled) {
		t.wipe()
	}
}

// abandon notes that nobody waits for the result. The task may run on another goroutine at
// the time: whichever comes second clears the result.
func (t *Task) abandon() {
	if !t.fate.CompareAndSwap(0, taskAbandoned) {
		t.wipe()
	}
}

// abandonTask gives up the task at hand, if there is one.
func (m *Machine) abandonTask() {
	if m.task != nil {
		m.task.abandon()
		m.task = nil
	}
}

// await makes the machine wait for a task, in a state whose rule takes its
// result. A handler ends with it; what it still needs of its message is copied by
// then.
func (m *Machine) await(s State, t *Task) (State, error) {
	m.task = t
	return s, nil
}

// result takes the task that was awaited. Its failure is that of the handler.
func (m *Machine) result() (*Task, error) {
	t := m.task
	m.task = nil
	if !m.lifted(t.kind) { // its place in the handshake should not hold what is asked
		t.hello, t.request, t.content, t.chain, t.options = nil, nil, nil, nil, nil
	}
	if t.err != nil {
		t.wipe()
	}
	return t, t.err
}

// lifted reports whether the application runs tasks of this kind.
func (m *Machine) lifted(k TaskKind) bool { return m.cfg != nil && m.cfg.Tasks.Has(k) }

// runTask runs the task at hand where it stands.
func (m *Machine) runTask() {
	m.busy = true
	m.task.Run()
	m.busy = false
}

// Task returns the task that the machine waits for, or nil.
func (m *Machine) Task() *Task {
	if m.task == nil || !m.lifted(m.task.kind) { // it is being done
		return nil
	}
	return m.task
}

// Done hands back the task that the machine waits for, after its Run or its
// answer. When it returns, what follows is in the output: the flight, or the alert if
// the connection has failed; State tells. An error is misuse and changes nothing:
// [ErrNotWaiting] when the task is not the one that is awaited, [ErrTask] when it
// has no answer yet, or still runs.
func (m *Machine) Done(t *Task) error {
	if err := m.answerable(); err != nil {
		return err
	}
	if t == nil || t != m.task || !m.state.task() {
		return ErrNotWaiting
	}
	if t.fate.Load() != taskSettled {
		return ErrTask
	}
	m.unpush(EventTask) // nobody has asked Step about it
	m.step(inputTask, nil)
	return nil
}

// The makers of tasks. What they are given is copied, or never changes.

// newTask returns a task. One that nobody lifts out is done before anybody sees it, so those of a
// handshake share one place in it.
func (m *Machine) newTask(kind TaskKind, run func(*Task) error) *Task {
	if h := m.handshakeState(); h != nil && !m.lifted(kind) {
		h.inline = Task{kind: kind, run: run}
		return &h.inline
	}
	return &Task{kind: kind, run: run}
}

// owned returns b, for a task of that kind: a copy if it is lifted out, since such a task may
// outlive everything else.
func (m *Machine) owned(kind TaskKind, b []byte) []byte {
	if m.lifted(kind) {
		return slices.Clone(b)
	}
	return b
}

// newSharesTask makes a client's key shares for the groups, or the key of a TLS 1.2
// server. X25519 and its hybrid use one key.
func (m *Machine) newSharesTask(groups ...tls.CurveID) *Task {
	t := m.newTask(TaskKeyExchange, func(t *Task) (err error) {
		t.shares, err = newKeyShares(t.cfg, t.groups)
		return err
	})
	t.cfg, t.groups = m.cfg, groups
	return t
}

// newAgreeTask computes the shared secret from the peer's share.
func (m *Machine) newAgreeTask(own *keyShare, peer []byte) *Task {
	t := m.newTask(TaskKeyExchange, func(t *Task) (err error) {
		t.shared, err = t.own.shared(t.content)
		return err
	})
	t.own, t.content = own, m.owned(t.kind, peer)
	return t
}

// newRespondTask makes our share and the shared secret.
func (m *Machine) newRespondTask(group tls.CurveID, peer []byte) *Task {
	t := m.newTask(TaskKeyExchange, func(t *Task) (err error) {
		t.public, t.shared, err = t.group.respond(t.cfg, t.content)
		return err
	})
	t.cfg, t.group, t.content = m.cfg, groupInfo(group), m.owned(t.kind, peer)
	return t
}

// newSignTask signs content with the key of a credential.
func (m *Machine) newSignTask(c *credential, s *scheme, content []byte) *Task {
	t := m.newTask(TaskSign, func(t *Task) error {
		return call(ReasonSigningFailed, func() (err error) {
			t.signature, err = t.scheme.sign(t.signer, t.cfg.randomSource(), t.content)
			return err
		})
	})
	t.cfg, t.scheme, t.signer, t.content = m.cfg, s, c.signer, m.owned(t.kind, content)
	return t
}

// maxSignature is the longest signature that a message can hold.
const maxSignature = 1<<16 - 1

// takeSignature returns the result of a TaskSign, as CertificateVerify has it.
func (m *Machine) takeSignature() (verify wire.CertificateVerify, err error) {
	t, err := m.result()
	if err != nil {
		return verify, err
	}
	if len(t.signature) > maxSignature {
		return verify, failure(ReasonSigningFailed, errSignature)
	}
	return wire.CertificateVerify{Algorithm: wire.SignatureScheme(t.scheme.id), Signature: t.signature}, nil
}
