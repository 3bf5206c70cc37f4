package wire

import (
	"slices"

	"golang.org/x/crypto/cryptobyte"
)

// An Extension as it stands in a message.
//
//	ExtensionType extension_type
//	opaque        extension_data<0..2^16-1>
//
// RFC 8446, Section 4.2.
type Extension struct {
	Type ExtensionType
	Data []byte // nil asks Append to encode the typed field, see the package comment
}

// A messageSet is a set of messages.
type messageSet uint16

func (s messageSet) has(k MessageKind) bool { return s&(1<<k) != 0 }

// The columns of the extension table: the RFC's, and a ServerHello of TLS 1.2.
const (
	inCH   messageSet = 1 << KindClientHello
	inSH   messageSet = 1 << KindServerHello
	inSH12 messageSet = 1 << KindServerHello12
	inHRR  messageSet = 1 << KindHelloRetryRequest
	inEE   messageSet = 1 << KindEncryptedExtensions
	inCT   messageSet = 1 << KindCertificate
	inCR   messageSet = 1 << KindCertificateRequest
	inNST  messageSet = 1 << KindNewSessionTicket
)

// extensionTable says in which messages the known extensions may stand: RFC
// 9846's table, with the rows that only RFC 8446 has, and then the extensions
// that only TLS 1.2 answers. What may stand in a ServerHello of TLS 1.2 is
// what its RFC answers there, and supported_groups, which some servers send.
// What is not in the table is unknown and may stand anywhere.
// RFC 8446, Section 4.2. RFC 9846, Section 4.3.
var extensionTable = [...]struct {
	Type ExtensionType
	In   messageSet
}{
	{ExtServerName, inCH | inEE | inCR | inSH12},
	{ExtMaxFragmentLength, inCH | inEE | inSH12},
	{ExtStatusRequest, inCH | inCR | inCT | inSH12},
	{ExtSupportedGroups, inCH | inEE | inSH12},
	{ExtSignatureAlgorithms, inCH | inCR},
	{ExtUseSRTP, inCH | inEE | inSH12},
	{ExtHeartbeat, inCH | inEE | inSH12},
	{ExtALPN, inCH | inEE | inSH12},
	{ExtSignedCertificateTimestamp, inCH | inCR | inCT | inSH12},
	{ExtClientCertificateType, inCH | inEE | inSH12},
	{ExtServerCertificateType, inCH | inEE | inSH12},
	{ExtPadding, inCH},
	{ExtCompressCertificate, inCH | inCR},
	{ExtRecordSizeLimit, inCH | inEE | inSH12},
	{ExtDelegatedCredential, inCH | inCR | inCT},
	{ExtSupportedEKTCiphers, inCH | inEE | inSH12},
	{ExtPreSharedKey, inCH | inSH},
	{ExtEarlyData, inCH | inEE | inNST},
	{ExtSupportedVersions, inCH | inSH | inHRR},
	{ExtCookie, inCH | inHRR},
	{ExtPSKKeyExchangeModes, inCH},
	{ExtCertificateAuthorities, inCH | inCR},
	{ExtOIDFilters, inCR},
	{ExtPostHandshakeAuth, inCH},
	{ExtSignatureAlgorithmsCert, inCH | inCR},
	{ExtKeyShare, inCH | inSH | inHRR},
	{ExtTransparencyInfo, inCH | inCR | inCT | inSH12},
	{ExtExternalIDHash, inCH | inEE | inSH12},
	{ExtExternalSessionID, inCH | inEE | inSH12},
	{ExtQUICTransportParameters, inCH | inEE},
	{ExtTicketRequest, inCH | inEE},
	{ExtECHOuterExtensions, inCH},
	{ExtEncryptedClientHello, inCH | inHRR | inEE},

	{ExtECPointFormats, inCH | inSH12},
	{ExtExtendedMasterSecret, inCH | inSH12},
	{ExtSessionTicket, inCH | inSH12},
	{ExtRenegotiationInfo, inCH | inSH12},
}

