//go:build unix

package main

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"tlscore.example/tlscore/drive/netconn"
)

// What bench measures over loopback: servers in this process, whose processor time counts,
// and clients in another one, whose does not.

// benchChild is the variable of the environment that makes a bench the clients.
const benchChild = "TLSCORE_BENCH_CLIENTS"

// contestant is a way to serve.
type contestant struct {
	name string
	wrap func(net.Conn) net.Conn
	tls  bool
}

func (b *bencher) contestants() []contestant {
	cfg, std := b.pki.server(), b.pki.stdServer()
	std.CipherSuites = nil
	return []contestant{
		{"plain TCP", func(c net.Conn) net.Conn { return c }, false},
		{"drive/netconn", func(c net.Conn) net.Conn { return netconn.Server(c, cfg) }, true},
		{"crypto/tls", func(c net.Conn) net.Conn { return tls.Server(c, std) }, true},
	}
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

// countingConn counts calls of Write.
type countingConn struct {
	*net.TCPConn
	writes atomic.Int64
}

func (c *countingConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.TCPConn.Write(p)
}

// ReadFrom would go around Write.
func (c *countingConn) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{c}, r)
}

// clients starts the clients' process, and returns what it prints.
func clients(mode string, args ...string) (*exec.Cmd, io.Reader, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	cmd := exec.Command(self, "bench")
	cmd.Env = append(os.Environ(), benchChild+"="+strings.Join(append([]string{mode}, args...), " "))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	return cmd, out, cmd.Start()
}

// bulk sends much to one client.
func (b *bencher) bulk() (results []benchResult, err error) {
	total := 1 << 30
	if b.quick {
		total = 16 << 20
	}
	rounds := max(1, min(b.rounds, 5))
	user, all := map[string][]float64{}, map[string][]float64{}
	calls := map[string]float64{}
	const chunk = 64 << 10
	for range rounds {
		for _, c := range b.contestants() {
			for _, size := range []int{chunk, 2 * chunk} {
				u, a, writes, err := b.send(c, total, size)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", c.name, err)
				}
				calls[fmt.Sprint(c.name, size)] = writes * float64(1<<30) / float64(total)
				if size == chunk {
					user[c.name], all[c.name] = append(user[c.name], u), append(all[c.name], a)
				}
			}
		}
	}
	perGiB := func(v []float64) float64 { return median(v) * float64(1<<30) / float64(total) }
	return []benchResult{
		upTo(0.75, "sending, user time, drive/netconn", ratio(user["drive/netconn"], user["crypto/tls"]), "× crypto/tls"),
		upTo(1, "sending, user and system time, drive/netconn", ratio(all["drive/netconn"], all["crypto/tls"]), "× crypto/tls"),
		plainly("sending, user and system time, plain TCP", ratio(all["plain TCP"], all["crypto/tls"]), "× crypto/tls"),
		plainly("sending, user and system time, crypto/tls", perGiB(all["crypto/tls"]), "s/GiB"),
		upTo(16_500, "calls of write, 64 KiB each, drive/netconn", calls[fmt.Sprint("drive/netconn", chunk)], "per GiB"),
		upTo(8_300, "calls of write, 128 KiB each, drive/netconn", calls[fmt.Sprint("drive/netconn", 2*chunk)], "per GiB"),
		plainly("calls of write, 64 KiB each, crypto/tls", calls[fmt.Sprint("crypto/tls", chunk)], "per GiB"),
	}, nil
}

// send sends so much to a client, in writes of a size.
func (b *bencher) send(c contestant, total, size int) (user, all, writes float64, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, 0, 0, err
	}
	defer l.Close()
	cmd, _, err := clients("receive", l.Addr().String(), strconv.FormatBool(c.tls))
	if err != nil {
		return 0, 0, 0, err
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	raw, err := l.Accept()
	if err != nil {
		return 0, 0, 0, err
	}
	counting := &countingConn{TCPConn: raw.(*net.TCPConn)}
	conn := c.wrap(counting)
	defer conn.Close()
	data := make([]byte, size)
	if _, err := conn.Write(data[:1]); err != nil { // the handshake is not counted
		return 0, 0, 0, err
	}
	before := counting.writes.Load()
	user0, all0 := processorTime()
	for left := total; left > 0; left -= size {
		if _, err := conn.Write(data); err != nil {
			return 0, 0, 0, err
		}
	}
	user1, all1 := processorTime()
	return user1 - user0, all1 - all0, float64(counting.writes.Load() - before), nil
}

