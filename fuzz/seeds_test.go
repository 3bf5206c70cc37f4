package fuzz

import (
	"bytes"
	"crypto/tls"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"tlscore.example/tlscore/internal/record"
	"tlscore.example/tlscore/internal/wire"
)

var update = flag.Bool("update", false, "write the seed corpora")

// A seed is an input that is made rather than found.
type seed struct {
	name string
	args [][]byte
}

// addSeeds adds the seeds of a target when it is fuzzed. They are made anew each
// time, so that recorded handshakes fit the machine as it is now. Otherwise the
// corpus in testdata is enough: TestReach and TestListedReasons run the seeds.
func addSeeds(f *testing.F) {
	if flag.Lookup("test.fuzz").Value.String() == "" {
		return
	}
	for _, s := range seedsOf(f.Name()) {
		args := make([]any, len(s.args))
		for i, b := range s.args {
			args[i] = b
		}
		f.Add(args...)
	}
}

// seedsOf makes the seeds of a target.
func seedsOf(target string) []seed {
	switch target {
	case "FuzzServer", "FuzzAcceptor":
		return rawSeeds(roleServer)
	case "FuzzClient":
		return rawSeeds(roleClient)
	case "FuzzServerMisled", "FuzzClientMisled":
		return misledSeeds(target == "FuzzClientMisled")
	case "FuzzDifferentialServer":
		return differentialServerSeeds()
	case "FuzzDifferentialClient":
		return differentialClientSeeds()
	case "FuzzDifferentialServer12":
		return differentialServer12Seeds()
	case "FuzzDifferentialClient12":
		return differentialClient12Seeds()
	case "FuzzDifferentialHandshake":
		return differentialHandshakeSeeds()
	case "FuzzParseSession":
		return sessionSeeds()
	case "FuzzTicketKeys":
		return ticketSeeds()
	}
	return codecSeeds(target)
}

// A scenario is a handshake for both ends of it.
type scenario struct {
	name   string
	config []byte
	script []byte
	peer   []byte
	post   []byte
	pool   []byte
}

// everyPost has each kind of post-handshake item once.
var everyPost = []byte{postData, 5, postEmpty, 2, postKeyUpdate, 0, postKeyUpdate, 1, postData, 9, postKeyUpdate, 3,
	postCompat, 0, postBig, 8, postData, 1}

// talkative is an application that uses everything.
var talkative = []byte{
	always, doEcho, 0,
	0, doWrite, 40,
	1, doKeyUpdate, 1,
	2, doAppendSealed, 30,
	3, doLook, 0,
	behindPart | 3, doWrite, 200,
	behindPart | 5, doAppendOutput, 50,
	behindPart | 12, doCloseWrite, 0,
}

// early is an application that uses what early data brings.
var early = []byte{
	always, doLook, 0,
	0, doWriteEarly, 40,
	0, doExportEarly, 1,
	1, doWriteEarly, 30,
	2, doExportEarly, 2,
	3, doWrite, 30,
	4, doTicket, 0,
	5, doExport, 3,
	6, doRequest, 0,
}

// withPast is a config with a session from before, see setup.session.
func withPast(session, resuming byte) []byte {
	return append(make([]byte, 13), session, resuming)
}

