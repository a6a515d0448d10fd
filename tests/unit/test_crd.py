"""From pydantic models to structural schemas: one test for each thing that pydantic says and the API server refuses."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from headgate.api.crd import SchemaError, crd
from headgate.api.resource import PrinterColumn, Resource, Rule, Scale
from headgate.api.structural import structural
from headgate.api.structural_checks import problems, re2_problem, value_problems


class Model(BaseModel):
    """A model as those of the contract are."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class Leaf(Model):
    """What the leaf says of itself."""

    name: Annotated[str, Field(max_length=63)]
    size: int = 1


class Tree(Model):
    """A model that contains itself."""

    branches: list[Tree] = Field(default_factory=list)


def field(annotation: Any, **arguments: Any) -> dict[str, Any]:
    """The schema of the field `it` of a model that has no other."""
    namespace = {"__annotations__": {"it": annotation}, "__module__": __name__, **arguments}
    model = type("Holder", (Model,), namespace)
    schema: dict[str, Any] = structural(model, "spec")["properties"]["it"]
    return schema


def refusal(annotation: Any, **arguments: Any) -> str:
    """The message with which the field `it` is refused."""
    with pytest.raises(SchemaError) as refused:
        field(annotation, **arguments)
    return str(refused.value)


def found(annotation: Any, **arguments: Any) -> list[str]:
    """What the checks find wrong with the field `it`."""
    return list(problems(field(annotation, **arguments), "spec.it"))


# The translation, row by row.


def test_reference_is_inlined() -> None:
    """A model inside a model stands where it is used, because the server knows no references."""
    assert field(Leaf) == {
        "description": "What the leaf says of itself.",
        "type": "object",
        "required": ["name"],
        "properties": {"name": {"type": "string", "maxLength": 63}, "size": {"type": "integer", "default": 1}},
    }


def test_recursion_is_refused() -> None:
    """A model that contains itself cannot be inlined, and the refusal names the field where it begins again."""
    assert refusal(Tree).startswith("spec.it.branches[]: Tree contains itself")


def test_model_used_twice_is_no_recursion() -> None:
    """The same model in two fields beside each other is inlined twice."""

    class Twice(Model):
        one: Leaf
        two: Leaf

    fields = structural(Twice, "spec")["properties"]

    assert fields["one"] == fields["two"]


def test_optional_takes_the_other_type() -> None:
    """`X | None` is X that may be absent; the server prunes nulls before it looks at them."""
    assert field(int | None, it=None) == {"type": "integer"}


def test_optional_model_keeps_the_words_of_the_field() -> None:
    """A description beside an optional model says what the field means there, over what the model says of itself."""
    schema = field(Annotated[Leaf | None, Field(description="The leaf of this branch.")], it=None)

    assert schema["description"] == "The leaf of this branch."
    assert schema["type"] == "object"


def test_required_field_that_may_be_null_is_refused() -> None:
    """A null is pruned, so that a required field that holds one would be missing."""
    assert "spec.it: required, yet may be null" in refusal(int | None)


def test_null_in_a_list_or_a_map_is_refused() -> None:
    """Only fields can be absent: an item or a value that is null has no structural form."""
    assert "spec.it[]: the items of a list cannot be null" in refusal(list[int | None])
    assert "spec.it{}: the values of a map cannot be null" in refusal(dict[str, int | None])


def test_null_among_literals_is_dropped() -> None:
    """`Literal["a", None]` is an optional enumeration."""
    assert field(Literal["a", None], it=None) == {"type": "string", "enum": ["a"]}  # noqa: PYI061 - the case itself.


def test_int_or_string_is_said_in_the_words_of_the_server() -> None:
    """`int | str` has an extension of its own, and bounds of either type go beside it."""
    schema = field(Annotated[int, Field(ge=0)] | Annotated[str, Field(pattern=r"^\d+%$", max_length=4)])

    assert schema == {
        "x-kubernetes-int-or-string": True,
        "pattern": r"^\d+%$",
        "maxLength": 4,
        "minimum": 0,
        "anyOf": [{"type": "integer"}, {"type": "string"}],
    }


