package netconn_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"tlscore.example/tlscore"
	"tlscore.example/tlscore/drive/netconn"
	"tlscore.example/tlscore/internal/tlstest"
)

// A program with http.Server and http.Transport, which was written for crypto/tls, and runs
// over this package with two of its lines changed.
func Example() {
	serverTLS := &tls.Config{Certificates: []tls.Certificate{exampleCertificate()}}
	clientTLS := &tls.Config{RootCAs: exampleRoots(), Time: tlstest.Clock}

	// Was: l, err := tls.Listen("tcp", "127.0.0.1:0", serverTLS)
	l, err := netconn.Listen("tcp", "127.0.0.1:0", carryOver(serverTLS))
	if err != nil {
		fmt.Println(err)
		return
	}
	srv := &http.Server{
		ReadHeaderTimeout: 10 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "hello over %s", tls.VersionName(r.TLS.Version))
		}),
	}
	go srv.Serve(l)
	defer srv.Close()

	transport := &http.Transport{
		// Was: TLSClientConfig: clientTLS,
		DialTLSContext: (&netconn.Dialer{Config: carryOver(clientTLS)}).DialContext,
	}
	client := &http.Client{Transport: transport}
	defer client.CloseIdleConnections()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	resp, err := client.Get("https://localhost:" + port)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	fmt.Println(string(body), err)
	// Output: hello over TLS 1.3 <nil>
}

// carryOver makes a config of one of crypto/tls. A program that cannot be carried over says
// what is in the way, when it starts.
func carryOver(std *tls.Config) *tlscore.Config {
	cfg, err := tlscore.FromStd(std)
	if err != nil {
		panic(err)
	}
	return cfg
}

func exampleCertificate() tls.Certificate { return tlstest.Certificate(tlstest.Leaf{}) }

func exampleRoots() *x509.CertPool { return tlstest.Roots() }
