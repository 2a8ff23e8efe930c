package wire

import (
	"encoding/json"
	"strconv"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// aliases are the spellings accepted on input beside the service model's, by
// operation: those of AWS's own guide pages and of the scripts that follow them.
// Where both are given the model's wins. docs/compatibility.md lists them.
var aliases = map[string]func(*spelling){
	"CreateJob":         jobSpelling,
	"UpdateJob":         jobSpelling,
	"CreateJobTemplate": templateSpelling,
	"CancelJob":         func(s *spelling) { s.forceInBody() },
	"CancelJobExecution": func(s *spelling) {
		s.forceInBody()
		s.decimal(s.in.members, "", "expectedVersion")
	},
	"ListJobs": func(s *spelling) {
		// A status of executions; that of jobs is COMPLETED.
		if s.in.Query.Get("status") == string(jobsvc.StatusSucceeded) {
			s.note("status=SUCCEEDED")
			s.in.Query.Set("status", string(jobsvc.JobCompleted))
		}
	},
}

// jobSpelling is that of the configuration of a job.
func jobSpelling(s *spelling) {
	body := s.in.members
	s.rename(body, "", "presignedUrlConfigData", "presignedUrlConfig")
	s.rename(body, "", "SchedulingConfig", "schedulingConfig")
	if c, ok := body["presignedUrlConfig"].(map[string]any); ok {
		s.decimal(c, "presignedUrlConfig.", "expiresInSec")
	}
	if c, ok := body["schedulingConfig"].(map[string]any); ok {
		s.rename(c, "schedulingConfig.", "endTimeBehavior", "endBehavior")
		if c["timeZone"] != nil { // no member of AWS's; it stays
			s.note("schedulingConfig.timeZone")
		}
	}
	if c, ok := body["jobExecutionsRolloutConfig"].(map[string]any); ok {
		const at = "jobExecutionsRolloutConfig."
		s.hoist(c, body, at, "abortConfig")
		s.hoist(c, body, at, "timeoutConfig")
		if rate, ok := c["exponentialRate"].(map[string]any); ok {
			s.hoist(rate, c, at+"exponentialRate.", "maximumPerMinute")
		}
	}
}

// templateSpelling is that of a template, which has of the schedule the maintenance
// windows alone.
func templateSpelling(s *spelling) {
	jobSpelling(s)
	if c, ok := s.in.members["schedulingConfig"].(map[string]any); ok {
		s.hoist(c, s.in.members, "schedulingConfig.", "maintenanceWindows")
	}
}

// spelling rewrites a request and notes what it found.
type spelling struct {
	in  *ControlInput
	err error
}

func (s *spelling) note(alias string) { s.in.Aliases = append(s.in.Aliases, alias) }

// rename takes a member of the object o under another name. prefix says where o is.
func (s *spelling) rename(o map[string]any, prefix, alias, member string) {
	v := o[alias]
	if v == nil {
		return
	}
	s.note(prefix + alias)
	delete(o, alias)
	if o[member] == nil {
		o[member] = v
	}
}

// hoist takes a member out of an object that has it by mistake.
func (s *spelling) hoist(from, to map[string]any, prefix, member string) {
	v := from[member]
	if v == nil {
		return
	}
	s.note(prefix + member)
	delete(from, member)
	if to[member] == nil {
		to[member] = v
	}
}

// decimal takes a number that is quoted.
func (s *spelling) decimal(o map[string]any, prefix, member string) {
	text, ok := o[member].(string)
	if !ok {
		return
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		s.err = jobsvc.Errorf(jobsvc.CodeInvalidRequest, "The member %s%s is not a number.", prefix, member)
		return
	}
	s.note(prefix + member + " as a string")
	o[member] = json.Number(strconv.FormatInt(n, 10))
}

// forceInBody takes the query parameter force out of the body.
func (s *spelling) forceInBody() {
	v := s.in.members["force"]
	if v == nil {
		return
	}
	force, ok := v.(bool)
	if !ok {
		s.err = jobsvc.Errorf(jobsvc.CodeInvalidJSON, "The member force must be a boolean.")
		return
	}
	s.note("force in the body")
	if !s.in.Query.Has("force") {
		s.in.Query.Set("force", strconv.FormatBool(force))
	}
}
