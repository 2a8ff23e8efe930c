package jobsvc

import (
	"strings"
	"testing"
	"time"
)

// TestJobConfig has what the service model does not say of the configurations.
func TestJobConfig(t *testing.T) {
	exponential := func(base, factor int64, c RateIncreaseCriteria) *ExponentialRate {
		return &ExponentialRate{BaseRatePerMinute: base, IncrementFactor: factor, RateIncreaseCriteria: c}
	}
	rollout := func(c RolloutConfig) JobConfig { return JobConfig{RolloutConfig: &c} }
	abort := func(hundredths int64) JobConfig {
		return JobConfig{AbortConfig: &AbortConfig{CriteriaList: []AbortCriterion{
			{FailureType: FailureAll, Action: "CANCEL", ThresholdPercentage: 1, MinNumberOfExecutedThings: 1},
			{FailureType: FailureAll, Action: "CANCEL", ThresholdPercentage: hundredths, MinNumberOfExecutedThings: 1},
		}}}
	}
	retry := func(c ...RetryCriterion) JobConfig { return JobConfig{RetryConfig: &RetryConfig{CriteriaList: c}} }
	one := RateIncreaseCriteria{NumberOfNotifiedThings: 1}
	for name, tc := range map[string]struct {
		config JobConfig
		field  string // of the refusal; "" when it is fine
	}{
		"nothing":            {},
		"rate 1000":          {config: rollout(RolloutConfig{MaximumPerMinute: 1000})},
		"rate 1001":          {rollout(RolloutConfig{MaximumPerMinute: 1001}), "maximumPerMinute"},
		"exponential":        {config: rollout(RolloutConfig{MaximumPerMinute: 50, ExponentialRate: exponential(50, 11, one)})},
		"fast exponential":   {config: rollout(RolloutConfig{ExponentialRate: exponential(1000, 50, RateIncreaseCriteria{NumberOfSucceededThings: 1})})},
		"base over maximum":  {rollout(RolloutConfig{MaximumPerMinute: 50, ExponentialRate: exponential(51, 20, one)}), "baseRatePerMinute"},
		"base over 1000":     {rollout(RolloutConfig{ExponentialRate: exponential(1001, 20, one)}), "baseRatePerMinute"},
		"factor 1":           {rollout(RolloutConfig{ExponentialRate: exponential(1, 10, one)}), "incrementFactor"},
		"factor 5.1":         {rollout(RolloutConfig{ExponentialRate: exponential(1, 51, one)}), "incrementFactor"},
		"no criterion":       {rollout(RolloutConfig{ExponentialRate: exponential(1, 20, RateIncreaseCriteria{})}), "rateIncreaseCriteria"},
		"threshold 100":      {config: abort(10000)},
		"threshold 100.01":   {abort(10001), "criteriaList[1].thresholdPercentage"},
		"threshold 0":        {abort(0), "thresholdPercentage"},
		"threshold -1":       {abort(-100), "thresholdPercentage"},
		"two kinds of retry": {config: retry(RetryCriterion{FailureFailed, 7}, RetryCriterion{FailureTimedOut, 3})},
		"all, 10":            {config: retry(RetryCriterion{FailureAll, 10})},
		"11 in sum":          {retry(RetryCriterion{FailureFailed, 7}, RetryCriterion{FailureTimedOut, 4}), "10 retries"},
		"all beside one":     {retry(RetryCriterion{FailureFailed, 1}, RetryCriterion{FailureAll, 1}), "ALL"},
		"one beside all":     {retry(RetryCriterion{FailureAll, 1}, RetryCriterion{FailureFailed, 1}), "ALL"},
		"one kind twice":     {retry(RetryCriterion{FailureFailed, 1}, RetryCriterion{FailureFailed, 1}), "FAILED twice"},
		"no abort criterion": {JobConfig{AbortConfig: &AbortConfig{}}, "criteriaList"},
		"no retry criterion": {retry(), "criteriaList"},
		"role":               {JobConfig{PresignedURLConfig: &PresignedURLConfig{RoleARN: "nobody"}}, "roleArn"},
		"expires 3601":       {JobConfig{PresignedURLConfig: &PresignedURLConfig{Expires: 3601 * time.Second}}, "expiresInSec"},
		"timeout":            {JobConfig{TimeoutConfig: &TimeoutConfig{InProgress: time.Second}}, "inProgressTimeoutInMinutes"},
	} {
		err := tc.config.Validate()
		if limits := GenerousLimits(); err == nil {
			err = limits.CheckConfig(tc.config)
		}
		switch {
		case tc.field == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case tc.field != "" && (ErrorCode(err) != CodeInvalidRequest || !strings.Contains(err.Error(), tc.field)):
			t.Errorf("%s: %v, want a refusal that names %s", name, err, tc.field)
		}
	}
}

