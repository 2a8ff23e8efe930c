package wire

import "github.com/thingjobs/thingjobs/jobsvc"

// DecodeThingGroupName reads the requests that name a group and nothing more.
func DecodeThingGroupName(in *ControlInput) string { return in.Path["thingGroupName"] }

// DecodeCreateThingGroup reads POST /thing-groups/{thingGroupName}.
func DecodeCreateThingGroup(in *ControlInput) (*jobsvc.CreateThingGroupRequest, error) {
	d := &controlDecoder{in: in}
	o := d.body()
	properties := o.object("thingGroupProperties")
	return &jobsvc.CreateThingGroupRequest{
		ThingGroupName: d.path("thingGroupName"),
		ParentName:     o.text("parentGroupName"),
		Description:    properties.text("thingGroupDescription"),
		Attributes:     properties.object("attributePayload").stringMap("attributes"),
		Tags:           o.tags("tags"),
	}, d.result()
}

// DecodeUpdateThingGroup reads PATCH /thing-groups/{thingGroupName}.
func DecodeUpdateThingGroup(in *ControlInput) (*jobsvc.UpdateThingGroupRequest, error) {
	d := &controlDecoder{in: in}
	o := d.body()
	properties := o.object("thingGroupProperties")
	return &jobsvc.UpdateThingGroupRequest{
		ThingGroupName:  d.path("thingGroupName"),
		Description:     properties.text("thingGroupDescription"),
		Attributes:      properties.attributeUpdate(),
		ExpectedVersion: o.int64("expectedVersion"),
	}, d.result()
}

// DecodeDeleteThingGroup reads DELETE /thing-groups/{thingGroupName}.
func DecodeDeleteThingGroup(in *ControlInput) (*jobsvc.DeleteThingGroupRequest, error) {
	d := &controlDecoder{in: in}
	return &jobsvc.DeleteThingGroupRequest{
		ThingGroupName:  d.path("thingGroupName"),
		ExpectedVersion: d.queryInt64("expectedVersion"),
	}, d.result()
}

// DecodeUpdateThingGroupsForThing reads PUT /thing-groups/updateThingGroupsForThing.
func DecodeUpdateThingGroupsForThing(in *ControlInput) (*jobsvc.UpdateThingGroupsForThingRequest, error) {
	d := &controlDecoder{in: in}
	o := d.body()
	return &jobsvc.UpdateThingGroupsForThingRequest{
		ThingName: d.required("thingName", o.string("thingName")),
		Add:       o.strings("thingGroupsToAdd"),
		Remove:    o.strings("thingGroupsToRemove"),
		Override:  isTrue(o.bool("overrideDynamicGroups")),
	}, d.result()
}

// DecodeListOfThing reads the lists of what a thing has: GET /things/{thingName}/….
func DecodeListOfThing(in *ControlInput) (thing string, p jobsvc.Page, err error) {
	d := &controlDecoder{in: in}
	return d.path("thingName"), d.page("maxResults", "nextToken"), d.result()
}

// DecodeListThingGroups reads GET /thing-groups. recursive has three values:
// without a parent, false given explicitly means the roots only.
func DecodeListThingGroups(in *ControlInput) (*jobsvc.ListThingGroupsRequest, error) {
	d := &controlDecoder{in: in}
	return &jobsvc.ListThingGroupsRequest{
		Parent:     d.queryText("parentGroup"),
		NamePrefix: d.queryText("namePrefixFilter"),
		Recursive:  d.queryBool("recursive"),
		Page:       d.page("maxResults", "nextToken"),
	}, d.result()
}

// DecodeAddThingToThingGroup reads PUT /thing-groups/addThingToThingGroup.
func DecodeAddThingToThingGroup(in *ControlInput, a jobsvc.Account) (*jobsvc.UpdateThingGroupsForThingRequest, error) {
	group, thing, err := DecodeThingAndGroup(in, a)
	if err != nil {
		return nil, err
	}
	d := &controlDecoder{in: in}
	return &jobsvc.UpdateThingGroupsForThingRequest{ThingName: thing, Add: []string{group}, Override: isTrue(d.body().bool("overrideDynamicGroups"))}, d.result()
}

// DecodeThingAndGroup reads PUT /thing-groups/addThingToThingGroup and
// removeThingFromThingGroup, where both the group and the thing come by name, by ARN, or
// by both if they agree.
func DecodeThingAndGroup(in *ControlInput, a jobsvc.Account) (group, thing string, err error) {
	d := &controlDecoder{in: in}
	o := d.body()
	group = o.nameOrARN(a, "thingGroupName", "thingGroupArn", jobsvc.ARNThingGroup)
	thing = o.nameOrARN(a, "thingName", "thingArn", jobsvc.ARNThing)
	return group, thing, d.result()
}

