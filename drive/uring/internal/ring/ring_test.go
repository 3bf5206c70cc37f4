//go:build linux

package ring

import (
	"bytes"
	"errors"
	"net"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// start makes a ring, or skips the test where there is none.
func start(t *testing.T, entries, completions uint32) *Ring {
	t.Helper()
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	r, err := New(entries, completions)
	if errors.Is(err, ErrUnavailable) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// await waits for the next completion.
func await(t *testing.T, r *Ring) Completion {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		if c, ok := r.Next(); ok {
			return c
		}
		if err := r.Submit(100 * time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("no completion")
	return Completion{}
}

// More operations than the submission ring has room for, and more completions than the
// completion ring has: none is lost.
func TestOverflow(t *testing.T) {
	r := start(t, 4, 8)
	const n = 100
	for i := range n {
		if err := r.Nop(uint64(i)); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[uint64]bool{}
	for range n {
		c := await(t, r)
		if c.Res != 0 || c.More || c.Buffer != -1 || seen[c.UserData] || c.Err() != nil {
			t.Fatalf("%+v", c)
		}
		seen[c.UserData] = true
	}
	if c, ok := r.Next(); ok {
		t.Fatalf("another completion: %+v", c)
	}
	if err := r.Submit(0); err != nil {
		t.Fatal(err)
	}
	if err := r.Submit(time.Millisecond); err != nil { // which nothing ends but the time
		t.Fatal(err)
	}
}

func pair(t *testing.T) (fds [2]int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	return fds
}

// Buffers are filled in multishot, run out, are given back, and are filled again.
func TestBuffers(t *testing.T) {
	r := start(t, 8, 64)
	if _, err := r.NewBuffers(0, 3, 16); err == nil {
		t.Error("three buffers")
	}
	b, err := r.NewBuffers(7, 4, 16)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Free()
	fds := pair(t)
	defer unix.Close(fds[1])
	text := bytes.Repeat([]byte("0123456789abcdef"), 6)
	if _, err := unix.Write(fds[1], text); err != nil {
		t.Fatal(err)
	}
	var got []byte
	var filled []int
	for len(got) < len(text) {
		if err := r.Recv(fds[0], 1, b); err != nil {
			t.Fatal(err)
		}
		for c := await(t, r); ; c = await(t, r) {
			if c.Res > 0 {
				got = append(got, b.Bytes(c.Buffer, int(c.Res))...)
				filled = append(filled, c.Buffer)
			}
			if c.More {
				continue
			}
			if c.Err() != unix.ENOBUFS {
				t.Fatalf("%+v, %v", c, c.Err())
			}
			break
		}
		if len(filled) != 4 && len(got) < len(text) {
			t.Fatalf("it ended with %d buffers filled", len(filled))
		}
		for _, i := range filled {
			b.Give(i)
		}
		filled = nil
		if len(got) == len(text) {
			break
		}
		if len(got) == 64 { // what is left fits, so the next time it ends by cancellation
			if err := r.Recv(fds[0], 1, b); err != nil {
				t.Fatal(err)
			}
			for len(got) < len(text) {
				c := await(t, r)
				got = append(got, b.Bytes(c.Buffer, int(c.Res))...)
			}
			if err := r.Cancel(1, 2); err != nil {
				t.Fatal(err)
			}
			results := map[uint64]error{}
			for range 2 {
				c := await(t, r)
				results[c.UserData] = c.Err()
			}
			if results[1] != unix.ECANCELED || results[2] != nil {
				t.Errorf("%v", results)
			}
		}
	}
	if !bytes.Equal(got, text) {
		t.Errorf("%q", got)
	}
	if err := r.CloseFD(fds[0], 3); err != nil {
		t.Fatal(err)
	}
	if c := await(t, r); c.UserData != 3 || c.Err() != nil {
		t.Errorf("%+v", c)
	}
}

// Accept, send and read.
func TestSockets(t *testing.T) {
	r := start(t, 8, 64)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	fd := int(file.Fd())
	unix.SetNonblock(fd, false)
	if err := r.Accept(fd, 1); err != nil {
		t.Fatal(err)
	}
	mem, err := Memory(4096)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(mem)
	for range 3 {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c := await(t, r)
		if c.UserData != 1 || c.Res < 0 || !c.More {
			t.Fatalf("%+v", c)
		}
		fd := int(c.Res)
		n := copy(mem, "hello")
		if err := r.Send(fd, 2, mem[:n]); err != nil {
			t.Fatal(err)
		}
		if c := await(t, r); c.UserData != 2 || c.Res != 5 {
			t.Fatalf("%+v", c)
		}
		got := make([]byte, 5)
		conn.Read(got)
		conn.Write([]byte("world"))
		if err := r.Read(fd, 3, mem[:5]); err != nil {
			t.Fatal(err)
		}
		if c := await(t, r); c.UserData != 3 || c.Res != 5 || string(got) != "hello" || string(mem[:5]) != "world" {
			t.Fatalf("%+v, %q, %q", c, got, mem[:5])
		}
		conn.Close()
		unix.Close(fd)
	}
	if err := r.CancelFD(fd, 4); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		await(t, r)
	}
	if err := r.Send(-1, 5, mem[:1]); err != nil {
		t.Fatal(err)
	}
	if c := await(t, r); c.Err() != unix.EBADF {
		t.Fatalf("%+v", c)
	}
}
