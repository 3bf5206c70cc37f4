package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"tlscore.example/tlscore"
)

// This file is a small HTTP/1.1 server in the manner of the library itself: no
// I/O, bytes in, bytes out. Whoever has a connection drives it.

// maxHead bounds the request line and the header fields of one request.
const maxHead = 16 << 10

// maxBytes bounds what /bytes/N answers.
const maxBytes = 1 << 30

// maxWaiting bounds what comes behind a request that waits to know who the client is.
const maxWaiting = 64 << 10

// httpConn is the server's side of one HTTP connection.
type httpConn struct {
	// page returns the text of the page at "/".
	page func() string
	// client says who the client is, for "/private", and whether it was asked just now:
	// then the response waits for identified.
	client func() (who string, asked bool)

	in      []byte // received and not handled
	scanned int    // bytes of in that are known to hold no end of a head
	ended   bool   // no more requests come: the client has closed its direction

	out    []byte // of the response, still to be written
	fill   int    // bytes of filler that follow out
	filled int    // bytes of filler that were written
	last   bool   // the connection ends behind this response

	private *request // waits to know who the client is
}

// receive takes bytes of requests. A client that sends on and on, but not who it is,
// stays unknown.
func (h *httpConn) receive(data []byte) {
	if h.private != nil && len(h.in)+len(data) > maxWaiting {
		h.identified("")
	}
	if !h.last {
		h.in = append(h.in, data...)
	}
}

// end says that nothing more will be received.
func (h *httpConn) end() {
	h.ended = true
	h.identified("") // or never
}

// stop makes the response at hand, or the next, the last.
func (h *httpConn) stop() { h.ended = true; h.in = nil }

// next returns what is to be written next, or nothing when a request has to come
// first. What was taken of it is told to wrote.
func (h *httpConn) next() []byte {
	if !h.busy() && !h.last && h.private == nil {
		h.handle()
	}
	if len(h.out) > 0 {
		return h.out
	}
	if h.fill > 0 {
		piece := filler[h.filled%len(filler):]
		return piece[:min(len(piece), h.fill)]
	}
	return nil
}

// wrote says that the first n bytes of what next returned are on their way.
func (h *httpConn) wrote(n int) {
	if len(h.out) > 0 {
		if h.out = h.out[n:]; len(h.out) == 0 {
			h.out = nil
		}
		return
	}
	h.fill -= n
	h.filled += n
}

// busy reports whether a response is not completely written.
func (h *httpConn) busy() bool { return len(h.out) > 0 || h.fill > 0 }

// done reports whether nothing will be written any more.
func (h *httpConn) done() bool { return !h.busy() && h.last && h.private == nil }

// filler is what /bytes/N repeats.
var filler = bytes.Repeat([]byte("tlscore is TLS without the I/O.\n"), 512)

// handle answers the next request if all of its head is there.
func (h *httpConn) handle() {
	h.skipEmptyLines()
	head, ok := h.takeHead()
	switch {
	case ok:
		h.answer(head)
	case len(h.in) > maxHead:
		h.refuse(431, "the request head is longer than 16 KiB")
	case h.ended && len(h.in) > 0:
		h.refuse(400, "the request is not complete")
	case h.ended:
		h.last = true
	}
	if len(h.in) == 0 {
		h.in = nil // an idle connection holds no buffer
	}
}

// skipEmptyLines skips what some clients send behind a request.
// RFC 9112, Section 2.2.
func (h *httpConn) skipEmptyLines() {
	n := 0
	for n < len(h.in) && (h.in[n] == '\r' || h.in[n] == '\n') {
		n++
	}
	if n > 0 {
		h.in = h.in[n:]
		h.scanned = 0
	}
}

