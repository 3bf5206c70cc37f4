package netconn

import (
	"errors"
	"net"

	"tlscore.example/tlscore"
	"tlscore.example/tlscore/drive"
)

// ChooseConfig chooses the config for a client: see [drive.ChooseConfig].
type ChooseConfig = drive.ChooseConfig

// RejectError is an error with which a [ChooseConfig] chooses the alert.
type RejectError = drive.RejectError

// Acceptor returns the server's end of a TLS connection over conn, whose config
// is chosen when the ClientHello is there. The limits hold until then.
//
// When choose refuses the client, the error of the handshake has in it, for
// errors.As, both the machine's [*tlscore.LocalError] and what choose returned.
func Acceptor(conn net.Conn, limits tlscore.Limits, choose ChooseConfig) *Conn {
	m, err := tlscore.NewAcceptor(limits)
	if err == nil && choose == nil {
		err = errors.New("netconn: Acceptor without a ChooseConfig")
	}
	c := newConn(conn, m, err)
	c.choose = choose
	c.beServer()
	return c
}

// answer answers the ClientHello. The machine has worked it off afterwards,
// either way.
func (c *Conn) answer() {
	c.steps.Lock()
	defer c.steps.Unlock()
	c.refused = drive.Answer(c.machine, c.choose)
}
