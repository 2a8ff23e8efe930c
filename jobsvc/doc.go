// Package jobsvc is the domain of thingjobs: jobs, executions, things, and the
// rules between them, in the words of AWS IoT Jobs. It imports the standard
// library only, does no I/O, starts no goroutine and reads no clock.
//
// # Map
//
//	devices  ── MQTT/TLS ──▶ broker  ─┐
//	         ── HTTPS mTLS ▶ httpapi ─┼─▶ engine ─▶ store ─▶ kv (badgerkv | memkv)
//	operators ─ HTTPS SigV4▶ httpapi ─┘      ▲
//	                          scheduler ─────┘  due timers: see below
//	presign: fills placeholders for broker alone, as a document leaves over MQTT
//	mqttws:  MQTT over WebSocket, handed to broker
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
//	  CreateJob ── start to come, or no window open ─▶ SCHEDULED
//	      │                                               │   ▲
//	      ▼◀──────────── start time, window opens ────────┘   │
//	IN_PROGRESS ───── window closes, another one comes ───────┘
//	      │
//	      ├─ SNAPSHOT: rolled out, nothing pending ──────▶ COMPLETED ─┐
//	      ├─ end time, last window: nothing pending ─────▶ COMPLETED ─┤
//	      ├─ CancelJob, abortConfig ─────────────────────▶ CANCELED  ─┤ DeleteJob, retention
//	      ├─ end time: CANCEL, FORCE_CANCEL ─────────────▶ CANCELED  ─┤
//	      └─ DeleteJob with force ─────────────────────▶ DELETION_IN_PROGRESS ──▶ gone
//
// SCHEDULED has the ways out of IN_PROGRESS too, but for the first: a job between two
// windows has executions that end. At its end time a job that stops its rollout only, and
// has executions left, stays IN_PROGRESS and is Stopped. Operators move a job by CreateJob,
// CancelJob and DeleteJob; all else is done by timers, and by settle, which looks at a job
// when an execution of it has ended.
//
// # States of a JobExecution
//
//	          start-next, update                     update
//	QUEUED ─────────────────────▶ IN_PROGRESS ──────────────▶ SUCCEEDED, FAILED, REJECTED
//	  │  │                         │  │   │ ▲
//	  │  └── update ───────────────┼──┼───┼─┼───────────────▶ (the same three)
//	  │                            │  │   └─┘ update (progress)
//	  │                            │  └─ deadline ──────────▶ TIMED_OUT
//	  ├─ cancel, abort, end time ──┴─ the same with force ──▶ CANCELED
//	  └─ thing leaves, is deleted ─── thing is deleted ─────▶ REMOVED
//
// There is no way back from IN_PROGRESS to QUEUED and none out of a terminal
// status. A device that restarts gets its IN_PROGRESS execution again. A retry is
// another execution, made with the end of the one that FAILED or TIMED_OUT. Between the
// maintenance windows of its job a QUEUED execution is hidden from its device.
//
// # What is in which transaction
//
// A transaction has one scope, a thing or a job (see store/kv). That of a thing has an
// execution with its queue, its timeout, its counts, its event, the retry that follows,
// and, of a change of memberships, all that CONTINUOUS jobs make of it. That of a job has
// its status, its timers, the place of its rollout, its event. What one means for the
// other goes in steps that can be repeated: an execution that ended asks settle for a
// look at its job (abort, then completion), a job that is canceled leaves a timer, whose
// sweep ends its executions one thing after the other.
//
// # Timers
//
// Stored with the change that wants them, fired by the scheduler through engine.Fire, each
// as often as it takes; one that is not current any more does nothing.
//
//	start     the job begins, or its next window opens
//	rollout   the next executions; with a rate once a minute
//	close     the window closes
//	window    devices are told of executions that are hidden, or there again
//	end       the end time
//	cancel    sweep: ends executions of a canceled job, and QUEUED ones of one without windows to come
//	delete    sweep: deletes executions, then the job
//	timeout   of an execution: the earlier of the job's and the step's; of a QUEUED one, when a
//	          retry is shown, or it has waited too long
//	group     sweep: members of a deleted group
//	dynamic   the search for members of a new dynamic group, or of one with a new query
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
