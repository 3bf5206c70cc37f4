package netconn

import (
	"io"
	"math/bits"
	"sync"
)

// The sizes of buffers. A blocked Read holds one of the smallest size; it becomes larger
// while the transport fills it, up to largestBlock.
const (
	smallestBlock = 2 << 10
	largestBlock  = 64 << 10
	blockSizes    = 8 // powers of two from the smallest to what a flight needs
)

// block is the memory of a read buffer.
type block struct{ mem []byte }

var blocks [blockSizes]sync.Pool

func sizeIndex(n int) int {
	return bits.Len(uint(max(n, smallestBlock)-1)) - bits.Len(uint(smallestBlock-1))
}

// getBlock returns a block of at least n bytes, or of the largest size.
func getBlock(n int) *block {
	i := min(sizeIndex(n), blockSizes-1)
	if b, ok := blocks[i].Get().(*block); ok {
		return b
	}
	return &block{mem: make([]byte, smallestBlock<<i)}
}

// put hands b back. Its first used bytes may hold plaintext.
func (b *block) put(used int) {
	clear(b.mem[:used])
	blocks[sizeIndex(len(b.mem))].Put(b)
}

// inbox holds what was read and not consumed, and reads behind it, so that a
// record which comes in parts is put together without being copied. A machine
// leaves at most one partial record, so half of the largest block is always free
// after that. The zero value is ready to use.
type inbox struct {
	block *block // nil while nothing is held
	r, w  int    // mem[r:w] is not consumed
	used  int    // mem[used:] was never written to
	want  int    // how large the next block should be
}

// bytes returns what is not consumed. It stays in place until readFrom or idle.
func (b *inbox) bytes() []byte {
	if b.block == nil {
		return nil
	}
	return b.block.mem[b.r:b.w]
}

// consume drops the first n bytes. Their memory stays as it is.
func (b *inbox) consume(n int) { b.r += n }

// idle hands the memory back if nothing is left in it.
func (b *inbox) idle() {
	if b.r == b.w {
		b.release()
	}
}

// release drops everything.
func (b *inbox) release() {
	if b.block != nil {
		b.block.put(b.used)
	}
	b.block, b.r, b.w, b.used = nil, 0, 0, 0
}

// maxEmptyReads is how many reads in a row may return neither bytes nor an error.
const maxEmptyReads = 100

// readFrom reads once behind what is not consumed. Its error means that nothing
// was read.
func (b *inbox) readFrom(r io.Reader) error {
	b.makeRoom()
	free := b.block.mem[b.w:]
	for range maxEmptyReads {
		n, err := r.Read(free)
		if n > 0 {
			b.w += n
			b.used = max(b.used, b.w)
			b.adapt(n, len(free))
			return nil
		}
		if err != nil {
			b.idle()
			return err
		}
	}
	return io.ErrNoProgress
}

// makeRoom moves what is left to the front of a block of the size wanted, twice
// what is left at least.
func (b *inbox) makeRoom() {
	left := b.bytes()
	size := max(b.want, smallestBlock, 2*len(left))
	if b.block != nil && len(b.block.mem) >= size && (len(left) > 0 || len(b.block.mem) == size) {
		b.w = copy(b.block.mem, left)
		b.r = 0
		return
	}
	next := getBlock(min(size, largestBlock))
	n := copy(next.mem, left)
	b.release()
	b.block, b.w, b.used = next, n, n
}

// adapt chooses the size of the next block. A read that filled its memory has
// left something behind, probably; one that did not has emptied the transport,
// so the next will wait, and should do so with little memory.
func (b *inbox) adapt(n, free int) {
	switch {
	case n == free:
		b.want = min(4*len(b.block.mem), largestBlock)
	case n < free/2:
		b.want = smallestBlock
	}
}
