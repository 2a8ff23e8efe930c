package policy

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Context is what is known of a request: where the values of variables and of the keys
// of conditions come from. An empty field has no value.
type Context struct {
	ClientID string
	SourceIP string
	Now      time.Time

	// Attached tells whether the certificate is attached to the thing that the client ID
	// names. Only then the other three have values.
	Attached       bool
	ThingName      string
	ThingTypeName  string
	ThingAttribute map[string]string

	// Certificate are the values of a certificate, see CertificateValues.
	Certificate map[string][]string
}

// lookup gives the values of a variable or key by its name. The one of most names is put
// into room.
func (c *Context) lookup(name string, room *[1]string) []string {
	v, ok := c.plain(name)
	switch {
	case !ok:
		return c.certificate(name)
	case v == "":
		return nil
	}
	room[0] = v
	return room[:]
}

// plain is the value of a name that has one at most: ok tells whether it is such a name,
// "" that there is no value.
func (c *Context) plain(name string) (v string, ok bool) {
	switch name {
	case "iot:ClientId":
		return c.ClientID, true
	case "aws:SourceIp":
		return c.SourceIP, true
	case "aws:CurrentTime":
		if c.Now.IsZero() {
			return "", true
		}
		return c.Now.UTC().Format(time.RFC3339), true
	case "aws:EpochTime":
		if c.Now.IsZero() {
			return "", true
		}
		return strconv.FormatInt(c.Now.Unix(), 10), true
	case "iot:Connection.Thing.IsAttached":
		return strconv.FormatBool(c.Attached), true
	}
	if rest, ok := strings.CutPrefix(name, "iot:Connection.Thing."); ok {
		return c.thing(rest), true
	}
	return "", false
}

func (c *Context) thing(name string) string {
	if !c.Attached {
		return ""
	}
	switch name {
	case "ThingName":
		return c.ThingName
	case "ThingTypeName":
		return c.ThingTypeName
	}
	if rest, ok := strings.CutPrefix(name, "Attributes["); ok {
		if attribute, ok := strings.CutSuffix(rest, "]"); ok {
			return c.ThingAttribute[attribute]
		}
	}
	return ""
}

// certificate gives the first value, with the suffix .N that at the zero-based place N,
// with .List all.
func (c *Context) certificate(name string) []string {
	if v := c.Certificate[name]; len(v) > 0 {
		if name == availableKeys { // has no suffix: it is a list by itself
			return v
		}
		return v[:1]
	}
	base, suffix, ok := cutLast(name, '.')
	if !ok {
		return nil
	}
	all := c.Certificate[base]
	if suffix == "List" {
		return all
	}
	if n, err := strconv.Atoi(suffix); err == nil && 0 < n && n < len(all) {
		return all[n : n+1]
	}
	return nil
}

func cutLast(s string, sep byte) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// single is the value that goes into a pattern. Values of a certificate with characters
// that mean something to patterns or topics, or that are very long, do not.
func (c *Context) single(name string) (string, bool) {
	if v, ok := c.plain(name); ok {
		return v, v != ""
	}
	v := c.certificate(name)
	if len(v) != 1 || len(v[0]) > 1024 || strings.ContainsAny(v[0], "*$+?#") {
		return "", false
	}
	return v[0], true
}

const availableKeys = "iot:Certificate.AvailableKeys"

// The attributes of names that have a variable.
var attributeNames = map[string]string{
	"2.5.4.3": "CommonName", "2.5.4.4": "Surname", "2.5.4.5": "SerialNumber", "2.5.4.6": "Country", "2.5.4.8": "State",
	"2.5.4.10": "Organization", "2.5.4.11": "OrganizationalUnit", "2.5.4.12": "Title", "2.5.4.42": "GivenName",
	"2.5.4.43": "Initials", "2.5.4.44": "GenerationQualifier", "2.5.4.46": "DistinguishedNameQualifier", "2.5.4.65": "Pseudonym",
}

// CertificateValues are the values of the variables of a certificate, by their names
// without suffix.
func CertificateValues(cert *x509.Certificate, id string) map[string][]string {
	values := map[string][]string{
		"iot:CertificateId":            {id},
		"iot:Certificate.SerialNumber": {hex.EncodeToString(cert.SerialNumber.Bytes())},
	}
	names(values, "iot:Certificate.Subject.", &cert.Subject)
	names(values, "iot:Certificate.Issuer.", &cert.Issuer)
	for _, ext := range cert.Extensions {
		switch {
		case ext.Id.Equal(subjectAltName):
			alternatives(values, "iot:Certificate.Subject.AlternativeName.", ext.Value)
		case ext.Id.Equal(issuerAltName):
			alternatives(values, "iot:Certificate.Issuer.AlternativeName.", ext.Value)
		}
	}
	values[availableKeys] = slices.Sorted(maps.Keys(values))
	return values
}

func names(values map[string][]string, prefix string, name *pkix.Name) {
	for _, a := range name.Names {
		if n, ok := attributeNames[a.Type.String()]; ok {
			if s, ok := a.Value.(string); ok && s != "" {
				values[prefix+n] = append(values[prefix+n], s)
			}
		}
	}
}

var (
	subjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}
	issuerAltName  = asn1.ObjectIdentifier{2, 5, 29, 18}
)

// alternatives reads GeneralNames (RFC 5280, 4.2.1.6). What cannot be read has no value.
func alternatives(values map[string][]string, prefix string, der []byte) {
	var seq asn1.RawValue
	if _, err := asn1.Unmarshal(der, &seq); err != nil {
		return
	}
	for rest := seq.Bytes; len(rest) > 0; {
		var v asn1.RawValue
		var err error
		if rest, err = asn1.Unmarshal(rest, &v); err != nil {
			return
		}
		if v.Class != asn1.ClassContextSpecific {
			continue
		}
		if kind, s := generalName(v.Tag, v.Bytes); s != "" {
			values[prefix+kind] = append(values[prefix+kind], s)
		}
	}
}

// generalName gives a name of one of the kinds that have a variable, else "".
func generalName(tag int, content []byte) (kind, name string) {
	switch tag {
	case 1:
		return "RFC822Name", string(content)
	case 2:
		return "DNSName", string(content)
	case 4:
		var rdn pkix.RDNSequence
		if _, err := asn1.Unmarshal(content, &rdn); err == nil {
			return "DirectoryName", rdn.String()
		}
	case 6:
		return "UniformResourceIdentifier", string(content)
	case 7:
		if ip, ok := netip.AddrFromSlice(content); ok {
			return "IPAddress", ip.String()
		}
	}
	return "", ""
}
