"""What the SDK knows of AWS's services, read without the detours that take most of the time to make a client."""

import gzip
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
from botocore.loaders import JSONFileLoader, Loader

_OPENED = ((".json", open), (".json.gz", gzip.open))


class _Files(JSONFileLoader):
    """botocore reads them with the standard library's parser, pair by pair."""

    def load_file(self, file_path: str) -> Any:  # noqa: ANN401 - JSON
        """The content of a file without its ending; None if it is not there."""
        for ending, opened in _OPENED:
            with suppress(FileNotFoundError), opened(f"{file_path}{ending}", "rb") as file:
                return orjson.loads(file.read())
        return None


class ServiceModels(Loader):
    """botocore's loader, which looks into the folders of all services there are before it reads that of one."""

    def __init__(self, loader: Loader) -> None:
        """Search where `loader` does."""
        super().__init__(list(loader.search_paths), _Files(), include_default_search_paths=False)

    def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002 - botocore's own looks for it
        """Every folder. One in which the model is missing is told when it is read."""
        return [folder.name for path in map(Path, self.search_paths) if path.is_dir() for folder in path.iterdir()]
