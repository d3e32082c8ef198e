"""Checks of the recipe that need no long training.  usage: test_recipe.py PORTRAITS   (a minute on one core)"""

import random
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from autoencoder import build, normalize_latents, reconstruct
from captions import caption, parts
from optimizer import orthogonalize
from portraits import Portraits
from run import STOPPED

PORTRAITS = Path(sys.argv[1])


def resuming_changes_nothing():
    """6 steps at a go and 3 + 3 steps after a SIGTERM give the same checkpoint, bit for bit."""
    here = Path(__file__).parent
    code = "import signal, os, sys, train_vae as t; t.HELDOUT, t.LOG_EVERY = 2, 1; stop = int(sys.argv.pop(1)); t.reconstruction_loss = (lambda f, n=[0]: lambda y, x: (n.__setitem__(0, n[0] + 1), os.kill(os.getpid(), signal.SIGTERM) if n[0] == stop else None, f(y, x))[2])(t.reconstruction_loss); t.main()"
    with tempfile.TemporaryDirectory() as scratch:
        def go(name: str, stop: int):
            done = subprocess.run([sys.executable, "-c", code, str(stop), str(PORTRAITS), f"{scratch}/{name}", "--steps", "6", "--channels", "16", "16", "32", "32", "--batch", "4"], cwd=here)
            assert done.returncode == (STOPPED if stop else 0), done.returncode
        go("once", 0)
        go("twice", 3)
        middle = torch.load(f"{scratch}/twice/checkpoint.pt", weights_only=True)
        assert middle["step"] == 3, middle["step"]
        go("twice", 0)
        once, twice = (torch.load(f"{scratch}/{n}/checkpoint.pt", weights_only=True)["trainer"] for n in ("once", "twice"))
        for kind in ("weights", "ema"):
            for name, value in once[kind].items():
                assert torch.equal(value, twice[kind][name]), f"{kind} {name} differs after a resume"
                assert not torch.equal(value, middle["trainer"][kind][name]) or "to_k.bias" in name, f"{kind} {name} did not move after the resume"


def normalising_latents_keeps_pictures():
    torch.manual_seed(0)
    vae = build((16, 16, 32, 32), 1)
    x = Portraits(PORTRAITS).crops(0, 0, 8, 128)
    with torch.no_grad():
        before, spread = reconstruct(vae, x), vae.encode(x).latent_dist.std
        normalize_latents(vae, x)
        after, z = reconstruct(vae, x), vae.encode(x).latent_dist
    assert (before - after).abs().max() < 1e-4
    assert z.mean.mean((0, 2, 3)).abs().max() < 1e-3 and (z.mean.std((0, 2, 3)) - 1).abs().max() < 1e-3
    assert not torch.allclose(z.std, spread)


def orthogonalised_is_near_orthogonal():
    torch.manual_seed(0)
    for shape in ((64, 300), (300, 64)):
        s = torch.linalg.svdvals(orthogonalize(torch.randn(shape)).float())
        assert 0.6 < s.min() and s.max() < 1.3, (s.min(), s.max())


def captions_say_only_what_is_there():
    rng = random.Random(0)
    for a in Portraits(PORTRAITS).attributes()[:3000]:
        text = caption(a, rng, keep=1.0)
        assert text and "{" not in text and "  " not in text and "none" not in text, text
        if a["kind"] != "person":
            assert "skin" not in text and "beard" not in text, text
        assert len(parts(a, rng)) >= 1 or a["style"] == "black and white drawing", a


for check in (orthogonalised_is_near_orthogonal, captions_say_only_what_is_there, normalising_latents_keeps_pictures, resuming_changes_nothing):
    check()
    print(f"ok  {check.__name__}", flush=True)
