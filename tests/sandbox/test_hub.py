import contextlib
import hashlib
import http.client
import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from datasets import load_dataset
from finetune_sandbox.hub import Access, Hub, furnish, models, rows

TOKEN = "hf_sandbox"


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a hub as it comes."""
    root = tmp_path_factory.mktemp("hub") / "root"
    furnish(root)
    return root


@pytest.fixture(scope="module")
def hub(furnished: Path) -> Iterator[Hub]:
    """A hub with further repositories: a private one, a gated one, one with a branch."""
    root = furnished
    (root.parent / "keys").mkdir()
    (root.parent / "keys" / "id").write_text("secret")
    for name in ("secret", "gated", "branched"):
        shutil.copytree(root / "models/openai-community/gpt2", root / "models/me" / name)
    branch = root / "models/me/branched/other"
    shutil.copytree(root / "models/me/branched/main", branch)
    (branch / "README.md").write_text("another\n")
    with Hub(root, access=Access(private={"me/secret": TOKEN}, gated={"me/gated": TOKEN})) as running:
        yield running


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


def client(hub: Hub, home: Path, script: str) -> list[str]:
    """What a script prints that uses the unmodified clients in a process of its own."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "OMP_NUM_THREADS": "1", **hub.environment(home)}
    command = [sys.executable, "-c", textwrap.dedent(script)]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert found.returncode == 0, found.stderr
    return found.stdout.splitlines()


def asked(hub: Hub, method: str, path: str, body: str | None = None) -> int:
    """The status of one request, whose path is sent as it is."""
    connection = http.client.HTTPConnection("127.0.0.1", int(hub.url.rpartition(":")[2]), timeout=30)
    with contextlib.closing(connection):
        connection.request(method, path, body, {"Authorization": f"Bearer {TOKEN}"})
        return connection.getresponse().status


def test_a_data_set_comes_with_its_configurations_splits_and_label_names(hub: Hub, home: Path) -> None:
    told = client(
        hub,
        home,
        """
        from datasets import load_dataset
        mrpc = load_dataset("nyu-mll/glue", "mrpc")
        print({name: part.num_rows for name, part in mrpc.items()})
        print(mrpc["train"].features["label"].names, mrpc["train"].column_names)
        print(next(iter(load_dataset("nyu-mll/glue", "sst2", streaming=True)["train"])).keys())
        print(load_dataset("Salesforce/wikitext", "wikitext-2-raw-v1", split="test").column_names)
        print(load_dataset("eriktks/conll2003", split="test").features["ner_tags"].feature.names[:3])
        print(len(load_dataset("google-research-datasets/go_emotions", split="test").features["labels"].feature.names))
        print(load_dataset("rajpurkar/squad", split="validation")[0]["answers"].keys())
        print(load_dataset("sentence-transformers/stsb", split="test").features["score"].dtype)
        """,
    )

    assert told == [
        "{'train': 1024, 'validation': 64, 'test': 64}",
        "['not_equivalent', 'equivalent'] ['sentence1', 'sentence2', 'label', 'idx']",
        "dict_keys(['sentence', 'label', 'idx'])",
        "['text']",
        "['O', 'B-PER', 'I-PER']",
        "28",
        "dict_keys(['text', 'answer_start'])",
        "float64",
    ]


def test_a_users_mistakes_are_told_as_the_real_hub_tells_them(hub: Hub, home: Path) -> None:
    told = client(
        hub,
        home,
        """
        from datasets import load_dataset
        for wanted in (("x/y",), ("nyu-mll/glue", "nope")):
            try:
                load_dataset(*wanted)
            except Exception as error:
                print(type(error).__name__, error)
        """,
    )

    assert told == [
        "DatasetNotFoundError Dataset 'x/y' doesn't exist on the Hub or cannot be accessed.",
        "ValueError BuilderConfig 'nope' not found. Available: ['mrpc', 'sst2']",
    ]


def test_private_and_gated_repositories_need_their_token_and_a_token_of_nobody_opens_nothing(
    hub: Hub, home: Path
) -> None:
    told = client(
        hub,
        home,
        f"""
        from huggingface_hub import hf_hub_download
        for name in ("me/secret", "me/gated", "openai-community/gpt2"):
            for token in ("bad", False, "hf_other", "{TOKEN}"):
                try:
                    hf_hub_download(name, "config.json", token=token)
                    print("fetched")
                except Exception as error:
                    print(type(error).__name__, error.response.status_code)
        """,
    )

    assert told == [
        *("HfHubHTTPError 401", "RepositoryNotFoundError 401", "RepositoryNotFoundError 404", "fetched"),
        *("HfHubHTTPError 401", "GatedRepoError 401", "GatedRepoError 403", "fetched"),
        *("HfHubHTTPError 401", "fetched", "fetched", "fetched"),
    ]


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/%2e%2e/%2e%2e/resolve/keys/id", id="a file of a folder beside"),
        pytest.param("/datasets/me/%2e%2e/resolve/hidden/main", id="an owner as a repository"),
        pytest.param("/api/models/%2e%2e/%2e%2e", id="facts"),
        pytest.param("/api/models/me/a%2f..%2f..%2fb", id="a slash in a name"),
    ],
)
def test_a_name_that_leads_out_of_the_folder_names_nothing(hub: Hub, path: str) -> None:
    assert asked(hub, "GET", path) == 404


