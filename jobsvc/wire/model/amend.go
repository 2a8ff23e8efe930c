package model

import "slices"

// What the service has that the published model does not, and bounds that its
// documentation gives and the model leaves open. Each line says which.
func init() {
	// Newer than the model.
	add("AttachThingPrincipalRequest", Member{Name: "thingPrincipalType", Shape: "ThingPrincipalType", In: InQuery})
	add("ThingTypeProperties", Member{Name: "mqtt5Configuration", Shape: "Mqtt5Configuration"})
	shapes["ThingPrincipalType"] = &Shape{Kind: String, Enum: []string{"EXCLUSIVE_THING", "NON_EXCLUSIVE_THING"}}
	shapes["Mqtt5Configuration"] = &Shape{Kind: Structure, Members: []Member{{Name: "propagatingAttributes", Shape: "PropagatingAttributeList"}}}
	shapes["PropagatingAttributeList"] = &Shape{Kind: List, Value: "PropagatingAttribute"}
	shapes["PropagatingAttribute"] = &Shape{Kind: Structure, Members: []Member{
		{Name: "connectionAttribute", Shape: "ConnectionAttributeName"},
		{Name: "thingAttribute", Shape: "AttributeName"},
		{Name: "userPropertyKey", Shape: "UserPropertyKeyName"},
	}}
	shapes["ConnectionAttributeName"] = &Shape{Kind: String, Min: bound(1), Max: bound(128), Pattern: `[a-zA-Z0-9:$.]+`}
	shapes["UserPropertyKeyName"] = &Shape{Kind: String, Min: bound(1), Max: bound(128), Pattern: `[a-zA-Z0-9:$.]+`}
	derive("ListThingPrincipalsV2", "ListThingPrincipals", Member{Name: "thingPrincipalType", Shape: "ThingPrincipalType", In: InQuery})
	derive("ListPrincipalThingsV2", "ListPrincipalThings", Member{Name: "thingPrincipalType", Shape: "ThingPrincipalType", In: InQuery})
	derive("UpdateThingType", "DescribeThingType", Member{Name: "thingTypeProperties", Shape: "ThingTypeProperties"})
	shapes["AttributeValue"].Pattern = `[a-zA-Z0-9_.,@/:#=\[\]-]*`

	// Bounds of the documentation.
	shapes["InProgressTimeoutInMinutes"].Min, shapes["InProgressTimeoutInMinutes"].Max = bound(1), bound(10080)
	shapes["NamespaceId"].Max = bound(64)

	// What an installation may raise is bounded by its limits.
	shapes["RolloutRatePerMinute"].Max = nil
	shapes["ExpiresInSec"].Max = bound(604800) // what the signature allows

	// The document is bounded in bytes, by the domain; its length in characters is not more.
	// StatusDetails of the control plane: the model has no upper bound, the domain has.
}

func add(shape string, m Member) {
	s := shapes[shape]
	s.Members = append(s.Members, m)
}

// derive makes an operation of which the request is that of another with more members.
func derive(name, from string, more ...Member) {
	base := operations[from]
	shapes[name+"Request"] = &Shape{Kind: Structure, Members: append(slices.Clone(shapes[base.Input].Members), more...)}
	operations[name] = &Operation{Name: name, Input: name + "Request", Errors: base.Errors}
}