func (o *object) nameOrARN(a jobsvc.Account, nameMember, arnMember, kind string) string {
	name, arn := o.string(nameMember), o.string(arnMember)
	if arn == nil {
		if name == nil {
			o.d.fail(jobsvc.Errorf(jobsvc.CodeInvalidRequest, "One of %s and %s is required.", nameMember, arnMember))
			return ""
		}
		return *name
	}
	k, named, ok := a.Parse(*arn)
	switch {
	case !ok || k != kind:
		o.d.fail(jobsvc.Errorf(jobsvc.CodeNotFound, "The resource %s does not exist.", printable(*arn)))
	case name != nil && *name != named:
		o.d.fail(jobsvc.Errorf(jobsvc.CodeInvalidRequest, "%s and %s do not name the same resource.", nameMember, arnMember))
	}
	return named
}

// DecodeListThingsInThingGroup reads GET /thing-groups/{thingGroupName}/things.
func DecodeListThingsInThingGroup(in *ControlInput) (*jobsvc.ListThingsInThingGroupRequest, error) {
	d := &controlDecoder{in: in}
	return &jobsvc.ListThingsInThingGroupRequest{
		ThingGroupName: d.path("thingGroupName"),
		Recursive:      isTrue(d.queryBool("recursive")),
		Page:           d.page("maxResults", "nextToken"),
	}, d.result()
}

// EncodeCreateThingGroup answers CreateThingGroup.
func EncodeCreateThingGroup(a jobsvc.Account, g *jobsvc.ThingGroup) []byte {
	return encode(struct {
		ThingGroupName string `json:"thingGroupName"`
		ThingGroupARN  string `json:"thingGroupArn"`
		ThingGroupID   string `json:"thingGroupId"`
	}{g.Name, a.ARN(jobsvc.ARNThingGroup, g.Name), g.ID})
}

type groupElement struct {
	GroupName string `json:"groupName"`
	GroupARN  string `json:"groupArn"`
}

func groupElements(a jobsvc.Account, names []string) []groupElement {
	list := make([]groupElement, 0, len(names))
	for _, name := range names {
		list = append(list, groupElement{name, a.ARN(jobsvc.ARNThingGroup, name)})
	}
	return list
}

type attributePayload struct {
	Attributes map[string]string `json:"attributes"`
}

type thingGroupProperties struct {
	ThingGroupDescription string            `json:"thingGroupDescription,omitempty"`
	AttributePayload      *attributePayload `json:"attributePayload,omitempty"`
}

type thingGroupMetadata struct {
	ParentGroupName         string         `json:"parentGroupName,omitempty"`
	RootToParentThingGroups []groupElement `json:"rootToParentThingGroups,omitempty"`
	CreationDate            controlTime    `json:"creationDate"`
}

type thingGroup struct {
	ThingGroupName       string               `json:"thingGroupName"`
	ThingGroupID         string               `json:"thingGroupId"`
	ThingGroupARN        string               `json:"thingGroupArn"`
	Version              int64                `json:"version"`
	IndexName            string               `json:"indexName,omitempty"`
	QueryString          string               `json:"queryString,omitempty"`
	QueryVersion         string               `json:"queryVersion,omitempty"`
	Status               string               `json:"status,omitempty"`
	ThingGroupProperties thingGroupProperties `json:"thingGroupProperties"`
	ThingGroupMetadata   thingGroupMetadata   `json:"thingGroupMetadata"`
}

// EncodeDescribeThingGroup answers DescribeThingGroup.
func EncodeDescribeThingGroup(a jobsvc.Account, g *jobsvc.ThingGroupDescription) []byte {
	out := thingGroup{
		ThingGroupName:       g.Name,
		ThingGroupID:         g.ID,
		ThingGroupARN:        a.ARN(jobsvc.ARNThingGroup, g.Name),
		Version:              g.Version,
		ThingGroupProperties: thingGroupProperties{ThingGroupDescription: g.Description},
		ThingGroupMetadata: thingGroupMetadata{
			ParentGroupName:         g.Parent,
			RootToParentThingGroups: groupElements(a, g.Ancestors),
			CreationDate:            controlTime(g.CreatedAt),
		},
	}
	if d := g.Dynamic; d != nil {
		out.IndexName, out.QueryString, out.QueryVersion, out.Status = jobsvc.ThingsIndex, d.QueryString, jobsvc.QueryVersion, string(d.Status)
	}
	if len(g.Attributes) > 0 {
		out.ThingGroupProperties.AttributePayload = &attributePayload{g.Attributes}
	}
	return encode(out)
}

// EncodeVersion answers UpdateThingGroup.
func EncodeVersion(version int64) []byte {
	return encode(struct {
		Version int64 `json:"version"`
	}{version})
}

// EncodeListThingGroups answers ListThingGroups and ListThingGroupsForThing.
func EncodeListThingGroups(a jobsvc.Account, r *jobsvc.ListThingGroupsResult) []byte {
	return encode(struct {
		ThingGroups []groupElement `json:"thingGroups"`
		NextToken   string         `json:"nextToken,omitempty"`
	}{groupElements(a, r.Groups), r.NextToken})
}
