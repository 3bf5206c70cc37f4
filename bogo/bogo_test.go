package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tlscore.example/tlscore"
)

// The runner is BoringSSL's ssl/test/runner, compiled with go test -c, and named
// in the environment together with its source folder, which it wants to run in:
//
//	BOGO_RUNNER=…/runner BOGO_RUNNER_DIR=…/ssl/test/runner go test ./bogo
//
// BOGO_MODES says which of the modes below to run, separated by commas; all of
// them takes several minutes. BOGO_TEST limits a run to some tests, by patterns
// separated by semicolons, and says nothing then about what is stale.
const (
	envRunner  = "BOGO_RUNNER"
	envRunDir  = "BOGO_RUNNER_DIR"
	envModes   = "BOGO_MODES"
	envPattern = "BOGO_TEST"
)

// modes are the ways to drive the machine through all tests, as flags of the shim.
// In the first one, which is the default, the test decides: tasks are lifted out
// when it is about an asynchronous stack, and chunks follow the shim id.
var modes = []struct {
	name  string
	flags []string
}{
	{"mixed", nil},
	{"whole", []string{"-tlscore-chunking", "whole", "-tlscore-tasks", "none"}},
	{"bytes", []string{"-tlscore-chunking", "bytes", "-tlscore-tasks", "none"}},
	{"tasks", []string{"-tlscore-chunking", "whole", "-tlscore-tasks", "all"}},
	{"tasks,bytes", []string{"-tlscore-chunking", "bytes", "-tlscore-tasks", "all"}},
}

// runnerConfig is the file that the runner reads: which tests are switched off,
// and why, and what our errors are called.
type runnerConfig struct {
	DisabledTests map[string]string
	ErrorMap      map[string][]string
	// HalfRTTTickets is how many tickets a server sends before it has heard the
	// client's Finished.
	HalfRTTTickets int
}

const configFile = "config.json"

func loadConfig(t *testing.T) *runnerConfig {
	t.Helper()
	text, err := os.ReadFile(configFile)
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	cfg := new(runnerConfig)
	if err := d.Decode(cfg); err != nil {
		t.Fatal(err)
	}
	return cfg
}

// versionsOnly matches what is left of a pattern that says nothing but a version.
var versionsOnly = regexp.MustCompile(`^(|D?TLS|TLS1|TLS10|TLS11|TLS12|TLS13|[-*?])*$`)

// TestConfig checks what can be checked without the runner: that each test that
// is switched off has a reason, that no pattern is about a version as such, and
// that the errors named exist.
func TestConfig(t *testing.T) {
	cfg := loadConfig(t)
	for pattern, reason := range cfg.DisabledTests {
		if len(strings.Fields(reason)) < 2 {
			t.Errorf("%s is switched off because of %q, which is no reason", pattern, reason)
		}
		if _, err := filepath.Match(pattern, ""); err != nil {
			t.Errorf("%s: %v", pattern, err)
		}
		if versionsOnly.MatchString(pattern) {
			t.Errorf("%s is about a version only", pattern)
		}
	}
	known := knownErrors()
	for boring, ours := range cfg.ErrorMap {
		if len(ours) == 0 {
			t.Errorf("%s stands for nothing", boring)
		}
		for _, e := range ours {
			if !known[e] {
				t.Errorf("%s is to be %s, which this shim never prints", boring, e)
			}
		}
	}
}

// knownErrors has the texts that the error map may speak of: the tokens of
// describe, and the errors of the shim itself.
func knownErrors() map[string]bool {
	known := make(map[string]bool)
	for i := range 256 {
		reason := tlscore.Reason(i)
		if reason.Alert() != 0 || reason.SendsAlert() {
			known[":"+reason.String()+":"] = true
		}
		known[fmt.Sprintf(":alert %d:", i)] = true
	}
	// The errors of misuse say of which package they are.
	known[strings.TrimPrefix(tlscore.ErrNoExporter.Error(), "tlscore: ")] = true
	for _, err := range []error{errLateData, errUnclean, errIssuer, errTimestamps} {
		known[err.Error()] = true
	}
	return known
}

// results is what a run of the runner found.
type results struct {
	passed, failed, unimplemented []string
	why                           map[string]string // of those that failed
}

func (r *results) all() []string {
	return slices.Concat(r.passed, r.failed, r.unimplemented)
}

// runner runs the tests.
type runner struct {
	t         *testing.T
	path, dir string
	shim      string
	config    string
}

