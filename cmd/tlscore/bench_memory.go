package main

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"runtime"
	"sync"
	"time"

	"tlscore.example/tlscore"
)

// What bench measures in memory. Everybody has the same certificate, with an ECDSA key on
// P-256 and signed by such an authority, X25519 and AES-128-GCM.

// benchPKI has the certificate of the servers, and the configs.
type benchPKI struct {
	leaf  tls.Certificate
	roots *x509.CertPool
}

func newBenchPKI() (*benchPKI, error) {
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench root"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, root, root, rootKey.Public(), rootKey)
	if err != nil {
		return nil, err
	}
	if root, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: root.NotBefore, NotAfter: root.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	if der, err = x509.CreateCertificate(rand.Reader, leaf, root, key.Public(), rootKey); err != nil {
		return nil, err
	}
	p := &benchPKI{leaf: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots: x509.NewCertPool()}
	p.roots.AddCert(root)
	return p, nil
}

func (p *benchPKI) client() *tlscore.Config {
	return &tlscore.Config{
		ServerName: "localhost", RootCAs: p.roots, MinVersion: tls.VersionTLS13,
		CurvePreferences: []tls.CurveID{tls.X25519}, CipherSuites: []uint16{tls.TLS_AES_128_GCM_SHA256},
	}
}

func (p *benchPKI) server() *tlscore.Config {
	return &tlscore.Config{Certificates: []tls.Certificate{p.leaf}, MinVersion: tls.VersionTLS13, TicketCount: -1}
}

func (p *benchPKI) stdClient() *tls.Config {
	return &tls.Config{
		ServerName: "localhost", RootCAs: p.roots, MinVersion: tls.VersionTLS13,
		CurvePreferences: []tls.CurveID{tls.X25519},
	}
}

func (p *benchPKI) stdServer() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{p.leaf}, MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true}
}

// stopwatch is what one side of a connection takes.
type stopwatch struct{ total time.Duration }

func (s *stopwatch) time(f func()) {
	began := time.Now()
	f()
	s.total += time.Since(began)
}

// measured runs f on behalf of a side.
type measured func(f func())

func unmeasured(f func()) { f() }

// stepAll steps to the next stop.
func stepAll(m *tlscore.Machine, in []byte) {
	for {
		ev, n := m.Step(in)
		if in = in[n:]; ev.Stop() {
			return
		}
	}
}

// connectMachines makes a connection, and has what each side does measured.
func connectMachines(clientConfig, serverConfig *tlscore.Config, atClient, atServer measured) (client, server *tlscore.Machine, err error) {
	var room [2][8 << 10]byte
	atClient(func() {
		if client, err = tlscore.NewClient(clientConfig); err == nil {
			client.Step(nil)
		}
	})
	if err != nil {
		return nil, nil, err
	}
	toServer := client.AppendOutput(room[0][:0])
	atServer(func() {
		if server, err = tlscore.NewServer(serverConfig); err == nil {
			stepAll(server, toServer)
		}
	})
	if err != nil {
		return nil, nil, err
	}
	toClient := server.AppendOutput(room[1][:0])
	atClient(func() { stepAll(client, toClient) })
	toServer = client.AppendOutput(room[0][:0])
	atServer(func() { stepAll(server, toServer) })
	if client.State() != tlscore.StateConnected || server.State() != tlscore.StateConnected {
		return nil, nil, errors.Join(errors.New("no connection"), client.Err(), server.Err())
	}
	return client, server, nil
}

// memoryConn is a connection of crypto/tls in memory: a pipe for the handshake, then buffers
// that one goroutine writes and reads.
type memoryConn struct {
	net.Conn
	in, out *bytes.Buffer
}

func (c *memoryConn) Read(p []byte) (int, error) {
	if c.in != nil {
		return c.in.Read(p)
	}
	return c.Conn.Read(p)
}

func (c *memoryConn) Write(p []byte) (int, error) {
	if c.out != nil {
		return c.out.Write(p)
	}
	return c.Conn.Write(p)
}

