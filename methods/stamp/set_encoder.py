"""The set encoder maps a set of labelled features, in any order, to one code (docs/design.md, section 7)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

HEADS = 4


class SetAttention(nn.Module):
    """SAB (Lee et al., Set Transformer, arXiv 1810.00825, eq. 8): every element attends to all of its set."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(size, HEADS, batch_first=True)
        self.feed_forward = nn.Linear(size, size)
        self.norms = nn.ModuleList([nn.LayerNorm(size), nn.LayerNorm(size)])

    def forward(self, sets: Tensor, absent: Tensor) -> Tensor:
        """Map sets (B, n, size) to the same shape; `absent` (B, n) is true where a set has no element."""
        attended, _ = self.attention(sets, sets, sets, key_padding_mask=absent, need_weights=False)
        hidden = self.norms[0](sets + attended)
        out: Tensor = self.norms[1](hidden + torch.relu(self.feed_forward(hidden)))
        return out


class AttentionPooling(nn.Module):
    """PMA with one seed (Lee et al., arXiv 1810.00825, eq. 11), which maps a set to one vector."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.seed = nn.Parameter(torch.empty(1, 1, size))
        self.attention = nn.MultiheadAttention(size, HEADS, batch_first=True)
        self.norm = nn.LayerNorm(size)

    def forward(self, sets: Tensor, absent: Tensor) -> Tensor:
        """Map sets (B, n, size) to (B, size); `absent` (B, n) is true where a set has no element."""
        seed = self.seed.expand(len(sets), -1, -1)
        pooled, _ = self.attention(seed, sets, sets, key_padding_mask=absent, need_weights=False)
        out: Tensor = self.norm(seed + pooled)[:, 0]
        return out


class SetEncoder(nn.Module):
    """An encoder that pools features within each class, then across classes, whatever the order of both."""

    def __init__(self, features: int, size: int) -> None:
        super().__init__()
        self.embed = nn.Linear(features, size)
        self.within = nn.ModuleList([SetAttention(size), AttentionPooling(size)])
        self.across = nn.ModuleList([SetAttention(size), AttentionPooling(size)])

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """Map features (n, features), n ≥ 1, and their labels (n,), any int64 values, to a code (size,)."""
        sets, absent = by_class(self.embed(features), labels)
        classes = self.within[1](self.within[0](sets, absent), absent)[None]
        present = torch.zeros(classes.shape[:2], dtype=torch.bool, device=classes.device)
        code: Tensor = self.across[1](self.across[0](classes, present), present)[0]
        return code


def by_class(values: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return rows (n, d) as one padded set per class, (classes present, most, d), and bools that mark the padding."""
    _, index, counts = labels.unique(return_inverse=True, return_counts=True)
    order = index.argsort(stable=True)
    position = torch.empty_like(order)
    position[order] = torch.arange(len(order), device=order.device)
    position -= (counts.cumsum(0) - counts)[index]
    most = int(counts.max())
    sets = values.new_zeros(len(counts), most, values.shape[1]).index_put((index, position), values)
    return sets, torch.arange(most, device=counts.device) >= counts[:, None]
