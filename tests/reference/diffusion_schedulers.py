"""Reference numbers of the schedulers: diffusers 0.42.1.

    python tests/reference/diffusion_schedulers.py

writes diffusion_schedulers.json beside this file. For each scheduler, prediction type, spacing and variant: the
timesteps, the sigmas and every sample of a ten-step run in which the network is a fixed linear function of what it
is given, from pure noise and from a picture at half strength. Noise is a sine of its place, so that no generator has
to agree.
"""
import importlib, itertools, json
from pathlib import Path

import diffusers
import torch

HERE = Path(__file__).parent
STEPS, SIZE = 10, 4
torch.set_num_threads(1)
STABLE = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")


def wave(seed):
    place = torch.arange(SIZE, dtype=torch.float64) + 1
    return (1.4 * torch.sin(seed * 7.1 + place * 12.9898)).float().reshape(1, 1, 2, 2)


def network(given, timestep):
    return 0.3 * given - 0.1 * float(timestep) / 1000 + 0.2 * wave(100)


def cases():
    spacings = ["leading", "trailing", "linspace"]
    predictions = ["epsilon", "v_prediction", "sample"]
    variants = {
        "DDIMScheduler": [
            dict(STABLE, set_alpha_to_one=False, clip_sample=False, steps_offset=1),
            dict(beta_schedule="squaredcos_cap_v2"),
        ],
        "EulerDiscreteScheduler": [
            dict(STABLE, steps_offset=1),
            dict(STABLE, use_karras_sigmas=True),
            dict(use_exponential_sigmas=True, final_sigmas_type="sigma_min"),
            dict(STABLE, use_karras_sigmas=True, sigma_min=0.1, sigma_max=12.0),
        ],
        "EulerAncestralDiscreteScheduler": [dict(STABLE, steps_offset=1)],
        "DPMSolverMultistepScheduler": [
            dict(STABLE, steps_offset=1),
            dict(STABLE, use_karras_sigmas=True),
            dict(STABLE, solver_type="heun", final_sigmas_type="sigma_min", lower_order_final=False),
            dict(STABLE, algorithm_type="sde-dpmsolver++", use_karras_sigmas=True),
            dict(beta_schedule="squaredcos_cap_v2", lambda_min_clipped=-5.1),
        ],
        "LCMScheduler": [dict()],
    }
    for name, configs in variants.items():
        for config, spacing, prediction in itertools.product(configs, spacings, predictions):
            if name == "EulerAncestralDiscreteScheduler" and prediction == "sample":
                continue
            if name == "LCMScheduler" and spacing != "leading":
                continue
            yield name, dict(config, timestep_spacing=spacing, prediction_type=prediction)
        zero = dict(STABLE, prediction_type="v_prediction", rescale_betas_zero_snr=True, timestep_spacing="trailing")
        yield name, zero
    yield "EulerDiscreteScheduler", {}
    yield "DDIMScheduler", dict(num_train_timesteps=40, trained_betas=[0.001 * (i + 1) for i in range(40)])
    yield "DPMSolverMultistepScheduler", dict(STABLE, algorithm_type="sde-dpmsolver++", solver_type="heun")
    yield "DPMSolverMultistepScheduler", dict(STABLE, solver_order=1, euler_at_final=True)
    yield "DPMSolverMultistepScheduler", dict(STABLE, use_exponential_sigmas=True)
    yield "DPMSolverMultistepScheduler", dict(use_karras_sigmas=True, beta_schedule="squaredcos_cap_v2")


def run(name, config, strength):
    scheduler = getattr(diffusers, name)(**config)
    scheduler.set_timesteps(STEPS)
    begin = len(scheduler.timesteps) - int(len(scheduler.timesteps) * strength)
    module = importlib.import_module(type(scheduler).__module__)
    at = [0]
    module.randn_tensor = lambda *a, **k: wave(at[0] + 1)
    timesteps = scheduler.timesteps[begin:]
    if strength == 1:
        sample = wave(0) * scheduler.init_noise_sigma
    else:
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(begin)
        sample = scheduler.add_noise(wave(50), wave(0), timesteps[:1])
    samples = [sample.flatten().tolist()]
    for index, timestep in enumerate(timesteps, begin):
        at[0] = index
        if hasattr(scheduler, "_step_index"):
            # A timestep that two noise levels share would be looked up as the second of them.
            scheduler._step_index = index
        output = network(scheduler.scale_model_input(sample, timestep), timestep)
        sample = scheduler.step(output, timestep, sample).prev_sample
        samples.append(sample.flatten().tolist())
    sigmas = scheduler.sigmas.tolist() if hasattr(scheduler, "sigmas") else []
    return dict(
        timesteps=scheduler.timesteps.tolist(), sigmas=sigmas, init=float(scheduler.init_noise_sigma), samples=samples
    )


def training():
    """add_noise and get_velocity of DDPM, and the signal-to-noise ratios of `compute_snr`."""
    from diffusers.training_utils import compute_snr

    scheduler = diffusers.DDPMScheduler(**STABLE)
    timesteps = torch.tensor([0, 3, 500, 998, 999])
    clean = torch.stack([wave(n)[0] for n in range(5)])
    noise = torch.stack([wave(n + 5)[0] for n in range(5)])
    return dict(
        timesteps=timesteps.tolist(),
        noisy=scheduler.add_noise(clean, noise, timesteps).flatten().tolist(),
        velocity=scheduler.get_velocity(clean, noise, timesteps).flatten().tolist(),
        snr=compute_snr(scheduler, timesteps).tolist(),
    )


def rounded(value):
    if isinstance(value, float):
        return float(f"{value:.8g}")
    if isinstance(value, list):
        return [rounded(v) for v in value]
    return {k: rounded(v) for k, v in value.items()} if isinstance(value, dict) else value


found = []
for name, config in cases():
    whole, half = run(name, config, 1), run(name, config, 0.5)
    found.append(dict(config=dict(_class_name=name, **config), **whole, half=half["samples"]))
text = json.dumps(rounded(dict(cases=found, training=training())), separators=(",", ":"))
(HERE / "diffusion_schedulers.json").write_text(text.replace('{"config"', '\n{"config"') + "\n")
print(len(found), "cases,", len(text), "bytes")
