package tlscore

import "fmt"

// EventKind says what an [Event] is about.
type EventKind uint8

// The kinds of events. The first four are stops: they repeat for as long as
// nothing changes, and the loop that calls [Machine.Step] ends there.
const (
	// EventNone is a stop: what was given holds no further whole record. Present
	// what was left again together with what comes next.
	EventNone EventKind = iota
	// EventWait is a stop: the machine waits for an answer of the application
	// (see [Machine.State]) and takes nothing until it has it. Stop reading.
	EventWait
	// EventClosed is a stop: the receiving direction has ended, with the peer's
	// close_notify or, when Truncated is set, without it. Nothing is taken any
	// more, what is left is the caller's. Writing still works.
	EventClosed
	// EventFailed is a stop: the connection has failed, [Machine.Err] says why.
	// Nothing is taken any more; the output still has to be sent, since it ends
	// in the alert, if one is due.
	EventFailed
	// EventClientHello comes from an acceptor only: [Machine.ClientHello] shows
	// what the client wants. Answer with [Machine.Accept] or [Machine.Reject].
	EventClientHello
	// EventTask says that a task was lifted out: [Machine.Task] returns it. The
	// machine waits until [Machine.Done] hands it back.
	EventTask
	// EventWritable says that [Machine.Write] may begin: for a client when the
	// handshake is complete, for a server of TLS 1.3 as soon as it has sent its Finished.
	// What a server writes before EventHandshakeDone goes to a peer that has not
	// yet proved that it took part in this handshake. RFC 8446, Section 4.4.4.
	EventWritable
	// EventHandshakeDone says that the handshake is complete and verified;
	// [Machine.ConnectionState] tells what was negotiated.
	EventHandshakeDone
	// EventData carries application data: one event per non-empty record.
	EventData
	// EventKeyUpdate says that the peer has changed its sending keys. The answer
	// that it may have asked for is in the output, or goes in front of the next
	// application data.
	EventKeyUpdate
	// EventEarlyWritable comes from a client only: it offers early data, and
	// [Machine.WriteEarly] may begin.
	EventEarlyWritable
	// EventEarlyRejected comes from a client only: the server does not take the early
	// data. Data is what was written of it, and can be written again once [EventWritable]
	// has come, if it still makes sense: the application protocol may be another one.
	EventEarlyRejected
	// EventEarlyDataEnd comes from a server only, when it has accepted early data: no more of
	// it follows.
	EventEarlyDataEnd
	// EventSessionTicket comes from a client only: the server has sent a ticket, and the
	// session is in Config.SessionCache.
	EventSessionTicket
	// EventClientCertificate comes from a server only: the client has answered what
	// [Machine.RequestClientCertificate] has asked for. [Machine.ConnectionState] has its
	// certificates now, or none, if it has shown none and need not.
	EventClientCertificate
)

var eventNames = [...]string{
	EventNone:              "None",
	EventWait:              "Wait",
	EventClosed:            "Closed",
	EventFailed:            "Failed",
	EventClientHello:       "ClientHello",
	EventTask:              "Task",
	EventWritable:          "Writable",
	EventHandshakeDone:     "HandshakeDone",
	EventData:              "Data",
	EventKeyUpdate:         "KeyUpdate",
	EventEarlyWritable:     "EarlyWritable",
	EventEarlyRejected:     "EarlyRejected",
	EventEarlyDataEnd:      "EarlyDataEnd",
	EventSessionTicket:     "SessionTicket",
	EventClientCertificate: "ClientCertificate",
}

// String returns the name of the kind without its prefix.
func (k EventKind) String() string {
	if int(k) < len(eventNames) {
		return eventNames[k]
	}
	return fmt.Sprintf("EventKind(%d)", uint8(k))
}

// Event is what [Machine.Step] returns: a flat value, valid by itself but for
// Data.
type Event struct {
	// Kind says which of the other fields count.
	Kind EventKind
	// Queued is set when the machine put bytes into its output since the event
	// before: now is the time to send. It can be set on every kind of event.
	Queued bool
	// Truncated is set on EventClosed when the transport ended without a
	// close_notify: data may be missing. RFC 9846, Section 6.1.
	Truncated bool
	// Early is set on EventData when it is early data: anybody may have recorded it and
	// sent it again, so it must not cause what may happen only once. RFC 8446, Section 8.
	Early bool
	// Data is the application data of EventData. It points into the input that
	// was given to Step, and lives until the next call that takes input, or
	// until [Inbound.Keep] or the transport's discard. Write and AppendSealed do
	// not end its life. That of EventEarlyRejected lives until the next Step, or until
	// the connection fails or is released before it, and is cleared then.
	Data []byte
}

// Stop reports whether the loop that calls [Machine.Step] ends with this event:
// the machine wants more input, or an answer, or has reached an end.
func (e Event) Stop() bool { return e.Kind <= EventFailed }

// Terminal reports whether nothing will be taken any more.
func (e Event) Terminal() bool { return e.Kind == EventClosed || e.Kind == EventFailed }

// String describes the event without its data, for logs.
func (e Event) String() string {
	s := e.Kind.String()
	if e.Early {
		s = "Early" + s
	}
	if e.Kind == EventData || e.Kind == EventEarlyRejected {
		s += fmt.Sprintf("(%d)", len(e.Data))
	}
	if e.Truncated {
		s += " truncated"
	}
	if e.Queued {
		s += " queued"
	}
	return s
}
