package jobsvc

// FailureType names the ends of executions that a criterion counts.
type FailureType string

// The failure types. FailureRejected is for aborts alone.
const (
	FailureFailed   FailureType = "FAILED"
	FailureRejected FailureType = "REJECTED"
	FailureTimedOut FailureType = "TIMED_OUT"
	FailureAll      FailureType = "ALL"
)

// AbortConfig says when a job is canceled because too much fails: as soon as one
// criterion is met. AWS: AbortConfig.
type AbortConfig struct {
	CriteriaList []AbortCriterion // one at least
}

// AbortCriterion is met when, of MinNumberOfExecutedThings ended executions or more,
// the share of the failure type is at least ThresholdPercentage. AWS: AbortCriteria.
type AbortCriterion struct {
	FailureType               FailureType
	Action                    string // CANCEL
	ThresholdPercentage       int64  // in hundredths of a percent: 1 to 10,000
	MinNumberOfExecutedThings int64
}

// Validate checks what the service model does not say. Errors: CodeInvalidRequest.
func (c *AbortConfig) Validate() error {
	if len(c.CriteriaList) == 0 {
		return invalid("abortConfig.criteriaList", "Member must have length greater than or equal to 1")
	}
	for i, x := range c.CriteriaList {
		if x.ThresholdPercentage <= 0 || x.ThresholdPercentage > MaxThresholdPercentage {
			return Errorf(CodeInvalidRequest, "abortConfig.criteriaList[%d].thresholdPercentage must be greater than 0 and at most 100.", i)
		}
	}
	return nil
}
