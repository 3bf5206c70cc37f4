// Command tlscore shows the library at work: a server that is one epoll loop, a
// client that prints what it sees, and two machines in memory that draw what
// they say to each other.
//
// Run it without arguments for its usage.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
)

const usageText = `tlscore is TLS 1.3 and 1.2 without the I/O. This command shows it at work.

usage: tlscore <command> [flags]

  serve     answer HTTPS requests; on Linux one goroutine drives all connections
  connect   open a connection, show its events; stdin and stdout are its data
  trace     run client and server in memory and draw what happens, step by step
  bench     measure, beside crypto/tls and the bare primitives
  version   print the version

"tlscore <command> -h" explains a command and its flags.
`

// The exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// stdio is what a command talks to, so that tests can listen.
type stdio struct {
	in       io.Reader
	out, err io.Writer
}

func main() {
	os.Exit(run(os.Args[1:], stdio{os.Stdin, os.Stdout, os.Stderr}))
}

// run runs a command and returns the exit code.
func run(args []string, std stdio) int {
	if len(args) == 0 {
		fmt.Fprint(std.err, usageText)
		return exitUsage
	}
	commands := map[string]func([]string, stdio) error{
		"serve":   runServe,
		"connect": runConnect,
		"trace":   runTrace,
		"bench":   runBench,
		"version": runVersion,
	}
	name := args[0]
	switch name {
	case "-h", "-help", "--help", "help":
		fmt.Fprint(std.out, usageText)
		return exitOK
	case "-version", "--version":
		name = "version"
	}
	command, ok := commands[name]
	if !ok {
		fmt.Fprintf(std.err, "tlscore: there is no command %q\n\n%s", name, usageText)
		return exitUsage
	}
	return exitCode(name, command(args[1:], std), std)
}

// usageError is a command line that makes no sense.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

// errSilent is a failure that was told already.
var errSilent = errors.New("failed")

// exitCode tells what went wrong, if anything did.
func exitCode(name string, err error, std stdio) int {
	var usage *usageError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return exitOK
	case errors.As(err, &usage):
		fmt.Fprintf(std.err, "tlscore %s: %s\nRun \"tlscore %s -h\" for usage.\n", name, usage.text, name)
		return exitUsage
	case !errors.Is(err, errSilent):
		fmt.Fprintf(std.err, "tlscore %s: %v\n", name, err)
	}
	return exitFailure
}

// flags is a flag set with the text that -h prints before it.
type flags struct {
	*flag.FlagSet
	intro string
}

func newFlags(name, intro string) *flags {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(io.Discard) // errors are told by exitCode, help by parse
	fs.Usage = func() {}
	return &flags{fs, intro}
}

// parse parses flags that may stand before, between and behind at most
// positional other arguments, and returns those.
func (f *flags) parse(args []string, positional int, std stdio) ([]string, error) {
	var rest []string
	for {
		err := f.Parse(args)
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(std.out, f.intro)
			f.SetOutput(std.out)
			f.PrintDefaults()
			return nil, err
		}
		if err != nil {
			return nil, usagef("%v", err)
		}
		if f.NArg() == 0 {
			return rest, nil
		}
		if len(rest) == positional {
			return nil, usagef("unexpected argument %q", f.Arg(0))
		}
		rest = append(rest, f.Arg(0))
		args = f.Args()[1:]
	}
}

// splitList takes a flag apart that lists values with commas.
func splitList(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

func runVersion(args []string, std stdio) error {
	fs := newFlags("version", "usage: tlscore version\n\nPrint the version of the library and of Go.\n")
	if _, err := fs.parse(args, 0, std); err != nil {
		return err
	}
	version := "(devel)"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		version = info.Main.Version
	}
	fmt.Fprintf(std.out, "tlscore %s, %s, %s/%s\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return nil
}
