from __future__ import annotations

import pytest

from medbundles.errors import DataError
from medbundles.io.tables import parse_flag, parse_number, read_table

PLAIN = "name,size\na,1.5\nb,2.5\n"


def table(tmp_path, content):
    path = tmp_path / "table.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        "\ufeff" + PLAIN,
        PLAIN.encode("utf-16"),
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace(",", ";").replace(".", ","),
        PLAIN.replace(",", "\t"),
        PLAIN.replace(",", " , ") + "\n,\n",
        'name,size\na,"1,5"\n"b","2,5"\n',
    ],
    ids=["plain", "byte order mark", "utf-16", "windows", "decimal comma", "tabs", "spaces and blanks", "quoted"],
)
def test_tables_are_read_as_people_save_them(tmp_path, content):
    rows = read_table(table(tmp_path, content), ("name", "size")).rows
    assert [(row.line, row.values["name"], parse_number(row.values["size"])) for row in rows] == [
        (2, "a", 1.5),
        (3, "b", 2.5),
    ]


def test_every_missing_column_is_named_at_once(tmp_path):
    with pytest.raises(DataError) as refusal:
        read_table(table(tmp_path, PLAIN), ("name", "weight", "age"))
    assert [finding.message.split('"')[1] for finding in refusal.value.findings] == ["weight", "age"]
    assert {finding.file for finding in refusal.value.findings} == {"table.csv"}


def test_decimal_commas_between_commas_are_refused_with_their_row(tmp_path):
    with pytest.raises(DataError, match="row 2") as refusal:
        read_table(table(tmp_path, "name,size\na,1,5\n"), ("name", "size"))
    assert refusal.value.findings[0].code == "LUN006"


def test_a_file_that_is_no_text_is_refused(tmp_path):
    with pytest.raises(DataError, match="not a text table"):
        read_table(table(tmp_path, b"\x89PNG\r\n\x1a\n\xff\xff"), ("name",))


def test_an_empty_file_lacks_its_columns(tmp_path):
    with pytest.raises(DataError, match="no columns"):
        read_table(table(tmp_path, ""), ("name",))


@pytest.mark.parametrize("text", ["", "left", "1.234,5", "nan", "inf", "1,2,3"])
def test_what_is_no_finite_number_is_none(text):
    assert parse_number(text) is None


@pytest.mark.parametrize(("text", "expected"), [("True", True), ("0", False), ("", None), ("perhaps", None)])
def test_flags_are_true_false_or_unknown(text, expected):
    assert parse_flag(text) is expected
