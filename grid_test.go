package tlscore

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"tlscore.example/tlscore/internal/record"
	"tlscore.example/tlscore/internal/tlstest"
	"tlscore.example/tlscore/internal/wire"
)

// The grid: every state against every input. The tables below are what has to
// happen; a machine is brought into the state of the column, is given the input
// of the row, and what it does is put into the same words.
//
//	=     accepted, in the same state
//	-     not taken: nothing was consumed, nothing changed
//	SH …  accepted, now in the state of that column
//	xx    failed, for the reason that the legend gives, with that reason's alert
//	alert failed with the peer's alert, nothing sent
//	E…    misuse: an error, and nothing changed

const clientGrid = `
                        Start SH    SHR   EE    CR    Cert  CV    Fin   Conn   Closed Failed Moved Released
HelloRequest            um    um    um    um    um    um    um    um    um     -      -      -     -
ClientHello             um    um    um    um    um    um    um    um    um     -      -      -     -
ServerHello             id    EE    EE    um    um    um    um    um    um     -      -      -     -
HelloRetryRequest       id    SHR   um    um    um    um    um    um    um     -      -      -     -
NewSessionTicket        um    um    um    um    um    um    um    um    =      -      -      -     -
EndOfEarlyData          um    um    um    um    um    um    um    um    um     -      -      -     -
EncryptedExtensions     um    um    um    CR    um    um    um    um    um     -      -      -     -
Certificate             um    um    um    um    CV    CV    um    um    um     -      -      -     -
ServerKeyExchange       um    um    um    um    um    um    um    um    um     -      -      -     -
CertificateRequest      um    um    um    um    Cert  um    um    um    =      -      -      -     -
ServerHelloDone         um    um    um    um    um    um    um    um    um     -      -      -     -
CertificateVerify       um    um    um    um    um    um    Fin   um    um     -      -      -     -
ClientKeyExchange       um    um    um    um    um    um    um    um    um     -      -      -     -
Finished                um    um    um    um    um    um    um    Conn  um     -      -      -     -
CertificateStatus       um    um    um    um    um    um    um    um    um     -      -      -     -
KeyUpdate               um    um    um    um    um    um    um    um    =      -      -      -     -
KeyUpdate(requested)    um    um    um    um    um    um    um    um    =      -      -      -     -
MessageHash             um    um    um    um    um    um    um    um    um     -      -      -     -
other-messages          um    um    um    um    um    um    um    um    um     -      -      -     -
ccs                     SH    =     =     =     =     =     =     =     ur     -      -      -     -
protected-ccs           -     -     -     ur    ur    ur    ur    ur    ur     -      -      -     -
data                    ur    ur    ur    ur    ur    ur    ur    ur    =      -      -      -     -
empty-data              ur    ur    ur    ur    ur    ur    ur    ur    =      -      -      -     -
unknown-record          nt    nt    ur    ur    ur    ur    ur    ur    ur     -      -      -     -
plaintext-message       id    EE    EE    ur    ur    ur    ur    ur    ur     -      -      -     -
plaintext-alert         alert alert alert ur    ur    ur    ur    ur    ur     -      -      -     -
alert(fatal)            alert alert alert alert alert alert alert alert alert  -      -      -     -
alert(close_notify)     alert alert alert alert alert alert alert alert Closed -      -      -     -
alert(user_canceled)    SH    =     =     =     =     =     =     =     =      -      -      -     -
alert(warning)          SH    =     alert alert alert alert alert alert alert  -      -      -     -
eof                     tc    tc    tc    tc    tc    tc    tc    tc    Closed -      -      -     -
eof-in-record           tc    tc    tc    tc    tc    tc    tc    tc    Closed -      -      -     -
Step                    SH    =     =     =     =     =     =     =     =      =      =      =     =
Accept                  Ewait Ewait Ewait Ewait Ewait Ewait Ewait Ewait Ewait  Ewait  Efail  Emov  Erel
Reject                  rj    rj    rj    rj    rj    rj    rj    rj    rj     rj     Efail  Emov  Erel
Reject(close_notify)    Eclos Eclos Eclos Eclos Eclos Eclos Eclos Eclos Eclos  Eclos  Efail  Emov  Erel
Write                   Enot  Enot  Enot  Enot  Enot  Enot  Enot  Enot  =      =      Esame  Emov  Erel
AppendSealed            Enot  Enot  Enot  Enot  Enot  Enot  Enot  Enot  =      =      Esame  Emov  Erel
call-KeyUpdate          Enot  Enot  Enot  Enot  Enot  Enot  Enot  Enot  =      =      Esame  Emov  Erel
WriteEarly              Eearl Eearl Eearl Eearl Eearl Eearl Eearl Eearl Eearl  Eearl  Esame  Emov  Erel
SendTicket              Etick Etick Etick Etick Etick Etick Etick Etick Etick  Etick  Efail  Emov  Erel
RequestClientCert       Epost Epost Epost Epost Epost Epost Epost Epost Epost  Epost  Efail  Emov  Erel
CloseWrite              cn    cn    cn    cn    cn    cn    cn    cn    =      =      =      =     =
Hibernate               Equi  Equi  Equi  Equi  Equi  Equi  Equi  Equi  =      =      Equi   Emov  Erel
Snapshot                Equi  Equi  Equi  Equi  Equi  Equi  Equi  Equi  Moved  Moved  Equi   Emov  Erel
ExportTrafficSecrets    Equi  Equi  Equi  Equi  Equi  Equi  Equi  Equi  Moved  Moved  Equi   Emov  Erel
`

