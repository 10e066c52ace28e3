import json
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from finetune_sandbox.wandb_server import API_KEY, Effect, Fault, Records, Settings, WandbServer

from tests.sandbox.wandb_sdk import Sdk, eventually


class Clock:
    """A clock that can be set ahead."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        import time

        return time.time() + self.ahead


def losses(server: WandbServer, run: str) -> list[object]:
    return [row["loss"] for row in server.run(run).history]


LOG_THREE = """
run = wandb.init(id="r", resume="{resume}")
for number in range({first}, {first} + 3):
    run.log({{"loss": number}})
run.finish()
"""


def test_a_run_is_recorded_as_it_was_described_and_logged(server: WandbServer, sdk: Sdk) -> None:
    sdk.run("""
        run = wandb.init(id="r", name="named", group="g", tags=["t"], notes="n", config={"lr": 0.1}, job_type="train")
        run.log({"loss": 1.0})
        run.log({"loss": 0.5})
        run.alert("careful", "text")
        run.summary["best"] = 7
        while not Path(run.dir, "wandb-metadata.json").exists():  # A run that ends at once goes without it.
            time.sleep(0.05)
        run.finish()
    """)

    run = server.run("r")

    assert (run.display_name, run.group, run.tags, run.notes, run.job_type) == ("named", "g", ("t",), "n", "train")
    assert (run.state, run.exit_code, run.config, run.alerts) == ("finished", 0, {"lr": 0.1}, ("careful",))
    assert [(row["_step"], row["loss"]) for row in run.history] == [(0, 1.0), (1, 0.5)]
    assert (run.summary["best"], run.summary["loss"]) == (7, 0.5)
    assert {"config.yaml", "wandb-metadata.json", "wandb-summary.json"} <= set(run.files)


def test_a_run_resumed_with_must_goes_on_where_it_was(server: WandbServer, sdk: Sdk) -> None:
    sdk.run(LOG_THREE.format(resume="never", first=0))
    sdk.run(LOG_THREE.format(resume="must", first=3))

    assert [row["_step"] for row in server.run("r").history] == [0, 1, 2, 3, 4, 5]
    assert losses(server, "r") == [0, 1, 2, 3, 4, 5]


def test_allow_begins_a_run_and_goes_on_with_it(server: WandbServer, sdk: Sdk) -> None:
    sdk.run(LOG_THREE.format(resume="allow", first=0))
    sdk.run(LOG_THREE.format(resume="allow", first=3))

    assert losses(server, "r") == [0, 1, 2, 3, 4, 5]


def test_must_refuses_a_run_that_is_not_there(sdk: Sdk) -> None:
    assert "does not exist or has not been initialized" in sdk.fails(LOG_THREE.format(resume="must", first=0))


def test_never_refuses_a_run_that_is_there(sdk: Sdk) -> None:
    sdk.run(LOG_THREE.format(resume="never", first=0))

    assert "already exists" in sdk.fails(LOG_THREE.format(resume="never", first=0))


async def mutated(server: WandbServer, mutation: str) -> tuple[int, Any]:
    """The status of a mutation, and its data or the first complaint."""
    auth = aiohttp.BasicAuth("api", API_KEY)
    async with aiohttp.ClientSession(auth=auth) as session:
        answer = await session.post(f"{server.url}/graphql", json={"query": f"mutation {{{mutation}}}"})
        told = await answer.json()
    return answer.status, told["data"] or told["errors"][0]["message"]


def upsert(**given: str) -> str:
    wanted = ", ".join(f"{name}: {json.dumps(value)}" for name, value in given.items())
    return f"upsertBucket(input: {{{wanted}}}) {{bucket {{id}}}}"


async def test_the_id_of_a_deleted_run_is_refused_for_ever_and_its_number_not_given_again(server: WandbServer) -> None:
    _, made = await mutated(server, upsert(modelName="tests", name="r"))
    dead = made["upsertBucket"]["bucket"]["id"]
    await mutated(server, f'deleteRun(input: {{id: "{dead}"}}) {{clientMutationId}}')

    again = await mutated(server, upsert(modelName="tests", name="r"))
    _, other = await mutated(server, upsert(modelName="tests", name="other"))
    late = await mutated(server, upsert(id=dead, displayName="late"))

    assert again == (409, "run sandbox/tests/r was previously created and deleted; try a new run name")
    assert other["upsertBucket"]["bucket"]["id"] != dead
    assert late == (400, "The run does not exist.")
    assert [each.display_name for each in server.runs()] == ["other"]


def test_a_killed_client_loses_nothing_that_was_sent_and_its_run_crashes(tmp_path: Path) -> None:
    clock = Clock()
    with WandbServer(tmp_path / "state", settings=Settings(clock=clock)) as server:
        client = Sdk(server.environment(), tmp_path / "client").start("""
            run = wandb.init(id="r")
            run.log({"loss": 1})
            run.log({"loss": 2}, commit=True)
            time.sleep(600)
        """)
        eventually(lambda: bool(server.runs()) and len(server.run("r").history) == 2)
        client.kill()
        client.communicate()
        before = server.run("r").state
        clock.ahead = 301
        answer = Sdk(server.environment(), tmp_path / "reader").run("print(wandb.Api().run('tests/r').state)")

    assert (before, answer) == ("running", "crashed")


@pytest.mark.parametrize(("code", "state"), [(0, "finished"), (1, "failed")])
def test_the_exit_code_tells_the_state(server: WandbServer, sdk: Sdk, code: int, state: str) -> None:
    sdk.run(f"wandb.init(id='r').finish(exit_code={code})")

    assert server.run("r").state == state


def test_a_run_marked_preempting_that_ends_badly_was_preempted(server: WandbServer, sdk: Sdk) -> None:
    sdk.run("""
        run = wandb.init(id="r")
        run.log({"loss": 1})
        run.mark_preempting()
        run.finish(exit_code=85)
    """)

    assert (server.run("r").state, server.run("r").exit_code) == ("preempted", 85)


def test_a_preempted_run_that_is_resumed_runs_and_finishes(server: WandbServer, sdk: Sdk) -> None:
    sdk.run("run = wandb.init(id='r')\nrun.log({'loss': 0})\nrun.mark_preempting()\nrun.finish(exit_code=85)")
    state = sdk.run("run = wandb.init(id='r', resume='must')\nprint(wandb.Api().run('tests/r').state)\nrun.finish()")

    assert (state, server.run("r").state) == ("running", "finished")


def test_a_run_stopped_by_its_owner_hears_it(server: WandbServer, sdk: Sdk) -> None:
    client = sdk.start("""
        run = wandb.init(id="r")
        try:
            while True:
                run.log({"loss": 1})
                time.sleep(0.05)
        except KeyboardInterrupt:
            print("stopped", flush=True)
    """)
    eventually(lambda: bool(server.runs()) and len(server.run("r").history) > 0)
    Sdk(server.environment(), sdk.scratch.with_name("owner")).run("""
        api = wandb.Api()
        api._service_api.execute_graphql(
            "mutation StopRun($id: ID!) { stopRun(input: {id: $id}) { success } }",
            {"id": api.run("tests/r").storage_id},
        )
    """)
    word = client.stdout.readline()
    client.kill()  # Its SDK waits for wandb-core, which now and then does not end after such a stop.

    assert word == "stopped\n"


def test_an_answer_lost_on_the_way_does_not_double_rows(server: WandbServer, sdk: Sdk) -> None:
    server.fail(Fault(effect=Effect.LOSE, match="file_stream", times=2))

    sdk.run(LOG_THREE.format(resume="never", first=0))

    assert losses(server, "r") == [0, 1, 2]


def test_an_overloaded_server_loses_no_rows(server: WandbServer, sdk: Sdk) -> None:
    server.fail(Fault(effect=Effect.STATUS, status=503, match="file_stream", times=2))

    sdk.run(LOG_THREE.format(resume="never", first=0))

    assert losses(server, "r") == [0, 1, 2]


def test_rows_logged_while_the_server_is_away_arrive_when_it_is_back(server: WandbServer, sdk: Sdk) -> None:
    client = sdk.start("""
        run = wandb.init(id="r")
        run.log({"loss": 0})
        while not Path("away").exists():
            time.sleep(0.02)
        run.log({"loss": 1})
        Path("logged").touch()
        run.finish()
    """)
    eventually(lambda: bool(server.runs()) and losses(server, "r") == [0])
    server.pause()
    (sdk.scratch / "away").touch()
    eventually((sdk.scratch / "logged").exists)
    server.resume()
    _, err = client.communicate(timeout=120)

    assert (client.returncode, losses(server, "r"), server.run("r").state) == (0, [0, 1], "finished"), err


def served(state: Path, port: int = 0) -> tuple[subprocess.Popen[str], str]:
    command = [sys.executable, "-m", "finetune_sandbox.wandb_server", "--state", str(state), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    return process, process.stdout.readline().strip()


def test_a_server_killed_in_the_middle_of_a_run_goes_on_with_the_same_state(tmp_path: Path) -> None:
    first, url = served(tmp_path / "state")
    records = Records(tmp_path / "state")
    sdk = Sdk({"WANDB_BASE_URL": url, "WANDB_API_KEY": API_KEY}, tmp_path / "client")
    client = sdk.start("""
        run = wandb.init(id="r")
        run.log({"loss": 0})
        while not Path("killed").exists():
            time.sleep(0.02)
        run.log({"loss": 1})
        run.finish()
    """)
    eventually(lambda: bool(records.runs()) and len(records.run("r").history) == 1)
    first.kill()
    first.communicate()
    second, _ = served(tmp_path / "state", int(url.rpartition(":")[2]))
    (sdk.scratch / "killed").touch()
    _, err = client.communicate(timeout=120)
    second.terminate()
    second.communicate()

    run = records.run("r")
    assert ([row["loss"] for row in run.history], run.state, second.returncode) == ([0, 1], "finished", 0), err


def test_a_wrong_key_is_told_to_the_user(tmp_path: Path) -> None:
    with WandbServer(tmp_path / "state", settings=Settings(keys=("k" * 40,))) as server:
        sdk = Sdk({**server.environment(), "WANDB_API_KEY": "x" * 40}, tmp_path / "client")

        assert "invalid API key" in sdk.fails("wandb.init(id='r')")


def test_a_server_that_is_not_there_ends_init_with_an_error(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        environment = {"WANDB_BASE_URL": url, "WANDB_API_KEY": API_KEY, "WANDB_INIT_TIMEOUT": "3"}

        assert re.search("CommError|timed out", Sdk(environment, tmp_path / "client").fails("wandb.init(id='r')"))


def test_the_public_api_reads_what_was_logged(sdk: Sdk) -> None:
    sdk.run(LOG_THREE.format(resume="never", first=0))

    told = sdk.run("""
        api = wandb.Api()
        run = api.run("tests/r")
        print([row["loss"] for row in run.scan_history()])
        print([row["loss"] for row in run.history(pandas=False)])
        print([row["loss"] for row in run.history(keys=["loss"], pandas=False)])
        print(run.lastHistoryStep, run.summary["loss"], [each.id for each in api.runs("tests", {"state": "finished"})])
        print(run.file("config.yaml").download(root="down").name)
    """)

    assert told.splitlines() == ["[0, 1, 2]", "[0, 1, 2]", "[0, 1, 2]", "2 2 ['r']", "down/config.yaml"]
