package main

import (
	"crypto/tls"
	"slices"

	"tlscore.example/tlscore"
)

// A preset is what a compliance policy of BoringSSL's means for a config. Nil
// leaves the default.
type preset struct {
	minVersion uint16
	suites     []uint16
	groups     []tls.CurveID
	schemes    []tls.SignatureScheme
}

var fips202205 = preset{
	suites: []uint16{
		tls.TLS_AES_128_GCM_SHA256,
		tls.TLS_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	},
	groups: []tls.CurveID{tls.CurveP256, tls.CurveP384},
	schemes: []tls.SignatureScheme{
		tls.PKCS1WithSHA256,
		tls.PKCS1WithSHA384,
		tls.PKCS1WithSHA512,
		tls.ECDSAWithP256AndSHA256,
		tls.ECDSAWithP384AndSHA384,
		tls.PSSWithSHA256,
		tls.PSSWithSHA384,
		tls.PSSWithSHA512,
	},
}

var wpa202304 = preset{
	suites: aes256,
	groups: []tls.CurveID{tls.CurveP384},
	schemes: []tls.SignatureScheme{
		tls.PKCS1WithSHA384,
		tls.PKCS1WithSHA512,
		tls.ECDSAWithP384AndSHA384,
		tls.PSSWithSHA384,
		tls.PSSWithSHA512,
	},
}

// cnsa1202603 has a suite of RSA key transport besides in BoringSSL.
var cnsa1202603 = preset{
	suites:  aes256,
	groups:  []tls.CurveID{tlscore.MLKEM1024, tls.CurveP384},
	schemes: cnsaSchemes,
}

var cnsa2202603 = preset{
	minVersion: tls.VersionTLS13,
	suites:     aes256[:1],
	groups:     []tls.CurveID{tlscore.MLKEM1024},
	schemes:    cnsaSchemes[:2], // without PKCS #1 v1.5
}

var cnsaSchemes = []tls.SignatureScheme{
	tls.ECDSAWithP384AndSHA384,
	tls.PSSWithSHA384,
	tls.PKCS1WithSHA384,
}

var cnsa202407 = preset{
	suites: []uint16{
		tls.TLS_AES_256_GCM_SHA384,
		tls.TLS_AES_128_GCM_SHA256,
		tls.TLS_CHACHA20_POLY1305_SHA256,
	},
}

var aes256 = []uint16{
	tls.TLS_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
}

func setPreset(o *options, cfg *tlscore.Config) error {
	if p := o.preset; p != nil {
		cfg.MinVersion = max(cfg.MinVersion, p.minVersion)
		cfg.CipherSuites = slices.Clone(p.suites)
		cfg.CurvePreferences = slices.Clone(p.groups)
		cfg.SignatureSchemes = slices.Clone(p.schemes)
	}
	return nil
}
