package main

import (
	"regexp"
	"time"

	"github.com/thingjobs/thingjobs/broker"
	"github.com/thingjobs/thingjobs/jobsvc/auth"
)

// EventsConfig is about $aws/events/.
type EventsConfig struct {
	DefaultEnabled   bool          `yaml:"defaultEnabled" name:"default-enabled" default:"true" negatable:"" help:"Send events of jobs and executions until UpdateEventConfigurations says otherwise."`
	StrictShape      bool          `yaml:"strictShape" name:"strict-shape" help:"Leave out what AWS does not have: executionNumber, versionNumber, reasonCode, forceCanceled and the counts of executions that are QUEUED, IN_PROGRESS and TIMED_OUT."`
	KeepAfterRestart time.Duration `yaml:"keepAfterRestart" name:"keep-after-restart" default:"5m" help:"How long after a start events wait for subscribers to come back. 0: those that were left are dropped."`
}

// AuthConfig is about who may do what over MQTT.
type AuthConfig struct {
	Mode string `yaml:"mode" name:"mode" default:"auto" enum:"auto,things,policy" help:"What decides about devices over MQTT. auto: their policies, where the certificate or a group of its thing has any; else the things that the certificate is attached to. things: those alone. policy: policies alone, no policy means no rights."`

	OperatorCertificates []string `yaml:"operatorCertificates" name:"operator-certificates" help:"IDs of certificates that may subscribe to $$aws/events/ over MQTT. They need no thing. Make one with thingjobs operator certificate."`
}

var certificateIDPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (c *Config) validateEvents(bad func(key, format string, args ...any)) {
	if c.Events.KeepAfterRestart < 0 {
		bad("events.keepAfterRestart", "durations are not negative")
	}
	switch auth.Mode(c.Auth.Mode) {
	case auth.ModeAuto, auth.ModeThings, auth.ModePolicy:
	default:
		bad("auth.mode", "%q is none of auto, things and policy", c.Auth.Mode)
	}
	for _, id := range c.Auth.OperatorCertificates {
		if !certificateIDPattern.MatchString(id) {
			bad("auth.operatorCertificates", "%q is no ID of a certificate: 64 digits and letters a to f", id)
		}
	}
}

func (c *Config) events() broker.EventOptions {
	return broker.EventOptions{KeepAfterRestart: c.Events.KeepAfterRestart, StrictShape: c.Events.StrictShape}
}
