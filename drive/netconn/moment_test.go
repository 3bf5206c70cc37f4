package netconn

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"
)

// Everything that can happen to a connection, at any moment of its life and at the same
// time: every call returns, and TestMain sees that nothing is left behind.
func TestAnyMoment(t *testing.T) {
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 0))
		a, b := tcpPair(t)
		ends := []*Conn{Server(b, serverConfig())}
		if r.IntN(2) == 0 {
			ends[0] = liftedServer(b).(*Conn)
		}
		if r.IntN(2) == 0 {
			ends = append(ends, Client(a, clientConfig()))
		}
		var calls sync.WaitGroup
		soon := func(do func()) {
			moment := time.Duration(r.IntN(8000)) * time.Microsecond
			calls.Go(func() { time.Sleep(moment); do() })
		}
		for _, c := range ends {
			c.SetLinger(Linger{Timeout: 50 * time.Millisecond})
			soon(func() { io.Copy(io.Discard, c) })
			soon(func() { io.Copy(c, io.LimitReader(zeros{}, 2<<20)) })
			disturb(r, c, soon)
			soon(func() { time.Sleep(10 * time.Millisecond); c.Close() })
		}
		if len(ends) == 1 {
			disturbRaw(r, a, soon)
		}
		done := async(func() error { calls.Wait(); return nil })
		if err := within(t, patience, "a call", func() error { return <-done }); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		a.Close()
	}
}

// disturb does one more thing to a connection.
func disturb(r *rand.Rand, c *Conn, soon func(func())) {
	switch r.IntN(6) {
	case 0:
		soon(func() { c.CloseWrite() })
	case 1:
		soon(func() { c.SetDeadline(past); time.Sleep(time.Millisecond); c.SetDeadline(time.Time{}) })
	case 2:
		ctx, cancel := context.WithCancel(context.Background())
		soon(func() { c.HandshakeContext(ctx) })
		soon(cancel)
	case 3:
		soon(func() { c.ConnectionState() })
	case 4:
		soon(func() { reset(c.NetConn()) })
	}
}

// disturbRaw is a client that does not speak TLS.
func disturbRaw(r *rand.Rand, conn net.Conn, soon func(func())) {
	switch r.IntN(3) {
	case 0:
		soon(func() { conn.Write([]byte{22, 3, 1}); reset(conn) })
	case 1:
		soon(func() { io.WriteString(conn, "nonsense"); io.Copy(io.Discard, conn); conn.Close() })
	case 2:
		soon(func() { conn.Close() })
	}
}

func reset(conn net.Conn) {
	conn.(*net.TCPConn).SetLinger(0)
	conn.Close()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
