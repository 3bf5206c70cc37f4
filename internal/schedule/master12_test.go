package schedule

import (
	"bytes"
	"crypto/fips140"
	"crypto/hmac"
	"testing"

	"pgregory.net/rapid"
)

// modelPRF is the PRF over crypto/hmac, as RFC 5246, Section 5 writes it.
func modelPRF(h Hash, secret []byte, label string, seed []byte, n int) (out []byte) {
	sum := func(message []byte) []byte {
		w := hmac.New(h.New, secret)
		w.Write(message)
		return w.Sum(nil)
	}
	seed = append([]byte(label), seed...)
	a := seed
	for len(out) < n {
		a = sum(a)
		out = append(out, sum(append(bytes.Clone(a), seed...))...)
	}
	return out[:n]
}

// TestPRFKnownAnswers takes the vectors for the PRF of TLS 1.2 that the TLS working group's list has used since 2009.
func TestPRFKnownAnswers(t *testing.T) {
	for _, test := range []struct {
		h                  Hash
		secret, seed, want string
	}{
		{
			SHA256, "9bbe436ba940f017b17652849a71db35", "a0ba9f936cda311827a6f796ffd5198c",
			"e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a" +
				"6b301791e90d35c9c9a46b4e14baf9af0fa022f7077def17abfd3797c0564bab" +
				"4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff701" +
				"87347b66",
		},
		{
			SHA384, "b80b733d6ceefcdc71566ea48e5567df", "cd665cf6a8447dd6ff8b27555edb7465",
			"7b0c18e9ced410ed1804f2cfa34a336a1c14dffb4900bb5fd7942107e81c83cd" +
				"e9ca0faa60be9fe34f82b1233c9146a0e534cb400fed2700884f9dc236f80edd" +
				"8bfa961144c9e8d792eca722a7b32fc3d416d473ebc2c5fd4abfdad05d918425" +
				"9b5bf8cd4d90fa0d31e2dec479e4f1a26066f2eea9a69236a3e52655c9e9aee6" +
				"91c8f3a26854308d5eaa3be85e0990703d73e56f",
		},
	} {
		want := unhex(t, test.want)
		got := make([]byte, len(want))
		prf(test.h, unhex(t, test.secret), "test label", got, unhex(t, test.seed))
		if !bytes.Equal(got, want) {
			t.Errorf("%v:\n got %x\nwant %x", test.h, got, want)
		}
	}
}

func TestPRF(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := drawHash(t)
		secret := drawBytes(t, "secret", 14, 200)
		label := string(drawBytes(t, "label", 0, 300))
		seed := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 300), 0, maxSeedParts).Draw(t, "seed")
		got := make([]byte, rapid.IntRange(0, 300).Draw(t, "n"))
		prf(h, secret, label, got, seed...)
		if want := modelPRF(h, secret, label, bytes.Join(seed, nil), len(got)); !bytes.Equal(got, want) {
			t.Fatalf("got %x, want %x", got, want)
		}
	})
}

