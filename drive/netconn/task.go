package netconn

import (
	"io"
	"os"
	"time"
)

// startTask runs the task that the machine waits for on a goroutine. The caller holds
// recv.
func (c *Conn) startTask() {
	c.steps.Lock()
	task := c.machine.Task()
	c.steps.Unlock()
	done := make(chan struct{})
	c.task, c.taskDone = task, done
	go func() {
		defer close(done)
		task.Run() // it never touches the machine
	}()
}

// wakeWaiter tells whoever waits for a task to look again: the read deadline was
// moved, or the connection has ended. The caller holds mu.
func (c *Conn) wakeWaiter() {
	select {
	case c.waiter <- struct{}{}:
	default: // nobody waits, or is told already
	}
}

// awaitTask waits for the end of the task and hands it back to the machine. The
// caller holds recv. After a deadline it can be called again.
func (c *Conn) awaitTask() error {
	if err := c.waitForTask(); err != nil {
		return err
	}
	task := c.task
	c.task, c.taskDone = nil, nil
	c.steps.Lock()
	defer c.steps.Unlock()
	c.machine.Done(task) // of a connection that has failed meanwhile the next step tells
	return nil
}

// waitForTask returns when the task has ended, else why it does not wait any longer.
func (c *Conn) waitForTask() error {
	if c.task == nil {
		return io.ErrUnexpectedEOF // no other answer is ever owed here
	}
	return c.waitFor(c.taskDone)
}

// waitFor returns when something can be received from ready, else why it does not wait any
// longer: the connection is over, or the read deadline has passed. The caller holds recv.
func (c *Conn) waitFor(ready <-chan struct{}) error {
	wake := make(chan struct{}, 1)
	defer c.setWaiter(nil)
	c.setWaiter(wake)
	for {
		if err := c.over(); err != nil {
			return err
		}
		late, stop := c.readTimer()
		select {
		case <-ready:
			stop()
			return nil
		case <-late:
			return os.ErrDeadlineExceeded
		case <-wake:
			stop()
		}
	}
}

func (c *Conn) setWaiter(wake chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiter = wake
}

// readTimer returns a channel that tells when the read deadline passes, if there is
// one.
func (c *Conn) readTimer() (late <-chan time.Time, stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.readBy.IsZero() {
		return nil, func() bool { return true }
	}
	timer := time.NewTimer(time.Until(c.readBy))
	return timer.C, timer.Stop
}
