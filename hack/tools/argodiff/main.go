// Command argodiff says of which objects Argo CD would find a difference between Git and the cluster, and which one.
//
// The comparison is Argo CD's own, linked: its diff module, and its way with the owners of fields. Only the removing of what
// the rules name by a path is done here, by the libraries that Argo CD does it with, because its package for that links
// half of Argo CD. Standard input is {"config": the data of argocd-cm, "objects": [{"git": manifest, "live": object}]};
// standard output is a list with one entry for each object that differs: {"object", "live", "git"}, as they are compared.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/argoproj/argo-cd/v3/util/argo/managedfields"
	"github.com/argoproj/gitops-engine/pkg/diff"
	"github.com/argoproj/gitops-engine/pkg/utils/kube/scheme"
	jsonpatch "github.com/evanphx/json-patch"
	"github.com/itchyny/gojq"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

const ignoring = "resource.customizations.ignoreDifferences."

type question struct {
	Config  map[string]string `json:"config"`
	Objects []struct {
		Git  map[string]any `json:"git"`
		Live map[string]any `json:"live"`
	} `json:"objects"`
}

type difference struct {
	Object string          `json:"object"`
	Live   json.RawMessage `json:"live"`
	Git    json.RawMessage `json:"git"`
}

// A rule for a kind, as argocd-cm has it.
type rule struct {
	JSONPointers          []string `json:"jsonPointers,omitempty"`
	JQPathExpressions     []string `json:"jqPathExpressions,omitempty"`
	ManagedFieldsManagers []string `json:"managedFieldsManagers,omitempty"`
}

type rules map[schema.GroupKind]rule

func main() {
	found, err := compare()
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(found)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "argodiff:", err)
		os.Exit(1)
	}
}

func compare() ([]difference, error) {
	var asked question
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		return nil, err
	}
	ignored, err := read(asked.Config)
	if err != nil {
		return nil, err
	}
	found := []difference{}
	for _, each := range asked.Objects {
		git, live := &unstructured.Unstructured{Object: each.Git}, &unstructured.Unstructured{Object: each.Live}
		name := fmt.Sprintf("%s/%s", git.GetKind(), git.GetName())
		result, err := ignored.diff(git, live)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if result.Modified {
			found = append(found, difference{name, result.NormalizedLive, result.PredictedLive})
		}
	}
	return found, nil
}

// The rules for all of Argo CD: each key ends with group_Kind, or with the kind where the group has no name.
func read(config map[string]string) (rules, error) {
	found := rules{}
	for key, text := range config {
		name, ok := strings.CutPrefix(key, ignoring)
		if !ok {
			continue
		}
		group, kind, named := strings.Cut(name, "_")
		if !named {
			group, kind = "", name
		}
		var one rule
		if err := yaml.UnmarshalStrict([]byte(text), &one); err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		found[schema.GroupKind{Group: group, Kind: kind}] = one
	}
	return found, nil
}

// First goes what others own and have changed, then what the paths name, of both; what is left is compared.
func (r rules) diff(git, live *unstructured.Unstructured) (*diff.DiffResult, error) {
	gvk := git.GroupVersionKind()
	if managers := r[gvk.GroupKind()].ManagedFieldsManagers; len(managers) > 0 {
		var err error
		live, git, err = managedfields.Normalize(live, git, managers, scheme.ResolveParseableType(gvk, nil))
		if err != nil {
			return nil, err
		}
	}
	return diff.Diff(git, live, diff.WithNormalizer(r))
}

// Normalize takes what the paths name out of an object; what is not there need not be.
func (r rules) Normalize(obj *unstructured.Unstructured) error {
	one := r[obj.GroupVersionKind().GroupKind()]
	for _, pointer := range one.JSONPointers {
		text, err := json.Marshal([]map[string]string{{"op": "remove", "path": pointer}})
		if err != nil {
			return err
		}
		patch, err := jsonpatch.DecodePatch(text)
		if err != nil {
			return err
		}
		before, err := json.Marshal(obj)
		if err != nil {
			return err
		}
		if after, err := patch.Apply(before); err == nil {
			if err := json.Unmarshal(after, obj); err != nil {
				return err
			}
		}
	}
	for _, path := range one.JQPathExpressions {
		if err := without(obj, path); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

func without(obj *unstructured.Unstructured, path string) error {
	query, err := gojq.Parse(fmt.Sprintf("del(%s)", path))
	if err != nil {
		return err
	}
	// The library takes the types of plain JSON only.
	text, err := json.Marshal(obj)
	if err != nil {
		return err
	}
	plain := map[string]any{}
	if err := json.Unmarshal(text, &plain); err != nil {
		return err
	}
	answer, _ := query.Run(plain).Next()
	if err, failed := answer.(error); failed {
		return err
	}
	text, err = json.Marshal(answer)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, obj)
}
