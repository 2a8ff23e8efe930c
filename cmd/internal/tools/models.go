//go:build models

// Package tools keeps in go.mod what is used without being built: the module
// whose service models jobsvc/wire/model is generated from and tested against.
package tools

import _ "github.com/aws/aws-sdk-go/aws"
