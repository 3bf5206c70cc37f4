//go:build unix

package main

import (
	"crypto/aes"
	"crypto/cipher"
	"net"

	"tlscore.example/tlscore/drive/netconn"
	"tlscore.example/tlscore/internal/benchkit"
)

// What bench measures over loopback. The module bench/ has the other drivers.

var socketBenchmarks = []benchkit.Benchmark{{Name: "bulk", Run: benchBulk}, {Name: "echo", Run: benchEcho}}

// overTCP are the contestants that have a goroutine for each connection.
func overTCP(p *benchkit.PKI) []benchkit.Contestant {
	cfg := p.Server()
	return []benchkit.Contestant{
		benchkit.OverTCP("plain TCP", nil), p.CryptoTLS(),
		benchkit.OverTCP("drive/netconn", func(c net.Conn) net.Conn { return netconn.Server(c, cfg) }),
	}
}

// benchBulk sends a GiB to one client.
func benchBulk(r *benchkit.Runner) ([]benchkit.Result, error) {
	small, err := r.Send(overTCP(r.PKI), 64<<10)
	if err != nil {
		return nil, err
	}
	large, err := r.Send(overTCP(r.PKI)[2:], 128<<10)
	if err != nil {
		return nil, err
	}
	ours, std := small["drive/netconn"], small["crypto/tls"]
	return []benchkit.Result{
		benchkit.UpTo(0.75, "sending, user time, drive/netconn", benchkit.Ratio(ours.User, std.User), "× crypto/tls"),
		benchkit.UpTo(1, "sending, user and system time, drive/netconn", benchkit.Ratio(ours.All, std.All), "× crypto/tls"),
		benchkit.Plainly("sending, user and system time, plain TCP", benchkit.Ratio(small["plain TCP"].All, std.All), "× crypto/tls"),
		benchkit.Plainly("sending, user and system time, crypto/tls", benchkit.Median(std.All), "s/GiB"),
		benchkit.UpTo(16_500, "calls of write, 64 KiB each, drive/netconn", ours.Writes, "per GiB"),
		benchkit.UpTo(8_300, "calls of write, 128 KiB each, drive/netconn", large["drive/netconn"].Writes, "per GiB"),
		benchkit.Plainly("calls of write, 64 KiB each, crypto/tls", std.Writes, "per GiB"),
	}, nil
}

// benchEcho answers 100 bytes on many connections.
func benchEcho(r *benchkit.Runner) ([]benchkit.Result, error) {
	bare := benchkit.OverTCP("bare", newSealingConn)
	bare.TLS = false
	cost, err := r.Echo(append(overTCP(r.PKI), bare))
	if err != nil {
		return nil, err
	}
	plain := cost["plain TCP"]
	return []benchkit.Result{
		benchkit.Plainly("echo of 100 B, plain TCP", benchkit.Median(plain), "µs"),
		benchkit.UpTo(0.6, "echo of 100 B, drive/netconn beyond plain TCP", benchkit.Beyond(cost["drive/netconn"], plain), "µs beyond"),
		benchkit.Plainly("echo of 100 B, crypto/tls beyond plain TCP", benchkit.Beyond(cost["crypto/tls"], plain), "µs beyond"),
		benchkit.Plainly("echo of 100 B, two bare AEAD calls beyond it", benchkit.Beyond(cost["bare"], plain), "µs beyond"),
	}, nil
}

// sealingConn is plain TCP that seals as much as a connection opens and seals, each direction
// with a cipher of its own: less than that TLS cannot cost.
type sealingConn struct {
	net.Conn
	in, out cipher.AEAD
	room    [1 << 7]byte
}

func newSealingConn(conn net.Conn) net.Conn {
	c := &sealingConn{Conn: conn}
	for _, aead := range []*cipher.AEAD{&c.in, &c.out} {
		block, err := aes.NewCipher(make([]byte, 16))
		if err == nil {
			*aead, err = cipher.NewGCM(block)
		}
		if err != nil {
			panic(err) // it works, or nothing here does
		}
	}
	return c
}

func (c *sealingConn) seal(aead cipher.AEAD, n int) {
	aead.Seal(c.room[12:12], c.room[:12], c.room[12:12+min(n, 100)], nil)
}

func (c *sealingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.seal(c.in, n)
	return n, err
}

func (c *sealingConn) Write(p []byte) (int, error) {
	c.seal(c.out, len(p))
	return c.Conn.Write(p)
}
