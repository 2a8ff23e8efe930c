// Package jobsvc is the domain of thingjobs: jobs, executions, things, and the
// rules between them, in the words of AWS IoT Jobs. It imports the standard
// library only, does no I/O, starts no goroutine and reads no clock.
//
// # Map
//
//	devices  ── MQTT/TLS ──▶ broker  ─┐
//	         ── HTTPS mTLS ▶ httpapi ─┼─▶ engine ─▶ store ─▶ kv (badgerkv | memkv)
//	operators ─ HTTPS SigV4▶ httpapi ─┘      ▲
//	                          scheduler ─────┘  due timers: starts, rollout steps, sweeps, timeouts
//	presign: fills placeholders for broker alone, as a document leaves over MQTT
//
// Below this directory:
//
//	store/      typed records, keys and codec on kv.DB; store/kv is the contract
//	schedule/   cron expressions, and when maintenance windows open
//	policy/     the language of IoT policies: text in, a decision out
//	query/      the language of dynamic thing groups and SearchIndex
//	registry/   how the targets of a job resolve to groups, and groups to things
//	rollout/    arithmetic: how many things a minute, abort or not, retry or not
//	engine/     one method per AWS operation; transactions; what to notify
//	scheduler/  sleeps until the earliest stored timer, fires it through the engine
//	auth/       who is calling and what they may do: values in, decision out
//	wire/       the bytes: JSON shapes, timestamps, error codes of both planes
//	httpapi/    the HTTP edge: SigV4, the control plane and the jobs data plane
//
// # States of a Job
//
//	  CreateJob ── start time to come, or no window open ──▶ SCHEDULED
//	      │                                                  │ start │ CancelJob
//	      ▼◀─────────────────────────────────────────────────┘       ▼
//	IN_PROGRESS ── SNAPSHOT, all executions terminal ──▶ COMPLETED   CANCELED
//	      │ CancelJob, abortConfig                           │
//	      ▼              DeleteJob                           ▼ DeleteJob
//	  CANCELED ───────────────▶ DELETION_IN_PROGRESS ──▶ gone
//
// DeleteJob with force goes from SCHEDULED and IN_PROGRESS to DELETION_IN_PROGRESS as
// well. A SCHEDULED job whose end time comes first is COMPLETED or CANCELED. A CONTINUOUS
// job stays IN_PROGRESS until it is canceled or deleted.
//
// # States of a JobExecution
//
//	          start-next, update                     update
//	QUEUED ─────────────────────▶ IN_PROGRESS ──────────────▶ SUCCEEDED, FAILED, REJECTED
//	  │  │                         │  │   │ ▲
//	  │  └── update ───────────────┼──┼───┼─┼───────────────▶ (the same three)
//	  │                            │  │   └─┘ update (progress)
//	  │                            │  └─ deadline ──────────▶ TIMED_OUT
//	  ├─ CancelJob(Execution) ─────┴─ the same with force ──▶ CANCELED
//	  └─ thing deleted ─────────────── thing deleted ───────▶ REMOVED
//
// There is no way back from IN_PROGRESS to QUEUED and none out of a terminal
// status. A device that restarts gets its IN_PROGRESS execution again. A retry is
// another execution, made with the end of the one that FAILED or TIMED_OUT.
//
// # Why it is cut this way
//
// A thing's pending executions are one record, apart from the ended ones: one read gives
// the queue whole, and the number of keys written is what a request costs. The price is
// that a change of status rewrites the queue, so its size is bounded (MaxPending).
//
// A snapshot is not copied: memberships carry when they began, and leave a record of when
// they ended for as long as an unfinished rollout may ask, so that a cursor and the time
// the job began tell who was a member. What is announced to devices follows
// from a fingerprint of what was announced last (QueueNotice), kept with the queue: a
// change hidden behind a canceled job is announced once, whoever touches the record
// first.
//
// Requests of a device run on its connection's goroutine until they are durable. Answering
// from other goroutines measured alike and is much harder to follow.
package jobsvc
