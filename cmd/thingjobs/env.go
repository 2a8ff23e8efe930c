package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

type envCmd struct {
	Data string        `name:"data" default:"./thingjobs-data" help:"Data directory of the running broker."`
	Wait time.Duration `name:"wait" default:"0s" help:"How long to wait for a broker that is still starting."`
}

// Run prints what a shell needs so that unmodified AWS clients in it talk to the broker.
func (c *envCmd) Run(ctx context.Context, s streams) error {
	vars, err := shellVars(dataDir(c.Data))
	for deadline := time.Now().Add(c.Wait); err != nil && time.Now().Before(deadline) && ctx.Err() == nil; {
		time.Sleep(50 * time.Millisecond)
		vars, err = shellVars(dataDir(c.Data))
	}
	if err != nil {
		return err
	}
	return printExports(s.out, vars)
}

// shellVars gives the variables in the order they are printed.
func shellVars(dir dataDir) ([][2]string, error) {
	e, err := dir.endpoints()
	if err != nil {
		return nil, err
	}
	key, err := dir.credentials()
	if err != nil {
		return nil, err
	}
	ca, err := filepath.Abs(dir.caFile())
	if err != nil {
		return nil, err
	}
	// The shell is on this machine, whatever name devices are given.
	api := "https://localhost:" + strconv.Itoa(portOf(e.HTTPS))
	vars := [][2]string{
		{"AWS_ACCESS_KEY_ID", key.AccessKeyID},
		{"AWS_SECRET_ACCESS_KEY", key.SecretAccessKey},
		{"AWS_REGION", e.Region},
		{"AWS_DEFAULT_REGION", e.Region},
		{"AWS_ENDPOINT_URL_IOT", api},
		{"AWS_ENDPOINT_URL_IOT_JOBS_DATA_PLANE", api},
		{"AWS_CA_BUNDLE", ca},
		{"NODE_EXTRA_CA_CERTS", ca},
		{"THINGJOBS_MQTT_HOST", e.Host},
		{"THINGJOBS_MQTT_PORT", strconv.Itoa(portOf(e.MQTTS))},
		{"THINGJOBS_CA_FILE", ca},
	}
	if e.Admin != "" {
		vars = append(vars, [2]string{"THINGJOBS_ADMIN_URL", "http://" + e.Admin})
	}
	return vars, nil
}

func printExports(w io.Writer, vars [][2]string) error {
	// A session token left over from real AWS credentials would be sent along.
	if _, err := fmt.Fprintln(w, "unset AWS_SESSION_TOKEN AWS_PROFILE"); err != nil {
		return err
	}
	for _, v := range vars {
		if _, err := fmt.Fprintf(w, "export %s=%s\n", v[0], shellQuote(v[1])); err != nil {
			return err
		}
	}
	return nil
}

// shellQuote makes s one word of a POSIX shell.
func shellQuote(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
