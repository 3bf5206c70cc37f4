package tlscore

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"tlscore.example/tlscore/internal/tlstest"
)

// No test of this package trusts what the system trusts. Where crypto/x509 reads
// that from files, there are none.
func init() {
	os.Setenv("SSL_CERT_FILE", ".") // which cannot be read as a file
	os.Setenv("SSL_CERT_DIR", "/nonexistent")
}

// withoutSystemRoots is a client that trusts the system, which trusts nobody.
func withoutSystemRoots() scenario {
	s := badCertificate(tlstest.Leaf{}, func(c *Config) { c.RootCAs = nil })
	run := s.run
	s.run = func(t *testing.T) *rig {
		if runtime.GOOS != "linux" {
			t.Skip("the platform has a verifier of its own, which has roots")
		}
		return run(t)
	}
	return s
}

var (
	clientUse = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	serverUse = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
)

// The same function judges servers and clients; what differs is the trust, the
// name and the use.
func TestVerifyChain(t *testing.T) {
	sha1 := tlstest.MD5Certificate() // and its identifier, in the certificate twice
	md5WithRSA, sha1WithRSA := []byte{0x86, 0xf7, 13, 1, 1, 4}, []byte{0x86, 0xf7, 13, 1, 1, 5}
	sha1.Certificate = [][]byte{bytes.ReplaceAll(sha1.Certificate[0], md5WithRSA, sha1WithRSA)}
	server := &Config{RootCAs: tlstest.Roots(), ServerName: "localhost"}
	client := &Config{ClientCAs: tlstest.Roots(), ServerName: "passed over", ClientAuth: tls.RequireAndVerifyClientCert}
	ed := []tls.SignatureScheme{tls.Ed25519}
	for _, test := range []struct {
		name    string
		cert    tls.Certificate
		client  bool
		schemes []tls.SignatureScheme
		want    Reason
		alert   Alert
	}{
		{name: "a server", cert: tlstest.Certificate(tlstest.Leaf{})},
		{name: "a server, through an intermediate", cert: tlstest.Certificate(tlstest.Leaf{Intermediate: true}), schemes: ed},
		{name: "a client", cert: tlstest.Certificate(tlstest.Leaf{Names: []string{"alice"}, ExtKeyUsage: clientUse}), client: true},
		{name: "for both uses", cert: tlstest.Certificate(tlstest.Leaf{ExtKeyUsage: append(serverUse, clientUse...)}), client: true},
		{name: "a client's at a client", cert: tlstest.Certificate(tlstest.Leaf{ExtKeyUsage: clientUse}), want: ReasonCertificateUsage, alert: AlertUnsupportedCertificate},
		{name: "a server's at a server", cert: tlstest.Certificate(tlstest.Leaf{ExtKeyUsage: serverUse}), client: true, want: ReasonCertificateUsage, alert: AlertUnsupportedCertificate},
		{name: "unknown authority", cert: tlstest.Certificate(tlstest.Leaf{UnknownCA: true}), want: ReasonUnknownAuthority, alert: AlertUnknownCA},
		{name: "unknown authority of a client", cert: tlstest.Certificate(tlstest.Leaf{UnknownCA: true, ExtKeyUsage: clientUse}), client: true, want: ReasonUnknownAuthority, alert: AlertUnknownCA},
		{name: "expired", cert: tlstest.Certificate(tlstest.Leaf{NotAfter: tlstest.Now.AddDate(0, 0, -1), ExtKeyUsage: clientUse}), client: true, want: ReasonCertificateExpired, alert: AlertCertificateExpired},
		{name: "not yet", cert: tlstest.Certificate(tlstest.Leaf{NotBefore: tlstest.Now.AddDate(0, 0, 1)}), want: ReasonCertificateExpired, alert: AlertCertificateExpired},
		{name: "another name", cert: tlstest.Certificate(tlstest.Leaf{Names: []string{"example.com"}}), want: ReasonNameMismatch, alert: AlertBadCertificate},
		{name: "MD5", cert: tlstest.MD5Certificate(), want: ReasonBadCertificate, alert: AlertBadCertificate},
		{name: "SHA-1", cert: sha1, want: ReasonBadCertificate, alert: AlertBadCertificate},
		{name: "a signature that was not offered", cert: tlstest.Certificate(tlstest.Leaf{}), schemes: anyECDSA, want: ReasonUnsupportedCertificate, alert: AlertUnsupportedCertificate},
	} {
		t.Run(test.name, func(t *testing.T) {
			chain, err := new(derived).parseChain(tls.VersionTLS13, test.cert.Certificate)
			if err != nil {
				t.Fatal(err)
			}
			cfg := server
			if test.client {
				cfg = client
			}
			options, verify := cfg.verifyOptions(chain, !test.client)
			options.CurrentTime = tlstest.Now
			if test.schemes == nil {
				test.schemes = defaultCert(allSchemes())
			}
			chains, err := verifyChain(verifyParams{chain, options, test.schemes})
			if alert, _ := AlertOf(err); !verify || reasonOf(err) != test.want || alert != test.alert {
				t.Errorf("%v, want %v with %v", err, test.want, test.alert)
			}
			if (len(chains) > 0) != (test.want == reasonNone) {
				t.Errorf("%d chains", len(chains))
			}
		})
	}
}

