package tlscore

import (
	"fmt"

	"tlscore.example/tlscore/internal/wire"
)

// State is where a connection stands, in protocol order. The tables in
// clientstart.go, client13.go and client12.go, and in serverstart.go, server13.go and
// server12.go, say what each state accepts and where it may lead; docs/state-machine.md
// is printed from them. RFC 8446, Appendix A.
type State uint8

// The states. The zero value accepts nothing.
const (
	stateNone State = iota

	// Of both: a task of that kind is being done, see [Task].

	// StateMakeKeyShare: a client's key shares, or the key of a TLS 1.2 server.
	StateMakeKeyShare
	// StateAgreeKey: the shared secret of the key exchange.
	StateAgreeKey
	// StateVerifyChain: the peer's certificate chain.
	StateVerifyChain
	// StateChooseCertificate: the certificate to authenticate with.
	StateChooseCertificate
	// StateSign: the signature that proves it.
	StateSign
	// StateOpenTicket: the session that the client wants to resume.
	StateOpenTicket
	// StateDecideEarlyData: whether early data is accepted.
	StateDecideEarlyData

	// A client's. RFC 8446, Appendix A.1; those of TLS 1.2: RFC 5246, Section 7.3.

	// StateClientStart: nothing was sent yet, the first Step starts.
	StateClientStart
	// StateWaitServerHello: ClientHello was sent.
	StateWaitServerHello
	// StateWaitServerHelloRetry: the second ClientHello was sent, in answer to a
	// HelloRetryRequest.
	StateWaitServerHelloRetry
	// StateWaitEncryptedExtensions: handshake keys are in place.
	StateWaitEncryptedExtensions
	// StateWaitCertificateOrRequest: the server's Certificate, or before it its
	// CertificateRequest.
	StateWaitCertificateOrRequest
	// StateWaitCertificate: there was a CertificateRequest.
	StateWaitCertificate
	// StateWaitCertificateVerify: the server's certificate chain is verified.
	StateWaitCertificateVerify
	// StateWaitCertificateStatus: TLS 1.2, the server may send a CertificateStatus.
	StateWaitCertificateStatus
	// StateWaitServerKeyExchange: TLS 1.2, the server's certificate chain is verified.
	StateWaitServerKeyExchange
	// StateWaitRequestOrHelloDone: TLS 1.2, the server's ServerHelloDone, or before
	// it its CertificateRequest.
	StateWaitRequestOrHelloDone
	// StateWaitServerHelloDone: TLS 1.2, there was a CertificateRequest.
	StateWaitServerHelloDone
	// StateWaitNewSessionTicket: TLS 1.2, the server has announced a ticket.
	StateWaitNewSessionTicket
	// StateWaitServerChangeCipherSpec: TLS 1.2, the server's Finished comes next.
	StateWaitServerChangeCipherSpec
	// StateWaitServerFinished: the server's signature is verified, or its keys have changed.
	StateWaitServerFinished

	// A server's. RFC 8446, Appendix A.2.

	// StateWaitClientHello: nothing was received yet.
	StateWaitClientHello
	// StateWaitAccept: an acceptor shows the ClientHello and waits for Accept.
	StateWaitAccept
	// StateWaitClientHelloRetry: HelloRetryRequest was sent.
	StateWaitClientHelloRetry
	// StateWaitEndOfEarlyData: the server's flight was sent, and early data comes in.
	StateWaitEndOfEarlyData
	// StateWaitClientCertificate: the server's flight was sent, with a
	// CertificateRequest.
	StateWaitClientCertificate
	// StateWaitClientKeyExchange: TLS 1.2, the server's ServerHelloDone was sent.
	StateWaitClientKeyExchange
	// StateWaitClientCertificateVerify: the client's certificate chain is verified.
	StateWaitClientCertificateVerify
	// StateWaitClientChangeCipherSpec: TLS 1.2, the client's Finished comes next.
	StateWaitClientChangeCipherSpec
	// StateWaitClientFinished: the server's flight was sent, its Finished last, or
	// in TLS 1.2 the client's keys have changed.
	StateWaitClientFinished

	// Of both.

	// StateConnected: the handshake is complete.
	StateConnected
	// StatePostChooseCertificate: a client's task after the handshake, to choose a
	// certificate.
	StatePostChooseCertificate
	// StatePostSign: a client's task after the handshake, to sign.
	StatePostSign
	// StatePostVerifyChain: a server's task after the handshake, to verify the
	// client's chain.
	StatePostVerifyChain
	// StateWaitPostCertificateVerify: a server's, the client's chain is verified.
	StateWaitPostCertificateVerify
	// StateWaitPostFinished: a server's, the client's signature is verified, or it
	// has no certificate.
	StateWaitPostFinished
	// StateClosed: the receiving direction has ended.
	StateClosed
	// StateFailed: the connection has failed. Err says why, and the output ends
	// in the alert that says so to the peer, if one is due.
	StateFailed
	// StateMoved: the connection goes on elsewhere, by Snapshot or ExportTrafficSecrets.
	StateMoved
	// StateReleased: the memory of the connection was handed back.
	StateReleased

	numStates
)

