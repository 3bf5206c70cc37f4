package drive

import (
	"crypto/tls"
	"errors"
	"fmt"

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
	text := "refused with " + e.Alert.String()
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap returns the reason.
func (e *RejectError) Unwrap() error { return e.Err }

// Answer answers the ClientHello that m shows: it goes on with the config that choose
// returns, or ends with an alert. Either way m has worked it off when Answer returns.
// The error is why choose, or its config, has refused the client; m.Err says it in terms
// of the alert.
func Answer(m *tlscore.Machine, choose ChooseConfig) error {
	cfg, err := ask(choose, m.ClientHello())
	if err == nil {
		err = m.Accept(cfg)
	}
	if err == nil {
		return nil
	}
	if m.Reject(alertOf(err)) != nil { // not an alert to reject with
		m.Reject(tlscore.AlertInternalError)
	}
	return err
}

// ask calls choose.
func ask(choose ChooseConfig, hello *tlscore.ClientHello) (cfg *tlscore.Config, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("ChooseConfig panicked: %v", r)
		}
	}()
	return choose(hello)
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

// PlainHTTPAnswer is what a server answers, in the clear and instead of the alert, to who
// speaks plain HTTP to it ([tlscore.ProtocolError.PlainHTTP]): what net/http says to a
// client that forgot the s in https.
const PlainHTTPAnswer = "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