const serverGrid = `
                        CH    ACH   Acc   CHR   EOED  CCert CCV   Fin   Conn   Ask    PCV    PFin   Closed Failed Moved Released
HelloRequest            um    um    -     um    um    um    um    um    um     um     um     um     -      -      -     -
ClientHello             Fin   Acc   -     Fin   um    um    um    um    um     um     um     um     -      -      -     -
ClientHello(no-share)   CHR   Acc   -     ks    um    um    um    um    um     um     um     um     -      -      -     -
ServerHello             um    um    -     um    um    um    um    um    um     um     um     um     -      -      -     -
HelloRetryRequest       um    um    -     um    um    um    um    um    um     um     um     um     -      -      -     -
NewSessionTicket        um    um    -     um    um    um    um    um    um     um     um     um     -      -      -     -
EndOfEarlyData          um    um    -     um    Fin   um    um    um    um     um     um     um     -      -      -     -
EncryptedExtensions     um    um    -     um    um    um    um    um    um     um     um     um     -      -      -     -
Certificate             um    um    -     um    um    CCV   um    um    um     PCV    um     um     -      -      -     -
ServerKeyExchange       um    um    -     um    um    um    um    um    um     um     um     um     -      -      -     -
CertificateRequest      um    um    -     um    um    um    um    um    um     um     um     um     -      -      -     -
ServerHelloDone         um    um    -     um    um    um    um    um    um     um     um     um     -      -      -     -
CertificateVerify       um    um    -     um    um    um    Fin   um    um     um     PFin   um     -      -      -     -
ClientKeyExchange       um    um    -     um    um    um    um    um    um     um     um     um     -      -      -     -
Finished                um    um    -     um    um    um    um    Conn  um     um     um     Conn   -      -      -     -
CertificateStatus       um    um    -     um    um    um    um    um    um     um     um     um     -      -      -     -
KeyUpdate               um    um    -     um    um    um    um    um    =      =      um     um     -      -      -     -
KeyUpdate(requested)    um    um    -     um    um    um    um    um    =      =      um     um     -      -      -     -
MessageHash             um    um    -     um    um    um    um    um    um     um     um     um     -      -      -     -
other-messages          um    um    -     um    um    um    um    um    um     um     um     um     -      -      -     -
ccs                     ur    ur    -     =     =     =     =     =     ur     ur     ur     ur     -      -      -     -
protected-ccs           -     -     -     -     ur    ur    ur    ur    ur     ur     ur     ur     -      -      -     -
data                    ur    ur    -     ur    =     ur    ur    ur    =      =      ur     ur     -      -      -     -
empty-data              ur    ur    -     ur    =     ur    ur    ur    =      =      ur     ur     -      -      -     -
unknown-record          nt    nt    -     ur    ur    ur    ur    ur    ur     ur     ur     ur     -      -      -     -
plaintext-message       Fin   Acc   -     Fin   ur    ur    ur    ur    ur     ur     ur     ur     -      -      -     -
plaintext-alert         alert alert -     alert alert alert ur    alert ur     ur     ur     ur     -      -      -     -
alert(fatal)            alert alert -     alert alert alert alert alert alert  alert  alert  alert  -      -      -     -
alert(close_notify)     alert alert -     alert alert alert alert alert Closed Closed Closed Closed -      -      -     -
alert(user_canceled)    =     =     -     =     =     =     =     =     =      =      =      =      -      -      -     -
alert(warning)          =     =     -     alert alert alert alert alert alert  alert  alert  alert  -      -      -     -
eof                     tc    tc    =     tc    tc    tc    tc    tc    Closed Closed Closed Closed -      -      -     -
eof-in-record           tc    tc    -     tc    tc    tc    tc    tc    Closed Closed Closed Closed -      -      -     -
Step                    =     =     =     =     =     =     =     =     =      =      =      =      =      =      =     =
Accept                  Ewait Ewait Fin   Ewait Ewait Ewait Ewait Ewait Ewait  Ewait  Ewait  Ewait  Ewait  Efail  Emov  Erel
Reject                  rj    rj    rj    rj    rj    rj    rj    rj    rj     rj     rj     rj     rj     Efail  Emov  Erel
Reject(close_notify)    Eclos Eclos Eclos Eclos Eclos Eclos Eclos Eclos Eclos  Eclos  Eclos  Eclos  Eclos  Efail  Emov  Erel
Write                   Enot  Enot  Enot  Enot  =     =     =     =     =      =      =      =      =      Esame  Emov  Erel
AppendSealed            Enot  Enot  Enot  Enot  =     =     =     =     =      =      =      =      =      Esame  Emov  Erel
call-KeyUpdate          Enot  Enot  Enot  Enot  =     =     =     =     =      =      =      =      =      Esame  Emov  Erel
WriteEarly              Eearl Eearl Eearl Eearl Eearl Eearl Eearl Eearl Eearl  Eearl  Eearl  Eearl  Eearl  Esame  Emov  Erel
SendTicket              Etick Etick Etick Etick Etick Etick Etick Etick Etick  Etick  Etick  Etick  Etick  Efail  Emov  Erel
RequestClientCert       Econn Econn Econn Econn Econn Econn Econn Econn =      Eauth  Eauth  Eauth  Econn  Efail  Emov  Erel
CloseWrite              cn    cn    cn    cn    =     =     =     =     =      =      =      =      =      =      =     =
Hibernate               Equi  Equi  Equi  Equi  Equi  Equi  Equi  Equi  =      Equi   Equi   Equi   =      Equi   Emov  Erel
Snapshot                Equi  Equi  Equi  Equi  Equi  Equi  Equi  Equi  Moved  Equi   Equi   Equi   Moved  Equi   Emov  Erel
ExportTrafficSecrets    Equi  Equi  Equi  Equi  Equi  Equi  Equi  Equi  Moved  Equi   Equi   Equi   Moved  Equi   Emov  Erel
`

// The same of TLS 1.2, from when the version is agreed on.

const clientGrid12 = `
                        Cert  Stat  SKE   Req   Done  NST   CCS   Fin   Conn   Closed Failed Moved Released
HelloRequest            um    um    um    um    um    um    um    um    rn     -      -      -     -
ClientHello             um    um    um    um    um    um    um    um    um     -      -      -     -
ServerHello             um    um    um    um    um    um    um    um    um     -      -      -     -
HelloRetryRequest       um    um    um    um    um    um    um    um    um     -      -      -     -
NewSessionTicket        um    um    um    um    um    CCS   um    um    um     -      -      -     -
EndOfEarlyData          um    um    um    um    um    um    um    um    um     -      -      -     -
EncryptedExtensions     um    um    um    um    um    um    um    um    um     -      -      -     -
Certificate             SKE   um    um    um    um    um    um    um    um     -      -      -     -
ServerKeyExchange       um    Req   Req   um    um    um    um    um    um     -      -      -     -
CertificateRequest      um    um    um    Done  um    um    um    um    um     -      -      -     -
ServerHelloDone         um    um    um    CCS   CCS   um    um    um    um     -      -      -     -
CertificateVerify       um    um    um    um    um    um    um    um    um     -      -      -     -
ClientKeyExchange       um    um    um    um    um    um    um    um    um     -      -      -     -
Finished                um    um    um    um    um    um    um    Conn  um     -      -      -     -
CertificateStatus       um    SKE   um    um    um    um    um    um    um     -      -      -     -
KeyUpdate               um    um    um    um    um    um    um    um    um     -      -      -     -
KeyUpdate(requested)    um    um    um    um    um    um    um    um    um     -      -      -     -
MessageHash             um    um    um    um    um    um    um    um    um     -      -      -     -
other-messages          um    um    um    um    um    um    um    um    um     -      -      -     -
ccs                     ur    ur    ur    ur    ur    ur    Fin   ur    ur     -      -      -     -
protected-ccs           -     -     -     -     -     -     -     bc    bc     -      -      -     -
data                    ur    ur    ur    ur    ur    ur    ur    ur    =      -      -      -     -
empty-data              ur    ur    ur    ur    ur    ur    ur    ur    =      -      -      -     -
unknown-record          ur    ur    ur    ur    ur    ur    ur    ur    ur     -      -      -     -
plaintext-message       um    um    um    um    um    um    um    bm    bm     -      -      -     -
plaintext-alert         alert alert alert alert alert alert alert bm    bm     -      -      -     -
alert(fatal)            alert alert alert alert alert alert alert alert alert  -      -      -     -
alert(close_notify)     alert alert alert alert alert alert alert alert Closed -      -      -     -
alert(user_canceled)    =     =     =     =     =     =     =     =     =      -      -      -     -
alert(warning)          =     =     =     =     =     =     =     =     =      -      -      -     -
eof                     tc    tc    tc    tc    tc    tc    tc    tc    Closed -      -      -     -
eof-in-record           tc    tc    tc    tc    tc    tc    tc    tc    Closed -      -      -     -
Step                    =     =     =     =     =     =     =     =     =      =      =      =     =
Accept                  Ewait Ewait Ewait Ewait Ewait Ewait Ewait Ewait Ewait  Ewait  Efail  Emov  Erel
Reject                  rj    rj    rj    rj    rj    rj    rj    rj    rj     rj     Efail  Emov  Erel
Reject(close_notify)    Eclos Eclos Eclos Eclos Eclos Eclos Eclos Eclos Eclos  Eclos  Efail  Emov  Erel
Write                   Enot  Enot  Enot  Enot  Enot  Enot  Enot  Enot  =      =      Esame  Emov  Erel
AppendSealed            Enot  Enot  Enot  Enot  Enot  Enot  Enot  Enot  =      =      Esame  Emov  Erel
call-KeyUpdate          Enot  Enot  Enot  Enot  Enot  Enot  Enot  Enot  Ever   Ever   Esame  Emov  Erel
WriteEarly              Eearl Eearl Eearl Eearl Eearl Eearl Eearl Eearl Eearl  Eearl  Esame  Emov  Erel
SendTicket              Etick Etick Etick Etick Etick Etick Etick Etick Etick  Etick  Efail  Emov  Erel
RequestClientCert       Epost Epost Epost Epost Epost Epost Epost Epost Epost  Epost  Efail  Emov  Erel
CloseWrite              cn    cn    cn    cn    cn    cn    cn    cn    =      =      =      =     =
Hibernate               Equi  Equi  Equi  Equi  Equi  Equi  Equi  Equi  =      =      Equi   Emov  Erel
Snapshot                Equi  Equi  Equi  Equi  Equi  Equi  Equi  Equi  Moved  Moved  Equi   Emov  Erel
ExportTrafficSecrets    Equi  Equi  Equi  Equi  Equi  Equi  Equi  Equi  Moved  Moved  Equi   Emov  Erel
`

