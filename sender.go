package tlscore

import (
	"slices"
	"sync"

	"tlscore.example/tlscore/internal/record"
	"tlscore.example/tlscore/internal/schedule"
	"tlscore.example/tlscore/internal/wire"
)

// sender is the sending half of a machine: the output, and the key that what
// goes into it is sealed under. Both halves of the machine get here, the
// receiving one only to queue, so every exported way in takes the lock.
type sender struct {
	key   record.Protection // without a key while records are sent in the clear
	out   *Outbound         // nil while nothing is queued
	more  *senderExtra      // nil while there is nothing
	env   *environment
	suite *cipherSuite // of the application phase
	kept  vault        // of TLS 1.3, from the application phase on

	version    uint16 // legacy_record_version of plaintext records
	maxContent uint16 // the longest content of a protected record
	alert      Alert  // the error alert that was queued; 0 for none
	gate       gate

	compatCCS     bool // a change_cipher_spec is owed before the first protected record
	finished      bool // our Finished was sent
	closed        bool // our close_notify was sent
	failed        bool // a fatal alert was sent, or none may be: nothing follows
	answered      bool // a KeyUpdate was answered, and no application data sealed since
	updateOwed    bool // the peer's request is to be answered before application data
	updateAwaited bool // we asked for a KeyUpdate that has not come

	tracePanicked  bool
	traceSuspended bool
}

// senderExtra is what not every connection has, or not always.
type senderExtra struct {
	mu    sync.Locker  // nil unless a driver installs one
	early *earlyWriter // while early data can be written
	err   error        // what Write returns behind a closed gate
	found error        // a failure found while sending, until a Step makes it the state
	epoch uint64       // KeyUpdates sent
	pace  *pace        // of small first records; nil without them

	// Answers to a CertificateRequest behind the handshake: how far into the output the
	// last of them reaches, and how many it holds.
	authEnd     int
	authAnswers uint8
}

// gate says whether application data may be written.
type gate uint8

const (
	gateNotReady gate = iota
	gateOpen
	gateClosed // by senderExtra.err
)

// extra returns what not every connection has, to put something there. Where there is a lock,
// there was something from the beginning.
func (s *sender) extra() *senderExtra {
	if s.more == nil {
		s.more = new(senderExtra)
	}
	return s.more
}

func (s *sender) locker() sync.Locker {
	if s.more == nil {
		return nil
	}
	return s.more.mu
}

func (s *sender) lock() {
	if s.more != nil && s.more.mu != nil {
		s.more.mu.Lock()
	}
}

func (s *sender) unlock() {
	if s.more != nil && s.more.mu != nil {
		s.more.mu.Unlock()
	}
}

// refusal returns why Write takes nothing, nil if it does.
func (s *sender) refusal() error {
	switch s.gate {
	case gateOpen:
		return nil
	case gateNotReady:
		return ErrNotReady
	}
	return s.more.err
}

// shut makes Write return err from now on.
func (s *sender) shut(err error) {
	s.gate, s.extra().err = gateClosed, err
}

func (s *sender) early() *earlyWriter {
	if s.more == nil {
		return nil
	}
	return s.more.early
}

func (s *sender) epoch() uint64 {
	if s.more == nil {
		return 0
	}
	return s.more.epoch
}

// outbounds has the queues of connections that have nothing queued: most of them, most of the
// time.
var outbounds = sync.Pool{New: func() any { return new(Outbound) }}

// pending returns how many bytes are queued.
func (s *sender) pending() int {
	if s.out == nil {
		return 0
	}
	return s.out.Len()
}

// output returns the bytes that are queued.
func (s *sender) output() []byte {
	if s.out == nil {
		return nil
	}
	return s.out.Bytes()
}

// queue returns the queue, to put something there.
func (s *sender) queue() *Outbound {
	if s.out == nil {
		s.out = outbounds.Get().(*Outbound)
		s.out.Allocator = s.env.allocator
	}
	return s.out
}

