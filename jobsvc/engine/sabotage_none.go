//go:build !sabotage

package engine

import "github.com/thingjobs/thingjobs/jobsvc"

// errNotKept is an error in test builds alone, see sabotage.go.
var errNotKept error

// sabotage does nothing but in test builds.
func sabotage(*jobsvc.UpdateJobExecutionRequest, *jobsvc.JobExecution, *jobsvc.UpdateJobExecutionResult) error {
	return nil
}
