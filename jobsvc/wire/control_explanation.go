package wire

import "github.com/thingjobs/thingjobs/jobsvc"

// GetThingExplanation is no part of AWS IoT.

type thingExplanation struct {
	ThingName    string                 `json:"thingName"`
	At           controlTime            `json:"at"`
	Connections  []string               `json:"connections"`
	Certificates []explainedCertificate `json:"certificates"`
	Executions   []explainedExecution   `json:"executions"`
	Jobs         []explainedJob         `json:"jobs"`
	OtherJobs    int                    `json:"otherJobs"`
	Findings     []string               `json:"findings"`
}

type explainedCertificate struct {
	CertificateID string                   `json:"certificateId"`
	Status        jobsvc.CertificateStatus `json:"status"`
	NotAfter      controlTime              `json:"notAfter,omitzero"`
	Finding       string                   `json:"finding,omitempty"`
}

type explainedExecution struct {
	JobID           string                    `json:"jobId"`
	NamespaceID     string                    `json:"namespaceId,omitempty"`
	ExecutionNumber int64                     `json:"executionNumber"`
	Status          jobsvc.JobExecutionStatus `json:"status"`
	QueuedAt        controlTime               `json:"queuedAt"`
	Reason          string                    `json:"reason"`
}

type explainedJob struct {
	JobID  string           `json:"jobId"`
	Status jobsvc.JobStatus `json:"status"`
	Reason string           `json:"reason"`
}

// EncodeThingExplanation answers GetThingExplanation.
func EncodeThingExplanation(x *jobsvc.ThingExplanation) []byte {
	out := thingExplanation{
		ThingName: x.ThingName, At: controlTime(x.At), OtherJobs: x.OtherJobs,
		Connections: append([]string{}, x.Connections...), Findings: append([]string{}, x.Findings...),
		Certificates: []explainedCertificate{}, Executions: []explainedExecution{}, Jobs: []explainedJob{},
	}
	for _, c := range x.Certificates {
		out.Certificates = append(out.Certificates, explainedCertificate{c.ID, c.Status, controlTime(c.NotAfter), c.Finding})
	}
	for _, e := range x.Executions {
		out.Executions = append(out.Executions, explainedExecution{e.JobID, e.NamespaceID, e.ExecutionNumber, e.Status, controlTime(e.QueuedAt), e.Reason})
	}
	for _, j := range x.Jobs {
		out.Jobs = append(out.Jobs, explainedJob{j.JobID, j.Status, j.Reason})
	}
	return encode(out)
}
