package grpccreds

//lint:file-ignore SA1019 what is deprecated of the interface is still part of it

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"tlscore.example/tlscore"
	"tlscore.example/tlscore/internal/tlstest"
)

// patience bounds what has to come.
const patience = time.Minute

// service is a service made by hand: Who says who the client is, Echo sends back what comes.
var service = grpc.ServiceDesc{
	ServiceName: "test.Service",
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{MethodName: "Who", Handler: func(_ any, ctx context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		if err := dec(new(wrapperspb.StringValue)); err != nil {
			return nil, err
		}
		p, _ := peer.FromContext(ctx)
		info, ok := p.AuthInfo.(credentials.TLSInfo)
		if !ok {
			return nil, status.Errorf(codes.Internal, "%T", p.AuthInfo)
		}
		who := "nobody"
		if certs := info.State.PeerCertificates; len(certs) > 0 {
			who = certs[0].Subject.CommonName
		}
		return wrapperspb.String(fmt.Sprint(info.AuthType(), " ", info.SecurityLevel, " ", info.State.NegotiatedProtocol, " ", who)), nil
	}}},
	Streams: []grpc.StreamDesc{{StreamName: "Echo", ServerStreams: true, ClientStreams: true, Handler: func(_ any, s grpc.ServerStream) error {
		for {
			var m wrapperspb.BytesValue
			if err := s.RecvMsg(&m); err == io.EOF {
				return nil
			} else if err != nil {
				return err
			}
			if err := s.SendMsg(&m); err != nil {
				return err
			}
		}
	}}},
}

// serve runs a server with credentials until the test ends.
func serve(t *testing.T, creds credentials.TransportCredentials) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer(grpc.Creds(creds), grpc.ConnectionTimeout(patience))
	srv.RegisterService(&service, nil)
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	t.Cleanup(func() {
		srv.Stop()
		<-done
	})
	return l.Addr().String()
}

