# SPDX-License-Identifier: Apache-2.0
"""Turns documents into rows of tokens, mixed from the sources in shares that change during the training."""

import dataclasses
import pathlib
from collections.abc import Callable

import numpy as np
import tokenizers

import chat
import corpus

CHAT_SHARE = 0.2
CONVERSATIONS_PER_STORY = 3
VALIDATION_STORIES = 500

Documents = list[np.ndarray]


class PackedRows:
    """An endless stream of rows: the documents of an epoch back to back in a new order, cut at the row length."""

    def __init__(self, epoch_documents: Callable[[np.random.Generator], Documents], row_tokens: int, seed: int):
        self.epoch_documents = epoch_documents
        self.row_tokens = row_tokens
        self.random = np.random.default_rng(seed)
        self.epochs = 0
        self.pending = np.empty(0, dtype=np.uint16)

    def take(self, rows: int) -> np.ndarray:
        """The next `rows` rows, [rows, row_tokens]."""
        wanted = rows * self.row_tokens
        while len(self.pending) < wanted:
            documents = self.epoch_documents(self.random)
            self.random.shuffle(documents)
            self.pending = np.concatenate([self.pending, *documents])
            self.epochs += 1
        taken, self.pending = self.pending[:wanted], self.pending[wanted:]
        return taken.reshape(rows, self.row_tokens)


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """The tokenized documents of all sources; each ends with the end-of-text token."""
    stories: Documents
    conversations: list[Documents]  # CONVERSATIONS_PER_STORY renderings of each story
    fairy_tales: Documents
    books: Documents
    validation: np.ndarray  # the validation stories back to back
    validation_bytes: int

    def story_epoch(self, random: np.random.Generator) -> Documents:
        """Every story once, CHAT_SHARE of them as a conversation."""
        return [variants[random.integers(len(variants))] if random.random() < CHAT_SHARE else story
                for story, variants in zip(self.stories, self.conversations)]

    def sources(self, row_tokens: int, seed: int) -> dict[str, PackedRows]:
        """A fresh stream of rows for each source."""
        return {
            "stories": PackedRows(self.story_epoch, row_tokens, seed),
            "fairy_tales": PackedRows(lambda random: list(self.fairy_tales), row_tokens, seed + 1),
            "books": PackedRows(lambda random: list(self.books), row_tokens, seed + 2),
        }


def encode(tokenizer: tokenizers.Tokenizer, texts: list[str]) -> Documents:
    """The tokens of each text and an end-of-text token."""
    end = tokenizer.token_to_id(chat.END_OF_TEXT)
    return [np.array(encoding.ids + [end], dtype=np.uint16) for encoding in tokenizer.encode_batch(texts)]


def tokenizer_texts(folder: pathlib.Path) -> list[str]:
    """What the vocabulary is trained on: mostly the stories, for the model is to tell stories."""
    books = corpus.passages(folder, "childrens_books")[::8]
    return 3 * corpus.training_stories(folder) + corpus.passages(folder, "fairytaleqa") + books


def load(folder: pathlib.Path, tokenizer: tokenizers.Tokenizer, seed: int) -> TrainingData:
    """Reads and tokenizes the corpus in `folder`."""
    random = np.random.default_rng(seed)
    stories = corpus.training_stories(folder)
    conversations = [chat.conversation(story, stories[random.integers(len(stories))], random)
                     for story in stories for _ in range(CONVERSATIONS_PER_STORY)]
    conversations = encode(tokenizer, conversations)
    _, validation = corpus.validation_stories(folder)
    validation = validation[:VALIDATION_STORIES]
    return TrainingData(
        stories=encode(tokenizer, stories),
        conversations=[conversations[i:i + CONVERSATIONS_PER_STORY]
                       for i in range(0, len(conversations), CONVERSATIONS_PER_STORY)],
        fairy_tales=encode(tokenizer, corpus.passages(folder, "fairytaleqa")),
        books=encode(tokenizer, corpus.passages(folder, "childrens_books")),
        validation=np.concatenate(encode(tokenizer, validation)),
        validation_bytes=sum(len(story.encode()) for story in validation),
    )
