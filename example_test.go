package tlscore_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

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

// resume lets a client resume sessions and a server take early data with them.
func resume(client, server *tlscore.Config) {
	client.SessionCache = tlscore.NewLRUSessionCache(0, 0)
	client.EarlyData = true
	server.MaxEarlyData = 16 << 10
	server.ReplayGuard = tlscore.NewReplayWindow(0, 0) // for all who share its ticket keys
}

// request is what a client says first. It may arrive twice.
type request struct {
	text  []byte
	early int // how much of it was sent as early data
}

// handle takes an event of the client.
func (r *request) handle(m *tlscore.Machine, ev tlscore.Event) {
	switch ev.Kind {
	case tlscore.EventEarlyWritable: // the ClientHello is in the output, and nothing has come
		r.early, _ = m.WriteEarly(r.text)
	case tlscore.EventHandshakeDone:
		if m.EarlyDataAccepted() {
			r.text = r.text[r.early:]
		}
		m.Write(r.text) // what it does not take is owed, as above
	}
}

// The second connection resumes the session of the first, and its request arrives
// before the handshake is complete.
func ExampleMachine_WriteEarly() {
	clientConfig, serverConfig := exampleConfigs()
	resume(clientConfig, serverConfig)
	// A guard takes nothing in its first window. This one has started a minute ago.
	now := tlstest.Clock()
	serverConfig.ReplayGuard.Fresh([]byte("first"), now.Add(-time.Minute), now)

	for range 2 {
		client, server := newMachines(clientConfig, serverConfig)
		first := &request{text: []byte("GET /")}
		exchange(client, server, func(m *tlscore.Machine, ev tlscore.Event) {
			switch {
			case m == client:
				first.handle(m, ev)
			case ev.Kind == tlscore.EventData:
				fmt.Printf("%s, early: %v, resumed: %v\n", ev.Data, ev.Early, m.ConnectionState().DidResume)
			}
		})
	}
	// Output:
	// GET /, early: false, resumed: false
	// GET /, early: true, resumed: true
}

// authenticateClients makes a server refuse clients without a certificate of one of
// the authorities, and gives a client one.
func authenticateClients(server, client *tlscore.Config, authorities *x509.CertPool, cert tls.Certificate) {
	server.ClientAuth = tls.RequireAndVerifyClientCert
	server.ClientCAs = authorities
	client.Certificates = []tls.Certificate{cert}
	client.PostHandshakeAuth = true // the server may ask again, by RequestClientCertificate
}

// A client shows its certificate in the handshake, and once more when the server asks
// for it.
func ExampleMachine_RequestClientCertificate() {
	clientConfig, serverConfig := exampleConfigs()
	authenticateClients(serverConfig, clientConfig, tlstest.Roots(), tlstest.ClientCertificate(tlstest.ECDSAP256))

	client, server := newMachines(clientConfig, serverConfig)
	exchange(client, server, func(m *tlscore.Machine, ev tlscore.Event) {
		if m != server {
			return
		}
		switch ev.Kind {
		case tlscore.EventHandshakeDone:
			fmt.Println(ev.Kind, len(m.ConnectionState().VerifiedChains))
			m.RequestClientCertificate()
		case tlscore.EventClientCertificate:
			fmt.Println(ev.Kind, len(m.ConnectionState().VerifiedChains))
		}
	})
	// Output:
	// HandshakeDone 1
	// ClientCertificate 1
}

// lift runs the task that a machine waits for on another goroutine. post brings what
// follows back to the loop that the machine belongs to.
func lift(m *tlscore.Machine, post func(func()), next func()) {
	task := m.Task()
	go func() {
		task.Run() // signs, verifies, asks; it never touches the machine
		post(func() {
			if m.Done(task) == nil { // else the connection has ended meanwhile
				next() // Step again; what the task has led to is in the output
			}
		})
	}()
}

