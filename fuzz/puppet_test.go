package fuzz

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"io"
	mathrand "math/rand/v2"
	"slices"

	"tlscore.example/tlscore"
	"tlscore.example/tlscore/internal/record"
	"tlscore.example/tlscore/internal/schedule"
	"tlscore.example/tlscore/internal/wire"
)

// A puppet is a peer of its own, of either role, in TLS 1.3 or in TLS 1.2, that
// does what the input says. It computes its keys, signatures and Finished over what it really
// sends: so a machine that accepts an altered message goes on, and what comes
// behind it is reached.
type puppet struct {
	choices
	server  bool
	pool    []byte // what is put where something is invented
	random  *mathrand.ChaCha8
	account *accountant // is told what was protected

	read int    // how much of the machine's output came here
	in   []byte // that of it which is no whole record yet
	hand []byte // handshake bytes that are no message yet

	suite       *suite
	transcript  *schedule.Transcript
	handshake   schedule.HandshakeSecret
	sending     schedule.TrafficSecret
	receiving   schedule.TrafficSecret
	nextSend    schedule.TrafficSecret // of the application phase, until it begins
	nextReceive schedule.TrafficSecret
	seal, open  *record.Protection
	puppet12
	puppetPast

	helloRaw []byte // the first ClientHello, until the hash is known
	hello    wire.ClientHello
	scalar   *ecdh.PrivateKey
	retried  bool
	phase    phase

	queue    []part
	items    int    // how many messages and other records were made
	held     *piece // is to share a record with what comes next
	deferred *piece // is sent behind what comes next

	astray     bool // what was said of keys was altered: the machine may have others
	got        []sentAlert
	unreadable bool // a record of the machine could not be opened
}

// A part is what is given to the machine at once.
type part struct {
	bytes      []byte
	misaligned bool // handshake bytes follow a message that changes keys
}

type phase int

const (
	phaseStart phase = iota
	phaseHello
	phaseFlight
	phaseConnected
	phaseOver
)

// puppetTLS12 is the bit of choices.suites that makes a puppet speak TLS 1.2.
const puppetTLS12 = 0x80

// choices say which handshake the puppet begins, and how it deviates from it.
type choices struct {
	flags  byte
	suites byte
	group  byte
	alpn   byte
	cert   byte
	edits  []edit
	post   []postItem
}

// What the bits of choices.flags mean.
const (
	puppetRetry     = 1 << iota // a server asks for another group; a client has no share
	puppetCookie                // a server sends one in its HelloRetryRequest
	puppetRequest               // a server asks for a certificate; a client lets itself be asked later
	puppetNoSession             // a client sends no session id
	puppetEarlyData             // a client sends early data; a server takes it, or in TLS 1.2 gives a ticket
	puppetPSK                   // the session from before is offered, or resumed; without one, what is none
	puppetNoName                // a client names no server; a server does not confirm it
	puppetNoCompat              // no change_cipher_spec

	puppetEager = puppetNoSession // a server does not wait for the client's Finished
)

// An edit alters one item that the puppet sends.
type edit struct {
	item, op, a, b byte
}

// The kinds of edits.
const (
	editNothing = iota
	editFlip
	editSet
	editTruncate
	editInsert
	editDelete
	editDrop
	editRepeat
	editReplace
	editBefore
	editAfter
	editFragment
	editHold
	editPad
	editType
	editOuterType
	editVersion
	editCorrupt
	editRaw
	editSwap
	editNumber
	numEdits
	editFixLength = 0x80 // the length in the header is made right again
)

// A postItem is something that is sent once the handshake is over.
type postItem struct {
	what, with byte
}

// The kinds of post-handshake items.
const (
	postData = iota
	postEmpty
	postKeyUpdate
	postTicket
	postAlert
	postMessage
	postCompat
	postBig
	postType
	postPlaintext
	postRequest
	numPosts
)

