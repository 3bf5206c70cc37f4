package tlscore

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"sync"
	"testing"
	"time"

	"tlscore.example/tlscore/internal/tlstest"
)

// What the sending half, or a callback, does in the middle of a handshake. The alerts that
// it queues have to go out where the peer can read them.

// writerFunc makes a callback of a key log.
type writerFunc func()

func (f writerFunc) Write(b []byte) (int, error) { f(); return len(b), nil }

// mutual are configs of one version with which both sides authenticate, and can resume.
func mutual(version uint16) (client, server *Config) {
	client, server = testClientConfig(), testServerConfig()
	for _, c := range []*Config{client, server} {
		c.MinVersion, c.MaxVersion = version, version
	}
	cached(client)
	withCertificate(client)
	requireClient(server)
	return client, server
}

// hookCallbacks has f called in every callback.
func hookCallbacks(c *Config, f func()) {
	c.Rand = readerFunc(func(b []byte) (int, error) { f(); return defaultRandom.Read(b) })
	c.KeyLogWriter = writerFunc(f)
	c.Time = func() time.Time { f(); return tlstest.Clock() }
	c.VerifyConnection = func(tls.ConnectionState) error { f(); return nil }
	c.VerifyPeerCertificate = func([][]byte, [][]*x509.Certificate) error { f(); return nil }
	c.TicketData = func(tls.ConnectionState) []byte { f(); return nil }
}

// Whichever callback of a handshake closes the sending direction, the peer reads a
// close_notify, and all else that a callback may try changes nothing.
func TestCloseInCallbacks(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, resume := range []bool{false, true} {
			for _, atClient := range []bool{true, false} {
				calls := 1
				for closeInCallback(t, version, resume, atClient, calls) {
					calls++
				}
				if calls < 6 {
					t.Errorf("version %#x, resume %v, client %v: %d callbacks", version, resume, atClient, calls-1)
				}
			}
		}
	}
}

// closeInCallback closes in callback number n of one side, and reports whether there is
// one.
func closeInCallback(t *testing.T, version uint16, resume, atClient bool, n int) bool {
	clientConfig, serverConfig := mutual(version)
	var closing *Machine // nil while nothing is to be closed
	hooked := serverConfig
	if atClient {
		hooked = clientConfig
	}
	hookCallbacks(hooked, func() {
		if closing == nil {
			return
		}
		if n--; n == 0 {
			closing.CloseWrite()
			closing.Release()
			if ev, taken := closing.Step([]byte("input")); ev.Kind != EventNone || taken != 0 {
				t.Errorf("Step in a callback: %v, %d", ev, taken)
			}
			if err := closing.Reject(AlertAccessDenied); err != ErrBusy {
				t.Errorf("Reject in a callback: %v", err)
			}
		}
	})
	if resume {
		connectPair(t, clientConfig, serverConfig)
	}
	client, server := newPair(t, clientConfig, serverConfig)
	closing, other := server, client
	if atClient {
		closing, other = client, server
	}
	talk(t, client, server, whole)
	if n > 0 {
		return false
	}
	var remote *RemoteAlert
	told := errors.As(other.Err(), &remote) && remote.Alert == AlertCloseNotify
	if !told && (other.State() != StateClosed || other.Err() != nil) {
		t.Errorf("version %#x, resume %v, client %v: the other side is in %v, %v", version, resume, atClient, other.State(), other.Err())
	}
	return true
}

// One goroutine writes, and closes at some time, while another one leads the handshake.
func TestTwoHalvesInHandshake(t *testing.T) {
	complete := 0
	for i := range 20 {
		clientConfig, serverConfig := mutual(tls.VersionTLS12 + uint16(i%2))
		client, server := newPair(t, clientConfig, serverConfig)
		client.SetLocker(new(sync.Mutex))
		server.SetLocker(new(sync.Mutex))
		toServer, toClient := make(chan []byte, 1000), make(chan []byte, 1000)
		var writers, readers sync.WaitGroup
		atTurn := func(n int) func(turn, written int) bool {
			return func(turn, written int) bool { return turn == n }
		}
		closeClient, closeServer := atTurn(i), atTurn(20)
		if i >= 16 { // however long the handshake takes, it is not canceled
			closeClient = func(turn, written int) bool { return written == 5 }
			closeServer = closeClient
		}
		writers.Go(func() { writeThrough(client, toServer, closeClient) })
		writers.Go(func() { writeThrough(server, toClient, closeServer) })
		readers.Go(func() { readThrough(client, toClient) })
		readers.Go(func() { readThrough(server, toServer) })
		writers.Wait()
		readers.Wait()
		for _, m := range []*Machine{client, server} {
			var broken *ProtocolError
			if errors.As(m.Err(), &broken) {
				t.Errorf("try %d: %v", i, m.Err())
			}
			if m.ConnectionState().HandshakeComplete {
				complete++
			}
		}
	}
	if complete < 2*4 {
		t.Errorf("%d ends have completed a handshake", complete)
	}
}

// writeThrough tries to write all the time, closes when closing says so, and ends when the
// machine is closed and all is sent.
func writeThrough(m *Machine, wire chan<- []byte, closing func(turn, written int) bool) {
	defer close(wire)
	written := 0
	for turn := 0; ; turn++ {
		if closing(turn, written) {
			m.CloseWrite()
		}
		n, err := m.Write([]byte("data"))
		if n > 0 {
			written++
		}
		b, _, _ := m.AppendSealed(make([]byte, 0, 100+m.SealedLen(4)), []byte("data"))
		if len(b) == 0 {
			b = m.AppendOutput(make([]byte, 0, 4096))
		}
		if len(b) > 0 {
			wire <- b
		} else if err != nil && err != ErrNotReady {
			return
		}
		time.Sleep(50 * time.Microsecond)
	}
}

// readThrough gives a machine what comes until nothing comes any more.
func readThrough(m *Machine, wire <-chan []byte) {
	var in Inbound
	for chunk := []byte(nil); ; {
		b := in.Join(chunk)
		for {
			ev, n := m.Step(b)
			b = b[n:]
			if ev.Stop() {
				break
			}
		}
		in.Keep(b)
		var open bool
		if chunk, open = <-wire; !open {
			m.EOF()
			m.Step(nil)
			return
		}
	}
}
