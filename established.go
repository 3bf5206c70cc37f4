package tlscore

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"

	"tlscore.example/tlscore/internal/record"
	"tlscore.example/tlscore/internal/schedule"
	"tlscore.example/tlscore/internal/wire"
)

// The state of a connection whose handshake is complete, as bytes: what Hibernate keeps in
// memory, and what Snapshot gives out. It is as small as it can be, since there may be
// millions, and what follows from the rest is left out: keys are derived again from their
// secrets, in TLS 1.2 from the master secret.
//
// appendState writes and restoreState reads; the two stand in the same order.

// establishedFormat is the first byte. It changes with the format, so that what another
// release has written is refused and not misread.
const establishedFormat = 1

// The bits of the flags.
const (
	stateServer = 1 << iota
	stateReceivingEnded
	stateTruncated
	stateEOF
	stateQueued
	stateSendingEnded
	stateAnswered
	stateUpdateOwed
	stateUpdateAwaited
	stateResumed
	stateRetried
	stateMutual
	stateEarlyAccepted
	stateEarlyExporter
	stateTickets
	statePostAuth
	stateFlags = 1<<iota - 1
)

// ErrNotQuiet is returned by Hibernate, Snapshot and ExportTrafficSecrets while the
// connection is not in a state for it: the handshake is not complete or has failed, an
// event is due, or a task or an authentication after the handshake is under way; for
// Hibernate and ExportTrafficSecrets also while there is output, or a part of a message.
var ErrNotQuiet = errors.New("tlscore: the connection is not quiet")

// quiet returns the error of what wants the state of a connection, if it cannot have it.
func (m *Machine) quiet() error {
	switch {
	case m.busy:
		return ErrBusy
	case m.state == StateReleased:
		return ErrReleased
	case m.state == StateMoved:
		return ErrMoved
	}
	m.adoptFound()
	if m.state != StateConnected && m.state != StateClosed || m.queued > 0 ||
		m.conn.post() != nil && m.conn.post().exchange != nil {
		return ErrNotQuiet
	}
	return nil
}

// idle reports whether neither direction has anything half done.
func (m *Machine) idle() bool {
	m.out.lock()
	defer m.out.unlock()
	return m.out.pending() == 0 && len(m.in.rest()) == 0
}

// appendState appends the state of a quiet connection, but for the peer's certificates, what
// is in the output, and partial messages.
func (m *Machine) appendState(b []byte) []byte {
	in, out, c := &m.in, &m.out, &m.conn
	b = append(b, establishedFormat)
	b = binary.BigEndian.AppendUint16(b, m.stateFlags())
	b = binary.BigEndian.AppendUint16(b, c.version)
	b = binary.BigEndian.AppendUint16(b, c.cipherSuite)
	b = binary.BigEndian.AppendUint16(b, uint16(c.curve))
	b = append8(b, []byte(c.protocol()))
	b = append8(b, []byte(c.serverName()))

	if m.state != StateClosed {
		if !m.tls12() {
			b = append(b, out.kept.at(receivingSecret)...)
		}
		b = binary.BigEndian.AppendUint64(b, in.key.Seq())
		b = append(b, in.warnings, in.emptyRecords, in.keyUpdates, in.tickets, in.certificateRequests)
	}
	b = binary.BigEndian.AppendUint16(b, in.maxInner)
	if !out.closed {
		if !m.tls12() {
			b = append(b, out.kept.at(sendingSecret)...)
		}
		b = binary.BigEndian.AppendUint64(b, out.key.Seq())
		b = binary.BigEndian.AppendUint64(b, out.key.Limit())
		b = binary.BigEndian.AppendUint64(b, out.epoch())
	}
	b = binary.BigEndian.AppendUint16(b, out.maxContent)

	if c.exports {
		b = append(b, out.kept.at(exporterSecret)...)
	} else if e := c.exporter12(); e != nil {
		b = e.AppendBinary(b)
	}
	if e := c.earlyExporter(); e != nil {
		b = append(b, e.Bytes()...)
	}
	if t := c.tickets(); t != nil {
		b = append(b, t.secret.Bytes()...)
		b = binary.BigEndian.AppendUint64(b, uint64(t.authenticated.UnixMilli()))
		b = binary.BigEndian.AppendUint32(b, t.issued)
	}
	if p := c.post(); p != nil {
		b = append8(b, p.handshake.AppendBinary(nil))
	}
	return append24(b, c.ticketData())
}

