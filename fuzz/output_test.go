package fuzz

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"tlscore.example/tlscore"
	"tlscore.example/tlscore/internal/record"
	"tlscore.example/tlscore/internal/wire"
)

// A sentAlert is an alert as it stands on the wire.
type sentAlert struct {
	level byte
	alert tlscore.Alert
	last  bool // nothing follows it
}

// parsedOutput is what can be read of a machine's output without keys; in a
// build with null crypto that is all of it.
type parsedOutput struct {
	alerts    []sentAlert
	protected int // records
	handshake []byte
	lastSize  int  // of the last record
	lastType  byte // the outer one
	explicit  int  // the part of a nonce in records of TLS 1.2
}

// readOutput parses all that a machine ever sent. The output has to be well
// formed, whatever the peer did.
func readOutput(out []byte, end ending) (*parsedOutput, error) {
	p := &parsedOutput{explicit: end.explicit}
	client := end.role == roleClient
	compat := 0
	for len(out) > 0 {
		if len(out) < record.HeaderLen {
			return nil, fmt.Errorf("the output ends in %d stray bytes", len(out))
		}
		h := record.ParseHeader(out)
		size := record.HeaderLen + h.Length
		if len(out) < size {
			return nil, fmt.Errorf("the output ends in a part of a record")
		}
		fragment := out[record.HeaderLen:size]
		out = out[size:]
		p.lastSize, p.lastType = size, byte(h.Type)
		switch {
		case h.Version != 0x0303 && !(client && h.Version == 0x0301 && p.protected == 0):
			return nil, fmt.Errorf("a record of version %04x", h.Version)
		case end.tls12 && compat > 0 && h.Type != record.TypeChangeCipherSpec:
			p.protected++
			if err := p.addProtected12(h.Type, fragment, len(out) == 0); err != nil {
				return nil, err
			}
		case h.Type == record.TypeApplicationData:
			p.protected++
			if err := p.addProtected(fragment, len(out) == 0); err != nil {
				return nil, err
			}
		case h.Type == record.TypeChangeCipherSpec:
			if compat++; compat > 1 || !bytes.Equal(fragment, []byte{1}) || p.protected > 0 {
				return nil, fmt.Errorf("a change_cipher_spec %x after %d others and %d protected records", fragment, compat-1, p.protected)
			}
		case p.protected > 0 && !end.early:
			return nil, fmt.Errorf("a plaintext %s record behind protected ones", h.Type)
		case h.Length == 0 || h.Length > record.MaxPlaintext:
			return nil, fmt.Errorf("a %s record of %d bytes", h.Type, h.Length)
		default:
			if err := p.add(h.Type, fragment, len(out) == 0); err != nil {
				return nil, err
			}
		}
	}
	return p, p.checkHandshake()
}

// addProtected takes the content of a record that may be protected.
func (p *parsedOutput) addProtected(fragment []byte, last bool) error {
	if len(fragment) < 1+record.TagLen || len(fragment) > record.MaxCiphertext {
		return fmt.Errorf("a protected record of %d bytes", len(fragment))
	}
	if !record.NullCrypto {
		return nil
	}
	inner := bytes.TrimRight(fragment[:len(fragment)-record.TagLen], "\x00")
	if len(inner) == 0 {
		return fmt.Errorf("a protected record without content type")
	}
	end := len(inner) - 1
	return p.add(record.ContentType(inner[end]), inner[:end], last)
}

// addProtected12 is addProtected in TLS 1.2.
func (p *parsedOutput) addProtected12(t record.ContentType, fragment []byte, last bool) error {
	if len(fragment) < p.explicit+record.TagLen || len(fragment) > record.MaxPlaintext+p.explicit+record.TagLen {
		return fmt.Errorf("a protected record of %d bytes", len(fragment))
	}
	if !record.NullCrypto {
		return nil
	}
	return p.add(t, fragment[p.explicit:len(fragment)-record.TagLen], last)
}

