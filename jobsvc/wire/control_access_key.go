package wire

import "github.com/thingjobs/thingjobs/jobsvc"

// The operations on access keys are no part of AWS IoT: they have IAM's names and
// paths of their own below /operators.

// DecodeCreateAccessKey reads POST /operators/access-keys.
func DecodeCreateAccessKey(in *ControlInput) (*jobsvc.CreateAccessKeyRequest, error) {
	d := &controlDecoder{in: in}
	o := d.body()
	r := &jobsvc.CreateAccessKeyRequest{Name: o.text("name"), Role: jobsvc.Role(o.text("role"))}
	if err := d.result(); err != nil {
		return nil, err
	}
	return r, r.Validate()
}

// DecodeListAccessKeys reads GET /operators/access-keys.
func DecodeListAccessKeys(in *ControlInput) (jobsvc.Page, error) {
	d := &controlDecoder{in: in}
	return d.page("maxResults", "nextToken"), d.result()
}

type accessKey struct {
	AccessKeyID     string      `json:"accessKeyId"`
	SecretAccessKey string      `json:"secretAccessKey,omitempty"`
	Name            string      `json:"name"`
	Role            jobsvc.Role `json:"role"`
	CreatedAt       controlTime `json:"createdAt"`
}

func newAccessKey(k *jobsvc.AccessKey) accessKey {
	return accessKey{k.ID, k.Secret, k.Name, k.Role, controlTime(k.CreatedAt)}
}

// EncodeAccessKey answers CreateAccessKey: the one time that the secret is told.
func EncodeAccessKey(k *jobsvc.AccessKey) []byte { return encode(newAccessKey(k)) }

// EncodeListAccessKeys answers ListAccessKeys.
func EncodeListAccessKeys(r *jobsvc.ListAccessKeysResult) []byte {
	keys := make([]accessKey, 0, len(r.Keys))
	for i := range r.Keys {
		keys = append(keys, newAccessKey(&r.Keys[i]))
	}
	return encode(struct {
		AccessKeys []accessKey `json:"accessKeys"`
		NextToken  string      `json:"nextToken,omitempty"`
	}{keys, r.NextToken})
}
