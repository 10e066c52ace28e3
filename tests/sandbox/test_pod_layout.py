"""Where a pod's paths lead on this machine."""

from pathlib import Path

from finetune_sandbox.pod_layout import Layout


def test_a_path_is_rewritten_once_even_where_this_machine_keeps_it_below_its_own_name() -> None:
    folder = "/data/runs/pods/volumes/data"
    layout = Layout(cluster="", namespace="default", subdomain=None, paths={"/data": Path(folder)})
    once = layout.rewritten("--file=/data/a.csv")
    assert (once, layout.rewritten(once)) == (f"--file={folder}/a.csv", f"--file={folder}/a.csv")
