package engine

import (
	"context"
	"strings"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/schedule"
	"github.com/thingjobs/thingjobs/jobsvc/store"
)

// CreateJobTemplate stores a template: from a job, from a document, or from a job with a
// document instead of its own. It never changes afterwards.
//
// Errors: CodeInvalidRequest, CodeNotFound for the job, CodeConflict for an ID that is
// taken, CodeLimitExceeded for too many tags.
//
// AWS: CreateJobTemplate.
func (e *Engine) CreateJobTemplate(ctx context.Context, r *jobsvc.CreateJobTemplateRequest) (*jobsvc.JobTemplate, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	if err := e.limits.CheckConfig(r.JobConfig); err != nil {
		return nil, err
	}
	if limit := e.limits.JobTemplates; limit > 0 {
		// Few enough to count them.
		templates, more, err := e.store.ListJobTemplates(ctx, store.TimeCursor{}, limit)
		if err != nil {
			return nil, storeError(err)
		}
		if more || len(templates) >= limit {
			return nil, jobsvc.Errorf(jobsvc.CodeLimitExceeded, "The quota of %d job templates is reached.", limit)
		}
	}
	now, err := e.now(ctx)
	if err != nil {
		return nil, err
	}
	made := &jobsvc.JobTemplate{
		ID: r.ID, Description: r.Description, DocumentSource: r.DocumentSource, JobConfig: r.JobConfig,
		MaintenanceWindows: r.MaintenanceWindows, DestinationPackageVersions: r.DestinationPackageVersions, CreatedAt: now,
	}
	var doc []byte
	if r.JobARN != "" {
		if doc, err = e.copyJob(ctx, r, made); err != nil {
			return nil, err
		}
	}
	if r.Document != nil || r.DocumentSource != "" {
		doc, err = e.document(ctx, &jobsvc.CreateJobRequest{Document: r.Document, DocumentSource: r.DocumentSource})
		if err != nil {
			return nil, err
		}
		// With which role it is signed may be said by each job.
		if e.opts.Documents != nil {
			if err := e.opts.Documents.CheckSyntax(doc); err != nil {
				return nil, err
			}
		}
	}
	if err := e.limits.CheckWindows(len(made.MaintenanceWindows)); err != nil {
		return nil, err
	}
	if _, err := schedule.NewWindows(&jobsvc.SchedulingConfig{MaintenanceWindows: made.MaintenanceWindows}); err != nil {
		return nil, err
	}
	_, err = e.store.Update(ctx, store.JobTemplateScope(made.ID), func(tx *store.Tx) error {
		existing, err := tx.JobTemplate(made.ID)
		if err != nil {
			return err
		}
		if existing != nil {
			return &jobsvc.Error{
				Code:        jobsvc.CodeConflict,
				Message:     "Job template " + made.ID + " already exists.",
				ResourceID:  made.ID,
				ResourceARN: e.opts.Account.ARN(jobsvc.ARNJobTemplate, made.ID),
			}
		}
		tx.CreateJobTemplate(made, doc)
		tx.PutTags(store.Resource{Kind: jobsvc.ARNJobTemplate, Name: made.ID}, r.Tags)
		return nil
	})
	return made, storeError(err)
}

// copyJob completes a template with what a job has, and gives the job's document.
func (e *Engine) copyJob(ctx context.Context, r *jobsvc.CreateJobTemplateRequest, made *jobsvc.JobTemplate) ([]byte, error) {
	kind, id, ok := e.opts.Account.Parse(r.JobARN)
	if !ok || kind != jobsvc.ARNJob || !jobsvc.IsJobID(id) {
		return nil, notFound("Job", jobsvc.Clip(r.JobARN))
	}
	job, doc, err := e.store.JobAndDocument(ctx, id)
	if err == nil && job == nil {
		err = jobNotFound(id)
	}
	if err != nil {
		return nil, storeError(err)
	}
	made.JobConfig = r.JobConfig.Over(job.Config())
	if made.DocumentSource == "" && r.Document == nil {
		made.DocumentSource = job.DocumentSource
	}
	if made.MaintenanceWindows == nil && job.SchedulingConfig != nil {
		made.MaintenanceWindows = job.SchedulingConfig.MaintenanceWindows
	}
	if made.DestinationPackageVersions == nil {
		made.DestinationPackageVersions = job.DestinationPackageVersions
	}
	return doc, nil
}

