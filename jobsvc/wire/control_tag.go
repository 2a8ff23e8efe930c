package wire

import "github.com/thingjobs/thingjobs/jobsvc"

// tags reads a list of tags, whose members AWS capitalises.
func (o *object) tags(member string) []jobsvc.Tag {
	var tags []jobsvc.Tag
	for _, t := range o.objects(member) {
		tags = append(tags, jobsvc.Tag{Key: t.text("Key"), Value: t.text("Value")})
	}
	return tags
}

// DecodeTagResource reads POST /tags.
func DecodeTagResource(in *ControlInput) (arn string, tags []jobsvc.Tag, err error) {
	d := &controlDecoder{in: in}
	o := d.body()
	return o.text("resourceArn"), o.tags("tags"), d.result()
}

// DecodeUntagResource reads POST /untag.
func DecodeUntagResource(in *ControlInput) (arn string, keys []string, err error) {
	d := &controlDecoder{in: in}
	o := d.body()
	return o.text("resourceArn"), o.strings("tagKeys"), d.result()
}

// DecodeListTagsForResource reads GET /tags. All tags come on one page: a token is none
// of ours.
func DecodeListTagsForResource(in *ControlInput) (arn string, err error) {
	d := &controlDecoder{in: in}
	if d.queryText("nextToken") != "" {
		d.fail(jobsvc.Errorf(jobsvc.CodeInvalidRequest, "The nextToken is not one that an earlier answer to this request gave."))
	}
	return d.queryText("resourceArn"), d.result()
}

type tag struct {
	Key   string
	Value string
}

// EncodeTags answers ListTagsForResource.
func EncodeTags(tags []jobsvc.Tag) []byte {
	list := make([]tag, 0, len(tags))
	for _, t := range tags {
		list = append(list, tag(t))
	}
	return encode(struct {
		Tags []tag `json:"tags"`
	}{list})
}
