// Package ring is a binding to io_uring, as small as the driver above it allows: the two
// rings, a ring of provided buffers, and the few operations that a server needs.
//
// Why not one that exists: the fullest in pure Go, giouring, has not been maintained since
// 2023 and is linked by current Go only with a check of the linker turned off, since it
// pulls an unexported function out of the syscall package. What it saves is the 300 lines
// of this package, which are about memory that is shared with the kernel, and which one
// wants to have read.
//
// That memory is outside of Go's heap: it does not move, is not collected, and is unmapped
// when the kernel has let go of it. The kernel's side of a ring is read with acquire and
// written with release semantics; Go's atomic operations are stronger than both.
//
// A Ring belongs to one goroutine, which is locked to its thread.
package ring