// dropOutput drops what is queued.
func (s *sender) dropOutput() {
	if s.out != nil {
		s.out.Release()
		*s.out = Outbound{}
		outbounds.Put(s.out)
		s.out = nil
	}
}

// tell calls Config.Trace. It must not panic; if it does, it is not called again
// and the connection fails with the next step.
func (s *sender) tell(msg TraceMessage) {
	if s.env.trace == nil || s.traceSuspended {
		return
	}
	s.traceSuspended = true
	defer func() {
		if recover() != nil {
			s.tracePanicked = true
			return
		}
		s.traceSuspended = false
	}()
	s.env.trace(msg)
}

// appendRecord queues one record under the current key.
func (s *sender) appendRecord(t record.ContentType, content []byte) {
	q := s.queue()
	if !s.key.Keyed() {
		buf := q.extend(record.HeaderLen + len(content))
		q.commit(record.AppendPlaintext(buf, t, s.version, content))
		return
	}
	s.queueCompatCCS()
	buf := q.extend(s.sealedSize(len(content)))
	q.commit(s.seal(buf, t, content))
}

// queueCompatCCS queues the change_cipher_spec of middlebox compatibility mode,
// if it is owed. RFC 8446, Appendix D.4.
func (s *sender) queueCompatCCS() {
	if s.compatCCS {
		s.compatCCS = false
		s.queueCCS()
	}
}

// queueCCS queues a change_cipher_spec.
func (s *sender) queueCCS() {
	q := s.queue()
	buf := q.extend(record.HeaderLen + 1)
	q.commit(record.AppendPlaintext(buf, record.TypeChangeCipherSpec, uint16(wire.VersionTLS12), []byte{1}))
}

// appendHandshake queues handshake messages, coalesced into as few records as
// hold them, and does what has to follow in the same critical section. When this
// direction is closed it does nothing and reports that.
func (s *sender) appendHandshake(messages []byte, then func(*sender)) bool {
	s.lock()
	defer s.unlock()
	if s.closed || s.failed {
		return false
	}
	longest := record.MaxPlaintext
	if s.key.Keyed() {
		longest = min(longest, int(s.maxContent))
	}
	for piece := range slices.Chunk(messages, longest) {
		s.appendRecord(record.TypeHandshake, piece)
	}
	then(s)
	return true
}

// appendPostHandshake queues handshake messages that follow the handshake, under
// application keys. They begin a record, and the key does not change inside them. When
// this direction is closed it does nothing and reports that.
func (s *sender) appendPostHandshake(messages ...[]byte) (queued bool, err error) {
	s.lock()
	defer s.unlock()
	if s.closed || s.failed {
		return false, nil
	}
	if err := s.makeRoom(messages); err != nil {
		return false, err
	}
	s.sealTogether(messages)
	return true, nil
}

// appendAuthentication queues a client's answer to a CertificateRequest behind the
// handshake: the messages, and a Finished over the transcript hash behind them. It is
// the sending half that knows the key of that Finished, since it may change keys at
// any time: what is in force here stays so until all is sealed. Its base key is the
// client_application_traffic_secret_N of that moment. RFC 8446, Section 4.4.
func (s *sender) appendAuthentication(messages [][]byte, transcript []byte) (queued bool, err error) {
	s.lock()
	defer s.unlock()
	if s.closed || s.failed {
		return false, nil
	}
	finished := make([]byte, wire.HeaderLen+len(transcript)) // its length, for now
	if err := s.makeRoom(append(messages, finished)); err != nil {
		return false, err
	}
	base := s.secret(sendingSecret)
	defer base.Wipe()
	finished = (&wire.Finished{VerifyData: base.Finished(nil, transcript)}).Append(nil)
	s.sealTogether(append(messages, finished))
	s.extra().authAnswers++
	s.more.authEnd = s.pending()
	return true, nil
}

