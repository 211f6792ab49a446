"""The comparison from its command line to its table, with a made-up data set."""

import json
from dataclasses import replace

import numpy as np
import pytest
from benchmarks.peers import methods
from benchmarks.peers.autoencoder import PlainAutoencoder
from benchmarks.peers.choice import Choice
from benchmarks.peers.crops import CropStore
from benchmarks.peers.describe import describe_peer
from benchmarks.peers.methods import Method
from benchmarks.peers.run import main
from benchmarks.peers.table import Comparison, as_json, as_markdown
from tests.made_dlib import dlib_environment, people_folder
from tests.made_factors import Describing

from mien.errors import MienError
from mien.evaluate.protocol import Images, Protocol, Result, Score
from mien.evaluate.report.report import Run
from mien.media.image import read


def stripes(data, context):
    """Upright or level stripes: is the nearest other image of the same kind?"""
    paths = sorted((data / "stripes").glob("*.png"))
    images = Images(tuple(p.name for p in paths), lambda row: read(paths[row]))
    codes = context.describe(images, ("expression",))["expression"]
    kind = np.array([path.name.startswith("up") for path in paths])
    apart = ((codes[:, None] - codes[None]) ** 2).sum(axis=2)
    np.fill_diagonal(apart, np.inf)
    right = kind[apart.argmin(axis=1)] == kind
    score = Score("accuracy", 100 * float(right.mean()), "%", len(paths), 1.0, 2.0, main=True)
    return Result((score, Score("other", float("nan"), "", 1)), "0" * 12, notes=("a note",))


STRIPES = Protocol(
    "stripes",
    "expression",
    "t",
    "l",
    "s",
    lambda path: (path / "stripes").is_dir(),
    stripes,
)


def write_stripes(folder):
    from PIL import Image

    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(8):
        wave = (np.sin(np.arange(70) / 2 + rng.uniform(0, 6)) * 90 + 120)[None].repeat(70, 0)
        for name, image in (("up", wave), ("level", wave.T)):
            pixels = np.repeat((image + rng.normal(0, 5, image.shape))[..., None], 3, axis=2)
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(
                folder / f"{name}{number}.png"
            )


@pytest.fixture
def root(tmp_path, monkeypatch):
    write_stripes(tmp_path / "root" / "set" / "stripes")
    monkeypatch.setattr("mien.evaluate.protocols.find_protocol", lambda _: STRIPES)
    small = lambda: PlainAutoencoder(width=8, feature_dim=16, code_dim=8, decoder_width=8)  # noqa: E731
    monkeypatch.setitem(methods.LEARNERS, "autoencoder", small)
    monkeypatch.setattr(PlainAutoencoder, "recipe", replace(PlainAutoencoder.recipe, batch_size=4))
    monkeypatch.setattr("benchmarks.peers.compare.shape_rows", lambda **_: [])
    return tmp_path


def arguments(root, *more):
    chosen = ["--methods", "hog", "lbp", "autoencoder", "--protocols", "stripes"]
    places = ["--data", str(root / "root"), "--cache", str(root / "cache")]
    return [*chosen, *places, "--detector", "none", "--out", str(root / "peers.json"), *more]


def test_one_table_of_all_methods(root, capsys):
    training = ["--train", str(root / "root" / "set" / "stripes"), "--steps", "2"]
    main(arguments(root, *training))
    found = json.loads((root / "peers.json").read_text())
    by_name = {method["name"]: method for method in found["methods"]}
    assert list(by_name) == ["hog", "lbp", "autoencoder"]
    assert by_name["hog"]["parameters"] == 0
    assert by_name["hog"]["training_images"] == 0
    assert by_name["autoencoder"]["training_images"] == 16
    assert by_name["autoencoder"]["training_images_shown"] == 8
    assert all(method["ms_a_face"] > 0 for method in found["methods"])
    (protocol,) = found["protocols"]
    assert protocol["folder"] == "set"
    scores = {name: result["scores"] for name, result in protocol["results"].items()}
    assert scores["hog"][0]["value"] == 100
    assert scores["lbp"][0]["value"] == 100
    assert scores["hog"][1]["value"] is None
    text = (root / "peers.md").read_text()
    assert text == capsys.readouterr().out
    head, _, *rows = text.splitlines()
    assert "stripes: accuracy, %" in head
    assert "other" not in head, "only main scores"
    assert rows[0].startswith("| hog | 0 |")
    assert rows[0].endswith("| none | 100.0 (1.0-2.0) |")


def test_dlib_and_people_are_a_row_and_a_column(root):
    dlib_environment(root / "dlib")
    people = people_folder(root / "faces") / "people.csv"
    more = ["--methods", "hog", "--dlib", str(root / "dlib"), "--people", str(people)]
    main(arguments(root, *more, "--dlib-protocols", "people"))
    found = json.loads((root / "peers.json").read_text())
    assert [method["name"] for method in found["methods"]] == ["hog", "dlib ResNet, labelled"]
    stripes, pairs = found["protocols"]
    assert list(stripes["results"]) == ["hog"]
    scores = {name: result["scores"] for name, result in pairs["results"].items()}
    assert [score["name"] for score in scores["hog"]] == ["AUC of all pairs, plain cosine"]
    assert [score["unit"] for score in scores["dlib ResNet, labelled"]] == ["AUC", "AUC"]
    head, _, _, row, *_ = (root / "peers.md").read_text().splitlines()
    assert head.endswith("| people: AUC of all pairs, plain cosine, AUC |")
    assert row.startswith("| dlib ResNet, labelled | 5.61 M |")
    assert "| 3,000,000 | – |" in row


