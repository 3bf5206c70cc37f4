package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSessionFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sessions")
	open := func() *sessionFile { return must(openSessions(path)) }
	f := open()
	if f.Take("a") != nil {
		t.Error("an empty file has a session")
	}
	f.Put("a", []byte("first"))
	f.Put("a", []byte("second"))
	f.Put("b", []byte("other"))
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	// Another process: the newest first, and each once.
	for _, want := range []string{"second", "first", ""} {
		if got := open().Take("a"); string(got) != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if got := open().Take("b"); string(got) != "other" {
		t.Errorf("got %q", got)
	}
	if text, _ := os.ReadFile(path); len(text) != 0 {
		t.Errorf("what was taken is still there: %s", text)
	}
	for range 2 * maxKept {
		f.Put("a", []byte("x"))
	}
	if n := len(open().kept); n != maxKept {
		t.Errorf("%d sessions are kept", n)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".tlscore-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestSessionFileFails(t *testing.T) {
	var none *sessionFile
	if none.err() != nil {
		t.Error("no file, but an error")
	}
	dir := t.TempDir()
	f := must(openSessions(filepath.Join(dir, "gone", "sessions")))
	f.Put("a", []byte("x"))
	if err := f.err(); err == nil || !strings.Contains(err.Error(), "cannot write -sessions") {
		t.Error(err)
	}
	if _, err := openSessions(dir); err == nil || !strings.Contains(err.Error(), "cannot read -sessions") {
		t.Error(err)
	}
}
