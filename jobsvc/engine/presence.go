package engine

import (
	"context"
	"sync"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store"
)

// presence knows which things are connected. It is in memory alone: after a restart
// nothing is connected, until the devices come back.
type presence struct {
	mu    sync.Mutex
	at    map[string]time.Time // when the connection began, of things that are connected
	dirty map[string]struct{}  // things to be judged again
}

func (p *presence) since(thing string) (time.Time, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, ok := p.at[thing]
	return at, ok
}

// ThingConnected tells that a thing is connected, or is not any more. It does not block.
// Told again what is known, it changes nothing.
func (e *Engine) ThingConnected(thing string, connected bool, at time.Time) {
	p := &e.presence
	p.mu.Lock()
	if _, is := p.at[thing]; is == connected {
		p.mu.Unlock()
		return
	}
	if connected {
		if p.at == nil {
			p.at = make(map[string]time.Time)
		}
		p.at[thing] = at
	} else {
		delete(p.at, thing)
	}
	p.mu.Unlock()
	// After the change: who announces a query that asks for it will see the change, or
	// we the query.
	if last := e.dynamic.last.Load(); last == nil || last.connectivity {
		e.judgeAgain(thing)
	}
}

func (e *Engine) judgeAgain(things ...string) {
	p := &e.presence
	p.mu.Lock()
	if p.dirty == nil {
		p.dirty = make(map[string]struct{})
	}
	for _, t := range things {
		p.dirty[t] = struct{}{}
	}
	p.mu.Unlock()
	poke(e.settle)
}

// judgeConnections judges things that came and went, a chunk of them, by the queries that
// ask for it.
func (e *Engine) judgeConnections(ctx context.Context) error {
	p := &e.presence
	p.mu.Lock()
	var things []string
	for t := range p.dirty {
		if len(things) == placeChunk {
			poke(e.settle) // for the others
			break
		}
		things = append(things, t)
		delete(p.dirty, t)
	}
	p.mu.Unlock()
	if len(things) == 0 {
		return nil
	}
	err := e.judge(ctx, things)
	if err != nil {
		e.judgeAgain(things...)
	}
	return err
}

func (e *Engine) judge(ctx context.Context, things []string) error {
	set, err := e.dynamicSet(ctx)
	if err != nil || !set.connectivity {
		return err
	}
	return e.placeMany(ctx, things)
}

// reconnectGrace is how long after a start groups of connected things keep members that
// have not come back.
const reconnectGrace = time.Minute

// forgetConnections has the members of groups that ask for connectivity looked for from
// the beginning: who was connected before the start is not known.
func (e *Engine) forgetConnections(ctx context.Context) error {
	set, err := e.dynamicSet(ctx)
	if err != nil || !set.connectivity {
		return err
	}
	now, err := e.now(ctx)
	if err != nil {
		return err
	}
	for _, g := range set.groups {
		if g.query == nil || !g.query.UsesConnectivity() {
			continue
		}
		_, err := e.store.Update(ctx, store.GroupScope(g.Name), func(tx *store.Tx) error {
			now := now
			is, err := tx.ThingGroup(g.Name)
			if err != nil || is == nil || !is.IsDynamic() || is.ID != g.ID {
				return err
			}
			d := *is.Dynamic
			if d.Status == jobsvc.DynamicGroupActive {
				d.Status = jobsvc.DynamicGroupRebuilding
				now = now.Add(reconnectGrace)
			}
			d.Build++
			d.After = ""
			is.Dynamic = &d
			tx.PutThingGroup(is)
			tx.SetTimer(store.DynamicTimer(is, now))
			return nil
		})
		if err != nil {
			return err
		}
	}
	poke(e.wake)
	return nil
}
