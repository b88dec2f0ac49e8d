"""Messages that are stored, and shown to each reader in the reader's own language.

A worker does not know who will read what it writes. So it stores a message as its msgid (the English sentence, which
`make translations` extracts) with its parameters, and the sentence is formatted when it is read.

    from api.messages import message as _
    from api.messages import plural_message as ngettext

    Failed("wrong_state", _("The server is '%(status)s'.") % {"status": server.status})

`Message` is a `str`: its text is the sentence in the language that is active when it is built or read from the database, so
code that only shows or compares it needs no change. Formatting (`%`) and `+` keep the message. f-strings, slices and
`str.join` give plain texts in one language: use `join_messages` and `limit_message` instead.

A parameter may be a message or a lazy translation, such as a label of choices. Texts from outside are parameters, too, and
are never interpreted as messages.

`MessageField` (message_fields.py) stores a message in the column of a text:

    MARK msgid                                 a sentence without parameters
    MARK msgid SEPARATOR ["params"]            with parameters: {"name": value}, {"": value} for `%s`
    MARK msgid SEPARATOR ["params", plural, number]
    MARK SEPARATOR [[part, ...]]               messages and texts one after another

with `[msgid, ...]` in the same order for a message in a parameter. A text without the mark is shown as it is: those of the
cloud, and those that the release before has stored. In other JSON columns use `encode_message` and `decode_message`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from django.utils.functional import Promise
from django.utils.translation import gettext, ngettext, npgettext, override, pgettext

# Control characters, which no sentence contains. Where the release before shows a stored message, they are invisible.
MARK = "\x1e"
SEPARATOR = "\x1f"
# Between the context and the msgid, as in gettext's own catalogs.
CONTEXT = "\x04"
# PostgreSQL refuses NUL and lone surrogates in a text.
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
# The longest text of a parameter, in characters; the longest messages of clouds and hosts are shorter.
MAX_PARAMETER_LENGTH = 4_000
# The longest stored message, in characters. A longer one is stored as a text, and cut.
MAX_STORED_LENGTH = 20_000
# Messages in messages: each job of a tree adds one to the message of its child.
MAX_DEPTH = 12
MISSING_VALUE = "…"

AnyRow = TypeVar("AnyRow")


class Message(str):
    """A sentence in the active language that knows its msgid and its parameters. Built by `message` and `plural_message`."""

    # The msgid, its plural form or "", its parameters or None before `%`; and the parts of a sequence, whose msgid is "".
    __slots__ = ("msgid", "number", "params", "parts", "plural")

    msgid: str
    plural: str
    number: float
    params: Mapping[str, Any] | None
    parts: tuple[str, ...]

    def __str__(self) -> str:
        # As Django's SafeString: `str()` of a message, and of an exception that carries one, keeps the message.
        return self

    def __mod__(self, values: Any) -> Message:
        """Return the message with its parameters. Raises KeyError, TypeError and ValueError as `str` does.

        Values that are no numbers, messages or lazy translations become texts.
        """
        if self.params is not None or self.parts:
            raise TypeError(f"The message already has its parameters: {self.msgid!r}")
        if isinstance(values, Mapping):
            used = {name: values[name] for name in values if f"%({name})" in f"{self.msgid}{self.plural}"}
        elif isinstance(values, tuple):
            raise TypeError("A message with several parameters names them: %(name)s.")
        else:
            used = {"": values}
        params = {name: _to_parameter(value) for name, value in used.items()}
        # A mistake in the sentence itself is raised here; one in a translation is not.
        _format(self.msgid, params)
        return _build(self.msgid, self.plural, self.number, params)

    def __add__(self, other: str) -> Message:
        return join_messages([self, other], "")

    def __radd__(self, other: str) -> Message:
        return join_messages([other, self], "")

    def __reduce__(self) -> tuple[Any, ...]:
        return decode_message, (encode_message(self),)

    def map_texts(self, function: Callable[[str], str]) -> Message:
        """Return the message with each text in its parameters replaced, for example to mask secrets."""
        params = self.params and {name: _map_value(value, function) for name, value in self.params.items()}
        return _build(
            self.msgid,
            self.plural,
            self.number,
            params,
            tuple(_map_value(part, function) for part in self.parts),
        )


def message(msgid: str) -> Message:
    """Return the message of a msgid; format it with `%` as usual. Import it as `_`, so that the msgid is extracted."""
    return _build(msgid)


def plural_message(singular: str, plural: str, number: float) -> Message:
    """Return the message for a number of things; format it with `%` as usual. Import it as `ngettext`."""
    return _build(singular, plural, number)


def join_messages(parts: Iterable[object], separator: str = " ") -> Message:
    """Return messages and texts one after another; empty ones are left out."""
    texts = [text for text in map(to_message, parts) if text]
    joined: list[str] = []
    for text in texts:
        if joined and separator:
            joined.append(separator)
        inner = text.parts if isinstance(text, Message) and text.parts else (text,)
        joined.extend(_to_parameter(part) for part in inner)
    return _build("", parts=tuple(joined))


def to_message(value: object) -> str:
    """Return a lazy translation as a message, and any other value as its text, which may be a message."""
    if isinstance(value, Promise):
        return _from_promise(value)
    return value if isinstance(value, str) else str(value)


def map_texts(text: str, function: Callable[[str], str]) -> str:
    """Apply a function to a text, or to each text in the parameters of a message."""
    return text.map_texts(function) if isinstance(text, Message) else function(text)


def limit_message(text: str, max_length: int) -> str:
    """Return a text with at most `max_length` characters. A message stays one: the longest texts in it are cut."""
    if len(text) <= max_length:
        return text
    if isinstance(text, Message):
        # The greatest length to which all texts can be cut, found by halving.
        shortest, longest, fitting = 1, max(map(len, _list_texts(text)), default=0), None
        while shortest <= longest:
            length = (shortest + longest) // 2
            shorter = text.map_texts(lambda inner: inner[:length])  # noqa: B023 - called before the next round.
            if len(shorter) <= max_length:
                shortest, fitting = length + 1, shorter
            else:
                longest = length - 1
        if fitting is not None:
            return fitting
    return text[:max_length]


def _list_texts(value: Any) -> list[str]:
    if not isinstance(value, Message):
        return [value] if isinstance(value, str) else []
    return [text for part in (*(value.params or {}).values(), *value.parts) for text in _list_texts(part)]


def read_in_language(rows: Iterable[AnyRow], language: str | None) -> Iterator[AnyRow]:
    """Yield rows whose messages are read in a language: those of a streamed answer are read after the request has ended."""
    iterator = iter(rows)
    while True:
        # The language is active while a row is read, and not while the caller has it.
        with override(language):
            try:
                row = next(iterator)
            except StopIteration:
                return
        yield row


# --- Stored messages ---------------------------------------------------------------------------------------


def encode_message(text: object) -> str:
    """Return the stored form of a message, or of a lazy translation; a plain text as it is, without a mark."""
    text = to_message(text)
    if not isinstance(text, Message):
        # A text from outside must not pass for a message of the portal.
        return text.replace(MARK, "\ufffd", 1) if text.startswith(MARK) else text
    msgid, *rest = _to_json(text)
    if not rest:
        return f"{MARK}{msgid}" if msgid else ""
    stored = f"{MARK}{msgid}{SEPARATOR}{json.dumps(rest, ensure_ascii=False, separators=(',', ':'))}"
    # A slice is a plain text, which may begin with one from outside.
    return stored if len(stored) <= MAX_STORED_LENGTH else encode_message(text[:MAX_STORED_LENGTH])


def decode_message(stored: str) -> str:
    """Return a stored message in the active language, and any other text as it is. Never raises."""
    if not stored.startswith(MARK):
        return stored
    msgid, separator, rest = stored[1:].partition(SEPARATOR)
    try:
        return _from_json([msgid, *(json.loads(rest) if separator else ())])
    except (TypeError, ValueError, OverflowError, RecursionError):
        # Of another release, or cut by hand.
        return stored.replace(MARK, "").replace(SEPARATOR, " ")


def _to_json(text: Message, depth: int = 0) -> list[Any]:
    def convert(value: Any) -> Any:
        if not isinstance(value, Message):
            return value
        return _to_json(value, depth + 1) if depth < MAX_DEPTH else value[:]

    if text.parts:
        return ["", [convert(part) for part in text.parts]]
    params = text.params and {name: convert(value) for name, value in text.params.items()}
    if text.plural:
        return [text.msgid, params, text.plural, text.number]
    return [text.msgid] if params is None else [text.msgid, params]


def _from_json(content: Any, depth: int = 0) -> Message:
    """Build a message from its stored form. Raises ValueError and TypeError for any other value."""
    if not isinstance(content, list) or not 0 < len(content) < 5 or depth > MAX_DEPTH:
        raise ValueError("not a message")

    def convert(value: Any) -> Any:
        return _from_json(value, depth + 1) if isinstance(value, list) else value

    defaults: tuple[Any, ...] = (None, None, "", 0)
    msgid, params, plural, number = (*content, *defaults[len(content) :])
    if msgid == "" and isinstance(params, list):
        return _build("", parts=tuple(convert(part) for part in params))
    is_known = isinstance(msgid, str) and isinstance(params, dict | None) and isinstance(plural, str)
    if not is_known or not isinstance(number, int | float):
        raise ValueError("not a message")
    return _build(msgid, plural, number, params and {name: convert(value) for name, value in params.items()})


# --- Formatting --------------------------------------------------------------------------------------------


def _build(
    msgid: str,
    plural: str = "",
    number: float = 0,
    params: Mapping[str, Any] | None = None,
    parts: tuple[str, ...] = (),
) -> Message:
    text = _join_texts(parts) if parts else _format_safely(_translate(msgid, plural, number), msgid, params)
    built = str.__new__(Message, text)
    built.msgid, built.plural, built.number, built.params, built.parts = msgid, plural, number, params, parts
    return built


def _join_texts(parts: tuple[str, ...]) -> str:
    return "".join(str(part) for part in parts)


def _translate(msgid: str, plural: str, number: float) -> str:
    """Return the sentence in the active language; the msgid itself when no catalog has it any more."""
    context, separator, text = msgid.rpartition(CONTEXT)
    if not text:
        return ""  # gettext would return the head of the catalog.
    if plural:
        return (
            npgettext(context, text, plural, int(number))
            if separator
            else ngettext(text, plural, int(number))
        )
    return pgettext(context, text) if separator else gettext(text)


class _Values(dict[str, Any]):
    """The parameters of a stored message. One that the translation asks for in vain must not hide the sentence."""

    def __missing__(self, name: str) -> str:
        return MISSING_VALUE


def _format(template: str, params: Mapping[str, Any] | None) -> str:
    if params is None:
        return template
    return template % ((params[""],) if "" in params else params)


def _format_safely(template: str, msgid: str, params: Mapping[str, Any] | None) -> str:
    """Return a sentence with its parameters: in English when its translation is broken, without them when nothing fits."""
    values = params if params is None or "" in params else _Values(params)
    for sentence in (template, msgid.rpartition(CONTEXT)[2]):
        try:
            return _format(sentence, values)
        except (KeyError, TypeError, ValueError, OverflowError):
            continue
    return template


def _to_parameter(value: Any) -> Any:
    """Return a value as a parameter: a number, a message, or a text that can be stored."""
    if value is None or isinstance(value, bool | int | Message):
        return value
    if isinstance(value, float):
        return value if abs(value) != float("inf") and value == value else str(value)  # noqa: PLR0124 - NaN.
    text = to_message(value)
    if isinstance(text, Message):
        return text
    # A subclass of `str`, such as a member of choices, becomes a plain text.
    return UNSTORABLE.sub("\ufffd", text[:MAX_PARAMETER_LENGTH])


def _map_value(value: Any, function: Callable[[str], str]) -> Any:
    if isinstance(value, Message):
        return value.map_texts(function)
    return function(value) if isinstance(value, str) else value


def _from_promise(promise: Promise) -> str:
    """Return a lazy translation as a message; one that is not a call of gettext as its text.

    `__reduce__` is how a lazy value is pickled: the function that it delays, and its arguments.
    """
    reduced: Any = promise.__reduce__()
    function, args, kwargs = [*reduced[1], None, None, None][:3]
    named = kwargs if isinstance(kwargs, dict) else {}
    if function is gettext and len(args) == 1:
        return _build(args[0])
    if function is pgettext and len(args) == 2:
        return _build(CONTEXT.join(args))
    if function is ngettext and {"singular", "plural", "number"} == named.keys():
        return _build(named["singular"], named["plural"], named["number"])
    return str(promise)
