# SPDX-License-Identifier: Apache-2.0
"""Reads the training texts and cuts them into documents.

Three sources, each a set of `.txt.xz` files whose documents are separated by `<|endoftext|>`: short stories
(tinystories), fairy tales (fairytaleqa) and whole books (childrens_books). The validation stories are never trained
on: the first ones are the held-out text that the model card reports on, the others choose the recipe.
"""

import lzma
import pathlib
import re

SEPARATOR = "<|endoftext|>"
HELDOUT_BYTES = 100_000
PASSAGE_CHARACTERS = 8000
STORY_CHARACTERS = range(200, 4500)  # shorter ones are fragments, longer ones are several stories in one

# UTF-8 read as cp1252 in some of the stories; the closing quote lost its last byte.
MOJIBAKE = [("â€œ", "“"), ("â€™", "’"), ("â€˜", "‘"), ("â€¦", "…"), ("â€", "”")]
PLAIN_PUNCTUATION = str.maketrans({"“": '"', "”": '"', "’": "'", "‘": "'", "—": "--", "\u200b": None})
STORY_OPENING = re.compile(r"\n(?=Once upon a time)")


def read_documents(path: pathlib.Path) -> list[str]:
    """The documents of one `.txt.xz` file, without the separators and the white space around them."""
    text = lzma.open(path, "rt", encoding="utf-8").read()
    return [document.strip() for document in text.split(SEPARATOR) if document.strip()]


def training_stories(corpus: pathlib.Path) -> list[str]:
    """The stories to train on: encoding repaired, one line break between paragraphs, joined stories parted.

    Stories without an end are dropped: they would teach the model to stop in the middle of a sentence.
    """
    stories = []
    for document in read_documents(corpus / "tinystories" / "train.txt.xz"):
        for wrong, right in MOJIBAKE:
            document = document.replace(wrong, right)
        document = re.sub(r"\s*\n\s*", "\n", document)
        for story in STORY_OPENING.split(document):
            if len(story) in STORY_CHARACTERS and story[-1] in '.!?"”':
                stories.append(story)
    return stories


def validation_stories(corpus: pathlib.Path) -> tuple[list[str], list[str]]:
    """The unseen stories: the first HELDOUT_BYTES of them for the report, the others to choose the recipe by."""
    stories = read_documents(corpus / "tinystories" / "valid.txt.xz")
    size = 0
    for count, story in enumerate(stories):
        if size >= HELDOUT_BYTES:
            return stories[:count], stories[count:]
        size += len(story.encode())
    raise ValueError(f"tinystories/valid.txt.xz: {size} bytes of stories, the held-out text needs {HELDOUT_BYTES}")


def passages(corpus: pathlib.Path, source: str) -> list[str]:
    """The long texts of `source` in passages of about PASSAGE_CHARACTERS, lines unwrapped, plain punctuation."""
    result = []
    for document in read_documents(corpus / source / "train.txt.xz"):
        document = document.translate(PLAIN_PUNCTUATION)
        # Lines break inside a paragraph; an empty line parts paragraphs.
        paragraphs = [re.sub(r"\s+", " ", part).strip() for part in re.split(r"\n\s*\n", document)]
        passage, size = [], 0
        for paragraph in filter(None, paragraphs):
            passage.append(paragraph)
            size += len(paragraph)
            if size >= PASSAGE_CHARACTERS:
                result.append("\n".join(passage))
                passage, size = [], 0
        if passage:
            result.append("\n".join(passage))
    return result
