package netconn

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"tlscore.example/tlscore"
)

// serveHTTP serves handler over a Listener and returns the address.
func serveHTTP(t *testing.T, l net.Listener, handler http.HandlerFunc) string {
	t.Helper()
	srv := &http.Server{Handler: handler, ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: patience}
	done := async(func() error { return srv.Serve(l) })
	t.Cleanup(func() {
		srv.Close()
		<-done
	})
	return l.Addr().String()
}

// get makes a request and returns what came back.
func get(client *http.Client, url string, body io.Reader) (*http.Response, []byte, error) {
	resp, err := client.Post(url, "text/plain", body)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp, b, err
}

// Servers and clients of net/http, one of them over this package or both.
func TestHTTP(t *testing.T) {
	ourListener := func(t *testing.T) net.Listener { return NewListener(listen(t), serverConfig()) }
	stdListener := func(t *testing.T) net.Listener { return tls.NewListener(listen(t), stdServerConfig()) }
	ourTransport := &http.Transport{DialTLSContext: (&Dialer{Config: &tlscore.Config{
		ServerName: "localhost", RootCAs: clientConfig().RootCAs, Time: clientConfig().Time,
	}}).DialContext}
	stdTransport := &http.Transport{TLSClientConfig: stdClientConfig(), ForceAttemptHTTP2: true}
	for _, tt := range []struct {
		name      string
		listen    func(*testing.T) net.Listener
		transport *http.Transport
	}{
		{"our server", ourListener, stdTransport},
		{"our client", stdListener, ourTransport},
		{"both ours", ourListener, ourTransport},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var mu sync.Mutex
			remotes := make(map[string]bool)
			addr := serveHTTP(t, tt.listen(t), func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				remotes[r.RemoteAddr] = true
				mu.Unlock()
				if r.TLS == nil || r.TLS.Version != tls.VersionTLS13 {
					t.Errorf("r.TLS: %+v", r.TLS)
				}
				body, err := io.ReadAll(r.Body)
				if err != nil {
					t.Errorf("body: %v", err)
				}
				w.Write(body)
			})
			transport := tt.transport.Clone()
			client := &http.Client{Transport: transport, Timeout: patience}
			defer transport.CloseIdleConnections()
			url := "https://" + addr + "/"

			for i := range 5 { // keep-alive
				resp, body, err := get(client, url, strings.NewReader(fmt.Sprint("hello ", i)))
				if err != nil || string(body) != fmt.Sprint("hello ", i) {
					t.Fatalf("%q, %v", body, err)
				}
				if resp.ProtoMajor != 1 { // the client offers h2, the server does not take it
					t.Errorf("%s", resp.Proto)
				}
			}
			if len(remotes) != 1 {
				t.Errorf("%d connections for requests one after the other", len(remotes))
			}

			large := make([]byte, 2<<20)
			io.ReadFull(&pattern{end: len(large)}, large)
			if _, body, err := get(client, url, bytes.NewReader(large)); err != nil || !bytes.Equal(body, large) {
				t.Fatalf("large body: %d bytes, %v", len(body), err)
			}

			var all sync.WaitGroup
			for i := range 100 {
				all.Go(func() {
					text := strings.Repeat(fmt.Sprintf("%d ", i), 1000)
					if _, body, err := get(client, url, strings.NewReader(text)); err != nil || string(body) != text {
						t.Errorf("request %d: %d bytes, %v", i, len(body), err)
					}
				})
			}
			all.Wait()
		})
	}
}

// A large request that the handler does not read, then a connection that the
// server closes: the answer arrives.
func TestHTTPRefusedUpload(t *testing.T) {
	addr := serveHTTP(t, NewListener(listen(t), serverConfig()), func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
	})
	for range 20 {
		c, err := tls.Dial("tcp", addr, stdClientConfig())
		noError(t, "Dial", err)
		sends := async(func() error {
			fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000000\r\n\r\n")
			_, err := c.Write(make([]byte, 2_000_000))
			return err
		})
		got, err := io.ReadAll(c)
		if !strings.Contains(string(got), "too large") || err != nil {
			t.Fatalf("%q, %v", got, err)
		}
		c.Close()
		<-sends
	}
}

func TestPlainHTTPListener(t *testing.T) {
	choose := func(*tlscore.ClientHello) (*tlscore.Config, error) { return serverConfig(), nil }
	for _, l := range []*Listener{
		NewListener(listen(t), serverConfig()),
		NewAcceptorListener(listen(t), tlscore.Limits{}, choose),
	} {
		addr := serveHTTP(t, l, func(http.ResponseWriter, *http.Request) { t.Error("the handler was called") })
		for range 20 {
			c, err := net.Dial("tcp", addr)
			noError(t, "Dial", err)
			c.SetDeadline(time.Now().Add(patience))
			fmt.Fprintf(c, "POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500000\r\n\r\n")
			c.Write(make([]byte, 500_000))
			got, err := io.ReadAll(c)
			if string(got) != "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n" || err != nil {
				t.Fatalf("%q, %v", got, err)
			}
			c.Close()
		}
	}
}

