package tlstest

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"sync"

	"tlscore.example/tlscore/internal/record"
	"tlscore.example/tlscore/internal/schedule"
	"tlscore.example/tlscore/internal/wire"
)

// Epoch says under which keys a record stands.
type Epoch int

// The epochs, in the order in which they come.
const (
	Plaintext Epoch = iota
	Early
	Handshake
	Application
)

func (e Epoch) String() string {
	return [...]string{"plaintext", "early keys", "handshake keys", "application keys"}[e]
}

// Peer is one end of a connection of TLS 1.3, or of TLS 1.2 where NewPeer12 made
// it, that does what its script says. It can run a correct handshake up to any point, and then send anything; and it reads
// back what the other end sends, and under which keys it came. It checks the
// signature, the binders and the Finished of the other end, and nothing else.
//
// A script builds messages (ClientHello, Finished, …), which the hooks can
// change, and sends them:
//
//	p.Send(p.ServerHello())         // a record of its own
//	p.Send(p.EncryptedExtensions()) // under handshake keys by now
//	p.SendRecord(record.TypeHandshake, p.Finished()[:7])
//	m.Step(p.Take())
//	p.Receive(m.Output())
//
// Send keeps the transcript and changes keys as a correct peer would; SendRecord,
// SendSealed, SendPlain and SendRaw do neither. There is no state machine: what
// is sent when is up to the script.
type Peer struct {
	// Version is TLS 1.3 or TLS 1.2, and does not change.
	Version wire.Version

	// What the hellos say. NewPeer fills them in.
	Suite      wire.CipherSuite // a server's choice, a client's only offer
	Group      wire.NamedGroup  // of the key exchange
	Shares     []wire.NamedGroup
	SessionID  []byte
	ServerName string
	Cookie     []byte // a server's, in HelloRetryRequest

	// What it authenticates with. NewPeer fills it in for a server; a client has
	// none.
	Certificate tls.Certificate
	Scheme      tls.SignatureScheme

	// Pre-shared keys. A client offers all of PSKs, which gives it
	// psk_key_exchange_modes too; a server checks the binders of those that it
	// has there. PSK is the one in use: a server's script sets it, in front of
	// ServerHello, and a client finds it there. Tickets are those that came or
	// were built, as keys for another connection.
	PSKs    []PSK
	PSK     *PSK
	Tickets []PSK
	// EarlyData says that a client offers early data, under the first of its
	// PSKs, or that a server takes it. A client sends it behind ClientHello, where
	// its epoch is Early. A server that takes none skips it.
	EarlyData bool

	// Only in TLS 1.2: see Peer12.
	Peer12

	// The hooks change a message before it is encoded. What a hook does to an
	// extension's typed field counts only while the extension's Data is nil.
	OnClientHello         func(*wire.ClientHello)
	OnServerHello         func(*wire.ServerHello)
	OnHelloRetryRequest   func(*wire.ServerHello)
	OnEncryptedExtensions func(*wire.EncryptedExtensions)
	OnCertificateRequest  func(*wire.CertificateRequest)
	OnCertificate         func(*wire.Certificate)
	OnCertificateVerify   func(*wire.CertificateVerify)
	OnFinished            func(*wire.Finished)
	OnNewSessionTicket    func(*wire.NewSessionTicket)
	OnBinders             func([][]byte) // of a ClientHello, which is complete but for them

	// Got is all that was received.
	Got []Item
	// Err is the first thing that was wrong with it.
	Err error
	// Hello is the last ClientHello, sent or received.
	Hello wire.ClientHello
	// RequestContext is that of the last CertificateRequest, sent or received, and
	// of a Certificate that answers it.
	RequestContext []byte

	server bool
	random [32]byte
	keys   map[wire.NamedGroup]*exchange
	shared []byte
	leaf   *x509.Certificate // the other end's

	transcript []byte
	hello      []byte // the transcript that ends with the ClientHello
	// The transcripts that end with a CertificateRequest behind the handshake, by
	// its context, and the one that is being answered.
	requests map[string][]byte
	answer   []byte

	handshake  *schedule.HandshakeSecret
	main       *schedule.MainSecret
	resumption *schedule.ResumptionSecret
	// The traffic secrets of each epoch, by whose they are.
	clientSecret, serverSecret [Application + 1]schedule.TrafficSecret

	out           []byte
	sending, recv direction
	rest          []byte // of handshake messages
}

