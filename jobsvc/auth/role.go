package auth

import (
	"strings"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// Allows tells whether an operator of a role may call an AWS operation, by its
// name: a viewer those that only read (Describe, Get, List), an operator all but
// the management of access keys, an admin all.
func Allows(role jobsvc.Role, operation string) bool {
	switch role {
	case jobsvc.RoleAdmin:
		return true
	case jobsvc.RoleOperator:
		return !strings.Contains(operation, "AccessKey")
	case jobsvc.RoleViewer:
		return !strings.Contains(operation, "AccessKey") &&
			(strings.HasPrefix(operation, "Describe") || strings.HasPrefix(operation, "Get") || strings.HasPrefix(operation, "List"))
	}
	return false
}
