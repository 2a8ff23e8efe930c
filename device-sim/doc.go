// Command device-sim runs a fleet of simulated devices against an AWS-IoT-Jobs-compatible
// broker: each one connects with its own certificate, waits for jobs, downloads and verifies
// the artefact that the job document names, and reports how it went.
//
// It speaks the public device protocol only (MQTT 5 over mutual TLS, the jobs topics, presigned
// HTTP downloads) and shares no code with the broker, so a run is also a test of the broker as a
// stranger sees it, and can be pointed at any other implementation of the protocol.
//
// # A device
//
// Devices come from folders as `thingjobs enroll` writes them:
//
//	DIR/<thing>/config.json      {"thingName","endpoint","port","clientId","caFile","certFile","keyFile"}
//	DIR/<thing>/device.key       its private key, PEM
//	DIR/<thing>/device.pem.crt   its certificate, PEM
//	DIR/<thing>/ca.pem           the root it trusts, PEM
//
// Unless told otherwise it follows the one-after-the-other pattern of the AWS guide: on every
// connection it subscribes and then publishes start-next; without an execution it waits for
// notify-next and asks again. It never works straight from a notification. Three goroutines of ours
// serve a device:
//
//	link.serve        connects, and connects again
//	device.run        connection up, notification, retry due, execution over → ask or wait
//	device.execute    one execution: download, verify, install, report
//
// so that a connection lost in the middle of a download is repaired (subscribe, ask) while the
// download goes on. An execution is known by (jobId, executionNumber): the same pair offered again
// continues what is running and never starts a second time.
//
// A witness sees everything a device sends and receives, and holds the broker to the protocol.
//
// docs/device-sim.md is for those who use it.
//
// # Files
//
//	main.go, options.go         command line, signals, exit status
//	identity.go                 device folders
//	fleet.go                    all devices of a run, and when the run ends
//	scenario.go, assertion.go   fleets from a file
//	device.go, style.go         the main loop of a device, and how it asks for work
//	link.go, conn.go            its connection, request and reply
//	session.go, 5 and 3         MQTT, in two versions
//	sources.go, limits.go       addresses, ports and open files
//	message.go                  the job messages a device reads and writes
//	execution.go                one execution, start to terminal report
//	artefact.go, download.go    what to download, and downloading it
//	decision.go, manner.go      what was drawn for an execution and for a device
//	witness.go, verdict.go      what the broker is held to
//	                            witness_reply.go, witness_notify.go: by kind of message
//	controlplane.go, jobs.go    what an operator does: counters; jobs for the devices of the run
//	steady.go                   whether the server stays as it is in a long run
//	view.go, live.go, recent.go what is seen while it runs
//	recorder.go, report.go      events, counts, latencies, the final report; junit.go, report_html.go, metrics.go
//	load.go, load_report.go     the open-loop load
//	agent.go, handler.go        one real device
package main
