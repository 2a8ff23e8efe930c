package httpapi_test

import (
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iot"
	"github.com/aws/aws-sdk-go-v2/service/iot/types"
)

func TestSDKDynamicThingGroups(t *testing.T) {
	c, _, settle := newSDK(t)
	ctx := t.Context()
	for _, n := range []string{"t1", "t2", "t3"} {
		site := map[bool]string{true: "north", false: "south"}[n != "t3"]
		ok[*iot.CreateThingOutput](t, "CreateThing")(c.CreateThing(ctx, &iot.CreateThingInput{ThingName: &n, AttributePayload: &types.AttributePayload{Attributes: map[string]string{"site": site}}}))
	}
	north, static := aws.String("north"), aws.String("static")
	properties := &types.ThingGroupProperties{ThingGroupDescription: aws.String("in the north"), AttributePayload: &types.AttributePayload{Attributes: map[string]string{"k": "v"}}}
	ok[*iot.CreateThingGroupOutput](t, "CreateThingGroup")(c.CreateThingGroup(ctx, &iot.CreateThingGroupInput{ThingGroupName: static}))
	in := &iot.CreateDynamicThingGroupInput{ThingGroupName: north, QueryString: aws.String("attributes.site:north"), ThingGroupProperties: properties, Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}}
	made := ok[*iot.CreateDynamicThingGroupOutput](t, "CreateDynamicThingGroup")(c.CreateDynamicThingGroup(ctx, in))
	again := ok[*iot.CreateDynamicThingGroupOutput](t, "CreateDynamicThingGroup, the same")(c.CreateDynamicThingGroup(ctx, in))
	if aws.ToString(made.ThingGroupArn) != account.ARN("thinggroup", "north") || aws.ToString(made.ThingGroupName) != "north" || aws.ToString(made.ThingGroupId) != aws.ToString(again.ThingGroupId) ||
		aws.ToString(made.IndexName) != "AWS_Things" || aws.ToString(made.QueryVersion) != "2017-09-30" || aws.ToString(made.QueryString) != "attributes.site:north" {
		t.Errorf("CreateDynamicThingGroup: %+v, %+v", made, again)
	}
	tags := ok[*iot.ListTagsForResourceOutput](t, "ListTagsForResource")(c.ListTagsForResource(ctx, &iot.ListTagsForResourceInput{ResourceArn: made.ThingGroupArn})).Tags
	if len(tags) != 1 || aws.ToString(tags[0].Value) != "b" {
		t.Errorf("tags: %+v", tags)
	}
	describe := func() *iot.DescribeThingGroupOutput {
		return ok[*iot.DescribeThingGroupOutput](t, "DescribeThingGroup")(c.DescribeThingGroup(ctx, &iot.DescribeThingGroupInput{ThingGroupName: north}))
	}
	if g := describe(); g.Status != types.DynamicGroupStatusBuilding || aws.ToString(g.QueryString) != "attributes.site:north" || aws.ToString(g.IndexName) != "AWS_Things" ||
		aws.ToString(g.QueryVersion) != "2017-09-30" || aws.ToString(g.ThingGroupProperties.ThingGroupDescription) != "in the north" || g.ThingGroupProperties.AttributePayload.Attributes["k"] != "v" {
		t.Errorf("DescribeThingGroup: %+v", g)
	}
	settle()
	members := func() []string {
		return ok[*iot.ListThingsInThingGroupOutput](t, "ListThingsInThingGroup")(c.ListThingsInThingGroup(ctx, &iot.ListThingsInThingGroupInput{ThingGroupName: north})).Things
	}
	if got := members(); !slices.Equal(got, []string{"t1", "t2"}) || describe().Status != types.DynamicGroupStatusActive {
		t.Errorf("in the group are %q", got)
	}
	groups := ok[*iot.ListThingGroupsForThingOutput](t, "ListThingGroupsForThing")(c.ListThingGroupsForThing(ctx, &iot.ListThingGroupsForThingInput{ThingName: aws.String("t1")})).ThingGroups
	if len(groups) != 1 || aws.ToString(groups[0].GroupArn) != account.ARN("thinggroup", "north") {
		t.Errorf("t1 is in %+v", groups)
	}
	if all := ok[*iot.ListThingGroupsOutput](t, "ListThingGroups")(c.ListThingGroups(ctx, &iot.ListThingGroupsInput{})).ThingGroups; len(all) != 2 {
		t.Errorf("groups: %+v", all)
	}

	_, err := c.CreateDynamicThingGroup(ctx, &iot.CreateDynamicThingGroupInput{ThingGroupName: aws.String("x"), QueryString: aws.String("shadow.reported.a:1")})
	as[*types.InvalidQueryException](t, "an unsupported field", err)
	_, err = c.CreateDynamicThingGroup(ctx, &iot.CreateDynamicThingGroupInput{ThingGroupName: aws.String("x"), QueryString: aws.String("*"), IndexName: aws.String("AWS_ThingGroups")})
	as[*types.InvalidRequestException](t, "another index", err)
	_, err = c.CreateDynamicThingGroup(ctx, &iot.CreateDynamicThingGroupInput{ThingGroupName: static, QueryString: aws.String("*")})
	if e := as[*types.ResourceAlreadyExistsException](t, "the name of a static group", err); aws.ToString(e.ResourceArn) != account.ARN("thinggroup", "static") {
		t.Errorf("what is in the way: %+v", e)
	}
	_, err = c.UpdateThingGroup(ctx, &iot.UpdateThingGroupInput{ThingGroupName: north, ThingGroupProperties: properties})
	as[*types.InvalidRequestException](t, "UpdateThingGroup", err)
	_, err = c.AddThingToThingGroup(ctx, &iot.AddThingToThingGroupInput{ThingGroupName: north, ThingName: aws.String("t3")})
	as[*types.InvalidRequestException](t, "AddThingToThingGroup", err)
	_, err = c.DeleteThingGroup(ctx, &iot.DeleteThingGroupInput{ThingGroupName: north})
	as[*types.InvalidRequestException](t, "DeleteThingGroup", err)
	ok[*iot.AddThingToThingGroupOutput](t, "AddThingToThingGroup, override")(c.AddThingToThingGroup(ctx, &iot.AddThingToThingGroupInput{ThingGroupName: static, ThingName: aws.String("t1"), OverrideDynamicGroups: true}))

	update := func(change func(*iot.UpdateDynamicThingGroupInput)) (*iot.UpdateDynamicThingGroupOutput, error) {
		in := &iot.UpdateDynamicThingGroupInput{ThingGroupName: north, ThingGroupProperties: &types.ThingGroupProperties{}}
		change(in)
		return c.UpdateDynamicThingGroup(ctx, in)
	}
	_, err = update(func(in *iot.UpdateDynamicThingGroupInput) { in.QueryString = aws.String("(") })
	as[*types.InvalidQueryException](t, "a bad query", err)
	_, err = update(func(in *iot.UpdateDynamicThingGroupInput) { in.ExpectedVersion = aws.Int64(9) })
	as[*types.VersionConflictException](t, "another version", err)
	_, err = update(func(in *iot.UpdateDynamicThingGroupInput) { in.ThingGroupName = aws.String("none") })
	as[*types.ResourceNotFoundException](t, "no group", err)
	_, err = update(func(in *iot.UpdateDynamicThingGroupInput) { in.ThingGroupName = static })
	as[*types.InvalidRequestException](t, "a static group", err)
	updated := ok[*iot.UpdateDynamicThingGroupOutput](t, "UpdateDynamicThingGroup")(update(func(in *iot.UpdateDynamicThingGroupInput) {
		in.QueryString, in.ExpectedVersion = aws.String("thingGroupNames:static OR attributes.site:south"), aws.Int64(1)
	}))
	if updated.Version != 2 || describe().Status != types.DynamicGroupStatusRebuilding {
		t.Errorf("updated to %d, %s", updated.Version, describe().Status)
	}
	settle()
	if got := members(); !slices.Equal(got, []string{"t1", "t3"}) {
		t.Errorf("in the group are %q", got)
	}
	_, err = c.DeleteDynamicThingGroup(ctx, &iot.DeleteDynamicThingGroupInput{ThingGroupName: static})
	as[*types.InvalidRequestException](t, "DeleteDynamicThingGroup of a static group", err)
	_, err = c.DeleteDynamicThingGroup(ctx, &iot.DeleteDynamicThingGroupInput{ThingGroupName: north, ExpectedVersion: aws.Int64(1)})
	as[*types.VersionConflictException](t, "DeleteDynamicThingGroup of another version", err)
	for range 2 {
		ok[*iot.DeleteDynamicThingGroupOutput](t, "DeleteDynamicThingGroup")(c.DeleteDynamicThingGroup(ctx, &iot.DeleteDynamicThingGroupInput{ThingGroupName: north}))
	}
	_, err = c.DescribeThingGroup(ctx, &iot.DescribeThingGroupInput{ThingGroupName: north})
	as[*types.ResourceNotFoundException](t, "DescribeThingGroup", err)
	for i := range 100 {
		ok[*iot.CreateDynamicThingGroupOutput](t, "CreateDynamicThingGroup")(c.CreateDynamicThingGroup(ctx, &iot.CreateDynamicThingGroupInput{ThingGroupName: aws.String("d" + string(rune('A'+i/10)) + string(rune('0'+i%10))), QueryString: aws.String("*")}))
	}
	_, err = c.CreateDynamicThingGroup(ctx, &iot.CreateDynamicThingGroupInput{ThingGroupName: aws.String("more"), QueryString: aws.String("*")})
	as[*types.LimitExceededException](t, "an 101st group", err)
}

