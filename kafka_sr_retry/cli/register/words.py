"""What a finding means for those who write messages, and what to do."""

from __future__ import annotations

from collections.abc import Iterator

from kafka_sr_retry.avro.compatibility import Clash, Finding
from kafka_sr_retry.errors import one_line

_NEW_READS = {
    "NAME_MISMATCH": (
        "The type is called {reader}; in {old} it is {writer}.",
        'Keep the name, or give the type "aliases": ["{writer}"].',
    ),
    "FIXED_SIZE_MISMATCH": ("It has {reader} bytes; in {old} it has {writer}.", "Keep the size."),
    "MISSING_ENUM_SYMBOLS": (
        "{old} has the symbols {writer}, which are gone.",
        "Keep them, or give the enum a default, as which they are read.",
    ),
    "READER_FIELD_MISSING_DEFAULT_VALUE": (
        "The field is not in {old}, and has no default.",
        "Give it a default, with which older messages are read.",
    ),
    "TYPE_MISMATCH": (
        "Its type is {reader}; in {old} it is {writer}.",
        "Keep the type, or add a field of another name with a default.",
    ),
    "MISSING_UNION_BRANCH": (
        "It takes {reader}, but not {writer}, which {old} has.",
        "Keep {writer} among its types.",
    ),
    "AMBIGUOUS_FIELD": (
        "Its name and its aliases fit more than one field of {old}: {writer}.",
        "Leave only one that fits.",
    ),
}
_OLD_READS = {
    "NAME_MISMATCH": (
        "The type is called {writer}; in {old} it is {reader}.",
        "Keep the name: who reads with {old} knows no other.",
    ),
    "FIXED_SIZE_MISMATCH": ("It has {writer} bytes; in {old} it has {reader}.", "Keep the size."),
    "MISSING_ENUM_SYMBOLS": (
        "The symbols {writer} are not in {old}, whose enum has no default.",
        "Leave them out, or first register a version whose enum has a default.",
    ),
    "READER_FIELD_MISSING_DEFAULT_VALUE": (
        "The field is gone, and {old} has no default for it.",
        "Keep it, or first register a version in which it has a default.",
    ),
    "TYPE_MISMATCH": (
        "Its type is {writer}; in {old} it is {reader}.",
        "Keep the type, or add a field of another name.",
    ),
    "MISSING_UNION_BRANCH": (
        "It may be {writer}; {old} takes {reader} alone.",
        "Leave {writer} out.",
    ),
    "AMBIGUOUS_FIELD": (
        "The name and aliases that {old} has for it fit more than one field: {writer}.",
        "Leave only one that fits.",
    ),
}


def version_in_words(version: object) -> str:
    return f"version {version}" if isinstance(version, int) else str(version)


def direction(clash: Clash) -> str:
    old = version_in_words(clash.version)
    if clash.new_reads:
        return f"With it, messages of {old} cannot be read."
    return f"Its messages cannot be read with {old}."


def told(clash: Clash) -> Iterator[tuple[Finding, str, str]]:
    """Each finding with what is wrong and what to do; of a branch of a union that was meant, what is in there."""
    words = _NEW_READS if clash.new_reads else _OLD_READS
    for finding in _innermost(clash.findings):
        what, advice = words[finding.rule]
        given = {"reader": _short(finding.reader), "writer": _short(finding.writer)}
        given["old"] = version_in_words(clash.version)
        what = what.format(**given)
        yield finding, what[0].upper() + what[1:], advice.format(**given)


def _innermost(findings: tuple[Finding, ...]) -> Iterator[Finding]:
    for finding in findings:
        if finding.inside:
            yield from _innermost(finding.inside)
        else:
            yield finding


def _short(text: str) -> str:
    return one_line(text, 120)