func parseChoices(peer, post []byte) choices {
	in := reader(peer)
	c := choices{flags: in.next(), suites: in.next(), group: in.next(), alpn: in.next(), cert: in.next()}
	for len(in) >= 4 && len(c.edits) < 16 {
		c.edits = append(c.edits, edit{in[0], in[1], in[2], in[3]})
		in = in[4:]
	}
	for len(post) >= 2 && len(c.post) < 100 {
		c.post = append(c.post, postItem{post[0], post[1]})
		post = post[2:]
	}
	return c
}

// newPuppet makes the peer of a machine that is made as the setup says.
func newPuppet(set *setup, c choices, pool []byte) *puppet {
	p := &puppet{choices: c, server: set.role == roleClient, pool: pool, random: mathrand.NewChaCha8([32]byte{7})}
	p.tls12 = c.suites&puppetTLS12 != 0
	p.suites &^= puppetTLS12
	p.past = set.prepared
	return p
}

// suite is what a puppet has to know of a cipher suite.
type suite struct {
	id   wire.CipherSuite
	aead record.AEAD
	hash schedule.Hash
}

var suites = []*suite{
	{wire.TLS_AES_128_GCM_SHA256, record.AES128GCM, schedule.SHA256},
	{wire.TLS_AES_256_GCM_SHA384, record.AES256GCM, schedule.SHA384},
	{wire.TLS_CHACHA20_POLY1305_SHA256, record.ChaCha20Poly1305, schedule.SHA256},
}

func findSuite(id wire.CipherSuite) *suite {
	for _, s := range slices.Concat(suites, suites12) {
		if s.id == id {
			return s
		}
	}
	return nil
}

func (s *suite) protection(secret *schedule.TrafficSecret) *record.Protection {
	key := make([]byte, s.aead.KeyLen())
	iv := make([]byte, record.IVLen)
	secret.Key(key)
	secret.IV(iv)
	p, err := record.New(s.aead, key, iv)
	if err != nil {
		panic(err)
	}
	return &p
}

// curves are the groups that a puppet can do.
var curves = map[wire.NamedGroup]ecdh.Curve{
	wire.NamedGroup(tls.X25519):    ecdh.X25519(),
	wire.NamedGroup(tls.CurveP256): ecdh.P256(),
	wire.NamedGroup(tls.CurveP384): ecdh.P384(),
	wire.NamedGroup(tls.CurveP521): ecdh.P521(),
}

var puppetGroups = []wire.NamedGroup{
	wire.NamedGroup(tls.X25519), wire.NamedGroup(tls.CurveP256), wire.NamedGroup(tls.CurveP384), wire.NamedGroup(tls.CurveP521),
}

// newScalar makes a private key.
func (p *puppet) newScalar(g wire.NamedGroup) *ecdh.PrivateKey {
	size := map[wire.NamedGroup]int{puppetGroups[0]: 32, puppetGroups[1]: 32, puppetGroups[2]: 48, puppetGroups[3]: 66}[g]
	b := make([]byte, size)
	p.random.Read(b)
	b[0] &= 1
	key, err := curves[g].NewPrivateKey(b)
	if err != nil {
		panic(err)
	}
	return key
}

// next returns what comes next, or nil when the puppet waits, or is done.
func (p *puppet) next() *part {
	if len(p.queue) == 0 {
		p.proceed()
		p.flushHeld()
	}
	if len(p.queue) == 0 {
		return nil
	}
	first := p.queue[0]
	p.queue = p.queue[1:]
	return &first
}

// proceed makes what the puppet sends of its own accord.
func (p *puppet) proceed() {
	switch {
	case p.phase == phaseStart && !p.server:
		p.sendClientHello()
	case len(p.post) > 0 && (p.phase == phaseConnected || p.phase == phaseFlight && p.flags&puppetEager != 0):
		item := p.post[0]
		p.post = p.post[1:]
		p.sendPost(item)
	}
}