func TestSDKSearchIndex(t *testing.T) {
	c, e, _ := newSDK(t)
	ctx := t.Context()
	ok[*iot.CreateThingTypeOutput](t, "CreateThingType")(c.CreateThingType(ctx, &iot.CreateThingTypeInput{ThingTypeName: aws.String("pump")}))
	ok[*iot.CreateThingGroupOutput](t, "CreateThingGroup")(c.CreateThingGroup(ctx, &iot.CreateThingGroupInput{ThingGroupName: aws.String("g")}))
	made := ok[*iot.CreateThingOutput](t, "CreateThing")(c.CreateThing(ctx, &iot.CreateThingInput{ThingName: aws.String("a"), ThingTypeName: aws.String("pump"), AttributePayload: &types.AttributePayload{Attributes: map[string]string{"site": "north"}}}))
	ok[*iot.CreateThingOutput](t, "CreateThing")(c.CreateThing(ctx, &iot.CreateThingInput{ThingName: aws.String("b")}))
	ok[*iot.AddThingToThingGroupOutput](t, "AddThingToThingGroup")(c.AddThingToThingGroup(ctx, &iot.AddThingToThingGroupInput{ThingGroupName: aws.String("g"), ThingName: aws.String("a")}))
	at := time.UnixMilli(1773136800125)
	e.ThingConnected("a", true, at)
	search := func(query string, change func(*iot.SearchIndexInput)) (*iot.SearchIndexOutput, error) {
		in := &iot.SearchIndexInput{QueryString: &query}
		if change != nil {
			change(in)
		}
		return c.SearchIndex(ctx, in)
	}
	found := ok[*iot.SearchIndexOutput](t, "SearchIndex")(search("attributes.site:NORTH AND connectivity.connected:true", nil))
	if len(found.Things) != 1 || found.NextToken != nil || len(found.ThingGroups) != 0 {
		t.Fatalf("SearchIndex: %+v", found)
	}
	if a := found.Things[0]; aws.ToString(a.ThingName) != "a" || aws.ToString(a.ThingId) != aws.ToString(made.ThingId) || aws.ToString(a.ThingTypeName) != "pump" ||
		!slices.Equal(a.ThingGroupNames, []string{"g"}) || a.Attributes["site"] != "north" || !aws.ToBool(a.Connectivity.Connected) || aws.ToInt64(a.Connectivity.Timestamp) != at.UnixMilli() {
		t.Errorf("found %+v, %+v", a, a.Connectivity)
	}
	first := ok[*iot.SearchIndexOutput](t, "SearchIndex, a page")(search("*", func(in *iot.SearchIndexInput) { in.MaxResults = aws.Int32(1) }))
	rest := ok[*iot.SearchIndexOutput](t, "SearchIndex, the next")(search("*", func(in *iot.SearchIndexInput) { in.NextToken, in.MaxResults = first.NextToken, aws.Int32(1000) }))
	if len(first.Things) != 1 || len(rest.Things) != 1 || aws.ToString(rest.Things[0].ThingName) != "b" || aws.ToBool(rest.Things[0].Connectivity.Connected) || rest.NextToken != nil {
		t.Errorf("pages: %+v, %+v", first, rest)
	}
	_, err := search("thingName:*", func(in *iot.SearchIndexInput) { in.NextToken = first.NextToken })
	as[*types.InvalidRequestException](t, "a token of another query", err)
	_, err = search("pump", nil)
	as[*types.InvalidQueryException](t, "no field", err)
	_, err = search("*", func(in *iot.SearchIndexInput) { in.IndexName = aws.String("AWS_ThingGroups") })
	as[*types.InvalidRequestException](t, "the index of groups", err)
	_, err = search("*", func(in *iot.SearchIndexInput) { in.IndexName = aws.String("mine") })
	as[*types.ResourceNotFoundException](t, "an unknown index", err)
	_, err = search("*", func(in *iot.SearchIndexInput) { in.QueryVersion = aws.String("2018") })
	as[*types.InvalidRequestException](t, "an unknown version", err)
}
