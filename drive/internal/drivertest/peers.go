package drivertest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// need returns the path of a program. Those that are not installed are skipped, but not
// where CI is set: there they must be.
func need(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err == nil {
		return path
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is not installed", program)
	}
	t.Skipf("%s is not installed", program)
	return ""
}

// run runs a program to its end.
func run(t *testing.T, stdin, program string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	return string(out)
}

// Start builds the main package in a directory and runs it until the test ends. It returns
// the address that the program says it listens on, as "listening on ADDRESS".
func Start(t *testing.T, dir string, args ...string) (addr string) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "server")
	run(t, "", "go", "build", "-o", binary, dir)
	cmd := exec.Command(binary, args...)
	out, in := io.Pipe()
	cmd.Stdout, cmd.Stderr = in, in
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	listening := make(chan string, 1)
	var all strings.Builder
	var group sync.WaitGroup
	group.Go(func() {
		said := regexp.MustCompile(`listening on (\S+?),? `)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if all.Len() < 1<<16 {
				all.WriteString(lines.Text() + "\n")
			}
			if m := said.FindStringSubmatch(lines.Text() + " "); m != nil && len(listening) == 0 {
				listening <- m[1]
			}
		}
	})
	exited := make(chan error, 1)
	go func() {
		exited <- cmd.Wait()
		close(exited)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		for range exited { // until it has
		}
		in.Close()
		group.Wait()
		if t.Failed() {
			t.Logf("the server:\n%s", all.String())
		}
	})
	select {
	case addr = <-listening:
	case err := <-exited:
		in.Close()
		group.Wait()
		t.Fatalf("the server ended: %v\n%s", err, all.String())
	case <-time.After(Patience):
		t.Fatal("the server does not say where it listens")
	}
	return addr
}

// HTTPClients tries real clients with a server of HTTPS whose page says "Hello from
// tlscore" and which answers N bytes at /bytes/N: curl, wrk, h2load, openssl s_client and
// Chromium, with HTTP/2 too if the server speaks it.
func HTTPClients(t *testing.T, addr string, http2 bool) {
	url := "https://" + addr
	const greeting = "Hello from tlscore"
	versions := map[string]string{"--http1.1": "1.1"}
	if http2 {
		versions["--http2"] = "2"
	}
	for flag, version := range versions {
		t.Run("curl"+flag, func(t *testing.T) {
			curl := need(t, "curl")
			page := run(t, "", curl, "-sSk", flag, "-w", "\n%{http_version}", url+"/")
			if !strings.HasPrefix(page, greeting) || !strings.HasSuffix(page, "\n"+version) {
				t.Errorf("%q", page)
			}
			for _, n := range []int{0, 1, 100_000, 20_000_000} {
				size := run(t, "", curl, "-sSk", flag, "-o", os.DevNull, "-w", "%{size_download}", fmt.Sprintf("%s/bytes/%d", url, n))
				if size != fmt.Sprint(n) {
					t.Errorf("%s bytes, expected %d", size, n)
				}
			}
			// A connection is used again.
			count := run(t, "", curl, "-sSk", flag, "-o", os.DevNull, "-o", os.DevNull, "-w", "%{num_connects}", url+"/", url+"/bytes/10")
			if count != "10" {
				t.Errorf("connections for two requests: %s", count)
			}
		})
	}
	t.Run("wrk", func(t *testing.T) {
		out := run(t, "", need(t, "wrk"), "-t1", "-c50", "-d1s", url+"/bytes/1000")
		if !regexp.MustCompile(`\d+ requests in `).MatchString(out) || strings.Contains(out, "Socket errors") || strings.Contains(out, "Non-2xx") {
			t.Error(out)
		}
		t.Log(regexp.MustCompile(`Requests/sec: +\S+`).FindString(out))
	})
	for _, h1 := range []bool{true, false} {
		if !h1 && !http2 {
			continue
		}
		t.Run(fmt.Sprintf("h2load/h1=%v", h1), func(t *testing.T) {
			args := []string{"-n2000", "-c20", "-m10", url + "/bytes/1000"}
			if h1 {
				args = append([]string{"--h1"}, args...)
			}
			out := run(t, "", need(t, "h2load"), args...)
			if !strings.Contains(out, "2000 succeeded, 0 failed, 0 errored") {
				t.Error(out)
			}
			t.Log(regexp.MustCompile(`[0-9.]+ req/s`).FindString(out))
		})
	}
	t.Run("openssl", func(t *testing.T) {
		out := run(t, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", need(t, "openssl"),
			"s_client", "-connect", addr, "-alpn", "http/1.1", "-ign_eof")
		if !strings.Contains(out, greeting) || !strings.Contains(out, "ALPN protocol: http/1.1") {
			t.Error(out)
		}
	})
	t.Run("chromium", func(t *testing.T) { chromium(t, need(t, "chromium"), url, greeting) })
}

// chromium renders the page without a window. Its first start is slow.
func chromium(t *testing.T, program, url, greeting string) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*Patience)
	defer cancel()
	// A directory of its own, which its children may still write to when it has ended.
	dir, err := os.MkdirTemp("", "chromium")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	cmd := exec.CommandContext(ctx, program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--ignore-certificate-errors",
		"--user-data-dir="+dir, "--dump-dom", url+"/")
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) || !strings.Contains(string(out), greeting) {
		t.Errorf("%v\n%s", err, out)
	}
}
