"""Smooth stand-ins for the kinks of ReLU and max pooling, across which no difference quotient means anything."""

import pytest
import torch.nn.functional as F


@pytest.fixture
def smooth(monkeypatch):
    monkeypatch.setattr(F, "relu", lambda x, inplace=False: F.softplus(x))
    monkeypatch.setattr(F, "max_pool2d", lambda x, size, *_, **__: F.avg_pool2d(x, size))
