package broker

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// sessionLog is what a fakeEngine stores of sessions.
type sessionLog struct {
	sync.Mutex
	stored     map[string]*jobsvc.Session
	recreated  map[string]int // how often a thing was deleted and made again
	writes     int
	fail       bool   // nothing is stored any more
	onVersions func() // called after versions were read
}

func (e *fakeEngine) Now(context.Context) (time.Time, error) { return time.Now(), nil }

func (e *fakeEngine) ThingVersions(_ context.Context, things []string) ([]jobsvc.ThingVersions, error) {
	versions := make([]jobsvc.ThingVersions, len(things))
	for i, name := range things {
		e.sessions.Lock()
		versions[i].ID = name + strings.Repeat("'", e.sessions.recreated[name])
		e.sessions.Unlock()
		e.mu.Lock()
		for k, q := range e.queues {
			if thing, ns, _ := strings.Cut(k, "/"); thing == name {
				versions[i].Queues = append(versions[i].Queues, jobsvc.QueueVersions{NamespaceID: ns, SetVersion: q.SetVersion, HeadVersion: q.HeadVersion})
			}
		}
		e.mu.Unlock()
	}
	e.sessions.Lock()
	hook := e.sessions.onVersions
	e.sessions.Unlock()
	if hook != nil {
		hook()
	}
	return versions, nil
}

func (e *fakeEngine) Session(_ context.Context, id string) (*jobsvc.Session, error) {
	e.sessions.Lock()
	defer e.sessions.Unlock()
	return copySession(e.sessions.stored[id]), nil
}

func copySession(s *jobsvc.Session) *jobsvc.Session {
	if s == nil {
		return nil
	}
	b, err := json.Marshal(s)
	c := new(jobsvc.Session)
	if err = errors.Join(err, json.Unmarshal(b, c)); err != nil {
		panic(err)
	}
	return c
}

var errNotStored = errors.New("the store is gone")

func (l *sessionLog) write(id string, s *jobsvc.Session) error {
	l.Lock()
	defer l.Unlock()
	l.writes++
	if l.fail {
		return errNotStored
	}
	if l.stored == nil {
		l.stored = make(map[string]*jobsvc.Session)
	}
	if l.stored[id] = copySession(s); s == nil {
		delete(l.stored, id)
	}
	return nil
}

func (e *fakeEngine) SaveSession(_ context.Context, s *jobsvc.Session) error {
	return e.sessions.write(s.ClientID, s)
}

func (e *fakeEngine) DeleteSession(_ context.Context, id string) error { return e.sessions.write(id, nil) }

func (e *fakeEngine) SweepSessions(_ context.Context, _ string, _ int, _, now time.Time) (string, int, int, error) {
	e.sessions.Lock()
	defer e.sessions.Unlock()
	expired := 0
	for id, s := range e.sessions.stored {
		if s.Expired(now) {
			delete(e.sessions.stored, id)
			expired++
		}
	}
	return "", len(e.sessions.stored), expired, nil
}

// recreate deletes a thing and makes it again.
func (e *fakeEngine) recreate(thing string) {
	e.sessions.Lock()
	defer e.sessions.Unlock()
	if e.sessions.recreated == nil {
		e.sessions.recreated = make(map[string]int)
	}
	e.sessions.recreated[thing]++
}
