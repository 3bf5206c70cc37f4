package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ocsp"

	"tlscore.example/tlscore"
)

const connectIntro = `usage: tlscore connect [flags] host:port

Open a TLS connection. Handshake messages, events and the server's certificates
are shown on stderr; stdin and stdout are the application data. At the end of
stdin the sending direction is closed, and the answer is still read: until the
server closes too. Sessions of -sessions are resumed. Exit code 1 says that the
connection failed, or that it ended without close_notify and data may be missing.

`

const (
	dialTimeout      = 10 * time.Second
	handshakeTimeout = 30 * time.Second
	closeTimeout     = 2 * time.Second // for the last bytes and for the peer to close
)

// runConnect is "tlscore connect".
func runConnect(args []string, std stdio) error {
	fs := newFlags("connect", connectIntro)
	var options connectOptions
	options.add(fs)
	quiet := fs.Bool("q", false, "show only what goes wrong")
	rest, err := fs.parse(args, 1, std)
	if err != nil {
		return err
	}
	if len(rest) == 0 {
		return usagef("where to? Say host:port")
	}
	host, _, err := net.SplitHostPort(rest[0])
	if err != nil {
		return usagef("%q is not host:port: %v", rest[0], err)
	}
	c := &client{std: std, quiet: *quiet}
	if err := c.configure(&options, host); err != nil {
		return err
	}
	return errors.Join(c.connect(rest[0]), c.sessions.err())
}

// client is one run of connect.
type client struct {
	std      stdio
	quiet    bool
	cfg      *tlscore.Config
	sessions *sessionFile // nil when none are kept
	export   string       // the label of keying material to show

	logMu sync.Mutex

	conn     net.Conn
	machine  *tlscore.Machine
	lock     sync.Mutex    // between the two halves of the machine
	wake     chan struct{} // there is output; never more than one is needed
	writable chan struct{} // closed when application data may be sent
	mayEarly atomic.Bool   // early data may be sent, and was not yet
	early    []byte        // goes before stdin, earlier if the session allows
	rejected []byte        // early data that the server did not take: goes before what is left of early
	finish   chan struct{} // closed when nothing more will be queued
	sent     chan error    // the writer's end
}

func (c *client) configure(o *connectOptions, host string) (err error) {
	if c.cfg, err = o.config(host); err != nil {
		return err
	}
	c.cfg.Trace = c.trace
	c.export = o.export
	if c.sessions, err = openSessions(o.sessions); err != nil {
		return err
	}
	if c.sessions != nil {
		c.cfg.SessionCache = c.sessions
	}
	if o.early != "" {
		if c.early, err = os.ReadFile(o.early); err != nil {
			return fmt.Errorf("cannot read -early-data: %w", err)
		}
	}
	if c.machine, err = tlscore.NewClient(c.cfg); err != nil {
		return usagef("%v", err)
	}
	return nil
}

// connect runs the connection: this goroutine is in the machine's receiving
// half, another one in its sending half. A third reads stdin.
func (c *client) connect(addr string) error {
	conn, err := net.DialTimeout("tcp", addr, dialTimeout)
	if err != nil {
		return err
	}
	defer conn.Close()
	c.printf("* connected to %s", conn.RemoteAddr())
	c.conn = conn
	c.wake = make(chan struct{}, 1)
	c.writable = make(chan struct{})
	c.finish = make(chan struct{})
	c.sent = make(chan error, 1)
	c.machine.SetLocker(&c.lock)
	conn.SetReadDeadline(time.Now().Add(handshakeTimeout))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { c.sent <- c.write(c.readStdin(ctx)) }()

	end, err := c.read()
	close(c.finish)
	conn.SetWriteDeadline(time.Now().Add(closeTimeout))
	sendErr := <-c.sent
	c.linger()
	return c.verdict(end, err, sendErr)
}

// read is the receiving half: from the socket through the machine to stdout. It
// returns the event that ended it, or an error of the socket or of stdout.
func (c *client) read() (tlscore.Event, error) {
	var inbound tlscore.Inbound
	defer inbound.Release()
	buf := make([]byte, 64<<10)
	var chunk []byte
	for {
		in := inbound.Join(chunk)
		for {
			ev, n := c.machine.Step(in)
			in = in[n:]
			if err := c.handle(ev); err != nil || ev.Terminal() {
				return ev, err
			}
			if ev.Stop() {
				break
			}
		}
		inbound.Keep(in)
		n, err := c.conn.Read(buf)
		chunk = buf[:n]
		if err == io.EOF {
			c.machine.EOF()
		} else if err != nil {
			return tlscore.Event{}, err
		}
	}
}

// handle does what an event asks for.
func (c *client) handle(ev tlscore.Event) error {
	if ev.Kind == tlscore.EventEarlyWritable {
		c.mayEarly.Store(true) // in one flight with the ClientHello
	}
	if ev.Queued {
		c.kick()
	}
	if ev.Kind != tlscore.EventNone && ev.Kind != tlscore.EventData {
		c.printf("* event %s, state %s", ev, c.machine.State())
	}
	switch ev.Kind {
	case tlscore.EventEarlyRejected:
		c.rejected = append(c.rejected, ev.Data...)
	case tlscore.EventHandshakeDone:
		c.conn.SetReadDeadline(time.Time{})
		c.describe(c.machine.ConnectionState())
		c.describeKeys()
	case tlscore.EventWritable:
		close(c.writable)
	case tlscore.EventData:
		if _, err := c.std.out.Write(ev.Data); err != nil {
			return fmt.Errorf("cannot write to stdout: %w", err)
		}
	}
	return nil
}

