package netconn

import (
	"io"
	"net"
	"testing"

	"tlscore.example/tlscore"
	"tlscore.example/tlscore/drive/internal/drivertest"
)

// serveEach serves each connection of a listener on a goroutine, until the test ends.
func serveEach(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l := NewAcceptorListener(listen(t), tlscore.Limits{}, drivertest.Choose)
	done := async(func() error {
		for {
			conn, err := l.Accept()
			if err != nil {
				return nil
			}
			go serve(conn)
		}
	})
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return l.Addr().String()
}

// A client that is refused reads its alert, also when it was still sending.
func TestRefusals(t *testing.T) {
	addr := serveEach(t, func(conn net.Conn) {
		defer conn.Close()
		conn.Read(make([]byte, 1))
	})
	drivertest.Refusals(t, addr, drivertest.Scale().Refusals)
	drivertest.PlainHTTP(t, addr)
}

// Thousands of clients that stall, trickle, half-close, reset and pipeline.
func TestEchoLoad(t *testing.T) {
	addr := serveEach(t, func(conn net.Conn) {
		defer conn.Close()
		io.Copy(conn, struct{ io.Reader }{conn})
	})
	drivertest.Echo(t, addr, drivertest.EchoLoad{Size: drivertest.Scale(), FIN: true})
}