// A server signs, and does its part of the key exchange, outside of the loop.
func ExampleTask() {
	clientConfig, serverConfig := exampleConfigs()
	serverConfig.Tasks = tlscore.Tasks(tlscore.TaskSign, tlscore.TaskKeyExchange)
	client, server := newMachines(clientConfig, serverConfig)

	loop := make(chan func(), 1)
	var run func()
	run = func() {
		exchange(client, server, func(m *tlscore.Machine, ev tlscore.Event) {
			switch ev.Kind {
			case tlscore.EventTask:
				fmt.Println(m.Task().Kind())
				lift(m, func(f func()) { loop <- f }, run)
			case tlscore.EventHandshakeDone:
				fmt.Println(ev.Kind)
			}
		})
	}
	for run(); !server.ConnectionState().HandshakeComplete; {
		(<-loop)()
	}
	// Output:
	// KeyExchange
	// Sign
	// HandshakeDone
	// HandshakeDone
}

func exampleConfigs() (client, server *tlscore.Config) {
	client = &tlscore.Config{ServerName: "localhost", RootCAs: tlstest.Roots(), Time: tlstest.Clock}
	server = &tlscore.Config{Certificates: []tls.Certificate{tlstest.Certificate(tlstest.Leaf{})}, Time: tlstest.Clock}
	return client, server
}

func newMachines(clientConfig, serverConfig *tlscore.Config) (client, server *tlscore.Machine) {
	client, err := tlscore.NewClient(clientConfig)
	if err != nil {
		panic(err)
	}
	server, err = tlscore.NewServer(serverConfig)
	if err != nil {
		panic(err)
	}
	return client, server
}

// exchange moves bytes between two machines until neither has any for the other.
func exchange(client, server *tlscore.Machine, event func(*tlscore.Machine, tlscore.Event)) {
	for idle := false; !idle; {
		toServer := deliver(client, server, event)
		toClient := deliver(server, client, event)
		idle = !toServer && !toClient
	}
}

// deliver gives to what from has to send.
func deliver(from, to *tlscore.Machine, event func(*tlscore.Machine, tlscore.Event)) (moved bool) {
	for {
		ev, _ := from.Step(nil)
		event(from, ev)
		if ev.Stop() {
			break
		}
	}
	in := from.AppendOutput(make([]byte, 0, len(from.Output())))
	for moved = len(in) > 0; ; {
		ev, n := to.Step(in)
		in = in[n:]
		event(to, ev)
		if ev.Stop() {
			return moved
		}
	}
}

// rest lets a connection sleep in a few hundred bytes until something happens to it.
func rest(m *tlscore.Machine) {
	m.Hibernate() // an error says that it is not at rest: then it stays as it was
}

// leave makes bytes of a connection for another process, with what was received and not
// taken. The machine is at its end then.
func leave(m *tlscore.Machine, in *tlscore.Inbound, key *[tlscore.SnapshotKeyLen]byte) ([]byte, error) {
	return m.Snapshot(key, in.Bytes())
}

// arrive goes on with it there, once.
func arrive(cfg *tlscore.Config, key *[tlscore.SnapshotKeyLen]byte, snapshot []byte) (*tlscore.Machine, *tlscore.Inbound, error) {
	m, leftover, err := tlscore.Restore(cfg, key, snapshot)
	if err != nil {
		return nil, nil, err
	}
	in := new(tlscore.Inbound)
	in.Keep(leftover)
	return m, in, nil
}

// A client sleeps and moves, and the server notices nothing.
func ExampleMachine_Snapshot() {
	cfg := &tlscore.Config{ServerName: "localhost", RootCAs: tlstest.Roots(), Time: tlstest.Clock}
	client, err := tlscore.NewClient(cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	server, err := tlscore.NewServer(&tlscore.Config{Certificates: []tls.Certificate{tlstest.Certificate(tlstest.Leaf{})}})
	if err != nil {
		fmt.Println(err)
		return
	}
	exchange(client, server, func(*tlscore.Machine, tlscore.Event) {})
	rest(client)
	key := &[tlscore.SnapshotKeyLen]byte{1, 2, 3} // random, of course
	snapshot, err := leave(client, new(tlscore.Inbound), key)
	fmt.Println(client.State(), err)
	moved, _, err := arrive(cfg, key, snapshot)
	if err != nil {
		fmt.Println(err)
		return
	}
	moved.Write([]byte("it is me"))
	exchange(moved, server, func(m *tlscore.Machine, ev tlscore.Event) {
		if ev.Kind == tlscore.EventData {
			fmt.Printf("%s\n", ev.Data)
		}
	})
	// Output:
	// Moved <nil>
	// it is me
}