// scenarios are those that both roles have; in the second list of bytes the
// first is choices.flags.
var scenarios = []scenario{
	{name: "simple", post: []byte{postData, 3, postAlert, 0}},
	{name: "everything", config: []byte{0, 0, 0, 0, 1}, script: talkative, peer: []byte{0, 0, 0, 1}, post: append(slices.Clone(everyPost), postAlert, 0)},
	{name: "everything-slowly", config: []byte{2, 0, 0, 0, 1, 1}, script: talkative, peer: []byte{0, 0, 0, 1}, post: everyPost},
	{name: "chacha", config: []byte{0, 3}, peer: []byte{0, 2}, post: []byte{postData, 3}},
	{name: "aes256-one-record-per-key", config: []byte{0, 2, 0, 0, 0, 2}, script: talkative, peer: []byte{0, 1}, post: everyPost},
	{name: "p256", config: []byte{0, 0, 2}, peer: []byte{0, 0, 1}, post: []byte{postData, 3}},
	{name: "p521-retry", config: []byte{0, 0, 4, 1}, peer: []byte{puppetRetry, 0, 3}, post: []byte{postData, 3}},
	{name: "retry-cookie", config: []byte{0, 0, 0, 1}, peer: []byte{puppetRetry | puppetCookie, 0, 1}, post: everyPost, pool: []byte("0123456789")},
	{name: "no-compat", config: []byte{1}, peer: []byte{puppetNoCompat}, post: []byte{postData, 3}},
	{name: "request-or-eager", peer: []byte{puppetRequest | puppetNoSession}, post: everyPost},
	{name: "early-data", peer: []byte{puppetEarlyData | puppetPSK}, post: []byte{postData, 3}},
	{name: "early-data-retry", config: []byte{0, 0, 2}, peer: []byte{puppetEarlyData | puppetRetry}, post: []byte{postData, 3}},
	{name: "too-many-key-updates", peer: []byte{0}, post: []byte{postKeyUpdate, 60, postKeyUpdate, 20}},
	{name: "too-many-empty-records", peer: []byte{0}, post: []byte{postEmpty, 39}},
	{name: "tickets", peer: []byte{0}, post: []byte{postTicket, 3, postData, 1, postTicket, 39}},
	{name: "user-canceled", peer: []byte{0}, post: []byte{postAlert, 90, postAlert, 90, postData, 1, postAlert, 90, postAlert, 0}},
	{name: "fatal-alert", script: talkative, peer: []byte{0}, post: []byte{postData, 1, postAlert, 80, postData, 1}},
	{name: "unknown-message", peer: []byte{0}, post: []byte{postMessage, 99}},
	{name: "bad-key-update", peer: []byte{0}, post: []byte{postMessage, 24}, pool: []byte{2}},
	{name: "canceled", config: []byte{8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, script: []byte{0, doCloseWrite, 0}},
	{name: "tiny-limits", config: []byte{0, 0, 0, 0, 0, 7}},
	{name: "misaligned-finished", peer: []byte{0, 0, 0, 0, 0, 5, editHold, 0, 0, 2, editHold, 0, 0, 0, 0, 0, 0}, post: []byte{postTicket, 0, postKeyUpdate, 0}},
	{name: "misaligned-key-update", peer: []byte{puppetNoCompat, 0, 0, 0, 0, 6, editHold, 0, 0, 3, editHold, 0, 0}, post: []byte{postKeyUpdate, 10, postData, 1}},
	{name: "certificate-request-late", peer: []byte{0}, post: []byte{postMessage, 13}},
	{name: "inner-type", peer: []byte{0}, post: []byte{postType, 20}, pool: []byte{1}},
	{name: "inner-alert-long", peer: []byte{0}, post: []byte{postType, 21}, pool: []byte{1, 2, 3}},
	{name: "inner-alert-empty", peer: []byte{0}, post: []byte{postType, 21}},
	{name: "inner-handshake-empty", peer: []byte{0}, post: []byte{postType, 22}},
	{name: "inner-type-null", peer: []byte{0}, post: []byte{postType, 0}},
	{name: "interleaved-data", peer: []byte{0}, post: []byte{postType, 22, postData, 3}, pool: []byte{4, 0, 0}},
	{name: "interleaved-alert", peer: []byte{0}, post: []byte{postType, 22, postAlert, 90}, pool: []byte{4, 0, 0}},
	{name: "interleaved-compat", peer: []byte{0, 0, 0, 0, 0, 0, editFragment, 3, 0, 1, editSwap, 0, 0}, post: []byte{postCompat, 0}},
	{name: "tampered", peer: []byte{0, 0, 0, 0, 0, 3, editCorrupt, 0, 1}, post: everyPost},
	{name: "padded", peer: []byte{0, 0, 0, 0, 0, 3, editPad, 2, 0, 5, editPad, 1, 1, 6, editPad, 60, 0}, post: everyPost},
	{name: "trace-panics", config: []byte{16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3}, script: talkative, post: everyPost},
	{name: "plaintext-late", peer: []byte{0}, post: []byte{postPlaintext, 1}, pool: []byte{2, 40}},
	{name: "callbacks", config: []byte{0, 0, 0, 0, 0, 0, 0, 0, callGetCertificate | callVerifyPeer | callVerifyConnection}, post: []byte{postData, 1}},
	{name: "callbacks-refuse", config: []byte{0, 0, 0, 0, 0, 0, 0, 0, callGetCertificate | callVerifyConnection | callRefuses}},
	{name: "callbacks-panic", config: []byte{0, 0, 0, 0, 0, 0, 0, 0, callGetCertificate | callVerifyPeer | callPanics}},
	{name: "alpn-mismatch", config: []byte{0, 0, 0, 0, 2}, peer: []byte{0, 0, 0, 3}},
	{name: "random-ends", config: []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 40}},
	{name: "random-is-null", config: []byte{4, 0, 2}, peer: []byte{0, 0, 1}},
	{name: "small-limits", config: []byte{0, 0, 0, 0, 0, 4}},
	{name: "write-too-early", script: []byte{behindPart, doAppendSealed, 9, behindPart | 1, doWrite, 9, behindPart | 2, doAppendSealed, 9,
		behindPart | 3, doKeyUpdate, 1, behindPart | 4, doAppendSealed, 9, behindPart | 5, doLook, 0}, post: everyPost},
	{name: "write-closed-early", script: []byte{0, doCloseWrite, 0, 2, doWrite, 3}, post: everyPost},
	{name: "closed-at-once", script: []byte{behindPart, doCloseWrite, 0}},
	{name: "rejected", script: []byte{1, doReject, 49, 2, doWrite, 3}, post: everyPost},
	{name: "released", script: []byte{1, doRelease, 0, behindPart | 4, doWrite, 1}, post: everyPost},
	{name: "eof", script: []byte{behindPart | 4, doEOF, 0}, post: everyPost},
	{name: "acceptor-waits", config: []byte{8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, script: []byte{behindPart | 1, doAccept, 0, behindPart, doLook, 0}, post: everyPost},
	{name: "acceptor", config: []byte{8}, script: talkative, peer: []byte{puppetRetry}, post: everyPost},
	{name: "acceptor-rejects", config: []byte{8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2}},
	{name: "tls12", script: talkative, peer: []byte{0, puppetTLS12, 0, 1}, post: []byte{postData, 3, postEmpty, 2, postBig, 8, postAlert, 0}},
	{name: "tls12-rsa", config: []byte{0, 0, 0, 0, 0, 0, 5}, peer: []byte{0, puppetTLS12, 0, 0, 5}, post: []byte{postData, 3}},
	{name: "tls12-only-chacha", config: []byte{32, 8}, script: talkative, peer: []byte{0, puppetTLS12 | 4}, post: []byte{postData, 3, postAlert, 0}},
	{name: "tls12-aes256-p256", config: []byte{0, 7, 2, 0, 0, 1}, script: talkative, peer: []byte{0, puppetTLS12 | 1, 1}, post: []byte{postData, 3}},
	{name: "tls12-no-ems", peer: []byte{puppetNoSession, puppetTLS12}, post: []byte{postData, 3}},
	{name: "tls12-request", peer: []byte{puppetRequest | puppetNoCompat | puppetNoName, puppetTLS12}, post: []byte{postData, 3, postKeyUpdate, 1}},
	{name: "tls12-sessions", peer: []byte{puppetPSK | puppetEarlyData, puppetTLS12}, post: []byte{postData, 3}, pool: []byte("a session that is none, or is one")},
	{name: "tls12-renegotiation", peer: []byte{0, puppetTLS12}, post: []byte{postData, 1, postMessage, 0}},
	{name: "tls12-renegotiation-by-client", peer: []byte{0, puppetTLS12}, post: []byte{postData, 1, postMessage, 1}},
	{name: "tls12-compat-late", peer: []byte{0, puppetTLS12}, post: []byte{postData, 1, postCompat, 0}},
	{name: "tls12-plaintext-late", peer: []byte{0, puppetTLS12}, post: []byte{postPlaintext, 1}, pool: []byte{2, 40}},
	{name: "tls12-early-ccs", peer: []byte{0, puppetTLS12, 0, 0, 0, 1, editBefore, 0, 0, 2, editBefore, 0, 0}, pool: []byte{1}},
	{name: "tls12-misaligned", peer: []byte{0, puppetTLS12, 0, 0, 0, 3, editHold, 0, 0, 5, editHold, 0, 0}, post: []byte{postMessage, 0}},
	{name: "tls12-refused", config: []byte{64}, peer: []byte{0, puppetTLS12}},
	{name: "tls12-and-no-more", config: []byte{32}},
	{name: "tls12-tasks", config: []byte{128}, script: talkative, peer: []byte{0, puppetTLS12}, post: []byte{postData, 3}},
	{name: "tasks", config: []byte{128, 0, 0, 1}, script: talkative, peer: []byte{puppetRetry}, post: []byte{postData, 3, postKeyUpdate, 1}},
	{name: "tasks-fail", config: []byte{128, 0, 0, 0, 0, 0, 0, 0, tasksFail, 0, 0, 2}, peer: []byte{0}, post: []byte{postData, 3, postKeyUpdate, 1}},
	{name: "tls12-tasks-fail", config: []byte{128, 0, 0, 0, 0, 0, 0, 0, tasksFail, 0, 0, 3}, peer: []byte{0, puppetTLS12}, post: []byte{postData, 3, postKeyUpdate, 1}},
	{name: "acceptor-tasks", config: []byte{128 | 8}, peer: []byte{0, puppetTLS12}, post: []byte{postData, 3, postKeyUpdate, 1}},
	{name: "asks", config: append(make([]byte, 12), moreAsks), script: []byte{2, doRequest, 0, 3, doRequest, 0}, post: []byte{postData, 3}},
	{name: "asks-later", config: append(make([]byte, 12), moreAsks), script: []byte{1, doRequest, 0, 1, doTicket, 0, 2, doRequest, 0}, peer: []byte{puppetRequest}, post: []byte{postRequest, 7, postData, 3, postRequest, 8, postData, 3}},
	{name: "requires", config: append(make([]byte, 12), moreRequires), post: []byte{postData, 3}},
	{name: "sessions", config: append(make([]byte, 12), moreSessions|moreEarly), script: []byte{3, doTicket, 0}, post: []byte{postData, 3, postTicket, 1}},
	{name: "staples-limit", config: append(make([]byte, 12), moreStaples|moreLimit|moreGREASE), script: talkative, post: []byte{postData, 3, postKeyUpdate, 1}},
	{name: "tls12-asks", config: append(make([]byte, 12), moreAsks|moreStaples), peer: []byte{puppetCookie, puppetTLS12}, post: []byte{postData, 3}},
	{name: "tls12-requires", config: append(make([]byte, 12), moreRequires), peer: []byte{puppetRequest, puppetTLS12}, post: []byte{postData, 3}},
	{name: "tls12-store", config: append(make([]byte, 12), moreSessions|moreLimit), script: talkative, peer: []byte{puppetPSK, puppetTLS12}, post: []byte{postData, 3}, pool: []byte("an id")},
	{name: "tls12-ticket", config: append(make([]byte, 12), moreSessions|moreGREASE), peer: []byte{puppetEarlyData, puppetTLS12}, post: []byte{postData, 3}},
	{name: "resumed", config: withPast(sessionThere, 0), script: talkative, peer: []byte{puppetPSK}, post: []byte{postData, 5, postKeyUpdate, 1, postData, 9}},
	{name: "resumed-aes256", config: append([]byte{0, 2}, withPast(sessionThere|1<<6, 0)[2:]...), peer: []byte{puppetPSK, 1}, post: []byte{postData, 3, postTicket, 1}},
	{name: "resumed-chacha", config: append([]byte{0, 3}, withPast(sessionThere|sessionEarly|2<<6, 0)[2:]...), script: early, peer: []byte{puppetPSK | puppetEarlyData, 2}, post: []byte{postData, 3}},
	{name: "resumed-other-hash", config: withPast(sessionThere|sessionEarly|1<<6, 0), script: early, peer: []byte{puppetPSK | puppetEarlyData}, post: []byte{postData, 3}},
	{name: "resumed-stored", config: withPast(sessionThere|sessionStored|sessionEarly, 0), script: early, peer: []byte{puppetPSK | puppetEarlyData}, post: []byte{postData, 3, postTicket, 1}},
	{name: "resumed-retry", config: append([]byte{0, 0, 0, 1}, withPast(sessionThere|sessionEarly, 0)[4:]...), script: early, peer: []byte{puppetPSK | puppetEarlyData | puppetRetry | puppetCookie}, post: []byte{postData, 3}},
	{name: "resumed-retry-share", config: append([]byte{0, 0, 2}, withPast(sessionThere|sessionEarly, 0)[3:]...), script: early, peer: []byte{puppetPSK | puppetEarlyData}, post: []byte{postData, 3}},
	{name: "resumed-other-key", config: withPast(sessionThere|sessionEarly, 0), script: early, peer: []byte{puppetPSK | puppetEarlyData, 0, pastOtherKey}, post: []byte{postData, 3}},
	{name: "resumed-others", config: withPast(sessionThere|sessionEarly, 0), script: early, peer: []byte{puppetPSK | puppetEarlyData, 0, pastOthers}, post: []byte{postData, 3}},
	{name: "resumed-wrong-age", config: withPast(sessionThere|sessionEarly, 0), script: early, peer: []byte{puppetPSK | puppetEarlyData, 0, pastWrongAge}, post: []byte{postData, 3}},
	{name: "resumed-early-end", config: withPast(sessionThere|sessionEarly, 0), script: early, peer: []byte{puppetPSK | puppetEarlyData, 0, pastEarlyEnd}, post: []byte{postData, 3}},
	{name: "resumed-more-early", config: withPast(sessionThere|sessionEarly, 0), script: early, peer: []byte{puppetPSK | puppetEarlyData, 0, pastMoreEarly}, post: []byte{postData, 3}},
	{name: "resumed-early", config: withPast(sessionThere|sessionEarly, 0), script: early, peer: []byte{puppetPSK | puppetEarlyData}, post: []byte{postData, 5, postKeyUpdate, 1, postData, 9, postTicket, 1}},
	{name: "resumed-no-early", config: withPast(sessionThere|sessionEarly, 0), script: early, peer: []byte{puppetPSK}, post: []byte{postData, 3}},
	{name: "resumed-not", config: withPast(sessionThere|sessionEarly, 0), script: early, peer: []byte{puppetEarlyData}, post: []byte{postData, 3}},
	{name: "resumed-not-and-no-early", config: withPast(sessionThere|sessionEarly, 0), script: early, peer: []byte{0}, post: []byte{postData, 3}},
	{name: "resumed-not-but-early", config: withPast(sessionThere|sessionEarly, 0), script: early, peer: []byte{puppetEarlyData, 0, pastEarlyEnd}, post: []byte{postData, 3}},
	{name: "resumed-early-rejected", config: withPast(sessionThere|sessionEarly, resumingRejects), script: early, peer: []byte{puppetPSK | puppetEarlyData}, post: []byte{postData, 3}},
	{name: "resumed-early-rejected-end", config: withPast(sessionThere|sessionEarly, resumingRejects), script: early, peer: []byte{puppetPSK | puppetEarlyData, 0, pastEarlyEnd}, post: []byte{postData, 3}},
	{name: "resumed-early-guarded", config: withPast(sessionThere|sessionEarly, resumingGuarded|resumingTickets), script: early, peer: []byte{puppetPSK | puppetEarlyData}, post: []byte{postData, 3, postTicket, 2}},
	{name: "resumed-early-tasks", config: append([]byte{128}, withPast(sessionThere|sessionEarly, 0)[1:]...), script: early, peer: []byte{puppetPSK | puppetEarlyData}, post: []byte{postData, 3}},
	{name: "resumed-early-by-hand", config: append([]byte{128}, withPast(sessionThere|sessionEarly, resumingByHand)[1:]...), script: early, peer: []byte{puppetPSK | puppetEarlyData, 0, pastBindAlways}, post: []byte{postData, 3}},
	{name: "resumed-too-much-early", config: withPast(sessionThere|sessionEarly, 0), script: []byte{0, doWriteEarly, 130, 1, doWriteEarly, 9}, peer: []byte{puppetPSK | puppetEarlyData}, post: []byte{postData, 3}, pool: make([]byte, 470)},
	{name: "resumed-early-callback-panics", config: append([]byte{0, 0, 0, 0, 0, 0, 0, 0, callPanics}, withPast(sessionThere|sessionEarly, 0)[9:]...), script: early, peer: []byte{puppetPSK | puppetEarlyData}},
	{name: "resumed-early-closed", config: withPast(sessionThere|sessionEarly, 0), script: []byte{0, doWriteEarly, 30, 0, doCloseWrite, 0}, peer: []byte{0}, post: []byte{postData, 3}},
	{name: "resumed-early-rejects", config: withPast(sessionThere|sessionEarly, 0), script: []byte{0, doWriteEarly, 30, 1, doReject, 40}, peer: []byte{puppetPSK | puppetEarlyData}, post: []byte{postData, 3}},
	{name: "resumed-early-limits", config: append([]byte{0, 0, 0, 0, 1, 1}, withPast(sessionThere|sessionEarly, 0)[6:]...), script: early, peer: []byte{puppetPSK | puppetEarlyData, 0, 0, 1}, post: []byte{postData, 5, postKeyUpdate, 1, postData, 9}},
	{name: "resumed-early-padded", config: append(append(make([]byte, 12), moreLimit|moreGREASE), sessionThere|sessionEarly), script: early, peer: []byte{puppetPSK | puppetEarlyData}, post: []byte{postData, 3}},
	{name: "resumed-misaligned", config: withPast(sessionThere|sessionEarly, 0), script: early, peer: []byte{puppetPSK | puppetEarlyData, 0, 0, 0, 0, 4, editHold, 0, 0, 3, editHold, 0, 0}, post: []byte{postData, 3}},
	{name: "resumed-bound-always", config: withPast(sessionThere, 0), peer: []byte{puppetPSK, 0, pastBindAlways, 0, 0, 0, editFlip, 5, 9}, post: []byte{postData, 3}},
	{name: "resumed-retry-more-early", config: append([]byte{0, 0, 2}, withPast(sessionThere|sessionEarly, 0)[3:]...), script: early, peer: []byte{puppetPSK | puppetEarlyData, 0, pastMoreEarly}, post: []byte{postData, 3}},
	{name: "resumed-asks-later", config: append(append(make([]byte, 12), moreAsks), sessionThere), script: []byte{1, doRequest, 0, 1, doTicket, 0, 2, doLook, 0}, peer: []byte{puppetPSK | puppetRequest}, post: []byte{postRequest, 7, postData, 3, postRequest, 8, postData, 3}},
	{name: "resumed-foreign", config: withPast(sessionThere|sessionEarly|sessionForeign, 0), script: early, peer: []byte{puppetPSK | puppetEarlyData}, post: []byte{postData, 3}},
	{name: "resumed-disabled", config: withPast(sessionThere|sessionEarly, resumingDisabled), script: early, peer: []byte{puppetPSK | puppetEarlyData}, post: []byte{postData, 3}},
	{name: "resumed-requires", config: append(append(make([]byte, 12), moreRequires), sessionThere), peer: []byte{puppetPSK}, post: []byte{postData, 3}},
	{name: "resumed-asks", config: append(append(make([]byte, 12), moreAsks), sessionThere), script: []byte{2, doRequest, 0, 2, doTicket, 0, 2, doLook, 0}, peer: []byte{puppetPSK}, post: []byte{postData, 3}},
	{name: "resumed-acceptor", config: append([]byte{8}, withPast(sessionThere|sessionEarly, 0)[1:]...), script: early, peer: []byte{puppetPSK | puppetEarlyData}, post: []byte{postData, 3}},
	{name: "tls12-resumed", config: withPast(sessionThere|session12, 0), script: talkative, peer: []byte{puppetPSK, puppetTLS12}, post: []byte{postData, 3, postAlert, 0}},
	{name: "tls12-resumed-by-id", config: withPast(sessionThere|session12|sessionStored, 0), script: talkative, peer: []byte{puppetPSK, puppetTLS12}, post: []byte{postData, 3}},
	{name: "tls12-resumed-aes256", config: withPast(sessionThere|session12|1<<6, 0), peer: []byte{puppetPSK, puppetTLS12 | 3}, post: []byte{postData, 3}},
	{name: "tls12-resumed-renewed", config: withPast(sessionThere|session12|sessionOld, 0), script: talkative, peer: []byte{puppetPSK | puppetEarlyData, puppetTLS12}, post: []byte{postData, 3}},
	{name: "tls12-resumed-not", config: withPast(sessionThere|session12, 0), peer: []byte{puppetEarlyData, puppetTLS12}, post: []byte{postData, 3}},
	{name: "tls12-resumed-other-key", config: withPast(sessionThere|session12, 0), peer: []byte{puppetPSK, puppetTLS12, pastOtherKey}, post: []byte{postData, 3}},
	{name: "tls12-resumed-others", config: withPast(sessionThere|session12, 0), peer: []byte{puppetPSK, puppetTLS12 | 2, pastOthers}, post: []byte{postData, 3}},
	{name: "tls12-resumed-no-ems", config: withPast(sessionThere|session12, 0), peer: []byte{puppetPSK | puppetNoSession, puppetTLS12}, post: []byte{postData, 3}},
	{name: "tls12-resumed-tasks", config: append([]byte{128}, withPast(sessionThere|session12, resumingByHand)[1:]...), script: talkative, peer: []byte{puppetPSK, puppetTLS12}, post: []byte{postData, 3}},
	{name: "tls12-resumed-foreign", config: withPast(sessionThere|session12|sessionForeign, 0), peer: []byte{puppetPSK, puppetTLS12}, post: []byte{postData, 3}},
	{name: "tls12-early-refused", config: withPast(sessionThere|sessionEarly, 0), script: early, peer: []byte{puppetPSK, puppetTLS12}, post: []byte{postData, 3}},
	{name: "acceptor-misuse", config: []byte{8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3}, post: everyPost},
}

// recordPuppet lets a machine and a puppet make a handshake, and returns what the
// puppet said. It is for what needs no randomness but that of the config.
func recordPuppet(s *setup, p *puppet) (said []byte) {
	m := s.machine(nil, s.config(nil, nil))
	if m == nil {
		return nil
	}
	var in []byte
	for range 400 {
		for {
			ev, n := m.Step(in)
			in = in[n:]
			if m.State().String() == "WaitAccept" {
				_ = m.Accept(s.config(nil, nil))
			} else if task := m.Task(); task != nil {
				task.Run()
				_ = m.Done(task)
			} else if ev.Stop() {
				break
			}
		}
		p.receive(m.Output())
		m.Sent(len(m.Output()))
		next := p.next()
		if next == nil {
			break
		}
		said = append(said, next.bytes...)
		in = append(in, next.bytes...)
	}
	return said
}

// rawSeeds are what peers say, from beginning to end.
func rawSeeds(r role) (list []seed) {
	for _, s := range scenarios {
		set := newSetup(r, s.config)
		said := recordPuppet(set, newPuppet(set, parseChoices(s.peer, s.post), s.pool))
		list = append(list, seed{s.name, [][]byte{s.config, s.script, said}})
	}
	for name, said := range strangers() {
		list = append(list, seed{name, [][]byte{nil, nil, said}})
	}
	if r == roleServer {
		for name, said := range capturedHellos() {
			list = append(list, seed{"captured-" + name, [][]byte{{0, 0, 8, 0, 1}, nil, said}})
		}
	}
	return list
}

// strangers are those who do not speak TLS 1.3, or hardly.
func strangers() map[string][]byte {
	plain := func(t record.ContentType, b string) []byte {
		return record.AppendPlaintext(nil, t, 0x0303, []byte(b))
	}
	return map[string][]byte{
		"http":             []byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
		"http2":            []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
		"sslv2":            append([]byte{0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10}, bytes.Repeat([]byte{5}, 37)...),
		"ssh":              []byte("SSH-2.0-OpenSSH_9.9\r\n"),
		"empty":            {},
		"zeros":            make([]byte, 64),
		"half-a-header":    {22, 3, 1},
		"alert":            plain(record.TypeAlert, "\x02\x28"),
		"warnings":         bytes.Repeat(plain(record.TypeAlert, "\x01\x70"), 6),
		"close-notify":     plain(record.TypeAlert, "\x01\x00"),
		"long-alert":       plain(record.TypeAlert, "\x01\x00\x00"),
		"compat":           bytes.Repeat(plain(record.TypeChangeCipherSpec, "\x01"), 40),
		"bad-compat":       plain(record.TypeChangeCipherSpec, "\x02"),
		"long-compat":      plain(record.TypeChangeCipherSpec, "\x01\x01"),
		"empty-handshake":  plain(record.TypeHandshake, ""),
		"application-data": plain(record.TypeApplicationData, "0123456789abcdefghi"),
		"heartbeat":        plain(24, "\x01\x40\x00"),
		"overflow":         {22, 3, 3, 0x40, 1, 1},
		"large-hello":      {22, 3, 3, 0x40, 0, 1, 0xff, 0xff, 0xff},
		"ssl3":             {22, 3, 0, 0, 4, 1, 0, 0, 0},
		"tls4":             {22, 4, 0, 0, 4, 1, 0, 0, 0},
		"hello-request":    plain(record.TypeHandshake, "\x00\x00\x00\x00"),
		"server-hello":     plain(record.TypeHandshake, string((&wire.ServerHello{LegacyVersion: wire.VersionTLS12, NoExtensions: true}).Append(nil))),
		"finished":         plain(record.TypeHandshake, "\x14\x00\x00\x00"),
	}
}

// capturedHellos are the first record of clients: openssl, curl, gnutls-cli and
// crypto/tls, and one of the kind that browsers send.
func capturedHellos() map[string][]byte {
	hellos := map[string][]byte{"browser": record.AppendPlaintext(nil, record.TypeHandshake, 0x0301, browserHello().Append(nil))}
	files, _ := filepath.Glob("testdata/hellos/*")
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			panic(err)
		}
		hellos[filepath.Base(file)] = b
	}
	return hellos
}

