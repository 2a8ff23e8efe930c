package engine

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/query"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// The members of dynamic groups are memberships like all others. Whatever changes what a
// query can ask about a thing judges the thing by all queries in the same transaction:
// nothing can be lost in between, and what an operator is answered already holds. It
// costs one read where there are no dynamic groups. When a query is new, a chain of steps
// judges every thing once (stepDynamic).
//
// That no thing is missed: the chain announces the query before it looks at the first
// thing. A change of a thing that was judged without the query was judged before that, so
// the chain comes to the thing later.

// dynamicSet is the dynamic groups with their queries, the oldest group first.
type dynamicSet struct {
	*store.DynamicSet
	groups       []dynamicGroup
	connectivity bool // one of the queries asks for it
}

type dynamicGroup struct {
	*jobsvc.ThingGroup
	query *query.Query // nil when this program cannot read it: its members stay
}

// dynamicCache keeps what was made of the youngest list of dynamic groups.
type dynamicCache struct{ last atomic.Pointer[dynamicSet] }

// stored is what there is of the store's.
func (c *dynamicCache) stored() *store.DynamicSet {
	if last := c.last.Load(); last != nil {
		return last.DynamicSet
	}
	return nil
}

// setOf gives the set made of what the store has.
func (e *Engine) setOf(s *store.DynamicSet) *dynamicSet {
	for {
		last := e.dynamic.last.Load()
		if last != nil && last.DynamicSet == s {
			return last
		}
		set := e.compile(s)
		if last != nil && last.Version > s.Version {
			return set // a slow transaction: others are further
		}
		if e.dynamic.last.CompareAndSwap(last, set) {
			return set
		}
	}
}

func (e *Engine) compile(s *store.DynamicSet) *dynamicSet {
	set := &dynamicSet{DynamicSet: s}
	for i := range s.Groups {
		g := dynamicGroup{ThingGroup: &s.Groups[i]}
		q, err := query.Parse(g.Dynamic.QueryString)
		if err != nil {
			e.log.Error("the query of a dynamic thing group cannot be read", "group", g.Name, "err", err)
		} else {
			g.query = q
			set.connectivity = set.connectivity || q.UsesConnectivity()
		}
		set.groups = append(set.groups, g)
	}
	slices.SortFunc(set.groups, func(a, b dynamicGroup) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), strings.Compare(a.Name, b.Name))
	})
	return set
}

// peekDynamic gives the dynamic groups as they are in a transaction.
func (e *Engine) peekDynamic(tx *store.Tx) (*dynamicSet, error) {
	s, err := tx.PeekDynamicSet(e.dynamic.stored())
	if err != nil {
		return nil, err
	}
	return e.setOf(s), nil
}

func (e *Engine) dynamicSet(ctx context.Context) (*dynamicSet, error) {
	s, err := e.store.DynamicSet(ctx, e.dynamic.stored())
	if err != nil {
		return nil, err
	}
	return e.setOf(s), nil
}

// memberships are those of a thing in groups that there are, all that are stored, and what
// the transaction changes in them.
type memberships struct {
	all, static, dynamic map[string]store.Membership
	change               MembershipChange

	before   []string // the groups there are that it was a member of
	new      bool     // the thing is being made
	replaced bool     // a membership in a group that is gone made room for one of its name
	above    string   // of the group that is gone which is left, the one above; "" for none
}

// memberships reads those of a thing of the transaction's scope.
func (e *Engine) memberships(tx *store.Tx, t *jobsvc.Thing, now time.Time) (*memberships, error) {
	m := &memberships{
		static: map[string]store.Membership{}, dynamic: map[string]store.Membership{},
		change: MembershipChange{ThingName: t.Name, ThingID: t.ID, At: now},
	}
	var err error
	if m.all, err = tx.Memberships(t.Name); err != nil {
		return nil, err
	}
	for name, is := range m.all {
		g, err := tx.PeekThingGroup(name)
		switch {
		case err != nil:
			return nil, err
		case g == nil || g.ID != is.GroupID:
		case g.IsDynamic():
			m.dynamic[name] = is
		default:
			m.static[name] = is
		}
		if g != nil && g.ID == is.GroupID {
			m.before = append(m.before, name)
		}
	}
	return m, nil
}

