// Package tlsgnet is TLS for gnet: it wraps a [gnet.EventHandler], which then sees
// plaintext on the interface that it knows. It works for servers and for clients.
//
//	h, err := tlsgnet.NewServer(handler, tlsgnet.Options{Config: cfg})
//	…
//	err = gnet.Run(h, "tcp://:8443", gnet.WithMulticore(true))
//
// The wrapped handler's OnOpen is called when the handshake is complete, OnTraffic when
// application data has come, OnClose when the connection is over for it. The gnet.Conn
// that it is given is a [*Conn]. What gnet says of concurrency holds: AsyncWrite,
// AsyncWritev, Wake, Close and CloseWithCallback may be called from anywhere, everything
// else from the handler's methods and callbacks.
//
// # What gnet does not do
//
// gnet has no deadlines, so a timer of the Handler posts a sweep to each event loop.
//
// gnet cannot stop reading, and buffers what is written without bound. While more than
// Options.HighWater bytes wait to be sent on a connection, nothing of what it receives is
// decrypted; the ciphertext is kept, up to Options.MaxInbound, and who sends more is told
// general_error. Since there is no event when the socket has taken what was buffered, each
// loop asks its stalled connections every few milliseconds while there are any.
//
// gnet closes a connection when the peer's FIN comes. A peer that ends its direction has
// to do it with close_notify alone, to read what still comes; what is left to be sent behind
// a FIN goes out only as far as the kernel takes it at once.
//
// gnet cannot stop accepting: connections beyond Limits.MaxConnections are closed at once,
// without a handshake.
//
// # How a connection ends
//
// Whatever ends it, the output of the machine is handed to gnet first, whose last record
// is the alert or close_notify. When gnet has sent it, the writing direction of the socket
// is shut down, and what still comes is dropped, as [drive.Linger] says, before it is
// closed: a client that is refused while it sends reads its alert.
package tlsgnet

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2"
	"github.com/panjf2000/gnet/v2/pkg/pool/goroutine"

	"tlscore.example/tlscore"
	"tlscore.example/tlscore/drive"
)

// Options say how a [Handler] works. They must not be changed once it is made.
type Options struct {
	// Config is that of all connections. A client's may be left out, see [Dial].
	Config *tlscore.Config
	// Choose chooses a server's config when the ClientHello is there, in place of
	// Config. It is called in the event loop, so it must not block.
	Choose drive.ChooseConfig
	// HelloLimits hold until Choose has chosen.
	HelloLimits tlscore.Limits

	Limits drive.Limits
	Linger drive.Linger

	// HighWater is how many bytes may wait to be sent before decryption stops; it goes
	// on at half of it. Zero means DefaultHighWater. What the wrapped handler writes is
	// always taken, as gnet does, so a single call can exceed it.
	HighWater int
	// MaxInbound is how many bytes may be received and not be consumed: ciphertext that
	// waits for its turn or for room in the output, and plaintext that the wrapped handler
	// leaves. It has to exceed the longest message that the handler waits for. Zero means
	// DefaultMaxInbound.
	MaxInbound int

	// Submit runs the tasks of machines (Config.Tasks) on other goroutines. It must not
	// block; while it returns an error, because its pool is full, the task is submitted
	// again. Nil means gnet's pool of workers.
	Submit func(task func()) error

	// OnFailure is told of connections that fail before OnOpen was called: of refused
	// handshakes above all. It is called in the event loop. It may be nil.
	OnFailure func(remote net.Addr, err error)
}

// The defaults of [Options].
const (
	DefaultHighWater  = 256 << 10
	DefaultMaxInbound = 1 << 20
)

// EndHandler is what a wrapped handler implements in addition if it goes on writing after
// the peer's close_notify. OnEnd is called then; the connection stays open for writing until
// it is closed. Without OnEnd it is closed, since all that has come was handled.
type EndHandler interface {
	OnEnd(c gnet.Conn) gnet.Action
}

// Dial is what a client may give as the context of gnet.Client.DialContext or
// EnrollContext, to have a config for this connection.
type Dial struct {
	Config  *tlscore.Config
	Context any // what Conn.Context returns
}

// Handler is a [gnet.EventHandler] that speaks TLS and has another one handle the
// plaintext.
type Handler struct {
	user   gnet.EventHandler
	ended  EndHandler // user, if it is one
	client bool
	opts   Options
	limits drive.Limits
	linger drive.Linger
	turns  turns

	connections atomic.Int64
	clock       atomic.Int64 // the time of the last sweep, in nanoseconds
	stopped     atomic.Bool  // the engine ends: its loops take nothing more

	mu    sync.Mutex
	loops map[gnet.EventLoop]*loop
	timer *time.Timer // of the sweeps; nil when the engine does not run
}

