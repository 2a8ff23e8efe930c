//go:build sabotage

package engine

import (
	"errors"
	"os"
	"sync"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// errNotKept ends the transaction of the update that is to be lost.
var errNotKept = errors.New("not kept")

// victim is the one update that THINGJOBS_SABOTAGE damages: the fifth by which an execution
// succeeds. It stays the same when its transaction runs again.
var victim struct {
	sync.Mutex
	seen int
	x    *jobsvc.UpdateJobExecutionRequest
}

func isVictim(r *jobsvc.UpdateJobExecutionRequest) bool {
	victim.Lock()
	defer victim.Unlock()
	if victim.x == nil && r.Status == jobsvc.StatusSucceeded {
		if victim.seen++; victim.seen == 5 {
			victim.x = r
		}
	}
	return victim.x == r
}

// sabotage damages one update of a test build, to see whether others notice.
func sabotage(r *jobsvc.UpdateJobExecutionRequest, x *jobsvc.JobExecution, res *jobsvc.UpdateJobExecutionResult) error {
	switch os.Getenv("THINGJOBS_SABOTAGE") {
	case "lose-update": // answered as done, and nothing is written
		if isVictim(r) {
			res.State = *x.State()
			return errNotKept
		}
	case "skip-version":
		if isVictim(r) {
			x.VersionNumber++
		}
	}
	return nil
}
