package schedule

import (
	"encoding"
	"hash"
)

const typeMessageHash = 254

// Transcript is the running hash of the handshake messages. In TLS 1.2 it serves both Finished and the session hash of
// the extended master secret, but not CertificateVerify: the hash that is signed there is another one, over the messages
// themselves. RFC 8446, Section 4.4.1; RFC 5246, Section 7.4.9; RFC 7627, Section 3.
type Transcript struct {
	running hash.Hash
	hash    Hash
	room    [4 + MaxSize]byte // for one hash, or a message of one; a local one would be allocated each time
}

// NewTranscript returns the transcript of no messages. RFC 8446, Section 4.4.1.
func NewTranscript(h Hash) *Transcript {
	return &Transcript{running: h.New(), hash: h}
}

// Write adds a message, with its header of type and length but without record headers. A message may come in several
// pieces, and Sum be taken between them, as PSK binders need it. RFC 8446, Section 4.4.1.
func (t *Transcript) Write(msg []byte) {
	t.running.Write(msg)
}

// Sum appends the hash of what was written so far; the transcript goes on. RFC 8446, Section 4.4.1.
func (t *Transcript) Sum(dst []byte) []byte {
	return append(dst, t.running.Sum(t.room[:0])...)
}

// Clone returns a transcript that begins with what was written so far; the two go on by themselves. Authentication
// after the handshake needs it: each goes on from the end of the handshake. RFC 8446, Section 4.4.
func (t *Transcript) Clone() *Transcript {
	next := NewTranscript(t.hash)
	// Not every build of the standard library has hash.Cloner, but all have this.
	state, err := t.running.(encoding.BinaryMarshaler).MarshalBinary()
	if err == nil {
		err = next.running.(encoding.BinaryUnmarshaler).UnmarshalBinary(state)
	}
	if err != nil {
		panic("schedule: the state of a hash: " + err.Error())
	}
	return next
}

// HelloRetry replaces what was written, which is the first ClientHello, by a message that holds its hash. The
// HelloRetryRequest is written behind it. RFC 8446, Section 4.4.1.
func (t *Transcript) HelloRetry() {
	// https://www.rfc-editor.org/rfc/rfc8446#section-4.4.1
	// "when the server responds to a
	// ClientHello with a HelloRetryRequest, the value of ClientHello1 is
	// replaced with a special synthetic handshake message of handshake type
	// "message_hash" containing Hash(ClientHello1)."
	msg := append(t.room[:0], typeMessageHash, 0, 0, byte(t.hash.Size()))
	msg = t.running.Sum(msg)
	t.running.Reset()
	t.running.Write(msg)
}
