package wire

import "github.com/thingjobs/thingjobs/jobsvc"

// DecodeThingName reads the requests that name a thing and nothing more.
func DecodeThingName(in *ControlInput) string { return in.Path["thingName"] }

// DecodeCreateThing reads POST /things/{thingName}.
func DecodeCreateThing(in *ControlInput) (*jobsvc.CreateThingRequest, error) {
	d := &controlDecoder{in: in}
	o := d.body()
	payload := o.object("attributePayload")
	payload.bool("merge") // there is nothing to merge with yet
	return &jobsvc.CreateThingRequest{
		ThingName:  d.path("thingName"),
		Attributes: payload.stringMap("attributes"),
		Unsupported: o.unsupported(map[string]kind{
			"billingGroupName": aString,
			"thingTypeName":    aString,
		}),
	}, d.result()
}

// DecodeListThings reads GET /things.
func DecodeListThings(in *ControlInput) (*jobsvc.ListThingsRequest, error) {
	d := &controlDecoder{in: in}
	if d.queryString("thingTypeName") != nil {
		d.refuse("thingTypeName")
	}
	return &jobsvc.ListThingsRequest{
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
		Attributes      map[string]string `json:"attributes"`
		Version         int64             `json:"version"`
	}{t.Name, t.Name, t.ID, a.ARN(jobsvc.ARNThing, t.Name), orEmptyMap(t.Attributes), t.Version})
}

type thingElement struct {
	ThingName  string            `json:"thingName"`
	ThingARN   string            `json:"thingArn"`
	Attributes map[string]string `json:"attributes"`
	Version    int64             `json:"version"`
}

// EncodeListThings answers ListThings.
func EncodeListThings(a jobsvc.Account, r *jobsvc.ListThingsResult) []byte {
	things := make([]thingElement, 0, len(r.Things))
	for i := range r.Things {
		t := &r.Things[i]
		things = append(things, thingElement{t.Name, a.ARN(jobsvc.ARNThing, t.Name), orEmptyMap(t.Attributes), t.Version})
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