const serverGrid12 = `
                        Cert  CKE   CV    CCS   Fin   Conn   Closed Failed Moved Released
HelloRequest            um    um    um    um    um    um     -      -      -     -
ClientHello             um    um    um    um    um    rn     -      -      -     -
ClientHello(no-share)   um    um    um    um    um    rn     -      -      -     -
ServerHello             um    um    um    um    um    um     -      -      -     -
HelloRetryRequest       um    um    um    um    um    um     -      -      -     -
NewSessionTicket        um    um    um    um    um    um     -      -      -     -
EndOfEarlyData          um    um    um    um    um    um     -      -      -     -
EncryptedExtensions     um    um    um    um    um    um     -      -      -     -
Certificate             CKE   um    um    um    um    um     -      -      -     -
ServerKeyExchange       um    um    um    um    um    um     -      -      -     -
CertificateRequest      um    um    um    um    um    um     -      -      -     -
ServerHelloDone         um    um    um    um    um    um     -      -      -     -
CertificateVerify       um    um    CCS   um    um    um     -      -      -     -
ClientKeyExchange       um    CCS   um    um    um    um     -      -      -     -
Finished                um    um    um    um    Conn  um     -      -      -     -
CertificateStatus       um    um    um    um    um    um     -      -      -     -
KeyUpdate               um    um    um    um    um    um     -      -      -     -
KeyUpdate(requested)    um    um    um    um    um    um     -      -      -     -
MessageHash             um    um    um    um    um    um     -      -      -     -
other-messages          um    um    um    um    um    um     -      -      -     -
ccs                     ur    ur    ur    Fin   ur    ur     -      -      -     -
protected-ccs           -     -     -     -     bc    bc     -      -      -     -
data                    ur    ur    ur    ur    ur    =      -      -      -     -
empty-data              ur    ur    ur    ur    ur    =      -      -      -     -
unknown-record          ur    ur    ur    ur    ur    ur     -      -      -     -
plaintext-message       um    um    um    um    bm    bm     -      -      -     -
plaintext-alert         alert alert alert alert bm    bm     -      -      -     -
alert(fatal)            alert alert alert alert alert alert  -      -      -     -
alert(close_notify)     alert alert alert alert alert Closed -      -      -     -
alert(user_canceled)    =     =     =     =     =     =      -      -      -     -
alert(warning)          =     =     =     =     =     =      -      -      -     -
eof                     tc    tc    tc    tc    tc    Closed -      -      -     -
eof-in-record           tc    tc    tc    tc    tc    Closed -      -      -     -
Step                    =     =     =     =     =     =      =      =      =     =
Accept                  Ewait Ewait Ewait Ewait Ewait Ewait  Ewait  Efail  Emov  Erel
Reject                  rj    rj    rj    rj    rj    rj     rj     Efail  Emov  Erel
Reject(close_notify)    Eclos Eclos Eclos Eclos Eclos Eclos  Eclos  Efail  Emov  Erel
Write                   Enot  Enot  Enot  Enot  Enot  =      =      Esame  Emov  Erel
AppendSealed            Enot  Enot  Enot  Enot  Enot  =      =      Esame  Emov  Erel
call-KeyUpdate          Enot  Enot  Enot  Enot  Enot  Ever   Ever   Esame  Emov  Erel
WriteEarly              Eearl Eearl Eearl Eearl Eearl Eearl  Eearl  Esame  Emov  Erel
SendTicket              Etick Etick Etick Etick Etick Etick  Etick  Efail  Emov  Erel
RequestClientCert       Epost Epost Epost Epost Epost Epost  Epost  Efail  Emov  Erel
CloseWrite              cn    cn    cn    cn    cn    =      =      =      =     =
Hibernate               Equi  Equi  Equi  Equi  Equi  =      =      Equi   Emov  Erel
Snapshot                Equi  Equi  Equi  Equi  Equi  Moved  Moved  Equi   Emov  Erel
ExportTrafficSecrets    Equi  Equi  Equi  Equi  Equi  Moved  Moved  Equi   Emov  Erel
`

// gridReasons is the legend of the failures.
var gridReasons = map[Reason]string{
	ReasonUnexpectedMessage:   "um",
	ReasonUnexpectedRecord:    "ur",
	ReasonNotTLS:              "nt",
	ReasonSessionIDMismatch:   "id", // a ServerHello made without the ClientHello
	ReasonMissingKeyShare:     "ks",
	ReasonTransportClosed:     "tc",
	ReasonRejected:            "rj",
	ReasonCanceled:            "cn",
	ReasonRenegotiation:       "rn",
	ReasonBadRecordMAC:        "bm",
	ReasonBadChangeCipherSpec: "bc",
}

var gridErrors = map[error]string{
	ErrNotReady:     "Enot",
	ErrWriteClosed:  "Eclosed",
	ErrNotWaiting:   "Ewait",
	ErrFailed:       "Efail",
	ErrReleased:     "Erel",
	ErrMoved:        "Emov",
	ErrNotQuiet:     "Equi",
	ErrNoErrorAlert: "Eclos",
	ErrNoEarlyData:  "Eearl",
	ErrNoTickets:    "Etick",
	ErrVersion:      "Ever",

	ErrNotConnected:        "Econn",
	ErrNoPostHandshakeAuth: "Epost",
	ErrAuthenticating:      "Eauth",
}

// column is a state to start from.
type column struct {
	state State
	make  func(*testing.T) *rig
}

func clientColumn(s State) column {
	return column{s, func(t *testing.T) *rig { return newClientRig(t).bring(s) }}
}

func serverColumn(s State) column {
	return column{s, func(t *testing.T) *rig { return newServerRig(t).bring(s) }}
}

