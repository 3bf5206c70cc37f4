package tlscore

import (
	"errors"
	"fmt"

	"tlscore.example/tlscore/internal/wire"
)

// A failed connection has one error, of one of three types, which say whose
// fault it was: [*ProtocolError] (the peer broke a rule), [*RemoteAlert] (the
// peer told us that it gave up), [*LocalError] (we could not go on).
//
// Misuse of the API is none of these: it returns one of the sentinel errors
// below and changes nothing.

// The errors of misuse. None of them changes the state of the machine.
var (
	// ErrNotReady is returned by Write before EventWritable.
	ErrNotReady = errors.New("tlscore: the handshake does not allow application data yet")
	// ErrWriteClosed is returned by Write after CloseWrite.
	ErrWriteClosed = errors.New("tlscore: the sending direction is closed")
	// ErrNotWaiting is returned by an answer that nobody waits for.
	ErrNotWaiting = errors.New("tlscore: the connection does not wait for this answer")
	// ErrNotConnected is returned by what needs a complete handshake, and a peer
	// that still speaks.
	ErrNotConnected = errors.New("tlscore: the handshake is not complete, or the peer has ended")
	// ErrNoPostHandshakeAuth is returned by RequestClientCertificate when the peer is
	// no client that has offered to authenticate after the handshake.
	ErrNoPostHandshakeAuth = errors.New("tlscore: the peer does not authenticate after the handshake")
	// ErrAuthenticating is returned by RequestClientCertificate while an earlier
	// request is not answered.
	ErrAuthenticating = errors.New("tlscore: the client has a request to answer already")
	// ErrFailed is returned by an answer to a machine that has failed already.
	ErrFailed = errors.New("tlscore: the connection has failed")
	// ErrBusy is returned by an answer that is given from inside a callback. A
	// callback refuses by returning an error.
	ErrBusy = errors.New("tlscore: a callback of the connection is running")
	// ErrVersion is returned by what the version that was agreed on does not have,
	// such as KeyUpdate in TLS 1.2.
	ErrVersion = errors.New("tlscore: the TLS version of the connection does not have this")
	// ErrOutputPending is returned by SealInPlace while there is output, which has to be
	// sent first.
	ErrOutputPending = errors.New("tlscore: the output has to be sent first")
	// ErrNoRoom is returned by SealInPlace when the content is empty or longer than a
	// record, or the memory has no room for the record.
	ErrNoRoom = errors.New("tlscore: no room for a record in place")
	// ErrMoved is returned by a machine whose connection goes on elsewhere.
	ErrMoved = errors.New("tlscore: the connection was moved")
	// ErrReleased is returned by a machine whose memory was handed back.
	ErrReleased = errors.New("tlscore: the connection was released")
	// ErrNoErrorAlert is returned by Reject when the alert is close_notify or
	// user_canceled, which end a connection without failing it.
	ErrNoErrorAlert = errors.New("tlscore: a closure alert cannot reject a connection")
	// ErrNoEarlyData is returned by WriteEarly when early data cannot be written: it was not
	// offered, or the server has decided about it.
	ErrNoEarlyData = errors.New("tlscore: the connection takes no early data")
	// ErrTask is what a task fails with that is handed back without an answer, or
	// with an answer of another kind.
	ErrTask = errors.New("tlscore: the task has no answer")
	// ErrNoTickets is returned by SendTicket when no ticket can be sent: the machine is a
	// client, does not speak TLS 1.3, is not connected, or does not resume; the client cannot
	// use a ticket; or the session it goes back to is too old.
	ErrNoTickets = errors.New("tlscore: the connection has no tickets")
	// ErrNoExporter is returned when there is nothing to export from: before the
	// handshake is complete, or of early data that was not offered or accepted.
	ErrNoExporter = errors.New("tlscore: there is no keying material to export")
	// ErrNoExtendedMasterSecret is returned by the exporter of a TLS 1.2
	// connection without the extended master secret: its keying material is not
	// bound to one connection. RFC 7627, Section 6.2.
	ErrNoExtendedMasterSecret = errors.New("tlscore: no exporter without the extended master secret")
)

// ProtocolError says that the peer broke a rule of the protocol, or that what
// it sent was not acceptable. The connection has failed and the alert of the
// Reason is the last thing in its output, unless close_notify was sent before.
type ProtocolError struct {
	// Reason is the rule.
	Reason Reason
	// State is the state in which the rule was broken.
	State State
	// Detail adds what the text of the Reason does not know, if anything.
	Detail string
	// Header has the five bytes that were judged, when the Reason is
	// [ReasonNotTLS], [ReasonSSLv2] or [ReasonRecordVersion]; otherwise it is zero.
	Header [5]byte
	// Err is the cause, if there is one: an error of crypto/x509, for example.
	Err error
}

// Error implements error.
func (e *ProtocolError) Error() string {
	return describe("peer: ", e.Reason, e.Detail, e.State, e.Err)
}

// Unwrap returns the cause.
func (e *ProtocolError) Unwrap() error { return e.Err }

// NotTLS reports whether the peer does not speak TLS at all, as the first five
// bytes that it sent show. The connection can then be used for something else,
// such as an answer in plain HTTP: nothing was consumed, and the alert in the
// output may be dropped.
func (e *ProtocolError) NotTLS() bool {
	return e.Reason == ReasonNotTLS || e.Reason == ReasonSSLv2 || e.Reason == ReasonRecordVersion
}

