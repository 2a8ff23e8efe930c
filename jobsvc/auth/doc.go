// Package auth says who is calling and what they may do. Operators sign requests
// with access keys that have a role; devices present certificates. Values go in
// and decisions come out: it knows neither *http.Request nor an MQTT client, reads
// no clock and no file.
//
// A request is authenticated in two steps, because the secret is the caller's to
// look up:
//
//	sig, err := auth.ParseSignature(r)        // who claims to have signed it, for which service
//	key, err := engine.AccessKey(ctx, sig.AccessKeyID)
//	err = sig.Verify(r, key.Secret, now)
//	ok := auth.Allows(key.Role, "CreateJob")
//
// The installation's CA is here as well: it issues the certificates that the
// decisions about devices rest on.
//
// Specification: control-plane.md 1.4, 1.10 and 9; broker.md 6.
package auth
