//go:build !unix

package benchkit

// What is measured over loopback needs the processor time of a process, as Unix tells it.

// RunClients reports that this process is not the clients of another.
func RunClients() (bool, error) { return false, nil }
