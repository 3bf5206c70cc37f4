package tlstest

import (
	"bytes"
	"crypto/tls"
	"testing"

	"tlscore.example/tlscore/internal/record"
	"tlscore.example/tlscore/internal/wire"
)

// connect runs a handshake between two peers.
func connect(t *testing.T, client, server *Peer, retry bool) {
	t.Helper()
	deliver := func(from, to *Peer) {
		t.Helper()
		to.Receive(from.Take())
		if to.Err != nil {
			t.Fatalf("%v; received: %v", to.Err, to.Got)
		}
	}
	if retry {
		client.Shares = []wire.NamedGroup{}
	}
	client.Send(client.ClientHello())
	deliver(client, server)
	if retry {
		server.Send(server.HelloRetryRequest())
		deliver(server, client)
		client.Send(client.ClientHello())
		deliver(client, server)
	}
	server.Send(server.ServerHello())
	server.Send(server.EncryptedExtensions(), server.CertificateMessage())
	server.SendPieces(server.CertificateVerify(), 7)
	server.Send(server.Finished())
	deliver(server, client)
	client.SendCCS()
	client.Send(client.Finished())
	deliver(client, server)
}

func TestPeersConnect(t *testing.T) {
	for _, suite := range []wire.CipherSuite{
		wire.TLS_AES_128_GCM_SHA256, wire.TLS_AES_256_GCM_SHA384, wire.TLS_CHACHA20_POLY1305_SHA256,
	} {
		for _, group := range []wire.NamedGroup{
			wire.GroupX25519, wire.GroupP256, wire.GroupP384, wire.GroupP521,
			wire.GroupX25519MLKEM768, wire.GroupSecP256r1MLKEM768, wire.GroupSecP384r1MLKEM1024,
		} {
			for _, retry := range []bool{false, true} {
				client, server := NewPeer(false), NewPeer(true)
				client.Suite, server.Suite = suite, suite
				client.Group, server.Group = group, group
				connect(t, client, server, retry)
			}
		}
	}
}

func TestPeersSignAndTalk(t *testing.T) {
	for kind, scheme := range []tls.SignatureScheme{
		ECDSAP256: tls.ECDSAWithP256AndSHA256,
		ECDSAP384: tls.ECDSAWithP384AndSHA384,
		ECDSAP521: tls.ECDSAWithP521AndSHA512,
		Ed25519:   tls.Ed25519,
		RSA2048:   tls.PSSWithSHA512,
	} {
		client, server := NewPeer(false), NewPeer(true)
		server.Certificate, server.Scheme = Certificate(Leaf{Key: KeyKind(kind)}), scheme
		connect(t, client, server, false)
		for range 2 {
			client.SendSealed(append([]byte("padded"), byte(record.TypeApplicationData), 0, 0, 0))
			client.Send(client.KeyUpdate(0))
		}
		server.Receive(client.Take())
		if server.Err != nil || len(server.Got) < 4 {
			t.Fatalf("%v: %v, %v", scheme, server.Err, server.Got)
		}
		if got := server.Got[len(server.Got)-2]; !bytes.Equal(got.Body, []byte("padded")) || got.Epoch != Application {
			t.Fatalf("%v: received %q: %v", scheme, got.Body, got)
		}
	}
}

// What is wrong has to be seen: in the signature, in the Finished, in a record.
func TestPeerSeesWhatIsWrong(t *testing.T) {
	for name, spoil := range map[string]func(*Peer){
		"signature": func(p *Peer) {
			p.OnCertificateVerify = func(m *wire.CertificateVerify) { m.Signature[9] ^= 1 }
		},
		"Finished": func(p *Peer) {
			p.OnFinished = func(m *wire.Finished) { m.VerifyData[0] ^= 1 }
		},
	} {
		client, server := NewPeer(false), NewPeer(true)
		spoil(server)
		client.Send(client.ClientHello())
		server.Receive(client.Take())
		server.Send(server.ServerHello())
		for _, build := range []func() []byte{
			server.EncryptedExtensions, server.CertificateMessage, server.CertificateVerify, server.Finished,
		} {
			server.Send(build())
		}
		if client.Receive(server.Take()); client.Err == nil {
			t.Errorf("wrong %s was not seen", name)
		}
	}
}
