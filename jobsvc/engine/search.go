package engine

import (
	"context"
	"maps"
	"slices"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/query"
	"github.com/thingjobs/thingjobs/jobsvc/store"
)

// SearchIndex lists the things a query names, by name. There is no index: things are
// looked at one after the other, so many for a page; a query that only things of certain
// names can fulfil goes to these.
//
// Errors: CodeInvalidRequest, CodeInvalidQuery, CodeNotFound for an index that AWS does
// not have either.
//
// AWS: SearchIndex.
func (e *Engine) SearchIndex(ctx context.Context, r *jobsvc.SearchIndexRequest) (*jobsvc.SearchIndexResult, error) {
	switch r.IndexName {
	case "", jobsvc.ThingsIndex:
	case jobsvc.ThingGroupsIndex:
		return nil, jobsvc.Errorf(jobsvc.CodeInvalidRequest, "The index %s is not supported: thing groups are not indexed. Use ListThingGroups.", r.IndexName)
	default:
		return nil, notFound("The index", r.IndexName)
	}
	if err := jobsvc.CheckIndex("", r.QueryVersion); err != nil {
		return nil, err
	}
	q, err := query.Parse(r.QueryString)
	if err != nil {
		return nil, err
	}
	filters := []any{"search", r.QueryString}
	var after string
	if err := e.decodeToken(r.Token, filters, &after); err != nil {
		return nil, err
	}
	things, next, err := e.search(ctx, q, after, jobsvc.Page{MaxResults: min(r.MaxResults, jobsvc.MaxSearchPage)}.Size())
	if err != nil {
		return nil, storeError(err)
	}
	res := &jobsvc.SearchIndexResult{Things: things}
	if next != "" {
		res.NextToken = e.encodeToken(filters, next)
	}
	return res, nil
}

func (e *Engine) search(ctx context.Context, q *query.Query, after string, limit int) (found []jobsvc.FoundThing, next string, err error) {
	var failed error
	keep := func(t *jobsvc.Thing) bool {
		if failed != nil {
			return false
		}
		var static map[string]store.Membership
		if q.UsesGroups() {
			static, failed = e.staticGroups(ctx, t.Name)
		}
		return failed == nil && q.Match(e.view(t, static))
	}
	var things []jobsvc.Thing
	if names, ok := q.Names(); ok {
		things, next, err = e.store.ThingsNamed(ctx, names, after, limit, keep)
	} else {
		things, next, err = e.store.ListThings(ctx, after, limit, keep)
	}
	if err == nil {
		err = failed
	}
	if err != nil {
		return nil, "", err
	}
	for i := range things {
		f := jobsvc.FoundThing{Thing: things[i]}
		static, err := e.staticGroups(ctx, f.Name)
		if err != nil {
			return nil, "", err
		}
		f.Groups = slices.Sorted(maps.Keys(static))
		f.ConnectedAt, f.Connected = e.presence.since(f.Name)
		found = append(found, f)
	}
	return found, next, nil
}

// staticGroups gives the static groups a thing is a direct member of.
func (e *Engine) staticGroups(ctx context.Context, thing string) (map[string]store.Membership, error) {
	all, err := e.store.MembershipsOf(ctx, thing)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	names := slices.Sorted(maps.Keys(all))
	groups, err := e.store.ThingGroups(ctx, names)
	if err != nil {
		return nil, err
	}
	for i, name := range names {
		if g := groups[i]; g == nil || g.IsDynamic() || g.ID != all[name].GroupID {
			delete(all, name)
		}
	}
	return all, nil
}