var _ gnet.EventHandler = (*Handler)(nil)

// NewServer returns a handler for gnet.Run and gnet.Rotate. The error says what is wrong
// with the options.
func NewServer(user gnet.EventHandler, opts Options) (*Handler, error) {
	h := newHandler(user, opts, false)
	m, err := h.newMachine(opts.Config)
	if err != nil {
		return nil, err
	}
	m.Release()
	return h, nil
}

// NewClient returns a handler for gnet.NewClient. If opts have a Config, the error says
// what is wrong with it.
func NewClient(user gnet.EventHandler, opts Options) (*Handler, error) {
	h := newHandler(user, opts, true)
	if opts.Config != nil {
		m, err := h.newMachine(opts.Config)
		if err != nil {
			return nil, err
		}
		m.Release()
	}
	return h, nil
}

func newHandler(user gnet.EventHandler, opts Options, client bool) *Handler {
	if opts.HighWater <= 0 {
		opts.HighWater = DefaultHighWater
	}
	if opts.MaxInbound <= 0 {
		opts.MaxInbound = DefaultMaxInbound
	}
	if opts.Submit == nil {
		opts.Submit = goroutine.DefaultWorkerPool.Submit
	}
	h := &Handler{
		user: user, client: client, opts: opts,
		limits: opts.Limits.WithDefaults(), linger: opts.Linger.WithDefaults(),
		loops: make(map[gnet.EventLoop]*loop),
	}
	h.ended, _ = user.(EndHandler)
	h.turns.max = h.limits.MaxHandshakes
	h.clock.Store(time.Now().UnixNano())
	return h
}

// errNoConfig is that of a client without one.
var errNoConfig = errors.New("tlsgnet: neither Options nor Dial has a Config")

func (h *Handler) newMachine(cfg *tlscore.Config) (*tlscore.Machine, error) {
	switch {
	case h.client && cfg == nil:
		return nil, errNoConfig
	case h.client:
		return tlscore.NewClient(cfg)
	case h.opts.Choose != nil:
		return tlscore.NewAcceptor(h.opts.HelloLimits)
	}
	return tlscore.NewServer(cfg)
}

// OnBoot implements [gnet.EventHandler].
func (h *Handler) OnBoot(eng gnet.Engine) gnet.Action {
	h.stopped.Store(false)
	h.mu.Lock()
	h.timer = time.AfterFunc(sweepEvery, h.sweep)
	h.mu.Unlock()
	return h.user.OnBoot(eng)
}

// OnShutdown implements [gnet.EventHandler].
func (h *Handler) OnShutdown(eng gnet.Engine) {
	h.stopped.Store(true)
	h.mu.Lock()
	h.timer.Stop()
	h.timer = nil
	h.mu.Unlock()
	h.user.OnShutdown(eng)
}

// OnTick implements [gnet.EventHandler]: it is the wrapped handler's.
func (h *Handler) OnTick() (time.Duration, gnet.Action) { return h.user.OnTick() }

// OnOpen implements [gnet.EventHandler].
func (h *Handler) OnOpen(transport gnet.Conn) ([]byte, gnet.Action) {
	cfg, ctx := h.opts.Config, transport.Context()
	if dial, ok := ctx.(Dial); ok {
		cfg, ctx = dial.Config, dial.Context
	}
	transport.SetContext(nil)
	if n := h.connections.Add(1); h.limits.MaxConnections > 0 && n > int64(h.limits.MaxConnections) {
		h.connections.Add(-1)
		return nil, gnet.Close
	}
	m, err := h.newMachine(cfg)
	if err != nil {
		h.connections.Add(-1)
		h.failure(transport.RemoteAddr(), err)
		return nil, gnet.Close
	}
	c := &Conn{Conn: transport, h: h, loop: h.loopOf(transport.EventLoop()), tls: m, ctx: ctx}
	transport.SetContext(c)
	return nil, c.open()
}

func (h *Handler) failure(remote net.Addr, err error) {
	if h.opts.OnFailure != nil {
		h.opts.OnFailure(remote, err)
	}
}

// OnTraffic implements [gnet.EventHandler].
func (h *Handler) OnTraffic(transport gnet.Conn) gnet.Action {
	// All of it is taken each time, so this is the loop's own buffer: what is in it may
	// be overwritten, and is until the return.
	chunk, _ := transport.Next(-1)
	c, ok := transport.Context().(*Conn)
	if !ok {
		return gnet.Close
	}
	return c.received(chunk)
}

// OnClose implements [gnet.EventHandler].
func (h *Handler) OnClose(transport gnet.Conn, err error) gnet.Action {
	c, ok := transport.Context().(*Conn)
	if !ok {
		return gnet.None
	}
	return c.transportClosed(err)
}
