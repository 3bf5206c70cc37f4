package record

import (
	"encoding/binary"
	"strconv"
)

// Lengths of records. RFC 8446, Sections 5.1 and 5.2; RFC 5246, Sections 6.2.1 and 6.2.3.
const (
	HeaderLen       = 5            // type, version and length
	MaxPlaintext    = 1 << 14      // the content of one record
	MaxInner        = 1<<14 + 1    // TLSInnerPlaintext: content, type and padding
	MaxCiphertext   = 1<<14 + 256  // the length field of a protected record of TLS 1.3
	MaxCiphertext12 = 1<<14 + 2048 // the length field of a protected record of TLS 1.2
)

// VersionTLS12 is the version that every header carries, in TLS 1.2 and in TLS 1.3, except where an initial ClientHello
// uses 0x0301. RFC 8446, Section 5.1.
const VersionTLS12 = 0x0303

// ContentType says which protocol a record carries. Values that have no name here are kept as they came.
// RFC 8446, Section 5.1.
type ContentType uint8

const (
	TypeChangeCipherSpec ContentType = 20
	TypeAlert            ContentType = 21
	TypeHandshake        ContentType = 22
	TypeApplicationData  ContentType = 23
)

func (t ContentType) String() string {
	switch t {
	case TypeChangeCipherSpec:
		return "change_cipher_spec"
	case TypeAlert:
		return "alert"
	case TypeHandshake:
		return "handshake"
	case TypeApplicationData:
		return "application_data"
	}
	return "ContentType(" + strconv.Itoa(int(t)) + ")"
}

// Header is the start of every record, protected or not. Nothing in it has been judged: the version must be ignored,
// and the limit on Length depends on whether the record is protected. RFC 8446, Section 5.1.
//
//	struct {
//	    ContentType type;
//	    ProtocolVersion legacy_record_version;
//	    uint16 length;
//	    opaque fragment[TLSPlaintext.length];
//	} TLSPlaintext;
type Header struct {
	Type    ContentType
	Version uint16
	Length  int // of what follows the header
}

// ParseHeader reads the header at the start of b, which has at least HeaderLen bytes. RFC 8446, Section 5.1.
func ParseHeader(b []byte) Header {
	b = b[:HeaderLen]
	return Header{
		Type:    ContentType(b[0]),
		Version: binary.BigEndian.Uint16(b[1:]),
		Length:  int(binary.BigEndian.Uint16(b[3:])),
	}
}

// AppendHeader appends a header; length counts what will follow it. RFC 8446, Section 5.1.
func AppendHeader(b []byte, t ContentType, version uint16, length int) []byte {
	if length < 0 || length > MaxCiphertext {
		panic("record: length does not fit a record")
	}
	return append(b, byte(t), byte(version>>8), byte(version), byte(length>>8), byte(length))
}

// AppendPlaintext appends a record without protection. The caller has cut the fragment to at most MaxPlaintext bytes.
// RFC 8446, Section 5.1.
func AppendPlaintext(b []byte, t ContentType, version uint16, fragment []byte) []byte {
	// https://www.rfc-editor.org/rfc/rfc8446#section-5.1
	// "The length MUST NOT exceed 2^14 bytes."
	if len(fragment) > MaxPlaintext {
		panic("record: fragment longer than a record")
	}
	b = AppendHeader(b, t, version, len(fragment))
	return append(b, fragment...)
}
