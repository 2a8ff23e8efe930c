package jobsvc

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// ManagedJobTemplate is a template that AWS provides for its device client (AWS:
// DescribeManagedJobTemplate).
type ManagedJobTemplate struct {
	Name         string
	Version      string
	Description  string
	Environments []string
	Parameters   []DocumentParameter
	Document     string // JSON, with ${aws:iot:parameter:KEY}
}

// DocumentParameter is what a managed template is filled with.
type DocumentParameter struct {
	Key, Description, Regex, Example string
	Optional                         bool

	limit int // characters that Regex allows; 0: any number of them
}

// ManagedJobTemplates are all there are, by name. They are shared: not to be changed.
func ManagedJobTemplates() []*ManagedJobTemplate { return managedTemplates }

// ManagedTemplate finds a template by name and version ("" for the newest); nil when
// there is none.
func ManagedTemplate(name, version string) *ManagedJobTemplate {
	for _, t := range managedTemplates {
		if t.Name == name && (version == "" || version == t.Version) {
			return t
		}
	}
	return nil
}

var (
	runAsUser = DocumentParameter{
		Key: "runAsUser", Optional: true, Regex: "(.){0,256}", limit: 256, Example: "user1",
		Description: "The user the handler is run as. Without one it is the user the device client runs as.",
	}
	pathToHandler = DocumentParameter{
		Key: "pathToHandler", Optional: true, Regex: "(.){0,4096}", limit: 4096, Example: "/home/user/handlers",
		Description: "The directory of the handler, when it is not the one the device client is configured with.",
	}
)

func required(key, example, description string) DocumentParameter {
	return DocumentParameter{Key: key, Regex: "(.*?)", Example: example, Description: description}
}

var managedTemplates = func() []*ManagedJobTemplate {
	packages := func(what string) DocumentParameter {
		return required("packages", "httpd mariadb", "Names of the packages to "+what+", separated by spaces.")
	}
	services := func(what string) DocumentParameter {
		return required("services", "httpd mariadb", "Names of the services to "+what+", separated by spaces.")
	}
	return []*ManagedJobTemplate{
		handlerTemplate("Download-File", "Downloads a file to the device.", "download-file.sh",
			required("downloadUrl", "https://example.com/file.bin", "Where the file is downloaded from."),
			required("filePath", "/tmp/file.bin", "Where it is put on the device.")),
		handlerTemplate("Install-Application", "Installs packages.", "install-packages.sh", packages("install")),
		handlerTemplate("Reboot", "Reboots the device.", "reboot.sh"),
		handlerTemplate("Remove-Application", "Removes packages.", "remove-packages.sh", packages("remove")),
		handlerTemplate("Restart-Application", "Restarts services.", "restart-services.sh", services("restart")),
		commandTemplate(),
		handlerTemplate("Start-Application", "Starts services.", "start-services.sh", services("start")),
		handlerTemplate("Stop-Application", "Stops services.", "stop-services.sh", services("stop")),
	}
}()

// The document of the device client, in the order its authors write it.
type (
	managedDocument struct {
		Version string        `json:"version"`
		Steps   []managedStep `json:"steps"`
	}
	managedStep struct {
		Action managedAction `json:"action"`
	}
	managedAction struct {
		Name      string       `json:"name"`
		Type      string       `json:"type"`
		Input     managedInput `json:"input"`
		RunAsUser string       `json:"runAsUser"`
	}
	managedInput struct {
		Handler string   `json:"handler,omitempty"`
		Args    []string `json:"args,omitempty"`
		Path    string   `json:"path,omitempty"`
		Command string   `json:"command,omitempty"`
	}
)

func handlerTemplate(action, description, handler string, params ...DocumentParameter) *ManagedJobTemplate {
	in := managedInput{Handler: handler, Path: parameter("pathToHandler")}
	for _, p := range params {
		in.Args = append(in.Args, parameter(p.Key))
	}
	return managedTemplate(action, description, "runHandler", in, append(params, runAsUser, pathToHandler))
}

func commandTemplate() *ManagedJobTemplate {
	command := required("command", "systemctl,status,httpd", `A command and its arguments, separated by commas. A comma inside of one is written \,.`)
	return managedTemplate("Run-Command", "Runs a shell command.", "runCommand", managedInput{Command: parameter("command")}, []DocumentParameter{command, runAsUser})
}

func managedTemplate(action, description, kind string, in managedInput, params []DocumentParameter) *ManagedJobTemplate {
	doc, err := json.MarshalIndent(managedDocument{"1.0", []managedStep{{managedAction{action, kind, in, parameter("runAsUser")}}}}, "", "  ")
	if err != nil {
		panic("jobsvc: managed template: " + err.Error()) // the types are fixed
	}
	return &ManagedJobTemplate{
		Name: "AWS-" + action, Version: "1.0", Description: description, Environments: []string{"LINUX"},
		Parameters: params, Document: string(doc),
	}
}

func parameter(key string) string { return "${aws:iot:parameter:" + key + "}" }

// Fill puts the values of parameters into the template's document, escaped as JSON
// strings; optional ones that are not given become empty. Errors: CodeInvalidRequest for
// a parameter that is missing, not known, or not of its form.
func (t *ManagedJobTemplate) Fill(values map[string]string) ([]byte, error) {
	var pairs []string
	known := map[string]bool{}
	for _, p := range t.Parameters {
		known[p.Key] = true
		v, given := values[p.Key]
		switch {
		case !given && !p.Optional:
			return nil, Errorf(CodeInvalidRequest, "The template %s wants a value for the document parameter %s.", t.Name, p.Key)
		case p.limit > 0 && utf8.RuneCountInString(v) > p.limit || strings.ContainsAny(v, "\r\n"):
			return nil, Errorf(CodeInvalidRequest, "The document parameter %s of the template %s must match %s.", p.Key, t.Name, p.Regex)
		}
		text, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, parameter(p.Key), string(text[1:len(text)-1]))
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if !known[key] {
			return nil, Errorf(CodeInvalidRequest, "The template %s has no document parameter %s.", t.Name, clip(key))
		}
	}
	// A Replacer looks at the template alone, not at what it put in.
	return []byte(strings.NewReplacer(pairs...).Replace(t.Document)), nil
}
