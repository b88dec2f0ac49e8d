"""Messages that are stored with their parameters, and formatted for each reader."""

from __future__ import annotations

import ast
import copy
import json
import pickle
from pathlib import Path

import pytest
from django.conf import settings
from django.db import models
from django.utils import translation
from django.utils.translation import gettext_lazy, ngettext_lazy, pgettext_lazy

from api.domain_errors import ConflictError
from api.message_fields import MessageField, MessageMapField
from api.messages import (
    MARK,
    MAX_PARAMETER_LENGTH,
    MAX_STORED_LENGTH,
    SEPARATOR,
    Message,
    decode_message,
    encode_message,
    join_messages,
    limit_message,
    map_texts,
    plural_message,
    read_in_language,
    to_message,
)
from api.messages import message as _
from tasks.models import JobStatus

CHINESE = "zh-hans"
LAST = "The cloud last reported %s."
TIMED_OUT = "'%(step)s' timed out. %(last)s"
# A message with a plural that the portal's catalog has.
ONE_SPARE = "%(count)s spare still belongs to the pool. Set Desired to 0 and wait until the spare is deleted."
SPARES = "%(count)s spares still belong to the pool. Set Desired to 0 and wait until the spares are deleted."


def read(stored: str, language: str) -> str:
    with translation.override(language):
        return decode_message(stored)


def test_a_message_is_read_in_any_language_whatever_it_was_written_in() -> None:
    for writer in ("en", CHINESE):
        with translation.override(writer):
            stored = encode_message(_(LAST) % "ACTIVE")

        assert read(stored, "en") == "The cloud last reported ACTIVE."
        assert read(stored, CHINESE) == "云平台最近返回的状态为 ACTIVE。"
    assert read(encode_message(_("Canceled.")), CHINESE) == "已取消。"


def test_a_parameter_may_be_a_message_or_a_lazy_translation() -> None:
    stored = encode_message(_(TIMED_OUT) % {"step": gettext_lazy("Run"), "last": _(LAST) % "BUILD"})

    assert read(stored, "en") == "'Run' timed out. The cloud last reported BUILD."
    assert read(stored, CHINESE) == "步骤“执行”超时。云平台最近返回的状态为 BUILD。"
    assert read(encode_message(JobStatus.STUCK.label), CHINESE) == "已卡住"
    assert read(encode_message(pgettext_lazy("worker", "owner")), CHINESE) == "持有者"


@pytest.mark.parametrize(("count", "english"), [(1, ONE_SPARE), (3, SPARES)])
def test_a_plural_is_chosen_by_the_readers_language(count: int, english: str) -> None:
    stored = encode_message(plural_message(ONE_SPARE, SPARES, count) % {"count": count})

    assert read(stored, "en") == english % {"count": count}
    assert read(stored, CHINESE).startswith(f"备盘池中仍有 {count} 个备盘")
    nested = encode_message(
        _("Rolling back: %s") % (plural_message(ONE_SPARE, SPARES, count) % {"count": count})
    )
    assert read(nested, "en") == f"Rolling back: {english % {'count': count}}"
    assert f"仍有 {count} 个备盘" in read(nested, CHINESE)
    assert isinstance(to_message(ngettext_lazy(ONE_SPARE, SPARES, count)), Message)


def test_what_is_put_together_stays_a_message() -> None:
    sentence = _(LAST) % "ACTIVE"
    joined = join_messages(["web-1", "", sentence + " (Req)", " and " + sentence], ": ")
    stored = encode_message(joined)

    assert read(stored, "en") == (
        "web-1: The cloud last reported ACTIVE. (Req):  and The cloud last reported ACTIVE."
    )
    assert read(stored, CHINESE).startswith("web-1: 云平台最近返回的状态为 ACTIVE。 (Req)")
    assert encode_message(join_messages([])) == join_messages([None or ""]) == ""


