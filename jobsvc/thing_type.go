package jobsvc

import "time"

// ThingType is a kind of thing (AWS: DescribeThingType). Its name and searchable
// attributes are fixed for life.
type ThingType struct {
	Name                 string
	ID                   string // UUID
	Description          string
	SearchableAttributes []string
	MQTT5                *MQTT5Configuration
	Deprecated           bool
	DeprecatedAt         time.Time // zero unless Deprecated
	CreatedAt            time.Time
}

// MQTT5Configuration is stored and returned: nothing is propagated.
type MQTT5Configuration struct {
	Propagating []PropagatingAttribute
}

// PropagatingAttribute is an attribute of a thing or a connection that becomes a user
// property.
type PropagatingAttribute struct {
	ConnectionAttribute string `json:",omitempty"`
	ThingAttribute      string `json:",omitempty"`
	UserPropertyKey     string `json:",omitempty"`
}

// CreateThingTypeRequest is the input of CreateThingType.
type CreateThingTypeRequest struct {
	Name                 string
	Description          string
	SearchableAttributes []string
	MQTT5                *MQTT5Configuration
	Tags                 []Tag
}

// UpdateThingTypeRequest is the input of UpdateThingType; nil members stay as they are.
type UpdateThingTypeRequest struct {
	Name        string
	Description *string
	MQTT5       *MQTT5Configuration
	// SearchableAttributes can only be those there are.
	SearchableAttributes []string
}

// ListThingTypesRequest is the input of ListThingTypes.
type ListThingTypesRequest struct {
	NamePrefix string
	Page       Page
}

// ListThingTypesResult is a page of thing types, by name.
type ListThingTypesResult struct {
	Types     []ThingType
	NextToken string
}
