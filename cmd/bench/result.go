package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"
)

// result is one row of the table. Product and Anchor are medians over the rounds, of
// the same unit. A row without Anchor has a goal for the product itself; one without
// Goal is for information.
type result struct {
	Name    string   `json:"name"`
	Unit    string   `json:"unit"`
	Product float64  `json:"product"`
	Anchor  *float64 `json:"anchor"`
	Ratio   *float64 `json:"ratio"`
	Goal    *goal    `json:"goal"`
	Met     *bool    `json:"met"`

	// AnchorIs says what the anchor is.
	AnchorIs string `json:"anchorIs,omitempty"`
	// CPU is the processor time of the servers, in microseconds per operation.
	ProductCPU float64 `json:"productCpuUs,omitempty"`
	AnchorCPU  float64 `json:"anchorCpuUs,omitempty"`
	// Rounds has the product : anchor ratio of each round, or the product's number.
	Rounds []float64 `json:"rounds,omitempty"`
	Note   string    `json:"note,omitempty"`
	Error  string    `json:"error,omitempty"`
}

// judge computes ratio and verdict from the rest.
func (r *result) judge() {
	x := r.Product
	if r.Anchor != nil {
		x /= *r.Anchor
		if math.IsNaN(x) || math.IsInf(x, 0) {
			r.Error = "the anchor gave nothing to compare with"
			x = 0
		}
		r.Ratio = &x
	}
	if r.Goal != nil {
		met := r.Error == "" && r.Goal.met(x)
		r.Met = &met
	}
}

// failedRow stands for a row that could not be measured.
func failedRow(name string, err error) result {
	no := false
	return result{Name: name, Met: &no, Error: err.Error()}
}

func writeJSON(path string, rows []result) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false) // goals are written with < and >
	if err := enc.Encode(rows); err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}

// printTable writes the rows for people.
func printTable(w io.Writer, rows []result) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "row\tproduct\tanchor\tunit\tratio\tgoal\tmet\tCPU µs/op\tanchor's\trounds")
	var notes []string
	for i := range rows {
		r := &rows[i]
		if r.Error != "" {
			notes = append(notes, fmt.Sprintf("%s: ERROR: %s", r.Name, r.Error))
		}
		if r.Note != "" {
			notes = append(notes, r.Name+": "+r.Note)
		}
		anchor, ratio, met := "-", "-", "-"
		if r.Anchor != nil {
			anchor = number(*r.Anchor)
		}
		if r.Ratio != nil {
			ratio = strconv.FormatFloat(*r.Ratio, 'f', 2, 64)
		}
		if r.Met != nil {
			met = map[bool]string{true: "yes", false: "NO"}[*r.Met]
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Name, number(r.Product), anchor, r.Unit, ratio, r.Goal, met, cpu(r.ProductCPU), cpu(r.AnchorCPU), numbers(r.Rounds))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, n := range notes {
		fmt.Fprintln(w, "  "+n)
	}
	return nil
}

func numbers(list []float64) string {
	s := make([]string, len(list))
	for i, x := range list {
		s[i] = number(x)
	}
	return strings.Join(s, " ")
}

// cpu is empty for what was not measured.
func cpu(us float64) string {
	if us == 0 {
		return ""
	}
	return number(us)
}

// number has three digits that count, and groups of three above a thousand.
func number(x float64) string {
	switch a := math.Abs(x); {
	case a >= 1000:
		s := strconv.FormatFloat(x, 'f', 0, 64)
		for i := utf8.RuneCountInString(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
			s = s[:i] + "," + s[i:]
		}
		return s
	case a >= 100:
		return strconv.FormatFloat(x, 'f', 0, 64)
	case a >= 10:
		return strconv.FormatFloat(x, 'f', 1, 64)
	}
	return strconv.FormatFloat(x, 'f', 2, 64)
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
