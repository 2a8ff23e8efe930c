package jobsvc

import "strings"

// Account is what the ARNs of this installation begin with.
type Account struct {
	Partition string // "aws"
	Region    string
	ID        string // twelve digits
}

// DefaultAccount is used where the configuration names none.
var DefaultAccount = Account{Partition: "aws", Region: "us-east-1", ID: "123456789012"}

// ARN joins the parts of a resource: ARN("job", "fw-1").
func (a Account) ARN(kind, name string) string {
	return a.Prefix() + kind + "/" + name
}

// Prefix is what every ARN of the account begins with, up to the kind.
func (a Account) Prefix() string { return "arn:" + a.Partition + ":iot:" + a.Region + ":" + a.ID + ":" }

// Parse splits an ARN of this account into kind and name. ok is false for
// anything else: another partition, service, region or account included.
func (a Account) Parse(arn string) (kind, name string, ok bool) {
	rest, ok := strings.CutPrefix(arn, a.Prefix())
	if !ok {
		return "", "", false
	}
	kind, name, ok = strings.Cut(rest, "/")
	return kind, name, ok && kind != "" && name != ""
}

// The kinds of resources in ARNs.
const (
	ARNThing       = "thing"
	ARNThingGroup  = "thinggroup"
	ARNThingType   = "thingtype"
	ARNJob         = "job"
	ARNCert        = "cert"
	ARNPolicy      = "policy"
	ARNCACert      = "cacert"
	ARNJobTemplate = "jobtemplate"
)

// IsRoleARN tells whether s looks like the ARN of a role, in any account.
func IsRoleARN(s string) bool {
	p := strings.SplitN(s, ":", 6)
	return len(p) == 6 && p[0] == "arn" && p[1] != "" && p[2] == "iam" && strings.HasPrefix(p[5], "role/") && len(p[5]) > len("role/")
}
