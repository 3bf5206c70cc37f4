package tlscore

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the generated documents and golden files anew")

// TestDocs compares the documents that are printed from tables with what is
// committed. go test -run TestDocs -update . prints them anew.
func TestDocs(t *testing.T) {
	for name, text := range map[string]string{
		"errors.md":        errorsDoc(),
		"state-machine.md": stateMachineDoc(),
		"negotiation.md":   negotiationDoc(),
	} {
		path := filepath.Join("docs", name)
		if *update {
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if readText(t, path) != text {
			t.Errorf("%s is stale: go test -run TestDocs -update .", path)
		}
	}
}

// TestCodeInDocuments compares the code of documents, as far as it is whole declarations,
// with the Examples that run.
func TestCodeInDocuments(t *testing.T) {
	for _, tt := range []struct {
		document, example string
		least             int
	}{
		{"README.md", "example_test.go", 5},
		{filepath.Join("docs", "drivers.md"), "example_driver_test.go", 1},
	} {
		document, example := readText(t, tt.document), readText(t, tt.example)
		compared := 0
		for _, rest := range strings.Split(document, "```go\n")[1:] {
			block, _, closed := strings.Cut(rest, "```\n")
			switch {
			case !closed:
				t.Fatalf("code without an end: %s", rest)
			case !strings.Contains(block, "\nfunc ") && !strings.Contains(block, "\ntype "):
				continue
			case !strings.Contains(example, block):
				t.Errorf("this is not in %s:\n%s", tt.example, block)
			}
			compared++
		}
		if compared < tt.least {
			t.Errorf("%s has %d pieces of code with declarations", tt.document, compared)
		}
	}
}

// TestDocumentsAreComplete checks that the contract has every error of misuse, and every
// method of a machine in one of its halves, as its own comment has; and that what a peer
// can make large is said of every limit.
func TestDocumentsAreComplete(t *testing.T) {
	contract, security := readText(t, filepath.Join("docs", "contract.md")), readText(t, filepath.Join("docs", "security.md"))
	_, table, _ := strings.Cut(contract, "\n## Errors\n")
	table, _, _ = strings.Cut(table, "\n## ")
	for _, name := range sentinelErrors(t) {
		if !strings.Contains(table, "| `"+name+"` |") {
			t.Errorf("the errors of the contract lack %s", name)
		}
	}
	_, halves, _ := strings.Cut(contract, "\n## The two halves\n")
	halves, _, _ = strings.Cut(halves, "\n## ")
	_, comment, _ := strings.Cut(readText(t, "machine.go"), "\n// Machine is one")
	comment, _, _ = strings.Cut(comment, "\ntype Machine")
	machine := reflect.TypeFor[*Machine]()
	if machine.NumMethod() < 20 {
		t.Fatalf("a Machine has %d methods", machine.NumMethod())
	}
	for i := range machine.NumMethod() {
		name := machine.Method(i).Name
		word := regexp.MustCompile(`\b` + name + `\b`)
		if !word.MatchString(halves) {
			t.Errorf("the halves of the contract lack %s", name)
		}
		if !word.MatchString(comment) {
			t.Errorf("the comment of Machine lacks %s", name)
		}
	}
	limits := reflect.TypeFor[Limits]()
	for i := range limits.NumField() {
		// How much is sealed under a key is nothing that a peer decides.
		if name := limits.Field(i).Name; name != "KeyRecords" && !strings.Contains(security, "`Limits."+name+"`") {
			t.Errorf("docs/security.md lacks Limits.%s", name)
		}
	}
}

// sentinelErrors are the names of the package's exported error variables.
func sentinelErrors(t *testing.T) (names []string) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range parsed.Decls {
			vars, ok := decl.(*ast.GenDecl)
			if !ok || vars.Tok != token.VAR {
				continue
			}
			for _, spec := range vars.Specs {
				for _, name := range spec.(*ast.ValueSpec).Names {
					if strings.HasPrefix(name.Name, "Err") {
						names = append(names, name.Name)
					}
				}
			}
		}
	}
	if len(names) < 10 {
		t.Fatalf("only %v", names)
	}
	return names
}

func readText(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(b), "\r\n", "\n")
}

const generated = "<!-- Printed from the tables of the package: go test -run TestDocs -update . -->\n\n"

