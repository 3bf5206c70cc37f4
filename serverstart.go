package tlscore

import (
	"crypto/tls"

	"tlscore.example/tlscore/internal/wire"
)

// serverHelloRules is the server as a table until it has chosen a version. The
// acceptor is the same server: it stops in StateWaitAccept on its way.
var serverHelloRules = ruleTable{
	StateWaitClientHello: {
		{inputClientHello, serverClientHello, oneOf(StateWaitAccept, StateWaitClientHelloRetry, StateChooseCertificate)},
	},
	StateWaitAccept: {
		{inputAccept, serverAccept, oneOf(StateWaitClientHelloRetry, StateChooseCertificate)},
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

	recordSizeLimit uint16 // our own, if the client has asked; else 0
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
	hello := &m.hello.ClientHello
	if err := checkClientHello(hello); err != nil {
		return 0, err
	}
	m.server.clientRandom = hello.Random
	m.speak(tls.VersionTLS13)
	return serverHello13(m)
}
