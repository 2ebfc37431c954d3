# make without a goal lists what there is.
.DEFAULT_GOAL := help
.PHONY: help run build image test lint generate fuzz bench bench-short e2e hostile chaos

TOOL := go tool -modfile=internal/tools/go.mod

help: ## list the goals
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## serve with the embedded demo cluster on http://127.0.0.1:8080
	go run . --demo $(ARGS)

build: ## build bin/pullwatch, a static program
	CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o bin/pullwatch .

image: build ## push an image that holds only the program: make image IMAGE=registry.example/pullwatch:1
	deploy/push-image $(IMAGE) $(ARGS)

test: ## run the tests
	go vet ./...
	go test -race -timeout 15m ./...
	cd internal/bench && go test -race -timeout 15m .

FUZZTIME ?= 1m

fuzz: ## run every fuzz target for FUZZTIME (1m), and keep what is found for the tests: make fuzz ARGS=./internal/serve/jsonreader
	internal/tools/fuzz $(FUZZTIME) $(or $(ARGS),./...)

lint: ## check formatting, vet, static analysis
	@out=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$out" || { echo "gofmt would change:"; echo "$$out"; exit 1; }
	go vet ./...
	$(TOOL) staticcheck ./...
	cd e2e && go vet ./... && go tool -modfile=../internal/tools/go.mod staticcheck ./...
	cd internal/bench && go vet . && go tool -modfile=../tools/go.mod staticcheck .

generate: ## make the generated files anew
	$(TOOL) gqlgen generate
	go generate ./...
	go mod tidy
	cd e2e && go generate ./... && go mod tidy
	cd internal/bench && go mod tidy

bench: ## measure lists, on the cluster that e2e would use, and serving GraphQL; write docs/performance.md
	cd internal/bench && go run . $(ARGS)

bench-short: ## run all of bench for moments, to see that it works: the figures mean nothing and are not written
	cd internal/bench && go run . --rounds=1 --seconds=1 --pulls=20 --connections=50 --lines=2000 --docs= $(ARGS)

e2e: ## run the end-to-end tests on a real cluster, made on this machine unless KUBECONFIG and E2E_REGISTRY are given
	cd e2e && go test -p 1 -parallel 16 -count=1 -timeout 45m -v ./...

hostile: ## let clients do their worst to one replica for two minutes, while well-behaved ones must notice nothing
	cd e2e && go test -count=1 -timeout 15m -v ./hostile -args -long $(ARGS)

chaos: ## let faults come upon three replicas at random, on the cluster that e2e uses: make chaos ARGS='-seed 4711 -seeds 10 -redis one'
	cd e2e && go test -count=1 -timeout 12h -v ./chaos -args -long $(ARGS)
