package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tlscore.example/tlscore"
)

// observed is what has been seen of a connection so far.
type observed struct {
	hello       *tlscore.ClientHello // a server's, if it was shown
	done        bool                 // the handshake is complete
	ended       bool                 // the peer's direction has ended
	truncated   bool                 // without close_notify
	closedWrite bool                 // our own close_notify was asked for
	data        []byte               // application data that came, not yet dealt with
	messages    strings.Builder      // what -expect-msg-callback wants to see
	clientHello int                  // how many were sent or received
	signedBy    int                  // the number of the credential that signed
}

// observe notes what an event says.
func (c *conn) observe(ev tlscore.Event) error {
	switch ev.Kind {
	case tlscore.EventHandshakeDone:
		c.done = true
	case tlscore.EventData:
		if !c.done {
			return fmt.Errorf("%w: %s inside the handshake", errContract, ev)
		}
		c.data = append(c.data, ev.Data...)
	case tlscore.EventClosed:
		c.ended, c.truncated = true, ev.Truncated
	}
	return nil
}

// trace is the Config.Trace of the machine.
func (c *conn) trace(msg tlscore.TraceMessage) {
	direction := "read"
	if msg.Sent {
		direction = "write"
	}
	if msg.Alert {
		fmt.Fprintf(&c.messages, "%s alert %d %d\n", direction, msg.Body[0], msg.Body[1])
		return
	}
	fmt.Fprintf(&c.messages, "%s hs %d\n", direction, msg.Body[0])
	const clientHello = 1
	if msg.Body[0] == clientHello {
		c.clientHello++
	}
}

// looksAtHello reports whether the test wants to see the ClientHello.
func (o *options) looksAtHello() bool {
	return o.useEarlyCallback || o.failEarlyCallback || o.installDDoSCallback || o.failDDoSCallback ||
		o.expectServerName != "" || o.expectNoServerName || o.expectAdvertisedALPN != "" || o.expectPeerVerifyPrefs != nil
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
	return c.m.Accept(c.cfg)
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
	for _, check := range []func(tls.ConnectionState) error{
		c.expectParameters, c.expectProtocol, c.expectPeer, c.expectRetry, c.expectCredential,
	} {
		if err := check(c.m.ConnectionState()); err != nil {
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
	if !c.o.expectNoPeerCert && !c.o.server && len(cs.PeerCertificates) == 0 {
		return errors.New("the server has no certificate")
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

func (c *conn) expectRetry(tls.ConnectionState) error {
	retried := c.clientHello > 1
	if c.o.expectHRR && !retried || c.o.expectNoHRR && retried {
		return mismatch("HelloRetryRequest", retried, !retried)
	}
	return nil
}

func (c *conn) expectCredential(tls.ConnectionState) error {
	if want := c.o.expectSelectedCredential; want != nil && c.signedBy != *want {
		return mismatch("credential", c.signedBy, *want)
	}
	return nil
}

// lateExpectations checks what can be known at the end only.
func (c *conn) lateExpectations() error {
	want := c.o.expectMsgCallback
	if want == "" {
		return nil
	}
	if got := c.messages.String(); got != withoutCCS(want) {
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

// describe is what stderr gets of an error: first a token for the runner to look
// for, the name of the reason or the number of the peer's alert, then all of it.
func describe(err error) string {
	var protocol *tlscore.ProtocolError
	var local *tlscore.LocalError
	var alert *tlscore.RemoteAlert
	token := ""
	switch {
	case errors.As(err, &alert):
		token = fmt.Sprintf(":alert %d: ", uint8(alert.Alert))
	case errors.As(err, &protocol):
		token = fmt.Sprintf(":%s: ", protocol.Reason)
	case errors.As(err, &local):
		token = fmt.Sprintf(":%s: ", local.Reason)
	}
	return token + err.Error()
}