// direction is the protection in one direction.
type direction struct {
	epoch  Epoch
	secret schedule.TrafficSecret
	key    *record.Protection
}

// Item is something that the peer has received: a handshake message, with its
// header; an alert; application data; or a change_cipher_spec.
type Item struct {
	Epoch Epoch
	Type  record.ContentType
	Body  []byte
	// Record is the record in which it ended, as it came, and Key a copy of what
	// opens it, or nil.
	Record []byte
	Key    *record.Protection
}

// String names the item.
func (i Item) String() string {
	what := i.Type.String()
	switch i.Type {
	case record.TypeHandshake:
		what = wire.HandshakeType(i.Body[0]).String()
	case record.TypeAlert:
		what = fmt.Sprintf("alert %x", i.Body)
	}
	return what + ", " + i.Epoch.String()
}

var localhost = sync.OnceValue(func() tls.Certificate { return Certificate(Leaf{}) })

// NewPeer returns a client, or a server that the certificates of this package
// authenticate for localhost.
func NewPeer(server bool) *Peer {
	p := &Peer{
		Version:    wire.VersionTLS13,
		Suite:      wire.TLS_AES_128_GCM_SHA256,
		Group:      wire.GroupX25519,
		SessionID:  []byte("session id of thirty-two bytes.."),
		ServerName: "localhost",
		Scheme:     tls.ECDSAWithP256AndSHA256,
		server:     server,
		keys:       make(map[wire.NamedGroup]*exchange),
		requests:   make(map[string][]byte),
	}
	rand.Read(p.random[:])
	if server {
		p.Certificate = localhost()
	}
	return p
}

// Send puts messages into the transcript and, coalesced, into as few records as
// hold them. Then it changes its keys, if the last message is one that does so.
func (p *Peer) Send(messages ...[]byte) {
	p.Hash(messages...)
	p.SendRecord(record.TypeHandshake, slices.Concat(messages...))
	p.Advance(messages[len(messages)-1])
}

// SendPieces is Send for one message that is cut into records of size bytes.
func (p *Peer) SendPieces(message []byte, size int) {
	p.Hash(message)
	for piece := range slices.Chunk(message, size) {
		p.SendRecord(record.TypeHandshake, piece)
	}
	p.Advance(message)
}

// Hash puts messages into the transcript.
func (p *Peer) Hash(messages ...[]byte) {
	for _, msg := range messages {
		if isRetry(msg) {
			p.retryTranscript()
		}
		if p.tls12() {
			p.hash12(msg)
			continue
		}
		if p.sending.epoch == Application && p.recv.epoch == Application {
			p.hashAnswer(msg)
			continue
		}
		p.transcript = append(p.transcript, msg...)
		if len(msg) > 0 && wire.HandshakeType(msg[0]) == wire.TypeClientHello {
			p.hello = slices.Clone(p.transcript)
		}
	}
}

// hashAnswer puts what belongs to authentication behind the handshake into a
// transcript of its own. RFC 8446, Section 4.4.
func (p *Peer) hashAnswer(msg []byte) {
	if len(msg) < wire.HeaderLen {
		return
	}
	body := msg[wire.HeaderLen:]
	switch wire.HandshakeType(msg[0]) {
	case wire.TypeCertificateRequest:
		var req wire.CertificateRequest
		if req.Parse(body) == nil {
			p.requests[string(req.RequestContext)] = slices.Concat(p.transcript, msg)
		}
	case wire.TypeCertificate:
		var cert wire.Certificate
		if cert.Parse(body) == nil && p.requests[string(cert.RequestContext)] != nil {
			p.answer = slices.Concat(p.requests[string(cert.RequestContext)], msg)
		}
	case wire.TypeCertificateVerify:
		if p.answer != nil {
			p.answer = append(p.answer, msg...)
		}
	case wire.TypeFinished:
		p.answer = nil
	}
}

