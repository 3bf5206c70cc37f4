package tlscore

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// impureFile is the one file that may name a source of time and randomness.
const impureFile = "defaults.go"

// TestLaw1Pure proves law 1 for the root package and internal/: no goroutines,
// channels, sleeping, sockets, files or global randomness, by what is imported
// and by what the syntax tree says. Test helpers that only tests import are free
// to read their own embedded data.
func TestLaw1Pure(t *testing.T) {
	files := pureFiles(t)
	if len(files) < 30 {
		t.Fatalf("only %d files: the walk has lost some", len(files))
	}
	for _, path := range files {
		checkPure(t, path)
	}
}

// pureFiles lists the files that the law is about.
func pureFiles(t *testing.T) (files []string) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			inside := path == "." || path == "internal" || strings.HasPrefix(path, filepath.Join("internal", ""))
			// What tests and benchmarks use is no part of the library: allowedImports has neither.
			if !inside || path == filepath.Join("internal", "tlstest") || path == filepath.Join("internal", "benchkit") {
				return filepath.SkipDir
			}
			return nil
		}
		if strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// allowedImports are what the package and its internals may import: nothing that
// does I/O, or is a global source of time or randomness. Those of package time are
// judged name by name.
var allowedImports = []string{
	"bytes", "container/list", "crypto", "crypto/aes", "crypto/cipher", "crypto/ecdh", "crypto/ecdsa", "crypto/ed25519",
	"crypto/elliptic", "crypto/fips140", "crypto/hkdf", "crypto/hmac", "crypto/mlkem", "crypto/rsa", "crypto/sha256",
	"crypto/sha512", "crypto/subtle", "crypto/tls", "crypto/x509", "encoding", "encoding/binary", "encoding/hex", "errors", "fmt", "hash", "io",
	"math", "math/bits", "net/netip", "slices", "strconv", "strings", "sync", "sync/atomic", "time", "unsafe",
	"golang.org/x/crypto/chacha20poly1305", "golang.org/x/crypto/cryptobyte",
	"tlscore.example/tlscore/internal/record", "tlscore.example/tlscore/internal/schedule",
	"tlscore.example/tlscore/internal/wire",
}

func checkPure(t *testing.T, path string) {
	t.Helper()
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	complain := func(n ast.Node, what string) {
		t.Errorf("%s: %s", fset.Position(n.Pos()), what)
	}
	for _, spec := range file.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		allowed := slices.Contains(allowedImports, name) || path == impureFile && name == "crypto/rand"
		if !allowed {
			complain(spec, "imports "+name)
		}
		if spec.Name != nil && spec.Name.Name != "_" {
			complain(spec, "renames "+name)
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			complain(n, "starts a goroutine")
		case *ast.ChanType:
			complain(n, "has a channel")
		case *ast.SelectStmt:
			complain(n, "selects")
		case *ast.SendStmt:
			complain(n, "sends to a channel")
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && path != impureFile && !pureTime[n.Sel.Name] {
				complain(n, "uses time."+n.Sel.Name)
			}
		}
		return true
	})
}

// pureTime are the names of package time that look at no clock.
var pureTime = map[string]bool{"Time": true, "Duration": true, "Hour": true, "Second": true, "Minute": true, "UnixMilli": true}
