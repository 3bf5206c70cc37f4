package netconn

import (
	"crypto/tls"
	"io"
	"net"
	"testing"
)

// contenders are this package and crypto/tls, each on both ends, with the same
// cipher suite.
var contenders = []struct {
	name           string
	client, server func(net.Conn) conn
}{
	{"netconn", aesClient, ourServer},
	{"crypto/tls", stdClient, stdServer},
}

func aesClient(c net.Conn) conn {
	cfg := clientConfig()
	cfg.CipherSuites = []uint16{tls.TLS_AES_128_GCM_SHA256}
	return Client(c, cfg)
}

// BenchmarkThroughput sends in one direction.
func BenchmarkThroughput(b *testing.B) {
	for _, way := range contenders {
		b.Run(way.name, func(b *testing.B) {
			c, s := connect(b, way.client, way.server)
			data := make([]byte, 256<<10)
			done := async(func() error {
				_, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{s}, make([]byte, 64<<10))
				return err
			})
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Write(data); err != nil {
					b.Fatal(err)
				}
			}
			c.CloseWrite()
			noError(b, "Read", <-done)
		})
	}
}

// BenchmarkPing sends a small message there and back.
func BenchmarkPing(b *testing.B) {
	for _, way := range contenders {
		b.Run(way.name, func(b *testing.B) {
			c, s := connect(b, way.client, way.server)
			go io.Copy(struct{ io.Writer }{s}, struct{ io.Reader }{s})
			message := make([]byte, 100)
			b.ReportAllocs()
			for b.Loop() {
				c.Write(message)
				if _, err := io.ReadFull(c, message); err != nil {
					b.Fatal(err)
				}
			}
			s.CloseWrite()
		})
	}
}
