"""Whether a schema may follow others under a subject, in the words of Confluent's registry."""

from __future__ import annotations

from collections.abc import Sequence

from kafka_sr_retry.avro.compatibility import Clash, Finding, clashes, parse

_DESCRIPTIONS = {
    "FIXED_SIZE_MISMATCH": "The size of FIXED type field at path '{place}' in the {reader} schema does not match with "
    "the {writer} schema",
    "TYPE_MISMATCH": "The type (path '{place}') of a field in the {reader} schema does not match with the {writer} "
    "schema",
    "NAME_MISMATCH": "The name of the schema has changed (path '{place}')",
    "MISSING_ENUM_SYMBOLS": "The {reader} schema is missing enum symbols '{detail}' at path '{place}' in the {writer} "
    "schema",
    "MISSING_UNION_BRANCH": "The {reader} schema is missing a type inside a union field at path '{place}' in the "
    "{writer} schema",
    "READER_FIELD_MISSING_DEFAULT_VALUE": "The field '{detail}' at path '{place}' in the {reader} schema has no "
    "default value and is missing in the {writer} schema",
}
_UNEXPECTED = "Unexpected exception during compatibility check: {}"
_LONGEST = 10 * 1024
"""Characters of an old schema that are told."""

Texts = Sequence[str]
"""A schema's text, after those that it refers to."""


def incompatibilities(new: Texts, earlier: Sequence[tuple[int, Texts]], level: str) -> list[str]:
    """Why Avro schema ``new`` may not follow these, the oldest first; empty if it may. Only one version is told of."""
    try:
        versions = [(number, parse(text, referenced)) for number, (*referenced, text) in earlier]
        *referenced, text = new
        found = list(clashes(parse(text, referenced), versions, level))
    except ValueError as error:
        return [_UNEXPECTED.format(error)]
    told = [clash for clash in found if clash.version == found[0].version]
    messages = [_message(finding, clash) for clash in told for finding in clash.findings]
    if not told:
        return []
    if level.startswith("FULL") and not told[-1].new_reads:
        old = []  # so does Confluent's: it tells the old schema with what the new one cannot read
    else:
        text = dict(earlier)[told[0].version][-1]
        cut = f" <truncated to {_LONGEST} characters>" if len(text) > _LONGEST else ""
        old = [f"{{oldSchemaVersion: {told[0].version}}}", f"{{oldSchema:{cut} '{text[:_LONGEST]}'}}"]
    return [*messages, *old, f"{{validateFields: 'false', compatibility: '{level}'}}"]


def _message(finding: Finding, clash: Clash) -> str:
    if finding.rule not in _DESCRIPTIONS:
        return _UNEXPECTED.format(finding.detail)
    description = _DESCRIPTIONS[finding.rule].format(
        place=finding.pointer,
        detail=finding.detail,
        reader="new" if clash.new_reads else "old",
        writer="old" if clash.new_reads else "new",
    )
    return f"{{errorType:'{finding.rule}', description:'{description}', additionalInfo:'{finding.detail}'}}"
