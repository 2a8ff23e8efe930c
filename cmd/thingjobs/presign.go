package main

import (
	"context"
	"fmt"
	"strconv"
	"text/tabwriter"
)

// presignCmd is about the presigned URLs of jobs.
type presignCmd struct {
	Data string `name:"data" default:"./thingjobs-data" help:"Data directory of the running broker."`

	Check presignCheckCmd `cmd:"" help:"Let the running broker sign the URLs of a job and fetch the first byte of each; uploads are signed, not tried. Fails if one fails."`
}

type presignCheckCmd struct {
	Job  string `arg:"" help:"The job."`
	JSON bool   `name:"json" help:"As JSON."`
}

// presignedURLCheck is one as the broker tells it.
type presignedURLCheck struct {
	Method    string `json:"method"`
	Bucket    string `json:"bucket"`
	Key       string `json:"key"`
	VersionID string `json:"versionId,omitempty"`
	Result    string `json:"result"`
	Detail    string `json:"detail"`
	Bytes     *int64 `json:"bytes,omitempty"`
}

func (c *presignCheckCmd) Run(ctx context.Context, s streams, parent *presignCmd) error {
	cl, err := localClient(dataDir(parent.Data))
	if err != nil {
		return err
	}
	var answer struct {
		Checks []presignedURLCheck `json:"checks"`
	}
	if err := cl.call(ctx, "POST", "/operators/jobs/"+segment(c.Job)+"/check-presigned-urls", nil, nil, &answer); err != nil {
		return err
	}
	failed := 0
	for _, r := range answer.Checks {
		if r.Result == "FAILED" {
			failed++
		}
	}
	switch {
	case c.JSON:
		err = writeJSON(s.out, answer.Checks)
	case len(answer.Checks) == 0:
		_, err = fmt.Fprintln(s.out, "The document of the job has no placeholders.")
	default:
		w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "RESULT\tMETHOD\tBYTES\tOBJECT\tVERSION\tDETAIL")
		for _, r := range answer.Checks {
			bytes, version := "-", r.VersionID
			if r.Bytes != nil {
				bytes = strconv.FormatInt(*r.Bytes, 10)
			}
			if version == "" {
				version = "-"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%q\t%s\t%s\n", r.Result, r.Method, bytes, r.Bucket+"/"+r.Key, version, r.Detail)
		}
		err = w.Flush()
	}
	if err == nil && failed > 0 {
		err = fmt.Errorf("%d of %d URLs cannot be used", failed, len(answer.Checks))
	}
	return err
}
