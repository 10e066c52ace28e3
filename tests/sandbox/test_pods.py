"""How a pod comes to run on a process node: what it is given, what it waits for, what it leaves behind."""

import base64
from pathlib import Path

import pytest
from finetune_operator.cluster.port import CONFIG_MAP, POD, SECRET
from finetune_sandbox.pod_process import processes_marked
from finetune_sandbox.process_node import ProcessNode

from tests.sandbox.conftest import ABSENT
from tests.sandbox.pods import Place, gone, has_ended, runs, state, terminated, waiting, waits, watched

pytestmark = pytest.mark.usefixtures("node")


def secret_variable(name: str, key: str, **more: bool) -> dict[str, object]:
    return {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": name, "key": key, **more}}}


async def create_secret(place: Place, name: str, **values: str) -> None:
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    await place.api.create(
        SECRET, {"metadata": {"name": name, "namespace": place.namespace}, "type": "Opaque", "data": encoded}
    )


async def test_a_missing_secret_is_waited_for(place: Place, node: ProcessNode) -> None:
    await place.create("a", 'echo "key=$KEY"', container={"env": [secret_variable("wandb", "WANDB_API_KEY")]})
    waits_for = waiting(await place.until("a", lambda pod: waiting(pod)[0] == "CreateContainerConfigError"))
    await create_secret(place, "wandb", WANDB_API_KEY="abc")
    await place.until("a", has_ended)
    said = (waits_for[1], node.logs(place.namespace, "a"))
    assert said == ('secret "wandb" not found', "key=abc\n")


async def test_a_key_that_the_secret_lacks_is_named(place: Place) -> None:
    await create_secret(place, "wandb", other="abc")
    await place.create("a", "exit 0", container={"env": [secret_variable("wandb", "WANDB_API_KEY")]})
    found = await place.until("a", lambda pod: waiting(pod)[0] == "CreateContainerConfigError")
    assert waiting(found)[1] == f"couldn't find key WANDB_API_KEY in Secret {place.namespace}/wandb"


async def test_an_optional_key_may_be_absent(place: Place, node: ProcessNode) -> None:
    variable = secret_variable("wandb", "WANDB_API_KEY", optional=True)
    await place.create("a", 'echo "key=${KEY-unset}"', container={"env": [variable]})
    await place.until("a", has_ended)
    assert node.logs(place.namespace, "a") == "key=unset\n"


async def test_fields_of_the_pod_and_earlier_variables_are_resolved(place: Place, node: ProcessNode) -> None:
    variables = [
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "BOTH", "value": "$(POD)@$(POD_IP) $$(POD) $(NONE)"},
    ]
    await place.create("a", 'echo "$BOTH"', container={"env": variables})
    ended = await place.until("a", has_ended)
    assert node.logs(place.namespace, "a") == f"a@{ended['status']['podIP']} $(POD) $(NONE)\n"


async def test_mounted_configuration_and_scratch_are_found_under_their_own_paths(
    place: Place, node: ProcessNode
) -> None:
    where = {"name": "run", "namespace": place.namespace}
    await place.api.create(CONFIG_MAP, {"metadata": where, "data": {"run.json": "steps"}})
    volumes = [{"name": "config", "configMap": {"name": "run"}}, {"name": "work", "emptyDir": {}}]
    mounts = [{"name": "config", "mountPath": "/etc/finetune"}, {"name": "work", "mountPath": "/work"}]
    script = 'cp /etc/finetune/run.json "$WORK/copy" && cat /work/copy'
    container = {"volumeMounts": mounts, "env": [{"name": "WORK", "value": "/work"}]}
    await place.create("a", script, volumes=volumes, container=container)
    await place.until("a", has_ended)
    assert node.logs(place.namespace, "a") == "steps"


async def test_a_claim_outlives_the_pod_and_scratch_does_not(place: Place, node: ProcessNode) -> None:
    claim = {"name": "kept", "persistentVolumeClaim": {"claimName": "checkpoints"}}
    scratch = {"name": "work", "emptyDir": {}}
    mounts = [{"name": "kept", "mountPath": "/kept"}, {"name": "work", "mountPath": "/work"}]
    spec = {"volumes": [claim, scratch], "container": {"volumeMounts": mounts}}
    # Bound by hand: the real scheduler asks for the claim's object, which a process node does not need.
    for name in ("a", "b"):
        pod = place.pod(name, "ls /kept /work; touch /kept/x /work/y", gpus=0, nodeName=place.node, **spec)
        await place.api.create(POD, pod)
        await place.until(name, has_ended)
    listed = node.logs(place.namespace, "b").split()
    assert [each for each in listed if each in {"x", "y"}] == ["x"]


async def test_a_missing_configuration_keeps_the_container_from_being_made(place: Place) -> None:
    volumes = [{"name": "config", "configMap": {"name": "run"}}]
    mounts = [{"name": "config", "mountPath": "/etc/finetune"}]
    await place.create("a", "exit 0", volumes=volumes, container={"volumeMounts": mounts})
    before = await place.until("a", lambda pod: waiting(pod)[0] == "ContainerCreating")
    await place.api.create(CONFIG_MAP, {"metadata": {"name": "run", "namespace": place.namespace}, "data": {}})
    after = await place.until("a", has_ended)
    assert (waiting(before), terminated(after)) == (("ContainerCreating", ""), ("Succeeded", 0, "Completed"))


