package main

import (
	"bytes"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tlscore.example/tlscore"
)

// observed is what has been seen of a connection so far.
type observed struct {
	hello         *tlscore.ClientHello // a server's, if it was shown
	writable      bool                 // Write may begin
	earlyWritable bool                 // WriteEarly may begin
	offeredEarly  bool                 // it could begin once
	done          bool                 // the handshake is complete
	ended         bool                 // the peer's direction has ended
	truncated     bool                 // without close_notify
	closedWrite   bool                 // our own close_notify was asked for
	data          []byte               // application data that came, not yet dealt with
	signedBy      int                  // the number of the credential that signed
	authorities   [][]byte             // the names of a CertificateRequest
	seen          messages
}

// early reports whether application data can be written before the handshake is
// done, because there is early data.
func (c *conn) early() bool {
	if c.o.server {
		return c.writable && c.m.EarlyDataAccepted()
	}
	return c.earlyWritable
}

// observe notes what an event says.
func (c *conn) observe(ev tlscore.Event) error {
	switch ev.Kind {
	case tlscore.EventWritable:
		c.writable, c.earlyWritable = true, false
	case tlscore.EventEarlyWritable:
		if c.o.expectNoOfferEarlyData {
			return errors.New("early data is offered, and should not be")
		}
		c.earlyWritable, c.offeredEarly = true, true
	case tlscore.EventEarlyRejected:
		c.earlyWritable = false
		if c.o.expectRejectEarlyData {
			return errEarlyRejected
		}
	case tlscore.EventHandshakeDone:
		c.done = true
		if c.o.handshakeNeverDone {
			return errDone
		}
		return c.expectations()
	case tlscore.EventData:
		if !c.done && !ev.Early {
			return fmt.Errorf("%w: %s inside the handshake", errContract, ev)
		}
		c.data = append(c.data, ev.Data...)
	case tlscore.EventClosed:
		c.ended, c.truncated = true, ev.Truncated
	}
	return nil
}

// looksAtHello reports whether the test wants to see the ClientHello.
func (o *options) looksAtHello() bool {
	return o.useEarlyCallback || o.failEarlyCallback || o.installDDoSCallback || o.failDDoSCallback ||
		o.expectServerName != "" || o.expectNoServerName || o.expectAdvertisedALPN != "" || o.expectPeerVerifyPrefs != nil ||
		o.followsClient() || o.matchesIssuers() || o.resumeCount > 0 || o.expectSessionID
}

// answerHello looks at the ClientHello and goes on with it, or not.
func (c *conn) answerHello() error {
	c.hello = c.m.ClientHello()
	if err := c.expectHello(); err != nil {
		c.m.Reject(tlscore.AlertInternalError)
		return err
	}
	switch {
	case c.o.failDDoSCallback:
		return c.m.Reject(tlscore.AlertInternalError)
	case c.o.failEarlyCallback:
		return c.m.Reject(tlscore.AlertHandshakeFailure)
	}
	if c.o.matchesIssuers() {
		certs := c.issuedBy(c.hello.CertificateAuthorities)
		if len(certs) == 0 {
			c.m.Reject(tlscore.AlertHandshakeFailure)
			return errIssuer
		}
		c.cfg = c.cfg.Clone()
		c.cfg.Certificates = certs
	}
	if c.keepsSessions() {
		c.cfg = c.cfg.Clone()
		c.cfg.SessionTicketsDisabled = false
		c.cfg.TicketKeys, c.cfg.SealTicket, c.cfg.OpenTicket = nil, nil, nil
		c.cfg.SessionStore = &c.s.store
	}
	if c.o.followsClient() {
		c.cfg = inOrderOf(c.cfg, c.hello.CipherSuites)
	}
	return c.m.Accept(c.cfg)
}

// keepsSessions reports whether a server is to keep the session itself: in TLS 1.2,
// when one of the two sides knows no tickets, or knew none in the connection before.
// BoringSSL does both, as the client wants it.
func (c *conn) keepsSessions() bool {
	tls13 := slices.Contains(c.hello.SupportedVersions, tls.VersionTLS13) && c.cfg.MaxVersion == tls.VersionTLS13
	return !tls13 && (c.o.noTicket || !slices.Contains(c.hello.Extensions, extSessionTicket) || c.s.store.puts > 0)
}

// followsClient reports whether the test looks at the suite that a server takes,
// and expects the first of the client's, as BoringSSL does unless told otherwise.
func (o *options) followsClient() bool {
	return !o.serverPreference && o.preset == nil && (o.expectCipher != 0 || o.expectCipherAES != 0)
}

