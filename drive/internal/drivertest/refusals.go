package drivertest

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tlscore.example/tlscore"
)

// refusal is a way to be refused, and what the client has to read then.
type refusal struct {
	name  string
	alert tlscore.Alert
	text  string // of the error of crypto/tls
	try   func(net.Conn, *refusal) error
}

// pushed is what a client sends besides, without waiting for what it is told.
const pushed = 128 << 10

var refusals = []refusal{
	{"version", tlscore.AlertProtocolVersion, "protocol version not supported", tryVersion},
	{"version of crypto/tls", tlscore.AlertProtocolVersion, "protocol version not supported", tryVersionStd},
	{"version, still sending", tlscore.AlertProtocolVersion, "", pushing(tryVersion)},
	{"version, bytes", tlscore.AlertProtocolVersion, "", tryVersionBytes},
	{"SNI", tlscore.AlertUnrecognizedName, "", trySNI},
	{"SNI of crypto/tls", tlscore.AlertUnrecognizedName, "unrecognized name", trySNIStd},
	{"SNI, still sending", tlscore.AlertUnrecognizedName, "", pushing(trySNI)},
	{"SNI of crypto/tls, still sending", tlscore.AlertUnrecognizedName, "unrecognized name", pushing(trySNIStd)},
	{"client certificate", tlscore.AlertCertificateRequired, "", tryMutual},
	{"client certificate of crypto/tls", tlscore.AlertCertificateRequired, "certificate required", tryMutualStd},
	{"client certificate, still sending", tlscore.AlertCertificateRequired, "", tryMutualPushing},
	{"client certificate of crypto/tls, still sending", tlscore.AlertCertificateRequired, "certificate required", tryMutualStdPushing},
	{"garbage", tlscore.AlertUnexpectedMessage, "", tryGarbage([]byte("SSH-2.0-not TLS\r\n"))},
	{"garbage, still sending", tlscore.AlertUnexpectedMessage, "", pushing(tryGarbage([]byte("SSH-2.0-not TLS\r\n")))},
	{"SSL 2.0", tlscore.AlertProtocolVersion, "", tryGarbage([]byte{0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10})},
	{"a ServerHello", tlscore.AlertUnexpectedMessage, "", tryGarbage([]byte{22, 3, 1, 0, 4, 2, 0, 0, 0})},
}

// Refusals connects n times to a server that goes by [Choose], is refused in all ways in
// turn, and checks that the client reads the alert, the right one, each time.
func Refusals(t *testing.T, addr string, n int) {
	t.Helper()
	var failures, done atomic.Int64
	var group sync.WaitGroup
	turns := make(chan int)
	for range 32 {
		group.Go(func() {
			for i := range turns {
				r := &refusals[i%len(refusals)]
				if err := r.attempt(addr); err != nil {
					if failures.Add(1) <= 10 {
						t.Errorf("%s: %v", r.name, err)
					}
					continue
				}
				done.Add(1)
			}
		})
	}
	for i := range n {
		turns <- i
	}
	close(turns)
	group.Wait()
	t.Logf("%d of %d refused clients read their alert", done.Load(), n)
}

func (r *refusal) attempt(addr string) error {
	conn, err := net.DialTimeout("tcp", addr, Patience)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(Patience))
	return r.try(conn, r)
}

// pushing makes a client send more as soon as it has sent something.
func pushing(try func(net.Conn, *refusal) error) func(net.Conn, *refusal) error {
	return func(conn net.Conn, r *refusal) error {
		p := &pusher{Conn: conn}
		defer p.group.Wait()
		defer conn.Close()
		return try(p, r)
	}
}

type pusher struct {
	net.Conn
	once  sync.Once
	group sync.WaitGroup
}

func (p *pusher) Write(b []byte) (int, error) {
	n, err := p.Conn.Write(b)
	p.once.Do(func() {
		p.group.Go(func() {
			for range pushed / 4096 {
				if _, err := p.Conn.Write(make([]byte, 4096)); err != nil {
					return // it is refused, after all
				}
			}
		})
	})
	return n, err
}

func tryVersion(conn net.Conn, r *refusal) error {
	cfg := ClientConfig(Name)
	cfg.MaxVersion = tls.VersionTLS12
	return r.told(converse(conn, cfg, 0))
}

func trySNI(conn net.Conn, r *refusal) error {
	return r.told(converse(conn, ClientConfig("unknown.test"), 0))
}

func tryMutual(conn net.Conn, r *refusal) error {
	return r.told(converse(conn, ClientConfig(MutualName), 1))
}

