package main

import (
	"bufio"
	"crypto/tls"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// way is how a session of one version is kept.
type way struct {
	name, version string
	serve         []string // flags of our server
	openssl       []string // of s_client and s_server
	gnutls        []string // of gnutls-cli and gnutls-serv
}

var ways = []way{
	{"1.3 tickets", "1.3", nil, []string{"-tls1_3"}, []string{"--priority", "NORMAL:-VERS-ALL:+VERS-TLS1.3"}},
	{"1.3 stateful", "1.3", []string{"-stateful"}, []string{"-tls1_3", "-no_ticket"}, nil},
	{"1.2 tickets", "1.2", nil, []string{"-tls1_2"}, []string{"--priority", "NORMAL:-VERS-ALL:+VERS-TLS1.2"}},
	{"1.2 session ids", "1.2", []string{"-stateful"}, []string{"-tls1_2", "-no_ticket"}, []string{"--noticket", "--priority", "NORMAL:-VERS-ALL:+VERS-TLS1.2"}},
}

func TestServeResumption(t *testing.T) {
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			addr := serveAs(t, pki().ecdsa, append(w.serve, "-max", w.version)...)
			const fresh, again = "resumed            no", "resumed            yes"
			t.Run("openssl", func(t *testing.T) {
				t.Parallel()
				file := filepath.Join(t.TempDir(), "session")
				out, err := sClient(t, addr, getPage10, append(w.openssl, "-sess_out", file)...)
				works(t, out, err, fresh)
				for range 2 { // each time with the ticket of the time before
					out, err = sClient(t, addr, getPage10, append(w.openssl, "-sess_in", file, "-sess_out", file)...)
					works(t, out, err, again, "Reused, TLSv"+w.version, "version            TLS "+w.version)
				}
			})
			t.Run("gnutls", func(t *testing.T) {
				if w.gnutls == nil {
					t.Skip("gnutls-cli would do the same as with tickets")
				}
				t.Parallel()
				out, err := gnutlsCli(t, addr, getPage10, append(w.gnutls, "--resume", "--waitresumption")...)
				works(t, out, err, again, "*** This is a resumed session")
			})
			t.Run("curl", func(t *testing.T) {
				if w.name == "1.2 tickets" {
					t.Skip("curl keeps no session of TLS 1.2 without a session id, that of crypto/tls neither")
				}
				t.Parallel()
				url := "https://localhost" + addr[strings.LastIndexByte(addr, ':'):] + "/"
				out, err := output(t, "", need(t, "curl"), "-sS", "-4", "--cacert", pki().ca, "--tls-max", w.version, "-H", "Connection: close", url, url)
				works(t, out, err, fresh, again)
			})
			t.Run("crypto/tls", func(t *testing.T) {
				if w.name == "1.2 session ids" {
					t.Skip("a client of crypto/tls resumes with tickets only")
				}
				t.Parallel()
				cfg := &tls.Config{RootCAs: pki().pool, ServerName: "localhost", ClientSessionCache: tls.NewLRUClientSessionCache(0)}
				for _, want := range []string{fresh, again, again} {
					conn := tls.Client(dial(t, addr), cfg)
					_, body := exchange(t, conn, bufio.NewReader(conn), getPage)
					contains(t, body, want)
					conn.Close()
				}
			})
		})
	}
	t.Run("none", func(t *testing.T) {
		t.Parallel()
		addr := serveAs(t, pki().ecdsa, "-tickets", "0")
		file := filepath.Join(t.TempDir(), "session")
		for _, version := range []string{"-tls1_2", "-tls1_3"} {
			sClient(t, addr, getPage10, version, "-sess_out", file)
			if _, err := os.Stat(file); err != nil {
				continue // there was nothing to keep
			}
			out, err := sClient(t, addr, getPage10, version, "-sess_in", file)
			works(t, out, err, "resumed            no")
		}
	})
}

// Another ticket key, another server name, another application protocol: a full handshake.
func TestServeNotResumed(t *testing.T) {
	t.Parallel()
	addr := serveAs(t, pki().ecdsa)
	other := serveAs(t, pki().ecdsa)
	file := filepath.Join(t.TempDir(), "session")
	for _, version := range []string{"-tls1_2", "-tls1_3"} {
		sClient(t, addr, getPage10, version, "-sess_out", file)
		out, err := sClient(t, other, getPage10, version, "-sess_in", file)
		works(t, out, err, "resumed            no")
		sClient(t, addr, getPage10, version, "-sess_out", file)
		out, err = sClient(t, addr, getPage10, version, "-sess_in", file, "-servername", "else.example")
		works(t, out, err, "resumed            no")
	}
}

// connectTwice runs "connect" until it has a session, and again with that.
func connectTwice(t *testing.T, stdin, addr string, args ...string) (first, second string) {
	t.Helper()
	args = append(args, "-sessions", filepath.Join(t.TempDir(), "sessions"))
	return twice(t, func() (string, error) { return connectAs(t, stdin, addr, args...) })
}