def test_optional_int_or_string_is_one_too() -> None:
    """The null is taken out of the union before the rest is looked at."""
    assert field(int | str | None, it=None)["x-kubernetes-int-or-string"] is True


def test_anything_at_all_is_preserved() -> None:
    """`Any` has no type; the server keeps what it finds there."""
    assert field(Any) == {"x-kubernetes-preserve-unknown-fields": True}


def test_free_form_object_is_preserved() -> None:
    """`dict[str, Any]` is an object whose fields nobody prunes."""
    assert field(dict[str, Any]) == {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def test_map_has_typed_values() -> None:
    """`dict[str, X]` says of its values what X says."""
    assert field(dict[str, Leaf])["additionalProperties"]["properties"]["size"] == {"type": "integer", "default": 1}


def test_forbidding_extra_fields_is_left_to_pruning() -> None:
    """`extra="forbid"` would exclude the properties themselves; the server prunes unknown fields anyway."""

    class Strict(Model):
        model_config = ConfigDict(extra="forbid")
        name: str

    assert "additionalProperties" not in field(Strict)


def test_allowing_extra_fields_preserves_them() -> None:
    """`extra="allow"` means that unknown fields have a meaning to someone."""

    class Open(Model):
        model_config = ConfigDict(extra="allow")
        name: str

    assert field(Open)["x-kubernetes-preserve-unknown-fields"] is True


def test_set_is_a_list_of_type_set() -> None:
    """`uniqueItems` is forbidden; the list type says the same."""
    assert field(set[str]) == {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}}


def test_list_without_a_type_is_atomic_and_says_so() -> None:
    """Server-side apply replaces such a list as a whole; the file says it instead of leaving it to be known."""
    assert field(list[int])["x-kubernetes-list-type"] == "atomic"


def test_single_literal_is_an_enumeration() -> None:
    """`const` is unknown to the server; an enumeration of one says the same."""
    assert field(Literal["apps/v1"], it="apps/v1") == {"type": "string", "enum": ["apps/v1"], "default": "apps/v1"}


def test_enumeration_class_is_inlined() -> None:
    """A StrEnum is a string of these values."""

    class Color(StrEnum):
        RED = "red"
        BLUE = "blue"

    assert field(Color)["type"] == "string"
    assert field(Color)["enum"] == ["red", "blue"]


def test_exclusive_bounds_are_switches_beside_the_bound() -> None:
    """`gt` and `lt` are numbers to pydantic; the server reads a bound and a flag."""
    assert field(Annotated[float, Field(gt=0, lt=1)]) == {
        "type": "number",
        "minimum": 0,
        "exclusiveMinimum": True,
        "maximum": 1,
        "exclusiveMaximum": True,
    }


def test_both_bounds_at_one_end_are_refused() -> None:
    """`ge` and `gt` together cannot be said, and one of them is idle."""
    assert "minimum and exclusiveMinimum together" in refusal(Annotated[int, Field(ge=1, gt=0)])


def test_tuple_is_refused() -> None:
    """A list whose places mean different things has no structural form."""
    assert refusal(tuple[int, str]).startswith("spec.it: a tuple of fixed length has no structural form")


def test_union_of_models_is_refused() -> None:
    """The type of a value must be known without looking at it."""

    class Other(Model):
        other: int

    assert refusal(Leaf | Other).startswith("spec.it: a union of types has no structural form")


def test_discriminated_union_is_refused() -> None:
    """A discriminator does not help: the server looks at no value to learn its type."""

    class A(Model):
        kind: Literal["a"]

    class B(Model):
        kind: Literal["b"]

    assert "union of models has no structural form" in refusal(Annotated[A | B, Field(discriminator="kind")])


