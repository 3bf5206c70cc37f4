package tlscore

import (
	"bytes"
	"math"
	"testing"
)

// counting is an allocator that knows what is out, and that nothing was put back
// with plaintext in it unless told otherwise.
type counting struct {
	t     *testing.T
	out   map[*byte]int
	dirty bool // what comes back may hold bytes, as that of the output does
}

func newCounting(t *testing.T) *counting { return &counting{t: t, out: make(map[*byte]int)} }

func (c *counting) Get(n int) []byte {
	b := make([]byte, n, n+n%3)
	c.out[&b[0]] = cap(b)
	return b
}

func (c *counting) Put(b []byte) {
	c.t.Helper()
	size, ok := c.out[&b[:1][0]]
	if !ok || size != cap(b) {
		c.t.Errorf("%d bytes came back that were never out", cap(b))
	}
	delete(c.out, &b[:1][0])
	if !c.dirty && len(bytes.Trim(b[:cap(b)], "\x00")) > 0 {
		c.t.Error("memory came back with bytes in it")
	}
}

func (c *counting) wantNone() {
	c.t.Helper()
	if len(c.out) > 0 {
		c.t.Errorf("%d buffers are held", len(c.out))
	}
}

func TestInbound(t *testing.T) {
	memory := newCounting(t)
	in := Inbound{Allocator: memory}
	chunk := []byte("chunk")
	if got := in.Join(chunk); &got[0] != &chunk[0] || len(got) != 5 {
		t.Error("nothing was left over, and the chunk was copied")
	}
	in.Keep(nil)
	memory.wantNone()

	in.Keep([]byte("left "))
	if in.Len() != 5 || string(in.Bytes()) != "left " {
		t.Errorf("%d bytes: %q", in.Len(), in.Bytes())
	}
	joined := in.Join([]byte("over"))
	if string(joined) != "left over" {
		t.Errorf("%q", joined)
	}
	in.Keep(joined[5:]) // the tail of the same memory
	if got := in.Bytes(); string(got) != "over" || string(got[:9]) != "over\x00\x00\x00\x00\x00" {
		t.Errorf("%q", got[:9])
	}
	// More than the memory holds, in both ways of growing.
	big := bytes.Repeat([]byte("0123456789"), 200)
	if joined = in.Join(big); string(joined) != "over"+string(big) {
		t.Errorf("%d bytes", len(joined))
	}
	in.Keep(append([]byte("more"), bytes.Repeat(big, 4)...))
	if in.Len() != 4+4*len(big) || len(memory.out) != 1 {
		t.Errorf("%d bytes in %d buffers", in.Len(), len(memory.out))
	}
	in.Keep(nil)
	memory.wantNone()
	in.Keep([]byte("again"))
	in.Release()
	memory.wantNone()
	if in.Len() != 0 {
		t.Error("bytes behind Release")
	}
}

func TestOutbound(t *testing.T) {
	memory := newCounting(t)
	memory.dirty = true
	out := Outbound{Allocator: memory}
	if out.Bytes() != nil || out.Len() != 0 || out.Room() != math.MaxInt {
		t.Error("not empty")
	}
	out.Append([]byte("first"))
	shown := out.Bytes()
	// What was shown stays, however much comes behind it.
	for range 100 {
		out.Append(bytes.Repeat([]byte{'x'}, 100))
	}
	if string(shown) != "first" || out.Len() != 5+100*100 || !bytes.HasPrefix(out.Bytes(), []byte("firstxxx")) {
		t.Errorf("%q, %d bytes", shown, out.Len())
	}
	if len(memory.out) < 2 {
		t.Error("the memory that was shown is gone")
	}
	out.Discard(5)
	if len(memory.out) != 1 {
		t.Errorf("%d buffers", len(memory.out))
	}
	out.Discard(out.Len())
	memory.wantNone()

	// Half of it sent: what is left moves to the front.
	out.Append(make([]byte, 500))
	out.Discard(300)
	out.Append(bytes.Repeat([]byte{1}, 200))
	if out.Len() != 400 || len(memory.out) != 1 || !bytes.Equal(out.Bytes(), append(make([]byte, 200), bytes.Repeat([]byte{1}, 200)...)) {
		t.Errorf("%d bytes in %d buffers", out.Len(), len(memory.out))
	}
	out.Release()
	memory.wantNone()

	// The bound.
	out.Limit = 10
	if n := out.Append(make([]byte, 7)); n != 7 || out.Room() != 3 {
		t.Errorf("%d taken, room for %d", n, out.Room())
	}
	if n := out.Append(make([]byte, 7)); n != 3 || out.Room() != 0 {
		t.Errorf("%d taken, room for %d", n, out.Room())
	}
	if n := out.Append(make([]byte, 7)); n != 0 {
		t.Errorf("%d taken", n)
	}
	// More than there is means all of it, and less than nothing means nothing.
	out.Discard(-1)
	if out.Len() != 10 {
		t.Errorf("%d bytes", out.Len())
	}
	out.Discard(11)
	if out.Len() != 0 {
		t.Errorf("%d bytes", out.Len())
	}
	memory.wantNone()
}

// The pool gives what was asked for, at any size.
func TestPooled(t *testing.T) {
	var p pooled
	for _, n := range []int{1, 511, 512, 513, 1024, 1025, 1 << 16, 1 << 17, 1<<17 + 1, 1 << 20} {
		for range 3 {
			b := p.Get(n)
			if len(b) != n {
				t.Errorf("Get(%d) gave %d bytes", n, len(b))
			}
			p.Put(b)
		}
	}
	p.Put(make([]byte, 3)) // not its own
}

// All memory goes back: when the buffers are empty, when the connection fails,
// and when it is released.
func TestMemoryComesBack(t *testing.T) {
	for _, newRig := range []func(*testing.T, ...func(*Config)) *rig{newClientRig, newServerRig} {
		memory := newCounting(t)
		memory.dirty = true
		use := func(c *Config) { c.Allocator = memory }
		r := newRig(t, use)
		r.wantConnected()
		memory.wantNone()
		for _, end := range []func(*rig){
			func(r *rig) { r.p.SendRecord(22, r.p.KeyUpdate(0)[:2]); r.run(); r.m.Release() },
			func(r *rig) { r.m.Write([]byte("data")); r.m.Release() },
			func(r *rig) { r.p.SendRecord(22, r.p.KeyUpdate(0)[:2]); withData(r); r.run(); r.m.Output() },
			func(r *rig) { r.m.Write([]byte("data")); r.m.Output(); r.m.Write(make([]byte, 1000)); r.m.Release() },
			func(r *rig) { r.m.EOF(); r.run() },
		} {
			r := newRig(t, use).bring(StateConnected)
			end(r)
			memory.wantNone()
		}
	}
}
