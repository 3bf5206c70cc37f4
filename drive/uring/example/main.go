//go:build linux

// Command example is an HTTPS server on io_uring: go run ./example, in drive/uring, then
// curl -k https://127.0.0.1:8443/
package main

import (
	"context"
	"crypto/tls"
	"flag"
	"log"
	"net"
	"os"
	"os/signal"
	"time"

	"tlscore.example/tlscore"
	"tlscore.example/tlscore/drive"
	"tlscore.example/tlscore/drive/internal/hello"
	"tlscore.example/tlscore/drive/uring"
)

// handler answers requests. Its state of a connection is an exchange, which an idle one
// does not have.
type handler struct{ uring.BaseHandler }

// exchange is a request that is not there yet, or a response that is not written yet.
type exchange struct {
	request  []byte
	response []byte
	last     bool // the connection ends behind the response
}

func (handler) OnData(c *uring.Conn, data []byte) {
	x, _ := c.Context().(*exchange)
	if x == nil {
		x = new(exchange)
		c.SetContext(x)
	}
	x.request = append(x.request, data...) // it is valid until the return
	respond(c, x)
}

func (handler) OnWritable(c *uring.Conn) {
	if x, _ := c.Context().(*exchange); x != nil {
		respond(c, x)
	}
}

// respond answers one request after the other, as long as there is room.
func respond(c *uring.Conn, x *exchange) {
	for {
		n, err := c.Write(x.response)
		if x.response = x.response[n:]; err != nil || len(x.response) > 0 {
			return // it goes on in OnWritable, or is over
		}
		if x.last {
			c.Close()
			return
		}
		x.response, n, x.last = hello.Answer(x.request, c.ConnectionState())
		x.request = x.request[n:]
		if n == 0 {
			break
		}
	}
	if len(x.request) == 0 {
		c.SetContext(nil)
	}
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8443", "`address` to listen on")
	flag.Parse()
	cert, err := hello.Certificate()
	if err != nil {
		log.Fatal(err)
	}
	ln, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	log.Printf("listening on %s, try: curl -k https://%s/", ln.Addr(), ln.Addr())
	server := &uring.Server{
		Handler: handler{},
		Config:  &tlscore.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"http/1.1"}},
		Limits:  drive.Limits{IdleTimeout: time.Minute, MaxConnections: 10_000},
		OnFailure: func(remote net.Addr, err error) {
			log.Printf("%v: %v", remote, err)
		},
	}
	if err := server.Serve(ctx, ln.(*net.TCPListener)); err != nil {
		log.Fatal(err)
	}
}
