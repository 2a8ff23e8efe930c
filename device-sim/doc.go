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
// It follows the one-after-the-other pattern of the AWS guide: on every connection it subscribes
// to notify-next and then publishes start-next; without an execution it waits for notify-next and
// asks again. It never works straight from a notification. Two goroutines of ours serve a device:
//
//	device.run        connection up, notification, retry due, execution over → start-next or wait
//	device.execute    one execution: download, verify, install, report
//
// so that a connection lost in the middle of a download is repaired (subscribe, start-next) while
// the download goes on. An execution is known by (jobId, executionNumber): the same pair offered
// again continues what is running and never starts a second time.
//
// # Files
//
//	main.go, options.go      command line, signals, exit status
//	identity.go              device folders
//	fleet.go                 all devices of a run, and when the run ends
//	device.go                the main loop of a device
//	link.go, conn.go         its MQTT connection, request and reply
//	message.go               the job messages a device reads and writes
//	execution.go             one execution, start to terminal report
//	artefact.go, download.go what to download, and downloading it
//	decision.go              the outcome drawn for an execution
//	recorder.go, report.go   events, counts, latencies, the final report
package main