// connectStd makes a connection of crypto/tls, whose ends one goroutine can use.
func (p *benchPKI) connectStd() (client, server *tls.Conn, err error) {
	a, b := net.Pipe()
	near, far := &memoryConn{Conn: a}, &memoryConn{Conn: b}
	client, server = tls.Client(near, p.stdClient()), tls.Server(far, p.stdServer())
	done := make(chan error, 1)
	go func() { done <- server.Handshake() }()
	if err := errors.Join(client.Handshake(), <-done); err != nil {
		return nil, nil, err
	}
	there, back := new(bytes.Buffer), new(bytes.Buffer)
	near.in, near.out, far.in, far.out = back, there, there, back
	return client, server, nil
}

// records compares a record's way from one end to the other with sealing and opening it.
func (b *bencher) records() (results []benchResult, err error) {
	for _, size := range []struct {
		name          string
		n, times      int
		goal, inPlace float64
	}{{"16 KiB", 16 << 10, 300, 1.05, 1.02}, {"1 KiB", 1 << 10, 3000, 1.12, 1.08}, {"100 B", 100, 6000, 1.20, 1.15}} {
		client, server, err := connectMachines(b.pki.client(), b.pki.server(), unmeasured, unmeasured)
		if err != nil {
			return nil, err
		}
		stdClient, stdServer, err := b.pki.connectStd()
		if err != nil {
			return nil, err
		}
		block, err := aes.NewCipher(make([]byte, 16))
		if err != nil {
			return nil, err
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			return nil, err
		}
		data, got := make([]byte, size.n), make([]byte, size.n)
		wire := make([]byte, 0, 32<<10)
		place := make([]byte, tlscore.RecordHeadroom+size.n, tlscore.RecordHeadroom+size.n+tlscore.RecordTailroom)
		inner := make([]byte, size.n+1, size.n+1+aead.Overhead())
		var nonce [12]byte
		var header [5]byte
		failed := false
		times := size.times
		if b.quick {
			times /= 10
		}
		t := b.interleave(
			func() {
				for range times {
					wire, _, _ = client.AppendSealed(wire[:0], data)
					ev, _ := server.Step(wire)
					failed = failed || ev.Kind != tlscore.EventData
				}
			},
			func() {
				for range times {
					rec, _ := client.SealInPlace(place, size.n)
					ev, _ := server.Step(rec)
					failed = failed || ev.Kind != tlscore.EventData
				}
			},
			func() {
				for range times {
					stdClient.Write(data)
					_, err := io.ReadFull(stdServer, got)
					failed = failed || err != nil
				}
			},
			func() {
				for range times {
					sealed := aead.Seal(inner[:0], nonce[:], inner, header[:])
					_, err := aead.Open(sealed[:0], nonce[:], sealed, header[:])
					failed = failed || err != nil
				}
			},
		)
		if failed {
			return nil, errors.New("a record did not arrive")
		}
		results = append(results,
			upTo(size.goal, "record of "+size.name, ratio(t[0], t[3]), "× bare"),
			upTo(size.inPlace, "record of "+size.name+", in place", ratio(t[1], t[3]), "× bare"),
			plainly("record of "+size.name+", crypto/tls", ratio(t[2], t[3]), "× bare"))
	}
	return results, nil
}

// primitives are what the sides of a handshake cannot avoid.
type primitives struct {
	key       *ecdsa.PrivateKey
	leaf      []byte
	roots     *x509.CertPool
	peer      *ecdh.PrivateKey
	digest    [32]byte
	signature []byte
	err       error
}

func (p *benchPKI) primitives() (*primitives, error) {
	peer, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	w := &primitives{key: p.leaf.PrivateKey.(*ecdsa.PrivateKey), leaf: p.leaf.Certificate[0], roots: p.roots, peer: peer, digest: sha256.Sum256(nil)}
	w.sign()
	return w, w.err
}

// exchange is a key exchange: generation and agreement.
func (w *primitives) exchange() {
	own, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err == nil {
		_, err = own.ECDH(w.peer.PublicKey())
	}
	w.err = errors.Join(w.err, err)
}