// pageTwice is connectTwice for a server of web pages.
func pageTwice(t *testing.T, addr string, args ...string) (first, second string) {
	t.Helper()
	args = append(args, "-sessions", filepath.Join(t.TempDir(), "sessions"))
	return twice(t, func() (string, error) { return webPage(t, addr, args...) })
}

func twice(t *testing.T, connect func() (string, error)) (first, second string) {
	t.Helper()
	first, err := connect()
	if err != nil {
		t.Fatalf("first: %v\n%s", err, first)
	}
	second, err = connect()
	if err != nil {
		t.Fatalf("second: %v\n%s", err, second)
	}
	if strings.Contains(first, "* resumed") {
		t.Errorf("the first connection is resumed:\n%s", first)
	}
	contains(t, second, "* resumed")
	return first, second
}

func TestConnectResumption(t *testing.T) {
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			t.Run("openssl", func(t *testing.T) {
				t.Parallel()
				_, addr := sServerAs(t, pki().ecdsa, append(w.openssl, "-rev")...)
				_, second := connectTwice(t, "live\n", addr)
				contains(t, second, "evil\n", "TLS "+w.version, `verified for "localhost"`)
			})
			t.Run("gnutls", func(t *testing.T) {
				if w.gnutls == nil {
					t.Skip("gnutls-serv has no sessions of TLS 1.3 outside of tickets")
				}
				t.Parallel()
				_, addr := gnutlsServ(t, pki().ecdsa, "", w.gnutls...)
				_, second := connectTwice(t, "it comes back\n", addr)
				contains(t, second, "it comes back\n", "TLS "+w.version)
			})
			t.Run("nginx", func(t *testing.T) {
				t.Parallel()
				conf := "ssl_session_cache shared:one:1m; ssl_session_tickets on;"
				if w.serve != nil {
					conf = "ssl_session_cache shared:one:1m; ssl_session_tickets off;"
				}
				_, second := pageTwice(t, nginx(t, conf), "-max", w.version)
				contains(t, second, "version=TLSv"+w.version, "reused=r")
			})
			t.Run("haproxy", func(t *testing.T) {
				t.Parallel()
				bind := "ssl-min-ver TLSv1.2"
				if w.serve != nil {
					bind += " no-tls-tickets"
				}
				_, second := pageTwice(t, haproxy(t, bind), "-max", w.version)
				contains(t, second, "version=TLSv"+w.version, "reused=1")
			})
			t.Run("crypto/tls", func(t *testing.T) {
				if w.serve != nil {
					t.Skip("crypto/tls has tickets only")
				}
				t.Parallel()
				addr := stdServerAs(t, pki().ecdsa, &tls.Config{}, echo)
				_, second := connectTwice(t, "it comes back\n", addr, "-max", w.version)
				contains(t, second, "it comes back\n", "TLS "+w.version)
			})
		})
	}
}

// stdServerAs runs do on each connection that crypto/tls accepts with a certificate of the
// test's authority.
func stdServerAs(t *testing.T, id identity, cfg *tls.Config, do func(*tls.Conn)) (addr string) {
	t.Helper()
	cert := id.std()
	cfg.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &cert, nil }
	addr, _ = stdServer(t, cfg, do)
	return addr
}