// lowPlacement is the part of extensionTable with small types, by type.
var lowPlacement = func() (low [64]messageSet) {
	for _, row := range extensionTable {
		if int(row.Type) < len(low) {
			low[row.Type] = row.In
		}
	}
	return low
}()

// mayStandIn reports whether an extension of type t, if known, may stand in
// such a message.
func (t ExtensionType) mayStandIn(k MessageKind) bool {
	if int(t) < len(lowPlacement) {
		in := lowPlacement[t]
		return in == 0 || in.has(k)
	}
	for _, row := range extensionTable {
		if row.Type == t {
			return row.In.has(k)
		}
	}
	return true
}

// readExtensions reads a block of extensions, its length included, off the
// front of s: readBlock, then checkPlacement.
// RFC 8446, Section 4.2.
func readExtensions(list *[]Extension, s *cryptobyte.String, in MessageKind) error {
	if err := readBlock(list, s, in); err != nil {
		return err
	}
	return checkPlacement(*list, in)
}

// readBlock reads a block of extensions, its length included, off the front of
// s. It checks that the block is well-formed and holds no type twice.
//
// "There MUST NOT be more than one extension of the same type in a given
// extension block." (https://www.rfc-editor.org/rfc/rfc8446#section-4.2)
func readBlock(list *[]Extension, s *cryptobyte.String, in MessageKind) error {
	var block cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&block) {
		return malformed(in, "extensions")
	}
	*list = slices.Grow(*list, countExtensions(block))
	for !block.Empty() {
		var x Extension
		if !block.ReadUint16((*uint16)(&x.Type)) || !read16(&block, &x.Data, 0) {
			return malformed(in, "extensions")
		}
		*list = append(*list, x)
	}
	if t, ok := duplicate(*list); ok {
		return extensionError(DuplicateExtension, in, t)
	}
	return nil
}

// countExtensions returns how many extensions a block has, as far as it is well formed.
func countExtensions(block cryptobyte.String) (n int) {
	var data cryptobyte.String
	for block.Skip(2) && block.ReadUint16LengthPrefixed(&data) {
		n++
	}
	return n
}

// checkPlacement reports the first extension that may not stand in such a message.
//
// "If an implementation receives an extension which it recognizes and which is
// not specified for the message in which it appears, it MUST abort the
// handshake with an "illegal_parameter" alert."
// (https://www.rfc-editor.org/rfc/rfc8446#section-4.2)
func checkPlacement(list []Extension, in MessageKind) error {
	for i := range list {
		if !list[i].Type.mayStandIn(in) {
			return extensionError(MisplacedExtension, in, list[i].Type)
		}
	}
	return nil
}

// duplicate returns the first type that stands in list for the second time.
// Up to 32 extensions are compared with each other, which no ordinary hello
// exceeds; a longer list costs a bitmap on the stack, and time in proportion.
func duplicate(list []Extension) (ExtensionType, bool) {
	if len(list) > 32 {
		return duplicateOfMany(list)
	}
	for i := range list {
		for j := range i {
			if list[i].Type == list[j].Type {
				return list[i].Type, true
			}
		}
	}
	return 0, false
}

func duplicateOfMany(list []Extension) (ExtensionType, bool) {
	var seen [1 << 16 / 64]uint64
	for i := range list {
		t := list[i].Type
		word, bit := &seen[t/64], uint64(1)<<(t%64)
		if *word&bit != 0 {
			return t, true
		}
		*word |= bit
	}
	return 0, false
}

func find(list []Extension, t ExtensionType) ([]byte, bool) {
	for i := range list {
		if list[i].Type == t {
			return list[i].Data, true
		}
	}
	return nil, false
}

func has(list []Extension, t ExtensionType) bool {
	_, ok := find(list, t)
	return ok
}