// TestExtendedMasterSecret takes the sample vectors of NIST's ACVP for the KDF of RFC 7627, test session 391215.
func TestExtendedMasterSecret(t *testing.T) {
	for _, test := range []struct {
		h                                                                          Hash
		preMaster, clientRandom, serverRandom, sessionHash, masterSecret, keyBlock string
	}{
		{
			h:            SHA256,
			preMaster:    "23c9d8d88575378f5f8009bb596be6815f5d96a3b633467712e1a22405a73482192ec19f5b1273832cb9663e7e66cb28",
			clientRandom: "8d5a49ecff49fd0fefce10fe246f88ae8c2b8802666fe5af1f175f2036f10f7c",
			serverRandom: "66321715222702416ca015eca33ee91c2b76f6667009ba9bb6cc5211237b671a",
			sessionHash:  "9f395b2cec7548b4785dd555b9d9b315ec880233f70654e986366248fd766cc4",
			masterSecret: "3a43bb93200224518942279b01cbe0c04398c6da15232bfb4790b52f15fa563048360312c9958e788c74a19a2f16465e",
			keyBlock: "12562ee7021c315e0b23ccd6daac537b47741a2fb61717c83c76ee203b27ccd4cb7864044cdd22c4a77bd2dc163cb2ed" +
				"082351a11cb9c1af1893f833058382f5e0e1e16ec79f7f04cd670fb1f38259561f0d2cfd2525f51a",
		},
		{
			h:            SHA384,
			preMaster:    "86d4c4505eb4b275bddbd62f7a368638427bf2cd4341b575ae00a7f34e06088e3af6dd916898e28078bf4656a204c2cd",
			clientRandom: "f20e31c397cdb58b988e9cc84ac07bf8203307e42e7f3ab315dfc994faf62607",
			serverRandom: "825247fbde6e5d986b316d7a2ee198dc36969b4fc45b9dda171d63abcb38df91",
			sessionHash:  "fab73aa9d9b80f3d7acaceff0eb2bae0b15ea2f240d9492db70b7ba70b3055678eaa7b05a02c56c22648bd77acf2be91",
			masterSecret: "0020134a8a8a830082674842e91bd090e695f06685298ff2fe4fc6598fd0ce2f2920faf1127b6f6745f33527a9c6a131",
			keyBlock: "0e4f3d3a50bf595aa110edfebce1ee84b8cf95787e0a57f1bc66d25c0ac2c723fb8af0ca1a1a934a1209cfaba51b022b" +
				"ca27d4d56b875f516157b28e0fda285a097358bc56ca8ae5966fc9dad0241dd9c77b6d2ac5570635",
		},
	} {
		master := NewExtendedMasterSecret(test.h, unhex(t, test.preMaster), unhex(t, test.sessionHash))
		if !bytes.Equal(master.Bytes(), unhex(t, test.masterSecret)) || master.Hash() != test.h || !master.Extended() {
			t.Errorf("%v: master secret %x", test.h, master.Bytes())
		}
		if resumed, ok := ResumeMasterSecret(test.h, master.Bytes(), true); !ok || *resumed != *master {
			t.Errorf("%v: resumed another secret", test.h)
		}
		client, server := [32]byte(unhex(t, test.clientRandom)), [32]byte(unhex(t, test.serverRandom))
		for _, size := range [][2]int{{32, 12}, {32, 4}, {16, 4}, {0, 0}} {
			keyLen, ivLen := size[0], size[1]
			k := master.KeyBlock(&client, &server, keyLen, ivLen)
			rest := unhex(t, test.keyBlock)
			for _, part := range []struct {
				name string
				got  []byte
				n    int
			}{
				{"client key", k.ClientKey(), keyLen}, {"server key", k.ServerKey(), keyLen},
				{"client iv", k.ClientIV(), ivLen}, {"server iv", k.ServerIV(), ivLen},
			} {
				if !bytes.Equal(part.got, rest[:part.n]) {
					t.Errorf("%v, %v: %s %x, want %x", test.h, size, part.name, part.got, rest[:part.n])
				}
				rest = rest[part.n:]
			}
			k.Wipe()
			if k.b != [2*maxKeyLen + 2*maxIVLen]byte{} {
				t.Error("key block not zero after Wipe")
			}
		}
	}
}

