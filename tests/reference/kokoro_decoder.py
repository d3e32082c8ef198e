"""Makes tests/reference/kokoro_decoder.safetensors: what PyTorch makes of Kokoro's decoder, values and gradients.

    python3 tests/reference/kokoro_decoder.py WEIGHTS SOURCE

WEIGHTS is the safetensors file that `spinbot models pull kokoro` makes, SOURCE the unpacked wheel of PyPI `kokoro`
0.9.4 (Apache-2.0), whose istftnet.py is the reference. Needs torch, scipy and safetensors. Twelve frames: the text
features of a few phonemes by the model's own text encoder, a gliding pitch with an unvoiced gap, no noise.

Of each intermediate every STRIDE-th value is kept, time-major. The gradients are of the sum of squares of the audio
by the style and by rank-2 adapters whose numbers follow a formula (`wave`), so that they need not be stored.
"""

import math
import os
import sys
import types

os.environ["OMP_NUM_THREADS"] = "1"
weights_file, source = sys.argv[1:3]
# The package's own start-up and its BERT need libraries that the decoder does not.
package = types.ModuleType("kokoro")
package.__path__ = [os.path.join(source, "kokoro")]
sys.modules["kokoro"] = package
for module, names in {"transformers": ["AlbertModel"], "attr": ["attr"], "loguru": ["logger"]}.items():
    sys.modules.setdefault(module, types.ModuleType(module)).__dict__.update(dict.fromkeys(names, object))

import torch  # noqa: E402
from kokoro.istftnet import Decoder  # noqa: E402
from kokoro.modules import TextEncoder  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from torch.nn.utils import parametrize, remove_weight_norm  # noqa: E402

torch.set_num_threads(1)
STRIDE = {"source": 5, "encode": 13, "decode": 7, "noise_res 0": 61, "ups 0": 61, "noise_res 1": 181, "ups 1": 181, "conv_post": 31}
RANK, FRAMES = 2, 12


def wave(shape, seed, spread):
    count = math.prod(shape)
    places = torch.arange(count, dtype=torch.float64)
    return (spread * torch.sin(places * 0.7391 + seed)).float().reshape(shape)


def load(module, prefix):
    for part in module.modules():
        if hasattr(part, "weight_g"):
            remove_weight_norm(part)
    tensors = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
    result = module.load_state_dict(tensors, strict=False)
    missing = [k for k in result.missing_keys if ".norm." not in k]
    assert not missing and not result.unexpected_keys, (missing, result.unexpected_keys)
    return module.eval().requires_grad_(False)


weights = load_file(weights_file)
text = load(TextEncoder(channels=512, kernel_size=5, depth=3, n_symbols=178), "text_encoder.")
decoder = load(
    Decoder(
        dim_in=512,
        style_dim=128,
        dim_out=80,
        resblock_kernel_sizes=[3, 7, 11],
        upsample_rates=[10, 6],
        upsample_initial_channel=512,
        resblock_dilation_sizes=[[1, 3, 5]] * 3,
        upsample_kernel_sizes=[20, 12],
        gen_istft_n_fft=20,
        gen_istft_hop_size=5,
    ),
    "decoder.",
)
generator = decoder.generator

tokens = torch.tensor([[0, 50, 83, 54, 156, 57, 0]])
encoded = text(tokens, torch.tensor([tokens.shape[1]]), torch.zeros_like(tokens, dtype=torch.bool))
spans = torch.tensor([1, 2, 2, 1, 3, 2, 1])
asr = encoded[:, :, torch.repeat_interleave(torch.arange(len(spans)), spans)]
steps = torch.arange(2 * FRAMES)
f0 = 118 + 3.5 * steps + 9 * torch.sin(steps * 0.9)
f0[9:13] = 0
energy = 1.5 + torch.sin(steps * 0.31)
style = wave([128], 0.3, 0.18).requires_grad_(True)

out = {"asr": asr[0].T.contiguous(), "f0": f0, "energy": energy, "style": style.detach()}
keep = lambda name: lambda _module, _input, result: out.__setitem__(name, result.detach()[0].T.contiguous())  # noqa: E731
hooks = {
    "encode": decoder.encode,
    "decode": decoder.decode[3],
    "noise_res 0": generator.noise_res[0],
    "ups 0": generator.ups[0],
    "noise_res 1": generator.noise_res[1],
    "ups 1": generator.ups[1],
    "conv_post": generator.conv_post,
}
hooks = [module.register_forward_hook(keep(name)) for name, module in hooks.items()]
transform = generator.stft.transform


def analyse(signal):
    magnitude, angle = transform(signal)
    out["source"] = signal[0]
    out["har"] = torch.cat([magnitude, angle], 1)[0].T.contiguous()
    return magnitude, angle


generator.stft.transform = analyse
torch.randn_like = torch.zeros_like


def speak():
    return decoder(asr, f0[None], energy[None], style[None]).squeeze()


out["audio"] = speak().detach()
generator.stft.transform = transform
for hook in hooks:
    hook.remove()
for name, stride in STRIDE.items():
    out[name] = out[name].flatten()[::stride].clone()

loss = speak().square().sum()
out["style gradient"] = torch.autograd.grad(loss, style)[0]
out["loss"] = loss.detach().reshape(1)


class LowRank(torch.nn.Module):
    def __init__(self, weight, seed):
        super().__init__()
        outputs, inputs, taps = weight.shape
        self.shape = weight.shape
        self.down = torch.nn.Parameter(wave([RANK, inputs * taps], seed, 0.5 / math.sqrt(inputs * taps)))
        self.up = torch.nn.Parameter(wave([outputs, RANK], seed + 1, 0.05))

    def forward(self, weight):
        return weight + (self.up @ self.down).view(self.shape)


variables = {}
for name, module in list(decoder.named_modules()):
    if isinstance(module, torch.nn.Conv1d) and module.weight.numel() > 4096 and "noise_convs" not in name:
        adapter = LowRank(module.weight, len(variables))
        variables[f"decoder.{name}.down"] = adapter.down
        variables[f"decoder.{name}.up"] = adapter.up
        parametrize.register_parametrization(module, "weight", adapter, unsafe=True)
for name, parameter in decoder.named_parameters():
    if name.endswith("fc.bias"):
        parameter.data += wave(parameter.shape, len(variables), 0.05)
        parameter.requires_grad_(True)
        variables[f"decoder.{name.removesuffix('.fc.bias')}.offset"] = parameter
audio = speak()
out["adapted audio"] = audio.detach()[::7].clone()
grads = torch.autograd.grad(audio.square().sum(), [style, *variables.values()])
out["adapted style gradient"] = grads[0]
for seed, (name, grad) in enumerate(zip(variables, grads[1:], strict=True)):
    # Seeds of the formula: a convolution's B comes right after its A.
    stride = grad.numel() // 24 + 1
    out[f"gradient {seed} {name}"] = grad.flatten()[::stride].clone()
    out[f"norm {name}"] = grad.norm().reshape(1)

target = os.path.join(os.path.dirname(__file__), "kokoro_decoder.safetensors")
save_file({name: value.float().contiguous() for name, value in out.items()}, target)
print(os.path.getsize(target), "bytes,", len(variables), "variables")
