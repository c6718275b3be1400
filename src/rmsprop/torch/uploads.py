"""Tables that kernels read on a device: written there without waiting for it, and kept while a captured graph may read them."""

from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rmsprop.kernels.gpu.build import tile_map
from rmsprop.kernels.gpu.sweep import COMMON, TABLE_ROWS

UNPREPARED = (
    "a CUDA graph can capture step() only where steps outside of it went before: take one with gradients of the same parameters "
    "(a warm-up on a side stream, as PyTorch's guide to CUDA graphs has it), and capture then"
)


def capturing(device: torch.device) -> bool:
    """Return whether what is launched on a device's current stream is put into a graph instead of being run."""
    return device.type == "cuda" and torch.cuda.is_current_stream_capturing()


def staged(words: NDArray[Any], device: torch.device) -> Tensor:
    """Return numbers in memory that a device copies from by itself: PyTorch gives it to nobody else until those copies are done."""
    host = torch.empty(words.shape, dtype=getattr(torch, words.dtype.name), pin_memory=device.type == "cuda")
    host.numpy()[...] = words
    return host


def uploaded(words: NDArray[Any], device: torch.device) -> Tensor:
    """Return numbers on a device.

    Raises:
        RuntimeError: a graph is being captured, which would copy them anew at each replay.
    """
    if capturing(device):
        raise RuntimeError(UNPREPARED)
    return staged(words, device).to(device, non_blocking=True)


class Table:
    """Some tensors with their state, as `kernels.gpu.sweep` reads them, on their device.

    Args:
        arrays: (5, tensors) int64: addresses of p, v, m, b and of the moving average of p.
        sizes: (tensors,) int64: numbers in each.
        places: where each has its count of steps.
        real: dtype of the arithmetic.
        device: of the tensors.
    """

    def __init__(
        self, arrays: NDArray[Any], sizes: NDArray[Any], places: Sequence[int], real: torch.dtype, device: torch.device
    ) -> None:
        """Upload what does not change."""
        self.tensors, self.device = len(sizes), device
        words = np.zeros((TABLE_ROWS, self.tensors), np.int64)
        words[:5], words[5], words[6] = arrays, sizes, places
        self.words = uploaded(words, device)
        tiles = tile_map(sizes)
        self.programs = len(tiles)
        self.tiles = uploaded(tiles, device)
        self.numbers = torch.zeros(COMMON + 3 * self.tensors, dtype=real, device=device)
        self.results: Tensor | None = None  # of reductions, one for each tile
        self.gradients = torch.zeros(self.tensors, dtype=torch.int64, device=device)
        self._told: array[int] | None = None  # the addresses that lie there
        self._stream = torch.cuda.current_stream(device) if device.type == "cuda" else None
        self._spare: tuple[Tensor, Tensor] | None = None
        self.captured: list[Any] = []

    def point(self, addresses: "array[int]", gradients: Sequence[Tensor | None], *, capturable: bool) -> Tensor:
        """Return the addresses of the gradients on the device, uploaded only if they are others than the last time.

        A graph that is being captured gets a row of its own, which each replay fills again from the host memory that belongs to it:
        whatever steps outside of the graph do, it reads the gradients that it was captured with. These are kept.

        Args:
            addresses: of the gradients.
            gradients: those.
            capturable: whether graphs may be captured.
        """
        self._attend()
        if capturable and capturing(self.device):
            if self._spare is None:
                raise RuntimeError(UNPREPARED)
            (host, row), self._spare = self._spare, None
            host.numpy()[...] = addresses
            row.copy_(host, non_blocking=True)
            self.captured.append((host, row, list(gradients)))
            return row
        if capturable and self._spare is None:
            self._spare = staged(np.zeros(self.tensors, np.int64), self.device), torch.zeros_like(self.gradients)
        if addresses != self._told:
            self.gradients.copy_(staged(np.frombuffer(addresses, np.int64), self.device), non_blocking=True)
            self._told = addresses
        return self.gradients

    def _attend(self) -> None:
        """Keep the memory until the stream that is the current one now is done with it: it may be another one than before."""
        if self._stream is not None and torch.cuda.current_stream(self.device) != self._stream:
            self._stream = torch.cuda.current_stream(self.device)
            for tensor in (self.words, self.tiles, self.numbers, self.gradients, self.results):
                if tensor is not None:
                    tensor.record_stream(self._stream)

    def room(self) -> Tensor:
        """Return room for a number of each tile."""
        if self.results is None:
            self.results = torch.zeros(self.programs, dtype=torch.float64, device=self.device)
        return self.results
