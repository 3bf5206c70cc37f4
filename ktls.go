package tlscore

import (
	"crypto/tls"

	"tlscore.example/tlscore/internal/wire"
)

// TrafficSecrets are the keys of an established connection, for who protects its records
// from now on: the kernel, with kTLS, or a network card.
type TrafficSecrets struct {
	// Version is tls.VersionTLS13 or tls.VersionTLS12.
	Version uint16
	// CipherSuite is that of the connection.
	CipherSuite uint16
	// Send and Receive are the two directions, nil for one that has ended.
	Send, Receive *TrafficKeys
}

// TrafficKeys are the keys of one direction. In terms of linux/tls.h: Key is key; of AES-GCM
// the first 4 bytes of IV are salt and the other 8 iv, of ChaCha20-Poly1305 all 12 are iv;
// Sequence, in network byte order, is rec_seq.
type TrafficKeys struct {
	Key []byte
	// IV has 12 bytes. In TLS 1.2 with AES-GCM, where a record carries the other 8 bytes of
	// its nonce, those are the sequence number: what is sent goes on from there.
	IV []byte
	// Sequence is the sequence number of the next record.
	Sequence uint64
	// Secret is the traffic secret that the two are derived from, for KeyUpdates to come;
	// nil in TLS 1.2. RFC 8446, Section 7.2.
	Secret []byte
}

// ExportTrafficSecrets gives the keys of the connection away, and ends this machine: its state
// is [StateMoved], and nothing comes out of it any more. The caller clears what it is given.
// From then on alerts, KeyUpdates and tickets are the affair of who has the keys.
//
// It belongs to both halves of the machine. While there is output, whose records have numbers
// already, or a message that is not complete, or anything else that [Machine.Snapshot] would
// not take, it returns [ErrNotQuiet] and changes nothing. What the caller has received and Step
// has not taken is the caller's, and the first thing to be opened with Receive.
func (m *Machine) ExportTrafficSecrets() (*TrafficSecrets, error) {
	if err := m.wake(); err != nil {
		return nil, err
	}
	if err := m.quiet(); err != nil {
		return nil, err
	}
	if !m.idle() {
		return nil, ErrNotQuiet
	}
	m.out.lock()
	t := &TrafficSecrets{Version: m.conn.version, CipherSuite: m.conn.cipherSuite}
	if m.out.key.Keyed() {
		t.Send = m.trafficKeys(sendingSecret)
		t.Send.Sequence = m.out.key.Seq()
	}
	m.out.unlock()
	if m.in.key.Keyed() {
		t.Receive = m.trafficKeys(receivingSecret)
		t.Receive.Sequence = m.in.key.Seq()
	}
	m.moveAway()
	return t, nil
}

// trafficKeys derives the keys of one direction.
func (m *Machine) trafficKeys(direction keptSecret) *TrafficKeys {
	suite := suiteByID(wire.CipherSuite(m.conn.cipherSuite))
	k := &TrafficKeys{Key: make([]byte, suite.aead.KeyLen()), IV: make([]byte, 12)}
	if m.conn.version == tls.VersionTLS13 {
		secret := m.out.secret(direction)
		defer secret.Wipe()
		secret.Key(k.Key)
		secret.IV(k.IV)
		k.Secret = append([]byte(nil), secret.Bytes()...)
		return k
	}
	block := m.conn.exporter12().KeyBlock(suite.aead.KeyLen(), suite.aead.IV12Len())
	defer block.Wipe()
	if (direction == sendingSecret) == (m.rules == rulesServer12) {
		copy(k.Key, block.ServerKey())
		copy(k.IV, block.ServerIV())
	} else {
		copy(k.Key, block.ClientKey())
		copy(k.IV, block.ClientIV())
	}
	return k
}
