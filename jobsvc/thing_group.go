package jobsvc

import "time"

// ThingGroup is a group of things (AWS: DescribeThingGroup).
type ThingGroup struct {
	Name        string
	ID          string // UUID
	Parent      string // name of the parent group, "" for a root
	Description string
	Attributes  map[string]string
	Version     int64
	CreatedAt   time.Time
	Dynamic     *DynamicGroup `json:",omitempty"` // nil for a static group
}

// CreateThingGroupRequest is the input of CreateThingGroup.
type CreateThingGroupRequest struct {
	ThingGroupName string
	ParentName     string
	Description    string
	Attributes     map[string]string
	Tags           []Tag
}

// UpdateThingGroupRequest is the input of UpdateThingGroup. Description is replaced,
// also by "".
type UpdateThingGroupRequest struct {
	ThingGroupName  string
	Description     string
	Attributes      *AttributeUpdate
	ExpectedVersion *int64
}

// DeleteThingGroupRequest is the input of DeleteThingGroup.
type DeleteThingGroupRequest struct {
	ThingGroupName  string
	ExpectedVersion *int64
}

// UpdateThingGroupsForThingRequest is the input of UpdateThingGroupsForThing: names of
// groups to join and to leave, in one step.
type UpdateThingGroupsForThingRequest struct {
	ThingName   string
	Add, Remove []string
	// Override lets the thing leave its youngest dynamic groups where there is no room.
	Override bool
}

// ThingGroupDescription is what DescribeThingGroup tells. Ancestors runs from the
// root down to the direct parent.
type ThingGroupDescription struct {
	ThingGroup
	Ancestors []string
}

// ListThingGroupsRequest is the input of ListThingGroups. Recursive nil means the
// operation's default.
type ListThingGroupsRequest struct {
	Parent     string
	NamePrefix string
	Recursive  *bool
	Page       Page
}

// ListThingGroupsResult is a page of group names.
type ListThingGroupsResult struct {
	Groups    []string
	NextToken string
}

// ListThingsInThingGroupRequest is the input of ListThingsInThingGroup; with
// Recursive the members of all descendants count too, each once.
type ListThingsInThingGroupRequest struct {
	ThingGroupName string
	Recursive      bool
	Page           Page
}

// NamesResult is a page of names: things of a group, principals of a thing.
type NamesResult struct {
	Names     []string
	NextToken string
}
