package httpapi

import (
	"context"
	"slices"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/auth"
	"github.com/thingjobs/thingjobs/jobsvc/wire"
)

// jobsDataHandlers are the operations of the service iot-jobs-data: what devices do over
// MQTT, without subscriptions. Documents leave as they were written, without
// presigned URLs: those are for MQTT alone.
var jobsDataHandlers = map[string]handler{
	"DescribeJobExecution":         (*api).describePendingJobExecution,
	"GetPendingJobExecutions":      (*api).getPendingJobExecutions,
	"StartCommandExecution":        (*api).startCommandExecution,
	"StartNextPendingJobExecution": (*api).startNextPendingJobExecution,
	"UpdateJobExecution":           (*api).updateJobExecution,
}

func (a *api) getPendingJobExecutions(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	pending, err := a.Engine.GetPendingJobExecutions(ctx, in.Path["thingName"])
	if err != nil {
		return nil, err
	}
	return wire.EncodePendingJobExecutions(pending), nil
}

func (a *api) startNextPendingJobExecution(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	r := &jobsvc.StartNextPendingJobExecutionRequest{ThingName: in.Path["thingName"]}
	if _, err := wire.DecodeStartNextPendingJobExecution(in.Body, r); err != nil {
		return nil, err
	}
	x, err := a.Engine.StartNextPendingJobExecution(ctx, r)
	if err != nil {
		return nil, err
	}
	return wire.EncodeDeviceExecution(x), nil
}

func (a *api) describePendingJobExecution(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	r, err := wire.DecodeHTTPDescribeJobExecution(in)
	if err != nil {
		return nil, err
	}
	x, err := a.Engine.DescribePendingJobExecution(ctx, r)
	if err != nil {
		return nil, err
	}
	return wire.EncodeDeviceExecution(x), nil
}

func (a *api) updateJobExecution(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	r := &jobsvc.UpdateJobExecutionRequest{ThingName: in.Path["thingName"], JobID: in.Path["jobId"]}
	_, includeState, err := wire.DecodeUpdateJobExecution(in.Body, r)
	if err != nil {
		return nil, err
	}
	if err := jobsvc.ValidateJobID(r.JobID); err != nil {
		return nil, err
	}
	u, err := a.Engine.UpdateJobExecution(ctx, r)
	if err != nil {
		return nil, err
	}
	return wire.EncodeJobExecutionUpdate(u, includeState), nil
}

func (a *api) startCommandExecution(context.Context, *wire.ControlInput) ([]byte, error) {
	return nil, jobsvc.Errorf(jobsvc.CodeUnknownOperation, "StartCommandExecution belongs to AWS IoT commands, which are not jobs: thingjobs has jobs alone. Create a job for the thing instead.")
}

// device looks up what a client certificate may act for.
//
// spec: device-plane 8.3, broker 6.3.
func (a *api) device(ctx context.Context, certificateID string) (*jobsvc.Binding, error) {
	binding, err := a.Engine.Binding(ctx, certificateID)
	if jobsvc.ErrorCode(err) == jobsvc.CodeNotFound {
		return nil, jobsvc.Errorf(jobsvc.CodeCertificateValidation, "The client certificate is not registered.")
	}
	if err != nil {
		return nil, err
	}
	if err := auth.Usable(binding, a.Now()); err != nil {
		return nil, jobsvc.Errorf(jobsvc.CodeCertificateValidation, "Not accepted: %s.", err)
	}
	return binding, nil
}

// mayAct tells whether the caller may do an operation of the device plane for the thing:
// a certificate for the things it is attached to, an operator by role.
func mayAct(c *call, role jobsvc.Role, thing string) error {
	switch {
	case c.operation == "StartCommandExecution": // says the same to everybody
		return nil
	case c.device != nil && !slices.Contains(c.device.Things, thing):
		return jobsvc.Errorf(jobsvc.CodeForbidden, "The client certificate is not attached to the thing %s.", thing)
	case c.device == nil && !auth.Allows(role, c.operation):
		return jobsvc.Errorf(jobsvc.CodeAccessDenied, "User: %s is not authorized to perform: iotjobsdata:%s with the role %s.", c.caller, c.operation, role)
	}
	return jobsvc.ValidateName("thingName", thing)
}
