package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// talk feeds requests in pieces of the given size, and returns all that is
// answered. A piece is given only when nothing is left to be written.
func talk(h *httpConn, requests string, piece int, end bool) string {
	var answer strings.Builder
	take := func() {
		for p := h.next(); len(p) > 0; p = h.next() {
			n := min(len(p), 1+piece)
			answer.Write(p[:n])
			h.wrote(n)
		}
	}
	for take(); len(requests) > 0; take() {
		n := min(piece, len(requests))
		h.receive([]byte(requests[:n]))
		requests = requests[n:]
	}
	if end {
		h.end()
		take()
	}
	return answer.String()
}

func TestHTTP(t *testing.T) {
	const page = "the page\n"
	ok := func(body string, fields ...string) string {
		return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n%s\r\n%s",
			len(body), strings.Join(fields, ""), body)
	}
	const closes = "Connection: close\r\n"
	for _, c := range []struct {
		name, in, want string // want is a prefix if it ends in "…"
		done           bool
	}{
		{"get", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", ok(page), false},
		{"query", "GET /?a=b HTTP/1.1\r\nHost: x\r\n\r\n", ok(page), false},
		{"absolute", "GET https://x/ HTTP/1.1\r\nHost: x\r\n\r\n", ok(page), false},
		{"absolute without path", "GET https://x HTTP/1.1\r\nHost: x\r\n\r\n", ok(page), false},
		{"typed", "GET / HTTP/1.0\n\n", ok(page, closes), true},
		{"empty lines first", "\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", ok(page), false},
		{"close", "GET / HTTP/1.1\r\nHost: x\r\nConnection: Close\r\n\r\n", ok(page, closes), true},
		{"1.0 keep-alive", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", ok(page, "Connection: keep-alive\r\n"), false},
		{"1.0 both", "GET / HTTP/1.0\r\nConnection: close, keep-alive\r\n\r\n", ok(page, closes), true},
		{"pipelined", strings.Repeat("GET / HTTP/1.1\r\nHost: x\r\n\r\n", 3), ok(page) + ok(page) + ok(page), false},
		{"pipelined behind the last", "GET / HTTP/1.0\r\n\r\nGET / HTTP/1.0\r\n\r\n", ok(page, closes), true},
		{"head", "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", strings.TrimSuffix(ok(page), page), false},
		{"bytes", "GET /bytes/40 HTTP/1.1\r\nHost: x\r\n\r\n", ok("tlscore is TLS without the I/O.\ntlscore "), false},
		{"no bytes", "GET /bytes/0 HTTP/1.1\r\nHost: x\r\n\r\n", ok(""), false},
		{"body", "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", ok(page, closes), true},
		{"empty body", "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", ok(page), false},
		{"post", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 405 Method Not Allowed\r\n…", true},
		{"delete", "DELETE / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 405 Method Not Allowed\r\n…", false},
		{"unknown path", "GET /x HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 404 Not Found\r\n…", false},
		{"too many bytes", "GET /bytes/99999999999 HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 404 Not Found\r\n…", false},
		{"negative bytes", "GET /bytes/-1 HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 404 Not Found\r\n…", false},
		{"no host", "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n…", true},
		{"two hosts", "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n…", true},
		{"no version", "GET /\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n…", true},
		{"bad version", "GET / HTTP\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n…", true},
		{"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1 505 HTTP Version Not Supported\r\n…", true},
		{"folded field", "GET / HTTP/1.1\r\nHost: x\r\n y\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n…", true},
		{"space before colon", "GET / HTTP/1.1\r\nHost : x\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n…", true},
		{"bad length", "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n…", true},
		{"garbage", "\x00\x01\x02\n\n", "HTTP/1.1 400 Bad Request\r\n…", true},
		{"long head", "GET /" + strings.Repeat("x", maxHead), "HTTP/1.1 431 Request Header Fields Too Large\r\n…", true},
		{"long fields", "GET / HTTP/1.1\r\n" + strings.Repeat("A: b\r\n", maxHead/6), "HTTP/1.1 431 Request Header Fields Too Large\r\n…", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, piece := range []int{1, 2, 3, 7, 1 << 20} {
				h := &httpConn{page: func() string { return page }}
				got := talk(h, c.in, piece, false)
				prefix, cut := strings.CutSuffix(c.want, "…")
				if got != c.want && !(cut && strings.HasPrefix(got, prefix)) {
					t.Errorf("in pieces of %d: got %q, want %q", piece, got, c.want)
				}
				if h.done() != c.done {
					t.Errorf("in pieces of %d: done is %v", piece, h.done())
				}
				if len(h.in) != 0 || !c.done && h.in != nil {
					t.Errorf("in pieces of %d: %d bytes are left", piece, len(h.in))
				}
			}
		})
	}
}

func TestHTTPEnd(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"GET / HT", "HTTP/1.1 400"},
		{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200"},
	} {
		h := &httpConn{page: func() string { return "" }}
		got := talk(h, c.in, 100, true)
		if !strings.HasPrefix(got, c.want) || !h.done() || c.want == "" && got != "" {
			t.Errorf("%q: %q, done %v", c.in, got, h.done())
		}
	}
}

