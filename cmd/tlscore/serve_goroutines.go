package main

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"tlscore.example/tlscore"
	"tlscore.example/tlscore/drive/netconn"
)

// connSet is the server without an event loop: a goroutine for each connection.
type connSet struct {
	*server
	mu       sync.Mutex
	conns    map[*netconn.Conn]bool
	stopping bool
	running  sync.WaitGroup
}

// serveGoroutines serves until ctx is done.
func (s *server) serveGoroutines(ctx context.Context, ln net.Listener) error {
	set := &connSet{server: s, conns: make(map[*netconn.Conn]bool)}
	stop := context.AfterFunc(ctx, func() {
		ln.Close()
		set.stop()
	})
	defer stop()
	tlsListener := s.listener(ln)
	for {
		conn, err := tlsListener.Accept()
		switch {
		case ctx.Err() != nil:
			set.wait()
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil:
			s.logf("cannot accept: %v; trying again in a moment", err)
			time.Sleep(100 * time.Millisecond)
			continue
		}
		c := conn.(*netconn.Conn)
		set.add(c)
		go func() {
			defer set.remove(c)
			s.serveConn(c, set.isStopping)
		}()
	}
}

func (s *server) listener(ln net.Listener) *netconn.Listener {
	l := netconn.NewListener(ln, s.certs.base)
	if s.acceptor {
		l = netconn.NewAcceptorListener(ln, s.certs.base.Limits, func(hello *tlscore.ClientHello) (*tlscore.Config, error) {
			return s.certs.forHello(hello), nil
		})
	}
	l.Limits.HandshakeTimeout = s.limits.handshake
	l.Linger = netconn.Linger{Timeout: s.limits.linger, Bytes: lingerBytes}
	return l
}

// serveConn serves one connection.
func (s *server) serveConn(c *netconn.Conn, stopping func() bool) {
	peer := c.RemoteAddr().String()
	defer s.logDone(peer, "closed")
	defer c.Close()
	if err := c.Handshake(); err != nil {
		s.logFailure(peer, err)
		return
	}
	s.logHandshake(peer, c.ConnectionState())
	err := s.serveHTTP(c, stopping)
	if err != nil && !isTimeout(err) {
		s.logFailure(peer, err)
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// serveHTTP answers the requests of one connection.
func (s *server) serveHTTP(c *netconn.Conn, stopping func() bool) error {
	http := &httpConn{
		page:   func() string { return s.page(c) },
		client: func() (string, bool) { return s.clientOf(c), false },
	}
	buf := make([]byte, 4<<10)
	deadline := time.Now().Add(s.limits.idle)
	for {
		for p := http.next(); len(p) > 0; p = http.next() {
			c.SetWriteDeadline(time.Now().Add(s.limits.idle))
			n, err := c.Write(p)
			if http.wrote(n); err != nil {
				return err
			}
			deadline = time.Now().Add(s.limits.idle)
		}
		if http.done() || stopping() {
			return nil
		}
		c.SetReadDeadline(deadline)
		if stopping() { // it may have moved the deadline just before
			return nil
		}
		n, err := c.Read(buf)
		http.receive(buf[:n])
		switch {
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			http.end() // the answer is still owed, and can be sent
		case err != nil:
			return err
		}
	}
}

// clientOf says who the client is. When it has not shown a certificate yet, it is asked for
// one, if it can be: until it answers, its goroutine waits.
func (s *server) clientOf(c *netconn.Conn) string {
	if s.private && who(c.ConnectionState()) == "" {
		c.RequestClientCertificate() // an error: it has not offered that, or speaks TLS 1.2
	}
	return who(c.ConnectionState())
}

func (s *connSet) add(c *netconn.Conn) {
	s.running.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[c] = true
}

func (s *connSet) remove(c *netconn.Conn) {
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	s.running.Done()
}

func (s *connSet) isStopping() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopping
}

// stop wakes the connections that wait for a request.
func (s *connSet) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopping = true
	for c := range s.conns {
		c.SetReadDeadline(time.Now())
	}
}

// wait waits for the last responses, for a bounded time.
func (s *connSet) wait() {
	s.stop() // a connection may have come meanwhile
	done := make(chan struct{})
	go func() {
		s.running.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(s.limits.linger):
	}
}
