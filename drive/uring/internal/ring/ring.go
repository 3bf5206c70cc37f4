//go:build linux

package ring

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Op is an operation. The values are those of linux/io_uring.h.
type Op uint8

// The operations that there are calls for.
const (
	OpNop    Op = 0
	OpAccept Op = 13
	OpCancel Op = 14
	OpClose  Op = 19
	OpRead   Op = 22
	OpSend   Op = 26
	OpRecv   Op = 27

	opSendZC Op = 47 // of Linux 6.0, as multishot receive, which cannot be asked for
)

// What setup, enter and registration take and tell.
const (
	setupCQSize       = 1 << 3
	setupClamp        = 1 << 4
	setupSubmitAll    = 1 << 7  // Linux 5.18
	setupCoopTaskrun  = 1 << 8  // Linux 5.19
	setupSingleIssuer = 1 << 12 // Linux 6.0
	setupDeferTaskrun = 1 << 13 // Linux 6.1

	featSingleMmap = 1 << 0
	featNoDrop     = 1 << 1
	featExtArg     = 1 << 8

	enterGetEvents = 1 << 0
	enterExtArg    = 1 << 3

	registerProbe    = 8
	registerBufRing  = 22
	probeOpSupported = 1 << 0

	offSQEs = 0x10000000

	sqeBufferSelect   = 1 << 5
	acceptMultishot   = 1 << 0
	recvMultishot     = 1 << 1
	cancelAll         = 1 << 0
	cancelFD          = 1 << 1
	cqeBuffer         = 1 << 0
	cqeMore           = 1 << 1
	cqeBufferShift    = 16
	sqeSize           = 64
	cqeSize           = 16
	bufSize           = 16
	bufTailOffset     = 14
	opsProbed         = 64
	probeHeader       = 16
	probeEntry        = 8
	probeFlagsOffset  = 2
	timespecSize      = 16
	geteventsArgSize  = 24
	bytesOfInt64      = 8
	maxBuffersOfARing = 1 << 15
)

// ErrUnavailable is returned, wrapped with the reason, when there is no io_uring that is
// good enough: it is switched off, or the kernel is older than Linux 6.0.
var ErrUnavailable = errors.New("io_uring is not available")

// sqe is struct io_uring_sqe.
type sqe struct {
	opcode   Op
	flags    uint8
	ioprio   uint16
	fd       int32
	off      uint64
	addr     uint64
	len      uint32
	opFlags  uint32
	userData uint64
	bufGroup uint16
	_        [22]byte
}

// cqe is struct io_uring_cqe.
type cqe struct {
	userData uint64
	res      int32
	flags    uint32
}

type sqOffsets struct {
	head, tail, ringMask, ringEntries, flags, dropped, array, _ uint32
	_                                                           uint64
}

type cqOffsets struct {
	head, tail, ringMask, ringEntries, overflow, cqes, flags, _ uint32
	_                                                           uint64
}

type params struct {
	sqEntries, cqEntries, flags, sqThreadCPU, sqThreadIdle, features, wqFD uint32
	_                                                                      [3]uint32
	sq                                                                     sqOffsets
	cq                                                                     cqOffsets
}

type geteventsArg struct {
	sigmask   uint64
	sigmaskSz uint32
	_         uint32
	ts        uint64
}

// Ring is an instance of io_uring.
type Ring struct {
	fd    int
	rings []byte // both rings
	sqes  []byte

	sqHead, sqTail, cqHead, cqTail *atomic.Uint32
	sqMask, cqMask, sqSize         uint32
	array                          unsafe.Pointer
	cqes                           unsafe.Pointer
	tail                           uint32 // of the submission ring, as far as it is filled
	submitted                      uint32 // as far as the kernel knows

	// What the kernel reads a timeout from: memory of Go's would have to be pinned.
	wait []byte
}

