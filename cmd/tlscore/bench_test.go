package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"tlscore.example/tlscore/internal/benchkit"
)

// All benchmarks run, and what does not depend on time comes out as promised.
func TestBench(t *testing.T) {
	cmd := exec.Command(binary, "bench", "-quick", "-json")
	var out, progress bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &progress
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, progress.String())
	}
	seen := map[string]benchkit.Result{}
	for lines := bufio.NewScanner(&out); lines.Scan(); {
		var r benchkit.Result
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
		if r.Name == "" || r.Goal > 0 && r.Met == nil {
			t.Errorf("%s", lines.Text())
		}
		seen[r.Name] = r
	}
	for _, name := range []string{
		"record of 16 KiB", "record of 100 B, in place", "record of 1 KiB, crypto/tls",
		"full handshake, client", "resumed handshake, server", "sleeping and waking",
		"idle connection after 100 B", "idle connection after 16384 B", "full handshakes, both sides, 1 goroutines",
		"sending, user time, drive/netconn", "echo of 100 B, drive/netconn beyond plain TCP",
	} {
		if _, ok := seen[name]; !ok {
			t.Errorf("%q is not measured", name)
		}
	}
	for _, name := range []string{
		"allocations of a record", "allocations of a full handshake, client", "bytes of a full handshake, client",
		"calls of write, 64 KiB each, drive/netconn", "calls of write, 128 KiB each, drive/netconn",
	} {
		if r := seen[name]; r.Met == nil || !*r.Met {
			t.Errorf("%s: %+v", name, r)
		}
	}
	for _, m := range benchmarks {
		if !strings.Contains(progress.String(), "measuring "+m.Name) {
			t.Errorf("no word of %s", m.Name)
		}
	}
}

// A table for people has bars and goals; -list has the names.
func TestBenchTable(t *testing.T) {
	out, err := exec.Command(binary, "bench", "-quick", "-run", "^allocations$").Output()
	if err != nil || !strings.Contains(string(out), "█") || !strings.Contains(string(out), "goal 60: met") {
		t.Errorf("%v\n%s", err, out)
	}
	out, err = exec.Command(binary, "bench", "-list").Output()
	if err != nil || !strings.HasPrefix(string(out), "records\nhandshake\n") {
		t.Errorf("%v\n%s", err, out)
	}
	for _, args := range [][]string{{"-run", "nothing of the kind"}, {"-run", "("}, {"-rounds", "0"}, {"surplus"}} {
		out, err := exec.Command(binary, append([]string{"bench"}, args...)...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), `Run "tlscore bench -h" for usage.`) {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
}
