package wire

import "strconv"

// An ErrorKind is the kind of rule that bytes break.
type ErrorKind uint8

// The kinds of errors.
const (
	// Malformed is what does not fit the syntax: it is truncated, has a length
	// out of range, or has bytes left over.
	// RFC 8446, Section 6.2 (decode_error).
	Malformed ErrorKind = iota + 1
	// DuplicateExtension is a second extension of one type in one block.
	// RFC 8446, Section 4.2.
	DuplicateExtension
	// MisplacedExtension is a known extension in a message in which it may not stand.
	// RFC 8446, Section 4.2.
	MisplacedExtension
	// Inconsistent is well-formed, but its parts contradict each other: as many
	// binders as identities are needed, and pre_shared_key has to be last.
	// RFC 8446, Section 4.2.11.
	Inconsistent
)

func (k ErrorKind) String() string {
	switch k {
	case Malformed:
		return "malformed"
	case DuplicateExtension:
		return "duplicate extension"
	case MisplacedExtension:
		return "misplaced extension"
	case Inconsistent:
		return "inconsistent"
	}
	return "ErrorKind(" + strconv.Itoa(int(k)) + ")"
}

// A MessageKind is a message as the codec tells them apart: finer than
// HandshakeType, since a ServerHello has three forms, and other messages one in
// each version.
type MessageKind uint8

// The messages that this package knows. Those before KindCertificateVerify
// hold extensions.
const (
	KindClientHello   MessageKind = iota + 1
	KindServerHello               // also before it is known which form it is
	KindServerHello12             // a ServerHello without supported_versions
	KindHelloRetryRequest
	KindEncryptedExtensions
	KindCertificate
	KindCertificateRequest
	KindNewSessionTicket
	KindCertificateVerify
	KindFinished
	KindKeyUpdate
	KindEndOfEarlyData
	KindHelloRequest
	KindCertificate12
	KindCertificateStatus
	KindServerKeyExchange
	KindCertificateRequest12
	KindServerHelloDone
	KindClientKeyExchange
	KindNewSessionTicket12
)

var messageKindNames = [...]string{
	KindClientHello:          "ClientHello",
	KindServerHello:          "ServerHello",
	KindServerHello12:        "ServerHello (TLS 1.2)",
	KindHelloRetryRequest:    "HelloRetryRequest",
	KindEncryptedExtensions:  "EncryptedExtensions",
	KindCertificate:          "Certificate",
	KindCertificateRequest:   "CertificateRequest",
	KindNewSessionTicket:     "NewSessionTicket",
	KindCertificateVerify:    "CertificateVerify",
	KindFinished:             "Finished",
	KindKeyUpdate:            "KeyUpdate",
	KindEndOfEarlyData:       "EndOfEarlyData",
	KindHelloRequest:         "HelloRequest",
	KindCertificate12:        "Certificate (TLS 1.2)",
	KindCertificateStatus:    "CertificateStatus",
	KindServerKeyExchange:    "ServerKeyExchange",
	KindCertificateRequest12: "CertificateRequest (TLS 1.2)",
	KindServerHelloDone:      "ServerHelloDone",
	KindClientKeyExchange:    "ClientKeyExchange",
	KindNewSessionTicket12:   "NewSessionTicket (TLS 1.2)",
}

func (k MessageKind) String() string {
	if int(k) < len(messageKindNames) && messageKindNames[k] != "" {
		return messageKindNames[k]
	}
	return "MessageKind(" + strconv.Itoa(int(k)) + ")"
}

// An Error says why bytes are not a message.
type Error struct {
	Kind         ErrorKind
	Message      MessageKind
	Extension    ExtensionType // the extension it is about
	HasExtension bool          // whether it is about one
	Field        string        // the field as the RFC names it, or ""
}

func (e *Error) Error() string {
	s := "wire: " + e.Message.String() + ": " + e.Kind.String()
	if e.HasExtension {
		s += " " + e.Extension.String()
	}
	if e.Field != "" {
		s += " (" + e.Field + ")"
	}
	return s
}

func malformed(in MessageKind, field string) error {
	return &Error{Kind: Malformed, Message: in, Field: field}
}

func extensionError(k ErrorKind, in MessageKind, t ExtensionType) error {
	return &Error{Kind: k, Message: in, Extension: t, HasExtension: true}
}
