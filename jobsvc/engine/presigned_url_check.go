package engine

import (
	"context"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// CheckPresignedURLs tries the URLs of a job's document as a device would use them. It
// changes nothing. Errors: CodeInvalidRequest, CodeNotFound.
//
// It is not an operation of AWS.
func (e *Engine) CheckPresignedURLs(ctx context.Context, id string) ([]jobsvc.PresignedURLCheck, error) {
	if err := jobsvc.ValidateJobID(id); err != nil {
		return nil, err
	}
	j, doc, err := e.store.JobAndDocument(ctx, id)
	switch {
	case err != nil:
		return nil, storeError(err)
	case j == nil:
		return nil, jobNotFound(id)
	case e.opts.Documents == nil:
		return nil, nil
	}
	return e.opts.Documents.Probe(ctx, &jobsvc.Document{Text: doc, PresignedURLConfig: j.PresignedURLConfig})
}
