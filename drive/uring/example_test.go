//go:build linux

package uring

import (
	"testing"

	"tlscore.example/tlscore/drive/internal/drivertest"
)

// The example with real clients.
func TestExample(t *testing.T) {
	_, stop := serveUntil(t, &Server{Handler: &app{}}) // skips where there is no io_uring
	stop()
	drivertest.HTTPClients(t, drivertest.Start(t, "./example", "-addr", "127.0.0.1:0"), false)
}
