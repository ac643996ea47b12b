"""Data sets as they are published: what was written is what is read, and what is damaged is refused."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from references import torchvision
from training_examples import cifar10, cifar100, folders

import resnext_dsl as rx
from resnext_dsl.train.datasets import open_source
from resnext_dsl.train.datasets.digits import digits


def refused(name: str, folder: Path | None, message: str, holdout: float = 0) -> rx.Diagnostic:
    with pytest.raises(rx.ArchError, match=re.escape(message)) as caught:
        open_source(name, folder, holdout)
    (found,) = caught.value.diagnostics
    assert found.code == "E712"
    return found


def test_digits_are_those_of_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    source, theirs = digits(), load_digits()
    pixels = torch.cat([source.train.pixels, source.test.pixels])
    assert torch.equal(pixels[:, 0].double(), torch.from_numpy(theirs.images))
    assert torch.equal(torch.cat([source.train.labels, source.test.labels]), torch.from_numpy(theirs.target))
    scaled = source.train.pixels / source.peak
    assert (scaled.mean().item(), scaled.std().item()) == pytest.approx((source.mean[0], source.std[0]), abs=1e-4)


@pytest.mark.parametrize("inside", ["", "cifar-10-batches-bin"])
def test_cifar_10_is_read_as_it_was_written(tmp_path: Path, inside: str) -> None:
    written = cifar10(tmp_path / inside)
    source = open_source("cifar10", tmp_path)
    train = np.concatenate([written[f"data_batch_{number}.bin"] for number in range(1, 6)])
    assert np.array_equal(source.train.labels.numpy(), train[:, 0])
    # The published layout: red, green and blue planes, each by rows.
    assert source.train.image(11)[1, 2, 3] == train[11, 1 + 1024 + 2 * 32 + 3]
    assert np.array_equal(source.test.pixels.numpy().reshape(8, -1), written["test_batch.bin"][:, 1:])
    assert source.shape == (3, 32, 32)


def test_cifar_100_has_its_fine_labels_and_their_names(tmp_path: Path) -> None:
    written = cifar100(tmp_path)
    (tmp_path / "fine_label_names.txt").write_text("\n".join(f"name{number}" for number in range(100)) + "\n")
    source = open_source("cifar100", tmp_path)
    assert np.array_equal(source.train.labels.numpy(), written["train.bin"][:, 1])
    assert np.array_equal(source.train.pixels.numpy().reshape(8, -1), written["train.bin"][:, 2:])
    assert source.classes[7] == "name7"


def test_folders_are_read_as_torchvision_reads_them(tmp_path: Path) -> None:
    folders(tmp_path)
    source = open_source("folder", tmp_path)
    theirs = torchvision.datasets.ImageFolder(str(tmp_path / "train"))
    assert list(source.classes) == theirs.classes
    assert source.train.labels.tolist() == theirs.targets
    for index in range(len(theirs)):
        assert np.array_equal(source.train.image(index).permute(1, 2, 0), np.asarray(theirs[index][0]))


def test_a_share_held_out_is_of_every_class_and_no_longer_trained_on() -> None:
    whole, parted = digits(), open_source("digits", holdout=0.2)
    assert len(parted.train.labels) + len(parted.test.labels) == len(whole.train.labels)
    shares = torch.bincount(parted.test.labels) / torch.bincount(whole.train.labels)
    assert shares.min() > 0.19
    assert shares.max() < 0.21
    rows = {row.numpy().tobytes() for row in parted.train.pixels}
    assert sum(row.numpy().tobytes() in rows for row in parted.test.pixels) <= 2  # the file itself has a few twins


def test_folders_without_test_images_need_a_share_held_out(tmp_path: Path) -> None:
    folders(tmp_path)
    (tmp_path / "val").rename(tmp_path / "other")
    found = refused("folder", tmp_path, "there is neither a folder `val` nor `test` here")
    assert "--holdout 0.1" in found.hint
    assert len(open_source("folder", tmp_path, 0.3).test.labels) == 2


def pickled(folder: Path) -> None:
    (folder / "data_batch_1").write_bytes(pickle.dumps(Exploding()))


class Exploding:
    def __reduce__(self) -> tuple[Callable[..., None], tuple[()]]:
        return (explode, ())


def explode() -> None:
    raise AssertionError("a pickle was read")


@pytest.mark.parametrize("place", ["", "cifar-10-batches-py", "cifar-10-python.tar.gz"])
def test_the_pickled_version_is_refused_unread(tmp_path: Path, place: str) -> None:
    if place.endswith(".gz"):
        (tmp_path / place).touch()
    else:
        (tmp_path / place).mkdir(exist_ok=True)
        pickled(tmp_path / place)
    found = refused("cifar10", tmp_path, "is the Python version of the data set: pickled, so that reading it runs code")
    assert found.hint == "take the binary version: cifar-10-batches-bin, with data_batch_1.bin"


def test_a_packed_archive_is_to_be_unpacked(tmp_path: Path) -> None:
    (tmp_path / "cifar-10-binary.tar.gz").touch()
    assert refused("cifar10", tmp_path, "`data_batch_1.bin` is not here").hint == "unpack cifar-10-binary.tar.gz"


def cut(folder: Path) -> None:
    path = folder / "data_batch_3.bin"
    path.write_bytes(path.read_bytes()[:-100])


def emptied(folder: Path) -> None:
    (folder / "test_batch.bin").write_bytes(b"")


def removed(folder: Path) -> None:
    (folder / "data_batch_5.bin").unlink()


def mislabelled(folder: Path) -> None:
    content = bytearray((folder / "data_batch_2.bin").read_bytes())
    content[3073] = 200
    (folder / "data_batch_2.bin").write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "file", "message"),
    [
        (cut, "data_batch_3.bin", "24,484 bytes are no whole number of records of 3,073: the file is cut off"),
        (emptied, "test_batch.bin", "0 bytes are no whole number of records"),
        (removed, "data_batch_5.bin", "this file of the data set is missing"),
        (mislabelled, "data_batch_2.bin", "label 200 is none of 10 classes"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, damage: Callable[[Path], None], file: str, message: str) -> None:
    cifar10(tmp_path)
    damage(tmp_path)
    assert Path(refused("cifar10", tmp_path, message).file).name == file


def test_missing_folders_are_named(tmp_path: Path) -> None:
    refused("cifar10", tmp_path / "no", "there is no folder of `cifar10` here")
    refused("folder", tmp_path, "there is no folder `train` here")
    refused("cifar100", None, "the data set lies in a folder")
    refused("digits", tmp_path, "the data set is read from no folder")


def test_classes_that_are_not_trained_are_named(tmp_path: Path) -> None:
    folders(tmp_path)
    (tmp_path / "val" / "bee").rename(tmp_path / "val" / "beee")
    found = refused("folder", tmp_path, "class `beee` is not among the 2 of the training images")
    assert found.hint == "did you mean `bee`?"


def test_empty_classes_are_named(tmp_path: Path) -> None:
    folders(tmp_path)
    (tmp_path / "train" / "cat").mkdir()
    refused("folder", tmp_path, "there is no image of this class")


@pytest.mark.parametrize("content", [b"no image", b""])
def test_files_that_are_no_images_are_named(tmp_path: Path, content: bytes) -> None:
    folders(tmp_path)
    path = tmp_path / "train" / "ant" / "0.png"
    path.write_bytes(content)
    with pytest.raises(rx.ArchError, match="no image can be read from it") as caught:
        open_source("folder", tmp_path).train.image(0)
    assert caught.value.diagnostics[0].file == str(path)


def test_images_cut_off_are_named(tmp_path: Path) -> None:
    folders(tmp_path)
    path = tmp_path / "train" / "ant" / "0.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (99, 99, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(rx.ArchError, match="no image can be read from it"):
        open_source("folder", tmp_path).train.image(0)
