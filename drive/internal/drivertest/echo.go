package drivertest

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// clientEnv is the variable that makes a test binary the clients of an [Echo]; its value
// is a load.
const clientEnv = "TLSCORE_DRIVERTEST_CLIENTS"

// EchoLoad is what [Echo] does to a server.
type EchoLoad struct {
	Size
	// FIN says that the server goes on writing after a TCP FIN without a close_notify.
	FIN bool
	// AtPeak is called while all connections are there, once. They rest until it returns.
	AtPeak func()
}

// load is what the process of the clients is told.
type load struct {
	Addr        string
	Connections int
	Duration    time.Duration
	FIN         bool
}

// outcome is what it tells.
type outcome struct {
	Handshakes, Messages, Bytes int64
	ByKind                      map[string]int64 // rounds
	Failures                    int64
	Errors                      []string // the first of them
}

// Echo opens connections to an echo server from a process of its own, and has them stall,
// trickle, half-close, reset and pipeline at the same time. It checks that every byte
// comes back, in order. The server goes by [Choose], or has [ServerConfig]; it ends its
// direction when the client has ended the other and all is echoed.
func Echo(t *testing.T, addr string, l EchoLoad) {
	t.Helper()
	told, err := json.Marshal(load{addr, l.Connections, l.Duration, l.FIN})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), l.Duration+5*Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), clientEnv+"="+string(told))
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	begin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var result outcome
	peaked := false
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		switch line := lines.Text(); {
		case line == "peak":
			peaked = true
			if l.AtPeak != nil {
				l.AtPeak()
			}
			begin.Close()
		case strings.HasPrefix(line, "{"):
			if err := json.Unmarshal([]byte(line), &result); err != nil {
				t.Error(err)
			}
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the clients: %v", err)
	}
	if !peaked {
		t.Errorf("the clients never had all of their %d connections", l.Connections)
	}
	for _, text := range result.Errors {
		t.Error(text)
	}
	if result.Failures > 0 || result.Bytes == 0 {
		t.Errorf("%d failures, %d bytes echoed", result.Failures, result.Bytes)
	}
	t.Logf("%d connections at a time, %d in all, %d messages and %d bytes echoed; rounds: %v",
		l.Connections, result.Handshakes, result.Messages, result.Bytes, result.ByKind)
}