var clientColumns = map[string]column{
	"Start":    clientColumn(StateClientStart),
	"SH":       clientColumn(StateWaitServerHello),
	"SHR":      clientColumn(StateWaitServerHelloRetry),
	"EE":       clientColumn(StateWaitEncryptedExtensions),
	"CR":       clientColumn(StateWaitCertificateOrRequest),
	"Cert":     clientColumn(StateWaitCertificate),
	"CV":       clientColumn(StateWaitCertificateVerify),
	"Fin":      clientColumn(StateWaitServerFinished),
	"Conn":     {StateConnected, func(t *testing.T) *rig { return newPostClient(t).bring(StateConnected) }},
	"Closed":   clientColumn(StateClosed),
	"Failed":   clientColumn(StateFailed),
	"Moved":    clientColumn(StateMoved),
	"Released": clientColumn(StateReleased),
}

var serverColumns = map[string]column{
	"EOED":     {StateWaitEndOfEarlyData, func(t *testing.T) *rig { return newEarlyServer(t).bring(StateWaitEndOfEarlyData) }},
	"CH":       serverColumn(StateWaitClientHello),
	"ACH":      {StateWaitClientHello, newAcceptorRig},
	"Acc":      {StateWaitAccept, func(t *testing.T) *rig { return newAcceptorRig(t).bring(StateWaitAccept) }},
	"CHR":      serverColumn(StateWaitClientHelloRetry),
	"Fin":      serverColumn(StateWaitClientFinished),
	"CCert":    {StateWaitClientCertificate, func(t *testing.T) *rig { return newAuthServer(t).bring(StateWaitClientCertificate) }},
	"CCV":      {StateWaitClientCertificateVerify, func(t *testing.T) *rig { return newAuthServer(t).bring(StateWaitClientCertificateVerify) }},
	"Conn":     {StateConnected, func(t *testing.T) *rig { return newPostServer(t).bring(StateConnected) }},
	"Ask":      {StateConnected, func(t *testing.T) *rig { return newPostServer(t).ask() }},
	"PCV":      {StateWaitPostCertificateVerify, func(t *testing.T) *rig { return newPostServer(t).ask().bring(StateWaitPostCertificateVerify) }},
	"PFin":     {StateWaitPostFinished, func(t *testing.T) *rig { return newPostServer(t).ask().bring(StateWaitPostFinished) }},
	"Closed":   serverColumn(StateClosed),
	"Failed":   serverColumn(StateFailed),
	"Moved":    serverColumn(StateMoved),
	"Released": serverColumn(StateReleased),
}

func clientColumn12(s State) column {
	return column{s, func(t *testing.T) *rig { return newClientRig12(t).bring(s) }}
}

func serverColumn12(s State) column {
	return column{s, func(t *testing.T) *rig { return newServerRig12(t).bring(s) }}
}

func authColumn12(s State) column {
	return column{s, func(t *testing.T) *rig { return newAuthServer12(t).bring(s) }}
}

var clientColumns12 = map[string]column{
	"Cert":     clientColumn12(StateWaitCertificate),
	"Stat":     clientColumn12(StateWaitCertificateStatus),
	"SKE":      clientColumn12(StateWaitServerKeyExchange),
	"Req":      clientColumn12(StateWaitRequestOrHelloDone),
	"Done":     clientColumn12(StateWaitServerHelloDone),
	"NST":      {StateWaitNewSessionTicket, func(t *testing.T) *rig { return newTicketClient12(t).bring(StateWaitNewSessionTicket) }},
	"CCS":      clientColumn12(StateWaitServerChangeCipherSpec),
	"Fin":      clientColumn12(StateWaitServerFinished),
	"Conn":     clientColumn12(StateConnected),
	"Closed":   clientColumn12(StateClosed),
	"Failed":   clientColumn12(StateFailed),
	"Moved":    clientColumn12(StateMoved),
	"Released": clientColumn12(StateReleased),
}

var serverColumns12 = map[string]column{
	"Cert":     authColumn12(StateWaitClientCertificate),
	"CKE":      serverColumn12(StateWaitClientKeyExchange),
	"CV":       authColumn12(StateWaitClientCertificateVerify),
	"CCS":      serverColumn12(StateWaitClientChangeCipherSpec),
	"Fin":      serverColumn12(StateWaitClientFinished),
	"Conn":     serverColumn12(StateConnected),
	"Closed":   serverColumn12(StateClosed),
	"Failed":   serverColumn12(StateFailed),
	"Moved":    serverColumn12(StateMoved),
	"Released": serverColumn12(StateReleased),
}

// columns are those of the machine's role, in the peer's version.
func (r *rig) columns() map[string]column {
	switch {
	case r.tls12() && r.client:
		return clientColumns12
	case r.tls12():
		return serverColumns12
	case r.client:
		return clientColumns
	}
	return serverColumns
}

// send is an input that the peer sends.
func sends(f func(*rig)) func(*rig) string {
	return func(r *rig) string {
		f(r)
		return r.deliver()
	}
}

func sendsMessage(build func(*tlstest.Peer) []byte) func(*rig) string {
	return sends(func(r *rig) { r.p.Send(build(r.p)) })
}

// sendsMessage12 sends a message of TLS 1.2 from a peer that can build it, and else
// an empty one of its type.
func sendsMessage12(t wire.HandshakeType, build func(*tlstest.Peer) []byte) func(*rig) string {
	return func(r *rig) string {
		server := t == wire.TypeServerKeyExchange
		if !r.tls12() || server != r.client {
			return sendsType(t)(r)
		}
		return sendsMessage(build)(r)
	}
}

func sendsType(t wire.HandshakeType) func(*rig) string {
	return sendsMessage(func(*tlstest.Peer) []byte { return tlstest.Message(t) })
}

// calls is an input that the application gives.
func calls(f func(*Machine) error) func(*rig) string {
	return func(r *rig) string {
		state, failed := r.m.State(), r.m.Err()
		if err := f(r.m); err != nil {
			if r.m.State() != state || r.m.Err() != failed || len(r.m.Output()) > 0 {
				r.Errorf("misuse has changed the machine: %v, %v, %d bytes of output", r.m.State(), r.m.Err(), len(r.m.Output()))
			}
			if err == failed && state == StateFailed {
				return "Esame"
			}
			return gridErrors[err]
		}
		r.step(nil)
		return r.outcome(state)
	}
}

