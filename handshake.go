package tlscore

import (
	"crypto/hmac"
	"crypto/tls"
	"fmt"
	"time"

	"tlscore.example/tlscore/internal/schedule"
	"tlscore.example/tlscore/internal/wire"
)

// What the handlers of both roles work with in both versions: the state of the
// handshake, and the messages that they emit. RFC 8446, Section 4.

// handshake is what both roles keep until the handshake is over.
type handshake struct {
	clientRandom [32]byte // names the connection in the key log
	suite        *cipherSuite
	group        tls.CurveID // of the key exchange; a client of TLS 1.3 has its shares
	transcript   *schedule.Transcript
	sums         [2][schedule.MaxSize]byte // the last two hashes of it
	turn         uint8                     // which of them is the last
	mac          [schedule.MaxSize]byte    // of a Finished
	early        schedule.EarlySecret      // once a session is resumed
	secret       schedule.HandshakeSecret
	main         schedule.MainSecret // once it is derived
	inline       Task                // that is done at once
	signed       [len(signedPadding) + len(serverSignatureContext) + 1 + schedule.MaxSize]byte
	// The handshake traffic secrets.
	clientSecret, serverSecret schedule.TrafficSecret
	// The application traffic secret of the peer, from when it is derived until
	// the peer's Finished lets it be used.
	peerSecret schedule.TrafficSecret
	// That of a client, from when it is derived until its own Finished is sent.
	ownSecret schedule.TrafficSecret
	resumed   *resumed // the session that is resumed, once that is agreed on

	tls12 *handshake12 // what TLS 1.2 needs besides

	emitted []byte // messages that are not in a record yet
}

// wipe clears the secrets.
func (h *handshake) wipe() {
	h.early.Wipe()
	h.secret.Wipe()
	h.main.Wipe()
	h.clientSecret.Wipe()
	h.serverSecret.Wipe()
	h.peerSecret.Wipe()
	h.ownSecret.Wipe()
	if h.resumed != nil {
		h.resumed.Wipe()
	}
	if h.tls12 != nil {
		h.tls12.wipe()
	}
}

// startTranscript begins the transcript with a ClientHello, now that the hash is known.
func (h *handshake) startTranscript(suite *cipherSuite, clientHello []byte) {
	h.suite = suite
	h.transcript = schedule.NewTranscript(suite.hash)
	h.note(clientHello)
}

// note adds a message to the transcript.
func (h *handshake) note(msg []byte) {
	if h.transcript != nil {
		h.transcript.Write(msg)
	}
	if h.tls12 != nil && h.tls12.keepMessages {
		h.tls12.messages = append(h.tls12.messages, msg...)
	}
}

// hash returns the transcript hash so far. It is valid until the call after the next: one
// can be at hand while another is made.
func (h *handshake) hash() []byte {
	h.turn ^= 1
	return h.transcript.Sum(h.sums[h.turn][:0])
}

// conditional is an extension that a message has under a condition.
type conditional struct {
	t       wire.ExtensionType
	present bool
}

// present lists the extensions whose condition holds, in their order.
func present(list []conditional) (out []wire.Extension) {
	for _, x := range list {
		if x.present {
			out = append(out, wire.Extension{Type: x.t})
		}
	}
	return out
}

// handshakeState returns what this machine keeps of the handshake, or nil when
// that is over.
func (m *Machine) handshakeState() *handshake {
	switch {
	case m.client != nil:
		return &m.client.handshake
	case m.server != nil:
		return &m.server.handshake
	}
	return nil
}

// flightSize is room for most first flights: a ClientHello without ML-KEM, or what a server
// says with a small chain.
func (m *Machine) flightSize() int {
	if m.client != nil {
		return 320
	}
	return 1 << 10
}

// flight returns the messages that are not in a record yet. The next one is appended to them
// and given to emit.
func (m *Machine) flight() []byte {
	h := m.handshakeState()
	if h.emitted == nil {
		h.emitted = make([]byte, 0, m.flightSize())
	}
	return h.emitted
}

// emit makes the last message of the flight one that is sent, and adds it to the transcript, if
// that has begun. Handlers emit messages; which records they go into is decided elsewhere. The
// message stays with its handler, which need not put it on the heap.
func (m *Machine) emit(flight []byte) []byte {
	h := m.handshakeState()
	raw := flight[len(h.emitted):]
	h.emitted = flight
	h.note(raw)
	m.tell(TraceMessage{Sent: true, Body: raw})
	return raw
}

// flush puts the emitted messages into records under the current key.
func (m *Machine) flush() { m.flushAnd(func(*sender) {}) }

// flushAnd flushes and then does what has to follow at once: the other half may
// close the sending direction at any time, and its alerts have to be under keys
// that the peer can read at that point. When that direction is closed already,
// the messages are dropped and nothing follows.
func (m *Machine) flushAnd(then func(*sender)) (done bool) {
	h := m.handshakeState()
	if h == nil {
		return false
	}
	done = m.out.appendHandshake(h.emitted, then)
	m.sent = m.sent || done && len(h.emitted) > 0
	h.emitted = h.emitted[:0]
	return done
}

// checkFinished compares a Finished of the peer with what it has to be.
func checkFinished(msg, expected []byte) error {
	var fin wire.Finished
	if err := fin.Parse(msg[wire.HeaderLen:]); err != nil {
		return malformed(err)
	}
	// "Recipients of Finished messages MUST verify that the contents are correct
	// and if incorrect MUST terminate the connection with a "decrypt_error"
	// alert."
	// https://www.rfc-editor.org/rfc/rfc8446#section-4.4.4
	if !hmac.Equal(fin.VerifyData, expected) {
		return violation(ReasonBadFinished)
	}
	return nil
}

// handshakeDone tells that the handshake is over, and drops what it needed.
func (m *Machine) handshakeDone() {
	m.conn.complete = true
	m.push(EventHandshakeDone)
	m.endHandshake()
}

// endHandshake clears and drops what only the handshake needs.
func (m *Machine) endHandshake() {
	switch {
	case m.client != nil:
		m.client.wipe()
	case m.server != nil:
		m.server.wipe()
	}
	m.client, m.server = nil, nil
}

// call runs a callback of the application and makes a failure of its error, with
// the reason given, and of its panic.
func call(reason Reason, callback func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = failure(ReasonCallbackPanicked, fmt.Errorf("panic: %v", r))
		}
	}()
	if err := callback(); err != nil {
		return failure(reason, err)
	}
	return nil
}

// now returns the time, or the failure that a panic of Config.Time is.
func (m *Machine) now() (now time.Time, err error) {
	err = call(ReasonCallbackFailed, func() error {
		now = m.cfg.now()
		return nil
	})
	return now, err
}
