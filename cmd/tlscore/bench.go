package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"
)

const benchIntro = `usage: tlscore bench [flags]

Measure this library, crypto/tls and the bare primitives of the standard library, one after
the other in short rounds of the same run, so that what else the machine does hits all of
them. Times are ratios: what something costs over what its cryptography alone costs. Less is
better. docs/performance.md says what the rows mean.

`

// bencher runs the measurements.
type bencher struct {
	rounds int
	quick  bool
	pki    *benchPKI
	say    func(string) // what is being measured
}

// benchResult is a line of the table.
type benchResult struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	// Goal is what Value should not exceed; without one Met says nothing.
	Goal float64 `json:"goal,omitempty"`
	Met  *bool   `json:"met,omitempty"`
}

// upTo returns a result with a goal.
func upTo(goal float64, name string, value float64, unit string) benchResult {
	met := value <= goal
	return benchResult{name, value, unit, goal, &met}
}

// plainly returns a result to compare with.
func plainly(name string, value float64, unit string) benchResult {
	return benchResult{Name: name, Value: value, Unit: unit}
}

// benchmark is a group of results that are measured together.
type benchmark struct {
	name string
	run  func(*bencher) ([]benchResult, error)
}

var benchmarks = []benchmark{
	{"records", (*bencher).records},
	{"handshake", (*bencher).fullHandshakes},
	{"resumption", (*bencher).resumedHandshakes},
	{"allocations", (*bencher).allocations},
	{"idle", (*bencher).idleConnections},
	{"growth", (*bencher).growth},
	{"bulk", (*bencher).bulk},
	{"echo", (*bencher).echo},
}

// runBench is "tlscore bench".
func runBench(args []string, std stdio) error {
	if child := os.Getenv(benchChild); child != "" {
		return runBenchChild(child)
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
	b := &bencher{rounds: *rounds, quick: *quick, say: func(text string) { fmt.Fprintf(std.err, "measuring %s …\n", text) }}
	if b.quick {
		b.rounds = min(b.rounds, 3)
	}
	if b.pki, err = newBenchPKI(); err != nil {
		return err
	}
	matched := false
	for _, m := range benchmarks {
		if !pattern.MatchString(m.name) {
			continue
		}
		matched = true
		if *list {
			fmt.Fprintln(std.out, m.name)
			continue
		}
		b.say(m.name)
		results, err := m.run(b)
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		if err := printResults(std.out, m.name, results, *asJSON); err != nil {
			return err
		}
	}
	if !matched {
		return usagef("-run %s matches none of the benchmarks, which -list lists", *only)
	}
	return nil
}

func printResults(out io.Writer, group string, results []benchResult, asJSON bool) error {
	if asJSON {
		for _, r := range results {
			line, err := json.Marshal(r)
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "%s\n", line)
		}
		return nil
	}
	fmt.Fprintf(out, "\n%s\n", group)
	longest := make(map[string]float64) // by unit
	for _, r := range results {
		longest[r.Unit] = max(longest[r.Unit], r.Value, r.Goal)
	}
	for _, r := range results {
		goal := ""
		if r.Met != nil {
			goal = fmt.Sprintf("goal %.4g: ", r.Goal)
			if *r.Met {
				goal += "met"
			} else {
				goal += "not met"
			}
		}
		bar := 0
		if longest[r.Unit] > 0 {
			bar = int(24 * r.Value / longest[r.Unit])
		}
		fmt.Fprintf(out, "  %-46s %9.4g %-13s %-24s %s\n", r.Name, r.Value, r.Unit, strings.Repeat("█", bar), goal)
	}
	return nil
}

// interleave runs the contestants in turn, a round after the other, and returns the seconds
// of each. Who comes first changes, since what ran before may leave the caches warm.
func (b *bencher) interleave(contestants ...func()) [][]float64 {
	seconds := make([][]float64, len(contestants))
	for _, f := range contestants {
		f() // not counted
	}
	for round := range b.rounds {
		for i := range contestants {
			i = (i + round) % len(contestants)
			began := time.Now()
			contestants[i]()
			seconds[i] = append(seconds[i], time.Since(began).Seconds())
		}
	}
	return seconds
}

// ratio is the median of what a costs over what base costs, round by round.
func ratio(a, base []float64) float64 {
	quotients := make([]float64, len(a))
	for i := range a {
		quotients[i] = a[i] / base[i]
	}
	return median(quotients)
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	if n := len(sorted); n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[len(sorted)/2]
}