// gridInputs are the rows.
var gridInputs = map[string]func(*rig) string{
	"HelloRequest":          sendsType(wire.TypeHelloRequest),
	"ClientHello":           sendsMessage(clientHelloOf),
	"ClientHello(no-share)": sends(func(r *rig) { r.p.Shares = []wire.NamedGroup{}; r.p.Send(r.p.ClientHello()) }),
	"ServerHello":           sendsMessage((*tlstest.Peer).ServerHello),
	"HelloRetryRequest": sendsMessage(func(p *tlstest.Peer) []byte {
		p.Group = wire.GroupP256
		return p.HelloRetryRequest()
	}),
	"NewSessionTicket":     sendsMessage((*tlstest.Peer).NewSessionTicket),
	"EndOfEarlyData":       sendsType(wire.TypeEndOfEarlyData),
	"EncryptedExtensions":  sendsMessage((*tlstest.Peer).EncryptedExtensions),
	"Certificate":          sendsMessage((*tlstest.Peer).CertificateMessage),
	"ServerKeyExchange":    sendsMessage12(wire.TypeServerKeyExchange, (*tlstest.Peer).ServerKeyExchange),
	"CertificateRequest":   sendsMessage((*tlstest.Peer).CertificateRequest),
	"ServerHelloDone":      sendsType(wire.TypeServerHelloDone),
	"CertificateVerify":    sendsMessage(certificateVerifyOf),
	"ClientKeyExchange":    sendsMessage12(wire.TypeClientKeyExchange, (*tlstest.Peer).ClientKeyExchange),
	"Finished":             sends(sendFinished),
	"CertificateStatus":    sendsMessage(func(p *tlstest.Peer) []byte { return p.CertificateStatus([]byte("response")) }),
	"KeyUpdate":            sends(func(r *rig) { r.p.SendRecord(record.TypeHandshake, r.p.KeyUpdate(0)) }),
	"KeyUpdate(requested)": sends(func(r *rig) { r.p.SendRecord(record.TypeHandshake, r.p.KeyUpdate(1)) }),
	"MessageHash":          sendsType(wire.TypeMessageHash),

	"ccs": sends(func(r *rig) {
		if r.tls12() && r.p.Epoch() != tlstest.Plaintext {
			r.p.SendPlain(record.TypeChangeCipherSpec, []byte{1})
			return
		}
		r.p.SendCCS()
	}),
	"protected-ccs": sends(func(r *rig) {
		if r.p.Epoch() != tlstest.Plaintext {
			r.p.SendRecord(record.TypeChangeCipherSpec, []byte{1})
		}
	}),
	"data":              sends(func(r *rig) { r.p.SendRecord(record.TypeApplicationData, []byte("data")) }),
	"empty-data":        sends(func(r *rig) { r.p.SendRecord(record.TypeApplicationData, nil) }),
	"unknown-record":    sends(func(r *rig) { r.p.SendRecord(24, []byte("heartbeat")) }),
	"plaintext-message": sends(sendPlainMessage),
	"plaintext-alert":   sends(func(r *rig) { r.p.SendPlain(record.TypeAlert, []byte{2, 80}) }),

	"alert(fatal)":         sends(func(r *rig) { r.p.SendAlert(2, byte(AlertHandshakeFailure)) }),
	"alert(close_notify)":  sends(func(r *rig) { r.p.SendAlert(1, byte(AlertCloseNotify)) }),
	"alert(user_canceled)": sends(func(r *rig) { r.p.SendAlert(1, byte(AlertUserCanceled)) }),
	"alert(warning)":       sends(func(r *rig) { r.p.SendAlert(1, byte(AlertUnrecognizedName)) }),

	"eof": func(r *rig) string {
		state := r.m.State()
		r.m.EOF()
		r.step(nil)
		if state == StateClosed || state >= StateFailed {
			return "-"
		}
		return r.outcome(state)
	},
	"eof-in-record": func(r *rig) string {
		r.p.SendAlert(2, 80)
		state, b := r.m.State(), r.p.Take()
		r.m.EOF()
		if _, n := r.step(b[:len(b)-1]); n > 0 {
			r.Errorf("took %d bytes of a partial record", n)
		}
		if out := r.outcome(state); out != "=" {
			return out
		}
		return "-"
	},

	"Step":                 calls(func(*Machine) error { return nil }),
	"Accept":               calls(func(m *Machine) error { return m.Accept(testServerConfig()) }),
	"Reject":               calls(func(m *Machine) error { return m.Reject(AlertAccessDenied) }),
	"Reject(close_notify)": calls(func(m *Machine) error { return m.Reject(AlertCloseNotify) }),
	"Write": calls(func(m *Machine) error {
		_, err := m.Write([]byte("data"))
		return err
	}),
	"AppendSealed": calls(func(m *Machine) error {
		_, n, err := m.AppendSealed(make([]byte, 0, 100), []byte("data"))
		if err == nil && n != 4 {
			err = fmt.Errorf("took %d", n)
		}
		return err
	}),
	"call-KeyUpdate": calls(func(m *Machine) error { return m.KeyUpdate(true) }),
	"WriteEarly": calls(func(m *Machine) error {
		_, err := m.WriteEarly([]byte("data"))
		return err
	}),
	"SendTicket":        calls((*Machine).SendTicket),
	"RequestClientCert": calls((*Machine).RequestClientCertificate),
	"CloseWrite":        calls(func(m *Machine) error { m.CloseWrite(); return nil }),
	"Hibernate":         calls((*Machine).Hibernate),
	"Snapshot": calls(func(m *Machine) error {
		_, err := m.Snapshot(testSnapshotKey, nil)
		return err
	}),
	"ExportTrafficSecrets": calls(func(m *Machine) error {
		_, err := m.ExportTrafficSecrets()
		return err
	}),
}

// clientHelloOf builds the ClientHello of a client, or a copy of the one that a
// server has received.
func clientHelloOf(p *tlstest.Peer) []byte {
	p.Shares = nil
	return p.ClientHello()
}

// certificateVerifyOf builds the message for a client too, which has no
// certificate in these tests.
func certificateVerifyOf(p *tlstest.Peer) []byte {
	if p.Certificate.PrivateKey == nil {
		return tlstest.Message(wire.TypeCertificateVerify, 4, 3, 0, 0)
	}
	return p.CertificateVerify()
}

// sendFinished sends a Finished where the peer can have the keys for it.
func sendFinished(r *rig) {
	if r.m.State().task() {
		r.p.SendRecord(record.TypeHandshake, r.p.Finished())
		return
	}
	r.p.Send(r.p.Finished())
}

// sendPlainMessage sends a hello in the clear, whatever the keys.
func sendPlainMessage(r *rig) {
	if r.p.Epoch() == tlstest.Plaintext {
		if r.client {
			r.p.Send(r.p.ServerHello())
		} else {
			r.p.Send(clientHelloOf(r.p))
		}
		return
	}
	r.p.SendPlain(record.TypeHandshake, tlstest.Message(wire.TypeFinished, make([]byte, 32)...))
}

// deliver gives the machine what the peer has sent, all at once, and says what
// became of it.
func (r *rig) deliver() string {
	state, before := r.m.State(), r.m.Err()
	b := r.p.Take()
	if len(b) == 0 {
		return "-"
	}
	reading := len(r.p.Got)
	if _, n := r.step(b); n == 0 && state == r.m.State() {
		if r.m.Err() != before || len(r.p.Got) > reading {
			r.Errorf("what was not taken has changed the machine")
		}
		return "-"
	} else if n < len(b) && r.m.State() != StateFailed {
		r.Errorf("%d bytes of %d were taken", n, len(b))
	}
	return r.outcome(state)
}

// outcome says what became of a machine that was in that state.
func (r *rig) outcome(before State) string {
	now := r.m.State()
	if now == before {
		return "="
	}
	var remote *RemoteAlert
	switch {
	case errors.As(r.m.Err(), &remote):
		if len(r.p.Alerts()) > 0 {
			r.Errorf("answered an alert with %v", r.p.Alerts())
		}
		return "alert"
	case now == StateFailed:
		r.wantFailed(reasonOf(r.m.Err()))
		return gridReasons[reasonOf(r.m.Err())]
	}
	for name, c := range r.columns() {
		if c.state == now && !slices.Contains(variants, name) {
			return name
		}
	}
	return now.String()
}

