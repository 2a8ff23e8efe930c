package badgerkv

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
)

// logger passes on what Badger logs. Its "info" is about its housekeeping,
// which interests nobody in normal operation.
type logger struct{ log *slog.Logger }

func (l logger) Errorf(f string, args ...any)   { l.printf(slog.LevelWarn, f, args) }
func (l logger) Warningf(f string, args ...any) { l.printf(slog.LevelWarn, f, args) }
func (l logger) Infof(f string, args ...any)    { l.printf(slog.LevelDebug, f, args) }
func (l logger) Debugf(f string, args ...any)   { l.printf(slog.LevelDebug, f, args) }

func (l logger) printf(level slog.Level, f string, args []any) {
	if l.log.Enabled(context.Background(), level) {
		l.log.Log(context.Background(), level, "badger: "+strings.TrimSpace(fmt.Sprintf(f, args...)))
	}
}
