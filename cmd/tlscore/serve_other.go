//go:build !linux

package main

import (
	"context"
	"net"
)

// serve serves with a goroutine for each connection.
func (s *server) serve(ctx context.Context, ln *net.TCPListener) error {
	return s.serveGoroutines(ctx, ln)
}
