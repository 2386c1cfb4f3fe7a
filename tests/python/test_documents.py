"""Everything that a reader may copy from the README and from docs/ is run, and its output compared.

A document has a database of its own, without the extension. Its `sql` blocks go through psql, a
session each, its `python` blocks share their names, in the order of the document; a `text` block right
after one of them is its output. With `python tests/python/test_documents.py` what is printed becomes
what is shown.
"""

import contextlib
import io
import os
import re

import pytest
from conftest import ROOT, Server

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(sql|python)\n(.*?)^```\n(?:\n*^```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)


class Reader:
    """Runs the blocks of one document in its database."""

    def __init__(self, server, database):
        self.server = server
        self.database = database
        self.names = {}

    def run(self, language, code, shows_output):
        return self.sql(code, shows_output) if language == "sql" else self.python(code)

    def sql(self, code, shows_output):
        # An error that is shown is meant; any other stops the block.
        stop = 0 if shows_output else 1
        options = ["-X", "-q", "-v", f"ON_ERROR_STOP={stop}", "-v", "SHOW_CONTEXT=never"]
        return self.server.run("psql", *options, database=self.database, stdin=code)

    def python(self, code):
        printed = io.StringIO()
        before = os.environ["PGDATABASE"]
        os.environ["PGDATABASE"] = self.database  # libpq's own way of finding the server
        try:
            with contextlib.redirect_stdout(printed):
                exec(compile(code, "<document>", "exec"), self.names)
        finally:
            os.environ["PGDATABASE"] = before
        return printed.getvalue()


@contextlib.contextmanager
def reader(server, document):
    database = f"document_{re.sub(r'[^a-z]', '_', document.stem.lower())}"
    server.create(database)
    try:
        yield Reader(server, database)
    finally:
        server.drop(database)


def stripped(text):
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines())


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_document(server, document):
    blocks = list(BLOCK.finditer(document.read_text()))
    assert blocks
    with reader(server, document) as run:
        for block in blocks:
            language, code, shown = block.groups()
            printed = run.run(language, code, shown is not None)
            if shown is not None:
                assert stripped(printed) == stripped(shown), code


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)#]+)", document.read_text()):
        if "://" not in target:
            assert (document.parent / target).exists(), target


def accept():
    server = Server()
    for document in DOCUMENTS:
        text = document.read_text()
        with reader(server, document) as run:

            def renewed(block):
                language, code, shown = block.groups()
                printed = run.run(language, code, shown is not None)
                if shown is None:
                    return block.group()
                start, end = block.start(3) - block.start(), block.end(3) - block.start()
                return block.group()[:start] + stripped(printed) + "\n" + block.group()[end:]

            document.write_text(BLOCK.sub(renewed, text))


if __name__ == "__main__":
    accept()
