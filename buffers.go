package tlscore

import (
	"math/bits"
	"sync"
	"unsafe"
)

// Allocator hands out the memory of buffers and takes it back: those of a
// machine ([Config].Allocator), and those of a driver ([Inbound], [Outbound]).
// A machine calls it from whichever of its two halves needs memory, so an
// allocator shared between goroutines has to allow for that. It must not panic.
type Allocator interface {
	// Get returns a slice of length n; its capacity may be larger.
	Get(n int) []byte
	// Put takes back what Get returned, at its full capacity. Nobody refers to
	// it any more, and no plaintext is left in it.
	Put(b []byte)
}

// pooled is the allocator of those who name none: a pool for each power of two
// between minBuffer and maxPooled, the garbage collector beyond.
type pooled struct{}

const (
	minBuffer = 1 << 9 // the smallest buffer that is asked for
	maxPooled = 1 << 17
)

// pools has the memory of size minBuffer<<i at index i. It keeps pointers to the
// first byte, since those, unlike slices, fit an interface without allocation.
var pools [9]sync.Pool

// sizeClass returns the index of the smallest pooled size that holds n bytes.
func sizeClass(n int) int {
	return bits.Len(uint(max(n, minBuffer)-1)) - bits.Len(uint(minBuffer-1))
}

func (pooled) Get(n int) []byte {
	if n > maxPooled {
		return make([]byte, n)
	}
	class := sizeClass(n)
	if first, ok := pools[class].Get().(*byte); ok {
		return unsafe.Slice(first, minBuffer<<class)[:n]
	}
	return make([]byte, n, minBuffer<<class)
}

func (pooled) Put(b []byte) {
	if size := cap(b); size >= minBuffer && size <= maxPooled && size&(size-1) == 0 {
		pools[sizeClass(size)].Put(unsafe.SliceData(b[:size]))
	}
}

func allocatorOr(a Allocator) Allocator {
	if a == nil {
		return pooled{}
	}
	return a
}

// release hands b back.
func release(a Allocator, b []byte) {
	if cap(b) > 0 {
		allocatorOr(a).Put(b[:cap(b)])
	}
}

// wipe clears b, which held plaintext, and hands it back: what the next owner of
// the memory reads is nobody's business. No byte behind the length of b was used.
func wipe(a Allocator, b []byte) {
	clear(b)
	release(a, b)
}

// enlarge returns memory for need bytes that holds what b holds. Sizes double, so
// that the bytes moved stay linear in the bytes kept.
func enlarge(a Allocator, b []byte, need int) []byte {
	size := max(minBuffer, 2*cap(b))
	for size < need {
		size *= 2
	}
	bigger := allocatorOr(a).Get(size)
	return bigger[:copy(bigger, b)]
}

// Inbound joins what [Machine.Step] left over with what comes next. It copies
// only what is left over, which is less than a record unless Step was not called
// to the end, and holds no memory while nothing is. The zero value is ready to
// use.
//
//	in := inbound.Join(chunk)
//	for {
//		ev, n := m.Step(in)
//		in = in[n:]
//		// … handle ev …
//		if ev.Stop() {
//			break
//		}
//	}
//	inbound.Keep(in)
type Inbound struct {
	// Allocator is where the memory comes from; nil means a shared pool.
	Allocator Allocator

	buf []byte // what was left over
}

// Join returns what was left over followed by chunk: chunk itself when nothing
// was. The result is the machine's input, so it may be overwritten; it is valid
// until Keep.
func (b *Inbound) Join(chunk []byte) []byte {
	if len(b.buf) == 0 {
		return chunk
	}
	if need := len(b.buf) + len(chunk); need > cap(b.buf) {
		old := b.buf
		b.buf = enlarge(b.Allocator, old, need)
		wipe(b.Allocator, old)
	}
	b.buf = append(b.buf, chunk...)
	return b.buf
}

