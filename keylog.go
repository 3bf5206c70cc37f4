package tlscore

import (
	"encoding/hex"
	"sync"
)

// The key log (Config.KeyLogWriter), from which tools such as Wireshark read what a
// connection says, in the format of NSS and OpenSSL.

// The labels of the key log.
const (
	keyLogClientRandom    = "CLIENT_RANDOM" // the master secret of TLS 1.2
	keyLogClientEarly     = "CLIENT_EARLY_TRAFFIC_SECRET"
	keyLogEarlyExporter   = "EARLY_EXPORTER_SECRET"
	keyLogClientHandshake = "CLIENT_HANDSHAKE_TRAFFIC_SECRET"
	keyLogServerHandshake = "SERVER_HANDSHAKE_TRAFFIC_SECRET"
	keyLogClientTraffic   = "CLIENT_TRAFFIC_SECRET_0"
	keyLogServerTraffic   = "SERVER_TRAFFIC_SECRET_0"
	keyLogExporter        = "EXPORTER_SECRET"
)

// keyLogLineLen is longer than any line of the key log.
const keyLogLineLen = 200

// keyLog is held while a line is written: configs, their clones above all, may share a
// writer.
var keyLog sync.Mutex

// logSecret writes a secret to Config.KeyLogWriter, if there is one.
func (m *Machine) logSecret(label string, secret []byte) error {
	if m.cfg.KeyLogWriter == nil {
		return nil
	}
	h := m.handshakeState()
	line := make([]byte, 0, keyLogLineLen)
	defer func() { clear(line[:cap(line)]) }()
	line = append(append(line, label...), ' ')
	line = append(hex.AppendEncode(line, h.clientRandom[:]), ' ')
	line = append(hex.AppendEncode(line, secret), '\n')
	return call(ReasonCallbackFailed, func() error {
		keyLog.Lock()
		defer keyLog.Unlock()
		_, err := m.cfg.KeyLogWriter.Write(line)
		return err
	})
}

// logHandshakeSecrets logs the handshake traffic secrets.
func (m *Machine) logHandshakeSecrets() error {
	h := m.handshakeState()
	if err := m.logSecret(keyLogClientHandshake, h.clientSecret.Bytes()); err != nil {
		return err
	}
	return m.logSecret(keyLogServerHandshake, h.serverSecret.Bytes())
}
