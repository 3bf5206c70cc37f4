package tlscore

import (
	"fmt"

	"tlscore.example/tlscore/internal/wire"
)

// State is where a connection stands, in protocol order. The tables in
// client13.go and server13.go say what each state accepts and where it may
// lead; docs/state-machine.md is printed from them. RFC 8446, Appendix A.
type State uint8

// The states. The zero value accepts nothing.
const (
	stateNone State = iota

	// A client's. RFC 8446, Appendix A.1.

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
	// StateWaitServerFinished: the server's signature is verified.
	StateWaitServerFinished

	// A server's. RFC 8446, Appendix A.2.

	// StateWaitClientHello: nothing was received yet.
	StateWaitClientHello
	// StateWaitAccept: an acceptor shows the ClientHello and waits for Accept.
	StateWaitAccept
	// StateWaitClientHelloRetry: HelloRetryRequest was sent.
	StateWaitClientHelloRetry
	// StateWaitClientFinished: the server's flight was sent, its Finished last.
	StateWaitClientFinished

	// Of both.

	// StateConnected: the handshake is complete.
	StateConnected
	// StateClosed: the receiving direction has ended.
	StateClosed
	// StateFailed: the connection has failed. Err says why, and the output ends
	// in the alert that says so to the peer, if one is due.
	StateFailed
	// StateReleased: the memory of the connection was handed back.
	StateReleased

	numStates
)

var stateNames = [numStates]string{
	stateNone:                     "None",
	StateClientStart:              "ClientStart",
	StateWaitServerHello:          "WaitServerHello",
	StateWaitServerHelloRetry:     "WaitServerHelloRetry",
	StateWaitEncryptedExtensions:  "WaitEncryptedExtensions",
	StateWaitCertificateOrRequest: "WaitCertificateOrRequest",
	StateWaitCertificate:          "WaitCertificate",
	StateWaitCertificateVerify:    "WaitCertificateVerify",
	StateWaitServerFinished:       "WaitServerFinished",
	StateWaitClientHello:          "WaitClientHello",
	StateWaitAccept:               "WaitAccept",
	StateWaitClientHelloRetry:     "WaitClientHelloRetry",
	StateWaitClientFinished:       "WaitClientFinished",
	StateConnected:                "Connected",
	StateClosed:                   "Closed",
	StateFailed:                   "Failed",
	StateReleased:                 "Released",
}

// String returns the name of the constant without its prefix.
func (s State) String() string {
	if s < numStates {
		return stateNames[s]
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}

// live reports whether the connection has neither failed nor been released.
func (s State) live() bool { return s != stateNone && s < StateFailed }

// handshaking reports whether the handshake is not complete.
func (s State) handshaking() bool { return s > stateNone && s < StateConnected }

// waiting reports whether s waits for an answer of the application.
func (s State) waiting() bool { return s == StateWaitAccept }

// versionUnknown reports whether s comes before the TLS version is agreed on.
func (s State) versionUnknown() bool {
	return s == StateWaitServerHello || s == StateWaitClientHello
}

// input is what a rule is about: a handshake message, another record, or an
// answer of the application. A HelloRetryRequest is an input of its own, though
// on the wire it is a ServerHello, so that the table can tell where it may come.
type input uint8

const (
	inputNone input = iota
	inputStart
	inputAccept
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
	inputUnknownMessage
	numInputs
)

var inputNames = [numInputs]string{
	inputNone:                "None",
	inputStart:               "start",
	inputAccept:              "Accept",
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
	}
	return inputUnknownMessage
}

// stateSet is a set of states.
type stateSet uint32

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

// step gives one input to the rule that the state has for it. It is the only
// writer of the state in the handshake but for fail, which it ends in when there
// is no rule or the rule is broken; the ends of a connection (close_notify, the
// end of the transport, Release) are the same in every state and need no rule.
func (m *Machine) step(in input, msg []byte) {
	r := m.rules.find(m.state, in)
	if r == nil {
		m.fail(unexpected(in))
		return
	}
	m.busy = true
	next, err := r.do(m, msg)
	m.busy = false
	if err == nil {
		err = m.tracePanic()
	}
	if err != nil {
		m.fail(err)
		return
	}
	if !r.to.has(next) {
		panic("tlscore: transition not in the table: " + m.state.String() + " to " + next.String())
	}
	m.state = next
	m.flush()
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
