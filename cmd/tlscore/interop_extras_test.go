package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestServeOCSP(t *testing.T) {
	for _, v := range versions {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			addr := serveAs(t, pki().ecdsa, "-ocsp", pki().ecdsaStaple)
			t.Run("openssl", func(t *testing.T) {
				t.Parallel()
				out, err := sClient(t, addr, getPage10, v.openssl, "-status")
				works(t, out, err, "OCSP Response Status: successful (0x0)", "Cert Status: good", "200 OK")
			})
			t.Run("gnutls", func(t *testing.T) {
				t.Parallel()
				saved := filepath.Join(t.TempDir(), "ocsp")
				out, err := gnutlsCli(t, addr, getPage10, "--ocsp", "--save-ocsp", saved, "--priority", v.gnutls)
				works(t, out, err, "200 OK", "OCSP status request")
				sameFile(t, saved, pki().ecdsaStaple)
			})
			t.Run("curl", func(t *testing.T) {
				t.Parallel()
				out, err := output(t, "", need(t, "curl"), "-sSv", "--cert-status", "--cacert", pki().ca, "--tls-max", v.name, "https://"+addr+"/")
				works(t, out, err, "SSL certificate status: good (0)")
				// One that was revoked is the client's to refuse.
				revoked := serveAs(t, pki().ecdsa, "-ocsp", pki().revokedStaple)
				out, err = output(t, "", need(t, "curl"), "-sSv", "--cert-status", "--cacert", pki().ca, "--tls-max", v.name, "https://"+revoked+"/")
				fails(t, out, err, "revoked")
			})
			t.Run("crypto/tls", func(t *testing.T) {
				t.Parallel()
				conn := stdClientAs(t, addr, v.name, pki().client.std())
				exchange(t, conn, bufio.NewReader(conn), getPage)
				staple, _ := os.ReadFile(pki().ecdsaStaple)
				if !bytes.Equal(conn.ConnectionState().OCSPResponse, staple) {
					t.Errorf("%x", conn.ConnectionState().OCSPResponse)
				}
			})
		})
	}
}

func sameFile(t *testing.T, a, b string) {
	t.Helper()
	one, err := os.ReadFile(a)
	two, err2 := os.ReadFile(b)
	if err != nil || err2 != nil || !bytes.Equal(one, two) {
		t.Errorf("%s and %s differ: %v, %v", a, b, err, err2)
	}
}

func TestConnectOCSP(t *testing.T) {
	for _, v := range versions {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			good, revoked := "OCSP response: good, of ", "OCSP response: revoked, of "
			t.Run("openssl", func(t *testing.T) {
				t.Parallel()
				for file, want := range map[string]string{pki().ecdsaStaple: good, pki().revokedStaple: revoked} {
					_, addr := sServerAs(t, pki().ecdsa, v.openssl, "-rev", "-status", "-status_file", file)
					out, err := connectAs(t, "live\n", addr, "-ocsp")
					works(t, out, err, want, "evil\n")
					out, err = connectAs(t, "live\n", addr)
					works(t, out, err, "evil\n")
					if strings.Contains(out, "OCSP") {
						t.Error(out)
					}
				}
				_, addr := sServerAs(t, pki().ecdsa, v.openssl, "-rev")
				out, err := connectAs(t, "live\n", addr, "-ocsp")
				works(t, out, err, "no OCSP response", "evil\n")
			})
			t.Run("gnutls", func(t *testing.T) {
				t.Parallel()
				_, addr := gnutlsServ(t, pki().ecdsa, v.gnutls, "--ocsp-response", pki().ecdsaStaple)
				out, err := connectAs(t, "it comes back\n", addr, "-ocsp")
				works(t, out, err, good, "it comes back\n")
			})
			t.Run("nginx", func(t *testing.T) {
				t.Parallel()
				addr := nginx(t, "ssl_stapling on; ssl_stapling_file "+pki().ecdsaStaple+";")
				out, err := webPage(t, addr, "-ocsp", "-max", v.name)
				works(t, out, err, good, "version=TLSv"+v.name)
			})
			t.Run("crypto/tls", func(t *testing.T) {
				t.Parallel()
				cert := pki().ecdsa.std()
				cert.OCSPStaple, _ = os.ReadFile(pki().ecdsaStaple)
				cert.SignedCertificateTimestamps = [][]byte{[]byte("one"), []byte("another")}
				cfg := &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
					return &tls.Config{Certificates: []tls.Certificate{cert}}, nil
				}}
				addr, _ := stdServer(t, cfg, echo)
				out, err := connectAs(t, "it comes back\n", addr, "-ocsp", "-max", v.name)
				works(t, out, err, good, "* 2 certificate timestamps", "it comes back\n")
			})
		})
	}
}

