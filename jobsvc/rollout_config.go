package jobsvc

// RolloutConfig paces the making of a job's executions. Zero members are not
// configured. AWS: JobExecutionsRolloutConfig.
type RolloutConfig struct {
	MaximumPerMinute int64            `json:",omitempty"` // 1 to MaxRolloutPerMinute
	ExponentialRate  *ExponentialRate `json:",omitempty"`
}

// ExponentialRate lets the pace grow: it begins at BaseRatePerMinute and is multiplied
// by IncrementFactor each time a criterion is met once more. AWS: ExponentialRolloutRate.
type ExponentialRate struct {
	BaseRatePerMinute    int64 // 1 to MaxRolloutPerMinute
	IncrementFactor      int64 // in tenths: 11 to 50
	RateIncreaseCriteria RateIncreaseCriteria
}

// RateIncreaseCriteria counts things; zero is not configured. One at least is. AWS:
// RateIncreaseCriteria.
type RateIncreaseCriteria struct {
	NumberOfNotifiedThings  int64 `json:",omitempty"`
	NumberOfSucceededThings int64 `json:",omitempty"`
}

// Validate checks the members against each other. Errors: CodeInvalidRequest.
func (c *RolloutConfig) Validate() error {
	const name = "jobExecutionsRolloutConfig"
	x := c.ExponentialRate
	if x == nil {
		return nil
	}
	if limit := c.MaximumPerMinute; limit > 0 && x.BaseRatePerMinute > limit {
		return invalid(name+".exponentialRate.baseRatePerMinute", "Member must have value less than or equal to %d, which is the maximum rate of the job", limit)
	}
	if x.IncrementFactor < MinIncrementFactor || x.IncrementFactor > MaxIncrementFactor {
		return invalid(name+".exponentialRate.incrementFactor", "Member must have value between 1.1 and 5")
	}
	if x.RateIncreaseCriteria == (RateIncreaseCriteria{}) {
		return Errorf(CodeInvalidRequest, "%s.exponentialRate.rateIncreaseCriteria must have numberOfNotifiedThings or numberOfSucceededThings.", name)
	}
	return nil
}
