package main

import (
	"context"
	"errors"
	"net"
	"time"

	"tlscore.example/tlscore/drive/uring"
	"tlscore.example/tlscore/internal/benchkit"
)

// ringHandler answers for drive/uring, whose Write takes what there is room for.
type ringHandler struct {
	uring.BaseHandler
	service benchkit.Service
}

// ringWork is what is left to be written on a connection.
type ringWork struct{ pieces [][]byte }

func (h ringHandler) OnOpen(c *uring.Conn) { c.SetContext(new(ringWork)) }

func (h ringHandler) OnData(c *uring.Conn, in []byte) {
	w := c.Context().(*ringWork)
	err := h.service.Answer(in, func(p []byte) error {
		if len(w.pieces) == 0 {
			n, err := c.Write(p)
			if err != nil || n == len(p) {
				return err
			}
			p = p[n:]
		}
		if h.service.Piece == nil {
			return errors.New("an echo has to wait")
		}
		w.pieces = append(w.pieces, p)
		return nil
	})
	if err != nil {
		c.Close()
	}
}

func (h ringHandler) OnWritable(c *uring.Conn) {
	w := c.Context().(*ringWork)
	for len(w.pieces) > 0 {
		n, err := c.Write(w.pieces[0])
		if err != nil {
			c.Close()
			return
		}
		if w.pieces[0] = w.pieces[0][n:]; len(w.pieces[0]) > 0 {
			return
		}
		w.pieces = w.pieces[1:]
	}
	w.pieces = nil
}

// serveRing serves with drive/uring. Its error says that there is no io_uring here.
func serveRing(p *benchkit.PKI, service benchkit.Service) (string, func(), error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	addr := l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	s := &uring.Server{Handler: ringHandler{service: service}, Config: p.Server()}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l.(*net.TCPListener)) }()
	select {
	case err := <-done:
		cancel()
		return "", nil, err
	case <-time.After(50 * time.Millisecond):
		return addr, func() { cancel(); <-done }, nil
	}
}