// inOrderOf returns a config that prefers suites in the client's order.
func inOrderOf(cfg *tlscore.Config, offered []uint16) *tlscore.Config {
	var suites []uint16
	for _, id := range offered {
		if slices.Contains(supportedSuites, id) {
			suites = append(suites, id)
		}
	}
	cfg = cfg.Clone()
	cfg.CipherSuites = suites
	return cfg
}

func (c *conn) expectHello() error {
	o, hello := c.o, c.hello
	if hello == nil {
		return fmt.Errorf("%w: no ClientHello behind its event", errContract)
	}
	if o.expectNoServerName && hello.ServerName != "" {
		return mismatch("server_name", hello.ServerName, "none")
	}
	if o.expectServerName != "" && hello.ServerName != o.expectServerName {
		return mismatch("server_name", hello.ServerName, o.expectServerName)
	}
	if o.expectAdvertisedALPN != "" {
		want, err := protocolList(o.expectAdvertisedALPN)
		if err != nil || !slices.Equal(hello.ALPN, want) {
			return mismatch("protocols", hello.ALPN, want)
		}
	}
	if want := o.expectPeerVerifyPrefs; want != nil && !slices.Equal(hello.SignatureSchemes, want) {
		return mismatch("signature_algorithms", hello.SignatureSchemes, want)
	}
	return nil
}

func mismatch(what string, got, want any) error {
	return fmt.Errorf("%s: got %v, want %v", what, got, want)
}

// expectations checks what the runner expects of the connection when its
// handshake is done.
func (c *conn) expectations() error {
	cs := c.m.ConnectionState()
	for _, check := range []func(tls.ConnectionState) error{
		c.expectParameters, c.expectMessages, c.expectProtocol, c.expectPeer, c.expectStaples,
		c.expectCredential, c.expectResumption, c.expectEarlyData, c.expectTLS12Session,
	} {
		if err := check(cs); err != nil {
			return err
		}
	}
	return nil
}

func (c *conn) expectParameters(cs tls.ConnectionState) error {
	o := c.o
	if !cs.HandshakeComplete || c.m.State() != tlscore.StateConnected {
		return fmt.Errorf("%w: done in state %s", errContract, c.m.State())
	}
	if want := o.expectVersion; want != 0 && cs.Version != want {
		return mismatch("version", tls.VersionName(cs.Version), tls.VersionName(want))
	}
	for _, want := range []uint16{o.expectCipher, o.expectCipherAES} {
		if want != 0 && cs.CipherSuite != want {
			return mismatch("cipher suite", tls.CipherSuiteName(cs.CipherSuite), tls.CipherSuiteName(want))
		}
	}
	if want := o.expectCurveID; want != 0 && cs.CurveID != want {
		return mismatch("group", cs.CurveID, want)
	}
	return nil
}

func (c *conn) expectMessages(cs tls.ConnectionState) error {
	o := c.o
	retried := c.seen.clientHellos > 1
	if o.expectHRR && !retried || o.expectNoHRR && retried {
		return mismatch("HelloRetryRequest", retried, !retried)
	}
	if want := o.expectPeerSignatureAlgorithm; want != 0 && !cs.DidResume && c.seen.peerScheme != want {
		return mismatch("signature scheme of the peer", c.seen.peerScheme, want)
	}
	if o.expectExtendedMasterSecret && cs.Version == tls.VersionTLS12 && !c.seen.serverSent(extExtendedMasterSecret) {
		return errors.New("no extended_master_secret")
	}
	if o.expectSecureRenegotiation && cs.Version == tls.VersionTLS12 && !c.seen.serverSent(extRenegotiationInfo) {
		return errors.New("no renegotiation_info")
	}
	if want := o.expectClientCAList; want != nil {
		names, err := nameList(*want)
		if err != nil || !slices.EqualFunc(c.authorities, names, bytes.Equal) {
			return mismatch("authorities", c.authorities, names)
		}
	}
	return nil
}