def test_one_of_that_only_requires_fields_is_kept() -> None:
    """Optional fields of which one must be set are the structural form of a union."""
    one_of: Any = [{"required": ["a"]}, {"required": ["b"]}]

    class Either(Model):
        model_config = ConfigDict(json_schema_extra={"oneOf": one_of})
        a: int | None = None
        b: int | None = None

    assert field(Either)["oneOf"] == one_of


def test_titles_examples_and_deprecation_are_dropped() -> None:
    """They mean nothing to the server and make the file longer."""
    schema = field(Annotated[int, Field(title="It", examples=[1], deprecated=True)])

    assert schema == {"type": "integer"}


def test_iso_duration_is_refused() -> None:
    """`timedelta` is `PT5S` outside, which nobody writes; a string with a pattern says `5s`."""
    assert "with the format 'duration' the server takes a list too" in refusal(timedelta)


def test_instant_with_a_format_is_refused() -> None:
    """kube-apiserver does not look at the type of a text that has a format: a list would pass for an instant."""
    assert "with the format 'date-time' the server takes a list too" in refusal(datetime)


def test_constrained_keys_of_a_map_are_refused() -> None:
    """The server has no schema for the keys of a map."""
    assert "the keys of a map cannot be constrained" in refusal(dict[Annotated[str, Field(pattern="^a")], int])


def test_unknown_keyword_is_refused() -> None:
    """What is not known to be understood is not passed on in hope."""
    assert "spec.it: contentEncoding" in refusal(Annotated[str, Field(json_schema_extra={"contentEncoding": "base64"})])


def test_list_without_items_is_refused() -> None:
    """A list says what it holds."""
    assert "spec.it: a list needs a type for its items" in refusal(list[Any])


def test_path_of_a_refusal_leads_through_lists_and_maps() -> None:
    """A refusal deep inside names every step to the field."""

    class Deep(Model):
        values: dict[str, list[tuple[int, int]]]

    assert refusal(list[Deep]).startswith("spec.it[].values{}[]: ")


def test_extensions_of_a_field_pass() -> None:
    """What `json_schema_extra` says in the server's own words is kept."""
    extra: dict[str, Any] = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
    schema = field(Annotated[list[Leaf], Field(json_schema_extra=extra)])

    assert schema | extra == schema


def test_rules_of_a_model_and_of_the_field_add_up() -> None:
    """A rule where a model is used does not replace the rules that the model has everywhere."""
    own: Any = {"rule": "self.a > 0", "message": "a is positive"}
    here: Any = {"rule": "self.a < 9", "message": "a is small here"}

    class Ruled(Model):
        model_config = ConfigDict(json_schema_extra={"x-kubernetes-validations": [own]})
        a: int

    schema = field(Annotated[Ruled, Field(json_schema_extra={"x-kubernetes-validations": [here]})])

    assert schema["x-kubernetes-validations"] == [own, here]


def test_text_below_a_field_is_its_description() -> None:
    """The string under a field is what `kubectl explain` says; a description in `Field` goes before it."""

    class Described(Model):
        below: int = 0
        """What stands below."""
        beside: Annotated[int, Field(description="What stands beside.")] = 0
        """Not this."""
        silent: int = 0

    fields = structural(Described, "spec")["properties"]

    assert fields["below"]["description"] == "What stands below."
    assert fields["beside"]["description"] == "What stands beside."
    assert "description" not in fields["silent"]


def test_default_inside_an_atomic_list_is_left_to_the_reader() -> None:
    """What the server fills into such a list, a GitOps tool reports as a difference for ever."""
    assert "default" not in field(list[Leaf])["items"]["properties"]["size"]


def test_default_inside_a_map_list_stays() -> None:
    """Items that are merged by key belong to their fields' owners, and defaults are nobody's."""
    extra: dict[str, Any] = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
    schema = field(Annotated[list[Leaf], Field(json_schema_extra=extra)])

    assert schema["items"]["properties"]["size"]["default"] == 1


def test_nulls_inside_a_default_are_dropped() -> None:
    """The default of a model holds its optional fields as null, which the server would prune."""

    class Inner(Model):
        a: int | None = None
        b: int = 2

    assert field(Inner, it=Inner())["default"] == {"b": 2}


