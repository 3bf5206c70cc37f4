package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"tlscore.example/tlscore"
)

// printable escapes what would not stay in its line, or would do something to a
// terminal: the names in a certificate, which an error may quote, are the peer's choice.
func printable(s string) string {
	var out strings.Builder
	for _, r := range s {
		if unicode.IsPrint(r) {
			out.WriteRune(r)
		} else {
			out.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	return out.String()
}

// messageText names a handshake message or an alert for people.
func messageText(msg tlscore.TraceMessage) string {
	if msg.Alert {
		if len(msg.Body) != 2 {
			return fmt.Sprintf("malformed alert, %d bytes", len(msg.Body))
		}
		a := tlscore.Alert(msg.Body[1])
		return fmt.Sprintf("alert %s (%d)", a, uint8(a))
	}
	return fmt.Sprintf("%s, %d bytes", messageName(msg.Body), len(msg.Body))
}

// messageNames has the handshake types. RFC 8446, Section 4; RFC 5246, Section 7.4;
// RFC 6066, Section 8.
var messageNames = map[byte]string{
	0:  "HelloRequest",
	1:  "ClientHello",
	2:  "ServerHello",
	4:  "NewSessionTicket",
	5:  "EndOfEarlyData",
	8:  "EncryptedExtensions",
	11: "Certificate",
	12: "ServerKeyExchange",
	13: "CertificateRequest",
	14: "ServerHelloDone",
	15: "CertificateVerify",
	16: "ClientKeyExchange",
	20: "Finished",
	22: "CertificateStatus",
	24: "KeyUpdate",
}

// messageName names a handshake message by its first bytes.
func messageName(msg []byte) string {
	if len(msg) == 0 {
		return "empty message"
	}
	if isHelloRetryRequest(msg) {
		return "HelloRetryRequest"
	}
	if name, ok := messageNames[msg[0]]; ok {
		return name
	}
	return fmt.Sprintf("message of type %d", msg[0])
}

// isHelloRetryRequest tells a HelloRetryRequest from the ServerHello that it
// pretends to be, by its random. RFC 8446, Section 4.1.3.
func isHelloRetryRequest(msg []byte) bool {
	const random = 4 + 2 // header, legacy_version
	mark := sha256.Sum256([]byte("HelloRetryRequest"))
	return msg[0] == 2 && len(msg) >= random+32 && bytes.Equal(msg[random:random+32], mark[:])
}
