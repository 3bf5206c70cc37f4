package schedule

// Lengths in TLS 1.2. RFC 5246, Sections 7.4.1.2, 7.4.9 and 8.1.
const (
	RandomLen       = 32
	MasterSecretLen = 48
	VerifyDataLen   = 12
)

// The labels of TLS 1.2. RFC 5246, Sections 6.3, 7.4.9 and 8.1; RFC 7627, Section 4.
const (
	labelMaster         = "master secret"
	labelExtendedMaster = "extended master secret"
	labelKeys           = "key expansion"
	labelClientFinished = "client finished"
	labelServerFinished = "server finished"
)

// maxSeedParts is how many parts a seed has at most, in an exporter with a context.
const maxSeedParts = 3

// prf fills out with PRF(secret, label, seed), the seed in parts. RFC 5246, Section 5.
func prf(h Hash, secret []byte, label string, out []byte, seed ...[]byte) {
	var a, block [MaxSize]byte
	// The parts of what is hashed: A(i), label, seed. With append or copy, what they point to would be allocated.
	room := [2 + maxSeedParts][]byte{a[:h.Size()], []byte(label)}
	for i, part := range seed {
		room[2+i] = part
	}
	parts := room[:2+len(seed)]
	// https://www.rfc-editor.org/rfc/rfc5246#section-5
	// "P_hash(secret, seed) = HMAC_hash(secret, A(1) + seed) +
	// HMAC_hash(secret, A(2) + seed) +
	// HMAC_hash(secret, A(3) + seed) + ..."
	mac(h, &a, secret, parts[1:]...)
	for len(out) > 0 {
		mac(h, &block, secret, parts...)
		out = out[copy(out, block[:h.Size()]):]
		mac(h, &a, secret, parts[0])
	}
	clear(a[:])
	clear(block[:])
}

// MasterSecret is the secret of TLS 1.2. A copy of it has to be wiped as well. RFC 5246, Section 8.1.
type MasterSecret struct {
	b        [MasterSecretLen]byte
	hash     Hash
	extended bool
}

// NewMasterSecret computes the secret from the randoms, for a peer without the extended master secret. The caller wipes
// preMaster. RFC 5246, Section 8.1.
func NewMasterSecret(h Hash, preMaster []byte, clientRandom, serverRandom *[RandomLen]byte) *MasterSecret {
	m := &MasterSecret{hash: h}
	// https://www.rfc-editor.org/rfc/rfc5246#section-8.1
	// "master_secret = PRF(pre_master_secret, "master secret",
	// ClientHello.random + ServerHello.random)
	// [0..47];"
	prf(h, preMaster, labelMaster, m.b[:], clientRandom[:], serverRandom[:])
	return m
}

// NewExtendedMasterSecret computes the secret from the transcript hash, ClientHello to ClientKeyExchange. The caller
// wipes preMaster. RFC 7627, Section 4.
func NewExtendedMasterSecret(h Hash, preMaster, sessionHash []byte) *MasterSecret {
	if len(sessionHash) != h.Size() {
		panic("schedule: not a transcript hash")
	}
	m := &MasterSecret{hash: h, extended: true}
	// https://www.rfc-editor.org/rfc/rfc7627#section-4
	// "master_secret = PRF(pre_master_secret, "extended master secret",
	// session_hash)
	// [0..47];"
	prf(h, preMaster, labelExtendedMaster, m.b[:], sessionHash)
	return m
}

// ResumeMasterSecret is the secret of an earlier connection, of which it takes a copy; extended says whether it was the
// extended one. It reports false, and gives nothing, when secret has not the length of one. RFC 5246, Section 8.1;
// RFC 7627, Section 5.4.
func ResumeMasterSecret(h Hash, secret []byte, extended bool) (*MasterSecret, bool) {
	if len(secret) != MasterSecretLen {
		return nil, false
	}
	return &MasterSecret{[MasterSecretLen]byte(secret), h, extended}, true
}

