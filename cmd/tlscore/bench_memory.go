package main

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"tlscore.example/tlscore"
	"tlscore.example/tlscore/internal/benchkit"
)

// What bench measures in memory. Everybody has the same certificate, with an ECDSA key on
// P-256 and signed by such an authority, X25519 and AES-128-GCM.

// benchRecords compares a record's way from one end to the other with sealing and opening it.
func benchRecords(r *benchkit.Runner) (results []benchkit.Result, err error) {
	for _, size := range []struct {
		name          string
		n, times      int
		goal, inPlace float64
	}{{"16 KiB", 16 << 10, 1000, 1.05, 1.02}, {"1 KiB", 1 << 10, 10_000, 1.12, 1.08}, {"100 B", 100, 20_000, 1.20, 1.15}} {
		if r.Quick {
			size.times /= 100
		}
		var t [4][]float64
		for range r.Rounds {
			// Where memory lies makes a difference of several percent, so each round has
			// connections and buffers of its own.
			ways, err := recordWays(r, size.n, size.times)
			if err != nil {
				return nil, err
			}
			for i, seconds := range (&benchkit.Runner{Rounds: 2}).Interleave(ways...) {
				t[i] = append(t[i], slices.Min(seconds))
			}
		}
		results = append(results,
			benchkit.UpTo(size.goal, "record of "+size.name, benchkit.Ratio(t[0], t[3]), "× bare"),
			benchkit.UpTo(size.inPlace, "record of "+size.name+", in place", benchkit.Ratio(t[1], t[3]), "× bare"),
			benchkit.Plainly("record of "+size.name+", crypto/tls", benchkit.Ratio(t[2], t[3]), "× bare"))
	}
	return results, nil
}

// recordWays returns the ways of many records of n bytes: ours, ours in place, that of crypto/tls,
// and nothing but the cipher.
func recordWays(r *benchkit.Runner, n, times int) ([]func(), error) {
	client, server, err := benchkit.ConnectMachines(r.PKI.Client(), r.PKI.Server(), benchkit.Unmeasured, benchkit.Unmeasured)
	if err != nil {
		return nil, err
	}
	stdClient, stdServer, err := r.PKI.ConnectStd()
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
	data, got, room := make([]byte, n), make([]byte, n), make([]byte, 0, client.SealedLen(n))
	// The content is aligned, as whoever wants it fast would do.
	const gap = 16 - tlscore.RecordHeadroom%16
	place := make([]byte, gap+tlscore.RecordHeadroom+n, gap+tlscore.RecordHeadroom+n+tlscore.RecordTailroom)[gap:]
	inner := make([]byte, n+1, n+1+aead.Overhead())
	nonce, header := make([]byte, aead.NonceSize()), make([]byte, 5)
	many := func(one func() bool) func() {
		return func() {
			for range times {
				if !one() {
					panic("bench: a record did not arrive") // nothing is between the two ends
				}
			}
		}
	}
	return []func(){
		many(func() bool {
			wire, _, _ := client.AppendSealed(room, data)
			ev, _ := server.Step(wire)
			return ev.Kind == tlscore.EventData
		}),
		many(func() bool {
			rec, _ := client.SealInPlace(place, n)
			ev, _ := server.Step(rec)
			return ev.Kind == tlscore.EventData
		}),
		many(func() bool { return benchkit.Carry(stdClient, stdServer, data, got) == nil }),
		many(func() bool {
			sealed := aead.Seal(inner[:0], nonce, inner, header)
			_, err := aead.Open(sealed[:0], nonce, sealed, header)
			return err == nil
		}),
	}, nil
}

// benchFullHandshakes compares full handshakes with their primitives.
func benchFullHandshakes(r *benchkit.Runner) ([]benchkit.Result, error) {
	w, err := r.PKI.Primitives()
	if err != nil {
		return nil, err
	}
	return handshakes(r, "full", r.PKI.Client(), r.PKI.Server(), func() { w.Exchange(); w.Verify() }, func() { w.Exchange(); w.Sign() }, w, 1.08, 1.12)
}

// sameSession is a cache that gives out one session again and again.
type sameSession struct{ session []byte }

func (s *sameSession) Take(string) []byte { return bytes.Clone(s.session) }

func (s *sameSession) Put(_ string, session []byte) {
	if s.session == nil {
		s.session = bytes.Clone(session)
	}
}

