// Command example is an HTTPS server on gnet: go run ./example, in drive/gnet, then
// curl -k https://127.0.0.1:8443/
package main

import (
	"crypto/tls"
	"flag"
	"log"
	"net"

	"github.com/panjf2000/gnet/v2"
	"github.com/panjf2000/gnet/v2/pkg/logging"

	"tlscore.example/tlscore"
	"tlscore.example/tlscore/drive"
	tlsgnet "tlscore.example/tlscore/drive/gnet"
	"tlscore.example/tlscore/drive/internal/hello"
)

// server answers requests. It knows nothing of TLS but what it asks for.
type server struct {
	gnet.BuiltinEventEngine
	addr string
}

func (s *server) OnBoot(gnet.Engine) gnet.Action {
	log.Printf("listening on %s, try: curl -k https://%s/", s.addr, s.addr)
	return gnet.None
}

func (s *server) OnTraffic(c gnet.Conn) gnet.Action {
	for {
		in, _ := c.Peek(-1)
		response, n, last := hello.Answer(in, tlsgnet.State(c))
		if n == 0 {
			return gnet.None // the rest of the request is still to come
		}
		c.Discard(n)
		if _, err := c.Write(response); err != nil || last {
			return gnet.Close
		}
	}
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8443", "`address` to listen on")
	flag.Parse()
	cert, err := hello.Certificate()
	if err != nil {
		log.Fatal(err)
	}
	s := &server{addr: *addr}
	h, err := tlsgnet.NewServer(s, tlsgnet.Options{
		Config: &tlscore.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"http/1.1"}},
		Limits: drive.Limits{IdleTimeout: drive.DefaultHandshakeTimeout, MaxConnections: 10_000},
		OnFailure: func(remote net.Addr, err error) {
			log.Printf("%s: %v", remote, err)
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(gnet.Run(h, "tcp://"+*addr, gnet.WithMulticore(true), gnet.WithLogLevel(logging.WarnLevel)))
}
