"""Images as networks take them, held against torchvision's transforms; and the order they come in."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from references import torchvision
from torch import Tensor
from training_examples import cifar10, folders

from resnext_dsl.train import augment
from resnext_dsl.train.batches import measuring_draws, seed_of, training_draws
from resnext_dsl.train.datasets import open_source
from resnext_dsl.train.datasets.digits import digits
from resnext_dsl.train.prepare import Draw, Prepared

functional = torchvision.transforms.functional


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def image(height: int = 30, width: int = 40) -> Tensor:
    return torch.rand(3, height, width, generator=random()) * 0.4 + 0.3


def test_images_to_measure_on_are_normalised_as_published(tmp_path: Path) -> None:
    cifar10(tmp_path)
    source = open_source("cifar10", tmp_path)
    batch, labels = Prepared(source, source.test, source.shape)[Draw((2, 5))]
    mean, std = [x / 255 for x in (125.3, 123.0, 113.9)], [x / 255 for x in (63.0, 62.1, 66.7)]
    theirs = torchvision.transforms.Normalize(mean, std)(source.test.pixels[[2, 5]] / 255)
    torch.testing.assert_close(batch, theirs)
    assert torch.equal(labels, source.test.labels[[2, 5]])


def test_grey_images_serve_every_channel_and_are_scaled() -> None:
    source = digits()
    batch, _ = Prepared(source, source.test, (3, 32, 32))[Draw((0, 1))]
    assert batch.shape == (2, 3, 32, 32)
    assert torch.equal(batch[:, 0], batch[:, 2])


def test_files_are_cut_as_for_imagenet(tmp_path: Path) -> None:
    folders(tmp_path)
    source = open_source("folder", tmp_path)
    batch, _ = Prepared(source, source.test, (3, 14, 14))[Draw((0,))]
    whole = functional.resize(
        source.test.image(0).float() / 255, [16], interpolation=functional.InterpolationMode.BICUBIC, antialias=True
    )
    cut = functional.center_crop(whole.clamp(0, 1), [14, 14])
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    torch.testing.assert_close(batch[0], functional.normalize(cut, list(mean), list(std)), atol=1e-4, rtol=0)


def test_crops_are_windows_of_the_padded_image() -> None:
    images = torch.rand(6, 3, 32, 32, generator=random())
    cropped = augment.crop(images, random(1))
    padded = torch.nn.functional.pad(images, (4, 4, 4, 4))
    places = set()
    for number in range(6):
        found = [
            (down, right)
            for down in range(9)
            for right in range(9)
            if torch.equal(cropped[number], padded[number, :, down : down + 32, right : right + 32])
        ]
        assert len(found) == 1
        places.update(found)
    assert len(places) > 3


def test_half_the_images_are_mirrored() -> None:
    images = torch.rand(400, 1, 2, 2, generator=random())
    mirrored = augment.mirror(images, random(1))
    same = (mirrored == images).flatten(1).all(1)
    assert torch.equal(mirrored[~same], functional.hflip(images[~same]))
    assert 160 < same.sum() < 240


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (augment.COLOURS[0], functional.adjust_brightness),
        (augment.COLOURS[1], functional.adjust_contrast),
        (augment.COLOURS[2], functional.adjust_saturation),
    ],
)
@pytest.mark.parametrize("share", [0.6, 1.0, 1.4])
def test_colours_vary_as_in_torchvision(ours: object, theirs: object, share: float) -> None:
    picture = image()
    torch.testing.assert_close(ours(picture, share), theirs(picture, share), atol=2e-4, rtol=0)  # type: ignore[operator]


def test_light_varies_along_the_components_of_the_colours() -> None:
    black = torch.zeros(3, 2, 2)
    shifts = torch.stack([augment.lit(black, random(seed))[:, 0, 0] for seed in range(2000)])
    values, vectors = torch.linalg.eigh(shifts.T.cov())
    published = torch.tensor(augment._VALUES) * 0.1
    torch.testing.assert_close(values.flip(0).sqrt(), published, rtol=0.1, atol=0)
    alike = (vectors.flip(1).T @ torch.tensor(augment._VECTORS)).diagonal().abs()
    torch.testing.assert_close(alike, torch.ones(3), rtol=0.02, atol=0)


def test_parts_for_training_have_the_published_areas_and_aspects(monkeypatch: pytest.MonkeyPatch) -> None:
    parts: list[tuple[int, int]] = []

    def seen(part: Tensor, size: tuple[int, int]) -> Tensor:
        parts.append((part.shape[1], part.shape[2]))
        return part

    monkeypatch.setattr(augment, "scaled", seen)
    for seed in range(300):
        augment.resized_crop(torch.zeros(3, 200, 200), (8, 8), random(seed))
    areas = [height * width / 40_000 for height, width in parts]
    aspects = [width / height for height, width in parts]
    assert min(areas) > 0.075
    assert max(areas) > 0.8
    assert min(aspects) > 0.72
    assert max(aspects) < 1.39
    assert min(aspects) < 0.85 < 1.2 < max(aspects)


def test_varied_images_are_of_the_size_asked_for() -> None:
    assert augment.varied(image(), (8, 12), random()).shape == (3, 8, 12)
    assert augment.varied(image()[:1], (8, 12), random()).shape == (1, 8, 12)


@pytest.mark.parametrize("how", ["none", "shift", "crop", "imagenet"])
def test_a_draw_gives_the_same_images_each_time(tmp_path: Path, how: str) -> None:
    cifar10(tmp_path)
    source = open_source("cifar10", tmp_path)
    prepared = Prepared(source, source.train, (3, 16, 16), how)
    first, again, other = (prepared[Draw((1, 2, 3), seed)][0] for seed in (7, 7, 8))
    assert first.shape == (3, 3, 16, 16)
    assert torch.equal(first, again)
    assert torch.equal(first, other) == (how == "none")


def test_an_epoch_has_every_image_once_and_its_own_order() -> None:
    first, second = (training_draws(40, 8, 0, epoch) for epoch in range(2))
    assert sorted(index for draw in first for index in draw.indices) == list(range(40))
    assert [draw.indices for draw in first] != [draw.indices for draw in second]
    assert first == training_draws(40, 8, 0, 0)
    assert len({draw.seed for draw in first + second}) == 10


def test_an_incomplete_batch_is_left_out_unless_it_is_all() -> None:
    assert [len(draw.indices) for draw in training_draws(20, 8, 0, 0)] == [8, 8]
    assert [len(draw.indices) for draw in training_draws(5, 8, 0, 0)] == [5]


def test_processes_share_the_batches_of_one() -> None:
    alone = training_draws(40, 8, 0, 3)
    shared = [training_draws(40, 8, 0, 3, rank, 2) for rank in range(2)]
    for whole, *parts in zip(alone, *shared, strict=True):
        assert sorted(whole.indices) == sorted(index for part in parts for index in part.indices)
    measured = [index for rank in range(3) for draw in measuring_draws(10, 4, rank, 3) for index in draw.indices]
    assert sorted(measured) == list(range(10))


def test_seeds_tell_their_parts_apart() -> None:
    assert len({seed_of(1, 23), seed_of(12, 3), seed_of("1", 2, 3), seed_of(123)}) == 4
