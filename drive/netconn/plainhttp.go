package netconn

import (
	"crypto/tls"
	"errors"
	"net"
	"sync"

	"tlscore.example/tlscore"
	"tlscore.example/tlscore/drive"
)

// plainHTTPError is the error of a handshake with a client that speaks plain
// HTTP. For errors.As it is a [tls.RecordHeaderError] as well as a
// [*tlscore.ProtocolError].
type plainHTTPError struct {
	header   tls.RecordHeaderError
	protocol *tlscore.ProtocolError
}

func (e *plainHTTPError) Error() string {
	return "netconn: the client sent an HTTP request to a TLS server"
}

func (e *plainHTTPError) Unwrap() []error { return []error{e.header, e.protocol} }

// plainHTTP gives up TLS for a client that speaks plain HTTP. The alert, which
// it could not read, is dropped. The transport stays open for an answer, which a
// Listener's connection gives itself.
func (c *Conn) plainHTTP(protocol *tlscore.ProtocolError) error {
	c.send.Lock()
	c.machine.Sent(len(c.machine.Output()))
	c.send.Unlock()
	failure := &plainHTTPError{protocol: protocol, header: tls.RecordHeaderError{
		Msg:          "first record does not look like a TLS handshake",
		RecordHeader: protocol.Header,
	}}
	if c.answersHTTP {
		<-c.end(failure, lastWords{plain: drive.PlainHTTPAnswer, linger: true})
		return c.over()
	}
	failure.header.Conn = &replayConn{Conn: c.transport, owner: c, unread: append([]byte(nil), c.in.bytes()...)}
	c.in.release()
	c.mu.Lock()
	c.because(failure)
	c.mu.Unlock()
	return c.over()
}

// replayConn is the transport of a connection that turned out not to be TLS: it
// reads from the first byte on, those that the machine has judged included.
// Closing it closes the Conn that it came from, and the other way round.
type replayConn struct {
	net.Conn
	owner *Conn

	mu     sync.Mutex
	unread []byte
}

func (r *replayConn) Read(p []byte) (int, error) {
	r.mu.Lock()
	n := copy(p, r.unread)
	r.unread = r.unread[n:]
	r.mu.Unlock()
	if n > 0 || len(p) == 0 {
		return n, nil
	}
	return r.Conn.Read(p)
}

func (r *replayConn) Close() error { return r.owner.Close() }

// CloseWrite ends the transport's writing direction.
func (r *replayConn) CloseWrite() error {
	if half, ok := r.Conn.(closeWriter); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}
