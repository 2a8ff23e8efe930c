package jobsvc

// RetryConfig says how often executions that end badly are tried again. AWS:
// JobExecutionsRetryConfig.
type RetryConfig struct {
	CriteriaList []RetryCriterion // 1 or 2
}

// RetryCriterion is the number of retries after one kind of failure: FAILED,
// TIMED_OUT or ALL. AWS: RetryCriteria.
type RetryCriterion struct {
	FailureType     FailureType
	NumberOfRetries int64 // 0 to MaxRetries
}

// Validate checks that the criteria fit together: ALL stands alone, and no type comes
// twice. Errors: CodeInvalidRequest.
func (c *RetryConfig) Validate() error {
	const name = "jobExecutionsRetryConfig"
	if len(c.CriteriaList) == 0 {
		return invalid(name+".criteriaList", "Member must have length greater than or equal to 1")
	}
	seen := make(map[FailureType]bool)
	for _, x := range c.CriteriaList {
		switch {
		case seen[x.FailureType]:
			return Errorf(CodeInvalidRequest, "%s.criteriaList has the failureType %s twice.", name, x.FailureType)
		case x.FailureType == FailureAll && len(c.CriteriaList) > 1:
			return Errorf(CodeInvalidRequest, "%s.criteriaList can have no other criterion beside the failureType ALL.", name)
		}
		seen[x.FailureType] = true
	}
	return nil
}

// Off tells whether nothing is retried.
func (c *RetryConfig) Off() bool {
	for _, x := range c.CriteriaList {
		if x.NumberOfRetries != 0 {
			return false
		}
	}
	return true
}