// New sets up a ring with room for so many submissions and completions at a time.
func New(entries, completions uint32) (*Ring, error) {
	p := params{flags: setupCQSize | setupClamp | setupSubmitAll | setupCoopTaskrun | setupSingleIssuer | setupDeferTaskrun, cqEntries: completions}
	fd, err := setup(entries, &p)
	if err == unix.EINVAL { // Linux 6.0 cannot defer
		p = params{flags: setupCQSize | setupClamp | setupSubmitAll | setupCoopTaskrun | setupSingleIssuer, cqEntries: completions}
		fd, err = setup(entries, &p)
	}
	switch err {
	case nil:
	case unix.ENOSYS:
		return nil, fmt.Errorf("%w: the kernel has none", ErrUnavailable)
	case unix.EPERM, unix.EACCES:
		return nil, fmt.Errorf("%w: it is not allowed here (see /proc/sys/kernel/io_uring_disabled, and the filters of containers)", ErrUnavailable)
	case unix.EINVAL:
		return nil, fmt.Errorf("%w: the kernel is older than Linux 6.0", ErrUnavailable)
	default:
		return nil, os.NewSyscallError("io_uring_setup", err)
	}
	r := &Ring{fd: fd}
	if err := r.init(&p); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

func setup(entries uint32, p *params) (int, error) {
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, uintptr(entries), uintptr(unsafe.Pointer(p)), 0)
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil
}

func (r *Ring) init(p *params) error {
	const needed = featSingleMmap | featNoDrop | featExtArg
	if p.features&needed != needed {
		return fmt.Errorf("%w: the kernel is older than Linux 6.0", ErrUnavailable)
	}
	if err := r.probe(); err != nil {
		return err
	}
	size := max(p.sq.array+p.sqEntries*4, p.cq.cqes+p.cqEntries*cqeSize)
	var err error
	if r.rings, err = unix.Mmap(r.fd, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE); err != nil {
		return os.NewSyscallError("mmap", err)
	}
	if r.sqes, err = unix.Mmap(r.fd, offSQEs, int(p.sqEntries)*sqeSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE); err != nil {
		return os.NewSyscallError("mmap", err)
	}
	if r.wait, err = Memory(os.Getpagesize()); err != nil {
		return err
	}
	r.sqHead, r.sqTail = r.word(p.sq.head), r.word(p.sq.tail)
	r.cqHead, r.cqTail = r.word(p.cq.head), r.word(p.cq.tail)
	r.sqMask, r.cqMask = r.word(p.sq.ringMask).Load(), r.word(p.cq.ringMask).Load()
	r.sqSize = p.sqEntries
	r.array = unsafe.Pointer(&r.rings[p.sq.array])
	r.cqes = unsafe.Pointer(&r.rings[p.cq.cqes])
	r.tail = r.sqTail.Load()
	r.submitted = r.tail
	return nil
}

// probe asks whether the kernel is new enough.
func (r *Ring) probe() error {
	b := make([]byte, probeHeader+opsProbed*probeEntry)
	if err := r.register(registerProbe, unsafe.Pointer(&b[0]), opsProbed); err != nil {
		return os.NewSyscallError("io_uring_register", err)
	}
	if b[probeHeader+int(opSendZC)*probeEntry+probeFlagsOffset]&probeOpSupported == 0 {
		return fmt.Errorf("%w: the kernel is older than Linux 6.0", ErrUnavailable)
	}
	return nil
}

func (r *Ring) register(opcode uint, arg unsafe.Pointer, n int) error {
	if _, _, errno := unix.Syscall6(unix.SYS_IO_URING_REGISTER, uintptr(r.fd), uintptr(opcode), uintptr(arg), uintptr(n), 0, 0); errno != 0 {
		return errno
	}
	return nil
}

func (r *Ring) word(off uint32) *atomic.Uint32 {
	return (*atomic.Uint32)(unsafe.Pointer(&r.rings[off]))
}

// Close ends the ring. The kernel may still be at operations that were not completed, so
// their memory must not be unmapped behind it, unless all were.
func (r *Ring) Close() {
	unix.Close(r.fd)
	for _, mem := range [][]byte{r.rings, r.sqes, r.wait} {
		if mem != nil {
			unix.Munmap(mem)
		}
	}
	r.rings, r.sqes, r.wait = nil, nil, nil
}

// Memory returns memory outside of Go's heap, zeroed, of at least that size; unix.Munmap
// hands it back.
func Memory(size int) ([]byte, error) {
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	return mem, os.NewSyscallError("mmap", err)
}