// receive reads what the machine has sent.
func (p *puppet) receive(b []byte) {
	p.in = append(p.in, b...)
	for len(p.in) >= record.HeaderLen && !p.unreadable {
		h := record.ParseHeader(p.in)
		size := record.HeaderLen + h.Length
		if len(p.in) < size {
			return
		}
		rec := bytes.Clone(p.in[:size])
		p.in = p.in[size:]
		t, content := h.Type, rec[record.HeaderLen:]
		if t == record.TypeApplicationData || p.tls12 && p.open != nil {
			var ok bool
			if t, content, ok = p.unseal(rec); !ok {
				p.unreadable = true
				return
			}
		}
		p.take(t, content)
	}
}

func (p *puppet) take(t record.ContentType, content []byte) {
	switch t {
	case record.TypeAlert:
		if len(content) == 2 {
			p.got = append(p.got, sentAlert{level: content[0], alert: tlscore.Alert(content[1])})
		}
		if fatal(p.got) > 0 {
			p.phase, p.queue = phaseOver, nil
		}
	case record.TypeChangeCipherSpec:
		p.changeReceiving()
	case record.TypeHandshake:
		p.hand = append(p.hand, content...)
		for {
			_, length, ok := wire.Header(p.hand)
			if !ok || len(p.hand) < wire.HeaderLen+length {
				return
			}
			msg := p.hand[:wire.HeaderLen+length]
			p.hand = p.hand[len(msg):]
			p.message(msg)
		}
	}
}

// message follows the machine's handshake.
func (p *puppet) message(msg []byte) {
	switch t := wire.HandshakeType(msg[0]); {
	case p.tls12:
		p.message12(t, msg)
	case t == wire.TypeKeyUpdate:
		p.receiving = p.receiving.Next()
		p.open = p.suite.protection(&p.receiving)
	case t == wire.TypeClientHello && p.server:
		p.answerClientHello(msg)
	case t == wire.TypeServerHello && !p.server:
		p.takeServerHello(msg)
	case p.transcript == nil:
	case t == wire.TypeEncryptedExtensions && !p.server:
		p.takeEncryptedExtensions(msg)
		p.transcript.Write(msg)
	case p.phase == phaseConnected:
		if t == wire.TypeCertificateRequest && !p.server {
			p.answerRequest(msg)
		}
	case t == wire.TypeFinished && p.server:
		p.receiving = p.nextReceive
		p.open = p.suite.protection(&p.receiving)
		p.phase = phaseConnected
	case t == wire.TypeFinished:
		p.transcript.Write(msg)
		p.finishClient()
	default:
		p.requested = p.requested || t == wire.TypeCertificateRequest && p.phase < phaseConnected
		p.transcript.Write(msg)
	}
}

// startKeys changes both directions to the keys of the handshake.
func (p *puppet) startKeys(shared []byte) {
	early := schedule.NewEarlySecret(p.suite.hash, p.psk())
	p.handshake = early.Handshake(shared)
	hash := p.transcript.Sum(nil)
	client, server := p.handshake.ClientTraffic(hash), p.handshake.ServerTraffic(hash)
	p.sending, p.receiving = client, server
	if p.server {
		p.sending, p.receiving = server, client
	}
	p.open = p.suite.protection(&p.receiving)
	if !p.early {
		p.seal = p.suite.protection(&p.sending)
	}
}

// mainKeys derives the keys of the application phase; the transcript ends with
// the server's Finished.
func (p *puppet) mainKeys() {
	main := p.handshake.Main()
	hash := p.transcript.Sum(nil)
	client, server := main.ClientTraffic(hash), main.ServerTraffic(hash)
	p.nextSend, p.nextReceive = client, server
	if p.server {
		p.nextSend, p.nextReceive = server, client
	}
}

func (p *puppet) startSending() {
	p.sending = p.nextSend
	p.seal = p.suite.protection(&p.sending)
}

// The client.

