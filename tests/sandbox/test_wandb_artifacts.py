from pathlib import Path

from finetune_sandbox.wandb_server import ArtifactRecord, Effect, Fault, Settings, WandbServer

from tests.sandbox.test_wandb_runs import Clock
from tests.sandbox.wandb_sdk import Sdk, eventually


def contents(artifact: ArtifactRecord) -> dict[str, str]:
    return {name: path.read_text() for name, path in artifact.files.items()}


def story(server: WandbServer, collection: str) -> list[tuple[int | None, str, tuple[str, ...]]]:
    return [(each.version, each.state, each.aliases) for each in server.artifacts(collection)]


TWO = """
run = wandb.init(id="r")
logged(run, "ckpt", ["step-1"], a="one", b="same")
logged(run, "ckpt", ["step-2"], a="two", b="same")
run.finish()
"""


def test_versions_are_numbered_and_latest_moves(server: WandbServer, sdk: Sdk) -> None:
    sdk.run(TWO)

    first, second = server.artifacts("ckpt")

    assert (first.aliases, second.aliases) == (("step-1",), ("latest", "step-2"))
    assert (contents(first), contents(second)) == ({"a": "one", "b": "same"}, {"a": "two", "b": "same"})
    assert (second.metadata, second.run, second.type) == ({"files": 2}, "r", "checkpoint")


def test_equal_bytes_are_sent_once(server: WandbServer, sdk: Sdk) -> None:
    sdk.run(TWO)

    assert [each for each in server.requests if each == "put b"] == ["put b"]


def test_a_version_is_downloaded_as_it_was_and_noted_as_used(server: WandbServer, sdk: Sdk) -> None:
    sdk.run(TWO)

    told = sdk.run("""
        run = wandb.init(id="other")
        path = Path(run.use_artifact("ckpt:step-1").download())
        print({each.name: each.read_text() for each in sorted(path.iterdir())})
        run.finish()
        print([each.name for each in wandb.Api().run("tests/other").used_artifacts()])
    """)

    assert told.splitlines() == ["{'a': 'one', 'b': 'same'}", "['ckpt:v0']"]
    assert server.run("other").inputs == ("ckpt:v0",)


def test_the_same_content_again_makes_no_new_version(server: WandbServer, sdk: Sdk) -> None:
    sdk.run("""
        run = wandb.init(id="r")
        logged(run, "ckpt", ["one"], a="x")
        logged(run, "ckpt", ["two"], a="x")
        run.finish()
    """)

    assert story(server, "ckpt") == [(0, "COMMITTED", ("latest", "one", "two"))]


def test_an_upload_that_dies_with_its_client_stays_pending_and_latest_does_not_move(
    server: WandbServer, sdk: Sdk
) -> None:
    sdk.run("run = wandb.init(id='r')\nlogged(run, 'ckpt', a='whole')\nrun.finish()")
    server.fail(Fault(effect=Effect.HOLD, match="^put a"))
    client = sdk.start("run = wandb.init(id='r', resume='must')\nlogged(run, 'ckpt', a='half')")
    eventually(lambda: server.requests.count("put a") == 2)
    client.kill()
    client.communicate()
    server.heal()

    told = sdk.run("""
        artifact = wandb.Api().artifact("tests/ckpt:latest")
        print(artifact.version, len(wandb.Api().artifact_collection("checkpoint", "tests/ckpt").artifacts()))
    """)

    assert story(server, "ckpt") == [(0, "COMMITTED", ("latest",)), (None, "PENDING", ())]
    assert told == "v0 1"


def test_an_upload_cut_in_the_middle_is_sent_again(server: WandbServer, sdk: Sdk) -> None:
    server.fail(Fault(effect=Effect.TRUNCATE, match="^put a", after_bytes=1, times=1))

    sdk.run("run = wandb.init(id='r')\nlogged(run, 'ckpt', a='x' * 200_000)\nrun.finish()")

    assert server.requests.count("put a") == 2
    assert contents(server.artifacts("ckpt")[0]) == {"a": "x" * 200_000}


