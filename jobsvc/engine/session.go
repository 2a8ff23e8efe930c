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
// whose connection ended without a note of it, because the process or the store failed,
// count as left since started, when this process began, or since now. connected tells
// whether a client ID has a connection, or is about to get one; it is asked after the
// session was read. SweepSessions gives how many there are left, and how many it took away.
func (e *Engine) SweepSessions(ctx context.Context, after string, limit int, started, now time.Time, connected func(clientID string) bool) (next string, left, expired int, err error) {
	sessions, next, err := e.store.Sessions(ctx, after, limit)
	if err != nil {
		return "", 0, 0, storeError(err)
	}
	var ops []store.Op
	for i := range sessions {
		was := &sessions[i]
		left++
		lost := was.DisconnectedAt.IsZero() && !connected(was.ClientID)
		if !lost && !was.Expired(now) {
			continue
		}
		ops = append(ops, store.Op{Scope: store.SessionScope(was.ClientID), Fn: func(tx *store.Tx) error {
			s, err := tx.Session(was.ClientID)
			if err != nil || s == nil || !s.ConnectedAt.Equal(was.ConnectedAt) {
				return err // it is not the one that was looked at
			}
			changed := lost && s.DisconnectedAt.IsZero()
			if changed {
				s.DisconnectedAt = now
				if s.ConnectedAt.Before(started) {
					s.DisconnectedAt = started
				}
			}
			switch {
			case s.Expired(now):
				tx.DeleteSession(s.ClientID)
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

// ThingVersions tells how far the notifications of things are, in the order of the names.
func (e *Engine) ThingVersions(ctx context.Context, things []string) ([]jobsvc.ThingVersions, error) {
	v, err := e.store.ThingVersions(ctx, things)
	return v, storeError(err)
}
