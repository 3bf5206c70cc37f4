package tlscore

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	featureTest = regexp.MustCompile("`((?:[a-z0-9/]+\\.)?(?:Test|Fuzz|Example)[A-Za-z0-9_]*)`")
	featureBoGo = regexp.MustCompile("BoGo `([^`]+)`")
)

// TestFeatures checks that what docs/features.md shows a feature with is there: the
// functions that it names, and BoGo's tests, as far as this side can tell. A feature
// that we have is shown by something.
func TestFeatures(t *testing.T) {
	text := readText(t, filepath.Join("docs", "features.md"))
	functions := testFunctions(t)
	for _, found := range featureTest.FindAllStringSubmatch(text, -1) {
		if !functions[found[1]] {
			t.Errorf("there is no %s", found[1])
		}
	}
	off := disabledBoGo(t)
	for _, found := range featureBoGo.FindAllStringSubmatch(text, -1) {
		for _, pattern := range off {
			if match, _ := filepath.Match(pattern, found[1]); match {
				t.Errorf("%s is switched off, by %s", found[1], pattern)
			}
		}
	}
	rows := 0
	for line := range strings.SplitSeq(text, "\n") {
		cells := strings.Split(line, "|")
		if len(cells) != 8 || strings.HasPrefix(cells[1], "-") || strings.TrimSpace(cells[1]) == "feature" {
			continue
		}
		rows++
		has, shown := !strings.HasPrefix(strings.TrimSpace(cells[2]), "no"), featureTest.MatchString(cells[6])
		if has && !shown {
			t.Errorf("nothing shows%s", cells[1])
		}
	}
	if rows < 50 {
		t.Errorf("the tables have %d rows", rows)
	}
}

// testFunctions returns the names of all tests, fuzz targets and examples, with the
// folder of the package in front unless it is this one.
func testFunctions(t *testing.T) map[string]bool {
	names := make(map[string]bool)
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && d.Name() != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(file, "_test.go") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		prefix := path.Dir(filepath.ToSlash(file)) + "."
		if prefix == ".." {
			prefix = ""
		}
		for _, decl := range parsed.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil {
				names[prefix+f.Name.Name] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// disabledBoGo returns the patterns of BoGo's tests that are switched off.
func disabledBoGo(t *testing.T) (patterns []string) {
	var config struct{ DisabledTests map[string]string }
	if err := json.Unmarshal([]byte(readText(t, filepath.Join("bogo", "config.json"))), &config); err != nil {
		t.Fatal(err)
	}
	for pattern := range config.DisabledTests {
		patterns = append(patterns, pattern)
	}
	if len(patterns) == 0 {
		t.Fatal("no test of BoGo is switched off, which is hard to believe")
	}
	return patterns
}
