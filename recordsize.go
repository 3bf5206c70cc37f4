package tlscore

import (
	"crypto/tls"

	"tlscore.example/tlscore/internal/record"
	"tlscore.example/tlscore/internal/wire"
)

// How content is cut into records: the size that the peer wants them to have
// (RFC 8449), and the padding that hides lengths (RFC 8446, Section 5.4).

// minRecordSizeLimit is the smallest record_size_limit. RFC 8449, Section 4.
const minRecordSizeLimit = 64

// ownRecordSizeLimit is the longest plaintext of a protected record that is
// accepted: content, type and padding. TLS 1.2 has but content.
func (c *Config) ownRecordSizeLimit(version uint16) uint16 {
	most := uint16(record.MaxInner)
	if version == tls.VersionTLS12 {
		most = record.MaxPlaintext
	}
	if c.RecordSizeLimit == 0 {
		return most
	}
	return min(most, c.RecordSizeLimit)
}

// agreeRecordSize keeps to what the two sides have said in record_size_limit, if both
// have. A limit below 64 is illegal, and so is one of a server that is above what the
// version allows. RFC 8449, Section 4.
func (m *Machine) agreeRecordSize(both bool, theirs uint16) error {
	if !both {
		return nil
	}
	unlimited := new(Config).ownRecordSizeLimit(m.conn.version)
	if theirs < minRecordSizeLimit || m.client != nil && theirs > unlimited {
		return violationf(ReasonBadRecordSizeLimit, "%d", theirs)
	}
	m.in.maxInner = m.cfg.ownRecordSizeLimit(m.conn.version)
	if m.in.key.Keyed() {
		m.in.key.SetMaxInner(int(m.in.maxInner))
	}
	content := int(min(theirs, unlimited))
	if m.conn.version == tls.VersionTLS13 {
		content-- // the content type
	}
	m.out.lock()
	defer m.out.unlock()
	m.out.maxContent = uint16(content)
	return nil
}

// seal appends one protected record to b.
func (s *sender) seal(b []byte, t record.ContentType, content []byte) []byte {
	return s.key.SealPadded(b, t, content, s.padding(len(content)))
}

// pads reports whether records are padded.
func (s *sender) pads() bool { return s.env.padding > 1 && s.key.Pads() }

// padding returns how many bytes of padding a record with n bytes of content gets.
func (s *sender) padding(n int) int {
	if !s.pads() {
		return 0
	}
	pad, inner := s.env.padding, n+1 // with its type
	return min((pad-inner%pad)%pad, int(s.maxContent)-n)
}

// sealedSize returns how long a record with n bytes of content is.
func (s *sender) sealedSize(n int) int { return n + s.padding(n) + s.key.Overhead() }

// fit returns how many of n bytes go into one record that is no longer than room;
// 0 or less when it has no room for any.
func (s *sender) fit(n, room int) int {
	n = min(n, s.recordLen())
	if s.sealedSize(n) <= room {
		return n
	}
	free := room - s.key.Overhead()
	if s.pads() {
		// Content and type have to end where the padding would.
		free = (free+1)/s.env.padding*s.env.padding - 1
	}
	return min(n, free)
}

// keyUpdateSize is the length of a KeyUpdate in a record of its own.
func (s *sender) keyUpdateSize() int { return s.sealedSize(wire.HeaderLen + 1) }
