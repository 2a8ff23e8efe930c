package engine

import (
	"context"
	"errors"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// AccessKey looks an operator's access key up. Errors: CodeUnknownAccessKey.
func (e *Engine) AccessKey(ctx context.Context, id string) (*jobsvc.AccessKey, error) {
	if id == "" || len(id) > 128 {
		return nil, unknownAccessKey()
	}
	k, err := e.store.AccessKey(ctx, id)
	if err == nil && k == nil {
		err = unknownAccessKey()
	}
	return k, storeError(err)
}

func unknownAccessKey() error {
	return jobsvc.Errorf(jobsvc.CodeUnknownAccessKey, "The security token included in the request is invalid.")
}

// CreateAccessKey stores an access key that was made outside (auth.NewAccessKey).
func (e *Engine) CreateAccessKey(ctx context.Context, k jobsvc.AccessKey) error {
	_, err := e.store.Update(ctx, store.AccessKeyScope(k.ID), func(tx *store.Tx) error {
		tx.PutAccessKey(&k)
		return nil
	})
	return storeError(err)
}

// DeleteAccessKey revokes an access key: no request signed with it is accepted from now
// on. The last key of an admin stays, since nobody could make another. Errors:
// CodeNotFound, CodeDeleteConflict.
func (e *Engine) DeleteAccessKey(ctx context.Context, id string) error {
	if len(id) > 128 {
		return noAccessKey(id)
	}
	others, err := e.hasOtherAdmin(ctx, id)
	if err != nil {
		return err
	}
	_, err = e.store.Update(ctx, store.AccessKeyScope(id), func(tx *store.Tx) error {
		k, err := tx.GetAccessKey(id)
		switch {
		case err != nil:
			return err
		case k == nil:
			return noAccessKey(id)
		case k.Role == jobsvc.RoleAdmin && !others:
			return jobsvc.Errorf(jobsvc.CodeDeleteConflict, "The access key %s is the last one with the role admin. Create another first.", id)
		}
		tx.DeleteAccessKey(id)
		return nil
	})
	if s := e.opts.Sessions; s != nil && (err == nil || errors.Is(err, kv.ErrUnknown)) {
		s.AccessKeyDeleted(id)
	}
	return storeError(err)
}

func noAccessKey(id string) error {
	return jobsvc.Errorf(jobsvc.CodeNotFound, "Access key %s does not exist.", jobsvc.Clip(id))
}

// hasOtherAdmin tells whether there is an admin's key beside this one.
func (e *Engine) hasOtherAdmin(ctx context.Context, id string) (bool, error) {
	for after := ""; ; {
		keys, next, err := e.store.ListAccessKeys(ctx, after, jobsvc.MaxPageSize)
		if err != nil {
			return false, storeError(err)
		}
		for _, k := range keys {
			if k.Role == jobsvc.RoleAdmin && k.ID != id {
				return true, nil
			}
		}
		if next == "" {
			return false, nil
		}
		after = next
	}
}

// HasAdmin tells whether there is an access key with the role admin.
func (e *Engine) HasAdmin(ctx context.Context) (bool, error) { return e.hasOtherAdmin(ctx, "") }

// ListAccessKeys lists the access keys by ID, without their secrets. Errors:
// CodeInvalidRequest.
func (e *Engine) ListAccessKeys(ctx context.Context, p jobsvc.Page) (*jobsvc.ListAccessKeysResult, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	var after string
	if err := e.decodeToken(p.Token, "access keys", &after); err != nil {
		return nil, err
	}
	keys, next, err := e.store.ListAccessKeys(ctx, after, p.Size())
	if err != nil {
		return nil, storeError(err)
	}
	for i := range keys {
		keys[i].Secret = ""
	}
	res := &jobsvc.ListAccessKeysResult{Keys: keys}
	if next != "" {
		res.NextToken = e.encodeToken("access keys", next)
	}
	return res, nil
}
