"""The shapes of the parameters of well-known models, from their definitions: an optimizer needs nothing else of a model."""

import math
from itertools import pairwise

Shape = tuple[int, ...]


def resnet50() -> list[Shape]:
    """Return the 161 shapes of ResNet-50 with 1,000 classes, in the order of its modules.

    Example:
        >>> len(resnet50()), elements(resnet50())
        (161, 25557032)

    Source: He et al., arXiv 1512.03385, table 1; batch norms have a weight and a bias, convolutions no bias.
    """

    def convolution(into: int, out: int, size: int) -> list[Shape]:
        return [(out, into, size, size), (out,), (out,)]

    shapes = convolution(3, 64, 7)
    channels = 64
    for width, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for block in range(blocks):
            shapes += convolution(channels, width, 1) + convolution(width, width, 3) + convolution(width, 4 * width, 1)
            if block == 0:
                shapes += convolution(channels, 4 * width, 1)
            channels = 4 * width
    return [*shapes, (1000, channels), (1000,)]


def gpt2(width: int = 768, layers: int = 12, vocabulary: int = 50_257, context: int = 1_024) -> list[Shape]:
    """Return the 148 shapes of the smallest GPT-2, whose output layer is its token embedding.

    Example:
        >>> len(gpt2()), elements(gpt2())
        (148, 124439808)

    Source: Radford et al., Language Models are Unsupervised Multitask Learners, 2019; weights are stored inputs first.
    """
    norm: list[Shape] = [(width,), (width,)]

    def linear(into: int, out: int) -> list[Shape]:
        return [(into, out), (out,)]

    block = [*norm, *linear(width, 3 * width), *linear(width, width)]
    block += [*norm, *linear(width, 4 * width), *linear(4 * width, width)]
    return [(vocabulary, width), (context, width), *block * layers, *norm]


def mlp(*widths: int) -> list[Shape]:
    """Return the shapes of a network of fully connected layers, as PyTorch stores them.

    Example:
        >>> mlp(4, 64, 2)
        [(64, 4), (64,), (2, 64), (2,)]
    """
    return [shape for into, out in pairwise(widths) for shape in ((out, into), (out,))]


def elements(shapes: list[Shape]) -> int:
    """Return how many elements tensors of these shapes have in all."""
    return sum(math.prod(shape) for shape in shapes)
