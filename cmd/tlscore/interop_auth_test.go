package main

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"testing"
)

// pem returns the files of an identity as openssl, gnutls and connect name them.
func (i identity) openssl() []string { return []string{"-cert", i.cert, "-key", i.key} }
func (i identity) gnutls() []string {
	return []string{"--x509certfile", i.cert, "--x509keyfile", i.key}
}

// versions are TLS 1.2 and 1.3 as the peers call them.
var versions = []struct{ name, openssl, gnutls string }{
	{"1.2", "-tls1_2", "NORMAL:-VERS-ALL:+VERS-TLS1.2"},
	{"1.3", "-tls1_3", "NORMAL:-VERS-ALL:+VERS-TLS1.3"},
}

func TestServeClientAuth(t *testing.T) {
	for _, v := range versions {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			verify := serveAs(t, pki().ecdsa, "-client-auth", "verify", "-client-ca", pki().ca)
			request := serveAs(t, pki().ecdsa, "-client-auth", "request", "-max", v.name)
			for name, id := range map[string]identity{"alice": pki().client, "bob": pki().rsaClient} {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					verified := "client             CN=" + name + ",O=tlscore tests, verified"
					t.Run("openssl", func(t *testing.T) {
						t.Parallel()
						out, err := sClient(t, verify, getPage10, append(id.openssl(), v.openssl)...)
						works(t, out, err, verified, "Acceptable client certificate CA names\nO = tlscore tests, CN = authority")
						out, err = sClient(t, request, getPage10, append(id.openssl(), v.openssl)...)
						works(t, out, err, "CN="+name, "not verified")
					})
					t.Run("gnutls", func(t *testing.T) {
						t.Parallel()
						out, err := gnutlsCli(t, verify, getPage10, append(id.gnutls(), "--priority", v.gnutls)...)
						works(t, out, err, verified)
					})
					t.Run("curl", func(t *testing.T) {
						t.Parallel()
						out, err := output(t, "", need(t, "curl"), "-sS", "--cacert", pki().ca, "--tls-max", v.name, "--cert", id.cert, "--key", id.key, "https://"+verify+"/private")
						works(t, out, err, "You are CN="+name)
					})
					t.Run("crypto/tls", func(t *testing.T) {
						t.Parallel()
						conn := stdClientAs(t, verify, v.name, id.std())
						_, body := exchange(t, conn, bufio.NewReader(conn), getPage)
						contains(t, body, verified)
					})
				})
			}
			t.Run("resumed", func(t *testing.T) {
				t.Parallel()
				// Whoever resumes is still the same.
				session := testFile("auth-session-"+v.name, nil)
				out, err := sClient(t, verify, getPage10, append(pki().client.openssl(), v.openssl, "-sess_out", session)...)
				works(t, out, err, "resumed            no")
				out, err = sClient(t, verify, getPage10, v.openssl, "-sess_in", session)
				works(t, out, err, "resumed            yes", "client             CN=alice,O=tlscore tests, verified")
			})
			t.Run("nobody", func(t *testing.T) {
				t.Parallel()
				alert := map[string]string{"1.2": "alert handshake failure", "1.3": "alert certificate required"}[v.name]
				out, err := sClient(t, verify, getPage10, v.openssl)
				fails(t, out, err, alert)
				out, err = gnutlsCli(t, verify, getPage10, "--priority", v.gnutls)
				fails(t, out, err, "fatal alert has been received")
				out, err = sClient(t, request, getPage10, v.openssl)
				works(t, out, err, "client             none")
			})
			t.Run("a stranger", func(t *testing.T) {
				t.Parallel()
				ifGiven := serveAs(t, pki().ecdsa, "-client-auth", "request", "-client-ca", pki().ca)
				for _, addr := range []string{verify, ifGiven} {
					out, err := sClient(t, addr, getPage10, append(pki().stranger.openssl(), v.openssl)...)
					fails(t, out, err, "alert unknown ca")
				}
				out, err := sClient(t, ifGiven, getPage10, v.openssl)
				works(t, out, err, "client             none")
				out, err = sClient(t, ifGiven, getPage10, append(pki().client.openssl(), v.openssl)...)
				works(t, out, err, "client             CN=alice,O=tlscore tests, verified")
				conn := stdClientAs(t, verify, v.name, pki().stranger.std())
				io.WriteString(conn, getPage)
				if _, err := conn.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "certificate") {
					t.Errorf("crypto/tls: %v", err)
				}
			})
		})
	}
}

