package tlstest

import (
	_ "embed"
	"encoding/hex"
	"fmt"
	"strings"
)

//go:embed testdata/rfc8448.txt
var rfc8448 string

// Trace is one of the handshakes that RFC 8448 writes down, with every value in it.
type Trace struct {
	Section int
	Title   string
	Steps   []TraceStep
}

// TraceStep is one step of a trace. Its values may be missing, as Same tells.
type TraceStep struct {
	Client bool   // whose step it is
	Action string // as in "send handshake record"
	Same   bool   // the other side had the same values, and they are not repeated
	Values []TraceValue
}

// TraceValue is one value of a step. Zeros stands for Hash.length bytes of zero.
type TraceValue struct {
	Name  string
	Bytes []byte
	Zeros bool
}

func (s *TraceStep) String() string {
	if s.Client {
		return "client: " + s.Action
	}
	return "server: " + s.Action
}

// Value returns the value of that name, nil when the step has none.
func (s *TraceStep) Value(name string) *TraceValue {
	for i := range s.Values {
		if s.Values[i].Name == name {
			return &s.Values[i]
		}
	}
	return nil
}

// RFC8448 returns the traces of RFC 8448, Sections 3 to 7. The layout of their file is described at its head.
func RFC8448() ([]Trace, error) {
	return parseTraces(rfc8448)
}

func parseTraces(text string) (traces []Trace, err error) {
	for i, line := range strings.Split(text, "\n") {
		body := strings.TrimLeft(line, "\t")
		switch indent := len(line) - len(body); {
		case body == "" || body[0] == '#':
			continue
		case indent == 0 && strings.HasPrefix(body, "section "):
			var t Trace
			t, err = parseSection(body)
			traces = append(traces, t)
		case len(traces) == 0:
			err = fmt.Errorf("line before the first section")
		default:
			err = traces[len(traces)-1].parse(indent, body)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
	}
	return traces, nil
}

func parseSection(line string) (t Trace, err error) {
	number, title, _ := strings.Cut(strings.TrimPrefix(line, "section "), ": ")
	t.Title = title
	_, err = fmt.Sscan(number, &t.Section)
	return t, err
}

func (t *Trace) parse(indent int, body string) error {
	if indent == 0 {
		who, action, ok := strings.Cut(body, ": ")
		if !ok || who != "client" && who != "server" {
			return fmt.Errorf("not a step: %q", body)
		}
		action, same := strings.CutSuffix(action, ", same")
		t.Steps = append(t.Steps, TraceStep{Client: who == "client", Action: action, Same: same})
		return nil
	}
	if len(t.Steps) == 0 {
		return fmt.Errorf("value before the first step")
	}
	step := &t.Steps[len(t.Steps)-1]
	if indent == 1 {
		name, bytes, ok := strings.Cut(body, ":")
		if !ok || step.Value(name) != nil {
			return fmt.Errorf("not a new value: %q", body)
		}
		step.Values = append(step.Values, TraceValue{Name: name})
		body = strings.TrimSpace(bytes)
	}
	if len(step.Values) == 0 {
		return fmt.Errorf("bytes without a name")
	}
	value := &step.Values[len(step.Values)-1]
	switch body {
	case "(zeros)":
		value.Zeros = true
		return nil
	case "(empty)":
		return nil
	}
	more, err := hex.DecodeString(body)
	value.Bytes = append(value.Bytes, more...)
	return err
}