// makeRoom changes to the next key if this one is not good for the records of these
// messages, and of what has to follow. A key that the application allows fewer records
// than that is used for them all the same.
func (s *sender) makeRoom(messages [][]byte) error {
	length := 0
	for _, msg := range messages {
		length += len(msg)
	}
	need := uint64((length+int(s.maxContent)-1)/int(s.maxContent)) + reserved
	if s.key.Remaining() >= need {
		return nil
	}
	if s.key.Seq() > 0 {
		if err := s.keyUpdate(false); err != nil {
			return err
		}
	}
	if s.key.Remaining() < need {
		s.key.SetLimit(need)
	}
	return nil
}

// sealTogether seals messages into as few records as hold them.
//
//	"All of the client's messages for a given response MUST appear
//	consecutively on the wire with no intervening messages of other types."
//
// https://www.rfc-editor.org/rfc/rfc8446#section-4.6.2
func (s *sender) sealTogether(messages [][]byte) {
	for _, msg := range messages {
		s.tell(TraceMessage{Sent: true, Body: msg})
	}
	for piece := range slices.Chunk(slices.Concat(messages...), int(s.maxContent)) {
		s.appendRecord(record.TypeHandshake, piece)
	}
}

// writable returns the error that Write would.
func (s *sender) writable() error {
	s.lock()
	defer s.unlock()
	return s.refusal()
}

// unreadAnswers returns how many answers to a CertificateRequest behind the handshake
// the output holds.
func (s *sender) unreadAnswers() uint8 {
	s.lock()
	defer s.unlock()
	if s.more == nil {
		return 0
	}
	return s.more.authAnswers
}

// replaceKey changes the key that what follows is sealed under.
func (s *sender) replaceKey(key record.Protection) {
	s.key.Wipe()
	s.key = key
}

// replaceTrafficKey is replaceKey for keys of the application phase, whose use
// the application may limit.
func (s *sender) replaceTrafficKey(key record.Protection) {
	if s.env.limits.KeyRecords != 0 {
		key.SetLimit(s.env.limits.KeyRecords)
	}
	s.replaceKey(key)
}

// start lets application data be written, sealed under secret.
func (s *sender) start(suite *cipherSuite, secret *schedule.TrafficSecret, key record.Protection) {
	s.suite = suite
	s.keep(sendingSecret, &secret.Secret)
	s.replaceTrafficKey(key)
	s.startPace()
	s.finished = true
	s.gate = gateOpen
}

// changeCipherSpec queues the change_cipher_spec of TLS 1.2, and changes the key.
func (s *sender) changeCipherSpec(key record.Protection) {
	s.queueCCS()
	s.replaceKey(key)
}

// start12 lets application data be written in TLS 1.2, sealed under the key that
// Finished was sealed under.
func (s *sender) start12(suite *cipherSuite) {
	s.suite = suite
	if s.env.limits.KeyRecords != 0 {
		s.key.SetLimit(s.env.limits.KeyRecords)
	}
	s.startPace()
	s.finished = true
	s.gate = gateOpen
}

// reserved is how many records of a key are kept back from application data: the
// KeyUpdate that ends its use, or else an alert.
const reserved = 1

// updateDue reports whether a KeyUpdate has to come before the next record of
// application data: the peer's request waits, or the key is used up.
func (s *sender) updateDue() bool {
	return s.updateOwed || s.key.Remaining() <= reserved
}

// sealKeyUpdate appends a KeyUpdate to b, sealed under the old key, and changes
// to the next one. RFC 8446, Section 4.6.3.
func (s *sender) sealKeyUpdate(b []byte, request bool) ([]byte, error) {
	if s.suite.tls12() || s.epoch() >= maxEpoch {
		return b, failure(ReasonKeysExhausted, nil)
	}
	secret := s.secret(sendingSecret)
	defer secret.Wipe()
	next := secret.Next()
	defer next.Wipe()
	key, err := s.suite.protection(&next)
	if err != nil {
		return b, failure(ReasonKeyGeneration, err)
	}
	var msg wire.KeyUpdate
	// "Until receiving a subsequent KeyUpdate from the peer, the sender MUST NOT
	// send another KeyUpdate with request_update set to "update_requested"."
	// RFC 9846, Section 4.7.3.
	if request && !s.updateAwaited {
		msg.Request = 1
		s.updateAwaited = true
	}
	var scratch [wire.HeaderLen + 1]byte
	body := msg.Append(scratch[:0])
	s.tell(TraceMessage{Sent: true, Body: body})
	b = s.seal(b, record.TypeHandshake, body)
	copy(s.kept.at(sendingSecret), next.Bytes())
	s.replaceTrafficKey(key)
	s.extra().epoch++
	// One that asks for another is no answer.
	s.updateOwed = s.updateOwed && msg.Request == 1
	return b, nil
}

