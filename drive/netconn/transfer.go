package netconn

import "io"

// largestFlight is how much application data is sealed and sent at a time.
const largestFlight = 128 << 10

// outgoing is what was sealed and not sent. It holds memory only while there is some.
type outgoing struct {
	block *block
	r, w  int
}

func (o *outgoing) bytes() []byte {
	if o.block == nil {
		return nil
	}
	return o.block.mem[o.r:o.w]
}

func (o *outgoing) discard(n int) {
	if o.r += n; o.r == o.w && o.block != nil {
		o.block.put(0) // what is in it is meant for the wire
		*o = outgoing{}
	}
}

// sealNext seals the beginning of p, behind what is in the machine's output, to be sent by
// flush. Nothing that was sealed before waits. The caller holds send.
func (c *Conn) sealNext(p []byte) (n int, err error) {
	p = p[:min(len(p), largestFlight)]
	// Little fits into the smallest block, unless the machine has much to add.
	size := smallestBlock
	if len(p) > smallestBlock/2 {
		size = c.machine.SealedLen(len(p))
	}
	if n, err = c.sealInto(getBlock(size), p); n == 0 && err == nil && c.unsent.block == nil {
		n, err = c.sealInto(getBlock(c.machine.SealedLen(len(p))), p)
	}
	return n, err
}

func (c *Conn) sealInto(b *block, p []byte) (n int, err error) {
	sealed, n, err := c.machine.AppendSealed(b.mem[:0], p)
	if c.unsent = (outgoing{b, 0, len(sealed)}); len(sealed) == 0 {
		c.unsent.discard(0)
	}
	return n, err
}

// ReadFrom writes all that r has, until its end: what one Read of it returns in one Write,
// so nothing waits for more. It is what io.Copy calls.
func (c *Conn) ReadFrom(r io.Reader) (n int64, err error) {
	if err := c.Handshake(); err != nil {
		return 0, err
	}
	b := getBlock(largestBlock)
	defer b.put(len(b.mem))
	for {
		k, err := r.Read(b.mem)
		if k > 0 {
			wrote, failed := c.Write(b.mem[:k])
			n += int64(wrote)
			if failed != nil {
				return n, failed
			}
		}
		switch {
		case err == io.EOF:
			return n, nil
		case err != nil:
			return n, err
		}
	}
}

// WriteTo writes all that is read to w, until the peer's end. What it passes to w is where it
// was decrypted: w must not keep it. It is what io.Copy calls. While w is writing, other Reads
// wait; everything else of the connection works.
func (c *Conn) WriteTo(w io.Writer) (n int64, err error) {
	if err := c.Handshake(); err != nil {
		return 0, err
	}
	c.recv.Lock()
	defer c.recv.Unlock()
	defer func() {
		if len(c.data) == 0 {
			c.in.idle()
		}
	}()
	for {
		if err := c.over(); err != nil {
			return n, err
		}
		if len(c.data) == 0 {
			c.data, c.held = c.held, nil
		}
		if len(c.data) == 0 {
			switch err := c.nextData(true); {
			case err == io.EOF:
				return n, nil
			case err != nil:
				return n, err
			}
		}
		k, err := w.Write(c.data)
		k = max(0, min(k, len(c.data)))
		if c.data = c.data[k:]; err == nil && len(c.data) > 0 {
			err = io.ErrShortWrite
		}
		if n += int64(k); err != nil {
			return n, err
		}
	}
}