// takeHead takes everything up to the empty line. Lines may end without CR, as
// people type them: RFC 9112, Section 2.2.
func (h *httpConn) takeHead() (head []byte, ok bool) {
	limit := min(len(h.in), maxHead)
	for i := h.scanned; i < limit; i++ {
		if h.in[i] != '\n' {
			continue
		}
		rest := h.in[i+1 : limit]
		if len(rest) > 0 && rest[0] == '\r' {
			rest = rest[1:]
		}
		if len(rest) == 0 {
			h.scanned = i
			return nil, false
		}
		if rest[0] == '\n' {
			head = h.in[:i]
			h.in = h.in[i+1:]
			h.in = h.in[bytes.IndexByte(h.in, '\n')+1:]
			h.scanned = 0
			return head, true
		}
	}
	h.scanned = max(0, limit-2)
	return nil, false
}

// request is what counts of a request's head.
type request struct {
	method, target string
	minor          int  // of the version, HTTP/1.x
	close, keep    bool // options of Connection
	hasBody        bool
}

// keepAlive reports whether another request may follow. RFC 9112, Section 9.3.
func (r *request) keepAlive() bool { return !r.close && (r.minor > 0 || r.keep) }

// httpError is a request that is refused.
type httpError struct {
	status int
	text   string
}

func badRequest(text string) *httpError { return &httpError{400, text} }

// parseRequest parses a head.
func parseRequest(head string) (*request, *httpError) {
	line, fields, _ := strings.Cut(head, "\n")
	r, err := parseRequestLine(strings.TrimSuffix(line, "\r"))
	if err != nil {
		return nil, err
	}
	hosts := 0
	for fields != "" {
		line, fields, _ = strings.Cut(fields, "\n")
		name, value, ok := strings.Cut(strings.TrimSuffix(line, "\r"), ":")
		if !ok || !isToken(name) || strings.ContainsAny(value, "\x00\r") {
			return nil, badRequest("a header field is malformed")
		}
		value = strings.Trim(value, " \t")
		switch strings.ToLower(name) {
		case "host":
			hosts++
		case "connection":
			r.connection(value)
		case "transfer-encoding":
			r.hasBody = true
		case "content-length":
			n, err := strconv.ParseUint(value, 10, 63)
			if err != nil {
				return nil, badRequest("Content-Length is not a number")
			}
			r.hasBody = r.hasBody || n > 0
		}
	}
	if hosts > 1 || hosts == 0 && r.minor > 0 {
		return nil, badRequest("there has to be one Host field")
	}
	return r, nil
}

func parseRequestLine(line string) (*request, *httpError) {
	part := strings.Split(line, " ")
	if len(part) != 3 || !isToken(part[0]) || !isTarget(part[1]) {
		return nil, badRequest("the request line is malformed")
	}
	r := &request{method: part[0], target: part[1]}
	switch version := part[2]; {
	case version == "HTTP/1.0":
	case len(version) == 8 && strings.HasPrefix(version, "HTTP/1.") && version[7] >= '1' && version[7] <= '9':
		r.minor = 1
	case len(version) == 8 && strings.HasPrefix(version, "HTTP/"):
		return nil, &httpError{505, "only HTTP/1.1 and HTTP/1.0 are spoken here"}
	default:
		return nil, badRequest("the request line names no HTTP version")
	}
	return r, nil
}

// connection takes the options of a Connection field.
func (r *request) connection(value string) {
	for option := range strings.SplitSeq(value, ",") {
		switch strings.ToLower(strings.Trim(option, " \t")) {
		case "close":
			r.close = true
		case "keep-alive":
			r.keep = true
		}
	}
}

// isToken reports whether s is a token of RFC 9110, Section 5.6.2.
func isToken(s string) bool {
	for _, b := range []byte(s) {
		letter := b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9'
		if !letter && strings.IndexByte("!#$%&'*+-.^_`|~", b) < 0 {
			return false
		}
	}
	return s != ""
}

// isTarget reports whether s has only visible characters.
func isTarget(s string) bool {
	for _, b := range []byte(s) {
		if b <= ' ' || b >= 0x7f {
			return false
		}
	}
	return s != ""
}

