package jobsvc

import (
	"maps"
	"time"
)

// Thing is a device in the registry (AWS: DescribeThing). A thing deleted and
// made again under its name is another thing: ID tells them apart.
type Thing struct {
	Name       string
	ID         string // UUID
	TypeName   string // of its thing type, "" for none
	Attributes map[string]string
	Version    int64
	CreatedAt  time.Time
}

// CreateThingRequest is the input of CreateThing.
type CreateThingRequest struct {
	ThingName  string
	TypeName   string
	Attributes map[string]string
}

// UpdateThingRequest is the input of UpdateThing. TypeName "" leaves the type.
type UpdateThingRequest struct {
	ThingName       string
	TypeName        string
	RemoveType      bool
	Attributes      *AttributeUpdate
	ExpectedVersion *int64
}

// AttributeUpdate changes attributes: with Merge the given ones only, else they replace
// all there are. One with an empty value is removed.
type AttributeUpdate struct {
	Attributes map[string]string
	Merge      bool
}

// Apply gives the attributes after the update; the given map stays as it is. A nil
// update changes nothing.
func (u *AttributeUpdate) Apply(before map[string]string) map[string]string {
	if u == nil {
		return before
	}
	after := map[string]string{}
	if u.Merge {
		maps.Copy(after, before)
	}
	for k, v := range u.Attributes {
		if v == "" {
			delete(after, k)
		} else {
			after[k] = v
		}
	}
	return after
}

// ListThingsRequest is the input of ListThings. AttributeName and AttributeValue
// filter together; with Prefix the value is a prefix.
type ListThingsRequest struct {
	TypeName       string
	AttributeName  string
	AttributeValue string
	Prefix         bool
	Page           Page
}

// ListThingsResult is a page of things, by name. A page may have fewer things than
// asked for, even none, and yet not be the last.
type ListThingsResult struct {
	Things    []Thing
	NextToken string
}

// DeleteThingRequest is the input of DeleteThing.
type DeleteThingRequest struct {
	ThingName       string
	ExpectedVersion *int64
}
