package tlstest

import (
	"slices"

	"tlscore.example/tlscore/internal/wire"
)

// The messages of TLS 1.2. Building a message does not send it.

// clientHello12 builds a ClientHello that offers TLS 1.2 alone.
func (p *Peer) clientHello12() []byte {
	p.Hello = wire.ClientHello{
		LegacyVersion:      wire.VersionTLS12,
		Random:             p.random,
		SessionID:          p.SessionID,
		CipherSuites:       []wire.CipherSuite{p.Suite},
		CompressionMethods: []byte{0},
		ServerName:         []byte(p.ServerName),
		ECPointFormats:     []byte{0},
		SignatureAlgorithms: []wire.SignatureScheme{
			wire.ECDSAP256SHA256, wire.RSAPSSRSAESHA256, wire.Ed25519, wire.ECDSAP384SHA384, wire.ECDSAP521SHA512,
			wire.RSAPKCS1SHA256,
		},
	}
	for _, g := range []wire.NamedGroup{p.Group, wire.GroupX25519, wire.GroupP256} {
		if !slices.Contains(p.Hello.SupportedGroups, g) {
			p.Hello.SupportedGroups = append(p.Hello.SupportedGroups, g)
		}
	}
	var types []wire.ExtensionType
	if p.ServerName != "" {
		types = append(types, wire.ExtServerName)
	}
	types = append(types, wire.ExtSupportedGroups, wire.ExtECPointFormats, wire.ExtSignatureAlgorithms, wire.ExtRenegotiationInfo)
	if p.EMS {
		types = append(types, wire.ExtExtendedMasterSecret)
	}
	if p.Resume != nil {
		p.Hello.SessionID, p.Hello.SessionTicket = p.Resume.ID, p.Resume.Ticket
	}
	if p.AskTicket || p.Hello.SessionTicket != nil {
		types = append(types, wire.ExtSessionTicket)
	}
	p.Hello.Extensions = Extensions(types...)
	if p.OnClientHello != nil {
		p.OnClientHello(&p.Hello)
	}
	return p.Hello.Append(nil)
}

// serverHello12 builds the answer to the ClientHello that was received last.
func (p *Peer) serverHello12() []byte {
	offered := func(t wire.ExtensionType) bool { return p.Hello.Has(t) }
	hello := wire.ServerHello{
		LegacyVersion:  wire.VersionTLS12,
		Random:         p.random,
		SessionID:      p.SessionID,
		CipherSuite:    p.Suite,
		ECPointFormats: []byte{0},
	}
	if p.Resume != nil {
		hello.SessionID = p.Hello.SessionID
	}
	var types []wire.ExtensionType
	if offered(wire.ExtRenegotiationInfo) || slices.Contains(p.Hello.CipherSuites, wire.TLS_EMPTY_RENEGOTIATION_INFO_SCSV) {
		types = append(types, wire.ExtRenegotiationInfo)
	}
	if offered(wire.ExtECPointFormats) && p.Resume == nil {
		types = append(types, wire.ExtECPointFormats)
	}
	if offered(wire.ExtExtendedMasterSecret) && p.EMS {
		types = append(types, wire.ExtExtendedMasterSecret)
	}
	if offered(wire.ExtSessionTicket) && p.AskTicket {
		types = append(types, wire.ExtSessionTicket)
	}
	hello.Extensions = Extensions(types...)
	if p.OnServerHello != nil {
		p.OnServerHello(&hello)
	}
	p.serverRandom = hello.Random
	p.extended = hello.Has(wire.ExtExtendedMasterSecret)
	if p.Resume != nil {
		p.resume()
	}
	return hello.Append(nil)
}

func (p *Peer) certificate12() []byte {
	cert := wire.Certificate12{Certificates: slices.Clone(p.Certificate.Certificate)}
	if p.OnCertificate12 != nil {
		p.OnCertificate12(&cert)
	}
	return cert.Append(nil)
}

// CertificateStatus builds the message that carries an OCSP response.
func (p *Peer) CertificateStatus(response []byte) []byte {
	return (&wire.CertificateStatus{OCSPResponse: response}).Append(nil)
}

// ServerKeyExchange builds the signed share of Group.
func (p *Peer) ServerKeyExchange() []byte {
	m := wire.ServerKeyExchange{
		Group:     p.Group,
		Point:     p.key(p.Group).public(),
		Algorithm: wire.SignatureScheme(p.Scheme),
	}
	if p.OnECDHParams != nil {
		p.OnECDHParams(&m)
	}
	m.Signature = p.sign(p.Scheme, p.signedParams(m.AppendParams(nil)))
	if p.OnServerKeyExchange != nil {
		p.OnServerKeyExchange(&m)
	}
	return m.Append(nil)
}

func (p *Peer) certificateRequest12() []byte {
	req := wire.CertificateRequest12{
		CertificateTypes:    []wire.ClientCertificateType{wire.CertTypeECDSASign, wire.CertTypeRSASign},
		SignatureAlgorithms: []wire.SignatureScheme{wire.ECDSAP256SHA256, wire.RSAPSSRSAESHA256, wire.Ed25519},
	}
	if p.OnCertificateRequest12 != nil {
		p.OnCertificateRequest12(&req)
	}
	return req.Append(nil)
}

// ServerHelloDone builds the message that ends the server's first flight.
func (p *Peer) ServerHelloDone() []byte { return new(wire.ServerHelloDone).Append(nil) }

// HelloRequest builds the message that asks for a renegotiation.
func (p *Peer) HelloRequest() []byte { return new(wire.HelloRequest).Append(nil) }

// ClientKeyExchange builds the share of the group that the server has chosen, and
// with it the shared secret. The master secret follows when it is sent.
func (p *Peer) ClientKeyExchange() []byte {
	m := wire.ClientKeyExchange{Point: p.key(p.Group).public()}
	if p.key(p.Group).curve != nil {
		if secret, err := p.key(p.Group).agree(p.point); err == nil {
			p.shared = secret
		}
	}
	if p.OnClientKeyExchange != nil {
		p.OnClientKeyExchange(&m)
	}
	return m.Append(nil)
}

// finished12 builds the Finished over the transcript as it is. Before there is a
// master secret it is all zeros.
func (p *Peer) finished12() []byte {
	fin := wire.Finished{VerifyData: make([]byte, 12)}
	if p.Master != nil {
		fin.VerifyData = p.verifyData(p.server)
	}
	if p.OnFinished != nil {
		p.OnFinished(&fin)
	}
	return fin.Append(nil)
}

// newSessionTicket12 builds a ticket, which is added to Sessions.
func (p *Peer) newSessionTicket12() []byte {
	m := wire.NewSessionTicket12{LifetimeHint: 7200, Ticket: []byte("ticket of TLS 1.2")}
	if p.OnNewSessionTicket12 != nil {
		p.OnNewSessionTicket12(&m)
	}
	p.keepTicket12(m.Ticket)
	return m.Append(nil)
}
