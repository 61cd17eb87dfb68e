package config

import (
	"bytes"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// manualWidth is the length of a line of the manual.
const manualWidth = 80

// Manual describes every setting, for people at a terminal.
func Manual() string {
	var b strings.Builder
	for _, s := range Settings() {
		if s.EnvOnly {
			fmt.Fprintf(&b, "  %s\n", s.Env())
		} else {
			fmt.Fprintf(&b, "  --%s, %s, %s in the file\n", s.Flag(), s.Env(), s.Key)
		}
		def := "none"
		if s.Default != "" {
			def = s.Default
		}
		fmt.Fprintf(&b, "      %s; default %s\n", s.Type, def)
		wrap(&b, s.Doc, "      ")
		b.WriteByte('\n')
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// wrap writes text in lines of at most manualWidth, each after indent.
func wrap(b *strings.Builder, text, indent string) {
	line := indent
	for word := range strings.FieldsSeq(text) {
		if len(line)+1+len(word) > manualWidth && line != indent {
			b.WriteString(line + "\n")
			line = indent
		}
		if line != indent {
			line += " "
		}
		line += word
	}
	b.WriteString(line + "\n")
}

// Print returns the settings as a file that would give them again, without
// secrets; those of the environment alone are left out.
func (c *Config) Print() string {
	root := &yaml.Node{Kind: yaml.MappingNode}
	for _, s := range Settings() {
		if s.EnvOnly || s.Secret {
			continue
		}
		node := root
		path := strings.Split(s.Key, ".")
		for _, section := range path[:len(path)-1] {
			node = child(node, section)
		}
		node.Content = append(node.Content, textNode(path[len(path)-1]), textNode(s.get(c)))
	}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(root); err != nil {
		panic(err) // a tree of strings always encodes
	}
	return b.String()
}

// child returns the mapping under key, made if there is none.
func child(parent *yaml.Node, key string) *yaml.Node {
	for i := 0; i < len(parent.Content); i += 2 {
		if parent.Content[i].Value == key {
			return parent.Content[i+1]
		}
	}
	node := &yaml.Node{Kind: yaml.MappingNode}
	parent.Content = append(parent.Content, textNode(key), node)
	return node
}

func textNode(value string) *yaml.Node {
	n := new(yaml.Node)
	n.SetString(value)
	switch {
	case value == "":
		n.Style = yaml.DoubleQuotedStyle
	case value == "true" || value == "false":
		n.Tag = "!!bool"
	}
	return n
}