// DescribeJobTemplate reads a template with its document. Errors: CodeInvalidRequest,
// CodeNotFound.
//
// AWS: DescribeJobTemplate.
func (e *Engine) DescribeJobTemplate(ctx context.Context, id string) (*jobsvc.JobTemplateDescription, error) {
	if err := jobsvc.ValidateJobTemplateID(id); err != nil {
		return nil, err
	}
	m, err := e.store.JobTemplate(ctx, id)
	if err == nil && m == nil {
		err = notFound("Job template", id)
	}
	return m, storeError(err)
}

// DeleteJobTemplate deletes a template. Jobs made from it keep what they took from it.
// Errors: CodeInvalidRequest, CodeNotFound.
//
// AWS: DeleteJobTemplate.
func (e *Engine) DeleteJobTemplate(ctx context.Context, id string) error {
	if err := jobsvc.ValidateJobTemplateID(id); err != nil {
		return err
	}
	_, err := e.store.Update(ctx, store.JobTemplateScope(id), func(tx *store.Tx) error {
		m, err := tx.JobTemplate(id)
		if err != nil {
			return err
		}
		if m == nil {
			return notFound("Job template", id)
		}
		tx.DeleteJobTemplate(m)
		tx.DeleteTags(store.Resource{Kind: jobsvc.ARNJobTemplate, Name: id})
		return nil
	})
	return storeError(err)
}

// ListJobTemplates lists templates, newest first. Errors: CodeInvalidRequest.
//
// AWS: ListJobTemplates.
func (e *Engine) ListJobTemplates(ctx context.Context, p jobsvc.Page) (*jobsvc.ListJobTemplatesResult, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	var from store.TimeCursor
	if err := e.decodeToken(p.Token, "templates", &from); err != nil {
		return nil, err
	}
	templates, more, err := e.store.ListJobTemplates(ctx, from, p.Size())
	if err != nil {
		return nil, storeError(err)
	}
	res := &jobsvc.ListJobTemplatesResult{Templates: templates}
	if more && len(templates) > 0 {
		last := templates[len(templates)-1]
		res.NextToken = e.encodeToken("templates", store.TimeCursor{CreatedAt: last.CreatedAt, Name: last.ID})
	}
	return res, nil
}

// DescribeManagedJobTemplate gives a template of AWS's; version "" is the newest.
// Errors: CodeNotFound.
//
// AWS: DescribeManagedJobTemplate.
func (e *Engine) DescribeManagedJobTemplate(_ context.Context, name, version string) (*jobsvc.ManagedJobTemplate, error) {
	t := jobsvc.ManagedTemplate(name, version)
	if t == nil {
		if version != "" {
			name += ":" + version
		}
		return nil, notFound("Managed job template", jobsvc.Clip(name))
	}
	return t, nil
}

