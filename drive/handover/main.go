//go:build unix

// Command handover hands a live TLS connection from one process to the next, again and
// again, while a client talks over it and notices nothing:
//
//	go run ./drive/handover
//
// This is how a server is replaced by a new version of itself without its connections being
// dropped. Each server process has the connection for a while; then it makes a snapshot of
// the machine and sends that, with the file descriptor, over a Unix socket. The process in
// the middle passes both on to the next one. The client is of crypto/tls and checks that
// everything it sends comes back, in order.
package main

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"

	"tlscore.example/tlscore"
	"tlscore.example/tlscore/drive/internal/hello"
)

// keyVariable is the variable of the environment that a server process has the key of the
// snapshots from. A real server would have it from where it has its certificate's key.
const keyVariable = "HANDOVER_KEY"

func main() {
	generations := flag.Int("generations", 8, "how many server `processes` have the connection, one after the other")
	each := flag.Duration("each", 200*time.Millisecond, "for `how long` each of them has it")
	flag.Parse()
	if key := os.Getenv(keyVariable); key != "" {
		if err := serve([]byte(key)); err != nil {
			log.Fatal("server: ", err)
		}
		return
	}
	if err := run(*generations, *each); err != nil {
		log.Fatal(err)
	}
}

// run has a client talk to one server process after the other.
func run(generations int, each time.Duration) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	client := &client{addr: l.Addr().String(), stop: make(chan struct{})}
	done := make(chan error, 1)
	go func() { done <- client.run() }()
	conn, err := l.Accept()
	if err != nil {
		return err
	}
	file, err := conn.(*net.TCPConn).File() // which blocks, as the processes want it
	conn.Close()
	if err != nil {
		return err
	}
	key := rand.Text()
	connection := connection{file: file}
	for i := range generations {
		if connection, err = generation(connection, key, each); err != nil {
			return fmt.Errorf("generation %d: %w", i, err)
		}
		fmt.Printf("server process %d handed over %d bytes of snapshot\n", i+1, len(connection.snapshot))
		select {
		case err := <-done:
			return fmt.Errorf("the client ended: %w", err)
		default:
		}
	}
	close(client.stop)
	last, err := start(key)
	if err != nil {
		return err
	}
	if err := connection.send(last.control); err != nil {
		return err
	}
	if err := <-done; err != nil {
		return fmt.Errorf("the client: %w", err)
	}
	last.control.Close()
	fmt.Printf("%d messages, %d bytes: nothing was lost\n", client.messages, client.bytes)
	return last.cmd.Wait()
}

// connection is what is handed over. Without a snapshot it is a new one.
type connection struct {
	file     *os.File
	snapshot []byte
}

// send sends a connection to another process: the descriptor with the length, then the
// snapshot.
func (c connection) send(to *net.UnixConn) error {
	defer c.file.Close()
	head := binary.BigEndian.AppendUint32(nil, uint32(len(c.snapshot)))
	if _, _, err := to.WriteMsgUnix(head, syscall.UnixRights(int(c.file.Fd())), nil); err != nil {
		return err
	}
	_, err := to.Write(c.snapshot)
	return err
}

// receive receives what send has sent.
func receive(from *net.UnixConn) (c connection, err error) {
	head, rights := make([]byte, 4), make([]byte, syscall.CmsgSpace(4))
	n, oob, _, _, err := from.ReadMsgUnix(head, rights)
	if err != nil {
		return c, err
	}
	if n != len(head) {
		return c, io.ErrUnexpectedEOF
	}
	messages, err := syscall.ParseSocketControlMessage(rights[:oob])
	if err != nil || len(messages) != 1 {
		return c, fmt.Errorf("%d messages with descriptors: %v", len(messages), err)
	}
	fds, err := syscall.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return c, fmt.Errorf("%d descriptors: %v", len(fds), err)
	}
	c.file = os.NewFile(uintptr(fds[0]), "connection")
	c.snapshot = make([]byte, binary.BigEndian.Uint32(head))
	_, err = io.ReadFull(from, c.snapshot)
	return c, err
}

// process is a server process, and the socket to talk to it.
type process struct {
	cmd     *exec.Cmd
	control *net.UnixConn
}

// start starts a server process.
func start(key string) (*process, error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	syscall.CloseOnExec(fds[0])
	own, theirs := os.NewFile(uintptr(fds[0]), "control"), os.NewFile(uintptr(fds[1]), "control")
	defer own.Close()
	defer theirs.Close()
	control, err := net.FileConn(own)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), keyVariable+"="+key)
	cmd.ExtraFiles = []*os.File{theirs} // descriptor 3
	cmd.Stderr = os.Stderr
	return &process{cmd, control.(*net.UnixConn)}, cmd.Start()
}

// generation lets a server process have the connection for a while.
func generation(c connection, key string, each time.Duration) (connection, error) {
	p, err := start(key)
	if err != nil {
		return c, err
	}
	defer p.control.Close()
	if err := c.send(p.control); err != nil {
		return c, err
	}
	time.Sleep(each)
	if err := p.control.CloseWrite(); err != nil { // it is to hand over
		return c, err
	}
	if c, err = receive(p.control); err != nil {
		return c, err
	}
	return c, p.cmd.Wait()
}

