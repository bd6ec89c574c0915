"""Stands for setuptools while pip asks for the metadata of a source distribution."""
