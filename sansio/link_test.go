package sansio_test

import (
	"bytes"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"tlscore.example/tlscore/sansio"
)

func drawShape(t *rapid.T) sansio.Faults {
	return sansio.Faults{
		Split:    rapid.IntRange(0, 10).Draw(t, "split"),
		Coalesce: rapid.IntRange(0, 5).Draw(t, "coalesce"),
		Delay:    rapid.IntRange(0, 5).Draw(t, "delay"),
	}
}

func drawDamage(t *rapid.T, f sansio.Faults) sansio.Faults {
	f.Truncate = rapid.Bool().Draw(t, "truncate")
	f.TruncateAt = rapid.IntRange(0, 100).Draw(t, "truncate at")
	f.FlipOneIn = rapid.IntRange(0, 20).Draw(t, "flip")
	f.DropOneIn = rapid.IntRange(0, 20).Draw(t, "drop")
	f.DuplicateOneIn = rapid.IntRange(0, 20).Draw(t, "duplicate")
	return f
}

// drain receives until nothing is in flight.
func drain(l *sansio.Link) (ds []sansio.Delivery) {
	for l.InFlight() {
		if d, ok := l.Receive(); ok {
			ds = append(ds, d)
		} else {
			l.Tick()
		}
	}
	return ds
}

func received(ds []sansio.Delivery) (p []byte) {
	for _, d := range ds {
		p = append(p, d.Data...)
	}
	return p
}

// Without damage, exactly the bytes arrive, in order, then EOF.
func TestLinkLossless(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := drawShape(t)
		if !f.Lossless() {
			t.Fatal("not lossless")
		}
		l := sansio.NewLink(rapid.Uint64().Draw(t, "seed"), f)
		var tapped []sansio.Delivery
		l.Tap = func(d sansio.Delivery) {
			d.Data = bytes.Clone(d.Data)
			tapped = append(tapped, d)
		}
		var sent []byte
		var got []sansio.Delivery
		t.Repeat(map[string]func(*rapid.T){
			"send": func(t *rapid.T) {
				p := rapid.SliceOf(rapid.Byte()).Draw(t, "p")
				sent = append(sent, p...)
				l.Send(p)
				clear(p) // it is ours again
			},
			"receive": func(t *rapid.T) {
				due := l.Due()
				d, ok := l.Receive()
				if ok != due || ok && len(d.Data) == 0 {
					t.Fatalf("received %v, %t; due %t", d, ok, due)
				}
				if ok {
					got = append(got, d)
				}
			},
			"tick": func(t *rapid.T) { l.Tick() },
			"": func(t *rapid.T) {
				if p := received(got); !bytes.HasPrefix(sent, p) {
					t.Fatalf("received %x of %x", p, sent)
				}
			},
		})
		l.Close()
		l.Close()
		got = append(got, drain(l)...)
		if p := received(got); !bytes.Equal(p, sent) {
			t.Fatalf("received %x, sent %x", p, sent)
		}
		if last := got[len(got)-1]; !last.EOF || last.At != len(sent) {
			t.Fatalf("last delivery %+v", last)
		}
		for _, d := range got[:len(got)-1] {
			if d.EOF {
				t.Fatal("EOF before the end")
			}
		}
		if !reflect.DeepEqual(tapped, got) {
			t.Fatalf("the tap saw %v, the receiver %v", tapped, got)
		}
	})
}

// The same seed, faults and calls give the same deliveries.
func TestLinkDeterministic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		f := drawDamage(t, drawShape(t))
		sends := rapid.SliceOf(rapid.SliceOf(rapid.Byte())).Draw(t, "sends")
		run := func() (ds []sansio.Delivery) {
			l := sansio.NewLink(seed, f)
			for _, p := range sends {
				l.Send(p)
				l.Tick()
				if d, ok := l.Receive(); ok {
					ds = append(ds, d)
				}
			}
			l.Close()
			return append(ds, drain(l)...)
		}
		if a, b := run(), run(); !reflect.DeepEqual(a, b) {
			t.Fatalf("%v\n%v", a, b)
		}
	})
}

