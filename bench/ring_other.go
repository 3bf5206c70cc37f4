//go:build unix && !linux

package main

import (
	"errors"

	"tlscore.example/tlscore/internal/benchkit"
)

// serveRing says that there is no io_uring here.
func serveRing(*benchkit.PKI, benchkit.Service) (string, func(), error) {
	return "", nil, errors.New("io_uring is a part of Linux")
}