// SendRecord sends content in records under the current keys, without any
// further thought. No content makes one empty record.
func (p *Peer) SendRecord(t record.ContentType, content []byte) {
	for {
		n := min(len(content), record.MaxPlaintext)
		if p.sending.key == nil {
			p.out = record.AppendPlaintext(p.out, t, record.VersionTLS12, content[:n])
		} else {
			p.out = p.sending.key.Seal(p.out, t, content[:n])
		}
		if content = content[n:]; len(content) == 0 {
			return
		}
	}
}

// SendPlain sends one record in the clear, whatever the keys.
func (p *Peer) SendPlain(t record.ContentType, content []byte) {
	p.out = append(p.out, byte(t), 3, 3, byte(len(content)>>8), byte(len(content)))
	p.out = append(p.out, content...)
}

// SendSealed protects inner as it is: content, type and padding are up to the
// script, and so is its length.
func (p *Peer) SendSealed(inner []byte) {
	p.out = append(p.out, sealRaw(p.suite().aead, &p.sending, inner)...)
}

// SendLong protects content in one record, however long it is.
func (p *Peer) SendLong(t record.ContentType, content []byte) {
	if p.tls12() {
		p.out = append(p.out, p.sealRaw12(t, content)...)
		return
	}
	p.SendSealed(append(slices.Clone(content), byte(t)))
}

// SendRaw sends bytes.
func (p *Peer) SendRaw(b []byte) { p.out = append(p.out, b...) }

// SendAlert sends an alert under the current keys.
func (p *Peer) SendAlert(level, description byte) {
	p.SendRecord(record.TypeAlert, []byte{level, description})
}

// SendCCS sends the change_cipher_spec of middlebox compatibility mode. In TLS 1.2
// it is one that means it: behind it the peer sends under its keys, when it has
// them.
func (p *Peer) SendCCS() {
	if !p.tls12() {
		p.SendPlain(record.TypeChangeCipherSpec, []byte{1})
		return
	}
	p.SendRecord(record.TypeChangeCipherSpec, []byte{1})
	if p.Master != nil && p.sending.epoch == Plaintext {
		p.setSending(Application)
	}
}

// Take returns what was sent since the last Take.
func (p *Peer) Take() []byte {
	b := p.out
	p.out = nil
	return b
}

// SetSending changes the keys under which the peer sends, to those of an epoch
// that it has derived, without the message that belongs to it.
func (p *Peer) SetSending(e Epoch) { p.setSending(e) }

// SetReceiving changes the keys under which the peer receives.
func (p *Peer) SetReceiving(e Epoch) { p.setReceiving(e) }

// Epoch returns the epoch in which the peer sends.
func (p *Peer) Epoch() Epoch { return p.sending.epoch }

// Reading returns the epoch in which the peer receives.
func (p *Peer) Reading() Epoch { return p.recv.epoch }

// Advance changes keys as a correct peer does behind a message that it has sent
// where that message belongs.
func (p *Peer) Advance(sent []byte) {
	if len(sent) == 0 {
		return
	}
	if p.tls12() {
		p.advance12(sent)
		return
	}
	switch t := wire.HandshakeType(sent[0]); {
	case t == wire.TypeClientHello && !p.server && p.Hello.Has(wire.ExtEarlyData) && len(p.PSKs) > 0:
		p.deriveEarly(&p.PSKs[0])
		p.setSending(Early)
	case t == wire.TypeServerHello && p.server && p.sending.epoch == Plaintext && !isRetry(sent):
		p.deriveHandshake()
		p.setSending(Handshake)
		p.setReceiving(Handshake)
		if p.EarlyData && p.PSK != nil && p.Hello.Has(wire.ExtEarlyData) {
			p.deriveEarly(p.PSK)
			p.setReceiving(Early)
		}
	case t == wire.TypeEndOfEarlyData && p.sending.epoch == Early && p.handshake != nil:
		p.setSending(Handshake)
	case t == wire.TypeFinished && p.sending.epoch == Handshake:
		if p.server {
			p.deriveApplication()
		}
		p.setSending(Application)
		if !p.server && p.main != nil {
			p.deriveResumption()
		}
	case t == wire.TypeKeyUpdate && p.sending.epoch == Application:
		p.sending.next(p.suite().aead)
	}
}

