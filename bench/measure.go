//go:build unix

package main

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"net"
	"runtime"

	llib "github.com/lesismal/llib/std/crypto/tls"
	"golang.org/x/crypto/chacha20poly1305"

	"tlscore.example/tlscore"
	"tlscore.example/tlscore/internal/benchkit"
)

// bulk sends a GiB to one client, in writes of 64 KiB.
func bulk(r *benchkit.Runner) ([]benchkit.Result, error) {
	list := groups(r)
	sent, err := r.Send(all(list), 64<<10)
	if err != nil {
		return nil, err
	}
	std := sent["crypto/tls"]
	results := []benchkit.Result{benchkit.Plainly("sending, user and system time, crypto/tls", benchkit.Median(std.All), "s/GiB")}
	for _, c := range all(list) {
		s := sent[c.Name]
		user, both := benchkit.Ratio(s.User, std.User), benchkit.Ratio(s.All, std.All)
		if ours(c) {
			results = append(results,
				benchkit.UpTo(0.75, "sending, user time, "+c.Name, user, "× crypto/tls"),
				benchkit.UpTo(1, "sending, user and system time, "+c.Name, both, "× crypto/tls"))
			continue
		}
		results = append(results,
			benchkit.Plainly("sending, user time, "+c.Name, user, "× crypto/tls"),
			benchkit.Plainly("sending, user and system time, "+c.Name, both, "× crypto/tls"))
	}
	return results, nil
}

// ours reports whether a contestant is of this library.
func ours(c benchkit.Contestant) bool { return c.TLS && len(c.Name) > 6 && c.Name[:6] == "drive/" }

// echo answers 100 bytes on 1,000 connections.
func echo(r *benchkit.Runner) (results []benchkit.Result, err error) {
	list := groups(r)
	cost, err := r.Echo(all(list))
	if err != nil {
		return nil, err
	}
	for _, g := range list {
		results = append(results, benchkit.Plainly("echo of 100 B, "+g.plain.Name, benchkit.Median(cost[g.plain.Name]), "µs"))
		for _, c := range g.tls {
			name, beyond := fmt.Sprintf("echo of 100 B, %s beyond %s", c.Name, g.plain.Name), benchkit.Beyond(cost[c.Name], cost[g.plain.Name])
			if ours(c) {
				results = append(results, benchkit.UpTo(0.6, name, beyond, "µs beyond"))
			} else {
				results = append(results, benchkit.Plainly(name, beyond, "µs beyond"))
			}
		}
	}
	return results, nil
}

// idle weighs connections that wait, with their drivers and stacks.
func idle(r *benchkit.Runner) (results []benchkit.Result, err error) {
	for _, exchange := range []int{100, 16 << 10} {
		for _, c := range all(groups(r)) {
			bytes, err := r.Idle(c, exchange)
			if err != nil {
				return nil, err
			}
			results = append(results, benchkit.Plainly(fmt.Sprintf("idle after %d B, driver and stacks too, %s", exchange, c.Name), bytes, "B"))
		}
	}
	return results, nil
}

// inMemory compares records and handshakes of llib with those of this library.
func inMemory(r *benchkit.Runner) (results []benchkit.Result, err error) {
	for _, size := range []struct {
		name     string
		n, times int
	}{{"16 KiB", 16 << 10, 300}, {"1 KiB", 1 << 10, 3000}, {"100 B", 100, 6000}} {
		if r.Quick {
			size.times /= 10
		}
		more, err := records(r, "record of "+size.name, size.n, size.times)
		if err != nil {
			return nil, err
		}
		results = append(results, more...)
	}
	handshakes, err := fullHandshakes(r)
	if err != nil {
		return nil, err
	}
	weight, err := llibWeight(r)
	return append(append(results, handshakes...), weight), err
}

func connectLlib(r *benchkit.Runner) (client, server *llib.Conn, err error) {
	clientConfig, serverConfig := llibClient(r.PKI), llibServer(r.PKI)
	_, _, err = benchkit.Connect(
		func(c net.Conn) benchkit.Conn { client = llib.Client(c, clientConfig); return client },
		func(c net.Conn) benchkit.Conn { server = llib.Server(c, serverConfig); return server })
	return client, server, err
}

