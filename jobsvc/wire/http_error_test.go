package wire_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/wire"
)

func bytesReader(b []byte) io.Reader { return bytes.NewReader(b) }

// Every Code has its exception on both services, with the statuses of the models.
func TestHTTPExceptions(t *testing.T) {
	iot := map[jobsvc.Code]wire.Exception{
		jobsvc.CodeInvalidRequest:         {Name: "InvalidRequestException", Status: 400},
		jobsvc.CodeInvalidJSON:            {Name: "SerializationException", Status: 400},
		jobsvc.CodeInvalidTopic:           {Name: "UnknownOperationException", Status: 404},
		jobsvc.CodeNotFound:               {Name: "ResourceNotFoundException", Status: 404},
		jobsvc.CodeAlreadyExists:          {Name: "ResourceAlreadyExistsException", Status: 409},
		jobsvc.CodeInvalidStateTransition: {Name: "InvalidStateTransitionException", Status: 409},
		jobsvc.CodeVersionMismatch:        {Name: "VersionConflictException", Status: 409},
		jobsvc.CodeTerminalState:          {Name: "TerminalStateException", Status: 410},
		jobsvc.CodeLimitExceeded:          {Name: "LimitExceededException", Status: 410},
		jobsvc.CodeThrottled:              {Name: "ThrottlingException", Status: 400},
		jobsvc.CodeConflict:               {Name: "ConflictException", Status: 409},
		jobsvc.CodeDeleteConflict:         {Name: "DeleteConflictException", Status: 409},
		jobsvc.CodeCertificateState:       {Name: "CertificateStateException", Status: 406},
		jobsvc.CodeCertificateValidation:  {Name: "CertificateValidationException", Status: 400},
		jobsvc.CodeCertificateConflict:    {Name: "CertificateConflictException", Status: 409},
		jobsvc.CodeRegistrationCode:       {Name: "RegistrationCodeValidationException", Status: 400},
		jobsvc.CodeVersionsLimit:          {Name: "VersionsLimitExceededException", Status: 409},
		jobsvc.CodeMalformedPolicy:        {Name: "MalformedPolicyException", Status: 400},
		jobsvc.CodeInvalidQuery:           {Name: "InvalidQueryException", Status: 400},
		jobsvc.CodeIndexNotReady:          {Name: "IndexNotReadyException", Status: 400},
		jobsvc.CodeUnavailable:            {Name: "ServiceUnavailableException", Status: 503},
		jobsvc.CodeInternal:               {Name: "InternalFailureException", Status: 500},
		jobsvc.CodeUnknownOperation:       {Name: "UnknownOperationException", Status: 404},
		jobsvc.CodeAccessDenied:           {Name: "AccessDeniedException", Status: 403},
		jobsvc.CodeForbidden:              {Name: "ForbiddenException", Status: 403},
		jobsvc.CodeMissingCredentials:     {Name: "MissingAuthenticationTokenException", Status: 403},
		jobsvc.CodeUnknownAccessKey:       {Name: "UnrecognizedClientException", Status: 403},
		jobsvc.CodeInvalidSignature:       {Name: "InvalidSignatureException", Status: 403},
		jobsvc.CodeEntityTooLarge:         {Name: "RequestEntityTooLargeException", Status: 413},
	}
	data := map[jobsvc.Code]wire.Exception{
		jobsvc.CodeInvalidJSON: {Name: "InvalidRequestException", Status: 400},
		jobsvc.CodeThrottled:   {Name: "ThrottlingException", Status: 429},
	}
	for _, c := range jobsvc.Codes() {
		want, ok := iot[c]
		if !ok {
			t.Errorf("%s has no exception in this test", c)
		}
		if got := wire.HTTPException(wire.ServiceIoT, c); got != want {
			t.Errorf("iot, %s: %v, want %v", c, got, want)
		}
		if d, ok := data[c]; ok {
			want = d
		}
		if got := wire.HTTPException(wire.ServiceJobsData, c); got != want {
			t.Errorf("iot-jobs-data, %s: %v, want %v", c, got, want)
		}
	}
	if len(iot) != len(jobsvc.Codes()) {
		t.Error("this test has a code that is not one")
	}
	if got := wire.HTTPException(wire.ServiceIoT, "NoSuchCode"); got.Status != 500 {
		t.Errorf("an unknown code gives %v", got)
	}
}

func TestEncodeHTTPError(t *testing.T) {
	exists := jobsvc.Errorf(jobsvc.CodeAlreadyExists, "Job fw-2026-03 already exists.")
	exists.ResourceID, exists.ResourceARN = "fw-2026-03", controlAccount.ARN("job", "fw-2026-03")
	e, body := wire.EncodeHTTPError(wire.ServiceIoT, fmt.Errorf("create: %w", exists))
	if e.Status != 409 || e.Name != "ResourceAlreadyExistsException" {
		t.Errorf("got %v", e)
	}
	golden(t, "C.2", body, `{
  "message": "Job fw-2026-03 already exists.",
  "resourceId": "fw-2026-03",
  "resourceArn": "arn:aws:iot:eu-west-1:111122223333:job/fw-2026-03"
}`)

	e, body = wire.EncodeHTTPError(wire.ServiceIoT, errors.New("disk /dev/sda1 on fire"))
	if e.Status != 500 || e.Name != "InternalFailureException" {
		t.Errorf("got %v", e)
	}
	golden(t, "internal", body, `{"message":"An internal error occurred."}`)

	stale := jobsvc.Errorf(jobsvc.CodeVersionMismatch, "Stale.")
	stale.State = &jobsvc.JobExecutionState{Status: jobsvc.StatusQueued, VersionNumber: 4}
	_, body = wire.EncodeHTTPError(wire.ServiceJobsData, stale)
	golden(t, "state on the device plane", body, `{"message":"Stale.","executionState":{"status":"QUEUED","statusDetails":{},"versionNumber":4}}`)
	_, body = wire.EncodeHTTPError(wire.ServiceIoT, stale)
	golden(t, "state on the control plane", body, `{"message":"Stale."}`)
}
