package tlstest

import (
	"crypto/hmac"
	"encoding/binary"
	"errors"
	"slices"

	"tlscore.example/tlscore/internal/record"
	"tlscore.example/tlscore/internal/schedule"
	"tlscore.example/tlscore/internal/wire"
)

// Peer12 is what a Peer has for TLS 1.2 alone. There is one change of keys, behind
// change_cipher_spec, and so the epochs are Plaintext and Application.
//
//	p.Send(p.ServerHello(), p.CertificateMessage())
//	p.Send(p.ServerKeyExchange(), p.ServerHelloDone())
//	m.Step(p.Take())
//	p.Receive(m.Output())
//	p.SendCCS()
//	p.Send(p.Finished())
type Peer12 struct {
	// EMS says that the peer knows extended_master_secret: a client offers it,
	// and a server answers it.
	EMS bool
	// AskTicket says that a client asks for a ticket, and that a server announces
	// one, if the client has asked.
	AskTicket bool
	// Resume is the session that a client offers, or that a server resumes: its
	// script sets it, in front of ServerHello.
	Resume *Session12
	// Resumed says that the handshake is the abbreviated one.
	Resumed bool
	// Sessions are those that can be resumed on another connection: by the session
	// id of the server, or by a ticket.
	Sessions []Session12
	// Master is the master secret, when there is one.
	Master *schedule.MasterSecret

	OnCertificate12        func(*wire.Certificate12)
	OnCertificateRequest12 func(*wire.CertificateRequest12)
	OnECDHParams           func(*wire.ServerKeyExchange) // before they are signed
	OnServerKeyExchange    func(*wire.ServerKeyExchange)
	OnClientKeyExchange    func(*wire.ClientKeyExchange)
	OnNewSessionTicket12   func(*wire.NewSessionTicket12)

	serverRandom [32]byte
	extended     bool   // the master secret is the extended one
	point        []byte // the server's
}

// Session12 is a session of TLS 1.2.
type Session12 struct {
	ID     []byte // the server's choice, or with a ticket the client's
	Ticket []byte // nil when the server keeps the session
	Master []byte
	Suite  wire.CipherSuite
	EMS    bool
}

// NewPeer12 is NewPeer for TLS 1.2. A client offers TLS 1.2 alone, and a server
// takes it from any ClientHello.
func NewPeer12(server bool) *Peer {
	p := NewPeer(server)
	p.Version = wire.VersionTLS12
	p.Suite = wire.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
	p.SessionID = nil
	p.EMS = true
	return p
}

func (p *Peer) tls12() bool { return p.Version == wire.VersionTLS12 }

// hash12 puts a message into the transcript. RFC 5246, Section 7.4.1.1.
func (p *Peer) hash12(msg []byte) {
	if len(msg) > 0 && wire.HandshakeType(msg[0]) != wire.TypeHelloRequest {
		p.transcript = append(p.transcript, msg...)
	}
}

// DeriveMaster derives the master secret: the extended one over the transcript as it
// is, when the hellos agree on it.
func (p *Peer) DeriveMaster(preMaster []byte) {
	if p.extended {
		p.Master = schedule.NewExtendedMasterSecret(p.suite().hash, preMaster, p.TranscriptHash())
		return
	}
	p.Master = schedule.NewMasterSecret(p.suite().hash, preMaster, &p.Hello.Random, &p.serverRandom)
}

// resume takes the master secret of the session.
func (p *Peer) resume() {
	p.Resumed = true
	p.Master, _ = schedule.ResumeMasterSecret(p.suite().hash, p.Resume.Master, p.Resume.EMS)
}

// keyBlock derives the keys of both directions.
func (p *Peer) keyBlock() schedule.KeyBlock {
	a := p.suite().aead
	return p.Master.KeyBlock(&p.Hello.Random, &p.serverRandom, a.KeyLen(), a.IV12Len())
}

// writeKey is what one end protects with.
func (p *Peer) writeKey(server bool) (key, iv []byte) {
	block := p.keyBlock()
	if server {
		return block.ServerKey(), block.ServerIV()
	}
	return block.ClientKey(), block.ClientIV()
}

func (p *Peer) protection12(server bool) *record.Protection {
	key, iv := p.writeKey(server)
	protection, err := record.New12(p.suite().aead, key, iv)
	if err != nil {
		panic(err)
	}
	return &protection
}

// sealRaw12 protects content, of any length, by the letter of RFC 5246, Section
// 6.2.3.3, at the sequence number of the sending direction, which it advances.
func (p *Peer) sealRaw12(t record.ContentType, content []byte) []byte {
	a, seq := p.suite().aead, p.sending.key.Seq()
	p.sending.key.Seal(nil, t, nil)
	key, iv := p.writeKey(p.server)
	var explicit []byte
	nonce := make([]byte, record.IVLen)
	binary.BigEndian.PutUint64(nonce[4:], seq)
	if a.IV12Len() < record.IVLen {
		explicit = slices.Clone(nonce[a.IV12Len():])
	}
	for i, b := range iv {
		nonce[i] ^= b
	}
	b := []byte{byte(t), 3, 3, 0, 0}
	binary.BigEndian.PutUint16(b[3:], uint16(len(explicit)+len(content)+record.TagLen))
	b = append(b, explicit...)
	if record.NullCrypto {
		return append(append(b, content...), make([]byte, record.TagLen)...)
	}
	data := binary.BigEndian.AppendUint64(nil, seq)
	data = append(data, byte(t), 3, 3, byte(len(content)>>8), byte(len(content)))
	return cipherOf(a, key).Seal(b, nonce, content, data)
}