func (p *parsedOutput) add(t record.ContentType, content []byte, last bool) error {
	switch t {
	case record.TypeAlert:
		if len(content) != 2 {
			return fmt.Errorf("an alert of %d bytes", len(content))
		}
		p.alerts = append(p.alerts, sentAlert{content[0], tlscore.Alert(content[1]), last})
	case record.TypeHandshake:
		p.handshake = append(p.handshake, content...)
	case record.TypeApplicationData:
	default:
		return fmt.Errorf("a %s record", t)
	}
	return nil
}

// checkHandshake checks that the handshake messages that can be read are whole.
func (p *parsedOutput) checkHandshake() error {
	for b := p.handshake; len(b) > 0; {
		t, length, ok := wire.Header(b)
		if !ok || len(b) < wire.HeaderLen+length {
			return fmt.Errorf("a part of a %s at the end of the handshake messages", t)
		}
		b = b[wire.HeaderLen+length:]
	}
	return nil
}

// fatal counts the alerts that are not closure alerts.
func fatal(alerts []sentAlert) (n int) {
	for _, a := range alerts {
		if a.alert != tlscore.AlertCloseNotify && a.alert != tlscore.AlertUserCanceled {
			n++
		}
	}
	return n
}

// An ending is what the output of a machine is judged against.
type ending struct {
	role role
	err  error
	// told are the alerts that Config.Trace was told of. It does not tell all
	// when it panicked, nor what an acceptor sends before it has a config.
	told    []sentAlert
	toldAll bool
	// In TLS 1.2 records keep their type when they are protected, and may have a
	// part of their nonce in front.
	tls12    bool
	explicit int
	padding  int // of a record, at most
	// A client that had protected early data may go on in the clear.
	early bool
}

// checkOutput judges all that a machine has sent.
func checkOutput(t *testing.T, out []byte, end ending) {
	t.Helper()
	p, problem := readOutput(out, end)
	if problem != nil {
		t.Fatalf("the output is not well formed: %v\n%x", problem, out)
	}
	want, due := tlscore.AlertOf(end.err)
	alerts := p.alerts
	if p.protected > 0 && !record.NullCrypto {
		// The inner ones cannot be read here, but the length of the last record.
		padding := p.lastSize - (record.Overhead + 2)
		last := p.lastType == byte(record.TypeApplicationData) && padding >= 0 && padding <= end.padding
		if end.tls12 {
			last = p.lastType == byte(record.TypeAlert) && p.lastSize == record.HeaderLen+end.explicit+2+record.TagLen
		}
		if end.early && p.lastType == byte(record.TypeAlert) {
			last = p.lastSize == record.HeaderLen+2
		}
		if !end.toldAll {
			if due && !last {
				t.Fatalf("the connection failed with %v; the last record has %d bytes", end.err, p.lastSize)
			}
			return
		}
		alerts = slices.Clone(end.told)
		if n := len(alerts); n > 0 {
			alerts[n-1].last = last
		}
	}
	same := func(a, b sentAlert) bool { return a.alert == b.alert && a.level == b.level }
	if end.toldAll && !slices.EqualFunc(alerts, end.told, same) {
		t.Fatalf("the alerts on the wire are %v, those told are %v", alerts, end.told)
	}
	if slices.ContainsFunc(alerts, func(a sentAlert) bool { return a.alert == tlscore.AlertCloseNotify }) {
		due = false
	}
	switch n := fatal(alerts); {
	case !due && n != 0:
		t.Fatalf("the connection ended with %v; no alert is due, but %v were sent", end.err, alerts)
	case due && n != 1:
		t.Fatalf("the connection failed with %v; the alerts on the wire are %v", end.err, alerts)
	case due:
		if last := alerts[len(alerts)-1]; last.alert != want || last.level != 2 || !last.last {
			t.Fatalf("the connection failed with %v; the last alert is %+v instead of %s", end.err, last, want)
		}
	}
}