// eachCell parses a grid.
func eachCell(t *testing.T, grid string, f func(row, col, want string)) {
	lines := strings.Split(strings.TrimSpace(grid), "\n")
	cols := strings.Fields(lines[0])
	for _, line := range lines[1:] {
		cells := strings.Fields(line)
		if len(cells) != len(cols)+1 {
			t.Fatalf("row %q has %d cells for %d columns", cells[0], len(cells)-1, len(cols))
		}
		for i, want := range cells[1:] {
			f(cells[0], cols[i], want)
		}
	}
}

// gridOf is the grid of one role in one version.
type gridOf struct {
	name    string
	grid    string
	columns map[string]column
	tables  []ruleSet // whose states the columns are
	tasks   map[State]func(*testing.T) *rig
	without []string // rows that the role has no use for
}

var grids = []gridOf{
	{"client", clientGrid, clientColumns, []ruleSet{rulesClientHello, rulesClient13}, clientTasks, []string{"ClientHello(no-share)"}},
	{"server", serverGrid, serverColumns, []ruleSet{rulesServerHello, rulesServer13}, serverTasks, nil},
	{"client12", clientGrid12, clientColumns12, []ruleSet{rulesClient12}, clientTasks12, []string{"ClientHello(no-share)"}},
	{"server12", serverGrid12, serverColumns12, []ruleSet{rulesServer12}, serverTasks12, nil},
}

// rules returns the rules that the state has in the tables of the grid.
func (g *gridOf) rules(s State) (rules []rule) {
	for _, set := range g.tables {
		rules = append(rules, ruleTables[set][s]...)
	}
	return rules
}

// The ways into the states of tasks.
var clientTasks = map[State]func(*testing.T) *rig{
	StateMakeKeyShare: func(t *testing.T) *rig {
		return lifted(newClientRig, TaskKeyExchange)(t).tryBring(StateWaitServerHello)
	},
	StateAgreeKey: func(t *testing.T) *rig {
		r := lifted(newClientRig, TaskKeyExchange)(t).tryBring(StateWaitServerHello)
		r.done()
		r.p.Send(r.p.ServerHello())
		r.run()
		return r
	},
	StateVerifyChain: func(t *testing.T) *rig {
		return lifted(newClientRig, TaskVerifyChain)(t).tryBring(StateWaitCertificateVerify)
	},
	StateChooseCertificate: func(t *testing.T) *rig { return finishedClient(t, TaskChooseCertificate) },
	StateSign:              func(t *testing.T) *rig { return finishedClient(t, TaskSign) },
	StatePostChooseCertificate: func(t *testing.T) *rig {
		return askedClient(t, func(c *Config) { c.Tasks = Tasks(TaskChooseCertificate) })
	},
	StatePostSign: func(t *testing.T) *rig { return askedClient(t, func(c *Config) { c.Tasks = Tasks(TaskSign) }) },
}

var serverTasks = map[State]func(*testing.T) *rig{
	StateChooseCertificate: func(t *testing.T) *rig {
		return lifted(newServerRig, TaskChooseCertificate)(t).tryBring(StateWaitClientFinished)
	},
	StateAgreeKey: func(t *testing.T) *rig {
		return lifted(newServerRig, TaskKeyExchange)(t).tryBring(StateWaitClientFinished)
	},
	StateSign: func(t *testing.T) *rig { return lifted(newServerRig, TaskSign)(t).tryBring(StateWaitClientFinished) },
	StateVerifyChain: func(t *testing.T) *rig {
		return lifted(newAuthServer, TaskVerifyChain)(t).tryBring(StateWaitClientCertificateVerify)
	},
	StatePostVerifyChain: func(t *testing.T) *rig {
		return lifted(newPostServer, TaskVerifyChain)(t).ask().tryBring(StateWaitPostCertificateVerify)
	},
	StateOpenTicket: func(t *testing.T) *rig {
		return lifted(newResumedServer, TaskOpenTicket)(t).tryBring(StateWaitClientFinished)
	},
	StateDecideEarlyData: func(t *testing.T) *rig {
		return lifted(newEarlyServer, TaskDecideEarlyData)(t).tryBring(StateWaitEndOfEarlyData)
	},
}

var clientTasks12 = map[State]func(*testing.T) *rig{
	StateVerifyChain: func(t *testing.T) *rig {
		return lifted(newClientRig12, TaskVerifyChain)(t).tryBring(StateWaitServerKeyExchange)
	},
	StateAgreeKey: func(t *testing.T) *rig {
		r := lifted(newClientRig12, TaskKeyExchange)(t).tryBring(StateWaitServerHello)
		r.done() // the shares of TLS 1.3
		return r.tryBring(StateWaitServerChangeCipherSpec)
	},
	StateChooseCertificate: func(t *testing.T) *rig { return askedClient12(t, TaskChooseCertificate) },
	StateSign:              func(t *testing.T) *rig { return askedClient12(t, TaskSign) },
}

var serverTasks12 = map[State]func(*testing.T) *rig{
	StateChooseCertificate: func(t *testing.T) *rig {
		return lifted(newServerRig12, TaskChooseCertificate)(t).tryBring(StateWaitClientKeyExchange)
	},
	StateMakeKeyShare: func(t *testing.T) *rig {
		return lifted(newServerRig12, TaskKeyExchange)(t).tryBring(StateWaitClientKeyExchange)
	},
	StateSign: func(t *testing.T) *rig {
		return lifted(newServerRig12, TaskSign)(t).tryBring(StateWaitClientKeyExchange)
	},
	StateAgreeKey: func(t *testing.T) *rig {
		r := lifted(newServerRig12, TaskKeyExchange)(t).tryBring(StateWaitClientKeyExchange)
		r.done() // the server's share
		return r.tryBring(StateWaitClientChangeCipherSpec)
	},
	StateVerifyChain: func(t *testing.T) *rig {
		return lifted(newAuthServer12, TaskVerifyChain)(t).tryBring(StateWaitClientKeyExchange)
	},
	StateOpenTicket: func(t *testing.T) *rig {
		return lifted(newResumedServer12, TaskOpenTicket)(t).tryBring(StateWaitClientChangeCipherSpec)
	},
}

func TestGrid(t *testing.T) {
	for _, role := range grids {
		seen := make(map[string]bool)
		eachCell(t, role.grid, func(row, col, want string) {
			t.Run(role.name+"/"+col+"/"+row, func(t *testing.T) {
				seen[row+" "+col] = true
				c, ok := role.columns[col]
				if !ok {
					t.Fatal("unknown column")
				}
				if row == "other-messages" {
					testOtherMessages(t, c, want)
					return
				}
				input := gridInputs[row]
				if input == nil {
					t.Fatal("unknown row")
				}
				r := c.make(t)
				if got := input(r); got != want {
					t.Errorf("got %s (%v), want %s", got, r.m.Err(), want)
				}
			})
		})
		for row := range gridInputs {
			for col := range role.columns {
				if !seen[row+" "+col] && !slices.Contains(role.without, row) {
					t.Errorf("%s: no expectation for %s in %s", role.name, row, col)
				}
			}
		}
	}
}

