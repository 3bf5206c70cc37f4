package tlstest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/mlkem"
	"crypto/rand"
	"encoding/binary"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"

	"tlscore.example/tlscore/internal/record"
	"tlscore.example/tlscore/internal/schedule"
	"tlscore.example/tlscore/internal/wire"
)

// suite is what a cipher suite consists of.
type suite struct {
	aead record.AEAD
	hash schedule.Hash
}

func (p *Peer) suite() suite { return suiteOf(p.Suite) }

func suiteOf(c wire.CipherSuite) suite {
	switch c {
	case wire.TLS_AES_256_GCM_SHA384, wire.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
		wire.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384:
		return suite{record.AES256GCM, schedule.SHA384}
	case wire.TLS_CHACHA20_POLY1305_SHA256, wire.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
		wire.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256:
		return suite{record.ChaCha20Poly1305, schedule.SHA256}
	}
	return suite{record.AES128GCM, schedule.SHA256}
}

// TranscriptHash returns the hash of the messages so far: of the handshake, or of
// an authentication behind it.
func (p *Peer) TranscriptHash() []byte {
	if p.answer != nil {
		return hashMessages(p.suite().hash, p.answer)
	}
	return hashMessages(p.suite().hash, p.transcript)
}

func hashMessages(hash schedule.Hash, messages ...[]byte) []byte {
	h := hash.New()
	for _, msg := range messages {
		h.Write(msg)
	}
	return h.Sum(nil)
}

// retryTranscript puts the hash of the first ClientHello in its place.
// RFC 8446, Section 4.4.1.
func (p *Peer) retryTranscript() {
	p.transcript = Message(wire.TypeMessageHash, p.TranscriptHash()...)
}

// deriveHandshake derives the handshake traffic secrets; the transcript ends
// with ServerHello.
func (p *Peer) deriveHandshake() {
	var psk []byte
	if p.PSK != nil {
		psk = p.PSK.Key
	}
	early := schedule.NewEarlySecret(p.suite().hash, psk)
	handshake := early.Handshake(p.shared)
	p.handshake = &handshake
	hash := p.TranscriptHash()
	p.clientSecret[Handshake] = p.handshake.ClientTraffic(hash)
	p.serverSecret[Handshake] = p.handshake.ServerTraffic(hash)
}

// deriveApplication derives the application traffic secrets; the transcript ends
// with the server's Finished.
func (p *Peer) deriveApplication() {
	main := p.handshake.Main()
	p.main = &main
	hash := p.TranscriptHash()
	p.clientSecret[Application] = p.main.ClientTraffic(hash)
	p.serverSecret[Application] = p.main.ServerTraffic(hash)
}

func (p *Peer) setSending(e Epoch) {
	if e == Plaintext {
		p.sending = direction{}
		return
	}
	if p.tls12() {
		p.sending = direction{epoch: e, key: p.protection12(p.server)}
		return
	}
	secret := p.clientSecret[e]
	if p.server {
		secret = p.serverSecret[e]
	}
	p.sending.set(p.suite().aead, e, secret)
}

func (p *Peer) setReceiving(e Epoch) {
	if e == Plaintext {
		p.recv = direction{}
		return
	}
	if p.tls12() {
		p.recv = direction{epoch: e, key: p.protection12(!p.server)}
		return
	}
	secret := p.serverSecret[e]
	if p.server {
		secret = p.clientSecret[e]
	}
	p.recv.set(p.suite().aead, e, secret)
}

func (d *direction) set(a record.AEAD, e Epoch, secret schedule.TrafficSecret) {
	key := make([]byte, a.KeyLen())
	secret.Key(key)
	iv := make([]byte, record.IVLen)
	secret.IV(iv)
	protection, err := record.New(a, key, iv)
	if err != nil {
		panic(err)
	}
	d.epoch, d.secret, d.key = e, secret, &protection
}

// next changes to the key behind a KeyUpdate.
func (d *direction) next(a record.AEAD) { d.set(a, d.epoch, d.secret.Next()) }

// sealRaw protects inner by the letter of RFC 8446, Section 5.2, at the sequence
// number of d, which it advances.
func sealRaw(a record.AEAD, d *direction, inner []byte) []byte {
	seq := d.key.Seq()
	d.key.Seal(nil, record.TypeApplicationData, nil)
	b := []byte{byte(record.TypeApplicationData), 3, 3, 0, 0}
	binary.BigEndian.PutUint16(b[3:], uint16(len(inner)+record.TagLen))
	if record.NullCrypto {
		b = append(b, inner...)
		return append(b, make([]byte, record.TagLen)...)
	}
	key := make([]byte, a.KeyLen())
	d.secret.Key(key)
	nonce := make([]byte, record.IVLen)
	d.secret.IV(nonce)
	for i := range 8 {
		nonce[4+i] ^= byte(seq >> (56 - 8*i))
	}
	return cipherOf(a, key).Seal(b, nonce, inner, b)
}

