package schedule

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// TestExport compares both exporters with their definitions, computed over crypto/hkdf and crypto/hmac.
func TestExport(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := drawHash(rt)
		client, server := [RandomLen]byte{1}, [RandomLen]byte{2}
		context := rapid.OneOf(rapid.SliceOfN(rapid.Byte(), 0, 100), rapid.Just([]byte(nil)),
			rapid.Just(make([]byte, 65535))).Draw(rt, "context")
		label := string(drawBytes(rt, "label", 1, maxLabel))
		n := rapid.OneOf(rapid.IntRange(0, 200), rapid.Just(MaxExport)).Draw(rt, "n")

		secret := &ExporterSecret{extract(h, make([]byte, h.Size()), drawBytes(rt, "secret", 20, 20))}
		derived := model(t, h, secret.Bytes(), label, hashOf(h, ""), h.Size())
		got, err := secret.Export(label, context, n)
		if want := model(t, h, derived, "exporter", hashOf(h, string(context)), n); err != nil || !bytes.Equal(got, want) {
			rt.Fatalf("TLS 1.3: got %x, want %x; error %v", got, want, err)
		}

		master := NewExtendedMasterSecret(h, drawBytes(rt, "pre-master", 32, 66), hashOf(h, ""))
		exporter := master.Exporter(&client, &server)
		seed := append(bytes.Clone(client[:]), server[:]...)
		if context != nil {
			seed = append(append(seed, byte(len(context)>>8), byte(len(context))), context...)
		}
		want := modelPRF(h, master.Bytes(), label, seed, n)
		master.Wipe() // the exporter has its own copy
		got, err = exporter.Export(label, context, n)
		if err != nil || !bytes.Equal(got, want) {
			rt.Fatalf("TLS 1.2: got %x, want %x; error %v", got, want, err)
		}
	})
}

// https://www.rfc-editor.org/rfc/rfc8446#section-7.5
// "Consequently, providing no context computes the same value as
// providing an empty context.  This is a change from previous versions
// of TLS where an empty context produced a different output than an
// absent context."
func TestExportNoContext(t *testing.T) {
	forEach(t, func(t *testing.T, h Hash) {
		random := new([RandomLen]byte)
		old := NewExtendedMasterSecret(h, make([]byte, 32), hashOf(h, "")).Exporter(random, random)
		early := NewEarlySecret(h, nil)
		current := early.EarlyExporter(hashOf(h, ""))
		for _, test := range []struct {
			name   string
			export func(string, []byte, int) ([]byte, error)
			same   bool
		}{{"TLS 1.2", old.Export, false}, {"TLS 1.3", current.Export, true}} {
			none, err := test.export("EXPORTER-test", nil, 32)
			if err != nil {
				t.Fatal(err)
			}
			empty, err := test.export("EXPORTER-test", []byte{}, 32)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Equal(none, empty) != test.same {
				t.Errorf("%s: no context %x, empty context %x", test.name, none, empty)
			}
		}
	})
}

func TestExportRefuses(t *testing.T) {
	random := new([RandomLen]byte)
	old := NewExtendedMasterSecret(SHA384, make([]byte, 32), hashOf(SHA384, "")).Exporter(random, random)
	early := NewEarlySecret(SHA384, nil)
	current := early.EarlyExporter(hashOf(SHA384, ""))
	for _, test := range []struct {
		label      string
		context, n int
		want       error
	}{
		{"master secret", 0, 32, ErrExportLabel},
		{"extended master secret", 0, 32, ErrExportLabel},
		{"key expansion", 0, 32, ErrExportLabel},
		{"client finished", 0, 32, ErrExportLabel},
		{"server finished", 0, 32, ErrExportLabel},
		{string(make([]byte, 250)), 0, 32, ErrExportLabel},
		{"EXPORTER-test", 65536, 32, ErrExportContext},
		{"EXPORTER-test", 0, -1, ErrExportLength},
		{"EXPORTER-test", 0, 8161, ErrExportLength},
		{string(make([]byte, 249)), 65535, 8160, nil},
	} {
		for _, export := range []func(string, []byte, int) ([]byte, error){old.Export, current.Export} {
			out, err := export(test.label, make([]byte, test.context), test.n)
			if err != test.want || (err != nil && out != nil) || (err == nil && len(out) != test.n) {
				t.Errorf("%q, context of %d bytes, %d bytes: %d bytes and %v, want %v",
					test.label, test.context, test.n, len(out), err, test.want)
			}
		}
	}
	if out, err := current.Export("", nil, 32); err != ErrExportLabel || out != nil {
		t.Errorf("TLS 1.3 with an empty label: %d bytes and %v", len(out), err)
	}
	if out, err := old.Export("", nil, 32); err != nil || len(out) != 32 {
		t.Errorf("TLS 1.2 with an empty label: %d bytes and %v", len(out), err)
	}
}

// https://www.rfc-editor.org/rfc/rfc7627#section-5.4
// "Hence, the client or server MUST NOT
// export any key material based on the new master secret for any
// subsequent application-level authentication.  In particular, it MUST
// disable [RFC5705]"
func TestExportNotExtended(t *testing.T) {
	random := &[RandomLen]byte{1}
	plain := NewMasterSecret(SHA256, make([]byte, 32), random, random)
	resumed, _ := ResumeMasterSecret(SHA256, make([]byte, 48), false)
	wiped := NewExtendedMasterSecret(SHA256, make([]byte, 32), hashOf(SHA256, "")).Exporter(random, random)
	wiped.Wipe()
	if wiped != (Exporter12{}) {
		t.Error("not zero after Wipe")
	}
	for _, exporter := range []Exporter12{plain.Exporter(random, random), resumed.Exporter(random, random), wiped, {}} {
		if out, err := exporter.Export("EXPORTER-test", nil, 32); err != ErrExportNotExtended || out != nil {
			t.Errorf("exported %x, error %v", out, err)
		}
	}
}
