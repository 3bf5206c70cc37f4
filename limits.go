package tlscore

import (
	"errors"

	"tlscore.example/tlscore/internal/record"
)

// Limits bounds what a peer can make a machine hold, read or do. The zero value
// of a field means its default, so Limits{} is what most programs want. Every
// limit counts bytes unless it says otherwise.
type Limits struct {
	// ClientHello bounds the records of the first ClientHello, headers included,
	// since the server keeps them until it has answered, and the message of the
	// second. Default 64 KiB.
	ClientHello int
	// HandshakeMessage bounds any other handshake message. A Certificate is the
	// only large one. Default 128 KiB. A client of TLS 1.2 keeps the messages of the
	// server's first flight, six at most, until it knows whether it has to sign
	// them, and a server that asks for a certificate those of the handshake.
	HandshakeMessage int
	// Output bounds what Write may fill the output buffer to. Flights, KeyUpdate
	// answers and alerts are queued whatever it says, and until they are sent
	// leave less room for Write.
	// Default 64 KiB; the smallest is room for one record of one byte.
	Output int
	// SkippedEarlyData bounds the early data that a server passes over when it
	// does not accept early data, as it stands on the wire without record
	// headers; an empty record counts as one byte. RFC 8446, Section 4.2.10.
	// Config.MaxEarlyData comes on top. Default 32 KiB.
	SkippedEarlyData int
	// EarlyData bounds the early data that a client may write, since all of it is kept
	// until the server has decided about it. Default 16 KiB.
	EarlyData int
	// KeyRecords bounds the records sealed under one key, if that is less than
	// what the cipher allows (RFC 8446, Section 5.5). The machine sends a
	// KeyUpdate before it is reached; in TLS 1.2, which has none, writing fails with
	// [ReasonKeysExhausted]. Default 0, which leaves the cipher's own.
	// It must be 0 or at least 2, since the KeyUpdate is a record too. Handshake
	// messages that belong together and need more records than that are sealed
	// under one key all the same.
	KeyRecords uint64
}

const (
	defaultClientHello      = 64 << 10
	defaultHandshakeMessage = 128 << 10
	defaultOutput           = 64 << 10
	defaultSkippedEarlyData = 32 << 10
	defaultEarlyData        = 16 << 10

	// maxWarnings bounds the warnings in a row that are dropped: alerts of level
	// warning in TLS 1.2 and while the version is not known, and user_canceled.
	maxWarnings = 4
	// maxKeyUpdates bounds the KeyUpdates in a row without application data.
	maxKeyUpdates = 32
	// maxEmptyRecords bounds the empty application data records in a row.
	maxEmptyRecords = 32
	// maxChangeCipherSpecs bounds the compatibility ChangeCipherSpec records of
	// one handshake. An honest peer sends one.
	maxChangeCipherSpecs = 32
	// maxSessionTickets bounds the NewSessionTicket messages in a row without
	// application data.
	maxSessionTickets = 32
	// maxCertificateRequests bounds the requests for a certificate behind the
	// handshake in a row without application data, and the answers to such requests
	// that the output holds.
	maxCertificateRequests = 8
	// maxEpoch bounds the KeyUpdates that one side may send.
	//
	//	"To provide an extra margin of security, sending implementations MUST
	//	NOT allow the epoch -- and hence the number of key updates --
	//	to exceed 2^48-1."
	//
	// RFC 9846, Section 4.7.3.
	maxEpoch = 1<<48 - 1
)

// withDefaults returns l with its zero fields filled in.
func (l Limits) withDefaults() Limits {
	set := func(field *int, def int) {
		if *field == 0 {
			*field = def
		}
	}
	set(&l.ClientHello, defaultClientHello)
	set(&l.HandshakeMessage, defaultHandshakeMessage)
	set(&l.Output, defaultOutput)
	set(&l.SkippedEarlyData, defaultSkippedEarlyData)
	set(&l.EarlyData, defaultEarlyData)
	return l
}

// check returns l with its defaults, or says what cannot work.
func (l Limits) check() (Limits, error) {
	l = l.withDefaults()
	switch {
	case l.ClientHello < 0 || l.HandshakeMessage < 0 || l.Output < 0 || l.SkippedEarlyData < 0 || l.EarlyData < 0:
		return l, errors.New("a limit is negative")
	case l.Output < record.MaxOverhead+1:
		return l, errors.New("Limits.Output leaves no room for a record")
	case l.KeyRecords == 1:
		return l, errors.New("Limits.KeyRecords leaves no room for a KeyUpdate")
	}
	return l, nil
}
