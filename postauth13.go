package tlscore

import (
	"crypto/x509"

	"tlscore.example/tlscore/internal/schedule"
	"tlscore.example/tlscore/internal/wire"
)

// The authentication of a client after the handshake. RFC 8446, Section 4.6.2.

// postAuth is what the authentication of a client after the handshake needs. It is
// kept when the client has offered it, and then for as long as the connection
// receives. RFC 8446, Section 4.6.2.
type postAuth struct {
	// handshake is the transcript from the ClientHello to the client's Finished.
	handshake *schedule.Transcript
	// exchange is the one that is going on: a client's from the CertificateRequest
	// to its answer, a server's to the client's Finished. Else it is nil.
	exchange *postExchange
}

// postExchange is one authentication after the handshake.
type postExchange struct {
	// transcript is what the handshake's became with the messages of the exchange.
	transcript *schedule.Transcript

	// A client's.
	request *credentialRequest
	flight  [][]byte // what is sent when it is complete

	// A server's.
	context  []byte
	chain    []*x509.Certificate // nil when the client shows none
	verified [][]*x509.Certificate
}

// keepForPostAuth keeps the transcript of the handshake, which is complete, if the
// client has offered to authenticate later.
func (m *Machine) keepForPostAuth(offered bool) {
	if offered {
		m.conn.extra().post = &postAuth{handshake: m.handshakeState().transcript}
	}
}

// begin begins an exchange with its CertificateRequest.
//
//	"A Handshake Context consisting of the set of messages to be included in
//	the transcript hash."
//
// https://www.rfc-editor.org/rfc/rfc8446#section-4.4
//
// Behind the handshake that is all of it up to the client's Finished and the
// CertificateRequest, and nothing of what came in between.
func (p *postAuth) begin(request []byte) *postExchange {
	p.exchange = &postExchange{transcript: p.handshake.Clone()}
	p.exchange.transcript.Write(request)
	return p.exchange
}

// hash returns the transcript hash of the exchange so far.
func (x *postExchange) hash() []byte { return x.transcript.Sum(nil) }

// add puts a message into a client's flight.
func (x *postExchange) add(raw []byte) {
	x.transcript.Write(raw)
	x.flight = append(x.flight, raw)
}

// clientPostRequest begins to authenticate once more.
//
//	"A client that receives a CertificateRequest message without having sent
//	the "post_handshake_auth" extension MUST send an "unexpected_message" fatal
//	alert."
//
// https://www.rfc-editor.org/rfc/rfc8446#section-4.6.2
func clientPostRequest(m *Machine, msg []byte) (State, error) {
	if m.conn.post() == nil {
		return 0, violationf(ReasonUnexpectedMessage, "%s, and %s was not offered", inputCertificateRequest, wire.ExtPostHandshakeAuth)
	}
	m.in.certificateRequests++
	if m.in.certificateRequests > maxCertificateRequests || m.out.unreadAnswers() >= maxCertificateRequests {
		return 0, violation(ReasonTooManyCertificateRequests)
	}
	q, err := m.d.clientRequest13(msg)
	if err != nil {
		return 0, err
	}
	m.conn.post().begin(msg).request = q
	return m.await(StatePostChooseCertificate, m.newClientCertificateTask(q.info()))
}

// clientPostChosen answers with what was chosen, or with no certificate.
//
//	"If it declines, it MUST send a Certificate message containing no
//	certificates followed by Finished."
//
// https://www.rfc-editor.org/rfc/rfc8446#section-4.6.2
func clientPostChosen(m *Machine, _ []byte) (State, error) {
	x := m.conn.post().exchange
	t, err := m.result()
	if err != nil {
		return 0, err
	}
	cred, scheme, err := m.clientCredential(t, x.request)
	if err != nil {
		return 0, err
	}
	x.add(x.request.message(cred).Append(nil))
	if cred == nil {
		return m.finishPost()
	}
	return m.await(StatePostSign, m.newSignTask(cred, scheme, m.signedContent(clientSignatureContext, x.hash())))
}

// clientPostSigned completes the answer.
//
//	"If the client chooses to authenticate, it MUST send Certificate,
//	CertificateVerify, and Finished."
//
// https://www.rfc-editor.org/rfc/rfc8446#section-4.6.2
func clientPostSigned(m *Machine, _ []byte) (State, error) {
	x := m.conn.post().exchange
	verify, err := m.takeSignature()
	if err != nil {
		return 0, err
	}
	x.add(verify.Append(nil))
	return m.finishPost()
}

