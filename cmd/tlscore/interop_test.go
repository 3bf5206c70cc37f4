package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// These tests run the command against other implementations of TLS. Those that
// are not installed are skipped, but not where CI is set: there they must be.

// need returns the path of a peer.
func need(t *testing.T, program string) string {
	t.Helper()
	for _, name := range []string{program, "/usr/sbin/" + program} { // servers, for who is not root
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is missing", program)
	}
	t.Skipf("%s is missing", program)
	return ""
}

// output runs a program to its end and returns all that it prints.
func output(t *testing.T, stdin, program string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// bothWays runs a test against "serve" without and with the acceptor.
func bothWays(t *testing.T, test func(t *testing.T, addr string)) {
	for name, args := range map[string][]string{"direct": nil, "acceptor": {"-acceptor"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := startServe(t, args...)
			test(t, p.listening(t))
		})
	}
}

// contains checks that all of want is in text.
func contains(t *testing.T, text string, want ...string) {
	t.Helper()
	var missing []string
	for _, w := range want {
		if !strings.Contains(text, w) {
			missing = append(missing, w)
		}
	}
	if len(missing) > 0 {
		t.Errorf("%q is missing in:\n%s", missing, text)
	}
}

const getPage10 = "GET / HTTP/1.0\r\n\r\n"

func TestServeOpenSSL(t *testing.T) {
	openssl := need(t, "openssl")
	sClient := func(t *testing.T, addr string, args ...string) (string, error) {
		args = append([]string{"s_client", "-connect", addr, "-ign_eof", "-servername", "localhost"}, args...)
		return output(t, getPage10, openssl, args...)
	}
	bothWays(t, func(t *testing.T, addr string) {
		for _, suite := range []string{"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"} {
			out, err := sClient(t, addr, "-tls1_3", "-ciphersuites", suite)
			contains(t, out, "HTTP/1.1 200 OK", suite+"\nkey exchange", "server name        localhost")
			if err != nil {
				t.Errorf("%s: %v", suite, err)
			}
		}
		for group, name := range map[string]string{"P-256": "CurveP256", "P-384": "CurveP384", "P-521": "CurveP521", "X25519": "X25519"} {
			out, _ := sClient(t, addr, "-tls1_3", "-groups", group)
			contains(t, out, "key exchange       "+name+"\n", "HelloRetryRequest  no")
			// The share is for X448, which this server does not have.
			out, _ = sClient(t, addr, "-tls1_3", "-groups", "X448:"+group)
			contains(t, out, "key exchange       "+name+"\n", "HelloRetryRequest  yes")
		}
		for suite, name := range map[string]string{
			"ECDHE-ECDSA-AES128-GCM-SHA256": "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
			"ECDHE-ECDSA-AES256-GCM-SHA384": "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
			"ECDHE-ECDSA-CHACHA20-POLY1305": "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
		} {
			out, _ := sClient(t, addr, "-tls1_2", "-cipher", suite)
			contains(t, out, "HTTP/1.1 200 OK", "TLS 1.2", name)
		}
		out, _ := sClient(t, addr, "-tls1_3", "-groups", "X448")
		contains(t, out, "SSL alert number 40")
		out, _ = sClient(t, addr, "-tls1_3", "-alpn", "h2")
		contains(t, out, "SSL alert number 120")
		out, _ = sClient(t, addr, "-tls1_3", "-alpn", "h2,http/1.1")
		contains(t, out, "ALPN protocol: http/1.1", "ALPN               http/1.1")
	})
}

// The client changes its keys (k), and asks the server to change its own (K).
func TestServeOpenSSLKeyUpdate(t *testing.T) {
	openssl := need(t, "openssl")
	bothWays(t, func(t *testing.T, addr string) {
		p := start(t, exec.Command(openssl, "s_client", "-connect", addr, "-tls1_3", "-msg"))
		p.expect(t, "Verify return code")
		const sentUpdate, gotUpdate = `>>> TLS 1.3, Handshake \[length 0005\], KeyUpdate`, `<<< TLS 1.3, Handshake \[length 0005\], KeyUpdate`
		io.WriteString(p.stdin, "k\n")
		p.expect(t, sentUpdate)
		io.WriteString(p.stdin, "K\n") // not earlier: of what comes together only the first is a command
		p.expect(t, gotUpdate)
		io.WriteString(p.stdin, "GET / HTTP/1.0\r\n\r\n")
		p.expect(t, "HTTP/1.1 200 OK")
		p.expect(t, "key exchange")
	})
}

