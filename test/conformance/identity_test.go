package conformance_test

import (
	"encoding/xml"
	"fmt"
	"strings"

	"moraine/test/internal/wire"
)

// identityServices are the versions and namespaces of IAM and STS
// (access-control §2.2).
var identityServices = map[string]struct{ version, namespace string }{
	"iam": {"2010-05-08", "https://iam.amazonaws.com/doc/2010-05-08/"},
	"sts": {"2011-06-15", "https://sts.amazonaws.com/doc/2011-06-15/"},
}

// identityForm is the form of one operation: its action, the version of the
// service, and a parameter of each line NAME=VALUE, in this order.
func identityForm(service, action, lines string) (string, error) {
	form := "Action=" + wire.Encode(action) + "&Version=" + identityServices[service].version
	for line := range strings.SplitSeq(lines, "\n") {
		if line == "" {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			return "", fmt.Errorf("%q is no parameter NAME=VALUE", line)
		}
		form += "&" + wire.Encode(name) + "=" + wire.Encode(value)
	}
	return form, nil
}

// identityDone is the body of an operation that succeeded and has no output.
func identityDone(service, action string) string {
	return "<" + action + `Response xmlns="` + identityServices[service].namespace +
		`"><ResponseMetadata><RequestId><uuid></RequestId></ResponseMetadata></` + action + "Response>"
}

// identityError is the body of an error of IAM or STS.
func identityError(service, code, message string) string {
	kind := "Sender"
	if code == "ServiceFailure" {
		kind = "Receiver"
	}
	return `<ErrorResponse xmlns="` + identityServices[service].namespace + `"><Error><Type>` + kind + `</Type><Code>` + code +
		`</Code><Message>` + escaped(message) + `</Message></Error><RequestId><uuid></RequestId></ErrorResponse>`
}

// escaped is text in XML; placeholders stay what they are.
func escaped(text string) string {
	var b strings.Builder
	escape := func(s string) {
		if err := xml.EscapeText(&b, []byte(s)); err != nil {
			panic(err) // a strings.Builder takes everything
		}
	}
	at := 0
	for _, m := range placeholder.FindAllStringSubmatchIndex(text, -1) {
		if kind := sub(text, m, 1); kind != "" && kinds[kind] == "" {
			continue
		}
		escape(text[at:m[0]])
		b.WriteString(text[m[0]:m[1]])
		at = m[1]
	}
	escape(text[at:])
	return b.String()
}

// joined is a body that a transcript shows on several lines.
func joined(body string) string {
	var b strings.Builder
	for line := range strings.SplitSeq(body, "\n") {
		b.WriteString(strings.TrimLeft(line, " \t"))
	}
	return b.String()
}
