package sigv4

import (
	"net/http"
	"slices"
	"strings"
)

// authorization is what a request says about its own signature, in whichever
// of the two forms it says it.
type authorization struct {
	presigned     bool
	credential    string
	signedHeaders string
	signature     string
	date          string // as sent
	dateHeader    string // the header date came from, lower case; empty when presigned
	token         string // session token, empty for none
	expires       string // X-Amz-Expires, when hasExpires
	hasExpires    bool
}

// readAuthorization takes steps 2 to 4 of the pipeline (access-control §1.2).
func readAuthorization(r *http.Request, params []param, presignMethods []string) (authorization, error) {
	values := r.Header["Authorization"]
	if len(values) > 1 {
		return authorization{}, Refuse("T3", "Authorization")
	}
	header := strings.Trim(strings.Join(values, ""), " \t")
	presigned := slices.ContainsFunc(params, func(p param) bool { return p.name == "X-Amz-Algorithm" })
	switch {
	case presigned && header != "":
		return authorization{}, Refuse("A2")
	case presigned && !slices.Contains(presignMethods, r.Method):
		return authorization{}, Refuse("A2b")
	case presigned:
		return readQuery(params)
	case header != "":
		return readHeader(header, r.Header)
	}
	return authorization{}, Refuse("A1")
}

// readHeader reads the header form.
func readHeader(header string, h http.Header) (authorization, error) {
	a, err := parseAuthorization(header)
	if err != nil {
		return authorization{}, err
	}
	for _, name := range []string{"X-Amz-Date", "Date"} {
		if value := h.Get(name); a.date == "" && value != "" {
			a.date, a.dateHeader = value, strings.ToLower(name)
		}
	}
	var missing []string
	for _, part := range []struct{ value, sentence string }{
		{a.credential, "Authorization header requires 'Credential' parameter."},
		{a.signature, "Authorization header requires 'Signature' parameter."},
		{a.signedHeaders, "Authorization header requires 'SignedHeaders' parameter."},
		{a.date, "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."},
	} {
		if part.value == "" {
			missing = append(missing, part.sentence)
		}
	}
	if len(missing) > 0 {
		return authorization{}, Refuse("A5", strings.Join(missing, " "), algorithm)
	}
	a.token = h.Get("X-Amz-Security-Token")
	return a, nil
}

// parseAuthorization reads the value of an Authorization header. A part that
// is absent, empty or repeated is empty in the result: none of these names one
// value (access-control §1.6).
func parseAuthorization(header string) (authorization, error) {
	name, rest, _ := strings.Cut(header, " ")
	if name != algorithm {
		return authorization{}, Refuse("A3", Echo(name))
	}
	var a authorization
	if rest = strings.Trim(rest, " \t"); rest == "" {
		return a, nil
	}
	var seen [3]int
	for piece := range strings.SplitSeq(rest, ",") {
		piece = strings.Trim(piece, " \t")
		name, value, ok := strings.Cut(piece, "=")
		if !ok {
			return authorization{}, Refuse("A4", Echo(mask(piece)), Echo(mask(header)))
		}
		switch name {
		case "Credential":
			a.credential = value
			seen[0]++
		case "SignedHeaders":
			a.signedHeaders = value
			seen[1]++
		case "Signature":
			a.signature = value
			seen[2]++
		}
	}
	for i, part := range []*string{&a.credential, &a.signedHeaders, &a.signature} {
		if seen[i] > 1 {
			*part = ""
		}
	}
	return a, nil
}

// formatAuthorization writes the value of an Authorization header.
func formatAuthorization(credential, signedHeaders, signature string) string {
	return algorithm + " Credential=" + credential + ", SignedHeaders=" + signedHeaders + ", Signature=" + signature
}

// readQuery reads the presigned form (access-control §1.7).
func readQuery(params []param) (authorization, error) {
	a := authorization{presigned: true}
	var name string
	fields := []struct {
		name     string
		value    *string
		required bool
		count    int
	}{
		{"X-Amz-Algorithm", &name, true, 0},
		{"X-Amz-Credential", &a.credential, true, 0},
		{"X-Amz-Signature", &a.signature, true, 0},
		{"X-Amz-SignedHeaders", &a.signedHeaders, true, 0},
		{"X-Amz-Date", &a.date, true, 0},
		{"X-Amz-Expires", &a.expires, false, 0},
		{"X-Amz-Security-Token", &a.token, false, 0},
	}
	for _, p := range params {
		for i := range fields {
			if fields[i].name == p.name {
				*fields[i].value = p.value
				fields[i].count++
			}
		}
	}
	if name != algorithm && fields[0].count == 1 {
		return authorization{}, Refuse("A3", Echo(name))
	}
	var bad []string
	for _, f := range fields {
		if f.count > 1 || f.required && *f.value == "" {
			bad = append(bad, "AWS query-string parameters must include '"+f.name+"'.")
		}
		if f.name == "X-Amz-Expires" {
			a.hasExpires = f.count > 0
		}
	}
	if len(bad) > 0 {
		return authorization{}, Refuse("A5q", strings.Join(bad, " "))
	}
	return a, nil
}

// signatureDigitsMin is the length of a run of hex digits that may be a piece
// of a signature worth hiding.
const signatureDigitsMin = 32

// mask hides a signature in text that a message repeats: what follows the word
// Signature up to the next comma, and every long run of hex digits.
func mask(s string) string {
	var b strings.Builder
	for i, piece := range strings.Split(s, ",") {
		if i > 0 {
			b.WriteByte(',')
		}
		if before, _, ok := strings.Cut(piece, "Signature"); ok {
			b.WriteString(maskDigits(before) + "Signature" + redacted)
			continue
		}
		b.WriteString(maskDigits(piece))
	}
	return b.String()
}

func maskDigits(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		end := i
		for end < len(s) && unhex(s[end]) >= 0 {
			end++
		}
		switch {
		case end-i >= signatureDigitsMin:
			b.WriteString(redacted)
		case end == i:
			end++
			fallthrough
		default:
			b.WriteString(s[i:end])
		}
		i = end
	}
	return b.String()
}

// ScopeService returns the service in the credential scope of a request, as a
// hint for choosing the API that answers. Nothing is verified; a request
// without a readable scope gives "".
func ScopeService(r *http.Request) string {
	parts := strings.Split(claimedCredential(r), "/")
	if len(parts) < credentialParts {
		return ""
	}
	return parts[len(parts)-2]
}

// ClaimedKeyID returns the access key id that a request names, as a hint for
// records of requests that were refused. Nothing is verified, not even that it
// looks like one.
func ClaimedKeyID(r *http.Request) string {
	id, _, _ := strings.Cut(claimedCredential(r), "/")
	return id
}

func claimedCredential(r *http.Request) string {
	_, pieces, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	for piece := range strings.SplitSeq(pieces, ",") {
		if value, ok := strings.CutPrefix(strings.Trim(piece, " \t"), "Credential="); ok {
			return value
		}
	}
	_, query := splitTarget(r.RequestURI)
	params, err := splitQuery(query, false)
	if err != nil {
		return ""
	}
	for _, p := range params {
		if p.name == "X-Amz-Credential" {
			return p.value
		}
	}
	return ""
}
