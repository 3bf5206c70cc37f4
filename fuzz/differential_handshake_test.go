package fuzz

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/cryptotest"

	"tlscore.example/tlscore"
	"tlscore.example/tlscore/internal/record"
	"tlscore.example/tlscore/internal/tlstest"
	"tlscore.example/tlscore/internal/wire"
)

// stdGroups are in the order of crypto/tls, which it does not let go of.
var stdGroups = [][]tls.CurveID{
	{tls.X25519, tls.CurveP256},
	{tls.X25519},
	{tls.CurveP256},
	{tls.CurveP384, tls.CurveP521},
	{tls.X25519MLKEM768, tls.X25519},
	{tls.X25519MLKEM768, tls.CurveP256},
	{tls.SecP256r1MLKEM768, tls.CurveP256},
	{tls.SecP384r1MLKEM1024},
	{tls.X25519MLKEM768, tls.SecP256r1MLKEM768, tls.SecP384r1MLKEM1024, tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521},
}

// A deal is the configs of both sides of a whole handshake.
type deal struct {
	clientGroups, serverGroups []tls.CurveID
	clientALPN, serverALPN     []string
	certificates               []tls.Certificate
	name                       string
	suite                      []uint16  // that we offer, or choose from
	versions                   [2]uint16 // the best of the client and of the server
	sizes                      []byte    // of what is written, once it is over
}

func newDeal(input []byte) *deal {
	in := reader(input)
	d := &deal{
		clientGroups: pick(&in, stdGroups),
		serverGroups: pick(&in, stdGroups),
		clientALPN:   pick(&in, alpnChoices),
		serverALPN:   pick(&in, alpnChoices),
		certificates: pick(&in, certificates),
		name:         pick(&in, []string{"localhost", "other.example"}),
		suite:        pick(&in, suiteChoices[:6]), // those of TLS 1.3
		versions: pick(&in, [][2]uint16{
			{tls.VersionTLS13, tls.VersionTLS13}, {tls.VersionTLS12, tls.VersionTLS13},
			{tls.VersionTLS13, tls.VersionTLS12}, {tls.VersionTLS12, tls.VersionTLS12},
		}),
	}
	for i, groups := range [][]tls.CurveID{d.clientGroups, d.serverGroups} {
		if !classical(groups) { // a config of ours that could do nothing
			d.versions[i] = tls.VersionTLS13
		}
	}
	if min(d.versions[0], d.versions[1]) == tls.VersionTLS12 {
		d.suite = nil
	}
	d.sizes = in[:min(len(in), 8)]
	return d
}

// classical reports whether one of the groups is no hybrid, and so one that TLS 1.2
// has.
func classical(groups []tls.CurveID) bool {
	return slices.ContainsFunc(groups, func(g tls.CurveID) bool { return curves[wire.NamedGroup(g)] != nil })
}

// otherCurve reports whether the server's key is on a curve that the client does not
// list.
func (d *deal) otherCurve() bool {
	key, ok := d.certificates[0].Leaf.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return false
	}
	id := map[int]tls.CurveID{256: tls.CurveP256, 384: tls.CurveP384, 521: tls.CurveP521}[key.Curve.Params().BitSize]
	return !slices.Contains(d.clientGroups, id) || !slices.Contains(d.serverGroups, id)
}

func (d *deal) std(client bool) *tls.Config {
	c := &tls.Config{
		Time: tlstest.Clock, MinVersion: tls.VersionTLS12, MaxVersion: d.versions[1], SessionTicketsDisabled: true,
		CurvePreferences: d.serverGroups, NextProtos: d.serverALPN, Certificates: d.certificates,
	}
	if client {
		c.CurvePreferences, c.NextProtos, c.Certificates = d.clientGroups, d.clientALPN, nil
		c.RootCAs, c.ServerName, c.MaxVersion = roots(), d.name, d.versions[0]
	}
	return c
}

func (d *deal) ours(client bool) *tlscore.Config {
	c := &tlscore.Config{
		Time: tlstest.Clock, MaxVersion: d.versions[1], CipherSuites: d.suite,
		CurvePreferences: d.serverGroups, NextProtos: d.serverALPN, Certificates: d.certificates,
	}
	if client {
		c.CurvePreferences, c.NextProtos, c.Certificates = d.clientGroups, d.clientALPN, nil
		c.RootCAs, c.ServerName, c.KeyShares = roots(), d.name, sharesOfStd(d.clientGroups)
		c.MaxVersion = d.versions[0]
	}
	return c
}