@pytest.mark.parametrize("wanted", [{"name": "../../evil"}, {"organization": "..", "name": "x"}, {"type": "../model"}])
def test_no_repository_is_made_outside_the_folder(hub: Hub, wanted: dict[str, str]) -> None:
    before = digests(hub.root.parent)

    assert asked(hub, "POST", "/api/repos/create", json.dumps({"name": "evil", **wanted})) == 400
    assert digests(hub.root.parent) == before


@pytest.mark.parametrize("path", ["../../evil", "../.private", "/evil", "."])
def test_a_commit_with_a_file_outside_its_repository_changes_nothing(hub: Hub, path: str) -> None:
    before = digests(hub.root.parent)
    lines = [{"key": "file", "value": {"path": each, "content": "aGk="}} for each in ("fine.txt", path)]

    status = asked(hub, "POST", "/api/models/me/branched/commit/main", "\n".join(map(json.dumps, lines)))
    assert (status, digests(hub.root.parent)) == (400, before)


def test_a_revision_is_a_branch_or_a_commit(hub: Hub, home: Path) -> None:
    told = client(
        hub,
        home,
        """
        from pathlib import Path
        from huggingface_hub import HfApi, hf_hub_download
        other = HfApi().model_info("me/branched", revision="other").sha
        for revision in ("other", other):
            print(Path(hf_hub_download("me/branched", "README.md", revision=revision)).read_text().strip())
        print(HfApi().model_info("me/branched").sha != other)
        try:
            hf_hub_download("me/branched", "README.md", revision="nope")
        except Exception as error:
            print(type(error).__name__)
        """,
    )

    assert told == ["another", "another", "True", "RevisionNotFoundError"]


@pytest.mark.training
@pytest.mark.parametrize(
    ("name", "kind", "padding"),
    [
        ("google-bert/bert-base-uncased", "AutoModelForMaskedLM", "[PAD]"),
        ("openai-community/gpt2", "AutoModelForCausalLM", None),
        ("google-t5/t5-small", "AutoModelForSeq2SeqLM", "<pad>"),
    ],
)
def test_a_model_loads_whole_and_its_tokenizer_knows_every_word(
    furnished: Path, name: str, kind: str, padding: str | None
) -> None:
    import transformers

    folder = furnished / "models" / name / "main"
    model, loading = getattr(transformers, kind).from_pretrained(folder, output_loading_info=True)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    words = tokenizer(" " + " ".join(rows.LEXICON), add_special_tokens=False)["input_ids"]

    assert (sorted(loading["missing_keys"]), len(tokenizer)) == ([], model.config.vocab_size)
    assert (len(words), tokenizer.pad_token) == (len(rows.LEXICON), padding)


@pytest.mark.training
def test_a_model_of_images_lacks_only_its_head_and_has_its_processor(furnished: Path) -> None:
    import transformers

    folder = furnished / "models/google/vit-base-patch16-224-in21k/main"
    _, loading = transformers.AutoModelForImageClassification.from_pretrained(folder, output_loading_info=True)

    assert sorted(loading["missing_keys"]) == ["classifier.bias", "classifier.weight"]
    assert transformers.AutoImageProcessor.from_pretrained(folder).size["height"] == 32


def digests(root: Path) -> dict[str, str]:
    paths = sorted(each for each in root.rglob("*") if each.is_file())
    return {str(each.relative_to(root)): hashlib.sha256(each.read_bytes()).hexdigest() for each in paths}


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "other"):
        furnish(tmp_path / name)

    assert digests(tmp_path / "one") == digests(tmp_path / "other")


def test_another_seed_gives_other_weights(tmp_path: Path) -> None:
    models.bert(tmp_path / "one", seed=1)
    models.bert(tmp_path / "two", seed=2)

    different = {
        name for name, digest in digests(tmp_path / "one").items() if digests(tmp_path / "two")[name] != digest
    }
    assert different == {"model.safetensors"}


def test_a_furnished_hub_keeps_what_its_owner_changed(tmp_path: Path) -> None:
    furnish(tmp_path)
    config = tmp_path / "models/openai-community/gpt2/main/config.json"
    config.write_text(json.dumps({"mine": True}))

    furnish(tmp_path)

    assert json.loads(config.read_text()) == {"mine": True}


def test_a_repository_that_a_killed_start_left_half_made_is_made_again(tmp_path: Path) -> None:
    furnish(tmp_path / "whole")
    half = tmp_path / "killed" / "models" / "openai-community" / ".gpt2" / "main"
    half.mkdir(parents=True)
    (half / "config.json").write_text("{")

    furnish(tmp_path / "killed")

    assert digests(tmp_path / "killed") == digests(tmp_path / "whole")


@pytest.mark.parametrize(("suffix", "builder"), [("csv", "csv"), ("jsonl", "json"), ("parquet", "parquet")])
def test_local_files_of_every_kind_hold_the_same_rows(tmp_path: Path, suffix: str, builder: str) -> None:
    wanted = rows.mrpc("train", 8)
    path = rows.write(wanted, tmp_path / f"train.{suffix}")

    found = load_dataset(builder, data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))

    assert [dict(each) for each in found] == [dict(each) for each in wanted]


def test_labels_are_balanced_enough_to_be_learned() -> None:
    labels = [each["label"] for each in rows.sst2("train", 256)]

    assert 96 <= sum(labels) <= 160