func (p *puppet) sendClientHello() {
	p.phase = phaseHello
	if p.tls12 {
		p.sendClientHello12()
		return
	}
	h := &p.hello
	h.LegacyVersion = wire.VersionTLS12
	p.random.Read(h.Random[:])
	if p.flags&puppetNoSession == 0 {
		h.SessionID = make([]byte, 32)
		p.random.Read(h.SessionID)
	}
	for i := range suites {
		h.CipherSuites = append(h.CipherSuites, suites[(i+int(p.suites))%len(suites)].id)
	}
	h.CompressionMethods = []byte{0}
	h.SupportedVersions = []wire.Version{wire.VersionTLS13}
	h.SupportedGroups = puppetGroups
	for _, s := range []tls.SignatureScheme{tls.Ed25519, tls.ECDSAWithP256AndSHA256, tls.ECDSAWithP384AndSHA384, tls.ECDSAWithP521AndSHA512, tls.PSSWithSHA256} {
		h.SignatureAlgorithms = append(h.SignatureAlgorithms, wire.SignatureScheme(s))
	}
	add := func(t wire.ExtensionType) { h.Extensions = append(h.Extensions, wire.Extension{Type: t}) }
	if p.flags&puppetNoName == 0 {
		h.ServerName = []byte(nameChoices[p.cert%2])
		add(wire.ExtServerName)
	}
	for _, proto := range alpnChoices[int(p.alpn)%len(alpnChoices)] {
		h.ALPN = append(h.ALPN, []byte(proto))
	}
	if len(h.ALPN) > 0 {
		add(wire.ExtALPN)
	}
	add(wire.ExtSupportedGroups)
	add(wire.ExtSignatureAlgorithms)
	add(wire.ExtSupportedVersions)
	if p.flags&puppetRequest != 0 {
		add(wire.ExtPostHandshakeAuth)
	}
	add(wire.ExtKeyShare)
	if p.flags&puppetRetry == 0 {
		p.addShare(puppetGroups[int(p.group)%len(puppetGroups)])
	}
	if p.flags&puppetEarlyData != 0 {
		add(wire.ExtEarlyData)
	}
	switch {
	case p.resumes(tls.VersionTLS13):
		p.offerPast()
	case p.flags&puppetPSK != 0:
		h.PSKModes = []byte{1}
		h.PSKIdentities = []wire.PSKIdentity{{Identity: []byte("ticket"), ObfuscatedTicketAge: 1}}
		h.PSKBinders = [][]byte{make([]byte, 32)}
		add(wire.ExtPSKKeyExchangeModes)
		add(wire.ExtPreSharedKey)
	}
	p.emit(record.TypeHandshake, p.bind(h.Append(nil)))
	p.sendEarly()
}

func (p *puppet) addShare(g wire.NamedGroup) {
	p.scalar = p.newScalar(g)
	p.hello.KeyShares = []wire.KeyShare{{Group: g, Data: p.scalar.PublicKey().Bytes()}}
}

func (p *puppet) takeServerHello(msg []byte) {
	var hello wire.ServerHello
	if hello.Parse(msg[wire.HeaderLen:]) != nil {
		return
	}
	if p.suite == nil {
		if p.suite = findSuite(hello.CipherSuite); p.suite == nil {
			return
		}
		p.transcript = schedule.NewTranscript(p.suite.hash)
		p.transcript.Write(p.helloRaw)
	}
	if hello.IsHelloRetryRequest() {
		p.transcript.HelloRetry()
		p.transcript.Write(msg)
		p.sendSecondHello(&hello)
		return
	}
	p.transcript.Write(msg)
	p.selected = p.past != nil && hello.Has(wire.ExtPreSharedKey)
	if p.scalar == nil {
		return
	}
	public, err := p.scalar.Curve().NewPublicKey(hello.KeyShare.Data)
	if err != nil {
		return // the machine took a share that the puppet did not make
	}
	shared, err := p.scalar.ECDH(public)
	if err != nil {
		return
	}
	p.startKeys(shared)
}

