package benchkit

import (
	"crypto/tls"
	"errors"

	"tlscore.example/tlscore"
)

// Client returns the config of a client: X25519, AES-128-GCM.
func (p *PKI) Client() *tlscore.Config {
	return &tlscore.Config{
		ServerName: "localhost", RootCAs: p.Roots, MinVersion: tls.VersionTLS13,
		CurvePreferences: []tls.CurveID{tls.X25519}, CipherSuites: []uint16{tls.TLS_AES_128_GCM_SHA256},
	}
}

// Server returns the config of a server, without tickets.
func (p *PKI) Server() *tlscore.Config {
	return &tlscore.Config{Certificates: []tls.Certificate{p.Leaf}, MinVersion: tls.VersionTLS13, TicketCount: -1}
}

// Measured runs f on behalf of a side.
type Measured func(f func())

// Unmeasured runs f.
func Unmeasured(f func()) { f() }

// StepAll steps to the next stop.
func StepAll(m *tlscore.Machine, in []byte) {
	for {
		ev, n := m.Step(in)
		if in = in[n:]; ev.Stop() {
			return
		}
	}
}

// ConnectMachines makes a connection, and has what each side does measured.
func ConnectMachines(clientConfig, serverConfig *tlscore.Config, atClient, atServer Measured) (client, server *tlscore.Machine, err error) {
	var room [2][8 << 10]byte
	atClient(func() {
		if client, err = tlscore.NewClient(clientConfig); err == nil {
			client.Step(nil)
		}
	})
	if err != nil {
		return nil, nil, err
	}
	toServer := client.AppendOutput(room[0][:0])
	atServer(func() {
		if server, err = tlscore.NewServer(serverConfig); err == nil {
			StepAll(server, toServer)
		}
	})
	if err != nil {
		return nil, nil, err
	}
	toClient := server.AppendOutput(room[1][:0])
	atClient(func() { StepAll(client, toClient) })
	toServer = client.AppendOutput(room[0][:0])
	atServer(func() { StepAll(server, toServer) })
	if client.State() != tlscore.StateConnected || server.State() != tlscore.StateConnected {
		return nil, nil, errors.Join(errors.New("no connection"), client.Err(), server.Err())
	}
	return client, server, nil
}