func TestServeGnuTLS(t *testing.T) {
	gnutls := need(t, "gnutls-cli")
	cli := func(t *testing.T, addr, priority string) (string, error) {
		host, port, _ := net.SplitHostPort(addr)
		return output(t, getPage10, gnutls, "--insecure", "--disable-sni", "--priority", priority, "-p", port, host)
	}
	const only13 = "NORMAL:-VERS-ALL:+VERS-TLS1.3"
	bothWays(t, func(t *testing.T, addr string) {
		for change, want := range map[string]string{
			"":                                      "TLS 1.3",
			":-CIPHER-ALL:+AES-128-GCM":             "TLS_AES_128_GCM_SHA256",
			":-CIPHER-ALL:+AES-256-GCM":             "TLS_AES_256_GCM_SHA384",
			":-CIPHER-ALL:+CHACHA20-POLY1305":       "TLS_CHACHA20_POLY1305_SHA256",
			":-GROUP-ALL:+GROUP-SECP256R1":          "CurveP256",
			":-GROUP-ALL:+GROUP-SECP384R1":          "CurveP384",
			":-GROUP-ALL:+GROUP-SECP521R1":          "CurveP521",
			":-GROUP-ALL:+GROUP-X25519":             "X25519",
			":-GROUP-ALL:+GROUP-X448:+GROUP-X25519": "X25519",
		} {
			out, err := cli(t, addr, only13+change)
			contains(t, out, "HTTP/1.1 200 OK", want)
			if err != nil {
				t.Errorf("%q: %v", change, err)
			}
		}
		for _, change := range []string{"", ":-CIPHER-ALL:+AES-128-GCM", ":-CIPHER-ALL:+CHACHA20-POLY1305", ":-GROUP-ALL:+GROUP-SECP384R1:+GROUP-SECP256R1"} {
			out, err := cli(t, addr, "NORMAL:-VERS-ALL:+VERS-TLS1.2"+change)
			contains(t, out, "HTTP/1.1 200 OK", "TLS 1.2")
			if err != nil {
				t.Errorf("TLS 1.2 %q: %v", change, err)
			}
		}
	})
}

func TestServeCurl(t *testing.T) {
	curl := need(t, "curl")
	bothWays(t, func(t *testing.T, addr string) {
		out, err := output(t, "", curl, "-sSk", "https://"+addr+"/", "https://"+addr+"/")
		contains(t, out, "TLS 1.3", "ALPN               http/1.1")
		if err != nil || strings.Count(out, "This is tlscore") != 2 {
			t.Errorf("%v:\n%s", err, out)
		}
		out, err = output(t, "", curl, "-sSk", "-o", os.DevNull, "-w", "%{size_download}", "https://"+addr+"/bytes/20000000")
		if err != nil || out != "20000000" {
			t.Errorf("%v, %q", err, out)
		}
		out, err = output(t, "", curl, "-sSk", "--tls-max", "1.2", "https://"+addr+"/")
		contains(t, out, "TLS 1.2", "This is tlscore")
		if err != nil {
			t.Errorf("%v:\n%s", err, out)
		}
		out, _ = output(t, "", curl, "-sSi", "http://"+addr+"/")
		contains(t, out, "HTTP/1.0 400 Bad Request")
		out, _ = output(t, "", curl, "-sSki", "-d", strings.Repeat("x", 100000), "https://"+addr+"/")
		contains(t, out, "HTTP/1.1 405 Method Not Allowed")
	})
}

// stdGroups are all groups that this library has, in the order of its own
// preference. crypto/tls has all of them.
var stdGroups = []tls.CurveID{
	tls.X25519MLKEM768, tls.SecP256r1MLKEM768, tls.SecP384r1MLKEM1024,
	tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521,
}

func TestServeCryptoTLS(t *testing.T) {
	bothWays(t, func(t *testing.T, addr string) {
		for _, group := range stdGroups {
			conn := tls.Client(dial(t, addr), &tls.Config{InsecureSkipVerify: true, CurvePreferences: []tls.CurveID{group}})
			_, body := exchange(t, conn, bufio.NewReader(conn), getPage)
			contains(t, body, "key exchange       "+group.String()+"\n")
			conn.Close()
		}
		conn := tls.Client(dial(t, addr), &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12})
		_, body := exchange(t, conn, bufio.NewReader(conn), getPage)
		contains(t, body, "TLS 1.2")
		conn.Close()
		for range 100 {
			conn := dial(t, addr)
			err := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS11}).Handshake()
			if err == nil || !strings.Contains(err.Error(), "protocol version") {
				t.Fatal(err)
			}
			conn.Close()
		}
	})
}

