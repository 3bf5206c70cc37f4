package tlscore

import (
	"crypto/ecdh"
	"crypto/mlkem"
	"crypto/tls"
	"errors"
	"slices"
)

// The groups of the key exchange, and what both ends do with them. RFC 8446, Sections
// 4.2.7, 4.2.8 and 7.4; RFC 8422, Section 5.10.

// MLKEM1024 is the group of ML-KEM-1024 alone, without a curve beside it
// (draft-ietf-tls-mlkem). It is not among the default groups.
const MLKEM1024 tls.CurveID = 0x0202

// defaultGroups are the key exchange groups that are used when the config names
// none, in their order of preference: post-quantum hybrids first.
// RFC 8446, Section 4.2.7.
var defaultGroups = []tls.CurveID{
	tls.X25519MLKEM768,
	tls.SecP256r1MLKEM768,
	tls.SecP384r1MLKEM1024,
	tls.X25519,
	tls.CurveP256,
	tls.CurveP384,
	tls.CurveP521,
}

// supportedGroups are all that a config may name.
var supportedGroups = append(slices.Clip(defaultGroups), MLKEM1024)

// kem is one parameter set of ML-KEM, as a client's and as a server's.
type kem struct {
	publicLen     int // of the encapsulation key
	ciphertextLen int
	newKey        func(seed []byte) (decapsulator, error)
	encapsulate   func(public []byte) (shared, ciphertext []byte, err error)
}

type decapsulator interface {
	Decapsulate(ciphertext []byte) (shared []byte, err error)
}

var mlkem768 = &kem{
	publicLen:     mlkem.EncapsulationKeySize768,
	ciphertextLen: mlkem.CiphertextSize768,
	newKey: func(seed []byte) (decapsulator, error) {
		return mlkem.NewDecapsulationKey768(seed)
	},
	encapsulate: func(public []byte) (shared, ciphertext []byte, err error) {
		key, err := mlkem.NewEncapsulationKey768(public)
		if err != nil {
			return nil, nil, err
		}
		shared, ciphertext = key.Encapsulate()
		return shared, ciphertext, nil
	},
}

var mlkem1024 = &kem{
	publicLen:     mlkem.EncapsulationKeySize1024,
	ciphertextLen: mlkem.CiphertextSize1024,
	newKey: func(seed []byte) (decapsulator, error) {
		return mlkem.NewDecapsulationKey1024(seed)
	},
	encapsulate: func(public []byte) (shared, ciphertext []byte, err error) {
		key, err := mlkem.NewEncapsulationKey1024(public)
		if err != nil {
			return nil, nil, err
		}
		shared, ciphertext = key.Encapsulate()
		return shared, ciphertext, nil
	},
}

// group says what a key exchange group is made of: a curve, or a KEM, or in hybrids both.
// The parts of a share and of a secret stand one after the other, in the order
// that the group's definition gives (draft-ietf-tls-ecdhe-mlkem).
type group struct {
	curve     ecdh.Curve // nil for a KEM alone
	scalarLen int        // of the curve's private key
	topMask   byte       // bits of the scalar's first byte that can be set
	pointLen  int
	kem       *kem // nil for a curve alone
	kemFirst  bool
}

func groupInfo(id tls.CurveID) *group {
	switch id {
	case tls.X25519:
		return &groupX25519
	case tls.CurveP256:
		return &groupP256
	case tls.CurveP384:
		return &groupP384
	case tls.CurveP521:
		return &groupP521
	case tls.X25519MLKEM768:
		return &groupX25519MLKEM768
	case tls.SecP256r1MLKEM768:
		return &groupP256MLKEM768
	case tls.SecP384r1MLKEM1024:
		return &groupP384MLKEM1024
	case MLKEM1024:
		return &groupMLKEM1024
	}
	return nil
}

