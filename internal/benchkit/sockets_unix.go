//go:build unix

package benchkit

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// What is measured over loopback: servers in this process, whose processor time and memory
// count, and clients in another one, whose do not.

// Service is what a server does with what it receives: the zero value sends it back.
type Service struct {
	Piece []byte // what is sent, so often, for each byte
	Times int
}

// Answer answers in by calls of write.
func (s Service) Answer(in []byte, write func([]byte) error) error {
	if s.Piece == nil {
		return write(in)
	}
	for range s.Times * len(in) {
		if err := write(s.Piece); err != nil {
			return err
		}
	}
	return nil
}

// Contestant is a way to serve.
type Contestant struct {
	Name string
	TLS  bool
	// Serve starts a server on a port of its own of 127.0.0.1. stop ends it, and all its
	// connections.
	Serve func(Service) (addr string, stop func(), err error)
	// Writes are the calls of write; nil where they cannot be counted.
	Writes *atomic.Int64
}

// Goroutines serves with a goroutine for each connection, which wrap has put on its transport.
func Goroutines(wrap func(net.Conn) net.Conn) func(Service) (addr string, stop func(), err error) {
	return func(service Service) (string, func(), error) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", nil, err
		}
		var group sync.WaitGroup
		group.Go(func() {
			for {
				raw, err := l.Accept()
				if err != nil {
					return
				}
				group.Go(func() { serve(wrap(raw), service) })
			}
		})
		return l.Addr().String(), func() { l.Close(); group.Wait() }, nil
	}
}

func serve(conn net.Conn, service Service) {
	defer conn.Close()
	write := func(p []byte) error {
		_, err := conn.Write(p)
		return err
	}
	for buf := make([]byte, 128); ; {
		n, err := conn.Read(buf)
		if err != nil || service.Answer(buf[:n], write) != nil {
			return
		}
	}
}

// OverTCP serves with a goroutine for each connection, and counts the calls of write. wrap is nil
// for plain TCP.
func OverTCP(name string, wrap func(net.Conn) net.Conn) Contestant {
	writes := new(atomic.Int64)
	return Contestant{name, wrap != nil, Goroutines(func(c net.Conn) net.Conn {
		c = &countingConn{c.(*net.TCPConn), writes}
		if wrap != nil {
			c = wrap(c)
		}
		return c
	}), writes}
}

// CryptoTLS serves with crypto/tls.
func (p *PKI) CryptoTLS() Contestant {
	cfg := p.StdServer()
	return OverTCP("crypto/tls", func(c net.Conn) net.Conn { return tls.Server(c, cfg) })
}

type countingConn struct {
	*net.TCPConn
	calls *atomic.Int64
}

func (c *countingConn) Write(p []byte) (int, error) {
	c.calls.Add(1)
	return c.TCPConn.Write(p)
}

// ReadFrom would go around Write.
func (c *countingConn) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{c}, r)
}

// processorTime is what this process has used: in its own code, and in all.
func processorTime() (user, all float64) {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0, 0
	}
	user = float64(usage.Utime.Sec) + float64(usage.Utime.Usec)/1e6
	return user, user + float64(usage.Stime.Sec) + float64(usage.Stime.Usec)/1e6
}

// clients are the other process.
type clients struct {
	cmd   *exec.Cmd
	lines *bufio.Scanner
}

// clientsVariable is the variable of the environment that makes a process the clients.
const clientsVariable = "TLSCORE_BENCH_CLIENTS"

// with starts the server of c, and clients that do something with it: "begin" is the first thing
// that they say.
func with(c Contestant, service Service, do func(*clients) error, what string, args ...string) error {
	addr, stop, err := c.Serve(service)
	if err != nil {
		return fmt.Errorf("%s: %w", c.Name, err)
	}
	defer stop()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Env = append(os.Environ(), clientsVariable+"="+strings.Join(append([]string{what, addr, strconv.FormatBool(c.TLS)}, args...), " "))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	k := &clients{cmd, bufio.NewScanner(out)}
	if line, err := k.line(); err != nil || line != "begin" {
		return fmt.Errorf("%s: the clients do not begin: %q, %w", c.Name, line, err)
	}
	if err := do(k); err != nil {
		return fmt.Errorf("%s: %w", c.Name, err)
	}
	return nil
}

func (k *clients) line() (string, error) {
	if !k.lines.Scan() {
		return "", errors.Join(errors.New("the clients have ended"), k.lines.Err())
	}
	return k.lines.Text(), nil
}

// Sent is what it took to send a GiB, round by round: seconds of processor time, and in the
// end the calls of write.
type Sent struct {
	User, All []float64
	Writes    float64
}

// Send has each of the contestants send much to one client, in writes of a size.
func (r *Runner) Send(list []Contestant, size int) (map[string]*Sent, error) {
	mib := 1024
	if r.Quick {
		mib = 64
	}
	perGiB := 1024 / float64(mib)
	costs := make(map[string]*Sent)
	for range max(1, min(r.Rounds, 5)) {
		for _, c := range list {
			user, all, writes, err := send(c, mib, size)
			if err != nil {
				return nil, err
			}
			if costs[c.Name] == nil {
				costs[c.Name] = new(Sent)
			}
			s := costs[c.Name]
			s.User, s.All, s.Writes = append(s.User, user*perGiB), append(s.All, all*perGiB), writes*perGiB
		}
	}
	return costs, nil
}

func send(c Contestant, mib, size int) (user, all, writes float64, err error) {
	service := Service{make([]byte, size), (1 << 20) / size}
	count := func() float64 {
		if c.Writes == nil {
			return 0
		}
		return float64(c.Writes.Load())
	}
	before := count() // with those of the handshake: a few
	err = with(c, service, func(k *clients) error {
		user0, all0 := processorTime()
		_, err := k.line()
		user1, all1 := processorTime()
		user, all, writes = user1-user0, all1-all0, count()-before
		return err
	}, "receive", strconv.Itoa(mib))
	return user, all, writes * float64(mib) / float64(mib+1), err
}

