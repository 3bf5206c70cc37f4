package main

import (
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
)

// A flag is a row of the table of flags: how one of them changes the options.
// The runner's flags that are not in the table are those that this shim does not
// support.
type flag struct {
	param bool // a value follows
	set   func(o *options, value string) error
}

// flags has the flags of the runner that the shim knows, and its own: those that
// begin with -tlscore, which the runner passes on in -shim-extra-flags.
var flags = map[string]flag{
	"-port":         number(func(o *options) *int { return &o.port }),
	"-ipv6":         set(func(o *options) *bool { return &o.ipv6 }),
	"-shim-id":      number(func(o *options) *uint64 { return &o.shimID }),
	"-server":       set(func(o *options) *bool { return &o.server }),
	"-resume-count": number(func(o *options) *int { return &o.resumeCount }),

	"-min-version":    number(func(o *options) *uint16 { return &o.minVersion }),
	"-max-version":    number(func(o *options) *uint16 { return &o.maxVersion }),
	"-no-tls1":        ignore, // never spoken
	"-no-tls11":       ignore, // never spoken
	"-no-tls12":       set(func(o *options) *bool { return &o.noTLS12 }),
	"-no-tls13":       set(func(o *options) *bool { return &o.noTLS13 }),
	"-cipher":         text(func(o *options) *string { return &o.cipher }),
	"-curves":         list(func(o *options) *[]tls.CurveID { return &o.curves }),
	"-key-shares":     list(func(o *options) *[]tls.CurveID { return &o.keyShares }),
	"-no-key-shares":  action(func(o *options) { o.keyShares = []tls.CurveID{} }),
	"-verify-prefs":   list(func(o *options) *[]tls.SignatureScheme { return &o.verifyPrefs }),
	"-host-name":      text(func(o *options) *string { return &o.hostName }),
	"-advertise-alpn": text(func(o *options) *string { return &o.advertiseALPN }),
	"-select-alpn":    text(func(o *options) *string { return &o.selectALPN }),
	"-decline-alpn":   set(func(o *options) *bool { return &o.declineALPN }),
	"-reject-alpn":    set(func(o *options) *bool { return &o.rejectALPN }),
	"-max-cert-list":  number(func(o *options) *int { return &o.maxCertList }),

	"-fips-202205":                    action(func(o *options) { o.preset = &fips202205 }),
	"-wpa-202304":                     action(func(o *options) { o.preset = &wpa202304 }),
	"-cnsa-202407":                    action(func(o *options) { o.preset = &cnsa202407 }),
	"-cnsa1-202603":                   action(func(o *options) { o.preset = &cnsa1202603 }),
	"-cnsa2-202603":                   action(func(o *options) { o.preset = &cnsa2202603 }),
	"-server-preference":              set(func(o *options) *bool { return &o.serverPreference }),
	"-fallback-scsv":                  set(func(o *options) *bool { return &o.fallbackSCSV }),
	"-enable-grease":                  set(func(o *options) *bool { return &o.enableGREASE }),
	"-permute-extensions":             set(func(o *options) *bool { return &o.permuteExtensions }),
	"-no-ticket":                      set(func(o *options) *bool { return &o.noTicket }),
	"-enable-early-data":              set(func(o *options) *bool { return &o.enableEarlyData }),
	"-enable-ocsp-stapling":           set(func(o *options) *bool { return &o.enableOCSPStapling }),
	"-enable-signed-cert-timestamps":  set(func(o *options) *bool { return &o.enableSCTs }),
	"-require-any-client-certificate": set(func(o *options) *bool { return &o.requireClientCert }),
	"-use-client-ca-list":             optionalText(func(o *options) **string { return &o.useClientCAList }),

	"-new-x509-credential":    action(func(o *options) { o.credentials = append(o.credentials, credential{}) }),
	"-cert-file":              text(func(o *options) *string { return &o.current().certFile }),
	"-key-file":               text(func(o *options) *string { return &o.current().keyFile }),
	"-signing-prefs":          list(func(o *options) *[]tls.SignatureScheme { return &o.current().signingPrefs }),
	"-ocsp-response":          base64Bytes(func(o *options) *[]byte { return &o.current().ocspResponse }),
	"-signed-cert-timestamps": base64Bytes(func(o *options) *[]byte { return &o.current().scts }),
	"-must-match-issuer":      set(func(o *options) *bool { return &o.current().mustMatchIssuer }),

	"-async":                        set(func(o *options) *bool { return &o.async }),
	"-tlscore-chunking":             text(func(o *options) *string { return &o.chunking }),
	"-tlscore-tasks":                text(func(o *options) *string { return &o.tasks }),
	"-use-custom-verify-callback":   set(func(o *options) *bool { return &o.customVerify }),
	"-verify-peer":                  set(func(o *options) *bool { return &o.verifyPeer }),
	"-verify-fail":                  set(func(o *options) *bool { return &o.verifyFail }),
	"-reverify-on-resume":           set(func(o *options) *bool { return &o.reverifyOnResume }),
	"-use-ticket-callback":          set(func(o *options) *bool { return &o.useTicketCallback }),
	"-use-ticket-aead-callback":     set(func(o *options) *bool { return &o.useTicketCallback }),
	"-renew-ticket":                 set(func(o *options) *bool { return &o.renewTicket }),
	"-skip-ticket":                  set(func(o *options) *bool { return &o.skipTicket }),
	"-resumption-delay":             number(func(o *options) *int { return &o.resumptionDelay }),
	"-use-ocsp-callback":            set(func(o *options) *bool { return &o.useOCSPCallback }),
	"-decline-ocsp-callback":        set(func(o *options) *bool { return &o.declineOCSPCallback }),
	"-fail-ocsp-callback":           set(func(o *options) *bool { return &o.failOCSPCallback }),
	"-export-keying-material":       number(func(o *options) *int { return &o.exportKeyingMaterial }),
	"-export-label":                 text(func(o *options) *string { return &o.exportLabel }),
	"-export-context":               text(func(o *options) *string { return &o.exportContext }),
	"-use-export-context":           set(func(o *options) *bool { return &o.useExportContext }),
	"-export-traffic-secrets":       set(func(o *options) *bool { return &o.exportTrafficSecrets }),
	"-use-early-callback":           set(func(o *options) *bool { return &o.useEarlyCallback }),
	"-fail-early-callback":          set(func(o *options) *bool { return &o.failEarlyCallback }),
	"-install-ddos-callback":        set(func(o *options) *bool { return &o.installDDoSCallback }),
	"-fail-ddos-callback":           set(func(o *options) *bool { return &o.failDDoSCallback }),
	"-fail-cert-callback":           set(func(o *options) *bool { return &o.failCertCallback }),
	"-shim-writes-first":            set(func(o *options) *bool { return &o.shimWritesFirst }),
	"-read-with-unfinished-write":   set(func(o *options) *bool { return &o.readWithUnfinishedWrite }),
	"-shim-initial-write":           text(func(o *options) *string { return &o.shimInitialWrite }),
	"-repeat-shim-initial-write":    number(func(o *options) *int { return &o.repeatShimInitialWrite }),
	"-write-different-record-sizes": set(func(o *options) *bool { return &o.writeDifferentRecordSizes }),
	"-shim-shuts-down":              set(func(o *options) *bool { return &o.shimShutsDown }),
	"-check-close-notify":           set(func(o *options) *bool { return &o.checkCloseNotify }),
	"-send-alert":                   set(func(o *options) *bool { return &o.sendAlert }),
	"-key-update":                   set(func(o *options) *bool { return &o.keyUpdate }),
	"-key-update-before-read":       set(func(o *options) *bool { return &o.keyUpdateBeforeRead }),
	"-read-size":                    number(func(o *options) *int { return &o.readSize }),

	// The certificates of the runner are judged by -verify-fail alone.
	"-trust-cert":           text(func(*options) *string { return new(string) }),
	"-expect-verify-result": ignore,
	// The handshake is driven by reading in any case, and a second one is not a
	// thing that can be asked for.
	"-implicit-handshake":    ignore,
	"-no-op-extra-handshake": ignore,
	// The response comes from the callback in any case.
	"-set-ocsp-in-callback": ignore,
	// Certificates are asked for by a callback in any case.
	"-use-old-client-cert-callback": ignore,
	"-handshake-twice":              ignore,
	// The data of an event can be looked at as often as one likes.
	"-peek-then-read": ignore,
	// Write takes a part where it cannot take all.
	"-partial-write": ignore,

	"-expect-version":                    number(func(o *options) *uint16 { return &o.expectVersion }),
	"-expect-cipher":                     number(func(o *options) *uint16 { return &o.expectCipher }),
	"-expect-cipher-aes":                 number(func(o *options) *uint16 { return &o.expectCipherAES }),
	"-expect-cipher-no-aes":              number(func(*options) *uint16 { return new(uint16) }),
	"-expect-curve-id":                   number(func(o *options) *tls.CurveID { return &o.expectCurveID }),
	"-expect-server-name":                text(func(o *options) *string { return &o.expectServerName }),
	"-expect-no-server-name":             set(func(o *options) *bool { return &o.expectNoServerName }),
	"-expect-alpn":                       text(func(o *options) *string { return &o.expectALPN }),
	"-expect-advertised-alpn":            text(func(o *options) *string { return &o.expectAdvertisedALPN }),
	"-expect-peer-cert-file":             text(func(o *options) *string { return &o.expectPeerCertFile }),
	"-expect-no-peer-cert":               set(func(o *options) *bool { return &o.expectNoPeerCert }),
	"-expect-hrr":                        set(func(o *options) *bool { return &o.expectHRR }),
	"-expect-no-hrr":                     set(func(o *options) *bool { return &o.expectNoHRR }),
	"-expect-selected-credential":        optionalNumber(func(o *options) **int { return &o.expectSelectedCredential }),
	"-expect-msg-callback":               text(func(o *options) *string { return &o.expectMsgCallback }),
	"-expect-peer-verify-pref":           list(func(o *options) *[]tls.SignatureScheme { return &o.expectPeerVerifyPrefs }),
	"-expect-session-miss":               set(func(o *options) *bool { return &o.expectSessionMiss }),
	"-expect-no-session":                 set(func(o *options) *bool { return &o.expectNoSession }),
	"-expect-ticket-renewal":             set(func(o *options) *bool { return &o.expectTicketRenewal }),
	"-expect-session-id":                 set(func(o *options) *bool { return &o.expectSessionID }),
	"-expect-no-session-id":              set(func(o *options) *bool { return &o.expectNoSessionID }),
	"-expect-ticket-supports-early-data": set(func(o *options) *bool { return &o.expectTicketSupportsEarlyData }),
	"-expect-accept-early-data":          set(func(o *options) *bool { return &o.expectAcceptEarlyData }),
	"-expect-reject-early-data":          set(func(o *options) *bool { return &o.expectRejectEarlyData }),
	"-expect-no-offer-early-data":        set(func(o *options) *bool { return &o.expectNoOfferEarlyData }),
	"-expect-early-data-reason":          text(func(o *options) *string { return &o.expectEarlyDataReason }),
	"-expect-ocsp-response":              base64Bytes(func(o *options) *[]byte { return &o.expectOCSPResponse }),
	"-expect-signed-cert-timestamps":     base64Bytes(func(o *options) *[]byte { return &o.expectSCTs }),
	"-expect-peer-signature-algorithm":   number(func(o *options) *tls.SignatureScheme { return &o.expectPeerSignatureAlgorithm }),
	"-expect-extended-master-secret":     set(func(o *options) *bool { return &o.expectExtendedMasterSecret }),
	"-expect-secure-renegotiation":       set(func(o *options) *bool { return &o.expectSecureRenegotiation }),
	"-expect-client-ca-list":             optionalText(func(o *options) **string { return &o.expectClientCAList }),
	"-handshake-never-done":              set(func(o *options) *bool { return &o.handshakeNeverDone }),
}

