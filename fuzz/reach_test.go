package fuzz

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tlscore.example/tlscore"
	"tlscore.example/tlscore/internal/record"
)

// targets are the fuzz targets whose seeds are kept in testdata, too.
var targets = []string{
	"FuzzServer", "FuzzClient", "FuzzAcceptor", "FuzzServerMisled", "FuzzClientMisled",
	"FuzzDifferentialServer", "FuzzDifferentialClient", "FuzzDifferentialHandshake",
	"FuzzDifferentialServer12", "FuzzDifferentialClient12",
	"FuzzClientHello", "FuzzServerHello", "FuzzEncryptedExtensions", "FuzzCertificateRequest", "FuzzCertificate",
	"FuzzCertificateVerify", "FuzzFinished", "FuzzNewSessionTicket", "FuzzKeyUpdate", "FuzzEndOfEarlyData",
	"FuzzHelloRequest", "FuzzCertificate12", "FuzzCertificateStatus", "FuzzServerKeyExchange", "FuzzCertificateRequest12",
	"FuzzServerHelloDone", "FuzzClientKeyExchange", "FuzzNewSessionTicket12",
	"FuzzParseSession", "FuzzTicketKeys",
}

// TestSeeds writes the seeds with -update. Without, it checks that there are
// some, and that what was committed stays small.
func TestSeeds(t *testing.T) {
	prefix := "seed-"
	if record.NullCrypto {
		prefix = "seed-null-"
	}
	total := 0
	for _, target := range targets {
		dir := filepath.Join("testdata", "fuzz", target)
		// Only what a peer says depends on the build.
		if *update && (!record.NullCrypto || slices.Contains(targets[:3], target)) {
			writeSeeds(t, dir, prefix, seedsOf(target))
		}
		files, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil || len(files) == 0 {
			t.Errorf("%s has no corpus; make it with -update", target)
		}
		for _, file := range files {
			info, err := os.Stat(file)
			if err != nil {
				t.Fatal(err)
			}
			total += int(info.Size())
		}
	}
	if total > 2<<20 {
		t.Errorf("the corpora have %d bytes, which is too much", total)
	}
}

// variant matches the names of seeds that are small variations of others.
var variant = regexp.MustCompile(`^edit-|^retry-twice-|^behind-retry-|^captured-fragments-|-other$|-[0-9a-f]{2,}$|-twice$|-second$|-[1-9]$`)

// likeServer matches those that FuzzServer has, too, and that go on in the same way
// once an acceptor has its config.
var likeServer = regexp.MustCompile(`resumed-[a-z]`)

