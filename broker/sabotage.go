//go:build sabotage

package broker

import (
	"os"
	"sync/atomic"
)

var sabotaged atomic.Int64

// sabotage has a test build repeat one notify-next: the fifth, when THINGJOBS_SABOTAGE says so.
func (n *notifier) sabotage(q *queue, head uint64, next []byte) {
	if os.Getenv("THINGJOBS_SABOTAGE") == "repeat-notification" && sabotaged.Add(1) == 5 {
		n.deliver(q, true, head, next)
	}
}
