"""The denoising network beside PyTorch + diffusers + peft, taking turns in one run.

    cargo xtask bench diffusion [tiny embedded mid block] [--threads 1 2] [--turns 9]

Prints the median milliseconds of either side, by the clock and by its threads' processors, for a prediction and for one with
gradients of rank-4 adapters on the attention's projections, and the peak memory of either process. On a machine that others use too,
the processors' time is the one to compare.
"""
import argparse
import json
import os
import resource
import statistics
import subprocess
import tempfile
import time

CROSS_DOWN, CROSS_UP = "CrossAttnDownBlock2D", "CrossAttnUpBlock2D"
FOUR = dict(down_block_types=[CROSS_DOWN] * 3 + ["DownBlock2D"], up_block_types=["UpBlock2D"] + [CROSS_UP] * 3, layers_per_block=2)
CONFIGS = {
    "tiny": dict(sample_size=32, block_out_channels=[32, 64, 128, 128], cross_attention_dim=64, attention_head_dim=4, **FOUR),
    "embedded": dict(sample_size=16, in_channels=8, out_channels=8, layers_per_block=1, block_out_channels=[64, 128, 192], norm_num_groups=16,
        down_block_types=["DownBlock2D", CROSS_DOWN, CROSS_DOWN], up_block_types=[CROSS_UP, CROSS_UP, "UpBlock2D"], cross_attention_dim=128, attention_head_dim=4),
    "mid": dict(sample_size=32, block_out_channels=[64, 128, 256, 256], cross_attention_dim=256, attention_head_dim=8, **FOUR),
    "block": dict(sample_size=32, block_out_channels=[320], cross_attention_dim=768, attention_head_dim=8, layers_per_block=1, down_block_types=[CROSS_DOWN], up_block_types=[CROSS_UP]),
}
TOKENS, BATCH, RANK = 77, 2, 4


BARS = {"tiny": (0.6, 0.6), "embedded": (0.6, 0.6), "mid": (0.9, 1.0), "block": (0.9, 1.0)}
"""What a step of training and a prediction may take of PyTorch's time."""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=list(CONFIGS), help=", ".join(CONFIGS))
    parser.add_argument("--program", required=True, help="the built example `diffusion_speed`")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--set", default="fused", choices=["fused", "stock"])
    args = parser.parse_args()
    verdicts = [verdict for threads in args.threads for name in args.models for verdict in measure(args, name, threads)]
    print("\nwhat must hold, by the processors' time", *verdicts, sep="\n  ")


def measure(args, name, threads):
    """Takes turns on one network; the sentences about what must hold."""
    import torch
    from diffusers import UNet2DConditionModel
    from peft import LoraConfig

    torch.set_num_threads(threads)
    config = CONFIGS[name]
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(config, file)
        file.flush()
        ours = subprocess.Popen(
            [args.program, file.name, args.set, str(RANK), str(BATCH), str(TOKENS)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "RAYON_NUM_THREADS": str(threads)},
        )

        def ask(what):
            ours.stdin.write(what + "\n")
            ours.stdin.flush()
            return [float(number) for number in ours.stdout.readline().split()]

        ask("forward")
    model = UNet2DConditionModel(**config).eval().requires_grad_(False)
    adapted = UNet2DConditionModel(**config).eval().requires_grad_(False)
    adapted.add_adapter(LoraConfig(r=RANK, lora_alpha=RANK, target_modules=["to_q", "to_k", "to_v", "to_out.0"]))
    size = (BATCH, config.get("in_channels", 4), config["sample_size"], config["sample_size"])
    latents, noise, hidden = torch.randn(size), torch.randn(size), torch.randn(BATCH, TOKENS, config["cross_attention_dim"])
    times = torch.full((BATCH,), 500)

    def forward():
        with torch.no_grad():
            model(latents, times, hidden)

    def train():
        adapted.zero_grad()
        (adapted(latents, times, hidden).sample - noise).square().mean().backward()

    def timed(work):
        start, processors = time.perf_counter(), time.process_time()
        work()
        return [(time.perf_counter() - start) * 1e3, (time.process_time() - processors) * 1e3]

    verdicts = []
    for what, theirs, bar in (("train", train, BARS[name][0]), ("forward", forward, BARS[name][1])):
        theirs(), ask(what)
        pairs = [(ask(what), timed(theirs)) for _ in range(args.turns)]
        for clock, kind in enumerate(("clock", "processors")):
            own, other = (statistics.median(pair[side][clock] for pair in pairs) for side in (0, 1))
            print(f"{name:9} {what:8} {threads} threads, {kind:10}: own {own:8.1f} ms, PyTorch {other:8.1f} ms, ratio {own / other:.2f}", flush=True)
        verdicts.append(f"{name:9} {what:8} {threads} threads: {own / other:.2f} <= {bar}  {'holds' if own / other <= bar else 'MISSED'}")
    print(f"{name:9} peak memory: own {ask('memory')[0]:.0f} MB, PyTorch (all networks so far) {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB", flush=True)
    ours.stdin.close()
    ours.wait()
    return verdicts


if __name__ == "__main__":
    main()
