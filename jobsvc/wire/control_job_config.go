package wire

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// jobConfig reads the configurations that CreateJob, UpdateJob and CreateJobTemplate have
// in common. One that is {} is not configured.
func (o *object) jobConfig() jobsvc.JobConfig {
	return jobsvc.JobConfig{
		PresignedURLConfig: o.presignedURLConfig(),
		RolloutConfig:      o.rolloutConfig(),
		AbortConfig:        o.abortConfig(),
		TimeoutConfig:      o.timeoutConfig(),
		RetryConfig:        o.retryConfig(),
	}
}

func (o *object) presignedURLConfig() *jobsvc.PresignedURLConfig {
	c := o.object("presignedUrlConfig")
	if c.empty() {
		return nil
	}
	seconds := o.d.notZero("presignedUrlConfig.expiresInSec", c.int64("expiresInSec"),
		int64(jobsvc.MinPresignExpires/time.Second), int64(jobsvc.MaxPresignExpires/time.Second))
	return &jobsvc.PresignedURLConfig{RoleARN: c.text("roleArn"), Expires: duration(seconds, time.Second)}
}

func (o *object) timeoutConfig() *jobsvc.TimeoutConfig {
	c := o.object("timeoutConfig")
	if c.empty() {
		return nil
	}
	minutes := o.d.notZero("timeoutConfig.inProgressTimeoutInMinutes", c.int64("inProgressTimeoutInMinutes"), 1, jobsvc.MaxTimeoutMinutes)
	return &jobsvc.TimeoutConfig{InProgress: duration(minutes, time.Minute)}
}

func (o *object) rolloutConfig() *jobsvc.RolloutConfig {
	c := o.object("jobExecutionsRolloutConfig")
	if c.empty() {
		return nil
	}
	r := &jobsvc.RolloutConfig{MaximumPerMinute: c.given("maximumPerMinute")}
	if x := c.object("exponentialRate"); !x.empty() {
		by := x.object("rateIncreaseCriteria")
		r.ExponentialRate = &jobsvc.ExponentialRate{
			BaseRatePerMinute: x.given("baseRatePerMinute"),
			IncrementFactor:   x.decimal("incrementFactor", 1),
			RateIncreaseCriteria: jobsvc.RateIncreaseCriteria{
				NumberOfNotifiedThings:  by.given("numberOfNotifiedThings"),
				NumberOfSucceededThings: by.given("numberOfSucceededThings"),
			},
		}
	}
	return r
}

func (o *object) abortConfig() *jobsvc.AbortConfig {
	c := o.object("abortConfig")
	if c.empty() {
		return nil
	}
	a := &jobsvc.AbortConfig{}
	for _, x := range c.objects("criteriaList") {
		a.CriteriaList = append(a.CriteriaList, jobsvc.AbortCriterion{
			FailureType:               jobsvc.FailureType(x.text("failureType")),
			Action:                    x.text("action"),
			ThresholdPercentage:       x.decimal("thresholdPercentage", 2),
			MinNumberOfExecutedThings: x.given("minNumberOfExecutedThings"),
		})
	}
	return a
}

func (o *object) retryConfig() *jobsvc.RetryConfig {
	c := o.object("jobExecutionsRetryConfig")
	if c.empty() {
		return nil
	}
	r := &jobsvc.RetryConfig{}
	for _, x := range c.objects("criteriaList") {
		r.CriteriaList = append(r.CriteriaList, jobsvc.RetryCriterion{
			FailureType:     jobsvc.FailureType(x.text("failureType")),
			NumberOfRetries: x.given("numberOfRetries"),
		})
	}
	return r
}

// schedulingConfig reads the schedule of a job. timeZone is no member of AWS's.
func (o *object) schedulingConfig() *jobsvc.SchedulingConfig {
	c := o.object("schedulingConfig")
	if c.empty() {
		return nil
	}
	s := &jobsvc.SchedulingConfig{
		StartTime:          c.text("startTime"),
		EndTime:            c.text("endTime"),
		EndBehavior:        jobsvc.EndBehavior(c.text("endBehavior")),
		MaintenanceWindows: c.maintenanceWindows(),
		TimeZone:           c.text("timeZone"),
	}
	return s
}

func (o *object) maintenanceWindows() []jobsvc.MaintenanceWindow {
	var windows []jobsvc.MaintenanceWindow
	for _, w := range o.objects("maintenanceWindows") {
		windows = append(windows, jobsvc.MaintenanceWindow{StartTime: w.text("startTime"), DurationInMinutes: w.given("durationInMinutes")})
	}
	return windows
}

// duration keeps a number of units that no Duration holds at the largest one that
// it does, which is out of every range of the service.
func duration(n int64, unit time.Duration) time.Duration {
	return time.Duration(clamp(n, int64((1<<62)/unit))) * unit
}

