package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// suite12 is a cipher suite of TLS 1.2 under all of its names.
type suite12 struct {
	name, openssl, gnutls string
	rsa                   bool // wants an RSA certificate
}

var suites12 = []suite12{
	{"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA:+AES-128-GCM", false},
	{"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA:+AES-256-GCM", false},
	{"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-ECDSA:+CHACHA20-POLY1305", false},
	{"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA:+AES-128-GCM", true},
	{"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA:+AES-256-GCM", true},
	{"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-CHACHA20-POLY1305", "ECDHE-RSA:+CHACHA20-POLY1305", true},
}

// priority is what gnutls calls the choice of this suite.
func (s suite12) priority() string {
	return "NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:-CIPHER-ALL:+" + s.gnutls
}

// identity is the certificate for the suite.
func (s suite12) identity() identity {
	if s.rsa {
		return pki().rsa
	}
	return pki().ecdsa
}

// serveArgs starts a server with a certificate of the test's authority.
func serveAs(t *testing.T, id identity, args ...string) (addr string) {
	t.Helper()
	return startServe(t, append([]string{"-cert", id.cert, "-key", id.key}, args...)...).listening(t)
}

// sClient runs openssl s_client, which asks for a page.
func sClient(t *testing.T, addr, request string, args ...string) (string, error) {
	t.Helper()
	args = append([]string{"s_client", "-connect", addr, "-ign_eof", "-servername", "localhost", "-CAfile", pki().ca}, args...)
	return output(t, request, need(t, "openssl"), args...)
}

// gnutlsCli runs gnutls-cli, which asks for a page.
func gnutlsCli(t *testing.T, addr, request string, args ...string) (string, error) {
	t.Helper()
	_, port, _ := net.SplitHostPort(addr)
	args = append([]string{"--x509cafile", pki().ca, "-p", port, "localhost"}, args...)
	return output(t, request, need(t, "gnutls-cli"), args...)
}

// works checks that a program ended well and printed what it should.
func works(t *testing.T, out string, err error, want ...string) {
	t.Helper()
	if err != nil {
		t.Errorf("%v:\n%s", err, out)
	}
	contains(t, out, want...)
}

// fails checks that a program did not end well, and printed what it should.
func fails(t *testing.T, out string, err error, want ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("it succeeded:\n%s", out)
	}
	contains(t, out, want...)
}

func TestServeSuites12(t *testing.T) {
	for _, s := range suites12 {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			addr := serveAs(t, s.identity())
			page := []string{"version            TLS 1.2\ncipher suite       " + s.name + "\n", "resumed            no"}
			out, err := sClient(t, addr, getPage10, "-tls1_2", "-cipher", s.openssl)
			works(t, out, err, append(page, "Verify return code: 0 (ok)", "Extended master secret: yes")...)
			out, err = gnutlsCli(t, addr, getPage10, "--priority", s.priority()+":+GROUP-ALL")
			works(t, out, err, append(page, "Options: extended master secret, safe renegotiation")...)
			conn := tls.Client(dial(t, addr), &tls.Config{RootCAs: pki().pool, ServerName: "localhost", MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{suiteID(t, s.name)}})
			io.WriteString(conn, getPage10)
			body, _ := io.ReadAll(conn)
			contains(t, string(body), page...)
		})
	}
}

func suiteID(t *testing.T, name string) uint16 {
	t.Helper()
	id, ok := suiteByName(name)
	if !ok {
		t.Fatal(name)
	}
	return id
}

