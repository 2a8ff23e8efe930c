package httpapi_test

import (
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iot"
	"github.com/aws/aws-sdk-go-v2/service/iot/types"
)

func TestSDKThingTypes(t *testing.T) {
	c, _, _ := newSDK(t)
	ctx := t.Context()
	pump := aws.String("pump")
	properties := &types.ThingTypeProperties{
		ThingTypeDescription: aws.String("a pump"), SearchableAttributes: []string{"site"},
		Mqtt5Configuration: &types.Mqtt5Configuration{PropagatingAttributes: []types.PropagatingAttribute{{ThingAttribute: aws.String("site"), UserPropertyKey: aws.String("site")}}},
	}
	made := ok[*iot.CreateThingTypeOutput](t, "CreateThingType")(c.CreateThingType(ctx, &iot.CreateThingTypeInput{ThingTypeName: pump, ThingTypeProperties: properties}))
	again := ok[*iot.CreateThingTypeOutput](t, "CreateThingType, the same")(c.CreateThingType(ctx, &iot.CreateThingTypeInput{ThingTypeName: pump, ThingTypeProperties: properties}))
	if aws.ToString(made.ThingTypeArn) != account.ARN("thingtype", "pump") || aws.ToString(made.ThingTypeId) != aws.ToString(again.ThingTypeId) {
		t.Errorf("CreateThingType: %+v, %+v", made, again)
	}
	_, err := c.CreateThingType(ctx, &iot.CreateThingTypeInput{ThingTypeName: pump})
	if e := as[*types.ResourceAlreadyExistsException](t, "CreateThingType, other properties", err); aws.ToString(e.ResourceArn) != account.ARN("thingtype", "pump") {
		t.Errorf("what is in the way: %v", e)
	}
	_, err = c.CreateThingType(ctx, &iot.CreateThingTypeInput{ThingTypeName: aws.String("x"), ThingTypeProperties: &types.ThingTypeProperties{SearchableAttributes: []string{"a", "b", "c", "d"}}})
	as[*types.InvalidRequestException](t, "CreateThingType, four attributes", err)

	attrs := map[string]string{"a": "1", "b": "2", "c": "3", "d": "4"}
	_, err = c.CreateThing(ctx, &iot.CreateThingInput{ThingName: aws.String("t1"), AttributePayload: &types.AttributePayload{Attributes: attrs}})
	as[*types.InvalidRequestException](t, "four attributes without a type", err)
	ok[*iot.CreateThingOutput](t, "CreateThing")(c.CreateThing(ctx, &iot.CreateThingInput{ThingName: aws.String("t1"), ThingTypeName: pump, AttributePayload: &types.AttributePayload{Attributes: attrs}}))
	ok[*iot.CreateThingOutput](t, "CreateThing")(c.CreateThing(ctx, &iot.CreateThingInput{ThingName: aws.String("t2")}))
	things := ok[*iot.ListThingsOutput](t, "ListThings")(c.ListThings(ctx, &iot.ListThingsInput{ThingTypeName: pump})).Things
	if len(things) != 1 || aws.ToString(things[0].ThingName) != "t1" || aws.ToString(things[0].ThingTypeName) != "pump" {
		t.Errorf("ListThings of a type: %+v", things)
	}
	none := ok[*iot.ListThingsOutput](t, "ListThings")(c.ListThings(ctx, &iot.ListThingsInput{ThingTypeName: pump, AttributeName: aws.String("a"), AttributeValue: aws.String("9")})).Things
	if len(none) != 0 {
		t.Errorf("ListThings of a type with another attribute: %+v", none)
	}

	_, err = c.UpdateThing(ctx, &iot.UpdateThingInput{ThingName: aws.String("t1"), RemoveThingType: true})
	as[*types.InvalidRequestException](t, "remove the type that allows four attributes", err)
	_, err = c.UpdateThing(ctx, &iot.UpdateThingInput{ThingName: aws.String("t1"), RemoveThingType: true, ThingTypeName: pump})
	as[*types.InvalidRequestException](t, "remove and set a type", err)
	_, err = c.UpdateThing(ctx, &iot.UpdateThingInput{ThingName: aws.String("t1"), ExpectedVersion: aws.Int64(7)})
	as[*types.VersionConflictException](t, "UpdateThing of another version", err)
	_, err = c.UpdateThing(ctx, &iot.UpdateThingInput{ThingName: aws.String("nobody")})
	as[*types.ResourceNotFoundException](t, "UpdateThing of nobody", err)
	_, err = c.UpdateThing(ctx, &iot.UpdateThingInput{ThingName: aws.String("t1"), ThingTypeName: aws.String("nothing")})
	as[*types.ResourceNotFoundException](t, "UpdateThing, unknown type", err)
	ok[*iot.UpdateThingOutput](t, "UpdateThing, merge")(c.UpdateThing(ctx, &iot.UpdateThingInput{ThingName: aws.String("t1"), ExpectedVersion: aws.Int64(1),
		AttributePayload: &types.AttributePayload{Merge: true, Attributes: map[string]string{"a": "9", "b": ""}}}))
	got := ok[*iot.DescribeThingOutput](t, "DescribeThing")(c.DescribeThing(ctx, &iot.DescribeThingInput{ThingName: aws.String("t1")}))
	if got.Version != 2 || len(got.Attributes) != 3 || got.Attributes["a"] != "9" || aws.ToString(got.ThingTypeName) != "pump" {
		t.Errorf("DescribeThing after the merge: %+v", got)
	}
	ok[*iot.UpdateThingOutput](t, "UpdateThing, replace")(c.UpdateThing(ctx, &iot.UpdateThingInput{ThingName: aws.String("t1"), AttributePayload: &types.AttributePayload{Attributes: map[string]string{"z": "1"}}}))
	ok[*iot.UpdateThingOutput](t, "UpdateThing, nothing")(c.UpdateThing(ctx, &iot.UpdateThingInput{ThingName: aws.String("t1")}))
	got = ok[*iot.DescribeThingOutput](t, "DescribeThing")(c.DescribeThing(ctx, &iot.DescribeThingInput{ThingName: aws.String("t1")}))
	if got.Version != 4 || len(got.Attributes) != 1 || got.Attributes["z"] != "1" {
		t.Errorf("DescribeThing after replacing: %+v", got)
	}

	_, err = c.DeleteThingType(ctx, &iot.DeleteThingTypeInput{ThingTypeName: pump})
	as[*types.InvalidRequestException](t, "DeleteThingType, not deprecated", err)
	ok[*iot.DeprecateThingTypeOutput](t, "DeprecateThingType")(c.DeprecateThingType(ctx, &iot.DeprecateThingTypeInput{ThingTypeName: pump}))
	_, err = c.CreateThing(ctx, &iot.CreateThingInput{ThingName: aws.String("t3"), ThingTypeName: pump})
	as[*types.InvalidRequestException](t, "CreateThing of a deprecated type", err)
	_, err = c.DeleteThingType(ctx, &iot.DeleteThingTypeInput{ThingTypeName: pump})
	as[*types.InvalidRequestException](t, "DeleteThingType, in use", err)
	ok[*iot.UpdateThingTypeOutput](t, "UpdateThingType")(c.UpdateThingType(ctx, &iot.UpdateThingTypeInput{ThingTypeName: pump, ThingTypeProperties: &types.ThingTypeProperties{ThingTypeDescription: aws.String("old")}}))
	y := ok[*iot.DescribeThingTypeOutput](t, "DescribeThingType")(c.DescribeThingType(ctx, &iot.DescribeThingTypeInput{ThingTypeName: pump}))
	if !y.ThingTypeMetadata.Deprecated || y.ThingTypeMetadata.DeprecationDate == nil || aws.ToString(y.ThingTypeProperties.ThingTypeDescription) != "old" ||
		!slices.Equal(y.ThingTypeProperties.SearchableAttributes, []string{"site"}) || len(y.ThingTypeProperties.Mqtt5Configuration.PropagatingAttributes) != 1 {
		t.Errorf("DescribeThingType: %+v", y)
	}
	ok[*iot.DeprecateThingTypeOutput](t, "DeprecateThingType, undo")(c.DeprecateThingType(ctx, &iot.DeprecateThingTypeInput{ThingTypeName: pump, UndoDeprecate: true}))
	ok[*iot.UpdateThingOutput](t, "UpdateThing, type")(c.UpdateThing(ctx, &iot.UpdateThingInput{ThingName: aws.String("t2"), ThingTypeName: pump}))
	ok[*iot.DeprecateThingTypeOutput](t, "DeprecateThingType")(c.DeprecateThingType(ctx, &iot.DeprecateThingTypeInput{ThingTypeName: pump}))
	for _, name := range []string{"t1", "t2"} {
		ok[*iot.UpdateThingOutput](t, "UpdateThing, no type")(c.UpdateThing(ctx, &iot.UpdateThingInput{ThingName: &name, RemoveThingType: true}))
	}
	list := ok[*iot.ListThingTypesOutput](t, "ListThingTypes")(c.ListThingTypes(ctx, &iot.ListThingTypesInput{ThingTypeName: aws.String("pu")})).ThingTypes
	if len(list) != 1 || aws.ToString(list[0].ThingTypeName) != "pump" {
		t.Errorf("ListThingTypes: %+v", list)
	}
	ok[*iot.DeleteThingTypeOutput](t, "DeleteThingType")(c.DeleteThingType(ctx, &iot.DeleteThingTypeInput{ThingTypeName: pump}))
	_, err = c.DescribeThingType(ctx, &iot.DescribeThingTypeInput{ThingTypeName: pump})
	as[*types.ResourceNotFoundException](t, "DescribeThingType", err)
}

