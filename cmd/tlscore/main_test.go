package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the expected pictures in testdata")

// binary is the command, built once for the tests that run it as a process.
var binary string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "tlscore")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "tlscore")
	if runtime.GOOS == "windows" {
		binary += ".exe"
	}
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// runCommand runs a command in this process.
func runCommand(stdin string, args ...string) (code int, stdout, stderr string) {
	var out, errs buffer
	code = run(args, stdio{strings.NewReader(stdin), &out, &errs})
	return code, out.String(), errs.String()
}

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args string
		code int
		out  string // in stdout if the code is 0, else in stderr
	}{
		{"", 2, "usage: tlscore <command>"},
		{"-h", 0, "usage: tlscore <command>"},
		{"help", 0, "usage: tlscore <command>"},
		{"frobnicate", 2, `there is no command "frobnicate"`},
		{"version", 0, "tlscore "},
		{"--version", 0, "tlscore "},
		{"version now", 2, `unexpected argument "now"`},
		{"serve -h", 0, "-acceptor"},
		{"connect -h", 0, "host:port"},
		{"trace -h", 0, "-scenario"},
		{"serve -frobnicate", 2, "-frobnicate"},
		{"serve extra", 2, `unexpected argument "extra"`},
		{"serve -min 1.3 -max 1.2", 2, "MinVersion is above MaxVersion"},
		{"serve -min 1.0", 2, "never will be"},
		{"serve -max ssl", 2, "no TLS version"},
		{"serve -cert x", 2, "-key is not"},
		{"serve -key x", 2, "-cert is not"},
		{"serve -cert /nonexistent -key /nonexistent", 1, "cannot use -cert and -key"},
		{"serve -alpn a,,b", 2, "protocol of 0 bytes"},
		{"serve -idle-timeout 0s", 2, "longer than nothing"},
		{"serve -addr 127.0.0.1:99999", 1, "99999"},
		{"connect", 2, "host:port"},
		{"connect localhost", 2, "is not host:port"},
		{"connect localhost:1 localhost:2", 2, "unexpected argument"},
		{"connect localhost:1 -max 1.2 -min 1.3", 2, "MinVersion is above MaxVersion"},
		{"connect localhost:1 -insecure -ca x", 2, "exclude each other"},
		{"connect localhost:1 -ca /nonexistent", 1, "cannot read -ca"},
		{"connect localhost:1 -servername a..b", 2, "is not a host name"},
		{"connect 127.0.0.1:1 -insecure", 1, "refused"},
		{"serve -ciphers TLS_RSA_WITH_RC4_128_SHA", 2, "is no cipher suite"},
		{"serve -ciphers TLS_AES_128_GCM_SHA256 -max 1.2", 2, "has a cipher suite"},
		{"serve -curves P-256,X448", 2, "there is no \"X448\", but X25519MLKEM768"},
		{"serve -client-auth maybe", 2, "say none, request, require or verify"},
		{"serve -client-auth verify", 2, "needs -client-ca"},
		{"serve -client-ca /nonexistent", 1, "cannot read -client-ca"},
		{"serve -client-ca main.go", 1, "no certificate in PEM"},
		{"serve -ocsp x", 2, "-ocsp needs -cert"},
		{"serve -tickets -1", 2, "not less than none"},
		{"serve -tickets 99", 2, "TicketCount"},
		{"serve -tickets 0 -early-data 1", 2, "-early-data needs tickets"},
		{"serve -early-data 9999999", 2, "at most 1048576"},
		{"serve -record-size-limit 99999", 2, "at most 16385"},
		{"serve -record-size-limit 9", 2, "RecordSizeLimit"},
		{"serve -keylog /nonexistent/log", 1, "cannot write -keylog"},
		{"connect localhost:1 -early-data x", 2, "needs -sessions"},
		{"connect localhost:1 -early-data /nonexistent -sessions /nonexistent/s", 1, "cannot read -early-data"},
		{"connect localhost:1 -sessions main.go", 1, "is no file of sessions"},
		{"connect localhost:1 -cert x", 2, "-key is not"},
		{"connect localhost:1 -record-size-limit 99999", 2, "at most 16385"},
		{"trace -scenario tragedy", 2, `there is no scenario "tragedy"`},
		{"trace -color sometimes", 2, "auto, always or never"},
		{"trace -list", 0, "version-mismatch"},
	} {
		t.Run(c.args, func(t *testing.T) {
			code, stdout, stderr := runCommand("", strings.Fields(c.args)...)
			text := stderr
			if code == 0 {
				text = stdout
			}
			if code != c.code || !strings.Contains(text, c.out) {
				t.Errorf("exit code %d, want %d with %q\nstdout: %s\nstderr: %s", code, c.code, c.out, stdout, stderr)
			}
		})
	}
}
