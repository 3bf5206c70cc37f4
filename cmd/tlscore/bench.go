package main

import (
	"errors"
	"regexp"

	"tlscore.example/tlscore/internal/benchkit"
)

const benchIntro = `usage: tlscore bench [flags]

Measure this library, crypto/tls and the bare primitives of the standard library, one after
the other in short rounds of the same run, so that what else the machine does hits all of
them. Times are ratios: what something costs over what its cryptography alone costs. Less is
better. docs/performance.md says what the rows mean.

`

var benchmarks = append([]benchkit.Benchmark{
	{Name: "records", Run: benchRecords},
	{Name: "handshake", Run: benchFullHandshakes},
	{Name: "resumption", Run: benchResumedHandshakes},
	{Name: "allocations", Run: benchAllocations},
	{Name: "idle", Run: benchIdle},
	{Name: "growth", Run: benchGrowth},
}, socketBenchmarks...)

// runBench is "tlscore bench".
func runBench(args []string, std stdio) error {
	if clients, err := benchkit.RunClients(); clients {
		return err
	}
	fs := newFlags("bench", benchIntro)
	rounds := fs.Int("rounds", 21, "how many `rounds` each comparison takes")
	quick := fs.Bool("quick", false, "a few seconds for all of it: to see that it works, not to quote")
	only := fs.String("run", "", "only the benchmarks whose names match this `pattern`: see -list")
	asJSON := fs.Bool("json", false, "print one JSON object per result, and no table")
	list := fs.Bool("list", false, "list the benchmarks")
	if _, err := fs.parse(args, 0, std); err != nil {
		return err
	}
	pattern, err := regexp.Compile(*only)
	switch {
	case err != nil:
		return usagef("-run: %v", err)
	case *rounds < 1:
		return usagef("-rounds has to be at least 1")
	}
	err = benchkit.Run(benchmarks, benchkit.Options{Rounds: *rounds, Quick: *quick, Match: pattern, JSON: *asJSON, List: *list}, std.out, std.err)
	if errors.Is(err, benchkit.ErrNoMatch) {
		return usagef("-run %s: %v", *only, err)
	}
	return err
}
