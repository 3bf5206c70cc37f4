package tlscore

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"runtime"
	"testing"

	"tlscore.example/tlscore/internal/tlstest"
)

// What a full handshake may allocate beyond what the standard library's primitives do for it:
// TLS 1.3, X25519, AES-128-GCM, a server's certificate with an ECDSA key on P-256, signed by
// such an authority, no tickets. The primitives are key generation, key agreement, the keys of
// both directions in the handshake and behind it; a server's signature; a client's parsing and
// verifying of the chain, and verifying of the signature.
const (
	clientHandshakeAllocations = 10
	serverHandshakeAllocations = 36
	clientHandshakeBytes       = 3 << 10
	serverHandshakeBytes       = 6 << 10
)

// cost is what something allocates.
type cost struct{ allocations, bytes int64 }

func (c *cost) add(f func()) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	c.allocations += int64(after.Mallocs - before.Mallocs)
	c.bytes += int64(after.TotalAlloc - before.TotalAlloc)
}

func (c cost) per(n int64) cost { return cost{c.allocations / n, c.bytes / n} }

func TestHandshakeAllocations(t *testing.T) {
	clientConfig, serverConfig := costClientConfig(), costServerConfig()
	serverConfig.TicketCount = -1
	clientConfig.CipherSuites = []uint16{tls.TLS_AES_128_GCM_SHA256}
	var client, server cost
	one := func(client, server *cost) {
		var c, s *Machine
		var toServer, toClient []byte
		wire := make([]byte, 0, 1<<14)
		client.add(func() {
			c, _ = NewClient(clientConfig)
			c.Step(nil)
		})
		toServer = c.AppendOutput(wire)
		server.add(func() {
			s, _ = NewServer(serverConfig)
			stepAll(s, toServer)
		})
		toClient = s.AppendOutput(make([]byte, 0, 1<<14))
		client.add(func() { stepAll(c, toClient) })
		toServer = c.AppendOutput(make([]byte, 0, 1<<14))
		server.add(func() { stepAll(s, toServer) })
		if c.State() != StateConnected || s.State() != StateConnected {
			t.Fatal(c.Err(), s.Err())
		}
	}
	one(new(cost), new(cost)) // what is made once
	const rounds = 50
	for range rounds {
		one(&client, &server)
	}
	baseClient, baseServer := primitives(t, rounds)
	for _, x := range []struct {
		name             string
		got, base, limit cost
	}{
		{"client", client.per(rounds), baseClient, cost{clientHandshakeAllocations, clientHandshakeBytes}},
		{"server", server.per(rounds), baseServer, cost{serverHandshakeAllocations, serverHandshakeBytes}},
	} {
		beyond := cost{x.got.allocations - x.base.allocations, x.got.bytes - x.base.bytes}
		t.Logf("%s: %+v, of which the primitives %+v, beyond %+v", x.name, x.got, x.base, beyond)
		if beyond.allocations > x.limit.allocations || beyond.bytes > x.limit.bytes {
			t.Errorf("%s: %+v beyond the primitives, more than %+v", x.name, beyond, x.limit)
		}
	}
}

// stepAll steps to the next stop.
func stepAll(m *Machine, in []byte) {
	for {
		ev, n := m.Step(in)
		if in = in[n:]; ev.Stop() {
			return
		}
	}
}

// primitives counts what each side cannot avoid.
func primitives(t *testing.T, rounds int64) (client, server cost) {
	cert := tlstest.Certificate(tlstest.Leaf{})
	key := cert.PrivateKey.(*ecdsa.PrivateKey)
	roots := tlstest.Roots()
	digest := sha256.Sum256([]byte("signed"))
	check := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	peer, err := ecdh.X25519().GenerateKey(rand.Reader)
	check(err)
	exchange := func() {
		var seed [32]byte
		rand.Read(seed[:])
		own, err := ecdh.X25519().NewPrivateKey(seed[:])
		check(err)
		own.PublicKey().Bytes()
		theirs, err := ecdh.X25519().NewPublicKey(peer.PublicKey().Bytes())
		check(err)
		_, err = own.ECDH(theirs)
		check(err)
		for range 4 { // the keys of two directions, of the handshake and behind it
			block, err := aes.NewCipher(seed[:16])
			check(err)
			_, err = cipher.NewGCM(block)
			check(err)
		}
	}
	var signature []byte
	for range rounds {
		server.add(func() {
			exchange()
			signature, err = key.Sign(rand.Reader, digest[:], crypto.SHA256)
			check(err)
		})
		client.add(func() {
			exchange()
			leaf, err := x509.ParseCertificate(cert.Certificate[0])
			check(err)
			_, err = leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: tlstest.Now, DNSName: "localhost"})
			check(err)
			if !ecdsa.VerifyASN1(leaf.PublicKey.(*ecdsa.PublicKey), digest[:], signature) {
				t.Fatal("the signature does not verify")
			}
		})
	}
	return client.per(rounds), server.per(rounds)
}