// A root signs itself with whatever it likes.
func TestRootSignatureIsNotJudged(t *testing.T) {
	root := tlstest.RootCertificate()
	if !signedAsOffered([]*x509.Certificate{root}, anyECDSA) {
		t.Error("a trusted certificate that stands alone is judged by its signature")
	}
	leaf := tlstest.Certificate(tlstest.Leaf{}).Leaf
	if signedAsOffered([]*x509.Certificate{leaf, root}, anyECDSA) {
		t.Error("a certificate below a root is not")
	}
}

// Which of the policies of crypto/tls verify a chain.
func TestClientAuthVerifies(t *testing.T) {
	chain := []*x509.Certificate{tlstest.Certificate(tlstest.Leaf{}).Leaf}
	for auth, want := range map[tls.ClientAuthType]bool{
		tls.NoClientCert: false, tls.RequestClientCert: false, tls.RequireAnyClientCert: false,
		tls.VerifyClientCertIfGiven: true, tls.RequireAndVerifyClientCert: true,
	} {
		cfg := testServerConfig()
		cfg.ClientAuth = auth
		if _, got := cfg.verifyOptions(chain, false); got != want {
			t.Errorf("%v verifies: %v", auth, got)
		}
		// InsecureSkipVerify is a client's.
		cfg.InsecureSkipVerify = true
		if _, got := cfg.verifyOptions(chain, false); got != want {
			t.Errorf("%v with InsecureSkipVerify verifies: %v", auth, got)
		}
		if _, got := cfg.verifyOptions(chain, true); got {
			t.Error("a client verifies with InsecureSkipVerify")
		}
		_, err := NewServer(cfg)
		if want != (err != nil && strings.Contains(err.Error(), "ClientCAs")) {
			t.Errorf("%v without ClientCAs: %v", auth, err)
		}
		cfg = cfg.Clone()
		cfg.ClientCAs = tlstest.Roots()
		if _, err := NewServer(cfg); err != nil {
			t.Errorf("%v with ClientCAs: %v", auth, err)
		}
	}
	for _, auth := range []tls.ClientAuthType{-1, tls.RequireAndVerifyClientCert + 1} {
		cfg := testServerConfig()
		cfg.ClientAuth, cfg.ClientCAs = auth, tlstest.Roots()
		if _, err := NewServer(cfg); err == nil {
			t.Errorf("ClientAuth %d is taken", auth)
		}
	}
}

// What crypto/x509 says, as a reason.
func TestCertificateReason(t *testing.T) {
	invalid := func(r x509.InvalidReason) error { return x509.CertificateInvalidError{Reason: r} }
	for _, test := range []struct {
		err  error
		want Reason
	}{
		{invalid(x509.Expired), ReasonCertificateExpired},
		{invalid(x509.IncompatibleUsage), ReasonCertificateUsage},
		{invalid(x509.NotAuthorizedToSign), ReasonBadCertificate},
		{invalid(x509.CANotAuthorizedForThisName), ReasonBadCertificate},
		{invalid(x509.TooManyIntermediates), ReasonBadCertificate},
		{x509.UnknownAuthorityError{}, ReasonUnknownAuthority},
		{x509.HostnameError{Certificate: tlstest.RootCertificate(), Host: "a"}, ReasonNameMismatch},
		{x509.UnhandledCriticalExtension{}, ReasonUnsupportedCertificate},
		{x509.ConstraintViolationError{}, ReasonBadCertificate},
		{errTest, ReasonBadCertificate},
	} {
		if got := certificateReason(fmt.Errorf("wrapped: %w", test.err), nil); got != test.want {
			t.Errorf("%T: %v, want %v", test.err, got, test.want)
		}
	}
}

