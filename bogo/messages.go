package main

import (
	"crypto/tls"
	"fmt"
	"strings"

	"golang.org/x/crypto/cryptobyte"

	"tlscore.example/tlscore"
)

// messages is what Config.Trace has shown.
type messages struct {
	log          strings.Builder     // as -expect-msg-callback wants it
	clientHellos int                 // sent or received
	tickets      int                 // NewSessionTicket messages received
	serverHello  []byte              // the last one
	peerScheme   tls.SignatureScheme // of the peer's signature
}

// The handshake types and extensions that are looked at. RFC 8446, Section 4;
// RFC 5077; RFC 7627; RFC 5746.
const (
	typeClientHello       = 1
	typeServerHello       = 2
	typeNewSessionTicket  = 4
	typeServerKeyExchange = 12
	typeCertificateVerify = 15

	extExtendedMasterSecret = 23
	extSessionTicket        = 35
	extRenegotiationInfo    = 0xff01
)

// trace is the Config.Trace of the machine.
func (c *conn) trace(msg tlscore.TraceMessage) {
	s := &c.seen
	direction := "read"
	if msg.Sent {
		direction = "write"
	}
	if msg.Alert {
		fmt.Fprintf(&s.log, "%s alert %d %d\n", direction, msg.Body[0], msg.Body[1])
		return
	}
	fmt.Fprintf(&s.log, "%s hs %d\n", direction, msg.Body[0])
	body := cryptobyte.String(msg.Body[4:])
	switch msg.Body[0] {
	case typeClientHello:
		s.clientHellos++
	case typeServerHello:
		s.serverHello = append([]byte(nil), body...)
	case typeNewSessionTicket:
		// A lifetime and an empty ticket are none. RFC 5077, Section 3.3.
		if !msg.Sent && len(body) > 4+2 {
			s.tickets++
		}
	case typeServerKeyExchange:
		// curve_type and namedcurve, then the point. RFC 8422, Section 5.4.
		var point cryptobyte.String
		if !msg.Sent && body.Skip(3) && body.ReadUint8LengthPrefixed(&point) {
			s.noteScheme(body)
		}
	case typeCertificateVerify:
		if !msg.Sent {
			s.noteScheme(body)
		}
	}
}

// noteScheme notes the SignatureScheme that a DigitallySigned begins with.
func (s *messages) noteScheme(signed cryptobyte.String) {
	var scheme uint16
	if signed.ReadUint16(&scheme) {
		s.peerScheme = tls.SignatureScheme(scheme)
	}
}

// serverSent reports whether the ServerHello has the extension. RFC 5246, Section
// 7.4.1.3.
func (s *messages) serverSent(want uint16) bool {
	hello := cryptobyte.String(s.serverHello)
	var sessionID, extensions, data cryptobyte.String
	if !hello.Skip(2+32) || !hello.ReadUint8LengthPrefixed(&sessionID) || !hello.Skip(2+1) ||
		!hello.ReadUint16LengthPrefixed(&extensions) {
		return false
	}
	for !extensions.Empty() {
		var id uint16
		if !extensions.ReadUint16(&id) || !extensions.ReadUint16LengthPrefixed(&data) {
			return false
		}
		if id == want {
			return true
		}
	}
	return false
}