// find returns what the pattern finds in text, in lower case.
func find(t *testing.T, text, pattern string) string {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("no %q in:\n%s", pattern, text)
	}
	return strings.ToLower(m[1])
}

// Both sides export the same.
func TestServeExporter(t *testing.T) {
	t.Parallel()
	addr := serveAs(t, pki().ecdsa)
	t.Run("openssl", func(t *testing.T) {
		t.Parallel()
		out, err := sClient(t, addr, getPage10, "-tls1_3", "-keymatexport", "EXPORTER-Channel-Binding", "-keymatexportlen", "32")
		works(t, out, err)
		if theirs, ours := find(t, out, `Keying material: ([0-9A-F]+)`), find(t, out, `channel binding +([0-9a-f]+)`); theirs != ours {
			t.Errorf("%s, %s", theirs, ours)
		}
	})
	t.Run("gnutls", func(t *testing.T) {
		t.Parallel()
		out, err := gnutlsCli(t, addr, getPage10, "--verbose", "--priority", "NORMAL:-VERS-ALL:+VERS-TLS1.3")
		works(t, out, err)
		if theirs, ours := find(t, out, `'tls-exporter': ([0-9a-f]+)`), find(t, out, `channel binding +([0-9a-f]+)`); theirs != ours {
			t.Errorf("%s, %s", theirs, ours)
		}
	})
	for _, v := range versions {
		t.Run("crypto/tls "+v.name, func(t *testing.T) {
			t.Parallel()
			conn := stdClientAs(t, addr, v.name, pki().client.std())
			_, body := exchange(t, conn, bufio.NewReader(conn), getPage)
			state := conn.ConnectionState()
			theirs, err := state.ExportKeyingMaterial("EXPORTER-Channel-Binding", []byte{}, 32)
			if ours := find(t, body, `channel binding +([0-9a-f]+)`); err != nil || hex.EncodeToString(theirs) != ours {
				t.Errorf("%x, %v, %s", theirs, err, ours)
			}
		})
	}
}

func TestConnectExporter(t *testing.T) {
	for _, v := range versions {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			server, addr := sServerAs(t, pki().ecdsa, v.openssl, "-keymatexport", "EXPORTER-test", "-keymatexportlen", "32")
			out, err := connectAs(t, "", addr, "-export", "EXPORTER-test")
			works(t, out, err)
			theirs := strings.ToLower(server.expect(t, `Keying material: ([0-9A-F]+)\n`))
			if ours := find(t, out, `keying material for "EXPORTER-test" ([0-9a-f]+)`); ours != theirs {
				t.Errorf("%s, %s", ours, theirs)
			}
			gnutls, addr := gnutlsServ(t, pki().ecdsa, v.gnutls, "--keymatexport", "EXPORTER-test", "--keymatexportsize", "32")
			out, err = connectAs(t, "it comes back\n", addr, "-export", "EXPORTER-test")
			works(t, out, err, "it comes back\n")
			theirs = strings.ToLower(gnutls.expect(t, `(?i)Key material: ([0-9a-f]+)\n`))
			if ours := find(t, out, `keying material for "EXPORTER-test" ([0-9a-f]+)`); ours != theirs {
				t.Errorf("gnutls: %s, %s", ours, theirs)
			}
		})
	}
}

