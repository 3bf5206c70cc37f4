// Package drivertest is what all drivers are tested with: servers that refuse, clients
// that have to learn why ([Refusals]); thousands of clients in a process of their own that
// stall, trickle, half-close, reset and pipeline ([Echo]); and real HTTP clients
// ([HTTPClients]).
//
// How much of it is done is up to the environment: see [Scale].
package drivertest

import (
	"crypto/tls"
	"flag"
	"os"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"tlscore.example/tlscore"
	"tlscore.example/tlscore/internal/tlstest"
)

// Patience bounds what has to come. It is long: a machine may be busy with other things,
// and only what hangs waits for so long.
const Patience = time.Minute

// The names that clients ask for; any other is refused with unrecognized_name.
const (
	Name       = "localhost"   // is served
	MutualName = "mutual.test" // is served to clients with a certificate
)

// Choose chooses the config for a client by the name that it asks for: it is a
// drive.ChooseConfig. What it chooses speaks TLS 1.3 only.
func Choose(hello *tlscore.ClientHello) (*tlscore.Config, error) {
	switch hello.ServerName {
	case Name:
		return served, nil
	case MutualName:
		return mutual, nil
	}
	return nil, tls.AlertError(tlscore.AlertUnrecognizedName)
}

var (
	served = &tlscore.Config{
		Certificates:           []tls.Certificate{tlstest.Certificate(tlstest.Leaf{})},
		MinVersion:             tls.VersionTLS13,
		Time:                   tlstest.Clock,
		SessionTicketsDisabled: true,
	}
	mutual = func() *tlscore.Config {
		c := served.Clone()
		c.Certificates = []tls.Certificate{tlstest.Certificate(tlstest.Leaf{Names: []string{MutualName}})}
		c.ClientAuth = tls.RequireAndVerifyClientCert
		c.ClientCAs = tlstest.Roots()
		return c
	}()
)

// ServerConfig is the config of a server for [Name].
func ServerConfig() *tlscore.Config { return served.Clone() }

// ClientConfig is the config of a client that asks for a name.
func ClientConfig(name string) *tlscore.Config {
	return &tlscore.Config{ServerName: name, RootCAs: tlstest.Roots(), Time: tlstest.Clock}
}

// StdClientConfig is ClientConfig for crypto/tls.
func StdClientConfig(name string) *tls.Config {
	return &tls.Config{ServerName: name, RootCAs: tlstest.Roots(), Time: tlstest.Clock}
}

// Size is how much is done.
type Size struct {
	Refusals    int           // refused handshakes
	Connections int           // at the same time
	Duration    time.Duration // of their exchange
}

// Scale returns how much is to be done: enough to see that it works, or what is promised
// of a driver, with TLSCORE_DRIVERS=full in the environment.
func Scale() Size {
	switch {
	case os.Getenv("TLSCORE_DRIVERS") == "full":
		return Size{Refusals: 10_000, Connections: 10_000, Duration: time.Minute}
	case raceEnabled:
		return Size{Refusals: 160, Connections: 60, Duration: time.Second}
	}
	return Size{Refusals: 800, Connections: 300, Duration: 2 * time.Second}
}

// Main runs the tests, or, in the process that [Echo] starts, the clients. Afterwards no
// more goroutines may be left than there were before.
func Main(m *testing.M) {
	flag.Parse()
	if os.Getenv(clientEnv) != "" {
		os.Exit(runClients())
	}
	before := runtime.NumGoroutine()
	code := m.Run()
	if code == 0 && !Settles(func() bool { return runtime.NumGoroutine() <= before }) {
		stacks := make([]byte, 1<<16)
		os.Stderr.Write(stacks[:runtime.Stack(stacks, true)])
		code = 1
	}
	os.Exit(code)
}

// Settles waits until something holds, but not for ever, and reports whether it does.
func Settles(holds func() bool) bool {
	for end := time.Now().Add(Patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if holds() {
			return true
		}
	}
	return false
}

// Heap returns the bytes of the heap that are in use, what can be collected left out.
func Heap() int64 {
	debug.FreeOSMemory() // collects, twice for what pools hold
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// SettlesAt waits until the heap is back at about what it was, with so many bytes of slack.
func SettlesAt(t testing.TB, before, slack int64) {
	t.Helper()
	var now int64
	if !Settles(func() bool { now = Heap(); return now <= before+slack }) {
		t.Errorf("%d bytes of heap in use, %d more than before", now, now-before)
	}
}
