package main

import (
	"encoding/json"
	"regexp"
	"strings"
)

// The messages of the jobs topics, as far as a device needs them.

// request is the payload of start-next, get, {jobId}/get and {jobId}/update.
type request struct {
	Status          string            `json:"status,omitempty"`
	StatusDetails   map[string]string `json:"statusDetails,omitempty"`
	ExpectedVersion int64             `json:"expectedVersion,omitempty"`
	ExecutionNumber int64             `json:"executionNumber,omitempty"`
	StepTimeout     int64             `json:"stepTimeoutInMinutes,omitempty"`
	IncludeState    bool              `json:"includeJobExecutionState,omitempty"`
	ClientToken     string            `json:"clientToken"`
}

// execution is what start-next, get and notify-next carry, and without status and document the
// lists.
type execution struct {
	JobID           string            `json:"jobId"`
	Status          string            `json:"status"`
	StatusDetails   map[string]string `json:"statusDetails"`
	VersionNumber   int64             `json:"versionNumber"`
	ExecutionNumber int64             `json:"executionNumber"`
	JobDocument     json.RawMessage   `json:"jobDocument"`
}

func (e *execution) key() executionKey { return executionKey{e.JobID, e.ExecutionNumber} }

// pending reports whether the execution has yet to end.
func (e *execution) pending() bool { return e.Status == statusQueued || e.Status == statusInProgress }

// reply is an accepted or a rejected message, or a notification.
type reply struct {
	ClientToken    string          `json:"clientToken"`
	Execution      *execution      `json:"execution"`
	ExecutionState *executionState `json:"executionState"`

	// In an answer to get.
	InProgress []execution `json:"inProgressJobs"`
	Queued     []execution `json:"queuedJobs"`

	// In a notify: the queue by status.
	Jobs map[string][]execution `json:"jobs"`

	// In a rejected message. A code is never empty there.
	Code    string `json:"code"`
	Message string `json:"message"`
}

// executionState is the state after an update, or the one that refused it.
type executionState struct {
	Status        string `json:"status"`
	VersionNumber int64  `json:"versionNumber"`
}

// The codes a device decides by.
const (
	codeInternalError          = "InternalError"
	codeRequestThrottled       = "RequestThrottled"
	codeInvalidStateTransition = "InvalidStateTransition"
	codeResourceNotFound       = "ResourceNotFound"
	codeTerminalStateReached   = "TerminalStateReached"
	codeVersionMismatch        = "VersionMismatch"
	codeInvalidJSON            = "InvalidJson"
	codeInvalidRequest         = "InvalidRequest"
	codeInvalidTopic           = "InvalidTopic"
)

// again reports whether the same request may succeed later. Everything else is final.
func (r *reply) again() bool {
	return r.Code == codeInternalError || r.Code == codeRequestThrottled
}

// gone reports whether the execution the request was about is no longer this device's to work on:
// canceled, timed out or deleted.
func (r *reply) gone() bool {
	return r.Code == codeInvalidStateTransition || r.Code == codeResourceNotFound || r.Code == codeTerminalStateReached
}

// state is the status in executionState, empty if there is none.
func (r *reply) state() string {
	if r.ExecutionState == nil {
		return ""
	}
	return r.ExecutionState.Status
}

// jobIDPattern guards what we make file names and topics of.
var jobIDPattern = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`)

// The notifications.
const (
	notifyNext = "notify-next"
	notifyList = "notify"
)

// nextJob is the alias of whatever is first in the queue.
const nextJob = "$next"

// topics builds and reads the jobs topics of one thing.
type topics struct{ prefix string }

func topicsOf(thing string) topics { return topics{"$aws/things/" + thing + "/jobs/"} }

func (t topics) startNext() string          { return t.prefix + "start-next" }
func (t topics) list() string               { return t.prefix + "get" }
func (t topics) get(job string) string      { return t.prefix + job + "/get" }
func (t topics) update(job string) string   { return t.prefix + job + "/update" }
func (t topics) suffix(topic string) string { s, _ := strings.CutPrefix(topic, t.prefix); return s }
func (t topics) isOurs(topic string) bool   { return strings.HasPrefix(topic, t.prefix) }
func isRejected(topic string) bool          { return strings.HasSuffix(topic, "/rejected") }
func isReply(topic string) bool             { return isRejected(topic) || strings.HasSuffix(topic, "/accepted") }

// operation names a request in the report.
type operation string

const (
	opStartNext operation = "start-next"
	opGet       operation = "get"
	opList      operation = "list" // the pending executions
	opUpdate    operation = "update"
)

// jobOf returns the job ID in the topic of a describe or an update.
func jobOf(topic string) string {
	parts := strings.Split(topic, "/")
	if len(parts) < 6 {
		return ""
	}
	return parts[4]
}

// suffixOf returns what follows the name of the thing in a jobs topic.
func suffixOf(topic string) string {
	if parts := strings.SplitN(topic, "/", 5); len(parts) == 5 {
		return parts[4]
	}
	return topic
}