// next returns the next free submission. When there is none, the kernel is told of what
// there is, and takes it at once.
func (r *Ring) next(op Op, fd int, userData uint64) (*sqe, error) {
	for r.tail-r.sqHead.Load() >= r.sqSize {
		if err := r.enter(0, nil); err != nil {
			return nil, err
		}
	}
	i := r.tail & r.sqMask
	*(*uint32)(unsafe.Add(r.array, i*4)) = i
	e := (*sqe)(unsafe.Pointer(&r.sqes[i*sqeSize]))
	*e = sqe{opcode: op, fd: int32(fd), userData: userData}
	r.tail++
	return e, nil
}

// Nop submits an operation that does nothing.
func (r *Ring) Nop(userData uint64) error {
	_, err := r.next(OpNop, -1, userData)
	return err
}

// Accept submits a multishot accept: a completion for each connection, until one without
// More. The sockets block, as operations of the ring want them.
func (r *Ring) Accept(fd int, userData uint64) error {
	e, err := r.next(OpAccept, fd, userData)
	if err == nil {
		e.ioprio = acceptMultishot
		e.opFlags = unix.SOCK_CLOEXEC
	}
	return err
}

// Recv submits a multishot receive into provided buffers: a completion for each that was
// filled, until one without More.
func (r *Ring) Recv(fd int, userData uint64, b *Buffers) error {
	e, err := r.next(OpRecv, fd, userData)
	if err == nil {
		e.ioprio = recvMultishot
		e.flags = sqeBufferSelect
		e.bufGroup = b.group
	}
	return err
}

// Send submits a send of p, which is memory of [Memory] and must stay as it is until the
// completion. It may send less.
func (r *Ring) Send(fd int, userData uint64, p []byte) error {
	e, err := r.next(OpSend, fd, userData)
	if err == nil {
		e.addr = uint64(uintptr(unsafe.Pointer(unsafe.SliceData(p))))
		e.len = uint32(len(p))
		e.opFlags = unix.MSG_NOSIGNAL
	}
	return err
}

// Read submits a read into p, which is memory of [Memory].
func (r *Ring) Read(fd int, userData uint64, p []byte) error {
	e, err := r.next(OpRead, fd, userData)
	if err == nil {
		e.addr = uint64(uintptr(unsafe.Pointer(unsafe.SliceData(p))))
		e.len = uint32(len(p))
	}
	return err
}

// Cancel submits the cancellation of the operation that was submitted with target. It
// completes with ECANCELED if it was not done yet; the cancellation completes, too.
func (r *Ring) Cancel(target, userData uint64) error {
	e, err := r.next(OpCancel, -1, userData)
	if err == nil {
		e.addr = target
	}
	return err
}

// CancelFD is Cancel for all operations on a file descriptor.
func (r *Ring) CancelFD(fd int, userData uint64) error {
	e, err := r.next(OpCancel, fd, userData)
	if err == nil {
		e.opFlags = cancelAll | cancelFD
	}
	return err
}

// CloseFD submits the close of a file descriptor.
func (r *Ring) CloseFD(fd int, userData uint64) error {
	_, err := r.next(OpClose, fd, userData)
	return err
}

// Submit tells the kernel of what was submitted, and waits for a completion for at most so
// long.
func (r *Ring) Submit(timeout time.Duration) error {
	if r.cqTail.Load() != r.cqHead.Load() {
		timeout = 0 // there is one already
	}
	ts := (*unix.Timespec)(unsafe.Pointer(&r.wait[0]))
	*ts = unix.NsecToTimespec(int64(max(0, timeout)))
	arg := (*geteventsArg)(unsafe.Pointer(&r.wait[timespecSize]))
	*arg = geteventsArg{ts: uint64(uintptr(unsafe.Pointer(ts)))}
	wait := 1
	if timeout <= 0 {
		wait = 0
	}
	return r.enter(wait, arg)
}

// enter is the system call. A wait that was interrupted, or is over, is no error.
func (r *Ring) enter(wait int, arg *geteventsArg) error {
	r.sqTail.Store(r.tail)
	flags, size := uintptr(enterGetEvents), uintptr(0)
	if arg != nil {
		flags, size = flags|enterExtArg, geteventsArgSize
	}
	n, _, errno := unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), uintptr(r.tail-r.submitted), uintptr(wait),
		flags, uintptr(unsafe.Pointer(arg)), size)
	switch errno {
	case 0:
		r.submitted += uint32(n)
	case unix.EINTR, unix.ETIME, unix.EAGAIN, unix.EBUSY:
		// Nothing was submitted, or all, of which the head of the ring tells.
		r.submitted = r.sqHead.Load()
	default:
		return os.NewSyscallError("io_uring_enter", errno)
	}
	return nil
}