// readServerName reads a ServerNameList and finds the host_name in it.
//
//	NameType name_type
//	select (name_type) { case host_name: opaque HostName<1..2^16-1> }
//	ServerName server_name_list<1..2^16-1>
//
// Names of other types are skipped; RFC 6066 wants them to begin with a length
// of 16 bits, and this takes them to end there.
// RFC 6066, Section 3.
func readServerName(out *[]byte, p []byte) bool {
	s := cryptobyte.String(p)
	var list cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&list) || !s.Empty() || list.Empty() {
		return false
	}
	var seen [4]uint64
	for !list.Empty() {
		var typ uint8
		var name []byte
		if !list.ReadUint8(&typ) || !read16(&list, &name, 0) {
			return false
		}
		// "The ServerNameList MUST NOT contain more than one name of the same
		// name_type." (https://www.rfc-editor.org/rfc/rfc6066#section-3)
		if seen[typ/64]&(1<<(typ%64)) != 0 {
			return false
		}
		seen[typ/64] |= 1 << (typ % 64)
		if typ != 0 {
			continue
		}
		if len(name) == 0 {
			return false
		}
		*out = name
	}
	return true
}

// checkStatusRequest checks a CertificateStatusRequest. One of an unknown type
// may hold anything.
//
//	CertificateStatusType status_type
//	select (status_type) { case ocsp:
//		ResponderID responder_id_list<0..2^16-1>   // opaque ResponderID<1..2^16-1>
//		Extensions  request_extensions             // opaque Extensions<0..2^16-1>
//	}
//
// RFC 6066, Section 8.
func checkStatusRequest(p []byte) bool {
	s := cryptobyte.String(p)
	var typ uint8
	if !s.ReadUint8(&typ) {
		return false
	}
	if typ != statusTypeOCSP {
		return true
	}
	var responders cryptobyte.String
	var extensions []byte
	if !s.ReadUint16LengthPrefixed(&responders) || !read16(&s, &extensions, 0) || !s.Empty() {
		return false
	}
	for !responders.Empty() {
		var id []byte
		if !read16(&responders, &id, 1) {
			return false
		}
	}
	return true
}

// readALPN reads a ProtocolNameList that fills p.
//
//	opaque       ProtocolName<1..2^8-1>
//	ProtocolName protocol_name_list<2..2^16-1>
//
// RFC 7301, Section 3.1.
func readALPN(out *[][]byte, p []byte) bool {
	s := cryptobyte.String(p)
	var list cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&list) || !s.Empty() || list.Empty() {
		return false
	}
	for !list.Empty() {
		var name []byte
		if !read8(&list, &name, 1) {
			return false
		}
		*out = append(*out, name)
	}
	return true
}

func writeALPN(w *writer, names ...[]byte) {
	mark := w.open16()
	for _, name := range names {
		w.vec8(name)
	}
	w.close16(mark)
}

// readOneALPN reads a ProtocolNameList that holds one name, as a server's does.
//
// "the "ProtocolNameList" MUST contain exactly one "ProtocolName"."
// (https://www.rfc-editor.org/rfc/rfc7301#section-3.1)
func readOneALPN(out *[]byte, p []byte) bool {
	s := cryptobyte.String(p)
	var list cryptobyte.String
	return s.ReadUint16LengthPrefixed(&list) && s.Empty() && read8(&list, out, 1) && list.Empty()
}

// readWhole8 reads an opaque vector of at least min bytes, with a length of 8
// bits before it, that fills p.
func readWhole8(out *[]byte, p []byte, min int) bool {
	s := cryptobyte.String(p)
	return read8(&s, out, min) && s.Empty()
}

// readWhole16 is readWhole8 with a length of 16 bits.
func readWhole16(out *[]byte, p []byte, min int) bool {
	s := cryptobyte.String(p)
	return read16(&s, out, min) && s.Empty()
}