def test_what_cannot_be_done_is_said_in_a_line(root, capsys):
    (root / "peers.md").write_text("mine")
    for more, said in (
        ([], "peers.md exists"),
        (["--out", str(root / "x.json")], "autoencoder must be trained; give --train"),
        (["--out", str(root / "x.json"), "--methods", "hgo"], "there is no method hgo"),
    ):
        with pytest.raises(SystemExit) as stopped:
            main(arguments(root, *more))
        assert stopped.value.code == 2
        assert said in capsys.readouterr().err
    assert (root / "peers.md").read_text() == "mine"
    assert not (root / "x.json").exists()


def test_a_method_that_fails_leaves_the_others(tmp_path):
    from benchmarks.peers.compare import run_methods
    from benchmarks.peers.hog import Hog

    write_stripes(tmp_path / "set" / "stripes")
    (tmp_path / "crops").mkdir()
    crops = CropStore(tmp_path / "crops", detector="none")

    def broken(images, columns):
        raise MienError("no such column")

    hog = describe_peer("hog", Hog(), crops)
    entries = [
        Method("broken", lambda _: Describing(broken), lambda: None, 0),
        Method("hog", lambda _: hog, lambda: None, 0),
    ]
    (runs,) = run_methods([(STRIPES, tmp_path / "set")], entries, crops)
    assert runs["broken"].error == "no such column"
    result = runs["hog"].result
    assert result is not None
    assert result.scores[0].value == 100
    assert not list((tmp_path / "crops").iterdir()), "crops are forgotten after a protocol"


def test_a_method_runs_its_own_protocols_only(tmp_path):
    from benchmarks.peers.compare import run_methods
    from benchmarks.peers.hog import Hog

    write_stripes(tmp_path / "set" / "stripes")
    (tmp_path / "crops").mkdir()
    crops = CropStore(tmp_path / "crops", detector="none")
    hog = describe_peer("hog", Hog(), crops)
    entries = [
        Method(name, lambda _: hog, lambda: None, 0, images=9, protocols=asked)
        for name, asked in (("all", None), ("some", frozenset({"stripes"})), ("no", frozenset()))
    ]
    (runs,) = run_methods([(STRIPES, tmp_path / "set")], entries, crops)
    assert list(runs) == ["all", "some"]
    rows = as_markdown(Comparison(entries, {}, [runs])).splitlines()[2:]
    assert rows[1].endswith("| 9 | 100.0 (1.0-2.0) |")
    assert rows[2].endswith("| 9 | – |")


def test_the_table_shows_what_is_missing():
    def run(*scores, error=""):
        result = None if error else Result(scores, "0" * 12)
        return Run(STRIPES, "set", 1.0, result, error)

    angle = Score("error", 12.341, "degrees", 9, 11.0, 13.5, higher_is_better=False, main=True)
    auc = Score("AUC", 0.91234, "AUC", 9, main=True)
    not_finite = replace(auc, value=float("nan"))
    tried = {"light": Choice("8 x 8 cells", {"8 x 8 cells": 0.5, "4 x 4 cells": float("nan")})}
    entries = [
        Method("one", lambda _: None, lambda: None, 2_600_000, images=5000, shown=180_000),  # type: ignore[arg-type,return-value]
        Method("two", lambda _: None, lambda: None, 0, settings=tried),  # type: ignore[arg-type,return-value]
        Method("three", lambda _: None, lambda: None, 0),  # type: ignore[arg-type,return-value]
    ]
    runs = {"one": run(angle, auc), "two": run(angle, not_finite), "three": run(error="no | light")}
    shape = {"name": "ViT-B/16", "parameters": 85_798_656, "crop_px": 224, "ms_a_face": 101.234}
    comparison = Comparison(entries, {"one": 1.234, "two": 0.5}, [runs], [shape], {"seed": 3})
    lines = as_markdown(comparison).splitlines()
    assert lines[0].endswith("stripes: error, degrees | stripes: AUC, AUC |")
    assert lines[2] == "| one | 2.60 M | 1.23 | 5,000 (180,000) | 12.34 (11.00-13.50) | 0.912 |"
    assert lines[3] == "| two | 0 | 0.50 | none | 12.34 (11.00-13.50) | – |"
    assert lines[4] == "| three | 0 | – | none | – | – |"
    assert "| ViT-B/16 | 85.80 M | 224 px | 101.23 |" in lines
    assert lines[-1] == "- stripes, three: no | light"
    values = as_json(comparison)
    json.dumps(values, allow_nan=False)
    assert values["seed"] == 3
    assert values["methods"][1]["settings"]["light"]["tried"]["4 x 4 cells"] is None
    assert values["protocols"][0]["results"]["three"] == {"error": "no | light"}
    assert values["protocols"][0]["results"]["two"]["scores"][1]["value"] is None


def test_where_peers_lack_the_main_score_one_that_all_have_follows():
    def run(*scores):
        return Run(STRIPES, "set", 1.0, Result(scores, "0" * 12))

    def score(name, value, *, main=False):
        return Score(name, value, "degrees", 9, main=main)

    same = score("mean", 30.0)
    ours = run(score("own", 12.0, main=True), same, score("ridge", 8.0), score("lasso", 7.0))
    theirs = run(
        score("own", float("nan"), main=True), same, score("ridge", 9.0), score("lasso", 6.0)
    )
    entries = [Method(name, lambda _: None, lambda: None, 0) for name in ("a", "b")]  # type: ignore[arg-type,return-value]
    head, _, first, second = as_markdown(
        Comparison(entries, {}, [{"a": ours, "b": theirs}])
    ).splitlines()
    assert head.endswith("| stripes: own, degrees | stripes: ridge, degrees |")
    assert first.endswith("| 12.00 | 8.00 |")
    assert second.endswith("| – | 9.00 |")