// kick tells the writer that there is output.
func (c *client) kick() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// write is the sending half: what the machine queued, and what comes from stdin,
// to the socket.
func (c *client) write(stdin <-chan []byte) error {
	var source <-chan []byte // stdin, once application data may be sent
	writable := c.writable
	for {
		select {
		case <-c.wake:
			if c.mayEarly.Swap(false) {
				if err := c.sendEarly(); err != nil {
					return err
				}
			}
		case <-writable:
			source, writable = stdin, nil
			if err := c.seal(append(c.rejected, c.early...), false); err != nil {
				return err
			}
		case p, ok := <-source:
			if err := c.seal(p, !ok); err != nil {
				return err
			}
			if !ok {
				source = nil
			}
		case <-c.finish:
			c.machine.CloseWrite() // adds nothing when the connection has failed
			return c.flush()
		}
		if err := c.flush(); err != nil {
			return err
		}
	}
}

// sendEarly sends as much as the session allows. What is left goes behind the
// handshake, and what the server does not accept, again.
func (c *client) sendEarly() error {
	total := 0
	for len(c.early) > 0 {
		n, err := c.machine.WriteEarly(c.early)
		c.early = c.early[n:]
		if total += n; n == 0 || err != nil {
			break // no more of it; a failure is told by the receiving half
		}
		if err := c.flush(); err != nil {
			return err
		}
	}
	c.printf("* %d bytes of early data are sent", total)
	return nil
}

// seal takes one piece of stdin, or its end.
func (c *client) seal(p []byte, end bool) error {
	if end {
		c.machine.CloseWrite()
		return nil
	}
	for len(p) > 0 {
		n, err := c.machine.Write(p)
		if err != nil {
			// The receiving half knows why, or will with its next step; what is
			// queued still has to go out.
			return errors.Join(err, c.flush())
		}
		p = p[n:]
		if err := c.flush(); err != nil {
			return err
		}
	}
	return nil
}

// flush sends all of the output.
func (c *client) flush() error {
	for {
		out := c.machine.Output()
		if len(out) == 0 {
			return nil
		}
		n, err := c.conn.Write(out)
		c.machine.Sent(n)
		if err != nil {
			return err
		}
	}
}

// readStdin reads stdin in a goroutine of its own, which may stay in Read until
// the process ends. The channel is closed at its end.
func (c *client) readStdin(ctx context.Context) <-chan []byte {
	pieces := make(chan []byte)
	go func() {
		defer close(pieces)
		for {
			buf := make([]byte, 16<<10)
			n, err := c.std.in.Read(buf)
			if n > 0 {
				select {
				case pieces <- buf[:n]:
				case <-ctx.Done():
					return
				}
			}
			if err != nil {
				return
			}
		}
	}()
	return pieces
}

// linger closes the connection so that the last bytes, which may be an alert,
// arrive: closing with unread input would reset the connection.
func (c *client) linger() {
	tcp, ok := c.conn.(*net.TCPConn)
	if !ok || tcp.CloseWrite() != nil {
		return
	}
	tcp.SetReadDeadline(time.Now().Add(closeTimeout))
	io.Copy(io.Discard, io.LimitReader(tcp, lingerBytes))
}

// verdict says how the connection ended.
func (c *client) verdict(end tlscore.Event, readErr, sendErr error) error {
	switch failure := c.machine.Err(); {
	case failure != nil:
		c.explain(failure)
		return errSilent
	case readErr != nil:
		if timeout, ok := readErr.(net.Error); ok && timeout.Timeout() {
			return fmt.Errorf("the server did not complete the handshake within %s", handshakeTimeout)
		}
		return readErr
	case end.Truncated:
		return errors.New("the server closed the connection without close_notify: data may be missing")
	case sendErr != nil: // the server has said that it is done, so this is no failure
		c.printf("* the server closed before everything was sent: %v", sendErr)
	}
	return nil
}

// explain tells why a connection failed: what, whose fault, which alert.
func (c *client) explain(failure error) {
	var (
		protocol *tlscore.ProtocolError
		remote   *tlscore.RemoteAlert
		local    *tlscore.LocalError
		fault    string
	)
	switch {
	case errors.As(failure, &protocol):
		fault = "the server's: it broke a rule, or is not acceptable (" + protocol.Reason.Reference() + ")"
		c.describeChain(c.machine.ConnectionState(), failure)
	case errors.As(failure, &remote):
		fault = "the server's, or what it thinks of this client: it gave up"
	case errors.As(failure, &local):
		fault = "this side's (" + local.Reason.Reference() + ")"
		if local.Reason == tlscore.ReasonTransportClosed {
			fault = "the server's, or that of the way there: it closed too early"
		}
	}
	alert := "none was sent or received"
	if a, ok := c.machine.SentAlert(); ok {
		alert = fmt.Sprintf("sent %s (%d)", a, uint8(a))
	} else if remote != nil {
		alert = fmt.Sprintf("received %s (%d)", remote.Alert, uint8(remote.Alert))
	}
	c.logMu.Lock()
	defer c.logMu.Unlock()
	fmt.Fprintf(c.std.err, "tlscore connect: the connection failed: %s\n  fault: %s\n  alert: %s\n", printable(failure.Error()), fault, alert)
}

