package httpapi

// operatorOperations manage the access keys of operators and help them. They are not
// AWS's: the paths are ones that the service iot does not have.
var operatorOperations = []binding{
	{"GET", "/operators/access-keys", "ListAccessKeys"},
	{"POST", "/operators/access-keys", "CreateAccessKey"},
	{"DELETE", "/operators/access-keys/{accessKeyId}", "DeleteAccessKey"},
	{"GET", "/operators/things/{thingName}/explanation", "GetThingExplanation"},
	{"POST", "/operators/jobs/{jobId}/check-presigned-urls", "CheckPresignedUrls"},
	{"GET", "/operators/denials", "ListDenials"},
}

var operatorHandlers = map[string]handler{
	"CreateAccessKey": (*api).createAccessKey,
	"DeleteAccessKey": (*api).deleteAccessKey,
	"ListAccessKeys":  (*api).listAccessKeys,
	"ListDenials":     (*api).listDenials,

	"GetThingExplanation": (*api).getThingExplanation,
	"CheckPresignedUrls":  (*api).checkPresignedURLs,
}
