package wire

import "github.com/thingjobs/thingjobs/jobsvc"

// DecodeThingName reads the requests that name a thing and nothing more.
func DecodeThingName(in *ControlInput) string { return in.Path["thingName"] }

// DecodeCreateThing reads POST /things/{thingName}.
func DecodeCreateThing(in *ControlInput) (*jobsvc.CreateThingRequest, error) {
	d := &controlDecoder{in: in}
	o := d.body()
	if o.text("billingGroupName") != "" {
		d.fail(noBillingGroups())
	}
	return &jobsvc.CreateThingRequest{
		ThingName:  d.path("thingName"),
		TypeName:   o.text("thingTypeName"),
		Attributes: o.object("attributePayload").stringMap("attributes"),
	}, d.result()
}

// DecodeUpdateThing reads PATCH /things/{thingName}.
func DecodeUpdateThing(in *ControlInput) (*jobsvc.UpdateThingRequest, error) {
	d := &controlDecoder{in: in}
	o := d.body()
	return &jobsvc.UpdateThingRequest{
		ThingName:       d.path("thingName"),
		TypeName:        o.text("thingTypeName"),
		RemoveType:      isTrue(o.bool("removeThingType")),
		Attributes:      o.attributeUpdate(),
		ExpectedVersion: o.int64("expectedVersion"),
	}, d.result()
}

// attributeUpdate is nil when there is none. Without attributes it replaces nothing.
func (o *object) attributeUpdate() *jobsvc.AttributeUpdate {
	payload := o.object("attributePayload")
	if payload.members["attributes"] == nil {
		return nil
	}
	return &jobsvc.AttributeUpdate{Attributes: payload.stringMap("attributes"), Merge: isTrue(payload.bool("merge"))}
}

// DecodeBillingGroup refuses all requests about billing groups.
func DecodeBillingGroup(*ControlInput) error { return noBillingGroups() }

func noBillingGroups() *jobsvc.Error {
	return jobsvc.Errorf(jobsvc.CodeInvalidRequest, "Billing groups are not supported: thingjobs sends no bills.")
}

// DecodeListThings reads GET /things.
func DecodeListThings(in *ControlInput) (*jobsvc.ListThingsRequest, error) {
	d := &controlDecoder{in: in}
	return &jobsvc.ListThingsRequest{
		TypeName:       d.queryText("thingTypeName"),
		AttributeName:  d.queryText("attributeName"),
		AttributeValue: d.queryText("attributeValue"),
		Prefix:         isTrue(d.queryBool("usePrefixAttributeValue")),
		Page:           d.page("maxResults", "nextToken"),
	}, d.result()
}

// DecodeDeleteThing reads DELETE /things/{thingName}.
func DecodeDeleteThing(in *ControlInput) (*jobsvc.DeleteThingRequest, error) {
	d := &controlDecoder{in: in}
	return &jobsvc.DeleteThingRequest{
		ThingName:       d.path("thingName"),
		ExpectedVersion: d.queryInt64("expectedVersion"),
	}, d.result()
}

// EncodeCreateThing answers CreateThing.
func EncodeCreateThing(a jobsvc.Account, t *jobsvc.Thing) []byte {
	return encode(struct {
		ThingName string `json:"thingName"`
		ThingARN  string `json:"thingArn"`
		ThingID   string `json:"thingId"`
	}{t.Name, a.ARN(jobsvc.ARNThing, t.Name), t.ID})
}

// EncodeDescribeThing answers DescribeThing.
func EncodeDescribeThing(a jobsvc.Account, t *jobsvc.Thing) []byte {
	return encode(struct {
		DefaultClientID string            `json:"defaultClientId"`
		ThingName       string            `json:"thingName"`
		ThingID         string            `json:"thingId"`
		ThingARN        string            `json:"thingArn"`
		ThingTypeName   string            `json:"thingTypeName,omitempty"`
		Attributes      map[string]string `json:"attributes"`
		Version         int64             `json:"version"`
	}{t.Name, t.Name, t.ID, a.ARN(jobsvc.ARNThing, t.Name), t.TypeName, orEmptyMap(t.Attributes), t.Version})
}

type thingElement struct {
	ThingName     string            `json:"thingName"`
	ThingARN      string            `json:"thingArn"`
	ThingTypeName string            `json:"thingTypeName,omitempty"`
	Attributes    map[string]string `json:"attributes"`
	Version       int64             `json:"version"`
}

// EncodeListThings answers ListThings.
func EncodeListThings(a jobsvc.Account, r *jobsvc.ListThingsResult) []byte {
	things := make([]thingElement, 0, len(r.Things))
	for i := range r.Things {
		t := &r.Things[i]
		things = append(things, thingElement{t.Name, a.ARN(jobsvc.ARNThing, t.Name), t.TypeName, orEmptyMap(t.Attributes), t.Version})
	}
	return encode(struct {
		Things    []thingElement `json:"things"`
		NextToken string         `json:"nextToken,omitempty"`
	}{things, r.NextToken})
}

// EncodeThingNames answers ListThingsInThingGroup and ListPrincipalThings.
func EncodeThingNames(r *jobsvc.NamesResult) []byte {
	return encode(struct {
		Things    []string `json:"things"`
		NextToken string   `json:"nextToken,omitempty"`
	}{orEmpty(r.Names), r.NextToken})
}
