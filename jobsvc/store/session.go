package store

import (
	"context"
	"fmt"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// SessionScope is the scope of a persistent MQTT session.
func SessionScope(clientID string) kv.Scope { return kv.Sys("session/" + clientID) }

// Session reads the session of the transaction's scope.
func (t *Tx) Session(clientID string) (*jobsvc.Session, error) {
	b, err := t.get(newKey(tagSession, clientID))
	if err != nil {
		return nil, err
	}
	return decodeJSON[jobsvc.Session](b)
}

// PutSession writes a session.
func (t *Tx) PutSession(s *jobsvc.Session) { t.tx.Put(newKey(tagSession, s.ClientID), encodeJSON(s)) }

// DeleteSession takes a session away.
func (t *Tx) DeleteSession(clientID string) { t.tx.Delete(newKey(tagSession, clientID)) }

// Session reads a session.
func (s *Store) Session(ctx context.Context, clientID string) (*jobsvc.Session, error) {
	b, err := s.get(ctx, newKey(tagSession, clientID))
	if err != nil {
		return nil, err
	}
	return decodeJSON[jobsvc.Session](b)
}

// Sessions lists sessions by client ID, those after one. next is "" at the end.
func (s *Store) Sessions(ctx context.Context, afterID string, limit int) (sessions []jobsvc.Session, next string, err error) {
	return listNamed(ctx, s, named(newKey(tagSession), "", afterID, limit+1), limit, decodeJSON[jobsvc.Session],
		func(*jobsvc.Session) bool { return true }, func(x *jobsvc.Session) string { return x.ClientID })
}

// ThingVersions reads how far the notifications of things are, in one round trip.
func (s *Store) ThingVersions(ctx context.Context, things []string) ([]jobsvc.ThingVersions, error) {
	keys := make([][]byte, 0, 2*len(things))
	for _, name := range things {
		keys = append(keys, newKey(tagThing, name), newKey(tagQueue, name))
	}
	items, err := s.db.Get(ctx, keys...)
	if err != nil {
		return nil, err
	}
	versions := make([]jobsvc.ThingVersions, len(things))
	for i := range things {
		thing, err := decodeThing(items[2*i].Value)
		if err != nil {
			return nil, err
		}
		if thing == nil {
			continue
		}
		versions[i].ID = thing.ID
		if versions[i].Queues, err = decodeVersions(items[2*i+1].Value); err != nil {
			return nil, err
		}
	}
	return versions, nil
}

// decodeVersions reads the front of a queue's record; nil is one without executions ever.
func decodeVersions(b []byte) ([]jobsvc.QueueVersions, error) {
	if b == nil {
		return nil, nil
	}
	d := decoder{b: b}
	if v := d.byte(); v != codecVersion {
		return nil, fmt.Errorf("store: queue record of version %d", v)
	}
	versions := make([]jobsvc.QueueVersions, d.count(minNotice))
	for i := range versions {
		versions[i] = jobsvc.QueueVersions{NamespaceID: d.string(), SetVersion: d.uint(), HeadVersion: d.uint()}
		d.uint()
		d.string()
		d.int()
	}
	return versions, d.err
}