func newRunner(t *testing.T) *runner {
	r := &runner{t: t, path: os.Getenv(envRunner), dir: os.Getenv(envRunDir)}
	if r.path == "" {
		t.Skip("BOGO_RUNNER is not set: it names a compiled runner of BoringSSL, BOGO_RUNNER_DIR its source folder")
	}
	if r.dir == "" {
		t.Fatal("BOGO_RUNNER is set, and BOGO_RUNNER_DIR is not")
	}
	var err error
	if r.config, err = filepath.Abs(configFile); err != nil {
		t.Fatal(err)
	}
	r.shim = filepath.Join(t.TempDir(), "shim")
	if out, err := exec.Command("go", "build", "-o", r.shim, ".").CombinedOutput(); err != nil {
		t.Fatalf("building the shim: %v\n%s", err, out)
	}
	return r
}

// run runs the tests that the arguments select, and logs what fails.
func (r *runner) run(shimFlags []string, args ...string) *results {
	r.t.Helper()
	report := filepath.Join(r.t.TempDir(), "results.json")
	args = append([]string{
		"-shim-path", r.shim, "-shim-config", r.config, "-json-output", report,
		"-shim-extra-flags", strings.Join(shimFlags, ";"), "-allow-unimplemented", "-pipe",
	}, args...)
	cmd := exec.Command(r.path, args...)
	cmd.Dir = r.dir
	out, runErr := cmd.CombinedOutput()
	text, err := os.ReadFile(report)
	if err != nil {
		r.t.Fatalf("the runner: %v, %v\n%s", runErr, err, lastLines(out))
	}
	var found struct {
		Tests map[string]struct{ Actual, Error string }
	}
	if err := json.Unmarshal(text, &found); err != nil {
		r.t.Fatal(err)
	}
	res := &results{why: make(map[string]string)}
	for _, name := range slices.Sorted(maps.Keys(found.Tests)) {
		switch status := found.Tests[name].Actual; status {
		case "PASS":
			res.passed = append(res.passed, name)
		case "SKIP":
			res.unimplemented = append(res.unimplemented, name)
		default:
			res.failed = append(res.failed, name)
			res.why[name] = found.Tests[name].Error
		}
	}
	return res
}

func lastLines(out []byte) []byte {
	return out[max(0, len(out)-4000):]
}

// TestRunner runs all tests that are not switched off. None may fail.
func TestRunner(t *testing.T) {
	r := newRunner(t)
	disabled := r.checkDisabled()
	wanted := strings.Split(os.Getenv(envModes), ",")
	for i, mode := range modes {
		if !slices.Contains(wanted, mode.name) && !slices.Contains(wanted, "all") && i > 0 {
			continue
		}
		t.Run(mode.name, func(t *testing.T) {
			r := *r
			r.t = t
			res := r.run(mode.flags, "-test", os.Getenv(envPattern))
			fmt.Printf("bogo: %d passed, %d failed, %d unimplemented, %d disabled\n",
				len(res.passed), len(res.failed), len(res.unimplemented), disabled)
			for _, name := range res.failed {
				t.Errorf("%s: %s", name, res.why[name])
			}
			if os.Getenv(envPattern) == "" {
				checkFeatures(t, res)
			}
		})
	}
}