// sameKeyLog checks that two key logs have the same secrets, in any order. The other
// program may still be writing.
func sameKeyLog(t *testing.T, ours, theirs string) {
	t.Helper()
	read := func(path string) (lines []string) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if !strings.HasPrefix(line, "#") {
				lines = append(lines, strings.TrimSpace(line))
			}
		}
		slices.Sort(lines)
		return slices.Compact(lines)
	}
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		a, b := read(ours), read(theirs)
		if len(a) > 0 && slices.Equal(a, b) {
			return
		}
		if time.Now().After(end) {
			t.Errorf("ours:\n%s\ntheirs:\n%s", strings.Join(a, "\n"), strings.Join(b, "\n"))
			return
		}
	}
}

// The same secrets as in the key logs of openssl, of early data too.
func TestKeyLog(t *testing.T) {
	early := earlyFile(t, getPage10)
	for _, v := range versions {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			ours, theirs, session := filepath.Join(dir, "ours"), filepath.Join(dir, "theirs"), filepath.Join(dir, "session")
			addr := serveAs(t, pki().ecdsa, "-keylog", ours, "-early-data", "1000")
			out, err := sClient(t, addr, getPage10, v.openssl, "-keylogfile", theirs, "-sess_out", session)
			works(t, out, err)
			sameKeyLog(t, ours, theirs)
			args := []string{v.openssl, "-keylogfile", theirs, "-sess_in", session}
			request := getPage10
			if v.name == "1.3" {
				args, request = append(args, "-early_data", early), ""
			}
			out, err = sClient(t, addr, request, args...)
			works(t, out, err, "resumed            yes")
			sameKeyLog(t, ours, theirs)
			if info, err := os.Stat(ours); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%v, %v", info.Mode(), err)
			}
		})
		t.Run("connect "+v.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			ours, theirs := filepath.Join(dir, "ours"), filepath.Join(dir, "theirs")
			_, addr := sServerAs(t, pki().ecdsa, v.openssl, "-rev", "-keylogfile", theirs)
			connectTwice(t, "live\n", addr, "-keylog", ours)
			sameKeyLog(t, ours, theirs)
		})
	}
}

// Limits are kept in both directions, whoever sets them.
func TestRecordSizeLimit(t *testing.T) {
	const tag, explicitNonce = 16, 8 // what the protection adds
	added := map[string]int{"1.2": tag + explicitNonce, "1.3": tag}
	for _, v := range versions {
		t.Run("gnutls-cli "+v.name, func(t *testing.T) {
			t.Parallel()
			tap := tapped(t, serveAs(t, pki().ecdsa, "-record-size-limit", "700"))
			_, port, _ := strings.Cut(tap.addr, ":")
			args := []string{"--x509cafile", pki().ca, "-p", port, "localhost", "--recordsize", "600", "--priority", v.gnutls + ":-CIPHER-ALL:+AES-128-GCM"}
			// gnutls-cli loses what does not fit into one record, so the request is short.
			out, err := output(t, "GET /bytes/20000 HTTP/1.0\r\n\r\n", need(t, "gnutls-cli"), args...)
			works(t, out, err, "200 OK")
			if n := tap.longest(t, true); n > 600+1+added[v.name] {
				t.Errorf("the server's longest record is %d", n)
			}
			if n := tap.longest(t, false); n > 700+1+added[v.name] {
				t.Errorf("the client's longest record is %d", n)
			}
		})
		t.Run("gnutls-serv "+v.name, func(t *testing.T) {
			t.Parallel()
			_, addr := gnutlsServ(t, pki().ecdsa, v.gnutls+":-CIPHER-ALL:+AES-128-GCM", "--recordsize", "600")
			tap := tapped(t, addr)
			text := strings.Repeat("all of this comes back ", 200) + "\n"
			out, err := runConnectTo(t, text, tap.addr, "-ca", pki().ca, "-servername", "localhost", "-record-size-limit", "700", "-q")
			works(t, out, err)
			if out != text {
				t.Errorf("%d bytes of %d came back: %.200q", len(out), len(text), out)
			}
			if n := tap.longest(t, true); n > 700+1+added[v.name] {
				t.Errorf("the server's longest record is %d", n)
			}
			if n := tap.longest(t, false); n > 600+1+added[v.name] {
				t.Errorf("the client's longest record is %d", n)
			}
		})
	}
}
