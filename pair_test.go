package tlscore

import (
	"crypto/tls"
	"testing"
)

// What the tests of this package share besides the rig of peer_test.go: a client and a
// server that talk to each other.

// testClientConfig12 and testServerConfig12 speak TLS 1.2 only.
func testClientConfig12() *Config {
	c := testClientConfig()
	c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	return c
}

func testServerConfig12() *Config {
	c := testServerConfig()
	c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	return c
}

// configs12 are configs that speak TLS 1.2.
func configs12(change ...func(client, server *Config)) (client, server *Config) {
	client, server = testClientConfig12(), testServerConfig12()
	for _, f := range change {
		f(client, server)
	}
	return client, server
}

// newPair makes a client and a server.
func newPair(t testing.TB, clientConfig, serverConfig *Config) (client, server *Machine) {
	t.Helper()
	client, err := NewClient(clientConfig)
	if err != nil {
		t.Fatal(err)
	}
	if server, err = NewServer(serverConfig); err != nil {
		t.Fatal(err)
	}
	return client, server
}

// connectPair makes a client and a server, connected.
func connectPair(t testing.TB, clientConfig, serverConfig *Config) (client, server *Machine) {
	t.Helper()
	c, s := connectSides(t, clientConfig, serverConfig, whole)
	return c.m, s.m
}

// connectSides is connectPair that tells what happened on the way. The machines talk in
// pieces of at most size bytes.
func connectSides(t testing.TB, clientConfig, serverConfig *Config, size int) (c, s *side) {
	t.Helper()
	client, server := newPair(t, clientConfig, serverConfig)
	c, s = talk(t, client, server, size)
	if client.State() != StateConnected || server.State() != StateConnected {
		t.Fatalf("%v and %v: %v, %v", client.State(), server.State(), client.Err(), server.Err())
	}
	return c, s
}

// whole is a size of pieces that cuts nothing.
const whole = 1 << 20

// talk lets two machines talk, in pieces of at most size bytes, until both are at
// rest. It returns the events and the data of each.
func talk(t testing.TB, client, server *Machine, size int) (c, s *side) {
	t.Helper()
	c, s = &side{m: client}, &side{m: server}
	for range 1 << 20 {
		moved := c.take(s, size)
		if !s.take(c, size) && !moved {
			return c, s
		}
	}
	t.Fatal("two machines do not come to rest")
	return nil, nil
}

// side is one end of a talk.
type side struct {
	m      *Machine
	in     []byte
	events []EventKind
	data   []byte
}

// take gives a piece of the other side's output to this one.
func (e *side) take(other *side, size int) (moved bool) {
	out := other.m.Output()
	n := min(size, len(out))
	e.in = append(e.in, out[:n]...)
	other.m.Sent(n)
	for {
		ev, k := e.m.Step(e.in)
		e.in = e.in[k:]
		if ev.Stop() {
			return n > 0
		}
		e.events = append(e.events, ev.Kind)
		e.data = append(e.data, ev.Data...)
		moved = true
	}
}
