"""Who is who in an album or a video: the faces of a table in clusters, one a person.

Faces of one track are one point, their mean. Of every point the nearest others are found exactly;
HDBSCAN (scikit-learn) then clusters the graph of these neighbours, whose parts are tied together at
the greatest distance. Time grows with the square of the points, memory with their number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mien.columns import FACE_EMBEDDING
from mien.errors import MienError
from mien.linear.similarity import centred
from mien.media.atomic import replacing
from mien.media.names import to_text
from mien.media.outputs import check_outputs
from mien.search.building import reference_of
from mien.search.faces import weights_of
from mien.table.formats import check_format, convert
from mien.table.read import column_names, open_table, read_codes, read_columns
from mien.table.writer import open_writer

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["MAX_POINTS", "Clustered", "cluster", "cluster_vectors"]

MAX_POINTS = 200_000
"""Faces, tracks counted once: beyond, hours would pass."""
NEIGHBOURS = 32
"""Of each point, in the graph."""
MIN_SIZE = 2
"""Faces of the least person."""
MIN_SAMPLES = 1
"""Near faces that make a place dense."""
EPSILON = 0.0
"""Clusters nearer than this are one; a distance, 1 - cosine."""
_STRANGE = 0.6
"""Whoever's nearest in a cluster is farther than this, and than nine in ten strangers, belongs to
nobody; a distance, 1 - cosine."""
_FARTHEST = 2.0
_BLOCK = 1024


@dataclass(frozen=True)
class Clustered:
    """What came of clustering."""

    faces: int
    """With a code."""
    people: int
    """Clusters."""
    alone: int
    """Faces in none: their person is null."""


def cluster(
    table: str | Path,
    out: str | Path,
    *,
    code: str = FACE_EMBEDDING,
    weights: str | Path | None = None,
    min_size: int = MIN_SIZE,
    min_samples: int = MIN_SAMPLES,
    epsilon: float = EPSILON,
    overwrite: bool = False,
) -> Clustered:
    """Write a table again, with a column `person`: 1, 2, ... by how many faces each has.

    Args:
        table: by `mien.embed_to_parquet`, of at most 200,000 faces (a track counts once).
        out: the table to be written: .parquet, .feather, .csv or .jsonl.
        code: the column of vectors.
        weights: as for `mien.search.build`: the mean code is taken off where it is known.
        min_size: faces of the least person, at least 2. A track of as many is a person by itself.
        min_samples: how many other faces near a face make it dense there; at least 1.
        epsilon: clusters nearer than this are one; 1 - cosine, in [0, 2].
        overwrite: whether `out` may be replaced.

    Raises:
        MienError: the table cannot be read, lacks the code, has a column `person` or too many
            faces; an option is out of range; `out` cannot be written.
    """
    out = Path(out)
    check_outputs([out], inputs=[table], overwrite=overwrite)
    check_format(out)
    if min_size < 2 or not 1 <= min_samples <= NEIGHBOURS or not 0 <= epsilon <= _FARTHEST:
        raise MienError(
            f"min_size is 2 or more, min_samples 1 to {NEIGHBOURS}, epsilon 0 to 2; not "
            f"{min_size}, {min_samples}, {epsilon}"
        )
    there = column_names(table)
    if code not in there:
        raise MienError(f"{to_text(table)} has no column {code}; name another with --code")
    if "person" in there:
        raise MienError(f"{to_text(table)} has a column person already; take it out first")
    codes = read_codes(table, code)
    found = np.flatnonzero(np.isfinite(codes).all(axis=1) & codes.any(axis=1))
    if not len(found):
        raise MienError(f"no face in {to_text(table)} has a {code}: there is nobody to be found")
    reference = reference_of(weights_of(table), code, weights)
    unit = centred(codes[found], 0.0 if reference is None else reference.mean)
    points, point_of = _points(table, found, unit)
    if len(points) > MAX_POINTS:
        raise MienError(
            f"{to_text(table)} has {len(points):,} faces, tracks counted once; at most "
            f"{MAX_POINTS:,} are clustered at a time: split it"
        )
    sizes = np.bincount(point_of, minlength=len(points))
    labels = cluster_vectors(
        points, min_size=min_size, min_samples=min_samples, epsilon=epsilon, sizes=sizes
    )[point_of]
    names = np.full(len(codes), -1)
    names[found] = _by_size(labels)
    _write(table, out, names, overwrite=overwrite)
    return Clustered(len(found), int(names.max()) + 1, int((names[found] < 0).sum()))


def cluster_vectors(
    unit: NDArray[np.floating[Any]],
    *,
    min_size: int = MIN_SIZE,
    min_samples: int = MIN_SAMPLES,
    epsilon: float = EPSILON,
    sizes: NDArray[np.integer[Any]] | None = None,
) -> NDArray[np.int64]:
    """Return each point's cluster, from 0; -1: none. [N].

    Args:
        unit: vectors of length one. [N, D].
        min_size: points of the least cluster.
        min_samples: as for `cluster`.
        epsilon: likewise.
        sizes: faces of each point; one with `min_size` of them is a cluster by itself. [N].
    """
    from sklearn.cluster import HDBSCAN

    labels = np.full(len(unit), -1, dtype=np.int64)
    if len(unit) > max(min_size, min_samples):
        options: dict[str, Any] = {"copy": False}  # of which stubs know nothing
        made = HDBSCAN(
            min_cluster_size=min_size,
            min_samples=min_samples,
            cluster_selection_method="leaf" if epsilon else "eom",
            metric="precomputed",
            algorithm="brute",
            allow_single_cluster=_is_one(unit),
            **options,
        )
        graph = _graph(np.asarray(unit, np.float32), max(NEIGHBOURS, min_samples))
        # HDBSCAN changes the graph that it is given.
        labels = made.fit_predict(graph.copy()).astype(np.int64)
        if epsilon:
            labels = _merged(labels, graph, min_samples, epsilon)
        labels = _without_strangers(labels, graph)
    if sizes is not None:
        alone = (labels < 0) & (sizes >= min_size)
        labels[alone] = labels.max(initial=-1) + 1 + np.arange(alone.sum())
    return labels


def _is_one(unit: NDArray[np.floating[Any]]) -> bool:
    """Return whether all points may be one person: pairs of them are alike on average. [N, D].

    Else the densest of many people's faces would be taken for one.
    """
    return float((unit.mean(axis=0) ** 2).sum()) >= 1 - _STRANGE


def _merged(
    labels: NDArray[np.int64], graph: csr_array, min_samples: int, epsilon: float
) -> NDArray[np.int64]:
    """Return the labels, clusters nearer than epsilon and what lies between them made one. [N].

    scikit-learn's own (1.9) ends in a TypeError with NumPy 2.4 as soon as two are to be one.
    """
    from scipy.sparse import coo_array, csgraph

    starts = np.asarray(graph.indptr)
    core = np.full(len(starts) - 1, np.inf)
    for point, (first, end) in enumerate(pairwise(starts.tolist())):
        others = graph.data[first:end]
        if len(others) >= min_samples:
            core[point] = np.partition(others, min_samples - 1)[min_samples - 1]
    edges = graph.tocoo()
    row, column = edges.coords
    near = np.maximum(edges.data, np.maximum(core[row], core[column])) <= epsilon
    linked = coo_array((np.ones(near.sum()), (row[near], column[near])), shape=graph.shape)
    part = csgraph.connected_components(linked.tocsr(), directed=False)[1]
    # Clusters and parts are tied by the points that are in both.
    there, clusters = labels >= 0, int(labels.max(initial=-1)) + 1
    count = clusters + int(part.max()) + 1
    ties = coo_array(
        (np.ones(there.sum()), (labels[there], clusters + part[there])), shape=(count, count)
    )
    group = csgraph.connected_components(ties.tocsr(), directed=False)[1]
    sizes = np.bincount(group[:clusters], minlength=group.max() + 1)
    of_point = np.where(there, group[labels], group[clusters + part])
    merged = np.where(there | (sizes[of_point] > 1), of_point, -1)
    return merged


def _without_strangers(labels: NDArray[np.int64], graph: csr_array) -> NDArray[np.int64]:
    """Return the labels, -1 for those who are like nobody else of their cluster. [N]."""
    edges = graph.tocoo()
    row, column = edges.coords
    same = (labels[row] == labels[column]) & (labels[row] >= 0)
    nearest = np.full(len(labels), np.inf)
    np.minimum.at(nearest, row[same], edges.data[same])
    return np.where(nearest <= _STRANGE, labels, -1)


def _graph(unit: NDArray[np.float32], neighbours: int) -> csr_array:
    """Return distances of each point to its nearest, both ways, in one piece. [N, N]."""
    from scipy.sparse import coo_array, csgraph

    count = len(unit)
    near = min(neighbours, count - 1)
    columns = np.empty((count, near), np.int32)
    values = np.empty((count, near), np.float32)
    for start in range(0, count, _BLOCK):
        these = unit[start : start + _BLOCK] @ unit.T
        rows = np.arange(len(these))
        these[rows, start + rows] = -np.inf  # not itself
        chosen = np.argpartition(-these, near - 1, axis=1)[:, :near]
        columns[start : start + _BLOCK] = chosen
        values[start : start + _BLOCK] = np.take_along_axis(these, chosen, axis=1)
    # A distance of 0 would be no edge.
    distances = np.maximum(1 - values.ravel().astype(np.float64), 1e-9)
    edges = np.repeat(np.arange(count), near), columns.ravel()
    graph = coo_array((distances, edges), shape=(count, count)).tocsr()
    graph = graph.maximum(graph.T)
    parts, part = csgraph.connected_components(graph, directed=False)
    if parts > 1:
        first = np.unique(part, return_index=True)[1]
        ties = np.full(parts - 1, _FARTHEST)
        tied = coo_array((ties, (first[:-1], first[1:])), shape=graph.shape).tocsr()
        graph = graph.maximum(tied).maximum(tied.T)
    return graph.tocsr()


def _points(
    table: str | Path, found: NDArray[np.int64], unit: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the vectors of single faces and of tracks, and which of them each face belongs to."""
    there = column_names(table)
    if "path" not in there or "track_id" not in there:
        return unit, np.arange(len(unit))
    rows = read_columns(table, ["path", "track_id"]).take(pa.array(found))
    paths = rows.column("path").combine_chunks().dictionary_encode().indices.to_numpy()
    tracks = rows.column("track_id").fill_null(-1).to_numpy().astype(np.int64)
    # A face without a track is a point of its own.
    keys = np.stack([paths, tracks, np.where(tracks < 0, np.arange(len(unit)), -1)], axis=1)
    point_of = np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1)
    sums = np.zeros((point_of.max() + 1, unit.shape[1]))
    np.add.at(sums, point_of, unit)
    return centred(sums, 0.0), point_of


