package jobsvc_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/thingjobs/thingjobs/"

// What others make, by the path that all its packages begin with.
const (
	mochi  = "github.com/mochi-mqtt/server"
	badger = "github.com/dgraph-io/badger"
	rapid  = "pgregory.net/rapid"
)

// pkg is what go list tells of a package.
type pkg struct {
	ImportPath                string
	Imports, Deps             []string
	TestImports, XTestImports []string
	Standard                  bool
}

// importRule says what packages may import. Those of ours go by their directory.
type importRule struct {
	of  []string // the packages it is about; nil: all but those in except
	why string

	// only, when not nil, are the packages of ours they may import, and external says
	// whether those of others are allowed, too.
	only     []string
	external bool
	// never lists packages they must not import; deep: not through others either.
	never []string
	deep  bool
	// except may import what never says all others must not; their tests too.
	except []string
	// tests may import it in their tests alone.
	tests []string
}

// importRules are the arrows of who imports whom: cmd, the edges, the engine, the store,
// kv, and jobsvc below all of them.
var importRules = []importRule{
	{
		of: []string{"jobsvc"}, only: []string{},
		why: "the domain imports the standard library alone: it does no I/O and is the same under every edge",
	},
	{
		of: []string{"jobsvc/rollout"}, only: []string{"jobsvc"},
		why: "rollout is arithmetic: it knows the domain and nothing else",
	},
	{
		of: []string{"jobsvc/query"}, only: []string{"jobsvc"},
		why: "a query is text in, an answer about a thing out: it knows the domain and nothing else",
	},
	{
		of: []string{"jobsvc/wire"}, only: []string{"jobsvc", "jobsvc/wire/model"},
		why: "wire is bytes: it knows the domain and the service model and nothing else",
	},
	{
		of: []string{"jobsvc/wire/model"}, only: []string{},
		why: "the service model is a table of constraints: it does not know what operations mean",
	},
	{
		of: []string{"jobsvc/auth"}, only: []string{"jobsvc", "jobsvc/policy", "jobsvc/wire"}, external: true,
		why: "auth takes values and gives decisions: it knows no store and no engine",
	},
	{
		of: []string{"jobsvc/store/kv"}, only: []string{},
		why: "the storage contract knows nothing of what is stored, nor who implements it",
	},
	{
		of: []string{"jobsvc/store/badgerkv", "jobsvc/store/memkv"}, only: []string{"jobsvc/store/kv"}, external: true,
		why: "an implementation of kv knows nothing of what is stored",
	},
	{
		of: []string{"jobsvc/store"}, only: []string{"jobsvc", "jobsvc/store/kv"},
		why: "the store is written once, over the contract: cmd picks the implementation",
	},
	{
		of: []string{"jobsvc/registry"}, only: []string{"jobsvc", "jobsvc/store"},
		why: "the registry is functions of the store",
	},
	{
		of: []string{"jobsvc/policy"}, only: []string{"jobsvc"},
		why: "a policy is a text and a decision: it knows the domain and nothing else",
	},
	{
		of: []string{"jobsvc/schedule"}, only: []string{"jobsvc"}, external: true,
		why: "schedule is arithmetic on times: it knows the domain and a parser of cron expressions",
	},
	{
		of: []string{"jobsvc/engine"}, only: []string{"jobsvc", "jobsvc/policy", "jobsvc/query", "jobsvc/registry", "jobsvc/rollout", "jobsvc/schedule", "jobsvc/store", "jobsvc/store/kv"}, external: true,
		why: "the engine decides in transactions of the store and knows no edge",
	},
	{
		of: []string{"jobsvc/engine", "jobsvc/registry", "jobsvc/store", "jobsvc/store/kv"}, deep: true,
		never: []string{"broker", "jobsvc/httpapi", "jobsvc/console", "jobsvc/wire", "jobsvc/auth", "presign", mochi, badger, "net/http"},
		why:   "the same engine is under every edge and over every store; it speaks neither MQTT nor HTTP",
	},
	{
		of: []string{"jobsvc/scheduler"}, only: []string{"jobsvc", "jobsvc/engine", "jobsvc/store"}, external: true,
		why: "the scheduler only makes time pass for the engine",
	},
	{
		of: []string{"broker"}, never: []string{"jobsvc/httpapi", "jobsvc/console"},
		why: "edges do not know each other; what both need is in engine, auth or wire",
	},
	{
		of: []string{"jobsvc/httpapi"}, never: []string{"broker", "jobsvc/console"},
		why: "edges do not know each other; what both need is in engine, auth or wire",
	},
	{
		of: []string{"jobsvc/console"}, never: []string{"broker", "jobsvc/httpapi"},
		why: "edges do not know each other; what both need is in engine, auth or wire",
	},
	{
		of:    []string{"broker", "jobsvc/httpapi", "jobsvc/console"},
		never: []string{"jobsvc/store", "jobsvc/registry", "jobsvc/scheduler"},
		why:   "an edge that reads the store is an operation missing from engine",
	},
	{
		never: []string{"presign"}, except: []string{"presign", "broker", "cmd"},
		why: "only the broker fills placeholders (cmd wires it): all others carry a document as its operator wrote it",
	},
	{
		never: []string{badger}, except: []string{"jobsvc/store/badgerkv", "cmd/bench"},
		why: "badgerkv is the only package that knows Badger (bench, which is not shipped, measures against it)",
	},
	{
		never: []string{mochi}, except: []string{"broker", "cmd/bench"}, tests: []string{"device-sim"},
		why: "the broker package is the only one that knows mochi (device-sim may test against it, and bench, which is not shipped, measures against it)",
	},
	{
		never: []string{rapid}, tests: []string{"jobsvc/engine"},
		why: "rapid is under a license that is for tests alone",
	},
	{
		never: []string{"cmd"}, except: []string{"cmd"},
		why: "programs are nobody's library",
	},
	{
		of: []string{"device-sim"}, only: []string{"jobsvc/wire"}, external: true,
		why: "device-sim judges the broker from outside: what it shared with it could be wrong in both",
	},
}