func (p *puppet) sendSecondHello(retry *wire.ServerHello) {
	if curves[retry.SelectedGroup] == nil {
		return
	}
	p.addShare(retry.SelectedGroup)
	p.hello.Extensions = slices.DeleteFunc(p.hello.Extensions, func(x wire.Extension) bool { return x.Type == wire.ExtEarlyData })
	p.emitCompat()
	p.emitPlain(record.TypeHandshake, p.bind(p.hello.Append(nil)))
	p.sendEarly()
}

// finishClient answers the server's Finished.
func (p *puppet) finishClient() {
	if p.handshake.Hash() == 0 {
		return
	}
	p.mainKeys()
	p.receiving = p.nextReceive
	p.open = p.suite.protection(&p.receiving)
	p.emitCompat()
	p.endEarly()
	if p.requested {
		p.emit(record.TypeHandshake, new(wire.Certificate).Append(nil))
		p.flushHeld()
	}
	fin := wire.Finished{VerifyData: p.sending.Finished(nil, p.transcript.Sum(nil))}
	p.emit(record.TypeHandshake, fin.Append(nil))
	p.startSending()
	p.phase = phaseConnected
}

// answerRequest answers a CertificateRequest that comes after the handshake: there
// is no certificate.
func (p *puppet) answerRequest(msg []byte) {
	var request wire.CertificateRequest
	if request.Parse(bytes.Clone(msg[wire.HeaderLen:])) != nil {
		return
	}
	certificate := (&wire.Certificate{RequestContext: request.RequestContext}).Append(nil)
	transcript := p.transcript.Clone()
	transcript.Write(msg)
	transcript.Write(certificate)
	p.emit(record.TypeHandshake, certificate)
	fin := wire.Finished{VerifyData: p.sending.Finished(nil, transcript.Sum(nil))}
	p.emit(record.TypeHandshake, fin.Append(nil))
}

// The server.

func (p *puppet) answerClientHello(msg []byte) {
	p.hello = wire.ClientHello{}
	if p.hello.Parse(bytes.Clone(msg[wire.HeaderLen:])) != nil {
		return
	}
	p.expectEarly(msg)
	if p.transcript == nil {
		offers := slices.DeleteFunc(slices.Clone(p.hello.CipherSuites), func(id wire.CipherSuite) bool { return findSuite(id) == nil })
		if len(offers) == 0 {
			return
		}
		p.suite = findSuite(offers[int(p.suites)%len(offers)])
		if slices.Contains(suites12, p.suite) {
			return
		}
		p.transcript = schedule.NewTranscript(p.suite.hash)
	}
	p.takeOffer()
	p.transcript.Write(msg)
	share := p.chooseShare()
	if share == nil {
		p.sendRetry()
		return
	}
	p.sendFlight(share)
}

// chooseShare picks a share of the client; nil leads to a HelloRetryRequest.
func (p *puppet) chooseShare() *wire.KeyShare {
	if p.flags&puppetRetry != 0 && !p.retried {
		return nil
	}
	for i := range p.hello.KeyShares {
		if share := &p.hello.KeyShares[i]; curves[share.Group] != nil {
			return share
		}
	}
	return nil
}

func (p *puppet) sendRetry() {
	if p.retried {
		return
	}
	p.retried = true
	hello := &wire.ServerHello{
		LegacyVersion:    wire.VersionTLS12,
		Random:           wire.HelloRetryRequestRandom,
		SessionID:        p.hello.SessionID,
		CipherSuite:      p.suite.id,
		SupportedVersion: wire.VersionTLS13,
		Extensions:       []wire.Extension{{Type: wire.ExtSupportedVersions}},
	}
	for _, g := range p.hello.SupportedGroups {
		if curves[g] != nil && !slices.ContainsFunc(p.hello.KeyShares, func(k wire.KeyShare) bool { return k.Group == g }) {
			hello.SelectedGroup = g
			hello.Extensions = append(hello.Extensions, wire.Extension{Type: wire.ExtKeyShare})
			break
		}
	}
	if p.flags&puppetCookie != 0 {
		hello.Cookie = append([]byte("cookie"), p.pool...)[:6+min(len(p.pool), 1000)]
		hello.Extensions = append(hello.Extensions, wire.Extension{Type: wire.ExtCookie})
	}
	p.transcript.HelloRetry()
	p.emit(record.TypeHandshake, hello.Append(nil))
	p.emitCompat()
}