async def test_a_chosen_key_may_lie_in_a_folder(place: Place, node: ProcessNode) -> None:
    where = {"name": "code", "namespace": place.namespace}
    await place.api.create(CONFIG_MAP, {"metadata": where, "data": {"a.py": "here", "b.py": "not"}})
    chosen = {"name": "code", "items": [{"key": "a.py", "path": "package/a.py"}]}
    mounts = [{"name": "code", "mountPath": "/code"}]
    await place.create(
        "a",
        "cat /code/package/*",
        volumes=[{"name": "code", "configMap": chosen}],
        container={"volumeMounts": mounts},
    )
    await place.until("a", has_ended)
    assert node.logs(place.namespace, "a") == "here"


async def test_what_keeps_a_container_from_being_made_is_said(place: Place, tmp_path: Path) -> None:
    (tmp_path / "claims").write_text("no folder")
    claim = {"name": "kept", "persistentVolumeClaim": {"claimName": "checkpoints"}}
    spec = {"volumes": [claim], "container": {"volumeMounts": [{"name": "kept", "mountPath": "/kept"}]}}
    await place.api.create(POD, place.pod("a", "exit 0", gpus=0, nodeName=place.node, **spec))
    found = await place.until("a", lambda pod: waiting(pod)[0] == "CreateContainerError")
    assert waiting(found)[1].startswith("NotADirectoryError: ")


async def test_an_image_that_is_absent_is_backed_off_from(place: Place) -> None:
    async with watched(place, "a") as story:
        await place.create("a", "exit 0", container={"image": ABSENT})
        await place.until("a", lambda pod: waiting(pod)[0] == "ImagePullBackOff")
        await place.api.delete(POD, place.namespace, "a")
        await gone(story)
    reasons = list(dict.fromkeys(waiting(each.object)[0] for each in story.changes))
    assert ([each for each in reasons if each], terminated(story.last())) == (
        ["ContainerCreating", "ErrImagePull", "ImagePullBackOff"],
        ("Failed", 137, "ContainerStatusUnknown"),
    )


async def test_of_the_termination_message_the_last_4096_bytes_are_kept(place: Place) -> None:
    script = "{ echo lost; head -c 4095 /dev/zero | tr '\\0' x; echo; } > /dev/termination-log; exit 78"
    await place.create("a", script)
    ended = await place.until("a", has_ended)
    said = (terminated(ended), state(ended)["terminated"]["message"])
    assert said == (("Failed", 78, "Error"), "x" * 4095 + "\n")


async def test_a_pod_sees_the_gpus_that_it_asks_for(place: Place, node: ProcessNode) -> None:
    for name, gpus in (("a", 1), ("b", 0), ("c", 1)):
        await place.create(name, 'echo "gpus=$CUDA_VISIBLE_DEVICES"', gpus=gpus)
        await place.until(name, has_ended)
    assert [node.logs(place.namespace, name) for name in "abc"] == ["gpus=7\n", "gpus=\n", "gpus=7\n"]


async def test_a_pod_has_the_way_out_that_this_user_has(
    place: Place, node: ProcessNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    monkeypatch.setenv("NO_PROXY", "intranet")
    monkeypatch.delenv("no_proxy", raising=False)
    await place.create("a", 'echo "$https_proxy $NO_PROXY"')
    await place.until("a", has_ended)
    assert node.logs(place.namespace, "a") == "http://proxy:3128 intranet,localhost,127.0.0.1,127.0.0.0/8\n"


async def test_everything_that_a_pod_started_ends_with_it(place: Place) -> None:
    await place.create("a", "setsid sleep 1000 &")
    ended = await place.until("a", has_ended)
    assert not processes_marked(ended["metadata"]["uid"])


async def test_python_is_this_python(place: Place, node: ProcessNode) -> None:
    command = ["python", "-c", "import finetune_trainer; print('here')"]
    await place.create("a", "", container={"command": command})
    await place.until("a", has_ended)
    assert node.logs(place.namespace, "a") == "here\n"


async def test_a_gang_meets_by_the_name_of_its_service(place: Place, node: ProcessNode) -> None:
    listen = (
        "import os, socket; host, port = os.environ['RENDEZVOUS'].split(':');"
        "server = socket.create_server((os.environ['POD_IP'], int(port))); server.accept()[0].sendall(b'met')"
    )
    speak = (
        "import os, socket, time\n"
        "host, port = os.environ['RENDEZVOUS'].split(':')\n"
        "while True:\n"
        "    try: print(socket.create_connection((host, int(port))).recv(3).decode()); break\n"
        "    except ConnectionRefusedError: time.sleep(0.02)\n"
    )
    variables = [
        {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "RENDEZVOUS", "value": "job-1-0.job:29500"},
    ]
    for name, program in (("job-1-0", listen), ("job-1-1", speak)):
        container = {"command": ["python", "-c", program], "env": variables}
        await place.create(name, "", gpus=0, hostname=name, subdomain="job", container=container)
    await place.until("job-1-1", has_ended)
    assert node.logs(place.namespace, "job-1-1") == "met\n"


async def test_two_pods_have_two_addresses(place: Place) -> None:
    addresses = set()
    for name in ("a", "b"):
        await place.create(name, waits(then_exits=0), gpus=0)
        addresses.add((await place.until(name, runs))["status"]["podIP"])
    assert len(addresses - {"127.0.0.1"}) == 2