// benchResumedHandshakes compares resumed handshakes with theirs: a key exchange on each side.
func benchResumedHandshakes(r *benchkit.Runner) ([]benchkit.Result, error) {
	w, err := r.PKI.Primitives()
	if err != nil {
		return nil, err
	}
	clientConfig, serverConfig := r.PKI.Client(), r.PKI.Server()
	clientConfig.SessionCache = new(sameSession)
	if serverConfig.TicketKeys, err = tlscore.NewTicketKeys([32]byte{1}); err != nil {
		return nil, err
	}
	first := serverConfig.Clone()
	first.TicketCount = 1
	client, server, err := benchkit.ConnectMachines(clientConfig, first, benchkit.Unmeasured, benchkit.Unmeasured)
	if err != nil {
		return nil, err
	}
	benchkit.StepAll(client, server.AppendOutput(make([]byte, 0, 8<<10))) // the ticket
	client, _, err = benchkit.ConnectMachines(clientConfig, serverConfig, benchkit.Unmeasured, benchkit.Unmeasured)
	if err != nil || !client.ConnectionState().DidResume {
		return nil, fmt.Errorf("no resumption: %w", err)
	}
	return handshakes(r, "resumed", clientConfig, serverConfig, w.Exchange, w.Exchange, w, 1.15, 1.20)
}