// keyPair writes a certificate for localhost and its key into files.
func keyPair(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	cert, err := selfSigned("localhost", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("cert.pem", "CERTIFICATE", cert.Certificate[0]), write("key.pem", "PRIVATE KEY", key)
}

// runConnectTo runs "connect" as a process, to its end.
func runConnectTo(t *testing.T, stdin, addr string, args ...string) (string, error) {
	t.Helper()
	return output(t, stdin, binary, append([]string{"connect", addr}, args...)...)
}

// The server gets its certificate from files, and our own client verifies it.
func TestServeConnect(t *testing.T) {
	cert, key := keyPair(t)
	for name, args := range map[string][]string{"direct": nil, "acceptor": {"-acceptor"}} {
		p := startServe(t, append(args, "-cert", cert, "-key", key)...)
		out, err := runConnectTo(t, getPage10, p.listening(t), "-ca", cert, "-servername", "localhost")
		contains(t, out, "verified for \"localhost\"", "HTTP/1.1 200 OK", "server name        localhost")
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// sServer starts openssl s_server and returns its address.
func sServer(t *testing.T, args ...string) (p *process, addr, ca string) {
	t.Helper()
	cert, key := keyPair(t)
	args = append([]string{"s_server", "-accept", "127.0.0.1:0", "-cert", cert, "-key", key}, args...)
	p = start(t, exec.Command(need(t, "openssl"), args...))
	return p, p.expect(t, `ACCEPT (\S+:\d+)`), cert
}

func TestConnectOpenSSL(t *testing.T) {
	need(t, "openssl")
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"-ciphersuites", "TLS_AES_128_GCM_SHA256"}, []string{"TLS_AES_128_GCM_SHA256, X25519"}},
		{[]string{"-ciphersuites", "TLS_AES_256_GCM_SHA384"}, []string{"TLS_AES_256_GCM_SHA384, X25519"}},
		{[]string{"-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"}, []string{"TLS_CHACHA20_POLY1305_SHA256, X25519"}},
		{[]string{"-groups", "X25519"}, []string{"X25519"}},
		{[]string{"-groups", "P-256"}, []string{"CurveP256", "< HelloRetryRequest"}},
		{[]string{"-groups", "P-384"}, []string{"CurveP384", "< HelloRetryRequest"}},
		{[]string{"-groups", "P-521"}, []string{"CurveP521", "< HelloRetryRequest"}},
		{[]string{"-alpn", "x,y"}, []string{`ALPN "y"`}},
		{[]string{"-verify", "1"}, []string{"< CertificateRequest", "> Certificate, 8 bytes"}},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			t.Parallel()
			_, addr, ca := sServer(t, append([]string{"-tls1_3", "-rev"}, c.args...)...)
			out, err := runConnectTo(t, "live\n", addr, "-ca", ca, "-alpn", "y,z")
			contains(t, out, append(c.want, "evil\n", `verified for "127.0.0.1"`, "event Closed, state Closed")...)
			if err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("TLS 1.2", func(t *testing.T) {
		_, addr, _ := sServer(t, "-tls1_2")
		out, err := runConnectTo(t, "", addr, "-insecure", "-min", "1.3")
		contains(t, out, "alert: received protocol_version (70)")
		if err == nil {
			t.Error("TLS 1.2 was accepted")
		}
		out, err = runConnectTo(t, "", addr, "-insecure")
		contains(t, out, "TLS 1.2, TLS_ECDHE_", "event HandshakeDone")
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

// The server changes its keys (k), and asks the client to change its own (K).
func TestConnectOpenSSLKeyUpdate(t *testing.T) {
	server, addr, _ := sServer(t, "-tls1_3", "-msg")
	client := start(t, exec.Command(binary, "connect", "-insecure", addr))
	client.expect(t, "event HandshakeDone")
	server.expect(t, "CIPHER is")
	io.WriteString(server.stdin, "k\n")
	client.expect(t, `event KeyUpdate, state`)
	io.WriteString(server.stdin, "K\n")
	client.expect(t, `> KeyUpdate, 5 bytes`)
	server.expect(t, `<<< TLS 1.3, Handshake \[length 0005\], KeyUpdate`)
	io.WriteString(client.stdin, "under the new key\n")
	server.expect(t, "under the new key")
	io.WriteString(server.stdin, "so is this\n")
	client.expect(t, "so is this")
	client.stdin.Close()
	client.expect(t, "> alert close_notify")
}

// freePort returns a port for programs that cannot be asked to choose one. It is below
// those that kernels choose. While the test lasts nobody else gets it here, in this process
// or in another that runs these tests: the UDP port of that number is held, as a sign.
func freePort(t *testing.T) string {
	t.Helper()
	for range 1000 {
		port := strconv.Itoa(10000 + rand.IntN(20000))
		sign, err := net.ListenPacket("udp", "127.0.0.1:"+port)
		if err != nil {
			continue
		}
		// To listen there would not do: a program that another test starts at that moment
		// has the socket for a while, and this one's could not.
		conn, err := net.DialTimeout("tcp", "127.0.0.1:"+port, time.Second)
		if err != nil {
			t.Cleanup(func() { sign.Close() }) // when the program has ended
			return port
		}
		conn.Close()
		sign.Close()
	}
	t.Fatal("no port is free")
	return ""
}

func TestConnectGnuTLS(t *testing.T) {
	gnutls := need(t, "gnutls-serv")
	cert, key := keyPair(t)
	serv := func(t *testing.T, priority string) (addr string) {
		port := freePort(t)
		p := start(t, exec.Command(gnutls, "--echo", "-p", port, "--x509certfile", cert, "--x509keyfile", key, "--priority", priority))
		p.expect(t, `(?i)listening on IPv4 .*done`)
		return "127.0.0.1:" + port
	}
	for change, want := range map[string]string{
		"":                                "X25519",
		":-CIPHER-ALL:+AES-128-GCM":       "TLS_AES_128_GCM_SHA256",
		":-CIPHER-ALL:+AES-256-GCM":       "TLS_AES_256_GCM_SHA384",
		":-CIPHER-ALL:+CHACHA20-POLY1305": "TLS_CHACHA20_POLY1305_SHA256",
		":-GROUP-ALL:+GROUP-SECP256R1":    "CurveP256",
		":-GROUP-ALL:+GROUP-SECP384R1":    "CurveP384",
		":-GROUP-ALL:+GROUP-SECP521R1":    "CurveP521",
		":-GROUP-ALL:+GROUP-X25519":       "X25519",
	} {
		t.Run(want+change, func(t *testing.T) {
			t.Parallel()
			out, err := runConnectTo(t, "it comes back\n", serv(t, "NORMAL:-VERS-ALL:+VERS-TLS1.3"+change), "-ca", cert)
			contains(t, out, want, "it comes back\n", "event Closed")
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	t.Run("TLS 1.2", func(t *testing.T) {
		// The cipher suites are looked at first, and none is of TLS 1.2.
		out, err := runConnectTo(t, "", serv(t, "NORMAL:-VERS-ALL:+VERS-TLS1.2"), "-insecure", "-min", "1.3")
		contains(t, out, "alert: received handshake_failure (40)")
		if err == nil {
			t.Error("TLS 1.2 was accepted")
		}
		out, err = runConnectTo(t, "it comes back\n", serv(t, "NORMAL:-VERS-ALL:+VERS-TLS1.2"), "-insecure")
		contains(t, out, "TLS 1.2, TLS_ECDHE_", "it comes back\n", "event Closed")
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

func TestConnectCryptoTLS(t *testing.T) {
	for _, group := range stdGroups {
		t.Run(group.String(), func(t *testing.T) {
			addr, ca := stdServer(t, &tls.Config{CurvePreferences: []tls.CurveID{group}}, echo)
			out, err := runConnectTo(t, "it comes back\n", addr, "-ca", ca)
			contains(t, out, group.String(), "it comes back\n", "event Closed, state Closed")
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			}
			retried := strings.Contains(out, "HelloRetryRequest")
			if offered := group == tls.X25519MLKEM768 || group == tls.X25519; retried == offered {
				t.Errorf("HelloRetryRequest: %v", retried)
			}
		})
	}
}
