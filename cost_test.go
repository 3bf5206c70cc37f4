package tlscore

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/tls"
	"io"
	"net"
	"runtime"
	"testing"
	"unsafe"
	"weak"

	"tlscore.example/tlscore/internal/tlstest"
	"tlscore.example/tlscore/internal/wire"
)

// The machine is a shell: what it needs at times hangs off pointers. These sizes are those of
// the allocator, so a byte more costs more than a byte. On 32-bit platforms all are less.
func TestIdleSize(t *testing.T) {
	for _, x := range []struct {
		what      string
		size, max uintptr
	}{
		{"a Machine", unsafe.Sizeof(Machine{}), 96},
		{"what lives with it", unsafe.Sizeof(live{}), 256},
		{"the secrets for SHA-256", unsafe.Sizeof(vault256{}), 96},
		{"the secrets for SHA-384", unsafe.Sizeof(vault384{}), 144},
	} {
		if x.size > x.max {
			t.Errorf("%s takes %d bytes, more than %d", x.what, x.size, x.max)
		}
	}
}

// idle is how many bytes of heap a server's connection needs at most that waits: TLS 1.3,
// AES-128-GCM, no certificate of the client, no authentication after the handshake, no tickets.
// Its two ciphers, which are the standard library's, take 1,536 of them.
const idle = 2000

// An idle connection holds little, whatever it has sent and received before.
func TestIdleHeap(t *testing.T) {
	client, server := costClientConfig(), costServerConfig()
	client.CipherSuites = []uint16{tls.TLS_AES_128_GCM_SHA256}
	server.TicketCount = -1
	for _, size := range []int{100, 16 << 10} {
		data, wire := make([]byte, size), make([]byte, 0, 1<<16)
		connect := func() *Machine {
			c, s := connectPair(t, client, server)
			c.Write(data)
			wire = carry(c, s, wire)
			s.Write(data)
			wire = carry(s, c, wire)
			return s
		}
		connect() // what is made once for all of them
		machines := make([]*Machine, 1000)
		before := heapInUse()
		for i := range machines {
			machines[i] = connect()
		}
		per := int(heapInUse()-before) / len(machines)
		runtime.KeepAlive(machines)
		runtime.KeepAlive(&wire)
		runtime.KeepAlive(data)
		t.Logf("after %d bytes: %d bytes each", size, per)
		if per > idle {
			t.Errorf("after %d bytes: %d bytes of heap for an idle connection, more than %d", size, per, idle)
		}
	}
}

func costClientConfig() *Config {
	return &Config{
		RootCAs:          tlstest.Roots(),
		ServerName:       "localhost",
		Time:             tlstest.Clock,
		CurvePreferences: []tls.CurveID{tls.X25519},
	}
}

func costServerConfig() *Config {
	return &Config{
		Certificates: []tls.Certificate{tlstest.Certificate(tlstest.Leaf{})},
		Time:         tlstest.Clock,
	}
}

// carry moves from's output to to and steps it until it stops.
func carry(from, to *Machine, wire []byte) []byte {
	wire = from.AppendOutput(wire[:0])
	for in := wire; ; {
		ev, n := to.Step(in)
		in = in[n:]
		if ev.Stop() {
			return wire
		}
	}
}

// Records cost no allocation, whichever way they leave the machine.
func TestRecordAllocations(t *testing.T) {
	client, server := connectPair(t, costClientConfig(), costServerConfig())
	data := make([]byte, 16384)
	wire := make([]byte, 0, 1<<16)
	for _, way := range []struct {
		name string
		send func()
	}{
		{"Write", func() { client.Write(data); wire = client.AppendOutput(wire[:0]) }},
		{"AppendSealed", func() { wire, _, _ = client.AppendSealed(wire[:0], data) }},
	} {
		allocs := testing.AllocsPerRun(100, func() {
			way.send()
			ev, n := server.Step(wire)
			if ev.Kind != EventData || len(ev.Data) != len(data) || n != len(wire) {
				t.Fatalf("%v %d", ev, n)
			}
		})
		if allocs >= 1 { // the pool may lose a buffer to the garbage collector
			t.Errorf("%s: %v allocations per record", way.name, allocs)
		}
	}
}