// mayBeAbsent are packages that a rule names before they are there.
var mayBeAbsent = []string{
	"broker", "cmd", "cmd/bench", "device-sim", "jobsvc/auth", "jobsvc/console", "jobsvc/httpapi", "jobsvc/rollout", "jobsvc/wire",
}

func TestImports(t *testing.T) {
	pkgs := listPackages(t)
	for _, rule := range importRules {
		for _, name := range slices.Concat(rule.of, rule.except) {
			if !slices.ContainsFunc(pkgs, func(p pkg) bool { return within(short(p.ImportPath), name) }) && !slices.Contains(mayBeAbsent, name) {
				t.Errorf("a rule is about %s, which is not there: %s", name, rule.why)
			}
		}
		for _, p := range pkgs {
			for _, broken := range rule.check(p) {
				t.Errorf("%s imports %s\n\t%s", short(p.ImportPath), broken, rule.why)
			}
		}
	}
}

// check gives the imports of p that break the rule.
func (r *importRule) check(p pkg) (broken []string) {
	name := short(p.ImportPath)
	in := func(list []string) bool {
		return slices.ContainsFunc(list, func(of string) bool { return within(name, of) })
	}
	if r.of != nil && !slices.Contains(r.of, name) {
		return nil
	}
	imports := p.Imports
	if r.deep {
		imports = p.Deps
	}
	if r.of == nil {
		if in(r.except) {
			return nil
		}
		if !in(r.tests) {
			imports = slices.Concat(imports, p.TestImports, p.XTestImports)
		}
	}
	for _, path := range imports {
		forbidden := slices.ContainsFunc(r.never, func(n string) bool { return within(short(path), n) })
		if r.only != nil {
			ours := strings.HasPrefix(path, module)
			forbidden = forbidden || ours && !slices.Contains(r.only, short(path)) || !ours && !standard(path) && !r.external
		}
		if forbidden && !slices.Contains(broken, short(path)) {
			broken = append(broken, short(path))
		}
	}
	return broken
}

// TestImportRules: the rules see what they are for.
func TestImportRules(t *testing.T) {
	for _, tc := range []struct {
		pkg     string
		imports string
		test    bool
		broken  bool
	}{
		{"jobsvc", "time", false, false},
		{"jobsvc", "github.com/google/uuid", false, true},
		{"jobsvc", module + "jobsvc/store", false, true},
		{"jobsvc/wire", module + "jobsvc", false, false},
		{"jobsvc/wire", module + "jobsvc/engine", false, true},
		{"jobsvc/query", module + "jobsvc", false, false},
		{"jobsvc/query", module + "jobsvc/store", false, true},
		{"jobsvc/engine", "net/http", false, true},
		{"jobsvc/engine", "net/url", false, false},
		{"jobsvc/engine", mochi + "/v2", false, true},
		{"jobsvc/engine", badger + "/v4", false, true},
		{"jobsvc/engine", module + "jobsvc/store/memkv", false, true},
		{"jobsvc/engine", module + "jobsvc/store/memkv", true, false},
		{"jobsvc/httpapi", module + "broker", false, true},
		{"jobsvc/httpapi", module + "jobsvc/store", false, true},
		{"jobsvc/httpapi", module + "presign", false, true},
		{"jobsvc/httpapi", module + "jobsvc/store/memkv", true, false},
		{"broker", module + "presign", false, false},
		{"broker", mochi + "/v2/packets", false, false},
		{"broker", module + "jobsvc/console", false, true},
		{"cmd/thingjobs", module + "presign", false, false},
		{"cmd/thingjobs", badger + "/v4", false, true},
		{"cmd/bench", badger + "/v4", false, false},
		{"device-sim", module + "jobsvc/wire", false, false},
		{"device-sim", module + "jobsvc", false, true},
		{"device-sim", mochi + "/v2", false, true},
		{"device-sim", mochi + "/v2", true, false},
		{"presign", module + "presign/s3server", true, false},
	} {
		p := pkg{ImportPath: module + tc.pkg}
		if tc.test {
			p.XTestImports = []string{tc.imports}
		} else {
			p.Imports = []string{tc.imports}
			p.Deps = p.Imports
		}
		broken := slices.ContainsFunc(importRules, func(r importRule) bool { return len(r.check(p)) > 0 })
		if broken != tc.broken {
			t.Errorf("%s importing %s (in a test: %v): broken is %v, want %v", tc.pkg, tc.imports, tc.test, broken, tc.broken)
		}
	}
}

func listPackages(t *testing.T) []pkg {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("there is no go command to ask for the imports")
	}
	// -e: a package that does not build is its own test's affair.
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Imports,Deps,TestImports,XTestImports", module+"...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	var pkgs []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
	return pkgs
}

// short names a package of ours by its directory.
func short(path string) string { return strings.TrimPrefix(path, module) }

// within tells whether a path is a package or below it.
func within(path, of string) bool { return path == of || strings.HasPrefix(path, of+"/") }

// standard: the first part of every other path is a host name.
func standard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}