// An agreement is what came of a deal.
type agreement struct {
	alert    string // the text of the alert with which it ended, if it failed
	version  uint16
	group    tls.CurveID
	protocol string
	name     string
	chain    int // certificates
}

func (a *agreement) take(client, server tls.ConnectionState) error {
	a.version = client.Version
	a.group, a.protocol, a.name, a.chain = client.CurveID, client.NegotiatedProtocol, server.ServerName, len(client.PeerCertificates)
	if client.Version != server.Version || client.CurveID != server.CurveID || client.NegotiatedProtocol != server.NegotiatedProtocol || client.CipherSuite != server.CipherSuite {
		return fmt.Errorf("the client has %v, %q, %s; the server has %v, %q, %s",
			client.CurveID, client.NegotiatedProtocol, tls.CipherSuiteName(client.CipherSuite),
			server.CurveID, server.NegotiatedProtocol, tls.CipherSuiteName(server.CipherSuite))
	}
	return nil
}

// remoteAlert returns the text of the alert in an error of crypto/tls.
func remoteAlert(err error) string {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "remote error" {
		return op.Err.Error()
	}
	return ""
}

// reference is what crypto/tls makes of a deal with itself.
func (d *deal) reference(t *testing.T) (a agreement) {
	t.Helper()
	c, s := bufferedPipe()
	client, server := tls.Client(c, d.std(true)), tls.Server(s, d.std(false))
	done := make(chan error)
	go func() {
		err := server.Handshake()
		if err == nil {
			// What the client has to say against the server's Finished.
			_, err = server.Read(make([]byte, 1))
		}
		s.Close()
		done <- err
	}()
	clientErr := client.Handshake()
	if clientErr == nil {
		client.Close()
	}
	c.Close()
	serverErr := <-done
	if clientErr != nil {
		if a.alert = remoteAlert(clientErr); a.alert == "" {
			a.alert = remoteAlert(serverErr)
		}
		if a.alert == "" {
			t.Fatalf("crypto/tls fails without an alert: %v, %v", clientErr, serverErr)
		}
		return a
	}
	if err := a.take(client.ConnectionState(), server.ConnectionState()); err != nil {
		t.Fatal(err)
	}
	return a
}

// A bufferedConn is one end of a pipe that takes any amount without waiting.
type bufferedConn struct {
	wireConn
	in, out *buffer
}

type buffer struct {
	mu     sync.Mutex
	cond   sync.Cond
	b      []byte
	closed bool
}

func bufferedPipe() (a, b *bufferedConn) {
	x, y := new(buffer), new(buffer)
	x.cond.L, y.cond.L = &x.mu, &y.mu
	return &bufferedConn{in: x, out: y}, &bufferedConn{in: y, out: x}
}

func (c *bufferedConn) Read(b []byte) (int, error) {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	for len(c.in.b) == 0 {
		if c.in.closed {
			return 0, io.EOF
		}
		c.in.cond.Wait()
	}
	n := copy(b, c.in.b)
	c.in.b = c.in.b[n:]
	return n, nil
}

func (c *bufferedConn) Write(b []byte) (int, error) {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	c.out.b = append(c.out.b, b...)
	c.out.cond.Broadcast()
	return len(b), nil
}

// Close ends what the other side reads.
func (c *bufferedConn) Close() error {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	c.out.closed = true
	c.out.cond.Broadcast()
	return nil
}

// A couple is one of our machines and a crypto/tls connection that talk to each
// other.
type couple struct {
	t    *testing.T
	m    *tlscore.Machine
	std  *tls.Conn
	conn *wireConn
	rest []byte
	data []byte // that the machine received
	end  bool   // of the receiving direction
}

// pump gives the machine what crypto/tls has written, and returns its output.
func (c *couple) pump() []byte {
	c.rest = append(c.rest, c.conn.written...)
	c.conn.written = nil
	for {
		ev, n := c.m.Step(c.rest)
		c.data = append(c.data, ev.Data...)
		c.rest = c.rest[n:]
		c.end = c.end || ev.Terminal()
		if ev.Stop() {
			break
		}
	}
	return c.m.AppendOutput(make([]byte, 0, len(c.m.Output())))
}