var (
	groupX25519 = group{curve: ecdh.X25519(), scalarLen: 32, topMask: 0xff, pointLen: 32}
	groupP256   = group{curve: ecdh.P256(), scalarLen: 32, topMask: 0xff, pointLen: 65}
	groupP384   = group{curve: ecdh.P384(), scalarLen: 48, topMask: 0xff, pointLen: 97}
	groupP521   = group{curve: ecdh.P521(), scalarLen: 66, topMask: 0x01, pointLen: 133}

	groupMLKEM1024 = group{kem: mlkem1024}

	groupX25519MLKEM768 = hybrid(groupX25519, mlkem768, true)
	groupP256MLKEM768   = hybrid(groupP256, mlkem768, false)
	groupP384MLKEM1024  = hybrid(groupP384, mlkem1024, false)
)

func hybrid(g group, k *kem, kemFirst bool) group {
	g.kem, g.kemFirst = k, kemFirst
	return g
}

// isPostQuantum reports whether the group has a KEM that resists quantum
// computers.
func isPostQuantum(id tls.CurveID) bool {
	g := groupInfo(id)
	return g != nil && g.kem != nil
}

// maxScalarTries bounds the draws for a private key. A draw for P-256, P-384 or
// P-521 fails with a probability below 2^-31 at random; only a broken source
// reaches the bound.
const maxScalarTries = 64

var errScalar = errors.New("tlscore: the random source gives no valid private key")

// newScalar makes a private key from the random source of cfg. The standard
// library's GenerateKey would not use it.
func (g *group) newScalar(cfg *Config) (*ecdh.PrivateKey, error) {
	var buf [66]byte
	scalar := buf[:g.scalarLen]
	defer clear(scalar)
	for range maxScalarTries {
		if err := cfg.random(scalar); err != nil {
			return nil, err
		}
		scalar[0] &= g.topMask
		if key, err := g.curve.NewPrivateKey(scalar); err == nil {
			return key, nil
		}
	}
	return nil, failure(ReasonKeyGeneration, errScalar)
}

// keyShare is a client's key for one group, or that of a TLS 1.2 server, which speaks
// first.
type keyShare struct {
	id     tls.CurveID
	group  *group
	scalar *ecdh.PrivateKey
	kem    decapsulator
	public []byte // as in KeyShareEntry.key_exchange
}

// newKeyShares makes a key share for each group. X25519 and its hybrid use one key.
func newKeyShares(cfg *Config, groups []tls.CurveID) (shares []*keyShare, err error) {
	var x25519 *ecdh.PrivateKey
	for _, id := range groups {
		onX25519 := groupInfo(id).curve == ecdh.X25519()
		var scalar *ecdh.PrivateKey
		if onX25519 {
			scalar = x25519
		}
		share, err := newKeyShare(cfg, id, scalar)
		if err != nil {
			return nil, err
		}
		if onX25519 {
			x25519 = share.scalar
		}
		shares = append(shares, share)
	}
	return shares, nil
}

// newKeyShare makes a key for the group. X25519 alone and in the hybrid may be
// the same key in one ClientHello: scalar is that of an earlier share, or nil.
//
//	"Clients and Servers MUST NOT reuse a key share for multiple connections."
//
// RFC 9846, Section 4.3.8.
func newKeyShare(cfg *Config, id tls.CurveID, scalar *ecdh.PrivateKey) (*keyShare, error) {
	k := &keyShare{id: id, group: groupInfo(id), scalar: scalar}
	if k.scalar == nil && k.group.curve != nil {
		var err error
		if k.scalar, err = k.group.newScalar(cfg); err != nil {
			return nil, err
		}
	}
	var point []byte
	if k.scalar != nil {
		point = k.scalar.PublicKey().Bytes()
	}
	if k.group.kem == nil {
		k.public = point
		return k, nil
	}
	var seed [mlkem.SeedSize]byte
	defer clear(seed[:])
	if err := cfg.random(seed[:]); err != nil {
		return nil, err
	}
	key, err := k.group.kem.newKey(seed[:])
	if err != nil {
		return nil, failure(ReasonKeyGeneration, err)
	}
	k.kem = key
	k.public = k.group.join(point, encapsulationKey(key))
	return k, nil
}

func encapsulationKey(d decapsulator) []byte {
	switch d := d.(type) {
	case *mlkem.DecapsulationKey768:
		return d.EncapsulationKey().Bytes()
	case *mlkem.DecapsulationKey1024:
		return d.EncapsulationKey().Bytes()
	}
	panic("tlscore: unknown KEM")
}

