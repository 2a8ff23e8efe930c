package wire

import "github.com/thingjobs/thingjobs/jobsvc"

type presignedURLCheck struct {
	Method    string                    `json:"method"`
	Bucket    string                    `json:"bucket"`
	Key       string                    `json:"key"`
	VersionID string                    `json:"versionId,omitempty"`
	Result    jobsvc.PresignedURLResult `json:"result"`
	Detail    string                    `json:"detail"`
	Bytes     *int64                    `json:"bytes,omitempty"`
}

// EncodePresignedURLChecks answers POST /operators/jobs/{jobId}/check-presigned-urls,
// which is no part of AWS IoT.
func EncodePresignedURLChecks(checks []jobsvc.PresignedURLCheck) []byte {
	out := make([]presignedURLCheck, 0, len(checks))
	for _, c := range checks {
		e := presignedURLCheck{c.Method, c.Bucket, c.Key, c.VersionID, c.Result, c.Detail, nil}
		if c.Bytes >= 0 {
			e.Bytes = &c.Bytes
		}
		out = append(out, e)
	}
	return encode(struct {
		Checks []presignedURLCheck `json:"checks"`
	}{out})
}
