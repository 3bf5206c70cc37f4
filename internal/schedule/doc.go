// Package schedule is the key schedules of TLS 1.3 and TLS 1.2, with a type per kind of secret, so that the compiler
// knows which can be derived from which. RFC 8446, Section 7.1; RFC 5246, Sections 6.3 and 8.1.
//
//	EarlySecret ── Handshake(shared) ─→ HandshakeSecret ── Main() ─→ MainSecret
//	  ClientEarlyTraffic                  ClientTraffic                ClientTraffic
//	  EarlyExporter                       ServerTraffic                ServerTraffic
//	  BinderKey                                                        Exporter, Resumption
//
// TLS 1.2 has one secret, the MasterSecret, from which come the KeyBlock, both Finished and the Exporter12.
//
// Deriving does not consume a secret: whoever holds one calls Wipe when nothing more will be derived from it. What lies
// between two secrets is wiped here. The state that the standard library's hashes keep cannot be cleared.
//
// A transcript argument is always the transcript hash, as Transcript.Sum appends it.
package schedule
