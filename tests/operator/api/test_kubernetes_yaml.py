import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from finetune_operator.api.kubernetes_yaml import Plain, documents
from finetune_sandbox.binaries import BinaryUnavailable, binary
from hypothesis import given, settings
from hypothesis import strategies as st

STRINGS = "oN tRUE nULL = < _1 ._5 12:30 1:20:30.5 2024-01-01 2024-01-01T10:00:00Z 0x 1e400 1.5.2 64Gi"
OTHERS = (
    "y=true N=false Yes=true off=false TRUE=true ~=null Null=null 0o17=15 017=15 08=8 0x1F=31 -0b11=-3 1_000=1000"
    " +12=12 1e3=1000 500.0=500 0.0=0 1.=1 1_0.5=10.5 2e-5=2e-05 .5=0.5 .5_0=0.5 +.5=0.5"
)
WORDS: dict[str, Any] = {word: word for word in STRINGS.split()}
WORDS |= {word: json.loads(meaning) for word, _, meaning in (pair.rpartition("=") for pair in OTHERS.split())}
MERGES = """
below: {<<: &defaults {a: 1, b: 2}, b: 3}
above: {b: 3, <<: [*defaults, {a: 5}]}
y: {true: 1.5, 1.5: 2, 010: 3}
"""
MERGED = {"below": {"a": 1, "b": 3}, "above": {"b": 2, "a": 1}, "true": {"true": 1.5, "1.5": 2, "8": 3}}
ODD = st.text("yYnNoOfFsSeExXbB0179+-_.:~=<# \n") | st.text(st.characters(exclude_categories=["Cs"]), max_size=3)
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | NUMBERS | ODD,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ODD, inner, max_size=4),
    max_leaves=8,
)


def exactly(value: object) -> str:
    """The value as JSON, which tells 1 from true and from 1.0."""
    return json.dumps(value)


def test_a_word_without_quotes_is_what_kubectl_takes_it_for() -> None:
    (read,) = documents("\n".join(f"- {word}" for word in WORDS))
    assert exactly(dict(zip(WORDS, read, strict=True))) == exactly(WORDS)


def test_keys_are_strings_and_merged_in_their_order() -> None:
    assert exactly([*documents(MERGES)]) == exactly([MERGED])


@pytest.mark.control_plane
def test_kubectl_itself_reads_the_same(tmp_path: Path) -> None:
    try:
        kubectl = binary("kubectl")
    except BinaryUnavailable as missing:
        pytest.skip(str(missing))
    file = tmp_path / "odd.yaml"
    words = "\n".join(f"- {word}" for word in WORDS)
    file.write_text(f"kind: Odd\napiVersion: v1\nmetadata: {{name: odd}}\n{MERGES}\nwords:\n{words}\n")
    command = (kubectl, "annotate", "--local", "-f", file, "a=b", "-o", "json")
    read = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert read["words"] == [*WORDS.values()]
    assert {name: read[name] for name in MERGED} == MERGED


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: .inf", r"\.inf is no number that JSON has"),
        ("{y: 1, true: 2}", "true stands there twice"),
        ("~: 1", "a key is neither a word nor a number"),
        ("<<: 3", "only a mapping can be merged"),
    ],
)
def test_what_no_json_can_say_is_refused_with_its_place(text: str, problem: str) -> None:
    with pytest.raises(yaml.YAMLError, match=rf"(?s){problem}.*line 1"):
        list(documents(text))


@settings(max_examples=150, deadline=None)
@given(value=JSON)
def test_what_is_written_is_read_again(value: Any) -> None:
    assert [*documents(yaml.dump(value, Dumper=Plain, sort_keys=False))] == [value]


@pytest.mark.parametrize("word", ["1e-5", "y", "12:30", "0o7", ".5", "1_000", "2024-01-01", "<<"])
def test_a_string_that_some_reader_takes_for_something_else_is_quoted(word: str) -> None:
    assert yaml.dump([word], Dumper=Plain) == f"- '{word}'\n"