var ignore = action(func(*options) {})

func action(do func(*options)) flag {
	return flag{set: func(o *options, _ string) error { do(o); return nil }}
}

func set(field func(*options) *bool) flag {
	return action(func(o *options) { *field(o) = true })
}

func text(field func(*options) *string) flag {
	return flag{param: true, set: func(o *options, value string) error {
		*field(o) = value
		return nil
	}}
}

func optionalText(field func(*options) **string) flag {
	return flag{param: true, set: func(o *options, value string) error {
		*field(o) = &value
		return nil
	}}
}

type integer interface {
	~int | ~int32 | ~uint8 | ~uint16 | ~uint64
}

func parseInteger[T integer](value string) (T, error) {
	n, err := strconv.ParseInt(value, 0, 64)
	if err == nil && int64(T(n)) != n {
		err = fmt.Errorf("%s is out of range", value)
	}
	return T(n), err
}

func number[T integer](field func(*options) *T) flag {
	return flag{param: true, set: func(o *options, value string) (err error) {
		*field(o), err = parseInteger[T](value)
		return err
	}}
}

func optionalNumber[T integer](field func(*options) **T) flag {
	return flag{param: true, set: func(o *options, value string) error {
		n, err := parseInteger[T](value)
		*field(o) = &n
		return err
	}}
}

