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