// While a task is out, nothing is taken, whatever comes, and the result leads on.
func TestTaskStates(t *testing.T) {
	for _, role := range grids {
		for s := range numStates {
			if (len(role.rules(s)) > 0 && s.task()) != (role.tasks[s] != nil) {
				t.Errorf("%s: no way into %v, or one too many", role.name, s)
			}
		}
		for s, bring := range role.tasks {
			for row, input := range gridInputs {
				t.Run(fmt.Sprintf("%s/%v/%s", role.name, s, row), func(t *testing.T) {
					r := bring(t)
					r.wantState(s)
					testTaskState(t, r, row, input)
				})
			}
		}
	}
}

func testTaskState(t *testing.T, r *rig, row string, input func(*rig) string) {
	ready := r.m.out.gate == gateOpen
	state, task := r.m.State(), r.m.Task()
	if task == nil || r.m.Done(nil) != ErrNotWaiting || r.m.Done(new(Task)) != ErrNotWaiting || r.m.Done(task) != ErrTask {
		t.Fatal("the machine takes what is not the answer to its task")
	}
	want := "-"
	switch row {
	case "Step", "eof":
		want = "="
	case "Accept":
		want = "Ewait"
	case "Reject":
		want = "rj"
	case "Reject(close_notify)":
		want = "Eclos"
	case "Write", "AppendSealed", "call-KeyUpdate":
		want = "Enot"
		if ready {
			want = "="
		}
	case "WriteEarly":
		want = "Eearl"
	case "SendTicket":
		want = "Etick"
	case "Hibernate", "Snapshot", "ExportTrafficSecrets":
		want = "Equi"
	case "RequestClientCert":
		want = "Econn"
		switch {
		case r.client, r.tls12():
			want = "Epost"
		case !state.handshaking():
			want = "Eauth"
		}
	case "CloseWrite":
		want = "cn"
		if ready {
			want = "="
		}
	}
	if got := input(r); got != want && !(got == "=" && want == "-") {
		t.Fatalf("got %s (%v), want %s", got, r.m.Err(), want)
	}
	task.Run()
	switch err := r.m.Done(task); {
	case r.m.State() == StateFailed && reasonOf(r.m.Err()) == ReasonTransportClosed:
		// The result was taken, and then the end of the transport.
	case want == "rj" || want == "cn":
		if err != ErrFailed {
			t.Errorf("after the failure: %v", err)
		}
	case err != nil || r.m.State() == state || r.m.State() == StateFailed:
		t.Errorf("the result of the task: %v, state %v, %v", err, r.m.State(), r.m.Err())
	case r.m.Done(task) != ErrNotWaiting:
		t.Error("a task was taken twice")
	}
}

// lifted returns a maker of rigs whose machine has tasks of that kind lifted out.
func lifted(newRig func(*testing.T, ...func(*Config)) *rig, kind TaskKind) func(*testing.T) *rig {
	return func(t *testing.T) *rig {
		return newRig(t, func(c *Config) { c.Tasks = Tasks(kind) })
	}
}

// done runs the task that is out, hands it back, and goes on.
func (r *rig) done() Event {
	r.Helper()
	t := r.m.Task()
	if t == nil {
		r.Fatalf("no task is out in state %v (%v)", r.m.State(), r.m.Err())
	}
	t.Run()
	if err := r.m.Done(t); err != nil {
		r.Fatal(err)
	}
	ev, _ := r.step(nil)
	return ev
}

// testOtherMessages tries all the types that have no name.
func testOtherMessages(t *testing.T, c column, want string) {
	ended := want == "-"
	r := c.make(t)
	for i := range 256 {
		typ := wire.HandshakeType(i)
		if !strings.HasPrefix(typ.String(), "HandshakeType") {
			continue
		}
		if !ended && c.state > StateWaitServerHello && i%16 != 3 && testing.Short() {
			continue
		}
		if !ended && i > 3 {
			r = c.make(t)
		}
		if got := sendsType(typ)(r); got != want {
			t.Errorf("type %d: got %s (%v), want %s", i, got, r.m.Err(), want)
		}
	}
}

// The columns of the grid are all the states of each role's table, and those
// that have no rules; and its rows are all inputs that a rule can be about.
func TestGridIsComplete(t *testing.T) {
	rows := map[input]string{
		inputStart:               "Step",
		inputAccept:              "Accept",
		inputRequestCertificate:  "RequestClientCert",
		inputChangeCipherSpec:    "ccs",
		inputApplicationData:     "data",
		inputClientHello:         "ClientHello",
		inputServerHello:         "ServerHello",
		inputHelloRetryRequest:   "HelloRetryRequest",
		inputEncryptedExtensions: "EncryptedExtensions",
		inputCertificateRequest:  "CertificateRequest",
		inputCertificate:         "Certificate",
		inputCertificateVerify:   "CertificateVerify",
		inputFinished:            "Finished",
		inputNewSessionTicket:    "NewSessionTicket",
		inputKeyUpdate:           "KeyUpdate",
		inputEndOfEarlyData:      "EndOfEarlyData",
		inputHelloRequest:        "HelloRequest",
		inputServerKeyExchange:   "ServerKeyExchange",
		inputServerHelloDone:     "ServerHelloDone",
		inputClientKeyExchange:   "ClientKeyExchange",
		inputCertificateStatus:   "CertificateStatus",
		inputUnknownMessage:      "other-messages",
	}
	for in := inputNone + 1; in < numInputs; in++ {
		if in != inputTask && rows[in] == "" {
			t.Errorf("no row for the input %v", in)
		}
	}
	for _, role := range grids {
		want := make(map[string]string)
		eachCell(t, role.grid, func(row, col, cell string) { want[row+" "+col] = cell })
		for s := stateNone; s < numStates; s++ {
			rules := role.rules(s)
			if s.task() {
				continue // see TestTaskStates
			}
			var name, variant string
			for col, c := range role.columns {
				switch {
				case c.state == s && slices.Contains(variants, col):
					variant = col
				case c.state == s:
					name = col
				}
			}
			ended := s == StateClosed || s >= StateFailed
			if (len(rules) > 0 || ended) != (name != "") {
				t.Errorf("%s: state %v has %d rules, and the column %q", role.name, s, len(rules), name)
			}
			if len(rules) == 0 {
				continue
			}
			for in, row := range rows {
				cell := want[row+" "+name]
				if s == StateClientStart && in != inputStart {
					continue // the Step that brings the input starts first
				}
				ruled := slices.ContainsFunc(rules, func(r rule) bool { return r.on == in })
				accepted := isAccepted(cell) || variant != "" && isAccepted(want[row+" "+variant])
				switch {
				case in == inputStart && s != StateClientStart:
				case in == inputAccept && s != StateWaitAccept:
				case in == inputRequestCertificate && (s != StateConnected || cell == "Epost"):
				case s == StateWaitAccept && in != inputAccept:
					// Nothing is taken while an answer is owed.
				case ruled != accepted:
					t.Errorf("%s: %v in %v: the table has a rule: %v; the grid says %q", role.name, in, s, ruled, cell)
				case !ruled && cell != "um" && cell != "ur":
					t.Errorf("%s: %v in %v has no rule, and the grid says %q", role.name, in, s, cell)
				}
			}
		}
	}
}

// variants are columns of a state that has another one: it is entered in two ways.
var variants = []string{"ACH", "Ask"}

// isAccepted reports whether a cell says that an input is taken.
func isAccepted(cell string) bool {
	return cell != "-" && cell[0] != 'E' && cell == strings.ToUpper(cell[:1])+cell[1:] || cell == "EE" || cell == "EOED" || cell == "rn"
}

