package tlscore

import (
	"time"

	"tlscore.example/tlscore/internal/record"
)

// Small first records, which Config.SmallFirstRecords asks for. A record is of use to its
// receiver when all of it is there: while the congestion window is small, that of one which
// fits a packet is sooner. RFC 8446 leaves the size to the sender, Section 5.1.

const (
	// smallRecord is how long a small record is, with its header: so long that it fits a
	// packet of 1,500 bytes with the headers of IPv6 and TCP.
	smallRecord = 1400
	// smallBurst is how much application data goes into small records: the congestion
	// window has grown by then.
	smallBurst = 64 << 10
	// burstPause is for how long a connection sends nothing until small records begin
	// again.
	burstPause = time.Second
)

// pace is how far the application data of a connection has come since it began, or paused.
type pace struct {
	sent   int       // how many bytes of it are sealed
	last   time.Time // when the last of it was written
	asking bool      // Config.Time is asked
}

// startPace begins with small records, if the config asks for them.
func (s *sender) startPace() {
	if s.env.smallFirst {
		s.extra().pace = new(pace)
	}
}

func (s *sender) pace() *pace {
	if s.more == nil {
		return nil
	}
	return s.more.pace
}

// keepPace notes that application data is written, and begins anew after a pause. Its error,
// that of Config.Time, ends the connection.
func (s *sender) keepPace() error {
	p := s.pace()
	if p == nil || p.asking {
		return nil
	}
	var now time.Time
	p.asking = true
	err := call(ReasonCallbackFailed, func() error { now = s.env.now(); return nil })
	p.asking = false
	if err != nil {
		return s.find(err)
	}
	if now.Sub(p.last) >= burstPause {
		p.sent = 0
	}
	p.last = now
	return nil
}

// sealed notes that n bytes of application data are in a record.
func (s *sender) sealed(n int) {
	if p := s.pace(); p != nil && p.sent < smallBurst {
		p.sent += n
	}
}

// recordLen returns how many bytes of application data go into the next record at most.
func (s *sender) recordLen() int {
	if p := s.pace(); p != nil && p.sent < smallBurst {
		return s.smallLen()
	}
	return int(s.maxContent)
}

// smallLen is how many bytes go into a small record.
func (s *sender) smallLen() int { return min(int(s.maxContent), smallRecord-record.MaxOverhead) }
