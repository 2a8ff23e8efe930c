package jobsvc

import "time"

// What a dynamic group and SearchIndex know: one index, one version of the language.
const (
	ThingsIndex      = "AWS_Things"
	ThingGroupsIndex = "AWS_ThingGroups" // of AWS; there is none here
	QueryVersion     = "2017-09-30"
)

// DynamicGroupStatus tells whether the members of a dynamic group are those its query
// names.
type DynamicGroupStatus string

// The statuses of a dynamic group.
const (
	DynamicGroupBuilding   DynamicGroupStatus = "BUILDING"   // for the first time
	DynamicGroupRebuilding DynamicGroupStatus = "REBUILDING" // since its query changed
	DynamicGroupActive     DynamicGroupStatus = "ACTIVE"
)

// DynamicGroup is what a thing group has whose members a query names.
type DynamicGroup struct {
	QueryString string
	Status      DynamicGroupStatus
	// Build counts how often the members were looked for from the beginning.
	Build int64
	// Registered tells that every change of a thing is judged by this Build's query.
	Registered bool `json:",omitempty"`
	// After is the name of the last thing that was looked at, while Status is not ACTIVE.
	After string `json:",omitempty"`
}

// IsDynamic tells whether a query says who is a member.
func (g *ThingGroup) IsDynamic() bool { return g.Dynamic != nil }

// CreateDynamicThingGroupRequest is the input of CreateDynamicThingGroup. IndexName and
// QueryVersion "" mean the only ones there are.
type CreateDynamicThingGroupRequest struct {
	ThingGroupName string
	Description    string
	Attributes     map[string]string
	IndexName      string
	QueryString    string
	QueryVersion   string
	Tags           []Tag
}

// UpdateDynamicThingGroupRequest is the input of UpdateDynamicThingGroup. Description is
// replaced, also by ""; QueryString "" leaves the query.
type UpdateDynamicThingGroupRequest struct {
	ThingGroupName  string
	Description     string
	Attributes      *AttributeUpdate
	IndexName       string
	QueryString     string
	QueryVersion    string
	ExpectedVersion *int64
}

// Bounds of a page of SearchIndex.
const MaxSearchPage = 500

// SearchIndexRequest is the input of SearchIndex. MaxResults 0 means DefaultPageSize, and
// more than MaxSearchPage that many.
type SearchIndexRequest struct {
	IndexName    string
	QueryString  string
	QueryVersion string
	MaxResults   int
	Token        string
}

// FoundThing is a thing that SearchIndex found.
type FoundThing struct {
	Thing
	Groups      []string // static ones it is a direct member of, by name
	Connected   bool
	ConnectedAt time.Time // zero while it is not connected
}

// SearchIndexResult is a page of things, by name. A page may have fewer things than asked
// for, even none, and yet not be the last.
type SearchIndexResult struct {
	Things    []FoundThing
	NextToken string
}

// CheckIndex checks which index and version of the language are wanted. Errors:
// CodeInvalidRequest.
func CheckIndex(indexName, queryVersion string) error {
	if indexName != "" && indexName != ThingsIndex {
		return invalidValue("indexName", indexName, "Member must be %s", ThingsIndex)
	}
	if queryVersion != "" && queryVersion != QueryVersion {
		return invalidValue("queryVersion", queryVersion, "Member must be %s", QueryVersion)
	}
	return nil
}