// meet makes the handshake of a deal, with us on one side.
func (d *deal) meet(t *testing.T, weAreClient bool) (a agreement) {
	t.Helper()
	c := &couple{t: t, conn: new(wireConn)}
	c.conn.more = c.pump
	var err error
	if weAreClient {
		c.m, err = tlscore.NewClient(d.ours(true))
		c.std = tls.Server(c.conn, d.std(false))
	} else {
		c.m, err = tlscore.NewServer(d.ours(false))
		c.std = tls.Client(c.conn, d.std(true))
	}
	if err != nil {
		t.Fatal(err)
	}
	stdErr := c.std.Handshake()
	c.conn.in = append(c.conn.in, c.pump()...)
	if stdErr != nil || c.m.Err() != nil {
		return d.failed(t, c, stdErr)
	}
	client, server := c.std.ConnectionState(), c.m.ConnectionState()
	if weAreClient {
		client, server = server, client
	}
	if err := a.take(client, server); err != nil {
		t.Fatal(err)
	}
	c.talk(d.sizes)
	return a
}

// failed tells with which alert it ended. One of the two sent it, and the other
// has to have understood it.
func (d *deal) failed(t *testing.T, c *couple, stdErr error) (a agreement) {
	t.Helper()
	if sent, ok := tlscore.AlertOf(c.m.Err()); ok {
		if stdErr == nil {
			_, stdErr = c.std.Read(make([]byte, 1))
		}
		a.alert = remoteAlert(stdErr)
		if want := tls.AlertError(sent).Error(); a.alert != want {
			t.Fatalf("we failed with %v; crypto/tls has %v", c.m.Err(), stdErr)
		}
		return a
	}
	var remote *tlscore.RemoteAlert
	if !errors.As(c.m.Err(), &remote) {
		t.Fatalf("crypto/tls failed with %v; we have %v", stdErr, c.m.Err())
	}
	a.alert = tls.AlertError(remote.Alert).Error()
	return a
}

// talk exchanges data, KeyUpdates and the ends of both directions.
func (c *couple) talk(sizes []byte) {
	t := c.t
	t.Helper()
	for i, size := range append([]byte{3}, sizes...) {
		p := payload(size)
		if len(p) == 0 {
			p = []byte("x")
		}
		if i%3 == 2 {
			err := c.m.KeyUpdate(size&1 != 0)
			if tls12 := c.m.ConnectionState().Version == tls.VersionTLS12; err != nil && !(tls12 && err == tlscore.ErrVersion) {
				t.Fatal(err)
			}
		}
		if n, err := c.m.Write(p); n != len(p) || err != nil {
			t.Fatalf("Write: %d of %d, %v", n, len(p), err)
		}
		got := make([]byte, len(p))
		if _, err := io.ReadFull(c.std, got); err != nil || !bytes.Equal(got, p) {
			t.Fatalf("crypto/tls read %x instead of %x, with %v", got, p, err)
		}
		if _, err := c.std.Write(p); err != nil {
			t.Fatal(err)
		}
		c.data = nil
		c.conn.in = append(c.conn.in, c.pump()...)
		if !bytes.Equal(c.data, p) {
			t.Fatalf("we read %x instead of %x, with %v", c.data, p, c.m.Err())
		}
	}
	c.m.CloseWrite()
	if n, err := c.std.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Fatalf("behind our close_notify, crypto/tls has %d bytes and %v", n, err)
	}
	if err := c.std.Close(); err != nil {
		t.Fatal(err)
	}
	c.pump()
	if !c.end || c.m.State() != tlscore.StateClosed {
		t.Fatalf("behind the close_notify of crypto/tls, we are in %s, %v", c.m.State(), c.m.Err())
	}
}

