package tlscore

import (
	"crypto/tls"

	"tlscore.example/tlscore/internal/record"
	"tlscore.example/tlscore/internal/schedule"
	"tlscore.example/tlscore/internal/wire"
)

// Early data, which a client sends behind its ClientHello under a key from the session that
// it wants to resume. RFC 8446, Sections 2.3, 4.2.10 and 8.

// WriteEarly seals early data into the output of a client, from [EventEarlyWritable] on
// until the server has accepted it ([EventHandshakeDone]) or not ([EventEarlyRejected]).
// n < len(p) without an error means that the output is full, or that so much was written as
// the session and Limits.EarlyData allow. Errors are [ErrNoEarlyData] and those of Write.
//
// Early data is not protected against replay: whoever records it can send it to the server
// again. RFC 8446, Section 8.
func (m *Machine) WriteEarly(p []byte) (n int, err error) {
	m.wake()
	m.out.lock()
	defer m.out.unlock()
	return m.out.writeEarly(p)
}

// EarlyDataAccepted reports whether early data was offered and accepted. A client knows it by
// EventHandshakeDone, a server by its first event.
func (m *Machine) EarlyDataAccepted() bool {
	m.wake()
	return m.conn.earlyAccepted
}

// The client's part.

// offersEarly reports whether the ClientHello goes with early data: the session allows it,
// and so do cipher suites and application protocols.
//
//	"The parameters for the 0-RTT data (version, symmetric cipher suite,
//	Application-Layer Protocol Negotiation (ALPN) [RFC7301] protocol,
//	etc.) are those associated with the PSK in use."
//
// https://www.rfc-editor.org/rfc/rfc8446#section-4.2.10
//
// That the application protocol is offered follows from the settings that a session is
// bound to.
func (c *clientHandshake) offersEarly(cfg *Config, d *derived) bool {
	return cfg.EarlyData && c.offer != nil && c.offer.MaxEarlyData > 0 &&
		findSuite(d.suites, tls.VersionTLS13, c.offer.suite.id) != nil
}

// openEarly flushes the ClientHello, and opens early data behind it.
func (m *Machine) openEarly() error {
	c, o := m.client, m.client.offer
	c.earlyOpen = true
	o.transcript.Write(c.helloRaw[len(c.helloRaw)-wire.BindersSize(c.hello.PSKBinders):])
	hash := o.transcript.Sum(nil)
	secret := o.early.ClientEarlyTraffic(hash)
	defer secret.Wipe()
	if err := m.startEarlyExporting(&o.early, &secret, hash); err != nil {
		return err
	}
	key, err := o.suite.protection(&secret)
	if err != nil {
		return failure(ReasonKeyGeneration, err)
	}
	most := min(uint64(o.MaxEarlyData), uint64(m.d.limits.EarlyData))
	if !m.flushAnd(func(s *sender) { s.openEarly(key, int(most)) }) {
		key.Wipe()
	}
	m.push(EventEarlyWritable)
	return nil
}

// startEarlyExporting keeps the exporter of early data, and logs the secrets.
func (m *Machine) startEarlyExporting(early *schedule.EarlySecret, traffic *schedule.TrafficSecret, hash []byte) error {
	exporter := early.EarlyExporter(hash)
	m.conn.extra().earlyExporter = &exporter
	if err := m.logSecret(keyLogClientEarly, traffic.Bytes()); err != nil {
		return err
	}
	return m.logSecret(keyLogEarlyExporter, exporter.Bytes())
}

// refuseEarly gives early data back: the server does not take it.
//
//	"If the server rejects the "early_data" extension, the client
//	application MAY opt to retransmit the Application Data previously
//	sent in early data once the handshake has been completed."
//
// https://www.rfc-editor.org/rfc/rfc8446#section-4.2.10
//
// What follows is sealed under key; without one it is in the clear.
func (m *Machine) refuseEarly(key record.Protection) {
	c := m.client
	if !c.earlyOpen {
		return
	}
	c.earlyOpen = false
	m.conn.more.earlyExporter.Wipe()
	m.conn.more.earlyExporter = nil
	m.out.lock()
	c.refused = m.out.refuseEarly(key)
	m.out.unlock()
	m.push(EventEarlyRejected)
}

