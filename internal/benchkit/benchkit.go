// Package benchkit is what "tlscore bench" and the module bench/ measure with: rounds in which
// the contestants take turns, results with goals, and their table. No part of the library
// imports it.
package benchkit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Result is a line of the table.
type Result struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	// Goal is what Value should not exceed; without one Met says nothing.
	Goal float64 `json:"goal,omitempty"`
	Met  *bool   `json:"met,omitempty"`
}

// UpTo returns a result with a goal.
func UpTo(goal float64, name string, value float64, unit string) Result {
	met := value <= goal
	return Result{name, value, unit, goal, &met}
}

// Plainly returns a result to compare with.
func Plainly(name string, value float64, unit string) Result {
	return Result{Name: name, Value: value, Unit: unit}
}

// Benchmark is a group of results that are measured together.
type Benchmark struct {
	Name string
	Run  func(*Runner) ([]Result, error)
}

// Runner says how much is measured.
type Runner struct {
	Rounds int  // that each comparison takes
	Quick  bool // only to see that it works

	PKI *PKI
	err io.Writer
}

// Options are what the flags of a program say.
type Options struct {
	Rounds int
	Quick  bool
	Match  *regexp.Regexp // of the names of the benchmarks
	JSON   bool           // one object per result, and no table
	List   bool           // only the names
}

// ErrNoMatch means that Options.Match matches no benchmark.
var ErrNoMatch = errors.New("the pattern matches none of the benchmarks, which -list lists")

// Run runs the benchmarks that match, and prints their results to out, and to progress which of
// them is being run.
func Run(list []Benchmark, o Options, out, progress io.Writer) error {
	list = slices.DeleteFunc(slices.Clone(list), func(b Benchmark) bool { return !o.Match.MatchString(b.Name) })
	if len(list) == 0 {
		return ErrNoMatch
	}
	if o.List {
		for _, b := range list {
			fmt.Fprintln(out, b.Name)
		}
		return nil
	}
	r := &Runner{Rounds: o.Rounds, Quick: o.Quick, err: progress}
	if r.Quick {
		r.Rounds = min(r.Rounds, 3)
	}
	var err error
	if r.PKI, err = newPKI(); err != nil {
		return err
	}
	for _, b := range list {
		r.Say(b.Name)
		results, err := b.Run(r)
		if err != nil {
			return fmt.Errorf("%s: %w", b.Name, err)
		}
		if err := printResults(out, b.Name, results, o.JSON); err != nil {
			return err
		}
	}
	return nil
}

// Say tells what is being measured.
func (r *Runner) Say(what string) { fmt.Fprintf(r.err, "measuring %s …\n", what) }

// Skip tells what is not measured, and why.
func (r *Runner) Skip(what string, why error) {
	fmt.Fprintf(r.err, "not measuring %s: %v\n", what, why)
}

func printResults(out io.Writer, group string, results []Result, asJSON bool) error {
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
			bar = int(24 * max(0, r.Value) / longest[r.Unit])
		}
		fmt.Fprintf(out, "  %-46s %9.4g %-13s %-24s %s\n", r.Name, r.Value, r.Unit, strings.Repeat("█", bar), goal)
	}
	return nil
}

// Interleave runs the contestants in turn, a round after the other, and returns the seconds of
// each. Who comes first changes, since what ran before may leave the caches warm.
func (r *Runner) Interleave(contestants ...func()) [][]float64 {
	seconds := make([][]float64, len(contestants))
	for _, f := range contestants {
		f() // not counted
	}
	for round := range r.Rounds {
		for i := range contestants {
			i = (i + round) % len(contestants)
			began := time.Now()
			contestants[i]()
			seconds[i] = append(seconds[i], time.Since(began).Seconds())
		}
	}
	return seconds
}

// Ratio is the median of what a costs over what base costs, round by round.
func Ratio(a, base []float64) float64 {
	return Median(each(a, base, func(x, y float64) float64 { return x / y }))
}

// Beyond is the median of what a costs more than base, round by round.
func Beyond(a, base []float64) float64 {
	return Median(each(a, base, func(x, y float64) float64 { return x - y }))
}

// Sum is what both cost, round by round.
func Sum(a, b []float64) []float64 {
	return each(a, b, func(x, y float64) float64 { return x + y })
}

func each(a, b []float64, f func(x, y float64) float64) []float64 {
	out := make([]float64, len(a))
	for i := range a {
		out[i] = f(a[i], b[i])
	}
	return out
}

// Median returns the value in the middle.
func Median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	if n := len(sorted); n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[len(sorted)/2]
}

// Stopwatch adds up what it measures.
type Stopwatch struct{ Total time.Duration }

// Time measures f.
func (s *Stopwatch) Time(f func()) {
	began := time.Now()
	f()
	s.Total += time.Since(began)
}