// serve is a server process: it has the connection until it is told to hand it over, or the
// client has ended it.
func serve(key []byte) error {
	control, err := net.FileConn(os.NewFile(3, "control"))
	if err != nil {
		return err
	}
	defer control.Close()
	c, err := receive(control.(*net.UnixConn))
	if err != nil {
		return err
	}
	s := &server{}
	copy(s.key[:], key)
	if s.conn, err = net.FileConn(c.file); err != nil {
		return err
	}
	defer s.conn.Close()
	if err := s.begin(c.snapshot); err != nil {
		return err
	}
	go func() { // the end of the socket is the sign to hand over
		io.Copy(io.Discard, control)
		s.conn.SetReadDeadline(time.Unix(1, 0))
	}()
	switch err := s.echo(); {
	case err == nil:
		return nil // the client has ended it
	case !errors.Is(err, os.ErrDeadlineExceeded):
		return err
	}
	snapshot, err := s.tls.Snapshot(&s.key, s.in.Bytes())
	if err != nil {
		return err
	}
	return connection{c.file, snapshot}.send(control.(*net.UnixConn))
}

// server has a connection.
type server struct {
	conn net.Conn
	tls  *tlscore.Machine
	in   tlscore.Inbound
	key  [tlscore.SnapshotKeyLen]byte
}

// begin makes the machine: a new one, or one that goes on where another process has stopped.
// Only the first of them needs a certificate.
func (s *server) begin(snapshot []byte) error {
	if len(snapshot) > 0 {
		m, leftover, err := tlscore.Restore(&tlscore.Config{}, &s.key, snapshot)
		if err != nil {
			return err
		}
		s.tls = m
		s.in.Keep(leftover)
		return nil
	}
	cert, err := hello.Certificate()
	if err != nil {
		return err
	}
	s.tls, err = tlscore.NewServer(&tlscore.Config{Certificates: []tls.Certificate{cert}})
	return err
}

// echo sends back what comes, until the end, or until a read is interrupted.
func (s *server) echo() error {
	for chunk := []byte(nil); ; {
		if err := s.step(chunk); err != nil || s.tls.State() == tlscore.StateClosed {
			return err
		}
		buf := make([]byte, 16<<10)
		n, err := s.conn.Read(buf)
		if err != nil && !(errors.Is(err, os.ErrDeadlineExceeded) && s.tls.State() < tlscore.StateConnected) {
			return err
		}
		chunk = buf[:n]
		if err != nil { // a handshake is not handed over: it is over in a moment
			s.conn.SetReadDeadline(time.Time{})
			defer s.conn.SetReadDeadline(time.Unix(1, 0))
		}
	}
}

// step gives the machine what has come, and sends what it says.
func (s *server) step(chunk []byte) error {
	in := s.in.Join(chunk)
	for {
		ev, n := s.tls.Step(in)
		in = in[n:]
		if err := s.handle(ev); err != nil {
			return err
		}
		if ev.Stop() {
			break
		}
	}
	s.in.Keep(in)
	return s.flush()
}

func (s *server) handle(ev tlscore.Event) error {
	switch ev.Kind {
	case tlscore.EventData:
		for p := ev.Data; len(p) > 0; {
			n, err := s.tls.Write(p)
			if err != nil {
				return err
			}
			if p = p[n:]; len(p) > 0 {
				if err := s.flush(); err != nil {
					return err
				}
			}
		}
	case tlscore.EventClosed:
		s.tls.CloseWrite()
	case tlscore.EventFailed:
		s.flush()
		return s.tls.Err()
	}
	return nil
}

func (s *server) flush() error {
	n, err := s.conn.Write(s.tls.Output())
	s.tls.Sent(n)
	return err
}

// client sends messages without waiting for the answers, and checks these.
type client struct {
	addr            string
	stop            chan struct{}
	messages, bytes int
}

func (c *client) run() error {
	conn, err := tls.Dial("tcp", c.addr, &tls.Config{InsecureSkipVerify: true}) // the certificate was made a moment ago
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	sent := make(chan []byte, 100)
	failed := make(chan error, 1)
	go func() {
		defer close(sent)
		for i := 0; ; i++ {
			message := bytes.Repeat(fmt.Appendf(nil, "message %d; ", i), 1+i%300)
			select {
			case <-c.stop:
				failed <- conn.CloseWrite()
				return
			case sent <- message:
			}
			if _, err := conn.Write(message); err != nil {
				failed <- err
				return
			}
		}
	}()
	for message := range sent {
		got := make([]byte, len(message))
		if _, err := io.ReadFull(conn, got); err != nil {
			return err
		}
		if !bytes.Equal(got, message) {
			return errors.New("another message came back than was sent")
		}
		c.messages++
		c.bytes += len(message)
	}
	if err := <-failed; err != nil {
		return err
	}
	if n, err := conn.Read(make([]byte, 1)); err != io.EOF {
		return fmt.Errorf("%d bytes behind the end, %v", n, err)
	}
	return nil
}
