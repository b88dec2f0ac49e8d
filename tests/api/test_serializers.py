import unicodedata
from typing import Any

import pytest
from hypothesis import given, settings
from rest_framework import serializers

from api.serializers import PlainCharField, PlainTextField, StrictModelSerializer, StrictSerializer
from tenants.models import InformationSystem
from tests.random_texts import texts


class Disk(StrictSerializer):
    size = serializers.IntegerField(min_value=1)


class Server(StrictSerializer):
    id = serializers.UUIDField(read_only=True)
    name = PlainCharField(max_length=10)
    cores = serializers.IntegerField()
    disks = Disk(many=True, required=False)


class System(StrictModelSerializer[InformationSystem]):
    class Meta:
        model = InformationSystem
        fields = ["id", "name", "description"]


def errors_of(serializer: Any) -> Any:
    assert not serializer.is_valid()
    return serializer.errors


def test_what_is_known_comes_through() -> None:
    asked = Server(data={"name": " web ", "cores": 2, "disks": [{"size": 1}]})

    assert asked.is_valid(), asked.errors
    assert asked.validated_data == {"name": "web", "cores": 2, "disks": [{"size": 1}]}


def test_all_errors_come_at_once_by_field() -> None:
    errors = errors_of(
        Server(data={"nmae": "web", "cores": "many", "id": "x", "disks": [{"size": 0, "sizes": 1}]})
    )

    assert set(errors) == {"nmae", "cores", "id", "name", "disks"}
    assert "cores, disks, name" in str(errors["nmae"])
    assert set(errors["disks"][0]) == {"size", "sizes"}


def test_a_read_only_field_is_not_ignored_in_silence() -> None:
    assert set(errors_of(Server(data={"name": "a", "cores": 1, "id": "x"}))) == {"id"}


def test_partial_changes_are_strict_too() -> None:
    assert set(errors_of(Server(data={"cors": 1}, partial=True))) == {"cors"}
    assert Server(data={"cores": 1}, partial=True).is_valid()


@pytest.mark.parametrize("data", [[], "x", 1, None])
def test_what_is_no_object_is_refused(data: Any) -> None:
    assert not Server(data=data).is_valid()


def test_a_models_texts_are_plain() -> None:
    assert set(errors_of(System(data={"name": "a\tb", "description": "a\x07"}))) == {"name", "description"}
    fields = System().fields
    assert fields["name"].max_length == 100
    assert isinstance(fields["description"], PlainTextField)


@settings(deadline=None)
@given(texts())
def test_a_plain_text_is_stable_and_has_nothing_unseen(text: str) -> None:
    try:
        plain = PlainCharField(allow_blank=True).run_validation(text)
    except serializers.ValidationError:
        return
    assert plain == PlainCharField(allow_blank=True).run_validation(plain)
    assert unicodedata.is_normalized("NFC", plain)
    assert not any(unicodedata.category(character) in {"Cc", "Cs"} for character in plain)


@pytest.mark.parametrize(
    "text", ["a\x00b", "a\x1bb", "a\nb", "a\u2028b", "a\u202egnp.exe", "a\x7fb", "\x85a\x07"]
)
def test_control_characters_are_refused(text: str) -> None:
    with pytest.raises(serializers.ValidationError):
        PlainCharField().run_validation(text)


@pytest.mark.parametrize("text", ["Ärger", "数据库", "a b", "👩‍💻", "O'Brien; DROP TABLE", "<b>"])
def test_texts_of_people_are_accepted(text: str) -> None:
    assert PlainCharField().run_validation(text) == text


def test_several_lines_are_for_texts() -> None:
    assert PlainTextField().run_validation("a\n\tb") == "a\n\tb"
    with pytest.raises(serializers.ValidationError, match="position 2"):
        PlainTextField().run_validation("a\x07")


def test_length_counts_what_is_stored() -> None:
    decomposed = "e\u0301" * 10

    assert len(PlainCharField(max_length=10).run_validation(decomposed)) == 10
