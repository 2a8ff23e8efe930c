// Package httpapi is the HTTP edge: AWS's REST-JSON API for operators, and the device plane of jobs, on the paths
// that two of AWS's services share. It finds the operation of a request, checks the
// signature and the role, and then does for each operation the same three things:
// decode with package wire, call the engine, encode.
//
// It refuses to know what a job is. The rules of requests are in jobsvc, the bytes
// in wire, the decisions about callers in auth.
//
// Every operation of AWS's service iot has a name here, so that one which is not
// built is refused by name. operations.go is generated from AWS's own SDK.
//
// Specification: control-plane.md 1 and appendix A.
package httpapi