# The checks.


def test_key_of_a_map_list_must_always_be_there() -> None:
    """A list is merged by its keys only if every item has them: required, or with a default."""

    class Item(Model):
        name: str | None = None

    extra: dict[str, Any] = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}

    assert found(Annotated[list[Item], Field(json_schema_extra=extra)]) == [
        "spec.it: the list-map key 'name' must be required or have a default"
    ]
    assert found(Annotated[list[Leaf], Field(json_schema_extra=extra)]) == []


def test_key_of_a_map_list_must_be_a_scalar_field() -> None:
    """A key that is no field, or an object, identifies nothing."""
    extra: dict[str, Any] = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["nmae"]}

    assert found(Annotated[list[Leaf], Field(json_schema_extra=extra)]) == [
        "spec.it: the list-map key 'nmae' is not a scalar field of the items"
    ]


def test_map_list_names_its_keys() -> None:
    """Without keys there is nothing to merge by."""
    extra: dict[str, Any] = {"x-kubernetes-list-type": "map"}

    assert "names its keys" in found(Annotated[list[Leaf], Field(json_schema_extra=extra)])[0]


def test_set_holds_scalars() -> None:
    """The server compares the items of a set as values."""
    extra: dict[str, Any] = {"x-kubernetes-list-type": "set"}

    assert found(Annotated[list[Leaf], Field(json_schema_extra=extra)]) == [
        "spec.it: a list of type set holds scalars only"
    ]


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        pytest.param(str, ".it: needs maxLength", id="string"),
        pytest.param(Annotated[list[int], Field()], ".it: needs maxItems", id="list"),
        pytest.param(dict[str, int], ".it: needs maxProperties", id="map"),
        pytest.param(Annotated[list[str], Field(max_length=2)], ".it[]: needs maxLength", id="string in a list"),
    ],
)
def test_what_stands_under_a_rule_is_bounded(annotation: Any, expected: str) -> None:
    """The server charges a rule for the largest value that the schema allows, and refuses one that costs too much."""
    rule: dict[str, Any] = {"x-kubernetes-validations": [{"rule": "has(self.it)", "message": "set it"}]}
    namespace = {
        "__annotations__": {"it": annotation},
        "__module__": __name__,
        "model_config": ConfigDict(json_schema_extra=rule),
    }

    (problem,) = problems(structural(type("Ruled", (Model,), namespace), "spec"), "spec")

    assert problem.startswith(f"spec{expected}")


def test_enumeration_under_a_rule_is_bounded_by_its_values() -> None:
    """The longest value of an enumeration is known."""
    rule: dict[str, Any] = {"x-kubernetes-validations": [{"rule": "self != 'a'", "message": "not a"}]}

    assert found(Annotated[Literal["a", "b"], Field(json_schema_extra=rule)]) == []


def test_rule_has_a_message() -> None:
    """A person reads the message, not the rule."""
    rule: dict[str, Any] = {"x-kubernetes-validations": [{"rule": "self > 0"}]}

    assert found(Annotated[int, Field(json_schema_extra=rule)]) == ["spec.it: the rule 'self > 0' has no message"]


def test_unknown_key_of_a_rule_is_found() -> None:
    """A spelling mistake in a rule would be an unknown field to the server."""
    rule: dict[str, Any] = {
        "x-kubernetes-validations": [{"rule": "self > 0", "massage": "positive", "message": "positive"}]
    }

    assert found(Annotated[int, Field(json_schema_extra=rule)]) == ["spec.it: a rule cannot say massage"]


@pytest.mark.parametrize(
    "pattern",
    [r"^(?=a)b", r"^(?!a)b", r"(?<=a)b", r"(?<!a)b", r"(a)\1", r"(?P<n>a)(?P=n)", r"a++", r"(?>a)", r"a{2000}", r"a\Z"],
)
def test_pattern_that_go_does_not_compile_is_found(pattern: str) -> None:
    """The server's regular expressions are RE2: no look-around, no references back, no large repetition."""
    assert re2_problem(pattern)


