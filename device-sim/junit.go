package main

import (
	"encoding/xml"
	"fmt"
	"os"
	"strings"
)

// The verdicts as JUnit has tests: what CI servers read.
type junitSuite struct {
	XMLName  xml.Name    `xml:"testsuite"`
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Time     string      `xml:"time,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Name    string    `xml:"name,attr"`
	Class   string    `xml:"classname,attr"`
	Failure *junitWhy `xml:"failure"`
	Skipped *junitWhy `xml:"skipped"`
}

type junitWhy struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// junit writes a test for each verdict, and one that all devices ended as they should.
func (r report) junit(file string) error {
	s := junitSuite{Name: "device-sim", Time: fmt.Sprintf("%.3f", r.Seconds)}
	add := func(c junitCase) {
		c.Class = "device-sim"
		s.Tests++
		if c.Failure != nil {
			s.Failures++
		}
		if c.Skipped != nil {
			s.Skipped++
		}
		s.Cases = append(s.Cases, c)
	}
	devices := junitCase{Name: "devices"}
	if r.NotOK > 0 {
		var b strings.Builder
		for _, f := range r.Failures {
			fmt.Fprintf(&b, "%s: %s\n", f.Thing, f.Reason)
		}
		devices.Failure = &junitWhy{fmt.Sprintf("%d of %d devices did not end as they should", r.NotOK, r.Devices), b.String()}
	}
	add(devices)
	for _, v := range r.Verdicts {
		c := junitCase{Name: v.Name}
		switch {
		case v.Failed > 0:
			c.Failure = &junitWhy{v.String(), strings.Join(v.Examples, "\n")}
		case v.Checked == 0:
			c.Skipped = &junitWhy{Message: "nothing to judge"}
		}
		add(c)
	}
	text, err := xml.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append([]byte(xml.Header), append(text, '\n')...), 0o644)
}
