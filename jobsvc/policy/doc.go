// Package policy is the policy language of AWS IoT Core: documents in, decisions out. It
// reads no store and knows no protocol.
//
// A document is parsed once (Parse) and evaluated often (Evaluate): patterns are taken
// apart when it is parsed, and only those with variables are put together again for a
// request.
//
// Specification: control-plane.md 10.2 and 10.3.
package policy
