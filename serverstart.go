package tlscore

import (
	"crypto/tls"

	"tlscore.example/tlscore/internal/schedule"
	"tlscore.example/tlscore/internal/wire"
)

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
	group      tls.CurveID
	credential *credential
	scheme     *scheme
	serverName string
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
