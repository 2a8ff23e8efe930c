package jobsvc

// PresignedURLCheck tells what came of one placeholder of a job's document when the
// broker tried its URL. It has no URL in it.
type PresignedURLCheck struct {
	Method    string // GET, or PUT for an upload
	Bucket    string
	Key       string // of an upload as it is written, local placeholders and all
	VersionID string
	Result    PresignedURLResult
	Detail    string // for a person
	Bytes     int64  // size of the object, -1 when it is not known
}

// PresignedURLResult is the result of a PresignedURLCheck.
type PresignedURLResult string

const (
	PresignedURLOK     PresignedURLResult = "OK"
	PresignedURLSigned PresignedURLResult = "SIGNED" // an upload: to try it would be to write
	PresignedURLFailed PresignedURLResult = "FAILED"
)
