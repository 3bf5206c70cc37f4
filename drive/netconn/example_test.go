package netconn_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"time"

	"tlscore.example/tlscore"
	"tlscore.example/tlscore/drive/netconn"
	"tlscore.example/tlscore/internal/tlstest"
)

// A server of net/http over this package, two lines away from one over
// crypto/tls.
func Example() {
	certificate := exampleCertificate()

	srv := &http.Server{
		ReadHeaderTimeout: 10 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "hello over %s", tls.VersionName(r.TLS.Version))
		}),
	}
	// Before: net.Listen("tcp", "127.0.0.1:0")
	l, err := netconn.Listen("tcp", "127.0.0.1:0", &tlscore.Config{Certificates: []tls.Certificate{certificate}})
	if err != nil {
		fmt.Println(err)
		return
	}
	// Before: srv.ServeTLS(l, "cert.pem", "key.pem")
	go srv.Serve(l)
	defer srv.Close()

	// A client of net/http.
	dialer := &netconn.Dialer{Config: &tlscore.Config{ServerName: "localhost", RootCAs: exampleRoots(), Time: tlstest.Clock}}
	client := &http.Client{Transport: &http.Transport{DialTLSContext: dialer.DialContext}}
	resp, err := client.Get("https://" + l.Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.CloseIdleConnections()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	fmt.Println(string(body), err)
	// Output: hello over TLS 1.3 <nil>
}

func exampleCertificate() tls.Certificate { return tlstest.Certificate(tlstest.Leaf{}) }

func exampleRoots() *x509.CertPool { return tlstest.Roots() }
