// Package grpccreds is TLS for gRPC: transport credentials over package netconn.
//
//	grpc.NewServer(grpc.Creds(creds))
//	grpc.NewClient(target, grpc.WithTransportCredentials(creds))
package grpccreds

//lint:file-ignore SA1019 what is deprecated of the interface is still part of it

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"syscall"

	"google.golang.org/grpc/credentials"

	"tlscore.example/tlscore"
	"tlscore.example/tlscore/drive"
	"tlscore.example/tlscore/drive/netconn"
)

// ErrNoALPN is the error of a handshake with a peer that does not negotiate HTTP/2 by ALPN,
// as it has to: RFC 9113, Section 3.2. The connection is closed.
var ErrNoALPN = errors.New("grpccreds: the peer does not negotiate HTTP/2 (ALPN)")

const protocol = "h2"

// creds are credentials of one role or both.
type creds struct {
	cfg    *tlscore.Config // without a ServerName
	choose drive.ChooseConfig
	limits tlscore.Limits
	name   string // in place of the authority's; for tests
}

// New returns credentials for clients and servers with cfg, which must not be changed
// afterwards. Its NextProtos become "h2", if it has none. A client asks for, and verifies,
// the host of the authority, or cfg.ServerName if it has one, which becomes the authority.
func New(cfg *tlscore.Config) credentials.TransportCredentials {
	cfg = cfg.Clone()
	name := cfg.ServerName
	cfg.ServerName = ""
	if len(cfg.NextProtos) == 0 {
		cfg.NextProtos = []string{protocol}
	}
	return &creds{cfg: cfg, name: name}
}

// NewAcceptor returns credentials for servers that choose their config by the ClientHello.
// What choose returns has to have "h2" in its NextProtos. The limits hold until then.
func NewAcceptor(limits tlscore.Limits, choose drive.ChooseConfig) credentials.TransportCredentials {
	return &creds{choose: choose, limits: limits}
}

// ClientHandshake implements [credentials.TransportCredentials].
func (c *creds) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if c.cfg == nil {
		return nil, nil, errors.New("grpccreds: these are credentials for servers")
	}
	cfg := c.cfg.Clone()
	if cfg.ServerName = c.name; cfg.ServerName == "" {
		cfg.ServerName = authority
		if host, _, err := net.SplitHostPort(authority); err == nil {
			cfg.ServerName = host
		}
	}
	return handshake(ctx, netconn.Client(raw, cfg), raw)
}

// ServerHandshake implements [credentials.TransportCredentials].
func (c *creds) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if c.choose != nil {
		return handshake(context.Background(), netconn.Acceptor(raw, c.limits, c.choose), raw)
	}
	return handshake(context.Background(), netconn.Server(raw, c.cfg), raw)
}

// handshake runs the handshake. The deadline of raw, which gRPC sets for servers, holds. A
// connection that fails is closed when its alert is sent.
func handshake(ctx context.Context, conn *netconn.Conn, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if err := conn.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, nil, err
	}
	state := conn.ConnectionState()
	if state.NegotiatedProtocol != protocol {
		conn.Close()
		return nil, nil, ErrNoALPN
	}
	info := credentials.TLSInfo{
		State:          state,
		CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity},
		SPIFFEID:       spiffeID(state),
	}
	if sc, ok := raw.(syscall.Conn); ok {
		return &socketConn{conn, sc}, info, nil
	}
	return conn, info, nil
}

// socketConn lets gRPC set options of the socket beneath.
type socketConn struct {
	*netconn.Conn
	socket syscall.Conn
}

// SyscallConn implements [syscall.Conn].
func (c *socketConn) SyscallConn() (syscall.RawConn, error) { return c.socket.SyscallConn() }

// spiffeID returns the SPIFFE ID of the peer's certificate, nil if it has none, or more than
// one URI, which a SPIFFE certificate must not have.
func spiffeID(state tls.ConnectionState) *url.URL {
	if len(state.PeerCertificates) == 0 {
		return nil
	}
	uris := state.PeerCertificates[0].URIs
	if len(uris) != 1 {
		return nil
	}
	id := uris[0]
	if id.Scheme != "spiffe" || id.Host == "" || len(id.String()) > 2048 || id.User != nil || id.Opaque != "" || id.RawQuery != "" || id.Fragment != "" {
		return nil
	}
	return id
}

// Info implements [credentials.TransportCredentials].
func (c *creds) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls", ServerName: c.name}
}

// Clone implements [credentials.TransportCredentials].
func (c *creds) Clone() credentials.TransportCredentials {
	clone := *c
	return &clone
}

// OverrideServerName implements [credentials.TransportCredentials].
func (c *creds) OverrideServerName(name string) error {
	c.name = name
	return nil
}
