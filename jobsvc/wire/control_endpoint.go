package wire

import "github.com/thingjobs/thingjobs/jobsvc"

// The endpoint types of DescribeEndpoint. Data and DataATS are the same host here.
const (
	EndpointData               = "iot:Data"
	EndpointDataATS            = "iot:Data-ATS"
	EndpointJobs               = "iot:Jobs"
	EndpointCredentialProvider = "iot:CredentialProvider"
)

// DecodeDescribeEndpoint reads GET /endpoint; no type means EndpointData.
func DecodeDescribeEndpoint(in *ControlInput) (endpointType string, err error) {
	switch t := in.Query.Get("endpointType"); t {
	case "":
		return EndpointData, nil
	case EndpointData, EndpointDataATS, EndpointJobs, EndpointCredentialProvider:
		return t, nil
	default:
		return "", jobsvc.Errorf(jobsvc.CodeInvalidRequest, "The endpointType '%s' is not one of %s, %s, %s and %s.",
			printable(t), EndpointData, EndpointDataATS, EndpointJobs, EndpointCredentialProvider)
	}
}

// EncodeDescribeEndpoint answers DescribeEndpoint.
func EncodeDescribeEndpoint(address string) []byte {
	return encode(struct {
		EndpointAddress string `json:"endpointAddress"`
	}{address})
}