func TestServe12(t *testing.T) {
	t.Parallel()
	addr, rsa := serveAs(t, pki().ecdsa), serveAs(t, pki().rsa)
	t.Run("curl", func(t *testing.T) {
		t.Parallel()
		out, err := output(t, "", need(t, "curl"), "-sS", "--cacert", pki().ca, "--tls-max", "1.2", "https://"+addr+"/", "https://"+addr+"/bytes/3000000")
		works(t, out[:min(len(out), 2000)], err, "version            TLS 1.2", "ALPN               http/1.1")
		if len(out) < 3000000 {
			t.Errorf("%d bytes", len(out))
		}
	})
	for group, name := range map[string]string{"P-256": "CurveP256", "P-384": "CurveP384", "P-521": "CurveP521", "X25519": "X25519"} {
		t.Run(group, func(t *testing.T) {
			t.Parallel()
			// With an ECDSA certificate, the client would have to have its curve, too.
			out, err := sClient(t, rsa, getPage10, "-tls1_2", "-groups", group, "-alpn", "h2,http/1.1")
			works(t, out, err, "key exchange       "+name+"\n", "ALPN protocol: http/1.1")
		})
	}
	t.Run("without extended master secret", func(t *testing.T) {
		t.Parallel()
		out, err := gnutlsCli(t, addr, getPage10, "--priority", "NORMAL:-VERS-ALL:+VERS-TLS1.2:%NO_SESSION_HASH")
		works(t, out, err, "version            TLS 1.2", "channel binding    none")
	})
	// Nothing that was never there is spoken.
	for name, args := range map[string][]string{
		"RSA key transport": {"-tls1_2", "-cipher", "AES128-GCM-SHA256"},
		"CBC":               {"-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA256"},
		"DHE":               {"-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := sClient(t, rsa, "", args...)
			fails(t, out, err, "alert handshake failure")
		})
	}
	t.Run("TLS 1.1", func(t *testing.T) {
		t.Parallel()
		out, err := sClient(t, addr, "", "-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0")
		fails(t, out, err, "alert protocol version")
	})
	t.Run("a version that was fallen back to", func(t *testing.T) {
		t.Parallel()
		out, err := sClient(t, addr, "", "-tls1_2", "-fallback_scsv")
		fails(t, out, err, "alert inappropriate fallback")
	})
	t.Run("only 1.2 here", func(t *testing.T) {
		t.Parallel()
		addr := serveAs(t, pki().ecdsa, "-max", "1.2")
		for _, args := range [][]string{nil, {"-tls1_2", "-fallback_scsv"}} {
			out, err := sClient(t, addr, getPage10, args...)
			works(t, out, err, "version            TLS 1.2")
		}
		out, err := sClient(t, addr, "", "-tls1_3")
		fails(t, out, err, "alert protocol version")
	})
	t.Run("only 1.3 here", func(t *testing.T) {
		t.Parallel()
		addr := serveAs(t, pki().ecdsa, "-min", "1.3")
		out, err := sClient(t, addr, "", "-tls1_2")
		fails(t, out, err, "alert protocol version")
	})
}

// A client that wants to negotiate anew (R) is told that this is not done here.
func TestServeRenegotiation(t *testing.T) {
	t.Parallel()
	addr := serveAs(t, pki().ecdsa)
	p := start(t, exec.Command(need(t, "openssl"), "s_client", "-connect", addr, "-tls1_2", "-legacy_renegotiation"))
	p.expect(t, "Verify return code")
	io.WriteString(p.stdin, "R\n")
	p.expect(t, "RENEGOTIATING")
	p.expect(t, "(?i)no.renegotiation")
}

// connectAs runs "connect" to a server that has a certificate of the test's authority.
func connectAs(t *testing.T, stdin, addr string, args ...string) (string, error) {
	t.Helper()
	return runConnectTo(t, stdin, addr, append([]string{"-ca", pki().ca, "-servername", "localhost"}, args...)...)
}

// sServerAs starts openssl s_server, which sends back what it gets, reversed.
func sServerAs(t *testing.T, id identity, args ...string) (p *process, addr string) {
	t.Helper()
	args = append([]string{"s_server", "-accept", "127.0.0.1:0", "-cert", id.cert, "-key", id.key, "-cert_chain", pki().ca}, args...)
	p = start(t, exec.Command(need(t, "openssl"), args...))
	return p, p.expect(t, `ACCEPT (\S+:\d+)`)
}

// gnutlsServ starts gnutls-serv, which sends back what it gets.
func gnutlsServ(t *testing.T, id identity, priority string, args ...string) (p *process, addr string) {
	t.Helper()
	port := freePort(t)
	args = append([]string{"--echo", "-p", port, "--x509certfile", id.cert, "--x509keyfile", id.key, "--priority", priority}, args...)
	p = start(t, exec.Command(need(t, "gnutls-serv"), args...))
	p.expect(t, `(?i)listening on IPv4 .*done`)
	return p, "127.0.0.1:" + port
}

