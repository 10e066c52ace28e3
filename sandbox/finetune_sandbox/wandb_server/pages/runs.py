"""The list of runs, the page of one, and several side by side."""

from collections.abc import Mapping, Sequence
from typing import Any

from finetune_sandbox.comparison import Comparison, left_by
from finetune_sandbox.wandb_server.pages import addresses, curves, media
from finetune_sandbox.wandb_server.pages.artifacts import versions
from finetune_sandbox.wandb_server.pages.curves import STEP
from finetune_sandbox.wandb_server.pages.frame import (
    document,
    facts,
    figure,
    moment,
    section,
    shown,
    size,
    state,
    table,
)
from finetune_sandbox.wandb_server.pages.markup import Markup, element
from finetune_sandbox.wandb_server.records import Records, RunHead, RunRecord

UNDER_WAY = {"running", "preempting"}
MOST_PEERS = 8
CONSOLE_LINES = 60
COLUMNS = ("name", "state", "project", "job", "group", "steps", "last loss", "created (UTC)", "compare")
Json = Mapping[str, Any]


def listed(records: Records, project: str | None = None, entity: str | None = None) -> str:
    """All runs, newest first; those that are ticked can be laid over each other."""
    runs = records.heads(project, entity)[::-1]
    crumbs = (("Runs", "/" if project else None), *(((project, None),) if project else ()))
    title = element("h1", f"Runs of {project}" if project else "Runs")
    is_live = any(each.state in UNDER_WAY for each in runs)
    if not runs:
        hint = element("p", "No run yet. Point a client here with ", element("code", "WANDB_BASE_URL"), ".")
        return document("Runs", crumbs, title, hint, is_live=True)
    found = table("Every run that this server knows", COLUMNS, (_row(each) for each in runs))
    button = element("button", "Compare the ticked runs", type="submit") if len(runs) > 1 else None
    return document("Runs", crumbs, title, element("form", found, button, action="/compare"), is_live=is_live)


def _row(run: RunHead) -> tuple[object, ...]:
    box = element(
        "input",
        type="checkbox",
        name="run",
        value=addresses.reference(run),
        aria_label=f"Compare {run.display_name}",
        id=run.id,
    )
    return (
        element("a", run.display_name, href=addresses.run(run)),
        state(run.state),
        element("a", run.project, href=addresses.project(run.entity, run.project)),
        _job(run),
        _group(run),
        run.summary.get(STEP, run.summary.get("_step")),
        run.summary.get("train/loss", run.summary.get("loss")),
        moment(run.created),
        box,
    )


def _job(run: RunHead) -> str | None:
    job = run.config.get("job")
    return f"{job['namespace']}/{job['name']}" if isinstance(job, dict) and {"name", "namespace"} <= set(job) else None


def _group(run: RunHead) -> Markup | None:
    return element("a", run.group, href=addresses.group(run.group)) if run.group else None


def page(records: Records, run: RunRecord) -> str:
    """Everything about one run, its curves over those of its group."""
    crumbs = (("Runs", "/"), (run.project, addresses.project(run.entity, run.project)), (run.display_name, None))
    return document(
        run.display_name,
        crumbs,
        element("h1", run.display_name, " ", state(run.state)),
        _facts(run),
        section("Curves", curves.charts([run, *_peers(records, run)]), anchor="curves"),
        section("Tables", media.tables(run), anchor="tables"),
        section("Images", media.images(run), anchor="images"),
        section("Histograms", media.histograms(run), anchor="histograms"),
        section("Artifacts", versions(records, run), anchor="artifacts"),
        section("Summary", _values("Summary", run.summary), anchor="summary"),
        section("Config", _values("Config", run.config), anchor="config"),
        section("Files", _files(run), anchor="files"),
        section("Log", _console(run.console), anchor="log"),
        is_live=run.state in UNDER_WAY,
    )


def _facts(run: RunRecord) -> Markup:
    return facts(
        (
            ("Job", _job(run)),
            ("Group", _group(run)),
            ("Job type", run.job_type),
            ("Steps", run.summary.get(STEP)),
            ("Last loss", run.summary.get("train/loss")),
            ("Created (UTC)", moment(run.created)),
            ("Last heard of (UTC)", moment(run.heartbeat)),
            ("Id", run.id),
            ("Exit code", run.exit_code or None),
            ("Tags", ", ".join(run.tags)),
            ("Notes", run.notes),
            ("Alerts", ", ".join(run.alerts)),
        )
    )


def _peers(records: Records, run: RunRecord) -> list[RunRecord]:
    if run.group is None:
        return []
    same = [each for each in records.runs(run.project, run.entity) if each.group == run.group]
    return [each for each in same if each.id != run.id][-MOST_PEERS + 1 :]


def _values(title: str, values: Json) -> Markup | None:
    rows = [(name, shown(value)) for name, value in sorted(values.items()) if not name.startswith("_")]
    if not rows:
        return None
    found = table(title, ("name", "value"), rows, is_wide=False)
    return element("details", element("summary", f"{figure(len(rows))} values"), found, id=f"all-{title}")


def _files(run: RunRecord) -> Markup | None:
    rows = [
        (element("a", name, href=f"/storage/{path.name}", download=name), size(path.stat().st_size))
        for name, path in sorted(run.files.items())
    ]
    if not rows:
        return None
    found = table("Files", ("file", "size"), rows, is_wide=False)
    return element("details", element("summary", f"{figure(len(rows))} files"), found, id="all-files")


def _console(lines: Sequence[str]) -> Markup | None:
    if not lines:
        return None
    last = "\n".join(lines[-CONSOLE_LINES:])
    fold = element("summary", f"the last {min(CONSOLE_LINES, len(lines))} of {figure(len(lines))} lines")
    return element("details", fold, element("pre", last, tabindex="0"), id="all-log")


def side_by_side(records: Records, runs: Sequence[RunRecord]) -> str:
    """Several runs: curves over each other, where their configurations differ, how they ended, whether they are one."""
    title = element("h1", f"{len(runs)} runs side by side")
    return document(
        "Comparison",
        (("Runs", "/"), ("Comparison", None)),
        title,
        _verdict(records, runs),
        section("Curves", curves.charts(runs), anchor="curves"),
        section("Config", _differences("Where the configurations differ", runs, "config"), anchor="config"),
        section("Summary", _differences("Where the ends differ", runs, "summary"), anchor="summary"),
        is_live=any(each.state in UNDER_WAY for each in runs),
    )


def _verdict(records: Records, runs: Sequence[RunRecord]) -> Markup | None:
    if len(runs) != 2 or addresses.reference(runs[0]) == addresses.reference(runs[1]):
        return None
    found = Comparison(left=left_by(records, runs[0]), right=left_by(records, runs[1]))
    if found.is_identical:
        rows = len(found.left.rows)
        return element("p", f"Both are identical, bit for bit: final weights, and {rows} rows of history.")
    return element("p", found.first_difference)


def _differences(caption: str, runs: Sequence[RunRecord], part: str) -> Markup | None:
    values: list[Json] = [getattr(each, part) for each in runs]
    names = sorted({name for each in values for name in each if not name.startswith("_")})
    told = ((name, [shown(each.get(name)) for each in values]) for name in names)
    rows = [(name, *each) for name, each in told if any(one != each[0] for one in each)]
    heads = ("name", *(each.display_name for each in runs))
    return table(caption, heads, rows, is_wide=False) if rows else None
