package fuzz

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"slices"

	"tlscore.example/tlscore/internal/record"
	"tlscore.example/tlscore/internal/schedule"
	"tlscore.example/tlscore/internal/wire"
)

// puppet12 is what a puppet has for TLS 1.2 alone.
type puppet12 struct {
	tls12        bool
	serverRandom [32]byte
	extended     bool // the master secret
	master       *schedule.MasterSecret
	curve        wire.NamedGroup
	point        []byte // the server's, to a client
	requested    bool   // a certificate
	announced    bool   // a ticket, by a server
}

var suites12 = []*suite{
	{wire.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, record.AES128GCM, schedule.SHA256},
	{wire.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, record.AES128GCM, schedule.SHA256},
	{wire.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, record.AES256GCM, schedule.SHA384},
	{wire.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, record.AES256GCM, schedule.SHA384},
	{wire.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, record.ChaCha20Poly1305, schedule.SHA256},
	{wire.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, record.ChaCha20Poly1305, schedule.SHA256},
}

// rsa reports whether a suite of TLS 1.2 needs a certificate with an RSA key.
func (s *suite) rsa() bool { return slices.Index(suites12, s)%2 == 1 }

// message12 follows the machine's handshake.
func (p *puppet) message12(t wire.HandshakeType, msg []byte) {
	if t != wire.TypeClientHello && t != wire.TypeServerHello {
		if p.transcript == nil || p.phase == phaseConnected {
			return
		}
		p.transcript.Write(msg)
	}
	body := bytes.Clone(msg[wire.HeaderLen:])
	switch t {
	case wire.TypeClientHello:
		if p.server && p.phase == phaseStart {
			p.answerClientHello12(msg)
		}
	case wire.TypeServerHello:
		if !p.server {
			p.takeServerHello12(msg)
		}
	case wire.TypeCertificateRequest:
		p.requested = true
	case wire.TypeServerKeyExchange:
		var m wire.ServerKeyExchange
		if m.Parse(body) == nil {
			p.curve, p.point = m.Group, m.Point
		}
	case wire.TypeServerHelloDone:
		p.sendClientFlight12()
	case wire.TypeClientKeyExchange:
		var m wire.ClientKeyExchange
		if m.Parse(body) == nil && p.scalar != nil {
			p.agree12(m.Point)
		}
	case wire.TypeFinished:
		if p.server != p.selected { // whose Finished comes second
			p.finish12()
		}
		p.phase = phaseConnected
	}
}

// agree12 derives the master secret; the transcript ends with ClientKeyExchange.
func (p *puppet) agree12(point []byte) {
	public, err := p.scalar.Curve().NewPublicKey(point)
	if err != nil {
		return
	}
	shared, err := p.scalar.ECDH(public)
	if err != nil {
		return
	}
	if p.extended {
		p.master = schedule.NewExtendedMasterSecret(p.suite.hash, shared, p.transcript.Sum(nil))
		return
	}
	p.master = schedule.NewMasterSecret(p.suite.hash, shared, &p.hello.Random, &p.serverRandom)
}

// key12 is what one end protects with.
func (p *puppet) key12(server bool) *record.Protection {
	a := p.suite.aead
	block := p.master.KeyBlock(&p.hello.Random, &p.serverRandom, a.KeyLen(), a.IV12Len())
	key, iv := block.ClientKey(), block.ClientIV()
	if server {
		key, iv = block.ServerKey(), block.ServerIV()
	}
	protection, err := record.New12(a, key, iv)
	if err != nil {
		panic(err)
	}
	return &protection
}

// changeReceiving takes the machine's change_cipher_spec.
func (p *puppet) changeReceiving() {
	if p.tls12 && p.master != nil && p.open == nil {
		p.open = p.key12(!p.server)
	}
}

// finish12 sends change_cipher_spec and Finished.
func (p *puppet) finish12() {
	if p.master == nil {
		return
	}
	p.sendTicket12()
	p.emit(record.TypeChangeCipherSpec, []byte{1})
	p.flushHeld()
	p.seal = p.key12(p.server)
	data := p.master.ClientFinished
	if p.server {
		data = p.master.ServerFinished
	}
	fin := wire.Finished{VerifyData: data(nil, p.transcript.Sum(nil))}
	p.emit(record.TypeHandshake, fin.Append(nil))
}

// The client.