// PlainHTTP reports whether the peer speaks HTTP where it should speak TLS, by
// the method that its first five bytes begin with.
func (e *ProtocolError) PlainHTTP() bool {
	if !e.NotTLS() {
		return false
	}
	switch string(e.Header[:]) {
	case "GET /", "GET h", "HEAD ", "POST ", "PUT /", "OPTIO", "DELET", "PATCH", "TRACE", "CONNE":
		return true
	}
	return false
}

// RemoteAlert says that the peer ended the connection with an alert: an error
// alert at any time, or close_notify inside the handshake. No alert is sent in
// return. RFC 9846, Section 6.
type RemoteAlert struct {
	// Alert is the description that the peer sent.
	Alert Alert
	// State is the state in which it was received.
	State State
}

// Error implements error.
func (e *RemoteAlert) Error() string {
	return fmt.Sprintf("tlscore: the peer sent the alert %s (%d) in state %s", e.Alert, uint8(e.Alert), e.State)
}

// LocalError says that this side could not or would not go on. Unless the
// Reason says otherwise, the peer was told so with an alert.
type LocalError struct {
	// Reason is the kind of the failure.
	Reason Reason
	// State is the state in which it happened.
	State State
	// Alert is what the peer was told, if Reason.SendsAlert, and unless
	// close_notify was sent before.
	Alert Alert
	// Detail adds what the text of the Reason does not know, if anything.
	Detail string
	// Err is the cause, if there is one: what a callback returned, for example.
	Err error
}

// Error implements error.
func (e *LocalError) Error() string {
	return describe("local: ", e.Reason, e.Detail, e.State, e.Err)
}

// Unwrap returns the cause.
func (e *LocalError) Unwrap() error { return e.Err }

// AlertError is what a callback returns, as it is or wrapped, to choose the alert
// that the peer is told: AlertCertificateRevoked for a client whose certificate is
// revoked, for example. The connection fails with a [*LocalError] that wraps it.
// A closure alert, close_notify or user_canceled, is no error: the alert is then the
// one that any other error of the callback would have sent. RFC 8446, Section 6.2.
type AlertError struct {
	// Alert is what the peer is told.
	Alert Alert
	// Err is the cause, for this side only; it may be nil.
	Err error
}

// Error implements error.
func (e *AlertError) Error() string {
	if e == nil {
		return "no alert" // a nil pointer that became an error
	}
	if e.Err == nil {
		return e.Alert.String()
	}
	return e.Alert.String() + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *AlertError) Unwrap() error {
	if e == nil {
		return nil
	}
	return e.Err
}

func describe(origin string, r Reason, detail string, s State, cause error) string {
	text := "tlscore: " + origin + r.Text()
	if detail != "" {
		text += ": " + detail
	}
	text += " (in state " + s.String() + ")"
	if cause != nil {
		text += ": " + cause.Error()
	}
	return text
}

// AlertOf returns the alert that err, the error of a failed connection, has
// sent or would send; ok is false when such a failure sends none. When err wraps
// the error of another connection, it is the outer one that counts.
func AlertOf(err error) (a Alert, ok bool) {
	var end interface{ ownAlert() (Alert, bool) }
	if errors.As(err, &end) {
		return end.ownAlert()
	}
	return 0, false
}

func (e *ProtocolError) ownAlert() (Alert, bool) { return e.Reason.Alert(), true }
func (e *RemoteAlert) ownAlert() (Alert, bool)   { return 0, false }
func (e *LocalError) ownAlert() (Alert, bool)    { return e.Alert, e.Reason.SendsAlert() }

// violation is how a handler reports that the peer broke a rule.
func violation(r Reason) error { return &ProtocolError{Reason: r} }

// violationf is violation with a detail.
func violationf(r Reason, format string, args ...any) error {
	return &ProtocolError{Reason: r, Detail: fmt.Sprintf(format, args...)}
}

// failure is how a handler reports that this side cannot go on. The alert is that
// of the reason, unless the cause has chosen one.
func failure(r Reason, cause error) error {
	alert := r.Alert()
	var chosen *AlertError
	if errors.As(cause, &chosen) && chosen != nil && chosen.Alert != AlertCloseNotify && chosen.Alert != AlertUserCanceled {
		alert = chosen.Alert
	}
	return &LocalError{Reason: r, Alert: alert, Err: cause}
}

// malformed says which rule a message broke that the codec refused.
func malformed(err error) error {
	var e *wire.Error
	if !errors.As(err, &e) {
		return violationf(ReasonMalformedMessage, "%v", err)
	}
	detail := e.Message.String()
	if e.HasExtension {
		detail += ", " + e.Extension.String()
	}
	if e.Field != "" {
		detail += ", " + e.Field
	}
	reason := ReasonMalformedMessage
	switch e.Kind {
	case wire.DuplicateExtension:
		reason = ReasonDuplicateExtension
	case wire.MisplacedExtension:
		reason = ReasonMisplacedExtension
	case wire.Inconsistent:
		reason = ReasonBadPreSharedKey
	}
	return violationf(reason, "%s", detail)
}
