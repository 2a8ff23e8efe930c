package presign

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParseTokens(t *testing.T) {
	const ph = "${aws:iot:s3-presigned-url:fw/k}"
	tests := []struct {
		name, doc string
		want      []string // placeholders as decoded
	}{
		{"none", `{"s":"echo ${HOME} $${x}","n":1.0}`, nil},
		{"other dollar brace", `{"s":"${x:y}"}`, nil},
		{"other case", `{"s":"${AWS:IoT:s3-presigned-url:fw/k}"}`, nil},
		{"plain", `{"u":"` + ph + `"}`, []string{ph}},
		{"escaped slash", `{"u":"${aws:iot:s3-presigned-url:fw\/k}"}`, []string{ph}},
		{"escaped dollar", `{"u":"\u0024{aws:iot:s3-presigned-url:fw/k}"}`, []string{ph}},
		{"escaped colon", `{"u":"${aws\u003aiot:s3-presigned-url:fw/k}"}`, []string{ph}},
		{"escaped brace, upper case", `{"u":"${aws:iot:s3-presigned-url:fw/k\u007D"}`, []string{ph}},
		{"escaped backslash before u", `{"u":"\\u0024{aws:iot:s3-presigned-url:fw/k}"}`, nil},
		{"in array", `[1,["x","` + ph + `"]]`, []string{ph}},
		{"top level", `"` + ph + `"`, []string{ph}},
		{"two in one", `{"u":"x ` + ph + ` y ` + ph + ` z"}`, []string{ph, ph}},
		{"after an escaped quote", `{"a":"\"","u":"` + ph + `"}`, []string{ph}},
		{"after an escaped backslash", `{"a":"\\","u":"` + ph + `"}`, []string{ph}},
		{"within shell braces", `{"u":"${X:-` + ph + `}"}`, []string{ph}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tokens, err := parse([]byte(tt.doc))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for p := range placeholders(tokens) {
				got = append(got, p.text)
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%s\n got %q\nwant %q", tt.doc, got, tt.want)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	tests := []struct{ doc, want string }{
		{`{"u":"${aws:iot:s3-presigned-url:fw/k"}`, "not closed"},
		{`{"u":"${aws:iot:"}`, "not closed"},
		{`{"u":"${aws:iot:s3-presigned-url:fw/${x}"}`, "not closed"},
		{`{"u":"${aws:iot:}"}`, "unknown"},
		{`{"u":"${aws:iot:thing-name}"}`, "unknown"},
		{`{"u":"${aws:iot:S3-presigned-url:fw/k}"}`, "unknown"},
		{`{"u":"${aws:iot:s3-presigned-url:fw/${thingName}}"}`, "cannot contain another"},
		{`{"u":"${aws:iot:s3-presigned-url:${aws:iot:code-sign-signature:s3://r.b/k@v}}"}`, "cannot contain another"},
		{`{"${aws:iot:s3-presigned-url:fw/k}" :1}`, "name of a member"},
		{`{"a":{"x\u0024{aws:iot:foo":1}}`, "name of a member"},
		{`{"u":"${aws:iot:s3-presigned-url-upload:https://s3.eu-west-1.amazonaws.com/b/${thing}}"}`, "alone"},
		{`{"u":"${aws:iot:s3-presigned-url-upload:https://s3.eu-west-1.amazonaws.com/b/${thingName}"}`, "not closed"},
		{`{"u":"${aws:iot:parameter:p}"}`, "arameter"},
		{`{"u":"${aws:iot:code-sign-signature:s3://eu-west-1.b/k@v}"}`, "ode signing"},
		{`{"u":"${aws:iot:package:p:version:v:attributes:a}"}`, "package"},
		{`{"u":"${aws:iot:package::version::artifact:s3-presigned-url}"}`, "package"},
		{`{"u":"${aws:iot:s3-presigned-url}"}`, "bucket"},
		{`{"u":"${aws:iot:s3-presigned-url:fw/\ud800}"}`, "UTF-8"},
	}
	for _, tt := range tests {
		_, err := parse([]byte(tt.doc))
		if err == nil || !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(tt.want)) {
			t.Errorf("%s\n got %v\nwant … %s …", tt.doc, err, tt.want)
		}
		if err != nil && !strings.Contains(err.Error(), "${aws:iot:") {
			t.Errorf("%s: error does not name the placeholder: %v", tt.doc, err)
		}
	}
}

// Unescape and appendEscaped keep the value of a string, halves of surrogate pairs
// included, and write the fewest escapes.
func TestEscapes(t *testing.T) {
	tests := []struct{ raw, want string }{
		{`plain é 😀`, `plain é 😀`},
		{`a\/b`, `a/b`},
		{`\u0026\u003c\u003E\u0025`, `&<>%`},
		{`\"\\`, `\"\\`},
		{`\n\r\t\b\f`, `\n\r\t\u0008\u000c`},
		{`\u000a\u0000\u001F`, `\n\u0000\u001f`},
		{`\u00e9\ud83d\ude00`, `é😀`},
		{`\uD83Dx\ude00`, `\ud83dx\ude00`},
		{`\ud83d\ud83d\ude00`, `\ud83d😀`},
		{`\ud83d\n`, `\ud83d\n`},
		{"\u2028\u007f", "\u2028\u007f"},
	}
	for _, tt := range tests {
		if got := string(appendEscaped(nil, unescape([]byte(tt.raw)))); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.raw, got, tt.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`{"u":"${aws:iot:s3-presigned-url:https:\/\/s3.eu-west-1.amazonaws.com\/fw\/k}"}`,
		`{"s":"echo ${HOME} $${x}","n":1.0,"b":12345678901234567890,"a":1,"a":2}`,
		`{"u":"x ${aws:iot:s3-presigned-url:fw/k} y ${aws:iot:s3-presigned-url:fw/l} z"}`,
		`{"u":"${aws:iot:s3-presigned-url:fw/k"}`,
		`["\u0024{aws\u003aiot:s3-presigned-url-v2:https://s3.amazonaws.com/fw/k%3FversionId%3D1}\ud800"]`,
		`{"${aws:iot:":1}`, `"\`, `"\u`, `"\u12`, `"${aws:iot:s3-presigned-url:b/\ud800\u0000}"`, `"`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		tokens, err := parse(doc)
		if !json.Valid(doc) || !utf8.Valid(doc) {
			return // it only must not panic
		}
		found := jsonHas(doc, placeholderPrefix)
		if err == nil && found != (len(tokens) > 0) {
			t.Fatalf("%q: %d tokens, but a decoder says %v", doc, len(tokens), found)
		}
		if err != nil && !found {
			t.Fatalf("%q: refused without a placeholder: %v", doc, err)
		}
		if err != nil {
			return
		}
		// Written back unchanged, the document means the same.
		var out []byte
		at := 0
		for _, tok := range tokens {
			out = append(append(out, doc[at:tok.start]...), '"')
			for _, p := range tok.parts {
				out = appendEscaped(out, p.text)
			}
			out = append(out, '"')
			at = tok.end
		}
		out = append(out, doc[at:]...)
		var a, b any
		if err := json.Unmarshal(doc, &a); err != nil {
			return // too deep
		}
		if err := json.Unmarshal(out, &b); err != nil || !reflect.DeepEqual(a, b) {
			t.Fatalf("%q became %q: %v", doc, out, err)
		}
	})
}

// jsonHas says by means of encoding/json whether a string of doc, name or value, has s in it.
func jsonHas(doc []byte, s string) bool {
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	for {
		tok, err := d.Token()
		if err != nil {
			return false
		}
		if text, ok := tok.(string); ok && strings.Contains(text, s) {
			return true
		}
	}
}
