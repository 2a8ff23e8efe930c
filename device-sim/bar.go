package main

import (
	"io"
	"os"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// bar shows executions finished, on a terminal only. The zero value shows nothing.
type bar struct{ *progressbar.ProgressBar }

// newBar shows a bar of total executions (0: unknown) on w, if wanted and w is a terminal.
func newBar(w io.Writer, total int, wanted bool) bar {
	f, ok := w.(*os.File)
	if !wanted || !ok || !term.IsTerminal(int(f.Fd())) {
		return bar{}
	}
	if total == 0 {
		total = -1
	}
	return bar{progressbar.NewOptions(total,
		progressbar.OptionSetWriter(f),
		progressbar.OptionSetDescription("executions"),
		progressbar.OptionShowCount(),
		progressbar.OptionSetSpinnerChangeInterval(0), // drawn when something happens, not by a timer
		progressbar.OptionClearOnFinish(),
	)}
}

func (b bar) add() {
	if b.ProgressBar != nil {
		_ = b.Add(1) // a terminal that cannot be drawn on is no reason to stop
	}
}

func (b bar) close() {
	if b.ProgressBar != nil {
		_ = b.Finish()
	}
}
