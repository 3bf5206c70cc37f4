package main

import (
	"fmt"
	"io"
	"os"
	"strings"
)

const traceIntro = `usage: tlscore trace [flags]

Run client and server in memory and draw what happens: the client on the left,
the server on the right, the wire between them. Everything is computed anew, but
with fixed random bytes, so the same scenario gives the same picture.

  ->  message that a machine has put into its output
  <-  message that a machine has taken from its input
   *  event that Step returned, and the state if it has changed
   !  call of the application

`

// scenario is one of the stories that trace can tell.
type scenario struct {
	name  string
	about string
	run   func(*stage)
}

// runTrace is "tlscore trace".
func runTrace(args []string, std stdio) error {
	fs := newFlags("trace", traceIntro)
	name := fs.String("scenario", "handshake", "what to draw: one of the `names` that -list shows, or all")
	color := fs.String("color", "auto", "`when` to use colour: auto, always or never")
	list := fs.Bool("list", false, "list the scenarios")
	rest, err := fs.parse(args, 1, std)
	if err != nil {
		return err
	}
	if len(rest) == 1 {
		*name = rest[0]
	}
	if *list {
		for _, s := range scenarios {
			fmt.Fprintf(std.out, "%-18s %s\n", s.name, s.about)
		}
		return nil
	}
	colored, err := useColor(*color, std.out)
	if err != nil {
		return err
	}
	chosen, err := chooseScenarios(*name)
	if err != nil {
		return err
	}
	for i, s := range chosen {
		if i > 0 {
			fmt.Fprintln(std.out)
		}
		if err := draw(std.out, s, colored); err != nil {
			return err
		}
	}
	return nil
}

func chooseScenarios(name string) ([]scenario, error) {
	if name == "all" {
		return scenarios, nil
	}
	var names []string
	for _, s := range scenarios {
		if s.name == name {
			return []scenario{s}, nil
		}
		names = append(names, s.name)
	}
	return nil, usagef("there is no scenario %q; there are %s, and all", name, strings.Join(names, ", "))
}

// useColor decides about colour. NO_COLOR is a convention: https://no-color.org.
func useColor(when string, out io.Writer) (bool, error) {
	switch when {
	case "always":
		return true, nil
	case "never":
		return false, nil
	case "auto":
		file, ok := out.(*os.File)
		if !ok || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
			return false, nil
		}
		info, err := file.Stat()
		return err == nil && info.Mode()&os.ModeCharDevice != 0, nil
	}
	return false, usagef("-color %q: say auto, always or never", when)
}

// draw tells one scenario.
func draw(out io.Writer, s scenario, colored bool) error {
	p := &picture{colored: colored}
	p.title(s)
	s.run(newStage(p))
	_, err := io.WriteString(out, p.text.String())
	return err
}