// missEarlyAnswer gives early data back when EncryptedExtensions do not accept it. That comes
// before anything else in them is judged: this server passes over what is under early keys, an
// alert too.
func (m *Machine) missEarlyAnswer(ee *wire.EncryptedExtensions) error {
	c := m.client
	if !c.earlyOpen || ee.Has(wire.ExtEarlyData) {
		return nil
	}
	key, err := c.suite.protection(&c.clientSecret)
	if err != nil {
		return failure(ReasonKeyGeneration, err)
	}
	m.refuseEarly(key)
	return nil
}

// takeEarlyAnswer takes that EncryptedExtensions accept early data, if they do.
func (m *Machine) takeEarlyAnswer(ee *wire.EncryptedExtensions) error {
	c := m.client
	if !ee.Has(wire.ExtEarlyData) {
		return nil
	}
	// "In order to accept early data, the server MUST have accepted a PSK
	// cipher suite and selected the first key offered in the client's
	// "pre_shared_key" extension. In addition, it MUST verify that the
	// following values are the same as those associated with the
	// selected PSK:" version, cipher suite and application protocol.
	// https://www.rfc-editor.org/rfc/rfc8446#section-4.2.10
	switch {
	case c.resumed == nil:
		return violationf(ReasonEarlyDataMismatch, "no session was resumed")
	case uint16(c.suite.id) != c.resumed.CipherSuite:
		return violationf(ReasonEarlyDataMismatch, "%s", c.suite.id)
	case m.conn.protocol() != c.resumed.ALPN:
		return violationf(ReasonEarlyDataMismatch, "application protocol %q", m.conn.protocol())
	}
	m.conn.earlyAccepted = true
	return nil
}

// endEarly ends early data that was accepted.
//
//	"If the server sent an "early_data" extension in EncryptedExtensions,
//	the client MUST send an EndOfEarlyData message after receiving the
//	server Finished. If the server does not send an "early_data"
//	extension in EncryptedExtensions, then the client MUST NOT send an
//	EndOfEarlyData message."
//
// https://www.rfc-editor.org/rfc/rfc8446#section-4.5
func (m *Machine) endEarly() error {
	c := m.client
	if !m.conn.earlyAccepted {
		return nil
	}
	c.earlyOpen = false
	m.emit(new(wire.EndOfEarlyData).Append(m.flight()))
	return m.changeSendingKey(c.suite, &c.clientSecret)
}

// earlyWriter is what a sender has while early data can be written.
type earlyWriter struct {
	left int    // how many bytes may still be written
	kept []byte // what was written, to be given back when the server does not take it
}

// openEarly lets early data be written under key, the compatibility change_cipher_spec first.
//
//	"If offering early data, the record is placed immediately after the
//	first ClientHello."
//
// https://www.rfc-editor.org/rfc/rfc8446#appendix-D.4
func (s *sender) openEarly(key record.Protection, most int) {
	s.version = recordVersion
	s.queueCompatCCS()
	s.replaceKey(key)
	s.extra().early = &earlyWriter{left: most}
}

// reservedEarly is how many records of the early key are kept back: EndOfEarlyData, and
// an alert.
const reservedEarly = 2

func (s *sender) writeEarly(p []byte) (n int, err error) {
	early := s.early()
	switch {
	case early == nil && s.gate != gateOpen && s.gate != gateNotReady:
		return 0, s.refusal()
	case early == nil:
		return 0, ErrNoEarlyData
	}
	p = p[:min(len(p), early.left)]
	for n < len(p) && s.key.Remaining() > reservedEarly {
		take := s.fit(len(p)-n, s.env.limits.Output-s.pending())
		if take <= 0 {
			break
		}
		s.appendRecord(record.TypeApplicationData, p[n:n+take])
		n += take
	}
	early.keep(s.env.allocator, p[:n])
	return n, nil
}

// keep keeps what was written.
func (e *earlyWriter) keep(a Allocator, p []byte) {
	if need := len(e.kept) + len(p); need > cap(e.kept) {
		old := e.kept
		e.kept = enlarge(a, old, need)
		wipe(a, old)
	}
	e.kept = append(e.kept, p...)
	e.left -= len(p)
}

// refuseEarly closes early data, changes the key, and returns what was written. When this
// direction is closed, that is gone.
func (s *sender) refuseEarly(key record.Protection) (kept []byte) {
	early := s.early()
	if early == nil {
		key.Wipe()
		return nil
	}
	kept, s.more.early = early.kept, nil
	s.replaceKey(key)
	return kept
}

// dropEarly closes early data, and clears what was kept of it.
func (s *sender) dropEarly() {
	if early := s.early(); early != nil {
		wipe(s.env.allocator, early.kept)
		s.more.early = nil
	}
}

