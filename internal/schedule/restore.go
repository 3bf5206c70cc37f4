package schedule

import (
	"encoding"
	"errors"
)

// What secrets and transcripts become when a connection is kept as bytes, and back. The bytes are as secret as what they
// hold.

// errRestore means that the bytes are not what was written.
var errRestore = errors.New("schedule: malformed state")

// RestoreSecret returns the secret of hash h with these bytes, which it copies. It fails when there are not as many as the
// hash has. RFC 8446, Section 7.1.
func RestoreSecret(h Hash, b []byte) (s Secret, err error) {
	if len(b) != h.Size() {
		return s, errRestore
	}
	s.hash = h
	copy(s.b[:], b)
	return s, nil
}

// Exporter12Len is the length of an Exporter12: whether the secret is extended, the secret, the randoms.
const Exporter12Len = 1 + MasterSecretLen + 2*RandomLen

// AppendBinary appends e, in the form that RestoreExporter12 reads.
func (e *Exporter12) AppendBinary(b []byte) []byte {
	extended := byte(0)
	if e.master.extended {
		extended = 1
	}
	b = append(b, extended)
	b = append(b, e.master.b[:]...)
	return append(b, e.seed[:]...)
}

// RestoreExporter12 returns the exporter of hash h that AppendBinary has written.
func RestoreExporter12(h Hash, b []byte) (*Exporter12, error) {
	if len(b) != Exporter12Len || b[0] > 1 {
		return nil, errRestore
	}
	e := &Exporter12{master: MasterSecret{hash: h, extended: b[0] == 1}}
	copy(e.master.b[:], b[1:])
	copy(e.seed[:], b[1+MasterSecretLen:])
	return e, nil
}

// KeyBlock is that of the connection, as [MasterSecret.KeyBlock] has derived it in the handshake: an exporter has all
// that it comes from. RFC 5246, Section 6.3.
func (e *Exporter12) KeyBlock(keyLen, ivLen int) KeyBlock {
	return e.master.KeyBlock((*[RandomLen]byte)(e.seed[:RandomLen]), (*[RandomLen]byte)(e.seed[RandomLen:]), keyLen, ivLen)
}

// Extended reports whether the secret is bound to its handshake. RFC 7627.
func (e *Exporter12) Extended() bool { return e.master.extended }

// AppendBinary appends the state of the transcript, in the form that RestoreTranscript reads.
func (t *Transcript) AppendBinary(b []byte) []byte {
	state, err := t.running.(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil {
		panic("schedule: the state of a hash: " + err.Error())
	}
	return append(b, state...)
}

// RestoreTranscript returns the transcript of hash h that AppendBinary has written.
func RestoreTranscript(h Hash, b []byte) (*Transcript, error) {
	t := NewTranscript(h)
	if t.running.(encoding.BinaryUnmarshaler).UnmarshalBinary(b) != nil {
		return nil, errRestore
	}
	return t, nil
}
