// Command h2server is a server of net/http that speaks HTTP/2 and HTTP/1.1 over netconn: go
// run ./h2server, in drive/netconn/integration, then curl -k https://127.0.0.1:8443/
//
// Up to Go 1.26, net/http speaks HTTP/2 over connections of crypto/tls only, so those that
// have negotiated it go to golang.org/x/net/http2. From Go 1.27 on, http.Server does both:
// what is below main can go then.
package main

//lint:file-ignore SA1019 it is the way to HTTP/2 over a connection that is not of crypto/tls in Go 1.26

import (
	"crypto/tls"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"strconv"
	"time"

	"golang.org/x/net/http2"

	"tlscore.example/tlscore"
	"tlscore.example/tlscore/drive"
	"tlscore.example/tlscore/drive/internal/hello"
	"tlscore.example/tlscore/drive/netconn"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8443", "`address` to listen on")
	flag.Parse()
	cert, err := hello.Certificate()
	if err != nil {
		log.Fatal(err)
	}
	l, err := netconn.Listen("tcp", *addr, &tlscore.Config{
		Certificates: []tls.Certificate{cert},
		NextProtos:   []string{"h2", "http/1.1"},
	})
	if err != nil {
		log.Fatal(err)
	}
	l.Limits = drive.Limits{MaxConnections: 10_000, MaxHandshakes: 100}
	srv := &http.Server{Handler: routes(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	log.Printf("listening on %s, try: curl -k https://%s/", l.Addr(), l.Addr())
	log.Fatal(serve(l, srv))
}

func routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "Hello from tlscore: %s over %s.\n", r.Proto, tls.VersionName(r.TLS.Version))
	})
	mux.HandleFunc("GET /bytes/{n}", func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.ParseUint(r.PathValue("n"), 10, 30)
		if err != nil {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Length", strconv.FormatUint(n, 10))
		for chunk := make([]byte, min(n, 32<<10)); n > 0; n -= uint64(len(chunk)) {
			chunk = chunk[:min(n, uint64(len(chunk)))]
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	return mux
}

// serve has srv serve the connections of l, with the version of HTTP that each has
// negotiated.
func serve(l net.Listener, srv *http.Server) error {
	http1 := &queue{addr: l.Addr(), conns: make(chan net.Conn), done: make(chan struct{})}
	go srv.Serve(http1)
	defer srv.Close()
	http2Server := &http2.Server{}
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			// It runs the handshake. That of one that has failed is empty, and the server of
			// HTTP/1.1 finds the error again.
			if conn.(*netconn.Conn).ConnectionState().NegotiatedProtocol == http2.NextProtoTLS {
				http2Server.ServeConn(conn, &http2.ServeConnOpts{BaseConfig: srv})
			} else {
				http1.put(conn)
			}
		}()
	}
}

// queue is a listener of connections that others have accepted.
type queue struct {
	addr  net.Addr
	conns chan net.Conn
	done  chan struct{}
}

func (q *queue) put(conn net.Conn) {
	select {
	case q.conns <- conn:
	case <-q.done:
		conn.Close()
	}
}

func (q *queue) Accept() (net.Conn, error) {
	select {
	case conn := <-q.conns:
		return conn, nil
	case <-q.done:
		return nil, net.ErrClosed
	}
}

func (q *queue) Close() error   { close(q.done); return nil }
func (q *queue) Addr() net.Addr { return q.addr }
