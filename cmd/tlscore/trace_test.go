package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// The pictures are compared with those in testdata; -update rewrites them.
func TestTrace(t *testing.T) {
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			code, got, stderr := runCommand("", "trace", "-scenario", s.name)
			if code != 0 {
				t.Fatalf("exit code %d: %s", code, stderr)
			}
			if _, again, _ := runCommand("", "trace", s.name); again != got {
				t.Error("a second run draws another picture")
			}
			checkScreen(t, got)
			file := filepath.Join("testdata", s.name+".txt")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != strings.ReplaceAll(string(want), "\r\n", "\n") {
				t.Errorf("not the picture in %s (-update rewrites it):\n%s", file, got)
			}
		})
	}
}

// checkScreen checks that a picture fits on one screen.
func checkScreen(t *testing.T, text string) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(lines) > 50 {
		t.Errorf("%d lines", len(lines))
	}
	for _, line := range lines {
		if n := utf8.RuneCountInString(line); n > 100 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

// The founding case: refused directly or through the acceptor, the alert is in
// the output of the failed machine, and arrives.
func TestTraceKeepsTheAlert(t *testing.T) {
	_, got, _ := runCommand("", "trace", "-scenario", "version-mismatch")
	for text, times := range map[string]int{
		"Output() = 15 03 03 00 02 02 46": 2,
		"alert 15 03 03 00 02 02 46":      2,
		"<- alert protocol_version (70)":  2,
	} {
		if n := strings.Count(got, text); n != times {
			t.Errorf("%q is there %d times, want %d", text, n, times)
		}
	}
}

func TestTraceColor(t *testing.T) {
	_, plain, _ := runCommand("", "trace", "-color", "never", "bad-record")
	_, colored, _ := runCommand("", "trace", "-color", "always", "bad-record")
	if strings.Contains(plain, "\x1b") || !strings.Contains(colored, "\x1b[31m") {
		t.Error("-color is not obeyed")
	}
	_, all, _ := runCommand("", "trace", "all")
	for _, s := range scenarios {
		if !strings.Contains(all, s.name+": "+s.about) {
			t.Errorf("all lacks %s", s.name)
		}
	}
}
