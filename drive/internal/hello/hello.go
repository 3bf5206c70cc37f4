// Package hello is the HTTP of the drivers' examples: a request in, a response out, no I/O.
// What the examples are about is around it.
package hello

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	maxHead  = 16 << 10 // of a request
	maxBytes = 64 << 20 // of what /bytes/N answers
)

// Answer answers the first request in p. n says how long it is; with n == 0 it is not there
// yet. When last is set the connection ends behind the response.
func Answer(p []byte, state tls.ConnectionState) (response []byte, n int, last bool) {
	end := bytes.Index(p, []byte("\r\n\r\n"))
	switch {
	case end < 0 && len(p) <= maxHead:
		return nil, 0, false
	case end < 0 || end > maxHead:
		return head(431, 0, true), len(p), true
	}
	n = end + len("\r\n\r\n")
	req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(p[:n])))
	if err != nil {
		return head(400, 0, true), len(p), true
	}
	last = req.Close || req.ContentLength != 0 // bodies are not read
	status, body := 200, []byte(nil)
	switch size, isBytes := strings.CutPrefix(req.URL.Path, "/bytes/"); {
	case req.Method != "GET" && req.Method != "HEAD":
		status, body = 405, []byte("only GET and HEAD are answered here\n")
	case req.URL.Path == "/":
		body = fmt.Appendf(nil, "Hello from tlscore: %s, %s, %s.\n",
			tls.VersionName(state.Version), tls.CipherSuiteName(state.CipherSuite), state.CurveID)
	case isBytes:
		if k, err := strconv.ParseUint(size, 10, 31); err == nil && k <= maxBytes {
			body = bytes.Repeat([]byte("x"), int(k))
			break
		}
		fallthrough
	default:
		status, body = 404, []byte("there are / and /bytes/N\n")
	}
	response = head(status, len(body), last)
	if req.Method != "HEAD" {
		response = append(response, body...)
	}
	return response, n, last
}

func head(status, length int, last bool) []byte {
	connection := "keep-alive"
	if last {
		connection = "close"
	}
	return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nConnection: %s\r\n\r\n",
		status, http.StatusText(status), length, connection)
}

// Certificate makes a self-signed certificate for localhost.
func Certificate() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: "localhost"},
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().AddDate(0, 0, 30),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}
