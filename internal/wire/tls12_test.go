package wire

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"testing"
)

// Both signatures of a handshake of crypto/tls verify over what the codec shows
// of it: the server's over the randoms and Params, the client's over all
// messages before it, each written from its struct.
func TestHandshakeOf12(t *testing.T) {
	var (
		client  ClientHello
		server  ServerHello
		request CertificateRequest12
		share   ServerKeyExchange
		answer  ClientKeyExchange
		verify  CertificateVerify
		ticket  NewSessionTicket12
		status  CertificateStatus
		done    ServerHelloDone
		chains  []*Certificate12

		transcript []byte
		messages   = map[MessageKind]message{
			KindClientHello: &client, KindServerHello12: &server, KindCertificateStatus: &status,
			KindServerKeyExchange: &share, KindCertificateRequest12: &request, KindServerHelloDone: &done,
			KindClientKeyExchange: &answer, KindCertificateVerify: &verify, KindNewSessionTicket12: &ticket,
		}
	)
	for _, v := range readVectors(t, "tls12.txt") {
		m := messages[v.kind]
		if v.kind == KindCertificate12 {
			chains = append(chains, new(Certificate12))
			m = chains[len(chains)-1]
		}
		if err := m.Parse(v.raw[HeaderLen:]); err != nil {
			t.Fatal(err)
		}
		forget(m)
		if v.kind == KindCertificateVerify {
			wantSignature(t, chains[1], &verify, transcript)
		}
		transcript = m.Append(transcript)
	}
	params := share.AppendParams(append(client.Random[:], server.Random[:]...))
	wantSignature(t, chains[0], &CertificateVerify{share.Algorithm, share.Signature}, params)

	if !server.Has(ExtStatusRequest) || !server.Has(ExtExtendedMasterSecret) || !server.Has(ExtSessionTicket) ||
		server.CipherSuite != TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 || string(server.ALPN) != "h2" {
		t.Errorf("the server's choice is %s", show(&server))
	}
	if share.Group != GroupX25519 || len(share.Point) != 32 || len(answer.Point) != 32 {
		t.Errorf("the shares are %s, %s", show(&share), show(&answer))
	}
	if string(status.OCSPResponse) != "a response" || string(server.SCTs[0]) != "a timestamp" || len(ticket.Ticket) < 100 {
		t.Errorf("got %s, %q, %s", show(&status), server.SCTs, show(&ticket))
	}
	leaf, err := x509.ParseCertificate(chains[1].Certificates[0])
	if err != nil || len(request.CertificateAuthorities) != 1 ||
		!bytes.Equal(request.CertificateAuthorities[0], leaf.RawIssuer) || request.CertificateTypes[1] != CertTypeECDSASign {
		t.Errorf("the request is %s, %v", show(&request), err)
	}
}

// wantSignature fails unless v signs p with the key of the chain's first
// certificate.
func wantSignature(t *testing.T, chain *Certificate12, v *CertificateVerify, p []byte) {
	t.Helper()
	leaf, err := x509.ParseCertificate(chain.Certificates[0])
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(p)
	if v.Algorithm != ECDSAP256SHA256 || !ecdsa.VerifyASN1(leaf.PublicKey.(*ecdsa.PublicKey), digest[:], v.Signature) {
		t.Errorf("%v of %d bytes does not verify", v.Algorithm, len(p))
	}
}

// The signature of a ServerKeyExchange is made over the parameters as they
// stand in the message: what Params shows is what AppendParams writes.
//
//	ClientHello.random + ServerHello.random + ServerKeyExchange.params
//
// RFC 8422, Section 5.4.
func TestServerKeyExchangeParams(t *testing.T) {
	params := cat(unhex("03 0017"), vec8(repeat(4, 65)))
	body := cat(params, unhex("0403"), vec16(unhex("5151")))
	var m ServerKeyExchange
	if err := m.Parse(body); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(m.Params, params) || &m.Params[0] != &body[0] || cap(m.Params) != len(params) {
		t.Errorf("Params is %x with room for %d, want %x as it stands in the body", m.Params, cap(m.Params), params)
	}
	if got := m.AppendParams([]byte{9}); !bytes.Equal(got, cat([]byte{9}, params)) {
		t.Errorf("AppendParams wrote %x, want %x", got, params)
	}
	m.Params = []byte("not read")
	if got := m.Append(nil); !bytes.Equal(got[HeaderLen:], body) {
		t.Errorf("Append wrote %x, want %x", got[HeaderLen:], body)
	}
}

