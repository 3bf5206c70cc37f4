package tlscore

import (
	"crypto/tls"
	"errors"

	"tlscore.example/tlscore/internal/record"
	"tlscore.example/tlscore/internal/schedule"
	"tlscore.example/tlscore/internal/wire"
)

// The legacy_record_version of plaintext records: "an initial ClientHello SHOULD
// have version 0x0301", everything else 0x0303. RFC 9846, Section 5.1.
const (
	recordVersionInitial = uint16(wire.VersionTLS10)
	recordVersion        = uint16(wire.VersionTLS12)
)

// receiver is the receiving half of a machine: the key that records are opened
// with, and the handshake message that is being put together.
type receiver struct {
	key     record.Protection // without a key while records come in the clear
	data    []byte            // of the EventData that is due
	partial *partial          // nil while there are no handshake bytes

	maxInner  uint16 // of protected records, from record_size_limit; 0 for the protocol's own
	skipEarly bool   // early data may still come and is passed over
	first     bool   // no record was seen yet
	opened    bool   // a record was opened under the current key
	eof       bool   // the transport has ended

	// How many of each came in a row; see limits.go.
	warnings, emptyRecords, keyUpdates, tickets, changeCipherSpecs, certificateRequests uint8
}

// partial has the handshake bytes that were received and not handled.
type partial struct {
	// rest are the bytes. Within one Step it may point into the caller's memory;
	// save moves it to buf.
	rest []byte
	buf  []byte
}

// rest returns the handshake bytes that were received and not handled.
func (in *receiver) rest() []byte {
	if in.partial == nil {
		return nil
	}
	return in.partial.rest
}

// save moves the handshake bytes that are left into memory of our own, since
// the caller's is the caller's again. Without any, no memory is kept.
func (in *receiver) save(a Allocator) {
	if in.partial != nil {
		in.savePartial(a)
	}
}

func (in *receiver) savePartial(a Allocator) {
	if len(in.partial.rest) == 0 {
		in.releaseBuffer(a)
		return
	}
	in.partial.save(a)
}

func (p *partial) save(a Allocator) {
	if p.owns(p.rest) {
		return
	}
	rest := p.rest
	p.buf = append(p.room(a, len(rest)), rest...)
	p.rest = p.buf
}

// owns reports whether b is part of buf.
func (p *partial) owns(b []byte) bool {
	return cap(p.buf) > 0 && cap(b) > 0 && &p.buf[:cap(p.buf)][cap(p.buf)-1] == &b[:cap(b)][cap(b)-1]
}

// room returns the empty buffer with capacity for n bytes.
func (p *partial) room(a Allocator, n int) []byte {
	if cap(p.buf) < n {
		wipe(a, p.buf[:cap(p.buf)])
		p.buf = enlarge(a, nil, n)
	}
	return p.buf[:0]
}

// join puts content behind the handshake bytes that are left.
func (in *receiver) join(a Allocator, content []byte) {
	if in.partial == nil {
		in.partial = new(partial)
	}
	p := in.partial
	if len(p.rest) == 0 {
		p.release(a)
		p.rest = content
		return
	}
	p.save(a)
	need := len(p.rest) + len(content)
	if need > cap(p.rest) {
		old := p.buf
		p.buf = enlarge(a, p.rest, need)
		wipe(a, old[:cap(old)]) // rest has grown behind its length
		p.rest = p.buf
	}
	p.rest = append(p.rest, content...)
}

// release clears the buffer, which held decrypted messages.
func (p *partial) release(a Allocator) {
	wipe(a, p.buf[:cap(p.buf)])
	p.buf, p.rest = nil, nil
}

// releaseBuffer drops the handshake bytes.
func (in *receiver) releaseBuffer(a Allocator) {
	if in.partial != nil {
		in.partial.release(a)
		in.partial = nil
	}
}

