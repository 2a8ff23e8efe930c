package jobsvc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Bounds of the service's format, the same for every installation.
const (
	MaxDocumentBytes    = 32 << 10  // of a job document as stored
	MaxMessageBytes     = 128 << 10 // of an MQTT payload, after substitution
	MaxDocumentSource   = 1350
	MaxDescription      = 2028 // characters; comments too
	MaxTargets          = 100
	MaxARN              = 2048
	MaxTimeoutMinutes   = 10080
	MaxClientTokenBytes = 1024
	MaxPageSize         = 250
	DefaultPageSize     = 100
	MinPresignExpires   = 60 * time.Second

	// DefaultPresignExpires is also the longest, unless the installation's limits allow
	// more: MaxPresignExpires is what the signature does.
	DefaultPresignExpires = 3600 * time.Second
	MaxPresignExpires     = 7 * 24 * time.Hour

	MaxRolloutPerMinute    = 1000
	MinIncrementFactor     = 11     // tenths
	MaxIncrementFactor     = 50     // tenths
	MaxThresholdPercentage = 100_00 // hundredths of a percent
	MaxRetries             = 10     // of all criteria of a job together
	MaxMaintenanceWindows  = 10
	MaxPackageVersions     = 25
	MaxTags                = 50 // of a resource
	MaxPolicyDocumentChars = 404600

	MaxStatusDetails     = 10   // pairs
	MaxStatusDetailKey   = 128  // characters
	MaxStatusDetailValue = 1024 // characters

	// MaxPending is how many executions may be pending on one thing. Where a job finds
	// no room its execution is CANCELED, and says why.
	MaxPending = 1000

	// PendingShown is how many executions per status a device is shown in a list.
	PendingShown = 10

	MaxAttributes      = 3  // of a thing without a type
	MaxTypedAttributes = 50 // of a thing with one
	MaxSearchable      = 3  // searchable attributes of a thing type
	MaxGroupAttributes = 50
	MaxGroupsPerThing  = 10
	MaxGroupDepth      = 7 // levels, the root included
	MaxGroupChildren   = 100
	MaxDynamicGroups   = 100

	maxJobAndNamespace = 83
)

