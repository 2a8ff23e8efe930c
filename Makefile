# thingjobs: make help

GO      ?= go
BIN     := bin
PKGS    := ./...
FUZZTIME ?= 10s

.DEFAULT_GOAL := help
.PHONY: help run build test race lint fuzz e2e bench cover tidy clean vuln debs

include tools.mk

help: ## Show the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sort | awk -F':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

build: ## Build the binaries into bin/
	$(GO) build -trimpath -o $(BIN)/thingjobs ./cmd/thingjobs
	$(GO) build -trimpath -o $(BIN)/device-sim ./device-sim

run: build tools-s3 ## Build everything and run the main job with 25 simulated devices
	$(BIN)/thingjobs demo

test: build tools-s3 debs ## Install what is missing and run all tests
	$(GO) test -timeout 10m $(PKGS)

race: build tools-s3 ## All tests under the race detector
	$(GO) test -race -timeout 20m -short $(PKGS)

e2e: build tools-s3 debs ## The end-to-end tests alone, with the real clients
	$(GO) test -timeout 10m -count=1 ./cmd/thingjobs

lint: tools-lint ## gofmt, go vet, staticcheck, generated files fresh
	@fmt="$$(gofmt -s -l $$(git ls-files '*.go'))"; if [ -n "$$fmt" ]; then echo "gofmt -s would change:"; echo "$$fmt"; exit 1; fi
	$(GO) vet $(PKGS)
	$(BIN)/tools/staticcheck $(PKGS)
	$(GO) generate ./jobsvc/httpapi ./jobsvc/wire/model
	@git diff --exit-code --stat jobsvc/httpapi/operations.go jobsvc/wire/model/iot.go || { echo "go generate changed it: commit the result"; exit 1; }

vuln: tools-lint ## Known vulnerabilities (needs the vulnerability database)
	$(BIN)/tools/govulncheck $(PKGS)

fuzz: ## Every fuzz target for FUZZTIME
	scripts/fuzz.sh $(FUZZTIME)

cover: ## Coverage by function
	$(GO) test -short -coverprofile=cover.out $(PKGS) && $(GO) tool cover -func=cover.out | tail -1

bench: build ## Compare with peers and floors, in one table and bench.json; BENCH="--only updates" selects
	@scripts/debs.sh mosquitto python3
	$(GO) build -trimpath -o $(BIN)/bench ./cmd/bench
	$(BIN)/bench $(BENCH)

tidy: ## go mod tidy
	$(GO) mod tidy

# The clients that the end-to-end tests drive, real ones from Debian.
debs:
	@scripts/debs.sh awscli mosquitto-clients python3-paho-mqtt python3-boto3

clean: ## Remove what was built
	rm -rf $(BIN) cover.out