// Receive reads whole records and adds what is in them to Got. It returns what
// it added.
func (p *Peer) Receive(b []byte) []Item {
	start := len(p.Got)
	for len(b) > 0 && p.Err == nil {
		if len(b) < record.HeaderLen || len(b) < record.HeaderLen+record.ParseHeader(b).Length {
			p.fail(errors.New("part of a record"))
			break
		}
		size := record.HeaderLen + record.ParseHeader(b).Length
		p.receiveRecord(b[:size])
		b = b[size:]
	}
	return p.Got[start:]
}

// Last returns the last item that was received, or none.
func (p *Peer) Last() Item {
	if len(p.Got) == 0 {
		return Item{}
	}
	return p.Got[len(p.Got)-1]
}

// Message returns the last handshake message of that type, without its header,
// or nil.
func (p *Peer) Message(t wire.HandshakeType) []byte {
	for _, item := range slices.Backward(p.Got) {
		if item.Type == record.TypeHandshake && wire.HandshakeType(item.Body[0]) == t {
			return item.Body[wire.HeaderLen:]
		}
	}
	return nil
}

// Alerts returns the alerts that were received, level and description each.
func (p *Peer) Alerts() (list [][2]byte) {
	for _, item := range p.Got {
		if item.Type == record.TypeAlert && len(item.Body) == 2 {
			list = append(list, [2]byte(item.Body))
		}
	}
	return list
}

func (p *Peer) fail(err error) {
	if p.Err == nil {
		p.Err = err
	}
}

func (p *Peer) receiveRecord(b []byte) {
	item := Item{Type: record.ParseHeader(b).Type, Record: slices.Clone(b)}
	content := slices.Clone(b[record.HeaderLen:])
	if p.recv.key != nil && (item.Type == record.TypeApplicationData || p.tls12()) {
		copied := *p.recv.key
		item.Key, item.Epoch = &copied, p.recv.epoch
		var err error
		if item.Type, content, err = p.recv.key.Open(slices.Clone(b)); err != nil {
			if p.skipsEarlyData() {
				return
			}
			p.fail(fmt.Errorf("record under %s: %w", p.recv.epoch, err))
			return
		}
	}
	if item.Type != record.TypeHandshake {
		item.Body = content
		p.Got = append(p.Got, item)
		if item.Type == record.TypeChangeCipherSpec && p.tls12() {
			p.receiveCCS()
		}
		return
	}
	p.rest = append(p.rest, content...)
	for {
		_, n, ok := wire.Header(p.rest)
		if n += wire.HeaderLen; !ok || len(p.rest) < n {
			return
		}
		item.Body = slices.Clone(p.rest[:n])
		p.rest = p.rest[n:]
		p.Got = append(p.Got, item)
		p.handle(item.Body)
	}
}

// skipsEarlyData reports whether a record that does not open may be early data
// that the server has not taken. RFC 8446, Section 4.2.10.
func (p *Peer) skipsEarlyData() bool {
	return p.server && !p.EarlyData && p.Hello.Has(wire.ExtEarlyData) && p.recv.epoch == Handshake && p.recv.key.Seq() == 0
}