// An installation may allow more than the service.
func TestRaisedLimits(t *testing.T) {
	l := GenerousLimits()
	l.RolloutPerMinute, l.PresignExpires = 5000, 2*time.Hour
	ok := JobConfig{PresignedURLConfig: &PresignedURLConfig{Expires: 2 * time.Hour}, RolloutConfig: &RolloutConfig{MaximumPerMinute: 5000}}
	if err := ok.Validate(); err != nil {
		t.Error(err)
	}
	if err := l.CheckConfig(ok); err != nil {
		t.Error(err)
	}
	ok.PresignedURLConfig.Expires += time.Second
	if err := l.CheckConfig(ok); ErrorCode(err) != CodeInvalidRequest {
		t.Errorf("over the raised limit: %v", err)
	}
}

func TestSchedulingTimes(t *testing.T) {
	want := time.Date(2026, 3, 12, 22, 0, 0, 0, time.UTC)
	for _, c := range []SchedulingConfig{
		{StartTime: "2026-03-12T22:00:00Z"},
		{StartTime: "2026-03-12T23:00:00.000+01:00"},
		{StartTime: "2026-03-12 22:00"},
		{StartTime: "2026-03-12T22:00"},
		{StartTime: "2026-03-12 22:00:00"},
		{StartTime: "2026-03-12 23:00+01:00"},
		{StartTime: "2026-03-12 22:00Z"},
		{StartTime: "2026-03-12 23:00", TimeZone: "+01:00"},
		{StartTime: "2026-03-12 16:30", TimeZone: "-05:30"},
		{StartTime: "2026-03-12 23:00", TimeZone: "Europe/Berlin"},
		{StartTime: "2026-03-12 22:00Z", TimeZone: "Europe/Berlin"},
	} {
		if start, end, err := c.Times(); err != nil || !start.Equal(want) || !end.IsZero() {
			t.Errorf("%+v: %v, %v, %v", c, start, end, err)
		}
	}
	for _, c := range []SchedulingConfig{
		{StartTime: "2026-03-12"}, {StartTime: "tomorrow"}, {StartTime: "1773136800"}, {EndTime: "2026-13-12T22:00:00Z"}, {EndTime: "2026-03-12x22:00"},
		{TimeZone: "Local"}, {TimeZone: "Nowhere/City"}, {TimeZone: "+1"}, {TimeZone: "+25:00"}, {TimeZone: "../etc/passwd"},
	} {
		if start, end, err := c.Times(); ErrorCode(err) != CodeInvalidRequest {
			t.Errorf("%+v: %v, %v, %v", c, start, end, err)
		}
	}
}

