package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"slices"
	"strings"

	"tlscore.example/tlscore"
)

// tlsFlags are the flags that serve and connect have in common.
type tlsFlags struct{ min, max, ciphers, curves, alpn, keyLog string }

func (f *tlsFlags) add(fs *flags, alpn string) {
	fs.StringVar(&f.min, "min", "1.2", "the lowest TLS `version`: 1.2 or 1.3")
	fs.StringVar(&f.max, "max", "1.3", "the highest TLS `version`: 1.2 or 1.3")
	fs.StringVar(&f.ciphers, "ciphers", "", "cipher `suites` by their names in RFCs, with commas between, the best first; empty for all")
	fs.StringVar(&f.curves, "curves", "", "key exchange `groups`, with commas between, the best first: "+strings.Join(groupNames(), ", ")+"; empty for the usual ones")
	fs.StringVar(&f.alpn, "alpn", alpn, "application `protocols`, with commas between, the best first; empty for none")
	fs.StringVar(&f.keyLog, "keylog", "", "`file` to append the secrets of the connections to, for Wireshark: whoever has them can read all")
}

// apply puts what the flags say into a config.
func (f *tlsFlags) apply(cfg *tlscore.Config) error {
	for _, v := range []struct {
		name, value string
		field       *uint16
	}{{"-min", f.min, &cfg.MinVersion}, {"-max", f.max, &cfg.MaxVersion}} {
		version, err := parseVersion(v.name, v.value)
		if err != nil {
			return err
		}
		*v.field = version
	}
	for _, name := range splitList(f.ciphers) {
		id, ok := suiteByName(name)
		if !ok {
			return usagef("-ciphers: %q is no cipher suite of TLS 1.3, or of TLS 1.2 with ECDHE and an AEAD", name)
		}
		cfg.CipherSuites = append(cfg.CipherSuites, id)
	}
	for _, name := range splitList(f.curves) {
		i := slices.IndexFunc(groups, func(g group) bool { return strings.EqualFold(g.name, name) })
		if i < 0 {
			return usagef("-curves: there is no %q, but %s", name, strings.Join(groupNames(), ", "))
		}
		cfg.CurvePreferences = append(cfg.CurvePreferences, groups[i].id)
	}
	cfg.NextProtos = splitList(f.alpn)
	if f.keyLog != "" {
		file, err := os.OpenFile(f.keyLog, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
		if err != nil {
			return fmt.Errorf("cannot write -keylog: %w", err)
		}
		cfg.KeyLogWriter = file // for as long as the process lives
	}
	return nil
}

func parseVersion(name, value string) (uint16, error) {
	switch value {
	case "1.2":
		return tls.VersionTLS12, nil
	case "1.3":
		return tls.VersionTLS13, nil
	case "1.0", "1.1":
		return 0, usagef("%s %s: TLS 1.0 and 1.1 are not supported and never will be (RFC 8996)", name, value)
	}
	return 0, usagef("%s %q is no TLS version: say 1.2 or 1.3", name, value)
}

func suiteByName(name string) (id uint16, ok bool) {
	for _, s := range tls.CipherSuites() {
		if strings.EqualFold(s.Name, name) {
			return s.ID, true
		}
	}
	return 0, false
}

// group is a key exchange group under the name that people know it by.
type group struct {
	name string
	id   tls.CurveID
}

var groups = []group{
	{"X25519MLKEM768", tls.X25519MLKEM768},
	{"SecP256r1MLKEM768", tls.SecP256r1MLKEM768},
	{"SecP384r1MLKEM1024", tls.SecP384r1MLKEM1024},
	{"MLKEM1024", tlscore.MLKEM1024},
	{"X25519", tls.X25519},
	{"P-256", tls.CurveP256},
	{"P-384", tls.CurveP384},
	{"P-521", tls.CurveP521},
}

func groupNames() (names []string) {
	for _, g := range groups {
		names = append(names, g.name)
	}
	return names
}

// readPool reads a file with certificates of authorities.
func readPool(name, file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", name, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s %s holds no certificate in PEM", name, file)
	}
	return pool, nil
}

// readKeyPair reads a certificate chain and its private key; nil when neither file is
// named.
func readKeyPair(certFile, keyFile string) (*tls.Certificate, error) {
	switch {
	case certFile == "" && keyFile == "":
		return nil, nil
	case certFile == "":
		return nil, usagef("-key is there but -cert is not: both or none")
	case keyFile == "":
		return nil, usagef("-cert is there but -key is not: both or none")
	}
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("cannot use -cert and -key: %w", err)
	}
	return &cert, nil
}