def _by_size(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return clusters by number, the largest first. [N]."""
    there = labels[labels >= 0]
    if not len(there):
        return labels
    names, counts = np.unique(there, return_counts=True)
    order = np.empty(len(names), np.int64)
    order[np.argsort(-counts, kind="stable")] = np.arange(len(names))
    return np.where(labels < 0, -1, order[np.searchsorted(names, labels.clip(0))])


def _write(table: str | Path, out: Path, names: NDArray[np.int64], *, overwrite: bool) -> None:
    """Write the table and who is who, a row group at a time."""
    texts = _texts(names)
    with open_table(Path(table)) as file, replacing(out, overwrite=overwrite) as unfinished:
        # No run of `embed` would give this table.
        metadata = (file.schema_arrow.metadata or {}) | {b"mien.job": b""}
        schema = file.schema_arrow.append(pa.field("person", pa.string())).with_metadata(metadata)
        suffix = out.suffix.lower()
        parquet = unfinished if suffix == ".parquet" else unfinished.with_suffix(".parquet")
        try:
            start = 0
            with open_writer(parquet, schema) as writer:
                for number in range(file.num_row_groups):
                    group = file.read_row_group(number)
                    column = pa.array(texts[start : start + len(group)], pa.string())
                    columns = [*group.columns, column]
                    writer.write_table(pa.Table.from_arrays(columns, schema=schema))
                    start += len(group)
            if parquet != unfinished:
                convert(parquet, unfinished, suffix)
        finally:
            if parquet != unfinished:
                parquet.unlink(missing_ok=True)


def _texts(names: NDArray[np.int64]) -> Sequence[str | None]:
    width = len(str(int(names.max(initial=0)) + 1))
    return [None if name < 0 else f"person {name + 1:0{width}}" for name in names.tolist()]
