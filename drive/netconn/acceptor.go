package netconn

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"tlscore.example/tlscore"
)

// ChooseConfig chooses the config for a client by what its ClientHello says. Its
// error refuses the client, with the alert of a [*RejectError] or a
// [tls.AlertError] in it, otherwise with internal_error. A panic is an error too.
type ChooseConfig func(*tlscore.ClientHello) (*tlscore.Config, error)

// RejectError is an error with which a [ChooseConfig] chooses the alert.
type RejectError struct {
	Alert tlscore.Alert
	Err   error // the reason, for this side only; may be nil
}

// Error implements error.
func (e *RejectError) Error() string {
	text := "netconn: refused with " + e.Alert.String()
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap returns the reason.
func (e *RejectError) Unwrap() error { return e.Err }

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
	cfg, err := c.ask()
	if err == nil {
		err = c.machine.Accept(cfg)
	}
	if err == nil {
		return
	}
	c.refused = err
	if c.machine.Reject(alertOf(err)) != nil { // not an alert to reject with
		c.machine.Reject(tlscore.AlertInternalError)
	}
}

// ask calls choose.
func (c *Conn) ask() (cfg *tlscore.Config, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("netconn: ChooseConfig panicked: %v", r)
		}
	}()
	return c.choose(c.machine.ClientHello())
}

// alertOf returns the alert that an error asks for.
func alertOf(err error) tlscore.Alert {
	var reject *RejectError
	if errors.As(err, &reject) {
		return reject.Alert
	}
	var alert tls.AlertError
	if errors.As(err, &alert) {
		return tlscore.Alert(alert)
	}
	return tlscore.AlertInternalError
}
