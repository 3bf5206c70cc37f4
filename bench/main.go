//go:build unix

// Command bench measures what "tlscore bench" cannot without other modules: the event loops that
// drive this library, gnet and io_uring, beside drive/netconn, crypto/tls and plain connections;
// and nbio with llib, the other TLS for event loops in Go.
//
//	go run . [-quick] [-rounds n] [-run pattern] [-json] [-list]
//
// All of it is interleaved in one run. Servers are in this process, whose processor time and
// memory count; clients are crypto/tls, in another one. Event loops of gnet and nbio are as many
// as there are processors, drive/uring has one.
package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"

	"tlscore.example/tlscore/internal/benchkit"
)

var benchmarks = []benchkit.Benchmark{
	{Name: "memory", Run: inMemory},
	{Name: "bulk", Run: bulk},
	{Name: "echo", Run: echo},
	{Name: "idle", Run: idle},
}

func main() {
	clients, err := benchkit.RunClients()
	if !clients {
		err = run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() error {
	rounds := flag.Int("rounds", 5, "how many `rounds` each comparison takes")
	quick := flag.Bool("quick", false, "a few seconds for all of it: to see that it works, not to quote")
	only := flag.String("run", "", "only the benchmarks whose names match this `pattern`")
	asJSON := flag.Bool("json", false, "print one JSON object per result, and no table")
	list := flag.Bool("list", false, "list the benchmarks")
	flag.Parse()
	pattern, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	return benchkit.Run(benchmarks, benchkit.Options{
		Rounds: max(1, *rounds), Quick: *quick, Match: pattern, JSON: *asJSON, List: *list,
	}, os.Stdout, os.Stderr)
}