var (
	jobIDPattern      = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`)
	namePattern       = regexp.MustCompile(`^[a-zA-Z0-9:_-]{1,128}$`)
	reasonCodePattern = regexp.MustCompile(`^[A-Z0-9_]{1,128}$`)
	attrNamePattern   = regexp.MustCompile(`^[a-zA-Z0-9_.,@/:#-]{1,128}$`)
	attrValuePattern  = regexp.MustCompile(`^[a-zA-Z0-9_.,@/:#=\[\]-]{0,800}$`)
	policyNamePattern = regexp.MustCompile(`^[\w+=,.@-]{1,128}$`)
)

// IsJobID tells whether s has the form of a job ID. It is the hot path's check,
// without a regular expression.
func IsJobID(s string) bool {
	if len(s) == 0 || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isAlnum(c) && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// IsThingName tells whether s has the form of the name of a thing or thing group.
func IsThingName(s string) bool { return isWord(s, 128) }

func isDetailKey(s string) bool { return isWord(s, MaxStatusDetailKey) }

// isWord is the pattern [a-zA-Z0-9:_-]{1,limit}.
func isWord(s string, limit int) bool {
	if len(s) == 0 || len(s) > limit {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isAlnum(c) && c != ':' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

func isAlnum(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// ValidateJobID checks a job ID. Errors: CodeInvalidRequest.
func ValidateJobID(id string) error { return validatePattern("jobId", id, jobIDPattern) }

// ValidateJobTemplateID checks the ID of a job template. Errors: CodeInvalidRequest.
func ValidateJobTemplateID(id string) error {
	return validatePattern("jobTemplateId", id, jobIDPattern)
}

// ValidateNamespaceID checks the namespace of a job. Errors: CodeInvalidRequest.
func ValidateNamespaceID(id string) error { return validatePattern("namespaceId", id, jobIDPattern) }

// ValidateName checks the name of a thing, thing group or thing type; field is
// the member it stands in. Errors: CodeInvalidRequest.
func ValidateName(field, name string) error { return validatePattern(field, name, namePattern) }

// ValidatePolicyName checks the name of a policy. Errors: CodeInvalidRequest.
func ValidatePolicyName(name string) error {
	return validatePattern("policyName", name, policyNamePattern)
}

func validatePattern(field, value string, p *regexp.Regexp) error {
	if p.MatchString(value) {
		return nil
	}
	return invalidValue(field, value, "Member must satisfy regular expression pattern: %s", strings.Trim(p.String(), "^$"))
}

// ValidateDocument checks the text of a job document: at most MaxDocumentBytes
// bytes of UTF-8 without a byte order mark, one JSON value. Placeholders are
// presign's to check. Errors: CodeInvalidRequest.
func ValidateDocument(doc []byte) error {
	switch {
	case len(doc) > MaxDocumentBytes:
		return Errorf(CodeInvalidRequest, "The job document has %d bytes, more than the %d allowed.", len(doc), MaxDocumentBytes)
	case !utf8.Valid(doc):
		return Errorf(CodeInvalidRequest, "The job document is not valid UTF-8.")
	case bytes.HasPrefix(doc, []byte("\xef\xbb\xbf")):
		return Errorf(CodeInvalidRequest, "The job document begins with a byte order mark.")
	case !json.Valid(doc):
		return Errorf(CodeInvalidRequest, "The job document is not valid JSON.")
	}
	return nil
}

// CheckStatusDetails checks what a device or an operator reports: so many pairs, keys of
// MaxStatusDetailKey characters, values of 1 to so many. Every character is fine in a value: AWS's own device
// client sends line feeds. Errors: CodeInvalidRequest.
func (l *Limits) CheckStatusDetails(d map[string]string) error {
	if len(d) > l.StatusDetailsPairs {
		return Errorf(CodeInvalidRequest, "statusDetails may have at most %d pairs, not %d.", l.StatusDetailsPairs, len(d))
	}
	for k, v := range d {
		if !isDetailKey(k) {
			return Errorf(CodeInvalidRequest, "The statusDetails key %q must match [a-zA-Z0-9:_-]+ and have 1 to %d characters.", clip(k), MaxStatusDetailKey)
		}
		if n := utf8.RuneCountInString(v); n < 1 || n > l.StatusDetailsChars {
			return Errorf(CodeInvalidRequest, "The value of statusDetails key %q must have 1 to %d characters, not %d.", k, l.StatusDetailsChars, n)
		}
	}
	return nil
}

// ValidateAttributes checks the attributes of a thing or a group of which at most
// limit are allowed. Errors: CodeInvalidRequest.
func ValidateAttributes(attrs map[string]string, limit int) error {
	if len(attrs) > limit {
		return Errorf(CodeInvalidRequest, "At most %d attributes are allowed, not %d.", limit, len(attrs))
	}
	for k, v := range attrs {
		if !attrNamePattern.MatchString(k) {
			return invalidValue("attributePayload.attributes", k, "Map keys must satisfy regular expression pattern: [a-zA-Z0-9_.,@/:#-]+")
		}
		if !attrValuePattern.MatchString(v) {
			return invalidValue("attributePayload.attributes", v, "Map values must satisfy regular expression pattern: [a-zA-Z0-9_.,@/:#=\\[\\]-]*")
		}
	}
	return nil
}

// validateText checks a description or comment: 1 to limit characters, none of
// Unicode's category C (control, format, unassigned).
func validateText(field, s string, limit int) error {
	n := utf8.RuneCountInString(s)
	if n < 1 || n > limit {
		return invalidValue(field, s, "Member must have length between 1 and %d", limit)
	}
	if !utf8.ValidString(s) {
		return invalidValue(field, s, "Member must be valid UTF-8")
	}
	for _, r := range s {
		// Unassigned code points are in no table of package unicode: C is what is in none.
		if unicode.Is(unicode.C, r) || !unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.P, unicode.S, unicode.Z) {
			return invalidValue(field, s, "Member must satisfy regular expression pattern: [^\\p{C}]+")
		}
	}
	return nil
}

// invalid is the service's wording of a broken constraint.
func invalid(field, format string, args ...any) *Error {
	return Errorf(CodeInvalidRequest, "1 validation error detected: Value at '%s' failed to satisfy constraint: %s", field, fmt.Sprintf(format, args...))
}

func invalidValue(field, value, format string, args ...any) *Error {
	return Errorf(CodeInvalidRequest, "1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: %s", clip(value), field, fmt.Sprintf(format, args...))
}

// Clip keeps a stranger's text that goes into a message readable: short and valid UTF-8.
func Clip(s string) string { return clip(s) }

// clip keeps a value that goes into a message to a readable length and valid UTF-8.
func clip(s string) string {
	const limit = 128
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= limit {
		return s
	}
	cut := limit
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

// NormalizeCertificateID checks the ID of a certificate, 64 hexadecimal digits, and
// gives it in lower case. Errors: CodeInvalidRequest.
func NormalizeCertificateID(id string) (string, error) {
	if len(id) != 64 || strings.Trim(id, "0123456789abcdefABCDEF") != "" {
		return "", invalidValue("certificateId", id, "Member must be 64 hexadecimal digits")
	}
	return strings.ToLower(id), nil
}

// ValidateGroupDescription checks the description of a thing group: at most
// MaxDescription characters, none of them a control character. Errors:
// CodeInvalidRequest.
func ValidateGroupDescription(s string) error {
	if s == "" {
		return nil
	}
	return validateText("thingGroupProperties.thingGroupDescription", s, MaxDescription)
}
