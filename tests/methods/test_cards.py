"""The cards name what differs from official code, and how far the scores agree with it, with figures.

An independent review compared every baseline with the code of its authors. Where a difference is a choice and stays,
the card is the only place that says so, and these words must not be lost when a card is rewritten.
"""

import pytest

from stampbench import registry

SAID = {
    ("grasp", "the authors' batch"): [
        "the images are sorted by class and run in two halves, each with its own batch statistics",
        "**Version 2** has the authors' halves",
        "0.21 (random VGG-19 at 10 % of the weights, CIFAR-10) to 0.63 (trained)",
        "intersection over union of only 0.18 to 0.28",
    ],
    ("grasp", "Synaptic-Flow's GraSP"): ["in eval mode", "rank correlation of -0.02 to 0.15"],
    ("grasp", "agreement"): ["GraSP.py to 7e-15"],
    ("snip", "biases, batch and mode"): [
        "snip-public ranks them among the weights",
        "default batch is 100 images",
        "mil-ad/snip, a port to PyTorch, scores in training mode",
        "Up to 20 % of the scores are exactly 0",
    ],
    ("snip", "agreement"): ["largest relative difference of 9e-15"],
    ("synflow", "rounding"): ["Synaptic-Flow keeps ⌈keep × n⌉", "0.97 at a compression of 10 and by 0.89 at 100"],
    ("synflow", "trained batch norm"): ["rank correlation of 0.97 with ours", "overlap by only 0.13 to 0.36"],
    ("synflow", "agreement"): ["found no difference between the scores"],
    ("magnitude", "torch-pruning's norm"): [
        "default group norm also holds the squared scale of batch norm, and takes no root",
        "*without* batch norm",
        "rank correlation within a group is 0.94 on trained weights, and near 0",
    ],
    ("magnitude", "agreement"): ["no difference from Synaptic-Flow's scores", "largest relative difference of 2e-7"],
    ("metapruning", "the authors' search and training"): [
        "the outputs of the last layer may be pruned here; there they never are",
        "rounded to the nearest integer, there rounded down",
        "0.95 to 1 × the budget; there ± 2.5 % around it for ResNet-50, and at most the budget for MobileNets",
        "a gene that mutates is drawn anew and may stay as it was; there it always changes",
        "both stop after 250 and random candidates fill the rest",
        "8 batches of 128 images as they are; there moving averages over 100 batches of 1,000 augmented images",
        "SGD without Nesterov, weight decay from 0 to 1e-4, label smoothing 0.1 and a linear or stepwise schedule",
    ],
}


@pytest.mark.parametrize(("method", "about"), SAID)
def test_the_card_says_what_differs_and_what_agrees(method: str, about: str) -> None:
    card = " ".join(registry.METHODS.load(method).card.split())
    for words in SAID[method, about]:
        assert words in card


@pytest.mark.parametrize("method", ["random", "magnitude", "snip", "grasp", "synflow"])
def test_the_card_says_how_many_weights_are_kept(method: str) -> None:
    """Down, where others round up: one weight in each round."""
    card = " ".join(registry.METHODS.load(method).card.split())
    assert "of n weights ⌊keep × n⌋ are kept" in card.replace("Of n", "of n")
