package tlstest

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"tlscore.example/tlscore/internal/record"
	"tlscore.example/tlscore/internal/schedule"
)

// TestRFC8448 plays the traces of RFC 8448. Private keys and the messages that hold random bytes or signatures are taken
// from the trace; everything else is computed and compared with it. Both kinds are counted, so that no value is lost.
func TestRFC8448(t *testing.T) {
	if record.NullCrypto {
		t.Skip("the sealed records of the traces need real cryptography")
	}
	want := map[int]struct{ taken, compared int }{
		3: {10, 99},
		4: {8, 117},
		5: {10, 96},
		6: {10, 91},
		7: {7, 95},
	}
	traces, err := RFC8448()
	if err != nil {
		t.Fatal(err)
	}
	if len(traces) != len(want) {
		t.Fatalf("%d traces, want %d", len(traces), len(want))
	}
	for _, trace := range traces {
		t.Run(fmt.Sprintf("section %d", trace.Section), func(t *testing.T) {
			p := newPlayer(t)
			if trace.Section == 4 { // it resumes with the ticket of the first trace
				p.psk = newPlayer(t).playAll(&traces[0]).ticketPSK
			}
			p.playAll(&trace)
			if w := want[trace.Section]; p.taken != w.taken || p.compared != w.compared {
				t.Errorf("took %d values and compared %d, want %d and %d", p.taken, p.compared, w.taken, w.compared)
			}
		})
	}
}

// TestRFC8448Values counts the values in the file by themselves: as many as RFC 8448 gives in its Sections 3 to 7.
func TestRFC8448Values(t *testing.T) {
	traces, err := RFC8448()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, trace := range traces {
		for _, step := range trace.Steps {
			n += len(step.Values)
		}
	}
	if n != 543 {
		t.Errorf("%d values, want 543", n)
	}
}

func TestParseTracesRejects(t *testing.T) {
	for _, text := range []string{
		"client: too early\n",
		"section three: not a number\n",
		"section 3: title\nnobody: acts\n",
		"section 3: title\nclient acts\n",
		"section 3: title\n\tvalue: 00\n",
		"section 3: title\nclient: acts\n\tvalue\n",
		"section 3: title\nclient: acts\n\tvalue: 00\n\tvalue: 00\n",
		"section 3: title\nclient: acts\n\t\t00\n",
		"section 3: title\nclient: acts\n\tvalue: 0\n",
	} {
		if _, err := parseTraces(text); err == nil {
			t.Errorf("accepted %q", text)
		}
	}
}

// side is what only one of the two has.
type side struct {
	private     *ecdh.PrivateKey
	flight      []byte             // messages that wait for their record
	write       *record.Protection // nil while in the clear
	peerRead    *record.Protection // what the peer opens these records with
	certificate *x509.Certificate  // of the last Certificate message
	traffic     map[string]*schedule.TrafficSecret
	finished    []byte // the verify_data that was computed
}

// player plays one trace, being client and server at once. What the two compute is the same, and is computed once.
type player struct {
	*testing.T
	step       *TraceStep
	seen       map[string]bool
	taken      int
	compared   int
	sides      map[bool]*side // by being the client
	transcript *schedule.Transcript
	early      schedule.EarlySecret
	handshake  schedule.HandshakeSecret
	main       schedule.MainSecret
	resumption schedule.ResumptionSecret
	psk        []byte
	ticketPSK  []byte
	hellos     int
}

const suiteHash = schedule.SHA256 // all traces use TLS_AES_128_GCM_SHA256

func newPlayer(t *testing.T) *player {
	return &player{
		T:          t,
		transcript: schedule.NewTranscript(suiteHash),
		sides: map[bool]*side{
			true:  {traffic: map[string]*schedule.TrafficSecret{}},
			false: {traffic: map[string]*schedule.TrafficSecret{}},
		},
	}
}

func (p *player) mine() *side { return p.sides[p.step.Client] }

// value returns a value of the step, and notes that it was used.
func (p *player) value(name string) []byte {
	p.Helper()
	v := p.step.Value(name)
	if v == nil || p.seen[name] {
		p.Fatalf("%v: no value %q left", p.step, name)
	}
	p.seen[name] = true
	if v.Zeros {
		return make([]byte, suiteHash.Size())
	}
	return v.Bytes
}

// take uses a value of the trace as an input.
func (p *player) take(name string) []byte {
	p.Helper()
	p.taken++
	return p.value(name)
}

// compare checks what was computed against the trace.
func (p *player) compare(name string, got []byte) {
	p.Helper()
	p.compared++
	if want := p.value(name); !bytes.Equal(got, want) {
		p.Fatalf("%v: %s:\n got %x\nwant %x", p.step, name, got, want)
	}
}