// handshakeReasons are the differences in what comes of a deal.
var handshakeReasons = []struct {
	text    string
	applies func(d *deal, ours, reference agreement, weAreClient bool) bool
}{
	{"crypto/tls lets a client with http/1.1 only pass where it has h2 only", func(d *deal, ours, reference agreement, weAreClient bool) bool {
		return !weAreClient && ours.alert == "tls: no application protocol" && slices.Contains(d.serverALPN, "h2")
	}},
	{"a certificate with a key on a curve that is not in supported_groups is for no TLS 1.2; RFC 5246, Section 7.4.2", func(d *deal, ours, reference agreement, weAreClient bool) bool {
		return min(d.versions[0], d.versions[1]) == tls.VersionTLS12 && d.otherCurve() &&
			(ours.alert == "tls: unsupported certificate" && weAreClient ||
				// Or our server takes another one, for another name.
				(ours.alert == "tls: handshake failure" || ours.alert == "tls: bad certificate") && !weAreClient)
	}},
	{"without a group and without a protocol in common, a server of TLS 1.2 misses the group first", func(d *deal, ours, reference agreement, weAreClient bool) bool {
		return min(d.versions[0], d.versions[1]) == tls.VersionTLS12 && !weAreClient &&
			ours.alert == "tls: handshake failure" && reference.alert == "tls: no application protocol"
	}},
	{"who has no group of TLS 1.2 does not speak it", func(d *deal, ours, reference agreement, weAreClient bool) bool {
		groups := d.serverGroups
		if weAreClient {
			groups = d.clientGroups
		}
		return ours.alert == "tls: protocol version not supported" && reference.alert != "" && !classical(groups)
	}},
	{"a chain by an unknown authority gets unknown_ca; RFC 8446, Section 6.2", func(d *deal, ours, reference agreement, weAreClient bool) bool {
		return weAreClient && ours.alert == "tls: unknown certificate authority" && strings.HasPrefix(reference.alert, "tls: bad certificate")
	}},
}

func FuzzDifferentialHandshake(f *testing.F) {
	if record.NullCrypto {
		f.Skip("crypto/tls protects its records")
	}
	addSeeds(f)
	f.Fuzz(func(t *testing.T, input []byte) {
		cryptotest.SetGlobalRandom(t, 1)
		d := newDeal(input)
		want := d.reference(t)
		for _, weAreClient := range []bool{true, false} {
			if got := d.meet(t, weAreClient); got != want && d.excuse(got, want, weAreClient) < 0 {
				t.Fatalf("no reason is listed for this difference (we are the client: %v):\nwe have %+v,\ncrypto/tls has %+v\n%+v", weAreClient, got, want, d)
			}
		}
	})
}

// excuse returns the number of the listed reason for a difference, or -1.
func (d *deal) excuse(ours, reference agreement, weAreClient bool) int {
	for i, r := range handshakeReasons {
		if r.applies(d, ours, reference, weAreClient) {
			return i
		}
	}
	return -1
}

func differentialHandshakeSeeds() (list []seed) {
	add := func(b ...byte) { list = append(list, seed{fmt.Sprintf("%x", b), [][]byte{b}}) }
	for i := range byte(len(stdGroups)) {
		add(i, byte(len(stdGroups))-1, 1, 1, i%6, 0, i%6, 0, 5, 200, 255, 1)
		add(byte(len(stdGroups))-1, i, 1, 2, 1)
		add(i, (i+1)%byte(len(stdGroups)))
	}
	for a := range byte(len(alpnChoices)) {
		for b := range byte(len(alpnChoices)) {
			add(0, 0, a, b)
		}
	}
	add(1, 3, 3, 4, 0, 0, 0, 1)
	for v := range byte(3) {
		for i := range byte(len(stdGroups)) {
			add(i, byte(len(stdGroups))-1, 1, 1, i%6, 0, 0, 1+v, 5, 200, 255, 1)
			add(byte(len(stdGroups))-1, i, 1, 2, 1, 0, 0, 1+v)
			add(i, (i+1)%byte(len(stdGroups)), 0, 0, 0, 0, 0, 1+v)
		}
		for i := range byte(6) {
			add(0, 1, 0, 0, i, 1, 0, 1+v)
			add(0, 1, v, 1, i, 0, 0, 1+v, 130, 131, 132)
			add(byte(len(stdGroups))-1, byte(len(stdGroups))-1, 1, 1, i, 0, 0, 1+v, 7)
		}
	}
	for i := range byte(6) {
		add(0, 1, 0, 0, i, 1, i)
		add(0, 1, 0, 0, i, 0, i, 0, 130, 131, 132, 0, 0, 0)
	}
	return list
}