// setKey changes the key that records are opened with.
//
//	"Implementations MUST verify that all messages immediately preceding a key
//	change align with a record boundary; if not, then they MUST terminate the
//	connection with an "unexpected_message" alert."
//
// https://www.rfc-editor.org/rfc/rfc8446#section-5.1
func (in *receiver) setKey(key record.Protection) error {
	if err := in.aligned(); err != nil {
		key.Wipe()
		return err
	}
	if in.maxInner != 0 {
		key.SetMaxInner(int(in.maxInner))
	}
	in.key.Wipe()
	in.key, in.opened = key, false
	return nil
}

// aligned returns an error when bytes are left behind the message at hand.
func (in *receiver) aligned() error {
	if len(in.rest()) > 0 {
		return violation(ReasonKeyChangeAlignment)
	}
	return nil
}

// install opens what follows with keys derived from secret.
func (in *receiver) install(suite *cipherSuite, secret *schedule.TrafficSecret) error {
	key, err := suite.protection(secret)
	if err != nil {
		return failure(ReasonKeyGeneration, err)
	}
	return in.setKey(key)
}

// endReceiving clears what the receiving direction has.
func (m *Machine) endReceiving() {
	m.in.key.Wipe()
	m.out.forget(receivingSecret)
	m.in.releaseBuffer(m.env().allocator)
	m.dropRefused()
	m.in.data = nil
	if m.conn.more != nil {
		m.conn.more.post = nil
	}
	m.endTicketing()
}

// takeMessage gives the next whole handshake message to its rule, if there is
// one. Messages that are not expected, or too long, are refused before they are
// put together.
func (m *Machine) takeMessage() bool {
	if m.in.partial == nil {
		return false
	}
	t, length, ok := wire.Header(m.in.partial.rest)
	if !ok {
		return false
	}
	if !m.expects(t) {
		m.fail(violationf(ReasonUnexpectedMessage, "%s", t))
		return true
	}
	size := wire.HeaderLen + length
	if err := m.checkSize(t, size); err != nil {
		m.fail(err)
		return true
	}
	p := m.in.partial
	if len(p.rest) < size {
		return false
	}
	msg := p.rest[:size:size]
	p.rest = p.rest[size:]
	m.in.warnings = 0
	m.tell(TraceMessage{Body: msg})
	m.step(messageInput(t, msg[wire.HeaderLen:]), msg)
	return true
}

// checkSize refuses messages that are longer than the limits allow.
func (m *Machine) checkSize(t wire.HandshakeType, size int) error {
	if t == wire.TypeClientHello && size > m.env().limits.ClientHello {
		return violationf(ReasonClientHelloTooLarge, "%d bytes", size)
	}
	if t != wire.TypeClientHello && size > m.env().limits.HandshakeMessage {
		return violationf(ReasonMessageTooLarge, "%s of %d bytes", t, size)
	}
	return nil
}

// expects reports whether the state has a rule for a message of this type.
func (m *Machine) expects(t wire.HandshakeType) bool {
	in := messageInput(t, nil)
	if m.find(in) != nil {
		return true
	}
	return in == inputServerHello && m.find(inputHelloRetryRequest) != nil
}

// tell calls Config.Trace for what was received or emitted.
func (m *Machine) tell(msg TraceMessage) {
	busy := m.busy
	m.busy = true
	m.out.lock()
	m.out.tell(msg)
	m.out.unlock()
	m.busy = busy
}

// tracePanic returns the failure that a panic of Config.Trace is.
func (m *Machine) tracePanic() error {
	if m.env().trace == nil {
		return nil
	}
	return m.adoptTracePanic()
}

func (m *Machine) adoptTracePanic() error {
	m.out.lock()
	defer m.out.unlock()
	if !m.out.tracePanicked {
		return nil
	}
	return failure(ReasonCallbackPanicked, nil)
}

