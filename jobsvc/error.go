package jobsvc

import (
	"errors"
	"fmt"
)

// Code says why the service refuses a request, in its own terms. Edges map it to
// the error of their protocol: package wire has the tables.
type Code string

// The codes. Comments name the exception of the control plane and, after the
// slash, the code of the device plane where there is one.
const (
	CodeInvalidRequest         Code = "InvalidRequest"         // InvalidRequestException / InvalidRequest
	CodeInvalidJSON            Code = "InvalidJson"            // SerializationException / InvalidJson
	CodeInvalidTopic           Code = "InvalidTopic"           // UnknownOperationException / InvalidTopic
	CodeNotFound               Code = "ResourceNotFound"       // ResourceNotFoundException / ResourceNotFound
	CodeAlreadyExists          Code = "ResourceAlreadyExists"  // ResourceAlreadyExistsException
	CodeInvalidStateTransition Code = "InvalidStateTransition" // InvalidStateTransitionException / InvalidStateTransition
	CodeVersionMismatch        Code = "VersionMismatch"        // VersionConflictException / VersionMismatch
	CodeTerminalState          Code = "TerminalStateReached"   // TerminalStateException / TerminalStateReached
	CodeLimitExceeded          Code = "LimitExceeded"          // LimitExceededException
	CodeThrottled              Code = "RequestThrottled"       // ThrottlingException / RequestThrottled
	CodeConflict               Code = "Conflict"               // ConflictException
	CodeDeleteConflict         Code = "DeleteConflict"         // DeleteConflictException
	CodeCertificateState       Code = "CertificateState"       // CertificateStateException
	CodeCertificateValidation  Code = "CertificateValidation"  // CertificateValidationException
	CodeCertificateConflict    Code = "CertificateConflict"    // CertificateConflictException
	CodeRegistrationCode       Code = "RegistrationCode"       // RegistrationCodeValidationException
	CodeVersionsLimit          Code = "VersionsLimitExceeded"  // VersionsLimitExceededException
	CodeMalformedPolicy        Code = "MalformedPolicy"        // MalformedPolicyException
	CodeInvalidQuery           Code = "InvalidQuery"           // InvalidQueryException
	CodeIndexNotReady          Code = "IndexNotReady"          // IndexNotReadyException
	CodeUnavailable            Code = "ServiceUnavailable"     // ServiceUnavailableException / InternalError
	CodeInternal               Code = "InternalError"          // InternalFailureException / InternalError
	CodeUnknownOperation       Code = "UnknownOperation"       // UnknownOperationException

	// Before an operation is known.
	CodeAccessDenied       Code = "AccessDenied"               // AccessDeniedException
	CodeForbidden          Code = "Forbidden"                  // ForbiddenException
	CodeMissingCredentials Code = "MissingAuthenticationToken" // MissingAuthenticationTokenException
	CodeUnknownAccessKey   Code = "UnrecognizedClient"         // UnrecognizedClientException
	CodeInvalidSignature   Code = "InvalidSignature"           // InvalidSignatureException
	CodeEntityTooLarge     Code = "RequestEntityTooLarge"      // RequestEntityTooLargeException
)

// Codes lists every Code, for the tests that walk the tables of the edges.
func Codes() []Code {
	return []Code{
		CodeInvalidRequest, CodeInvalidJSON, CodeInvalidTopic, CodeNotFound, CodeAlreadyExists,
		CodeInvalidStateTransition, CodeVersionMismatch, CodeTerminalState, CodeLimitExceeded,
		CodeThrottled, CodeConflict, CodeDeleteConflict, CodeCertificateState,
		CodeCertificateValidation, CodeMalformedPolicy, CodeInvalidQuery, CodeIndexNotReady, CodeUnavailable, CodeInternal,
		CodeCertificateConflict, CodeRegistrationCode, CodeVersionsLimit,
		CodeUnknownOperation, CodeAccessDenied, CodeForbidden, CodeMissingCredentials, CodeUnknownAccessKey,
		CodeInvalidSignature, CodeEntityTooLarge,
	}
}

// Error is a request the service refuses. Code and Message reach the client; Err
// is for the log alone. Any other error that reaches an edge is an internal one,
// whose text stays in the log.
type Error struct {
	Code    Code
	Message string             // a complete sentence that names the offending field
	State   *JobExecutionState // the stored state, for VersionMismatch, InvalidStateTransition and TerminalState
	// ResourceID and ResourceARN name what is in the way, for AlreadyExists and Conflict.
	ResourceID, ResourceARN string
	Err                     error
}

func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s: %s (%v)", e.Code, e.Message, e.Err)
	}
	return string(e.Code) + ": " + e.Message
}

func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error with a formatted message. It does not wrap: %w is not for
// messages a client reads.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// ErrorCode gives the Code of an error: that of the Error in its chain,
// CodeInternal for any other error, and "" for nil.
func ErrorCode(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeInternal
}
