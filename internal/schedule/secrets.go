package schedule

// Secret is one secret of the schedule: as long as the hash, in place, without a pointer. A copy of it has to be wiped
// as well. RFC 8446, Section 7.1.
type Secret struct {
	b    [MaxSize]byte
	hash Hash
}

// Hash is the hash algorithm that the secret belongs to. RFC 8446, Section 7.1.
func (s *Secret) Hash() Hash { return s.hash }

// Bytes is the secret itself, not a copy: it changes with Wipe.
func (s *Secret) Bytes() []byte { return s.b[:s.hash.Size()] }

// Wipe clears the secret. RFC 8446, Section 7.1.
func (s *Secret) Wipe() { clear(s.b[:]) }

// derive is Derive-Secret, given the transcript hash. RFC 8446, Section 7.1.
func (s *Secret) derive(label string, transcript []byte) (d Secret) {
	if len(transcript) != s.hash.Size() {
		panic("schedule: not a transcript hash")
	}
	d.hash = s.hash
	ExpandLabel(s.hash, s.Bytes(), label, transcript, d.Bytes())
	return d
}

// extractNext takes the step down to the next secret: Derive-Secret(., "derived", ""), which becomes the salt under
// which ikm is extracted. RFC 8446, Section 7.1.
func (s *Secret) extractNext(ikm []byte) Secret {
	salt := s.derive("derived", s.hash.empty())
	next := extract(s.hash, salt.Bytes(), ikm)
	salt.Wipe()
	return next
}

// finished appends an HMAC over the transcript hash, under the finished_key of s. RFC 8446, Section 4.4.4.
func (s *Secret) finished(dst, transcript []byte) []byte {
	if len(transcript) != s.hash.Size() {
		panic("schedule: not a transcript hash")
	}
	var key, sum [MaxSize]byte
	// https://www.rfc-editor.org/rfc/rfc8446#section-4.4.4
	// "finished_key =
	// HKDF-Expand-Label(BaseKey, "finished", "", Hash.length)"
	ExpandLabel(s.hash, s.Bytes(), "finished", nil, key[:s.hash.Size()])
	mac(s.hash, &sum, key[:s.hash.Size()], transcript)
	clear(key[:])
	return append(dst, sum[:s.hash.Size()]...)
}

// zeros is the "0" of the schedule's diagram, of which Hash.length bytes are used. RFC 8446, Section 7.1.
var zeros [MaxSize]byte

// The transcript hashes of no messages.
var emptySHA256, emptySHA384 = emptyHash(SHA256), emptyHash(SHA384)

func emptyHash(h Hash) (out [MaxSize]byte) {
	h.sum(&out, nil)
	return out
}

// empty is Transcript-Hash(""). RFC 8446, Section 7.1.
func (h Hash) empty() []byte {
	if h == SHA256 {
		return emptySHA256[:SHA256.Size()]
	}
	return emptySHA384[:]
}

// EarlySecret is the first secret, extracted from the PSK. RFC 8446, Section 7.1.
type EarlySecret struct{ Secret }

// NewEarlySecret starts the schedule. RFC 8446, Section 7.1.
func NewEarlySecret(h Hash, psk []byte) EarlySecret {
	// https://www.rfc-editor.org/rfc/rfc8446#section-7.1
	// "if PSK is not in use, Early Secret
	// will still be HKDF-Extract(0, 0)."
	if psk == nil {
		psk = zeros[:h.Size()]
	}
	return EarlySecret{extract(h, zeros[:h.Size()], psk)}
}

// withoutPSK are the salts of the second secret when there is no PSK: always the same.
var withoutPSK256, withoutPSK384 = saltWithoutPSK(SHA256), saltWithoutPSK(SHA384)

func saltWithoutPSK(h Hash) Secret {
	early := NewEarlySecret(h, nil)
	return early.derive("derived", h.empty())
}

// NewHandshakeSecret is that of a handshake without a PSK, with the shared secret of the key exchange: what the
// EarlySecret of no PSK goes on to, without the way there. RFC 8446, Section 7.1.
func NewHandshakeSecret(h Hash, shared []byte) HandshakeSecret {
	salt := &withoutPSK256
	if h == SHA384 {
		salt = &withoutPSK384
	}
	return HandshakeSecret{extract(h, salt.Bytes(), shared)}
}

// BinderKey derives binder_key, for a PSK that was provisioned externally or by an earlier handshake.
// RFC 8446, Section 7.1.
func (s *EarlySecret) BinderKey(external bool) BinderKey {
	// https://www.rfc-editor.org/rfc/rfc8446#section-7.1
	// "The different labels prevent the substitution of one
	// type of PSK for the other."
	label := "res binder"
	if external {
		label = "ext binder"
	}
	return BinderKey{s.derive(label, s.hash.empty())}
}

// ClientEarlyTraffic derives client_early_traffic_secret; the transcript is ClientHello. RFC 8446, Section 7.1.
func (s *EarlySecret) ClientEarlyTraffic(transcript []byte) TrafficSecret {
	return TrafficSecret{s.derive("c e traffic", transcript)}
}