// describe tells what was negotiated.
func (c *client) describe(s tls.ConnectionState) {
	c.printf("* %s, %s, %s", tls.VersionName(s.Version), tls.CipherSuiteName(s.CipherSuite), s.CurveID)
	if s.DidResume {
		c.printf("* resumed: the certificates are those of the session")
	}
	if c.machine.EarlyDataAccepted() {
		c.printf("* the server has accepted the early data")
	}
	if s.HelloRetryRequest {
		c.printf("* the server asked for another key share (HelloRetryRequest)")
	}
	if s.NegotiatedProtocol != "" {
		c.printf("* ALPN %q", s.NegotiatedProtocol)
	}
	c.describeChain(s, nil)
	c.describeStatus(s)
}

// describeKeys shows what both sides can compare.
func (c *client) describeKeys() {
	if binding, err := c.machine.ChannelBinding(); err == nil {
		c.printf("* channel binding %x", binding)
	}
	if c.export == "" {
		return
	}
	material, err := c.machine.ExportKeyingMaterial(c.export, nil, 32)
	if err != nil {
		c.printf("* no keying material: %v", err)
		return
	}
	c.printf("* keying material for %q %x", c.export, material)
}

// describeStatus shows what came with the server's certificate.
func (c *client) describeStatus(s tls.ConnectionState) {
	if n := len(s.SignedCertificateTimestamps); n > 0 {
		c.printf("* %d certificate timestamps", n)
	}
	if !c.cfg.OCSPStapling {
		return
	}
	if len(s.OCSPResponse) == 0 {
		c.printf("* no OCSP response came along")
		return
	}
	response, err := ocsp.ParseResponse(s.OCSPResponse, issuerOf(s))
	if err != nil {
		c.printf("* an OCSP response of %d bytes, which is of no use: %v", len(s.OCSPResponse), err)
		return
	}
	status := map[int]string{ocsp.Good: "good", ocsp.Revoked: "revoked"}[response.Status]
	if status == "" {
		status = "unknown"
	}
	c.printf("* OCSP response: %s, of %s", status, response.ThisUpdate.UTC().Format(time.DateTime))
}

// issuerOf returns the certificate of the authority, or nil if that is not known.
func issuerOf(s tls.ConnectionState) *x509.Certificate {
	for _, chain := range append(s.VerifiedChains, s.PeerCertificates) {
		if len(chain) > 1 {
			return chain[1]
		}
	}
	return nil
}

// describeChain shows the server's certificates and whether they are verified.
func (c *client) describeChain(s tls.ConnectionState, failure error) {
	for i, cert := range s.PeerCertificates {
		c.printf("* certificate %d: subject %q", i, cert.Subject)
		c.printf("*   issuer %q", cert.Issuer)
		c.printf("*   valid from %s to %s", cert.NotBefore.UTC().Format(time.DateTime), cert.NotAfter.UTC().Format(time.DateTime))
		if i == 0 && len(cert.DNSNames)+len(cert.IPAddresses) > 0 {
			c.printf("*   for %q %v", cert.DNSNames, cert.IPAddresses)
		}
	}
	switch {
	case len(s.PeerCertificates) == 0:
	case len(s.VerifiedChains) > 0:
		c.printf("* verified for %q", c.cfg.ServerName)
	case c.cfg.InsecureSkipVerify:
		c.printf("* not verified, as -insecure says: %s", c.whyNot(s.PeerCertificates))
	case failure != nil:
		c.printf("* not verified: %v", failure)
	}
}

// whyNot says what verification would have said.
func (c *client) whyNot(chain []*x509.Certificate) string {
	options := x509.VerifyOptions{DNSName: c.cfg.ServerName, Intermediates: x509.NewCertPool()}
	for _, cert := range chain[1:] {
		options.Intermediates.AddCert(cert)
	}
	if _, err := chain[0].Verify(options); err != nil {
		return "it would have failed with: " + err.Error()
	}
	return "it would have been all right"
}

// trace shows a handshake message or an alert.
func (c *client) trace(msg tlscore.TraceMessage) {
	direction := "<"
	if msg.Sent {
		direction = ">"
	}
	c.printf("%s %s", direction, messageText(msg))
}

// printf writes a line to stderr unless -q was given. Both halves call it.
func (c *client) printf(format string, args ...any) {
	if c.quiet {
		return
	}
	c.logMu.Lock()
	defer c.logMu.Unlock()
	io.WriteString(c.std.err, printable(fmt.Sprintf(format, args...))+"\n")
}
