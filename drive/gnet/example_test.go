package tlsgnet

import (
	"net"
	"testing"

	"tlscore.example/tlscore/drive/internal/drivertest"
)

// The example with real clients.
func TestExample(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // gnet does not tell the port that it was given
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	drivertest.HTTPClients(t, drivertest.Start(t, "./example", "-addr", l.Addr().String()), false)
}
