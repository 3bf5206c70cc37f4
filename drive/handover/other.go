//go:build !unix

// Command handover hands a live TLS connection from one process to the next, with what only
// Unix has.
package main

import "log"

func main() { log.Fatal("a descriptor is handed to another process with what only Unix has") }
