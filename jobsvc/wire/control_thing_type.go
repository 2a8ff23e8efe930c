package wire

import "github.com/thingjobs/thingjobs/jobsvc"

// DecodeThingTypeName reads the requests that name a thing type and nothing more.
func DecodeThingTypeName(in *ControlInput) string { return in.Path["thingTypeName"] }

// DecodeCreateThingType reads POST /thing-types/{thingTypeName}.
func DecodeCreateThingType(in *ControlInput) (*jobsvc.CreateThingTypeRequest, error) {
	d := &controlDecoder{in: in}
	o := d.body()
	properties := o.object("thingTypeProperties")
	return &jobsvc.CreateThingTypeRequest{
		Name:                 d.path("thingTypeName"),
		Description:          properties.text("thingTypeDescription"),
		SearchableAttributes: properties.strings("searchableAttributes"),
		MQTT5:                properties.mqtt5Configuration(),
		Tags:                 o.tags("tags"),
	}, d.result()
}

// DecodeUpdateThingType reads PATCH /thing-types/{thingTypeName}.
func DecodeUpdateThingType(in *ControlInput) (*jobsvc.UpdateThingTypeRequest, error) {
	d := &controlDecoder{in: in}
	properties := d.body().object("thingTypeProperties")
	return &jobsvc.UpdateThingTypeRequest{
		Name:                 d.path("thingTypeName"),
		Description:          properties.string("thingTypeDescription"),
		SearchableAttributes: properties.strings("searchableAttributes"),
		MQTT5:                properties.mqtt5Configuration(),
	}, d.result()
}

func (o *object) mqtt5Configuration() *jobsvc.MQTT5Configuration {
	c := o.object("mqtt5Configuration")
	if c.empty() {
		return nil
	}
	out := &jobsvc.MQTT5Configuration{}
	for _, p := range c.objects("propagatingAttributes") {
		out.Propagating = append(out.Propagating, jobsvc.PropagatingAttribute{
			ConnectionAttribute: p.text("connectionAttribute"),
			ThingAttribute:      p.text("thingAttribute"),
			UserPropertyKey:     p.text("userPropertyKey"),
		})
	}
	return out
}

// DecodeDeprecateThingType reads POST /thing-types/{thingTypeName}/deprecate.
func DecodeDeprecateThingType(in *ControlInput) (name string, undo bool, err error) {
	d := &controlDecoder{in: in}
	return d.path("thingTypeName"), isTrue(d.body().bool("undoDeprecate")), d.result()
}

// DecodeListThingTypes reads GET /thing-types.
func DecodeListThingTypes(in *ControlInput) (*jobsvc.ListThingTypesRequest, error) {
	d := &controlDecoder{in: in}
	return &jobsvc.ListThingTypesRequest{
		NamePrefix: d.queryText("thingTypeName"),
		Page:       d.page("maxResults", "nextToken"),
	}, d.result()
}

type propagatingAttribute struct {
	ConnectionAttribute string `json:"connectionAttribute,omitempty"`
	ThingAttribute      string `json:"thingAttribute,omitempty"`
	UserPropertyKey     string `json:"userPropertyKey,omitempty"`
}

type mqtt5Configuration struct {
	PropagatingAttributes []propagatingAttribute `json:"propagatingAttributes"`
}

type thingTypeProperties struct {
	ThingTypeDescription string              `json:"thingTypeDescription,omitempty"`
	SearchableAttributes []string            `json:"searchableAttributes,omitempty"`
	MQTT5Configuration   *mqtt5Configuration `json:"mqtt5Configuration,omitempty"`
}

type thingTypeMetadata struct {
	Deprecated      bool        `json:"deprecated"`
	DeprecationDate controlTime `json:"deprecationDate,omitzero"`
	CreationDate    controlTime `json:"creationDate"`
}

type thingType struct {
	ThingTypeName       string              `json:"thingTypeName"`
	ThingTypeID         string              `json:"thingTypeId,omitempty"`
	ThingTypeARN        string              `json:"thingTypeArn"`
	ThingTypeProperties thingTypeProperties `json:"thingTypeProperties"`
	ThingTypeMetadata   thingTypeMetadata   `json:"thingTypeMetadata"`
}

func newThingType(a jobsvc.Account, y *jobsvc.ThingType) thingType {
	out := thingType{
		ThingTypeName:       y.Name,
		ThingTypeID:         y.ID,
		ThingTypeARN:        a.ARN(jobsvc.ARNThingType, y.Name),
		ThingTypeProperties: thingTypeProperties{ThingTypeDescription: y.Description, SearchableAttributes: y.SearchableAttributes},
		ThingTypeMetadata:   thingTypeMetadata{y.Deprecated, controlTime(y.DeprecatedAt), controlTime(y.CreatedAt)},
	}
	if y.MQTT5 != nil {
		c := &mqtt5Configuration{PropagatingAttributes: []propagatingAttribute{}}
		for _, p := range y.MQTT5.Propagating {
			c.PropagatingAttributes = append(c.PropagatingAttributes, propagatingAttribute(p))
		}
		out.ThingTypeProperties.MQTT5Configuration = c
	}
	return out
}

// EncodeCreateThingType answers CreateThingType.
func EncodeCreateThingType(a jobsvc.Account, y *jobsvc.ThingType) []byte {
	return encode(struct {
		ThingTypeName string `json:"thingTypeName"`
		ThingTypeARN  string `json:"thingTypeArn"`
		ThingTypeID   string `json:"thingTypeId"`
	}{y.Name, a.ARN(jobsvc.ARNThingType, y.Name), y.ID})
}

// EncodeDescribeThingType answers DescribeThingType.
func EncodeDescribeThingType(a jobsvc.Account, y *jobsvc.ThingType) []byte {
	return encode(newThingType(a, y))
}

// EncodeListThingTypes answers ListThingTypes, whose elements have no ID.
func EncodeListThingTypes(a jobsvc.Account, r *jobsvc.ListThingTypesResult) []byte {
	types := make([]thingType, 0, len(r.Types))
	for i := range r.Types {
		y := newThingType(a, &r.Types[i])
		y.ThingTypeID = ""
		types = append(types, y)
	}
	return encode(struct {
		ThingTypes []thingType `json:"thingTypes"`
		NextToken  string      `json:"nextToken,omitempty"`
	}{types, r.NextToken})
}