// handle does what a message asks for.
func (p *Peer) handle(msg []byte) {
	if p.tls12() {
		p.handle12(msg)
		return
	}
	body := msg[wire.HeaderLen:]
	t := wire.HandshakeType(msg[0])
	switch t {
	case wire.TypeCertificateVerify:
		p.fail2(t, p.checkSignature(body))
	case wire.TypeFinished:
		base := p.serverSecret[Handshake]
		switch {
		case p.answer != nil:
			base = p.recv.secret
		case p.server:
			base = p.clientSecret[Handshake]
		}
		if !hmac.Equal(body, base.Finished(nil, p.TranscriptHash())) {
			p.fail(errors.New("wrong Finished"))
		}
	}
	if t != wire.TypeKeyUpdate { // which may come before our own Finished, and is no part of the handshake
		p.Hash(msg)
	}
	switch t {
	case wire.TypeClientHello:
		p.fail2(t, p.Hello.Parse(slices.Clone(body)))
		p.fail2(t, p.checkBinders(msg))
	case wire.TypeServerHello:
		p.handleServerHello(msg)
	case wire.TypeCertificate:
		var cert wire.Certificate
		if err := cert.Parse(body); err != nil || len(cert.Entries) == 0 {
			p.fail2(t, err)
			return
		}
		p.parseLeaf(cert.Entries[0].Data)
	case wire.TypeEncryptedExtensions:
		var ee wire.EncryptedExtensions
		if p.fail2(t, ee.Parse(body)); !ee.Has(wire.ExtEarlyData) && p.sending.epoch == Early {
			p.setSending(Handshake)
		}
	case wire.TypeCertificateRequest:
		var req wire.CertificateRequest
		p.fail2(t, req.Parse(body))
		p.RequestContext = slices.Clone(req.RequestContext)
	case wire.TypeNewSessionTicket:
		p.handleTicket(body)
	case wire.TypeEndOfEarlyData:
		p.setReceiving(Handshake)
	case wire.TypeFinished:
		if p.recv.epoch == Application {
			return
		}
		if !p.server {
			p.deriveApplication()
		}
		p.setReceiving(Application)
		if p.server {
			p.deriveResumption()
		}
	case wire.TypeKeyUpdate:
		p.recv.next(p.suite().aead)
	}
}

func (p *Peer) parseLeaf(der []byte) {
	leaf, err := x509.ParseCertificate(der)
	p.leaf = leaf
	p.fail2(wire.TypeCertificate, err)
}

func (p *Peer) fail2(t wire.HandshakeType, err error) {
	if err != nil {
		p.fail(fmt.Errorf("%s: %w", t, err))
	}
}

func (p *Peer) handleServerHello(msg []byte) {
	var hello wire.ServerHello
	if err := hello.Parse(slices.Clone(msg[wire.HeaderLen:])); err != nil {
		p.fail2(wire.TypeServerHello, err)
		return
	}
	p.Suite = hello.CipherSuite
	if hello.IsHelloRetryRequest() {
		if hello.Has(wire.ExtKeyShare) {
			p.Group = hello.SelectedGroup
			p.Shares = []wire.NamedGroup{p.Group}
		}
		p.Cookie = hello.Cookie
		p.sending = direction{}
		p.EarlyData = false
		return
	}
	p.PSK = nil
	if hello.Has(wire.ExtPreSharedKey) {
		if int(hello.SelectedIdentity) >= len(p.PSKs) {
			p.fail(errors.New("ServerHello for a PSK that was not offered"))
			return
		}
		p.PSK = &p.PSKs[hello.SelectedIdentity]
	}
	p.shared = nil
	if p.PSK == nil || hello.Has(wire.ExtKeyShare) {
		p.Group = hello.KeyShare.Group
		key := p.keys[p.Group]
		if key == nil {
			p.fail(errors.New("ServerHello for a group without a share"))
			return
		}
		var err error
		p.shared, err = key.client(hello.KeyShare.Data)
		p.fail2(wire.TypeServerHello, err)
	}
	p.deriveHandshake()
	if p.sending.epoch == Plaintext {
		p.setSending(Handshake)
	}
	p.setReceiving(Handshake)
}

// isRetry reports whether a message is a HelloRetryRequest.
func isRetry(msg []byte) bool {
	return len(msg) > wire.HeaderLen && wire.HandshakeType(msg[0]) == wire.TypeServerHello &&
		wire.IsHelloRetryRequest(msg[wire.HeaderLen:])
}