func dial(t *testing.T, addr string, creds credentials.TransportCredentials) *grpc.ClientConn {
	t.Helper()
	c, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(creds), grpc.WithAuthority("localhost"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func who(t *testing.T, c *grpc.ClientConn) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var answer wrapperspb.StringValue
	err := c.Invoke(ctx, "/test.Service/Who", wrapperspb.String(""), &answer)
	return answer.Value, err
}

func serverConfig() *tlscore.Config {
	return &tlscore.Config{
		Certificates: []tls.Certificate{tlstest.Certificate(tlstest.Leaf{})}, Time: tlstest.Clock,
		ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: tlstest.Roots(),
	}
}

func clientConfig() *tlscore.Config {
	return &tlscore.Config{RootCAs: tlstest.Roots(), Time: tlstest.Clock, Certificates: []tls.Certificate{tlstest.ClientCertificate(tlstest.ECDSAP256)}}
}

func stdServer() credentials.TransportCredentials {
	c := serverConfig()
	return credentials.NewTLS(&tls.Config{Certificates: c.Certificates, Time: c.Time, ClientAuth: c.ClientAuth, ClientCAs: c.ClientCAs})
}

func stdClient() credentials.TransportCredentials {
	c := clientConfig()
	return credentials.NewTLS(&tls.Config{Certificates: c.Certificates, Time: c.Time, RootCAs: c.RootCAs})
}

// Calls and streams, with the credentials of gRPC at either end.
func TestCalls(t *testing.T) {
	for _, tt := range []struct {
		name           string
		server, client credentials.TransportCredentials
	}{
		{"both", New(serverConfig()), New(clientConfig())},
		{"server", New(serverConfig()), stdClient()},
		{"client", stdServer(), New(clientConfig())},
		{"acceptor", NewAcceptor(tlscore.Limits{}, func(hello *tlscore.ClientHello) (*tlscore.Config, error) {
			cfg := serverConfig()
			cfg.NextProtos = []string{"h2"}
			return cfg, nil
		}), New(clientConfig()).Clone()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := dial(t, serve(t, tt.server), tt.client)
			if answer, err := who(t, c); err != nil || answer != "tls PrivacyAndIntegrity h2 client" {
				t.Fatalf("%q, %v", answer, err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			s, err := c.NewStream(ctx, &service.Streams[0], "/test.Service/Echo")
			if err != nil {
				t.Fatal(err)
			}
			const messages, size = 50, 100_000
			go func() {
				for i := range messages {
					s.SendMsg(wrapperspb.Bytes([]byte(strings.Repeat(string(rune('a'+i%26)), size))))
				}
				s.CloseSend()
			}()
			for i := range messages {
				var m wrapperspb.BytesValue
				if err := s.RecvMsg(&m); err != nil || string(m.Value) != strings.Repeat(string(rune('a'+i%26)), size) {
					t.Fatalf("message %d: %d bytes, %v", i, len(m.Value), err)
				}
			}
			if err := s.RecvMsg(new(wrapperspb.BytesValue)); err != io.EOF {
				t.Error(err)
			}
		})
	}
}

// A handshake that fails tells both sides why.
func TestRefused(t *testing.T) {
	old := serverConfig()
	old.MaxVersion = tls.VersionTLS12
	young := clientConfig()
	young.MinVersion = tls.VersionTLS13
	if _, err := who(t, dial(t, serve(t, New(old)), New(young))); err == nil || !strings.Contains(err.Error(), "protocol_version") {
		t.Error(err)
	}
	other := clientConfig()
	other.RootCAs = x509.NewCertPool()
	if _, err := who(t, dial(t, serve(t, New(serverConfig())), New(other))); err == nil || status.Code(err) != codes.Unavailable {
		t.Error(err)
	}
	if _, _, err := NewAcceptor(tlscore.Limits{}, nil).ClientHandshake(t.Context(), "localhost", nil); err == nil {
		t.Error("a client with the credentials of an acceptor")
	}
}

// ends runs a handshake of each of two credentials over a connection.
func ends(t *testing.T, ctx context.Context, client func(net.Conn) error, server credentials.TransportCredentials) (clientErr, serverErr error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan error, 1)
	go func() {
		raw, err := l.Accept()
		if err == nil {
			raw.SetDeadline(time.Now().Add(patience))
			var conn net.Conn
			if conn, _, err = server.ServerHandshake(raw); err == nil {
				conn.Close()
			}
		}
		done <- err
	}()
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	raw.SetDeadline(time.Now().Add(patience))
	clientErr = client(raw)
	return clientErr, <-done
}

// A peer without ALPN is refused by either side.
func TestALPN(t *testing.T) {
	_, err := ends(t, t.Context(), func(raw net.Conn) error {
		_, err := tls.Client(raw, &tls.Config{RootCAs: tlstest.Roots(), ServerName: "localhost", Time: tlstest.Clock}).Read(make([]byte, 1))
		return err
	}, New(serverConfig()))
	if !errors.Is(err, ErrNoALPN) {
		t.Error(err)
	}
	plain := serverConfig()
	plain.NextProtos = []string{"http/1.1", "h2"}
	err, _ = ends(t, t.Context(), func(raw net.Conn) error {
		cfg := clientConfig()
		cfg.NextProtos = []string{"http/1.1"}
		_, _, err := New(cfg).ClientHandshake(t.Context(), "localhost:443", raw)
		return err
	}, New(plain))
	if !errors.Is(err, ErrNoALPN) {
		t.Error(err)
	}
}

// The context ends the handshake of a client.
func TestContext(t *testing.T) {
	a, b := net.Pipe()
	defer b.Close()
	go io.Copy(io.Discard, b)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, _, err := New(clientConfig()).ClientHandshake(ctx, "localhost", a); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestNames(t *testing.T) {
	c := New(&tlscore.Config{ServerName: "a.test"})
	if info := c.Info(); info.SecurityProtocol != "tls" || info.ServerName != "a.test" {
		t.Errorf("%+v", info)
	}
	clone := c.Clone()
	clone.OverrideServerName("localhost")
	if c.Info().ServerName != "a.test" || clone.Info().ServerName != "localhost" {
		t.Error("a clone is not its own")
	}
}

func TestSPIFFE(t *testing.T) {
	for text, ok := range map[string]bool{
		"spiffe://trust.test/service": true, "https://trust.test/service": false, "spiffe:///service": false,
		"spiffe://trust.test/service?x": false, "spiffe:opaque": false, "spiffe://user@trust.test/": false,
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		state := tls.ConnectionState{PeerCertificates: []*x509.Certificate{{URIs: []*url.URL{u}}}}
		if got := spiffeID(state); (got != nil) != ok {
			t.Errorf("%s: %v", text, got)
		}
		state.PeerCertificates[0].URIs = []*url.URL{u, u}
		if spiffeID(state) != nil {
			t.Error("two URIs")
		}
	}
	if spiffeID(tls.ConnectionState{}) != nil {
		t.Error("no certificate")
	}
}