// checkFeatures checks that the tests that the table of features names have passed.
func checkFeatures(t *testing.T, res *results) {
	text, err := os.ReadFile(filepath.Join("..", "docs", "features.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range regexp.MustCompile("BoGo `([^`]+)`").FindAllSubmatch(text, -1) {
		pattern := string(found[1])
		matches := func(name string) bool {
			ok, err := filepath.Match(pattern, name)
			return ok && err == nil
		}
		if !slices.ContainsFunc(res.passed, matches) {
			t.Errorf("docs/features.md names %s, which matches no test that passes", pattern)
		}
	}
}

// checkDisabled runs the tests that are switched off, and says how many they are.
// None of them may pass, and each pattern has to match one.
func (r *runner) checkDisabled() int {
	cfg := loadConfig(r.t)
	if os.Getenv(envPattern) != "" || len(cfg.DisabledTests) == 0 {
		return 0
	}
	patterns := slices.Sorted(maps.Keys(cfg.DisabledTests))
	res := r.run(nil, "-include-disabled", "-test", strings.Join(patterns, ";"))
	for _, name := range res.passed {
		r.t.Errorf("%s is switched off, and passes", name)
	}
	for _, pattern := range patterns {
		matches := func(name string) bool {
			ok, err := filepath.Match(pattern, name)
			return ok && err == nil
		}
		if !slices.ContainsFunc(res.all(), matches) {
			r.t.Errorf("%s matches no test", pattern)
		}
	}
	return len(res.all())
}

// TestErrorMap checks that each error in the map is one that the runner expects.
func TestErrorMap(t *testing.T) {
	dir := os.Getenv(envRunDir)
	if dir == "" {
		t.Skip("BOGO_RUNNER_DIR is not set: it names the source folder of BoringSSL's runner")
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no source of the runner in %s: %v", dir, err)
	}
	var source []byte
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		source = append(source, text...)
	}
	for boring := range loadConfig(t).ErrorMap {
		if !bytes.Contains(source, []byte(boring)) {
			t.Errorf("the runner never expects %s", boring)
		}
	}
}

func TestExitCodes(t *testing.T) {
	for _, test := range []struct {
		args   []string
		code   int
		stdout string
		stderr string
	}{
		{[]string{"-is-handshaker-supported"}, 0, "No\n", ""},
		{[]string{"-server", "-no-such-flag"}, exitUnsupported, "", "flag -no-such-flag"},
		{[]string{"-max-version", "769", "-port", "1"}, exitUnsupported, "", "versions below TLS 1.2"},
		{[]string{"-port", "no number"}, exitFailed, "", "-port"},
		{[]string{"-port"}, exitFailed, "", "needs a value"},
		{[]string{"-tlscore-chunking", "no such thing"}, exitFailed, "", "no such thing"},
		{[]string{"-tlscore-tasks", "some"}, exitFailed, "", "some"},
	} {
		var stdout, stderr strings.Builder
		code := run(test.args, &stdout, &stderr)
		if code != test.code || stdout.String() != test.stdout || !strings.Contains(stderr.String(), test.stderr) {
			t.Errorf("%q exits with %d, stdout %q, stderr %q", test.args, code, &stdout, &stderr)
		}
	}
}

func TestParse(t *testing.T) {
	inv, err := parse([]string{
		"-ipv6", "-shim-id", "7", "-on-initial-expect-version", "772", "-on-shim-on-resume-server",
		"-on-handshaker-cert-file", "theirs", "-cert-file", "default", "-new-x509-credential", "-cert-file", "new",
		"-on-retry-curves", "29", "-on-retry-curves", "23",
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []*options{&inv.initial, &inv.resume, &inv.retry} {
		if !o.ipv6 || o.shimID != 7 || o.identity.certFile != "default" || len(o.credentials) != 1 || o.credentials[0].certFile != "new" {
			t.Errorf("flags for all connections: got %+v", o)
		}
	}
	if inv.initial.expectVersion != 772 || inv.resume.expectVersion != 0 || inv.retry.expectVersion != 0 {
		t.Error("-on-initial is not for the initial connection alone")
	}
	if inv.initial.server || !inv.resume.server || inv.retry.server {
		t.Error("-on-resume is not for the resumption alone")
	}
	if len(inv.initial.curves) != 0 || len(inv.retry.curves) != 2 {
		t.Error("-on-retry is not for the retry alone")
	}
	if _, err := parse([]string{"-on-resume-dtls"}); !errors.Is(err, errUnsupported) {
		t.Errorf("a flag that is not in the table: %v", err)
	}
	if _, err := parse([]string{"-curves", "65536"}); err == nil {
		t.Error("a group of more than 16 bits passes")
	}
}

// TestChunker checks that all of the input is given, in the same pieces each time.
func TestChunker(t *testing.T) {
	for id := range uint64(12) {
		cut := func() (sizes []int) {
			next, err := newChunker("", id)
			if err != nil {
				t.Fatal(err)
			}
			for left := 5000; left > 0; left -= sizes[len(sizes)-1] {
				sizes = append(sizes, next(left))
			}
			return sizes
		}
		sizes := cut()
		total := 0
		for _, n := range sizes {
			if n < 1 {
				t.Fatalf("id %d: a chunk of %d bytes", id, n)
			}
			total += n
		}
		if total != 5000 || !slices.Equal(sizes, cut()) {
			t.Errorf("id %d: %d bytes in chunks of %v", id, total, sizes)
		}
	}
}
