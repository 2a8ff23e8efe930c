package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// jobPlan says which jobs a run makes for its own devices.
type jobPlan struct {
	document       string        // of each job
	every          time.Duration // between two jobs; 0 for one job alone
	timeoutMinutes int           // of an execution in progress; 0 for none
	groups         int           // the devices are dealt to so many groups, and jobs go to one after the other
}

// jobMaker makes jobs over all devices of a run, as an operator.
type jobMaker struct {
	*controlPlane
	jobPlan
	prefix  string   // of the jobIds; unique to the run
	targets []string // ARNs of the thing groups
	made    int
}

func newJobMaker(c *controlPlane, p jobPlan) *jobMaker {
	return &jobMaker{controlPlane: c, jobPlan: p, prefix: "device-sim-" + strings.ToLower(newToken()[:10]) + "-"}
}

// ordinal is the jobId without what differs between two runs, so that a seed draws the same for
// the n-th job of each.
func (m *jobMaker) ordinal(jobID string) string {
	if m == nil {
		return jobID
	}
	return strings.TrimPrefix(jobID, m.prefix)
}

// jobs is what the jobIds of the run begin with; empty if it makes none.
func (m *jobMaker) jobs() string {
	if m == nil {
		return ""
	}
	return m.prefix
}

// grouping is how many things are put into the group at a time.
const grouping = 16

// gather deals all devices to thing groups.
func (m *jobMaker) gather(ctx context.Context, members []member) error {
	n := min(max(m.groups, 1), len(members))
	dealt := make([][]member, n)
	for i, d := range members {
		dealt[i%n] = append(dealt[i%n], d)
	}
	for _, group := range dealt {
		if err := m.group(ctx, group); err != nil {
			return err
		}
	}
	return nil
}

// group puts devices into a thing group, which they name. It is kept: the next run with the same
// devices finds it.
func (m *jobMaker) group(ctx context.Context, members []member) error {
	hash := sha256.New()
	for _, d := range members {
		fmt.Fprintf(hash, "%s\n", d.thing)
	}
	name := "device-sim-" + hex.EncodeToString(hash.Sum(nil)[:8])
	var group struct {
		ARN string `json:"thingGroupArn"`
	}
	if err := m.call(ctx, http.MethodPost, "/thing-groups/"+name, struct{}{}, &group); err != nil {
		return err
	}
	m.targets = append(m.targets, group.ARN)
	has, err := m.things(ctx, name)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wait sync.WaitGroup
	slots := make(chan struct{}, grouping)
	for _, d := range members {
		if has[d.thing] || ctx.Err() != nil {
			continue
		}
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			err := m.call(ctx, http.MethodPut, "/thing-groups/addThingToThingGroup",
				map[string]string{"thingGroupName": name, "thingName": d.thing}, nil)
			if err != nil {
				cancel(err)
			}
		})
	}
	wait.Wait()
	return context.Cause(ctx)
}

// things lists who is in a group.
func (m *jobMaker) things(ctx context.Context, group string) (map[string]bool, error) {
	all := make(map[string]bool)
	query := url.Values{"maxResults": {"250"}}
	for {
		var page struct {
			Things []string `json:"things"`
			Next   string   `json:"nextToken"`
		}
		if err := m.call(ctx, http.MethodGet, "/thing-groups/"+group+"/things?"+query.Encode(), nil, &page); err != nil {
			return nil, err
		}
		for _, t := range page.Things {
			all[t] = true
		}
		if page.Next == "" {
			return all, nil
		}
		query.Set("nextToken", page.Next)
	}
}

// create makes the next job.
func (m *jobMaker) create(ctx context.Context) error {
	target := m.targets[m.made%len(m.targets)]
	m.made++
	job := map[string]any{"targets": []string{target}, "document": m.document}
	if m.timeoutMinutes > 0 {
		job["timeoutConfig"] = map[string]int{"inProgressTimeoutInMinutes": m.timeoutMinutes}
	}
	return m.call(ctx, http.MethodPut, "/jobs/"+m.last(), job, nil)
}

// last is the jobId of the last job made.
func (m *jobMaker) last() string { return fmt.Sprintf("%s%d", m.prefix, m.made) }

// run makes the jobs until stop is closed or ctx ends: the first at once.
func (m *jobMaker) run(ctx context.Context, stop <-chan struct{}) error {
	if err := m.create(ctx); err != nil || m.every == 0 {
		return err
	}
	next := time.NewTicker(m.every)
	defer next.Stop()
	for {
		select {
		case <-next.C:
			if err := m.create(ctx); err != nil {
				return err
			}
		case <-stop:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}
