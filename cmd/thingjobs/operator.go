package main

import (
	"context"
	"fmt"
	"net/url"
	"text/tabwriter"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// operatorCmd manages who may use the control plane.
type operatorCmd struct {
	Data string `name:"data" default:"./thingjobs-data" help:"Data directory of the running broker."`

	Create operatorCreateCmd `cmd:"" help:"Make an access key for an operator. The secret is shown once."`
	List   operatorListCmd   `cmd:"" help:"List the access keys, without secrets."`
	Revoke operatorRevokeCmd `cmd:"" help:"Revoke an access key, at once."`

	Certificate operatorCertificateCmd `cmd:"" help:"Make a key and a certificate for MQTT, to subscribe to events with; prints the certificate's ID for auth.operatorCertificates."`
}

type operatorCreateCmd struct {
	Name string      `arg:"" help:"Name of the operator: letters, digits and _+=,.@-"`
	Role jobsvc.Role `name:"role" enum:"admin,operator,viewer" default:"operator" help:"admin: everything; operator: everything but access keys; viewer: reads (${enum})."`
	JSON bool        `name:"json" help:"As JSON."`
}

// accessKey is one as the broker tells it.
type accessKey struct {
	AccessKeyID     string  `json:"accessKeyId"`
	SecretAccessKey string  `json:"secretAccessKey,omitempty"`
	Name            string  `json:"name"`
	Role            string  `json:"role"`
	CreatedAt       float64 `json:"createdAt"`
}

func (c *operatorCreateCmd) Run(ctx context.Context, s streams, parent *operatorCmd) error {
	cl, err := localClient(dataDir(parent.Data))
	if err != nil {
		return err
	}
	var k accessKey
	in := map[string]string{"name": c.Name, "role": string(c.Role)}
	if err := cl.call(ctx, "POST", "/operators/access-keys", nil, in, &k); err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(s.out, k)
	}
	fmt.Fprintf(s.err, "Access key of %s, role %s. The secret is not shown again.\n", k.Name, k.Role)
	return printExports(s.out, [][2]string{{"AWS_ACCESS_KEY_ID", k.AccessKeyID}, {"AWS_SECRET_ACCESS_KEY", k.SecretAccessKey}})
}

type operatorListCmd struct {
	JSON bool `name:"json" help:"As JSON."`
}

func (c *operatorListCmd) Run(ctx context.Context, s streams, parent *operatorCmd) error {
	cl, err := localClient(dataDir(parent.Data))
	if err != nil {
		return err
	}
	keys := []accessKey{}
	for token := ""; ; {
		var page struct {
			AccessKeys []accessKey `json:"accessKeys"`
			NextToken  string      `json:"nextToken"`
		}
		if err := cl.call(ctx, "GET", "/operators/access-keys?nextToken="+url.QueryEscape(token), nil, nil, &page); err != nil {
			return err
		}
		keys = append(keys, page.AccessKeys...)
		if token = page.NextToken; token == "" {
			break
		}
	}
	if c.JSON {
		return writeJSON(s.out, keys)
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ACCESS KEY\tROLE\tNAME\tCREATED")
	for _, k := range keys {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", k.AccessKeyID, k.Role, k.Name, time.UnixMilli(int64(k.CreatedAt*1000)).Format(time.RFC3339))
	}
	return w.Flush()
}

type operatorRevokeCmd struct {
	AccessKeyID string `arg:"" name:"access-key-id" help:"The key, as list shows it."`
}

func (c *operatorRevokeCmd) Run(ctx context.Context, s streams, parent *operatorCmd) error {
	cl, err := localClient(dataDir(parent.Data))
	if err != nil {
		return err
	}
	return cl.call(ctx, "DELETE", "/operators/access-keys/"+segment(c.AccessKeyID), nil, nil, nil)
}