// Without a Listener the caller gets the socket, with nothing of the request lost.
func TestPlainHTTPConn(t *testing.T) {
	for _, way := range servers {
		t.Run(way.name, func(t *testing.T) {
			a, b := tcpPair(t)
			s := way.server(b)
			const request = "GET /index.html HTTP/1.0\r\n\r\n"
			io.WriteString(a, request)
			err := s.Handshake()
			var header tls.RecordHeaderError
			var protocol *tlscore.ProtocolError
			if !errors.As(err, &header) || !errors.As(err, &protocol) || header.Conn == nil || string(header.RecordHeader[:]) != "GET /" {
				t.Fatalf("Handshake: %#v", err)
			}
			contains(t, err.Error(), "HTTP request")
			_, again := s.Read(make([]byte, 1))
			want(t, "Read", again, err)
			wantText(t, header.Conn, request)
			io.WriteString(a, "more")
			wantText(t, header.Conn, "more")
			send(t, header.Conn, "answer")
			noError(t, "CloseWrite", header.Conn.(closeWriter).CloseWrite())
			got, err := io.ReadAll(a)
			if string(got) != "answer" || err != nil {
				t.Fatalf("%q, %v", got, err)
			}
			a.Close()
			noError(t, "Close", header.Conn.Close())
			want(t, "Close", s.Close(), net.ErrClosed)
		})
	}
	r := &replayConn{Conn: noDeadlines{}}
	want(t, "CloseWrite", r.CloseWrite(), errors.ErrUnsupported)
}

// A client that sends nothing neither delays others nor stays.
func TestListenerHandshakeTimeout(t *testing.T) {
	l := NewListener(listen(t), serverConfig())
	l.Limits.HandshakeTimeout = time.Second // in which the other client has to be done
	l.Linger = Linger{Timeout: 100 * time.Millisecond}
	addr := serveHTTP(t, l, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") })
	silent, err := net.Dial("tcp", addr)
	noError(t, "Dial", err)
	defer silent.Close()

	transport := &http.Transport{TLSClientConfig: stdClientConfig()}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Get("https://" + addr + "/")
	noError(t, "Get", err)
	resp.Body.Close()

	silent.SetDeadline(time.Now().Add(patience))
	got, err := io.ReadAll(silent)
	if err != nil || string(got) != tooLate {
		t.Fatalf("the silent client reads %x, %v", got, err)
	}

	a, b := tcpPair(t)
	defer a.Close()
	s := Server(b, serverConfig())
	defer s.Close()
	s.limits.HandshakeTimeout = 50 * time.Millisecond
	s.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	want(t, "Handshake", s.Handshake(), os.ErrDeadlineExceeded)
	s.SetReadDeadline(time.Time{})
	err = s.Handshake()
	want(t, "Handshake", err, ErrHandshakeTimeout)
	want(t, "Handshake", err, os.ErrDeadlineExceeded)
	wantTimeout(t, "Handshake", err)
	contains(t, err.Error(), "too long")
}

func TestListen(t *testing.T) {
	if _, err := Listen("tcp", "127.0.0.1:0", &tlscore.Config{}); err == nil {
		t.Error("Listen without a certificate")
	}
	if _, err := Listen("tcp", "nowhere", serverConfig()); err == nil {
		t.Error("Listen nowhere")
	}
	l, err := Listen("tcp", "127.0.0.1:0", serverConfig())
	noError(t, "Listen", err)
	done := async(func() error {
		for {
			c, err := l.Accept()
			if err != nil {
				return err
			}
			go func() {
				defer c.Close()
				io.Copy(c, c)
			}()
		}
	})
	cfg := clientConfig()
	c, err := Dial("tcp", l.Addr().String(), cfg)
	noError(t, "Dial", err)
	send(t, c, "echo")
	wantText(t, c, "echo")
	c.Close()

	// The name comes from the address if there is none.
	cfg.ServerName = ""
	var protocol *tlscore.ProtocolError
	if _, err := Dial("tcp", l.Addr().String(), cfg); !errors.As(err, &protocol) || protocol.Reason != tlscore.ReasonNameMismatch {
		t.Errorf("Dial for another name: %v", err)
	}
	d := &Dialer{Config: cfg, NetDialer: &net.Dialer{Timeout: patience, Deadline: time.Now().Add(patience)}}
	if c, err := d.Dial("tcp", l.Addr().String()); c != nil || err == nil {
		t.Errorf("Dial for another name: %v", err)
	}
	for _, address := range []string{"no port", "bad_Ä:443"} {
		if _, err := new(Dialer).Dial("tcp", address); err == nil {
			t.Errorf("Dial to %s succeeded", address)
		}
	}
	l.Close()
	want(t, "Accept", <-done, net.ErrClosed)
	if _, err := Dial("tcp", l.Addr().String(), clientConfig()); err == nil {
		t.Error("Dial to a closed listener")
	}
}

// The handshake is within the time that the dialer has.
func TestDialTimeout(t *testing.T) {
	l := listen(t)
	accepted := async(func() error {
		c, err := l.Accept()
		if err == nil {
			defer c.Close()
			_, err = io.Copy(io.Discard, c)
		}
		return err
	})
	d := &Dialer{Config: clientConfig(), NetDialer: &net.Dialer{Timeout: 50 * time.Millisecond}}
	_, err := d.Dial("tcp", l.Addr().String())
	want(t, "Dial", err, context.DeadlineExceeded)
	noError(t, "the server", <-accepted)
}