// A client that restricts the schemes says so, and holds the server to it.
func TestSchemesOfCertificates(t *testing.T) {
	only := func(handshake, certificates []tls.SignatureScheme) func(*Config) {
		return func(c *Config) { c.SignatureSchemes, c.SignatureSchemesCert = handshake, certificates }
	}
	fails(t, ReasonUnsupportedCertificate, AlertUnsupportedCertificate,
		badCertificate(tlstest.Leaf{}, only(anyECDSA, nil)),
		badCertificate(tlstest.Leaf{Intermediate: true}, only(nil, anyPKCS1)))
	newClientRig(t, only(anyECDSA, []tls.SignatureScheme{tls.Ed25519})).wantConnected()
	newClientRig(t, only(nil, []tls.SignatureScheme{tls.Ed25519})).wantConnected()
	newClientRig(t, only(anyECDSA, nil), func(c *Config) { c.InsecureSkipVerify = true }).wantConnected()
	for _, list := range [][]tls.SignatureScheme{{}, {tls.ECDSAWithSHA1}, {tls.Ed25519, tls.Ed25519}} {
		cfg := testClientConfig()
		cfg.SignatureSchemesCert = list
		if _, err := NewClient(cfg); err == nil {
			t.Errorf("SignatureSchemesCert %v is taken", list)
		}
	}
}

// peerCheck is a client whose VerifyPeerCertificate returns err.
func peerCheck(err error) scenario {
	return badCertificate(tlstest.Leaf{}, func(c *Config) {
		c.VerifyPeerCertificate = func([][]byte, [][]*x509.Certificate) error { return err }
	})
}

// A callback chooses its alert, but a closure alert ends no handshake.
func TestAlertError(t *testing.T) {
	revoked := &AlertError{Alert: AlertCertificateRevoked, Err: errTest}
	var none *AlertError
	fails(t, ReasonVerificationRejected, AlertCertificateRevoked, peerCheck(revoked), peerCheck(fmt.Errorf("wrapped: %w", revoked)))
	fails(t, ReasonVerificationRejected, AlertBadCertificate,
		peerCheck(&AlertError{Alert: AlertCloseNotify}), peerCheck(&AlertError{Alert: AlertUserCanceled, Err: errTest}),
		peerCheck(fmt.Errorf("wrapped: %w", none)))
	fails(t, ReasonCallbackFailed, AlertUnrecognizedName, anyHello(withGetCertificate(func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		return nil, &AlertError{Alert: AlertUnrecognizedName}
	}))...)

	r := peerCheck(revoked).run(t)
	var local *LocalError
	var chosen *AlertError
	if err := r.m.Err(); !errors.Is(err, errTest) || !errors.As(err, &chosen) || chosen != revoked || !errors.As(err, &local) || local.Alert != AlertCertificateRevoked {
		t.Errorf("the connection failed with %v", r.m.Err())
	}
	if got := revoked.Error(); got != "certificate_revoked: error of the test" {
		t.Errorf("text %q", got)
	}
	if got := (&AlertError{Alert: AlertAccessDenied}).Error(); got != "access_denied" {
		t.Errorf("text %q", got)
	}

	task := &Task{kind: TaskVerifyChain}
	task.Fail(revoked)
	if alert, ok := AlertOf(task.err); !ok || alert != AlertCertificateRevoked {
		t.Errorf("a task that fails sends %v", alert)
	}
}

// Who answers a TaskVerifyChain by hand has what x509 needs for it, the time of the Config
// too, in every state of such a task.
func TestVerifyOptions(t *testing.T) {
	for name, r := range map[string]*rig{
		"client":              lifted(newClientRig, TaskVerifyChain)(t).tryBring(StateWaitCertificateVerify),
		"server":              lifted(newAuthServer, TaskVerifyChain)(t).tryBring(StateWaitClientCertificateVerify),
		"behind a handshake":  lifted(newPostServer, TaskVerifyChain)(t).ask().tryBring(StateWaitPostCertificateVerify),
		"client of TLS 1.2":   lifted(newClientRig12, TaskVerifyChain)(t).tryBring(StateWaitServerKeyExchange),
		"server of TLS 1.2":   lifted(newAuthServer12, TaskVerifyChain)(t).tryBring(StateWaitClientKeyExchange),
		"nothing is verified": newClientRig(t, func(c *Config) { c.Tasks, c.InsecureSkipVerify = AllTasks&^Tasks(TaskKeyExchange), true }).tryBring(StateWaitCertificateVerify),
	} {
		task := r.m.Task()
		if task == nil || task.Kind() != TaskVerifyChain {
			t.Fatalf("%s: %v, %v", name, r.m.State(), r.m.Err())
		}
		options := task.VerifyOptions()
		if !options.CurrentTime.Equal(tlstest.Now) {
			t.Errorf("%s: by the time %v", name, options.CurrentTime)
		}
		chains, err := task.PeerCertificates()[0].Verify(options)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		task.SetVerified(chains)
		if err := r.m.Done(task); err != nil || r.m.State() == StateFailed {
			t.Errorf("%s: %v, %v", name, err, r.m.Err())
		}
	}
}
