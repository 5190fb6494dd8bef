"""Reading CSV tables as people really save them: byte order marks, semicolons, decimal commas."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medbundles.errors import DataError, Finding

DELIMITERS = (",", ";", "\t")
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
TRUE_WORDS = {"true", "1", "1.0", "yes"}
FALSE_WORDS = {"false", "0", "0.0", "no"}


@dataclass(frozen=True)
class TableRow:
    """One line of a table.

    Attributes:
        line: the line's number in the file, the header being 1.
        values: text by column name, stripped; empty where the line has no such field.
    """

    line: int
    values: dict[str, str]


@dataclass(frozen=True)
class Table:
    """A table with its header.

    Attributes:
        name: file name, for messages.
        code: fault code that its findings carry.
        columns: the header, in order.
        rows: the lines below it; blank lines are left out.
    """

    name: str
    code: str
    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]

    def fault(self, row: TableRow, column: str, expected: str) -> Finding:
        """Return the finding for a field that is not what it should be, naming row and column."""
        found = row.values.get(column, "")
        message = f'row {row.line}, column "{column}": found {found!r}, expected {expected}'
        return Finding(self.code, "error", message, "correct the table", file=self.name)


def read_table(path: Path, required: Sequence[str], code: str = "LUN006") -> Table:
    """Read a CSV table; a byte order mark, semicolons, tabs and quoted fields are understood.

    Args:
        path: the table.
        required: columns that must be there.
        code: fault code of the findings.

    Raises:
        DataError: the file is no text, has no header, lacks a required column or has a line with too many fields;
            all of these at once, with row and column.
    """
    text = _decode(path, code)
    header = text.split("\n", 1)[0]
    delimiter = max(DELIMITERS, key=header.count)
    lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    columns = tuple(name.strip() for name in lines[0]) if lines else ()
    findings = [_missing_column(name, columns, path.name, code) for name in required if name not in columns]
    rows = []
    for number, fields in enumerate(lines[1:], start=2):
        if not any(field.strip() for field in fields):
            continue
        if len(fields) > len(columns) and not findings:
            findings.append(_too_long(number, len(fields), columns, path.name, code))
        values = dict(zip(columns, (field.strip() for field in fields), strict=False))
        rows.append(TableRow(number, {name: values.get(name, "") for name in columns}))
    if findings:
        raise DataError(findings=findings)
    return Table(path.name, code, columns, tuple(rows))


def parse_number(text: str) -> float | None:
    """Return a finite number; a decimal comma is read, a thousands separator is not. ``None``: not a number."""
    plain = text.replace(",", ".") if text.count(",") == 1 and "." not in text else text
    try:
        value = float(plain)
    except ValueError:
        return None
    return value if abs(value) < float("inf") else None


def parse_flag(text: str) -> bool | None:
    """Return a truth value; ``None`` when the field is empty or says neither."""
    word = text.lower()
    return True if word in TRUE_WORDS else False if word in FALSE_WORDS else None


def _decode(path: Path, code: str) -> str:
    content = path.read_bytes()
    try:
        return content.decode("utf-16" if content[:2] in UTF16_MARKS else "utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"not a text table: byte {error.start} is not UTF-8"
        raise DataError(findings=[Finding(code, "error", message, "save it as CSV UTF-8", file=path.name)]) from error


def _missing_column(name: str, columns: Sequence[str], file: str, code: str) -> Finding:
    message = f'row 1, column "{name}" is missing; the header has {", ".join(columns) or "no columns"}'
    return Finding(code, "error", message, "add the column or its name", file=file)


def _too_long(line: int, found: int, columns: Sequence[str], file: str, code: str) -> Finding:
    message = f'row {line}, after column "{columns[-1]}": {found} fields where the header has {len(columns)}'
    return Finding(code, "error", message, "decimal commas need semicolons between the fields", file=file)