func TestLinkPerfectPipe(t *testing.T) {
	l := sansio.NewLink(0, sansio.Faults{})
	l.Send([]byte("one"))
	l.Send(nil)
	l.Send([]byte("two"))
	l.Close()
	want := []sansio.Delivery{
		{Data: []byte("one")},
		{At: 3, Data: []byte("two")},
		{At: 6, EOF: true},
	}
	if got := drain(l); !reflect.DeepEqual(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	if d, ok := l.Receive(); ok {
		t.Fatalf("%v behind EOF", d)
	}
}

func TestLinkShape(t *testing.T) {
	in := bytes.Repeat([]byte("0123456789"), 100)
	lengths := func(f sansio.Faults) (ns []int, ticks int) {
		l := sansio.NewLink(1, f)
		l.Send(in)
		for _, d := range drain(l) {
			ns = append(ns, len(d.Data))
			ticks = d.Tick
		}
		return ns, ticks
	}
	if ns, _ := lengths(sansio.Faults{Split: 1}); len(ns) != len(in) {
		t.Errorf("byte by byte: %d deliveries", len(ns))
	}
	if ns, _ := lengths(sansio.Faults{Split: 10}); slices.Min(ns) != 1 || slices.Max(ns) != 10 {
		t.Errorf("Split: deliveries of %d to %d", slices.Min(ns), slices.Max(ns))
	}
	if ns, _ := lengths(sansio.Faults{Split: 1, Coalesce: 3}); slices.Min(ns) != 1 || slices.Max(ns) != 4 {
		t.Errorf("Coalesce: deliveries of %d to %d", slices.Min(ns), slices.Max(ns))
	}
	if _, ticks := lengths(sansio.Faults{Split: 1, Delay: 3}); ticks < 1000 || ticks > 2000 {
		t.Errorf("Delay: %d ticks for 1000 pieces", ticks)
	}
}

func TestLinkTruncate(t *testing.T) {
	for k := range 8 {
		l := sansio.NewLink(0, sansio.Faults{Split: 2, Delay: 1, Truncate: true, TruncateAt: k})
		l.Send([]byte("abc"))
		l.Send([]byte("def"))
		l.Send([]byte("ghi"))
		l.Close()
		ds := drain(l)
		if got := string(received(ds)); got != "abcdefghi"[:k] {
			t.Errorf("at %d: received %q", k, got)
		}
		if !ds[len(ds)-1].EOF {
			t.Errorf("at %d: no EOF", k)
		}
	}
	l := sansio.NewLink(0, sansio.Faults{Truncate: true})
	if d, ok := l.Receive(); !ok || !d.EOF {
		t.Errorf("at 0: %v, %t before anything was sent", d, ok)
	}
}

func TestLinkDamage(t *testing.T) {
	in := make([]byte, 10_000)
	through := func(f sansio.Faults) []byte {
		if f.Lossless() {
			t.Errorf("%+v is lossless", f)
		}
		l := sansio.NewLink(1, f)
		l.Send(in[:5000])
		l.Send(in[5000:])
		return received(drain(l))
	}
	ones := func(p []byte) (n int) {
		for _, b := range p {
			if b != 0 {
				n++
			}
		}
		return n
	}
	near := func(what string, got, want int) {
		if got < want*8/10 || got > want*12/10 {
			t.Errorf("%s: %d, want about %d", what, got, want)
		}
	}
	got := through(sansio.Faults{Flips: []sansio.Flip{{7, 0x81}, {5001, 1}, {99_999, 1}}})
	if got[7] != 0x81 || got[5001] != 1 || ones(got) != 2 {
		t.Errorf("Flips: %d bytes changed", ones(got))
	}
	near("FlipOneIn", ones(through(sansio.Faults{FlipOneIn: 10})), 1000)
	near("DropOneIn", len(through(sansio.Faults{Split: 1, DropOneIn: 4})), 7500)
	near("DuplicateOneIn", len(through(sansio.Faults{Split: 1, DuplicateOneIn: 4})), 12_500)
	if ones(in) != 0 {
		t.Error("the sender's bytes were changed")
	}
}

// The damage is drawn per byte of the stream: it does not depend on how the
// bytes were handed over.
func TestLinkFlipsFollowTheStream(t *testing.T) {
	in := make([]byte, 1000)
	a := sansio.NewLink(3, sansio.Faults{FlipOneIn: 10, Split: 7})
	b := sansio.NewLink(3, sansio.Faults{FlipOneIn: 10, Delay: 2})
	a.Send(in)
	for i := range in {
		b.Send(in[i : i+1])
	}
	if x, y := received(drain(a)), received(drain(b)); !bytes.Equal(x, y) {
		t.Fatal("other bytes were damaged")
	}
}

func TestLinkSendAfterClose(t *testing.T) {
	l := sansio.NewLink(0, sansio.Faults{})
	l.Close()
	defer func() {
		if recover() == nil {
			t.Fatal("no panic")
		}
	}()
	l.Send([]byte("x"))
}
