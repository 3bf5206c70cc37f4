//go:build unix

package main

import (
	"context"
	"errors"
	"net"
	"runtime"
	"sync"

	llib "github.com/lesismal/llib/std/crypto/tls"
	"github.com/lesismal/nbio"
	nbiotls "github.com/lesismal/nbio/extension/tls"
	"github.com/lesismal/nbio/logging"
	"github.com/panjf2000/gnet/v2"

	tlsgnet "tlscore.example/tlscore/drive/gnet"
	"tlscore.example/tlscore/drive/netconn"
	"tlscore.example/tlscore/internal/benchkit"
)

func init() { logging.SetLevel(logging.LevelNone) }

// group is who is compared with each other: TLS over the plain form of the same driver.
type group struct {
	plain benchkit.Contestant
	tls   []benchkit.Contestant
}

// groups returns the contestants, by their drivers.
func groups(r *benchkit.Runner) []group {
	cfg := r.PKI.Server()
	list := []group{
		{benchkit.OverTCP("plain TCP", nil), []benchkit.Contestant{
			r.PKI.CryptoTLS(),
			benchkit.OverTCP("drive/netconn", func(c net.Conn) net.Conn { return netconn.Server(c, cfg) }),
		}},
		{benchkit.Contestant{Name: "plain gnet", Serve: plainGnet}, []benchkit.Contestant{
			{Name: "drive/gnet", TLS: true, Serve: func(s benchkit.Service) (string, func(), error) { return tlsGnet(r.PKI, s) }},
		}},
	}
	if raceDetector {
		r.Skip("nbio", errors.New("its loops hand connections over in a way that the race detector does not see"))
	} else {
		list = append(list, group{benchkit.Contestant{Name: "plain nbio", Serve: plainNBIO}, []benchkit.Contestant{
			{Name: "nbio and llib", TLS: true, Serve: func(s benchkit.Service) (string, func(), error) { return tlsNBIO(r.PKI, s) }},
		}})
	}
	// There is no plain form of drive/uring.
	ring := benchkit.Contestant{Name: "drive/uring", TLS: true, Serve: func(s benchkit.Service) (string, func(), error) { return serveRing(r.PKI, s) }}
	if _, stop, err := ring.Serve(benchkit.Service{}); err != nil {
		r.Skip(ring.Name, err)
	} else {
		stop()
		list[0].tls = append(list[0].tls, ring)
	}
	return list
}

func all(groups []group) (list []benchkit.Contestant) {
	for _, g := range groups {
		list = append(append(list, g.plain), g.tls...)
	}
	return list
}

// handler answers for gnet, plain or with TLS.
type handler struct {
	gnet.BuiltinEventEngine
	service benchkit.Service
	booted  chan gnet.Engine
}

func (h *handler) OnBoot(e gnet.Engine) gnet.Action {
	h.booted <- e
	return gnet.None
}

func (h *handler) OnTraffic(c gnet.Conn) gnet.Action {
	in, err := c.Next(-1)
	if err == nil {
		err = h.service.Answer(in, func(p []byte) error {
			_, err := c.Write(p)
			return err
		})
	}
	if err != nil {
		return gnet.Close
	}
	return gnet.None
}

func plainGnet(s benchkit.Service) (string, func(), error) {
	h := &handler{service: s, booted: make(chan gnet.Engine, 1)}
	return runGnet(h, h.booted)
}

func tlsGnet(p *benchkit.PKI, s benchkit.Service) (string, func(), error) {
	h := &handler{service: s, booted: make(chan gnet.Engine, 1)}
	wrapped, err := tlsgnet.NewServer(h, tlsgnet.Options{Config: p.Server()})
	if err != nil {
		return "", nil, err
	}
	return runGnet(wrapped, h.booted)
}

func runGnet(h gnet.EventHandler, booted chan gnet.Engine) (string, func(), error) {
	addr, err := freeAddr()
	if err != nil {
		return "", nil, err
	}
	done := make(chan error, 1)
	go func() {
		done <- gnet.Run(h, "tcp://"+addr, gnet.WithMulticore(true), gnet.WithLogger(silent{}))
	}()
	select {
	case e := <-booted:
		return addr, func() { e.Stop(context.Background()); <-done }, nil
	case err := <-done:
		return "", nil, err
	}
}

// silent is a logger of gnet.
type silent struct{}

func (silent) Debugf(string, ...any) {}
func (silent) Infof(string, ...any)  {}
func (silent) Warnf(string, ...any)  {}
func (silent) Errorf(string, ...any) {}
func (silent) Fatalf(string, ...any) {}

// freeAddr returns an address that was free just now: gnet and nbio do not tell which port they
// were given.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

func plainNBIO(s benchkit.Service) (string, func(), error) {
	return runNBIO(func(e *nbio.Engine) {
		e.OnData(func(c *nbio.Conn, in []byte) {
			if s.Answer(in, func(p []byte) error { _, err := c.Write(p); return err }) != nil {
				c.Close()
			}
		})
	})
}

func tlsNBIO(p *benchkit.PKI, s benchkit.Service) (string, func(), error) {
	cfg := llibServer(p)
	// A room for each goroutine: the one of the connection would be memory of its own.
	rooms := sync.Pool{New: func() any { return new([64 << 10]byte) }}
	return runNBIO(func(e *nbio.Engine) {
		e.OnOpen(nbiotls.WrapOpen(cfg, false, nil))
		e.OnData(func(c *nbio.Conn, in []byte) {
			room := rooms.Get().(*[64 << 10]byte)
			defer rooms.Put(room)
			nbiotls.WrapData(func(c *nbio.Conn, conn *llib.Conn, in []byte) {
				if s.Answer(in, func(p []byte) error { _, err := conn.Write(p); return err }) != nil {
					c.Close()
				}
			}, func() []byte { return room[:] })(c, in)
		})
	})
}

func runNBIO(setUp func(*nbio.Engine)) (string, func(), error) {
	addr, err := freeAddr()
	if err != nil {
		return "", nil, err
	}
	e := nbio.NewEngine(nbio.Config{Network: "tcp", Addrs: []string{addr}, NPoller: runtime.GOMAXPROCS(0)})
	setUp(e)
	if err := e.Start(); err != nil {
		return "", nil, err
	}
	return addr, e.Stop, nil
}

// llibServer is the config of a server of llib, a fork of crypto/tls.
func llibServer(p *benchkit.PKI) *llib.Config {
	return &llib.Config{
		Certificates: []llib.Certificate{{Certificate: p.Leaf.Certificate, PrivateKey: p.Leaf.PrivateKey}},
		MinVersion:   llib.VersionTLS13, SessionTicketsDisabled: true,
	}
}

func llibClient(p *benchkit.PKI) *llib.Config {
	return &llib.Config{ServerName: "localhost", RootCAs: p.Roots, MinVersion: llib.VersionTLS13, CurvePreferences: []llib.CurveID{llib.X25519}}
}