func TestMasterSecret(t *testing.T) {
	forEach(t, func(t *testing.T, h Hash) {
		client, server := [RandomLen]byte{1, 2, 3}, [RandomLen]byte{4, 5, 6}
		randoms := append(bytes.Clone(client[:]), server[:]...)
		for _, n := range []int{32, 48, 66} { // X25519 and P-256, P-384, P-521
			preMaster := bytes.Repeat([]byte{0x77}, n)
			master := NewMasterSecret(h, preMaster, &client, &server)
			if want := modelPRF(h, preMaster, "master secret", randoms, 48); !bytes.Equal(master.Bytes(), want) {
				t.Errorf("%d bytes: master secret %x, want %x", n, master.Bytes(), want)
			}
			hash := hashOf(h, "messages")
			want := append([]byte("before"), modelPRF(h, master.Bytes(), "client finished", hash, 12)...)
			if got := master.ClientFinished([]byte("before"), hash); !bytes.Equal(got, want) {
				t.Errorf("client's verify_data %x, want %x", got, want)
			}
			want = modelPRF(h, master.Bytes(), "server finished", hash, 12)
			if got := master.ServerFinished(nil, hash); !bytes.Equal(got, want) {
				t.Errorf("server's verify_data %x, want %x", got, want)
			}
			kept := bytes.Clone(master.Bytes())
			resumed, ok := ResumeMasterSecret(h, master.Bytes(), false)
			if !ok || *resumed != *master || resumed.Extended() {
				t.Error("resumed another secret")
			}
			master.Wipe()
			if *master != (MasterSecret{hash: h}) {
				t.Error("not zero after Wipe")
			}
			if !bytes.Equal(resumed.Bytes(), kept) {
				t.Error("a copy was wiped along")
			}
		}
		for _, n := range []int{0, 47, 49} {
			if m, ok := ResumeMasterSecret(h, make([]byte, n), true); ok || m != nil {
				t.Errorf("resumed a secret of %d bytes", n)
			}
		}
	})
}

func TestBrokenInvariantsPanic12(t *testing.T) {
	random := new([RandomLen]byte)
	master := NewMasterSecret(SHA256, make([]byte, 32), random, random)
	mustPanic(t, "session hash of another hash", func() { NewExtendedMasterSecret(SHA256, make([]byte, 32), make([]byte, 48)) })
	mustPanic(t, "transcript of another hash", func() { master.ClientFinished(nil, make([]byte, 48)) })
	mustPanic(t, "no transcript hash", func() { master.ServerFinished(nil, nil) })
	mustPanic(t, "long key", func() { master.KeyBlock(random, random, 33, 4) })
	mustPanic(t, "negative key", func() { master.KeyBlock(random, random, -1, 4) })
	mustPanic(t, "long iv", func() { master.KeyBlock(random, random, 16, 13) })
	mustPanic(t, "negative iv", func() { master.KeyBlock(random, random, 16, -1) })
	mustPanic(t, "unknown hash", func() { NewMasterSecret(0, make([]byte, 32), random, random) })
}

func TestAllocations12(t *testing.T) {
	if fips140.Enabled() {
		t.Skip("the standard library's HMAC allocates")
	}
	forEach(t, func(t *testing.T, h Hash) {
		var client, server [RandomLen]byte
		preMaster, hash, dst := make([]byte, 66), hashOf(h, "messages"), make([]byte, 0, VerifyDataLen)
		var master *MasterSecret
		pin := func(want float64, what string, f func()) {
			t.Helper()
			if got := testing.AllocsPerRun(100, f); got != want {
				t.Errorf("%s: %v allocations, want %v", what, got, want)
			}
		}
		pin(1, "master secret", func() { master = NewMasterSecret(h, preMaster, &client, &server) })
		pin(1, "extended master secret", func() { master = NewExtendedMasterSecret(h, preMaster, hash) })
		pin(0, "keys and Finished", func() {
			k := master.KeyBlock(&client, &server, 32, 12)
			k.Wipe()
			master.ClientFinished(dst, hash)
			master.ServerFinished(dst, hash)
		})
		exporter := master.Exporter(&client, &server)
		context := make([]byte, 32)
		pin(1, "exported material", func() {
			if out, err := exporter.Export("EXPORTER-test", context, 100); err != nil || len(out) != 100 {
				t.Fatal(err)
			}
		})
		handshake := NewHandshakeSecret(h, preMaster)
		main := handshake.Main()
		exporter13 := main.Exporter(hash)
		pin(1, "exported material in TLS 1.3", func() {
			if out, err := exporter13.Export("EXPORTER-test", context, 100); err != nil || len(out) != 100 {
				t.Fatal(err)
			}
		})
	})
}

func BenchmarkMasterSecretAndKeys(b *testing.B) {
	var client, server [RandomLen]byte
	preMaster, hash := make([]byte, 32), make([]byte, 32)
	b.ReportAllocs()
	for b.Loop() {
		k := NewExtendedMasterSecret(SHA256, preMaster, hash).KeyBlock(&client, &server, 16, 4)
		k.Wipe()
	}
}
