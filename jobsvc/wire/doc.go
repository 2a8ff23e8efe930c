// Package wire is the bytes of both planes: JSON shapes, timestamps, size checks,
// and the tables from jobsvc.Code to what each protocol calls it. It has no
// behaviour: it decides nothing about jobs, and it does no I/O.
//
// The files device_*.go are the device plane over MQTT, control_*.go the control
// plane over HTTP. spec: device-plane 3 and 4, control-plane.
package wire