var stateNames = [numStates]string{
	stateNone:                        "None",
	StateMakeKeyShare:                "MakeKeyShare",
	StateAgreeKey:                    "AgreeKey",
	StateVerifyChain:                 "VerifyChain",
	StateChooseCertificate:           "ChooseCertificate",
	StateSign:                        "Sign",
	StateOpenTicket:                  "OpenTicket",
	StateDecideEarlyData:             "DecideEarlyData",
	StateClientStart:                 "ClientStart",
	StateWaitServerHello:             "WaitServerHello",
	StateWaitServerHelloRetry:        "WaitServerHelloRetry",
	StateWaitEncryptedExtensions:     "WaitEncryptedExtensions",
	StateWaitCertificateOrRequest:    "WaitCertificateOrRequest",
	StateWaitCertificate:             "WaitCertificate",
	StateWaitCertificateVerify:       "WaitCertificateVerify",
	StateWaitCertificateStatus:       "WaitCertificateStatus",
	StateWaitServerKeyExchange:       "WaitServerKeyExchange",
	StateWaitRequestOrHelloDone:      "WaitRequestOrHelloDone",
	StateWaitServerHelloDone:         "WaitServerHelloDone",
	StateWaitNewSessionTicket:        "WaitNewSessionTicket",
	StateWaitServerChangeCipherSpec:  "WaitServerChangeCipherSpec",
	StateWaitServerFinished:          "WaitServerFinished",
	StateWaitClientHello:             "WaitClientHello",
	StateWaitAccept:                  "WaitAccept",
	StateWaitClientHelloRetry:        "WaitClientHelloRetry",
	StateWaitEndOfEarlyData:          "WaitEndOfEarlyData",
	StateWaitClientCertificate:       "WaitClientCertificate",
	StateWaitClientKeyExchange:       "WaitClientKeyExchange",
	StateWaitClientCertificateVerify: "WaitClientCertificateVerify",
	StateWaitClientChangeCipherSpec:  "WaitClientChangeCipherSpec",
	StateWaitClientFinished:          "WaitClientFinished",
	StateConnected:                   "Connected",
	StatePostChooseCertificate:       "PostChooseCertificate",
	StatePostSign:                    "PostSign",
	StatePostVerifyChain:             "PostVerifyChain",
	StateWaitPostCertificateVerify:   "WaitPostCertificateVerify",
	StateWaitPostFinished:            "WaitPostFinished",
	StateClosed:                      "Closed",
	StateFailed:                      "Failed",
	StateMoved:                       "Moved",
	StateReleased:                    "Released",
}