// echo answers 100 bytes on many connections.
func (b *bencher) echo() ([]benchResult, error) {
	connections, seconds, rounds := 1000, 2.0, 3
	if b.quick {
		connections, seconds, rounds = 50, 0.2, 1
	}
	cost := map[string][]float64{}
	for range rounds {
		for _, c := range b.contestants() {
			micros, err := b.answer(c, connections, seconds)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			cost[c.name] = append(cost[c.name], micros)
		}
	}
	beyond := func(name string) float64 {
		difference := make([]float64, len(cost[name]))
		for i := range difference {
			difference[i] = cost[name][i] - cost["plain TCP"][i]
		}
		return median(difference)
	}
	return []benchResult{
		plainly("echo of 100 B, plain TCP", median(cost["plain TCP"]), "µs"),
		upTo(0.6, "echo of 100 B, drive/netconn beyond plain TCP", beyond("drive/netconn"), "µs beyond"),
		plainly("echo of 100 B, crypto/tls beyond plain TCP", beyond("crypto/tls"), "µs beyond"),
	}, nil
}

// answer returns the microseconds of processor time that a request takes.
func (b *bencher) answer(c contestant, connections int, seconds float64) (micros float64, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	var group sync.WaitGroup
	group.Go(func() {
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			group.Go(func() {
				conn := c.wrap(raw)
				defer conn.Close()
				for buf := make([]byte, 100); ; {
					n, err := conn.Read(buf)
					if err != nil {
						return
					}
					if _, err := conn.Write(buf[:n]); err != nil {
						return
					}
				}
			})
		}
	})
	cmd, out, err := clients("ask", l.Addr().String(), strconv.FormatBool(c.tls), strconv.Itoa(connections), fmt.Sprint(seconds))
	if err != nil {
		return 0, err
	}
	defer cmd.Process.Kill()
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "begin" {
		return 0, errors.Join(errors.New("the clients do not begin"), cmd.Wait())
	}
	_, before := processorTime()
	if !lines.Scan() {
		return 0, errors.Join(errors.New("the clients do not end"), cmd.Wait())
	}
	_, after := processorTime()
	requests, err := strconv.Atoi(lines.Text())
	if err != nil || requests == 0 {
		return 0, fmt.Errorf("%d requests: %w", requests, err)
	}
	cmd.Process.Kill()
	cmd.Wait()
	l.Close()
	group.Wait()
	return (after - before) * 1e6 / float64(requests), nil
}

// runBenchChild is the clients.
func runBenchChild(what string) error {
	arg := strings.Fields(what)
	dial := func() (net.Conn, error) {
		conn, err := net.DialTimeout("tcp", arg[1], 10*time.Second)
		if err == nil && arg[2] == "true" {
			// Who serves is known, and what is measured is not here.
			conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true, CurvePreferences: []tls.CurveID{tls.X25519}})
		}
		return conn, err
	}
	if arg[0] == "receive" {
		conn, err := dial()
		if err != nil {
			return err
		}
		_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{conn}, make([]byte, 256<<10))
		return err
	}
	connections, err := strconv.Atoi(arg[3])
	if err != nil {
		return err
	}
	seconds, err := strconv.ParseFloat(arg[4], 64)
	if err != nil {
		return err
	}
	return ask(dial, connections, time.Duration(seconds*float64(time.Second)))
}

// ask asks on many connections, each of which waits for its answer.
func ask(dial func() (net.Conn, error), connections int, d time.Duration) error {
	conns := make([]net.Conn, connections)
	for i := range conns {
		var err error
		if conns[i], err = dial(); err != nil {
			return err
		}
		if err := question(conns[i]); err != nil {
			return err
		}
	}
	fmt.Println("begin")
	var requests atomic.Int64
	var group sync.WaitGroup
	end := time.Now().Add(d)
	for _, conn := range conns {
		group.Go(func() {
			for time.Now().Before(end) && question(conn) == nil {
				requests.Add(1)
			}
		})
	}
	group.Wait()
	fmt.Println(requests.Load())
	time.Sleep(time.Minute) // until the end of it is counted, and this process killed
	return nil
}

func question(conn net.Conn) error {
	var buf [100]byte
	if _, err := conn.Write(buf[:]); err != nil {
		return err
	}
	_, err := io.ReadFull(conn, buf[:])
	return err
}
