"""False matches by group, among photographs of which no two show one person.

Run: python -m benchmarks.false_matches --faces faces.csv --groups age gender race [--weights W]

faces.csv: `path` of crops with room (benchmarks/photographs.py) and the columns of --groups. One
threshold for all: the similarity that one in a hundred of all pairs reaches. A group's false match
rate is that of pairs within it, as people who look alike in a folder would be mixed up.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from benchmarks.photographs import encoded, read_list, read_photographs, without_room
from numpy.typing import NDArray

from mien.linear.verification import unit_rows
from mien.model import load

RATE = 0.01
LEAST = 100
"""Photographs below which a group is not told."""


def similarities(unit: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the cosines of all pairs of rows. [N (N - 1) / 2]."""
    return (unit @ unit.T)[np.triu_indices(len(unit), 1)]


def main() -> None:
    """Print a row a group."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--groups", nargs="+", required=True)
    parser.add_argument("--weights", default=None)
    parser.add_argument("--number", type=int, default=6000)
    given = parser.parse_args()
    table = read_list(given.faces, tuple(given.groups))
    rows = np.sort(np.random.default_rng(0).permutation(len(table))[: given.number])
    table = table.iloc[rows].reset_index(drop=True)
    crops = without_room(read_photographs(given.faces.parent, table))
    codes = encoded(load(given.weights), crops).face_embedding.numpy().astype(np.float64)
    unit = unit_rows(codes=codes, mean=codes.mean(axis=0))
    threshold = np.quantile(similarities(unit), 1 - RATE)
    print(f"{len(table)} photographs; threshold {threshold:.3f}")
    print("| group | | photographs | false match rate within |")
    for group in given.groups:
        for value, chosen in table.groupby(group).groups.items():
            if len(chosen) >= LEAST:
                rate = (similarities(unit[list(chosen)]) >= threshold).mean()
                print(f"| {group} | {value} | {len(chosen)} | {rate:.1%} |", flush=True)


if __name__ == "__main__":
    main()