func TestConnectSuites12(t *testing.T) {
	for _, s := range suites12 {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			want := []string{"TLS 1.2, " + s.name, `verified for "localhost"`, "event Closed, state Closed"}
			_, addr := sServerAs(t, s.identity(), "-tls1_2", "-rev", "-cipher", s.openssl)
			out, err := connectAs(t, "live\n", addr)
			works(t, out, err, append(want, "evil\n")...)
			_, addr = gnutlsServ(t, s.identity(), s.priority()+":+GROUP-ALL")
			out, err = connectAs(t, "it comes back\n", addr)
			works(t, out, err, append(want, "it comes back\n")...)
			addr, ca := stdServer(t, &tls.Config{MaxVersion: tls.VersionTLS12}, echo)
			if !s.rsa { // the certificate of stdServer is an ECDSA one
				out, err = runConnectTo(t, "it comes back\n", addr, "-ca", ca, "-ciphers", s.name)
				works(t, out, err, "TLS 1.2, "+s.name, "it comes back\n")
			}
		})
	}
}

func TestConnect12(t *testing.T) {
	for _, group := range []struct{ openssl, name string }{{"P-256", "CurveP256"}, {"P-384", "CurveP384"}, {"P-521", "CurveP521"}, {"X25519", "X25519"}} {
		t.Run(group.openssl, func(t *testing.T) {
			t.Parallel()
			_, addr := sServerAs(t, pki().rsa, "-tls1_2", "-rev", "-groups", group.openssl, "-alpn", "x,y")
			out, err := connectAs(t, "live\n", addr, "-alpn", "y,z")
			works(t, out, err, "evil\n", group.name, `ALPN "y"`)
		})
	}
	t.Run("without extended master secret", func(t *testing.T) {
		t.Parallel()
		_, addr := gnutlsServ(t, pki().ecdsa, "NORMAL:-VERS-ALL:+VERS-TLS1.2:%NO_SESSION_HASH")
		out, err := connectAs(t, "it comes back\n", addr, "-export", "EXPORTER-test")
		works(t, out, err, "it comes back\n", "no keying material")
	})
	t.Run("a version that was fallen back to", func(t *testing.T) {
		t.Parallel()
		_, addr := sServerAs(t, pki().ecdsa)
		out, err := connectAs(t, "", addr, "-max", "1.2", "-fallback-scsv")
		fails(t, out, err, "alert: received inappropriate_fallback (86)")
	})
	t.Run("only 1.2 there", func(t *testing.T) {
		t.Parallel()
		_, addr := sServerAs(t, pki().ecdsa, "-tls1_2", "-rev")
		out, err := connectAs(t, "live\n", addr, "-max", "1.2", "-fallback-scsv")
		works(t, out, err, "evil\n")
		out, err = connectAs(t, "", addr, "-min", "1.3")
		fails(t, out, err, "alert: received protocol_version (70)")
	})
	for name, args := range map[string][]string{
		"RSA key transport": {"-cipher", "AES128-GCM-SHA256"},
		"CBC":               {"-cipher", "ECDHE-RSA-AES128-SHA256"},
		"DHE":               {"-cipher", "DHE-RSA-AES128-GCM-SHA256"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, addr := sServerAs(t, pki().rsa, append(args, "-tls1_2")...)
			out, err := connectAs(t, "", addr)
			fails(t, out, err, "alert: received handshake_failure (40)")
		})
	}
}

// A server that wants to negotiate anew (r) is not followed.
func TestConnectRenegotiation(t *testing.T) {
	t.Parallel()
	server, addr := sServerAs(t, pki().ecdsa, "-tls1_2", "-legacy_renegotiation", "-msg")
	client := start(t, exec.Command(binary, "connect", "-insecure", addr))
	client.expect(t, "event HandshakeDone")
	server.expect(t, "CIPHER is")
	io.WriteString(server.stdin, "r\n")
	client.expect(t, "> alert no_renegotiation")
	server.expect(t, "(?i)no.renegotiation")
}