// keyUpdate queues a KeyUpdate.
func (s *sender) keyUpdate(request bool) error {
	q := s.queue()
	buf, err := s.sealKeyUpdate(q.extend(s.keyUpdateSize()), request)
	q.commit(buf)
	return err
}

// requestKeyUpdate does what the application asks for. To change a key that was
// not used would protect nothing, and could be repeated without end.
func (s *sender) requestKeyUpdate(request bool) error {
	if err := s.refusal(); err != nil {
		return err
	}
	if s.suite.tls12() {
		return ErrVersion
	}
	if s.key.Seq() == 0 && (!request || s.updateAwaited) {
		return nil
	}
	if err := s.keyUpdate(request); err != nil {
		return s.find(err)
	}
	return nil
}

// answerKeyUpdate does what the peer's request for a KeyUpdate asks for: the
// first is answered at once, further ones before the next application data.
//
//	"If the request_update field is set to "update_requested", then the
//	receiver MUST send a KeyUpdate of its own with request_update set to
//	"update_not_requested" prior to sending its next Application Data
//	record."
//
// https://www.rfc-editor.org/rfc/rfc8446#section-4.6.3
func (s *sender) answerKeyUpdate() (queued bool, err error) {
	s.lock()
	defer s.unlock()
	switch {
	case s.closed || s.failed:
		return false, nil // nothing may follow our close_notify
	case s.epoch() >= maxEpoch:
		// "it MUST NOT send its own KeyUpdate if that would cause it to exceed
		// these limits and SHOULD instead ignore the "update_requested" flag."
		// RFC 9846, Section 4.7.3.
		return false, nil
	case s.answered:
		s.updateOwed = true
		return false, nil
	}
	s.answered = true
	return true, s.keyUpdate(false)
}

// keyUpdated notes that a KeyUpdate of the peer has come, and reports whether we
// had asked for it.
func (s *sender) keyUpdated() (awaited bool) {
	s.lock()
	defer s.unlock()
	awaited, s.updateAwaited = s.updateAwaited, false
	return awaited
}

// write seals application data into the output, as far as its bound allows.
func (s *sender) write(p source) (n int, err error) {
	if s.gate != gateOpen {
		return 0, s.refusal()
	}
	if err := s.keepPace(); err != nil {
		return 0, err
	}
	for left := p.len(); left > 0; {
		room := s.env.limits.Output - s.pending()
		take := s.fit(left, room)
		if take <= 0 {
			break
		}
		if s.updateDue() {
			if err := s.keyUpdate(false); err != nil {
				return n, s.find(err)
			}
			continue
		}
		if n == 0 {
			// Memory for all that will be taken, at once.
			s.queue().extend(min(room, s.sealedLen(left)))
		}
		buf := s.queue().extend(s.sealedSize(take))
		s.out.commit(s.sealData(buf, &p, take))
		n += take
		left -= take
	}
	return n, nil
}

