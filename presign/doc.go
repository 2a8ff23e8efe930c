// Package presign turns the placeholders of a job document into presigned S3 URLs.
//
// An operator writes ${aws:iot:s3-presigned-url:LOCATION} into a document. The
// document is stored, described and returned with the placeholder in it; as it
// leaves for a device over MQTT, and only then, the placeholder becomes a signed
// URL that lives for the time the job's presignedUrlConfig gives.
//
// A [Signer] answers the engine's questions (may this document be in a job, are its
// objects there, could it be signed now), gets documents from a documentSource, and
// substitutes for the broker. It knows documents, stores and credentials; it knows nothing of
// jobs, devices or MQTT. A signed URL is a bearer secret: no error, log line or
// metric of this package contains one.
//
// How a document goes through the files here:
//
//	document.go  the JSON text → string tokens → placeholders   (syntax, byte exact)
//	location.go  the body of a placeholder → bucket, key, version, host
//	store.go     location + the role's store → the object's URL (match, style, region)
//	upload.go    the keys of uploads, which name an execution
//	role.go      who signs, and the buckets and keys allowed
//	credentials.go  of roles: static ones, and temporary ones with their renewal
//	signer.go    Check, Ready, Substitute
//	urls.go      signed URLs, reused for a short time
//	check.go     are the objects there? verifyObjects, and trying a job's URLs
//	fetch.go     documentSource
//	config.go    the configuration and its checks
//
// AWS: Developer Guide "Managing jobs", section on presigned URLs.
package presign
