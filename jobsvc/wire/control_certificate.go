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

// DecodeListCertificates reads GET /certificates: newest first. The other order is
// refused rather than ignored.
func DecodeListCertificates(in *ControlInput) (jobsvc.Page, error) {
	d := &controlDecoder{in: in}
	if isTrue(d.queryBool("isAscendingOrder")) {
		d.refuse("isAscendingOrder")
	}
	return d.page("pageSize", "marker"), d.result()
}

// DecodeUpdateCertificate reads PUT /certificates/{certificateId}. The deprecated
// status REGISTER_INACTIVE is stored as INACTIVE.
func DecodeUpdateCertificate(in *ControlInput) (id string, status jobsvc.CertificateStatus, err error) {
	d := &controlDecoder{in: in}
	status = jobsvc.CertificateStatus(d.required("newStatus", d.queryString("newStatus")))
	if status == "REGISTER_INACTIVE" {
		status = jobsvc.CertificateInactive
	}
	return DecodeCertificateID(in), status, d.result()
}

// DecodeThingPrincipal reads PUT and DELETE /things/{thingName}/principals. An
// exclusive attachment is refused rather than made a plain one.
func DecodeThingPrincipal(in *ControlInput) (thing, principal string, err error) {
	d := &controlDecoder{in: in}
	switch t := d.queryText("thingPrincipalType"); t {
	case "", "NON_EXCLUSIVE_THING":
	case "EXCLUSIVE_THING":
		d.refuse("thingPrincipalType EXCLUSIVE_THING")
	default:
		d.fail(jobsvc.Errorf(jobsvc.CodeInvalidRequest, "1 validation error detected: Value '%s' at 'thingPrincipalType' failed to satisfy constraint: Member must satisfy enum value set: [NON_EXCLUSIVE_THING, EXCLUSIVE_THING]", printable(t)))
	}
	return d.path("thingName"), d.principal(), d.result()
}

func (d *controlDecoder) principal() string {
	return d.header("x-amzn-principal")
}

// DecodeListThingPrincipals reads GET /things/{thingName}/principals.
func DecodeListThingPrincipals(in *ControlInput) (thing string, p jobsvc.Page, err error) {
	d := &controlDecoder{in: in}
	p = d.page("maxResults", "nextToken")
	return d.path("thingName"), p, d.result()
}

// DecodeListPrincipalThings reads GET /principals/things.
func DecodeListPrincipalThings(in *ControlInput) (principal string, p jobsvc.Page, err error) {
	d := &controlDecoder{in: in}
	p = d.page("maxResults", "nextToken")
	return d.principal(), p, d.result()
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

// Every certificate of this build is issued by the installation's own CA.
const certificateMode = "DEFAULT"

type certificateDescription struct {
	CertificateARN   string                   `json:"certificateArn"`
	CertificateID    string                   `json:"certificateId"`
	Status           jobsvc.CertificateStatus `json:"status"`
	CertificatePEM   string                   `json:"certificatePem"`
	OwnedBy          string                   `json:"ownedBy"`
	CreationDate     controlTime              `json:"creationDate"`
	LastModifiedDate controlTime              `json:"lastModifiedDate"`
	CustomerVersion  int64                    `json:"customerVersion"`
	TransferData     struct{}                 `json:"transferData"`
	GenerationID     string                   `json:"generationId"`
	Validity         validity                 `json:"validity"`
	CertificateMode  string                   `json:"certificateMode"`
}

// EncodeDescribeCertificate answers DescribeCertificate.
func EncodeDescribeCertificate(a jobsvc.Account, c *jobsvc.Certificate) []byte {
	return encode(struct {
		CertificateDescription certificateDescription `json:"certificateDescription"`
	}{certificateDescription{
		CertificateARN:   a.ARN(jobsvc.ARNCert, c.ID),
		CertificateID:    c.ID,
		Status:           c.Status,
		CertificatePEM:   c.PEM,
		OwnedBy:          a.ID,
		CreationDate:     controlTime(c.CreatedAt),
		LastModifiedDate: controlTime(c.UpdatedAt),
		CustomerVersion:  c.Version,
		GenerationID:     c.GenerationID,
		Validity:         validity{controlTime(c.NotBefore), controlTime(c.NotAfter)},
		CertificateMode:  certificateMode,
	}})
}

type certificateElement struct {
	CertificateARN  string                   `json:"certificateArn"`
	CertificateID   string                   `json:"certificateId"`
	Status          jobsvc.CertificateStatus `json:"status"`
	CertificateMode string                   `json:"certificateMode"`
	CreationDate    controlTime              `json:"creationDate"`
}

// EncodeListCertificates answers ListCertificates.
func EncodeListCertificates(a jobsvc.Account, r *jobsvc.ListCertificatesResult) []byte {
	list := make([]certificateElement, 0, len(r.Certificates))
	for i := range r.Certificates {
		c := &r.Certificates[i]
		list = append(list, certificateElement{a.ARN(jobsvc.ARNCert, c.ID), c.ID, c.Status, certificateMode, controlTime(c.CreatedAt)})
	}
	return encode(struct {
		Certificates []certificateElement `json:"certificates"`
		NextMarker   string               `json:"nextMarker,omitempty"`
	}{list, r.NextMarker})
}

// EncodePrincipals answers ListThingPrincipals.
func EncodePrincipals(r *jobsvc.NamesResult) []byte {
	return encode(struct {
		Principals []string `json:"principals"`
		NextToken  string   `json:"nextToken,omitempty"`
	}{orEmpty(r.Names), r.NextToken})
}