// Certificates, an OCSP response and a point do not grow into the message.
func TestAliasesOf12AreClipped(t *testing.T) {
	for _, k := range allKinds() {
		body := fullBody(k)
		before := bytes.Clone(body)
		m := newMessage(k)
		if err := m.Parse(body); err != nil {
			t.Fatal(err)
		}
		var fields [][]byte
		switch m := m.(type) {
		case *Certificate12:
			fields = m.Certificates
		case *CertificateStatus:
			fields = [][]byte{m.OCSPResponse}
		case *ServerKeyExchange:
			fields = [][]byte{m.Params, m.Point, m.Signature}
		case *CertificateRequest12:
			fields = m.CertificateAuthorities
		case *ClientKeyExchange:
			fields = [][]byte{m.Point}
		case *NewSessionTicket12:
			fields = [][]byte{m.Ticket}
		case *ClientHello:
			fields = append(m.CertificateAuthorities, m.SessionTicket)
		}
		for _, p := range fields {
			if len(p) == 0 || len(p) != cap(p) {
				t.Errorf("%v: %x has room for %d bytes", k, p, cap(p))
			}
			_ = append(p, 0xee)
		}
		if !bytes.Equal(body, before) {
			t.Errorf("%v: appending to a field changed the message", k)
		}
	}
}

// Binders are made over a message that ends before them, and put in afterwards.
//
// "The PskBinderEntry is computed in the same way as the Finished message
// (Section 4.4.4) but with the BaseKey being the binder_key derived via the key
// schedule from the corresponding PSK which is being offered"
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.2.11.2)
func TestAppendBinders(t *testing.T) {
	m := ClientHello{
		CipherSuites:       []CipherSuite{TLS_AES_128_GCM_SHA256},
		CompressionMethods: []byte{0},
		Extensions:         []Extension{{Type: ExtPadding}, {Type: ExtPreSharedKey}},
		Padding:            5,
		PSKIdentities:      []PSKIdentity{{Identity: []byte("one")}, {Identity: []byte("two")}},
		PSKBinders:         [][]byte{make([]byte, 32), make([]byte, 48)},
	}
	raw := m.Append(nil)
	partial := bytes.Clone(raw[:len(raw)-BindersSize(m.PSKBinders)])
	m.PSKBinders = [][]byte{repeat(1, 32), repeat(2, 48)}
	raw = m.AppendBinders(raw[:len(partial)])
	if !bytes.Equal(raw, m.Append(nil)) || !bytes.HasPrefix(raw, partial) {
		t.Errorf("patched to\n%x, want\n%x", raw, m.Append(nil))
	}
	var got ClientHello
	if err := got.Parse(raw[HeaderLen:]); err != nil || got.BindersLen != len(raw)-len(partial) {
		t.Fatalf("%v, binders take %d bytes", err, got.BindersLen)
	}
	if !bytes.Equal(got.PSKBinders[0], m.PSKBinders[0]) || !bytes.Equal(got.PSKBinders[1], m.PSKBinders[1]) {
		t.Errorf("binders are %x", got.PSKBinders)
	}
}

// A ticket that is empty, a count that is zero: Has tells them from none.
func TestPresentButZero(t *testing.T) {
	body := bodyWith(KindClientHello, ext(ExtSessionTicket, nil), ext(ExtPadding, nil), ext(ExtTicketRequest, unhex("0003")))
	var m ClientHello
	if err := m.Parse(body); err != nil {
		t.Fatal(err)
	}
	if !m.Has(ExtSessionTicket) || len(m.SessionTicket) != 0 || !m.Has(ExtPadding) || m.Padding != 0 {
		t.Errorf("ticket %x, padding %d", m.SessionTicket, m.Padding)
	}
	if m.TicketRequest != (TicketRequest{NewSessionCount: 0, ResumptionCount: 3}) {
		t.Errorf("ticket_request is %+v", m.TicketRequest)
	}
	if err := m.Parse(bodyWith(KindClientHello)); err != nil {
		t.Fatal(err)
	}
	if m.Has(ExtSessionTicket) || m.SessionTicket != nil || m.TicketRequest != (TicketRequest{}) {
		t.Error("what an earlier message held is still there")
	}
}
