"""Muon for the hidden weight matrices, AdamW for everything else.

Muon (K. Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/): the momentum of a weight matrix is replaced by the
nearest semi-orthogonal matrix, found by a quintic Newton-Schulz iteration; scaled as in Moonlight (Liu et al. 2025, arXiv:2502.16982)
so that one learning rate serves both optimisers. README.md has the measurement that chose it over AdamW."""

import torch

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # coefficients of Jordan et al., singular values end in about [0.7, 1.2]


def orthogonalize(matrix: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """The approximate polar factor of a 2-d tensor. In bfloat16: the iteration forgives its rounding."""
    a, b, c = NEWTON_SCHULZ
    x = (matrix / (matrix.norm() + 1e-7)).bfloat16()
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    x = x.contiguous()
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.T if tall else x).to(matrix.dtype)


class Muon(torch.optim.Optimizer):
    """Convolution kernels are taken as out x (in * kh * kw) matrices."""

    def __init__(self, params, lr: float, momentum: float = 0.95, weight_decay: float = 0.0):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                buffer = self.state[p].setdefault("momentum", torch.zeros_like(p))
                buffer.lerp_(p.grad, 1 - group["momentum"])
                update = p.grad.lerp(buffer, group["momentum"]).reshape(len(p), -1)  # Nesterov
                update = orthogonalize(update).view(p.shape)
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(update, alpha=-group["lr"] * 0.2 * max(len(p), p[0].numel()) ** 0.5)


class Trainer:
    """Parameters, their two optimisers, a running average of the weights, and the learning-rate schedule."""

    def __init__(self, named, *, lr: float, adam_lr: float, total: int, plain: tuple[str, ...], decay: float = 0.3, average: float = 0.999, weight_decay: float = 0.0):
        """`plain`: name parts that keep AdamW even if they are matrices (embeddings, the first and last layers).
        `decay`: the last share of `total` steps, over which the rate falls linearly to 1 %."""
        self.named = dict(named)
        hidden = {n: p for n, p in self.named.items() if p.ndim >= 2 and not any(part in n for part in plain)}
        rest = [p for n, p in self.named.items() if n not in hidden]
        self.muon = Muon(hidden.values(), lr, weight_decay=weight_decay)
        self.adam = torch.optim.AdamW(rest, lr=adam_lr, betas=(0.9, 0.99), weight_decay=0.0)
        self.rates = (lr, adam_lr)
        self.total, self.decay, self.average = total, decay, average
        self.ema = {n: p.detach().clone() for n, p in self.named.items()}

    def rate(self, step: int) -> float:
        left = (self.total - step) / max(1, self.total * self.decay)
        return min(1.0, (step + 1) / 100) * min(1.0, max(0.01, left))

    def step(self, step: int, clip: float = 1.0) -> float:
        """One update from the gradients that are there; returns their norm before clipping."""
        for optimizer, base in zip((self.muon, self.adam), self.rates):
            for group in optimizer.param_groups:
                group["lr"] = base * self.rate(step)
        params = list(self.named.values())
        norm = torch.nn.utils.clip_grad_norm_(params, clip).item()
        if norm == norm:  # a NaN gradient is skipped, not learned
            self.muon.step()
            self.adam.step()
        weight = 1 - min(self.average, (step + 1) / (step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.ema.values()), params, weight)
        self.muon.zero_grad()
        self.adam.zero_grad()
        return norm

    def swap(self):
        """Exchanges the weights with their running average; called in pairs around evaluation."""
        with torch.no_grad():
            for name, p in self.named.items():
                kept = p.clone()
                p.copy_(self.ema[name])
                self.ema[name].copy_(kept)

    def state(self) -> dict:
        return {"weights": {n: p.detach() for n, p in self.named.items()}, "ema": self.ema, "muon": self.muon.state_dict(), "adam": self.adam.state_dict()}

    def start_from(self, weights: dict):
        """Begins at the weights of another run, with fresh optimiser state."""
        with torch.no_grad():
            for name, p in self.named.items():
                p.copy_(weights[name])
                self.ema[name].copy_(weights[name])

    def load(self, state: dict):
        with torch.no_grad():
            for name, p in self.named.items():
                p.copy_(state["weights"][name])
                self.ema[name].copy_(state["ema"][name])
        self.muon.load_state_dict(state["muon"])
        self.adam.load_state_dict(state["adam"])
