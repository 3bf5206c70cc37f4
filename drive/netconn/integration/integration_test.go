package integration

//lint:file-ignore SA1019 it is the way to HTTP/2 over a connection that is not of crypto/tls in Go 1.26

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/nettest"

	"tlscore.example/tlscore"
	"tlscore.example/tlscore/drive/internal/drivertest"
	"tlscore.example/tlscore/drive/netconn"
)

func TestMain(m *testing.M) { drivertest.Main(m) }

// The example with real clients, and the versions of HTTP that they speak.
func TestServer(t *testing.T) {
	addr := drivertest.Start(t, "./h2server", "-addr", "127.0.0.1:0")
	drivertest.PlainHTTP(t, addr)
	drivertest.HTTPClients(t, addr, true)
}

// What golang.org/x/net asks of any net.Conn, of either role.
func TestNettest(t *testing.T) {
	for _, flip := range []bool{false, true} {
		t.Run(fmt.Sprintf("server=%v", flip), func(t *testing.T) {
			nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
				a, b, err := tcpPair()
				if err != nil {
					return nil, nil, nil, err
				}
				client := netconn.Client(a, drivertest.ClientConfig(drivertest.Name))
				server := netconn.Server(b, drivertest.ServerConfig())
				done := make(chan error, 1)
				go func() { done <- server.Handshake() }()
				if err := client.Handshake(); err != nil {
					return nil, nil, nil, err
				}
				if err := <-done; err != nil {
					return nil, nil, nil, err
				}
				stop = func() {
					client.Close()
					server.Close()
				}
				if flip {
					return server, client, stop, nil
				}
				return client, server, stop, nil
			})
		})
	}
}

// tcpPair returns the two ends of a connection.
func tcpPair() (a, b net.Conn, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	if a, err = net.Dial("tcp", l.Addr().String()); err != nil {
		return nil, nil, err
	}
	b, err = l.Accept()
	return a, b, err
}

// handler echoes bodies and says what was negotiated.
var handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Negotiated", fmt.Sprint(r.Proto, " ", r.TLS != nil && r.TLS.HandshakeComplete && r.TLS.NegotiatedProtocol == "h2"))
	http.NewResponseController(w).EnableFullDuplex()
	io.Copy(w, r.Body)
})

// HTTP/2 with one end or both over netconn, by all ways that there are in Go 1.26.
func TestHTTP2(t *testing.T) {
	ours := func(t *testing.T) string {
		cfg := drivertest.ServerConfig()
		cfg.NextProtos = []string{"h2"}
		l, err := netconn.Listen("tcp", "127.0.0.1:0", cfg)
		if err != nil {
			t.Fatal(err)
		}
		var group sync.WaitGroup
		group.Go(func() {
			for srv := new(http2.Server); ; {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				group.Go(func() { srv.ServeConn(conn, &http2.ServeConnOpts{Handler: handler}) })
			}
		})
		t.Cleanup(func() {
			l.Close()
			group.Wait()
		})
		return l.Addr().String()
	}
	std := func(t *testing.T) string {
		cfg := drivertest.ServerConfig()
		l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: cfg.Certificates, Time: cfg.Time, NextProtos: []string{"h2"}})
		if err != nil {
			t.Fatal(err)
		}
		srv := &http.Server{Handler: handler}
		done := make(chan error, 1)
		go func() { done <- srv.Serve(l) }()
		t.Cleanup(func() {
			srv.Close()
			<-done
		})
		return l.Addr().String()
	}
	cfg := drivertest.ClientConfig(drivertest.Name)
	cfg.NextProtos = []string{"h2"}
	dialer := &netconn.Dialer{Config: cfg}
	unencrypted := new(http.Protocols)
	unencrypted.SetUnencryptedHTTP2(true)
	encrypted := new(http.Protocols)
	encrypted.SetHTTP2(true)
	for _, tt := range []struct {
		name      string
		serve     func(*testing.T) string
		transport http.RoundTripper
		scheme    string
	}{
		{"server", ours, &http.Transport{TLSClientConfig: drivertest.StdClientConfig(drivertest.Name), Protocols: encrypted}, "https"},
		{"http2.Transport", std, &http2.Transport{DialTLSContext: dialHTTP2(dialer)}, "https"},
		{"http.Transport", std, &http.Transport{DialContext: dialer.DialContext, Protocols: unencrypted}, "http"},
		{"both", ours, &http2.Transport{DialTLSContext: dialHTTP2(dialer)}, "https"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url := tt.scheme + "://" + tt.serve(t) + "/"
			client := &http.Client{Transport: tt.transport, Timeout: drivertest.Patience}
			defer client.CloseIdleConnections()
			var group sync.WaitGroup
			for i := range 30 { // streams of one connection or a few
				group.Go(func() {
					text := bytes.Repeat([]byte{byte(i)}, 1<<(i%22))
					resp, err := client.Post(url, "text/plain", bytes.NewReader(text))
					if err != nil {
						t.Error(err)
						return
					}
					defer resp.Body.Close()
					got, err := io.ReadAll(resp.Body)
					if err != nil || !bytes.Equal(got, text) {
						t.Errorf("%d bytes of %d, %v", len(got), len(text), err)
					}
					if said := resp.Header.Get("Negotiated"); said != "HTTP/2.0 true" {
						t.Error(said)
					}
				})
			}
			group.Wait()
		})
	}
}

// dialHTTP2 dials for an http2.Transport, whose crypto/tls config does not count.
func dialHTTP2(d *netconn.Dialer) func(context.Context, string, string, *tls.Config) (net.Conn, error) {
	return func(ctx context.Context, network, addr string, _ *tls.Config) (net.Conn, error) {
		return d.DialContext(ctx, network, addr)
	}
}

// What http.Server and http.Transport of Go 1.27 look for in a connection.
func TestMethods(t *testing.T) {
	var conn any = netconn.Client(nil, &tlscore.Config{})
	if _, ok := conn.(interface {
		net.Conn
		ConnectionState() tls.ConnectionState
		HandshakeContext(context.Context) error
		NetConn() net.Conn
		CloseWrite() error
		io.ReaderFrom
		io.WriterTo
	}); !ok {
		t.Error("a method is missing")
	}
}
