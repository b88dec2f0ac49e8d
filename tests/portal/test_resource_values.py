"""The values of resources, and what changed about them, as pages show them in words."""

from __future__ import annotations

from cloudaccounts.pages.resource_values import describe_changed_fields, format_json_value


def test_attributes_that_are_junk_are_shown_as_far_as_that_goes():
    deep: dict = {}
    for _level in range(200):
        deep = {"in": deep, "at": 1}

    assert format_json_value(deep).count("\n") < 40
    assert "…" in format_json_value(deep)
    assert (
        format_json_value({"b": None, "a": [[1, True], {"c": ""}]}) == "a:\n  - 1, yes\n  -\n    c: -\nb: -"
    )
    assert (format_json_value([]), format_json_value(0), format_json_value(False)) == ("-", "0", "no")


def test_of_a_long_list_a_change_shows_what_was_added_and_removed():
    kept = {"id": "1", "direction": "egress", "port_min": None}
    gone = {"id": "2", "direction": "ingress", "port_min": 22, "remote_cidr": "198.51.100.0/24"}
    new = {"id": "3", "direction": "ingress", "port_min": 22, "remote_cidr": "0.0.0.0/0"}
    fields = {
        "attributes.rule_list": [[kept, gone], [new, kept]],
        "attributes.metadata": [{"a": "1", "b": "2"}, {"a": "1", "c": "3"}],
        "links": [["port-network a", "port-server b"], ["port-network a", "port-server c"]],
        "attributes.cidrs": [["10.0.0.0/8"], ["10.0.0.0/8", "10.1.0.0/16"]],
    }

    described = describe_changed_fields(fields, "security_group")

    shown = {(one["was"], one["is_now"]) for one in described}
    assert shown == {
        (
            "direction: ingress, port_min: 22, remote_cidr: 198.51.100.0/24",
            "direction: ingress, port_min: 22, remote_cidr: 0.0.0.0/0",
        ),
        ("b: 2", "c: 3"),
        ("- port-server b", "- port-server c"),
        ("- 10.0.0.0/8", "- 10.0.0.0/8\n- 10.1.0.0/16"),
    }
