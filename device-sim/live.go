package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"
	"golang.org/x/term"
)

const (
	redrawEvery = 250 * time.Millisecond // on a terminal
	lineEvery   = 10 * time.Second       // elsewhere
)

// live shows how a run goes on until it is closed.
type live struct {
	stop    context.CancelFunc
	program *tea.Program // nil for lines
	wait    sync.WaitGroup
}

// startLive draws frames on stdout when it is a terminal, and else writes lines to stderr.
func startLive(stdout, stderr io.Writer, now func() frame) *live {
	ctx, stop := context.WithCancel(context.Background())
	l := &live{stop: stop}
	if f, ok := stdout.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		// Without input, so that the terminal stays as it is and ^C is the signal it always is.
		l.program = tea.NewProgram(liveModel{now: now, frame: now()}, tea.WithOutput(f), tea.WithInput(nil), tea.WithoutSignalHandler())
		l.wait.Go(func() { _, _ = l.program.Run() }) // a terminal that cannot be drawn on is no reason to stop
		return l
	}
	l.wait.Go(func() { writeLines(ctx, stderr, now, lineEvery) })
	return l
}

// close leaves the last frame where it is.
func (l *live) close() {
	if l == nil {
		return
	}
	l.stop()
	if l.program != nil {
		l.program.Send(lastFrame{})
	}
	l.wait.Wait()
}

func writeLines(ctx context.Context, w io.Writer, now func() frame, every time.Duration) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			_, _ = fmt.Fprintln(w, now().line()) // the run matters, not its log
		case <-ctx.Done():
			return
		}
	}
}

// liveModel is the view as bubbletea has it.
type liveModel struct {
	now   func() frame
	frame frame
	width int
}

type (
	redraw    struct{}
	lastFrame struct{}
)

var _ tea.Model = liveModel{}

func (m liveModel) Init() tea.Cmd { return nextRedraw() }

func nextRedraw() tea.Cmd {
	return tea.Tick(redrawEvery, func(time.Time) tea.Msg { return redraw{} })
}

func (m liveModel) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width = msg.Width
	case redraw:
		m.frame = m.now()
		return m, nextRedraw()
	case lastFrame:
		m.frame = m.now()
		return m, tea.Quit
	}
	return m, nil
}

func (m liveModel) View() tea.View { return tea.NewView(m.frame.render(m.width) + "\n") }

// frame is what the live view of a fleet shows now.
func (r *recorder) frame(members []member, s settings) frame {
	v := s.verdicts.list()
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	rep := &r.report
	f := frame{
		title:     fmt.Sprintf("device-sim  seed %d", s.seed),
		elapsed:   now.Sub(r.started),
		unit:      "executions",
		connected: rep.connected,
		devices:   len(members),
		cells: []cell{
			{"queued", max(0, rep.told-(rep.working-rep.untold))}, {"in progress", rep.working},
			{"succeeded", rep.Executions[statusSucceeded]}, {"failed", rep.Executions[statusFailed]}, {"rejected", rep.Executions[statusRejected]},
			{"canceled", rep.Executions[outcomeCanceled]}, {"unanswered", rep.Executions[outcomeSilent]},
		},
		requests: r.recent.rows(now, r.latency),
		problems: []cell{{"errors", rep.Errors}, {"repeated requests", rep.Repeats}, {"lost replies", rep.LostReplies}, {"devices that went wrong", rep.NotOK}},
		judged:   s.verdicts != nil,
		verdicts: v,
	}
	for _, m := range members {
		f.all += m.untilJobs
	}
	for _, c := range f.cells[2:] {
		if c.name != "canceled" {
			f.done += c.n
		}
	}
	f.left = timeLeft(f.elapsed, s.duration, s.timeout, f.done, f.all)
	return f
}
