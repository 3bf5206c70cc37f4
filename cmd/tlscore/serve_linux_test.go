package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Without file descriptors the server neither ends nor spins, and when there are
// some again it goes on.
func TestServeWithoutDescriptors(t *testing.T) {
	p := start(t, exec.Command("sh", "-c", `ulimit -n 20; exec "$0" serve -addr 127.0.0.1:0`, binary))
	addr := p.listening(t)
	var conns []net.Conn
	for range 40 {
		conns = append(conns, dial(t, addr))
	}
	p.expect(t, "cannot accept")
	before := cpuTime(t, p.cmd.Process.Pid)
	time.Sleep(500 * time.Millisecond)
	if used := cpuTime(t, p.cmd.Process.Pid) - before; used > 200*time.Millisecond {
		t.Errorf("the server spins: %s of CPU in half a second", used)
	}
	if n := strings.Count(p.stderr.String(), "cannot accept"); n != 1 {
		t.Errorf("told %d times that there are no descriptors:\n%s", n, p.stderr.String())
	}
	for _, conn := range conns {
		conn.Close()
	}
	conn := tls.Client(dial(t, addr), &tls.Config{InsecureSkipVerify: true})
	exchange(t, conn, bufio.NewReader(conn), getPage)
}

// cpuTime returns the time that a process has used.
func cpuTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	field := strings.Fields(rest) // the third field is the first here
	user, _ := strconv.Atoi(field[11])
	system, _ := strconv.Atoi(field[12])
	return time.Duration(user+system) * 10 * time.Millisecond // ticks of 1/100 s
}

// A client that takes all answers, but asks faster than it gets them, does not fill the
// memory: what was read is worked off before more is read.
func TestServePipelining(t *testing.T) {
	const requests, length = 3000, 70000
	request := "GET /bytes/70000 HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 15000) + "\r\n\r\n"
	p := startServe(t)
	conn := connectTLS(t, p.listening(t))
	r := bufio.NewReader(conn)
	exchange(t, conn, r, request)
	before := peakMemory(t, p.cmd.Process.Pid)
	go func() {
		for range requests { // each in a record of its own
			io.WriteString(conn, request)
		}
	}()
	for i := range requests {
		if _, body := response(t, r); len(body) != length {
			t.Fatalf("answer %d has %d bytes", i, len(body))
		}
	}
	if more := peakMemory(t, p.cmd.Process.Pid) - before; more > 16<<20 {
		t.Errorf("the server took %d KiB of memory", more>>10)
	}
}

// peakMemory returns the most bytes of memory that a process has had.
func peakMemory(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}

// A peer that is killed, and the server that is told to end.
func TestServeProcess(t *testing.T) {
	p := startServe(t)
	addr := p.listening(t)
	client := exec.Command(binary, "connect", "-insecure", addr)
	stdin, _ := client.StdinPipe()
	stdout, _ := client.StdoutPipe()
	if err := client.Start(); err != nil {
		t.Fatal(err)
	}
	io.WriteString(stdin, "GET /bytes/500000000 HTTP/1.0\r\n\r\n")
	io.ReadFull(stdout, make([]byte, 100000))
	client.Process.Kill()
	client.Wait()
	conn := tls.Client(dial(t, addr), &tls.Config{InsecureSkipVerify: true})
	exchange(t, conn, bufio.NewReader(conn), getPage)
	p.cmd.Process.Signal(syscall.SIGTERM)
	if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("at the end of the server: %v", err)
	}
	conn.Close()
	if err := p.wait(); err != nil {
		t.Errorf("the server ended with %v:\n%s", err, p.stderr.String())
	}
}
