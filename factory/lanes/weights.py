"""The weights lane: a model's files from the Hub into the registry as layers, with no engine and no disk between.

A layer that the registry has (see `weight_index`) is mounted, and its file not read. Any other is streamed (see
`flowing`), two at once, and gets its entry when it has arrived whole: a run that was killed goes on at the layer it
was at. The layers hold what `COPY models/KEY/ /models/KEY/` would give.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from factory.errors import LaneUnavailable, PushDenied, RegistryRefused
from factory.kept import Kept
from factory.lanes.compressing import choose, known_uplink
from factory.lanes.flowing import Flow
from factory.lanes.packing import Compress, Compression, Parcel, parcels
from factory.lanes.weight_index import WeightIndex
from factory.oci import media
from factory.ports import ImageStore, Registry, WeightSource
from factory.records import Layer, ModelFiles, Progress, StoredLayer, Tell
from factory.wording import count_text, size_text

AT_ONCE = 2  # layers under way: each has a few MiB in its threads
CHUNK_BYTES = 4 << 20  # of a layer that must be copied from one repository to another


def bake(
    models: Sequence[ModelFiles],
    repository: str,
    shared: str,
    source: WeightSource,
    store: ImageStore,
    registry: Registry,
    kept: Kept,
    *,
    compress: Compress,
    is_oci: bool,
    tell: Tell,
) -> tuple[StoredLayer, ...]:
    """Return the layers of the models that go into the image, in order; each lies in `repository` afterwards.

    Raises the trees below ResolveError and PushError, and LaneUnavailable when `shared` can't be written.
    """
    wanted = parcels([model for model in models if model.placement == "image"])
    index = WeightIndex(registry, store, shared, kept, is_oci)
    oven = _Oven(repository, shared, source, store, registry, index, compress, is_oci, tell)
    pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="bake")
    try:
        baking = [pool.submit(oven.layer, parcel) for parcel in wanted]
        layers = tuple(each.result() for each in baking)
    except BaseException:
        oven.stop.set()
        pool.shutdown(wait=True, cancel_futures=True)
        raise
    pool.shutdown()
    if layers:
        tell(Progress("step", "weights", summary(layers), "done"))
    return layers


def summary(layers: Sequence[StoredLayer]) -> str:
    """Return how many layers were sent and found: `1.07 GB of weights: 1 layer sent, 13 found`."""
    sent = sum(layer.was_sent for layer in layers)
    total = size_text(sum(layer.unpacked_bytes for layer in layers))
    return f"{total} of weights: {count_text(sent, 'layer')} sent, {len(layers) - sent} found"


@dataclass
class _Oven:
    """What all layers of one run share."""

    repository: str
    shared: str
    source: WeightSource
    store: ImageStore
    registry: Registry
    index: WeightIndex
    compress: Compress
    is_oci: bool
    tell: Tell
    stop: threading.Event = field(default_factory=threading.Event)
    _pace: float | None = None  # bytes a second of the last layer that was sent

    def layer(self, parcel: Parcel) -> StoredLayer:
        """Return a layer that lies in the repository, found or sent."""
        created_by = f"COPY models/{parcel.model_key}/ /models/{parcel.model_key}/ # buildkit"
        kinds: tuple[Compression, ...] = ("gzip", "none") if self.compress == "auto" else (self.compress,)
        for kind in kinds:
            found = self.index.find(parcel.key(kind), created_by)
            if found and self._place(found.blob):
                self.tell(Progress("bytes", parcel.name, parcel.name, "cached", parcel.size_bytes, parcel.size_bytes))
                return found
        return self._send(parcel, created_by)

    def _send(self, parcel: Parcel, created_by: str) -> StoredLayer:
        choice = choose(self.compress, parcel, self.source, self._pace or known_uplink(self.shared))
        text = f"{parcel.name} is sent {'as gzip' if choice.compression == 'gzip' else 'as it is'}: {choice.why}"
        self.tell(Progress("log", parcel.name, text))
        flow = Flow(parcel, choice.compression, self.source, self.stop)
        try:
            sent = self.store.upload(self.shared, flow, self.tell, parcel.name)
        except PushDenied as error:
            raise LaneUnavailable(
                f"the repository that recipes share can't be written: {error.what}",
                where=self.shared,
                fix="create it, or name another one of that registry (FACTORY_SHARED=user/name)",
            ) from error
        self._pace = sent.size_bytes / max(flow.sending_s, 1e-3)
        blob = replace(sent, media_type=media.layer_type(choice.compression, oci=self.is_oci))
        layer = StoredLayer(blob, *flow.unpacked(sent), created_by)
        self.index.keep(parcel.key(choice.compression), layer)
        if not self._place(blob):
            raise RegistryRefused("a layer that was just sent isn't there", where=self.shared, fix="try again")
        return layer

    def _place(self, blob: Layer) -> bool:
        """Let the recipe's repository have a blob; False when the shared one has lost it."""
        if self.repository == self.shared or self.store.has(self.repository, blob.digest):
            return self.store.has(self.repository, blob.digest)
        if self.store.mount(self.repository, blob.digest, self.shared):
            return True
        if not self.store.has(self.shared, blob.digest):
            return False
        copied = self.store.upload(self.repository, lambda: self._content(blob), self.tell, blob.digest[7:19])
        if copied.digest != blob.digest:
            raise RegistryRefused(f"the layer {blob.digest} came as {copied.digest}", where=self.shared)
        return True

    def _content(self, blob: Layer) -> Iterator[bytes]:
        for start in range(0, blob.size_bytes, CHUNK_BYTES):
            size = min(CHUNK_BYTES, blob.size_bytes - start)
            yield self.registry.read(self.shared, blob.digest, start, size)
