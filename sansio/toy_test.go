package sansio_test

import (
	"bytes"
	"errors"
	"fmt"

	"tlscore.example/tlscore/sansio"
)

// The toy protocol. A frame is a length byte, 0 to 63, and so many bytes, in
// which the case of each letter is swapped: that stands for encryption, and is
// undone in place. The client's first frame is a greeting, which the server
// answers, or has its application answer. Then either side sends data frames.
// An empty frame says goodbye. A longer length is an error: the machine queues
// a frame "error: …" that says so, and has failed; so has who gets that.

type toyKind int

const (
	toyNone toyKind = iota
	toyWait
	toyHello // the client's greeting, in Data; an answer is owed if the server asks
	toyReady
	toyData
	toyClosed // goodbye was said
	toyFailed // Data says why
)

var toyKindNames = [...]string{"none", "wait", "hello", "ready", "data", "closed", "failed"}

func (k toyKind) String() string { return toyKindNames[k] }

type toyEvent struct {
	Kind toyKind
	Data []byte // lives until the next Step that is given input
}

func (e toyEvent) Stop() bool     { return e.Kind == toyNone || e.Kind == toyWait || e.Terminal() }
func (e toyEvent) Terminal() bool { return e.Kind == toyClosed || e.Kind == toyFailed }
func (e toyEvent) String() string { return fmt.Sprintf("%s %q", e.Kind, e.Data) }

func describeToy(e toyEvent) string { return e.String() }

type toyState int

const (
	toyStart toyState = iota
	toyGreeting
	toyAsking
	toyAccepted
	toyOpen
	toyEnd
)

type toy struct {
	client bool
	ask    bool // the application answers the greeting
	state  toyState
	eof    bool
	end    toyEvent
	out    []byte
}

func newToyClient() *toy { return &toy{client: true} }
func newToyServer() *toy { return &toy{} }

func (m *toy) Step(in []byte) (toyEvent, int) {
	switch m.state {
	case toyStart:
		m.state = toyGreeting
		if m.client {
			m.send("hello")
		}
		return m.Step(in)
	case toyAsking:
		return toyEvent{Kind: toyWait}, 0
	case toyAccepted:
		m.state = toyOpen
		return toyEvent{Kind: toyReady}, 0
	case toyEnd:
		return m.end, 0
	}
	if len(in) > 0 && in[0] > 63 {
		return m.fail("too long"), 0
	}
	if len(in) == 0 || len(in) < 1+int(in[0]) {
		if m.eof {
			return m.fail("cut off"), 0
		}
		return toyEvent{}, 0
	}
	n := 1 + int(in[0])
	swapCase(in[1:n])
	return m.frame(in[1:n:n]), n
}

func (m *toy) frame(body []byte) toyEvent {
	switch {
	case len(body) == 0:
		return m.finish(toyEvent{Kind: toyClosed})
	case bytes.HasPrefix(body, []byte("error: ")):
		return m.finish(toyEvent{Kind: toyFailed, Data: append([]byte("peer's "), body...)})
	case m.state == toyOpen:
		return toyEvent{Kind: toyData, Data: body}
	case m.client:
		m.state = toyOpen
		return toyEvent{Kind: toyReady, Data: body}
	case m.ask:
		m.state = toyAsking
	default:
		_ = m.Answer(true)
	}
	return toyEvent{Kind: toyHello, Data: body}
}

// Answer accepts or refuses the greeting.
func (m *toy) Answer(yes bool) error {
	if m.state != toyGreeting && m.state != toyAsking {
		return errors.New("toy: nothing was asked")
	}
	if !yes {
		m.fail("refused")
		return nil
	}
	m.send("welcome")
	m.state = toyAccepted
	return nil
}

func (m *toy) fail(why string) toyEvent {
	m.send("error: " + why)
	return m.finish(toyEvent{Kind: toyFailed, Data: []byte(why)})
}

func (m *toy) finish(ev toyEvent) toyEvent {
	m.state, m.end = toyEnd, ev
	return ev
}

// Write queues a data frame, Bye an empty one.
func (m *toy) Write(s string) { m.send(s) }
func (m *toy) Bye()           { m.send("") }

func (m *toy) send(s string) {
	// The queue moves when it grows: what Output returned is never touched.
	m.out = append(m.out, byte(len(s)))
	m.out = append(m.out, s...)
	swapCase(m.out[len(m.out)-len(s):])
}

func (m *toy) EOF()           { m.eof = true }
func (m *toy) Output() []byte { return m.out }
func (m *toy) Sent(k int)     { m.out = m.out[k:] }

func swapCase(b []byte) {
	for i, c := range b {
		if lower := c | 0x20; lower >= 'a' && lower <= 'z' {
			b[i] = c ^ 0x20
		}
	}
}

// wire returns frames as they are on the wire.
func wire(frames ...string) []byte {
	var m toy
	for _, f := range frames {
		m.send(f)
	}
	return m.out
}

var _ sansio.Machine[toyEvent] = (*toy)(nil)
