package tlscore

import (
	"crypto/tls"
	"sync"
)

// Hibernation: an idle connection in a few hundred bytes.

// dormant is what is left of a connection that hibernates, besides its Machine.
type dormant struct {
	state []byte // what appendState has written, to the byte
	peer  *peer  // nil if nothing is known about it
	mu    sync.Locker
}

// Hibernate reduces a connection that waits for either side to say something to a few hundred
// bytes: its secrets and sequence numbers, and what ConnectionState tells; the peer's
// certificates stay as they are. The machine wakes by itself: State, Err and
// ConnectionState are answered asleep, every other call wakes it first, which takes a few
// microseconds, mostly to expand the keys again; asking for output that there cannot be, and a
// Step without input, do not. What it does is what it would have done
// awake.
//
// It belongs to both halves of the machine, and so does the call that wakes it. While there is
// output, or a part of a message, or what [Machine.Snapshot] would not take, it returns
// [ErrNotQuiet] and changes nothing. A machine that hibernates already stays so.
func (m *Machine) Hibernate() error {
	if m.dormant != nil {
		return nil
	}
	if err := m.quiet(); err != nil {
		return err
	}
	if !m.idle() || m.in.eof && m.state == StateConnected {
		return ErrNotQuiet
	}
	scratch := m.appendState(make([]byte, 0, 1024+len(m.conn.ticketData())))
	m.dormant = &dormant{state: append(make([]byte, 0, len(scratch)), scratch...), peer: m.conn.peer, mu: m.out.locker()}
	clear(scratch)
	m.out.wipe()
	m.endReceiving()
	m.wipeExporters()
	m.live, m.hello = nil, nil
	return nil
}

// wake makes a machine that hibernates what it was. Its error is that the keys cannot be
// derived again, which they could the first time.
func (m *Machine) wake() error {
	if m.dormant == nil {
		return nil
	}
	return m.wakeUp()
}

func (m *Machine) wakeUp() error {
	d := m.dormant
	m.dormant = nil
	m.live = newLive(&m.d.environment)
	if d.mu != nil {
		m.SetLocker(d.mu)
	}
	_, err := m.restoreState(d.state)
	if err != nil {
		clear(d.state)
		m.fail(err)
		return err
	}
	m.conn.peer = d.peer
	clear(d.state)
	return nil
}

// sleepsOn reports whether a Step with in finds nothing to do for a machine that hibernates.
func (m *Machine) sleepsOn(in []byte) bool {
	return m.dormant != nil && len(in) == 0 && !m.sent && m.state == StateConnected
}

// dropDormant forgets the state of a machine that hibernates.
func (m *Machine) dropDormant() {
	if m.dormant != nil {
		clear(m.dormant.state)
		m.dormant = nil
		m.live = newLive(&m.d.environment)
	}
}

// dormantState is ConnectionState of a machine that hibernates: without its keys.
func (m *Machine) dormantState() tls.ConnectionState {
	asleep := &Machine{cfg: m.cfg, d: m.d, live: newLive(&m.d.environment)}
	asleep.restoreState(m.dormant.state)
	asleep.conn.peer = m.dormant.peer
	state := asleep.conn.state()
	asleep.out.wipe()
	asleep.endReceiving()
	asleep.wipeExporters()
	return state
}