func (w *primitives) sign() {
	signature, err := w.key.Sign(rand.Reader, w.digest[:], crypto.SHA256)
	w.signature = signature
	w.err = errors.Join(w.err, err)
}

// verify parses and verifies the certificate, and verifies the signature.
func (w *primitives) verify() {
	leaf, err := x509.ParseCertificate(w.leaf)
	if err == nil {
		_, err = leaf.Verify(x509.VerifyOptions{Roots: w.roots, DNSName: "localhost"})
	}
	if err == nil && !ecdsa.VerifyASN1(leaf.PublicKey.(*ecdsa.PublicKey), w.digest[:], w.signature) {
		err = errors.New("the signature does not verify")
	}
	w.err = errors.Join(w.err, err)
}

func (w *primitives) ciphers() {
	for range 4 { // two directions, in the handshake and behind it
		if block, err := aes.NewCipher(make([]byte, 16)); err == nil {
			cipher.NewGCM(block)
		}
	}
}

// fullHandshakes compares full handshakes with their primitives.
func (b *bencher) fullHandshakes() ([]benchResult, error) {
	w, err := b.pki.primitives()
	if err != nil {
		return nil, err
	}
	return b.handshakes("full", b.pki.client(), b.pki.server(), func() { w.exchange(); w.verify() }, func() { w.exchange(); w.sign() }, w, 1.08, 1.12)
}

// sameSession is a cache that gives out one session again and again.
type sameSession struct{ session []byte }

func (s *sameSession) Take(string) []byte { return bytes.Clone(s.session) }

func (s *sameSession) Put(_ string, session []byte) {
	if s.session == nil {
		s.session = bytes.Clone(session)
	}
}

// resumedHandshakes compares resumed handshakes with theirs: a key exchange on each side.
func (b *bencher) resumedHandshakes() ([]benchResult, error) {
	w, err := b.pki.primitives()
	if err != nil {
		return nil, err
	}
	clientConfig, serverConfig := b.pki.client(), b.pki.server()
	clientConfig.SessionCache = new(sameSession)
	if serverConfig.TicketKeys, err = tlscore.NewTicketKeys([32]byte{1}); err != nil {
		return nil, err
	}
	first := serverConfig.Clone()
	first.TicketCount = 1
	client, server, err := connectMachines(clientConfig, first, unmeasured, unmeasured)
	if err != nil {
		return nil, err
	}
	stepAll(client, server.AppendOutput(make([]byte, 0, 8<<10))) // the ticket
	client, _, err = connectMachines(clientConfig, serverConfig, unmeasured, unmeasured)
	if err != nil || !client.ConnectionState().DidResume {
		return nil, fmt.Errorf("no resumption: %w", err)
	}
	return b.handshakes("resumed", clientConfig, serverConfig, w.exchange, w.exchange, w, 1.15, 1.20)
}

// handshakes compares the two sides of handshakes with the primitives of each.
func (b *bencher) handshakes(kind string, clientConfig, serverConfig *tlscore.Config, clientBase, serverBase func(), w *primitives, clientGoal, serverGoal float64) ([]benchResult, error) {
	times := 30
	if b.quick {
		times = 3
	}
	var client, server, clientBare, serverBare, std []float64
	for range b.rounds {
		var c, s stopwatch
		for range times {
			if _, _, err := connectMachines(clientConfig, serverConfig, c.time, s.time); err != nil {
				return nil, err
			}
		}
		client, server = append(client, c.total.Seconds()), append(server, s.total.Seconds())
		var base [2]stopwatch
		for range times {
			base[0].time(clientBase)
			base[1].time(serverBase)
		}
		clientBare, serverBare = append(clientBare, base[0].total.Seconds()), append(serverBare, base[1].total.Seconds())
		if kind == "full" {
			var both stopwatch
			for range times {
				var err error
				both.time(func() { _, _, err = b.pki.connectStd() })
				if err != nil {
					return nil, err
				}
			}
			std = append(std, both.total.Seconds())
		}
	}
	if w.err != nil {
		return nil, w.err
	}
	results := []benchResult{
		upTo(clientGoal, kind+" handshake, client", ratio(client, clientBare), "× primitives"),
		upTo(serverGoal, kind+" handshake, server", ratio(server, serverBare), "× primitives"),
	}
	if kind == "full" {
		results = append(results,
			plainly("full handshake, both", ratio(sum(client, server), sum(clientBare, serverBare)), "× primitives"),
			plainly("full handshake, both, crypto/tls over a pipe", ratio(std, sum(clientBare, serverBare)), "× primitives"))
	}
	return results, nil
}