// path returns the path of the target, which proxies are sent with the scheme
// and the host in front.
func (r *request) path() string {
	path := r.target
	if i := strings.Index(path, "://"); i > 0 && path[0] != '/' {
		path = path[i+3:]
		if slash := strings.IndexByte(path, '/'); slash >= 0 {
			path = path[slash:]
		} else {
			path = "/"
		}
	}
	path, _, _ = strings.Cut(path, "?")
	return path
}

// answer makes the response to a request.
func (h *httpConn) answer(head []byte) {
	r, err := parseRequest(string(head))
	if err != nil {
		h.refuse(err.status, err.text)
		return
	}
	// A body is not read: whoever sends one is answered, and that is the end.
	h.last = !r.keepAlive() || r.hasBody
	switch path := r.path(); {
	case r.method != "GET" && r.method != "HEAD":
		h.respond(r, 405, "only GET and HEAD are answered here\n")
	case path == "/":
		h.respond(r, 200, h.page())
	case path == "/private":
		client, asked := h.client()
		if h.private = r; !asked {
			h.identified(client)
		}
	case strings.HasPrefix(path, "/bytes/"):
		h.respondBytes(r, path[len("/bytes/"):])
	default:
		h.respond(r, 404, "there are /, /private and /bytes/N\n")
	}
}

// identified answers the request that waits to know who the client is, if there is one.
func (h *httpConn) identified(client string) {
	r := h.private
	if h.private = nil; r == nil {
		return
	}
	if client == "" {
		h.respond(r, 403, "this is for clients with a certificate\n")
		return
	}
	h.respond(r, 200, "You are "+client+".\n")
}

func (h *httpConn) respondBytes(r *request, number string) {
	n, err := strconv.ParseUint(number, 10, 31)
	if err != nil || n > maxBytes {
		h.respond(r, 404, fmt.Sprintf("/bytes/N takes a number up to %d\n", maxBytes))
		return
	}
	h.head(r, 200, int(n))
	if r.method != "HEAD" {
		h.fill, h.filled = int(n), 0
	}
}

// refuse answers what is no request at all. What follows cannot be understood
// either.
func (h *httpConn) refuse(status int, text string) {
	h.last = true
	h.in = nil
	h.respond(&request{method: "GET", minor: 1}, status, text+"\n")
}

func (h *httpConn) respond(r *request, status int, body string) {
	h.head(r, status, len(body))
	if r.method != "HEAD" {
		h.out = append(h.out, body...)
	}
}

var statusText = map[int]string{
	200: "OK",
	400: "Bad Request",
	403: "Forbidden",
	404: "Not Found",
	405: "Method Not Allowed",
	431: "Request Header Fields Too Large",
	505: "HTTP Version Not Supported",
}

// head starts a response.
func (h *httpConn) head(r *request, status, length int) {
	if h.last {
		h.in = nil
	}
	h.out = fmt.Appendf(h.out, "HTTP/1.1 %d %s\r\n", status, statusText[status])
	h.out = append(h.out, "Content-Type: text/plain; charset=utf-8\r\n"...)
	h.out = fmt.Appendf(h.out, "Content-Length: %d\r\n", length)
	if status == 405 {
		h.out = append(h.out, "Allow: GET, HEAD\r\n"...)
	}
	switch {
	case h.last:
		h.out = append(h.out, "Connection: close\r\n"...)
	case r.minor == 0:
		h.out = append(h.out, "Connection: keep-alive\r\n"...)
	}
	h.out = append(h.out, "\r\n"...)
}

// plainHTTP is the answer to a client that speaks HTTP without TLS.
const plainHTTP = "HTTP/1.0 400 Bad Request\r\n" +
	"Content-Type: text/plain; charset=utf-8\r\n" +
	"Connection: close\r\n\r\n" +
	"This port speaks HTTPS: say https:// where you said http://.\n"

// plainAnswer returns what to answer to a peer that does not speak TLS, or
// nothing if it gets the alert.
func plainAnswer(err error) string {
	var protocol *tlscore.ProtocolError
	if errors.As(err, &protocol) && protocol.PlainHTTP() {
		return plainHTTP
	}
	return ""
}