func TestSDKMemberships(t *testing.T) {
	c, _, settle := newSDK(t)
	ctx := t.Context()
	for _, g := range [][2]string{{"plant", ""}, {"north", "plant"}, {"south", "plant"}, {"blue", ""}} {
		in := &iot.CreateThingGroupInput{ThingGroupName: &g[0]}
		if g[1] != "" {
			in.ParentGroupName = &g[1]
		}
		ok[*iot.CreateThingGroupOutput](t, "CreateThingGroup")(c.CreateThingGroup(ctx, in))
	}
	pump := aws.String("pump")
	ok[*iot.CreateThingOutput](t, "CreateThing")(c.CreateThing(ctx, &iot.CreateThingInput{ThingName: pump}))
	groups := func() (names []string) {
		for _, g := range ok[*iot.ListThingGroupsForThingOutput](t, "ListThingGroupsForThing")(c.ListThingGroupsForThing(ctx, &iot.ListThingGroupsForThingInput{ThingName: pump})).ThingGroups {
			names = append(names, aws.ToString(g.GroupName))
		}
		return names
	}
	update := func(add, remove []string) error {
		_, err := c.UpdateThingGroupsForThing(ctx, &iot.UpdateThingGroupsForThingInput{ThingName: pump, ThingGroupsToAdd: add, ThingGroupsToRemove: remove})
		return err
	}
	if err := update([]string{"north", "blue"}, nil); err != nil {
		t.Error(err)
	}
	as[*types.InvalidRequestException](t, "a second group of the hierarchy", update([]string{"south"}, nil))
	as[*types.InvalidRequestException](t, "a group in both lists", update([]string{"south"}, []string{"south"}))
	as[*types.ResourceNotFoundException](t, "a group that is not", update([]string{"west"}, nil))
	if got := groups(); !slices.Equal(got, []string{"blue", "north"}) {
		t.Errorf("groups %q: a refused change changed something", got)
	}
	if err := update([]string{"south"}, []string{"north"}); err != nil { // the state afterwards counts
		t.Error(err)
	}
	if got := groups(); !slices.Equal(got, []string{"blue", "south"}) {
		t.Errorf("groups %q", got)
	}
	for range 2 { // again does nothing
		ok[*iot.RemoveThingFromThingGroupOutput](t, "RemoveThingFromThingGroup")(c.RemoveThingFromThingGroup(ctx, &iot.RemoveThingFromThingGroupInput{ThingName: pump, ThingGroupArn: aws.String(account.ARN("thinggroup", "blue"))}))
	}
	_, err := c.RemoveThingFromThingGroup(ctx, &iot.RemoveThingFromThingGroupInput{ThingName: aws.String("nobody"), ThingGroupName: aws.String("blue")})
	as[*types.ResourceNotFoundException](t, "RemoveThingFromThingGroup of nobody", err)

	properties := &types.ThingGroupProperties{ThingGroupDescription: aws.String("d"), AttributePayload: &types.AttributePayload{Attributes: map[string]string{"a": "1"}}}
	if v := ok[*iot.UpdateThingGroupOutput](t, "UpdateThingGroup")(c.UpdateThingGroup(ctx, &iot.UpdateThingGroupInput{ThingGroupName: aws.String("south"), ThingGroupProperties: properties, ExpectedVersion: aws.Int64(1)})).Version; v != 2 {
		t.Errorf("version %d", v)
	}
	_, err = c.UpdateThingGroup(ctx, &iot.UpdateThingGroupInput{ThingGroupName: aws.String("south"), ThingGroupProperties: properties, ExpectedVersion: aws.Int64(1)})
	as[*types.VersionConflictException](t, "UpdateThingGroup of another version", err)
	_, err = c.DeleteThingGroup(ctx, &iot.DeleteThingGroupInput{ThingGroupName: aws.String("plant")})
	as[*types.InvalidRequestException](t, "DeleteThingGroup with children", err)
	_, err = c.DeleteThingGroup(ctx, &iot.DeleteThingGroupInput{ThingGroupName: aws.String("south"), ExpectedVersion: aws.Int64(1)})
	as[*types.VersionConflictException](t, "DeleteThingGroup of another version", err)
	ok[*iot.DeleteThingGroupOutput](t, "DeleteThingGroup")(c.DeleteThingGroup(ctx, &iot.DeleteThingGroupInput{ThingGroupName: aws.String("south")}))
	ok[*iot.DeleteThingGroupOutput](t, "DeleteThingGroup, gone")(c.DeleteThingGroup(ctx, &iot.DeleteThingGroupInput{ThingGroupName: aws.String("south")}))
	if got := groups(); len(got) != 0 {
		t.Errorf("groups %q, though the group is gone and its sweep still to come", got)
	}
	// Another group under the name has no members, before the sweep and after it.
	ok[*iot.CreateThingGroupOutput](t, "CreateThingGroup")(c.CreateThingGroup(ctx, &iot.CreateThingGroupInput{ThingGroupName: aws.String("south")}))
	for range 2 {
		if things := ok[*iot.ListThingsInThingGroupOutput](t, "ListThingsInThingGroup")(c.ListThingsInThingGroup(ctx, &iot.ListThingsInThingGroupInput{ThingGroupName: aws.String("south")})).Things; len(things) != 0 {
			t.Errorf("things %q", things)
		}
		settle()
	}
	_, err = c.ListThingGroupsForThing(ctx, &iot.ListThingGroupsForThingInput{ThingName: aws.String("nobody")})
	as[*types.ResourceNotFoundException](t, "ListThingGroupsForThing of nobody", err)
}
