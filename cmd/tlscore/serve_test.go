package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"tlscore.example/tlscore"
	"tlscore.example/tlscore/drive/netconn"
)

// patience bounds whatever a test waits for. It is long: a machine may be busy with other
// things, and only what hangs waits for so long.
const patience = time.Minute

// patientLimits are those of a server whose clients may be slow.
var patientLimits = timeLimits{handshake: patience, idle: patience, linger: patience / 4}

// testServer is a server in this process.
type testServer struct {
	*server
	addr string
	log  *buffer
	stop func() error // ends it, and waits
}

// variant is a way to run a server. All of them look the same from outside.
type variant struct {
	acceptor, goroutines bool
	flags                []string // of serve
}

func (v variant) String() string {
	text := "direct"
	if v.acceptor {
		text = "acceptor"
	}
	if v.goroutines {
		text += ", goroutines"
	}
	return text
}

// everyWay runs a test against all variants.
func everyWay(t *testing.T, limits timeLimits, test func(*testing.T, *testServer)) {
	everyWayWith(t, nil, limits, test)
}

// everyWayWith is everyWay with flags of serve.
func everyWayWith(t *testing.T, flags []string, limits timeLimits, test func(*testing.T, *testServer)) {
	for _, v := range []variant{{false, false, flags}, {true, false, flags}, {false, true, flags}, {true, true, flags}} {
		t.Run(v.String(), func(t *testing.T) {
			t.Parallel()
			test(t, startServer(t, v, limits))
		})
	}
}

func startServer(t *testing.T, v variant, limits timeLimits) *testServer {
	t.Helper()
	log := new(buffer)
	s := &server{std: stdio{nil, io.Discard, log}, limits: limits, acceptor: v.acceptor, verbose: true}
	if err := s.configure(parseServe(t, v.flags...)); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		if v.goroutines {
			ended <- s.serveGoroutines(ctx, ln)
		} else {
			ended <- s.serve(ctx, ln.(*net.TCPListener))
		}
	}()
	stop := sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-ended:
			return err
		case <-time.After(patience):
			return errors.New("the server does not end")
		}
	})
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("server: %v", err)
		}
		if t.Failed() {
			text := log.String()
			t.Logf("the end of the server's log:\n%s", text[max(0, len(text)-2000):])
		}
	})
	return &testServer{s, ln.Addr().String(), log, stop}
}

// awaitLog waits until the server has logged a text.
func (s *testServer) awaitLog(t *testing.T, text string) {
	t.Helper()
	for end := time.Now().Add(patience); !strings.Contains(s.log.String(), text); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the log has no %q", text)
		}
	}
}

// parseServe returns the options that flags mean.
func parseServe(t *testing.T, args ...string) *serveOptions {
	t.Helper()
	var o serveOptions
	fs := newFlags("serve", "")
	o.add(fs)
	if _, err := fs.parse(args, 0, stdio{}); err != nil {
		t.Fatal(err)
	}
	return &o
}

// dial opens a TCP connection that does not live longer than a test may.
func dial(t *testing.T, addr string) *net.TCPConn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { conn.Close() })
	return conn.(*net.TCPConn)
}

