//go:build !unix

package main

import "tlscore.example/tlscore/internal/benchkit"

var socketBenchmarks []benchkit.Benchmark // they need to know processor time as Unix tells it