func (p *puppet) sendClientHello12() {
	h := &p.hello
	h.LegacyVersion = wire.VersionTLS12
	p.random.Read(h.Random[:])
	for i := range suites12 {
		h.CipherSuites = append(h.CipherSuites, suites12[(i+int(p.suites))%len(suites12)].id)
	}
	h.CompressionMethods = []byte{0}
	h.ECPointFormats = []byte{0}
	h.SupportedGroups = slices.Concat(puppetGroups[int(p.group)%len(puppetGroups):], puppetGroups[:int(p.group)%len(puppetGroups)])
	for _, s := range []tls.SignatureScheme{tls.Ed25519, tls.ECDSAWithP256AndSHA256, tls.ECDSAWithP384AndSHA384, tls.ECDSAWithP521AndSHA512, tls.PSSWithSHA256, tls.PKCS1WithSHA256} {
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
	add(wire.ExtECPointFormats)
	if p.flags&puppetNoSession == 0 {
		add(wire.ExtExtendedMasterSecret)
	}
	if p.flags&puppetPSK != 0 {
		p.offerPast12()
	}
	if p.flags&puppetNoCompat == 0 {
		add(wire.ExtRenegotiationInfo)
	} else {
		h.CipherSuites = append(h.CipherSuites, wire.TLS_EMPTY_RENEGOTIATION_INFO_SCSV)
	}
	p.emit(record.TypeHandshake, h.Append(nil))
}

func (p *puppet) takeServerHello12(msg []byte) {
	var hello wire.ServerHello
	if hello.Parse(bytes.Clone(msg[wire.HeaderLen:])) != nil || p.transcript != nil {
		return
	}
	if p.suite = findSuite(hello.CipherSuite); p.suite == nil {
		return
	}
	p.serverRandom = hello.Random
	p.extended = hello.Has(wire.ExtExtendedMasterSecret)
	p.transcript = schedule.NewTranscript(p.suite.hash)
	p.transcript.Write(p.helloRaw)
	p.transcript.Write(msg)
	if p.resumes(tls.VersionTLS12) && len(hello.SessionID) > 0 && bytes.Equal(hello.SessionID, p.hello.SessionID) {
		p.phase = phaseFlight
		p.resume12()
	}
}

func (p *puppet) sendClientFlight12() {
	if p.server || curves[p.curve] == nil {
		return
	}
	if p.requested {
		p.emit(record.TypeHandshake, new(wire.Certificate12).Append(nil))
	}
	p.scalar = p.newScalar(p.curve)
	exchange := wire.ClientKeyExchange{Point: p.scalar.PublicKey().Bytes()}
	p.emit(record.TypeHandshake, exchange.Append(nil))
	p.flushHeld()
	p.agree12(p.point)
	p.phase = phaseFlight
	p.finish12()
}

// The server.

func (p *puppet) answerClientHello12(msg []byte) {
	p.hello = wire.ClientHello{}
	if p.hello.Parse(bytes.Clone(msg[wire.HeaderLen:])) != nil {
		return
	}
	p.expectEarly(msg)
	p.phase = phaseFlight
	if p.answerOffer12(msg) {
		return
	}
	chain := certificates[int(p.cert)%len(certificates)][0]
	_, rsa := schemeOf(chain.PrivateKey.(crypto.Signer))
	var usable []*suite
	for _, s := range suites12 {
		if s.rsa() == rsa && slices.Contains(p.hello.CipherSuites, s.id) {
			usable = append(usable, s)
		}
	}
	for i := range puppetGroups {
		if g := puppetGroups[(i+int(p.group))%len(puppetGroups)]; slices.Contains(p.hello.SupportedGroups, g) {
			p.curve = g
			break
		}
	}
	if len(usable) == 0 || p.curve == 0 {
		return
	}
	p.suite = usable[int(p.suites)%len(usable)]
	p.transcript = schedule.NewTranscript(p.suite.hash)
	p.transcript.Write(msg)
	p.sendServerHello12()
	cert := wire.Certificate12{Certificates: chain.Certificate}
	p.emit(record.TypeHandshake, cert.Append(nil))
	if p.flags&puppetCookie != 0 {
		status := wire.CertificateStatus{OCSPResponse: []byte("response")}
		p.emit(record.TypeHandshake, status.Append(nil))
	}
	p.scalar = p.newScalar(p.curve)
	exchange := wire.ServerKeyExchange{Group: p.curve, Point: p.scalar.PublicKey().Bytes()}
	verify := p.sign(chain.PrivateKey.(crypto.Signer), slices.Concat(p.hello.Random[:], p.serverRandom[:], exchange.AppendParams(nil)))
	exchange.Algorithm, exchange.Signature = verify.Algorithm, verify.Signature
	p.emit(record.TypeHandshake, exchange.Append(nil))
	if p.flags&puppetRequest != 0 {
		request := wire.CertificateRequest12{
			CertificateTypes:    []wire.ClientCertificateType{wire.CertTypeECDSASign},
			SignatureAlgorithms: []wire.SignatureScheme{wire.Ed25519, wire.ECDSAP256SHA256},
		}
		p.emit(record.TypeHandshake, request.Append(nil))
	}
	p.emit(record.TypeHandshake, new(wire.ServerHelloDone).Append(nil))
}

func (p *puppet) sendServerHello12() {
	hello := &wire.ServerHello{LegacyVersion: wire.VersionTLS12, CipherSuite: p.suite.id, ECPointFormats: []byte{0}}
	p.random.Read(hello.Random[:])
	switch {
	case p.selected:
		hello.SessionID = p.hello.SessionID
	case p.flags&puppetPSK != 0:
		hello.SessionID = slices.Clone(p.pool[:min(len(p.pool), 32)])
	}
	if len(p.hello.ALPN) > 0 && p.alpn != 0 {
		hello.ALPN = p.hello.ALPN[int(p.alpn-1)%len(p.hello.ALPN)]
	}
	for _, x := range []struct {
		t       wire.ExtensionType
		present bool
	}{
		{wire.ExtServerName, p.flags&puppetNoName == 0},
		{wire.ExtRenegotiationInfo, true},
		{wire.ExtExtendedMasterSecret, p.flags&puppetNoSession == 0},
		{wire.ExtECPointFormats, true},
		{wire.ExtALPN, hello.ALPN != nil},
		{wire.ExtStatusRequest, p.flags&puppetCookie != 0},
		{wire.ExtSessionTicket, p.flags&puppetEarlyData != 0},
	} {
		if x.present && p.hello.Has(x.t) {
			hello.Extensions = append(hello.Extensions, wire.Extension{Type: x.t})
		}
	}
	p.extended = hello.Has(wire.ExtExtendedMasterSecret)
	p.announced = hello.Has(wire.ExtSessionTicket)
	p.serverRandom = hello.Random
	p.emit(record.TypeHandshake, hello.Append(nil))
}
