package wire

import (
	"math"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// DecodeCreateDynamicThingGroup reads POST /dynamic-thing-groups/{thingGroupName}.
func DecodeCreateDynamicThingGroup(in *ControlInput) (*jobsvc.CreateDynamicThingGroupRequest, error) {
	d := &controlDecoder{in: in}
	o := d.body()
	properties := o.object("thingGroupProperties")
	return &jobsvc.CreateDynamicThingGroupRequest{
		ThingGroupName: d.path("thingGroupName"),
		Description:    properties.text("thingGroupDescription"),
		Attributes:     properties.object("attributePayload").stringMap("attributes"),
		IndexName:      o.text("indexName"),
		QueryString:    o.text("queryString"),
		QueryVersion:   o.text("queryVersion"),
		Tags:           o.tags("tags"),
	}, d.result()
}

// DecodeUpdateDynamicThingGroup reads PATCH /dynamic-thing-groups/{thingGroupName}.
func DecodeUpdateDynamicThingGroup(in *ControlInput) (*jobsvc.UpdateDynamicThingGroupRequest, error) {
	d := &controlDecoder{in: in}
	o := d.body()
	properties := o.object("thingGroupProperties")
	return &jobsvc.UpdateDynamicThingGroupRequest{
		ThingGroupName:  d.path("thingGroupName"),
		Description:     properties.text("thingGroupDescription"),
		Attributes:      properties.attributeUpdate(),
		IndexName:       o.text("indexName"),
		QueryString:     o.text("queryString"),
		QueryVersion:    o.text("queryVersion"),
		ExpectedVersion: o.int64("expectedVersion"),
	}, d.result()
}

// DecodeSearchIndex reads POST /indices/search.
func DecodeSearchIndex(in *ControlInput) (*jobsvc.SearchIndexRequest, error) {
	d := &controlDecoder{in: in}
	o := d.body()
	return &jobsvc.SearchIndexRequest{
		IndexName:    o.text("indexName"),
		QueryString:  o.text("queryString"),
		QueryVersion: o.text("queryVersion"),
		MaxResults:   int(clamp(o.given("maxResults"), math.MaxInt32)),
		Token:        o.text("nextToken"),
	}, d.result()
}

// EncodeCreateDynamicThingGroup answers CreateDynamicThingGroup.
func EncodeCreateDynamicThingGroup(a jobsvc.Account, g *jobsvc.ThingGroup) []byte {
	return encode(struct {
		ThingGroupName string `json:"thingGroupName"`
		ThingGroupARN  string `json:"thingGroupArn"`
		ThingGroupID   string `json:"thingGroupId"`
		IndexName      string `json:"indexName"`
		QueryString    string `json:"queryString"`
		QueryVersion   string `json:"queryVersion"`
	}{g.Name, a.ARN(jobsvc.ARNThingGroup, g.Name), g.ID, jobsvc.ThingsIndex, g.Dynamic.QueryString, jobsvc.QueryVersion})
}

type thingConnectivity struct {
	Connected bool  `json:"connected"`
	Timestamp int64 `json:"timestamp,omitempty"` // milliseconds
}

type thingDocument struct {
	ThingName       string            `json:"thingName"`
	ThingID         string            `json:"thingId"`
	ThingTypeName   string            `json:"thingTypeName,omitempty"`
	ThingGroupNames []string          `json:"thingGroupNames,omitempty"`
	Attributes      map[string]string `json:"attributes,omitempty"`
	Connectivity    thingConnectivity `json:"connectivity"`
}

// EncodeSearchIndex answers SearchIndex.
func EncodeSearchIndex(r *jobsvc.SearchIndexResult) []byte {
	things := make([]thingDocument, 0, len(r.Things))
	for i := range r.Things {
		f := &r.Things[i]
		t := thingDocument{ThingName: f.Name, ThingID: f.ID, ThingTypeName: f.TypeName, ThingGroupNames: f.Groups, Attributes: f.Attributes}
		if t.Connectivity.Connected = f.Connected; f.Connected {
			t.Connectivity.Timestamp = f.ConnectedAt.UnixMilli()
		}
		things = append(things, t)
	}
	return encode(struct {
		Things    []thingDocument `json:"things"`
		NextToken string          `json:"nextToken,omitempty"`
	}{things, r.NextToken})
}