func writeSeeds(t *testing.T, dir, prefix string, seeds []seed) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	old, err := filepath.Glob(filepath.Join(dir, prefix+"*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range old {
		if prefix == "seed-" && strings.Contains(filepath.Base(file), "-null-") {
			continue // of the other build
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	acceptor := filepath.Base(dir) == "FuzzAcceptor"
	for _, s := range seeds {
		if variant.MatchString(s.name) || acceptor && likeServer.MatchString(s.name) {
			continue // these are made each time; keeping them would only be many files
		}
		if err := os.WriteFile(filepath.Join(dir, prefix+s.name), corpusFile(s.args), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestReach checks that the seeds get as far as they are meant to: a target whose
// seeds all fail at the first message would find nothing.
func TestReach(t *testing.T) {
	for _, c := range []struct {
		target string
		role   role
		want   []string // parts of events
	}{
		{"FuzzServer", roleServer, []string{"Task in", "Writable", "HandshakeDone in Connected of TLS 1.2", "HandshakeDone in Connected of TLS 1.3", "Data", "KeyUpdate", "Closed", "truncated", "Failed",
			"HandshakeDone in Connected of TLS 1.3, resumed", "HandshakeDone in Connected of TLS 1.2, resumed", "of TLS 1.3, resumed, early data accepted", "EarlyData in WaitEndOfEarlyData", "EarlyDataEnd in WaitClientFinished", "Task in OpenTicket", "Task in DecideEarlyData",
		}},
		{"FuzzClient", roleClient, []string{"Task in", "Writable", "HandshakeDone in Connected of TLS 1.2", "HandshakeDone in Connected of TLS 1.3", "Data", "KeyUpdate", "Closed", "truncated", "Failed",
			"HandshakeDone in Connected of TLS 1.3, resumed", "HandshakeDone in Connected of TLS 1.2, resumed", "of TLS 1.3, resumed, early data accepted", "EarlyWritable in WaitServerHello", "EarlyRejected in", "SessionTicket in Connected",
		}},
		{"FuzzAcceptor", roleAcceptor, []string{"ClientHello in WaitAccept", "Task in", "Writable", "HandshakeDone in Connected of TLS 1.2", "HandshakeDone in Connected of TLS 1.3", "Data", "KeyUpdate", "Closed", "Failed",
			"HandshakeDone in Connected of TLS 1.3, resumed", "HandshakeDone in Connected of TLS 1.2, resumed", "of TLS 1.3, resumed, early data accepted", "EarlyData in WaitEndOfEarlyData", "EarlyDataEnd in WaitClientFinished", "Task in OpenTicket", "Task in DecideEarlyData",
		}},
		{"FuzzServerMisled", roleServer, []string{
			"ClientHello in WaitAccept", "Task in", "Writable", "HandshakeDone in Connected of TLS 1.2", "HandshakeDone in Connected of TLS 1.3", "Data", "KeyUpdate", "Closed", "truncated",
			"TooManyKeyUpdates", "TooManyEmptyRecords", "KeyChangeAlignment", "UnexpectedMessage", "BadFinished", "ClientHelloTooLarge",
			"BadKeyUpdate", "the peer sent the alert", "CallbackPanicked", "RandomSource", "KeyGeneration", "Rejected", "Canceled",
			"Renegotiation", "UnsupportedVersion", "BadChangeCipherSpec", "CallbackFailed",
			"HandshakeDone in Connected of TLS 1.3, resumed", "HandshakeDone in Connected of TLS 1.2, resumed", "of TLS 1.3, resumed, early data accepted", "EarlyData in WaitEndOfEarlyData", "EarlyDataEnd in WaitClientFinished", "Task in OpenTicket", "Task in DecideEarlyData",
			"BadBinder", "TooMuchEarlyData", "NoExtendedMasterSecret", "CallbackPanicked", "ClientCertificate in Connected",
		}},
		{"FuzzClientMisled", roleClient, []string{
			"Task in", "Writable", "HandshakeDone in Connected of TLS 1.2", "HandshakeDone in Connected of TLS 1.3", "Data", "KeyUpdate", "Closed", "truncated",
			"TooManyKeyUpdates", "TooManySessionTickets", "KeyChangeAlignment", "UnexpectedMessage", "BadFinished", "BadSignature",
			"MessageTooLarge", "the peer sent the alert", "CallbackPanicked", "RandomSource", "KeyGeneration", "Rejected", "Canceled",
			"Renegotiation", "BadChangeCipherSpec", "BadRecordMAC",
			"HandshakeDone in Connected of TLS 1.3, resumed", "HandshakeDone in Connected of TLS 1.2, resumed", "of TLS 1.3, resumed, early data accepted", "EarlyWritable in WaitServerHello", "EarlyRejected in", "SessionTicket in Connected",
			"EarlyRejected in WaitServerHelloRetry: 73", "EarlyRejected in WaitEncryptedExtensions: 73", "EarlyRejected in WaitServerFinished: 73",
			"PreSharedKeyNotOffered", "EarlyDataMismatch", "CipherSuiteChanged", "NoExtendedMasterSecret", "SessionIDMismatch", "UnsupportedVersion",
		}},
	} {
		t.Run(c.target, func(t *testing.T) {
			var reached strings.Builder
			for _, s := range seedsOf(c.target) {
				t.Run(s.name, func(t *testing.T) {
					if got := replay(t, c.role, s); got != nil {
						fmt.Fprintln(&reached, strings.Join(got.events, "\n"), reasonName(got.failure))
					}
				})
			}
			for _, want := range c.want {
				if !strings.Contains(reached.String(), want) {
					t.Errorf("no seed reaches %q", want)
				}
			}
		})
	}
}

// replay runs a seed of a target that has a machine.
func replay(t *testing.T, r role, s seed) *session {
	if len(s.args) == 3 {
		return run(t, newSetup(r, s.args[0]), parseScript(s.args[1]), splitRecords(s.args[2]))
	}
	set := misledSetup(r, s.args[0])
	return mislead(t, set, parseScript(s.args[1]), newPuppet(set, parseChoices(s.args[2], s.args[3]), s.args[4]))
}

// TestListedReasons finds the listed differences to crypto/tls that no seed shows
// any more: they are to be removed.
func TestListedReasons(t *testing.T) {
	used := make(map[string]bool)
	note := func(list []listedReason, d *difference) {
		if r := judge(t, list, d); r != nil {
			used[r.text] = true
		}
	}
	for _, s := range seedsOf("FuzzDifferentialServer") {
		note(serverReasons, serverPair(t, s.args[0], s.args[1], s.args[2]))
	}
	for _, s := range seedsOf("FuzzDifferentialClient") {
		note(clientReasons, clientPair(t, s.args[0], s.args[1], s.args[2]))
	}
	for _, s := range seedsOf("FuzzDifferentialServer12") {
		used[judge12(t, serverReasons12, serverPair12(t, s.args[0], s.args[1]))] = true
	}
	for _, s := range seedsOf("FuzzDifferentialClient12") {
		used[judge12(t, clientReasons12, clientPair12(t, s.args[0], s.args[1]))] = true
	}
	for _, r := range slices.Concat(serverReasons12, clientReasons12) {
		if !used[r.text] {
			t.Errorf("no seed of TLS 1.2 shows that %s", r.text)
		}
	}
	for _, r := range slices.Concat(serverReasons, clientReasons) {
		if !used[r.text] {
			t.Errorf("no seed shows that %s", r.text)
		}
	}
	if record.NullCrypto {
		return
	}
	counts := make([]int, len(handshakeReasons))
	for _, s := range seedsOf("FuzzDifferentialHandshake") {
		d := newDeal(s.args[0])
		want := d.reference(t)
		for _, weAreClient := range []bool{true, false} {
			if got := d.meet(t, weAreClient); got != want {
				if i := d.excuse(got, want, weAreClient); i >= 0 {
					counts[i]++
				}
			}
		}
	}
	for i, r := range handshakeReasons {
		if counts[i] == 0 {
			t.Errorf("no seed shows that %s", r.text)
		}
	}
}

// reasonName returns the name of the Reason of a failure.
func reasonName(err error) string {
	var p *tlscore.ProtocolError
	var l *tlscore.LocalError
	switch {
	case errors.As(err, &p):
		return p.Reason.String()
	case errors.As(err, &l):
		return l.Reason.String()
	}
	return ""
}