// browserHello is what Chrome and its kin send: GREASE, ECH, ALPS, and a lot of
// extensions for which TLS 1.3 has no use.
func browserHello() *wire.ClientHello {
	h := &wire.ClientHello{
		LegacyVersion:       wire.VersionTLS12,
		SessionID:           bytes.Repeat([]byte{0x5e}, 32),
		CipherSuites:        []wire.CipherSuite{0x5a5a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0x009c},
		CompressionMethods:  []byte{0},
		ServerName:          []byte("localhost"),
		SupportedGroups:     []wire.NamedGroup{0xaaaa, 0x11ec, 0x001d, 0x0017, 0x0018},
		SignatureAlgorithms: []wire.SignatureScheme{0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0807},
		ALPN:                [][]byte{[]byte("h2"), []byte("http/1.1")},
		SupportedVersions:   []wire.Version{0xbaba, 0x0304, 0x0303},
		PSKModes:            []byte{1},
		ECPointFormats:      []byte{0},
		KeyShares: []wire.KeyShare{
			{Group: 0xaaaa, Data: []byte{0}},
			{Group: wire.NamedGroup(tls.X25519), Data: bytes.Repeat([]byte{9}, 32)},
		},
	}
	for i := range h.Random {
		h.Random[i] = byte(i)
	}
	ech := slices.Concat([]byte{0, 0, 1, 0, 1, 7, 0, 32}, make([]byte, 32), []byte{0, 16}, make([]byte, 16))
	h.Extensions = []wire.Extension{
		{Type: 0x2a2a, Data: []byte{}},
		{Type: wire.ExtServerName},
		{Type: wire.ExtExtendedMasterSecret},
		{Type: wire.ExtRenegotiationInfo},
		{Type: wire.ExtSupportedGroups},
		{Type: wire.ExtECPointFormats},
		{Type: wire.ExtSessionTicket},
		{Type: wire.ExtALPN},
		{Type: wire.ExtStatusRequest},
		{Type: wire.ExtSignatureAlgorithms},
		{Type: wire.ExtSignedCertificateTimestamp},
		{Type: wire.ExtKeyShare},
		{Type: wire.ExtPSKKeyExchangeModes},
		{Type: wire.ExtSupportedVersions},
		{Type: wire.ExtCompressCertificate, Data: []byte{2, 0, 2}},
		{Type: 0x44cd, Data: []byte{0, 3, 2, 'h', '2'}}, // ALPS
		{Type: wire.ExtEncryptedClientHello, Data: ech},
		{Type: 0x3a3a, Data: []byte{0}},
		{Type: wire.ExtPadding, Data: make([]byte, 60)},
	}
	return h
}

