package wire

import "github.com/thingjobs/thingjobs/jobsvc"

// DecodeUpdateEventConfigurations reads PATCH /event-configurations.
func DecodeUpdateEventConfigurations(in *ControlInput) (enabled map[string]bool, err error) {
	d := &controlDecoder{in: in}
	kinds := d.body().object("eventConfigurations")
	enabled = map[string]bool{}
	for kind, v := range kinds.members {
		if v != nil {
			enabled[kind] = isTrue(kinds.object(kind).bool("Enabled")) // SDKs leave a false out
		}
	}
	return enabled, d.result()
}

type eventConfiguration struct {
	Enabled bool
}

// EncodeEventConfigurations answers DescribeEventConfigurations with every kind there is.
func EncodeEventConfigurations(c *jobsvc.EventConfigurations) []byte {
	kinds := map[string]eventConfiguration{}
	for _, kind := range jobsvc.EventKinds() {
		kinds[kind] = eventConfiguration{c.Enabled[kind]}
	}
	return encode(struct {
		EventConfigurations map[string]eventConfiguration `json:"eventConfigurations"`
		CreationDate        controlTime                   `json:"creationDate,omitzero"`
		LastModifiedDate    controlTime                   `json:"lastModifiedDate,omitzero"`
	}{kinds, controlTime(c.CreatedAt), controlTime(c.UpdatedAt)})
}
