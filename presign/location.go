package presign

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// location is an object as a placeholder names it.
type location struct {
	// host is that of the URL as written, in lower case, with its port; "" when only
	// bucket and key were.
	host    string
	bucket  string
	key     string // decoded
	version string // decoded, "" for the latest
	upload  bool   // the object is to be put, not got; see upload.go

	// Of a host of AWS.
	aws       bool
	region    string // "" when the host has none
	dualstack bool
	china     bool // amazonaws.com.cn
}

const (
	maxKeyBytes     = 1024
	maxVersionChars = 1024
)

var (
	bucketPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$`)
	hostPattern   = regexp.MustCompile(`^([a-z0-9]([a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:.]+\])(:[0-9]{1,5})?$`)
	regionPattern = regexp.MustCompile(`^[a-z]{2}(-[a-z]+){1,2}-[0-9]+$`)
)

// parseV1 parses the body of a version 1 placeholder, whose key is written raw.
func parseV1(body string) (location, error) {
	l, path, err := parseHost(body)
	if err != nil {
		return location{}, err
	}
	return l.withPath(path, "")
}

// parseV2 parses the body of a version 2 placeholder, whose path is
// percent-encoded and may end in the version of the object.
func parseV2(body string) (location, error) {
	if !strings.Contains(body, "://") {
		return location{}, errors.New("the location must be a URL")
	}
	return parseURL(body)
}

// parseURL parses a location with percent-encoded path. The version may be behind an
// encoded question mark or a literal one; any other query is refused.
func parseURL(s string) (location, error) {
	l, rest, err := parseHost(s)
	if err != nil {
		return location{}, err
	}
	path, query, literal := strings.Cut(rest, "?")
	if strings.Contains(path, "#") || strings.ContainsAny(query, "#?&") || literal && !strings.HasPrefix(query, "versionId=") {
		return location{}, errors.New("the only query a location may have is versionId")
	}
	if path, err = unescapePercent(path); err != nil {
		return location{}, err
	}
	const mark = "?versionId="
	if literal {
		version, err := unescapePercent(strings.TrimPrefix(query, "versionId="))
		if err != nil {
			return location{}, err
		}
		path += mark + version
	}
	version := ""
	if at := strings.LastIndex(path, mark); at >= 0 {
		path, version = path[:at], path[at+len(mark):]
		if n := utf8.RuneCountInString(version); n < 1 || n > maxVersionChars || !utf8.ValidString(version) {
			return location{}, fmt.Errorf("the versionId must have 1 to %d characters", maxVersionChars)
		}
	}
	return l.withPath(path, version)
}

// withPath completes a location with the part behind the host.
func (l location) withPath(path, version string) (location, error) {
	if l.bucket == "" {
		l.bucket, path, _ = strings.Cut(path, "/")
	}
	l.key, l.version = path, version
	switch {
	case !bucketPattern.MatchString(l.bucket):
		return location{}, errors.New("the location has no valid bucket name")
	case l.key == "":
		return location{}, errors.New("the location has no key")
	case len(l.key) > maxKeyBytes:
		return location{}, fmt.Errorf("the key has more than %d bytes", maxKeyBytes)
	case !utf8.ValidString(l.key):
		return location{}, errors.New("the key is not valid UTF-8")
	}
	return l, nil
}

// parseHost takes scheme and host off a location, and with them the bucket if it is
// part of the host. A location without scheme is all path.
func parseHost(s string) (l location, path string, err error) {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return location{}, s, nil
	}
	if scheme != "https" && scheme != "http" {
		// Version 1 keys are raw: this may be a key with "://" in it.
		if strings.Contains(scheme, "/") {
			return location{}, s, nil
		}
		return location{}, "", errors.New("the location must begin with https:// or http://")
	}
	host, path, _ := strings.Cut(rest, "/")
	l.host = strings.ToLower(host)
	if !hostPattern.MatchString(l.host) {
		return location{}, "", errors.New("the location has no valid host")
	}
	name, china := strings.CutSuffix(l.host, ".amazonaws.com.cn")
	name, global := strings.CutSuffix(name, ".amazonaws.com")
	if !china && !global {
		return l, path, nil
	}
	if china && global || scheme != "https" || !l.parseAWSHost(name) || l.region != "" && china != strings.HasPrefix(l.region, "cn-") {
		return location{}, "", errors.New("the location has no S3 host of AWS that is supported")
	}
	l.aws, l.china = true, china
	return l, path, nil
}

// parseAWSHost understands the part of a host in front of .amazonaws.com: path style
// "s3", "s3.R", "s3-R", "s3.dualstack.R", or a bucket before ".s3", ".s3.R", ".s3-R".
func (l *location) parseAWSHost(name string) bool {
	if name == "s3" {
		return true
	}
	for _, prefix := range []string{"s3.dualstack.", "s3.", "s3-"} {
		if region, ok := strings.CutPrefix(name, prefix); ok && regionPattern.MatchString(region) {
			l.region, l.dualstack = region, prefix == "s3.dualstack."
			return true
		}
	}
	// Bucket names may have dots, and even ".s3." in them: the last one counts.
	dotted := name + "."
	at := max(strings.LastIndex(dotted, ".s3."), strings.LastIndex(dotted, ".s3-"))
	if at <= 0 {
		return false
	}
	l.bucket = name[:at]
	if dotted[at:] == ".s3." {
		return true
	}
	l.region = name[at+len(".s3."):]
	return regionPattern.MatchString(l.region)
}

// unescapePercent decodes %XX once. A plus stays a plus.
func unescapePercent(s string) (string, error) {
	at := strings.IndexByte(s, '%')
	if at < 0 {
		return s, nil
	}
	out := make([]byte, 0, len(s))
	for ; at >= 0; at = strings.IndexByte(s, '%') {
		out = append(out, s[:at]...)
		if len(s) < at+3 || fromHex(s[at+1]) < 0 || fromHex(s[at+2]) < 0 {
			return "", errors.New("the location has a % that is not followed by two hexadecimal digits")
		}
		out = append(out, byte(fromHex(s[at+1])<<4|fromHex(s[at+2])))
		s = s[at+3:]
	}
	return string(append(out, s...)), nil
}
