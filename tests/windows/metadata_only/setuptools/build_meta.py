"""A build backend that names a distribution and runs nothing of it, so that pip downloads its source unbuilt."""

from __future__ import annotations

from pathlib import Path

METADATA = "Metadata-Version: 2.1\nName: {}\nVersion: {}\n"


class LegacyBackend:
    """What pip asks of a source distribution without a pyproject.toml. Source: PEP 517."""

    def get_requires_for_build_wheel(self, config_settings: object = None) -> list[str]:
        """Return what building needs: nothing."""
        return []

    def prepare_metadata_for_build_wheel(self, metadata_directory: str, config_settings: object = None) -> str:
        """Write the metadata, by the name of the unpacked folder, and return the name of their folder."""
        said = Path("PKG-INFO").read_text(encoding="utf-8").splitlines()
        name, version = (
            next(line[len(key) :] for line in said if line.startswith(key)) for key in ("Name: ", "Version: ")
        )
        folder = Path(metadata_directory) / f"{name.replace('-', '_')}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(METADATA.format(name, version), encoding="utf-8")
        return folder.name


__legacy__ = LegacyBackend()
