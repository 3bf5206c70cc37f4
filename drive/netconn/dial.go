package netconn

import (
	"context"
	"net"

	"tlscore.example/tlscore"
)

// Dialer makes TLS connections to network addresses. The zero value is ready to
// use, with the system's authorities.
type Dialer struct {
	// NetDialer makes the connection beneath; nil means a zero [net.Dialer]. Its
	// Timeout and Deadline bound the handshake too.
	NetDialer *net.Dialer
	// Config is the client's config; nil means a zero one. If it has no
	// ServerName, the host of the address is used.
	Config *tlscore.Config
	// Linger says how connections are closed.
	Linger Linger
}

// Dial connects to address with cfg and runs the handshake. See [Dialer].
func Dial(network, address string, cfg *tlscore.Config) (*Conn, error) {
	d := Dialer{Config: cfg}
	return d.dial(context.Background(), network, address)
}

// Dial is DialContext without a context.
func (d *Dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

// DialContext connects to address and runs the handshake, both within ctx, which
// has no effect afterwards. The connection is a [*Conn]. It is what
// [net/http.Transport] wants as DialTLSContext; that speaks HTTP/1.1 over it, so
// keep "h2" out of NextProtos, and leaves Response.TLS nil, since it fills that
// for a *tls.Conn only.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := d.dial(ctx, network, address)
	if err != nil {
		return nil, err // not a nil *Conn in an interface
	}
	return c, nil
}

func (d *Dialer) dial(ctx context.Context, network, address string) (*Conn, error) {
	nd := d.NetDialer
	if nd == nil {
		nd = new(net.Dialer)
	}
	if nd.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, nd.Timeout)
		defer cancel()
	}
	if !nd.Deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, nd.Deadline)
		defer cancel()
	}
	cfg, err := d.configFor(address)
	if err != nil {
		return nil, err
	}
	conn, err := nd.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := Client(conn, cfg)
	c.linger = d.Linger
	if err := c.HandshakeContext(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// configFor returns the config for a server at address, or what is wrong with it.
func (d *Dialer) configFor(address string) (*tlscore.Config, error) {
	cfg := d.Config
	if cfg == nil {
		cfg = new(tlscore.Config)
	}
	if cfg.ServerName == "" {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		cfg = cfg.Clone()
		cfg.ServerName = host
	}
	m, err := tlscore.NewClient(cfg)
	if err != nil {
		return nil, err
	}
	m.Release()
	return cfg, nil
}