func (p *puppet) sendFlight(share *wire.KeyShare) {
	p.phase = phaseFlight
	public, err := curves[share.Group].NewPublicKey(share.Data)
	if err != nil {
		return
	}
	p.scalar = p.newScalar(share.Group)
	shared, err := p.scalar.ECDH(public)
	if err != nil {
		return
	}
	hello := &wire.ServerHello{
		LegacyVersion:    wire.VersionTLS12,
		SessionID:        p.hello.SessionID,
		CipherSuite:      p.suite.id,
		SupportedVersion: wire.VersionTLS13,
		KeyShare:         wire.KeyShare{Group: share.Group, Data: p.scalar.PublicKey().Bytes()},
		Extensions:       []wire.Extension{{Type: wire.ExtSupportedVersions}, {Type: wire.ExtKeyShare}},
	}
	p.random.Read(hello.Random[:])
	p.answerOffer(hello)
	p.emit(record.TypeHandshake, hello.Append(nil))
	if !p.retried {
		p.emitCompat()
	}
	p.startKeys(shared)

	ee := new(wire.EncryptedExtensions)
	if p.hello.Has(wire.ExtServerName) && p.flags&puppetNoName == 0 {
		ee.Extensions = append(ee.Extensions, wire.Extension{Type: wire.ExtServerName})
	}
	if len(p.hello.ALPN) > 0 && p.alpn != 0 {
		ee.ALPN = p.hello.ALPN[int(p.alpn-1)%len(p.hello.ALPN)]
		ee.Extensions = append(ee.Extensions, wire.Extension{Type: wire.ExtALPN})
	}
	if p.acceptsEarly() {
		ee.Extensions = append(ee.Extensions, wire.Extension{Type: wire.ExtEarlyData})
	}
	p.emit(record.TypeHandshake, ee.Append(nil))
	if p.certifies() {
		p.certify()
	}
	fin := wire.Finished{VerifyData: p.sending.Finished(nil, p.transcript.Sum(nil))}
	p.emit(record.TypeHandshake, fin.Append(nil))
	p.mainKeys()
	p.startSending()
}

// certify sends a server's certificate, and asks for the client's.
func (p *puppet) certify() {
	if p.flags&puppetRequest != 0 {
		p.sendRequest(nil)
	}
	chain := certificates[int(p.cert)%len(certificates)][0]
	cert := new(wire.Certificate)
	for _, der := range chain.Certificate {
		cert.Entries = append(cert.Entries, wire.CertificateEntry{Data: der})
	}
	p.emit(record.TypeHandshake, cert.Append(nil))
	p.flushHeld()
	verify := p.sign(chain.PrivateKey.(crypto.Signer), signedContent(p.transcript.Sum(nil)))
	p.emit(record.TypeHandshake, verify.Append(nil))
	p.flushHeld()
}

// sendRequest asks for the client's certificate; after the handshake there is a
// context.
func (p *puppet) sendRequest(context []byte) {
	request := wire.CertificateRequest{
		RequestContext:      context,
		SignatureAlgorithms: []wire.SignatureScheme{wire.SignatureScheme(tls.Ed25519)},
		Extensions:          []wire.Extension{{Type: wire.ExtSignatureAlgorithms}},
	}
	p.emit(record.TypeHandshake, request.Append(nil))
}

// signedContent is what a server signs.
func signedContent(transcript []byte) []byte {
	content := append(bytes.Repeat([]byte{' '}, 64), "TLS 1.3, server CertificateVerify\x00"...)
	return append(content, transcript...)
}

