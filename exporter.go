package tlscore

import (
	"tlscore.example/tlscore/internal/schedule"
)

// Keying material for the application. RFC 8446, Section 7.5; RFC 5705.

// ExportKeyingMaterial returns n bytes of keying material for the label and
// context, the same on both sides and bound to this connection, from
// EventHandshakeDone on until the connection fails or is released. In TLS 1.2 a nil
// context differs from an empty one. The error is [ErrNoExporter],
// [ErrNoExtendedMasterSecret], or says what is wrong with the arguments: n is at
// most 8,160. RFC 8446, Section 7.5; RFC 5705.
func (m *Machine) ExportKeyingMaterial(label string, context []byte, n int) ([]byte, error) {
	m.wake()
	e12 := m.conn.exporter12()
	switch {
	case e12 == nil && !m.conn.exports || !m.conn.complete:
		return nil, ErrNoExporter
	case e12 == nil:
		e := m.exporter13()
		defer e.Wipe()
		return e.Export(label, context, n)
	case !m.conn.extendedMasterSecret:
		return nil, ErrNoExtendedMasterSecret
	}
	return e12.Export(label, context, n)
}

// ExportEarlyKeyingMaterial is ExportKeyingMaterial for early data: a client has it
// once its ClientHello offers early data, a server once it has accepted it. It is
// not bound to the server's part of the connection. RFC 8446, Section 7.5.
func (m *Machine) ExportEarlyKeyingMaterial(label string, context []byte, n int) ([]byte, error) {
	m.wake()
	e := m.conn.earlyExporter()
	if e == nil {
		return nil, ErrNoExporter
	}
	return e.Export(label, context, n)
}

// ChannelBinding returns the tls-exporter channel binding of the connection, 32
// bytes that both sides can compare to know that nobody stands between them. Errors
// are those of ExportKeyingMaterial. RFC 9266.
func (m *Machine) ChannelBinding() ([]byte, error) {
	return m.ExportKeyingMaterial("EXPORTER-Channel-Binding", []byte{}, 32)
}

// wipeExporters clears what keying material is exported from.
func (m *Machine) wipeExporters() {
	m.out.forget(exporterSecret)
	m.conn.exports = false
	if more := m.conn.more; more != nil {
		if more.exporter12 != nil {
			more.exporter12.Wipe()
		}
		if more.earlyExporter != nil {
			more.earlyExporter.Wipe()
		}
		more.exporter12, more.earlyExporter = nil, nil
	}
}

// exporter13 returns a copy of the exporter of TLS 1.3, which has to be wiped.
func (m *Machine) exporter13() *schedule.ExporterSecret {
	return &schedule.ExporterSecret{Secret: m.out.secret(exporterSecret).Secret}
}

// startExporting keeps the exporter of TLS 1.3, and logs the secrets that are derived
// together with its own; the transcript ends with the server's Finished.
func (m *Machine) startExporting(main *schedule.MainSecret, client, server *schedule.TrafficSecret, transcript []byte) error {
	secret := main.Exporter(transcript)
	defer secret.Wipe()
	m.keep(exporterSecret, &secret.Secret)
	m.conn.exports = true
	if err := m.logSecret(keyLogClientTraffic, client.Bytes()); err != nil {
		return err
	}
	if err := m.logSecret(keyLogServerTraffic, server.Bytes()); err != nil {
		return err
	}
	return m.logSecret(keyLogExporter, secret.Bytes())
}
