from pathlib import Path

import pytest
from finetune_sandbox.binaries import BinaryUnavailable
from finetune_sandbox.control_plane import ControlPlane, ControlPlaneError, Options

pytestmark = pytest.mark.control_plane


def test_it_answers_with_the_version_that_it_was_built_from(control_plane: ControlPlane) -> None:
    assert "Server Version: v1.36.3" in control_plane.kubectl("version")


def test_a_user_is_who_its_certificate_says(control_plane: ControlPlane) -> None:
    kubeconfig = control_plane.user("system:node:a", ("system:nodes",))
    told = control_plane.kubectl("auth", "whoami", "-o", "jsonpath={.status.userInfo.username}", kubeconfig=kubeconfig)
    assert told == "system:node:a"


def test_a_service_account_may_do_nothing_yet(control_plane: ControlPlane, namespace: str) -> None:
    kubeconfig = control_plane.service_account(namespace, "default")
    with pytest.raises(ControlPlaneError, match="forbidden"):
        control_plane.kubectl("get", "pods", "--namespace", namespace, kubeconfig=kubeconfig)


def test_the_audit_log_counts_writes_and_a_stopped_server_keeps_its_logs(tmp_path: Path) -> None:
    try:
        with ControlPlane(tmp_path, Options(workloads=False, audit=True)) as plane:
            plane.namespace("a")
    except BinaryUnavailable as missing:
        pytest.skip(str(missing))
    created = [
        each["objectRef"]["resource"]
        for each in plane.audited()
        if each["verb"] == "create" and each["user"]["username"] == "probe"
    ]
    assert (created, sorted(file.name for file in plane.log_folder.iterdir())) == (
        ["namespaces"],
        ["etcd.log", "kube-apiserver.log"],
    )