// sign signs with the scheme that goes with the key. It draws nothing from the
// source that the machine's own signatures draw from: where the machine is given
// the same input again there is no puppet.
func (p *puppet) sign(key crypto.Signer, content []byte) *wire.CertificateVerify {
	scheme, _ := schemeOf(key)
	opts := map[tls.SignatureScheme]crypto.SignerOpts{
		tls.Ed25519:                crypto.Hash(0),
		tls.ECDSAWithP256AndSHA256: crypto.SHA256,
		tls.ECDSAWithP384AndSHA384: crypto.SHA384,
		tls.ECDSAWithP521AndSHA512: crypto.SHA512,
		tls.PSSWithSHA256:          &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256},
	}[scheme]
	if h := opts.HashFunc(); h != 0 {
		hash := h.New()
		hash.Write(content)
		content = hash.Sum(nil)
	}
	random := io.Reader(p.random)
	if _, ok := key.(*ecdsa.PrivateKey); ok {
		random = nil // RFC 6979
	}
	signature, err := key.Sign(random, content, opts)
	if err != nil {
		panic(err)
	}
	return &wire.CertificateVerify{Algorithm: wire.SignatureScheme(scheme), Signature: signature}
}

// schemeOf returns the scheme that goes with a key, and whether that is an RSA key.
func schemeOf(key crypto.Signer) (s tls.SignatureScheme, isRSA bool) {
	switch public := key.Public().(type) {
	case ed25519.PublicKey:
		return tls.Ed25519, false
	case *ecdsa.PublicKey:
		switch public.Curve.Params().BitSize {
		case 256:
			return tls.ECDSAWithP256AndSHA256, false
		case 384:
			return tls.ECDSAWithP384AndSHA384, false
		}
		return tls.ECDSAWithP521AndSHA512, false
	}
	return tls.PSSWithSHA256, true
}

// Behind the handshake.

func (p *puppet) sendPost(item postItem) {
	switch item.what % numPosts {
	case postData:
		p.emit(record.TypeApplicationData, bytes.Repeat([]byte{item.with}, 1+int(item.with)))
	case postEmpty:
		for range 1 + int(item.with)%40 {
			p.emit(record.TypeApplicationData, nil)
		}
	case postKeyUpdate:
		for range 1 + int(item.with>>1)%40 {
			update := wire.KeyUpdate{Request: item.with & 1}
			p.emit(record.TypeHandshake, update.Append(nil))
			if p.tls12 {
				continue
			}
			p.sending = p.sending.Next()
			p.seal = p.suite.protection(&p.sending)
		}
	case postTicket:
		for range 1 + int(item.with)%40 {
			ticket := wire.NewSessionTicket{Lifetime: 60, Nonce: []byte{item.with}, Ticket: []byte("ticket")}
			if p.flags&puppetEarlyData != 0 {
				ticket.MaxEarlyData = 1000
				ticket.Extensions = []wire.Extension{{Type: wire.ExtEarlyData}}
			}
			p.emit(record.TypeHandshake, ticket.Append(nil))
		}
	case postAlert:
		level := byte(2)
		if item.with == 0 || item.with == byte(tlscore.AlertUserCanceled) {
			level = 1
		}
		p.emit(record.TypeAlert, []byte{level, item.with})
	case postMessage:
		p.emit(record.TypeHandshake, message(item.with, p.pool))
	case postCompat:
		p.emitPlain(record.TypeChangeCipherSpec, []byte{1})
	case postBig:
		p.emit(record.TypeApplicationData, bytes.Repeat([]byte{'b'}, record.MaxPlaintext-8+int(item.with)%16))
	case postType:
		p.emit(record.ContentType(item.with), p.pool)
	case postPlaintext:
		p.emitPlain(record.ContentType(20+item.with%4), p.pool[:min(len(p.pool), 100)])
	case postRequest:
		p.sendRequest([]byte{item.with})
	}
}

// message returns a handshake message with any body.
func message(t byte, body []byte) []byte {
	b, mark := wire.AppendHeader(nil, wire.HandshakeType(t))
	return wire.CloseHeader(append(b, body...), mark)
}
