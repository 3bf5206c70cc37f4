// Command bogo is the shim between BoringSSL's test runner, BoGo, and a
// [tlscore.Machine]. The runner starts it once for each test; it connects to the
// runner, speaks TLS in the role that the flags say, and tells with its exit code
// and on stderr how that went.
//
// The runner is not part of this project. bogo_test.go says how it is run.
//
// # How the machine is driven
//
// The input is given to the machine whole, byte by byte, or in pieces of random
// length: which of these, the shim id decides, so that a test always runs in the
// same way, and a full run drives thousands of connections through each. In the
// same way a server is made by NewServer or by NewAcceptor. With -async
// everything that can be lifted out of the machine is.
//
// The runner can pass flags of our own in -shim-extra-flags:
//
//	-tlscore-chunking whole|bytes|random
//	-tlscore-tasks all|none
//
// # Exit codes
//
//	0   the connections went as expected
//	1   they did not, stderr says why
//	89  the test needs a flag, or a value of one, that is not supported
//	90  the machine broke its contract, which fails every test
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"time"

	"tlscore.example/tlscore"
)

const (
	exitFailed      = 1
	exitUnsupported = 89
	exitBroken      = 90
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) (code int) {
	defer func() {
		if r := recover(); r != nil {
			fmt.Fprintf(stderr, "panic: %v\n%s", r, debug.Stack())
			code = exitBroken
		}
	}()
	inv, err := parse(args)
	switch {
	case inv.handshakerQuery:
		fmt.Fprintln(stdout, "No")
		return 0
	case err == nil:
		err = inv.run()
	}
	if err == nil {
		return 0
	}
	fmt.Fprintln(stderr, describe(err))
	switch {
	case errors.Is(err, errUnsupported):
		return exitUnsupported
	case errors.Is(err, errContract):
		return exitBroken
	}
	return exitFailed
}

// run makes the connections, one after the other.
func (inv *invocation) run() error {
	s, err := newSession()
	if err != nil {
		return err
	}
	for i := range inv.initial.resumeCount + 1 {
		o, retry := &inv.initial, (*options)(nil)
		if i > 0 {
			o, retry = &inv.resume, &inv.retry
		}
		if err := connect(o, retry, s, i > 0); err != nil {
			return fmt.Errorf("connection %d: %w", i+1, err)
		}
		s.now = s.now.Add(time.Duration(o.resumptionDelay) * time.Second)
	}
	return nil
}

// describe is what stderr gets of an error: first a token for the runner to look
// for, the name of the reason or the number of the peer's alert, then all of it.
func describe(err error) string {
	var protocol *tlscore.ProtocolError
	var local *tlscore.LocalError
	var alert *tlscore.RemoteAlert
	token := ""
	switch {
	case errors.As(err, &alert):
		token = fmt.Sprintf(":alert %d: ", uint8(alert.Alert))
	case errors.As(err, &protocol):
		token = fmt.Sprintf(":%s: ", protocol.Reason)
	case errors.As(err, &local):
		token = fmt.Sprintf(":%s: ", local.Reason)
	}
	return token + err.Error()
}
