package engine

import (
	"context"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store"
)

// Session gives what is kept of a persistent MQTT session, nil for none. Whether it is
// over is for the caller to say.
func (e *Engine) Session(ctx context.Context, clientID string) (*jobsvc.Session, error) {
	s, err := e.store.Session(ctx, clientID)
	return s, storeError(err)
}

// SaveSession writes a session. It is durable when nil comes back. Who saves or deletes
// sessions has the client ID for himself; SweepSessions alone may come between.
func (e *Engine) SaveSession(ctx context.Context, s *jobsvc.Session) error {
	_, err := e.store.Update(ctx, store.SessionScope(s.ClientID), func(tx *store.Tx) error {
		tx.PutSession(s)
		return nil
	})
	return storeError(err)
}

// DeleteSession takes a session away, for good when nil comes back.
func (e *Engine) DeleteSession(ctx context.Context, clientID string) error {
	_, err := e.store.Update(ctx, store.SessionScope(clientID), func(tx *store.Tx) error {
		tx.DeleteSession(clientID)
		return nil
	})
	return storeError(err)
}

// SweepSessions looks at up to limit sessions whose client IDs come after one, and goes on
// with next, which is "" at the end. Those that are over at now are taken away. Those
// whose connection a process before this one did not see end count as left since started,
// when this one began. It gives how many there are left, and how many it took away.
func (e *Engine) SweepSessions(ctx context.Context, after string, limit int, started, now time.Time) (next string, left, expired int, err error) {
	sessions, next, err := e.store.Sessions(ctx, after, limit)
	if err != nil {
		return "", 0, 0, storeError(err)
	}
	var ops []store.Op
	for i := range sessions {
		id := sessions[i].ClientID
		left++
		if was := sessions[i]; !leaveSession(&sessions[i], started) && !was.Expired(now) {
			continue
		}
		ops = append(ops, store.Op{Scope: store.SessionScope(id), Fn: func(tx *store.Tx) error {
			s, err := tx.Session(id)
			if err != nil || s == nil {
				return err
			}
			changed := leaveSession(s, started)
			switch {
			case s.Expired(now):
				tx.DeleteSession(id)
				tx.After(sessionExpired{})
			case changed:
				tx.PutSession(s)
			}
			return nil
		}})
	}
	if len(ops) == 0 {
		return next, left, 0, nil
	}
	for _, r := range e.store.UpdateMany(ctx, ops) {
		if r.Err != nil {
			return "", 0, 0, storeError(r.Err)
		}
		expired += len(r.Events)
	}
	return next, left - expired, expired, nil
}

type sessionExpired struct{}

// leaveSession notes the end of a connection that ended with a process before this one.
func leaveSession(s *jobsvc.Session, started time.Time) (changed bool) {
	if !s.DisconnectedAt.IsZero() || !s.ConnectedAt.Before(started) {
		return false
	}
	s.DisconnectedAt = started
	return true
}

// ThingVersions tells how far the notifications of things are, in the order of the names.
func (e *Engine) ThingVersions(ctx context.Context, things []string) ([]jobsvc.ThingVersions, error) {
	v, err := e.store.ThingVersions(ctx, things)
	return v, storeError(err)
}