// Keep copies rest, the end of what Join returned, to present it again. It ends
// the life of what Join returned, and of the events that came out of it.
func (b *Inbound) Keep(rest []byte) {
	if len(rest) == 0 {
		b.Release()
		return
	}
	size := max(minBuffer, len(rest))
	if size > cap(b.buf) || 4*size < cap(b.buf) {
		// Too small, or so large that it is not worth holding.
		old := b.buf
		b.buf = append(allocatorOr(b.Allocator).Get(size)[:0], rest...)
		wipe(b.Allocator, old)
		return
	}
	used := len(b.buf)
	b.buf = b.buf[:max(used, len(rest))]
	n := copy(b.buf, rest) // rest may be the tail of the same memory: copy allows it
	clear(b.buf[n:])       // plaintext that was decrypted here
	b.buf = b.buf[:n]
}

// Len returns how many bytes are kept.
func (b *Inbound) Len() int { return len(b.buf) }

// Bytes returns the bytes that are kept, valid until the next call.
func (b *Inbound) Bytes() []byte { return b.buf }

// Release clears the memory and hands it back.
func (b *Inbound) Release() {
	wipe(b.Allocator, b.buf)
	b.buf = nil
}

// Outbound is a queue of bytes in one piece of memory, which is handed back when
// the queue is empty. What Bytes returned stays in place until Discard, however
// much is appended meanwhile. The zero value is ready to use and has no bound.
type Outbound struct {
	// Allocator is where the memory comes from; nil means a shared pool.
	Allocator Allocator
	// Limit bounds what Append takes: it accepts bytes only while fewer than
	// Limit are queued. Zero means no bound.
	Limit int

	buf     []byte
	off     int      // buf[off:] is queued
	lent    bool     // Bytes was called since the last Discard
	retired [][]byte // outgrown memory that Bytes had shown
}

// Len returns how many bytes are queued.
func (b *Outbound) Len() int { return len(b.buf) - b.off }

// Room returns how many bytes Append would take.
func (b *Outbound) Room() int {
	if b.Limit == 0 {
		return int(^uint(0) >> 1)
	}
	return max(0, b.Limit-b.Len())
}

// Append queues as much of p as the bound allows and returns how much that was.
func (b *Outbound) Append(p []byte) int {
	n := min(len(p), b.Room())
	if n > 0 {
		b.commit(append(b.extend(n), p[:n]...))
	}
	return n
}

// Bytes returns what is queued, oldest first. It stays in place and unchanged
// until Discard, and belongs to the queue.
func (b *Outbound) Bytes() []byte {
	if b.Len() == 0 {
		return nil
	}
	b.lent = true
	return b.buf[b.off:len(b.buf):len(b.buf)]
}

// Discard drops the oldest n bytes, which were sent; more than Len means all.
func (b *Outbound) Discard(n int) {
	b.off += max(0, min(n, b.Len()))
	b.lent = false
	b.handBackRetired()
	if b.off == len(b.buf) {
		b.Release()
	}
}

// Release drops everything and hands the memory back. It does not clear it: what
// was queued is meant for the wire.
func (b *Outbound) Release() {
	b.handBackRetired()
	release(b.Allocator, b.buf)
	b.buf, b.off, b.lent = nil, 0, false
}

// extend returns the memory of the queue with room for n more bytes behind what
// it holds, to append to; commit takes it back.
func (b *Outbound) extend(n int) []byte {
	if len(b.buf)+n <= cap(b.buf) {
		return b.buf
	}
	if b.off > 0 && !b.lent && b.Len()+n <= cap(b.buf) && b.off >= b.Len() {
		// Half of the memory or more was sent: moving the rest to the front
		// costs no more than what sending it has cost already.
		b.buf = b.buf[:copy(b.buf, b.buf[b.off:])]
		b.off = 0
		return b.buf
	}
	old := b.buf
	b.buf = enlarge(b.Allocator, old[b.off:], b.Len()+n)
	b.off = 0
	if b.lent {
		b.retired = append(b.retired, old)
		b.lent = false
	} else {
		release(b.Allocator, old)
	}
	return b.buf
}

// commit takes the result of appending to what extend returned.
func (b *Outbound) commit(buf []byte) { b.buf = buf }

func (b *Outbound) handBackRetired() {
	for _, old := range b.retired {
		release(b.Allocator, old)
	}
	b.retired = nil
}