// misledSeeds are the scenarios as they are, and with each edit in turn at one
// item after the other.
func misledSeeds(server bool) (list []seed) {
	for _, s := range scenarios {
		list = append(list, seed{s.name, [][]byte{s.config, s.script, s.peer, s.post, s.pool}})
	}
	for i := range byte(8) {
		peer := []byte{0, 0, 0, 0, 5, i, editFragment, 40 * i, 0}
		list = append(list, seed{fmt.Sprint("fragments", i), [][]byte{nil, nil, peer, {postMessage, 4, postData, 1}, make([]byte, 1500)}})
	}
	ticket := wire.NewSessionTicket{Ticket: []byte("t")}
	for op := byte(1); op < numEdits; op++ {
		for item := range byte(7) {
			peer12 := []byte{0, puppetTLS12, 0, 0, 0, item, op, 20 + 10*op, 3}
			list = append(list, seed{fmt.Sprintf("edit-%d-of-%d-of-tls12", op, item), [][]byte{nil, nil, peer12, {postData, 3, postEmpty, 1}, {1}}})
			peer := []byte{0, 0, 0, 0, 0, item, op, 20 + 10*op, 3}
			if item%2 == 1 {
				peer = append(peer, 4, op|editFixLength, 2, 6)
			}
			name := fmt.Sprintf("edit-%d-of-%d", op, item)
			list = append(list, seed{name, [][]byte{nil, nil, peer, everyPost, ticket.Append(nil)}})
			resumed := []byte{puppetPSK | puppetEarlyData, 0, pastBindAlways, 0, 0, item, op, 20 + 10*op, 3}
			list = append(list, seed{name + "-resumed", [][]byte{withPast(sessionThere|sessionEarly, 0), early, resumed, {postData, 3}, {1}}})
			resumed12 := []byte{puppetPSK | puppetEarlyData, puppetTLS12, 0, 0, 0, item, op, 20 + 10*op, 3}
			list = append(list, seed{name + "-resumed12", [][]byte{withPast(sessionThere|session12, 0), nil, resumed12, {postData, 3}, {1}}})
		}
	}
	return list
}

