"""The elements of a page as a browser reads them, and its forms as it sends them without a change."""

from __future__ import annotations

from html.parser import HTMLParser


class _Elements(HTMLParser):
    """Collects the elements of a page with their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))


def elements_of(document: str) -> list[tuple[str, dict[str, str]]]:
    """Return the name and the attributes of each element."""
    reader = _Elements()
    reader.feed(document)
    return reader.found


class _Form(HTMLParser):
    """Reads the values of the inputs and textareas of one form."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.values: dict[str, str] = {}
        self.is_there = False
        self._form = form
        self._inside = False
        self._field: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._inside = found.get("id") == self._form
            self.is_there |= self._inside
        elif self._inside and tag == "input":
            self.values[found["name"]] = found.get("value", "")
        elif self._inside and tag == "textarea":
            self._field = found["name"]
            self.values[self._field] = ""

    def handle_data(self, data: str) -> None:
        if self._field is not None:
            self.values[self._field] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea" and self._field is not None:
            self.values[self._field] = self.values[self._field].removeprefix("\n").replace("\n", "\r\n")
            self._field = None
        elif tag == "form":
            self._inside = False


def values_of(document: str, form: str) -> dict[str, str]:
    """Return the values of the form with that id, with the line ends that browsers send."""
    reader = _Form(form)
    reader.feed(document)
    assert reader.is_there, f"the page has no form {form!r}"
    return reader.values
