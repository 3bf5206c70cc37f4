package main

import (
	"errors"
	"io"
	"os/exec"
	"regexp"
	"sync"
	"testing"
	"time"
)

// process is a program that a test runs.
type process struct {
	cmd            *exec.Cmd
	stdin          io.WriteCloser
	stdout, stderr buffer
	wait           func() error // waits for its end, not for ever
}

// start starts a program. It is killed at the end of the test at the latest.
func start(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{cmd: cmd}
	cmd.Stdout, cmd.Stderr = &p.stdout, &p.stderr
	var err error
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	p.wait = sync.OnceValue(func() error {
		select {
		case err := <-ended:
			return err
		case <-time.After(patience):
			cmd.Process.Kill()
			<-ended
			return errors.New("the program does not end by itself")
		}
	})
	t.Cleanup(func() {
		cmd.Process.Kill()
		p.wait()
	})
	return p
}

// startServe starts the server as a process, which has as much patience as the tests.
func startServe(t *testing.T, args ...string) *process {
	t.Helper()
	always := []string{"serve", "-v", "-addr", "127.0.0.1:0", "-handshake-timeout", patience.String()}
	return start(t, exec.Command(binary, append(always, args...)...))
}

// expect waits until the program has printed what the pattern describes, on
// either stream, and returns the first group.
func (p *process) expect(t *testing.T, pattern string) string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		for _, text := range []string{p.stdout.String(), p.stderr.String()} {
			if m := re.FindStringSubmatch(text); m != nil {
				return m[len(m)-1]
			}
		}
	}
	t.Fatalf("%s did not print %q\nstdout: %s\nstderr: %s", p.cmd, pattern, p.stdout.String(), p.stderr.String())
	return ""
}

// listening returns the address that a server prints.
func (p *process) listening(t *testing.T) string {
	t.Helper()
	return p.expect(t, `listening on (\S+),`)
}

// output reads what a program prints to its standard output, as it comes.
func (p *process) output() io.Reader { return &tail{p: p} }

type tail struct {
	p  *process
	at int
}

func (r *tail) Read(b []byte) (int, error) {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if text := r.p.stdout.String(); len(text) > r.at {
			n := copy(b, text[r.at:])
			r.at += n
			return n, nil
		}
	}
	return 0, errors.New("nothing comes")
}
