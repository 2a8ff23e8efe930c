module github.com/thingjobs/thingjobs

go 1.26
