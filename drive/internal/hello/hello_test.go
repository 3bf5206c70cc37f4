package hello

import (
	"crypto/tls"
	"strings"
	"testing"
)

func TestAnswer(t *testing.T) {
	for _, tt := range []struct {
		request string
		status  string
		n       int // -1 for all
		last    bool
		body    int
	}{
		{"GET / HTTP/1.1\r\nHost: a\r\n", "", 0, false, 0},
		{"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET", "200 OK", 27, false, -1},
		{"GET /bytes/10 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "200 OK", -1, true, 10},
		{"HEAD /bytes/10 HTTP/1.1\r\nHost: a\r\n\r\n", "200 OK", -1, false, 0},
		{"GET /bytes/99999999999 HTTP/1.1\r\nHost: a\r\n\r\n", "404 Not Found", -1, false, -1},
		{"GET /other HTTP/1.1\r\nHost: a\r\n\r\n", "404 Not Found", -1, false, -1},
		{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", "405 Method Not Allowed", 47, true, -1},
		{"nonsense\r\n\r\n", "400 Bad Request", -1, true, 0},
		{strings.Repeat("x", maxHead+1), "431 Request Header Fields Too Large", -1, true, 0},
	} {
		response, n, last := Answer([]byte(tt.request), tls.ConnectionState{Version: tls.VersionTLS13})
		if tt.n < 0 {
			tt.n = len(tt.request)
		}
		head, body, _ := strings.Cut(string(response), "\r\n\r\n")
		if n != tt.n || last != tt.last || !strings.HasPrefix(head, "HTTP/1.1 "+tt.status) && tt.status != "" || tt.body >= 0 && len(body) != tt.body {
			t.Errorf("%.40q: %d, %v, %.100q", tt.request, n, last, response)
		}
	}
}

func TestCertificate(t *testing.T) {
	if _, err := Certificate(); err != nil {
		t.Error(err)
	}
}
