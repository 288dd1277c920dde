"""``python -m tests.spec``: writes the table of who survives what into docs/compatibility.md."""

from .survival import PAGE, written

PAGE.write_text(written(), encoding="utf-8")