// The answer to /private waits until it is known who the client is, and so does what
// comes behind it.
func TestHTTPPrivate(t *testing.T) {
	const private, page = "GET /private HTTP/1.1\r\nHost: x\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	for _, c := range []struct {
		name, known, answer string
		asked, ends         bool
		want                []string
	}{
		{"known", "CN=alice", "", false, false, []string{"200 OK", "You are CN=alice.", "the page"}},
		{"unknown", "", "", false, false, []string{"403 Forbidden", "the page"}},
		{"asked", "", "CN=bob", true, false, []string{"200 OK", "You are CN=bob.", "the page"}},
		{"no answer", "", "", true, false, []string{"403 Forbidden", "the page"}},
		{"gone", "", "", true, true, []string{"403 Forbidden"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &httpConn{page: func() string { return "the page" }, client: func() (string, bool) { return c.known, c.asked }}
			got := talk(h, private+page, 1000, false)
			if c.asked && (got != "" || h.busy() || h.done()) {
				t.Fatalf("it did not wait: %q", got)
			}
			if c.ends {
				h.end()
			} else {
				h.identified(c.answer)
			}
			got += talk(h, "", 1, false)
			for _, want := range c.want {
				_, rest, ok := strings.Cut(got, want)
				if !ok {
					t.Errorf("%q is missing in %q", want, got)
				}
				got = rest
			}
		})
	}
}

// A client that floods the server instead of saying who it is stays unknown, and is not
// kept in memory.
func TestHTTPPrivateFlood(t *testing.T) {
	asked := 0
	h := &httpConn{client: func() (string, bool) { asked++; return "", asked == 1 }}
	got := talk(h, "GET /private HTTP/1.1\r\nHost: x\r\n\r\n", 1000, false)
	for sent := 0; !h.busy(); sent += 1000 {
		if sent > maxWaiting {
			t.Fatalf("%d bytes are kept", len(h.in))
		}
		h.receive(bytes.Repeat([]byte("x"), 1000))
	}
	got += talk(h, "", 1, false)
	if !strings.Contains(got, "403 Forbidden") || !strings.Contains(got, "431 ") || !h.done() || len(h.in) > 0 {
		t.Errorf("answered %q, %d bytes are kept", got, len(h.in))
	}
}

// While a response is written, no further request is looked at.
func TestHTTPBackPressure(t *testing.T) {
	pages := 0
	h := &httpConn{page: func() string { pages++; return "x" }}
	h.receive([]byte(strings.Repeat("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 9)))
	for range 5 {
		h.wrote(len(h.next()[:1]))
	}
	if pages != 1 {
		t.Errorf("%d pages were made", pages)
	}
}

func TestCertificateNames(t *testing.T) {
	for name, ok := range map[string]bool{
		"example.com": true, "a": true, "a-b.c": true, "xn--bcher-kva.example": true,
		"": false, "a..b": false, ".": false, "-a": false, "a-": false, "a_b": false, "127.0.0.1": false,
		"::1": false, "a b": false, "*.a": false, strings.Repeat("a", 64): false, strings.Repeat("a.", 127) + "a": false,
	} {
		if isHostName(name) != ok {
			t.Errorf("isHostName(%q) is %v", name, !ok)
		}
	}
}