// codecSeeds takes the messages of a target from what the puppets say, and from
// the captured ClientHellos.
func codecSeeds(target string) (list []seed) {
	add := func(name string, msg handshakeMessage) {
		if "Fuzz"+msg.name() == target {
			list = append(list, seed{name, [][]byte{msg[wire.HeaderLen:]}})
		}
	}
	for name, hello := range capturedHellos() {
		add(name, joinRecords(hello))
	}
	for i, msg := range sampleMessages() {
		add(fmt.Sprint("sample", i), msg)
	}
	for i, msg := range sampleMessages12()[target] {
		list = append(list, seed{fmt.Sprint("sample", i), [][]byte{msg[wire.HeaderLen:]}})
	}
	return list
}

// A handshakeMessage is a whole handshake message.
type handshakeMessage []byte

func (m handshakeMessage) name() string {
	return map[wire.HandshakeType]string{
		wire.TypeClientHello:         "ClientHello",
		wire.TypeServerHello:         "ServerHello",
		wire.TypeEncryptedExtensions: "EncryptedExtensions",
		wire.TypeCertificateRequest:  "CertificateRequest",
		wire.TypeCertificate:         "Certificate",
		wire.TypeCertificateVerify:   "CertificateVerify",
		wire.TypeFinished:            "Finished",
		wire.TypeNewSessionTicket:    "NewSessionTicket",
		wire.TypeKeyUpdate:           "KeyUpdate",
		wire.TypeEndOfEarlyData:      "EndOfEarlyData",
	}[wire.HandshakeType(m[0])]
}

// corpusFile is the form in which go test keeps an input.
func corpusFile(args [][]byte) []byte {
	var b bytes.Buffer
	b.WriteString("go test fuzz v1\n")
	for _, arg := range args {
		fmt.Fprintf(&b, "[]byte(%q)\n", arg)
	}
	return b.Bytes()
}