func sum(a, b []float64) []float64 {
	out := make([]float64, len(a))
	for i := range a {
		out[i] = a[i] + b[i]
	}
	return out
}

// allocated counts what a side allocates.
type allocated struct{ objects, bytes uint64 }

func (a *allocated) count(f func()) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	a.objects += after.Mallocs - before.Mallocs
	a.bytes += after.TotalAlloc - before.TotalAlloc
}

// allocations counts what a full handshake and a record allocate.
func (b *bencher) allocations() ([]benchResult, error) {
	w, err := b.pki.primitives()
	if err != nil {
		return nil, err
	}
	const times = 40
	clientConfig, serverConfig := b.pki.client(), b.pki.server()
	var client, server, clientBase, serverBase, std allocated
	for i := range times + 1 {
		if i == 1 { // what is made once is not counted
			client, server, clientBase, serverBase, std = allocated{}, allocated{}, allocated{}, allocated{}, allocated{}
		}
		if _, _, err := connectMachines(clientConfig, serverConfig, client.count, server.count); err != nil {
			return nil, err
		}
		clientBase.count(func() { w.exchange(); w.ciphers(); w.verify() })
		serverBase.count(func() { w.exchange(); w.ciphers(); w.sign() })
		std.count(func() { b.pki.connectStd() })
	}
	sender, receiver, err := connectMachines(clientConfig, serverConfig, unmeasured, unmeasured)
	if err != nil {
		return nil, err
	}
	data, wire := make([]byte, 1000), make([]byte, 0, 2000)
	var record allocated
	record.count(func() {
		for range times {
			wire, _, _ = sender.AppendSealed(wire[:0], data)
			receiver.Step(wire)
		}
	})
	beyond := func(got, base uint64) float64 { return (float64(got) - float64(base)) / times }
	return []benchResult{
		upTo(60, "allocations of a full handshake, client", beyond(client.objects, clientBase.objects), "beyond"),
		upTo(40, "allocations of a full handshake, server", beyond(server.objects, serverBase.objects), "beyond"),
		plainly("… of both sides, crypto/tls", beyond(std.objects, clientBase.objects+serverBase.objects), "beyond"),
		upTo(6<<10, "bytes of a full handshake, client", beyond(client.bytes, clientBase.bytes), "B beyond"),
		upTo(6<<10, "bytes of a full handshake, server", beyond(server.bytes, serverBase.bytes), "B beyond"),
		plainly("… of both sides, crypto/tls", beyond(std.bytes, clientBase.bytes+serverBase.bytes), "B beyond"),
		upTo(0, "allocations of a record", float64(record.objects/times), ""),
	}, w.err
}

// heap returns the bytes that are in use.
func heap() float64 {
	for range 3 { // pools let go by and by
		runtime.GC()
	}
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return float64(stats.HeapAlloc)
}