// Extended reports whether it is the extended master secret. RFC 7627, Section 4.
func (m *MasterSecret) Extended() bool { return m.extended }

// Hash is the hash algorithm that the PRF uses. RFC 5246, Section 5.
func (m *MasterSecret) Hash() Hash { return m.hash }

// Bytes is the secret itself, not a copy: it changes with Wipe.
func (m *MasterSecret) Bytes() []byte { return m.b[:] }

// Wipe clears the secret.
func (m *MasterSecret) Wipe() { clear(m.b[:]) }

// ClientFinished appends the verify_data of the client's Finished; the transcript goes up to the message before it.
// RFC 5246, Section 7.4.9.
func (m *MasterSecret) ClientFinished(dst, transcript []byte) []byte {
	return m.finished(dst, labelClientFinished, transcript)
}

// ServerFinished appends the verify_data of the server's Finished; the transcript goes up to the message before it.
// RFC 5246, Section 7.4.9.
func (m *MasterSecret) ServerFinished(dst, transcript []byte) []byte {
	return m.finished(dst, labelServerFinished, transcript)
}

func (m *MasterSecret) finished(dst []byte, label string, transcript []byte) []byte {
	if len(transcript) != m.hash.Size() {
		panic("schedule: not a transcript hash")
	}
	var data [VerifyDataLen]byte
	// https://www.rfc-editor.org/rfc/rfc5246#section-7.4.9
	// "PRF(master_secret, finished_label, Hash(handshake_messages))
	// [0..verify_data_length-1];"
	prf(m.hash, m.b[:], label, data[:], transcript)
	return append(dst, data[:]...)
}

// The longest key and iv that a KeyBlock holds: those of ChaCha20-Poly1305. RFC 7905, Section 2.
const (
	maxKeyLen = 32
	maxIVLen  = 12
)

// KeyBlock is the keys and ivs of both directions. There are no MAC keys, since all ciphers are AEADs. RFC 5246,
// Section 6.3.
type KeyBlock struct {
	b             [2*maxKeyLen + 2*maxIVLen]byte
	keyLen, ivLen int
}

// KeyBlock derives keys of keyLen bytes, at most 32, and ivs of ivLen bytes, at most 12. RFC 5246, Section 6.3.
func (m *MasterSecret) KeyBlock(clientRandom, serverRandom *[RandomLen]byte, keyLen, ivLen int) (k KeyBlock) {
	if keyLen < 0 || keyLen > maxKeyLen || ivLen < 0 || ivLen > maxIVLen {
		panic("schedule: key or iv longer than a key block holds")
	}
	k.keyLen, k.ivLen = keyLen, ivLen
	// https://www.rfc-editor.org/rfc/rfc5246#section-6.3
	// "key_block = PRF(SecurityParameters.master_secret,
	// "key expansion",
	// SecurityParameters.server_random +
	// SecurityParameters.client_random);"
	prf(m.hash, m.b[:], labelKeys, k.b[:2*(keyLen+ivLen)], serverRandom[:], clientRandom[:])
	return k
}

// ClientKey is the client_write_key, in place. RFC 5246, Section 6.3.
func (k *KeyBlock) ClientKey() []byte { return k.b[:k.keyLen] }

// ServerKey is the server_write_key, in place. RFC 5246, Section 6.3.
func (k *KeyBlock) ServerKey() []byte { return k.b[k.keyLen:][:k.keyLen] }

// ClientIV is the client_write_IV, in place. RFC 5246, Section 6.3.
func (k *KeyBlock) ClientIV() []byte { return k.b[2*k.keyLen:][:k.ivLen] }

// ServerIV is the server_write_IV, in place. RFC 5246, Section 6.3.
func (k *KeyBlock) ServerIV() []byte { return k.b[2*k.keyLen+k.ivLen:][:k.ivLen] }

// Wipe clears the keys and ivs.
func (k *KeyBlock) Wipe() { clear(k.b[:]) }