// takeRecord takes one whole record from the front of b. It returns how long
// that was, and more false when b has no whole record.
func (m *Machine) takeRecord(b []byte) (n int, more bool) {
	if len(b) < record.HeaderLen {
		return 0, m.needRecord()
	}
	h := record.ParseHeader(b)
	if err := m.checkHeader(h, b); err != nil {
		m.fail(err)
		return 0, true
	}
	size := record.HeaderLen + h.Length
	if len(b) < size {
		return 0, m.needRecord()
	}
	m.in.first = false
	m.handleRecord(h, b[:size:size])
	return size, true
}

// needRecord is what happens when there is no whole record: more input is
// needed, or the transport has ended.
func (m *Machine) needRecord() (more bool) {
	if !m.in.eof {
		return false
	}
	if m.state.handshaking() {
		m.fail(failure(ReasonTransportClosed, nil))
		return true
	}
	m.truncated = true
	m.endReceiving()
	m.state = StateClosed
	return true
}

// checkHeader judges the five bytes of a record header, before its content is
// there: whether this is TLS at all, whether such a record may come now, and
// whether it is too long.
func (m *Machine) checkHeader(h record.Header, b []byte) error {
	if m.in.first {
		if err := checkFirstHeader(h, b); err != nil {
			return err
		}
	}
	// "This document describes TLS Version 1.2, which uses the version { 3, 3 }."
	// https://www.rfc-editor.org/rfc/rfc5246#section-6.2.1
	if m.tls12() && h.Version != recordVersion {
		return violationf(ReasonRecordVersionChanged, "%#04x", h.Version)
	}
	if err := m.checkType(h); err != nil {
		return err
	}
	if h.Length > m.longestRecord(h.Type) {
		return violationf(ReasonRecordOverflow, "%s record of %d bytes", h.Type, h.Length)
	}
	if m.state == StateWaitClientHello {
		if size := len(m.hello.records) + record.HeaderLen + h.Length; size > m.env().limits.ClientHello {
			return violationf(ReasonClientHelloTooLarge, "%d bytes of records", size)
		}
	}
	return nil
}

// longestRecord is the longest fragment that a record of that type may have.
//
//	"The length MUST NOT exceed 2^14 bytes. An endpoint that receives a record
//	that exceeds this length MUST terminate the connection with a
//	"record_overflow" alert."
//
// https://www.rfc-editor.org/rfc/rfc8446#section-5.1
//
//	"The length MUST NOT exceed 2^14 + 256 bytes."
//
// https://www.rfc-editor.org/rfc/rfc8446#section-5.2
//
//	"The length MUST NOT exceed 2^14 + 2048."
//
// https://www.rfc-editor.org/rfc/rfc5246#section-6.2.3
func (m *Machine) longestRecord(t record.ContentType) int {
	switch {
	case m.tls12() && m.in.key.Keyed():
		return record.MaxCiphertext12
	case t == record.TypeApplicationData:
		return record.MaxCiphertext
	}
	return record.MaxPlaintext
}

// checkFirstHeader decides whether a peer speaks TLS.
func checkFirstHeader(h record.Header, b []byte) error {
	known := h.Type >= record.TypeChangeCipherSpec && h.Type <= record.TypeApplicationData
	if known && h.Version>>8 == 3 {
		return nil
	}
	reason := ReasonNotTLS
	switch {
	case known:
		reason = ReasonRecordVersion
	case b[0]&0x80 != 0 && b[2] == 1:
		// A length of two bytes with the high bit set, then CLIENT-HELLO.
		reason = ReasonSSLv2
	}
	return &ProtocolError{Reason: reason, Header: [5]byte(b)}
}