// EarlyExporter derives early_exporter_master_secret; the transcript is ClientHello. RFC 8446, Section 7.1.
func (s *EarlySecret) EarlyExporter(transcript []byte) ExporterSecret {
	return ExporterSecret{s.derive("e exp master", transcript)}
}

// Handshake goes on with the shared secret of the key exchange, or nil when there is none. RFC 8446, Section 7.1.
func (s *EarlySecret) Handshake(shared []byte) HandshakeSecret {
	// https://www.rfc-editor.org/rfc/rfc8446#section-7.1
	// "If a given secret is not available, then the 0-value consisting of a
	// string of Hash.length bytes set to zeros is used."
	if shared == nil {
		shared = zeros[:s.hash.Size()]
	}
	return HandshakeSecret{s.extractNext(shared)}
}

// HandshakeSecret is the second secret, which has the key exchange in it. RFC 8446, Section 7.1.
type HandshakeSecret struct{ Secret }

// ClientTraffic derives client_handshake_traffic_secret; the transcript is ClientHello to ServerHello.
// RFC 8446, Section 7.1.
func (s *HandshakeSecret) ClientTraffic(transcript []byte) TrafficSecret {
	return TrafficSecret{s.derive("c hs traffic", transcript)}
}

// ServerTraffic derives server_handshake_traffic_secret; the transcript is ClientHello to ServerHello.
// RFC 8446, Section 7.1.
func (s *HandshakeSecret) ServerTraffic(transcript []byte) TrafficSecret {
	return TrafficSecret{s.derive("s hs traffic", transcript)}
}

// Main goes on to the last secret, into which nothing new flows. RFC 8446, Section 7.1.
func (s *HandshakeSecret) Main() MainSecret {
	return MainSecret{s.extractNext(zeros[:s.hash.Size()])}
}

// MainSecret is the last secret, the "Master Secret" of RFC 8446. RFC 8446, Section 7.1; named by RFC 9846.
type MainSecret struct{ Secret }

// ClientTraffic derives client_application_traffic_secret_0; the transcript is ClientHello to server Finished.
// RFC 8446, Section 7.1.
func (s *MainSecret) ClientTraffic(transcript []byte) TrafficSecret {
	return TrafficSecret{s.derive("c ap traffic", transcript)}
}

// ServerTraffic derives server_application_traffic_secret_0; the transcript is ClientHello to server Finished.
// RFC 8446, Section 7.1.
func (s *MainSecret) ServerTraffic(transcript []byte) TrafficSecret {
	return TrafficSecret{s.derive("s ap traffic", transcript)}
}

// Exporter derives exporter_master_secret; the transcript is ClientHello to server Finished. RFC 8446, Section 7.1.
func (s *MainSecret) Exporter(transcript []byte) ExporterSecret {
	return ExporterSecret{s.derive("exp master", transcript)}
}

// Resumption derives resumption_master_secret; the transcript is ClientHello to client Finished.
// RFC 8446, Section 7.1.
func (s *MainSecret) Resumption(transcript []byte) ResumptionSecret {
	return ResumptionSecret{s.derive("res master", transcript)}
}

// TrafficSecret is what the keys of one direction come from, and the Finished of the one who sends in it.
// RFC 8446, Section 7.3.
type TrafficSecret struct{ Secret }

// Key fills dst, which is as long as the AEAD's key, with the write key. RFC 8446, Section 7.3.
func (t *TrafficSecret) Key(dst []byte) { ExpandLabel(t.hash, t.Bytes(), "key", nil, dst) }

// IV fills dst, which is as long as the AEAD's nonce, with the write iv. RFC 8446, Section 7.3.
func (t *TrafficSecret) IV(dst []byte) { ExpandLabel(t.hash, t.Bytes(), "iv", nil, dst) }

// Finished appends the verify_data of a Finished message. RFC 8446, Section 4.4.4.
func (t *TrafficSecret) Finished(dst, transcript []byte) []byte { return t.finished(dst, transcript) }

// Next is the secret that follows a KeyUpdate; the caller wipes the one before. RFC 8446, Section 7.2.
func (t *TrafficSecret) Next() (next TrafficSecret) {
	next.hash = t.hash
	ExpandLabel(t.hash, t.Bytes(), "traffic upd", nil, next.Bytes())
	return next
}

// BinderKey proves possession of a PSK. RFC 8446, Section 4.2.11.2.
type BinderKey struct{ Secret }

// Binder appends the PskBinderEntry for the transcript hash up to the truncated ClientHello.
// RFC 8446, Section 4.2.11.2.
func (k *BinderKey) Binder(dst, transcript []byte) []byte { return k.finished(dst, transcript) }

// ExporterSecret is what exported keying material comes from. RFC 8446, Section 7.5.
type ExporterSecret struct{ Secret }

// ResumptionSecret is what the PSKs of this connection's tickets come from. RFC 8446, Section 4.6.1.
type ResumptionSecret struct{ Secret }

// PSK derives the PSK that belongs to the ticket with this nonce. RFC 8446, Section 4.6.1.
func (s *ResumptionSecret) PSK(nonce []byte) (psk Secret) {
	psk.hash = s.hash
	ExpandLabel(s.hash, s.Bytes(), "resumption", nonce, psk.Bytes())
	return psk
}