func (p *player) playAll(trace *Trace) *player {
	for i := range trace.Steps {
		p.play(&trace.Steps[i])
	}
	return p
}

// play plays one step and makes sure that none of its values was passed over.
func (p *player) play(step *TraceStep) {
	p.step, p.seen = step, map[string]bool{}
	action, label, _ := strings.Cut(strings.TrimSuffix(step.Action, `"`), ` "`)
	label = strings.TrimPrefix(label, "tls13 ")
	words := strings.Fields(action)
	switch {
	case strings.HasPrefix(action, "create an ephemeral"):
		p.createKey(words[3])
	case strings.HasPrefix(action, "construct a"):
		p.construct(words[2])
	case strings.HasPrefix(action, "send "):
		p.send(words[1])
	case strings.HasPrefix(action, "derive write traffic keys for "), strings.HasPrefix(action, "derive read traffic keys for "):
		epoch := strings.TrimSuffix(strings.SplitN(action, " for ", 2)[1], " data")
		p.keys(words[1] == "write", epoch)
	case step.Same:
		// Secrets are computed once for both.
	case action == "extract secret":
		p.extract(label)
	case strings.HasPrefix(action, "derive secret"):
		p.derive(label)
	case action == "calculate finished":
		p.finished(p.mine().traffic["handshake"])
	case action == "calculate PSK binder":
		p.pskBinder()
	case action == "generate resumption secret":
		p.generatePSK()
	default:
		p.Fatalf("%v: unknown step", step)
	}
	for _, v := range step.Values {
		if !p.seen[v.Name] {
			p.Fatalf("%v: %s was not looked at", step, v.Name)
		}
	}
}

func (p *player) createKey(curve string) {
	curves := map[string]ecdh.Curve{"x25519": ecdh.X25519(), "P-256": ecdh.P256()}
	key, err := curves[curve].NewPrivateKey(p.take("private key"))
	if err != nil {
		p.Fatal(err)
	}
	p.mine().private = key
	p.compare("public key", key.PublicKey().Bytes())
}

// construct adds a message to the flight and to the transcript.
func (p *player) construct(name string) {
	var msg []byte
	switch name {
	case "Finished":
		msg = append([]byte{20, 0, 0, byte(suiteHash.Size())}, p.mine().finished...)
		p.compare(name, msg)
	case "EndOfEarlyData":
		msg = []byte{5, 0, 0, 0}
		p.compare(name, msg)
	default:
		msg = p.take(name)
	}
	p.mine().flight = append(p.mine().flight, msg...)
	switch name {
	case "ClientHello":
		p.hellos++
	case "ServerHello":
		p.serverHello(msg)
	case "Certificate":
		p.certificate(msg)
	case "CertificateVerify":
		p.certificateVerify(msg)
	case "NewSessionTicket": // not part of the transcript
		if n := int(msg[12]); !bytes.Equal(msg[13:13+n], ticketNonce) {
			p.Fatalf("%v: the PSK was derived with another nonce", p.step)
		}
		return
	}
	p.transcript.Write(msg)
}

// serverHello recognizes a HelloRetryRequest, before it enters the transcript. RFC 8446, Section 4.1.3.
func (p *player) serverHello(msg []byte) {
	if random := sha256.Sum256([]byte("HelloRetryRequest")); bytes.Equal(msg[6:6+32], random[:]) {
		p.transcript.HelloRetry()
	}
}

// certificate keeps the leaf. RFC 8446, Section 4.4.2.
func (p *player) certificate(msg []byte) {
	b := msg[4:]
	b = b[1+int(b[0])+3:] // certificate_request_context, length of the list
	n := int(b[0])<<16 | int(b[1])<<8 | int(b[2])
	leaf, err := x509.ParseCertificate(b[3 : 3+n])
	if err != nil {
		p.Fatal(err)
	}
	p.mine().certificate = leaf
}

// certificateVerify checks the signature, and with it the transcript hash at this point. RFC 8446, Section 4.4.3.
func (p *player) certificateVerify(msg []byte) {
	context := "TLS 1.3, server CertificateVerify\x00"
	if p.step.Client {
		context = "TLS 1.3, client CertificateVerify\x00"
	}
	signed := p.sum()
	signed = append([]byte(strings.Repeat(" ", 64)+context), signed...)
	digest := sha256.Sum256(signed)
	scheme, signature := binary.BigEndian.Uint16(msg[4:]), msg[8:]
	switch key := p.mine().certificate.PublicKey.(type) {
	case *rsa.PublicKey:
		if err := rsa.VerifyPSS(key, crypto.SHA256, digest[:], signature, nil); scheme != 0x0804 || err != nil {
			p.Fatalf("%v: scheme %#x: %v", p.step, scheme, err)
		}
	case *ecdsa.PublicKey:
		if scheme != 0x0403 || !ecdsa.VerifyASN1(key, digest[:], signature) {
			p.Fatalf("%v: scheme %#x: signature does not verify", p.step, scheme)
		}
	default:
		p.Fatalf("%v: unexpected key %T", p.step, key)
	}
}

