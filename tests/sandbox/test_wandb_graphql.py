import pytest
from finetune_sandbox.wandb_server.graphql import Json, Refused, answer, operation, page

CAT: Json = {"__typename": "Cat", "name": "Tom", "lives": 9, "kittens": lambda asked: [CAT] * asked["count"]}


def asked(query: str, variables: Json | None = None) -> Json:
    return answer(operation(query, "", variables), {"cat": lambda arguments: CAT | arguments})


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param("{cat {name}}", {"cat": {"name": "Tom"}}, id="only what is asked for"),
        pytest.param("{pet: cat {title: name}}", {"pet": {"title": "Tom"}}, id="aliases"),
        pytest.param("{cat {kittens(count: 2) {lives}}}", {"cat": {"kittens": [{"lives": 9}] * 2}}, id="lists"),
        pytest.param("{cat {...F}} fragment F on Cat {lives}", {"cat": {"lives": 9}}, id="named fragments"),
        pytest.param("{cat {... on Dog {bone} ... on Cat {name}}}", {"cat": {"name": "Tom"}}, id="inline fragments"),
        pytest.param('{cat(name: "Kit") {name}}', {"cat": {"name": "Kit"}}, id="arguments"),
        pytest.param(
            "query Q($is: Boolean = false) {cat {name lives @include(if: $is)}}",
            {"cat": {"name": "Tom"}},
            id="defaults",
        ),
        pytest.param(
            "{cat {kittens(count: 1) {name} kittens(count: 1) {lives}}}",
            {"cat": {"kittens": [{"name": "Tom", "lives": 9}]}},
            id="a field selected twice is merged",
        ),
    ],
)
def test_an_answer_has_the_shape_of_the_question(query: str, expected: Json) -> None:
    assert asked(query) == expected


@pytest.mark.parametrize(
    ("query", "message"),
    [
        pytest.param("{cat {wings}}", "Cannot query field 'wings' on 'cat'", id="an unknown field"),
        pytest.param("{dog {name}}", "does not know the query 'dog'", id="an unknown root"),
        pytest.param("{cat {name", "Syntax Error", id="a syntax error"),
    ],
)
def test_what_the_server_does_not_know_is_refused(query: str, message: str) -> None:
    with pytest.raises(Refused, match=message):
        asked(query)


def test_an_absent_variable_is_an_absent_argument() -> None:
    assert asked("query Q($n: String) {cat(name: $n) {name}}", {}) == {"cat": {"name": "Tom"}}


def test_pages_follow_each_other_without_gap_or_overlap() -> None:
    nodes = [{"number": number} for number in range(5)]

    first = page(nodes, {"first": 3})
    second = page(nodes, {"first": 3, "after": first["pageInfo"]["endCursor"]})

    assert [each["node"] for each in first["edges"] + second["edges"]] == nodes
    assert (first["pageInfo"]["hasNextPage"], second["pageInfo"]["hasNextPage"]) == (True, False)
