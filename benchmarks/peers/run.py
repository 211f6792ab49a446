r"""mien and its peers on the same images and protocols, in one run: one table.

Run:
    python -m benchmarks.peers.run --data ROOT --train CLIPS FER2013/train.zip FACES.zip \
        --choose-by FER2013/train.zip --protocols fer2013 lfw-people yale-b --out peers.json

HOG and LBP choose their cells on training images, for each factor its own. An autoencoder, SimCLR
and a masked autoencoder are trained on --train, which should be what the weights were trained on,
for the processor time that mien's stage 1 takes (--images, by default those of the `small`
preset: about an hour on two cores for the three together). Where mien's weights were shown more,
--same-cost names weights that took as long, and they have a row of their own. All see the same
crops of 64 pixels.

--dlib adds dlib's face embedding, which learned from labels: a ceiling, run in an environment of
its own on larger crops of the same faces. --people adds all pairs of photographs listed with their
people (`benchmarks.peers.people`).

Trained networks and what was chosen are kept in --cache; a run that was stopped is resumed.
Then every method runs every protocol with the same seed. Protocols that render faces run with
mien only.

PEERS.json holds every score, PEERS.md the table: main scores with intervals, parameters that a
description takes, milliseconds a face in batches of 32, training images.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare what is asked for and write it."""
    from mien.errors import MienError

    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        if given.measure_cost:
            _measure_cost()
        else:
            _compare(given)
    except MienError as error:
        parser.exit(2, f"error: {error}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--data", type=Path, help="folder of the data sets, each in a folder of its own")
    add(
        "--protocols", nargs="+", metavar="NAME", help="of mien eval; by default all that are there"
    )
    add("--methods", nargs="+", metavar="NAME", help="some of mien hog lbp autoencoder simclr mae")
    add("--weights", help="mien's; by default the shipped ones")
    add("--shown", type=int, help="images that their stage 1 was shown; by default --images")
    add("--seen", type=int, help="different images among those; by default those of --train")
    add("--same-cost", metavar="WEIGHTS", help="mien's, trained as long as the peers: another row")
    add("--same-cost-shown", type=int, help="images that their stage 1 was shown, if not --images")
    add("--beside", nargs="+", default=[], metavar="WEIGHTS", help="more of mien's, a row each")
    add("--people", type=Path, metavar="CSV", help="photographs by person: all pairs")
    add("--dlib", type=Path, metavar="FOLDER", help="dlib's environment, made if missing: a row")
    add("--dlib-protocols", nargs="+", metavar="NAME", help="that dlib runs; by default all")
    add("--train", nargs="+", default=[], metavar="SOURCE", help="as of mien pretrain, or a cache")
    add("--exclude", nargs="+", default=[], metavar="SOURCE", help="not to be trained on")
    add("--choose-by", type=Path, metavar="CLASSES", help="training images in folders by class")
    add("--images", type=int, help="of mien's stage 1 that cost what each peer's training costs")
    add("--steps", type=int, help="of every network, whatever it costs; for a trial")
    add("--detector", default="auto", help="of the protocols' images")
    add("--train-detector", default="none", help="of the training images")
    add("--cache", type=Path, default=Path("peers_cache"))
    add("--device", default="cpu")
    add("--seed", type=int, default=0)
    add("--trials", "--draws", type=int, default=10)
    add("--out", type=Path, default=Path("peers.json"))
    add("--overwrite", action="store_true")
    add("--measure-cost", action="store_true", help="print processor times of training, no more")
    return parser


def _compare(given: argparse.Namespace) -> None:
    from benchmarks.peers.compare import Plan, compare
    from benchmarks.peers.cost import mien_images
    from benchmarks.peers.methods import NAMES
    from benchmarks.peers.table import as_json, as_markdown

    from mien.errors import MienError
    from mien.evaluate.protocols import every_protocol, find_protocol
    from mien.evaluate.runner import find_data_sets
    from mien.media.atomic import replacing

    methods = given.methods or NAMES
    unknown = [name for name in methods if name not in NAMES]
    if unknown:
        raise MienError(f"there is no method {unknown[0]}; give some of {' '.join(NAMES)}")
    if given.data is None:
        raise MienError("give --data, the folder of the data sets")
    markdown = given.out.with_suffix(".md")
    for path in (given.out, markdown):
        if path.exists() and not given.overwrite:
            raise MienError(f"{path} exists; give another --out, or --overwrite")
    named = given.protocols
    protocols = [find_protocol(name) for name in named] if named else every_protocol()
    plan = Plan(
        found=find_data_sets(given.data, protocols),
        methods=list(dict.fromkeys(methods)),
        train=given.train,
        cache=given.cache,
        shown=given.images or mien_images(),
        weights=given.weights,
        weights_shown=given.shown,
        weights_seen=given.seen,
        same_cost=given.same_cost,
        same_cost_shown=given.same_cost_shown,
        beside=list(dict.fromkeys(given.beside)),
        people=given.people,
        dlib=given.dlib,
        dlib_protocols=given.dlib_protocols,
        by_class=given.choose_by,
        exclude=given.exclude,
        steps=given.steps,
        detector=given.detector,
        train_detector=given.train_detector,
        device=given.device,
        seed=given.seed,
        trials=given.trials,
    )
    start = time.monotonic()

    def say(line: str) -> None:
        print(f"{time.monotonic() - start:6.0f} s  {line}", file=sys.stderr, flush=True)

    comparison = compare(plan, say)
    text = json.dumps(as_json(comparison), indent=1, ensure_ascii=False, allow_nan=False)
    table = as_markdown(comparison)
    for path, content in ((given.out, text + "\n"), (markdown, table)):
        with replacing(path, overwrite=given.overwrite) as unfinished:
            unfinished.write_text(content, encoding="utf-8")
    print(table, end="")


def _measure_cost() -> None:
    from benchmarks.peers.cost import measure_fractions
    from benchmarks.peers.methods import LEARNERS

    networks = [make() for make in LEARNERS.values()]
    for name, network, fraction in zip(
        LEARNERS, networks, measure_fractions(networks), strict=True
    ):
        print(
            f"{name}: {fraction:.3f} of an image of stage 1; its recipe says {network.recipe.cost}"
        )


if __name__ == "__main__":
    main()