// GREASE and a shuffled ClientHello are nothing to any of them.
func TestConnectGREASE(t *testing.T) {
	for version, priority := range map[string]string{"1.2": "NORMAL:-VERS-ALL:+VERS-TLS1.2", "1.3": "NORMAL"} {
		for range 4 { // the order is another one each time
			t.Run(version, func(t *testing.T) {
				t.Parallel()
				_, addr := sServerAs(t, pki().ecdsa, "-rev")
				out, err := connectAs(t, "live\n", addr, "-grease", "-max", version)
				works(t, out, err, "evil\n", "TLS "+version)
				_, addr = gnutlsServ(t, pki().ecdsa, priority)
				out, err = connectAs(t, "it comes back\n", addr, "-grease")
				works(t, out, err, "it comes back\n", "TLS "+version)
				addr, ca := stdServer(t, &tls.Config{}, echo)
				out, err = runConnectTo(t, "it comes back\n", addr, "-ca", ca, "-grease", "-max", version)
				works(t, out, err, "it comes back\n", "TLS "+version)
			})
		}
	}
}

// outputOpen is output for a program that is to wait for the server to close: its stdin
// stays open.
func outputOpen(t *testing.T, stdin, program string, args ...string) (string, error) {
	t.Helper()
	p := start(t, exec.Command(program, args...))
	io.WriteString(p.stdin, stdin)
	err := p.wait()
	return p.stdout.String() + p.stderr.String(), err
}

// webPage asks a web server for its page, and so does -early-data, instead. It waits for the
// server to close, since nginx does not say so to who has closed before.
func webPage(t *testing.T, addr string, args ...string) (string, error) {
	t.Helper()
	request := getPage10
	if slices.Contains(args, "-early-data") {
		request = ""
	}
	return outputOpen(t, request, binary, append([]string{"connect", addr, "-ca", pki().ca, "-servername", "localhost"}, args...)...)
}

// nginx starts nginx with what goes into its server block.
func nginx(t *testing.T, server string) (addr string) {
	t.Helper()
	program := need(t, "nginx")
	dir, port := t.TempDir(), freePort(t)
	conf := fmt.Sprintf(`daemon off; master_process off; pid %[1]s/pid; error_log stderr;
events { worker_connections 64; }
http {
	access_log off;
	client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s; uwsgi_temp_path %[1]s; scgi_temp_path %[1]s;
	server {
		listen 127.0.0.1:%[2]s ssl;
		ssl_certificate %[3]s; ssl_certificate_key %[4]s;
		ssl_protocols TLSv1.2 TLSv1.3;
		location / { return 200 "version=$ssl_protocol cipher=$ssl_cipher reused=$ssl_session_reused early=$ssl_early_data client=$ssl_client_verify $ssl_client_s_dn\n"; }
		%[5]s
	}
}
`, dir, port, pki().ecdsa.cert, pki().ecdsa.key, server)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, exec.Command(program, "-e", "stderr", "-p", dir, "-c", file))
	return awaitPort(t, port)
}

// haproxy starts haproxy with more of its bind line.
func haproxy(t *testing.T, bind string) (addr string) {
	t.Helper()
	return runHAProxy(t, fmt.Sprintf(`bind 127.0.0.1:%%[1]s ssl crt %%[2]s %s
	http-request return status 200 content-type text/plain lf-string "version=%%%%[ssl_fc_protocol] cipher=%%%%[ssl_fc_cipher] reused=%%%%[ssl_fc_is_resumed] early=%%%%[ssl_fc_has_early] client=%%%%[ssl_c_verify] %%%%[ssl_c_s_dn]\n"`, bind), pki().ecdsa)
}

// haproxyProxy starts haproxy as a client of a server: it speaks HTTP itself.
func haproxyProxy(t *testing.T, server, version string, id identity) (addr string) {
	t.Helper()
	return runHAProxy(t, fmt.Sprintf(`bind 127.0.0.1:%%[1]s
	default_backend behind
backend behind
	http-reuse never
	http-request set-header Connection close
	server one %s ssl crt %%[2]s verify required verifyhost localhost sni str(localhost) ca-file %s force-tlsv%s`, server, pki().ca, strings.ReplaceAll(version, ".", "")), id)
}

// runHAProxy starts haproxy with a frontend, in which %[1]s is the port and %[2]s a file
// with the certificate and its key.
func runHAProxy(t *testing.T, frontend string, id identity) (addr string) {
	t.Helper()
	program := need(t, "haproxy")
	dir, port := t.TempDir(), freePort(t)
	cert, _ := os.ReadFile(id.cert)
	key, _ := os.ReadFile(id.key)
	pem := filepath.Join(dir, "both.pem")
	file := filepath.Join(dir, "haproxy.cfg")
	conf := `global
	tune.ssl.default-dh-param 2048
defaults
	mode http
	timeout connect %[1]s
	timeout client %[1]s
	timeout server %[1]s
frontend front
	%[2]s
`
	conf = fmt.Sprintf(conf, strconv.Itoa(int(patience.Seconds()))+"s", fmt.Sprintf(frontend, port, pem))
	for name, content := range map[string][]byte{pem: append(cert, key...), file: []byte(conf)} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	start(t, exec.Command(program, "-db", "-f", file))
	return awaitPort(t, port)
}

