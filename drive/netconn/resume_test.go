package netconn

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"tlscore.example/tlscore"
)

// resumingConfigs are configs of both ends which resume, with early data.
func resumingConfigs() (client, server *tlscore.Config) {
	client, server = clientConfig(), serverConfig()
	client.SessionCache = tlscore.NewLRUSessionCache(0, 0)
	client.EarlyData = true
	server.MaxEarlyData = 1000
	server.AcceptEarlyData = func(tlscore.EarlyDataInfo) bool { return true }
	return client, server
}

// visit makes one connection, and reads so that the client gets its ticket.
func visit(t *testing.T, client, server func(net.Conn) conn) (resumed bool) {
	t.Helper()
	c, s := connect(t, client, server)
	send(t, s, "hello")
	wantText(t, c, "hello")
	resumed = c.ConnectionState().DidResume
	if s.ConnectionState().DidResume != resumed {
		t.Error("the ends do not agree")
	}
	if len(c.ConnectionState().PeerCertificates) == 0 || len(c.ConnectionState().VerifiedChains) == 0 {
		t.Error("the certificates are gone")
	}
	c.Close()
	s.Close()
	return resumed
}

func TestResumption(t *testing.T) {
	ourCfg, theirCfg := resumingConfigs()
	stdCfg, stdServerCfg := stdClientConfig(), stdServerConfig()
	stdCfg.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	lifted := theirCfg.Clone()
	lifted.Tasks = tlscore.AllTasks
	for _, p := range []struct {
		name           string
		client, server func(net.Conn) conn
	}{
		{"ours", func(c net.Conn) conn { return Client(c, ourCfg) }, func(c net.Conn) conn { return Server(c, theirCfg) }},
		{"tasks", func(c net.Conn) conn { return Client(c, ourCfg) }, func(c net.Conn) conn { return Server(c, lifted) }},
		{"std client", func(c net.Conn) conn { return tls.Client(c, stdCfg) }, func(c net.Conn) conn { return Server(c, theirCfg) }},
		{"std server", func(c net.Conn) conn { return Client(c, ourCfg) }, func(c net.Conn) conn { return tls.Server(c, stdServerCfg) }},
	} {
		t.Run(p.name, func(t *testing.T) {
			ourCfg = ourCfg.Clone()
			ourCfg.SessionCache = tlscore.NewLRUSessionCache(0, 0)
			for i := range 3 {
				if resumed := visit(t, p.client, p.server); resumed != (i > 0) {
					t.Errorf("connection %d: resumed %v", i, resumed)
				}
			}
		})
	}
}

// A Dialer whose config names no server resumes, too.
func TestDialerResumes(t *testing.T) {
	l := NewListener(listen(t), serverConfig())
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.WriteString(c, "hello")
			}()
		}
	}()
	cfg := clientConfig()
	cfg.ServerName, cfg.InsecureSkipVerify = "", true
	cfg.SessionCache = tlscore.NewLRUSessionCache(0, 0)
	d := &Dialer{Config: cfg}
	for i := range 3 {
		c, err := d.Dial("tcp", l.Addr().String())
		noError(t, "Dial", err)
		wantText(t, c, "hello")
		if resumed := c.(*Conn).ConnectionState().DidResume; resumed != (i > 0) {
			t.Errorf("connection %d: resumed %v", i, resumed)
		}
		c.Close()
	}
}

// What is sent first arrives first and once: as early data, or behind the handshake,
// whatever the server makes of it.
func TestHandshakeEarly(t *testing.T) {
	long := string(bytes.Repeat([]byte("0123456789"), 500)) // more than is accepted
	client, server := resumingConfigs()
	refusing := server.Clone()
	refusing.TicketKeys = must(tlscore.NewRandomTicketKeys(time.Hour))
	for _, c := range []struct {
		name     string
		server   *tlscore.Config
		text     string
		accepted bool
	}{
		{"first", server, "no session", false},
		{"fits", server, "in time", true},
		{"long", server, long, true},
		{"nothing", server, "", true},
		{"rejected", refusing, long, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := tcpPair(t)
			ours, theirs := Client(a, client), Server(b, c.server)
			defer ours.Close()
			defer theirs.Close()
			sent := async(func() error {
				accepted, err := ours.HandshakeEarly(context.Background(), []byte(c.text))
				if err == nil && accepted != c.accepted {
					err = errors.New("accepted is wrong")
				}
				_, werr := io.WriteString(ours, "and then")
				return errors.Join(err, werr, ours.CloseWrite())
			})
			got, err := io.ReadAll(theirs)
			noError(t, "Read", err)
			noError(t, "HandshakeEarly", <-sent)
			if string(got) != c.text+"and then" {
				t.Errorf("%d bytes came: %.50q", len(got), got)
			}
			if theirs.EarlyDataAccepted() != c.accepted {
				t.Error("the server says otherwise")
			}
			noError(t, "CloseWrite", theirs.CloseWrite())
			if _, err := ours.Read(make([]byte, 1)); err != io.EOF {
				t.Error(err)
			}
		})
	}
}

func TestHandshakeEarlyTooLate(t *testing.T) {
	c, s := connectOurs(t)
	for _, end := range []*Conn{c, s} {
		_, err := end.HandshakeEarly(context.Background(), []byte("x"))
		want(t, "HandshakeEarly", err, errLateEarly)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
