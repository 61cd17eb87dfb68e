package policy

// Effect is what a statement does when it matches.
type Effect string

// The effects.
const (
	Allow Effect = "Allow"
	Deny  Effect = "Deny"
)

// The versions of the language (access-control §3.1).
const (
	version2008 = "2008-10-17" // ${…} is literal text
	version2012 = "2012-10-17"
)

// Document is a policy, ready to be evaluated. It does not change and is safe
// for concurrent use.
type Document struct {
	version    string
	id         string
	identified bool // has an Id
	statements []statement
	sizeBytes  int  // of the text
	weight     int  // characters of the text that are not white space
	odd        bool // the text has characters outside the class of §2.1
}

// variables reports whether ${…} means something in the document.
func (d *Document) variables() bool { return d.version == version2012 }

// oddCharacters reports whether text has characters outside the class allowed
// in policies of users, groups and roles (access-control §2.1).
func oddCharacters(text string) bool {
	for _, c := range text {
		if c != '\t' && c != '\n' && c != '\r' && (c < ' ' || c > 'ÿ') {
			return true
		}
	}
	return false
}

// weigh counts the characters of text that are not white space, which is how
// the quotas of users, groups and roles count (access-control §2.1).
func weigh(text string) int {
	n := 0
	for _, c := range text {
		if c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			n++
		}
	}
	return n
}