def test_a_message_survives_what_the_portal_does_with_texts() -> None:
    sentence = _(LAST) % "ACTIVE"
    for same in (
        str(sentence),
        str(ValueError(sentence)),
        to_message(ConflictError("busy", sentence).detail),
        copy.deepcopy(sentence),
        pickle.loads(pickle.dumps(sentence)),  # noqa: S301 - its own bytes.
    ):
        assert isinstance(same, Message)
        assert encode_message(same) == encode_message(sentence)
    assert isinstance(ConflictError("busy", gettext_lazy("Canceled.")).detail, Message)
    assert json.loads(json.dumps(sentence)) == str(sentence)


@pytest.mark.parametrize(
    "hostile",
    [
        "%s %(name)s %(step)d 100%",
        "{0} {name.__class__} ${x}",
        f"{MARK}Canceled.",
        f'{MARK}x{SEPARATOR}[["Canceled."]]',
        '["Canceled."]',
        "\\u001e\u2028\t\n'\"",
        "名称",
        "",
    ],
)
def test_a_text_from_outside_is_never_a_message_nor_a_template(hostile: str) -> None:
    stored = encode_message(_(TIMED_OUT) % {"step": hostile, "last": 5})
    assert read(stored, "en") == f"'{hostile}' timed out. 5"
    assert read(stored, CHINESE) == f"步骤“{hostile}”超时。5"

    # By itself, too.
    assert read(encode_message(hostile), CHINESE) == hostile.replace(MARK, "\ufffd", 1)


def test_unstorable_characters_and_odd_values_are_made_texts() -> None:
    class Odd:
        def __str__(self) -> str:
            return "odd\x00\ud800"

    for value, text in (
        (Odd(), "odd\ufffd\ufffd"),
        ([1, "a"], "[1, 'a']"),
        (float("nan"), "nan"),
        (None, "None"),
    ):
        stored = encode_message(_(LAST) % value)

        assert read(stored, "en") == f"The cloud last reported {text}."
        assert "\x00" not in stored
        stored.encode()


def test_sizes_are_bounded() -> None:
    huge = "x" * 1_000_000
    assert len(_(LAST) % huge) < MAX_PARAMETER_LENGTH + 100

    many = join_messages([_(LAST) % huge] * 100)
    assert len(encode_message(many)) <= MAX_STORED_LENGTH

    cut = limit_message(_(TIMED_OUT) % {"step": huge, "last": _(LAST) % huge}, 2000)
    assert isinstance(cut, Message)
    assert 1900 < len(cut) <= 2000
    assert read(encode_message(cut), CHINESE).startswith("步骤“xxx")
    assert limit_message(_("Canceled."), 3) == "Can"
    assert limit_message(huge, 10) == "x" * 10

    deep = _(LAST) % "bottom"
    for _level in range(100):
        deep = _(LAST) % deep
    assert read(encode_message(deep), "en").startswith("The cloud last reported The cloud last reported")


def test_texts_in_a_message_can_be_masked() -> None:
    masked = map_texts(
        join_messages([_(TIMED_OUT) % {"step": "secret", "last": _(LAST) % "secret"}, "secret"]),
        lambda text: text.replace("secret", "***"),
    )

    assert read(encode_message(masked), "en") == "'***' timed out. The cloud last reported ***. ***"
    assert map_texts("secret", str.upper) == "SECRET"


def test_only_the_parameters_of_the_sentence_are_stored() -> None:
    stored = encode_message(_(TIMED_OUT) % {"step": "a", "last": "b", "password": "s3cr3t"})

    assert "s3cr3t" not in stored


