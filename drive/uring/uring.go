//go:build linux

package uring

import (
	"errors"
	"net"
	"runtime"
	"time"

	"tlscore.example/tlscore"
	"tlscore.example/tlscore/drive"
)

// Handler handles the connections of a server. Its methods are called in the server's
// goroutine, one after the other, so they must not block. [BaseHandler] has the ones that
// one does not need.
type Handler interface {
	// OnOpen is called when the handshake is complete.
	OnOpen(c *Conn)
	// OnData is called with application data, which may be overwritten and is valid until
	// the return. Early data that was accepted comes behind OnOpen, too.
	OnData(c *Conn, data []byte)
	// OnWritable is called when there is room again after a Write that took less than
	// all.
	OnWritable(c *Conn)
	// OnEnd is called when the peer has ended its direction, with close_notify or, if
	// truncated, with a FIN alone. Writing still works; Close is due.
	OnEnd(c *Conn, truncated bool)
	// OnClose is called once for each connection that OnOpen was called for, when it is
	// over for the handler. err is nil after Close and the error of the machine
	// after a failure: a [*tlscore.ProtocolError], [*tlscore.RemoteAlert] or
	// [*tlscore.LocalError]; otherwise that of the transport, [drive.ErrIdleTimeout], or
	// [ErrServerClosed].
	OnClose(c *Conn, err error)
}

// BaseHandler does nothing, but to close at the peer's end.
type BaseHandler struct{}

// OnOpen implements [Handler].
func (BaseHandler) OnOpen(*Conn) {}

// OnData implements [Handler].
func (BaseHandler) OnData(*Conn, []byte) {}

// OnWritable implements [Handler].
func (BaseHandler) OnWritable(*Conn) {}

// OnEnd implements [Handler].
func (BaseHandler) OnEnd(c *Conn, _ bool) { c.Close() }

// OnClose implements [Handler].
func (BaseHandler) OnClose(*Conn, error) {}

// Server serves the connections of a listener. The fields must not be changed once Serve is
// called.
type Server struct {
	Handler Handler

	// Config is that of all connections.
	Config *tlscore.Config
	// Choose chooses the config when the ClientHello is there, in place of Config. It
	// must not block.
	Choose drive.ChooseConfig
	// HelloLimits hold until Choose has chosen.
	HelloLimits tlscore.Limits

	Limits drive.Limits
	Linger drive.Linger

	// Buffers is how many buffers of BufferSize bytes there are to receive into, rounded up
	// to a power of two. Zero means 2,048 of 8 KiB. When there are fewer than connections
	// that are sent to at the same time, those that come too late wait, and a handshake among
	// them can be too late for its deadline.
	Buffers, BufferSize int
	// Slots is how many pieces of memory of SlotSize bytes to send from are kept while they
	// are not in use; there are more when more are needed, at most two for a connection.
	// Zero means 128 of 64 KiB. A slot has to hold a record: at least 17 KiB.
	Slots, SlotSize int
	// Workers is how many tasks of machines (Config.Tasks) run at the same time, on
	// goroutines of their own. Zero means GOMAXPROCS.
	Workers int

	// OnFailure is told of connections that fail before OnOpen: of refused handshakes above
	// all. It may be nil.
	OnFailure func(remote net.Addr, err error)
}

// ErrServerClosed is what OnClose is told of connections that were open when the context of
// Serve ended.
var ErrServerClosed = errors.New("uring: the server is closed")

// The defaults of [Server].
const (
	defaultBuffers    = 2048
	defaultBufferSize = 8 << 10
	defaultSlots      = 128
	defaultSlotSize   = 64 << 10

	minSlotSize = 17 << 10
)

// withDefaults returns a copy with the defaults in place.
func (s *Server) withDefaults() *Server {
	c := *s
	c.Limits, c.Linger = c.Limits.WithDefaults(), c.Linger.WithDefaults()
	for _, d := range []struct {
		field *int
		value int
	}{
		{&c.Buffers, defaultBuffers}, {&c.BufferSize, defaultBufferSize},
		{&c.Slots, defaultSlots}, {&c.SlotSize, defaultSlotSize},
		{&c.Workers, runtime.GOMAXPROCS(0)},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	for n := c.Buffers; n&(n-1) != 0; c.Buffers = n {
		n += n & -n
	}
	c.SlotSize = max(c.SlotSize, minSlotSize)
	return &c
}

// check says what is wrong with the server.
func (s *Server) check() error {
	if s.Handler == nil {
		return errors.New("uring: a Server without a Handler")
	}
	m, err := s.newMachine()
	if err != nil {
		return err
	}
	m.Release()
	return nil
}

func (s *Server) newMachine() (*tlscore.Machine, error) {
	if s.Choose != nil {
		return tlscore.NewAcceptor(s.HelloLimits)
	}
	return tlscore.NewServer(s.Config)
}

// sweepEvery is how often deadlines are looked at.
const sweepEvery = 50 * time.Millisecond