// advance12 is Advance in TLS 1.2, where keys change with change_cipher_spec.
func (p *Peer) advance12(sent []byte) {
	switch wire.HandshakeType(sent[0]) {
	case wire.TypeClientKeyExchange:
		if !p.server && p.shared != nil && p.Master == nil {
			p.DeriveMaster(p.shared)
		}
	case wire.TypeFinished:
		p.keepSession()
	}
}

// receiveCCS changes the keys for what comes behind a change_cipher_spec.
func (p *Peer) receiveCCS() {
	switch {
	case p.Master == nil:
		p.fail(errors.New("change_cipher_spec before there are keys"))
	case p.recv.epoch != Plaintext:
		p.fail(errors.New("a second change_cipher_spec"))
	default:
		p.setReceiving(Application)
	}
}

// keepSession adds the session of the session id, behind the last Finished.
func (p *Peer) keepSession() {
	if p.sending.epoch == Application && p.recv.epoch == Application && !p.Resumed && len(p.SessionID) > 0 {
		p.Sessions = append(p.Sessions, p.session(p.SessionID, nil))
	}
}

func (p *Peer) session(id, ticket []byte) Session12 {
	return Session12{ID: id, Ticket: ticket, Master: slices.Clone(p.Master.Bytes()), Suite: p.Suite, EMS: p.extended}
}

// handle12 does what a message asks for.
func (p *Peer) handle12(msg []byte) {
	body := slices.Clone(msg[wire.HeaderLen:])
	t := wire.HandshakeType(msg[0])
	switch t {
	case wire.TypeCertificateVerify:
		p.fail2(t, p.checkSignature(body))
	case wire.TypeFinished:
		if p.Master == nil || p.recv.epoch == Plaintext {
			p.fail(errors.New("Finished before its keys"))
		} else if !hmac.Equal(body, p.verifyData(!p.server)) {
			p.fail(errors.New("wrong Finished"))
		}
	}
	p.hash12(msg)
	switch t {
	case wire.TypeClientHello:
		p.fail2(t, p.Hello.Parse(body))
	case wire.TypeServerHello:
		p.fail2(t, p.handleServerHello12(body))
	case wire.TypeCertificate:
		var cert wire.Certificate12
		if p.fail2(t, cert.Parse(body)); len(cert.Certificates) > 0 {
			p.parseLeaf(cert.Certificates[0])
		}
	case wire.TypeServerKeyExchange:
		p.fail2(t, p.handleServerKeyExchange(body))
	case wire.TypeClientKeyExchange:
		p.fail2(t, p.handleClientKeyExchange(body))
	case wire.TypeNewSessionTicket:
		var ticket wire.NewSessionTicket12
		p.fail2(t, ticket.Parse(body))
		p.keepTicket12(ticket.Ticket)
	case wire.TypeFinished:
		p.keepSession()
	}
}

func (p *Peer) handleServerHello12(body []byte) error {
	var hello wire.ServerHello
	if err := hello.Parse(body); err != nil {
		return err
	}
	p.Suite, p.serverRandom = hello.CipherSuite, hello.Random
	p.extended = hello.Has(wire.ExtExtendedMasterSecret)
	p.SessionID = hello.SessionID
	if p.Resume != nil && len(hello.SessionID) > 0 && slices.Equal(hello.SessionID, p.Hello.SessionID) {
		p.resume()
	}
	return nil
}

func (p *Peer) handleServerKeyExchange(body []byte) error {
	var m wire.ServerKeyExchange
	if err := m.Parse(body); err != nil {
		return err
	}
	p.Group, p.point = m.Group, m.Point
	return p.verify(m.Algorithm, p.signedParams(m.Params), m.Signature)
}

func (p *Peer) handleClientKeyExchange(body []byte) error {
	var m wire.ClientKeyExchange
	if err := m.Parse(body); err != nil {
		return err
	}
	secret, err := p.key(p.Group).agree(m.Point)
	if err == nil {
		p.DeriveMaster(secret)
	}
	return err
}

// signedParams is what the server signs in ServerKeyExchange. RFC 8422, Section 5.4.
func (p *Peer) signedParams(params []byte) []byte {
	return slices.Concat(p.Hello.Random[:], p.serverRandom[:], params)
}

// verifyData is what the Finished of one end has to be. RFC 5246, Section 7.4.9.
func (p *Peer) verifyData(server bool) []byte {
	if server {
		return p.Master.ServerFinished(nil, p.TranscriptHash())
	}
	return p.Master.ClientFinished(nil, p.TranscriptHash())
}

// keepTicket12 adds the session of a ticket.
func (p *Peer) keepTicket12(ticket []byte) {
	if p.Master != nil && len(ticket) > 0 {
		p.Sessions = append(p.Sessions, p.session([]byte("with a ticket"), ticket))
	}
}
