import numpy as np
import pytest
import scipy.stats
import torch
import torchvision.transforms.v2.functional as tv
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from stampbench.data.augmentation import AREA, RATIO, Augmentation, normalise, resize
from tests.fixtures.examples import examples


def random_images(count: int, size: int) -> torch.Tensor:
    return torch.randint(256, (count, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@examples(25)
@given(size=st.sampled_from([16, 32]), flip=st.booleans(), seed=st.integers(0, 2**32))
def test_each_crop_is_the_numpy_crop_of_its_offset(size, flip, seed):
    augmentation = Augmentation("pad", size, flip)
    images = random_images(5, size)
    draws = augmentation.draw(5, torch.Generator().manual_seed(seed))
    crops = augmentation.apply(images, draws)
    edge = size // 8
    for image, crop, (row, column, mirrored) in zip(images.numpy(), crops.numpy(), draws.tolist(), strict=True):
        expected = np.pad(image, ((0, 0), (edge, edge), (edge, edge)))[:, row : row + size, column : column + size]
        assert np.array_equal(crop, expected[:, :, ::-1] if flip and mirrored else expected)


def test_each_crop_is_torchvisions():
    augmentation = Augmentation("pad", 32, True)
    images = random_images(40, 32)
    draws = augmentation.draw(40, torch.Generator().manual_seed(0))
    for image, crop, (row, column, mirrored) in zip(
        images, augmentation.apply(images, draws), draws.tolist(), strict=True
    ):
        expected = tv.crop(tv.pad(image, 4), row, column, 32, 32)
        assert torch.equal(crop, tv.horizontal_flip(expected) if mirrored else expected)


def test_offsets_and_flips_are_uniform():
    draws = Augmentation("pad", 32, True).draw(81_000, torch.Generator().manual_seed(0))
    assert draws.min(0).values.tolist() == [0, 0, 0] and draws.max(0).values.tolist() == [8, 8, 1]
    cells = torch.bincount(draws[:, 0] * 9 + draws[:, 1], minlength=81).numpy()
    assert scipy.stats.chisquare(cells).pvalue > 1e-3
    assert scipy.stats.binomtest(int(draws[:, 2].sum()), 81_000).pvalue > 1e-3


def test_a_draw_belongs_to_its_image():
    for augmentation in (Augmentation("pad", 32, True), Augmentation("resized", 32, True)):
        images = random_images(9, 32)
        draws = augmentation.draw(9, torch.Generator().manual_seed(0))
        order = torch.randperm(9)
        shuffled = augmentation.apply(images[order], draws[order])
        assert torch.equal(shuffled, augmentation.apply(images, draws)[order])


def reference_resized_crop(image: torch.Tensor, draw: list[float], size: int) -> np.ndarray:
    """The crop's box in float64, resized by PIL's bilinear transform of a box in pixels."""
    area = AREA[0] + (AREA[1] - AREA[0]) * draw[0]
    ratio = RATIO[0] * (RATIO[1] / RATIO[0]) ** draw[1]
    side = image.shape[-1]
    width, height = min(1, (area * ratio) ** 0.5) * side, min(1, (area / ratio) ** 0.5) * side
    left, top = draw[3] * (side - width), draw[2] * (side - height)
    picture = Image.fromarray(image.permute(1, 2, 0).numpy())
    box = (left, top, left + width, top + height)
    warped = picture.transform((size, size), Image.Transform.EXTENT, box, Image.Resampling.BILINEAR)
    pixels = np.asarray(warped).transpose(2, 0, 1).astype(int)
    return pixels[:, :, ::-1] if draw[4] < 0.5 else pixels


def test_resized_crop_is_pils_away_from_the_border():
    augmentation = Augmentation("resized", 64, True)
    images = random_images(30, 96)
    draws = augmentation.draw(30, torch.Generator().manual_seed(0))
    crops = augmentation.apply(images, draws).numpy().astype(int)
    for image, draw, crop in zip(images, draws.tolist(), crops, strict=True):
        expected = reference_resized_crop(image, draw, 64)
        # PIL has no border mode: it leaves pixels black whose centres it cannot interpolate.
        assert np.abs(crop - expected)[:, 2:-2, 2:-2].max() <= 2


def test_the_whole_image_is_a_plain_resize():
    draws = torch.tensor([[1.0, 0.5, 0.3, 0.7, 0.9]])
    image = random_images(1, 64)
    assert torch.equal(Augmentation("resized", 64, True).apply(image, draws), image)


def test_resize_is_torchvisions_antialiased():
    images = random_images(3, 96)
    expected = tv.resize(images, [64, 64], antialias=True)
    assert (resize(images, 64).int() - expected.int()).abs().max() <= 1
    assert resize(images, 96) is images


def test_normalise_is_torchvisions():
    images = random_images(4, 32)
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
    expected = tv.normalize(tv.to_dtype(images, torch.float32, scale=True), list(mean), list(std))
    result = normalise(images, mean, std)
    torch.testing.assert_close(result, expected, atol=1e-6, rtol=1e-5)
    assert result.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("name", ["pad", "resized"])
def test_augmenting_an_epoch(benchmark, name):
    size = 32 if name == "pad" else 64
    augmentation = Augmentation(name, size, True)
    images = random_images(9000 if name == "pad" else 500, size if name == "pad" else 96)
    draws = augmentation.draw(len(images), torch.Generator().manual_seed(0))
    assert benchmark(augmentation.apply, images, draws).shape == (len(images), 3, size, size)
