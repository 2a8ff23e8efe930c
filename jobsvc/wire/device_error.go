package wire

import "github.com/thingjobs/thingjobs/jobsvc"

// MQTTCode is the code member of a rejected message. Clients know nine of them,
// and the C++ SDK aborts on any other in debug builds. They repeat a request that
// was refused with InternalError or RequestThrottled and no other, so a code of
// the control plane that strays here becomes InvalidRequest when the caller is at
// fault.
func MQTTCode(c jobsvc.Code) string {
	switch c {
	case jobsvc.CodeInvalidRequest, jobsvc.CodeInvalidJSON, jobsvc.CodeInvalidTopic,
		jobsvc.CodeNotFound, jobsvc.CodeInvalidStateTransition, jobsvc.CodeVersionMismatch,
		jobsvc.CodeTerminalState, jobsvc.CodeThrottled, jobsvc.CodeInternal:
		return string(c)
	case jobsvc.CodeUnavailable:
		return string(jobsvc.CodeInternal)
	case jobsvc.CodeUnknownOperation:
		return string(jobsvc.CodeInvalidTopic)
	}
	return string(jobsvc.CodeInvalidRequest)
}
