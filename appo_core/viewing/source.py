"""Where dumps and their tokenizer lie: in the artifact store, or in a folder or file of this machine."""

from abc import ABC, abstractmethod
from pathlib import Path

from appo_core.artifacts import ArtifactRef, Manifest, Store, StoreError
from appo_core.jobs.contract import JobError
from appo_core.viewing.dump_file import choose_step, step_files
from appo_core.viewing.pieces import REMEDY, TOKENIZER_FILE, Pieces

KIND = "rollouts"


class Source(ABC):
    """Dumps of one run."""

    title: str
    """What the page names as its origin."""
    stem: str
    """Name for files made from it."""

    @abstractmethod
    def dump(self, step: int | None) -> tuple[int, str, bytes]:
        """Number, name and bytes of a step's dump, the newest by default; raises `JobError` or `StoreError`."""

    @abstractmethod
    def pieces(self) -> Pieces:
        """The tokenizer that lies beside the dumps; raises `JobError` when there is none."""


class LocalSource(Source):
    """A folder of step files, or one such file."""

    def __init__(self, place: Path) -> None:
        self.place, self.title = place, str(place)
        self.folder = place if place.is_dir() else place.parent
        self.stem = place.resolve().name if place.is_dir() else place.resolve().parent.name

    def dump(self, step: int | None) -> tuple[int, str, bytes]:
        """Read from the disk."""
        file, number = self.place, step or 0
        if self.place.is_dir():
            number, name = choose_step((one.name for one in self.place.iterdir()), step, str(self.place))
            file = self.place / name
        else:
            number = next(iter(step_files([self.place.name])), number)
        try:
            return number, str(file), file.read_bytes()
        except OSError as error:
            raise JobError(f"{file}: {error.strerror}", remedy="name a file that can be read") from None

    def pieces(self) -> Pieces:
        """From tokenizer.json in the same folder."""
        if not (self.folder / TOKENIZER_FILE).is_file():
            raise JobError(f"{self.folder} holds no {TOKENIZER_FILE}", remedy=REMEDY)
        return Pieces.load(self.folder)


class StoredSource(Source):
    """An artifact of kind `rollouts`; only what is asked for is read."""

    def __init__(self, store: Store, manifest: Manifest) -> None:
        self.store, self.manifest = store, manifest
        self.title, self.stem = str(manifest.ref), manifest.name

    @classmethod
    def find(cls, store: Store, ref: str | None) -> "StoredSource":
        """The artifact of a reference, or the newest rollouts there are; raises `StoreError`."""
        if ref is not None:
            parsed = ArtifactRef.parse(ref)
            if parsed.kind != KIND:
                raise StoreError(f"{ref} is no {KIND}", remedy=f"name {KIND}/{parsed.name}@latest")
            return cls(store, store.find(parsed))
        known = store.list(KIND)
        if not known:
            raise StoreError(f"no {KIND} are published in {store.url}", remedy="run the rl stage, or name a folder")
        return cls(store, known[-1])

    def dump(self, step: int | None) -> tuple[int, str, bytes]:
        """Read from the store, verified."""
        number, name = choose_step((entry.path for entry in self.manifest.files), step, self.title)
        return number, f"{self.title} {name}", self.store.read_file(self.manifest, name)

    def pieces(self) -> Pieces:
        """From the artifact's own tokenizer.json, or that of the model the rollouts began with."""
        parents = [self.store.read_manifest(parent.ref) for parent in self.manifest.parents if parent.role == "model"]
        for manifest in (self.manifest, *parents):
            if manifest and any(entry.path == TOKENIZER_FILE for entry in manifest.files):
                return Pieces.read(self.store.read_file(manifest, TOKENIZER_FILE), f"{manifest.ref} {TOKENIZER_FILE}")
        raise JobError(f"neither {self.title} nor its model holds a {TOKENIZER_FILE}", remedy=REMEDY)
