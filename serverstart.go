package tlscore

import (
	"bytes"
	"crypto/tls"

	"tlscore.example/tlscore/internal/schedule"
	"tlscore.example/tlscore/internal/wire"
)

// The server until it has chosen a version, and what its handlers in both versions
// have in common. RFC 8446, Section 4.1.1.

// serverHelloRules is the server as a table until it has chosen a version. The
// acceptor is the same server: it stops in StateWaitAccept on its way.
var serverHelloRules = ruleTable{
	StateWaitClientHello: {
		{inputClientHello, serverClientHello, oneOf(StateWaitAccept, StateWaitClientHelloRetry, StateOpenTicket, StateChooseCertificate)},
	},
	StateWaitAccept: {
		{inputAccept, serverAccept, oneOf(StateWaitClientHelloRetry, StateOpenTicket, StateChooseCertificate)},
	},
}

// serverHandshake is what a server keeps until the handshake is over.
type serverHandshake struct {
	handshake
	credential *credential
	scheme     *scheme
	protocol   []byte // of ALPN; nil without
	share      []byte // the client's, for the group
	sessionID  []byte
	postAuth   bool // the client offers to authenticate after the handshake, too

	recordSizeLimit uint16    // our own, if the client has asked; else 0
	key             *keyShare // of TLS 1.2: our own, for the group
	announced       bool      // of TLS 1.2: a NewSessionTicket

	resumption    bool                   // the client can use tickets, and we have them
	offered       *offered               // the sessions it wants to resume
	ticketRequest *wire.TicketRequest    // how many tickets it wants, if it says so
	tickets       int                    // how many it gets
	earlySecret   schedule.TrafficSecret // of early data that is accepted
	earlyReceived uint64                 // how many bytes of it came
	earlySkipped  int                    // how many bytes of early data were passed over
}

// wipe clears the secrets.
func (s *serverHandshake) wipe() {
	s.handshake.wipe()
	s.earlySecret.Wipe()
}

// serverClientHello takes the first ClientHello. A server with a config answers
// it, an acceptor shows it.
func serverClientHello(m *Machine, msg []byte) (State, error) {
	hello := m.hello
	hello.complete(msg)
	if err := hello.Parse(hello.message[wire.HeaderLen:]); err != nil {
		return 0, malformed(err)
	}
	hello.parsed = true
	if err := m.in.aligned(); err != nil {
		return 0, err
	}
	if m.cfg == nil {
		m.push(EventClientHello)
		return StateWaitAccept, nil
	}
	return serverAccept(m, nil)
}

// serverAccept answers the ClientHello, now that there is a config.
func serverAccept(m *Machine, _ []byte) (State, error) {
	version, err := m.d.chooseVersion(&m.hello.ClientHello)
	if err != nil {
		return 0, err
	}
	m.server.clientRandom = m.hello.Random
	if version == tls.VersionTLS12 {
		return serverHello12(m)
	}
	return serverHello13(m)
}

// checkServerName refuses what no host name can be, and leaves the judgement of names to
// whoever chooses a certificate.
//
//	"The hostname is represented as a byte string using ASCII encoding without
//	a trailing dot."
//
// RFC 6066, Section 3.
func checkServerName(hello *wire.ClientHello) error {
	outside := func(r rune) bool { return r <= ' ' || r >= 0x7f }
	if bytes.ContainsFunc(hello.ServerName, outside) || bytes.HasSuffix(hello.ServerName, []byte(".")) {
		return violation(ReasonBadServerName)
	}
	return nil
}

// takeOffers settles what does not depend on the version: the name that the client asks
// for, the application protocol, and the size of records.
func (m *Machine) takeOffers(hello *wire.ClientHello) error {
	s := m.server
	if err := s.chooseProtocol(m.d, hello); err != nil {
		return err
	}
	m.conn.names, m.conn.protocolLen = m.d.names.share(s.protocol, hello.ServerName), uint8(len(s.protocol))
	m.conn.mutual = true
	asked := hello.Has(wire.ExtRecordSizeLimit)
	if asked {
		s.recordSizeLimit = m.cfg.ownRecordSizeLimit(m.conn.version)
	}
	return m.agreeRecordSize(asked, hello.RecordSizeLimit)
}

// chooseProtocol answers ALPN.
//
//	"In the event that the server supports no protocols that the client
//	advertises, then the server SHALL respond with a fatal
//	"no_application_protocol" alert."
//
// RFC 7301, Section 3.2.
func (s *serverHandshake) chooseProtocol(d *derived, hello *wire.ClientHello) error {
	if len(d.alpn) == 0 || !hello.Has(wire.ExtALPN) {
		return nil
	}
	for _, ours := range d.alpn {
		for _, theirs := range hello.ALPN {
			if bytes.Equal(ours, theirs) {
				s.protocol = ours
				return nil
			}
		}
	}
	return violation(ReasonNoApplicationProtocol)
}

// newCertificateTask asks the application for a certificate.
func (m *Machine) newCertificateTask() *Task {
	cfg := m.cfg
	ask := cfg.GetCertificate != nil && (len(m.d.certs) == 0 || m.conn.serverName() != "")
	if !ask && !m.lifted(TaskChooseCertificate) {
		return m.newTask(TaskChooseCertificate, func(*Task) error { return nil }) // nobody asks what it is about
	}
	info := m.hello.info()
	t := m.newTask(TaskChooseCertificate, func(t *Task) error {
		if !ask {
			return nil
		}
		return call(ReasonCallbackFailed, func() (err error) {
			t.certificate, err = cfg.GetCertificate(info)
			return err
		})
	})
	t.hello = info
	return t
}

// choose finds the chain that suits the client among ours, or takes the one that
// the application has chosen.
func (s *serverHandshake) choose(request *credentialRequest, d *derived, chosen *tls.Certificate) (err error) {
	candidates := d.certs
	if chosen != nil {
		c, err := chosenCredential(chosen)
		if err != nil {
			return err
		}
		candidates = []*credential{c}
	}
	s.credential, s.scheme, err = request.choose(candidates)
	return err
}