// appendSealed moves pending output to dst, then seals p behind it, as far as
// the capacity of dst allows.
func (s *sender) appendSealed(dst []byte, p source) (_ []byte, n int, err error) {
	if s.gate != gateOpen {
		return dst, 0, s.refusal()
	}
	if err := s.keepPace(); err != nil {
		return dst, 0, err
	}
	start := len(dst)
	dst = s.appendOutput(dst)
	if s.pending() > 0 {
		return dst, 0, nil
	}
	for left := p.len(); left > 0; {
		room := cap(dst) - len(dst)
		if s.updateDue() {
			if !s.suite.tls12() && room < s.keyUpdateSize() {
				break
			}
			if dst, err = s.sealKeyUpdate(dst, false); err == nil {
				continue
			}
			if len(dst) > start {
				return dst, n, nil // what was moved is to be sent; the next call finds it again
			}
			return dst, 0, s.find(err)
		}
		take := s.fit(left, room)
		if take <= 0 {
			break
		}
		dst = s.sealData(dst, &p, take)
		n += take
		left -= take
	}
	return dst, n, nil
}

// source is application data in one piece or several.
type source struct {
	p    []byte   // the piece at hand
	rest [][]byte // those behind it
}

func (p *source) len() int {
	n := len(p.p)
	for _, piece := range p.rest {
		n += len(piece)
	}
	return n
}

// appendTo moves n bytes to b.
func (p *source) appendTo(b []byte, n int) []byte {
	for n > 0 {
		if len(p.p) == 0 {
			p.p, p.rest = p.rest[0], p.rest[1:]
			continue
		}
		k := min(n, len(p.p))
		b = append(b, p.p[:k]...)
		p.p = p.p[k:]
		n -= k
	}
	return b
}

// sealData appends a record with n bytes of p to b, which has room for it. They are copied
// once, or not at all where the cipher can read them where they are.
func (s *sender) sealData(b []byte, p *source, n int) []byte {
	s.answered = false
	s.sealed(n)
	if n <= len(p.p) {
		content := p.p[:n]
		p.p = p.p[n:]
		return s.seal(b, record.TypeApplicationData, content)
	}
	start, at := len(b), len(b)+s.key.Headroom()
	b = p.appendTo(b[:at], n)
	return b[:start+len(s.key.SealInPlace(b[start:], record.TypeApplicationData, n, s.padding(n)))]
}

// sealInPlace seals application data where it is, in a record of its own.
func (s *sender) sealInPlace(buf []byte, n int) ([]byte, error) {
	switch {
	case s.gate != gateOpen:
		return nil, s.refusal()
	case n <= 0 || n > int(s.maxContent) || RecordHeadroom > len(buf)-n ||
		RecordHeadroom-s.key.Headroom()+s.sealedSize(n) > cap(buf):
		return nil, ErrNoRoom
	case s.updateDue():
		if err := s.keyUpdate(false); err != nil {
			return nil, s.find(err)
		}
	}
	if s.pending() > 0 {
		return nil, ErrOutputPending
	}
	s.answered = false
	return s.key.SealInPlace(buf[RecordHeadroom-s.key.Headroom():], record.TypeApplicationData, n, s.padding(n)), nil
}

// appendOutput moves pending output to dst, as far as its capacity allows.
func (s *sender) appendOutput(dst []byte) []byte {
	n := min(s.pending(), cap(dst)-len(dst))
	if n == 0 {
		return dst
	}
	dst = append(dst, s.out.Bytes()[:n]...)
	s.discard(n)
	return dst
}

// discard drops the oldest n bytes of the output, which were sent.
func (s *sender) discard(n int) {
	if s.out == nil {
		return
	}
	if s.out.Discard(n); s.out.Len() == 0 {
		s.dropOutput()
	}
	if x := s.more; x != nil {
		if x.authEnd -= max(0, n); x.authEnd <= 0 || s.out == nil {
			x.authEnd, x.authAnswers = 0, 0
		}
	}
}

