package main

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// stdServer runs do on each connection that crypto/tls accepts, and returns the
// address and a file with the certificate.
func stdServer(t *testing.T, cfg *tls.Config, do func(*tls.Conn)) (addr, ca string) {
	t.Helper()
	cert, err := selfSigned("localhost", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Certificates = []tls.Certificate{*cert}
	ca = filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})
	if err := os.WriteFile(ca, text, 0o600); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			conn.SetDeadline(time.Now().Add(patience))
			go func() {
				defer conn.Close()
				do(tls.Server(conn, cfg))
			}()
		}
	}()
	return ln.Addr().String(), ca
}

// echo sends back what comes, and closes when the client has closed.
func echo(c *tls.Conn) {
	io.Copy(c, c)
	c.Close()
}

func TestConnect(t *testing.T) {
	addr, ca := stdServer(t, &tls.Config{NextProtos: []string{"echo"}}, echo)
	text := strings.Repeat("all of this comes back\n", 20000)
	code, stdout, stderr := runCommand(text, "connect", "-alpn", "http/1.1,echo", addr, "-ca", ca)
	if code != 0 || stdout != text {
		t.Errorf("exit code %d, %d of %d bytes came back", code, len(stdout), len(text))
	}
	for _, want := range []string{
		"> ClientHello", "< ServerHello", "< Certificate", "< Finished", "> Finished",
		"event HandshakeDone, state Connected", "TLS 1.3, TLS_AES_128_GCM_SHA256, X25519MLKEM768", `ALPN "echo"`,
		"CN=localhost", `verified for "127.0.0.1"`, "> alert close_notify (0)", "< alert close_notify (0)", "event Closed",
	} {
		if !strings.Contains(stderr, want) {
			t.Errorf("stderr lacks %q:\n%s", want, stderr)
		}
	}
}

func TestConnectFails(t *testing.T) {
	addr, ca := stdServer(t, &tls.Config{NextProtos: []string{"echo"}}, echo)
	old, _ := stdServer(t, &tls.Config{MaxVersion: tls.VersionTLS12}, echo)
	cut, cutCA := stdServer(t, &tls.Config{}, func(c *tls.Conn) {
		io.WriteString(c, "half a mess")
		c.NetConn().(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, c)
	})
	for _, c := range []struct {
		name   string
		args   []string
		stderr []string
		stdout string
	}{
		{"unknown authority", []string{addr}, []string{"not verified", "fault: the server's", "alert: sent unknown_ca (48)", "CN=localhost"}, ""},
		{"wrong name", []string{addr, "-ca", ca, "-servername", "else.example"}, []string{"another name", "alert: sent bad_certificate (42)"}, ""},
		{"no protocol", []string{addr, "-insecure", "-alpn", "x"}, []string{"gave up", "alert: received no_application_protocol (120)"}, ""},
		{"TLS 1.2", []string{old, "-insecure", "-min", "1.3"}, []string{"alert: received protocol_version (70)"}, ""},
		{"truncated", []string{cut, "-ca", cutCA}, []string{"without close_notify: data may be missing"}, "half a mess"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, stdout, stderr := runCommand("", append([]string{"connect"}, c.args...)...)
			if code != 1 || stdout != c.stdout {
				t.Errorf("exit code %d, stdout %q", code, stdout)
			}
			for _, want := range c.stderr {
				if !strings.Contains(stderr, want) {
					t.Errorf("stderr lacks %q:\n%s", want, stderr)
				}
			}
		})
	}
}

// What a server chooses stays in its line and does nothing to a terminal.
func TestConnectPrintable(t *testing.T) {
	leaf, key := template("x\x1b[2J"), newECDSAKey()
	leaf.DNSNames = []string{"x\x1b[2J\n* verified"}
	der := must(x509.CreateCertificate(rand.Reader, leaf, leaf, key.Public(), key))
	evil := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	addr, _ := stdServer(t, &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return evil, nil }}, echo)
	for _, flag := range []string{"-q=false", "-q", "-insecure"} {
		_, _, stderr := runCommand("", "connect", flag, "-servername", "else.example", addr)
		if !strings.Contains(stderr, `valid for x\x1b[2J\n* verified`) || strings.ContainsAny(stderr, "\x1b\r") || strings.Contains(stderr, "\n* verified") {
			t.Errorf("%s: %q", flag, stderr)
		}
	}
}

// A server that does not speak TLS, and one that closes at once.
func TestConnectToOthers(t *testing.T) {
	for text, want := range map[string][]string{
		"220 mail.example ESMTP\r\n": {"the first bytes are not TLS", "fault: the server's"},
		"":                           {"transport ended inside the handshake", "fault: the server's"},
	} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan string, 1)
		go func() {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			conn.SetDeadline(time.Now().Add(patience))
			io.WriteString(conn, text)
			conn.(*net.TCPConn).CloseWrite()
			sent, _ := io.ReadAll(conn)
			got <- string(sent)
			conn.Close()
		}()
		code, _, stderr := runCommand("", "connect", "-insecure", "-q", ln.Addr().String())
		if code != 1 {
			t.Errorf("exit code %d", code)
		}
		contains(t, stderr, want...)
		if sent := <-got; text != "" && !strings.HasSuffix(sent, "\x15\x03\x03\x00\x02\x02\x0a") {
			t.Errorf("the alert did not arrive: %x", sent)
		}
		ln.Close()
	}
}

// stdin stays open while the server talks, and what it has to say is not held up.
func TestConnectFullDuplex(t *testing.T) {
	addr, _ := stdServer(t, &tls.Config{}, func(c *tls.Conn) {
		drained := make(chan bool)
		go func() {
			io.Copy(io.Discard, c)
			close(drained)
		}()
		for range 100 {
			c.Write(make([]byte, 10000))
		}
		c.CloseWrite()
		<-drained // closing with unread input would reset the connection
	})
	stdin, typing := io.Pipe()
	defer typing.Close()
	go func() {
		for {
			if _, err := typing.Write(make([]byte, 10000)); err != nil {
				return
			}
		}
	}()
	var out, errs buffer
	code := run([]string{"connect", "-insecure", addr}, stdio{stdin, &out, &errs})
	if code != 0 || len(out.String()) != 1000000 {
		t.Errorf("exit code %d, %d bytes:\n%s", code, len(out.String()), errs.String())
	}
}
