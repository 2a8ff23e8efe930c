package jobsvc

import "strings"

// Tag is a label that an operator puts on a resource.
type Tag struct {
	Key   string
	Value string // may be empty
}

// ValidateTags checks the tags a resource is to have: MaxTags at most, no key twice,
// none of those that belong to the service. Errors: CodeInvalidRequest,
// CodeLimitExceeded.
func ValidateTags(tags []Tag) error {
	if len(tags) > MaxTags {
		return Errorf(CodeLimitExceeded, "A resource may have at most %d tags, not %d.", MaxTags, len(tags))
	}
	seen := make(map[string]bool, len(tags))
	for _, t := range tags {
		if seen[t.Key] {
			return Errorf(CodeInvalidRequest, "The tag key %q is given twice.", clip(t.Key))
		}
		seen[t.Key] = true
		if len(t.Key) >= 4 && strings.EqualFold(t.Key[:4], "aws:") {
			return Errorf(CodeInvalidRequest, "The tag key %q begins with aws:, which is reserved.", clip(t.Key))
		}
	}
	return nil
}
