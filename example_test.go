package tlscore_test

import (
	"crypto/tls"
	"errors"
	"fmt"

	"tlscore.example/tlscore"
	"tlscore.example/tlscore/internal/tlstest"
)

// conn is one connection of an event loop.
type conn struct {
	tls  *tlscore.Machine
	in   tlscore.Inbound
	owed []byte             // of the echo: what Write did not take yet
	send func(p []byte) int // returns how much the socket took
}

// readable is called with what has arrived, in memory that may be overwritten.
func (c *conn) readable(chunk []byte) {
	in := c.in.Join(chunk)
	for len(c.owed) == 0 { // else the output is full: back-pressure
		ev, n := c.tls.Step(in) // decrypts in place
		in = in[n:]
		if ev.Kind == tlscore.EventData {
			n, _ := c.tls.Write(ev.Data) // an error is an event, too
			c.owed = append(c.owed, ev.Data[n:]...)
		}
		if ev.Kind == tlscore.EventClosed {
			c.tls.CloseWrite()
		}
		if ev.Stop() {
			break
		}
	}
	c.in.Keep(in)
	c.writable() // whatever happened: a flight, an answer, or the alert of a failure
}

// writable is called when the socket takes bytes again.
func (c *conn) writable() {
	c.tls.Sent(c.send(c.tls.Output()))
	if len(c.owed) == 0 {
		return
	}
	n, err := c.tls.Write(c.owed)
	if c.owed = c.owed[n:]; len(c.owed) == 0 || err != nil {
		c.owed = nil
		c.readable(nil) // go on with what was left
	}
}

// A server in an event loop. The loop calls readable and writable; here, a
// client in memory takes its place.
func Example() {
	server, err := tlscore.NewServer(&tlscore.Config{
		Certificates: []tls.Certificate{tlstest.Certificate(tlstest.Leaf{})},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	client, err := tlscore.NewClient(&tlscore.Config{
		ServerName: "localhost",
		RootCAs:    tlstest.Roots(),
		Time:       tlstest.Clock,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	var toClient []byte
	c := &conn{tls: server, send: func(p []byte) int { toClient = append(toClient, p...); return len(p) }}
	for {
		ev, n := client.Step(toClient)
		toClient = toClient[n:]
		switch ev.Kind {
		case tlscore.EventHandshakeDone:
			client.Write([]byte("hello"))
		case tlscore.EventData:
			fmt.Printf("echo: %s\n", ev.Data)
			client.CloseWrite()
		case tlscore.EventNone:
			c.readable(client.AppendOutput(make([]byte, 0, 4096)))
		case tlscore.EventClosed:
			fmt.Println("closed")
			return
		}
	}
	// Output:
	// echo: hello
	// closed
}

// An acceptor shows the ClientHello before it has a config. When the handshake
// then fails, nothing is different from a server that had its config from the
// start: the machine is Failed, and the alert is in its output.
func ExampleNewAcceptor() {
	m, err := tlscore.NewAcceptor(tlscore.Limits{})
	if err != nil {
		fmt.Println(err)
		return
	}
	in := clientHelloOfTLS12("example.org")
	ev, n := m.Step(in)
	fmt.Println(ev.Kind, m.ClientHello().ServerName)

	cfg := &tlscore.Config{
		Certificates: []tls.Certificate{tlstest.Certificate(tlstest.Leaf{})},
		MinVersion:   tls.VersionTLS13,
	}
	if err := m.Accept(cfg); err != nil {
		fmt.Println(err)
		return
	}
	ev, _ = m.Step(in[n:])
	fmt.Println(ev.Kind)
	fmt.Printf("% x\n", m.Output()) // alert, fatal, protocol_version

	var reason *tlscore.ProtocolError
	fmt.Println(errors.As(m.Err(), &reason), reason.Reason)
	// Output:
	// ClientHello example.org
	// Failed
	// 15 03 03 00 02 02 46
	// true UnsupportedVersion
}

// clientHelloOfTLS12 returns the first bytes of a client that knows TLS 1.2 only.
func clientHelloOfTLS12(name string) []byte {
	body := append([]byte{3, 3}, make([]byte, 32)...)                             // version, random
	body = append(body, 0, 0, 2, 0xc0, 0x2f, 1, 0)                                // session id, one suite, no compression
	sni := append([]byte{0, byte(len(name) + 3), 0, 0, byte(len(name))}, name...) // server_name
	body = append(body, 0, byte(len(sni)+4), 0, 0, 0, byte(len(sni)))
	body = append(body, sni...)
	hello := append([]byte{22, 3, 1, 0, byte(len(body) + 4), 1, 0, 0, byte(len(body))}, body...)
	return hello
}