// shared computes the shared secret from the peer's share.
func (k *keyShare) shared(peer []byte) ([]byte, error) {
	kemLen := 0
	if k.group.kem != nil {
		kemLen = k.group.kem.ciphertextLen
	}
	point, ciphertext, err := k.group.split(peer, kemLen)
	if err != nil {
		return nil, err
	}
	var secret []byte
	if k.group.curve != nil {
		secret, err = agree(k.scalar, k.group.curve, point)
	}
	if err != nil || k.kem == nil {
		return secret, err
	}
	kemSecret, err := k.kem.Decapsulate(ciphertext)
	if err != nil {
		clear(secret)
		return nil, badKeyShare(err)
	}
	return k.group.joinSecrets(secret, kemSecret), nil
}

// respond is the side that answers, the server in TLS 1.3 and the client in TLS 1.2: it
// makes a key, and from it and the peer's share its own share and the shared secret.
func (g *group) respond(cfg *Config, peer []byte) (share, secret []byte, err error) {
	kemLen := 0
	if g.kem != nil {
		kemLen = g.kem.publicLen
	}
	point, public, err := g.split(peer, kemLen)
	if err != nil {
		return nil, nil, err
	}
	if g.curve != nil {
		scalar, err := g.newScalar(cfg)
		if err != nil {
			return nil, nil, err
		}
		secret, err = agree(scalar, g.curve, point)
		if err != nil {
			return nil, nil, err
		}
		share = scalar.PublicKey().Bytes()
	}
	if g.kem == nil {
		return share, secret, nil
	}
	kemSecret, ciphertext, err := g.kem.encapsulate(public)
	if err != nil {
		clear(secret)
		return nil, nil, badKeyShare(err)
	}
	return g.join(share, ciphertext), g.joinSecrets(secret, kemSecret), nil
}

// split takes a peer's share apart.
func (g *group) split(share []byte, kemLen int) (point, kemPart []byte, err error) {
	if len(share) != g.pointLen+kemLen {
		return nil, nil, violationf(ReasonBadKeyShare, "%d bytes instead of %d", len(share), g.pointLen+kemLen)
	}
	if g.kemFirst {
		return share[kemLen:], share[:kemLen], nil
	}
	return share[:g.pointLen], share[g.pointLen:], nil
}

// join puts the parts of a share or of a secret in the order of the group.
func (g *group) join(point, kemPart []byte) []byte {
	joined := make([]byte, 0, len(point)+len(kemPart))
	if g.kemFirst {
		return append(append(joined, kemPart...), point...)
	}
	return append(append(joined, point...), kemPart...)
}

// joinSecrets is join for secrets: it wipes the parts.
func (g *group) joinSecrets(secret, kemSecret []byte) []byte {
	defer clear(secret)
	defer clear(kemSecret)
	return g.join(secret, kemSecret)
}

// agree computes the (EC)DH secret with the peer's point. Points that are not on
// the curve, and X25519 results that are all zero, are refused.
//
//	"For the curves secp256r1, secp384r1, and secp521r1, peers MUST
//	validate each other's public value Q by ensuring that the point is a
//	valid point on the elliptic curve."
//
// https://www.rfc-editor.org/rfc/rfc8446#section-4.2.8.2
//
//	"Implementations MUST check whether the computed Diffie-Hellman shared
//	secret is the all-zero value and abort if so"
//
// https://www.rfc-editor.org/rfc/rfc8446#section-7.4.2
func agree(scalar *ecdh.PrivateKey, curve ecdh.Curve, point []byte) ([]byte, error) {
	public, err := curve.NewPublicKey(point)
	if err != nil {
		return nil, badKeyShare(err)
	}
	secret, err := scalar.ECDH(public)
	if err != nil {
		return nil, badKeyShare(err)
	}
	return secret, nil
}

func badKeyShare(cause error) error {
	return &ProtocolError{Reason: ReasonBadKeyShare, Err: cause}
}

// groupSuits reports whether a version has the group: TLS 1.2 has no hybrids.
func groupSuits(version uint16, id tls.CurveID) bool {
	return version == tls.VersionTLS13 || !isPostQuantum(id)
}
