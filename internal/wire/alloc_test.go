package wire

import (
	"fmt"
	"testing"
)

// A struct that is used again reads without allocating, and writing allocates
// nothing when there is room.
func TestAllocations(t *testing.T) {
	for _, k := range allKinds() {
		m, body := newMessage(k), fullBody(k)
		if err := m.Parse(body); err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(100, func() {
			if err := m.Parse(body); err != nil {
				t.Error(err)
			}
		}); n != 0 {
			t.Errorf("%v: Parse allocates %v times", k, n)
		}
		buf := make([]byte, 0, HeaderLen+len(body))
		if n := testing.AllocsPerRun(100, func() { m.Append(buf) }); n != 0 {
			t.Errorf("%v: Append allocates %v times", k, n)
		}
		forget(m)
		if n := testing.AllocsPerRun(100, func() { m.Append(buf) }); n != 0 {
			t.Errorf("%v: Append of typed fields allocates %v times", k, n)
		}
	}
	var m ClientHello
	if err := m.Parse(fullBody(KindClientHello)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 0, 2048)
	if n := testing.AllocsPerRun(100, func() { m.TryAppend(buf) }); n != 0 {
		t.Errorf("TryAppend allocates %v times", n)
	}
}

func BenchmarkParse(b *testing.B) {
	for k, list := range vectors(b) {
		b.Run(k.String(), func(b *testing.B) {
			m, body := newMessage(k), list[0][HeaderLen:]
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				if err := m.Parse(body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppend(b *testing.B) {
	for k, list := range vectors(b) {
		b.Run(k.String(), func(b *testing.B) {
			m, buf := newMessage(k), make([]byte, 0, 1024)
			if err := m.Parse(list[0][HeaderLen:]); err != nil {
				b.Fatal(err)
			}
			forget(m)
			b.ReportAllocs()
			b.SetBytes(int64(len(list[0])))
			for b.Loop() {
				buf = m.Append(buf[:0])
			}
		})
	}
}

// What a hello costs that is as many extensions as fit.
func BenchmarkParseManyExtensions(b *testing.B) {
	for _, n := range []int{16, 32, 33, 1000, 16000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var list [][]byte
			for i := range n {
				list = append(list, ext(ExtensionType(i+1000), nil))
			}
			var m ClientHello
			body := bodyWith(KindClientHello, list...)
			b.ReportAllocs()
			for b.Loop() {
				if err := m.Parse(body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