// Early data of clients that resume.
func TestServeEarlyData(t *testing.T) {
	dir := t.TempDir()
	early := filepath.Join(dir, "early")
	if err := os.WriteFile(early, []byte("GET / HTTP/1.0\r\n\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const accepted, not = "early data         yes", "early data         no"
	bothWays(t, func(t *testing.T, _ string) {
		args := []string{"-early-data", "1000"}
		if strings.HasSuffix(t.Name(), "acceptor") {
			args = append(args, "-acceptor")
		}
		addr := serveAs(t, pki().ecdsa, args...)
		t.Run("openssl", func(t *testing.T) {
			t.Parallel()
			session := filepath.Join(t.TempDir(), "session")
			get := func(args ...string) (string, error) {
				return sClient(t, addr, "", append(args, "-tls1_3", "-sess_out", session)...)
			}
			out, err := sClient(t, addr, getPage10, "-tls1_3", "-sess_out", session)
			works(t, out, err, not)
			for range 2 { // each time with the ticket of the time before
				out, err = get("-sess_in", session, "-early_data", early)
				works(t, out, err, accepted, "Early data was accepted", "resumed            yes", "HTTP/1.1 200 OK")
			}
			// Another key exchange group: with a HelloRetryRequest there is no early data.
			out, err = sClient(t, addr, getPage10, "-tls1_3", "-sess_in", session, "-early_data", early, "-groups", "X448:P-256")
			works(t, out, err, not, "Early data was rejected", "resumed            yes", "HelloRetryRequest  yes")
			if n := strings.Count(out, "HTTP/1.1 200 OK"); n != 1 {
				t.Errorf("%d answers to one request that was not rejected:\n%s", n, out)
			}
		})
		t.Run("gnutls", func(t *testing.T) {
			t.Parallel()
			out, err := gnutlsCli(t, addr, "", "--resume", "--waitresumption", "--earlydata", early, "--priority", "NORMAL:-VERS-ALL:+VERS-TLS1.3")
			works(t, out, err, accepted, "resumed            yes")
		})
		t.Run("too much", func(t *testing.T) {
			t.Parallel()
			long := filepath.Join(t.TempDir(), "long")
			if err := os.WriteFile(long, make([]byte, 2000), 0o600); err != nil {
				t.Fatal(err)
			}
			session := filepath.Join(t.TempDir(), "session")
			out, err := sClient(t, addr, getPage10, "-tls1_3", "-sess_out", session)
			works(t, out, err, not)
			out, err = sClient(t, addr, "", "-tls1_3", "-sess_in", session, "-early_data", long)
			fails(t, out, err)
		})
	})
	t.Run("not here", func(t *testing.T) {
		t.Parallel()
		session := filepath.Join(t.TempDir(), "session")
		addr := serveAs(t, pki().ecdsa)
		sClient(t, addr, getPage10, "-tls1_3", "-sess_out", session)
		out, _ := sClient(t, addr, getPage10, "-tls1_3", "-sess_in", session, "-early_data", early)
		contains(t, out, "Early data was not sent")
	})
}

// earlyFile is what "connect" sends first.
func earlyFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "early")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestConnectEarlyData(t *testing.T) {
	const accepted = "the server has accepted the early data"
	t.Run("openssl", func(t *testing.T) {
		t.Parallel()
		sessions := filepath.Join(t.TempDir(), "sessions")
		args := []string{"-sessions", sessions, "-early-data", earlyFile(t, "evil early\n")}
		server, addr := sServerAs(t, pki().ecdsa, "-tls1_3", "-early_data", "-max_early_data", "1000", "-naccept", "2")
		one := start(t, exec.Command(binary, append([]string{"connect", addr, "-ca", pki().ca, "-servername", "localhost"}, args...)...))
		one.expect(t, "event SessionTicket")
		server.expect(t, "evil early")
		one.stdin.Close()
		one.wait()
		two := start(t, exec.Command(binary, append([]string{"connect", addr, "-ca", pki().ca, "-servername", "localhost"}, args...)...))
		two.expect(t, accepted)
		server.expect(t, "(?s)evil early.*evil early")
		server.expect(t, "(?s)Early data received:.*End of early data")
		io.WriteString(two.stdin, "and more\n")
		server.expect(t, "and more")
		two.stdin.Close()

		// A server that does not know the ticket: it goes out once more, behind the handshake.
		server, addr = sServerAs(t, pki().ecdsa, "-tls1_3", "-early_data", "-max_early_data", "1000")
		out, err := connectAs(t, "and more\n", addr, args...)
		works(t, out, err, "event EarlyRejected")
		server.expect(t, "evil early\nand more\n")
		if strings.Contains(out, "* resumed") || strings.Contains(out, accepted) {
			t.Error(out)
		}
	})
	t.Run("gnutls", func(t *testing.T) {
		t.Parallel()
		_, addr := gnutlsServ(t, pki().ecdsa, "NORMAL:-VERS-ALL:+VERS-TLS1.3", "--earlydata", "--maxearlydata", "1000")
		_, second := connectTwice(t, "it comes back\n", addr, "-early-data", earlyFile(t, "early\n"))
		contains(t, second, accepted, "it comes back\n")
	})
	t.Run("nginx", func(t *testing.T) {
		t.Parallel()
		addr := nginx(t, "ssl_early_data on;")
		_, second := pageTwice(t, addr, "-early-data", earlyFile(t, getPage10))
		contains(t, second, accepted, "reused=r")
	})
	t.Run("haproxy", func(t *testing.T) {
		t.Parallel()
		addr := haproxy(t, "ssl-min-ver TLSv1.2 allow-0rtt")
		_, second := pageTwice(t, addr, "-early-data", earlyFile(t, getPage10))
		contains(t, second, accepted, "version=TLSv1.3", "reused=1")
	})
	t.Run("ours", func(t *testing.T) {
		t.Parallel()
		long := strings.Repeat("X-Header: filler\r\n", 200)
		addr := serveAs(t, pki().ecdsa, "-early-data", "1000")
		for _, request := range []string{"GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.0\r\n" + long + "\r\n"} {
			_, second := connectTwice(t, "", addr, "-early-data", earlyFile(t, request))
			contains(t, second, accepted, "early data         yes", "200 OK")
		}
	})
}
