package wire

import (
	"strings"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// DecodeRegisterCACertificate reads POST /cacertificate.
func DecodeRegisterCACertificate(in *ControlInput) (*jobsvc.RegisterCACertificateRequest, error) {
	d := &controlDecoder{in: in}
	o := d.body()
	return &jobsvc.RegisterCACertificateRequest{
		PEM:              o.text("caCertificate"),
		VerificationPEM:  o.text("verificationCertificate"),
		Mode:             jobsvc.CertificateMode(o.text("certificateMode")),
		SetAsActive:      isTrue(d.queryBool("setAsActive")),
		AutoRegistration: isTrue(d.queryBool("allowAutoRegistration")),
		Registration:     o.registrationConfig(),
		Tags:             o.tags("tags"),
	}, d.result()
}

func (o *object) registrationConfig() *jobsvc.RegistrationConfig {
	c := o.object("registrationConfig")
	if c.empty() {
		return nil
	}
	return &jobsvc.RegistrationConfig{TemplateBody: c.text("templateBody"), RoleARN: c.text("roleArn"), TemplateName: c.text("templateName")}
}

// DecodeCACertificateID reads the CA certificate of a path.
func DecodeCACertificateID(in *ControlInput) string {
	return strings.ToLower(in.Path["caCertificateId"])
}

// DecodeUpdateCACertificate reads PUT /cacertificate/{caCertificateId}.
func DecodeUpdateCACertificate(in *ControlInput) (*jobsvc.UpdateCACertificateRequest, error) {
	d := &controlDecoder{in: in}
	o := d.body()
	r := &jobsvc.UpdateCACertificateRequest{
		ID:                 DecodeCACertificateID(in),
		Status:             jobsvc.CertificateStatus(d.queryText("newStatus")),
		Registration:       o.registrationConfig(),
		RemoveRegistration: isTrue(o.bool("removeAutoRegistration")),
	}
	if s := d.queryText("newAutoRegistrationStatus"); s != "" {
		on := s == autoRegistration[true]
		r.AutoRegistration = &on
	}
	return r, d.result()
}

// autoRegistration is how the service names it.
var autoRegistration = map[bool]string{true: "ENABLE", false: "DISABLE"}

// DecodeListCACertificates reads GET /cacertificates.
func DecodeListCACertificates(in *ControlInput) (templateName string, r jobsvc.ListByTimeRequest, err error) {
	d := &controlDecoder{in: in}
	r, err = DecodeListByTime(in)
	return d.queryText("templateName"), r, err
}

// DecodeListCertificatesByCA reads GET /certificates-by-ca/{caCertificateId}. They come by
// ID, in one order.
func DecodeListCertificatesByCA(in *ControlInput) (ca string, p jobsvc.Page, err error) {
	d := &controlDecoder{in: in}
	d.queryBool("isAscendingOrder")
	return DecodeCACertificateID(in), d.page("pageSize", "marker"), d.result()
}

// EncodeRegistrationCode answers GetRegistrationCode.
func EncodeRegistrationCode(code string) []byte {
	return encode(struct {
		RegistrationCode string `json:"registrationCode"`
	}{code})
}

type registrationConfig struct {
	TemplateBody string `json:"templateBody,omitempty"`
	RoleARN      string `json:"roleArn,omitempty"`
	TemplateName string `json:"templateName,omitempty"`
}

type caDescription struct {
	CertificateARN         string                   `json:"certificateArn"`
	CertificateID          string                   `json:"certificateId"`
	Status                 jobsvc.CertificateStatus `json:"status"`
	CertificatePEM         string                   `json:"certificatePem"`
	OwnedBy                string                   `json:"ownedBy"`
	CreationDate           controlTime              `json:"creationDate"`
	AutoRegistrationStatus string                   `json:"autoRegistrationStatus"`
	LastModifiedDate       controlTime              `json:"lastModifiedDate"`
	CustomerVersion        int64                    `json:"customerVersion"`
	GenerationID           string                   `json:"generationId"`
	Validity               validity                 `json:"validity"`
	CertificateMode        jobsvc.CertificateMode   `json:"certificateMode"`
}

// EncodeDescribeCACertificate answers DescribeCACertificate.
func EncodeDescribeCACertificate(a jobsvc.Account, c *jobsvc.CACertificate) []byte {
	out := struct {
		CertificateDescription caDescription       `json:"certificateDescription"`
		RegistrationConfig     *registrationConfig `json:"registrationConfig,omitempty"`
	}{CertificateDescription: caDescription{
		CertificateARN:         a.ARN(jobsvc.ARNCACert, c.ID),
		CertificateID:          c.ID,
		Status:                 c.Status,
		CertificatePEM:         c.PEM,
		OwnedBy:                a.ID,
		CreationDate:           controlTime(c.CreatedAt),
		AutoRegistrationStatus: autoRegistration[c.AutoRegistration],
		LastModifiedDate:       controlTime(c.UpdatedAt),
		CustomerVersion:        c.Version,
		GenerationID:           c.GenerationID,
		Validity:               validity{controlTime(c.NotBefore), controlTime(c.NotAfter)},
		CertificateMode:        c.Mode,
	}}
	if c.Registration != nil {
		out.RegistrationConfig = new(registrationConfig(*c.Registration))
	}
	return encode(out)
}

type caElement struct {
	CertificateARN string                   `json:"certificateArn"`
	CertificateID  string                   `json:"certificateId"`
	Status         jobsvc.CertificateStatus `json:"status"`
	CreationDate   controlTime              `json:"creationDate"`
}

// EncodeListCACertificates answers ListCACertificates.
func EncodeListCACertificates(a jobsvc.Account, r *jobsvc.ListCACertificatesResult) []byte {
	list := make([]caElement, 0, len(r.Certificates))
	for i := range r.Certificates {
		c := &r.Certificates[i]
		list = append(list, caElement{a.ARN(jobsvc.ARNCACert, c.ID), c.ID, c.Status, controlTime(c.CreatedAt)})
	}
	return encode(struct {
		Certificates []caElement `json:"certificates"`
		NextMarker   string      `json:"nextMarker,omitempty"`
	}{list, r.NextMarker})
}