// stdClientAs is a client of crypto/tls with a certificate, which it shows whoever asks.
func stdClientAs(t *testing.T, addr, version string, cert tls.Certificate) *tls.Conn {
	t.Helper()
	cfg := &tls.Config{
		RootCAs: pki().pool, ServerName: "localhost",
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil },
	}
	if version == "1.2" {
		cfg.MaxVersion = tls.VersionTLS12
	}
	return tls.Client(dial(t, addr), cfg)
}

func TestConnectClientAuth(t *testing.T) {
	for _, v := range versions {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			for name, id := range map[string]identity{"alice": pki().client, "bob": pki().rsaClient} {
				as := append(id.openssl(), "-max", v.name)
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					t.Run("openssl", func(t *testing.T) {
						t.Parallel()
						server, addr := sServerAs(t, pki().ecdsa, v.openssl, "-Verify", "2", "-verify_return_error", "-CAfile", pki().ca)
						out, err := connectAs(t, "hello\n", addr, as...)
						works(t, out, err)
						server.expect(t, `depth=0 O = tlscore tests, CN = `+name+`\nverify return:1`)
						server.expect(t, "hello")
					})
					t.Run("gnutls", func(t *testing.T) {
						t.Parallel()
						_, addr := gnutlsServ(t, pki().ecdsa, v.gnutls, "--require-client-cert", "--verify-client-cert", "--x509cafile", pki().ca)
						out, err := connectAs(t, "it comes back\n", addr, as...)
						works(t, out, err, "it comes back\n")
					})
					t.Run("nginx", func(t *testing.T) {
						t.Parallel()
						addr := nginx(t, "ssl_verify_client on; ssl_client_certificate "+pki().ca+";")
						out, err := webPage(t, addr, as...)
						works(t, out, err, "version=TLSv"+v.name, "client=SUCCESS CN="+name)
					})
					t.Run("haproxy", func(t *testing.T) {
						t.Parallel()
						addr := haproxy(t, "ssl-min-ver TLSv1.2 verify required ca-file "+pki().ca)
						out, err := webPage(t, addr, as...)
						works(t, out, err, "version=TLSv"+v.name, "client=0 /O=tlscore tests/CN="+name)
					})
					t.Run("crypto/tls", func(t *testing.T) {
						t.Parallel()
						addr := stdServerAs(t, pki().ecdsa, &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pki().pool}, func(c *tls.Conn) {
							if c.Handshake() == nil {
								io.WriteString(c, "you are "+c.ConnectionState().PeerCertificates[0].Subject.CommonName)
								c.CloseWrite()
								io.Copy(io.Discard, c)
							}
						})
						out, err := connectAs(t, "", addr, as...)
						works(t, out, err, "you are "+name)
					})
				})
			}
			t.Run("nobody", func(t *testing.T) {
				t.Parallel()
				want := map[string]string{"1.2": "alert: received handshake_failure (40)", "1.3": "alert: received certificate_required (116)"}[v.name]
				_, addr := sServerAs(t, pki().ecdsa, v.openssl, "-Verify", "2", "-CAfile", pki().ca)
				out, err := connectAs(t, "", addr)
				fails(t, out, err, want)
			})
			t.Run("a stranger", func(t *testing.T) {
				t.Parallel()
				_, addr := sServerAs(t, pki().ecdsa, v.openssl, "-Verify", "2", "-verify_return_error", "-CAfile", pki().strangerCA)
				// Not among the authorities that the server names: the client has none to show.
				out, err := connectAs(t, "", addr, pki().client.openssl()...)
				fails(t, out, err, map[string]string{"1.2": "handshake_failure", "1.3": "certificate_required"}[v.name])
			})
		})
	}
}

const getPrivate10 = "GET /private HTTP/1.0\r\n\r\n"