// newMemberships are those of a thing that is being made: none.
func newMemberships(t *jobsvc.Thing) *memberships {
	return &memberships{
		all: map[string]store.Membership{}, static: map[string]store.Membership{}, dynamic: map[string]store.Membership{},
		change: MembershipChange{ThingName: t.Name, ThingID: t.ID, At: t.CreatedAt}, new: true,
	}
}

// join begins a membership.
func (m *memberships) join(tx *store.Tx, g *jobsvc.ThingGroup) {
	if old, ok := m.all[g.Name]; ok { // in a group of that name that was deleted
		m.change.leave(tx, g.Name, &old)
		m.replaced = true
	}
	is := store.Membership{ThingID: m.change.ThingID, GroupID: g.ID, JoinedAt: m.change.At}
	m.change.join(tx, g.Name, &is)
	m.all[g.Name] = is
	if g.IsDynamic() {
		m.dynamic[g.Name] = is
	} else {
		m.static[g.Name] = is
	}
}

// leave ends a membership. It tells whether there was one.
func (m *memberships) leave(tx *store.Tx, group string) bool {
	is, ok := m.static[group]
	if !ok {
		is, ok = m.dynamic[group]
	}
	if ok {
		m.change.leave(tx, group, &is)
		delete(m.all, group)
		delete(m.static, group)
		delete(m.dynamic, group)
	}
	return ok
}

// view is a thing as queries see it.
func (e *Engine) view(t *jobsvc.Thing, static map[string]store.Membership) *query.Thing {
	v := &query.Thing{Name: t.Name, TypeName: t.TypeName, Attributes: t.Attributes}
	for name := range static {
		v.Groups = append(v.Groups, name)
	}
	if at, ok := e.presence.since(t.Name); ok {
		v.Connected, v.Timestamp = true, at.UnixMilli()
	}
	return v
}

// matching are the groups of the set whose queries name the thing, the oldest first.
func (e *Engine) matching(set *dynamicSet, t *jobsvc.Thing, m *memberships) (all []dynamicGroup) {
	v := e.view(t, m.static)
	for _, g := range set.groups {
		_, is := m.dynamic[g.Name]
		if g.query == nil && is || g.query != nil && g.query.Match(v) {
			all = append(all, g)
		}
	}
	return all
}

// leftOut tells, when a transaction is committed, which groups a thing is not in for want
// of room.
type leftOut struct {
	thing  string
	groups []string
}

// place makes a thing a member of the dynamic groups whose queries name it, and of no
// other. Where there is room for some of them only, these are the oldest.
func (e *Engine) place(tx *store.Tx, t *jobsvc.Thing, now time.Time) error {
	set, err := e.peekDynamic(tx)
	if err != nil || len(set.groups) == 0 {
		return err
	}
	m, err := e.memberships(tx, t, now)
	if err != nil {
		return err
	}
	if err := e.placeIn(tx, t, m); err != nil {
		return err
	}
	return e.record(tx, t, m)
}

// placeIn is place with the memberships as the transaction has them; the caller records
// the change.
func (e *Engine) placeIn(tx *store.Tx, t *jobsvc.Thing, m *memberships) error {
	set, err := e.peekDynamic(tx)
	if err != nil {
		return err
	}
	room := e.limits.GroupsPerThing - len(m.static)
	stays := map[string]bool{}
	var joins []*jobsvc.ThingGroup
	var out []string
	for _, g := range e.matching(set, t, m) {
		is, ok := m.dynamic[g.Name]
		if ok = ok && is.GroupID == g.ID; !ok {
			now, err := tx.PeekThingGroup(g.Name)
			if err != nil {
				return err
			}
			if now == nil || now.ID != g.ID { // gone: the list has it a moment longer
				continue
			}
		}
		switch {
		case room <= 0:
			out = append(out, g.Name)
			continue
		case ok:
			stays[g.Name] = true
		default:
			joins = append(joins, g.ThingGroup)
		}
		room--
	}
	for _, name := range slices.Sorted(maps.Keys(m.dynamic)) {
		if !stays[name] {
			m.leave(tx, name)
		}
	}
	for _, g := range joins {
		m.join(tx, g)
	}
	if len(out) > 0 {
		tx.After(leftOut{t.Name, out})
	}
	return nil
}

