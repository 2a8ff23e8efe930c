package jobsvc

import "time"

// Thing is a device in the registry (AWS: DescribeThing). A thing deleted and
// made again under its name is another thing: ID tells them apart.
type Thing struct {
	Name       string
	ID         string // UUID
	Attributes map[string]string
	Version    int64
	CreatedAt  time.Time
}

// CreateThingRequest is the input of CreateThing.
type CreateThingRequest struct {
	ThingName  string
	Attributes map[string]string
	// Unsupported: see CreateJobRequest.
	Unsupported []string
}

// ListThingsRequest is the input of ListThings. AttributeName and AttributeValue
// filter together; with Prefix the value is a prefix.
type ListThingsRequest struct {
	AttributeName  string
	AttributeValue string
	Prefix         bool
	Page           Page
}

// ListThingsResult is a page of things, by name.
type ListThingsResult struct {
	Things    []Thing
	NextToken string
}

// DeleteThingRequest is the input of DeleteThing.
type DeleteThingRequest struct {
	ThingName       string
	ExpectedVersion *int64
}
