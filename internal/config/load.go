package config

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/providers/posflag"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"

	"moraine"
)

// Sources are where settings come from. A flag wins over a variable, a
// variable over the file, the file over the default.
type Sources struct {
	Flags   *pflag.FlagSet  // made with AddFlags; nil for none
	Environ func() []string // as os.Environ; nil for none
	File    string          // YAML; "" for the one MORAINE_CONFIG names, if any
	// Unserved is for who looks at the stores alone: what servers that share them
	// must have in common, the root key above all, need not be given.
	Unserved bool
}

// fileVariable names the settings file when no flag does.
const fileVariable = EnvPrefix + "CONFIG"

// AddFlags defines a flag for every setting that may have one. They hold text;
// Load reads it, so that all three sources share one grammar.
func AddFlags(flags *pflag.FlagSet) {
	for _, s := range Settings() {
		if s.EnvOnly {
			continue
		}
		flags.String(s.Flag(), s.Default, s.Doc)
		if s.Type == "true or false" {
			flags.Lookup(s.Flag()).NoOptDefVal = "true"
		}
	}
}

// layer is one source, and how it calls a setting.
type layer struct {
	values *koanf.Koanf
	name   func(*Setting) string
}

// Load reads all sources, refusing names nobody knows, and returns settings
// that Validate accepted. The error holds one sentence per fault.
func Load(src Sources) (Config, error) {
	settings := Settings()
	layers, err := openLayers(settings, src)
	if err != nil {
		return Config{}, err
	}
	var c Config
	var faults []error
	given := make(map[string]bool)
	for i := range settings {
		s := &settings[i]
		value, name, err := lookup(s, layers)
		if err == nil {
			err = s.set(&c, value)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", name, err))
		}
		given[s.Key] = name != ""
	}
	if len(faults) > 0 {
		return Config{}, errors.Join(faults...)
	}
	if c.Ephemeral && given["data"] && c.Data != "" {
		return Config{}, fmt.Errorf("ephemeral and data (%s) exclude each other; an ephemeral server removes its directory, so leave one of them out", c.Data)
	} else if c.Ephemeral {
		c.Data = ""
	}
	c.settleRegions(given["regions"])
	if src.Unserved {
		return c, c.validateUnserved()
	}
	return c, c.Validate()
}

// settleRegions makes Region one of Regions, the first.
func (c *Config) settleRegions(listed bool) {
	if c.Region == "" {
		if len(c.Regions) > 0 {
			c.Region = c.Regions[0]
		}
		return
	}
	rest := slices.DeleteFunc(slices.Clone(c.Regions), func(r moraine.Region) bool { return !listed || r == c.Region })
	c.Regions = append([]moraine.Region{c.Region}, rest...)
}

// lookup finds the value of s in the first layer that has one, and how that
// layer calls it; the name is "" for a default.
func lookup(s *Setting, layers []layer) (value, name string, err error) {
	for _, l := range layers {
		if !l.values.Exists(s.Key) {
			continue
		}
		value, err = scalar(l.values.Get(s.Key))
		return value, l.name(s), err
	}
	return s.Default, "", nil
}

// openLayers reads the sources, the strongest first.
func openLayers(settings []Setting, src Sources) ([]layer, error) {
	variables, path, err := readEnviron(settings, src.Environ)
	if err != nil {
		return nil, err
	}
	if src.File != "" {
		path = src.File
	}
	contents, err := readFile(settings, path)
	if err != nil {
		return nil, err
	}
	flags := koanf.New(".")
	if src.Flags != nil {
		byFlag := make(map[string]string)
		for i := range settings {
			byFlag[settings[i].Flag()] = settings[i].Key
		}
		err := flags.Load(posflag.ProviderWithFlag(src.Flags, ".", nil, func(f *pflag.Flag) (string, any) {
			return byFlag[f.Name], f.Value.String()
		}), nil)
		if err != nil {
			return nil, err
		}
	}
	return []layer{
		{flags, func(s *Setting) string { return "--" + s.Flag() }},
		{variables, func(s *Setting) string { return s.Env() }},
		{contents, func(s *Setting) string { return path + ": " + s.Key }},
	}, nil
}

// readEnviron reads the MORAINE_* variables, and which file they name.
func readEnviron(settings []Setting, environ func() []string) (k *koanf.Koanf, path string, err error) {
	k = koanf.New(".")
	if environ == nil {
		return k, "", nil
	}
	byEnv := make(map[string]string)
	for i := range settings {
		byEnv[settings[i].Env()] = settings[i].Key
	}
	var unknown []string
	err = k.Load(env.Provider(".", env.Opt{
		Prefix: EnvPrefix, EnvironFunc: environ,
		TransformFunc: func(name, value string) (string, any) {
			if name == fileVariable {
				path = value
				return "", nil
			}
			if byEnv[name] == "" {
				unknown = append(unknown, name)
			}
			return byEnv[name], value
		},
	}), nil)
	if len(unknown) > 0 {
		slices.Sort(unknown)
		return nil, "", fmt.Errorf("the environment variable %s names no setting; unset it, or see `moraine serve --help` for the names", strings.Join(unknown, ", "))
	}
	return k, path, err
}

// readFile reads the YAML file, if there is one.
func readFile(settings []Setting, path string) (*koanf.Koanf, error) {
	k := koanf.New(".")
	if path == "" {
		return k, nil
	}
	if err := k.Load(file.Provider(path), yaml.Parser()); err != nil {
		var where *fs.PathError
		if errors.As(err, &where) {
			return nil, fmt.Errorf("the settings file cannot be read: %w", err)
		}
		return nil, fmt.Errorf("the settings file %s is not YAML: %w", path, err)
	}
	for _, key := range k.Keys() {
		if err := checkKey(settings, path, key, k.Get(key)); err != nil {
			return nil, err
		}
		if k.Get(key) == nil {
			k.Delete(key) // a heading with nothing under it
		}
	}
	return k, nil
}

// checkKey refuses a key of the file that is no setting for a file.
func checkKey(settings []Setting, path, key string, value any) error {
	for i := range settings {
		s := &settings[i]
		switch {
		case s.Key == key && s.EnvOnly:
			return fmt.Errorf("%s: %s belongs in the environment, as %s, and not in a file", path, key, s.Env())
		case s.Key == key, value == nil && strings.HasPrefix(s.Key, key+"."):
			return nil
		}
	}
	return fmt.Errorf("%s: there is no setting %q; correct or remove it, or see `moraine serve --help` for the names", path, key)
}

// scalar turns what a source holds into text.
func scalar(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case bool, int, int64, uint64:
		return fmt.Sprint(v), nil
	case []any:
		items := make([]string, len(v))
		for i, item := range v {
			s, ok := item.(string)
			if !ok {
				return "", fmt.Errorf("item %d of the list is not text", i+1)
			}
			items[i] = s
		}
		return strings.Join(items, ","), nil
	}
	return "", fmt.Errorf("%v is neither text nor a whole number nor true or false; put it in quotes", v)
}
