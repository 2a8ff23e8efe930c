module github.com/thingjobs/thingjobs

go 1.26.0

require (
	github.com/google/uuid v1.6.0
	github.com/tidwall/btree v1.8.2
)
