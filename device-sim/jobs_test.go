package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// TestCreateJobs: the run puts its devices into a group, those that are not there, and makes a job
// for it when all are connected. What it draws does not depend on the jobId.
func TestCreateJobs(t *testing.T) {
	b := newBench(t, 3, 1000)
	var (
		mu    sync.Mutex
		added []string
		jobs  []string
	)
	mux := http.NewServeMux()
	reply := func(w http.ResponseWriter, v any) { _ = json.NewEncoder(w).Encode(v) }
	mux.HandleFunc("POST /thing-groups/{name}", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, map[string]string{"thingGroupArn": "arn:group"})
	})
	mux.HandleFunc("GET /thing-groups/{name}/things", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("nextToken") == "" {
			reply(w, map[string]any{"things": []string{}, "nextToken": "more"})
			return
		}
		reply(w, map[string]any{"things": []string{b.things[1]}})
	})
	mux.HandleFunc("PUT /thing-groups/addThingToThingGroup", func(w http.ResponseWriter, r *http.Request) {
		var in struct{ ThingName string }
		_ = json.NewDecoder(r.Body).Decode(&in)
		mu.Lock()
		defer mu.Unlock()
		added = append(added, in.ThingName)
		reply(w, struct{}{})
	})
	mux.HandleFunc("PUT /jobs/{id}", func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Targets       []string
			Document      string
			TimeoutConfig struct{ InProgressTimeoutInMinutes int }
		}
		_ = json.NewDecoder(r.Body).Decode(&in)
		if !slices.Equal(in.Targets, []string{"arn:group"}) || in.Document != `{"op":"x"}` || in.TimeoutConfig.InProgressTimeoutInMinutes != 2 {
			t.Errorf("CreateJob %+v", in)
		}
		mu.Lock()
		defer mu.Unlock()
		jobs = append(jobs, r.PathValue("id"))
		for _, thing := range b.things {
			b.create(thing, r.PathValue("id"), func() string { return in.Document })
		}
		reply(w, struct{}{})
	})
	mux.HandleFunc("GET /jobs/{id}", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, map[string]any{"job": map[string]any{"jobProcessDetails": map[string]int{"numberOfSucceededThings": 1, "numberOfFailedThings": 2}}})
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	t.Setenv("AWS_ENDPOINT_URL_IOT", server.URL)
	t.Setenv("AWS_REGION", "us-east-1")
	t.Setenv("AWS_ACCESS_KEY_ID", "operator")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")

	seed := int64(0) // one that draws what the counters say
	drawn := func(seed int64) (failed int) {
		for _, thing := range b.things {
			if decide(seed, thing, executionKey{"1", 1}, odds{fail: 50}, 0).status == statusFailed {
				failed++
			}
		}
		return failed
	}
	for drawn(seed) != 2 {
		seed++
	}
	res := b.run(t, "--create-jobs", "--job-document", `{"op":"x"}`, "--job-timeout", "2m", "--fail", "50", "--seed", strconv.FormatInt(seed, 10))
	res.wantStatus(t, exitOK)
	slices.Sort(added)
	if !slices.Equal(added, []string{b.things[0], b.things[2]}) || len(jobs) != 1 {
		t.Errorf("added %v, jobs %v", added, jobs)
	}
}

func TestCreateJobsMistakes(t *testing.T) {
	t.Setenv("AWS_ENDPOINT_URL_IOT", "http://127.0.0.1:1")
	t.Setenv("AWS_REGION", "us-east-1")
	t.Setenv("AWS_ACCESS_KEY_ID", "operator")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	b := newBench(t, 1, 0)
	for _, args := range [][]string{{"--create-jobs"}, {"--job-every", "1s"}, {"--create-jobs", "--job-timeout", "90s"}} {
		b.run(t, args...).wantStatus(t, exitUsage)
	}
}

// TestJobGroups: jobs go to one group after the other.
func TestJobGroups(t *testing.T) {
	var (
		mu      sync.Mutex
		members = make(map[string][]string)
		targets []string
	)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /thing-groups/{name}", func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(`{"thingGroupArn":"` + r.PathValue("name") + `"}`))
	})
	mux.HandleFunc("GET /thing-groups/{name}/things", func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(`{"things":[]}`))
	})
	mux.HandleFunc("PUT /thing-groups/addThingToThingGroup", func(w http.ResponseWriter, r *http.Request) {
		var in struct{ ThingGroupName, ThingName string }
		_ = json.NewDecoder(r.Body).Decode(&in)
		mu.Lock()
		defer mu.Unlock()
		members[in.ThingGroupName] = append(members[in.ThingGroupName], in.ThingName)
		_, _ = w.Write([]byte(`{}`))
	})
	mux.HandleFunc("PUT /jobs/{id}", func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Targets []string }
		_ = json.NewDecoder(r.Body).Decode(&in)
		targets = append(targets, in.Targets...)
		_, _ = w.Write([]byte(`{}`))
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	m := newJobMaker(&controlPlane{url: server.URL, http: server.Client(), region: "r"}, jobPlan{document: "{}", groups: 2})
	if err := m.gather(t.Context(), []member{{identity: identity{thing: "a"}}, {identity: identity{thing: "b"}}, {identity: identity{thing: "c"}}}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := m.create(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var got [][]string
	for _, target := range targets {
		slices.Sort(members[target])
		got = append(got, members[target])
	}
	if want := [][]string{{"a", "c"}, {"b"}, {"a", "c"}}; !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("jobs for %v, want %v", got, want)
	}
}

// TestLoadCreateJobs: the load reports on the job of the run, not on what is before it in the queue,
// and waits until it is rolled out.
func TestLoadCreateJobs(t *testing.T) {
	b := newBench(t, 2, 0)
	var asked atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("POST /thing-groups/{name}", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"thingGroupArn":"arn:group"}`))
	})
	mux.HandleFunc("GET /thing-groups/{name}/things", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"things":["` + strings.Join(b.things, `","`) + `"]}`))
	})
	made := make(chan string, 1)
	mux.HandleFunc("PUT /jobs/{id}", func(w http.ResponseWriter, r *http.Request) {
		made <- r.PathValue("id")
		_, _ = w.Write([]byte(`{}`))
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	t.Setenv("AWS_ENDPOINT_URL_IOT", server.URL)
	t.Setenv("AWS_REGION", "us-east-1")
	t.Setenv("AWS_ACCESS_KEY_ID", "operator")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	for _, thing := range b.things {
		b.create(thing, "old", func() string { return "{}" })
	}
	b.fault = func(s seen) fault {
		if s.op == "update" && asked.Add(1) == 1 { // the job comes after the first question
			go func() {
				id := <-made
				for _, thing := range b.things {
					b.create(thing, id, func() string { return "{}" })
				}
			}()
		}
		return fault{}
	}
	rep, status, stderr := b.load(t, "--rate", "100", "--arrivals", "even", "--duration", "200ms", "--create-jobs")
	if status != exitOK || rep.Answered != 20 || len(b.received("start-next")) != 0 {
		t.Errorf("exit status %d %s, %+v", status, stderr, rep)
	}
	for _, thing := range b.things {
		if e := b.execution(thing, "old"); e.status != statusQueued {
			t.Errorf("%s: the old job is %s", thing, e.status)
		}
	}
}