func errorsDoc() string {
	var b strings.Builder
	b.WriteString("# Errors\n\n" + generated)
	b.WriteString(`A failed connection has one error, and the type says whose fault it was:

- ` + "`*ProtocolError`" + `: the peer broke a rule, or sent what is not acceptable. ` + "`Reason`" + ` says which.
- ` + "`*RemoteAlert`" + `: the peer ended the connection with an alert, or closed inside the handshake. Nothing is sent in return.
- ` + "`*LocalError`" + `: this side could not, or would not, go on. ` + "`Reason`" + ` says why.

Each Reason belongs to one alert, which is the last thing in the output of the
failed machine, unless our close_notify was sent before. Misuse of the API is none of these: it returns a sentinel error
and changes nothing.

`)
	section := func(title string, local bool) {
		fmt.Fprintf(&b, "## %s\n\n| Reason | alert | meaning | from |\n|---|---|---|---|\n", title)
		for r := reasonNone + 1; r < numReasons; r++ {
			if r.Local() == local {
				fmt.Fprintf(&b, "| `Reason%s` | %s | %s | %s |\n", r, alertCell(r), r.Text(), r.Reference())
			}
		}
		b.WriteString("\n")
	}
	section("The peer's: ProtocolError", false)
	section("Our own: LocalError", true)
	b.WriteString("The alert of `ReasonRejected` is the one given to `Reject`; the table has its default.\n")
	return b.String()
}

func alertCell(r Reason) string {
	if !r.SendsAlert() {
		return "none"
	}
	return fmt.Sprintf("%s (%d)", r.Alert(), uint8(r.Alert()))
}

func stateMachineDoc() string {
	var b strings.Builder
	b.WriteString("# The state machine\n\n" + generated)
	b.WriteString(`A connection is a state and a table. The table says which inputs a state accepts:
handshake messages, other records, answers of the application, and the results of
tasks, which are done at once unless they are lifted out. What has no
rule ends the connection with unexpected_message. One function, ` + "`step`" + `, looks up
the rule and writes the state; a handler returns the next state, which must be
one of those that the rule names. Two tables hold until the version is known, one
of the other four from then on.

Outside of the tables, in every live state: an error alert of the peer, a failure
of our own and ` + "`Reject`" + ` lead to Failed; the peer's close_notify, and the end of the
transport, lead to Closed from Connected and the states behind it, and to Failed from the
states before it.

`)
	for _, role := range []struct {
		name  string
		rules *ruleTable
	}{
		{"The client until the version is known", &clientHelloRules},
		{"The client of TLS 1.3", &clientRules13},
		{"The client of TLS 1.2", &clientRules12},
		{"The server until the version is known, and the acceptor", &serverHelloRules},
		{"The server of TLS 1.3", &serverRules13},
		{"The server of TLS 1.2", &serverRules12},
	} {
		fmt.Fprintf(&b, "## %s\n\n", role.name)
		b.WriteString("```mermaid\nstateDiagram-v2\n" + diagram(role.rules) + "```\n\n")
		b.WriteString("| state | input | handler | next |\n|---|---|---|---|\n")
		for s := range role.rules {
			for i := range role.rules[s] {
				r := &role.rules[s][i]
				fmt.Fprintf(&b, "| %s | %s | `%s` | %s |\n", State(s), r.on, handlerNames[r], setNames(r.to))
			}
		}
		b.WriteString("\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// diagram draws the rules that change the state.
func diagram(rules *ruleTable) string {
	var b strings.Builder
	for s := range rules {
		for _, r := range rules[s] {
			for next := range numStates {
				if r.to.has(next) && next != State(s) {
					fmt.Fprintf(&b, "    %s --> %s: %s\n", State(s), next, r.on)
				}
			}
		}
	}
	if len(rules[StateConnected]) > 0 {
		b.WriteString("    Connected --> Closed: close_notify or the end of the transport\n")
	}
	return b.String()
}

// handlerNames are the names of the handlers, by their rules, as they were before
// the tests began to watch the tables.
var handlerNames = func() map[*rule]string {
	names := make(map[*rule]string)
	for _, table := range ruleTables {
		for s := range table {
			for i := range table[s] {
				r := &table[s][i]
				name := runtime.FuncForPC(reflect.ValueOf(r.do).Pointer()).Name()
				names[r] = name[strings.LastIndexByte(name, '.')+1:]
			}
		}
	}
	return names
}()

func setNames(set stateSet) string {
	var names []string
	for s := range numStates {
		if set.has(s) {
			names = append(names, s.String())
		}
	}
	return strings.Join(names, ", ")
}