// finishPost sends the answer. If this direction was closed meanwhile, there is none.
func (m *Machine) finishPost() (State, error) {
	x := m.conn.post().exchange
	m.conn.post().exchange = nil
	queued, err := m.out.appendAuthentication(x.flight, x.hash())
	m.sent = m.sent || queued
	return StateConnected, err
}

// RequestClientCertificate asks a client of TLS 1.3 that has offered to authenticate
// after the handshake for its certificate, at any time and as often as one likes.
// When it returns, the request is in the output. What the client answers is judged as
// Config.ClientAuth says, and then comes [EventClientCertificate]; until then data
// comes and goes as before. One request can be unanswered at a time, and a client may
// never answer: a deadline is up to the caller.
//
// It belongs to the receiving half. An error is misuse and changes nothing:
// [ErrNoPostHandshakeAuth] when this is no server of TLS 1.3 or the client has not
// offered it, [ErrNotConnected] before [EventHandshakeDone] and after [EventClosed],
// [ErrAuthenticating] while a request is unanswered, [ErrWriteClosed] after CloseWrite.
// RFC 8446, Section 4.6.2.
func (m *Machine) RequestClientCertificate() error {
	if err := m.answerable(); err != nil {
		return err
	}
	switch {
	case m.rules != rulesServerHello && m.rules != rulesServer13:
		return ErrNoPostHandshakeAuth
	case m.state.handshaking() || m.state == StateClosed:
		return ErrNotConnected
	case m.conn.post() == nil:
		return ErrNoPostHandshakeAuth
	case m.conn.post().exchange != nil:
		return ErrAuthenticating
	}
	if err := m.out.writable(); err != nil {
		return err
	}
	m.step(inputRequestCertificate, nil)
	return nil
}

// postContextLen is the length of a certificate_request_context: so long that a
// random one is unique.
const postContextLen = 32

// serverRequestCertificate sends a CertificateRequest.
//
//	"The certificate_request_context MUST be unique within the scope of this
//	connection (thus preventing replay of client CertificateVerify messages)."
//
//	"When requesting post-handshake authentication, the server SHOULD make the
//	context unpredictable to the client (e.g., by randomly generating it)"
//
// https://www.rfc-editor.org/rfc/rfc8446#section-4.3.2
func serverRequestCertificate(m *Machine, _ []byte) (State, error) {
	context := make([]byte, postContextLen)
	if err := m.cfg.random(context); err != nil {
		return 0, err
	}
	request := m.d.certificateRequest(context).Append(nil)
	queued, err := m.out.appendPostHandshake(request)
	if err != nil {
		return 0, err
	}
	if queued {
		m.sent = true
		m.conn.post().begin(request).context = context
	}
	return StateConnected, nil
}

// serverPostCertificate takes the certificate chain that was asked for, if the client
// shows one.
func serverPostCertificate(m *Machine, msg []byte) (State, error) {
	if m.conn.post() == nil || m.conn.post().exchange == nil {
		return 0, unexpected(inputCertificate)
	}
	x := m.conn.post().exchange
	chain, raw, err := m.clientChain(msg, x.context)
	if err != nil {
		return 0, err
	}
	x.transcript.Write(msg)
	if chain == nil {
		return StateWaitPostFinished, nil
	}
	x.chain = chain
	return m.awaitVerdict(StatePostVerifyChain, chain, raw)
}

// serverPostChainVerified notes that the client's chain is good.
func serverPostChainVerified(m *Machine, _ []byte) (State, error) {
	t, err := m.result()
	if err != nil {
		return 0, err
	}
	m.conn.post().exchange.verified = t.verified
	return StateWaitPostCertificateVerify, nil
}

// serverPostCertificateVerify checks that the client has the certificate's key.
func serverPostCertificateVerify(m *Machine, msg []byte) (State, error) {
	x := m.conn.post().exchange
	if err := m.checkCertificateVerify(msg, x.chain[0], m.signedContent(clientSignatureContext, x.hash())); err != nil {
		return 0, err
	}
	x.transcript.Write(msg)
	return StateWaitPostFinished, nil
}

// serverPostFinished ends the exchange. Only now the connection has the client's
// certificates, in place of those that it had.
func serverPostFinished(m *Machine, msg []byte) (State, error) {
	x := m.conn.post().exchange
	base := m.out.secret(receivingSecret)
	defer base.Wipe()
	if err := checkFinished(msg, base.Finished(nil, x.hash())); err != nil {
		return 0, err
	}
	m.conn.post().exchange = nil
	p := m.conn.learn()
	p.certificates, p.chains = x.chain, x.verified
	if err := m.verifyConnection(); err != nil {
		return 0, err
	}
	m.push(EventClientCertificate)
	return StateConnected, nil
}