// String returns the name of the constant without its prefix.
func (s State) String() string {
	if s < numStates {
		return stateNames[s]
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}

// live reports whether the connection has neither failed nor been moved nor released.
func (s State) live() bool { return s != stateNone && s < StateFailed }

// handshaking reports whether the handshake is not complete.
func (s State) handshaking() bool { return s > stateNone && s < StateConnected }

// waiting reports whether s waits for an answer of the application.
func (s State) waiting() bool { return s == StateWaitAccept || s.task() }

// task reports whether s is that of a task.
func (s State) task() bool {
	return s >= StateMakeKeyShare && s <= StateDecideEarlyData ||
		s >= StatePostChooseCertificate && s <= StatePostVerifyChain
}

// input is what a rule is about: a handshake message, another record, or an
// answer of the application. A HelloRetryRequest is an input of its own, though
// on the wire it is a ServerHello, so that the table can tell where it may come.
type input uint8

const (
	inputNone input = iota
	inputStart
	inputAccept
	inputRequestCertificate
	inputTask // a task has its result
	inputChangeCipherSpec
	inputApplicationData
	inputClientHello
	inputServerHello
	inputHelloRetryRequest
	inputEncryptedExtensions
	inputCertificateRequest
	inputCertificate
	inputCertificateVerify
	inputFinished
	inputNewSessionTicket
	inputKeyUpdate
	inputEndOfEarlyData
	inputHelloRequest
	inputServerKeyExchange
	inputServerHelloDone
	inputClientKeyExchange
	inputCertificateStatus
	inputUnknownMessage
	numInputs
)

var inputNames = [numInputs]string{
	inputNone:                "None",
	inputStart:               "start",
	inputAccept:              "Accept",
	inputRequestCertificate:  "RequestClientCertificate",
	inputTask:                "task",
	inputChangeCipherSpec:    "change_cipher_spec",
	inputApplicationData:     "application_data",
	inputClientHello:         "ClientHello",
	inputServerHello:         "ServerHello",
	inputHelloRetryRequest:   "HelloRetryRequest",
	inputEncryptedExtensions: "EncryptedExtensions",
	inputCertificateRequest:  "CertificateRequest",
	inputCertificate:         "Certificate",
	inputCertificateVerify:   "CertificateVerify",
	inputFinished:            "Finished",
	inputNewSessionTicket:    "NewSessionTicket",
	inputKeyUpdate:           "KeyUpdate",
	inputEndOfEarlyData:      "EndOfEarlyData",
	inputHelloRequest:        "HelloRequest",
	inputServerKeyExchange:   "ServerKeyExchange",
	inputServerHelloDone:     "ServerHelloDone",
	inputClientKeyExchange:   "ClientKeyExchange",
	inputCertificateStatus:   "CertificateStatus",
	inputUnknownMessage:      "unknown message",
}

func (in input) String() string { return inputNames[in] }

// messageInput classifies a handshake message.
func messageInput(t wire.HandshakeType, body []byte) input {
	switch t {
	case wire.TypeClientHello:
		return inputClientHello
	case wire.TypeServerHello:
		if wire.IsHelloRetryRequest(body) {
			return inputHelloRetryRequest
		}
		return inputServerHello
	case wire.TypeEncryptedExtensions:
		return inputEncryptedExtensions
	case wire.TypeCertificateRequest:
		return inputCertificateRequest
	case wire.TypeCertificate:
		return inputCertificate
	case wire.TypeCertificateVerify:
		return inputCertificateVerify
	case wire.TypeFinished:
		return inputFinished
	case wire.TypeNewSessionTicket:
		return inputNewSessionTicket
	case wire.TypeKeyUpdate:
		return inputKeyUpdate
	case wire.TypeEndOfEarlyData:
		return inputEndOfEarlyData
	case wire.TypeHelloRequest:
		return inputHelloRequest
	case wire.TypeServerKeyExchange:
		return inputServerKeyExchange
	case wire.TypeServerHelloDone:
		return inputServerHelloDone
	case wire.TypeClientKeyExchange:
		return inputClientKeyExchange
	case wire.TypeCertificateStatus:
		return inputCertificateStatus
	}
	return inputUnknownMessage
}

// stateSet is a set of states.
type stateSet uint64

func oneOf(states ...State) stateSet {
	var set stateSet
	for _, s := range states {
		set |= 1 << s
	}
	return set
}

func (set stateSet) has(s State) bool { return set&(1<<s) != 0 }

// A rule says that a state accepts one input, how, and where that may lead. The
// handler gets the whole message, header included, or the content of the record,
// and returns the next state; it never sets the state itself.
type rule struct {
	on input
	do func(*Machine, []byte) (State, error)
	to stateSet
}

// ruleTable has the rules of one role in one version of TLS.
type ruleTable [numStates][]rule

// find returns the rule for in, or nil.
func (t *ruleTable) find(s State, in input) *rule {
	rules := t[s]
	for i := range rules {
		if rules[i].on == in {
			return &rules[i]
		}
	}
	return nil
}

// ruleSet names a table of rules: one per role and version, and one per role until
// the version is known.
type ruleSet uint8

const (
	rulesClientHello ruleSet = iota
	rulesClient13
	rulesClient12
	rulesServerHello
	rulesServer13
	rulesServer12
	numRuleSets
)

// ruleTables are the tables. Handlers name them, since they cannot refer to what
// refers to them.
var ruleTables = [numRuleSets]*ruleTable{
	rulesClientHello: &clientHelloRules,
	rulesClient13:    &clientRules13,
	rulesClient12:    &clientRules12,
	rulesServerHello: &serverHelloRules,
	rulesServer13:    &serverRules13,
	rulesServer12:    &serverRules12,
}

// find returns the rule that the state has for an input, or nil.
func (m *Machine) find(in input) *rule { return ruleTables[m.rules].find(m.state, in) }

// step gives one input to the rule that the state has for it. It is the only
// writer of the state in the handshake but for fail, which it ends in when there
// is no rule or the rule is broken; the ends of a connection (close_notify, the
// end of the transport, Release) are the same in every state and need no rule.
//
// A rule may lead to the state of a task. The task is done at once, unless the
// application has it lifted out, and its result is the next input.
func (m *Machine) step(in input, msg []byte) {
	for m.apply(in, msg) && m.state.task() {
		if m.lifted(m.task.kind) {
			m.push(EventTask)
			return
		}
		m.runTask()
		in, msg = inputTask, nil
	}
}

// apply is one step by one rule. It reports whether the connection goes on.
func (m *Machine) apply(in input, msg []byte) bool {
	r := m.find(in)
	if r == nil {
		m.fail(unexpected(in))
		return false
	}
	m.busy = true
	next, err := r.do(m, msg)
	m.busy = false
	if err == nil {
		err = m.tracePanic()
	}
	if err != nil {
		m.fail(err)
		return false
	}
	if !r.to.has(next) {
		panic("tlscore: transition not in the table: " + m.state.String() + " to " + next.String())
	}
	m.state = next
	if (m.client != nil || m.server != nil) && !next.task() { // what it will add belongs to the same flight
		m.flush()
	}
	return true
}

// unexpected is the error for an input that has no rule.
//
//	"A peer which receives a handshake message in an unexpected order
//	MUST abort the handshake with an "unexpected_message" alert."
//
// https://www.rfc-editor.org/rfc/rfc8446#section-4
func unexpected(in input) error {
	if in == inputChangeCipherSpec || in == inputApplicationData {
		return violationf(ReasonUnexpectedRecord, "%s", in)
	}
	return violationf(ReasonUnexpectedMessage, "%s", in)
}