// nginxProxy starts nginx as a client of a server: what it is asked for, it asks for there.
func nginxProxy(t *testing.T, server, version string, id identity) (addr string) {
	t.Helper()
	return nginx(t, fmt.Sprintf(`location = /proxied {
			proxy_pass https://%s/; proxy_http_version 1.1; proxy_set_header Host localhost; proxy_set_header Connection close;
			proxy_ssl_protocols TLSv%s; proxy_ssl_session_reuse on;
			proxy_ssl_name localhost; proxy_ssl_server_name on;
			proxy_ssl_verify on; proxy_ssl_verify_depth 2; proxy_ssl_trusted_certificate %s;
			proxy_ssl_certificate %s; proxy_ssl_certificate_key %s;
		}`, server, version, pki().ca, id.cert, id.key))
}

// A proxy in front of ours: it verifies the server, shows its own certificate, and resumes.
func TestServeNginxProxy(t *testing.T) {
	for _, v := range versions {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			for name, args := range map[string][]string{"tickets": nil, "stateful": {"-stateful"}} {
				server := serveAs(t, pki().ecdsa, append(args, "-client-auth", "verify", "-client-ca", pki().ca)...)
				proxy := nginxProxy(t, server, v.name, pki().client)
				for i, resumed := range []string{"no", "yes", "yes"} {
					out, err := outputOpen(t, "GET /proxied HTTP/1.0\r\n\r\n", binary, "connect", proxy, "-ca", pki().ca, "-servername", "localhost", "-q")
					if err != nil {
						t.Errorf("%s, request %d: %v", name, i, err)
					}
					contains(t, out, "version            TLS "+v.name, "resumed            "+resumed, "client             CN=alice,O=tlscore tests, verified")
				}
			}
		})
	}
}

func TestServeHAProxy(t *testing.T) {
	for _, v := range versions {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			for name, args := range map[string][]string{"tickets": nil, "stateful": {"-stateful"}} {
				server := serveAs(t, pki().ecdsa, append(args, "-client-auth", "verify", "-client-ca", pki().ca)...)
				proxy := haproxyProxy(t, server, v.name, pki().rsaClient)
				resumed := 0
				for range 4 { // each of its threads has sessions of its own
					conn := dial(t, proxy)
					io.WriteString(conn, getPage10)
					page, _ := io.ReadAll(conn)
					contains(t, string(page), "version            TLS "+v.name, "client             CN=bob,O=tlscore tests, verified")
					resumed += strings.Count(string(page), "resumed            yes")
				}
				if resumed == 0 {
					t.Errorf("%s: it never resumes", name)
				}
			}
		})
	}
}

// awaitPort waits until somebody listens.
func awaitPort(t *testing.T, port string) (addr string) {
	t.Helper()
	addr = "127.0.0.1:" + port
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if conn, err := net.Dial("tcp", addr); err == nil {
			conn.Close()
			return addr
		}
	}
	t.Fatal("nobody listens on", addr)
	return ""
}

func TestConnectServers(t *testing.T) {
	for name, begin := range map[string]func(*testing.T) string{
		"nginx":   func(t *testing.T) string { return nginx(t, "") },
		"haproxy": func(t *testing.T) string { return haproxy(t, "alpn http/1.1 ssl-min-ver TLSv1.2") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr := begin(t)
			for version, suite := range map[string]string{"1.2": "ECDHE-ECDSA-AES128-GCM-SHA256", "1.3": "TLS_AES_256_GCM_SHA384"} {
				id := map[string]string{"1.2": "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "1.3": suite}[version]
				out, err := webPage(t, addr, "-max", version, "-alpn", "http/1.1", "-ciphers", id, "-grease")
				works(t, out, err, "version=TLSv"+version+" cipher="+strings.TrimSpace(suite), `ALPN "http/1.1"`)
			}
		})
	}
}
