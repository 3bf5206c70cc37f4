package schedule

import (
	"encoding/binary"
	"errors"
)

// Why keying material is not exported. Export returns these values themselves; but for the last one, they are misuse by
// the application.
var (
	// ErrExportLabel means that the label is longer than 249 bytes, one that TLS itself uses, or, in TLS 1.3, empty.
	// RFC 5705, Section 4; RFC 8446, Section 7.1.
	ErrExportLabel = errors.New("schedule: exporter label too long, reserved, or empty in TLS 1.3")

	// ErrExportContext means that the context exceeds the 65535 bytes of RFC 5705, Section 4.
	ErrExportContext = errors.New("schedule: exporter context too long")

	// ErrExportLength means that the length asked for is negative, or exceeds MaxExport bytes. RFC 8446, Section 7.1.
	ErrExportLength = errors.New("schedule: exported length out of range")

	// ErrExportNotExtended means that the connection has no extended master secret. RFC 7627, Section 5.4.
	ErrExportNotExtended = errors.New("schedule: no export without the extended master secret")
)

// MaxExport is how many bytes one Export gives at most: as many as HKDF with SHA-256 can. RFC 5869, Section 2.3.
const MaxExport = 255 * 32

// maxLabel is the longest label of HKDF-Expand-Label. RFC 8446, Section 7.1.
const maxLabel = 255 - len(labelPrefix)

// checkExport applies the same limits in both versions, so that what an application asks for does not depend on which
// was negotiated, but for the empty label: TLS 1.2 has always had it.
func checkExport(label string, context []byte, n int) error {
	switch label {
	// In TLS 1.2 these would give the application what the handshake keeps to itself. RFC 5705, Section 4.
	case labelMaster, labelExtendedMaster, labelKeys, labelClientFinished, labelServerFinished:
		return ErrExportLabel
	}
	switch {
	case len(label) > maxLabel:
		return ErrExportLabel
	case len(context) > 1<<16-1:
		return ErrExportContext
	case n < 0 || n > MaxExport:
		return ErrExportLength
	}
	return nil
}

// Export returns n bytes of keying material for the application. No context is the same as an empty one. The errors are
// ErrExportLabel, ErrExportContext and ErrExportLength. RFC 8446, Section 7.5.
func (s *ExporterSecret) Export(label string, context []byte, n int) ([]byte, error) {
	// HkdfLabel has "opaque label<7..255> = "tls13 " + Label". RFC 8446, Section 7.1.
	if label == "" {
		return nil, ErrExportLabel
	}
	if err := checkExport(label, context, n); err != nil {
		return nil, err
	}
	// https://www.rfc-editor.org/rfc/rfc8446#section-7.5
	// "TLS-Exporter(label, context_value, key_length) =
	// HKDF-Expand-Label(Derive-Secret(Secret, label, ""),
	// "exporter", Hash(context_value), key_length)"
	derived := s.derive(label, s.hash.empty())
	var sum [MaxSize]byte
	s.hash.sum(&sum, context)
	out := make([]byte, n)
	ExpandLabel(s.hash, derived.Bytes(), "exporter", sum[:s.hash.Size()], out)
	derived.Wipe()
	return out, nil
}

// Exporter12 is what exported keying material comes from in TLS 1.2. RFC 5705, Section 4.
type Exporter12 struct {
	master MasterSecret
	seed   [2 * RandomLen]byte // client random, server random
}

// Exporter keeps what Export needs, a copy of the secret included.
func (m *MasterSecret) Exporter(clientRandom, serverRandom *[RandomLen]byte) (e Exporter12) {
	e.master = *m
	copy(e.seed[:], clientRandom[:])
	copy(e.seed[RandomLen:], serverRandom[:])
	return e
}

// Export returns n bytes of keying material for the application. An empty context is not the same as none, which is
// nil. The errors are ErrExportLabel, ErrExportContext, ErrExportLength and ErrExportNotExtended. RFC 5705, Section 4.
func (e *Exporter12) Export(label string, context []byte, n int) ([]byte, error) {
	if err := checkExport(label, context, n); err != nil {
		return nil, err
	}
	// https://www.rfc-editor.org/rfc/rfc7627#section-5.4
	// "Hence, the client or server MUST NOT
	// export any key material based on the new master secret for any
	// subsequent application-level authentication.  In particular, it MUST
	// disable [RFC5705]"
	if !e.master.extended {
		return nil, ErrExportNotExtended
	}
	out := make([]byte, n)
	if context == nil {
		prf(e.master.hash, e.master.b[:], label, out, e.seed[:])
		return out, nil
	}
	var length [2]byte
	binary.BigEndian.PutUint16(length[:], uint16(len(context)))
	prf(e.master.hash, e.master.b[:], label, out, e.seed[:], length[:], context)
	return out, nil
}

// Wipe clears the secret, and ends all exports.
func (e *Exporter12) Wipe() { *e = Exporter12{} }