func (p *player) sum() []byte { return p.transcript.Sum(nil) }

// shared is the key exchange, done from both sides.
func (p *player) shared() []byte {
	client, server := p.sides[true].private, p.sides[false].private
	a, err := client.ECDH(server.PublicKey())
	if err != nil {
		p.Fatal(err)
	}
	b, err := server.ECDH(client.PublicKey())
	if err != nil || !bytes.Equal(a, b) {
		p.Fatalf("%v: the shared secrets differ: %v", p.step, err)
	}
	return a
}

// derivedSalt is Derive-Secret(., "derived", ""), which the packages keep inside.
func derivedSalt(s *schedule.Secret) []byte {
	empty := sha256.Sum256(nil)
	salt := make([]byte, suiteHash.Size())
	schedule.ExpandLabel(suiteHash, s.Bytes(), "derived", empty[:], salt)
	return salt
}

func (p *player) extract(label string) {
	zeros := make([]byte, suiteHash.Size())
	switch label {
	case "early":
		ikm := zeros
		if p.psk != nil {
			ikm = p.psk
		}
		p.early = schedule.NewEarlySecret(suiteHash, p.psk)
		p.compare("salt", zeros)
		p.compare("IKM", ikm)
		p.compare("secret", p.early.Bytes())
	case "handshake":
		p.handshake = p.early.Handshake(p.shared())
		p.compare("salt", derivedSalt(&p.early.Secret))
		p.compare("IKM", p.shared())
		p.compare("secret", p.handshake.Bytes())
	case "master":
		p.main = p.handshake.Main()
		p.compare("salt", derivedSalt(&p.handshake.Secret))
		p.compare("IKM", zeros)
		p.compare("secret", p.main.Bytes())
	default:
		p.Fatalf("%v: unknown secret", p.step)
	}
}

// info is the HkdfLabel, built apart from the schedule. RFC 8446, Section 7.1.
func info(label string, context []byte, length int) []byte {
	b := []byte{0, byte(length), byte(len("tls13 " + label))}
	b = append(b, "tls13 "+label...)
	b = append(b, byte(len(context)))
	return append(b, context...)
}

func (p *player) expanded(prk []byte, label string, context, got []byte) {
	p.Helper()
	p.compare("PRK", prk)
	p.compare("hash", context)
	p.compare("info", info(label, context, len(got)))
	p.compare("expanded", got)
}

func (p *player) derive(label string) {
	client, server := p.sides[true], p.sides[false]
	transcript := p.sum()
	traffic := func(s *side, epoch string, from *schedule.Secret, secret schedule.TrafficSecret) {
		s.traffic[epoch] = &secret
		p.expanded(from.Bytes(), label, transcript, secret.Bytes())
	}
	switch label {
	case "derived":
		from := &p.early.Secret
		if strings.Contains(p.step.Action, "for master") {
			from = &p.handshake.Secret
		}
		empty := sha256.Sum256(nil)
		p.expanded(from.Bytes(), label, empty[:], derivedSalt(from))
	case "c e traffic":
		traffic(client, "early application", &p.early.Secret, p.early.ClientEarlyTraffic(transcript))
	case "e exp master":
		secret := p.early.EarlyExporter(transcript)
		p.expanded(p.early.Bytes(), label, transcript, secret.Bytes())
	case "c hs traffic":
		traffic(client, "handshake", &p.handshake.Secret, p.handshake.ClientTraffic(transcript))
	case "s hs traffic":
		traffic(server, "handshake", &p.handshake.Secret, p.handshake.ServerTraffic(transcript))
	case "c ap traffic":
		traffic(client, "application", &p.main.Secret, p.main.ClientTraffic(transcript))
	case "s ap traffic":
		traffic(server, "application", &p.main.Secret, p.main.ServerTraffic(transcript))
	case "exp master":
		secret := p.main.Exporter(transcript)
		p.expanded(p.main.Bytes(), label, transcript, secret.Bytes())
	case "res master":
		p.resumption = p.main.Resumption(transcript)
		p.expanded(p.main.Bytes(), label, transcript, p.resumption.Bytes())
	default:
		p.Fatalf("%v: unknown secret", p.step)
	}
}