func (m *Machine) stateFlags() (flags uint16) {
	for _, f := range []struct {
		bit uint16
		set bool
	}{
		{stateServer, m.rules == rulesServer13 || m.rules == rulesServer12},
		{stateReceivingEnded, m.state == StateClosed},
		{stateTruncated, m.truncated},
		{stateEOF, m.in.eof},
		{stateQueued, m.sent},
		{stateSendingEnded, m.out.closed},
		{stateAnswered, m.out.answered},
		{stateUpdateOwed, m.out.updateOwed},
		{stateUpdateAwaited, m.out.updateAwaited},
		{stateResumed, m.conn.resumed},
		{stateRetried, m.conn.retried},
		{stateMutual, m.conn.mutual},
		{stateEarlyAccepted, m.conn.earlyAccepted},
		{stateEarlyExporter, m.conn.earlyExporter() != nil},
		{stateTickets, m.conn.tickets() != nil},
		{statePostAuth, m.conn.post() != nil},
	} {
		if f.set {
			flags |= f.bit
		}
	}
	return flags
}

// errState means that bytes are not what appendState has written, or do not fit the config.
var errState = errors.New("tlscore: malformed state of a connection")

// errStateConfig means that a config does not allow what a connection has negotiated.
var errStateConfig = errors.New("tlscore: the config does not allow the version or the cipher suite of the connection")

// stateReader reads what appendState has written.
type stateReader struct {
	cryptobyte.String
	flags                     uint16
	suite                     *cipherSuite
	received, sent, sendLimit uint64 // sequence numbers of the next records, and a limit
}

func (r *stateReader) has(flag uint16) bool { return r.flags&flag != 0 }

// keep reads a secret that the vault keeps.
func (r *stateReader) keep(m *Machine, which keptSecret) bool {
	return r.CopyBytes(m.out.kept.at(which))
}

// secret reads a secret of the suite's hash.
func (r *stateReader) secret(out *schedule.Secret) bool {
	var b []byte
	if !r.ReadBytes(&b, r.suite.hash.Size()) {
		return false
	}
	s, err := schedule.RestoreSecret(r.suite.hash, b)
	*out = s
	return err == nil
}

// restoreState makes m, which is new but for its config, what appendState has written. It
// returns what is left of b.
func (m *Machine) restoreState(b []byte) (rest []byte, err error) {
	r := stateReader{String: b}
	var format uint8
	var curve uint16
	var alpn, name []byte
	if !r.ReadUint8(&format) || format != establishedFormat || !r.ReadUint16(&r.flags) || uint32(r.flags)&^stateFlags != 0 ||
		!r.ReadUint16(&m.conn.version) || !r.ReadUint16(&m.conn.cipherSuite) || !r.ReadUint16(&curve) ||
		!read8(&r.String, &alpn) || !read8(&r.String, &name) {
		return nil, errState
	}
	if r.suite = findSuite(m.d.suites, m.conn.version, wire.CipherSuite(m.conn.cipherSuite)); r.suite == nil {
		return nil, errStateConfig
	}
	m.conn.curve = tls.CurveID(curve)
	m.conn.names, m.conn.protocolLen = m.d.names.share(alpn, name), uint8(len(alpn))
	m.conn.complete = true
	m.conn.resumed, m.conn.retried = r.has(stateResumed), r.has(stateRetried)
	m.conn.mutual, m.conn.earlyAccepted = r.has(stateMutual), r.has(stateEarlyAccepted)
	m.setRules(&r)
	if !m.restoreHalves(&r) || !m.restoreSecrets(&r) {
		return nil, errState
	}
	return r.String, m.restoreKeys(&r)
}

