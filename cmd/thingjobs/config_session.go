package main

import (
	"time"

	"github.com/thingjobs/thingjobs/broker"
)

// SessionConfig is about persistent MQTT sessions.
type SessionConfig struct {
	MaxExpiry time.Duration `yaml:"maxExpiry" name:"max-expiry" default:"1h" help:"How long a persistent MQTT session is kept without a connection, over restarts too: that of MQTT 3.1.1, and the most that MQTT 5 may ask for. Whole seconds, 168h at most."`
}

// maxSessionExpiry is what the service's quota can be raised to.
const maxSessionExpiry = 7 * 24 * time.Hour

func (c *Config) validateSession(bad func(key, format string, args ...any)) {
	if d := c.Session.MaxExpiry; d < time.Second || d > maxSessionExpiry || d%time.Second != 0 {
		bad("session.maxExpiry", "%s is not between 1s and 168h in whole seconds", d)
	}
}

func (c *Config) brokerLimits() broker.Limits {
	return broker.Limits{SessionExpiry: c.Session.MaxExpiry}
}
