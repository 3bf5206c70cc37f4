//go:build unix

package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The example itself: a connection under load goes through several processes, and nothing is
// lost.
func TestHandover(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "handover")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := exec.CommandContext(t.Context(), binary, "-generations", "5", "-each", "50ms").CombinedOutput()
	if err != nil || strings.Count(string(out), "handed over") != 5 || !strings.Contains(string(out), "nothing was lost") {
		t.Errorf("%v\n%s", err, out)
	}
}