// placeAgain is place as a transaction of its own; a thing that is gone has no place.
func (e *Engine) placeAgain(thing string, now time.Time) store.Op {
	return store.Op{Scope: kv.Thing(thing), Fn: func(tx *store.Tx) error {
		t, err := tx.Thing(thing)
		if err != nil || t == nil {
			return err
		}
		return e.place(tx, t, now)
	}}
}

// placeMany is placeAgain for a chunk of things.
func (e *Engine) placeMany(ctx context.Context, things []string) error {
	now, err := e.now(ctx)
	if err != nil {
		return err
	}
	ops := make([]store.Op, len(things))
	for i, t := range things {
		ops[i] = e.placeAgain(t, now)
	}
	return e.updateMany(ctx, ops)
}

// placeChunk is how many things one commit of a search for members judges.
const placeChunk = 500

// stepDynamic does the next piece of the search for a dynamic group's members. It is a
// chain that anyone can take up after a crash:
//
//  1. the query is announced: from then on every change of a thing is judged by it;
//  2. a transaction of the group notes that;
//  3. a transaction for each thing of a chunk, in the order of names, judges the thing;
//  4. a transaction of the group notes the last of them, and ACTIVE after the last of all.
//
// A crash repeats an announcement or a chunk, which is harmless. A query that changes
// meanwhile has a chain of its own, and this one ends.
func (e *Engine) stepDynamic(ctx context.Context, t store.Timer) error {
	began, err := e.now(ctx)
	if err != nil {
		return err
	}
	for {
		g, err := e.store.ThingGroup(ctx, t.Group())
		if err != nil {
			return err
		}
		if !searching(g, t) {
			return e.dropTimer(ctx, t)
		}
		if !g.Dynamic.Registered {
			if err := e.announce(ctx, g.Name); err != nil {
				return err
			}
			err = e.noteSearch(ctx, t, g, func(d *jobsvc.DynamicGroup) { d.Registered = true })
		} else {
			err = e.searchChunk(ctx, t, g)
		}
		if err != nil {
			return err
		}
		now, err := e.now(ctx)
		if err != nil || now.Sub(began) >= stepTime {
			return err // the timer is still there
		}
	}
}

// searching tells whether a timer is that of the search under way.
func searching(g *jobsvc.ThingGroup, t store.Timer) bool {
	return g != nil && g.IsDynamic() && g.ID == t.JobID && uint64(g.Dynamic.Build) == t.Guard && g.Dynamic.Status != jobsvc.DynamicGroupActive
}

func (e *Engine) searchChunk(ctx context.Context, t store.Timer, g *jobsvc.ThingGroup) error {
	names, next, err := e.store.ThingNames(ctx, g.Dynamic.After, placeChunk)
	if err != nil {
		return err
	}
	if err := e.placeMany(ctx, names); err != nil {
		return err
	}
	return e.noteSearch(ctx, t, g, func(d *jobsvc.DynamicGroup) {
		if d.After = next; next == "" {
			d.Status = jobsvc.DynamicGroupActive
		}
	})
}

// noteSearch notes how far a search is that is still at the point where it was read.
func (e *Engine) noteSearch(ctx context.Context, t store.Timer, read *jobsvc.ThingGroup, note func(*jobsvc.DynamicGroup)) error {
	_, err := e.store.Update(ctx, t.Scope, func(tx *store.Tx) error {
		g, err := tx.ThingGroup(read.Name)
		if err != nil || !searching(g, t) || *g.Dynamic != *read.Dynamic {
			return err
		}
		note(g.Dynamic)
		tx.PutThingGroup(g)
		if g.Dynamic.Status == jobsvc.DynamicGroupActive {
			tx.ClearTimer(t)
		}
		return nil
	})
	return err
}
