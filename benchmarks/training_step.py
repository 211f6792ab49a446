"""Speed of one stage-1 training step, everything in: loss, backward pass, optimiser.

Run: python -m benchmarks.training_step [--batch-size 48] [--steps 20] [--device cpu]

Prints images a second of the `small` configuration in bfloat16 and float32, and their ratio, all
measured in one run on made-up images.
"""

from __future__ import annotations

import argparse
import time

import torch

from mien.latentface.autoencoder import Autoencoder
from mien.latentface.config import ModelConfig
from mien.latentface.stage1 import Stage1Weights, stage1_loss
from mien.train.process import keep_freed_memory


def images_per_second(batch_size: int, steps: int, device: str, *, bf16: bool) -> float:
    """Return the rate of `steps` steps after three, or as many, to warm up."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(batch_size, 3, 64, 64, generator=generator).to(device)
    images = images.contiguous(memory_format=torch.channels_last)
    clip = torch.arange(batch_size, device=device) // 2
    model = Autoencoder(ModelConfig()).to(device)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, betas=(0.9, 0.99))

    def step() -> None:
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=bf16):
            loss = stage1_loss(model, images, images, clip, Stage1Weights())
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()

    for _ in range(min(3, steps)):
        step()
    start = time.perf_counter()
    for _ in range(steps):
        step()
    if device != "cpu":
        torch.cuda.synchronize()
    return batch_size * steps / (time.perf_counter() - start)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch-size", type=int, default=48)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    keep_freed_memory()
    half = images_per_second(given.batch_size, given.steps, given.device, bf16=True)
    full = images_per_second(given.batch_size, given.steps, given.device, bf16=False)
    print(f"bfloat16: {half:.0f} images/s  float32: {full:.0f} images/s  ratio {half / full:.2f}")


if __name__ == "__main__":
    main()
