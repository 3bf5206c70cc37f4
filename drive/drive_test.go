package drive

import (
	"testing"
	"time"
)

func TestLimitsDefaults(t *testing.T) {
	for _, tt := range []struct{ in, want Limits }{
		{Limits{}, Limits{HandshakeTimeout: DefaultHandshakeTimeout}},
		{Limits{HandshakeTimeout: -1, IdleTimeout: -1, MaxConnections: -1, MaxHandshakes: -1}, Limits{}},
		{Limits{time.Second, time.Minute, 3, 2}, Limits{time.Second, time.Minute, 3, 2}},
	} {
		if got := tt.in.WithDefaults(); got != tt.want {
			t.Errorf("%+v: %+v, expected %+v", tt.in, got, tt.want)
		}
	}
}

func TestLingerDefaults(t *testing.T) {
	for _, tt := range []struct{ in, want Linger }{
		{Linger{}, Linger{DefaultLingerTimeout, DefaultLingerBytes}},
		{Linger{-1, 7}, Linger{-1, 7}},
	} {
		if got := tt.in.WithDefaults(); got != tt.want {
			t.Errorf("%+v: %+v, expected %+v", tt.in, got, tt.want)
		}
	}
}