func TestSchedulingConfigValidate(t *testing.T) {
	now := time.Date(2026, 3, 12, 22, 0, 0, 0, time.UTC)
	in := func(d time.Duration) string { return now.Add(d).Format(time.RFC3339) }
	const day = 24 * time.Hour
	windows := make([]MaintenanceWindow, 10)
	for name, tc := range map[string]struct {
		config SchedulingConfig
		field  string
	}{
		"nothing":                    {},
		"behavior without an end":    {config: SchedulingConfig{EndBehavior: EndCancel}},
		"start in 30 minutes":        {config: SchedulingConfig{StartTime: in(30 * time.Minute)}},
		"start in 29 minutes":        {SchedulingConfig{StartTime: in(29 * time.Minute)}, "startTime must be at least 30m"},
		"start in the past":          {SchedulingConfig{StartTime: in(-time.Minute)}, "startTime"},
		"start in a year":            {config: SchedulingConfig{StartTime: in(366 * day)}},
		"start later":                {SchedulingConfig{StartTime: in(366*day + time.Second)}, "startTime must be at most 366 days"},
		"end in 30 minutes":          {config: SchedulingConfig{EndTime: in(30 * time.Minute)}},
		"end in 29 minutes":          {SchedulingConfig{EndTime: in(29 * time.Minute)}, "endTime"},
		"end in two years":           {config: SchedulingConfig{EndTime: in(731 * day)}},
		"end later":                  {SchedulingConfig{EndTime: in(731*day + time.Second)}, "endTime"},
		"30 minutes long":            {config: SchedulingConfig{StartTime: in(day), EndTime: in(day + 30*time.Minute)}},
		"29 minutes long":            {SchedulingConfig{StartTime: in(day), EndTime: in(day + 29*time.Minute)}, "endTime"},
		"end before start":           {SchedulingConfig{StartTime: in(day), EndTime: in(time.Hour)}, "endTime"},
		"windows of a continuous":    {config: SchedulingConfig{MaintenanceWindows: windows}},
		"end in a form there is not": {SchedulingConfig{EndTime: "soon"}, "endTime"},
	} {
		rules := DefaultJobRules()
		switch err := tc.config.Validate(TargetContinuous, &rules, now); {
		case tc.field == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case tc.field != "" && (ErrorCode(err) != CodeInvalidRequest || !strings.Contains(err.Error(), tc.field)):
			t.Errorf("%s: %v, want a refusal that names %s", name, err, tc.field)
		}
	}
	c := SchedulingConfig{MaintenanceWindows: windows[:1]}
	rules := DefaultJobRules()
	if err := c.Validate(TargetSnapshot, &rules, now); ErrorCode(err) != CodeInvalidRequest {
		t.Errorf("windows of a SNAPSHOT job: %v", err)
	}
	rules.AllowSnapshotWindows = true
	if err := c.Validate(TargetSnapshot, &rules, now); err != nil {
		t.Errorf("windows of a SNAPSHOT job, allowed: %v", err)
	}
	// Without leads, as for tests: a past start is now, an end must still be later.
	none := JobRules{MaxStartLead: day, MaxEndLead: day}
	c = SchedulingConfig{StartTime: in(-time.Hour), EndTime: in(time.Second)}
	if err := c.Validate(TargetSnapshot, &none, now); err != nil {
		t.Errorf("no leads: %v", err)
	}
	c.EndTime = in(-time.Second)
	if err := c.Validate(TargetSnapshot, &none, now); ErrorCode(err) != CodeInvalidRequest {
		t.Errorf("an end that has passed: %v", err)
	}
}

func TestUpdateJobApply(t *testing.T) {
	text := "new"
	presign := &PresignedURLConfig{Expires: time.Minute}
	j := Job{Description: "old", PresignedURLConfig: presign, TimeoutConfig: &TimeoutConfig{InProgress: time.Minute}, AbortConfig: &AbortConfig{}}
	(&UpdateJobRequest{}).Apply(&j)
	if j.Description != "old" || j.PresignedURLConfig != presign || j.TimeoutConfig == nil || j.AbortConfig == nil {
		t.Errorf("nothing asked, changed: %+v", j)
	}
	r := UpdateJobRequest{JobID: "fw", Description: &text, JobConfig: JobConfig{
		PresignedURLConfig: &PresignedURLConfig{}, TimeoutConfig: &TimeoutConfig{InProgress: time.Hour}, RolloutConfig: &RolloutConfig{MaximumPerMinute: 1},
		RetryConfig: &RetryConfig{CriteriaList: []RetryCriterion{{FailureAll, 0}}},
	}}
	if err := r.Validate(); err != nil {
		t.Fatal(err)
	}
	r.Apply(&j)
	if j.Description != "new" || j.PresignedURLConfig != nil || j.TimeoutConfig.InProgress != time.Hour || j.RolloutConfig.MaximumPerMinute != 1 || !j.RetryConfig.Off() {
		t.Errorf("changed: %+v", j)
	}
	r.RetryConfig.CriteriaList[0].NumberOfRetries = 1
	if err := r.Validate(); ErrorCode(err) != CodeInvalidRequest {
		t.Errorf("retries switched on: %v", err)
	}
}
