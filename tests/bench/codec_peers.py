"""The codecs that are compared: each takes one batch of one signal and gives bytes, and back.

pcodec is in its wrapped form at level 8, which is its best for small batches: number of values, dtype and file header
travel out of band and are not counted. Its bytes here are chunk meta and page.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import blosc2
import numpy as np
import zstandard
from numpy.typing import NDArray
from pcodec import ChunkConfig, PagingSpec, wrapped

from vantel.codec import (
    Plan,
    decode_times,
    decode_values,
    encode_times,
    encode_values,
    encode_values_with_plan,
)

Values = NDArray[Any]


@dataclass(frozen=True)
class Codec:
    """encode(values) -> what is stored; size of it in bytes; decode(stored, like) -> values of the shape of like."""

    name: str
    encode: Callable[[Values], Any]
    decode: Callable[[Any, Values], Values]
    size: Callable[[Any], int] = len


def vantel(level: int | None = None) -> Codec:
    """The codec of this project."""
    options = {} if level is None else {"level": level}
    name = "vantel" if level is None else f"vantel level {level}"
    return Codec(name, lambda v: encode_values(v, **options), lambda data, _: decode_values(data))


def vantel_planned() -> Codec:
    """The same, each batch with the plan that the one before returned."""
    plan = Plan()

    def encode(values: Values) -> bytes:
        nonlocal plan
        data, plan = encode_values_with_plan(values, plan=plan)
        return data

    return Codec("vantel with plan", encode, lambda data, _: decode_values(data))


def vantel_times() -> Codec:
    """The codec of this project for stamps."""
    return Codec("vantel times", encode_times, lambda data, _: decode_times(data))


def pcodec(level: int = 8) -> Codec:
    """The anchor."""
    files = wrapped.FileCompressor()
    reader, _ = wrapped.FileDecompressor.new(files.write_header())

    def encode(values: Values) -> tuple[bytes, bytes]:
        config = ChunkConfig(compression_level=level, paging_spec=PagingSpec.exact_page_sizes([len(values)]))
        chunk = files.chunk_compressor(_known(values), config)
        return chunk.write_meta(), chunk.write_page(0)

    def decode(stored: tuple[bytes, bytes], like: Values) -> Values:
        out = np.empty(len(like), _known(like).dtype)
        kind = f"{out.dtype.kind}{8 * out.dtype.itemsize}"
        chunk, _ = reader.chunk_decompressor(stored[0], kind)
        chunk.read_page_into(stored[1], len(like), out)
        return out.astype(like.dtype, copy=False)

    return Codec("pcodec", encode, decode, lambda stored: len(stored[0]) + len(stored[1]))


def _known(values: Values) -> Values:
    """pcodec takes no type of one byte."""
    return values.astype(np.int16) if values.dtype.itemsize == 1 else values


def shuffled(values: Values) -> bytes:
    """Bytes of equal weight side by side."""
    return np.ascontiguousarray(values).view(np.uint8).reshape(len(values), -1).T.tobytes()


def _restored(data: bytes, like: Values) -> Values:
    return np.frombuffer(data, np.uint8).reshape(-1, len(like)).T.copy().view(like.dtype).ravel()


def _frameless(level: int, words: zstandard.ZstdCompressionDict | None = None) -> zstandard.ZstdCompressor:
    parameters = zstandard.ZstdCompressionParameters.from_level(level, write_content_size=0, write_dict_id=0)
    return zstandard.ZstdCompressor(compression_params=parameters, dict_data=words)


def zstd(
    name: str = "zstd-19", shuffle: bool = False, words: zstandard.ZstdCompressionDict | None = None
) -> Codec:
    """zstd-19 of the values, optionally of shuffled bytes or with a trained dictionary."""
    packer, unpacker = _frameless(19, words), zstandard.ZstdDecompressor(dict_data=words)

    def encode(values: Values) -> bytes:
        return packer.compress(shuffled(values) if shuffle else values.tobytes())

    def decode(data: bytes, like: Values) -> Values:
        raw = unpacker.decompress(data, max_output_size=like.nbytes)
        return _restored(raw, like) if shuffle else np.frombuffer(raw, like.dtype)

    return Codec(name, encode, decode)


def zstd_dictionary(samples: list[bytes]) -> Codec | None:
    """zstd-19 with a dictionary trained on these batches; None when there are too few to train."""
    try:
        return zstd("zstd-19 dictionary", words=zstandard.train_dictionary(16_384, samples, level=19))
    except zstandard.ZstdError:
        return None


def blosc() -> Codec:
    """blosc2, bit shuffle and zstd 5."""

    def encode(values: Values) -> bytes:
        return blosc2.compress2(
            values, typesize=values.dtype.itemsize, codec=blosc2.Codec.ZSTD, clevel=5,
            filters=[blosc2.Filter.BITSHUFFLE], nthreads=1,
        )  # fmt: skip

    return Codec("blosc2", encode, lambda data, like: np.frombuffer(blosc2.decompress2(data), like.dtype))