// An idle connection holds no buffer, and nothing of its handshake.
func TestIdleHoldsNothing(t *testing.T) {
	client, server := connectPair(t, costClientConfig(), costServerConfig())
	wire := make([]byte, 0, 1<<16)
	client.Write(make([]byte, 1000))
	carry(client, server, wire)
	for _, m := range []*Machine{client, server} {
		if m.in.partial != nil || m.out.out != nil {
			t.Error("an idle machine holds a buffer")
		}
		if m.client != nil || m.server != nil || m.hello != nil {
			t.Error("an established machine holds its handshake")
		}
	}
}

// The benchmarks compare with crypto/tls and with the bare primitives in the
// same run; only ratios mean anything.

var recordSizes = []struct {
	name string
	n    int
}{{"100B", 100}, {"1KiB", 1 << 10}, {"16KiB", 1 << 14}}

func BenchmarkRecord(b *testing.B) {
	for _, size := range recordSizes {
		b.Run("tlscore/"+size.name, func(b *testing.B) { benchmarkRecord(b, size.n) })
		b.Run("inplace/"+size.name, func(b *testing.B) { benchmarkInPlace(b, size.n) })
		b.Run("cryptotls/"+size.name, func(b *testing.B) { benchmarkStandardRecord(b, size.n) })
		b.Run("bare/"+size.name, func(b *testing.B) { benchmarkBareRecord(b, size.n) })
	}
}

func benchmarkRecord(b *testing.B, size int) {
	client, server := connectPair(b, costClientConfig(), costServerConfig())
	data := make([]byte, size)
	wire := make([]byte, 0, 1<<16)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		wire, _, _ = client.AppendSealed(wire[:0], data)
		if ev, _ := server.Step(wire); ev.Kind != EventData {
			b.Fatal(ev, server.Err())
		}
	}
}

func benchmarkInPlace(b *testing.B, size int) {
	client, server := connectPair(b, costClientConfig(), costServerConfig())
	buf := make([]byte, RecordHeadroom+size, RecordHeadroom+size+RecordTailroom)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		rec, err := client.SealInPlace(buf, size)
		if err != nil {
			b.Fatal(err)
		}
		if ev, _ := server.Step(rec); ev.Kind != EventData {
			b.Fatal(ev, server.Err())
		}
	}
}

func benchmarkBareRecord(b *testing.B, size int) {
	block, err := aes.NewCipher(make([]byte, 16))
	if err != nil {
		b.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, size+1, size+1+aead.Overhead())
	nonce, header := make([]byte, 12), make([]byte, 5)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		sealed := aead.Seal(buf[:0], nonce, buf, header)
		if _, err := aead.Open(sealed[:0], nonce, sealed, header); err != nil {
			b.Fatal(err)
		}
	}
}

// memoryConn is a net.Conn between two ends in one goroutine.
type memoryConn struct {
	net.Conn
	in, out *bytes.Buffer
}

func (c memoryConn) Read(p []byte) (int, error)  { return c.in.Read(p) }
func (c memoryConn) Write(p []byte) (int, error) { return c.out.Write(p) }
func (c memoryConn) Close() error                { return nil }

func standardConfigs() (client, server *tls.Config) {
	client = &tls.Config{
		RootCAs:          tlstest.Roots(),
		ServerName:       "localhost",
		Time:             tlstest.Clock,
		CurvePreferences: []tls.CurveID{tls.X25519},
		MinVersion:       tls.VersionTLS13,
	}
	server = &tls.Config{
		Certificates:           []tls.Certificate{tlstest.Certificate(tlstest.Leaf{})},
		Time:                   tlstest.Clock,
		MinVersion:             tls.VersionTLS13,
		SessionTicketsDisabled: true,
	}
	return client, server
}

// standardPair completes a handshake of crypto/tls over a pipe.
func standardPair(b *testing.B) (client, server *tls.Conn) {
	clientConfig, serverConfig := standardConfigs()
	near, far := net.Pipe()
	clientEnd, serverEnd := &switchConn{Conn: near}, &switchConn{Conn: far}
	client, server = tls.Client(clientEnd, clientConfig), tls.Server(serverEnd, serverConfig)
	done := make(chan error, 1)
	go func() { done <- server.Handshake() }()
	if err := client.Handshake(); err != nil {
		b.Fatal(err)
	}
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	buffer := new(bytes.Buffer)
	clientEnd.memory = memoryConn{out: buffer}
	serverEnd.memory = memoryConn{in: buffer}
	return client, server
}

