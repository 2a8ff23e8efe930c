# Programs that tests, lint and `thingjobs demo` use. They have a module of their own,
# cmd/internal/tools, so that the product's dependency list stays short. The first
# build of versitygw takes some minutes; after that this does nothing until a
# version in cmd/internal/tools/go.mod changes.

TOOLS_DIR := $(CURDIR)/bin/tools
TOOLS_MOD := cmd/internal/tools/go.mod cmd/internal/tools/go.sum

.PHONY: tools tools-s3 tools-lint
tools: tools-s3 tools-lint
tools-s3: $(TOOLS_DIR)/versitygw
tools-lint: $(TOOLS_DIR)/staticcheck $(TOOLS_DIR)/govulncheck

# tool builds the package $(1) of the tools module as the target.
tool = go build -C cmd/internal/tools -ldflags='-s -w' -o $@ $(1) && touch $@

# An S3 server over a directory (Apache-2.0). presign/s3server starts it; by hand:
#
#   mkdir -p /tmp/s3/data /tmp/s3/meta
#   ROOT_ACCESS_KEY=demo ROOT_SECRET_KEY=demosecret bin/tools/versitygw --quiet \
#     --port 127.0.0.1:7070 --region us-east-1 --health /healthz \
#     --disable-strict-bucket-names posix --sidecar /tmp/s3/meta /tmp/s3/data
#
# With --sidecar the file system need not have extended attributes.
$(TOOLS_DIR)/versitygw: $(TOOLS_MOD)
	$(call tool,github.com/versity/versitygw/cmd/versitygw)

$(TOOLS_DIR)/staticcheck: $(TOOLS_MOD)
	$(call tool,honnef.co/go/tools/cmd/staticcheck)

$(TOOLS_DIR)/govulncheck: $(TOOLS_MOD)
	$(call tool,golang.org/x/vuln/cmd/govulncheck)