// Completion is what became of an operation.
type Completion struct {
	UserData uint64
	// Res is the result: what the system call would return, or the negative error
	// number.
	Res int32
	// More says that the operation goes on, and completes again.
	More bool
	// Buffer is the provided buffer that was filled, -1 if there is none.
	Buffer int
}

// Err returns the error of the operation, nil if it succeeded.
func (c Completion) Err() error {
	if c.Res >= 0 {
		return nil
	}
	return unix.Errno(-c.Res)
}

// Next returns the next completion, if there is one.
func (r *Ring) Next() (c Completion, ok bool) {
	head := r.cqHead.Load()
	if head == r.cqTail.Load() {
		return c, false
	}
	e := (*cqe)(unsafe.Add(r.cqes, (head&r.cqMask)*cqeSize))
	c = Completion{UserData: e.userData, Res: e.res, More: e.flags&cqeMore != 0, Buffer: -1}
	if e.flags&cqeBuffer != 0 {
		c.Buffer = int(e.flags >> cqeBufferShift)
	}
	r.cqHead.Store(head + 1)
	return c, true
}

// Buffers are provided buffers: the kernel takes one when it has something to put into it.
type Buffers struct {
	group   uint16
	ring    []byte // entries of struct io_uring_buf; the tail is in the first
	mem     []byte
	size    int
	mask    int
	tail    uint16
	entries int
}

// bufRingReg is struct io_uring_buf_reg.
type bufRingReg struct {
	addr    uint64
	entries uint32
	group   uint16
	flags   uint16
	_       [3]uint64
}

// NewBuffers provides n buffers of a size as a group; n is a power of two up to 32768.
func (r *Ring) NewBuffers(group uint16, n, size int) (*Buffers, error) {
	if n <= 0 || n > maxBuffersOfARing || n&(n-1) != 0 {
		return nil, fmt.Errorf("ring: %d buffers are no power of two up to %d", n, maxBuffersOfARing)
	}
	b := &Buffers{group: group, size: size, mask: n - 1, entries: n}
	var err error
	if b.ring, err = Memory(n * bufSize); err != nil {
		return nil, err
	}
	if b.mem, err = Memory(n * size); err != nil {
		b.Free()
		return nil, err
	}
	reg := bufRingReg{addr: uint64(uintptr(unsafe.Pointer(&b.ring[0]))), entries: uint32(n), group: group}
	if err := r.register(registerBufRing, unsafe.Pointer(&reg), 1); err != nil {
		b.Free()
		return nil, os.NewSyscallError("io_uring_register", err)
	}
	for i := range n {
		b.Give(i)
	}
	return b, nil
}

// Bytes returns the first n bytes of a buffer that was filled. It belongs to the caller
// until Give.
func (b *Buffers) Bytes(i, n int) []byte { return b.mem[i*b.size:][:n:n] }

// Give gives a buffer back to the kernel.
func (b *Buffers) Give(i int) {
	// The tail shares its word with the buffer's number in the first entry, so the two
	// are written together; the kernel reads the tail with acquire semantics, and looks
	// at no entry behind it.
	e := unsafe.Pointer(&b.ring[(int(b.tail)&b.mask)*bufSize])
	*(*uint64)(e) = uint64(uintptr(unsafe.Pointer(&b.mem[i*b.size])))
	*(*uint32)(unsafe.Add(e, 8)) = uint32(b.size)
	*(*uint16)(unsafe.Add(e, 12)) = uint16(i)
	b.tail++
	word := (*atomic.Uint32)(unsafe.Pointer(&b.ring[bufTailOffset-2]))
	bid := *(*uint16)(unsafe.Pointer(&b.ring[bufTailOffset-2]))
	word.Store(uint32(bid) | uint32(b.tail)<<16)
}

// Free unmaps the memory. The ring has to be closed before.
func (b *Buffers) Free() {
	for _, mem := range [][]byte{b.ring, b.mem} {
		if mem != nil {
			unix.Munmap(mem)
		}
	}
	b.ring, b.mem = nil, nil
}
