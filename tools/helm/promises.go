package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	network "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

// objects are what the chart renders to.
type objects struct {
	settings    core.ConfigMap
	account     core.ServiceAccount
	services    []core.Service
	stateful    *apps.StatefulSet
	deployment  *apps.Deployment
	disruptions *policy.PodDisruptionBudget
	network     *network.NetworkPolicy
}

// decode reads every document as the type it says it is; a field that the type
// lacks is an error.
func decode(texts map[string]string) (o objects, err error) {
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		if !strings.HasSuffix(name, ".yaml") {
			continue
		}
		for doc := range strings.SplitSeq(texts[name], "\n---\n") {
			if strings.TrimSpace(doc) == "" {
				continue
			}
			if err := o.add([]byte(doc)); err != nil {
				return o, fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return o, nil
}

func (o *objects) add(doc []byte) error {
	var about struct {
		Kind string `json:"kind"`
	}
	if err := yaml.Unmarshal(doc, &about); err != nil {
		return err
	}
	switch about.Kind {
	case "ConfigMap":
		return yaml.UnmarshalStrict(doc, &o.settings)
	case "ServiceAccount":
		return yaml.UnmarshalStrict(doc, &o.account)
	case "Service":
		var s core.Service
		err := yaml.UnmarshalStrict(doc, &s)
		o.services = append(o.services, s)
		return err
	case "StatefulSet":
		return yaml.UnmarshalStrict(doc, &o.stateful)
	case "Deployment":
		return yaml.UnmarshalStrict(doc, &o.deployment)
	case "PodDisruptionBudget":
		return yaml.UnmarshalStrict(doc, &o.disruptions)
	case "NetworkPolicy":
		return yaml.UnmarshalStrict(doc, &o.network)
	}
	return fmt.Errorf("nobody expects a %q", about.Kind)
}

// promises checks what the chart promises whatever the values are, and what the
// two modes are about.
func promises(o objects, values map[string]any) error {
	var faults []error
	must := func(ok bool, what string) {
		if !ok {
			faults = append(faults, errors.New(what))
		}
	}
	shared := values["mode"] == "shared"
	var pod core.PodSpec
	switch {
	case shared && o.deployment != nil && o.stateful == nil:
		pod = o.deployment.Spec.Template.Spec
		must(*o.deployment.Spec.Replicas == 3, "as many pods as replicas says")
		must(o.disruptions != nil, "a budget of disruptions")
		must(o.deployment.Spec.Strategy.RollingUpdate.MaxUnavailable.IntValue() == 0, "no pod ends before another is ready")
	case !shared && o.stateful != nil && o.deployment == nil:
		pod = o.stateful.Spec.Template.Spec
		must(*o.stateful.Spec.Replicas == 1, "one pod on a volume")
		must(len(o.stateful.Spec.VolumeClaimTemplates) == 1, "one volume")
		must(o.stateful.Spec.PersistentVolumeClaimRetentionPolicy.WhenDeleted == apps.RetainPersistentVolumeClaimRetentionPolicyType, "a volume that outlives the release")
		must(o.disruptions == nil, "no budget that lets nobody drain a node")
	default:
		return errors.New("a StatefulSet for mode embedded, a Deployment for mode shared, and not both")
	}
	must(pod.EnableServiceLinks != nil && !*pod.EnableServiceLinks, "no variables of services")
	must(pod.AutomountServiceAccountToken != nil && !*pod.AutomountServiceAccountToken, "no token of the cluster")
	sec := pod.SecurityContext
	must(*sec.RunAsNonRoot && *sec.RunAsUser == 65532 && *sec.FSGroup == 65532, "the user of the image")
	must(sec.SeccompProfile.Type == core.SeccompProfileTypeRuntimeDefault, "a seccomp profile")
	must(*pod.TerminationGracePeriodSeconds >= 5+30+30, "time for the drain")
	c := pod.Containers[0]
	must(!*c.SecurityContext.AllowPrivilegeEscalation && *c.SecurityContext.ReadOnlyRootFilesystem, "no new privileges, nothing to write to")
	must(slices.Equal(c.SecurityContext.Capabilities.Drop, []core.Capability{"ALL"}), "no capabilities")
	must(c.LivenessProbe.Exec != nil && slices.Contains(c.LivenessProbe.Exec.Command, "--live"), "a probe of life")
	must(c.ReadinessProbe.Exec != nil && !slices.Contains(c.ReadinessProbe.Exec.Command, "--live"), "a probe of readiness")
	must(c.StartupProbe != nil, "a probe of the start")
	secret, fromSecret := "", 0
	for _, e := range c.Env {
		if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
			secret, fromSecret = e.ValueFrom.SecretKeyRef.Name, fromSecret+1
		}
	}
	want := map[bool]int{false: 2, true: 5}[shared]
	must(secret == values["existingSecret"] && fromSecret == want, fmt.Sprintf("%d secrets from existingSecret", want))
	must(o.network != nil && len(o.network.Spec.Ingress) > 0, "a policy of the network")
	faults = append(faults, ports(o, c)...)
	for _, v := range pod.Volumes {
		must(v.HostPath == nil, "no path of the machine")
	}
	text := o.settings.Data["moraine.yaml"]
	must(strings.Contains(text, "data: /var/lib/moraine"), "settings that name the volume")
	must(!strings.Contains(strings.ToLower(text), "secret_access_key") && !strings.Contains(text, "password"), "settings without secrets")
	return errors.Join(faults...)
}

// ports checks that whoever names a port names one of the container.
func ports(o objects, c core.Container) (faults []error) {
	has := make(map[string]bool)
	for _, p := range c.Ports {
		has[p.Name] = true
	}
	for _, s := range o.services {
		for _, p := range s.Spec.Ports {
			if !has[p.TargetPort.StrVal] {
				faults = append(faults, fmt.Errorf("service %s leads to no port %q", s.Name, p.TargetPort.StrVal))
			}
		}
	}
	for _, rule := range o.network.Spec.Ingress {
		for _, p := range rule.Ports {
			if !has[p.Port.StrVal] {
				faults = append(faults, fmt.Errorf("the network policy names no port %q", p.Port.StrVal))
			}
		}
	}
	return faults
}