def test_a_mistake_in_a_sentence_is_raised_where_it_is_written() -> None:
    with pytest.raises(KeyError):
        _(TIMED_OUT) % {"step": "a"}
    with pytest.raises(TypeError):
        _("Canceled.") % "b"
    with pytest.raises(TypeError):
        _("%s %s") % ("a", "b")


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        # A msgid that no release knows any more, a missing parameter, and one of the wrong type.
        (f'{MARK}Gone: %(what)s{SEPARATOR}[{{"what":"x"}}]', "Gone: x"),
        (f'{MARK}%(a)s and %(b)s{SEPARATOR}[{{"a":1}}]', "1 and …"),
        (f'{MARK}%(a)d things{SEPARATOR}[{{"a":"x"}}]', "%(a)d things"),
        # Cut, of another form, or nested without end.
        (f'{MARK}a{SEPARATOR}[{{"a":', 'a [{"a":'),
        (f"{MARK}a{SEPARATOR}7", "a 7"),
        (f"{MARK}a{SEPARATOR}[7]", "a [7]"),
        (f'{MARK}a{SEPARATOR}[{{}},7,"x"]', 'a [{},7,"x"]'),
        (f'{MARK}a{SEPARATOR}[{{"a":[[[[]]]]}}]', 'a [{"a":[[[[]]]]}]'),
        (f"{MARK}{SEPARATOR}{'[' * 5000}", f" {'[' * 5000}"),
        (MARK, ""),
        # Of the release before.
        ("已取消。", "已取消。"),
        ("", ""),
    ],
)
def test_whatever_is_stored_can_be_shown(stored: str, shown: str) -> None:
    assert read(stored, "en") == shown


def test_a_broken_translation_is_shown_in_english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.messages.gettext", lambda text: "坏 %(nothing)d" if text == TIMED_OUT else text)

    assert _(TIMED_OUT) % {"step": "a", "last": "b"} == "'a' timed out. b"


def test_a_column_of_messages_is_an_ordinary_column_of_text() -> None:
    field = MessageField("message", blank=True, default="")

    assert field.deconstruct()[1] == "django.db.models.TextField"
    assert MessageMapField(default=dict).deconstruct()[1] == "django.db.models.JSONField"
    assert field.get_prep_value("") == ""
    assert field.get_prep_value(None) is None
    assert field.get_prep_value("plain") == "plain"
    assert field.get_prep_value(gettext_lazy("Canceled.")) == f"{MARK}Canceled."
    assert isinstance(field, models.TextField)


def test_rows_of_a_streamed_answer_are_read_in_the_language_of_the_request() -> None:
    languages = (translation.get_language() for _number in range(2))
    with translation.override("en"):
        for language in read_in_language(languages, CHINESE):
            assert language == CHINESE
            assert translation.get_language() == "en"


# The rooms whose commands and syncs write messages that are read later.
WORK = [
    *(
        file
        for room in ("cloudaccounts", "volumepool", "networks", "vms", "deploys")
        for folder in ("commands", "sync")
        for file in sorted((Path(settings.BASE_DIR) / room / folder).rglob("*.py"))
    ),
    *sorted((Path(settings.BASE_DIR) / "tasks" / "engine").glob("*.py")),
]


def test_commands_and_syncs_write_no_message_in_one_language() -> None:
    """`gettext` in a worker gives a text in the worker's language: see "Add a message that is stored" in docs/recipes.md."""
    one_language = [
        f"{file.relative_to(settings.BASE_DIR)}:{node.lineno}"
        for file in WORK
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom)
        and node.module == "django.utils.translation"
        and {"gettext", "ngettext", "pgettext"} & {name.name for name in node.names}
    ]

    assert not one_language, f"Import `message` from api.messages as `_` in place of gettext: {one_language}"


def test_no_message_is_built_when_a_module_is_imported() -> None:
    """Its text would be in one language for ever; constants are `gettext_lazy`, and become messages as parameters."""
    early = []
    for file in sorted(Path(settings.BASE_DIR).glob("[a-z]*/**/*.py")):
        if (
            file.parts[len(Path(settings.BASE_DIR).parts)] == "tests"
            or "api.messages import" not in file.read_text()
        ):
            continue
        tree = ast.parse(file.read_text())
        names = {
            name.asname or name.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module == "api.messages"
            for name in node.names
            if name.name in {"message", "plural_message"}
        }
        later = {
            inner
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef)
            for line in node.body
            for inner in ast.walk(line)
        }
        early += [
            f"{file.relative_to(settings.BASE_DIR)}:{node.lineno}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in names
            and node not in later
        ]

    assert not early
