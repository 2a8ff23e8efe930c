package query_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/query"
)

var pump = &query.Thing{
	Name: "Pump-17", TypeName: "pump", Groups: []string{"plant-a", "Spare"},
	Attributes: map[string]string{"site": "North:1", "temp": "21.50", "neg": "-3", "path": "/a/b", "odd:name": "x", "list": "a=[1]", "star": "a*b"},
	Connected:  true, Timestamp: 1773136800125,
}

func TestMatch(t *testing.T) {
	for q, want := range map[string]bool{
		"*":                                    true,
		" * ":                                  true,
		"NOT *":                                false,
		"-*":                                   false,
		"thingName:Pump-17":                    true,
		"thingName:pUMP-17":                    true,
		"thingName:Pump-1":                     false,
		"thingName: Pump-17":                   true,
		"thingName:*":                          true,
		"thingName:pump-*":                     true,
		"thingName:p*1*":                       true,
		"thingName:p*1":                        false,
		"thingName:pump-1?":                    true,
		"thingName:pump-17?":                   false,
		"thingName:pu??-*7":                    true,
		`thingName:"pump-17"`:                  true,
		`thingName:"pump-*"`:                   false,
		`attributes.star:a\*b`:                 true,
		`attributes.star:a\*c`:                 false,
		`attributes.star:"a*b"`:                true,
		`thingName:pump\-17`:                   true,
		"thingName:[pump-10 TO pump-20]":       true,
		"thingName:{pump-17 TO pump-20}":       false,
		"thingName:[* TO pump-17]":             true,
		"thingName:{* TO pump-17}":             false,
		"thingName:[pump-18 TO *]":             false,
		"thingTypeName:PUMP":                   true,
		"thingTypeName:valve":                  false,
		"thingGroupNames:spare":                true,
		"thingGroupNames:plant-*":              true,
		"thingGroupNames:plant":                false,
		"-thingGroupNames:plant-b":             true,
		"thingGroupNames:(plant-b OR plant-a)": true,
		`attributes.site:North\:1`:             true,
		`attributes.site:"north:1"`:            true,
		"attributes.Site:*":                    false,
		"attributes.site:*":                    true,
		"attributes.none:*":                    false,
		"NOT attributes.none:*":                true,
		"attributes.temp:21.5":                 true,
		"attributes.temp:2.15e1":               true,
		`attributes.temp:"21.5"`:               true,
		"attributes.temp:21.51":                false,
		"attributes.temp>21":                   true,
		"attributes.temp > 21":                 true,
		"attributes.temp>21.5":                 false,
		"attributes.temp>=21.5":                true,
		"attributes.temp<9":                    false, // as numbers: 21.5 is not less than 9
		"attributes.temp<=21.5":                true,
		"attributes.temp<21.5":                 false,
		"attributes.neg:-3.0":                  true,
		"attributes.neg<-2":                    true,
		"attributes.site>0":                    false, // no number
		"attributes.none>0":                    false,
		"attributes.temp:[21 TO 22]":           true,
		"attributes.temp:[9 TO 100]":           true,
		"attributes.temp:[22 TO 100]":          false,
		"attributes.temp:{21.5 TO 22}":         false,
		"attributes.temp:[* TO *]":             true,
		"attributes.none:[* TO *]":             false,
		"attributes.site:[a TO z]":             true,
		`attributes.site:["north:0" TO "o"]`:   true,
		"attributes.site:[1 TO 2]":             false,
		`attributes.path:\/a/b`:                true,
		`attributes.odd\:name:x`:               true,
		`attributes.list:a=\[1\]`:              true,
		`attributes.list:"a=[1]"`:              true,
		"connectivity.connected:true":          true,
		"connectivity.connected:FALSE":         false,
		"connectivity.connected:*":             true,
		"connectivity.timestamp>1773136800124": true,
		"connectivity.timestamp>1773136800125": false,
		"thingName:x OR thingTypeName:pump":    true,
		"thingName:x thingTypeName:pump":       false,
		"thingName:x AND thingTypeName:pump":   false,
		"thingTypeName:pump -thingName:x":      true,
		"thingTypeName:pump NOT thingName:x":   true,
		// AND binds closer than OR.
		"thingTypeName:pump OR thingName:x AND thingName:y":   true,
		"(thingTypeName:pump OR thingName:x) AND thingName:y": false,
		"NOT (thingName:x OR thingName:y)":                    true,
		"NOT(thingName:x)AND(thingTypeName:pump)":             true,
		"thingName:(a OR \"b c\" OR p* OR [x TO z])":          true,
		"thingName:(a OR b)":                                  false,
	} {
		p, err := query.Parse(q)
		if err != nil {
			t.Errorf("%s: %v", q, err)
			continue
		}
		if got := p.Match(pump); got != want {
			t.Errorf("%s: %v, want %v", q, got, want)
		}
	}
	// What there is nothing of matches nothing; a thing called 007 is not 7.
	for _, q := range []string{"thingName:7", "thingTypeName:*", "thingGroupNames:*", "connectivity.timestamp:*", "connectivity.timestamp<9", "connectivity.connected:true"} {
		p, err := query.Parse(q)
		if err != nil || p.Match(&query.Thing{Name: "007"}) {
			t.Errorf("%s names a thing with a name alone (%v)", q, err)
		}
	}
}