// edge is a transition.
type edge struct {
	table ruleSet
	from  State
	on    input
	to    State
}

// watched has the machines whose transitions are noted, each with its edges.
var watched sync.Map

// All tables note the transitions of machines that are watched.
func init() {
	for set, table := range ruleTables {
		for s := range table {
			for i := range table[s] {
				r := &table[s][i]
				do := r.do
				r.do = func(m *Machine, msg []byte) (State, error) {
					from := m.state
					to, err := do(m, msg)
					if edges, ok := watched.Load(m); ok && err == nil {
						edges.(map[edge]bool)[edge{ruleSet(set), from, r.on, to}] = true
					}
					return to, err
				}
			}
		}
	}
}

// watch makes a machine note the transitions of its rules.
func watch(m *Machine, edges map[edge]bool) { watched.Store(m, edges) }

// walks lead along every transition that a rule allows.
var walks = []func(*testing.T, map[edge]bool){
	walk(newClientRig, StateConnected),
	walk(newClientRig, StateWaitServerHelloRetry),
	walk(newClientRig, StateWaitCertificate),
	walkCookie,
	walk(newServerRig, StateConnected),
	walk(traced(newClientRig), StateConnected), // application data takes the way of the rules
	walk(traced(newServerRig), StateConnected),
	walk(newServerRig, StateWaitClientHelloRetry),
	walkAcceptor(StateWaitClientFinished),
	walkAcceptor(StateWaitClientHelloRetry),
	func(t *testing.T, edges map[edge]bool) { finishWalk(newResumedClient(t), edges, 0) },
	walkResumedServer,
	walkResumedRetry,
	walkResumedAcceptor,
	walkEarlyServer,
	walkUnknownTickets,
	walkAuthentication,
	walk12(newClientRig12, StateConnected),
	walk12(newClientRig12, StateWaitServerHelloDone),
	walkStatus(true),
	walkStatus(false),
	walk12(newServerRig12, StateConnected),
	walkAcceptor12,
	walkPairs12,
}

// Every transition that a rule allows does happen.
func TestEveryEdge(t *testing.T) {
	edges := make(map[edge]bool)
	for _, w := range walks {
		w(t, edges)
	}
	for set, table := range ruleTables {
		for s, rules := range table {
			for _, r := range rules {
				for to := range numStates {
					if e := (edge{ruleSet(set), State(s), r.on, to}); r.to.has(to) != edges[e] {
						t.Errorf("table %d: %v on %v to %v: in the table %v, seen %v", set, e.from, e.on, e.to, r.to.has(to), edges[e])
					}
				}
			}
		}
	}
}

// walkCookie is the way of a client whose server wants a cookie back and no other
// key share.
func walkCookie(t *testing.T, edges map[edge]bool) {
	r := newClientRig(t)
	watch(r.m, edges)
	r.bring(StateWaitServerHello)
	r.p.Cookie = []byte("cookie")
	r.p.OnHelloRetryRequest = func(hello *wire.ServerHello) {
		hello.Extensions = tlstest.Extensions(wire.ExtSupportedVersions, wire.ExtCookie)
	}
	r.send(r.p.HelloRetryRequest())
	r.wantState(StateWaitServerHelloRetry)
}

// walk leads a machine to Connected by way of a state, with a change_cipher_spec
// wherever one may come, and then through what may come afterwards.
func walk(make func(*testing.T, ...func(*Config)) *rig, via State) func(*testing.T, map[edge]bool) {
	return func(t *testing.T, edges map[edge]bool) {
		finishWalk(make(t), edges, via)
	}
}

// traced makes rigs whose machines have a Trace.
func traced(make func(*testing.T, ...func(*Config)) *rig) func(*testing.T, ...func(*Config)) *rig {
	return func(t *testing.T, change ...func(*Config)) *rig {
		return make(t, append(change, func(c *Config) { c.Trace = func(TraceMessage) {} })...)
	}
}

// walkAcceptor is walk for an acceptor.
func walkAcceptor(via State) func(*testing.T, map[edge]bool) {
	return func(t *testing.T, edges map[edge]bool) {
		r := newAcceptorRig(t)
		watch(r.m, edges)
		if via == StateWaitClientHelloRetry {
			r.p.Shares = []wire.NamedGroup{}
		}
		r.send(r.p.ClientHello())
		r.wantState(StateWaitAccept)
		if err := r.m.Accept(testServerConfig()); err != nil {
			t.Fatal(err)
		}
		r.wantState(via)
	}
}

// walk12 is walk in TLS 1.2.
func walk12(make func(*testing.T, ...func(*Config)) *rig, via State) func(*testing.T, map[edge]bool) {
	return func(t *testing.T, edges map[edge]bool) {
		r := make(t)
		watch(r.m, edges)
		r.bring(via).wantConnected()
	}
}

// walkStatus is the way of a client whose server has announced a CertificateStatus,
// and sends it, or leaves it out.
func walkStatus(sent bool) func(*testing.T, map[edge]bool) {
	return func(t *testing.T, edges map[edge]bool) {
		r := newClientRig12(t)
		watch(r.m, edges)
		r.bring(StateWaitCertificateStatus)
		if sent {
			r.send(r.p.CertificateStatus([]byte("response")))
			r.wantState(StateWaitServerKeyExchange)
		} else {
			r.send(r.p.ServerKeyExchange())
			r.wantState(StateWaitRequestOrHelloDone)
		}
		r.wantConnected()
	}
}

// walkAcceptor12 is the way of an acceptor whose client speaks TLS 1.2.
func walkAcceptor12(t *testing.T, edges map[edge]bool) {
	r := newAcceptorRig(t)
	r.p, r.path = tlstest.NewPeer12(false), serverPath12
	watch(r.m, edges)
	r.send(r.p.ClientHello())
	r.wantState(StateWaitAccept)
	cfg := testServerConfig()
	bothVersions(cfg)
	if err := r.m.Accept(cfg); err != nil {
		t.Fatal(err)
	}
	r.step(nil)
	r.wantConnected()
}

func finishWalk(r *rig, edges map[edge]bool, via State) {
	r.Helper()
	watch(r.m, edges)
	ccs := func() {
		if s := r.m.State(); r.m.find(inputChangeCipherSpec) != nil {
			r.p.SendCCS()
			r.run()
			r.wantState(s)
		}
	}
	for _, step := range r.path {
		switch {
		case via == StateWaitServerHelloRetry && r.m.State() == StateWaitServerHello:
			r.p.Group = wire.GroupP256
			r.send(r.p.HelloRetryRequest())
		case via == StateWaitCertificate && r.m.State() == StateWaitCertificateOrRequest:
			r.send(r.p.CertificateRequest())
		case via == StateWaitClientHelloRetry && r.m.State() == StateWaitClientHello:
			r.p.Shares = []wire.NamedGroup{}
			r.send(r.p.ClientHello())
		}
		ccs()
		step.do(r)
		r.wantState(step.to)
		ccs()
	}
	r.p.SendRecord(record.TypeApplicationData, []byte("data"))
	r.p.Send(r.p.KeyUpdate(1))
	if r.client {
		r.p.SendRecord(record.TypeHandshake, r.p.NewSessionTicket())
	}
	r.run()
	r.wantState(StateConnected)
	if !bytes.Equal(r.data, []byte("data")) {
		r.Fatalf("received %q", r.data)
	}
}