// The server asks after the handshake, when a page is wanted that is for known clients.
func TestServePostHandshakeAuth(t *testing.T) {
	bothWays(t, func(t *testing.T, _ string) {
		args := []string{"-post-handshake-auth", "-client-ca", pki().ca}
		if strings.HasSuffix(t.Name(), "acceptor") {
			args = append(args, "-acceptor")
		}
		addr := serveAs(t, pki().ecdsa, args...)
		t.Run("openssl", func(t *testing.T) {
			t.Parallel()
			out, err := sClient(t, addr, getPrivate10, append(pki().client.openssl(), "-tls1_3", "-enable_pha")...)
			works(t, out, err, "200 OK", "You are CN=alice,O=tlscore tests, verified.")
			out, err = sClient(t, addr, getPage10, append(pki().client.openssl(), "-tls1_3", "-enable_pha")...)
			works(t, out, err, "client             none")
			out, err = sClient(t, addr, getPrivate10, "-tls1_3", "-enable_pha")
			works(t, out, err, "403 Forbidden")
			out, err = sClient(t, addr, getPrivate10, append(pki().client.openssl(), "-tls1_3")...)
			works(t, out, err, "403 Forbidden")
			out, err = sClient(t, addr, getPrivate10, append(pki().client.openssl(), "-tls1_2")...)
			works(t, out, err, "403 Forbidden")
			out, _ = sClient(t, addr, getPrivate10, append(pki().stranger.openssl(), "-tls1_3", "-enable_pha")...)
			contains(t, out, "alert unknown ca")
		})
		t.Run("gnutls", func(t *testing.T) {
			t.Parallel()
			_, port, _ := net.SplitHostPort(addr)
			args := append([]string{"--x509cafile", pki().ca, "-p", port, "localhost", "--post-handshake-auth", "--priority", "NORMAL:-VERS-ALL:+VERS-TLS1.3"}, pki().rsaClient.gnutls()...)
			out, err := outputOpen(t, getPrivate10, need(t, "gnutls-cli"), args...)
			works(t, out, err, "You are CN=bob,O=tlscore tests, verified.")
		})
		t.Run("ours", func(t *testing.T) {
			t.Parallel()
			args := append([]string{"connect", addr, "-ca", pki().ca, "-servername", "localhost", "-pha"}, pki().client.openssl()...)
			out, err := outputOpen(t, getPrivate10, binary, args...)
			works(t, out, err, "You are CN=alice,O=tlscore tests, verified.", "< CertificateRequest")
		})
	})
}

// The server asks after the handshake: s_server at its command c, gnutls-serv at what the
// client says.
func TestConnectPostHandshakeAuth(t *testing.T) {
	t.Run("openssl", func(t *testing.T) {
		t.Parallel()
		server, addr := sServerAs(t, pki().ecdsa, "-tls1_3", "-verify", "2", "-verify_return_error", "-CAfile", pki().ca)
		args := append([]string{"connect", addr, "-insecure", "-pha"}, pki().client.openssl()...)
		client := start(t, exec.Command(binary, args...))
		client.expect(t, "event HandshakeDone")
		io.WriteString(client.stdin, "before\n")
		server.expect(t, "before")
		io.WriteString(server.stdin, "c\n")
		server.expect(t, `depth=0 O = tlscore tests, CN = alice\nverify return:1`)
		client.expect(t, `(?s)< CertificateRequest.*> Certificate, .*> CertificateVerify, .*> Finished, `)
		io.WriteString(client.stdin, "behind\n")
		server.expect(t, "behind")
		client.stdin.Close()
		client.expect(t, "> alert close_notify")
	})
	t.Run("gnutls", func(t *testing.T) {
		t.Parallel()
		// It asks in the handshake too, unless told not to; then it asks for any.
		server, addr := gnutlsServ(t, pki().ecdsa, "NORMAL:-VERS-ALL:+VERS-TLS1.3", "--disable-client-cert", "--x509cafile", pki().ca)
		args := append([]string{"connect", addr, "-insecure", "-pha"}, pki().rsaClient.openssl()...)
		client := start(t, exec.Command(binary, args...))
		client.expect(t, "event HandshakeDone")
		io.WriteString(client.stdin, "**REAUTH**\n")
		server.expect(t, "Sending re-auth request")
		client.expect(t, `(?s)< CertificateRequest.*> Certificate, .*> CertificateVerify, .*> Finished, `)
		io.WriteString(client.stdin, "it comes back\n")
		client.expect(t, "it comes back")
	})
}

// A browser that speaks HTTP/1.1 over one connection: known from the first private page on.
func TestServePostHandshakeAuthGoesOn(t *testing.T) {
	everyWayWith(t, []string{"-post-handshake-auth"}, patientLimits, func(t *testing.T, s *testServer) {
		args := append([]string{"s_client", "-connect", s.addr, "-quiet", "-tls1_3", "-enable_pha"}, pki().client.openssl()...)
		client := start(t, exec.Command(need(t, "openssl"), args...))
		r := bufio.NewReader(client.output())
		for _, c := range []struct{ path, want string }{{"/", "client             none"}, {"/private", "You are CN=alice"}, {"/private", "You are CN=alice"}, {"/", "client             CN=alice"}} {
			io.WriteString(client.stdin, "GET "+c.path+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			contains(t, string(body), c.want)
		}
	})
}
