package tlscore

import (
	"bytes"
	"crypto/hmac"
	"crypto/tls"
	"slices"
	"time"

	"tlscore.example/tlscore/internal/record"
	"tlscore.example/tlscore/internal/schedule"
	"tlscore.example/tlscore/internal/wire"
)

// Resumption in TLS 1.3: a pre-shared key from a ticket, together with a key exchange.
// RFC 8446, Sections 2.2, 4.2.9 and 4.2.11.

// pskDHE is psk_dhe_ke, the only mode that is offered or accepted: without a key exchange,
// whoever gets hold of the ticket's key can read the connection. RFC 8446, Section 4.2.9.
const pskDHE = 1

// The client's part.

// offer is a session that a client offers to resume.
type offer struct {
	*resumed
	suite *cipherSuite // of the session
	early schedule.EarlySecret
	// transcript is what comes before the ClientHello that the binder is made over.
	transcript *schedule.Transcript
}

// newOffer returns how a session is offered, or nil when there is none of TLS 1.3 that suits
// the cipher suites that are offered.
//
//	"Any ticket MUST only be resumed with a cipher suite that has the same
//	KDF hash algorithm as that used to establish the original connection."
//
// https://www.rfc-editor.org/rfc/rfc8446#section-4.6.1
func newOffer(r *resumed, d *derived) *offer {
	if r == nil {
		return nil
	}
	suite := suiteByID(wire.CipherSuite(r.CipherSuite))
	fits := func(s *cipherSuite) bool { return suite != nil && !s.tls12() && s.hash == suite.hash }
	if r.Version != tls.VersionTLS13 || len(r.Ticket) == 0 || !slices.ContainsFunc(d.suites, fits) ||
		len(r.Secret) != suite.hash.Size() {
		r.Wipe()
		return nil
	}
	return &offer{
		resumed:    r,
		suite:      suite,
		early:      schedule.NewEarlySecret(suite.hash, r.Secret),
		transcript: schedule.NewTranscript(suite.hash),
	}
}

// wipe clears the secrets of the offer.
func (o *offer) wipe() {
	o.early.Wipe()
	o.Wipe()
}

// bind completes the ClientHello of a client that wants to resume a session.
func (m *Machine) bind() error {
	if m.client.offer == nil {
		return nil
	}
	now, err := m.now()
	if err != nil {
		return err
	}
	m.client.bind(now)
	return nil
}

// bind puts the session, with its binder, at the end of the ClientHello, which is complete
// otherwise. A ticket with which it would be too long is not offered.
//
//	"The "pre_shared_key" extension MUST be the last extension in the
//	ClientHello (this facilitates implementation as described below)."
//
// https://www.rfc-editor.org/rfc/rfc8446#section-4.2.11
func (c *clientHandshake) bind(now time.Time) {
	o := c.offer
	c.hello.PSKIdentities = []wire.PSKIdentity{{Identity: o.Ticket, ObfuscatedTicketAge: obfuscatedAge(o.Session, now)}}
	c.hello.PSKBinders = [][]byte{make([]byte, o.suite.hash.Size())}
	c.hello.Extensions = append(c.hello.Extensions, wire.Extension{Type: wire.ExtPreSharedKey})
	raw, ok := c.hello.TryAppend(nil)
	if !ok {
		c.withdraw()
		return
	}
	// "The PskBinderEntry is computed in the same way as the Finished message
	// (Section 4.4.4) but with the BaseKey being the binder_key derived via the
	// key schedule from the corresponding PSK which is being offered"
	// https://www.rfc-editor.org/rfc/rfc8446#section-4.2.11.2
	o.transcript.Write(raw[:len(raw)-wire.BindersSize(c.hello.PSKBinders)])
	c.hello.PSKBinders[0] = binder(&o.early, o.transcript.Sum(nil))
}

// binder returns the PskBinderEntry for the transcript up to the list of binders.
func binder(early *schedule.EarlySecret, transcript []byte) []byte {
	key := early.BinderKey(false)
	defer key.Wipe()
	return key.Binder(nil, transcript)
}

// withdraw takes the session out of the ClientHello, and early data with it.
func (c *clientHandshake) withdraw() {
	c.unbind()
	c.dropOffer()
}

