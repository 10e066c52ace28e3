"""Artifacts: what a run made and used, and the page of one version."""

from collections.abc import Iterable

from finetune_sandbox.wandb_server.pages import addresses
from finetune_sandbox.wandb_server.pages.frame import document, facts, moment, section, shown, size, table
from finetune_sandbox.wandb_server.pages.markup import Markup, element
from finetune_sandbox.wandb_server.records import ArtifactRecord, Records, RunHead, RunRecord


def versions(records: Records, run: RunRecord) -> Markup | None:
    """The versions that the run has made, newest first, and those that it used."""
    found = [each for name in records.collections() for each in records.artifacts(name)]
    place = (run.entity, run.project, run.id)
    made = [each for each in found if (each.entity, each.project, each.run) == place and each.version is not None]
    used = [each for each in found if f"{each.collection}:v{each.version}" in run.inputs]
    rows = [*(_row("made", each) for each in made[::-1]), *(_row("used", each) for each in used)]
    columns = ("version", "type", "aliases", "size", "files", "created (UTC)", "by this run")
    return table("What the run has made and used", columns, rows) if rows else None


def _row(how: str, found: ArtifactRecord) -> tuple[object, ...]:
    return (
        element("a", name(found), href=addresses.version(found)),
        found.type,
        _aliases(found.aliases),
        size(_bytes(found)),
        len(found.files),
        moment(found.created),
        how,
    )


def name(found: ArtifactRecord) -> str:
    """What names a version within its project."""
    return f"{found.collection}:v{found.version}"


def page(records: Records, found: ArtifactRecord) -> str:
    """One version: its files, what is said of it, where it comes from."""
    maker = next((each for each in records.heads(found.project, found.entity) if each.id == found.run), None)
    users = [each for each in records.runs(found.project, found.entity) if name(found) in each.inputs]
    made_by = [_run(maker)] if maker else []
    return document(
        name(found),
        (("Runs", "/"), (found.project, addresses.project(found.entity, found.project)), (name(found), None)),
        element("h1", name(found)),
        facts(
            (
                ("Type", found.type),
                ("Aliases", _aliases(found.aliases) or None),
                ("State", found.state.lower()),
                ("Size", size(_bytes(found))),
                ("Created (UTC)", moment(found.created)),
                ("Made by", made_by[0] if made_by else None),
                ("Used by", element("span", (_run(each) for each in users)) if users else None),
                ("Digest", found.digest),
                ("Lives for", f"{found.ttl} s" if found.ttl and found.ttl > 0 else None),
            )
        ),
        section("Files", _files(found), anchor="files"),
        section("Metadata", _metadata(found), anchor="metadata"),
    )


def _run(run: RunHead) -> Markup:
    return element("a", run.display_name, href=addresses.run(run))


def _aliases(found: Iterable[str]) -> Markup:
    return element("span", (element("span", each, class_="alias") for each in found))


def _bytes(found: ArtifactRecord) -> int:
    return sum(path.stat().st_size for path in found.files.values())


def _files(found: ArtifactRecord) -> Markup:
    rows = (
        (element("a", path, href=f"/storage/{blob.name}", download=path.rpartition("/")[2]), size(blob.stat().st_size))
        for path, blob in sorted(found.files.items())
    )
    return table("Files", ("file", "size"), rows, is_wide=False)


def _metadata(found: ArtifactRecord) -> Markup | None:
    rows = [(key, shown(value)) for key, value in sorted(found.metadata.items())]
    return table("Metadata", ("name", "value"), rows, is_wide=False) if rows else None