func tryMutualPushing(conn net.Conn, r *refusal) error {
	return r.told(converse(conn, ClientConfig(MutualName), pushed))
}

// told checks the error of a machine.
func (r *refusal) told(err error) error {
	var remote *tlscore.RemoteAlert
	if errors.As(err, &remote) && remote.Alert == r.alert {
		return nil
	}
	return fmt.Errorf("%w, expected the alert %s", err, r.alert)
}

// converse drives a client over a connection that blocks, until its end. When the
// handshake is complete it writes n bytes, without waiting for an answer.
func converse(conn net.Conn, cfg *tlscore.Config, n int) error {
	m, err := tlscore.NewClient(cfg)
	if err != nil {
		return err
	}
	defer m.Release()
	var in tlscore.Inbound
	var chunk []byte
	var group sync.WaitGroup
	defer group.Wait()
	defer conn.Close()
	for buf := make([]byte, 4096); ; {
		rest := in.Join(chunk)
		for {
			ev, k := m.Step(rest)
			rest = rest[k:]
			switch ev.Kind {
			case tlscore.EventHandshakeDone:
				m.Write(make([]byte, n))
			case tlscore.EventFailed:
				return m.Err()
			case tlscore.EventClosed:
				return errors.New("a clean end")
			}
			if ev.Stop() {
				break
			}
		}
		in.Keep(rest)
		if out := m.AppendOutput(make([]byte, 0, len(m.Output()))); len(out) > 0 {
			group.Wait()
			group.Go(func() { conn.Write(out) }) // it may fail: it is refused, after all
		}
		k, err := conn.Read(buf)
		if err != nil {
			return err
		}
		chunk = buf[:k]
	}
}

func tryVersionStd(conn net.Conn, r *refusal) error {
	cfg := StdClientConfig(Name)
	cfg.MaxVersion = tls.VersionTLS12
	return r.says(tls.Client(conn, cfg).Handshake())
}

func trySNIStd(conn net.Conn, r *refusal) error {
	return r.says(tls.Client(conn, StdClientConfig("unknown.test")).Handshake())
}

func tryMutualStd(conn net.Conn, r *refusal) error {
	_, err := tls.Client(conn, StdClientConfig(MutualName)).Read(make([]byte, 1))
	return r.says(err)
}

func tryMutualStdPushing(conn net.Conn, r *refusal) error {
	c := tls.Client(conn, StdClientConfig(MutualName))
	if err := c.Handshake(); err != nil {
		return err // a client of TLS 1.3 is done before it is refused
	}
	var group sync.WaitGroup
	group.Go(func() { c.Write(make([]byte, pushed)) })
	_, err := c.Read(make([]byte, 1))
	conn.Close()
	group.Wait()
	return r.says(err)
}

// says checks the error of crypto/tls, which has no type for the alert.
func (r *refusal) says(err error) error {
	if err != nil && strings.Contains(err.Error(), "remote error: tls: "+r.text) {
		return nil
	}
	return fmt.Errorf("%w, expected %q", err, r.text)
}

// tryVersionBytes looks at the bytes of the alert, which are all that there is before the
// FIN.
func tryVersionBytes(conn net.Conn, r *refusal) error {
	cfg := ClientConfig(Name)
	cfg.MaxVersion = tls.VersionTLS12
	m, err := tlscore.NewClient(cfg)
	if err != nil {
		return err
	}
	defer m.Release()
	m.Step(nil)
	return tryGarbage(m.Output())(conn, r)
}

// tryGarbage sends bytes, and reads an alert and the end.
func tryGarbage(sent []byte) func(net.Conn, *refusal) error {
	return func(conn net.Conn, r *refusal) error {
		if _, err := conn.Write(sent); err != nil {
			return err
		}
		want := []byte{21, 3, 3, 0, 2, 2, byte(r.alert)}
		got := make([]byte, len(want))
		if _, err := io.ReadFull(conn, got); err != nil {
			return fmt.Errorf("instead of the alert: %w", err)
		}
		if !bytes.Equal(got, want) {
			return fmt.Errorf("% x, expected % x", got, want)
		}
		if n, err := conn.Read(got); err != io.EOF {
			return fmt.Errorf("behind the alert: % x, %v", got[:n], err)
		}
		return nil
	}
}

// PlainHTTP checks that a server tells a client that speaks plain HTTP so.
func PlainHTTP(t *testing.T, addr string) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, Patience)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(Patience))
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.0 400 Bad Request\r\n") {
		t.Errorf("plain HTTP is answered with %q, %v", answer, err)
	}
}