// ListManagedJobTemplates lists the templates of AWS's by name. Errors:
// CodeInvalidRequest, CodeNotFound for a name there is not.
//
// AWS: ListManagedJobTemplates.
func (e *Engine) ListManagedJobTemplates(_ context.Context, r *jobsvc.ListManagedJobTemplatesRequest) (*jobsvc.ListManagedJobTemplatesResult, error) {
	if err := r.Page.Validate(); err != nil {
		return nil, err
	}
	filters := []any{"managed templates", r.TemplateName}
	var after string
	if err := e.decodeToken(r.Page.Token, filters, &after); err != nil {
		return nil, err
	}
	if r.TemplateName != "" && jobsvc.ManagedTemplate(r.TemplateName, "") == nil {
		return nil, notFound("Managed job template", jobsvc.Clip(r.TemplateName))
	}
	res := &jobsvc.ListManagedJobTemplatesResult{}
	for _, t := range jobsvc.ManagedJobTemplates() {
		switch {
		case t.Name <= after, r.TemplateName != "" && t.Name != r.TemplateName:
		case len(res.Templates) == r.Page.Size():
			res.NextToken = e.encodeToken(filters, res.Templates[len(res.Templates)-1].Name)
			return res, nil
		default:
			res.Templates = append(res.Templates, t)
		}
	}
	return res, nil
}

// withTemplate gives the request with what its template has and it does not: the document
// and each configuration, whole. All that follows looks at the merged request alone.
func (e *Engine) withTemplate(ctx context.Context, r *jobsvc.CreateJobRequest) (*jobsvc.CreateJobRequest, error) {
	if r.JobTemplateARN == "" {
		return r, nil
	}
	merged := *r
	if t, ok := e.managedTemplate(r.JobTemplateARN); ok {
		if t == nil {
			return nil, notFound("Managed job template", jobsvc.Clip(r.JobTemplateARN))
		}
		return &merged, fillManaged(&merged, t)
	}
	kind, id, ok := e.opts.Account.Parse(r.JobTemplateARN)
	if !ok || kind != jobsvc.ARNJobTemplate || jobsvc.ValidateJobTemplateID(id) != nil {
		return nil, notFound("Job template", jobsvc.Clip(r.JobTemplateARN))
	}
	if len(r.DocumentParameters) > 0 {
		return nil, jobsvc.Errorf(jobsvc.CodeInvalidRequest, "documentParameters are for managed templates: %s is a custom one.", id)
	}
	m, err := e.DescribeJobTemplate(ctx, id)
	if err != nil {
		return nil, err
	}
	if r.Document == nil && r.DocumentSource == "" {
		doc := string(m.Document)
		merged.Document = &doc
	}
	if r.Description == nil && m.Description != "" {
		merged.Description = &m.Description
	}
	merged.SetConfig(r.Config().Over(m.JobConfig))
	if len(m.MaintenanceWindows) > 0 && (r.SchedulingConfig == nil || r.SchedulingConfig.MaintenanceWindows == nil) {
		var s jobsvc.SchedulingConfig
		if r.SchedulingConfig != nil {
			s = *r.SchedulingConfig
		}
		s.MaintenanceWindows = m.MaintenanceWindows
		merged.SchedulingConfig = &s
	}
	if r.DestinationPackageVersions == nil {
		merged.DestinationPackageVersions = m.DestinationPackageVersions
	}
	return &merged, nil
}

// managedTemplate finds the managed template of an ARN, which may leave the version out.
// ok tells whether it is the ARN of one at all.
func (e *Engine) managedTemplate(arn string) (t *jobsvc.ManagedJobTemplate, ok bool) {
	a := e.opts.Account
	rest, ok := strings.CutPrefix(arn, "arn:"+a.Partition+":iot:"+a.Region+"::jobtemplate/")
	if !ok {
		return nil, false
	}
	name, version, _ := strings.Cut(rest, ":")
	return jobsvc.ManagedTemplate(name, version), true
}

// fillManaged gives a request the document of a managed template.
func fillManaged(r *jobsvc.CreateJobRequest, t *jobsvc.ManagedJobTemplate) error {
	if r.Document != nil || r.DocumentSource != "" {
		return jobsvc.Errorf(jobsvc.CodeInvalidRequest, "A job made from the managed template %s takes its document: document and documentSource are not allowed.", t.Name)
	}
	filled, err := t.Fill(r.DocumentParameters)
	if err != nil {
		return err
	}
	doc := string(filled)
	r.Document = &doc
	if r.Description == nil {
		r.Description = &t.Description
	}
	return nil
}
