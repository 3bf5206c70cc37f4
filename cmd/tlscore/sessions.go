package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// sessionFile is a SessionCache in a file, for one process at a time. The file is
// written anew with every change.
type sessionFile struct {
	path string

	mu      sync.Mutex
	kept    []keptSession // the newest last
	written error         // what went wrong with the file
}

// A keptSession is one line of the file, in JSON.
type keptSession struct {
	Key     string
	Session []byte
}

// maxKept bounds the sessions in a file.
const maxKept = 64

// openSessions reads a file, if there is one. Without a path it returns nil.
func openSessions(path string) (*sessionFile, error) {
	if path == "" {
		return nil, nil
	}
	f := &sessionFile{path: path}
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read -sessions: %w", err)
	}
	for line := range bytes.Lines(text) {
		var s keptSession
		if err := json.Unmarshal(line, &s); err != nil {
			return nil, fmt.Errorf("-sessions %s is no file of sessions: %w", path, err)
		}
		f.kept = append(f.kept, s)
	}
	return f, nil
}

// Put implements tlscore.SessionCache.
func (f *sessionFile) Put(key string, session []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kept = append(f.kept, keptSession{key, session})
	f.kept = f.kept[max(0, len(f.kept)-maxKept):]
	f.write()
}

// Take implements tlscore.SessionCache.
func (f *sessionFile) Take(key string) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := len(f.kept) - 1; i >= 0; i-- {
		if f.kept[i].Key != key {
			continue
		}
		session := f.kept[i].Session
		f.kept = append(f.kept[:i:i], f.kept[i+1:]...)
		f.write()
		return session
	}
	return nil
}

// write replaces the file. A session that was taken must not be there any more.
func (f *sessionFile) write() {
	var text bytes.Buffer
	out := json.NewEncoder(&text)
	for _, s := range f.kept {
		out.Encode(s) // a string and bytes: it cannot fail
	}
	f.written = errors.Join(f.written, replaceFile(f.path, text.Bytes()))
}

// replaceFile writes a file that only its owner can read, whole or not at all.
func replaceFile(path string, content []byte) error {
	temp, err := os.CreateTemp(filepath.Dir(path), ".tlscore-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name()) // it has another name by then
	_, err = temp.Write(content)
	if err := errors.Join(err, temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), path)
}

// err says what went wrong with the file.
func (f *sessionFile) err() error {
	if f == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.written != nil {
		return fmt.Errorf("cannot write -sessions: %w", f.written)
	}
	return nil
}