// cipherOf is the algorithm of the standard library.
func cipherOf(a record.AEAD, key []byte) (aead cipher.AEAD) {
	var err error
	if a == record.ChaCha20Poly1305 {
		aead, err = chacha20poly1305.New(key)
	} else {
		var block cipher.Block
		if block, err = aes.NewCipher(key); err == nil {
			aead, err = cipher.NewGCM(block)
		}
	}
	if err != nil {
		panic(err)
	}
	return aead
}

// exchange is a key for one group.
type exchange struct {
	curve   *ecdh.PrivateKey
	kem768  *mlkem.DecapsulationKey768
	kem1024 *mlkem.DecapsulationKey1024
}

// key returns the peer's key for a group, made on demand. A group that the peer
// does not know has none, and shares of it are noise.
func (p *Peer) key(g wire.NamedGroup) *exchange {
	if k := p.keys[g]; k != nil {
		return k
	}
	k := new(exchange)
	generate := func(c ecdh.Curve) {
		var err error
		if k.curve, err = c.GenerateKey(rand.Reader); err != nil {
			panic(err)
		}
	}
	var err error
	switch g {
	case wire.GroupX25519:
		generate(ecdh.X25519())
	case wire.GroupP256:
		generate(ecdh.P256())
	case wire.GroupP384:
		generate(ecdh.P384())
	case wire.GroupP521:
		generate(ecdh.P521())
	case wire.GroupX25519MLKEM768:
		generate(ecdh.X25519())
		k.kem768, err = mlkem.GenerateKey768()
	case wire.GroupSecP256r1MLKEM768:
		generate(ecdh.P256())
		k.kem768, err = mlkem.GenerateKey768()
	case wire.GroupSecP384r1MLKEM1024:
		generate(ecdh.P384())
		k.kem1024, err = mlkem.GenerateKey1024()
	case wire.GroupMLKEM1024:
		k.kem1024, err = mlkem.GenerateKey1024()
	}
	if err != nil {
		panic(err)
	}
	p.keys[g] = k
	return k
}

// order puts the two parts of a share or a secret in the order of the group:
// the KEM's comes first with X25519, last with the NIST curves.
func (k *exchange) order(curve, kem []byte) []byte {
	if k.curve == nil {
		return kem
	}
	if k.curve.Curve() == ecdh.X25519() {
		return append(kem[:len(kem):len(kem)], curve...)
	}
	return append(curve[:len(curve):len(curve)], kem...)
}

// split is the reverse of order.
func (k *exchange) split(share []byte) (curve, kem []byte, err error) {
	if k.curve == nil {
		return nil, share, nil
	}
	n := len(k.curve.PublicKey().Bytes())
	if len(share) < n {
		return nil, nil, fmt.Errorf("share of %d bytes", len(share))
	}
	if k.curve.Curve() == ecdh.X25519() {
		return share[len(share)-n:], share[:len(share)-n], nil
	}
	return share[:n], share[n:], nil
}

// public is a client's share.
func (k *exchange) public() []byte {
	switch {
	case k.kem768 != nil:
		return k.order(k.point(), k.kem768.EncapsulationKey().Bytes())
	case k.kem1024 != nil:
		return k.order(k.point(), k.kem1024.EncapsulationKey().Bytes())
	case k.curve != nil:
		return k.point()
	}
	return []byte("noise")
}

// point is the curve's part of a share.
func (k *exchange) point() []byte {
	if k.curve == nil {
		return nil
	}
	return k.curve.PublicKey().Bytes()
}

// client computes the shared secret from a server's share.
func (k *exchange) client(share []byte) ([]byte, error) {
	point, ciphertext, err := k.split(share)
	if err != nil {
		return nil, err
	}
	secret, err := k.agree(point)
	if err != nil {
		return nil, err
	}
	var kem []byte
	switch {
	case k.kem768 != nil:
		kem, err = k.kem768.Decapsulate(ciphertext)
	case k.kem1024 != nil:
		kem, err = k.kem1024.Decapsulate(ciphertext)
	default:
		return secret, nil
	}
	return k.order(secret, kem), err
}

func (k *exchange) agree(point []byte) ([]byte, error) {
	if k.curve == nil {
		return nil, nil
	}
	public, err := k.curve.Curve().NewPublicKey(point)
	if err != nil {
		return nil, err
	}
	return k.curve.ECDH(public)
}

// server answers a client's share, with noise if that is none.
func (k *exchange) server(share []byte) (own, secret []byte) {
	if k.curve == nil && k.kem1024 == nil || len(share) == 0 {
		return k.public(), nil
	}
	point, public, err := k.split(share)
	if err != nil {
		return k.public(), nil
	}
	if secret, err = k.agree(point); err != nil {
		return k.public(), nil
	}
	own = k.point()
	var kem, ciphertext []byte
	switch {
	case k.kem768 != nil:
		key, err := mlkem.NewEncapsulationKey768(public)
		if err != nil {
			return k.public(), nil
		}
		kem, ciphertext = key.Encapsulate()
	case k.kem1024 != nil:
		key, err := mlkem.NewEncapsulationKey1024(public)
		if err != nil {
			return k.public(), nil
		}
		kem, ciphertext = key.Encapsulate()
	default:
		return own, secret
	}
	return k.order(own, ciphertext), k.order(secret, kem)
}
