package netconn

import (
	"net"
	"sync"

	"tlscore.example/tlscore"
	"tlscore.example/tlscore/drive"
)

// Listener accepts TLS connections from another listener. Accept does not wait
// for the handshake, which runs with the first use of the connection, so a slow
// client delays nobody else.
//
// A client that sends a request in plain HTTP is told so, in HTTP, with status
// 400; the error that the connection returns then has a tls.RecordHeaderError in
// it, without a Conn.
//
// [net/http.Server.Serve] takes it and fills Request.TLS: it asks for the
// ConnectionState in the goroutine that serves the connection, which runs the
// handshake. That is before it sets a deadline, so Limits.HandshakeTimeout counts. It
// speaks HTTP/1.1 only: keep "h2" out of NextProtos.
//
// The fields must not be changed after the first Accept.
type Listener struct {
	net.Listener

	// Limits are what peers are granted. A handshake counts from the first call that runs
	// it. Accept waits while there are MaxConnections, each of which counts until its
	// transport is closed: by Close, or by a failure.
	Limits drive.Limits
	// Linger says how connections are closed.
	Linger Linger

	accept func(net.Conn) *Conn

	once        sync.Once     // sets what follows
	connections chan struct{} // has a token for each connection that may come besides; nil for any number
	turns       chan struct{}
	done        chan struct{} // closed by Close
	closeOnce   sync.Once
}

// NewListener returns a Listener whose connections all have cfg, which has to be
// fit for a server: what is wrong with it is the error of every handshake.
func NewListener(inner net.Listener, cfg *tlscore.Config) *Listener {
	return &Listener{Listener: inner, accept: func(conn net.Conn) *Conn { return Server(conn, cfg) }}
}

// NewAcceptorListener returns a Listener whose connections choose their config:
// see [Acceptor].
func NewAcceptorListener(inner net.Listener, limits tlscore.Limits, choose ChooseConfig) *Listener {
	return &Listener{Listener: inner, accept: func(conn net.Conn) *Conn { return Acceptor(conn, limits, choose) }}
}

// Listen listens on a network address, as [net.Listen] does, for TLS connections
// with cfg. Its error may be about either.
func Listen(network, address string, cfg *tlscore.Config) (*Listener, error) {
	m, err := tlscore.NewServer(cfg)
	if err != nil {
		return nil, err
	}
	m.Release()
	inner, err := net.Listen(network, address)
	if err != nil {
		return nil, err
	}
	return NewListener(inner, cfg), nil
}

// start makes what the limits need.
func (l *Listener) start() {
	l.once.Do(func() {
		l.done = make(chan struct{})
		l.connections = tokens(l.Limits.MaxConnections)
		l.turns = tokens(l.Limits.MaxHandshakes)
	})
}

// tokens returns a channel with n tokens in it, nil if n is not positive.
func tokens(n int) chan struct{} {
	if n <= 0 {
		return nil
	}
	c := make(chan struct{}, n)
	for range n {
		c <- struct{}{}
	}
	return c
}

// Accept waits for the next connection, which is a [*Conn].
func (l *Listener) Accept() (net.Conn, error) {
	l.start()
	if l.connections != nil {
		select {
		case <-l.connections:
		case <-l.done:
			return nil, net.ErrClosed
		}
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		l.ended()
		return nil, err
	}
	c := l.accept(conn)
	c.settings = settings{
		linger: l.Linger, limits: l.Limits.WithDefaults(), turns: l.turns, closed: l.ended, answersHTTP: true,
	}
	return c, nil
}

// ended makes room for another connection.
func (l *Listener) ended() {
	if l.connections != nil {
		l.connections <- struct{}{}
	}
}

// Close closes the listener beneath. Connections stay.
func (l *Listener) Close() error {
	l.start()
	l.closeOnce.Do(func() { close(l.done) })
	return l.Listener.Close()
}