// checkType decides from the outer type whether a record may come now.
func (m *Machine) checkType(h record.Header) error {
	switch h.Type {
	case record.TypeChangeCipherSpec:
		// It is never protected, since nobody changes keys twice: whether it may
		// come is up to its rule.
		if h.Length != 1 {
			return violation(ReasonBadChangeCipherSpec)
		}
		return nil
	case record.TypeAlert:
		if !m.in.key.Keyed() || m.tls12() || m.plaintextAlertAllowed() {
			return nil
		}
	case record.TypeHandshake:
		if !m.in.key.Keyed() && h.Length == 0 {
			// "Implementations MUST NOT send zero-length fragments of Handshake
			// types, even if those fragments contain padding."
			// https://www.rfc-editor.org/rfc/rfc8446#section-5.1
			return violation(ReasonEmptyRecord)
		}
		if !m.in.key.Keyed() || m.tls12() {
			return nil
		}
	case record.TypeApplicationData:
		if m.in.key.Keyed() || m.in.skipEarly {
			return nil
		}
	}
	// "If a TLS implementation receives an unexpected record type, it MUST
	// terminate the connection with an "unexpected_message" alert."
	// https://www.rfc-editor.org/rfc/rfc8446#section-5
	return violationf(ReasonUnexpectedRecord, "%s", h.Type)
}

// plaintextAlertAllowed reports whether an alert may come in the clear although
// records are protected by now: a client that could not go on with the
// ServerHello has no keys to protect its alert with.
func (m *Machine) plaintextAlertAllowed() bool {
	first := m.state == StateWaitEndOfEarlyData || m.state == StateWaitClientCertificate ||
		m.state == StateWaitClientFinished && !m.conn.earlyAccepted
	return first && !m.in.opened
}

// handleRecord handles one whole record whose header was judged.
func (m *Machine) handleRecord(h record.Header, rec []byte) {
	if m.state == StateWaitClientHello {
		m.hello.records = append(m.hello.records, rec...)
	}
	fragment := rec[record.HeaderLen:]
	switch {
	case h.Type == record.TypeChangeCipherSpec:
		if !m.interleaved() {
			m.step(inputChangeCipherSpec, fragment)
		}
	case m.tls12() && m.in.key.Keyed():
		m.openRecord(rec) // of any type
	case h.Type == record.TypeAlert:
		m.handleAlert(fragment)
	case h.Type == record.TypeHandshake:
		m.in.join(m.env().allocator, fragment)
	default:
		m.openRecord(rec)
	}
}

// interleaved fails when a handshake message has begun that is not complete, and
// reports that.
//
//	"Handshake messages MUST NOT be interleaved with other record types. That
//	is, if a handshake message is split over two or more records, there MUST
//	NOT be any other records between them."
//
// https://www.rfc-editor.org/rfc/rfc8446#section-5.1
func (m *Machine) interleaved() bool {
	if len(m.in.rest()) == 0 {
		return false
	}
	m.fail(violation(ReasonInterleavedHandshake))
	return true
}

// dropChangeCipherSpec is the rule of every state of TLS 1.3 in which a
// change_cipher_spec may come, which helps with middleboxes.
//
//	"An implementation may receive an unencrypted record of type
//	change_cipher_spec consisting of the single byte value 0x01 at any time
//	after the first ClientHello message has been sent or received and before
//	the peer's Finished message has been received and MUST simply drop it
//	without further processing. […] An implementation which receives any other
//	change_cipher_spec value or which receives a protected change_cipher_spec
//	record MUST abort the handshake with an "unexpected_message" alert."
//
// https://www.rfc-editor.org/rfc/rfc8446#section-5
func dropChangeCipherSpec(m *Machine, fragment []byte) (State, error) {
	if fragment[0] != 1 {
		return 0, violation(ReasonBadChangeCipherSpec)
	}
	if m.in.changeCipherSpecs++; m.in.changeCipherSpecs > maxChangeCipherSpecs {
		return 0, violation(ReasonTooManyChangeCipherSpecs)
	}
	return m.state, nil
}

