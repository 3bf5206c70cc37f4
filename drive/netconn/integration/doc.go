// Package integration tests package netconn with what is not in the standard library:
// nettest of golang.org/x/net, and its HTTP/2. h2server is a server of both versions of HTTP.
package integration
