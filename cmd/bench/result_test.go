package main

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
)

func TestGoal(t *testing.T) {
	for _, tt := range []struct {
		goal *goal
		text string
		x    float64
		met  bool
	}{
		{atLeast(2), ">= 2", 2, true},
		{atLeast(2), ">= 2", 1.99, false},
		{atMost(1.3), "<= 1.3", 1.3, true},
		{atMost(1.3), "<= 1.3", 1.31, false},
	} {
		if got := tt.goal.met(tt.x); got != tt.met {
			t.Errorf("%v met by %v: %v, want %v", tt.goal, tt.x, got, tt.met)
		}
		if tt.goal.String() != tt.text {
			t.Errorf("goal is written %q, want %q", tt.goal, tt.text)
		}
		var again goal
		if err := again.UnmarshalText([]byte(tt.text)); err != nil || again != *tt.goal {
			t.Errorf("%q reads as %v, %v", tt.text, again, err)
		}
	}
	for _, bad := range []string{"", "2", "= 2", ">= two"} {
		if err := new(goal).UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q is a goal", bad)
		}
	}
}

func TestMedian(t *testing.T) {
	for _, tt := range []struct {
		in   []float64
		want float64
	}{{[]float64{3}, 3}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 2, 3}, 2.5}} {
		if got := median(tt.in); got != tt.want {
			t.Errorf("median of %v is %v, want %v", tt.in, got, tt.want)
		}
	}
	if !math.IsNaN(median(nil)) {
		t.Error("nothing has a median")
	}
}

func TestTurns(t *testing.T) {
	var order []string
	measure := func(name string, value float64) side {
		return func(context.Context) (reading, error) {
			order = append(order, name)
			return reading{value: value * float64(len(order)), cpu: value}, nil
		}
	}
	got, err := turns(t.Context(), 3, measure("product", 2), measure("anchor", 1))
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"product", "anchor", "anchor", "product", "product", "anchor"}; !slices.Equal(order, want) {
		t.Errorf("order %v, want %v", order, want)
	}
	r := comparison{name: "row", product: got[0], anchor: got[1], goal: atLeast(1)}.row(reading.val)
	// Product 2·1, 2·4, 2·5; anchor 2, 3, 6.
	if r.Product != 8 || *r.Anchor != 3 || !*r.Met || r.ProductCPU != 2 || r.AnchorCPU != 1 {
		t.Errorf("row %+v", r)
	}
	if want := []float64{1, 8.0 / 3, 10.0 / 6}; !slices.Equal(r.Rounds, want) {
		t.Errorf("rounds %v, want %v", r.Rounds, want)
	}
}

func TestTurnsFail(t *testing.T) {
	broken := errors.New("broken")
	_, err := turns(t.Context(), 2, func(context.Context) (reading, error) { return reading{}, broken })
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func TestJudge(t *testing.T) {
	number := func(x float64) *float64 { return &x }
	for _, tt := range []struct {
		name string
		in   result
		met  bool
	}{
		{"ratio", result{Product: 10, Anchor: number(5), Goal: atLeast(2)}, true},
		{"ratio missed", result{Product: 9, Anchor: number(5), Goal: atLeast(2)}, false},
		{"product alone", result{Product: 26, Goal: atMost(27)}, true},
		{"anchor of nothing", result{Product: 9, Anchor: number(0), Goal: atLeast(2)}, false},
		{"no anchor, but a smaller is better goal", result{Product: 9, Anchor: number(0), Goal: atMost(2)}, false},
		{"failed", result{Product: 10, Anchor: number(5), Goal: atLeast(2), Error: "late"}, false},
	} {
		tt.in.judge()
		if tt.in.Met == nil || *tt.in.Met != tt.met {
			t.Errorf("%s: met %v, want %v", tt.name, tt.in.Met, tt.met)
		}
	}
	shown := result{Product: 10, Anchor: number(4)}
	if shown.judge(); shown.Met != nil || *shown.Ratio != 2.5 {
		t.Errorf("a row for information: %+v", shown)
	}
}

func TestNumber(t *testing.T) {
	for x, want := range map[float64]string{0: "0.00", 1.234: "1.23", 12.34: "12.3", 123.4: "123", 1234: "1,234", 1234567.8: "1,234,568", -1234: "-1,234", -123456: "-123,456"} {
		if got := number(x); got != want {
			t.Errorf("%v is written %q, want %q", x, got, want)
		}
	}
}

func TestTable(t *testing.T) {
	ok := comparison{name: "updates", unit: "ops/s", product: []reading{{value: 2000, cpu: 10}}, anchor: []reading{{value: 1000, cpu: 30}}, goal: atLeast(2)}
	rows := []result{ok.row(reading.val), failedRow("reads", errors.New("no sockets"))}
	var b strings.Builder
	if err := printTable(&b, rows); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"updates  2,000", "2.00", ">= 2", "yes", "reads: ERROR: no sockets", "NO"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	text, err := json.Marshal(rows)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"name":"updates"`, `"product":2000`, `"anchor":1000`, `"ratio":2`, `"goal":"\u003e= 2"`, `"met":true`, `"met":false`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
}