// Echo has each of the contestants answer 100 bytes on many connections, and returns the
// microseconds of processor time of a request, round by round.
func (r *Runner) Echo(list []Contestant) (map[string][]float64, error) {
	connections, d := 1000, 2*time.Second
	if r.Quick {
		connections, d = 50, 200*time.Millisecond
	}
	costs := make(map[string][]float64)
	for range max(1, min(r.Rounds, 5)) {
		for _, c := range list {
			micros, err := echo(c, connections, d)
			if err != nil {
				return nil, err
			}
			costs[c.Name] = append(costs[c.Name], micros)
		}
	}
	return costs, nil
}

func echo(c Contestant, connections int, d time.Duration) (micros float64, err error) {
	err = with(c, Service{}, func(k *clients) error {
		_, before := processorTime()
		line, err := k.line()
		_, after := processorTime()
		if err != nil {
			return err
		}
		requests, err := strconv.Atoi(line)
		if err != nil || requests == 0 {
			return fmt.Errorf("%q requests: %w", line, err)
		}
		micros = (after - before) * 1e6 / float64(requests)
		return nil
	}, "ask", strconv.Itoa(connections), d.String())
	return micros, err
}

// Idle returns the bytes of heap and of stacks for each of many connections of a contestant that
// wait, after an exchange of so many bytes.
func (r *Runner) Idle(c Contestant, exchange int) (bytes float64, err error) {
	connections := 1000
	if r.Quick {
		connections = 50
	}
	inUse := func() float64 {
		heap := Heap()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return heap + float64(stats.StackInuse)
	}
	// What is made once, by the first connection, does not count.
	if err := with(c, Service{}, func(*clients) error { return nil }, "hold", "1", strconv.Itoa(exchange)); err != nil {
		return 0, err
	}
	before := inUse()
	err = with(c, Service{}, func(*clients) error {
		time.Sleep(100 * time.Millisecond) // the last answer has arrived before its server is done
		bytes = (inUse() - before) / float64(connections)
		return nil
	}, "hold", strconv.Itoa(connections), strconv.Itoa(exchange))
	return bytes, err
}

// RunClients is the whole of a process that is the clients, and reports whether this is one.
// They are the program that measures, called once more with the same arguments: it has to ask
// before it does anything else.
func RunClients() (bool, error) {
	what, ok := os.LookupEnv(clientsVariable)
	if !ok {
		return false, nil
	}
	arg := strings.Fields(what)
	number := func(i int) int {
		n, _ := strconv.Atoi(arg[i]) // with has written it
		return n
	}
	dial := func() (net.Conn, error) {
		conn, err := net.DialTimeout("tcp", arg[1], 10*time.Second)
		if err == nil && arg[2] == "true" {
			// Who serves is known, and what is measured is not here.
			conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true, CurvePreferences: []tls.CurveID{tls.X25519}})
		}
		return conn, err
	}
	var err error
	switch arg[0] {
	case "receive":
		err = receive(dial, number(3))
	case "ask":
		var d time.Duration
		if d, err = time.ParseDuration(arg[4]); err == nil {
			err = ask(dial, number(3), d)
		}
	case "hold":
		if _, err = dialAll(dial, number(3), number(4)); err == nil {
			fmt.Println("begin")
			time.Sleep(time.Minute) // until this process is killed
		}
	}
	return true, err
}

// receive asks for so many MiB, each with a byte, and for one before that, which is not counted. It
// asks for the next one while one comes.
func receive(dial func() (net.Conn, error), mib int) error {
	conn, err := dial()
	if err != nil {
		return err
	}
	room := make([]byte, 1<<20)
	ask := func() error {
		_, err := conn.Write(room[:1])
		return err
	}
	take := func() error {
		_, err := io.ReadFull(conn, room)
		return err
	}
	if err := errors.Join(ask(), take(), ask()); err != nil {
		return err
	}
	fmt.Println("begin")
	for range mib - 1 {
		if err := errors.Join(ask(), take()); err != nil {
			return err
		}
	}
	if err := take(); err != nil {
		return err
	}
	fmt.Println("end")
	time.Sleep(time.Minute)
	return nil
}

// dialAll makes connections, and exchanges so many bytes on each.
func dialAll(dial func() (net.Conn, error), n, exchange int) ([]net.Conn, error) {
	conns := make([]net.Conn, n)
	room := make([]byte, exchange)
	for i := range conns {
		var err error
		if conns[i], err = dial(); err != nil {
			return nil, err
		}
		if err := question(conns[i], room); err != nil {
			return nil, err
		}
	}
	return conns, nil
}

func question(conn net.Conn, room []byte) error {
	if _, err := conn.Write(room); err != nil {
		return err
	}
	_, err := io.ReadFull(conn, room)
	return err
}

// ask asks on many connections, each of which waits for its answer.
func ask(dial func() (net.Conn, error), connections int, d time.Duration) error {
	conns, err := dialAll(dial, connections, 100)
	if err != nil {
		return err
	}
	fmt.Println("begin")
	var requests atomic.Int64
	var group sync.WaitGroup
	end := time.Now().Add(d)
	for _, conn := range conns {
		group.Go(func() {
			for room := make([]byte, 100); time.Now().Before(end) && question(conn, room) == nil; {
				requests.Add(1)
			}
		})
	}
	group.Wait()
	fmt.Println(requests.Load())
	time.Sleep(time.Minute) // until the end of it is counted, and this process killed
	return nil
}
