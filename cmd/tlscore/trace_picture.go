package main

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// The columns of a picture: client, wire, server.
const (
	sideWidth = 33
	wireWidth = 28
	gap       = " "
)

// picture draws lines of three columns.
type picture struct {
	text    strings.Builder
	colored bool
}

// The colours, as ANSI escape sequences.
const (
	plain  = ""
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
)

// paint wraps s in a colour.
func (p *picture) paint(color, s string) string {
	if !p.colored || color == plain || strings.TrimSpace(s) == "" {
		return s
	}
	return "\x1b[" + color + "m" + s + "\x1b[0m"
}

// line draws one line. The columns are padded before they are painted.
func (p *picture) line(left, leftColor, wire, wireColor, right, rightColor string) {
	line := p.paint(leftColor, pad(left, sideWidth)) + gap +
		p.paint(wireColor, pad(wire, wireWidth)) + gap +
		p.paint(rightColor, right)
	p.text.WriteString(strings.TrimRight(line, " "))
	p.text.WriteByte('\n')
}

func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
}

func (p *picture) title(s scenario) {
	p.text.WriteString(p.paint(bold, s.name) + ": " + s.about + "\n\n")
}

// heading separates the parts of a scenario.
func (p *picture) heading(left, wire, right string) {
	p.line(left, bold, center(wire), bold, right, bold)
}

func center(s string) string {
	return strings.Repeat(" ", max(0, wireWidth-utf8.RuneCountInString(s))/2) + s
}

// side is one of the two columns beside the wire.
type side int

const (
	left side = iota
	right
)

// say draws a line in the column of one side.
func (p *picture) say(at side, color, text string) {
	if at == left {
		p.line(text, color, "", plain, "", plain)
	} else {
		p.line("", plain, "", plain, text, color)
	}
}

// arrow draws what is on the wire, from one side to the other.
func (p *picture) arrow(from side, color, label string) {
	shaft := strings.Repeat("─", max(2, wireWidth-3-utf8.RuneCountInString(label)))
	text := label + " " + shaft + ">"
	if from == right {
		text = "<" + shaft + " " + label
	}
	p.line("", plain, text, color, "", plain)
}

// hexBytes shows bytes as they are in specifications.
func hexBytes(b []byte) string { return fmt.Sprintf("% x", b) }

// wrap breaks text into lines at spaces.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			lines = append(lines, line)
			line = "  "
		} else if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
