// Package sansio is the contract of a protocol machine without I/O, and what
// drives such a machine without I/O: a [Pump] that feeds one machine, a [Pair]
// that lets two of them talk over a simulated wire of two [Link] values, and
// [Check], which tests a machine against the contract.
//
// Nothing here knows a protocol. A machine is anything that turns the bytes
// that arrived into events and bytes to send, under these rules. A [Violation]
// names the rule that was broken by its number.
//
//  1. Step is a pull. Step(in) takes the first n bytes of in, 0 ≤ n ≤ len(in),
//     and returns one event. It is called until the event says Stop, also with
//     no input: Step(nil) is allowed at any time, starts a machine that speaks
//     first, and fetches what an answer of the application caused. An event
//     that is Terminal says Stop too.
//  2. A machine takes whole units of its protocol and never keeps a partial
//     one. What Step left is presented again, in front of what came since. How
//     the input was cut, and when the output was fetched, changes neither the
//     events nor the output.
//  3. A stop repeats. Step again with what was left gives the same stop, takes
//     nothing and adds no output, until there is more input, an answer, or EOF.
//     A stop may have taken units that are worth no event.
//  4. A terminal stop repeats whatever Step is given. Nothing is taken any more,
//     and what was left is the caller's. The output still has to be sent: the
//     last word of a failed machine is in it.
//  5. The input is the caller's. During Step the machine may change the bytes
//     that it takes (decrypt in place), and no others. After Step it neither
//     reads nor writes any of them: the event alone may point to them.
//  6. What an event points to lives until the next Step that is given input,
//     whether that takes any or not. Step(nil), EOF, Output, Sent and answers
//     do not end it.
//  7. The output is a queue. What Output returned stays unchanged, in place,
//     until Sent, whatever else is called. Sent(k), 0 ≤ k ≤ len(Output()),
//     removes the first k bytes. All else only adds behind the last.
//  8. EOF says that nothing follows what Step is still to be given. It takes
//     effect when a partial unit or nothing is left, so it may come before the
//     last units are presented; the next Step, or Step(nil), finds the end.
//     From then on a stop is terminal, unless an answer is owed. A second EOF
//     changes nothing.
//  9. Work is bounded by the input. A machine that takes nothing comes to a
//     stop: it returns at most one event for each byte that it took before,
//     and [Slack] more.
//
// A machine is not asked to be safe for concurrent use, and the types of this
// package are not. Nothing here starts a goroutine, sleeps, or reads a clock;
// all randomness comes from seeds, so every run can be repeated.
package sansio

import "fmt"

// An Event is what Step returns: a value that says, besides what its protocol
// needs, whether to go on.
type Event interface {
	// Stop reports that Step has nothing more to say for now: the machine wants
	// more input or an answer of the application, or it is at its end.
	Stop() bool
	// Terminal reports the end: no input will ever be taken again. It implies
	// Stop.
	Terminal() bool
}

// A Machine is a protocol without I/O. The package documentation has the rules
// of its methods.
type Machine[E Event] interface {
	// Step takes n bytes from the front of in and returns the next event.
	Step(in []byte) (ev E, n int)
	// EOF says that nothing follows what Step is still to be given.
	EOF()
	// Output returns the bytes that wait to be sent, oldest first. They stay as
	// they are until Sent.
	Output() []byte
	// Sent removes the first k bytes of the output.
	Sent(k int)
}

// Slack is how many events in a row a machine may return, without taking
// input, beyond one for each byte that it took before.
const Slack = 64

// A Violation is the error that says which rule of the contract a machine
// broke. It is always a bug of the machine, whatever its peer sent.
type Violation struct {
	Rule int    // its number in the package documentation
	Text string // what happened
}

func (v *Violation) Error() string {
	return fmt.Sprintf("sansio: rule %d: %s", v.Rule, v.Text)
}

func violation(rule int, format string, args ...any) error {
	return &Violation{Rule: rule, Text: fmt.Sprintf(format, args...)}
}

// The rules that are checked, by their number in the package documentation.
const (
	rulePull     = 1
	ruleUnits    = 2
	ruleRepeat   = 3
	ruleTerminal = 4
	ruleInput    = 5
	ruleOutput   = 7
	ruleEOF      = 8
	ruleWork     = 9
)

// checkStep checks what can be seen of a single call: the event and n.
func checkStep[E Event](ev E, n, given int) error {
	switch {
	case n < 0 || n > given:
		return violation(rulePull, "Step took %d of %d bytes", n, given)
	case ev.Terminal() && !ev.Stop():
		return violation(rulePull, "a terminal event does not say Stop")
	}
	return nil
}

// A budget counts the events that a machine may still return without taking
// input.
type budget int

// budgetMax keeps the sum far from overflow.
const budgetMax = 1 << 24

// refill grants the slack again. It is called when the machine was given
// something new.
func (b *budget) refill() { *b = max(*b, Slack) }

// spend accounts for one Step that took n bytes.
func (b *budget) spend(n int, stop bool) error {
	switch {
	case n > 0:
		*b = budget(min(int(*b)+min(n, budgetMax), budgetMax))
	case !stop:
		*b--
	}
	if *b < 0 {
		return violation(ruleWork, "the machine loops: it returns events without end and takes nothing")
	}
	return nil
}