// sealedLen returns the bytes that n bytes of application data become, with the
// KeyUpdates that fall due among them.
func (s *sender) sealedLen(n int) int {
	if n <= 0 {
		return 0
	}
	if !s.key.Keyed() || s.suite == nil { // it cannot be written now, or not yet
		return n + (n/s.smallLen()+1)*record.MaxOverhead
	}
	size, records := 0, uint64(0)
	cut := func(n, longest int) {
		whole, rest := n/longest, n%longest
		size += whole * s.sealedSize(longest)
		records += uint64(whole)
		if rest > 0 {
			size += s.sealedSize(rest)
			records++
		}
	}
	if s.pace() != nil { // as if it had paused, which it may have until then
		small := min(n, smallBurst+s.smallLen())
		cut(small, s.smallLen())
		n -= small
	}
	cut(n, int(s.maxContent))
	if s.suite.tls12() { // which has no KeyUpdate
		return size
	}
	left, perKey := s.key.Remaining(), s.suite.perKey(&s.env.limits)
	left -= min(reserved, left)
	if s.updateOwed || left == 0 {
		size += s.keyUpdateSize()
		left = perKey
	}
	if records > left {
		size += s.keyUpdateSize() * int((records-left+perKey-1)/perKey)
	}
	return size
}

// perKey returns how many records of application data a new key is good for.
func (c *cipherSuite) perKey(limits *Limits) uint64 {
	n := c.aead.Limit()
	if limits.KeyRecords != 0 {
		n = min(n, limits.KeyRecords)
	}
	return n - reserved
}

// find notes a failure that was found while sending: the alert is queued at
// once, and the next Step makes it the state.
func (s *sender) find(err error) error {
	s.extra().found = inState(err, StateConnected)
	s.abort(err)
	return err
}

// failure returns what was found while sending that ends the connection.
func (s *sender) failure() error {
	switch {
	case s.more != nil && s.more.found != nil:
		return s.more.found
	case s.closed && !s.finished:
		// Nothing that the handshake still needs can be sent.
		return failure(ReasonCanceled, nil)
	case s.tracePanicked:
		return failure(ReasonCallbackPanicked, nil)
	}
	return nil
}

// abort ends the output: with the alert that err asks for, unless it asks for
// none or our close_notify was sent. It is the only place where a fatal alert is
// queued, and reports whether one was.
func (s *sender) abort(err error) (queued bool) {
	if s.failed {
		return false
	}
	s.failed = true
	s.shut(err)
	alert, queued := AlertOf(err)
	queued = queued && !s.closed
	if queued {
		s.alert = alert
		s.queueAlert(alert)
	}
	s.wipe()
	s.traceSuspended = true
	return queued
}

// queueAlert queues an alert under the current key.
func (s *sender) queueAlert(a Alert) {
	body := []byte{a.level(), byte(a)}
	s.tell(TraceMessage{Sent: true, Alert: true, Body: body})
	s.appendRecord(record.TypeAlert, body)
}

// closeWrite queues close_notify, after user_canceled inside the handshake.
//
//	"This alert MUST be followed by a "close_notify"."
//
// RFC 9846, Section 6.1.
func (s *sender) closeWrite() {
	if s.closed || s.failed {
		return
	}
	if !s.finished {
		s.queueAlert(AlertUserCanceled)
	}
	s.queueAlert(AlertCloseNotify)
	s.closed = true
	s.shut(ErrWriteClosed)
	s.wipe()
}

// dismiss ends all sending, and drops the output.
func (s *sender) dismiss(why error) {
	s.wipe()
	s.traceSuspended = true
	s.dropOutput()
	s.failed = true
	s.shut(why)
}

// wipe clears the keys: nothing will be sealed any more.
func (s *sender) wipe() {
	s.key.Wipe()
	s.forget(sendingSecret)
	s.dropEarly()
}

// owe makes the change_cipher_spec of middlebox compatibility mode due before
// the first protected record.
func (s *sender) owe(compatCCS bool) {
	s.lock()
	defer s.unlock()
	s.compatCCS = compatCCS
}

// sendOwedCompatCCS sends it now if it is owed: before the second ClientHello.
func (s *sender) sendOwedCompatCCS() {
	s.lock()
	defer s.unlock()
	if !s.closed && !s.failed {
		s.queueCompatCCS()
	}
}

// setVersion changes the legacy_record_version of plaintext records.
func (s *sender) setVersion(version uint16) {
	s.lock()
	defer s.unlock()
	s.version = version
}