// jobConfig are the members of an answer for the configurations of a job or template. The
// three without omitempty are {} when not configured.
type jobConfig struct {
	PresignedURLConfig         presignedURLConfig `json:"presignedUrlConfig"`
	JobExecutionsRolloutConfig rolloutConfig      `json:"jobExecutionsRolloutConfig"`
	AbortConfig                *abortConfig       `json:"abortConfig,omitempty"`
	TimeoutConfig              timeoutConfig      `json:"timeoutConfig"`
	JobExecutionsRetryConfig   *retryConfig       `json:"jobExecutionsRetryConfig,omitempty"`
}

type presignedURLConfig struct {
	RoleARN      string `json:"roleArn,omitempty"`
	ExpiresInSec int64  `json:"expiresInSec,omitempty"`
}

type timeoutConfig struct {
	InProgressTimeoutInMinutes int64 `json:"inProgressTimeoutInMinutes,omitempty"`
}

type rolloutConfig struct {
	MaximumPerMinute int64            `json:"maximumPerMinute,omitempty"`
	ExponentialRate  *exponentialRate `json:"exponentialRate,omitempty"`
}

type exponentialRate struct {
	BaseRatePerMinute    int64                `json:"baseRatePerMinute"`
	IncrementFactor      json.RawMessage      `json:"incrementFactor"`
	RateIncreaseCriteria rateIncreaseCriteria `json:"rateIncreaseCriteria"`
}

type rateIncreaseCriteria struct {
	NumberOfNotifiedThings  int64 `json:"numberOfNotifiedThings,omitempty"`
	NumberOfSucceededThings int64 `json:"numberOfSucceededThings,omitempty"`
}

type abortConfig struct {
	CriteriaList []abortCriterion `json:"criteriaList"`
}

type abortCriterion struct {
	FailureType               jobsvc.FailureType `json:"failureType"`
	Action                    string             `json:"action"`
	ThresholdPercentage       json.RawMessage    `json:"thresholdPercentage"`
	MinNumberOfExecutedThings int64              `json:"minNumberOfExecutedThings"`
}

type retryConfig struct {
	CriteriaList []retryCriterion `json:"criteriaList"`
}

type retryCriterion struct {
	FailureType     jobsvc.FailureType `json:"failureType"`
	NumberOfRetries int64              `json:"numberOfRetries"`
}

type schedulingConfig struct {
	StartTime          string              `json:"startTime,omitempty"`
	EndTime            string              `json:"endTime,omitempty"`
	EndBehavior        jobsvc.EndBehavior  `json:"endBehavior,omitempty"`
	MaintenanceWindows []maintenanceWindow `json:"maintenanceWindows,omitempty"`
}

type maintenanceWindow struct {
	StartTime         string `json:"startTime"`
	DurationInMinutes int64  `json:"durationInMinutes"`
}

type scheduledJobRollout struct {
	StartTime string `json:"startTime"`
}

func encodeJobConfig(c *jobsvc.JobConfig) jobConfig {
	var out jobConfig
	if p := c.PresignedURLConfig; p != nil {
		out.PresignedURLConfig = presignedURLConfig{p.RoleARN, int64(p.Expires / time.Second)}
	}
	if t := c.TimeoutConfig; t != nil {
		out.TimeoutConfig = timeoutConfig{int64(t.InProgress / time.Minute)}
	}
	if r := c.RolloutConfig; r != nil {
		out.JobExecutionsRolloutConfig.MaximumPerMinute = r.MaximumPerMinute
		if x := r.ExponentialRate; x != nil {
			out.JobExecutionsRolloutConfig.ExponentialRate = &exponentialRate{x.BaseRatePerMinute, number(x.IncrementFactor, 10), rateIncreaseCriteria(x.RateIncreaseCriteria)}
		}
	}
	if a := c.AbortConfig; a != nil {
		out.AbortConfig = &abortConfig{CriteriaList: []abortCriterion{}}
		for _, x := range a.CriteriaList {
			out.AbortConfig.CriteriaList = append(out.AbortConfig.CriteriaList, abortCriterion{x.FailureType, x.Action, number(x.ThresholdPercentage, 100), x.MinNumberOfExecutedThings})
		}
	}
	if r := c.RetryConfig; r != nil {
		out.JobExecutionsRetryConfig = &retryConfig{CriteriaList: []retryCriterion{}}
		for _, x := range r.CriteriaList {
			out.JobExecutionsRetryConfig.CriteriaList = append(out.JobExecutionsRetryConfig.CriteriaList, retryCriterion(x))
		}
	}
	return out
}

func encodeSchedulingConfig(c *jobsvc.SchedulingConfig) *schedulingConfig {
	if c == nil {
		return nil
	}
	return &schedulingConfig{c.StartTime, c.EndTime, c.EndBehavior, encodeMaintenanceWindows(c.MaintenanceWindows)}
}

func encodeMaintenanceWindows(windows []jobsvc.MaintenanceWindow) []maintenanceWindow {
	var list []maintenanceWindow
	for _, w := range windows {
		list = append(list, maintenanceWindow(w))
	}
	return list
}

// number writes a number of units as object.decimal reads it.
func number(n, unit int64) json.RawMessage {
	return strconv.AppendFloat(nil, float64(n)/float64(unit), 'f', -1, 64)
}
