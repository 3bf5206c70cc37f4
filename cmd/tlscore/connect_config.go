package main

import (
	"crypto/tls"

	"tlscore.example/tlscore"
)

// connectOptions are the flags of connect that make its config.
type connectOptions struct {
	tlsFlags
	name, ca  string
	insecure  bool
	cert, key string
	pha       bool
	sessions  string
	early     string
	ocsp      bool
	export    string
	grease    bool
	fallback  bool
	limit     uint
}

func (o *connectOptions) add(fs *flags) {
	o.tlsFlags.add(fs, "")
	fs.StringVar(&o.name, "servername", "", "the `name` to ask for and to verify; by default the host")
	fs.StringVar(&o.ca, "ca", "", "`file` with the authorities to trust, PEM; by default the system's")
	fs.BoolVar(&o.insecure, "insecure", false, "go on whatever the certificate is")
	fs.StringVar(&o.cert, "cert", "", "`file` with a certificate chain, PEM, for servers that ask for one")
	fs.StringVar(&o.key, "key", "", "`file` with its private key, PEM")
	fs.BoolVar(&o.pha, "pha", false, "let the server ask for the certificate after the handshake, too (TLS 1.3), until the end of stdin")
	fs.StringVar(&o.sessions, "sessions", "", "`file` to keep sessions in, to resume them the next time; as secret as a private key")
	fs.StringVar(&o.early, "early-data", "", "`file` to send first: as early data, which others can replay, when a session of -sessions allows")
	fs.BoolVar(&o.ocsp, "ocsp", false, "ask for an OCSP response and for certificate timestamps, and show them")
	fs.StringVar(&o.export, "export", "", "`label` of keying material to show, 32 bytes without context")
	fs.BoolVar(&o.grease, "grease", false, "offer reserved values (GREASE), and extensions in random order")
	fs.BoolVar(&o.fallback, "fallback-scsv", false, "say that a higher version was tried before (with -max)")
	fs.UintVar(&o.limit, "record-size-limit", 0, "the most `bytes` that the server may put into a record, if it knows how to be told")
}

// config makes the config that the flags ask for, for a server on host.
func (o *connectOptions) config(host string) (*tlscore.Config, error) {
	switch {
	case o.insecure && o.ca != "":
		return nil, usagef("-ca and -insecure exclude each other: either the certificate is verified or it is not")
	case o.early != "" && o.sessions == "":
		return nil, usagef("-early-data needs -sessions: it is sent when a session is resumed")
	case o.limit > 1<<14+1:
		return nil, usagef("-record-size-limit %d: at most 16385", o.limit)
	}
	cfg := &tlscore.Config{
		ServerName:                  o.name,
		InsecureSkipVerify:          o.insecure,
		PostHandshakeAuth:           o.pha,
		EarlyData:                   o.early != "",
		OCSPStapling:                o.ocsp,
		SignedCertificateTimestamps: o.ocsp,
		GREASE:                      o.grease,
		ShuffleExtensions:           o.grease,
		FallbackSCSV:                o.fallback,
		RecordSizeLimit:             uint16(o.limit),
	}
	if cfg.ServerName == "" {
		cfg.ServerName = host
	}
	if err := o.apply(cfg); err != nil {
		return nil, err
	}
	cert, err := readKeyPair(o.cert, o.key)
	if err != nil {
		return nil, err
	}
	if cert != nil {
		cfg.Certificates = []tls.Certificate{*cert}
	}
	if o.ca != "" {
		cfg.RootCAs, err = readPool("-ca", o.ca)
	}
	return cfg, err
}
