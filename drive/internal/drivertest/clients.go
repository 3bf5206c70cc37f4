package drivertest

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"time"
)

// This file is the process of an [Echo]'s clients. They are of crypto/tls, so that the
// driver under test is not its own judge.

// clients are all of them.
type clients struct {
	load
	handshakes chan struct{}  // a token for each that runs
	ready      sync.WaitGroup // who has its first connection
	begin      chan struct{}  // closed when all have
	end        time.Time      // set before

	mu     sync.Mutex
	result outcome
}

// interval is how long a client rests between its rounds: together they do a few thousand
// a second.
func (cs *clients) interval() time.Duration {
	return max(10*time.Millisecond, time.Duration(cs.Connections)*300*time.Microsecond)
}

func runClients() (code int) {
	cs := &clients{handshakes: make(chan struct{}, 32), begin: make(chan struct{})}
	cs.result.ByKind = map[string]int64{}
	if err := json.Unmarshal([]byte(os.Getenv(clientEnv)), &cs.load); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var all sync.WaitGroup
	cs.ready.Add(cs.Connections)
	for i := range cs.Connections {
		all.Go(func() { cs.run(i) })
	}
	cs.ready.Wait()
	fmt.Println("peak")
	io.Copy(io.Discard, os.Stdin) // until the test has looked
	cs.end = time.Now().Add(cs.Duration)
	close(cs.begin)
	all.Wait()
	line, err := json.Marshal(&cs.result)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Printf("%s\n", line)
	return 0
}

// client is one of them, over one connection after another.
type client struct {
	*clients
	rand *rand.Rand
	raw  *net.TCPConn
	tls  *tls.Conn
	slow bool // raw sends a few bytes at a time

	// The stream of bytes, as it is sent and as it has to come back. A new
	// connection begins a new one.
	sent, expected *rand.ChaCha8
}

// behaviour is what a client does in a round. It may leave the client without a
// connection.
type behaviour struct {
	name string
	do   func(*client) error
}

var behaviours = [...]behaviour{
	{"steady", (*client).steady}, {"steady", (*client).steady},
	{"steady", (*client).steady}, {"steady", (*client).steady},
	{"steady", (*client).steady}, {"steady", (*client).steady},
	{"pipeline", (*client).pipeline},
	{"stall", (*client).stall},
	{"trickle", (*client).trickle},
	{"half-close", (*client).halfClose},
	{"FIN", (*client).fin},
	{"reset", (*client).reset},
}

func (cs *clients) run(i int) {
	c := &client{clients: cs, rand: rand.New(rand.NewPCG(uint64(i), 1))}
	behaviour := behaviours[i%len(behaviours)]
	if behaviour.name == "FIN" && !cs.FIN {
		behaviour.name, behaviour.do = "half-close", (*client).halfClose
	}
	err := c.connect()
	cs.ready.Done()
	<-cs.begin
	rounds := int64(0)
	for ; err == nil && (time.Now().Before(cs.end) || rounds == 0); rounds++ {
		time.Sleep(time.Duration(c.rand.Int64N(int64(cs.interval()))))
		if c.tls == nil {
			err = c.connect()
		}
		if err == nil {
			err = behaviour.do(c)
		}
		if err == nil {
			time.Sleep(cs.interval() / 2)
		}
	}
	if err == nil && c.tls != nil {
		err = c.halfClose()
	}
	if c.raw != nil {
		c.raw.Close()
	}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.result.ByKind[behaviour.name] += rounds
	if err != nil {
		if cs.result.Failures++; len(cs.result.Errors) < 10 {
			cs.result.Errors = append(cs.result.Errors, fmt.Sprintf("client %d, %s, round %d: %v", i, behaviour.name, rounds, err))
		}
	}
}

// connect makes the next connection.
func (c *client) connect() error {
	c.handshakes <- struct{}{}
	defer func() { <-c.handshakes }()
	raw, err := net.DialTimeout("tcp", c.Addr, Patience)
	if err != nil {
		return err
	}
	c.raw = raw.(*net.TCPConn)
	c.raw.SetDeadline(time.Now().Add(c.Duration + 4*Patience))
	seed := [32]byte{byte(c.rand.Uint32()), byte(c.rand.Uint32()), byte(c.rand.Uint32()), byte(c.rand.Uint32())}
	c.sent, c.expected = rand.NewChaCha8(seed), rand.NewChaCha8(seed)
	c.tls = tls.Client(&trickling{TCPConn: c.raw, client: c}, StdClientConfig(Name))
	if err := c.tls.Handshake(); err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.result.Handshakes++
	return nil
}

