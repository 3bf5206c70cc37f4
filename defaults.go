package tlscore

import (
	"crypto/rand"
	"time"
)

// This is the one file of the package that names a source of time and of
// randomness. They are used when the Config names none.

var (
	defaultRandom = rand.Reader
	defaultTime   = time.Now
)