// idleConnections weighs servers' connections that wait.
func (b *bencher) idleConnections() (results []benchResult, err error) {
	n := 400
	if b.quick {
		n = 50
	}
	clientConfig, serverConfig := b.pki.client(), b.pki.server()
	for _, size := range []int{100, 16 << 10} {
		machines := make([]*tlscore.Machine, n)
		before := heap()
		data, wire := make([]byte, size), make([]byte, 0, 32<<10)
		for i := range machines {
			client, server, err := connectMachines(clientConfig, serverConfig, unmeasured, unmeasured)
			if err != nil {
				return nil, err
			}
			for range 2 { // there and back
				wire, _, _ = client.AppendSealed(wire[:0], data)
				stepAll(server, wire)
				client, server = server, client
			}
			machines[i] = server
		}
		awake := (heap() - before) / float64(n)
		results = append(results, upTo(2000, fmt.Sprintf("idle connection after %d B", size), awake, "B"))
		if size == 100 {
			for _, m := range machines {
				if err := m.Hibernate(); err != nil {
					return nil, err
				}
			}
			results = append(results, upTo(400, "idle connection, hibernated", (heap()-before)/float64(n), "B"))
			began := time.Now()
			for range 20 {
				for _, m := range machines {
					m.SealedLen(1) // which wakes it
					m.Hibernate()
				}
			}
			results = append(results, plainly("sleeping and waking", time.Since(began).Seconds()*1e6/float64(20*n), "µs"))
		}
		runtime.KeepAlive(machines)
		std := make([]*tls.Conn, n)
		before = heap()
		for i := range std {
			client, server, err := b.pki.connectStd()
			if err != nil {
				return nil, err
			}
			got := make([]byte, size)
			client.Write(data)
			io.ReadFull(server, got)
			server.Write(data)
			io.ReadFull(client, got)
			std[i] = server
		}
		results = append(results, plainly(fmt.Sprintf("idle connection after %d B, crypto/tls, its pipe too", size), (heap()-before)/float64(n), "B"))
		runtime.KeepAlive(std)
	}
	return results, nil
}

// growth shows that what a connection and a byte cost stays the same when there are more, and
// that handshakes use all processors.
func (b *bencher) growth() (results []benchResult, err error) {
	counts := []int{1, 100, 10_000, 100_000}
	if b.quick {
		counts = counts[:2]
	}
	clientConfig, serverConfig := b.pki.client(), b.pki.server()
	_, server, err := connectMachines(clientConfig, serverConfig, unmeasured, unmeasured)
	if err != nil {
		return nil, err
	}
	var key [tlscore.SnapshotKeyLen]byte
	snapshot, err := server.Snapshot(&key, nil)
	if err != nil {
		return nil, err
	}
	for _, n := range counts {
		// Twins of one connection: they have but to be there, and are never written to.
		machines := make([]*tlscore.Machine, n)
		before := heap()
		began := time.Now()
		for i := range machines {
			if machines[i], _, err = tlscore.Restore(serverConfig, &key, snapshot); err != nil {
				return nil, err
			}
		}
		took := time.Since(began)
		results = append(results,
			plainly(fmt.Sprintf("heap of a connection, of %d", n), (heap()-before)/float64(n), "B"),
			plainly(fmt.Sprintf("making a connection from a snapshot, of %d", n), took.Seconds()*1e6/float64(n), "µs"))
		runtime.KeepAlive(machines)
	}
	client, server, err := connectMachines(clientConfig, serverConfig, unmeasured, unmeasured)
	if err != nil {
		return nil, err
	}
	data, wire := make([]byte, 16<<10), make([]byte, 0, 32<<10)
	for _, size := range []int{1, 1 << 10, 1 << 20, 1 << 30} {
		if b.quick && size > 1<<20 {
			break
		}
		began := time.Now()
		repeat := max(1, (1<<20)/size)
		for range repeat {
			for left := size; left > 0; left -= min(left, len(data)) {
				wire, _, _ = client.AppendSealed(wire[:0], data[:min(left, len(data))])
				server.Step(wire)
			}
		}
		results = append(results, plainly(fmt.Sprintf("a stream of %d B", size), time.Since(began).Seconds()*1e9/float64(repeat)/float64(size), "ns/B"))
	}
	for _, workers := range []int{1, runtime.GOMAXPROCS(0)} {
		var group sync.WaitGroup
		times := 400 / workers
		if b.quick {
			times /= 10
		}
		began := time.Now()
		for range workers {
			group.Go(func() {
				for range times {
					connectMachines(clientConfig, serverConfig, unmeasured, unmeasured)
				}
			})
		}
		group.Wait()
		rate := float64(times*workers) / time.Since(began).Seconds()
		results = append(results, plainly(fmt.Sprintf("full handshakes, both sides, %d goroutines", workers), rate, "/s"))
	}
	return results, nil
}
