#!/bin/sh
# One would guess: torch.median(x, dim) of a tensor that expand made is the median of the elements
# that indexing x shows: along the expanded dimension all are one element, and that is the median.
# What happens: on the CPU, median and nanmedian along a dimension of stride 0 take, from each
# element on, the n elements that stand one after another in the storage, n being the size of the
# dimension: values that are not of that place, or of no place of x, without a word. The indices
# are those of the wrong elements. It is so for any number of dimensions, whichever is expanded,
# integers and floats. Right are: medians along a dimension that is not expanded, median() without
# a dimension, kthvalue, quantile, sort, min, and x.contiguous().median(dim).
# Why: the kernel walks elements one apart, and makes a copy where the stride is greater than 1; a
# stride of 0 is neither (aten/src/ATen/native/Sorting.cpp, median_with_indices_impl).
# Versions: torch 2.13.0 (CPU), Python 3.11, Linux x86-64.
# Source: this script.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
"$place/venv/bin/python" - <<'PYTHON'
import torch

torch.set_num_threads(1)


def expanded(storage, shape, dim, n):
    """The first elements of `storage` as `shape`, n times along a new dimension `dim`."""
    count = torch.Size(shape).numel()
    assert count + n <= len(storage), "what follows in the storage belongs to it"
    first = storage[:count].view(shape)
    return first, first.unsqueeze(dim).expand(*shape[:dim], n, *shape[dim:])


counted = torch.arange(8.0)
_, x = expanded(counted, (4,), 0, 3)
print(f"x: three rows of {x[0].tolist()}; its storage goes on to {counted.tolist()[-1]}")
for name, found in (
    ("x.median(dim=0)", x.median(dim=0).values),
    ("x.nanmedian(dim=0)", x.nanmedian(dim=0).values),
    ("x.contiguous().median(dim=0)", x.contiguous().median(dim=0).values),
    ("x.kthvalue(2, dim=0)", x.kthvalue(2, dim=0).values),
    ("x.quantile(0.5, dim=0)", x.quantile(0.5, dim=0)),
):
    print(f"  {name}: {found.tolist()}")
assert x.median(dim=0).values.tolist() == [1, 2, 3, 4], "the medians are right now: changed"

generator = torch.Generator().manual_seed(0)
drawn = torch.rand(1000, generator=generator)
cases = 0
for storage in (drawn, drawn.double(), drawn.half(), (drawn * 1000).int(), (drawn * 1000).long()):
    for shape, n in (((4,), 2), ((4,), 3), ((6, 5), 4), ((2, 3, 4), 5)):
        for dim in range(len(shape) + 1):
            first, x = expanded(storage, shape, dim, n)
            follow = storage.unfold(0, n, 1)[: first.numel()].clone()  # n one after another
            for median in (torch.median, torch.nanmedian):
                values, indices = median(x, dim=dim)
                other = median(follow, dim=1)
                assert not torch.equal(values, first), "the medians are right now: changed"
                assert torch.equal(values, other.values.view(shape)), "other elements: changed"
                assert torch.equal(indices, other.indices.view(shape)), "other indices: changed"
                assert torch.equal(median(x.contiguous(), dim=dim).values, first)
                cases += 1
            along = (dim + 1) % x.ndim  # a dimension that is not expanded
            assert torch.equal(x.median(dim=along).values, x.contiguous().median(dim=along).values)
            assert torch.equal(x.median(), x.contiguous().median())
            assert torch.equal(x.kthvalue((n + 1) // 2, dim=dim).values, first)
            assert torch.equal(x.sort(dim=dim).values, x)
            assert torch.equal(x.min(dim=dim).values, first)
            if storage.dtype in (torch.float32, torch.float64):
                assert torch.equal(x.quantile(0.5, dim=dim), first)
print(f"{cases} more: median and nanmedian are of what follows in the storage, all others right")
print("as found: the median along an expanded dimension is of other elements")
PYTHON