// trickling is a connection that sends a few bytes at a time while its client is slow.
type trickling struct {
	*net.TCPConn
	client *client
}

func (t *trickling) Write(p []byte) (n int, err error) {
	if !t.client.slow {
		return t.TCPConn.Write(p)
	}
	for n < len(p) && err == nil {
		k := min(len(p)-n, 1+t.client.rand.IntN(7))
		k, err = t.TCPConn.Write(p[n : n+k])
		n += k
		time.Sleep(time.Duration(t.client.rand.IntN(500)) * time.Microsecond)
	}
	return n, err
}

// write sends n bytes of the stream, in messages.
func (c *client) write(n, message int) error {
	buf := make([]byte, message)
	for n > 0 {
		p := buf[:min(n, message)]
		c.sent.Read(p)
		if _, err := c.tls.Write(p); err != nil {
			return fmt.Errorf("write: %w", err)
		}
		n -= len(p)
		c.mu.Lock()
		c.result.Messages++
		c.mu.Unlock()
	}
	return nil
}

// read checks that n bytes of the stream come back.
func (c *client) read(n int) error {
	got, want := make([]byte, 4096), make([]byte, 4096)
	for n > 0 {
		k, err := c.tls.Read(got[:min(n, len(got))])
		c.expected.Read(want[:k])
		if !bytes.Equal(got[:k], want[:k]) {
			return fmt.Errorf("other bytes came back than were sent, %d before the end of the round", n)
		}
		if n -= k; err != nil && n > 0 {
			return fmt.Errorf("read, %d bytes before the end: %w", n, err)
		}
		c.mu.Lock()
		c.result.Bytes += int64(k)
		c.mu.Unlock()
	}
	return nil
}

// both writes n bytes and reads them from another goroutine, after a while.
func (c *client) both(n, message int, rest time.Duration) error {
	wrote := make(chan error, 1)
	go func() { wrote <- c.write(n, message) }()
	time.Sleep(rest)
	err := c.read(n)
	if err != nil {
		c.raw.Close()
	}
	if err2 := <-wrote; err == nil {
		err = err2
	}
	return err
}

// steady is a question and its answer.
func (c *client) steady() error {
	n := 1 + c.rand.IntN(200)
	if err := c.write(n, n); err != nil {
		return err
	}
	return c.read(n)
}

// pipeline is many questions before the first answer is read.
func (c *client) pipeline() error {
	return c.both(256<<10, 1+c.rand.IntN(3000), 0)
}

// stall is more than the server can hold, and nothing is read for a long time.
func (c *client) stall() error {
	return c.both(1<<20, 16<<10, time.Duration(200+c.rand.IntN(800))*time.Millisecond)
}

// trickle is a question that comes in tiny pieces.
func (c *client) trickle() error {
	c.slow = true
	defer func() { c.slow = false }()
	return c.steady()
}

// halfClose ends the client's direction with close_notify behind its question. The answer
// comes, and the server's end behind it.
func (c *client) halfClose() error {
	n := 1 + c.rand.IntN(40_000)
	if err := c.write(n, n); err != nil {
		return err
	}
	if err := c.tls.CloseWrite(); err != nil {
		return fmt.Errorf("CloseWrite: %w", err)
	}
	return c.ends(n)
}

// fin is halfClose with the FIN of TCP and without a close_notify.
func (c *client) fin() error {
	n := 1 + c.rand.IntN(40_000)
	if err := c.write(n, n); err != nil {
		return err
	}
	if err := c.raw.CloseWrite(); err != nil {
		return fmt.Errorf("FIN: %w", err)
	}
	return c.ends(n)
}

// ends reads the rest of the stream and its end, and closes the connection.
func (c *client) ends(n int) error {
	if err := c.read(n); err != nil {
		return err
	}
	if k, err := c.tls.Read(make([]byte, 1)); err != io.EOF {
		return fmt.Errorf("%d bytes behind the end, %v", k, err)
	}
	c.tls = nil
	return c.raw.Close()
}

// reset breaks the connection in the middle of an answer.
func (c *client) reset() error {
	n := 1 + c.rand.IntN(40_000)
	if err := c.write(n, n); err != nil {
		return err
	}
	if err := c.read(n / 2); err != nil {
		return err
	}
	c.raw.SetLinger(0)
	c.tls = nil
	return c.raw.Close()
}