// setRules sets the table of rules and the state.
func (m *Machine) setRules(r *stateReader) {
	m.rules = rulesClient13
	switch server := r.has(stateServer); {
	case server && r.suite.tls12():
		m.rules = rulesServer12
	case server:
		m.rules = rulesServer13
	case r.suite.tls12():
		m.rules = rulesClient12
	}
	m.state = StateConnected
	if r.has(stateReceivingEnded) {
		m.state = StateClosed
	}
	m.truncated, m.sent = r.has(stateTruncated), r.has(stateQueued)
}

// restoreHalves restores the two directions, but for their keys, which are derived when
// everything is there.
func (m *Machine) restoreHalves(r *stateReader) bool {
	in, out := &m.in, &m.out
	if out.suite = r.suite; !r.suite.tls12() {
		out.kept = newVault(r.suite.hash)
	}
	var content uint16
	var epoch uint64
	if !r.has(stateReceivingEnded) {
		if !r.suite.tls12() && !r.keep(m, receivingSecret) || !r.ReadUint64(&r.received) ||
			!r.ReadUint8(&in.warnings) || !r.ReadUint8(&in.emptyRecords) || !r.ReadUint8(&in.keyUpdates) ||
			!r.ReadUint8(&in.tickets) || !r.ReadUint8(&in.certificateRequests) {
			return false
		}
	}
	if !r.ReadUint16(&in.maxInner) {
		return false
	}
	if !r.has(stateSendingEnded) {
		if !r.suite.tls12() && !r.keep(m, sendingSecret) || !r.ReadUint64(&r.sent) ||
			!r.ReadUint64(&r.sendLimit) || !r.ReadUint64(&epoch) {
			return false
		}
	}
	if !r.ReadUint16(&content) || content == 0 || content > record.MaxPlaintext || epoch > maxEpoch {
		return false
	}
	if epoch > 0 {
		out.extra().epoch = epoch
	}
	in.first, in.eof = false, r.has(stateEOF)
	out.finished, out.closed = true, r.has(stateSendingEnded)
	out.maxContent = content
	out.answered, out.updateOwed, out.updateAwaited = r.has(stateAnswered), r.has(stateUpdateOwed), r.has(stateUpdateAwaited)
	out.startPace()
	if out.gate = gateOpen; out.closed {
		out.shut(ErrWriteClosed)
	}
	return true
}

// restoreSecrets restores what is derived from the handshake besides the keys.
func (m *Machine) restoreSecrets(r *stateReader) bool {
	c := &m.conn
	if r.suite.tls12() {
		var b []byte
		if !r.ReadBytes(&b, schedule.Exporter12Len) {
			return false
		}
		e, err := schedule.RestoreExporter12(r.suite.hash, b)
		if err != nil {
			return false
		}
		c.extra().exporter12, c.extendedMasterSecret = e, e.Extended()
	} else {
		if !r.keep(m, exporterSecret) {
			return false
		}
		c.exports = true
	}
	if r.has(stateEarlyExporter) {
		e := new(schedule.ExporterSecret)
		if !r.secret(&e.Secret) {
			return false
		}
		c.extra().earlyExporter = e
	}
	if r.has(stateTickets) {
		t := new(ticketing)
		c.extra().tickets = t
		var authenticated uint64
		if !r.secret(&t.secret.Secret) || !r.ReadUint64(&authenticated) || !r.ReadUint32(&t.issued) {
			return false
		}
		t.authenticated = time.UnixMilli(int64(authenticated))
	}
	if r.has(statePostAuth) {
		var b []byte
		if !read8(&r.String, &b) {
			return false
		}
		t, err := schedule.RestoreTranscript(r.suite.hash, b)
		if err != nil {
			return false
		}
		c.extra().post = &postAuth{handshake: t}
	}
	var ticketData []byte
	if !read24(&r.String, &ticketData) {
		return false
	}
	if len(ticketData) > 0 {
		c.extra().ticketData = slices.Clone(ticketData) // what is read will be cleared
	}
	return true
}

