"""Noise levels and DDIM, against closed forms and an independent scheduler."""

import pytest
import torch

from mien.latentface.diffusion import (
    STEPS,
    add_noise,
    alpha_bar,
    ddim_sample,
    ddim_timesteps,
    loss_weight,
)


def test_five_steps_visit_the_papers_levels() -> None:
    assert ddim_timesteps(5) == [800, 600, 400, 200, 0]


def test_noise_keeps_unit_variance() -> None:
    generator = torch.Generator().manual_seed(0)
    clean = torch.randn(20000, 4, generator=generator)
    noise = torch.randn(20000, 4, generator=generator)
    t = torch.randint(STEPS, (20000,), generator=generator)
    assert add_noise(clean, noise, t).var().item() == pytest.approx(1.0, abs=0.02)


def test_an_exact_denoiser_is_given_back() -> None:
    generator = torch.Generator().manual_seed(0)
    clean = torch.randn(3, 8, generator=generator) * 5  # far outside [-1, 1]: nothing is clipped
    noise = torch.randn(3, 8, generator=generator)
    found = ddim_sample(lambda x, t: clean, noise, 5)
    torch.testing.assert_close(found, clean)


def test_sampling_agrees_with_diffusers() -> None:
    diffusers = pytest.importorskip("diffusers")
    scheduler = diffusers.DDIMScheduler(
        num_train_timesteps=STEPS,
        beta_start=1e-4,
        beta_end=0.02,
        beta_schedule="linear",
        prediction_type="sample",
        clip_sample=False,
        set_alpha_to_one=True,
        steps_offset=0,
    )
    scheduler.set_timesteps(5)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(4, 8, generator=generator)
    mixing = 0.3 * torch.randn(8, 8, generator=generator)

    def predict(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return torch.tanh(x @ mixing) * (1 + t[:, None] / STEPS)

    x = noise
    for t in scheduler.timesteps:
        clean = predict(x, torch.full((4,), int(t)))
        x = scheduler.step(clean, t, x, eta=0.0).prev_sample
    torch.testing.assert_close(ddim_sample(predict, noise, 5), x)


def test_gaussian_data_is_sampled_with_its_std() -> None:
    """For x_0 ~ N(m, s²), the exact denoiser is linear and many DDIM steps give the law back."""
    mean, std = 2.0, 0.5
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(20000, 1, generator=generator)
    levels = alpha_bar()

    def predict(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        a = levels[t][:, None]
        gain = a.sqrt() * std**2 / (a * std**2 + 1 - a)
        return mean + gain * (x - a.sqrt() * mean)

    found = ddim_sample(predict, noise, 500)
    assert found.mean().item() == pytest.approx(mean, abs=0.02)
    assert found.std().item() == pytest.approx(std, abs=0.02)


def test_weights() -> None:
    t = torch.tensor([0, 500, 999])
    level = alpha_bar()[t]
    snr = level / (1 - level)
    torch.testing.assert_close(loss_weight(t, "constant"), torch.ones(3))
    torch.testing.assert_close(loss_weight(t, "snr"), snr)
    torch.testing.assert_close(loss_weight(t, "min_snr"), snr.clamp(max=5) / 5)
    torch.testing.assert_close(loss_weight(t, "max_snr"), snr.clamp(1, 5))
    with pytest.raises(ValueError, match="weighting"):
        loss_weight(t, "other")