// unbind takes the extensions out of the ClientHello that another one has not, or has anew.
func (c *clientHandshake) unbind() {
	c.hello.Extensions = slices.DeleteFunc(c.hello.Extensions, func(x wire.Extension) bool {
		return x.Type == wire.ExtPreSharedKey || x.Type == wire.ExtEarlyData
	})
}

// dropOffer forgets the session that is not resumed.
func (c *clientHandshake) dropOffer() {
	if c.offer != nil {
		c.offer.wipe()
		c.offer = nil
	}
}

// retryOffer prepares the session for the second ClientHello, or withdraws it.
//
//	"Updating the "pre_shared_key" extension if present by recomputing
//	the "obfuscated_ticket_age" and binder values and (optionally) removing
//	any PSKs which are incompatible with the server's indicated cipher
//	suite."
//
// https://www.rfc-editor.org/rfc/rfc8446#section-4.1.2
func (c *clientHandshake) retryOffer(suite *cipherSuite, retry []byte) {
	// "A client MUST NOT include the "early_data" extension in its followup
	// ClientHello."
	// https://www.rfc-editor.org/rfc/rfc8446#section-4.2.10
	c.unbind()
	o := c.offer
	if o == nil {
		return
	}
	if o.suite.hash != suite.hash {
		c.withdraw()
		return
	}
	o.transcript = schedule.NewTranscript(suite.hash)
	o.transcript.Write(c.helloRaw)
	o.transcript.HelloRetry()
	o.transcript.Write(retry)
}

// takeSelection takes the server's answer to the session that was offered.
func (m *Machine) takeSelection(hello *wire.ServerHello, suite *cipherSuite) error {
	c := m.client
	if !hello.Has(wire.ExtPreSharedKey) {
		c.dropOffer()
		m.refuseEarly(record.Protection{})
		return nil
	}
	// "Clients MUST verify that the server's selected_identity is within the
	// range supplied by the client, that the server selected a cipher suite
	// indicating a Hash associated with the PSK, and that a server
	// "key_share" extension is present if required by the ClientHello
	// "psk_key_exchange_modes" extension. If these values are not
	// consistent, the client MUST abort the handshake with an
	// "illegal_parameter" alert."
	// https://www.rfc-editor.org/rfc/rfc8446#section-4.2.11
	switch {
	case int(hello.SelectedIdentity) >= len(c.hello.PSKIdentities):
		return violationf(ReasonPreSharedKeyNotOffered, "identity %d", hello.SelectedIdentity)
	case suite.hash != c.offer.suite.hash:
		return violationf(ReasonPreSharedKeyNotOffered, "with %s", suite.id)
	case !hello.Has(wire.ExtKeyShare):
		return violationf(ReasonPreSharedKeyNotOffered, "without %s", wire.ExtKeyShare)
	}
	c.resumed, c.early = c.offer.resumed, c.offer.early
	m.resume(c.resumed)
	return nil
}

// The server's part.

// maxIdentities bounds how many of a client's identities are tried: each one that is not ours
// costs a decryption, or a look into the store.
const maxIdentities = 4

// offered is what a client offers to resume, until the server has decided about it.
type offered struct {
	identities []wire.PSKIdentity // at most maxIdentities
	binders    [][]byte
	transcript []byte // the hash up to the list of binders
	tried      int    // how many identities were tried: the last of them is the one at hand
}

// at is the place of the identity at hand, which becomes selected_identity.
func (o *offered) at() int { return o.tried - 1 }

// hashHello adds a ClientHello to the transcript, and keeps what it offers to resume. What
// the one before a HelloRetryRequest has offered counts no longer: a client may drop what does
// not go with the cipher suite. RFC 8446, Section 4.1.2.
func (s *serverHandshake) hashHello(msg []byte, hello *wire.ClientHello) {
	cut := len(msg) - hello.BindersLen
	s.transcript.Write(msg[:cut])
	s.offered = nil
	if n := min(len(hello.PSKIdentities), maxIdentities); n > 0 {
		s.offered = &offered{transcript: bytes.Clone(s.hash())}
		for i := range n {
			id := hello.PSKIdentities[i]
			id.Identity = bytes.Clone(id.Identity)
			s.offered.identities = append(s.offered.identities, id)
			s.offered.binders = append(s.offered.binders, bytes.Clone(hello.PSKBinders[i]))
		}
	}
	s.transcript.Write(msg[cut:])
}

