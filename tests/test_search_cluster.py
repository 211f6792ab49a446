"""Who is who: people whose faces are near each other are found, tracks are one, few are nobody."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from benchmarks.search_quality import b_cubed, purity

import mien.search
from made_faces import people, write_faces
from mien.cli.search import cluster as command
from mien.errors import MienError
from mien.search import clusters
from mien.search.clusters import cluster, cluster_vectors


def test_people_are_told_apart() -> None:
    codes = people(30, 8, 64, noise=0.4)
    person = np.repeat(np.arange(30), 8)
    labels = cluster_vectors(codes)
    assert b_cubed(labels, person)[2] > 0.95
    assert purity(labels, person) > 0.95


def test_the_densest_of_many_people_are_not_taken_for_one() -> None:
    person = np.repeat(np.arange(100), 12)
    labels = cluster_vectors(people(100, 12, 64, noise=1.3))
    assert np.bincount(labels[labels >= 0]).max() < 100
    assert purity(labels, person) > 0.75


def test_one_person_alone_is_one() -> None:
    labels = cluster_vectors(people(1, 60, 64, noise=0.5))
    assert labels.max() == 0
    assert (labels == 0).mean() > 0.6


def test_the_defaults_of_the_command_are_those_of_the_library() -> None:
    ours = {name: p.default for name, p in inspect.signature(cluster).parameters.items()}
    theirs = {name: p.default for name, p in inspect.signature(command).parameters.items()}
    for name in ("min_size", "min_samples", "epsilon"):
        assert ours[name] == theirs[name]


def test_who_is_alone_is_nobody() -> None:
    codes = np.concatenate([people(5, 10, 64, noise=0.3), people(6, 1, 64, seed=9)])
    labels = cluster_vectors(codes)
    assert len(set(labels[:50].tolist())) == 5
    # One of six random vectors may happen to be like somebody.
    assert (labels[50:] == -1).sum() >= 5


@pytest.mark.parametrize(("epsilon", "expected"), [(0.02, 4), (0.3, 2), (2.0, 1)])
def test_clusters_nearer_than_epsilon_are_one(epsilon: float, expected: int) -> None:
    rng = np.random.default_rng(0)
    families = np.repeat(np.linalg.qr(rng.normal(size=(64, 2)))[0].T, 2, axis=0)
    faces = families + 0.04 * rng.normal(size=families.shape)  # two families of two people each
    faces = np.repeat(faces, 10, axis=0)
    faces += 0.003 * rng.normal(size=faces.shape)
    faces /= np.linalg.norm(faces, axis=1, keepdims=True)
    labels = cluster_vectors(faces, epsilon=epsilon)
    assert (labels >= 0).all()
    assert len(set(labels.tolist())) == expected
    assert all(len(set(labels[i : i + 10].tolist())) == 1 for i in range(0, 40, 10))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_faces_are_no_error(count: int) -> None:
    assert (cluster_vectors(people(count, 1, 8)) == -1).all()


def test_scores_are_those_of_a_small_example() -> None:
    labels, person = np.array([0, 0, 0, 1, -1]), np.array([0, 0, 1, 1, 1])
    precision, recall, f1 = b_cubed(labels, person)
    assert precision == pytest.approx((2 / 3 + 2 / 3 + 1 / 3 + 1 + 1) / 5)
    assert recall == pytest.approx((1 + 1 + 1 / 3 + 1 / 3 + 1 / 3) / 5)
    assert f1 == pytest.approx(2 * precision * recall / (precision + recall))
    assert purity(labels, person) == 3 / 4


def test_the_table_is_written_again_with_who_it_is(tmp_path: Path) -> None:
    codes = np.concatenate([people(3, 6, 32, noise=0.3), people(2, 3, 32, seed=7, noise=0.3)])
    codes[4] = 0
    paths = [f"{i}.jpg" for i in range(18)] + ["clip.mp4"] * 6
    tracks = [None] * 18 + [0] * 3 + [1] * 3
    table = write_faces(tmp_path / "t.parquet", codes, paths=paths, tracks=tracks)
    out = tmp_path / "who.parquet"
    done = mien.search.cluster(table, out)
    person = pq.read_table(out).column("person").to_pylist()
    assert (done.faces, done.people, done.alone) == (23, 5, 0)
    assert person[4] is None
    assert len({*person[0:4], person[5]}) == len(set(person[6:12])) == 1
    # A track is a person, though nobody else looks like it.
    assert len(set(person[18:21])) == len(set(person[21:])) == 1
    assert len(set(person) - {None}) == 5
    assert person[6] in ("person 1", "person 2")
    assert pq.read_table(out).drop_columns("person").equals(pq.read_table(table))
    index = mien.search.build(out, tmp_path / "i.mien", person_column="person")
    assert index.info().people == 5


def test_too_many_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "MAX_POINTS", 10)
    table = write_faces(tmp_path / "t.parquet", people(11, 1, 8))
    with pytest.raises(MienError, match="has 11 faces, tracks counted once; at most 10"):
        mien.search.cluster(table, tmp_path / "o.parquet")
    same = write_faces(tmp_path / "s.parquet", people(11, 1, 8), paths=["v"] * 11, tracks=[0] * 11)
    assert mien.search.cluster(same, tmp_path / "o.parquet").people == 1


@pytest.mark.slow  # time grows with the square of the faces: 100,000 take two minutes
def test_many_faces_are_clustered() -> None:
    codes = people(1_500, 5, 128, noise=0.4)
    person = np.repeat(np.arange(1_500), 5)
    assert b_cubed(cluster_vectors(codes), person)[2] > 0.9
