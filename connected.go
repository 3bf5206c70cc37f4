package tlscore

import (
	"tlscore.example/tlscore/internal/record"
	"tlscore.example/tlscore/internal/wire"
)

// What comes in when the handshake is complete, but for what postauth13.go and
// ticket13.go are about. RFC 8446, Sections 4.6.3 and 5.1.

// receiveData takes a record of application data.
func receiveData(m *Machine, content []byte) (State, error) {
	return StateConnected, m.takeData(content)
}

// takeData13 takes a record of a connection of TLS 1.3 in which nothing else is due, and leaves in
// data what it has for the application. It does what the rules would do with application data,
// which is most of what comes, without going to look for them; what is not that, goes their way.
func (m *Machine) takeData13(b []byte) (n int) {
	if m.rules != rulesServer13 && m.rules != rulesClient13 || m.state != StateConnected || m.in.partial != nil ||
		m.env().trace != nil || len(b) < record.HeaderLen {
		return 0
	}
	h := record.ParseHeader(b)
	size := record.HeaderLen + h.Length
	if h.Type != record.TypeApplicationData || h.Length > record.MaxCiphertext || len(b) < size {
		return 0
	}
	t, content, err := m.in.key.Open(b[:size:size])
	switch {
	case err != nil:
		m.fail(openError(err))
	case t != record.TypeApplicationData || len(content) == 0:
		m.handleContent(t, content)
	default:
		m.noteData()
		m.in.data = content
	}
	return size
}

// takeData makes an event of a record of application data.
func (m *Machine) takeData(content []byte) error {
	if len(content) == 0 {
		// "Zero-length fragments of Application Data MAY be sent, as they are
		// potentially useful as a traffic analysis countermeasure."
		// https://www.rfc-editor.org/rfc/rfc8446#section-5.1
		if m.in.emptyRecords++; m.in.emptyRecords > maxEmptyRecords {
			return violation(ReasonTooManyEmptyRecords)
		}
		return nil
	}
	m.noteData()
	m.in.data = content
	m.push(EventData)
	return nil
}

// noteData notes that application data has come: what must not come too often in a row is not in a
// row any more.
func (m *Machine) noteData() {
	m.in.emptyRecords, m.in.keyUpdates, m.in.tickets, m.in.warnings, m.in.certificateRequests = 0, 0, 0, 0, 0
}

// receiveKeyUpdate changes to the peer's next key, and answers its request.
// RFC 8446, Section 4.6.3.
func receiveKeyUpdate(m *Machine, msg []byte) (State, error) {
	var update wire.KeyUpdate
	if err := update.Parse(msg[wire.HeaderLen:]); err != nil {
		return 0, malformed(err)
	}
	// "If an implementation receives any other value, it MUST terminate the
	// connection with an "illegal_parameter" alert."
	// https://www.rfc-editor.org/rfc/rfc8446#section-4.6.3
	if update.Request > 1 {
		return 0, violation(ReasonBadKeyUpdate)
	}
	// One that we asked for ourselves is no burden.
	if !m.out.keyUpdated() {
		m.in.keyUpdates++
	}
	if m.in.keyUpdates > maxKeyUpdates {
		return 0, violation(ReasonTooManyKeyUpdates)
	}
	secret := m.out.secret(receivingSecret)
	defer secret.Wipe()
	next := secret.Next()
	defer next.Wipe()
	if err := m.in.install(suiteByID(wire.CipherSuite(m.conn.cipherSuite)), &next); err != nil {
		return 0, err
	}
	copy(m.out.kept.at(receivingSecret), next.Bytes())
	if update.Request == 1 {
		queued, err := m.out.answerKeyUpdate()
		if err != nil {
			return 0, err
		}
		m.sent = m.sent || queued
	}
	m.push(EventKeyUpdate)
	return StateConnected, nil
}
