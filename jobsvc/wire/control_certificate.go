package wire

import (
	"strings"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// DecodeCreateKeysAndCertificate reads POST /keys-and-certificate.
func DecodeCreateKeysAndCertificate(in *ControlInput) (setAsActive bool, err error) {
	d := &controlDecoder{in: in}
	setAsActive = isTrue(d.queryBool("setAsActive"))
	return setAsActive, d.result()
}

// DecodeCreateCertificateFromCSR reads POST /certificates.
func DecodeCreateCertificateFromCSR(in *ControlInput) (csrPEM string, setAsActive bool, err error) {
	d := &controlDecoder{in: in}
	csrPEM = d.required("certificateSigningRequest", d.body().string("certificateSigningRequest"))
	setAsActive = isTrue(d.queryBool("setAsActive"))
	return csrPEM, setAsActive, d.result()
}

// DecodeCertificateID reads the certificate of a path. AWS's pattern admits upper
// case, which means the same certificate.
func DecodeCertificateID(in *ControlInput) string {
	return strings.ToLower(in.Path["certificateId"])
}

// DecodeListByTime reads the lists of certificates, CA certificates and policies: newest
// first unless asked otherwise.
func DecodeListByTime(in *ControlInput) (jobsvc.ListByTimeRequest, error) {
	d := &controlDecoder{in: in}
	return jobsvc.ListByTimeRequest{Ascending: isTrue(d.queryBool("isAscendingOrder")), Page: d.page("pageSize", "marker")}, d.result()
}

// DecodeRegisterCertificate reads POST /certificate/register and register-no-ca. The
// query parameter setAsActive is deprecated; a status beside it wins.
func DecodeRegisterCertificate(in *ControlInput) (*jobsvc.RegisterCertificateRequest, error) {
	d := &controlDecoder{in: in}
	o := d.body()
	r := &jobsvc.RegisterCertificateRequest{PEM: o.text("certificatePem"), CAPEM: o.text("caCertificatePem"), Status: status(o.text("status"))}
	if isTrue(d.queryBool("setAsActive")) && r.Status == "" {
		r.Status = jobsvc.CertificateActive
	}
	return r, d.result()
}

// status takes the deprecated REGISTER_INACTIVE for INACTIVE.
func status(s string) jobsvc.CertificateStatus {
	if s == "REGISTER_INACTIVE" {
		return jobsvc.CertificateInactive
	}
	return jobsvc.CertificateStatus(s)
}

// DecodeDeleteCertificate reads DELETE /certificates/{certificateId}.
func DecodeDeleteCertificate(in *ControlInput) (id string, force bool, err error) {
	d := &controlDecoder{in: in}
	return DecodeCertificateID(in), isTrue(d.queryBool("forceDelete")), d.result()
}

// RefuseCertificateTransfer refuses all requests about transfers between accounts.
func RefuseCertificateTransfer() error {
	return jobsvc.Errorf(jobsvc.CodeInvalidRequest, "The transfer of certificates is not supported: there is one account.")
}

// DecodeUpdateCertificate reads PUT /certificates/{certificateId}. The deprecated
// status REGISTER_INACTIVE is stored as INACTIVE.
func DecodeUpdateCertificate(in *ControlInput) (id string, to jobsvc.CertificateStatus, err error) {
	d := &controlDecoder{in: in}
	to = status(d.required("newStatus", d.queryString("newStatus")))
	return DecodeCertificateID(in), to, d.result()
}

// DecodeAttachThingPrincipal reads PUT /things/{thingName}/principals.
func DecodeAttachThingPrincipal(in *ControlInput) (*jobsvc.AttachThingPrincipalRequest, error) {
	d := &controlDecoder{in: in}
	return &jobsvc.AttachThingPrincipalRequest{
		ThingName: d.path("thingName"),
		Principal: d.principal(),
		Exclusive: jobsvc.PrincipalType(d.queryText("thingPrincipalType")) == jobsvc.ExclusiveThing,
	}, d.result()
}

// DecodeDetachThingPrincipal reads DELETE /things/{thingName}/principals.
func DecodeDetachThingPrincipal(in *ControlInput) (thing, principal string, err error) {
	d := &controlDecoder{in: in}
	return d.path("thingName"), d.principal(), d.result()
}

func (d *controlDecoder) principal() string {
	return d.header("x-amzn-principal")
}

// DecodeListThingPrincipals reads GET /things/{thingName}/principals and principals-v2.
func DecodeListThingPrincipals(in *ControlInput) (thing string, of jobsvc.PrincipalType, p jobsvc.Page, err error) {
	d := &controlDecoder{in: in}
	return d.path("thingName"), jobsvc.PrincipalType(d.queryText("thingPrincipalType")), d.page("maxResults", "nextToken"), d.result()
}

// DecodeListPrincipalThings reads GET /principals/things and things-v2.
func DecodeListPrincipalThings(in *ControlInput) (principal string, of jobsvc.PrincipalType, p jobsvc.Page, err error) {
	d := &controlDecoder{in: in}
	return d.principal(), jobsvc.PrincipalType(d.queryText("thingPrincipalType")), d.page("maxResults", "nextToken"), d.result()
}

type newCertificate struct {
	CertificateARN string `json:"certificateArn"`
	CertificateID  string `json:"certificateId"`
	CertificatePEM string `json:"certificatePem"`
}

func newCertificateOf(a jobsvc.Account, c *jobsvc.Certificate) newCertificate {
	return newCertificate{a.ARN(jobsvc.ARNCert, c.ID), c.ID, c.PEM}
}

// keyPair has capital letters, unlike everything else in this API.
type keyPair struct {
	PublicKey  string `json:"PublicKey"`
	PrivateKey string `json:"PrivateKey"`
}

// EncodeKeysAndCertificate answers CreateKeysAndCertificate. It is the only place
// where the private key is ever seen.
func EncodeKeysAndCertificate(a jobsvc.Account, k *jobsvc.KeysAndCertificate) []byte {
	return encode(struct {
		newCertificate
		KeyPair keyPair `json:"keyPair"`
	}{newCertificateOf(a, &k.Certificate), keyPair{k.PublicKeyPEM, k.PrivateKeyPEM}})
}

// EncodeCreateCertificateFromCSR answers CreateCertificateFromCsr.
func EncodeCreateCertificateFromCSR(a jobsvc.Account, c *jobsvc.Certificate) []byte {
	return encode(newCertificateOf(a, c))
}

type validity struct {
	NotBefore controlTime `json:"notBefore"`
	NotAfter  controlTime `json:"notAfter"`
}

type certificateDescription struct {
	CertificateARN   string                   `json:"certificateArn"`
	CertificateID    string                   `json:"certificateId"`
	Status           jobsvc.CertificateStatus `json:"status"`
	CACertificateID  string                   `json:"caCertificateId,omitempty"`
	CertificatePEM   string                   `json:"certificatePem"`
	OwnedBy          string                   `json:"ownedBy"`
	CreationDate     controlTime              `json:"creationDate"`
	LastModifiedDate controlTime              `json:"lastModifiedDate"`
	CustomerVersion  int64                    `json:"customerVersion"`
	TransferData     struct{}                 `json:"transferData"`
	GenerationID     string                   `json:"generationId"`
	Validity         validity                 `json:"validity"`
	CertificateMode  jobsvc.CertificateMode   `json:"certificateMode"`
}

// EncodeDescribeCertificate answers DescribeCertificate.
func EncodeDescribeCertificate(a jobsvc.Account, c *jobsvc.Certificate) []byte {
	return encode(struct {
		CertificateDescription certificateDescription `json:"certificateDescription"`
	}{certificateDescription{
		CertificateARN:   a.ARN(jobsvc.ARNCert, c.ID),
		CertificateID:    c.ID,
		Status:           c.Status,
		CACertificateID:  c.CAID,
		CertificatePEM:   c.PEM,
		OwnedBy:          a.ID,
		CreationDate:     controlTime(c.CreatedAt),
		LastModifiedDate: controlTime(c.UpdatedAt),
		CustomerVersion:  c.Version,
		GenerationID:     c.GenerationID,
		Validity:         validity{controlTime(c.NotBefore), controlTime(c.NotAfter)},
		CertificateMode:  c.Mode,
	}})
}

type certificateElement struct {
	CertificateARN  string                   `json:"certificateArn"`
	CertificateID   string                   `json:"certificateId"`
	Status          jobsvc.CertificateStatus `json:"status"`
	CertificateMode jobsvc.CertificateMode   `json:"certificateMode"`
	CreationDate    controlTime              `json:"creationDate"`
}

// EncodeListCertificates answers ListCertificates.
func EncodeListCertificates(a jobsvc.Account, r *jobsvc.ListCertificatesResult) []byte {
	list := make([]certificateElement, 0, len(r.Certificates))
	for i := range r.Certificates {
		c := &r.Certificates[i]
		list = append(list, certificateElement{a.ARN(jobsvc.ARNCert, c.ID), c.ID, c.Status, c.Mode, controlTime(c.CreatedAt)})
	}
	return encode(struct {
		Certificates []certificateElement `json:"certificates"`
		NextMarker   string               `json:"nextMarker,omitempty"`
	}{list, r.NextMarker})
}

// EncodeRegisterCertificate answers RegisterCertificate, RegisterCertificateWithoutCA and
// RegisterCACertificate.
func EncodeRegisterCertificate(a jobsvc.Account, kind, id string) []byte {
	return encode(struct {
		CertificateARN string `json:"certificateArn"`
		CertificateID  string `json:"certificateId"`
	}{a.ARN(kind, id), id})
}

// EncodePrincipals answers ListThingPrincipals.
func EncodePrincipals(r *jobsvc.PrincipalsResult) []byte {
	return encode(struct {
		Principals []string `json:"principals"`
		NextToken  string   `json:"nextToken,omitempty"`
	}{attachmentNames(r), r.NextToken})
}

// EncodePrincipalThings answers ListPrincipalThings.
func EncodePrincipalThings(r *jobsvc.PrincipalsResult) []byte {
	return encode(struct {
		Things    []string `json:"things"`
		NextToken string   `json:"nextToken,omitempty"`
	}{attachmentNames(r), r.NextToken})
}

func attachmentNames(r *jobsvc.PrincipalsResult) []string {
	names := make([]string, len(r.Attachments))
	for i, a := range r.Attachments {
		names[i] = a.Name
	}
	return names
}

// EncodePrincipalsV2 answers ListThingPrincipalsV2.
func EncodePrincipalsV2(r *jobsvc.PrincipalsResult) []byte {
	type object struct {
		Principal          string               `json:"principal"`
		ThingPrincipalType jobsvc.PrincipalType `json:"thingPrincipalType"`
	}
	list := make([]object, len(r.Attachments))
	for i, a := range r.Attachments {
		list[i] = object{a.Name, a.Type}
	}
	return encode(struct {
		ThingPrincipalObjects []object `json:"thingPrincipalObjects"`
		NextToken             string   `json:"nextToken,omitempty"`
	}{list, r.NextToken})
}

// EncodePrincipalThingsV2 answers ListPrincipalThingsV2.
func EncodePrincipalThingsV2(r *jobsvc.PrincipalsResult) []byte {
	type object struct {
		ThingName          string               `json:"thingName"`
		ThingPrincipalType jobsvc.PrincipalType `json:"thingPrincipalType"`
	}
	list := make([]object, len(r.Attachments))
	for i, a := range r.Attachments {
		list[i] = object{a.Name, a.Type}
	}
	return encode(struct {
		PrincipalThingObjects []object `json:"principalThingObjects"`
		NextToken             string   `json:"nextToken,omitempty"`
	}{list, r.NextToken})
}
