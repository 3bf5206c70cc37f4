package main

import (
	"crypto/tls"
	"fmt"
	"os"
	"time"

	"tlscore.example/tlscore"
)

// serveOptions are the flags of serve that make its config.
type serveOptions struct {
	tlsFlags
	cert, key, ocsp string
	clientAuth      string
	clientCA        string
	postHandshake   bool
	tickets         int
	stateful        bool
	earlyData       uint
	recordSizeLimit uint
}

func (o *serveOptions) add(fs *flags) {
	o.tlsFlags.add(fs, "http/1.1")
	fs.StringVar(&o.cert, "cert", "", "`file` with the certificate chain, PEM")
	fs.StringVar(&o.key, "key", "", "`file` with its private key, PEM")
	fs.StringVar(&o.ocsp, "ocsp", "", "`file` with the OCSP response, DER, that goes along with the certificate")
	fs.StringVar(&o.clientAuth, "client-auth", "none", "`what` to do about a client's certificate: none, request (it may have one, which is verified if -client-ca is there), require (any), verify (require one of -client-ca)")
	fs.StringVar(&o.clientCA, "client-ca", "", "`file` with the authorities that certify clients, PEM")
	fs.BoolVar(&o.postHandshake, "post-handshake-auth", false, "when a client of TLS 1.3 wants /private, ask it for a certificate then; it is verified if -client-ca is there")
	fs.IntVar(&o.tickets, "tickets", 2, "how `many` tickets a client of TLS 1.3 gets; 0 turns resumption off, in TLS 1.2 too")
	fs.BoolVar(&o.stateful, "stateful", false, "keep sessions in memory, and not in the tickets")
	fs.UintVar(&o.earlyData, "early-data", 0, "accept so many `bytes` of early data, and none twice")
	fs.UintVar(&o.recordSizeLimit, "record-size-limit", 0, "the most `bytes` that clients may put into a record, if they know how to be told")
}

// config makes the config that the flags ask for.
func (o *serveOptions) config() (*tlscore.Config, error) {
	cfg := new(tlscore.Config)
	for _, set := range []func(*tlscore.Config) error{o.apply, o.setCertificate, o.setClientAuth, o.setResumption} {
		if err := set(cfg); err != nil {
			return nil, err
		}
	}
	if o.recordSizeLimit > 1<<14+1 {
		return nil, usagef("-record-size-limit %d: at most 16385", o.recordSizeLimit)
	}
	cfg.RecordSizeLimit = uint16(o.recordSizeLimit)
	if _, err := tlscore.NewServer(cfg); err != nil {
		return nil, usagef("%v", err)
	}
	return cfg, nil
}

func (o *serveOptions) setCertificate(cfg *tlscore.Config) error {
	cert, err := serverCertificate(o.cert, o.key)
	if err != nil {
		return err
	}
	if o.ocsp != "" {
		if o.cert == "" {
			return usagef("-ocsp needs -cert: a response is about one certificate")
		}
		if cert.OCSPStaple, err = os.ReadFile(o.ocsp); err != nil {
			return fmt.Errorf("cannot read -ocsp: %w", err)
		}
	}
	cfg.Certificates = []tls.Certificate{*cert}
	return nil
}

func (o *serveOptions) setClientAuth(cfg *tlscore.Config) error {
	var ok bool
	if cfg.ClientAuth, ok = map[string]tls.ClientAuthType{
		"none":    tls.NoClientCert,
		"request": tls.RequestClientCert,
		"require": tls.RequireAnyClientCert,
		"verify":  tls.RequireAndVerifyClientCert,
	}[o.clientAuth]; !ok {
		return usagef("-client-auth %q: say none, request, require or verify", o.clientAuth)
	}
	if o.clientCA == "" {
		if o.clientAuth == "verify" {
			return usagef("-client-auth verify needs -client-ca: whose word counts for clients?")
		}
		return nil
	}
	if o.clientAuth == "request" {
		cfg.ClientAuth = tls.VerifyClientCertIfGiven
	}
	var err error
	cfg.ClientCAs, err = readPool("-client-ca", o.clientCA)
	return err
}

func (o *serveOptions) setResumption(cfg *tlscore.Config) (err error) {
	switch {
	case o.tickets < 0:
		return usagef("-tickets %d: not less than none", o.tickets)
	case o.tickets == 0 && o.earlyData > 0:
		return usagef("-early-data needs tickets")
	case o.earlyData > 1<<20:
		return usagef("-early-data %d: at most 1048576, since it is kept until the client is known", o.earlyData)
	case o.tickets == 0:
		cfg.SessionTicketsDisabled = true
		return nil
	}
	cfg.TicketCount = o.tickets
	if o.stateful {
		cfg.SessionStore = tlscore.NewSessionStore(0)
	} else if cfg.TicketKeys, err = tlscore.NewRandomTicketKeys(tlscore.DefaultTicketKeyPeriod); err != nil {
		return err // the keys are shared by the configs for all names
	}
	if o.earlyData > 0 {
		cfg.MaxEarlyData = uint32(o.earlyData)
		cfg.ReplayGuard = newReplayGuard(time.Now())
	}
	return nil
}

// newReplayGuard returns a guard that accepts early data from the start. Usually it
// waits for one window, since it does not know what was accepted before a restart. But
// here tickets do not outlive the process: nothing that an earlier one has accepted can
// be accepted again.
func newReplayGuard(now time.Time) *tlscore.ReplayWindow {
	guard := tlscore.NewReplayWindow(0, 0)
	guard.Fresh(nil, now.Add(-tlscore.DefaultReplayWindow), now)
	return guard
}
