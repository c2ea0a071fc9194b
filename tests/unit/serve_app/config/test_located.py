"""A YAML document with lines."""

from datetime import date

import pytest

from serve_app.config.located import MAX_BYTES, MAX_VALUES, at, parse_document, read_document

TEXT = b"""# a comment
top: 1
list:
- name: a
  size: 2
-
  name: b
inline: {x: [10, 20]}
"""


def faults(text):
    document = parse_document(text, "f.yaml")
    assert document.data is None
    return [str(fault) for fault in document.faults]


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ((), 2),
        (("top",), 2),
        (("list",), 3),
        (("list", 0), 4),
        (("list", 0, "name"), 4),
        (("list", 0, "size"), 5),
        (("list", 1), 7),
        (("list", 1, "name"), 7),
        (("inline", "x", 1), 8),
    ],
)
def test_every_key_and_item_has_its_line(path, line):
    assert parse_document(TEXT, "f.yaml").line(path) == line


def test_a_missing_key_has_its_parents_line():
    document = parse_document(TEXT, "f.yaml")
    assert document.line(("list", 1, "size")) == 7
    assert document.line(("list", 5, "deep", "er")) == 3
    assert document.line(("nowhere",)) == 2


def test_a_fault_is_printed_with_its_dotted_path():
    document = parse_document(TEXT, "f.yaml")
    assert str(document.fault(("list", 0, "size"), "too small")) == "f.yaml:5: list.0.size: too small"
    assert str(document.fault((), "no")) == "f.yaml:2: no"


def test_data_is_what_a_plain_loader_gives():
    document = parse_document(b"a: yes\nb: 1.5\nc: 2024-06-01\nd: null\ne: '1'\n", "f.yaml")
    assert document.data == {"a": True, "b": 1.5, "c": date(2024, 6, 1), "d": None, "e": "1"}


def test_every_duplicate_key_is_a_fault_and_the_rest_is_still_data():
    document = parse_document(b"a: 1\nb: {c: 1, c: 2}\na: 3\n", "f.yaml")
    assert document.data == {"a": 1, "b": {"c": 1}}
    assert [str(fault) for fault in document.faults] == [
        "f.yaml:2: b.c: key 'c' is given twice, first on line 2",
        "f.yaml:3: a: key 'a' is given twice, first on line 1",
    ]


def test_anchors_and_merges_are_expanded_and_own_keys_win():
    document = parse_document(b"x: &x {a: 1, b: 2}\ny:\n  <<: *x\n  b: 3\nz: *x\n", "f.yaml")
    assert document.data == {"x": {"a": 1, "b": 2}, "y": {"b": 3, "a": 1}, "z": {"a": 1, "b": 2}}
    assert document.faults == ()
    assert document.line(("y", "b")) == 4
    assert document.line(("y", "a")) == 1


