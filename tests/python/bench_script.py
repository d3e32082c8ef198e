"""The language model beside llama.cpp, taking turns in one run on the same GGUF file.

    cargo xtask bench script [--threads 1 2] [--turns 5]

Prints tokens a second of either side, reading a prompt and writing an answer, in the best of the turns. SpinBot's answers are
held to a JSON schema while they are written, llama.cpp's (PyPI xllamacpp) are free.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys

TOKENS = 200
BAR = 0.8
"""What SpinBot must write of llama.cpp's tokens a second."""


def prompt(turn):
    """Another beginning each time: neither may remember the last one."""
    return f"{turn} times: write a long text about octopuses, " + "their hearts and arms and eyes, " * 36


def peer(path, threads, turns):
    """llama.cpp's tokens a second, reading and writing; in a process of its own, as its threads spin."""
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = path
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads
    parameters.n_ctx, parameters.n_parallel, parameters.warmup = 2048, 1, True
    server = xllamacpp.Server(parameters)
    for turn in range(turns):
        sys.stdin.readline()
        text = f"<|im_start|>user\n{prompt(turn)}<|im_end|>\n<|im_start|>assistant\n"
        answer = server.handle_completions(
            {"prompt": text, "n_predict": TOKENS, "ignore_eos": True, "temperature": 0, "cache_prompt": False}
        )
        answer = answer[-1] if isinstance(answer, tuple) else answer
        answer = json.loads(answer) if isinstance(answer, (str, bytes)) else answer
        times = answer["timings"]
        print("TIMES", times["prompt_per_second"], times["predicted_per_second"], flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help="the built example `language_speed`")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--peer", nargs=2, metavar=("FILE", "THREADS"), help="be llama.cpp, for the other process")
    args = parser.parse_args()
    if args.peer:
        peer(args.peer[0], int(args.peer[1]), args.turns)
        return
    file = pathlib.Path(os.environ["SPINBOT_CACHE"], "models/smollm2/smollm2.gguf")
    verdicts = []
    for threads in args.threads:
        own = subprocess.Popen(
            [args.program, file, str(TOKENS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "RAYON_NUM_THREADS": str(threads)},
        )
        other = subprocess.Popen(
            [sys.executable, __file__, "--program", "-", "--turns", str(args.turns), "--peer", str(file), str(threads)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )
        rates = {"own": [], "llama.cpp": []}
        for turn in range(args.turns):
            own.stdin.write(prompt(turn) + "\n")
            own.stdin.flush()
            read, reading, wrote, writing, memory = map(float, own.stdout.readline().split())
            rates["own"].append((read / reading, wrote / writing))
            other.stdin.write("\n")
            other.stdin.flush()
            line = next(line for line in other.stdout if line.startswith("TIMES"))
            rates["llama.cpp"].append(tuple(map(float, line.split()[1:])))
        own.stdin.close()
        other.stdin.close()
        own.wait()
        other.wait()
        for at, what in enumerate(("reading", "writing")):
            ours, theirs = (max(rate[at] for rate in rates[side]) for side in ("own", "llama.cpp"))
            print(f"{what} {threads} threads: own {ours:6.0f} tokens/s, llama.cpp {theirs:6.0f} tokens/s, ratio {ours / theirs:.2f}", flush=True)
        verdicts.append(f"writing {threads} threads: {ours / theirs:.2f} >= {BAR}  {'holds' if ours / theirs >= BAR else 'MISSED'}")
        print(f"peak memory of ours: {memory:.0f} MB", flush=True)
    print("\nwhat must hold", *verdicts, sep="\n  ")


if __name__ == "__main__":
    main()
