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
	p99   float64 // ms, where it is asked for
}

// side measures one side once.
type side func(ctx context.Context) (reading, error)

// comparison holds the rounds of two sides that took turns.
type comparison struct{ product, anchor []reading }

// turns lets product and anchor take turns, so many rounds. Who begins changes from
// round to round: a machine that gets slower during a round is nobody's advantage.
func turns(ctx context.Context, rounds int, product, anchor side) (comparison, error) {
	var c comparison
	for i := range rounds {
		order := []int{0, 1}
		if i%2 == 1 {
			order = []int{1, 0}
		}
		for _, who := range order {
			if err := ctx.Err(); err != nil {
				return c, err
			}
			measure, to := product, &c.product
			if who == 1 {
				measure, to = anchor, &c.anchor
			}
			if measure == nil {
				continue
			}
			r, err := measure(ctx)
			if err != nil {
				return c, err
			}
			*to = append(*to, r)
		}
	}
	return c, nil
}

func (r reading) val() float64   { return r.value }
func (r reading) cpuUs() float64 { return r.cpu }
func (r reading) tail() float64  { return r.p99 }

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

// row makes a result of one number of the readings.
func (c *comparison) row(name, unit, anchorIs string, g *goal, f func(reading) float64) result {
	r := result{
		Name: name, Unit: unit, Goal: g, AnchorIs: anchorIs,
		Product:    medianOf(c.product, f),
		ProductCPU: medianOf(c.product, reading.cpuUs),
	}
	for i, p := range c.product {
		x := f(p)
		if i < len(c.anchor) {
			x /= f(c.anchor[i])
		}
		r.Rounds = append(r.Rounds, finite(x))
	}
	if len(c.anchor) > 0 {
		a := medianOf(c.anchor, f)
		r.Anchor, r.AnchorCPU = &a, medianOf(c.anchor, reading.cpuUs)
	}
	r.judge()
	return r
}

// finite keeps what JSON cannot hold out of it.
func finite(x float64) float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return 0
	}
	return x
}
