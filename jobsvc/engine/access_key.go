package engine

import (
	"context"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store"
)

// AccessKey looks an operator's access key up. Errors: CodeUnknownAccessKey.
func (e *Engine) AccessKey(ctx context.Context, id string) (*jobsvc.AccessKey, error) {
	if id == "" || len(id) > 128 {
		return nil, jobsvc.Errorf(jobsvc.CodeUnknownAccessKey, "The security token included in the request is invalid.")
	}
	k, err := e.store.AccessKey(ctx, id)
	if err == nil && k == nil {
		err = jobsvc.Errorf(jobsvc.CodeUnknownAccessKey, "The security token included in the request is invalid.")
	}
	return k, storeError(err)
}

// CreateAccessKey stores an access key that was made outside (auth.NewAccessKey).
func (e *Engine) CreateAccessKey(ctx context.Context, k jobsvc.AccessKey) error {
	_, err := e.store.Update(ctx, store.AccessKeyScope(k.ID), func(tx *store.Tx) error {
		tx.PutAccessKey(&k)
		return nil
	})
	return storeError(err)
}