// records compares the way of a record with its sealing and opening, by the cipher that each has
// negotiated: llib may choose ChaCha20-Poly1305.
func records(r *benchkit.Runner, name string, n, times int) ([]benchkit.Result, error) {
	client, server, err := benchkit.ConnectMachines(r.PKI.Client(), r.PKI.Server(), benchkit.Unmeasured, benchkit.Unmeasured)
	if err != nil {
		return nil, err
	}
	theirClient, theirServer, err := connectLlib(r)
	if err != nil {
		return nil, err
	}
	suite := theirClient.ConnectionState().CipherSuite
	bare, err := bareRecord(llib.TLS_AES_128_GCM_SHA256, n)
	if err != nil {
		return nil, err
	}
	theirBare, err := bareRecord(suite, n)
	if err != nil {
		return nil, err
	}
	data, room, wire := make([]byte, n), make([]byte, n), make([]byte, 0, n+1000)
	var failed error
	many := func(f func() error) func() { return repeat(times, f, &failed) }
	t := r.Interleave(
		many(func() error {
			wire, _, _ = client.AppendSealed(wire[:0], data)
			if ev, _ := server.Step(wire); ev.Kind != tlscore.EventData {
				return errors.New("a record did not arrive")
			}
			return nil
		}),
		many(bare),
		many(func() error { return benchkit.Carry(theirClient, theirServer, data, room) }),
		many(theirBare),
	)
	return []benchkit.Result{
		benchkit.Plainly(name+", tlscore", benchkit.Ratio(t[0], t[1]), "× bare"),
		benchkit.Plainly(fmt.Sprintf("%s, llib with %s", name, llib.CipherSuiteName(suite)), benchkit.Ratio(t[2], t[3]), "× bare"),
	}, failed
}

// repeat does something so many times, and notes what went wrong.
func repeat(times int, f func() error, failed *error) func() {
	return func() {
		for range times {
			if err := f(); err != nil {
				*failed = err
			}
		}
	}
}

// bareRecord returns what seals and opens n bytes and a type, in place.
func bareRecord(suite uint16, n int) (func() error, error) {
	var aead cipher.AEAD
	var err error
	switch suite {
	case llib.TLS_CHACHA20_POLY1305_SHA256:
		aead, err = chacha20poly1305.New(make([]byte, chacha20poly1305.KeySize))
	default:
		key := make([]byte, 16)
		if suite == llib.TLS_AES_256_GCM_SHA384 {
			key = make([]byte, 32)
		}
		var block cipher.Block
		if block, err = aes.NewCipher(key); err == nil {
			aead, err = cipher.NewGCM(block)
		}
	}
	if err != nil {
		return nil, err
	}
	inner := make([]byte, n+1, n+1+aead.Overhead())
	nonce, header := make([]byte, aead.NonceSize()), make([]byte, 5)
	return func() error {
		sealed := aead.Seal(inner[:0], nonce, inner, header)
		_, err := aead.Open(sealed[:0], nonce, sealed, header)
		return err
	}, nil
}

// fullHandshakes compares full handshakes, both sides together, with their primitives.
func fullHandshakes(r *benchkit.Runner) ([]benchkit.Result, error) {
	w, err := r.PKI.Primitives()
	if err != nil {
		return nil, err
	}
	times := 30
	if r.Quick {
		times = 3
	}
	clientConfig, serverConfig := r.PKI.Client(), r.PKI.Server()
	var failed error
	many := func(f func() error) func() { return repeat(times, f, &failed) }
	t := r.Interleave(
		many(func() error {
			_, _, err := benchkit.ConnectMachines(clientConfig, serverConfig, benchkit.Unmeasured, benchkit.Unmeasured)
			return err
		}),
		many(func() error { _, _, err := r.PKI.ConnectStd(); return err }),
		many(func() error { _, _, err := connectLlib(r); return err }),
		many(func() error { w.Exchange(); w.Verify(); w.Exchange(); w.Sign(); return w.Err }),
	)
	return []benchkit.Result{
		benchkit.Plainly("full handshake, both sides, tlscore", benchkit.Ratio(t[0], t[3]), "× primitives"),
		benchkit.Plainly("full handshake, both sides, crypto/tls over a pipe", benchkit.Ratio(t[1], t[3]), "× primitives"),
		benchkit.Plainly("full handshake, both sides, llib over a pipe", benchkit.Ratio(t[2], t[3]), "× primitives"),
	}, failed
}

// llibWeight is the heap of an idle server's connection of llib, with the pipe that it is over.
func llibWeight(r *benchkit.Runner) (benchkit.Result, error) {
	n := 400
	if r.Quick {
		n = 50
	}
	conns := make([]*llib.Conn, n)
	data, room := make([]byte, 100), make([]byte, 100)
	if _, _, err := connectLlib(r); err != nil { // what is made once
		return benchkit.Result{}, err
	}
	before := benchkit.Heap()
	for i := range conns {
		client, server, err := connectLlib(r)
		if err == nil {
			err = errors.Join(benchkit.Carry(client, server, data, room), benchkit.Carry(server, client, data, room))
		}
		if err != nil {
			return benchkit.Result{}, err
		}
		conns[i] = server
	}
	per := (benchkit.Heap() - before) / float64(n)
	runtime.KeepAlive(conns)
	return benchkit.Plainly("idle connection after 100 B, llib, its pipe too", per, "B"), nil
}
