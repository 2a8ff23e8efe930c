package presign

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// execution is what stands in upload keys for the local placeholders.
type execution struct{ thingName, jobID, number string }

// executionOf gives what a document is for; the zero execution when it is for none.
func executionOf(doc *jobsvc.Document) execution {
	if doc.ThingName == "" || doc.JobID == "" || doc.ExecutionNumber < 1 {
		return execution{}
	}
	return execution{doc.ThingName, doc.JobID, strconv.FormatInt(doc.ExecutionNumber, 10)}
}

var (
	// anyExecution has bytes that only the * of a pattern matches: what is allowed with
	// it is allowed for every execution.
	anyExecution = execution{"\x00", "\x00", "\x00"}
	// longestExecution has the longest names there are.
	longestExecution = execution{strings.Repeat(":", 128), strings.Repeat("-", 64), strings.Repeat("9", 19)}
)

var errNoExecution = errors.New("an upload needs an execution to be for")

// maxLocal is how often each local placeholder may be in a key.
const maxLocal = 2

// parseUpload parses the body of an upload placeholder: a path-style URL, whose key is
// written raw and may have local placeholders in it.
func parseUpload(body string) (location, error) {
	if !strings.Contains(body, "://") {
		return location{}, errors.New("the location must be a URL")
	}
	l, path, err := parseHost(body)
	if err != nil {
		return location{}, err
	}
	if l.aws && (l.region == "" || l.host != awsHost(l.region, false)) {
		return location{}, errors.New("an upload at AWS is written https://s3.REGION.amazonaws.com/BUCKET/KEY")
	}
	l.upload = true
	if l, err = l.withPath(path, ""); err != nil {
		return location{}, err
	}
	plain := l.key
	for _, local := range []string{"${thingName}", "${jobId}", "${executionNumber}"} {
		if strings.Count(plain, local) > maxLocal {
			return location{}, fmt.Errorf("the key has %s more than twice", local)
		}
		plain = strings.ReplaceAll(plain, local, "")
	}
	switch {
	case strings.Contains(plain, "${"):
		return location{}, errors.New("a key of an upload can contain ${thingName}, ${jobId} and ${executionNumber} alone")
	case len(l.of(longestExecution).key) > maxKeyBytes:
		return location{}, fmt.Errorf("the key may have more than %d bytes with its placeholders replaced", maxKeyBytes)
	}
	return l, nil
}

// of gives the location with the local placeholders of its key replaced.
func (l location) of(x execution) location {
	if l.upload {
		l.key = strings.NewReplacer("${thingName}", x.thingName, "${jobId}", x.jobID, "${executionNumber}", x.number).Replace(l.key)
	}
	return l
}
