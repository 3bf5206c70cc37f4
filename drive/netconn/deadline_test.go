package netconn

import (
	"errors"
	"io"
	"os"
	"testing"
	"time"
)

// A read deadline that passes unblocks Read and breaks nothing.
func TestReadDeadline(t *testing.T) {
	for _, p := range pairs[:2] {
		t.Run(p.name, func(t *testing.T) {
			c, s := connect(t, p.client, p.server)
			reads := async(func() error { _, err := s.Read(make([]byte, 1)); return err })
			time.Sleep(10 * time.Millisecond)
			s.SetReadDeadline(time.Unix(1, 0))
			err := within(t, patience, "Read", func() error { return <-reads })
			wantTimeout(t, "Read", err)
			want(t, "Read", err, os.ErrDeadlineExceeded)
			_, err = s.Read(make([]byte, 1))
			wantTimeout(t, "Read", err)
			s.SetReadDeadline(time.Time{})
			send(t, c, "usable")
			wantText(t, s, "usable")
			send(t, s, "both ways")
			wantText(t, c, "both ways")
		})
	}
}

// A record that is half there when the deadline passes is completed later.
func TestReadDeadlineInRecord(t *testing.T) {
	c, s := connectOurs(t)
	c.send.Lock()
	c.machine.Write([]byte("in two parts"))
	rec := c.machine.Output()
	c.transport.Write(rec[:10])
	s.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	_, err := s.Read(make([]byte, 1))
	wantTimeout(t, "Read", err)
	c.transport.Write(rec[10:])
	c.machine.Sent(len(rec))
	c.send.Unlock()
	s.SetReadDeadline(time.Time{})
	wantText(t, s, "in two parts")
}

// A Write that is cut short by its deadline goes on where it was.
func TestWriteDeadline(t *testing.T) {
	const size = 16 << 20
	for _, p := range pairs[:2] {
		t.Run(p.name, func(t *testing.T) {
			c, s := connect(t, p.client, ourServer)
			data := make([]byte, size)
			io.ReadFull(&pattern{end: size}, data)
			s.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
			n, err := s.Write(data)
			wantTimeout(t, "Write", err)
			if n == 0 || n == size {
				t.Fatalf("%d of %d bytes were taken", n, size)
			}
			// While the deadline is in the past, nothing more is taken.
			if n, err := s.Write(data[n:]); n != 0 {
				t.Fatalf("%d bytes were taken: %v", n, err)
			}
			checked := async(func() error { return (&pattern{end: size}).check(c) })
			s.SetWriteDeadline(time.Time{})
			rest, err := s.Write(data[n:])
			if rest != size-n || err != nil {
				t.Fatalf("Write: %d, %v", rest, err)
			}
			noError(t, "CloseWrite", s.CloseWrite())
			noError(t, "the peer", <-checked)
		})
	}
}

// fill writes until the transport takes nothing more, and a deadline has passed. It returns how
// many bytes were taken.
func fill(t *testing.T, s *Conn) (taken int) {
	t.Helper()
	data := make([]byte, 32<<20)
	for !s.stalled.Load() { // a deadline can pass between two calls of the transport, too
		s.SetWriteDeadline(time.Now().Add(30 * time.Millisecond))
		n, err := s.Write(data)
		wantTimeout(t, "Write", err)
		taken += n
	}
	return taken
}

// What was taken goes out by itself when the deadline is moved; after it, nothing is.
func TestWriteDeadlineResumes(t *testing.T) {
	c, s := connectOurs(t)
	n := fill(t, s)
	late, err := s.Write([]byte("late"))
	if wantTimeout(t, "Write", err); late != 0 {
		t.Fatalf("%d bytes were taken after the deadline", late)
	}
	_, err = s.Write(nil)
	wantTimeout(t, "empty Write", err)
	s.SetDeadline(time.Time{})
	got, err := io.CopyN(io.Discard, c, int64(n))
	noError(t, "Read", err)
	if got != int64(n) {
		t.Errorf("%d bytes arrived, %d were taken", got, n)
	}
	_, err = s.Write(nil)
	noError(t, "empty Write", err)
}

// Who gives a Write up can let the peer know that the data is not whole.
func TestWriteGivenUp(t *testing.T) {
	c, s := connectOurs(t)
	n := fill(t, s)
	s.NetConn().Close()
	noError(t, "Close", s.Close())
	got, err := io.Copy(io.Discard, c)
	want(t, "Read", err, io.ErrUnexpectedEOF)
	if got > int64(n) {
		t.Errorf("%d bytes arrived, %d were taken", got, n)
	}
}

// CloseWrite does not wait forever for a peer that does not read.
func TestCloseWriteDeadline(t *testing.T) {
	c, s := connectOurs(t)
	n := fill(t, s)
	reads := async(func() error {
		time.Sleep(50 * time.Millisecond)
		got, err := io.Copy(io.Discard, c)
		if got != int64(n) {
			err = errors.Join(err, errors.New("bytes are missing"))
		}
		return err
	})
	noError(t, "CloseWrite", s.CloseWrite())
	noError(t, "Read", <-reads)
}

// A deadline in the handshake does not end it either.
func TestDeadlineInHandshake(t *testing.T) {
	a, b := tcpPair(t)
	c, s := Client(a, clientConfig()), Server(b, serverConfig())
	defer c.Close()
	defer s.Close()
	for _, end := range []*Conn{c, s} {
		end.SetDeadline(time.Now().Add(20 * time.Millisecond))
		wantTimeout(t, "Handshake", end.Handshake())
		end.SetDeadline(time.Unix(1, 0))
		wantTimeout(t, "Handshake", end.Handshake())
		end.SetDeadline(time.Now().Add(patience))
	}
	done := async(s.Handshake)
	noError(t, "client", c.Handshake())
	noError(t, "server", <-done)
}