def test_the_first_of_several_merged_mappings_wins():
    document = parse_document(b"x: &x {a: 1}\ny: &y {a: 2, b: 2}\nz: {<<: [*x, *y]}\n", "f.yaml")
    assert document.data["z"] == {"a": 1, "b": 2}
    assert document.faults == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"a: 1\nb: [1, 2\nc: 3\n", "f.yaml:3: not valid YAML: did not find expected ',' or ']'"),
        (b"a: 1\n b: 2\n", "f.yaml:2: not valid YAML: mapping values are not allowed in this context"),
        (b"a: 1\nb: \x07\n", "f.yaml:2: not valid YAML: control characters are not allowed"),
        (b"a: 1\nb: \xff\n", "f.yaml:2: not valid UTF-8: byte 0xff"),
        (b"a: 1\nb: *x\n", "f.yaml:2: not valid YAML: found undefined alias"),
        (b"a: 1\n---\nb: 2\n", "f.yaml:2: not valid YAML: but found another document"),
        (b"a: 1\nb: !!python/object:os.system x\n", "f.yaml:2: not valid YAML: could not determine a constructor"),
        (b"a: !!set {x}\n", "f.yaml:1: the tag tag:yaml.org,2002:set is not supported"),
        (b"a: 1\n[1]: 2\n", "f.yaml:2: a key must be a single value"),
        (b"a: 2024-13-45\n", "f.yaml:1: '2024-13-45' cannot be read: month must be in 1..12"),
        (b"a: 1\nb: !!bool abc\n", "f.yaml:2: 'abc' cannot be read as !!bool"),
        (b"a: 1\nb: !!timestamp abc\n", "f.yaml:2: 'abc' cannot be read as !!timestamp"),
        (b"a: 1\nb: !!int ''\n", "f.yaml:2: '' cannot be read as !!int"),
        (b"a: 1\n!!bool abc: 1\n", "f.yaml:2: 'abc' cannot be read as !!bool"),
        (b"a: 1\n!!seq b: 1\n", "f.yaml:2: 'b' cannot be read as !!seq"),
        (b"a: 1\nb: " + b"1:" * 400 + b"1.5\n", "f.yaml:2: '1:1:"),
        (b"a: 1\nb: " + b"1:" * 2**20 + b"1\n", "f.yaml:2: a number of 2097153 characters"),
        (b"a: 1\n<<: 3\n", "f.yaml:2: only mappings can be merged with <<"),
        (b"", "f.yaml:1: the file is empty"),
        (b"# only this\n", "f.yaml:1: the file is empty"),
    ],
)
def test_what_is_no_yaml_is_one_fault_with_its_line(text, expected):
    assert len(faults(text)) == 1
    assert faults(text)[0].startswith(expected)


def test_deep_nesting_is_refused_before_it_is_composed():
    assert faults(b"a:\n  " + b"[" * 200_000) == ["f.yaml:2: nested deeper than 64 levels"]


def test_an_alias_inside_its_own_anchor_is_refused():
    assert faults(b"a: &a [*a]\n") == ["f.yaml:1: nested deeper than 64 levels"]
    assert faults(b"a: &a {<<: *a}\n") == ["f.yaml:1: nested deeper than 64 levels"]


def test_an_alias_bomb_is_refused():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    (fault,) = faults("\n".join(lines).encode())
    assert fault.endswith(f"more than {MAX_VALUES} values, counting each alias in full")


@pytest.mark.parametrize("first", ["{}", "{k: 1}", "{k: 1, k: 2, <<: []}"])
def test_a_bomb_of_merges_is_refused(first):
    lines = [f"a0: &a0 {first}"]
    lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 20)}], k{n}: 1}}" for n in range(1, 12)]
    (fault,) = faults("\n".join(lines).encode())
    assert fault.endswith(f"more than {MAX_VALUES} values, counting each alias in full")


def test_equal_keys_of_two_kinds_are_one_key_given_twice():
    (fault,) = parse_document(b"{1.0: a,\n1: b}\n", "f.yaml").faults
    assert str(fault) == "f.yaml:2: 1: key 1 is given twice, first on line 1"


def test_a_long_file_is_refused_unread(tmp_path):
    file = tmp_path / "long.yaml"
    file.write_bytes(b"#" * (MAX_BYTES + 1))
    (fault,) = read_document(file).faults
    assert fault.message == f"the file has {MAX_BYTES + 1} bytes, the limit is {MAX_BYTES}"


def test_a_missing_file_is_a_fault(tmp_path):
    (fault,) = read_document(tmp_path / "none.yaml").faults
    assert str(fault) == f"{tmp_path}/none.yaml:1: cannot be read: No such file or directory"


def test_a_directory_is_a_fault(tmp_path):
    (fault,) = read_document(tmp_path).faults
    assert fault.message == "cannot be read: Is a directory"


def test_at_finds_what_is_there_and_none_elsewhere():
    data = {"a": [{"b": 1}]}
    assert at(data, ("a", 0, "b")) == 1
    assert at(data, ("a", 1, "b")) is None
    assert at(data, ("a", "b")) is None
    assert at(data, ("a", 0, "b", "c")) is None
