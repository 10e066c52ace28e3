"""What a person sees of the stand-in's server, after runs of the unmodified SDK."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest
from finetune_sandbox.wandb_server import WandbServer
from finetune_sandbox.wandb_server.pages.charts import MOST_POINTS, marked, thinned, ticks
from finetune_sandbox.wandb_server.pages.curves import pauses
from finetune_sandbox.wandb_server.runs import Runs
from finetune_sandbox.wandb_server.store import Store

from tests.sandbox.browsing import Element, page, site, status
from tests.sandbox.wandb_sdk import Sdk

TWO_RUNS_OF_A_GROUP = """
def trained(name, rate):
    run = wandb.init(id=name, name=name, group="sweep", job_type="train", config={"lr": rate, "task": "reviews"})
    for step in range(1, 5):
        run.log({"train/loss": 1 / step - rate, "train/global_step": step, "train/learning_rate": rate})
    run.log({"eval/loss": 0.5, "train/global_step": 2})
    run.log({"eval/loss": 0.25, "train/global_step": 4})
    return run

run = trained("first", 0.125)
rows = [["good & <b>bold</b>", "yes", 0.75], ["bad", "no", 0.5]]
run.log({"predictions": wandb.Table(columns=["text", "said", "score"], data=rows), "train/global_step": 4})
matrix = wandb.plot.confusion_matrix(y_true=[0, 1, 1], preds=[0, 1, 0], class_names=["no", "yes"])
run.log({"confusion": matrix, "train/global_step": 4})
run.log({"gradients/layer": wandb.Histogram([1, 2, 2, 3]), "train/global_step": 4})
logged(run, "model-first", ["best"], **{"model.safetensors": "weights"})
run.finish()
run = trained("second", 0.25)
run.use_artifact("model-first:best")
print(run.url)
run.finish()
"""


@dataclass(frozen=True, slots=True)
class Visited:
    """A server that two runs have spoken to."""

    url: str
    printed: str

    def page(self, address: str) -> Element:
        """A page of it."""
        return page(self.url + address)


@pytest.fixture(scope="module")
def visited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visited]:
    folder = tmp_path_factory.mktemp("visited")
    with WandbServer(folder / "state") as server:
        printed = Sdk(server.environment(), folder / "client").run(TWO_RUNS_OF_A_GROUP)
        yield Visited(server.url, printed)


class Kept:
    """A state folder that runs are written into as the server's API does."""

    def __init__(self, folder: Path) -> None:
        self._store = Store(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._store.close()

    def run(self, entity: str, name: str, *, summary: dict[str, object]) -> None:
        """A run of the project `tests`."""
        Runs(self._store, base="", now=time.time(), heartbeat_timeout=300.0).upsert(
            {"entityName": entity, "modelName": "tests", "name": name, "summaryMetrics": json.dumps(summary)}
        )


def lines(shown: Element, title: str) -> list[list[object]]:
    """What a chart draws: name, color and points of each line."""
    (figure,) = shown.all("figure", id=f"chart-{title}")
    found: list[list[object]] = json.loads(figure.all("svg")[0].attributes["data-lines"])
    return found


def test_the_first_page_lists_every_run_newest_first(visited: Visited) -> None:
    rows = visited.page("/").rows("Every run that this server knows")

    assert [row[:3] + row[4:7] for row in rows] == [
        ["name", "state", "project", "group", "steps", "last loss"],
        ["second", "finished", "tests", "sweep", "4", "0"],
        ["first", "finished", "tests", "sweep", "4", "0.125"],
    ]


def test_the_address_that_the_sdk_prints_shows_the_run(visited: Visited) -> None:
    assert page(visited.printed).all("h1")[0].text == "second finished"


def test_a_curve_goes_over_the_training_steps(visited: Visited) -> None:
    drawn = lines(visited.page("/sandbox/tests/runs/first"), "eval/loss")

    assert drawn[0] == ["first", 0, [[2, 0.5], [4, 0.25]]]


def test_the_runs_of_a_group_lie_over_each_other(visited: Visited) -> None:
    drawn = lines(visited.page("/sandbox/tests/runs/second"), "train/loss")

    assert [each[:2] for each in drawn] == [["second", 0], ["first", 1]]


def test_a_curve_is_told_in_words(visited: Visited) -> None:
    (figure,) = visited.page("/sandbox/tests/runs/first").all("figure", id="chart-eval/loss")

    told = "eval/loss over step. first: from 0.5 at 2 to 0.25 at 4; second: from 0.5 at 2 to 0.25 at 4."
    assert figure.all("svg")[0].attributes["aria-label"] == told


def test_a_table_shows_its_rows_and_no_markup_of_theirs(visited: Visited) -> None:
    rows = visited.page("/sandbox/tests/runs/first").rows("predictions, at step 4")

    assert rows == [["text", "said", "score"], ["good & <b>bold</b>", "yes", "0.75"], ["bad", "no", "0.5"]]


def test_a_confusion_matrix_is_a_matrix(visited: Visited) -> None:
    shown = visited.page("/sandbox/tests/runs/first")
    caption = "confusion_table, at step 4: actual below, predicted across"

    assert shown.rows(caption)[1:] == [["no", "1", "0"], ["yes", "1", "1"]]


def test_a_histogram_is_drawn(visited: Visited) -> None:
    pictures = visited.page("/sandbox/tests/runs/first").all("svg")

    assert [each.attributes["aria-label"] for each in pictures if "gradients" in each.attributes.get("aria-label", "")]


def test_a_run_shows_the_versions_that_it_made_and_used(visited: Visited) -> None:
    shown = [visited.page(f"/sandbox/tests/runs/{run}") for run in ("first", "second")]
    rows = [each for page in shown for each in page.rows("What the run has made and used")[1:]]

    assert [[row[0], row[2], row[-1]] for row in rows if "model" in row[0]] == [
        ["model-first:v0", "best latest", "made"],
        ["model-first:v0", "best latest", "used"],
    ]


def test_a_version_shows_its_files_and_where_it_comes_from(visited: Visited) -> None:
    shown = visited.page("/sandbox/tests/artifacts/checkpoint/model-first/best")
    told = shown.values()

    assert (told["Made by"], told["Used by"], shown.rows("Files")[1][0]) == ("first", "second", "model.safetensors")


def test_a_comparison_shows_where_the_configurations_differ(visited: Visited) -> None:
    shown = visited.page("/compare?run=sandbox/tests/first&run=sandbox/tests/second")

    assert shown.rows("Where the configurations differ") == [["name", "first", "second"], ["lr", "0.125", "0.25"]]


def test_every_link_leads_somewhere_and_nothing_comes_from_elsewhere(visited: Visited) -> None:
    pages = site(visited.url + "/")
    downloads = {a.attributes["href"] for each in pages.values() for a in each.all("a") if "download" in a.attributes}
    outside = [url for url in pages if not url.startswith(visited.url)]
    fetched = [
        each.attributes.get("src", each.attributes.get("href"))
        for shown in pages.values()
        for each in shown.below()
        if each.tag in {"img", "script", "link", "iframe"} and {"src", "href"} & each.attributes.keys()
    ]

    assert {status(visited.url + each) for each in downloads} == {200}
    assert (outside, set(fetched), len(pages) > 5) == ([], {"data:,"}, True)


def test_every_page_has_names_for_those_who_do_not_see_it(visited: Visited) -> None:
    for address, shown in site(visited.url + "/").items():
        nameless = [
            each
            for each in (*shown.all("svg", role="img"), *shown.all("input"), *shown.all("div", role="region"))
            if not each.attributes.get("aria-label")
        ]
        ids = [each.attributes["id"] for each in shown.below() if "id" in each.attributes]
        assert (nameless, len(shown.all("h1")), shown.all("html")[0].attributes["lang"]) == ([], 1, "en"), address
        assert len(ids) == len(set(ids)), address


def test_what_is_not_there_is_said_to_be_missing(visited: Visited) -> None:
    addresses = ("/sandbox/tests/runs/absent", "/sandbox/tests/artifacts/model/absent/v0", "/compare?run=x")

    assert [status(visited.url + each) for each in addresses] == [404, 404, 404]


def test_a_server_without_runs_says_how_to_reach_it(tmp_path: Path) -> None:
    with WandbServer(tmp_path) as server:
        assert "WANDB_BASE_URL" in page(server.url).text


def test_a_name_is_never_markup(tmp_path: Path) -> None:
    with WandbServer(tmp_path / "state") as server:
        Sdk(server.environment(), tmp_path / "client").run(
            "wandb.init(id='r', name='<script>alert(1)</script>', notes='\"><i>').finish()"
        )
        shown = page(f"{server.url}/sandbox/tests/runs/r")

    assert shown.all("h1")[0].text == "<script>alert(1)</script> finished"
    assert (shown.values()["Notes"], shown.all("i")) == ('"><i>', [])


def test_a_summary_of_several_values_is_shown(tmp_path: Path) -> None:
    with Kept(tmp_path) as store:
        store.run("sandbox", "r", summary={"train/loss": {"min": 0.5}})
    with WandbServer(tmp_path) as server:
        shown = page(f"{server.url}/sandbox/tests/runs/r")

    assert shown.values()["Last loss"] == '{"min": 0.5}'


def test_runs_of_one_id_are_told_apart_by_their_entities(tmp_path: Path) -> None:
    with Kept(tmp_path) as store:
        store.run("us", "r", summary={"train/loss": 0.5})
        store.run("them", "r", summary={"train/loss": 0.25})
    with WandbServer(tmp_path) as server:
        losses = [page(f"{server.url}/{entity}/tests/runs/r").values()["Last loss"] for entity in ("us", "them")]
        listed = page(f"{server.url}/us/tests").rows("Every run that this server knows")
        verdict = page(f"{server.url}/compare?run=us/tests/r&run=them/tests/r").all("p")[0].text

    assert (losses, len(listed), verdict) == (["0.5", "0.25"], 2, "Neither run has a row.")


def test_marks_on_an_axis_are_round_and_few() -> None:
    assert [ticks(0, 96), ticks(0.688, 0.697), ticks(5, 5.0001)] == [
        (0, 20, 40, 60, 80),
        (0.688, 0.69, 0.692, 0.694, 0.696),
        (5, 5.00002, 5.00004, 5.00006, 5.00008, 5.0001),
    ]


def test_marks_are_told_from_their_neighbors() -> None:
    shown = [marked(1.61065, 0.00005), marked(0.1, 0.05), marked(2e-5, 1e-5), marked(0, 1e-5), marked(40, 20)]

    assert shown == ["1.61065", "0.10", "2e-05", "0", "40"]


def test_a_long_history_keeps_its_ends() -> None:
    points = tuple((float(step), 0.0) for step in range(100_000))

    assert (thinned(points)[0], thinned(points)[-1], len(thinned(points))) == (points[0], points[-1], MOST_POINTS)


def test_a_restart_shows_as_a_pause() -> None:
    moments = [0.0, 0.1, 0.2, 0.3, 9.3, 9.4, 9.5]
    rows = [{"train/global_step": step, "_timestamp": moment} for step, moment in enumerate(moments)]

    assert [(step, round(seconds)) for step, seconds in pauses(rows)] == [(4, 9)]