// openRecord removes the protection of a record and handles what is in it.
func (m *Machine) openRecord(rec []byte) {
	if !m.in.key.Keyed() { // early data behind a HelloRetryRequest
		if !m.interleaved() {
			m.passOver(rec)
		}
		return
	}
	t, content, err := m.in.key.Open(rec)
	if err != nil {
		if m.in.skipEarly && errors.Is(err, record.ErrBadMAC) {
			m.passOver(rec)
			return
		}
		m.fail(openError(err))
		return
	}
	m.in.opened, m.in.skipEarly = true, false
	m.handleContent(t, content)
}

// handleContent handles what was in a protected record.
func (m *Machine) handleContent(t record.ContentType, content []byte) {
	switch t {
	case record.TypeHandshake:
		// "Implementations MUST NOT send Handshake and Alert records that have a
		// zero-length TLSInnerPlaintext.content; if such a message is received,
		// the receiving implementation MUST terminate the connection with an
		// "unexpected_message" alert."
		// https://www.rfc-editor.org/rfc/rfc8446#section-5.4
		if len(content) == 0 {
			m.fail(violation(ReasonEmptyRecord))
			return
		}
		m.in.join(m.env().allocator, content)
	case record.TypeAlert:
		m.handleAlert(content)
	case record.TypeApplicationData:
		if !m.interleaved() {
			m.step(inputApplicationData, content)
		}
	default:
		m.fail(violationf(ReasonUnexpectedRecord, "protected %s", t))
	}
}

// openError says which rule a record broke that could not be opened.
func openError(err error) error {
	switch {
	case errors.Is(err, record.ErrInnerOverflow):
		return violation(ReasonRecordOverflow)
	case errors.Is(err, record.ErrNoContentType):
		return violation(ReasonNoContentType)
	case errors.Is(err, record.ErrSequence):
		return failure(ReasonKeysExhausted, err)
	}
	return violation(ReasonBadRecordMAC)
}

// passOver drops a record of early data, which this server does not accept: it
// cannot be opened.
//
//	"The server then ignores early data by skipping all records with an
//	external content type of "application_data" (indicating that they are
//	encrypted), up to the configured max_early_data_size."
//
// https://www.rfc-editor.org/rfc/rfc8446#section-4.2.10
func (m *Machine) passOver(rec []byte) {
	s := m.server
	s.earlySkipped += max(1, len(rec)-record.HeaderLen) // empty ones count, so that they end
	// What our own tickets allow is not too much.
	if uint64(s.earlySkipped) > uint64(m.env().limits.SkippedEarlyData)+uint64(m.cfg.MaxEarlyData) {
		m.fail(violation(ReasonTooMuchEarlyData))
	}
}

// handleAlert handles an alert of the peer.
//
//	"a record with an Alert type MUST contain exactly one message."
//
// https://www.rfc-editor.org/rfc/rfc8446#section-5.1
func (m *Machine) handleAlert(content []byte) {
	if len(content) == 0 {
		m.fail(violation(ReasonEmptyRecord))
		return
	}
	if len(content) != 2 {
		m.fail(violation(ReasonBadAlert))
		return
	}
	m.tell(TraceMessage{Alert: true, Body: content})
	level, a := content[0], Alert(content[1])
	switch {
	case a == AlertCloseNotify && !m.state.handshaking():
		m.endReceiving()
		m.state = StateClosed
	case a == AlertUserCanceled, a != AlertCloseNotify && level == alertLevelWarning && m.conn.version != tls.VersionTLS13:
		if m.interleaved() {
			return
		}
		if m.in.warnings++; m.in.warnings > maxWarnings {
			m.fail(violation(ReasonTooManyWarnings))
			return
		}
		if err := m.tracePanic(); err != nil {
			m.fail(err)
		}
	default:
		// "All the alerts listed in Section 6.2 MUST be sent with
		// AlertLevel=fatal and MUST be treated as error alerts when received
		// regardless of the AlertLevel in the message. Unknown Alert types MUST
		// be treated as error alerts."
		// https://www.rfc-editor.org/rfc/rfc8446#section-6
		m.fail(&RemoteAlert{Alert: a})
	}
}