def test_a_slow_upload_does_not_hold_up_the_history(server: WandbServer, sdk: Sdk) -> None:
    server.fail(Fault(effect=Effect.HOLD, match="^put a"))
    client = sdk.start("""
        run = wandb.init(id="r")
        logged(run, "ckpt", wait=False, a="x")
        for number in range(5):
            run.log({"loss": number})
        run.finish()
    """)
    eventually(lambda: bool(server.runs()) and len(server.run("r").history) == 5)
    before = story(server, "ckpt")
    server.heal()
    client.communicate(timeout=60)

    assert (before, story(server, "ckpt")) == ([(None, "PENDING", ())], [(0, "COMMITTED", ("latest",))])


def test_a_deleted_version_is_gone_with_the_bytes_that_only_it_had(server: WandbServer, sdk: Sdk) -> None:
    sdk.run(TWO)
    only, shared = (server.artifacts("ckpt")[0].files[name] for name in ("a", "b"))

    sdk.run("""
        versions = list(wandb.Api().artifact_collection("checkpoint", "tests/ckpt").artifacts())
        versions[-1].delete(delete_aliases=True)
    """)

    assert story(server, "ckpt") == [(1, "COMMITTED", ("latest", "step-2"))]
    assert (only.exists(), shared.exists()) == (False, True)


def test_a_number_is_never_given_twice(server: WandbServer, sdk: Sdk) -> None:
    sdk.run("""
        run = wandb.init(id="r")
        logged(run, "ckpt", a="1")
        wandb.Api().artifact("tests/ckpt:latest").delete(delete_aliases=True)
        logged(run, "ckpt", a="2")
        run.finish()
    """)

    assert story(server, "ckpt") == [(1, "COMMITTED", ("latest",))]


def test_a_version_with_aliases_is_not_deleted_by_accident(server: WandbServer, sdk: Sdk) -> None:
    sdk.run(TWO)

    assert "aliases" in sdk.fails("wandb.Api().artifact('tests/ckpt:latest').delete()")
    assert len(server.artifacts("ckpt")) == 2


def test_aliases_and_metadata_are_changed_afterwards(server: WandbServer, sdk: Sdk) -> None:
    sdk.run(TWO)

    sdk.run("""
        artifact = wandb.Api().artifact("tests/ckpt:step-1")
        artifact.aliases.append("best")
        artifact.aliases.remove("step-1")
        artifact.metadata["score"] = 3
        artifact.save()
    """)

    first = server.artifacts("ckpt")[0]
    assert (first.aliases, first.metadata) == (("best",), {"files": 2, "score": 3})


def test_a_linked_version_is_the_latest_of_its_registry(server: WandbServer, sdk: Sdk) -> None:
    told = sdk.run("""
        run = wandb.init(id="r")
        artifact = logged(run, "ckpt", a="x")
        run.link_artifact(artifact, "wandb-registry-model/best", aliases=["prod"])
        run.finish()
        print(wandb.Api().artifact("wandb-registry-model/best:prod").source_name)
    """)

    assert (story(server, "best"), told) == ([(0, "COMMITTED", ("latest", "prod"))], "ckpt:v0")


def test_a_version_lives_as_long_as_it_was_given_unless_it_is_linked(tmp_path: Path) -> None:
    clock = Clock()
    with WandbServer(tmp_path / "state", settings=Settings(clock=clock)) as server:
        sdk = Sdk(server.environment(), tmp_path / "client")
        sdk.run("""
            run = wandb.init(id="r")
            logged(run, "ckpt", ttl=timedelta(hours=1), a="short")
            kept = logged(run, "ckpt", ttl=timedelta(hours=1), a="linked")
            run.link_artifact(kept, "wandb-registry-model/best")
            logged(run, "ckpt", a="long")
            run.finish()
        """)
        clock.ahead = 7200
        told = sdk.run(
            "print([v.version for v in wandb.Api().artifact_collection('checkpoint','tests/ckpt').artifacts()])"
        )

    assert told == "['v2', 'v1']"


def test_a_server_away_in_the_middle_of_an_upload_gets_it_when_it_is_back(server: WandbServer, sdk: Sdk) -> None:
    server.fail(Fault(effect=Effect.HOLD, match="^put a", times=1))
    client = sdk.start("run = wandb.init(id='r')\nlogged(run, 'ckpt', a='x')\nrun.finish()")
    eventually(lambda: "put a" in server.requests)
    server.pause()
    server.resume()
    _, err = client.communicate(timeout=120)

    assert (client.returncode, story(server, "ckpt")) == (0, [(0, "COMMITTED", ("latest",))]), err
