// Package uring is a TLS server on io_uring: one goroutine drives all connections, by
// operations that complete, instead of sockets that become ready. It needs Linux 6.0;
// elsewhere, and where io_uring is switched off, [Server.Serve] returns [ErrUnavailable].
//
// # Where the bytes are
//
// Received: the kernel puts them into buffers of a ring that all connections share. The
// machine decrypts them there, the handler is shown them there, and the buffer goes back to
// the kernel when it returns. What is copied is the part of a record whose rest is still to
// come.
//
// Sent: [Conn.Write] seals straight into a slot of memory that the kernel sends from, and
// that stays in place until it has. A connection has at most two slots, one that is sent
// and one that is filled; without output it has none. What the machine says by itself (the
// handshake, answers, alerts) is copied there, since it is queued before it is known when
// there will be a slot. Handing the slot to the kernel copies it into the socket: sending
// without that copy (SEND_ZC) pays from about 10 KiB on when there is a network card behind,
// and costs more on loopback and for small records.
//
// An idle connection has neither a buffer nor a slot.
//
// # Back-pressure
//
// When Write takes less than it was given, nothing more of that connection is decrypted until
// [Handler].OnWritable; its receive operation is cancelled, so that TCP tells the peer to
// wait. So a connection holds at most two slots, and what is left of one buffer; and the kernel
// holds what it has no buffer for.
//
// # How a connection ends
//
// Its last record, alert or close_notify, is sent to the last byte; then comes a FIN, and
// what still arrives is dropped, as [drive.Linger] says. The descriptor is closed when all
// operations on it were cancelled and have completed, so that no completion can be taken for
// one of the connection that gets its number next.
package uring
