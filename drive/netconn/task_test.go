package netconn

import (
	"context"
	"crypto"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"tlscore.example/tlscore"
)

func liftedClient(c net.Conn) conn {
	cfg := clientConfig()
	cfg.Tasks = tlscore.AllTasks
	return Client(c, cfg)
}

func liftedServer(c net.Conn) conn {
	cfg := serverConfig()
	cfg.Tasks = tlscore.AllTasks
	return Server(c, cfg)
}

// All tasks of both ends run on goroutines of their own.
func TestTasks(t *testing.T) {
	for _, p := range []struct {
		name           string
		client, server func(net.Conn) conn
	}{
		{"client", liftedClient, ourServer},
		{"server", ourClient, liftedServer},
		{"both", liftedClient, liftedServer},
		{"std client", stdClient, liftedServer},
		{"std server", liftedClient, stdServer},
	} {
		t.Run(p.name, func(t *testing.T) {
			c, s := connect(t, p.client, p.server)
			send(t, c, "ping")
			wantText(t, s, "ping")
			send(t, s, "pong")
			wantText(t, c, "pong")
		})
	}
}

// A signer that waits to be told.
type slowSigner struct {
	crypto.Signer
	entered, leave chan struct{}
}

func (s *slowSigner) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	s.entered <- struct{}{}
	<-s.leave
	return s.Signer.Sign(rand, digest, opts)
}

// slowServer returns a server that is in its signer, and a client that waits for it.
func slowServer(t *testing.T, ctx context.Context) (s *Conn, signer *slowSigner, served, connected <-chan error) {
	t.Helper()
	a, b := tcpPair(t)
	cfg := serverConfig()
	cfg.Tasks = tlscore.Tasks(tlscore.TaskSign)
	signer = &slowSigner{cfg.Certificates[0].PrivateKey.(crypto.Signer), make(chan struct{}, 1), make(chan struct{})}
	cfg.Certificates[0].PrivateKey = signer
	c := Client(a, clientConfig())
	s = Server(b, cfg)
	t.Cleanup(func() { c.Close(); s.Close() })
	connected = async(c.Handshake)
	served = async(func() error { return s.HandshakeContext(ctx) })
	<-signer.entered
	return s, signer, served, connected
}

// A deadline passes while a task runs: the handshake goes on where it was.
func TestTaskDeadline(t *testing.T) {
	s, signer, served, connected := slowServer(t, context.Background())
	s.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	want(t, "Handshake", within(t, patience, "Handshake", func() error { return <-served }), os.ErrDeadlineExceeded)
	want(t, "Handshake again", s.Handshake(), os.ErrDeadlineExceeded)
	s.SetReadDeadline(time.Time{})
	served = async(s.Handshake)
	time.Sleep(10 * time.Millisecond)
	close(signer.leave)
	noError(t, "server", <-served)
	noError(t, "client", <-connected)
}

// A context and Close end a handshake whose task hangs, and the peer is told.
func TestTaskCanceled(t *testing.T) {
	for name, cause := range map[string]error{"context": context.Canceled, "close": net.ErrClosed} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			s, signer, served, connected := slowServer(t, ctx)
			if name == "close" {
				s.Close()
			} else {
				cancel()
			}
			want(t, "server", within(t, patience, "Handshake", func() error { return <-served }), cause)
			if err := within(t, patience, "client", func() error { return <-connected }); err == nil {
				t.Error("the client was not told")
			}
			close(signer.leave) // the task ends when nobody waits any more
		})
	}
}

// The answer to a ClientHello, tasks, and a failing one: its alert arrives.
func TestTaskFails(t *testing.T) {
	a, b := tcpPair(t)
	cfg := clientConfig()
	cfg.Tasks = tlscore.AllTasks
	cfg.ServerName = "elsewhere.example"
	c, s := Client(a, cfg), Acceptor(b, tlscore.Limits{}, func(*tlscore.ClientHello) (*tlscore.Config, error) {
		cfg := serverConfig()
		cfg.Tasks = tlscore.AllTasks
		return cfg, nil
	})
	defer c.Close()
	defer s.Close()
	served := async(s.Handshake)
	if err := c.Handshake(); err == nil {
		t.Fatal("a certificate for another name was accepted")
	}
	var remote *tlscore.RemoteAlert
	if err := <-served; !errors.As(err, &remote) || remote.Alert != tlscore.AlertBadCertificate {
		t.Fatalf("server: %v", err)
	}
}

// One can export, and ask about the connection, while a Read waits.
func TestExportWhileReading(t *testing.T) {
	c, s := connectOurs(t)
	read := async(func() error { _, err := s.Read(make([]byte, 1)); return err })
	time.Sleep(10 * time.Millisecond)
	theirs, err := s.ExportKeyingMaterial("EXPORTER-test", nil, 32)
	noError(t, "server", err)
	ours, err := c.ExportKeyingMaterial("EXPORTER-test", nil, 32)
	noError(t, "client", err)
	if string(ours) != string(theirs) || len(ours) != 32 {
		t.Errorf("%x, %x", ours, theirs)
	}
	if !s.ConnectionState().HandshakeComplete {
		t.Error("ConnectionState")
	}
	send(t, c, "x")
	noError(t, "Read", <-read)
}
