package main

import (
	"io"
	"net"
	"slices"
	"sync"
	"testing"
)

// tap is a proxy that keeps what goes through it.
type tap struct {
	addr             string
	mu               sync.Mutex
	toServer, answer []byte // of all connections
}

// tapped puts a tap in front of a server.
func tapped(t *testing.T, server string) *tap {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	p := &tap{addr: ln.Addr().String()}
	go func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			go p.pass(client, server)
		}
	}()
	return p
}

func (p *tap) pass(client net.Conn, addr string) {
	defer client.Close()
	server, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return
	}
	defer server.Close()
	var both sync.WaitGroup
	both.Go(func() { p.copy(server, client, &p.toServer) })
	both.Go(func() { p.copy(client, server, &p.answer) })
	both.Wait()
}

func (p *tap) copy(dst, src net.Conn, kept *[]byte) {
	buf := make([]byte, 64<<10)
	for {
		n, err := src.Read(buf)
		p.mu.Lock()
		*kept = append(*kept, buf[:n]...)
		p.mu.Unlock()
		if _, werr := dst.Write(buf[:n]); err != nil || werr != nil {
			break
		}
	}
	dst.(*net.TCPConn).CloseWrite()
	io.Copy(io.Discard, src)
}

// records returns the lengths of the protected records, as far as they are whole.
func (p *tap) records(answer bool) (lengths []int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.toServer
	if answer {
		b = p.answer
	}
	for len(b) >= 5 {
		n := int(b[3])<<8 | int(b[4])
		if b[0] == recordApplicationData {
			lengths = append(lengths, n)
		}
		b = b[min(len(b), 5+n):]
	}
	return lengths
}

// longest returns the length of the longest protected record.
func (p *tap) longest(t *testing.T, answer bool) int {
	t.Helper()
	lengths := p.records(answer)
	if len(lengths) == 0 {
		t.Fatal("no protected records")
	}
	return slices.Max(lengths)
}
