package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"text/tabwriter"
)

// explainCmd tells why a device does what it does.
type explainCmd struct {
	Thing string `arg:"" help:"Name of the thing."`
	Data  string `name:"data" default:"./thingjobs-data" help:"Data directory of the running broker."`
	JSON  bool   `name:"json" help:"As JSON."`
}

// explanation is what the broker tells of a thing.
type explanation struct {
	ThingName    string   `json:"thingName"`
	Connections  []string `json:"connections"`
	Certificates []struct {
		CertificateID string `json:"certificateId"`
		Status        string `json:"status"`
		Finding       string `json:"finding"`
	} `json:"certificates"`
	Executions []struct {
		JobID           string `json:"jobId"`
		ExecutionNumber int64  `json:"executionNumber"`
		Status          string `json:"status"`
		Reason          string `json:"reason"`
	} `json:"executions"`
	Jobs []struct {
		JobID  string `json:"jobId"`
		Status string `json:"status"`
		Reason string `json:"reason"`
	} `json:"jobs"`
	OtherJobs int      `json:"otherJobs"`
	Findings  []string `json:"findings"`
}

// Run prints what the queue of a thing holds, and why nothing else comes.
func (c *explainCmd) Run(ctx context.Context, s streams) error {
	cl, err := localClient(dataDir(c.Data))
	if err != nil {
		return err
	}
	var raw json.RawMessage
	if err := cl.call(ctx, "GET", "/operators/things/"+url.PathEscape(c.Thing)+"/explanation", nil, nil, &raw); err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(s.out, raw)
	}
	var x explanation
	if err := json.Unmarshal(raw, &x); err != nil {
		return err
	}
	return x.print(s)
}

func (x *explanation) print(s streams) error {
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	connected := "no"
	if len(x.Connections) > 0 {
		connected = strings.Join(x.Connections, ", ")
	}
	fmt.Fprintf(w, "Thing\t%s\nConnected\t%s\n", x.ThingName, connected)
	for _, k := range x.Certificates {
		fmt.Fprintf(w, "Certificate\t%.12s…\t%s\t%s\n", k.CertificateID, k.Status, k.Finding)
	}
	for _, f := range x.Findings {
		fmt.Fprintf(w, "Note\t%s\n", f)
	}
	if len(x.Executions) == 0 {
		fmt.Fprintln(w, "Queue\tempty")
	}
	for i, e := range x.Executions {
		title := "Queue"
		if i > 0 {
			title = ""
		}
		fmt.Fprintf(w, "%s\t%s #%d\t%s\t%s\n", title, e.JobID, e.ExecutionNumber, e.Status, e.Reason)
	}
	for i, j := range x.Jobs {
		title := "Not there"
		if i > 0 {
			title = ""
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", title, j.JobID, j.Status, j.Reason)
	}
	if x.OtherJobs > 0 {
		fmt.Fprintf(w, "\tThe targets of %d more active jobs do not have the thing.\n", x.OtherJobs)
	}
	return w.Flush()
}
