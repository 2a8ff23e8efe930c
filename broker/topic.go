package broker

import (
	"strings"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// Bounds of topics and filters, those of AWS.
const (
	maxTopicBytes   = 256
	maxTopicSlashes = 7
)

// operation is what a topic of the jobs namespace stands for.
type operation uint8

const (
	opInvalid    operation = iota // in the namespace, but no operation: answered InvalidTopic
	opServer                      // only the service publishes there
	opGetPending                  // GetPendingJobExecutions
	opStartNext                   // StartNextPendingJobExecution
	opDescribe                    // DescribeJobExecution
	opUpdate                      // UpdateJobExecution
	opCount
)

// String is the name in logs and metrics.
func (o operation) String() string {
	return [opCount]string{"invalid", "server", "get", "start-next", "describe", "update"}[o]
}

// jobsTopic is a parsed topic below $aws/things/{thing}/jobs/. Its strings are parts of the
// topic; JobID may be $next.
type jobsTopic struct {
	op               operation
	thing            string
	jobID, namespace string
}

// parseTopic tells what a topic of the jobs namespace means; ok is false for any
// other topic. It decides by the number of levels, so that jobs called get,
// update or notify stay within reach. spec: device-plane 2.2, 2.3.
func parseTopic(topic string) (t jobsTopic, ok bool) {
	rest, ok := strings.CutPrefix(topic, "$aws/things/")
	if !ok {
		return t, false
	}
	t.thing, rest, ok = strings.Cut(rest, "/")
	if !ok {
		return jobsTopic{}, false
	}
	rest, ok = strings.CutPrefix(rest, "jobs/")
	if !ok {
		return jobsTopic{}, false
	}
	if !jobsvc.IsThingName(t.thing) {
		return t, true
	}
	var level [4]string
	n := 0
	for more := true; more; n++ {
		if n == len(level) {
			return t, true
		}
		level[n], rest, more = strings.Cut(rest, "/")
	}
	switch n {
	case 1:
		t.op = oneLevel(level[0])
	case 2:
		switch {
		case isReply(level[1]) && (level[0] == "get" || level[0] == "start-next"):
			t.op = opServer
		default:
			t.jobID = level[0]
			t.op = requestOf(t.jobID, level[1])
		}
	case 3:
		if isReply(level[2]) && isVerb(level[1]) {
			t.op = opServer
			break
		}
		if ns, ok := strings.CutPrefix(level[1], "namespace-"); ok && jobsvc.IsJobID(ns) {
			t.jobID, t.namespace = level[0], ns
			t.op = requestOf(t.jobID, level[2])
		}
	case 4:
		if strings.HasPrefix(level[1], "namespace-") && isVerb(level[2]) && isReply(level[3]) {
			t.op = opServer
		}
	}
	return t, true
}

func oneLevel(s string) operation {
	switch s {
	case "get":
		return opGetPending
	case "start-next":
		return opStartNext
	case "notify", "notify-next":
		return opServer
	}
	if _, _, ok := parseNotify(s); ok {
		return opServer
	}
	return opInvalid
}

func requestOf(jobID, verb string) operation {
	switch {
	case verb == "get" && (jobID == jobsvc.NextJobID || jobsvc.IsJobID(jobID)):
		return opDescribe
	case verb == "update" && jobsvc.IsJobID(jobID):
		return opUpdate
	}
	return opInvalid
}

func isVerb(s string) bool  { return s == "get" || s == "update" }
func isReply(s string) bool { return s == "accepted" || s == "rejected" }

// parseNotify takes the last level of a notification's topic apart.
func parseNotify(s string) (next bool, namespace string, ok bool) {
	rest, ok := strings.CutPrefix(s, "notify")
	if !ok {
		return false, "", false
	}
	if rest == "" {
		return false, "", true
	}
	if after, isNext := strings.CutPrefix(rest, "-next"); isNext {
		if after == "" {
			return true, "", true
		}
		if ns, ok := strings.CutPrefix(after, "-namespace-"); ok && jobsvc.IsJobID(ns) {
			return true, ns, true
		}
	}
	ns, ok := strings.CutPrefix(rest, "-namespace-")
	return false, ns, ok && jobsvc.IsJobID(ns)
}

// notifyTopic is where a namespace's list or head is published.
func notifyTopic(thing string, next bool, namespace string) string {
	s := "$aws/things/" + thing + "/jobs/notify"
	if next {
		s += "-next"
	}
	if namespace != "" {
		s += "-namespace-" + namespace
	}
	return s
}

// topicFits tells whether a topic or filter is within the bounds of AWS. A share
// prefix does not count.
func topicFits(topic string) bool {
	return len(topic) <= maxTopicBytes && strings.Count(topic, "/") <= maxTopicSlashes
}

// cutShare takes $share/NAME/ off a filter. Letter case does not matter to mochi.
func cutShare(filter string) (rest string, shared bool) {
	const prefix = "$share/"
	if len(filter) < len(prefix) || !strings.EqualFold(filter[:len(prefix)], prefix) {
		return filter, false
	}
	_, rest, _ = strings.Cut(filter[len(prefix):], "/")
	return rest, true
}

// matches tells whether a filter, valid in MQTT, matches a topic, both given from the
// same level on, which is not the first: a leading $ means nothing.
func matches(filter, topic string) bool {
	for {
		f, frest, fmore := strings.Cut(filter, "/")
		if f == "#" {
			return true
		}
		t, trest, tmore := strings.Cut(topic, "/")
		switch {
		case f != "+" && f != t:
			return false
		case !fmore && !tmore:
			return true
		case !fmore:
			return false
		case !tmore:
			return frest == "#" // a/# takes a as well
		}
		filter, topic = frest, trest
	}
}
