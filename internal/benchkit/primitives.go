package benchkit

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
	"io"
	"math/big"
	"net"
	"runtime"
	"time"
)

// PKI has the certificate of all servers: with an ECDSA key on P-256, signed by such an
// authority.
type PKI struct {
	Leaf  tls.Certificate
	Roots *x509.CertPool
}

func newPKI() (*PKI, error) {
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
	p := &PKI{Leaf: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, Roots: x509.NewCertPool()}
	p.Roots.AddCert(root)
	return p, nil
}

// StdClient returns the config of a client of crypto/tls.
func (p *PKI) StdClient() *tls.Config {
	return &tls.Config{
		ServerName: "localhost", RootCAs: p.Roots, MinVersion: tls.VersionTLS13,
		CurvePreferences: []tls.CurveID{tls.X25519},
	}
}

// StdServer returns the config of a server of crypto/tls.
func (p *PKI) StdServer() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{p.Leaf}, MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true}
}

// Primitives are what the sides of a handshake cannot avoid.
type Primitives struct {
	Err error // the first that one of them had

	key       *ecdsa.PrivateKey
	leaf      []byte
	roots     *x509.CertPool
	peer      *ecdh.PrivateKey
	digest    [32]byte
	signature []byte
}

// Primitives returns those of a handshake with the certificate.
func (p *PKI) Primitives() (*Primitives, error) {
	peer, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	w := &Primitives{key: p.Leaf.PrivateKey.(*ecdsa.PrivateKey), leaf: p.Leaf.Certificate[0], roots: p.Roots, peer: peer, digest: sha256.Sum256(nil)}
	w.Sign()
	return w, w.Err
}

func (w *Primitives) check(err error) {
	if w.Err == nil {
		w.Err = err
	}
}

// Exchange is a key exchange: generation and agreement.
func (w *Primitives) Exchange() {
	own, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err == nil {
		_, err = own.ECDH(w.peer.PublicKey())
	}
	w.check(err)
}

// Sign signs, as a server does.
func (w *Primitives) Sign() {
	signature, err := w.key.Sign(rand.Reader, w.digest[:], crypto.SHA256)
	w.signature = signature
	w.check(err)
}

// Verify parses and verifies the certificate, and verifies the signature, as a client does.
func (w *Primitives) Verify() {
	leaf, err := x509.ParseCertificate(w.leaf)
	if err == nil {
		_, err = leaf.Verify(x509.VerifyOptions{Roots: w.roots, DNSName: "localhost"})
	}
	if err == nil && !ecdsa.VerifyASN1(leaf.PublicKey.(*ecdsa.PublicKey), w.digest[:], w.signature) {
		err = errors.New("the signature does not verify")
	}
	w.check(err)
}

// Ciphers makes the ciphers of two directions, in the handshake and behind it.
func (w *Primitives) Ciphers() {
	for range 4 {
		block, err := aes.NewCipher(make([]byte, 16))
		if err == nil {
			_, err = cipher.NewGCM(block)
		}
		w.check(err)
	}
}

// Heap returns the bytes that are in use.
func Heap() float64 {
	for range 3 { // pools let go by and by
		runtime.GC()
	}
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return float64(stats.HeapAlloc)
}

// Conn is a connection of crypto/tls, or of a fork of it.
type Conn interface {
	net.Conn
	Handshake() error
}

// memoryConn is a transport in memory: a pipe for the handshake, then buffers that one
// goroutine writes and reads.
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

// Connect makes a connection in memory, whose ends one goroutine can use.
func Connect(newClient, newServer func(net.Conn) Conn) (client, server Conn, err error) {
	a, b := net.Pipe()
	near, far := &memoryConn{Conn: a}, &memoryConn{Conn: b}
	client, server = newClient(near), newServer(far)
	done := make(chan error, 1)
	go func() { done <- server.Handshake() }()
	if err := errors.Join(client.Handshake(), <-done); err != nil {
		return nil, nil, err
	}
	there, back := new(bytes.Buffer), new(bytes.Buffer)
	near.in, near.out, far.in, far.out = back, there, there, back
	return client, server, nil
}

// ConnectStd is Connect with crypto/tls.
func (p *PKI) ConnectStd() (client, server Conn, err error) {
	return Connect(
		func(c net.Conn) Conn { return tls.Client(c, p.StdClient()) },
		func(c net.Conn) Conn { return tls.Server(c, p.StdServer()) })
}

// Carry sends data from one end to the other.
func Carry(from io.Writer, to io.Reader, data, room []byte) error {
	if _, err := from.Write(data); err != nil {
		return err
	}
	_, err := io.ReadFull(to, room[:len(data)])
	return err
}
