package tlscore

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
	"golang.org/x/crypto/cryptobyte"
)

// A connection as bytes, to be continued by another process.

const (
	// snapshotVersion is the first byte of a snapshot, in the clear.
	snapshotVersion = 1
	// maxSnapshot bounds a snapshot that is read: leftover, output and certificates.
	maxSnapshot = 16 << 20

	snapshotOverhead = 1 + chacha20poly1305.NonceSizeX + chacha20poly1305.Overhead
)

// SnapshotKeyLen is the length of the key that snapshots are sealed under, in bytes.
const SnapshotKeyLen = chacha20poly1305.KeySize

// errSnapshot means that a snapshot cannot be opened.
var errSnapshot = errors.New("tlscore: this is not a snapshot under this key, or of this release")

// Snapshot returns the connection as bytes, to be continued by [Restore], in this process
// or another one, and ends this machine: its secrets are cleared, its state is [StateMoved],
// and nothing comes out of it any more. leftover is what the caller has received and Step has
// not taken, a partial record mostly; Restore gives it back. What is in the output is part of
// the snapshot.
//
// Restore a snapshot at most once. Two machines that go on from one snapshot seal different
// records under the same key and sequence number, which gives the plaintext of both away, and
// the means to forge others.
//
// The snapshot is sealed under key, 32 random bytes that both processes have
// (XChaCha20-Poly1305), with a nonce of Config.Rand. With the key it is as secret as the
// connection.
//
// It belongs to both halves of the machine. A connection in its handshake, with an event that
// is due, with a task or an authentication after the handshake under way, is [ErrNotQuiet];
// any error leaves it as it was.
func (m *Machine) Snapshot(key *[SnapshotKeyLen]byte, leftover []byte) ([]byte, error) {
	if err := m.wake(); err != nil {
		return nil, err
	}
	if err := m.quiet(); err != nil {
		return nil, err
	}
	plain, err := m.appendSnapshot(leftover)
	defer clear(plain)
	if err != nil {
		return nil, err
	}
	sealed, err := m.sealSnapshot(key, plain)
	if err != nil {
		return nil, err
	}
	m.moveAway()
	return sealed, nil
}

// appendSnapshot returns all of the connection, in the clear.
func (m *Machine) appendSnapshot(leftover []byte) ([]byte, error) {
	m.out.lock()
	defer m.out.unlock()
	output := m.out.output()
	// One allocation at most for what is secret, so that no copy of it is left behind.
	b := m.appendState(make([]byte, 0, 1024+len(m.conn.ticketData())+len(m.in.rest())))
	b = append24(b, m.in.rest())
	var x senderExtra
	if m.out.more != nil {
		x = *m.out.more
	}
	b = append(b, x.authAnswers)
	b = binary.BigEndian.AppendUint32(b, uint32(x.authEnd))
	for _, p := range [][]byte{output, leftover} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(p)))
		b = append(b, p...)
	}
	b, err := m.conn.appendPeer(b)
	if err == nil && len(b) > maxSnapshot-snapshotOverhead {
		err = fmt.Errorf("tlscore: a snapshot of %d bytes", len(b))
	}
	return b, err
}

// sealSnapshot seals a snapshot.
func (m *Machine) sealSnapshot(key *[SnapshotKeyLen]byte, plain []byte) ([]byte, error) {
	aead, err := chacha20poly1305.NewX(key[:])
	if err != nil {
		return nil, err
	}
	b := make([]byte, 1+chacha20poly1305.NonceSizeX, snapshotOverhead+len(plain))
	b[0] = snapshotVersion
	if err := m.cfg.random(b[1:]); err != nil {
		return nil, err
	}
	return aead.Seal(b, b[1:], plain, b[:1]), nil
}

// Restore continues a connection that [Machine.Snapshot] has ended, with a config that allows
// the version and the cipher suite that it has. It returns what the other process had received
// and not used: present it to Step, joined with what comes, as always. What was in the output
// is there again.
//
// A snapshot must be restored at most once; see Snapshot. An error says what is wrong with cfg,
// or that the snapshot is malformed, of another release, or sealed under another key.
//
// Session tickets that the connection brings or sends belong to cfg's ticket keys and cache.
func Restore(cfg *Config, key *[SnapshotKeyLen]byte, snapshot []byte) (m *Machine, leftover []byte, err error) {
	d, err := deriveFor(cfg)
	if err != nil {
		return nil, nil, err
	}
	const head = 1 + chacha20poly1305.NonceSizeX
	if len(snapshot) < snapshotOverhead || len(snapshot) > maxSnapshot || snapshot[0] != snapshotVersion {
		return nil, nil, errSnapshot
	}
	aead, err := chacha20poly1305.NewX(key[:])
	if err != nil {
		return nil, nil, err
	}
	plain, err := aead.Open(nil, snapshot[1:head], snapshot[head:], snapshot[:1])
	if err != nil {
		return nil, nil, errSnapshot
	}
	defer clear(plain)
	return restoreSnapshot(cfg, d, plain)
}

// restoreSnapshot reads what appendSnapshot has written.
func restoreSnapshot(cfg *Config, d *derived, plain []byte) (*Machine, []byte, error) {
	m := newMachine(rulesClientHello, StateConnected, &d.environment)
	m.configure(cfg, d)
	leftover, err := m.restore(plain)
	if err != nil {
		m.Release()
		return nil, nil, err
	}
	return m, leftover, nil
}

func (m *Machine) restore(plain []byte) (leftover []byte, err error) {
	rest, err := m.restoreState(plain)
	if err != nil {
		return nil, err
	}
	in := cryptobyte.String(rest)
	var message, output []byte
	var authAnswers uint8
	var authEnd uint32
	if !read24(&in, &message) || !in.ReadUint8(&authAnswers) || !in.ReadUint32(&authEnd) ||
		!read32(&in, &output) || !read32(&in, &leftover) || int(authEnd) > len(output) {
		return nil, errState
	}
	if in, ok := m.conn.restorePeer(in, &m.d.peers); !ok || len(in) > 0 {
		return nil, errState
	}
	if len(message) > 0 {
		m.in.join(m.env().allocator, message)
		m.in.save(m.env().allocator) // in memory of its own
	}
	if len(output) > 0 {
		m.out.queue().Append(output)
	}
	if authAnswers > 0 || authEnd > 0 {
		x := m.out.extra()
		x.authAnswers, x.authEnd = authAnswers, int(authEnd)
	}
	return append([]byte(nil), leftover...), nil
}

// read32 reads bytes with a length of four bytes before them.
func read32(in *cryptobyte.String, out *[]byte) bool {
	var n uint32
	if !in.ReadUint32(&n) || uint64(n) > uint64(len(*in)) {
		return false
	}
	*out = part((*in)[:n])
	return in.Skip(int(n))
}

// moveAway ends a machine whose connection goes on elsewhere.
func (m *Machine) moveAway() {
	m.out.lock()
	m.out.dismiss(ErrMoved)
	m.out.unlock()
	m.endReceiving()
	m.wipeExporters()
	m.hello, m.sent, m.err = nil, false, ErrMoved
	m.state = StateMoved
}