func list[T integer](field func(*options) *[]T) flag {
	return flag{param: true, set: func(o *options, value string) error {
		n, err := parseInteger[T](value)
		*field(o) = append(*field(o), n)
		return err
	}}
}

func base64Bytes(field func(*options) *[]byte) flag {
	return flag{param: true, set: func(o *options, value string) (err error) {
		*field(o), err = base64.StdEncoding.DecodeString(value)
		return err
	}}
}

// invocation is what one run of the shim is to do: a connection, then those that
// resume it. retry is for what follows when early data was rejected.
type invocation struct {
	initial, resume, retry options
	handshakerQuery        bool // -is-handshaker-supported
}

// parse reads the arguments. Its error wraps errUnsupported when the runner asks
// for something that is not in the table.
func parse(args []string) (*invocation, error) {
	inv := &invocation{initial: defaults(), resume: defaults(), retry: defaults()}
	for len(args) > 0 {
		name := args[0]
		args = args[1:]
		if name == "-is-handshaker-supported" {
			inv.handshakerQuery = true
			continue
		}
		name, targets := inv.targets(name)
		f, ok := flags[name]
		if !ok {
			return inv, unsupported("flag %s", name)
		}
		value := ""
		if f.param {
			if len(args) == 0 {
				return inv, fmt.Errorf("%s needs a value", name)
			}
			value, args = args[0], args[1:]
		}
		for _, o := range targets {
			if err := f.set(o, value); err != nil {
				return inv, fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return inv, nil
}

// targets takes the prefixes off a flag, and says which options it is for.
func (inv *invocation) targets(name string) (string, []*options) {
	all := []*options{&inv.initial, &inv.resume, &inv.retry}
	if rest, ok := strings.CutPrefix(name, "-on-shim-"); ok {
		name = "-" + rest
	} else if rest, ok := strings.CutPrefix(name, "-on-handshaker-"); ok {
		name, all = "-"+rest, nil
	}
	for i, prefix := range []string{"-on-initial-", "-on-resume-", "-on-retry-"} {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			if all != nil {
				all = all[i : i+1]
			}
			return "-" + rest, all
		}
	}
	return name, all
}