// answerHello goes on with a ClientHello that has the key share: by resuming a session
// that it offers, or else with a certificate.
//
//	"Servers MUST NOT select a key exchange mode that is not listed by the
//	client. This extension also restricts the modes for use with PSK
//	resumption."
//
// https://www.rfc-editor.org/rfc/rfc8446#section-4.2.9
func (m *Machine) answerHello(share *wire.KeyShare) (State, error) {
	s := m.server
	s.share = bytes.Clone(share.Data)
	if s.offered != nil && s.resumption {
		return m.tryTicket()
	}
	return m.chooseCertificate()
}

// tryTicket tries the client's next identity, in its order.
//
//	"Any unknown PSKs (e.g., ones not in the PSK database or encrypted with
//	an unknown key) SHOULD simply be ignored. If no acceptable PSKs are
//	found, the server SHOULD perform a non-PSK handshake if possible."
//
// https://www.rfc-editor.org/rfc/rfc8446#section-4.2.11
func (m *Machine) tryTicket() (State, error) {
	o := m.server.offered
	if o.tried == len(o.identities) {
		return m.chooseCertificate()
	}
	o.tried++
	return m.await(StateOpenTicket, m.newOpenTicketTask(o.identities[o.at()].Identity))
}

// chooseCertificate begins to authenticate with a certificate.
func (m *Machine) chooseCertificate() (State, error) {
	m.server.offered = nil
	// "If a server is authenticating via a certificate and the client has not
	// sent a "signature_algorithms" extension, then the server MUST abort the
	// handshake with a "missing_extension" alert (see Section 9.2)."
	// https://www.rfc-editor.org/rfc/rfc8446#section-4.2.3
	if !m.hello.Has(wire.ExtSignatureAlgorithms) {
		return 0, violationf(ReasonMissingExtension, "%s in ClientHello", wire.ExtSignatureAlgorithms)
	}
	return m.await(StateChooseCertificate, m.newCertificateTask())
}

// serverTicketOpened resumes the session that was found, if it can be.
func serverTicketOpened(m *Machine, _ []byte) (State, error) {
	s := m.server
	r, err := m.openedSession()
	if err != nil {
		return 0, err
	}
	if r != nil && !s.suits(r) {
		r.Wipe()
		r = nil
	}
	if r == nil {
		return m.tryTicket()
	}
	s.resumed = r
	if err := s.checkBinder(r); err != nil {
		return 0, err
	}
	m.resume(r)
	return m.judgeEarlyData()
}

// suits reports whether a session goes with the cipher suite that was negotiated.
//
//	"The server MUST ensure that it selects a compatible PSK (if any) and
//	cipher suite."
//
// https://www.rfc-editor.org/rfc/rfc8446#section-4.2.11
func (s *serverHandshake) suits(r *resumed) bool {
	suite := suiteByID(wire.CipherSuite(r.CipherSuite))
	return suite != nil && suite.hash == s.suite.hash && len(r.Secret) == suite.hash.Size()
}

// checkBinder checks that the client has the pre-shared key.
//
//	"Prior to accepting PSK key establishment, the server MUST validate
//	the corresponding binder value (see Section 4.2.11.2 below). If this
//	value is not present or does not validate, the server MUST abort the
//	handshake. Servers SHOULD NOT attempt to validate multiple binders;
//	rather, they SHOULD select a single PSK and validate solely the
//	binder that corresponds to that PSK."
//
// https://www.rfc-editor.org/rfc/rfc8446#section-4.2.11
func (s *serverHandshake) checkBinder(r *resumed) error {
	s.early = schedule.NewEarlySecret(s.suite.hash, r.Secret)
	if !hmac.Equal(binder(&s.early, s.offered.transcript), s.offered.binders[s.offered.at()]) {
		return violation(ReasonBadBinder)
	}
	return nil
}
