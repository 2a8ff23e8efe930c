package engine

import (
	"encoding/base64"
	"testing"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/memkv"
)

func TestPageTokens(t *testing.T) {
	db := memkv.Open(memkv.Options{ScopeOf: store.ScopeOf})
	open := func(db *memkv.DB) *Engine {
		t.Helper()
		st, err := store.Open(t.Context(), db)
		if err != nil {
			t.Fatal(err)
		}
		return New(st, Options{})
	}
	e := open(db)
	token := e.encodeToken("filters", "pump-17")
	var place string
	if err := e.decodeToken(token, "filters", &place); err != nil || place != "pump-17" {
		t.Errorf("got %q, %v", place, err)
	}
	if err := open(db.Reopen()).decodeToken(token, "filters", &place); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	refused := func(what string, e *Engine, token string, filters any) {
		t.Helper()
		if err := e.decodeToken(token, filters, &place); jobsvc.ErrorCode(err) != jobsvc.CodeInvalidRequest {
			t.Errorf("%s: %v", what, err)
		}
	}
	refused("other filters", e, token, "filter")
	refused("another store's", open(memkv.Open(memkv.Options{ScopeOf: store.ScopeOf})), token, "filters")
	refused("no base64", e, "%", "filters")
	refused("too short", e, "AQ==", "filters")
	raw, _ := base64.StdEncoding.DecodeString(token)
	for i := range raw {
		changed := append([]byte(nil), raw...)
		changed[i] ^= 1
		refused("a bit changed", e, base64.StdEncoding.EncodeToString(changed), "filters")
	}
}
