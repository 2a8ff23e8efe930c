package wire

import "github.com/thingjobs/thingjobs/jobsvc"

// DecodeCreateJobTemplate reads PUT /job-templates/{jobTemplateId}.
func DecodeCreateJobTemplate(in *ControlInput) (*jobsvc.CreateJobTemplateRequest, error) {
	d := &controlDecoder{in: in}
	o := d.body()
	return &jobsvc.CreateJobTemplateRequest{
		ID:                         d.path("jobTemplateId"),
		JobARN:                     o.text("jobArn"),
		Document:                   o.string("document"),
		DocumentSource:             o.text("documentSource"),
		Description:                o.text("description"),
		JobConfig:                  o.jobConfig(),
		MaintenanceWindows:         o.maintenanceWindows(),
		DestinationPackageVersions: noneNil(o.strings("destinationPackageVersions")),
		Tags:                       o.tags("tags"),
	}, d.result()
}

// DecodeJobTemplateID reads the requests that name a template and nothing more.
func DecodeJobTemplateID(in *ControlInput) string { return in.Path["jobTemplateId"] }

// DecodePage reads the lists that have no filter.
func DecodePage(in *ControlInput) (jobsvc.Page, error) {
	d := &controlDecoder{in: in}
	return d.page("maxResults", "nextToken"), d.result()
}

// DecodeDescribeManagedJobTemplate reads GET /managed-job-templates/{templateName}.
func DecodeDescribeManagedJobTemplate(in *ControlInput) (name, version string, err error) {
	d := &controlDecoder{in: in}
	return d.path("templateName"), d.queryText("templateVersion"), d.result()
}

// DecodeListManagedJobTemplates reads GET /managed-job-templates.
func DecodeListManagedJobTemplates(in *ControlInput) (*jobsvc.ListManagedJobTemplatesRequest, error) {
	d := &controlDecoder{in: in}
	return &jobsvc.ListManagedJobTemplatesRequest{
		TemplateName: d.queryText("templateName"),
		Page:         d.page("maxResults", "nextToken"),
	}, d.result()
}

type templateIdentity struct {
	JobTemplateARN string `json:"jobTemplateArn"`
	JobTemplateID  string `json:"jobTemplateId"`
}

// EncodeCreateJobTemplate answers CreateJobTemplate.
func EncodeCreateJobTemplate(a jobsvc.Account, m *jobsvc.JobTemplate) []byte {
	return encode(templateIdentity{a.ARN(jobsvc.ARNJobTemplate, m.ID), m.ID})
}

// EncodeDescribeJobTemplate answers DescribeJobTemplate.
func EncodeDescribeJobTemplate(a jobsvc.Account, m *jobsvc.JobTemplateDescription) []byte {
	return encode(struct {
		templateIdentity
		Description    string      `json:"description"`
		DocumentSource string      `json:"documentSource,omitempty"`
		Document       string      `json:"document"`
		CreatedAt      controlTime `json:"createdAt"`
		jobConfig
		MaintenanceWindows         []maintenanceWindow `json:"maintenanceWindows,omitempty"`
		DestinationPackageVersions []string            `json:"destinationPackageVersions,omitempty"`
	}{
		templateIdentity{a.ARN(jobsvc.ARNJobTemplate, m.ID), m.ID},
		m.Description, m.DocumentSource, string(m.Document), controlTime(m.CreatedAt),
		encodeJobConfig(&m.JobConfig), encodeMaintenanceWindows(m.MaintenanceWindows), m.DestinationPackageVersions,
	})
}

type templateSummary struct {
	templateIdentity
	Description string      `json:"description"`
	CreatedAt   controlTime `json:"createdAt"`
}

// EncodeListJobTemplates answers ListJobTemplates.
func EncodeListJobTemplates(a jobsvc.Account, r *jobsvc.ListJobTemplatesResult) []byte {
	templates := make([]templateSummary, 0, len(r.Templates))
	for i := range r.Templates {
		m := &r.Templates[i]
		templates = append(templates, templateSummary{templateIdentity{a.ARN(jobsvc.ARNJobTemplate, m.ID), m.ID}, m.Description, controlTime(m.CreatedAt)})
	}
	return encode(struct {
		JobTemplates []templateSummary `json:"jobTemplates"`
		NextToken    string            `json:"nextToken,omitempty"`
	}{templates, r.NextToken})
}

type managedSummary struct {
	TemplateARN     string   `json:"templateArn"`
	TemplateName    string   `json:"templateName"`
	Description     string   `json:"description"`
	Environments    []string `json:"environments"`
	TemplateVersion string   `json:"templateVersion"`
}

func newManagedSummary(a jobsvc.Account, t *jobsvc.ManagedJobTemplate) managedSummary {
	return managedSummary{a.ManagedARN(t), t.Name, t.Description, t.Environments, t.Version}
}

type documentParameter struct {
	Key         string `json:"key"`
	Description string `json:"description"`
	Regex       string `json:"regex"`
	Example     string `json:"example"`
	Optional    bool   `json:"optional"`
}

// EncodeDescribeManagedJobTemplate answers DescribeManagedJobTemplate.
func EncodeDescribeManagedJobTemplate(a jobsvc.Account, t *jobsvc.ManagedJobTemplate) []byte {
	parameters := make([]documentParameter, 0, len(t.Parameters))
	for i := range t.Parameters {
		p := &t.Parameters[i]
		parameters = append(parameters, documentParameter{p.Key, p.Description, p.Regex, p.Example, p.Optional})
	}
	return encode(struct {
		managedSummary
		DocumentParameters []documentParameter `json:"documentParameters"`
		Document           string              `json:"document"`
	}{newManagedSummary(a, t), parameters, t.Document})
}

// EncodeListManagedJobTemplates answers ListManagedJobTemplates.
func EncodeListManagedJobTemplates(a jobsvc.Account, r *jobsvc.ListManagedJobTemplatesResult) []byte {
	templates := make([]managedSummary, 0, len(r.Templates))
	for _, t := range r.Templates {
		templates = append(templates, newManagedSummary(a, t))
	}
	return encode(struct {
		ManagedJobTemplates []managedSummary `json:"managedJobTemplates"`
		NextToken           string           `json:"nextToken,omitempty"`
	}{templates, r.NextToken})
}
