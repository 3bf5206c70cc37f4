// Package fuzz has the fuzz targets of the module, and their corpora. It holds
// tests only.
//
// There are five families:
//
//   - FuzzServer, FuzzClient and FuzzAcceptor give a machine the bytes of a peer
//     as they are. FuzzServerMisled and FuzzClientMisled put it in front of a
//     peer that knows the keys and keeps its transcript right, but changes,
//     drops, repeats, invents and cuts messages as the input says: behind the
//     Finished, too, and in a build with real protection. That peer speaks TLS
//     1.3, or TLS 1.2 if the input says so; tasks are lifted out, done, failed and
//     answered by hand. The input can say, too, that there is a session from
//     before, which the peer offers or selects: with the right key and binder or
//     not, with early data that is accepted or not.
//   - FuzzClientHello and one target for each other handshake message check the
//     codec of internal/wire: what was parsed is written back byte for byte.
//   - FuzzDifferentialServer and FuzzDifferentialClient give the same hellos to
//     crypto/tls. The two may differ only where a listed reason says so. So do
//     FuzzDifferentialServer12 and FuzzDifferentialClient12 with those of TLS 1.2,
//     where what is accepted is compared, and not the alerts.
//     FuzzDifferentialHandshake runs whole handshakes of both versions against it.
//   - FuzzParseSession reads what caches, stores and tickets hold, and
//     FuzzTicketKeys opens tickets.
//
// With the build tag tlscore_nullcrypto records are not protected, so that what
// the fuzzer invents gets past the MAC:
//
//	go test ./fuzz -fuzz '^FuzzServer$' -tags tlscore_nullcrypto
//
// The corpora in testdata are replayed by go test. The files whose names begin
// with "seed-" are made by the tests themselves; after a change to what the
// seeds are made of, write them anew, in both builds:
//
//	go test ./fuzz -run TestSeeds -update
//	go test ./fuzz -run TestSeeds -update -tags tlscore_nullcrypto
package fuzz
