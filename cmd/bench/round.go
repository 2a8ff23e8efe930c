package main

import (
	"context"
	"math"
	"slices"
)

// reading is what one side of a comparison gave in one round.
type reading struct {
	value float64
	cpu   float64 // µs per operation
	p50   float64 // ms
	p99   float64 // ms
}

func (r reading) val() float64   { return r.value }
func (r reading) cpuUs() float64 { return r.cpu }
func (r reading) half() float64  { return r.p50 }
func (r reading) tail() float64  { return r.p99 }

// side measures one side once.
type side func(ctx context.Context) (reading, error)

// turns lets the sides take turns, so many rounds, and gives the readings of each.
// Who begins changes from round to round: a machine that gets slower during a round is
// nobody's advantage.
func turns(ctx context.Context, rounds int, sides ...side) ([][]reading, error) {
	readings := make([][]reading, len(sides))
	for round := range rounds {
		for i := range sides {
			if err := ctx.Err(); err != nil {
				return readings, err
			}
			who := (round + i) % len(sides)
			r, err := sides[who](ctx)
			if err != nil {
				return readings, err
			}
			readings[who] = append(readings[who], r)
		}
	}
	return readings, nil
}

// comparison is a row to be: what the product gave, what the anchor gave (nothing when
// there is none), and the goal.
type comparison struct {
	name, unit, anchorIs string
	product, anchor      []reading
	goal                 *goal
	note                 string
}

// row makes a result of one number of the readings.
func (c comparison) row(f func(reading) float64) result {
	r := result{
		Name: c.name, Unit: c.unit, Goal: c.goal, AnchorIs: c.anchorIs, Note: c.note,
		Product:    finite(medianOf(c.product, f)),
		ProductCPU: finite(medianOf(c.product, reading.cpuUs)),
	}
	for i, p := range c.product {
		x := f(p)
		if i < len(c.anchor) {
			x /= f(c.anchor[i])
		}
		r.Rounds = append(r.Rounds, finite(x))
	}
	if len(c.anchor) > 0 {
		a := finite(medianOf(c.anchor, f))
		r.Anchor, r.AnchorCPU = &a, finite(medianOf(c.anchor, reading.cpuUs))
	}
	r.judge()
	return r
}

// medianOf is the median of one number of the readings.
func medianOf(list []reading, f func(reading) float64) float64 {
	var x []float64
	for _, r := range list {
		x = append(x, f(r))
	}
	return median(x)
}

// median is the mean of the middle two when there are an even number; NaN of nothing.
func median(x []float64) float64 {
	if len(x) == 0 {
		return math.NaN()
	}
	x = slices.Sorted(slices.Values(x))
	n := len(x)
	return (x[(n-1)/2] + x[n/2]) / 2
}

// finite keeps what JSON cannot hold out of it.
func finite(x float64) float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return 0
	}
	return x
}