// handshakes compares the two sides of handshakes with the primitives of each, a few of the ones
// and then a few of the others.
func handshakes(r *benchkit.Runner, kind string, clientConfig, serverConfig *tlscore.Config, clientBase, serverBase func(), w *benchkit.Primitives, clientGoal, serverGoal float64) ([]benchkit.Result, error) {
	times := 30
	if r.Quick {
		times = 3
	}
	var client, server, clientBare, serverBare, std []float64
	for range r.Rounds {
		var ours, base [2]benchkit.Stopwatch
		var theirs benchkit.Stopwatch
		for range times {
			if _, _, err := benchkit.ConnectMachines(clientConfig, serverConfig, ours[0].Time, ours[1].Time); err != nil {
				return nil, err
			}
		}
		for range times {
			base[0].Time(clientBase)
			base[1].Time(serverBase)
		}
		for range times {
			var err error
			theirs.Time(func() { _, _, err = r.PKI.ConnectStd() })
			if err != nil {
				return nil, err
			}
		}
		for _, x := range []struct {
			to   *[]float64
			from *benchkit.Stopwatch
		}{{&client, &ours[0]}, {&server, &ours[1]}, {&clientBare, &base[0]}, {&serverBare, &base[1]}, {&std, &theirs}} {
			*x.to = append(*x.to, x.from.Total.Seconds())
		}
	}
	if w.Err != nil {
		return nil, w.Err
	}
	results := []benchkit.Result{
		benchkit.UpTo(clientGoal, kind+" handshake, client", benchkit.Ratio(client, clientBare), "× primitives"),
		benchkit.UpTo(serverGoal, kind+" handshake, server", benchkit.Ratio(server, serverBare), "× primitives"),
	}
	if kind == "full" {
		bare := benchkit.Sum(clientBare, serverBare)
		results = append(results,
			benchkit.Plainly("full handshake, both", benchkit.Ratio(benchkit.Sum(client, server), bare), "× primitives"),
			benchkit.Plainly("full handshake, both, crypto/tls over a pipe", benchkit.Ratio(std, bare), "× primitives"))
	}
	return results, nil
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

// benchAllocations counts what a full handshake and a record allocate.
func benchAllocations(r *benchkit.Runner) ([]benchkit.Result, error) {
	w, err := r.PKI.Primitives()
	if err != nil {
		return nil, err
	}
	const times = 40
	clientConfig, serverConfig := r.PKI.Client(), r.PKI.Server()
	var client, server, clientBase, serverBase, std allocated
	for i := range times + 1 {
		if i == 1 { // what is made once is not counted
			client, server, clientBase, serverBase, std = allocated{}, allocated{}, allocated{}, allocated{}, allocated{}
		}
		if _, _, err := benchkit.ConnectMachines(clientConfig, serverConfig, client.count, server.count); err != nil {
			return nil, err
		}
		clientBase.count(func() { w.Exchange(); w.Ciphers(); w.Verify() })
		serverBase.count(func() { w.Exchange(); w.Ciphers(); w.Sign() })
		std.count(func() { r.PKI.ConnectStd() })
	}
	sender, receiver, err := benchkit.ConnectMachines(clientConfig, serverConfig, benchkit.Unmeasured, benchkit.Unmeasured)
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
	return []benchkit.Result{
		benchkit.UpTo(60, "allocations of a full handshake, client", beyond(client.objects, clientBase.objects), "beyond"),
		benchkit.UpTo(40, "allocations of a full handshake, server", beyond(server.objects, serverBase.objects), "beyond"),
		benchkit.Plainly("… of both sides, crypto/tls", beyond(std.objects, clientBase.objects+serverBase.objects), "beyond"),
		benchkit.UpTo(6<<10, "bytes of a full handshake, client", beyond(client.bytes, clientBase.bytes), "B beyond"),
		benchkit.UpTo(6<<10, "bytes of a full handshake, server", beyond(server.bytes, serverBase.bytes), "B beyond"),
		benchkit.Plainly("… of both sides, crypto/tls", beyond(std.bytes, clientBase.bytes+serverBase.bytes), "B beyond"),
		benchkit.UpTo(0, "allocations of a record", float64(record.objects/times), ""),
	}, w.Err
}

// benchIdle weighs servers' connections that wait.
func benchIdle(r *benchkit.Runner) (results []benchkit.Result, err error) {
	n := 400
	if r.Quick {
		n = 50
	}
	clientConfig, serverConfig := r.PKI.Client(), r.PKI.Server()
	for _, size := range []int{100, 16 << 10} {
		machines := make([]*tlscore.Machine, n)
		data, room := make([]byte, size), make([]byte, 0, 32<<10)
		connect := func() (*tlscore.Machine, error) {
			client, server, err := benchkit.ConnectMachines(clientConfig, serverConfig, benchkit.Unmeasured, benchkit.Unmeasured)
			if err != nil {
				return nil, err
			}
			for range 2 { // there and back
				wire, _, _ := client.AppendSealed(room, data)
				benchkit.StepAll(server, wire)
				client, server = server, client
			}
			return server, nil
		}
		if _, err := connect(); err != nil { // what is made once, by the first of them
			return nil, err
		}
		before := benchkit.Heap()
		for i := range machines {
			if machines[i], err = connect(); err != nil {
				return nil, err
			}
		}
		awake := (benchkit.Heap() - before) / float64(n)
		results = append(results, benchkit.UpTo(2000, fmt.Sprintf("idle connection after %d B", size), awake, "B"))
		if size == 100 {
			for _, m := range machines {
				if err := m.Hibernate(); err != nil {
					return nil, err
				}
			}
			results = append(results, benchkit.UpTo(400, "idle connection, hibernated", (benchkit.Heap()-before)/float64(n), "B"))
			began := time.Now()
			for range 20 {
				for _, m := range machines {
					m.SealedLen(1) // which wakes it
					m.Hibernate()
				}
			}
			results = append(results, benchkit.Plainly("sleeping and waking", time.Since(began).Seconds()*1e6/float64(20*n), "µs"))
		}
		runtime.KeepAlive(machines)
		runtime.KeepAlive(room)
		std := make([]benchkit.Conn, n)
		got := make([]byte, size)
		before = benchkit.Heap()
		for i := range std {
			client, server, err := r.PKI.ConnectStd()
			if err == nil {
				err = errors.Join(benchkit.Carry(client, server, data, got), benchkit.Carry(server, client, data, got))
			}
			if err != nil {
				return nil, err
			}
			std[i] = server
		}
		results = append(results, benchkit.Plainly(fmt.Sprintf("idle connection after %d B, crypto/tls, its pipe too", size), (benchkit.Heap()-before)/float64(n), "B"))
		runtime.KeepAlive(std)
	}
	return results, nil
}

// benchGrowth shows that what a connection and a byte cost stays the same when there are more, and
// that handshakes use all processors.
func benchGrowth(r *benchkit.Runner) (results []benchkit.Result, err error) {
	counts := []int{1, 100, 10_000, 100_000}
	if r.Quick {
		counts = counts[:2]
	}
	clientConfig, serverConfig := r.PKI.Client(), r.PKI.Server()
	_, server, err := benchkit.ConnectMachines(clientConfig, serverConfig, benchkit.Unmeasured, benchkit.Unmeasured)
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
		before := benchkit.Heap()
		began := time.Now()
		for i := range machines {
			if machines[i], _, err = tlscore.Restore(serverConfig, &key, snapshot); err != nil {
				return nil, err
			}
		}
		took := time.Since(began)
		results = append(results,
			benchkit.Plainly(fmt.Sprintf("heap of a connection, of %d", n), (benchkit.Heap()-before)/float64(n), "B"),
			benchkit.Plainly(fmt.Sprintf("making a connection from a snapshot, of %d", n), took.Seconds()*1e6/float64(n), "µs"))
		runtime.KeepAlive(machines)
	}
	client, server, err := benchkit.ConnectMachines(clientConfig, serverConfig, benchkit.Unmeasured, benchkit.Unmeasured)
	if err != nil {
		return nil, err
	}
	data, wire := make([]byte, 16<<10), make([]byte, 0, 32<<10)
	for _, size := range []int{1, 1 << 10, 1 << 20, 1 << 30} {
		if r.Quick && size > 1<<20 {
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
		results = append(results, benchkit.Plainly(fmt.Sprintf("a stream of %d B", size), time.Since(began).Seconds()*1e9/float64(repeat)/float64(size), "ns/B"))
	}
	for _, workers := range []int{1, runtime.GOMAXPROCS(0)} {
		var group sync.WaitGroup
		times := 400 / workers
		if r.Quick {
			times /= 10
		}
		began := time.Now()
		for range workers {
			group.Go(func() {
				for range times {
					benchkit.ConnectMachines(clientConfig, serverConfig, benchkit.Unmeasured, benchkit.Unmeasured)
				}
			})
		}
		group.Wait()
		rate := float64(times*workers) / time.Since(began).Seconds()
		results = append(results, benchkit.Plainly(fmt.Sprintf("full handshakes, both sides, %d goroutines", workers), rate, "/s"))
	}
	return results, nil
}