// nameList reads the form that the runner gives names of authorities in.
func nameList(text string) (names [][]byte, err error) {
	names = [][]byte{}
	if text == "<NULL>" || text == "<EMPTY>" {
		return names, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		name, err := hex.DecodeString(part)
		if err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, nil
}

func (c *conn) expectProtocol(cs tls.ConnectionState) error {
	want := c.o.expectALPN
	if c.o.server {
		want = c.o.selectALPN
	}
	if cs.NegotiatedProtocol != want {
		return mismatch("protocol", cs.NegotiatedProtocol, want)
	}
	return nil
}

func (c *conn) expectPeer(cs tls.ConnectionState) error {
	if c.o.expectNoPeerCert && len(cs.PeerCertificates) > 0 {
		return errors.New("the peer has a certificate, and should not")
	}
	if !c.o.expectNoPeerCert && (!c.o.server || c.o.requireClientCert) && len(cs.PeerCertificates) == 0 {
		return errors.New("the peer has no certificate")
	}
	if c.o.expectPeerCertFile == "" {
		return nil
	}
	want, err := readChain(c.o.expectPeerCertFile)
	if err != nil {
		return err
	}
	if len(want) != len(cs.PeerCertificates) {
		return mismatch("length of the chain", len(cs.PeerCertificates), len(want))
	}
	for i, cert := range cs.PeerCertificates {
		if !bytes.Equal(cert.Raw, want[i]) {
			return fmt.Errorf("certificate %d is not the one expected", i)
		}
	}
	return nil
}

func (c *conn) expectStaples(cs tls.ConnectionState) error {
	if want := c.o.expectOCSPResponse; want != nil && !bytes.Equal(cs.OCSPResponse, want) {
		return mismatch("OCSP response", cs.OCSPResponse, want)
	}
	if c.o.expectSCTs == nil {
		return nil
	}
	want, err := timestampList(c.o.expectSCTs)
	if err != nil || !slices.EqualFunc(cs.SignedCertificateTimestamps, want, bytes.Equal) {
		return mismatch("timestamps", cs.SignedCertificateTimestamps, want)
	}
	return nil
}

func (c *conn) expectCredential(tls.ConnectionState) error {
	if want := c.o.expectSelectedCredential; want != nil && c.signedBy != *want {
		return mismatch("credential", c.signedBy, *want)
	}
	return nil
}

func (c *conn) expectResumption(cs tls.ConnectionState) error {
	if want := c.resuming && !c.o.expectSessionMiss; cs.DidResume != want {
		return mismatch("resumption", cs.DidResume, want)
	}
	return nil
}

// expectEarlyData checks whether early data was accepted. Why it was not, the
// machine does not tell.
func (c *conn) expectEarlyData(tls.ConnectionState) error {
	o, accepted := c.o, c.m.EarlyDataAccepted()
	accept := o.expectAcceptEarlyData || o.expectEarlyDataReason == "accept"
	reject := o.expectRejectEarlyData || o.expectEarlyDataReason != "" && o.expectEarlyDataReason != "accept"
	if accept && !accepted || reject && accepted || c.offeredEarly && !accepted && !reject {
		return mismatch("early data accepted", accepted, !accepted)
	}
	return nil
}

// expectTLS12Session checks, when a handshake of TLS 1.2 is done, whether it left
// a session behind.
func (c *conn) expectTLS12Session(cs tls.ConnectionState) error {
	o := c.o
	if !o.server && cs.Version == tls.VersionTLS12 {
		// Without extended_master_secret a session is of no use. RFC 7627, Section 5.4.
		want := !o.expectNoSession && c.seen.serverSent(extExtendedMasterSecret) && (!cs.DidResume || o.expectTicketRenewal)
		got := c.s.cache.puts > c.puts && (!cs.DidResume || c.seen.tickets > 0)
		if got != want {
			return mismatch("new session", got, want)
		}
	}
	if stored := c.s.store.puts > c.stored; !c.resuming && (o.expectSessionID && !stored || o.expectNoSessionID && stored) {
		return mismatch("session in the store", stored, !stored)
	}
	return nil
}

// maxSessionChain is how many certificates of the peer a session has room for.
const maxSessionChain = 32

// expectTLS13Session checks, when all has been read, whether the server has sent a
// ticket, and for what.
func (c *conn) expectTLS13Session() error {
	if c.o.server || c.m.ConnectionState().Version != tls.VersionTLS13 {
		return nil
	}
	cs := c.m.ConnectionState()
	want := !c.o.expectNoSession && !c.o.shimShutsDown && len(cs.PeerCertificates) <= maxSessionChain
	if got := c.s.cache.puts > c.puts; got != want {
		return mismatch("new session", got, want)
	}
	if last := c.s.cache.last; want && (last.MaxEarlyData > 0) != c.o.expectTicketSupportsEarlyData {
		return mismatch("early data of the new session", last.MaxEarlyData, c.o.expectTicketSupportsEarlyData)
	}
	return nil
}

// expectLog checks the messages of the whole connection.
func (c *conn) expectLog() error {
	want := c.o.expectMsgCallback
	if got := c.seen.log.String(); want != "" && got != withoutCCS(want) {
		return fmt.Errorf("messages: got\n%s\nwant\n%s", got, want)
	}
	return nil
}

// withoutCCS drops the lines about change_cipher_spec, which is no message, and
// which Config.Trace does not tell.
func withoutCCS(messages string) string {
	var kept strings.Builder
	for line := range strings.Lines(messages) {
		if !strings.HasSuffix(line, " ccs\n") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}
