//go:build unix

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"regexp"
	"testing"

	"tlscore.example/tlscore/internal/benchkit"
)

func TestMain(m *testing.M) {
	clients, err := benchkit.RunClients()
	switch {
	case !clients:
		os.Exit(m.Run())
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// All of it runs, and comes out as numbers.
func TestBench(t *testing.T) {
	var out bytes.Buffer
	err := benchkit.Run(benchmarks, benchkit.Options{Rounds: 1, Quick: true, Match: regexp.MustCompile(""), JSON: true}, &out, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for lines := bufio.NewScanner(&out); lines.Scan(); {
		var r benchkit.Result
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
		if math.IsNaN(r.Value) || math.IsInf(r.Value, 0) || r.Unit == "" {
			t.Errorf("%s", lines.Text())
		}
		seen[r.Name] = true
	}
	names := []string{
		"record of 16 KiB, tlscore", "full handshake, both sides, tlscore", "full handshake, both sides, llib over a pipe",
		"sending, user time, drive/netconn", "sending, user time, drive/gnet",
		"echo of 100 B, drive/netconn beyond plain TCP", "echo of 100 B, drive/gnet beyond plain gnet",
		"idle after 16384 B, driver and stacks too, drive/gnet",
	}
	if !raceDetector {
		names = append(names, "sending, user time, nbio and llib", "echo of 100 B, nbio and llib beyond plain nbio")
	}
	for _, name := range names {
		if !seen[name] {
			t.Errorf("%q is not measured", name)
		}
	}
}
