package wire

import "github.com/thingjobs/thingjobs/jobsvc"

// DecodeThingGroupName reads the requests that name a group and nothing more.
func DecodeThingGroupName(in *ControlInput) string { return in.Path["thingGroupName"] }

// DecodeCreateThingGroup reads POST /thing-groups/{thingGroupName}.
func DecodeCreateThingGroup(in *ControlInput) (*jobsvc.CreateThingGroupRequest, error) {
	d := &controlDecoder{in: in}
	o := d.body()
	properties := o.object("thingGroupProperties")
	payload := properties.object("attributePayload")
	payload.bool("merge")
	return &jobsvc.CreateThingGroupRequest{
		ThingGroupName: d.path("thingGroupName"),
		ParentName:     o.text("parentGroupName"),
		Description:    properties.text("thingGroupDescription"),
		Attributes:     payload.stringMap("attributes"),
		Unsupported:    o.unsupported(map[string]kind{"tags": aList}),
	}, d.result()
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

// DecodeAddThingToThingGroup reads PUT /thing-groups/addThingToThingGroup, where
// both the group and the thing come by name, by ARN, or by both if they agree.
// overrideDynamicGroups has nothing to override: there are no dynamic groups.
func DecodeAddThingToThingGroup(in *ControlInput, a jobsvc.Account) (group, thing string, err error) {
	d := &controlDecoder{in: in}
	o := d.body()
	o.bool("overrideDynamicGroups")
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
	if len(g.Attributes) > 0 {
		out.ThingGroupProperties.AttributePayload = &attributePayload{g.Attributes}
	}
	return encode(out)
}

// EncodeListThingGroups answers ListThingGroups.
func EncodeListThingGroups(a jobsvc.Account, r *jobsvc.ListThingGroupsResult) []byte {
	return encode(struct {
		ThingGroups []groupElement `json:"thingGroups"`
		NextToken   string         `json:"nextToken,omitempty"`
	}{groupElements(a, r.Groups), r.NextToken})
}