// keys compares the keys of one direction, and puts them to use at the step where their sender derives them.
func (p *player) keys(write bool, epoch string) {
	sender := p.sides[p.step.Client == write]
	secret := sender.traffic[epoch]
	key, iv := make([]byte, record.AES128GCM.KeyLen()), make([]byte, record.IVLen)
	secret.Key(key)
	secret.IV(iv)
	if !p.step.Same {
		p.compare("PRK", secret.Bytes())
		p.compare("key info", info("key", nil, len(key)))
		p.compare("key expanded", key)
		p.compare("iv info", info("iv", nil, len(iv)))
		p.compare("iv expanded", iv)
	}
	if write {
		write, err := record.New(record.AES128GCM, key, iv)
		peerRead, err2 := record.New(record.AES128GCM, key, iv)
		if err != nil || err2 != nil {
			p.Fatal(err, err2)
		}
		sender.write, sender.peerRead = &write, &peerRead
	}
}

func (p *player) finished(secret *schedule.TrafficSecret) {
	p.finishedKey(&secret.Secret)
	p.mine().finished = secret.Finished(nil, p.sum())
	p.compare("finished", p.mine().finished)
}

// finishedKey compares the finished_key, which the schedule keeps inside.
func (p *player) finishedKey(from *schedule.Secret) {
	key := make([]byte, suiteHash.Size())
	schedule.ExpandLabel(suiteHash, from.Bytes(), "finished", nil, key)
	p.expanded(from.Bytes(), "finished", nil, key)
}

// pskBinder takes the transcript in the middle of the ClientHello, which has been constructed up to here, and completes
// it. RFC 8446, Section 4.2.11.2.
func (p *player) pskBinder() {
	key := p.early.BinderKey(false)
	p.compare("ClientHello prefix", p.mine().flight)
	p.compare("binder hash", p.sum())
	p.finishedKey(&key.Secret)
	binder := key.Binder(nil, p.sum())
	p.compare("finished", binder)
	rest := append([]byte{0, byte(1 + len(binder)), byte(len(binder))}, binder...)
	p.mine().flight = append(p.mine().flight, rest...)
	p.transcript.Write(rest)
}

// ticketNonce is the nonce of the only ticket in the traces.
var ticketNonce = []byte{0, 0}

// generatePSK derives the PSK of the ticket, which is constructed later. RFC 8446, Section 4.6.1.
func (p *player) generatePSK() {
	psk := p.resumption.PSK(ticketNonce)
	p.ticketPSK = bytes.Clone(psk.Bytes())
	p.expanded(p.resumption.Bytes(), "resumption", ticketNonce, p.ticketPSK)
}

// send seals what there is to send, compares the record, and opens it as the peer.
func (p *player) send(what string) {
	s := p.mine()
	var payload []byte
	var t record.ContentType
	switch what {
	case "handshake":
		t, payload, s.flight = record.TypeHandshake, s.flight, nil
		p.compare("payload", payload)
	case "application_data":
		t = record.TypeApplicationData
		payload = p.take("payload")
	case "alert":
		t, payload = record.TypeAlert, []byte{1, 0} // close_notify
		p.compare("payload", payload)
	case "change_cipher_spec":
		payload = []byte{1}
		p.compare("payload", payload)
		p.compare("complete record", record.AppendPlaintext(nil, record.TypeChangeCipherSpec, 0x0303, payload))
		return
	default:
		p.Fatalf("%v: unknown content", p.step)
	}
	if s.write == nil {
		version := uint16(0x0303)
		if p.hellos == 1 && p.step.Client {
			version = 0x0301
		}
		p.compare("complete record", record.AppendPlaintext(nil, t, version, payload))
		return
	}
	sealed := s.write.Seal(nil, t, payload)
	p.compare("complete record", sealed)
	gotType, content, err := s.peerRead.Open(sealed)
	if err != nil || gotType != t || !bytes.Equal(content, payload) {
		p.Fatalf("%v: opened as %v %x: %v", p.step, gotType, content, err)
	}
}

func TestTraceStep(t *testing.T) {
	step := TraceStep{Client: true, Action: "acts", Values: []TraceValue{{Name: "one"}}}
	if step.String() != "client: acts" || (&TraceStep{Action: "answers"}).String() != "server: answers" {
		t.Errorf("got %q", step.String())
	}
	if step.Value("one") != &step.Values[0] || step.Value("two") != nil {
		t.Error("Value found the wrong one")
	}
}