// dropRefused clears the early data that was given back, when the caller has had it.
func (m *Machine) dropRefused() {
	if m.client != nil {
		wipe(m.env().allocator, m.client.refused)
		m.client.refused = nil
	}
}

// The server's part.

// judgeEarlyData goes on with a session that is resumed: whether early data may be accepted
// with it is decided by the replay guard and the application, if it can be at all.
func (m *Machine) judgeEarlyData() (State, error) {
	now, err := m.now()
	if err != nil {
		return 0, err
	}
	s := m.server
	id := s.offered.identities[s.offered.at()]
	expires, recent := earlyDataExpires(s.resumed.Session, id.ObfuscatedTicketAge, now)
	if !recent || !m.suitsEarlyData() {
		return m.agreeKey()
	}
	early := &EarlyDataInfo{ServerName: m.conn.serverName(), Protocol: string(s.protocol), TicketData: s.resumed.AppData}
	cfg, verified := m.cfg, s.offered.binders[s.offered.at()]
	t := m.newTask(TaskDecideEarlyData, func(t *Task) error {
		return call(ReasonCallbackFailed, func() error {
			if guard := cfg.ReplayGuard; guard != nil {
				fresh, err := guard.Fresh(verified, now, expires)
				t.early.Fresh = fresh && err == nil
			}
			t.accept = t.early.Fresh
			if decide := cfg.AcceptEarlyData; decide != nil {
				t.accept = decide(*t.early)
			}
			return nil
		})
	})
	t.early = early
	return m.await(StateDecideEarlyData, t)
}

// suitsEarlyData reports whether early data goes with what was negotiated. A ticket that
// allows more of it than the server takes by now is good for none.
//
//	"In order to accept early data, the server MUST have accepted a PSK
//	cipher suite and selected the first key offered in the client's
//	"pre_shared_key" extension."
//
// https://www.rfc-editor.org/rfc/rfc8446#section-4.2.10
func (m *Machine) suitsEarlyData() bool {
	s, r := m.server, m.server.resumed
	return m.in.skipEarly && !m.conn.retried && s.offered.at() == 0 &&
		r.MaxEarlyData > 0 && r.MaxEarlyData <= m.cfg.MaxEarlyData &&
		r.Version == tls.VersionTLS13 && r.CipherSuite == uint16(s.suite.id) && r.ALPN == string(s.protocol)
}

// serverEarlyDataDecided accepts early data, or goes on without.
func serverEarlyDataDecided(m *Machine, _ []byte) (State, error) {
	t, err := m.result()
	if err != nil {
		return 0, err
	}
	if !t.accept {
		return m.agreeKey()
	}
	s := m.server
	hash := s.hash()
	s.earlySecret = s.early.ClientEarlyTraffic(hash)
	if err := m.startEarlyExporting(&s.early, &s.earlySecret, hash); err != nil {
		return 0, err
	}
	m.conn.earlyAccepted = true
	m.in.skipEarly = false
	return m.agreeKey()
}

// receiveEarlyData makes an event of a record of early data.
//
//	"A server receiving more than max_early_data_size bytes of 0-RTT data
//	SHOULD terminate the connection with an "unexpected_message" alert."
//
// https://www.rfc-editor.org/rfc/rfc8446#section-4.6.1
func receiveEarlyData(m *Machine, content []byte) (State, error) {
	s := m.server
	if s.earlyReceived += uint64(len(content)); s.earlyReceived > uint64(s.resumed.MaxEarlyData) {
		return 0, violation(ReasonTooMuchEarlyData)
	}
	return StateWaitEndOfEarlyData, m.takeData(content)
}

// serverEndOfEarlyData changes to the client's handshake keys.
//
//	"This message indicates that all 0-RTT application_data messages, if
//	any, have been transmitted and that the following records are protected
//	under handshake traffic keys."
//
// https://www.rfc-editor.org/rfc/rfc8446#section-4.5
func serverEndOfEarlyData(m *Machine, msg []byte) (State, error) {
	s := m.server
	var end wire.EndOfEarlyData
	if err := end.Parse(msg[wire.HeaderLen:]); err != nil {
		return 0, malformed(err)
	}
	if err := m.in.install(s.suite, &s.clientSecret); err != nil {
		return 0, err
	}
	s.transcript.Write(msg)
	m.push(EventEarlyDataEnd)
	return StateWaitClientFinished, nil
}