@pytest.mark.parametrize(
    "pattern",
    [r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", r"^https?://[^\s]+$", r"[(?=]", r"\(?=a", r"\\1", r"(?P<n>a)", r"(?:a){1000}"],
)
def test_pattern_that_go_compiles_passes(pattern: str) -> None:
    """What looks like a forbidden construct inside a class or behind a backslash is none."""
    assert re2_problem(pattern) == ""


def test_pattern_of_a_field_is_looked_at() -> None:
    """The path of the field stands before what is wrong with its pattern."""
    extra: dict[str, Any] = {"pattern": "^(?!x)"}

    assert found(Annotated[str, Field(json_schema_extra=extra)])[0].startswith(
        "spec.it: the pattern '^(?!x)' looks ahead"
    )


@pytest.mark.parametrize(
    ("annotation", "default", "expected"),
    [
        pytest.param(Annotated[str, Field(pattern="^a")], "b", "value does not match '^a'", id="pattern"),
        pytest.param(Annotated[str, Field(max_length=1)], "bb", "value has 2 characters", id="length"),
        pytest.param(Literal["a", "b"], "c", "value is none of a, b", id="enumeration"),
        pytest.param(Annotated[int, Field(ge=1)], 0, "value is below 1", id="minimum"),
        pytest.param(Annotated[float, Field(lt=1)], 1.0, "value is above 1", id="exclusive maximum"),
        pytest.param(int, "1", "value is no integer", id="type"),
        pytest.param(int, True, "value is no integer", id="boolean is no number"),
        pytest.param(Leaf, {"size": 1}, "value.name is missing", id="missing"),
        pytest.param(Leaf, {"name": "a", "sise": 1}, "value.sise is not a field", id="unknown"),
        pytest.param(Annotated[list[int], Field(max_length=1)], [1, 2], "value has 2 items", id="items"),
        pytest.param(list[int], ["a"], "value[0] is no integer", id="item"),
        pytest.param(dict[str, int], {"a": "b"}, "value.a is no integer", id="map"),
    ],
)
def test_default_must_validate(annotation: Any, default: object, expected: str) -> None:
    """The server refuses a definition whose default its own schema refuses."""
    assert found(annotation, it=default) == [f"spec.it: the default is refused: {expected}"]


def test_default_that_validates_passes() -> None:
    """A default that the schema accepts is no problem."""
    assert list(value_problems({"x-kubernetes-int-or-string": True}, "25%", "value")) == []
    assert found(Leaf, it=Leaf(name="a")) == []


# The definition as a whole.


class SpecOfOne(Model):
    """What is wanted of it."""

    replicas: int = 1


class StatusOfOne(Model):
    """What was seen of it."""

    replicas: int = 0
    selector: str = ""


ONE = Resource(
    group="example.dev",
    version="v1",
    kind="One",
    plural="ones",
    singular="one",
    scope="Namespaced",
    spec_model=SpecOfOne,
)


def version(resource: Resource) -> dict[str, Any]:
    """The one version that the definition has."""
    (only,) = crd(resource)["spec"]["versions"]
    assert isinstance(only, dict)
    return only


def test_definition_names_the_kind() -> None:
    """Group, names and scope are those of the descriptor, and what it does not have is absent."""
    assert crd(ONE)["metadata"]["name"] == "ones.example.dev"
    assert crd(replace(ONE, short_names=("o",)))["spec"]["names"] == {
        "kind": "One",
        "listKind": "OneList",
        "plural": "ones",
        "singular": "one",
        "shortNames": ["o"],
    }


def test_spec_is_required_and_status_is_not() -> None:
    """An object without a spec wants nothing, one without a status is new."""
    assert version(replace(ONE, status_model=StatusOfOne))["schema"]["openAPIV3Schema"]["required"] == ["spec"]


def test_status_is_a_subresource_where_there_is_one() -> None:
    """A kind with a status model has it behind its own permission; one without has no subresource at all."""
    assert version(replace(ONE, status_model=StatusOfOne))["subresources"] == {"status": {}}
    assert "subresources" not in version(ONE)


def test_scale_subresource_says_where_the_numbers_are() -> None:
    """The three paths of the descriptor are those of the subresource."""
    scaled = replace(
        ONE, status_model=StatusOfOne, scale=Scale(".spec.replicas", ".status.replicas", ".status.selector")
    )

    assert version(scaled)["subresources"]["scale"] == {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    }


def test_printer_columns_keep_their_order() -> None:
    """The columns come as the descriptor lists them; a priority of 0 goes without saying."""
    columns = (
        PrinterColumn("Wanted", "integer", ".spec.replicas", priority=1),
        PrinterColumn("Kind", "string", ".kind"),
    )

    assert version(replace(ONE, printer_columns=columns))["additionalPrinterColumns"] == [
        {"name": "Wanted", "type": "integer", "priority": 1, "jsonPath": ".spec.replicas"},
        {"name": "Kind", "type": "string", "jsonPath": ".kind"},
    ]


def test_column_that_leads_nowhere_is_refused() -> None:
    """The server takes a path with a spelling mistake and shows an empty column for ever."""
    columns = (PrinterColumn("Wanted", "integer", ".spec.replica"),)

    with pytest.raises(SchemaError, match=r"\.spec\.replica: printer column Wanted names a field that is not there"):
        crd(replace(ONE, printer_columns=columns))


def test_path_through_metadata_and_lists_is_followed() -> None:
    """Metadata is not in the schema, and a filter stands for any item: neither is a mistake."""

    class Listed(Model):
        items: list[Leaf] = Field(default_factory=list)

    columns = (
        PrinterColumn("Age", "date", ".metadata.creationTimestamp"),
        PrinterColumn("Size", "integer", '.spec.items[?(@.name=="a")].size'),
    )

    assert len(version(replace(ONE, spec_model=Listed, printer_columns=columns))["additionalPrinterColumns"]) == 2


def test_scale_without_a_status_is_refused() -> None:
    """The subresource reads the replicas from the status."""
    with pytest.raises(SchemaError, match="there is none"):
        crd(replace(ONE, scale=Scale(".spec.replicas", ".status.replicas")))


def test_rules_about_the_whole_object_stand_at_the_root() -> None:
    """A rule about the name can only stand where the metadata is seen."""
    ruled = replace(ONE, root_rules=(Rule("self.metadata.name.size() <= 9", "a short name", field_path=".metadata"),))

    assert version(ruled)["schema"]["openAPIV3Schema"]["x-kubernetes-validations"] == [
        {"rule": "self.metadata.name.size() <= 9", "message": "a short name", "fieldPath": ".metadata"}
    ]


def test_selectable_fields_are_listed() -> None:
    """Field selectors work for the paths that the definition names."""
    assert version(replace(ONE, selectable_fields=(".spec.replicas",)))["selectableFields"] == [
        {"jsonPath": ".spec.replicas"}
    ]


def test_every_problem_is_reported_at_once() -> None:
    """Whoever fixes a model sees all that is wrong with it."""

    class Wrong(Model):
        low: Annotated[int, Field(ge=1)] = 0
        high: Annotated[int, Field(le=1)] = 2

    with pytest.raises(SchemaError, match=r"spec\.low: .*\n.*spec\.high: "):
        crd(replace(ONE, spec_model=Wrong))


def test_description_of_the_kind_is_what_the_descriptor_says() -> None:
    """`kubectl explain` opens with the descriptor's words, or else with those of the spec."""
    described = replace(ONE, description="One of its kind.")

    assert version(described)["schema"]["openAPIV3Schema"]["description"] == "One of its kind."
    assert version(ONE)["schema"]["openAPIV3Schema"]["description"] == "What is wanted of it."