// connectTLS opens a TLS connection of crypto/tls.
func connectTLS(t *testing.T, addr string) *tls.Conn {
	t.Helper()
	conn := tls.Client(dial(t, addr), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
	if err := conn.Handshake(); err != nil {
		t.Fatal(err)
	}
	return conn
}

// exchange sends a request and reads one response.
func exchange(t *testing.T, conn io.ReadWriter, r *bufio.Reader, request string) (*http.Response, string) {
	t.Helper()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	return response(t, r)
}

func response(t *testing.T, r *bufio.Reader) (*http.Response, string) {
	t.Helper()
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

const getPage = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

func TestServePage(t *testing.T) {
	everyWay(t, patientLimits, func(t *testing.T, s *testServer) {
		conn := connectTLS(t, s.addr)
		r := bufio.NewReader(conn)
		for range 3 {
			resp, body := exchange(t, conn, r, getPage)
			how := "directly from a config"
			if s.acceptor {
				how = "through the acceptor"
			}
			for _, line := range []string{"TLS 1.3", "TLS_AES_128_GCM_SHA256", "X25519MLKEM768", "http/1.1", how} {
				if !strings.Contains(body, line) {
					t.Errorf("the page lacks %q:\n%s", line, body)
				}
			}
			if resp.StatusCode != 200 {
				t.Error(resp.Status)
			}
		}
		if resp, body := exchange(t, conn, r, getPage+strings.Replace(getPage, "/", "/bytes/100000", 1)); len(body) > 1000 {
			t.Errorf("pipelining: %s and %d bytes", resp.Status, len(body))
		}
		if resp, body := response(t, r); len(body) != 100000 {
			t.Errorf("pipelining: %s and %d bytes", resp.Status, len(body))
		}
		resp, _ := exchange(t, conn, r, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
		if resp.StatusCode != 405 || !resp.Close {
			t.Error(resp.Status)
		}
		if _, err := r.ReadByte(); err != io.EOF { // close_notify
			t.Errorf("after the last response: %v", err)
		}
	})
}

func TestServeMalformed(t *testing.T) {
	everyWay(t, patientLimits, func(t *testing.T, s *testServer) {
		for request, status := range map[string]int{
			"hello\r\n\r\n":                      400,
			"GET /" + strings.Repeat("x", 20000): 431,
			"GET / HTTP/1.0\r\n\r\n":             200,
		} {
			conn := connectTLS(t, s.addr)
			r := bufio.NewReader(conn)
			resp, _ := exchange(t, conn, r, request)
			if resp.StatusCode != status || !resp.Close {
				t.Errorf("%.10q: %s, close %v", request, resp.Status, resp.Close)
			}
			if _, err := r.ReadByte(); err != io.EOF {
				t.Errorf("%.10q: %v", request, err)
			}
		}
	})
}

// drip writes one byte at a time.
type drip struct{ net.Conn }

func (d drip) Write(p []byte) (int, error) {
	for i := range p {
		if _, err := d.Conn.Write(p[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(p), nil
}

func TestServeByteByByte(t *testing.T) {
	everyWay(t, patientLimits, func(t *testing.T, s *testServer) {
		conn := tls.Client(drip{dial(t, s.addr)}, &tls.Config{InsecureSkipVerify: true})
		resp, _ := exchange(t, conn, bufio.NewReader(conn), getPage)
		if resp.StatusCode != 200 {
			t.Error(resp.Status)
		}
	})
}

// What is not TLS is told so: in HTTP if it is that, else with an alert. Nothing
// of it is lost to a reset, though the server does not read all that comes.
func TestServeNotTLS(t *testing.T) {
	everyWay(t, patientLimits, func(t *testing.T, s *testServer) {
		for _, c := range []struct{ in, want string }{
			{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.0 400 Bad Request\r\n"},
			{"POST / HTTP/1.1\r\nHost: x\r\n\r\n" + strings.Repeat("x", 200<<10), "HTTP/1.0 400 Bad Request\r\n"},
			{"SSH-2.0-OpenSSH_9.2\r\n", "\x15\x03\x03\x00\x02\x02\x0a"},
			{strings.Repeat("\xff", 200<<10), "\x15\x03\x03\x00\x02\x02\x0a"},
			{"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10", "\x15\x03\x03\x00\x02\x02\x46"}, // SSL 2.0
			{"\x16\x03\x01\x00\x04\x0b\x00\x00\x00", "\x15\x03\x03\x00\x02\x02\x0a"},         // a Certificate
			{"\x16\x03\x01\x48\x00", "\x15\x03\x03\x00\x02\x02\x16"},                         // too long
		} {
			conn := dial(t, s.addr)
			io.WriteString(conn, c.in)
			got, err := io.ReadAll(conn)
			exact := strings.HasPrefix(c.want, "\x15")
			if err != nil || !bytes.HasPrefix(got, []byte(c.want)) || exact && len(got) != len(c.want) {
				t.Errorf("%.20q: got %q, %v", c.in, got, err)
			}
		}
	})
}

// A client that has only TLS 1.2 gets the alert protocol_version of a server that has
// only TLS 1.3, every time, and however much it sends.
func TestServeOldClient(t *testing.T) {
	everyWayWith(t, []string{"-min", "1.3"}, patientLimits, func(t *testing.T, s *testServer) {
		for i := range 100 {
			conn := dial(t, s.addr)
			err := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}).Handshake()
			var alert tls.AlertError
			if err == nil || !errors.As(err, &alert) && !strings.Contains(err.Error(), "protocol version") {
				t.Fatalf("client %d: %v", i, err)
			}
			conn.Close()
		}
		for i := range 20 {
			conn := dial(t, s.addr)
			go conn.Write(append(oldClientHello(), make([]byte, 300<<10)...))
			got, err := io.ReadAll(conn)
			if err != nil || string(got) != "\x15\x03\x03\x00\x02\x02\x46" {
				t.Fatalf("client %d that goes on sending: %q, %v", i, got, err)
			}
			conn.Close()
		}
		s.stop()
		if n := strings.Count(s.log.String(), "sent the alert protocol_version (70)"); n != 120 {
			t.Errorf("%d of 120 failures are in the log", n)
		}
	})
}

// A client that is slow gets all of a large response, and delays nobody.
func TestServeSlowReader(t *testing.T) {
	everyWay(t, patientLimits, func(t *testing.T, s *testServer) {
		const size = 8 << 20
		slow := connectTLS(t, s.addr)
		fmt.Fprintf(slow, "GET /bytes/%d HTTP/1.0\r\n\r\n", size)
		r := bufio.NewReaderSize(slow, 1000)
		for range 20 {
			if _, err := r.Discard(100); err != nil {
				t.Fatal(err)
			}
			time.Sleep(5 * time.Millisecond)
		}
		quick := connectTLS(t, s.addr)
		exchange(t, quick, bufio.NewReader(quick), getPage)
		n, err := io.Copy(io.Discard, r)
		if err != nil || n < size-2000 {
			t.Errorf("%d bytes, %v", n, err)
		}
	})
}

// A client that makes a pause, longer than the server lingers, still gets the end
// of a response. How much the kernels take before the machine's output fills up
// is theirs to know, so many lengths are tried.
func TestServeSlowEnd(t *testing.T) {
	limits := timeLimits{handshake: patience, idle: patience, linger: 50 * time.Millisecond}
	everyWay(t, limits, func(t *testing.T, s *testServer) {
		var wg sync.WaitGroup
		for size := 32 << 10; size < 5<<20; size += 48 << 10 {
			conn := connectTLS(t, s.addr)
			conn.NetConn().(*net.TCPConn).SetReadBuffer(256 << 10)
			fmt.Fprintf(conn, "GET /bytes/%d HTTP/1.0\r\n\r\n", size)
			wg.Go(func() {
				time.Sleep(8 * limits.linger)
				if n, err := io.Copy(io.Discard, conn); err != nil || n < int64(size) {
					t.Errorf("%d of %d bytes, %v", n, size, err)
				}
				conn.Close()
			})
		}
		wg.Wait()
	})
}

// Requests are not read while the answers to earlier ones are not taken: the
// client is made to wait, the server's memory is bounded.
func TestServeBackPressure(t *testing.T) {
	everyWay(t, patientLimits, func(t *testing.T, s *testServer) {
		conn := connectTLS(t, s.addr)
		requests := strings.Repeat(strings.Replace(getPage, "/", "/bytes/100000", 1), 1000)
		conn.SetWriteDeadline(time.Now().Add(2 * time.Second))
		sent := 0
		for sent < 1<<30 {
			n, err := io.WriteString(conn, requests)
			sent += n
			if err != nil {
				break
			}
		}
		if sent > 64<<20 {
			t.Errorf("the server took %d bytes of requests", sent)
		}
	})
}

func TestServeMany(t *testing.T) {
	everyWay(t, patientLimits, func(t *testing.T, s *testServer) {
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() {
				conn, err := tls.Dial("tcp", s.addr, &tls.Config{InsecureSkipVerify: true})
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(patience))
				io.WriteString(conn, "GET /bytes/50000 HTTP/1.0\r\n\r\n")
				if got, err := io.ReadAll(conn); err != nil || len(got) < 50000 {
					t.Errorf("%d bytes, %v", len(got), err)
				}
			})
		}
		wg.Wait()
	})
}

// A client that has closed its direction still gets its answer: with
// close_notify, with a bare FIN, and with both.
func TestServeHalfClose(t *testing.T) {
	everyWay(t, patientLimits, func(t *testing.T, s *testServer) {
		for name, closeWrite := range map[string]func(*tls.Conn){
			"close_notify": func(c *tls.Conn) { c.CloseWrite() },
			"FIN":          func(c *tls.Conn) { c.NetConn().(*net.TCPConn).CloseWrite() },
			"both": func(c *tls.Conn) {
				c.CloseWrite()
				c.NetConn().(*net.TCPConn).CloseWrite()
			},
		} {
			conn := connectTLS(t, s.addr)
			io.WriteString(conn, "GET /bytes/300000 HTTP/1.1\r\nHost: x\r\n\r\n")
			closeWrite(conn)
			got, err := io.ReadAll(conn)
			if err != nil || len(got) < 300000 {
				t.Errorf("%s: %d bytes, %v", name, len(got), err)
			}
		}
	})
}

// A client that sends much before it reads still gets the answer that it was not to.
func TestServeUpload(t *testing.T) {
	everyWay(t, patientLimits, func(t *testing.T, s *testServer) {
		conn := connectTLS(t, s.addr)
		fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", 8<<20)
		if n, err := conn.Write(make([]byte, 8<<20)); err != nil {
			t.Fatalf("after %d bytes: %v", n, err)
		}
		if resp, _ := response(t, bufio.NewReader(conn)); resp.StatusCode != 405 {
			t.Errorf("status %d", resp.StatusCode)
		}
	})
}

// Resets, at whatever moment, harm nobody else.
func TestServeResets(t *testing.T) {
	everyWay(t, patientLimits, func(t *testing.T, s *testServer) {
		reset := func(conn net.Conn) {
			conn.(*net.TCPConn).SetLinger(0)
			conn.Close()
		}
		for range 10 {
			reset(dial(t, s.addr))
			conn := dial(t, s.addr)
			conn.Write(oldClientHello())
			reset(conn)
			busy := connectTLS(t, s.addr)
			io.WriteString(busy, "GET /bytes/100000000 HTTP/1.0\r\n\r\n")
			io.ReadFull(busy, make([]byte, 1000))
			reset(busy.NetConn())
		}
		conn := connectTLS(t, s.addr)
		exchange(t, conn, bufio.NewReader(conn), getPage)
	})
}

// A client that does not complete its handshake in time is told so.
func TestServeHandshakeDeadline(t *testing.T) {
	limits := patientLimits
	limits.handshake = 300 * time.Millisecond
	everyWay(t, limits, func(t *testing.T, s *testServer) {
		for name, begin := range map[string]func() net.Conn{
			"silent":      func() net.Conn { return dial(t, s.addr) },
			"half a head": func() net.Conn { c := dial(t, s.addr); c.Write([]byte{22, 3, 1}); return c },
		} {
			start := time.Now()
			conn := begin()
			got, err := io.ReadAll(conn)
			if took := time.Since(start); err != nil || len(got) < 7 || got[0] != 21 || took < limits.handshake {
				t.Errorf("%s: %x, %v after %s", name, got, err, took)
			}
			conn.Close()
		}
	})
}

// A client that asks for nothing is closed, and one that reads nothing is given up.
func TestServeIdleDeadline(t *testing.T) {
	limits := patientLimits
	limits.idle, limits.linger = time.Second, 200*time.Millisecond
	everyWay(t, limits, func(t *testing.T, s *testServer) {
		start := time.Now()
		conn := connectTLS(t, s.addr)
		exchange(t, conn, bufio.NewReader(conn), getPage)
		if n, err := conn.Read(make([]byte, 1)); err != io.EOF || time.Since(start) < limits.idle {
			t.Errorf("idle: %d bytes, %v after %s", n, err, time.Since(start))
		}
		conn.Close()
		stuck := connectTLS(t, s.addr)
		io.WriteString(stuck, "GET /bytes/100000000 HTTP/1.0\r\n\r\n")
		s.awaitLog(t, stuck.LocalAddr().String()+" closed")
		// What it finds then ends early.
		if n, _ := io.Copy(io.Discard, stuck); n >= 100000000 {
			t.Error("a client that reads nothing is waited for")
		}
	})
}

// When the server is stopped it ends what it has begun, and says close_notify.
func TestServeStop(t *testing.T) {
	everyWay(t, patientLimits, func(t *testing.T, s *testServer) {
		idle, fresh, busy := connectTLS(t, s.addr), dial(t, s.addr), connectTLS(t, s.addr)
		exchange(t, idle, bufio.NewReader(idle), getPage)
		io.WriteString(busy, "GET /bytes/20000000 HTTP/1.1\r\nHost: x\r\n\r\n")
		if _, err := io.ReadFull(busy, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		stopped := make(chan error, 1)
		go func() { stopped <- s.stop() }()
		if n, err := io.Copy(io.Discard, busy); err != nil || n < 20000000-1000 {
			t.Errorf("a response was cut: %d bytes, %v", n, err)
		}
		if _, err := idle.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("idle: %v", err)
		}
		for _, c := range []io.Closer{idle, fresh, busy} {
			c.Close()
		}
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})
}

// Clients that do not take the end of a response do not hold up a server that is
// stopped. Many lengths are tried, as above.
func TestServeStopSlowEnd(t *testing.T) {
	limits := timeLimits{handshake: patience, idle: 2 * patience, linger: 100 * time.Millisecond}
	everyWay(t, limits, func(t *testing.T, s *testServer) {
		for size := 32 << 10; size < 5<<20; size += 48 << 10 {
			conn := connectTLS(t, s.addr)
			conn.NetConn().(*net.TCPConn).SetReadBuffer(256 << 10)
			fmt.Fprintf(conn, "GET /bytes/%d HTTP/1.0\r\n\r\n", size)
			if _, err := conn.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(500 * time.Millisecond) // the server writes what the kernels take
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
}

// Through the acceptor the certificate is chosen by name.
func TestServeCertificateByName(t *testing.T) {
	s := startServer(t, variant{acceptor: true}, patientLimits)
	for name, want := range map[string]string{
		"one.example": "one.example",
		"TWO.example": "two.example",
		"localhost":   "localhost",
		"127.0.0.1":   "localhost",
		"under_score": "localhost",
		"":            "localhost",
	} {
		conn := tls.Client(dial(t, s.addr), &tls.Config{InsecureSkipVerify: true, ServerName: name})
		if err := conn.Handshake(); err != nil {
			t.Fatal(err)
		}
		leaf := conn.ConnectionState().PeerCertificates[0]
		if err := leaf.VerifyHostname(want); err != nil || leaf.Subject.CommonName != want {
			t.Errorf("%q: the certificate is for %q", name, leaf.Subject.CommonName)
		}
		conn.Close()
	}
}

func TestCertificatesAreBounded(t *testing.T) {
	cert, err := selfSigned("localhost")
	if err != nil {
		t.Fatal(err)
	}
	c := &certificates{base: &tlscore.Config{Certificates: []tls.Certificate{*cert}}, bySNI: true}
	first := c.forHello(&tlscore.ClientHello{ServerName: "a.example"})
	if first == c.base || c.forHello(&tlscore.ClientHello{ServerName: "A.example"}) != first {
		t.Error("the certificate is not remembered")
	}
	for i := range maxNames {
		c.forHello(&tlscore.ClientHello{ServerName: fmt.Sprintf("n%d.example", i)})
	}
	if len(c.byName) != maxNames || len(c.order) != maxNames || c.byName["a.example"] != nil {
		t.Errorf("%d names are kept", len(c.byName))
	}
}

// Clients that resume, with early data: the same answers in every variant, and a ticket for
// the next time.
func TestServeResumes(t *testing.T) {
	everyWayWith(t, []string{"-early-data", "1000"}, patientLimits, func(t *testing.T, s *testServer) {
		cfg := &tlscore.Config{
			InsecureSkipVerify: true,
			ServerName:         "localhost",
			NextProtos:         []string{"http/1.1"},
			SessionCache:       tlscore.NewLRUSessionCache(0, 1),
			EarlyData:          true,
		}
		const request = "GET / HTTP/1.0\r\n\r\n"
		for i := range 4 {
			conn := netconn.Client(dial(t, s.addr), cfg)
			accepted, err := conn.HandshakeEarly(context.Background(), []byte(request))
			if err != nil || accepted != (i > 0) {
				t.Fatalf("connection %d: accepted %v, %v", i, accepted, err)
			}
			_, body := response(t, bufio.NewReader(conn))
			want := "resumed            no\nearly data         no\n"
			if i > 0 {
				want = "resumed            yes\nearly data         yes\n"
			}
			if !strings.Contains(body, want) {
				t.Errorf("connection %d: no %q in:\n%s", i, want, body)
			}
			// The ticket comes before the end, but behind an answer to early data.
			if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("connection %d does not end: %v", i, err)
			}
			conn.Close()
		}
	})
}