// restoreKeys derives the keys of the directions that have not ended.
func (m *Machine) restoreKeys(r *stateReader) error {
	if m.state != StateClosed {
		key, err := m.restoreKey(r.suite, receivingSecret)
		if err != nil {
			return err
		}
		key.Restore(r.received, key.Limit())
		if err := m.in.setKey(key); err != nil {
			return err
		}
	}
	if !m.out.closed {
		key, err := m.restoreKey(r.suite, sendingSecret)
		if err != nil {
			return err
		}
		key.Restore(r.sent, r.sendLimit)
		if key.Remaining() < reserved {
			return errState
		}
		m.out.replaceKey(key)
	}
	return nil
}

// restoreKey derives a key: from the traffic secret, or in TLS 1.2 from the master secret.
func (m *Machine) restoreKey(suite *cipherSuite, direction keptSecret) (key record.Protection, err error) {
	if suite.tls12() {
		block := m.conn.exporter12().KeyBlock(suite.aead.KeyLen(), suite.aead.IV12Len())
		defer block.Wipe()
		if (direction == sendingSecret) == (m.rules == rulesServer12) {
			key, err = record.New12(suite.aead, block.ServerKey(), block.ServerIV())
		} else {
			key, err = record.New12(suite.aead, block.ClientKey(), block.ClientIV())
		}
	} else {
		secret := m.out.secret(direction)
		defer secret.Wipe()
		key, err = suite.protection(&secret)
	}
	if err != nil {
		return key, failure(ReasonKeyGeneration, err)
	}
	return key, nil
}

// appendPeer appends what is known about the peer, each certificate once.
func (c *negotiated) appendPeer(b []byte) ([]byte, error) {
	var table certificateTable
	var p peer
	if c.peer != nil {
		p = *c.peer
	}
	sent := table.indices(encodeChain(p.certificates))
	chains := make([][]byte, len(p.chains))
	for i, chain := range p.chains {
		chains[i] = table.indices(encodeChain(chain))
	}
	if len(table) > maxSessionCertificates || len(chains) > 255 || len(p.scts) > 255 {
		return b, errors.New("tlscore: the peer has too many certificates or timestamps for a snapshot")
	}
	b = append24(b, p.ocsp)
	for _, list := range [][][]byte{p.scts, table} {
		b = append(b, byte(len(list)))
		for _, e := range list {
			b = append24(b, e)
		}
	}
	b = append8(b, sent)
	b = append(b, byte(len(chains)))
	for _, chain := range chains {
		b = append8(b, chain)
	}
	return b, nil
}

// restorePeer reads what appendPeer has written, and returns what is left.
func (c *negotiated) restorePeer(b []byte, peers *certificateCache) (rest []byte, ok bool) {
	in := cryptobyte.String(b)
	var table certificateTable
	var p peer
	var sent []byte
	var n uint8
	if !read24(&in, &p.ocsp) || !readList(&in, &p.scts) ||
		!readList(&in, (*[][]byte)(&table)) || !read8(&in, &sent) || !in.ReadUint8(&n) {
		return nil, false
	}
	parsed := make([]*x509.Certificate, len(table))
	for i, der := range table {
		var err error
		// What it returns refers to what it is given, which will be cleared.
		if parsed[i], err = peers.parse(slices.Clone(der)); err != nil {
			return nil, false
		}
	}
	look := func(indices []byte) (chain []*x509.Certificate, ok bool) {
		for _, i := range indices {
			if int(i) >= len(parsed) {
				return nil, false
			}
			chain = append(chain, parsed[i])
		}
		return chain, true
	}
	if p.certificates, ok = look(sent); !ok {
		return nil, false
	}
	for range n {
		var indices []byte
		if !read8(&in, &indices) {
			return nil, false
		}
		chain, ok := look(indices)
		if !ok {
			return nil, false
		}
		p.chains = append(p.chains, chain)
	}
	p.ocsp = slices.Clone(p.ocsp)
	for i, sct := range p.scts {
		p.scts[i] = slices.Clone(sct)
	}
	c.setPeer(p)
	return in, true
}
