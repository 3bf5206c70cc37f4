package main

import (
	"crypto/tls"
	"errors"
	"fmt"
)

// options is what the runner asks of one connection. Each field belongs to the
// flag of the same name in the table of flags.go.
type options struct {
	port        int
	ipv6        bool
	shimID      uint64
	server      bool
	resumeCount int

	// The stack's own configuration.

	minVersion, maxVersion uint16
	noTLS12, noTLS13       bool
	cipher                 string
	curves, keyShares      []tls.CurveID
	verifyPrefs            []tls.SignatureScheme
	hostName               string
	advertiseALPN          string
	selectALPN             string
	declineALPN            bool
	rejectALPN             bool
	maxCertList            int
	preset                 *preset // a compliance policy
	serverPreference       bool
	fallbackSCSV           bool
	enableGREASE           bool
	permuteExtensions      bool
	noTicket               bool
	enableEarlyData        bool
	enableOCSPStapling     bool
	enableSCTs             bool
	requireClientCert      bool
	useClientCAList        *string
	identity               credential   // the default one
	credentials            []credential // those of -new-x509-credential

	// What the application does.

	async                     bool
	chunking, tasks           string
	customVerify              bool
	verifyPeer                bool
	reverifyOnResume          bool
	useTicketCallback         bool
	renewTicket, skipTicket   bool
	resumptionDelay           int // seconds
	useOCSPCallback           bool
	declineOCSPCallback       bool
	failOCSPCallback          bool
	exportKeyingMaterial      int
	exportLabel               string
	exportContext             string
	useExportContext          bool
	exportTrafficSecrets      bool
	verifyFail                bool
	useEarlyCallback          bool
	failEarlyCallback         bool
	installDDoSCallback       bool
	failDDoSCallback          bool
	failCertCallback          bool
	shimWritesFirst           bool
	shimInitialWrite          string
	readWithUnfinishedWrite   bool
	repeatShimInitialWrite    int
	writeDifferentRecordSizes bool
	shimShutsDown             bool
	checkCloseNotify          bool
	sendAlert                 bool
	keyUpdate                 bool
	keyUpdateBeforeRead       bool
	readSize                  int

	// What it expects.

	expectVersion            uint16
	expectCipher             uint16
	expectCipherAES          uint16
	expectCurveID            tls.CurveID
	expectServerName         string
	expectNoServerName       bool
	expectALPN               string
	expectAdvertisedALPN     string
	expectPeerCertFile       string
	expectNoPeerCert         bool
	expectHRR                bool
	expectNoHRR              bool
	expectSelectedCredential *int
	expectMsgCallback        string
	expectPeerVerifyPrefs    []tls.SignatureScheme
	handshakeNeverDone       bool

	expectSessionMiss             bool
	expectNoSession               bool
	expectTicketRenewal           bool
	expectSessionID               bool
	expectNoSessionID             bool
	expectTicketSupportsEarlyData bool
	expectAcceptEarlyData         bool
	expectRejectEarlyData         bool
	expectNoOfferEarlyData        bool
	expectEarlyDataReason         string
	expectOCSPResponse            []byte
	expectSCTs                    []byte
	expectPeerSignatureAlgorithm  tls.SignatureScheme
	expectExtendedMasterSecret    bool
	expectSecureRenegotiation     bool
	expectClientCAList            *string
}

// credential is a certificate chain with what belongs to it.
type credential struct {
	certFile, keyFile string
	signingPrefs      []tls.SignatureScheme
	ocspResponse      []byte
	scts              []byte // a SignedCertificateTimestampList
	mustMatchIssuer   bool
}

// defaults returns the options before any flag.
func defaults() options {
	return options{
		shimInitialWrite:       "hello",
		repeatShimInitialWrite: 1,
	}
}

// current returns the credential that the flags about credentials are about: the
// last new one, or the default one before any.
func (o *options) current() *credential {
	if n := len(o.credentials); n > 0 {
		return &o.credentials[n-1]
	}
	return &o.identity
}

// errUnsupported is wrapped by the errors that say that the runner asks for
// something this shim cannot do; it skips the test then.
var errUnsupported = errors.New("not supported")

func unsupported(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errUnsupported, fmt.Sprintf(format, args...))
}
