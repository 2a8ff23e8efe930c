package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net/url"
	"strconv"
	"text/tabwriter"
	"time"
)

// denialsCmd lists what connections of MQTT were refused since the broker started.
type denialsCmd struct {
	Data     string `name:"data" default:"./thingjobs-data" help:"Data directory of the running broker."`
	Thing    string `name:"thing" help:"Only those of connections that may act for the thing, or have its name as client ID."`
	ClientID string `name:"client-id" help:"Only those of a client ID."`
	Max      int    `name:"max" default:"100" help:"How many, 250 at most; the last first."`
	JSON     bool   `name:"json" help:"As JSON."`
}

// denied is a refusal as the broker tells it.
type denied struct {
	What          string   `json:"what"`
	ClientID      string   `json:"clientId,omitempty"`
	CertificateID string   `json:"certificateId,omitempty"`
	Address       string   `json:"address,omitempty"`
	Things        []string `json:"things,omitempty"`
	Topic         string   `json:"topic,omitempty"`
	Reason        string   `json:"reason"`
	Suggestion    string   `json:"suggestion,omitempty"`
	Count         int64    `json:"count"`
	FirstAt       float64  `json:"firstAt"`
	LastAt        float64  `json:"lastAt"`
}

// Run prints two lines for each: who and what, then why and what may have been meant.
func (c *denialsCmd) Run(ctx context.Context, s streams) error {
	cl, err := localClient(dataDir(c.Data))
	if err != nil {
		return err
	}
	q := url.Values{"maxResults": {strconv.Itoa(c.Max)}}
	if c.Thing != "" {
		q.Set("thingName", c.Thing)
	}
	if c.ClientID != "" {
		q.Set("clientId", c.ClientID)
	}
	var list struct {
		Denials []denied `json:"denials"`
	}
	if err := cl.call(ctx, "GET", "/operators/denials?"+q.Encode(), nil, nil, &list); err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(s.out, list.Denials)
	}
	if len(list.Denials) == 0 {
		fmt.Fprintln(s.err, "Nothing was refused since the broker started, or no more is known.")
		return nil
	}
	var table bytes.Buffer // the reasons between its lines would end the columns
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "LAST\tTIMES\tWHAT\tCLIENT ID\tADDRESS\tTOPIC")
	for _, d := range list.Denials {
		at := time.UnixMilli(int64(d.LastAt * 1000)).Format(time.RFC3339)
		// Client IDs and topics are a stranger's words: they must not steer the terminal.
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\n", at, d.Count, d.What, printable(cmp.Or(d.ClientID, "-")), cmp.Or(d.Address, "-"), printable(cmp.Or(d.Topic, "-")))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	lines := bytes.SplitAfter(table.Bytes(), []byte("\n"))
	s.out.Write(lines[0])
	for i, d := range list.Denials {
		why := d.Reason
		if d.Suggestion != "" {
			why += "; " + d.Suggestion
		}
		fmt.Fprintf(s.out, "%s  %s\n", lines[i+1], printable(why))
	}
	return nil
}

// printable shows control characters as they are written in Go.
func printable(s string) string {
	q := strconv.QuoteToGraphic(s)
	q = q[1 : len(q)-1]
	if q == s {
		return s
	}
	return strconv.QuoteToGraphic(s)
}
