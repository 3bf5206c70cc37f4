package netconn

import (
	"net"
	"time"

	"tlscore.example/tlscore"
)

// DefaultHandshakeTimeout is how long the peers of a [Listener] get for the
// handshake, unless it says otherwise.
const DefaultHandshakeTimeout = 10 * time.Second

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
// handshake. That is before it sets a deadline, so HandshakeTimeout counts. It
// speaks HTTP/1.1 only: keep "h2" out of NextProtos.
//
// The fields must not be changed after the first Accept.
type Listener struct {
	net.Listener

	// HandshakeTimeout bounds each handshake, from its first call on. Zero means
	// DefaultHandshakeTimeout, less means no bound.
	HandshakeTimeout time.Duration
	// Linger says how connections are closed.
	Linger Linger

	accept func(net.Conn) *Conn
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

// Accept waits for the next connection, which is a [*Conn].
func (l *Listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := l.accept(conn)
	c.linger = l.Linger
	c.answersHTTP = true
	c.handshakeTimeout = l.HandshakeTimeout
	if c.handshakeTimeout == 0 {
		c.handshakeTimeout = DefaultHandshakeTimeout
	}
	return c, nil
}