// switchConn is a pipe for the handshake and memory afterwards.
type switchConn struct {
	net.Conn
	memory net.Conn
}

func (c *switchConn) Read(p []byte) (int, error) {
	if c.memory != nil {
		return c.memory.Read(p)
	}
	return c.Conn.Read(p)
}

func (c *switchConn) Write(p []byte) (int, error) {
	if c.memory != nil {
		return c.memory.Write(p)
	}
	return c.Conn.Write(p)
}

func benchmarkStandardRecord(b *testing.B, size int) {
	client, server := standardPair(b)
	data, got := make([]byte, size), make([]byte, size)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := client.Write(data); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(server, got); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkHandshake(b *testing.B) {
	b.Run("tlscore", func(b *testing.B) {
		clientConfig, serverConfig := costClientConfig(), costServerConfig()
		wire := make([]byte, 0, 1<<16) // for all that one carry moves
		b.ReportAllocs()
		for b.Loop() {
			client, server := newPair(b, clientConfig, serverConfig)
			client.Step(nil)
			for client.State() != StateConnected || server.State() != StateConnected {
				carry(client, server, wire)
				carry(server, client, wire)
				if client.Err() != nil || server.Err() != nil {
					b.Fatal(client.Err(), server.Err())
				}
			}
		}
	})
	b.Run("cryptotls", func(b *testing.B) {
		clientConfig, serverConfig := standardConfigs()
		b.ReportAllocs()
		for b.Loop() {
			near, far := net.Pipe()
			client, server := tls.Client(near, clientConfig), tls.Server(far, serverConfig)
			done := make(chan error, 1)
			go func() { done <- server.Handshake() }()
			if err := client.Handshake(); err != nil {
				b.Fatal(err)
			}
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		}
	})
}

// A ClientHello is gone when the server has answered it, however long the client then takes:
// nothing that is kept of it holds on to its memory.
func TestClientHelloIsLetGo(t *testing.T) {
	everything := func(hello *wire.ClientHello) {
		hello.PSKModes, hello.SessionID = []byte{pskDHE}, bytes.Repeat([]byte{9}, 32)
		hello.TicketRequest = wire.TicketRequest{NewSessionCount: 1}
		hello.ALPN = [][]byte{[]byte("h2")}
		hello.Extensions = append(hello.Extensions, tlstest.Extensions(wire.ExtPSKKeyExchangeModes, wire.ExtTicketRequest, wire.ExtALPN)...)
	}
	for name, server := range map[string]func(*testing.T) *rig{
		"TLS 1.3": func(t *testing.T) *rig {
			r := newServerRig(t, func(c *Config) { c.NextProtos = []string{"h2"} })
			r.p.OnClientHello = everything
			return r
		},
		"TLS 1.3, resumed":         func(t *testing.T) *rig { return newResumedServer(t) },
		"TLS 1.3, with early data": func(t *testing.T) *rig { return newEarlyServer(t) },
		"TLS 1.3, as an acceptor":  func(t *testing.T) *rig { return newAcceptorRig(t) },
		"TLS 1.2":                  func(t *testing.T) *rig { return newServerRig12(t) },
		"TLS 1.2, resumed":         func(t *testing.T) *rig { return newResumedServer12(t) },
	} {
		t.Run(name, func(t *testing.T) {
			r := server(t)
			r.p.Send(r.p.ClientHello())
			hello, in := weak.Make(r.m.hello), r.p.Take()
			records := func() weak.Pointer[byte] {
				held := r.m.hello
				ev, n := r.m.Step(in)
				if n != len(in) {
					t.Fatal(ev, n)
				}
				return weak.Make(&held.records[0])
			}()
			if r.m.State() == StateWaitAccept {
				if err := r.m.Accept(testServerConfig()); err != nil {
					t.Fatal(err)
				}
			}
			if r.m.hello != nil {
				t.Fatal("not answered: ", r.m.State())
			}
			runtime.GC()
			runtime.GC()
			if hello.Value() != nil || records.Value() != nil {
				t.Errorf("in state %v there is still the hello: %v, its records: %v", r.m.State(), hello.Value() != nil, records.Value() != nil)
			}
			runtime.KeepAlive(r)
		})
	}
}
