//go:build !unix

package main

// What is measured over loopback needs the processor time of a process, as Unix tells it.

const benchChild = "TLSCORE_BENCH_CLIENTS"

func runBenchChild(string) error { return usagef("there are no clients for bench here") }

func (b *bencher) bulk() ([]benchResult, error) { return nil, nil }
func (b *bencher) echo() ([]benchResult, error) { return nil, nil }
