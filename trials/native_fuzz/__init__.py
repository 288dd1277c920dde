"""Bytes decide a schema and a value, or a program; a coverage-guided fuzzer looks for those that the native encoder
does not stand. See docs/trials.md."""
