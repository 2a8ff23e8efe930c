package wire

import (
	"errors"
	"net/http"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// Service is one of the two AWS services that share the HTTP paths, by the name
// that signatures are made for.
type Service string

// The services.
const (
	ServiceIoT      Service = "iot"           // the control plane
	ServiceJobsData Service = "iot-jobs-data" // the device plane
)

// An Exception is how a refusal looks over HTTP.
type Exception struct {
	Name   string
	Status int
}

// exceptions are those of the control plane. Several of the statuses are unusual;
// they are the service model's.
var exceptions = map[jobsvc.Code]Exception{
	jobsvc.CodeInvalidRequest:         {"InvalidRequestException", http.StatusBadRequest},
	jobsvc.CodeInvalidJSON:            {"SerializationException", http.StatusBadRequest},
	jobsvc.CodeInvalidTopic:           {"UnknownOperationException", http.StatusNotFound},
	jobsvc.CodeNotFound:               {"ResourceNotFoundException", http.StatusNotFound},
	jobsvc.CodeAlreadyExists:          {"ResourceAlreadyExistsException", http.StatusConflict},
	jobsvc.CodeInvalidStateTransition: {"InvalidStateTransitionException", http.StatusConflict},
	jobsvc.CodeVersionMismatch:        {"VersionConflictException", http.StatusConflict},
	jobsvc.CodeTerminalState:          {"TerminalStateException", http.StatusGone},
	jobsvc.CodeLimitExceeded:          {"LimitExceededException", http.StatusGone},
	jobsvc.CodeThrottled:              {"ThrottlingException", http.StatusBadRequest},
	jobsvc.CodeConflict:               {"ConflictException", http.StatusConflict},
	jobsvc.CodeDeleteConflict:         {"DeleteConflictException", http.StatusConflict},
	jobsvc.CodeCertificateState:       {"CertificateStateException", http.StatusNotAcceptable},
	jobsvc.CodeCertificateValidation:  {"CertificateValidationException", http.StatusBadRequest},
	jobsvc.CodeCertificateConflict:    {"CertificateConflictException", http.StatusConflict},
	jobsvc.CodeRegistrationCode:       {"RegistrationCodeValidationException", http.StatusBadRequest},
	jobsvc.CodeVersionsLimit:          {"VersionsLimitExceededException", http.StatusConflict},
	jobsvc.CodeMalformedPolicy:        {"MalformedPolicyException", http.StatusBadRequest},
	jobsvc.CodeInvalidQuery:           {"InvalidQueryException", http.StatusBadRequest},
	jobsvc.CodeIndexNotReady:          {"IndexNotReadyException", http.StatusBadRequest},
	jobsvc.CodeUnavailable:            {"ServiceUnavailableException", http.StatusServiceUnavailable},
	jobsvc.CodeInternal:               {"InternalFailureException", http.StatusInternalServerError},
	jobsvc.CodeUnknownOperation:       {"UnknownOperationException", http.StatusNotFound},
	jobsvc.CodeAccessDenied:           {"AccessDeniedException", http.StatusForbidden},
	jobsvc.CodeForbidden:              {"ForbiddenException", http.StatusForbidden},
	jobsvc.CodeMissingCredentials:     {"MissingAuthenticationTokenException", http.StatusForbidden},
	jobsvc.CodeUnknownAccessKey:       {"UnrecognizedClientException", http.StatusForbidden},
	jobsvc.CodeInvalidSignature:       {"InvalidSignatureException", http.StatusForbidden},
	jobsvc.CodeEntityTooLarge:         {"RequestEntityTooLargeException", http.StatusRequestEntityTooLarge},
}

// jobsDataExceptions are the ones that differ on the device plane, whose model has
// one exception for bad input of every kind.
var jobsDataExceptions = map[jobsvc.Code]Exception{
	jobsvc.CodeInvalidJSON: {"InvalidRequestException", http.StatusBadRequest},
	jobsvc.CodeThrottled:   {"ThrottlingException", http.StatusTooManyRequests},
}

// HTTPException gives the exception of a Code; a Code without one is internal.
func HTTPException(s Service, c jobsvc.Code) Exception {
	if s == ServiceJobsData {
		if e, ok := jobsDataExceptions[c]; ok {
			return e
		}
	}
	if e, ok := exceptions[c]; ok {
		return e
	}
	return exceptions[jobsvc.CodeInternal]
}

type executionState struct {
	Status        jobsvc.JobExecutionStatus `json:"status"`
	StatusDetails map[string]string         `json:"statusDetails"`
	VersionNumber int64                     `json:"versionNumber"`
}

// EncodeHTTPError gives the exception and the body of an error. The text of an
// internal one stays inside. executionState is an addition to the model of the
// device plane, which its MQTT twin has.
func EncodeHTTPError(s Service, err error) (Exception, []byte) {
	var e *jobsvc.Error
	if !errors.As(err, &e) {
		e = &jobsvc.Error{Code: jobsvc.CodeInternal}
	}
	out := struct {
		Message        string          `json:"message"`
		ResourceID     string          `json:"resourceId,omitempty"`
		ResourceARN    string          `json:"resourceArn,omitempty"`
		ExecutionState *executionState `json:"executionState,omitempty"`
	}{Message: e.Message, ResourceID: e.ResourceID, ResourceARN: e.ResourceARN}
	if out.Message == "" {
		out.Message = "An internal error occurred."
	}
	if s == ServiceJobsData && e.State != nil {
		out.ExecutionState = &executionState{e.State.Status, orEmptyMap(e.State.StatusDetails), e.State.VersionNumber}
	}
	return HTTPException(s, e.Code), encode(out)
}