func TestRefused(t *testing.T) {
	for q, want := range map[string]string{
		"":                                "character 1: a condition is missing",
		"  ":                              "a condition is missing",
		"pump":                            "begins with a field",
		`"pump"`:                          "begins with a field",
		":x":                              "begins with a field",
		"thingName":                       "begins with a field",
		"thingName:":                      "a value is missing",
		"thingName:()":                    "a value is missing",
		"thingName:(a b)":                 "separated by OR",
		"thingName:(a":                    "separated by OR",
		"thingName:(a OR)":                "a value is missing",
		"thingname:x":                     "the field thingname is not supported",
		"registry.version:1":              "not supported",
		"attributes.:x":                   "not supported",
		"attributes.a*:x":                 "no wildcards",
		"shadow.reported.a:1":             "no shadows",
		"thingName:*a":                    "must not begin with a wildcard",
		"thingName:?a":                    "must not begin with a wildcard",
		"thingName:/a.*/":                 "regular expressions",
		"thingName:a^2":                   "boosting",
		"thingName:a~":                    "fuzzy",
		"thingName:a:b":                   "needs a backslash",
		`thingName:a\`:                    "nothing follows the backslash",
		`thingName:"a`:                    "closing quote",
		`thingName:"a\`:                   "closing quote",
		"thingName>5":                     "is for attributes",
		"attributes.a>b":                  "a number must follow",
		"attributes.a>":                   "a number must follow",
		"attributes.a>*":                  "a number must follow",
		"attributes.a>NaN":                "a number must follow",
		"attributes.a>1e999":              "a number must follow",
		"attributes.a:>5":                 "without the colon",
		"attributes.a:[1 2]":              "TO is missing",
		"attributes.a:[1 TO 2":            "must end with ]",
		"attributes.a:[1 TO 2}":           "must end with ]",
		"attributes.a:{1 TO 2]":           "must end with }",
		"attributes.a:[ TO 2]":            "a value is missing before TO",
		"attributes.a:[1 TO ]":            "[a TO b]",
		"attributes.a:[1* TO 2]":          "no wildcards in ranges",
		"connectivity.connected:yes":      "true or false",
		"connectivity.connected:t*":       "true or false",
		`connectivity.connected:"1"`:      "true or false",
		"connectivity.connected:[a TO b]": "true or false",
		"thingName:a AND":                 "a condition is missing",
		"AND thingName:a":                 "before this operator",
		"thingName:a OR OR thingName:b":   "before this operator",
		"thingName:AND thingName:a":       "a value is missing before AND",
		"NOT":                             "a condition is missing",
		"NOT NOT thingName:a":             "before this operator",
		"(thingName:a":                    "a ) is missing",
		"thingName:a)":                    "without its (",
		"*a":                              "stands alone",
		"thingName:a && thingName:b":      "use AND, OR and NOT",
		"!thingName:a":                    "use AND, OR and NOT",
		"+thingName:a":                    "use AND, OR and NOT",
		"\xff":                            "UTF-8",
		strings.Repeat("* ", 8):           "at most 7 terms",
		"thingName:(1 OR 2 OR 3 OR 4 OR 5 OR 6 OR 7 OR 8)": "at most 7 terms",
		"thingName:" + strings.Repeat("a", 991):            "1001 bytes",
	} {
		p, err := query.Parse(q)
		if err == nil || p != nil || jobsvc.ErrorCode(err) != jobsvc.CodeInvalidQuery || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", q, err, want)
		}
	}
	for _, q := range []string{strings.Repeat("* ", 7), "thingName:" + strings.Repeat("a", 990), strings.Repeat("(", 499) + "*" + strings.Repeat(")", 499)} {
		if _, err := query.Parse(q); err != nil {
			t.Errorf("at the bounds: %v", err)
		}
	}
}

func TestUses(t *testing.T) {
	for q, want := range map[string]string{
		"*":                                    "false false [] false",
		"thingName:A":                          "false false [a] true",
		`thingName:(A OR "b c")`:               "false false [a b c] true",
		"thingName:a OR thingName:b":           "false false [a b] true",
		"thingName:a*":                         "false false [] false",
		"NOT thingName:a":                      "false false [] false",
		"thingName:a OR thingTypeName:b":       "false false [] false",
		"thingTypeName:b thingName:a":          "false false [a] true",
		"NOT (thingGroupNames:x)":              "true false [] false",
		"thingName:a connectivity.timestamp>5": "false true [a] true",
		"connectivity.connected:true OR thingGroupNames:x": "true true [] false",
	} {
		p, err := query.Parse(q)
		if err != nil {
			t.Errorf("%s: %v", q, err)
			continue
		}
		names, ok := p.Names()
		if got := fmt.Sprint(p.UsesGroups(), p.UsesConnectivity(), names, ok); got != want {
			t.Errorf("%s: %s, want %s", q, got, want)
		}
	}
}

// What parses answers about every thing, its negation the opposite, and the names it
// tells are those of the things it names.
func FuzzQuery(f *testing.F) {
	for _, q := range []string{"*", "thingName:a* OR -attributes.b:[1 TO *]", `thingGroupNames:("a" OR b?c)`, "connectivity.timestamp>=5 NOT thingTypeName:x", `attributes.a\:b:"\"" (thingName:x)`} {
		f.Add(q, "Pump-17", "21.5")
	}
	f.Fuzz(func(t *testing.T, text, name, value string) {
		q, err := query.Parse(text)
		if err != nil {
			if q != nil || jobsvc.ErrorCode(err) != jobsvc.CodeInvalidQuery {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		th := &query.Thing{Name: name, TypeName: value, Groups: []string{name, value}, Attributes: map[string]string{"a": value, "b": name}, Timestamp: int64(len(value))}
		yes := q.Match(th)
		if names, ok := q.Names(); ok && yes && !slices.Contains(names, strings.ToLower(name)) {
			t.Errorf("%q names %q, which is none of %q", text, name, names)
		}
		if len(text) > query.MaxBytes-10 {
			return
		}
		opposite, err := query.Parse("NOT (" + text + ")")
		if err != nil || opposite.Match(th) == yes {
			t.Errorf("%q says %v, and so does its negation (%v)", text, yes, err)
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	q, err := query.Parse("attributes.temp>20 AND thingName:pump-* AND NOT thingGroupNames:spares")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		q.Match(pump)
	}
}
